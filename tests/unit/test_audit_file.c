/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of the chain: what is found of its end at a start, batches that are whole or not there, one file after
 * another, and what somebody else did to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/audit_file.h"
#include "tests/support/files.h"

#define TEST_HASH "abababababababababababababababababababababababababababababababab"
#define BODY      "{\"time\":\"2026-11-26T00:00:00.000Z\",\"event\":\"sign\"}"

static uint64_t now_ms = 1000000;

static uint64_t mono_ms(void)
{
    return now_ms;
}

static int64_t wall_ms(void)
{
    return 1795651200000 + (int64_t)now_ms;
}

struct fixture {
    char dir[96];
    struct sg_audit_files_options options;
    struct sg_audit_files *files;
    struct sg_audit_mark expected;
    struct sg_audit_recovered recovered;
    char reason[SG_AUDIT_MAX_REASON];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    fixture->options = (struct sg_audit_files_options){
        .dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .dir = fixture->dir,
        .max_len = 1u << 20,
        .max_age_ms = 1000,
        .read_mono_ms = mono_ms,
        .read_wall_ms = wall_ms};
    assert_true(fixture->options.dir_fd >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    sg_audit_files_close(fixture->files);
    (void)close(fixture->options.dir_fd);
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static void open_files(struct fixture *fixture)
{
    sg_audit_files_close(fixture->files);
    fixture->files = NULL;
    if (sg_audit_files_open(&fixture->options, &fixture->expected, &fixture->files,
                            &fixture->recovered, fixture->reason) != SIGNET_OK) {
        fail_msg("%s", fixture->reason);
    }
}

static void add(struct fixture *fixture, uint64_t number)
{
    assert_int_equal(sg_audit_files_add(fixture->files, number, BODY, sizeof(BODY) - 1), SIGNET_OK);
}

static void write_one(struct fixture *fixture, uint64_t number)
{
    add(fixture, number);
    assert_int_equal(sg_audit_files_commit(fixture->files, fixture->reason), SIGNET_OK);
}

static uint64_t end_seq(const struct fixture *fixture)
{
    return sg_audit_files_end(fixture->files)->seq;
}

static void file_path(const struct fixture *fixture, uint64_t seq, char out[200])
{
    char name[SG_AUDIT_MAX_NAME];
    sg_audit_name_write(seq, name);
    (void)snprintf(out, 200, "%s/%s", fixture->dir, name);
}

/* The line num (from 0) of the file that begins with seq; to be released. */
static json_t *line_of(const struct fixture *fixture, uint64_t seq, size_t num)
{
    char path[200];
    size_t len = 0;
    file_path(fixture, seq, path);
    char *text = test_read_file(path, &len);
    assert_non_null(text);
    char *line = text;
    for (; num > 0; num--) {
        line = strchr(line, '\n') + 1;
    }
    json_t *record = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(record);
    free(text);
    return record;
}

static void expect_text(const struct fixture *fixture, uint64_t seq, size_t num, const char *member,
                        const char *expected)
{
    json_t *record = line_of(fixture, seq, num);
    const char *text = json_string_value(json_object_get(record, member));
    assert_non_null(text);
    assert_string_equal(text, expected);
    json_decref(record);
}

static void append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* ---- Starts ---- */

static void test_start__goes_on_where_it_ended(void **state)
{
    struct fixture *fixture = *state;
    open_files(fixture);
    assert_int_equal(end_seq(fixture), 0);
    write_one(fixture, 1); /* and the record of the file */
    write_one(fixture, 2);
    assert_int_equal(end_seq(fixture), 3);
    struct sg_audit_mark end = *sg_audit_files_end(fixture->files);
    open_files(fixture);
    assert_int_equal(end_seq(fixture), 3);
    assert_memory_equal(sg_audit_files_end(fixture->files)->hash, end.hash, sizeof(end.hash));
    assert_int_equal(sg_audit_files_number(fixture->files), 2);
    write_one(fixture, 3);
    char hex[SG_AUDIT_HEX_LEN + 1];
    sg_audit_hex(end.hash, hex);
    expect_text(fixture, 1, 3, "prev", hex);
    expect_text(fixture, 1, 0, "event", "file");
    expect_text(fixture, 1, 0, "why", "start");
}

static void test_start__cuts_off_half_a_line(void **state)
{
    struct fixture *fixture = *state;
    char path[200];
    open_files(fixture);
    write_one(fixture, 1);
    file_path(fixture, 1, path);
    append(path, "{\"seq\":3,\"prev\":");
    open_files(fixture);
    assert_int_equal(fixture->recovered.torn_bytes, 16);
    assert_int_equal(end_seq(fixture), 2);
    write_one(fixture, 2);
    open_files(fixture);
    assert_int_equal(fixture->recovered.torn_bytes, 0);
    assert_int_equal(end_seq(fixture), 3);
}

static void test_start__passes_over_a_file_without_a_record(void **state)
{
    struct fixture *fixture = *state;
    char path[200];
    open_files(fixture);
    write_one(fixture, 1);
    file_path(fixture, 3, path);
    test_write_file(path, "{\"seq\":3,", 9);
    assert_int_equal(chmod(path, 0600), 0);
    open_files(fixture);
    assert_int_equal(end_seq(fixture), 2);
    assert_int_equal(fixture->recovered.torn_bytes, 9);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* What the queue knows of the chain and the files have not stays missed. */
static void test_start__goes_on_behind_what_is_missing(void **state)
{
    struct fixture *fixture = *state;
    open_files(fixture);
    write_one(fixture, 1);
    fixture->expected.seq = 10;
    fixture->expected.hash[0] = 7;
    open_files(fixture);
    assert_int_equal(fixture->recovered.lost_first, 3);
    assert_int_equal(fixture->recovered.lost_last, 10);
    write_one(fixture, 2);
    json_t *record = line_of(fixture, 1, 2);
    assert_int_equal(json_integer_value(json_object_get(record, "seq")), 11);
    json_decref(record);
    expect_text(fixture, 1, 2, "prev",
                "0700000000000000000000000000000000000000000000000000000000000000");
}

static void test_start__holds_to_the_last_record_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    open_files(fixture);
    write_one(fixture, 1);
    fixture->expected = *sg_audit_files_end(fixture->files);
    open_files(fixture);
    assert_int_equal(fixture->recovered.changed, 0);
    fixture->expected.hash[0] ^= 1u; /* or the line was changed */
    open_files(fixture);
    assert_int_equal(fixture->recovered.changed, 2);
    assert_memory_equal(sg_audit_files_end(fixture->files)->hash, fixture->expected.hash,
                        SG_AUDIT_HASH_LEN);
}

static void test_start__begins_another_file_after_damage(void **state)
{
    struct fixture *fixture = *state;
    char path[200];
    open_files(fixture);
    write_one(fixture, 1);
    file_path(fixture, 1, path);
    append(path, "this is no record\n");
    open_files(fixture);
    assert_true(fixture->recovered.is_damaged);
    write_one(fixture, 2);
    expect_text(fixture, 4, 0, "why", "damaged");
}

static void test_start__refuses_what_others_could_change(void **state)
{
    struct fixture *fixture = *state;
    char path[200];
    open_files(fixture);
    write_one(fixture, 1);
    file_path(fixture, 1, path);
    assert_int_equal(chmod(path, 0644), 0);
    sg_audit_files_close(fixture->files);
    fixture->files = NULL;
    assert_int_equal(sg_audit_files_open(&fixture->options, &fixture->expected, &fixture->files,
                                         &fixture->recovered, fixture->reason),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->reason, "chmod 0600"));
}

/* ---- Batches ---- */

static void limit_files(size_t len)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len != 0 ? len : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Wherever the disk ends, in the first record of a file or later, nothing of the batch stays. */
static void test_batch__is_there_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;
    char path[200];
    open_files(fixture);
    file_path(fixture, 1, path);
    for (size_t limit = 1; limit < 340; limit += 37) {
        add(fixture, 1);
        limit_files(limit);
        assert_int_not_equal(sg_audit_files_commit(fixture->files, fixture->reason), SIGNET_OK);
        limit_files(0);
        assert_non_null(strstr(fixture->reason, "make room"));
        assert_int_equal(end_seq(fixture), 0);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_size, 0);
    }
    write_one(fixture, 1);
    assert_int_equal(stat(path, &info), 0);
    off_t len = info.st_size;
    add(fixture, 2);
    add(fixture, 3);
    limit_files((size_t)len + 200);
    assert_int_not_equal(sg_audit_files_commit(fixture->files, fixture->reason), SIGNET_OK);
    limit_files(0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, len);
    write_one(fixture, 2);
    open_files(fixture);
    assert_int_equal(fixture->recovered.torn_bytes, 0);
    assert_int_equal(end_seq(fixture), 3);
}

