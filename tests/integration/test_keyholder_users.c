/* SPDX-License-Identifier: Apache-2.0
 *
 * Who the processes run as: started by root without systemd, by an ordinary user, and by a supervisor that
 * starts the keyholder itself. Root's cases take users that every host has; the others run as nobody if root
 * runs the tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/keyed_daemon.h"
#include "tests/support/processes.h"

#define USERS_PATIENCE_MS (SG_SANITIZED ? 120000u : 30000u)
#define USERS_KEYSETS                                                                              \
    "  - name: hs\n    alg: HS256\n    issuer: https://login.example\n"                            \
    "  - name: es\n    alg: ES256\n    issuer: https://login.example\n"

struct users_person {
    char name[64];
    uid_t uid;
    gid_t gid;
};

struct users_fixture {
    struct test_keyed_daemon keyed;
    struct users_person front, keys; /* the daemon's user and the keyholder's */
    char socket[160];                /* where a supervisor starts the keyholder */
    pid_t supervisor;                /* 0: none runs */
};

static void users_skip(const char *why)
{
    print_message("SKIPPED: %s\n", why);
    skip();
}

static int64_t users_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void users_program(const char *name, char *out, size_t out_cap)
{
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(out, out_cap, "%s/%s", bin_dir != NULL ? bin_dir : SG_BIN_DIR, name);
}

/* ---- People ---- */

static void users_take(const struct passwd *entry, struct users_person *out)
{
    (void)snprintf(out->name, sizeof(out->name), "%s", entry->pw_name);
    out->uid = entry->pw_uid;
    out->gid = entry->pw_gid;
}

/* Two that are neither root nor each other. */
static bool users_find(struct users_person *front, struct users_person *keys)
{
    static const char *const names[] = {"daemon", "bin", "games", "sys", "mail", "nobody"};
    size_t num = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && num < 2; i++) {
        const struct passwd *entry = getpwnam(names[i]);
        if (entry != NULL && entry->pw_uid != 0 && entry->pw_gid != 0 &&
            (num == 0 || entry->pw_uid != front->uid)) {
            users_take(entry, num == 0 ? front : keys);
            num++;
        }
    }
    return num == 2;
}

static bool users_become(const struct users_person *person)
{
    return setgroups(1, &person->gid) == 0 &&
           setresgid(person->gid, person->gid, person->gid) == 0 &&
           setresuid(person->uid, person->uid, person->uid) == 0;
}

/* What a process of that user returns from an attempt; it shows nothing else. */
static int users_as(const struct users_person *person, int (*attempt)(const void *),
                    const void *arg)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(users_become(person) ? attempt(arg) : 99);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int attempt_run(const void *arg)
{
    return access(arg, X_OK) == 0 ? 0 : 1;
}

/* ---- A daemon ---- */

static void users_prepare(struct users_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    test_keyed_daemon_prepare(&fixture->keyed, USERS_KEYSETS);
    (void)snprintf(fixture->socket, sizeof(fixture->socket), "%s/keyholder.sock",
                   fixture->keyed.daemon.dir);
}

