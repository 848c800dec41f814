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

#include "config_fixture.h"
#include "server/config.h"
#include "server/keyholder/keyholder.h"
#include "tests/support/files.h"

/* ---- Good ones ---- */

static void test_config__small_one_gets_the_defaults(void **state)
{
    struct sg_config *config = test_config_load_good(*state, "keysets:\n"
                                                             "  - name: login\n"
                                                             "    alg: RS256\n"
                                                             "    issuer: https://login.example\n");
    assert_string_equal(config->runtime_dir, "/run/signet");
    assert_string_equal(config->state_dir, "/var/lib/signet");
    assert_null(config->user);
    assert_int_equal(config->socket_mode, 0660);
    assert_string_equal(config->keystore_key, "file:/etc/signet/keystore.key");
    assert_false(sg_config_is_ephemeral(config));
    assert_string_equal(config->trust_dir, "/etc/signet/trust.d");
    assert_null(config->keyholder.user);
    assert_null(config->keyholder.socket);
    assert_int_equal(config->keyholder.required, 0);
    assert_int_equal(config->limits.max_connections, 4096);
    assert_int_equal(config->limits.max_connections_per_uid, 2048);
    assert_int_equal(config->limits.max_in_flight, 1024);
    assert_int_equal(config->limits.max_in_flight_per_connection, 64);
    assert_int_equal(config->limits.max_buffer_mib, 64);
    assert_int_equal(config->limits.max_cached_macs, 4096);
    assert_int_equal(config->limits.idle_timeout_s, 0);
    assert_true(config->limits.workers >= 1 && config->limits.workers <= 64);
    assert_int_equal(config->limits.max_in_flight_per_uid, 512);
    assert_int_equal(config->limits.cpu_per_uid_percent, 50);
    assert_int_equal(config->limits.cpu_burst_ms, 1000);
    assert_int_equal(config->limits.consumed_per_uid, 100000);
    assert_string_equal(config->audit.dir, "/var/lib/signet/audit");
    assert_int_equal(config->audit.on_full, SG_AUDIT_BLOCK);
    assert_false(config->audit.verifications);
    assert_int_equal(config->audit.max_file_mib, 64);
    assert_int_equal(config->audit.max_file_age_s, 86400);
    assert_int_equal(config->audit.max_files, 0);
    assert_int_equal(config->audit.queue_kib, 4096);
    assert_int_equal(config->audit.head_every_s, 60);
    assert_int_equal(config->num_grants, 0);
    assert_int_equal(config->num_keysets, 1);
    assert_string_equal(config->keysets[0].name, "login");
    assert_int_equal(config->keysets[0].alg, SG_ALG_RS256);
    assert_string_equal(config->keysets[0].alg_name, "RS256");
    assert_string_equal(config->keysets[0].issuer, "https://login.example");
    assert_string_equal(config->keysets[0].typ, "JWT");
    assert_int_equal(config->keysets[0].default_ttl_s, 900);
    assert_int_equal(config->keysets[0].max_ttl_s, 86400);
    assert_int_equal(config->keysets[0].rsa_bits, 2048);
    assert_int_equal(config->keysets[0].rotate_every_s, 30 * 86400);
    assert_int_equal(config->keysets[0].publish_lead_s, 3600);
    assert_int_equal(config->keysets[0].overlap_s, 0);
    sg_config_free(config);
}

static void test_config__full_one_is_read_in_full(void **state)
{
    struct sg_config *config =
        test_config_load_good(*state, "runtime_dir: /srv/.run/..a/...\n"
                                      "state_dir: /srv/state\n"
                                      "user: nobody\n"
                                      "socket_mode: \"0666\"\n"
                                      "trust_dir: /srv/trust\n"
                                      "keystore:\n"
                                      "  key: file:/srv/keys/.kek\n"
                                      "keyholder:\n"
                                      "  user: daemon\n"
                                      "  require: [own_user, seccomp]\n"
                                      "limits:\n"
                                      "  max_connections: 100\n"
                                      "  max_connections_per_uid: 50\n"
                                      "  max_in_flight: 60\n"
                                      "  max_in_flight_per_connection: 7\n"
                                      "  max_buffer_mib: 9\n"
                                      "  max_cached_macs: 0\n"
                                      "  idle_timeout: 2h\n"
                                      "  workers: 3\n"
                                      "  max_in_flight_per_uid: 8\n"
                                      "  cpu_per_uid: 25%\n"
                                      "  cpu_burst: 250ms\n"
                                      "  consumed_per_uid: 77\n"
                                      "audit:\n"
                                      "  dir: /srv/audit\n"
                                      "  on_full: drop\n"
                                      "  verifications: true\n"
                                      "  max_file_mib: 2\n"
                                      "  max_file_age: 1h\n"
                                      "  max_files: 9\n"
                                      "  queue_kib: 256\n"
                                      "  head_every: 2m\n"
                                      "keysets:\n"
                                      "  - name: a.b_c-1\n"
                                      "    alg: PS512\n"
                                      "    issuer: \"J\\u00f6rg\"\n"
                                      "    typ: at+jwt\n"
                                      "    default_ttl: 90\n"
                                      "    max_ttl: 366d\n"
                                      "    rsa_bits: 3072\n"
                                      "    rotate_every: 7d\n"
                                      "    publish_lead: 2h\n"
                                      "    overlap: 90s\n"
                                      "  - {name: b, alg: Ed25519, issuer: b}\n");
    assert_string_equal(config->runtime_dir, "/srv/.run/..a/...");
    assert_string_equal(config->state_dir, "/srv/state");
    assert_string_equal(config->user, "nobody");
    assert_int_equal(config->socket_mode, 0666);
    assert_string_equal(config->trust_dir, "/srv/trust");
    assert_string_equal(config->keystore_key, "file:/srv/keys/.kek");
    assert_string_equal(config->keyholder.user, "daemon");
    assert_null(config->keyholder.socket);
    assert_int_equal(config->keyholder.required, SG_PROTECT_OWN_USER | SG_PROTECT_SECCOMP);
    assert_int_equal(config->limits.max_connections, 100);
    assert_int_equal(config->limits.max_connections_per_uid, 50);
    assert_int_equal(config->limits.max_in_flight, 60);
    assert_int_equal(config->limits.max_in_flight_per_connection, 7);
    assert_int_equal(config->limits.max_buffer_mib, 9);
    assert_int_equal(config->limits.max_cached_macs, 0);
    assert_int_equal(config->limits.idle_timeout_s, 7200);
    assert_int_equal(config->limits.workers, 3);
    assert_int_equal(config->limits.max_in_flight_per_uid, 8);
    assert_int_equal(config->limits.cpu_per_uid_percent, 25);
    assert_int_equal(config->limits.cpu_burst_ms, 250);
    assert_int_equal(config->limits.consumed_per_uid, 77);
    assert_string_equal(config->audit.dir, "/srv/audit");
    assert_int_equal(config->audit.on_full, SG_AUDIT_DROP);
    assert_true(config->audit.verifications);
    assert_int_equal(config->audit.max_file_mib, 2);
    assert_int_equal(config->audit.max_file_age_s, 3600);
    assert_int_equal(config->audit.max_files, 9);
    assert_int_equal(config->audit.queue_kib, 256);
    assert_int_equal(config->audit.head_every_s, 120);
    assert_int_equal(config->num_keysets, 2);
    assert_string_equal(config->keysets[0].name, "a.b_c-1");
    assert_string_equal(config->keysets[0].issuer, "J\xc3\xb6rg");
    assert_string_equal(config->keysets[0].typ, "at+jwt");
    assert_int_equal(config->keysets[0].default_ttl_s, 90);
    assert_int_equal(config->keysets[0].max_ttl_s, 366 * 86400);
    assert_int_equal(config->keysets[0].rsa_bits, 3072);
    assert_int_equal(config->keysets[0].rotate_every_s, 7 * 86400);
    assert_int_equal(config->keysets[0].publish_lead_s, 7200);
    assert_int_equal(config->keysets[0].overlap_s, 90);
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
        struct sg_config *config = test_config_load_good(*state, text);
        assert_int_equal(config->keysets[0].max_ttl_s, rows[i].seconds);
        /* A default never makes a configuration bad. */
        assert_true(config->keysets[0].default_ttl_s <= rows[i].seconds);
        sg_config_free(config);
    }
}

