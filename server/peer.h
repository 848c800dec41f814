/* SPDX-License-Identifier: Apache-2.0
 *
 * A local process at the other end of a connection, as the kernel describes it. What the kernel says at
 * connect (uid, gid, pid) is there from the start; what has to be looked up in /proc is looked up once a
 * connection, and only if a grant asks for it.
 *
 * What is looked up is of the process that had the pid when the connection was accepted, as it is when it is
 * looked up: it must not have started after that, must have the start time that was noted then, must not end
 * meanwhile, and must still have the effective uid with which it connected. Otherwise nothing is known of it.
 *
 * What cannot be known: nng does not give the descriptor, so the pid is all there is to go by. A process may
 * connect, leave the connection to another (a child, whoever it passes it to), and execute another program,
 * whose facts are then found; and one that ended before its connection was accepted may have had its pid
 * taken over by another of the same uid. So the facts of one peer can be had by other processes of its uid,
 * which a user of its own for every service prevents, and by whoever may execute its program as it.
 */
#ifndef SG_PEER_H
#define SG_PEER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What can be looked up; bits. */
enum sg_peer_fact {
    SG_PEER_USER = 1,   /* name of the uid, for templates */
    SG_PEER_GROUPS = 2, /* supplementary groups */
    SG_PEER_EXE = 4,
    SG_PEER_EXE_SHA256 = 8,
    SG_PEER_UNIT = 16
};

#define SG_PEER_MAX_USER   32u
#define SG_PEER_MAX_EXE    1023u
#define SG_PEER_MAX_UNIT   255u
#define SG_PEER_MAX_GROUPS 1024u
#define SG_PEER_SHA256_LEN 32u

/* What was found out. Belongs to the identity, and never changes: a later lookup makes another. */
struct sg_peer_facts {
    unsigned known;  /* enum sg_peer_fact: found out */
    unsigned failed; /* looked for in vain: what asks for it does not match */
    /* Letters, digits and _ . - @, not only digits. */
    char user[SG_PEER_MAX_USER + 1];
    const gid_t *groups;
    size_t num_groups;
    /* The path under which the daemon sees the very file that runs. Absolute, no control characters; not
     * always UTF-8. */
    char exe[SG_PEER_MAX_EXE + 1];
    uint8_t exe_sha256[SG_PEER_SHA256_LEN];
    char unit[SG_PEER_MAX_UNIT + 1]; /* letters, digits and : - _ . \ @ */
    const char *problem; /* why the last that failed did; static; NULL: nothing failed */
};

struct sg_peer_identity;
struct sg_peer_resolver;
struct sg_quota_account;

struct sg_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    /* For the rest; belongs to the connection. NULL: nothing more can be known (tests of other things). */
    struct sg_peer_identity *identity;
    /* Of its uid, for what it spends; as long as the connection. NULL: nothing is counted (tests). */
    struct sg_quota_account *account;
};

/* sg_peer_boot_ms is CLOCK_BOOTTIME in milliseconds, by which the kernel counts when processes started. */
uint64_t sg_peer_boot_ms(void);

/* sg_peer_identity_new notes who connected, and when that process started, for later lookups. accepted_ms is
 * the sg_peer_boot_ms at which the connection had been accepted at the latest: a process that started later did
 * not make it. A pid of 0 (of another pid namespace), and a process that has ended, give an identity of which
 * nothing can be found out. The resolver must outlive it. RESOURCE_EXHAUSTED without memory. Blocks for one
 * read of /proc. */
signet_status sg_peer_identity_new(struct sg_peer_resolver *resolver, const struct sg_peer *peer,
                                   uint64_t accepted_ms,
                                   struct sg_peer_identity **out) SIGNET_MUST_CHECK;

/* sg_peer_identity_free takes NULL. Its facts end with it. */
void sg_peer_identity_free(struct sg_peer_identity *identity);

/* sg_peer_facts_get looks up those of wanted (bits of enum sg_peer_fact) that were not looked up before, and
 * returns all that is known; what could not be looked up for want of memory is neither known nor failed.
 * Any thread. Blocks for some reads of /proc, for at most 2 s if the resolver does not
 * answer, for as long as the system takes to name a user, and where
 * sg_peer_facts_are_quick says that it is not quick, for at most 11 s more. NULL without an identity. */
const struct sg_peer_facts *sg_peer_facts_get(struct sg_peer_identity *identity, unsigned wanted);

/* sg_peer_facts_are_quick says whether sg_peer_facts_get will not have to name a user, read an executable or wait for
 * its file system. Blocks for some reads of /proc. Any thread. */
bool sg_peer_facts_are_quick(struct sg_peer_identity *identity, unsigned wanted);

#endif
