/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store is made of, for server/store*.c only.
 */
#ifndef SG_STORE_PARTS_H
#define SG_STORE_PARTS_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "common/limits.h"
#include "server/store.h"

#define STORE_FILE "state.db"

/* The statements that change records, and what is asked before: made at the start, so that a change needs
 * little memory. */
enum store_write {
    STORE_WRITE_EXPIRY,
    STORE_FREEZE,
    STORE_THAW,
    STORE_FIND_REVOCATION,
    STORE_REVOKE,
    STORE_FORGET_REVOCATION,
    STORE_FIND_CONSUMED,
    STORE_CONSUME,
    STORE_FORGET_CONSUMED,
    STORE_MARK_FORGOTTEN,
    STORE_NUM_WRITES
};

/* The key of a revocation; of what is consumed, issuer and jti are scope and name, and kind says nothing. */
struct store_key {
    int64_t kind;
    const char *scope, *name;
};

/* The last record that was looked at, to go on after it. All zero: before the first. */
struct store_place {
    int64_t kind;
    char scope[SG_MAX_ISSUER_LEN + 1];
    char name[SG_MAX_KID_LEN + 1];
};

struct store_count {
    uid_t uid;
    uint64_t num;
    uint64_t num_going; /* of num: forgotten in a transaction that is not over */
};

/* How many records each uid has, by uid; only uids that have some. */
struct store_counts {
    struct store_count *list; /* owned */
    size_t num, cap;
};

/* How late a used token that was forgotten could be good: the latest of all. 0: none was. */
struct store_horizon {
    int64_t until;
    int64_t going; /* likewise, of those that are forgotten in a transaction that is not over */
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
    struct store_counts consumed;
    struct store_horizon forgotten;                 /* of used tokens */
    struct store_place revocations_at, consumed_at; /* where forgetting goes on */
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
/* store_open_memory opens one that is nowhere but in memory, and empty. */
signet_status store_open_memory(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;
/* store_close_db says whether that worked; it is closed in either case. */
bool store_close_db(struct sg_store *store);

/* ---- The database (store_schema.c) ---- */

/* store_fill makes all tables in an empty database that is open. */
signet_status store_fill(struct sg_store *store, struct store_error error) SIGNET_MUST_CHECK;
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

/* What records of every table share. */
extern const char store_cannot_write[];

/* store_column_text gives NULL if it is no text, or has more than C sees. */
const char *store_column_text(sqlite3_stmt *statement, int column);
/* store_is_text says whether a text has from min to max bytes. */
bool store_is_text(const char *text, size_t min, size_t max);

/* store_bind_key gives a statement a key as ?1, ?2 and ?3. */
bool store_bind_key(sqlite3_stmt *statement, const struct store_key *key);
/* store_bind_page gives it as well, as ?4, how many records it may answer with. */
bool store_bind_page(sqlite3_stmt *statement, const struct store_key *after, size_t max);

/* Some of the records of a table. */
struct store_page {
    struct store_key after;
    size_t max;
};

/* store_walk reads the rows of a select, which takes page's values (NULL: none). read gets one row after the
 * other, and says whether it is good. */
signet_status store_walk(const struct sg_store *store, const char *select,
                         const struct store_page *page,
                         bool (*read)(sqlite3_stmt *row, const void *visitor), const void *visitor,
                         struct store_error error) SIGNET_MUST_CHECK;
/* store_write runs a statement that has its values, unless giving it one has failed. */
signet_status store_write(const struct sg_store *store, sqlite3_stmt *write, bool has_values,
                          struct store_error error) SIGNET_MUST_CHECK;

/* ---- Forgetting (store_forget.c) ---- */

/* What a record that is forgotten in time is to it. */
struct store_mortal {
    struct store_key key;
    int64_t until;
    uid_t uid;
};

/* A table of such records. */
struct store_mortals {
    const char *select;      /* at most ?4 of them after the key ?1, ?2, ?3, in the order of keys */
    enum store_write forget; /* the one of the key ?1, ?2, ?3 */
    /* False if it is not as it was written. */
    bool (*read)(sqlite3_stmt *row, struct store_mortal *out);
    /* Called with each that is gone if the transaction succeeds; NULL: nobody asks. */
    void (*note)(struct sg_store *store, const struct store_mortal *gone);
    /* Writes, in the transaction that removes some, what must be known of them afterwards; NULL: nothing. */
    signet_status (*remember)(struct sg_store *store, struct store_error error);
};

/* store_forget looks at no more than max records, from *place on and around to it again, and removes those
 * whose time is over. *place and *num_forgotten change on success only. */
signet_status store_forget(struct sg_store *store, const struct store_mortals *table,
                           struct store_place *place, int64_t now, size_t max,
                           size_t *num_forgotten, struct store_error error) SIGNET_MUST_CHECK;

/* ---- Revocations (store_revocations.c) and what is used up (store_consumed.c) ---- */

signet_status store_check_revocations(struct sg_store *store,
                                      struct store_error error) SIGNET_MUST_CHECK;
/* This one counts them as well. */
signet_status store_check_consumed(struct sg_store *store,
                                   struct store_error error) SIGNET_MUST_CHECK;
/* Which of them were forgotten: reads the horizon. */
signet_status store_check_forgotten(struct sg_store *store,
                                    struct store_error error) SIGNET_MUST_CHECK;
void store_free_counts(struct store_counts *counts);

#endif
