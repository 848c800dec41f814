/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store is made of, for server/store*.c only.
 */
#ifndef SG_STORE_PARTS_H
#define SG_STORE_PARTS_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "server/store.h"

#define STORE_FILE "state.db"

/* The statements that change records: made at the start, so that a change needs little memory. */
enum store_write {
    STORE_WRITE_EXPIRY,
    STORE_FREEZE,
    STORE_THAW,
    STORE_NUM_WRITES
};

struct sg_store {
    char *dir; /* without symbolic links, which SQLite is told to refuse */
    int dir_fd;
    sqlite3 *db;
    sqlite3_stmt *writes[STORE_NUM_WRITES];
    pthread_mutex_t mutex; /* held for a whole transaction or reading: there is one connection */
    bool had_log;          /* when it was opened: the last daemon did not close it */
    bool was_clean;
    int64_t stop_id;   /* what a mark of this database says */
    struct stat found; /* the file before it was opened */
};

/* ---- Failing (store_sqlite.c): these return the status that says why ---- */

/* Where a message for people goes. */
struct store_error {
    char *text;
    size_t cap;
};

signet_status store_fail(struct store_error error, signet_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* what: as in "cannot be opened". */
signet_status store_fail_errno(const struct sg_store *store, struct store_error error,
                               const char *name, const char *what, int number);
/* For a database that cannot be used: what to do, and what it costs. */
signet_status store_fail_unusable(const struct sg_store *store, struct store_error error,
                                  const char *what);
/* What the last call of SQLite failed with. */
signet_status store_fail_sqlite(const struct sg_store *store, struct store_error error,
                                const char *what);

/* ---- Asking SQLite (store_sqlite.c) ---- */

signet_status store_run(const struct sg_store *store, const char *sql, const char *what,
                        struct store_error error) SIGNET_MUST_CHECK;
/* The one number that a statement answers with. */
signet_status store_ask(const struct sg_store *store, const char *sql, int64_t *out,
                        struct store_error error) SIGNET_MUST_CHECK;
/* Whether a statement's one answer is the text that it must be. */
signet_status store_expect(const struct sg_store *store, const char *sql, const char *text,
                           struct store_error error) SIGNET_MUST_CHECK;

/* store_begin begins a transaction. After it, whatever happens, store_end commits, or, if status is not
 * SIGNET_OK or that fails, takes everything back. Returns status, or why it could not be committed. */
signet_status store_begin(const struct sg_store *store, const char *what,
                          struct store_error error) SIGNET_MUST_CHECK;
signet_status store_end(const struct sg_store *store, signet_status status, const char *what,
                        struct store_error error) SIGNET_MUST_CHECK;

/* store_open_db opens a file of the directory as the database. */
signet_status store_open_db(struct sg_store *store, const char *name,
                            struct store_error error) SIGNET_MUST_CHECK;
/* store_close_db says whether that worked; it is closed in either case. */
bool store_close_db(struct sg_store *store);

/* ---- The database (store_schema.c) ---- */

/* store_make makes a new one, whole or not at all. */
signet_status store_make(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;
/* store_check_head sees, before SQLite touches it, whose it is. Fills found. */
signet_status store_check_head(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;
/* store_load opens it for use, and brings it to the present version if it is of an earlier one. */
signet_status store_load(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;

/* ---- Records (store_records.c) ---- */

/* These see whether all records of a table are good. */
signet_status store_check_expiries(struct sg_store *store,
                                   struct store_error error) SIGNET_MUST_CHECK;
signet_status store_check_frozen(struct sg_store *store,
                                 struct store_error error) SIGNET_MUST_CHECK;
/* store_prepare makes the statements of enum store_write. */
signet_status store_prepare(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;

#endif
