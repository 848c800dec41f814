/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls as records of the audit.
 */
#include "server/audit_note.h"

#include <string.h>

#include "common/jose/claims.h"
#include "server/keyring.h"

/* So long a worker waits for a place: longer, and those who wait would keep all workers from who needs none. */
#define NOTE_PATIENCE_MS 250u
#define NOTE_RETRY_MS    20u

/* What every record of a call says of it. */
static struct sg_audit_event note_begin(const struct sg_exchange *exchange, const char *event)
{
    return (struct sg_audit_event){
        .event = event,
        .peer = &exchange->peer,
        .facts = sg_peer_facts_get(exchange->peer.identity, 0), /* what was looked up; no more */
        .method = exchange->method[0] != '\0' ? exchange->method : NULL,
        .queue_us = exchange->sample.queue_us,
        .crypto_us = exchange->sample.crypto_us,
        .total_us = sg_exchange_read_us(exchange) - exchange->begun_us,
        .traceparent = exchange->traceparent,
    };
}

static void note_set_grant(struct sg_audit_event *event, const struct sg_grant *grant)
{
    if (grant != NULL) {
        event->rule = sg_grant_name(grant);
    }
}

static void note_set_key(struct sg_audit_event *event, const struct sg_key *key)
{
    if (key != NULL) {
        event->keyset = key->keyset->name;
        event->alg = sg_alg_info(key->alg)->jws_name;
        event->kid = key->kid;
    }
}

void sg_audit_note_denial(const struct sg_exchange *exchange, const struct sg_decision *decision,
                          const struct sg_rpc_status *error)
{
    struct sg_audit *audit = exchange->service->audit;
    char why[SG_POLICY_MAX_TEXT];
    if (audit == NULL) {
        return;
    }
    sg_decision_text(decision, why, sizeof(why));
    struct sg_audit_event event = note_begin(exchange, "deny");
    event.keyset = decision->query.keyset;
    event.verdict = SG_AUDIT_DENIED;
    event.reason = error->reason;
    event.detail = why;
    sg_audit_note(audit, &event);
}

void sg_audit_note_refusal(const struct sg_exchange *exchange, const char *keyset,
                           const struct sg_grant *grant, const struct sg_rpc_status *error)
{
    bool is_limit = error->code == SIGNET_RESOURCE_EXHAUSTED;
    struct sg_audit_event event = note_begin(exchange, is_limit ? "limit" : "refuse");
    event.keyset = keyset;
    event.verdict = error->code == SIGNET_PERMISSION_DENIED ? SG_AUDIT_DENIED : SG_AUDIT_ERROR;
    event.reason = error->reason;
    event.detail = error->message;
    note_set_grant(&event, grant);
    sg_audit_note(exchange->service->audit, &event);
}

void sg_audit_write_minted(const struct sg_exchange *exchange, struct sg_audit_place *place,
                           const struct sg_audit_minted *minted)
{
    if (exchange->service->audit == NULL) {
        return;
    }
    struct sg_audit_event event = note_begin(exchange, "sign");
    note_set_key(&event, minted->key);
    note_set_grant(&event, minted->grant);
    event.jti = minted->jti;
    event.sub = minted->subject;
    event.audiences = minted->audiences;
    event.num_audiences = minted->num_audiences;
    event.exp = minted->expires_at;
    event.verdict = SG_AUDIT_OK;
    sg_audit_write(exchange->service->audit, place, &event);
}

