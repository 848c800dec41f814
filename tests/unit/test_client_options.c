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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
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
    options.cache_entries = (1u << 20) + 1;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.cache_entries = SIGNET_CACHE_OFF - 1;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.cache_entries = SIGNET_CACHE_OFF;
    options.cache_kib = (1u << 20) + 1;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_INVALID_ARGUMENT);
    options.cache_kib = 1u << 20;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    signet_client_free(client);
    client = NULL;
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

/* ---- Revoke ---- */

static signet_status options_revoke(struct signet_client *client,
                                    const struct signet_revoke_options *options,
                                    struct signet_error *error)
{
    struct signet_revocation *out = NULL;
    signet_status status = signet_revoke(client, options, &out, error);
    assert_null(out);
    return status;
}

static void test_revoke__exactly_one_thing_is_revoked(void **state)
{
    (void)state;
    struct signet_client *client = NULL;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    for (unsigned set = 0; set < 32; set++) {
        struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
        struct signet_error error;
        options.token = (set & 1) != 0 ? "a.b.c" : NULL;
        options.jti = (set & 2) != 0 ? "j" : NULL;
        options.subject = (set & 4) != 0 ? "s" : NULL;
        options.all = (set & 8) != 0;
        options.kid = (set & 16) != 0 ? "i" : NULL;
        options.keyset = "k";
        bool is_one = set != 0 && (set & (set - 1)) == 0;
        assert_int_equal(options_revoke(client, &options, &error),
                         is_one ? SIGNET_UNAVAILABLE : SIGNET_INVALID_ARGUMENT);
        if (!is_one) {
            assert_string_equal(error.code, set == 0 ? "WHAT_REQUIRED" : "WHAT_AMBIGUOUS");
        }
        /* Only a token says its keyset itself. */
        options.keyset = NULL;
        assert_int_equal(options_revoke(client, &options, NULL),
                         set == 1 ? SIGNET_UNAVAILABLE : SIGNET_INVALID_ARGUMENT);
    }
    signet_client_free(client);
}

