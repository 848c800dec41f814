/* SPDX-License-Identifier: Apache-2.0
 *
 * The state database: what was acknowledged is there after any end, what is damaged or not ours is
 * refused and left alone, and only an end in order, of the same files, counts as one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/limits.h"
#include "server/store.h"
#include "state_fixture.h"
#include "tests/support/files.h"

#define TEST_NOW 1700000000

/* ---- Records ---- */

static void must_write(struct sg_store *store, const struct sg_store_expiry *expiries, size_t num)
{
    char error[1024] = "";
    if (sg_store_write_expiries(store, expiries, num, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

/* num records of kids 0, 1, ...; what is in them follows from generation. */
struct batch {
    size_t num;
    struct sg_store_expiry *expiries;
    char (*kids)[48];
};

static struct batch batch_new(size_t num, int64_t generation)
{
    struct batch batch = {.num = num};
    batch.expiries = calloc(num, sizeof(*batch.expiries));
    batch.kids = calloc(num, sizeof(*batch.kids));
    assert_non_null(batch.expiries);
    assert_non_null(batch.kids);
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(batch.kids[i], sizeof(batch.kids[i]), "%043zu", i);
        batch.expiries[i] =
            (struct sg_store_expiry){.keyset = i % 2 == 0 ? "login" : "orders",
                                     .kid = batch.kids[i],
                                     .last_expiry = TEST_NOW + 1000 * generation + (int64_t)i,
                                     .recorded_at = TEST_NOW + generation};
    }
    return batch;
}

static void batch_free(struct batch *batch)
{
    free(batch->expiries);
    free(batch->kids);
}

static void write_batch(struct sg_store *store, size_t num, int64_t generation)
{
    struct batch batch = batch_new(num, generation);
    must_write(store, batch.expiries, batch.num);
    batch_free(&batch);
}

/* Sees that all records are those of one batch, each once. */
struct reading {
    size_t num;
    int64_t generation; /* -1: not known yet */
    bool is_wrong;
    uint8_t seen[10000];
};

static void visit_record(void *context, const struct sg_store_expiry *expiry)
{
    struct reading *reading = context;
    size_t index = strtoul(expiry->kid, NULL, 10);
    int64_t generation = expiry->recorded_at - TEST_NOW;
    if (reading->generation < 0) {
        reading->generation = generation;
    }
    reading->is_wrong = reading->is_wrong || index >= sizeof(reading->seen) ||
                        reading->seen[index] != 0 || strlen(expiry->kid) != 43 ||
                        generation != reading->generation ||
                        expiry->last_expiry != TEST_NOW + 1000 * generation + (int64_t)index ||
                        strcmp(expiry->keyset, index % 2 == 0 ? "login" : "orders") != 0;
    if (!reading->is_wrong) {
        reading->seen[index] = 1;
    }
    reading->num++;
}

/* How many there are; *generation is -1 if there are none. */
static size_t read_batch(struct sg_store *store, int64_t *generation)
{
    static struct reading reading;
    char error[1024] = "";
    memset(&reading, 0, sizeof(reading));
    reading.generation = -1;
    if (sg_store_read_expiries(store, visit_record, &reading, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_false(reading.is_wrong);
    *generation = reading.generation;
    return reading.num;
}

static void must_have(struct sg_store *store, size_t num, int64_t generation)
{
    int64_t found = -1;
    assert_int_equal(read_batch(store, &found), num);
    assert_int_equal(found, num == 0 ? -1 : generation);
}

static void must_freeze(struct sg_store *store, const char *grant, int64_t since)
{
    char error[1024] = "";
    if (sg_store_freeze(store, grant, since, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

static void must_thaw(struct sg_store *store, const char *grant)
{
    char error[1024] = "";
    if (sg_store_thaw(store, grant, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

#define MAX_FROZEN_TEXT 1024

static void collect_frozen(void *context, const char *grant, int64_t since)
{
    char *text = context;
    size_t len = strlen(text);
    (void)snprintf(text + len, MAX_FROZEN_TEXT - len, "%s@%" PRId64 " ", grant, since);
}

/* All that are frozen, such as "a@1 b@2 ". */
static void must_have_frozen(struct sg_store *store, const char *expected)
{
    char text[MAX_FROZEN_TEXT] = "";
    char error[1024] = "";
    if (sg_store_read_frozen(store, collect_frozen, text, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(text, expected);
}

/* A store that stopped in order, with records. */
static void make_stopped(const char *dir, size_t num)
{
    struct sg_store *store = state_open(dir);
    write_batch(store, num, 1);
    state_must_stop(store);
}

#define NUM_LONG 6 /* records of the longest names, which fill a page */

struct long_name {
    char text[SG_MAX_JTI_LEN + 1];
};

static struct long_name long_name(size_t i)
{
    struct long_name name;
    memset(name.text, 'a' + (int)i, sizeof(name.text) - 1);
    name.text[sizeof(name.text) - 1] = '\0';
    return name;
}

/* Forgets num used tokens that were good for less than now. */
static void forget_consumed(struct sg_store *store, int64_t now, size_t num)
{
    char error[1024] = "";
    size_t num_forgotten = 0;
    assert_int_equal(
        sg_store_forget_consumed(store, now, SIZE_MAX, &num_forgotten, error, sizeof(error)),
        SIGNET_OK);
    assert_int_equal(num_forgotten, num);
}

/* The same with records in every table. */
static void make_stopped_full(const char *dir, size_t num)
{
    struct sg_store *store = state_open(dir);
    write_batch(store, num, 1);
    must_freeze(store, "billing", 17);
    must_freeze(store, "orders", 18);
    state_revoke(store, SG_STORE_REVOKED_SUBJECT, "https://a", "ann", 5, 6);
    state_revoke(store, SG_STORE_REVOKED_KEYSET, "login", "", 7, INT64_MAX);
    assert_int_equal(state_consume(store, "https://a", "j1", TEST_NOW, 1000, 9), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "https://a", "j2", TEST_NOW, 1001, 9), SG_STORE_CONSUMED);
    for (size_t i = 0; i < NUM_LONG; i++) {
        struct long_name name = long_name(i);
        state_revoke(store, SG_STORE_REVOKED_TOKEN, name.text, name.text, 8, 9);
        assert_int_equal(state_consume(store, name.text, name.text, TEST_NOW, 7, 9),
                         SG_STORE_CONSUMED);
    }
    assert_int_equal(state_consume(store, "https://a", "j0", 1, 1000, 9), SG_STORE_CONSUMED);
    forget_consumed(store, 2, 1);
    state_must_stop(store);
}

/* What that wrote into the tables of revocations and of used tokens, and nothing else. */
static void must_have_full(struct sg_store *store)
{
    char text[4096] = "";
    for (size_t i = 0; i < NUM_LONG; i++) {
        struct long_name name = long_name(i);
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof(text) - len, "1 %s %s 8 9; ", name.text, name.text);
        assert_int_equal(state_consume(store, name.text, name.text, 1, 1, 9), SG_STORE_REPLAYED);
    }
    size_t len = strlen(text);
    (void)snprintf(text + len, sizeof(text) - len,
                   "2 https://a ann 5 6; 3 login  7 9223372036854775807; ");
    state_must_have_revoked(store, text);
    assert_int_equal(state_consume(store, "https://a", "j1", 1, 1, 9), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "https://a", "j2", 1, 1, 9), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "https://a", "j0", 1, 1, 9), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "https://a", "j3", 2, 1000, 1), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "https://a", "j3", 2, 1001, 1), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "https://a", "j3", 2, 7, NUM_LONG), SG_STORE_FULL);
}

static void must_open_unclean(const char *dir, size_t num)
{
    struct sg_store *store = state_open(dir);
    assert_false(sg_store_was_clean(store));
    must_have(store, num, 1);
    sg_store_close(store);
}

/* ---- What was written ---- */

static void test_records__come_back(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    must_have(store, 0, 0);
    write_batch(store, 5, 1);
    must_have(store, 5, 1);
    sg_store_close(store);
    store = state_open(place->dir);
    must_have(store, 5, 1);
    write_batch(store, 0, 1);
    must_have(store, 5, 1);
    state_must_stop(store);
    store = state_open(place->dir);
    must_have(store, 5, 1);
    sg_store_close(store);
}

/* By earlier times as well: the store has no opinion. */
static void test_records__replace_those_of_the_same_key(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 5, 3);
    write_batch(store, 5, 2);
    must_have(store, 5, 2);
    sg_store_close(store);
    store = state_open(place->dir);
    must_have(store, 5, 2);
    sg_store_close(store);
}

static void collect_expiry(void *context, const struct sg_store_expiry *expiry)
{
    char *text = context;
    size_t len = strlen(text);
    (void)snprintf(text + len, 256 - len, "%s/%s=%lld@%lld ", expiry->keyset, expiry->kid,
                   (long long)expiry->last_expiry, (long long)expiry->recorded_at);
}

static void test_records__are_told_apart_by_keyset_and_kid(void **state)
{
    const struct state_place *place = *state;
    const struct sg_store_expiry expiries[] = {
        {.keyset = "a", .kid = "b", .last_expiry = 0, .recorded_at = 1},
        {.keyset = "b", .kid = "b", .last_expiry = INT64_MAX, .recorded_at = INT64_MIN},
        {.keyset = "b", .kid = "\xc3\xa4 '\";--", .last_expiry = -1, .recorded_at = 2},
    };
    char text[256] = "";
    char error[256] = "";
    struct sg_store *store = state_open(place->dir);
    must_write(store, expiries, 3);
    sg_store_close(store);
    store = state_open(place->dir);
    assert_int_equal(sg_store_read_expiries(store, collect_expiry, text, error, sizeof(error)),
                     SIGNET_OK);
    assert_string_equal(text, "a/b=0@1 b/b=9223372036854775807@-9223372036854775808 "
                              "b/\xc3\xa4 '\";--=-1@2 ");
    sg_store_close(store);
}

static void test_records__with_long_names_are_refused_with_their_batch(void **state)
{
    const struct state_place *place = *state;
    char name[SG_MAX_KID_LEN + 2];
    char error[1024] = "";
    struct batch batch = batch_new(5, 2);
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 5, 1);

    memset(name, 'k', sizeof(name));
    name[SG_MAX_KID_LEN + 1] = '\0';
    batch.expiries[4].kid = name;
    assert_int_equal(
        sg_store_write_expiries(store, batch.expiries, batch.num, error, sizeof(error)),
        SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "too long"));
    must_have(store, 5, 1);
    batch.expiries[4].kid = batch.kids[4];
    name[SG_MAX_KEYSET_NAME_LEN + 1] = '\0';
    batch.expiries[4].keyset = name;
    assert_int_equal(
        sg_store_write_expiries(store, batch.expiries, batch.num, error, sizeof(error)),
        SIGNET_INVALID_ARGUMENT);
    must_have(store, 5, 1);

    batch.expiries[4].keyset = "login";
    must_write(store, batch.expiries, batch.num);
    must_have(store, 5, 2);
    batch_free(&batch);
    sg_store_close(store);
}

static void test_records__ten_thousand_at_once(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 10000, 1);
    write_batch(store, 10000, 2);
    must_have(store, 10000, 2);
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    must_have(store, 10000, 2);
    sg_store_close(store);
}

/* ---- Frozen grants ---- */

static void test_frozen__come_back_until_they_are_thawed(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    must_have_frozen(store, "");
    must_freeze(store, "orders", 2);
    must_freeze(store, "login", INT64_MAX);
    must_freeze(store, "stays", 3);
    write_batch(store, 5, 1);
    must_have_frozen(store, "login@9223372036854775807 orders@2 stays@3 ");
    sg_store_close(store);
    store = state_open(place->dir);
    must_have_frozen(store, "login@9223372036854775807 orders@2 stays@3 ");
    must_thaw(store, "orders");
    must_thaw(store, "orders");
    must_thaw(store, "never was");
    must_have_frozen(store, "login@9223372036854775807 stays@3 ");
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    must_have_frozen(store, "login@9223372036854775807 stays@3 ");
    must_have(store, 5, 1);
    sg_store_close(store);
}

static void test_frozen__again_replaces_the_time(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    must_freeze(store, "login", 7);
    must_freeze(store, "login", 5);
    must_have_frozen(store, "login@5 ");
    must_thaw(store, "login");
    must_freeze(store, "login", 6);
    sg_store_close(store);
    store = state_open(place->dir);
    must_have_frozen(store, "login@6 ");
    sg_store_close(store);
}

static void must_refuse_grant(struct sg_store *store, const char *grant, int64_t since)
{
    char error[1024] = "";
    assert_int_equal(sg_store_freeze(store, grant, since, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "expected a name of 1 to 64 bytes and a time after 1970"));
}

static void test_frozen__of_no_name_or_no_time_are_refused(void **state)
{
    const struct state_place *place = *state;
    char name[SG_MAX_GRANT_NAME_LEN + 2];
    char expected[MAX_FROZEN_TEXT];
    char error[1024] = "";
    struct sg_store *store = state_open(place->dir);
    memset(name, 'g', sizeof(name));
    name[SG_MAX_GRANT_NAME_LEN + 1] = '\0';
    must_refuse_grant(store, name, 1);
    assert_int_equal(sg_store_thaw(store, name, error, sizeof(error)), SIGNET_INVALID_ARGUMENT);
    must_refuse_grant(store, "", 1);
    assert_int_equal(sg_store_thaw(store, "", error, sizeof(error)), SIGNET_INVALID_ARGUMENT);
    must_refuse_grant(store, "login", 0);
    must_refuse_grant(store, "login", -1);
    must_have_frozen(store, "");

    name[SG_MAX_GRANT_NAME_LEN] = '\0';
    must_freeze(store, name, 1);
    must_freeze(store, "\xc3\xa4 '\";--", 2);
    (void)snprintf(expected, sizeof(expected), "%s@1 \xc3\xa4 '\";--@2 ", name);
    sg_store_close(store);
    store = state_open(place->dir);
    must_have_frozen(store, expected);
    sg_store_close(store);
}

/* ---- Threads ---- */

#define THREAD_ROUNDS 60

struct thread_work {
    struct sg_store *store;
    bool failed;
};

/* Every other batch, of another generation, fails at its end and takes back what is in its transaction. */
static void *write_and_fail(void *context)
{
    struct thread_work *work = context;
    char error[1024] = "";
    struct batch good = batch_new(50, 1);
    struct batch bad = batch_new(2000, 2);
    bad.expiries[1999].keyset =
        "a name that is longer than any keyset's, and so no name, whatever it says";
    for (size_t i = 0; i < THREAD_ROUNDS; i++) {
        work->failed = work->failed ||
                       sg_store_write_expiries(work->store, bad.expiries, 2000, error,
                                               sizeof(error)) != SIGNET_INVALID_ARGUMENT ||
                       sg_store_write_expiries(work->store, good.expiries, 50, error,
                                               sizeof(error)) != SIGNET_OK;
    }
    batch_free(&good);
    batch_free(&bad);
    return NULL;
}

/* Freezes many, and thaws every other again. */
static void *freeze_and_thaw(void *context)
{
    struct thread_work *work = context;
    char error[1024] = "";
    char name[32];
    for (int i = 0; i < THREAD_ROUNDS; i++) {
        (void)snprintf(name, sizeof(name), "%03d", i);
        work->failed =
            work->failed ||
            sg_store_freeze(work->store, name, 1 + i, error, sizeof(error)) != SIGNET_OK ||
            (i % 2 == 0 && sg_store_thaw(work->store, name, error, sizeof(error)) != SIGNET_OK);
    }
    return NULL;
}

struct thread_view {
    bool is_there[THREAD_ROUNDS];
    size_t num_expiries;
    bool failed;
};

static void view_frozen(void *context, const char *grant, int64_t since)
{
    struct thread_view *view = context;
    size_t index = strtoul(grant, NULL, 10);
    if (index >= THREAD_ROUNDS || since != 1 + (int64_t)index) {
        view->failed = true;
    } else {
        view->is_there[index] = true;
    }
}

static void view_expiry(void *context, const struct sg_store_expiry *expiry)
{
    struct thread_view *view = context;
    view->failed = view->failed || expiry->recorded_at != TEST_NOW + 1;
    view->num_expiries++;
}

/* Asserts nothing, as long as other threads are at it. */
static struct thread_view view_all(struct sg_store *store)
{
    struct thread_view view = {0};
    char error[1024] = "";
    bool was_read =
        sg_store_read_frozen(store, view_frozen, &view, error, sizeof(error)) == SIGNET_OK &&
        sg_store_read_expiries(store, view_expiry, &view, error, sizeof(error)) == SIGNET_OK;
    view.failed = view.failed || !was_read || (view.num_expiries != 0 && view.num_expiries != 50);
    return view;
}

static void test_threads__do_not_take_part_in_each_others_transactions(void **state)
{
    const struct state_place *place = *state;
    struct thread_work writing = {.store = state_open(place->dir)};
    struct thread_work freezing = writing;
    struct thread_view view = {0};
    pthread_t writer;
    pthread_t freezer;
    assert_int_equal(pthread_create(&writer, NULL, write_and_fail, &writing), 0);
    assert_int_equal(pthread_create(&freezer, NULL, freeze_and_thaw, &freezing), 0);
    for (size_t i = 0; i < 10 * (size_t)THREAD_ROUNDS && !view.failed; i++) {
        view = view_all(writing.store);
    }
    assert_int_equal(pthread_join(freezer, NULL), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_false(view.failed);
    assert_false(writing.failed);
    assert_false(freezing.failed);
    sg_store_close(writing.store);

    struct sg_store *store = state_open(place->dir);
    view = view_all(store);
    assert_false(view.failed);
    for (size_t i = 0; i < THREAD_ROUNDS; i++) {
        assert_int_equal(view.is_there[i], i % 2 == 1);
    }
    must_have(store, 50, 1);
    sg_store_close(store);
}

static void test_files__are_private_and_few(void **state)
{
    const struct state_place *place = *state;
    struct stat info;
    mode_t old = umask(0);
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 5, 1);
    assert_int_equal(stat(state_path(place->dir, "state.db").text, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_int_equal(stat(state_path(place->dir, "state.db-wal").text, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_false(state_has_file(place->dir, "state.db-shm"));
    state_must_stop(store);
    (void)umask(old);
    assert_int_equal(stat(state_path(place->dir, "stopped").text, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_false(state_has_file(place->dir, "state.db-wal"));
    assert_false(state_has_file(place->dir, "state.db.new"));
}

static void test_null__is_legal(void **state)
{
    (void)state;
    char error[16] = "";
    sg_store_close(NULL);
    assert_int_equal(sg_store_stop(NULL, error, sizeof(error)), SIGNET_OK);
}

/* ---- The mark of a clean stop ---- */

static void test_mark__counts_once(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_false(sg_store_was_clean(store)); /* a new one never is */
    sg_store_close(store);
    store = state_open(place->dir);
    assert_false(sg_store_was_clean(store));
    state_must_stop(store);
    assert_true(state_has_file(place->dir, "stopped"));

    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    assert_false(state_has_file(place->dir, "stopped"));
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    write_batch(store, 5, 1);
    sg_store_close(store);
    must_open_unclean(place->dir, 5);
}

static void test_mark__of_another_database_does_not_count(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    make_stopped(place->other, 5);
    char *mark = test_read_file(state_path(place->dir, "stopped").text, NULL);
    char *other = test_read_file(state_path(place->other, "stopped").text, NULL);
    assert_non_null(mark);
    assert_non_null(other);
    /* Whatever the file system says of the files: the number. */
    assert_memory_equal(mark, other, strlen("stopped "));
    assert_memory_not_equal(mark, other, strlen("stopped 0123456789abcdef"));
    free(other);
    free(mark);
    state_copy_file(place->other, place->dir, "stopped");
    must_open_unclean(place->dir, 5);

    make_stopped(place->dir, 5);
    state_copy_file(place->other, place->dir, "state.db");
    must_open_unclean(place->dir, 5);

    make_stopped(place->dir, 5);
    assert_int_equal(unlink(state_path(place->dir, "state.db").text), 0);
    must_open_unclean(place->dir, 0);
}

/* The backup is of the same database, and as it was it was clean. */
static void test_mark__of_a_backup_does_not_count(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    state_copy_all(place->dir, place->other);
    make_stopped(place->dir, 5);
    state_copy_file(place->other, place->dir, "state.db");
    must_open_unclean(place->dir, 5);

    make_stopped(place->dir, 5);
    state_copy_all(place->other, place->dir);
    must_open_unclean(place->dir, 5);
    state_copy_all(place->other, place->dir);
    must_open_unclean(place->dir, 5);
}

static void test_mark__counts_if_the_directory_was_moved(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    assert_int_equal(rename(place->dir, place->other), 0);
    struct sg_store *store = state_open(place->other);
    assert_true(sg_store_was_clean(store));
    must_have(store, 5, 1);
    sg_store_close(store);
    assert_int_equal(mkdir(place->dir, 0700), 0);
}

static void test_mark__damaged_or_beside_a_log_does_not_count(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    size_t len = 0;
    char *mark = test_read_file(state_path(place->dir, "stopped").text, &len);
    assert_non_null(mark);
    for (size_t i = 0; i < len; i++) {
        mark[i] ^= 1;
        state_put_file(place->dir, "stopped", mark, len);
        must_open_unclean(place->dir, 5);
        mark[i] ^= 1;
    }
    free(mark);
    state_put_file(place->dir, "stopped", "", 0);
    must_open_unclean(place->dir, 5);

    make_stopped(place->dir, 5);
    state_put_file(place->dir, "state.db-wal", "a log of something else", 23);
    must_open_unclean(place->dir, 5);
    assert_false(state_has_file(place->dir, "stopped"));
}

/* Nothing starts that could not be told from a clean stop if it crashed. */
static void test_mark__that_cannot_be_removed_stops_the_start(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    assert_int_equal(unlink(state_path(place->dir, "stopped").text), 0);
    assert_int_equal(mkdir(state_path(place->dir, "stopped").text, 0700), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "/stopped cannot be removed",
                      "rm -r ");
    assert_int_equal(rmdir(state_path(place->dir, "stopped").text), 0);
    must_open_unclean(place->dir, 5);
}

static void test_mark__that_cannot_be_set_fails_the_stop(void **state)
{
    const struct state_place *place = *state;
    char error[1024] = "";
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 5, 1);
    state_put_file(place->dir, "stopped", "", 0);
    assert_int_equal(sg_store_stop(store, error, sizeof(error)), SIGNET_INTERNAL);
    assert_non_null(strstr(error, "/stopped cannot be made: "));
    must_open_unclean(place->dir, 5);
}

static void test_mark__stays_if_the_start_was_refused(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    assert_int_equal(chmod(place->dir, 0770), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "mode 0770", "chmod go-w ");
    assert_int_equal(chmod(place->dir, 0700), 0);
    struct sg_store *store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    sg_store_close(store);
}

/* ---- Who may touch it ---- */

static void test_place__must_be_ours_alone(void **state)
{
    const struct state_place *place = *state;
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-journal"};
    state_must_refuse("/nonexistent/signet", SIGNET_FAILED_PRECONDITION,
                      "/nonexistent/signet cannot", "expected a directory");
    make_stopped(place->dir, 5);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct state_path path = state_path(place->dir, names[i]);
        if (i > 0) {
            state_put_file(place->dir, names[i], "", 0);
        }
        assert_int_equal(chmod(path.text, 0640), 0);
        state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "mode 0640", "chmod 0600 ");
        assert_int_equal(chmod(path.text, 0600), 0);
    }
    assert_int_equal(chmod(place->dir, 0702), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "mode 0702", "chmod go-w ");
    assert_int_equal(chmod(place->dir, 0755), 0);
    must_open_unclean(place->dir, 5);
}

static void test_place__must_belong_to_us(void **state)
{
    const struct state_place *place = *state;
    struct state_path path = state_path(place->dir, "state.db");
    if (geteuid() != 0) {
        print_message("only root can give a file to another user\n");
        skip();
    }
    make_stopped(place->dir, 5);
    assert_int_equal(chown(path.text, 12345, 12345), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "belongs to uid 12345", "chown 0 ");
    assert_int_equal(chown(path.text, 0, 0), 0);
    assert_int_equal(chown(place->dir, 12345, 12345), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "belongs to uid 12345", "chown 0 ");
    assert_int_equal(chown(place->dir, 0, 0), 0);
    must_open_unclean(place->dir, 5);
}

static void test_place__links_lead_to_the_directory_and_not_to_the_file(void **state)
{
    const struct state_place *place = *state;
    struct state_path link = state_path(place->other, "link");
    make_stopped(place->dir, 5);
    assert_int_equal(symlink(place->dir, link.text), 0);
    struct sg_store *store = state_open(link.text);
    assert_true(sg_store_was_clean(store));
    sg_store_close(store);

    struct state_path file = state_path(place->other, "state.db");
    assert_int_equal(symlink(state_path(place->dir, "state.db").text, file.text), 0);
    state_must_refuse(place->other, SIGNET_FAILED_PRECONDITION, "is no regular file", "move it");
}

/* Opens in a process of its own and holds it until told is closed. */
static pid_t hold_open(const char *dir, int *told)
{
    int tell[2];
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sg_store *store = NULL;
        char error[256] = "";
        (void)close(tell[1]);
        bool opened = sg_store_open(dir, &store, error, sizeof(error)) == SIGNET_OK;
        if (!opened || write(ready[1], "r", 1) != 1 || read(tell[0], &byte, 1) != 0) {
            _exit(1);
        }
        _exit(0);
    }
    assert_true(child > 0);
    (void)close(tell[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    *told = tell[1];
    return child;
}

static void test_place__is_for_one_process(void **state)
{
    const struct state_place *place = *state;
    int told = -1;
    int status = 0;
    make_stopped(place->dir, 5);
    pid_t child = hold_open(place->dir, &told);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "open in another program",
                      "fuser -v ");
    (void)close(told);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    must_open_unclean(place->dir, 5);
}

/* ---- Not ours ---- */

static void test_foreign__databases_are_left_alone(void **state)
{
    const struct state_place *place = *state;
    state_run_sql(place->dir, "CREATE TABLE expiry(a, b); INSERT INTO expiry VALUES(1, 2)");
    state_must_refuse_untouched(place->dir, "another program");
    state_run_sql(place->dir,
                  "PRAGMA application_id=7; PRAGMA user_version=1; PRAGMA journal_mode=WAL");
    state_must_refuse_untouched(place->dir, "another program");
    state_put_file(place->dir, "state.db", "sessions: none\n", 15);
    state_must_refuse_untouched(place->dir, "no database");
    state_put_file(place->dir, "state.db", "", 0);
    state_must_refuse_untouched(place->dir, "no database");
}

static void test_future__databases_are_left_alone(void **state)
{
    const struct state_place *place = *state;
    make_stopped(place->dir, 5);
    state_run_sql(place->dir, "PRAGMA user_version=5");
    state_must_refuse_untouched(place->dir,
                                "newer signetd (version 5 of the database, this one knows 4)");
    state_run_sql(place->dir, "PRAGMA user_version=-1");
    state_must_refuse_untouched(place->dir, "damaged");
    state_run_sql(place->dir, "PRAGMA user_version=0");
    state_must_refuse_untouched(place->dir, "damaged");
    state_run_sql(place->dir, "PRAGMA user_version=4");
    must_open_unclean(place->dir, 5);
}

/* A newer signetd crashed before it moved its log into the database. */
static void test_future__is_seen_in_the_log(void **state)
{
    const struct state_place *place = *state;
    sqlite3 *db = NULL;
    make_stopped(place->dir, 5);
    assert_int_equal(sqlite3_open(state_path(place->dir, "state.db").text, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA user_version=5", NULL, NULL, NULL),
        SQLITE_OK);
    state_copy_all(place->dir, place->other);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(state_has_file(place->other, "state.db-wal"));
    state_must_refuse_untouched(place->other, "newer signetd");
    state_must_refuse_untouched(place->other, "newer signetd");
    /* It was a matter of the log alone. */
    assert_int_equal(unlink(state_path(place->other, "state.db-wal").text), 0);
    must_open_unclean(place->other, 5);
}

static void test_schema__of_other_hands_is_refused(void **state)
{
    const struct state_place *place = *state;
    static const char *const changes[] = {
        "CREATE TRIGGER later AFTER UPDATE ON expiry BEGIN DELETE FROM expiry; END",
        "CREATE VIEW more AS SELECT 1",
        "ALTER TABLE expiry ADD COLUMN more INTEGER",
        "DROP TABLE meta",
        "DELETE FROM meta",
        "UPDATE expiry SET last_expiry=last_expiry+1 WHERE kid LIKE '%3'",
        "UPDATE expiry SET kid='x' WHERE kid LIKE '%3'",
        "INSERT INTO expiry VALUES('login', printf('%.1000c', 'k'), 1, 2, 3)",
        "CREATE TRIGGER later AFTER INSERT ON frozen BEGIN DELETE FROM frozen; END",
        "ALTER TABLE frozen ADD COLUMN more INTEGER",
        "DROP TABLE frozen",
        "PRAGMA user_version=1", /* which has no such table */
        "UPDATE frozen SET since=since+1 WHERE name='orders'",
        "UPDATE frozen SET name='order' WHERE name='orders'",
        "UPDATE frozen SET digest=digest+1 WHERE name='orders'",
        "INSERT INTO frozen VALUES('login', 1, 2)",
        "INSERT INTO frozen VALUES(printf('%.1000c', 'g'), 1, 2)",
        "PRAGMA user_version=2", /* which has neither of these */
        "ALTER TABLE revocation ADD COLUMN more INTEGER",
        "DROP TABLE revocation",
        "CREATE INDEX revocation_until ON revocation(until)",
        "CREATE TRIGGER later AFTER INSERT ON revocation BEGIN DELETE FROM revocation; END",
        "UPDATE revocation SET kind=1 WHERE name='ann'",
        "UPDATE revocation SET scope='https://b' WHERE name='ann'",
        "UPDATE revocation SET name='anne' WHERE name='ann'",
        "UPDATE revocation SET at=at-1 WHERE name='ann'",
        "UPDATE revocation SET until=until-1 WHERE name='ann'",
        "UPDATE revocation SET by=by+1 WHERE name='ann'",
        "UPDATE revocation SET by=by+4294967296 WHERE name='ann'",
        "UPDATE revocation SET reason='none' WHERE name='ann'",
        "UPDATE revocation SET digest=digest+1 WHERE name='ann'",
        "INSERT INTO revocation VALUES(4, 'login', printf('%.1000c', 'k'), 1, 2, 3, '', 4)",
        "ALTER TABLE consumed ADD COLUMN more INTEGER",
        "DROP TABLE consumed",
        "CREATE INDEX consumed_until ON consumed(until)",
        "UPDATE consumed SET issuer='https://b' WHERE jti='j1'",
        "UPDATE consumed SET jti='j3' WHERE jti='j1'",
        "UPDATE consumed SET until=until-1 WHERE jti='j1'",
        "UPDATE consumed SET uid=uid+1 WHERE jti='j1'",
        "UPDATE consumed SET uid=uid+4294967296 WHERE jti='j1'",
        "UPDATE consumed SET digest=digest+1 WHERE jti='j1'",
        "INSERT INTO consumed VALUES(printf('%.1000c', 'i'), 'j', 1, 2, 3)",
        "PRAGMA user_version=3", /* which has no such table */
        "ALTER TABLE forgotten ADD COLUMN more INTEGER",
        "DROP TABLE forgotten",
        "UPDATE forgotten SET until=until-1",
        "UPDATE forgotten SET name='used'",
        "UPDATE forgotten SET digest=digest+1",
        "INSERT INTO forgotten VALUES('revocation', 1, 2)",
    };
    make_stopped_full(place->dir, 5);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        state_copy_file(place->dir, place->other, "state.db");
        state_run_sql(place->other, changes[i]);
        state_must_refuse_untouched(place->other, "damaged");
    }
}

/* Rows that nobody could have written here, with the digests that they would have. */
static void test_schema__rows_of_no_grant_are_refused_whatever_their_digest(void **state)
{
    const struct state_place *place = *state;
    static const char long_name[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
                                    "ffffffffff12345";
    const struct {
        const char *name, *sql_name;
        int since;
        bool is_good;
    } rows[] = {
        {"login", "'login'", 1, true}, /* the digest is as the store's */
        {"login", "'login'", 0, false},
        {"login", "'login'", -1, false},
        {"", "''", 1, false},
        {"login", "'login' || char(0)", 1, false},
        {"login", "'login' || char(0) || 'x'", 1, false},
        {long_name, NULL, 1, false},
    };
    assert_int_equal(strlen(long_name), SG_MAX_GRANT_NAME_LEN + 1);
    make_stopped_full(place->dir, 5);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[160];
        char sql[320];
        int len = snprintf(text, sizeof(text), "frozen %s %d", rows[i].name, rows[i].since);
        (void)snprintf(sql, sizeof(sql), "INSERT INTO frozen VALUES(%s%s%s, %d, %" PRId64 ")",
                       rows[i].sql_name == NULL ? "'" : "",
                       rows[i].sql_name == NULL ? rows[i].name : rows[i].sql_name,
                       rows[i].sql_name == NULL ? "'" : "", rows[i].since,
                       (int64_t)XXH3_64bits(text, (size_t)len));
        state_copy_file(place->dir, place->other, "state.db");
        state_run_sql(place->other, sql);
        if (!rows[i].is_good) {
            state_must_refuse_untouched(place->other, "damaged");
            continue;
        }
        struct sg_store *store = state_open(place->other);
        must_have_frozen(store, "billing@17 login@1 orders@18 ");
        sg_store_close(store);
    }
}

/* ---- Databases of before ---- */

/* What version 1 wrote for a batch of 5 of the first generation, digests included. */
#define VERSION_1_MAKE                                                                              \
    "PRAGMA synchronous=OFF; PRAGMA auto_vacuum=NONE; PRAGMA journal_mode=MEMORY; BEGIN IMMEDIATE;" \
    "PRAGMA application_id=1399287412; PRAGMA user_version=1;"                                      \
    "CREATE TABLE expiry(keyset TEXT NOT NULL, kid TEXT NOT NULL, last_expiry INTEGER NOT NULL, "   \
    "recorded_at INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(keyset, kid)) "             \
    "STRICT, WITHOUT ROWID;"                                                                        \
    "CREATE TABLE meta(stop_id INTEGER NOT NULL) STRICT;"                                           \
    "INSERT INTO meta VALUES(-8195871950557691210); COMMIT; PRAGMA journal_mode=WAL;"
#define VERSION_1_WRITE                                                                            \
    "INSERT INTO expiry VALUES"                                                                    \
    "('login','0000000000000000000000000000000000000000000',1700001000,1700000001,"                \
    "4237085644239842254),"                                                                        \
    "('orders','0000000000000000000000000000000000000000001',1700001001,1700000001,"               \
    "4813426527440779406),"                                                                        \
    "('login','0000000000000000000000000000000000000000002',1700001002,1700000001,"                \
    "263616439517159691),"                                                                         \
    "('orders','0000000000000000000000000000000000000000003',1700001003,1700000001,"               \
    "9130683672281201245),"                                                                        \
    "('login','0000000000000000000000000000000000000000004',1700001004,1700000001,"                \
    "2506083614823433293);"

/* Version 2 had frozen grants as well. */
#define VERSION_2_MAKE                                                                             \
    VERSION_1_MAKE "BEGIN; PRAGMA user_version=2;"                                                 \
                   "CREATE TABLE frozen(name TEXT NOT NULL PRIMARY KEY, since INTEGER NOT NULL, "  \
                   "digest INTEGER NOT NULL) STRICT, WITHOUT ROWID; COMMIT;"
#define VERSION_2_WRITE                                                                            \
    VERSION_1_WRITE "INSERT INTO frozen VALUES('billing',17,554429327594411513),"                  \
                    "('orders',18,8415046409993242240);"

/* Version 3 had what is revoked and what is used up. */
#define VERSION_3_MAKE                                                                             \
    VERSION_2_MAKE                                                                                 \
    "BEGIN; PRAGMA user_version=3;"                                                                \
    "CREATE TABLE revocation(kind INTEGER NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, "     \
    "at INTEGER NOT NULL, until INTEGER NOT NULL, by INTEGER NOT NULL, reason TEXT NOT NULL, "     \
    "digest INTEGER NOT NULL, PRIMARY KEY(kind, scope, name)) STRICT, WITHOUT ROWID;"              \
    "CREATE TABLE consumed(issuer TEXT NOT NULL, jti TEXT NOT NULL, until INTEGER NOT NULL, "      \
    "uid INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(issuer, jti)) "                    \
    "STRICT, WITHOUT ROWID; COMMIT;"

static const struct old_version {
    int64_t version;
    int num_tables;
    const char *make, *write;
    const char *frozen, *frozen_login; /* when it is taken over, and with login in addition */
    const char *future;                /* what makes it say that it is of a later one */
    const char *refused;               /* what a full disk says of it */
} old_versions[] = {
    {1, 2, VERSION_1_MAKE, VERSION_1_WRITE, "", "login@3 ", "PRAGMA user_version=2",
     "state.db cannot be brought from version 1 to 4: the disk is full"},
    {2, 3, VERSION_2_MAKE, VERSION_2_WRITE, "billing@17 orders@18 ",
     "billing@17 login@3 orders@18 ", "PRAGMA user_version=3",
     "state.db cannot be brought from version 2 to 4: the disk is full"},
    {3, 5, VERSION_3_MAKE, VERSION_2_WRITE, "billing@17 orders@18 ",
     "billing@17 login@3 orders@18 ", "PRAGMA user_version=4",
     "state.db cannot be brought from version 3 to 4: the disk is full"},
};
#define NUM_OLD_VERSIONS (sizeof(old_versions) / sizeof(old_versions[0]))

static void for_each_old(const struct state_place *place,
                         void (*check)(const struct state_place *place,
                                       const struct old_version *old))
{
    for (size_t i = 0; i < NUM_OLD_VERSIONS; i++) {
        check(place, &old_versions[i]);
    }
}

/* As an old version left it when it stopped in order, with its mark. */
static void make_old(const char *dir, const struct old_version *old)
{
    char mark[160];
    struct stat info;
    (void)unlink(state_path(dir, "state.db").text);
    (void)unlink(state_path(dir, "state.db-wal").text);
    state_run_sql(dir, old->make);
    state_run_sql(dir, old->write);
    assert_int_equal(stat(state_path(dir, "state.db").text, &info), 0);
    (void)snprintf(mark, sizeof(mark), "stopped 8e4269e2726bc2b6 %ju %jd %jd.%09ld\n",
                   (uintmax_t)info.st_ino, (intmax_t)info.st_size, (intmax_t)info.st_ctim.tv_sec,
                   info.st_ctim.tv_nsec);
    state_put_file(dir, "stopped", mark, strlen(mark));
}

/* It is of the old version or of the present one; which. */
static int64_t version_of(const char *dir, const struct old_version *old)
{
    int64_t version = state_ask_sql(dir, "PRAGMA user_version");
    assert_true(version == old->version || version == 4);
    assert_int_equal(state_ask_sql(dir, "SELECT count(*) FROM sqlite_schema"),
                     version == 4 ? 6 : old->num_tables);
    assert_int_equal(state_ask_sql(dir, "SELECT count(*) FROM expiry"), 5);
    return version;
}

/* Opens an old one, whatever has become of it, and sees that it is of version 4 from then on. */
static void must_be_taken_over(const char *dir, const struct old_version *old, bool is_clean)
{
    struct sg_store *store = state_open(dir);
    assert_int_equal(sg_store_was_clean(store), is_clean);
    assert_false(state_has_file(dir, "stopped"));
    must_have(store, 5, 1);
    must_have_frozen(store, old->frozen);
    state_must_have_revoked(store, "");
    must_freeze(store, "login", 3);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "https://a", "j", 1, 2);
    assert_int_equal(state_consume(store, "https://a", "j", 1, 1000, 1), SG_STORE_CONSUMED);
    state_must_stop(store);
    store = state_open(dir);
    assert_true(sg_store_was_clean(store));
    must_have(store, 5, 1);
    must_have_frozen(store, old->frozen_login);
    state_must_have_revoked(store, "1 https://a j 1 2; ");
    assert_int_equal(state_consume(store, "https://a", "j", 1, 1000, 1), SG_STORE_REPLAYED);
    state_must_stop(store);
    assert_int_equal(version_of(dir, old), 4);
}

static void check_is_taken_over_with_its_mark(const struct state_place *place,
                                              const struct old_version *old)
{
    make_old(place->dir, old);
    must_be_taken_over(place->dir, old, true);
    /* It says of that daemon's stop, and not that there is a mark. */
    make_old(place->dir, old);
    assert_int_equal(unlink(state_path(place->dir, "stopped").text), 0);
    must_be_taken_over(place->dir, old, false);
    make_old(place->dir, old);
    state_copy_all(place->dir, place->other);
    must_be_taken_over(place->other, old, false);
    /* And counts once. */
    make_old(place->dir, old);
    sg_store_close(state_open(place->dir));
    must_be_taken_over(place->dir, old, false);
}

static void test_old__is_taken_over_with_its_mark(void **state)
{
    for_each_old(*state, check_is_taken_over_with_its_mark);
}

static void check_after_a_crash_is_taken_over_with_its_log(const struct state_place *place,
                                                           const struct old_version *old)
{
    sqlite3 *db = NULL;
    char write[2048];
    (void)snprintf(write, sizeof(write), "PRAGMA locking_mode=EXCLUSIVE;%s", old->write);
    state_run_sql(place->dir, old->make);
    assert_int_equal(sqlite3_open(state_path(place->dir, "state.db").text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, write, NULL, NULL, NULL), SQLITE_OK);
    state_copy_all(place->dir, place->other);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(state_has_file(place->other, "state.db-wal"));
    must_be_taken_over(place->other, old, false);
    assert_int_equal(unlink(state_path(place->dir, "state.db").text), 0);
    assert_int_equal(unlink(state_path(place->other, "state.db").text), 0);
}

static void test_old__after_a_crash_is_taken_over_with_its_log(void **state)
{
    for_each_old(*state, check_after_a_crash_is_taken_over_with_its_log);
}

static void check_damaged_is_left_alone(const struct state_place *place,
                                        const struct old_version *old)
{
    const char *const changes[] = {
        "DROP TABLE meta",
        "DELETE FROM meta",
        "UPDATE expiry SET last_expiry=last_expiry+1 WHERE kid LIKE '%3'",
        "CREATE TABLE forgotten(name TEXT)",
        old->future, /* which has a table more */
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        make_old(place->dir, old);
        state_run_sql(place->dir, changes[i]);
        state_must_refuse_untouched(place->dir, "damaged");
    }
}

static void test_old__damaged_is_left_alone(void **state)
{
    for_each_old(*state, check_damaged_is_left_alone);
}

/* Takes one over in a process of its own, which ends, as by a crash, when a file would get longer than
 * max_len. Whether it came to the end of the start. */
static bool take_over_until(const char *dir, rlim_t max_len)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        const struct rlimit most = {.rlim_cur = max_len, .rlim_max = max_len};
        struct sg_store *store = NULL;
        char error[1024] = "";
        if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &most) != 0 ||
            signal(SIGXFSZ, SIG_DFL) == SIG_ERR ||
            sg_store_open(dir, &store, error, sizeof(error)) != SIGNET_OK) {
            _exit(1);
        }
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ) || status == 0);
    return status == 0;
}

