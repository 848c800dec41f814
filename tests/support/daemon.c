/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon of one's own. Nothing outlives the test program: the kernel kills the daemon when the
 * thread that started it ends, and what a failed test left is ended, with its log shown, at exit.
 */
#include "tests/support/daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/sp.h"
#include "tests/support/files.h"

#define DAEMON_MAX_ARGUMENTS 16
#define DAEMON_MAX_RUNNING   16
/* Sanitizers make everything several times slower. */
#define DAEMON_WAIT_MS  (SG_SANITIZED ? 30000 : 10000)
#define DAEMON_PROBE_MS 20

/* Daemons that run now, for the end of the program. Tests start them on their first thread only. */
static struct {
    pid_t owner;
    bool registered;
    struct {
        pid_t pid;
        char log_path[sizeof(((struct test_daemon *)0)->log_path)];
    } running[DAEMON_MAX_RUNNING];
} daemon_table;

static int64_t daemon_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void daemon_print_log(const char *log_path)
{
    char *log = test_read_file(log_path, NULL);
    (void)fprintf(stderr, "---- %s\n%s----\n", log_path, log != NULL ? log : "(none)\n");
    free(log);
}

static void daemon_end_all(void)
{
    if (daemon_table.owner != getpid()) {
        return;
    }
    for (size_t i = 0; i < DAEMON_MAX_RUNNING; i++) {
        pid_t pid = daemon_table.running[i].pid;
        if (pid > 0) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            daemon_print_log(daemon_table.running[i].log_path);
        }
    }
}

static void daemon_remember(const struct test_daemon *daemon)
{
    if (daemon_table.owner != getpid()) {
        memset(daemon_table.running, 0, sizeof(daemon_table.running));
        daemon_table.owner = getpid();
    }
    if (!daemon_table.registered) {
        assert_int_equal(atexit(daemon_end_all), 0);
        daemon_table.registered = true;
    }
    for (size_t i = 0; i < DAEMON_MAX_RUNNING; i++) {
        if (daemon_table.running[i].pid == 0) {
            daemon_table.running[i].pid = daemon->pid;
            memcpy(daemon_table.running[i].log_path, daemon->log_path, sizeof(daemon->log_path));
            return;
        }
    }
    fail_msg("more than %d daemons at a time", DAEMON_MAX_RUNNING);
}

static void daemon_ended(struct test_daemon *daemon)
{
    for (size_t i = 0; i < DAEMON_MAX_RUNNING; i++) {
        if (daemon_table.running[i].pid == daemon->pid) {
            daemon_table.running[i].pid = 0;
        }
    }
    daemon->pid = 0;
}

/* ---- Starting ---- */

/* In the child: async-signal-safe calls only. */
static void daemon_exec(const char *binary, const char *const *argv, int input, int log)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(input, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        _exit(127);
    }
    (void)execv(binary, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void daemon_spawn(struct test_daemon *daemon, const char *const *arguments)
{
    char binary[512];
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(binary, sizeof(binary), "%s/%s", bin_dir != NULL ? bin_dir : SG_BIN_DIR,
                   daemon->program != NULL ? daemon->program : "signetd");

    const char *argv[DAEMON_MAX_ARGUMENTS + 5] = {"signetd", "--runtime-dir", daemon->runtime_dir};
    size_t num = 3;
    if (arguments == NULL || arguments[0] == NULL) {
        argv[num++] = "--dev";
    }
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++) {
        assert_true(i < DAEMON_MAX_ARGUMENTS);
        argv[num++] = arguments[i];
    }

    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(daemon->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(input >= 0 && log >= 0);
    daemon->pid = fork();
    if (daemon->pid == 0) {
        daemon_exec(binary, argv, input, log);
    }
    (void)close(input);
    (void)close(log);
    assert_true(daemon->pid > 0);
    daemon_remember(daemon);
}

/* Connects and exchanges greetings; false if nobody answered at once. */
static bool daemon_answers(const struct test_daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, daemon->socket, strlen(daemon->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);

    uint8_t greeting[SG_SP_HANDSHAKE_LEN] = {0, 'S', 'P', 0, 0, SG_SP_REQ0, 0, 0};
    bool answers = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                   send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL) == sizeof(greeting);
    size_t got = 0;
    while (answers && got < sizeof(greeting)) {
        struct pollfd wait_for = {.fd = fd, .events = POLLIN};
        ssize_t len = -1;
        if (poll(&wait_for, 1, DAEMON_WAIT_MS) == 1) {
            len = recv(fd, greeting + got, sizeof(greeting) - got, 0);
        }
        answers = len > 0;
        got += len > 0 ? (size_t)len : 0;
    }
    (void)close(fd);
    return answers && greeting[5] == SG_SP_REP0;
}

/* Waits for the daemon to end, at most timeout_ms. */
static bool daemon_has_ended(const struct test_daemon *daemon, int timeout_ms)
{
    int end = pidfd_open(daemon->pid, 0);
    assert_true(end >= 0);
    struct pollfd wait_for = {.fd = end, .events = POLLIN};
    int ready = poll(&wait_for, 1, timeout_ms);
    (void)close(end);
    return ready == 1;
}

