/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever the other end does, signet_revoke says that something is revoked only if it is told that
 * what it asked for is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <signet/client.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/call.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"
#include "tests/support/fake_server.h"

#define REVOKE_WATCHDOG_S (SG_SANITIZED ? 400u : 100u)
#define REVOKE_SHORT_MS   300u   /* where the deadline is to pass */
#define REVOKE_LONG_MS    20000u /* where it is not */
#define REVOKE_TOKEN      "aaaa.bbbb.cccc"

enum fault {
    FAULT_NONE,
    FAULT_NO_REVOCATION,
    FAULT_EMPTY_REVOCATION,
    FAULT_KIND_UNSPECIFIED,
    FAULT_KIND_UNKNOWN,
    FAULT_KIND_TOKEN,
    FAULT_KIND_SUBJECT,
    FAULT_KIND_KEYSET,
    FAULT_KIND_KID,
    FAULT_REVOKED_NEVER,
    FAULT_UNTIL_NEGATIVE,
    FAULT_NO_ISSUER,
    FAULT_NO_KEYSET,
    FAULT_NO_NAME,
    FAULT_OTHER_KEYSET,
    FAULT_OTHER_NAME,
    FAULT_ISSUER_TOO,
    FAULT_NAME_TOO,
    FAULT_ENDS,
    FAULT_STATUS,      /* of plan->status */
    FAULT_SILENT,      /* reads the request, says nothing */
    FAULT_CLOSES,      /* instead of a reply; tells so on descriptor `at`, if there is one */
    FAULT_CLOSES_ONCE, /* on the first connection; the others are honest */
    FAULT_CUT_ONCE     /* after a byte of the reply, on the first connection */
};

struct plan {
    enum fault fault;
    signet_status status;
    size_t at;
};

static char *revoke_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- The script ---- */

static void revoke_falsify(enum fault fault, Signet__V1__Revocation *revocation)
{
    switch ((int)fault) {
    case FAULT_EMPTY_REVOCATION:
        signet__v1__revocation__init(revocation);
        break;
    case FAULT_KIND_UNSPECIFIED:
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_UNSPECIFIED;
        break;
    case FAULT_KIND_UNKNOWN:
        revocation->kind = (Signet__V1__RevocationKind)5;
        break;
    case FAULT_KIND_TOKEN:
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_TOKEN;
        break;
    case FAULT_KIND_SUBJECT:
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_SUBJECT;
        break;
    case FAULT_KIND_KEYSET:
        signet__v1__revocation__init(revocation);
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET;
        revocation->keyset = revoke_text("keyset");
        revocation->revoked_at = FAKE_REVOKED_AT;
        break;
    case FAULT_KIND_KID:
        revoke_falsify(FAULT_KIND_KEYSET, revocation);
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID;
        revocation->name = revoke_text("alice");
        break;
    case FAULT_ENDS:
        revocation->until = FAKE_REVOKED_AT + 60;
        break;
    case FAULT_REVOKED_NEVER:
        revocation->revoked_at = 0;
        break;
    case FAULT_UNTIL_NEGATIVE:
        revocation->until = -1;
        break;
    case FAULT_NO_ISSUER:
        revocation->issuer = revoke_text("");
        break;
    case FAULT_NO_KEYSET:
        revocation->keyset = revoke_text("");
        break;
    case FAULT_NO_NAME:
        revocation->name = revoke_text("");
        break;
    case FAULT_OTHER_KEYSET:
        revocation->keyset = revoke_text("keyset2");
        break;
    case FAULT_OTHER_NAME:
        revocation->name = revoke_text("mallory");
        break;
    case FAULT_ISSUER_TOO:
        revocation->issuer = revoke_text("https://issuer");
        break;
    case FAULT_NAME_TOO:
        revocation->name = revoke_text("alice");
        break;
    default:
        break;
    }
}

static struct fake_bytes revoke_reply(const struct fake_request *request, const struct plan *plan)
{
    if (plan->fault == FAULT_STATUS) {
        return fake_status(request->id, (uint32_t)plan->status, "NOT_SO", "it is not so");
    }
    if (plan->fault == FAULT_CUT_ONCE) {
        return fake_honest_answer(request);
    }
    Signet__V1__RevokeRequest *revoke = signet__v1__revoke_request__unpack(
        NULL, request->envelope->payload.len, request->envelope->payload.data);
    if (revoke == NULL || strcmp(request->envelope->method, SG_METHOD_REVOKE) != 0) {
        _exit(1);
    }
    Signet__V1__Revocation revocation;
    fake_revocation(revoke, &revocation);
    revoke_falsify(plan->fault, &revocation);
    Signet__V1__RevokeResponse response;
    signet__v1__revoke_response__init(&response);
    response.revocation = plan->fault == FAULT_NO_REVOCATION ? NULL : &revocation;
    struct fake_bytes bytes = fake_payload(request->id, &response.base);
    signet__v1__revoke_request__free_unpacked(revoke, NULL);
    return bytes;
}