/* What follows the keysets in the configuration. */
static void users_configure(const struct users_fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void users_configure(const struct users_fixture *fixture, const char *format, ...)
{
    char more[512];
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(more, sizeof(more), format, arguments);
    va_end(arguments);
    (void)snprintf(text, sizeof(text), USERS_KEYSETS "%s", more);
    test_keyed_daemon_configure(&fixture->keyed, text);
}

/* Unlike test_keyed_daemon_start, without --user. */
static void users_start(struct users_fixture *fixture)
{
    const char *const arguments[] = {"--config", fixture->keyed.config, NULL};
    test_daemon_restart(&fixture->keyed.daemon, arguments);
}

static void users_refuses(const struct users_fixture *fixture, const char *first,
                          const char *second)
{
    char signetd[512];
    struct test_output output;
    users_program("signetd", signetd, sizeof(signetd));
    const char *const argv[] = {signetd,
                                "--config",
                                fixture->keyed.config,
                                "--runtime-dir",
                                fixture->keyed.daemon.runtime_dir,
                                NULL};
    test_run(argv, NULL, USERS_PATIENCE_MS, &output);
    if (output.exit_status != 1 || strstr(output.err, first) == NULL ||
        strstr(output.err, second) == NULL) {
        fail_msg("signetd ended with %d and said:\n%s", output.exit_status, output.err);
    }
    /* And nothing listens. */
    assert_int_equal(access(fixture->keyed.daemon.socket, F_OK), -1);
    test_output_free(&output);
}

/* json_decref() it. */
static json_t *users_keyholder_of(const struct users_fixture *fixture)
{
    const char *const command[] = {"status", "--json", NULL};
    char *text = test_keyed_daemon_run(&fixture->keyed, command, NULL);
    json_t *status = json_loads(text, 0, NULL);
    json_t *keyholder = json_object_get(status, "keyholder");
    assert_true(json_is_object(keyholder));
    json_incref(keyholder);
    json_decref(status);
    free(text);
    return keyholder;
}

static json_int_t users_keyholder_number(const struct users_fixture *fixture, const char *name)
{
    json_t *keyholder = users_keyholder_of(fixture);
    json_int_t number = json_integer_value(json_object_get(keyholder, name));
    json_decref(keyholder);
    return number;
}

/* Whether status lists a protection among those that hold, or those that are missing. */
static bool users_says(const struct users_fixture *fixture, const char *list, const char *name)
{
    json_t *keyholder = users_keyholder_of(fixture);
    const json_t *entry = NULL;
    size_t i = 0;
    bool found = false;
    json_array_foreach(json_object_get(keyholder, list), i, entry)
    {
        found = found || strcmp(json_string_value(entry), name) == 0;
    }
    json_decref(keyholder);
    return found;
}

static void users_check_holds(const struct users_fixture *fixture, const char *name, bool holds)
{
    assert_true(users_says(fixture, "protections", name) == holds);
    assert_true(users_says(fixture, "missing", name) == !holds);
}

/* Whoever owns the programs can read them, and could have looked into one at its start. */
static bool users_cannot_read_the_program(void)
{
    return geteuid() == 0 || access(SG_BIN_DIR "/signet-keyholder", R_OK) != 0;
}

static void users_sign_and_verify(const struct users_fixture *fixture)
{
    static const char *const keysets[] = {"hs", "es"};
    for (size_t i = 0; i < sizeof(keysets) / sizeof(keysets[0]); i++) {
        const char *const sign[] = {"sign",   keysets[i],  "--sub", "alice", "--aud",
                                    "orders", "--timeout", "20s",   NULL};
        char *token = test_keyed_daemon_run(&fixture->keyed, sign, NULL);
        const char *const verify[] = {"verify", "--aud", "orders", "--timeout", "20s", "-", NULL};
        free(test_keyed_daemon_run(&fixture->keyed, verify, token));
        free(token);
    }
}

/* Kills the keyholder and waits for the one after it. */
static pid_t users_replace_keyholder(const struct users_fixture *fixture, pid_t keyholder)
{
    int64_t deadline = users_now_ms() + USERS_PATIENCE_MS;
    int end = test_process_open(keyholder);
    pid_t next = keyholder;
    assert_int_equal(kill(keyholder, SIGKILL), 0);
    test_process_await_end(end);
    while (next == keyholder || next == 0) {
        assert_true(users_now_ms() < deadline);
        next = (pid_t)users_keyholder_number(fixture, "pid");
    }
    return next;
}

static unsigned long long users_rights(pid_t pid, const char *set)
{
    char text[64];
    assert_true(test_process_field(pid, set, text, sizeof(text)));
    return strtoull(text, NULL, 16);
}

static void users_check_no_rights(pid_t pid)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    char text[64];
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        assert_int_equal(users_rights(pid, sets[i]), 0);
    }
    assert_true(test_process_field(pid, "NoNewPrivs", text, sizeof(text)));
    assert_string_equal(text, "1");
}

/* What it takes to start a keyholder, and with CAP_IPC_LOCK, where the limit on locked memory cannot be
 * raised, to have it lock its memory. */
static void users_check_launcher_rights(pid_t pid)
{
    const unsigned long long needed = 1u << CAP_KILL | 1u << CAP_SETGID | 1u << CAP_SETUID;
    const unsigned long long lock = 1u << CAP_IPC_LOCK;
    assert_int_equal(users_rights(pid, "CapEff") & ~lock, needed);
    assert_int_equal(users_rights(pid, "CapPrm") & ~lock, needed);
    assert_int_equal(users_rights(pid, "CapInh") & ~lock, 0);
    assert_int_equal(users_rights(pid, "CapAmb") & ~lock, 0);
    assert_int_equal(users_rights(pid, "CapBnd") & ~lock, needed);
}

