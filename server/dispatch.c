/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of one request: envelope, method, message, deadline, handler, answer. Owns the table of
 * methods. Does no I/O, reads no clock, and keeps nothing between calls; whatever the bytes are, there
 * is one answer, and it is an error unless every step succeeded.
 */
#include "server/dispatch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/access.h"
#include "server/admin_service.h"
#include "server/audit_note.h"
#include "server/health_service.h"
#include "server/key_admin_service.h"
#include "server/key_service.h"
#include "server/policy_service.h"
#include "server/price.h"
#include "server/quota.h"
#include "server/revoke_service.h"
#include "server/services.h"
#include "server/stats_service.h"
#include "server/token_service.h"
#include "server/wire_text.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

/* Decoding may take this much, and this many times the request's length, up to
 * SG_MAX_DECODED_REQUEST: several times what an honest request takes, and so little that a bomb
 * costs its sender more than the daemon. */
#define DISPATCH_MEMORY_BASE   ((size_t)64 * 1024)
#define DISPATCH_MEMORY_FACTOR ((size_t)16)
/* Taken together with the call: a common request needs no other allocation. */
#define DISPATCH_PIECE_BASE   ((size_t)2048)
#define DISPATCH_PIECE_FACTOR ((size_t)3)

#define DISPATCH_TRACEPARENT   "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh"
#define DISPATCH_BUSY_RETRY_MS 100u
/* What costs more is not for a thread that others wait for to be read by. */
#define DISPATCH_INLINE_MAX_US   200u
#define DISPATCH_START_RETRY_MS  500u
#define DISPATCH_US_PER_MS       1000u
#define DISPATCH_HEX_DIGITS      "0123456789abcdef"
#define DISPATCH_TRACEPARENT_HEX 'h'

/* ---- The table of methods ---- */

struct dispatch_method {
    const char *name; /* package.Service/Method */
    const ProtobufCServiceDescriptor *service;
    const ProtobufCMessageDescriptor *input, *output;
    sg_slowness *is_slow; /* NULL: never */
    unsigned right; /* enum sg_right; 0: everybody's. SG_RIGHT_ADMIN: on the admin socket only */
    bool is_act;    /* it changes something, and that it did is recorded; of those for operators */
    sg_handler *handle;
};

/* They wait for a disk and for each other. */
static bool dispatch_always(const struct sg_keyring *keyring, const ProtobufCMessage *request)
{
    (void)keyring;
    (void)request;
    return true;
}

#define DISPATCH_TOKEN  &signet__v1__token_service__descriptor
#define DISPATCH_KEY    &signet__v1__key_service__descriptor
#define DISPATCH_HEALTH &signet__v1__health_service__descriptor
#define DISPATCH_ADMIN  &signet__v1__admin_service__descriptor

