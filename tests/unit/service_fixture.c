/* SPDX-License-Identifier: Apache-2.0
 *
 * Services with demo keys for tests.
 */
#include "service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/rpc.h"
#include "server/config.h"
#include "server/consumed.h"
#include "server/keyholder/keyholder.h"
#include "server/keymaster.h"
#include "server/mac_cache.h"
#include "server/revocations.h"

/* When the keys are made. */
static int64_t fixture_read_wall_s(void)
{
    return FIXTURE_NOW - 60;
}

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char error[256] = "";
    assert_non_null(fixture);
    assert_int_equal(sg_config_demo(&fixture->config), SIGNET_OK);
    assert_int_equal(sg_keyholder_new(1, &fixture->keyholder), SIGNET_OK);
    const struct sg_keymaster_options options = {
        .config = fixture->config,
        .keyholder = fixture->keyholder,
        .passphrase_fd = -1,
        .read_wall_s = fixture_read_wall_s,
    };
    assert_int_equal(sg_keymaster_new(&options, &fixture->keymaster, error, sizeof(error)),
                     SIGNET_OK);
    fixture->keyring = sg_keyring_holder_get(sg_keymaster_keyrings(fixture->keymaster));
    fixture->now = (struct sg_now){.wall_s = FIXTURE_NOW, .mono_ms = 5000000};
    fixture->peer = (struct sg_peer){.uid = 1000, .gid = 1000, .pid = 4242};
    fixture->service = (struct sg_service){
        .keyrings = sg_keymaster_keyrings(fixture->keymaster),
        .keyholder = fixture->keyholder,
        .version = "0.0.0-test",
        .started = {.wall_s = FIXTURE_NOW - 60, .mono_ms = 4940000},
        .ephemeral_keys = true,
        /* So that whatever is revoked or changed after a good verdict is met with that in memory. */
        .macs = sg_mac_cache_new(64),
    };
    assert_non_null(fixture->service.macs);
    assert_int_equal(sg_revocations_new(NULL, NULL, fixture_read_wall_s,
                                        &fixture->service.revocations, error, sizeof(error)),
                     SIGNET_OK);
    assert_int_equal(sg_consumed_new(NULL, 1000, fixture_read_wall_s, &fixture->service.consumed,
                                     error, sizeof(error)),
                     SIGNET_OK);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    sg_consumed_free(fixture->service.consumed);
    sg_mac_cache_free(fixture->service.macs);
    sg_revocations_free(fixture->service.revocations);
    sg_keyring_unref(fixture->keyring);
    sg_keymaster_free(fixture->keymaster);
    sg_keyholder_free(fixture->keyholder);
    sg_config_free(fixture->config);
    free(fixture);
    return 0;
}

void fixture_answer_read(struct sg_response *response, size_t headroom,
                         const ProtobufCMessageDescriptor *type, struct fixture_answer *answer)
{
    *answer = (struct fixture_answer){0};
    assert_non_null(response->bytes);
    assert_true(response->len > headroom);
    Signet__Rpc__V1__Response *read = signet__rpc__v1__response__unpack(
        NULL, response->len - headroom, response->bytes + headroom);
    assert_non_null(read);
    if (read->outcome_case == SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS) {
        assert_true(response->is_error);
        assert_in_range(read->status->code, 1, 16);
        assert_true(read->status->reason[0] != '\0');
        assert_true(read->status->message[0] != '\0');
        answer->code = read->status->code;
        answer->retry_after_ms = read->status->retry_after_ms;
        (void)snprintf(answer->reason, sizeof(answer->reason), "%s", read->status->reason);
        (void)snprintf(answer->message, sizeof(answer->message), "%s", read->status->message);
    } else {
        assert_int_equal(read->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD);
        assert_false(response->is_error);
        if (type != NULL) {
            answer->payload =
                protobuf_c_message_unpack(type, NULL, read->payload.len, read->payload.data);
            assert_non_null(answer->payload);
        }
    }
    signet__rpc__v1__response__free_unpacked(read, NULL);
    free(response->bytes);
    *response = (struct sg_response){0};
}

void fixture_answer_free(struct fixture_answer *answer)
{
    if (answer->payload != NULL) {
        protobuf_c_message_free_unpacked(answer->payload, NULL);
    }
    *answer = (struct fixture_answer){0};
}

