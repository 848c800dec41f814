/* SPDX-License-Identifier: Apache-2.0
 *
 * Decisions of the policy as answers. The same words for a keyset that there is and one that there is not: a denial is
 * not what tells of it. Names of keysets are no secret otherwise: ListKeysets and GetJwks are everybody's.
 */
#include "server/access.h"

#include <string.h>

#include "server/audit_note.h"
#include "server/right.h"

signet_status sg_access_explain(const struct sg_decision *decision, struct sg_rpc_status *error)
{
    const char *right = sg_right_name(decision->query.right);
    const struct sg_peer *peer = decision->query.peer;
    if (strcmp(decision->reason, "SELECTOR_MISSING") == 0) {
        return sg_rpc_fail(
            error, SIGNET_PERMISSION_DENIED, decision->reason,
            "a grant to %s is for this user, but not for this process: its %s is another; "
            "see signet policy explain --pid %ld",
            right, decision->selector != NULL ? decision->selector : "identity", (long)peer->pid);
    }
    if (strcmp(decision->reason, "NO_GRANT_FOR_KEYSET") == 0) {
        return sg_rpc_fail(
            error, SIGNET_PERMISSION_DENIED, decision->reason,
            "this process (uid %lu) may %s, but not with this keyset; an operator can "
            "change its grants in signet.yaml",
            (unsigned long)peer->uid, right);
    }
    return sg_rpc_fail(
        error, SIGNET_PERMISSION_DENIED, decision->reason,
        "no grant lets this process (uid %lu) %s; an operator can add one to signet.yaml",
        (unsigned long)peer->uid, right);
}

static void access_decide(const struct sg_keyring *keyring, const struct sg_peer *peer,
                          enum sg_right right, const char *keyset, struct sg_decision *decision)
{
    const struct sg_policy *policy = sg_keyring_policy(keyring);
    if (policy == NULL) {
        *decision =
            (struct sg_decision){.reason = "NO_GRANT", .query = {.peer = peer, .right = right}};
    } else if (keyset == NULL) {
        sg_policy_decide_any(policy, peer, right, decision);
    } else {
        sg_policy_decide(policy, peer, right, keyset[0] != '\0' ? keyset : NULL, decision);
    }
}

signet_status sg_access_check(const struct sg_exchange *exchange, enum sg_right right,
                              const char *keyset, const struct sg_grant **grant,
                              struct sg_rpc_status *error)
{
    struct sg_decision decision;
    access_decide(exchange->keyring, &exchange->peer, right, keyset, &decision);
    if (!decision.is_allowed) {
        signet_status status = sg_access_explain(&decision, error);
        sg_audit_note_denial(exchange, &decision, error);
        return status;
    }
    if (grant != NULL) {
        *grant = decision.grant;
    }
    return SIGNET_OK;
}

const struct sg_grant *sg_access_find(const struct sg_exchange *exchange, enum sg_right right,
                                      const char *keyset)
{
    struct sg_decision decision;
    access_decide(exchange->keyring, &exchange->peer, right, keyset, &decision);
    return decision.is_allowed ? decision.grant : NULL;
}

bool sg_access_is_for(const struct sg_keyring *keyring, const struct sg_peer *peer,
                      enum sg_right right)
{
    const struct sg_policy *policy = sg_keyring_policy(keyring);
    return policy != NULL && sg_policy_is_for(policy, peer, right);
}

bool sg_access_is_slow(const struct sg_keyring *keyring, const struct sg_peer *peer,
                       enum sg_right right)
{
    const struct sg_policy *policy = sg_keyring_policy(keyring);
    return policy != NULL && sg_policy_needs_slow_facts_any(policy, peer, right);
}
