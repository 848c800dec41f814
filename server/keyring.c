/* SPDX-License-Identifier: Apache-2.0
 *
 * Keysets and their keys. Owns names, policy, kids and public keys; asks the keyholder for
 * everything else and never sees a private key. Written by one thread before it is shared, then
 * only read.
 */
#include "server/keyring.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base64url.h"
#include "server/config.h"
#include "server/keyholder/keyholder.h"

/* 128 bits: nobody meets one twice, and nothing about the secret can be told from it. */
#define KEYRING_RANDOM_KID_LEN 16u
#define KEYRING_THUMBPRINT_LEN 44u
/* alg, kid and typ with what is around them, in base64url. */
#define KEYRING_MAX_HEADER                                                                         \
    (SG_BASE64URL_LEN(64u + SG_MAX_ALG_NAME_LEN + SG_MAX_KID_LEN + SG_MAX_TYP_LEN) + 1u)

struct sg_keyring {
    struct sg_keyset *keysets;
    size_t num_keysets;
    const struct sg_key **by_kid; /* every key, sorted by length and bytes of its kid */
    size_t num_keys;
};

/* Where a message for people goes. */
struct keyring_error {
    char *text;
    size_t cap;
};

static signet_status __attribute__((format(printf, 3, 4)))
keyring_fail(struct keyring_error error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error.text, error.cap, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- Keys ---- */

static void keyring_key_fini(struct sg_key *key)
{
    sg_public_key_free(key->public_key);
    free(key->header_b64);
    *key = (struct sg_key){0};
}

static void keyring_destroy_slot(struct sg_keyholder *keyholder, uint32_t slot)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = slot};
    struct sg_keyholder_reply reply;
    signet_status status = sg_keyholder_call(keyholder, &request, 1, NULL, 0, &reply);
    (void)status; /* a slot that is not there needs no destroying */
}

static signet_status keyring_ask(struct sg_keyholder *keyholder,
                                 const struct sg_keyholder_request *request, const uint8_t *bytes,
                                 struct sg_keyholder_reply *reply, struct keyring_error error)
{
    signet_status status =
        sg_keyholder_call(keyholder, request, 1, bytes, request->data_len, reply);
    if (status != SIGNET_OK) {
        return keyring_fail(error, status, "the keyholder does not answer");
    }
    if (reply->status != SIGNET_OK) {
        return keyring_fail(error, (signet_status)reply->status, "%s", reply->message);
    }
    return SIGNET_OK;
}

/* Copies the public half of the key in the slot; nothing for a secret. */
static signet_status keyring_fetch_public(struct sg_keyholder *keyholder, struct sg_key *key,
                                          struct keyring_error error)
{
    if (sg_alg_info(key->alg)->family == SG_FAMILY_HMAC) {
        return SIGNET_OK;
    }
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_PUBLIC, .slot = key->slot};
    struct sg_keyholder_reply reply;
    struct sg_key_error why = {{0}};
    signet_status status = keyring_ask(keyholder, &request, NULL, &reply, error);
    if (status != SIGNET_OK) {
        return status;
    }
    status = sg_public_key_from_spki(key->alg, reply.data, reply.data_len, &key->public_key, &why);
    return status == SIGNET_OK ? SIGNET_OK : keyring_fail(error, status, "%s", why.message);
}

/* RFC 7638 for public keys; random for secrets, of which nothing may be told. */
static signet_status keyring_compute_kid(struct sg_key *key, struct keyring_error error)
{
    uint8_t random[KEYRING_RANDOM_KID_LEN];
    _Static_assert(sizeof(key->kid) >= KEYRING_THUMBPRINT_LEN, "a thumbprint must fit a kid");
    if (key->public_key != NULL) {
        char thumbprint[KEYRING_THUMBPRINT_LEN];
        signet_status status = sg_public_key_thumbprint(key->public_key, thumbprint);
        if (status != SIGNET_OK) {
            return keyring_fail(error, status, "the key's thumbprint cannot be computed");
        }
        memcpy(key->kid, thumbprint, sizeof(thumbprint));
        return SIGNET_OK;
    }
    if (getentropy(random, sizeof(random)) != 0) {
        return keyring_fail(error, SIGNET_INTERNAL, "no random bytes for a kid");
    }
    key->kid[sg_base64url_encode(random, sizeof(random), key->kid)] = '\0';
    return SIGNET_OK;
}

