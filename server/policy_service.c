/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy for operators. ExplainPolicy decides by the same code as a request does, for a process that
 * has not asked.
 */
#include "server/policy_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/jose/claims.h"
#include "server/access.h"
#include "server/claim_rules.h"
#include "server/fuse.h"
#include "server/peer_proc.h"
#include "server/peer_resolver.h"
#include "server/request_rules.h"
#include "server/right.h"
#include "signet/v1/admin.pb-c.h"

/* ---- ExplainPolicy ---- */

/* The answer, and what it points to. */
struct explain {
    struct sg_exchange *exchange;
    const Signet__V1__ExplainPolicyRequest *request;
    enum sg_right right;
    struct sg_peer peer;
    Signet__V1__ExplainPolicyResponse response;
    Signet__V1__ExplainedPeer peer_message;
    char sha256[2 * SG_PEER_SHA256_LEN + 1];
    struct sg_rpc_status denial; /* what the process would be told */
    bool is_out_of_memory;
};

static signet_status explain_check(struct explain *explain)
{
    const Signet__V1__ExplainPolicyRequest *request = explain->request;
    struct sg_rpc_status *error = &explain->exchange->error;
    explain->right = (enum sg_right)sg_right_of(request->right);
    if (explain->right == 0) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "RIGHT_INVALID",
                           "right: expected sign, verify, revoke or admin");
    }
    if (request->pid == 0 || request->pid > INT32_MAX) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "PID_INVALID",
                           "pid: expected the number of a process");
    }
    return sg_rule_keyset_name(request->keyset, error);
}

static signet_status explain_find_peer(struct explain *explain)
{
    struct sg_exchange *exchange = explain->exchange;
    struct sg_peer *peer = &explain->peer;
    struct sg_peer_resolver *resolver = exchange->service->resolver;
    peer->pid = (pid_t)explain->request->pid;
    enum sg_peer_outcome outcome =
        sg_peer_proc_ids(resolver != NULL ? sg_peer_resolver_proc(resolver) : "/proc", peer->pid,
                         &peer->uid, &peer->gid);
    if (outcome != SG_PEER_FOUND) {
        return sg_rpc_fail(&exchange->error, SIGNET_NOT_FOUND, "PROCESS_UNKNOWN", "pid: %s",
                           sg_peer_outcome_text(outcome));
    }
    if (resolver == NULL) {
        return SIGNET_OK;
    }
    return sg_peer_identity_new(resolver, peer, sg_peer_boot_ms(), &peer->identity) == SIGNET_OK
               ? SIGNET_OK
               : sg_exchange_no_memory(exchange);
}

/* ---- What is told ---- */

static char *explain_copy(struct explain *explain, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = sg_arena_alloc(explain->exchange->arena, len);
    if (copy == NULL) {
        explain->is_out_of_memory = true;
        return sg_reply_text("");
    }
    return memcpy(copy, text, len);
}

static void explain_tell_facts(struct explain *explain, const struct sg_peer_facts *facts)
{
    Signet__V1__ExplainedPeer *message = &explain->peer_message;
    message->user = sg_reply_text(facts->user);
    message->unit = sg_reply_text(facts->unit);
    message->problem = sg_reply_text(facts->problem);
    message->exe = explain_copy(explain, facts->exe);
    for (char *at = message->exe; *at != '\0'; at++) {
        *at = *at >= ' ' && *at <= '~' ? *at : '?'; /* a path need not be UTF-8 */
    }
    if ((facts->known & SG_PEER_EXE_SHA256) != 0) {
        for (size_t i = 0; i < sizeof(facts->exe_sha256); i++) {
            (void)snprintf(explain->sha256 + 2 * i, 3, "%02x", facts->exe_sha256[i]);
        }
        message->exe_sha256 = explain->sha256;
    }
    _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "groups are sent as they are");
    message->groups = (uint32_t *)(uintptr_t)facts->groups; /* only read */
    message->n_groups = facts->num_groups;
}

static void explain_tell_peer(struct explain *explain, const struct sg_policy *policy)
{
    Signet__V1__ExplainedPeer *message = &explain->peer_message;
    signet__v1__explained_peer__init(message);
    message->uid = explain->peer.uid;
    message->gid = explain->peer.gid;
    message->pid = (uint32_t)explain->peer.pid;
    explain->response.peer = message;
    const struct sg_peer_facts *facts =
        sg_peer_facts_get(explain->peer.identity, sg_policy_facts(policy) | SG_PEER_USER);
    if (facts != NULL) {
        explain_tell_facts(explain, facts);
    }
}

