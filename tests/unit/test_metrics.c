/* SPDX-License-Identifier: Apache-2.0
 *
 * What is counted is counted exactly, whoever counts at the same time; and whatever comes, the memory for it
 * is bounded and nothing is lost but its name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/metrics.h"

#define NUM_METHODS 5u
#define NUM_THREADS 24u /* several to each shard */

static int setup(void **state)
{
    *state = sg_metrics_new(NUM_METHODS);
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    sg_metrics_free(*state);
    return 0;
}

/* The keyset of the name; fails if it is not told apart. */
static struct sg_metrics_keyset find_keyset(const struct sg_metrics *metrics, const char *name)
{
    struct sg_metrics_keyset keyset;
    for (size_t i = 1; i < sg_metrics_num_keysets(metrics); i++) {
        sg_metrics_read_keyset(metrics, i, &keyset);
        assert_false(keyset.is_other);
        if (strcmp(keyset.name, name) == 0) {
            return keyset;
        }
    }
    fail_msg("keyset '%s' was not counted", name);
    return keyset;
}

static struct sg_metrics_uid find_uid(const struct sg_metrics *metrics, uid_t uid)
{
    struct sg_metrics_uid read;
    for (size_t i = 1; i < sg_metrics_num_uids(metrics); i++) {
        sg_metrics_read_uid(metrics, i, &read);
        assert_false(read.is_other);
        if (read.uid == uid) {
            return read;
        }
    }
    fail_msg("uid %u was not counted", (unsigned)uid);
    return read;
}

/* ---- One call ---- */

static void test_metrics__a_good_token_is_counted_in_every_table(void **state)
{
    struct sg_metrics *metrics = *state;
    struct sg_metrics_method method;
    struct sg_metrics_durations durations;
    const struct sg_metrics_sample sample = {
        .method = 2,
        .uid = 0,
        .queue_us = 3,
        .total_us = 50,
        .token = {.act = SG_METRICS_VERIFY, .alg = SG_ALG_ES256, .keyset = "web", .crypto_us = 40},
    };
    sg_metrics_record(metrics, &sample);
    sg_metrics_read_method(metrics, 2, &method);
    assert_int_equal(method.statuses[SIGNET_OK], 1);
    assert_int_equal(method.num_items, 1);
    assert_int_equal(method.queue.num, 1);
    assert_int_equal(method.queue.sum_us, 3);
    assert_int_equal(method.queue.counts[3], 1);
    assert_int_equal(method.crypto.num, 1);
    assert_int_equal(method.crypto.sum_us, 40);
    assert_int_equal(method.total.sum_us, 50);
    sg_metrics_read_alg(metrics, SG_METRICS_VERIFY, SG_ALG_ES256, &durations);
    assert_int_equal(durations.num, 1);
    assert_int_equal(durations.sum_us, 40);
    sg_metrics_read_alg(metrics, SG_METRICS_SIGN, SG_ALG_ES256, &durations);
    assert_int_equal(durations.num, 0);
    assert_int_equal(find_keyset(metrics, "web").num_good, 1);
    assert_int_equal(find_uid(metrics, 0).num_requests, 1);
    assert_int_equal(find_uid(metrics, 0).num_good, 1);
    assert_int_equal(find_uid(metrics, 0).num_errors, 0);
}

