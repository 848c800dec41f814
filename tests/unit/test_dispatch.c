/* SPDX-License-Identifier: Apache-2.0
 *
 * From bytes to bytes: whatever comes in, one well-formed answer goes out, in time or not at all, and
 * bytes that were not a good token's never come back as one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "server/config.h"
#include "service_fixture.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"

static char text_hs256[] = "demo-hs256";
static char text_rs256[] = "demo-rs256";
static char text_alice[] = "alice";
static char text_orders[] = "orders";
static char *audiences_orders[] = {text_orders};

static Signet__V1__SignRequest sign_request(char *keyset)
{
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    request.keyset = keyset;
    request.subject = text_alice;
    request.audience = audiences_orders;
    request.n_audience = 1;
    return request;
}

static Signet__V1__VerifyRequest verify_request(char *token)
{
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = audiences_orders;
    request.n_audiences = 1;
    return request;
}

/* An envelope with every field as given; free() it. */
static uint8_t *envelope(const char *method, uint32_t timeout_ms, const char *traceparent,
                         size_t *len)
{
    Signet__Rpc__V1__Request request = SIGNET__RPC__V1__REQUEST__INIT;
    char *name = strdup(method);
    char *trace = strdup(traceparent);
    assert_non_null(name);
    assert_non_null(trace);
    request.method = name;
    request.timeout_ms = timeout_ms;
    request.traceparent = trace;
    uint8_t *bytes = malloc(signet__rpc__v1__request__get_packed_size(&request) + 1);
    assert_non_null(bytes);
    *len = signet__rpc__v1__request__pack(&request, bytes);
    free(trace);
    free(name);
    return bytes;
}

static void expect_status(const struct fixture *fixture, const uint8_t *bytes, size_t len,
                          uint32_t code, const char *reason)
{
    struct fixture_answer answer;
    fixture_dispatch(fixture, bytes, len, NULL, &answer);
    assert_int_equal(answer.code, code);
    assert_string_equal(answer.reason, reason);
    fixture_answer_free(&answer);
}

/* ---- Methods ---- */

static const ProtobufCServiceDescriptor *const services[] = {
    &signet__v1__token_service__descriptor,
    &signet__v1__key_service__descriptor,
    &signet__v1__health_service__descriptor,
    &signet__v1__admin_service__descriptor,
};

/* A worker's work, and an operator's. */
static const char *const admin_methods[] = {
    SG_METHOD_LIST_KEYS,  SG_METHOD_ROTATE,         SG_METHOD_REVOKE_KEY,
    SG_METHOD_IMPORT_KEY, SG_METHOD_REKEY_KEYSTORE, SG_METHOD_GET_SEALING_KEY,
    SG_METHOD_RELOAD,     SG_METHOD_FINISH_REKEY,   SG_METHOD_GET_KEYSTORE,
    SG_METHOD_STATUS,     SG_METHOD_EXPLAIN_POLICY, SG_METHOD_LIST_GRANTS,
    SG_METHOD_THAW_GRANT, SG_METHOD_STATS,          SG_METHOD_LIST_REVOCATIONS,
};
#define NUM_ADMIN_METHODS (sizeof(admin_methods) / sizeof(admin_methods[0]))

