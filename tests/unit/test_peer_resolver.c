/* SPDX-License-Identifier: Apache-2.0
 *
 * The process that looks at the programs of others: what it finds of peers of other users and in other
 * namespaces, what it gives away, what it can do, and what becomes of lookups when it dies, stops or is asked
 * nonsense. Needs root for most.
 */
#include "peer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/digest/digest.h"
#include "tests/support/files.h"

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
/* For whatever has to come; it fails the test. */
#define PATIENCE_MS 60000

#define USER_OF_A_SERVICE 54321u

static const struct sg_peer_resolver_options as_usual = {.quick_ms = PATIENCE_MS,
                                                         .slow_ms = PATIENCE_MS};
static const struct peer_program_options of_another_user = {.uid = USER_OF_A_SERVICE};

/* The number after a name in /proc/PID/status. */
static unsigned long status_number(pid_t pid, const char *name, int base)
{
    char path[64];
    size_t len = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    char *text = test_read_file(path, &len);
    assert_non_null(text);
    const char *line = strstr(text, name);
    assert_non_null(line);
    unsigned long number = strtoul(line + strlen(name), NULL, base);
    free(text);
    return number;
}

static void must_find(const struct peer_fixture *fixture,
                      const struct peer_program_options *options, const char *path)
{
    struct peer_program program;
    peer_program_start(fixture, options, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    const struct sg_peer_facts *facts =
        peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_GROUPS, NULL);
    assert_string_equal(facts->exe, path);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* False, and said, if the kernel does not permit to make such a program. */
static bool must_not_find(const struct peer_fixture *fixture,
                          const struct peer_program_options *options, const char *problem)
{
    struct peer_program program;
    if (!peer_program_try(fixture, options, &program)) {
        print_message("SKIPPED: the kernel does not permit this: %s\n", strerror(errno));
        return false;
    }
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, problem);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
    return true;
}

/* ---- Other users ---- */

static void test_resolver__sees_the_programs_of_other_users(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    size_t len = 0;
    uint8_t hash[SG_SHA256_LEN];
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    char *bytes = test_read_file(fixture->program, &len);
    assert_int_equal(sg_sha256(bytes, len, hash), SIGNET_OK);
    free(bytes);
    peer_program_start(fixture, &of_another_user, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    const struct sg_peer_facts *facts =
        peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_GROUPS, NULL);
    assert_string_equal(facts->exe, fixture->program);
    assert_memory_equal(facts->exe_sha256, hash, sizeof(hash));
    assert_int_equal(facts->num_groups, 1);
    assert_int_equal(facts->groups[0], USER_OF_A_SERVICE);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);

    /* One that only its user can run, and nobody else can read. */
    assert_int_equal(chown(fixture->program, USER_OF_A_SERVICE, USER_OF_A_SERVICE), 0);
    assert_int_equal(chmod(fixture->program, 0100), 0);
    assert_int_equal(chown(fixture->dir, USER_OF_A_SERVICE, USER_OF_A_SERVICE), 0);
    assert_int_equal(chmod(fixture->dir, 0700), 0);
    must_find(fixture, &of_another_user, fixture->program);
}

