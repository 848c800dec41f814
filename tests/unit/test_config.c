/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: what is good is read in full, and whatever is not is refused with file, line,
 * key and what was expected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"
#include "tests/support/files.h"

#define TEST_MAX_ERROR 4096

struct config_file {
    char dir[80];
    char path[120];
};

static int config_setup(void **state)
{
    static struct config_file file;
    test_temp_dir(file.dir, sizeof(file.dir));
    (void)snprintf(file.path, sizeof(file.path), "%s/signet.yaml", file.dir);
    *state = &file;
    return 0;
}

static int config_teardown(void **state)
{
    const struct config_file *file = *state;
    test_remove_tree(file->dir);
    return 0;
}

static signet_status config_load(const struct config_file *file, const char *text,
                                 struct sg_config **out, char error[TEST_MAX_ERROR])
{
    test_write_file(file->path, text, strlen(text));
    return sg_config_load(file->path, out, error, TEST_MAX_ERROR);
}

static struct sg_config *config_load_good(const struct config_file *file, const char *text)
{
    char error[TEST_MAX_ERROR];
    struct sg_config *config = NULL;
    if (config_load(file, text, &config, error) != SIGNET_OK) {
        fail_msg("refused:\n%s\nbecause\n%s", text, error);
    }
    return config;
}

/* Refused, with a line of the error that begins with FILE:LINE: and says what. */
static void config_expect_fault(const struct config_file *file, const char *text, unsigned line,
                                const char *what)
{
    char error[TEST_MAX_ERROR];
    char place[160];
    struct sg_config *config = NULL;
    if (config_load(file, text, &config, error) == SIGNET_OK) {
        fail_msg("accepted:\n%s", text);
    }
    assert_null(config);
    (void)snprintf(place, sizeof(place), "%s:%u: ", file->path, line);
    if (line == 0) {
        (void)snprintf(place, sizeof(place), "%s: ", file->path);
    }
    for (const char *at = error; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n' ? 1 : 0;
        const char *said = strstr(at, what);
        if (strncmp(at, place, strlen(place)) == 0 && said != NULL &&
            (size_t)(said - at) < strcspn(at, "\n")) {
            return;
        }
    }
    fail_msg("for:\n%s\nexpected %s... %s\nbut got:\n%s", text, place, what, error);
}

/* ---- Good ones ---- */

static void test_config__small_one_gets_the_defaults(void **state)
{
    struct sg_config *config = config_load_good(*state, "keysets:\n"
                                                        "  - name: login\n"
                                                        "    alg: RS256\n"
                                                        "    issuer: https://login.example\n");
    assert_string_equal(config->runtime_dir, "/run/signet");
    assert_string_equal(config->state_dir, "/var/lib/signet");
    assert_null(config->user);
    assert_int_equal(config->socket_mode, 0660);
    assert_int_equal(config->limits.max_connections, 4096);
    assert_int_equal(config->limits.max_connections_per_uid, 2048);
    assert_int_equal(config->limits.max_in_flight, 1024);
    assert_int_equal(config->limits.max_in_flight_per_connection, 64);
    assert_int_equal(config->limits.max_buffer_mib, 64);
    assert_int_equal(config->limits.idle_timeout_s, 0);
    assert_true(config->limits.workers >= 1 && config->limits.workers <= 64);
    assert_int_equal(config->num_keysets, 1);
    assert_string_equal(config->keysets[0].name, "login");
    assert_int_equal(config->keysets[0].alg, SG_ALG_RS256);
    assert_string_equal(config->keysets[0].alg_name, "RS256");
    assert_string_equal(config->keysets[0].issuer, "https://login.example");
    assert_string_equal(config->keysets[0].typ, "JWT");
    assert_int_equal(config->keysets[0].default_ttl_s, 900);
    assert_int_equal(config->keysets[0].max_ttl_s, 86400);
    assert_int_equal(config->keysets[0].rsa_bits, 2048);
    sg_config_free(config);
}

