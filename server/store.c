/* SPDX-License-Identifier: Apache-2.0
 *
 * The state database, and the mark of a clean stop beside it. The mark is a file that is gone while a
 * daemon runs, since removing one takes no room on a disk that is full. It names the database by a random
 * number that is inside, and the file by its inode and the time of its last change, so that it never
 * speaks for another database, nor for a copy that was put back. Never removes or changes a file that it
 * cannot make sense of.
 *
 * SQLite finds damage of its structure; every record carries a digest of itself, for the rest. Damage of
 * the write-ahead log looks like the end of it, which loses the latest records and no others: a database
 * that has a log was not stopped in order, and the bounds of an unclean start make up for them.
 */
#include "server/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/limits.h"

#define STORE_FILE           "state.db"
#define STORE_NEW            "state.db.new" /* one that is being made */
#define STORE_WAL            "state.db-wal"
#define STORE_JOURNAL        "state.db-journal"
#define STORE_MARK           "stopped"
#define STORE_APPLICATION_ID 0x53676e74 /* "Sgnt" */
#define STORE_VERSION        1
#define STORE_MAX_MARK       160u
#define STORE_MAX_PATH       (PATH_MAX + sizeof(STORE_JOURNAL))

/* As sqlite_schema holds them: a database whose schema is not exactly this is not used. */
#define STORE_EXPIRY_TABLE                                                                         \
    "CREATE TABLE expiry(keyset TEXT NOT NULL, kid TEXT NOT NULL, last_expiry INTEGER NOT NULL, "  \
    "recorded_at INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY(keyset, kid)) "            \
    "STRICT, WITHOUT ROWID"
#define STORE_META_TABLE "CREATE TABLE meta(stop_id INTEGER NOT NULL) STRICT"

struct sg_store {
    char *dir; /* without symbolic links, which SQLite is told to refuse */
    int dir_fd;
    sqlite3 *db;
    sqlite3_stmt *write;
    bool had_log; /* when it was opened: the last daemon did not close it */
    bool was_clean;
    int64_t stop_id;   /* what a mark of this database says */
    struct stat found; /* the file before it was opened */
};

/* ---- Failing ---- */

struct store_error {
    char *text;
    size_t cap;
};

static signet_status __attribute__((format(printf, 3, 4)))
store_fail(struct store_error error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error.text, error.cap, format, arguments);
    va_end(arguments);
    return status;
}

/* what: as in "cannot be opened". */
static signet_status store_fail_errno(const struct sg_store *store, struct store_error error,
                                      const char *name, const char *what, int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return store_fail(error, SIGNET_RESOURCE_EXHAUSTED,
                          "%s/%s %s: the disk is full; make room on it (df %s)", store->dir, name,
                          what, store->dir);
    case ENOMEM:
        return store_fail(error, SIGNET_RESOURCE_EXHAUSTED, "%s/%s %s: no memory", store->dir, name,
                          what);
    case EROFS:
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s %s: the file system is read-only; mount it writable (findmnt -T "
                          "%s)",
                          store->dir, name, what, store->dir);
    case EACCES:
    case EPERM:
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s %s: %s; uid %u must be able to write there (ls -la %s)",
                          store->dir, name, what, strerrordesc_np(number), (unsigned)geteuid(),
                          store->dir);
    default:
        return store_fail(error, SIGNET_INTERNAL, "%s/%s %s: %s", store->dir, name, what,
                          strerrordesc_np(number));
    }
}

/* For a database that cannot be used: what to do, and what it costs. */
static signet_status store_fail_unusable(const struct sg_store *store, struct store_error error,
                                         const char *what)
{
    return store_fail(error, SIGNET_FAILED_PRECONDITION,
                      "%s/" STORE_FILE " %s; put back a good copy, or start without it: "
                      "cd %s && mkdir state.bad && mv state.db* state.bad/ "
                      "(no key and no token is lost; old keys are kept until no token of theirs "
                      "can be alive)",
                      store->dir, what, store->dir);
}