static void test_config__defaults_follow_smaller_limits(void **state)
{
    struct sg_config *config =
        test_config_load_good(*state, "limits: {max_connections: 10, max_in_flight: 5}\n"
                                      "keysets:\n  - {name: a, alg: ES256, issuer: a}\n");
    assert_int_equal(config->limits.max_connections_per_uid, 10);
    assert_int_equal(config->limits.max_in_flight_per_connection, 5);
    assert_int_equal(config->limits.max_in_flight_per_uid, 5);
    sg_config_free(config);
}

static void test_config__cpu_limits_take_their_ranges(void **state)
{
    static const struct {
        const char *text;
        uint32_t percent, burst_ms;
    } rows[] = {
        {"cpu_per_uid: 1%", 1, 1000},  {"cpu_per_uid: 100%", 100, 1000},
        {"cpu_per_uid: off", 0, 1000}, {"cpu_per_uid: \"off\"", 0, 1000},
        {"cpu_burst: 10ms", 50, 10},   {"cpu_burst: 60000ms", 50, 60000},
        {"cpu_burst: 1s", 50, 1000},   {"cpu_burst: 60", 50, 60000},
        {"cpu_burst: 1m", 50, 60000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text),
                       "limits: {%s}\nkeysets:\n  - {name: a, alg: ES256, issuer: a}\n",
                       rows[i].text);
        struct sg_config *config = test_config_load_good(*state, text);
        assert_int_equal(config->limits.cpu_per_uid_percent, rows[i].percent);
        assert_int_equal(config->limits.cpu_burst_ms, rows[i].burst_ms);
        sg_config_free(config);
    }
}

static void test_config__audit_is_below_the_state_unless_there_is_none(void **state)
{
    static const struct {
        const char *text, *dir;
    } rows[] = {
        {"state_dir: /srv/state\n", "/srv/state/audit"},
        {"state_dir: /srv/state\naudit: {dir: /a}\n", "/a"},
        {"audit: {dir: off}\n", NULL},
        {"keystore: {key: ephemeral}\n", NULL},
        {"keystore: {key: ephemeral}\naudit: {on_full: deny}\n", NULL},
        {"keystore: {key: ephemeral}\naudit: {dir: /a}\n", "/a"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), "%skeysets:\n  - {name: a, alg: ES256, issuer: a}\n",
                       rows[i].text);
        struct sg_config *config = test_config_load_good(*state, text);
        if (rows[i].dir == NULL) {
            assert_null(config->audit.dir);
        } else {
            assert_non_null(config->audit.dir);
            assert_string_equal(config->audit.dir, rows[i].dir);
        }
        sg_config_free(config);
    }
}

static void test_config__rotation_takes_its_range(void **state)
{
    static const struct {
        const char *text;
        uint32_t rotate_every_s, publish_lead_s, overlap_s;
    } rows[] = {
        {"rotate_every: 10", 10, 5, 0},
        {"rotate_every: 10s, publish_lead: 9s", 10, 9, 0},
        {"rotate_every: 10s, publish_lead: 0s", 10, 0, 0},
        /* A default never makes a configuration bad. */
        {"rotate_every: 2h", 7200, 3600, 0},
        {"rotate_every: 7199", 7199, 3599, 0},
        {"rotate_every: 3650d, publish_lead: 30d, overlap: 366d", 3650u * 86400u, 30 * 86400,
         366 * 86400},
        {"rotate_every: never", 0, 3600, 0},
        {"rotate_every: never, publish_lead: 30d", 0, 30 * 86400, 0},
        {"rotate_every: never, publish_lead: 0", 0, 0, 0},
        {"publish_lead: 29d", 30 * 86400, 29 * 86400, 0},
        {"overlap: 0s", 30 * 86400, 3600, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), "keysets:\n  - {name: a, alg: ES256, issuer: a, %s}\n",
                       rows[i].text);
        struct sg_config *config = test_config_load_good(*state, text);
        assert_int_equal(config->keysets[0].rotate_every_s, rows[i].rotate_every_s);
        assert_int_equal(config->keysets[0].publish_lead_s, rows[i].publish_lead_s);
        assert_int_equal(config->keysets[0].overlap_s, rows[i].overlap_s);
        sg_config_free(config);
    }
}

#define NAME_50  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
#define NAME_255 NAME_50 NAME_50 NAME_50 NAME_50 NAME_50 "01._-"

