/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims: read strictly, judged exactly, written plainly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/claims.h"

#define NOW 1760000000

static char b64[SG_BASE64URL_LEN(SG_MAX_PAYLOAD_LEN + 1024)];

static struct sg_jws jws_of(const void *payload, size_t len)
{
    struct sg_jws jws = {.payload_b64 = b64};
    jws.payload_b64_len = sg_base64url_encode(payload, len, b64);
    return jws;
}

static signet_reason parse_bytes(const void *payload, size_t len)
{
    struct sg_jws jws = jws_of(payload, len);
    struct sg_claims claims = {0};
    signet_reason reason = sg_claims_parse(&jws, &claims).reason;
    sg_claims_fini(&claims);
    return reason;
}

static signet_reason parse(const char *payload)
{
    return parse_bytes(payload, strlen(payload));
}

static signet_reason judge(const char *payload, const char *typ,
                           const struct sg_expectation *expected)
{
    struct sg_jws jws = jws_of(payload, strlen(payload));
    struct sg_claims claims = {0};
    jws.has_typ = typ != NULL;
    (void)snprintf(jws.typ, sizeof(jws.typ), "%s", typ != NULL ? typ : "");
    struct sg_verdict verdict = sg_claims_parse(&jws, &claims);
    if (verdict.reason == SIGNET_REASON_NONE) {
        verdict = sg_claims_check(&claims, &jws, expected);
    }
    sg_claims_fini(&claims);
    return verdict.reason;
}

static signet_reason judge_at(const char *payload, int64_t now, uint32_t leeway_s)
{
    struct sg_expectation expected = {
        .now = now, .leeway_s = leeway_s, .any_audience = true, .exp_optional = true};
    return judge(payload, NULL, &expected);
}

