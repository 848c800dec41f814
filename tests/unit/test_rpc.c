/* SPDX-License-Identifier: Apache-2.0
 *
 * Statuses as plain structs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "common/rpc.h"

static void test_rpc__failing_fills_the_status(void **state)
{
    (void)state;
    struct sg_rpc_status status = {.retry_after_ms = 77};
    assert_int_equal(
        sg_rpc_fail(&status, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN", "no keyset %d of %s", 3, "these"),
        SIGNET_NOT_FOUND);
    assert_int_equal(status.code, SIGNET_NOT_FOUND);
    assert_string_equal(status.reason, "KEYSET_UNKNOWN");
    assert_string_equal(status.message, "no keyset 3 of these");
    assert_int_equal(status.retry_after_ms, 0);
}

static void test_rpc__a_long_message_is_cut(void **state)
{
    (void)state;
    struct sg_rpc_status status;
    char text[2 * SG_MAX_STATUS_MESSAGE];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(sg_rpc_fail(&status, SIGNET_INTERNAL, "LONG", "%s", text), SIGNET_INTERNAL);
    assert_int_equal(strlen(status.message), SG_MAX_STATUS_MESSAGE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rpc__failing_fills_the_status),
        cmocka_unit_test(test_rpc__a_long_message_is_cut),
    };
    return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