static void look_without_rights(const struct peer_fixture *fixture,
                                const struct peer_program *program)
{
    struct sg_peer_identity *identity = peer_identity(fixture, program);
    const struct sg_peer_facts *facts = sg_peer_facts_get(identity, SG_PEER_EXE | SG_PEER_GROUPS);
    bool good = facts->known == SG_PEER_GROUPS && facts->failed == SG_PEER_EXE &&
                strstr(facts->problem, "start signetd as root") != NULL;
    _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* The front by itself, which has no such right. */
static void test_front__does_not_see_the_programs_of_other_users(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    int status = 0;
    peer_skip_unless_root();
    peer_program_start(fixture, &of_another_user, &program);
    pid_t front = fork();
    if (front == 0) {
        if (setgroups(0, NULL) != 0 || setgid(PEER_NOBODY) != 0 || setuid(PEER_NOBODY) != 0) {
            _exit(EXIT_FAILURE);
        }
        look_without_rights(fixture, &program);
    }
    assert_int_equal(waitpid(front, &status, 0), front);
    assert_int_equal(status, 0);
    peer_program_stop(&program);
}

/* A peer that changes its user after it connected is not known by the facts of the first. */
static void test_resolver__refuses_another_user_than_was_asked_for(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    peer_program_start(fixture, &of_another_user, &program);
    program.uid = PEER_NOBODY;
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_GROUPS | SG_PEER_UNIT,
                      "changed its user");
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* ---- A reused pid ---- */

/* Processes' starts are counted in ticks. */
static void wait_for_the_next_tick(void)
{
    uint64_t tick_ms = 1000u / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t from_ms = sg_peer_boot_ms();
    while (sg_peer_boot_ms() < from_ms + 2 * tick_ms) {
        (void)sched_yield();
    }
}

static void test_pid__that_was_reused_is_not_the_peers(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program first;
    struct peer_program second;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    peer_program_start(fixture, &of_another_user, &first);
    const struct peer_program_options same_pid = {.uid = USER_OF_A_SERVICE, .want_pid = first.pid};
    uint64_t accepted_ms = sg_peer_boot_ms();
    struct sg_peer_identity *identity = peer_identity(fixture, &first);
    wait_for_the_next_tick();
    peer_program_stop(&first);
    if (!peer_program_try(fixture, &same_pid, &second)) {
        print_message("SKIPPED: no process can be given a pid here: %s\n", strerror(errno));
        sg_peer_identity_free(identity);
        skip();
    }
    assert_int_equal(second.pid, first.pid);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_GROUPS | SG_PEER_UNIT,
                      "another process");
    sg_peer_identity_free(identity);

    /* Reused even before the connection was looked at, and after it was accepted. */
    const struct sg_peer peer = {.pid = second.pid, .uid = second.uid};
    assert_int_equal(sg_peer_identity_new(fixture->resolver, &peer, accepted_ms, &identity),
                     SIGNET_OK);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_GROUPS, "another process");
    sg_peer_identity_free(identity);
    identity = peer_identity(fixture, &second);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_GROUPS, NULL);
    sg_peer_identity_free(identity);
    peer_program_stop(&second);
}

/* ---- Namespaces ---- */

static bool cover_the_program(const struct peer_fixture *fixture)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(fixture->other, fixture->program, NULL, MS_BIND, NULL) == 0;
}