/* What the last call of SQLite failed with. */
static signet_status store_fail_sqlite(const struct sg_store *store, struct store_error error,
                                       const char *what)
{
    int code = sqlite3_extended_errcode(store->db);
    int number = sqlite3_system_errno(store->db);
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* what we ask is fixed, so that it is the file that cannot answer */
    case SQLITE_ROW:   /* it worked, but what came back is not what is written there */
    case SQLITE_DONE:
        return store_fail_unusable(store, error, "is damaged");
    case SQLITE_BUSY:
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" STORE_FILE " is open in another program; end that first "
                          "(fuser -v %s/" STORE_FILE ")",
                          store->dir, store->dir);
    case SQLITE_FULL:
        return store_fail_errno(store, error, STORE_FILE, what, ENOSPC);
    case SQLITE_NOMEM:
        return store_fail_errno(store, error, STORE_FILE, what, ENOMEM);
    case SQLITE_READONLY:
        return store_fail_errno(store, error, STORE_FILE, what, EACCES);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (code != SQLITE_IOERR_NOMEM && number != 0) {
            return store_fail_errno(store, error, STORE_FILE, what, number);
        }
        break;
    default:
        break;
    }
    return store_fail(
        error, code == SQLITE_IOERR_NOMEM ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_INTERNAL,
        "%s/" STORE_FILE " %s: %s (SQLite %d)", store->dir, what, sqlite3_errmsg(store->db), code);
}

/* ---- Who may touch it ---- */

static signet_status store_check_dir(const struct sg_store *store, struct store_error error)
{
    struct stat info;
    if (fstat(store->dir_fd, &info) != 0) {
        return store_fail_errno(store, error, "", "cannot be looked at", errno);
    }
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s belongs to uid %u, who could replace what is in it; chown %u %s",
                          store->dir, (unsigned)info.st_uid, (unsigned)geteuid(), store->dir);
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s has mode %04o, so that others could replace what is in it; "
                          "chmod go-w %s",
                          store->dir, (unsigned)(info.st_mode & 07777u), store->dir);
    }
    return SIGNET_OK;
}

/* *size is that of the file, 0 if there is none. */
static signet_status store_check_file(const struct sg_store *store, const char *name, bool *exists,
                                      off_t *size, struct store_error error)
{
    struct stat info;
    *exists = false;
    *size = 0;
    if (fstatat(store->dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? SIGNET_OK
                               : store_fail_errno(store, error, name, "cannot be looked at", errno);
    }
    if (!S_ISREG(info.st_mode)) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s is in the way and is no regular file; move it elsewhere",
                          store->dir, name);
    }
    if (info.st_uid != geteuid()) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s belongs to uid %u and not to the daemon's user; chown %u %s/%s",
                          store->dir, name, (unsigned)info.st_uid, (unsigned)geteuid(), store->dir,
                          name);
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s has mode %04o, so that others can get at it; chmod 0600 %s/%s",
                          store->dir, name, (unsigned)(info.st_mode & 07777u), store->dir, name);
    }
    *exists = true;
    *size = info.st_size;
    return SIGNET_OK;
}

/* A log or journal without its database would be played into the next one. */
static signet_status store_check_files(struct sg_store *store, bool *exists,
                                       struct store_error error)
{
    bool has_log = false;
    bool has_journal = false;
    off_t size = 0;
    off_t log_size = 0;
    off_t journal_size = 0;
    signet_status status = store_check_file(store, STORE_FILE, exists, &size, error);
    if (status == SIGNET_OK) {
        status = store_check_file(store, STORE_WAL, &has_log, &log_size, error);
    }
    if (status == SIGNET_OK) {
        status = store_check_file(store, STORE_JOURNAL, &has_journal, &journal_size, error);
    }
    if (status == SIGNET_OK && !*exists && log_size + journal_size > 0) {
        status = store_fail_unusable(store, error, "is missing, and its log is there");
    }
    store->had_log = log_size + journal_size > 0;
    return status;
}

