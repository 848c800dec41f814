/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "tests/unit/audit_fixture.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/jose/jwk.h"
#include "server/clock.h"
#include "tests/support/files.h"
#include "tests/unit/jose_token.h"

#define FIXTURE_PATIENCE_MS (SG_SANITIZED ? 120000u : 30000u)

static _Atomic uint64_t fixture_pushed_ms;
static struct jose_key fixture_key;
static bool fixture_has_key;
static atomic_uint fixture_failing_heads;

/* ---- Clocks ---- */

uint64_t audit_mono_ms(void)
{
    return sg_clock_mono_ms() + atomic_load(&fixture_pushed_ms);
}

int64_t audit_wall_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
           (int64_t)atomic_load(&fixture_pushed_ms);
}

void audit_push_clocks(uint64_t ms)
{
    atomic_fetch_add(&fixture_pushed_ms, ms);
}

/* ---- A directory ---- */

int audit_setup(void **state)
{
    struct audit_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->root, sizeof(fixture->root));
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/audit", fixture->root);
    fixture->config = (struct sg_config_audit){.dir = fixture->dir,
                                               .on_full = SG_AUDIT_BLOCK,
                                               .max_file_mib = 64,
                                               .max_file_age_s = 86400,
                                               .queue_kib = 256,
                                               .head_every_s = 60};
    fixture->options =
        (struct sg_audit_options){.read_mono_ms = audit_mono_ms, .read_wall_ms = audit_wall_ms};
    *state = fixture;
    return 0;
}

int audit_teardown(void **state)
{
    struct audit_fixture *fixture = *state;
    test_remove_tree(fixture->root);
    free(fixture);
    if (fixture_has_key) {
        jose_key_free(&fixture_key);
        fixture_has_key = false;
    }
    atomic_store(&fixture_failing_heads, 0);
    return 0;
}

