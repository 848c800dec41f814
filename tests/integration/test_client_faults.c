/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever the other end does, signet_verify never says that a token is good, ends within its
 * deadline (the alarm in main is the bound), and says which case it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/call.h"
#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "tests/support/fake_server.h"

#define FAULTS_WATCHDOG_S (SG_SANITIZED ? 400u : 100u)
#define FAULTS_SHORT_MS   300u   /* where the deadline is to pass */
#define FAULTS_LONG_MS    20000u /* where it is not */
#define FAULTS_RETRY_MS   40     /* what a refusal says */
#define FAULTS_BEYOND_MS  60000  /* the same, where no deadline is as late */
#define FAULTS_TOKEN      "aaaa.bbbb.cccc"

enum fault {
    FAULT_NONE,   /* a token that is good for faults_verify */
    FAULT_SILENT, /* reads the request, says nothing */
    FAULT_WRONG_GREETING,
    FAULT_REQ_GREETING,
    FAULT_NO_GREETING,
    FAULT_CLOSES_BEFORE_GREETING,
    FAULT_CLOSES_INSTEAD_OF_REPLY, /* tells so on descriptor `at`, if there is one */
    FAULT_CLOSES_ONCE,             /* the same, on the first connection; the others are honest */
    FAULT_CUT_ONCE,                /* after a byte of the reply, on the first connection */
    FAULT_MANY_CLAIMS,             /* `at` of them */
    FAULT_WRONG_ID,
    FAULT_ID_WITHOUT_TOP_BIT,
    FAULT_TRAILING_BYTE,
    FAULT_GARBAGE,
    FAULT_HUGE_FRAME,
    FAULT_OVERSIZED_FRAME,
    FAULT_EMPTY_MESSAGE,
    FAULT_UNDECODABLE_RESPONSE,
    FAULT_UNDECODABLE_PAYLOAD,
    FAULT_STATUS_ZERO,
    FAULT_STATUS_SEVENTEEN,
    FAULT_EMPTY_VERDICT,
    FAULT_EMPTY_TOKEN,
    FAULT_REASON_ZERO,
    FAULT_UNKNOWN_REASON,
    FAULT_OTHER_AUDIENCE,
    FAULT_OTHER_KEYSET,
    FAULT_OTHER_ISSUER,
    FAULT_OTHER_SUBJECT,
    FAULT_OTHER_TYP,
    FAULT_NO_SCOPE,
    FAULT_NO_CLAIMS_JSON,
    FAULT_NO_EXPIRY,
    FAULT_CLAIM_WITHOUT_VALUE,
    FAULT_CONSUME_TURNED, /* uses up what is not to be, and the other way round */
    FAULT_UNAVAILABLE_ONCE,
    FAULT_EXHAUSTED, /* the first `at` times, with a time to retry after, on one connection */
    FAULT_EXHAUSTED_WITHOUT_TIME,
    FAULT_EXHAUSTED_BEYOND,
    FAULT_INTERNAL,
    FAULT_LATE,        /* the first reply comes after the second request, on the same connection */
    FAULT_HALF_CLOSED, /* answers once, then only reads; tells so on descriptor `at` */
    FAULT_BATCH_SHORT,
    FAULT_BATCH_EMPTY_RESULT,
    FAULT_CUT, /* after `at` bytes of the reply */
    FAULT_DRIP /* one byte, then silence */
};

struct plan {
    enum fault fault;
    size_t at;
};

static char *faults_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- The script ---- */

/* A verified token with one thing wrong. */
static struct fake_bytes faults_token(uint32_t id, enum fault fault)
{
    Signet__V1__VerifiedToken token;
    signet__v1__verified_token__init(&token);
    char *audience = faults_text(fault == FAULT_OTHER_AUDIENCE ? "someone-else" : "me");
    Signet__V1__Claim scope;
    signet__v1__claim__init(&scope);
    scope.name = faults_text("scope");
    scope.value_case = fault == FAULT_CLAIM_WITHOUT_VALUE ? SIGNET__V1__CLAIM__VALUE__NOT_SET
                                                          : SIGNET__V1__CLAIM__VALUE_STRING_VALUE;
    scope.string_value = faults_text(fault == FAULT_NO_SCOPE ? "reader write" : "write read");
    Signet__V1__Claim *claims = &scope;
    token.n_claims = 1;
    token.claims = &claims;
    token.issuer = faults_text(fault == FAULT_OTHER_ISSUER ? "https://evil" : "https://issuer");
    token.subject = faults_text(fault == FAULT_OTHER_SUBJECT ? "mallory" : "alice");
    token.n_audience = 1;
    token.audience = &audience;
    token.expires_at = fault == FAULT_NO_EXPIRY ? 0 : INT64_C(4102444800);
    token.kid = faults_text("kid");
    token.keyset = faults_text(fault == FAULT_OTHER_KEYSET ? "other" : "keyset");
    token.typ = faults_text(fault == FAULT_OTHER_TYP ? "JWT" : "application/AT+jwt");
    token.claims_json = faults_text(fault == FAULT_NO_CLAIMS_JSON ? "" : "{}");
    Signet__V1__VerifyResponse response;
    signet__v1__verify_response__init(&response);
    if (fault != FAULT_EMPTY_VERDICT) {
        response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN;
        response.token = &token;
    }
    if (fault == FAULT_EMPTY_TOKEN) {
        signet__v1__verified_token__init(&token);
    }
    return fake_payload(id, &response.base);
}

/* Two bytes on the wire for each claim, and many more in memory. */
static struct fake_bytes faults_many_claims(uint32_t id, size_t num)
{
    Signet__V1__Claim claim;
    signet__v1__claim__init(&claim);
    Signet__V1__Claim **claims = malloc(num * sizeof(Signet__V1__Claim *));
    if (claims == NULL) {
        _exit(1);
    }
    for (size_t i = 0; i < num; i++) {
        claims[i] = &claim;
    }
    Signet__V1__VerifiedToken token;
    signet__v1__verified_token__init(&token);
    token.n_claims = num;
    token.claims = claims;
    Signet__V1__VerifyResponse response;
    signet__v1__verify_response__init(&response);
    response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN;
    response.token = &token;
    struct fake_bytes bytes = fake_payload(id, &response.base);
    free(claims);
    return bytes;
}