static void test_config__full_one_is_read_in_full(void **state)
{
    struct sg_config *config = config_load_good(*state, "runtime_dir: /srv/.run/..a/...\n"
                                                        "state_dir: /srv/state\n"
                                                        "user: nobody\n"
                                                        "socket_mode: \"0666\"\n"
                                                        "limits:\n"
                                                        "  max_connections: 100\n"
                                                        "  max_connections_per_uid: 50\n"
                                                        "  max_in_flight: 60\n"
                                                        "  max_in_flight_per_connection: 7\n"
                                                        "  max_buffer_mib: 9\n"
                                                        "  idle_timeout: 2h\n"
                                                        "  workers: 3\n"
                                                        "keysets:\n"
                                                        "  - name: a.b_c-1\n"
                                                        "    alg: PS512\n"
                                                        "    issuer: \"J\\u00f6rg\"\n"
                                                        "    typ: at+jwt\n"
                                                        "    default_ttl: 90\n"
                                                        "    max_ttl: 366d\n"
                                                        "    rsa_bits: 3072\n"
                                                        "  - {name: b, alg: Ed25519, issuer: b}\n");
    assert_string_equal(config->runtime_dir, "/srv/.run/..a/...");
    assert_string_equal(config->state_dir, "/srv/state");
    assert_string_equal(config->user, "nobody");
    assert_int_equal(config->socket_mode, 0666);
    assert_int_equal(config->limits.max_connections, 100);
    assert_int_equal(config->limits.max_connections_per_uid, 50);
    assert_int_equal(config->limits.max_in_flight, 60);
    assert_int_equal(config->limits.max_in_flight_per_connection, 7);
    assert_int_equal(config->limits.max_buffer_mib, 9);
    assert_int_equal(config->limits.idle_timeout_s, 7200);
    assert_int_equal(config->limits.workers, 3);
    assert_int_equal(config->num_keysets, 2);
    assert_string_equal(config->keysets[0].name, "a.b_c-1");
    assert_string_equal(config->keysets[0].issuer, "J\xc3\xb6rg");
    assert_string_equal(config->keysets[0].typ, "at+jwt");
    assert_int_equal(config->keysets[0].default_ttl_s, 90);
    assert_int_equal(config->keysets[0].max_ttl_s, 366 * 86400);
    assert_int_equal(config->keysets[0].rsa_bits, 3072);
    assert_int_equal(config->keysets[1].alg, SG_ALG_ED25519);
    assert_string_equal(config->keysets[1].alg_name, "EdDSA");
    assert_int_equal(config->keysets[1].rsa_bits, 0);
    sg_config_free(config);
}

static void test_config__durations_have_units(void **state)
{
    static const struct {
        const char *text;
        uint32_t seconds;
    } rows[] = {{"1", 1}, {"90s", 90}, {"15m", 900}, {"24h", 86400}, {"2d", 172800}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text),
                       "keysets:\n  - {name: a, alg: ES256, issuer: a, max_ttl: %s}\n",
                       rows[i].text);
        struct sg_config *config = config_load_good(*state, text);
        assert_int_equal(config->keysets[0].max_ttl_s, rows[i].seconds);
        /* A default never makes a configuration bad. */
        assert_true(config->keysets[0].default_ttl_s <= rows[i].seconds);
        sg_config_free(config);
    }
}

static void test_config__defaults_follow_smaller_limits(void **state)
{
    struct sg_config *config =
        config_load_good(*state, "limits: {max_connections: 10, max_in_flight: 5}\n"
                                 "keysets:\n  - {name: a, alg: ES256, issuer: a}\n");
    assert_int_equal(config->limits.max_connections_per_uid, 10);
    assert_int_equal(config->limits.max_in_flight_per_connection, 5);
    sg_config_free(config);
}

static void test_config__example_is_good(void **state)
{
    (void)state;
    char error[TEST_MAX_ERROR];
    struct sg_config *config = NULL;
    assert_int_equal(
        sg_config_load(SG_SOURCE_DIR "/server/signet.yaml.example", &config, error, sizeof(error)),
        SIGNET_OK);
    assert_int_equal(config->num_keysets, 2);
    sg_config_free(config);
}

