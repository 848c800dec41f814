/* SPDX-License-Identifier: Apache-2.0
 *
 * What the keymaster knows, and the first steps of every change: what the calendar asks for, making keys and
 * storing them.
 */
#include "server/keymaster_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base64url.h"
#include "server/config.h"
#include "server/log.h"

/* 128 bits: nobody meets one twice, and nothing about the secret can be told from it. */
#define MODEL_RANDOM_KID_LEN 16u
#define MODEL_THUMBPRINT_LEN 44u
/* A plan is done step by step; it never takes as many as this. */
#define MODEL_MAX_STEPS 8u

signet_status model_fail(struct model_error error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error.text, error.cap, format, arguments);
    va_end(arguments);
    return status;
}

bool model_is_ephemeral(const struct sg_keymaster *keymaster)
{
    return sg_config_is_ephemeral(keymaster->config);
}

int64_t model_now(const struct sg_keymaster *keymaster)
{
    return keymaster->options.read_wall_s();
}

/* ---- Finding ---- */

struct model_keyset *model_find(const struct sg_keymaster *keymaster, const char *name)
{
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        if (strcmp(keymaster->keysets[i]->name, name) == 0) {
            return keymaster->keysets[i];
        }
    }
    return NULL;
}

struct model_keyset *model_keyset(struct sg_keymaster *keymaster, const char *name)
{
    /* Files come keyset by keyset. */
    size_t num = keymaster->num_keysets;
    if (num > 0 && strcmp(keymaster->keysets[num - 1]->name, name) == 0) {
        return keymaster->keysets[num - 1];
    }
    struct model_keyset *keyset = model_find(keymaster, name);
    if (keyset != NULL || strlen(name) >= sizeof(keyset->name)) {
        return keyset;
    }
    if (keymaster->num_keysets == keymaster->cap_keysets) {
        size_t cap = 2 * keymaster->cap_keysets + 16;
        struct model_keyset **list = realloc(keymaster->keysets, cap * sizeof(*list));
        if (list == NULL) {
            return NULL;
        }
        keymaster->keysets = list;
        keymaster->cap_keysets = cap;
    }
    keyset = calloc(1, sizeof(*keyset));
    if (keyset != NULL) {
        (void)snprintf(keyset->name, sizeof(keyset->name), "%s", name);
        keyset->due_at = SG_TIME_NEVER;
        keymaster->keysets[keymaster->num_keysets++] = keyset;
    }
    return keyset;
}

struct model_key *model_key(const struct model_keyset *keyset, const char *kid)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        if (strcmp(keyset->keys[i].entry.core->kid, kid) == 0) {
            return &keyset->keys[i];
        }
    }
    return NULL;
}

bool model_spans(const struct model_keyset *keyset, struct sg_key_times **times,
                 struct sg_key_span **spans)
{
    uint32_t overlap_s = keyset->policy != NULL ? keyset->policy->overlap_s : 0;
    *times = calloc(keyset->num_keys + 1, sizeof(**times));
    *spans = calloc(keyset->num_keys + 1, sizeof(**spans));
    bool complete = *times != NULL && *spans != NULL;
    for (size_t i = 0; complete && i < keyset->num_keys; i++) {
        (*times)[i] = keyset->keys[i].entry.times;
    }
    if (!complete || !sg_rotation_spans(*times, keyset->num_keys, overlap_s, *spans)) {
        free(*times);
        free(*spans);
        return false;
    }
    return true;
}

/* The keysets of the file, and last the audit's, if there is one; NULL past the last. */
static const struct sg_config_keyset *model_policy_at(const struct sg_config *config, size_t index)
{
    if (index < config->num_keysets) {
        return &config->keysets[index];
    }
    return index == config->num_keysets ? sg_config_audit_keyset(config) : NULL;
}

