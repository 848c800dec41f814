/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys and secrets as objects: making, importing and describing them (keys.c), and working
 * with them (signing.c). Nothing outside this directory includes this.
 */
#ifndef SG_KEYHOLDER_KEYS_H
#define SG_KEYHOLDER_KEYS_H

#include <openssl/evp.h>
#include <signet/status.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/alg.h"
#include "server/keyholder/contexts.h"
#include "server/keyholder/secret.h"

/* One private key or secret, bound to one algorithm. Shared: the last sg_private_key_unref wipes it
 * and every context that was keyed with it. Apart from the count and the contexts it never changes,
 * so that any number of threads may work with it at once. */
struct sg_private_key {
    atomic_uint num_refs;
    const struct sg_alg_info *info;
    struct sg_secret *secret; /* HMAC */
    EVP_PKEY *pkey;           /* all others */
    EVP_MD *digest;           /* fetched once; NULL for EdDSA */
    EVP_MAC *mac;             /* fetched once; HMAC */
    struct sg_key_contexts contexts;
    char *name;                     /* "KEYSET/KID" of a key of the keystore; NULL. Set once */
    atomic_uint bar;                /* enum sg_key_bar */
    atomic_int_least64_t sign_from; /* of a key of the keystore: seconds since 1970; else 0 */
};

/* What a key may not do, whoever asks. A bar is never lifted. */
enum sg_key_bar {
    SG_KEY_BAR_NONE = 0,
    SG_KEY_BAR_VERIFY_ONLY, /* sign: it was imported to verify only */
    SG_KEY_BAR_REVOKED      /* anything */
};

/* sg_private_key_generate makes a fresh one. rsa_bits counts for RSA only: 2048 to 8192, a multiple
 * of 8. Secrets are as long as the hash. On failure *why is static text. */
signet_status sg_private_key_generate(enum sg_alg alg, uint32_t rsa_bits,
                                      struct sg_private_key **out,
                                      const char **why) SIGNET_MUST_CHECK;

/* The largest private key that is read: RSA of 8192 bits takes about 4.7 KiB of PKCS#8, 6.4 as PEM. */
#define SG_KEYHOLDER_MAX_PKCS8 8192u

/* sg_private_key_import takes a secret's bytes (at least the hash's length, RFC 7518 section 3.2),
 * or a key that fits alg: PKCS#8 DER (RFC 5208), or PEM of one block, PRIVATE KEY, EC PRIVATE KEY or
 * RSA PRIVATE KEY, and not encrypted. What was decoded is wiped; bytes is the caller's to wipe. A
 * secret is taken as it is, whatever it looks like. INVALID_ARGUMENT with static text in *why if it
 * is malformed, weak, of another type or curve, or its private part does not belong to its public
 * one. */
signet_status sg_private_key_import(enum sg_alg alg, const uint8_t *bytes, size_t len,
                                    struct sg_private_key **out,
                                    const char **why) SIGNET_MUST_CHECK;

/* sg_private_key_restore makes a key of what sg_private_key_export wrote. Makes no check of its own: what it
 * is given must have been authenticated, and the public half compared. */
signet_status sg_private_key_restore(enum sg_alg alg, const uint8_t *bytes, size_t len,
                                     struct sg_private_key **out,
                                     const char **why) SIGNET_MUST_CHECK;

/* sg_private_key_export gives a secret's bytes, or PKCS#8 DER, of sg_secret_alloc, for the keystore to seal
 * and nobody else; sg_secret_release it. */
signet_status sg_private_key_export(const struct sg_private_key *key, uint8_t **out, size_t *len,
                                    const char **why) SIGNET_MUST_CHECK;

/* sg_private_key_set_name says which key of the keystore it is. Once; false without memory. */
bool sg_private_key_set_name(struct sg_private_key *key, const char *keyset, const char *kid)
    __attribute__((warn_unused_result));
bool sg_private_key_has_name(const struct sg_private_key *key, const char *keyset, const char *kid);
/* sg_private_key_shares_keyset says whether both are of one keyset of the keystore. */
bool sg_private_key_shares_keyset(const struct sg_private_key *key,
                                  const struct sg_private_key *other);

/* sg_private_key_bar: any thread; what has begun goes on. */
void sg_private_key_bar(struct sg_private_key *key, enum sg_key_bar bar);
/* sg_private_key_barred says why the key may not sign, or with is_check, not check; NULL if it may. */
const char *sg_private_key_barred(const struct sg_private_key *key, bool is_check);

struct sg_private_key *sg_private_key_ref(struct sg_private_key *key);
void sg_private_key_unref(struct sg_private_key *key); /* NULL is legal */

/* sg_private_key_public writes the public key as SPKI DER. INVALID_ARGUMENT for a secret. */
signet_status sg_private_key_public(const struct sg_private_key *key, uint8_t *out, size_t out_cap,
                                    size_t *out_len, const char **why) SIGNET_MUST_CHECK;

/* sg_private_key_sign writes the JWS signature of data (RFC 7518 section 3): the MAC, RSA's
 * signature, r||s of fixed width, or EdDSA's. Does not look at data: sg_signing_shape_check must
 * have. */
signet_status sg_private_key_sign(struct sg_private_key *key, const uint8_t *data, size_t len,
                                  uint8_t *out, size_t out_cap, size_t *out_len,
                                  const char **why) SIGNET_MUST_CHECK;

/* sg_private_key_mac_check compares the MAC of data with mac, in constant time once the lengths
 * agree. *equal is written on success only. The computed MAC is wiped. INVALID_ARGUMENT for a key
 * that is no secret. */
signet_status sg_private_key_mac_check(struct sg_private_key *key, const uint8_t *data, size_t len,
                                       const uint8_t *mac, size_t mac_len, bool *equal,
                                       const char **why) SIGNET_MUST_CHECK;

#endif
