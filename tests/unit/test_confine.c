/* SPDX-License-Identifier: Apache-2.0
 *
 * What the keyholder and the front take from themselves: in processes that are forked for it, since none of
 * it can be given back. What must not be possible is tried, and so is what must stay possible; no protection
 * is claimed that does not hold.
 */
#include "keystore_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base64url.h"
#include "server/confine_front.h"
#include "server/keyholder/confine.h"
#include "server/keyholder/filter.h"
#include "server/keyholder/keystore_door.h"
#include "tests/support/files.h"

/* A child that hangs is ended by this. */
#define CHILD_PATIENCE_S (SG_SANITIZED ? 240u : 60u)
#define NOBODY           65534u

/* ---- Children ---- */

/* In a child there is nobody to fail a test but its exit status. */
static void child_fail(const char *what, int line)
{
    (void)dprintf(STDERR_FILENO, "child: line %d: %s (errno %d)\n", line, what, errno);
    _exit(EXIT_FAILURE);
}
#define CHILD_CHECK(condition) ((condition) ? (void)0 : child_fail(#condition, __LINE__))

/* Returns the wait status of a child that does what body does. */
static int run_child(void (*body)(const void *argument), const void *argument)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(CHILD_PATIENCE_S);
        body(argument);
        _exit(EXIT_SUCCESS);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void must_work(void (*body)(const void *argument), const void *argument)
{
    int status = run_child(body, argument);
    if (status != 0) {
        fail_msg("the child ended with wait status 0x%x", (unsigned)status);
    }
}

static const struct rlimit limit_none = {RLIM_INFINITY, RLIM_INFINITY};
static const struct rlimit limit_low = {1u << 20, 1u << 20};

static void become_nobody(void)
{
    CHILD_CHECK(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void skip_if_sanitized(void)
{
    if (SG_SANITIZED) {
        print_message("SKIPPED: builds with sanitizers have no system call filters\n");
        skip();
    }
}

static void skip_unless_root(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can become somebody else\n");
        skip();
    }
}

/* ---- Places ---- */

struct place_fixture {
    struct store_fixture *base;
    char keys_dir[160];
    char key_dir[128]; /* of a key-encryption key; base has its own elsewhere */
    char key[192];
    struct sg_confine_place place;
};

static int place_setup(void **state)
{
    struct place_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    void *base = NULL;
    (void)store_setup(&base);
    fixture->base = base;
    (void)snprintf(fixture->keys_dir, sizeof(fixture->keys_dir), "%s/keys", fixture->base->state);
    (void)snprintf(fixture->key_dir, sizeof(fixture->key_dir), "%s/etc", fixture->base->dir);
    (void)snprintf(fixture->key, sizeof(fixture->key), "%s/key", fixture->key_dir);
    assert_int_equal(mkdir(fixture->key_dir, 0700), 0);
    assert_int_equal(rename(fixture->base->kek[0], fixture->key), 0);
    (void)snprintf(fixture->base->source[0], sizeof(fixture->base->source[0]), "file:%s/key",
                   fixture->key_dir);
    fixture->place =
        (struct sg_confine_place){.keys_dir = fixture->keys_dir, .key_dir = fixture->key_dir};
    *state = fixture;
    return 0;
}

static int place_teardown(void **state)
{
    struct place_fixture *fixture = *state;
    void *base = fixture->base;
    (void)store_teardown(&base);
    free(fixture);
    return 0;
}

static uint32_t confine(const struct place_fixture *fixture)
{
    return sg_confine_memory() | sg_confine_process(&fixture->place);
}

/* ---- Calls that must not be ---- */

struct forbidden {
    const char *name;
    long call;
    long arguments[6]; /* as harmless as can be, should the call be made */
};

#define EXECUTABLE (PROT_READ | PROT_EXEC)
#define ANONYMOUS  (MAP_PRIVATE | MAP_ANONYMOUS)

/* Neither process may do these. */
static const struct forbidden forbidden_calls[] = {
    {"execve", SYS_execve, {0}},
    {"execveat", SYS_execveat, {0}},
#ifdef SYS_fork
    {"fork", SYS_fork, {0}},
    {"vfork", SYS_vfork, {0}},
#endif
    {"clone of a process", SYS_clone, {SIGCHLD}},
    {"clone of a process that shares its memory", SYS_clone, {CLONE_VM | CLONE_VFORK}},
    {"mmap of code", SYS_mmap, {0, 4096, EXECUTABLE, ANONYMOUS, -1, 0}},
    {"mprotect to code", SYS_mprotect, {0, 0, EXECUTABLE}},
    {"pkey_mprotect to code", SYS_pkey_mprotect, {0, 0, EXECUTABLE, -1}},
    {"shmat of code", SYS_shmat, {-1, 0, SHM_EXEC}},
    {"ptrace", SYS_ptrace, {-1}},
    {"process_vm_readv", SYS_process_vm_readv, {0}},
    {"process_vm_writev", SYS_process_vm_writev, {0}},
    {"process_madvise", SYS_process_madvise, {-1}},
    {"pidfd_getfd", SYS_pidfd_getfd, {-1, -1}},
    {"kcmp", SYS_kcmp, {0}},
    {"perf_event_open", SYS_perf_event_open, {0}},
    {"setuid", SYS_setuid, {-1}},
    {"setgid", SYS_setgid, {-1}},
    {"setresuid", SYS_setresuid, {-1, -1, -1}},
    {"setresgid", SYS_setresgid, {-1, -1, -1}},
    {"setgroups", SYS_setgroups, {-1}},
    {"capset", SYS_capset, {0}},
    {"personality", SYS_personality, {0xffffffff}},
    {"bpf", SYS_bpf, {-1}},
    {"userfaultfd", SYS_userfaultfd, {-1}},
    {"io_uring_setup", SYS_io_uring_setup, {0}},
    {"io_uring_enter", SYS_io_uring_enter, {-1}},
    {"io_uring_register", SYS_io_uring_register, {-1}},
    {"add_key", SYS_add_key, {0}},
    {"request_key", SYS_request_key, {0}},
    {"keyctl", SYS_keyctl, {-1}},
    {"init_module", SYS_init_module, {0}},
    {"finit_module", SYS_finit_module, {-1}},
    {"delete_module", SYS_delete_module, {0}},
    {"kexec_load", SYS_kexec_load, {0, -1, 0, -1}},
    {"mount", SYS_mount, {0}},
    {"umount2", SYS_umount2, {0}},
    {"move_mount", SYS_move_mount, {-1, 0, -1, 0}},
    {"open_tree", SYS_open_tree, {-1}},
    {"fsopen", SYS_fsopen, {0}},
    {"chroot", SYS_chroot, {0}},
    {"pivot_root", SYS_pivot_root, {0}},
    {"setns", SYS_setns, {-1}},
    {"unshare", SYS_unshare, {CLONE_NEWUSER}},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1}},
    {"reboot", SYS_reboot, {0}},
    {"swapon", SYS_swapon, {0}},
    {"swapoff", SYS_swapoff, {0}},
    {"clock_settime", SYS_clock_settime, {-1}},
    {"sethostname", SYS_sethostname, {0, -1}},
};

