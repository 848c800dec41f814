/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the audit has every token that was acknowledged, whatever was killed meanwhile.
 */
#ifndef SG_TEST_KILLS_AUDIT_H
#define SG_TEST_KILLS_AUDIT_H

#include <stddef.h>

#include "tests/support/keyed_daemon.h"

/* kills_audit_check has `signet audit verify` check the chain of a daemon that has ended, and finds the record of
 * each token by its jti. token_at gives the text of one by its number. Fails the test otherwise. */
void kills_audit_check(const struct test_keyed_daemon *keyed, size_t num,
                       const char *(*token_at)(size_t index));

#endif