static void test_claims__rfc7519_3_1_has_expired(void **state)
{
    static const char payload[] =
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    (void)state;
    assert_int_equal(judge_at(payload, 1300819379, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at(payload, 1300819380, 0), SIGNET_REASON_EXPIRED);
}

static void test_claims__are_read(void **state)
{
    static const char payload[] =
        "{\"iss\":\"i\",\"sub\":\"s\",\"aud\":[\"a\",\"b\"],\"jti\":\"j\",\"exp\":5,\"iat\":-1.5}";
    struct sg_jws jws = jws_of(payload, strlen(payload));
    struct sg_claims claims;
    (void)state;
    assert_int_equal(sg_claims_parse(&jws, &claims).reason, SIGNET_REASON_NONE);
    assert_string_equal(claims.issuer, "i");
    assert_string_equal(claims.subject, "s");
    assert_string_equal(claims.jti, "j");
    assert_int_equal(claims.num_audiences, 2);
    assert_string_equal(claims.audiences[1], "b");
    assert_true(claims.exp.present && !claims.exp.has_fraction && claims.exp.seconds == 5);
    assert_true(claims.iat.has_fraction && claims.iat.seconds == -2);
    assert_false(claims.nbf.present);
    assert_string_equal(claims.json, payload);
    assert_int_equal(claims.json_len, strlen(payload));
    sg_claims_fini(&claims);
    sg_claims_fini(&claims);
}

static void test_claims__max_age(void **state)
{
    struct sg_expectation expected = {
        .now = NOW, .any_audience = true, .exp_optional = true, .max_age_s = 60, .leeway_s = 5};
    (void)state;
    assert_int_equal(judge("{\"iat\":1759999935}", NULL, &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{\"iat\":1759999934}", NULL, &expected), SIGNET_REASON_TOO_OLD);
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_CLAIM_MISSING);
    assert_int_equal(judge("{\"iat\":1760000005}", NULL, &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{\"iat\":1760000006}", NULL, &expected), SIGNET_REASON_CLAIM_INVALID);
    expected.max_age_s = 0;
    assert_int_equal(judge("{\"iat\":1760000006}", NULL, &expected), SIGNET_REASON_NONE);
}

static void test_claims__scope(void **state)
{
    static const char *const scopes[] = {"read", "write"};
    struct sg_expectation expected = {
        .now = NOW, .any_audience = true, .exp_optional = true, .scopes = scopes, .num_scopes = 2};
    (void)state;
    assert_int_equal(judge("{\"scope\":\"write x read\"}", NULL, &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{\"scope\":\"write reads\"}", NULL, &expected),
                     SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(judge("{\"scope\":\"write\\tread\"}", NULL, &expected),
                     SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(judge("{\"scope\":[\"write\",\"read\"]}", NULL, &expected),
                     SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_CLAIM_MISSING);
}

static void test_claims__leeway_is_capped(void **state)
{
    (void)state;
    assert_int_equal(judge_at("{\"exp\":1759999701}", NOW, UINT32_MAX), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":1759999700}", NOW, UINT32_MAX), SIGNET_REASON_EXPIRED);
}

static void test_claims_write__order_and_forms(void **state)
{
    static const char *const audiences[] = {"a", "b"};
    struct sg_new_claims claims = {.issuer = "i",
                                   .subject = "s\"",
                                   .jti = "j",
                                   .audiences = audiences,
                                   .num_audiences = 1,
                                   .iat = 1,
                                   .nbf = 2,
                                   .exp = 3,
                                   .extra_json = "{\"z\":1,\"a\":[true]}",
                                   .extra_json_len = 18};
    char *out = NULL;
    size_t len = 0;
    const char *detail = NULL;
    (void)state;
    assert_int_equal(sg_claims_write(&claims, &out, &len, &detail), SIGNET_OK);
    assert_string_equal(out, "{\"iss\":\"i\",\"sub\":\"s\\\"\",\"aud\":\"a\",\"iat\":1,\"nbf\":2,"
                             "\"exp\":3,\"jti\":\"j\",\"z\":1,\"a\":[true]}");
    assert_int_equal(len, strlen(out));
    free(out);
    claims = (struct sg_new_claims){.audiences = audiences, .num_audiences = 2};
    assert_int_equal(sg_claims_write(&claims, &out, &len, &detail), SIGNET_OK);
    assert_string_equal(out, "{\"aud\":[\"a\",\"b\"],\"iat\":0,\"nbf\":0,\"exp\":0}");
    free(out);
}

static void test_claims_write__refuses_bad_extras(void **state)
{
    static const char *const extras[] = {"[]",
                                         "",
                                         "{\"exp\":1}",
                                         "{\"\\u0065xp\":1}",
                                         "{\"iss\":\"x\"}",
                                         "{\"a\":1,\"a\":2}",
                                         "{}x",
                                         "{\"aud\":1}",
                                         "{\"jti\":1}",
                                         "{\"nbf\":1}",
                                         "{\"iat\":1}",
                                         "{\"sub\":1}",
                                         "{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}",
                                         "{\"a\":\"\\u0000\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
        struct sg_new_claims claims = {.extra_json = extras[i],
                                       .extra_json_len = strlen(extras[i])};
        char *out = NULL;
        size_t len = 0;
        const char *detail = NULL;
        assert_int_equal(sg_claims_write(&claims, &out, &len, &detail), SIGNET_INVALID_ARGUMENT);
        assert_null(out);
        assert_non_null(detail);
    }
    struct sg_new_claims bad = {.subject = "\xff"};
    char *out = NULL;
    size_t len = 0;
    const char *detail = NULL;
    assert_int_equal(sg_claims_write(&bad, &out, &len, &detail), SIGNET_INVALID_ARGUMENT);
}

/* A check that keeps what it saw, and answers what it is told to. */
struct watch {
    signet_status answer;
    unsigned num_calls;
    size_t num_members; /* SIZE_MAX: there was nothing */
};

static signet_status watch_check(void *context, struct json_t *extra)
{
    struct watch *watch = context;
    watch->num_calls++;
    watch->num_members = extra != NULL ? json_object_size(extra) : SIZE_MAX;
    return watch->answer;
}

/* The payload with more claims, a check and what is forced; NULL if it was refused with status. */
static char *write_with(const char *extra, struct watch *watch,
                        const struct sg_forced_claim *forced, size_t num_forced,
                        signet_status status)
{
    struct sg_new_claims claims = {.extra_json = extra,
                                   .extra_json_len = extra != NULL ? strlen(extra) : 0,
                                   .check = {watch_check, watch},
                                   .forced = forced,
                                   .num_forced = num_forced};
    char *out = NULL;
    size_t len = 0;
    const char *detail = NULL;
    watch->num_calls = 0;
    assert_int_equal(sg_claims_write(&claims, &out, &len, &detail), status);
    assert_int_equal(out != NULL, status == SIGNET_OK);
    assert_int_equal(detail == NULL, status == SIGNET_OK);
    return out;
}

static void test_claims_write__asks_the_check_about_what_is_good(void **state)
{
    struct watch watch = {.answer = SIGNET_OK};
    (void)state;
    free(write_with("{\"a\":1,\"b\":2}", &watch, NULL, 0, SIGNET_OK));
    assert_int_equal(watch.num_calls, 1);
    assert_int_equal(watch.num_members, 2);
    free(write_with(NULL, &watch, NULL, 0, SIGNET_OK));
    assert_int_equal(watch.num_calls, 1);
    assert_int_equal(watch.num_members, SIZE_MAX);
    assert_null(write_with("{\"a\":1,\"a\":2}", &watch, NULL, 0, SIGNET_INVALID_ARGUMENT));
    assert_int_equal(watch.num_calls, 0);
    assert_null(write_with("{\"a\":1,\"exp\":2}", &watch, NULL, 0, SIGNET_INVALID_ARGUMENT));
    assert_int_equal(watch.num_calls, 0);
}

static void test_claims_write__a_refusal_by_the_check_is_one(void **state)
{
    struct watch watch = {.answer = SIGNET_PERMISSION_DENIED};
    (void)state;
    assert_null(write_with("{\"a\":1}", &watch, NULL, 0, SIGNET_PERMISSION_DENIED));
    assert_null(write_with(NULL, &watch, NULL, 0, SIGNET_PERMISSION_DENIED));
    assert_int_equal(watch.num_calls, 1);
}

static void test_claims_write__adds_what_is_forced(void **state)
{
    static const struct sg_forced_claim forced[] = {{.name = "uid", .number = 1000},
                                                    {.name = "user", .text = "al\"ice"}};
    struct watch watch = {.answer = SIGNET_OK};
    (void)state;
    char *out = write_with("{\"a\":1}", &watch, forced, 2, SIGNET_OK);
    assert_string_equal(out, "{\"iat\":0,\"nbf\":0,\"exp\":0,\"a\":1,\"uid\":1000,"
                             "\"user\":\"al\\\"ice\"}");
    free(out);
    assert_int_equal(watch.num_members, 1);
    /* Also where a caller's of that name was let through. */
    out = write_with("{\"user\":\"root\"}", &watch, forced, 2, SIGNET_OK);
    assert_string_equal(out, "{\"iat\":0,\"nbf\":0,\"exp\":0,\"user\":\"al\\\"ice\","
                             "\"uid\":1000}");
    free(out);
}

static void test_claims_write__refuses_bad_forced_claims(void **state)
{
    static const struct sg_forced_claim registered = {.name = "exp", .number = 1};
    static const struct sg_forced_claim bad = {.name = "user", .text = "\xff"};
    struct watch watch = {.answer = SIGNET_OK};
    (void)state;
    assert_null(write_with(NULL, &watch, &registered, 1, SIGNET_INVALID_ARGUMENT));
    assert_null(write_with(NULL, &watch, &bad, 1, SIGNET_INVALID_ARGUMENT));
}

static void test_attack_c5__duplicate_claims_are_malformed(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"exp\":1,\"exp\":9}"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("{\"exp\":1,\"\\u0065xp\":9}"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("{\"a\":[{\"b\":{\"c\":1,\"c\":1}}]}"), SIGNET_REASON_MALFORMED);
}

static void test_attack_c8_to_c10__loose_payloads_are_malformed(void **state)
{
    static const char *const payloads[] = {"",
                                           "text",
                                           "{}x",
                                           "{}{}",
                                           "{\"a\":\"\xff\"}",
                                           "\xef\xbb\xbf{}",
                                           "{\"a\":\"\\u0000\"}",
                                           "{\"exp\":+1}",
                                           "{\"exp\":1.}",
                                           "{\"exp\":Infinity}",
                                           "{\"exp\":1e400}",
                                           "{\"exp\":-1e400}",
                                           "{\"exp\":9223372036854775808}",
                                           "{\"exp\":18446744073709551615}"};
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        assert_int_equal(parse(payloads[i]), SIGNET_REASON_MALFORMED);
    }
    assert_int_equal(parse_bytes("{}\0", 3), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse(" \n{ }\t"), SIGNET_REASON_NONE);
}

static void test_attack_c11__deep_or_long_payloads_are_malformed(void **state)
{
    static char payload[SG_MAX_PAYLOAD_LEN + 512];
    (void)state;
    memset(payload, '[', sizeof(payload));
    memcpy(payload, "{\"a\":", 5);
    assert_int_equal(parse_bytes(payload, SG_MAX_PAYLOAD_LEN), SIGNET_REASON_MALFORMED);
    memset(payload, ' ', sizeof(payload));
    payload[0] = '{';
    payload[1] = '}';
    assert_int_equal(parse_bytes(payload, SG_MAX_PAYLOAD_LEN), SIGNET_REASON_NONE);
    assert_int_equal(parse_bytes(payload, SG_MAX_PAYLOAD_LEN + 1), SIGNET_REASON_MALFORMED);
}

static void test_attack_c12__a_payload_that_is_no_object_is_malformed(void **state)
{
    (void)state;
    assert_int_equal(parse("[]"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("[{\"exp\":1}]"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("null"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("\"a\""), SIGNET_REASON_MALFORMED);
}

static void test_attack_c13__an_escaped_exp_is_exp(void **state)
{
    (void)state;
    assert_int_equal(judge_at("{\"\\u0065xp\":1}", NOW, 0), SIGNET_REASON_EXPIRED);
}

static void test_attack_d1__expired_at_exp_and_valid_from_nbf(void **state)
{
    (void)state;
    assert_int_equal(judge_at("{\"exp\":1760000001}", NOW, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":1760000000}", NOW, 0), SIGNET_REASON_EXPIRED);
    assert_int_equal(judge_at("{\"exp\":1760000000}", NOW, 1), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":1759999999}", NOW, 1), SIGNET_REASON_EXPIRED);
    assert_int_equal(judge_at("{\"nbf\":1760000000}", NOW, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"nbf\":1760000001}", NOW, 0), SIGNET_REASON_NOT_YET_VALID);
    assert_int_equal(judge_at("{\"nbf\":1760000001}", NOW, 1), SIGNET_REASON_NONE);
}

static void test_attack_d2__dates_of_a_wrong_type_are_invalid_not_absent(void **state)
{
    static const char *const names[] = {"exp", "nbf", "iat"};
    static const char *const values[] = {"\"1760000001\"", "\"\"", "null",         "true",
                                         "false",          "[]",   "[1760000001]", "{}"};
    char payload[64];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
            (void)snprintf(payload, sizeof(payload), "{\"%s\":%s}", names[i], values[j]);
            assert_int_equal(parse(payload), SIGNET_REASON_CLAIM_INVALID);
        }
    }
}

static void test_attack_d3__dates_keep_their_fraction_and_their_range(void **state)
{
    (void)state;
    assert_int_equal(judge_at("{\"exp\":1760000000.5}", NOW, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":1760000000.5}", NOW + 1, 0), SIGNET_REASON_EXPIRED);
    assert_int_equal(judge_at("{\"exp\":1759999999.9999}", NOW, 0), SIGNET_REASON_EXPIRED);
    assert_int_equal(judge_at("{\"nbf\":1760000000.5}", NOW, 0), SIGNET_REASON_NOT_YET_VALID);
    assert_int_equal(judge_at("{\"nbf\":1760000000.5}", NOW + 1, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":1.760000001e9}", NOW, 0), SIGNET_REASON_NONE);
    assert_int_equal(judge_at("{\"exp\":-0}", NOW, 0), SIGNET_REASON_EXPIRED);
    assert_int_equal(judge_at("{\"exp\":1e-300}", NOW, 0), SIGNET_REASON_EXPIRED);
    assert_int_equal(parse("{\"exp\":9007199254740992}"), SIGNET_REASON_NONE);
    assert_int_equal(parse("{\"exp\":9007199254740993}"), SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"exp\":-9007199254740993}"), SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"exp\":9223372036854775807}"), SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"nbf\":1e308}"), SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"iat\":-1e17}"), SIGNET_REASON_CLAIM_INVALID);
}

