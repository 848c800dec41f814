/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit as a whole, looked at with signet-audit: full disks, files that somebody takes away, floods of
 * refusals, and SIGKILL at any instant. The argument is the number of kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/unit/audit_fixture.h"

#define PATIENCE_MS  (SG_SANITIZED ? 120000u : 30000u)
#define KILLS_A_LOOK 8u
#define KILLS        (SG_SANITIZED ? 5u : 30u)

static unsigned num_kills = KILLS;

static json_int_t number_of(const json_t *result, const char *name)
{
    return json_integer_value(json_object_get(result, name));
}

/* Waits, bounded, for something that the audit's thread does. */
static void await(bool (*is_so)(void *), void *data)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t until = audit_mono_ms() + PATIENCE_MS;
    while (!is_so(data)) {
        assert_true(audit_mono_ms() < until);
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- Writing ---- */

static void test_audit__is_a_chain(void **state)
{
    struct audit_fixture *fixture = *state;
    struct sg_audit *audit = audit_start(fixture);
    for (int i = 0; i < 100; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "token-%d", i);
        audit_record(audit, jti);
    }
    audit_flush(audit);
    audit_expect_good(fixture); /* while the daemon runs, too */
    sg_audit_free(audit);
    json_t *result = audit_verify(fixture);
    assert_int_equal(number_of(result, "num_records"), 101); /* and that of the file */
    assert_int_equal(number_of(result, "waiting"), 0);
    json_decref(result);

    /* It goes on in the same file. */
    audit = audit_start(fixture);
    audit_record(audit, "later");
    sg_audit_free(audit);
    result = audit_verify(fixture);
    assert_int_equal(number_of(result, "num_records"), 102);
    assert_int_equal(number_of(result, "num_files"), 1);
    json_decref(result);
}

