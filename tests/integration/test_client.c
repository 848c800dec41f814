/* SPDX-License-Identifier: Apache-2.0
 *
 * The library against the real daemon with throw-away keys: minting and verifying for every demo
 * keyset, what the accessors say, batches, and a daemon that stops, dies, comes back or is late. The
 * alarm in main bounds every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <signal.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/limits.h"
#include "tests/support/daemon.h"

#define CLIENT_WATCHDOG_S (SG_SANITIZED ? 400u : 100u)
#define CLIENT_SHORT_MS   300u
#define CLIENT_LONG_MS    20000u
#define CLIENT_BATCH      64

static const char *const client_keysets[] = {"demo-hs256", "demo-rs256", "demo-ps256", "demo-es256",
                                             "demo-eddsa"};
static const char *const client_orders[] = {"orders"};

static struct test_daemon client_daemon;

static int client_setup(void **state)
{
    (void)state;
    test_daemon_start(&client_daemon, NULL);
    return 0;
}

static int client_teardown(void **state)
{
    (void)state;
    test_daemon_stop(&client_daemon);
    return 0;
}

static struct signet_client *client_new(uint32_t timeout_ms)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = client_daemon.address;
    options.timeout_ms = timeout_ms;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

static struct signet_sign_options client_sign_options(const char *keyset)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.keyset = keyset;
    options.subject = "user-42";
    options.audiences = client_orders;
    options.num_audiences = 1;
    options.ttl_s = 60;
    return options;
}

static struct signet_verify_options client_verify_options(void)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = client_orders;
    options.num_audiences = 1;
    return options;
}

static struct signet_signed *client_sign(struct signet_client *client,
                                         const struct signet_sign_options *options)
{
    struct signet_signed *token = NULL;
    struct signet_error error;
    if (signet_sign(client, options, &token, &error) != SIGNET_OK) {
        fail_msg("%s: %s %s", options->keyset, error.code, error.message);
    }
    return token;
}

static signet_status client_verify(struct signet_client *client, const char *token,
                                   const struct signet_verify_options *options,
                                   struct signet_verified **out, struct signet_error *error)
{
    return signet_verify(client, token, strlen(token), options, out, error);
}

static void test_client__each_keyset_signs_what_it_verifies(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    for (size_t i = 0; i < sizeof(client_keysets) / sizeof(client_keysets[0]); i++) {
        struct signet_sign_options sign = client_sign_options(client_keysets[i]);
        struct signet_signed *token = client_sign(client, &sign);
        struct signet_verify_options options = client_verify_options();
        options.keyset = client_keysets[i];
        options.subject = "user-42";
        struct signet_verified *verified = NULL;
        struct signet_error error;
        if (client_verify(client, signet_signed_token(token), &options, &verified, &error) !=
            SIGNET_OK) {
            fail_msg("%s: %s %s", client_keysets[i], error.code, error.message);
        }
        assert_string_equal(signet_verified_keyset(verified), client_keysets[i]);
        assert_string_equal(signet_verified_subject(verified), "user-42");
        assert_string_equal(signet_verified_kid(verified), signet_signed_kid(token));
        assert_string_equal(signet_verified_jti(verified), signet_signed_jti(token));
        assert_int_equal(signet_verified_expires_at(verified), signet_signed_expires_at(token));
        assert_int_equal(signet_signed_expires_at(token) - signet_signed_issued_at(token), 60);
        int64_t issued_at = 0;
        assert_int_equal(signet_verified_issued_at(verified, &issued_at), SIGNET_OK);
        assert_int_equal(issued_at, signet_signed_issued_at(token));
        assert_int_equal(signet_verified_num_audiences(verified), 1);
        assert_string_equal(signet_verified_audience(verified, 0), "orders");
        assert_null(signet_verified_audience(verified, 1));
        signet_verified_free(verified);
        signet_signed_free(token);
    }
    signet_client_free(client);
}

static void test_client__a_token_that_is_not_good_is_rejected_with_its_reason(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    struct signet_sign_options sign = client_sign_options("demo-es256");
    struct signet_signed *token = client_sign(client, &sign);
    struct signet_verified *out = NULL;
    struct signet_error error;

    static const char *const billing[] = {"billing"};
    struct signet_verify_options options = client_verify_options();
    options.audiences = billing;
    assert_int_equal(client_verify(client, signet_signed_token(token), &options, &out, &error),
                     SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_WRONG_AUDIENCE);

    options = client_verify_options();
    options.issuer = "https://someone-else";
    assert_int_equal(client_verify(client, signet_signed_token(token), &options, &out, &error),
                     SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_WRONG_ISSUER);

    options = client_verify_options();
    char *forged = strdup(signet_signed_token(token));
    assert_non_null(forged);
    char *signature = strrchr(forged, '.') + 1;
    signature[5] = signature[5] == 'A' ? 'B' : 'A';
    assert_int_equal(client_verify(client, forged, &options, &out, &error), SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_BAD_SIGNATURE);
    free(forged);

    assert_int_equal(client_verify(client, "not-a-token", &options, &out, &error), SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_MALFORMED);
    assert_null(out);
    signet_signed_free(token);
    signet_client_free(client);
}

static void test_client__claims_come_back_typed(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    struct signet_sign_options sign = client_sign_options("demo-eddsa");
    sign.claims_json = "{\"name\":\"Ann\",\"age\":-7,\"ratio\":0.5,\"admin\":true,"
                       "\"roles\":[\"a\",\"b\"],\"scope\":\"read write\"}";
    struct signet_signed *token = client_sign(client, &sign);
    struct signet_verify_options options = client_verify_options();
    static const char *const scopes[] = {"write", "read"};
    options.scopes = scopes;
    options.num_scopes = 2;
    struct signet_verified *verified = NULL;
    assert_int_equal(client_verify(client, signet_signed_token(token), &options, &verified, NULL),
                     SIGNET_OK);
    const char *text = NULL;
    int64_t number = 0;
    double real = 0;
    bool flag = false;
    assert_int_equal(signet_verified_num_claims(verified), 6);
    assert_string_equal(signet_verified_claim_name(verified, 0), "name");
    assert_null(signet_verified_claim_name(verified, 6));
    assert_int_equal(signet_verified_claim_string(verified, "name", &text), SIGNET_OK);
    assert_string_equal(text, "Ann");
    assert_int_equal(signet_verified_claim_int(verified, "age", &number), SIGNET_OK);
    assert_int_equal(number, -7);
    assert_int_equal(signet_verified_claim_double(verified, "ratio", &real), SIGNET_OK);
    assert_true(real > 0.4999 && real < 0.5001);
    assert_int_equal(signet_verified_claim_double(verified, "age", &real), SIGNET_OK);
    assert_true(real < -6.9999 && real > -7.0001);
    assert_int_equal(signet_verified_claim_bool(verified, "admin", &flag), SIGNET_OK);
    assert_true(flag);
    assert_int_equal(signet_verified_claim_json(verified, "roles", &text), SIGNET_OK);
    assert_non_null(strstr(text, "\"a\""));
    assert_int_equal(signet_verified_claim_int(verified, "name", &number),
                     SIGNET_FAILED_PRECONDITION);
    assert_int_equal(signet_verified_claim_int(verified, "absent", &number), SIGNET_NOT_FOUND);
    assert_int_equal(signet_verified_claim_type(verified, "absent"), SIGNET_CLAIM_NONE);
    assert_int_equal(number, -7);
    assert_true(signet_verified_has_scope(verified, "read"));
    assert_false(signet_verified_has_scope(verified, "read write"));
    assert_false(signet_verified_has_scope(verified, "wri"));
    assert_false(signet_verified_has_scope(verified, ""));
    assert_false(signet_verified_has_scope(verified, NULL));
    assert_non_null(strstr(signet_verified_claims_json(verified), "\"Ann\""));
    signet_verified_free(verified);
    signet_signed_free(token);
    signet_client_free(client);
}

static void test_client__batches_answer_each_on_its_own(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    struct signet_sign_options requests[CLIENT_BATCH];
    for (size_t i = 0; i < CLIENT_BATCH; i++) {
        requests[i] = client_sign_options("demo-hs256");
    }
    requests[3].keyset = "no-such-keyset";
    struct signet_sign_batch *minted = NULL;
    assert_int_equal(signet_sign_many(client, requests, CLIENT_BATCH, 0, &minted, NULL), SIGNET_OK);
    struct signet_token_view views[CLIENT_BATCH];
    for (size_t i = 0; i < CLIENT_BATCH; i++) {
        const struct signet_signed *token = NULL;
        struct signet_error error;
        views[i].token = "a.b.c";
        if (i == 3) {
            assert_int_equal(signet_sign_batch_get(minted, i, &token, &error), SIGNET_NOT_FOUND);
        } else {
            assert_int_equal(signet_sign_batch_get(minted, i, &token, NULL), SIGNET_OK);
            views[i].token = signet_signed_token(token);
        }
        views[i].token_len = strlen(views[i].token);
    }
    struct signet_verify_options options = client_verify_options();
    struct signet_verify_batch *judged = NULL;
    assert_int_equal(signet_verify_many(client, views, CLIENT_BATCH, &options, &judged, NULL),
                     SIGNET_OK);
    for (size_t i = 0; i < CLIENT_BATCH; i++) {
        const struct signet_verified *token = NULL;
        struct signet_error error;
        signet_status status = signet_verify_batch_get(judged, i, &token, &error);
        assert_int_equal(status, i == 3 ? SIGNET_REJECTED : SIGNET_OK);
        assert_true(i == 3 ? token == NULL : token != NULL);
    }
    signet_verify_batch_free(judged);
    signet_sign_batch_free(minted);
    signet_client_free(client);
}

static void test_client__bearer_jwks_and_health(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    struct signet_sign_options sign = client_sign_options("demo-rs256");
    struct signet_signed *token = client_sign(client, &sign);
    char header[SG_MAX_TOKEN_LEN + 16];
    (void)snprintf(header, sizeof(header), "bearer  %s", signet_signed_token(token));
    struct signet_verify_options options = client_verify_options();
    struct signet_verified *verified = NULL;
    assert_int_equal(signet_verify_bearer(client, header, &options, &verified, NULL), SIGNET_OK);
    signet_verified_free(verified);
    char *jwks = NULL;
    assert_int_equal(signet_jwks(client, NULL, 0, &jwks, NULL), SIGNET_OK);
    assert_non_null(strstr(jwks, signet_signed_kid(token)));
    assert_null(strstr(jwks, "\"d\""));
    signet_string_free(jwks);
    struct signet_error error;
    jwks = NULL;
    assert_int_equal(signet_jwks(client, "no-such-keyset", 0, &jwks, &error), SIGNET_NOT_FOUND);
    assert_null(jwks);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    assert_int_equal(signet_health(client, SG_MAX_TIMEOUT_MS + 1, NULL), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_jwks(client, NULL, SG_MAX_TIMEOUT_MS + 1, &jwks, NULL),
                     SIGNET_INVALID_ARGUMENT);
    assert_null(jwks);
    signet_signed_free(token);
    signet_client_free(client);
}

static void test_client__a_stopped_daemon_is_deadline_exceeded(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_SHORT_MS);
    struct signet_client *patient = client_new(CLIENT_LONG_MS);
    (void)test_daemon_kill(&client_daemon, SIGSTOP);
    struct signet_verify_options options = client_verify_options();
    struct signet_verified *out = NULL;
    struct signet_error error;
    assert_int_equal(client_verify(client, "a.b.c", &options, &out, &error),
                     SIGNET_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error.message, client_daemon.socket));
    assert_null(out);
    /* A call's own timeout counts, not the client's. */
    char *jwks = NULL;
    assert_int_equal(signet_health(patient, CLIENT_SHORT_MS, &error), SIGNET_DEADLINE_EXCEEDED);
    assert_int_equal(signet_jwks(patient, NULL, CLIENT_SHORT_MS, &jwks, &error),
                     SIGNET_DEADLINE_EXCEEDED);
    assert_null(jwks);
    signet_client_free(patient);
    (void)test_daemon_kill(&client_daemon, SIGCONT);
    signet_client_free(client);
}