struct sg_audit *audit_start(const struct audit_fixture *fixture)
{
    char error[SG_AUDIT_MAX_ERROR] = "";
    struct sg_audit *audit = NULL;
    struct sg_audit_options options = fixture->options;
    options.config = &fixture->config;
    if (sg_audit_new(&options, &audit, error) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    return audit;
}

signet_status audit_try(struct sg_audit *audit, const char *jti, uint64_t wait_ms)
{
    static const char *const audiences[] = {"orders", "billing"};
    const struct sg_peer peer = {.uid = 1000, .gid = 1000, .pid = 4711};
    const struct sg_audit_event event = {.event = "sign",
                                         .peer = &peer,
                                         .rule = "web-login",
                                         .method = "signet.v1.TokenService/Sign",
                                         .keyset = "login",
                                         .alg = "ES256",
                                         .kid = "q2Kx8sLm0aZt5vW1yP3xq2Kx8sLm0aZt5vW1yP3xabc",
                                         .jti = jti,
                                         .sub = "user-42",
                                         .audiences = audiences,
                                         .num_audiences = 2,
                                         .exp = 1795651200,
                                         .verdict = SG_AUDIT_OK,
                                         .queue_us = 12,
                                         .crypto_us = 40,
                                         .total_us = 77};
    struct sg_audit_place place;
    signet_status status =
        sg_audit_reserve(audit, &place, getuid(), wait_ms != 0 ? audit_mono_ms() + wait_ms : 0);
    if (status == SIGNET_OK) {
        sg_audit_write(audit, &place, &event);
    }
    return status;
}

void audit_record(struct sg_audit *audit, const char *jti)
{
    assert_int_equal(audit_try(audit, jti, FIXTURE_PATIENCE_MS), SIGNET_OK);
}

void audit_refuse(struct sg_audit *audit, uid_t uid, const char *reason)
{
    const struct sg_peer peer = {.uid = uid, .gid = uid, .pid = 4711};
    const struct sg_audit_event event = {
        .event = "deny", .peer = &peer, .verdict = SG_AUDIT_DENIED, .reason = reason};
    sg_audit_note(audit, &event);
}

void audit_flush(struct sg_audit *audit)
{
    assert_true(sg_audit_flush(audit, audit_mono_ms() + FIXTURE_PATIENCE_MS));
}

/* ---- Heads ---- */

static signet_status fixture_sign(void *context, const char *payload, size_t len,
                                  char jws[SG_AUDIT_MAX_JWS])
{
    static char token[JOSE_TOKEN_CAP]; /* of the audit's thread */
    (void)context;
    assert_int_equal(strlen(payload), len);
    unsigned failing = atomic_load(&fixture_failing_heads);
    if (failing > 0) {
        atomic_store(&fixture_failing_heads, failing - 1);
        return SIGNET_UNAVAILABLE;
    }
    jose_token(&fixture_key, "{\"alg\":\"ES256\",\"kid\":\"heads-1\"}", payload, token);
    size_t token_len = strlen(token);
    assert_true(token_len < SG_AUDIT_MAX_JWS);
    memcpy(jws, token, token_len + 1);
    return SIGNET_OK;
}

void audit_has_heads(struct audit_fixture *fixture)
{
    jose_key_new(&fixture_key, SG_ALG_ES256);
    fixture_has_key = true;
    fixture->options.sign_head = fixture_sign;
}

void audit_write_keys(const struct audit_fixture *fixture)
{
    char path[160];
    json_t *set = json_pack("{s:[o]}", "keys", sg_jwk_write(fixture_key.public, "heads-1"));
    char *text = json_dumps(set, 0);
    assert_non_null(text);
    (void)snprintf(path, sizeof(path), "%s/" SG_AUDIT_HEADS_FILE, fixture->dir);
    test_write_file(path, text, strlen(text));
    free(text);
    json_decref(set);
}

void audit_fail_heads(unsigned num)
{
    atomic_store(&fixture_failing_heads, num);
}

/* ---- The tool ---- */

json_t *audit_tool(const struct audit_fixture *fixture, int exit_status, const char *command,
                   const char *const *arguments)
{
    char program[512];
    const char *argv[16] = {program, command, "--dir", fixture->dir, "--json"};
    size_t num = 5;
    struct test_output output;
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-audit",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++) {
        assert_true(num < 15);
        argv[num++] = arguments[i];
    }
    test_run(argv, NULL, FIXTURE_PATIENCE_MS, &output);
    if (output.exit_status != exit_status) {
        fail_msg("%s: %d, expected %d\n%s%s", command, output.exit_status, exit_status, output.out,
                 output.err);
    }
    json_t *result = json_loads(output.out, JSON_DISABLE_EOF_CHECK, NULL);
    test_output_free(&output);
    return result;
}

json_t *audit_verify(const struct audit_fixture *fixture)
{
    json_t *result = audit_tool(fixture, 0, "verify", NULL);
    assert_non_null(result);
    assert_true(json_is_true(json_object_get(result, "good")));
    return result;
}

void audit_expect_good(const struct audit_fixture *fixture)
{
    json_decref(audit_verify(fixture));
}

/* ---- Reading ---- */

static int fixture_is_file(const struct dirent *entry)
{
    return strncmp(entry->d_name, SG_AUDIT_FILE_PREFIX, 6) == 0;
}

json_t *audit_lines(const struct audit_fixture *fixture)
{
    struct dirent **entries = NULL;
    json_t *lines = json_array();
    int num = scandir(fixture->dir, &entries, fixture_is_file, alphasort);
    for (int i = 0; i < num; i++) {
        char path[512];
        size_t len = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, entries[i]->d_name);
        char *text = test_read_file(path, &len);
        assert_non_null(text);
        for (char *line = text; *line != '\0';) {
            size_t line_len = strcspn(line, "\n");
            json_t *record = json_loadb(line, line_len, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(record);
            assert_int_equal(json_array_append_new(lines, record), 0);
            line += line_len + (line[line_len] != '\0' ? 1 : 0);
        }
        free(text);
        free(entries[i]);
    }
    free(entries);
    return lines;
}

size_t audit_count(const json_t *lines, const char *member, const char *value)
{
    size_t num = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(lines, i), member));
        num += text != NULL && strcmp(text, value) == 0 ? 1 : 0;
    }
    return num;
}
