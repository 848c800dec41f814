/* SPDX-License-Identifier: Apache-2.0
 *
 * The keystore: a directory with a header, in which the file keys are wrapped with the key-encryption key,
 * and one sealed file a key. Every change is a new file that takes the old one's place, synced, or nothing.
 * What cannot be read is reported, and never overwritten or deleted. Not for several threads at once.
 * Nothing outside this directory, the offline tool and the tests includes this.
 */
#ifndef SG_KEYSTORE_H
#define SG_KEYSTORE_H

#include "server/keyholder/kek.h"

struct sg_keystore;

struct sg_keystore_place {
    const char *dir;    /* the state directory; the keystore is DIR/keys */
    const char *source; /* of the key-encryption key */
    int passphrase_fd;
    uint32_t front_uid; /* the daemon's, who may own DIR; UINT32_MAX: nobody else */
};

/* sg_keystore_init makes DIR/keys and a header with a fresh file key; DIR has to be there, and so does
 * the key-encryption key. ALREADY_EXISTS if there is a keystore, or anything in its place. */
signet_status sg_keystore_init(const struct sg_keystore_place *place,
                               struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_keystore_open reads every file. With is_reader it takes no lock and removes nothing, and what a
 * running daemon changes meanwhile may show as damage. See SG_KEYSTORE_OPEN for what it refuses. */
signet_status sg_keystore_open(const struct sg_keystore_place *place, bool is_reader,
                               struct sg_keystore **out,
                               struct sg_kek_message message) SIGNET_MUST_CHECK;
void sg_keystore_close(struct sg_keystore *store); /* wipes the keys; NULL is legal */

size_t sg_keystore_num(const struct sg_keystore *store);
/* sg_keystore_entry fills one, in the order of keyset and seq; false past the end. */
bool sg_keystore_entry(const struct sg_keystore *store, size_t index,
                       struct sg_keystore_entry *out);
/* sg_keystore_find gives the index of a key that can be used; false if there is none. */
bool sg_keystore_find(const struct sg_keystore *store, const char *keyset, const char *kid,
                      size_t *index);

/* sg_keystore_private reads the private part of a key from its file: a secret's bytes, or PKCS#8 DER, of
 * sg_secret_alloc; sg_secret_release it. */
signet_status sg_keystore_private(struct sg_keystore *store, size_t index, uint8_t **out,
                                  size_t *len, struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_keystore_add stores a key under record->seq, or, if that is 0, under the next, which is then written
 * to record. ALREADY_EXISTS if its keyset has the kid, or the file's name is taken. */
signet_status sg_keystore_add(struct sg_keystore *store, struct sg_key_record *record,
                              const uint8_t *private_part, size_t private_len,
                              struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_keystore_update: as SG_KEYSTORE_UPDATE. */
signet_status sg_keystore_update(struct sg_keystore *store, const struct sg_key_record *record,
                                 struct sg_kek_message message) SIGNET_MUST_CHECK;

/* The steps of a change of the key-encryption key. After sg_keystore_rekey_begin both open the keystore;
 * sg_keystore_reseal seals one file anew that is still under an old file key, and sets *more while
 * there are others; sg_keystore_rekey_finish leaves only the new one. Each is durable or has not
 * happened. */
signet_status sg_keystore_rekey_begin(struct sg_keystore *store,
                                      const struct sg_kek_material *material, const char *source,
                                      struct sg_kek_message message) SIGNET_MUST_CHECK;
signet_status sg_keystore_reseal(struct sg_keystore *store, bool *more,
                                 struct sg_kek_message message) SIGNET_MUST_CHECK;
signet_status sg_keystore_rekey_finish(struct sg_keystore *store,
                                       struct sg_kek_message message) SIGNET_MUST_CHECK;

bool sg_keystore_is_rekeying(const struct sg_keystore *store);
const char *sg_keystore_dir(const struct sg_keystore *store);    /* DIR/keys */
const char *sg_keystore_source(const struct sg_keystore *store); /* with which it was opened */

#endif
