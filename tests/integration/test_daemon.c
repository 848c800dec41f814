/* SPDX-License-Identifier: Apache-2.0
 *
 * The real signetd: its command line, its configuration, who may start it where, and how it ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/support/files.h"

#define TEST_PATIENCE_MS (SG_SANITIZED ? 60000u : 20000u)

#define GOOD_KEYSETS                                                                               \
    "keysets:\n  - name: login\n    alg: ES256\n    issuer: https://login.example\n"
#define GOOD_CONFIG                                                                                \
    GOOD_KEYSETS                                                                                   \
    "grants:\n  - name: all\n    who: {anybody: true}\n    may: [sign, verify]\n    keysets: [login]\n"

struct daemon_place {
    char dir[80];
    char runtime_dir[96];
    char config[112];
    char socket[112];
};

static int daemon_setup(void **state)
{
    static struct daemon_place place;
    test_temp_dir(place.dir, sizeof(place.dir));
    (void)snprintf(place.runtime_dir, sizeof(place.runtime_dir), "%s/run", place.dir);
    (void)snprintf(place.config, sizeof(place.config), "%s/signet.yaml", place.dir);
    (void)snprintf(place.socket, sizeof(place.socket), "%s/signet.sock", place.runtime_dir);
    *state = &place;
    return 0;
}

static int daemon_teardown(void **state)
{
    const struct daemon_place *place = *state;
    test_remove_tree(place->dir);
    return 0;
}

/* Runs signetd with up to five arguments, to its end. */
static void daemon_run(struct test_output *output, const char *a, const char *b, const char *c,
                       const char *d, const char *e)
{
    char binary[512];
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(binary, sizeof(binary), "%s/signetd", bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *const argv[] = {binary, a, b, c, d, e, NULL};
    test_run(argv, NULL, TEST_PATIENCE_MS, output);
}

static void daemon_expect(const struct test_output *output, int exit_status, const char *out,
                          const char *err)
{
    if (output->exit_status != exit_status || strstr(output->out, out) == NULL ||
        strstr(output->err, err) == NULL) {
        fail_msg("expected status %d, \"%s\" and \"%s\", got status %d\n%s\n%s", exit_status, out,
                 err, output->exit_status, output->out, output->err);
    }
}

/* ---- Command line ---- */

static void test_options__help_and_version_go_to_stdout(void **state)
{
    (void)state;
    struct test_output output;
    daemon_run(&output, "--help", NULL, NULL, NULL, NULL);
    daemon_expect(&output, 0, "Usage: signetd", "");
    assert_string_equal(output.err, "");
    test_output_free(&output);
    daemon_run(&output, "--version", NULL, NULL, NULL, NULL);
    daemon_expect(&output, 0, "signetd ", "");
    assert_string_equal(output.err, "");
    test_output_free(&output);
}

static void test_options__bad_ones_are_usage(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *c, *err;
    } rows[] = {
        {"--nonsense", NULL, NULL, "unrecognized option"},
        {"extra", NULL, NULL, "takes no arguments"},
        {"--dev", "extra", NULL, "takes no arguments"},
        {"--config", NULL, NULL, "requires an argument"},
        {"--dev", "--config", "/x", "without a configuration"},
        {"--dev", "--check", NULL, "without a configuration"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_output output;
        daemon_run(&output, rows[i].a, rows[i].b, rows[i].c, NULL, NULL);
        daemon_expect(&output, 2, "", rows[i].err);
        assert_string_equal(output.out, "");
        assert_non_null(strstr(output.err, "Usage: signetd"));
        test_output_free(&output);
    }
}

/* ---- Configuration ---- */

static void test_check__says_that_a_good_file_is_good(void **state)
{
    const struct daemon_place *place = *state;
    char expected[160];
    struct test_output output;
    test_write_file(place->config, GOOD_CONFIG, strlen(GOOD_CONFIG));
    daemon_run(&output, "--check", "--config", place->config, NULL, NULL);
    (void)snprintf(expected, sizeof(expected),
                   "%s: ok, 1 keyset, 1 grant\ngrant all: ", place->config);
    daemon_expect(&output, 0, expected, "anybody may sign");
    test_output_free(&output);
}

static void test_check__says_that_without_grants_nobody_may_do_anything(void **state)
{
    const struct daemon_place *place = *state;
    char expected[160];
    struct test_output output;
    test_write_file(place->config, GOOD_KEYSETS, strlen(GOOD_KEYSETS));
    daemon_run(&output, "--check", "--config", place->config, NULL, NULL);
    (void)snprintf(expected, sizeof(expected), "%s: ok, 1 keyset, 0 grants\n", place->config);
    daemon_expect(&output, 0, "", "there are no grants");
    assert_string_equal(output.out, expected);
    test_output_free(&output);
}

/* Every fault, as a line of its own, whether the file is checked or used. */
static void test_config__bad_one_does_not_start_and_is_explained(void **state)
{
    const struct daemon_place *place = *state;
    static const char config[] = "keysets:\n"
                                 "  - name: login\n"
                                 "    alg: HS265\n"
                                 "    issuer: a\n"
                                 "    max_ttl: 500d\n";
    test_write_file(place->config, config, strlen(config));
    static const char *const modes[] = {"--check", "--runtime-dir=/nonexistent/run"};
    for (size_t i = 0; i < 2; i++) {
        char expected[200];
        struct test_output output;
        daemon_run(&output, modes[i], "--config", place->config, NULL, NULL);
        (void)snprintf(expected, sizeof(expected),
                       "signetd: error: %s:3: keysets[0].alg: \"HS265\" is not an algorithm",
                       place->config);
        daemon_expect(&output, 1, "", expected);
        (void)snprintf(expected, sizeof(expected),
                       "\nsignetd: error: %s:5: keysets[0].max_ttl: ", place->config);
        daemon_expect(&output, 1, "", expected);
        assert_string_equal(output.out, "");
        test_output_free(&output);
    }
}

static void test_config__missing_one_is_named(void **state)
{
    const struct daemon_place *place = *state;
    struct test_output output;
    daemon_run(&output, "--config", place->config, NULL, NULL, NULL);
    daemon_expect(&output, 1, "", "signet.yaml: cannot be opened: No such file or directory");
    test_output_free(&output);
}

/* ---- Who ---- */

static void test_user__root_takes_saying_so(void **state)
{
    const struct daemon_place *place = *state;
    struct test_output output;
    if (geteuid() != 0) {
        skip();
    }
    test_write_file(place->config, GOOD_CONFIG, strlen(GOOD_CONFIG));
    daemon_run(&output, "--config", place->config, "--runtime-dir", place->runtime_dir, NULL);
    daemon_expect(&output, 1, "", "refusing to run as root; set \"user\" in");
    assert_int_equal(access(place->runtime_dir, F_OK), -1);
    test_output_free(&output);
}

static void test_user__must_exist(void **state)
{
    const struct daemon_place *place = *state;
    struct test_output output;
    daemon_run(&output, "--dev", "--user", "no-such-user", "--runtime-dir", place->runtime_dir);
    daemon_expect(&output, 1, "", "there is no user no-such-user");
    test_output_free(&output);
}

/* The number after a word of /proc/PID/status, in the given column. */
static long daemon_status_number(const struct test_daemon *daemon, const char *word)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon->pid);
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    const char *at = strstr(text, word);
    assert_non_null(at);
    long number = strtol(at + strlen(word), NULL, 10);
    free(text);
    return number;
}

