/* SPDX-License-Identifier: Apache-2.0
 *
 * Revoking, through dispatch: what is refused afterwards, and what is not; the second of a revocation; who may; and
 * the list for operators.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rpc.h"
#include "server/revocations.h"
#include "service_fixture.h"
#include "signet/v1/admin.pb-c.h"

#define TEST_KEYSET "demo-hs256"
#define TEST_ISSUER "https://signet.example/demo"

static int64_t test_wall_s = FIXTURE_NOW;
static char test_keyset[] = TEST_KEYSET; /* requests point to it */

static int64_t test_read_wall_s(void)
{
    return test_wall_s;
}

static void set_time(struct fixture *fixture, int64_t wall_s)
{
    test_wall_s = wall_s;
    fixture->now.wall_s = wall_s;
}

/* For each test: nothing is revoked, and it is now. The keys stay. */
static int setup(void **state)
{
    struct fixture *fixture = *state;
    char error[256] = "";
    sg_revocations_free(fixture->service.revocations);
    assert_int_equal(sg_revocations_new(NULL, NULL, test_read_wall_s, &fixture->service.revocations,
                                        error, sizeof(error)),
                     SIGNET_OK);
    set_time(fixture, FIXTURE_NOW);
    return 0;
}

static void revoke_as(const struct fixture *fixture, Signet__V1__RevokeRequest *request,
                      struct fixture_answer *answer)
{
    fixture_call(fixture, SG_METHOD_REVOKE, &request->base,
                 &signet__v1__revoke_response__descriptor, answer);
}

static void expect_revoked(const struct fixture *fixture, Signet__V1__RevokeRequest *request)
{
    struct fixture_answer answer;
    revoke_as(fixture, request, &answer);
    if (answer.code != 0) {
        fail_msg("%u %s: %s", answer.code, answer.reason, answer.message);
    }
    const Signet__V1__RevokeResponse *response = (Signet__V1__RevokeResponse *)answer.payload;
    assert_non_null(response->revocation);
    assert_int_equal(response->revocation->revoked_at, test_wall_s);
    assert_int_equal(response->revocation->uid, 1000);
    fixture_answer_free(&answer);
}

static void expect_error(const struct fixture *fixture, Signet__V1__RevokeRequest *request,
                         signet_status status, const char *reason)
{
    struct fixture_answer answer;
    revoke_as(fixture, request, &answer);
    assert_int_equal(answer.code, status);
    assert_string_equal(answer.reason, reason);
    fixture_answer_free(&answer);
}

static void expect_good(const struct fixture *fixture, char *token)
{
    struct fixture_verdict verdict = fixture_judge(fixture, token);
    if (!verdict.good) {
        fail_msg("refused: %d %s", (int)verdict.reason, verdict.detail);
    }
}

static void expect_refused(const struct fixture *fixture, char *token)
{
    struct fixture_verdict verdict = fixture_judge(fixture, token);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, 0);
    assert_int_equal(verdict.reason, SIGNET__V1__REJECTION_REASON__REVOKED);
}

static Signet__V1__RevokeRequest by_token(char *token)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_TOKEN;
    request.token = token;
    return request;
}

static Signet__V1__RevokeRequest by_jti(char *jti)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_JTI;
    request.jti = jti;
    request.keyset = test_keyset;
    return request;
}

static Signet__V1__RevokeRequest by_subject(char *subject)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_SUBJECT;
    request.subject = subject;
    request.keyset = test_keyset;
    return request;
}

static Signet__V1__RevokeRequest by_keyset(char *keyset)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_ALL;
    request.all = true;
    request.keyset = keyset;
    return request;
}

static char *mint_for(const struct fixture *fixture, char *subject, struct fixture_answer *answer)
{
    char *audience[] = {(char[]){"orders"}};
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    request.keyset = test_keyset;
    request.subject = subject;
    request.audience = audience;
    request.n_audience = 1;
    fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 answer);
    return answer->code == 0 ? ((Signet__V1__SignResponse *)answer->payload)->token : NULL;
}

/* ---- One token ---- */

static void test_revoke__a_token_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    static const char *const keysets[] = {"demo-hs256", "demo-es256", "demo-eddsa", "demo-rs256"};
    for (size_t i = 0; i < sizeof(keysets) / sizeof(keysets[0]); i++) {
        char *token = fixture_mint(fixture, keysets[i]);
        char *other = fixture_mint(fixture, keysets[i]);
        expect_good(fixture, token);
        Signet__V1__RevokeRequest request = by_token(token);
        expect_revoked(fixture, &request);
        expect_refused(fixture, token);
        expect_good(fixture, other);
        expect_revoked(fixture, &request); /* again: no error, and it stays */
        expect_refused(fixture, token);
        free(token);
        free(other);
    }
}

