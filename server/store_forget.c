/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing records whose time is over, in bounded steps that walk a table by its primary key. There is no
 * index on that time: it would be a second copy of it, which quick_check does not compare with the table, and
 * which no digest covers. A record that has not expired could go by a damaged one, and a damaged one would keep
 * records from being changed that are good. Without it only a record that is as it was written is removed, and a
 * token costs half the room and half the pages written. The price: a record stays for up to one round of the
 * table after its time.
 */
#include "server/store_parts.h"

#include <stdio.h>

_Static_assert(SG_MAX_KEYSET_NAME_LEN <= SG_MAX_ISSUER_LEN,
               "a keyset is a struct store_place's scope");
_Static_assert(SG_MAX_JTI_LEN <= SG_MAX_KID_LEN, "a jti is its name");
_Static_assert(SG_MAX_SUBJECT_LEN <= SG_MAX_KID_LEN, "and a subject");

struct forgetting {
    struct sg_store *store;
    const struct store_mortals *table;
    int64_t now;
    struct store_place place;
    size_t num_seen, num_forgotten;
};

static signet_status forget_row(struct forgetting *forgetting, sqlite3_stmt *row,
                                struct store_error error)
{
    struct sg_store *store = forgetting->store;
    const struct store_mortals *table = forgetting->table;
    struct store_place *place = &forgetting->place;
    struct store_mortal found;
    if (!table->read(row, &found)) {
        return store_fail_unusable(store, error, "is damaged");
    }
    forgetting->num_seen++;
    place->kind = found.key.kind;
    (void)snprintf(place->scope, sizeof(place->scope), "%s", found.key.scope);
    (void)snprintf(place->name, sizeof(place->name), "%s", found.key.name);
    if (found.until >= forgetting->now) {
        return SIGNET_OK;
    }
    sqlite3_stmt *forget = store->writes[table->forget];
    const struct store_key key = {place->kind, place->scope, place->name};
    signet_status status = store_write(store, forget, store_bind_key(forget, &key), error);
    if (status == SIGNET_OK) {
        forgetting->num_forgotten++;
        if (table->note != NULL) {
            table->note(store, &found);
        }
    }
    return status;
}

/* Looks at no more than max records after its place. SQLite allows to remove a row that a select has just
 * given: that goes on after it. */
static signet_status forget_after(struct forgetting *forgetting, size_t max,
                                  struct store_error error)
{
    const struct sg_store *store = forgetting->store;
    const struct store_place place = forgetting->place; /* bound as long as there are rows */
    const struct store_key after = {place.kind, place.scope, place.name};
    sqlite3_stmt *rows = NULL;
    signet_status status = SIGNET_OK;
    int result = sqlite3_prepare_v2(store->db, forgetting->table->select, -1, &rows, NULL);
    if (result == SQLITE_OK && store_bind_page(rows, &after, max)) {
        result = sqlite3_step(rows);
    }
    while (result == SQLITE_ROW && (status = forget_row(forgetting, rows, error)) == SIGNET_OK) {
        result = sqlite3_step(rows);
    }
    if (status == SIGNET_OK && result != SQLITE_DONE) {
        status = store_fail_sqlite(store, error, "cannot be read");
    }
    (void)sqlite3_finalize(rows);
    return status;
}

/* To the end of the table, and from its first record on if it began in the middle. */
static signet_status forget_round(struct forgetting *forgetting, size_t max,
                                  struct store_error error)
{
    signet_status status = SIGNET_OK;
    bool goes_on = true;
    while (status == SIGNET_OK && goes_on && forgetting->num_seen < max) {
        goes_on = forgetting->place.scope[0] != '\0';
        status = forget_after(forgetting, max - forgetting->num_seen, error);
        if (forgetting->num_seen < max) {
            forgetting->place = (struct store_place){0};
        }
    }
    return status;
}

signet_status store_forget(struct sg_store *store, const struct store_mortals *table,
                           struct store_place *place, int64_t now, size_t max,
                           size_t *num_forgotten, struct store_error error)
{
    struct forgetting forgetting = {.store = store, .table = table, .now = now, .place = *place};
    signet_status status = store_begin(store, store_cannot_write, error);
    if (status == SIGNET_OK) {
        status = forget_round(&forgetting, max, error);
    }
    if (status == SIGNET_OK && forgetting.num_forgotten > 0 && table->remember != NULL) {
        status = table->remember(store, error);
    }
    status = store_end(store, status, store_cannot_write, error);
    if (status == SIGNET_OK) {
        *place = forgetting.place;
        *num_forgotten = forgetting.num_forgotten;
    }
    return status;
}