static void test_config__keystore_key_is_of_four_kinds(void **state)
{
    static const struct {
        const char *text, *value;
        bool is_ephemeral;
    } rows[] = {
        {"file:/a", "file:/a", false},
        {"\"file:/etc/signet/key of keys\"", "file:/etc/signet/key of keys", false},
        {"credential:keystore.key", "credential:keystore.key", false},
        {"credential:...", "credential:...", false},
        {"credential:" NAME_255, "credential:" NAME_255, false},
        {"\"passphrase:\"", "passphrase:", false},
        {"ephemeral", "ephemeral", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "keystore:\n  key: %s\nkeysets:\n  - {name: a, alg: ES256, issuer: a}\n",
                       rows[i].text);
        struct sg_config *config = test_config_load_good(*state, text);
        assert_string_equal(config->keystore_key, rows[i].value);
        assert_int_equal(sg_config_is_ephemeral(config), rows[i].is_ephemeral);
        sg_config_free(config);
    }
}

/* Every name is known, in any order and however often. */
static void test_config__keyholder_can_require_every_protection(void **state)
{
    char text[512] = "keyholder:\n  user: b\n  require:\n";
    uint32_t all = 0;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "    - %s\n",
                       sg_keyholder_protection_name(i));
        all |= 1u << i;
    }
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof(text) - used,
                   "    - own_user\nkeysets:\n  - {name: a, alg: ES256, issuer: a}\n");
    struct sg_config *config = test_config_load_good(*state, text);
    assert_int_equal(config->keyholder.required, all);
    sg_config_free(config);
    assert_null(sg_keyholder_protection_name(SG_NUM_PROTECTIONS));
}

static void test_config__keyholder_may_be_started_elsewhere(void **state)
{
    char path[108];
    char text[512];
    path[0] = '/';
    memset(path + 1, 'a', 106);
    path[107] = '\0';
    (void)snprintf(text, sizeof(text),
                   "keyholder: {socket: %s, require: [own_user]}\nkeystore: {key: ephemeral}\n"
                   "keysets:\n  - {name: a, alg: ES256, issuer: a}\n",
                   path);
    struct sg_config *config = test_config_load_good(*state, text);
    assert_null(config->keyholder.user);
    assert_string_equal(config->keyholder.socket, path);
    assert_int_equal(config->keyholder.required, SG_PROTECT_OWN_USER);
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
    assert_int_equal(config->num_grants, 3);
    sg_config_free(config);
}

/* What the example shows as defaults are the defaults: uncommented, it says the same. */
static void test_config__example_shows_the_defaults(void **state)
{
    const struct test_config_file *file = *state;
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
    struct sg_config *full = test_config_load_good(file, text);
    free(text);
    plain->limits.workers = full->limits.workers; /* the machine's */
    assert_string_equal(full->runtime_dir, plain->runtime_dir);
    assert_string_equal(full->state_dir, plain->state_dir);
    assert_string_equal(full->keystore_key, plain->keystore_key);
    assert_string_equal(full->trust_dir, plain->trust_dir);
    assert_int_equal(full->socket_mode, plain->socket_mode);
    assert_int_equal(full->keyholder.required, plain->keyholder.required);
    assert_memory_equal(&full->limits, &plain->limits, sizeof(full->limits));
    assert_string_equal(full->audit.dir, plain->audit.dir);
    assert_null(sg_config_difference(full, plain));
    assert_int_equal(full->num_grants, plain->num_grants);
    assert_int_equal(full->num_keysets, plain->num_keysets);
    for (size_t i = 0; i < full->num_keysets; i++) {
        assert_string_equal(full->keysets[i].typ, plain->keysets[i].typ);
        assert_int_equal(full->keysets[i].default_ttl_s, plain->keysets[i].default_ttl_s);
        assert_int_equal(full->keysets[i].max_ttl_s, plain->keysets[i].max_ttl_s);
        assert_int_equal(full->keysets[i].rsa_bits, plain->keysets[i].rsa_bits);
        assert_int_equal(full->keysets[i].rotate_every_s, plain->keysets[i].rotate_every_s);
        assert_int_equal(full->keysets[i].publish_lead_s, plain->keysets[i].publish_lead_s);
        assert_int_equal(full->keysets[i].overlap_s, plain->keysets[i].overlap_s);
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
        assert_int_equal(config->keysets[i].rotate_every_s, 0);
    }
    sg_config_free(config);
}

/* Nothing of the host: neither its keys nor the issuers that it trusts. */
static void test_config__demo_stands_alone(void **state)
{
    (void)state;
    struct sg_config *config = NULL;
    assert_int_equal(sg_config_demo(&config), SIGNET_OK);
    assert_true(sg_config_is_ephemeral(config));
    assert_string_equal(config->trust_dir, "");
    assert_null(config->audit.dir);
    sg_config_free(config);
}

static void test_config__demo_lets_everybody_try_it(void **state)
{
    (void)state;
    struct sg_config *config = NULL;
    assert_int_equal(sg_config_demo(&config), SIGNET_OK);
    assert_int_equal(config->num_grants, 1);
    assert_string_equal(config->grants[0].name, "anybody");
    assert_true(config->grants[0].who.is_anybody);
    assert_int_equal(config->grants[0].may, SG_RIGHT_SIGN | SG_RIGHT_VERIFY | SG_RIGHT_REVOKE);
    assert_int_equal(config->grants[0].num_keysets, 1);
    assert_string_equal(config->grants[0].keysets[0], "*");
    assert_false(config->grants[0].claims.has_allowed);
    sg_config_free(config);
}

/* ---- Many keysets ---- */

/* num keysets with every key, each entry 11 lines; the last is called last. To be freed. */
static char *config_text_of(size_t num, const char *last)
{
    const size_t cap = 64 + num * 400;
    char *text = malloc(cap);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, cap, "keysets:\n");
    for (size_t i = 0; i < num; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "k%zu", i);
        int len = snprintf(text + used, cap - used,
                           "  - name: %s\n"
                           "    alg: RS256\n"
                           "    issuer: https://login.example\n"
                           "    typ: JWT\n"
                           "    default_ttl: 15m\n"
                           "    max_ttl: 24h\n"
                           "    rsa_bits: 2048\n"
                           "    rotate_every: %zu\n"
                           "    publish_lead: 9\n"
                           "    # A word on it.\n"
                           "    overlap: 1h\n",
                           i + 1 == num ? last : name, i + 10);
        assert_in_range(len, 1, cap - used - 1);
        used += (size_t)len;
    }
    return text;
}