static bool is_admin_method(const char *name)
{
    for (size_t i = 0; i < NUM_ADMIN_METHODS; i++) {
        if (strcmp(admin_methods[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The fixture as the admin socket has it, with a peer of the uid. */
static struct fixture on_admin_socket(const struct fixture *fixture, uid_t uid)
{
    struct fixture admin = *fixture;
    admin.service.is_admin = true;
    admin.service.keymaster = fixture->keymaster;
    admin.peer.uid = uid;
    return admin;
}

/* Every method of the contract is there: with an empty message, it either works or says why not. */
static void test_dispatch__serves_every_method_of_the_contract(void **state)
{
    const struct fixture admin = on_admin_socket(*state, geteuid());
    unsigned num_methods = 0;
    unsigned num_served = 0;
    unsigned num_admin = 0;
    for (size_t s = 0; s < sizeof(services) / sizeof(services[0]); s++) {
        for (unsigned m = 0; m < services[s]->n_methods; m++) {
            char name[256];
            size_t len = 0;
            struct fixture_answer answer;
            (void)snprintf(name, sizeof(name), "%s/%s", services[s]->name,
                           services[s]->methods[m].name);
            uint8_t *bytes = envelope(name, 0, "", &len);
            fixture_dispatch(&admin, bytes, len, services[s]->methods[m].output, &answer);
            if (strcmp(name, SG_METHOD_RELOAD) == 0) {
                assert_string_equal(answer.reason, "NO_RELOAD"); /* it has nothing to read */
            } else {
                assert_int_not_equal(answer.code, SIGNET_UNIMPLEMENTED);
            }
            assert_int_not_equal(answer.code, SIGNET_INTERNAL);
            assert_int_not_equal(answer.code, SIGNET_PERMISSION_DENIED);
            num_served += answer.code == 0 ? 1 : 0;
            num_admin += is_admin_method(name) ? 1 : 0;
            num_methods++;
            fixture_answer_free(&answer);
            free(bytes);
        }
    }
    assert_int_equal(num_methods, 23);
    assert_int_equal(num_admin, NUM_ADMIN_METHODS);
    assert_int_equal(num_served, 10); /* the others need something said */
}

/* ---- Rights ---- */

/* The answer to a payload that is no message, which is only looked at if the caller may call. */
static void expect_right(const struct fixture *fixture, const char *method, uint32_t code,
                         const char *reason)
{
    uint8_t junk[] = {0x0a, 0x7f, 'x'};
    char *name = strdup(method);
    Signet__Rpc__V1__Request request = SIGNET__RPC__V1__REQUEST__INIT;
    assert_non_null(name);
    request.method = name;
    request.payload.data = junk;
    request.payload.len = sizeof(junk);
    uint8_t *bytes = malloc(signet__rpc__v1__request__get_packed_size(&request));
    assert_non_null(bytes);
    size_t len = signet__rpc__v1__request__pack(&request, bytes);
    expect_status(fixture, bytes, len, code, reason);
    free(bytes);
    free(name);
}

static void test_dispatch__operators_calls_are_for_the_admin_socket(void **state)
{
    struct fixture fixture = *(const struct fixture *)*state;
    const uid_t uids[] = {0, geteuid(), 1000, (uid_t)-1};
    for (size_t u = 0; u < sizeof(uids) / sizeof(uids[0]); u++) {
        fixture.peer.uid = uids[u]; /* whoever it is */
        for (size_t i = 0; i < NUM_ADMIN_METHODS; i++) {
            expect_right(&fixture, admin_methods[i], SIGNET_PERMISSION_DENIED, "ADMIN_SOCKET_ONLY");
        }
    }
}

static void test_dispatch__operators_are_root_and_the_daemons_user(void **state)
{
    const uid_t uids[] = {geteuid() + 1, geteuid() + 1000, 65534, (uid_t)-1};
    for (size_t i = 0; i < NUM_ADMIN_METHODS; i++) {
        for (size_t u = 0; u < sizeof(uids) / sizeof(uids[0]); u++) {
            const struct fixture stranger = on_admin_socket(*state, uids[u]);
            expect_right(&stranger, admin_methods[i], SIGNET_PERMISSION_DENIED, "NOT_AN_OPERATOR");
        }
        const struct fixture root = on_admin_socket(*state, 0);
        const struct fixture own = on_admin_socket(*state, geteuid());
        expect_right(&root, admin_methods[i], SIGNET_INVALID_ARGUMENT, "BAD_REQUEST");
        expect_right(&own, admin_methods[i], SIGNET_INVALID_ARGUMENT, "BAD_REQUEST");
    }
}

/* All other calls are everybody's, on both sockets. */
static void test_dispatch__other_calls_are_for_everybody(void **state)
{
    const struct fixture stranger = on_admin_socket(*state, geteuid() + 1000);
    unsigned num = 0;
    for (size_t s = 0; s < sizeof(services) / sizeof(services[0]); s++) {
        for (unsigned m = 0; m < services[s]->n_methods; m++) {
            char name[256];
            (void)snprintf(name, sizeof(name), "%s/%s", services[s]->name,
                           services[s]->methods[m].name);
            if (!is_admin_method(name)) {
                expect_right(*state, name, SIGNET_INVALID_ARGUMENT, "BAD_REQUEST");
                expect_right(&stranger, name, SIGNET_INVALID_ARGUMENT, "BAD_REQUEST");
                num++;
            }
        }
    }
    assert_int_equal(num, 8);
}

/* Whoever is refused sees nothing of a call's other rules, and changes nothing. */
static void test_dispatch__a_refused_change_changes_nothing(void **state)
{
    const struct fixture *fixture = *state;
    const struct fixture stranger = on_admin_socket(fixture, geteuid() + 1);
    const struct fixture *const callers[] = {fixture, &stranger};
    char kid[SG_MAX_KID_LEN + 1];
    Signet__V1__RotateRequest rotate = SIGNET__V1__ROTATE_REQUEST__INIT;
    Signet__V1__RevokeKeyRequest revoke_key = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;
    (void)snprintf(kid, sizeof(kid), "%s", fixture_key(fixture, text_hs256)->kid);
    rotate.keyset = text_hs256;
    rotate.now = 1;
    revoke_key.kid = kid;
    struct sg_keyring *before = sg_keyring_holder_get(fixture->service.keyrings);
    for (size_t i = 0; i < 2; i++) {
        struct fixture_answer answer;
        fixture_call(callers[i], SG_METHOD_ROTATE, &rotate.base, NULL, &answer);
        assert_int_equal(answer.code, SIGNET_PERMISSION_DENIED);
        fixture_answer_free(&answer);
        fixture_call(callers[i], SG_METHOD_REVOKE_KEY, &revoke_key.base, NULL, &answer);
        assert_int_equal(answer.code, SIGNET_PERMISSION_DENIED);
        fixture_answer_free(&answer);
    }
    struct sg_keyring *after = sg_keyring_holder_get(fixture->service.keyrings);
    assert_ptr_equal(before, after);
    sg_keyring_unref(after);
    sg_keyring_unref(before);
}

/* Before the first snapshot there is nothing to answer with. */
static void test_dispatch__without_keys_yet_it_says_retry(void **state)
{
    struct fixture starting = *(const struct fixture *)*state;
    struct sg_keyring_holder none;
    struct fixture_answer answer;
    sg_keyring_holder_init(&none);
    starting.service.keyrings = &none;
    Signet__V1__SignRequest request = sign_request(text_rs256);
    fixture_call(&starting, SG_METHOD_SIGN, &request.base, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_UNAVAILABLE);
    assert_string_equal(answer.reason, "STARTING");
    assert_true(answer.retry_after_ms > 0);
    fixture_answer_free(&answer);
    sg_keyring_holder_fini(&none);
}

static void test_dispatch__unknown_methods_are_unimplemented(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const names[] = {
        "signet.v1.TokenService/Forge",
        "signet.v1.TokenService/sign",
        "signet.v1.TokenService/Sign ",
        "signet.v1.TokenService/",
        "signet.v1.TokenService",
        "TokenService/Sign",
        "/signet.v1.TokenService/Sign",
        "signet.v1.KeyService/Sign",
        "Sign",
        "/",
        "%n%s",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = 0;
        uint8_t *bytes = envelope(names[i], 0, "", &len);
        expect_status(fixture, bytes, len, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN");
        free(bytes);
    }
}

static void test_dispatch__a_method_has_1_to_128_bytes(void **state)
{
    const struct fixture *fixture = *state;
    char name[130];
    size_t len = 0;
    memset(name, 'm', sizeof(name));
    name[128] = '\0';
    uint8_t *bytes = envelope(name, 0, "", &len);
    expect_status(fixture, bytes, len, SIGNET_UNIMPLEMENTED, "METHOD_UNKNOWN");
    free(bytes);
    name[128] = 'm';
    name[129] = '\0';
    bytes = envelope(name, 0, "", &len);
    expect_status(fixture, bytes, len, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
    free(bytes);
    bytes = envelope("", 0, "", &len);
    assert_int_equal(len, 0);
    expect_status(fixture, bytes, len, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
    free(bytes);
    expect_status(fixture, NULL, 0, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
}

/* protobuf-c would cut the name at the NUL and serve the method before it. */
static void test_dispatch__a_nul_hides_nothing_behind_a_method(void **state)
{
    const struct fixture *fixture = *state;
    static const char name[] = SG_METHOD_HEALTH_CHECK "\0/Evil";
    uint8_t bytes[64] = {0x0a, sizeof(name) - 1};
    memcpy(bytes + 2, name, sizeof(name) - 1);
    expect_status(fixture, bytes, sizeof(name) + 1, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
    bytes[1] = (uint8_t)strlen(SG_METHOD_HEALTH_CHECK);
    struct fixture_answer answer;
    fixture_dispatch(fixture, bytes, 2 + strlen(SG_METHOD_HEALTH_CHECK), NULL, &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
}

static void test_dispatch__traceparent_is_well_formed_or_absent(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *text;
        uint32_t code;
    } cases[] = {
        {"", 0},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 0},
        {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SIGNET_INVALID_ARGUMENT},
        {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SIGNET_INVALID_ARGUMENT},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", SIGNET_INVALID_ARGUMENT},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011", SIGNET_INVALID_ARGUMENT},
        {"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", SIGNET_INVALID_ARGUMENT},
        {"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", SIGNET_INVALID_ARGUMENT},
        {"x", SIGNET_INVALID_ARGUMENT},
        {"\xff", SIGNET_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = 0;
        struct fixture_answer answer;
        uint8_t *bytes = envelope(SG_METHOD_HEALTH_CHECK, 0, cases[i].text, &len);
        fixture_dispatch(fixture, bytes, len, NULL, &answer);
        assert_int_equal(answer.code, cases[i].code);
        fixture_answer_free(&answer);
        free(bytes);
    }
}

/* ---- Deadlines ---- */

/* What is answered to a health check that is finished later_ms after it was begun. */
static uint32_t code_after(const struct fixture *fixture, uint32_t timeout_ms, uint64_t later_ms)
{
    size_t len = 0;
    struct fixture_answer answer;
    struct sg_response response = {0};
    uint8_t *bytes = envelope(SG_METHOD_HEALTH_CHECK, timeout_ms, "", &len);
    struct sg_call *call =
        sg_call_begin(&fixture->service, &fixture->peer, bytes, len, fixture->now, 0);
    free(bytes);
    assert_non_null(call);
    struct sg_now later = fixture->now;
    later.mono_ms += later_ms;
    assert_true(sg_call_finish(call, later, &response));
    fixture_answer_read(&response, 0, NULL, &answer);
    uint32_t code = answer.code;
    if (code != 0) {
        assert_string_equal(answer.reason, "DEADLINE_PASSED");
    }
    fixture_answer_free(&answer);
    return code;
}

static void test_dispatch__no_work_after_the_deadline(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(code_after(fixture, 1, 0), 0);
    assert_int_equal(code_after(fixture, 1, 1), SIGNET_DEADLINE_EXCEEDED);
    assert_int_equal(code_after(fixture, 500, 499), 0);
    assert_int_equal(code_after(fixture, 500, 500), SIGNET_DEADLINE_EXCEEDED);
    assert_int_equal(code_after(fixture, 0, SG_DEFAULT_TIMEOUT_MS - 1), 0);
    assert_int_equal(code_after(fixture, 0, SG_DEFAULT_TIMEOUT_MS), SIGNET_DEADLINE_EXCEEDED);
    assert_int_equal(code_after(fixture, UINT32_MAX, SG_MAX_TIMEOUT_MS - 1), 0);
    assert_int_equal(code_after(fixture, UINT32_MAX, SG_MAX_TIMEOUT_MS), SIGNET_DEADLINE_EXCEEDED);
    assert_int_equal(code_after(fixture, UINT32_MAX, UINT32_MAX), SIGNET_DEADLINE_EXCEEDED);
}

/* What is wrong with the request is told even when it is late. */
static void test_dispatch__a_bad_request_stays_one_when_late(void **state)
{
    const struct fixture *fixture = *state;
    const uint8_t junk[] = {0xff};
    struct sg_response response = {0};
    struct fixture_answer answer;
    struct sg_call *call =
        sg_call_begin(&fixture->service, &fixture->peer, junk, sizeof(junk), fixture->now, 0);
    assert_non_null(call);
    assert_false(sg_call_is_slow(call));
    struct sg_now later = {.wall_s = FIXTURE_NOW, .mono_ms = UINT64_MAX};
    assert_true(sg_call_finish(call, later, &response));
    fixture_answer_read(&response, 0, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_INVALID_ARGUMENT);
    fixture_answer_free(&answer);
}

/* ---- Refusing, headroom, slowness ---- */

static void test_dispatch__a_refused_call_says_when_to_retry(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        enum sg_refusal why;
        uint32_t code;
        const char *reason;
    } cases[] = {
        {SG_REFUSE_BUSY, SIGNET_RESOURCE_EXHAUSTED, "BUSY"},
        {SG_REFUSE_LATE, SIGNET_RESOURCE_EXHAUSTED, "QUEUE_TOO_LONG"},
        {SG_REFUSE_STOPPING, SIGNET_UNAVAILABLE, "STOPPING"},
    };
    for (size_t i = 0; i < 6; i++) {
        const uint32_t asked_ms = i % 2 == 0 ? 0 : 1234;
        size_t len = 0;
        struct sg_response response = {0};
        struct fixture_answer answer;
        uint8_t *bytes = envelope(SG_METHOD_HEALTH_CHECK, 0, "", &len);
        struct sg_call *call =
            sg_call_begin(&fixture->service, &fixture->peer, bytes, len, fixture->now, 21);
        free(bytes);
        assert_non_null(call);
        assert_true(sg_call_refuse(call, cases[i / 2].why, asked_ms, &response));
        fixture_answer_read(&response, 21, NULL, &answer);
        assert_int_equal(answer.code, cases[i / 2].code);
        assert_string_equal(answer.reason, cases[i / 2].reason);
        assert_true(asked_ms == 0 ? answer.retry_after_ms > 0 : answer.retry_after_ms == asked_ms);
        fixture_answer_free(&answer);
    }
}

static void test_dispatch__leaves_the_headroom_asked_for(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const methods[] = {SG_METHOD_LIST_KEYSETS, SG_METHOD_SIGN,
                                          SG_METHOD_HEALTH_CHECK};
    for (size_t i = 0; i < 3; i++) {
        for (size_t headroom = 0; headroom < 70; headroom += 23) {
            size_t len = 0;
            struct sg_response response = {0};
            struct fixture_answer answer;
            uint8_t *bytes = envelope(methods[i], 0, "", &len);
            struct sg_call *call = sg_call_begin(&fixture->service, &fixture->peer, bytes, len,
                                                 fixture->now, headroom);
            free(bytes);
            assert_non_null(call);
            assert_true(sg_call_finish(call, fixture->now, &response));
            assert_int_equal(response.is_error, strcmp(methods[i], SG_METHOD_SIGN) == 0);
            memset(response.bytes, 0xee, headroom); /* the caller's */
            fixture_answer_read(&response, headroom, NULL, &answer);
            fixture_answer_free(&answer);
        }
    }
}

static bool is_slow(const struct fixture *fixture, const char *method,
                    const ProtobufCMessage *message)
{
    size_t len = 0;
    struct sg_response response = {0};
    uint8_t *bytes = fixture_envelope(method, message, &len);
    struct sg_call *call =
        sg_call_begin(&fixture->service, &fixture->peer, bytes, len, fixture->now, 0);
    free(bytes);
    assert_non_null(call);
    bool slow = sg_call_is_slow(call);
    assert_true(sg_call_refuse(call, SG_REFUSE_BUSY, 0, &response));
    free(response.bytes);
    return slow;
}

static void test_dispatch__rsa_signing_and_batches_are_slow(void **state)
{
    const struct fixture *fixture = *state;
    char unknown[] = "no-such";
    char junk[] = "a.b.c";
    Signet__V1__SignRequest fast = sign_request(text_hs256);
    Signet__V1__SignRequest slow = sign_request(text_rs256);
    Signet__V1__SignRequest neither = sign_request(unknown);
    Signet__V1__VerifyRequest verify = verify_request(junk);
    assert_false(is_slow(fixture, SG_METHOD_SIGN, &fast.base));
    assert_true(is_slow(fixture, SG_METHOD_SIGN, &slow.base));
    assert_false(is_slow(fixture, SG_METHOD_SIGN, &neither.base));
    assert_false(is_slow(fixture, SG_METHOD_VERIFY, &verify.base));
    Signet__V1__VerifyRequest consuming = verify_request(junk);
    consuming.consume = true;
    assert_true(is_slow(fixture, SG_METHOD_VERIFY, &consuming.base)); /* it waits for the disk */

    Signet__V1__SignRequest *signs[] = {&fast, &fast, &fast, &fast, &fast,
                                        &fast, &fast, &fast, &fast};
    Signet__V1__VerifyRequest *verifies[] = {&verify, &verify, &verify, &verify, &verify,
                                             &verify, &verify, &verify, &verify};
    Signet__V1__SignBatchRequest sign_batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
    Signet__V1__VerifyBatchRequest verify_batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
    sign_batch.requests = signs;
    verify_batch.requests = verifies;
    for (size_t num = 1; num <= 9; num++) {
        sign_batch.n_requests = num;
        verify_batch.n_requests = num;
        assert_int_equal(is_slow(fixture, SG_METHOD_SIGN_BATCH, &sign_batch.base), num > 8);
        assert_int_equal(is_slow(fixture, SG_METHOD_VERIFY_BATCH, &verify_batch.base), num > 8);
    }
    sign_batch.n_requests = 2;
    signs[1] = &slow;
    assert_true(is_slow(fixture, SG_METHOD_SIGN_BATCH, &sign_batch.base));
    verify_batch.n_requests = 2;
    verifies[1] = &consuming;
    assert_true(is_slow(fixture, SG_METHOD_VERIFY_BATCH, &verify_batch.base));
}

/* A keyring of one keyset with so many keys. */
static struct sg_keyring *build_keys(const struct fixture *fixture, size_t num)
{
    struct sg_keyring_key keys[65];
    struct sg_keyring *keyring = NULL;
    const struct sg_keyring_part part = {
        .policy = &fixture->config->keysets[0], .keys = keys, .num_keys = num};
    for (uint32_t i = 0; i < num; i++) {
        char kid[16];
        (void)snprintf(kid, sizeof(kid), "k%u", i);
        keys[i] = (struct sg_keyring_key){
            .core = sg_key_core_new(fixture->keyholder, SG_ALG_HS256, kid, NULL, 0),
            .times = {.seq = i + 1}};
        assert_non_null(keys[i].core);
    }
    assert_int_equal(sg_keyring_build(&part, 1, NULL, 0, &keyring), SIGNET_OK);
    for (size_t i = 0; i < num; i++) {
        sg_key_core_unref(keys[i].core);
    }
    return keyring;
}

static void test_dispatch__telling_of_many_keys_is_slow(void **state)
{
    struct fixture many = *(const struct fixture *)*state;
    const Signet__V1__StatusRequest nothing = SIGNET__V1__STATUS_REQUEST__INIT;
    for (size_t num = 64; num <= 65; num++) {
        struct sg_keyring_holder keyrings;
        sg_keyring_holder_init(&keyrings);
        sg_keyring_holder_set(&keyrings, build_keys(&many, num));
        many.service.keyrings = &keyrings;
        assert_int_equal(is_slow(&many, SG_METHOD_GET_JWKS, &nothing.base), num > 64);
        assert_int_equal(is_slow(&many, SG_METHOD_LIST_KEYSETS, &nothing.base), num > 64);
        assert_false(is_slow(&many, SG_METHOD_HEALTH_CHECK, &nothing.base));
        sg_keyring_holder_fini(&keyrings);
    }
}

/* They wait for a disk and for each other; a refusal waits for nothing. */
static void test_dispatch__operators_calls_are_slow(void **state)
{
    const struct fixture admin = on_admin_socket(*state, geteuid());
    const struct fixture stranger = on_admin_socket(*state, geteuid() + 1);
    const Signet__V1__StatusRequest nothing = SIGNET__V1__STATUS_REQUEST__INIT;
    for (size_t i = 0; i < NUM_ADMIN_METHODS; i++) {
        bool is_quick = strcmp(admin_methods[i], SG_METHOD_STATUS) == 0;
        assert_int_equal(is_slow(&admin, admin_methods[i], &nothing.base), !is_quick);
        assert_false(is_slow(&stranger, admin_methods[i], &nothing.base));
        assert_false(is_slow(*state, admin_methods[i], &nothing.base));
    }
}

/* ---- Hostile bytes ---- */

/* A Verify of a token whose payload was changed and whose signature was kept. */
static uint8_t *forged_request(const struct fixture *fixture, const char *keyset, size_t *len)
{
    char *token = fixture_mint(fixture, keyset);
    char *at = strchr(token, '.') + 30;
    for (size_t i = 0; i < 8; i++) {
        at[i] = at[i] == 'Q' ? 'R' : 'Q';
    }
    Signet__V1__VerifyRequest request = verify_request(token);
    uint8_t *bytes = fixture_envelope(SG_METHOD_VERIFY, &request.base, len);
    free(token);
    return bytes;
}

static bool comes_back_good(const struct fixture *fixture, const uint8_t *bytes, size_t len)
{
    struct fixture_answer answer;
    fixture_dispatch(fixture, bytes, len, &signet__v1__verify_response__descriptor, &answer);
    const Signet__V1__VerifyResponse *response = (const Signet__V1__VerifyResponse *)answer.payload;
    bool good = false;
    if (response != NULL) {
        good = response->outcome_case != SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION;
    }
    fixture_answer_free(&answer);
    return good;
}

static void test_dispatch__a_cut_request_is_never_a_good_token(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    size_t len = 0;
    uint8_t *bytes = fixture_envelope(SG_METHOD_VERIFY, &request.base, &len);
    for (size_t cut = 0; cut < len; cut++) {
        assert_false(comes_back_good(fixture, bytes, cut));
    }
    assert_true(comes_back_good(fixture, bytes, len));
    free(bytes);
    free(token);
}

static void test_dispatch__no_bit_makes_a_forged_token_good(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const keysets[] = {"demo-hs256", "demo-rs256"};
    for (size_t k = 0; k < 2; k++) {
        size_t len = 0;
        uint8_t *bytes = forged_request(fixture, keysets[k], &len);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(comes_back_good(fixture, bytes, len));
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(bytes);
    }
}

/* A Verify with bytes of the caller's as its message. */
static void expect_bomb_refused(const struct fixture *fixture, const char *method, uint8_t *payload,
                                size_t payload_len)
{
    Signet__Rpc__V1__Request request = SIGNET__RPC__V1__REQUEST__INIT;
    char *name = strdup(method);
    assert_non_null(name);
    request.method = name;
    request.payload.data = payload;
    request.payload.len = payload_len;
    uint8_t *bytes = malloc(signet__rpc__v1__request__get_packed_size(&request));
    assert_non_null(bytes);
    size_t len = signet__rpc__v1__request__pack(&request, bytes);
    expect_status(fixture, bytes, len, SIGNET_INVALID_ARGUMENT, "BAD_REQUEST");
    free(bytes);
    free(name);
}

/* 64 KiB that would take megabytes to decode: unknown fields, empty texts, empty messages. */
static void test_dispatch__bombs_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    static const uint8_t units[][2] = {
        {0x78, 0x00}, /* an unknown field */
        {0x7a, 0x00}, /* an unknown run of bytes */
        {0x12, 0x00}, /* an empty audience */
        {0x0a, 0x00}, /* an empty token: the last counts */
    };
    enum {
        BOMB = 65536
    };
    uint8_t *bomb = malloc(BOMB);
    assert_non_null(bomb);
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        for (size_t i = 0; i < BOMB; i += 2) {
            memcpy(bomb + i, units[u], 2);
        }
        expect_bomb_refused(fixture, SG_METHOD_VERIFY, bomb, BOMB);
        if (u == 3) { /* in a batch each is a request */
            expect_bomb_refused(fixture, SG_METHOD_VERIFY_BATCH, bomb, BOMB);
            expect_bomb_refused(fixture, SG_METHOD_SIGN_BATCH, bomb, BOMB);
        }
    }
    for (size_t i = 0; i < BOMB; i++) {
        bomb[i] = 0x0a; /* nesting: a length that is a tag, and so on */
    }
    expect_bomb_refused(fixture, SG_METHOD_VERIFY_BATCH, bomb, BOMB);
    free(bomb);
}

/* The same in the envelope itself. */
static void test_dispatch__a_bomb_around_the_payload_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    const size_t len = SG_MAX_REQUEST_FRAME;
    uint8_t *bomb = malloc(len + 1);
    assert_non_null(bomb);
    for (size_t i = 0; i < len; i += 2) {
        bomb[i] = 0x78;
        bomb[i + 1] = 1;
    }
    expect_status(fixture, bomb, len, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
    expect_status(fixture, bomb, len + 1, SIGNET_INVALID_ARGUMENT, "BAD_ENVELOPE");
    free(bomb);
}

static void test_dispatch__broken_payloads_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const methods[] = {
        SG_METHOD_SIGN,     SG_METHOD_VERIFY,       SG_METHOD_SIGN_BATCH,  SG_METHOD_VERIFY_BATCH,
        SG_METHOD_GET_JWKS, SG_METHOD_LIST_KEYSETS, SG_METHOD_HEALTH_CHECK};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        uint8_t cut[] = {0x0a, 0x7f, 'x'};
        uint8_t group[] = {0x0b, 0x0c};
        expect_bomb_refused(fixture, methods[i], cut, sizeof(cut));
        expect_bomb_refused(fixture, methods[i], group, sizeof(group));
    }
}

static void test_dispatch__begin_and_finish_in_one(void **state)
{
    const struct fixture *fixture = *state;
    size_t len = 0;
    struct sg_response response = {0};
    struct fixture_answer answer;
    uint8_t *bytes = envelope(SG_METHOD_HEALTH_CHECK, 1, "", &len);
    assert_true(
        sg_dispatch(&fixture->service, &fixture->peer, bytes, len, fixture->now, &response));
    fixture_answer_read(&response, 0, &signet__v1__health_check_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch__serves_every_method_of_the_contract),
        cmocka_unit_test(test_dispatch__operators_calls_are_for_the_admin_socket),
        cmocka_unit_test(test_dispatch__operators_are_root_and_the_daemons_user),
        cmocka_unit_test(test_dispatch__other_calls_are_for_everybody),
        cmocka_unit_test(test_dispatch__a_refused_change_changes_nothing),
        cmocka_unit_test(test_dispatch__without_keys_yet_it_says_retry),
        cmocka_unit_test(test_dispatch__unknown_methods_are_unimplemented),
        cmocka_unit_test(test_dispatch__a_method_has_1_to_128_bytes),
        cmocka_unit_test(test_dispatch__a_nul_hides_nothing_behind_a_method),
        cmocka_unit_test(test_dispatch__traceparent_is_well_formed_or_absent),
        cmocka_unit_test(test_dispatch__no_work_after_the_deadline),
        cmocka_unit_test(test_dispatch__a_bad_request_stays_one_when_late),
        cmocka_unit_test(test_dispatch__a_refused_call_says_when_to_retry),
        cmocka_unit_test(test_dispatch__leaves_the_headroom_asked_for),
        cmocka_unit_test(test_dispatch__rsa_signing_and_batches_are_slow),
        cmocka_unit_test(test_dispatch__telling_of_many_keys_is_slow),
        cmocka_unit_test(test_dispatch__operators_calls_are_slow),
        cmocka_unit_test(test_dispatch__a_cut_request_is_never_a_good_token),
        cmocka_unit_test(test_dispatch__no_bit_makes_a_forged_token_good),
        cmocka_unit_test(test_dispatch__bombs_are_refused),
        cmocka_unit_test(test_dispatch__a_bomb_around_the_payload_is_refused),
        cmocka_unit_test(test_dispatch__broken_payloads_are_refused),
        cmocka_unit_test(test_dispatch__begin_and_finish_in_one),
    };
    return cmocka_run_group_tests_name("dispatch", tests, fixture_setup, fixture_teardown);
}
