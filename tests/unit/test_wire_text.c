/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings on the wire: those that are not UTF-8 without U+0000 are found wherever they stand, and
 * nothing else is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "server/wire_text.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

struct text {
    const char *bytes;
    size_t len;
};
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* A GetJwksRequest whose only field is the text. */
static size_t wire_of(struct text text, uint8_t *out)
{
    out[0] = 0x0a;
    out[1] = (uint8_t)text.len;
    memcpy(out + 2, text.bytes, text.len);
    return text.len + 2;
}

static bool is_good(struct text text)
{
    uint8_t wire[130];
    size_t len = wire_of(text, wire);
    bool all_good = sg_wire_text_all_good(&signet__v1__get_jwks_request__descriptor, wire, len);
    assert_true(sg_wire_text_spoil(&signet__v1__get_jwks_request__descriptor, wire, len));
    Signet__V1__GetJwksRequest *request = signet__v1__get_jwks_request__unpack(NULL, len, wire);
    assert_non_null(request);
    bool good = sg_wire_text_is_good(request->keyset);
    assert_int_equal(all_good, good);
    if (good) {
        assert_int_equal(strlen(request->keyset), text.len);
        assert_memory_equal(request->keyset, text.bytes, text.len);
    }
    signet__v1__get_jwks_request__free_unpacked(request, NULL);
    return good;
}