static const struct dispatch_method dispatch_methods[] = {
    {SG_METHOD_SIGN, DISPATCH_TOKEN, &signet__v1__sign_request__descriptor,
     &signet__v1__sign_response__descriptor, sg_token_sign_is_slow, SG_RIGHT_SIGN, false,
     sg_token_sign},
    {SG_METHOD_VERIFY, DISPATCH_TOKEN, &signet__v1__verify_request__descriptor,
     &signet__v1__verify_response__descriptor, sg_token_verify_is_slow, SG_RIGHT_VERIFY, false,
     sg_token_verify},
    {SG_METHOD_SIGN_BATCH, DISPATCH_TOKEN, &signet__v1__sign_batch_request__descriptor,
     &signet__v1__sign_batch_response__descriptor, sg_token_sign_batch_is_slow, SG_RIGHT_SIGN,
     false, sg_token_sign_batch},
    {SG_METHOD_VERIFY_BATCH, DISPATCH_TOKEN, &signet__v1__verify_batch_request__descriptor,
     &signet__v1__verify_batch_response__descriptor, sg_token_verify_batch_is_slow, SG_RIGHT_VERIFY,
     false, sg_token_verify_batch},
    {SG_METHOD_REVOKE, DISPATCH_TOKEN, &signet__v1__revoke_request__descriptor,
     &signet__v1__revoke_response__descriptor, dispatch_always, SG_RIGHT_REVOKE, false, sg_revoke},
    {SG_METHOD_GET_JWKS, DISPATCH_KEY, &signet__v1__get_jwks_request__descriptor,
     &signet__v1__get_jwks_response__descriptor, sg_key_telling_is_slow, 0, false, sg_key_get_jwks},
    {SG_METHOD_LIST_KEYSETS, DISPATCH_KEY, &signet__v1__list_keysets_request__descriptor,
     &signet__v1__list_keysets_response__descriptor, sg_key_telling_is_slow, 0, false,
     sg_key_list_keysets},
    {SG_METHOD_HEALTH_CHECK, DISPATCH_HEALTH, &signet__v1__health_check_request__descriptor,
     &signet__v1__health_check_response__descriptor, NULL, 0, false, sg_health_check},
    {SG_METHOD_STATUS, DISPATCH_ADMIN, &signet__v1__status_request__descriptor,
     &signet__v1__status_response__descriptor, NULL, SG_RIGHT_ADMIN, false, sg_admin_status},
    {SG_METHOD_RELOAD, DISPATCH_ADMIN, &signet__v1__reload_request__descriptor,
     &signet__v1__reload_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_admin_reload},
    {SG_METHOD_STATS, DISPATCH_ADMIN, &signet__v1__stats_request__descriptor,
     &signet__v1__stats_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false, sg_stats_get},
    {SG_METHOD_EXPLAIN_POLICY, DISPATCH_ADMIN, &signet__v1__explain_policy_request__descriptor,
     &signet__v1__explain_policy_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_policy_explain_call},
    {SG_METHOD_LIST_GRANTS, DISPATCH_ADMIN, &signet__v1__list_grants_request__descriptor,
     &signet__v1__list_grants_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_policy_list_grants},
    {SG_METHOD_THAW_GRANT, DISPATCH_ADMIN, &signet__v1__thaw_grant_request__descriptor,
     &signet__v1__thaw_grant_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_policy_thaw_grant},
    {SG_METHOD_LIST_REVOCATIONS, DISPATCH_ADMIN, &signet__v1__list_revocations_request__descriptor,
     &signet__v1__list_revocations_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_revoke_list},
    {SG_METHOD_LIST_KEYS, DISPATCH_KEY, &signet__v1__list_keys_request__descriptor,
     &signet__v1__list_keys_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_key_list_keys},
    {SG_METHOD_ROTATE, DISPATCH_KEY, &signet__v1__rotate_request__descriptor,
     &signet__v1__rotate_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_key_rotate},
    {SG_METHOD_REVOKE_KEY, DISPATCH_KEY, &signet__v1__revoke_key_request__descriptor,
     &signet__v1__revoke_key_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_key_revoke},
    {SG_METHOD_GET_SEALING_KEY, DISPATCH_KEY, &signet__v1__get_sealing_key_request__descriptor,
     &signet__v1__get_sealing_key_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_key_get_sealing_key},
    {SG_METHOD_IMPORT_KEY, DISPATCH_KEY, &signet__v1__import_key_request__descriptor,
     &signet__v1__import_key_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_key_import},
    {SG_METHOD_REKEY_KEYSTORE, DISPATCH_KEY, &signet__v1__rekey_keystore_request__descriptor,
     &signet__v1__rekey_keystore_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_key_rekey},
    {SG_METHOD_FINISH_REKEY, DISPATCH_KEY, &signet__v1__finish_rekey_request__descriptor,
     &signet__v1__finish_rekey_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, true,
     sg_key_finish_rekey},
    {SG_METHOD_GET_KEYSTORE, DISPATCH_KEY, &signet__v1__get_keystore_request__descriptor,
     &signet__v1__get_keystore_response__descriptor, dispatch_always, SG_RIGHT_ADMIN, false,
     sg_key_get_keystore},
};

#define DISPATCH_NUM_METHODS (sizeof(dispatch_methods) / sizeof(dispatch_methods[0]))

const char *sg_dispatch_method_name(size_t number)
{
    return number >= 1 && number <= DISPATCH_NUM_METHODS ? dispatch_methods[number - 1].name : NULL;
}

static const struct dispatch_method *dispatch_find(const char *name)
{
    for (size_t i = 0; i < DISPATCH_NUM_METHODS; i++) {
        if (strcmp(dispatch_methods[i].name, name) == 0) {
            return &dispatch_methods[i];
        }
    }
    return NULL;
}