/* The keyholder may not do these either. */
static const struct forbidden keyholder_forbidden_calls[] = {
    {"socket", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
    {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, 0}},
    {"connect", SYS_connect, {-1}},
    {"bind", SYS_bind, {-1}},
    {"listen", SYS_listen, {-1}},
    {"accept4", SYS_accept4, {-1}},
    {"sendmsg, which can pass a descriptor out", SYS_sendmsg, {-1}},
    {"recvmsg, which can take one in", SYS_recvmsg, {-1}},
    {"sendmmsg", SYS_sendmmsg, {-1}},
    {"dup", SYS_dup, {-1}},
    {"fcntl to duplicate", SYS_fcntl, {-1, F_DUPFD_CLOEXEC}},
    {"fcntl to have signals sent", SYS_fcntl, {-1, F_SETOWN}},
    {"kill", SYS_kill, {0, 0}},
    {"tkill", SYS_tkill, {1, 0}},
    {"tgkill of another process", SYS_tgkill, {1, 1, 0}},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, {0}},
    {"pidfd_open", SYS_pidfd_open, {0}},
    {"pidfd_send_signal", SYS_pidfd_send_signal, {-1}},
    {"prctl to be dumpable again", SYS_prctl, {PR_SET_DUMPABLE, 1}},
    {"prctl to be traced", SYS_prctl, {PR_SET_PTRACER, -1}},
    {"prlimit64", SYS_prlimit64, {0}},
    {"setpriority of another process", SYS_setpriority, {PRIO_PROCESS, 1, 19}},
    {"setpriority of a user", SYS_setpriority, {PRIO_USER, 0, 19}},
    {"ioctl that types", SYS_ioctl, {-1, TIOCSTI}},
    {"ioctl of another kind", SYS_ioctl, {-1, FIONREAD}},
    {"memfd_create", SYS_memfd_create, {0}},
    {"truncate", SYS_truncate, {0, -1}},
    {"mkdirat", SYS_mkdirat, {-1}},
    {"symlinkat", SYS_symlinkat, {0, -1}},
    {"mknodat", SYS_mknodat, {-1}},
    {"fchownat", SYS_fchownat, {-1}},
    {"fchmodat", SYS_fchmodat, {-1}},
    {"chdir", SYS_chdir, {0}},
    {"inotify_init1", SYS_inotify_init1, {-1}},
    {"timer_create", SYS_timer_create, {-1, -1}},
    {"munlockall", SYS_munlockall, {0}},
    {"seccomp", SYS_seccomp, {-1}},
    {"no such call", 0x3fffffff, {0}},
