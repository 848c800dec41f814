/* SPDX-License-Identifier: Apache-2.0
 *
 * The keystore in one sealed file: every key file sealed anew under a random key, which is closed with
 * a passphrase or to a public key. Memory in, memory out. For the offline tool; the format is described
 * in ARCHITECTURE.md.
 */
#ifndef SG_KEYHOLDER_BACKUP_H
#define SG_KEYHOLDER_BACKUP_H

#include "common/seal/seal.h"
#include "server/keyholder/keystore.h"

/* Two times as many keys as there are slots. */
#define SG_BACKUP_MAX_LEN (256u << 20)

/* With what a backup is closed, or opened: one of the two. */
struct sg_backup_lock {
    const uint8_t
        *x25519; /* SG_SEAL_KEY_LEN bytes: the public key to close, the private one to open */
    const struct sg_kek_material *passphrase;
};

/* sg_backup_write writes every key of the store that can be used; free() *out. */
signet_status sg_backup_write(struct sg_keystore *store, const struct sg_backup_lock *lock,
                              uint8_t **out, size_t *len, size_t *num_keys,
                              struct sg_kek_message message) SIGNET_MUST_CHECK;

/* What kind of lock closes a backup. INVALID_ARGUMENT if it is none. */
enum sg_backup_kind {
    SG_BACKUP_X25519 = 1,
    SG_BACKUP_PASSPHRASE
};
signet_status sg_backup_kind(const uint8_t *bytes, size_t len, enum sg_backup_kind *out,
                             struct sg_kek_message message) SIGNET_MUST_CHECK;

struct sg_backup_report {
    size_t num_restored, num_present;
};

/* sg_backup_restore adds every key that its keyset lacks, and touches none that is there. A number that
 * is taken gives way to the next. The whole backup is checked before the first key is added. */
signet_status sg_backup_restore(struct sg_keystore *store, const uint8_t *bytes, size_t len,
                                const struct sg_backup_lock *lock, struct sg_backup_report *report,
                                struct sg_kek_message message) SIGNET_MUST_CHECK;

#endif
