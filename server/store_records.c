/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of the state database: what those of every table share, expiries and frozen grants. Every record
 * carries a digest of itself, and one whose digest is another is never given to anybody. Every function of
 * store.h here and in the other files of records holds the store's mutex from its first statement to its last,
 * so that nothing lands in another thread's transaction.
 */
#include "server/store_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

const char store_cannot_write[] = "cannot be written";

/* ---- Reading and writing, whatever the table ---- */

const char *store_column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    bool is_whole = text != NULL && strlen(text) == (size_t)sqlite3_column_bytes(statement, column);
    return is_whole ? text : NULL;
}

bool store_is_text(const char *text, size_t min, size_t max)
{
    size_t len = strnlen(text, max + 1);
    return len >= min && len <= max;
}

bool store_bind_key(sqlite3_stmt *statement, const struct store_key *key)
{
    return sqlite3_bind_int64(statement, 1, key->kind) == SQLITE_OK &&
           sqlite3_bind_text(statement, 2, key->scope, -1, SQLITE_STATIC) == SQLITE_OK &&
           sqlite3_bind_text(statement, 3, key->name, -1, SQLITE_STATIC) == SQLITE_OK;
}

bool store_bind_page(sqlite3_stmt *statement, const struct store_key *after, size_t max)
{
    int64_t limit = max < INT64_MAX ? (int64_t)max : INT64_MAX;
    return store_bind_key(statement, after) && sqlite3_bind_int64(statement, 4, limit) == SQLITE_OK;
}

signet_status store_walk(const struct sg_store *store, const char *select,
                         const struct store_page *page,
                         bool (*read)(sqlite3_stmt *row, const void *visitor), const void *visitor,
                         struct store_error error)
{
    sqlite3_stmt *statement = NULL;
    bool is_good = true;
    int result = sqlite3_prepare_v2(store->db, select, -1, &statement, NULL);
    if (result == SQLITE_OK &&
        (page == NULL || store_bind_page(statement, &page->after, page->max))) {
        result = sqlite3_step(statement);
    }
    while (result == SQLITE_ROW && (is_good = read(statement, visitor))) {
        result = sqlite3_step(statement);
    }
    signet_status status =
        result == SQLITE_DONE ? SIGNET_OK : store_fail_sqlite(store, error, "cannot be read");
    (void)sqlite3_finalize(statement);
    return is_good ? status : store_fail_unusable(store, error, "is damaged");
}

signet_status store_write(const struct sg_store *store, sqlite3_stmt *write, bool has_values,
                          struct store_error error)
{
    signet_status status = has_values && sqlite3_step(write) == SQLITE_DONE
                               ? SIGNET_OK
                               : store_fail_sqlite(store, error, store_cannot_write);
    (void)sqlite3_reset(write);
    (void)sqlite3_clear_bindings(write);
    return status;
}

static const char *const store_writes[STORE_NUM_WRITES] = {
    [STORE_WRITE_EXPIRY] = "INSERT INTO expiry VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE "
                           "SET last_expiry=excluded.last_expiry, "
                           "recorded_at=excluded.recorded_at, digest=excluded.digest",
    [STORE_FREEZE] = "INSERT INTO frozen VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE "
                     "SET since=excluded.since, digest=excluded.digest",
    [STORE_THAW] = "DELETE FROM frozen WHERE name=?1",
    [STORE_FIND_REVOCATION] = "SELECT kind, scope, name, at, until, by, reason, digest "
                              "FROM revocation WHERE kind=?1 AND scope=?2 AND name=?3",
    [STORE_REVOKE] = "INSERT INTO revocation VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
                     "ON CONFLICT DO UPDATE SET at=excluded.at, until=excluded.until, "
                     "by=excluded.by, reason=excluded.reason, digest=excluded.digest",
    [STORE_FORGET_REVOCATION] = "DELETE FROM revocation WHERE kind=?1 AND scope=?2 AND name=?3",
    [STORE_FIND_CONSUMED] = "SELECT 1 FROM consumed WHERE issuer=?2 AND jti=?3",
    [STORE_CONSUME] = "INSERT INTO consumed VALUES(?2, ?3, ?4, ?5, ?6)",
    [STORE_FORGET_CONSUMED] = "DELETE FROM consumed WHERE issuer=?2 AND jti=?3",
    [STORE_MARK_FORGOTTEN] = "INSERT INTO forgotten VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE "
                             "SET until=excluded.until, digest=excluded.digest",
};

