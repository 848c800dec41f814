/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of common/jose: fresh keys, and tokens with any header and payload, signed rightly by a
 * second hand, OpenSSL's own calls.
 */
#ifndef SG_TEST_JOSE_TOKEN_H
#define SG_TEST_JOSE_TOKEN_H

#include <openssl/evp.h>

#include "common/jose/public_key.h"

struct jose_key {
    enum sg_alg alg;
    EVP_PKEY *pkey;
    struct sg_public_key *public;
};

#define JOSE_TOKEN_CAP 32768u

/* jose_key_new makes a fresh pair (RSA of 2048 bits). */
void jose_key_new(struct jose_key *key, enum sg_alg alg);
void jose_key_free(struct jose_key *key);

/* jose_sign writes the JWS signature of input and returns its length. */
size_t jose_sign(const struct jose_key *key, const char *input, size_t len,
                 uint8_t out[SG_MAX_SIGNATURE_LEN]);

/* jose_token writes header.payload.signature, NUL-terminated; without a key the signature is empty. */
void jose_token(const struct jose_key *key, const char *header, const char *payload,
                char out[JOSE_TOKEN_CAP]);
/* The same with bytes for the two parts, and a signature given. */
void jose_join(const void *header, size_t header_len, const void *payload, size_t payload_len,
               const uint8_t *sig, size_t sig_len, char out[JOSE_TOKEN_CAP]);

/* jose_verdict parses a token and checks it under the key. */
signet_reason jose_verdict(const struct sg_public_key *key, const char *token);

#endif