/* The documented way, by hand. */
static void test_audit__can_be_checked_with_sha256sum(void **state)
{
    struct audit_fixture *fixture = *state;
    static const char script[] =
        "prev=$(printf '%064d' 0)\n"
        "for file in \"$0\"/audit-*.jsonl; do\n"
        "    while IFS= read -r line; do\n"
        "        [ \"$(printf %s \"$line\" | jq -r .prev)\" = \"$prev\" ] || exit 1\n"
        "        prev=$(printf %s \"$line\" | sha256sum | cut -d ' ' -f 1)\n"
        "    done <\"$file\"\n"
        "done\n";
    struct test_output output;
    struct sg_audit *audit = audit_start(fixture);
    audit_record(audit, "a");
    audit_record(audit, "b");
    sg_audit_free(audit);
    const char *which[] = {"/bin/sh", "-c", "command -v jq", NULL};
    test_run(which, NULL, PATIENCE_MS, &output);
    bool has_jq = output.exit_status == 0;
    test_output_free(&output);
    if (!has_jq) {
        print_message("SKIPPED: there is no jq here\n");
        skip();
    }
    const char *argv[] = {"/bin/sh", "-c", script, fixture->dir, NULL};
    test_run(argv, NULL, PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
}

static void test_audit__off_does_nothing(void **state)
{
    (void)state;
    struct sg_audit_place place = {0};
    struct sg_audit_stats stats;
    const struct sg_audit_event event = {.event = "sign"};
    assert_int_equal(sg_audit_reserve(NULL, &place, getuid(), 0), SIGNET_OK);
    sg_audit_write(NULL, &place, &event);
    sg_audit_release(NULL, &place);
    sg_audit_note(NULL, &event);
    sg_audit_stats_get(NULL, &stats);
    assert_false(sg_audit_would_wait(NULL));
    assert_true(sg_audit_flush(NULL, 0));
    sg_audit_free(NULL);
}

static void test_audit__refuses_what_others_could_change(void **state)
{
    struct audit_fixture *fixture = *state;
    char error[SG_AUDIT_MAX_ERROR] = "";
    struct sg_audit *audit = NULL;
    struct sg_audit_options options = fixture->options;
    options.config = &fixture->config;
    assert_int_equal(mkdir(fixture->dir, 0777), 0);
    assert_int_equal(chmod(fixture->dir, 0777), 0);
    assert_int_equal(sg_audit_new(&options, &audit, error), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(error, "chmod go-w"));
    assert_int_equal(chmod(fixture->dir, 0700), 0);
    audit = audit_start(fixture);
    struct sg_audit *second = NULL;
    assert_int_equal(sg_audit_new(&options, &second, error), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(error, "another signetd"));
    sg_audit_free(audit);
}

/* ---- Heads ---- */

static void test_heads__vouch_for_what_is_before_them(void **state)
{
    struct audit_fixture *fixture = *state;
    audit_has_heads(fixture);
    struct sg_audit *audit = audit_start(fixture);
    audit_write_keys(fixture);
    audit_record(audit, "a");
    audit_flush(audit);
    audit_record(audit, "b");
    sg_audit_free(audit);
    json_t *result = audit_verify(fixture);
    assert_int_equal(number_of(result, "num_heads"), 2);
    /* file, a, head, b, head */
    assert_int_equal(number_of(result, "vouched"), 4);
    assert_int_equal(json_array_size(json_object_get(result, "keys")), 1);
    json_decref(result);
}

static bool has_head(void *data)
{
    struct sg_audit_stats stats;
    sg_audit_stats_get(data, &stats);
    return stats.head_seq != 0;
}

static void test_heads__are_written_at_intervals_and_after_failures(void **state)
{
    struct audit_fixture *fixture = *state;
    audit_has_heads(fixture);
    struct sg_audit *audit = audit_start(fixture);
    audit_write_keys(fixture);
    audit_fail_heads(2);
    audit_record(audit, "a");
    assert_true(!has_head(audit));
    audit_push_clocks(61000); /* fails */
    audit_record(audit, "b");
    audit_push_clocks(61000);
    audit_record(audit, "c");
    for (unsigned i = 0; i < 1000 && !has_head(audit); i++) {
        const struct timespec pause = {.tv_nsec = 5000000};
        audit_push_clocks(6000);
        audit_record(audit, "d");
        (void)nanosleep(&pause, NULL);
    }
    await(has_head, audit);
    sg_audit_free(audit);
    audit_expect_good(fixture);
}

/* ---- A full disk ---- */

/* Files may not grow beyond len; 0: they may. */
static void limit_files(size_t len)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len != 0 ? len : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool is_stuck(void *data)
{
    struct sg_audit_stats stats;
    sg_audit_stats_get(data, &stats);
    return stats.is_stuck;
}

/* Fills the queue; how many records found a place. */
static size_t fill_queue(struct sg_audit *audit)
{
    size_t num = 0;
    while (num < 100000) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "full-%zu", num);
        if (audit_try(audit, jti, 0) != SIGNET_OK) {
            return num;
        }
        num++;
    }
    return num;
}

static void expect_jtis(const struct audit_fixture *fixture, const char *prefix, size_t num)
{
    json_t *lines = audit_lines(fixture);
    for (size_t i = 0; i < num; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "%s-%zu", prefix, i);
        assert_int_equal(audit_count(lines, "jti", jti), 1);
    }
    json_decref(lines);
}

static void *open_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    (void)arg;
    (void)nanosleep(&pause, NULL);
    limit_files(0);
    return NULL;
}

