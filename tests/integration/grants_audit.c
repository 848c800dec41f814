/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's files, read as what they are: a JSON object a line.
 */
#include "tests/integration/grants_audit.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these, and those of the header above. */
#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/secret_search.h"

#define AUDIT_SUFFIX   ".jsonl"
#define AUDIT_PROBE_MS 20
/* Of the tokens, by one program each. */
#define AUDIT_NUM_FOUND 6u
/* Of a signature: enough to be no accident. */
#define AUDIT_MARK_LEN 20u

/* ---- Records ---- */

/* Looks at one line, and is true to go on. */
typedef bool audit_visitor(void *context, const char *line, size_t len);

static bool audit_visit_lines(const char *text, audit_visitor *visit, void *context)
{
    bool goes_on = true;
    while (goes_on && *text != '\0') {
        size_t len = strcspn(text, "\n");
        goes_on = visit(context, text, len);
        text += len + (text[len] == '\n' ? 1 : 0);
    }
    return goes_on;
}

/* Every line that there is now. */
static void audit_visit(const struct grants_fixture *fixture, audit_visitor *visit, void *context)
{
    DIR *dir = opendir(fixture->audit_dir);
    assert_non_null(dir);
    bool goes_on = true;
    for (const struct dirent *entry = readdir(dir); goes_on && entry != NULL;
         entry = readdir(dir)) {
        char path[512];
        size_t len = strlen(entry->d_name);
        size_t suffix_len = sizeof(AUDIT_SUFFIX) - 1;
        if (len > suffix_len && strcmp(entry->d_name + len - suffix_len, AUDIT_SUFFIX) == 0) {
            (void)snprintf(path, sizeof(path), "%s/%s", fixture->audit_dir, entry->d_name);
            char *text = test_read_file(path, NULL);
            assert_non_null(text);
            goes_on = audit_visit_lines(text, visit, context);
            free(text);
        }
    }
    (void)closedir(dir);
}

/* What a record has to say; NULL: anything. */
struct audit_wanted {
    json_int_t uid;
    const char *event, *method, *verdict, *reason, *keyset, *detail;
    bool is_found;
};

static bool audit_says(const json_t *record, const char *name, const char *wanted)
{
    const char *value = json_string_value(json_object_get(record, name));
    return wanted == NULL || (value != NULL && strcmp(value, wanted) == 0);
}

static bool audit_match(void *context, const char *line, size_t len)
{
    struct audit_wanted *wanted = context;
    json_t *record = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    if (record == NULL) {
        return true; /* half of a line that is being written; the chain's check is another */
    }
    const json_t *peer = json_object_get(record, "peer");
    const char *detail = json_string_value(json_object_get(record, "detail"));
    wanted->is_found =
        json_integer_value(json_object_get(peer, "uid")) == wanted->uid && peer != NULL &&
        audit_says(record, "event", wanted->event) &&
        audit_says(record, "method", wanted->method) &&
        audit_says(record, "verdict", wanted->verdict) &&
        audit_says(record, "reason", wanted->reason) &&
        audit_says(record, "keyset", wanted->keyset) &&
        (wanted->detail == NULL || (detail != NULL && strstr(detail, wanted->detail) != NULL));
    json_decref(record);
    return !wanted->is_found;
}

static int64_t audit_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Records are written by a thread of their own: they come soon, not at once. */
static bool audit_await(const struct grants_fixture *fixture, struct audit_wanted *wanted)
{
    int64_t deadline = audit_now_ms() + (int64_t)GRANTS_PATIENCE_MS;
    for (;;) {
        audit_visit(fixture, audit_match, wanted);
        if (wanted->is_found || audit_now_ms() > deadline) {
            return wanted->is_found;
        }
        (void)poll(NULL, 0, AUDIT_PROBE_MS);
    }
}

bool grants_audit_has(const struct grants_fixture *fixture, enum grants_who who, const char *reason,
                      const char *keyset, const char *detail)
{
    struct audit_wanted wanted = {.uid = (json_int_t)fixture->people[who].uid,
                                  .reason = reason,
                                  .keyset = keyset,
                                  .detail = detail};
    return audit_await(fixture, &wanted);
}

bool grants_audit_has_act(const struct grants_fixture *fixture, enum grants_who who,
                          const char *method, const char *keyset, const char *verdict)
{
    struct audit_wanted wanted = {.uid = (json_int_t)fixture->people[who].uid,
                                  .event = "admin",
                                  .method = method,
                                  .keyset = keyset,
                                  .verdict = verdict};
    return audit_await(fixture, &wanted);
}

/* ---- The chain ---- */

