/* SPDX-License-Identifier: Apache-2.0
 *
 * One call to the daemon: encode, cross, check, decode. The life of a call:
 *
 *   1. its message is packed once, and its deadline set;
 *   2. a connection is taken from the pool, and replaced if it is dead (a restart of the daemon
 *      between two calls is never seen by callers);
 *   3. the envelope, with the time that is left, is packed, framed and sent;
 *   4. the one reply is read, and everything about it is checked before it is believed;
 *   5. the connection goes back to the pool, closed unless all of that was as it must be.
 *
 * Sent anew, within the deadline and with growing jittered waits, is only:
 *
 *   - a request that did not leave this process as a whole (the daemon cannot have acted on it);
 *   - one that the daemon answered with UNAVAILABLE, or with RESOURCE_EXHAUSTED and when to retry: it says so
 *     before it does any work;
 *   - once, one of a method that changes nothing, or nothing more when it is carried out twice, if
 *     the connection ended before a single byte of the reply came: a daemon that is restarted in the
 *     midst of it costs no verification and no revocation.
 *
 * Any other request that left and was not answered is not: nobody knows whether it was carried out,
 * a token that was minted for nobody is a token too many, and one that was used up for nobody is gone.
 */
#include "client/call.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/limits.h"
#include "common/rpc.h"

#define CALL_BUFFER_LEN  4096u       /* most requests and replies fit */
#define CALL_MAX_DECODED (32u << 20) /* memory that decoding one reply may take */

/* ---- Decoding with a cap ---- */

/* A ProtobufCAllocator over malloc and free, so that what it made is released with the default one.
 * Decoding can inflate its input many times over; this bounds it. */
struct call_memory {
    ProtobufCAllocator allocator;
    size_t left;
    bool capped; /* more was asked for than is allowed */
    bool failed; /* the process has none left */
};

static void *call_memory_alloc(void *data, size_t len)
{
    struct call_memory *memory = data;
    if (len > memory->left) {
        memory->capped = true;
        return NULL;
    }
    memory->left -= len;
    void *block = malloc(len);
    memory->failed = memory->failed || block == NULL;
    return block;
}

static void call_memory_free(void *data, void *pointer)
{
    (void)data;
    free(pointer);
}

/* what: the words for bytes that are no such message. */
static signet_status call_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                 size_t len, const char *what, ProtobufCMessage **out,
                                 struct signet_error *error)
{
    struct call_memory memory = {.left = CALL_MAX_DECODED};
    memory.allocator.alloc = call_memory_alloc;
    memory.allocator.free = call_memory_free;
    memory.allocator.allocator_data = &memory;
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &memory.allocator, len, bytes);
    if (message != NULL) {
        *out = message;
        return SIGNET_OK;
    }
    if (memory.failed) {
        return sg_client_no_memory(error);
    }
    return sg_client_bad_answer(
        error, memory.capped ? "what takes more memory to decode than any answer may" : what);
}

/* ---- One call ---- */

struct call {
    struct signet_client *client;
    struct sg_deadline deadline;
    const ProtobufCMessageDescriptor *response_type;
    sg_client_check *check;
    const void *check_context;
    Signet__Rpc__V1__Request envelope; /* with the packed message */
    struct sg_buffer buffer;           /* the request's frame, then the reply's */
    bool repeatable; /* may be sent anew though it left, if nothing at all comes back */
    bool again;      /* the last attempt failed in a way that allows another */
    uint32_t retry_after_ms;
};

/* A token that it uses up is refused the second time, and whoever holds it would be told that it was replayed. */
static bool call_uses_up(const ProtobufCMessage *request)
{
    if (request->descriptor == &signet__v1__verify_request__descriptor) {
        return ((const Signet__V1__VerifyRequest *)request)->consume;
    }
    if (request->descriptor != &signet__v1__verify_batch_request__descriptor) {
        return false;
    }
    const Signet__V1__VerifyBatchRequest *batch = (const Signet__V1__VerifyBatchRequest *)request;
    for (size_t i = 0; i < batch->n_requests; i++) {
        if (batch->requests[i]->consume) {
            return true;
        }
    }
    return false;
}

/* Requests that do no harm if they are carried out twice: they only read, or, revoking tokens, what is
 * revoked stays so. A method that is not named here is taken to change something each time. */
static bool call_is_repeatable(const char *method, const ProtobufCMessage *request)
{
    static const char *const methods[] = {
        SG_METHOD_VERIFY,       SG_METHOD_VERIFY_BATCH,   SG_METHOD_GET_JWKS,
        SG_METHOD_LIST_KEYSETS, SG_METHOD_HEALTH_CHECK,   SG_METHOD_STATUS,
        SG_METHOD_LIST_KEYS,    SG_METHOD_GET_KEYSTORE,   SG_METHOD_GET_SEALING_KEY,
        SG_METHOD_LIST_GRANTS,  SG_METHOD_EXPLAIN_POLICY, SG_METHOD_LIST_REVOCATIONS,
        SG_METHOD_REVOKE,
    };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i]) == 0) {
            return !call_uses_up(request);
        }
    }
    return false;
}