static void test_metrics__outcomes_are_told_apart(void **state)
{
    struct sg_metrics *metrics = *state;
    static const struct {
        enum sg_metrics_act act;
        signet_status status;
        signet_reason rejection;
    } rows[] = {
        {SG_METRICS_VERIFY, SIGNET_OK, SIGNET_REASON_NONE},
        {SG_METRICS_VERIFY, SIGNET_OK, SIGNET_REASON_EXPIRED},
        {SG_METRICS_VERIFY, SIGNET_OK, SIGNET_REASON_EXPIRED},
        {SG_METRICS_VERIFY, SIGNET_OK, SIGNET_REASON_POLICY},
        {SG_METRICS_VERIFY, SIGNET_UNAVAILABLE, SIGNET_REASON_NONE},
        /* Of a call that failed nothing else counts. */
        {SG_METRICS_VERIFY, SIGNET_PERMISSION_DENIED, SIGNET_REASON_EXPIRED},
        {SG_METRICS_SIGN, SIGNET_OK, SIGNET_REASON_NONE},
        {SG_METRICS_SIGN, SIGNET_PERMISSION_DENIED, SIGNET_REASON_NONE},
    };
    struct sg_metrics_method method;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sg_metrics_sample sample = {
            .method = 1,
            .status = rows[i].status,
            .uid = 33,
            .token = {.act = rows[i].act,
                      .status = rows[i].status,
                      .rejection = rows[i].rejection,
                      .keyset = "k"},
        };
        sg_metrics_record(metrics, &sample);
    }
    sg_metrics_read_method(metrics, 1, &method);
    assert_int_equal(method.statuses[SIGNET_OK], 2);
    assert_int_equal(method.statuses[SIGNET_UNAVAILABLE], 1);
    assert_int_equal(method.statuses[SIGNET_PERMISSION_DENIED], 2);
    assert_int_equal(method.rejections[SIGNET_REASON_EXPIRED], 2);
    assert_int_equal(method.rejections[SIGNET_REASON_POLICY], 1);
    assert_int_equal(method.num_items, 8);
    assert_int_equal(method.total.num, 8);
    assert_int_equal(method.crypto.num, 0); /* it did not come to that */
    const struct sg_metrics_keyset keyset = find_keyset(metrics, "k");
    assert_int_equal(keyset.num_good, 1);
    assert_int_equal(keyset.num_not_judged, 2);
    assert_int_equal(keyset.num_signed, 1);
    assert_int_equal(keyset.num_not_signed, 1);
    assert_int_equal(keyset.rejections[SIGNET_REASON_EXPIRED], 2);
    assert_int_equal(keyset.rejections[SIGNET_REASON_POLICY], 1);
    const struct sg_metrics_uid uid = find_uid(metrics, 33);
    assert_int_equal(uid.num_requests, 8);
    assert_int_equal(uid.num_denied, 2);
    assert_int_equal(uid.num_errors, 1);
    assert_int_equal(uid.num_good, 1);
    assert_int_equal(uid.num_rejected, 3);
    assert_int_equal(uid.num_signed, 1);
}

static void test_metrics__the_tokens_of_a_batch_are_counted_one_by_one(void **state)
{
    struct sg_metrics *metrics = *state;
    const struct sg_metrics_token signed_by_a = {
        .act = SG_METRICS_SIGN, .alg = SG_ALG_RS256, .keyset = "a", .crypto_us = 700};
    const struct sg_metrics_token signed_by_b = {
        .act = SG_METRICS_SIGN, .alg = SG_ALG_HS256, .keyset = "b", .crypto_us = 1};
    const struct sg_metrics_token unknown = {.act = SG_METRICS_SIGN, .status = SIGNET_NOT_FOUND};
    const struct sg_metrics_sample call = {
        .method = 3, .uid = 7, .crypto_us = 701, .total_us = 900, .num_items = 3};
    struct sg_metrics_method method;
    sg_metrics_record_token(metrics, 7, &signed_by_a);
    sg_metrics_record_token(metrics, 7, &signed_by_b);
    sg_metrics_record_token(metrics, 7, &unknown);
    sg_metrics_record(metrics, &call);
    sg_metrics_read_method(metrics, 3, &method);
    assert_int_equal(method.statuses[SIGNET_OK], 1);
    assert_int_equal(method.num_items, 3);
    assert_int_equal(method.crypto.num, 1);
    assert_int_equal(method.crypto.sum_us, 701);
    assert_int_equal(find_keyset(metrics, "a").num_signed, 1);
    assert_int_equal(find_keyset(metrics, "b").num_signed, 1);
    assert_int_equal(sg_metrics_num_keysets(metrics), 3); /* with the one for the rest */
    assert_int_equal(find_uid(metrics, 7).num_requests, 1);
    assert_int_equal(find_uid(metrics, 7).num_signed, 2);
    assert_int_equal(find_uid(metrics, 7).num_errors, 0);
}

/* ---- What must not be counted as something else ---- */