/* Whether a row of the table is what the contract says of the method of that name. */
static bool dispatch_agrees(const struct dispatch_method *method)
{
    const char *slash = strchr(method->name, '/');
    if (slash == NULL || method->handle == NULL) {
        return false;
    }
    const ProtobufCMethodDescriptor *declared =
        protobuf_c_service_descriptor_get_method_by_name(method->service, slash + 1);
    return declared != NULL && declared->input == method->input &&
           declared->output == method->output;
}

/* ---- A call ---- */

struct sg_call {
    struct sg_exchange exchange;
    const struct dispatch_method *method; /* NULL: exchange.error says why */
    bool has_crossed;                     /* the keyholder's part is done */
    uint64_t cost_us;                     /* 0: not priced */
    struct sg_arena arena;
    _Alignas(max_align_t) uint8_t piece[]; /* the arena's first */
};

static void call_free(struct sg_call *call)
{
    if (call->exchange.wait.job != NULL) {
        call->exchange.wait.free_job(call->exchange.wait.job);
    }
    sg_keyring_unref(call->exchange.keyring);
    sg_reply_fini(&call->exchange.reply);
    sg_arena_fini(&call->arena);
    free(call);
}

static size_t call_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct sg_call *call_new(size_t request_len)
{
    size_t len = call_min(request_len, SG_MAX_REQUEST_FRAME);
    size_t cap =
        call_min(DISPATCH_MEMORY_BASE + DISPATCH_MEMORY_FACTOR * len, SG_MAX_DECODED_REQUEST);
    size_t piece = DISPATCH_PIECE_BASE + DISPATCH_PIECE_FACTOR * len;
    struct sg_call *call = malloc(sizeof(*call) + piece);
    if (call == NULL) {
        return NULL;
    }
    memset(call, 0, sizeof(*call));
    sg_arena_init_with(&call->arena, cap, call->piece, piece);
    call->exchange.arena = &call->arena;
    return call;
}

/* ---- Counting ---- */

static uint64_t call_read_us(const struct sg_call *call)
{
    const struct sg_service *service = call->exchange.service;
    return service->read_mono_us != NULL ? service->read_mono_us() : 0;
}

/* A call that was never worked on waited all its life. */
static void call_count(struct sg_call *call, signet_status status)
{
    struct sg_metrics_sample *sample = &call->exchange.sample;
    sample->status = status;
    /* That of a batch of one can have failed in a call that went well, but not the other way round. */
    if (status != SIGNET_OK) {
        sample->token.status = status;
    }
    if (sample->token.act != SG_METRICS_NO_TOKEN) {
        sample->crypto_us = 0; /* the token's own says it */
    }
    sample->uid = call->exchange.peer.uid;
    sample->total_us = call_read_us(call) - call->exchange.begun_us;
    if (call->exchange.keyring == NULL) {
        sample->queue_us = sample->total_us;
    }
    sg_metrics_record(call->exchange.service->metrics, sample);
}

/* ---- Decoding ---- */

static signet_status call_undecodable(struct sg_call *call, const char *reason, const char *what)
{
    if (call->arena.exhausted) {
        return sg_rpc_fail(&call->exchange.error, SIGNET_INVALID_ARGUMENT, reason,
                           "decoding the %s takes more than %zu bytes of memory", what,
                           call->arena.cap);
    }
    return sg_rpc_fail(&call->exchange.error, SIGNET_INVALID_ARGUMENT, reason,
                       "the %s is not a message of its type", what);
}

static bool call_is_traceparent(const char *text)
{
    const char *shape = DISPATCH_TRACEPARENT;
    if (strlen(text) != strlen(shape)) {
        return false;
    }
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool fits = shape[i] == DISPATCH_TRACEPARENT_HEX
                        ? strchr(DISPATCH_HEX_DIGITS, text[i]) != NULL
                        : text[i] == shape[i];
        if (!fits) {
            return false;
        }
    }
    return true;
}

static bool call_check_envelope(struct sg_rpc_status *error,
                                const Signet__Rpc__V1__Request *envelope)
{
    size_t method_len = strlen(envelope->method);
    if (method_len == 0 || method_len > SG_MAX_METHOD_LEN) {
        (void)sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE",
                          "method: expected 1 to %u bytes of the form package.Service/Method",
                          SG_MAX_METHOD_LEN);
        return false;
    }
    if (envelope->traceparent[0] != '\0' && !call_is_traceparent(envelope->traceparent)) {
        (void)sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE",
                          "traceparent: expected 00-<32 hex>-<16 hex>-<2 hex> in lower case, or "
                          "nothing");
        return false;
    }
    return true;
}