static void test_attack_d4__what_is_needed_and_missing_is_refused(void **state)
{
    struct sg_expectation expected = {.now = NOW, .any_audience = true};
    (void)state;
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_CLAIM_MISSING);
    assert_int_equal(judge("{\"EXP\":1760000001}", NULL, &expected), SIGNET_REASON_CLAIM_MISSING);
    expected.exp_optional = true;
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_NONE);
    expected.issuer = "i";
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_WRONG_ISSUER);
    expected.issuer = NULL;
    expected.subject = "s";
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_CLAIM_MISSING);
    expected.subject = NULL;
    expected.any_audience = false;
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_WRONG_AUDIENCE);
    assert_int_equal(judge("{\"aud\":\"a\"}", NULL, &expected), SIGNET_REASON_WRONG_AUDIENCE);
}

static void test_attack_d5__audience_is_exact_membership(void **state)
{
    static const char *const wanted[] = {"other", "svc-a"};
    struct sg_expectation expected = {
        .now = NOW, .exp_optional = true, .audiences = wanted, .num_audiences = 2};
    static const char *const good[] = {"{\"aud\":\"svc-a\"}", "{\"aud\":[\"x\",\"svc-a\"]}",
                                       "{\"aud\":\"svc\\u002da\"}"};
    static const char *const wrong[] = {"{}",
                                        "{\"aud\":\"svc-\"}",
                                        "{\"aud\":\"svc-ab\"}",
                                        "{\"aud\":\"SVC-A\"}",
                                        "{\"aud\":\"svc-a \"}",
                                        "{\"aud\":[\"svc-b\"]}"};
    static const char *const invalid[] = {
        "{\"aud\":[]}", "{\"aud\":null}",          "{\"aud\":{}}",
        "{\"aud\":1}",  "{\"aud\":[\"svc-a\",1]}", "{\"aud\":[[\"svc-a\"]]}"};
    char many[256] = "{\"aud\":[\"svc-a\"";
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(judge(good[i], NULL, &expected), SIGNET_REASON_NONE);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(judge(wrong[i], NULL, &expected), SIGNET_REASON_WRONG_AUDIENCE);
    }
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        assert_int_equal(judge(invalid[i], NULL, &expected), SIGNET_REASON_CLAIM_INVALID);
    }
    size_t at = strlen(many);
    for (size_t i = 0; i < SG_MAX_AUDIENCES; i++) {
        at += (size_t)snprintf(many + at, sizeof(many) - at, ",\"b\"");
    }
    (void)snprintf(many + at, sizeof(many) - at, "]}");
    assert_int_equal(judge(many, NULL, &expected), SIGNET_REASON_CLAIM_INVALID);
}