static bool cover_the_directory(const struct peer_fixture *fixture)
{
    int from = open(fixture->other, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (from < 0 || fstat(from, &info) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", fixture->dir, "tmpfs", 0, "mode=0755") != 0) {
        return false;
    }
    int to = open(fixture->program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    bool copied = to >= 0 && fchmod(to, 0755) == 0;
    char bytes[65536];
    ssize_t got = 0;
    while (copied && (got = read(from, bytes, sizeof(bytes))) > 0) {
        copied = write(to, bytes, (size_t)got) == got;
    }
    (void)close(to);
    return copied && got == 0;
}

static bool cover_something_else(const struct peer_fixture *fixture)
{
    (void)fixture;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/mnt", "tmpfs", 0, NULL) == 0;
}

static void test_mount_namespace__does_not_make_another_program_of_a_name(void **state)
{
    struct peer_fixture *fixture = *state;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    /* What is started is dir/program there, and cat needs no argument; sleep would end. */
    peer_copy_file("/bin/cat", fixture->other);
    const struct peer_program_options covered = {
        .namespaces = CLONE_NEWNS, .uid = USER_OF_A_SERVICE, .prepare = cover_the_program};
    const struct peer_program_options covered_dir = {
        .namespaces = CLONE_NEWNS, .uid = USER_OF_A_SERVICE, .prepare = cover_the_directory};
    const struct peer_program_options elsewhere = {
        .namespaces = CLONE_NEWNS, .uid = USER_OF_A_SERVICE, .prepare = cover_something_else};
    (void)must_not_find(fixture, &covered_dir, "another mount namespace");
    /* A bind mount shows another file of the same file system under the name; the kernel may name it by
     * where it is mounted. */
    (void)must_not_find(fixture, &covered, "another mount namespace");
    /* As services with a private /tmp have it. */
    must_find(fixture, &elsewhere, fixture->program);
}

static void test_pid_namespace__hides_nobody_below_the_daemons(void **state)
{
    struct peer_fixture *fixture = *state;
    const struct peer_program_options inside = {.namespaces = CLONE_NEWPID,
                                                .uid = USER_OF_A_SERVICE};
    struct peer_program program;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    if (!peer_program_try(fixture, &inside, &program)) {
        print_message("SKIPPED: no pid namespaces here: %s\n", strerror(errno));
        skip();
    }
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    assert_string_equal(peer_expect(identity, SG_PEER_EXE, NULL)->exe, fixture->program);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* The pid that the kernel gives of a peer in a pid namespace that is not below one's own. */
static pid_t pid_of_an_outer_peer(void)
{
    int ends[2];
    int status = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct ucred peer;
        socklen_t len = sizeof(peer);
        if (unshare(CLONE_NEWPID) != 0) {
            _exit(2);
        }
        pid_t inner = fork();
        if (inner == 0) {
            bool asked = getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;
            _exit(asked && peer.pid == 0 ? 0 : 1);
        }
        if (inner < 0 || waitpid(inner, &status, 0) != inner) {
            _exit(2);
        }
        _exit(WEXITSTATUS(status));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(ends[0]);
    (void)close(ends[1]);
    if (status != 0 && WEXITSTATUS(status) == 2) {
        print_message("SKIPPED: no pid namespaces here\n");
        skip();
    }
    assert_int_equal(status, 0);
    return 0;
}

static void test_pid_namespace__beside_the_daemons_leaves_the_uid(void **state)
{
    struct peer_fixture *fixture = *state;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    const struct peer_program outside = {.pid = pid_of_an_outer_peer(), .uid = 0};
    struct sg_peer_identity *identity = peer_identity(fixture, &outside);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_GROUPS | SG_PEER_UNIT, "pid namespace");
    assert_string_equal(peer_expect(identity, SG_PEER_USER, NULL)->user, "root");
    sg_peer_identity_free(identity);
}

static bool become_somebody_inside(const struct peer_fixture *fixture)
{
    (void)fixture;
    /* Whose rights changed may not write to its own /proc until it is dumpable again. */
    return setresgid(USER_OF_A_SERVICE, USER_OF_A_SERVICE, USER_OF_A_SERVICE) == 0 &&
           setresuid(USER_OF_A_SERVICE, USER_OF_A_SERVICE, USER_OF_A_SERVICE) == 0 &&
           unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static bool write_own(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return written;
}

/* Has a directory and a name of its own for the program: what a user may do without any right. */
static bool mask_inside(const struct peer_fixture *fixture)
{
    char map[64];
    (void)snprintf(map, sizeof(map), "0 %u 1", USER_OF_A_SERVICE);
    return become_somebody_inside(fixture) && write_own("/proc/self/uid_map", map) &&
           write_own("/proc/self/setgroups", "deny") && write_own("/proc/self/gid_map", map) &&
           cover_the_directory(fixture);
}

static void test_user_namespace__makes_no_other_uid_and_no_other_program(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    peer_copy_file("/bin/cat", fixture->other);
    const struct peer_program_options inside = {.prepare = become_somebody_inside};
    if (!peer_program_try(fixture, &inside, &program)) {
        print_message("SKIPPED: no user namespaces here: %s\n", strerror(errno));
        skip();
    }
    program.uid = USER_OF_A_SERVICE; /* as the daemon sees it */
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    assert_string_equal(peer_expect(identity, SG_PEER_EXE | SG_PEER_GROUPS, NULL)->exe,
                        fixture->program);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);

    /* Root in there, with another file under the same name. */
    const struct peer_program_options masked = {.prepare = mask_inside};
    peer_program_start(fixture, &masked, &program);
    program.uid = USER_OF_A_SERVICE;
    identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, "another mount namespace");
    sg_peer_identity_free(identity);
    program.uid = 0; /* as it would like to be seen */
    identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_GROUPS, "changed its user");
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* ---- What it may do ---- */

static void test_resolver__has_two_rights_and_no_more(void **state)
{
    struct peer_fixture *fixture = *state;
    const unsigned long rights = 1ul << CAP_SYS_PTRACE | 1ul << CAP_DAC_READ_SEARCH;
    peer_skip_unless_root();
    peer_launch(fixture, &as_usual);
    /* It has answered, so it is where it is to be. */
    must_find(fixture, &of_another_user, fixture->program);
    pid_t pid = fixture->process.pid;
    assert_int_equal(status_number(pid, "\nCapPrm:", 16), rights);
    assert_int_equal(status_number(pid, "\nCapEff:", 16), rights);
    assert_int_equal(status_number(pid, "\nCapInh:", 16), 0);
    assert_int_equal(status_number(pid, "\nCapAmb:", 16), 0);
    assert_int_equal(status_number(pid, "\nCapBnd:", 16), 0);
    assert_int_equal(status_number(pid, "\nUid:", 10), PEER_NOBODY);
    assert_int_equal(status_number(pid, "\nNoNewPrivs:", 10), 1);
    if (SG_SANITIZED) {
        print_message("SKIPPED in part: builds with sanitizers have no system call filters\n");
        return;
    }
    assert_int_equal(status_number(pid, "\nSeccomp:", 10), 2);
    assert_int_equal(status_number(pid, "\nThreads:", 10), 1);
}

/* Where a service manager gives an ordinary user the right, the front keeps nothing of it. */
static void launch_with_ambient_rights(struct peer_fixture *fixture)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t rights = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
    struct __user_cap_data_struct data[2] = {
        {.effective = rights, .permitted = rights, .inheritable = rights}};
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setgroups(0, NULL) != 0 ||
        setgid(PEER_NOBODY) != 0 || setuid(PEER_NOBODY) != 0 ||
        syscall(SYS_capset, &header, data) != 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0) != 0 ||
        sg_peer_resolver_launch(PEER_NOBODY, PEER_NOBODY, &fixture->process) != SIGNET_OK ||
        fixture->process.quick_fd < 0 || syscall(SYS_capget, &header, data) != 0) {
        _exit(2);
    }
    bool kept = (data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective |
                 data[1].permitted | data[1].inheritable) != 0 ||
                prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_PTRACE, 0, 0) != 0;
    _exit(kept ? 1 : 0);
}