static void explain_visit(void *context, const struct sg_explained *step)
{
    struct explain *explain = context;
    Signet__V1__ExplainPolicyResponse *response = &explain->response;
    Signet__V1__ExplainedGrant *grant = sg_arena_alloc(explain->exchange->arena, sizeof(*grant));
    char why[SG_POLICY_MAX_TEXT];
    if (grant == NULL) {
        explain->is_out_of_memory = true;
        return;
    }
    if (step->matches) {
        (void)snprintf(why, sizeof(why), "all that it asks for matches, so that it decides");
    } else {
        (void)snprintf(why, sizeof(why), "%s is %.1024s, and has to be %.1024s",
                       sg_selector_name(step->failed), step->actual, step->expected);
    }
    signet__v1__explained_grant__init(grant);
    grant->name = sg_reply_text(sg_grant_name(step->grant));
    grant->matches = step->matches;
    grant->why = explain_copy(explain, why);
    response->grants[response->n_grants++] = grant;
}

/* The claim rules, as signing applies them. */
static signet_status explain_claims(struct explain *explain, const struct sg_grant *grant)
{
    struct sg_claim_ruling ruling = {0};
    const Signet__V1__SignRequest *sign = explain->request->sign;
    signet_status status = sg_claim_ruling_init(&ruling, sg_grant_claim_rules(grant),
                                                &explain->peer, sign, &explain->denial);
    const struct sg_new_claims claims = {
        .issuer = "",
        .jti = "",
        .subject = sign->subject,
        .audiences = (const char *const *)sign->audience,
        .num_audiences = sign->n_audience,
        .extra_json = sign->claims_json[0] != '\0' ? sign->claims_json : NULL,
        .extra_json_len = strlen(sign->claims_json),
        .check = ruling.check,
        .forced = ruling.forced,
        .num_forced = ruling.num_forced,
    };
    char *text = NULL;
    size_t len = 0;
    const char *detail = NULL;
    if (status == SIGNET_OK) {
        status = sg_claims_write(&claims, &text, &len, &detail);
    }
    if (status == SIGNET_INVALID_ARGUMENT) {
        (void)sg_rpc_fail(&explain->denial, status, "CLAIMS_INVALID", "claims_json: %s", detail);
    }
    free(text);
    sg_claim_ruling_fini(&ruling);
    return status;
}

static signet_status explain_decide(struct explain *explain, const struct sg_policy *policy)
{
    const Signet__V1__ExplainPolicyRequest *request = explain->request;
    Signet__V1__ExplainPolicyResponse *response = &explain->response;
    struct sg_decision decision;
    sg_policy_decide(policy, &explain->peer, explain->right, request->keyset, &decision);
    if (!decision.is_allowed && explain->right == SG_RIGHT_ADMIN &&
        (explain->peer.uid == 0 || explain->peer.uid == geteuid())) {
        response->allowed = true;
        response->reason = sg_reply_text("OPERATOR");
        response->message =
            sg_reply_text("root and the daemon's own user need no grant on admin.sock");
        return SIGNET_OK;
    }
    if (!decision.is_allowed) {
        (void)sg_access_explain(&decision, &explain->denial);
    } else {
        response->grant = sg_reply_text(sg_grant_name(decision.grant));
        if (explain->right == SG_RIGHT_SIGN && request->sign != NULL &&
            explain_claims(explain, decision.grant) == SIGNET_RESOURCE_EXHAUSTED) {
            return sg_exchange_no_memory(explain->exchange);
        }
        if (explain->right == SG_RIGHT_SIGN && explain->denial.code == SIGNET_OK &&
            explain->exchange->service->fuse != NULL &&
            sg_fuse_is_frozen(explain->exchange->service->fuse, sg_grant_name(decision.grant))) {
            (void)sg_rpc_fail(&explain->denial, SIGNET_FAILED_PRECONDITION, "GRANT_FROZEN",
                              "the grant is frozen; see signet policy list");
        }
    }
    response->allowed = explain->denial.code == SIGNET_OK;
    if (!response->allowed) {
        response->reason = sg_reply_text(explain->denial.reason);
        response->message = explain->denial.message;
    }
    return SIGNET_OK;
}

