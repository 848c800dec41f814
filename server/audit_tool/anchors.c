/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads: what somebody signed about the end of the chain at some moment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/jose/json.h"
#include "common/jose/jwk.h"
#include "server/audit_tool/tool.h"

#define HEADS_MAX_JWKS    (1u << 20)
#define HEADS_MAX_PAYLOAD 512u

struct tool_heads {
    struct sg_jwks *set;
};

bool tool_heads_open(const char *path, bool may_lack, struct tool_heads **out)
{
    char *text = NULL;
    size_t len = 0;
    struct sg_key_error error = {.message = ""};
    *out = NULL;
    if (may_lack && access(path, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    if (!tool_read_file(path, HEADS_MAX_JWKS, &text, &len)) {
        return false;
    }
    struct tool_heads *heads = tool_must(calloc(1, sizeof(*heads)));
    signet_status status = sg_jwks_parse(text, len, SG_JWK_PUBLIC, &heads->set, &error);
    free(text);
    if (status != SIGNET_OK) {
        (void)tool_fail(TOOL_FAILED, "%s is no JWK Set: %s", path, error.message);
        free(heads);
        return false;
    }
    *out = heads;
    return true;
}

void tool_heads_close(struct tool_heads *heads)
{
    if (heads != NULL) {
        sg_jwks_free(heads->set);
        free(heads);
    }
}

/* ---- Checking ---- */

static struct sg_public_key *heads_find(const struct tool_heads *heads, const char *kid)
{
    struct sg_key_error error;
    struct sg_public_key *key = NULL;
    for (size_t i = 0; i < sg_jwks_num(heads->set); i++) {
        const struct sg_jwk *jwk = sg_jwks_get(heads->set, i);
        const char *own = sg_jwk_kid(jwk);
        if (own != NULL && strcmp(own, kid) == 0) {
            return sg_jwk_public(jwk, &key, &error) == SIGNET_OK ? key : NULL;
        }
    }
    return NULL;
}

static bool heads_read_hash(const char *hex, uint8_t out[SG_AUDIT_HASH_LEN])
{
    static const char digits[] = "0123456789abcdef";
    if (hex == NULL || strlen(hex) != SG_AUDIT_HEX_LEN || strspn(hex, digits) != SG_AUDIT_HEX_LEN) {
        return false;
    }
    for (size_t i = 0; i < SG_AUDIT_HASH_LEN; i++) {
        size_t high = (size_t)(strchr(digits, hex[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, hex[2 * i + 1]) - digits);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool heads_read_payload(const struct sg_jws *jws, struct tool_head *out)
{
    uint8_t payload[HEADS_MAX_PAYLOAD];
    size_t len = 0;
    json_t *object = NULL;
    const char *detail = NULL;
    if (!sg_base64url_decode(jws->payload_b64, jws->payload_b64_len, payload, sizeof(payload),
                             &len) ||
        sg_json_load((const char *)payload, len, sizeof(payload), 2, &object, &detail) !=
            SIGNET_OK) {
        return false;
    }
    json_int_t seq = json_integer_value(json_object_get(object, "seq"));
    bool is_read = seq > 0 && heads_read_hash(tool_text(object, "hash"), out->hash);
    out->seq = (uint64_t)seq;
    json_decref(object);
    return is_read;
}

bool tool_heads_check(const struct tool_heads *heads, const char *jws, size_t len,
                      struct tool_head *out, const char **why)
{
    struct sg_jws parsed;
    struct sg_verdict verdict = sg_jws_parse(jws, len, &parsed);
    if (verdict.reason != SIGNET_REASON_NONE) {
        *why = "it is no JWS";
        return false;
    }
    struct sg_public_key *key = parsed.has_kid ? heads_find(heads, parsed.kid) : NULL;
    if (key == NULL) {
        *why = "the key that it names is not among those of the heads";
        return false;
    }
    verdict = sg_public_key_verify(key, &parsed);
    sg_public_key_free(key);
    if (verdict.reason != SIGNET_REASON_NONE || verdict.error != SIGNET_OK) {
        *why = "its signature is not good";
        return false;
    }
    *why = "what is signed is no head";
    return heads_read_payload(&parsed, out);
}

json_t *tool_heads_thumbprints(const struct tool_heads *heads)
{
    json_t *list = tool_must(json_array());
    for (size_t i = 0; heads != NULL && i < sg_jwks_num(heads->set); i++) {
        char thumbprint[44];
        struct sg_key_error error;
        struct sg_public_key *key = NULL;
        const struct sg_jwk *jwk = sg_jwks_get(heads->set, i);
        const char *kid = sg_jwk_kid(jwk);
        if (sg_jwk_public(jwk, &key, &error) == SIGNET_OK &&
            sg_public_key_thumbprint(key, thumbprint) == SIGNET_OK) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s}", "kid", kid != NULL ? kid : "",
                                                        "thumbprint", thumbprint));
        }
        sg_public_key_free(key);
    }
    return list;
}