static void test_revoke__a_jti_is_as_good_as_its_token(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer answer;
    char *token = mint_for(fixture, (char[]){"alice"}, &answer);
    Signet__V1__RevokeRequest request = by_jti(((Signet__V1__SignResponse *)answer.payload)->jti);
    expect_good(fixture, token);
    expect_revoked(fixture, &request);
    expect_refused(fixture, token);
    fixture_answer_free(&answer);
}

static void test_revoke__a_token_that_is_none_of_ours_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, TEST_KEYSET);
    size_t len = strlen(token);
    token[len - 2] = token[len - 2] == 'A' ? 'B' : 'A';
    Signet__V1__RevokeRequest request = by_token(token);
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "TOKEN_INVALID");
    request.token = (char[]){"no token"};
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "TOKEN_INVALID");
    free(token);
    char *without = fixture_craft(fixture, TEST_KEYSET, NULL,
                                  "{\"iss\":\"" TEST_ISSUER
                                  "\",\"sub\":\"a\",\"aud\":\"orders\",\"exp\":1900000000}");
    request.token = without;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "TOKEN_INVALID");
    free(without);
}

static void test_revoke__a_token_whatever_its_times_and_audience(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, TEST_KEYSET, NULL,
                                "{\"iss\":\"" TEST_ISSUER "\",\"sub\":\"a\",\"aud\":\"orders\","
                                "\"jti\":\"later\",\"nbf\":1800000500,\"exp\":1800001000}");
    Signet__V1__RevokeRequest request = by_token(token);
    expect_revoked(fixture, &request);
    set_time(fixture, FIXTURE_NOW + 600);
    expect_refused(fixture, token);
    free(token);
}

static void test_revoke__lasts_as_long_as_the_token_and_every_leeway(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, TEST_KEYSET, NULL,
                                "{\"iss\":\"" TEST_ISSUER "\",\"sub\":\"a\",\"aud\":\"orders\","
                                "\"jti\":\"short\",\"exp\":1800000010}");
    Signet__V1__RevokeRequest request = by_token(token);
    expect_revoked(fixture, &request);
    set_time(fixture, FIXTURE_NOW + 10 + 299);
    /* Others come, and what has expired makes room for them. */
    for (unsigned i = 0; i < 200; i++) {
        char jti[16];
        (void)snprintf(jti, sizeof(jti), "jti-%u", i);
        Signet__V1__RevokeRequest other = by_jti(jti);
        expect_revoked(fixture, &other);
    }
    char *audiences[] = {(char[]){"orders"}};
    Signet__V1__VerifyRequest verify = SIGNET__V1__VERIFY_REQUEST__INIT;
    verify.token = token;
    verify.audiences = audiences;
    verify.n_audiences = 1;
    verify.leeway_s = 300;
    struct fixture_verdict verdict = fixture_verify(fixture, &verify);
    assert_false(verdict.good);
    assert_int_equal(verdict.reason, SIGNET__V1__REJECTION_REASON__REVOKED);
    free(token);
}

static void test_revoke__a_token_that_only_a_leeway_accepts(void **state)
{
    struct fixture *fixture = *state;
    char *audiences[] = {(char[]){"orders"}};
    char *token = fixture_craft(fixture, TEST_KEYSET, NULL,
                                "{\"iss\":\"" TEST_ISSUER "\",\"sub\":\"a\",\"aud\":\"orders\","
                                "\"jti\":\"late\",\"exp\":1800000000}");
    Signet__V1__VerifyRequest verify = SIGNET__V1__VERIFY_REQUEST__INIT;
    verify.token = token;
    verify.audiences = audiences;
    verify.n_audiences = 1;
    verify.leeway_s = 300;
    set_time(fixture, FIXTURE_NOW + 299);
    assert_true(fixture_verify(fixture, &verify).good);
    Signet__V1__RevokeRequest request = by_token(token);
    expect_revoked(fixture, &request);
    assert_int_equal(fixture_verify(fixture, &verify).reason,
                     SIGNET__V1__REJECTION_REASON__REVOKED);
    set_time(fixture, FIXTURE_NOW + 301);
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "TOKEN_INVALID");
    free(token);
}

/* ---- Those of a subject, and of a keyset ---- */