static void test_revoke__options_out_of_range_are_invalid(void **state)
{
    (void)state;
    static char long_text[SG_MAX_TOKEN_LEN + 2];
    memset(long_text, 'x', sizeof(long_text) - 1);
    const char *long_255 = long_text + sizeof(long_text) - 1 - 256;
    const struct signet_revoke_options init = SIGNET_REVOKE_OPTIONS_INIT;
    const struct {
        const char *token, *jti, *subject, *keyset, *reason;
        int64_t expires_at;
        const char *code; /* NULL: it is taken */
        const char *kid;
    } cases[] = {
        {"", NULL, NULL, NULL, NULL, 0, "OPTION_EMPTY", NULL},
        {long_text, NULL, NULL, NULL, NULL, 0, "OPTION_TOO_LONG", NULL},
        {long_text + 1, NULL, NULL, NULL, NULL, 0, NULL, NULL},
        {"t", NULL, NULL, "", NULL, 0, "OPTION_EMPTY", NULL},
        {"t", NULL, NULL, NULL, NULL, 1, "EXPIRES_AT_INVALID", NULL},
        {NULL, "", NULL, "k", NULL, 0, "OPTION_EMPTY", NULL},
        {NULL, long_255, NULL, "k", NULL, 0, "OPTION_TOO_LONG", NULL},
        {NULL, long_255 + 1, NULL, "k", long_255 + 1, 1, NULL, NULL},
        {NULL, "j", NULL, "k", NULL, -1, "EXPIRES_AT_INVALID", NULL},
        {NULL, NULL, "", "k", NULL, 0, "OPTION_EMPTY", NULL},
        {NULL, NULL, long_255, "k", NULL, 0, "OPTION_TOO_LONG", NULL},
        {NULL, NULL, "s", "k", NULL, 1, "EXPIRES_AT_INVALID", NULL},
        {NULL, NULL, "s", "k", "", 0, "OPTION_EMPTY", NULL},
        {NULL, NULL, "s", "k", long_255, 0, "OPTION_TOO_LONG", NULL},
        {NULL, NULL, "s", long_255, NULL, 0, "OPTION_TOO_LONG", NULL},
        {NULL, NULL, NULL, "k", NULL, 0, "OPTION_EMPTY", ""},
        {NULL, NULL, NULL, "k", NULL, 0, "OPTION_TOO_LONG", long_255 - 1},
        {NULL, NULL, NULL, "k", NULL, 0, NULL, long_255},
        {NULL, NULL, NULL, "k", NULL, 1, "EXPIRES_AT_INVALID", "i"},
    };
    struct signet_client *client = NULL;
    struct signet_error error;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct signet_revoke_options options = init;
        options.token = cases[i].token;
        options.jti = cases[i].jti;
        options.subject = cases[i].subject;
        options.kid = cases[i].kid;
        options.keyset = cases[i].keyset;
        options.reason = cases[i].reason;
        options.expires_at = cases[i].expires_at;
        signet_status status = options_revoke(client, &options, &error);
        if (status != (cases[i].code == NULL ? SIGNET_UNAVAILABLE : SIGNET_INVALID_ARGUMENT) ||
            (cases[i].code != NULL && strcmp(error.code, cases[i].code) != 0)) {
            fail_msg("case %zu: %s %s", i, error.code, error.message);
        }
    }
    struct signet_revoke_options good = init;
    good.token = "t";
    struct signet_revocation *out = NULL;
    assert_int_equal(signet_revoke(NULL, &good, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_revoke(client, NULL, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(signet_revoke(client, &good, NULL, &error), SIGNET_INVALID_ARGUMENT);
    good.timeout_ms = SG_MAX_TIMEOUT_MS + 1;
    assert_int_equal(signet_revoke(client, &good, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "TIMEOUT_RANGE");
    assert_null(out);
    signet_revocation_free(NULL);
    signet_client_free(client);
}

/* ---- Programs and libraries of different versions ---- */

#define OPTIONS_ADDED 8u /* bytes of a member that a later version has */

static void test_take_options__members_that_the_program_does_not_have_are_zero(void **state)
{
    (void)state;
    struct later {
        size_t size;
        uint64_t first;
        uint64_t added;
    };
    static const struct sg_options_layout layout = {
        .initializer = "LATER_INIT",
        .first_len = SG_OPTIONS_END(struct later, first),
        .known_len = SG_OPTIONS_END(struct later, added),
    };
    /* What stands behind a shorter struct is not its own. */
    const struct later given = {.size = offsetof(struct later, added), .first = 7, .added = 9};
    struct later taken = {.size = 0};
    assert_int_equal(sg_client_take_options(&layout, &given, &taken, NULL), SIGNET_OK);
    assert_int_equal(taken.first, 7);
    assert_int_equal(taken.added, 0);

    const struct later whole = {.size = sizeof(whole), .first = 7, .added = 9};
    assert_int_equal(sg_client_take_options(&layout, &whole, &taken, NULL), SIGNET_OK);
    assert_int_equal(taken.added, 9);

    const struct later no_size = {.size = SIZE_MAX};
    struct signet_error error;
    assert_int_equal(sg_client_take_options(&layout, &no_size, &taken, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "OPTIONS_SIZE");
    assert_non_null(strstr(error.message, "LATER_INIT"));
}

/* Calls with options of every size that matters, in memory that is longer than the struct. first_len
 * is where the first version ends, known_len where what is read ends; good: what a call returns whose
 * options are taken. */
static void options_try_sizes(void *options, size_t struct_len, size_t first_len, size_t known_len,
                              signet_status good,
                              signet_status (*call)(const void *options,
                                                    struct signet_error *error))
{
    uint8_t *bytes = options;
    const struct {
        size_t size;
        size_t dirty; /* a byte that is not zero; 0: none */
        signet_status status;
        const char *code;
    } cases[] = {
        {struct_len, 0, good, NULL},
        {first_len, 0, good, NULL},
        {first_len, first_len, good, NULL}, /* not in the struct any more */
        {known_len, 0, good, NULL},
        {known_len, known_len, good, NULL},
        {struct_len + OPTIONS_ADDED, 0, good, NULL},
        {struct_len + OPTIONS_ADDED, struct_len, SIGNET_INVALID_ARGUMENT, "OPTIONS_UNKNOWN"},
        {struct_len + OPTIONS_ADDED, struct_len + OPTIONS_ADDED - 1, SIGNET_INVALID_ARGUMENT,
         "OPTIONS_UNKNOWN"},
        {struct_len + OPTIONS_ADDED, known_len, SIGNET_INVALID_ARGUMENT, "OPTIONS_UNKNOWN"},
        {first_len - 1, 0, SIGNET_INVALID_ARGUMENT, "OPTIONS_SIZE"},
        {0, 0, SIGNET_INVALID_ARGUMENT, "OPTIONS_SIZE"},
        {SIZE_MAX, 0, SIGNET_INVALID_ARGUMENT, "OPTIONS_SIZE"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(bytes, &cases[i].size, sizeof(cases[i].size));
        memset(bytes + first_len, 0, struct_len + OPTIONS_ADDED - first_len);
        if (cases[i].dirty != 0) {
            bytes[cases[i].dirty] = 1;
        }
        struct signet_error error = {.status = SIGNET_OK};
        if (call(options, &error) != cases[i].status ||
            (cases[i].code != NULL && strcmp(error.code, cases[i].code) != 0)) {
            fail_msg("case %zu: %s %s", i, error.code, error.message);
        }
    }
}

static signet_status options_call_new(const void *options, struct signet_error *error)
{
    struct signet_client *client = NULL;
    signet_status status = signet_client_new(options, &client, error);
    signet_client_free(client);
    return status;
}

static struct signet_client *options_nowhere;

static signet_status options_call_sign(const void *options, struct signet_error *error)
{
    struct signet_signed *out = NULL;
    signet_status status = signet_sign(options_nowhere, options, &out, error);
    assert_null(out);
    return status;
}

static signet_status options_call_verify(const void *options, struct signet_error *error)
{
    return options_verify(options_nowhere, "a.b.c", 5, options, error);
}

static signet_status options_call_revoke(const void *options, struct signet_error *error)
{
    return options_revoke(options_nowhere, options, error);
}

static void test_options__of_an_older_and_of_a_newer_program_are_taken(void **state)
{
    (void)state;
    struct {
        struct signet_client_options options;
        uint8_t added[OPTIONS_ADDED];
    } client = {SIGNET_CLIENT_OPTIONS_INIT, {0}};
    client.options.address = OPTIONS_NOWHERE;
    options_try_sizes(&client, sizeof(client.options),
                      offsetof(struct signet_client_options, cache_entries), sizeof(client.options),
                      SIGNET_OK, options_call_new);

    assert_int_equal(options_new(OPTIONS_NOWHERE, &options_nowhere, NULL), SIGNET_OK);
    struct {
        struct signet_sign_options options;
        uint8_t added[OPTIONS_ADDED];
    } sign = {SIGNET_SIGN_OPTIONS_INIT, {0}};
    sign.options.keyset = "k";
    sign.options.subject = "s";
    sign.options.audiences = options_me;
    sign.options.num_audiences = 1;
    options_try_sizes(&sign, sizeof(sign.options), offsetof(struct signet_sign_options, reserved),
                      offsetof(struct signet_sign_options, reserved), SIGNET_UNAVAILABLE,
                      options_call_sign);

    struct {
        struct signet_verify_options options;
        uint8_t added[OPTIONS_ADDED];
    } verify = {SIGNET_VERIFY_OPTIONS_INIT, {0}};
    verify.options.any_audience = true;
    options_try_sizes(
        &verify, sizeof(verify.options), offsetof(struct signet_verify_options, consume),
        offsetof(struct signet_verify_options, reserved), SIGNET_UNAVAILABLE, options_call_verify);

    struct {
        struct signet_revoke_options options;
        uint8_t added[OPTIONS_ADDED];
    } revoke = {SIGNET_REVOKE_OPTIONS_INIT, {0}};
    revoke.options.all = true;
    revoke.options.keyset = "k";
    options_try_sizes(
        &revoke, sizeof(revoke.options), offsetof(struct signet_revoke_options, reserved),
        offsetof(struct signet_revoke_options, reserved), SIGNET_UNAVAILABLE, options_call_revoke);
    signet_client_free(options_nowhere);
}

static void test_sign_many__strides_by_the_size_of_the_callers_struct(void **state)
{
    (void)state;
    struct {
        struct signet_sign_options options;
        uint8_t added[OPTIONS_ADDED];
    } requests[3];
    for (size_t i = 0; i < 3; i++) {
        const struct signet_sign_options init = SIGNET_SIGN_OPTIONS_INIT;
        memset(&requests[i], 0, sizeof(requests[i]));
        requests[i].options = init;
        requests[i].options.size = sizeof(requests[i]);
        requests[i].options.keyset = "k";
        requests[i].options.subject = "s";
        requests[i].options.audiences = options_me;
        requests[i].options.num_audiences = 1;
    }
    struct signet_client *client = NULL;
    struct signet_sign_batch *batch = NULL;
    struct signet_error error;
    assert_int_equal(options_new(OPTIONS_NOWHERE, &client, NULL), SIGNET_OK);
    const struct signet_sign_options *first = &requests[0].options;
    assert_int_equal(signet_sign_many(client, first, 3, 0, &batch, &error), SIGNET_UNAVAILABLE);
    requests[2].options.subject = NULL;
    assert_int_equal(signet_sign_many(client, first, 3, 0, &batch, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "request 2: subject"));
    requests[2].added[0] = 1;
    assert_int_equal(signet_sign_many(client, first, 3, 0, &batch, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_string_equal(error.code, "OPTIONS_UNKNOWN");
    requests[1].options.size = sizeof(requests[1].options);
    assert_int_equal(signet_sign_many(client, first, 3, 0, &batch, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "request 1: its options are of another size"));
    assert_null(batch);
    signet_client_free(client);
}

static void test_error__room_for_later_members_is_zero(void **state)
{
    (void)state;
    static const char zeros[64] = {0};
    struct signet_error error;
    memset(&error, 0xff, sizeof(error));
    assert_int_equal(signet_client_new(NULL, NULL, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sizeof(error.reserved), sizeof(zeros));
    assert_memory_equal(error.reserved, zeros, sizeof(zeros));
}

static void test_version__of_the_header_is_that_of_the_library(void **state)
{
    (void)state;
    char text[40];
    (void)snprintf(text, sizeof(text), "%d.%d.%d", SIGNET_VERSION_MAJOR, SIGNET_VERSION_MINOR,
                   SIGNET_VERSION_PATCH);
    assert_string_equal(text, signet_version());
#if SIGNET_VERSION_NUMBER < 1000
    fail_msg("SIGNET_VERSION_NUMBER does not tell 0.1.0 from nothing");
#endif
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
        cmocka_unit_test(test_revoke__exactly_one_thing_is_revoked),
        cmocka_unit_test(test_revoke__options_out_of_range_are_invalid),
        cmocka_unit_test(test_take_options__members_that_the_program_does_not_have_are_zero),
        cmocka_unit_test(test_options__of_an_older_and_of_a_newer_program_are_taken),
        cmocka_unit_test(test_sign_many__strides_by_the_size_of_the_callers_struct),
        cmocka_unit_test(test_error__room_for_later_members_is_zero),
        cmocka_unit_test(test_version__of_the_header_is_that_of_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