void sg_audit_note_judged(const struct sg_exchange *exchange, const struct sg_audit_judged *judged)
{
    const struct sg_service *service = exchange->service;
    bool is_good = judged->verdict->reason == SIGNET_REASON_NONE;
    bool is_told = !is_good || judged->is_used_up || service->audits_verifications;
    if (service->audit == NULL || !is_told) {
        return;
    }
    struct sg_audit_event event = note_begin(exchange, "verify");
    note_set_key(&event, judged->key);
    note_set_grant(&event, judged->grant);
    if (judged->key != NULL && judged->claims != NULL) { /* else nobody vouches for them */
        event.jti = judged->claims->jti;
        event.sub = judged->claims->subject;
        event.audiences = judged->claims->audiences;
        event.num_audiences = judged->claims->num_audiences;
        event.exp = judged->claims->exp.seconds;
    }
    event.verdict = is_good ? SG_AUDIT_OK : SG_AUDIT_REJECTED;
    event.reason = !is_good             ? signet_reason_name(judged->verdict->reason)
                   : judged->is_used_up ? "CONSUMED"
                                        : NULL;
    event.detail = is_good ? NULL : judged->verdict->detail;
    sg_audit_note(service->audit, &event);
}

static signet_status note_admit(const struct sg_exchange *exchange, struct sg_audit_place *place,
                                uint64_t deadline_ms, struct sg_rpc_status *error)
{
    if (sg_audit_reserve(exchange->service->audit, place, exchange->peer.uid, deadline_ms) ==
        SIGNET_OK) {
        return SIGNET_OK;
    }
    signet_status status =
        sg_rpc_fail(error, SIGNET_RESOURCE_EXHAUSTED, "AUDIT_FULL",
                    "what is done must be recorded, and the audit has no room: is its disk full?");
    if (sg_audit_would_wait(exchange->service->audit)) {
        error->retry_after_ms = NOTE_RETRY_MS;
    }
    return status;
}

signet_status sg_audit_admit(const struct sg_exchange *exchange, struct sg_audit_place *place,
                             struct sg_rpc_status *error)
{
    uint64_t until_ms = exchange->deadline_ms;
    if (exchange->service->audit != NULL && exchange->service->read_mono_ms != NULL) {
        uint64_t patience_ms = exchange->service->read_mono_ms() + NOTE_PATIENCE_MS;
        until_ms = patience_ms < until_ms ? patience_ms : until_ms;
    }
    return note_admit(exchange, place, until_ms, error);
}

signet_status sg_audit_admit_at_once(const struct sg_exchange *exchange,
                                     struct sg_audit_place *place, struct sg_rpc_status *error)
{
    return note_admit(exchange, place, 0, error);
}

void sg_audit_write_act(const struct sg_exchange *exchange, struct sg_audit_place *place,
                        const char *keyset, const char *kid, const char *grant,
                        signet_status status)
{
    if (exchange->service->audit == NULL) {
        return;
    }
    bool is_revocation = strcmp(exchange->method, SG_METHOD_REVOKE_KEY) == 0;
    struct sg_audit_event event = note_begin(exchange, is_revocation ? "revoke" : "admin");
    event.keyset = keyset;
    event.kid = kid;
    event.rule = grant;
    bool is_done = status == SIGNET_OK && exchange->not_done == NULL;
    event.verdict = is_done                              ? SG_AUDIT_OK
                    : status == SIGNET_PERMISSION_DENIED ? SG_AUDIT_DENIED
                                                         : SG_AUDIT_ERROR;
    event.reason = status == SIGNET_OK ? exchange->not_done : exchange->error.reason;
    event.detail = status == SIGNET_OK ? NULL : exchange->error.message;
    sg_audit_write(exchange->service->audit, place, &event);
}

void sg_audit_write_revoked(const struct sg_exchange *exchange, struct sg_audit_place *place,
                            const struct sg_audit_revoked *revoked, signet_status status)
{
    if (exchange->service->audit == NULL) {
        return;
    }
    struct sg_audit_event event = note_begin(exchange, "revoke");
    note_set_grant(&event, revoked->grant);
    event.keyset = revoked->keyset;
    event.jti = revoked->jti;
    event.sub = revoked->subject;
    event.kid = revoked->kid;
    event.exp = revoked->expires_at;
    event.verdict = status == SIGNET_OK ? SG_AUDIT_OK : SG_AUDIT_ERROR;
    event.reason = status == SIGNET_OK ? NULL : exchange->error.reason;
    event.detail = status == SIGNET_OK ? NULL : exchange->error.message;
    sg_audit_write(exchange->service->audit, place, &event);
}
