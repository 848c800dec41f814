/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet revoke` and `signet revocations`, run as people and scripts run them, against daemons that are
 * good and ones that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"
#include "tests/support/fake_server.h"
#include "tests/support/files.h"

/* Bounds a hang; measures nothing. */
#define REVOKE_LIMIT_MS 60000
#define REVOKE_MAX_ARGS 24
#define REVOKE_PAGE     500u
#define REVOKE_MANY     1100u /* three pages */

static char revoke_program[512];

/* ---- Running it ---- */

static struct test_output revoke_run_list(const struct fake_server *server, const char *input,
                                          const char *const *arguments)
{
    const char *argv[REVOKE_MAX_ARGS + 4] = {revoke_program, "--address", server->address};
    struct test_output output = {0};
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < REVOKE_MAX_ARGS);
        argv[3 + i] = arguments[i];
    }
    test_run(argv, input, REVOKE_LIMIT_MS, &output);
    return output;
}

#define REVOKE_RUN(server, input, ...)                                                             \
    revoke_run_list(server, input, (const char *const[]){__VA_ARGS__, NULL})

static void revoke_assert_exit(const struct test_output *output, int expected)
{
    if (output->exit_status != expected) {
        fail_msg("exit status %d instead of %d\nout: %s\nerr: %s", output->exit_status, expected,
                 output->out, output->err);
    }
}

/* One line, "signet: ...", that holds needle, and nothing on standard output. */
static void revoke_assert_complaint(const struct test_output *output, int expected,
                                    const char *needle)
{
    revoke_assert_exit(output, expected);
    assert_string_equal(output->out, "");
    assert_int_equal(strncmp(output->err, "signet: ", 8), 0);
    assert_string_equal(output->err + strcspn(output->err, "\n"), "\n");
    if (strstr(output->err, needle) == NULL) {
        fail_msg("not found: '%s' in:\n%s", needle, output->err);
    }
}

static void revoke_assert_says(const struct fake_server *server, const char *input,
                               const char *const *arguments, const char *expected)
{
    struct test_output output = revoke_run_list(server, input, arguments);
    revoke_assert_exit(&output, 0);
    assert_string_equal(output.out, expected);
    assert_string_equal(output.err, "");
    test_output_free(&output);
}

#define REVOKE_SAYS(server, input, expected, ...)                                                  \
    revoke_assert_says(server, input, (const char *const[]){__VA_ARGS__, NULL}, expected)

/* ---- revoke ---- */

static void test_revoke__says_what_it_did_and_from_when_on_tokens_are_good(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    REVOKE_SAYS(&server, NULL,
                "All tokens of keyset login are revoked.\n"
                "Every token under its keys that was issued until 2099-12-31T23:00:00Z, in that "
                "second too, is refused from now on.\n"
                "Tokens that are issued from 2099-12-31T23:00:01Z on are good.\n"
                "This is never forgotten.\n",
                "revoke", "--all", "--keyset", "login");
    /* The honest fake gives the keyset back as issuer. */
    REVOKE_SAYS(&server, NULL,
                "Subject alice of login is revoked.\n"
                "Every token for it that was issued until 2099-12-31T23:00:00Z, in that second "
                "too, is refused from now on.\n"
                "Tokens that are issued from 2099-12-31T23:00:01Z on are good.\n"
                "This is never forgotten.\n",
                "revoke", "--subject", "alice", "--keyset", "login");
    REVOKE_SAYS(&server, NULL,
                "Token -j of login is revoked: it is refused from now on.\n"
                "This may be forgotten after 2099-12-31T23:30:00Z, when none of them can be "
                "accepted any more.\n",
                "revoke", "--jti", "-j", "--keyset", "login", "--expires-at",
                "2099-12-31T23:30:00Z");
    REVOKE_SAYS(&server, NULL,
                "Token \\u001b]0; of login is revoked: it is refused from now on.\n"
                "This is never forgotten.\n",
                "revoke", "--jti", "\x1b]0;", "--keyset", "login");
    static const char of_kid[] =
        "Key --x of keyset idp is revoked: every token under it is refused from now on.\n"
        "This is never forgotten.\n";
    REVOKE_SAYS(&server, NULL, of_kid, "revoke", "--kid=--x", "--keyset", "idp");
    REVOKE_SAYS(&server, NULL, of_kid, "revoke", "--keyset=idp", "--kid", "--x");
    fake_server_stop(&server);
}

static void test_revoke__takes_one_thing_and_its_keyset(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct test_output output = REVOKE_RUN(&server, NULL, "revoke", "--kid", "k");
    revoke_assert_complaint(&output, 2, "--keyset KEYSET is required");
    test_output_free(&output);
    output = REVOKE_RUN(&server, NULL, "revoke", "--kid", "k", "--all", "--keyset", "idp");
    revoke_assert_complaint(&output, 2, "exclude each other");
    test_output_free(&output);
    output = REVOKE_RUN(&server, NULL, "revoke", "--keyset", "idp");
    revoke_assert_complaint(&output, 2, "what is to be revoked?");
    test_output_free(&output);
    output = REVOKE_RUN(&server, NULL, "revoke", "--kid", "k", "--keyset", "idp", "--expires-at",
                        "+10m");
    revoke_assert_complaint(&output, 2, "--expires-at goes with --jti only");
    test_output_free(&output);
    fake_server_stop(&server);
}

/* The honest fake gives the token back as jti. */
static void test_revoke__takes_the_token_as_verify_does(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    static const char expected[] =
        "Token a.b.c of https://issuer is revoked: it is refused from now on.\n"
        "This is never forgotten.\n";
    REVOKE_SAYS(&server, NULL, expected, "revoke", "--token", "a.b.c");
    REVOKE_SAYS(&server, "a.b.c", expected, "revoke", "--token", "-");
    REVOKE_SAYS(&server, "a.b.c\r\n", expected, "revoke", "--token", "-");

    struct test_output output = REVOKE_RUN(&server, "\n", "revoke", "--token", "-");
    revoke_assert_complaint(&output, 2, "no token on standard input");
    test_output_free(&output);
    /* Longer than any token may be: refused, not cut. */
    char *long_token = malloc(20001);
    assert_non_null(long_token);
    memset(long_token, 'x', 20000);
    long_token[20000] = '\0';
    output = REVOKE_RUN(&server, long_token, "revoke", "--token", "-");
    revoke_assert_complaint(&output, 2, "OPTION_TOO_LONG");
    test_output_free(&output);
    free(long_token);
    /* Not as the token that ends at the NUL. */
    char command[700];
    (void)snprintf(command, sizeof(command),
                   "printf 'a.b.c\\0d' | exec '%s' --address '%s' revoke --token -", revoke_program,
                   server.address);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    test_run(argv, NULL, REVOKE_LIMIT_MS, &output);
    revoke_assert_complaint(&output, 2, "holds a NUL");
    test_output_free(&output);
    fake_server_stop(&server);
}

static void test_revoke__json_holds_what_is_in_force(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    REVOKE_SAYS(&server, NULL,
                "{\"kind\":\"token\",\"issuer\":\"login\",\"keyset\":\"\",\"name\":\"j\","
                "\"revoked_at\":4102441200,\"until\":4102441260,\"uid\":4711,"
                "\"reason\":\"seen in a log\"}\n",
                "revoke", "--jti", "j", "--keyset", "login", "--expires-at", "4102441260",
                "--reason", "seen in a log", "--json");
    REVOKE_SAYS(&server, NULL,
                "{\"kind\":\"keyset\",\"issuer\":\"\",\"keyset\":\"login\",\"name\":\"\","
                "\"revoked_at\":4102441200,\"until\":null,\"uid\":4711,\"reason\":\"\"}\n",
                "revoke", "--all", "--keyset", "login", "--json");
    REVOKE_SAYS(&server, NULL,
                "{\"kind\":\"kid\",\"issuer\":\"\",\"keyset\":\"idp\",\"name\":\"k\","
                "\"revoked_at\":4102441200,\"until\":null,\"uid\":4711,\"reason\":\"\"}\n",
                "revoke", "--kid", "k", "--keyset", "idp", "--json");
    fake_server_stop(&server);
}

struct refusal {
    signet_status status;
    int exit;
};

/* What does not answer with that status revokes something else. */
static void refusal_script(int fd, unsigned index, const void *context)
{
    const struct refusal *refusal = context;
    struct fake_request request;
    (void)index;
    if (!fake_greet(fd) || !fake_read_request(fd, &request)) {
        return;
    }
    Signet__V1__RevokeRequest other;
    signet__v1__revoke_request__init(&other);
    other.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_ALL;
    other.keyset = request.envelope->method;
    Signet__V1__Revocation revocation;
    fake_revocation(&other, &revocation);
    Signet__V1__RevokeResponse response;
    signet__v1__revoke_response__init(&response);
    response.revocation = &revocation;
    struct fake_bytes bytes =
        refusal->status != SIGNET_OK
            ? fake_status(request.id, (uint32_t)refusal->status, "NOT_SO", "it is\x1b not so")
            : fake_payload(request.id, &response.base);
    (void)fake_write(fd, bytes.bytes, bytes.len);
    free(bytes.bytes);
    fake_request_free(&request);
}

static void test_revoke__what_is_not_revoked_is_never_exit_0(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {SIGNET_OK, 3},
        {SIGNET_INVALID_ARGUMENT, 2},
        {SIGNET_NOT_FOUND, 2},
        {SIGNET_PERMISSION_DENIED, 4},
        {SIGNET_RESOURCE_EXHAUSTED, 4},
        {SIGNET_FAILED_PRECONDITION, 4},
        {SIGNET_INTERNAL, 4},
        {SIGNET_UNIMPLEMENTED, 4},
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct fake_server server;
        fake_server_start(&server, refusal_script, &refusals[i]);
        struct test_output output =
            REVOKE_RUN(&server, NULL, "revoke", "--all", "--keyset", "login", "--json");
        revoke_assert_complaint(&output, refusals[i].exit,
                                refusals[i].status == SIGNET_OK ? "BAD_ANSWER" : "(NOT_SO)");
        test_output_free(&output);
        fake_server_stop(&server);
    }
}

/* ---- revocations ---- */

enum lie {
    LIE_NONE,
    LIE_SAME_PAGE, /* whatever is asked for */
    LIE_MORE_OF_NOTHING,
    LIE_NO_KIND,
    LIE_NO_TIME,
    LIE_TOO_MANY,
    LIE_SECOND_DENIED /* the second page */
};

struct listing {
    size_t num;
    enum lie lie;
};

/* The index-th of them: tokens, then subjects, then one keyset, then one kid. Names are as long as the order needs. */
static void listing_fill(const struct listing *listing, size_t index,
                         Signet__V1__Revocation *revocation, char name[32])
{
    signet__v1__revocation__init(revocation);
    (void)snprintf(name, 32, "n%05zu", index);
    bool is_keyset = index + 2 == listing->num;
    bool is_kid = index + 1 == listing->num;
    revocation->kind = is_keyset ? SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET
                       : is_kid  ? SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID
                       : index < listing->num / 2
                           ? SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_TOKEN
                           : SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_SUBJECT;
    if (is_keyset) {
        revocation->keyset = name;
    } else if (is_kid) {
        revocation->keyset = (char *)(uintptr_t) "idp";
        revocation->name = name;
    } else {
        revocation->issuer = (char *)(uintptr_t) "https://issuer";
        revocation->name = name;
    }
    revocation->revoked_at = listing->lie == LIE_NO_TIME ? 0 : FAKE_REVOKED_AT;
    revocation->until = index == 0 ? 0 : FAKE_REVOKED_AT + 60;
    revocation->uid = 4711;
    revocation->reason = (char *)(uintptr_t) "bec\x1b"
                                             "ause";
    if (listing->lie == LIE_NO_KIND) {
        revocation->kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_UNSPECIFIED;
    }
}

/* Of which index the page begins. */
static size_t listing_from(const struct listing *listing,
                           const Signet__V1__ListRevocationsRequest *request)
{
    if (request->after == NULL || listing->lie == LIE_SAME_PAGE) {
        return 0;
    }
    const char *name = request->after->kind == SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KEYSET
                           ? request->after->keyset
                           : request->after->name;
    return (size_t)strtoul(name + 1, NULL, 10) + 1;
}

static struct fake_bytes listing_answer(const struct listing *listing,
                                        const struct fake_request *request)
{
    static _Thread_local Signet__V1__Revocation revocations[REVOKE_PAGE + 1];
    static _Thread_local Signet__V1__Revocation *pointers[REVOKE_PAGE + 1];
    static _Thread_local char names[REVOKE_PAGE + 1][32];
    Signet__V1__ListRevocationsRequest *list = signet__v1__list_revocations_request__unpack(
        NULL, request->envelope->payload.len, request->envelope->payload.data);
    if (list == NULL || list->max != REVOKE_PAGE ||
        strcmp(request->envelope->method, SG_METHOD_LIST_REVOCATIONS) != 0) {
        _exit(1);
    }
    size_t from = listing_from(listing, list);
    Signet__V1__ListRevocationsResponse response;
    signet__v1__list_revocations_response__init(&response);
    response.revocations = pointers;
    size_t most = list->max + (listing->lie == LIE_TOO_MANY);
    for (; response.n_revocations < most && from + response.n_revocations < listing->num;
         response.n_revocations++) {
        size_t at = response.n_revocations;
        listing_fill(listing, from + at, &revocations[at], names[at]);
        pointers[at] = &revocations[at];
    }
    response.more = from + response.n_revocations < listing->num ||
                    listing->lie == LIE_MORE_OF_NOTHING || listing->lie == LIE_SAME_PAGE;
    bool is_denied = listing->lie == LIE_SECOND_DENIED && list->after != NULL;
    signet__v1__list_revocations_request__free_unpacked(list, NULL);
    return is_denied ? fake_status(request->id, SIGNET_PERMISSION_DENIED, "NOT_SO", "not any more")
                     : fake_payload(request->id, &response.base);
}

static void listing_script(int fd, unsigned index, const void *context)
{
    (void)index;
    bool served = fake_greet(fd);
    while (served) {
        struct fake_request request;
        if (!fake_read_request(fd, &request)) {
            return;
        }
        struct fake_bytes answer = listing_answer(context, &request);
        served = fake_write(fd, answer.bytes, answer.len);
        free(answer.bytes);
        fake_request_free(&request);
    }
}

static struct test_output listing_run(const struct listing *listing, bool json)
{
    struct fake_server server;
    fake_server_start(&server, listing_script, listing);
    struct test_output output = REVOKE_RUN(&server, NULL, "revocations", json ? "--json" : NULL);
    fake_server_stop(&server);
    return output;
}

static void test_revocations__json_is_a_line_for_each_in_order(void **state)
{
    (void)state;
    const struct listing listing = {REVOKE_MANY, LIE_NONE};
    struct test_output output = listing_run(&listing, true);
    revoke_assert_exit(&output, 0);
    size_t num = 0;
    for (char *line = output.out; *line != '\0'; num++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        json_t *object = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        char name[32];
        (void)snprintf(name, sizeof(name), "n%05zu", num);
        bool is_keyset = num + 2 == REVOKE_MANY;
        assert_string_equal(
            json_string_value(json_object_get(object, is_keyset ? "keyset" : "name")), name);
        assert_string_equal(json_string_value(json_object_get(object, "kind")),
                            is_keyset                ? "keyset"
                            : num + 1 == REVOKE_MANY ? "kid"
                            : num < REVOKE_MANY / 2  ? "token"
                                                     : "subject");
        assert_int_equal(json_integer_value(json_object_get(object, "revoked_at")),
                         FAKE_REVOKED_AT);
        assert_true(json_is_null(json_object_get(object, "until")) == (num == 0));
        assert_string_equal(json_string_value(json_object_get(object, "reason")), "bec\x1b"
                                                                                  "ause");
        json_decref(object);
        line = end + 1;
    }
    assert_int_equal(num, REVOKE_MANY);
    test_output_free(&output);
}

static void test_revocations__text_is_a_line_for_each_escaped(void **state)
{
    (void)state;
    const struct listing listing = {REVOKE_MANY, LIE_NONE};
    struct test_output output = listing_run(&listing, false);
    revoke_assert_exit(&output, 0);
    size_t num = 0;
    for (const char *at = output.out; (at = strchr(at, '\n')) != NULL; at++) {
        num++;
    }
    assert_int_equal(num, REVOKE_MANY + 3); /* and headings */
    assert_null(strchr(output.out, '\x1b'));
    assert_int_equal(strncmp(output.out, "KIND", 4), 0);
    assert_non_null(strstr(output.out,
                           "\ntoken  n00000  https://issuer  2099-12-31T23:00:00Z  for ever"
                           "              4711  bec\\u001bause\n"));
    assert_non_null(strstr(output.out, "\nsubject  n01097  https://issuer  2099-12-31T23:00:00Z  "
                                       "2099-12-31T23:01:00Z  4711  bec\\u001bause\n"));
    assert_non_null(strstr(output.out, "\nkeyset   n01098  -               2099-12-31T23:00:00Z  "
                                       "2099-12-31T23:01:00Z  4711  bec\\u001bause\n"));
    assert_non_null(strstr(output.out, "\nkid      n01099  idp             2099-12-31T23:00:00Z  "
                                       "2099-12-31T23:01:00Z  4711  bec\\u001bause\n"));
    test_output_free(&output);
}

static void test_revocations__none_is_said_to_people_only(void **state)
{
    (void)state;
    const struct listing listing = {0, LIE_NONE};
    struct test_output output = listing_run(&listing, false);
    revoke_assert_exit(&output, 0);
    assert_string_equal(output.out, "Nothing is revoked.\n");
    test_output_free(&output);
    output = listing_run(&listing, true);
    revoke_assert_exit(&output, 0);
    assert_string_equal(output.out, "");
    test_output_free(&output);
}

static void test_revocations__an_answer_that_cannot_be_is_exit_3(void **state)
{
    (void)state;
    static const struct {
        struct listing listing;
        const char *needle;
    } cases[] = {
        {{0, LIE_MORE_OF_NOTHING}, "lists none"},
        {{2, LIE_NO_KIND}, "lacks required parts"},
        {{2, LIE_NO_TIME}, "lacks required parts"},
        {{REVOKE_MANY, LIE_TOO_MANY}, "more revocations than were asked for"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output = listing_run(&cases[i].listing, true);
        revoke_assert_complaint(&output, 3, cases[i].needle);
        test_output_free(&output);
    }
}

/* What was good of the list is there, and that it is not whole is told. */
static void test_revocations__a_list_that_breaks_off_is_no_success(void **state)
{
    (void)state;
    static const struct {
        struct listing listing;
        int exit;
        const char *needle;
    } cases[] = {
        {{REVOKE_MANY, LIE_SAME_PAGE}, 3, "out of their order"},
        {{REVOKE_MANY, LIE_SECOND_DENIED}, 4, "NOT_SO"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output = listing_run(&cases[i].listing, true);
        revoke_assert_exit(&output, cases[i].exit);
        assert_non_null(strstr(output.out, "\"n00499\""));
        assert_null(strstr(output.out, "\"n00500\""));
        assert_non_null(strstr(output.err, cases[i].needle));
        test_output_free(&output);
    }
}

static void test_revocations__that_cannot_be_written_is_exit_4(void **state)
{
    (void)state;
    const struct listing listing = {REVOKE_MANY, LIE_NONE};
    struct fake_server server;
    fake_server_start(&server, listing_script, &listing);
    char command[700];
    (void)snprintf(command, sizeof(command), "exec '%s' --address '%s' revocations >/dev/full",
                   revoke_program, server.address);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct test_output output = {0};
    test_run(argv, NULL, REVOKE_LIMIT_MS, &output);
    revoke_assert_complaint(&output, 4, "cannot write to standard output");
    test_output_free(&output);
    fake_server_stop(&server);
}

int main(void)
{
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(revoke_program, sizeof(revoke_program), "%s/signet",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoke__says_what_it_did_and_from_when_on_tokens_are_good),
        cmocka_unit_test(test_revoke__takes_one_thing_and_its_keyset),
        cmocka_unit_test(test_revoke__takes_the_token_as_verify_does),
        cmocka_unit_test(test_revoke__json_holds_what_is_in_force),
        cmocka_unit_test(test_revoke__what_is_not_revoked_is_never_exit_0),
        cmocka_unit_test(test_revocations__json_is_a_line_for_each_in_order),
        cmocka_unit_test(test_revocations__text_is_a_line_for_each_escaped),
        cmocka_unit_test(test_revocations__none_is_said_to_people_only),
        cmocka_unit_test(test_revocations__an_answer_that_cannot_be_is_exit_3),
        cmocka_unit_test(test_revocations__a_list_that_breaks_off_is_no_success),
        cmocka_unit_test(test_revocations__that_cannot_be_written_is_exit_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
