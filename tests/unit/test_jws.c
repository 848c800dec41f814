/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking tokens apart: what is well-formed, and everything that is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/jws.h"
#include "tests/unit/jose_token.h"
#include "tests/unit/rfc_examples.h"

static struct sg_jws jws;
static char token[JOSE_TOKEN_CAP];

static signet_reason parse(const char *text)
{
    return sg_jws_parse(text, strlen(text), &jws).reason;
}

static signet_reason parse_header_bytes(const void *header, size_t len)
{
    jose_join(header, len, "{}", 2, (const uint8_t *)"sig", 3, token);
    return parse(token);
}

static signet_reason parse_header(const char *header)
{
    return parse_header_bytes(header, strlen(header));
}

static void assert_malformed(const char *const headers[], size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (parse_header(headers[i]) != SIGNET_REASON_MALFORMED) {
            fail_msg("not refused: %s", headers[i]);
        }
    }
}

#define ASSERT_MALFORMED(...)                                                                      \
    do {                                                                                           \
        static const char *const headers_[] = {__VA_ARGS__};                                       \
        assert_malformed(headers_, sizeof(headers_) / sizeof(headers_[0]));                        \
    } while (0)

static void test_jws__rfc7515_a1_is_taken_apart(void **state)
{
    (void)state;
    assert_int_equal(parse(rfc7515_a1_token), SIGNET_REASON_NONE);
    assert_string_equal(jws.alg, "HS256");
    assert_int_equal(jws.alg_len, 5);
    assert_true(jws.has_typ);
    assert_string_equal(jws.typ, "JWT");
    assert_false(jws.has_kid);
    assert_int_equal(jws.signature_len, 32);
    assert_int_equal(jws.signature[0], 0x74);
    assert_ptr_equal(jws.signing_input, rfc7515_a1_token);
    assert_int_equal(jws.signing_input[jws.signing_input_len], '.');
    assert_int_equal(jws.signing_input_len, jws.header_b64_len + 1 + jws.payload_b64_len);
    assert_int_equal(sg_jws_check_alg(&jws, SG_ALG_HS256).reason, SIGNET_REASON_NONE);
    assert_int_equal(sg_jws_check_alg(&jws, SG_ALG_HS384).reason, SIGNET_REASON_WRONG_ALG);
}

static void test_jws__own_header_comes_back_the_same(void **state)
{
    char header[512];
    char text[1024];
    (void)state;
    size_t len = sg_jws_header(SG_ALG_ED448, "kid-1", "at+jwt", header, sizeof(header));
    assert_int_equal(len, strlen(header));
    (void)snprintf(text, sizeof(text), "%s.e30.AAAA", header);
    assert_int_equal(parse(text), SIGNET_REASON_NONE);
    assert_string_equal(jws.alg, "EdDSA");
    assert_string_equal(jws.kid, "kid-1");
    assert_string_equal(jws.typ, "at+jwt");
    assert_int_equal(sg_jws_header(SG_ALG_HS256, NULL, NULL, header, sizeof(header)), 20);
    assert_string_equal(header, "eyJhbGciOiJIUzI1NiJ9");
}

static void test_jws__own_header_refuses_what_needs_escapes_or_does_not_fit(void **state)
{
    char header[512];
    char long_kid[SG_MAX_KID_LEN + 2];
    (void)state;
    memset(long_kid, 'k', sizeof(long_kid) - 1);
    long_kid[sizeof(long_kid) - 1] = '\0';
    assert_int_equal(sg_jws_header(SG_ALG_HS256, "a\"b", NULL, header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, "a\\b", NULL, header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, NULL, "a\nb", header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, "\xc3\xa9", NULL, header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, long_kid, NULL, header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_UNSET, "k", NULL, header, sizeof(header)), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, NULL, NULL, header, 20), 0);
    assert_int_equal(sg_jws_header(SG_ALG_HS256, NULL, NULL, header, 21), 20);
}