static void config_expect_many(const struct test_config_file *file, size_t num)
{
    char *text = config_text_of(num, "last");
    struct sg_config *config = test_config_load_good(file, text);
    free(text);
    assert_int_equal(config->num_keysets, num);
    for (size_t i = 0; i < num; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "k%zu", i);
        assert_string_equal(config->keysets[i].name, i + 1 == num ? "last" : name);
        assert_int_equal(config->keysets[i].rotate_every_s, i + 10);
    }
    sg_config_free(config);
}

static void test_config__has_up_to_4096_keysets(void **state)
{
    config_expect_many(*state, 1000);
    config_expect_many(*state, 4096);
}

static void test_config__has_no_more_than_4096_keysets(void **state)
{
    char *text = config_text_of(4097, "last");
    test_config_expect_fault(*state, text, 1, "keysets: 4097 keysets; expected 1 to 4096");
    free(text);
}

static void test_config__finds_a_double_among_many(void **state)
{
    static const char *const names[] = {"k0", "k500", "k998"};
    static const char *const what[] = {
        "keysets[999].name: \"k0\" is the name of keysets[0] too",
        "keysets[999].name: \"k500\" is the name of keysets[500] too",
        "keysets[999].name: \"k998\" is the name of keysets[998] too",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *text = config_text_of(1000, names[i]);
        test_config_expect_fault(*state, text, 2 + 999 * 11, what[i]);
        free(text);
    }
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
        {"keystore:\n  key: passphrase:\n" KEYSET, 2,
         "not YAML: mapping values are not allowed in this context; a value that ends with a "
         "colon, or holds one before a space, needs quotes"},
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
        {KEYSET "    rotate: 1h\n", 5, "default_ttl, max_ttl, rsa_bits, rotate_every, "},
        {KEYSET "keystore:\n  kye: ephemeral\n", 6,
         "keystore.kye: there is no such key; expected one of key"},
        {KEYSET "keystore:\n  key: ephemeral\n  key: ephemeral\n", 7, "key: given twice"},
        {KEYSET "user: a\nuser: b\n", 6, "user: given twice, first in line 5"},
        {KEYSET "    alg: HS256\n", 5, "alg: given twice, first in line 3"},
        {"limits:\n  workers: 1\n  workers: 2\n" KEYSET, 3, "workers: given twice"},
        /* Kinds. */
        {"keysets: 3\n", 1, "keysets: expected a list"},
        {"limits: 3\n" KEYSET, 1, "limits: expected keys with values"},
        {"limits:\n" KEYSET, 1, "limits: expected keys with values"},
        {"keysets:\n  - a\n", 2, "keysets[0]: expected keys with values"},
        {KEYSET "keystore: ephemeral\n", 5, "keystore: expected keys with values"},
        {KEYSET "keystore:\n", 5, "keystore: expected keys with values"},
        {KEYSET "keystore:\n  key: [ephemeral]\n", 6, "keystore.key: expected a single value"},
        {KEYSET "keystore:\n  key: {file: /a}\n", 6, "keystore.key: expected a single value"},
        {KEYSET "trust_dir: [/a]\n", 5, "trust_dir: expected a single value"},
        {KEYSET "    overlap: {a: b}\n", 5, "keysets[0].overlap: expected a single value"},
        {KEYSET "runtime_dir: [/x]\n", 5, "runtime_dir: expected a single value"},
        {KEYSET "  - name: {x: y}\n", 5, "keysets[1].name: expected a single value"},
        {"user: &u x\nstate_dir: *u\n" KEYSET, 2, "state_dir: aliases (*name) are not read"},
        /* What must be there. */
        {"user: x\n", 1, "keysets: 0 keysets; expected 1 to 4096"},
        {"keysets: []\n", 1, "keysets: 0 keysets; expected 1 to 4096"},
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
        /* Rotation. */
        {KEYSET "    rotate_every: 9\n", 5,
         "keysets[0].rotate_every: \"9\" is not good; expected a duration of 10 s to 315360000 s "
         "such as 30d, or never"},
        {KEYSET "    rotate_every: 0\n", 5, "keysets[0].rotate_every: \"0\" is not good"},
        {KEYSET "    rotate_every: 3651d\n", 5, "keysets[0].rotate_every: \"3651d\""},
        {KEYSET "    rotate_every: 4294967295d\n", 5, "keysets[0].rotate_every:"},
        {KEYSET "    rotate_every: Never\n", 5, "keysets[0].rotate_every: \"Never\""},
        {KEYSET "    rotate_every: monthly\n", 5, "or never"},
        {KEYSET "    rotate_every:\n", 5, "keysets[0].rotate_every: \"\""},
        {KEYSET "    rotate_every: -1d\n", 5, "keysets[0].rotate_every:"},
        {KEYSET "    rotate_every: 1h\n    publish_lead: 1h\n", 6,
         "keysets[0].publish_lead: 3600 s is not less than rotate_every; expected at most 3599 s"},
        {KEYSET "    publish_lead: 10s\n    rotate_every: 10s\n", 5,
         "keysets[0].publish_lead: 10 s is not less than rotate_every; expected at most 9 s"},
        {KEYSET "    publish_lead: 30d\n", 5,
         "keysets[0].publish_lead: 2592000 s is not less than rotate_every"},
        {KEYSET "    rotate_every: never\n    publish_lead: 31d\n", 6,
         "keysets[0].publish_lead: \"31d\" is out of range; expected 0 s to 2592000 s"},
        {KEYSET "    publish_lead: never\n", 5,
         "keysets[0].publish_lead: \"never\" is not a duration; expected one such as 90s"},
        {KEYSET "    overlap: 367d\n", 5,
         "keysets[0].overlap: \"367d\" is out of range; expected 0 s to 31622400 s"},
        {KEYSET "    overlap: never\n", 5, "keysets[0].overlap: \"never\" is not a duration"},
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
        {KEYSET "trust_dir: trust.d\n", 5,
         "trust_dir: \"trust.d\" is not good; expected an absolute path of at most 512 bytes"},
        {KEYSET "trust_dir: \"\"\n", 5, "trust_dir:"},
        {KEYSET "trust_dir: /a/../b\n", 5, "trust_dir:"},
        {KEYSET "user: \"\"\n", 5, "user:"},
        {KEYSET "user: a b\n", 5, "user:"},
        {KEYSET "socket_mode: rw\n", 5, "socket_mode: \"rw\" is not good; expected \"0600\""},
        {KEYSET "socket_mode: 432\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"0777\"\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"4660\"\n", 5, "socket_mode:"},
        {KEYSET "socket_mode: \"0060\"\n", 5, "socket_mode:"},
        /* The keyholder. */
        {KEYSET "keyholder:\n  user: a b\n", 6, "keyholder.user: \"a b\" is not good"},
        {KEYSET "user: signet\nkeyholder:\n  user: signet\n", 7,
         "keyholder.user: \"signet\" is the daemon's user too, so that own_user would not hold; "
         "expected a user of the keyholder's own"},
        {KEYSET "user: root\nkeyholder:\n  user: root\n", 7,
         "keyholder.user: \"root\" is the daemon's user too"},
        {KEYSET "user: signet\nkeyholder:\n  user: root\n", 7,
         "keyholder.user: root may do more than the keyholder needs; expected a user of its own"},
        {KEYSET "keyholder:\n  user: root\n", 6, "keyholder.user: root may do more"},
        {KEYSET "keyholder:\n  socket: keyholder.sock\n", 6,
         "keyholder.socket: \"keyholder.sock\" is not good; expected an absolute path of at most "
         "107 bytes"},
        {KEYSET "keyholder:\n  socket: /a123456789b123456789c123456789d123456789e123456789f12345678"
                "9g123456789h123456789i123456789j123456789k1234567\n",
         6, "of at most 107 bytes"},
        {KEYSET "keyholder:\n  socket: /run/a\n  user: b\n", 7,
         "keyholder.user: who starts the keyholder on keyholder.socket also chooses its user; "
         "expected one of the two only"},
        {KEYSET "keyholder:\n  require: [seccomp, seccmop]\n", 6,
         "keyholder.require[1]: \"seccmop\" is not a protection; expected one of own_user, "
         "locked_keys, locked_memory, secret_memory, undumpable, no_capabilities, seccomp, "
         "landlock"},
        {KEYSET "keyholder:\n  require:\n    - seccomp\n    - \"\"\n", 8,
         "keyholder.require[1]: \"\" is not a protection"},
        {KEYSET "keyholder:\n  require: [own_user]\n", 6,
         "keyholder.require[0]: own_user cannot hold; expected keyholder.user or keyholder.socket"},
        {KEYSET "keyholder:\n  require: seccomp\n", 6, "keyholder.require: expected a list"},
        {KEYSET "keyholder: seccomp\n", 5, "keyholder: expected keys with values"},
        {KEYSET "keyholder:\n  users: a\n", 6,
         "keyholder.users: there is no such key; expected one of user, socket, require"},
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
        {"limits:\n  max_cached_macs: 65537\n" KEYSET, 2, "limits.max_cached_macs:"},
        {"limits:\n  idle_timeout: 8d\n" KEYSET, 2, "limits.idle_timeout:"},
        {"limits:\n  max_connections: 5\n  max_connections_per_uid: 6\n" KEYSET, 3,
         "limits.max_connections_per_uid: 6 is more than max_connections; expected at most 5"},
        {"limits:\n  max_in_flight: 5\n  max_in_flight_per_connection: 6\n" KEYSET, 3,
         "limits.max_in_flight_per_connection: 6 is more than max_in_flight"},
        {"limits:\n  max_in_flight: 5\n  max_in_flight_per_uid: 6\n" KEYSET, 3,
         "limits.max_in_flight_per_uid: 6 is more than max_in_flight; expected at most 5"},
        {"limits:\n  max_in_flight_per_uid: 0\n" KEYSET, 2, "limits.max_in_flight_per_uid: \"0\""},
        {"limits:\n  cpu_per_uid: 0%\n" KEYSET, 2,
         "limits.cpu_per_uid: \"0%\" is not good; expected 1% to 100%, which is all processors, or "
         "off"},
        {"limits:\n  cpu_per_uid: 101%\n" KEYSET, 2, "limits.cpu_per_uid: \"101%\""},
        {"limits:\n  cpu_per_uid: 50\n" KEYSET, 2, "limits.cpu_per_uid: \"50\""},
        {"limits:\n  cpu_per_uid: 50 %\n" KEYSET, 2, "limits.cpu_per_uid: \"50 %\""},
        {"limits:\n  cpu_per_uid: \"%\"\n" KEYSET, 2, "limits.cpu_per_uid: \"%\""},
        {"limits:\n  cpu_per_uid: Off\n" KEYSET, 2, "limits.cpu_per_uid: \"Off\""},
        {"limits:\n  consumed_per_uid: 0\n" KEYSET, 2, "limits.consumed_per_uid: \"0\""},
        {"limits:\n  consumed_per_uid: 10000001\n" KEYSET, 2, "limits.consumed_per_uid:"},
        {"limits:\n  cpu_burst: 9ms\n" KEYSET, 2,
         "limits.cpu_burst: \"9ms\" is not good; expected 10ms to 60s, such as 1000ms"},
        {"limits:\n  cpu_burst: 60001ms\n" KEYSET, 2, "limits.cpu_burst:"},
        {"limits:\n  cpu_burst: 61s\n" KEYSET, 2, "limits.cpu_burst:"},
        {"limits:\n  cpu_burst: 0\n" KEYSET, 2, "limits.cpu_burst:"},
        {"limits:\n  cpu_burst: 4294967295d\n" KEYSET, 2, "limits.cpu_burst:"},
        {"limits:\n  cpu_burst: ms\n" KEYSET, 2, "limits.cpu_burst:"},
        {KEYSET "    max_ttl: 1000ms\n", 5, "keysets[0].max_ttl: \"1000ms\" is not a duration"},
        /* The audit. */
        {"audit:\n  dir: audit\n" KEYSET, 2,
         "audit.dir: \"audit\" is not good; expected an absolute path of at most 512 bytes, without "
         "empty parts, \".\" and \"..\", or off"},
        {"audit:\n  dir: /a/../b\n" KEYSET, 2, "audit.dir:"},
        {"audit:\n  dir: \"\"\n" KEYSET, 2, "audit.dir:"},
        {"audit:\n  on_full: wait\n" KEYSET, 2,
         "audit.on_full: \"wait\" is not good; expected block, deny or drop"},
        {"audit:\n  on_full:\n" KEYSET, 2, "audit.on_full: \"\""},
        {"audit:\n  verifications: yes\n" KEYSET, 2,
         "audit.verifications: \"yes\" is not good; expected true or false"},
        {"audit:\n  max_file_mib: 0\n" KEYSET, 2, "audit.max_file_mib: \"0\""},
        {"audit:\n  max_file_mib: 4097\n" KEYSET, 2,
         "audit.max_file_mib: \"4097\" is not good; expected a whole number from 1 to 4096"},
        {"audit:\n  max_file_age: 0\n" KEYSET, 2, "audit.max_file_age: \"0\" is out of range"},
        {"audit:\n  max_files: -1\n" KEYSET, 2, "audit.max_files: \"-1\""},
        {"audit:\n  queue_kib: 255\n" KEYSET, 2,
         "audit.queue_kib: \"255\" is not good; expected a whole number from 256 to 65536"},
        {"audit:\n  queue_kib: 65537\n" KEYSET, 2, "audit.queue_kib:"},
        {"audit:\n  head_every: 0s\n" KEYSET, 2, "audit.head_every:"},
        {"audit:\n  max_file: 64MiB\n" KEYSET, 2,
         "audit.max_file: there is no such key; expected one of dir, on_full"},
        {"audit: off\n" KEYSET, 1, "audit: expected keys with values"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_config_expect_fault(*state, rows[i].text, rows[i].line, rows[i].what);
    }
}

