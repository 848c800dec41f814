/* SPDX-License-Identifier: Apache-2.0
 *
 * Which program runs as another user, only CAP_SYS_PTRACE may see. The front must not have that: it could look
 * into the keyholder. So there is a process beside the daemon, signet-resolver, which has that right (and
 * CAP_DAC_READ_SEARCH, to hash programs that not everybody may read), runs as the daemon's user, and answers
 * one question of fixed size: what does this process run? To a front that was broken into it gives away paths
 * and hashes of programs, and nothing else. It ends with the daemon. Started whenever there is the right to
 * give to it, even if no grant asks for a program: a reload may bring one.
 *
 * Without it the front looks itself, which only works for processes of its own uid.
 *
 * Whatever may wait for a file system, reading a program above all, happens in a child of the resolver's, which is
 * killed after 10 s, so that a file system that hangs delays only who runs a program from it.
 */
#ifndef SG_PEER_RESOLVER_H
#define SG_PEER_RESOLVER_H

#include "server/peer.h"
#include "server/peer_exe.h"
#include "server/peer_proc.h"

/* ---- The process (resolver_process.c) ---- */

struct sg_peer_resolver_process {
    pid_t pid;
    int quick_fd, slow_fd; /* -1: there is none */
};
#define SG_PEER_RESOLVER_NONE ((struct sg_peer_resolver_process){.quick_fd = -1, .slow_fd = -1})

/* sg_peer_resolver_launch forks it, if this process has CAP_SYS_PTRACE, and has it run as uid and gid if this is
 * root. First of all, before there is another thread and before rights are given up; what has to do with
 * capabilities this process gives up itself, unless it is root. Without the right *out is
 * SG_PEER_RESOLVER_NONE, and that is OK. INTERNAL if it cannot be started. */
signet_status sg_peer_resolver_launch(uid_t uid, gid_t gid,
                                      struct sg_peer_resolver_process *out) SIGNET_MUST_CHECK;

/* sg_peer_resolver_stop ends it and waits for that. Nothing happens for SG_PEER_RESOLVER_NONE. */
void sg_peer_resolver_stop(struct sg_peer_resolver_process *process);

/* What crosses, on two SOCK_SEQPACKET pairs of one build. */
enum sg_peer_question_kind {
    SG_PEER_ASK_EXE = 1, /* quick_fd: from memory only; slow_fd: may wait */
    SG_PEER_ASK_SHA256   /* slow_fd */
};
struct sg_peer_question {
    uint32_t kind;
    uint32_t number; /* the answer has it too */
    int32_t pid;
    uint32_t uid;
    uint64_t started;
};
struct sg_peer_answer {
    uint32_t number;
    uint32_t outcome;       /* enum sg_peer_outcome; the rest is 0 unless FOUND */
    struct sg_peer_exe exe; /* of SHA256 only file */
    uint8_t sha256[SG_PEER_SHA256_LEN];
};

/* ---- The front's side ---- */

struct sg_peer_resolver_options {
    struct sg_peer_resolver_process process; /* descriptors stay the caller's */
    const char *proc;                        /* NULL: /proc */
    /* How long answers are waited for; 0 takes the default. Tests set less. */
    uint32_t quick_ms; /* 2000 */
    uint32_t slow_ms;  /* 10500: a little more than the resolver gives its child */
    /* NULL: sg_clock_mono_ms. */
    uint64_t (*read_mono_ms)(void);
    /* Names a uid: false if it has no name, or none that fits. NULL: getpwuid_r(3). */
    bool (*find_user)(uid_t uid, char *out, size_t cap);
};

/* sg_peer_resolver_new makes the front's end, which all connections share, and has the system load what it
 * names users with: before the front is confined. RESOURCE_EXHAUSTED without memory. */
signet_status sg_peer_resolver_new(const struct sg_peer_resolver_options *options,
                                   struct sg_peer_resolver **out) SIGNET_MUST_CHECK;

/* sg_peer_resolver_free takes NULL. After every identity was freed. */
void sg_peer_resolver_free(struct sg_peer_resolver *resolver);

/* The rest is for peer.c. Any thread. */

const char *sg_peer_resolver_proc(const struct sg_peer_resolver *resolver);

/* sg_peer_resolver_exe finds out what a process runs. NO_ANSWER at once if the resolver has ended, or owes an
 * answer. may_wait as for sg_peer_exe_find. */
enum sg_peer_outcome sg_peer_resolver_exe(struct sg_peer_resolver *resolver,
                                          const struct sg_peer_process *process, bool may_wait,
                                          struct sg_peer_exe *out);

/* sg_peer_resolver_recall gives the hash of a file that was hashed before, if it is still remembered. */
bool sg_peer_resolver_recall(struct sg_peer_resolver *resolver, const struct sg_peer_file *file,
                             uint8_t out[SG_PEER_SHA256_LEN]);

/* sg_peer_resolver_hash has what a process runs hashed, and remembers it. CHANGED if that is not the expected
 * file. */
enum sg_peer_outcome sg_peer_resolver_hash(struct sg_peer_resolver *resolver,
                                           const struct sg_peer_process *process,
                                           const struct sg_peer_file *expected,
                                           uint8_t out[SG_PEER_SHA256_LEN]);

/* sg_peer_resolver_user names a uid; out has room for SG_PEER_MAX_USER and a NUL. Remembered for 60 s. */
enum sg_peer_outcome sg_peer_resolver_user(struct sg_peer_resolver *resolver, uid_t uid, char *out);

#endif
