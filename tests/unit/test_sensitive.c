/* SPDX-License-Identifier: Apache-2.0
 *
 * What looks like a secret, and what must not be taken for one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/jose/sensitive_claims.h"
#include "common/limits.h"
#include "common/sensitive.h"

#define NUM(list) (sizeof(list) / sizeof((list)[0]))

static void test_sensitive__names_of_secrets(void **state)
{
    static const char *const names[] = {"password",
                                        "PASSWORD",
                                        "Pass_Word",
                                        "user.password",
                                        "userpassword",
                                        "newPassword",
                                        "passwords",
                                        "password2",
                                        "password_2",
                                        "passwd",
                                        "pwd",
                                        "user-pwd",
                                        "passphrase",
                                        "pass-phrase",
                                        "password_hash",
                                        "passwordHash",
                                        "secret",
                                        "Secret",
                                        "client_secret",
                                        "clientsecret",
                                        "CLIENTSECRET",
                                        "clientSecret",
                                        "SECRETS",
                                        "https://example.com/secret",
                                        "api_key",
                                        "apikey",
                                        "api-key",
                                        "apiKey",
                                        "APIKey",
                                        "x.api.key",
                                        "private_key",
                                        "privateKey",
                                        "access_key",
                                        "aws_secret_access_key",
                                        "secret_key",
                                        "accesstoken",
                                        "access_token",
                                        "refreshToken",
                                        "credit_card",
                                        "creditCardNumber",
                                        "card_number",
                                        "cardnumber",
                                        "cvv",
                                        "cvv2",
                                        "card_cvc",
                                        "pin",
                                        "PIN",
                                        "user_pin",
                                        "ssn",
                                        "SSN",
                                        "user_ssn",
                                        "social_security_number",
                                        "credential",
                                        "credentials",
                                        "seed_phrase",
                                        "_password_",
                                        "p_a_s_s_w_o_r_d"};
    (void)state;
    for (size_t i = 0; i < NUM(names); i++) {
        if (!sg_sensitive_name(names[i])) {
            fail_msg("%s was not noticed", names[i]);
        }
    }
}

static void test_sensitive__names_of_other_things(void **state)
{
    static const char *const names[] = {"",
                                        "role",
                                        "name",
                                        "secretary",
                                        "undersecretary",
                                        "secretariat",
                                        "pinned",
                                        "pinning",
                                        "kingpin",
                                        "spin",
                                        "pincode",
                                        "map_pin",
                                        "password_expires_at",
                                        "pwd_exp",
                                        "pwd_url",
                                        "passwordless",
                                        "access_key_id",
                                        "secret_id",
                                        "session",
                                        "lesson",
                                        "ssn_last4",
                                        "mission",
                                        "passport",
                                        "compass",
                                        "key",
                                        "keyset",
                                        "monkey",
                                        "token",
                                        "csrf_token",
                                        "card",
                                        "cardinal",
                                        "card_type",
                                        "scorecard",
                                        "verifiableCredential",
                                        "scope",
                                        "pwdless",
                                        "cwd",
                                        "discard_number_of",
                                        "s",
                                        "1234",
                                        "__",
                                        "\xc3\xa9",
                                        "pin\xc3\xa9",
                                        "amr",
                                        "email_verified"};
    (void)state;
    for (size_t i = 0; i < NUM(names); i++) {
        if (sg_sensitive_name(names[i])) {
            fail_msg("%s was taken for a secret", names[i]);
        }
    }
}

static void test_sensitive__long_names_are_judged_by_their_end(void **state)
{
    char name[600];
    (void)state;
    memset(name, 'x', sizeof(name));
    memcpy(name + 500, "_password", sizeof("_password"));
    assert_true(sg_sensitive_name(name));
    memcpy(name + 500, "_secretary", sizeof("_secretary"));
    assert_false(sg_sensitive_name(name));
    memset(name, '_', sizeof(name));
    memcpy(name + 500, "pin", sizeof("pin"));
    assert_false(sg_sensitive_name(name)); /* whether it is the whole name cannot be seen */
    name[499] = 'S';
    memcpy(name + 500, "SN", sizeof("SN"));
    assert_true(sg_sensitive_name(name));
}

static bool is_card(const char *text)
{
    return sg_sensitive_is_card_number(text, strlen(text));
}

/* The card schemes' own numbers for tests. */
static void test_sensitive__card_numbers(void **state)
{
    static const char *const cards[] = {
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222",
        "4012888888881881", "5555555555554444",    "5105105105105100",    "2223003122003222",
        "378282246310005",  "3782 822463 10005",   "371449635398431",     "6011111111111117",
        "3530111333300000", "30569309025904",      "38520000023237",      "6200000000000005",
        "6759649826438453"};
    (void)state;
    for (size_t i = 0; i < NUM(cards); i++) {
        if (!is_card(cards[i])) {
            fail_msg("%s was not noticed", cards[i]);
        }
    }
}

