/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-audit over logs that somebody changed: whatever one change it is, verify is red and names the place.
 * And what find and show print.
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
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/unit/audit_fixture.h"
#include "tests/unit/jose_token.h"

#define NUM_RECORDS 40u
#define NUM_LINES   (NUM_RECORDS + 2u) /* the file's, and the head */
#define NUM_EDITS   (SG_SANITIZED ? 20u : 120u)

/* A good log of one file, in lines. */
struct log {
    struct audit_fixture *fixture;
    char path[200];
    char *text;
    const char *lines[NUM_LINES + 1]; /* and the end */
};

static void log_make(struct log *log, struct audit_fixture *fixture)
{
    size_t len = 0;
    size_t num = 0;
    audit_has_heads(fixture);
    struct sg_audit *audit = audit_start(fixture);
    audit_write_keys(fixture);
    for (unsigned i = 0; i < NUM_RECORDS; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "token-%u", i);
        audit_record(audit, jti);
    }
    sg_audit_free(audit);
    log->fixture = fixture;
    (void)snprintf(log->path, sizeof(log->path), "%s/audit-%020d.jsonl", fixture->dir, 1);
    log->text = test_read_file(log->path, &len);
    assert_non_null(log->text);
    for (const char *at = log->text; *at != '\0'; at = strchr(at, '\n') + 1) {
        assert_true(num < NUM_LINES);
        log->lines[num++] = at;
    }
    assert_int_equal(num, NUM_LINES);
    log->lines[num] = log->text + len;
    audit_expect_good(fixture);
}

static void log_free(struct log *log)
{
    test_write_file(log->path, log->text, strlen(log->text));
    audit_expect_good(log->fixture); /* what was red was so for the change only */
    free(log->text);
}

/* ---- Changes ---- */

struct draft {
    char *text;
    size_t len;
};

static void draft_add(struct draft *draft, const struct log *log, size_t line)
{
    size_t len = (size_t)(log->lines[line + 1] - log->lines[line]);
    draft->text = realloc(draft->text, draft->len + len + 1);
    assert_non_null(draft->text);
    memcpy(draft->text + draft->len, log->lines[line], len);
    draft->len += len;
}

/* Writes the draft, and expects verify to be red and to name the line (from 1) in one of its faults. */
static void draft_expect_red(struct draft *draft, const struct log *log, size_t line,
                             const char *what)
{
    test_write_file(log->path, draft->text, draft->len);
    json_t *result = audit_tool(log->fixture, 1, "verify", NULL);
    const json_t *faults = json_object_get(result, "faults");
    bool is_named = false;
    for (size_t i = 0; i < json_array_size(faults); i++) {
        const json_t *fault = json_array_get(faults, i);
        is_named = is_named || (size_t)json_integer_value(json_object_get(fault, "line")) == line;
    }
    if (!is_named) {
        char *text = json_dumps(faults, JSON_INDENT(1));
        fail_msg("%s at line %zu: %s", what, line, text);
    }
    json_decref(result);
    free(draft->text);
    *draft = (struct draft){.len = 0};
}

static uint32_t pick(uint64_t *random, uint32_t below)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return (uint32_t)((*random * 0x2545F4914F6CDD1Du >> 32) % below);
}

static void test_verify__names_a_byte_that_was_changed(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    uint64_t random = 7;
    log_make(&log, *state);
    for (unsigned i = 0; i < NUM_EDITS; i++) {
        size_t line = pick(&random, NUM_LINES);
        for (size_t each = 0; each < NUM_LINES; each++) {
            draft_add(&draft, &log, each);
        }
        size_t len = (size_t)(log.lines[line + 1] - log.lines[line]) - 1;
        /* Every tenth in what the chain itself adds. */
        size_t at = pick(&random, (uint32_t)(i % 10 == 0 && len > 90 ? 90 : len));
        char *byte = draft.text + (log.lines[line] - log.text) + at;
        *byte = (char)(*byte ^ (1 << pick(&random, 7)));
        draft_expect_red(&draft, &log, line + 1, "a byte");
    }
    log_free(&log);
}

static void test_verify__names_a_line_that_is_missing(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    log_make(&log, *state);
    for (size_t line = 0; line < NUM_LINES; line++) {
        for (size_t each = 0; each < NUM_LINES; each++) {
            if (each != line) {
                draft_add(&draft, &log, each);
            }
        }
        /* Before the line that is there now, or at the end. */
        draft_expect_red(&draft, &log, line + 1 < NUM_LINES ? line + 1 : line, "a deletion");
    }
    log_free(&log);
}