static void test_launch__leaves_an_ordinary_user_no_right(void **state)
{
    struct peer_fixture *fixture = *state;
    int status = 0;
    peer_skip_unless_root();
    pid_t front = fork();
    if (front == 0) {
        launch_with_ambient_rights(fixture);
    }
    assert_int_equal(waitpid(front, &status, 0), front);
    assert_int_equal(status, 0);
}

static void launch_as_nobody(struct peer_fixture *fixture)
{
    if (setgroups(0, NULL) != 0 || setgid(PEER_NOBODY) != 0 || setuid(PEER_NOBODY) != 0 ||
        sg_peer_resolver_launch(PEER_NOBODY, PEER_NOBODY, &fixture->process) != SIGNET_OK) {
        _exit(2);
    }
    _exit(fixture->process.quick_fd < 0 && fixture->process.pid == 0 ? 0 : 1);
}

static void test_launch__starts_nothing_without_the_right(void **state)
{
    struct peer_fixture *fixture = *state;
    int status = 0;
    peer_skip_unless_root();
    pid_t front = fork();
    if (front == 0) {
        launch_as_nobody(fixture);
    }
    assert_int_equal(waitpid(front, &status, 0), front);
    assert_int_equal(status, 0);
}

/* ---- A hostile front ---- */

static void send_raw(int fd, const void *bytes, size_t len)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&room, 1, PATIENCE_MS), 1);
    assert_int_equal(room.revents, POLLOUT);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static bool receive_raw(int fd, int timeout_ms, struct sg_peer_answer *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int num = poll(&ready, 1, timeout_ms);
    if (num == 0) {
        return false;
    }
    assert_int_equal(num, 1);
    assert_int_equal(recv(fd, out, sizeof(*out), MSG_TRUNC), sizeof(*out));
    return true;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void drain(int fd)
{
    struct sg_peer_answer answer;
    while (receive_raw(fd, 0, &answer)) {
        assert_in_range(answer.outcome, 1, SG_PEER_NUM_OUTCOMES - 1);
    }
}

static void test_hostile_front__gets_nothing_for_nonsense(void **state)
{
    struct peer_fixture *fixture = *state;
    peer_launch(fixture, &as_usual);
    uint8_t bytes[2 * sizeof(struct sg_peer_question)];
    uint32_t random = 2463534242u;
    const int fds[] = {fixture->process.quick_fd, fixture->process.slow_fd};
    for (unsigned round = 0; round < 20; round++) {
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            for (size_t i = 0; i < len; i++) {
                bytes[i] = (uint8_t)next_random(&random);
            }
            for (size_t i = 0; i < 2; i++) {
                send_raw(fds[i], bytes, len);
                drain(fds[i]);
            }
        }
    }
    must_find(fixture, &(struct peer_program_options){0}, fixture->program);
}

