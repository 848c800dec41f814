/* SPDX-License-Identifier: Apache-2.0
 *
 * Prices: every algorithm has one, what is dear on every machine is dearer here, and measuring says so too.
 * Nothing is said about how much: that is the machine's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "common/jose/alg_cost.h"
#include "server/config.h"
#include "server/costs.h"

static void test_measure__knows_every_algorithm(void **state)
{
    (void)state;
    for (unsigned alg = SG_ALG_UNSET + 1; alg < SG_ALG_COUNT; alg++) {
        struct sg_alg_cost cost = {0};
        assert_int_equal(sg_alg_cost_measure((enum sg_alg)alg, 2048, &cost), SIGNET_OK);
        assert_true(cost.sign_ns > 0);
        assert_true(cost.verify_ns > 0);
    }
}

static void test_measure__tells_dear_from_cheap(void **state)
{
    (void)state;
    struct sg_alg_cost hmac;
    struct sg_alg_cost small;
    struct sg_alg_cost large;
    assert_int_equal(sg_alg_cost_measure(SG_ALG_HS256, 0, &hmac), SIGNET_OK);
    assert_int_equal(sg_alg_cost_measure(SG_ALG_RS256, 2048, &small), SIGNET_OK);
    assert_int_equal(sg_alg_cost_measure(SG_ALG_PS512, 8192, &large), SIGNET_OK);
    assert_true(hmac.sign_ns < small.sign_ns);
    assert_true(small.sign_ns < large.sign_ns);
    assert_true(small.verify_ns < small.sign_ns);
}

static void test_measure__refuses_what_is_no_algorithm_or_size(void **state)
{
    (void)state;
    struct sg_alg_cost cost;
    assert_int_equal(sg_alg_cost_measure(SG_ALG_UNSET, 2048, &cost), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_alg_cost_measure(SG_ALG_COUNT, 2048, &cost), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_alg_cost_measure(SG_ALG_RS256, 1024, &cost), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_alg_cost_measure(SG_ALG_RS256, 16384, &cost), SIGNET_INVALID_ARGUMENT);
}

static void test_costs__are_there_before_they_are_measured(void **state)
{
    (void)state;
    struct sg_costs *costs = NULL;
    assert_int_equal(sg_costs_new(&costs), SIGNET_OK);
    for (unsigned alg = SG_ALG_UNSET + 1; alg < SG_ALG_COUNT; alg++) {
        assert_true(sg_costs_sign(costs, (enum sg_alg)alg, 2048) >= 1);
        assert_true(sg_costs_verify(costs, (enum sg_alg)alg, 2048) >= 1);
    }
    assert_int_equal(sg_costs_sign(costs, SG_ALG_UNSET, 0), 0);
    assert_int_equal(sg_costs_verify(costs, SG_ALG_COUNT, 0), 0);
    sg_costs_free(costs);
    sg_costs_free(NULL);
}

/* A size between two is priced as the larger; what is larger than all as the largest. */
static void test_costs__of_rsa_are_by_size_and_not_by_name(void **state)
{
    (void)state;
    static const unsigned bits[] = {2048, 2049, 3072, 4096, 4104, 6144, 8192, 9000};
    struct sg_costs *costs = NULL;
    assert_int_equal(sg_costs_new(&costs), SIGNET_OK);
    for (size_t i = 1; i < sizeof(bits) / sizeof(bits[0]); i++) {
        assert_true(sg_costs_sign(costs, SG_ALG_RS256, bits[i - 1]) <=
                    sg_costs_sign(costs, SG_ALG_RS256, bits[i]));
        assert_int_equal(sg_costs_sign(costs, SG_ALG_RS256, bits[i]),
                         sg_costs_sign(costs, SG_ALG_PS512, bits[i]));
    }
    assert_int_equal(sg_costs_sign(costs, SG_ALG_RS256, 2049),
                     sg_costs_sign(costs, SG_ALG_RS256, 3072));
    assert_true(sg_costs_sign(costs, SG_ALG_RS256, 2048) <
                sg_costs_sign(costs, SG_ALG_RS256, 4096));
    sg_costs_free(costs);
}

static void test_costs__measured_are_those_of_the_configuration(void **state)
{
    (void)state;
    struct sg_config_keyset keysets[] = {{.alg = SG_ALG_ES384},
                                         {.alg = SG_ALG_RS256, .rsa_bits = 3072}};
    const struct sg_config config = {.keysets = keysets, .num_keysets = 2};
    struct sg_costs *costs = NULL;
    struct sg_costs *untouched = NULL;
    assert_int_equal(sg_costs_new(&costs), SIGNET_OK);
    assert_int_equal(sg_costs_new(&untouched), SIGNET_OK);
    sg_costs_measure_config(costs, &config);
    uint64_t first = sg_costs_sign(costs, SG_ALG_ES384, 0);
    assert_true(first >= 1);
    assert_true(sg_costs_sign(costs, SG_ALG_RS256, 3072) >= 1);
    assert_int_equal(sg_costs_sign(costs, SG_ALG_ES512, 0),
                     sg_costs_sign(untouched, SG_ALG_ES512, 0));
    assert_int_equal(sg_costs_sign(costs, SG_ALG_RS256, 4096),
                     sg_costs_sign(untouched, SG_ALG_RS256, 4096));
    sg_costs_measure_config(costs, &config); /* once is enough */
    assert_int_equal(sg_costs_sign(costs, SG_ALG_ES384, 0), first);
    sg_costs_free(costs);
    sg_costs_free(untouched);
}

static void test_costs__of_a_request_grow_with_its_length(void **state)
{
    (void)state;
    assert_true(sg_costs_request(0) >= 1);
    assert_true(sg_costs_request(1u << 20) > sg_costs_request(1024));
    assert_true(sg_costs_token() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure__knows_every_algorithm),
        cmocka_unit_test(test_measure__tells_dear_from_cheap),
        cmocka_unit_test(test_measure__refuses_what_is_no_algorithm_or_size),
        cmocka_unit_test(test_costs__are_there_before_they_are_measured),
        cmocka_unit_test(test_costs__of_rsa_are_by_size_and_not_by_name),
        cmocka_unit_test(test_costs__measured_are_those_of_the_configuration),
        cmocka_unit_test(test_costs__of_a_request_grow_with_its_length),
    };
    return cmocka_run_group_tests_name("costs", tests, NULL, NULL);
}
