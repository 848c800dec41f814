/* SPDX-License-Identifier: Apache-2.0
 *
 * Responses: byte for byte what protobuf-c's own encoder writes, behind untouched headroom, and never
 * above the limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"
#include "server/reply.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

/* What the generated encoder makes of a payload. */
static uint8_t *expected_envelope(uint8_t *payload, size_t payload_len, size_t *len)
{
    Signet__Rpc__V1__Response response = SIGNET__RPC__V1__RESPONSE__INIT;
    response.outcome_case = SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD;
    response.payload.data = payload;
    response.payload.len = payload_len;
    uint8_t *bytes = malloc(signet__rpc__v1__response__get_packed_size(&response));
    assert_non_null(bytes);
    *len = signet__rpc__v1__response__pack(&response, bytes);
    return bytes;
}

static uint8_t *packed(const ProtobufCMessage *message, size_t *len)
{
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(message) + 1);
    assert_non_null(bytes);
    *len = protobuf_c_message_pack(message, bytes);
    return bytes;
}

static char *text_of(size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, 'j', len);
    text[len] = '\0';
    return text;
}

static void check_reply(const struct sg_reply *reply, uint8_t *payload, size_t payload_len)
{
    size_t len = 0;
    uint8_t *expected = expected_envelope(payload, payload_len, &len);
    assert_int_equal(reply->len, reply->headroom + len);
    assert_memory_equal(reply->bytes + reply->headroom, expected, len);
    free(expected);
}

/* Around each length at which the envelope's prefix grows. */
static void test_reply__is_what_the_generated_encoder_writes(void **state)
{
    (void)state;
    static const size_t lens[] = {
        0,     1,     2,      100,     121,     122,     123,     124,     125,    126,   127,
        128,   129,   130,    16376,   16377,   16378,   16379,   16380,   16381,  16382, 16383,
        16384, 16385, 100000, 2097143, 2097144, 2097145, 2097146, 2097152, 4000000};
    static const size_t headrooms[] = {0, 1, 13, 64};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        Signet__V1__GetJwksResponse message = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
        size_t payload_len = 0;
        char *text = text_of(lens[i]);
        message.jwks_json = text;
        uint8_t *payload = packed(&message.base, &payload_len);
        for (size_t h = 0; h < sizeof(headrooms) / sizeof(headrooms[0]); h++) {
            struct sg_reply reply = {.headroom = headrooms[h]};
            assert_int_equal(sg_reply_append(&reply, &message.base), SIGNET_OK);
            assert_int_equal(sg_reply_finish(&reply), SIGNET_OK);
            check_reply(&reply, payload, payload_len);
            sg_reply_fini(&reply);
        }
        free(payload);
        free(text);
    }
}

static void test_reply__without_parts_is_an_empty_payload(void **state)
{
    (void)state;
    uint8_t nothing = 0;
    struct sg_reply reply = {.headroom = 5};
    assert_int_equal(sg_reply_finish(&reply), SIGNET_OK);
    check_reply(&reply, &nothing, 0);
    Signet__Rpc__V1__Response *read =
        signet__rpc__v1__response__unpack(NULL, reply.len - 5, reply.bytes + 5);
    assert_non_null(read);
    assert_int_equal(read->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD);
    signet__rpc__v1__response__free_unpacked(read, NULL);
    sg_reply_fini(&reply);
}

static void test_reply__parts_are_one_message(void **state)
{
    (void)state;
    enum {
        NUM = 300
    };
    Signet__V1__Rejection rejections[NUM];
    Signet__V1__VerifyResult results[NUM];
    Signet__V1__VerifyResult *list[NUM];
    char detail[] = "some detail";
    struct sg_reply reply = {.headroom = 13};
    for (size_t i = 0; i < NUM; i++) {
        signet__v1__rejection__init(&rejections[i]);
        signet__v1__verify_result__init(&results[i]);
        rejections[i].reason = (Signet__V1__RejectionReason)(1 + i % 17);
        rejections[i].detail = detail;
        results[i].outcome_case = SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION;
        results[i].rejection = &rejections[i];
        list[i] = &results[i];
        Signet__V1__VerifyBatchResponse part = SIGNET__V1__VERIFY_BATCH_RESPONSE__INIT;
        part.results = &list[i];
        part.n_results = 1;
        assert_int_equal(sg_reply_append(&reply, &part.base), SIGNET_OK);
    }
    assert_int_equal(sg_reply_finish(&reply), SIGNET_OK);
    Signet__V1__VerifyBatchResponse whole = SIGNET__V1__VERIFY_BATCH_RESPONSE__INIT;
    whole.results = list;
    whole.n_results = NUM;
    size_t len = 0;
    uint8_t *payload = packed(&whole.base, &len);
    check_reply(&reply, payload, len);
    free(payload);
    sg_reply_fini(&reply);
}

