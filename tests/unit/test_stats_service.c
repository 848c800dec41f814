/* SPDX-License-Identifier: Apache-2.0
 *
 * Stats tells what was counted, every call that dispatch answers is counted once, and whatever was counted,
 * the answer has room for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rpc.h"
#include "server/metrics.h"
#include "service_fixture.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define NUM_METHODS 23u

/* Stands still but for what a test adds. */
static uint64_t clock_us;

static uint64_t read_clock_us(void)
{
    clock_us += 10;
    return clock_us;
}

/* A copy of the fixture that counts, as its services socket has it; stop_counting releases it. */
static struct fixture counting(const struct fixture *fixture)
{
    struct fixture copy = *fixture;
    copy.service.metrics = sg_metrics_new(NUM_METHODS);
    assert_non_null(copy.service.metrics);
    return copy;
}

static void stop_counting(struct fixture *fixture)
{
    sg_metrics_free(fixture->service.metrics);
}

/* What Stats answers on the admin socket. Its own call is not in it yet. */
static const Signet__V1__StatsResponse *ask(const struct fixture *fixture,
                                            struct fixture_answer *answer)
{
    struct fixture admin = *fixture;
    Signet__V1__StatsRequest request = SIGNET__V1__STATS_REQUEST__INIT;
    admin.service.is_admin = true;
    admin.peer.uid = geteuid();
    fixture_call(&admin, SG_METHOD_STATS, &request.base, &signet__v1__stats_response__descriptor,
                 answer);
    assert_int_equal(answer->code, 0);
    return (const Signet__V1__StatsResponse *)answer->payload;
}

static const Signet__V1__MethodStats *find_method(const Signet__V1__StatsResponse *stats,
                                                  const char *name)
{
    size_t at = 0;
    while (at < stats->n_methods && strcmp(stats->methods[at]->method, name) != 0) {
        at++;
    }
    if (at == stats->n_methods) {
        fail_msg("no method '%s'", name);
    }
    return stats->methods[at];
}

static uint64_t find_result(const Signet__V1__MethodStats *method, uint32_t status,
                            unsigned rejection)
{
    for (size_t i = 0; i < method->n_results; i++) {
        if (method->results[i]->status == status && method->results[i]->rejection == rejection) {
            return method->results[i]->count;
        }
    }
    return 0;
}