/* The envelope in the call's memory; NULL, with the error filled, if it breaks a rule. */
static const Signet__Rpc__V1__Request *call_open_envelope(struct sg_call *call,
                                                          const uint8_t *request, size_t len)
{
    struct sg_rpc_status *error = &call->exchange.error;
    if (len > SG_MAX_REQUEST_FRAME) {
        (void)sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE",
                          "the request is larger than %u bytes", SG_MAX_REQUEST_FRAME);
        return NULL;
    }
    if (!sg_wire_text_all_good(&signet__rpc__v1__request__descriptor, request, len)) {
        (void)sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE",
                          "the request is not a signet.rpc.v1.Request, or a text in it is not "
                          "UTF-8 without U+0000");
        return NULL;
    }
    const Signet__Rpc__V1__Request *envelope =
        signet__rpc__v1__request__unpack(&call->arena.allocator, len, request);
    if (envelope == NULL) {
        (void)call_undecodable(call, "BAD_ENVELOPE", "request");
        return NULL;
    }
    return call_check_envelope(error, envelope) ? envelope : NULL;
}

/* ---- Rights ---- */

/* The text of a request's field of that name; NULL if it has none, or an empty one. */
static const char *call_text(const struct sg_exchange *exchange, const char *name)
{
    const ProtobufCMessage *request = exchange->request;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
    if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING ||
        field->label == PROTOBUF_C_LABEL_REPEATED) {
        return NULL;
    }
    const char *text = *(const char *const *)(const void *)((const char *)request + field->offset);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool call_is_operators(const struct sg_exchange *exchange)
{
    return exchange->peer.uid == 0 || exchange->peer.uid == geteuid();
}

/* Before anything of a request but its method is read. The socket's mode keeps others out already; a call that
 * changes keys is worth asking twice. */
static signet_status call_check_socket(struct sg_exchange *exchange,
                                       const struct dispatch_method *method)
{
    if (method->right != SG_RIGHT_ADMIN) {
        return SIGNET_OK;
    }
    if (!exchange->service->is_admin) {
        return sg_rpc_fail(&exchange->error, SIGNET_PERMISSION_DENIED, "ADMIN_SOCKET_ONLY",
                           "this call is for operators, on admin.sock");
    }
    if (call_is_operators(exchange)) {
        return SIGNET_OK;
    }
    struct sg_keyring *keyring = sg_keyring_holder_get(exchange->service->keyrings);
    bool may = keyring != NULL && sg_access_is_for(keyring, &exchange->peer, SG_RIGHT_ADMIN);
    sg_keyring_unref(keyring);
    return may ? SIGNET_OK
               : sg_rpc_fail(&exchange->error, SIGNET_PERMISSION_DENIED, "NOT_AN_OPERATOR",
                             "this call is for root, for the daemon's own user, and for who has a "
                             "grant to admin");
}

/* Others than root and the daemon's user: with the keyset that is named, or with all of them. */
static signet_status call_check_operator(struct sg_exchange *exchange,
                                         const struct dispatch_method *method)
{
    if (method->right != SG_RIGHT_ADMIN || call_is_operators(exchange)) {
        return SIGNET_OK;
    }
    /* A question about a process names a keyset, and its answer is not only about that. */
    bool is_of_keyset = method->handle != sg_policy_explain_call;
    const char *keyset = is_of_keyset ? call_text(exchange, "keyset") : NULL;
    return sg_access_check(exchange, SG_RIGHT_ADMIN,
                           keyset != NULL ? keyset : SG_ACCESS_ALL_KEYSETS, NULL, &exchange->error);
}

/* ---- Acts ---- */

/* Runs a handler whose doing is recorded. That no room is left for records keeps nobody from revoking a key. */
static signet_status call_act(struct sg_call *call)
{
    struct sg_exchange *exchange = &call->exchange;
    struct sg_audit_place place = {0};
    bool is_urgent = call->method->handle == sg_key_revoke;
    signet_status status = is_urgent ? sg_audit_admit_at_once(exchange, &place, &exchange->error)
                                     : sg_audit_admit(exchange, &place, &exchange->error);
    if (status != SIGNET_OK && !is_urgent) {
        return status;
    }
    status = call->method->handle(exchange);
    sg_audit_write_act(exchange, &place, call_text(exchange, "keyset"), call_text(exchange, "kid"),
                       call_text(exchange, "grant"), status);
    return status;
}