static int users_teardown(void **state)
{
    struct users_fixture *fixture = *state;
    if (fixture->supervisor > 0) {
        (void)kill(fixture->supervisor, SIGKILL);
        (void)waitpid(fixture->supervisor, NULL, 0);
    }
    if (fixture->keyed.daemon.dir[0] != '\0') {
        test_daemon_stop(&fixture->keyed.daemon);
    }
    (void)unsetenv("SIGNET_SERVER_UID");
    free(fixture);
    return 0;
}

/* ---- Root's cases ---- */

/* A keystore for two users, as an operator makes it. */
static void root_make_keystore(struct users_fixture *fixture)
{
    char signet[512];
    char number[32];
    struct test_output output;
    const char *path = fixture->keyed.source + strlen("file:");
    users_program("signet", signet, sizeof(signet));
    const char *const argv[] = {signet,
                                "keystore",
                                "init",
                                "--state-dir",
                                fixture->keyed.state_dir,
                                "--key",
                                fixture->keyed.source,
                                "--owner",
                                fixture->keys.name,
                                "--daemon-user",
                                fixture->front.name,
                                NULL};
    /* What others have to get at; the daemon makes the other directory itself. */
    assert_int_equal(chmod(fixture->keyed.daemon.dir, 0755), 0);
    assert_int_equal(chmod(fixture->keyed.trust_dir, 0755), 0);
    test_remove_tree(fixture->keyed.daemon.runtime_dir);
    /* The fixture's own is root's. */
    test_remove_tree(fixture->keyed.state_dir);
    assert_int_equal(unlink(path), 0);
    test_run(argv, NULL, USERS_PATIENCE_MS, &output);
    if (output.exit_status != 0) {
        fail_msg("%s%s", output.out, output.err);
    }
    test_output_free(&output);
    (void)snprintf(number, sizeof(number), "%u", (unsigned)fixture->front.uid);
    assert_int_equal(setenv("SIGNET_SERVER_UID", number, 1), 0);
}

static int root_setup(void **state)
{
    struct users_fixture *fixture = calloc(1, sizeof(*fixture));
    char program[512];
    assert_non_null(fixture);
    *state = fixture;
    if (geteuid() != 0) {
        return 0;
    }
    users_prepare(fixture);
    users_program("signet-keyholder", program, sizeof(program));
    if (users_find(&fixture->front, &fixture->keys) &&
        users_as(&fixture->keys, attempt_run, program) == 0) {
        root_make_keystore(fixture);
    } else {
        fixture->front.name[0] = '\0';
    }
    return 0;
}

static struct users_fixture *root_only(void **state)
{
    struct users_fixture *fixture = *state;
    if (geteuid() != 0) {
        users_skip("only root can start a keyholder as another user");
    }
    if (fixture->front.name[0] == '\0') {
        users_skip("there are no two users that could run the programs where they were built");
    }
    return fixture;
}

static void root_start(struct users_fixture *fixture)
{
    users_configure(fixture, "user: %s\nkeyholder:\n  user: %s\n", fixture->front.name,
                    fixture->keys.name);
    users_start(fixture);
}

static void test_root__gives_each_process_its_user(void **state)
{
    struct users_fixture *fixture = root_only(state);
    char groups[128];
    char expected[128];
    root_start(fixture);
    pid_t daemon = fixture->keyed.daemon.pid;
    pid_t keyholder = test_process_await_keyholder(daemon, 0);
    pid_t launcher = test_process_parent(keyholder);
    assert_int_equal(test_process_parent(launcher), daemon);
    assert_true(test_process_has_ids(daemon, fixture->front.uid, fixture->front.gid));
    assert_true(test_process_has_ids(keyholder, fixture->keys.uid, fixture->keys.gid));
    assert_true(test_process_has_ids(launcher, 0, 0));
    users_check_no_rights(daemon);
    users_check_no_rights(keyholder);
    users_check_launcher_rights(launcher);
    /* Of root's groups none is left. */
    assert_true(test_process_field(keyholder, "Groups", groups, sizeof(groups)));
    (void)snprintf(expected, sizeof(expected), "%u ", (unsigned)fixture->keys.gid);
    assert_string_equal(groups, expected);

    assert_int_equal(users_keyholder_number(fixture, "pid"), keyholder);
    assert_int_equal(users_keyholder_number(fixture, "uid"), fixture->keys.uid);
    users_check_holds(fixture, "own_user", true);
    users_check_holds(fixture, "undumpable", users_cannot_read_the_program());
    users_check_holds(fixture, "no_capabilities", true);
    users_sign_and_verify(fixture);
}

