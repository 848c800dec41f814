/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokens that are used up, and how many of them each uid has used. The counts are made when the records are
 * checked at the start, and follow every transaction that succeeded. One that is there is used up, whatever its
 * time: the clock may have been ahead when that was over.
 *
 * For the same reason one that is not there may have been, and was forgotten by a clock that has been set back
 * since. So forgetting leaves the latest time of all that it removed, in the same transaction, and a token that is
 * not good for longer than that counts as used up. With a clock that only goes forward these have expired anyway.
 */
#include "server/store_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STORE_CONSUMED        "consumed" /* the name in the table of what was forgotten */
#define STORE_SELECT_CONSUMED "SELECT issuer, jti, until, uid, digest FROM consumed"
#define STORE_SELECT_CONSUMED_AFTER                                                                \
    STORE_SELECT_CONSUMED " WHERE (issuer, jti) > (?2, ?3) ORDER BY issuer, jti LIMIT ?4"

/* ---- Counts ---- */

void store_free_counts(struct store_counts *counts)
{
    free(counts->list);
    *counts = (struct store_counts){0};
}

/* Room for one more uid. */
static bool store_reserve_count(struct store_counts *counts)
{
    if (counts->num < counts->cap) {
        return true;
    }
    size_t cap = counts->cap == 0 ? 16 : 2 * counts->cap;
    struct store_count *list = realloc(counts->list, cap * sizeof(*list));
    if (list == NULL) {
        return false;
    }
    counts->list = list;
    counts->cap = cap;
    return true;
}

/* The first whose uid is not less. */
static size_t store_count_place(const struct store_counts *counts, uid_t uid)
{
    size_t low = 0;
    size_t high = counts->num;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (counts->list[middle].uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* NULL: it has none. */
static struct store_count *store_find_count(const struct store_counts *counts, uid_t uid)
{
    size_t at = store_count_place(counts, uid);
    return at < counts->num && counts->list[at].uid == uid ? &counts->list[at] : NULL;
}

/* There is room. */
static void store_count_one(struct store_counts *counts, uid_t uid)
{
    size_t at = store_count_place(counts, uid);
    struct store_count *count = &counts->list[at];
    if (at == counts->num || count->uid != uid) {
        memmove(count + 1, count, (counts->num - at) * sizeof(*count));
        *count = (struct store_count){.uid = uid};
        counts->num++;
    }
    count->num++;
}

/* What was noted as going is gone, or stays. Uids that have nothing left make room. */
static void store_settle_counts(struct store_counts *counts, bool is_gone)
{
    size_t num = 0;
    for (size_t i = 0; i < counts->num; i++) {
        struct store_count count = counts->list[i];
        count.num -= is_gone ? count.num_going : 0;
        count.num_going = 0;
        if (count.num > 0) {
            counts->list[num++] = count;
        }
    }
    counts->num = num;
}

/* ---- Reading ---- */

/* False if it cannot be a record. The lengths keep apart what issuer and jti could share. */
static bool store_digest_consumed(const struct sg_store_consumed *consumed, int64_t *out)
{
    char text[SG_MAX_ISSUER_LEN + SG_MAX_JTI_LEN + 128];
    if (!store_is_text(consumed->issuer, 1, SG_MAX_ISSUER_LEN) ||
        !store_is_text(consumed->jti, 1, SG_MAX_JTI_LEN) || consumed->until <= 0) {
        return false;
    }
    int len = snprintf(text, sizeof(text), "consumed %zu %s %zu %s %" PRId64 " %u",
                       strlen(consumed->issuer), consumed->issuer, strlen(consumed->jti),
                       consumed->jti, consumed->until, (unsigned)consumed->uid);
    *out = (int64_t)XXH3_64bits(text, (size_t)len);
    return true;
}

/* False if it is not as it was written. */
static bool store_read_consumed(sqlite3_stmt *row, struct store_mortal *out)
{
    int64_t uid = sqlite3_column_int64(row, 3);
    int64_t digest = 0;
    const struct sg_store_consumed consumed = {.issuer = store_column_text(row, 0),
                                               .jti = store_column_text(row, 1),
                                               .until = sqlite3_column_int64(row, 2),
                                               .uid = (uid_t)uid};
    bool is_good = uid == (int64_t)consumed.uid && consumed.issuer != NULL &&
                   consumed.jti != NULL && store_digest_consumed(&consumed, &digest) &&
                   digest == sqlite3_column_int64(row, 4);
    *out = (struct store_mortal){.key = {.scope = consumed.issuer, .name = consumed.jti},
                                 .until = consumed.until,
                                 .uid = consumed.uid};
    return is_good;
}

struct consumed_counter {
    struct store_counts *counts;
    bool *has_room;
};

static bool store_count_row(sqlite3_stmt *row, const void *visitor)
{
    const struct consumed_counter *counter = visitor;
    struct store_mortal consumed;
    bool is_good = store_read_consumed(row, &consumed);
    *counter->has_room = *counter->has_room && store_reserve_count(counter->counts);
    if (is_good && *counter->has_room) {
        store_count_one(counter->counts, consumed.uid);
    }
    return is_good;
}

static signet_status store_fail_counts(const struct sg_store *store, struct store_error error)
{
    return store_fail(error, SIGNET_RESOURCE_EXHAUSTED,
                      "%s/" STORE_FILE " cannot be counted: no memory", store->dir);
}

signet_status store_check_consumed(struct sg_store *store, struct store_error error)
{
    bool has_room = true;
    const struct consumed_counter counter = {.counts = &store->consumed, .has_room = &has_room};
    signet_status status =
        store_walk(store, STORE_SELECT_CONSUMED, NULL, store_count_row, &counter, error);
    return status == SIGNET_OK && !has_room ? store_fail_counts(store, error) : status;
}

/* ---- The horizon ---- */

static int64_t store_digest_forgotten(int64_t until)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "forgotten " STORE_CONSUMED " %" PRId64, until);
    return (int64_t)XXH3_64bits(text, (size_t)len);
}

