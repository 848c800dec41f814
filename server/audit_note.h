/* SPDX-License-Identifier: Apache-2.0
 *
 * What the audit says of calls: from what a call was about to a record. Which calls are recorded is decided
 * here; how records are kept is server/audit.h's. Nothing of a token is recorded but its kid, jti, sub,
 * aud and exp, and these only once its signature was made or found good.
 */
#ifndef SG_AUDIT_NOTE_H
#define SG_AUDIT_NOTE_H

#include "server/audit.h"
#include "server/policy.h"
#include "server/services.h"

struct sg_claims;

/* sg_audit_note_denial records that the policy said no. */
void sg_audit_note_denial(const struct sg_exchange *exchange, const struct sg_decision *decision,
                          const struct sg_rpc_status *error);

/* sg_audit_note_refusal records a call, or one request of a batch, that was refused for another reason than the
 * policy's: by a grant's claim rules (with the grant), by a limit, or by what the request itself lacks. */
void sg_audit_note_refusal(const struct sg_exchange *exchange, const char *keyset,
                           const struct sg_grant *grant, const struct sg_rpc_status *error);

/* A token that is minted. The record has its place before there is a signature. */
struct sg_audit_minted {
    const struct sg_key *key;
    const struct sg_grant *grant;
    const char *jti, *subject;
    const char *const *audiences;
    size_t num_audiences;
    int64_t expires_at;
};
void sg_audit_write_minted(const struct sg_exchange *exchange, struct sg_audit_place *place,
                           const struct sg_audit_minted *minted);

/* A token that was judged. */
struct sg_audit_judged {
    const struct sg_key *key; /* whose signature it has; NULL: nobody's */
    const struct sg_grant *grant;
    const struct sg_claims *claims;   /* NULL: they were not read */
    const struct sg_verdict *verdict; /* reason NONE: it is good */
    bool is_used_up;                  /* by this call, whatever the verdict */
};
/* sg_audit_note_judged records a refusal, and a token that was used up; another good one only if the configuration
 * says so. */
void sg_audit_note_judged(const struct sg_exchange *exchange, const struct sg_audit_judged *judged);

/* Tokens that are revoked, or were to be. NULL and 0: not known, or not about that. */
struct sg_audit_revoked {
    const char *keyset;
    const struct sg_grant *grant;
    const char *jti, *subject, *kid;
    int64_t expires_at; /* of the token */
};
/* sg_audit_write_revoked records it, with how it ended. Without a place it is recorded if there is room after all. */
void sg_audit_write_revoked(const struct sg_exchange *exchange, struct sg_audit_place *place,
                            const struct sg_audit_revoked *revoked, signet_status status);

/* sg_audit_admit takes a place for the record of what is done next: a token, or an operator's act.
 * RESOURCE_EXHAUSTED with *error filled: it may not be done, since it could not be recorded. May wait for a place
 * for a quarter of a second, within the call's deadline: only for who has none yet, and serves nobody else. */
signet_status sg_audit_admit(const struct sg_exchange *exchange, struct sg_audit_place *place,
                             struct sg_rpc_status *error) SIGNET_MUST_CHECK;
/* sg_audit_admit_at_once is sg_audit_admit that does not wait. */
signet_status sg_audit_admit_at_once(const struct sg_exchange *exchange,
                                     struct sg_audit_place *place,
                                     struct sg_rpc_status *error) SIGNET_MUST_CHECK;
/* sg_audit_write_act writes it: what was asked for, of which keyset, key or grant, and how it ended. Without a
 * place it is recorded if there is room after all. */
void sg_audit_write_act(const struct sg_exchange *exchange, struct sg_audit_place *place,
                        const char *keyset, const char *kid, const char *grant,
                        signet_status status);

#endif
