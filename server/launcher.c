/* SPDX-License-Identifier: Apache-2.0
 *
 * Both ends of the launcher. What it does is short, since it may be root: wait for a byte, end the last
 * keyholder, make a socket pair, fork, change user, run the program. Must never parse anything.
 */
#include "server/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/keyholder/packet.h"
#include "server/keyholder/passing.h"

#define LAUNCHER_ASK        'k'
#define LAUNCHER_READY      'r'
#define LAUNCHER_PATIENCE_S 2
#define LAUNCHER_BUSY       'b' /* no process or no socket to be had */
/* Where a program that is started finds its socket, and the first descriptor that is closed for it. */
#define LAUNCHER_SOCKET_FD 3

struct launcher {
    struct sg_launcher_options options;
    int fd;
    bool
        gives_lock; /* keyholders need CAP_IPC_LOCK, since the limit on locked memory cannot be raised */
    pid_t child; /* the last keyholder; 0: none */
};

/* ---- Words ---- */

/* An answer has the number of its question, so that one that came too late is not taken for the next. */
struct launcher_word {
    char word;
    uint8_t number;
};

static bool launcher_send(int to, char word, uint8_t number, int fd)
{
    const struct launcher_word said = {.word = word, .number = number};
    return sg_passing_send(to, &said, sizeof(said), &fd, fd >= 0 ? 1 : 0);
}

/* False if nothing came: the other side has ended, or does not answer. */
static bool launcher_receive(int from, struct launcher_word *out, int *out_fd)
{
    int fds[SG_PASSING_MAX];
    size_t num = 0;
    ssize_t len = sg_passing_receive(from, out, sizeof(*out), fds, &num);
    *out_fd = num > 0 ? fds[0] : -1;
    for (size_t i = 1; i < num; i++) {
        (void)close(fds[i]);
    }
    return len == (ssize_t)sizeof(*out);
}

/* ---- In the child that becomes a keyholder ---- */

/* Tells the daemon, in the keyholder's place, why there is none. */
static void __attribute__((noreturn)) child_fail(const char *program, const char *what)
{
    struct sg_packet_welcome welcome = {.version = SG_PACKET_VERSION,
                                        .status = SIGNET_FAILED_PRECONDITION};
    memcpy(welcome.magic, SG_PACKET_HELLO, sizeof(welcome.magic));
    (void)snprintf(welcome.message, sizeof(welcome.message), "%s: %s: %s", program, what,
                   strerrordesc_np(errno));
    ssize_t sent = send(LAUNCHER_SOCKET_FD, &welcome, sizeof(welcome), MSG_NOSIGNAL);
    _exit(sent < 0 ? 2 : 1);
}

/* Keeps one right over the change of user and the program's start; the keyholder gives it up once it has
 * locked its memory. */
static bool child_keep_lock(void)
{
    const uint32_t kept = 1u << CAP_IPC_LOCK;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = kept, .permitted = kept, .inheritable = kept}};
    return syscall(SYS_capset, &header, data) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_IPC_LOCK, 0, 0) == 0;
}

static bool child_change_user(const struct launcher *launcher)
{
    const struct sg_launcher_options *options = &launcher->options;
    if (!options->change_user) {
        return true;
    }
    if (launcher->gives_lock && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        return false;
    }
    return setgroups(1, &options->gid) == 0 &&
           setresgid(options->gid, options->gid, options->gid) == 0 &&
           setresuid(options->uid, options->uid, options->uid) == 0 &&
           (!launcher->gives_lock || child_keep_lock()) && (options->uid == 0 || setuid(0) != 0);
}

static void __attribute__((noreturn)) child_run(const struct launcher *launcher, int fd)
{
    const char *program = launcher->options.program;
    char name[] = "signet-keyholder";
    char *const arguments[] = {name, NULL};
    bool in_place = fd == LAUNCHER_SOCKET_FD ? fcntl(fd, F_SETFD, 0) == 0
                                             : dup2(fd, LAUNCHER_SOCKET_FD) == LAUNCHER_SOCKET_FD;
    if (!in_place || close_range(LAUNCHER_SOCKET_FD + 1, ~0U, 0) != 0) {
        _exit(1);
    }
    if (!child_change_user(launcher)) {
        child_fail(program, "cannot change to the keyholder's user");
    }
    (void)execv(program, arguments);
    child_fail(program, "cannot be run");
}

/* ---- The launcher ---- */