static void test_root__starts_the_next_keyholder_as_the_same_user(void **state)
{
    struct users_fixture *fixture = root_only(state);
    root_start(fixture);
    pid_t keyholder = test_process_await_keyholder(fixture->keyed.daemon.pid, 0);
    for (json_int_t i = 1; i <= 3; i++) {
        keyholder = users_replace_keyholder(fixture, keyholder);
        users_sign_and_verify(fixture);
        assert_true(test_process_has_ids(keyholder, fixture->keys.uid, fixture->keys.gid));
        users_check_no_rights(keyholder);
        users_check_holds(fixture, "own_user", true);
        assert_int_equal(users_keyholder_number(fixture, "num_restarts"), i);
    }
}

/* What the front's user is kept from; each returns 0 if it is. */
static int attempt_open(const void *arg)
{
    int fd = open(arg, O_RDONLY | O_CLOEXEC);
    return fd < 0 && errno == EACCES ? 0 : 1;
}

static int attempt_rename(const void *arg)
{
    char other[256];
    (void)snprintf(other, sizeof(other), "%s.other", (const char *)arg);
    return rename(arg, other) != 0 && errno == EACCES ? 0 : 1;
}

static int attempt_signal(const void *arg)
{
    const pid_t *pid = arg;
    return kill(*pid, SIGKILL) != 0 && errno == EPERM && kill(*pid, SIGSTOP) != 0 && errno == EPERM
               ? 0
               : 1;
}

static int attempt_memory(const void *arg)
{
    const pid_t *pid = arg;
    char path[64];
    char byte = 0;
    struct iovec mine = {.iov_base = &byte, .iov_len = 1};
    struct iovec theirs = {.iov_base = (void *)(uintptr_t)0x10000, .iov_len = 1};
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)*pid);
    return attempt_open(path) == 0 && process_vm_readv(*pid, &mine, 1, &theirs, 1, 0) < 0 &&
                   errno == EPERM
               ? 0
               : 1;
}

static void test_root__keeps_the_keystore_from_the_front(void **state)
{
    struct users_fixture *fixture = root_only(state);
    char keys[256];
    char file[768];
    size_t num = 0;
    root_start(fixture);
    pid_t keyholder = test_process_await_keyholder(fixture->keyed.daemon.pid, 0);
    (void)snprintf(keys, sizeof(keys), "%s/keys", fixture->keyed.state_dir);
    assert_int_equal(users_as(&fixture->front, attempt_open, keys), 0);
    assert_int_equal(
        users_as(&fixture->front, attempt_open, fixture->keyed.source + strlen("file:")), 0);
    DIR *dir = opendir(keys);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(file, sizeof(file), "%s/%s", keys, entry->d_name);
            assert_int_equal(users_as(&fixture->front, attempt_open, file), 0);
            assert_int_equal(users_as(&fixture->front, attempt_rename, file), 0);
            /* Or the attempt shows nothing. */
            assert_int_equal(users_as(&fixture->keys, attempt_open, file), 1);
            num++;
        }
    }
    (void)closedir(dir);
    assert_true(num >= 3); /* a header and two keys */
    assert_int_equal(users_as(&fixture->front, attempt_signal, &keyholder), 0);
    assert_int_equal(users_as(&fixture->front, attempt_memory, &keyholder), 0);
    users_sign_and_verify(fixture);
}

static void test_root__runs_the_keyholder_as_the_daemon_without_a_user(void **state)
{
    struct users_fixture *fixture = root_only(state);
    /* All of it is the daemon's then. */
    fixture->keys = fixture->front;
    root_make_keystore(fixture);
    users_configure(fixture, "user: %s\n", fixture->front.name);
    users_start(fixture);
    pid_t keyholder = test_process_await_keyholder(fixture->keyed.daemon.pid, 0);
    assert_true(test_process_has_ids(keyholder, fixture->front.uid, fixture->front.gid));
    users_check_no_rights(keyholder);
    users_check_holds(fixture, "own_user", false);
    users_sign_and_verify(fixture);
}

