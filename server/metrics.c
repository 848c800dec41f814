/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting in shards, and adding them up. A thread keeps to one shard, so that its counters stay in the cache
 * of its processor; they are atomic all the same, as there may be more threads than shards.
 */
#include "server/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics_table.h"

typedef atomic_uint_least64_t metrics_counter;

/* ---- What there is of each kind ---- */

struct metrics_durations {
    metrics_counter sum_us;
    metrics_counter counts[SG_METRICS_NUM_BUCKETS];
};

struct metrics_method {
    metrics_counter statuses[SG_METRICS_NUM_STATUSES], rejections[SG_METRICS_NUM_REASONS];
    metrics_counter num_more_items; /* beyond one a call */
    struct metrics_durations queue, crypto, total;
};

struct metrics_shard {
    metrics_counter rejections[SG_METRICS_NUM_REASONS]; /* of tokens */
    struct metrics_durations signing[SG_ALG_COUNT], verifying[SG_ALG_COUNT];
    struct metrics_method methods[]; /* num_methods + 1 */
};

enum metrics_keyset_counter {
    METRICS_KEYSET_SIGNED,
    METRICS_KEYSET_NOT_SIGNED,
    METRICS_KEYSET_GOOD,
    METRICS_KEYSET_NOT_JUDGED,
    METRICS_KEYSET_REJECTIONS,
    METRICS_KEYSET_COUNTERS = METRICS_KEYSET_REJECTIONS + SG_METRICS_NUM_REASONS
};

enum metrics_uid_counter {
    METRICS_UID_REQUESTS,
    METRICS_UID_DENIED,
    METRICS_UID_ERRORS,
    METRICS_UID_SIGNED,
    METRICS_UID_GOOD,
    METRICS_UID_REJECTED,
    METRICS_UID_COUNTERS
};

struct sg_metrics {
    size_t num_methods;
    struct sg_metrics_table keysets, uids;
    struct metrics_shard *shards[SG_METRICS_SHARDS];
};

_Static_assert(SG_MAX_KEYSET_NAME_LEN <= SG_METRICS_MAX_NAME, "a keyset's name has room");

static bool metrics_make_shards(struct sg_metrics *metrics)
{
    size_t size =
        sizeof(struct metrics_shard) + (metrics->num_methods + 1) * sizeof(struct metrics_method);
    for (size_t i = 0; i < SG_METRICS_SHARDS; i++) {
        metrics->shards[i] = calloc(1, size);
        if (metrics->shards[i] == NULL) {
            return false;
        }
    }
    return true;
}

struct sg_metrics *sg_metrics_new(size_t num_methods)
{
    struct sg_metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics == NULL) {
        return NULL;
    }
    metrics->num_methods =
        num_methods < SG_METRICS_MAX_METHODS ? num_methods : SG_METRICS_MAX_METHODS;
    if (!metrics_make_shards(metrics) ||
        !sg_metrics_table_init(&metrics->keysets, SG_METRICS_MAX_KEYSETS, METRICS_KEYSET_COUNTERS,
                               SG_METRICS_SHARDS) ||
        !sg_metrics_table_init(&metrics->uids, SG_METRICS_MAX_UIDS, METRICS_UID_COUNTERS,
                               SG_METRICS_SHARDS)) {
        sg_metrics_free(metrics);
        return NULL;
    }
    return metrics;
}

void sg_metrics_free(struct sg_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (size_t i = 0; i < SG_METRICS_SHARDS; i++) {
        free(metrics->shards[i]);
    }
    sg_metrics_table_fini(&metrics->keysets);
    sg_metrics_table_fini(&metrics->uids);
    free(metrics);
}

/* ---- Counting ---- */

/* The shard of this thread, the same for all metrics. */
static size_t metrics_own_shard(void)
{
    static atomic_size_t num_threads;
    static _Thread_local size_t thread; /* from 1 */
    if (thread == 0) {
        thread = 1 + atomic_fetch_add_explicit(&num_threads, 1, memory_order_relaxed);
    }
    return thread % SG_METRICS_SHARDS;
}

static void metrics_add(metrics_counter *counter, uint64_t num)
{
    (void)atomic_fetch_add_explicit(counter, num, memory_order_relaxed);
}

static void metrics_add_duration(struct metrics_durations *durations, uint64_t us)
{
    const uint64_t most = (UINT64_C(1) << SG_METRICS_MAX_BITS) - 1;
    us = us < most ? us : most;
    metrics_add(&durations->counts[sg_buckets_index(us, SG_METRICS_STEP_BITS)], 1);
    metrics_add(&durations->sum_us, us);
}

static size_t metrics_below(unsigned number, size_t num)
{
    return number < num ? number : num - 1;
}