static void test_wire_text__good_text_stays(void **state)
{
    (void)state;
    static const struct text texts[] = {
        TEXT(""),
        TEXT("demo-hs256"),
        TEXT("\x01\x7f"),
        TEXT("\xc2\x80\xdf\xbf"),
        TEXT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
        TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
        TEXT("12345678\xc3\xa4"),
        TEXT("1234567\xc3\xa4z"),
        TEXT("0123456789012345678901234567890123456789"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(is_good(texts[i]));
    }
}

static void test_wire_text__bad_text_is_spoiled(void **state)
{
    (void)state;
    static const struct text texts[] = {
        TEXT("\0"),
        TEXT("demo\0"),
        TEXT("\0demo"),
        TEXT("demo-hs256\0evil"),
        TEXT("0123456789abcdef\0"),
        TEXT("\x80"),
        TEXT("\xbf"),
        TEXT("\xc0\x80"), /* U+0000 in two bytes */
        TEXT("\xc1\xbf"), /* too long a form */
        TEXT("\xc3"),     /* cut */
        TEXT("a\xc3"),
        TEXT("\xc3("),
        TEXT("\xe0\x9f\xbf"), /* too long a form */
        TEXT("\xe2\x82"),
        TEXT("\xe2\x82("),
        TEXT("\xed\xa0\x80"),     /* surrogate */
        TEXT("\xf0\x8f\xbf\xbf"), /* too long a form */
        TEXT("\xf4\x90\x80\x80"), /* above U+10FFFF */
        TEXT("\xf5\x80\x80\x80"),
        TEXT("\xf0\x9f\x98"),
        TEXT("\xfe"),
        TEXT("\xff"),
        TEXT("12345678\xff"),
        TEXT("1234567\xff"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (is_good(texts[i])) {
            fail_msg("text %zu passed", i);
        }
    }
}

/* Bytes fields are not text, and nothing of a payload is changed before it is its turn. */
static void test_wire_text__bytes_are_left_alone(void **state)
{
    (void)state;
    uint8_t payload[] = {0, 0xff, 0x80, 0};
    char method[] = "a/B";
    Signet__Rpc__V1__Request request = SIGNET__RPC__V1__REQUEST__INIT;
    uint8_t wire[64];
    uint8_t before[64];
    request.method = method;
    request.payload.data = payload;
    request.payload.len = sizeof(payload);
    size_t len = signet__rpc__v1__request__pack(&request, wire);
    memcpy(before, wire, len);
    assert_true(sg_wire_text_spoil(&signet__rpc__v1__request__descriptor, wire, len));
    assert_memory_equal(wire, before, len);
}

/* A batch of one request with a NUL in its token and one without. */
static void test_wire_text__finds_text_in_messages_within(void **state)
{
    (void)state;
    uint8_t wire[] = {0x0a, 7, 0x0a, 5, 'a', 'b', 0, 'c', 'd', 0x0a, 4, 0x0a, 2, 'o', 'k', 0x0a, 0};
    assert_true(
        sg_wire_text_spoil(&signet__v1__verify_batch_request__descriptor, wire, sizeof(wire)));
    Signet__V1__VerifyBatchRequest *batch =
        signet__v1__verify_batch_request__unpack(NULL, sizeof(wire), wire);
    assert_non_null(batch);
    assert_int_equal(batch->n_requests, 3);
    assert_false(sg_wire_text_is_good(batch->requests[0]->token));
    assert_string_equal(batch->requests[1]->token, "ok");
    assert_string_equal(batch->requests[2]->token, "");
    signet__v1__verify_batch_request__free_unpacked(batch, NULL);
}

/* The last of several values counts; each is looked at. */
static void test_wire_text__a_field_given_twice_hides_nothing(void **state)
{
    (void)state;
    uint8_t wire[] = {0x0a, 2, 'o', 'k', 0x0a, 3, 'x', 0, 'y'};
    assert_true(sg_wire_text_spoil(&signet__v1__get_jwks_request__descriptor, wire, sizeof(wire)));
    Signet__V1__GetJwksRequest *request =
        signet__v1__get_jwks_request__unpack(NULL, sizeof(wire), wire);
    assert_non_null(request);
    assert_false(sg_wire_text_is_good(request->keyset));
    signet__v1__get_jwks_request__free_unpacked(request, NULL);
}

static void test_wire_text__steps_over_unknown_fields(void **state)
{
    (void)state;
    uint8_t wire[] = {0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                      0xff, 0x01,                                        /* 15: varint */
                      0x79, 1,    2,    3,    4,    5,    6,    7,    8, /* 15: 64 bits */
                      0x7d, 1,    2,    3,    4,                         /* 15: 32 bits */
                      0x7a, 3,    0,    0xff, 0,                         /* 15: bytes */
                      0xfa, 0xff, 0xff, 0xff, 0x0f, 1,    0,             /* the last number */
                      0x0a, 2,    'a',  0};
    const size_t text_at = sizeof(wire) - 2;
    assert_true(sg_wire_text_spoil(&signet__v1__get_jwks_request__descriptor, wire, sizeof(wire)));
    assert_int_equal(wire[text_at], 0xff);
    assert_int_equal(wire[27], 0);
}

static void test_wire_text__broken_encodings_are_refused(void **state)
{
    (void)state;
    static const struct text texts[] = {
        TEXT("\x0a"), /* no length */
        TEXT("\x0a\x05"
             "abc"),                          /* cut */
        TEXT("\x0a\x80"),                     /* length goes on */
        TEXT("\x0a\x80\x80\x80\x80\x80\x01"), /* length of six bytes */
        TEXT("\x0a\xff\xff\xff\xff\x0f"),     /* 2^32-1 */
        TEXT("\x0a\xff\xff\xff\xff\x7f"),     /* 2^35-1 */
        TEXT("\x0b"),                         /* group */
        TEXT("\x0c"),
        TEXT("\x0e"),
        TEXT("\x0f"),
        TEXT("\x02\x00"),                                     /* field 0 */
        TEXT("\x82\x00\x00"),                                 /* the same, longer */
        TEXT("\xfa\xff\xff\xff\xff\x01\x00"),                 /* tag of six bytes */
        TEXT("\x78"),                                         /* no value */
        TEXT("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), /* value goes on */
        TEXT("\x79"
             "1234567"),
        TEXT("\x7d"
             "123"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t wire[32];
        memcpy(wire, texts[i].bytes, texts[i].len);
        if (sg_wire_text_spoil(&signet__v1__get_jwks_request__descriptor, wire, texts[i].len)) {
            fail_msg("encoding %zu passed", i);
        }
        assert_false(
            sg_wire_text_all_good(&signet__v1__get_jwks_request__descriptor, wire, texts[i].len));
    }
    assert_true(sg_wire_text_spoil(&signet__v1__get_jwks_request__descriptor, NULL, 0));
}

/* A message within must not reach over the end of its own. */
static void test_wire_text__inner_lengths_are_bounded_by_the_outer(void **state)
{
    (void)state;
    uint8_t wire[] = {0x0a, 3, 0x0a, 5, 'a', 'b', 'c', 'd', 'e'};
    assert_false(
        sg_wire_text_spoil(&signet__v1__verify_batch_request__descriptor, wire, sizeof(wire)));
}

/* ---- Whatever protobuf-c decodes after the walk has only good or spoiled text ---- */

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Another decoder than the one under test: reads code points, and then holds them to the rules. */
static bool is_code_point(uint32_t point, unsigned num_more)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    return point >= least[num_more] && point <= 0x10ffff && (point < 0xd800 || point >= 0xe000);
}

static unsigned num_continuations(uint8_t first)
{
    if (first < 0x80) {
        return 0;
    }
    return first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

static bool decodes_as_utf8(const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    while (*at != 0) {
        unsigned more = num_continuations(*at);
        uint32_t point = more == 0 ? *at : *at & (0x3fu >> more);
        if (*at >= 0xf8 || (*at >= 0x80 && *at < 0xc0)) {
            return false;
        }
        for (unsigned i = 0; i < more; i++) {
            at++;
            if ((*at & 0xc0) != 0x80) {
                return false;
            }
            point = point << 6 | (*at & 0x3fu);
        }
        at++;
        if (!is_code_point(point, more)) {
            return false;
        }
    }
    return true;
}

static void check_text(const char *text, unsigned *num_good, unsigned *num_bad)
{
    if (!sg_wire_text_is_good(text)) {
        (*num_bad)++;
        return;
    }
    assert_true(decodes_as_utf8(text));
    (*num_good)++;
}

static size_t some_batch(uint8_t *out, size_t cap)
{
    char keyset[] = "demo-\xc3\xa4";
    char subject[] = "alice";
    char one[] = "\xe2\x82\xac";
    char two[] = "\xf0\x9f\x98\x80";
    char *audience[] = {one, two};
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    Signet__V1__SignRequest *requests[] = {&request, &request};
    Signet__V1__SignBatchRequest batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
    request.keyset = keyset;
    request.subject = subject;
    request.audience = audience;
    request.n_audience = 2;
    request.ttl_s = 300;
    request.not_before = 1800000000;
    batch.requests = requests;
    batch.n_requests = 2;
    assert_true(signet__v1__sign_batch_request__get_packed_size(&batch) <= cap);
    return signet__v1__sign_batch_request__pack(&batch, out);
}

static void test_wire_text__misses_nothing_that_protobuf_c_decodes(void **state)
{
    (void)state;
    uint32_t seed = 7;
    unsigned num_good = 0;
    unsigned num_bad = 0;
    unsigned num_decoded = 0;
    for (unsigned round = 0; round < 30000; round++) {
        uint8_t wire[256];
        size_t len = some_batch(wire, sizeof(wire));
        for (uint32_t edits = random_next(&seed) % 4; edits > 0; edits--) {
            wire[random_next(&seed) % len] = (uint8_t)random_next(&seed);
        }
        len -= random_next(&seed) % 3 == 0 ? random_next(&seed) % len : 0;
        if (!sg_wire_text_spoil(&signet__v1__sign_batch_request__descriptor, wire, len)) {
            continue;
        }
        Signet__V1__SignBatchRequest *batch =
            signet__v1__sign_batch_request__unpack(NULL, len, wire);
        if (batch == NULL) {
            continue;
        }
        num_decoded++;
        for (size_t i = 0; i < batch->n_requests; i++) {
            const Signet__V1__SignRequest *request = batch->requests[i];
            check_text(request->keyset, &num_good, &num_bad);
            check_text(request->subject, &num_good, &num_bad);
            check_text(request->claims_json, &num_good, &num_bad);
            check_text(request->typ, &num_good, &num_bad);
            for (size_t k = 0; k < request->n_audience; k++) {
                check_text(request->audience[k], &num_good, &num_bad);
            }
        }
        signet__v1__sign_batch_request__free_unpacked(batch, NULL);
    }
    assert_true(num_decoded > 5000);
    assert_true(num_good > 5000);
    assert_true(num_bad > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_text__good_text_stays),
        cmocka_unit_test(test_wire_text__bad_text_is_spoiled),
        cmocka_unit_test(test_wire_text__bytes_are_left_alone),
        cmocka_unit_test(test_wire_text__finds_text_in_messages_within),
        cmocka_unit_test(test_wire_text__a_field_given_twice_hides_nothing),
        cmocka_unit_test(test_wire_text__steps_over_unknown_fields),
        cmocka_unit_test(test_wire_text__broken_encodings_are_refused),
        cmocka_unit_test(test_wire_text__inner_lengths_are_bounded_by_the_outer),
        cmocka_unit_test(test_wire_text__misses_nothing_that_protobuf_c_decodes),
    };
    return cmocka_run_group_tests_name("wire_text", tests, NULL, NULL);
}
