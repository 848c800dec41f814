/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiling grants, and deciding. Deciding allocates nothing, and for grants that ask for users only it
 * compares numbers and names.
 */
#include "server/policy.h"

#include <stdlib.h>
#include <string.h>

#include "server/claim_rules.h"
#include "server/glob.h"
#include "server/policy_grants.h"

/* ---- Compiling ---- */

static bool policy_copy_text(char **out, const char *text)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

static bool policy_copy_who(struct sg_grant *grant, const struct sg_config_who *who)
{
    grant->is_anybody = who->is_anybody;
    grant->uid = who->uid;
    grant->gid = who->gid;
    grant->has_exe_sha256 = who->has_exe_sha256;
    memcpy(grant->exe_sha256, who->exe_sha256, sizeof(grant->exe_sha256));
    return policy_copy_text(&grant->user, who->user) &&
           policy_copy_text(&grant->group, who->group) && policy_copy_text(&grant->exe, who->exe) &&
           policy_copy_text(&grant->unit, who->unit);
}

static bool policy_copy_keysets(struct sg_grant *grant, const struct sg_config_grant *from)
{
    grant->keysets = calloc(from->num_keysets + 1, sizeof(*grant->keysets));
    bool done = grant->keysets != NULL;
    for (size_t i = 0; done && i < from->num_keysets; i++) {
        grant->is_on_all_keysets = grant->is_on_all_keysets || strcmp(from->keysets[i], "*") == 0;
        done = policy_copy_text(&grant->keysets[grant->num_keysets++], from->keysets[i]);
    }
    return done;
}

static unsigned policy_grant_facts(const struct sg_grant *grant)
{
    unsigned facts = sg_claim_rules_facts(grant->claims);
    facts |= grant->group != NULL ? (unsigned)SG_PEER_GROUPS : 0;
    facts |= grant->unit != NULL ? (unsigned)SG_PEER_UNIT : 0;
    facts |= grant->exe != NULL ? (unsigned)SG_PEER_EXE : 0;
    facts |= grant->has_exe_sha256 ? (unsigned)SG_PEER_EXE_SHA256 : 0;
    return facts;
}

static bool policy_add(struct sg_policy *policy, const struct sg_config_grant *from)
{
    struct sg_grant *grant = &policy->grants[policy->num];
    grant->index = policy->num++;
    grant->may = from->may;
    grant->max_ttl_s = from->claims.max_ttl_s;
    grant->max_live_tokens = from->max_live_tokens;
    grant->claims = sg_claim_rules_new(&from->claims);
    if (grant->claims == NULL || !policy_copy_text(&grant->name, from->name) ||
        !policy_copy_who(grant, &from->who) || !policy_copy_keysets(grant, from)) {
        return false;
    }
    policy->facts |= policy_grant_facts(grant);
    return true;
}

signet_status sg_policy_new(const struct sg_config_grant *grants, size_t num,
                            struct sg_policy **out)
{
    struct sg_policy *policy = calloc(1, sizeof(*policy) + num * sizeof(policy->grants[0]));
    bool done = policy != NULL;
    if (done) {
        atomic_init(&policy->num_refs, 1);
    }
    for (size_t i = 0; done && i < num; i++) {
        done = policy_add(policy, &grants[i]);
    }
    if (!done) {
        sg_policy_unref(policy);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = policy;
    return SIGNET_OK;
}

struct sg_policy *sg_policy_ref(struct sg_policy *policy)
{
    atomic_fetch_add_explicit(&policy->num_refs, 1, memory_order_relaxed);
    return policy;
}

static void policy_fini_grant(struct sg_grant *grant)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        free(grant->keysets[i]);
    }
    free(grant->keysets);
    free(grant->name);
    free(grant->user);
    free(grant->group);
    free(grant->exe);
    free(grant->unit);
    sg_claim_rules_free(grant->claims);
}