static void test_full__block_waits_for_room_and_no_longer_than_asked(void **state)
{
    struct audit_fixture *fixture = *state;
    pthread_t opener;
    struct sg_audit *audit = audit_start(fixture);
    limit_files(1);
    size_t num = fill_queue(audit);
    assert_true(num > 100);
    await(is_stuck, audit);
    assert_true(sg_audit_would_wait(audit));
    assert_int_equal(audit_try(audit, "late", 20), SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(pthread_create(&opener, NULL, open_later, NULL), 0);
    audit_record(audit, "patient");
    assert_int_equal(pthread_join(opener, NULL), 0);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    expect_jtis(fixture, "full", num);
    json_t *lines = audit_lines(fixture);
    assert_int_equal(audit_count(lines, "jti", "late"), 0);
    assert_int_equal(audit_count(lines, "jti", "patient"), 1);
    json_decref(lines);
}

static void test_full__deny_refuses_at_once(void **state)
{
    struct audit_fixture *fixture = *state;
    fixture->config.on_full = SG_AUDIT_DENY;
    struct sg_audit *audit = audit_start(fixture);
    limit_files(1);
    size_t num = fill_queue(audit);
    assert_false(sg_audit_would_wait(audit));
    /* However patient the caller is. */
    assert_int_equal(audit_try(audit, "denied", PATIENCE_MS * 100u), SIGNET_RESOURCE_EXHAUSTED);
    limit_files(0);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    expect_jtis(fixture, "full", num);
}

/* However many places one uid takes, there is one for another. */
static void test_places__are_shared_between_uids(void **state)
{
    struct audit_fixture *fixture = *state;
    struct sg_audit_place greedy[512];
    struct sg_audit_place other = {0};
    size_t num = 0;
    fixture->config.on_full = SG_AUDIT_DENY;
    struct sg_audit *audit = audit_start(fixture);
    while (num < 512 && sg_audit_reserve(audit, &greedy[num], 1000, 0) == SIGNET_OK) {
        num++;
    }
    assert_in_range(num, 2, 511);
    assert_int_equal(sg_audit_reserve(audit, &other, 1001, 0), SIGNET_OK);
    sg_audit_release(audit, &other);
    while (num > 0) {
        sg_audit_release(audit, &greedy[--num]);
    }
    sg_audit_free(audit);
}

/* A key is revoked whether there is a place or not; there is mostly room for the record of it all the same. */
static void test_full__what_is_done_without_a_place_is_recorded_if_it_fits(void **state)
{
    struct audit_fixture *fixture = *state;
    struct sg_audit_place none = {0};
    struct sg_audit_stats stats;
    const struct sg_audit_event event = {
        .event = "admin", .kid = "revoked", .verdict = SG_AUDIT_OK};
    struct sg_audit *audit = audit_start(fixture);
    limit_files(1);
    size_t num = fill_queue(audit);
    sg_audit_write(audit, &none, &event);
    sg_audit_stats_get(audit, &stats);
    assert_int_equal(stats.num_dropped, 0);
    limit_files(0);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    expect_jtis(fixture, "full", num);
    json_t *lines = audit_lines(fixture);
    assert_int_equal(audit_count(lines, "kid", "revoked"), 1);
    json_decref(lines);
}

static void test_full__drop_counts_in_the_chain(void **state)
{
    struct audit_fixture *fixture = *state;
    fixture->config.on_full = SG_AUDIT_DROP;
    struct sg_audit_stats stats;
    struct sg_audit *audit = audit_start(fixture);
    limit_files(1);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(audit_try(audit, "maybe", 0), SIGNET_OK);
    }
    sg_audit_stats_get(audit, &stats);
    assert_true(stats.num_dropped > 0);
    limit_files(0);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    json_t *lines = audit_lines(fixture);
    size_t written = audit_count(lines, "jti", "maybe");
    json_int_t told = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        if (strcmp(json_string_value(json_object_get(line, "event")), "dropped") == 0) {
            told += number_of(line, "count");
        }
    }
    assert_int_equal(told, stats.num_dropped);
    assert_int_equal(written + stats.num_dropped, 3000);
    json_decref(lines);
}

/* Records that could not be written wait for the next start. */
static void test_full__the_queue_outlives_the_process(void **state)
{
    struct audit_fixture *fixture = *state;
    struct sg_audit *audit = audit_start(fixture);
    audit_record(audit, "before");
    audit_flush(audit);
    limit_files(1);
    size_t num = fill_queue(audit);
    sg_audit_free(audit); /* gives up after a while */
    json_t *result = audit_verify(fixture);
    assert_int_equal(number_of(result, "waiting"), num);
    json_decref(result);
    /* A start on a full disk works. */
    audit = audit_start(fixture);
    limit_files(0);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    expect_jtis(fixture, "full", num);
}