static void health(const struct fixture *fixture)
{
    struct fixture_answer answer;
    Signet__V1__HealthCheckRequest request = SIGNET__V1__HEALTH_CHECK_REQUEST__INIT;
    fixture_call(fixture, SG_METHOD_HEALTH_CHECK, &request.base, NULL, &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
}

/* ---- The daemon ---- */

static void read_stats(void *context, struct sg_server_stats *stats)
{
    *stats = *(const struct sg_server_stats *)context;
}

static void test_stats__tells_of_the_daemon(void **state)
{
    struct fixture fixture = *(const struct fixture *)*state;
    struct fixture_answer answer;
    struct sg_server_stats told = {
        .num_connections = 1,
        .max_connections = 2,
        .num_in_flight = 3,
        .max_in_flight = 4,
        .num_refused_connections = 5,
        .num_protocol_errors = UINT64_MAX,
        .buffer_bytes = 7,
        .max_buffer_bytes = UINT64_MAX,
        .keyholder = {.is_up = true, .pid = 99, .num_restarts = 3},
    };
    fixture.service.read_stats = read_stats;
    fixture.service.stats_context = &told;
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    assert_string_equal(stats->version, "0.0.0-test");
    assert_int_equal(stats->started_at, FIXTURE_NOW - 60);
    assert_int_equal(stats->uptime_ms, 60000);
    assert_int_equal(stats->server->num_connections, 1);
    assert_int_equal(stats->server->max_connections, 2);
    assert_int_equal(stats->server->num_in_flight, 3);
    assert_int_equal(stats->server->max_in_flight, 4);
    assert_int_equal(stats->server->num_refused_connections, 5);
    assert_true(stats->server->num_protocol_errors == UINT64_MAX);
    assert_int_equal(stats->server->buffer_bytes, 7);
    assert_true(stats->server->max_buffer_bytes == UINT64_MAX);
    assert_in_range(stats->server->resident_bytes, 4096, UINT32_MAX);
    assert_true(stats->keyholder->is_up);
    assert_int_equal(stats->keyholder->num_restarts, 3);
    fixture_answer_free(&answer);
}

static void test_stats__tells_of_keys_by_state(void **state)
{
    struct fixture_answer answer;
    const Signet__V1__StatsResponse *stats = ask(*state, &answer);
    assert_int_equal(stats->n_keys, 5);
    for (size_t i = 0; i < stats->n_keys; i++) {
        assert_int_equal(stats->keys[i]->num_active, 1);
        assert_int_equal(stats->keys[i]->num_next, 0);
        assert_int_equal(stats->keys[i]->num_revoked, 0);
    }
    fixture_answer_free(&answer);
}

static void test_stats__where_nobody_counts_are_empty(void **state)
{
    struct fixture_answer answer;
    const Signet__V1__StatsResponse *stats = ask(*state, &answer);
    assert_int_equal(stats->n_methods, 0);
    assert_int_equal(stats->n_algs, 0);
    assert_int_equal(stats->n_keysets, 0);
    assert_int_equal(stats->n_uids, 0);
    assert_null(stats->keyholder);
    assert_null(stats->audit);
    fixture_answer_free(&answer);
}

static void test_stats__are_for_the_admin_socket(void **state)
{
    struct fixture_answer answer;
    Signet__V1__StatsRequest request = SIGNET__V1__STATS_REQUEST__INIT;
    fixture_call(*state, SG_METHOD_STATS, &request.base, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_PERMISSION_DENIED);
    fixture_answer_free(&answer);
}

/* ---- What dispatch counts ---- */

static void test_dispatch__counts_every_call_once_by_method_and_outcome(void **state)
{
    struct fixture fixture = counting(*state);
    struct fixture_answer answer;
    const uint8_t junk[] = {0xff, 0xff, 0xff};
    Signet__V1__StatsRequest empty = SIGNET__V1__STATS_REQUEST__INIT;
    health(&fixture);
    health(&fixture);
    fixture_dispatch(&fixture, junk, sizeof(junk), NULL, &answer); /* names no method */
    fixture_answer_free(&answer);
    fixture_call(&fixture, "signet.v1.TokenService/Nothing", &empty.base, NULL, &answer);
    fixture_answer_free(&answer);
    fixture_call(&fixture, SG_METHOD_RELOAD, &empty.base, NULL, &answer); /* denied */
    fixture_answer_free(&answer);
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    assert_int_equal(stats->n_methods, 3);
    assert_int_equal(find_result(find_method(stats, SG_METHOD_HEALTH_CHECK), 0, 0), 2);
    assert_int_equal(find_result(find_method(stats, SG_METHOD_RELOAD), SIGNET_PERMISSION_DENIED, 0),
                     1);
    const Signet__V1__MethodStats *none = find_method(stats, "");
    assert_int_equal(find_result(none, SIGNET_INVALID_ARGUMENT, 0), 1);
    assert_int_equal(find_result(none, SIGNET_UNIMPLEMENTED, 0), 1);
    assert_int_equal(none->num_items, 2);
    assert_int_equal(stats->n_uids, 1);
    assert_false(stats->uids[0]->is_other);
    assert_int_equal(stats->uids[0]->uid, 1000);
    assert_int_equal(stats->uids[0]->num_requests, 5);
    assert_int_equal(stats->uids[0]->num_denied, 1);
    assert_int_equal(stats->uids[0]->num_errors, 2);
    fixture_answer_free(&answer);
    stop_counting(&fixture);
}

/* The whole way of a call: begun, refused by a queue that is full. */
static void test_dispatch__counts_what_was_refused_as_time_in_the_queue(void **state)
{
    struct fixture fixture = counting(*state);
    struct fixture_answer answer;
    struct sg_response response = {0};
    size_t len = 0;
    Signet__V1__HealthCheckRequest request = SIGNET__V1__HEALTH_CHECK_REQUEST__INIT;
    uint8_t *bytes = fixture_envelope(SG_METHOD_HEALTH_CHECK, &request.base, &len);
    fixture.service.read_mono_us = read_clock_us;
    struct sg_call *call =
        sg_call_begin(&fixture.service, &fixture.peer, bytes, len, fixture.now, 0);
    free(bytes);
    assert_non_null(call);
    clock_us += 990;
    assert_true(sg_call_refuse(call, SG_REFUSE_BUSY, 0, &response));
    free(response.bytes);
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    const Signet__V1__MethodStats *method = find_method(stats, SG_METHOD_HEALTH_CHECK);
    assert_int_equal(find_result(method, SIGNET_RESOURCE_EXHAUSTED, 0), 1);
    assert_int_equal(method->queue->sum_us, 1000);
    assert_int_equal(method->total->sum_us, 1000);
    assert_null(method->crypto);
    fixture_answer_free(&answer);
    stop_counting(&fixture);
}

static void test_dispatch__tells_the_queue_from_the_work(void **state)
{
    struct fixture fixture = counting(*state);
    struct fixture_answer answer;
    fixture.service.read_mono_us = read_clock_us;
    health(&fixture); /* one step of the clock until it is begun, and one until it is done */
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    const Signet__V1__MethodStats *method = find_method(stats, SG_METHOD_HEALTH_CHECK);
    assert_int_equal(method->queue->sum_us, 10);
    assert_int_equal(method->total->sum_us, 20);
    assert_int_equal(method->queue->n_counts, 1);
    assert_int_equal(method->queue->n_upper_us, 1);
    assert_int_equal(method->queue->upper_us[0], 10);
    assert_int_equal(method->queue->counts[0], 1);
    fixture_answer_free(&answer);
    stop_counting(&fixture);
}

/* ---- Tokens ---- */

static void test_stats__tell_of_algorithms_and_keysets(void **state)
{
    struct fixture fixture = counting(*state);
    struct fixture_answer answer;
    const struct sg_metrics_token tokens[] = {
        {.act = SG_METRICS_SIGN, .alg = SG_ALG_ED25519, .keyset = "web", .crypto_us = 30},
        {.act = SG_METRICS_VERIFY, .alg = SG_ALG_ED25519, .keyset = "web", .crypto_us = 90},
        {.act = SG_METRICS_VERIFY,
         .rejection = SIGNET_REASON_EXPIRED,
         .alg = SG_ALG_ED25519,
         .keyset = "web",
         .crypto_us = 90},
        {.act = SG_METRICS_VERIFY, .rejection = SIGNET_REASON_MALFORMED},
        {.act = SG_METRICS_SIGN, .status = SIGNET_PERMISSION_DENIED, .keyset = "api"},
    };
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        sg_metrics_record_token(fixture.service.metrics, 5, &tokens[i]);
    }
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    assert_int_equal(stats->n_algs, 1);
    assert_string_equal(stats->algs[0]->alg, "EdDSA");
    assert_int_equal(stats->algs[0]->signing->sum_us, 30);
    assert_int_equal(stats->algs[0]->verifying->sum_us, 180);
    assert_int_equal(stats->algs[0]->verifying->counts[0], 2);
    assert_int_equal(stats->n_keysets, 2);
    assert_string_equal(stats->keysets[0]->keyset, "web");
    assert_int_equal(stats->keysets[0]->num_signed, 1);
    assert_int_equal(stats->keysets[0]->num_good, 1);
    assert_int_equal(stats->keysets[0]->n_rejections, 1);
    assert_int_equal(stats->keysets[0]->rejections[0]->reason,
                     SIGNET__V1__REJECTION_REASON__EXPIRED);
    assert_int_equal(stats->keysets[0]->rejections[0]->count, 1);
    assert_string_equal(stats->keysets[1]->keyset, "api");
    assert_int_equal(stats->keysets[1]->num_not_signed, 1);
    assert_int_equal(stats->uids[0]->num_rejected, 2);
    assert_int_equal(stats->n_rejections, 2);
    assert_int_equal(stats->rejections[0]->reason, SIGNET__V1__REJECTION_REASON__MALFORMED);
    assert_int_equal(stats->rejections[1]->reason, SIGNET__V1__REJECTION_REASON__EXPIRED);
    fixture_answer_free(&answer);
    stop_counting(&fixture);
}

