/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet stats` and `signet metrics` on a real daemon: what was called is counted, once; and a live view ends
 * in order, however it is ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/files.h"

/* Bounds a hang; measures nothing. */
#define STATS_LIMIT_MS 60000

static char stats_program[512];

static int stats_setup(void **state)
{
    struct test_daemon *daemon = calloc(1, sizeof(*daemon));
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    assert_non_null(daemon);
    *state = daemon;
    (void)snprintf(stats_program, sizeof(stats_program), "%s/signet",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    test_daemon_start(daemon, NULL);
    assert_int_equal(setenv("SIGNET_ADDRESS", daemon->address, 1), 0);
    assert_int_equal(unsetenv("SIGNET_ADMIN_ADDRESS"), 0);
    return 0;
}

static int stats_teardown(void **state)
{
    test_daemon_stop(*state);
    free(*state);
    return 0;
}

/* ---- Running it to its end ---- */

static void stats_run_list(const char *const *arguments, int exit_status,
                           struct test_output *output)
{
    const char *argv[16] = {stats_program};
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < 14);
        argv[i + 1] = arguments[i];
    }
    test_run(argv, NULL, STATS_LIMIT_MS, output);
    if (output->exit_status != exit_status) {
        fail_msg("exit status %d instead of %d\nout: %s\nerr: %s", output->exit_status, exit_status,
                 output->out, output->err);
    }
}

#define STATS_RUN(exit_status, output, ...)                                                        \
    stats_run_list((const char *const[]){__VA_ARGS__, NULL}, exit_status, output)

static json_t *stats_parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        fail_msg("not JSON: %s\n%s", error.text, text);
    }
    return value;
}

/* The object of a list whose member has this text; NULL if there is none. */
static json_t *stats_find(const json_t *list, const char *member, const char *text)
{
    size_t i = 0;
    json_t *each = NULL;
    json_array_foreach(list, i, each)
    {
        const char *found = json_string_value(json_object_get(each, member));
        if (found != NULL && strcmp(found, text) == 0) {
            return each;
        }
    }
    return NULL;
}

/* How often a method was called with this result, by the text of one object; 0 if it never was. */
static json_int_t stats_count(const char *text, const char *method, const char *status)
{
    json_t *object = stats_parse(text);
    const json_t *found = stats_find(json_object_get(object, "methods"), "method", method);
    const json_t *result = stats_find(json_object_get(found, "results"), "status", status);
    json_int_t count = json_integer_value(json_object_get(result, "count"));
    json_decref(object);
    return count;
}

static json_int_t stats_ask(const char *method, const char *status)
{
    struct test_output output;
    STATS_RUN(0, &output, "stats", "--json");
    json_int_t count = stats_count(output.out, method, status);
    test_output_free(&output);
    return count;
}

static void stats_sign(void)
{
    struct test_output output;
    STATS_RUN(0, &output, "sign", "demo-hs256", "--sub", "alice", "--aud", "orders");
    test_output_free(&output);
}

#define SIGN "signet.v1.TokenService/Sign"

/* ---- One round ---- */

static void test_stats__counts_every_call_once(void **state)
{
    struct test_output output;
    (void)state;
    json_int_t signed_before = stats_ask(SIGN, "OK");
    json_int_t asked_before = stats_ask("signet.v1.AdminService/Stats", "OK");
    stats_sign();
    stats_sign();
    STATS_RUN(2, &output, "sign", "no-such-keyset", "--sub", "a", "--aud", "b");
    test_output_free(&output);
    assert_int_equal(stats_ask(SIGN, "OK"), signed_before + 2);
    assert_int_equal(stats_ask(SIGN, "NOT_FOUND"), 1);
    assert_int_equal(stats_ask("signet.v1.AdminService/Stats", "OK"), asked_before + 3);
}

static void test_stats__json_tells_of_the_daemon(void **state)
{
    struct test_output output;
    (void)state;
    stats_sign();
    STATS_RUN(0, &output, "stats", "--json");
    json_t *object = stats_parse(output.out);
    json_t *server = json_object_get(object, "server");
    json_t *sign = stats_find(json_object_get(object, "methods"), "method", SIGN);
    json_t *total = json_object_get(sign, "total");
    json_t *user = json_array_get(json_object_get(object, "uids"), 0);
    assert_true(json_integer_value(json_object_get(server, "resident_bytes")) > 1000000);
    assert_true(json_integer_value(json_object_get(server, "max_buffer_bytes")) > 0);
    assert_true(json_is_true(json_object_get(json_object_get(object, "keyholder"), "is_up")));
    assert_int_equal(json_array_size(json_object_get(object, "keys")), 5);
    assert_true(json_integer_value(json_object_get(total, "num")) > 0);
    assert_true(json_integer_value(json_object_get(total, "p99_us")) >=
                json_integer_value(json_object_get(total, "p50_us")));
    assert_true(json_integer_value(json_object_get(total, "sum_us")) > 0); /* it has a clock */
    assert_int_equal(json_integer_value(json_object_get(user, "uid")), geteuid());
    assert_true(json_integer_value(json_object_get(user, "num_requests")) > 0);
    assert_true(json_real_value(json_object_get(object, "seconds")) > 0);
    json_decref(object);
    test_output_free(&output);
}

static void test_stats__text_names_methods_and_users(void **state)
{
    struct test_output output;
    const struct passwd *user = getpwuid(geteuid());
    (void)state;
    stats_sign();
    STATS_RUN(0, &output, "stats");
    assert_non_null(strstr(output.out, "counted since its start"));
    assert_non_null(strstr(output.out, "TokenService/Sign "));
    assert_non_null(strstr(output.out, "keyholder up"));
    if (user != NULL) {
        assert_non_null(strstr(output.out, user->pw_name));
    }
    assert_null(strchr(output.out, '\033')); /* no terminal is there */
    test_output_free(&output);
}

static void test_metrics__are_text_to_its_end(void **state)
{
    struct test_output output;
    (void)state;
    stats_sign();
    STATS_RUN(0, &output, "metrics");
    assert_non_null(strstr(output.out, "signet_calls_total{method=\"" SIGN "\",result=\"OK\""));
    assert_non_null(strstr(output.out, "signet_keyholder_up 1\n"));
    assert_string_equal(output.out + strlen(output.out) - 6, "# EOF\n");
    test_output_free(&output);
}

/* ---- Usage, and who may not ask ---- */

static void test_usage__is_exit_2(void **state)
{
    static const char *const cases[][5] = {
        {"stats", "2"},
        {"stats", "--watch", "0"},
        {"stats", "--watch", "-1"},
        {"stats", "--watch", "fast"},
        {"stats", "--watch", "2", "3"},
        {"stats", "--watch=2", "3"},
        {"stats", "--watch=0s"},
        {"stats", "--watch=1.5"},
        {"stats", "--watch=3601"},
        {"stats", "--watch="},
        {"metrics", "all"},
        {"metrics", "--json"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output;
        stats_run_list(cases[i], 2, &output);
        assert_string_equal(output.out, "");
        assert_int_equal(strncmp(output.err, "signet: ", 8), 0);
        test_output_free(&output);
    }
}

static void test_stats__are_not_for_the_services_socket(void **state)
{
    const struct test_daemon *daemon = *state;
    static const char *const commands[] = {"stats", "metrics"};
    for (size_t i = 0; i < 2; i++) {
        struct test_output output;
        STATS_RUN(4, &output, commands[i], "--address", daemon->address);
        assert_string_equal(output.out, "");
        assert_non_null(strstr(output.err, "ADMIN_SOCKET_ONLY"));
        test_output_free(&output);
    }
}

static void test_stats__without_a_daemon_is_exit_3(void **state)
{
    char dir[96];
    char address[128];
    static const char *const commands[] = {"stats", "metrics"};
    (void)state;
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(address, sizeof(address), "%s/none.sock", dir);
    for (size_t i = 0; i < 2; i++) {
        struct test_output output;
        STATS_RUN(3, &output, commands[i], "--address", address, "--timeout", "200ms");
        assert_string_equal(output.out, "");
        test_output_free(&output);
    }
    test_remove_tree(dir);
}

/* ---- The live view ---- */

struct live {
    pid_t pid;
    int fd; /* what it prints */
    char text[65536];
    size_t len;
};

static void live_exec(const char *const *argv)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void live_start(struct live *live, const char *const *argv)
{
    int fds[2];
    *live = (struct live){0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    live->pid = fork();
    assert_true(live->pid >= 0);
    if (live->pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        live_exec(argv);
    }
    (void)close(fds[1]);
    live->fd = fds[0];
}

/* On a terminal of its own. */
static void live_start_on_terminal(struct live *live, const char *const *argv)
{
    struct winsize size = {.ws_row = 50, .ws_col = 200};
    *live = (struct live){0};
    live->pid = forkpty(&live->fd, NULL, NULL, &size);
    assert_true(live->pid >= 0);
    if (live->pid == 0) {
        live_exec(argv);
    }
}

static size_t live_occurrences(const struct live *live, const char *needle)
{
    size_t num = 0;
    for (const char *at = live->text; (at = strstr(at, needle)) != NULL; at++) {
        num++;
    }
    return num;
}

/* Reads until it has printed needle so often. */
static void live_await(struct live *live, const char *needle, size_t num)
{
    while (live_occurrences(live, needle) < num) {
        struct pollfd fd = {.fd = live->fd, .events = POLLIN};
        assert_int_equal(poll(&fd, 1, STATS_LIMIT_MS), 1);
        ssize_t len = read(live->fd, live->text + live->len, sizeof(live->text) - 1 - live->len);
        if (len <= 0) {
            fail_msg("it ended before '%s':\n%s", needle, live->text);
        }
        live->len += (size_t)len;
    }
}

/* Waits for its end; its wait status. */
static int live_end(struct live *live)
{
    int status = 0;
    unsigned waited_ms = 0;
    while (waitpid(live->pid, &status, WNOHANG) == 0) {
        struct pollfd fd = {.fd = live->fd, .events = POLLIN};
        char rest[4096];
        if (waited_ms >= STATS_LIMIT_MS) {
            (void)kill(live->pid, SIGKILL);
            (void)waitpid(live->pid, &status, 0);
            fail_msg("it did not end");
        }
        /* What it still prints must not keep it. */
        if (live->fd >= 0 && poll(&fd, 1, 10) == 1 && read(live->fd, rest, sizeof(rest)) <= 0) {
            (void)poll(NULL, 0, 10);
        } else if (live->fd < 0) {
            (void)poll(NULL, 0, 10);
        }
        waited_ms += 10;
    }
    if (live->fd >= 0) {
        (void)close(live->fd);
    }
    return status;
}

static void test_watch__tells_what_happened_since_the_last_round(void **state)
{
    const char *const argv[] = {stats_program, "stats", "--json", "--watch", "100ms", NULL};
    struct live live;
    (void)state;
    stats_sign();
    live_start(&live, argv);
    live_await(&live, "\n", 1);
    assert_true(stats_count(live.text, SIGN, "OK") >= 1); /* since the start */
    live.text[0] = '\0';
    live.len = 0;
    live_await(&live, "\n", 1);
    *strchr(live.text, '\n') = '\0';
    assert_int_equal(stats_count(live.text, SIGN, "OK"), 0);
    assert_int_equal(stats_count(live.text, "signet.v1.AdminService/Stats", "OK"), 1);
    assert_int_equal(kill(live.pid, SIGTERM), 0);
    int status = live_end(&live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_watch__prints_blocks_where_there_is_no_terminal(void **state)
{
    const char *const argv[] = {stats_program, "stats", "--watch=100ms", NULL};
    struct live live;
    (void)state;
    live_start(&live, argv);
    live_await(&live, "\nUSER", 2);
    assert_non_null(strstr(live.text, "\n\nsignetd "));
    assert_null(strchr(live.text, '\033'));
    assert_int_equal(kill(live.pid, SIGINT), 0);
    int status = live_end(&live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_watch__draws_over_and_ends_with_ctrl_c_on_a_terminal(void **state)
{
    const char *const argv[] = {stats_program, "stats", "--watch", "100ms", NULL};
    struct live live;
    (void)state;
    live_start_on_terminal(&live, argv);
    live_await(&live, "\033[H\033[J", 2);
    live_await(&live, "USER", 2);
    assert_int_equal(write(live.fd, "\003", 1), 1);
    int status = live_end(&live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* It notices before it has anything to write. */
static void test_watch__ends_when_nobody_reads_any_more(void **state)
{
    const char *const argv[] = {stats_program, "stats", "--watch", "1h", NULL};
    struct live live;
    (void)state;
    live_start(&live, argv);
    live_await(&live, "\nUSER", 1);
    (void)close(live.fd);
    live.fd = -1;
    int status = live_end(&live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_watch__ends_with_the_daemon(void **state)
{
    struct test_daemon daemon;
    struct live live;
    char address[160];
    (void)state;
    test_daemon_start(&daemon, NULL);
    (void)snprintf(address, sizeof(address), "%s/admin.sock", daemon.runtime_dir);
    const char *const argv[] = {stats_program, "stats",     "--watch", "100ms", "--timeout",
                                "500ms",       "--address", address,   NULL};
    live_start(&live, argv);
    live_await(&live, "\nUSER", 1);
    test_daemon_stop(&daemon);
    int status = live_end(&live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats__counts_every_call_once),
        cmocka_unit_test(test_stats__json_tells_of_the_daemon),
        cmocka_unit_test(test_stats__text_names_methods_and_users),
        cmocka_unit_test(test_metrics__are_text_to_its_end),
        cmocka_unit_test(test_usage__is_exit_2),
        cmocka_unit_test(test_stats__are_not_for_the_services_socket),
        cmocka_unit_test(test_stats__without_a_daemon_is_exit_3),
        cmocka_unit_test(test_watch__tells_what_happened_since_the_last_round),
        cmocka_unit_test(test_watch__prints_blocks_where_there_is_no_terminal),
        cmocka_unit_test(test_watch__draws_over_and_ends_with_ctrl_c_on_a_terminal),
        cmocka_unit_test(test_watch__ends_when_nobody_reads_any_more),
        cmocka_unit_test(test_watch__ends_with_the_daemon),
    };
    return cmocka_run_group_tests_name("stats", tests, stats_setup, stats_teardown);
}