static off_t log_len(const char *dir)
{
    struct stat info;
    return stat(state_path(dir, "state.db-wal").text, &info) == 0 ? info.st_size : 0;
}

/* The next length to stop at: in steps, and then the whole, and then none. */
static off_t log_next(off_t len, off_t whole)
{
    const off_t step = 1000;
    return len < whole && len + step > whole ? whole : len + step;
}

static void check_killed_while_it_is_taken_over_is_old_or_new(const struct state_place *place,
                                                              const struct old_version *old)
{
    make_old(place->dir, old);
    assert_true(take_over_until(place->dir, 1 << 20));
    off_t whole = log_len(place->dir);
    assert_true(whole > 2 * (off_t)4096);
    for (off_t len = 0; len <= whole; len = log_next(len, whole)) {
        make_old(place->dir, old);
        assert_int_equal(take_over_until(place->dir, (rlim_t)len), len == whole);
        assert_int_equal(state_has_file(place->dir, "stopped"), len < whole);
        state_copy_all(place->dir, place->other);
        assert_int_equal(version_of(place->other, old), len < whole ? old->version : 4);
        /* Before the first byte nothing has happened; from then on it is the end of no daemon's stop. */
        must_be_taken_over(place->dir, old, log_len(place->dir) == 0);
    }
}