static void test_attack_d6__issuer_and_subject_are_whole_strings(void **state)
{
    struct sg_expectation expected = {
        .now = NOW, .any_audience = true, .exp_optional = true, .issuer = "https://issuer.example"};
    (void)state;
    assert_int_equal(judge("{\"iss\":\"https://issuer.example\"}", NULL, &expected),
                     SIGNET_REASON_NONE);
    assert_int_equal(judge("{\"iss\":\"https://issuer.example/\"}", NULL, &expected),
                     SIGNET_REASON_WRONG_ISSUER);
    assert_int_equal(judge("{\"iss\":\"https://issuer\"}", NULL, &expected),
                     SIGNET_REASON_WRONG_ISSUER);
    assert_int_equal(judge("{\"iss\":[\"https://issuer.example\"]}", NULL, &expected),
                     SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"sub\":1}"), SIGNET_REASON_CLAIM_INVALID);
    assert_int_equal(parse("{\"jti\":null}"), SIGNET_REASON_CLAIM_INVALID);
    expected.issuer = NULL;
    expected.subject = "alice";
    assert_int_equal(judge("{\"sub\":\"alice\"}", NULL, &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{\"sub\":\"alice2\"}", NULL, &expected), SIGNET_REASON_CLAIM_INVALID);
}