static signet_status call_pack(struct call *call, const char *method,
                               const ProtobufCMessage *request, struct signet_error *error)
{
    signet__rpc__v1__request__init(&call->envelope);
    call->envelope.method = sg_client_wire_text(method);
    call->envelope.payload.len = protobuf_c_message_get_packed_size(request);
    if (call->envelope.payload.len > SG_MAX_REQUEST_FRAME) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "REQUEST_TOO_LARGE",
                              "the request takes %zu bytes; at most %u can be sent at a time",
                              call->envelope.payload.len, SG_MAX_REQUEST_FRAME);
    }
    call->envelope.payload.data = malloc(call->envelope.payload.len + 1);
    if (call->envelope.payload.data == NULL) {
        return sg_client_no_memory(error);
    }
    (void)protobuf_c_message_pack(request, call->envelope.payload.data);
    return SIGNET_OK;
}

/* Writes the request's frame to the buffer. */
static signet_status call_frame(struct call *call, uint32_t request_id, size_t *len,
                                struct signet_error *error)
{
    call->envelope.timeout_ms = sg_deadline_left_ms(&call->deadline);
    if (call->envelope.timeout_ms == 0) {
        return sg_client_late(call->client, &call->deadline, error);
    }
    size_t body_len = signet__rpc__v1__request__get_packed_size(&call->envelope);
    if (body_len + SG_SP_ID_LEN > SG_MAX_REQUEST_FRAME) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "REQUEST_TOO_LARGE",
                              "the request takes %zu bytes; at most %u can be sent at a time",
                              body_len, SG_MAX_REQUEST_FRAME);
    }
    *len = SG_SP_HEADER_LEN + body_len;
    if (!sg_buffer_reserve(&call->buffer, *len < CALL_BUFFER_LEN ? CALL_BUFFER_LEN : *len)) {
        return sg_client_no_memory(error);
    }
    sg_sp_header(request_id, body_len, call->buffer.bytes);
    (void)signet__rpc__v1__request__pack(&call->envelope, call->buffer.bytes + SG_SP_HEADER_LEN);
    return SIGNET_OK;
}

/* Out of the envelope: the decoded message, or the status that the daemon gave instead. */
static signet_status call_open_envelope(struct call *call,
                                        const Signet__Rpc__V1__Response *response,
                                        ProtobufCMessage **out, struct signet_error *error)
{
    ProtobufCMessage *answer = NULL;
    signet_status status;
    switch (response->outcome_case) {
    case SIGNET__RPC__V1__RESPONSE__OUTCOME_STATUS:
        status = sg_client_fail_status(error, response->status);
        call->retry_after_ms = response->status->retry_after_ms;
        call->again = status == SIGNET_UNAVAILABLE ||
                      (status == SIGNET_RESOURCE_EXHAUSTED && call->retry_after_ms > 0);
        return status;
    case SIGNET__RPC__V1__RESPONSE__OUTCOME_PAYLOAD:
        status = call_decode(call->response_type, response->payload.data, response->payload.len,
                             "a payload that cannot be decoded", &answer, error);
        break;
    case SIGNET__RPC__V1__RESPONSE__OUTCOME__NOT_SET:
    case _SIGNET__RPC__V1__RESPONSE__OUTCOME__CASE_IS_INT_SIZE:
    default:
        return sg_client_bad_answer(error, "a response without an outcome");
    }
    if (status != SIGNET_OK) {
        return status;
    }
    status = call->check != NULL ? call->check(answer, call->check_context, error) : SIGNET_OK;
    if (status != SIGNET_OK) {
        protobuf_c_message_free_unpacked(answer, NULL);
        return status;
    }
    *out = answer;
    return SIGNET_OK;
}

static signet_status call_read_reply(struct call *call, struct sg_connection *connection,
                                     uint32_t request_id, ProtobufCMessage **out,
                                     struct signet_error *error)
{
    struct sg_sp_message message;
    bool silent = false;
    signet_status status =
        sg_connection_receive(connection, &call->client->target, &call->deadline, request_id,
                              &call->buffer, &message, &silent, error);
    if (status != SIGNET_OK) {
        sg_connection_close(connection);
        call->again = silent && call->repeatable;
        call->repeatable = call->repeatable && !silent; /* once */
        return status;
    }
    ProtobufCMessage *response = NULL;
    status = call_decode(&signet__rpc__v1__response__descriptor, message.body, message.body_len,
                         "a response that cannot be decoded", &response, error);
    if (response != NULL) { /* decoded */
        status = call_open_envelope(call, (const Signet__Rpc__V1__Response *)response, out, error);
        protobuf_c_message_free_unpacked(response, NULL);
    }
    if (status == SIGNET_PROTOCOL_ERROR) {
        sg_connection_close(connection);
    }
    return status;
}

