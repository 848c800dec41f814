/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading /proc/PID through its directory: after the process has ended that one gives errors, whoever has the
 * pid by then.
 */
#include "server/peer_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/peer.h"
#include "server/peer_unit.h"

/* Of a text: a status with as many groups as we take, or a line for each of a dozen hierarchies of control
 * groups. */
#define PROC_MAX_TEXT 32768u
/* stat has some fifty numbers and a short name. */
#define PROC_MAX_STAT 2048u
/* The field of a process's start, counted behind its name (proc(5): 22, the name is 2). */
#define PROC_STARTED_FIELD 20u

static const char *const proc_texts[SG_PEER_NUM_OUTCOMES] = {
    [0] = "it was not looked up",
    [SG_PEER_NO_PID] = "the process is in a pid namespace that the daemon does not see",
    [SG_PEER_GONE] = "the process had ended before it could be looked up",
    [SG_PEER_ANOTHER] = "another process has the pid of the one that connected",
    [SG_PEER_HIDDEN] =
        "/proc does not show the process to the daemon; mount it without hidepid, or set "
        "ProtectProc=default in signetd.service",
    [SG_PEER_OTHER_USER] = "the process has changed its user since it connected",
    [SG_PEER_FORBIDDEN] =
        "the daemon may not look at the programs of other users; start signetd as root with "
        "\"user\" set, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH as ambient capabilities",
    [SG_PEER_UNREADABLE] = "the kernel did not say",
    [SG_PEER_NOT_HERE] =
        "the program was replaced or deleted since it was started, or is in another "
        "mount namespace; if it was replaced, restart the service",
    [SG_PEER_ODD_PATH] = "the program's path is too long or has control characters",
    [SG_PEER_WOULD_WAIT] =
        "looking at the program took too long; its file system, or that of another's "
        "program, is slow to answer",
    [SG_PEER_TOO_LARGE] = "the program is larger than 256 MiB and is not hashed",
    [SG_PEER_FOREIGN_FILE] =
        "the program is on a file system that a user provides (FUSE), whose hash "
        "would say nothing",
    [SG_PEER_CHANGED] = "the program was changed, or another was executed, while it was looked at",
    [SG_PEER_NO_UNIT] = "the process belongs to no unit of systemd",
    [SG_PEER_OTHER_CGROUPS] = "the process is in a cgroup namespace that the daemon does not see",
    [SG_PEER_NO_USER] = "the uid has no name",
    [SG_PEER_ODD_USER] =
        "the user's name is too long or has characters other than letters, digits and _ . - @",
    [SG_PEER_TOO_MANY_GROUPS] = "the process has more than 1024 groups",
    [SG_PEER_NO_ANSWER] = "the process that looks at programs, signet-resolver, does not answer; "
                          "restart signetd if it has ended",
};

const char *sg_peer_outcome_text(enum sg_peer_outcome outcome)
{
    if (outcome == SG_PEER_FOUND) {
        return NULL;
    }
    return outcome < SG_PEER_NUM_OUTCOMES ? proc_texts[outcome] : proc_texts[0];
}

/* ---- Files ---- */

static enum sg_peer_outcome proc_outcome(int number)
{
    switch (number) {
    case ENOENT:
    case ESRCH:
        return SG_PEER_GONE;
    case EACCES:
    case EPERM:
        return SG_PEER_HIDDEN;
    default:
        return SG_PEER_UNREADABLE;
    }
}

/* All of a file, and a NUL behind it; one that fills text has not ended, and is refused. */
static enum sg_peer_outcome proc_read(int dir, const char *path, char *text, size_t cap)
{
    size_t len = 0;
    ssize_t got = -1;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return proc_outcome(errno);
    }
    while (len < cap && (got = read(fd, text + len, cap - len)) > 0) {
        len += (size_t)got;
    }
    int number = errno;
    (void)close(fd);
    if (got < 0) {
        return proc_outcome(number);
    }
    /* A NUL within would hide what follows. */
    if (len == cap || memchr(text, '\0', len) != NULL) {
        return SG_PEER_UNREADABLE;
    }
    text[len] = '\0';
    return SG_PEER_FOUND;
}