static void test_batch__is_bounded(void **state)
{
    struct fixture *fixture = *state;
    signet_status status = SIGNET_OK;
    size_t num = 0;
    open_files(fixture);
    for (; status == SIGNET_OK && num < 100000; num++) {
        status = sg_audit_files_add(fixture->files, num + 1, BODY, sizeof(BODY) - 1);
    }
    assert_int_equal(status, SIGNET_OUT_OF_RANGE);
    assert_false(sg_audit_files_is_full(fixture->files)); /* the batch is, not the file */
    assert_int_equal(sg_audit_files_commit(fixture->files, fixture->reason), SIGNET_OK);
    assert_int_equal(end_seq(fixture), num); /* one did not fit, and one is the file's */
}

/* ---- One file after another ---- */

static void test_file__is_due_by_size_and_by_age(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.max_len = 1000;
    open_files(fixture);
    write_one(fixture, 1);
    assert_false(sg_audit_files_is_due(fixture->files));
    uint64_t number = 2;
    while (sg_audit_files_add(fixture->files, number, BODY, sizeof(BODY) - 1) == SIGNET_OK) {
        number++;
    }
    assert_int_equal(sg_audit_files_commit(fixture->files, fixture->reason), SIGNET_OK);
    assert_true(sg_audit_files_is_due(fixture->files));
    uint64_t before = end_seq(fixture);
    sg_audit_files_next(fixture->files, "size");
    write_one(fixture, number);
    expect_text(fixture, before + 1, 0, "why", "size");
    assert_false(sg_audit_files_is_due(fixture->files));
    now_ms += 1000;
    assert_true(sg_audit_files_is_due(fixture->files));
    open_files(fixture); /* its age is what it says itself */
    assert_true(sg_audit_files_is_due(fixture->files));
}