static void test_attack_d7__typ_is_the_one_expected(void **state)
{
    struct sg_expectation expected = {
        .now = NOW, .any_audience = true, .exp_optional = true, .typ = "at+jwt"};
    (void)state;
    assert_int_equal(judge("{}", "at+jwt", &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{}", "application/AT+JWT", &expected), SIGNET_REASON_NONE);
    assert_int_equal(judge("{}", "JWT", &expected), SIGNET_REASON_WRONG_TYPE);
    assert_int_equal(judge("{}", "at+jwt; v=1", &expected), SIGNET_REASON_WRONG_TYPE);
    assert_int_equal(judge("{}", "", &expected), SIGNET_REASON_WRONG_TYPE);
    assert_int_equal(judge("{}", NULL, &expected), SIGNET_REASON_WRONG_TYPE);
}

static void test_attack_d8__a_token_within_a_token_is_no_claims_set(void **state)
{
    (void)state;
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("\"eyJhbGciOiJIUzI1NiJ9.e30.AAAA\""), SIGNET_REASON_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims__rfc7519_3_1_has_expired),
        cmocka_unit_test(test_claims__are_read),
        cmocka_unit_test(test_claims__max_age),
        cmocka_unit_test(test_claims__scope),
        cmocka_unit_test(test_claims__leeway_is_capped),
        cmocka_unit_test(test_claims_write__order_and_forms),
        cmocka_unit_test(test_claims_write__refuses_bad_extras),
        cmocka_unit_test(test_claims_write__asks_the_check_about_what_is_good),
        cmocka_unit_test(test_claims_write__a_refusal_by_the_check_is_one),
        cmocka_unit_test(test_claims_write__adds_what_is_forced),
        cmocka_unit_test(test_claims_write__refuses_bad_forced_claims),
        cmocka_unit_test(test_attack_c5__duplicate_claims_are_malformed),
        cmocka_unit_test(test_attack_c8_to_c10__loose_payloads_are_malformed),
        cmocka_unit_test(test_attack_c11__deep_or_long_payloads_are_malformed),
        cmocka_unit_test(test_attack_c12__a_payload_that_is_no_object_is_malformed),
        cmocka_unit_test(test_attack_c13__an_escaped_exp_is_exp),
        cmocka_unit_test(test_attack_d1__expired_at_exp_and_valid_from_nbf),
        cmocka_unit_test(test_attack_d2__dates_of_a_wrong_type_are_invalid_not_absent),
        cmocka_unit_test(test_attack_d3__dates_keep_their_fraction_and_their_range),
        cmocka_unit_test(test_attack_d4__what_is_needed_and_missing_is_refused),
        cmocka_unit_test(test_attack_d5__audience_is_exact_membership),
        cmocka_unit_test(test_attack_d6__issuer_and_subject_are_whole_strings),
        cmocka_unit_test(test_attack_d7__typ_is_the_one_expected),
        cmocka_unit_test(test_attack_d8__a_token_within_a_token_is_no_claims_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