/* All tables full, every counter as wide as it gets: the answer is whole, and within a frame. */
static void test_stats__full_tables_have_room_in_an_answer(void **state)
{
    struct fixture fixture = counting(*state);
    struct fixture_answer answer;
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    for (unsigned i = 0; i < SG_METRICS_MAX_KEYSETS + 5; i++) {
        (void)snprintf(name, sizeof(name), "%064u", i);
        for (unsigned reason = 0; reason <= SIGNET_REASON_POLICY; reason++) {
            const struct sg_metrics_token token = {
                .act = SG_METRICS_VERIFY, .rejection = (signet_reason)reason, .keyset = name};
            sg_metrics_record_token(fixture.service.metrics, i, &token);
        }
    }
    for (uint64_t us = 0; us < UINT64_C(1) << SG_METRICS_MAX_BITS; us += 1 + us / 20) {
        for (size_t method = 0; method <= NUM_METHODS; method++) {
            const struct sg_metrics_sample sample = {.method = method,
                                                     .uid = (uid_t)us,
                                                     .status = (signet_status)(us % 17),
                                                     .queue_us = us,
                                                     .crypto_us = us,
                                                     .total_us = us};
            sg_metrics_record(fixture.service.metrics, &sample);
        }
    }
    const Signet__V1__StatsResponse *stats = ask(&fixture, &answer);
    assert_int_equal(stats->n_keysets, SG_METRICS_MAX_KEYSETS + 1);
    assert_int_equal(stats->n_uids, SG_METRICS_MAX_UIDS + 1);
    assert_int_equal(stats->n_methods, NUM_METHODS + 1);
    assert_true(stats->keysets[0]->is_other);
    assert_string_equal(stats->keysets[0]->keyset, "");
    assert_int_equal(stats->keysets[0]->num_good, 5);
    assert_int_equal(stats->keysets[0]->n_rejections, SIGNET_REASON_POLICY);
    assert_true(stats->uids[0]->is_other);
    assert_false(stats->uids[1]->is_other);
    fixture_answer_free(&answer);
    stop_counting(&fixture);
}

