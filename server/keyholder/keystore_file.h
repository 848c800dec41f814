/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of the keystore's files: writing them, and reading what anybody may have written. Memory in,
 * memory out; opens no file. The formats are described in ARCHITECTURE.md. Nothing outside this
 * directory and the tests includes this.
 */
#ifndef SG_KEYSTORE_FILE_H
#define SG_KEYSTORE_FILE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/keyholder/keystore_door.h"

#define SG_KEYSTORE_KEY_LEN   32u /* of file keys and key-encryption keys */
#define SG_KEYSTORE_NONCE_LEN 12u
#define SG_KEYSTORE_TAG_LEN   16u
#define SG_KEYSTORE_SALT_LEN  32u
/* The longest private part: PKCS#8 of RSA 8192. */
#define SG_KEYSTORE_MAX_PRIVATE 8192u
#define SG_KEYSTORE_MAX_FILE    16384u
#define SG_KEYSTORE_MAX_WRAPS   2u /* while the key-encryption key is changed */
#define SG_KEYSTORE_MAX_KEYS    2u /* while files are sealed anew */

/* scrypt (RFC 7914): N = 2^log2_n. */
struct sg_keystore_scrypt {
    uint32_t log2_n, r, p;
    uint8_t salt[SG_KEYSTORE_SALT_LEN];
};
#define SG_KEYSTORE_SCRYPT_LOG2_N 17u /* 128 MiB with r = 8 */
#define SG_KEYSTORE_SCRYPT_R      8u
#define SG_KEYSTORE_SCRYPT_P      1u
#define SG_KEYSTORE_SCRYPT_MEMORY (256u << 20) /* more is not taken, whatever a file asks for */

/* ---- The header ---- */

/* The file keys, wrapped with one key-encryption key. */
struct sg_keystore_wrap {
    uint32_t kind; /* enum sg_keystore_key_kind */
    struct sg_keystore_scrypt scrypt;
    char source[SG_KEYSTORE_MAX_PATH]; /* where its owner said that it is found */
    uint8_t nonce[SG_KEYSTORE_NONCE_LEN];
    uint8_t wrapped[SG_KEYSTORE_MAX_KEYS * SG_KEYSTORE_KEY_LEN];
    uint8_t tag[SG_KEYSTORE_TAG_LEN];
};

struct sg_keystore_header {
    uint32_t num_keys, num_wraps;                         /* 1 or 2 each */
    uint32_t key_ids[SG_KEYSTORE_MAX_KEYS];               /* the newest last; not 0 */
    struct sg_keystore_wrap wraps[SG_KEYSTORE_MAX_WRAPS]; /* the newest last */
};

/* sg_keystore_header_wrap wraps keys, header->num_keys times SG_KEYSTORE_KEY_LEN bytes, into the wrap
 * whose kind, scrypt and source are set, with a fresh nonce. */
signet_status sg_keystore_header_wrap(struct sg_keystore_header *header, uint32_t index,
                                      const uint8_t kek[SG_KEYSTORE_KEY_LEN],
                                      const uint8_t *keys) SIGNET_MUST_CHECK;

/* sg_keystore_header_unwrap writes the file keys to keys. INVALID_ARGUMENT if kek is not the one, or
 * something was changed. */
signet_status sg_keystore_header_unwrap(const struct sg_keystore_header *header, uint32_t index,
                                        const uint8_t kek[SG_KEYSTORE_KEY_LEN],
                                        uint8_t *keys) SIGNET_MUST_CHECK;

/* sg_keystore_header_write returns the length; cap is at least SG_KEYSTORE_MAX_FILE. */
size_t sg_keystore_header_write(const struct sg_keystore_header *header, uint8_t *out);

/* sg_keystore_header_read: INVALID_ARGUMENT if it is no header, UNIMPLEMENTED if it is of a later
 * version. */
signet_status sg_keystore_header_read(const uint8_t *bytes, size_t len,
                                      struct sg_keystore_header *out) SIGNET_MUST_CHECK;

/* A file key vouches for a whole header: a wrap proves itself only to who has its key-encryption key.
 * sg_keystore_header_close appends SG_KEYSTORE_CLOSE_LEN bytes to len bytes of a header;
 * sg_keystore_header_is_whole checks what ends so. key is the newest file key. */
#define SG_KEYSTORE_CLOSE_LEN (SG_KEYSTORE_NONCE_LEN + SG_KEYSTORE_TAG_LEN)
signet_status sg_keystore_header_close(uint8_t *bytes, size_t len,
                                       const uint8_t key[SG_KEYSTORE_KEY_LEN]) SIGNET_MUST_CHECK;
bool sg_keystore_header_is_whole(const uint8_t *bytes, size_t len,
                                 const uint8_t key[SG_KEYSTORE_KEY_LEN]);

/* ---- Key files ---- */

/* A key file that was read, before it is opened. */
struct sg_keystore_file {
    const uint8_t *bytes; /* the caller's */
    size_t metadata_end;  /* what is authenticated, and not encrypted, ends here */
    uint32_t key_id;
    uint32_t private_len;
    struct sg_key_record record; /* no proof of it yet */
};

/* sg_keystore_file_parse reads the outside. INVALID_ARGUMENT if it is no key file, or cut, or too long;
 * UNIMPLEMENTED if it is of a later version. */
signet_status sg_keystore_file_parse(const uint8_t *bytes, size_t len,
                                     struct sg_keystore_file *out) SIGNET_MUST_CHECK;

/* sg_keystore_file_open decrypts the private part to out, of file->private_len bytes. INVALID_ARGUMENT
 * if anything was changed, name, which is the file's, included; out is then wiped. */
signet_status sg_keystore_file_open(const struct sg_keystore_file *file, const char *name,
                                    const uint8_t key[SG_KEYSTORE_KEY_LEN],
                                    uint8_t *out) SIGNET_MUST_CHECK;

/* sg_keystore_file_write seals a key; cap of out is SG_KEYSTORE_MAX_FILE. INVALID_ARGUMENT for a record
 * or a private part that does not fit. */
signet_status sg_keystore_file_write(const struct sg_key_record *record, const char *name,
                                     uint32_t key_id, const uint8_t key[SG_KEYSTORE_KEY_LEN],
                                     const uint8_t *private_part, size_t private_len, uint8_t *out,
                                     size_t *out_len) SIGNET_MUST_CHECK;

/* ---- Names ---- */

/* sg_keystore_name_is_keyset: 1 to 64 of a-z 0-9 . _ - */
bool sg_keystore_name_is_keyset(const char *keyset);
/* KEYSET.SEQ.key; false if it is no such name. */
bool sg_keystore_name_read(const char *name, char keyset[SG_MAX_KEYSET_NAME_LEN + 1],
                           uint32_t *seq);
void sg_keystore_name_write(const char *keyset, uint32_t seq, char *out, size_t out_cap);

#endif
