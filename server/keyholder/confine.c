/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking away. What the kernel does not have is left out, and not reported as held; each protection that is
 * reported was looked at afterwards.
 */
#include "server/keyholder/confine.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/keyholder/filter.h"

/* ---- Memory ---- */

/* A program that whoever runs it can read could be looked into, and its memory kept open, before it came to
 * forbid that. Root can read everything, and look into everything. */
static bool confine_was_never_dumpable(void)
{
    return geteuid() == 0 || (access("/proc/self/exe", R_OK) != 0 && errno == EACCES);
}

static bool confine_undumpable(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit limit;
    return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
           getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 &&
           prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && confine_was_never_dumpable();
}

/* CAP_IPC_LOCK will not do: under a limit, and without the capability that is about to go, memory that is
 * locked as it is mapped would become memory that cannot be had. */
static bool confine_lock_memory(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit limit;
    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited); /* whoever started this may have seen to it */
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) {
        return false;
    }
    /* Sanitizers turn mlockall into something that does nothing and succeeds. */
    return !SG_CONFINE_SANITIZED && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

uint32_t sg_confine_memory(void)
{
    uint32_t held = 0;
    held |= confine_undumpable() ? SG_PROTECT_UNDUMPABLE : 0;
    held |= confine_lock_memory() ? SG_PROTECT_LOCKED_MEMORY : 0;
    return held;
}

/* ---- Rights ---- */

/* An empty bounding set is only a second bar: no_new_privs already keeps a new program from gaining anything.
 * Emptying it takes a right that an ordinary user does not have. */
static void confine_drop_bounding_set(void)
{
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
         capability++) {
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

static bool confine_has_no_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, sets) != 0) {
        return false;
    }
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        /* Ambient ones are permitted ones. */
        if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0) {
            return false;
        }
    }
    return true;
}

static bool confine_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    confine_drop_bounding_set();
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &head, none) == 0 &&
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && confine_has_no_capabilities();
}

/* ---- Files ---- */

/* The kernel that this runs on may know more than the header that it was compiled with. */
#define LANDLOCK_FS_TRUNCATE       (1ULL << 14)
#define LANDLOCK_FS_IOCTL_DEV      (1ULL << 15)
#define LANDLOCK_NET_BIND_TCP      (1ULL << 0)
#define LANDLOCK_NET_CONNECT_TCP   (1ULL << 1)
#define LANDLOCK_SCOPE_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_OF_SIGNALS  (1ULL << 1)

struct confine_ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

/* What each version of Landlock can forbid besides what those before it could. */
static const struct {
    long version;
    struct confine_ruleset can;
} confine_landlocks[] = {
    {1,
     {.files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
               LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
               LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
               LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
               LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
               LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
               LANDLOCK_ACCESS_FS_MAKE_SYM}},
    {2, {.files = LANDLOCK_ACCESS_FS_REFER}},
    {3, {.files = LANDLOCK_FS_TRUNCATE}},
    {4, {.network = LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONNECT_TCP}},
    {5, {.files = LANDLOCK_FS_IOCTL_DEV}},
    {6, {.scopes = LANDLOCK_SCOPE_UNIX_SOCKET | LANDLOCK_SCOPE_OF_SIGNALS}},
};

/* Files are written under another name in the same directory and renamed, which takes no right to move them
 * between directories. */
#define CONFINE_KEYS_RIGHTS                                                                        \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |  \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_FS_TRUNCATE)
#define CONFINE_KEY_RIGHTS LANDLOCK_ACCESS_FS_READ_FILE
#define CONFINE_TERMINAL_RIGHTS                                                                    \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_FS_IOCTL_DEV)

/* A place that is not there is nowhere to go; whoever opens the keystore says what is wrong. */
static bool confine_allow_path(int ruleset, uint64_t handled, const char *path, int flags,
                               uint64_t rights)
{
    int fd = path != NULL ? open(path, O_PATH | O_CLOEXEC | flags) : -1;
    if (fd < 0) {
        return true;
    }
    const struct landlock_path_beneath_attr beneath = {.allowed_access = rights & handled,
                                                       .parent_fd = fd};
    bool added =
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    (void)close(fd);
    return added;
}