/* A disk that is really full, for those who may mount one. */
static void test_full__on_a_disk_without_room(void **state)
{
    struct audit_fixture *fixture = *state;
    char filler[160];
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", fixture->dir, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        print_message("SKIPPED: cannot mount a small disk: %s\n", strerror(errno));
        skip();
    }
    struct sg_audit *audit = audit_start(fixture);
    audit_record(audit, "before");
    audit_flush(audit);
    (void)snprintf(filler, sizeof(filler), "%s/filler", fixture->dir);
    FILE *file = fopen(filler, "we");
    assert_non_null(file);
    while (fputc('x', file) != EOF) {
    }
    (void)fclose(file);
    size_t num = fill_queue(audit);
    await(is_stuck, audit);
    json_t *result = audit_verify(fixture);
    assert_true(number_of(result, "waiting") > 0);
    json_decref(result);
    assert_int_equal(unlink(filler), 0);
    audit_record(audit, "after");
    sg_audit_free(audit);
    audit_expect_good(fixture);
    expect_jtis(fixture, "full", num);
    assert_int_equal(umount(fixture->dir), 0);
}

/* ---- Floods ---- */

static void test_notes__are_counted_above_the_budget(void **state)
{
    struct audit_fixture *fixture = *state;
    struct sg_audit *audit = audit_start(fixture);
    for (int i = 0; i < 5000; i++) {
        audit_refuse(audit, 1001, i % 2 == 0 ? "BAD_SIGNATURE" : "not a \"name\"\n");
    }
    for (int i = 0; i < 10; i++) {
        audit_refuse(audit, 1002, "POLICY"); /* another is not touched by that */
    }
    sg_audit_free(audit);
    audit_expect_good(fixture);
    json_t *lines = audit_lines(fixture);
    size_t written = audit_count(lines, "event", "deny");
    json_int_t suppressed = 0;
    json_int_t by_reason = 0;
    assert_int_equal(audit_count(lines, "reason", "POLICY"), 10);
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        const json_t *reasons = json_object_get(line, "reasons");
        suppressed += reasons != NULL ? number_of(line, "count") : 0;
        by_reason += number_of(reasons, "BAD_SIGNATURE") + number_of(reasons, "not_a__name__");
    }
    assert_in_range(written, SG_AUDIT_NOTE_BURST, 5009 - 1000);
    assert_int_equal(written + (size_t)suppressed, 5010);
    assert_int_equal(by_reason, suppressed);
    json_decref(lines);
}

/* ---- Files that somebody takes away ---- */

struct load {
    struct sg_audit *audit;
    atomic_bool stop;
    atomic_uint num;
};

static void *load_main(void *arg)
{
    struct load *load = arg;
    while (!atomic_load(&load->stop)) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "load-%u", atomic_load(&load->num));
        if (audit_try(load->audit, jti, PATIENCE_MS) == SIGNET_OK) {
            atomic_fetch_add(&load->num, 1);
        }
    }
    return NULL;
}

struct progress {
    struct load *load;
    unsigned num;
};

static bool has_progressed(void *data)
{
    const struct progress *progress = data;
    return atomic_load(&progress->load->num) >= progress->num;
}

static void await_progress(struct load *load, unsigned more)
{
    struct progress progress = {load, atomic_load(&load->num) + more};
    await(has_progressed, &progress);
}

static void first_file(const struct audit_fixture *fixture, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/" SG_AUDIT_FILE_PREFIX "%020d" SG_AUDIT_FILE_SUFFIX, fixture->dir,
                   1);
}

