/* SPDX-License-Identifier: Apache-2.0
 *
 * What a grant lets its peers put into tokens: its claim rules, compiled, and their use on one request.
 * A refusal is PERMISSION_DENIED and names the claim, never its value. Also without a grant's rules, claims
 * that look like secrets are refused.
 */
#ifndef SG_CLAIM_RULES_H
#define SG_CLAIM_RULES_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/claims.h"
#include "common/rpc.h"
#include "server/peer.h"
#include "signet/v1/token.pb-c.h"

struct sg_claim_rules;
struct sg_config_claim_rules;

/* sg_claim_rules_new compiles from; it copies what it needs. NULL without memory. A template that it does not
 * know stands for a fact that nobody has: what holds it is refused. */
struct sg_claim_rules *sg_claim_rules_new(const struct sg_config_claim_rules *from);
void sg_claim_rules_free(struct sg_claim_rules *rules); /* NULL is legal */

/* sg_claim_rules_facts returns what the templates ask for; bits of enum sg_peer_fact. */
unsigned sg_claim_rules_facts(const struct sg_claim_rules *rules);

/* sg_claim_rules_max_ttl_s returns the longest life of a token under the rules (NULL: none) in a keyset with
 * max_ttl_s: the lesser. A request without a ttl gets its default, but no more than this. */
uint32_t sg_claim_rules_max_ttl_s(const struct sg_claim_rules *rules, uint32_t max_ttl_s);

/* One request under the rules. */
struct sg_claim_ruling {
    /* For struct sg_new_claims. */
    struct sg_claim_check check;
    struct sg_forced_claim *forced; /* owned */
    size_t num_forced;

    const struct sg_claim_rules *rules; /* NULL: those of nobody */
    struct sg_rpc_status *error;        /* for the check */
};

/* sg_claim_ruling_init applies the rules to all of a request but its claims_json, and prepares for that to be
 * checked where it is read: give check, forced and num_forced to sg_claims_write, which returns
 * PERMISSION_DENIED after a refusal with *error filled. rules NULL: those of a peer that needs no grant;
 * secrets are refused still. All texts of the request are UTF-8. *out points to rules
 * and error, must not be moved, and is released with sg_claim_ruling_fini whatever this returns.
 * SIGNET_OK, or *error is filled: PERMISSION_DENIED with
 *   AUDIENCE_NOT_ALLOWED   an audience matches none of those allowed
 *   SUBJECT_NOT_ALLOWED    the subject does not match
 *   TTL_NOT_ALLOWED        ttl_s is more than the grant's maximum
 *   PAYLOAD_TOO_LARGE      claims_json is longer than the grant's maximum
 *   CLAIM_FORCED           a claim that the daemon sets needs a fact that the peer has not
 * and from the check
 *   CLAIM_FORCED           a claim is one that the daemon sets itself
 *   CLAIM_DENIED           a claim's name is denied
 *   CLAIM_NOT_ALLOWED      a claim's name is not among those allowed (or required)
 *   CLAIM_REQUIRED         a claim is missing
 *   CLAIM_SENSITIVE        a claim looks like a secret, at any depth (common/jose/sensitive_claims.h)
 * RESOURCE_EXHAUSTED without memory. Blocks for some reads of /proc if there are templates that need them. */
signet_status sg_claim_ruling_init(struct sg_claim_ruling *out, const struct sg_claim_rules *rules,
                                   const struct sg_peer *peer,
                                   const Signet__V1__SignRequest *request,
                                   struct sg_rpc_status *error) SIGNET_MUST_CHECK;
void sg_claim_ruling_fini(struct sg_claim_ruling *ruling); /* legal on a zeroed one */

#endif
