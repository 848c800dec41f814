/* SPDX-License-Identifier: Apache-2.0
 *
 * The calendar of keys: every rule at its boundary, times that no clock should give, and histories that
 * are made up: clocks that run, swing and stand, keys revoked, rotations asked for. A number as argument
 * makes up others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/rotation.h"

#define NOW    INT64_C(1700000000)
#define MINUTE INT64_C(60)
#define HOUR   INT64_C(3600)
#define DAY    INT64_C(86400)
#define LEAD   INT64_C(600)
#define TTL    INT64_C(900)
#define LEEWAY ((int64_t)SG_MAX_LEEWAY_S)
#define SETTLE ((int64_t)SG_ROTATION_SETTLE_S)
#define NEVER  SG_TIME_NEVER
#define EVER   SG_TIME_EVER

#define NUM_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct sg_rotation_policy hourly = {.rotate_every_s = HOUR, .publish_lead_s = LEAD};
static const struct sg_rotation_policy on_demand = {.rotate_every_s = 0, .publish_lead_s = LEAD};

static struct sg_key_times key_from(uint32_t seq, int64_t sign_from)
{
    return (struct sg_key_times){
        .seq = seq, .max_ttl_s = TTL, .created_at = sign_from, .sign_from = sign_from};
}

static struct sg_key_times key_revoked(uint32_t seq, int64_t sign_from, int64_t revoked_at)
{
    struct sg_key_times key = key_from(seq, sign_from);
    key.revoked_at = revoked_at;
    return key;
}

static struct sg_key_times key_to_verify(uint32_t seq, int64_t verify_until)
{
    return (struct sg_key_times){
        .seq = seq, .never_signs = true, .created_at = NOW, .verify_until = verify_until};
}

static void assert_span(const struct sg_key_span *span, int64_t from, int64_t until, int64_t keep)
{
    assert_int_equal(span->signs_from, from);
    assert_int_equal(span->signs_until, until);
    assert_int_equal(span->keep_until, keep);
}

/* ---- Spans ---- */

static void test_spans__each_key_signs_until_the_next(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(3, NOW + 200), key_from(1, NOW),
                                        key_from(2, NOW + 100)};
    struct sg_key_span spans[3];
    assert_true(sg_rotation_spans(keys, 3, HOUR, spans));
    assert_span(&spans[1], EVER, NOW + 100, NOW + 100 + HOUR);
    assert_span(&spans[2], NOW + 100, NOW + 200, NOW + 200 + HOUR);
    assert_span(&spans[0], NOW + 200, NEVER, NEVER);
    assert_false(spans[0].revoked || spans[1].revoked || spans[2].revoked);
}

static void test_spans__of_one_time_the_lower_seq_has_none(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(7, NOW + 10), key_from(5, NOW + 10),
                                        key_from(1, NOW)};
    struct sg_key_span spans[3];
    assert_true(sg_rotation_spans(keys, 3, HOUR, spans));
    assert_span(&spans[2], EVER, NOW + 10, NOW + 10 + HOUR);
    assert_span(&spans[1], NOW + 10, NOW + 10, NOW + 10 + HOUR);
    assert_span(&spans[0], NOW + 10, NEVER, NEVER);
    /* It never signed, and goes when its overlap is over. */
    assert_int_equal(sg_rotation_state(&spans[1], 0, NOW + 9), SG_KEY_NEXT);
    assert_int_equal(sg_rotation_state(&spans[1], 0, NOW + 10), SG_KEY_VERIFY_ONLY);
    assert_int_equal(sg_rotation_state(&spans[1], 0, NOW + 9 + HOUR), SG_KEY_VERIFY_ONLY);
    assert_int_equal(sg_rotation_state(&spans[1], 0, NOW + 10 + HOUR), SG_KEY_RETIRED);
}

static void test_spans__an_overlap_is_no_shorter_than_a_call(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + 100)};
    struct sg_key_span spans[2];
    assert_true(sg_rotation_spans(keys, 2, 0, spans));
    assert_int_equal(spans[0].keep_until, NOW + 100 + SETTLE);
    assert_true(sg_rotation_spans(keys, 2, SG_ROTATION_SETTLE_S + 1, spans));
    assert_int_equal(spans[0].keep_until, NOW + 100 + SETTLE + 1);
    assert_true(sg_rotation_spans(keys, 2, UINT32_MAX, spans));
    assert_int_equal(spans[0].keep_until, NOW + 100 + (int64_t)UINT32_MAX);
}

static void test_spans__leave_out_what_does_not_sign(void **state)
{
    (void)state;
    struct sg_key_times both = key_to_verify(6, NOW + 5);
    both.revoked_at = NOW + 3;
    const struct sg_key_times keys[] = {
        key_revoked(1, NOW - 50, NOW), key_from(2, NOW),          key_revoked(3, NOW + 10, NOW + 4),
        key_to_verify(4, 0),           key_to_verify(5, NOW + 5), both,
        key_from(7, NOW + 20)};
    struct sg_key_span spans[NUM_OF(keys)];
    assert_true(sg_rotation_spans(keys, NUM_OF(keys), HOUR, spans));
    assert_span(&spans[1], EVER, NOW + 20, NOW + 20 + HOUR);
    assert_span(&spans[6], NOW + 20, NEVER, NEVER);
    assert_span(&spans[0], NEVER, NOW, EVER);
    assert_span(&spans[2], NEVER, NOW + 4, EVER);
    assert_span(&spans[3], NEVER, NEVER, NEVER);
    assert_span(&spans[4], NEVER, NEVER, NOW + 5);
    assert_span(&spans[5], NEVER, NOW + 3, EVER);
    assert_true(spans[0].revoked && spans[2].revoked && spans[5].revoked);
    assert_false(spans[1].revoked || spans[3].revoked || spans[4].revoked || spans[6].revoked);
}