static void test_files__renamed_under_load_are_noticed(void **state)
{
    struct audit_fixture *fixture = *state;
    char path[200];
    char moved[220];
    pthread_t thread;
    struct load load = {.audit = audit_start(fixture)};
    first_file(fixture, path, sizeof(path));
    (void)snprintf(moved, sizeof(moved), "%s.1", path);
    assert_int_equal(pthread_create(&thread, NULL, load_main, &load), 0);
    await_progress(&load, 200);
    audit_flush(load.audit);
    assert_int_equal(rename(path, moved), 0);
    await_progress(&load, 500);
    audit_flush(load.audit);
    await_progress(&load, 500);
    atomic_store(&load.stop, true);
    (void)pthread_join(thread, NULL);
    sg_audit_free(load.audit);
    json_t *result = audit_verify(fixture); /* it is still there, under another name */
    assert_int_equal(number_of(result, "num_files"), 2);
    json_decref(result);
    json_t *lines = audit_lines(fixture);
    assert_int_equal(audit_count(lines, "why", "renamed"), 1);
    json_decref(lines);
    expect_jtis(fixture, "load", 100);
}

static void test_files__deleted_under_load_are_missed(void **state)
{
    struct audit_fixture *fixture = *state;
    char path[200];
    pthread_t thread;
    struct load load = {.audit = audit_start(fixture)};
    first_file(fixture, path, sizeof(path));
    assert_int_equal(pthread_create(&thread, NULL, load_main, &load), 0);
    await_progress(&load, 200);
    audit_flush(load.audit);
    assert_int_equal(unlink(path), 0);
    await_progress(&load, 500);
    audit_flush(load.audit);
    atomic_store(&load.stop, true);
    (void)pthread_join(thread, NULL);
    sg_audit_free(load.audit);
    json_t *lines = audit_lines(fixture);
    assert_int_equal(audit_count(lines, "why", "deleted"), 1);
    json_decref(lines);
    json_t *result = audit_tool(fixture, 1, "verify", NULL);
    assert_int_equal(number_of(result, "num_faults"), 1);
    json_decref(result);
}

static void test_files__rotate_and_are_pruned(void **state)
{
    struct audit_fixture *fixture = *state;
    audit_has_heads(fixture);
    fixture->config.max_file_mib = 1;
    fixture->config.max_files = 2;
    struct sg_audit *audit = audit_start(fixture);
    audit_write_keys(fixture);
    for (int i = 0; i < 8000; i++) {
        audit_record(audit, "many");
    }
    audit_flush(audit);
    audit_push_clocks(86400u * 1000u); /* and for its age */
    audit_record(audit, "aged");
    sg_audit_free(audit);
    json_t *result = audit_verify(fixture);
    assert_int_equal(number_of(result, "num_files"), 2);
    assert_true(number_of(result, "first") > 1);
    json_decref(result);
    json_t *lines = audit_lines(fixture);
    assert_int_equal(audit_count(lines, "why", "age"), 1);
    assert_true(audit_count(lines, "event", "pruned") > 0);
    json_decref(lines);

    /* But not by somebody else. */
    char command[200];
    (void)snprintf(command, sizeof(command), "rm \"$(ls %s/audit-* | head -n 1)\"", fixture->dir);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct test_output output;
    test_run(argv, NULL, PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    json_decref(audit_tool(fixture, 1, "verify", NULL));
}

/* ---- SIGKILL ---- */

/* Writes records, and says after each that it is acknowledged. Never returns. */
static void kills_child(const struct audit_fixture *fixture, unsigned round, int acks)
{
    char error[SG_AUDIT_MAX_ERROR] = "";
    struct sg_audit *audit = NULL;
    struct sg_audit_options options = fixture->options;
    options.config = &fixture->config;
    if (sg_audit_new(&options, &audit, error) != SIGNET_OK) {
        _exit(1);
    }
    for (uint32_t i = 0;; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "%u-%u", round, i);
        if (audit_try(audit, jti, PATIENCE_MS) != SIGNET_OK ||
            write(acks, &i, sizeof(i)) != (ssize_t)sizeof(i)) {
            _exit(1);
        }
    }
}