#ifdef __x86_64__
    {"getpid by its number of x32", 0x40000000 + SYS_getpid, {0}},
#endif
};

static long make_call(const struct forbidden *forbidden)
{
    const long *arguments = forbidden->arguments;
    return syscall(forbidden->call, arguments[0], arguments[1], arguments[2], arguments[3],
                   arguments[4], arguments[5]);
}

struct attempt {
    const struct place_fixture *fixture;
    const struct forbidden *forbidden;
};

static void call_in_keyholder(const void *argument)
{
    const struct attempt *attempt = argument;
    CHILD_CHECK((confine(attempt->fixture) & SG_PROTECT_SECCOMP) != 0);
    (void)make_call(attempt->forbidden);
}

static void must_end_the_keyholder(const struct place_fixture *fixture,
                                   const struct forbidden *calls, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        const struct attempt attempt = {.fixture = fixture, .forbidden = &calls[i]};
        int status = run_child(call_in_keyholder, &attempt);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("%s: wait status 0x%x instead of SIGSYS", calls[i].name, (unsigned)status);
        }
    }
}

static void test_keyholder__ends_by_a_call_that_it_does_not_need(void **state)
{
    skip_if_sanitized();
    must_end_the_keyholder(*state, forbidden_calls,
                           sizeof(forbidden_calls) / sizeof(forbidden_calls[0]));
    must_end_the_keyholder(*state, keyholder_forbidden_calls,
                           sizeof(keyholder_forbidden_calls) /
                               sizeof(keyholder_forbidden_calls[0]));
}

#ifdef __x86_64__
static void call_as_of_32_bits(const void *argument)
{
    long result = 20; /* getpid there */
    CHILD_CHECK((confine(argument) & SG_PROTECT_SECCOMP) != 0);
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "cc");
}

static void test_keyholder__ends_by_a_call_of_another_architecture(void **state)
{
    skip_if_sanitized();
    int status = run_child(call_as_of_32_bits, *state);
    assert_true(WIFSIGNALED(status));
    if (WTERMSIG(status) == SIGSEGV) {
        print_message("SKIPPED: this kernel has no calls of 32 bits\n");
        skip();
    }
    assert_int_equal(WTERMSIG(status), SIGSYS);
}
#endif

/* ---- What the keyholder needs ---- */

static struct sg_keyholder_reply child_call(struct sg_keyholder *keyholder,
                                            struct sg_keyholder_request request, const char *bytes)
{
    struct sg_keyholder_reply reply;
    request.data_len = (uint32_t)strlen(bytes);
    CHILD_CHECK(sg_keyholder_call(keyholder, &request, 1, (const uint8_t *)bytes, strlen(bytes),
                                  &reply) == SIGNET_OK);
    if (reply.status != SIGNET_OK) {
        child_fail(reply.message, __LINE__);
    }
    return reply;
}

static void child_keystore(struct sg_keyholder *keyholder, struct sg_keystore_request *request,
                           uint32_t op, struct sg_keystore_reply *reply)
{
    request->op = op;
    CHILD_CHECK(sg_keyholder_keystore(keyholder, request, reply) == SIGNET_OK);
    if (reply->status != SIGNET_OK) {
        child_fail(reply->message, __LINE__);
    }
}

static void child_sign(struct sg_keyholder *keyholder, enum sg_alg alg, uint64_t slot)
{
    char header[128];
    char input[512];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}",
                   sg_alg_info(alg)->jws_name);
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), input);
    (void)snprintf(input + len, sizeof(input) - len, ".eyJzdWIiOiJhbGljZSJ9");
    (void)child_call(keyholder,
                     (struct sg_keyholder_request){.op = SG_KEYHOLDER_SIGN, .slot = slot}, input);
}

static uint64_t child_generate(struct sg_keyholder *keyholder, enum sg_alg alg)
{
    return child_call(keyholder,
                      (struct sg_keyholder_request){
                          .op = SG_KEYHOLDER_GENERATE, .alg = alg, .rsa_bits = 2048},
                      "")
        .slot;
}

