/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037): reading them with every member checked,
 * and writing public ones. A secret or private member is read only by callers who ask for it; the
 * daemon's front process never asks. The sg_jwk's copy is wiped when it is freed, and so is what
 * parsing held, but for the JSON reader's own buffers: where no trace may stay, have keys in PKCS#8.
 */
#ifndef SG_JOSE_JWK_H
#define SG_JOSE_JWK_H

#include "common/jose/public_key.h"

struct json_t;

struct sg_jwk; /* one parsed and checked key */

enum sg_jwk_want {
    SG_JWK_PUBLIC = 1, /* to verify with: private members are ignored; oct is refused */
    SG_JWK_SECRET,     /* to verify or sign with: oct only */
    SG_JWK_PRIVATE /* to sign with: RSA, EC, OKP with their private members, which must match the public ones */
};

/* sg_jwk_parse reads one JWK. alg pins the algorithm; SG_ALG_UNSET takes it from "alg", or for EC
 * and OKP from "crv"; an RSA or oct key without either is refused. A pin and an "alg" that differ,
 * an "alg" that is not of the table, a "use" other than "sig", "key_ops" without the operation
 * wanted, duplicate members, and every bad key of attacks A8 to A10 are refused with the reason. */
signet_status sg_jwk_parse(const char *json, size_t len, enum sg_alg alg, enum sg_jwk_want want,
                           struct sg_jwk **out, struct sg_key_error *error) SIGNET_MUST_CHECK;
void sg_jwk_free(struct sg_jwk *jwk); /* wipes */

enum sg_alg sg_jwk_alg(const struct sg_jwk *jwk);
const char *sg_jwk_kid(const struct sg_jwk *jwk); /* NULL if it has none */

/* sg_jwk_public makes the verification key of an asymmetric JWK. */
signet_status sg_jwk_public(const struct sg_jwk *jwk, struct sg_public_key **out,
                            struct sg_key_error *error) SIGNET_MUST_CHECK;

/* What a keyholder imports: the secret's bytes, or PKCS#8 DER (RFC 5208). Owned by the jwk. */
signet_status sg_jwk_secret(const struct sg_jwk *jwk, const uint8_t **bytes,
                            size_t *len) SIGNET_MUST_CHECK;

/* A JWK Set (RFC 7517 section 5). Members that are not usable (unknown kty, alg or use) are skipped;
 * duplicate kids are refused. */
struct sg_jwks;
signet_status sg_jwks_parse(const char *json, size_t len, enum sg_jwk_want want,
                            struct sg_jwks **out, struct sg_key_error *error) SIGNET_MUST_CHECK;
void sg_jwks_free(struct sg_jwks *set);
size_t sg_jwks_num(const struct sg_jwks *set);
const struct sg_jwk *sg_jwks_get(const struct sg_jwks *set, size_t index);
/* Why the member at index of the JSON array was skipped is not kept; this counts them. */
size_t sg_jwks_num_skipped(const struct sg_jwks *set);

/* sg_jwk_write returns the public JWK (kty, crv, n, e, x, y, kid, alg, use "sig") as a new JSON
 * object, or NULL without memory. The caller releases it with json_decref. */
struct json_t *sg_jwk_write(const struct sg_public_key *key, const char *kid);

#endif