static void test_spans__of_nothing_are_nothing(void **state)
{
    (void)state;
    struct sg_key_span span = {.signs_from = 1, .signs_until = 2, .keep_until = 3};
    assert_true(sg_rotation_spans(NULL, 0, HOUR, &span));
    assert_span(&span, 1, 2, 3);
    assert_int_equal(sg_rotation_signer(NULL, 0, NOW), 0);
}

static void test_spans__at_the_ends_of_time_stay_there(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, EVER), key_from(2, EVER),
                                        key_from(3, NEVER - 10), key_from(4, NEVER),
                                        key_from(5, NEVER)};
    struct sg_key_span spans[5];
    assert_true(sg_rotation_spans(keys, 5, UINT32_MAX, spans));
    assert_span(&spans[0], EVER, EVER, EVER);
    assert_span(&spans[1], EVER, NEVER - 10, NEVER);
    assert_span(&spans[2], NEVER - 10, NEVER, NEVER);
    assert_span(&spans[3], NEVER, NEVER, NEVER);
    assert_span(&spans[4], NEVER, NEVER, NEVER);
    assert_int_equal(sg_rotation_signer(spans, 5, INT64_MIN), 1);
    assert_int_equal(sg_rotation_signer(spans, 5, NOW), 1);
    assert_int_equal(sg_rotation_signer(spans, 5, INT64_MAX), 2);
}

static void test_spans__of_many_keys_are_those_of_their_order(void **state)
{
    (void)state;
    const size_t num = 65536;
    struct sg_key_times *keys = calloc(num, sizeof(*keys));
    struct sg_key_span *spans = calloc(num, sizeof(*spans));
    assert_non_null(keys);
    assert_non_null(spans);
    for (size_t i = 0; i < num; i++) {
        size_t place = i * 40503 % num; /* odd: each once */
        keys[i] = key_from((uint32_t)i, NOW + (int64_t)place);
    }
    assert_true(sg_rotation_spans(keys, num, 0, spans));
    for (size_t i = 0; i < num; i++) {
        int64_t from = keys[i].sign_from;
        assert_int_equal(spans[i].signs_from, from == NOW ? EVER : from);
        assert_int_equal(spans[i].signs_until, from == NOW + (int64_t)num - 1 ? NEVER : from + 1);
    }
    free(keys);
    free(spans);
}

/* ---- States ---- */

static void test_verify_until__is_the_overlap_or_the_last_token_with_its_leeway(void **state)
{
    (void)state;
    const struct sg_key_span past = {
        .signs_from = EVER, .signs_until = NOW, .keep_until = NOW + 100};
    const struct sg_key_span open = {.signs_from = EVER, .signs_until = NEVER, .keep_until = NEVER};
    const struct sg_key_span still = {
        .signs_from = NEVER, .signs_until = NEVER, .keep_until = NOW + 100};
    const struct sg_key_span ever = {.signs_from = EVER, .signs_until = EVER, .keep_until = EVER};
    const struct sg_key_span gone = {
        .signs_from = NEVER, .signs_until = NOW, .keep_until = EVER, .revoked = true};
    const struct {
        const struct sg_key_span *span;
        int64_t last_expiry, until;
    } cases[] = {
        {&past, 0, NOW + 100},
        {&past, 1, NOW + 100},
        {&past, NOW + 100 - LEEWAY, NOW + 100},
        {&past, NOW + 101 - LEEWAY, NOW + 101},
        {&past, NOW + TTL, NOW + TTL + LEEWAY},
        {&past, NEVER - LEEWAY, NEVER},
        {&past, NEVER - 1, NEVER},
        {&past, NEVER, NEVER},
        {&past, EVER, NOW + 100},
        {&past, -5, NOW + 100},
        {&ever, 0, EVER},
        {&ever, 1, 1 + LEEWAY},
        {&open, 0, NEVER},
        {&open, NOW, NEVER},
        {&still, 0, NOW + 100},
        {&still, NOW + DAY, NOW + 100},
        {&gone, 0, NOW},
        {&gone, NOW + DAY, NOW},
    };
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        int64_t until = sg_rotation_verify_until(cases[i].span, cases[i].last_expiry);
        if (until != cases[i].until) {
            fail_msg("case %zu: %lld", i, (long long)until);
        }
    }
}

static void test_state__changes_in_the_very_second(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW),        key_from(2, NOW + 1000),
                                        key_from(3, NOW + 2000), key_to_verify(4, NOW + 50),
                                        key_to_verify(5, 0),     key_revoked(6, NOW, NOW + 100)};
    struct sg_key_span spans[NUM_OF(keys)];
    const int64_t expiry = NOW + 2000 + TTL;
    const struct {
        size_t key;
        int64_t last_expiry, now;
        enum sg_key_state state;
    } cases[] = {
        {0, 0, INT64_MIN, SG_KEY_ACTIVE},
        {0, 0, NOW + 999, SG_KEY_ACTIVE},
        {0, 0, NOW + 1000, SG_KEY_VERIFY_ONLY},
        {0, 0, NOW + 999 + SETTLE, SG_KEY_VERIFY_ONLY},
        {0, 0, NOW + 1000 + SETTLE, SG_KEY_RETIRED},
        {1, 0, INT64_MIN, SG_KEY_NEXT},
        {1, 0, NOW + 999, SG_KEY_NEXT},
        {1, 0, NOW + 1000, SG_KEY_ACTIVE},
        {1, 0, NOW + 1999, SG_KEY_ACTIVE},
        {1, expiry, NOW + 2000, SG_KEY_VERIFY_ONLY},
        {1, expiry, expiry + LEEWAY - 1, SG_KEY_VERIFY_ONLY},
        {1, expiry, expiry + LEEWAY, SG_KEY_RETIRED},
        {1, expiry, INT64_MAX, SG_KEY_RETIRED},
        /* Nothing is lost when it has gone and the clock is set back. */
        {1, expiry, NOW + 1500, SG_KEY_ACTIVE},
        {2, 0, NOW + 1999, SG_KEY_NEXT},
        {2, 0, NOW + 2000, SG_KEY_ACTIVE},
        {2, 0, INT64_MAX, SG_KEY_ACTIVE},
        {3, 0, INT64_MIN, SG_KEY_VERIFY_ONLY},
        {3, 0, NOW + 49, SG_KEY_VERIFY_ONLY},
        {3, 0, NOW + 50, SG_KEY_RETIRED},
        {4, 0, INT64_MIN, SG_KEY_VERIFY_ONLY},
        {4, 0, INT64_MAX, SG_KEY_VERIFY_ONLY},
        {5, 0, NOW, SG_KEY_REVOKED},
        {5, NOW + DAY, INT64_MIN, SG_KEY_REVOKED},
        {5, NOW + DAY, INT64_MAX, SG_KEY_REVOKED},
    };
    assert_true(sg_rotation_spans(keys, NUM_OF(keys), 0, spans));
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        enum sg_key_state is =
            sg_rotation_state(&spans[cases[i].key], cases[i].last_expiry, cases[i].now);
        if (is != cases[i].state) {
            fail_msg("case %zu: state %d", i, is);
        }
    }
}