static void name_record(struct sg_keystore_request *request)
{
    request->record = store_record("web", "one");
    request->record.flags = 0;
    request->record.alg = SG_ALG_HS256;
}

static void work_with_the_keystore(struct sg_keyholder *keyholder,
                                   const struct place_fixture *fixture)
{
    static struct sg_keystore_request request;
    static struct sg_keystore_reply reply;
    (void)snprintf(request.dir, sizeof(request.dir), "%s", fixture->base->state);
    (void)snprintf(request.source, sizeof(request.source), "%s", fixture->base->source[0]);
    request.passphrase_fd = -1;
    child_keystore(keyholder, &request, SG_KEYSTORE_OPEN, &reply);
    CHILD_CHECK(reply.num_entries == 0);
    name_record(&request);
    request.slot = child_generate(keyholder, SG_ALG_HS256);
    child_keystore(keyholder, &request, SG_KEYSTORE_ADD, &reply);
    name_record(&request);
    request.record.max_ttl_s = 90;
    child_keystore(keyholder, &request, SG_KEYSTORE_UPDATE, &reply);
    child_keystore(keyholder, &request, SG_KEYSTORE_LOAD, &reply);
    child_sign(keyholder, SG_ALG_HS256, reply.slot);
}

static void *work_with_keys(void *argument)
{
    struct sg_keyholder *keyholder = argument;
    static const enum sg_alg algs[] = {SG_ALG_HS512, SG_ALG_RS256,   SG_ALG_PS256,
                                       SG_ALG_ES256, SG_ALG_ED25519, SG_ALG_ES256K};
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        child_sign(keyholder, algs[i], child_generate(keyholder, algs[i]));
    }
    return NULL;
}

static void work_with_threads(struct sg_keyholder *keyholder)
{
    pthread_t threads[4];
    const size_t num = sizeof(threads) / sizeof(threads[0]);
    for (size_t i = 0; i < num; i++) {
        CHILD_CHECK(pthread_create(&threads[i], NULL, work_with_keys, keyholder) == 0);
    }
    for (size_t i = 0; i < num; i++) {
        CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void work_with_memory(void)
{
    size_t len = (size_t)64 << 20;
    char *bytes = malloc(len);
    CHILD_CHECK(bytes != NULL);
    memset(bytes, 1, len);
    bytes = realloc(bytes, len * 2);
    CHILD_CHECK(bytes != NULL);
    memset(bytes, 1, len * 2);
    free(bytes);
    uint8_t random[32];
    CHILD_CHECK(getentropy(random, sizeof(random)) == 0);
}

static void work_with_channels(const int ends[2])
{
    char got[8] = "";
    CHILD_CHECK(send(ends[0], "hello", 6, MSG_NOSIGNAL) == 6);
    struct pollfd ready = {.fd = ends[1], .events = POLLIN};
    CHILD_CHECK(poll(&ready, 1, 0) == 1);
    CHILD_CHECK(recv(ends[1], got, sizeof(got), MSG_TRUNC) == 6 && strcmp(got, "hello") == 0);
    (void)close(ends[0]);
    CHILD_CHECK(recv(ends[1], got, sizeof(got), 0) == 0);
    CHILD_CHECK(prctl(PR_SET_NAME, "channel", 0, 0, 0) == 0);
}

static void work_confined(const void *argument)
{
    const struct place_fixture *fixture = argument;
    struct sg_keyholder *keyholder = NULL;
    int ends[2];
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    uint32_t held = sg_confine_memory();
    CHILD_CHECK(sg_keyholder_new(1, &keyholder) == SIGNET_OK);
    held |= sg_confine_process(&fixture->place);
    CHILD_CHECK(SG_SANITIZED || (held & SG_PROTECT_SECCOMP) != 0);
    work_with_memory();
    work_with_channels(ends);
    work_with_the_keystore(keyholder, fixture);
    work_with_threads(keyholder);
    sg_keyholder_free(keyholder);
}

static void test_keyholder__can_do_its_work(void **state)
{
    must_work(work_confined, *state);
}

static void work_as_nobody(const void *argument)
{
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit_low) == 0);
    become_nobody();
    work_confined(argument);
}

static void give_to_nobody(const struct place_fixture *fixture)
{
    char header[256];
    store_path(fixture->base, "keystore", header);
    const char *const paths[] = {fixture->base->dir, fixture->base->state, fixture->keys_dir,
                                 fixture->key_dir, fixture->key};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(chown(paths[i], NOBODY, NOBODY), 0);
    }
    DIR *list = opendir(fixture->keys_dir);
    assert_non_null(list);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        char path[256];
        store_path(fixture->base, entry->d_name, path);
        assert_int_equal(entry->d_name[0] == '.' ? 0 : chown(path, NOBODY, NOBODY), 0);
    }
    (void)closedir(list);
}

