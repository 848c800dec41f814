/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library refuses by itself: nothing here has a daemon, and a call that tried to reach one
 * would come back UNAVAILABLE.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <signet/client.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

#define OPTIONS_NOWHERE "/nonexistent/signet.sock"

static const char *const options_me[] = {"me"};

static signet_status options_new(const char *address, struct signet_client **out,
                                 struct signet_error *error)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = address;
    options.timeout_ms = 20;
    return signet_client_new(&options, out, error);
}

static void test_address__forms_of_a_path_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {"ipc:///run/x.sock", "unix:///run/x.sock", "/run/x.sock"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct signet_client *client = NULL;
        assert_int_equal(options_new(good[i], &client, NULL), SIGNET_OK);
        signet_client_free(client);
    }
}

static void test_address__anything_else_is_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "run/x.sock",
                                      "ipc://run/x.sock",
                                      "ipc:/run/x.sock",
                                      "IPC:///run/x.sock",
                                      "abstract://signet",
                                      "@signet",
                                      "ipc://@signet",
                                      "tcp://127.0.0.1:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct signet_client *client = NULL;
        struct signet_error error;
        assert_int_equal(options_new(bad[i], &client, &error), SIGNET_INVALID_ARGUMENT);
        assert_string_equal(error.code, "ADDRESS_INVALID");
        assert_null(client);
    }
}

static void test_address__a_path_of_107_bytes_is_the_longest(void **state)
{
    (void)state;
    char path[7 + 109] = "unix://";
    memset(path + 7, '/', 108);
    path[7 + 107] = '\0';
    struct signet_client *client = NULL;
    assert_int_equal(options_new(path, &client, NULL), SIGNET_OK);
    signet_client_free(client);
    client = NULL;
    path[7 + 107] = '/';
    path[7 + 108] = '\0';
    struct signet_error error;
    assert_int_equal(options_new(path, &client, &error), SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "ADDRESS_TOO_LONG");
    assert_null(client);
}

static void test_client_new__out_of_range_options_are_invalid(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.timeout_ms = SG_MAX_TIMEOUT_MS + 1;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.timeout_ms = SG_MAX_TIMEOUT_MS;
    options.server_uid = -2;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.server_uid = INT64_C(1) << 32;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.server_uid = -1;
    options.size = 0;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_client_new(NULL, NULL, NULL), SIGNET_INVALID_ARGUMENT);
    assert_null(client);
    signet_client_free(NULL);
}

static void test_environment__a_server_uid_that_is_no_number_is_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {"root", "-1",         " 1",
                                      "1 ",   "4294967295", "99999999999999999999"};
    struct signet_client *client = NULL;
    struct signet_error error;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(setenv("SIGNET_SERVER_UID", bad[i], 1), 0);
        assert_int_equal(options_new("/x", &client, &error), SIGNET_INVALID_ARGUMENT);
        assert_string_equal(error.code, "SERVER_UID_RANGE");
    }
    assert_int_equal(setenv("SIGNET_SERVER_UID", "0", 1), 0);
    assert_int_equal(options_new("/x", &client, NULL), SIGNET_OK);
    signet_client_free(client);
    assert_int_equal(unsetenv("SIGNET_SERVER_UID"), 0);
}