/* Two keyholders cannot have one keystore; and one that does not answer would never end by itself. */
static void launcher_end_child(struct launcher *launcher)
{
    if (launcher->child > 0) {
        (void)kill(launcher->child, SIGKILL);
        while (waitpid(launcher->child, NULL, 0) < 0 && errno == EINTR) {
        }
        launcher->child = 0;
    }
}

static void launcher_serve(struct launcher *launcher, uint8_t number)
{
    int pair[2];
    launcher_end_child(launcher);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        (void)launcher_send(launcher->fd, LAUNCHER_BUSY, number, -1);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        child_run(launcher, pair[1]);
    }
    launcher->child = pid > 0 ? pid : 0;
    (void)launcher_send(launcher->fd, pid > 0 ? LAUNCHER_READY : LAUNCHER_BUSY, number,
                        pid > 0 ? pair[0] : -1);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

/* Root keeps what it takes to become another user and to end what it started, and no more. */
static bool launcher_drop_rights(const struct launcher *launcher)
{
    const uint32_t kept = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL |
                          (launcher->gives_lock ? 1u << CAP_IPC_LOCK : 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = kept, .permitted = kept}};
    if (geteuid() != 0) {
        return true;
    }
    for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++) {
        bool is_kept = capability < 32 && (kept & 1u << capability) != 0;
        if (!is_kept && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
            return false;
        }
    }
    return syscall(SYS_capset, &header, data) == 0;
}

/* What the keyholder inherits: it may lock all of its memory. In some containers root may not raise limits,
 * but has the right that makes up for it. Where neither is to be had, the keyholder says so. */
static void launcher_allow_locking(struct launcher *launcher)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit limit;
    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
    bool is_unlimited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
    launcher->gives_lock = !is_unlimited && launcher->options.change_user &&
                           prctl(PR_CAPBSET_READ, CAP_IPC_LOCK, 0, 0, 0) == 1;
}

static void __attribute__((noreturn)) launcher_main(struct launcher *launcher)
{
    const struct rlimit no_core = {0, 0};
    struct launcher_word asked;
    int unused = -1;
    /* A terminal's signals reach all processes of the daemon; these end with it, not before. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (close_range((unsigned)launcher->fd + 1, ~0U, 0) != 0 ||
        (launcher->fd > LAUNCHER_SOCKET_FD &&
         close_range(LAUNCHER_SOCKET_FD, (unsigned)launcher->fd - 1, 0) != 0)) {
        _exit(1);
    }
    launcher_allow_locking(launcher);
    if (prctl(PR_SET_NAME, "signet-launcher", 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !launcher_drop_rights(launcher)) {
        _exit(1);
    }
    while (launcher_receive(launcher->fd, &asked, &unused)) {
        if (unused >= 0) {
            (void)close(unused);
        }
        if (asked.word == LAUNCHER_ASK) {
            launcher_serve(launcher, asked.number);
        }
    }
    /* The daemon has ended. So does the keyholder for the same reason, unless it is stopped. */
    launcher_end_child(launcher);
    _exit(0);
}

/* ---- The daemon's side ---- */

signet_status sg_launcher_start(const struct sg_launcher_options *options, int *out_fd,
                                pid_t *out_pid)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return SIGNET_INTERNAL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct launcher launcher = {.options = *options, .fd = pair[1]};
        launcher_main(&launcher);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return SIGNET_INTERNAL;
    }
    const struct timeval patience = {.tv_sec = LAUNCHER_PATIENCE_S};
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    *out_fd = pair[0];
    *out_pid = pid;
    return SIGNET_OK;
}

void sg_launcher_stop(int launcher_fd, pid_t pid)
{
    if (launcher_fd >= 0) {
        (void)close(launcher_fd);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

signet_status sg_launcher_ask(int launcher_fd, int *out_fd)
{
    static uint8_t number;
    struct launcher_word said = {0};
    int fd = -1;
    number++;
    if (!launcher_send(launcher_fd, LAUNCHER_ASK, number, -1)) {
        return SIGNET_UNAVAILABLE;
    }
    while (launcher_receive(launcher_fd, &said, &fd)) {
        if (said.number == number && said.word == LAUNCHER_READY && fd >= 0) {
            *out_fd = fd;
            return SIGNET_OK;
        }
        if (fd >= 0) {
            (void)close(fd); /* of a keyholder that has been replaced by now */
        }
        if (said.number == number) {
            return SIGNET_RESOURCE_EXHAUSTED;
        }
    }
    return SIGNET_UNAVAILABLE;
}
