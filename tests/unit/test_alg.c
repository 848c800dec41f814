/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of algorithms, and names that only look like one of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/jose/alg.h"

static enum sg_alg from_name(const char *name)
{
    return sg_alg_from_name(name, strlen(name));
}

static bool matches_any(const char *name, size_t len)
{
    for (int i = -1; i <= SG_ALG_COUNT + 1; i++) {
        if (sg_alg_matches((enum sg_alg)i, name, len)) {
            return true;
        }
    }
    return sg_alg_from_name(name, len) != SG_ALG_UNSET;
}

static void test_alg__every_row_is_complete_and_finds_itself(void **state)
{
    (void)state;
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        const struct sg_alg_info *info = sg_alg_info((enum sg_alg)i);
        assert_non_null(info);
        assert_int_equal(info->alg, i);
        assert_non_null(info->kty);
        assert_int_equal(from_name(info->config_name), i);
        assert_true(sg_alg_matches(info->alg, info->jws_name, strlen(info->jws_name)));
        assert_true(strlen(info->jws_name) <= 16);
        assert_true((info->family == SG_FAMILY_EDDSA) == (info->digest == NULL));
    }
    assert_null(sg_alg_info(SG_ALG_UNSET));
    assert_null(sg_alg_info(SG_ALG_COUNT));
    assert_null(sg_alg_info((enum sg_alg)(-1)));
}

static void test_alg__edwards_names(void **state)
{
    (void)state;
    assert_int_equal(from_name("EdDSA"), SG_ALG_ED25519);
    assert_int_equal(from_name("Ed25519"), SG_ALG_ED25519);
    assert_int_equal(from_name("Ed448"), SG_ALG_ED448);
    assert_true(sg_alg_matches(SG_ALG_ED448, "EdDSA", 5));
    assert_true(sg_alg_matches(SG_ALG_ED448, "Ed448", 5));
}

static void test_attack_a1__none_in_any_spelling_is_no_algorithm(void **state)
{
    static const char *const names[] = {"none", "None", "NONE", "nOnE", " none", "none ", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_false(matches_any(names[i], strlen(names[i])));
    }
}

static void test_attack_a2__names_compare_by_length_and_bytes(void **state)
{
    static const char *const names[] = {"HS25",  "HS2566", "hs256", "HS1",     "RS1",    "ES256k",
                                        "EDDSA", "Eddsa",  "ES521", "A256GCM", "HS256 ", "RSA1_5"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_false(matches_any(names[i], strlen(names[i])));
    }
    assert_false(matches_any("HS256\0", 6));
    assert_false(matches_any("HS256", 4));
    assert_false(matches_any("HS256", 0));
}

static void test_attack_a4__one_key_has_one_algorithm(void **state)
{
    (void)state;
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        for (int j = SG_ALG_UNSET + 1; j < SG_ALG_COUNT; j++) {
            const struct sg_alg_info *one = sg_alg_info((enum sg_alg)i);
            const struct sg_alg_info *other = sg_alg_info((enum sg_alg)j);
            bool both_edwards = one->family == SG_FAMILY_EDDSA && other->family == SG_FAMILY_EDDSA;
            assert_int_equal(sg_alg_matches(other->alg, one->jws_name, strlen(one->jws_name)),
                             i == j || both_edwards);
        }
    }
}

static void test_attack_a5__rfc9864_names_are_of_their_own_curve(void **state)
{
    (void)state;
    assert_false(sg_alg_matches(SG_ALG_ED25519, "Ed448", 5));
    assert_false(sg_alg_matches(SG_ALG_ED448, "Ed25519", 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alg__every_row_is_complete_and_finds_itself),
        cmocka_unit_test(test_alg__edwards_names),
        cmocka_unit_test(test_attack_a1__none_in_any_spelling_is_no_algorithm),
        cmocka_unit_test(test_attack_a2__names_compare_by_length_and_bytes),
        cmocka_unit_test(test_attack_a4__one_key_has_one_algorithm),
        cmocka_unit_test(test_attack_a5__rfc9864_names_are_of_their_own_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