/* ---- Opening ---- */

static signet_status call_open_message(struct sg_call *call,
                                       const Signet__Rpc__V1__Request *envelope,
                                       const struct dispatch_method *method)
{
    struct sg_exchange *exchange = &call->exchange;
    if (method == NULL) {
        return sg_rpc_fail(&exchange->error, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN",
                           "this daemon, version %s, has no such method",
                           exchange->service->version);
    }
    if (!dispatch_agrees(method)) {
        return sg_rpc_fail(&exchange->error, SIGNET_INTERNAL, "METHOD_MISMATCH",
                           "the method is not the one of the contract");
    }
    signet_status status = call_check_socket(exchange, method);
    if (status != SIGNET_OK) {
        sg_audit_note_refusal(exchange, NULL, NULL, &exchange->error);
        return status;
    }
    const ProtobufCBinaryData *payload = &envelope->payload; /* the call's own copy */
    if (sg_wire_text_spoil(method->input, payload->data, payload->len)) {
        exchange->request = protobuf_c_message_unpack(method->input, &call->arena.allocator,
                                                      payload->len, payload->data);
    }
    exchange->reply_type = method->output;
    return exchange->request != NULL ? SIGNET_OK : call_undecodable(call, "BAD_REQUEST", "payload");
}

static uint64_t call_timeout_ms(const Signet__Rpc__V1__Request *envelope)
{
    if (envelope->timeout_ms == 0) {
        return SG_DEFAULT_TIMEOUT_MS;
    }
    return call_min(envelope->timeout_ms, SG_MAX_TIMEOUT_MS);
}

/* Charges the uid what the request will cost; without that, it is only refused. What is no request costs what it
 * took to find out. */
static void call_charge(struct sg_call *call, size_t len, struct sg_now now)
{
    struct sg_exchange *exchange = &call->exchange;
    const struct sg_costs *costs = exchange->service->costs;
    struct sg_quota_account *account = exchange->peer.account;
    const uint64_t now_us = now.mono_ms * DISPATCH_US_PER_MS;
    if (costs == NULL || account == NULL) {
        return;
    }
    struct sg_keyring *keyring = sg_keyring_holder_get(exchange->service->keyrings);
    if (call->method == NULL || keyring == NULL) {
        sg_quota_charge_more(account, sg_costs_request(len), now_us);
    } else {
        uint32_t retry_after_ms = 0;
        call->cost_us = sg_price(costs, keyring, now.wall_s, exchange->request, len);
        if (!sg_quota_charge(account, call->cost_us, now_us, &retry_after_ms)) {
            call->method = NULL;
            (void)sg_rpc_fail(&exchange->error, SIGNET_RESOURCE_EXHAUSTED, "CPU_LIMIT",
                              "uid %lu has used up its processor time; retry in %u ms, or have "
                              "limits.cpu_per_uid or limits.cpu_burst raised",
                              (unsigned long)exchange->peer.uid, retry_after_ms);
            exchange->error.retry_after_ms = retry_after_ms;
        }
    }
    sg_keyring_unref(keyring);
}

struct sg_call *sg_call_begin(const struct sg_service *service, const struct sg_peer *peer,
                              const uint8_t *request, size_t len, struct sg_now now,
                              size_t headroom)
{
    struct sg_call *call = call_new(len);
    if (call == NULL) {
        return NULL;
    }
    call->exchange.service = service;
    call->exchange.peer = *peer;
    call->exchange.reply.headroom = headroom;
    call->exchange.method = "";
    call->exchange.begun_us = call_read_us(call);
    const Signet__Rpc__V1__Request *envelope = call_open_envelope(call, request, len);
    const struct dispatch_method *method =
        envelope != NULL ? dispatch_find(envelope->method) : NULL;
    if (method != NULL) {
        call->exchange.sample.method = (size_t)(method - dispatch_methods) + 1;
        call->exchange.method = method->name;
    }
    if (envelope != NULL && call_open_message(call, envelope, method) == SIGNET_OK) {
        call->exchange.deadline_ms = now.mono_ms + call_timeout_ms(envelope);
        if (envelope->traceparent[0] != '\0') {
            call->exchange.traceparent = envelope->traceparent; /* in the call's memory */
        }
        call->method = method;
    }
    call_charge(call, len, now);
    return call;
}