static void test_user__is_changed_to_for_good(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    /* nobody must be able to reach the runtime directory, which the daemon makes and gives it. */
    struct test_daemon daemon;
    static const char *const dev[] = {"--dev", NULL};
    static const char *const as_nobody[] = {"--dev", "--user", "nobody", NULL};
    test_daemon_start(&daemon, dev);
    assert_int_equal(daemon_status_number(&daemon, "\nUid:"), 0);
    assert_int_equal(test_daemon_kill(&daemon, SIGTERM), 0);
    assert_int_equal(chmod(daemon.dir, 0755), 0);
    test_remove_tree(daemon.runtime_dir);
    test_daemon_restart(&daemon, as_nobody);
    long uid = daemon_status_number(&daemon, "\nUid:");
    assert_true(uid > 0);
    struct stat info;
    assert_int_equal(stat(daemon.runtime_dir, &info), 0);
    assert_int_equal(info.st_uid, uid);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_int_equal(daemon_status_number(&daemon, "\nNoNewPrivs:"), 1);
    assert_int_equal(daemon_status_number(&daemon, "\nCapEff:"), 0);
    test_daemon_stop(&daemon);
}

/* ---- Where ---- */

static void test_runtime_dir__loose_one_is_refused(void **state)
{
    const struct daemon_place *place = *state;
    static const mode_t modes[] = {0777, 0775, 0757, 01777};
    assert_int_equal(mkdir(place->runtime_dir, 0755), 0);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char expected[160];
        struct test_output output;
        assert_int_equal(chmod(place->runtime_dir, modes[i]), 0);
        daemon_run(&output, "--dev", "--runtime-dir", place->runtime_dir, NULL, NULL);
        (void)snprintf(expected, sizeof(expected), "chmod go-w %s", place->runtime_dir);
        daemon_expect(&output, 1, "", expected);
        assert_int_equal(access(place->socket, F_OK), -1);
        test_output_free(&output);
    }
}