static void test_old__killed_while_it_is_taken_over_is_old_or_new(void **state)
{
    for_each_old(*state, check_killed_while_it_is_taken_over_is_old_or_new);
}

/* What the kernel had not written when the machine lost its power. */
static void check_cut_off_while_it_is_taken_over_is_old_or_new(const struct state_place *place,
                                                               const struct old_version *old)
{
    size_t len = 0;
    make_old(place->dir, old);
    assert_true(take_over_until(place->dir, 1 << 20));
    char *log = test_read_file(state_path(place->dir, "state.db-wal").text, &len);
    assert_non_null(log);
    for (off_t cut = 0; cut <= (off_t)len; cut = log_next(cut, (off_t)len)) {
        state_copy_all(place->dir, place->other);
        state_put_file(place->other, "state.db-wal", log, (size_t)cut);
        assert_int_equal(version_of(place->other, old), cut < (off_t)len ? old->version : 4);
        state_copy_all(place->dir, place->other);
        state_put_file(place->other, "state.db-wal", log, (size_t)cut);
        must_be_taken_over(place->other, old, false);
    }
    free(log);
}

static void test_old__cut_off_while_it_is_taken_over_is_old_or_new(void **state)
{
    for_each_old(*state, check_cut_off_while_it_is_taken_over_is_old_or_new);
}

