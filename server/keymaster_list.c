/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators are told of keysets and keys, as they are or as they would be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/keymaster_model.h"

void sg_key_list_fini(struct sg_key_list *list)
{
    for (size_t i = 0; i < list->num_keysets; i++) {
        for (size_t k = 0; k < list->keysets[i].num_keys; k++) {
            free((void *)(uintptr_t)list->keysets[i].keys[k].kid);
        }
        free(list->keysets[i].keys);
        free((void *)(uintptr_t)list->keysets[i].name);
    }
    for (size_t i = 0; i < list->num_damaged; i++) {
        free((void *)(uintptr_t)list->damaged[i].file);
        free((void *)(uintptr_t)list->damaged[i].problem);
    }
    free(list->keysets);
    free(list->damaged);
    *list = (struct sg_key_list){0};
}

int64_t model_after(int64_t when, int64_t seconds)
{
    int64_t sum = 0;
    if (!__builtin_add_overflow(when, seconds, &sum)) {
        return sum;
    }
    return seconds > 0 ? SG_TIME_NEVER : SG_TIME_EVER;
}

/* "Not known" is 0 for those who read a list. */
static int64_t list_time(int64_t when)
{
    return when == SG_TIME_NEVER || when == SG_TIME_EVER ? 0 : when;
}

static const char *list_why(const struct sg_listed_key *key, bool configured)
{
    switch (key->state) {
    case SG_KEY_NEXT:
        return "published, and will sign";
    case SG_KEY_ACTIVE:
        return key->sign_until != 0 ? "signs; the next key is known" : "signs";
    case SG_KEY_VERIFY_ONLY:
        if (key->verify_only) {
            return key->verify_until != 0 ? "imported to verify until then"
                                          : "imported to verify until it is revoked";
        }
        return key->expiry_is_exact
                   ? "its last token has not expired yet, or it is kept for overlap"
                   : "a token that it signed may not have expired yet";
    case SG_KEY_RETIRED:
        if (!configured) {
            return "its keyset is not in the configuration";
        }
        return key->verify_only ? "the time that it was imported for is over"
                                : "no token that it signed is alive";
    case SG_KEY_REVOKED:
        return "revoked";
    }
    return "";
}

/* While it will still sign, the latest that a token of it can be accepted. */
static int64_t list_verify_until(const struct sg_key_times *times, const struct sg_key_span *span,
                                 int64_t expiry, int64_t now)
{
    if (!span->revoked && !times->never_signs && span->signs_until > now &&
        span->signs_until != SG_TIME_NEVER) {
        int64_t last = model_after(span->signs_until, times->max_ttl_s);
        expiry = last > expiry ? last : expiry;
    }
    return sg_rotation_verify_until(span, expiry);
}

/* core NULL: one that would be made. */
static void list_describe(const struct sg_key_core *core, const struct sg_key_times *times,
                          const struct sg_key_span *span, bool imported, bool configured,
                          int64_t now, struct sg_listed_key *out)
{
    int64_t expiry = core != NULL ? sg_key_core_last_expiry(core) : 0;
    enum sg_key_state state = sg_rotation_state(span, expiry, now);
    if (!configured && state != SG_KEY_REVOKED) {
        state = SG_KEY_RETIRED;
    }
    out->state = state;
    out->created_at = times->created_at;
    out->sign_from = times->never_signs ? 0 : times->sign_from;
    out->sign_until = times->never_signs ? 0 : list_time(span->signs_until);
    out->verify_until = list_time(list_verify_until(times, span, expiry, now));
    out->expiry_is_exact = core == NULL || sg_key_core_expiry_is_exact(core);
    /* A bound for a key whose time has not come would be read as a token that there is. */
    out->last_expiry = state == SG_KEY_NEXT && !out->expiry_is_exact ? 0 : expiry;
    out->revoked_at = times->revoked_at;
    out->imported = imported;
    out->verify_only = times->never_signs;
    (void)snprintf(out->why, sizeof(out->why), "%s", list_why(out, configured));
}

static void list_fill_keys(const struct model_keyset *keyset, const struct model_view *view,
                           const struct sg_key_times *times, const struct sg_key_span *spans,
                           size_t num, int64_t now, struct sg_listed_keyset *out)
{
    bool configured = keyset->policy != NULL;
    for (size_t i = 0; i < num; i++) {
        const struct sg_keyring_key *entry = i < keyset->num_keys ? &keyset->keys[i].entry : NULL;
        struct sg_listed_key *key = &out->keys[i];
        key->kid = strdup(entry != NULL ? entry->core->kid : "");
        key->alg = entry != NULL ? entry->core->alg : view->extra_alg;
        list_describe(entry != NULL ? entry->core : NULL, &times[i], &spans[i],
                      entry != NULL && entry->imported, configured, now, key);
        out->num_keys++;
    }
}

/* When the calendar makes the key after the newest; 0: never. */
static int64_t list_next_key_at(const struct sg_rotation_policy *policy,
                                const struct sg_key_times *times, size_t num)
{
    const struct sg_key_times *newest = NULL;
    for (size_t i = 0; i < num; i++) {
        if (!times[i].never_signs && times[i].revoked_at == 0 &&
            (newest == NULL || times[i].sign_from > newest->sign_from)) {
            newest = &times[i];
        }
    }
    if (newest == NULL || policy->rotate_every_s == 0) {
        return 0;
    }
    return model_after(newest->sign_from,
                       (int64_t)policy->rotate_every_s - (int64_t)policy->publish_lead_s);
}

