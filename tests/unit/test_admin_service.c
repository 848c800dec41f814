/* SPDX-License-Identifier: Apache-2.0
 *
 * AdminService: Status tells what the owner of the sockets counted, Reload how it ended, line by line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/rpc.h"
#include "server/reload.h"
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
    struct fixture admin = *fixture;
    admin.service.is_admin = true;
    admin.peer.uid = geteuid();
    fixture_call(&admin, SG_METHOD_STATUS, &request.base, &signet__v1__status_response__descriptor,
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
    assert_null(status->keyholder);
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

/* ---- The keyholder ---- */

/* What Status tells of a keyholder in this state. */
static const Signet__V1__Keyholder *ask_of_keyholder(const struct fixture *fixture,
                                                     const struct sg_keyholder_state *state,
                                                     struct fixture_answer *answer)
{
    struct fixture counted = *fixture;
    struct sg_server_stats stats = {.keyholder = *state};
    counted.service.read_stats = count;
    counted.service.stats_context = &stats;
    const Signet__V1__StatusResponse *status = ask(&counted, answer);
    assert_non_null(status->keyholder);
    return status->keyholder;
}

static void assert_names(char *const *names, size_t num, const char *const *expected,
                         size_t num_expected)
{
    assert_int_equal(num, num_expected);
    for (size_t i = 0; i < num; i++) {
        assert_string_equal(names[i], expected[i]);
    }
}

static void test_status__tells_of_the_keyholder(void **state)
{
    static const char *const holds[] = {"own_user", "locked_memory", "landlock"};
    static const char *const missing[] = {"locked_keys", "secret_memory", "undumpable",
                                          "no_capabilities", "seccomp"};
    const struct sg_keyholder_state keyholder = {
        .is_up = true,
        .pid = 123,
        .uid = UINT32_MAX - 1,
        .protections = SG_PROTECT_OWN_USER | SG_PROTECT_LOCKED_MEMORY | SG_PROTECT_LANDLOCK,
        .num_restarts = UINT64_MAX,
    };
    struct fixture_answer answer;
    const Signet__V1__Keyholder *told = ask_of_keyholder(*state, &keyholder, &answer);
    assert_true(told->is_up);
    assert_int_equal(told->pid, 123);
    assert_int_equal(told->uid, UINT32_MAX - 1);
    assert_true(told->num_restarts == UINT64_MAX);
    assert_names(told->protections, told->n_protections, holds, 3);
    assert_names(told->missing, told->n_missing, missing, 5);
    fixture_answer_free(&answer);
}

static void test_status__tells_of_all_protections_and_of_none(void **state)
{
    struct fixture_answer answer;
    struct sg_keyholder_state keyholder = {.pid = 1, .protections = UINT32_MAX};
    const Signet__V1__Keyholder *told = ask_of_keyholder(*state, &keyholder, &answer);
    assert_false(told->is_up); /* it is starting */
    assert_int_equal(told->n_protections, SG_NUM_PROTECTIONS);
    assert_int_equal(told->n_missing, 0);
    fixture_answer_free(&answer);

    keyholder.protections = 0;
    told = ask_of_keyholder(*state, &keyholder, &answer);
    assert_int_equal(told->n_protections, 0);
    assert_int_equal(told->n_missing, SG_NUM_PROTECTIONS);
    fixture_answer_free(&answer);
}

/* What is still known of a process that has ended. */
static void test_status__of_no_keyholder_tells_no_protection(void **state)
{
    const struct sg_keyholder_state keyholder = {
        .uid = 998, .protections = SG_PROTECT_SECCOMP, .num_restarts = 2};
    struct fixture_answer answer;
    const Signet__V1__Keyholder *told = ask_of_keyholder(*state, &keyholder, &answer);
    assert_false(told->is_up);
    assert_int_equal(told->pid, 0);
    assert_int_equal(told->uid, 0);
    assert_int_equal(told->n_protections, 0);
    assert_int_equal(told->n_missing, 0);
    assert_int_equal(told->num_restarts, 2);
    fixture_answer_free(&answer);
}

/* ---- Reload ---- */

static void give_report(void *context, struct sg_reload_report *report)
{
    *report = *(const struct sg_reload_report *)context;
}

