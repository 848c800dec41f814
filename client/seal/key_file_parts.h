/* SPDX-License-Identifier: Apache-2.0
 *
 * What the readers of the forms share with key_file.c, and with nobody else. Each gets a zeroed key or
 * file and returns false with *error filled.
 */
#ifndef SG_SEAL_KEY_FILE_PARTS_H
#define SG_SEAL_KEY_FILE_PARTS_H

#include "client/seal/key_file.h"

/* key_file_refuse fills *error and returns false. */
bool key_file_refuse(struct key_file_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* key_file_alg_hint ends a message about an algorithm that was not asked for. Static. */
const char *key_file_alg_hint(const struct key_file_options *options);

/* *asked_in_vain is set, and error left alone, if the passphrase was not to be had. */
bool key_file_read_pem(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                       struct key_file_key *key, bool *asked_in_vain, struct key_file_error *error);

bool key_file_read_jwk(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                       struct key_file_key *key, struct key_file_error *error);

bool key_file_read_jwks(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                        struct key_file *file, struct key_file_error *error);

/* key_file_is_set says whether the text is JSON with "keys". */
bool key_file_is_set(const uint8_t *bytes, size_t len);

#endif
