/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet`, run as people and scripts run it: what it prints, where, and with which exit status. Its
 * first half needs no daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/limits.h"
#include "tests/support/daemon.h"
#include "tests/support/files.h"

/* Bounds a hang; measures nothing. */
#define CLI_LIMIT_MS 60000
#define CLI_MAX_ARGS 40

static char cli_program[512];
static char cli_bin_dir[512];

/* ---- Running it ---- */

/* Runs signet with arguments up to NULL. */
static struct test_output cli_run_list(const char *input, const char *const *arguments)
{
    const char *argv[CLI_MAX_ARGS + 2] = {cli_program};
    struct test_output output = {0};
    size_t num = 0;
    for (; arguments[num] != NULL; num++) {
        assert_true(num < CLI_MAX_ARGS);
        argv[num + 1] = arguments[num];
    }
    test_run(argv, input, CLI_LIMIT_MS, &output);
    return output;
}

#define CLI_RUN(input, ...) cli_run_list(input, (const char *const[]){__VA_ARGS__, NULL})

static void cli_assert_exit(const struct test_output *output, int expected)
{
    if (output->exit_status != expected) {
        fail_msg("exit status %d instead of %d\nout: %s\nerr: %s", output->exit_status, expected,
                 output->out, output->err);
    }
}

/* One line, "signet: ...", and nothing on standard output. */
static void cli_assert_complaint(const struct test_output *output, int expected)
{
    cli_assert_exit(output, expected);
    assert_string_equal(output->out, "");
    assert_int_equal(strncmp(output->err, "signet: ", 8), 0);
    const char *end = strchr(output->err, '\n');
    assert_non_null(end);
    assert_string_equal(end, "\n");
}

static void cli_assert_holds(const char *text, const char *needle)
{
    if (strstr(text, needle) == NULL) {
        fail_msg("not found: '%s' in:\n%s", needle, text);
    }
}

static json_t *cli_parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (value == NULL) {
        fail_msg("not JSON: %s\n%s", error.text, text);
    }
    return value;
}

static const char *cli_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL) {
        fail_msg("no string '%s'", name);
    }
    return text;
}

/* ---- Tokens made by hand ---- */

static size_t token_append(char *token, size_t at, const void *bytes, size_t len)
{
    return at + sg_base64url_encode(bytes, len, token + at);
}

/* header.payload.signature, the signature signature_len bytes of 0x41. free() it. */
static char *token_make(const char *header, const char *payload, size_t signature_len)
{
    uint8_t signature[600];
    assert_true(signature_len <= sizeof(signature));
    memset(signature, 0x41, sizeof(signature));
    char *token = malloc(2 * (strlen(header) + strlen(payload) + signature_len) + 16);
    assert_non_null(token);
    size_t at = token_append(token, 0, header, strlen(header));
    token[at++] = '.';
    at = token_append(token, at, payload, strlen(payload));
    token[at++] = '.';
    at = token_append(token, at, signature, signature_len);
    token[at] = '\0';
    return token;
}

#define HEADER "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JWT\"}"
#define CLAIMS                                                                                     \
    "{\"iss\":\"i\",\"sub\":\"s\",\"aud\":\"a\",\"exp\":4000000000,\"iat\":1500000000,\"jti\":\"j\"}"

/* What inspect has to find. */
static const struct {
    const char *header;
    const char *payload;
    size_t signature_len;
    const char *needles[4];
} cli_flawed[] = {
    {"{\"alg\":\"none\",\"kid\":\"k\"}",
     CLAIMS,
     0,
     {"is not signed", "signature: is empty", "no \"typ\""}},
    {"{\"alg\":\"nOnE\",\"kid\":\"k\"}",
     CLAIMS,
     64,
     {"alg \"nOnE\" says that the token is not signed"}},
    {"{\"alg\":\"RS1\"}", CLAIMS, 256, {"not a known signature algorithm", "no \"kid\""}},
    {"{\"alg\":\"es256\"}", CLAIMS, 64, {"not a known signature algorithm"}},
    {"{\"alg\":5}", CLAIMS, 64, {"\"alg\" is not a string"}},
    {"{}", CLAIMS, 64, {"no \"alg\"", "no \"kid\"", "no \"typ\""}},
    {"{\"alg\":\"ES256\",\"kid\":7,\"typ\":8}",
     CLAIMS,
     64,
     {"\"kid\" is not a string", "\"typ\" is not a string"}},
    {"{\"alg\":\"ES256\",\"alg\":\"none\"}", CLAIMS, 64, {"a member stands twice"}},
    {"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}",
     CLAIMS,
     64,
     {"\"crit\" demands", "\"b64\" changes"}},
    {"{\"alg\":\"ES256\",\"jwk\":{},\"jku\":\"u\",\"x5u\":\"u\",\"x5c\":[]}",
     CLAIMS,
     64,
     {"\"jwk\" is a key that the token brings", "\"jku\" names a place", "\"x5u\" names",
      "\"x5c\" is a certificate"}},
    {"[1]", CLAIMS, 64, {"header: is JSON but not an object"}},
    {"{\"alg\":", CLAIMS, 64, {"header: not JSON"}},
    {HEADER, "[]", 64, {"payload: is JSON but not an object"}},
    {HEADER, "{}", 64, {"no \"exp\"", "no \"aud\"", "no \"iss\"", "no \"sub\""}},
    {HEADER,
     "{\"exp\":\"4000000000\",\"nbf\":true,\"iat\":null}",
     64,
     {"\"exp\" is a string", "\"nbf\" is not a number", "\"iat\" is not a number"}},
    {HEADER, "{\"exp\":1500000000}", 64, {"expired at 2017-07-14 02:40:00 UTC"}},
    {HEADER,
     "{\"exp\":1e300,\"nbf\":4000000000}",
     64,
     {"\"exp\" is beyond", "not to be used before"}},
    {HEADER,
     "{\"exp\":4000000000,\"iat\":3900000000,\"aud\":[]}",
     64,
     {"issued in the future", "lives for", "\"aud\" is an empty array"}},
    {HEADER,
     "{\"exp\":4000000000000,\"aud\":[1,\"a\",{}]}",
     64,
     {"looks like milliseconds", "\"aud\" number 1", "\"aud\" number 3"}},
    {HEADER,
     "{\"aud\":{\"a\":1},\"iss\":1,\"sub\":[],\"jti\":{}}",
     64,
     {"\"aud\" is neither", "\"iss\" is not a string", "\"sub\" is not a string",
      "\"jti\" is not a string"}},
    {HEADER,
     "{\"user\":{\"x\":[{\"Pass_Word\":\"hunter2\"}]},\"api-key\":\"x\",\"SSN\":1}",
     64,
     {"\"Pass_Word\" sounds confidential", "\"api-key\" sounds", "\"SSN\" sounds"}},
    {HEADER, "{\"n\":123456789012345678901234567890}", 64, {"a number is too large"}},
    {HEADER, "{\"n\":\"a\\u0000b\"}", 64, {"\\u0000"}},
    {HEADER,
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
     64,
     {"nests 33 deep"}},
    {HEADER, CLAIMS, 63, {"63 bytes cannot be of ES256"}},
    {"{\"alg\":\"HS256\"}", CLAIMS, 64, {"64 bytes cannot be of HS256"}},
    {"{\"alg\":\"RS256\"}", CLAIMS, 128, {"128 bytes cannot be of RS256"}},
    {"{\"alg\":\"EdDSA\"}", CLAIMS, 65, {"65 bytes cannot be of EdDSA"}},
};

/* What is not even three parts of base64url, and what inspect has to say of it. */
static const struct {
    const char *token;
    int exit;
    const char *needle;
} cli_shapeless[] = {
    {"x", 1, "1 part instead of three"},
    {"not a token", 1, "spaces or line ends"},
    {"..", 1, "header: is empty"},
    {"{\"payload\":\"\"}", 1, "JSON serialization"},
    {"e30.e30", 0, "the signature is missing"},
    {"e30.e30.e30.e30.e30", 1, "encrypted JWE"},
    {"e30.e30.e30.e30.e30.e30.e30.e30", 1, "8 parts"},
    {"e30=.e30.", 0, "header: has 1 '='"},
    {"e30.e30.+/", 0, "plain base64"},
    {"e31.e30.", 0, "bits that belong to no byte"},
    {"e30e3.e30.", 1, "one is missing"},
    {"e30.e\n30.", 0, "spaces or line ends"},
    {"e30.\xff\xfe.", 1, "characters that base64url does not have"},
    {"\x1b]0;title\x07.e30.", 1, "characters that base64url does not have"},
};

/* ---- Without a daemon ---- */

static void test_usage__is_exit_2_with_one_line(void **state)
{
    static const char *const cases[][12] = {
        {NULL},
        {"frobnicate"},
        {"help", "frobnicate"},
        {"help", "sign", "verify"},
        {"--frobnicate", "keysets"},
        {"--timeout", "keysets"},
        {"--timeout", "0", "keysets"},
        {"--timeout", "2m", "keysets"},
        {"--timeout", "2x", "keysets"},
        {"--timeout"},
        {"--address", "tcp://localhost:1", "keysets"},
        {"sign"},
        {"sign", "k"},
        {"sign", "k", "--sub", "s"},
        {"sign", "k", "--aud", "a"},
        {"sign", "k", "more", "--sub", "s", "--aud", "a"},
        {"sign", "k", "--sub", "s", "--aud"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--ttl", "5 m"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--ttl", "-5"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--ttl", "99999999999999999999"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--ttl", "1500ms"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--not-before", "tomorrow"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claim", "x"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claim", "=x"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claim", "x={"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claim", "x=\xff"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claim", "x=123456789012345678901234567890"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claims", "[1]"},
        {"sign", "k", "--sub", "s", "--aud", "a", "--claims", "{\"a\":1,\"a\":2}"},
        {"verify"},
        {"verify", "t"},
        {"verify", "t", "--aud", "a", "--any-aud"},
        {"verify", "t", "--aud", "a", "--leeway", "301"},
        {"verify", "t", "--any-aud=yes"},
        {"verify", "t", "--aud", "a", "--consume=yes"},
        {"verify", "-", "--aud", "a"},
        {"revoke"},
        {"revoke", "--keyset", "k"},
        {"revoke", "--all"},
        {"revoke", "--all=yes", "--keyset", "k"},
        {"revoke", "--all", "--keyset"},
        {"revoke", "--all", "--keyset", "k", "more"},
        {"revoke", "--all", "--subject", "s", "--keyset", "k"},
        {"revoke", "--jti", "j"},
        {"revoke", "--jti", "j", "--token", "t", "--keyset", "k"},
        {"revoke", "--jti", "j", "--keyset", "k", "--expires-at", "tomorrow"},
        {"revoke", "--jti", "", "--keyset", "k"},
        {"revoke", "--subject", "s"},
        {"revoke", "--subject", "s", "--keyset", ""},
        {"revoke", "--subject", "s", "--keyset", "k", "--reason", ""},
        {"revoke", "--subject", "s", "--keyset", "k", "--expires-at", "+10m"},
        {"revoke", "--token", "-"},
        {"revocations", "a"},
        {"inspect"},
        {"inspect", "a", "b"},
        {"inspect", "-"},
        {"jwks", "a", "b"},
        {"keysets", "a"},
        {"status", "a"},
        {"bench", "--op", "frobnicate"},
        {"bench", "--threads", "0"},
        {"bench", "--threads", "65"},
        {"bench", "--batch", "257"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output = cli_run_list(NULL, cases[i]);
        cli_assert_complaint(&output, 2);
        test_output_free(&output);
    }
}

static void test_usage__names_a_claim_given_twice(void **state)
{
    (void)state;
    static const char *const cases[][2][2] = {
        {{"--claim", "role=a"}, {"--claim", "role=b"}},
        {{"--claim", "role=a"}, {"--claims", "{\"role\":1}"}},
        {{"--claims", "{\"role\":1}"}, {"--claims", "{\"role\":1}"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output =
            CLI_RUN(NULL, "sign", "k", "--sub", "s", "--aud", "a", cases[i][0][0], cases[i][0][1],
                    cases[i][1][0], cases[i][1][1]);
        cli_assert_complaint(&output, 2);
        cli_assert_holds(output.err, "'role' is given twice");
        test_output_free(&output);
    }
}

static void test_help__every_command_has_it_and_tells_the_exit_statuses(void **state)
{
    static const char *const commands[] = {"sign",  "verify",  "revoke",      "inspect",
                                           "jwks",  "keysets", "revocations", "status",
                                           "stats", "metrics", "bench"};
    (void)state;
    struct test_output all = CLI_RUN(NULL, "help");
    cli_assert_exit(&all, 0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct test_output by_option = CLI_RUN(NULL, commands[i], "--help");
        struct test_output by_command = CLI_RUN(NULL, "help", commands[i]);
        cli_assert_exit(&by_option, 0);
        cli_assert_exit(&by_command, 0);
        assert_string_equal(by_option.out, by_command.out);
        cli_assert_holds(by_option.out, commands[i]);
        cli_assert_holds(by_option.out, "Exit status:");
        cli_assert_holds(all.out, commands[i]);
        test_output_free(&by_option);
        test_output_free(&by_command);
    }
    cli_assert_holds(all.out, "3  the daemon cannot be reached");
    test_output_free(&all);
}

static void test_version__is_that_of_the_library(void **state)
{
    (void)state;
    struct test_output output = CLI_RUN(NULL, "--version");
    cli_assert_exit(&output, 0);
    assert_int_equal(strncmp(output.out, "signet ", 7), 0);
    test_output_free(&output);
}

static void test_unreachable__is_exit_3(void **state)
{
    static const char *const cases[][8] = {
        {"sign", "k", "--sub", "s", "--aud", "a"},
        {"verify", "e30.e30.", "--aud", "a"},
        {"revoke", "--token", "e30.e30."},
        {"revoke", "--all", "--keyset", "k"},
        {"revocations"},
        {"jwks"},
        {"keysets"},
        {"status"},
        {"bench", "--json", "--op", "health"},
        {"bench", "--json", "--op", "sign"},
    };
    char dir[96];
    char address[128];
    (void)state;
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(address, sizeof(address), "%s/none.sock", dir);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[CLI_MAX_ARGS] = {"--address", address, "--timeout", "100ms"};
        for (size_t j = 0; j < 8 && cases[i][j] != NULL; j++) {
            argv[4 + j] = cases[i][j];
        }
        struct test_output output = cli_run_list(NULL, argv);
        cli_assert_exit(&output, 3);
        cli_assert_holds(output.err, "signet: ");
        test_output_free(&output);
    }
    test_remove_tree(dir);
}

/* Modes keep nobody out who may override them: root is run without that right. */
static void test_unreachable__a_socket_that_is_not_for_this_user_is_exit_3(void **state)
{
    (void)state;
    static const char setpriv[] = "/usr/bin/setpriv";
    if (geteuid() == 0 && access(setpriv, X_OK) != 0) {
        skip();
    }
    char dir[96];
    char address[128];
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(address, sizeof(address), "%s/none.sock", dir);
    assert_int_equal(chmod(dir, 0), 0);
    const char *argv[] = {setpriv,
                          "--bounding-set",
                          "-dac_override,-dac_read_search",
                          cli_program,
                          "--address",
                          address,
                          "status",
                          NULL};
    struct test_output output = {0};
    test_run(geteuid() == 0 ? argv : argv + 3, NULL, CLI_LIMIT_MS, &output);
    assert_int_equal(chmod(dir, 0700), 0);
    test_remove_tree(dir);
    cli_assert_complaint(&output, 3);
    cli_assert_holds(output.err, "CONNECT_DENIED");
    test_output_free(&output);
}

/* ---- inspect ---- */

/* It has no key: it may not say anything good, not even by chance. */
static void inspect_assert_honest(const struct test_output *output)
{
    if (strcasestr(output->out, "valid") != NULL || strcasestr(output->err, "valid") != NULL ||
        strstr(output->out, "verified") != NULL) {
        fail_msg("inspect claims to know: %s%s", output->out, output->err);
    }
    cli_assert_holds(output->out, "signet verify TOKEN --aud");
    for (const char *c = output->out; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if ((byte < 0x20 && byte != '\n') || byte == 0x7f) {
            fail_msg("control character 0x%02x in: %s", byte, output->out);
        }
    }
}

/* Both ways of printing; returns the text. */
static struct test_output inspect_run(const char *token, int expected)
{
    struct test_output text = CLI_RUN(NULL, "inspect", token);
    cli_assert_exit(&text, expected);
    inspect_assert_honest(&text);
    cli_assert_holds(text.out, "The signature was not checked");

    struct test_output json = CLI_RUN(NULL, "inspect", token, "--json");
    cli_assert_exit(&json, expected);
    inspect_assert_honest(&json);
    json_t *object = cli_parse(json.out);
    assert_true(json_is_false(json_object_get(object, "signature_checked")));
    assert_true(json_is_array(json_object_get(object, "problems")));
    json_decref(object);
    test_output_free(&json);
    return text;
}

static void test_inspect__explains_every_problem(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cli_flawed) / sizeof(cli_flawed[0]); i++) {
        char *token =
            token_make(cli_flawed[i].header, cli_flawed[i].payload, cli_flawed[i].signature_len);
        struct test_output json = CLI_RUN(NULL, "inspect", "--json", token);
        json_t *object = cli_parse(json.out);
        bool decoded = json_is_object(json_object_get(object, "header")) &&
                       json_is_object(json_object_get(object, "claims"));
        struct test_output output = inspect_run(token, decoded ? 0 : 1);
        for (size_t j = 0; j < 4 && cli_flawed[i].needles[j] != NULL; j++) {
            cli_assert_holds(output.out, cli_flawed[i].needles[j]);
        }
        json_decref(object);
        test_output_free(&json);
        test_output_free(&output);
        free(token);
    }
}

static void test_inspect__explains_what_is_no_token(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cli_shapeless) / sizeof(cli_shapeless[0]); i++) {
        struct test_output output = inspect_run(cli_shapeless[i].token, cli_shapeless[i].exit);
        cli_assert_holds(output.out, cli_shapeless[i].needle);
        test_output_free(&output);
    }
}

static void test_inspect__finds_nothing_to_complain_of_but_says_no_more(void **state)
{
    (void)state;
    char *token = token_make(HEADER, CLAIMS, 64);
    struct test_output output = inspect_run(token, 0);
    cli_assert_holds(output.out, "No problem can be seen without the key.");
    cli_assert_holds(output.out, "2017-07-14 02:40:00 UTC");
    test_output_free(&output);
    free(token);
}

static void test_inspect__shows_control_characters_escaped(void **state)
{
    (void)state;
    char *token =
        token_make(HEADER,
                   "{\"a\":\"\\u001b[31mred\\u0007\",\"\\u001b]0;t\\u0007\":1,"
                   "\"b\":\"\xc2\x9b"
                   "31m\",\"c\":\"\\u202egnp\",\"d\":\"caf\xc3\xa9\",\"e\":[\"\\u001b\"]}",
                   64);
    struct test_output output = inspect_run(token, 0);
    cli_assert_holds(output.out, "\\u001b[31mred\\u0007");
    cli_assert_holds(output.out, "\\u009b31m");
    cli_assert_holds(output.out, "\\u202egnp");
    cli_assert_holds(output.out, "caf\xc3\xa9");
    test_output_free(&output);
    free(token);
}

static void test_inspect__reads_no_more_of_a_huge_token_than_a_token_may_have(void **state)
{
    (void)state;
    const size_t len = 4u << 20;
    char *huge = malloc(len + 1);
    assert_non_null(huge);
    memset(huge, 'A', len);
    huge[len] = '\0';
    struct test_output output = CLI_RUN(huge, "inspect", "-");
    cli_assert_exit(&output, 1);
    inspect_assert_honest(&output);
    cli_assert_holds(output.out, "longer than the 16384 characters");
    test_output_free(&output);

    /* The longest that is taken, with a line end, is not too long. */
    huge[SG_MAX_TOKEN_LEN] = '\r';
    huge[SG_MAX_TOKEN_LEN + 1] = '\n';
    huge[SG_MAX_TOKEN_LEN + 2] = '\0';
    output = CLI_RUN(huge, "inspect", "-");
    cli_assert_exit(&output, 1);
    assert_null(strstr(output.out, "longer than"));
    test_output_free(&output);
    free(huge);
}

static void test_inspect__reads_standard_input(void **state)
{
    (void)state;
    struct test_output output = CLI_RUN("e30.e30.\n", "inspect", "-");
    cli_assert_exit(&output, 0);
    assert_null(strstr(output.out, "line ends"));
    test_output_free(&output);
    /* One line end is dropped, not two. */
    output = CLI_RUN("e30.e30.\n\n", "inspect", "-");
    cli_assert_holds(output.out, "signature: has 1 spaces or line ends");
    test_output_free(&output);
}

/* ---- With a daemon ---- */

static int cli_setup(void **state)
{
    struct test_daemon *daemon = calloc(1, sizeof(*daemon));
    assert_non_null(daemon);
    *state = daemon;
    test_daemon_start(daemon, NULL);
    assert_int_equal(setenv("SIGNET_ADDRESS", daemon->address, 1), 0);
    return 0;
}

static int cli_teardown(void **state)
{
    test_daemon_stop(*state);
    free(*state);
    return unsetenv("SIGNET_ADDRESS");
}

/* A token of demo-es256 for "orders"; free() it. */
static char *cli_mint(void)
{
    struct test_output output =
        CLI_RUN(NULL, "sign", "demo-es256", "--sub", "alice", "--aud", "orders");
    cli_assert_exit(&output, 0);
    output.out[strcspn(output.out, "\n")] = '\0';
    char *token = strdup(output.out);
    assert_non_null(token);
    test_output_free(&output);
    return token;
}

static void test_sign__prints_the_token_alone(void **state)
{
    static const char *const keysets[] = {"demo-hs256", "demo-rs256", "demo-ps256", "demo-es256",
                                          "demo-eddsa"};
    (void)state;
    for (size_t i = 0; i < sizeof(keysets) / sizeof(keysets[0]); i++) {
        struct test_output output =
            CLI_RUN(NULL, "sign", keysets[i], "--sub", "alice", "--aud", "orders");
        cli_assert_exit(&output, 0);
        assert_string_equal(output.err, "");
        size_t len = strspn(output.out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789-_.");
        assert_true(len > 100);
        assert_string_equal(output.out + len, "\n");

        struct test_output verified = CLI_RUN(output.out, "verify", "-", "--aud", "orders",
                                              "--keyset", keysets[i], "--sub", "alice");
        cli_assert_exit(&verified, 0);
        cli_assert_holds(verified.out, "alice");
        cli_assert_holds(verified.out, keysets[i]);
        test_output_free(&verified);
        test_output_free(&output);
    }
}

static void test_sign__json_holds_what_the_token_says(void **state)
{
    (void)state;
    struct test_output output =
        CLI_RUN(NULL, "sign", "demo-hs256", "--sub", "alice", "--aud", "orders", "--aud", "billing",
                "--ttl", "1m30s", "--json", "--claim", "role=admin", "--claim", "n=5", "--claim",
                "ok=true", "--claim", "zip=01234", "--claim", "quoted=\"5\"", "--claim", "eq=a=b",
                "--claims", "{\"list\":[1,2],\"none\":null}");
    cli_assert_exit(&output, 0);
    json_t *token = cli_parse(output.out);
    json_int_t iat = json_integer_value(json_object_get(token, "iat"));
    json_int_t exp = json_integer_value(json_object_get(token, "exp"));
    assert_int_equal(exp - iat, 90);

    struct test_output verified =
        CLI_RUN(cli_member(token, "token"), "--json", "verify", "-", "--aud", "billing");
    cli_assert_exit(&verified, 0);
    assert_string_equal(verified.err, "");
    json_t *answer = cli_parse(verified.out);
    json_t *claims = json_object_get(answer, "claims");
    assert_true(json_is_true(json_object_get(answer, "verified")));
    assert_string_equal(cli_member(answer, "kid"), cli_member(token, "kid"));
    assert_string_equal(cli_member(answer, "keyset"), "demo-hs256");
    assert_string_equal(cli_member(claims, "jti"), cli_member(token, "jti"));
    assert_int_equal(json_integer_value(json_object_get(claims, "exp")), exp);
    assert_string_equal(cli_member(claims, "role"), "admin");
    assert_int_equal(json_integer_value(json_object_get(claims, "n")), 5);
    assert_true(json_is_true(json_object_get(claims, "ok")));
    assert_string_equal(cli_member(claims, "zip"), "01234");
    assert_string_equal(cli_member(claims, "quoted"), "5");
    assert_string_equal(cli_member(claims, "eq"), "a=b");
    assert_int_equal(json_array_size(json_object_get(claims, "list")), 2);
    assert_true(json_is_null(json_object_get(claims, "none")));

    json_decref(answer);
    json_decref(token);
    test_output_free(&verified);
    test_output_free(&output);
}

static void test_sign__request_that_must_be_mended_is_exit_2(void **state)
{
    static const char *const cases[][12] = {
        {"sign", "no-such-keyset", "--sub", "s", "--aud", "a"},
        {"sign", "demo-es256", "--sub", "s", "--aud", "a", "--ttl", "100d"},
        {"sign", "demo-es256", "--sub", "", "--aud", "a"},
        {"sign", "demo-es256", "--sub", "s", "--aud", ""},
        {"sign", "demo-es256", "--sub", "s", "--aud", "a", "--claim", "exp=4000000000"},
        {"sign", "demo-es256", "--sub", "s", "--aud", "a", "--not-before", "2099-01-01T00:00:00Z"},
        {"jwks", "no-such-keyset"},
        {"bench", "--json", "--keyset", "no-such-keyset"},
        {"bench", "--json", "--alg", "ES512"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_output output = cli_run_list(NULL, cases[i]);
        cli_assert_complaint(&output, 2);
        test_output_free(&output);
    }
}

static void test_verify__refused_is_exit_1_with_the_reason(void **state)
{
    (void)state;
    char *token = cli_mint();
    char *forged = strdup(token);
    assert_non_null(forged);
    char *last = strrchr(forged, '.') + 1;
    *last = *last == 'A' ? 'B' : 'A';
    const struct {
        const char *token;
        const char *option;
        const char *value;
        const char *reason;
    } cases[] = {
        {token, "--sub", "bob", "CLAIM_INVALID"},
        {token, "--iss", "https://elsewhere.example", "WRONG_ISSUER"},
        {token, "--typ", "at+jwt", "WRONG_TYPE"},
        {token, "--keyset", "demo-hs256", "UNKNOWN_KEY"},
        {forged, "--leeway", "5s", "BAD_SIGNATURE"},
        {"nonsense", "--leeway", "5s", "MALFORMED"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "signet: refused: %s: ", cases[i].reason);
        struct test_output output = CLI_RUN(NULL, "verify", cases[i].token, "--aud", "orders",
                                            cases[i].option, cases[i].value);
        cli_assert_complaint(&output, 1);
        cli_assert_holds(output.err, expected);
        test_output_free(&output);

        output = CLI_RUN(NULL, "verify", cases[i].token, "--aud", "orders", cases[i].option,
                         cases[i].value, "--json");
        cli_assert_exit(&output, 1);
        assert_string_equal(output.err, "");
        json_t *answer = cli_parse(output.out);
        assert_true(json_is_false(json_object_get(answer, "verified")));
        assert_string_equal(cli_member(answer, "reason"), cases[i].reason);
        assert_null(json_object_get(answer, "claims"));
        json_decref(answer);
        test_output_free(&output);
    }
    free(forged);
    free(token);
}

static void test_verify__audience_decides(void **state)
{
    (void)state;
    char *token = cli_mint();
    struct test_output output = CLI_RUN(NULL, "verify", token, "--aud", "billing");
    cli_assert_complaint(&output, 1);
    cli_assert_holds(output.err, "refused: WRONG_AUDIENCE: ");
    test_output_free(&output);
    output = CLI_RUN(NULL, "verify", token, "--aud", "billing", "--aud", "orders");
    cli_assert_exit(&output, 0);
    test_output_free(&output);
    output = CLI_RUN(NULL, "verify", token, "--any-aud");
    cli_assert_exit(&output, 0);
    test_output_free(&output);
    free(token);
}

static void test_verify__consume_is_good_once(void **state)
{
    (void)state;
    char *token = cli_mint();
    struct test_output output =
        CLI_RUN(NULL, "verify", token, "--aud", "billing", "--consume"); /* which uses nothing up */
    cli_assert_complaint(&output, 1);
    cli_assert_holds(output.err, "refused: WRONG_AUDIENCE: ");
    test_output_free(&output);
    output = CLI_RUN(NULL, "verify", token, "--aud", "orders", "--consume");
    cli_assert_exit(&output, 0);
    cli_assert_holds(output.out, "verified");
    test_output_free(&output);
    for (unsigned i = 0; i < 2; i++) {
        output = CLI_RUN(NULL, "verify", token, "--consume", "--aud", "orders");
        cli_assert_complaint(&output, 1);
        cli_assert_holds(output.err, "refused: REPLAYED: ");
        test_output_free(&output);
    }
    output = CLI_RUN(NULL, "verify", token, "--aud", "orders", "--consume", "--json");
    cli_assert_exit(&output, 1);
    json_t *answer = cli_parse(output.out);
    assert_string_equal(cli_member(answer, "reason"), "REPLAYED");
    json_decref(answer);
    test_output_free(&output);
    output = CLI_RUN(NULL, "verify", token, "--aud", "orders"); /* which does not ask */
    cli_assert_exit(&output, 0);
    test_output_free(&output);
    free(token);
}

static void test_verify__too_long_is_refused_not_cut(void **state)
{
    (void)state;
    char *token = cli_mint();
    const size_t len = SG_MAX_TOKEN_LEN + 100;
    char *input = malloc(len + 1);
    assert_non_null(input);
    memset(input, 'A', len);
    memcpy(input, token, strlen(token));
    input[len] = '\0';
    struct test_output output = CLI_RUN(input, "verify", "-", "--aud", "orders");
    cli_assert_complaint(&output, 1);
    cli_assert_holds(output.err, "refused: MALFORMED: ");
    test_output_free(&output);
    free(input);
    free(token);
}

static void test_verify__shows_control_characters_escaped(void **state)
{
    (void)state;
    struct test_output token = CLI_RUN(NULL, "sign", "demo-es256", "--sub", "alice", "--aud",
                                       "orders", "--claims", "{\"x\":\"a\\u001b[2Jb\\nc\"}");
    cli_assert_exit(&token, 0);
    struct test_output output = CLI_RUN(token.out, "verify", "-", "--aud", "orders");
    cli_assert_exit(&output, 0);
    assert_null(strchr(output.out, '\033'));
    cli_assert_holds(output.out, "a\\u001b[2Jb\\u000ac");
    test_output_free(&output);
    test_output_free(&token);
}

static void test_options__stand_before_or_after_the_command(void **state)
{
    const struct test_daemon *daemon = *state;
    assert_int_equal(setenv("SIGNET_ADDRESS", "ipc:///nowhere/at.all", 1), 0);
    struct test_output before =
        CLI_RUN(NULL, "--address", daemon->socket, "--timeout", "20s", "--json", "keysets");
    struct test_output after =
        CLI_RUN(NULL, "keysets", "--json", "--timeout=20s", "--address", daemon->address);
    assert_int_equal(setenv("SIGNET_ADDRESS", daemon->address, 1), 0);
    cli_assert_exit(&before, 0);
    cli_assert_exit(&after, 0);
    assert_string_equal(before.out, after.out);
    test_output_free(&before);
    test_output_free(&after);
}

static void test_keysets__lists_names_and_keys(void **state)
{
    (void)state;
    struct test_output text = CLI_RUN(NULL, "keysets");
    struct test_output json = CLI_RUN(NULL, "keysets", "--json");
    cli_assert_exit(&text, 0);
    cli_assert_exit(&json, 0);
    json_t *answer = cli_parse(json.out);
    json_t *keysets = json_object_get(answer, "keysets");
    assert_int_equal(json_array_size(keysets), 5);
    size_t i = 0;
    json_t *keyset = NULL;
    json_array_foreach(keysets, i, keyset)
    {
        json_t *key = json_array_get(json_object_get(keyset, "keys"), 0);
        assert_string_equal(cli_member(key, "state"), "active");
        cli_assert_holds(text.out, cli_member(key, "kid"));
        cli_assert_holds(text.out, cli_member(keyset, "name"));
    }
    json_decref(answer);
    test_output_free(&text);
    test_output_free(&json);
}

static void test_jwks__holds_public_keys_only(void **state)
{
    (void)state;
    struct test_output output = CLI_RUN(NULL, "jwks");
    cli_assert_exit(&output, 0);
    json_t *set = cli_parse(output.out);
    json_t *keys = json_object_get(set, "keys");
    assert_int_equal(json_array_size(keys), 4); /* not the symmetric one */
    size_t i = 0;
    json_t *key = NULL;
    json_array_foreach(keys, i, key)
    {
        assert_null(json_object_get(key, "d"));
        assert_null(json_object_get(key, "k"));
        assert_non_null(json_object_get(key, "kid"));
    }
    json_decref(set);
    test_output_free(&output);

    output = CLI_RUN(NULL, "jwks", "demo-eddsa");
    set = cli_parse(output.out);
    key = json_array_get(json_object_get(set, "keys"), 0);
    assert_string_equal(cli_member(key, "crv"), "Ed25519");
    json_decref(set);
    test_output_free(&output);
}

static void test_status__tells_of_the_daemon(void **state)
{
    const struct test_daemon *daemon = *state;
    struct test_output text = CLI_RUN(NULL, "status");
    struct test_output json = CLI_RUN(NULL, "status", "--json");
    cli_assert_exit(&text, 0);
    cli_assert_holds(text.out, "lost when the keyholder ends");
    json_t *answer = cli_parse(json.out);
    assert_int_equal(json_integer_value(json_object_get(answer, "pid")), daemon->pid);
    assert_true(json_is_true(json_object_get(answer, "ephemeral_keys")));
    json_decref(answer);
    test_output_free(&text);
    test_output_free(&json);
}

/* Each name once, among those that hold or those that do not. */
static void cli_assert_protections(const json_t *keyholder)
{
    const json_t *holds = json_object_get(keyholder, "protections");
    const json_t *missing = json_object_get(keyholder, "missing");
    json_t *seen = json_object();
    size_t num = json_array_size(holds) + json_array_size(missing);
    assert_int_equal(num, 8);
    for (size_t i = 0; i < num; i++) {
        size_t num_holds = json_array_size(holds);
        const json_t *name =
            i < num_holds ? json_array_get(holds, i) : json_array_get(missing, i - num_holds);
        assert_true(json_is_string(name));
        (void)json_object_set_new(seen, json_string_value(name), json_true());
    }
    assert_int_equal(json_object_size(seen), num);
    json_decref(seen);
}

static void test_status__tells_of_the_keyholder(void **state)
{
    const struct test_daemon *daemon = *state;
    char row[120];
    struct test_output text = CLI_RUN(NULL, "status");
    struct test_output json = CLI_RUN(NULL, "status", "--json");
    cli_assert_exit(&text, 0);
    json_t *answer = cli_parse(json.out);
    const json_t *keyholder = json_object_get(answer, "keyholder");
    json_int_t pid = json_integer_value(json_object_get(keyholder, "pid"));
    assert_true(json_is_true(json_object_get(keyholder, "is_up")));
    assert_true(pid > 0 && pid != daemon->pid); /* a process of its own */
    assert_int_equal(json_integer_value(json_object_get(keyholder, "uid")), geteuid());
    assert_int_equal(json_integer_value(json_object_get(keyholder, "num_restarts")), 0);
    cli_assert_protections(keyholder);
    json_decref(answer);

    (void)snprintf(row, sizeof(row), "up, pid %lld, uid %u (", (long long)pid, geteuid());
    cli_assert_holds(text.out, row);
    cli_assert_holds(text.out, ", 0 restarts\n");
    /* Whoever runs --dev holds the keys under the same user. */
    const char *missing = strstr(text.out, "; missing: ");
    assert_non_null(missing);
    cli_assert_holds(missing, "own_user");
    test_output_free(&text);
    test_output_free(&json);
}

static void test_bench__measures_each_operation(void **state)
{
    static const char *const ops[] = {"sign",       "verify",       "verify-new",
                                      "batch-sign", "batch-verify", "health"};
    (void)state;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct test_output output =
            CLI_RUN(NULL, "bench", "--json", "--op", ops[i], "--keyset", "demo-hs256", "--threads",
                    "2", "--batch", "8", "--duration", "50ms", "--timeout", "20s");
        cli_assert_exit(&output, 0);
        assert_string_equal(output.err, "");
        json_t *run = cli_parse(output.out);
        assert_string_equal(cli_member(run, "op"), ops[i]);
        assert_int_equal(json_integer_value(json_object_get(run, "errors")), 0);
        assert_true(json_integer_value(json_object_get(run, "calls")) > 0);
        assert_true(json_number_value(json_object_get(run, "per_second")) > 0);
        double p50 = json_number_value(json_object_get(run, "p50_us"));
        double p90 = json_number_value(json_object_get(run, "p90_us"));
        double p99 = json_number_value(json_object_get(run, "p99_us"));
        double most = json_number_value(json_object_get(run, "max_us"));
        assert_true(p50 > 0 && p50 <= p90 && p90 <= p99 && p50 <= most);
        json_decref(run);
        test_output_free(&output);
    }
}

static void test_bench__matrix_is_every_keyset_one_line_each(void **state)
{
    (void)state;
    struct test_output output = CLI_RUN(NULL, "bench", "--json", "--op", "verify", "--duration",
                                        "20ms", "--timeout", "20s");
    cli_assert_exit(&output, 0);
    size_t num = 0;
    char *rest = NULL;
    for (char *line = strtok_r(output.out, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        json_decref(cli_parse(line));
        num++;
    }
    assert_int_equal(num, 10);
    test_output_free(&output);
}

static void test_output__that_cannot_be_written_is_exit_4(void **state)
{
    (void)state;
    char command[600];
    (void)snprintf(command, sizeof(command), "exec '%s' keysets >/dev/full", cli_program);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct test_output output = {0};
    test_run(argv, NULL, CLI_LIMIT_MS, &output);
    cli_assert_complaint(&output, 4);
    test_output_free(&output);
}

static void test_silent_daemon__is_exit_3(void **state)
{
    struct test_daemon *daemon = *state;
    (void)test_daemon_kill(daemon, SIGSTOP);
    struct test_output output =
        CLI_RUN(NULL, "verify", "e30.e30.", "--aud", "a", "--timeout", "200ms");
    (void)test_daemon_kill(daemon, SIGCONT);
    cli_assert_complaint(&output, 3);
    test_output_free(&output);
}

/* ---- The demo ---- */

static void demo_run(const char *bin_dir, struct test_output *output)
{
    const char *argv[] = {SG_SOURCE_DIR "/client/examples/demo.sh", bin_dir, NULL};
    test_run(argv, NULL, CLI_LIMIT_MS, output);
}

static size_t demo_count_entries(const char *path)
{
    size_t num = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        num += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return num;
}

static void test_demo__comes_out_as_told_and_leaves_nothing(void **state)
{
    char dir[96];
    struct test_output output = {0};
    (void)state;
    test_temp_dir(dir, sizeof(dir));
    assert_int_equal(setenv("TMPDIR", dir, 1), 0);
    demo_run(cli_bin_dir, &output);
    assert_int_equal(unsetenv("TMPDIR"), 0);
    cli_assert_exit(&output, 0);
    cli_assert_holds(output.out, "orders of user-1001");
    cli_assert_holds(output.out, "refused: BAD_SIGNATURE");
    cli_assert_holds(output.out, "refused: EXPIRED");
    cli_assert_holds(output.out, "refused: WRONG_AUDIENCE");
    cli_assert_holds(output.out, "All came out as told.");
    assert_int_equal(demo_count_entries(dir), 0);
    test_output_free(&output);
    test_remove_tree(dir);
}

static void test_demo__fails_without_a_build(void **state)
{
    struct test_output output = {0};
    (void)state;
    demo_run("/nonexistent", &output);
    cli_assert_exit(&output, 2);
    test_output_free(&output);
}

int main(void)
{
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(cli_program, sizeof(cli_program), "%s/signet",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    (void)snprintf(cli_bin_dir, sizeof(cli_bin_dir), "%s/..",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    (void)unsetenv("SIGNET_ADDRESS");

    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_usage__is_exit_2_with_one_line),
        cmocka_unit_test(test_usage__names_a_claim_given_twice),
        cmocka_unit_test(test_help__every_command_has_it_and_tells_the_exit_statuses),
        cmocka_unit_test(test_version__is_that_of_the_library),
        cmocka_unit_test(test_unreachable__is_exit_3),
        cmocka_unit_test(test_unreachable__a_socket_that_is_not_for_this_user_is_exit_3),
        cmocka_unit_test(test_inspect__explains_every_problem),
        cmocka_unit_test(test_inspect__explains_what_is_no_token),
        cmocka_unit_test(test_inspect__finds_nothing_to_complain_of_but_says_no_more),
        cmocka_unit_test(test_inspect__shows_control_characters_escaped),
        cmocka_unit_test(test_inspect__reads_no_more_of_a_huge_token_than_a_token_may_have),
        cmocka_unit_test(test_inspect__reads_standard_input),
        cmocka_unit_test(test_demo__fails_without_a_build),
    };
    const struct CMUnitTest served[] = {
        cmocka_unit_test(test_sign__prints_the_token_alone),
        cmocka_unit_test(test_sign__json_holds_what_the_token_says),
        cmocka_unit_test(test_sign__request_that_must_be_mended_is_exit_2),
        cmocka_unit_test(test_verify__refused_is_exit_1_with_the_reason),
        cmocka_unit_test(test_verify__audience_decides),
        cmocka_unit_test(test_verify__consume_is_good_once),
        cmocka_unit_test(test_verify__too_long_is_refused_not_cut),
        cmocka_unit_test(test_verify__shows_control_characters_escaped),
        cmocka_unit_test(test_options__stand_before_or_after_the_command),
        cmocka_unit_test(test_keysets__lists_names_and_keys),
        cmocka_unit_test(test_jwks__holds_public_keys_only),
        cmocka_unit_test(test_status__tells_of_the_daemon),
        cmocka_unit_test(test_status__tells_of_the_keyholder),
        cmocka_unit_test(test_bench__measures_each_operation),
        cmocka_unit_test(test_bench__matrix_is_every_keyset_one_line_each),
        cmocka_unit_test(test_output__that_cannot_be_written_is_exit_4),
        cmocka_unit_test(test_silent_daemon__is_exit_3),
        cmocka_unit_test(test_demo__comes_out_as_told_and_leaves_nothing),
    };
    int failed = cmocka_run_group_tests_name("cli_alone", alone, NULL, NULL);
    return failed + cmocka_run_group_tests_name("cli", served, cli_setup, cli_teardown);
}