static void test_signer__is_one_at_any_time(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(3, NOW + 200), key_revoked(4, NOW + 50, NOW),
                                        key_from(1, NOW), key_from(2, NOW + 100),
                                        key_to_verify(5, 0)};
    struct sg_key_span spans[NUM_OF(keys)];
    assert_true(sg_rotation_spans(keys, NUM_OF(keys), 0, spans));
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), INT64_MIN), 2);
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), NOW + 99), 2);
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), NOW + 100), 3);
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), NOW + 199), 3);
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), NOW + 200), 0);
    assert_int_equal(sg_rotation_signer(spans, NUM_OF(keys), INT64_MAX), 0);
}

static void test_signer__is_none_when_no_key_may(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_revoked(1, NOW, NOW + 1), key_to_verify(2, 0)};
    struct sg_key_span spans[2];
    assert_true(sg_rotation_spans(keys, 2, 0, spans));
    assert_int_equal(sg_rotation_signer(spans, 2, INT64_MIN), 2);
    assert_int_equal(sg_rotation_signer(spans, 2, NOW), 2);
    assert_int_equal(sg_rotation_signer(spans, 2, INT64_MAX), 2);
}

static void test_expiry_bound__is_never_too_early(void **state)
{
    (void)state;
    const struct {
        int64_t created_at, sign_from, signs_until, now, last; /* the last second of its signing */
    } cases[] = {
        {NOW, NOW, NEVER, NOW + 500, NOW + 500},     /* signs */
        {NOW, NOW, NOW + 900, NOW + 500, NOW + 900}, /* the clock may have been ahead */
        {NOW, NOW, NOW + 900, NOW + 900, NOW + 900}, /* it has just ended */
        {NOW, NOW, NOW + 900, NOW + DAY, NOW + 900}, /* long ago */
        {NOW, NOW + LEAD, NEVER, NOW, NOW + LEAD},   /* waits; signs if the clock is set back far */
        {NOW, NOW, NEVER, NOW - DAY, NOW},           /* the clock was set back since it was made */
        {NOW, NOW - DAY, NEVER, NOW - DAY, NOW},     /* and the key replanned */
        {NOW, NOW - DAY, NOW - HOUR, NOW - DAY, NOW}, /* and there is a next */
        {NOW, NOW, EVER, NOW, NOW},
    };
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        const struct sg_key_times key = {
            .max_ttl_s = TTL, .created_at = cases[i].created_at, .sign_from = cases[i].sign_from};
        const struct sg_key_span span = {.signs_from = EVER, .signs_until = cases[i].signs_until};
        int64_t bound = sg_rotation_expiry_bound(&key, &span, cases[i].now);
        if (bound != cases[i].last + SETTLE + TTL) {
            fail_msg("case %zu: %lld s after now", i, (long long)(bound - cases[i].now));
        }
    }
}

static void test_expiry_bound__of_what_does_not_sign(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_to_verify(1, 0), key_revoked(2, NOW, NOW + 100)};
    struct sg_key_span spans[2];
    assert_true(sg_rotation_spans(keys, 2, 0, spans));
    assert_int_equal(sg_rotation_expiry_bound(&keys[0], &spans[0], NOW), 0);
    assert_int_equal(sg_rotation_expiry_bound(&keys[1], &spans[1], NOW + DAY),
                     NOW + 100 + SETTLE + TTL);
}

static void test_expiry_bound__saturates(void **state)
{
    (void)state;
    struct sg_key_times key = key_from(1, EVER);
    const struct sg_key_span span = {.signs_from = EVER, .signs_until = NEVER};
    key.max_ttl_s = UINT32_MAX;
    assert_int_equal(sg_rotation_expiry_bound(&key, &span, INT64_MAX - 1), NEVER);
    assert_int_equal(sg_rotation_expiry_bound(&key, &span, INT64_MIN),
                     INT64_MIN + SETTLE + (int64_t)UINT32_MAX);
}

/* ---- The calendar ---- */

static struct sg_rotation_plan plan_for(const struct sg_rotation_policy *policy,
                                        const struct sg_key_times *keys, size_t num, int64_t now)
{
    struct sg_key_span spans[8];
    assert_true(num <= NUM_OF(spans));
    assert_true(sg_rotation_spans(keys, num, policy->overlap_s, spans));
    return sg_rotation_plan(policy, keys, spans, num, false, now);
}

static void assert_waits(struct sg_rotation_plan plan, int64_t at)
{
    assert_int_equal(plan.step, SG_ROTATION_WAIT);
    assert_int_equal(plan.at, at);
}

