/* SPDX-License-Identifier: Apache-2.0
 *
 * Compact tokens taken apart. Runs before any signature check, on whatever a peer sends: nothing here
 * acts on what a header says, beyond refusing it.
 */
#include "common/jose/jws.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/json.h"

static struct sg_verdict jws_refused(signet_reason reason, const char *detail)
{
    return (struct sg_verdict){.reason = reason, .detail = detail};
}

static struct sg_verdict jws_malformed(const char *detail)
{
    return jws_refused(SIGNET_REASON_MALFORMED, detail);
}

static const struct sg_verdict jws_well_formed = {.reason = SIGNET_REASON_NONE};

/* ---- The three parts ---- */

struct sg_verdict sg_jws_split(const char *token, size_t len, struct sg_jws *out)
{
    if (len > SG_MAX_TOKEN_LEN) {
        return jws_malformed("the token is longer than 16384 characters");
    }
    /* The first two dots suffice: a third one would be in the signature, where it is not base64url. */
    const char *end = token + len;
    const char *dot1 = len > 0 ? memchr(token, '.', len) : NULL;
    const char *dot2 = dot1 != NULL ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
    if (dot2 == NULL) {
        return jws_malformed("a compact token has three parts (RFC 7515 section 7.1)");
    }
    size_t header_len = (size_t)(dot1 - token);
    size_t payload_len = (size_t)(dot2 - dot1 - 1);
    size_t signature_len = (size_t)(end - dot2 - 1);
    if (header_len == 0) {
        return jws_malformed("the header is empty");
    }
    if (header_len > SG_BASE64URL_LEN(SG_MAX_HEADER_LEN) ||
        payload_len > SG_BASE64URL_LEN(SG_MAX_PAYLOAD_LEN) ||
        signature_len > SG_BASE64URL_LEN(SG_MAX_SIGNATURE_LEN)) {
        return jws_malformed("a part of the token is too long");
    }
    if (!sg_base64url_is_valid(token, header_len)) {
        return jws_malformed("the header is not strict base64url (RFC 7515 section 2)");
    }
    if (!sg_base64url_is_valid(dot1 + 1, payload_len)) {
        return jws_malformed("the payload is not strict base64url (RFC 7515 section 2)");
    }
    if (!sg_base64url_decode(dot2 + 1, signature_len, out->signature, sizeof(out->signature),
                             &out->signature_len)) {
        return jws_malformed("the signature is not strict base64url (RFC 7515 section 2)");
    }
    out->token = token;
    out->token_len = len;
    out->signing_input = token;
    out->signing_input_len = (size_t)(dot2 - token);
    out->header_b64 = token;
    out->header_b64_len = header_len;
    out->payload_b64 = dot1 + 1;
    out->payload_b64_len = payload_len;
    return jws_well_formed;
}

/* ---- The header ---- */

/* Copies a string member. jansson has made sure that it holds no NUL. */
static struct sg_verdict jws_take(const json_t *value, size_t max_len, const char *wrong, char *out,
                                  size_t *out_len)
{
    if (!json_is_string(value) || json_string_length(value) > max_len) {
        return jws_malformed(wrong);
    }
    *out_len = json_string_length(value);
    memcpy(out, json_string_value(value), *out_len + 1);
    return jws_well_formed;
}

static struct sg_verdict jws_take_alg(const json_t *header, struct sg_jws *jws)
{
    const json_t *alg = json_object_get(header, "alg");
    if (!json_is_string(alg)) {
        return jws_malformed("the header has no alg that is a string (RFC 7515 section 4.1.1)");
    }
    if (json_string_length(alg) > SG_MAX_ALG_NAME_LEN) {
        /* Longer than every name there is. An empty one matches none either. */
        jws->alg[0] = '\0';
        jws->alg_len = 0;
        return jws_well_formed;
    }
    return jws_take(alg, SG_MAX_ALG_NAME_LEN, "", jws->alg, &jws->alg_len);
}

static struct sg_verdict jws_take_members(const json_t *header, struct sg_jws *jws)
{
    if (json_object_get(header, "crit") != NULL) {
        return jws_refused(SIGNET_REASON_UNSUPPORTED_HEADER,
                           "crit: no extension is supported (RFC 7515 section 4.1.11)");
    }
    if (json_object_get(header, "b64") != NULL) {
        return jws_refused(SIGNET_REASON_UNSUPPORTED_HEADER,
                           "b64 is not for JWTs (RFC 7797 section 7)");
    }
    struct sg_verdict verdict = jws_take_alg(header, jws);
    const json_t *kid = json_object_get(header, "kid");
    jws->has_kid = kid != NULL;
    jws->kid[0] = '\0';
    jws->kid_len = 0;
    if (verdict.reason == SIGNET_REASON_NONE && jws->has_kid) {
        verdict = jws_take(kid, SG_MAX_KID_LEN, "kid is not a string of at most 256 bytes",
                           jws->kid, &jws->kid_len);
    }
    const json_t *typ = json_object_get(header, "typ");
    jws->has_typ = typ != NULL;
    jws->typ[0] = '\0';
    jws->typ_len = 0;
    if (verdict.reason == SIGNET_REASON_NONE && jws->has_typ) {
        verdict = jws_take(typ, SG_MAX_TYP_LEN, "typ is not a string of at most 64 bytes", jws->typ,
                           &jws->typ_len);
    }
    return verdict;
}