static void test_file__that_somebody_changed_is_left(void **state)
{
    struct fixture *fixture = *state;
    static const char *const whats[] = {"deleted", "renamed", "replaced", "truncated", "appended"};
    open_files(fixture);
    for (size_t i = 0; i < sizeof(whats) / sizeof(whats[0]); i++) {
        char path[200];
        char other[220];
        uint64_t seq = end_seq(fixture) + 1;
        write_one(fixture, seq);
        assert_null(sg_audit_files_look(fixture->files));
        file_path(fixture, seq, path);
        (void)snprintf(other, sizeof(other), "%s.1", path);
        if (strcmp(whats[i], "deleted") == 0) {
            assert_int_equal(unlink(path), 0);
        } else if (strcmp(whats[i], "truncated") == 0) {
            assert_int_equal(truncate(path, 10), 0);
        } else if (strcmp(whats[i], "appended") == 0) {
            append(path, "x");
        } else {
            assert_int_equal(rename(path, other), 0);
        }
        if (strcmp(whats[i], "replaced") == 0) {
            test_write_file(path, "", 0);
        }
        const char *what = sg_audit_files_look(fixture->files);
        assert_non_null(what);
        assert_string_equal(what, whats[i]);
        uint64_t next = end_seq(fixture) + 1;
        write_one(fixture, next);
        expect_text(fixture, next, 0, "why", whats[i]);
        sg_audit_files_next(fixture->files, "size");
    }
}