static void test_client__a_killed_daemon_is_unavailable_and_a_restarted_one_is_found(void **state)
{
    (void)state;
    struct signet_client *client = client_new(CLIENT_LONG_MS);
    struct signet_client *hasty = client_new(CLIENT_SHORT_MS);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    assert_int_equal(signet_health(hasty, 0, NULL), SIGNET_OK);
    (void)test_daemon_kill(&client_daemon, SIGKILL);
    struct signet_error error;
    assert_int_equal(signet_health(hasty, 0, &error), SIGNET_UNAVAILABLE);
    assert_string_equal(error.code, "CONNECT_FAILED");
    /* A call that begins before the daemon does. */
    pid_t caller = fork();
    if (caller == 0) {
        _exit(signet_health(client, 0, NULL) == SIGNET_OK ? 0 : 1);
    }
    assert_true(caller > 0);
    test_daemon_restart(&client_daemon, NULL);
    int status = -1;
    assert_int_equal(waitpid(caller, &status, 0), caller);
    assert_int_equal(status, 0);
    assert_int_equal(signet_health(client, 0, NULL), SIGNET_OK);
    assert_int_equal(signet_health(hasty, 0, NULL), SIGNET_OK);
    signet_client_free(hasty);
    signet_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client__each_keyset_signs_what_it_verifies),
        cmocka_unit_test(test_client__a_token_that_is_not_good_is_rejected_with_its_reason),
        cmocka_unit_test(test_client__claims_come_back_typed),
        cmocka_unit_test(test_client__batches_answer_each_on_its_own),
        cmocka_unit_test(test_client__bearer_jwks_and_health),
        cmocka_unit_test(test_client__a_stopped_daemon_is_deadline_exceeded),
        cmocka_unit_test(test_client__a_killed_daemon_is_unavailable_and_a_restarted_one_is_found),
    };
    (void)alarm(CLIENT_WATCHDOG_S);
    return cmocka_run_group_tests(tests, client_setup, client_teardown);
}
