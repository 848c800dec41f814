/* SPDX-License-Identifier: Apache-2.0
 *
 * What `signet stats` and `signet metrics` make of the daemon's figures, whatever these are: differences that
 * never go below zero, and text that no name can break out of. `test_cli_stats openmetrics` prints such text,
 * for a parser that is not ours.
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

#include "client/cli/openmetrics.h"
#include "client/cli/stats.h"

/* The programs' own; no help is printed here. */
void cli_print_help(const struct cli_command *command)
{
    (void)command;
}

/* ---- A response ---- */

/* Quotes, backslashes, line ends, what drives terminals, and what is no UTF-8. */
#define HOSTILE_NAME "a\"b\\c\nd\033[2J\xff}{,=\"} 1\n# EOF\n"

static char hostile_name[] = HOSTILE_NAME;
static char name_sign[] = "signet.v1.TokenService/Sign";
static char name_none[] = "";
static char name_web[] = "web";
static char name_alg[] = "ES256";

/* One response with everything in it; filled by fill(). */
struct made {
    Signet__V1__StatsResponse stats;
    Signet__V1__Keyholder keyholder;
    Signet__V1__ServerStats server;
    uint64_t upper_us[4], counts[4];
    Signet__V1__Durations durations;
    Signet__V1__ResultCount results[3], *result_list[3];
    Signet__V1__MethodStats methods[2], *method_list[2];
    Signet__V1__AlgStats alg, *alg_list[1];
    Signet__V1__RejectionCount rejection, *rejection_list[1];
    Signet__V1__KeysetStats keysets[3], *keyset_list[3];
    Signet__V1__KeysetKeys keys, *key_list[1];
    Signet__V1__UidStats uids[3], *uid_list[3];
    Signet__V1__AuditStats audit;
    Signet__V1__GrantStats grant, *grant_list[1];
};

static void fill_methods(struct made *made)
{
    const uint64_t upper_us[] = {0, 9, 1087, UINT64_C(134217727)};
    const uint64_t counts[] = {5, 90, 4, 1};
    memcpy(made->upper_us, upper_us, sizeof(upper_us));
    memcpy(made->counts, counts, sizeof(counts));
    signet__v1__durations__init(&made->durations);
    made->durations.upper_us = made->upper_us;
    made->durations.counts = made->counts;
    made->durations.n_upper_us = made->durations.n_counts = 4;
    made->durations.sum_us = 134300123;
    const struct {
        uint32_t status;
        Signet__V1__RejectionReason reason;
        uint64_t count;
    } results[] = {{0, 0, 70}, {0, SIGNET__V1__REJECTION_REASON__EXPIRED, 20}, {7, 0, 10}};
    for (size_t i = 0; i < 3; i++) {
        signet__v1__result_count__init(&made->results[i]);
        made->results[i].status = results[i].status;
        made->results[i].rejection = results[i].reason;
        made->results[i].count = results[i].count;
        made->result_list[i] = &made->results[i];
    }
    for (size_t i = 0; i < 2; i++) {
        signet__v1__method_stats__init(&made->methods[i]);
        made->methods[i].results = made->result_list;
        made->methods[i].n_results = 3;
        made->methods[i].num_items = 250;
        made->methods[i].queue = made->methods[i].total = &made->durations;
        made->method_list[i] = &made->methods[i];
    }
    made->methods[0].method = name_sign;
    made->methods[1].method = name_none;
    signet__v1__alg_stats__init(&made->alg);
    made->alg.alg = name_alg;
    made->alg.signing = &made->durations;
    made->alg_list[0] = &made->alg;
}