/* Between the two: the database is of version 4, and the mark of the old one is still there. */
static void check_killed_before_its_mark_was_taken_is_not_clean(const struct state_place *place,
                                                                const struct old_version *old)
{
    size_t len = 0;
    for (size_t i = 0; i < 2; i++) {
        make_old(place->dir, old);
        char *mark = test_read_file(state_path(place->dir, "stopped").text, &len);
        assert_non_null(mark);
        assert_true(take_over_until(place->dir, 1 << 20));
        state_put_file(place->dir, "stopped", mark, len);
        free(mark);
        if (i == 1) {
            /* It is the log that says so: without it the mark is right, since nothing has happened. */
            assert_int_equal(unlink(state_path(place->dir, "state.db-wal").text), 0);
        }
        must_be_taken_over(place->dir, old, i == 1);
    }
}

static void test_old__killed_before_its_mark_was_taken_is_not_clean(void **state)
{
    for_each_old(*state, check_killed_before_its_mark_was_taken_is_not_clean);
}

/* ---- Damage ---- */

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Either all that was written, or refused untouched with what mends it. */
static bool damaged_opens(const char *dir, const uint8_t *bytes, size_t len, size_t num)
{
    char error[1024] = "";
    struct sg_store *store = NULL;
    (void)unlink(state_path(dir, "state.db-wal").text);
    state_put_file(dir, "state.db", bytes, len);
    signet_status status = sg_store_open(dir, &store, error, sizeof(error));
    if (status == SIGNET_OK) {
        must_have(store, num, 1);
        must_have_frozen(store, "billing@17 orders@18 ");
        must_have_full(store);
        sg_store_close(store);
        return true;
    }
    assert_int_equal(status, SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(error, "mkdir state.bad && mv state.db* state.bad/"));
    state_must_be_file(dir, "state.db", bytes, len);
    return false;
}