bool model_configure(struct sg_keymaster *keymaster, const struct sg_config *config)
{
    const struct sg_config_keyset *policy = NULL;
    for (size_t i = 0; (policy = model_policy_at(config, i)) != NULL; i++) {
        if (model_keyset(keymaster, policy->name) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        keymaster->keysets[i]->policy = NULL;
    }
    /* Each goes to its place in the order of the configuration, what was there to the place it leaves. */
    for (size_t i = 0; (policy = model_policy_at(config, i)) != NULL; i++) {
        for (size_t k = i; k < keymaster->num_keysets; k++) {
            struct model_keyset *keyset = keymaster->keysets[k];
            if (strcmp(keyset->name, policy->name) == 0) {
                keymaster->keysets[k] = keymaster->keysets[i];
                keymaster->keysets[i] = keyset;
                keyset->policy = policy;
                break;
            }
        }
    }
    keymaster->config = config;
    return true;
}

/* ---- Keyholder and keystore ---- */

static signet_status model_ask(struct sg_keymaster *keymaster,
                               const struct sg_keyholder_request *request, const uint8_t *bytes,
                               struct sg_keyholder_reply *reply, struct model_error error)
{
    signet_status status = sg_keyholder_call(keymaster->options.keyholder, request, 1, bytes,
                                             request->data_len, reply);
    if (status != SIGNET_OK) {
        return model_fail(error, status, "the keyholder does not answer");
    }
    if (reply->status != SIGNET_OK) {
        return model_fail(error, (signet_status)reply->status, "%s", reply->message);
    }
    return SIGNET_OK;
}

signet_status model_store(struct sg_keymaster *keymaster, uint32_t op, struct model_error error)
{
    keymaster->request->op = op;
    signet_status status =
        sg_keyholder_keystore(keymaster->options.keyholder, keymaster->request, keymaster->reply);
    memset(keymaster->request, 0, sizeof(*keymaster->request));
    if (status != SIGNET_OK) {
        return model_fail(error, status, "the keyholder does not answer");
    }
    if (keymaster->reply->status != SIGNET_OK) {
        return model_fail(error, (signet_status)keymaster->reply->status, "%s",
                          keymaster->reply->message);
    }
    return SIGNET_OK;
}

static void model_name_key(struct sg_keymaster *keymaster, const struct model_keyset *keyset,
                           const struct sg_key_core *core)
{
    struct sg_key_record *record = &keymaster->request->record;
    memcpy(record->keyset, keyset->name, sizeof(record->keyset));
    memcpy(record->kid, core->kid, sizeof(record->kid));
}

/* ---- Making ---- */

/* The public half of the key in the slot; NULL for a secret. */
static signet_status model_fetch_public(struct sg_keymaster *keymaster, enum sg_alg alg,
                                        uint64_t slot, struct sg_public_key **out,
                                        struct sg_keyholder_reply *reply, struct model_error error)
{
    reply->data_len = 0;
    if (sg_alg_info(alg)->family == SG_FAMILY_HMAC) {
        *out = NULL;
        return SIGNET_OK;
    }
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_PUBLIC, .slot = slot};
    struct sg_key_error why = {{0}};
    signet_status status = model_ask(keymaster, &request, NULL, reply, error);
    if (status == SIGNET_OK) {
        status = sg_public_key_from_spki(alg, reply->data, reply->data_len, out, &why);
        if (status != SIGNET_OK) {
            (void)model_fail(error, status, "%s", why.message);
        }
    }
    return status;
}

/* RFC 7638 for public keys; random for secrets, of which nothing may be told. */
static signet_status model_compute_kid(const struct sg_public_key *public_key,
                                       char kid[SG_MAX_KID_LEN + 1], struct model_error error)
{
    uint8_t random[MODEL_RANDOM_KID_LEN];
    _Static_assert(SG_MAX_KID_LEN >= MODEL_THUMBPRINT_LEN, "a thumbprint must fit a kid");
    if (public_key != NULL) {
        signet_status status = sg_public_key_thumbprint(public_key, kid);
        return status == SIGNET_OK
                   ? SIGNET_OK
                   : model_fail(error, status, "the key's thumbprint cannot be computed");
    }
    if (getentropy(random, sizeof(random)) != 0) {
        return model_fail(error, SIGNET_INTERNAL, "no random bytes for a kid");
    }
    kid[sg_base64url_encode(random, sizeof(random), kid)] = '\0';
    return SIGNET_OK;
}

/* A keyset whose keys have this kid already. For public keys any counts: all of them are published in one
 * set, where kids must differ (RFC 7517 section 4.5). */
static const struct model_keyset *model_kid_taken(const struct sg_keymaster *keymaster,
                                                  const struct model_keyset *keyset,
                                                  const char *kid, bool is_public)
{
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        const struct model_keyset *other = keymaster->keysets[i];
        const struct model_key *key = other == keyset || is_public ? model_key(other, kid) : NULL;
        if (key != NULL && (other == keyset || key->entry.core->public_key != NULL)) {
            return other;
        }
    }
    return NULL;
}

