/* SPDX-License-Identifier: Apache-2.0
 *
 * What is revoked: single tokens, subjects, keysets and keys. A revocation never shrinks: neither its time nor
 * how long it is remembered gets earlier. Nothing here knows what a token is.
 */
#include "server/store_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define STORE_SELECT_REVOCATIONS                                                                   \
    "SELECT kind, scope, name, at, until, by, reason, digest FROM revocation"
#define STORE_SELECT_REVOCATIONS_AFTER                                                             \
    STORE_SELECT_REVOCATIONS " WHERE (kind, scope, name) > (?1, ?2, ?3) "                          \
                             "ORDER BY kind, scope, name LIMIT ?4"

/* ---- What can be one ---- */

/* How long names are. */
static const struct store_revocation_kind {
    size_t max_scope, min_name, max_name;
} store_revocation_kinds[] = {
    [SG_STORE_REVOKED_TOKEN] = {SG_MAX_ISSUER_LEN, 1, SG_MAX_JTI_LEN},
    [SG_STORE_REVOKED_SUBJECT] = {SG_MAX_ISSUER_LEN, 1, SG_MAX_SUBJECT_LEN},
    [SG_STORE_REVOKED_KEYSET] = {SG_MAX_KEYSET_NAME_LEN, 0, 0},
    [SG_STORE_REVOKED_KID] = {SG_MAX_KEYSET_NAME_LEN, 1, SG_MAX_KID_LEN},
};

static bool store_is_kind(int64_t kind)
{
    return kind >= SG_STORE_REVOKED_TOKEN && kind <= SG_STORE_REVOKED_KID;
}

static bool store_is_revocation(const struct sg_store_revocation *revocation)
{
    if (!store_is_kind(revocation->kind)) {
        return false;
    }
    const struct store_revocation_kind *kind = &store_revocation_kinds[revocation->kind];
    return store_is_text(revocation->scope, 1, kind->max_scope) &&
           store_is_text(revocation->name, kind->min_name, kind->max_name) &&
           store_is_text(revocation->reason, 0, SG_MAX_REASON_LEN) && revocation->at > 0 &&
           revocation->until > 0;
}

/* False if it cannot be a record. The lengths keep apart what two names could share. */
static bool store_digest_revocation(const struct sg_store_revocation *revocation, int64_t *out)
{
    char text[SG_MAX_ISSUER_LEN + SG_MAX_KID_LEN + SG_MAX_REASON_LEN + 128];
    if (!store_is_revocation(revocation)) {
        return false;
    }
    int len =
        snprintf(text, sizeof(text), "revocation %d %zu %s %zu %s %" PRId64 " %" PRId64 " %u %s",
                 (int)revocation->kind, strlen(revocation->scope), revocation->scope,
                 strlen(revocation->name), revocation->name, revocation->at, revocation->until,
                 (unsigned)revocation->by, revocation->reason);
    *out = (int64_t)XXH3_64bits(text, (size_t)len);
    return true;
}

/* ---- Reading ---- */

/* False if it is not as it was written. The strings live until the statement goes on. */
static bool store_get_revocation(sqlite3_stmt *row, struct sg_store_revocation *out)
{
    int64_t kind = sqlite3_column_int64(row, 0);
    int64_t by = sqlite3_column_int64(row, 5);
    int64_t digest = 0;
    *out = (struct sg_store_revocation){.kind = (enum sg_store_revocation_kind)kind,
                                        .scope = store_column_text(row, 1),
                                        .name = store_column_text(row, 2),
                                        .at = sqlite3_column_int64(row, 3),
                                        .until = sqlite3_column_int64(row, 4),
                                        .by = (uid_t)by,
                                        .reason = store_column_text(row, 6)};
    return store_is_kind(kind) && by == (int64_t)out->by && out->scope != NULL &&
           out->name != NULL && out->reason != NULL && store_digest_revocation(out, &digest) &&
           digest == sqlite3_column_int64(row, 7);
}

struct revocation_visitor {
    void (*visit)(void *context,
                  const struct sg_store_revocation *revocation); /* NULL: nobody asks */
    void *context;
};

static bool store_read_revocation(sqlite3_stmt *row, const void *visitor)
{
    const struct revocation_visitor *asking = visitor;
    struct sg_store_revocation revocation;
    bool is_good = store_get_revocation(row, &revocation);
    if (is_good && asking->visit != NULL) {
        asking->visit(asking->context, &revocation);
    }
    return is_good;
}

signet_status store_check_revocations(struct sg_store *store, struct store_error error)
{
    return store_walk(store, STORE_SELECT_REVOCATIONS, NULL, store_read_revocation,
                      &(const struct revocation_visitor){0}, error);
}