/* ---- Opening ---- */

static signet_status store_run(const struct sg_store *store, const char *sql, const char *what,
                               struct store_error error)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? SIGNET_OK
               : store_fail_sqlite(store, error, what);
}

/* The one number that a statement answers with. */
static signet_status store_ask(const struct sg_store *store, const char *sql, int64_t *out,
                               struct store_error error)
{
    sqlite3_stmt *statement = NULL;
    signet_status status = SIGNET_OK;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        status = store_fail_sqlite(store, error, "cannot be read");
    } else {
        *out = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* Whether a statement's one answer is the text that it must be. */
static signet_status store_expect(const struct sg_store *store, const char *sql, const char *text,
                                  struct store_error error)
{
    sqlite3_stmt *statement = NULL;
    signet_status status = SIGNET_OK;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        status = store_fail_sqlite(store, error, "cannot be read");
    } else {
        const char *answer = (const char *)sqlite3_column_text(statement, 0);
        if (answer == NULL || strcmp(answer, text) != 0) {
            status = store_fail_unusable(store, error, "is damaged");
        }
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* Never through a link, never as a URI (the path begins with '/'), and nothing in the file can run. */
static signet_status store_open_db(struct sg_store *store, const char *name,
                                   struct store_error error)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
                      SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_FULLMUTEX;
    char path[STORE_MAX_PATH];
    (void)snprintf(path, sizeof(path), "%s/%s", store->dir, name);
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        return store->db == NULL ? store_fail_errno(store, error, name, "cannot be opened", ENOMEM)
                                 : store_fail_sqlite(store, error, "cannot be opened");
    }
    if (sqlite3_db_readonly(store->db, "main") != 0) {
        return store_fail_errno(store, error, name, "cannot be opened for writing", EROFS);
    }
    if (sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) != SQLITE_OK) {
        return store_fail_sqlite(store, error, "cannot be opened");
    }
    /* Alone with it, so that the log needs no shared memory. */
    return store_run(store,
                     "PRAGMA locking_mode=EXCLUSIVE;"
                     "PRAGMA trusted_schema=OFF;"
                     "PRAGMA cell_size_check=ON;"
                     "PRAGMA synchronous=FULL;"
                     "PRAGMA temp_store=MEMORY;"
                     "PRAGMA mmap_size=0;"
                     "PRAGMA cache_size=-512;",
                     "cannot be opened", error);
}

static bool store_close_db(struct sg_store *store)
{
    (void)sqlite3_finalize(store->write);
    store->write = NULL;
    bool closed = sqlite3_close(store->db) == SQLITE_OK;
    store->db = NULL;
    return closed;
}

/* ---- A new database ---- */

static signet_status store_fill_new(struct sg_store *store, struct store_error error)
{
    char sql[640];
    int64_t id = 0;
    if (getentropy(&id, sizeof(id)) != 0) {
        return store_fail_errno(store, error, STORE_FILE, "gets no random number", errno);
    }
    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA auto_vacuum=NONE;"
                   "PRAGMA journal_mode=MEMORY;"
                   "BEGIN IMMEDIATE;"
                   "PRAGMA application_id=%d;"
                   "PRAGMA user_version=%d;" STORE_EXPIRY_TABLE ";" STORE_META_TABLE ";"
                   "INSERT INTO meta VALUES(%" PRId64 ");"
                   "COMMIT;",
                   STORE_APPLICATION_ID, STORE_VERSION, id);
    signet_status status = store_open_db(store, STORE_NEW, error);
    if (status == SIGNET_OK) {
        status = store_run(store, sql, "cannot be made", error);
    }
    if (!store_close_db(store) && status == SIGNET_OK) {
        status = store_fail_errno(store, error, STORE_NEW, "cannot be closed", EIO);
    }
    return status;
}