static void test_damage__of_bits_is_never_taken_for_content(void **state)
{
    const struct state_place *place = *state;
    uint32_t seed = 20240229;
    size_t len = 0;
    size_t num_open = 0;
    make_stopped_full(place->dir, 200);
    uint8_t *bytes = (uint8_t *)test_read_file(state_path(place->dir, "state.db").text, &len);
    assert_non_null(bytes);
    assert_true(len > 6 * (size_t)4096); /* there is a tree, not only a leaf */
    assert_true(damaged_opens(place->other, bytes, len, 200));
    for (size_t i = 0; i < 1100; i++) {
        /* The head, the head of every page, and anywhere. */
        size_t at = i < 100   ? i
                    : i < 300 ? (random_next(&seed) % (len / 4096)) * 4096 + i % 100
                              : random_next(&seed) % len;
        uint8_t flip = (uint8_t)(1u << (random_next(&seed) % 8));
        bytes[at] ^= flip;
        num_open += damaged_opens(place->other, bytes, len, 200) ? 1 : 0;
        bytes[at] ^= flip;
    }
    free(bytes);
    /* Some bytes mean nothing; most do. */
    assert_in_range(num_open, 1, 600);
}

static void test_damage__of_stretches_is_refused(void **state)
{
    const struct state_place *place = *state;
    static const size_t lens[] = {16, 100, 512, 4096, 8192};
    size_t len = 0;
    make_stopped_full(place->dir, 200);
    uint8_t *good = (uint8_t *)test_read_file(state_path(place->dir, "state.db").text, &len);
    uint8_t *bytes = malloc(len);
    assert_non_null(good);
    assert_non_null(bytes);
    for (size_t at = 0; at < len; at += 4096) {
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) && at + lens[i] <= len; i++) {
            memcpy(bytes, good, len);
            memset(bytes + at, 0, lens[i]);
            assert_false(damaged_opens(place->other, bytes, len, 200));
            memset(bytes + at, 0xff, lens[i]);
            assert_false(damaged_opens(place->other, bytes, len, 200));
        }
    }
    free(bytes);
    free(good);
}