void fixture_dispatch(const struct fixture *fixture, const uint8_t *bytes, size_t len,
                      const ProtobufCMessageDescriptor *type, struct fixture_answer *answer)
{
    struct sg_response response = {0};
    /* Of exactly its length, and gone once begun, so that a sanitizer sees what is kept of it. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    struct sg_call *call =
        sg_call_begin(&fixture->service, &fixture->peer, copy, len, fixture->now, 0);
    free(copy);
    assert_non_null(call);
    assert_true(sg_call_finish(call, fixture->now, &response));
    fixture_answer_read(&response, 0, type, answer);
}

uint8_t *fixture_envelope(const char *method, const ProtobufCMessage *message, size_t *len)
{
    Signet__Rpc__V1__Request envelope = SIGNET__RPC__V1__REQUEST__INIT;
    char *name = strdup(method);
    uint8_t *payload = malloc(protobuf_c_message_get_packed_size(message) + 1);
    assert_non_null(name);
    assert_non_null(payload);
    envelope.method = name;
    envelope.payload.len = protobuf_c_message_pack(message, payload);
    envelope.payload.data = payload;
    uint8_t *bytes = malloc(signet__rpc__v1__request__get_packed_size(&envelope));
    assert_non_null(bytes);
    *len = signet__rpc__v1__request__pack(&envelope, bytes);
    free(payload);
    free(name);
    return bytes;
}

void fixture_call(const struct fixture *fixture, const char *method,
                  const ProtobufCMessage *message, const ProtobufCMessageDescriptor *type,
                  struct fixture_answer *answer)
{
    size_t len = 0;
    uint8_t *bytes = fixture_envelope(method, message, &len);
    fixture_dispatch(fixture, bytes, len, type, answer);
    free(bytes);
}

const struct sg_key *fixture_key(const struct fixture *fixture, const char *keyset)
{
    const struct sg_keyset *found = sg_keyring_keyset(fixture->keyring, keyset);
    assert_non_null(found);
    assert_int_equal(found->num_keys, 1);
    return &found->keys[0];
}

static size_t fixture_append_b64(char *out, size_t at, const void *bytes, size_t len)
{
    return at + sg_base64url_encode(bytes, len, out + at);
}

char *fixture_craft(const struct fixture *fixture, const char *keyset, const char *header,
                    const char *payload)
{
    const struct sg_key *key = fixture_key(fixture, keyset);
    struct sg_keyholder_reply reply;
    size_t header_len = header != NULL ? strlen(header) : key->header_b64_len;
    char *token = malloc(2 * (header_len + strlen(payload)) + 2048);
    assert_non_null(token);
    size_t len = 0;
    if (header != NULL) {
        len = fixture_append_b64(token, 0, header, header_len);
    } else {
        memcpy(token, key->header_b64, header_len);
        len = header_len;
    }
    token[len++] = '.';
    len = fixture_append_b64(token, len, payload, strlen(payload));
    const struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_SIGN, .slot = sg_key_slot(key), .data_len = (uint32_t)len};
    assert_int_equal(
        sg_keyholder_call(fixture->keyholder, &request, 1, (uint8_t *)token, len, &reply),
        SIGNET_OK);
    assert_int_equal(reply.status, SIGNET_OK);
    token[len++] = '.';
    len = fixture_append_b64(token, len, reply.data, reply.data_len);
    token[len] = '\0';
    return token;
}

char *fixture_mint(const struct fixture *fixture, const char *keyset)
{
    char name[65];
    char subject[] = "alice";
    char audience[] = "orders";
    char *audiences[] = {audience};
    struct fixture_answer answer;
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    (void)snprintf(name, sizeof(name), "%s", keyset);
    request.keyset = name;
    request.subject = subject;
    request.audience = audiences;
    request.n_audience = 1;
    fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, 0);
    char *token = strdup(((const Signet__V1__SignResponse *)answer.payload)->token);
    assert_non_null(token);
    fixture_answer_free(&answer);
    return token;
}

struct fixture_verdict fixture_verify(const struct fixture *fixture,
                                      const Signet__V1__VerifyRequest *request)
{
    struct fixture_verdict verdict = {0};
    struct fixture_answer answer;
    fixture_call(fixture, SG_METHOD_VERIFY, &request->base,
                 &signet__v1__verify_response__descriptor, &answer);
    verdict.code = answer.code;
    (void)snprintf(verdict.word, sizeof(verdict.word), "%s", answer.reason);
    (void)snprintf(verdict.detail, sizeof(verdict.detail), "%s", answer.message);
    if (answer.code == 0) {
        const Signet__V1__VerifyResponse *response =
            (const Signet__V1__VerifyResponse *)answer.payload;
        if (response->outcome_case == SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION) {
            verdict.reason = response->rejection->reason;
            (void)snprintf(verdict.detail, sizeof(verdict.detail), "%s",
                           response->rejection->detail);
            assert_in_range(verdict.reason, 1, 17);
            assert_true(verdict.detail[0] != '\0');
        } else {
            assert_int_equal(response->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
            assert_true(response->token->issuer[0] != '\0');
            verdict.good = true;
        }
    }
    fixture_answer_free(&answer);
    return verdict;
}

struct fixture_verdict fixture_judge(const struct fixture *fixture, char *token)
{
    char audience[] = "orders";
    char *audiences[] = {audience};
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = audiences;
    request.n_audiences = 1;
    return fixture_verify(fixture, &request);
}