/* How many records of one child were acknowledged. */
static uint32_t kills_round(const struct audit_fixture *fixture, unsigned round)
{
    int acks[2];
    uint32_t ack = 0;
    uint32_t num = 0;
    uint32_t random = 0;
    int wait_status = 0;
    assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
    assert_int_equal(pipe2(acks, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(acks[0]);
        kills_child(fixture, round, acks[1]);
    }
    (void)close(acks[1]);
    /* The first record tells that it runs; then at any instant. Without one there may be nothing to look at yet. */
    if (round == 0 || random % 8 != 0) {
        assert_int_equal(read(acks[0], &ack, sizeof(ack)), sizeof(ack));
        num = ack + 1;
    }
    const struct timespec pause = {.tv_nsec = (long)(random % 20000u) * 1000L};
    (void)nanosleep(&pause, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
    while (read(acks[0], &ack, sizeof(ack)) == (ssize_t)sizeof(ack)) {
        num = ack + 1;
    }
    (void)close(acks[0]);
    return num;
}

static void test_kills__lose_no_acknowledged_record(void **state)
{
    struct audit_fixture *fixture = *state;
    uint32_t *acknowledged = calloc(num_kills, sizeof(*acknowledged));
    size_t num = 0;
    assert_non_null(acknowledged);
    for (unsigned round = 0; round < num_kills; round++) {
        acknowledged[round] = kills_round(fixture, round);
        /* Whatever state it was left in is no sign of a fault. */
        if (round % KILLS_A_LOOK == 0) {
            audit_expect_good(fixture);
        }
    }
    struct sg_audit *audit = audit_start(fixture);
    sg_audit_free(audit);
    audit_expect_good(fixture);
    json_t *lines = audit_lines(fixture);
    json_t *seen = json_object();
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *jti = json_string_value(json_object_get(json_array_get(lines, i), "jti"));
        if (jti != NULL) {
            assert_null(json_object_get(seen, jti)); /* each once */
            assert_int_equal(json_object_set_new(seen, jti, json_true()), 0);
        }
    }
    for (unsigned round = 0; round < num_kills; round++) {
        for (uint32_t i = 0; i < acknowledged[round]; i++) {
            char jti[32];
            (void)snprintf(jti, sizeof(jti), "%u-%u", round, i);
            if (json_object_get(seen, jti) == NULL) {
                fail_msg("the record %s was acknowledged and is not there", jti);
            }
            num++;
        }
    }
    print_message("%u kills, %zu acknowledged records\n", num_kills, num);
    json_decref(seen);
    json_decref(lines);
    free(acknowledged);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        num_kills = (unsigned)strtoul(argv[1], NULL, 10);
    }
    /* The tests of files that may not grow set their limit for the whole process. */
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_audit__is_a_chain, audit_setup, audit_teardown),
        cmocka_unit_test_setup_teardown(test_audit__can_be_checked_with_sha256sum, audit_setup,
                                        audit_teardown),
        cmocka_unit_test(test_audit__off_does_nothing),
        cmocka_unit_test_setup_teardown(test_audit__refuses_what_others_could_change, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_heads__vouch_for_what_is_before_them, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_heads__are_written_at_intervals_and_after_failures,
                                        audit_setup, audit_teardown),
        cmocka_unit_test_setup_teardown(test_full__block_waits_for_room_and_no_longer_than_asked,
                                        audit_setup, audit_teardown),
        cmocka_unit_test_setup_teardown(test_full__deny_refuses_at_once, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_places__are_shared_between_uids, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(
            test_full__what_is_done_without_a_place_is_recorded_if_it_fits, audit_setup,
            audit_teardown),
        cmocka_unit_test_setup_teardown(test_full__drop_counts_in_the_chain, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_full__the_queue_outlives_the_process, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_notes__are_counted_above_the_budget, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_files__renamed_under_load_are_noticed, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_files__deleted_under_load_are_missed, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_files__rotate_and_are_pruned, audit_setup,
                                        audit_teardown),
        cmocka_unit_test_setup_teardown(test_kills__lose_no_acknowledged_record, audit_setup,
                                        audit_teardown),
        /* The last: it gives this process a view of the file system of its own. */
        cmocka_unit_test_setup_teardown(test_full__on_a_disk_without_room, audit_setup,
                                        audit_teardown),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