static void test_keyholder__can_do_its_work_as_an_ordinary_user(void **state)
{
    skip_unless_root();
    give_to_nobody(*state);
    must_work(work_as_nobody, *state);
}

/* ---- Files ---- */

static bool is_refused(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 && errno == EACCES;
}

static bool is_allowed(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0 && close(fd) == 0;
}

static void child_path(char out[256], const char *dir, const char *name)
{
    CHILD_CHECK(snprintf(out, 256, "%s/%s", dir, name) < 256);
}

static void open_files(const void *argument)
{
    const struct place_fixture *fixture = argument;
    char path[256];
    char other[256];
    CHILD_CHECK((confine(fixture) & SG_PROTECT_LANDLOCK) != 0);
    CHILD_CHECK(is_allowed(fixture->keys_dir, O_RDONLY | O_DIRECTORY));
    child_path(path, fixture->keys_dir, "new");
    CHILD_CHECK(is_allowed(path, O_WRONLY | O_CREAT | O_EXCL));
    CHILD_CHECK(is_allowed(path, O_RDWR | O_TRUNC));
    child_path(other, fixture->keys_dir, "newer");
    CHILD_CHECK(renameat(AT_FDCWD, path, AT_FDCWD, other) == 0);
    CHILD_CHECK(linkat(AT_FDCWD, other, AT_FDCWD, path, 0) == 0);
    CHILD_CHECK(unlinkat(AT_FDCWD, path, 0) == 0);
    CHILD_CHECK(is_allowed(fixture->key, O_RDONLY));

    CHILD_CHECK(is_refused(fixture->key, O_WRONLY));
    CHILD_CHECK(is_refused(fixture->key_dir, O_RDONLY | O_DIRECTORY));
    child_path(path, fixture->key_dir, "new");
    CHILD_CHECK(is_refused(path, O_WRONLY | O_CREAT));
    CHILD_CHECK(renameat(AT_FDCWD, other, AT_FDCWD, path) < 0 &&
                (errno == EACCES || errno == EXDEV));
    CHILD_CHECK(unlinkat(AT_FDCWD, fixture->key, 0) < 0 && errno == EACCES);
    CHILD_CHECK(is_refused(fixture->base->state, O_RDONLY | O_DIRECTORY));
    child_path(path, fixture->base->state, "new");
    CHILD_CHECK(is_refused(path, O_WRONLY | O_CREAT));
    CHILD_CHECK(is_refused(fixture->base->kek[1], O_RDONLY));
    CHILD_CHECK(is_refused("/etc/passwd", O_RDONLY));
    CHILD_CHECK(is_refused("/proc/self/mem", O_RDONLY));
    CHILD_CHECK(is_refused("/dev/tty", O_RDWR));
    /* Who owns the state directory has to be looked at. */
    struct stat info;
    CHILD_CHECK(stat(fixture->base->state, &info) == 0);
}

static void test_keyholder__reaches_no_file_but_its_own(void **state)
{
    must_work(open_files, *state);
}

static void open_without_a_keystore(const void *argument)
{
    const struct place_fixture *fixture = argument;
    const struct sg_confine_place nowhere = {0};
    CHILD_CHECK((sg_confine_process(&nowhere) & SG_PROTECT_LANDLOCK) != 0);
    CHILD_CHECK(is_refused(fixture->keys_dir, O_RDONLY | O_DIRECTORY));
    CHILD_CHECK(is_refused(fixture->key, O_RDONLY));
}

static void open_without_a_directory(const void *argument)
{
    const struct sg_confine_place missing = {.keys_dir = "/nonexistent/keys",
                                             .key_dir = "/nonexistent"};
    (void)argument;
    CHILD_CHECK((sg_confine_process(&missing) & SG_PROTECT_LANDLOCK) != 0);
    CHILD_CHECK(is_refused("/etc/passwd", O_RDONLY));
}

static void test_keyholder__reaches_no_file_without_a_keystore(void **state)
{
    must_work(open_without_a_keystore, *state);
    must_work(open_without_a_directory, *state);
}