void sg_policy_unref(struct sg_policy *policy)
{
    if (policy == NULL ||
        atomic_fetch_sub_explicit(&policy->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < policy->num; i++) {
        policy_fini_grant(&policy->grants[i]);
    }
    free(policy);
}

/* ---- What there is ---- */

unsigned sg_policy_facts(const struct sg_policy *policy)
{
    return policy->facts;
}

size_t sg_policy_num_grants(const struct sg_policy *policy)
{
    return policy->num;
}

const struct sg_grant *sg_policy_grant(const struct sg_policy *policy, size_t index)
{
    return &policy->grants[index];
}

const char *sg_grant_name(const struct sg_grant *grant)
{
    return grant->name;
}

size_t sg_grant_index(const struct sg_grant *grant)
{
    return grant->index;
}

uint32_t sg_grant_max_live_tokens(const struct sg_grant *grant)
{
    return grant->max_live_tokens;
}

uint32_t sg_grant_max_ttl_s(const struct sg_grant *grant)
{
    return grant->max_ttl_s;
}

const struct sg_claim_rules *sg_grant_claim_rules(const struct sg_grant *grant)
{
    return grant->claims;
}

/* ---- Whether a grant matches ---- */

/* Whether the facts are known, once they have been looked for. */
static bool policy_knows(struct sg_policy_query *query, unsigned facts)
{
    unsigned looked_for = query->facts != NULL ? query->facts->known | query->facts->failed : 0;
    if ((looked_for & facts) != facts && query->peer->identity != NULL) {
        query->facts = sg_peer_facts_get(query->peer->identity, facts);
    }
    return query->facts != NULL && (query->facts->known & facts) == facts;
}

static bool policy_user_matches(const struct sg_grant *grant, const struct sg_peer *peer)
{
    if (grant->user != NULL) {
        return grant->uid == peer->uid;
    }
    return grant->is_anybody || grant->group != NULL || grant->exe != NULL || grant->unit != NULL ||
           grant->has_exe_sha256;
}

static bool policy_right_matches(const struct sg_grant *grant, enum sg_right right)
{
    return right != 0 && (grant->may & (unsigned)right) == (unsigned)right;
}

static bool policy_keyset_matches(const struct sg_grant *grant, const struct sg_policy_query *query)
{
    const char *keyset = query->keyset;
    if (query->is_any_keyset) {
        return true;
    }
    if (grant->is_on_all_keysets || keyset == NULL) {
        return grant->is_on_all_keysets;
    }
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (sg_glob_match(grant->keysets[i], keyset)) {
            return true;
        }
    }
    return false;
}

static bool policy_group_matches(const struct sg_grant *grant, struct sg_policy_query *query)
{
    if (grant->group == NULL || grant->gid == query->peer->gid) {
        return true;
    }
    if (!policy_knows(query, SG_PEER_GROUPS)) {
        return false;
    }
    for (size_t i = 0; i < query->facts->num_groups; i++) {
        if (query->facts->groups[i] == grant->gid) {
            return true;
        }
    }
    return false;
}

static bool policy_unit_matches(const struct sg_grant *grant, struct sg_policy_query *query)
{
    return grant->unit == NULL ||
           (policy_knows(query, SG_PEER_UNIT) && sg_glob_match(grant->unit, query->facts->unit));
}

static bool policy_exe_matches(const struct sg_grant *grant, struct sg_policy_query *query)
{
    return grant->exe == NULL ||
           (policy_knows(query, SG_PEER_EXE) && strcmp(grant->exe, query->facts->exe) == 0);
}

static bool policy_hash_matches(const struct sg_grant *grant, struct sg_policy_query *query)
{
    return !grant->has_exe_sha256 ||
           (policy_knows(query, SG_PEER_EXE_SHA256) &&
            memcmp(grant->exe_sha256, query->facts->exe_sha256, sizeof(grant->exe_sha256)) == 0);
}

/* All but the hash. */
static enum sg_selector policy_quickly_failing(const struct sg_grant *grant,
                                               struct sg_policy_query *query)
{
    if (!policy_user_matches(grant, query->peer)) {
        return SG_SELECTOR_USER;
    }
    if (!policy_right_matches(grant, query->right)) {
        return SG_SELECTOR_RIGHT;
    }
    if (!policy_keyset_matches(grant, query)) {
        return SG_SELECTOR_KEYSET;
    }
    if (!policy_group_matches(grant, query)) {
        return SG_SELECTOR_GROUP;
    }
    if (!policy_unit_matches(grant, query)) {
        return SG_SELECTOR_UNIT;
    }
    return policy_exe_matches(grant, query) ? SG_SELECTOR_NONE : SG_SELECTOR_EXE;
}

enum sg_selector sg_grant_failing(const struct sg_grant *grant, struct sg_policy_query *query)
{
    enum sg_selector failing = policy_quickly_failing(grant, query);
    if (failing == SG_SELECTOR_NONE && !policy_hash_matches(grant, query)) {
        failing = SG_SELECTOR_EXE_SHA256;
    }
    return failing;
}

/* ---- Deciding ---- */

/* How near a grant came; what is greater is nearer. */
enum policy_nearness {
    POLICY_FAR = 0,
    POLICY_FOR_OTHERS, /* with this right on this keyset */
    POLICY_FOR_USER,
    POLICY_WITH_RIGHT,
    POLICY_ON_KEYSET /* and one more for each selector that matched */
};