static void test_jws__a_known_header_is_taken_only_byte_for_byte(void **state)
{
    char header[512];
    char text[1024];
    (void)state;
    size_t len = sg_jws_header(SG_ALG_HS256, "kid-1", "JWT", header, sizeof(header));
    struct sg_jws_known_header known = {
        .b64 = header, .b64_len = len, .alg = "HS256", .kid = "kid-1", .typ = "JWT"};
    (void)snprintf(text, sizeof(text), "%s.e30.AAAA", header);
    assert_int_equal(sg_jws_split(text, strlen(text), &jws).reason, SIGNET_REASON_NONE);
    assert_true(sg_jws_use_header(&jws, &known));
    struct sg_jws quick = jws;
    assert_int_equal(parse(text), SIGNET_REASON_NONE);
    assert_string_equal(quick.alg, jws.alg);
    assert_string_equal(quick.kid, jws.kid);
    assert_string_equal(quick.typ, jws.typ);
    assert_int_equal(quick.kid_len, jws.kid_len);
    assert_true(quick.has_kid && quick.has_typ);

    (void)sg_jws_header(SG_ALG_HS256, "kid-2", "JWT", header, sizeof(header));
    assert_int_equal(sg_jws_split(text, strlen(text), &jws).reason, SIGNET_REASON_NONE);
    assert_false(sg_jws_use_header(&jws, &known));
    known.b64_len--;
    assert_false(sg_jws_use_header(&jws, &known));
}

static void test_attack_a1__none_has_no_key(void **state)
{
    (void)state;
    assert_int_equal(parse(rfc7515_a5_token),
                     SIGNET_REASON_NONE); /* well-formed, and good for nothing */
    for (int i = -1; i <= SG_ALG_COUNT; i++) {
        assert_int_equal(sg_jws_check_alg(&jws, (enum sg_alg)i).reason, SIGNET_REASON_WRONG_ALG);
    }
}

static void test_attack_a2__alg_missing_or_not_a_string_is_malformed(void **state)
{
    (void)state;
    ASSERT_MALFORMED("{}", "{\"alg\":null}", "{\"alg\":256}", "{\"alg\":[\"HS256\"]}",
                     "{\"alg\":{}}", "{\"alg\":true}", "{\"ALG\":\"HS256\"}");
    assert_int_equal(parse_header("{\"alg\":\"\"}"), SIGNET_REASON_NONE);
    assert_int_equal(sg_jws_check_alg(&jws, SG_ALG_HS256).reason, SIGNET_REASON_WRONG_ALG);
    assert_int_equal(parse_header("{\"alg\":\"HS256HS256HS256HS256\"}"), SIGNET_REASON_NONE);
    assert_int_equal(sg_jws_check_alg(&jws, SG_ALG_HS256).reason, SIGNET_REASON_WRONG_ALG);
}

static void test_attack_a6__keys_in_the_token_are_not_even_kept(void **state)
{
    (void)state;
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},"
                                  "\"jku\":\"https://evil.example/\",\"x5u\":\"file:///etc\","
                                  "\"x5c\":[\"AAAA\"]}"),
                     SIGNET_REASON_NONE);
    assert_false(jws.has_kid);
}

static void test_attack_a7__kid_is_a_bounded_string_without_nul(void **state)
{
    char header[1024];
    char kid[SG_MAX_KID_LEN + 2];
    (void)state;
    ASSERT_MALFORMED("{\"alg\":\"HS256\",\"kid\":0}", "{\"alg\":\"HS256\",\"kid\":null}",
                     "{\"alg\":\"HS256\",\"kid\":{}}", "{\"alg\":\"HS256\",\"kid\":[\"a\"]}",
                     "{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}");
    memset(kid, 'k', sizeof(kid));
    (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}",
                   (int)SG_MAX_KID_LEN, kid);
    assert_int_equal(parse_header(header), SIGNET_REASON_NONE);
    assert_int_equal(jws.kid_len, SG_MAX_KID_LEN);
    (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}",
                   (int)SG_MAX_KID_LEN + 1, kid);
    assert_int_equal(parse_header(header), SIGNET_REASON_MALFORMED);
    /* A path is a kid like any other: it is only ever compared. */
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}"),
                     SIGNET_REASON_NONE);
}