/* What the example shows as defaults are the defaults: uncommented, it says the same. */
static void test_config__example_shows_the_defaults(void **state)
{
    const struct config_file *file = *state;
    char error[TEST_MAX_ERROR];
    struct sg_config *plain = NULL;
    assert_int_equal(
        sg_config_load(SG_SOURCE_DIR "/server/signet.yaml.example", &plain, error, sizeof(error)),
        SIGNET_OK);
    char *text = test_read_file(SG_SOURCE_DIR "/server/signet.yaml.example", NULL);
    if (text == NULL) {
        fail_msg("the example cannot be read");
        return;
    }
    for (char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        char *mark = line + strspn(line, " ");
        if (mark[0] == '#' && mark[1] >= 'a' && mark[1] <= 'z') {
            memmove(mark, mark + 1, strlen(mark));
        }
    }
    struct sg_config *full = config_load_good(file, text);
    free(text);
    plain->limits.workers = full->limits.workers; /* the machine's */
    assert_string_equal(full->runtime_dir, plain->runtime_dir);
    assert_string_equal(full->state_dir, plain->state_dir);
    assert_int_equal(full->socket_mode, plain->socket_mode);
    assert_memory_equal(&full->limits, &plain->limits, sizeof(full->limits));
    assert_int_equal(full->num_keysets, plain->num_keysets);
    for (size_t i = 0; i < full->num_keysets; i++) {
        assert_string_equal(full->keysets[i].typ, plain->keysets[i].typ);
        assert_int_equal(full->keysets[i].default_ttl_s, plain->keysets[i].default_ttl_s);
        assert_int_equal(full->keysets[i].max_ttl_s, plain->keysets[i].max_ttl_s);
        assert_int_equal(full->keysets[i].rsa_bits, plain->keysets[i].rsa_bits);
    }
    sg_config_free(full);
    sg_config_free(plain);
}

static void test_config__demo_has_one_keyset_of_each_kind(void **state)
{
    (void)state;
    static const char *const names[] = {"demo-hs256", "demo-rs256", "demo-ps256", "demo-es256",
                                        "demo-eddsa"};
    struct sg_config *config = NULL;
    assert_int_equal(sg_config_demo(&config), SIGNET_OK);
    assert_int_equal(config->num_keysets, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(config->keysets[i].name, names[i]);
        assert_string_equal(config->keysets[i].issuer, "https://signet.example/demo");
        assert_int_equal(config->keysets[i].default_ttl_s, 900);
        assert_int_equal(config->keysets[i].max_ttl_s, 86400);
    }
    sg_config_free(config);
}

/* ---- Bad ones ---- */

/* KEYSET ends at the end of line 4. */
#define KEYSET "keysets:\n  - name: a\n    alg: ES256\n    issuer: a\n"
#define RSA    "keysets:\n  - name: a\n    alg: RS256\n    issuer: a\n"

