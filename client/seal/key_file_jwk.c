/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys and sets of them (RFC 7517). The keys themselves are read by common/jose/jwk; here is
 * decided what is wanted of each.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/seal/key_file_parts.h"
#include "common/jose/json.h"
#include "common/jose/jwk.h"

/* As those of common/jose/jwk. */
#define KEY_FILE_MAX_JWK   ((size_t)16384)
#define KEY_FILE_MAX_SET   ((size_t)262144)
#define KEY_FILE_MAX_KEYS  ((size_t)256)
#define KEY_FILE_MAX_DEPTH 8u

static bool jwk_has(const json_t *object, const char *name)
{
    return json_object_get(object, name) != NULL;
}

static bool jwk_kty_is(const json_t *object, const char *kty)
{
    const char *text = json_string_value(json_object_get(object, "kty"));
    return text != NULL && strcmp(text, kty) == 0;
}

/* The algorithm to hold the key to: the one that was asked for; of a key that names none itself, by
 * "alg" or by its curve, the default. */
static enum sg_alg jwk_pin(const struct key_file_options *options, const json_t *object)
{
    if (options->alg != SG_ALG_UNSET) {
        return options->alg;
    }
    bool is_bare = !jwk_has(object, "alg") && !jwk_has(object, "crv");
    return is_bare ? options->default_alg : SG_ALG_UNSET;
}

static bool jwk_take(const struct sg_jwk *jwk, struct key_file_key *key,
                     struct key_file_error *error)
{
    const char *kid = sg_jwk_kid(jwk);
    const uint8_t *bytes = NULL;
    size_t len = 0;
    if (sg_jwk_secret(jwk, &bytes, &len) != SIGNET_OK) {
        return key_file_refuse(error, "the JWK has no private part");
    }
    key->alg = sg_jwk_alg(jwk);
    if (kid != NULL) {
        (void)snprintf(key->kid, sizeof(key->kid), "%s", kid);
    }
    return seal_bytes_copy(&key->bytes, bytes, len) ||
           key_file_refuse(error, "no memory for a key");
}

/* text is that of object. */
static bool jwk_read(const struct key_file_options *options, const json_t *object, const char *text,
                     size_t len, struct key_file_key *key, struct key_file_error *error)
{
    bool is_secret = jwk_kty_is(object, "oct");
    struct sg_jwk *jwk = NULL;
    struct sg_key_error why = {{0}};
    if (!is_secret && jwk_has(object, "kty") && !jwk_has(object, "d")) {
        return key_file_refuse(
            error, "the JWK is a public key; importing takes the private one (to verify "
                   "tokens of others, see signet-trust(5))");
    }
    enum sg_alg pin = jwk_pin(options, object);
    if (sg_jwk_parse(text, len, pin, is_secret ? SG_JWK_SECRET : SG_JWK_PRIVATE, &jwk, &why) !=
        SIGNET_OK) {
        const struct sg_alg_info *info = sg_alg_info(pin);
        return info == NULL ? key_file_refuse(error, "%s", why.message)
                            : key_file_refuse(error, "not good for %s: %s%s", info->config_name,
                                              why.message, key_file_alg_hint(options));
    }
    bool is_taken = jwk_take(jwk, key, error);
    sg_jwk_free(jwk);
    return is_taken;
}

bool key_file_read_jwk(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                       struct key_file_key *key, struct key_file_error *error)
{
    const char *detail = NULL;
    json_t *object = NULL;
    if (sg_json_load((const char *)bytes, len, KEY_FILE_MAX_JWK, KEY_FILE_MAX_DEPTH, &object,
                     &detail) != SIGNET_OK) {
        return key_file_refuse(error, "not a JWK: %s", detail);
    }
    bool is_read = false;
    if (jwk_has(object, "keys")) {
        (void)key_file_refuse(error, "this is a JWK Set, not one JWK; say --jwks");
    } else {
        is_read = jwk_read(options, object, (const char *)bytes, len, key, error);
    }
    json_decref(object);
    return is_read;
}

/* ---- Sets (RFC 7517 section 5) ---- */

bool key_file_is_set(const uint8_t *bytes, size_t len)
{
    const char *detail = NULL;
    json_t *object = NULL;
    if (sg_json_load((const char *)bytes, len, KEY_FILE_MAX_SET, KEY_FILE_MAX_DEPTH, &object,
                     &detail) != SIGNET_OK) {
        return false;
    }
    bool is_set = jwk_has(object, "keys");
    json_decref(object);
    return is_set;
}

/* One member, through a buffer for its text. */
static bool jwk_read_member(const struct key_file_options *options, const json_t *object,
                            char *buffer, struct key_file_key *key, struct key_file_error *error)
{
    if (!json_is_object(object)) {
        return key_file_refuse(error, "not a JWK: no JSON object");
    }
    size_t len = json_dumpb(object, buffer, KEY_FILE_MAX_JWK, JSON_COMPACT);
    if (len == 0 || len > KEY_FILE_MAX_JWK) {
        return key_file_refuse(error, "longer than a JWK may be, or no memory");
    }
    return jwk_read(options, object, buffer, len, key, error);
}

static bool jwk_read_members(const struct key_file_options *options, const json_t *keys,
                             struct key_file *file, struct key_file_error *error)
{
    size_t num = json_array_size(keys);
    char *buffer = seal_alloc(KEY_FILE_MAX_JWK);
    file->keys = calloc(num + 1, sizeof(*file->keys));
    file->skipped = calloc(num + 1, sizeof(*file->skipped));
    if (buffer == NULL || file->keys == NULL || file->skipped == NULL) {
        seal_free(buffer);
        return key_file_refuse(error, "no memory for a set of keys");
    }
    for (size_t i = 0; i < num; i++) {
        struct key_file_skipped *skipped = &file->skipped[file->num_skipped];
        if (jwk_read_member(options, json_array_get(keys, i), buffer, &file->keys[file->num_keys],
                            &skipped->error)) {
            file->num_keys++;
        } else {
            skipped->index = i;
            file->num_skipped++;
        }
    }
    seal_free(buffer);
    if (file->num_keys == 0) {
        return num == 0
                   ? key_file_refuse(error, "the JWK Set is empty")
                   : key_file_refuse(error, "none of the %zu keys can be imported; the first: %s",
                                     num, file->skipped[0].error.message);
    }
    return true;
}

bool key_file_read_jwks(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                        struct key_file *file, struct key_file_error *error)
{
    const char *detail = NULL;
    json_t *root = NULL;
    if (sg_json_load((const char *)bytes, len, KEY_FILE_MAX_SET, KEY_FILE_MAX_DEPTH, &root,
                     &detail) != SIGNET_OK) {
        return key_file_refuse(error, "not a JWK Set: %s", detail);
    }
    const json_t *keys = json_object_get(root, "keys");
    bool is_read = false;
    if (!json_is_array(keys) || json_array_size(keys) > KEY_FILE_MAX_KEYS) {
        (void)key_file_refuse(error,
                              "not a JWK Set: \"keys\" is an array of at most %zu keys "
                              "(RFC 7517 section 5)",
                              KEY_FILE_MAX_KEYS);
    } else {
        is_read = jwk_read_members(options, keys, file, error);
    }
    json_decref(root);
    return is_read;
}