static struct fake_bytes faults_rejection(uint32_t id, unsigned reason)
{
    Signet__V1__Rejection rejection;
    signet__v1__rejection__init(&rejection);
    rejection.reason = (Signet__V1__RejectionReason)reason;
    rejection.detail = faults_text("new\x1b[31m reason");
    Signet__V1__VerifyResponse response;
    signet__v1__verify_response__init(&response);
    response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION;
    response.rejection = &rejection;
    return fake_payload(id, &response.base);
}

static struct fake_bytes faults_batch(uint32_t id, enum fault fault)
{
    Signet__V1__VerifyResult result;
    signet__v1__verify_result__init(&result);
    Signet__V1__VerifyResult *results[2] = {&result, &result};
    Signet__V1__VerifyBatchResponse response;
    signet__v1__verify_batch_response__init(&response);
    response.n_results = fault == FAULT_BATCH_SHORT ? 1 : 2;
    response.results = results;
    return fake_payload(id, &response.base);
}

static struct fake_bytes faults_reply(const struct fake_request *request, enum fault fault)
{
    static const uint8_t bad_response[] = {0x0a, 0xff};
    static const uint8_t bad_payload[] = {0x0a, 0x02, 0x0a, 0xff};
    struct fake_bytes bytes;
    switch ((int)fault) {
    case FAULT_WRONG_ID:
    case FAULT_ID_WITHOUT_TOP_BIT:
    case FAULT_HUGE_FRAME:
    case FAULT_OVERSIZED_FRAME:
    case FAULT_DRIP:
    case FAULT_CUT:
    case FAULT_CUT_ONCE:
    case FAULT_CONSUME_TURNED:
        bytes = fake_honest_answer(request);
        break;
    case FAULT_TRAILING_BYTE:
        bytes = fake_honest_answer(request);
        bytes.bytes = realloc(bytes.bytes, bytes.len + 1);
        bytes.bytes[bytes.len++] = 0;
        break;
    case FAULT_GARBAGE:
        bytes = fake_honest_answer(request);
        memset(bytes.bytes, 'x', bytes.len);
        break;
    case FAULT_EMPTY_MESSAGE:
        bytes = fake_frame(request->id, NULL, 0);
        break;
    case FAULT_UNDECODABLE_RESPONSE:
        bytes = fake_frame(request->id, bad_response, sizeof(bad_response));
        break;
    case FAULT_UNDECODABLE_PAYLOAD:
        bytes = fake_frame(request->id, bad_payload, sizeof(bad_payload));
        break;
    case FAULT_STATUS_ZERO:
        bytes = fake_status(request->id, 0, "OK", "all is well");
        break;
    case FAULT_STATUS_SEVENTEEN:
        bytes = fake_status(request->id, 17, "ODD", "what");
        break;
    case FAULT_INTERNAL:
        bytes = fake_status(request->id, 13, "BROKEN", "it broke");
        break;
    case FAULT_REASON_ZERO:
        bytes = faults_rejection(request->id, 0);
        break;
    case FAULT_UNKNOWN_REASON:
        bytes = faults_rejection(request->id, 999);
        break;
    case FAULT_BATCH_SHORT:
    case FAULT_BATCH_EMPTY_RESULT:
        bytes = faults_batch(request->id, fault);
        break;
    default:
        bytes = faults_token(request->id, fault);
        break;
    }
    if (fault == FAULT_WRONG_ID) {
        bytes.bytes[12] ^= 1;
    } else if (fault == FAULT_ID_WITHOUT_TOP_BIT) {
        bytes.bytes[9] &= 0x7f;
    } else if (fault == FAULT_HUGE_FRAME) {
        memset(bytes.bytes + 1, 0xff, 8);
    } else if (fault == FAULT_OVERSIZED_FRAME) {
        const uint32_t len = SG_MAX_RESPONSE_FRAME + 1;
        const uint8_t field[8] = {
            0,           0, 0, 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
            (uint8_t)len};
        memcpy(bytes.bytes + 1, field, sizeof(field));
    }
    return bytes;
}