/* A fault that should be seen with the log: ends the daemon, if need be, and fails the test. */
static void daemon_fail(struct test_daemon *daemon, const char *what)
{
    int status = 0;
    (void)kill(daemon->pid, SIGKILL);
    (void)waitpid(daemon->pid, &status, 0);
    daemon_ended(daemon);
    daemon_print_log(daemon->log_path);
    fail_msg("signetd %s (wait status 0x%x)", what, (unsigned)status);
}

/* What it has said since its log was so long: whether all of it is there; and how long the log is now. */
static bool daemon_is_ready(const struct test_daemon *daemon, size_t log_len, size_t *now_len)
{
    *now_len = log_len;
    char *log = test_read_file(daemon->log_path, now_len);
    bool ready = log != NULL && *now_len > log_len && strstr(log + log_len, "ready on ") != NULL;
    free(log);
    return ready;
}

/* Waits as long as it says something new: a start that makes many keys takes long on a slow machine. */
static void daemon_start(struct test_daemon *daemon, const char *const *arguments)
{
    size_t log_len = 0;
    free(test_read_file(daemon->log_path, &log_len));
    daemon_spawn(daemon, arguments);
    int64_t deadline = daemon_now_ms() + DAEMON_WAIT_MS;
    size_t seen_len = log_len;
    size_t len = log_len;
    while (!daemon_is_ready(daemon, log_len, &len) || !daemon_answers(daemon)) {
        if (daemon_has_ended(daemon, DAEMON_PROBE_MS)) {
            daemon_fail(daemon, "ended instead of starting");
            return;
        }
        if (len != seen_len) {
            seen_len = len;
            deadline = daemon_now_ms() + DAEMON_WAIT_MS;
        }
        if (daemon_now_ms() > deadline) {
            daemon_fail(daemon, "did not answer in time");
            return;
        }
    }
}

void test_daemon_prepare(struct test_daemon *daemon)
{
    memset(daemon, 0, sizeof(*daemon));
    test_temp_dir(daemon->dir, sizeof(daemon->dir) - sizeof("/run"));
    (void)snprintf(daemon->runtime_dir, sizeof(daemon->runtime_dir), "%s/run", daemon->dir);
    int len =
        snprintf(daemon->socket, sizeof(daemon->socket), "%s/signet.sock", daemon->runtime_dir);
    assert_true(len > 0 && (size_t)len < sizeof(daemon->socket));
    (void)snprintf(daemon->address, sizeof(daemon->address), "ipc://%s", daemon->socket);
    (void)snprintf(daemon->log_path, sizeof(daemon->log_path), "%s/log", daemon->dir);
    assert_int_equal(mkdir(daemon->runtime_dir, 0700), 0);
}

void test_daemon_start(struct test_daemon *daemon, const char *const *arguments)
{
    test_daemon_prepare(daemon);
    daemon_start(daemon, arguments);
}

void test_daemon_restart(struct test_daemon *daemon, const char *const *arguments)
{
    assert_int_equal(daemon->pid, 0);
    daemon_start(daemon, arguments);
}

/* ---- Ending ---- */

/* Collects a daemon that should end; kills it and fails the test if it does not. */
static int daemon_collect(struct test_daemon *daemon)
{
    if (!daemon_has_ended(daemon, DAEMON_WAIT_MS)) {
        daemon_fail(daemon, "did not end in time");
        return -1;
    }
    int status = 0;
    assert_int_equal(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon_ended(daemon);
    return status;
}

int test_daemon_kill(struct test_daemon *daemon, int signal_number)
{
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, signal_number), 0);
    switch (signal_number) {
    case SIGSTOP: {
        /* kill returns before all its threads have stopped; WNOWAIT leaves an end to be collected. */
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)daemon->pid, &info, WSTOPPED | WEXITED | WNOWAIT), 0);
        return 0;
    }
    case SIGTERM:
    case SIGINT:
    case SIGKILL:
    case SIGABRT:
    case SIGSEGV:
        return daemon_collect(daemon);
    default:
        return 0;
    }
}

void test_daemon_stop(struct test_daemon *daemon)
{
    if (daemon->pid > 0) {
        (void)kill(daemon->pid, SIGCONT); /* a test may have stopped it */
        int status = test_daemon_kill(daemon, SIGTERM);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            /* A sanitizer's report ends up here too. */
            daemon_print_log(daemon->log_path);
            test_remove_tree(daemon->dir);
            fail_msg("signetd ended with wait status 0x%x instead of exit status 0",
                     (unsigned)status);
        }
    }
    test_remove_tree(daemon->dir);
}

/* ---- Looking at it ---- */

char *test_daemon_log(const struct test_daemon *daemon)
{
    char *log = test_read_file(daemon->log_path, NULL);
    assert_non_null(log);
    return log;
}

size_t test_daemon_rss_kib(const struct test_daemon *daemon)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon->pid);
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    const char *line = strstr(text, "\nVmRSS:");
    assert_non_null(line);
    size_t kib = strtoul(line + strlen("\nVmRSS:"), NULL, 10);
    free(text);
    assert_true(kib > 0);
    return kib;
}

size_t test_daemon_num_fds(const struct test_daemon *daemon)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon->pid);
    DIR *dir = opendir(path);
    if (dir == NULL && errno == EACCES) {
        print_message("the daemon is undumpable: only root sees its descriptors\n");
        skip();
    }
    if (dir == NULL) {
        fail_msg("cannot read %s: %s", path, strerror(errno));
        return 0;
    }
    size_t num = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        num += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return num;
}