static void test_metrics__numbers_that_are_none_are_counted_as_such(void **state)
{
    struct sg_metrics *metrics = *state;
    struct sg_metrics_method method;
    struct sg_metrics_durations durations;
    const struct sg_metrics_sample samples[] = {
        {.method = NUM_METHODS + 1, .status = (signet_status)1000},
        {.method = SIZE_MAX, .status = (signet_status)-1},
        {.method = 0, .token = {.act = SG_METRICS_VERIFY, .rejection = (signet_reason)18}},
        {.token = {.act = SG_METRICS_VERIFY, .rejection = (signet_reason)-5, .keyset = "k"}},
        {.token = {.act = SG_METRICS_SIGN, .alg = SG_ALG_COUNT, .keyset = ""}},
        {.token = {.act = SG_METRICS_SIGN, .alg = (enum sg_alg)9999}},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        sg_metrics_record(metrics, &samples[i]);
    }
    sg_metrics_read_method(metrics, 0, &method);
    assert_int_equal(method.statuses[SG_METRICS_NUM_STATUSES - 1], 2);
    assert_int_equal(method.rejections[SG_METRICS_NUM_REASONS - 1], 2);
    assert_int_equal(method.rejections[SIGNET_REASON_POLICY], 0);
    assert_int_equal(method.statuses[SIGNET_OK], 2);
    assert_int_equal(method.num_items, 6);
    assert_int_equal(find_keyset(metrics, "k").rejections[SG_METRICS_NUM_REASONS - 1], 1);
    for (unsigned i = 0; i <= SG_ALG_COUNT; i++) {
        sg_metrics_read_alg(metrics, SG_METRICS_SIGN, (enum sg_alg)i, &durations);
        assert_int_equal(durations.num, 0);
    }
    for (size_t i = 1; i <= NUM_METHODS + 1; i++) {
        sg_metrics_read_method(metrics, i, &method);
        assert_int_equal(method.num_items, 0);
    }
}

static void test_metrics__none_count_nothing(void **state)
{
    (void)state;
    const struct sg_metrics_sample sample = {.method = 1};
    sg_metrics_record(NULL, &sample);
    sg_metrics_record_token(NULL, 0, &sample.token);
    sg_metrics_free(NULL);
}

/* ---- Bounds ---- */

static void count_keyset(struct sg_metrics *metrics, const char *name)
{
    const struct sg_metrics_token token = {.act = SG_METRICS_VERIFY, .keyset = name};
    sg_metrics_record_token(metrics, 0, &token);
}

static void test_metrics__keysets_beyond_the_last_place_are_one(void **state)
{
    struct sg_metrics *metrics = *state;
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    struct sg_metrics_keyset other;
    const size_t num = SG_METRICS_MAX_KEYSETS + 1000;
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < num; i++) {
            (void)snprintf(name, sizeof(name), "keyset-%zu", i);
            count_keyset(metrics, name);
        }
    }
    assert_int_equal(sg_metrics_num_keysets(metrics), SG_METRICS_MAX_KEYSETS + 1);
    sg_metrics_read_keyset(metrics, 0, &other);
    assert_true(other.is_other);
    assert_string_equal(other.name, "");
    assert_int_equal(other.num_good, 2 * 1000);
    assert_int_equal(find_keyset(metrics, "keyset-0").num_good, 2);
    (void)snprintf(name, sizeof(name), "keyset-%u", SG_METRICS_MAX_KEYSETS - 1);
    assert_int_equal(find_keyset(metrics, name).num_good, 2);
}

static void test_metrics__uids_beyond_the_last_place_are_one(void **state)
{
    struct sg_metrics *metrics = *state;
    struct sg_metrics_uid other;
    struct sg_metrics_sample sample = {.method = 1, .status = SIGNET_PERMISSION_DENIED};
    for (uid_t i = 0; i < SG_METRICS_MAX_UIDS + 40; i++) {
        sample.uid = (uid_t)-1 - i;
        sg_metrics_record(metrics, &sample);
    }
    assert_int_equal(sg_metrics_num_uids(metrics), SG_METRICS_MAX_UIDS + 1);
    sg_metrics_read_uid(metrics, 0, &other);
    assert_true(other.is_other);
    assert_int_equal(other.uid, 0);
    assert_int_equal(other.num_requests, 40);
    assert_int_equal(other.num_denied, 40);
    assert_int_equal(find_uid(metrics, (uid_t)-1).num_denied, 1);
}

