/* SPDX-License-Identifier: Apache-2.0
 *
 * The confinement of the real programs, from the outside and from the inside: calls that are forbidden to
 * them, other processes of the same user that reach for the keyholder, and cores.
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
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/keyed_daemon.h"
#include "tests/support/processes.h"

/* Programs with tests/support/forbidden_call.c in them. */
#define PROGRAM_FORBIDDEN "forbidden/signetd"
#define PROGRAM_KEYSETS   "  - name: hs\n    alg: HS256\n    issuer: https://login.example\n"

#define PATIENCE_S (SG_SANITIZED ? 120 : 30)
#define PROBE_MS   10

static void skip_if_sanitized(void)
{
    if (SG_SANITIZED) {
        print_message("SKIPPED: builds with sanitizers have no system call filters\n");
        skip();
    }
}

/* ---- Waiting ---- */

static time_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void await(bool (*is_true)(const void *context), const void *context, const char *what)
{
    time_t deadline = now_s() + PATIENCE_S;
    while (!is_true(context)) {
        if (now_s() > deadline) {
            fail_msg("in %d seconds there was not: %s", PATIENCE_S, what);
        }
        (void)poll(NULL, 0, PROBE_MS);
    }
}

/* ---- Forbidden calls in the real programs ---- */

static int forbidden_setup(void **state)
{
    struct test_keyed_daemon *keyed = calloc(1, sizeof(*keyed));
    assert_non_null(keyed);
    test_keyed_daemon_prepare(keyed, PROGRAM_KEYSETS);
    keyed->daemon.program = PROGRAM_FORBIDDEN;
    test_keyed_daemon_start(keyed);
    *state = keyed;
    return 0;
}

static int forbidden_teardown(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_daemon_stop(&keyed->daemon);
    free(keyed);
    return 0;
}

struct forbidden {
    const char *name;
    int call;
};

static const struct forbidden forbidden_calls[] = {
    {"execve", SYS_execve},
    {"execveat", SYS_execveat},
    {"ptrace", SYS_ptrace},
    {"process_vm_readv", SYS_process_vm_readv},
    {"process_vm_writev", SYS_process_vm_writev},
    {"pidfd_getfd", SYS_pidfd_getfd},
    {"setuid", SYS_setuid},
    {"bpf", SYS_bpf},
    {"perf_event_open", SYS_perf_event_open},
    {"io_uring_setup", SYS_io_uring_setup},
    {"userfaultfd", SYS_userfaultfd},
    {"mount", SYS_mount},
    {"unshare", SYS_unshare},
    {"keyctl", SYS_keyctl},
    {"clone", SYS_clone}, /* of a process */
};

/* The keyholder dies of each, and another is started each time. */
static const struct forbidden keyholder_calls[] = {
    {"execve", SYS_execve},   {"ptrace", SYS_ptrace},
    {"socket", SYS_socket},   {"process_vm_readv", SYS_process_vm_readv},
    {"sendmsg", SYS_sendmsg}, {"memfd_create", SYS_memfd_create},
    {"clone", SYS_clone}, /* of a process */
};

static void send_call(pid_t pid, int call)
{
    const union sigval value = {.sival_int = call};
    assert_int_equal(sigqueue(pid, SIGUSR1, value), 0);
}

struct log_line {
    const struct test_daemon *daemon;
    char text[128];
};

static bool log_has(const void *context)
{
    const struct log_line *line = context;
    char *log = test_daemon_log(line->daemon);
    bool has = strstr(log, line->text) != NULL;
    free(log);
    return has;
}

/* Asks for a token; free() it. NULL if there is none now. */
static char *try_sign(const struct test_keyed_daemon *keyed)
{
    static const char *const arguments[] = {"sign",  "hs",     "--sub", "alice",
                                            "--aud", "orders", NULL};
    struct test_output output;
    test_keyed_daemon_signet(keyed, arguments, NULL, &output);
    char *token = output.exit_status == 0 ? strdup(output.out) : NULL;
    if (token != NULL) {
        token[strcspn(token, "\n")] = '\0';
    }
    test_output_free(&output);
    return token;
}