static void assert_step(struct sg_rotation_plan plan, enum sg_rotation_step step, int64_t sign_from)
{
    assert_int_equal(plan.step, step);
    assert_int_equal(plan.sign_from, sign_from);
}

static void assert_replans(struct sg_rotation_plan plan, size_t index, int64_t sign_from)
{
    assert_step(plan, SG_ROTATION_REPLAN, sign_from);
    assert_int_equal(plan.index, index);
}

static void test_plan__without_a_key_makes_the_first(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_revoked(1, NOW - 10, NOW), key_to_verify(2, 0)};
    assert_step(plan_for(&hourly, NULL, 0, NOW), SG_ROTATION_FIRST, NOW);
    assert_step(plan_for(&hourly, keys, 2, NOW), SG_ROTATION_FIRST, NOW);
    assert_step(plan_for(&on_demand, keys, 2, INT64_MIN), SG_ROTATION_FIRST, INT64_MIN);
}

static void test_plan__publishes_the_lead_before_the_end(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + HOUR)};
    assert_waits(plan_for(&hourly, keys, 1, NOW), NOW + HOUR - LEAD);
    assert_waits(plan_for(&hourly, keys, 1, NOW + HOUR - LEAD - 1), NOW + HOUR - LEAD);
    assert_step(plan_for(&hourly, keys, 1, NOW + HOUR - LEAD), SG_ROTATION_PUBLISH, NOW + HOUR);
    /* Late: the old key signs on, so that the lead is a whole one. */
    assert_step(plan_for(&hourly, keys, 1, NOW + HOUR - 1), SG_ROTATION_PUBLISH,
                NOW + HOUR - 1 + LEAD);
    assert_step(plan_for(&hourly, keys, 1, NOW + 365 * DAY), SG_ROTATION_PUBLISH,
                NOW + 365 * DAY + LEAD);
    /* Done. */
    assert_waits(plan_for(&hourly, keys, 2, NOW + HOUR - LEAD), NOW + HOUR);
    assert_waits(plan_for(&hourly, keys, 2, NOW + HOUR - 1), NOW + HOUR);
    assert_waits(plan_for(&hourly, keys, 2, NOW + HOUR), NOW + 2 * HOUR - LEAD);
}

static void test_plan__after_a_year_makes_one_key(void **state)
{
    (void)state;
    const int64_t now = NOW + 365 * DAY;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, now + LEAD)};
    assert_waits(plan_for(&hourly, keys, 2, now), now + LEAD);
    assert_waits(plan_for(&hourly, keys, 2, now + LEAD), now + HOUR);
}

static void test_plan__without_a_lead_lets_the_key_sign_at_once(void **state)
{
    (void)state;
    const struct sg_rotation_policy policy = {.rotate_every_s = HOUR};
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + HOUR)};
    assert_waits(plan_for(&policy, keys, 1, NOW + HOUR - 1), NOW + HOUR);
    assert_step(plan_for(&policy, keys, 1, NOW + HOUR), SG_ROTATION_PUBLISH, NOW + HOUR);
    assert_waits(plan_for(&policy, keys, 2, NOW + HOUR), NOW + 2 * HOUR);
    /* Set back by a second just then. */
    assert_waits(plan_for(&policy, keys, 2, NOW + HOUR - 1), NOW + HOUR);
}

static void test_plan__looks_again_when_the_key_that_waits_signs(void **state)
{
    (void)state;
    /* Made on demand, long before one was due. */
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + 5 + LEAD)};
    assert_waits(plan_for(&hourly, keys, 2, NOW + 5), NOW + 5 + LEAD);
    assert_waits(plan_for(&hourly, keys, 2, NOW + 5 + LEAD), NOW + 5 + HOUR);
}

static void test_plan__a_lead_longer_than_a_rotation_is_honoured(void **state)
{
    (void)state;
    const struct sg_rotation_policy policy = {.rotate_every_s = HOUR, .publish_lead_s = 2 * HOUR};
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + 2 * HOUR)};
    const struct sg_key_times ever[] = {key_from(1, EVER)};
    assert_step(plan_for(&policy, keys, 1, NOW), SG_ROTATION_PUBLISH, NOW + 2 * HOUR);
    assert_waits(plan_for(&policy, keys, 2, NOW), NOW + 2 * HOUR);
    assert_step(plan_for(&policy, ever, 1, EVER), SG_ROTATION_PUBLISH, EVER + 2 * HOUR);
}

static void test_plan__on_demand_waits_for_ever(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + DAY + LEAD)};
    assert_waits(plan_for(&on_demand, keys, 1, NOW), NEVER);
    assert_waits(plan_for(&on_demand, keys, 1, NOW + 3650 * DAY), NEVER);
    assert_waits(plan_for(&on_demand, keys, 2, NOW + DAY), NOW + DAY + LEAD);
    assert_waits(plan_for(&on_demand, keys, 2, NOW + DAY + LEAD), NEVER);
}

static void test_plan__a_wish_for_a_new_key_is_met_once_none_waits(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + HOUR)};
    const int64_t now = NOW + HOUR - LEAD;
    struct sg_key_span spans[2];
    assert_true(sg_rotation_spans(keys, 1, 0, spans));
    assert_step(sg_rotation_plan(&hourly, keys, spans, 1, true, NOW + 1), SG_ROTATION_PUBLISH,
                NOW + 1 + LEAD);
    assert_step(sg_rotation_plan(&on_demand, keys, spans, 1, true, NOW), SG_ROTATION_PUBLISH,
                NOW + LEAD);
    assert_true(sg_rotation_spans(keys, 2, 0, spans));
    assert_waits(sg_rotation_plan(&hourly, keys, spans, 2, true, now), NOW + HOUR);
    assert_step(sg_rotation_plan(&hourly, keys, spans, 2, true, NOW + HOUR), SG_ROTATION_PUBLISH,
                NOW + HOUR + LEAD);
}