static bool store_read_forgotten(sqlite3_stmt *row, const void *visitor)
{
    struct store_horizon *const *horizon = visitor;
    const char *name = store_column_text(row, 0);
    int64_t until = sqlite3_column_int64(row, 1);
    bool is_good = name != NULL && strcmp(name, STORE_CONSUMED) == 0 && until > 0 &&
                   sqlite3_column_int64(row, 2) == store_digest_forgotten(until);
    if (is_good) {
        (*horizon)->until = until;
    }
    return is_good;
}

signet_status store_check_forgotten(struct sg_store *store, struct store_error error)
{
    struct store_horizon *horizon = &store->forgotten;
    return store_walk(store, "SELECT name, until, digest FROM forgotten", NULL,
                      store_read_forgotten, &horizon, error);
}

/* Within a transaction. */
static signet_status store_mark_forgotten(struct sg_store *store, struct store_error error)
{
    const struct store_horizon *horizon = &store->forgotten;
    sqlite3_stmt *write = store->writes[STORE_MARK_FORGOTTEN];
    if (horizon->going <= horizon->until) {
        return SIGNET_OK;
    }
    bool has_values =
        sqlite3_bind_text(write, 1, STORE_CONSUMED, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(write, 2, horizon->going) == SQLITE_OK &&
        sqlite3_bind_int64(write, 3, store_digest_forgotten(horizon->going)) == SQLITE_OK;
    return store_write(store, write, has_values, error);
}

/* What was noted as going is gone, or stays. */
static void store_settle_horizon(struct store_horizon *horizon, bool is_gone)
{
    if (is_gone && horizon->going > horizon->until) {
        horizon->until = horizon->going;
    }
    horizon->going = 0;
}

/* ---- Using up ---- */

static struct store_key store_consumed_key(const struct sg_store_consumed *consumed)
{
    return (struct store_key){.scope = consumed->issuer, .name = consumed->jti};
}

static signet_status store_has_consumed(const struct sg_store *store,
                                        const struct sg_store_consumed *consumed, bool *out,
                                        struct store_error error)
{
    sqlite3_stmt *find = store->writes[STORE_FIND_CONSUMED];
    const struct store_key key = store_consumed_key(consumed);
    int result = store_bind_key(find, &key) ? sqlite3_step(find) : SQLITE_NOMEM;
    signet_status status = result == SQLITE_ROW || result == SQLITE_DONE
                               ? SIGNET_OK
                               : store_fail_sqlite(store, error, "cannot be read");
    *out = result == SQLITE_ROW;
    (void)sqlite3_reset(find);
    (void)sqlite3_clear_bindings(find);
    return status;
}

static signet_status store_write_consumed(const struct sg_store *store,
                                          const struct sg_store_consumed *consumed, int64_t digest,
                                          struct store_error error)
{
    sqlite3_stmt *write = store->writes[STORE_CONSUME];
    const struct store_key key = store_consumed_key(consumed);
    bool has_values = store_bind_key(write, &key) &&
                      sqlite3_bind_int64(write, 4, consumed->until) == SQLITE_OK &&
                      sqlite3_bind_int64(write, 5, consumed->uid) == SQLITE_OK &&
                      sqlite3_bind_int64(write, 6, digest) == SQLITE_OK;
    return store_write(store, write, has_values, error);
}

/* Within a transaction. */
static signet_status store_consume(const struct sg_store *store,
                                   const struct sg_store_consumed *consumed, int64_t digest,
                                   uint64_t max_per_uid, enum sg_store_outcome *outcome,
                                   struct store_error error)
{
    bool is_there = false;
    signet_status status = store_has_consumed(store, consumed, &is_there, error);
    if (status != SIGNET_OK || is_there || consumed->until <= store->forgotten.until) {
        *outcome = SG_STORE_REPLAYED;
        return status;
    }
    const struct store_count *count = store_find_count(&store->consumed, consumed->uid);
    if ((count == NULL ? 0 : count->num) >= max_per_uid) {
        *outcome = SG_STORE_FULL;
        return SIGNET_OK;
    }
    *outcome = SG_STORE_CONSUMED;
    return store_write_consumed(store, consumed, digest, error);
}

/* Its transaction, and the counts that follow it. */
static signet_status store_consume_counted(struct sg_store *store,
                                           const struct sg_store_consumed *consumed, int64_t digest,
                                           uint64_t max_per_uid, enum sg_store_outcome *out,
                                           struct store_error error)
{
    enum sg_store_outcome outcome = SG_STORE_REPLAYED;
    if (!store_reserve_count(&store->consumed)) {
        return store_fail_counts(store, error);
    }
    signet_status status = store_begin(store, store_cannot_write, error);
    if (status == SIGNET_OK) {
        status = store_consume(store, consumed, digest, max_per_uid, &outcome, error);
    }
    status = store_end(store, status, store_cannot_write, error);
    if (status == SIGNET_OK && outcome == SG_STORE_CONSUMED) {
        store_count_one(&store->consumed, consumed->uid);
    }
    if (status == SIGNET_OK) {
        *out = outcome;
    }
    return status;
}

signet_status sg_store_consume(struct sg_store *store, const struct sg_store_consumed *consumed,
                               uint64_t max_per_uid, enum sg_store_outcome *out, char *error,
                               size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    int64_t digest = 0;
    if (!store_digest_consumed(consumed, &digest)) {
        return store_fail(message, SIGNET_INVALID_ARGUMENT,
                          "no token for %s/" STORE_FILE
                          "; expected an issuer of 1 to %u bytes, a jti of 1 to %u bytes and a "
                          "time after 1970",
                          store->dir, SG_MAX_ISSUER_LEN, SG_MAX_JTI_LEN);
    }
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_consume_counted(store, consumed, digest, max_per_uid, out, message);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}

/* ---- Forgetting ---- */

static void store_note_gone(struct sg_store *store, const struct store_mortal *gone)
{
    struct store_count *count = store_find_count(&store->consumed, gone->uid);
    struct store_horizon *horizon = &store->forgotten;
    if (count != NULL) {
        count->num_going++;
    }
    horizon->going = gone->until > horizon->going ? gone->until : horizon->going;
}

signet_status sg_store_forget_consumed(struct sg_store *store, int64_t now, size_t max,
                                       size_t *num_forgotten, char *error, size_t error_cap)
{
    static const struct store_mortals table = {.select = STORE_SELECT_CONSUMED_AFTER,
                                               .forget = STORE_FORGET_CONSUMED,
                                               .read = store_read_consumed,
                                               .note = store_note_gone,
                                               .remember = store_mark_forgotten};
    struct store_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&store->mutex);
    signet_status status =
        store_forget(store, &table, &store->consumed_at, now, max, num_forgotten, message);
    store_settle_counts(&store->consumed, status == SIGNET_OK);
    store_settle_horizon(&store->forgotten, status == SIGNET_OK);
    (void)pthread_mutex_unlock(&store->mutex);
    return status;
}