static void test_damage__cut_files_are_refused(void **state)
{
    const struct state_place *place = *state;
    size_t len = 0;
    make_stopped_full(place->dir, 200);
    uint8_t *bytes = (uint8_t *)test_read_file(state_path(place->dir, "state.db").text, &len);
    assert_non_null(bytes);
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 50 : 1024) {
        assert_false(damaged_opens(place->other, bytes, cut, 200));
    }
    assert_false(damaged_opens(place->other, bytes, len - 1, 200));
    free(bytes);
}

/* What is lost is the end, and that is not called clean. */
static void test_damage__of_the_log_loses_whole_writes_from_the_end(void **state)
{
    const struct state_place *place = *state;
    uint32_t seed = 7;
    size_t num_lost[4] = {0};
    size_t len = 0;
    make_stopped(place->dir, 100);
    struct sg_store *store = state_open(place->dir);
    for (int64_t generation = 2; generation <= 4; generation++) {
        write_batch(store, 100, generation);
    }
    state_copy_all(place->dir, place->other);
    uint8_t *log = (uint8_t *)test_read_file(state_path(place->other, "state.db-wal").text, &len);
    assert_non_null(log);
    for (size_t i = 0; i < 300; i++) {
        size_t at = i < 32 ? i : random_next(&seed) % len;
        size_t cut = i < 250 ? len : at;
        int64_t generation = 0;
        state_copy_all(place->dir, place->other);
        log[at] ^= 0x10;
        state_put_file(place->other, "state.db-wal", log, cut);
        struct sg_store *damaged = state_open(place->other);
        log[at] ^= 0x10;
        assert_false(sg_store_was_clean(damaged));
        assert_int_equal(read_batch(damaged, &generation), 100);
        assert_in_range(generation, 1, 4);
        num_lost[4 - generation]++;
        sg_store_close(damaged);
    }
    assert_true(num_lost[1] > 0 && num_lost[2] > 0 && num_lost[3] > 0);
    free(log);
    sg_store_close(store);
}