static void test_stats__every_method_has_a_number(void **state)
{
    (void)state;
    assert_null(sg_dispatch_method_name(0));
    assert_string_equal(sg_dispatch_method_name(1), SG_METHOD_SIGN);
    assert_non_null(sg_dispatch_method_name(NUM_METHODS));
    assert_null(sg_dispatch_method_name(NUM_METHODS + 1));
    assert_true(NUM_METHODS <= SG_METRICS_MAX_METHODS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats__tells_of_the_daemon),
        cmocka_unit_test(test_stats__tells_of_keys_by_state),
        cmocka_unit_test(test_stats__where_nobody_counts_are_empty),
        cmocka_unit_test(test_stats__are_for_the_admin_socket),
        cmocka_unit_test(test_dispatch__counts_every_call_once_by_method_and_outcome),
        cmocka_unit_test(test_dispatch__counts_what_was_refused_as_time_in_the_queue),
        cmocka_unit_test(test_dispatch__tells_the_queue_from_the_work),
        cmocka_unit_test(test_stats__tell_of_algorithms_and_keysets),
        cmocka_unit_test(test_stats__full_tables_have_room_in_an_answer),
        cmocka_unit_test(test_stats__every_method_has_a_number),
    };
    return cmocka_run_group_tests_name("stats_service", tests, fixture_setup, fixture_teardown);
}
