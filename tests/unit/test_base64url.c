/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64url: one text for the same bytes, and nothing else decodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/base64url.h"

static bool decodes(const char *text, size_t len)
{
    uint8_t out[64];
    size_t out_len = 999;
    bool good = sg_base64url_decode(text, len, out, sizeof(out), &out_len);
    assert_int_equal(good, sg_base64url_is_valid(text, len));
    assert_true(good || out_len == 999);
    return good;
}

static void test_base64url__rfc4648_section_10(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len = strlen(pairs[i][0]);
        size_t bytes_len = 0;
        assert_int_equal(sg_base64url_encode((const uint8_t *)pairs[i][0], len, text),
                         SG_BASE64URL_LEN(len));
        assert_int_equal(strlen(pairs[i][1]), SG_BASE64URL_LEN(len));
        assert_memory_equal(text, pairs[i][1], SG_BASE64URL_LEN(len));
        assert_true(sg_base64url_decode(pairs[i][1], strlen(pairs[i][1]), bytes, len, &bytes_len));
        assert_int_equal(bytes_len, len);
        assert_memory_equal(bytes, pairs[i][0], len);
    }
}

static void test_base64url__every_byte_there_and_back(void **state)
{
    uint8_t bytes[256];
    uint8_t back[256];
    char text[SG_BASE64URL_LEN(sizeof(bytes))];
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(255 - i);
    }
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t back_len = 0;
        size_t text_len = sg_base64url_encode(bytes, len, text);
        assert_true(sg_base64url_decode(text, text_len, back, len, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
    }
}

static void test_base64url__too_little_room_is_refused(void **state)
{
    uint8_t out[4];
    size_t len = 7;
    (void)state;
    assert_false(sg_base64url_decode("Zm9vYg", 6, out, 3, &len));
    assert_int_equal(len, 7);
    assert_true(sg_base64url_decode("Zm9vYg", 6, out, 4, &len));
}

static void test_attack_c1__bytes_outside_the_alphabet_are_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool in_alphabet = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_';
        for (size_t at = 0; at < 7; at++) {
            char text[] = "AAAAAAA";
            text[at] = (char)c;
            bool last = at == 6; /* of three characters: its two low bits must be zero */
            assert_true(decodes(text, 7) == in_alphabet || (last && in_alphabet));
        }
    }
    assert_false(decodes("Zg==", 4));
    assert_false(decodes("Zm8=", 4));
    assert_false(decodes("Zm9v\n", 5));
}

static void test_attack_c2__trailing_bits_and_4n_plus_1_are_refused(void **state)
{
    (void)state;
    assert_true(decodes("AA", 2));
    assert_false(decodes("AB", 2));
    assert_false(decodes("AP", 2));
    assert_true(decodes("AQ", 2));
    assert_true(decodes("AAA", 3));
    assert_false(decodes("AAB", 3));
    assert_false(decodes("AAD", 3));
    assert_true(decodes("AAE", 3));
    assert_false(decodes("A", 1));
    assert_false(decodes("AAAAA", 5));
}

static void test_attack_c15__lengths_are_computed_without_overflow(void **state)
{
    uint8_t out[1];
    size_t len = 0;
    (void)state;
    /* The room is checked before a byte of the text is read. */
    assert_false(sg_base64url_decode("", SIZE_MAX - 3, out, sizeof(out), &len));
    assert_false(sg_base64url_decode("", SIZE_MAX, out, sizeof(out), &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64url__rfc4648_section_10),
        cmocka_unit_test(test_base64url__every_byte_there_and_back),
        cmocka_unit_test(test_base64url__too_little_room_is_refused),
        cmocka_unit_test(test_attack_c1__bytes_outside_the_alphabet_are_refused),
        cmocka_unit_test(test_attack_c2__trailing_bits_and_4n_plus_1_are_refused),
        cmocka_unit_test(test_attack_c15__lengths_are_computed_without_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