/* Under another name, so that a state.db is complete or not there: an empty one is damaged. */
static signet_status store_make(struct sg_store *store, struct store_error error)
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
    return version == STORE_VERSION ? SIGNET_OK : store_fail_unusable(store, error, "is damaged");
}

static uint32_t store_read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Looks at the head of the file (section 1.3 of SQLite's file format), since SQLite would play a log or
 * a journal into a database that is not ours before it says whose it is. */
static signet_status store_check_head(struct sg_store *store, struct store_error error)
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

/* ---- Records ---- */

/* What tells a record from a damaged one: false if it cannot be one. */
static bool store_digest(const struct sg_store_expiry *expiry, int64_t *out)
{
    char text[SG_MAX_KEYSET_NAME_LEN + SG_MAX_KID_LEN + 64];
    if (strlen(expiry->keyset) > SG_MAX_KEYSET_NAME_LEN || strlen(expiry->kid) > SG_MAX_KID_LEN) {
        return false;
    }
    int len = snprintf(text, sizeof(text), "%s %s %" PRId64 " %" PRId64, expiry->keyset,
                       expiry->kid, expiry->last_expiry, expiry->recorded_at);
    *out = (int64_t)XXH3_64bits(text, (size_t)len);
    return true;
}

static bool store_read_row(sqlite3_stmt *statement, struct sg_store_expiry *out)
{
    int64_t digest = 0;
    out->keyset = (const char *)sqlite3_column_text(statement, 0);
    out->kid = (const char *)sqlite3_column_text(statement, 1);
    out->last_expiry = sqlite3_column_int64(statement, 2);
    out->recorded_at = sqlite3_column_int64(statement, 3);
    return out->keyset != NULL && out->kid != NULL && store_digest(out, &digest) &&
           digest == sqlite3_column_int64(statement, 4);
}

/* visit may be NULL, to see whether all are good. */
static signet_status store_walk(const struct sg_store *store,
                                void (*visit)(void *context, const struct sg_store_expiry *expiry),
                                void *context, struct store_error error)
{
    sqlite3_stmt *statement = NULL;
    struct sg_store_expiry expiry;
    bool is_good = true;
    int result = sqlite3_prepare_v2(
        store->db, "SELECT keyset, kid, last_expiry, recorded_at, digest FROM expiry", -1,
        &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    while (result == SQLITE_ROW && (is_good = store_read_row(statement, &expiry))) {
        if (visit != NULL) {
            visit(context, &expiry);
        }
        result = sqlite3_step(statement);
    }
    signet_status status =
        result == SQLITE_DONE ? SIGNET_OK : store_fail_sqlite(store, error, "cannot be read");
    (void)sqlite3_finalize(statement);
    return is_good ? status : store_fail_unusable(store, error, "is damaged");
}

signet_status sg_store_read_expiries(struct sg_store *store,
                                     void (*visit)(void *context,
                                                   const struct sg_store_expiry *expiry),
                                     void *context, char *error, size_t error_cap)
{
    return store_walk(store, visit, context, (struct store_error){.text = error, .cap = error_cap});
}

static signet_status store_write_one(const struct sg_store *store,
                                     const struct sg_store_expiry *expiry, struct store_error error)
{
    sqlite3_stmt *write = store->write;
    signet_status status = SIGNET_OK;
    int64_t digest = 0;
    if (!store_digest(expiry, &digest)) {
        return store_fail(error, SIGNET_INVALID_ARGUMENT,
                          "a keyset or kid is too long for %s/" STORE_FILE, store->dir);
    }
    if (sqlite3_bind_text(write, 1, expiry->keyset, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(write, 2, expiry->kid, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(write, 3, expiry->last_expiry) != SQLITE_OK ||
        sqlite3_bind_int64(write, 4, expiry->recorded_at) != SQLITE_OK ||
        sqlite3_bind_int64(write, 5, digest) != SQLITE_OK || sqlite3_step(write) != SQLITE_DONE) {
        status = store_fail_sqlite(store, error, "cannot be written");
    }
    (void)sqlite3_reset(write);
    (void)sqlite3_clear_bindings(write);
    return status;
}

signet_status sg_store_write_expiries(struct sg_store *store,
                                      const struct sg_store_expiry *expiries, size_t num,
                                      char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    signet_status status = store_run(store, "BEGIN IMMEDIATE", "cannot be written", message);
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = store_write_one(store, &expiries[i], message);
    }
    if (status == SIGNET_OK) {
        status = store_run(store, "COMMIT", "cannot be written", message);
    }
    /* Some failures have rolled back already. */
    if (status != SIGNET_OK && sqlite3_get_autocommit(store->db) == 0) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

/* ---- Using it ---- */

/* Whether SQLite finds in it what we wrote. */
static signet_status store_check_content(struct sg_store *store, struct store_error error)
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
        status = store_expect(store,
                              "SELECT group_concat(sql, ';') FROM "
                              "(SELECT sql FROM sqlite_schema ORDER BY name)",
                              STORE_EXPIRY_TABLE ";" STORE_META_TABLE, error);
    }
    if (status == SIGNET_OK) {
        status = store_ask(store, "SELECT stop_id FROM meta", &store->stop_id, error);
    }
    return status == SIGNET_OK ? store_walk(store, NULL, NULL, error) : status;
}

/* Until it was found good, its log is not played into it, not even by closing it. */
static signet_status store_load(struct sg_store *store, struct store_error error)
{
    signet_status status = store_open_db(store, STORE_FILE, error);
    if (status == SIGNET_OK && sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                                                 store->had_log ? 1 : 0, NULL) != SQLITE_OK) {
        status = store_fail_sqlite(store, error, "cannot be opened");
    }
    if (status == SIGNET_OK) {
        status = store_check_content(store, error);
    }
    if (status == SIGNET_OK &&
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL) != SQLITE_OK) {
        status = store_fail_sqlite(store, error, "cannot be opened");
    }
    if (status == SIGNET_OK) {
        status = store_expect(store, "PRAGMA journal_mode=WAL", "wal", error);
    }
    if (status == SIGNET_OK &&
        sqlite3_prepare_v3(store->db,
                           "INSERT INTO expiry VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE "
                           "SET last_expiry=excluded.last_expiry, "
                           "recorded_at=excluded.recorded_at, digest=excluded.digest",
                           -1, SQLITE_PREPARE_PERSISTENT, &store->write, NULL) != SQLITE_OK) {
        status = store_fail_sqlite(store, error, "cannot be opened");
    }
    return status;
}