static void test_metrics__names_of_every_length_are_told_apart(void **state)
{
    struct sg_metrics *metrics = *state;
    char name[SG_MAX_KEYSET_NAME_LEN + 2];
    struct sg_metrics_keyset other;
    for (size_t len = 0; len <= SG_MAX_KEYSET_NAME_LEN + 1; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        count_keyset(metrics, name);
    }
    assert_int_equal(sg_metrics_num_keysets(metrics), SG_MAX_KEYSET_NAME_LEN + 1);
    sg_metrics_read_keyset(metrics, 0, &other);
    assert_int_equal(other.num_good, 2); /* none at all, and one too long */
    name[SG_MAX_KEYSET_NAME_LEN] = '\0';
    assert_int_equal(find_keyset(metrics, name).num_good, 1);
}

static void test_metrics__any_duration_has_a_bucket(void **state)
{
    struct sg_metrics *metrics = *state;
    struct sg_metrics_method method;
    const struct sg_metrics_sample longest = {
        .method = 1, .queue_us = 0, .total_us = UINT64_MAX, .crypto_us = UINT64_C(1) << 40};
    sg_metrics_record(metrics, &longest);
    sg_metrics_read_method(metrics, 1, &method);
    assert_int_equal(method.queue.counts[0], 1);
    assert_int_equal(method.total.counts[SG_METRICS_NUM_BUCKETS - 1], 1);
    assert_int_equal(method.crypto.counts[SG_METRICS_NUM_BUCKETS - 1], 1);
    assert_int_equal(method.total.sum_us, (1U << SG_METRICS_MAX_BITS) - 1);
    assert_int_equal(sg_buckets_upper(SG_METRICS_NUM_BUCKETS - 1, SG_METRICS_STEP_BITS),
                     (1U << SG_METRICS_MAX_BITS) - 1);
}

/* ---- Quantiles ---- */

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The upper end of the bucket in which the quantile is. */
static uint64_t quantile_at(const struct sg_metrics_durations *durations, double quantile)
{
    uint64_t rank = sg_buckets_rank(durations->num, quantile);
    uint64_t seen = 0;
    size_t i = 0;
    for (; i < SG_METRICS_NUM_BUCKETS && seen < rank; i++) {
        seen += durations->counts[i];
    }
    assert_true(i > 0);
    return sg_buckets_upper(i - 1, SG_METRICS_STEP_BITS);
}

static void test_metrics__quantiles_are_those_of_the_sorted_list(void **state)
{
    static const double quantiles[] = {0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0};
    enum {
        NUM = 20000
    };
    struct sg_metrics *metrics = *state;
    struct sg_metrics_method method;
    uint64_t *list = calloc(NUM, sizeof(*list));
    uint64_t sum = 0;
    uint64_t random = 88172645463325252U; /* xorshift64 */
    assert_non_null(list);
    for (size_t i = 0; i < NUM; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        list[i] = (random >> 32) >> (8 + random % 24); /* of every magnitude */
        sum += list[i];
        const struct sg_metrics_sample sample = {.method = 4, .total_us = list[i]};
        sg_metrics_record(metrics, &sample);
    }
    qsort(list, NUM, sizeof(*list), compare);
    sg_metrics_read_method(metrics, 4, &method);
    assert_int_equal(method.total.num, NUM);
    assert_true(method.total.sum_us == sum);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        uint64_t rank = sg_buckets_rank(NUM, quantiles[i]);
        uint64_t exact = list[rank - 1];
        uint64_t told = quantile_at(&method.total, quantiles[i]);
        assert_true(told >= exact);
        assert_true(told - exact <= exact / 16);
    }
    free(list);
}

static void test_buckets__every_value_is_in_the_bucket_that_holds_it(void **state)
{
    (void)state;
    for (unsigned step_bits = 1; step_bits <= 8; step_bits++) {
        uint64_t last = 0;
        for (size_t i = 1; i < SG_BUCKETS_NUM(step_bits, 40); i++) {
            uint64_t upper = sg_buckets_upper(i, step_bits);
            assert_true(upper > last);
            assert_int_equal(sg_buckets_index(upper, step_bits), i);
            assert_int_equal(sg_buckets_index(last + 1, step_bits), i);
            last = upper;
        }
        assert_true(last == (UINT64_C(1) << 40) - 1);
    }
    assert_int_equal(sg_buckets_rank(0, 0.5), 0);
    assert_int_equal(sg_buckets_rank(10, 0.0), 1);
    assert_int_equal(sg_buckets_rank(10, 0.5), 5);
    assert_int_equal(sg_buckets_rank(10, 0.51), 6);
    assert_int_equal(sg_buckets_rank(10, 1.0), 10);
}