signet_status store_prepare(struct sg_store *store, struct store_error error)
{
    for (size_t i = 0; i < STORE_NUM_WRITES; i++) {
        if (sqlite3_prepare_v3(store->db, store_writes[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->writes[i], NULL) != SQLITE_OK) {
            return store_fail_sqlite(store, error, "cannot be opened");
        }
    }
    return SIGNET_OK;
}

/* ---- Expiries ---- */

/* What tells a record from a damaged one: false if it cannot be one. */
static bool store_digest_expiry(const struct sg_store_expiry *expiry, int64_t *out)
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

struct expiry_visitor {
    void (*visit)(void *context, const struct sg_store_expiry *expiry); /* NULL: nobody asks */
    void *context;
};

static bool store_read_expiry(sqlite3_stmt *row, const void *visitor)
{
    const struct expiry_visitor *asking = visitor;
    int64_t digest = 0;
    const struct sg_store_expiry expiry = {.keyset = store_column_text(row, 0),
                                           .kid = store_column_text(row, 1),
                                           .last_expiry = sqlite3_column_int64(row, 2),
                                           .recorded_at = sqlite3_column_int64(row, 3)};
    bool is_good = expiry.keyset != NULL && expiry.kid != NULL &&
                   store_digest_expiry(&expiry, &digest) && digest == sqlite3_column_int64(row, 4);
    if (is_good && asking->visit != NULL) {
        asking->visit(asking->context, &expiry);
    }
    return is_good;
}

static signet_status store_walk_expiries(const struct sg_store *store,
                                         const struct expiry_visitor *visitor,
                                         struct store_error error)
{
    return store_walk(store, "SELECT keyset, kid, last_expiry, recorded_at, digest FROM expiry",
                      NULL, store_read_expiry, visitor, error);
}

signet_status store_check_expiries(struct sg_store *store, struct store_error error)
{
    return store_walk_expiries(store, &(const struct expiry_visitor){0}, error);
}

signet_status sg_store_read_expiries(struct sg_store *store,
                                     void (*visit)(void *context,
                                                   const struct sg_store_expiry *expiry),
                                     void *context, char *error, size_t error_cap)
{
    const struct expiry_visitor visitor = {.visit = visit, .context = context};
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_walk_expiries(store, &visitor, (struct store_error){.text = error, .cap = error_cap});
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

static signet_status store_write_expiry(const struct sg_store *store,
                                        const struct sg_store_expiry *expiry,
                                        struct store_error error)
{
    sqlite3_stmt *write = store->writes[STORE_WRITE_EXPIRY];
    int64_t digest = 0;
    if (!store_digest_expiry(expiry, &digest)) {
        return store_fail(error, SIGNET_INVALID_ARGUMENT,
                          "a keyset or kid is too long for %s/" STORE_FILE, store->dir);
    }
    bool has_values = sqlite3_bind_text(write, 1, expiry->keyset, -1, SQLITE_STATIC) == SQLITE_OK &&
                      sqlite3_bind_text(write, 2, expiry->kid, -1, SQLITE_STATIC) == SQLITE_OK &&
                      sqlite3_bind_int64(write, 3, expiry->last_expiry) == SQLITE_OK &&
                      sqlite3_bind_int64(write, 4, expiry->recorded_at) == SQLITE_OK &&
                      sqlite3_bind_int64(write, 5, digest) == SQLITE_OK;
    return store_write(store, write, has_values, error);
}

signet_status sg_store_write_expiries(struct sg_store *store,
                                      const struct sg_store_expiry *expiries, size_t num,
                                      char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status = store_begin(store, store_cannot_write, message);
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = store_write_expiry(store, &expiries[i], message);
    }
    status = store_end(store, status, store_cannot_write, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

/* ---- Frozen grants ---- */

static bool store_is_grant(const char *name)
{
    return name[0] != '\0' && strlen(name) <= SG_MAX_GRANT_NAME_LEN;
}

/* False if it cannot be a record. 0 is no time: it would say elsewhere that the grant is not frozen. */
static bool store_digest_frozen(const char *grant, int64_t since, int64_t *out)
{
    char text[SG_MAX_GRANT_NAME_LEN + 64];
    if (!store_is_grant(grant) || since <= 0) {
        return false;
    }
    int len = snprintf(text, sizeof(text), "frozen %s %" PRId64, grant, since);
    *out = (int64_t)XXH3_64bits(text, (size_t)len);
    return true;
}

struct frozen_visitor {
    void (*visit)(void *context, const char *grant, int64_t since); /* NULL: nobody asks */
    void *context;
};

static bool store_read_one_frozen(sqlite3_stmt *row, const void *visitor)
{
    const struct frozen_visitor *asking = visitor;
    const char *grant = store_column_text(row, 0);
    int64_t since = sqlite3_column_int64(row, 1);
    int64_t digest = 0;
    bool is_good = grant != NULL && store_digest_frozen(grant, since, &digest) &&
                   digest == sqlite3_column_int64(row, 2);
    if (is_good && asking->visit != NULL) {
        asking->visit(asking->context, grant, since);
    }
    return is_good;
}

static signet_status store_walk_frozen(const struct sg_store *store,
                                       const struct frozen_visitor *visitor,
                                       struct store_error error)
{
    return store_walk(store, "SELECT name, since, digest FROM frozen", NULL, store_read_one_frozen,
                      visitor, error);
}

signet_status store_check_frozen(struct sg_store *store, struct store_error error)
{
    return store_walk_frozen(store, &(const struct frozen_visitor){0}, error);
}

signet_status sg_store_read_frozen(struct sg_store *store,
                                   void (*visit)(void *context, const char *grant, int64_t since),
                                   void *context, char *error, size_t error_cap)
{
    const struct frozen_visitor visitor = {.visit = visit, .context = context};
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_walk_frozen(store, &visitor, (struct store_error){.text = error, .cap = error_cap});
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

/* values: what the statement takes after the name. */
static signet_status store_change_frozen(const struct sg_store *store, sqlite3_stmt *write,
                                         const char *grant, const int64_t *values, int num_values,
                                         struct store_error error)
{
    signet_status status = store_begin(store, store_cannot_write, error);
    if (status == SIGNET_OK) {
        bool has_values = sqlite3_bind_text(write, 1, grant, -1, SQLITE_STATIC) == SQLITE_OK;
        for (int i = 0; has_values && i < num_values; i++) {
            has_values = sqlite3_bind_int64(write, 2 + i, values[i]) == SQLITE_OK;
        }
        status = store_write(store, write, has_values, error);
    }
    return store_end(store, status, store_cannot_write, error);
}

static signet_status store_fail_grant(const struct sg_store *store, struct store_error error)
{
    return store_fail(error, SIGNET_INVALID_ARGUMENT,
                      "no grant for %s/" STORE_FILE
                      "; expected a name of 1 to %u bytes and a time after 1970",
                      store->dir, SG_MAX_GRANT_NAME_LEN);
}

signet_status sg_store_freeze(struct sg_store *store, const char *grant, int64_t since, char *error,
                              size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    int64_t values[] = {since, 0};
    if (!store_digest_frozen(grant, since, &values[1])) {
        return store_fail_grant(store, message);
    }
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_change_frozen(store, store->writes[STORE_FREEZE], grant, values, 2, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

signet_status sg_store_thaw(struct sg_store *store, const char *grant, char *error,
                            size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    if (!store_is_grant(grant)) {
        return store_fail_grant(store, message);
    }
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_change_frozen(store, store->writes[STORE_THAW], grant, NULL, 0, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}
