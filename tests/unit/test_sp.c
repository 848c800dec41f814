/* SPDX-License-Identifier: Apache-2.0
 *
 * Every rule of the framing, and the lengths that a hostile peer would choose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "common/limits.h"
#include "common/sp.h"

#define TEST_ID 0x80000102u

static void set_length(uint8_t *frame, uint64_t length)
{
    for (int i = 0; i < 8; i++) {
        frame[1 + i] = (uint8_t)(length >> (56 - 8 * i));
    }
}

static void test_handshake__is_the_one_of_sp(void **state)
{
    (void)state;
    const uint8_t req[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    const uint8_t rep[] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t out[SG_SP_HANDSHAKE_LEN];
    sg_sp_handshake(SG_SP_REQ0, out);
    assert_memory_equal(out, req, sizeof(req));
    sg_sp_handshake(SG_SP_REP0, out);
    assert_memory_equal(out, rep, sizeof(rep));
    assert_true(sg_sp_handshake_ok(req, SG_SP_REQ0));
    assert_true(sg_sp_handshake_ok(rep, SG_SP_REP0));
}

static void test_handshake__of_another_protocol_is_refused(void **state)
{
    (void)state;
    const uint8_t req[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    assert_false(sg_sp_handshake_ok(req, SG_SP_REP0));
}

static void test_handshake__with_any_bit_changed_is_refused(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < SG_SP_HANDSHAKE_LEN * 8u; bit++) {
        uint8_t bytes[SG_SP_HANDSHAKE_LEN];
        sg_sp_handshake(SG_SP_REQ0, bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(sg_sp_handshake_ok(bytes, SG_SP_REQ0));
    }
}

static void test_header__has_marker_length_and_id(void **state)
{
    (void)state;
    const uint8_t expected[] = {1, 0, 0, 0, 0, 0, 1, 0, 4, 0x80, 0, 1, 2};
    uint8_t out[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID, 0x10000, out);
    assert_memory_equal(out, expected, sizeof(expected));
}

static void test_message__is_parsed(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN + 5];
    sg_sp_header(TEST_ID, 3, frame);
    memcpy(frame + SG_SP_HEADER_LEN, "abcXX", 5);
    struct sg_sp_message message;
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), 7, &message), SG_SP_MESSAGE);
    assert_int_equal(message.request_id, TEST_ID);
    assert_int_equal(message.total_len, SG_SP_HEADER_LEN + 3);
    assert_int_equal(message.body_len, 3);
    assert_ptr_equal(message.body, frame + SG_SP_HEADER_LEN);
}

static void test_message__with_an_empty_body_is_parsed(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID, 0, frame);
    struct sg_sp_message message;
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), 4, &message), SG_SP_MESSAGE);
    assert_int_equal(message.body_len, 0);
}

static void test_message__split_anywhere_asks_for_more(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN + 3];
    sg_sp_header(TEST_ID, 3, frame);
    memcpy(frame + SG_SP_HEADER_LEN, "abc", 3);
    for (size_t len = 0; len < sizeof(frame); len++) {
        struct sg_sp_message message;
        assert_int_equal(sg_sp_parse(frame, len, 7, &message), SG_SP_MORE);
        assert_int_equal(message.total_len, len < 9 ? 0 : sizeof(frame));
        assert_null(message.body);
    }
}

static void test_message__without_the_marker_is_bad_at_its_first_byte(void **state)
{
    (void)state;
    struct sg_sp_message message;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t first = (uint8_t)byte;
        assert_int_equal(sg_sp_parse(&first, 1, SG_MAX_REQUEST_FRAME, &message),
                         byte == 1 ? SG_SP_MORE : SG_SP_BAD);
    }
}

static void test_message__of_exactly_the_limit_is_taken(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID, SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN, frame);
    struct sg_sp_message message;
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), SG_MAX_REQUEST_FRAME, &message), SG_SP_MORE);
    assert_int_equal(message.total_len, SG_MAX_REQUEST_FRAME + 9u);
}

static void test_message__too_long_or_too_short_is_bad_once_its_length_is_known(void **state)
{
    (void)state;
    const uint64_t lengths[] = {0,
                                1,
                                2,
                                3,
                                SG_MAX_REQUEST_FRAME + 1u,
                                UINT32_MAX,
                                1ull << 32,
                                1ull << 63,
                                UINT64_MAX - 8,
                                UINT64_MAX - 9,
                                UINT64_MAX - 12,
                                UINT64_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t frame[SG_SP_HEADER_LEN];
        sg_sp_header(TEST_ID, 0, frame);
        set_length(frame, lengths[i]);
        struct sg_sp_message message;
        assert_int_equal(sg_sp_parse(frame, 8, SG_MAX_REQUEST_FRAME, &message), SG_SP_MORE);
        assert_int_equal(sg_sp_parse(frame, 9, SG_MAX_REQUEST_FRAME, &message), SG_SP_BAD);
        assert_int_equal(sg_sp_parse(frame, sizeof(frame), SG_MAX_REQUEST_FRAME, &message),
                         SG_SP_BAD);
    }
}

static void test_message__too_long_to_address_is_bad_whatever_the_limit(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID, 0, frame);
    set_length(frame, UINT64_MAX);
    struct sg_sp_message message;
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), SIZE_MAX, &message), SG_SP_BAD);
}

static void test_message__with_an_id_without_its_top_bit_is_bad(void **state)
{
    (void)state;
    uint8_t frame[SG_SP_HEADER_LEN];
    struct sg_sp_message message;
    sg_sp_header(0x7fffffffu, 0, frame);
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), SG_MAX_REQUEST_FRAME, &message), SG_SP_BAD);
    sg_sp_header(0, 100, frame);
    assert_int_equal(sg_sp_parse(frame, sizeof(frame), SG_MAX_REQUEST_FRAME, &message), SG_SP_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake__is_the_one_of_sp),
        cmocka_unit_test(test_handshake__of_another_protocol_is_refused),
        cmocka_unit_test(test_handshake__with_any_bit_changed_is_refused),
        cmocka_unit_test(test_header__has_marker_length_and_id),
        cmocka_unit_test(test_message__is_parsed),
        cmocka_unit_test(test_message__with_an_empty_body_is_parsed),
        cmocka_unit_test(test_message__split_anywhere_asks_for_more),
        cmocka_unit_test(test_message__without_the_marker_is_bad_at_its_first_byte),
        cmocka_unit_test(test_message__of_exactly_the_limit_is_taken),
        cmocka_unit_test(test_message__too_long_or_too_short_is_bad_once_its_length_is_known),
        cmocka_unit_test(test_message__too_long_to_address_is_bad_whatever_the_limit),
        cmocka_unit_test(test_message__with_an_id_without_its_top_bit_is_bad),
    };
    return cmocka_run_group_tests_name("sp", tests, NULL, NULL);
}
