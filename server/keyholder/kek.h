/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a key-encryption key comes from: file:PATH, credential:NAME (a systemd credential), or
 * passphrase: (asked on the terminal or read from a descriptor, and stretched with scrypt, RFC 7914).
 * What it gives is of sg_secret_alloc. Refuses files that others could have read.
 */
#ifndef SG_KEYHOLDER_KEK_H
#define SG_KEYHOLDER_KEK_H

#include <sys/types.h>

#include "server/keyholder/keystore_file.h"

#define SG_KEK_MAX_PASSPHRASE 1024u
#define SG_KEK_MIN_PASSPHRASE 8u /* of a new one */

/* What a source gave: 32 bytes, or a passphrase that is still to be stretched. */
struct sg_kek_material {
    uint32_t kind;  /* enum sg_keystore_key_kind */
    uint8_t *bytes; /* of sg_secret_alloc */
    size_t len;
};

/* A place for a message of SG_KEYSTORE_MAX_MESSAGE bytes. */
struct sg_kek_message {
    char *text;
};
signet_status sg_kek_fail(struct sg_kek_message message, signet_status status, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));

/* sg_kek_fail_closed is for a path that gave EACCES, and names the directory on the way that this user cannot
 * pass, with the command that mends it. */
signet_status sg_kek_fail_closed(const char *path, struct sg_kek_message message);

/* sg_kek_read reads a source. passphrase_fd: where a passphrase is read, up to a line's end; -1: the
 * terminal, without echo. FAILED_PRECONDITION if it is not there, of another length or unsafe, with what
 * mends it; INVALID_ARGUMENT if source is none of the three forms. Blocks for whoever types. */
signet_status sg_kek_read(const char *source, int passphrase_fd, struct sg_kek_material *out,
                          struct sg_kek_message message) SIGNET_MUST_CHECK;
/* sg_kek_read_new reads one that is to be used from now on: a passphrase has at least
 * SG_KEK_MIN_PASSPHRASE bytes (INVALID_ARGUMENT), and is asked for twice on the terminal. */
signet_status sg_kek_read_new(const char *source, int passphrase_fd, struct sg_kek_material *out,
                              struct sg_kek_message message) SIGNET_MUST_CHECK;
void sg_kek_material_fini(struct sg_kek_material *material); /* wipes; legal on a zeroed one */

/* sg_kek_derive makes the key-encryption key of a wrap from material, which is of its kind. out is of
 * sg_secret_alloc. */
signet_status sg_kek_derive(const struct sg_kek_material *material,
                            const struct sg_keystore_scrypt *scrypt,
                            uint8_t out[SG_KEYSTORE_KEY_LEN]) SIGNET_MUST_CHECK;

/* sg_kek_wrap wraps the file keys into the wrap at index of the header under the key-encryption key that
 * material makes, with a fresh salt for a passphrase; sg_kek_wrap_kept writes that key to kek as well. */
signet_status sg_kek_wrap(struct sg_keystore_header *header, uint32_t index,
                          const struct sg_kek_material *material, const char *source,
                          const uint8_t *keys) SIGNET_MUST_CHECK;
signet_status sg_kek_wrap_kept(struct sg_keystore_header *header, uint32_t index,
                               const struct sg_kek_material *material, const char *source,
                               uint8_t *kek, const uint8_t *keys) SIGNET_MUST_CHECK;

/* sg_kek_make_file makes a file of 32 random bytes, with mode 0600, durably, and gives it to uid and gid.
 * ALREADY_EXISTS if anything has the name. */
signet_status sg_kek_make_file(const char *path, uid_t uid, gid_t gid,
                               struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_kek_kind says what a source gives (enum sg_keystore_key_kind); 0 if it is none of the three forms. */
uint32_t sg_kek_kind(const char *source);

/* sg_kek_path returns the path of a file: source, or NULL. */
const char *sg_kek_path(const char *source);
bool sg_kek_is_credential(const char *source);

#endif