static void test_damage__a_log_without_its_database_is_not_played(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 5, 1);
    state_copy_all(place->dir, place->other);
    sg_store_close(store);
    assert_int_equal(unlink(state_path(place->other, "state.db").text), 0);
    state_must_refuse_untouched(place->other, "is missing, and its log is there");
    assert_int_equal(unlink(state_path(place->other, "state.db-wal").text), 0);
    must_open_unclean(place->other, 0);
}

static void test_damage__is_mended_by_the_command_of_the_message(void **state)
{
    const struct state_place *place = *state;
    char error[1024] = "";
    char command[1024];
    struct test_output output;
    struct sg_store *store = NULL;
    make_stopped(place->dir, 5);
    state_put_file(place->dir, "state.db", "x", 1);
    state_put_file(place->dir, "state.db-wal", "y", 1);
    assert_int_equal(sg_store_open(place->dir, &store, error, sizeof(error)),
                     SIGNET_FAILED_PRECONDITION);
    const char *from = strstr(error, "cd /");
    assert_non_null(from);
    (void)snprintf(command, sizeof(command), "%.*s", (int)strcspn(from, "("), from);
    test_run((const char *const[]){"sh", "-c", command, NULL}, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    state_must_be_file(place->dir, "state.bad/state.db", "x", 1);
    state_must_be_file(place->dir, "state.bad/state.db-wal", "y", 1);
    must_open_unclean(place->dir, 0);
}

/* ---- Crashes ---- */

static void test_crash__keeps_what_was_acknowledged(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    state_copy_all(place->dir, place->other);
    must_open_unclean(place->other, 0);
    for (int64_t generation = 1; generation <= 40; generation++) {
        write_batch(store, 100, generation);
        state_copy_all(place->dir, place->other);
        struct sg_store *copy = state_open(place->other);
        assert_false(sg_store_was_clean(copy));
        must_have(copy, 100, generation);
        sg_store_close(copy);
    }
    sg_store_close(store);
}

static void must_have_after_crash(const struct state_place *place, const char *frozen)
{
    state_copy_all(place->dir, place->other);
    struct sg_store *copy = state_open(place->other);
    assert_false(sg_store_was_clean(copy));
    must_have_frozen(copy, frozen);
    sg_store_close(copy);
}

static void test_crash__keeps_what_was_frozen_and_thawed(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    must_freeze(store, "login", 1);
    must_have_after_crash(place, "login@1 ");
    must_freeze(store, "orders", 2);
    must_have_after_crash(place, "login@1 orders@2 ");
    must_thaw(store, "login");
    must_have_after_crash(place, "orders@2 ");
    must_freeze(store, "orders", 3);
    must_have_after_crash(place, "orders@3 ");
    must_thaw(store, "orders");
    must_have_after_crash(place, "");
    sg_store_close(store);
}

/* A start that ended while it made its first database. */
static void test_crash__leaves_of_a_first_start_are_no_obstacle(void **state)
{
    const struct state_place *place = *state;
    state_put_file(place->dir, "state.db.new", "half", 4);
    must_open_unclean(place->dir, 0);
    assert_false(state_has_file(place->dir, "state.db.new"));
}

#define KILL_ROUNDS  20
#define KILL_RECORDS 3

/* Never returns: writes one batch and one freeze after the other, and says which are written. */
static void write_until_killed(const char *dir, int64_t generation, int out)
{
    char error[256] = "";
    struct sg_store *store = NULL;
    if (sg_store_open(dir, &store, error, sizeof(error)) != SIGNET_OK) {
        _exit(1);
    }
    for (;; generation++) {
        struct batch batch = batch_new(KILL_RECORDS, generation);
        if (sg_store_write_expiries(store, batch.expiries, batch.num, error, sizeof(error)) !=
                SIGNET_OK ||
            sg_store_freeze(store, "storm", generation, error, sizeof(error)) != SIGNET_OK ||
            write(out, &generation, sizeof(generation)) != sizeof(generation)) {
            _exit(1);
        }
        batch_free(&batch);
    }
}

/* Kills a writer after num batches; the last that it acknowledged. */
static int64_t kill_writer(const char *dir, int64_t first, uint32_t num)
{
    int pipes[2];
    int status = 0;
    int64_t acknowledged = first - 1;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        write_until_killed(dir, first, pipes[1]);
    }
    assert_true(child > 0);
    (void)close(pipes[1]);
    for (uint32_t i = 0; i < num; i++) {
        assert_int_equal(read(pipes[0], &acknowledged, sizeof(acknowledged)), sizeof(acknowledged));
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    /* What it said between. */
    while (read(pipes[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
    }
    (void)close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return acknowledged;
}

static void keep_since(void *context, const char *grant, int64_t since)
{
    assert_string_equal(grant, "storm");
    *(int64_t *)context = since;
}

static void test_crash__by_sigkill_keeps_what_was_acknowledged(void **state)
{
    const struct state_place *place = *state;
    char error[1024] = "";
    uint32_t seed = 11;
    int64_t next = 1;
    for (size_t round = 0; round < KILL_ROUNDS; round++) {
        int64_t found = 0;
        int64_t acknowledged = kill_writer(place->dir, next, random_next(&seed) % 30 + 1);
        struct sg_store *store = state_open(place->dir);
        assert_false(sg_store_was_clean(store));
        assert_int_equal(read_batch(store, &found), KILL_RECORDS);
        assert_in_range(found, acknowledged, acknowledged + 1);
        int64_t frozen_since = 0;
        assert_int_equal(
            sg_store_read_frozen(store, keep_since, &frozen_since, error, sizeof(error)),
            SIGNET_OK);
        assert_in_range(frozen_since, acknowledged, found);
        next = found + 1;
        if (round % 2 == 0) {
            state_must_stop(store);
        } else {
            sg_store_close(store);
        }
    }
}

/* ---- A disk that is full ---- */

static void must_fail_full(struct sg_store *store, size_t num, int64_t generation)
{
    char error[1024] = "";
    struct batch batch = batch_new(num, generation);
    assert_int_equal(
        sg_store_write_expiries(store, batch.expiries, batch.num, error, sizeof(error)),
        SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error, "state.db cannot be written: the disk is full"));
    batch_free(&batch);
}

static void test_full_disk__fails_writes_and_changes_nothing(void **state)
{
    const struct state_place *place = state_disk_of(state);
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 100, 1);
    state_fill_disk(place->dir);
    must_fail_full(store, 2000, 2);
    must_have(store, 100, 1);
    must_fail_full(store, 2000, 2);
    must_have(store, 100, 1);
    state_copy_all(place->dir, place->other);
    must_open_unclean(place->other, 100);

    state_free_disk(place->dir);
    write_batch(store, 2000, 3);
    must_have(store, 2000, 3);
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    must_have(store, 2000, 3);
    sg_store_close(store);
}

static void test_full_disk__neither_freezes_nor_thaws(void **state)
{
    const struct state_place *place = state_disk_of(state);
    char error[1024] = "";
    struct sg_store *store = state_open(place->dir);
    must_freeze(store, "login", 1);
    state_fill_disk(place->dir);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sg_store_freeze(store, "orders", 2, error, sizeof(error)),
                         SIGNET_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error, "state.db cannot be written: the disk is full"));
        assert_int_equal(sg_store_freeze(store, "login", 2, error, sizeof(error)),
                         SIGNET_RESOURCE_EXHAUSTED);
        assert_int_equal(sg_store_thaw(store, "login", error, sizeof(error)),
                         SIGNET_RESOURCE_EXHAUSTED);
        must_have_frozen(store, "login@1 ");
    }
    must_have_after_crash(place, "login@1 ");

    state_free_disk(place->dir);
    must_freeze(store, "orders", 3);
    must_thaw(store, "login");
    must_have_frozen(store, "orders@3 ");
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    must_have_frozen(store, "orders@3 ");
    sg_store_close(store);
}