static void metrics_count_call(struct metrics_method *method,
                               const struct sg_metrics_sample *sample)
{
    const struct sg_metrics_token *token = &sample->token;
    if (sample->status == SIGNET_OK && token->rejection != SIGNET_REASON_NONE) {
        size_t reason = metrics_below((unsigned)token->rejection, SG_METRICS_NUM_REASONS);
        metrics_add(&method->rejections[reason], 1);
    } else {
        size_t status = metrics_below((unsigned)sample->status, SG_METRICS_NUM_STATUSES);
        metrics_add(&method->statuses[status], 1);
    }
    if (sample->num_items > 1) {
        metrics_add(&method->num_more_items, sample->num_items - 1);
    }
    metrics_add_duration(&method->queue, sample->queue_us);
    metrics_add_duration(&method->total, sample->total_us);
    if (sample->crypto_us > 0 || token->alg != SG_ALG_UNSET) {
        metrics_add_duration(&method->crypto, sample->crypto_us + token->crypto_us);
    }
}

/* Which counter of its keyset's a token belongs to. */
static size_t metrics_keyset_counter(const struct sg_metrics_token *token)
{
    bool is_sign = token->act == SG_METRICS_SIGN;
    if (token->status != SIGNET_OK) {
        return is_sign ? METRICS_KEYSET_NOT_SIGNED : METRICS_KEYSET_NOT_JUDGED;
    }
    if (is_sign) {
        return METRICS_KEYSET_SIGNED;
    }
    if (token->rejection == SIGNET_REASON_NONE) {
        return METRICS_KEYSET_GOOD;
    }
    return METRICS_KEYSET_REJECTIONS +
           metrics_below((unsigned)token->rejection, SG_METRICS_NUM_REASONS);
}

/* By reason, and by whose it was. */
static void metrics_count_outcome(struct metrics_shard *shard, metrics_counter *uid,
                                  const struct sg_metrics_token *token)
{
    if (token->status != SIGNET_OK) {
        return;
    }
    if (token->act == SG_METRICS_SIGN) {
        metrics_add(&uid[METRICS_UID_SIGNED], 1);
    } else if (token->rejection == SIGNET_REASON_NONE) {
        metrics_add(&uid[METRICS_UID_GOOD], 1);
    } else {
        metrics_add(
            &shard->rejections[metrics_below((unsigned)token->rejection, SG_METRICS_NUM_REASONS)],
            1);
        metrics_add(&uid[METRICS_UID_REJECTED], 1);
    }
}

static void metrics_count_token(struct sg_metrics *metrics, size_t shard, metrics_counter *uid,
                                const struct sg_metrics_token *token)
{
    if (token->act == SG_METRICS_NO_TOKEN) {
        return;
    }
    metrics_count_outcome(metrics->shards[shard], uid, token);
    if (token->alg > SG_ALG_UNSET && token->alg < SG_ALG_COUNT) {
        struct metrics_durations *algs = token->act == SG_METRICS_SIGN
                                             ? metrics->shards[shard]->signing
                                             : metrics->shards[shard]->verifying;
        metrics_add_duration(&algs[token->alg], token->crypto_us);
    }
    if (token->keyset != NULL) {
        struct sg_metrics_entry *entry =
            sg_metrics_table_get(&metrics->keysets, token->keyset, strlen(token->keyset));
        metrics_add(&sg_metrics_entry_shard(entry, shard)[metrics_keyset_counter(token)], 1);
    }
}

static metrics_counter *metrics_uid(struct sg_metrics *metrics, size_t shard, uid_t uid)
{
    return sg_metrics_entry_shard(sg_metrics_table_get(&metrics->uids, &uid, sizeof(uid)), shard);
}

void sg_metrics_record(struct sg_metrics *metrics, const struct sg_metrics_sample *sample)
{
    if (metrics == NULL) {
        return;
    }
    size_t shard = metrics_own_shard();
    size_t method = sample->method <= metrics->num_methods ? sample->method : 0;
    metrics_counter *uid = metrics_uid(metrics, shard, sample->uid);
    metrics_count_call(&metrics->shards[shard]->methods[method], sample);
    metrics_add(&uid[METRICS_UID_REQUESTS], 1);
    if (sample->status == SIGNET_PERMISSION_DENIED) {
        metrics_add(&uid[METRICS_UID_DENIED], 1);
    } else if (sample->status != SIGNET_OK) {
        metrics_add(&uid[METRICS_UID_ERRORS], 1);
    }
    metrics_count_token(metrics, shard, uid, &sample->token);
}

void sg_metrics_record_token(struct sg_metrics *metrics, uid_t uid,
                             const struct sg_metrics_token *token)
{
    if (metrics == NULL) {
        return;
    }
    size_t shard = metrics_own_shard();
    metrics_count_token(metrics, shard, metrics_uid(metrics, shard, uid), token);
}

/* ---- Reading ---- */