static void test_plan__after_the_next_key_was_revoked_publishes_another(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW),
                                        key_revoked(2, NOW + HOUR, NOW + HOUR - 1)};
    assert_step(plan_for(&hourly, keys, 2, NOW + HOUR - 1), SG_ROTATION_PUBLISH,
                NOW + HOUR - 1 + LEAD);
}

static void test_plan__a_signer_from_ahead_has_signed_since_now(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW + 1), key_from(2, NOW + HOUR)};
    assert_replans(plan_for(&hourly, keys, 1, NOW), 0, NOW);
    assert_replans(plan_for(&on_demand, keys, 1, NOW - 365 * DAY), 0, NOW - 365 * DAY);
    assert_replans(plan_for(&hourly, keys, 2, NOW), 0, NOW);
    assert_waits(plan_for(&hourly, keys, 1, NOW + 1), NOW + 1 + HOUR - LEAD);
}

static void test_plan__a_key_that_waits_too_long_is_taken_when_one_is_due(void **state)
{
    (void)state;
    const struct sg_key_times far[] = {key_from(1, NOW), key_from(2, NOW + 365 * DAY)};
    const struct sg_key_times near[] = {key_from(1, NOW), key_from(2, NOW + HOUR)};
    const int64_t due = NOW + HOUR - LEAD;
    assert_waits(plan_for(&hourly, far, 2, NOW), due);
    assert_waits(plan_for(&hourly, far, 2, due - 1), due);
    assert_replans(plan_for(&hourly, far, 2, due), 1, NOW + HOUR);
    assert_replans(plan_for(&hourly, far, 2, NOW + DAY), 1, NOW + DAY + LEAD);
    assert_waits(plan_for(&hourly, near, 2, due), NOW + HOUR);
}

static void test_plan__a_wait_of_twice_the_lead_is_left_alone(void **state)
{
    (void)state;
    const struct sg_key_times keys[] = {key_from(1, NOW), key_from(2, NOW + DAY)};
    const int64_t then = NOW + DAY - 2 * LEAD;
    assert_waits(plan_for(&hourly, keys, 2, then), NOW + DAY);
    assert_replans(plan_for(&hourly, keys, 2, then - 1), 1, then - 1 + LEAD);
    assert_waits(plan_for(&on_demand, keys, 2, then), NOW + DAY);
    assert_replans(plan_for(&on_demand, keys, 2, then - 1), 1, then - 1 + LEAD);
}

static void test_plan__of_many_that_wait_the_soonest_goes_first(void **state)
{
    (void)state;
    const struct sg_rotation_policy at_once = {.rotate_every_s = 0, .publish_lead_s = 0};
    struct sg_key_times keys[] = {key_from(4, NOW + 3 * DAY), key_from(3, NOW + 2 * DAY),
                                  key_from(2, NOW + 2 * DAY), key_from(1, NOW)};
    assert_replans(plan_for(&on_demand, keys, 4, NOW), 2, NOW + LEAD);
    /* A second, so that one step does not lead to the next without end. */
    assert_replans(plan_for(&at_once, keys, 4, NOW), 2, NOW + 1);
    keys[2].sign_from = NOW + 1;
    assert_waits(plan_for(&at_once, keys, 4, NOW), NOW + 1);
    assert_replans(plan_for(&at_once, keys, 4, NOW + 1), 1, NOW + 2);
}

/* ---- Times that no clock should give ---- */

static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1,   INT64_MIN + DAY, -1,       0, 1,
                                NOW,       INT64_MAX - DAY, INT64_MAX - 1,   INT64_MAX};

/* The plan comes to rest, and there is one signer all the way. */
static void edge_settle(const struct sg_rotation_policy *policy, struct sg_key_times *keys,
                        size_t num, int64_t now)
{
    struct sg_key_span spans[8];
    for (unsigned step = 0; step < 4; step++) {
        assert_true(sg_rotation_spans(keys, num, policy->overlap_s, spans));
        struct sg_rotation_plan plan = sg_rotation_plan(policy, keys, spans, num, false, now);
        assert_in_range(sg_rotation_signer(spans, num, now), 0,
                        plan.step == SG_ROTATION_FIRST ? num : num - 1);
        for (size_t i = 0; i < num; i++) {
            int64_t bound = sg_rotation_expiry_bound(&keys[i], &spans[i], now);
            assert_in_range(sg_rotation_state(&spans[i], bound, now), SG_KEY_NEXT, SG_KEY_REVOKED);
        }
        if (plan.step == SG_ROTATION_WAIT) {
            assert_true(plan.at > now || plan.at == NEVER);
            return;
        }
        if (plan.step == SG_ROTATION_REPLAN) {
            assert_true(plan.index < num && plan.sign_from < keys[plan.index].sign_from);
            keys[plan.index].sign_from = plan.sign_from;
        } else {
            keys[num] = key_from((uint32_t)num + 1, plan.sign_from);
            num++;
        }
    }
    fail_msg("at %lld there is no end of it", (long long)now);
}

static void test_plan__comes_to_rest_at_the_edges_of_time(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, HOUR, UINT32_MAX};
    const size_t num = NUM_OF(edges);
    for (size_t i = 0; i < num * num * num * 16 * 3; i++) {
        const struct sg_rotation_policy policy = {
            .rotate_every_s = lengths[i % 4],
            .publish_lead_s = lengths[i / 4 % 4],
            .overlap_s = lengths[i / 16 % 4],
        };
        struct sg_key_times keys[8] = {key_from(1, edges[i / 16 % num]),
                                       key_from(2, edges[i / 16 / num % num])};
        size_t kind = i / 16 / num / num / num;
        keys[0].revoked_at = kind == 1 ? edges[i % num] : 0;
        keys[1].never_signs = kind == 2;
        keys[1].verify_until = edges[i % num];
        keys[1].created_at = edges[i % num];
        keys[1].max_ttl_s = UINT32_MAX;
        edge_settle(&policy, keys, 2, edges[i / 16 / num / num % num]);
    }
}