static void test_attack_c1__slack_base64_is_refused_in_every_part(void **state)
{
    static const char *const slack[] = {"=",  "==", " ", "\n",  "\r\n",
                                        "\t", "+",  "/", "%3D", "\xc3\xa9"};
    const char *dot1 = strchr(rfc7515_a1_token, '.');
    const char *dot2 = strchr(dot1 + 1, '.');
    const size_t places[] = {0,
                             (size_t)(dot1 - rfc7515_a1_token),
                             (size_t)(dot1 - rfc7515_a1_token) + 1,
                             (size_t)(dot2 - rfc7515_a1_token),
                             (size_t)(dot2 - rfc7515_a1_token) + 1,
                             sizeof(rfc7515_a1_token) - 1};
    (void)state;
    for (size_t i = 0; i < sizeof(slack) / sizeof(slack[0]); i++) {
        for (size_t j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
            char text[512];
            (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)places[j], rfc7515_a1_token,
                           slack[i], rfc7515_a1_token + places[j]);
            assert_int_equal(parse(text), SIGNET_REASON_MALFORMED);
        }
    }
}

static void test_attack_c2__trailing_bits_are_refused_in_every_part(void **state)
{
    (void)state;
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiIsImEiOjF9.e30.AA"), SIGNET_REASON_NONE);
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiIsImEiOjF9.e31.AA"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiIsImEiOjF9.e30.AB"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiJ91.e30.AA"), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse("eyJhbGciOiJIUzI1NiIsImEiOjF9.e30.AAAAA"), SIGNET_REASON_MALFORMED);
}

static void test_attack_c3__only_three_parts_are_a_token(void **state)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "....",
                                        "a",
                                        "e30.e30",
                                        "{\"payload\":\"e30\",\"signatures\":[]}",
                                        "e30.e30.e30.e30",
                                        "e30.e30.e30.e30.e30",
                                        ".e30.AAAA",
                                        ".e30."};
    char dots[SG_MAX_TOKEN_LEN];
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(parse(texts[i]), SIGNET_REASON_MALFORMED);
    }
    memset(dots, '.', sizeof(dots));
    assert_int_equal(sg_jws_parse(dots, sizeof(dots), &jws).reason, SIGNET_REASON_MALFORMED);
    (void)snprintf(token, sizeof(token), "%s.AAAA", rfc7515_a1_token);
    assert_int_equal(parse(token), SIGNET_REASON_MALFORMED);
}

static void test_attack_c4__oversized_parts_are_refused_before_decoding(void **state)
{
    (void)state;
    char *text = malloc(SG_MAX_TOKEN_LEN + 2);
    assert_non_null(text);
    memset(text, 'A', SG_MAX_TOKEN_LEN + 1);
    memcpy(text, "eyJhbGciOiJIUzI1NiJ9.e30.", 25);
    assert_int_equal(sg_jws_parse(text, SG_MAX_TOKEN_LEN + 1, &jws).reason,
                     SIGNET_REASON_MALFORMED);
    size_t head = 25;
    size_t most = SG_BASE64URL_LEN(SG_MAX_SIGNATURE_LEN);
    text[head + most - 1] = 'A';
    assert_int_equal(sg_jws_parse(text, head + most, &jws).reason, SIGNET_REASON_NONE);
    assert_int_equal(jws.signature_len, SG_MAX_SIGNATURE_LEN);
    assert_int_equal(sg_jws_parse(text, head + most + 2, &jws).reason, SIGNET_REASON_MALFORMED);
    free(text);
    char *header = malloc(SG_MAX_HEADER_LEN + 64);
    assert_non_null(header);
    (void)snprintf(header, SG_MAX_HEADER_LEN + 64, "{\"alg\":\"HS256\",\"a\":\"%0*d\"}",
                   (int)SG_MAX_HEADER_LEN, 0);
    assert_int_equal(parse_header(header), SIGNET_REASON_MALFORMED);
    free(header);
}

static void test_attack_c5__duplicate_members_are_refused(void **state)
{
    (void)state;
    ASSERT_MALFORMED("{\"alg\":\"none\",\"alg\":\"HS256\"}",
                     "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
                     "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
                     "{\"alg\":\"HS256\",\"x\":{\"y\":[{\"z\":1,\"z\":1}]}}",
                     "{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}");
}