static void test_file__old_ones_go_after_a_record_of_that(void **state)
{
    struct fixture *fixture = *state;
    char path[200];
    fixture->options.max_files = 2;
    open_files(fixture);
    for (uint64_t i = 1; i <= 3; i++) {
        write_one(fixture, i);
        assert_int_equal(sg_audit_files_prune(fixture->files, fixture->reason), SIGNET_OK);
        sg_audit_files_next(fixture->files, "size");
    }
    file_path(fixture, 1, path);
    assert_int_not_equal(access(path, F_OK), 0);
    file_path(fixture, 3, path);
    assert_int_equal(access(path, F_OK), 0);
    json_t *pruned = line_of(fixture, 5, 2);
    json_t *first = line_of(fixture, 3, 0);
    assert_string_equal(json_string_value(json_object_get(pruned, "event")), "pruned");
    assert_int_equal(json_integer_value(json_object_get(pruned, "last")), 2);
    assert_string_equal(json_string_value(json_object_get(pruned, "hash")),
                        json_string_value(json_object_get(first, "prev")));
    json_decref(pruned);
    json_decref(first);
}

/* ---- Names and prefixes ---- */

static void test_line__has_one_spelling(void **state)
{
    (void)state;
    static const char *const bad_names[] = {"",
                                            "audit-",
                                            "audit-0000000000000000001.jsonl",
                                            "audit-000000000000000000001.jsonl",
                                            "audit-0000000000000000000x.jsonl",
                                            "audit-00000000000000000001.jsonl.1",
                                            "audit-00000000000000000000.jsonl",
                                            "audit-99999999999999999999.jsonl"};
    static const char *const bad_prefixes[] = {"",
                                               "{",
                                               "{\"seq\":1",
                                               "{\"seq\":-1,\"prev\":\"",
                                               "{\"seq\":01,\"prev\":\"" TEST_HASH "\",\"q\":1,",
                                               "{\"seq\":1,\"prev\":\"" TEST_HASH "\",\"q\":1}",
                                               "{\"seq\": 1,\"prev\":\"" TEST_HASH "\",\"q\":1,",
                                               "{\"seq\":1,\"prev\":\"" TEST_HASH "0\",\"q\":1,",
                                               "{\"seq\":99999999999999999999,\"prev\":\"" TEST_HASH
                                               "\",\"q\":1,"};
    struct sg_audit_prefix prefix;
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        assert_int_equal(sg_audit_name_seq(bad_names[i]), 0);
    }
    for (size_t i = 0; i < sizeof(bad_prefixes) / sizeof(bad_prefixes[0]); i++) {
        assert_false(sg_audit_prefix_read(bad_prefixes[i], &prefix));
    }
    assert_true(sg_audit_prefix_read("{\"seq\":1,\"prev\":\"" TEST_HASH "\",\"q\":0,", &prefix));
    assert_int_equal(prefix.prev[0], 0xab);
}

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start__goes_on_where_it_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start__cuts_off_half_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start__passes_over_a_file_without_a_record, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_start__goes_on_behind_what_is_missing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_start__holds_to_the_last_record_as_it_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_start__begins_another_file_after_damage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_start__refuses_what_others_could_change, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_batch__is_there_whole_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch__is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file__is_due_by_size_and_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file__that_somebody_changed_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file__old_ones_go_after_a_record_of_that, setup,
                                        teardown),
        cmocka_unit_test(test_line__has_one_spelling),
    };
    return cmocka_run_group_tests_name("audit_file", tests, NULL, NULL);
}