static void fill_keysets(struct made *made)
{
    char *const names[] = {name_none, name_web, hostile_name};
    signet__v1__rejection_count__init(&made->rejection);
    made->rejection.reason = SIGNET__V1__REJECTION_REASON__BAD_SIGNATURE;
    made->rejection.count = 6;
    made->rejection_list[0] = &made->rejection;
    for (size_t i = 0; i < 3; i++) {
        signet__v1__keyset_stats__init(&made->keysets[i]);
        made->keysets[i].is_other = i == 0;
        made->keysets[i].keyset = names[i];
        made->keysets[i].num_signed = 40 + i;
        made->keysets[i].num_good = 30;
        made->keysets[i].rejections = made->rejection_list;
        made->keysets[i].n_rejections = 1;
        made->keyset_list[i] = &made->keysets[i];
        signet__v1__uid_stats__init(&made->uids[i]);
        made->uids[i].is_other = i == 0;
        made->uids[i].uid = i == 2 ? UINT32_MAX : 0;
        made->uids[i].num_requests = 100;
        made->uids[i].num_denied = 10;
        made->uids[i].cpu_us = 1500000;
        made->uid_list[i] = &made->uids[i];
    }
    signet__v1__keyset_keys__init(&made->keys);
    made->keys.keyset = hostile_name;
    made->keys.num_active = 1;
    made->key_list[0] = &made->keys;
}

static void fill(struct made *made)
{
    memset(made, 0, sizeof(*made));
    signet__v1__stats_response__init(&made->stats);
    signet__v1__keyholder__init(&made->keyholder);
    signet__v1__server_stats__init(&made->server);
    signet__v1__audit_stats__init(&made->audit);
    signet__v1__grant_stats__init(&made->grant);
    fill_methods(made);
    fill_keysets(made);
    made->server.num_connections = 3;
    made->server.num_refused_connections = 8;
    made->audit.num_records = UINT64_MAX;
    made->grant.name = hostile_name;
    made->grant.is_frozen = 1;
    made->grant_list[0] = &made->grant;
    made->stats.version = hostile_name;
    made->stats.started_at = 1800000000;
    made->stats.uptime_ms = 10500;
    made->stats.keyholder = &made->keyholder;
    made->stats.server = &made->server;
    made->stats.audit = &made->audit;
    made->stats.methods = made->method_list;
    made->stats.n_methods = 2;
    made->stats.algs = made->alg_list;
    made->stats.n_algs = 1;
    made->stats.rejections = made->rejection_list;
    made->stats.n_rejections = 1;
    made->stats.keysets = made->keyset_list;
    made->stats.n_keysets = 3;
    made->stats.keys = made->key_list;
    made->stats.n_keys = 1;
    made->stats.uids = made->uid_list;
    made->stats.n_uids = 3;
    made->stats.grants = made->grant_list;
    made->stats.n_grants = 1;
}

/* ---- Quantiles ---- */

static void test_durations__quantiles_are_upper_ends_of_buckets(void **state)
{
    static const struct {
        double quantile;
        uint64_t us;
    } rows[] = {{0, 0},
                {0.05, 0},
                {0.051, 9},
                {0.95, 9},
                {0.96, 1087},
                {0.99, 1087},
                {1, UINT64_C(134217727)}};
    struct made made;
    (void)state;
    fill(&made);
    assert_int_equal(cli_durations_num(&made.durations), 100);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(cli_durations_at(&made.durations, rows[i].quantile), rows[i].us);
    }
}

static void test_durations__lists_of_two_lengths_are_read_as_far_as_both_go(void **state)
{
    struct made made;
    (void)state;
    fill(&made);
    made.durations.n_upper_us = 2;
    assert_int_equal(cli_durations_num(&made.durations), 95);
    assert_int_equal(cli_durations_at(&made.durations, 1), 9);
    made.durations.n_counts = 0;
    assert_int_equal(cli_durations_num(&made.durations), 0);
    assert_int_equal(cli_durations_at(&made.durations, 0.5), 0);
    assert_int_equal(cli_durations_num(NULL), 0);
    assert_int_equal(cli_durations_at(NULL, 0.5), 0);
}

/* ---- Differences ---- */

