/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants that change while everybody signs and verifies.
 */
#ifndef SG_TEST_GRANTS_LOAD_H
#define SG_TEST_GRANTS_LOAD_H

#include "tests/integration/grants_fixture.h"

/* grants_load_check has all users sign and verify on connections that stay open, changes the grants to and fro,
 * with files now and then that are refused, and fails the test unless every answer is by the grants of its
 * moment: those before a reload until it begins, those after it once it has ended, and in between the ones or
 * the others, but for the whole of a call. */
void grants_load_check(const struct grants_fixture *fixture);

#endif