/* ---- Threads ---- */

struct counting {
    struct sg_metrics *metrics;
    pthread_barrier_t *barrier;
    unsigned num_rounds;
    atomic_bool *is_over; /* all have counted */
};

/* Every thread meets every keyset and uid, all of them first at the same time. */
static void *count(void *context)
{
    const struct counting *counting = context;
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    (void)pthread_barrier_wait(counting->barrier);
    for (unsigned i = 0; i < counting->num_rounds; i++) {
        (void)snprintf(name, sizeof(name), "keyset.%u", i % 100);
        const struct sg_metrics_sample sample = {
            .method = 1 + i % NUM_METHODS,
            .uid = 1000 + i % 300, /* more than there is room for */
            .queue_us = i % 3,
            .total_us = i % 1000,
            .token = {.act = i % 2 == 0 ? SG_METRICS_SIGN : SG_METRICS_VERIFY,
                      .rejection = i % 2 == 0 ? SIGNET_REASON_NONE : SIGNET_REASON_TOO_OLD,
                      .alg = SG_ALG_HS256,
                      .keyset = name,
                      .crypto_us = 2},
        };
        sg_metrics_record(counting->metrics, &sample);
    }
    return NULL;
}

/* Reads all the while: nothing that was told of is ever taken back. */
static void *read_on(void *context)
{
    const struct counting *counting = context;
    uint64_t last = 0;
    bool has_shrunk = false;
    struct sg_metrics_method *method = malloc(sizeof(*method));
    struct sg_metrics_keyset keyset;
    (void)pthread_barrier_wait(counting->barrier);
    while (method != NULL && !has_shrunk && !atomic_load(counting->is_over)) {
        uint64_t num = 0;
        for (size_t i = 1; i <= NUM_METHODS; i++) {
            sg_metrics_read_method(counting->metrics, i, method);
            num += method->total.num;
        }
        for (size_t i = 0; i < sg_metrics_num_keysets(counting->metrics); i++) {
            sg_metrics_read_keyset(counting->metrics, i, &keyset);
        }
        has_shrunk = num < last;
        last = num;
    }
    free(method);
    return method == NULL || has_shrunk ? NULL : context;
}

static void check_counts(const struct sg_metrics *metrics, uint64_t all)
{
    uint64_t sum = 0;
    struct sg_metrics_uid uid;
    struct sg_metrics_durations durations;
    for (size_t i = 0; i < sg_metrics_num_uids(metrics); i++) {
        sg_metrics_read_uid(metrics, i, &uid);
        sum += uid.num_requests;
        assert_true(uid.num_signed + uid.num_rejected == uid.num_requests);
    }
    assert_true(sum == all);
    assert_int_equal(sg_metrics_num_uids(metrics), SG_METRICS_MAX_UIDS + 1);
    assert_int_equal(sg_metrics_num_keysets(metrics), 101);
    sum = 0;
    for (size_t i = 0; i < 101; i++) {
        struct sg_metrics_keyset keyset;
        sg_metrics_read_keyset(metrics, i, &keyset);
        uint64_t num = keyset.num_signed + keyset.rejections[SIGNET_REASON_TOO_OLD];
        assert_true(num == (i == 0 ? 0 : all / 100));
        sum += num;
    }
    assert_true(sum == all);
    sg_metrics_read_alg(metrics, SG_METRICS_SIGN, SG_ALG_HS256, &durations);
    assert_true(durations.num == all / 2);
    assert_true(durations.sum_us == all);
}

