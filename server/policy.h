/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what: the grants of the configuration, compiled, and the decision by them. Grants are tried
 * in the order of the file; the first whose who, right and keysets match decides, and without one the
 * answer is no. A policy never changes and is shared by any number of threads, until the last of them
 * lets go. Knows no socket, no clock and no file; what it asks of a peer beyond its uid, gid and pid, it
 * asks server/peer.h for, and only once nothing else is left to tell.
 */
#ifndef SG_POLICY_H
#define SG_POLICY_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"
#include "server/peer.h"

struct sg_claim_rules;
struct sg_grant;
struct sg_policy;

/* Enough for any text that sg_explained points to, and for any of sg_decision_text. */
#define SG_POLICY_MAX_VALUE 4096u
#define SG_POLICY_MAX_TEXT  (2 * SG_POLICY_MAX_VALUE + 256u)

/* sg_policy_new compiles num grants, in the order in which they are tried; it copies what it needs.
 * RESOURCE_EXHAUSTED without memory. A grant that asks nothing of who it is for, and does not say that
 * it is for anybody, is for nobody. */
signet_status sg_policy_new(const struct sg_config_grant *grants, size_t num,
                            struct sg_policy **out) SIGNET_MUST_CHECK;
struct sg_policy *sg_policy_ref(struct sg_policy *policy);
void sg_policy_unref(struct sg_policy *policy); /* NULL is legal */

/* sg_policy_facts returns all facts (bits of enum sg_peer_fact) that any grant may ask for, those of its
 * claim rules too. */
unsigned sg_policy_facts(const struct sg_policy *policy);

/* ---- Grants; each belongs to its policy ---- */

size_t sg_policy_num_grants(const struct sg_policy *policy);
/* sg_policy_grant returns the grant of an index below that. */
const struct sg_grant *sg_policy_grant(const struct sg_policy *policy, size_t index);

const char *sg_grant_name(const struct sg_grant *grant);
size_t sg_grant_index(const struct sg_grant *grant); /* 0 to the number of grants less 1 */
uint32_t sg_grant_max_live_tokens(const struct sg_grant *grant); /* 0: no bound */
/* sg_grant_max_ttl_s returns the longest life of a token under the grant; 0: as long as the keyset's. */
uint32_t sg_grant_max_ttl_s(const struct sg_grant *grant);
const struct sg_claim_rules *sg_grant_claim_rules(const struct sg_grant *grant);

/* ---- The decision ---- */

/* What a grant asks, in the order in which it is asked. */
enum sg_selector {
    SG_SELECTOR_NONE = 0, /* nothing failed */
    SG_SELECTOR_USER,
    SG_SELECTOR_RIGHT,
    SG_SELECTOR_KEYSET,
    SG_SELECTOR_GROUP,
    SG_SELECTOR_UNIT,
    SG_SELECTOR_EXE,
    SG_SELECTOR_EXE_SHA256
};

/* Who asks for what. */
struct sg_policy_query {
    const struct sg_peer *peer;
    enum sg_right right;
    const char *keyset;                /* NULL: no one keyset */
    bool is_any_keyset;                /* whatever keyset a grant is on */
    const struct sg_peer_facts *facts; /* what is known of the peer by now; NULL: nothing */
};

struct sg_decision {
    bool is_allowed;              /* zero is no */
    const struct sg_grant *grant; /* that decided; NULL if none did, which is a denial */

    /* Of a denial; all static or of the policy. */
    const char *reason;             /* a stable word, see sg_policy_decide */
    const char *selector;           /* that is missing, as far as the caller may know; NULL: none */
    const struct sg_grant *closest; /* that came nearest, for the audit; NULL: none came near */

    /* For sg_decision_text: what was asked, and what of the closest grant did not match. */
    struct sg_policy_query query;
    enum sg_selector failed;
};

/* sg_policy_decide decides whether the peer may do what right (one bit) says with a keyset. keyset NULL: with
 * what is of no one keyset, for which a grant must be on all of them ("*"). Reasons of denials:
 *   NO_GRANT             no grant is for this user
 *   NO_GRANT_FOR_RIGHT   some are, but none with this right
 *   NO_GRANT_FOR_KEYSET  some are, with this right, but none on this keyset
 *   SELECTOR_MISSING     one is, but something else that it asks for does not match; selector ("group",
 *                        "unit" or "exe", also for its hash) says what
 * A grant is for a user if it names that user or, without a user, a group which that user is in, or if
 * it names neither. So reason and selector tell a caller nothing of what others may do.
 * A fact that cannot be found does not match; nor does any without an identity.
 * *out points to policy, peer, keyset and the peer's facts, and is good for as long as all of them are.
 * Any thread; blocks as sg_peer_facts_get does if a grant asks for facts, and not at all otherwise. */
void sg_policy_decide(const struct sg_policy *policy, const struct sg_peer *peer,
                      enum sg_right right, const char *keyset, struct sg_decision *out);

/* sg_policy_decide_any decides whether there is any keyset at all with which the peer may do it. As
 * sg_policy_decide, but that no denial is for the want of a keyset. */
void sg_policy_decide_any(const struct sg_policy *policy, const struct sg_peer *peer,
                          enum sg_right right, struct sg_decision *out);

/* sg_policy_is_for says whether some grant with the right is for this user, as far as that is known without looking
 * anything up. Never blocks. */
bool sg_policy_is_for(const struct sg_policy *policy, const struct sg_peer *peer,
                      enum sg_right right);

/* sg_policy_needs_slow_facts_any says whether a decision about the right, with whatever keyset, or the claim rules of
 * its grant, may have to read an executable or to ask who a user is. */
bool sg_policy_needs_slow_facts_any(const struct sg_policy *policy, const struct sg_peer *peer,
                                    enum sg_right right);

/* sg_decision_text says in full why, for the audit and for operators, never for the caller: "grant
 * login-signs: exe is /usr/bin/python3, and has to be /usr/sbin/login". Printable ASCII: anything else in
 * a path is written as \xNN. Cut to cap. */
void sg_decision_text(const struct sg_decision *decision, char *out, size_t cap);

/* ---- Why, grant by grant ---- */

/* sg_selector_name returns "user", "right", "keyset", "group", "unit", "exe" or "exe_sha256"; NULL for
 * none. Static. */
const char *sg_selector_name(enum sg_selector selector);

struct sg_explained {
    const struct sg_grant *grant;
    bool matches;            /* and so decides: it is the last */
    enum sg_selector failed; /* the first that did not match */
    const char
        *expected;      /* what the grant asks there; printable ASCII, as is actual; for the call */
    const char *actual; /* what the peer or the request is */
};

typedef void sg_policy_visitor(void *context, const struct sg_explained *step);

/* sg_policy_explain calls visit for each grant, in order, up to the one that decides. Blocks as
 * sg_policy_decide does. */
void sg_policy_explain(const struct sg_policy *policy, const struct sg_peer *peer,
                       enum sg_right right, const char *keyset, sg_policy_visitor *visit,
                       void *context);

#endif