static void test_attack_c6__crit_in_any_form_is_unsupported(void **state)
{
    static const char *const crits[] = {
        "[\"exp\"]", "[]", "null", "\"b64\"", "{}", "[1]", "[\"http://example.com/UNDEFINED\"]"};
    char header[128];
    (void)state;
    for (size_t i = 0; i < sizeof(crits) / sizeof(crits[0]); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"crit\":%s}", crits[i]);
        assert_int_equal(parse_header(header), SIGNET_REASON_UNSUPPORTED_HEADER);
    }
}

static void test_attack_c7__b64_is_unsupported(void **state)
{
    (void)state;
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"b64\":false}"),
                     SIGNET_REASON_UNSUPPORTED_HEADER);
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"b64\":true}"),
                     SIGNET_REASON_UNSUPPORTED_HEADER);
}

static void test_attack_c8__what_is_not_utf8_is_malformed(void **state)
{
    (void)state;
    ASSERT_MALFORMED("\xef\xbb\xbf{\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"a\":\"\xff\"}",
                     "{\"alg\":\"HS256\",\"a\":\"\xc0\xaf\"}",
                     "{\"alg\":\"HS256\",\"a\":\"\xed\xa0\x80\"}",
                     "{\"alg\":\"HS256\",\"a\":\"\\ud800\"}");
    assert_int_equal(parse_header_bytes("{\0\"\0a\0l\0g\0\"\0:\0\"\0H\0\"\0}\0", 22),
                     SIGNET_REASON_MALFORMED);
}

static void test_attack_c9__nul_is_refused_raw_and_escaped(void **state)
{
    (void)state;
    assert_int_equal(parse_header_bytes("{\"alg\":\"HS256\"}\0", 16), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse_header_bytes("{\"alg\":\"HS256\0\"}", 16), SIGNET_REASON_MALFORMED);
    ASSERT_MALFORMED("{\"alg\":\"HS256\\u0000\"}", "{\"alg\\u0000\":\"HS256\"}",
                     "{\"alg\":\"HS256\",\"typ\":\"JWT\\u0000\"}");
    assert_int_equal(sg_jws_parse(rfc7515_a1_token, sizeof(rfc7515_a1_token), &jws).reason,
                     SIGNET_REASON_MALFORMED);
}

static void test_attack_c10__loose_json_is_malformed(void **state)
{
    (void)state;
    ASSERT_MALFORMED(
        "{\"alg\":\"HS256\"}x", "{\"alg\":\"HS256\"}{}", "{\"alg\":\"HS256\",}", "{'alg':'HS256'}",
        "{alg:\"HS256\"}", "{\"alg\":\"HS256\"/**/}", "{\"alg\":\"HS256\",\"a\":NaN}",
        "{\"alg\":\"HS256\",\"a\":Infinity}", "{\"alg\":\"HS256\",\"a\":0x1}",
        "{\"alg\":\"HS256\",\"a\":01}", "{\"alg\":\"HS256\",\"a\":\"\t\"}",
        "{\"alg\":\"HS256\",\"a\":\"\\x\"}", "{\"alg\":\"HS256\"", "", "{\v\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"a\":1e400}", "{\"alg\":\"HS256\",\"a\":99999999999999999999}");
    assert_int_equal(parse_header(" \r\n\t{ \"alg\" : \"HS256\" } \n"), SIGNET_REASON_NONE);
}

/* A header with an array of this depth in it, the object being level 1. */
static signet_reason parse_depth(size_t depth)
{
    char header[SG_MAX_HEADER_LEN];
    size_t at = (size_t)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"a\":");
    memset(header + at, '[', depth - 1);
    at += depth - 1;
    memset(header + at, ']', depth - 1);
    at += depth - 1;
    header[at++] = '}';
    return parse_header_bytes(header, at);
}

static void test_attack_c11__deep_nesting_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse_depth(SG_MAX_JSON_DEPTH), SIGNET_REASON_NONE);
    assert_int_equal(parse_depth(SG_MAX_JSON_DEPTH + 1), SIGNET_REASON_MALFORMED);
    assert_int_equal(parse_depth(2000), SIGNET_REASON_MALFORMED);
    /* Brackets in strings are no depth, and a quote behind a backslash ends none. */
    assert_int_equal(
        parse_header("{\"alg\":\"HS256\",\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                     "\"}"),
        SIGNET_REASON_NONE);
}