static void test_sensitive__numbers_that_are_no_cards(void **state)
{
    static const char *const others[] = {
        "",
        "4111111111111112",     /* check digit */
        "411111111111111",      /* 15 digits, as none that begins with 4 */
        "1760000000000",        /* milliseconds */
        "1760000000000000",     /* microseconds */
        "1111111111111117",     /* no card begins so */
        "0000000000000000",     /* and that would pass Luhn */
        "9111111111111111",     /* likewise */
        "41111111111111111111", /* 20 digits */
        "411111111117",         /* 12 */
        " 4111111111111111",    /* what is around it */
        "4111111111111111 ",
        "4111  1111 1111 1111", /* two spaces */
        "4111.1111.1111.1111",
        "x4111111111111111",
        "4111111111111111x",
        "+4111111111111111",
        "-4111111111111111",
        "---------------",
        "4111-1111-1111-1111-"};
    (void)state;
    for (size_t i = 0; i < NUM(others); i++) {
        if (is_card(others[i])) {
            fail_msg("\"%s\" was taken for a card", others[i]);
        }
    }
    assert_false(sg_sensitive_is_card_number("4111111111111111", 15));
}

/* One digit changed, or two neighbours: Luhn sees it. */
static void test_sensitive__a_card_number_has_the_right_check_digit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 16; i++) {
        char card[] = "4012888888881881";
        card[i] = card[i] == '9' ? '0' : (char)(card[i] + 1);
        assert_false(is_card(card));
    }
}

/* ---- Within JSON ---- */

struct found {
    size_t num, stop_after;
    char text[256];
};

static bool note_found(void *context, enum sg_sensitive_kind kind, const char *name)
{
    struct found *found = context;
    size_t len = strlen(found->text);
    (void)snprintf(found->text + len, sizeof(found->text) - len, "%s%s%s", len == 0 ? "" : " ",
                   kind == SG_SENSITIVE_CARD ? "#" : "", name);
    return ++found->num != found->stop_after;
}

static const char *search(const char *json, size_t stop_after)
{
    static struct found found;
    found = (struct found){.stop_after = stop_after};
    json_t *claims = json_loads(json, 0, NULL);
    assert_non_null(claims);
    bool any = sg_sensitive_claims(claims, note_found, &found);
    assert_int_equal(any, found.num != 0);
    json_decref(claims);
    return found.text;
}

static void test_sensitive_claims__are_found_at_every_depth(void **state)
{
    (void)state;
    assert_string_equal(search("{}", 0), "");
    assert_string_equal(search("{\"role\":\"admin\",\"n\":[1,{\"a\":[[{}]]},null],\"b\":{}}", 0),
                        "");
    assert_string_equal(search("{\"a\":1,\"password\":\"x\",\"b\":2}", 0), "password");
    assert_string_equal(search("{\"a\":[1,[{\"b\":{\"ssn\":1}}]],\"pin\":\"1\"}", 0), "ssn pin");
    assert_string_equal(search("{\"secret\":{\"secret\":[{\"pwd\":\"x\"}]}}", 0),
                        "secret secret pwd");
    assert_string_equal(search("{\"a\":1,\"pwd\":\"x\",\"pin\":2}", 1), "pwd");
}

static void test_sensitive_claims__what_says_only_yes_or_no_is_none(void **state)
{
    (void)state;
    assert_string_equal(search("{\"password\":true,\"secret\":false,\"pin\":null}", 0), "");
    assert_string_equal(search("{\"password\":\"\",\"secret\":0,\"pin\":[]}", 0),
                        "password secret pin");
}

static void test_sensitive_claims__cards_are_found_as_text_and_as_numbers(void **state)
{
    (void)state;
    assert_string_equal(search("{\"a\":\"4111 1111 1111 1111\"}", 0), "#a");
    assert_string_equal(search("{\"a\":4111111111111111}", 0), "#a");
    assert_string_equal(search("{\"a\":4111111111111111.0}", 0), "#a");
    assert_string_equal(search("{\"a\":4.111111111111111e15}", 0), "#a");
    assert_string_equal(search("{\"list\":[1,[{\"x\":0},4111111111111111]]}", 0), "#list");
    assert_string_equal(search("{\"a\":4111111111111112,\"b\":-4111111111111111}", 0), "");
    assert_string_equal(search("{\"a\":1e300,\"b\":-1e300,\"c\":4111111111111111.5}", 0), "");
    assert_string_equal(search("{\"a\":9223372036854775807,\"b\":1760000000000}", 0), "");
}

static void test_sensitive_claims__nesting_is_bounded(void **state)
{
    (void)state;
    json_t *deep = json_pack("{s:s}", "pin", "1");
    for (size_t i = 0; i < 2 * SG_MAX_JSON_DEPTH; i++) {
        deep = i % 2 == 0 ? json_pack("[o]", deep) : json_pack("{s:o}", "a", deep);
    }
    struct found found = {.num = 0};
    assert_false(sg_sensitive_claims(deep, note_found, &found));
    json_decref(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sensitive__names_of_secrets),
        cmocka_unit_test(test_sensitive__names_of_other_things),
        cmocka_unit_test(test_sensitive__long_names_are_judged_by_their_end),
        cmocka_unit_test(test_sensitive__card_numbers),
        cmocka_unit_test(test_sensitive__numbers_that_are_no_cards),
        cmocka_unit_test(test_sensitive__a_card_number_has_the_right_check_digit),
        cmocka_unit_test(test_sensitive_claims__are_found_at_every_depth),
        cmocka_unit_test(test_sensitive_claims__what_says_only_yes_or_no_is_none),
        cmocka_unit_test(test_sensitive_claims__cards_are_found_as_text_and_as_numbers),
        cmocka_unit_test(test_sensitive_claims__nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
