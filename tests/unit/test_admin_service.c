/* SPDX-License-Identifier: Apache-2.0
 *
 * AdminService: Status tells what the owner of the sockets counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <unistd.h>

#include "common/rpc.h"
#include "service_fixture.h"
#include "signet/v1/admin.pb-c.h"

static void count(void *context, struct sg_server_stats *stats)
{
    *stats = *(const struct sg_server_stats *)context;
}

static const Signet__V1__StatusResponse *ask(const struct fixture *fixture,
                                             struct fixture_answer *answer)
{
    Signet__V1__StatusRequest request = SIGNET__V1__STATUS_REQUEST__INIT;
    fixture_call(fixture, SG_METHOD_STATUS, &request.base, &signet__v1__status_response__descriptor,
                 answer);
    assert_int_equal(answer->code, 0);
    return (const Signet__V1__StatusResponse *)answer->payload;
}

static void test_status__tells_of_the_daemon(void **state)
{
    struct fixture_answer answer;
    const Signet__V1__StatusResponse *status = ask(*state, &answer);
    assert_string_equal(status->version, "0.0.0-test");
    assert_int_equal(status->pid, getpid());
    assert_int_equal(status->started_at, FIXTURE_NOW - 60);
    assert_int_equal(status->uptime_ms, 60000);
    assert_true(status->ephemeral_keys);
    assert_int_equal(status->num_keysets, 5);
    assert_int_equal(status->num_keys, 5);
    assert_int_equal(status->num_requests, 0); /* nobody counts here */
    assert_int_equal(status->max_connections, 0);
    fixture_answer_free(&answer);
}

static void test_status__tells_what_was_counted(void **state)
{
    struct fixture fixture = *(const struct fixture *)*state;
    struct sg_server_stats stats = {
        .num_connections = 1,
        .max_connections = 2,
        .num_in_flight = 3,
        .max_in_flight = 4,
        .num_requests = UINT64_MAX,
        .num_errors = 6,
        .num_refused_connections = 7,
        .num_protocol_errors = 8,
    };
    struct fixture_answer answer;
    fixture.service.read_stats = count;
    fixture.service.stats_context = &stats;
    const Signet__V1__StatusResponse *status = ask(&fixture, &answer);
    assert_int_equal(status->num_connections, 1);
    assert_int_equal(status->max_connections, 2);
    assert_int_equal(status->num_in_flight, 3);
    assert_int_equal(status->max_in_flight, 4);
    assert_true(status->num_requests == UINT64_MAX);
    assert_int_equal(status->num_errors, 6);
    assert_int_equal(status->num_refused_connections, 7);
    assert_int_equal(status->num_protocol_errors, 8);
    fixture_answer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__tells_of_the_daemon),
        cmocka_unit_test(test_status__tells_what_was_counted),
    };
    return cmocka_run_group_tests_name("admin_service", tests, fixture_setup, fixture_teardown);
}
