/* SPDX-License-Identifier: Apache-2.0
 *
 * libnng's own REQ0 socket as a client of the real daemon. Nothing of libsignet is used: what is
 * shown here is that the wire is nng's, so that any nng client in any language can call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base64url.h"
#include "common/rpc.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/token.pb-c.h"
#include "tests/support/daemon.h"

/* Generous: it bounds a hang, it measures nothing. */
#define NNG_REQ_TIMEOUT_MS 20000

#define NNG_REQ_MANY 32u

struct nng_req_fixture {
    struct test_daemon daemon;
    nng_socket socket;
};

#define ASSERT_NNG_OK(call) nng_req_check((call), #call)

static void nng_req_check(int result, const char *call)
{
    if (result != 0) {
        fail_msg("%s: %s", call, nng_strerror(result));
    }
}

static int nng_req_setup(void **state)
{
    struct nng_req_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_daemon_start(&fixture->daemon, NULL);
    ASSERT_NNG_OK(nng_req0_open(&fixture->socket));
    ASSERT_NNG_OK(nng_socket_set_ms(fixture->socket, NNG_OPT_SENDTIMEO, NNG_REQ_TIMEOUT_MS));
    ASSERT_NNG_OK(nng_socket_set_ms(fixture->socket, NNG_OPT_RECVTIMEO, NNG_REQ_TIMEOUT_MS));
    ASSERT_NNG_OK(nng_socket_set_ms(fixture->socket, NNG_OPT_RECONNMINT, 10));
    ASSERT_NNG_OK(nng_socket_set_ms(fixture->socket, NNG_OPT_RECONNMAXT, 100));
    ASSERT_NNG_OK(nng_dial(fixture->socket, fixture->daemon.address, NULL, 0));
    *state = fixture;
    return 0;
}

static int nng_req_teardown(void **state)
{
    struct nng_req_fixture *fixture = *state;
    ASSERT_NNG_OK(nng_close(fixture->socket));
    test_daemon_stop(&fixture->daemon);
    free(fixture);
    return 0;
}

/* ---- Envelopes ---- */

/* The envelope of a call as an nng message. */
static nng_msg *request_message(const char *method, const ProtobufCMessage *payload)
{
    Signet__Rpc__V1__Request request;
    signet__rpc__v1__request__init(&request);
    char method_copy[SG_MAX_METHOD_LEN + 1];
    (void)snprintf(method_copy, sizeof method_copy, "%s", method);
    request.method = method_copy;
    request.timeout_ms = NNG_REQ_TIMEOUT_MS;
    request.payload.len = protobuf_c_message_get_packed_size(payload);
    request.payload.data = malloc(request.payload.len + 1);
    assert_non_null(request.payload.data);
    protobuf_c_message_pack(payload, request.payload.data);

    nng_msg *message = NULL;
    ASSERT_NNG_OK(nng_msg_alloc(&message, signet__rpc__v1__request__get_packed_size(&request)));
    signet__rpc__v1__request__pack(&request, nng_msg_body(message));
    free(request.payload.data);
    return message;
}

/* Takes the message apart and frees it. */
static Signet__Rpc__V1__Response *response_of(nng_msg *message)
{
    Signet__Rpc__V1__Response *response =
        signet__rpc__v1__response__unpack(NULL, nng_msg_len(message), nng_msg_body(message));
    nng_msg_free(message);
    assert_non_null(response);
    return response;
}

/* Decodes what the envelope carries, as type, and frees the envelope. */
static void *payload_of(Signet__Rpc__V1__Response *response, const ProtobufCMessageDescriptor *type)
{
    if (response->outcome_case == SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS) {
        fail_msg("status %u %s: %s", response->status->code, response->status->reason,
                 response->status->message);
    }
    assert_int_equal(response->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD);
    ProtobufCMessage *payload =
        protobuf_c_message_unpack(type, NULL, response->payload.len, response->payload.data);
    assert_non_null(payload);
    signet__rpc__v1__response__free_unpacked(response, NULL);
    return payload;
}

static Signet__Rpc__V1__Response *exchange(const struct nng_req_fixture *fixture, nng_msg *message)
{
    nng_msg *reply = NULL;
    ASSERT_NNG_OK(nng_sendmsg(fixture->socket, message, 0));
    ASSERT_NNG_OK(nng_recvmsg(fixture->socket, &reply, 0));
    return response_of(reply);
}

/* ---- Calls ---- */

static nng_msg *health_request(void)
{
    Signet__V1__HealthCheckRequest check;
    signet__v1__health_check_request__init(&check);
    return request_message(SG_METHOD_HEALTH_CHECK, &check.base);
}