static signet_status model_choose_kid(const struct sg_keymaster *keymaster,
                                      const struct model_keyset *keyset,
                                      const struct model_new_key *new_key,
                                      const struct sg_public_key *public_key,
                                      char kid[SG_MAX_KID_LEN + 1], struct model_error error)
{
    char header[1024];
    if (new_key->kid == NULL || new_key->kid[0] == '\0') {
        signet_status status = model_compute_kid(public_key, kid, error);
        if (status != SIGNET_OK) {
            return status;
        }
    } else if (strlen(new_key->kid) > SG_MAX_KID_LEN ||
               sg_jws_header(new_key->alg, new_key->kid, NULL, header, sizeof(header)) == 0) {
        return model_fail(error, SIGNET_INVALID_ARGUMENT,
                          "kid: expected 1 to %u characters of printable ASCII without quotes and "
                          "backslashes",
                          SG_MAX_KID_LEN);
    } else {
        (void)snprintf(kid, SG_MAX_KID_LEN + 1, "%s", new_key->kid);
    }
    const struct model_keyset *other = model_kid_taken(keymaster, keyset, kid, public_key != NULL);
    if (other != NULL) {
        const struct model_key *taken = model_key(other, kid);
        bool is_revoked = taken != NULL && taken->entry.times.revoked_at != 0;
        return model_fail(error, SIGNET_ALREADY_EXISTS,
                          "keyset %s has a key %s already%s; --kid gives this one another name",
                          other->name, kid,
                          is_revoked ? ", which is revoked, and its kid is not used again" : "");
    }
    return SIGNET_OK;
}

bool model_reserve_key(struct model_keyset *keyset)
{
    if (keyset->num_keys < keyset->cap_keys) {
        return true;
    }
    size_t cap = 2 * keyset->cap_keys + 4;
    struct model_key *keys = realloc(keyset->keys, cap * sizeof(*keys));
    if (keys == NULL) {
        return false;
    }
    keyset->keys = keys;
    keyset->cap_keys = cap;
    return true;
}

static uint32_t model_next_seq(const struct model_keyset *keyset)
{
    uint32_t seq = 0;
    for (size_t i = 0; i < keyset->num_keys; i++) {
        seq = keyset->keys[i].entry.times.seq > seq ? keyset->keys[i].entry.times.seq : seq;
    }
    return seq + 1;
}

/* Puts the key that is in the slot into the model; the slot is taken over, whatever this returns. */
static signet_status model_adopt(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                                 const struct model_new_key *new_key, uint64_t slot, int64_t now,
                                 struct model_error error)
{
    struct sg_keyholder *keyholder = keymaster->options.keyholder;
    struct sg_keyholder_reply reply;
    struct sg_public_key *public_key = NULL;
    char kid[SG_MAX_KID_LEN + 1] = "";
    signet_status status =
        model_fetch_public(keymaster, new_key->alg, slot, &public_key, &reply, error);
    if (status == SIGNET_OK) {
        status = model_choose_kid(keymaster, keyset, new_key, public_key, kid, error);
    }
    /* In any case: a core that is released gives back what it has taken over. */
    struct sg_key_core *core = sg_key_core_new(keyholder, new_key->alg, kid, public_key, slot);
    if (status == SIGNET_OK && (core == NULL || !model_reserve_key(keyset))) {
        status = model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for a key");
    }
    if (status != SIGNET_OK) {
        sg_key_core_unref(core);
        return status;
    }
    keyset->keys[keyset->num_keys] = (struct model_key){
        .entry = {.core = core,
                  .times = {.seq = model_next_seq(keyset),
                            .max_ttl_s = new_key->verify_only ? 0 : keyset->policy->max_ttl_s,
                            .never_signs = new_key->verify_only,
                            .created_at = now,
                            .sign_from = new_key->verify_only ? 0 : new_key->sign_from,
                            .verify_until = new_key->verify_only ? new_key->verify_until : 0},
                  .imported = new_key->sealed != NULL},
        .pending = true,
    };
    keyset->num_keys++;
    return SIGNET_OK;
}