/* A number without a sign, and what follows it. */
static bool proc_number(const char *text, uint64_t max, uint64_t *out, const char **out_rest)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (at == text) {
        return false;
    }
    *out = number;
    *out_rest = at;
    return true;
}

/* ---- The start ---- */

bool sg_peer_proc_parse_started(const char *text, uint64_t *out)
{
    /* The name may hold anything, parentheses too; behind it there are only numbers and one letter. */
    const char *at = strrchr(text, ')');
    const char *rest = NULL;
    for (unsigned field = 0; at != NULL && field < PROC_STARTED_FIELD; field++) {
        at = strchr(at + 1, ' ');
    }
    uint64_t started = 0;
    if (at == NULL || !proc_number(at + 1, UINT64_MAX, &started, &rest) || *rest != ' ' ||
        started == 0) {
        return false;
    }
    *out = started;
    return true;
}

static enum sg_peer_outcome proc_read_started(int dir, const char *path, uint64_t *out)
{
    char text[PROC_MAX_STAT];
    enum sg_peer_outcome outcome = proc_read(dir, path, text, sizeof(text));
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    return sg_peer_proc_parse_started(text, out) ? SG_PEER_FOUND : SG_PEER_UNREADABLE;
}

enum sg_peer_outcome sg_peer_proc_started(const char *root, pid_t pid, uint64_t *out)
{
    char path[256];
    int len = snprintf(path, sizeof(path), "%s/%ld/stat", root, (long)pid);
    if (pid <= 0) {
        return SG_PEER_NO_PID;
    }
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return SG_PEER_UNREADABLE;
    }
    return proc_read_started(AT_FDCWD, path, out);
}

/* ---- A process ---- */

static bool proc_is_alive(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return poll(&ended, 1, 0) == 0;
}

static enum sg_peer_outcome proc_identify(const struct sg_peer_proc *proc)
{
    uint64_t started = 0;
    enum sg_peer_outcome outcome = proc_read_started(proc->dir, "stat", &started);
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    if (proc->process.started == 0) {
        return SG_PEER_GONE; /* it could not be seen when it connected */
    }
    return started == proc->process.started ? SG_PEER_FOUND : SG_PEER_ANOTHER;
}

/* Opens both ways to it; what was opened is in proc even if not both could be. */
static enum sg_peer_outcome proc_reach(const char *root, struct sg_peer_proc *proc)
{
    char path[256];
    int len = snprintf(path, sizeof(path), "%s/%ld", root, (long)proc->process.pid);
    proc->pidfd = (int)syscall(SYS_pidfd_open, proc->process.pid, 0);
    if (proc->pidfd < 0) {
        return proc_outcome(errno);
    }
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return SG_PEER_UNREADABLE;
    }
    proc->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc->dir < 0) {
        bool is_hidden = errno == ENOENT && proc_is_alive(proc->pidfd);
        return is_hidden ? SG_PEER_HIDDEN : proc_outcome(errno);
    }
    return SG_PEER_FOUND;
}

enum sg_peer_outcome sg_peer_proc_open(const char *root, const struct sg_peer_process *process,
                                       struct sg_peer_proc *out)
{
    struct sg_peer_proc proc = {.pidfd = -1, .dir = -1, .process = *process};
    if (process->pid <= 0) {
        return SG_PEER_NO_PID;
    }
    enum sg_peer_outcome outcome = proc_reach(root, &proc);
    if (outcome == SG_PEER_FOUND) {
        outcome = proc_identify(&proc);
    }
    if (outcome != SG_PEER_FOUND) {
        sg_peer_proc_close(&proc);
        return outcome;
    }
    *out = proc;
    return SG_PEER_FOUND;
}

void sg_peer_proc_close(struct sg_peer_proc *proc)
{
    if (proc->pidfd >= 0) {
        (void)close(proc->pidfd);
    }
    if (proc->dir >= 0) {
        (void)close(proc->dir);
    }
}

/* ---- status ---- */