/* What of a grant that does not match failed, and how near that came. */
static unsigned policy_nearness(const struct sg_grant *grant, struct sg_policy_query *query,
                                enum sg_selector *failing)
{
    *failing = sg_grant_failing(grant, query);
    bool is_for_user = policy_user_matches(grant, query->peer);
    if (is_for_user && grant->user == NULL && !policy_group_matches(grant, query)) {
        is_for_user = false;
        *failing = SG_SELECTOR_GROUP;
    }
    bool has_right = policy_right_matches(grant, query->right);
    bool has_keyset = policy_keyset_matches(grant, query);
    if (!is_for_user) {
        return has_right && has_keyset ? POLICY_FOR_OTHERS : POLICY_FAR;
    }
    if (!has_right || !has_keyset) {
        return has_right ? POLICY_WITH_RIGHT : POLICY_FOR_USER;
    }
    /* A fact that was found only now, too late for the decision, leaves nothing that failed. */
    return *failing < SG_SELECTOR_GROUP
               ? POLICY_FAR
               : POLICY_ON_KEYSET + (unsigned)(*failing - SG_SELECTOR_GROUP);
}

/* What the caller is told; see sg_policy_decide. */
static void policy_give_reason(struct sg_decision *out, unsigned nearness)
{
    if (nearness >= POLICY_ON_KEYSET) {
        out->reason = "SELECTOR_MISSING";
        out->selector =
            sg_selector_name(out->failed == SG_SELECTOR_EXE_SHA256 ? SG_SELECTOR_EXE : out->failed);
    } else if (nearness == POLICY_WITH_RIGHT) {
        out->reason = "NO_GRANT_FOR_KEYSET";
    } else if (nearness == POLICY_FOR_USER) {
        out->reason = "NO_GRANT_FOR_RIGHT";
    } else {
        out->reason = "NO_GRANT";
    }
}

static void policy_deny(const struct sg_policy *policy, struct sg_decision *out)
{
    unsigned nearest = POLICY_FAR;
    for (size_t i = 0; i < policy->num; i++) {
        enum sg_selector failing = SG_SELECTOR_NONE;
        unsigned nearness = policy_nearness(&policy->grants[i], &out->query, &failing);
        if (nearness > nearest) {
            nearest = nearness;
            out->closest = &policy->grants[i];
            out->failed = failing;
        }
    }
    policy_give_reason(out, nearest);
}

/* out->query says what is asked. */
static void policy_decide(const struct sg_policy *policy, struct sg_decision *out)
{
    for (size_t i = 0; i < policy->num; i++) {
        if (sg_grant_failing(&policy->grants[i], &out->query) == SG_SELECTOR_NONE) {
            out->is_allowed = true;
            out->grant = &policy->grants[i];
            return;
        }
    }
    policy_deny(policy, out);
}

void sg_policy_decide(const struct sg_policy *policy, const struct sg_peer *peer,
                      enum sg_right right, const char *keyset, struct sg_decision *out)
{
    *out = (struct sg_decision){.query = {.peer = peer, .right = right, .keyset = keyset}};
    policy_decide(policy, out);
}

void sg_policy_decide_any(const struct sg_policy *policy, const struct sg_peer *peer,
                          enum sg_right right, struct sg_decision *out)
{
    *out = (struct sg_decision){.query = {.peer = peer, .right = right, .is_any_keyset = true}};
    policy_decide(policy, out);
}

bool sg_policy_is_for(const struct sg_policy *policy, const struct sg_peer *peer,
                      enum sg_right right)
{
    for (size_t i = 0; i < policy->num; i++) {
        if (policy_user_matches(&policy->grants[i], peer) &&
            policy_right_matches(&policy->grants[i], right)) {
            return true;
        }
    }
    return false;
}

/* What a decision by the grant, and its claim rules if something is signed, may have to wait for. */
static unsigned policy_slow_facts(const struct sg_grant *grant, enum sg_right right)
{
    unsigned facts = (grant->exe != NULL ? (unsigned)SG_PEER_EXE : 0) |
                     (grant->has_exe_sha256 ? (unsigned)SG_PEER_EXE_SHA256 : 0);
    if (right == SG_RIGHT_SIGN) {
        facts |= sg_claim_rules_facts(grant->claims) & (unsigned)SG_PEER_USER;
    }
    return facts;
}

bool sg_policy_needs_slow_facts_any(const struct sg_policy *policy, const struct sg_peer *peer,
                                    enum sg_right right)
{
    const unsigned slow = SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_USER;
    if ((policy->facts & slow) == 0 || peer->identity == NULL) {
        return false;
    }
    for (size_t i = 0; i < policy->num; i++) {
        const struct sg_grant *grant = &policy->grants[i];
        unsigned wanted = policy_slow_facts(grant, right);
        if (wanted != 0 && policy_user_matches(grant, peer) && policy_right_matches(grant, right) &&
            !sg_peer_facts_are_quick(peer->identity, wanted)) {
            return true;
        }
    }
    return false;
}