static void test_environment__the_address_is_taken_from_it(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    assert_int_equal(setenv("SIGNET_ADDRESS", "not-an-address", 1), 0);
    assert_int_equal(signet_client_new(NULL, &client, NULL), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(options_new("/x", &client, NULL), SIGNET_OK); /* the option comes first */
    signet_client_free(client);
    assert_int_equal(setenv("SIGNET_ADDRESS", "", 1), 0);
    assert_int_equal(signet_client_new(NULL, &client, NULL), SIGNET_OK);
    signet_client_free(client);
    assert_int_equal(unsetenv("SIGNET_ADDRESS"), 0);
}

/* ---- Verify ---- */

static signet_status options_verify(struct signet_client *client, const char *token, size_t len,
                                    const struct signet_verify_options *options,
                                    struct signet_error *error)
{
    struct signet_verified *out = NULL;
    signet_status status = signet_verify(client, token, len, options, &out, error);
    assert_null(out);
    assert_int_equal(error->status, status);
    return status;
}

static void test_verify__options_that_ask_nothing_sensible_are_invalid(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    struct signet_error error;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    const struct signet_verify_options init = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verify_options options = init;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "AUDIENCE_MISSING");

    struct signet_verify_options good = init;
    good.audiences = options_me;
    good.num_audiences = 1;
    assert_int_equal(options_verify(client, "a.b.c", 5, &good, &error), SIGNET_UNAVAILABLE);

    options = good;
    options.any_audience = true;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "AUDIENCE_AMBIGUOUS");
    /* "" means "any" on the wire: a forgotten setting must not widen what is accepted. */
    const char **fields[] = {&options.keyset, &options.issuer, &options.subject, &options.typ};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        options = good;
        *fields[i] = "";
        assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error),
                         SIGNET_INVALID_ARGUMENT);
        assert_string_equal(error.code, "OPTION_EMPTY");
    }
    static const char *const empty[] = {""};
    options = good;
    options.audiences = empty;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.num_audiences = SG_MAX_AUDIENCES + 1;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.leeway_s = SG_MAX_LEEWAY_S + 1;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.size = 0;
    assert_int_equal(options_verify(client, "a.b.c", 5, &options, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(options_verify(client, "a.b.c", 5, NULL, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(options_verify(NULL, "a.b.c", 5, &good, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(options_verify(client, NULL, 0, &good, &error), SIGNET_INVALID_ARGUMENT);
    signet_client_free(client);
}

static void test_verify__what_cannot_be_a_token_is_malformed_without_a_daemon(void **state)
{
    (void)state;
    static char large[SG_MAX_TOKEN_LEN + 1];
    memset(large, 'a', sizeof(large));
    struct signet_client *client = NULL;
    struct signet_error error;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.any_audience = true;
    static const struct signet_token_view bad[] = {
        {"", 0},         {"a.b.c\0.d", 8},    {"a.b.c\n", 6},
        {" a.b.c", 6},   {"a.b.\xc3\xa9", 6}, {large, sizeof(large)},
        {"a.b.c\x7f", 6}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(options_verify(client, bad[i].token, bad[i].token_len, &options, &error),
                         SIGNET_REJECTED);
        assert_int_equal(error.reason, SIGNET_REASON_MALFORMED);
    }
    assert_int_equal(options_verify(client, large, SG_MAX_TOKEN_LEN, &options, &error),
                     SIGNET_UNAVAILABLE);
    signet_client_free(client);
}

static void test_verify_bearer__only_one_bearer_token_crosses(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    struct signet_error error;
    struct signet_verified *out = NULL;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.any_audience = true;
    static const char *const bad[] = {
        NULL,         "",           "Bearer",        "Bearer ",       "Bearera.b.c",
        "Basic abc",  "Bearer a b", " Bearer a.b.c", "Bearer a.b.c ", "Bearer\ta.b.c",
        "Bearer a,b", "a.b.c"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(signet_verify_bearer(client, bad[i], &options, &out, &error),
                         SIGNET_REJECTED);
        assert_int_equal(error.reason, SIGNET_REASON_MALFORMED);
    }
    static const char *const good[] = {"Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(signet_verify_bearer(client, good[i], &options, &out, &error),
                         SIGNET_UNAVAILABLE);
    }
    assert_null(out);
    signet_client_free(client);
}

/* ---- Sign ---- */

static void test_sign__required_options_are_required(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    struct signet_error error;
    struct signet_signed *out = NULL;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    struct signet_sign_options good = SIGNET_SIGN_OPTIONS_INIT;
    good.keyset = "k";
    good.subject = "s";
    good.audiences = options_me;
    good.num_audiences = 1;
    assert_int_equal(signet_sign(client, &good, &out, &error), SIGNET_UNAVAILABLE);
    struct signet_sign_options options = good;
    options.keyset = NULL;
    assert_int_equal(signet_sign(client, &options, &out, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.subject = NULL;
    assert_int_equal(signet_sign(client, &options, &out, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.num_audiences = 0;
    assert_int_equal(signet_sign(client, &options, &out, &error), SIGNET_INVALID_ARGUMENT);
    options = good;
    options.timeout_ms = SG_MAX_TIMEOUT_MS + 1;
    assert_int_equal(signet_sign(client, &options, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_sign(client, NULL, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_sign(client, &good, NULL, &error), SIGNET_INVALID_ARGUMENT);

    struct signet_sign_batch *batch = NULL;
    struct signet_sign_options two[2] = {good, good};
    two[1].keyset = NULL;
    assert_int_equal(signet_sign_many(client, two, 2, 0, &batch, &error), SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "request 1: keyset"));
    assert_int_equal(signet_sign_many(client, two, 0, 0, &batch, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_sign_many(client, two, SG_MAX_BATCH + 1, 0, &batch, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_null(out);
    assert_null(batch);
    signet_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__forms_of_a_path_are_taken),
        cmocka_unit_test(test_address__anything_else_is_invalid),
        cmocka_unit_test(test_address__a_path_of_107_bytes_is_the_longest),
        cmocka_unit_test(test_client_new__out_of_range_options_are_invalid),
        cmocka_unit_test(test_environment__a_server_uid_that_is_no_number_is_invalid),
        cmocka_unit_test(test_environment__the_address_is_taken_from_it),
        cmocka_unit_test(test_verify__options_that_ask_nothing_sensible_are_invalid),
        cmocka_unit_test(test_verify__what_cannot_be_a_token_is_malformed_without_a_daemon),
        cmocka_unit_test(test_verify_bearer__only_one_bearer_token_crosses),
        cmocka_unit_test(test_sign__required_options_are_required),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