/* Well-formed questions that are not about what they should be. */
static void test_hostile_front__gets_no_answer_about_nobody(void **state)
{
    struct peer_fixture *fixture = *state;
    static const uint8_t zeros[sizeof(struct sg_peer_exe)];
    peer_launch(fixture, &as_usual);
    const int32_t pids[] = {0, -1, INT32_MIN, INT32_MAX, (int32_t)getpid(), 1};
    const uint32_t kinds[] = {0, SG_PEER_ASK_EXE, SG_PEER_ASK_SHA256, 3, UINT32_MAX};
    uint32_t number = 0;
    for (size_t i = 0; i < 6; i++) {
        for (size_t kind = 0; kind < 5; kind++) {
            struct sg_peer_answer answer;
            const struct sg_peer_question question = {.kind = kinds[kind],
                                                      .number = ++number,
                                                      .pid = pids[i],
                                                      .uid = geteuid(),
                                                      .started = i == 4 ? 0 : 1};
            send_raw(fixture->process.quick_fd, &question, sizeof(question));
            assert_true(receive_raw(fixture->process.quick_fd, PATIENCE_MS, &answer));
            assert_int_equal(answer.number, number);
            assert_int_not_equal(answer.outcome, SG_PEER_FOUND);
            assert_memory_equal(&answer.exe, zeros, sizeof(answer.exe));
            send_raw(fixture->process.slow_fd, &question, sizeof(question));
            assert_true(receive_raw(fixture->process.slow_fd, PATIENCE_MS, &answer));
            assert_int_not_equal(answer.outcome, SG_PEER_FOUND);
            assert_memory_equal(&answer.exe, zeros, sizeof(answer.exe));
        }
    }
}

/* Not a byte more or less is a question. */
static void test_hostile_front__is_answered_whole_questions_only(void **state)
{
    struct peer_fixture *fixture = *state;
    struct sg_peer_answer answer;
    uint8_t bytes[2 * sizeof(struct sg_peer_question)] = {0};
    struct sg_peer_question question = {
        .kind = SG_PEER_ASK_EXE, .number = 1, .pid = 1, .uid = 0, .started = 1};
    peer_launch(fixture, &as_usual);
    memcpy(bytes, &question, sizeof(question));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        if (len != sizeof(question)) {
            send_raw(fixture->process.quick_fd, bytes, len);
        }
    }
    question.number = 2;
    send_raw(fixture->process.quick_fd, &question, sizeof(question));
    assert_true(receive_raw(fixture->process.quick_fd, PATIENCE_MS, &answer));
    assert_int_equal(answer.number, 2);
}

static void test_hostile_front__that_never_reads_stops_nothing(void **state)
{
    struct peer_fixture *fixture = *state;
    struct sg_peer_answer answer;
    peer_launch(fixture, &as_usual);
    const struct sg_peer_question question = {
        .kind = SG_PEER_ASK_EXE, .number = 7, .pid = 1, .started = 1};
    for (unsigned i = 0; i < 5000; i++) {
        send_raw(fixture->process.quick_fd, &question, sizeof(question));
    }
    while (receive_raw(fixture->process.quick_fd, 0, &answer)) {
        assert_int_equal(answer.number, 7);
    }
    must_find(fixture, &(struct peer_program_options){0}, fixture->program);
}