/* Unlike any other start it needs room; it waits for that with everything as it was. */
static void test_full_disk__leaves_an_old_version_and_its_mark(void **state)
{
    const struct state_place *place = state_disk_of(state);
    for (size_t i = 0; i < 2 * NUM_OLD_VERSIONS; i++) {
        const struct old_version *old = &old_versions[i / 2];
        if (i % 2 == 0) {
            make_old(place->dir, old);
            state_fill_disk(place->dir);
        }
        state_must_refuse(place->dir, SIGNET_RESOURCE_EXHAUSTED, old->refused, "make room");
        if (i % 2 == 1) {
            state_copy_all(place->dir, place->other);
            assert_int_equal(version_of(place->other, old), old->version);
            state_free_disk(place->dir);
            must_be_taken_over(place->dir, old, true);
        }
    }
}

static void test_read_only_disk__leaves_an_old_version_and_its_mark(void **state)
{
    const struct state_place *place = state_disk_of(state);
    const unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NODEV;
    for (size_t i = 0; i < NUM_OLD_VERSIONS; i++) {
        make_old(place->dir, &old_versions[i]);
        assert_int_equal(mount("none", place->dir, "tmpfs", flags | MS_RDONLY, NULL), 0);
        state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "file system is read-only",
                          "findmnt");
        state_copy_all(place->dir, place->other);
        assert_int_equal(version_of(place->other, &old_versions[i]), old_versions[i].version);
        assert_int_equal(mount("none", place->dir, "tmpfs", flags, NULL), 0);
        must_be_taken_over(place->dir, &old_versions[i], true);
    }
}

static void test_full_disk__does_not_stop_a_start(void **state)
{
    const struct state_place *place = state_disk_of(state);
    make_stopped(place->dir, 100);
    state_fill_disk(place->dir);
    struct sg_store *store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    assert_false(state_has_file(place->dir, "stopped"));
    must_have(store, 100, 1);
    must_fail_full(store, 2000, 2);
    sg_store_close(store);
    must_open_unclean(place->dir, 100);
    must_open_unclean(place->dir, 100);
}

/* Its log is played as far as it fits; what it holds counts in any case. */
static void test_full_disk__does_not_stop_a_start_after_a_crash(void **state)
{
    const struct state_place *place = state_disk_of(state);
    struct sg_store *store = state_open(place->other);
    write_batch(store, 1000, 1);
    state_copy_all(place->other, place->dir);
    sg_store_close(store);
    assert_true(state_has_file(place->dir, "state.db-wal"));
    state_fill_disk(place->dir);
    must_open_unclean(place->dir, 1000);
    must_open_unclean(place->dir, 1000);
    state_free_disk(place->dir);
    must_open_unclean(place->dir, 1000);
}

static void test_full_disk__leaves_no_mark(void **state)
{
    const struct state_place *place = state_disk_of(state);
    char error[1024] = "";
    struct sg_store *store = state_open(place->dir);
    write_batch(store, 1000, 1);
    state_fill_disk(place->dir);
    assert_int_equal(sg_store_stop(store, error, sizeof(error)), SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error, "the disk is full"));
    state_free_disk(place->dir);
    must_open_unclean(place->dir, 1000);
}

static void test_full_disk__makes_no_database(void **state)
{
    const struct state_place *place = state_disk_of(state);
    state_fill_disk(place->dir);
    state_must_refuse(place->dir, SIGNET_RESOURCE_EXHAUSTED, "the disk is full", "make room");
    assert_false(state_has_file(place->dir, "state.db"));
    assert_false(state_has_file(place->dir, "state.db.new"));
    state_free_disk(place->dir);
    must_open_unclean(place->dir, 0);
}

static void test_read_only_disk__stops_the_start(void **state)
{
    const struct state_place *place = state_disk_of(state);
    const unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NODEV;
    assert_int_equal(mount("none", place->dir, "tmpfs", flags | MS_RDONLY, NULL), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "file system is read-only",
                      "findmnt");
    assert_int_equal(mount("none", place->dir, "tmpfs", flags, NULL), 0);
    make_stopped(place->dir, 5);
    assert_int_equal(mount("none", place->dir, "tmpfs", flags | MS_RDONLY, NULL), 0);
    state_must_refuse(place->dir, SIGNET_FAILED_PRECONDITION, "file system is read-only",
                      "findmnt");
    assert_int_equal(mount("none", place->dir, "tmpfs", flags, NULL), 0);
    struct sg_store *store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    must_have(store, 5, 1);
    sg_store_close(store);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, state_setup, state_teardown)
#define DISK_TEST(name)  cmocka_unit_test_setup_teardown(name, state_disk_setup, state_disk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_records__come_back),
        STORE_TEST(test_records__replace_those_of_the_same_key),
        STORE_TEST(test_records__are_told_apart_by_keyset_and_kid),
        STORE_TEST(test_records__with_long_names_are_refused_with_their_batch),
        STORE_TEST(test_records__ten_thousand_at_once),
        STORE_TEST(test_frozen__come_back_until_they_are_thawed),
        STORE_TEST(test_frozen__again_replaces_the_time),
        STORE_TEST(test_frozen__of_no_name_or_no_time_are_refused),
        STORE_TEST(test_threads__do_not_take_part_in_each_others_transactions),
        STORE_TEST(test_files__are_private_and_few),
        cmocka_unit_test(test_null__is_legal),
        STORE_TEST(test_mark__counts_once),
        STORE_TEST(test_mark__of_another_database_does_not_count),
        STORE_TEST(test_mark__of_a_backup_does_not_count),
        STORE_TEST(test_mark__counts_if_the_directory_was_moved),
        STORE_TEST(test_mark__damaged_or_beside_a_log_does_not_count),
        STORE_TEST(test_mark__that_cannot_be_removed_stops_the_start),
        STORE_TEST(test_mark__that_cannot_be_set_fails_the_stop),
        STORE_TEST(test_mark__stays_if_the_start_was_refused),
        STORE_TEST(test_place__must_be_ours_alone),
        STORE_TEST(test_place__must_belong_to_us),
        STORE_TEST(test_place__links_lead_to_the_directory_and_not_to_the_file),
        STORE_TEST(test_place__is_for_one_process),
        STORE_TEST(test_foreign__databases_are_left_alone),
        STORE_TEST(test_future__databases_are_left_alone),
        STORE_TEST(test_future__is_seen_in_the_log),
        STORE_TEST(test_schema__of_other_hands_is_refused),
        STORE_TEST(test_schema__rows_of_no_grant_are_refused_whatever_their_digest),
        STORE_TEST(test_old__is_taken_over_with_its_mark),
        STORE_TEST(test_old__after_a_crash_is_taken_over_with_its_log),
        STORE_TEST(test_old__damaged_is_left_alone),
        STORE_TEST(test_old__killed_while_it_is_taken_over_is_old_or_new),
        STORE_TEST(test_old__cut_off_while_it_is_taken_over_is_old_or_new),
        STORE_TEST(test_old__killed_before_its_mark_was_taken_is_not_clean),
        STORE_TEST(test_damage__of_bits_is_never_taken_for_content),
        STORE_TEST(test_damage__of_stretches_is_refused),
        STORE_TEST(test_damage__cut_files_are_refused),
        STORE_TEST(test_damage__of_the_log_loses_whole_writes_from_the_end),
        STORE_TEST(test_damage__a_log_without_its_database_is_not_played),
        STORE_TEST(test_damage__is_mended_by_the_command_of_the_message),
        STORE_TEST(test_crash__keeps_what_was_acknowledged),
        STORE_TEST(test_crash__keeps_what_was_frozen_and_thawed),
        STORE_TEST(test_crash__leaves_of_a_first_start_are_no_obstacle),
        STORE_TEST(test_crash__by_sigkill_keeps_what_was_acknowledged),
        DISK_TEST(test_full_disk__fails_writes_and_changes_nothing),
        DISK_TEST(test_full_disk__neither_freezes_nor_thaws),
        DISK_TEST(test_full_disk__leaves_an_old_version_and_its_mark),
        DISK_TEST(test_full_disk__does_not_stop_a_start),
        DISK_TEST(test_full_disk__does_not_stop_a_start_after_a_crash),
        DISK_TEST(test_full_disk__leaves_no_mark),
        DISK_TEST(test_full_disk__makes_no_database),
        DISK_TEST(test_read_only_disk__stops_the_start),
        DISK_TEST(test_read_only_disk__leaves_an_old_version_and_its_mark),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