static void test_verify__names_lines_that_changed_places(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    uint64_t random = 9;
    log_make(&log, *state);
    for (unsigned i = 0; i < NUM_EDITS / 5; i++) {
        size_t one = pick(&random, NUM_LINES);
        size_t other = pick(&random, NUM_LINES);
        if (one == other) {
            continue;
        }
        for (size_t each = 0; each < NUM_LINES; each++) {
            draft_add(&draft, &log, each == one ? other : each == other ? one : each);
        }
        size_t first = one < other ? one : other;
        /* One that begins the log begins another: then the second line is out of order. */
        draft_expect_red(&draft, &log, first == 0 ? 1 : first + 1, "a swap");
    }
    log_free(&log);
}

static void test_verify__names_a_line_that_is_there_twice(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    log_make(&log, *state);
    for (size_t line = 0; line < NUM_LINES; line += 3) {
        for (size_t each = 0; each < NUM_LINES; each++) {
            draft_add(&draft, &log, each);
            if (each == line) {
                draft_add(&draft, &log, each);
            }
        }
        draft_expect_red(&draft, &log, line + 2, "a copy");
    }
    log_free(&log);
}

static void test_verify__names_an_end_that_was_cut_off(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    uint64_t random = 11;
    log_make(&log, *state);
    for (unsigned i = 0; i < NUM_EDITS / 5; i++) {
        size_t line = 1 + pick(&random, NUM_LINES - 1);
        for (size_t each = 0; each < NUM_LINES; each++) {
            draft_add(&draft, &log, each);
        }
        size_t len = (size_t)(log.lines[line + 1] - log.lines[line]);
        size_t keep = i % 3 == 0 ? 0 : pick(&random, (uint32_t)len);
        draft.len = (size_t)(log.lines[line] - log.text) + keep;
        draft_expect_red(&draft, &log, keep == 0 ? line : line + 1, "a cut");
    }
    log_free(&log);
}

/* Whoever can write the files can make the chain anew, but cannot sign its heads. */
static void test_verify__knows_a_chain_that_was_made_anew(void **state)
{
    struct audit_fixture *fixture = *state;
    struct log log;
    char command[400];
    struct test_output output;
    log_make(&log, fixture);
    static const char script[] =
        "rm \"$0/queue\"; python3 - \"$1\" <<'END'\n"
        "import hashlib, re, sys\n"
        "lines = open(sys.argv[1]).read().splitlines()\n"
        "prev = '0' * 64\n"
        "with open(sys.argv[1], 'w') as out:\n"
        "    for line in lines:\n"
        "        line = re.sub('\"prev\":\"[0-9a-f]*\"', '\"prev\":\"%s\"' % prev, line)\n"
        "        line = line.replace('user-42', 'user-43')\n"
        "        prev = hashlib.sha256(line.encode()).hexdigest()\n"
        "        out.write(line + '\\n')\n"
        "END\n";
    const char *argv[] = {"/bin/sh", "-c", script, fixture->dir, log.path, NULL};
    test_run(argv, NULL, 30000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    json_t *result = audit_tool(fixture, 1, "verify", NULL);
    const json_t *faults = json_object_get(result, "faults");
    assert_int_equal(json_array_size(faults), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(faults, 0), "line")),
                     NUM_LINES);
    json_decref(result);
    (void)command;
    log_free(&log);
}

/* A head that was copied elsewhere finds an end that was cut off with all that knew of it. */
static void test_verify__looks_for_heads_from_elsewhere(void **state)
{
    struct audit_fixture *fixture = *state;
    struct log log;
    char heads[200];
    char queue[200];
    log_make(&log, fixture);
    json_t *head = json_loads(log.lines[NUM_LINES - 1], JSON_DISABLE_EOF_CHECK, NULL);
    const char *jws = json_string_value(json_object_get(head, "jws"));
    assert_non_null(jws);
    (void)snprintf(heads, sizeof(heads), "%s/heads", fixture->root);
    test_write_file(heads, jws, strlen(jws));
    const char *with_heads[] = {"--heads", heads, NULL};
    json_decref(audit_tool(fixture, 0, "verify", with_heads));
    (void)snprintf(queue, sizeof(queue), "%s/queue", fixture->dir);
    assert_int_equal(unlink(queue), 0);
    test_write_file(log.path, log.text, (size_t)(log.lines[NUM_LINES - 5] - log.text));
    json_decref(audit_tool(fixture, 0, "verify", NULL));
    json_decref(audit_tool(fixture, 1, "verify", with_heads));
    json_decref(head);
    log_free(&log);
}