signet_status sg_store_list_revocations(struct sg_store *store,
                                        const struct sg_store_revocation_key *after, size_t max,
                                        void (*visit)(void *context,
                                                      const struct sg_store_revocation *revocation),
                                        void *context, char *error, size_t error_cap)
{
    const struct revocation_visitor visitor = {.visit = visit, .context = context};
    struct store_page page = {.after = {0, "", ""}, .max = max};
    if (after != NULL) {
        page.after = (struct store_key){after->kind, after->scope, after->name};
    }
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_walk(store, STORE_SELECT_REVOCATIONS_AFTER, &page, store_read_revocation, &visitor,
                   (struct store_error){.text = error, .cap = error_cap});
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

signet_status sg_store_read_revocations(struct sg_store *store,
                                        void (*visit)(void *context,
                                                      const struct sg_store_revocation *revocation),
                                        void *context, char *error, size_t error_cap)
{
    return sg_store_list_revocations(store, NULL, SIZE_MAX, visit, context, error, error_cap);
}

/* ---- Revoking ---- */

static struct store_key store_revocation_key(const struct sg_store_revocation *revocation)
{
    return (struct store_key){revocation->kind, revocation->scope, revocation->name};
}

/* Gives a revocation the later times of the one that is there already. */
static signet_status store_merge_revocation(const struct sg_store *store,
                                            struct sg_store_revocation *revocation,
                                            struct store_error error)
{
    sqlite3_stmt *find = store->writes[STORE_FIND_REVOCATION];
    const struct store_key key = store_revocation_key(revocation);
    struct sg_store_revocation found;
    signet_status status = SIGNET_OK;
    int result = store_bind_key(find, &key) ? sqlite3_step(find) : SQLITE_NOMEM;
    if (result == SQLITE_ROW && store_get_revocation(find, &found)) {
        revocation->at = found.at > revocation->at ? found.at : revocation->at;
        revocation->until = found.until > revocation->until ? found.until : revocation->until;
    } else if (result == SQLITE_ROW) {
        status = store_fail_unusable(store, error, "is damaged");
    } else if (result != SQLITE_DONE) {
        status = store_fail_sqlite(store, error, "cannot be read");
    }
    (void)sqlite3_reset(find);
    (void)sqlite3_clear_bindings(find);
    return status;
}

static signet_status store_write_revocation(const struct sg_store *store,
                                            const struct sg_store_revocation *revocation,
                                            struct store_error error)
{
    sqlite3_stmt *write = store->writes[STORE_REVOKE];
    const struct store_key key = store_revocation_key(revocation);
    int64_t digest = 0;
    bool has_values =
        store_digest_revocation(revocation, &digest) && store_bind_key(write, &key) &&
        sqlite3_bind_int64(write, 4, revocation->at) == SQLITE_OK &&
        sqlite3_bind_int64(write, 5, revocation->until) == SQLITE_OK &&
        sqlite3_bind_int64(write, 6, revocation->by) == SQLITE_OK &&
        sqlite3_bind_text(write, 7, revocation->reason, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(write, 8, digest) == SQLITE_OK;
    return store_write(store, write, has_values, error);
}

static signet_status store_revoke_one(const struct sg_store *store,
                                      struct sg_store_revocation revocation,
                                      struct store_error error)
{
    if (!store_is_revocation(&revocation)) {
        return store_fail(error, SIGNET_INVALID_ARGUMENT,
                          "no revocation for %s/" STORE_FILE
                          "; expected a kind, an issuer or keyset and a name within their "
                          "lengths, a reason of at most %u bytes and times after 1970",
                          store->dir, SG_MAX_REASON_LEN);
    }
    signet_status status = store_merge_revocation(store, &revocation, error);
    return status == SIGNET_OK ? store_write_revocation(store, &revocation, error) : status;
}

signet_status sg_store_revoke(struct sg_store *store, const struct sg_store_revocation *revocations,
                              size_t num, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status = store_begin(store, store_cannot_write, message);
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = store_revoke_one(store, revocations[i], message);
    }
    status = store_end(store, status, store_cannot_write, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

/* ---- Forgetting ---- */

static bool store_read_mortal_revocation(sqlite3_stmt *row, struct store_mortal *out)
{
    struct sg_store_revocation revocation;
    bool is_good = store_get_revocation(row, &revocation);
    if (is_good) {
        *out = (struct store_mortal){.key = store_revocation_key(&revocation),
                                     .until = revocation.until,
                                     .uid = revocation.by};
    }
    return is_good;
}

signet_status sg_store_forget_revocations(struct sg_store *store, int64_t now, size_t max,
                                          size_t *num_forgotten, char *error, size_t error_cap)
{
    static const struct store_mortals table = {.select = STORE_SELECT_REVOCATIONS_AFTER,
                                               .forget = STORE_FORGET_REVOCATION,
                                               .read = store_read_mortal_revocation};
    struct store_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_forget(store, &table, &store->revocations_at, now, max, num_forgotten, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}