/* ---- Working and answering ---- */

uint64_t sg_call_cost_us(const struct sg_call *call)
{
    return call->cost_us;
}

uint64_t sg_call_deadline_ms(const struct sg_call *call)
{
    return call->exchange.deadline_ms;
}

bool sg_call_is_slow(const struct sg_call *call)
{
    const struct dispatch_method *method = call->method;
    const struct sg_exchange *exchange = &call->exchange;
    if (method == NULL || call->cost_us > DISPATCH_INLINE_MAX_US) {
        return method != NULL;
    }
    if (method->is_slow == NULL && method->right == 0) {
        return false;
    }
    if (method->right == SG_RIGHT_SIGN && sg_audit_would_wait(exchange->service->audit)) {
        return true;
    }
    struct sg_keyring *keyring = sg_keyring_holder_get(exchange->service->keyrings);
    bool is_slow = keyring != NULL &&
                   ((method->is_slow != NULL && method->is_slow(keyring, exchange->request)) ||
                    (method->right != 0 &&
                     sg_access_is_slow(keyring, &exchange->peer, (enum sg_right)method->right)));
    sg_keyring_unref(keyring);
    return is_slow;
}

size_t sg_call_memory(const struct sg_call *call)
{
    return sizeof(*call) + call->arena.used;
}

static signet_status call_start(struct sg_call *call, struct sg_now now)
{
    struct sg_exchange *exchange = &call->exchange;
    if (call->method == NULL) {
        return exchange->error.code;
    }
    exchange->now = now;
    if (now.mono_ms >= exchange->deadline_ms) {
        return sg_rpc_fail(&exchange->error, SIGNET_DEADLINE_EXCEEDED, "DEADLINE_PASSED",
                           "the deadline passed before the work was begun");
    }
    exchange->keyring = sg_keyring_holder_get(exchange->service->keyrings);
    if (exchange->keyring == NULL) {
        signet_status status = sg_rpc_fail(&exchange->error, SIGNET_UNAVAILABLE, "STARTING",
                                           "the daemon is starting; retry");
        exchange->error.retry_after_ms = DISPATCH_START_RETRY_MS;
        return status;
    }
    exchange->sample.queue_us = call_read_us(call) - call->exchange.begun_us;
    signet_status status = call_check_operator(exchange, call->method);
    if (status != SIGNET_OK) {
        return status;
    }
    return call->method->is_act ? call_act(call) : call->method->handle(exchange);
}

static bool call_is_waiting(const struct sg_call *call)
{
    return call->exchange.wait.resume != NULL;
}

/* The crossing has been answered, or has failed. */
static signet_status call_resume(struct sg_call *call)
{
    struct sg_exchange *exchange = &call->exchange;
    signet_status crossed = exchange->wait.crossing.status;
    if (crossed == SIGNET_DEADLINE_EXCEEDED) {
        return sg_rpc_fail(&exchange->error, crossed, "DEADLINE_PASSED",
                           "the deadline passed before the keyholder was asked");
    }
    if (crossed != SIGNET_OK) {
        return sg_exchange_no_keyholder(exchange, crossed);
    }
    return exchange->wait.resume(exchange);
}

/* Records a request that came to no handler: for a limit, or since it was none. Denials are recorded where they are
 * made, and who only has to come back is not. */
static void call_note_limit(const struct sg_call *call, signet_status status)
{
    const struct sg_exchange *exchange = &call->exchange;
    if (exchange->keyring == NULL &&
        (status == SIGNET_RESOURCE_EXHAUSTED || status == SIGNET_INVALID_ARGUMENT)) {
        sg_audit_note_refusal(exchange, NULL, NULL, &exchange->error);
    }
}

/* Hands the answer over and releases the call. With other than SIGNET_OK the answer is
 * exchange.error. */
