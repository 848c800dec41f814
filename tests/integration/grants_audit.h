/* SPDX-License-Identifier: Apache-2.0
 *
 * What the audit has of what users did, and what it may not have.
 */
#ifndef SG_TEST_GRANTS_AUDIT_H
#define SG_TEST_GRANTS_AUDIT_H

#include "tests/integration/grants_fixture.h"

/* grants_audit_has waits for the record of a refusal by its reason, of a keyset (NULL: of none), whose detail
 * has a text in it (NULL: any). False if none comes. */
bool grants_audit_has(const struct grants_fixture *fixture, enum grants_who who, const char *reason,
                      const char *keyset, const char *detail);

/* grants_audit_has_act waits for the record of an operator's act on a keyset, by how it ended. */
bool grants_audit_has_act(const struct grants_fixture *fixture, enum grants_who who,
                          const char *method, const char *keyset, const char *verdict);

/* The rest is for when the daemon has ended. */

/* grants_audit_check_chain has `signet audit verify` look at all of it. */
void grants_audit_check_chain(const struct grants_fixture *fixture);

/* grants_audit_check_tokens finds the record of every token that was minted, `signet audit find` those of some,
 * and of no token its signature. */
void grants_audit_check_tokens(const struct grants_fixture *fixture);

struct grants_secret {
    const char *name;
    const char *bytes;
    size_t len;
};
/* grants_audit_check_secrets looks for secrets, in every form, in every file of the audit. */
void grants_audit_check_secrets(const struct grants_fixture *fixture,
                                const struct grants_secret *secrets, size_t num);

#endif