/* What follows "NAME:" in the text of status. The first line, the process's name, cannot hold a newline: the
 * kernel writes one as \n. */
static const char *proc_status_field(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line != NULL ? line + strlen(name) : NULL;
}

/* The effective of the four numbers (real, effective, saved and of the file system) of a line. */
static bool proc_parse_effective(const char *text, const char *name, uint64_t *out)
{
    const char *at = proc_status_field(text, name);
    return at != NULL && proc_number(at, UINT32_MAX, out, &at) && *at == '\t' &&
           proc_number(at + 1, UINT32_MAX, out, &at);
}

enum sg_peer_outcome sg_peer_proc_ids(const char *root, pid_t pid, uid_t *uid, gid_t *gid)
{
    char path[256];
    char text[PROC_MAX_TEXT];
    uint64_t user = 0;
    uint64_t group = 0;
    int len = snprintf(path, sizeof(path), "%s/%ld/status", root, (long)pid);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return SG_PEER_UNREADABLE;
    }
    enum sg_peer_outcome outcome = proc_read(AT_FDCWD, path, text, sizeof(text));
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    if (!proc_parse_effective(text, "\nUid:\t", &user) ||
        !proc_parse_effective(text, "\nGid:\t", &group)) {
        return SG_PEER_UNREADABLE;
    }
    *uid = (uid_t)user;
    *gid = (gid_t)group;
    return SG_PEER_FOUND;
}

enum sg_peer_outcome sg_peer_proc_check(const struct sg_peer_proc *proc)
{
    char text[PROC_MAX_TEXT];
    enum sg_peer_outcome outcome = proc_read(proc->dir, "status", text, sizeof(text));
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    uint64_t uid = 0;
    if (!proc_parse_effective(text, "\nUid:\t", &uid)) {
        return SG_PEER_UNREADABLE;
    }
    if (uid != proc->process.uid) {
        return SG_PEER_OTHER_USER;
    }
    return proc_is_alive(proc->pidfd) ? SG_PEER_FOUND : SG_PEER_GONE;
}

/* Numbers up to the end of the line, each with a space behind it; for none there is a space as well. */
static enum sg_peer_outcome proc_parse_groups(const char *at, gid_t *groups, size_t *num)
{
    size_t count = 0;
    at += at[0] == ' ' && at[1] == '\n' ? 1 : 0;
    while (*at != '\n') {
        uint64_t gid = 0;
        if (!proc_number(at, UINT32_MAX, &gid, &at) || *at != ' ') {
            return SG_PEER_UNREADABLE;
        }
        if (count == SG_PEER_MAX_GROUPS) {
            return SG_PEER_TOO_MANY_GROUPS;
        }
        groups[count++] = (gid_t)gid;
        at++;
    }
    *num = count;
    return SG_PEER_FOUND;
}

enum sg_peer_outcome sg_peer_proc_groups(const struct sg_peer_proc *proc, gid_t **out, size_t *num)
{
    char text[PROC_MAX_TEXT];
    gid_t groups[SG_PEER_MAX_GROUPS];
    size_t count = 0;
    enum sg_peer_outcome outcome = proc_read(proc->dir, "status", text, sizeof(text));
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    const char *at = proc_status_field(text, "\nGroups:\t");
    outcome = at != NULL ? proc_parse_groups(at, groups, &count) : SG_PEER_UNREADABLE;
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    gid_t *copy = NULL;
    if (count > 0) {
        copy = malloc(count * sizeof(*copy));
        if (copy == NULL) {
            return SG_PEER_UNREADABLE;
        }
        memcpy(copy, groups, count * sizeof(*copy));
    }
    *out = copy;
    *num = count;
    return SG_PEER_FOUND;
}

/* ---- cgroup ---- */

enum sg_peer_outcome sg_peer_proc_unit(const struct sg_peer_proc *proc, char *out)
{
    char text[PROC_MAX_TEXT];
    enum sg_peer_outcome outcome = proc_read(proc->dir, "cgroup", text, sizeof(text));
    return outcome == SG_PEER_FOUND ? sg_peer_unit_parse(text, out) : outcome;
}