static void test_metrics__sums_of_many_threads_are_exact(void **state)
{
    enum {
        NUM_ROUNDS = 60000 /* a multiple of all the remainders above */
    };
    pthread_barrier_t barrier;
    pthread_t threads[NUM_THREADS + 1];
    struct counting counting[NUM_THREADS + 1];
    struct sg_metrics_method method;
    atomic_bool is_over = false;
    void *nothing_shrank = NULL;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, NUM_THREADS + 1), 0);
    for (unsigned i = 0; i <= NUM_THREADS; i++) {
        counting[i] = (struct counting){*state, &barrier, NUM_ROUNDS, &is_over};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < NUM_THREADS ? count : read_on, &counting[i]), 0);
    }
    for (unsigned i = 0; i <= NUM_THREADS; i++) {
        atomic_store(&is_over, i == NUM_THREADS); /* the reader is the last */
        assert_int_equal(pthread_join(threads[i], &nothing_shrank), 0);
    }
    (void)pthread_barrier_destroy(&barrier);
    assert_non_null(nothing_shrank);
    for (size_t i = 1; i <= NUM_METHODS; i++) {
        sg_metrics_read_method(*state, i, &method);
        uint64_t num = NUM_THREADS * NUM_ROUNDS / NUM_METHODS;
        assert_true(method.num_items == num);
        assert_true(method.queue.num == num);
        assert_true(method.crypto.num == num);
    }
    check_counts(*state, NUM_THREADS * NUM_ROUNDS);
}

/* ---- How long it takes: test_metrics speed [THREADS]. Asserts nothing. ---- */

#define SPEED_ROUNDS 5000000u

static void *count_fast(void *context)
{
    const struct counting *counting = context;
    (void)pthread_barrier_wait(counting->barrier);
    for (unsigned i = 0; i < counting->num_rounds; i++) {
        const struct sg_metrics_sample sample = {
            .method = 2,
            .uid = 1000,
            .queue_us = i % 4,
            .total_us = 20 + i % 64,
            .token = {.act = SG_METRICS_VERIFY,
                      .alg = SG_ALG_HS256,
                      .keyset = "orders-api",
                      .crypto_us = 5 + i % 8},
        };
        sg_metrics_record(counting->metrics, &sample);
    }
    return NULL;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Of processor time, since others use the machine too. */
static int measure(unsigned num_threads)
{
    pthread_barrier_t barrier;
    pthread_t threads[NUM_THREADS];
    struct counting counting = {sg_metrics_new(NUM_METHODS), &barrier, SPEED_ROUNDS, NULL};
    if (counting.metrics == NULL || num_threads == 0 || num_threads > NUM_THREADS ||
        pthread_barrier_init(&barrier, NULL, num_threads) != 0) {
        (void)fprintf(stderr, "usage: test_metrics speed [THREADS], 1 to %u\n", NUM_THREADS);
        return 2;
    }
    uint64_t wall = now_ns(CLOCK_MONOTONIC);
    uint64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < num_threads; i++) {
        if (pthread_create(&threads[i], NULL, count_fast, &counting) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < num_threads; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    uint64_t spent = now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    uint64_t num = (uint64_t)num_threads * SPEED_ROUNDS;
    (void)printf("%u threads: %.1f ns of processor time a call, %.1f million calls/s\n",
                 num_threads, (double)spent / (double)num, (double)num * 1e3 / (double)wall);
    sg_metrics_free(counting.metrics);
    (void)pthread_barrier_destroy(&barrier);
    return 0;
}

#define METRICS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "speed") == 0) {
        return measure(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1);
    }
    const struct CMUnitTest tests[] = {
        METRICS_TEST(test_metrics__a_good_token_is_counted_in_every_table),
        METRICS_TEST(test_metrics__outcomes_are_told_apart),
        METRICS_TEST(test_metrics__the_tokens_of_a_batch_are_counted_one_by_one),
        METRICS_TEST(test_metrics__numbers_that_are_none_are_counted_as_such),
        cmocka_unit_test(test_metrics__none_count_nothing),
        METRICS_TEST(test_metrics__keysets_beyond_the_last_place_are_one),
        METRICS_TEST(test_metrics__uids_beyond_the_last_place_are_one),
        METRICS_TEST(test_metrics__names_of_every_length_are_told_apart),
        METRICS_TEST(test_metrics__any_duration_has_a_bucket),
        METRICS_TEST(test_metrics__quantiles_are_those_of_the_sorted_list),
        cmocka_unit_test(test_buckets__every_value_is_in_the_bucket_that_holds_it),
        METRICS_TEST(test_metrics__sums_of_many_threads_are_exact),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