/* On a terminal of its own. */
static void ask_for_a_passphrase(const struct place_fixture *fixture)
{
    struct sg_kek_material material = {0};
    char message[SG_KEYSTORE_MAX_MESSAGE] = "";
    const struct sg_confine_place place = {.keys_dir = fixture->keys_dir, .has_terminal = true};
    (void)alarm(CHILD_PATIENCE_S);
    (void)sg_confine_memory();
    (void)sg_confine_process(&place);
    signet_status status =
        sg_kek_read("passphrase:", -1, &material, (struct sg_kek_message){.text = message});
    CHILD_CHECK(status == SIGNET_OK && material.len == 5 &&
                memcmp(material.bytes, "words", 5) == 0);
    _exit(EXIT_SUCCESS);
}

static void test_keyholder__can_ask_for_a_passphrase(void **state)
{
    char seen[1024] = "";
    size_t len = 0;
    int terminal = -1;
    int status = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == 0) {
        ask_for_a_passphrase(*state);
    }
    assert_true(child > 0);
    while (strstr(seen, "keystore: ") == NULL) {
        ssize_t got = read(terminal, seen + len, sizeof(seen) - len - 1);
        if (got <= 0) {
            fail_msg("there was no question, but: %s", seen);
        }
        len += (size_t)got;
        seen[len] = '\0';
    }
    assert_int_equal(write(terminal, "words\n", 6), 6);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(terminal);
    assert_int_equal(status, 0);
}

/* ---- No core ---- */

static void abort_somewhere(const char *dir)
{
    (void)setrlimit(RLIMIT_CORE, &limit_none); /* where it may be */
    CHILD_CHECK(chdir(dir) == 0);
}

static void abort_openly(const void *argument)
{
    abort_somewhere(argument);
    abort();
}

static void abort_confined(const void *argument)
{
    const struct place_fixture *fixture = argument;
    abort_somewhere(fixture->base->dir);
    CHILD_CHECK((confine(fixture) & SG_PROTECT_UNDUMPABLE) != 0);
    abort();
}

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

static void test_keyholder__leaves_no_core(void **state)
{
    const struct place_fixture *fixture = *state;
    int status = run_child(abort_confined, fixture);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_false(WCOREDUMP(status));
    assert_int_equal(count_cores(fixture->base->dir), 0);

    /* That one would have been left. */
    status = run_child(abort_openly, fixture->base->dir);
    assert_true(WIFSIGNALED(status));
    if (!WCOREDUMP(status)) {
        print_message("SKIPPED: this machine leaves no cores, so that none is no proof\n");
        skip();
    }
}

/* ---- What is claimed ---- */

static const uint32_t claims_of_memory = SG_PROTECT_UNDUMPABLE | SG_PROTECT_LOCKED_MEMORY;
static const uint32_t claims_of_process =
    SG_PROTECT_NO_CAPABILITIES | SG_PROTECT_LANDLOCK | (SG_SANITIZED ? 0 : SG_PROTECT_SECCOMP);

/* The number after a name in /proc/self/status. */
static unsigned long status_number(const char *name, int base)
{
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    CHILD_CHECK(len > 0);
    (void)close(fd);
    text[len] = '\0';
    const char *line = strstr(text, name);
    CHILD_CHECK(line != NULL);
    return line != NULL ? strtoul(line + strlen(name), NULL, base) : 0;
}

/* Whether all of memory is locked: a page that is mapped only now, too. */
static bool is_all_locked(void)
{
    unsigned long before = status_number("\nVmLck:", 10);
    char *bytes = mmap(NULL, (size_t)1 << 20, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0);
    CHILD_CHECK(bytes != MAP_FAILED);
    return before > 0 && status_number("\nVmLck:", 10) >= before + 1024;
}