static void audit_run(const struct grants_fixture *fixture, const char *command, const char *option,
                      const char *value, const char *what)
{
    char signet[512];
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    struct test_output output;
    (void)snprintf(signet, sizeof(signet), "%s/signet", bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *const argv[] = {signet, "audit", command, "--dir", fixture->audit_dir,
                                option, value,   NULL};
    test_run(argv, NULL, GRANTS_PATIENCE_MS, &output);
    if (output.exit_status != 0 || (what != NULL && strstr(output.out, what) == NULL)) {
        fail_msg("signet audit %s %s: %d, expected \"%s\"\n%.4000s%s", command,
                 value != NULL ? value : "", output.exit_status, what != NULL ? what : "",
                 output.out, output.err);
    }
    test_output_free(&output);
}

void grants_audit_check_chain(const struct grants_fixture *fixture)
{
    audit_run(fixture, "verify", NULL, NULL, NULL);
}

/* ---- Tokens ---- */

struct audit_tokens {
    size_t num;
    const char **jtis; /* in order, as are signatures */
    const char **signatures;
    bool *is_there; /* by the index of jtis */
    size_t num_lines;
};

static int audit_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int audit_compare_mark(const void *a, const void *b)
{
    return strncmp(a, *(const char *const *)b, AUDIT_MARK_LEN);
}

/* Notes whose record a line is. */
static bool audit_tick(void *context, const char *line, size_t len)
{
    struct audit_tokens *tokens = context;
    json_t *record = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(record);
    const char *jti = json_string_value(json_object_get(record, "jti"));
    if (jti != NULL && audit_says(record, "event", "sign")) {
        const char **found = bsearch(&jti, tokens->jtis, tokens->num, sizeof(jti), audit_compare);
        if (found != NULL) {
            tokens->is_there[found - tokens->jtis] = true;
        }
    }
    tokens->num_lines++;
    json_decref(record);
    return true;
}

/* A line with a piece of a signature in it fails the test. */
static bool audit_look_for_signatures(void *context, const char *line, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const struct audit_tokens *tokens = context;
    for (size_t at = 0; at < len;) {
        size_t run = strspn(line + at, alphabet);
        for (size_t i = at; i + AUDIT_MARK_LEN <= at + run; i++) {
            if (bsearch(line + i, tokens->signatures, tokens->num, sizeof(char *),
                        audit_compare_mark) != NULL) {
                fail_msg("the audit has a token's signature: %.*s", (int)len, line);
            }
        }
        at += run + 1;
    }
    return true;
}

static void audit_list_tokens(const struct grants_fixture *fixture, struct audit_tokens *out)
{
    const struct grants_minted *minted = fixture->shared->minted;
    out->num = atomic_load(&fixture->shared->num_minted);
    assert_in_range(out->num, 1, GRANTS_MAX_MINTED);
    out->jtis = calloc(out->num, sizeof(char *));
    out->signatures = calloc(out->num, sizeof(char *));
    out->is_there = calloc(out->num, sizeof(bool));
    assert_true(out->jtis != NULL && out->signatures != NULL && out->is_there != NULL);
    for (size_t i = 0; i < out->num; i++) {
        assert_true(strlen(minted[i].signature) > AUDIT_MARK_LEN && minted[i].jti[0] != '\0');
        out->jtis[i] = minted[i].jti;
        out->signatures[i] = minted[i].signature;
    }
    qsort(out->jtis, out->num, sizeof(char *), audit_compare);
    qsort(out->signatures, out->num, sizeof(char *), audit_compare);
}

void grants_audit_check_tokens(const struct grants_fixture *fixture)
{
    struct audit_tokens tokens = {0};
    audit_list_tokens(fixture, &tokens);
    audit_visit(fixture, audit_tick, &tokens);
    assert_true(tokens.num_lines > tokens.num);
    for (size_t i = 0; i < tokens.num; i++) {
        if (!tokens.is_there[i]) {
            fail_msg("the token %s was minted, and the audit does not have it", tokens.jtis[i]);
        }
    }
    audit_visit(fixture, audit_look_for_signatures, &tokens);
    size_t step = tokens.num / AUDIT_NUM_FOUND + 1;
    for (size_t i = 0; i < tokens.num; i += step) {
        audit_run(fixture, "find", "--jti", tokens.jtis[i], tokens.jtis[i]);
    }
    print_message("%zu tokens, %zu records\n", tokens.num, tokens.num_lines);
    free(tokens.jtis);
    free(tokens.signatures);
    free(tokens.is_there);
}

/* ---- Secrets ---- */

void grants_audit_check_secrets(const struct grants_fixture *fixture,
                                const struct grants_secret *secrets, size_t num)
{
    struct secret_report report = {0};
    struct secret_search *search = secret_search_new();
    for (size_t i = 0; i < num; i++) {
        secret_search_add(search, secrets[i].name, (const uint8_t *)secrets[i].bytes,
                          secrets[i].len);
    }
    assert_true(secret_search_num_windows(search) > secret_search_num_left_out(search));
    assert_true(secret_search_tree(search, fixture->audit_dir, NULL, &report));
    assert_true(report.num_scanned > 0);
    if (report.num_hits > 0) {
        secret_report_print(&report, "the audit has secrets");
    }
    assert_int_equal(report.num_hits, 0);
    secret_search_free(search);
}
