/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store asks of SQLite, and what it says if SQLite or a file fails.
 */
#include "server/store_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STORE_MAX_PATH (PATH_MAX + sizeof("state.db-journal"))

/* ---- Failing ---- */

signet_status store_fail(struct store_error error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error.text, error.cap, format, arguments);
    va_end(arguments);
    return status;
}

signet_status store_fail_errno(const struct sg_store *store, struct store_error error,
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

signet_status store_fail_unusable(const struct sg_store *store, struct store_error error,
                                  const char *what)
{
    return store_fail(error, SIGNET_FAILED_PRECONDITION,
                      "%s/" STORE_FILE " %s; put back a good copy, or start without it: "
                      "cd %s && mkdir state.bad && mv state.db* state.bad/ "
                      "(no key and no token is lost; old keys are kept until no token of theirs "
                      "can be alive, frozen grants are thawed, what was revoked is good again, and "
                      "what was used up can be used again)",
                      store->dir, what, store->dir);
}

signet_status store_fail_sqlite(const struct sg_store *store, struct store_error error,
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

/* ---- Asking it ---- */

signet_status store_run(const struct sg_store *store, const char *sql, const char *what,
                        struct store_error error)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? SIGNET_OK
               : store_fail_sqlite(store, error, what);
}

signet_status store_ask(const struct sg_store *store, const char *sql, int64_t *out,
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

signet_status store_expect(const struct sg_store *store, const char *sql, const char *text,
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

signet_status store_begin(const struct sg_store *store, const char *what, struct store_error error)
{
    return store_run(store, "BEGIN IMMEDIATE", what, error);
}

signet_status store_end(const struct sg_store *store, signet_status status, const char *what,
                        struct store_error error)
{
    if (status == SIGNET_OK) {
        status = store_run(store, "COMMIT", what, error);
    }
    /* Some failures have rolled back already. */
    if (status != SIGNET_OK && sqlite3_get_autocommit(store->db) == 0) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

/* ---- Opening it ---- */

/* Never through a link, never as a URI (the path begins with '/'), and nothing in the file can run. */
signet_status store_open_db(struct sg_store *store, const char *name, struct store_error error)
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

signet_status store_open_memory(struct sg_store *store, struct store_error error)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_PRIVATECACHE |
                      SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(":memory:", &store->db, flags, NULL) == SQLITE_OK) {
        return SIGNET_OK;
    }
    return store->db == NULL
               ? store_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the state")
               : store_fail_sqlite(store, error, "cannot be made");
}

bool store_close_db(struct sg_store *store)
{
    for (size_t i = 0; i < STORE_NUM_WRITES; i++) {
        (void)sqlite3_finalize(store->writes[i]);
        store->writes[i] = NULL;
    }
    bool closed = sqlite3_close(store->db) == SQLITE_OK;
    store->db = NULL;
    return closed;
}
