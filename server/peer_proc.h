/* SPDX-License-Identifier: Apache-2.0
 *
 * What /proc says of one process, and of no other that gets its pid. For peer.c and peer_resolver only. Reads
 * what the process itself can choose (names, paths, groups of a namespace): nothing of it is believed to be
 * short, whole or sane.
 */
#ifndef SG_PEER_PROC_H
#define SG_PEER_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a lookup ended. Zero is no outcome. Crosses between processes. */
enum sg_peer_outcome {
    SG_PEER_FOUND = 1,
    SG_PEER_NO_PID,       /* none in this pid namespace */
    SG_PEER_GONE,         /* it has ended */
    SG_PEER_ANOTHER,      /* another process has its pid */
    SG_PEER_HIDDEN,       /* /proc does not show it */
    SG_PEER_OTHER_USER,   /* its effective uid is not what it was */
    SG_PEER_FORBIDDEN,    /* we may not look */
    SG_PEER_UNREADABLE,   /* the kernel gave something else than what was expected, or nothing */
    SG_PEER_NOT_HERE,     /* the daemon sees another file under its path, or none */
    SG_PEER_ODD_PATH,     /* too long, or with control characters */
    SG_PEER_WOULD_WAIT,   /* cannot be told without waiting for a file system */
    SG_PEER_TOO_LARGE,    /* to be hashed */
    SG_PEER_FOREIGN_FILE, /* of a file system that a user provides */
    SG_PEER_CHANGED,      /* while it was looked at: the file, or which one it is */
    SG_PEER_NO_UNIT,
    SG_PEER_OTHER_CGROUPS, /* of another cgroup namespace */
    SG_PEER_NO_USER,
    SG_PEER_ODD_USER,
    SG_PEER_TOO_MANY_GROUPS,
    SG_PEER_NO_ANSWER, /* of the resolver's process */
    SG_PEER_NUM_OUTCOMES
};

/* sg_peer_outcome_text says it for people, and what would mend it; static. NULL for SG_PEER_FOUND. */
const char *sg_peer_outcome_text(enum sg_peer_outcome outcome);

/* Who is meant. */
struct sg_peer_process {
    pid_t pid;
    uid_t uid;        /* effective */
    uint64_t started; /* ticks after boot; 0: not known, and nothing will be found */
};

/* sg_peer_proc_started reads when the process that has the pid now started. root: "/proc", but in tests. */
enum sg_peer_outcome sg_peer_proc_started(const char *root, pid_t pid, uint64_t *out);

/* sg_peer_proc_parse_started takes it from the text of /proc/PID/stat. Written only if it returns true. */
bool sg_peer_proc_parse_started(const char *text, uint64_t *out);

/* sg_peer_proc_ids reads the effective uid and gid of the process that has the pid now, for operators who ask about
 * one. Written only if it is found. */
enum sg_peer_outcome sg_peer_proc_ids(const char *root, pid_t pid, uid_t *uid, gid_t *gid);

/* A process that is being looked at: its directory in /proc, which stays its own whoever gets its pid. */
struct sg_peer_proc {
    int pidfd, dir;
    struct sg_peer_process process;
};

/* sg_peer_proc_open finds the process. Close it with sg_peer_proc_close if it was found. */
enum sg_peer_outcome sg_peer_proc_open(const char *root, const struct sg_peer_process *process,
                                       struct sg_peer_proc *out);
void sg_peer_proc_close(struct sg_peer_proc *proc);

/* sg_peer_proc_check says whether it still runs, under the same effective uid. After reading, and before
 * anything that was read is believed. */
enum sg_peer_outcome sg_peer_proc_check(const struct sg_peer_proc *proc);

/* sg_peer_proc_groups reads the supplementary groups; *out is the caller's to free(), and NULL for none. */
enum sg_peer_outcome sg_peer_proc_groups(const struct sg_peer_proc *proc, gid_t **out, size_t *num);

/* sg_peer_proc_unit reads the unit of the system's service manager; out has room for SG_PEER_MAX_UNIT and a
 * NUL. */
enum sg_peer_outcome sg_peer_proc_unit(const struct sg_peer_proc *proc, char *out);

#endif