static void test_config__bad_keystore_key_is_refused_and_not_repeated(void **state)
{
    const struct test_config_file *file = *state;
    static const char expected[] =
        "keystore.key: is not good; expected file:PATH with an absolute path of at most 512 bytes "
        "without empty parts, \".\" and \"..\", credential:NAME with 1 to 255 of A-Z a-z 0-9 . _ -, "
        "\"passphrase:\" with its quotes and nothing after the colon, or ephemeral";
    static const char *const values[] = {
        "",
        "secret",
        "/etc/signet/secret",
        "file:secret",
        "file:",
        "file:/",
        "file:/etc/../secret",
        "file:///etc/secret",
        "File:/etc/secret",
        " file:/etc/secret",
        "credential:",
        "credential:.",
        "credential:..",
        "credential:secret/x",
        "credential:secret x",
        "credential:" NAME_255 "x",
        "passphrase:secret",
        "passphrase: secret",
        "passphrase",
        "Ephemeral",
        "ephemeral:",
        "~",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[512];
        char error[TEST_MAX_ERROR];
        struct sg_config *config = NULL;
        (void)snprintf(text, sizeof(text), KEYSET "keystore:\n  key: \"%s\"\n", values[i]);
        test_config_expect_fault(file, text, 6, expected);
        assert_int_equal(test_config_load(file, text, &config, error), SIGNET_INVALID_ARGUMENT);
        assert_null(strstr(error, "secret"));
    }
}