static signet_status keyring_set_kid(struct sg_key *key, const char *kid,
                                     struct keyring_error error)
{
    if (kid == NULL) {
        return keyring_compute_kid(key, error);
    }
    size_t len = strlen(kid);
    if (len == 0 || len > SG_MAX_KID_LEN) {
        return keyring_fail(error, SIGNET_INVALID_ARGUMENT, "a kid has 1 to %u bytes",
                            SG_MAX_KID_LEN);
    }
    memcpy(key->kid, kid, len + 1);
    return SIGNET_OK;
}

static signet_status keyring_write_header(struct sg_key *key, const char *typ,
                                          struct keyring_error error)
{
    char header[KEYRING_MAX_HEADER];
    size_t len = sg_jws_header(key->alg, key->kid, typ, header, sizeof(header));
    if (len == 0) {
        return keyring_fail(error, SIGNET_INVALID_ARGUMENT,
                            "kid and typ must be printable ASCII without quotes and backslashes");
    }
    key->header_b64 = strndup(header, len);
    key->header_b64_len = len;
    return key->header_b64 != NULL ? SIGNET_OK
                                   : keyring_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory");
}

/* Has the keyholder do the request, which fills a slot, and describes the key that is there now. On
 * failure the slot is empty again and *out untouched. */
static signet_status keyring_make_key(const struct sg_keyset *keyset,
                                      struct sg_keyholder *keyholder,
                                      const struct sg_keyholder_request *request,
                                      const uint8_t *bytes, const char *kid, struct sg_key *out,
                                      struct keyring_error error)
{
    struct sg_keyholder_reply reply;
    signet_status status = keyring_ask(keyholder, request, bytes, &reply, error);
    if (status != SIGNET_OK) {
        return status;
    }
    struct sg_key key = {.keyset = keyset, .alg = keyset->alg, .slot = reply.slot};
    status = keyring_fetch_public(keyholder, &key, error);
    if (status == SIGNET_OK) {
        status = keyring_set_kid(&key, kid, error);
    }
    if (status == SIGNET_OK) {
        status = keyring_write_header(&key, keyset->typ, error);
    }
    if (status != SIGNET_OK) {
        keyring_destroy_slot(keyholder, key.slot);
        keyring_key_fini(&key);
        return status;
    }
    *out = key;
    return SIGNET_OK;
}

/* ---- Finding by kid ---- */

static int keyring_compare_kids(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len) {
        return a_len < b_len ? -1 : 1;
    }
    return memcmp(a, b, a_len);
}

static int keyring_compare_keys(const void *a, const void *b)
{
    const struct sg_key *const *left = a;
    const struct sg_key *const *right = b;
    return keyring_compare_kids((*left)->kid, strlen((*left)->kid), (*right)->kid,
                                strlen((*right)->kid));
}

static void keyring_sort(struct sg_keyring *keyring)
{
    keyring->num_keys = 0;
    for (size_t i = 0; i < keyring->num_keysets; i++) {
        for (size_t k = 0; k < keyring->keysets[i].num_keys; k++) {
            keyring->by_kid[keyring->num_keys++] = &keyring->keysets[i].keys[k];
        }
    }
    qsort(keyring->by_kid, keyring->num_keys, sizeof(const struct sg_key *), keyring_compare_keys);
}

