/* SPDX-License-Identifier: Apache-2.0
 *
 * A local process at the other end of a connection, as the kernel describes it. What the kernel says at
 * connect (uid, gid, pid) is there from the start; what has to be looked up in /proc is looked up once a
 * connection, and only if a grant asks for it.
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

/* What was found out. Belongs to the identity, and never changes: a later lookup makes another. */
struct sg_peer_facts {
    unsigned known;  /* enum sg_peer_fact: found out */
    unsigned failed; /* looked for in vain: what asks for it does not match */
    char user[SG_PEER_MAX_USER + 1];
    const gid_t *groups;
    size_t num_groups;
    char
        exe[SG_PEER_MAX_EXE + 1]; /* the path under which the daemon sees the very file that runs */
    uint8_t exe_sha256[32];
    char unit[SG_PEER_MAX_UNIT + 1];
    const char *problem; /* why the last that failed did; static; NULL: nothing failed */
};

struct sg_peer_identity;

struct sg_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    /* For the rest; belongs to the connection. NULL: nothing more can be known (tests of other things). */
    struct sg_peer_identity *identity;
};

/* sg_peer_facts_get looks up those of wanted (bits of enum sg_peer_fact) that were not looked up before, and
 * returns all that is known. Any thread; blocks for some reads of /proc, and with SG_PEER_EXE_SHA256 for as
 * long as it takes to read the executable, unless its hash is known. NULL without an identity. */
const struct sg_peer_facts *sg_peer_facts_get(struct sg_peer_identity *identity, unsigned wanted);

/* sg_peer_facts_are_quick says whether sg_peer_facts_get will not have to read an executable. */
bool sg_peer_facts_are_quick(struct sg_peer_identity *identity, unsigned wanted);

#endif