/* Waits until the client closes. */
static void revoke_linger(int fd)
{
    uint8_t byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

static void revoke_script(int fd, unsigned index, const void *context)
{
    const struct plan *plan = context;
    struct fake_request request;
    bool once = plan->fault == FAULT_CLOSES_ONCE || plan->fault == FAULT_CUT_ONCE;
    if (once && index > 0) {
        fake_honest(fd, index, NULL);
        return;
    }
    if (!fake_greet(fd) || !fake_read_request(fd, &request)) {
        return;
    }
    if (plan->fault == FAULT_CLOSES || plan->fault == FAULT_CLOSES_ONCE) {
        if (plan->at != 0) {
            (void)!write((int)plan->at, "x", 1);
        }
    } else if (plan->fault == FAULT_SILENT) {
        revoke_linger(fd);
    } else {
        struct fake_bytes bytes = revoke_reply(&request, plan);
        (void)fake_write(fd, bytes.bytes, plan->fault == FAULT_CUT_ONCE ? 1 : bytes.len);
        free(bytes.bytes);
        if (plan->fault != FAULT_CUT_ONCE) {
            revoke_linger(fd);
        }
    }
    fake_request_free(&request);
}

/* ---- Calls ---- */

enum what {
    WHAT_TOKEN,
    WHAT_JTI,
    WHAT_SUBJECT,
    WHAT_ALL,
    WHAT_KID,
    WHAT_END
};

static struct signet_revoke_options revoke_options(enum what what)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    options.token = what == WHAT_TOKEN ? REVOKE_TOKEN : NULL;
    options.jti = what == WHAT_JTI ? "-jti" : NULL;
    options.subject = what == WHAT_SUBJECT ? "alice" : NULL;
    options.all = what == WHAT_ALL;
    options.kid = what == WHAT_KID ? "--kid" : NULL;
    options.keyset = what == WHAT_TOKEN ? NULL : "keyset";
    return options;
}

static struct signet_client *revoke_client(const char *address, uint32_t timeout_ms)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = address;
    options.timeout_ms = timeout_ms;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

/* One call of a daemon that acts as planned. code: NULL with SIGNET_OK. */
static void revoke_expect(const struct plan *plan, enum what what, signet_status status,
                          const char *code)
{
    struct fake_server server;
    fake_server_start(&server, revoke_script, plan);
    struct signet_client *client = revoke_client(server.address, REVOKE_LONG_MS);
    const struct signet_revoke_options options = revoke_options(what);
    struct signet_revocation *out = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    signet_status got = signet_revoke(client, &options, &out, &error);
    if (got != status || (code != NULL && strcmp(error.code, code) != 0)) {
        fail_msg("fault %d, what %d: expected %s %s, got %s %s: %s", (int)plan->fault, (int)what,
                 signet_status_name(status), code, signet_status_name(got), error.code,
                 error.message);
    }
    assert_true((out != NULL) == (status == SIGNET_OK));
    signet_revocation_free(out);
    signet_client_free(client);
    fake_server_stop(&server);
}

/* ---- What is believed ---- */

static struct signet_revocation *revoke_good(struct signet_client *client,
                                             const struct signet_revoke_options *options)
{
    struct signet_revocation *out = NULL;
    struct signet_error error;
    if (signet_revoke(client, options, &out, &error) != SIGNET_OK) {
        fail_msg("%s: %s", error.code, error.message);
    }
    assert_int_equal(signet_revocation_revoked_at(out), FAKE_REVOKED_AT);
    assert_int_equal(signet_revocation_uid(out), 4711);
    return out;
}