static void test_config__names_line_key_and_what_was_expected(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *what;
    } rows[] = {
        /* Not YAML, or not one document. */
        {"", 1, "empty; expected at least keysets"},
        {"# nothing\n", 1, "empty; expected at least keysets"},
        {"keysets:\n\t- name: a\n", 2, "not YAML: found character that cannot start any token"},
        {"keysets: [\n", 2, "not YAML"},
        {"user: \xff\n", 1, "not YAML: invalid leading UTF-8 octet"},
        {KEYSET "---\nuser: x\n", 5, "a second document"},
        {KEYSET "user: \"a\\0b\"\n", 5, "NUL"},
        {"- a\n", 1, "expected keys with values"},
        /* Keys. */
        {KEYSET "runtime_dri: /x\n", 5,
         "runtime_dri: there is no such key; expected one of runtime_dir, state_dir"},
        {"limits:\n  max_conections: 3\n" KEYSET, 2,
         "limits.max_conections: there is no such key; expected one of max_connections"},
        {KEYSET "    algorithm: ES256\n", 5,
         "keysets[0].algorithm: there is no such key; expected one of name, alg"},
        {KEYSET "user: a\nuser: b\n", 6, "user: given twice, first in line 5"},
        {KEYSET "    alg: HS256\n", 5, "alg: given twice, first in line 3"},
        {"limits:\n  workers: 1\n  workers: 2\n" KEYSET, 3, "workers: given twice"},
        /* Kinds. */
        {"keysets: 3\n", 1, "keysets: expected a list"},
        {"limits: 3\n" KEYSET, 1, "limits: expected keys with values"},
        {"limits:\n" KEYSET, 1, "limits: expected keys with values"},
        {"keysets:\n  - a\n", 2, "keysets[0]: expected keys with values"},
        {KEYSET "runtime_dir: [/x]\n", 5, "runtime_dir: expected a single value"},
        {KEYSET "  - name: {x: y}\n", 5, "keysets[1].name: expected a single value"},
        {"user: &u x\nstate_dir: *u\n" KEYSET, 2, "state_dir: aliases (*name) are not read"},
        /* What must be there. */
        {"user: x\n", 1, "keysets: 0 keysets; expected 1 to 1024"},
        {"keysets: []\n", 1, "keysets: 0 keysets; expected 1 to 1024"},
        {"keysets:\n  - alg: ES256\n    issuer: a\n", 2, "keysets[0].name: is missing"},
        {"keysets:\n  - name: a\n    issuer: a\n", 2,
         "keysets[0].alg: is missing; expected one of HS256, HS384"},
        {"keysets:\n  - name: a\n    alg: ES256\n", 2, "keysets[0].issuer: is missing"},
        /* Names. */
        {KEYSET "  - name: a\n    alg: ES256\n    issuer: a\n", 5,
         "keysets[1].name: \"a\" is the name of keysets[0] too"},
        {"keysets:\n  - name: Login\n    alg: ES256\n    issuer: a\n", 2,
         "keysets[0].name: \"Login\" is not a name; expected 1 to 64 of a-z"},
        {"keysets:\n  - name:\n    alg: ES256\n    issuer: a\n", 2, "keysets[0].name: \"\""},
        {"keysets:\n"
         "  - name: a123456789b123456789c123456789d123456789e123456789f123456789g1234\n"
         "    alg: ES256\n    issuer: a\n",
         2, "is not a name"},
        /* Algorithms. */
        {"keysets:\n  - name: a\n    alg: HS265\n    issuer: a\n", 3,
         "keysets[0].alg: \"HS265\" is not an algorithm; expected one of HS256, HS384"},
        {"keysets:\n  - name: a\n    alg: none\n    issuer: a\n", 3,
         "\"none\" is not an algorithm"},
        {"keysets:\n  - name: a\n    alg: es256\n    issuer: a\n", 3,
         "\"es256\" is not an algorithm"},
        /* Issuer and typ. */
        {"keysets:\n  - name: a\n    alg: ES256\n    issuer: \"\"\n", 4,
         "keysets[0].issuer: is not"},
        {"keysets:\n  - name: a\n    alg: ES256\n    issuer: \"a\\nb\"\n", 4,
         "keysets[0].issuer: is not"},
        {"keysets:\n  - name: a\n    alg: ES256\n    issuer: \"//x:1\"\n", 4,
         "keysets[0].issuer: is not"},
        {KEYSET "    typ: 'a\"b'\n", 5, "keysets[0].typ: \"a\"b\" is not good"},
        {KEYSET "    typ: \"\"\n", 5, "keysets[0].typ:"},
        /* Times. */
        {KEYSET "    default_ttl: 2h\n    max_ttl: 1h\n", 5,
         "keysets[0].default_ttl: 7200 s is more than max_ttl; expected at most 3600 s"},
        {KEYSET "    default_ttl: 25h\n", 5,
         "keysets[0].default_ttl: 90000 s is more than max_ttl"},
        {KEYSET "    max_ttl: 367d\n", 5, "keysets[0].max_ttl: \"367d\" is out of range"},
        {KEYSET "    max_ttl: 0\n", 5, "keysets[0].max_ttl: \"0\" is out of range; expected 1 s"},
        {KEYSET "    max_ttl: 15 m\n", 5, "\"15 m\" is not a duration; expected one such as 90s"},
        {KEYSET "    max_ttl: -5\n", 5, "is not a duration"},
        {KEYSET "    max_ttl: 1w\n", 5, "is not a duration"},
        {KEYSET "    max_ttl: 1h30m\n", 5, "is not a duration"},
        {KEYSET "    max_ttl: 99999999999999999999d\n", 5, "is not a duration"},
        {KEYSET "    max_ttl: 4294967295d\n", 5, "is out of range"},
        /* RSA. */
        {KEYSET "    rsa_bits: 2048\n", 5,
         "keysets[0].rsa_bits: ES256 has no RSA key; expected no rsa_bits here"},
        {RSA "    rsa_bits: 1024\n", 5, "expected a whole number from 2048 to 8192"},
        {RSA "    rsa_bits: 16384\n", 5, "expected a whole number from 2048 to 8192"},
        {RSA "    rsa_bits: 2050\n", 5, "2050 is not good; expected a multiple of 256"},
        {RSA "    rsa_bits: 0x1000\n", 5, "expected a whole number"},
        /* Paths, user, mode. */
        {KEYSET "runtime_dir: run\n", 5, "runtime_dir: \"run\" is not good; expected an absolute"},
        {KEYSET "runtime_dir: /\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /a/../b\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /tmp/x/..\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /..\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /../a\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /.\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /a/.\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /a/./b\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: //a\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /a//b\n", 5, "runtime_dir:"},
        {KEYSET "runtime_dir: /a/\n", 5, "runtime_dir:"},
        {KEYSET "state_dir: /a/..\n", 5, "state_dir:"},
        {KEYSET "runtime_dir: /a123456789b123456789c123456789d123456789e123456789f123456789g123456"
                "789h123456789i123456789j12345\n",
         5, "of at most 95 bytes"},
        {KEYSET "state_dir: state\n", 5, "state_dir:"},
        {KEYSET "user: \"\"\n", 5, "user:"},
        {KEYSET "user: a b\n", 5, "user:"},
        {KEYSET "socket_mode: rw\n", 5, "socket_mode: \"rw\" is not good; expected \"0600\""},
        {KEYSET "socket_mode: 432\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"0777\"\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"4660\"\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"0060\"\n", 5, "socket_mode:"},
        /* Limits. */
        {"limits:\n  max_connections: 0\n" KEYSET, 2,
         "limits.max_connections: \"0\" is not good; expected a whole number from 1 to 65536"},
        {"limits:\n  max_connections: many\n" KEYSET, 2, "limits.max_connections: \"many\""},
        {"limits:\n  max_connections: 99999999999999999999\n" KEYSET, 2, "limits.max_connections:"},
        {"limits:\n  max_connections: 4294967297\n" KEYSET, 2, "limits.max_connections:"},
        {"limits:\n  max_connections: -1\n" KEYSET, 2, "limits.max_connections:"},
        {"limits:\n  max_connections: 1.5\n" KEYSET, 2, "limits.max_connections:"},
        {"limits:\n  workers: 65\n" KEYSET, 2, "limits.workers:"},
        {"limits:\n  max_buffer_mib: 1\n" KEYSET, 2, "limits.max_buffer_mib:"},
        {"limits:\n  idle_timeout: 8d\n" KEYSET, 2, "limits.idle_timeout:"},
        {"limits:\n  max_connections: 5\n  max_connections_per_uid: 6\n" KEYSET, 3,
         "limits.max_connections_per_uid: 6 is more than max_connections; expected at most 5"},
        {"limits:\n  max_in_flight: 5\n  max_in_flight_per_connection: 6\n" KEYSET, 3,
         "limits.max_in_flight_per_connection: 6 is more than max_in_flight"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        config_expect_fault(*state, rows[i].text, rows[i].line, rows[i].what);
    }
}