/* ---- A lying resolver ---- */

struct false_resolver {
    int quick[2], slow[2]; /* the first of each is the front's */
};

static void false_resolver_make(struct peer_fixture *fixture, struct false_resolver *resolver)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, resolver->quick), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, resolver->slow), 0);
    const struct sg_peer_resolver_options options = {
        .process = {.quick_fd = resolver->quick[0], .slow_fd = resolver->slow[0]},
        .quick_ms = 1,
        .slow_ms = 1};
    sg_peer_resolver_free(fixture->resolver);
    assert_int_equal(sg_peer_resolver_new(&options, &fixture->resolver), SIGNET_OK);
}

static void false_resolver_close(struct false_resolver *resolver)
{
    for (size_t i = 0; i < 2; i++) {
        (void)close(resolver->quick[i]);
        (void)close(resolver->slow[i]);
    }
}

static const struct peer_program *myself(void)
{
    static struct peer_program self;
    self = (struct peer_program){.pid = getpid(), .uid = geteuid()};
    return &self;
}

static void must_not_believe(struct peer_fixture *fixture, const void *bytes, size_t len)
{
    struct false_resolver resolver;
    false_resolver_make(fixture, &resolver);
    send_raw(resolver.quick[1], bytes, len);
    struct sg_peer_identity *identity = peer_identity(fixture, myself());
    (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256, "does not answer");
    (void)peer_expect(identity, SG_PEER_GROUPS, NULL);
    sg_peer_identity_free(identity);
    false_resolver_close(&resolver);
}

static void test_front__believes_no_answer_that_is_none(void **state)
{
    struct peer_fixture *fixture = *state;
    struct sg_peer_answer answer = {
        .number = 1, .outcome = SG_PEER_FOUND, .exe = {.path_outcome = SG_PEER_FOUND}};
    memcpy(answer.exe.path, "/bin/cat", 9);
    must_not_believe(fixture, &answer, sizeof(answer) - 1);
    struct sg_peer_answer other = answer;
    other.number = 2; /* of another question */
    must_not_believe(fixture, &other, sizeof(other));
    other = answer;
    other.outcome = 0;
    must_not_believe(fixture, &other, sizeof(other));
    other.outcome = SG_PEER_NUM_OUTCOMES;
    must_not_believe(fixture, &other, sizeof(other));
    other = answer;
    other.exe.path_outcome = SG_PEER_NUM_OUTCOMES;
    must_not_believe(fixture, &other, sizeof(other));
    other = answer;
    memset(other.exe.path, 'a', sizeof(other.exe.path));
    must_not_believe(fixture, &other, sizeof(other));
}

/* One that owes an answer is asked nothing else, and nobody waits for it, until that has come. */
static void test_front__asks_nothing_while_an_answer_is_owed(void **state)
{
    struct peer_fixture *fixture = *state;
    struct false_resolver resolver;
    struct sg_peer_question question;
    false_resolver_make(fixture, &resolver);
    for (unsigned i = 0; i < 3; i++) {
        struct sg_peer_identity *identity = peer_identity(fixture, myself());
        (void)peer_expect(identity, SG_PEER_EXE, "does not answer");
        sg_peer_identity_free(identity);
    }
    assert_int_equal(recv(resolver.quick[1], &question, sizeof(question), 0), sizeof(question));
    assert_int_equal(recv(resolver.quick[1], &question, sizeof(question), MSG_DONTWAIT), -1);

    const struct sg_peer_answer late = {.number = question.number, .outcome = SG_PEER_GONE};
    send_raw(resolver.quick[1], &late, sizeof(late));
    struct sg_peer_identity *identity = peer_identity(fixture, myself());
    (void)peer_expect(identity, SG_PEER_EXE, "does not answer"); /* that was another's */
    sg_peer_identity_free(identity);
    assert_int_equal(recv(resolver.quick[1], &question, sizeof(question), 0), sizeof(question));
    assert_int_equal(question.number, late.number + 1);
    false_resolver_close(&resolver);
}

/* ---- Its end ---- */

static int saved_stderr = -1;

