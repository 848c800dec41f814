/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keys are tried for a token and what it is refused with if none is left, and whose claims are good. All of a
 * judgement together is tested with the daemon's (test_token_service, test_foreign) and with libsignet-local's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "common/jose/judge.h"

#define NOW 1000

static struct sg_jws jws_of_alg(const char *alg)
{
    struct sg_jws jws = {.alg_len = strlen(alg)};
    memcpy(jws.alg, alg, jws.alg_len + 1);
    return jws;
}

static void test_consider__only_keys_in_use_of_the_algorithm_are_tried(void **state)
{
    (void)state;
    static const struct {
        enum sg_alg alg;
        enum sg_judge_use use;
        signet_reason before, after; /* the refusal; before == after and is_tried: it stays */
        bool is_tried;
    } cases[] = {
        {SG_ALG_ES256, SG_JUDGE_IN_USE, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_UNKNOWN_KEY, true},
        {SG_ALG_ES256, SG_JUDGE_IN_USE, SIGNET_REASON_WRONG_ALG, SIGNET_REASON_WRONG_ALG, true},
        {SG_ALG_ES384, SG_JUDGE_IN_USE, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_WRONG_ALG, false},
        {SG_ALG_HS256, SG_JUDGE_IN_USE, SIGNET_REASON_KEY_REVOKED, SIGNET_REASON_WRONG_ALG, false},
        {SG_ALG_ES256, SG_JUDGE_ENDED, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_UNKNOWN_KEY, false},
        {SG_ALG_ES256, SG_JUDGE_ENDED, SIGNET_REASON_KEY_REVOKED, SIGNET_REASON_KEY_REVOKED, false},
        {SG_ALG_ES256, SG_JUDGE_ENDED, SIGNET_REASON_WRONG_ALG, SIGNET_REASON_WRONG_ALG, false},
        {SG_ALG_ES256, SG_JUDGE_KEY_REVOKED, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_KEY_REVOKED,
         false},
        {SG_ALG_ES256, SG_JUDGE_KEY_REVOKED, SIGNET_REASON_WRONG_ALG, SIGNET_REASON_WRONG_ALG,
         false},
        {SG_ALG_ES256, (enum sg_judge_use)0, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_UNKNOWN_KEY,
         false},
        {SG_ALG_UNSET, SG_JUDGE_IN_USE, SIGNET_REASON_UNKNOWN_KEY, SIGNET_REASON_WRONG_ALG, false},
    };
    const struct sg_jws jws = jws_of_alg("ES256");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sg_verdict refusal = sg_judge_kid_unknown;
        refusal.reason = cases[i].before;
        assert_int_equal(sg_judge_consider(&jws, cases[i].alg, cases[i].use, &refusal),
                         cases[i].is_tried);
        assert_int_equal(refusal.reason, cases[i].after);
        assert_non_null(refusal.detail);
    }
}

static void test_consider__a_key_that_ended_is_told_apart(void **state)
{
    (void)state;
    const struct sg_jws jws = jws_of_alg("ES256");
    struct sg_verdict refusal = sg_judge_keyset_empty;
    assert_false(sg_judge_consider(&jws, SG_ALG_ES256, SG_JUDGE_ENDED, &refusal));
    assert_int_equal(refusal.reason, SIGNET_REASON_UNKNOWN_KEY);
    assert_string_equal(refusal.detail, "the key is no longer in use");
}

/* A token of issuer "us" for "a" and "b". */
static const struct sg_claims claims_good = {.issuer = "us",
                                             .audiences = {"a", "b"},
                                             .num_audiences = 2,
                                             .has_audience = true,
                                             .exp = {.present = true, .seconds = NOW + 10}};

static signet_reason judge(const struct sg_judge_signer *signer, const char *audience,
                           const char *issuer)
{
    const struct sg_jws jws = jws_of_alg("ES256");
    const struct sg_expectation asked = {.now = NOW,
                                         .audiences = &audience,
                                         .num_audiences = audience != NULL ? 1 : 0,
                                         .any_audience = audience == NULL,
                                         .issuer = issuer};
    return sg_judge_claims(&claims_good, &jws, signer, &asked).reason;
}

static void test_claims__a_key_speaks_for_its_issuer(void **state)
{
    (void)state;
    const struct sg_judge_signer us = {.issuer = "us"};
    const struct sg_judge_signer them = {.issuer = "them"};
    assert_int_equal(judge(&us, "a", NULL), SIGNET_REASON_NONE);
    assert_int_equal(judge(&us, "a", "us"), SIGNET_REASON_NONE);
    assert_int_equal(judge(&us, "a", "them"), SIGNET_REASON_WRONG_ISSUER);
    assert_int_equal(judge(&them, "a", NULL), SIGNET_REASON_WRONG_ISSUER);
    assert_int_equal(judge(&them, "a", "us"), SIGNET_REASON_WRONG_ISSUER);
}

static void test_claims__an_issuer_may_be_trusted_for_some_audiences(void **state)
{
    (void)state;
    static const char *const for_b[] = {"z", "b"};
    static const char *const for_z[] = {"z"};
    const struct sg_judge_signer b = {.issuer = "us", .audiences = for_b, .num_audiences = 2};
    const struct sg_judge_signer z = {.issuer = "us", .audiences = for_z, .num_audiences = 1};
    assert_int_equal(judge(&b, "b", NULL), SIGNET_REASON_NONE);
    assert_int_equal(judge(&b, NULL, NULL), SIGNET_REASON_NONE);
    assert_int_equal(judge(&b, "a", NULL), SIGNET_REASON_WRONG_AUDIENCE);
    assert_int_equal(judge(&z, NULL, NULL), SIGNET_REASON_WRONG_AUDIENCE);
    assert_int_equal(judge(&z, "z", NULL), SIGNET_REASON_WRONG_AUDIENCE);
    /* Before it matters which issuer was asked for. */
    assert_int_equal(judge(&z, NULL, "them"), SIGNET_REASON_WRONG_AUDIENCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consider__only_keys_in_use_of_the_algorithm_are_tried),
        cmocka_unit_test(test_consider__a_key_that_ended_is_told_apart),
        cmocka_unit_test(test_claims__a_key_speaks_for_its_issuer),
        cmocka_unit_test(test_claims__an_issuer_may_be_trusted_for_some_audiences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
