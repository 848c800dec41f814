/* SPDX-License-Identifier: Apache-2.0
 *
 * A public verification key bound to one algorithm, and the check of a JWS signature under it.
 * Never holds a private key or a secret: HMAC is checked by the keyholder only.
 */
#ifndef SG_JOSE_PUBLIC_KEY_H
#define SG_JOSE_PUBLIC_KEY_H

#include "common/jose/jws.h"

/* Why a key was refused: static text with the RFC section, such as
 * "RSA modulus of 1024 bits; at least 2048 (RFC 7518 section 3.3)". */
struct sg_key_error {
    char message[160];
};

struct sg_public_key; /* immutable; shared between threads freely once made */
struct evp_pkey_st;   /* OpenSSL's EVP_PKEY, so that this header needs none of OpenSSL's */

/* SPKI, DER (RFC 5280), every byte of it. alg must fit the key's type and curve. Checked at load: RSA
 * of 2048 to 8192 bits, odd modulus without the mark of CVE-2017-15361, e odd, at least 3 and within
 * 64 bits; EC point on the very curve, which is named, not spelt out; OKP of the right length,
 * canonical and not of small order. INVALID_ARGUMENT with the reason in *error if not. */
signet_status sg_public_key_from_spki(enum sg_alg alg, const uint8_t *der, size_t len,
                                      struct sg_public_key **out,
                                      struct sg_key_error *error) SIGNET_MUST_CHECK;
signet_status sg_public_key_from_pem(enum sg_alg alg, const char *pem, size_t len,
                                     struct sg_public_key **out,
                                     struct sg_key_error *error) SIGNET_MUST_CHECK;
/* The public part of a key that OpenSSL holds, checked the same way. Keeps a copy of that part, and
 * nothing private. */
signet_status sg_public_key_from_pkey(enum sg_alg alg, struct evp_pkey_st *pkey,
                                      struct sg_public_key **out,
                                      struct sg_key_error *error) SIGNET_MUST_CHECK;
void sg_public_key_free(struct sg_public_key *key); /* NULL is legal */

/* The longest SPKI that is read; RSA of 8192 bits takes 1062 bytes. */
#define SG_MAX_SPKI_LEN 2048u

/* sg_public_key_pkey gives OpenSSL's key behind it, owned by key, to make another of. */
struct evp_pkey_st *sg_public_key_pkey(const struct sg_public_key *key);

enum sg_alg sg_public_key_alg(const struct sg_public_key *key);

/* sg_public_key_rsa_bits returns the length of an RSA key's modulus; 0 for other keys, and for NULL. */
unsigned sg_public_key_rsa_bits(const struct sg_public_key *key);

/* sg_public_key_verify checks the signature of a parsed token. SIGNET_REASON_NONE: the signature
 * is good. WRONG_ALG or BAD_SIGNATURE otherwise; with its error set too if there was no memory to check
 * it. */
struct sg_verdict sg_public_key_verify(const struct sg_public_key *key, const struct sg_jws *jws);

/* sg_public_key_check_signature is the check alone: true if sig is the signature of input under the
 * key's algorithm in the form of RFC 7518 section 3: ECDSA as r||s of the exact length, RSA as long as
 * the modulus, PSS with MGF1 of the same hash and a salt as long as the hash. False in every other
 * case, any failure of the library included. */
bool sg_public_key_check_signature(const struct sg_public_key *key, const uint8_t *input,
                                   size_t input_len, const uint8_t *sig,
                                   size_t sig_len) SIGNET_MUST_CHECK;

/* sg_public_key_spki gives the key as sg_public_key_from_spki reads it. Which of the algorithms of an RSA key it is for,
 * the bytes do not say. Owned by the key. */
const uint8_t *sg_public_key_spki(const struct sg_public_key *key, size_t *len);

/* sg_public_key_member gives the bytes of a public member as a JWK has them: "n" and "e" without
 * leading zeros, "x" and "y" of full width. Owned by the key. NULL if such a key has no such member. */
const uint8_t *sg_public_key_member(const struct sg_public_key *key, const char *name, size_t *len);

/* sg_public_key_thumbprint writes the RFC 7638 SHA-256 thumbprint in base64url (43 characters and a
 * NUL). */
signet_status sg_public_key_thumbprint(const struct sg_public_key *key,
                                       char out[44]) SIGNET_MUST_CHECK;

#endif
