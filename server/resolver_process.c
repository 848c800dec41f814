/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-resolver: a process with the right to look at what others run, and so little else that a front that
 * was broken into gets nothing more from it than it answers. Everything it is told is taken for hostile: one
 * struct of numbers, of its exact size. It parses what /proc says, and no file of anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/digest/digest.h"
#include "server/confine_resolver.h"
#include "server/peer_resolver.h"

/* Of the daemon's descriptors it keeps standard error, for the last words of the C library. */
#define RESOLVER_FIRST_FD 3u
#define RESOLVER_QUICK    3
#define RESOLVER_SLOW     4
/* A child that reads a program is ended after this. */
#define RESOLVER_CHILD_S 10u
/* How often a child that reads is looked after. */
#define RESOLVER_CHILD_POLL_MS 100
#define RESOLVER_RIGHTS        (1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH)

struct resolver_process {
    pid_t child;     /* that reads; 0: none */
    uint32_t number; /* of the question that it answers */
};

/* ---- Questions ---- */

static void process_answer(int fd, const struct sg_peer_answer *answer)
{
    /* A front that does not read what it asked for gets no more. */
    ssize_t sent = send(fd, answer, sizeof(*answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

static struct sg_peer_process process_asked_for(const struct sg_peer_question *question)
{
    return (struct sg_peer_process){
        .pid = (pid_t)question->pid, .uid = (uid_t)question->uid, .started = question->started};
}

static void process_look(int fd, const struct sg_peer_question *question, bool may_wait)
{
    struct sg_peer_answer answer = {.number = question->number};
    const struct sg_peer_process process = process_asked_for(question);
    enum sg_peer_outcome outcome = SG_PEER_UNREADABLE; /* of a kind of question that there is not */
    if (question->kind == SG_PEER_ASK_EXE) {
        outcome = sg_peer_exe_find("/proc", &process, may_wait, &answer.exe);
    } else if (question->kind == SG_PEER_ASK_SHA256 && may_wait) {
        outcome = sg_peer_exe_hash("/proc", &process, &answer.exe.file, answer.sha256);
    }
    answer.outcome = (uint32_t)outcome;
    process_answer(fd, &answer);
}

/* ---- The child ---- */

/* Answers for a child that did not. */
static void process_give_up(struct resolver_process *process)
{
    const struct sg_peer_answer answer = {.number = process->number, .outcome = SG_PEER_WOULD_WAIT};
    process_answer(RESOLVER_SLOW, &answer);
}

static void process_collect(struct resolver_process *process, bool is_to_end)
{
    int status = 0;
    if (process->child <= 0) {
        return;
    }
    if (is_to_end) {
        (void)kill(process->child, SIGKILL);
    }
    if (waitpid(process->child, &status, is_to_end ? 0 : WNOHANG) == process->child) {
        process->child = 0;
        if (status != 0) {
            process_give_up(process);
        }
    }
}

static void process_fork(struct resolver_process *process, const struct sg_peer_question *question)
{
    process_collect(process, true); /* whoever asks anew has given it up */
    process->number = question->number;
    process->child = fork();
    if (process->child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* or by the alarm, somewhat later */
        (void)alarm(RESOLVER_CHILD_S);
        process_look(RESOLVER_SLOW, question, true);
        _exit(0);
    }
    if (process->child < 0) {
        process_give_up(process);
    }
}

/* ---- Serving ---- */

/* False when the daemon has ended. What is no question gets no answer: no daemon that is well sends such. */
static bool process_serve(struct resolver_process *process, const struct pollfd *line)
{
    struct sg_peer_question question;
    if ((line->revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        return false;
    }
    ssize_t len = recv(line->fd, &question, sizeof(question), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    if (len == (ssize_t)sizeof(question) && line->fd == RESOLVER_QUICK) {
        process_look(line->fd, &question, false);
    } else if (len == (ssize_t)sizeof(question)) {
        process_fork(process, &question);
    }
    return true;
}

static void process_run(struct resolver_process *process)
{
    struct pollfd lines[] = {{.fd = RESOLVER_QUICK, .events = POLLIN},
                             {.fd = RESOLVER_SLOW, .events = POLLIN}};
    for (;;) {
        int num = poll(lines, 2, process->child > 0 ? RESOLVER_CHILD_POLL_MS : -1);
        if (num < 0 && errno != EINTR) {
            return;
        }
        process_collect(process, false);
        for (size_t i = 0; num > 0 && i < 2; i++) {
            if (lines[i].revents != 0 && !process_serve(process, &lines[i])) {
                return;
            }
        }
    }
}

/* ---- What it takes from itself ---- */

static bool process_place_fds(int quick_fd, int slow_fd)
{
    /* Out of the way first. */
    int quick = fcntl(quick_fd, F_DUPFD_CLOEXEC, RESOLVER_SLOW + 1);
    int slow = fcntl(slow_fd, F_DUPFD_CLOEXEC, RESOLVER_SLOW + 1);
    if (quick < 0 || slow < 0 || dup3(quick, RESOLVER_QUICK, O_CLOEXEC) < 0 ||
        dup3(slow, RESOLVER_SLOW, O_CLOEXEC) < 0) {
        return false;
    }
    (void)close(STDIN_FILENO);
    (void)close(STDOUT_FILENO);
    return close_range(RESOLVER_SLOW + 1, ~0U, 0) == 0;
}

static bool process_change_user(uid_t uid, gid_t gid)
{
    if (geteuid() != 0) {
        return true;
    }
    return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setgroups(0, NULL) == 0 &&
           setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

/* Leaves what of its rights is kept, as far as there is that. Takes the bounding set first: without new
 * privileges nothing could be had from it, but nothing needs it either. */
static bool process_keep_rights(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capget, &header, data) != 0) {
        return false;
    }
    uint32_t kept = data[0].permitted & RESOLVER_RIGHTS;
    memset(data, 0, sizeof(data));
    data[0].permitted = kept;
    data[0].effective = kept;
    return syscall(SYS_capset, &header, data) == 0;
}

static bool process_drop_bounding_set(void)
{
    for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++) {
        /* Not everybody may; and the kernel may be older than this. */
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL && errno != EPERM) {
            return false;
        }
    }
    return true;
}

static bool process_confine(uid_t uid, gid_t gid)
{
    const struct rlimit none = {0, 0};
    uint8_t hash[SG_SHA256_LEN];
    /* OpenSSL reads its configuration, and fills its tables, before that cannot be done any more. */
    if (sg_sha256(NULL, 0, hash) != SIGNET_OK) {
        return false;
    }
    if (prctl(PR_SET_NAME, "signet-resolver", 0, 0, 0) != 0 || !process_drop_bounding_set() ||
        !process_change_user(uid, gid) || !process_keep_rights() ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &none) != 0) {
        return false;
    }
    /* Without it, it is what it is: short. */
    (void)sg_confine_resolver();
    return true;
}

static void __attribute__((noreturn)) process_main(int quick_fd, int slow_fd, uid_t uid, gid_t gid)
{
    struct resolver_process process = {0};
    /* A terminal's signals reach all processes of the daemon; these end with it, not before. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (!process_place_fds(quick_fd, slow_fd) || !process_confine(uid, gid)) {
        _exit(1);
    }
    process_run(&process);
    process_collect(&process, true);
    _exit(0);
}

/* ---- The daemon's side ---- */

static bool launch_has_right(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[0].effective & 1u << CAP_SYS_PTRACE) != 0;
}

/* Root's rights go when it changes user; an ordinary user's, which a service manager gave, go here. */
static bool launch_give_up_rights(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return geteuid() == 0 || (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 &&
                              syscall(SYS_capset, &header, none) == 0);
}

static bool launch_make_pairs(int quick[2], int slow[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, quick) != 0) {
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, slow) != 0) {
        (void)close(quick[0]);
        (void)close(quick[1]);
        return false;
    }
    return true;
}

signet_status sg_peer_resolver_launch(uid_t uid, gid_t gid, struct sg_peer_resolver_process *out)
{
    int quick[2];
    int slow[2];
    if (!launch_has_right()) {
        *out = SG_PEER_RESOLVER_NONE;
        return launch_give_up_rights() ? SIGNET_OK : SIGNET_INTERNAL;
    }
    if (!launch_make_pairs(quick, slow)) {
        return SIGNET_INTERNAL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        process_main(quick[1], slow[1], uid, gid);
    }
    (void)close(quick[1]);
    (void)close(slow[1]);
    struct sg_peer_resolver_process process = {
        .pid = pid, .quick_fd = quick[0], .slow_fd = slow[0]};
    if (pid < 0 || !launch_give_up_rights()) {
        sg_peer_resolver_stop(&process);
        return SIGNET_INTERNAL;
    }
    *out = process;
    return SIGNET_OK;
}

void sg_peer_resolver_stop(struct sg_peer_resolver_process *process)
{
    if (process->quick_fd < 0) {
        return;
    }
    (void)close(process->quick_fd);
    (void)close(process->slow_fd);
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL); /* it may be stopped, and has nothing to tidy */
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *process = SG_PEER_RESOLVER_NONE;
}