static void test_verify__begins_where_it_is_told(void **state)
{
    struct log log;
    struct draft draft = {.len = 0};
    const char *from[] = {"--from", "21", NULL};
    log_make(&log, *state);
    for (size_t each = 0; each < NUM_LINES; each++) {
        if (each != 10) {
            draft_add(&draft, &log, each);
        }
    }
    test_write_file(log.path, draft.text, draft.len);
    json_t *result = audit_tool(log.fixture, 0, "verify", from);
    assert_int_equal(json_integer_value(json_object_get(result, "first")), 21);
    json_decref(result);
    draft_expect_red(&draft, &log, 11, "a deletion");
    log_free(&log);
}

/* ---- find and show ---- */

static void test_find__finds_by_jti_token_and_subject(void **state)
{
    struct audit_fixture *fixture = *state;
    struct jose_key key;
    char token[JOSE_TOKEN_CAP];
    struct sg_audit *audit = audit_start(fixture);
    audit_record(audit, "first");
    audit_record(audit, "second");
    sg_audit_free(audit);
    jose_key_new(&key, SG_ALG_ES256);
    jose_token(&key, "{\"alg\":\"ES256\"}", "{\"jti\":\"second\"}", token);
    const char *const good[][7] = {{"--jti", "second", NULL},
                                   {"--token", token, NULL},
                                   {"--jti", "second", "--sub", "user-42", NULL},
                                   {"--jti", "second", "--since", "-1h", NULL}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        json_t *record = audit_tool(fixture, 0, "find", good[i]);
        assert_string_equal(json_string_value(json_object_get(record, "jti")), "second");
        assert_string_equal(json_string_value(json_object_get(record, "rule")), "web-login");
        json_decref(record);
    }
    const char *const bad[][7] = {{"--jti", "third", NULL},
                                  {"--sub", "user-4", NULL},
                                  {"--jti", "second", "--until", "2001-01-01T00:00:00Z", NULL}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_decref(audit_tool(fixture, 1, "find", bad[i]));
    }
    const char *const wrong[][7] = {{NULL},
                                    {"--token", "no.token", NULL},
                                    {"--jti", "x", "--since", "yesterday", NULL},
                                    {"--jti", "x", "--last", "3", NULL}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_decref(audit_tool(fixture, 2, "find", wrong[i]));
    }
    const char *last[] = {"--last", "1", NULL};
    json_t *record = audit_tool(fixture, 0, "show", last);
    assert_string_equal(json_string_value(json_object_get(record, "jti")), "second");
    json_decref(record);
    jose_key_free(&key);
}

/* What callers put into records cannot drive a terminal. */
static void test_show__is_harmless(void **state)
{
    struct audit_fixture *fixture = *state;
    char program[512];
    struct test_output output;
    struct sg_audit *audit = audit_start(fixture);
    audit_record(audit, "\x1b[2J\xe2\x80\xae jti=\"other\"");
    sg_audit_free(audit);
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-audit",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *argv[] = {program, "show", "--dir", fixture->dir, NULL};
    test_run(argv, NULL, 30000, &output);
    assert_int_equal(output.exit_status, 0);
    assert_non_null(strstr(output.out, "jti=\"\\u001B[2J\\u202E jti=\\\"other\\\"\""));
    for (const char *c = output.out; *c != '\0'; c++) {
        assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    }
    test_output_free(&output);
}

static void test_verify__is_harmless(void **state)
{
    struct audit_fixture *fixture = *state;
    char program[512];
    char path[256];
    struct test_output output;
    static const char line[] =
        "{\"seq\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\","
        "\"q\":0,\"time\":\"\\u001b[2J\",\"event\":\"file\",\"previous\":\"\\u009b1m\\ngood\","
        "\"why\":\"\\u001b]0;x\\u0007\"}\n";
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/audit-00000000000000000001.jsonl", fixture->dir);
    test_write_file(path, line, sizeof(line) - 1);
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-audit",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *argv[] = {program, "verify", "--dir", fixture->dir, NULL};
    test_run(argv, NULL, 30000, &output);
    assert_int_equal(output.exit_status, 0);
    assert_non_null(
        strstr(output.out, "note at \\u001B[2J the daemon found that \\u009B1m\\ngood"));
    for (const char *c = output.out; *c != '\0'; c++) {
        assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    }
    test_output_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verify__names_a_byte_that_was_changed, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__names_a_line_that_is_missing, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__names_lines_that_changed_places, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__names_a_line_that_is_there_twice, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__names_an_end_that_was_cut_off, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__knows_a_chain_that_was_made_anew, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__looks_for_heads_from_elsewhere, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__begins_where_it_is_told, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_find__finds_by_jti_token_and_subject, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_show__is_harmless, audit_setup, audit_teardown),
        cmocka_unit_test_setup_teardown(test_verify__is_harmless, audit_setup, audit_teardown),
    };
    return cmocka_run_group_tests_name("audit_tool", tests, NULL, NULL);
}