signet_status model_make(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                         const struct model_new_key *new_key, int64_t now, struct model_error error)
{
    struct sg_keyholder_reply reply;
    struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_GENERATE, .alg = new_key->alg, .rsa_bits = keyset->policy->rsa_bits};
    if (new_key->sealed != NULL) {
        request = (struct sg_keyholder_request){.op = SG_KEYHOLDER_IMPORT_SEALED,
                                                .alg = new_key->alg,
                                                .data_len = (uint32_t)new_key->sealed_len};
    }
    signet_status status = model_ask(keymaster, &request, new_key->sealed, &reply, error);
    return status == SIGNET_OK ? model_adopt(keymaster, keyset, new_key, reply.slot, now, error)
                               : status;
}

/* ---- Storing ---- */

static signet_status model_add(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                               struct model_key *key, struct model_error error)
{
    if (model_is_ephemeral(keymaster)) {
        return SIGNET_OK;
    }
    const struct sg_key_core *core = key->entry.core;
    const struct sg_key_times *times = &key->entry.times;
    struct sg_key_record *record = &keymaster->request->record;
    struct sg_keyholder_reply public;
    struct sg_public_key *unused = NULL;
    uint64_t slot = atomic_load(&core->slot);
    signet_status status = model_fetch_public(keymaster, core->alg, slot, &unused, &public, error);
    sg_public_key_free(unused);
    if (status == SIGNET_OK && public.data_len > sizeof(record->public_key)) {
        status = model_fail(error, SIGNET_INTERNAL, "the public key is too long");
    }
    if (status != SIGNET_OK) {
        return status;
    }
    model_name_key(keymaster, keyset, core);
    record->alg = core->alg;
    record->flags = (key->entry.imported ? SG_KEY_FLAG_IMPORTED : 0u) |
                    (times->never_signs ? SG_KEY_FLAG_VERIFY_ONLY : 0u);
    record->max_ttl_s = times->max_ttl_s;
    record->created_at = times->created_at;
    record->sign_from = times->sign_from;
    record->verify_until = times->verify_until;
    record->public_len = public.data_len;
    memcpy(record->public_key, public.data, public.data_len);
    keymaster->request->slot = slot;
    status = model_store(keymaster, SG_KEYSTORE_ADD, error);
    if (status == SIGNET_OK) {
        key->entry.times.seq = keymaster->reply->entry.record.seq;
    }
    return status;
}

signet_status model_update(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                           struct model_key *key, const struct sg_key_times *times,
                           struct model_error error)
{
    signet_status status = SIGNET_OK;
    if (!model_is_ephemeral(keymaster)) {
        struct sg_key_record *record = &keymaster->request->record;
        model_name_key(keymaster, keyset, key->entry.core);
        record->sign_from = times->sign_from;
        record->verify_until = times->verify_until;
        record->revoked_at = times->revoked_at;
        record->max_ttl_s = times->max_ttl_s;
        status = model_store(keymaster, SG_KEYSTORE_UPDATE, error);
    }
    if (status == SIGNET_OK) {
        key->entry.times = *times;
    }
    return status;
}

static void model_drop(struct model_keyset *keyset, size_t index)
{
    sg_key_core_unref(keyset->keys[index].entry.core);
    keyset->num_keys--;
    memmove(&keyset->keys[index], &keyset->keys[index + 1],
            (keyset->num_keys - index) * sizeof(*keyset->keys));
}

void model_drop_pending(struct sg_keymaster *keymaster)
{
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        struct model_keyset *keyset = keymaster->keysets[i];
        for (size_t k = keyset->num_keys; k > 0; k--) {
            if (keyset->keys[k - 1].pending) {
                model_drop(keyset, k - 1);
            }
        }
    }
}

bool model_has_pending(const struct sg_keymaster *keymaster)
{
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        const struct model_keyset *keyset = keymaster->keysets[i];
        for (size_t k = 0; k < keyset->num_keys; k++) {
            if (keyset->keys[k].pending) {
                return true;
            }
        }
    }
    return false;
}

/* Keys that end with the process are made at every start, and nobody has to know them. */
static void model_announce(const struct sg_keymaster *keymaster, const struct model_keyset *keyset,
                           const struct model_key *key)
{
    const struct sg_key_times *times = &key->entry.times;
    const int64_t wait_s = times->sign_from - times->created_at;
    if (!model_is_ephemeral(keymaster) && !key->entry.imported) {
        char when[48] = "now";
        if (wait_s > 0) {
            (void)snprintf(when, sizeof(when), "in %lld s", (long long)wait_s);
        }
        sg_log(SG_LOG_INFO, "keyset %s: made and published key %s, which signs %s", keyset->name,
               key->entry.core->kid, when);
    }
}

