/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls with libsignet. Nothing here may fail a test: it runs in children.
 */
#include "tests/integration/grants_calls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/key.pb-c.h"

#define CALLS_TIMEOUT_MS 30000u

static const char *const calls_audiences[] = {GRANTS_AUDIENCE};

/* ---- Outcomes ---- */

static void calls_tell(struct grants_outcome *out, signet_status status,
                       const struct signet_error *error)
{
    *out = (struct grants_outcome){.status = status};
    if (status != SIGNET_OK) {
        out->reason = error->reason;
        out->retry_after_ms = error->retry_after_ms;
        memcpy(out->code, error->code, sizeof(out->code));
        memcpy(out->message, error->message, sizeof(out->message));
    }
}

void grants_word(const struct grants_outcome *outcome, char *out, size_t out_cap)
{
    if (outcome->status == SIGNET_OK) {
        (void)snprintf(out, out_cap, "OK");
        return;
    }
    (void)snprintf(out, out_cap, "%s %s", signet_status_name(outcome->status),
                   outcome->status == SIGNET_REJECTED ? signet_reason_name(outcome->reason)
                                                      : outcome->code);
}

struct signet_client *grants_connect(const struct grants_fixture *fixture, const char *address)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = address;
    options.timeout_ms = CALLS_TIMEOUT_MS;
    options.server_uid = (int64_t)fixture->daemon.uid;
    return signet_client_new(&options, &client, NULL) == SIGNET_OK ? client : NULL;
}

/* ---- Signing ---- */

/* For the audit's test: what was minted. */
static void calls_remember(const struct grants_fixture *fixture, const struct signet_signed *token)
{
    unsigned slot = atomic_fetch_add(&fixture->shared->num_minted, 1);
    const char *signature = strrchr(signet_signed_token(token), '.');
    if (slot < GRANTS_MAX_MINTED && signature != NULL) {
        struct grants_minted *minted = &fixture->shared->minted[slot];
        (void)snprintf(minted->jti, sizeof(minted->jti), "%s", signet_signed_jti(token));
        (void)snprintf(minted->signature, sizeof(minted->signature), "%.*s",
                       (int)sizeof(minted->signature) - 1, signature + 1);
    }
}

static struct signet_sign_options calls_sign_options(const char *keyset)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.keyset = keyset;
    options.subject = GRANTS_SUBJECT;
    options.audiences = calls_audiences;
    options.num_audiences = 1;
    return options;
}

static void calls_apply(const struct grants_request *request, struct signet_sign_options *options)
{
    options->subject = request->subject != NULL ? request->subject : options->subject;
    options->claims_json = request->claims_json;
    options->ttl_s = request->ttl_s;
    if (request->audience != NULL) {
        options->audiences = &request->audience;
    }
}

void grants_sign(const struct grants_fixture *fixture, struct signet_client *client,
                 const char *keyset, const struct grants_request *request, char *token,
                 struct grants_outcome *out)
{
    struct signet_sign_options options = calls_sign_options(keyset);
    struct signet_signed *minted = NULL;
    struct signet_error error;
    if (request != NULL) {
        calls_apply(request, &options);
    }
    signet_status status = signet_sign(client, &options, &minted, &error);
    calls_tell(out, status, &error);
    if (status == SIGNET_OK) {
        calls_remember(fixture, minted);
        if (token != NULL) {
            (void)snprintf(token, GRANTS_MAX_TOKEN, "%s", signet_signed_token(minted));
        }
    }
    signet_signed_free(minted);
}

void grants_sign_many(const struct grants_fixture *fixture, struct signet_client *client,
                      const char *const *keysets, size_t num, struct grants_outcome *out)
{
    struct signet_sign_options options[GRANTS_MAX_BATCH] = {0};
    struct signet_sign_batch *batch = NULL;
    struct signet_error error;
    for (size_t i = 0; i < num; i++) {
        options[i] = calls_sign_options(keysets[i]);
    }
    signet_status status = signet_sign_many(client, options, num, 0, &batch, &error);
    for (size_t i = 0; i < num; i++) {
        const struct signet_signed *minted = NULL;
        signet_status one =
            status == SIGNET_OK ? signet_sign_batch_get(batch, i, &minted, &error) : status;
        calls_tell(&out[i], one, &error);
        if (one == SIGNET_OK) {
            calls_remember(fixture, minted);
        }
    }
    signet_sign_batch_free(batch);
}

/* ---- Verifying ---- */

static struct signet_verify_options calls_verify_options(const char *keyset)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = calls_audiences;
    options.num_audiences = 1;
    options.keyset = keyset;
    return options;
}