/* Waits until the client closes; nothing else tells that it has seen all. */
static void faults_linger(int fd)
{
    uint8_t byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

static bool faults_greet(int fd, enum fault fault)
{
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    switch ((int)fault) {
    case FAULT_CLOSES_BEFORE_GREETING:
        return false;
    case FAULT_NO_GREETING:
        faults_linger(fd);
        return false;
    case FAULT_WRONG_GREETING:
        (void)fake_write(fd, "HTTP/1.1 400 Bad Request\r\n", 26);
        faults_linger(fd);
        return false;
    case FAULT_REQ_GREETING:
        sg_sp_handshake(SG_SP_REQ0, greeting);
        (void)fake_write(fd, greeting, sizeof(greeting));
        faults_linger(fd);
        return false;
    default:
        return fake_greet(fd);
    }
}

static void faults_late(int fd)
{
    struct fake_request first;
    struct fake_request second;
    if (!fake_read_request(fd, &first)) {
        return;
    }
    struct fake_bytes answer = fake_honest_answer(&first);
    /* A client that kept the connection would ask on it again. */
    if (fake_read_request(fd, &second)) {
        (void)fake_write(fd, answer.bytes, answer.len);
    }
    faults_linger(fd);
}

/* A connection that takes requests and will never answer one. */
static void faults_half_close(int fd, const struct plan *plan)
{
    struct fake_request request;
    if (!fake_read_request(fd, &request)) {
        return;
    }
    struct fake_bytes answer = fake_honest_answer(&request);
    if (fake_write(fd, answer.bytes, answer.len) && shutdown(fd, SHUT_WR) == 0 &&
        write((int)plan->at, "x", 1) == 1) {
        faults_linger(fd);
    }
}

/* The daemon's own uid limits; plan->at refusals, and then what an honest one would say. */
static void faults_exhausted(int fd, const struct plan *plan)
{
    uint32_t retry_ms = plan->fault == FAULT_EXHAUSTED          ? FAULTS_RETRY_MS
                        : plan->fault == FAULT_EXHAUSTED_BEYOND ? FAULTS_BEYOND_MS
                                                                : 0;
    bool served = true;
    for (size_t i = 0; served; i++) {
        struct fake_request request;
        if (!fake_read_request(fd, &request)) {
            return;
        }
        struct fake_bytes answer = i < plan->at
                                       ? fake_status_after(request.id, SIGNET_RESOURCE_EXHAUSTED,
                                                           "CPU_LIMIT", "used up", retry_ms)
                                       : fake_honest_answer(&request);
        served = fake_write(fd, answer.bytes, answer.len);
        free(answer.bytes);
        fake_request_free(&request);
    }
}

/* Asks for the opposite of what the request does. */
static void faults_turn_consume(struct fake_request *request)
{
    ProtobufCBinaryData *payload = &request->envelope->payload;
    bool is_batch = strcmp(request->envelope->method, SG_METHOD_VERIFY_BATCH) == 0;
    ProtobufCMessage *message =
        protobuf_c_message_unpack(is_batch ? &signet__v1__verify_batch_request__descriptor
                                           : &signet__v1__verify_request__descriptor,
                                  NULL, payload->len, payload->data);
    if (message == NULL) {
        _exit(1);
    }
    Signet__V1__VerifyRequest *one = (Signet__V1__VerifyRequest *)message;
    const Signet__V1__VerifyBatchRequest *batch = (const Signet__V1__VerifyBatchRequest *)message;
    Signet__V1__VerifyRequest *const *requests = is_batch ? batch->requests : &one;
    for (size_t i = 0; i < (is_batch ? batch->n_requests : 1); i++) {
        requests[i]->consume = !requests[i]->consume;
    }
    free(payload->data);
    payload->len = protobuf_c_message_get_packed_size(message);
    payload->data = malloc(payload->len + 1);
    if (payload->data == NULL) {
        _exit(1);
    }
    (void)protobuf_c_message_pack(message, payload->data);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void faults_script(int fd, unsigned index, const void *context)
{
    const struct plan *plan = context;
    bool once = plan->fault == FAULT_UNAVAILABLE_ONCE || plan->fault == FAULT_LATE ||
                plan->fault == FAULT_HALF_CLOSED || plan->fault == FAULT_CLOSES_ONCE ||
                plan->fault == FAULT_CUT_ONCE;
    if (once && index > 0) {
        fake_honest(fd, index, NULL);
        return;
    }
    if (!faults_greet(fd, plan->fault)) {
        return;
    }
    if (plan->fault == FAULT_HALF_CLOSED) {
        faults_half_close(fd, plan);
        return;
    }
    if (plan->fault == FAULT_LATE) {
        faults_late(fd);
        return;
    }
    if (plan->fault == FAULT_EXHAUSTED || plan->fault == FAULT_EXHAUSTED_WITHOUT_TIME ||
        plan->fault == FAULT_EXHAUSTED_BEYOND) {
        faults_exhausted(fd, plan);
        return;
    }
    struct fake_request request;
    if (!fake_read_request(fd, &request)) {
        return;
    }
    if (plan->fault == FAULT_SILENT) {
        faults_linger(fd);
        return;
    }
    if (plan->fault == FAULT_CLOSES_INSTEAD_OF_REPLY || plan->fault == FAULT_CLOSES_ONCE) {
        if (plan->at != 0) {
            (void)!write((int)plan->at, "x", 1);
        }
        return;
    }
    if (plan->fault == FAULT_UNAVAILABLE_ONCE) {
        struct fake_bytes status = fake_status(request.id, 14, "STOPPING", "it stops");
        (void)fake_write(fd, status.bytes, status.len);
        return; /* and the connection ends */
    }
    if (plan->fault == FAULT_CONSUME_TURNED) {
        faults_turn_consume(&request);
    }
    struct fake_bytes reply = plan->fault == FAULT_MANY_CLAIMS
                                  ? faults_many_claims(request.id, plan->at)
                                  : faults_reply(&request, plan->fault);
    bool cut = plan->fault == FAULT_CUT || plan->fault == FAULT_CUT_ONCE;
    size_t len = cut && plan->at < reply.len ? plan->at : reply.len;
    (void)fake_write(fd, reply.bytes, plan->fault == FAULT_DRIP ? 1 : len);
    if (!cut) {
        faults_linger(fd);
    }
}

/* ---- Calls ---- */

static struct signet_client *faults_client(const char *address, uint32_t timeout_ms)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = address;
    options.timeout_ms = timeout_ms;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

/* A question that names everything, so that every echo is checked. */
static signet_status faults_verify(struct signet_client *client, const char *token,
                                   struct signet_verified **out, struct signet_error *error)
{
    static const char *const audiences[] = {"me"};
    static const char *const scopes[] = {"read"};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;
    options.keyset = "keyset";
    options.issuer = "https://issuer";
    options.subject = "alice";
    options.typ = "at+jwt";
    options.scopes = scopes;
    options.num_scopes = 1;
    return signet_verify(client, token, strlen(token), &options, out, error);
}

static signet_status faults_verify_plain(struct signet_client *client, const char *token,
                                         struct signet_verified **out, struct signet_error *error)
{
    static const char *const audiences[] = {"me"};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;
    return signet_verify(client, token, strlen(token), &options, out, error);
}

static void faults_expect(const struct signet_error *error, signet_status status, const char *code)
{
    if (error->status != status || strcmp(error->code, code) != 0) {
        fail_msg("expected %s %s, got %s %s: %s", signet_status_name(status), code,
                 signet_status_name(error->status), error->code, error->message);
    }
    assert_true(error->message[0] != '\0');
}

static void test_client__every_fault_of_the_server_is_an_error_and_named(void **state)
{
    (void)state;
    static const struct {
        struct plan plan;
        signet_status status;
        const char *code;
        uint32_t timeout_ms;
    } cases[] = {
        {{FAULT_SILENT, 0}, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT", FAULTS_SHORT_MS},
        {{FAULT_NO_GREETING, 0}, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT", FAULTS_SHORT_MS},
        {{FAULT_DRIP, 0}, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT", FAULTS_SHORT_MS},
        {{FAULT_CLOSES_BEFORE_GREETING, 0},
         SIGNET_UNAVAILABLE,
         "CLOSED_BEFORE_GREETING",
         FAULTS_SHORT_MS},
        {{FAULT_WRONG_GREETING, 0}, SIGNET_PROTOCOL_ERROR, "WRONG_GREETING", FAULTS_LONG_MS},
        {{FAULT_REQ_GREETING, 0}, SIGNET_PROTOCOL_ERROR, "WRONG_GREETING", FAULTS_LONG_MS},
        {{FAULT_CLOSES_INSTEAD_OF_REPLY, 0}, SIGNET_UNAVAILABLE, "NO_REPLY", FAULTS_LONG_MS},
        {{FAULT_WRONG_ID, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_ID", FAULTS_LONG_MS},
        {{FAULT_ID_WITHOUT_TOP_BIT, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_FRAME", FAULTS_LONG_MS},
        {{FAULT_TRAILING_BYTE, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_TRAILING", FAULTS_LONG_MS},
        {{FAULT_GARBAGE, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_FRAME", FAULTS_LONG_MS},
        {{FAULT_HUGE_FRAME, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_FRAME", FAULTS_LONG_MS},
        {{FAULT_OVERSIZED_FRAME, 0}, SIGNET_PROTOCOL_ERROR, "REPLY_FRAME", FAULTS_LONG_MS},
        {{FAULT_EMPTY_MESSAGE, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_UNDECODABLE_RESPONSE, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_UNDECODABLE_PAYLOAD, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_STATUS_ZERO, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_STATUS_SEVENTEEN, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_EMPTY_VERDICT, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_EMPTY_TOKEN, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_REASON_ZERO, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_OTHER_AUDIENCE, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_OTHER_KEYSET, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_OTHER_ISSUER, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_OTHER_SUBJECT, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_OTHER_TYP, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_NO_SCOPE, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_NO_CLAIMS_JSON, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_NO_EXPIRY, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_CLAIM_WITHOUT_VALUE, 0}, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER", FAULTS_LONG_MS},
        {{FAULT_INTERNAL, 0}, SIGNET_INTERNAL, "BROKEN", FAULTS_LONG_MS},
        {{FAULT_UNKNOWN_REASON, 0}, SIGNET_REJECTED, "UNRECOGNIZED", FAULTS_LONG_MS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_server server;
        fake_server_start(&server, faults_script, &cases[i].plan);
        struct signet_client *client = faults_client(server.address, cases[i].timeout_ms);
        struct signet_verified *token = NULL;
        struct signet_error error = {.status = SIGNET_OK};
        if (faults_verify(client, FAULTS_TOKEN, &token, &error) == SIGNET_OK || token != NULL) {
            fail_msg("case %zu: a token was called good", i);
        }
        faults_expect(&error, cases[i].status, cases[i].code);
        if (cases[i].plan.fault == FAULT_UNKNOWN_REASON) {
            assert_int_equal((int)error.reason, 999);
            assert_string_equal(error.message, "new?[31m reason");
        }
        signet_client_free(client);
        fake_server_stop(&server);
    }
}

/* The same script with nothing wrong is believed: the cases above fail for their own reason only. */
static void test_client__a_token_with_nothing_wrong_is_good(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_NONE, 0};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_verified *token = NULL;
    assert_int_equal(faults_verify(client, FAULTS_TOKEN, &token, NULL), SIGNET_OK);
    assert_true(signet_verified_has_scope(token, "read"));
    assert_false(signet_verified_has_scope(token, "rea"));
    signet_verified_free(token);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__an_honest_server_is_believed(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_verified *token = NULL;
    assert_int_equal(faults_verify_plain(client, FAULTS_TOKEN, &token, NULL), SIGNET_OK);
    assert_string_equal(signet_verified_audience(token, 0), "me");
    signet_verified_free(token);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_reply_cut_at_any_byte_is_unavailable(void **state)
{
    (void)state;
    bool whole = false;
    for (size_t at = 0; !whole; at++) {
        assert_true(at < 1000);
        struct fake_server server;
        struct plan plan = {FAULT_CUT, at};
        fake_server_start(&server, faults_script, &plan);
        struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
        struct signet_verified *token = NULL;
        struct signet_error error = {.status = SIGNET_OK};
        whole = faults_verify_plain(client, FAULTS_TOKEN, &token, &error) == SIGNET_OK;
        if (whole) {
            assert_true(at > SG_SP_HEADER_LEN + 40); /* the whole reply, and not less */
        } else {
            assert_null(token);
            faults_expect(&error, SIGNET_UNAVAILABLE, at == 0 ? "NO_REPLY" : "REPLY_CUT");
            assert_non_null(strstr(error.message, server.socket));
        }
        signet_verified_free(token);
        signet_client_free(client);
        fake_server_stop(&server);
    }
}

static void test_client__a_daemon_that_never_started_is_unavailable(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_prepare(&server);
    struct signet_client *client = faults_client(server.address, FAULTS_SHORT_MS);
    struct signet_verified *token = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    assert_int_equal(faults_verify(client, FAULTS_TOKEN, &token, &error), SIGNET_UNAVAILABLE);
    faults_expect(&error, SIGNET_UNAVAILABLE, "CONNECT_FAILED");
    assert_non_null(strstr(error.message, server.socket));
    assert_non_null(strstr(error.message, "is signetd running?"));
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_UNAVAILABLE);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void
test_client__a_stopped_daemon_is_deadline_exceeded_and_a_continued_one_serves(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *fresh = faults_client(server.address, FAULTS_SHORT_MS);
    struct signet_client *used = faults_client(server.address, FAULTS_SHORT_MS);
    assert_int_equal(signet_health(used, 0, NULL), SIGNET_OK);
    fake_server_kill(&server, SIGSTOP);
    struct signet_error error;
    struct signet_verified *token = NULL;
    assert_int_not_equal(faults_verify(fresh, FAULTS_TOKEN, &token, &error), SIGNET_OK);
    faults_expect(&error, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT");
    assert_int_not_equal(faults_verify(used, FAULTS_TOKEN, &token, &error), SIGNET_OK);
    faults_expect(&error, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT");
    assert_null(token);
    fake_server_kill(&server, SIGCONT);
    signet_client_free(used);
    used = faults_client(server.address, FAULTS_LONG_MS);
    assert_int_equal(signet_health(used, 0, NULL), SIGNET_OK);
    signet_client_free(used);
    signet_client_free(fresh);
    fake_server_stop(&server);
}

static void test_client__a_late_reply_never_answers_the_next_request(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_LATE, 0};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_SHORT_MS);
    struct signet_verified *token = NULL;
    struct signet_error error;
    assert_int_not_equal(faults_verify_plain(client, "first.aa.bb", &token, &error), SIGNET_OK);
    faults_expect(&error, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT");
    assert_int_equal(faults_verify_plain(client, "second.aa.bb", &token, &error), SIGNET_OK);
    assert_string_equal(signet_verified_jti(token), "second.aa.bb");
    signet_verified_free(token);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_dead_connection_is_found_before_it_is_used(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    struct fake_server server;
    struct plan plan = {FAULT_HALF_CLOSED, (size_t)told[1]};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    char byte;
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    signet_client_free(client);
    fake_server_stop(&server);
    (void)close(told[0]);
    (void)close(told[1]);
}

static void test_client__a_restart_between_two_calls_is_not_seen(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_verified *token = NULL;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(faults_verify_plain(client, FAULTS_TOKEN, &token, NULL), SIGNET_OK);
        signet_verified_free(token);
        fake_server_kill(&server, SIGKILL);
        fake_server_run(&server, fake_honest, NULL);
    }
    fake_server_kill(&server, SIGKILL);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_daemon_that_is_just_starting_is_waited_for(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_prepare(&server);
    pid_t caller = fork();
    if (caller == 0) {
        struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
        options.address = server.address;
        options.timeout_ms = FAULTS_LONG_MS;
        struct signet_client *client = NULL;
        bool good = signet_client_new(&options, &client, NULL) == SIGNET_OK &&
                    signet_health(client, 0, NULL) == SIGNET_OK;
        signet_client_free(client);
        _exit(good ? 0 : 1);
    }
    assert_true(caller > 0);
    fake_server_run(&server, fake_honest, NULL);
    int status = -1;
    assert_int_equal(waitpid(caller, &status, 0), caller);
    assert_int_equal(status, 0);
    fake_server_stop(&server);
}

static void test_client__unavailable_from_the_daemon_is_asked_again(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_UNAVAILABLE_ONCE, 0};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    signet_client_free(client);
    fake_server_stop(&server);
}

/* ---- A daemon whose queue is full ---- */

/* Listens, and fills its own queue, so that nobody else gets in before something is accepted. */
static int faults_full_queue(const struct fake_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server->socket, strlen(server->socket) + 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool connected = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
        (void)close(fd); /* what is in the queue stays there */
        if (!connected) {
            return listener;
        }
    }
}

static void test_client__a_full_queue_is_waited_for(void **state)
{
    (void)state;
    struct fake_server server;
    struct signet_error error;
    fake_server_prepare(&server);
    int listener = faults_full_queue(&server);
    struct signet_client *hasty = faults_client(server.address, FAULTS_SHORT_MS);
    assert_int_equal(signet_health(hasty, 0, &error), SIGNET_UNAVAILABLE);
    faults_expect(&error, SIGNET_UNAVAILABLE, "CONNECT_FAILED");
    signet_client_free(hasty);

    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    pid_t caller = fork();
    assert_true(caller >= 0);
    if (caller == 0) {
        _exit(signet_health(client, 0, NULL) == SIGNET_OK ? 0 : 1);
    }
    bool served = false;
    while (!served) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        struct fake_request request;
        assert_true(fd >= 0);
        served = fake_greet(fd) && fake_read_request(fd, &request);
        if (served) {
            struct fake_bytes answer = fake_honest_answer(&request);
            assert_true(fake_write(fd, answer.bytes, answer.len));
            free(answer.bytes);
            fake_request_free(&request);
        }
        (void)close(fd);
    }
    int status = -1;
    assert_int_equal(waitpid(caller, &status, 0), caller);
    assert_int_equal(status, 0);
    signet_client_free(client);
    (void)close(listener);
    fake_server_stop(&server);
}

/* ---- A connection that ends before the reply ---- */

/* Each asks one thing, of a daemon that takes its first request and goes away. */

static signet_status silent_verify(struct signet_client *client, struct signet_error *error)
{
    struct signet_verified *token = NULL;
    signet_status status = faults_verify_plain(client, FAULTS_TOKEN, &token, error);
    signet_verified_free(token);
    return status;
}

static signet_status silent_verify_many(struct signet_client *client, struct signet_error *error)
{
    static const struct signet_token_view tokens[] = {{"a.b.c", 5}, {"d.e.f", 5}};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.any_audience = true;
    struct signet_verify_batch *batch = NULL;
    signet_status status = signet_verify_many(client, tokens, 2, &options, &batch, error);
    signet_verify_batch_free(batch);
    return status;
}

static signet_status silent_consume(struct signet_client *client, struct signet_error *error)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *token = NULL;
    options.any_audience = true;
    options.consume = true;
    signet_status status =
        signet_verify(client, FAULTS_TOKEN, strlen(FAULTS_TOKEN), &options, &token, error);
    signet_verified_free(token);
    return status;
}

static signet_status silent_consume_bearer(struct signet_client *client, struct signet_error *error)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *token = NULL;
    options.any_audience = true;
    options.consume = true;
    signet_status status =
        signet_verify_bearer(client, "Bearer " FAULTS_TOKEN, &options, &token, error);
    signet_verified_free(token);
    return status;
}

static signet_status silent_consume_many(struct signet_client *client, struct signet_error *error)
{
    static const struct signet_token_view tokens[] = {{"a.b.c", 5}, {"d.e.f", 5}};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.any_audience = true;
    options.consume = true;
    struct signet_verify_batch *batch = NULL;
    signet_status status = signet_verify_many(client, tokens, 2, &options, &batch, error);
    signet_verify_batch_free(batch);
    return status;
}

static signet_status silent_jwks(struct signet_client *client, struct signet_error *error)
{
    char *text = NULL;
    signet_status status = signet_jwks(client, NULL, 0, &text, error);
    signet_string_free(text);
    return status;
}

static signet_status silent_health(struct signet_client *client, struct signet_error *error)
{
    return signet_health(client, 0, error);
}

/* The honest fake does not know the methods of these two: that it says so is an answer all the same. */

static signet_status silent_list_keysets(struct signet_client *client, struct signet_error *error)
{
    Signet__V1__ListKeysetsRequest request;
    signet__v1__list_keysets_request__init(&request);
    ProtobufCMessage *out = NULL;
    return sg_client_call(client, SG_METHOD_LIST_KEYSETS, &request.base,
                          &signet__v1__list_keysets_response__descriptor, 0, &out, error);
}

static signet_status silent_status(struct signet_client *client, struct signet_error *error)
{
    Signet__V1__StatusRequest request;
    signet__v1__status_request__init(&request);
    ProtobufCMessage *out = NULL;
    return sg_client_call(client, SG_METHOD_STATUS, &request.base,
                          &signet__v1__status_response__descriptor, 0, &out, error);
}

static struct signet_sign_options silent_sign_options(void)
{
    static const char *const audiences[] = {"me"};
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.keyset = "keyset";
    options.subject = "alice";
    options.audiences = audiences;
    options.num_audiences = 1;
    return options;
}

static signet_status silent_sign(struct signet_client *client, struct signet_error *error)
{
    struct signet_sign_options options = silent_sign_options();
    struct signet_signed *token = NULL;
    signet_status status = signet_sign(client, &options, &token, error);
    signet_signed_free(token);
    return status;
}

static signet_status silent_sign_many(struct signet_client *client, struct signet_error *error)
{
    struct signet_sign_options options = silent_sign_options();
    struct signet_sign_batch *batch = NULL;
    signet_status status = signet_sign_many(client, &options, 1, 0, &batch, error);
    signet_sign_batch_free(batch);
    return status;
}

typedef signet_status silent_call(struct signet_client *client, struct signet_error *error);

static void silent_expect(const struct plan *plan, silent_call *call, signet_status status,
                          const char *code)
{
    struct fake_server server;
    fake_server_start(&server, faults_script, plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_error error = {.status = SIGNET_OK};
    assert_int_equal(call(client, &error), status);
    if (code != NULL) {
        faults_expect(&error, status, code);
    }
    signet_client_free(client);
    fake_server_stop(&server);
}

static uint64_t faults_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Even one that mints: the daemon had not begun. */
static void test_client__exhausted_with_a_time_is_asked_again_after_it(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_EXHAUSTED, 2};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_error error;
    uint64_t before_ms = faults_now_ms();
    assert_int_equal(silent_sign(client, &error), SIGNET_OK);
    assert_true(faults_now_ms() - before_ms >= 2 * FAULTS_RETRY_MS);
    signet_client_free(client);
    fake_server_stop(&server);
}

/* When the time would be over before that, the answer is there at once, and says why. */
static void test_client__exhausted_beyond_the_deadline_is_told_at_once(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_EXHAUSTED_BEYOND, 1000};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_error error;
    uint64_t before_ms = faults_now_ms();
    assert_int_equal(signet_health(client, 0, &error), SIGNET_RESOURCE_EXHAUSTED);
    assert_true(faults_now_ms() - before_ms < FAULTS_LONG_MS);
    faults_expect(&error, SIGNET_RESOURCE_EXHAUSTED, "CPU_LIMIT");
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__exhausted_without_a_time_is_not_asked_again(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_EXHAUSTED_WITHOUT_TIME, 1};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_error error;
    assert_int_equal(signet_health(client, 0, &error), SIGNET_RESOURCE_EXHAUSTED);
    faults_expect(&error, SIGNET_RESOURCE_EXHAUSTED, "CPU_LIMIT");
    assert_int_equal(signet_health(client, 0, &error), SIGNET_OK);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__what_only_reads_is_sent_again_after_no_reply(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CLOSES_ONCE, 0};
    silent_expect(&plan, silent_verify, SIGNET_OK, NULL);
    silent_expect(&plan, silent_verify_many, SIGNET_OK, NULL);
    silent_expect(&plan, silent_jwks, SIGNET_OK, NULL);
    silent_expect(&plan, silent_health, SIGNET_OK, NULL);
    silent_expect(&plan, silent_list_keysets, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN");
    silent_expect(&plan, silent_status, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN");
}

static void test_client__what_mints_is_not_sent_again_after_no_reply(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CLOSES_ONCE, 0};
    silent_expect(&plan, silent_sign, SIGNET_UNAVAILABLE, "NO_REPLY");
    silent_expect(&plan, silent_sign_many, SIGNET_UNAVAILABLE, "NO_REPLY");
}

/* It may be used up. */
static void test_client__what_uses_a_token_up_is_not_sent_again_after_no_reply(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CLOSES_ONCE, 0};
    silent_expect(&plan, silent_consume, SIGNET_UNAVAILABLE, "NO_REPLY");
    silent_expect(&plan, silent_consume_bearer, SIGNET_UNAVAILABLE, "NO_REPLY");
    silent_expect(&plan, silent_consume_many, SIGNET_UNAVAILABLE, "NO_REPLY");
    /* What is refused before any work is done is asked again. */
    const struct plan busy = {FAULT_EXHAUSTED, 1};
    silent_expect(&busy, silent_consume, SIGNET_OK, NULL);
}

/* A batch in which one alone is used up. The library asks the same of all. */
static void test_client__one_that_is_used_up_keeps_its_batch_from_being_sent_again(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CLOSES_ONCE, 0};
    for (unsigned which = 0; which < 3; which++) {
        struct fake_server server;
        fake_server_start(&server, faults_script, &plan);
        struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
        struct signet_error error = {.status = SIGNET_OK};
        Signet__V1__VerifyRequest requests[2];
        Signet__V1__VerifyRequest *list[2] = {&requests[0], &requests[1]};
        Signet__V1__VerifyBatchRequest batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
        ProtobufCMessage *out = NULL;
        for (size_t i = 0; i < 2; i++) {
            signet__v1__verify_request__init(&requests[i]);
            requests[i].token = faults_text(FAULTS_TOKEN);
            requests[i].any_audience = true;
            requests[i].consume = i == which;
        }
        batch.requests = list;
        batch.n_requests = 2;
        assert_int_equal(sg_client_call(client, SG_METHOD_VERIFY_BATCH, &batch.base,
                                        &signet__v1__verify_batch_response__descriptor, 0, &out,
                                        &error),
                         which < 2 ? SIGNET_UNAVAILABLE : SIGNET_OK);
        if (out != NULL) {
            protobuf_c_message_free_unpacked(out, NULL);
        }
        signet_client_free(client);
        fake_server_stop(&server);
    }
}

/* A daemon that does not know of it, or does it unasked. */
static void test_client__what_was_not_used_up_is_no_good_token(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CONSUME_TURNED, 0};
    silent_expect(&plan, silent_consume, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
    silent_expect(&plan, silent_consume_bearer, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
    silent_expect(&plan, silent_consume_many, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
    silent_expect(&plan, silent_verify, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
    silent_expect(&plan, silent_verify_many, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
}

static void test_client__nothing_is_sent_again_after_a_byte_of_the_reply(void **state)
{
    (void)state;
    const struct plan plan = {FAULT_CUT_ONCE, 1};
    silent_expect(&plan, silent_verify, SIGNET_UNAVAILABLE, "REPLY_CUT");
    silent_expect(&plan, silent_health, SIGNET_UNAVAILABLE, "REPLY_CUT");
}

static void test_client__no_reply_is_tried_once_more_and_not_for_ever(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC | O_NONBLOCK), 0);
    const struct plan plan = {FAULT_CLOSES_INSTEAD_OF_REPLY, (size_t)told[1]};
    silent_expect(&plan, silent_verify, SIGNET_UNAVAILABLE, "NO_REPLY");
    char bytes[8];
    assert_int_equal(read(told[0], bytes, sizeof(bytes)), 2);
    (void)close(told[0]);
    (void)close(told[1]);
}

/* ---- Memory ---- */

static void test_client__an_answer_that_decodes_to_too_much_is_a_protocol_error(void **state)
{
    (void)state;
    struct fake_server server;
    struct plan plan = {FAULT_MANY_CLAIMS, 1000000};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_verified *token = NULL;
    struct signet_error error;
    assert_int_equal(faults_verify_plain(client, FAULTS_TOKEN, &token, &error),
                     SIGNET_PROTOCOL_ERROR);
    assert_non_null(strstr(error.message, "takes more memory"));
    assert_null(token);
    signet_client_free(client);
    fake_server_stop(&server);
}

/* Lets this process have so many more bytes than now. */
static bool faults_limit_memory(size_t more)
{
    char text[32] = {0};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0;
    (void)close(fd);
    unsigned long now = strtoul(text, NULL, 10) * (unsigned long)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {.rlim_cur = now + more, .rlim_max = now + more};
    return known && setrlimit(RLIMIT_AS, &limit) == 0;
}

static void test_client__no_memory_to_decode_is_not_blamed_on_the_daemon(void **state)
{
    (void)state;
    if (SG_SANITIZED) {
        skip(); /* sanitizers need address space of their own */
    }
    struct fake_server server;
    struct plan plan = {FAULT_MANY_CLAIMS, 300000};
    fake_server_start(&server, faults_script, &plan);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    pid_t caller = fork();
    if (caller == 0) {
        struct signet_verified *token = NULL;
        struct signet_error error = {.status = SIGNET_OK};
        bool named = faults_limit_memory(8u << 20) &&
                     faults_verify_plain(client, FAULTS_TOKEN, &token, &error) ==
                         SIGNET_RESOURCE_EXHAUSTED &&
                     strcmp(error.code, "NO_MEMORY") == 0;
        _exit(named ? 0 : 1);
    }
    assert_true(caller > 0);
    int status = -1;
    assert_int_equal(waitpid(caller, &status, 0), caller);
    assert_int_equal(status, 0);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_server_under_another_uid_gets_nothing(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = server.address;
    options.server_uid = (int64_t)geteuid() + 1;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    struct signet_verified *token = NULL;
    struct signet_error error;
    assert_int_equal(faults_verify_plain(client, FAULTS_TOKEN, &token, &error),
                     SIGNET_UNTRUSTED_SERVER);
    faults_expect(&error, SIGNET_UNTRUSTED_SERVER, "SERVER_UID");
    assert_non_null(strstr(error.message, "nothing was sent"));
    signet_client_free(client);

    options.server_uid = (int64_t)geteuid();
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_socket_one_may_not_connect_to_is_permission_denied(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        skip(); /* root may connect to anything */
    }
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    assert_int_equal(chmod(server.socket, 0), 0);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_error error;
    assert_int_equal(signet_health(client, 0, &error), SIGNET_PERMISSION_DENIED);
    faults_expect(&error, SIGNET_PERMISSION_DENIED, "CONNECT_DENIED");
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_client__a_batch_answer_that_does_not_match_is_a_protocol_error(void **state)
{
    (void)state;
    static const enum fault faults[] = {FAULT_BATCH_SHORT, FAULT_BATCH_EMPTY_RESULT};
    static const char *const audiences[] = {"me"};
    static const struct signet_token_view tokens[] = {{"a.b.c", 5}, {"d.e.f", 5}};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct fake_server server;
        struct plan plan = {faults[i], 0};
        fake_server_start(&server, faults_script, &plan);
        struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
        struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
        options.audiences = audiences;
        options.num_audiences = 1;
        struct signet_verify_batch *batch = NULL;
        struct signet_error error;
        assert_int_equal(signet_verify_many(client, tokens, 2, &options, &batch, &error),
                         SIGNET_PROTOCOL_ERROR);
        assert_null(batch);
        faults_expect(&error, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
        signet_client_free(client);
        fake_server_stop(&server);
    }
}

static void test_client__batch_refuses_what_is_no_token_and_keeps_the_order(void **state)
{
    (void)state;
    static const char *const audiences[] = {"me"};
    static const struct signet_token_view tokens[] = {
        {"a.b.c", 5}, {"d.e\0.f", 6}, {"", 0}, {"g.h.i-and-more", 5}};
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = faults_client(server.address, FAULTS_LONG_MS);
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;
    struct signet_verify_batch *batch = NULL;
    assert_int_equal(signet_verify_many(client, tokens, 4, &options, &batch, NULL), SIGNET_OK);
    const struct signet_verified *token = NULL;
    struct signet_error error;
    assert_int_equal(signet_verify_batch_get(batch, 0, &token, NULL), SIGNET_OK);
    assert_string_equal(signet_verified_jti(token), "a.b.c");
    assert_int_equal(signet_verify_batch_get(batch, 1, &token, &error), SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_MALFORMED);
    assert_int_equal(signet_verify_batch_get(batch, 2, &token, &error), SIGNET_REJECTED);
    assert_int_equal(signet_verify_batch_get(batch, 3, &token, NULL), SIGNET_OK);
    assert_string_equal(signet_verified_jti(token), "g.h.i");
    assert_int_equal(signet_verify_batch_get(batch, 4, &token, &error), SIGNET_INVALID_ARGUMENT);
    signet_verify_batch_free(batch);
    signet_client_free(client);
    fake_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client__an_honest_server_is_believed),
        cmocka_unit_test(test_client__a_token_with_nothing_wrong_is_good),
        cmocka_unit_test(test_client__every_fault_of_the_server_is_an_error_and_named),
        cmocka_unit_test(test_client__a_reply_cut_at_any_byte_is_unavailable),
        cmocka_unit_test(test_client__a_daemon_that_never_started_is_unavailable),
        cmocka_unit_test(
            test_client__a_stopped_daemon_is_deadline_exceeded_and_a_continued_one_serves),
        cmocka_unit_test(test_client__a_late_reply_never_answers_the_next_request),
        cmocka_unit_test(test_client__a_dead_connection_is_found_before_it_is_used),
        cmocka_unit_test(test_client__a_restart_between_two_calls_is_not_seen),
        cmocka_unit_test(test_client__a_daemon_that_is_just_starting_is_waited_for),
        cmocka_unit_test(test_client__unavailable_from_the_daemon_is_asked_again),
        cmocka_unit_test(test_client__a_full_queue_is_waited_for),
        cmocka_unit_test(test_client__exhausted_with_a_time_is_asked_again_after_it),
        cmocka_unit_test(test_client__exhausted_beyond_the_deadline_is_told_at_once),
        cmocka_unit_test(test_client__exhausted_without_a_time_is_not_asked_again),
        cmocka_unit_test(test_client__what_only_reads_is_sent_again_after_no_reply),
        cmocka_unit_test(test_client__what_mints_is_not_sent_again_after_no_reply),
        cmocka_unit_test(test_client__what_uses_a_token_up_is_not_sent_again_after_no_reply),
        cmocka_unit_test(test_client__one_that_is_used_up_keeps_its_batch_from_being_sent_again),
        cmocka_unit_test(test_client__what_was_not_used_up_is_no_good_token),
        cmocka_unit_test(test_client__nothing_is_sent_again_after_a_byte_of_the_reply),
        cmocka_unit_test(test_client__no_reply_is_tried_once_more_and_not_for_ever),
        cmocka_unit_test(test_client__an_answer_that_decodes_to_too_much_is_a_protocol_error),
        cmocka_unit_test(test_client__no_memory_to_decode_is_not_blamed_on_the_daemon),
        cmocka_unit_test(test_client__a_server_under_another_uid_gets_nothing),
        cmocka_unit_test(test_client__a_socket_one_may_not_connect_to_is_permission_denied),
        cmocka_unit_test(test_client__a_batch_answer_that_does_not_match_is_a_protocol_error),
        cmocka_unit_test(test_client__batch_refuses_what_is_no_token_and_keeps_the_order),
    };
    (void)alarm(FAULTS_WATCHDOG_S); /* a call that does not end ends the program */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