/* ---- Histories ---- */

#define LIFE_KEYS      256
#define LIFE_TOKENS    64
#define LIFE_STEPS     48
#define LIFE_HISTORIES 6000

struct life_key {
    int64_t last_expiry;
    int64_t lead_s; /* which it was to be published before it signs; -1: it was to sign at once */
};

struct life_token {
    size_t key;
    int64_t expires_at;
};

struct life {
    uint64_t seed, random;
    unsigned history, step;
    bool swings; /* the clock is set back, too */
    struct sg_rotation_policy policy;
    uint32_t max_ttl_s;
    int64_t now, look_at;
    bool wants_new;
    struct sg_key_times keys[LIFE_KEYS];
    struct sg_key_span spans[LIFE_KEYS];
    struct life_key more[LIFE_KEYS];
    size_t num;
    size_t signer_before; /* who signed at the last look */
    struct life_token tokens[LIFE_TOKENS];
    size_t num_tokens;
    /* What the number of keys may be measured by. */
    uint32_t least_every_s;
    int64_t started_at, shown[LIFE_STEPS + 1];
    size_t num_shown, num_scheduled, num_acts;
};

static uint64_t life_seed = 20240229;

static void life_check(const struct life *life, bool holds, const char *what)
{
    if (!holds) {
        fail_msg("seed %llu, history %u, step %u: %s", (unsigned long long)life->seed,
                 life->history, life->step, what);
    }
}

#define LIFE_CHECK(life, condition) life_check(life, condition, #condition)

