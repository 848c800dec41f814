/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on times. Every sum saturates: times come from files and from clocks that may be wrong.
 */
#include "server/rotation.h"

#include <stdlib.h>

#include "common/limits.h"

/* ---- Times ---- */

static int64_t rotation_add(int64_t when, int64_t seconds)
{
    int64_t sum = 0;
    if (!__builtin_add_overflow(when, seconds, &sum)) {
        return sum;
    }
    return seconds > 0 ? SG_TIME_NEVER : SG_TIME_EVER;
}

/* "Never" and "since ever" stay what they are. */
static int64_t rotation_after(int64_t when, int64_t seconds)
{
    return when == SG_TIME_EVER || when == SG_TIME_NEVER ? when : rotation_add(when, seconds);
}

static int64_t rotation_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t rotation_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool rotation_has_come(int64_t when, int64_t now)
{
    return when != SG_TIME_NEVER && when <= now;
}

/* ---- Spans ---- */

static bool rotation_may_sign(const struct sg_key_times *key)
{
    return !key->never_signs && key->revoked_at == 0;
}

static bool rotation_is_before(const struct sg_key_times *key, const struct sg_key_times *other)
{
    return key->sign_from != other->sign_from ? key->sign_from < other->sign_from
                                              : key->seq < other->seq;
}

static int rotation_compare(const void *a, const void *b)
{
    const struct sg_key_times *const *left = a;
    const struct sg_key_times *const *right = b;
    if (rotation_is_before(*left, *right)) {
        return -1;
    }
    return rotation_is_before(*right, *left) ? 1 : 0;
}

static struct sg_key_span rotation_still_span(const struct sg_key_times *key)
{
    if (key->revoked_at != 0) {
        return (struct sg_key_span){.signs_from = SG_TIME_NEVER,
                                    .signs_until = key->revoked_at,
                                    .keep_until = SG_TIME_EVER,
                                    .revoked = true};
    }
    return (struct sg_key_span){.signs_from = SG_TIME_NEVER,
                                .signs_until = SG_TIME_NEVER,
                                .keep_until =
                                    key->verify_until != 0 ? key->verify_until : SG_TIME_NEVER};
}

bool sg_rotation_spans(const struct sg_key_times *keys, size_t num, uint32_t overlap_s,
                       struct sg_key_span *spans)
{
    const struct sg_key_times **order = calloc(num + 1, sizeof(const struct sg_key_times *));
    int64_t keep_s = rotation_max(overlap_s, SG_ROTATION_SETTLE_S);
    size_t num_order = 0;
    if (order == NULL) {
        return false;
    }
    for (size_t i = 0; i < num; i++) {
        if (rotation_may_sign(&keys[i])) {
            order[num_order++] = &keys[i];
        } else {
            spans[i] = rotation_still_span(&keys[i]);
        }
    }
    qsort(order, num_order, sizeof(const struct sg_key_times *), rotation_compare);
    for (size_t i = 0; i < num_order; i++) {
        int64_t until = i + 1 < num_order ? order[i + 1]->sign_from : SG_TIME_NEVER;
        spans[order[i] - keys] = (struct sg_key_span){
            .signs_from = i == 0 ? SG_TIME_EVER : order[i]->sign_from,
            .signs_until = until,
            .keep_until = rotation_after(until, keep_s),
        };
    }
    free(order);
    return true;
}

/* ---- States ---- */

int64_t sg_rotation_accepted_until(int64_t expires_at)
{
    return rotation_after(expires_at, SG_MAX_LEEWAY_S);
}

int64_t sg_rotation_verify_until(const struct sg_key_span *span, int64_t last_expiry)
{
    if (span->revoked) {
        return span->signs_until;
    }
    if (last_expiry == 0 || span->signs_from == SG_TIME_NEVER) {
        return span->keep_until;
    }
    return rotation_max(span->keep_until, sg_rotation_accepted_until(last_expiry));
}

enum sg_key_state sg_rotation_state(const struct sg_key_span *span, int64_t last_expiry,
                                    int64_t now)
{
    bool never_signs = span->signs_from == SG_TIME_NEVER;
    if (span->revoked) {
        return SG_KEY_REVOKED;
    }
    if (!never_signs && !rotation_has_come(span->signs_from, now)) {
        return SG_KEY_NEXT;
    }
    if (!never_signs && !rotation_has_come(span->signs_until, now)) {
        return SG_KEY_ACTIVE;
    }
    return rotation_has_come(sg_rotation_verify_until(span, last_expiry), now) ? SG_KEY_RETIRED
                                                                               : SG_KEY_VERIFY_ONLY;
}

