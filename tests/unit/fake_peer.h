/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer whose facts a test makes up, in the place of server/peer.c.
 */
#ifndef SG_TEST_FAKE_PEER_H
#define SG_TEST_FAKE_PEER_H

#include "server/peer.h"

struct sg_peer_identity {
    struct sg_peer_facts all; /* what can be found; known: what of it */
    bool hash_is_quick;
    struct sg_peer_facts told; /* what was asked for so far */
    unsigned asked;            /* bits of enum sg_peer_fact */
    unsigned num_calls;
};

/* fake_peer_make has the peer be a user with facts; the rest of it is zero. */
void fake_peer_make(struct sg_peer *peer, struct sg_peer_identity *identity, uid_t uid, gid_t gid);

#endif
