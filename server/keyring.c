/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots of keysets and keys: building one, and finding things in it. Owns names, policy, kids and
 * public keys; never sees a private key.
 */
#include "server/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "server/config.h"
#include "server/keyholder/keyholder.h"
#include "server/name_index.h"
#include "server/policy.h"
#include "server/trust.h"

/* alg, kid and typ with what is around them, in base64url. */
#define KEYRING_MAX_HEADER                                                                         \
    (SG_BASE64URL_LEN(64u + SG_MAX_ALG_NAME_LEN + SG_MAX_KID_LEN + SG_MAX_TYP_LEN) + 1u)

struct sg_keyring {
    atomic_uint num_refs;
    struct sg_keyset *keysets; /* ours, then the foreign ones */
    size_t num_keysets, num_foreign;
    struct sg_policy *policy;
    /* Every key that has a kid, equal kids side by side, ours before foreign ones. */
    const struct sg_key **by_kid;
    size_t num_keys;
    struct sg_name_index kid_index;    /* to the first of its kid in by_kid */
    struct sg_name_index header_index; /* to by_kid */
    struct sg_name_index name_index;   /* to keysets */
};

/* ---- Cores ---- */

static void core_destroy_slot(struct sg_keyholder *keyholder, uint64_t slot)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = slot};
    struct sg_keyholder_reply reply;
    if (slot != 0) {
        signet_status status = sg_keyholder_call(keyholder, &request, 1, NULL, 0, &reply);
        (void)status; /* a slot that is not there needs no destroying */
    }
}

struct sg_key_core *sg_key_core_new(struct sg_keyholder *keyholder, enum sg_alg alg,
                                    const char *kid, struct sg_public_key *public_key,
                                    uint64_t slot)
{
    struct sg_key_core *core = calloc(1, sizeof(*core));
    if (core == NULL) {
        sg_public_key_free(public_key);
        core_destroy_slot(keyholder, slot);
        return NULL;
    }
    atomic_init(&core->num_refs, 1);
    core->keyholder = keyholder;
    core->alg = alg;
    core->kid_len = strnlen(kid, SG_MAX_KID_LEN);
    memcpy(core->kid, kid, core->kid_len);
    core->public_key = public_key;
    atomic_init(&core->slot, slot);
    core->expiry_before_is_exact = true;
    atomic_init(&core->expiry, 0);
    return core;
}

void sg_key_core_give_slot_back(struct sg_key_core *core)
{
    core_destroy_slot(core->keyholder, atomic_exchange(&core->slot, 0));
}

void sg_key_core_forget_slot(struct sg_key_core *core)
{
    atomic_store_explicit(&core->slot, 0, memory_order_release);
}

struct sg_key_core *sg_key_core_ref(struct sg_key_core *core)
{
    (void)atomic_fetch_add_explicit(&core->num_refs, 1, memory_order_relaxed);
    return core;
}