static bool signs(const void *context)
{
    char *token = try_sign(context);
    free(token);
    return token != NULL;
}

static void must_be_good(const struct test_keyed_daemon *keyed, const char *token)
{
    const char *const arguments[] = {"verify", token, "--aud", "orders", NULL};
    free(test_keyed_daemon_run(keyed, arguments, NULL));
}

static void test_front__lives_on_without_the_call(void **state)
{
    skip_if_sanitized();
    const struct test_keyed_daemon *keyed = *state;
    for (size_t i = 0; i < sizeof(forbidden_calls) / sizeof(forbidden_calls[0]); i++) {
        struct log_line line = {.daemon = &keyed->daemon};
        (void)snprintf(line.text, sizeof(line.text), "system call %d gave error %d\n",
                       forbidden_calls[i].call, EPERM);
        send_call(keyed->daemon.pid, forbidden_calls[i].call);
        await(log_has, &line, forbidden_calls[i].name);
    }
    await(signs, keyed, "a token");
    assert_int_equal(kill(keyed->daemon.pid, 0), 0);
}

/* The signal that ended a process of which nobody has collected the end; -1: it was none. */
static int signal_of_zombie(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    char *text = test_read_file(path, NULL);
    assert_non_null(text);
    const char *exit_code = strrchr(text, ' '); /* the last of 52 fields */
    assert_non_null(exit_code);
    int status = exit_code != NULL ? (int)strtol(exit_code, NULL, 10) : 0;
    free(text);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* The launcher is stopped meanwhile, so that the end stays to be seen. */
static void must_die_of(const struct test_keyed_daemon *keyed, const struct forbidden *forbidden)
{
    pid_t keyholder = test_process_await_keyholder(keyed->daemon.pid, 0);
    pid_t launcher = test_process_parent(keyholder);
    int end = test_process_open(keyholder);
    assert_true(launcher > 1 && launcher != keyed->daemon.pid);
    assert_int_equal(kill(launcher, SIGSTOP), 0);
    send_call(keyholder, forbidden->call);
    test_process_await_end(end);
    /* Others are told that it ended, not how. */
    int number = geteuid() == 0 ? signal_of_zombie(keyholder) : SIGSYS;
    assert_int_equal(kill(launcher, SIGCONT), 0);
    if (number != SIGSYS) {
        fail_msg("%s: the keyholder ended by signal %d and not by SIGSYS", forbidden->name, number);
    }
    (void)test_process_await_keyholder(keyed->daemon.pid, keyholder);
}

static void test_keyholder__dies_of_the_call_and_another_serves(void **state)
{
    skip_if_sanitized();
    const struct test_keyed_daemon *keyed = *state;
    char *before = try_sign(keyed);
    assert_non_null(before);
    for (size_t i = 0; i < sizeof(keyholder_calls) / sizeof(keyholder_calls[0]); i++) {
        must_die_of(keyed, &keyholder_calls[i]);
        await(signs, keyed, "a token");
        must_be_good(keyed, before);
    }
    assert_int_equal(kill(keyed->daemon.pid, 0), 0);
    free(before);
}

/* ---- What the kernel says of the keyholder ---- */

static void must_have_field(pid_t pid, const char *name, const char *value)
{
    char text[256] = "";
    assert_true(test_process_field(pid, name, text, sizeof(text)));
    if (strcmp(text, value) != 0) {
        fail_msg("%s is %s and not %s", name, text, value);
    }
}

static void test_keyholder__has_no_rights(void **state)
{
    const struct test_keyed_daemon *keyed = *state;
    static const char none[] = "0000000000000000";
    pid_t keyholder = test_process_await_keyholder(keyed->daemon.pid, 0);
    await(signs, keyed, "a token"); /* which a keyholder gives only after it has confined itself */
    must_have_field(keyholder, "CapInh", none);
    must_have_field(keyholder, "CapPrm", none);
    must_have_field(keyholder, "CapEff", none);
    must_have_field(keyholder, "CapAmb", none);
    must_have_field(keyholder, "NoNewPrivs", "1");
    if (!SG_SANITIZED) {
        must_have_field(keyholder, "Seccomp", "2");
        must_have_field(keyed->daemon.pid, "Seccomp", "2");
    }
}

/* A socket of the daemon's, or a part of the keystore; the first three are the test's. */
static void check_descriptor(const struct test_keyed_daemon *keyed, const char *name,
                             const char *target)
{
    size_t len = strlen(keyed->state_dir);
    bool is_standard = strtol(name, NULL, 10) <= STDERR_FILENO;
    bool is_keystore =
        strncmp(target, keyed->state_dir, len) == 0 &&
        (strcmp(target + len, "/keys") == 0 || strcmp(target + len, "/keys/lock") == 0);
    if (!is_standard && !is_keystore && strncmp(target, "socket:[", strlen("socket:[")) != 0) {
        fail_msg("the keyholder has a descriptor %s of %s", name, target);
    }
}

static void test_keyholder__has_its_descriptors_only(void **state)
{
    const struct test_keyed_daemon *keyed = *state;
    char path[64];
    pid_t keyholder = test_process_await_keyholder(keyed->daemon.pid, 0);
    await(signs, keyed, "a token");
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)keyholder);
    DIR *list = opendir(path);
    if (list == NULL && errno == EACCES && geteuid() != 0) {
        print_message("SKIPPED: the keyholder is undumpable: only root sees its descriptors\n");
        skip();
    }
    if (list == NULL) {
        fail_msg("cannot list %s: %s", path, strerror(errno));
        return;
    }
    size_t num = 0;
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        char target[512] = "";
        if (entry->d_name[0] != '.') {
            assert_true(readlinkat(dirfd(list), entry->d_name, target, sizeof(target) - 1) > 0);
            check_descriptor(keyed, entry->d_name, target);
            num++;
        }
    }
    (void)closedir(list);
    assert_true(num > 3);
}