static void test_root__refuses_users_that_cannot_be(void **state)
{
    struct users_fixture *fixture = root_only(state);
    const char *front = fixture->front.name;
    users_configure(fixture, "user: %s\nkeyholder:\n  user: no-such-user\n", front);
    users_refuses(fixture, "keyholder.user", "there is no user no-such-user");
    users_configure(fixture, "user: %s\nkeyholder:\n  user: %s\n", front, front);
    users_refuses(fixture, "keyholder.user", front);
    users_configure(fixture, "user: %s\nkeyholder:\n  user: root\n", front);
    users_refuses(fixture, "keyholder.user", "root");
}

static void test_root__refuses_keys_of_another_user(void **state)
{
    struct users_fixture *fixture = root_only(state);
    char keys[256];
    char expected[64];
    (void)snprintf(keys, sizeof(keys), "%s/keys", fixture->keyed.state_dir);
    assert_int_equal(chown(keys, fixture->front.uid, fixture->front.gid), 0);
    (void)snprintf(expected, sizeof(expected), "chown -R %u", (unsigned)fixture->keys.uid);
    users_configure(fixture, "user: %s\nkeyholder:\n  user: %s\n", fixture->front.name,
                    fixture->keys.name);
    users_refuses(fixture, keys, expected);
}

static void test_root__does_not_start_without_what_is_required(void **state)
{
    struct users_fixture *fixture = root_only(state);
    users_configure(fixture, "user: %s\nkeyholder:\n  require: [own_user]\n", fixture->front.name);
    users_refuses(fixture, "own_user", "keyholder.user");
    users_configure(fixture,
                    "user: %s\nkeyholder:\n  user: %s\n  require: [own_user, undumpable]\n",
                    fixture->front.name, fixture->keys.name);
    users_start(fixture);
    users_sign_and_verify(fixture);
}

/* ---- A supervisor that starts the keyholder ---- */

/* In the child: as systemd does with Accept=yes. Async-signal-safe calls only. */
static void supervisor_run(int listener, const char *program, const struct users_person *person)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0) {
            _exit(1);
        }
        if (fork() == 0) {
            char name[] = "signet-keyholder";
            char *const argv[] = {name, NULL};
            bool is_ready = connection == 3 ? fcntl(3, F_SETFD, 0) == 0 : dup2(connection, 3) == 3;
            if (is_ready && (person == NULL || users_become(person))) {
                (void)execv(program, argv);
            }
            _exit(127);
        }
        (void)close(connection);
    }
}

/* person NULL: as whoever this is. */
static void supervisor_start(struct users_fixture *fixture, const struct users_person *person)
{
    char program[512];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(fixture->socket) < sizeof(address.sun_path));
    memcpy(address.sun_path, fixture->socket, strlen(fixture->socket) + 1);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    (void)unlink(fixture->socket);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(chmod(fixture->socket, 0600), 0);
    if (person != NULL) {
        assert_int_equal(chown(fixture->socket, fixture->front.uid, fixture->front.gid), 0);
    }
    assert_int_equal(listen(listener, 4), 0);
    users_program("signet-keyholder", program, sizeof(program));
    fixture->supervisor = fork();
    if (fixture->supervisor == 0) {
        supervisor_run(listener, program, person);
    }
    (void)close(listener);
    assert_true(fixture->supervisor > 0);
}

static void supervisor_stop(struct users_fixture *fixture)
{
    assert_int_equal(kill(fixture->supervisor, SIGKILL), 0);
    assert_int_equal(waitpid(fixture->supervisor, NULL, 0), fixture->supervisor);
    fixture->supervisor = 0;
    assert_int_equal(unlink(fixture->socket), 0);
}

static void users_await_log(const struct users_fixture *fixture, const char *text)
{
    int64_t deadline = users_now_ms() + USERS_PATIENCE_MS;
    bool is_there = false;
    while (!is_there) {
        char *log = test_daemon_log(&fixture->keyed.daemon);
        is_there = strstr(log, text) != NULL;
        if (!is_there && users_now_ms() > deadline) {
            fail_msg("\"%s\" is not in the log:\n%s", text, log);
        }
        free(log);
        (void)poll(NULL, 0, 2);
    }
}