static void test_subtract__leaves_what_happened_meanwhile(void **state)
{
    struct made before;
    struct made now;
    (void)state;
    fill(&before);
    fill(&now);
    now.results[0].count += 11;
    now.counts[1] += 11;
    now.durations.sum_us += 77;
    now.keysets[1].num_signed += 5;
    now.uids[2].num_requests += 4;
    now.server.num_refused_connections += 2;
    /* A bucket that was empty then. */
    before.upper_us[0] = 4;
    before.upper_us[1] = 9;
    before.counts[0] = 0;
    /* Another keyset before it in the list. */
    before.keyset_list[0] = before.keyset_list[1];
    before.keyset_list[1] = before.keyset_list[2];
    before.stats.n_keysets = 2;
    cli_stats_subtract(&now.stats, &before.stats);
    assert_int_equal(now.results[0].count, 0); /* shared by both methods here: taken twice */
    assert_int_equal(now.durations.upper_us[0], 0);
    assert_int_equal(now.counts[0], 5);
    assert_int_equal(now.keysets[0].num_signed, 40); /* it is new */
    assert_int_equal(now.keysets[1].num_signed, 5);
    assert_int_equal(now.keysets[2].num_signed, 0);
    assert_int_equal(now.uids[0].num_requests, 0);
    assert_int_equal(now.uids[2].num_requests, 4);
    assert_int_equal(now.server.num_refused_connections, 2);
    assert_int_equal(now.server.num_connections, 3); /* of the moment */
}

static void test_subtract__takes_durations_bucket_by_bucket(void **state)
{
    struct made before;
    struct made now;
    (void)state;
    fill(&before);
    fill(&now);
    before.stats.n_methods = now.stats.n_methods = 1;
    before.methods[0].queue = now.methods[0].queue = NULL;
    before.stats.n_algs = 0;
    before.counts[2] = 1;
    before.durations.sum_us = 300000;
    cli_stats_subtract(&now.stats, &before.stats);
    assert_int_equal(cli_durations_num(now.methods[0].total), 3);
    assert_int_equal(cli_durations_at(now.methods[0].total, 0.5), 1087);
    assert_int_equal(now.durations.sum_us, 134000123);
    assert_int_equal(now.results[0].count, 0);
}

/* A daemon that counts backwards, or lists of which one is shorter. */
static void test_subtract__never_goes_below_zero(void **state)
{
    struct made before;
    struct made now;
    (void)state;
    fill(&before);
    fill(&now);
    before.results[0].count = UINT64_MAX;
    before.uids[1].num_requests = UINT64_MAX;
    before.durations.n_counts = 1;
    before.counts[0] = 1000;
    cli_stats_subtract(&now.stats, &before.stats);
    assert_int_equal(now.results[0].count, 0);
    assert_int_equal(now.uids[1].num_requests, 0);
    assert_int_equal(now.counts[0], 0);
    assert_int_equal(now.counts[1], 90);
    before.stats.n_keysets = before.stats.n_uids = 0;
    before.stats.server = NULL;
    before.stats.audit = NULL;
    cli_stats_subtract(&now.stats, &before.stats);
}

/* ---- JSON ---- */

static void test_json__has_every_field_of_the_contract(void **state)
{
    struct made made;
    (void)state;
    fill(&made);
    json_t *object = cli_stats_json(&made.stats, 10.5);
    const ProtobufCMessageDescriptor *type = &signet__v1__stats_response__descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        assert_non_null(json_object_get(object, type->fields[i].name));
    }
    json_t *method = json_array_get(json_object_get(object, "methods"), 0);
    json_t *total = json_object_get(method, "total");
    json_t *refused = json_array_get(json_object_get(method, "results"), 1);
    assert_string_equal(json_string_value(json_object_get(method, "method")), name_sign);
    assert_int_equal(json_integer_value(json_object_get(total, "p50_us")), 9);
    assert_int_equal(json_integer_value(json_object_get(total, "num")), 100);
    assert_int_equal(json_array_size(json_object_get(total, "counts")), 4);
    assert_true(json_is_null(json_object_get(method, "crypto")));
    assert_string_equal(json_string_value(json_object_get(refused, "status")), "OK");
    assert_string_equal(json_string_value(json_object_get(refused, "rejection")), "EXPIRED");
    assert_true(json_is_true(
        json_object_get(json_array_get(json_object_get(object, "uids"), 0), "is_other")));
    const char *version = json_string_value(json_object_get(object, "version"));
    assert_non_null(version);
    assert_non_null(strstr(version, "\\xff}{")); /* it was no UTF-8 */
    assert_true(json_real_value(json_object_get(object, "seconds")) == 10.5);
    json_decref(object);
}

