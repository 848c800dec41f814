/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in the database of a state directory: making it, whether what is found there is ours, and bringing
 * it from an earlier version to this one. Never changes a file that it cannot make sense of.
 */
#include "server/store_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define STORE_NEW            "state.db.new" /* one that is being made */
#define STORE_APPLICATION_ID 0x53676e74     /* "Sgnt" */
#define STORE_VERSION        4
#define STORE_MAX_SCHEMA     2048u

/* ---- The tables ---- */

static signet_status store_read_meta(struct sg_store *store, struct store_error error)
{
    return store_ask(store, "SELECT stop_id FROM meta", &store->stop_id, error);
}

/* All tables, in the order of their names; a database that has not exactly those of its version is not used.
 * Who adds one adds a row, whose version is the next STORE_VERSION: a new database has it from the start,
 * and one of an earlier version gets it when it is opened. What stands here never changes. */
static const struct store_table {
    int64_t version; /* of the first database that has it */
    const char *sql; /* as sqlite_schema holds it */
    /* Fails if a record in it is not as it was written. */
    signet_status (*check)(struct sg_store *store, struct store_error error);
} store_tables[] = {
    {3,
     "CREATE TABLE consumed(issuer TEXT NOT NULL, jti TEXT NOT NULL, until INTEGER NOT NULL, "
     "uid INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(issuer, jti)) "
     "STRICT, WITHOUT ROWID",
     store_check_consumed},
    {1,
     "CREATE TABLE expiry(keyset TEXT NOT NULL, kid TEXT NOT NULL, last_expiry INTEGER NOT NULL, "
     "recorded_at INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(keyset, kid)) "
     "STRICT, WITHOUT ROWID",
     store_check_expiries},
    {4,
     "CREATE TABLE forgotten(name TEXT NOT NULL PRIMARY KEY, until INTEGER NOT NULL, "
     "digest INTEGER NOT NULL) STRICT, WITHOUT ROWID",
     store_check_forgotten},
    {2,
     "CREATE TABLE frozen(name TEXT NOT NULL PRIMARY KEY, since INTEGER NOT NULL, "
     "digest INTEGER NOT NULL) STRICT, WITHOUT ROWID",
     store_check_frozen},
    {1, "CREATE TABLE meta(stop_id INTEGER NOT NULL) STRICT", store_read_meta},
    {3,
     "CREATE TABLE revocation(kind INTEGER NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, "
     "at INTEGER NOT NULL, until INTEGER NOT NULL, by INTEGER NOT NULL, reason TEXT NOT NULL, "
     "digest INTEGER NOT NULL, PRIMARY KEY(kind, scope, name)) STRICT, WITHOUT ROWID",
     store_check_revocations},
};
#define STORE_NUM_TABLES (sizeof(store_tables) / sizeof(store_tables[0]))

/* Adds what a database of a version lacks (0: it is empty), within a transaction of the caller. */
static signet_status store_add_tables(const struct sg_store *store, int64_t version,
                                      const char *what, struct store_error error)
{
    char sql[64];
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < STORE_NUM_TABLES; i++) {
        if (store_tables[i].version > version) {
            status = store_run(store, store_tables[i].sql, what, error);
        }
    }
    (void)snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", STORE_VERSION);
    return status == SIGNET_OK ? store_run(store, sql, what, error) : status;
}

static signet_status store_check_tables(struct sg_store *store, int64_t version,
                                        struct store_error error)
{
    char schema[STORE_MAX_SCHEMA] = "";
    size_t len = 0;
    for (size_t i = 0; i < STORE_NUM_TABLES && len < sizeof(schema); i++) {
        if (store_tables[i].version <= version) {
            len += (size_t)snprintf(schema + len, sizeof(schema) - len, "%s;", store_tables[i].sql);
        }
    }
    signet_status status = store_expect(store,
                                        "SELECT group_concat(sql || ';', '') FROM "
                                        "(SELECT sql FROM sqlite_schema ORDER BY name)",
                                        schema, error);
    for (size_t i = 0; status == SIGNET_OK && i < STORE_NUM_TABLES; i++) {
        if (store_tables[i].version <= version) {
            status = store_tables[i].check(store, error);
        }
    }
    return status;
}

/* ---- A new database ---- */

signet_status store_fill(struct sg_store *store, struct store_error error)
{
    static const char what[] = "cannot be made";
    char sql[128];
    int64_t id = 0;
    if (getentropy(&id, sizeof(id)) != 0) {
        return store_fail_errno(store, error, STORE_FILE, "gets no random number", errno);
    }
    signet_status status = store_begin(store, what, error);
    if (status == SIGNET_OK) {
        status = store_add_tables(store, 0, what, error);
    }
    if (status == SIGNET_OK) {
        (void)snprintf(sql, sizeof(sql),
                       "PRAGMA application_id=%d; INSERT INTO meta VALUES(%" PRId64 ")",
                       STORE_APPLICATION_ID, id);
        status = store_run(store, sql, what, error);
    }
    return store_end(store, status, what, error);
}