static void test_runtime_dir__of_somebody_else_is_refused(void **state)
{
    const struct daemon_place *place = *state;
    char expected[160];
    struct test_output output;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(mkdir(place->runtime_dir, 0755), 0);
    assert_int_equal(chown(place->runtime_dir, 12345, 12345), 0);
    daemon_run(&output, "--dev", "--runtime-dir", place->runtime_dir, NULL, NULL);
    (void)snprintf(expected, sizeof(expected), "chown 0 %s", place->runtime_dir);
    daemon_expect(&output, 1, "", expected);
    test_output_free(&output);
}

static void test_runtime_dir__must_be_a_directory_below_one(void **state)
{
    const struct daemon_place *place = *state;
    char path[160];
    struct test_output output;
    (void)snprintf(path, sizeof(path), "%s/not/there", place->dir);
    daemon_run(&output, "--dev", "--runtime-dir", path, NULL, NULL);
    daemon_expect(&output, 1, "", "cannot be made: No such file or directory; its parent must");
    test_output_free(&output);

    test_write_file(place->runtime_dir, "x", 1);
    daemon_run(&output, "--dev", "--runtime-dir", place->runtime_dir, NULL, NULL);
    daemon_expect(&output, 1, "", "expected a directory");
    test_output_free(&output);
    assert_int_equal(unlink(place->runtime_dir), 0);

    assert_int_equal(symlink(place->dir, place->runtime_dir), 0);
    daemon_run(&output, "--dev", "--runtime-dir", place->runtime_dir, NULL, NULL);
    daemon_expect(&output, 1, "", "expected a directory");
    test_output_free(&output);

    daemon_run(&output, "--dev", "--runtime-dir", "relative", NULL, NULL);
    daemon_expect(&output, 1, "", "--runtime-dir: \"relative\" is not good; expected an absolute");
    test_output_free(&output);
}

static void test_socket__what_is_no_socket_is_left_alone(void **state)
{
    const struct daemon_place *place = *state;
    struct test_output output;
    assert_int_equal(mkdir(place->runtime_dir, 0755), 0);
    test_write_file(place->socket, "precious", 8);
    daemon_run(&output, "--dev", "--runtime-dir", place->runtime_dir, NULL, NULL);
    daemon_expect(&output, 1, "", "signet.sock is in the way and is no socket");
    test_output_free(&output);
    char *kept = test_read_file(place->socket, NULL);
    assert_non_null(kept);
    assert_string_equal(kept, "precious");
    free(kept);
}

static void test_socket__stale_one_is_replaced(void **state)
{
    (void)state;
    struct test_daemon daemon;
    test_daemon_start(&daemon, NULL);
    int status = test_daemon_kill(&daemon, SIGKILL);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(access(daemon.socket, F_OK), 0);
    test_daemon_restart(&daemon, NULL);
    test_daemon_stop(&daemon);
}

/* ---- One instance ---- */

static bool daemon_accepts(const struct test_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool accepts = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return accepts;
}