static bool call_answer(struct sg_call *call, signet_status status, struct sg_response *out)
{
    struct sg_reply *reply = &call->exchange.reply;
    if (status == SIGNET_OK && sg_reply_finish(reply) != SIGNET_OK) {
        status = sg_exchange_no_memory(&call->exchange);
    }
    call_count(call, status);
    call_note_limit(call, status);
    if (call->exchange.cost_us > 0 && call->exchange.peer.account != NULL) {
        sg_quota_charge_more(call->exchange.peer.account, call->exchange.cost_us,
                             call->exchange.now.mono_ms * DISPATCH_US_PER_MS);
    }
    bool is_error = status != SIGNET_OK;
    bool answered = !is_error || sg_reply_fail(reply, &call->exchange.error) == SIGNET_OK;
    if (answered) {
        *out = (struct sg_response){.bytes = reply->bytes, .len = reply->len, .is_error = is_error};
        reply->bytes = NULL;
    }
    call_free(call);
    return answered;
}

enum sg_call_progress sg_call_work(struct sg_call *call, struct sg_now now, struct sg_response *out)
{
    call->exchange.wait.is_allowed = true;
    signet_status status = call_start(call, now);
    if (status == SIGNET_OK && call_is_waiting(call)) {
        return SG_CALL_CROSSES;
    }
    return call_answer(call, status, out) ? SG_CALL_DONE : SG_CALL_FAILED;
}

void sg_call_cross(struct sg_call *const *calls, size_t num, struct sg_now now,
                   const struct sg_keyholder_delay *delay)
{
    struct sg_keyholder_crossing *crossings[SG_CALL_MAX_CROSSING];
    size_t num_crossings = 0;
    for (size_t i = 0; i < num && i < SG_CALL_MAX_CROSSING; i++) {
        struct sg_exchange *exchange = &calls[i]->exchange;
        calls[i]->has_crossed = true;
        exchange->now = now; /* what is verified is judged by the time of its answer */
        exchange->wait.crossing.status = SIGNET_DEADLINE_EXCEEDED;
        if (now.mono_ms < exchange->deadline_ms) {
            crossings[num_crossings++] = &exchange->wait.crossing;
        }
    }
    if (num_crossings == 0) {
        return;
    }
    uint64_t begun_us = call_read_us(calls[0]);
    sg_keyholder_cross(calls[0]->exchange.service->keyholder, crossings, num_crossings, delay);
    uint64_t taken_us = call_read_us(calls[0]) - begun_us;
    for (size_t i = 0; i < num && i < SG_CALL_MAX_CROSSING; i++) {
        calls[i]->exchange.sample.crypto_us += taken_us;
    }
}

bool sg_call_finish(struct sg_call *call, struct sg_now now, struct sg_response *out)
{
    if (!call_is_waiting(call)) {
        return call_answer(call, call_start(call, now), out);
    }
    if (!call->has_crossed) {
        sg_call_cross(&call, 1, now, NULL);
    }
    return call_answer(call, call_resume(call), out);
}

bool sg_call_refuse(struct sg_call *call, enum sg_refusal why, uint32_t retry_after_ms,
                    struct sg_response *out)
{
    struct sg_rpc_status *error = &call->exchange.error;
    signet_status status = SIGNET_UNAVAILABLE;
    switch (why) {
    case SG_REFUSE_BUSY:
        status = sg_rpc_fail(error, SIGNET_RESOURCE_EXHAUSTED, "BUSY",
                             "too much work is waiting; retry later");
        error->retry_after_ms = DISPATCH_BUSY_RETRY_MS;
        break;
    case SG_REFUSE_LATE:
        status = sg_rpc_fail(error, SIGNET_RESOURCE_EXHAUSTED, "QUEUE_TOO_LONG",
                             "by what is waiting, this would not be done before its deadline; "
                             "retry later, or give it more time");
        error->retry_after_ms = DISPATCH_BUSY_RETRY_MS;
        break;
    case SG_REFUSE_STOPPING:
        status = sg_rpc_fail(error, SIGNET_UNAVAILABLE, "STOPPING",
                             "the daemon is stopping; retry when it is back");
        error->retry_after_ms = DISPATCH_START_RETRY_MS;
        break;
    }
    if (retry_after_ms != 0) {
        error->retry_after_ms = retry_after_ms;
    }
    return call_answer(call, status, out);
}

bool sg_dispatch(const struct sg_service *service, const struct sg_peer *peer,
                 const uint8_t *request, size_t len, struct sg_now now, struct sg_response *out)
{
    struct sg_call *call = sg_call_begin(service, peer, request, len, now, 0);
    return call != NULL && sg_call_finish(call, now, out);
}