/* Steps 2 to 4, on a connection that nobody else uses. */
static signet_status call_cross(struct call *call, struct sg_connection *connection,
                                ProtobufCMessage **out, struct signet_error *error)
{
    const struct sg_target *target = &call->client->target;
    signet_status status = SIGNET_OK;
    if (!sg_connection_is_usable(connection)) {
        sg_connection_close(connection);
        status = sg_connection_open(connection, target, &call->deadline, error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    uint32_t request_id = 0x80000000u | (connection->next_id & 0x7fffffffu);
    connection->next_id++;
    size_t len = 0;
    status = call_frame(call, request_id, &len, error);
    if (status != SIGNET_OK) {
        return status; /* nothing was sent: the connection stays good */
    }
    bool whole = false;
    status = sg_connection_send(connection, target, &call->deadline, call->buffer.bytes, len,
                                &whole, error);
    if (status != SIGNET_OK) {
        sg_connection_close(connection);
        call->again = status == SIGNET_UNAVAILABLE && !whole;
        return status;
    }
    return call_read_reply(call, connection, request_id, out, error);
}

static signet_status call_attempt(struct call *call, ProtobufCMessage **out,
                                  struct signet_error *error)
{
    struct sg_pool *pool = &call->client->pool;
    struct sg_connection *pooled = sg_pool_take(pool);
    if (pooled != NULL) {
        signet_status status = call_cross(call, pooled, out, error);
        sg_pool_give(pool, pooled);
        return status;
    }
    /* More calls at one time than slots: a connection for this call alone. */
    struct sg_connection extra;
    sg_connection_init(&extra);
    signet_status status = call_cross(call, &extra, out, error);
    sg_connection_close(&extra);
    return status;
}

static signet_status call_until_done(struct call *call, ProtobufCMessage **out,
                                     struct signet_error *error)
{
    for (unsigned attempt = 0;; attempt++) {
        call->again = false;
        call->retry_after_ms = 0;
        signet_status status = call_attempt(call, out, error);
        if (!call->again || !sg_deadline_pause(&call->deadline, attempt, call->retry_after_ms)) {
            return status;
        }
    }
}

signet_status sg_client_check_timeout(uint32_t timeout_ms, struct signet_error *error)
{
    if (timeout_ms > SG_MAX_TIMEOUT_MS) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "TIMEOUT_RANGE",
                              "timeout_ms is %" PRIu32 "; at most %u is allowed", timeout_ms,
                              SG_MAX_TIMEOUT_MS);
    }
    return SIGNET_OK;
}

struct sg_deadline sg_client_deadline(const struct signet_client *client, uint32_t timeout_ms)
{
    return sg_deadline_in(timeout_ms != 0 ? timeout_ms : client->timeout_ms);
}

signet_status sg_client_late(const struct signet_client *client, const struct sg_deadline *deadline,
                             struct signet_error *error)
{
    return sg_client_fail(error, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT",
                          "the %" PRIu32 " ms of the call passed before it reached signetd at %s",
                          deadline->timeout_ms, client->target.address);
}

signet_status sg_client_call_until(struct signet_client *client, const char *method,
                                   const ProtobufCMessage *request,
                                   const ProtobufCMessageDescriptor *response_type,
                                   const struct sg_deadline *deadline, sg_client_check *check,
                                   const void *context, ProtobufCMessage **out,
                                   struct signet_error *error)
{
    struct call call = {
        .client = client,
        .deadline = *deadline,
        .response_type = response_type,
        .check = check,
        .check_context = context,
        .repeatable = call_is_repeatable(method, request),
    };
    signet_status status = call_pack(&call, method, request, error);
    if (status == SIGNET_OK) {
        status = call_until_done(&call, out, error);
    }
    free(call.envelope.payload.data);
    free(call.buffer.bytes);
    return status;
}

signet_status sg_client_call_checked(struct signet_client *client, const char *method,
                                     const ProtobufCMessage *request,
                                     const ProtobufCMessageDescriptor *response_type,
                                     uint32_t timeout_ms, sg_client_check *check,
                                     const void *context, ProtobufCMessage **out,
                                     struct signet_error *error)
{
    if (client == NULL || out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client and the place for the result must be given");
    }
    signet_status status = sg_client_check_timeout(timeout_ms, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct sg_deadline deadline = sg_client_deadline(client, timeout_ms);
    return sg_client_call_until(client, method, request, response_type, &deadline, check, context,
                                out, error);
}

signet_status sg_client_call(struct signet_client *client, const char *method,
                             const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *response_type, uint32_t timeout_ms,
                             ProtobufCMessage **out, struct signet_error *error)
{
    return sg_client_call_checked(client, method, request, response_type, timeout_ms, NULL, NULL,
                                  out, error);
}