static void test_revoke__each_kind_is_carried_and_told(void **state)
{
    (void)state;
    static const struct {
        enum what what;
        signet_revoked_kind kind;
        const char *issuer, *keyset, *name;
    } cases[] = {
        {WHAT_TOKEN, SIGNET_REVOKED_TOKEN, "https://issuer", "", REVOKE_TOKEN},
        {WHAT_JTI, SIGNET_REVOKED_TOKEN, "keyset", "", "-jti"},
        {WHAT_SUBJECT, SIGNET_REVOKED_SUBJECT, "keyset", "", "alice"},
        {WHAT_ALL, SIGNET_REVOKED_KEYSET, "", "keyset", ""},
        {WHAT_KID, SIGNET_REVOKED_KID, "", "keyset", "--kid"},
    };
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = revoke_client(server.address, REVOKE_LONG_MS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct signet_revoke_options options = revoke_options(cases[i].what);
        struct signet_revocation *out = revoke_good(client, &options);
        assert_int_equal(signet_revocation_kind(out), cases[i].kind);
        assert_string_equal(signet_revocation_issuer(out), cases[i].issuer);
        assert_string_equal(signet_revocation_keyset(out), cases[i].keyset);
        assert_string_equal(signet_revocation_name(out), cases[i].name);
        assert_int_equal(signet_revocation_until(out), 0);
        assert_string_equal(signet_revocation_reason(out), "");
        signet_revocation_free(out);
    }
    struct signet_revoke_options options = revoke_options(WHAT_JTI);
    options.expires_at = FAKE_REVOKED_AT + 60;
    options.reason = "seen in a log";
    struct signet_revocation *out = revoke_good(client, &options);
    assert_int_equal(signet_revocation_until(out), FAKE_REVOKED_AT + 60);
    assert_string_equal(signet_revocation_reason(out), "seen in a log");
    signet_revocation_free(out);
    options = revoke_options(WHAT_TOKEN);
    options.keyset = "its-own";
    out = revoke_good(client, &options);
    assert_string_equal(signet_revocation_issuer(out), "its-own");
    signet_revocation_free(out);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_revoke__an_answer_with_nothing_wrong_is_good(void **state)
{
    (void)state;
    const struct plan plan = {.fault = FAULT_NONE};
    for (enum what what = WHAT_TOKEN; what < WHAT_END; what++) {
        revoke_expect(&plan, what, SIGNET_OK, NULL);
    }
}

static void test_revoke__an_incomplete_answer_is_a_protocol_error(void **state)
{
    (void)state;
    static const enum fault faults[] = {FAULT_NO_REVOCATION,    FAULT_EMPTY_REVOCATION,
                                        FAULT_KIND_UNSPECIFIED, FAULT_KIND_UNKNOWN,
                                        FAULT_REVOKED_NEVER,    FAULT_UNTIL_NEGATIVE};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct plan plan = {.fault = faults[i]};
        for (enum what what = WHAT_TOKEN; what < WHAT_END; what++) {
            revoke_expect(&plan, what, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
        }
    }
}

static void test_revoke__an_answer_to_something_else_is_a_protocol_error(void **state)
{
    (void)state;
    static const struct {
        enum what what;
        enum fault fault;
    } cases[] = {
        {WHAT_TOKEN, FAULT_KIND_SUBJECT},   {WHAT_TOKEN, FAULT_KIND_KEYSET},
        {WHAT_TOKEN, FAULT_NO_ISSUER},      {WHAT_TOKEN, FAULT_NO_NAME},
        {WHAT_TOKEN, FAULT_OTHER_KEYSET},   {WHAT_JTI, FAULT_KIND_SUBJECT},
        {WHAT_JTI, FAULT_KIND_KEYSET},      {WHAT_JTI, FAULT_NO_ISSUER},
        {WHAT_JTI, FAULT_NO_NAME},          {WHAT_JTI, FAULT_OTHER_NAME},
        {WHAT_JTI, FAULT_OTHER_KEYSET},     {WHAT_SUBJECT, FAULT_KIND_TOKEN},
        {WHAT_SUBJECT, FAULT_KIND_KEYSET},  {WHAT_SUBJECT, FAULT_NO_ISSUER},
        {WHAT_SUBJECT, FAULT_NO_NAME},      {WHAT_SUBJECT, FAULT_OTHER_NAME},
        {WHAT_SUBJECT, FAULT_OTHER_KEYSET}, {WHAT_ALL, FAULT_KIND_TOKEN},
        {WHAT_ALL, FAULT_KIND_SUBJECT},     {WHAT_ALL, FAULT_NO_KEYSET},
        {WHAT_ALL, FAULT_OTHER_KEYSET},     {WHAT_ALL, FAULT_ISSUER_TOO},
        {WHAT_ALL, FAULT_NAME_TOO},         {WHAT_TOKEN, FAULT_KIND_KID},
        {WHAT_JTI, FAULT_KIND_KID},         {WHAT_SUBJECT, FAULT_KIND_KID},
        {WHAT_ALL, FAULT_KIND_KID},         {WHAT_KID, FAULT_KIND_TOKEN},
        {WHAT_KID, FAULT_KIND_SUBJECT},     {WHAT_KID, FAULT_KIND_KEYSET},
        {WHAT_KID, FAULT_NO_KEYSET},        {WHAT_KID, FAULT_NO_NAME},
        {WHAT_KID, FAULT_OTHER_KEYSET},     {WHAT_KID, FAULT_OTHER_NAME},
        {WHAT_KID, FAULT_ISSUER_TOO},       {WHAT_KID, FAULT_ENDS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct plan plan = {.fault = cases[i].fault};
        revoke_expect(&plan, cases[i].what, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
    }
}

static void test_revoke__a_status_is_handed_on(void **state)
{
    (void)state;
    static const signet_status statuses[] = {SIGNET_INVALID_ARGUMENT,  SIGNET_NOT_FOUND,
                                             SIGNET_PERMISSION_DENIED, SIGNET_RESOURCE_EXHAUSTED,
                                             SIGNET_UNIMPLEMENTED,     SIGNET_FAILED_PRECONDITION,
                                             SIGNET_INTERNAL};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        const struct plan plan = {.fault = FAULT_STATUS, .status = statuses[i]};
        revoke_expect(&plan, WHAT_SUBJECT, statuses[i], "NOT_SO");
    }
    /* REJECTED is no status of the wire. */
    const struct plan rejected = {.fault = FAULT_STATUS, .status = SIGNET_REJECTED};
    revoke_expect(&rejected, WHAT_SUBJECT, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER");
}

/* ---- Sent again ---- */

static void test_revoke__is_sent_again_after_no_reply(void **state)
{
    (void)state;
    const struct plan plan = {.fault = FAULT_CLOSES_ONCE};
    for (enum what what = WHAT_TOKEN; what < WHAT_END; what++) {
        revoke_expect(&plan, what, SIGNET_OK, NULL);
    }
}

static void test_revoke__is_not_sent_again_after_a_byte_of_the_reply(void **state)
{
    (void)state;
    const struct plan plan = {.fault = FAULT_CUT_ONCE};
    revoke_expect(&plan, WHAT_ALL, SIGNET_UNAVAILABLE, "REPLY_CUT");
}

static void test_revoke__is_sent_once_more_and_not_for_ever(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC | O_NONBLOCK), 0);
    const struct plan plan = {.fault = FAULT_CLOSES, .at = (size_t)told[1]};
    revoke_expect(&plan, WHAT_TOKEN, SIGNET_UNAVAILABLE, "NO_REPLY");
    char bytes[8];
    assert_int_equal(read(told[0], bytes, sizeof(bytes)), 2);
    (void)close(told[0]);
    (void)close(told[1]);
}

/* The honest fake does not know the method: that it says so is an answer all the same. */
static void test_revoke__listing_is_sent_again_after_no_reply(void **state)
{
    (void)state;
    struct fake_server server;
    const struct plan plan = {.fault = FAULT_CLOSES_ONCE};
    fake_server_start(&server, revoke_script, &plan);
    struct signet_client *client = revoke_client(server.address, REVOKE_LONG_MS);
    Signet__V1__ListRevocationsRequest request;
    signet__v1__list_revocations_request__init(&request);
    ProtobufCMessage *out = NULL;
    struct signet_error error;
    assert_int_equal(sg_client_call(client, SG_METHOD_LIST_REVOCATIONS, &request.base,
                                    &signet__v1__list_revocations_response__descriptor, 0, &out,
                                    &error),
                     SIGNET_UNIMPLEMENTED);
    assert_string_equal(error.code, "METHOD_UNKNOWN");
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_revoke__ends_with_the_calls_timeout_or_the_clients(void **state)
{
    (void)state;
    struct fake_server server;
    const struct plan plan = {.fault = FAULT_SILENT};
    fake_server_start(&server, revoke_script, &plan);
    for (unsigned i = 0; i < 2; i++) {
        struct signet_client *client =
            revoke_client(server.address, i == 0 ? REVOKE_SHORT_MS : REVOKE_LONG_MS);
        struct signet_revoke_options options = revoke_options(WHAT_JTI);
        options.timeout_ms = i == 0 ? 0 : REVOKE_SHORT_MS;
        struct signet_revocation *out = NULL;
        struct signet_error error;
        assert_int_equal(signet_revoke(client, &options, &out, &error), SIGNET_DEADLINE_EXCEEDED);
        assert_non_null(strstr(error.message, "300 ms"));
        assert_null(out);
        signet_client_free(client);
    }
    fake_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoke__each_kind_is_carried_and_told),
        cmocka_unit_test(test_revoke__an_answer_with_nothing_wrong_is_good),
        cmocka_unit_test(test_revoke__an_incomplete_answer_is_a_protocol_error),
        cmocka_unit_test(test_revoke__an_answer_to_something_else_is_a_protocol_error),
        cmocka_unit_test(test_revoke__a_status_is_handed_on),
        cmocka_unit_test(test_revoke__is_sent_again_after_no_reply),
        cmocka_unit_test(test_revoke__is_not_sent_again_after_a_byte_of_the_reply),
        cmocka_unit_test(test_revoke__is_sent_once_more_and_not_for_ever),
        cmocka_unit_test(test_revoke__listing_is_sent_again_after_no_reply),
        cmocka_unit_test(test_revoke__ends_with_the_calls_timeout_or_the_clients),
    };
    (void)alarm(REVOKE_WATCHDOG_S); /* a call that does not end ends the program */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