static void test_config__path_of_512_bytes_is_the_longest(void **state)
{
    char path[600];
    char text[2000];
    path[0] = '/';
    memset(path + 1, 'a', 511);
    path[512] = '\0';
    (void)snprintf(text, sizeof(text),
                   KEYSET "keystore:\n  key: file:%s\ntrust_dir: %s\nstate_dir: %s\n", path, path,
                   path);
    struct sg_config *config = test_config_load_good(*state, text);
    assert_string_equal(config->trust_dir, path);
    assert_string_equal(config->state_dir, path);
    assert_string_equal(config->keystore_key + strlen("file:"), path);
    sg_config_free(config);

    (void)snprintf(path + 512, sizeof(path) - 512, "a");
    (void)snprintf(text, sizeof(text),
                   KEYSET "keystore:\n  key: file:%s\ntrust_dir: %s\nstate_dir: %s\n", path, path,
                   path);
    test_config_expect_fault(*state, text, 6, "keystore.key:");
    test_config_expect_fault(*state, text, 7, "trust_dir:");
    test_config_expect_fault(*state, text, 8, "state_dir:");
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
                               "    max_ttl: never\n"
                               "    rotate_every: 1s\n"
                               "    overlap: 400d\n"
                               "keystore:\n"
                               "  key: none\n"
                               "trust_dir: x\n"
                               "keyholder: {user: root,\n"
                               "  socket: x,\n"
                               "  require: [none]}\n";
    test_config_expect_fault(*state, text, 1, "socket_mode");
    test_config_expect_fault(*state, text, 3, "limits.workers");
    test_config_expect_fault(*state, text, 6, "keysets[0].alg");
    test_config_expect_fault(*state, text, 8, "keysets[1].name");
    test_config_expect_fault(*state, text, 11, "keysets[1].max_ttl");
    test_config_expect_fault(*state, text, 12, "keysets[1].rotate_every");
    test_config_expect_fault(*state, text, 13, "keysets[1].overlap");
    test_config_expect_fault(*state, text, 15, "keystore.key");
    test_config_expect_fault(*state, text, 16, "trust_dir");
    test_config_expect_fault(*state, text, 17, "keyholder.user");
    test_config_expect_fault(*state, text, 18, "keyholder.socket");
    test_config_expect_fault(*state, text, 19, "keyholder.require[0]");
}

/* unit, num times, between head and tail. To be freed. */
static char *config_repeat(const char *head, const char *unit, size_t num, const char *tail)
{
    const size_t cap = strlen(head) + strlen(unit) * num + strlen(tail) + 1;
    char *text = malloc(cap);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, cap, "%s", head);
    for (size_t i = 0; i < num; i++, used += strlen(unit)) {
        memcpy(text + used, unit, strlen(unit));
    }
    (void)snprintf(text + used, cap - used, "%s", tail);
    return text;
}