static void test_config__tells_all_faults_at_once(void **state)
{
    static const char text[] = "socket_mode: rw\n"
                               "limits:\n"
                               "  workers: 0\n"
                               "keysets:\n"
                               "  - name: a\n"
                               "    alg: HS265\n"
                               "    issuer: a\n"
                               "  - name: a\n"
                               "    alg: ES256\n"
                               "    issuer: a\n"
                               "    max_ttl: never\n";
    config_expect_fault(*state, text, 1, "socket_mode");
    config_expect_fault(*state, text, 3, "limits.workers");
    config_expect_fault(*state, text, 6, "keysets[0].alg");
    config_expect_fault(*state, text, 8, "keysets[1].name");
    config_expect_fault(*state, text, 11, "keysets[1].max_ttl");
}

/* More faults than fit: whole lines, and no byte beyond the buffer. */
static void test_config__keeps_to_the_error_buffer(void **state)
{
    const struct config_file *file = *state;
    char text[4000] = "keysets:\n";
    for (int i = 0; i < 60; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "  - {name: k%d, alg: no, issuer: a}\n",
                       i);
    }
    test_write_file(file->path, text, strlen(text));
    for (size_t cap = 1; cap < 800; cap += 37) {
        char error[801];
        memset(error, 'X', sizeof(error));
        struct sg_config *config = NULL;
        assert_int_equal(sg_config_load(file->path, &config, error, cap), SIGNET_INVALID_ARGUMENT);
        assert_non_null(memchr(error, '\0', cap));
        assert_int_equal(error[cap], 'X');
    }
}

