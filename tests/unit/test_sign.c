/* SPDX-License-Identifier: Apache-2.0
 *
 * What signing leaves behind: places in the audit, and counts. What it makes is in test_token_service.c.
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

#include "common/rpc.h"
#include "server/audit.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/metrics.h"
#include "service_fixture.h"
#include "tests/support/files.h"

#define NUM_REQUESTS 8u
#define MAX_PLACES   64u
#define TICK_US      100u

static char text_hs256[] = "demo-hs256";
static char text_unknown[] = "demo-unknown";
static char text_alice[] = "alice";
static char text_orders[] = "orders";
static char *audiences_orders[] = {text_orders};

static Signet__V1__SignRequest sign_request(char *keyset)
{
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    request.keyset = keyset;
    request.subject = text_alice;
    request.audience = audiences_orders;
    request.n_audience = 1;
    return request;
}

/* Returns how many tokens came back for a batch of num equal requests. */
static size_t sign_batch(const struct fixture *fixture, char *keyset, size_t num)
{
    struct fixture_answer answer;
    Signet__V1__SignRequest request = sign_request(keyset);
    Signet__V1__SignRequest *requests[NUM_REQUESTS];
    Signet__V1__SignBatchRequest batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
    assert_true(num <= NUM_REQUESTS);
    for (size_t i = 0; i < num; i++) {
        requests[i] = &request;
    }
    batch.requests = requests;
    batch.n_requests = num;
    fixture_call(fixture, SG_METHOD_SIGN_BATCH, &batch.base,
                 &signet__v1__sign_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__SignBatchResponse *response =
        (const Signet__V1__SignBatchResponse *)answer.payload;
    assert_int_equal(response->n_results, num);
    size_t num_tokens = 0;
    for (size_t i = 0; i < num; i++) {
        bool is_token =
            response->results[i]->outcome_case == SIGNET__V1__SIGN_RESULT__OUTCOME_TOKEN;
        num_tokens += is_token ? 1 : 0;
    }
    fixture_answer_free(&answer);
    return num_tokens;
}

/* ---- Places ---- */

static int64_t read_wall_ms(void)
{
    return FIXTURE_NOW * 1000;
}

/* Who has places and waits for one more, as others may do at the same time, waits in vain. The call's deadline is
 * by the fixture's clock, which the audit's is past: whoever waits is refused at once. */
static void test_sign_batch__does_not_wait_for_a_place_while_it_has_some(void **state)
{
    struct fixture fixture = **(struct fixture **)state;
    struct sg_audit *audit = NULL;
    struct sg_audit_place places[MAX_PLACES];
    size_t num = 0;
    char root[96];
    char dir[112];
    char error[SG_AUDIT_MAX_ERROR] = "";
    test_temp_dir(root, sizeof(root));
    (void)snprintf(dir, sizeof(dir), "%s/audit", root);
    const struct sg_config_audit config = {.dir = dir,
                                           .on_full = SG_AUDIT_BLOCK,
                                           .max_file_mib = 1,
                                           .queue_kib = 256,
                                           .head_every_s = 60};
    const struct sg_audit_options options = {
        .config = &config, .read_mono_ms = sg_clock_mono_ms, .read_wall_ms = read_wall_ms};
    assert_int_equal(sg_audit_new(&options, &audit, error), SIGNET_OK);
    /* Of a uid each: one alone does not get all. */
    while (num < MAX_PLACES && sg_audit_reserve(audit, &places[num], (uid_t)num, 0) == SIGNET_OK) {
        num++;
    }
    assert_in_range(num, NUM_REQUESTS, MAX_PLACES - 1);
    fixture.service.audit = audit;
    assert_int_equal(sign_batch(&fixture, text_hs256, NUM_REQUESTS), 0);
    for (size_t i = 0; i < 3; i++) {
        sg_audit_release(audit, &places[--num]);
    }
    assert_int_equal(sign_batch(&fixture, text_hs256, NUM_REQUESTS), NUM_REQUESTS);
    /* And has given all of them back. */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sg_audit_reserve(audit, &places[num], (uid_t)num, 0), SIGNET_OK);
        num++;
    }
    while (num > 0) {
        sg_audit_release(audit, &places[--num]);
    }
    sg_audit_free(audit);
    test_remove_tree(root);
}

/* ---- Counts ---- */

static uint64_t tick_us;

static uint64_t read_tick_us(void)
{
    tick_us += TICK_US;
    return tick_us;
}

static void test_sign_batch__of_one_that_is_refused_counts_as_refused(void **state)
{
    struct fixture fixture = **(struct fixture **)state;
    struct sg_metrics_uid uid;
    struct sg_metrics *metrics = sg_metrics_new(SG_METRICS_MAX_METHODS);
    assert_non_null(metrics);
    fixture.service.metrics = metrics;
    assert_int_equal(sign_batch(&fixture, text_unknown, 1), 0);
    assert_int_equal(sg_metrics_num_uids(metrics), 2);
    sg_metrics_read_uid(metrics, 1, &uid);
    assert_int_equal(uid.num_requests, 1);
    assert_int_equal(uid.num_signed, 0);
    assert_int_equal(sign_batch(&fixture, text_hs256, 1), 1);
    sg_metrics_read_uid(metrics, 1, &uid);
    assert_int_equal(uid.num_signed, 1);
    sg_metrics_free(metrics);
}

static void test_sign__what_a_signature_took_is_counted_once(void **state)
{
    struct fixture fixture = **(struct fixture **)state;
    struct fixture_answer answer;
    struct sg_metrics_durations taken;
    struct sg_metrics *metrics = sg_metrics_new(SG_METRICS_MAX_METHODS);
    assert_non_null(metrics);
    fixture.service.metrics = metrics;
    fixture.service.read_mono_us = read_tick_us;
    const Signet__V1__SignRequest request = sign_request(text_hs256);
    fixture_call(&fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
    sg_metrics_read_alg(metrics, SG_METRICS_SIGN, SG_ALG_HS256, &taken);
    assert_int_equal(taken.num, 1);
    assert_int_equal(taken.sum_us, TICK_US);
    size_t number = 1;
    while (strcmp(sg_dispatch_method_name(number), SG_METHOD_SIGN) != 0) {
        number++;
    }
    struct sg_metrics_method method;
    sg_metrics_read_method(metrics, number, &method);
    assert_int_equal(method.crypto.num, 1);
    assert_int_equal(method.crypto.sum_us, TICK_US);
    sg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_batch__does_not_wait_for_a_place_while_it_has_some),
        cmocka_unit_test(test_sign_batch__of_one_that_is_refused_counts_as_refused),
        cmocka_unit_test(test_sign__what_a_signature_took_is_counted_once),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