static bool list_list_keyset(const struct model_keyset *keyset, const struct model_view *view,
                             int64_t now, struct sg_listed_keyset *out)
{
    const struct sg_config_keyset *policy = keyset->policy;
    size_t num = keyset->num_keys + (view->extra != NULL ? 1 : 0);
    struct sg_key_times *times = calloc(num + 1, sizeof(*times));
    struct sg_key_span *spans = calloc(num + 1, sizeof(*spans));
    bool complete = times != NULL && spans != NULL;
    for (size_t i = 0; complete && i < keyset->num_keys; i++) {
        times[i] = keyset->keys[i].entry.times;
    }
    if (complete && view->extra != NULL) {
        times[num - 1] = *view->extra;
    }
    if (complete && view->moved != NULL) {
        times[view->moved_index] = *view->moved;
    }
    out->name = strdup(keyset->name);
    out->keys = calloc(num + 1, sizeof(*out->keys));
    complete = complete && out->name != NULL && out->keys != NULL &&
               sg_rotation_spans(times, num, policy != NULL ? policy->overlap_s : 0, spans);
    if (complete) {
        out->configured = policy != NULL;
        if (policy != NULL) {
            out->policy = (struct sg_rotation_policy){.rotate_every_s = policy->rotate_every_s,
                                                      .publish_lead_s = policy->publish_lead_s,
                                                      .overlap_s = policy->overlap_s};
            out->next_key_at = list_next_key_at(&out->policy, times, num);
        }
        list_fill_keys(keyset, view, times, spans, num, now, out);
    }
    free(spans);
    free(times);
    return complete;
}

static signet_status list_no_memory(struct sg_rpc_status *error)
{
    return sg_rpc_fail(error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "the daemon is out of memory");
}

static bool list_list_damage(const struct sg_keymaster *keymaster, const char *only,
                             struct sg_key_list *out)
{
    out->damaged = calloc(keymaster->num_damaged + 1, sizeof(*out->damaged));
    for (size_t i = 0; out->damaged != NULL && i < keymaster->num_damaged; i++) {
        const struct model_damage *damage = &keymaster->damaged[i];
        if (only[0] != '\0' && strcmp(damage->keyset, only) != 0) {
            continue;
        }
        struct sg_listed_damage *listed = &out->damaged[out->num_damaged++];
        *listed = (struct sg_listed_damage){.file = strdup(damage->file),
                                            .problem = strdup(damage->problem)};
        if (listed->file == NULL || listed->problem == NULL) {
            return false;
        }
    }
    return out->damaged != NULL;
}

signet_status model_list(const struct sg_keymaster *keymaster, const char *only,
                         const struct model_view *view, int64_t now, struct sg_key_list *out,
                         struct sg_rpc_status *error)
{
    struct sg_key_list list = {0};
    list.keysets = calloc(keymaster->num_keysets + 1, sizeof(*list.keysets));
    bool complete = list.keysets != NULL && list_list_damage(keymaster, only, &list);
    for (size_t i = 0; complete && i < keymaster->num_keysets; i++) {
        const struct model_keyset *keyset = keymaster->keysets[i];
        if (only[0] == '\0' || strcmp(keyset->name, only) == 0) {
            complete = list_list_keyset(keyset, view, now, &list.keysets[list.num_keysets++]);
        }
    }
    for (size_t i = 0; complete && i < list.num_keysets; i++) {
        for (size_t k = 0; complete && k < list.keysets[i].num_keys; k++) {
            complete = list.keysets[i].keys[k].kid != NULL;
        }
    }
    if (!complete) {
        sg_key_list_fini(&list);
        return list_no_memory(error);
    }
    *out = list;
    return SIGNET_OK;
}

static const struct model_view list_as_it_is = {0};

signet_status model_no_keyset(struct sg_rpc_status *error)
{
    return sg_rpc_fail(error, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN",
                       "keyset: there is none of this name; signet key list shows those there are");
}

signet_status sg_keymaster_list(struct sg_keymaster *keymaster, const char *keyset,
                                struct sg_key_list *out, struct sg_rpc_status *error)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status =
        keyset[0] != '\0' && model_find(keymaster, keyset) == NULL
            ? model_no_keyset(error)
            : model_list(keymaster, keyset, &list_as_it_is, model_now(keymaster), out, error);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

signet_status model_show(const struct sg_keymaster *keymaster, const struct model_keyset *keyset,
                         const char *kid, int64_t now, struct sg_key_list *out,
                         const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    signet_status status = model_list(keymaster, keyset->name, &list_as_it_is, now, out, error);
    for (size_t i = 0; status == SIGNET_OK && i < out->keysets[0].num_keys; i++) {
        if (strcmp(out->keysets[0].keys[i].kid, kid) == 0) {
            *key = &out->keysets[0].keys[i];
        }
    }
    return status;
}