static void test_config__is_a_regular_file_that_can_be_read(void **state)
{
    const struct config_file *file = *state;
    char error[TEST_MAX_ERROR];
    struct sg_config *config = NULL;
    assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, file->path));
    assert_non_null(strstr(error, "No such file or directory"));

    assert_int_equal(sg_config_load(file->dir, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "not a regular file"));

    assert_int_equal(mkfifo(file->path, 0600), 0);
    assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "not a regular file"));
    assert_int_equal(unlink(file->path), 0);

    test_write_file(file->path, KEYSET, strlen(KEYSET));
    assert_int_equal(truncate(file->path, (1 << 20) + 1), 0);
    assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "at most 1 MiB"));

    if (geteuid() != 0) { /* root may read everything */
        assert_int_equal(chmod(file->path, 0), 0);
        assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                         SIGNET_INVALID_ARGUMENT);
        assert_non_null(strstr(error, "Permission denied"));
    }
    assert_null(config);
}

static void test_config__command_line_wins_and_is_checked(void **state)
{
    (void)state;
    char error[TEST_MAX_ERROR] = "";
    struct sg_config *config = NULL;
    assert_int_equal(sg_config_demo(&config), SIGNET_OK);
    assert_int_equal(sg_config_override(config, NULL, NULL, error, sizeof(error)), SIGNET_OK);
    assert_string_equal(config->runtime_dir, "/run/signet");
    assert_int_equal(sg_config_override(config, "/tmp/x", "nobody", error, sizeof(error)),
                     SIGNET_OK);
    assert_string_equal(config->runtime_dir, "/tmp/x");
    assert_string_equal(config->user, "nobody");
    assert_int_equal(sg_config_override(config, "x", NULL, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "--runtime-dir: \"x\" is not good; expected an absolute path"));
    sg_config_free(config);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, config_setup, config_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_config__small_one_gets_the_defaults),
        CONFIG_TEST(test_config__full_one_is_read_in_full),
        CONFIG_TEST(test_config__durations_have_units),
        CONFIG_TEST(test_config__defaults_follow_smaller_limits),
        CONFIG_TEST(test_config__example_is_good),
        CONFIG_TEST(test_config__example_shows_the_defaults),
        CONFIG_TEST(test_config__demo_has_one_keyset_of_each_kind),
        CONFIG_TEST(test_config__names_line_key_and_what_was_expected),
        CONFIG_TEST(test_config__tells_all_faults_at_once),
        CONFIG_TEST(test_config__keeps_to_the_error_buffer),
        CONFIG_TEST(test_config__is_a_regular_file_that_can_be_read),
        CONFIG_TEST(test_config__command_line_wins_and_is_checked),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