static bool confine_is_shut_out(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd < 0 && errno == EACCES;
}

static bool confine_files(const struct sg_confine_place *place)
{
    struct confine_ruleset handled = {0};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    for (size_t i = 0; i < sizeof(confine_landlocks) / sizeof(confine_landlocks[0]); i++) {
        if (confine_landlocks[i].version <= version) {
            handled.files |= confine_landlocks[i].can.files;
            handled.network |= confine_landlocks[i].can.network;
            handled.scopes |= confine_landlocks[i].can.scopes;
        }
    }
    /* An older kernel takes a longer struct if what it does not know is 0. */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    if (version < 1 || ruleset < 0) {
        return false;
    }
    bool restricted =
        confine_allow_path(ruleset, handled.files, place->keys_dir, O_DIRECTORY | O_NOFOLLOW,
                           CONFINE_KEYS_RIGHTS) &&
        confine_allow_path(ruleset, handled.files, place->key_dir, O_DIRECTORY,
                           CONFINE_KEY_RIGHTS) &&
        confine_allow_path(ruleset, handled.files, place->has_terminal ? "/dev/tty" : NULL, 0,
                           CONFINE_TERMINAL_RIGHTS) &&
        syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    (void)close(ruleset);
    return restricted && confine_is_shut_out();
}

/* ---- System calls ---- */

/* The channels, a passphrase's descriptor, and standard error (the C library's last words are a writev). No
 * call here makes a socket, or passes a descriptor in or out: the channels came with the first packet. */
static const int confine_channel_calls[] = {
    SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll),   SCMP_SYS(ppoll),
    SCMP_SYS(read),     SCMP_SYS(write),  SCMP_SYS(writev), SCMP_SYS(close),
};

/* The keystore: known names in one directory; Landlock says which. */
static const int confine_file_calls[] = {
    SCMP_SYS(openat),     SCMP_SYS(newfstatat), SCMP_SYS(fstat),     SCMP_SYS(statx),
    SCMP_SYS(getdents64), SCMP_SYS(renameat),   SCMP_SYS(renameat2), SCMP_SYS(linkat),
    SCMP_SYS(unlinkat),   SCMP_SYS(fsync),      SCMP_SYS(fchmod),    SCMP_SYS(flock),
};

/* Memory that holds data. */
static const int confine_memory_calls[] = {
    SCMP_SYS(brk),     SCMP_SYS(munmap), SCMP_SYS(mremap),
    SCMP_SYS(madvise), SCMP_SYS(mlock),  SCMP_SYS(mlock2),
};
/* The same, and code if it is asked for, which it never is. */
static const int confine_mapping_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
static const struct scmp_arg_cmp confine_no_code = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};

/* Threads: how they start (with clone), wait for each other, and end, and where the allocator asks how many
 * processors there are. */
static const int confine_thread_calls[] = {
    SCMP_SYS(futex),       SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),        SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield), SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};
/* A thread that becomes nicer itself: nobody else's priority, and without rights none is raised. */
static const int confine_nice_calls[] = {SCMP_SYS(getpriority), SCMP_SYS(setpriority)};
static const struct scmp_arg_cmp confine_its_own[] = {{0, SCMP_CMP_EQ, PRIO_PROCESS, 0},
                                                      {1, SCMP_CMP_EQ, 0, 0}};
/* Likewise the length of its turns, which gives it no more of the processor. */
static const int confine_turn_calls[] = {SCMP_SYS(sched_getattr), SCMP_SYS(sched_setattr)};
static const struct scmp_arg_cmp confine_itself[] = {{0, SCMP_CMP_EQ, 0, 0}};
static const int confine_clone_call[] = {SCMP_SYS(clone)};
static const struct scmp_arg_cmp confine_a_thread = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD,
                                                     CLONE_THREAD};