/* The whole life of it; the configuration is written. */
static void supervisor_check(struct users_fixture *fixture, const struct users_person *person)
{
    users_refuses(fixture, fixture->socket, "is what starts the keyholder running");
    supervisor_start(fixture, person);
    users_start(fixture);
    pid_t keyholder = (pid_t)users_keyholder_number(fixture, "pid");
    assert_int_equal(test_process_parent(keyholder), fixture->supervisor);
    assert_int_equal(test_process_keyholder(fixture->keyed.daemon.pid), 0);
    users_sign_and_verify(fixture);
    for (unsigned i = 0; i < 3; i++) {
        keyholder = users_replace_keyholder(fixture, keyholder);
        assert_int_equal(test_process_parent(keyholder), fixture->supervisor);
        users_sign_and_verify(fixture);
    }
    /* The supervisor goes: what it started stays; and when that ends, the daemon waits for another. */
    supervisor_stop(fixture);
    users_sign_and_verify(fixture);
    int end = test_process_open(keyholder);
    assert_int_equal(kill(keyholder, SIGKILL), 0);
    test_process_await_end(end);
    users_await_log(fixture, fixture->socket);
    const char *const sign[] = {"sign",   "hs",        "--sub", "alice", "--aud",
                                "orders", "--timeout", "100ms", NULL};
    struct test_output output;
    test_keyed_daemon_signet(&fixture->keyed, sign, NULL, &output);
    assert_int_equal(output.exit_status, 3);
    test_output_free(&output);
    supervisor_start(fixture, person);
    users_sign_and_verify(fixture);
    /* The daemon goes: so does the keyholder, whoever started it. */
    keyholder = (pid_t)users_keyholder_number(fixture, "pid");
    end = test_process_open(keyholder);
    (void)test_daemon_kill(&fixture->keyed.daemon, SIGKILL);
    test_process_await_end(end);
    users_start(fixture);
    users_sign_and_verify(fixture);
}

static void test_root__leaves_the_keyholder_to_a_supervisor(void **state)
{
    struct users_fixture *fixture = root_only(state);
    users_configure(fixture, "user: %s\nkeyholder:\n  socket: %s\n  require: [own_user]\n",
                    fixture->front.name, fixture->socket);
    supervisor_check(fixture, &fixture->keys);
    pid_t keyholder = (pid_t)users_keyholder_number(fixture, "pid");
    assert_true(test_process_has_ids(keyholder, fixture->keys.uid, fixture->keys.gid));
    users_check_holds(fixture, "own_user", true);
    users_check_no_rights(keyholder);
}

/* A supervisor that starts it as the wrong user does not fool the daemon. */
static void test_root__sees_that_a_supervisor_does_not_change_the_user(void **state)
{
    struct users_fixture *fixture = root_only(state);
    users_configure(fixture, "user: %s\nkeyholder:\n  socket: %s\n  require: [own_user]\n",
                    fixture->front.name, fixture->socket);
    supervisor_start(fixture, &fixture->front);
    users_refuses(fixture, "keyholder.require", "own_user");
}

/* ---- An ordinary user's cases ---- */

static int plain_setup(void **state)
{
    struct users_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    users_prepare(fixture);
    *state = fixture;
    return 0;
}

static void test_user__runs_it_and_is_told_what_holds(void **state)
{
    struct users_fixture *fixture = *state;
    const char *const command[] = {"status", NULL};
    users_start(fixture);
    pid_t daemon = fixture->keyed.daemon.pid;
    pid_t keyholder = test_process_await_keyholder(daemon, 0);
    pid_t launcher = test_process_parent(keyholder);
    const pid_t all[] = {daemon, launcher, keyholder};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_true(test_process_has_ids(all[i], geteuid(), getegid()));
        users_check_no_rights(all[i]);
    }
    users_check_holds(fixture, "own_user", false);
    users_check_holds(fixture, "undumpable", users_cannot_read_the_program());
    users_check_holds(fixture, "no_capabilities", true);
    char *text = test_keyed_daemon_run(&fixture->keyed, command, NULL);
    assert_non_null(strstr(text, "keyholder"));
    assert_non_null(strstr(text, "protections"));
    const char *missing = strstr(text, "missing: ");
    assert_non_null(missing);
    assert_non_null(strstr(missing, "own_user"));
    free(text);
    users_sign_and_verify(fixture);
    (void)users_replace_keyholder(fixture, keyholder);
    users_sign_and_verify(fixture);
}