static void test_revoke__a_subject_until_now_and_nobody_else(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer alice;
    struct fixture_answer bob;
    struct fixture_answer later;
    char *of_alice = mint_for(fixture, (char[]){"alice"}, &alice);
    char *of_bob = mint_for(fixture, (char[]){"bob"}, &bob);
    Signet__V1__RevokeRequest request = by_subject((char[]){"alice"});
    expect_revoked(fixture, &request);
    expect_refused(fixture, of_alice); /* of the same second */
    expect_good(fixture, of_bob);
    set_time(fixture, FIXTURE_NOW + 1);
    expect_refused(fixture, of_alice);
    char *after = mint_for(fixture, (char[]){"alice"}, &later);
    assert_non_null(after);
    expect_good(fixture, after);
    fixture_answer_free(&alice);
    fixture_answer_free(&bob);
    fixture_answer_free(&later);
}

static void test_sign__waits_until_the_second_of_a_revocation_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer answer;
    Signet__V1__RevokeRequest request = by_subject((char[]){"alice"});
    expect_revoked(fixture, &request);
    assert_null(mint_for(fixture, (char[]){"alice"}, &answer));
    assert_int_equal(answer.code, SIGNET_UNAVAILABLE);
    assert_string_equal(answer.reason, "JUST_REVOKED");
    assert_true(answer.retry_after_ms > 0);
    fixture_answer_free(&answer);
    assert_non_null(mint_for(fixture, (char[]){"bob"}, &answer));
    fixture_answer_free(&answer);
    request = by_keyset(test_keyset);
    expect_revoked(fixture, &request);
    assert_null(mint_for(fixture, (char[]){"bob"}, &answer));
    assert_string_equal(answer.reason, "JUST_REVOKED");
    fixture_answer_free(&answer);
    set_time(fixture, FIXTURE_NOW + 1);
    char *token = mint_for(fixture, (char[]){"bob"}, &answer);
    assert_non_null(token);
    expect_good(fixture, token);
    fixture_answer_free(&answer);
}

static void test_revoke__a_keyset_and_not_another_of_its_issuer(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, TEST_KEYSET);
    char *other = fixture_mint(fixture, "demo-es256");
    Signet__V1__RevokeRequest request = by_keyset(test_keyset);
    expect_revoked(fixture, &request);
    expect_refused(fixture, token);
    expect_good(fixture, other);
    free(token);
    free(other);
}

static void test_revoke__what_does_not_say_when_it_was_issued(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, TEST_KEYSET, NULL,
                                "{\"iss\":\"" TEST_ISSUER "\",\"sub\":\"alice\",\"aud\":\"orders\","
                                "\"exp\":1900000000}");
    expect_good(fixture, token);
    Signet__V1__RevokeRequest request = by_subject((char[]){"alice"});
    expect_revoked(fixture, &request);
    set_time(fixture, FIXTURE_NOW + 1000);
    expect_refused(fixture, token);
    free(token);
}

static void test_revoke__is_not_undone_by_a_clock_that_is_set_back(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer answer;
    char *token = mint_for(fixture, (char[]){"alice"}, &answer);
    Signet__V1__RevokeRequest request = by_subject((char[]){"alice"});
    expect_revoked(fixture, &request);
    test_wall_s = FIXTURE_NOW - 3600;
    struct fixture_answer again;
    revoke_as(fixture, &request, &again);
    assert_int_equal(again.code, 0);
    assert_int_equal(((Signet__V1__RevokeResponse *)again.payload)->revocation->revoked_at,
                     FIXTURE_NOW);
    expect_refused(fixture, token);
    fixture_answer_free(&again);
    fixture_answer_free(&answer);
}

/* ---- Requests that are not right ---- */