static signet_status explain_answer(struct explain *explain)
{
    struct sg_exchange *exchange = explain->exchange;
    const struct sg_policy *policy = sg_keyring_policy(exchange->keyring);
    Signet__V1__ExplainPolicyResponse *response = &explain->response;
    signet__v1__explain_policy_response__init(response);
    if (policy == NULL) {
        return sg_exchange_no_memory(exchange); /* no configuration is without one */
    }
    response->grants = sg_arena_alloc(exchange->arena, (sg_policy_num_grants(policy) + 1) *
                                                           sizeof(Signet__V1__ExplainedGrant *));
    if (response->grants == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    response->keyset_exists =
        sg_keyring_keyset(exchange->keyring, explain->request->keyset) != NULL;
    explain_tell_peer(explain, policy);
    sg_policy_explain(policy, &explain->peer, explain->right, explain->request->keyset,
                      explain_visit, explain);
    signet_status status = explain_decide(explain, policy);
    if (status == SIGNET_OK && explain->is_out_of_memory) {
        status = sg_exchange_no_memory(exchange);
    }
    return status == SIGNET_OK ? sg_exchange_append(exchange, &response->base) : status;
}

signet_status sg_policy_explain_call(struct sg_exchange *exchange)
{
    struct explain explain = {
        .exchange = exchange,
        .request = (const Signet__V1__ExplainPolicyRequest *)exchange->request,
    };
    signet_status status = explain_check(&explain);
    if (status == SIGNET_OK) {
        status = explain_find_peer(&explain);
    }
    if (status == SIGNET_OK) {
        status = explain_answer(&explain);
    }
    sg_peer_identity_free(explain.peer.identity);
    return status;
}

/* ---- ListGrants ---- */

struct list_grants {
    struct sg_exchange *exchange;
    const struct sg_policy *policy;
    signet_status status;
};

/* The grant that a text is about; NULL: it is a note on one, or of a configuration that came in force just now. */
static const struct sg_grant *list_find(const struct sg_policy *policy, const char *text)
{
    static const char before[] = "grant ";
    if (strncmp(text, before, sizeof(before) - 1) != 0) {
        return NULL;
    }
    const char *name = text + sizeof(before) - 1;
    size_t len = strcspn(name, ":");
    for (size_t i = 0; i < sg_policy_num_grants(policy); i++) {
        const struct sg_grant *grant = sg_policy_grant(policy, i);
        if (strlen(sg_grant_name(grant)) == len && memcmp(sg_grant_name(grant), name, len) == 0) {
            return grant;
        }
    }
    return NULL;
}

static void list_line(void *context, const char *text)
{
    struct list_grants *list = context;
    struct sg_exchange *exchange = list->exchange;
    const struct sg_grant *grant = list_find(list->policy, text);
    Signet__V1__ListGrantsResponse part = SIGNET__V1__LIST_GRANTS_RESPONSE__INIT;
    Signet__V1__Grant message = SIGNET__V1__GRANT__INIT;
    Signet__V1__Grant *grants[] = {&message};
    struct sg_fuse_grant found = {0};
    if (list->status != SIGNET_OK || grant == NULL) {
        return;
    }
    if (exchange->service->fuse != NULL) {
        sg_fuse_read(exchange->service->fuse, sg_grant_name(grant), exchange->now.wall_s, &found);
    }
    message.name = sg_reply_text(sg_grant_name(grant));
    message.text = sg_reply_text(text);
    message.live_tokens = found.num_live;
    message.max_live_tokens = sg_grant_max_live_tokens(grant);
    message.frozen_since = found.frozen_since;
    part.grants = grants;
    part.n_grants = 1;
    list->status = sg_exchange_append(exchange, &part.base);
}

signet_status sg_policy_list_grants(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    struct list_grants list = {
        .exchange = exchange,
        .policy = sg_keyring_policy(exchange->keyring),
        .status = SIGNET_OK,
    };
    if (list.policy != NULL && service->describe_grants != NULL) {
        service->describe_grants(service->reload_context, list_line, &list);
    }
    return list.status;
}

/* ---- ThawGrant ---- */

static bool thaw_is_known(const struct sg_exchange *exchange, const char *name)
{
    const struct sg_policy *policy = sg_keyring_policy(exchange->keyring);
    for (size_t i = 0; policy != NULL && i < sg_policy_num_grants(policy); i++) {
        if (strcmp(sg_grant_name(sg_policy_grant(policy, i)), name) == 0) {
            return true;
        }
    }
    return false;
}

signet_status sg_policy_thaw_grant(struct sg_exchange *exchange)
{
    const Signet__V1__ThawGrantRequest *request =
        (const Signet__V1__ThawGrantRequest *)exchange->request;
    const Signet__V1__ThawGrantResponse response = SIGNET__V1__THAW_GRANT_RESPONSE__INIT;
    struct sg_rpc_status *error = &exchange->error;
    if (!thaw_is_known(exchange, request->grant)) {
        return sg_rpc_fail(error, SIGNET_NOT_FOUND, "GRANT_UNKNOWN",
                           "grant: there is none of this name; see signet policy list");
    }
    signet_status status = exchange->service->fuse != NULL
                               ? sg_fuse_thaw(exchange->service->fuse, request->grant)
                               : SIGNET_NOT_FOUND;
    if (status == SIGNET_NOT_FOUND) {
        return sg_rpc_fail(error, SIGNET_FAILED_PRECONDITION, "GRANT_NOT_FROZEN",
                           "grant: it is not frozen");
    }
    if (status != SIGNET_OK) {
        return sg_rpc_fail(
            error, status, "NOT_STORED",
            "that it is thawed could not be stored, so that it stays frozen: is the disk "
            "full?");
    }
    return sg_exchange_append(exchange, &response.base);
}