/* ---- The mark ---- */

/* The time of the last change is the kernel's to set: a copy that was put back has another. */
static void store_mark_text(const struct sg_store *store, const struct stat *file,
                            char out[STORE_MAX_MARK])
{
    (void)snprintf(out, STORE_MAX_MARK, "stopped %016" PRIx64 " %ju %jd %jd.%09ld\n",
                   (uint64_t)store->stop_id, (uintmax_t)file->st_ino, (intmax_t)file->st_size,
                   (intmax_t)file->st_ctim.tv_sec, file->st_ctim.tv_nsec);
}

static bool store_has_mark(const struct sg_store *store)
{
    char found[STORE_MAX_MARK];
    char expected[STORE_MAX_MARK];
    int fd = openat(store->dir_fd, STORE_MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, found, sizeof(found) - 1);
    (void)close(fd);
    found[len > 0 ? len : 0] = '\0';
    store_mark_text(store, &store->found, expected);
    return !store->had_log && strcmp(found, expected) == 0;
}

/* A mark that outlives the start would say after a crash that all was written, so that nothing starts
 * with it there. */
static signet_status store_take_mark(struct sg_store *store, struct store_error error)
{
    bool has_mark = store_has_mark(store);
    if (unlinkat(store->dir_fd, STORE_MARK, 0) != 0 && errno != ENOENT) {
        int number = errno;
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" STORE_MARK " cannot be removed (%s), and with it a crash would go "
                          "unseen; rm -r %s/" STORE_MARK,
                          store->dir, strerrordesc_np(number), store->dir);
    }
    if (fsync(store->dir_fd) != 0) {
        return store_fail_errno(store, error, STORE_MARK, "cannot be removed durably", errno);
    }
    store->was_clean = has_mark;
    return SIGNET_OK;
}

