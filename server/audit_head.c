/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads of the audit as JWS. A key is published before it signs its first head, and stays published: heads
 * have no expiry.
 */
#include "server/audit_head.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/jwk.h"
#include "server/config.h"
#include "server/jwks.h"
#include "server/keyholder/keyholder.h"
#include "server/keyring.h"

/* More keys than this were never made by rotation; a file that holds more was not written here. */
#define HEAD_MAX_KEYS 4096u

/* NULL if there is none. */
static const struct sg_key *head_find_key(const struct sg_keyring *keyring, int64_t now)
{
    for (size_t i = 0; i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (keyset->is_internal && strcmp(keyset->name, SG_CONFIG_AUDIT_KEYSET) == 0) {
            return sg_keyset_signing_key(keyset, now);
        }
    }
    return NULL;
}

/* ---- heads.jwks ---- */

/* What the file holds, or an empty set. A file that cannot be read is begun anew: it is for convenience, and
 * who verifies compares the keys with what was noted elsewhere. NULL without memory. */
static json_t *head_read_set(const char *path)
{
    json_t *set = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_array(json_object_get(set, "keys")) &&
        json_array_size(json_object_get(set, "keys")) < HEAD_MAX_KEYS) {
        return set;
    }
    json_decref(set);
    return json_pack("{s:[]}", "keys");
}

static bool head_has_kid(const json_t *keys, const char *kid)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(keys, i), "kid"));
        if (other != NULL && strcmp(other, kid) == 0) {
            return true;
        }
    }
    return false;
}

static signet_status head_write_set(const char *path, json_t *set, const struct sg_key *key)
{
    char error[512];
    json_t *keys = json_object_get(set, "keys");
    if (head_has_kid(keys, key->kid)) {
        return SIGNET_OK;
    }
    /* Takes over the new object, and fails if that is NULL. */
    if (json_array_append_new(keys, sg_jwk_write(key->public_key, key->kid)) != 0) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    char *text = json_dumps(set, JSON_COMPACT);
    if (text == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = sg_jwks_write(path, text, error, sizeof(error));
    free(text);
    return status;
}

static signet_status head_publish(struct sg_audit_head *head, const struct sg_key *key)
{
    if (strcmp(head->published, key->kid) == 0) {
        return SIGNET_OK;
    }
    json_t *set = head_read_set(head->path);
    if (set == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = head_write_set(head->path, set, key);
    json_decref(set);
    if (status == SIGNET_OK) {
        memcpy(head->published, key->kid, key->kid_len + 1);
    }
    return status;
}

/* ---- The signature ---- */

/* header '.' payload, then '.' signature (RFC 7515 section 7.1). */
static signet_status head_make(const struct sg_audit_head *head, const struct sg_key *key,
                               const char *payload, size_t payload_len, char jws[SG_AUDIT_MAX_JWS])
{
    size_t len = key->header_b64_len + 1 + SG_BASE64URL_LEN(payload_len);
    struct sg_keyholder_request request = {.op = SG_KEYHOLDER_SIGN, .slot = sg_key_slot(key)};
    struct sg_keyholder_reply reply;
    if (len + 2 + SG_BASE64URL_LEN(sizeof(reply.data)) > SG_AUDIT_MAX_JWS) {
        return SIGNET_INTERNAL;
    }
    memcpy(jws, key->header_b64, key->header_b64_len);
    jws[key->header_b64_len] = '.';
    (void)sg_base64url_encode((const uint8_t *)payload, payload_len, jws + key->header_b64_len + 1);
    request.data_len = (uint32_t)len;
    signet_status status =
        sg_keyholder_call(head->keyholder, &request, 1, (const uint8_t *)jws, len, &reply);
    if (status != SIGNET_OK) {
        return status;
    }
    if (reply.status != SIGNET_OK || reply.data_len == 0 || reply.data_len > sizeof(reply.data)) {
        return SIGNET_UNAVAILABLE; /* it is being loaded, or was revoked just now */
    }
    jws[len++] = '.';
    len += sg_base64url_encode(reply.data, reply.data_len, jws + len);
    jws[len] = '\0';
    return SIGNET_OK;
}

signet_status sg_audit_head_sign(void *context, const char *payload, size_t len,
                                 char jws[SG_AUDIT_MAX_JWS])
{
    struct sg_audit_head *head = context;
    struct sg_keyring *keyring = sg_keyring_holder_get(head->keyrings);
    const struct sg_key *key = keyring != NULL ? head_find_key(keyring, head->read_wall_s()) : NULL;
    signet_status status = SIGNET_FAILED_PRECONDITION;
    if (key != NULL && key->header_b64 != NULL && key->public_key != NULL) {
        status = head_publish(head, key);
        if (status == SIGNET_OK) {
            status = head_make(head, key, payload, len, jws);
        }
    }
    sg_keyring_unref(keyring);
    return status;
}
