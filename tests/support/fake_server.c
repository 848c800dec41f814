/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon that lies. Its process never touches cmocka's state: a fault ends it with _exit.
 */
#include "tests/support/fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "tests/support/files.h"

#define FAKE_EXPIRES INT64_C(4102444800) /* 2100-01-01 */

/* ---- The process ---- */

struct fake_connection {
    int fd;
    unsigned index;
    fake_script *script;
    const void *context;
};

static void *fake_serve(void *argument)
{
    struct fake_connection connection = *(struct fake_connection *)argument;
    free(argument);
    connection.script(connection.fd, connection.index, connection.context);
    (void)close(connection.fd);
    return NULL;
}

static void fake_accept(int listener, fake_script *script, const void *context)
{
    for (unsigned index = 0;; index++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        struct fake_connection *connection = malloc(sizeof(*connection));
        if (fd < 0 || connection == NULL) {
            _exit(1);
        }
        *connection = (struct fake_connection){fd, index, script, context};
        pthread_t thread;
        if (pthread_create(&thread, NULL, fake_serve, connection) != 0 ||
            pthread_detach(thread) != 0) {
            _exit(1);
        }
    }
}

void fake_server_prepare(struct fake_server *server)
{
    memset(server, 0, sizeof(*server));
    test_temp_dir(server->dir, sizeof(server->dir));
    int len = snprintf(server->socket, sizeof(server->socket), "%s/signet.sock", server->dir);
    assert_true(len > 0 && (size_t)len < sizeof(server->socket));
    (void)snprintf(server->address, sizeof(server->address), "ipc://%s", server->socket);
}

void fake_server_run(struct fake_server *server, fake_script *script, const void *context)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server->socket, strlen(server->socket) + 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    (void)unlink(server->socket);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 128), 0);
    server->pid = fork();
    if (server->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fake_accept(listener, script, context);
    }
    (void)close(listener);
    assert_true(server->pid > 0);
}

void fake_server_start(struct fake_server *server, fake_script *script, const void *context)
{
    fake_server_prepare(server);
    fake_server_run(server, script, context);
}

void fake_server_kill(struct fake_server *server, int signal_number)
{
    assert_true(server->pid > 0);
    assert_int_equal(kill(server->pid, signal_number), 0);
    if (signal_number == SIGKILL) {
        assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
        server->pid = 0;
    } else if (signal_number == SIGSTOP) {
        assert_int_equal(waitpid(server->pid, NULL, WUNTRACED), server->pid);
    }
}

void fake_server_stop(struct fake_server *server)
{
    if (server->pid > 0) {
        fake_server_kill(server, SIGKILL);
    }
    test_remove_tree(server->dir);
}

/* ---- For scripts ---- */

bool fake_write(int fd, const void *bytes, size_t len)
{
    const uint8_t *next = bytes;
    while (len > 0) {
        ssize_t put = send(fd, next, len, MSG_NOSIGNAL);
        if (put <= 0) {
            return false;
        }
        next += put;
        len -= (size_t)put;
    }
    return true;
}