/* splitmix64. */
static uint64_t life_random(struct life *life)
{
    uint64_t z = (life->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t life_below(struct life *life, uint32_t end)
{
    return (uint32_t)(life_random(life) % end);
}

/* Of any magnitude up to most, which is at least 1. */
static uint32_t life_length(struct life *life, uint32_t most)
{
    uint32_t length = (uint32_t)(life_random(life) >> (32 + life_below(life, 30)));
    return length % most + 1;
}

static void life_respan(struct life *life)
{
    assert_true(sg_rotation_spans(life->keys, life->num, life->policy.overlap_s, life->spans));
}

static size_t life_num_waiting(const struct life *life, size_t *waiting)
{
    size_t num = 0;
    for (size_t i = 0; i < life->num; i++) {
        if (sg_rotation_state(&life->spans[i], 0, life->now) == SG_KEY_NEXT) {
            *waiting = i;
            num++;
        }
    }
    return num;
}

static void life_make(struct life *life, int64_t sign_from, int64_t lead_s)
{
    assert_true(life->num < LIFE_KEYS);
    life->keys[life->num] = (struct sg_key_times){.seq = (uint32_t)life->num + 1,
                                                  .max_ttl_s = life->max_ttl_s,
                                                  .created_at = life->now,
                                                  .sign_from = sign_from};
    life->more[life->num] = (struct life_key){.lead_s = lead_s};
    life->num++;
    life->wants_new = false;
    life_respan(life);
}

/* ---- What must hold ---- */

static void life_sign(struct life *life, size_t key)
{
    int64_t expires_at = life->now + life_length(life, life->max_ttl_s);
    life->tokens[life->num_tokens % LIFE_TOKENS] =
        (struct life_token){.key = key, .expires_at = expires_at};
    life->num_tokens++;
    if (expires_at > life->more[key].last_expiry) {
        life->more[key].last_expiry = expires_at;
    }
}

/* Who signs, and who signed just now with the snapshot of before. */
static void life_check_signer(struct life *life)
{
    size_t signer = sg_rotation_signer(life->spans, life->num, life->now);
    size_t num_active = 0;
    for (size_t i = 0; i < life->num; i++) {
        num_active += sg_rotation_state(&life->spans[i], 0, life->now) == SG_KEY_ACTIVE ? 1 : 0;
    }
    LIFE_CHECK(life, num_active == 1);
    LIFE_CHECK(life, sg_rotation_state(&life->spans[signer], 0, life->now) == SG_KEY_ACTIVE);
    if (!life->swings && life->spans[signer].signs_from != EVER) {
        LIFE_CHECK(life, life->now - life->keys[signer].created_at >= life->more[signer].lead_s);
    }
    life_sign(life, signer);
    size_t before = life->signer_before;
    if (before < life->num && life->now - life->spans[before].signs_until <= SETTLE &&
        life->now >= life->spans[before].signs_until) {
        life_sign(life, before);
    }
    life->signer_before = signer;
}

static void life_check_tokens(struct life *life)
{
    size_t num = life->num_tokens < LIFE_TOKENS ? life->num_tokens : LIFE_TOKENS;
    for (size_t i = 0; i < num; i++) {
        const struct life_token *token = &life->tokens[i];
        const struct sg_key_span *span = &life->spans[token->key];
        int64_t last_expiry = life->more[token->key].last_expiry;
        if (!span->revoked && life->now < token->expires_at + LEEWAY) {
            LIFE_CHECK(life, sg_rotation_state(span, last_expiry, life->now) != SG_KEY_RETIRED);
        }
    }
    /* And if there were no record. How far ahead a clock was is not known. */
    for (size_t i = 0; !life->swings && i < life->num; i++) {
        LIFE_CHECK(life, life->more[i].last_expiry <=
                             sg_rotation_expiry_bound(&life->keys[i], &life->spans[i], life->now));
    }
}

/* How many times of rotate_every the clock has shown. */
static size_t life_num_shown(struct life *life)
{
    int64_t every_s = life->least_every_s;
    size_t i = 0;
    if (!life->swings) {
        return (size_t)((life->now - life->started_at) / every_s);
    }
    while (i < life->num_shown && life->shown[i] != life->now / every_s) {
        i++;
    }
    life->shown[i] = life->now / every_s;
    life->num_shown += i == life->num_shown ? 1 : 0;
    return life->num_shown;
}

static void life_check_number(struct life *life)
{
    size_t waiting = 0;
    LIFE_CHECK(life, life->swings || life_num_waiting(life, &waiting) <= 1);
    if (life->least_every_s == 0) {
        LIFE_CHECK(life, life->num_scheduled == 0);
    } else {
        LIFE_CHECK(life, life->num_scheduled <= life_num_shown(life) + life->num_acts + 1);
    }
}

/* ---- What happens ---- */

static void life_do(struct life *life, const struct sg_rotation_plan *plan)
{
    size_t waiting = 0;
    int64_t lead_s = life->policy.publish_lead_s;
    if (plan->step == SG_ROTATION_FIRST) {
        LIFE_CHECK(life, plan->sign_from == life->now);
        life_make(life, plan->sign_from, -1);
    } else if (plan->step == SG_ROTATION_PUBLISH) {
        LIFE_CHECK(life, plan->sign_from == life->now + lead_s);
        LIFE_CHECK(life, life_num_waiting(life, &waiting) == 0);
        life->num_scheduled += life->wants_new ? 0 : 1;
        life_make(life, plan->sign_from, lead_s);
    } else {
        struct sg_key_times *key = &life->keys[plan->index];
        bool signs = life->spans[plan->index].signs_from == EVER;
        size_t signer = sg_rotation_signer(life->spans, life->num, life->now);
        LIFE_CHECK(life, plan->index < life->num && plan->sign_from < key->sign_from);
        LIFE_CHECK(life, plan->sign_from >= life->now + (signs ? 0 : lead_s));
        key->sign_from = plan->sign_from;
        life->more[plan->index].lead_s = lead_s;
        life_respan(life);
        LIFE_CHECK(life, sg_rotation_signer(life->spans, life->num, life->now) == signer);
    }
}

/* One look of the keymaster at the keyset. */
static void life_tick(struct life *life)
{
    bool at_rest = false;
    for (unsigned step = 0; !at_rest && step < 4; step++) {
        const struct sg_rotation_plan plan = sg_rotation_plan(
            &life->policy, life->keys, life->spans, life->num, life->wants_new, life->now);
        if (plan.step == SG_ROTATION_WAIT) {
            LIFE_CHECK(life, plan.at > life->now);
            life->look_at = plan.at;
            at_rest = true;
        } else {
            life_do(life, &plan);
        }
    }
    LIFE_CHECK(life, at_rest);
}

/* Some time at which something changes, or the second before or after. */
static int64_t life_boundary(struct life *life)
{
    size_t i = life_below(life, (uint32_t)life->num);
    const int64_t times[] = {
        life->keys[i].sign_from,
        life->keys[i].created_at,
        life->keys[i].sign_from + life->policy.rotate_every_s - life->policy.publish_lead_s,
        life->more[i].last_expiry + LEEWAY,
        life->spans[i].keep_until,
        life->look_at,
    };
    int64_t when = times[life_below(life, NUM_OF(times))];
    return when == NEVER || when == EVER ? life->now : when + (int64_t)life_below(life, 3) - 1;
}

static void life_pass_time(struct life *life)
{
    int64_t when = life->now;
    switch (life_below(life, 4)) {
    case 0:
        when = life->look_at != NEVER ? life->look_at : when + 1;
        break;
    case 1:
        when += life_length(life, 400 * (uint32_t)DAY);
        break;
    case 2:
        when += life_length(life, life->policy.publish_lead_s + 2 * (uint32_t)MINUTE);
        break;
    default:
        when = life_boundary(life);
        break;
    }
    if (life->swings && life_below(life, 6) == 0) {
        when -= life_length(life, 800 * (uint32_t)DAY);
    }
    when = when < DAY ? DAY : when; /* last expiries are remembered from 1970 on */
    life->now = life->swings || when > life->now ? when : life->now;
}

static void life_rotate(struct life *life)
{
    size_t waiting = 0;
    bool at_once = life_below(life, 2) == 0;
    int64_t lead_s = life->policy.publish_lead_s;
    if (life_num_waiting(life, &waiting) == 0) {
        life_make(life, life->now + (at_once ? 0 : lead_s), at_once ? -1 : lead_s);
    } else if (at_once) {
        life->keys[waiting].sign_from = life->now;
        life->more[waiting].lead_s = -1;
        life_respan(life);
    }
}

static void life_revoke(struct life *life)
{
    size_t i = life_below(life, (uint32_t)life->num);
    size_t num_others = 0;
    for (size_t k = 0; k < life->num; k++) {
        num_others += k != i && life->keys[k].revoked_at == 0 ? 1 : 0;
    }
    if (num_others == 0 && life_below(life, 2) == 0) {
        life_make(life, life->now, -1); /* or the calendar has to make the first anew */
    }
    life->keys[i].revoked_at = life->keys[i].revoked_at != 0 ? life->keys[i].revoked_at : life->now;
    life_respan(life);
}

static void life_choose_policy(struct life *life)
{
    const uint32_t month = 30 * (uint32_t)DAY;
    uint32_t every_s = life_below(life, 5) == 0 ? 0 : 9 + life_length(life, 2 * month);
    uint32_t most_lead_s = every_s == 0 ? month : every_s;
    life->policy = (struct sg_rotation_policy){
        .rotate_every_s = every_s,
        .publish_lead_s = life_below(life, 5) == 0 ? 0 : life_length(life, most_lead_s) - 1,
        .overlap_s = life_below(life, 3) == 0 ? 0 : life_length(life, month),
    };
    if (every_s != 0 && (life->least_every_s == 0 || every_s < life->least_every_s)) {
        life->least_every_s = every_s;
    }
}

/* What somebody does; the daemon looks at the keyset after it. */
static void life_act(struct life *life)
{
    life->num_acts++;
    switch (life_below(life, 6)) {
    case 0:
        life_revoke(life);
        break;
    case 1:
        life->wants_new = true;
        break;
    case 2:
        if (!life->swings) {
            life_choose_policy(life);
            life_respan(life);
        }
        break;
    default:
        life_rotate(life);
        break;
    }
    life_tick(life);
}

static void life_live(struct life *life)
{
    for (life->step = 0; life->step < LIFE_STEPS; life->step++) {
        life_pass_time(life);
        life_check_signer(life); /* before anybody noticed */
        if (life_below(life, 4) != 0) {
            life_tick(life);
            life_check_signer(life);
        }
        if (life_below(life, 8) == 0) {
            life_act(life);
            life_check_signer(life);
        }
        life_check_tokens(life);
        life_check_number(life);
    }
}

static void test_plan__keeps_its_promises_in_any_history(void **state)
{
    (void)state;
    static struct life life;
    size_t num_keys = 0;
    for (unsigned i = 0; i < LIFE_HISTORIES; i++) {
        memset(&life, 0, sizeof(life));
        life.seed = life_seed;
        life.random = life_seed + ((uint64_t)i << 40);
        life.history = i;
        life.swings = i % 2 == 1;
        life.now = NOW;
        life.started_at = NOW;
        life.signer_before = LIFE_KEYS;
        life.max_ttl_s = life_length(&life, 30 * (uint32_t)DAY);
        life_choose_policy(&life);
        life_tick(&life);
        life_live(&life);
        num_keys += life.num;
    }
    print_message("seed %llu: %u histories, %zu keys\n", (unsigned long long)life_seed,
                  LIFE_HISTORIES, num_keys);
    assert_true(num_keys > (size_t)3 * LIFE_HISTORIES); /* something happened in them */
}

/* A clock that is set from every boundary to every other, again and again. */
static void test_plan__a_swinging_clock_makes_few_keys(void **state)
{
    (void)state;
    static const int64_t boundaries[] = {
        -365 * DAY, -HOUR,           -LEAD,    -1,       0,        HOUR - LEAD, HOUR,
        HOUR + TTL, 2 * HOUR - LEAD, 2 * HOUR, 3 * HOUR, 30 * DAY, 365 * DAY};
    const size_t num = NUM_OF(boundaries);
    static struct life life;
    memset(&life, 0, sizeof(life));
    life.policy = hourly;
    life.max_ttl_s = TTL;
    life.swings = true;
    life.signer_before = LIFE_KEYS;
    life.now = NOW;
    life_tick(&life);
    for (size_t i = 0; i < 3 * num * num * 3; i++) {
        int64_t off = (int64_t)(i / 3 / num / num) - 1;
        const int64_t clocks[] = {boundaries[i / 3 / num % num], boundaries[i / 3 % num]};
        life.now = NOW + clocks[i % 2] + off;
        life.step = (unsigned)i;
        life_check_signer(&life);
        life_tick(&life);
        life_check_signer(&life);
        life_check_tokens(&life);
    }
    assert_in_range(life.num, 3, 2 * num);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans__each_key_signs_until_the_next),
        cmocka_unit_test(test_spans__of_one_time_the_lower_seq_has_none),
        cmocka_unit_test(test_spans__an_overlap_is_no_shorter_than_a_call),
        cmocka_unit_test(test_spans__leave_out_what_does_not_sign),
        cmocka_unit_test(test_spans__of_nothing_are_nothing),
        cmocka_unit_test(test_spans__at_the_ends_of_time_stay_there),
        cmocka_unit_test(test_spans__of_many_keys_are_those_of_their_order),
        cmocka_unit_test(test_verify_until__is_the_overlap_or_the_last_token_with_its_leeway),
        cmocka_unit_test(test_state__changes_in_the_very_second),
        cmocka_unit_test(test_signer__is_one_at_any_time),
        cmocka_unit_test(test_signer__is_none_when_no_key_may),
        cmocka_unit_test(test_expiry_bound__is_never_too_early),
        cmocka_unit_test(test_expiry_bound__of_what_does_not_sign),
        cmocka_unit_test(test_expiry_bound__saturates),
        cmocka_unit_test(test_plan__without_a_key_makes_the_first),
        cmocka_unit_test(test_plan__publishes_the_lead_before_the_end),
        cmocka_unit_test(test_plan__after_a_year_makes_one_key),
        cmocka_unit_test(test_plan__without_a_lead_lets_the_key_sign_at_once),
        cmocka_unit_test(test_plan__looks_again_when_the_key_that_waits_signs),
        cmocka_unit_test(test_plan__a_lead_longer_than_a_rotation_is_honoured),
        cmocka_unit_test(test_plan__on_demand_waits_for_ever),
        cmocka_unit_test(test_plan__a_wish_for_a_new_key_is_met_once_none_waits),
        cmocka_unit_test(test_plan__after_the_next_key_was_revoked_publishes_another),
        cmocka_unit_test(test_plan__a_signer_from_ahead_has_signed_since_now),
        cmocka_unit_test(test_plan__a_key_that_waits_too_long_is_taken_when_one_is_due),
        cmocka_unit_test(test_plan__a_wait_of_twice_the_lead_is_left_alone),
        cmocka_unit_test(test_plan__of_many_that_wait_the_soonest_goes_first),
        cmocka_unit_test(test_plan__comes_to_rest_at_the_edges_of_time),
        cmocka_unit_test(test_plan__keeps_its_promises_in_any_history),
        cmocka_unit_test(test_plan__a_swinging_clock_makes_few_keys),
    };
    if (argc > 1) {
        life_seed = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests_name("rotation", tests, NULL, NULL);
}