/* Some of these would take hours otherwise, as libyaml takes the square of them. */
static void test_config__is_bounded_before_it_is_read(void **state)
{
    static const struct {
        const char *head, *unit, *tail, *what;
        size_t num;
        unsigned line;
    } rows[] = {
        {KEYSET "user: ", "[", "\n", "too deep: a list or keys in too many others", 2000000, 5},
        {KEYSET "user: ", "{a: ", "\n", "too deep", 1000000, 5},
        {KEYSET "user: ", "[", "\n", "not YAML", 31, 6},
        {KEYSET "user: ", "[", "\n", "too deep", 32, 5},
        {KEYSET "user: [", "&a x,", "]\n", "too many anchors (&name); expected none", 800000, 5},
        {KEYSET "user: [", "&a x,", "]\n", "not YAML: second occurrence", 64, 5},
        {KEYSET "user: [", "&a x,", "]\n", "too many anchors", 65, 5},
        {"", "%TAG !a! b\n", "---\n" KEYSET, "too many directives, which begin with %", 380000, 65},
        {KEYSET "user:\n  [", "x,", "]\n", "too many entries in one list", 1000000, 6},
        {KEYSET "user:\n  [", "x,", "]\n", "user: expected a single value", 8192, 5},
        {KEYSET "user:\n  [", "x,", "]\n", "too many entries in one list", 8193, 6},
        {KEYSET "limits:\n  {", "a: b,", "}\n", "too many keys in one place", 500000, 6},
        {KEYSET "limits:\n  {", "a: b,", "}\n", "a: given twice", 64, 6},
        {KEYSET "limits:\n  {", "a: b,", "}\n", "too many keys in one place", 65, 6},
        {KEYSET "user: ", "? ", "a\n", "not YAML", 1000000, 5},
        {"", "? ", "a\n", "too deep", 1000000, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = config_repeat(rows[i].head, rows[i].unit, rows[i].num, rows[i].tail);
        test_config_expect_fault(*state, text, rows[i].line, rows[i].what);
        free(text);
    }
    char wide[2 * sizeof(KEYSET)] = {0};
    for (size_t i = 0; i < sizeof(KEYSET); i++) {
        wide[2 * i] = KEYSET[i]; /* UTF-16 */
    }
    const struct test_config_file *file = *state;
    char error[TEST_MAX_ERROR];
    struct sg_config *config = NULL;
    test_write_file(file->path, wide, sizeof(wide));
    assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, ":1: not YAML: it holds a NUL; expected UTF-8"));
}

static void test_config__finds_the_line_of_an_odd_key(void **state)
{
    static const char long_key[] = NAME_255 NAME_255;
    char text[1000];
    (void)snprintf(text, sizeof(text), KEYSET "limits:\n  workers: 1\n  %s: 2\n", long_key);
    test_config_expect_fault(*state, text, 7, "limits.abcdefghijklmnopqrstuvwxyzABCDEF");
    test_config_expect_fault(*state, KEYSET "    typ: JWT\n    \"\\na\": 2\n", 6,
                             "keysets[0].: there is no such key; expected one of name, alg");
    test_config_expect_fault(*state, KEYSET "    keysets[0].alg: 2\n", 5,
                             "keysets[0].keysets[0].alg: there is no such key");
    test_config_expect_fault(*state, KEYSET "? [a]\n: b\n", 5,
                             "a list or keys in the place of a key; expected \"key: value\"");
}