void grants_verify(struct signet_client *client, const char *token, const char *keyset,
                   struct grants_outcome *out)
{
    const struct signet_verify_options options = calls_verify_options(keyset);
    struct signet_verified *verified = NULL;
    struct signet_error error;
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, &error);
    calls_tell(out, status, &error);
    signet_verified_free(verified);
}

void grants_verify_many(struct signet_client *client, const char *const *tokens, size_t num,
                        const char *keyset, struct grants_outcome *out)
{
    const struct signet_verify_options options = calls_verify_options(keyset);
    struct signet_token_view views[GRANTS_MAX_BATCH] = {0};
    struct signet_verify_batch *batch = NULL;
    struct signet_error error;
    for (size_t i = 0; i < num; i++) {
        views[i] = (struct signet_token_view){tokens[i], strlen(tokens[i])};
    }
    signet_status status = signet_verify_many(client, views, num, &options, &batch, &error);
    for (size_t i = 0; i < num; i++) {
        const struct signet_verified *verified = NULL;
        signet_status one =
            status == SIGNET_OK ? signet_verify_batch_get(batch, i, &verified, &error) : status;
        calls_tell(&out[i], one, &error);
    }
    signet_verify_batch_free(batch);
}

/* ---- Operators' calls ---- */

void grants_call(struct signet_client *client, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *output, ProtobufCMessage **answer,
                 struct grants_outcome *out)
{
    ProtobufCMessage *got = NULL;
    struct signet_error error;
    signet_status status = sg_client_call(client, method, request, output, 0, &got, &error);
    calls_tell(out, status, &error);
    if (answer != NULL) {
        *answer = got;
    } else if (got != NULL) {
        protobuf_c_message_free_unpacked(got, NULL);
    }
}

static const char *const calls_everybodys[] = {"GetJwks", "ListKeysets"};

static bool calls_is_everybodys(const char *name)
{
    for (size_t i = 0; i < sizeof(calls_everybodys) / sizeof(calls_everybodys[0]); i++) {
        if (strcmp(calls_everybodys[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static size_t calls_list(const ProtobufCServiceDescriptor *service, struct grants_method *out,
                         size_t num, size_t cap)
{
    for (unsigned i = 0; i < service->n_methods && num < cap; i++) {
        const ProtobufCMethodDescriptor *declared = &service->methods[i];
        if (calls_is_everybodys(declared->name)) {
            continue;
        }
        struct grants_method *method = &out[num++];
        (void)snprintf(method->name, sizeof(method->name), "%s/%s", service->name, declared->name);
        method->input = declared->input;
        method->output = declared->output;
        method->has_keyset =
            protobuf_c_message_descriptor_get_field_by_name(declared->input, "keyset") != NULL &&
            strcmp(method->name, SG_METHOD_EXPLAIN_POLICY) != 0; /* whose answer is of a process */
    }
    return num;
}

size_t grants_operators_methods(struct grants_method *out, size_t cap)
{
    size_t num = calls_list(&signet__v1__admin_service__descriptor, out, 0, cap);
    return calls_list(&signet__v1__key_service__descriptor, out, num, cap);
}

/* The place of a field in a request; NULL if it has none of that name and type. */
static void *calls_field(ProtobufCMessage *request, const char *name, ProtobufCType type)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
    return field != NULL && field->type == type ? (char *)request + field->offset : NULL;
}

static void calls_set_text(ProtobufCMessage *request, const char *name, const char *text)
{
    const char **field = calls_field(request, name, PROTOBUF_C_TYPE_STRING);
    if (field != NULL) {
        *field = text;
    }
}

void grants_operate(struct signet_client *client, const struct grants_method *method,
                    const char *keyset, struct grants_outcome *out)
{
    union {
        ProtobufCMessage base;
        max_align_t align;
        char room[512];
    } request;
    if (method->input->sizeof_message > sizeof(request)) {
        *out = (struct grants_outcome){.status = SIGNET_UNIMPLEMENTED, .code = "TEST_TOO_SMALL"};
        return;
    }
    protobuf_c_message_init(method->input, &request);
    calls_set_text(&request.base, "keyset", keyset);
    calls_set_text(&request.base, "kid", "no-such-key");
    calls_set_text(&request.base, "grant", "no-such-grant");
    calls_set_text(&request.base, "right", "sign");
    uint32_t *pid = calls_field(&request.base, "pid", PROTOBUF_C_TYPE_UINT32);
    if (pid != NULL) {
        *pid = (uint32_t)getpid();
    }
    protobuf_c_boolean *dry_run = calls_field(&request.base, "dry_run", PROTOBUF_C_TYPE_BOOL);
    if (dry_run != NULL) {
        *dry_run = 1;
    }
    grants_call(client, method->name, &request.base, method->output, NULL, out);
}