static bool fake_read(int fd, void *bytes, size_t len)
{
    return len == 0 || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

bool fake_greet(int fd)
{
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    if (!fake_read(fd, greeting, sizeof(greeting)) || !sg_sp_handshake_ok(greeting, SG_SP_REQ0)) {
        return false;
    }
    sg_sp_handshake(SG_SP_REP0, greeting);
    return fake_write(fd, greeting, sizeof(greeting));
}

bool fake_read_request(int fd, struct fake_request *request)
{
    uint8_t header[SG_SP_HEADER_LEN];
    struct sg_sp_message message;
    if (!fake_read(fd, header, sizeof(header)) ||
        sg_sp_parse(header, sizeof(header), SG_MAX_REQUEST_FRAME, &message) == SG_SP_BAD) {
        return false;
    }
    request->id = (uint32_t)header[9] << 24 | (uint32_t)header[10] << 16 |
                  (uint32_t)header[11] << 8 | header[12];
    size_t len = message.total_len - sizeof(header);
    uint8_t *body = malloc(len + 1);
    request->envelope = NULL;
    if (body != NULL && fake_read(fd, body, len)) {
        request->envelope = signet__rpc__v1__request__unpack(NULL, len, body);
    }
    free(body);
    return request->envelope != NULL;
}

void fake_request_free(struct fake_request *request)
{
    signet__rpc__v1__request__free_unpacked(request->envelope, NULL);
    request->envelope = NULL;
}

struct fake_bytes fake_frame(uint32_t id, const void *body, size_t len)
{
    struct fake_bytes frame = {malloc(SG_SP_HEADER_LEN + len), SG_SP_HEADER_LEN + len};
    if (frame.bytes == NULL) {
        _exit(1);
    }
    sg_sp_header(id, len, frame.bytes);
    if (len > 0) {
        memcpy(frame.bytes + SG_SP_HEADER_LEN, body, len);
    }
    return frame;
}

static struct fake_bytes fake_message(uint32_t id, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *body = malloc(len + 1);
    if (body == NULL) {
        _exit(1);
    }
    (void)protobuf_c_message_pack(message, body);
    struct fake_bytes frame = fake_frame(id, body, len);
    free(body);
    return frame;
}

struct fake_bytes fake_payload(uint32_t id, const ProtobufCMessage *message)
{
    Signet__Rpc__V1__Response response;
    signet__rpc__v1__response__init(&response);
    response.outcome_case = SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD;
    response.payload.len = protobuf_c_message_get_packed_size(message);
    response.payload.data = malloc(response.payload.len + 1);
    if (response.payload.data == NULL) {
        _exit(1);
    }
    (void)protobuf_c_message_pack(message, response.payload.data);
    struct fake_bytes frame = fake_message(id, &response.base);
    free(response.payload.data);
    return frame;
}

static char *fake_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

struct fake_bytes fake_status(uint32_t id, uint32_t code, const char *reason, const char *message)
{
    return fake_status_after(id, code, reason, message, 0);
}

struct fake_bytes fake_status_after(uint32_t id, uint32_t code, const char *reason,
                                    const char *message, uint32_t retry_after_ms)
{
    Signet__Rpc__V1__Status status;
    signet__rpc__v1__status__init(&status);
    status.code = code;
    status.reason = fake_text(reason);
    status.message = fake_text(message);
    status.retry_after_ms = retry_after_ms;
    Signet__Rpc__V1__Response response;
    signet__rpc__v1__response__init(&response);
    response.outcome_case = SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS;
    response.status = &status;
    return fake_message(id, &response.base);
}

/* ---- An honest daemon ---- */

static void fake_verified(const Signet__V1__VerifyRequest *request,
                          Signet__V1__VerifiedToken *token)
{
    signet__v1__verified_token__init(token);
    token->issuer = request->issuer[0] != '\0' ? request->issuer : fake_text("https://issuer");
    token->subject = request->subject;
    token->n_audience = request->n_audiences;
    token->audience = request->audiences;
    token->expires_at = FAKE_EXPIRES;
    token->has_issued_at = true;
    token->issued_at = FAKE_EXPIRES - 3600;
    /* The token itself comes back as jti: a test sees whose answer it got. */
    token->jti = request->token;
    token->kid = fake_text("kid");
    token->keyset = request->keyset[0] != '\0' ? request->keyset : fake_text("keyset");
    token->typ = request->typ;
    token->claims_json = fake_text("{}");
    token->consumed = request->consume;
}

static struct fake_bytes fake_answer_verify(const struct fake_request *request)
{
    Signet__V1__VerifyRequest *verify = signet__v1__verify_request__unpack(
        NULL, request->envelope->payload.len, request->envelope->payload.data);
    if (verify == NULL) {
        _exit(1);
    }
    Signet__V1__VerifiedToken token;
    fake_verified(verify, &token);
    Signet__V1__VerifyResponse response;
    signet__v1__verify_response__init(&response);
    response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN;
    response.token = &token;
    struct fake_bytes frame = fake_payload(request->id, &response.base);
    signet__v1__verify_request__free_unpacked(verify, NULL);
    return frame;
}

static struct fake_bytes fake_answer_verify_batch(const struct fake_request *request)
{
    Signet__V1__VerifyBatchRequest *batch = signet__v1__verify_batch_request__unpack(
        NULL, request->envelope->payload.len, request->envelope->payload.data);
    if (batch == NULL || batch->n_requests > SG_MAX_BATCH) {
        _exit(1);
    }
    static _Thread_local Signet__V1__VerifiedToken tokens[SG_MAX_BATCH];
    static _Thread_local Signet__V1__VerifyResult results[SG_MAX_BATCH];
    static _Thread_local Signet__V1__VerifyResult *pointers[SG_MAX_BATCH];
    for (size_t i = 0; i < batch->n_requests; i++) {
        fake_verified(batch->requests[i], &tokens[i]);
        signet__v1__verify_result__init(&results[i]);
        results[i].outcome_case = SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN;
        results[i].token = &tokens[i];
        pointers[i] = &results[i];
    }
    Signet__V1__VerifyBatchResponse response;
    signet__v1__verify_batch_response__init(&response);
    response.n_results = batch->n_requests;
    response.results = pointers;
    struct fake_bytes frame = fake_payload(request->id, &response.base);
    signet__v1__verify_batch_request__free_unpacked(batch, NULL);
    return frame;
}

static struct fake_bytes fake_answer_sign(const struct fake_request *request)
{
    Signet__V1__SignResponse response;
    signet__v1__sign_response__init(&response);
    response.token = fake_text("aa.bb.cc");
    response.kid = fake_text("kid");
    response.jti = fake_text("jti");
    response.issued_at = FAKE_EXPIRES - 3600;
    response.expires_at = FAKE_EXPIRES;
    return fake_payload(request->id, &response.base);
}

void fake_revocation(const Signet__V1__RevokeRequest *request, Signet__V1__Revocation *out)
{
    signet__v1__revocation__init(out);
    out->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_TOKEN;
    out->issuer = request->keyset[0] != '\0' ? request->keyset : fake_text("https://issuer");
    switch ((int)request->what_case) {
    case SIGNET__V1__REVOKE_REQUEST__WHAT_TOKEN:
        out->name = request->token;
        break;
    case SIGNET__V1__REVOKE_REQUEST__WHAT_JTI:
        out->name = request->jti;
        break;
    case SIGNET__V1__REVOKE_REQUEST__WHAT_SUBJECT:
        out->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_SUBJECT;
        out->name = request->subject;
        break;
    case SIGNET__V1__REVOKE_REQUEST__WHAT_KID:
        out->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID;
        out->issuer = fake_text("");
        out->keyset = request->keyset;
        out->name = request->kid;
        break;
    default:
        out->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET;
        out->issuer = fake_text("");
        out->keyset = request->keyset;
        break;
    }
    out->revoked_at = FAKE_REVOKED_AT;
    out->until = request->expires_at;
    out->uid = 4711;
    out->reason = request->reason;
}

static struct fake_bytes fake_answer_revoke(const struct fake_request *request)
{
    Signet__V1__RevokeRequest *revoke = signet__v1__revoke_request__unpack(
        NULL, request->envelope->payload.len, request->envelope->payload.data);
    if (revoke == NULL) {
        _exit(1);
    }
    Signet__V1__Revocation revocation;
    fake_revocation(revoke, &revocation);
    Signet__V1__RevokeResponse response;
    signet__v1__revoke_response__init(&response);
    response.revocation = &revocation;
    struct fake_bytes frame = fake_payload(request->id, &response.base);
    signet__v1__revoke_request__free_unpacked(revoke, NULL);
    return frame;
}

struct fake_bytes fake_honest_answer(const struct fake_request *request)
{
    const char *method = request->envelope->method;
    if (strcmp(method, SG_METHOD_VERIFY) == 0) {
        return fake_answer_verify(request);
    }
    if (strcmp(method, SG_METHOD_VERIFY_BATCH) == 0) {
        return fake_answer_verify_batch(request);
    }
    if (strcmp(method, SG_METHOD_SIGN) == 0) {
        return fake_answer_sign(request);
    }
    if (strcmp(method, SG_METHOD_REVOKE) == 0) {
        return fake_answer_revoke(request);
    }
    if (strcmp(method, SG_METHOD_GET_JWKS) == 0) {
        Signet__V1__GetJwksResponse response;
        signet__v1__get_jwks_response__init(&response);
        response.jwks_json = fake_text("{\"keys\":[]}");
        return fake_payload(request->id, &response.base);
    }
    if (strcmp(method, SG_METHOD_HEALTH_CHECK) == 0) {
        Signet__V1__HealthCheckResponse response;
        signet__v1__health_check_response__init(&response);
        response.status = SIGNET__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        return fake_payload(request->id, &response.base);
    }
    return fake_status(request->id, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN", "no such method");
}

void fake_honest(int fd, unsigned index, const void *context)
{
    (void)index;
    (void)context;
    bool served = fake_greet(fd);
    while (served) {
        struct fake_request request;
        if (!fake_read_request(fd, &request)) {
            return;
        }
        struct fake_bytes answer = fake_honest_answer(&request);
        served = fake_write(fd, answer.bytes, answer.len);
        free(answer.bytes);
        fake_request_free(&request);
    }
}
