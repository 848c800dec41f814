/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of statuses and reasons, held against the contract.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <signet/status.h>
#include <string.h>

#include "signet/v1/token.pb-c.h"

static void test_status__names_every_grpc_code(void **state)
{
    (void)state;
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_string_equal(signet_status_name((signet_status)i), names[i]);
    }
    assert_string_equal(signet_status_name(SIGNET_REJECTED), "REJECTED");
    assert_string_equal(signet_status_name(SIGNET_PROTOCOL_ERROR), "PROTOCOL_ERROR");
    assert_string_equal(signet_status_name(SIGNET_UNTRUSTED_SERVER), "UNTRUSTED_SERVER");
}

static void test_status__reasons_have_the_names_of_the_contract(void **state)
{
    (void)state;
    const ProtobufCEnumDescriptor *reasons = &signet__v1__rejection_reason__descriptor;
    assert_int_equal(reasons->n_values, SIGNET_REASON_POLICY + 1);
    for (unsigned i = 0; i < reasons->n_values; i++) {
        int value = reasons->values[i].value;
        const char *name = signet_reason_name((signet_reason)value);
        if (value == 0) {
            assert_string_equal(name, "NONE");
        } else {
            assert_string_equal(name, reasons->values[i].name);
        }
    }
}

static void test_status__other_numbers_have_no_name(void **state)
{
    (void)state;
    static const int numbers[] = {-1, 17, 99, 103, INT32_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        volatile int number = numbers[i]; /* as from the wire */
        assert_string_equal(signet_status_name((signet_status)number), "UNRECOGNIZED");
        if (number != 17) {
            assert_string_equal(signet_reason_name((signet_reason)number), "UNRECOGNIZED");
        }
    }
    volatile int number = SIGNET_REASON_POLICY + 1;
    assert_string_equal(signet_reason_name((signet_reason)number), "UNRECOGNIZED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__names_every_grpc_code),
        cmocka_unit_test(test_status__reasons_have_the_names_of_the_contract),
        cmocka_unit_test(test_status__other_numbers_have_no_name),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