static void test_reply__refuses_what_is_above_the_limit(void **state)
{
    (void)state;
    const size_t max = SG_MAX_RESPONSE_FRAME - SG_SP_ID_LEN;
    for (size_t len = max - 12; len <= max + 12; len++) {
        Signet__V1__GetJwksResponse message = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
        struct sg_reply reply = {.headroom = 100};
        char *text = text_of(len);
        message.jwks_json = text;
        signet_status status = sg_reply_append(&reply, &message.base);
        if (status == SIGNET_OK) {
            assert_int_equal(sg_reply_finish(&reply), SIGNET_OK);
            assert_true(reply.len - 100 <= max);
            assert_true(len < max);
        } else {
            assert_int_equal(status, SIGNET_OUT_OF_RANGE);
            assert_true(len > max - 12);
        }
        sg_reply_fini(&reply);
        free(text);
    }
}

static void test_reply__a_part_too_many_leaves_the_others(void **state)
{
    (void)state;
    Signet__V1__GetJwksResponse message = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
    struct sg_reply reply = {.headroom = 0};
    char *text = text_of(SG_MAX_RESPONSE_FRAME / 2);
    char small[] = "j";
    message.jwks_json = text;
    assert_int_equal(sg_reply_append(&reply, &message.base), SIGNET_OK);
    size_t before = reply.len;
    assert_int_equal(sg_reply_append(&reply, &message.base), SIGNET_OUT_OF_RANGE);
    assert_int_equal(reply.len, before);
    message.jwks_json = small;
    assert_int_equal(sg_reply_append(&reply, &message.base), SIGNET_OK);
    sg_reply_fini(&reply);
    free(text);
}

static void test_reply__failing_drops_the_payload(void **state)
{
    (void)state;
    struct sg_reply reply = {.headroom = 9};
    struct sg_rpc_status status = {.retry_after_ms = 0};
    Signet__V1__GetJwksResponse message = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
    char secret[] = "half of an answer";
    message.jwks_json = secret;
    assert_int_equal(sg_reply_append(&reply, &message.base), SIGNET_OK);
    (void)sg_rpc_fail(&status, SIGNET_RESOURCE_EXHAUSTED, "BUSY", "later");
    status.retry_after_ms = 250;
    assert_int_equal(sg_reply_fail(&reply, &status), SIGNET_OK);
    Signet__Rpc__V1__Response *read =
        signet__rpc__v1__response__unpack(NULL, reply.len - 9, reply.bytes + 9);
    assert_non_null(read);
    assert_int_equal(read->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS);
    assert_int_equal(read->status->code, SIGNET_RESOURCE_EXHAUSTED);
    assert_string_equal(read->status->reason, "BUSY");
    assert_string_equal(read->status->message, "later");
    assert_int_equal(read->status->retry_after_ms, 250);
    assert_null(memmem(reply.bytes, reply.len, "half", 4));
    signet__rpc__v1__response__free_unpacked(read, NULL);
    sg_reply_fini(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply__is_what_the_generated_encoder_writes),
        cmocka_unit_test(test_reply__without_parts_is_an_empty_payload),
        cmocka_unit_test(test_reply__parts_are_one_message),
        cmocka_unit_test(test_reply__refuses_what_is_above_the_limit),
        cmocka_unit_test(test_reply__a_part_too_many_leaves_the_others),
        cmocka_unit_test(test_reply__failing_drops_the_payload),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