static void log_begin(const struct peer_fixture *fixture, char path[160])
{
    (void)snprintf(path, 160, "%s/log", fixture->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(fd >= 0 && saved_stderr >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
}

static void log_end(void)
{
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    (void)close(saved_stderr);
}

static unsigned log_count(const char *path, const char *words)
{
    size_t len = 0;
    unsigned num = 0;
    char *text = test_read_file(path, &len);
    assert_non_null(text);
    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words)) {
        num++;
    }
    free(text);
    return num;
}

static void must_fail_with_others_known(const struct peer_fixture *fixture, unsigned times)
{
    struct peer_program program;
    peer_program_start(fixture, &(struct peer_program_options){0}, &program);
    for (unsigned i = 0; i < times; i++) {
        struct sg_peer_identity *identity = peer_identity(fixture, &program);
        (void)peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256, "does not answer");
        (void)peer_expect(identity, SG_PEER_GROUPS, NULL);
        sg_peer_identity_free(identity);
    }
    peer_program_stop(&program);
}

static void test_resolver__that_was_killed_leaves_uids_and_groups(void **state)
{
    struct peer_fixture *fixture = *state;
    char path[160];
    peer_launch(fixture, &as_usual);
    must_find(fixture, &(struct peer_program_options){0}, fixture->program);
    assert_int_equal(kill(fixture->process.pid, SIGKILL), 0);
    log_begin(fixture, path);
    must_fail_with_others_known(fixture, 3);
    log_end();
    assert_int_equal(log_count(path, "has ended"), 1);
}

/* Whether the path of a program can be found now. */
static bool finds(const struct peer_fixture *fixture, unsigned fact)
{
    struct peer_program program;
    peer_program_start(fixture, &(struct peer_program_options){0}, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    bool found = (sg_peer_facts_get(identity, fact)->known & fact) != 0;
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
    return found;
}

static void must_find_in_the_end(const struct peer_fixture *fixture, unsigned fact)
{
    uint64_t until_ms = sg_peer_boot_ms() + PATIENCE_MS;
    while (!finds(fixture, fact)) {
        if (sg_peer_boot_ms() > until_ms) {
            fail_msg("it does not answer again");
        }
    }
}

static void test_resolver__that_was_stopped_hangs_nobody(void **state)
{
    struct peer_fixture *fixture = *state;
    char path[160];
    const struct sg_peer_resolver_options impatient = {.quick_ms = 20, .slow_ms = 20};
    peer_launch(fixture, &impatient);
    assert_int_equal(kill(fixture->process.pid, SIGSTOP), 0);
    log_begin(fixture, path);
    must_fail_with_others_known(fixture, 50);
    assert_int_equal(log_count(path, "does not answer"), 1);
    assert_int_equal(kill(fixture->process.pid, SIGCONT), 0);
    must_find_in_the_end(fixture, SG_PEER_EXE);
    log_end();
    assert_true(log_count(path, "answers again") >= 1);
    /* One that is stopped can be ended, too. */
    assert_int_equal(kill(fixture->process.pid, SIGSTOP), 0);
}

static void test_hash__that_takes_long_delays_nothing_else(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    const struct sg_peer_resolver_options impatient = {.quick_ms = PATIENCE_MS, .slow_ms = 1};
    const struct peer_program_options other = {.path = fixture->other};
    peer_launch(fixture, &impatient);
    assert_int_equal(truncate(fixture->program, (off_t)SG_PEER_MAX_HASHED), 0);
    peer_program_start(fixture, &(struct peer_program_options){0}, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    const struct sg_peer_facts *facts = sg_peer_facts_get(identity, SG_PEER_EXE_SHA256);
    assert_int_equal(facts->failed, SG_PEER_EXE_SHA256);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);

    peer_program_start(fixture, &other, &program);
    identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, NULL);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* The child that reads a program, while it does; 0: it has done so. */
static pid_t reading_child(pid_t resolver)
{
    char path[64];
    char text[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)resolver,
                   (long)resolver);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("SKIPPED: this kernel does not list children\n");
        skip();
    }
    ssize_t len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    return len > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* What ends the child, as its time does, leads to an answer, and to no silence. */
