/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories that go with the case, and a small disk that can be full.
 */
#include "state_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/files.h"

int state_setup(void **state)
{
    static struct state_place place;
    test_temp_dir(place.dir, sizeof(place.dir));
    test_temp_dir(place.other, sizeof(place.other));
    *state = &place;
    return 0;
}

int state_teardown(void **state)
{
    const struct state_place *place = *state;
    test_remove_tree(place->dir);
    test_remove_tree(place->other);
    return 0;
}

struct state_path state_path(const char *dir, const char *name)
{
    struct state_path path;
    (void)snprintf(path.text, sizeof(path.text), "%s/%s", dir, name);
    return path;
}

bool state_has_file(const char *dir, const char *name)
{
    return access(state_path(dir, name).text, F_OK) == 0;
}

void state_put_file(const char *dir, const char *name, const void *bytes, size_t len)
{
    struct state_path path = state_path(dir, name);
    test_write_file(path.text, bytes, len);
    assert_int_equal(chmod(path.text, 0600), 0);
}

void state_copy_file(const char *from, const char *to, const char *name)
{
    size_t len = 0;
    char *bytes = test_read_file(state_path(from, name).text, &len);
    (void)unlink(state_path(to, name).text);
    if (bytes != NULL) {
        state_put_file(to, name, bytes, len);
    }
    free(bytes);
}

static const char *const state_file_names[] = {"state.db", "state.db-wal", "state.db-journal",
                                               "stopped"};
#define NUM_FILES (sizeof(state_file_names) / sizeof(state_file_names[0]))

void state_copy_all(const char *from, const char *to)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        state_copy_file(from, to, state_file_names[i]);
    }
}

void state_must_be_file(const char *dir, const char *name, const void *bytes, size_t len)
{
    size_t found_len = 0;
    char *found = test_read_file(state_path(dir, name).text, &found_len);
    assert_non_null(found);
    assert_int_equal(found_len, len);
    assert_memory_equal(found, bytes, len);
    free(found);
}

struct sg_store *state_open(const char *dir)
{
    char error[1024] = "";
    struct sg_store *store = NULL;
    if (sg_store_open(dir, &store, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_non_null(store);
    return store;
}

void state_must_refuse(const char *dir, signet_status status, const char *text, const char *mend)
{
    char error[1024] = "";
    struct sg_store *store = NULL;
    signet_status found = sg_store_open(dir, &store, error, sizeof(error));
    if (found != status || strstr(error, text) == NULL || strstr(error, mend) == NULL) {
        sg_store_close(store);
        fail_msg("status %d, \"%s\"; expected %d, \"%s\" and \"%s\"", (int)found, error,
                 (int)status, text, mend);
    }
    assert_null(store);
}

void state_must_stop(struct sg_store *store)
{
    char error[1024] = "";
    if (sg_store_stop(store, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

void state_must_refuse_untouched(const char *dir, const char *text)
{
    char *before[NUM_FILES];
    size_t lens[NUM_FILES];
    for (size_t i = 0; i < NUM_FILES; i++) {
        before[i] = test_read_file(state_path(dir, state_file_names[i]).text, &lens[i]);
    }
    state_must_refuse(dir, SIGNET_FAILED_PRECONDITION, text, "mkdir state.bad && mv state.db* ");
    for (size_t i = 0; i < NUM_FILES; i++) {
        if (before[i] != NULL) {
            state_must_be_file(dir, state_file_names[i], before[i], lens[i]);
        }
        free(before[i]);
    }
}

void state_revoke(struct sg_store *store, enum sg_store_revocation_kind kind, const char *scope,
                  const char *name, int64_t at, int64_t until)
{
    const struct sg_store_revocation revocation = {.kind = kind,
                                                   .scope = scope,
                                                   .name = name,
                                                   .at = at,
                                                   .until = until,
                                                   .by = 1,
                                                   .reason = "test"};
    char error[1024] = "";
    if (sg_store_revoke(store, &revocation, 1, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

#define MAX_REVOKED_TEXT 4096

static void collect_revoked(void *context, const struct sg_store_revocation *revocation)
{
    char *text = context;
    size_t len = strlen(text);
    (void)snprintf(text + len, MAX_REVOKED_TEXT - len, "%d %s %s %" PRId64 " %" PRId64 "; ",
                   (int)revocation->kind, revocation->scope, revocation->name, revocation->at,
                   revocation->until);
}

void state_must_have_revoked(struct sg_store *store, const char *expected)
{
    char text[MAX_REVOKED_TEXT] = "";
    char error[1024] = "";
    if (sg_store_read_revocations(store, collect_revoked, text, error, sizeof(error)) !=
        SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(text, expected);
}

enum sg_store_outcome state_consume(struct sg_store *store, const char *issuer, const char *jti,
                                    int64_t until, uid_t uid, uint64_t max_per_uid)
{
    const struct sg_store_consumed consumed = {
        .issuer = issuer, .jti = jti, .until = until, .uid = uid};
    enum sg_store_outcome outcome = 0;
    char error[1024] = "";
    if (sg_store_consume(store, &consumed, max_per_uid, &outcome, error, sizeof(error)) !=
        SIGNET_OK) {
        fail_msg("%s", error);
    }
    return outcome;
}

void state_run_sql(const char *dir, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(state_path(dir, "state.db").text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(chmod(state_path(dir, "state.db").text, 0600), 0);
}

int64_t state_ask_sql(const char *dir, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(state_path(dir, "state.db").text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return answer;
}

int state_disk_setup(void **state)
{
    (void)state_setup(state);
    const struct state_place *place = *state;
    if (mount("none", place->dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0700") != 0) {
        print_message("no full disk without the right to mount a small one: %s\n", strerror(errno));
        (void)state_teardown(state);
        *state = NULL;
    }
    return 0;
}

int state_disk_teardown(void **state)
{
    const struct state_place *place = *state;
    if (place == NULL) {
        return 0;
    }
    (void)umount2(place->dir, MNT_DETACH);
    return state_teardown(state);
}

const struct state_place *state_disk_of(void **state)
{
    if (*state == NULL) {
        skip();
    }
    return *state;
}

void state_fill_disk(const char *dir)
{
    static const char block[4096] = "full";
    int fd = open(state_path(dir, "filler").text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(close(fd), 0);
}

void state_free_disk(const char *dir)
{
    assert_int_equal(unlink(state_path(dir, "filler").text), 0);
}
