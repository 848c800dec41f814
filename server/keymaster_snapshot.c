/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of every change: what is published, what is in memory, and the snapshot that requests see.
 */
#include "server/keymaster_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "server/config.h"
#include "server/jwks.h"
#include "server/log.h"

/* The part of a snapshot for one keyset; keys is NULL without memory. */
static struct sg_keyring_part snapshot_part(const struct model_keyset *keyset)
{
    struct sg_keyring_key *keys = calloc(keyset->num_keys + 1, sizeof(*keys));
    for (size_t i = 0; keys != NULL && i < keyset->num_keys; i++) {
        keys[i] = keyset->keys[i].entry;
    }
    return (struct sg_keyring_part){
        .policy = keyset->policy, .keys = keys, .num_keys = keyset->num_keys};
}

static signet_status snapshot_build_parts(struct sg_keymaster *keymaster,
                                          struct sg_keyring_part *parts,
                                          struct sg_trust_issuer **issuers, struct sg_keyring **out)
{
    size_t num = 0;
    size_t num_issuers = sg_trust_num_issuers(keymaster->trust);
    bool complete = true;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        if (keymaster->keysets[i]->policy != NULL) {
            parts[num] = snapshot_part(keymaster->keysets[i]);
            complete = complete && parts[num++].keys != NULL;
        }
    }
    for (size_t i = 0; i < num_issuers; i++) {
        issuers[i] = sg_trust_issuer_at(keymaster->trust, i);
    }
    signet_status status = complete ? sg_keyring_build(parts, num, issuers, num_issuers, out)
                                    : SIGNET_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < num; i++) {
        free((void *)(uintptr_t)parts[i].keys);
    }
    return status;
}

static signet_status snapshot_build(struct sg_keymaster *keymaster, struct sg_keyring **out,
                                    struct model_error error)
{
    struct sg_keyring_part *parts = calloc(keymaster->num_keysets + 1, sizeof(*parts));
    struct sg_trust_issuer **issuers =
        calloc(sg_trust_num_issuers(keymaster->trust) + 1, sizeof(struct sg_trust_issuer *));
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (parts != NULL && issuers != NULL) {
        status = snapshot_build_parts(keymaster, parts, issuers, out);
    }
    free(issuers);
    free(parts);
    if (status == SIGNET_OK) {
        sg_keyring_set_policy(*out, keymaster->policy);
    }
    return status == SIGNET_OK
               ? SIGNET_OK
               : model_fail(error, status, "no memory for the keysets, or a bad name in them");
}

/* Private keys that are to sign, and secrets that are to check, have to be in memory. */
static bool snapshot_is_needed(const struct sg_key *key, int64_t now)
{
    enum sg_key_state state = sg_key_state(key, now);
    bool signs = !key->times.never_signs && (state == SG_KEY_NEXT || state == SG_KEY_ACTIVE);
    return signs || (key->public_key == NULL && sg_key_may_verify(key, now));
}

/* Private keys that will sign no more have no business in memory, and the room for them is bounded. */
static void snapshot_let_go(const struct sg_keyring *keyring, int64_t now)
{
    for (size_t i = 0; i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        for (size_t k = 0; k < keyset->num_keys; k++) {
            const struct sg_key *key = &keyset->keys[k];
            bool is_over = key->span.revoked || now >= model_settled_at(&key->span);
            if (sg_key_slot(key) != 0 && is_over && !snapshot_is_needed(key, now)) {
                sg_key_core_give_slot_back(key->core);
            }
        }
    }
}

/* A number that changes when a public key comes or goes for verifiers. */
static uint64_t snapshot_mark(const struct sg_keyring *keyring, int64_t now)
{
    uint64_t mark = 0;
    for (size_t i = 0; i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        for (size_t k = 0; k < keyset->num_keys; k++) {
            const struct sg_key *key = &keyset->keys[k];
            if (key->public_key != NULL && sg_key_may_verify(key, now)) {
                mark = XXH3_64bits_withSeed(key->kid, key->kid_len, mark + 1);
            }
        }
    }
    return mark;
}

/* Puts the public keys of a snapshot into jwks.json if they are not what is there. What leaves it has left
 * the memory before, so that whatever can sign is published, wherever the clock is set to next. */