void sg_key_core_unref(struct sg_key_core *core)
{
    if (core == NULL || atomic_fetch_sub_explicit(&core->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    sg_key_core_give_slot_back(core);
    sg_public_key_free(core->public_key);
    free(core);
}

void sg_key_core_note_expiry(struct sg_key_core *core, int64_t expiry)
{
    int_least64_t seen = atomic_load_explicit(&core->expiry, memory_order_relaxed);
    while (expiry > seen &&
           !atomic_compare_exchange_weak_explicit(&core->expiry, &seen, expiry,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

int64_t sg_key_core_last_expiry(const struct sg_key_core *core)
{
    int64_t expiry = atomic_load_explicit(&core->expiry, memory_order_relaxed);
    return expiry > core->expiry_before ? expiry : core->expiry_before;
}

bool sg_key_core_expiry_is_exact(const struct sg_key_core *core)
{
    return core->expiry_before_is_exact ||
           atomic_load_explicit(&core->expiry, memory_order_relaxed) >= core->expiry_before;
}

/* ---- Building ---- */

static signet_status keyring_write_header(struct sg_key *key, const char *typ)
{
    char header[KEYRING_MAX_HEADER];
    size_t len = sg_jws_header(key->alg, key->kid, typ, header, sizeof(header));
    if (len == 0) {
        return SIGNET_INVALID_ARGUMENT;
    }
    key->header_b64 = strndup(header, len);
    key->header_b64_len = len;
    return key->header_b64 != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

static signet_status keyring_add_key(struct sg_keyset *keyset, const struct sg_keyring_key *from,
                                     const struct sg_key_span *span)
{
    struct sg_key *key = &keyset->keys[keyset->num_keys++];
    *key = (struct sg_key){
        .keyset = keyset,
        .core = sg_key_core_ref(from->core),
        .alg = from->core->alg,
        .kid = from->core->kid,
        .kid_len = from->core->kid_len,
        .public_key = from->core->public_key,
        .rsa_bits = sg_public_key_rsa_bits(from->core->public_key),
        .times = from->times,
        .span = *span,
        .imported = from->imported,
    };
    return from->times.never_signs ? SIGNET_OK : keyring_write_header(key, keyset->typ);
}

static bool keyring_copy(char *out, size_t out_cap, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len == 0 || len >= out_cap) {
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

static signet_status keyring_fill_keys(struct sg_keyset *keyset, const struct sg_keyring_part *part)
{
    struct sg_key_times *times = calloc(part->num_keys + 1, sizeof(*times));
    struct sg_key_span *spans = calloc(part->num_keys + 1, sizeof(*spans));
    keyset->keys = calloc(part->num_keys + 1, sizeof(*keyset->keys));
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (times != NULL && spans != NULL && keyset->keys != NULL) {
        for (size_t i = 0; i < part->num_keys; i++) {
            times[i] = part->keys[i].times;
        }
        if (sg_rotation_spans(times, part->num_keys, keyset->policy.overlap_s, spans)) {
            status = SIGNET_OK;
        }
    }
    for (size_t i = 0; status == SIGNET_OK && i < part->num_keys; i++) {
        status = keyring_add_key(keyset, &part->keys[i], &spans[i]);
    }
    free(spans);
    free(times);
    return status;
}

static signet_status keyring_fill_keyset(struct sg_keyset *keyset,
                                         const struct sg_keyring_part *part)
{
    const struct sg_config_keyset *policy = part->policy;
    keyset->alg = policy->alg;
    keyset->is_internal = policy->is_internal;
    keyset->default_ttl_s = policy->default_ttl_s;
    keyset->max_ttl_s = policy->max_ttl_s;
    keyset->policy = (struct sg_rotation_policy){
        .rotate_every_s = policy->rotate_every_s,
        .publish_lead_s = policy->publish_lead_s,
        .overlap_s = policy->overlap_s,
    };
    if (sg_alg_info(policy->alg) == NULL ||
        !keyring_copy(keyset->name, sizeof(keyset->name), policy->name) ||
        !keyring_copy(keyset->issuer, sizeof(keyset->issuer), policy->issuer) ||
        !keyring_copy(keyset->typ, sizeof(keyset->typ), policy->typ)) {
        return SIGNET_INVALID_ARGUMENT;
    }
    return keyring_fill_keys(keyset, part);
}

/* A foreign issuer's keys verify, never sign, and end when its file says so. */
static signet_status keyring_fill_foreign(struct sg_keyset *keyset, struct sg_trust_issuer *issuer)
{
    keyset->foreign = sg_trust_issuer_ref(issuer);
    memcpy(keyset->name, issuer->name, sizeof(keyset->name));
    memcpy(keyset->issuer, issuer->issuer, sizeof(keyset->issuer));
    keyset->keys = calloc(issuer->num_keys + 1, sizeof(*keyset->keys));
    if (keyset->keys == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    for (size_t i = 0; i < issuer->num_keys; i++) {
        const struct sg_trust_key *from = &issuer->keys[i];
        keyset->keys[keyset->num_keys++] = (struct sg_key){
            .keyset = keyset,
            .alg = from->alg,
            .kid = from->kid,
            .kid_len = strlen(from->kid),
            .public_key = from->public_key,
            .rsa_bits = sg_public_key_rsa_bits(from->public_key),
            .times = {.never_signs = true},
            .span = {.signs_from = SG_TIME_NEVER,
                     .signs_until = SG_TIME_NEVER,
                     .keep_until = SG_TIME_NEVER},
            .imported = true,
        };
    }
    return SIGNET_OK;
}

static int keyring_compare_kids(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len) {
        return a_len < b_len ? -1 : 1;
    }
    return memcmp(a, b, a_len);
}

static int keyring_compare_keys(const void *a, const void *b)
{
    const struct sg_key *left = *(const struct sg_key *const *)a;
    const struct sg_key *right = *(const struct sg_key *const *)b;
    int order = keyring_compare_kids(left->kid, left->kid_len, right->kid, right->kid_len);
    if (order != 0) {
        return order;
    }
    bool left_foreign = left->keyset->foreign != NULL;
    bool right_foreign = right->keyset->foreign != NULL;
    if (left_foreign != right_foreign) {
        return left_foreign ? 1 : -1;
    }
    return left->keyset < right->keyset ? -1 : left->keyset > right->keyset;
}

static bool keyring_index(struct sg_keyring *keyring)
{
    size_t num_sets = keyring->num_keysets + keyring->num_foreign;
    size_t num_keys = 0;
    for (size_t i = 0; i < num_sets; i++) {
        num_keys += keyring->keysets[i].num_keys;
    }
    keyring->by_kid = calloc(num_keys + 1, sizeof(*keyring->by_kid));
    if (keyring->by_kid == NULL || !sg_name_index_init(&keyring->kid_index, num_keys) ||
        !sg_name_index_init(&keyring->header_index, num_keys) ||
        !sg_name_index_init(&keyring->name_index, num_sets)) {
        return false;
    }
    for (size_t i = 0; i < num_sets; i++) {
        const struct sg_keyset *keyset = &keyring->keysets[i];
        if (keyset->is_internal) {
            continue; /* it is found by no name and no kid */
        }
        sg_name_index_put(&keyring->name_index, keyset->name, strlen(keyset->name), (uint32_t)i);
        for (size_t k = 0; k < keyset->num_keys; k++) {
            if (keyset->keys[k].kid_len > 0) {
                keyring->by_kid[keyring->num_keys++] = &keyset->keys[k];
            }
        }
    }
    qsort(keyring->by_kid, keyring->num_keys, sizeof(*keyring->by_kid), keyring_compare_keys);
    for (size_t i = 0; i < keyring->num_keys; i++) {
        const struct sg_key *key = keyring->by_kid[i];
        const struct sg_key *before = i > 0 ? keyring->by_kid[i - 1] : NULL;
        if (before == NULL ||
            keyring_compare_kids(before->kid, before->kid_len, key->kid, key->kid_len) != 0) {
            sg_name_index_put(&keyring->kid_index, key->kid, key->kid_len, (uint32_t)i);
        }
        if (key->header_b64 != NULL) {
            sg_name_index_put(&keyring->header_index, key->header_b64, key->header_b64_len,
                              (uint32_t)i);
        }
    }
    return true;
}

signet_status sg_keyring_build(const struct sg_keyring_part *parts, size_t num_parts,
                               struct sg_trust_issuer *const *issuers, size_t num_issuers,
                               struct sg_keyring **out)
{
    struct sg_keyring *keyring = calloc(1, sizeof(*keyring));
    if (keyring == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    atomic_init(&keyring->num_refs, 1);
    keyring->keysets = calloc(num_parts + num_issuers + 1, sizeof(*keyring->keysets));
    signet_status status = keyring->keysets != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
    for (size_t i = 0; status == SIGNET_OK && i < num_parts; i++) {
        status = keyring_fill_keyset(&keyring->keysets[keyring->num_keysets++], &parts[i]);
    }
    for (size_t i = 0; status == SIGNET_OK && i < num_issuers; i++) {
        status =
            keyring_fill_foreign(&keyring->keysets[num_parts + keyring->num_foreign++], issuers[i]);
    }
    if (status == SIGNET_OK && !keyring_index(keyring)) {
        status = SIGNET_RESOURCE_EXHAUSTED;
    }
    if (status != SIGNET_OK) {
        sg_keyring_unref(keyring);
        return status;
    }
    *out = keyring;
    return SIGNET_OK;
}

struct sg_keyring *sg_keyring_ref(struct sg_keyring *keyring)
{
    (void)atomic_fetch_add_explicit(&keyring->num_refs, 1, memory_order_relaxed);
    return keyring;
}

void sg_keyring_unref(struct sg_keyring *keyring)
{
    if (keyring == NULL ||
        atomic_fetch_sub_explicit(&keyring->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < keyring->num_keysets + keyring->num_foreign; i++) {
        struct sg_keyset *keyset = &keyring->keysets[i];
        for (size_t k = 0; k < keyset->num_keys; k++) {
            sg_key_core_unref(keyset->keys[k].core);
            free(keyset->keys[k].header_b64);
        }
        free(keyset->keys);
        sg_trust_issuer_unref(keyset->foreign);
    }
    sg_policy_unref(keyring->policy);
    sg_name_index_fini(&keyring->kid_index);
    sg_name_index_fini(&keyring->header_index);
    sg_name_index_fini(&keyring->name_index);
    free(keyring->by_kid);
    free(keyring->keysets);
    free(keyring);
}

void sg_keyring_set_policy(struct sg_keyring *keyring, struct sg_policy *policy)
{
    struct sg_policy *before = keyring->policy;
    keyring->policy = policy != NULL ? sg_policy_ref(policy) : NULL;
    sg_policy_unref(before);
}

struct sg_policy *sg_keyring_policy(const struct sg_keyring *keyring)
{
    return keyring->policy;
}

/* ---- Finding ---- */

size_t sg_keyring_num_keysets(const struct sg_keyring *keyring)
{
    return keyring->num_keysets;
}

size_t sg_keyring_num_foreign(const struct sg_keyring *keyring)
{
    return keyring->num_foreign;
}

size_t sg_keyring_num_keys(const struct sg_keyring *keyring)
{
    return keyring->num_keys;
}

const struct sg_keyset *sg_keyring_foreign_at(const struct sg_keyring *keyring, size_t index)
{
    return index < keyring->num_foreign ? &keyring->keysets[keyring->num_keysets + index] : NULL;
}

const struct sg_keyset *sg_keyring_keyset_at(const struct sg_keyring *keyring, size_t index)
{
    return index < keyring->num_keysets ? &keyring->keysets[index] : NULL;
}

const struct sg_keyset *sg_keyring_keyset(const struct sg_keyring *keyring, const char *name)
{
    struct sg_name_index_search search;
    uint32_t at = 0;
    sg_name_index_begin(&keyring->name_index, name, strlen(name), &search);
    while (sg_name_index_next(&search, &at)) {
        if (strcmp(keyring->keysets[at].name, name) == 0) {
            return &keyring->keysets[at];
        }
    }
    return NULL;
}

const struct sg_key *const *sg_keyring_keys(const struct sg_keyring *keyring, const char *kid,
                                            size_t kid_len, size_t *num)
{
    struct sg_name_index_search search;
    uint32_t first = 0;
    sg_name_index_begin(&keyring->kid_index, kid, kid_len, &search);
    while (sg_name_index_next(&search, &first)) {
        size_t end = first;
        while (end < keyring->num_keys &&
               keyring_compare_kids(keyring->by_kid[end]->kid, keyring->by_kid[end]->kid_len, kid,
                                    kid_len) == 0) {
            end++;
        }
        if (end > first) {
            *num = end - first;
            return &keyring->by_kid[first];
        }
    }
    *num = 0;
    return NULL;
}

const struct sg_key *sg_keyring_key_of_header(const struct sg_keyring *keyring,
                                              const char *header_b64, size_t len)
{
    struct sg_name_index_search search;
    uint32_t at = 0;
    sg_name_index_begin(&keyring->header_index, header_b64, len, &search);
    while (sg_name_index_next(&search, &at)) {
        const struct sg_key *key = keyring->by_kid[at];
        if (key->header_b64_len == len && memcmp(key->header_b64, header_b64, len) == 0) {
            return key;
        }
    }
    return NULL;
}

/* ---- States ---- */

static int64_t key_last_expiry(const struct sg_key *key)
{
    return key->core != NULL ? sg_key_core_last_expiry(key->core) : 0;
}

enum sg_key_state sg_key_state(const struct sg_key *key, int64_t now)
{
    return sg_rotation_state(&key->span, key_last_expiry(key), now);
}

int64_t sg_key_verify_until(const struct sg_key *key)
{
    return sg_rotation_verify_until(&key->span, key_last_expiry(key));
}

uint64_t sg_key_slot(const struct sg_key *key)
{
    return key->core != NULL ? atomic_load_explicit(&key->core->slot, memory_order_acquire) : 0;
}

const struct sg_key *sg_keyset_signing_key(const struct sg_keyset *keyset, int64_t now)
{
    const struct sg_key *other = NULL;
    for (size_t i = 0; i < keyset->num_keys; i++) {
        const struct sg_key *key = &keyset->keys[i];
        enum sg_key_state state = sg_key_state(key, now);
        if (sg_key_slot(key) == 0) {
            continue;
        }
        if (state == SG_KEY_ACTIVE) {
            return key;
        }
        /* A clock that was set far back asks for a key that is not in memory: until the keymaster has
         * brought it there, the nearest after it signs, which is published too. */
        if (state == SG_KEY_NEXT &&
            (other == NULL || key->span.signs_from < other->span.signs_from)) {
            other = key;
        }
    }
    return other;
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

/* ---- The snapshot of now ---- */

void sg_keyring_holder_init(struct sg_keyring_holder *holder)
{
    /* Cannot fail on Linux with default attributes. */
    (void)pthread_mutex_init(&holder->mutex, NULL);
    holder->current = NULL;
}

void sg_keyring_holder_fini(struct sg_keyring_holder *holder)
{
    sg_keyring_unref(holder->current);
    holder->current = NULL;
    (void)pthread_mutex_destroy(&holder->mutex);
}

struct sg_keyring *sg_keyring_holder_get(struct sg_keyring_holder *holder)
{
    (void)pthread_mutex_lock(&holder->mutex);
    struct sg_keyring *keyring = holder->current != NULL ? sg_keyring_ref(holder->current) : NULL;
    (void)pthread_mutex_unlock(&holder->mutex);
    return keyring;
}

void sg_keyring_holder_set(struct sg_keyring_holder *holder, struct sg_keyring *keyring)
{
    (void)pthread_mutex_lock(&holder->mutex);
    struct sg_keyring *old = holder->current;
    holder->current = keyring;
    (void)pthread_mutex_unlock(&holder->mutex);
    sg_keyring_unref(old); /* outside: releasing one takes a while */
}