static void raise_the_limit(const void *argument)
{
    (void)argument;
    _exit(setrlimit(RLIMIT_MEMLOCK, &limit_none) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool may_lock_everything(void)
{
    return !SG_SANITIZED && run_child(raise_the_limit, NULL) == 0;
}

struct claim {
    const struct place_fixture *fixture;
    uint32_t of_memory;
    bool is_nobody;
};

/* Whoever can read the program could have looked into it before. */
static uint32_t claims_of_who_runs(uint32_t claims)
{
    bool could_look = geteuid() != 0 && access("/proc/self/exe", R_OK) == 0;
    return could_look ? claims & ~(uint32_t)SG_PROTECT_UNDUMPABLE : claims;
}

static void claim_all(const void *argument)
{
    const struct claim *claim = argument;
    if (claim->is_nobody) {
        (void)setrlimit(RLIMIT_MEMLOCK, &limit_none); /* where it may be */
        become_nobody();
    }
    CHILD_CHECK(sg_confine_memory() == claims_of_who_runs(claim->of_memory));
    CHILD_CHECK((claim->of_memory & SG_PROTECT_LOCKED_MEMORY) == 0 || is_all_locked());
    CHILD_CHECK(sg_confine_process(&claim->fixture->place) == claims_of_process);
}

static void test_claims__are_made_for_what_holds(void **state)
{
    const bool may_lock = may_lock_everything();
    struct claim claim = {.fixture = *state,
                          .of_memory = may_lock ? claims_of_memory : SG_PROTECT_UNDUMPABLE};
    must_work(claim_all, &claim);
    if (geteuid() == 0) {
        give_to_nobody(*state);
        claim.is_nobody = true;
        must_work(claim_all, &claim);
    }
    if (!may_lock) {
        print_message("SKIPPED in part: nobody here may lock memory without a limit\n");
    }
}

static void claim_under_a_limit(const void *argument)
{
    const struct place_fixture *fixture = argument;
    CHILD_CHECK(sg_confine_memory() == claims_of_who_runs(SG_PROTECT_UNDUMPABLE));
    CHILD_CHECK(status_number("\nVmLck:", 10) == 0);
    CHILD_CHECK(sg_confine_process(&fixture->place) == claims_of_process);
    work_with_memory();
}

static void claim_under_a_limit_as_nobody(const void *argument)
{
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit_low) == 0);
    if (geteuid() == 0) {
        become_nobody();
    }
    claim_under_a_limit(argument);
}

/* May lock now, and may not raise the limit: memory would run out as soon as the right is gone. */
static void claim_with_a_right_that_will_go(const void *argument)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t rights = CAP_TO_MASK(CAP_IPC_LOCK);
    const struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = rights, .permitted = rights}};
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit_low) == 0);
    CHILD_CHECK(syscall(SYS_capset, &head, sets) == 0);
    claim_under_a_limit(argument);
}

static void test_claims__of_locked_memory_need_no_limit(void **state)
{
    must_work(claim_under_a_limit_as_nobody, *state);
    skip_unless_root();
    must_work(claim_with_a_right_that_will_go, *state);
}

/* A kernel that lacks something, or forbids it. */
struct lack {
    int calls[1];
    int number;
    bool is_of_memory;
    uint32_t protection; /* that is not to be claimed */
};

static void claim_what_there_is(const void *argument)
{
    const struct lack *lack = argument;
    const struct sg_confine_place place = {0};
    const struct sg_filter_rule rule = {SCMP_ACT_ERRNO((uint32_t)lack->number),
                                        SG_FILTER_CALLS(lack->calls), NULL, 0};
    CHILD_CHECK(sg_filter_load(SCMP_ACT_ALLOW, &rule, 1));
    if (lack->is_of_memory) {
        CHILD_CHECK(sg_confine_memory() ==
                    claims_of_who_runs(claims_of_memory & ~lack->protection));
    } else {
        CHILD_CHECK(sg_confine_process(&place) == (claims_of_process & ~lack->protection));
    }
}

static void test_claims__are_not_made_for_what_the_kernel_lacks(void **state)
{
    (void)state;
    skip_if_sanitized();
    static const struct lack lacks[] = {
        {{SCMP_SYS(landlock_create_ruleset)}, ENOSYS, false, SG_PROTECT_LANDLOCK},
        {{SCMP_SYS(landlock_create_ruleset)}, EOPNOTSUPP, false, SG_PROTECT_LANDLOCK},
        {{SCMP_SYS(landlock_restrict_self)}, EPERM, false, SG_PROTECT_LANDLOCK},
        {{SCMP_SYS(seccomp)}, ENOSYS, false, SG_PROTECT_SECCOMP},
        {{SCMP_SYS(capset)}, EPERM, false, SG_PROTECT_NO_CAPABILITIES},
        {{SCMP_SYS(mlockall)}, ENOMEM, true, SG_PROTECT_LOCKED_MEMORY},
    };
    for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
        must_work(claim_what_there_is, &lacks[i]);
    }
}

/* A kernel that says that it did, and did not. */
static void test_claims__are_looked_at(void **state)
{
    (void)state;
    skip_if_sanitized();
    static const struct lack lies[] = {
        {{SCMP_SYS(landlock_restrict_self)}, 0, false, SG_PROTECT_LANDLOCK},
        {{SCMP_SYS(seccomp)}, 0, false, SG_PROTECT_SECCOMP},
        {{SCMP_SYS(capset)}, 0, false, SG_PROTECT_NO_CAPABILITIES},
    };
    skip_unless_root();
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        must_work(claim_what_there_is, &lies[i]);
    }
}