size_t sg_rotation_signer(const struct sg_key_span *spans, size_t num, int64_t now)
{
    for (size_t i = 0; i < num; i++) {
        if (rotation_has_come(spans[i].signs_from, now) &&
            !rotation_has_come(spans[i].signs_until, now)) {
            return i;
        }
    }
    return num;
}

int64_t sg_rotation_expiry_bound(const struct sg_key_times *key, const struct sg_key_span *span,
                                 int64_t now)
{
    if (key->never_signs) {
        return 0;
    }
    int64_t last = span->signs_until == SG_TIME_NEVER ? now : span->signs_until;
    last = rotation_max(last, rotation_max(key->sign_from, key->created_at));
    return rotation_add(last, (int64_t)key->max_ttl_s + SG_ROTATION_SETTLE_S);
}

/* ---- The calendar ---- */

static struct sg_rotation_plan rotation_wait_until(int64_t at)
{
    return (struct sg_rotation_plan){.step = SG_ROTATION_WAIT, .at = at};
}

/* The key that waits for the soonest time; num if none does. */
static size_t rotation_waiting(const struct sg_key_times *keys, const struct sg_key_span *spans,
                               size_t num, int64_t now)
{
    size_t waiting = num;
    for (size_t i = 0; i < num; i++) {
        if (rotation_may_sign(&keys[i]) && !rotation_has_come(spans[i].signs_from, now) &&
            (waiting == num || rotation_is_before(&keys[i], &keys[waiting]))) {
            waiting = i;
        }
    }
    return waiting;
}

/* When the key after one that signed since then has to be published. Not "after": since ever is a time
 * here, so that there is a next one. */
static int64_t rotation_due(const struct sg_rotation_policy *policy, int64_t since)
{
    return policy->rotate_every_s == 0
               ? SG_TIME_NEVER
               : rotation_add(since, (int64_t)policy->rotate_every_s - policy->publish_lead_s);
}

/* While keys[waiting] waits. */
static struct sg_rotation_plan rotation_plan_waiting(const struct sg_rotation_policy *policy,
                                                     const struct sg_key_times *keys,
                                                     size_t waiting, int64_t due, int64_t now)
{
    int64_t start = keys[waiting].sign_from;
    if (policy->rotate_every_s != 0 && !rotation_has_come(due, now)) {
        return rotation_wait_until(rotation_min(start, due));
    }
    /* At least a second: of many keys that a clock that was set back left waiting, one at a time. */
    int64_t sooner = rotation_add(now, rotation_max(policy->publish_lead_s, 1));
    if (start > rotation_add(now, 2 * (int64_t)policy->publish_lead_s) && start > sooner) {
        return (struct sg_rotation_plan){
            .step = SG_ROTATION_REPLAN, .index = waiting, .sign_from = sooner};
    }
    return rotation_wait_until(start);
}

struct sg_rotation_plan sg_rotation_plan(const struct sg_rotation_policy *policy,
                                         const struct sg_key_times *keys,
                                         const struct sg_key_span *spans, size_t num,
                                         bool wants_new, int64_t now)
{
    size_t signer = sg_rotation_signer(spans, num, now);
    if (signer == num) {
        return (struct sg_rotation_plan){.step = SG_ROTATION_FIRST, .sign_from = now};
    }
    if (keys[signer].sign_from > now) {
        return (struct sg_rotation_plan){
            .step = SG_ROTATION_REPLAN, .index = signer, .sign_from = now};
    }
    size_t waiting = rotation_waiting(keys, spans, num, now);
    int64_t due = rotation_due(policy, keys[signer].sign_from);
    if (waiting != num) {
        return rotation_plan_waiting(policy, keys, waiting, due, now);
    }
    if (wants_new || rotation_has_come(due, now)) {
        return (struct sg_rotation_plan){.step = SG_ROTATION_PUBLISH,
                                         .sign_from = rotation_add(now, policy->publish_lead_s)};
    }
    return rotation_wait_until(due);
}