static signet_status store_fill_new(struct sg_store *store, struct store_error error)
{
    signet_status status = store_open_db(store, STORE_NEW, error);
    if (status == SIGNET_OK) {
        status = store_run(store, "PRAGMA auto_vacuum=NONE; PRAGMA journal_mode=MEMORY",
                           "cannot be made", error);
    }
    if (status == SIGNET_OK) {
        status = store_fill(store, error);
    }
    if (!store_close_db(store) && status == SIGNET_OK) {
        status = store_fail_errno(store, error, STORE_NEW, "cannot be closed", EIO);
    }
    return status;
}

/* Under another name, so that a state.db is complete or not there: an empty one is damaged. */
signet_status store_make(struct sg_store *store, struct store_error error)
{
    (void)unlinkat(store->dir_fd, STORE_NEW, 0);
    int fd =
        openat(store->dir_fd, STORE_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_NEW, "cannot be made", errno);
    }
    (void)close(fd);
    signet_status status = store_fill_new(store, error);
    if (status == SIGNET_OK &&
        (renameat(store->dir_fd, STORE_NEW, store->dir_fd, STORE_FILE) != 0 ||
         fsync(store->dir_fd) != 0)) {
        status = store_fail_errno(store, error, STORE_FILE, "cannot be made", errno);
    }
    if (status != SIGNET_OK) {
        (void)unlinkat(store->dir_fd, STORE_NEW, 0);
    }
    return status;
}

/* ---- An old database ---- */

static signet_status store_judge(const struct sg_store *store, int64_t application, int64_t version,
                                 struct store_error error)
{
    char what[160];
    if (application != STORE_APPLICATION_ID) {
        return store_fail_unusable(store, error, "is the database of another program");
    }
    if (version > STORE_VERSION) {
        (void)snprintf(what, sizeof(what),
                       "was written by a newer signetd (version %" PRId64
                       " of the database, this one knows %d); install that again",
                       version, STORE_VERSION);
        return store_fail_unusable(store, error, what);
    }
    return version >= 1 ? SIGNET_OK : store_fail_unusable(store, error, "is damaged");
}

static uint32_t store_read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Looks at the head of the file (section 1.3 of SQLite's file format), since SQLite would play a log or
 * a journal into a database that is not ours before it says whose it is. */
signet_status store_check_head(struct sg_store *store, struct store_error error)
{
    uint8_t head[100];
    int fd = openat(store->dir_fd, STORE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be opened", errno);
    }
    ssize_t len = pread(fd, head, sizeof(head), 0);
    bool failed = len < 0 || fstat(fd, &store->found) != 0;
    int number = errno;
    (void)close(fd);
    if (failed) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be read", number);
    }
    if (len != sizeof(head) || memcmp(head, "SQLite format 3", 16) != 0) {
        return store_fail_unusable(store, error, "is damaged, or no database");
    }
    return store_judge(store, store_read_u32(head + 68), (int32_t)store_read_u32(head + 60), error);
}

/* ---- Using it ---- */

/* Whether SQLite finds in it what we wrote, and of which version that is. */
static signet_status store_check_content(struct sg_store *store, int64_t *out,
                                         struct store_error error)
{
    int64_t application = 0;
    int64_t version = 0;
    /* Again: the log may hold a later version than the head. */
    signet_status status = store_ask(store, "PRAGMA application_id", &application, error);
    if (status == SIGNET_OK) {
        status = store_ask(store, "PRAGMA user_version", &version, error);
    }
    if (status == SIGNET_OK) {
        status = store_judge(store, application, version, error);
    }
    if (status == SIGNET_OK) {
        status = store_expect(store, "PRAGMA quick_check(1)", "ok", error);
    }
    if (status == SIGNET_OK) {
        status = store_check_tables(store, version, error);
    }
    if (status == SIGNET_OK) {
        *out = version;
    }
    return status;
}

/* Brings a database of an earlier version to this one: it has all of it afterwards, or nothing. */
static signet_status store_migrate(const struct sg_store *store, int64_t version,
                                   struct store_error error)
{
    char what[80];
    if (version == STORE_VERSION) {
        return SIGNET_OK;
    }
    (void)snprintf(what, sizeof(what), "cannot be brought from version %" PRId64 " to %d", version,
                   STORE_VERSION);
    signet_status status = store_begin(store, what, error);
    if (status == SIGNET_OK) {
        status = store_add_tables(store, version, what, error);
    }
    return store_end(store, status, what, error);
}

/* Until it was found good, its log is not played into it, not even by closing it. */
signet_status store_load(struct sg_store *store, struct store_error error)
{
    int64_t version = 0;
    signet_status status = store_open_db(store, STORE_FILE, error);
    if (status == SIGNET_OK && sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                                                 store->had_log ? 1 : 0, NULL) != SQLITE_OK) {
        status = store_fail_sqlite(store, error, "cannot be opened");
    }
    if (status == SIGNET_OK) {
        status = store_check_content(store, &version, error);
    }
    if (status == SIGNET_OK &&
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL) != SQLITE_OK) {
        status = store_fail_sqlite(store, error, "cannot be opened");
    }
    if (status == SIGNET_OK) {
        status = store_expect(store, "PRAGMA journal_mode=WAL", "wal", error);
    }
    if (status == SIGNET_OK) {
        status = store_migrate(store, version, error);
    }
    return status == SIGNET_OK ? store_prepare(store, error) : status;
}