static void test_user__cannot_choose_another_for_the_keyholder(void **state)
{
    struct users_fixture *fixture = *state;
    users_configure(fixture, "keyholder:\n  user: daemon\n");
    users_refuses(fixture, "keyholder.user", "only root");
}

/* Memory that cannot be locked, because the user may not. */
static void test_user__is_told_which_protection_is_missing(void **state)
{
    struct users_fixture *fixture = *state;
    char signetd[512];
    struct test_output output;
    users_configure(fixture, "keyholder:\n  require: [undumpable, locked_keys, locked_memory]\n");
    users_program("signetd", signetd, sizeof(signetd));
    const char *const argv[] = {"/bin/sh",
                                "-c",
                                "ulimit -l 0 && exec \"$@\"",
                                "sh",
                                signetd,
                                "--config",
                                fixture->keyed.config,
                                "--runtime-dir",
                                fixture->keyed.daemon.runtime_dir,
                                NULL};
    test_run(argv, NULL, USERS_PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 1);
    if (strstr(output.err, "keyholder.require") == NULL ||
        strstr(output.err, "locked_keys, locked_memory") == NULL) {
        fail_msg("%s", output.err);
    }
    test_output_free(&output);
}

static void test_user__leaves_the_keyholder_to_a_supervisor(void **state)
{
    struct users_fixture *fixture = *state;
    users_configure(fixture, "keyholder:\n  socket: %s\n", fixture->socket);
    supervisor_check(fixture, NULL);
}

/* ---- Both ---- */

#define ROOT_TEST(name) cmocka_unit_test_setup_teardown(name, root_setup, users_teardown)
#define USER_TEST(name) cmocka_unit_test_setup_teardown(name, plain_setup, users_teardown)

static int users_run_plain(void)
{
    const struct CMUnitTest tests[] = {
        USER_TEST(test_user__runs_it_and_is_told_what_holds),
        USER_TEST(test_user__cannot_choose_another_for_the_keyholder),
        USER_TEST(test_user__is_told_which_protection_is_missing),
        USER_TEST(test_user__leaves_the_keyholder_to_a_supervisor),
    };
    return cmocka_run_group_tests_name("keyholder_users (an ordinary user)", tests, NULL, NULL);
}

/* In a process of nobody's, which has a directory of its own. */
static void users_run_as_nobody(const struct users_person *nobody, const char *dir)
{
    char program[512];
    users_program("signet-keyholder", program, sizeof(program));
    if (!users_become(nobody) || chdir("/") != 0 || setenv("TMPDIR", dir, 1) != 0) {
        _exit(99);
    }
    if (access(program, X_OK) != 0) {
        (void)printf("SKIPPED: an ordinary user cannot run %s\n", program);
        exit(0);
    }
    exit(users_run_plain());
}

static int users_run_plain_from_root(void)
{
    struct users_person nobody;
    char dir[96];
    int status = 0;
    const struct passwd *entry = getpwnam("nobody");
    if (entry == NULL || entry->pw_uid == 0) {
        (void)printf("SKIPPED: there is no user nobody\n");
        return 0;
    }
    users_take(entry, &nobody);
    test_temp_dir(dir, sizeof(dir));
    if (chown(dir, nobody.uid, nobody.gid) != 0) {
        return 1;
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        users_run_as_nobody(&nobody, dir);
    }
    bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
    test_remove_tree(dir);
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOT_TEST(test_root__gives_each_process_its_user),
        ROOT_TEST(test_root__starts_the_next_keyholder_as_the_same_user),
        ROOT_TEST(test_root__keeps_the_keystore_from_the_front),
        ROOT_TEST(test_root__runs_the_keyholder_as_the_daemon_without_a_user),
        ROOT_TEST(test_root__refuses_users_that_cannot_be),
        ROOT_TEST(test_root__refuses_keys_of_another_user),
        ROOT_TEST(test_root__does_not_start_without_what_is_required),
        ROOT_TEST(test_root__leaves_the_keyholder_to_a_supervisor),
        ROOT_TEST(test_root__sees_that_a_supervisor_does_not_change_the_user),
    };
    int failed = cmocka_run_group_tests_name("keyholder_users (root)", tests, NULL, NULL);
    int plain_failed = geteuid() == 0 ? users_run_plain_from_root() : users_run_plain();
    return failed != 0 || plain_failed != 0 ? 1 : 0;
}
