/* SPDX-License-Identifier: Apache-2.0
 *
 * HealthService: serving, for every service there is and for no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>

#include "common/rpc.h"
#include "service_fixture.h"
#include "signet/v1/health.pb-c.h"

static void check(const struct fixture *fixture, const char *service, uint32_t code)
{
    char name[80];
    struct fixture_answer answer;
    Signet__V1__HealthCheckRequest request = SIGNET__V1__HEALTH_CHECK_REQUEST__INIT;
    (void)snprintf(name, sizeof(name), "%s", service);
    request.service = name;
    fixture_call(fixture, SG_METHOD_HEALTH_CHECK, &request.base,
                 &signet__v1__health_check_response__descriptor, &answer);
    assert_int_equal(answer.code, code);
    if (code == 0) {
        assert_int_equal(((const Signet__V1__HealthCheckResponse *)answer.payload)->status,
                         SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    } else {
        assert_string_equal(answer.reason, "SERVICE_UNKNOWN");
    }
    fixture_answer_free(&answer);
}

static void test_health__known_services_are_serving(void **state)
{
    check(*state, "", 0);
    check(*state, "signet.v1.TokenService", 0);
    check(*state, "signet.v1.KeyService", 0);
    check(*state, "signet.v1.HealthService", 0);
    check(*state, "signet.v1.AdminService", 0);
}

static void test_health__others_are_not_found(void **state)
{
    check(*state, "TokenService", SIGNET_NOT_FOUND);
    check(*state, "signet.v1.tokenservice", SIGNET_NOT_FOUND);
    check(*state, "signet.v1.TokenService/Sign", SIGNET_NOT_FOUND);
    check(*state, "signet.v1.TokenService\xff", SIGNET_NOT_FOUND);
    check(*state, "\xff", SIGNET_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health__known_services_are_serving),
        cmocka_unit_test(test_health__others_are_not_found),
    };
    return cmocka_run_group_tests_name("health_service", tests, fixture_setup, fixture_teardown);
}