static void test_attack_c12__a_header_that_is_no_object_is_malformed(void **state)
{
    (void)state;
    ASSERT_MALFORMED("[]", "[{\"alg\":\"HS256\"}]", "null", "\"alg\"", "1", "true");
}

static void test_attack_c13__escaped_names_are_the_same_names(void **state)
{
    (void)state;
    assert_int_equal(parse_header("{\"\\u0061lg\":\"HS\\u0032\\u0035\\u0036\"}"),
                     SIGNET_REASON_NONE);
    assert_string_equal(jws.alg, "HS256");
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"\\u0063rit\":[\"a\"]}"),
                     SIGNET_REASON_UNSUPPORTED_HEADER);
}

static void test_attack_c14__a_jwe_is_no_jws_and_zip_inflates_nothing(void **state)
{
    (void)state;
    assert_int_equal(parse("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA"),
                     SIGNET_REASON_MALFORMED);
    assert_int_equal(parse_header("{\"alg\":\"HS256\",\"zip\":\"DEF\"}"), SIGNET_REASON_NONE);
}

static void test_attack_d7__typ_must_be_a_string(void **state)
{
    (void)state;
    ASSERT_MALFORMED("{\"alg\":\"HS256\",\"typ\":1}", "{\"alg\":\"HS256\",\"typ\":null}",
                     "{\"alg\":\"HS256\",\"typ\":[\"JWT\"]}");
}

static void test_attack_d9__a_bad_payload_is_not_read_before_the_signature(void **state)
{
    struct jose_key key;
    (void)state;
    jose_key_new(&key, SG_ALG_ES256);
    jose_token(&key, "{\"alg\":\"ES256\"}", "{\"exp\":1,\"exp\":2", token);
    assert_int_equal(jose_verdict(key.public, token), SIGNET_REASON_NONE);
    char *sig = strrchr(token, '.') + 1;
    sig[0] = sig[0] == 'A' ? 'B' : 'A';
    assert_int_equal(jose_verdict(key.public, token), SIGNET_REASON_BAD_SIGNATURE);
    jose_key_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jws__rfc7515_a1_is_taken_apart),
        cmocka_unit_test(test_jws__own_header_comes_back_the_same),
        cmocka_unit_test(test_jws__own_header_refuses_what_needs_escapes_or_does_not_fit),
        cmocka_unit_test(test_jws__a_known_header_is_taken_only_byte_for_byte),
        cmocka_unit_test(test_attack_a1__none_has_no_key),
        cmocka_unit_test(test_attack_a2__alg_missing_or_not_a_string_is_malformed),
        cmocka_unit_test(test_attack_a6__keys_in_the_token_are_not_even_kept),
        cmocka_unit_test(test_attack_a7__kid_is_a_bounded_string_without_nul),
        cmocka_unit_test(test_attack_c1__slack_base64_is_refused_in_every_part),
        cmocka_unit_test(test_attack_c2__trailing_bits_are_refused_in_every_part),
        cmocka_unit_test(test_attack_c3__only_three_parts_are_a_token),
        cmocka_unit_test(test_attack_c4__oversized_parts_are_refused_before_decoding),
        cmocka_unit_test(test_attack_c5__duplicate_members_are_refused),
        cmocka_unit_test(test_attack_c6__crit_in_any_form_is_unsupported),
        cmocka_unit_test(test_attack_c7__b64_is_unsupported),
        cmocka_unit_test(test_attack_c8__what_is_not_utf8_is_malformed),
        cmocka_unit_test(test_attack_c9__nul_is_refused_raw_and_escaped),
        cmocka_unit_test(test_attack_c10__loose_json_is_malformed),
        cmocka_unit_test(test_attack_c11__deep_nesting_is_refused),
        cmocka_unit_test(test_attack_c12__a_header_that_is_no_object_is_malformed),
        cmocka_unit_test(test_attack_c13__escaped_names_are_the_same_names),
        cmocka_unit_test(test_attack_c14__a_jwe_is_no_jws_and_zip_inflates_nothing),
        cmocka_unit_test(test_attack_d7__typ_must_be_a_string),
        cmocka_unit_test(test_attack_d9__a_bad_payload_is_not_read_before_the_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
