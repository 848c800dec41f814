/* SPDX-License-Identifier: Apache-2.0
 *
 * The JWS algorithms, one const row each (RFC 7518 section 3.1, RFC 8037, RFC 8812, RFC 9864). A
 * key has exactly one of them (RFC 8725 section 3.1). There is no row, value or code for "none".
 */
#ifndef SG_JOSE_ALG_H
#define SG_JOSE_ALG_H

#include <stdbool.h>
#include <stddef.h>

enum sg_alg {
    SG_ALG_UNSET = 0, /* never valid */
    SG_ALG_HS256,
    SG_ALG_HS384,
    SG_ALG_HS512,
    SG_ALG_RS256,
    SG_ALG_RS384,
    SG_ALG_RS512,
    SG_ALG_PS256,
    SG_ALG_PS384,
    SG_ALG_PS512,
    SG_ALG_ES256,
    SG_ALG_ES384,
    SG_ALG_ES512,
    SG_ALG_ES256K,
    SG_ALG_ED25519,
    SG_ALG_ED448,
    SG_ALG_COUNT
};

enum sg_alg_family {
    SG_FAMILY_HMAC = 1,
    SG_FAMILY_RSA_PKCS1,
    SG_FAMILY_RSA_PSS,
    SG_FAMILY_ECDSA,
    SG_FAMILY_EDDSA
};

struct sg_alg_info {
    enum sg_alg alg;
    enum sg_alg_family family;
    const char *jws_name; /* header "alg" written when signing: "EdDSA" for both Edwards curves */
    const char *alt_name; /* second header "alg" accepted (RFC 9864): "Ed25519", or NULL */
    const char
        *config_name;   /* unambiguous: equals jws_name, but "EdDSA" is Ed25519 and "Ed448" Ed448 */
    const char *kty;    /* JWK "kty": "oct", "RSA", "EC", "OKP" */
    const char *crv;    /* JWK "crv", or NULL */
    const char *digest; /* OpenSSL digest name, or NULL (EdDSA) */
    const char *group;  /* OpenSSL EC group or OKP key type name, or NULL */
    size_t hash_len;    /* bytes; also the PSS salt and least HMAC secret; 0 for EdDSA */
    size_t signature_len;  /* bytes of the JWS signature; 0 for RSA: the modulus decides */
    size_t coordinate_len; /* EC and OKP: bytes of x, y and d; else 0 */
};

/* sg_alg_info returns the row of alg, or NULL for a number that is none. Static. */
const struct sg_alg_info *sg_alg_info(enum sg_alg alg);

/* sg_alg_from_name finds an algorithm by its config_name, or by the RFC 9864 names "Ed25519" and
 * "Ed448"; SG_ALG_UNSET if there is none. Exact and case-sensitive over len bytes. */
enum sg_alg sg_alg_from_name(const char *name, size_t len);

/* sg_alg_matches says whether a header's "alg" of len bytes names this very algorithm. */
bool sg_alg_matches(enum sg_alg alg, const char *name, size_t len);

#endif