struct sg_verdict sg_jws_read_header(struct sg_jws *jws)
{
    uint8_t decoded[SG_MAX_HEADER_LEN];
    size_t len = 0;
    if (!sg_base64url_decode(jws->header_b64, jws->header_b64_len, decoded, sizeof(decoded),
                             &len)) {
        return jws_malformed("the header is not strict base64url (RFC 7515 section 2)");
    }
    const char *detail = NULL;
    json_t *header = NULL;
    signet_status status = sg_json_load((const char *)decoded, len, SG_MAX_HEADER_LEN,
                                        SG_MAX_JSON_DEPTH, &header, &detail);
    struct sg_verdict verdict = jws_malformed(detail);
    if (status != SIGNET_OK) {
        verdict.error = status == SIGNET_RESOURCE_EXHAUSTED ? status : SIGNET_OK;
        return verdict;
    }
    verdict = jws_take_members(header, jws);
    json_decref(header);
    return verdict;
}

struct sg_verdict sg_jws_parse(const char *token, size_t len, struct sg_jws *out)
{
    struct sg_verdict verdict = sg_jws_split(token, len, out);
    return verdict.reason == SIGNET_REASON_NONE ? sg_jws_read_header(out) : verdict;
}

bool sg_jws_use_header(struct sg_jws *jws, const struct sg_jws_known_header *known)
{
    if (jws->header_b64_len != known->b64_len ||
        memcmp(jws->header_b64, known->b64, known->b64_len) != 0) {
        return false;
    }
    size_t alg_len = strlen(known->alg);
    size_t kid_len = known->kid != NULL ? strlen(known->kid) : 0;
    size_t typ_len = known->typ != NULL ? strlen(known->typ) : 0;
    if (alg_len > SG_MAX_ALG_NAME_LEN || kid_len > SG_MAX_KID_LEN || typ_len > SG_MAX_TYP_LEN) {
        return false;
    }
    memcpy(jws->alg, known->alg, alg_len + 1);
    memcpy(jws->kid, known->kid != NULL ? known->kid : "", kid_len + 1);
    memcpy(jws->typ, known->typ != NULL ? known->typ : "", typ_len + 1);
    jws->alg_len = alg_len;
    jws->kid_len = kid_len;
    jws->typ_len = typ_len;
    jws->has_kid = known->kid != NULL;
    jws->has_typ = known->typ != NULL;
    return true;
}

struct sg_verdict sg_jws_check_alg(const struct sg_jws *jws, enum sg_alg key_alg)
{
    if (!sg_alg_matches(key_alg, jws->alg, jws->alg_len)) {
        return jws_refused(SIGNET_REASON_WRONG_ALG,
                           "the header's alg is not the one of the key (RFC 8725 section 3.1)");
    }
    return jws_well_formed;
}

/* ---- Our own headers ---- */

static bool jws_is_plain(const char *text, size_t max_len)
{
    size_t len = strnlen(text, max_len + 1);
    if (len > max_len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return true;
}

size_t sg_jws_header(enum sg_alg alg, const char *kid, const char *typ, char *out, size_t out_cap)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL || (kid != NULL && !jws_is_plain(kid, SG_MAX_KID_LEN)) ||
        (typ != NULL && !jws_is_plain(typ, SG_MAX_TYP_LEN))) {
        return 0;
    }
    char json[SG_MAX_ALG_NAME_LEN + SG_MAX_KID_LEN + SG_MAX_TYP_LEN + 64];
    int written =
        snprintf(json, sizeof(json), "{\"alg\":\"%s\"%s%s%s%s%s%s}", info->jws_name,
                 kid != NULL ? ",\"kid\":\"" : "", kid != NULL ? kid : "", kid != NULL ? "\"" : "",
                 typ != NULL ? ",\"typ\":\"" : "", typ != NULL ? typ : "", typ != NULL ? "\"" : "");
    if (written <= 0 || (size_t)written >= sizeof(json) ||
        SG_BASE64URL_LEN((size_t)written) >= out_cap) {
        return 0;
    }
    size_t len = sg_base64url_encode((const uint8_t *)json, (size_t)written, out);
    out[len] = '\0';
    return len;
}