static void assert_healthy(Signet__Rpc__V1__Response *response)
{
    Signet__V1__HealthCheckResponse *health =
        payload_of(response, &signet__v1__health_check_response__descriptor);
    assert_int_equal(health->status, SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    signet__v1__health_check_response__free_unpacked(health, NULL);
}

static nng_msg *sign_request(const char *keyset, const char *subject)
{
    char keyset_copy[SG_MAX_KEYSET_NAME_LEN + 1];
    char subject_copy[SG_MAX_SUBJECT_LEN + 1];
    char audience[] = "orders";
    char *audiences[] = {audience};
    (void)snprintf(keyset_copy, sizeof keyset_copy, "%s", keyset);
    (void)snprintf(subject_copy, sizeof subject_copy, "%s", subject);

    Signet__V1__SignRequest sign;
    signet__v1__sign_request__init(&sign);
    sign.keyset = keyset_copy;
    sign.subject = subject_copy;
    sign.audience = audiences;
    sign.n_audience = 1;
    return request_message(SG_METHOD_SIGN, &sign.base);
}

static Signet__V1__SignResponse *signed_of(Signet__Rpc__V1__Response *response)
{
    return payload_of(response, &signet__v1__sign_response__descriptor);
}

static nng_msg *verify_request(char *token)
{
    char audience[] = "orders";
    char *audiences[] = {audience};
    Signet__V1__VerifyRequest verify;
    signet__v1__verify_request__init(&verify);
    verify.token = token;
    verify.audiences = audiences;
    verify.n_audiences = 1;
    return request_message(SG_METHOD_VERIFY, &verify.base);
}

static Signet__V1__VerifyResponse *verdict_of(Signet__Rpc__V1__Response *response)
{
    return payload_of(response, &signet__v1__verify_response__descriptor);
}

/* Checks that the payload of the token names this subject. */
static void assert_token_subject(const char *token, const char *subject)
{
    uint8_t payload[SG_MAX_PAYLOAD_LEN + 1];
    char expected[SG_MAX_SUBJECT_LEN + 16];
    size_t len = 0;
    const char *begin = strchr(token, '.');
    assert_non_null(begin);
    begin++;
    const char *end = strchr(begin, '.');
    assert_non_null(end);
    assert_true(
        sg_base64url_decode(begin, (size_t)(end - begin), payload, sizeof payload - 1, &len));
    payload[len] = '\0';
    (void)snprintf(expected, sizeof expected, "\"sub\":\"%s\"", subject);
    assert_non_null(strstr((const char *)payload, expected));
}

/* ---- Tests ---- */

static void test_nng_req__health(void **state)
{
    const struct nng_req_fixture *fixture = *state;
    assert_healthy(exchange(fixture, health_request()));
}

static void test_nng_req__signed_token_is_good(void **state)
{
    const struct nng_req_fixture *fixture = *state;
    Signet__V1__SignResponse *token =
        signed_of(exchange(fixture, sign_request("demo-es256", "alice")));
    assert_token_subject(token->token, "alice");

    Signet__V1__VerifyResponse *verdict =
        verdict_of(exchange(fixture, verify_request(token->token)));
    assert_int_equal(verdict->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
    assert_string_equal(verdict->token->subject, "alice");
    assert_string_equal(verdict->token->kid, token->kid);
    assert_string_equal(verdict->token->jti, token->jti);
    assert_int_equal(verdict->token->expires_at, token->expires_at);
    signet__v1__verify_response__free_unpacked(verdict, NULL);
    signet__v1__sign_response__free_unpacked(token, NULL);
}

static void test_nng_req__forged_token_is_a_rejection(void **state)
{
    const struct nng_req_fixture *fixture = *state;
    Signet__V1__SignResponse *token =
        signed_of(exchange(fixture, sign_request("demo-hs256", "alice")));

    /* The first character of the signature carries no unused bits: any change is another MAC. */
    char *signature = strrchr(token->token, '.') + 1;
    *signature = *signature == 'A' ? 'B' : 'A';
    Signet__V1__VerifyResponse *verdict =
        verdict_of(exchange(fixture, verify_request(token->token)));
    assert_int_equal(verdict->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION);
    assert_int_equal(verdict->rejection->reason, SIGNET__V1__REJECTION_REASON__BAD_SIGNATURE);
    signet__v1__verify_response__free_unpacked(verdict, NULL);
    signet__v1__sign_response__free_unpacked(token, NULL);
}

static void test_nng_req__unknown_method_is_a_status(void **state)
{
    const struct nng_req_fixture *fixture = *state;
    Signet__V1__HealthCheckRequest empty;
    signet__v1__health_check_request__init(&empty);
    Signet__Rpc__V1__Response *response =
        exchange(fixture, request_message("signet.v1.TokenService/Export", &empty.base));
    assert_int_equal(response->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS);
    assert_int_equal(response->status->code, SIGNET_UNIMPLEMENTED);
    assert_string_not_equal(response->status->reason, "");
    signet__rpc__v1__response__free_unpacked(response, NULL);
}

static void test_nng_req__garbage_is_a_status_and_the_next_call_works(void **state)
{
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x7f};
    const struct nng_req_fixture *fixture = *state;
    nng_msg *message = NULL;
    ASSERT_NNG_OK(nng_msg_alloc(&message, 0));
    ASSERT_NNG_OK(nng_msg_append(message, garbage, sizeof garbage));

    Signet__Rpc__V1__Response *response = exchange(fixture, message);
    assert_int_equal(response->outcome_case, SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS);
    assert_int_equal(response->status->code, SIGNET_INVALID_ARGUMENT);
    signet__rpc__v1__response__free_unpacked(response, NULL);
    assert_healthy(exchange(fixture, health_request()));
}

/* One of many requests that are under way at once on one connection. */
struct outstanding {
    nng_ctx context;
    nng_aio *aio;
    char subject[32];
    Signet__V1__SignResponse *token;
};

static void outstanding_open(const struct nng_req_fixture *fixture, struct outstanding *call,
                             unsigned index)
{
    ASSERT_NNG_OK(nng_ctx_open(&call->context, fixture->socket));
    ASSERT_NNG_OK(nng_aio_alloc(&call->aio, NULL, NULL));
    nng_aio_set_timeout(call->aio, NNG_REQ_TIMEOUT_MS);
    (void)snprintf(call->subject, sizeof call->subject, "user-%u", index);
}

static void outstanding_close(struct outstanding *call)
{
    signet__v1__sign_response__free_unpacked(call->token, NULL);
    nng_aio_free(call->aio);
    ASSERT_NNG_OK(nng_ctx_close(call->context));
}

/* Sends without waiting for the reply. */
static void outstanding_send(struct outstanding *call, nng_msg *message)
{
    nng_aio_set_msg(call->aio, message);
    nng_ctx_send(call->context, call->aio);
    nng_aio_wait(call->aio);
    ASSERT_NNG_OK(nng_aio_result(call->aio));
}

static Signet__Rpc__V1__Response *outstanding_receive(struct outstanding *call)
{
    nng_ctx_recv(call->context, call->aio);
    nng_aio_wait(call->aio);
    ASSERT_NNG_OK(nng_aio_result(call->aio));
    return response_of(nng_aio_get_msg(call->aio));
}

/* Slow and fast keysets in turn, so that replies overtake each other. */
static void test_nng_req__many_outstanding_each_gets_its_own_answer(void **state)
{
    static const char *const keysets[] = {"demo-rs256", "demo-hs256", "demo-ps256", "demo-eddsa"};
    const struct nng_req_fixture *fixture = *state;
    struct outstanding calls[NNG_REQ_MANY] = {0};

    for (unsigned i = 0; i < NNG_REQ_MANY; i++) {
        outstanding_open(fixture, &calls[i], i);
        outstanding_send(&calls[i], sign_request(keysets[i % 4], calls[i].subject));
    }
    for (unsigned i = NNG_REQ_MANY; i-- > 0;) {
        calls[i].token = signed_of(outstanding_receive(&calls[i]));
        assert_token_subject(calls[i].token->token, calls[i].subject);
    }
    for (unsigned i = 0; i < NNG_REQ_MANY; i++) {
        outstanding_send(&calls[i], verify_request(calls[i].token->token));
    }
    for (unsigned i = 0; i < NNG_REQ_MANY; i++) {
        Signet__V1__VerifyResponse *verdict = verdict_of(outstanding_receive(&calls[i]));
        assert_int_equal(verdict->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
        assert_string_equal(verdict->token->subject, calls[i].subject);
        assert_string_equal(verdict->token->jti, calls[i].token->jti);
        signet__v1__verify_response__free_unpacked(verdict, NULL);
        outstanding_close(&calls[i]);
    }
}

static void test_nng_req__reconnects_after_a_restart(void **state)
{
    struct nng_req_fixture *fixture = *state;
    Signet__V1__SignResponse *old =
        signed_of(exchange(fixture, sign_request("demo-es256", "alice")));

    int wait_status = test_daemon_kill(&fixture->daemon, SIGKILL);
    assert_true(WIFSIGNALED(wait_status));
    test_daemon_restart(&fixture->daemon, NULL);
    assert_healthy(exchange(fixture, health_request()));

    /* It is another daemon with other throw-away keys: its answer cannot be one of the old one. */
    Signet__V1__VerifyResponse *verdict = verdict_of(exchange(fixture, verify_request(old->token)));
    assert_int_equal(verdict->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION);
    assert_int_equal(verdict->rejection->reason, SIGNET__V1__REJECTION_REASON__UNKNOWN_KEY);
    signet__v1__verify_response__free_unpacked(verdict, NULL);
    signet__v1__sign_response__free_unpacked(old, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nng_req__health),
        cmocka_unit_test(test_nng_req__signed_token_is_good),
        cmocka_unit_test(test_nng_req__forged_token_is_a_rejection),
        cmocka_unit_test(test_nng_req__unknown_method_is_a_status),
        cmocka_unit_test(test_nng_req__garbage_is_a_status_and_the_next_call_works),
        cmocka_unit_test(test_nng_req__many_outstanding_each_gets_its_own_answer),
        cmocka_unit_test(test_nng_req__reconnects_after_a_restart),
    };
    return cmocka_run_group_tests(tests, nng_req_setup, nng_req_teardown);
}