static void test_revoke__refuses_what_breaks_its_rules(void **state)
{
    struct fixture *fixture = *state;
    char long_text[257];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.keyset = test_keyset;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "WHAT_REQUIRED");
    request = by_keyset(test_keyset);
    request.all = false;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "WHAT_REQUIRED");
    request = by_jti((char[]){""});
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "JTI_INVALID");
    request = by_jti(long_text);
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "JTI_INVALID");
    request = by_subject((char[]){""});
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request = by_subject(long_text);
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request = by_jti((char[]){"a"});
    request.expires_at = FIXTURE_NOW - 301;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID");
    request.expires_at = INT64_MIN;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID");
    request = by_subject((char[]){"a"});
    request.expires_at = FIXTURE_NOW + 10;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID");
    request = by_subject((char[]){"a"});
    request.reason = long_text;
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "REASON_TOO_LONG");
    request = by_keyset((char[]){"absent"});
    expect_error(fixture, &request, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    request = by_keyset((char[]){""});
    expect_error(fixture, &request, SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID");
}

/* ---- The list ---- */

static Signet__V1__ListRevocationsResponse *list(const struct fixture *fixture,
                                                 Signet__V1__ListRevocationsRequest *request,
                                                 struct fixture_answer *answer)
{
    struct fixture as_operator = *fixture;
    as_operator.service.is_admin = true;
    as_operator.peer.uid = geteuid();
    fixture_call(&as_operator, SG_METHOD_LIST_REVOCATIONS, &request->base,
                 &signet__v1__list_revocations_response__descriptor, answer);
    return answer->code == 0 ? (Signet__V1__ListRevocationsResponse *)answer->payload : NULL;
}

static void test_list__gives_every_revocation_once_in_pages(void **state)
{
    struct fixture *fixture = *state;
    Signet__V1__RevokeRequest request = by_keyset((char[]){"demo-rs256"});
    expect_revoked(fixture, &request);
    request = by_subject((char[]){"alice"});
    request.reason = (char[]){"left"};
    expect_revoked(fixture, &request);
    for (unsigned i = 0; i < 10; i++) {
        char jti[16];
        (void)snprintf(jti, sizeof(jti), "jti-%u", i);
        request = by_jti(jti);
        expect_revoked(fixture, &request);
    }
    Signet__V1__ListRevocationsRequest page = SIGNET__V1__LIST_REVOCATIONS_REQUEST__INIT;
    Signet__V1__Revocation after = SIGNET__V1__REVOCATION__INIT;
    char name[64] = "";
    char issuer[256] = "";
    page.max = 5;
    size_t num = 0;
    bool more = true;
    while (more) {
        struct fixture_answer answer;
        const Signet__V1__ListRevocationsResponse *response = list(fixture, &page, &answer);
        if (response == NULL) {
            fail_msg("%s: %s", answer.reason, answer.message);
            return;
        }
        assert_in_range(response->n_revocations, 1, 5);
        const Signet__V1__Revocation *last = response->revocations[response->n_revocations - 1];
        (void)snprintf(name, sizeof(name), "%s", last->name);
        (void)snprintf(issuer, sizeof(issuer), "%s", last->issuer);
        after.kind = last->kind;
        after.name = name;
        after.issuer = issuer;
        page.after = &after;
        num += response->n_revocations;
        more = response->more;
        if (!more) {
            assert_int_equal(last->kind, SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET);
            assert_string_equal(last->keyset, "demo-rs256");
        }
        fixture_answer_free(&answer);
    }
    assert_int_equal(num, 12);
}

static void test_list__is_for_operators(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer answer;
    Signet__V1__ListRevocationsRequest page = SIGNET__V1__LIST_REVOCATIONS_REQUEST__INIT;
    fixture_call(fixture, SG_METHOD_LIST_REVOCATIONS, &page.base,
                 &signet__v1__list_revocations_response__descriptor, &answer);
    assert_int_equal(answer.code, SIGNET_PERMISSION_DENIED);
    fixture_answer_free(&answer);
    page.max = 501;
    assert_null(list(fixture, &page, &answer));
    assert_int_equal(answer.code, SIGNET_INVALID_ARGUMENT);
    fixture_answer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_revoke__a_token_and_no_other, setup),
        cmocka_unit_test_setup(test_revoke__a_jti_is_as_good_as_its_token, setup),
        cmocka_unit_test_setup(test_revoke__a_token_that_is_none_of_ours_is_an_error, setup),
        cmocka_unit_test_setup(test_revoke__a_token_whatever_its_times_and_audience, setup),
        cmocka_unit_test_setup(test_revoke__lasts_as_long_as_the_token_and_every_leeway, setup),
        cmocka_unit_test_setup(test_revoke__a_token_that_only_a_leeway_accepts, setup),
        cmocka_unit_test_setup(test_revoke__a_subject_until_now_and_nobody_else, setup),
        cmocka_unit_test_setup(test_sign__waits_until_the_second_of_a_revocation_is_over, setup),
        cmocka_unit_test_setup(test_revoke__a_keyset_and_not_another_of_its_issuer, setup),
        cmocka_unit_test_setup(test_revoke__what_does_not_say_when_it_was_issued, setup),
        cmocka_unit_test_setup(test_revoke__is_not_undone_by_a_clock_that_is_set_back, setup),
        cmocka_unit_test_setup(test_revoke__refuses_what_breaks_its_rules, setup),
        cmocka_unit_test_setup(test_list__gives_every_revocation_once_in_pages, setup),
        cmocka_unit_test_setup(test_list__is_for_operators, setup),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