static void test_instance__second_one_is_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    struct test_daemon daemon;
    char expected[200];
    struct stat before;
    struct stat after;
    test_daemon_start(&daemon, NULL);
    assert_int_equal(stat(daemon.socket, &before), 0);
    (void)snprintf(expected, sizeof(expected), "another signetd, pid %d, runs in %s",
                   (int)daemon.pid, daemon.runtime_dir);
    for (int i = 0; i < 3; i++) {
        struct test_output output;
        daemon_run(&output, "--dev", "--runtime-dir", daemon.runtime_dir, NULL, NULL);
        daemon_expect(&output, 1, "", expected);
        test_output_free(&output);
    }
    assert_int_equal(stat(daemon.socket, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_true(daemon_accepts(&daemon));
    test_daemon_stop(&daemon);
}

/* ---- Life ---- */

static void test_life__one_line_at_each_end(void **state)
{
    (void)state;
    struct test_daemon daemon;
    char expected[200];
    test_daemon_start(&daemon, NULL);
    pid_t pid = daemon.pid;
    assert_int_equal(test_daemon_kill(&daemon, SIGTERM), 0);
    assert_int_equal(access(daemon.socket, F_OK), -1);
    char *log = test_daemon_log(&daemon);
    (void)snprintf(expected, sizeof(expected), "signetd: info: ready on %s, 5 keysets, version ",
                   daemon.socket);
    assert_non_null(strstr(log, expected));
    (void)snprintf(expected, sizeof(expected), ", pid %d\n", (int)pid);
    assert_non_null(strstr(log, expected));
    assert_non_null(strstr(log, "signetd: warning: DEVELOPMENT MODE: throw-away keys"));
    assert_non_null(strstr(log, "signetd: info: stopping: TERM\n"));
    assert_non_null(strstr(log, "signetd: info: stopped\n"));
    free(log);
    test_daemon_stop(&daemon);
}

static void test_life__sigint_ends_it_and_sighup_does_not(void **state)
{
    (void)state;
    struct test_daemon daemon;
    test_daemon_start(&daemon, NULL);
    assert_int_equal(test_daemon_kill(&daemon, SIGHUP), 0);
    assert_int_equal(test_daemon_kill(&daemon, SIGPIPE), 0);
    assert_true(daemon_accepts(&daemon));
    assert_int_equal(test_daemon_kill(&daemon, SIGINT), 0);
    char *log = test_daemon_log(&daemon);
    assert_non_null(strstr(log, "--dev runs without a configuration"));
    assert_non_null(strstr(log, "stopping: INT\n"));
    free(log);
    test_daemon_stop(&daemon);
}

static void test_life__configured_one_warns_of_its_keys_and_sets_the_mode(void **state)
{
    const struct daemon_place *place = *state;
    static const char config[] =
        GOOD_CONFIG "keystore:\n  key: ephemeral\nuser: root\nsocket_mode: \"0600\"\n";
    struct test_daemon daemon;
    struct stat info;
    if (geteuid() != 0) {
        skip();
    }
    test_write_file(place->config, config, strlen(config));
    const char *const arguments[] = {"--config", place->config, NULL};
    test_daemon_start(&daemon, arguments);
    assert_int_equal(stat(daemon.socket, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    char *log = test_daemon_log(&daemon);
    assert_non_null(strstr(log, "keystore.key is ephemeral"));
    assert_non_null(strstr(log, ", 1 keysets, "));
    free(log);
    test_daemon_stop(&daemon);
}

/* Memory of keys: nobody may attach, and no core may be written. */
static void test_life__is_undumpable(void **state)
{
    (void)state;
    struct test_daemon daemon;
    char path[64];
    test_daemon_start(&daemon, NULL);
    (void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)daemon.pid);
    char *limits = test_read_file(path, NULL);
    assert_non_null(limits);
    const char *core = strstr(limits, "Max core file size");
    assert_non_null(core);
    char soft[16] = "";
    char hard[16] = "";
    assert_int_equal(sscanf(core, "Max core file size %15s %15s", soft, hard), 2);
    assert_string_equal(soft, "0");
    assert_string_equal(hard, "0");
    free(limits);
    assert_int_equal(daemon_status_number(&daemon, "\nNoNewPrivs:"), 1);
    test_daemon_stop(&daemon);
}

/* Whether descriptors 0 to 2 of the process are /dev/null. Only root may look into an undumpable one. */
static bool daemon_has_null_descriptors(pid_t pid)
{
    if (geteuid() != 0) {
        return true;
    }
    for (int fd = 0; fd <= 2; fd++) {
        char path[64];
        char target[64] = "";
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        if (readlink(path, target, sizeof(target) - 1) < 0 || strcmp(target, "/dev/null") != 0) {
            return false;
        }
    }
    return true;
}

/* With 0 to 2 closed, the socket or the lock could get such a number, and a log line end up
 * there. */
static void test_life__starts_with_closed_standard_descriptors(void **state)
{
    (void)state;
    char command[700];
    struct test_daemon daemon;
    struct test_output output;
    test_daemon_start(&daemon, NULL);
    assert_int_equal(test_daemon_kill(&daemon, SIGTERM), 0);
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    /* It ends by itself, since the directory is loose; what it says must reach no file of ours. */
    assert_int_equal(chmod(daemon.runtime_dir, 0777), 0);
    (void)snprintf(command, sizeof(command),
                   "%s/signetd --dev --runtime-dir %s <&- >&- 2>&-; test $? -eq 1",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR, daemon.runtime_dir);
    const char *const argv[] = {"sh", "-c", command, NULL};
    test_run(argv, NULL, TEST_PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    assert_int_equal(chmod(daemon.runtime_dir, 0755), 0);

    /* And one that serves, with all three closed: the lock's file holds its pid and no log. */
    (void)snprintf(command, sizeof(command), "exec %s/signetd --dev --runtime-dir %s <&- >&- 2>&-",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR, daemon.runtime_dir);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    for (unsigned waited = 0; !daemon_accepts(&daemon) && waited < TEST_PATIENCE_MS; waited += 20) {
        (void)poll(NULL, 0, 20);
    }
    bool accepts = daemon_accepts(&daemon);
    bool has_null_descriptors = daemon_has_null_descriptors(pid);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/signet.lock", daemon.runtime_dir);
    char *lock = test_read_file(path, NULL);
    assert_int_equal(kill(pid, SIGTERM), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(accepts);
    assert_true(has_null_descriptors);
    assert_non_null(lock);
    char *end = NULL;
    assert_int_equal(strtol(lock, &end, 10), pid);
    assert_string_equal(end, "\n");
    free(lock);
    test_daemon_stop(&daemon);
}

/* A service manager is told when there is something to connect to. */
static void test_life__tells_the_service_manager(void **state)
{
    const struct daemon_place *place = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct test_daemon daemon;
    char text[64] = "";
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", place->dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    test_daemon_start(&daemon, NULL);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, (int)TEST_PATIENCE_MS), 1);
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "READY=1");
    test_daemon_stop(&daemon);
    (void)close(fd);
}

#define DAEMON_TEST(name) cmocka_unit_test_setup_teardown(name, daemon_setup, daemon_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(test_options__help_and_version_go_to_stdout),
        DAEMON_TEST(test_options__bad_ones_are_usage),
        DAEMON_TEST(test_check__says_that_a_good_file_is_good),
        DAEMON_TEST(test_check__says_that_without_grants_nobody_may_do_anything),
        DAEMON_TEST(test_config__bad_one_does_not_start_and_is_explained),
        DAEMON_TEST(test_config__missing_one_is_named),
        DAEMON_TEST(test_user__root_takes_saying_so),
        DAEMON_TEST(test_user__must_exist),
        DAEMON_TEST(test_user__is_changed_to_for_good),
        DAEMON_TEST(test_runtime_dir__loose_one_is_refused),
        DAEMON_TEST(test_runtime_dir__of_somebody_else_is_refused),
        DAEMON_TEST(test_runtime_dir__must_be_a_directory_below_one),
        DAEMON_TEST(test_socket__what_is_no_socket_is_left_alone),
        DAEMON_TEST(test_socket__stale_one_is_replaced),
        DAEMON_TEST(test_instance__second_one_is_refused_and_the_first_goes_on),
        DAEMON_TEST(test_life__one_line_at_each_end),
        DAEMON_TEST(test_life__sigint_ends_it_and_sighup_does_not),
        DAEMON_TEST(test_life__configured_one_warns_of_its_keys_and_sets_the_mode),
        DAEMON_TEST(test_life__is_undumpable),
        DAEMON_TEST(test_life__starts_with_closed_standard_descriptors),
        DAEMON_TEST(test_life__tells_the_service_manager),
    };
    return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