static uint64_t metrics_read(const metrics_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void metrics_sum(const metrics_counter *counters, size_t num, uint64_t *sums)
{
    for (size_t i = 0; i < num; i++) {
        sums[i] += metrics_read(&counters[i]);
    }
}

static void metrics_sum_durations(const struct metrics_durations *durations,
                                  struct sg_metrics_durations *out)
{
    out->sum_us += metrics_read(&durations->sum_us);
    for (size_t i = 0; i < SG_METRICS_NUM_BUCKETS; i++) {
        uint64_t num = metrics_read(&durations->counts[i]);
        out->counts[i] += num;
        out->num += num;
    }
}

static void metrics_sum_method(const struct metrics_method *method, struct sg_metrics_method *out)
{
    metrics_sum(method->statuses, SG_METRICS_NUM_STATUSES, out->statuses);
    metrics_sum(method->rejections, SG_METRICS_NUM_REASONS, out->rejections);
    out->num_items += metrics_read(&method->num_more_items);
    metrics_sum_durations(&method->queue, &out->queue);
    metrics_sum_durations(&method->crypto, &out->crypto);
    metrics_sum_durations(&method->total, &out->total);
}

size_t sg_metrics_num_methods(const struct sg_metrics *metrics)
{
    return metrics->num_methods;
}

void sg_metrics_read_method(const struct sg_metrics *metrics, size_t method,
                            struct sg_metrics_method *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < SG_METRICS_SHARDS && method <= metrics->num_methods; i++) {
        metrics_sum_method(&metrics->shards[i]->methods[method], out);
    }
    for (size_t i = 0; i < SG_METRICS_NUM_STATUSES; i++) {
        out->num_items += out->statuses[i];
    }
    for (size_t i = 0; i < SG_METRICS_NUM_REASONS; i++) {
        out->num_items += out->rejections[i];
    }
}

void sg_metrics_read_alg(const struct sg_metrics *metrics, enum sg_metrics_act act, enum sg_alg alg,
                         struct sg_metrics_durations *out)
{
    memset(out, 0, sizeof(*out));
    if (act == SG_METRICS_NO_TOKEN || alg >= SG_ALG_COUNT) {
        return;
    }
    for (size_t i = 0; i < SG_METRICS_SHARDS; i++) {
        const struct metrics_shard *shard = metrics->shards[i];
        metrics_sum_durations(
            act == SG_METRICS_SIGN ? &shard->signing[alg] : &shard->verifying[alg], out);
    }
}

void sg_metrics_read_rejections(const struct sg_metrics *metrics,
                                uint64_t counts[SG_METRICS_NUM_REASONS])
{
    memset(counts, 0, SG_METRICS_NUM_REASONS * sizeof(counts[0]));
    for (size_t i = 0; i < SG_METRICS_SHARDS; i++) {
        metrics_sum(metrics->shards[i]->rejections, SG_METRICS_NUM_REASONS, counts);
    }
}

size_t sg_metrics_num_keysets(const struct sg_metrics *metrics)
{
    return sg_metrics_table_num(&metrics->keysets);
}

void sg_metrics_read_keyset(const struct sg_metrics *metrics, size_t index,
                            struct sg_metrics_keyset *out)
{
    uint64_t sums[METRICS_KEYSET_COUNTERS];
    const struct sg_metrics_entry *entry = sg_metrics_table_read(&metrics->keysets, index, sums);
    *out = (struct sg_metrics_keyset){
        .is_other = index == 0,
        .num_signed = sums[METRICS_KEYSET_SIGNED],
        .num_not_signed = sums[METRICS_KEYSET_NOT_SIGNED],
        .num_good = sums[METRICS_KEYSET_GOOD],
        .num_not_judged = sums[METRICS_KEYSET_NOT_JUDGED],
    };
    memcpy(out->name, entry->name, entry->name_len);
    memcpy(out->rejections, sums + METRICS_KEYSET_REJECTIONS, sizeof(out->rejections));
}

size_t sg_metrics_num_uids(const struct sg_metrics *metrics)
{
    return sg_metrics_table_num(&metrics->uids);
}

void sg_metrics_read_uid(const struct sg_metrics *metrics, size_t index, struct sg_metrics_uid *out)
{
    uint64_t sums[METRICS_UID_COUNTERS];
    const struct sg_metrics_entry *entry = sg_metrics_table_read(&metrics->uids, index, sums);
    *out = (struct sg_metrics_uid){
        .is_other = index == 0,
        .num_requests = sums[METRICS_UID_REQUESTS],
        .num_denied = sums[METRICS_UID_DENIED],
        .num_errors = sums[METRICS_UID_ERRORS],
        .num_signed = sums[METRICS_UID_SIGNED],
        .num_good = sums[METRICS_UID_GOOD],
        .num_rejected = sums[METRICS_UID_REJECTED],
    };
    memcpy(&out->uid, entry->name, entry->name_len);
}