static signet_status snapshot_publish(struct sg_keymaster *keymaster,
                                      const struct sg_keyring *keyring, int64_t now,
                                      struct model_error error)
{
    const char *path = keymaster->options.jwks_path;
    uint64_t mark = snapshot_mark(keyring, now);
    snapshot_let_go(keyring, now);
    if (path == NULL || (keymaster->published != NULL && mark == keymaster->published_mark)) {
        return SIGNET_OK;
    }
    char *text = sg_jwks_text(keyring, NULL, now);
    if (text == NULL) {
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for %s", path);
    }
    if (keymaster->published == NULL || strcmp(text, keymaster->published) != 0) {
        signet_status status = sg_jwks_write(path, text, error.text, error.cap);
        if (status != SIGNET_OK) {
            free(text);
            return status;
        }
    }
    free(keymaster->published);
    keymaster->published = text;
    keymaster->published_mark = mark;
    return SIGNET_OK;
}

static signet_status snapshot_load(struct sg_keymaster *keymaster, const struct sg_key *key,
                                   struct model_error error)
{
    struct sg_key_record *record = &keymaster->request->record;
    memcpy(record->keyset, key->keyset->name, sizeof(record->keyset));
    memcpy(record->kid, key->kid, key->kid_len + 1);
    signet_status status = model_store(keymaster, SG_KEYSTORE_LOAD, error);
    if (status == SIGNET_OK) {
        atomic_store_explicit(&key->core->slot, keymaster->reply->slot, memory_order_release);
    }
    return status;
}

/* What cannot be brought in is logged once, and tried again every second: it is no reason to refuse a
 * change of another key. */
static void snapshot_bring_in(struct sg_keymaster *keymaster, const struct sg_keyring *keyring,
                              int64_t now)
{
    char fault[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error error = {.text = fault, .cap = sizeof(fault)};
    for (size_t i = 0; i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        for (size_t k = 0; k < keyset->num_keys; k++) {
            const struct sg_key *key = &keyset->keys[k];
            if (sg_key_slot(key) == 0 && !model_is_ephemeral(keymaster) &&
                snapshot_is_needed(key, now)) {
                signet_status status = snapshot_load(keymaster, key, error);
                (void)status; /* error says it */
            }
        }
    }
    if (strcmp(fault, keymaster->absent) != 0) {
        if (fault[0] != '\0') {
            sg_log(SG_LOG_ERROR, "%s; it is tried again", fault);
        } else {
            sg_log(SG_LOG_INFO, "every key that is needed is in memory again");
        }
        (void)snprintf(keymaster->absent, sizeof(keymaster->absent), "%s", fault);
    }
}

signet_status model_commit(struct sg_keymaster *keymaster, int64_t now, bool whole,
                           struct model_error error)
{
    struct sg_keyring *keyring = NULL;
    signet_status result = snapshot_build(keymaster, &keyring, error);
    if (result == SIGNET_OK) {
        result = snapshot_publish(keymaster, keyring, now, error);
    }
    if (model_has_pending(keymaster)) {
        if (result == SIGNET_OK) {
            result = model_store_pending(keymaster, error);
        }
        model_drop_pending(keymaster);
        sg_keyring_unref(keyring);
        keyring = NULL;
        char unused[256];
        struct model_error other = {.text = unused, .cap = sizeof(unused)};
        struct model_error said = result == SIGNET_OK ? error : other;
        signet_status status = snapshot_build(keymaster, &keyring, said);
        if (status == SIGNET_OK) {
            status = snapshot_publish(keymaster, keyring, now, said);
        }
        result = result == SIGNET_OK ? status : result;
    }
    if (keyring == NULL || (whole && result != SIGNET_OK)) {
        sg_keyring_unref(keyring);
        return result; /* the last snapshot stays */
    }
    snapshot_bring_in(keymaster, keyring, now);
    sg_keyring_holder_set(&keymaster->keyrings, sg_keyring_ref(keyring));
    if (keymaster->show != NULL) {
        keymaster->show(keymaster->show_context, keyring);
    }
    sg_keyring_unref(keyring);
    return result;
}

signet_status model_refresh(struct sg_keymaster *keymaster, int64_t now, struct model_error error)
{
    struct sg_keyring *keyring = sg_keyring_holder_get(&keymaster->keyrings);
    if (keyring == NULL) {
        return SIGNET_OK;
    }
    signet_status status = snapshot_publish(keymaster, keyring, now, error);
    if (status == SIGNET_OK) {
        snapshot_bring_in(keymaster, keyring, now);
    }
    sg_keyring_unref(keyring);
    return status;
}
