/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a call may do what it asks for: the decision of the policy that its snapshot has, in the words
 * of an answer, and in the audit if it is no. What the caller is told is what it may know.
 */
#ifndef SG_ACCESS_H
#define SG_ACCESS_H

#include "server/config.h"
#include "server/policy.h"
#include "server/services.h"

/* For what is of no one keyset: a grant has to be on all of them. */
#define SG_ACCESS_ALL_KEYSETS ""

/* sg_access_check decides whether the call's peer may use the right (one bit) with a keyset; with NULL, with any
 * keyset at all; with SG_ACCESS_ALL_KEYSETS, with all. SIGNET_OK, or PERMISSION_DENIED with *error filled, and noted in the audit. *grant, unless it
 * is NULL, is the grant that decides, which belongs to the call's snapshot. May block as sg_policy_decide. */
signet_status sg_access_check(const struct sg_exchange *exchange, enum sg_right right,
                              const char *keyset, const struct sg_grant **grant,
                              struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* sg_access_find is sg_access_check that tells nobody: the grant, or NULL. */
const struct sg_grant *sg_access_find(const struct sg_exchange *exchange, enum sg_right right,
                                      const char *keyset);

/* sg_access_is_for is sg_policy_is_for of a snapshot. */
bool sg_access_is_for(const struct sg_keyring *keyring, const struct sg_peer *peer,
                      enum sg_right right);

/* sg_access_is_slow says whether a decision about the right may have to read an executable. */
bool sg_access_is_slow(const struct sg_keyring *keyring, const struct sg_peer *peer,
                       enum sg_right right);

/* sg_access_explain fills *error with what a denial says to its caller. */
signet_status sg_access_explain(const struct sg_decision *decision, struct sg_rpc_status *error);

#endif
