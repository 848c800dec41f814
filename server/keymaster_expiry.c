/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of the tokens that keys signed: written once a second and at the end, and read at the
 * start, where bounds stand in for what a crash has lost.
 */
#include "server/keymaster_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"
#include "server/name_index.h"

/* Stands in the store for when a record was written if what was written is a bound. */
#define EXPIRY_IS_BOUND 0

/* ---- Reading ---- */

struct expiry_reading {
    struct sg_keymaster *keymaster;
    struct sg_name_index index;
    struct {
        struct model_keyset *keyset;
        size_t key;
    } * keys;
    size_t num;
};

static void expiry_visit(void *context, const struct sg_store_expiry *expiry)
{
    struct expiry_reading *expiries = context;
    struct sg_name_index_search search;
    uint32_t at = 0;
    sg_name_index_begin(&expiries->index, expiry->kid, strlen(expiry->kid), &search);
    while (sg_name_index_next(&search, &at)) {
        const struct model_keyset *keyset = expiries->keys[at].keyset;
        struct sg_key_core *core = keyset->keys[expiries->keys[at].key].entry.core;
        if (strcmp(core->kid, expiry->kid) == 0 && strcmp(keyset->name, expiry->keyset) == 0) {
            core->recorded_expiry = expiry->last_expiry;
            core->recorded_at = expiry->recorded_at;
            core->is_recorded = true;
        }
    }
}

/* A record is exact if the daemon stopped in order, or if the key had ceased to sign before it was
 * written. Otherwise, and for a key that is not in the store, such as one from a backup, the latest that
 * can be is counted on. */
static void expiry_bound_key(struct sg_key_core *core, const struct sg_key_times *times,
                             const struct sg_key_span *span, bool was_clean, int64_t now)
{
    bool is_settled = span->signs_until < SG_TIME_NEVER - SG_ROTATION_SETTLE_S &&
                      core->recorded_at >= span->signs_until + SG_ROTATION_SETTLE_S;
    core->expiry_before = core->recorded_expiry;
    bool is_known = core->is_recorded && (was_clean || is_settled);
    core->expiry_before_is_exact =
        times->never_signs || (is_known && core->recorded_at != EXPIRY_IS_BOUND);
    if (!is_known && !times->never_signs) {
        int64_t bound = sg_rotation_expiry_bound(times, span, now);
        if (bound > core->expiry_before) {
            core->expiry_before = bound;
        }
    }
}

static bool expiry_bound(struct sg_keymaster *keymaster, int64_t now)
{
    bool was_clean = sg_store_was_clean(keymaster->store);
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        const struct model_keyset *keyset = keymaster->keysets[i];
        struct sg_key_times *times = NULL;
        struct sg_key_span *spans = NULL;
        if (!model_spans(keyset, &times, &spans)) {
            return false;
        }
        for (size_t k = 0; k < keyset->num_keys; k++) {
            expiry_bound_key(keyset->keys[k].entry.core, &times[k], &spans[k], was_clean, now);
        }
        free(times);
        free(spans);
    }
    return true;
}

static signet_status expiry_read(struct sg_keymaster *keymaster, size_t num_keys,
                                 struct model_error error)
{
    struct expiry_reading expiries = {.keymaster = keymaster};
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    expiries.keys = calloc(num_keys + 1, sizeof(*expiries.keys));
    if (expiries.keys != NULL && sg_name_index_init(&expiries.index, num_keys)) {
        for (size_t i = 0; i < keymaster->num_keysets; i++) {
            struct model_keyset *keyset = keymaster->keysets[i];
            for (size_t k = 0; k < keyset->num_keys; k++) {
                const struct sg_key_core *core = keyset->keys[k].entry.core;
                expiries.keys[expiries.num].keyset = keyset;
                expiries.keys[expiries.num].key = k;
                sg_name_index_put(&expiries.index, core->kid, core->kid_len,
                                  (uint32_t)expiries.num++);
            }
        }
        status = sg_store_read_expiries(keymaster->store, expiry_visit, &expiries, error.text,
                                        error.cap);
    } else {
        (void)model_fail(error, status, "no memory for the keys");
    }
    sg_name_index_fini(&expiries.index);
    free(expiries.keys);
    return status;
}