/* Stores what is pending; what cannot be stored is dropped, and the last of the reasons returned. */
signet_status model_store_pending(struct sg_keymaster *keymaster, struct model_error error)
{
    signet_status result = SIGNET_OK;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        struct model_keyset *keyset = keymaster->keysets[i];
        for (size_t k = 0; k < keyset->num_keys; k++) {
            struct model_key *key = &keyset->keys[k];
            if (!key->pending) {
                continue;
            }
            signet_status status = model_add(keymaster, keyset, key, error);
            if (status == SIGNET_OK) {
                key->pending = false;
                model_announce(keymaster, keyset, key);
            } else {
                result = status;
            }
        }
    }
    model_drop_pending(keymaster);
    return result;
}

/* ---- The calendar ---- */

static bool model_wants_new(const struct model_keyset *keyset)
{
    const struct model_key *newest = NULL;
    for (size_t i = 0; i < keyset->num_keys; i++) {
        const struct model_key *key = &keyset->keys[i];
        const struct sg_key_times *times = &key->entry.times;
        if (times->never_signs || times->revoked_at != 0) {
            continue;
        }
        if (newest == NULL || times->sign_from > newest->entry.times.sign_from ||
            (times->sign_from == newest->entry.times.sign_from &&
             times->seq > newest->entry.times.seq)) {
            newest = key;
        }
    }
    return newest != NULL && newest->entry.core->alg != keyset->policy->alg;
}

static struct sg_rotation_plan model_ask_plan(const struct model_keyset *keyset, int64_t now)
{
    struct sg_key_times *times = NULL;
    struct sg_key_span *spans = NULL;
    const struct sg_rotation_policy policy = {
        .rotate_every_s = keyset->policy->rotate_every_s,
        .publish_lead_s = keyset->policy->publish_lead_s,
        .overlap_s = keyset->policy->overlap_s,
    };
    /* Without memory: later. */
    struct sg_rotation_plan plan = {.step = SG_ROTATION_WAIT, .at = now + 1};
    if (model_spans(keyset, &times, &spans)) {
        plan =
            sg_rotation_plan(&policy, times, spans, keyset->num_keys, model_wants_new(keyset), now);
        free(times);
        free(spans);
    }
    return plan;
}

/* What a key may have signed has to be known before it signs what lives longer. */
static signet_status model_raise_max_ttl(struct sg_keymaster *keymaster,
                                         struct model_keyset *keyset, int64_t now,
                                         struct model_error error)
{
    struct sg_key_times *times = NULL;
    struct sg_key_span *spans = NULL;
    if (!model_spans(keyset, &times, &spans)) {
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory");
    }
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < keyset->num_keys; i++) {
        struct sg_key_times raised = times[i];
        raised.max_ttl_s = keyset->policy->max_ttl_s;
        if (!raised.never_signs && raised.revoked_at == 0 && spans[i].signs_until > now &&
            raised.max_ttl_s > times[i].max_ttl_s && !keyset->keys[i].pending) {
            status = model_update(keymaster, keyset, &keyset->keys[i], &raised, error);
        }
    }
    free(times);
    free(spans);
    return status;
}

static signet_status model_step(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                                const struct sg_rotation_plan *plan, int64_t now,
                                struct model_error error)
{
    if (plan->step == SG_ROTATION_REPLAN) {
        struct sg_key_times times = keyset->keys[plan->index].entry.times;
        times.sign_from = plan->sign_from;
        return model_update(keymaster, keyset, &keyset->keys[plan->index], &times, error);
    }
    const struct model_new_key new_key = {.alg = keyset->policy->alg, .sign_from = plan->sign_from};
    return model_make(keymaster, keyset, &new_key, now, error);
}

signet_status model_plan(struct sg_keymaster *keymaster, struct model_keyset *keyset, int64_t now,
                         struct model_error error)
{
    signet_status status = model_raise_max_ttl(keymaster, keyset, now, error);
    for (unsigned step = 0; status == SIGNET_OK && step < MODEL_MAX_STEPS; step++) {
        struct sg_rotation_plan plan = model_ask_plan(keyset, now);
        if (plan.step == SG_ROTATION_WAIT) {
            keyset->due_at = plan.at;
            return SIGNET_OK;
        }
        status = model_step(keymaster, keyset, &plan, now, error);
    }
    keyset->due_at = now + 1;
    return status;
}