/* Calls Reload, which ends as the report says. */
static const Signet__V1__ReloadResponse *reload(const struct fixture *fixture,
                                                struct sg_reload_report *report,
                                                struct fixture_answer *answer)
{
    struct fixture admin = *fixture;
    Signet__V1__ReloadRequest request = SIGNET__V1__RELOAD_REQUEST__INIT;
    admin.service.is_admin = true;
    admin.service.reload = give_report;
    admin.service.reload_context = report;
    admin.peer.uid = geteuid();
    fixture_call(&admin, SG_METHOD_RELOAD, &request.base, &signet__v1__reload_response__descriptor,
                 answer);
    assert_int_equal(answer->code, 0);
    return (const Signet__V1__ReloadResponse *)answer->payload;
}

static void test_reload__tells_what_is_in_force(void **state)
{
    struct sg_reload_report report = {.applied = true, .num_keysets = 7, .num_issuers = 2};
    struct fixture_answer answer;
    const Signet__V1__ReloadResponse *response = reload(*state, &report, &answer);
    assert_int_equal(response->outcome_case, SIGNET__V1__RELOAD_RESPONSE__OUTCOME_RELOADED);
    assert_int_equal(response->reloaded->num_keysets, 7);
    assert_int_equal(response->reloaded->num_issuers, 2);
    assert_int_equal(response->reloaded->n_warnings, 0);
    fixture_answer_free(&answer);
}

static void test_reload__tells_every_line_of_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *lines[3];
        size_t num;
    } rows[] = {
        {"one", {"one"}, 1},
        {"one\ntwo: 2\nthree", {"one", "two: 2", "three"}, 3},
        {"one\ntwo\n", {"one", "two"}, 2}, /* no line after the last */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sg_reload_report report = {.applied = false};
        struct fixture_answer answer;
        (void)snprintf(report.problems, sizeof(report.problems), "%s", rows[i].text);
        const Signet__V1__ReloadResponse *response = reload(*state, &report, &answer);
        assert_int_equal(response->outcome_case, SIGNET__V1__RELOAD_RESPONSE__OUTCOME_REFUSED);
        assert_int_equal(response->refused->n_problems, rows[i].num);
        for (size_t k = 0; k < rows[i].num; k++) {
            assert_string_equal(response->refused->problems[k], rows[i].lines[k]);
        }
        fixture_answer_free(&answer);
    }
}

/* As many problems as there is room for, and what would not be one even then. */
static void test_reload__many_problems_are_no_problem(void **state)
{
    struct sg_reload_report report = {.applied = false};
    struct fixture_answer answer;
    memset(report.problems, '\n', sizeof(report.problems) - 1);
    for (size_t i = 0; i + 1 < sizeof(report.problems); i += 2) {
        report.problems[i] = 'x';
    }
    const Signet__V1__ReloadResponse *response = reload(*state, &report, &answer);
    assert_int_equal(response->outcome_case, SIGNET__V1__RELOAD_RESPONSE__OUTCOME_REFUSED);
    assert_int_equal(response->refused->n_problems, 64);
    assert_string_equal(response->refused->problems[63], "x");
    fixture_answer_free(&answer);
    memset(report.problems, 'y', sizeof(report.problems) - 1);
    response = reload(*state, &report, &answer);
    assert_int_equal(response->refused->n_problems, 1);
    assert_int_equal(strlen(response->refused->problems[0]), sizeof(report.problems) - 1);
    fixture_answer_free(&answer);
}

static void test_reload__without_a_configuration_is_unimplemented(void **state)
{
    struct fixture admin = *(const struct fixture *)*state;
    struct fixture_answer answer;
    Signet__V1__ReloadRequest request = SIGNET__V1__RELOAD_REQUEST__INIT;
    admin.service.is_admin = true;
    admin.peer.uid = geteuid();
    fixture_call(&admin, SG_METHOD_RELOAD, &request.base, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_UNIMPLEMENTED);
    assert_string_equal(answer.reason, "NO_RELOAD");
    fixture_answer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__tells_of_the_daemon),
        cmocka_unit_test(test_status__tells_what_was_counted),
        cmocka_unit_test(test_status__tells_of_the_keyholder),
        cmocka_unit_test(test_status__tells_of_all_protections_and_of_none),
        cmocka_unit_test(test_status__of_no_keyholder_tells_no_protection),
        cmocka_unit_test(test_reload__tells_what_is_in_force),
        cmocka_unit_test(test_reload__tells_every_line_of_what_is_wrong),
        cmocka_unit_test(test_reload__many_problems_are_no_problem),
        cmocka_unit_test(test_reload__without_a_configuration_is_unimplemented),
    };
    return cmocka_run_group_tests_name("admin_service", tests, fixture_setup, fixture_teardown);
}