static void look_at_rights(const void *argument)
{
    const struct place_fixture *fixture = argument;
    struct sg_confine_place place = fixture->place;
    place.key_dir = "/proc"; /* to be able to look */
    CHILD_CHECK((sg_confine_process(&place) & SG_PROTECT_NO_CAPABILITIES) != 0);
    static const char *const names[] = {"\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapAmb:"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHILD_CHECK(status_number(names[i], 16) == 0);
    }
    CHILD_CHECK(geteuid() != 0 || status_number("\nCapBnd:", 16) == 0);
    CHILD_CHECK(status_number("\nNoNewPrivs:", 10) == 1);
    CHILD_CHECK(SG_SANITIZED || status_number("\nSeccomp:", 10) == 2);
}

static void test_keyholder__has_no_rights(void **state)
{
    must_work(look_at_rights, *state);
}

/* ---- The front ---- */

static void call_in_front(const void *argument)
{
    CHILD_CHECK(sg_confine_front());
    const struct forbidden *forbidden = argument;
    errno = 0;
    if (make_call(forbidden) != -1 || errno != EPERM) {
        child_fail(forbidden->name, __LINE__);
    }
}

static void test_front__is_refused_what_it_does_not_need(void **state)
{
    (void)state;
    skip_if_sanitized();
    for (size_t i = 0; i < sizeof(forbidden_calls) / sizeof(forbidden_calls[0]); i++) {
        must_work(call_in_front, &forbidden_calls[i]);
    }
}

static void *front_thread(void *argument)
{
    struct forbidden exec = {"execve in a thread", SYS_execve, {0}};
    CHILD_CHECK(make_call(&exec) == -1 && errno == EPERM);
    return argument;
}

static void *front_early_thread(void *argument)
{
    const int *ends = argument;
    char byte = 0;
    CHILD_CHECK(read(ends[0], &byte, 1) == 1);
    return front_thread(argument);
}

static void work_in_front(const void *argument)
{
    const struct place_fixture *fixture = argument;
    char path[256];
    int ends[2];
    pthread_t early;
    pthread_t thread;
    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHILD_CHECK(pthread_create(&early, NULL, front_early_thread, ends) == 0);
    CHILD_CHECK(sg_confine_front());
    CHILD_CHECK(write(ends[1], "", 1) == 1);
    CHILD_CHECK(pthread_join(early, NULL) == 0);
    CHILD_CHECK(pthread_create(&thread, NULL, front_thread, NULL) == 0);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
    work_with_memory();
    child_path(path, fixture->base->dir, "new");
    CHILD_CHECK(is_allowed(path, O_RDWR | O_CREAT));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHILD_CHECK(fd >= 0 && close(fd) == 0);
    CHILD_CHECK(kill(getpid(), 0) == 0);
    CHILD_CHECK(fork() < 0 && errno == EPERM);
    CHILD_CHECK(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
}

static void test_front__can_do_its_work(void **state)
{
    skip_if_sanitized();
    must_work(work_in_front, *state);
}

static void claim_nothing(const void *argument)
{
    const struct place_fixture *fixture = argument;
    CHILD_CHECK(!sg_confine_front());
    CHILD_CHECK((confine(fixture) & (SG_PROTECT_SECCOMP | SG_PROTECT_LOCKED_MEMORY)) == 0);
}

static void test_sanitizers__leave_no_filter_and_no_claim(void **state)
{
    if (!SG_SANITIZED) {
        print_message("SKIPPED: this build has no sanitizers\n");
        skip();
    }
    must_work(claim_nothing, *state);
}

#define PLACE_TEST(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(test_keyholder__ends_by_a_call_that_it_does_not_need),
#ifdef __x86_64__
        PLACE_TEST(test_keyholder__ends_by_a_call_of_another_architecture),
#endif
        PLACE_TEST(test_keyholder__can_do_its_work),
        PLACE_TEST(test_keyholder__can_do_its_work_as_an_ordinary_user),
        PLACE_TEST(test_keyholder__reaches_no_file_but_its_own),
        PLACE_TEST(test_keyholder__reaches_no_file_without_a_keystore),
        PLACE_TEST(test_keyholder__can_ask_for_a_passphrase),
        PLACE_TEST(test_keyholder__leaves_no_core),
        PLACE_TEST(test_keyholder__has_no_rights),
        PLACE_TEST(test_claims__are_made_for_what_holds),
        PLACE_TEST(test_claims__of_locked_memory_need_no_limit),
        PLACE_TEST(test_claims__are_not_made_for_what_the_kernel_lacks),
        PLACE_TEST(test_claims__are_looked_at),
        PLACE_TEST(test_front__is_refused_what_it_does_not_need),
        PLACE_TEST(test_front__can_do_its_work),
        PLACE_TEST(test_sanitizers__leave_no_filter_and_no_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