static signet_status store_write_mark(const struct sg_store *store, const char *text,
                                      struct store_error error)
{
    size_t len = strlen(text);
    int fd = openat(store->dir_fd, STORE_MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_MARK, "cannot be made", errno);
    }
    errno = EIO; /* for a write that is short without saying why */
    bool written = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int number = errno;
    (void)close(fd);
    if (written && fsync(store->dir_fd) == 0) {
        return SIGNET_OK;
    }
    number = written ? errno : number;
    (void)unlinkat(store->dir_fd, STORE_MARK, 0);
    return store_fail_errno(store, error, STORE_MARK, "cannot be written", number);
}

/* The database is closed, and its log was moved into it. */
static signet_status store_set_mark(const struct sg_store *store, struct store_error error)
{
    char text[STORE_MAX_MARK];
    struct stat info;
    int fd = openat(store->dir_fd, STORE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be opened", errno);
    }
    bool failed = fsync(fd) != 0 || fstat(fd, &info) != 0;
    int number = errno;
    (void)close(fd);
    if (failed) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be written", number);
    }
    store_mark_text(store, &info, text);
    return store_write_mark(store, text, error);
}

/* ---- Life ---- */

static signet_status store_open_dir(struct sg_store *store, const char *dir,
                                    struct store_error error)
{
    store->dir = realpath(dir, NULL);
    store->dir_fd =
        store->dir == NULL ? -1 : open(store->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->dir_fd < 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s cannot be used: %s; expected a directory", dir,
                          strerrordesc_np(errno));
    }
    return store_check_dir(store, error);
}

static signet_status store_open_all(struct sg_store *store, const char *dir,
                                    struct store_error error)
{
    bool exists = false;
    signet_status status = store_open_dir(store, dir, error);
    if (status == SIGNET_OK) {
        status = store_check_files(store, &exists, error);
    }
    if (status == SIGNET_OK && !exists) {
        status = store_make(store, error);
    }
    if (status == SIGNET_OK) {
        status = store_check_head(store, error);
    }
    if (status == SIGNET_OK) {
        status = store_load(store, error);
    }
    return status == SIGNET_OK ? store_take_mark(store, error) : status;
}

static void store_release(struct sg_store *store)
{
    if (store->dir_fd >= 0) {
        (void)close(store->dir_fd);
    }
    free(store->dir);
    free(store);
}

signet_status sg_store_open(const char *dir, struct sg_store **out, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    struct sg_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return store_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory for the state in %s", dir);
    }
    store->dir_fd = -1;
    signet_status status = store_open_all(store, dir, message);
    if (status != SIGNET_OK) {
        sg_store_close(store);
        return status;
    }
    *out = store;
    return SIGNET_OK;
}

void sg_store_close(struct sg_store *store)
{
    if (store != NULL) {
        (void)store_close_db(store);
        store_release(store);
    }
}

bool sg_store_was_clean(const struct sg_store *store)
{
    return store->was_clean;
}

signet_status sg_store_stop(struct sg_store *store, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    signet_status status = SIGNET_OK;
    if (store == NULL) {
        return SIGNET_OK;
    }
    /* Closing would do it too, and not say that it failed. */
    if (sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
        SQLITE_OK) {
        status = store_fail_sqlite(store, message, "cannot be written");
    }
    if (!store_close_db(store) && status == SIGNET_OK) {
        status = store_fail_errno(store, message, STORE_FILE, "cannot be closed", EIO);
    }
    if (status == SIGNET_OK) {
        status = store_set_mark(store, message);
    }
    store_release(store);
    return status;
}