/* What is repeated of the file cannot make a second line, act on a terminal, or be half a character. */
static void test_config__repeats_nothing_but_whole_characters(void **state)
{
    static const struct {
        const char *value, *said;
    } rows[] = {
        {"a\\nb\\tc\\e[31m", "user: \"a?b?c?[31m\" is not good"},
        /* 64 bytes end within the last but one. */
        {"a/\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
         "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
         "x\xc3\xb6\xc3\xb6",
         "\xc3\xb6\xc3\xb6x?\" is not good"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[400];
        char error[TEST_MAX_ERROR];
        struct sg_config *config = NULL;
        (void)snprintf(text, sizeof(text), KEYSET "user: \"%s\"\n", rows[i].value);
        test_config_expect_fault(*state, text, 5, rows[i].said);
        assert_int_equal(test_config_load(*state, text, &config, error), SIGNET_INVALID_ARGUMENT);
        assert_null(strpbrk(error, "\n\t\x1b"));
    }
}

/* More faults than fit: whole lines, and no byte beyond the buffer. */
static void test_config__keeps_to_the_error_buffer(void **state)
{
    const struct test_config_file *file = *state;
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
    const struct test_config_file *file = *state;
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
    assert_int_equal(truncate(file->path, (4 << 20) + 1), 0);
    assert_int_equal(sg_config_load(file->path, &config, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "at most 4 MiB"));

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

/* The user that the command line names is judged beside the keyholder's, as that of the file is. */
static void test_config__command_line_cannot_name_the_keyholders_user(void **state)
{
    char error[TEST_MAX_ERROR] = "";
    struct sg_config *config =
        test_config_load_good(*state, "user: a\nkeyholder: {user: b}\n"
                                      "keysets:\n  - {name: a, alg: ES256, issuer: a}\n");
    assert_int_equal(sg_config_override(config, NULL, "c", error, sizeof(error)), SIGNET_OK);
    assert_int_equal(sg_config_override(config, NULL, "b", error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "command line: keyholder.user: \"b\" is the daemon's user too"));
    sg_config_free(config);
}

/* ---- What a reload may change ---- */

static const char *config_difference(const struct test_config_file *file, const char *running,
                                     const char *fresh)
{
    struct sg_config *a = test_config_load_good(file, running);
    struct sg_config *b = test_config_load_good(file, fresh);
    const char *name = sg_config_difference(a, b);
    sg_config_free(a);
    sg_config_free(b);
    return name;
}

static void test_config__difference_names_what_takes_a_start(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {KEYSET "runtime_dir: /run/x\n", "runtime_dir"},
        {KEYSET "state_dir: /srv/x\n", "state_dir"},
        {KEYSET "user: nobody\n", "user"},
        {KEYSET "socket_mode: \"0666\"\n", "socket_mode"},
        {KEYSET "keystore: {key: ephemeral}\n", "keystore.key"},
        {KEYSET "keystore: {key: \"file:/x\"}\n", "keystore.key"},
        {KEYSET "keyholder: {user: b}\n", "keyholder.user"},
        {KEYSET "keyholder: {socket: /run/b}\n", "keyholder.socket"},
        {KEYSET "keyholder: {require: [seccomp]}\n", "keyholder.require"},
        {KEYSET "limits: {max_connections: 5000}\n", "limits.max_connections"},
        {KEYSET "limits: {max_connections_per_uid: 5}\n", "limits.max_connections_per_uid"},
        {KEYSET "limits: {max_in_flight: 1023}\n", "limits.max_in_flight"},
        {KEYSET "limits: {max_in_flight_per_connection: 5}\n",
         "limits.max_in_flight_per_connection"},
        {KEYSET "limits: {max_buffer_mib: 65}\n", "limits.max_buffer_mib"},
        {KEYSET "limits: {max_cached_macs: 0}\n", "limits.max_cached_macs"},
        {KEYSET "limits: {idle_timeout: 1s}\n", "limits.idle_timeout"},
        {KEYSET "limits: {max_in_flight_per_uid: 5}\n", "limits.max_in_flight_per_uid"},
        {KEYSET "limits: {cpu_per_uid: off}\n", "limits.cpu_per_uid"},
        {KEYSET "limits: {cpu_burst: 2s}\n", "limits.cpu_burst"},
        {KEYSET "limits: {consumed_per_uid: 5}\n", "limits.consumed_per_uid"},
        {KEYSET "audit: {dir: off}\n", "audit.dir"},
        {KEYSET "audit: {dir: /x}\n", "audit.dir"},
        {KEYSET "audit: {on_full: drop}\n", "audit.on_full"},
        {KEYSET "audit: {verifications: true}\n", "audit.verifications"},
        {KEYSET "audit: {max_file_mib: 65}\n", "audit.max_file_mib"},
        {KEYSET "audit: {max_file_age: 1s}\n", "audit.max_file_age"},
        {KEYSET "audit: {max_files: 1}\n", "audit.max_files"},
        {KEYSET "audit: {queue_kib: 256}\n", "audit.queue_kib"},
        {KEYSET "audit: {head_every: 1s}\n", "audit.head_every"},
        /* The first of several. */
        {KEYSET "limits: {idle_timeout: 1s}\nuser: nobody\n", "user"},
        {KEYSET "keystore: {key: ephemeral}\ntrust_dir: /x\n", "keystore.key"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *there = config_difference(*state, KEYSET, rows[i].text);
        const char *back = config_difference(*state, rows[i].text, KEYSET);
        if (there == NULL || back == NULL) {
            fail_msg("no difference:\n%s", rows[i].text);
            return;
        }
        assert_string_equal(there, rows[i].name);
        assert_string_equal(back, rows[i].name);
        assert_null(config_difference(*state, rows[i].text, rows[i].text));
    }
    const char *workers =
        config_difference(*state, KEYSET "limits: {workers: 1}\n", KEYSET "limits: {workers: 2}\n");
    assert_non_null(workers);
    assert_string_equal(workers, "limits.workers");
    const char *user = config_difference(*state, KEYSET "user: a\n", KEYSET "user: b\n");
    assert_non_null(user);
    assert_string_equal(user, "user");
}

static void test_config__keysets_grants_and_trust_dir_are_no_difference(void **state)
{
    static const char *const texts[] = {
        KEYSET "trust_dir: /srv/trust\n",
        KEYSET "    rotate_every: never\n    overlap: 1h\n    max_ttl: 1h\n",
        KEYSET "  - {name: b, alg: HS256, issuer: b}\n",
        RSA "    rsa_bits: 3072\n",
        KEYSET "grants:\n  - {name: a, who: {anybody: true}, may: [sign], keysets: [a]}\n",
        /* The defaults, written down. */
        KEYSET "runtime_dir: /run/signet\nstate_dir: /var/lib/signet\nsocket_mode: \"660\"\n"
               "keystore: {key: \"file:/etc/signet/keystore.key\"}\nkeyholder: {require: []}\n"
               "limits: {max_connections: 4096, idle_timeout: 0s, cpu_burst: 1s}\n"
               "audit: {dir: /var/lib/signet/audit, head_every: 1m}\ngrants: []\n",
    };
    assert_null(config_difference(*state, KEYSET, KEYSET));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_null(config_difference(*state, KEYSET, texts[i]));
        assert_null(config_difference(*state, texts[i], KEYSET));
    }
}

#define CONFIG_TEST(name)                                                                          \
    cmocka_unit_test_setup_teardown(name, test_config_setup, test_config_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_config__small_one_gets_the_defaults),
        CONFIG_TEST(test_config__full_one_is_read_in_full),
        CONFIG_TEST(test_config__durations_have_units),
        CONFIG_TEST(test_config__defaults_follow_smaller_limits),
        CONFIG_TEST(test_config__cpu_limits_take_their_ranges),
        CONFIG_TEST(test_config__audit_is_below_the_state_unless_there_is_none),
        CONFIG_TEST(test_config__rotation_takes_its_range),
        CONFIG_TEST(test_config__keystore_key_is_of_four_kinds),
        CONFIG_TEST(test_config__keyholder_can_require_every_protection),
        CONFIG_TEST(test_config__keyholder_may_be_started_elsewhere),
        CONFIG_TEST(test_config__example_is_good),
        CONFIG_TEST(test_config__example_shows_the_defaults),
        CONFIG_TEST(test_config__demo_has_one_keyset_of_each_kind),
        CONFIG_TEST(test_config__demo_stands_alone),
        CONFIG_TEST(test_config__demo_lets_everybody_try_it),
        CONFIG_TEST(test_config__has_up_to_4096_keysets),
        CONFIG_TEST(test_config__has_no_more_than_4096_keysets),
        CONFIG_TEST(test_config__finds_a_double_among_many),
        CONFIG_TEST(test_config__names_line_key_and_what_was_expected),
        CONFIG_TEST(test_config__bad_keystore_key_is_refused_and_not_repeated),
        CONFIG_TEST(test_config__path_of_512_bytes_is_the_longest),
        CONFIG_TEST(test_config__tells_all_faults_at_once),
        CONFIG_TEST(test_config__is_bounded_before_it_is_read),
        CONFIG_TEST(test_config__finds_the_line_of_an_odd_key),
        CONFIG_TEST(test_config__repeats_nothing_but_whole_characters),
        CONFIG_TEST(test_config__keeps_to_the_error_buffer),
        CONFIG_TEST(test_config__is_a_regular_file_that_can_be_read),
        CONFIG_TEST(test_config__command_line_wins_and_is_checked),
        CONFIG_TEST(test_config__command_line_cannot_name_the_keyholders_user),
        CONFIG_TEST(test_config__difference_names_what_takes_a_start),
        CONFIG_TEST(test_config__keysets_grants_and_trust_dir_are_no_difference),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
