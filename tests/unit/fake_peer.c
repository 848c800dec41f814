/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts about a made-up peer.
 */
#include "tests/unit/fake_peer.h"

#include <stddef.h>

void fake_peer_make(struct sg_peer *peer, struct sg_peer_identity *identity, uid_t uid, gid_t gid)
{
    *identity = (struct sg_peer_identity){.num_calls = 0};
    *peer = (struct sg_peer){.uid = uid, .gid = gid, .pid = 1, .identity = identity};
}

const struct sg_peer_facts *sg_peer_facts_get(struct sg_peer_identity *identity, unsigned wanted)
{
    if (identity == NULL) {
        return NULL;
    }
    identity->num_calls++;
    identity->asked |= wanted;
    unsigned known = identity->all.known & identity->asked;
    identity->told = identity->all;
    identity->told.known = known;
    identity->told.failed = identity->asked & ~known;
    identity->told.problem = identity->told.failed != 0 ? "made up to be so" : NULL;
    return &identity->told;
}

bool sg_peer_facts_are_quick(struct sg_peer_identity *identity, unsigned wanted)
{
    return (wanted & SG_PEER_EXE_SHA256) == 0 || identity->hash_is_quick ||
           (identity->asked & SG_PEER_EXE_SHA256) != 0;
}