/* ---- A daemon of an ordinary user ---- */

struct ordinary {
    struct test_daemon daemon;
    const struct passwd *user; /* entry; NULL: whoever runs the tests */
    struct passwd entry;
    char home[PATH_MAX]; /* where the test was */
    struct rlimit core;
};

/* In the daemon's directory, with no limit on cores: what it leaves would be there. */
static void ordinary_prepare_for_cores(struct ordinary *ordinary)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_CORE, &ordinary->core), 0);
    limit = ordinary->core;
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_CORE, &limit), 0);
    assert_non_null(getcwd(ordinary->home, sizeof(ordinary->home)));
    assert_int_equal(chdir(ordinary->daemon.dir), 0);
}

/* In a child: no cmocka. */
static bool become_user(const struct passwd *user)
{
    return user == NULL ||
           (setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0);
}

static void program_path(const char *name, char *out, size_t out_cap)
{
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(out, out_cap, "%s/%s", bin_dir != NULL ? bin_dir : SG_BIN_DIR, name);
}

/* The programs may lie where only root may look. */
static bool user_may_run(const struct passwd *user)
{
    char program[512];
    int status = 0;
    program_path("signet-keyholder", program, sizeof(program));
    pid_t child = fork();
    if (child == 0) {
        _exit(become_user(user) && access(program, X_OK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static void skip_unless_it_runs(const struct ordinary *ordinary)
{
    if (ordinary->daemon.pid == 0) {
        print_message("SKIPPED: user nobody may not run the programs in the build directory\n");
        skip();
    }
}

static int ordinary_setup(void **state)
{
    struct ordinary *ordinary = calloc(1, sizeof(*ordinary));
    assert_non_null(ordinary);
    if (geteuid() == 0) {
        const struct passwd *entry = getpwnam("nobody");
        assert_non_null(entry);
        ordinary->entry = *entry;
        ordinary->user = &ordinary->entry;
    }
    test_daemon_prepare(&ordinary->daemon);
    const char *arguments[] = {"--dev", NULL, NULL, NULL};
    if (ordinary->user != NULL) {
        const struct passwd *user = ordinary->user;
        assert_int_equal(chown(ordinary->daemon.dir, user->pw_uid, user->pw_gid), 0);
        assert_int_equal(chown(ordinary->daemon.runtime_dir, user->pw_uid, user->pw_gid), 0);
        arguments[1] = "--user";
        arguments[2] = "nobody";
    }
    ordinary_prepare_for_cores(ordinary);
    if (user_may_run(ordinary->user)) {
        test_daemon_restart(&ordinary->daemon, arguments);
    }
    *state = ordinary;
    return 0;
}

static int ordinary_teardown(void **state)
{
    struct ordinary *ordinary = *state;
    assert_int_equal(chdir(ordinary->home), 0);
    assert_int_equal(setrlimit(RLIMIT_CORE, &ordinary->core), 0);
    test_daemon_stop(&ordinary->daemon);
    free(ordinary);
    return 0;
}

/* ---- Other processes of the same user ---- */

/* The ways in. Each returns 0 if it led in, else errno. */
static int reach_attach(pid_t pid)
{
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) != 0) {
        return errno;
    }
    (void)waitpid(pid, NULL, __WALL);
    (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}

static int reach_seize(pid_t pid)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) {
        return errno;
    }
    /* Seized and stopped, so that it can be let go again. */
    (void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
    (void)waitpid(pid, NULL, __WALL);
    (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}

/* Any address will do: who may not look is told so before the address is looked at. */
static int reach_read_memory(pid_t pid)
{
    char byte = 0;
    const struct iovec here = {.iov_base = &byte, .iov_len = 1};
    const struct iovec there = {.iov_base = (void *)(uintptr_t)&forbidden_calls, .iov_len = 1};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    return got == 1 || errno == EFAULT ? 0 : errno;
}

static int reach_open(pid_t pid, const char *name, int flags)
{
    char path[64];
    char byte = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    /* Some are refused only when they are read. */
    int number = strcmp(name, "mem") != 0 && (flags & O_DIRECTORY) == 0 && read(fd, &byte, 1) < 0
                     ? errno
                     : 0;
    (void)close(fd);
    return number;
}

static int reach_mem(pid_t pid)
{
    return reach_open(pid, "mem", O_RDONLY);
}

static int reach_mem_to_write(pid_t pid)
{
    return reach_open(pid, "mem", O_RDWR);
}

static int reach_environ(pid_t pid)
{
    return reach_open(pid, "environ", O_RDONLY);
}

static int reach_maps(pid_t pid)
{
    return reach_open(pid, "maps", O_RDONLY);
}

static int reach_fd(pid_t pid)
{
    return reach_open(pid, "fd", O_RDONLY | O_DIRECTORY);
}

static int reach_getfd(pid_t pid)
{
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int fd = process >= 0 ? (int)syscall(SYS_pidfd_getfd, process, 0, 0) : -1;
    return fd >= 0 ? 0 : errno;
}

static const struct {
    const char *name;
    int (*reach)(pid_t pid);
} ways_in[] = {
    {"PTRACE_ATTACH", reach_attach},
    {"PTRACE_SEIZE", reach_seize},
    {"process_vm_readv", reach_read_memory},
    {"/proc/PID/mem", reach_mem},
    {"/proc/PID/mem to write", reach_mem_to_write},
    {"/proc/PID/environ", reach_environ},
    {"/proc/PID/maps", reach_maps},
    {"/proc/PID/fd", reach_fd},
    {"pidfd_getfd", reach_getfd},
};
#define NUM_WAYS_IN (sizeof(ways_in) / sizeof(ways_in[0]))

/* What each way gave, in a process of that user. */
static void reach_as(const struct passwd *user, pid_t pid, int numbers[NUM_WAYS_IN])
{
    int ends[2];
    int status = 0;
    const ssize_t len = (ssize_t)(NUM_WAYS_IN * sizeof(numbers[0]));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(PATIENCE_S);
        bool became = become_user(user);
        for (size_t i = 0; became && i < NUM_WAYS_IN; i++) {
            numbers[i] = ways_in[i].reach(pid);
        }
        _exit(became && write(ends[1], numbers, (size_t)len) == len ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    assert_true(child > 0);
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], numbers, (size_t)len), len);
    (void)close(ends[0]);
}

static void must_be_out_of_reach(const struct passwd *user, pid_t pid, const char *whose)
{
    int numbers[NUM_WAYS_IN] = {0};
    reach_as(user, pid, numbers);
    for (size_t i = 0; i < NUM_WAYS_IN; i++) {
        if (numbers[i] != EPERM && numbers[i] != EACCES) {
            fail_msg("%s: %s gave error %d", whose, ways_in[i].name, numbers[i]);
        }
    }
}

static void test_memory__is_out_of_reach_of_the_same_user(void **state)
{
    const struct ordinary *ordinary = *state;
    skip_unless_it_runs(ordinary);
    pid_t keyholder = test_process_await_keyholder(ordinary->daemon.pid, 0);
    if (ordinary->user != NULL) {
        assert_true(
            test_process_has_ids(keyholder, ordinary->user->pw_uid, ordinary->user->pw_gid));
    }
    must_be_out_of_reach(ordinary->user, keyholder, "the keyholder");
    must_be_out_of_reach(ordinary->user, ordinary->daemon.pid, "the front");
    must_be_out_of_reach(ordinary->user, test_process_parent(keyholder), "the launcher");
}

/* That the ways lead into other processes of the user; where they do not, the test above says little. */
static void test_memory__of_other_processes_is_in_reach(void **state)
{
    const struct ordinary *ordinary = *state;
    int numbers[NUM_WAYS_IN] = {0};
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        if (become_user(ordinary->user)) {
            /* Becoming another user takes it away; a new program would give it back. */
            (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
            (void)!write(ends[1], "", 1);
            (void)pause();
        }
        _exit(EXIT_FAILURE);
    }
    assert_true(child > 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    reach_as(ordinary->user, child, numbers);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(ends[0]);
    (void)close(ends[1]);
    for (size_t i = 0; i < NUM_WAYS_IN; i++) {
        if (numbers[i] == EPERM || numbers[i] == EACCES) {
            print_message("SKIPPED: %s leads nowhere on this machine (Yama?)\n", ways_in[i].name);
            skip();
        }
        assert_int_equal(numbers[i], 0);
    }
}

/* ---- The same, while the keyholder starts ---- */

#define HUNT_ROUNDS       5
#define HUNT_LOOSE_ROUNDS 30
#define HUNT_LOOSE_S      8 /* the daemon waits longer before each further keyholder */
#define HUNT_HOLDS        16

/* What the test and the hunter, a process of the daemon's user, have in common. */
struct hunt {
    pid_t launcher; /* whose next child it hunts for */
    pid_t last;     /* the child that was there before */
    atomic_bool is_ready, is_over;
    size_t num_refused, num_opened, num_seized, num_read;
};

/* What was opened of one process at about the same time; -1: was not. */
struct hunt_hold {
    int mem, maps;
};

/* Those that were opened last. */
struct hunt_holds {
    struct hunt_hold kept[HUNT_HOLDS];
    size_t num;
};

static void hunt_close(struct hunt_hold *hold)
{
    (void)close(hold->mem);
    (void)close(hold->maps);
}

static int hunt_open(struct hunt *hunt, pid_t pid, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    hunt->num_opened += fd >= 0;
    hunt->num_refused += fd < 0 && (errno == EACCES || errno == EPERM);
    return fd;
}

/* False if there is no such process any more. */
static bool hunt_try(struct hunt *hunt, pid_t pid, struct hunt_holds *holds)
{
    struct hunt_hold hold = {hunt_open(hunt, pid, "mem"), hunt_open(hunt, pid, "maps")};
    /* Once is enough: one that is stopped again and again does not get on. */
    int number = hunt->num_seized == 0 ? reach_seize(pid) : EPERM;
    hunt->num_seized += number == 0;
    hunt->num_refused += number == EPERM;
    if (hold.mem >= 0 || hold.maps >= 0) {
        struct hunt_hold *kept = &holds->kept[holds->num % HUNT_HOLDS];
        if (holds->num >= HUNT_HOLDS) {
            hunt_close(kept);
        }
        *kept = hold;
        holds->num++;
    }
    return number != ESRCH;
}

/* Whether memory can be read through it. There is nothing to read of the launcher's copy, which ended when the
 * program took its place. */
static bool hunt_reads(const struct hunt_hold *hold)
{
    char line[32] = "";
    char byte = 0;
    bool has_address = read(hold->maps, line, sizeof(line) - 1) > 0;
    off_t address = (off_t)strtoul(line, NULL, 16);
    ssize_t got = pread(hold->mem, &byte, 1, address);
    /* At address 0 there is nothing; the kernel says so of memory that lives, and says 0 otherwise. */
    return has_address || got == 1 || (got < 0 && errno == EIO);
}

/* 0: none yet. */
static pid_t hunt_find(const struct hunt *hunt, int children)
{
    char text[32] = "";
    pid_t found = 0;
    if (children >= 0) {
        found = pread(children, text, sizeof(text) - 1, 0) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
        return found != hunt->last ? found : 0;
    }
    DIR *dir = opendir("/proc"); /* a kernel without such lists */
    for (const struct dirent *entry = dir != NULL ? readdir(dir) : NULL;
         entry != NULL && found == 0; entry = readdir(dir)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        found =
            pid > 1 && pid != hunt->last && test_process_parent(pid) == hunt->launcher ? pid : 0;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return found;
}

/* In a child: no cmocka. */
static void hunt_run(struct hunt *hunt)
{
    struct hunt_holds holds = {.num = 0};
    char path[64];
    pid_t pid = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)hunt->launcher,
                   (int)hunt->launcher);
    int children = open(path, O_RDONLY | O_CLOEXEC);
    hunt->is_ready = true;
    while (!hunt->is_over) {
        pid = pid != 0 ? pid : hunt_find(hunt, children);
        if (pid != 0 && !hunt_try(hunt, pid, &holds)) {
            pid = 0;
        }
    }
    for (size_t i = 0; i < HUNT_HOLDS && i < holds.num; i++) {
        hunt->num_read += hunt_reads(&holds.kept[i]);
    }
}

static bool hunt_is_ready(const void *context)
{
    const struct hunt *hunt = context;
    return hunt->is_ready;
}

/* What `signet status --json` says of the keyholder; free() it. */
static char *hunt_status(const struct ordinary *ordinary)
{
    char signet[512];
    char uid[32];
    char address[160];
    struct test_output output;
    program_path("signet", signet, sizeof(signet));
    (void)snprintf(address, sizeof(address), "ipc://%s/admin.sock", ordinary->daemon.runtime_dir);
    (void)snprintf(uid, sizeof(uid), "%u",
                   (unsigned)(ordinary->user != NULL ? ordinary->user->pw_uid : geteuid()));
    const char *const argv[] = {signet,  "status",    "--json", "--address",
                                address, "--timeout", "20s",    NULL};
    assert_int_equal(setenv("SIGNET_SERVER_UID", uid, 1), 0);
    test_run(argv, NULL, PATIENCE_S * 1000, &output);
    assert_int_equal(unsetenv("SIGNET_SERVER_UID"), 0);
    const char *keyholder = strstr(output.out, "\"keyholder\":");
    if (output.exit_status != 0 || keyholder == NULL) {
        fail_msg("signet status: %d\n%s%s", output.exit_status, output.out, output.err);
    }
    char *text = keyholder != NULL ? strdup(keyholder) : NULL;
    assert_non_null(text);
    test_output_free(&output);
    return text;
}

static bool hunt_lists(const struct ordinary *ordinary, const char *list, const char *protection)
{
    char *text = hunt_status(ordinary);
    char *start = strstr(text, list);
    assert_non_null(start);
    start[strcspn(start, "]")] = '\0';
    bool lists = strstr(start, protection) != NULL;
    free(text);
    return lists;
}

struct hunt_other {
    const struct ordinary *ordinary;
    pid_t last;
};

/* A keyholder that answers has confined itself. */
static bool hunt_other_is_up(const void *context)
{
    static const char pid[] = "\"pid\":";
    const struct hunt_other *other = context;
    char *text = hunt_status(other->ordinary);
    const char *number = strstr(text, pid);
    long found = number != NULL ? strtol(number + strlen(pid), NULL, 10) : 0;
    free(text);
    return found != 0 && found != other->last;
}

/* The hunter waits for the next keyholder, the last one is killed, and the next one comes. */
static void hunt_once(const struct ordinary *ordinary, struct hunt *hunt)
{
    int status = 0;
    pid_t last = test_process_await_keyholder(ordinary->daemon.pid, 0);
    const struct hunt_other other = {.ordinary = ordinary, .last = last};
    *hunt = (struct hunt){.launcher = test_process_parent(last), .last = last};
    int end = test_process_open(last);
    pid_t hunter = fork();
    if (hunter == 0) {
        (void)alarm(PATIENCE_S);
        bool became = become_user(ordinary->user) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
        if (became) {
            hunt_run(hunt);
        }
        _exit(became ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    assert_true(hunter > 0);
    await(hunt_is_ready, hunt, "a hunter");
    assert_int_equal(kill(last, SIGKILL), 0);
    test_process_await_end(end);
    await(hunt_other_is_up, &other, "another keyholder");
    hunt->is_over = true;
    assert_int_equal(waitpid(hunter, &status, 0), hunter);
    assert_int_equal(status, 0);
}

static void hunt_must_fail(const struct ordinary *ordinary, struct hunt *hunt)
{
    assert_true(hunt_lists(ordinary, "\"protections\":", "\"undumpable\""));
    for (size_t i = 0; i < HUNT_ROUNDS; i++) {
        hunt_once(ordinary, hunt);
        if (hunt->num_read != 0 || hunt->num_seized != 0) {
            fail_msg("a keyholder that started was open to others: %zu of %zu descriptors led into "
                     "its memory, attached to it %zu times",
                     hunt->num_read, hunt->num_opened, hunt->num_seized);
        }
        assert_true(hunt->num_refused > 0); /* it was there, and tried */
    }
}

/* Of programs that everybody may read, or the hunt that failed says little. */
static void hunt_must_succeed(const struct ordinary *ordinary, struct hunt *hunt)
{
    time_t deadline = now_s() + HUNT_LOOSE_S;
    bool found = false;
    assert_true(hunt_lists(ordinary, "\"missing\":", "\"undumpable\""));
    for (size_t i = 0; i < HUNT_LOOSE_ROUNDS && !found && now_s() < deadline; i++) {
        hunt_once(ordinary, hunt);
        found = hunt->num_read != 0;
    }
    if (!found) {
        print_message(
            "NOTE: not even a keyholder that can be read was caught while it started, so that "
            "the hunt that failed is no proof\n");
    }
}

/* False if it cannot be read. */
static bool hunt_copy_program(const char *name, const char *dir)
{
    char path[512];
    size_t len = 0;
    program_path(name, path, sizeof(path));
    char *program = test_read_file(path, &len);
    if (program == NULL) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    test_write_file(path, program, len);
    free(program);
    assert_int_equal(chmod(path, 0755), 0);
    return true;
}

/* Another daemon, whose programs are copies that everybody may read. NULL if there can be none. */
static struct ordinary *hunt_start_loose(char *dir, size_t dir_cap)
{
    void *loose = NULL;
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    char *before = bin_dir != NULL ? strdup(bin_dir) : NULL;
    test_temp_dir(dir, dir_cap);
    assert_int_equal(chmod(dir, 0755), 0);
    if (hunt_copy_program("signetd", dir) && hunt_copy_program("signet-keyholder", dir)) {
        assert_int_equal(setenv("SIGNET_BIN_DIR", dir, 1), 0);
        assert_int_equal(ordinary_setup(&loose), 0);
        assert_int_equal(
            before != NULL ? setenv("SIGNET_BIN_DIR", before, 1) : unsetenv("SIGNET_BIN_DIR"), 0);
    }
    free(before);
    return loose;
}

static void hunt_loose(struct hunt *hunt)
{
    char dir[96];
    void *state = hunt_start_loose(dir, sizeof(dir));
    const struct ordinary *loose = state;
    if (loose != NULL && loose->daemon.pid != 0) {
        hunt_must_succeed(loose, hunt);
    } else {
        print_message(
            "NOTE: no copies of the programs can be made, or run, that everybody may read, so "
            "that the hunt that failed is no proof\n");
    }
    if (state != NULL) {
        (void)ordinary_teardown(&state);
    }
    test_remove_tree(dir);
}

static void skip_if_readable(const struct ordinary *ordinary)
{
    char program[512];
    program_path("signet-keyholder", program, sizeof(program));
    if (geteuid() != 0 && access(program, R_OK) == 0) {
        assert_true(hunt_lists(ordinary, "\"missing\":", "\"undumpable\""));
        print_message(
            "SKIPPED: %s can be read by the user who runs it, so that it is in reach until "
            "it forbids that, and says so; run the test as root\n",
            program);
        skip();
    }
}

/* Where limits on locked memory cannot be raised, a keyholder that root starts has a right to lock it, which a
 * hunter has not, and is out of its reach for that alone. The programs that this one starts from here on do
 * not get it. Nobody but root has it to give. */
static int hunt_setup(void **state)
{
    (void)prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
    return ordinary_setup(state);
}

static void test_memory__is_out_of_reach_while_it_starts(void **state)
{
    const struct ordinary *ordinary = *state;
    skip_unless_it_runs(ordinary);
    skip_if_readable(ordinary);
    struct hunt *hunt =
        mmap(NULL, sizeof(*hunt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(hunt != MAP_FAILED);
    hunt_must_fail(ordinary, hunt);
    hunt_loose(hunt);
    assert_int_equal(munmap(hunt, sizeof(*hunt)), 0);
}

/* ---- Cores ---- */

static size_t count_cores(const char *dir)
{
    size_t num = 0;
    DIR *list = opendir(dir);
    assert_non_null(list);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        num += strncmp(entry->d_name, "core", 4) == 0;
    }
    (void)closedir(list);
    return num;
}

/* Whether a process of that user, ended so in the daemon's directory, leaves a core in it. */
static bool leaves_core(const struct ordinary *ordinary)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (become_user(ordinary->user) && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0) {
            abort();
        }
        _exit(EXIT_FAILURE);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return WCOREDUMP(status) && count_cores(ordinary->daemon.dir) > 0;
}

static void test_cores__are_not_left(void **state)
{
    struct ordinary *ordinary = *state;
    skip_unless_it_runs(ordinary);
    pid_t keyholder = test_process_await_keyholder(ordinary->daemon.pid, 0);
    int end = test_process_open(keyholder);
    assert_int_equal(kill(keyholder, SIGABRT), 0);
    test_process_await_end(end);
    (void)test_process_await_keyholder(ordinary->daemon.pid, keyholder);
    int status = test_daemon_kill(&ordinary->daemon, SIGABRT);
    assert_true(WIFSIGNALED(status));
    assert_false(WCOREDUMP(status));
    assert_int_equal(count_cores(ordinary->daemon.dir), 0);
    if (!leaves_core(ordinary)) {
        print_message(
            "SKIPPED: this machine leaves no cores in the directory of the process, so that "
            "none is no proof\n");
        skip();
    }
}

#define FORBIDDEN_TEST(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, forbidden_setup, forbidden_teardown)
#define ORDINARY_TEST(test) cmocka_unit_test_setup_teardown(test, ordinary_setup, ordinary_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORBIDDEN_TEST(test_front__lives_on_without_the_call),
        FORBIDDEN_TEST(test_keyholder__dies_of_the_call_and_another_serves),
        FORBIDDEN_TEST(test_keyholder__has_no_rights),
        FORBIDDEN_TEST(test_keyholder__has_its_descriptors_only),
        ORDINARY_TEST(test_memory__is_out_of_reach_of_the_same_user),
        ORDINARY_TEST(test_memory__of_other_processes_is_in_reach),
        ORDINARY_TEST(test_cores__are_not_left),
        /* The last, for what its setup takes away. */
        cmocka_unit_test_setup_teardown(test_memory__is_out_of_reach_while_it_starts, hunt_setup,
                                        ordinary_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
