/* SPDX-License-Identifier: Apache-2.0
 *
 * JWS compact serialization (RFC 7515 section 7.1): taking a token apart and putting one together.
 * Says nothing about keys, signatures or claims. Uses no OpenSSL.
 */
#ifndef SG_JOSE_JWS_H
#define SG_JOSE_JWS_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/alg.h"
#include "common/limits.h"

/* A verdict on a token. reason SIGNET_REASON_NONE alone says nothing good: only functions that
 * document it give it a meaning. detail is static text for people; NULL when there is none. An error
 * other than SIGNET_OK says that nobody judged the token, for want of memory; reason is then not NONE
 * either, so that whoever looks at it alone still refuses. */
struct sg_verdict {
    signet_reason reason;
    const char *detail;
    signet_status error;
};

#define SG_MAX_ALG_NAME_LEN 16u

/* A token taken apart. Points into the token, which must outlive it; owns nothing. */
struct sg_jws {
    const char *token;
    size_t token_len;
    const char *signing_input; /* header.payload */
    size_t signing_input_len;
    const char *header_b64;
    size_t header_b64_len;
    const char *payload_b64;
    size_t payload_b64_len;
    /* From the header, decoded. Strings are NUL-terminated and hold no other NUL. */
    char alg[SG_MAX_ALG_NAME_LEN + 1];
    char kid[SG_MAX_KID_LEN + 1];
    char typ[SG_MAX_TYP_LEN + 1];
    size_t alg_len, kid_len, typ_len;
    bool has_kid, has_typ;
    uint8_t signature[SG_MAX_SIGNATURE_LEN];
    size_t signature_len;
};

/* sg_jws_parse takes a token apart. SIGNET_REASON_NONE: well-formed, which says nothing about its
 * signature. Else MALFORMED or UNSUPPORTED_HEADER, and *out is not to be used. Exactly two dots;
 * strict base64url in all three parts; the header a JSON object without duplicate members, within
 * the limits; alg present; alg, kid and typ strings; no crit, no b64; jwk, jku, x5u and x5c are
 * never used. An alg that no row of the table could match still parses: sg_jws_check_alg refuses it.
 * The payload's text is checked, but neither decoded nor read. Does sg_jws_split, then
 * sg_jws_read_header. */
struct sg_verdict sg_jws_parse(const char *token, size_t len, struct sg_jws *out);

/* The two halves of sg_jws_parse, for a verifier that knows some headers beforehand: between them it
 * may call sg_jws_use_header, and if that says yes leave the second half out, which is the dearer.
 *
 * sg_jws_split does all but the header's JSON: on NONE everything in *out is set except alg, kid
 * and typ with their lengths and flags. No heap, no JSON. */
struct sg_verdict sg_jws_split(const char *token, size_t len, struct sg_jws *out);
/* sg_jws_read_header decodes and reads the header of a token that was split. */
struct sg_verdict sg_jws_read_header(struct sg_jws *jws);

/* A protected header that is known: its text and what it says, as sg_jws_header wrote it. */
struct sg_jws_known_header {
    const char *b64;
    size_t b64_len;
    const char *alg;
    const char *kid; /* NULL: it has none */
    const char *typ; /* NULL: it has none */
};

/* sg_jws_use_header takes alg, kid and typ from known if the token's header is the same text, byte
 * for byte. False, with *jws unchanged, if it is not, or if known is over the limits. */
bool sg_jws_use_header(struct sg_jws *jws, const struct sg_jws_known_header *known)
    __attribute__((warn_unused_result));

/* sg_jws_check_alg: NONE if the header's alg names exactly this key's algorithm, else WRONG_ALG. */
struct sg_verdict sg_jws_check_alg(const struct sg_jws *jws, enum sg_alg key_alg);

/* sg_jws_header writes the protected header of our own tokens, {"alg":..,"kid":..,"typ":..} in this
 * order and already base64url, to out and NUL-terminates it. kid and typ may be NULL: then the member is left
 * out. Returns its length, or 0 if it does not fit, or kid or typ is longer than its limit or holds
 * a character outside printable ASCII, a quote or a backslash. */
size_t sg_jws_header(enum sg_alg alg, const char *kid, const char *typ, char *out, size_t out_cap);

#endif