/* Its flags are in memory, where no filter sees them; the C library then takes clone. */
static const int confine_clone3_call[] = {SCMP_SYS(clone3)};

/* Time, random bytes, and who this is. */
static const int confine_question_calls[] = {
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),        SCMP_SYS(gettid),       SCMP_SYS(geteuid), SCMP_SYS(uname),
    SCMP_SYS(sysinfo), /* the C library, before it sorts */
};

/* Signals to itself: abort, and what a fault of its own raises. */
static const int confine_signal_calls[] = {
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
};
static const int confine_tgkill_call[] = {SCMP_SYS(tgkill)};

/* The names of threads. One question is answered by the filter itself, with a number that the kernel does not
 * give for it: that is how it is known to be in force, whatever filters there were before. */
static const int confine_prctl_call[] = {SCMP_SYS(prctl)};
static const struct scmp_arg_cmp confine_set_name = {0, SCMP_CMP_EQ, PR_SET_NAME, 0};
static const struct scmp_arg_cmp confine_get_seccomp = {0, SCMP_CMP_EQ, PR_GET_SECCOMP, 0};
#define CONFINE_FILTER_ANSWERS EXFULL

/* A directory that is listed: the C library looks at its flags and sets close-on-exec. */
static const int confine_fcntl_call[] = {SCMP_SYS(fcntl)};
static const struct scmp_arg_cmp confine_get_flags = {1, SCMP_CMP_EQ, F_GETFL, 0};
static const struct scmp_arg_cmp confine_set_cloexec = {1, SCMP_CMP_EQ, F_SETFD, 0};

/* A terminal's echo, for a passphrase; newer C libraries use the later of each pair. Nothing else of
 * terminals: one could be made to type. */
static const int confine_ioctl_call[] = {SCMP_SYS(ioctl)};
static const struct scmp_arg_cmp confine_get_echo = {1, SCMP_CMP_EQ, TCGETS, 0};
static const struct scmp_arg_cmp confine_set_echo = {1, SCMP_CMP_EQ, TCSETSF, 0};
static const struct scmp_arg_cmp confine_get_echo_2 = {1, SCMP_CMP_EQ, TCGETS2, 0};
static const struct scmp_arg_cmp confine_set_echo_2 = {1, SCMP_CMP_EQ, TCSETSF2, 0};

static bool confine_calls(void)
{
    const struct scmp_arg_cmp itself = {0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0};
    const struct sg_filter_rule rules[] = {
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_channel_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_file_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_memory_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_mapping_calls), &confine_no_code, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_thread_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_nice_calls), confine_its_own, 2},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_turn_calls), confine_itself, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_clone_call), &confine_a_thread, 1},
        {SCMP_ACT_ERRNO(ENOSYS), SG_FILTER_CALLS(confine_clone3_call), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_question_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_signal_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_tgkill_call), &itself, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_prctl_call), &confine_set_name, 1},
        {SCMP_ACT_ERRNO(CONFINE_FILTER_ANSWERS), SG_FILTER_CALLS(confine_prctl_call),
         &confine_get_seccomp, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_fcntl_call), &confine_get_flags, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_fcntl_call), &confine_set_cloexec, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_ioctl_call), &confine_get_echo, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_ioctl_call), &confine_set_echo, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_ioctl_call), &confine_get_echo_2, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(confine_ioctl_call), &confine_set_echo_2, 1},
    };
    return !SG_CONFINE_SANITIZED &&
           sg_filter_load(SCMP_ACT_KILL_PROCESS, rules, sizeof(rules) / sizeof(rules[0])) &&
           prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 && errno == CONFINE_FILTER_ANSWERS;
}

uint32_t sg_confine_process(const struct sg_confine_place *place)
{
    uint32_t held = 0;
    held |= confine_rights() ? SG_PROTECT_NO_CAPABILITIES : 0; /* the others want no_new_privs */
    held |= confine_files(place) ? SG_PROTECT_LANDLOCK : 0;
    held |= confine_calls() ? SG_PROTECT_SECCOMP : 0;
    return held;
}