const struct sg_key *sg_keyring_key(const struct sg_keyring *keyring, const char *kid,
                                    size_t kid_len)
{
    size_t low = 0;
    size_t high = keyring->num_keys;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct sg_key *key = keyring->by_kid[middle];
        int order = keyring_compare_kids(kid, kid_len, key->kid, strlen(key->kid));
        if (order == 0) {
            return key;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* ---- Keysets ---- */

static bool keyring_copy(char *out, size_t out_cap, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len == 0 || len >= out_cap) {
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

static signet_status keyring_make_keyset(const struct sg_config_keyset *config,
                                         struct sg_keyholder *keyholder, int64_t now,
                                         struct sg_keyset *keyset, struct keyring_error error)
{
    keyset->alg = config->alg;
    keyset->default_ttl_s = config->default_ttl_s;
    keyset->max_ttl_s = config->max_ttl_s;
    if (sg_alg_info(config->alg) == NULL ||
        !keyring_copy(keyset->name, sizeof(keyset->name), config->name) ||
        !keyring_copy(keyset->issuer, sizeof(keyset->issuer), config->issuer) ||
        !keyring_copy(keyset->typ, sizeof(keyset->typ), config->typ)) {
        return keyring_fail(error, SIGNET_INVALID_ARGUMENT,
                            "name, alg, issuer or typ is missing or too long");
    }
    keyset->keys = calloc(1, sizeof(*keyset->keys));
    if (keyset->keys == NULL) {
        return keyring_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory");
    }
    const struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_GENERATE, .alg = keyset->alg, .rsa_bits = config->rsa_bits};
    signet_status status =
        keyring_make_key(keyset, keyholder, &request, NULL, NULL, &keyset->keys[0], error);
    if (status == SIGNET_OK) {
        keyset->keys[0].created_at = now;
        keyset->num_keys = 1;
    }
    return status;
}

static signet_status keyring_make_keysets(struct sg_keyring *keyring,
                                          const struct sg_config *config,
                                          struct sg_keyholder *keyholder, int64_t now,
                                          struct keyring_error error)
{
    for (size_t i = 0; i < config->num_keysets; i++) {
        char why[160] = "";
        struct keyring_error inner = {.text = why, .cap = sizeof(why)};
        const char *name = config->keysets[i].name != NULL ? config->keysets[i].name : "(unnamed)";
        signet_status status = SIGNET_ALREADY_EXISTS;
        if (sg_keyring_keyset(keyring, name) != NULL) {
            (void)keyring_fail(inner, status, "the name is taken");
        } else {
            keyring->num_keysets++; /* so that what is half-made is released */
            status = keyring_make_keyset(&config->keysets[i], keyholder, now, &keyring->keysets[i],
                                         inner);
        }
        if (status != SIGNET_OK) {
            return keyring_fail(error, status, "keyset %s: %s", name, why);
        }
    }
    keyring_sort(keyring);
    return SIGNET_OK;
}

signet_status sg_keyring_new(const struct sg_config *config, struct sg_keyholder *keyholder,
                             int64_t now, struct sg_keyring **out, char *error, size_t error_cap)
{
    struct keyring_error message = {.cap = error_cap};
    message.text = error;
    struct sg_keyring *keyring = calloc(1, sizeof(*keyring));
    if (keyring != NULL) {
        keyring->keysets = calloc(config->num_keysets + 1, sizeof(*keyring->keysets));
        keyring->by_kid = calloc(config->num_keysets + 1, sizeof(const struct sg_key *));
    }
    if (keyring == NULL || keyring->keysets == NULL || keyring->by_kid == NULL) {
        sg_keyring_free(keyring);
        return keyring_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keysets");
    }
    signet_status status = keyring_make_keysets(keyring, config, keyholder, now, message);
    if (status != SIGNET_OK) {
        for (size_t i = 0; i < keyring->num_keysets; i++) {
            if (keyring->keysets[i].num_keys > 0) {
                keyring_destroy_slot(keyholder, keyring->keysets[i].keys[0].slot);
            }
        }
        sg_keyring_free(keyring);
        return status;
    }
    *out = keyring;
    return SIGNET_OK;
}

void sg_keyring_free(struct sg_keyring *keyring)
{
    if (keyring == NULL) {
        return;
    }
    for (size_t i = 0; i < keyring->num_keysets; i++) {
        for (size_t k = 0; k < keyring->keysets[i].num_keys; k++) {
            keyring_key_fini(&keyring->keysets[i].keys[k]);
        }
        free(keyring->keysets[i].keys);
    }
    free(keyring->keysets);
    free(keyring->by_kid);
    free(keyring);
}

signet_status sg_keyring_import(struct sg_keyring *keyring, struct sg_keyholder *keyholder,
                                const char *keyset, const char *kid, const uint8_t *material,
                                size_t len, char *error, size_t error_cap)
{
    struct keyring_error message = {.cap = error_cap};
    message.text = error;
    const struct sg_keyset *found = sg_keyring_keyset(keyring, keyset);
    if (found == NULL) {
        return keyring_fail(message, SIGNET_NOT_FOUND, "no keyset of this name");
    }
    if (len > UINT32_MAX) {
        return keyring_fail(message, SIGNET_INVALID_ARGUMENT, "too long for a key");
    }
    const struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_IMPORT, .alg = found->alg, .data_len = (uint32_t)len};
    struct sg_key *old = &found->keys[0];
    struct sg_key fresh = {0};
    signet_status status =
        keyring_make_key(found, keyholder, &request, material, kid, &fresh, message);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct sg_key *holder = sg_keyring_key(keyring, fresh.kid, strlen(fresh.kid));
    if (holder != NULL && holder != old) {
        keyring_destroy_slot(keyholder, fresh.slot);
        keyring_key_fini(&fresh);
        return keyring_fail(message, SIGNET_ALREADY_EXISTS, "another key has this kid");
    }
    fresh.created_at = old->created_at;
    keyring_destroy_slot(keyholder, old->slot);
    keyring_key_fini(old);
    *old = fresh;
    keyring_sort(keyring);
    return SIGNET_OK;
}

size_t sg_keyring_num_keysets(const struct sg_keyring *keyring)
{
    return keyring->num_keysets;
}

const struct sg_keyset *sg_keyring_keyset_at(const struct sg_keyring *keyring, size_t index)
{
    return index < keyring->num_keysets ? &keyring->keysets[index] : NULL;
}

const struct sg_keyset *sg_keyring_keyset(const struct sg_keyring *keyring, const char *name)
{
    for (size_t i = 0; i < keyring->num_keysets; i++) {
        if (strcmp(keyring->keysets[i].name, name) == 0) {
            return &keyring->keysets[i];
        }
    }
    return NULL;
}

/* ---- States ---- */

enum sg_key_state sg_key_state(const struct sg_key *key, int64_t now)
{
    /* Keys live in memory only and no key follows another, so none has a time to begin or to end: one
     * is active from the start, whatever a clock that was set back says. */
    (void)key;
    (void)now;
    return SG_KEY_ACTIVE;
}

const struct sg_key *sg_keyset_signing_key(const struct sg_keyset *keyset, int64_t now)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        if (sg_key_state(&keyset->keys[i], now) == SG_KEY_ACTIVE) {
            return &keyset->keys[i];
        }
    }
    return NULL;
}

bool sg_key_may_verify(const struct sg_key *key, int64_t now)
{
    switch (sg_key_state(key, now)) {
    case SG_KEY_NEXT: /* published already; another clock may be ahead of ours */
    case SG_KEY_ACTIVE:
    case SG_KEY_VERIFY_ONLY:
        return true;
    case SG_KEY_RETIRED:
    case SG_KEY_REVOKED:
        return false;
    }
    return false;
}