/* ---- OpenMetrics ---- */

/* free() it. */
static char *write_text(const Signet__V1__StatsResponse *stats)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    cli_openmetrics_write(file, stats);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(strlen(text), len);
    return text;
}

static void assert_has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at += len) {
        if ((at == text || at[-1] == '\n') && at[len] == '\n') {
            return;
        }
    }
    fail_msg("no line '%s' in:\n%s", line, text);
}

static void test_openmetrics__tells_what_was_counted(void **state)
{
    static const char *const lines[] = {
        "# TYPE signet_calls counter",
        "signet_calls_total{method=\"signet.v1.TokenService/Sign\",result=\"OK\",reason=\"\"} 70",
        "signet_calls_total{method=\"\",result=\"REJECTED\",reason=\"EXPIRED\"} 20",
        "signet_calls_total{method=\"\",result=\"PERMISSION_DENIED\",reason=\"\"} 10",
        "# UNIT signet_call_duration_seconds seconds",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"1e-06\"} 5",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"8e-06\"} 5",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"1.6e-05\"} 95",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"0.001024\"} 95",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"0.002048\"} 99",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"67.108864\"} 99",
        "signet_call_duration_seconds_bucket{method=\"\",le=\"+Inf\"} 100",
        "signet_call_duration_seconds_count{method=\"\"} 100",
        "signet_call_duration_seconds_sum{method=\"\"} 134.300123",
        "signet_tokens_total{keyset=\"(others)\",outcome=\"signed\",reason=\"\"} 40",
        "signet_tokens_total{keyset=\"web\",outcome=\"rejected\",reason=\"BAD_SIGNATURE\"} 6",
        "signet_uid_calls_total{uid=\"(others)\",outcome=\"answered\"} 90",
        "signet_uid_calls_total{uid=\"4294967295\",outcome=\"denied\"} 10",
        "signet_uid_cpu_seconds_total{uid=\"0\"} 1.500000",
        "signet_audit_records_total 18446744073709551615",
        "signet_uptime_seconds 10.500000",
    };
    struct made made;
    (void)state;
    fill(&made);
    char *text = write_text(&made.stats);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_has_line(text, lines[i]);
    }
    free(text);
}

static void test_openmetrics__no_name_breaks_out_of_its_label(void **state)
{
    struct made made;
    (void)state;
    fill(&made);
    char *text = write_text(&made.stats);
    assert_has_line(text, "signet_grant_frozen{grant=\"a\\\"b\\\\c\\nd\\\\u001b[2J\\\\xff}{,=\\\"} "
                          "1\\n# EOF\\n\"} 1");
    assert_null(strchr(text, '\033'));
    const char *end = strstr(text, "\n# EOF\n");
    assert_non_null(end);
    assert_string_equal(end, "\n# EOF\n"); /* the first is the last */
    free(text);
}

static void test_openmetrics__of_nothing_is_whole(void **state)
{
    Signet__V1__StatsResponse stats = SIGNET__V1__STATS_RESPONSE__INIT;
    (void)state;
    char *text = write_text(&stats);
    assert_has_line(text, "signet_uptime_seconds 0.000000");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    free(text);
}

static int print_openmetrics(void)
{
    struct made made;
    fill(&made);
    cli_openmetrics_write(stdout, &made.stats);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "openmetrics") == 0) {
        return print_openmetrics();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations__quantiles_are_upper_ends_of_buckets),
        cmocka_unit_test(test_durations__lists_of_two_lengths_are_read_as_far_as_both_go),
        cmocka_unit_test(test_subtract__leaves_what_happened_meanwhile),
        cmocka_unit_test(test_subtract__takes_durations_bucket_by_bucket),
        cmocka_unit_test(test_subtract__never_goes_below_zero),
        cmocka_unit_test(test_json__has_every_field_of_the_contract),
        cmocka_unit_test(test_openmetrics__tells_what_was_counted),
        cmocka_unit_test(test_openmetrics__no_name_breaks_out_of_its_label),
        cmocka_unit_test(test_openmetrics__of_nothing_is_whole),
    };
    return cmocka_run_group_tests_name("cli_stats", tests, NULL, NULL);
}