signet_status model_recall(struct sg_keymaster *keymaster, size_t num_keys, int64_t now,
                           struct model_error error)
{
    signet_status status = expiry_read(keymaster, num_keys, error);
    if (status == SIGNET_OK && !expiry_bound(keymaster, now)) {
        status = model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keys");
    }
    return status;
}

/* ---- Writing ---- */

int64_t model_settled_at(const struct sg_key_span *span)
{
    return span->signs_until < SG_TIME_NEVER - SG_ROTATION_SETTLE_S
               ? span->signs_until + SG_ROTATION_SETTLE_S
               : SG_TIME_NEVER;
}

/* What the store lacks. */
struct expiry_news {
    struct sg_store_expiry *list;
    struct sg_key_core **cores; /* whose they are */
    size_t num;
};

/* Whether the store lacks something: the key, a later expiry, or that the last one is final. */
static bool expiry_is_news(const struct sg_key_core *core, const struct sg_key_span *span,
                           int64_t now)
{
    int64_t expiry = sg_key_core_last_expiry(core);
    int64_t settled_at = model_settled_at(span);
    bool is_final = now >= settled_at && core->recorded_at < settled_at;
    /* Of a clock that was ahead: not final any more. */
    bool is_ahead = core->recorded_at > now;
    return !core->is_recorded || expiry != core->recorded_expiry || is_final || is_ahead;
}

static bool expiry_collect_keyset(const struct model_keyset *keyset, int64_t now,
                                  struct expiry_news *news)
{
    struct sg_key_times *times = NULL;
    struct sg_key_span *spans = NULL;
    if (!model_spans(keyset, &times, &spans)) {
        return false;
    }
    for (size_t k = 0; k < keyset->num_keys; k++) {
        struct sg_key_core *core = keyset->keys[k].entry.core;
        if (!keyset->keys[k].pending && expiry_is_news(core, &spans[k], now)) {
            news->cores[news->num] = core;
            news->list[news->num++] = (struct sg_store_expiry){
                .keyset = keyset->name,
                .kid = core->kid,
                .last_expiry = sg_key_core_last_expiry(core),
                .recorded_at = sg_key_core_expiry_is_exact(core) ? now : EXPIRY_IS_BOUND};
        }
    }
    free(times);
    free(spans);
    return true;
}

/* Of every keyset: one that has left the configuration may come back. */
static bool expiry_collect(const struct sg_keymaster *keymaster, int64_t now,
                           struct expiry_news *news)
{
    size_t cap = 1;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        cap += keymaster->keysets[i]->num_keys;
    }
    news->list = calloc(cap, sizeof(*news->list));
    news->cores = calloc(cap, sizeof(struct sg_key_core *));
    bool complete = news->list != NULL && news->cores != NULL;
    for (size_t i = 0; complete && i < keymaster->num_keysets; i++) {
        complete = expiry_collect_keyset(keymaster->keysets[i], now, news);
    }
    return complete;
}

static bool expiry_write(struct sg_keymaster *keymaster, const struct expiry_news *news,
                         int64_t now)
{
    char error[SG_KEYSTORE_MAX_MESSAGE] = "";
    if (sg_store_write_expiries(keymaster->store, news->list, news->num, error, sizeof(error)) !=
        SIGNET_OK) {
        if (strcmp(error, keymaster->store_fault) != 0) {
            sg_log(SG_LOG_ERROR, "%s; old keys are kept longer than needed until it works again",
                   error);
            (void)snprintf(keymaster->store_fault, sizeof(keymaster->store_fault), "%s", error);
        }
        return false;
    }
    for (size_t i = 0; i < news->num; i++) {
        news->cores[i]->recorded_expiry = news->list[i].last_expiry;
        news->cores[i]->recorded_at = now;
        news->cores[i]->is_recorded = true;
    }
    if (keymaster->store_fault[0] != '\0') {
        sg_log(SG_LOG_INFO, "what is to be remembered of tokens is written again");
        keymaster->store_fault[0] = '\0';
    }
    return true;
}

bool model_remember(struct sg_keymaster *keymaster, int64_t now)
{
    struct expiry_news news = {0};
    if (keymaster->store == NULL) {
        return true;
    }
    bool complete = expiry_collect(keymaster, now, &news);
    if (complete && news.num > 0) {
        complete = expiry_write(keymaster, &news, now);
    }
    free(news.cores);
    free(news.list);
    return complete;
}