static void test_hash__whose_reader_ends_is_answered(void **state)
{
    struct peer_fixture *fixture = *state;
    struct peer_program program;
    struct sg_peer_answer answer = {0};
    struct sg_peer_question question = {.kind = SG_PEER_ASK_SHA256, .uid = geteuid()};
    peer_launch(fixture, &as_usual);
    assert_int_equal(truncate(fixture->program, (off_t)SG_PEER_MAX_HASHED), 0);
    peer_program_start(fixture, &(struct peer_program_options){0}, &program);
    question.pid = program.pid;
    assert_int_equal(sg_peer_proc_started("/proc", program.pid, &question.started), SG_PEER_FOUND);
    for (unsigned i = 0; i < 100 && answer.outcome != SG_PEER_WOULD_WAIT; i++) {
        question.number++;
        send_raw(fixture->process.slow_fd, &question, sizeof(question));
        bool answered = false;
        while (!answered) {
            pid_t child = reading_child(fixture->process.pid);
            if (child > 0) {
                (void)kill(child, SIGKILL);
            }
            answered = receive_raw(fixture->process.slow_fd, 1, &answer);
        }
        assert_int_equal(answer.number, question.number);
    }
    assert_int_equal(answer.outcome, SG_PEER_WOULD_WAIT);
    peer_program_stop(&program);
}

static void test_resolver__ends_with_the_daemon(void **state)
{
    struct peer_fixture *fixture = *state;
    pid_t pid = 0;
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t front = fork();
    if (front == 0) {
        uid_t uid = geteuid() == 0 ? PEER_NOBODY : geteuid();
        bool launched = sg_peer_resolver_launch(uid, (gid_t)uid, &fixture->process) == SIGNET_OK &&
                        write(told[1], &fixture->process.pid, sizeof(pid)) == (ssize_t)sizeof(pid);
        (void)pause();
        _exit(launched ? 0 : 1);
    }
    assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
    if (pid != 0) {
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        assert_true(pidfd >= 0);
        assert_int_equal(poll(&ended, 1, 0), 0);
        assert_int_equal(kill(front, SIGKILL), 0);
        assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
        (void)close(pidfd);
    }
    (void)kill(front, SIGKILL);
    assert_int_equal(waitpid(front, NULL, 0), front);
    (void)close(told[0]);
    (void)close(told[1]);
    if (pid == 0) {
        print_message("SKIPPED: there is no CAP_SYS_PTRACE here to give to a resolver\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_resolver__sees_the_programs_of_other_users),
        PEER_TEST(test_front__does_not_see_the_programs_of_other_users),
        PEER_TEST(test_resolver__refuses_another_user_than_was_asked_for),
        PEER_TEST(test_pid__that_was_reused_is_not_the_peers),
        PEER_TEST(test_mount_namespace__does_not_make_another_program_of_a_name),
        PEER_TEST(test_pid_namespace__hides_nobody_below_the_daemons),
        PEER_TEST(test_pid_namespace__beside_the_daemons_leaves_the_uid),
        PEER_TEST(test_user_namespace__makes_no_other_uid_and_no_other_program),
        PEER_TEST(test_resolver__has_two_rights_and_no_more),
        PEER_TEST(test_launch__leaves_an_ordinary_user_no_right),
        PEER_TEST(test_launch__starts_nothing_without_the_right),
        PEER_TEST(test_hostile_front__gets_nothing_for_nonsense),
        PEER_TEST(test_hostile_front__gets_no_answer_about_nobody),
        PEER_TEST(test_hostile_front__is_answered_whole_questions_only),
        PEER_TEST(test_hostile_front__that_never_reads_stops_nothing),
        PEER_TEST(test_front__believes_no_answer_that_is_none),
        PEER_TEST(test_front__asks_nothing_while_an_answer_is_owed),
        PEER_TEST(test_resolver__that_was_killed_leaves_uids_and_groups),
        PEER_TEST(test_resolver__that_was_stopped_hangs_nobody),
        PEER_TEST(test_hash__that_takes_long_delays_nothing_else),
        PEER_TEST(test_hash__whose_reader_ends_is_answered),
        PEER_TEST(test_resolver__ends_with_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
