/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemon has to remember besides keys: state.db (SQLite, WAL, synchronous=FULL) in the state
 * directory. Now: the latest expiry of the tokens that each key signed. Nothing secret is in it, and
 * what it lacks is made up for by bounds that are never too early.
 */
#ifndef SG_STORE_H
#define SG_STORE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_store;

/* sg_store_open opens DIR/state.db, or makes it. DIR must belong to this user or root and be writable by
 * nobody else, and state.db must be this user's alone; two daemons are kept apart by the keystore's lock,
 * which must be held. Takes the mark of a clean stop (DIR/stopped) away, durably, before it returns, so
 * that a crash from then on is seen; that takes no room on a disk that is full. FAILED_PRECONDITION: error
 * says what would mend it; a database that is damaged, of the future or another program's is left as it
 * is. RESOURCE_EXHAUSTED: no room to make one, or no memory. INTERNAL: the disk failed. Blocks for the
 * disk. */
signet_status sg_store_open(const char *dir, struct sg_store **out, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_close closes without the mark, as after a crash; NULL is legal. */
void sg_store_close(struct sg_store *store);

/* sg_store_was_clean says whether the daemon before this one stopped in order and nobody put other files
 * in place since, so that every record is exact. If not, the latest records may be missing, and older
 * ones of the same keys be there in their stead. */
bool sg_store_was_clean(const struct sg_store *store);

struct sg_store_expiry {
    const char *keyset, *kid; /* at most SG_MAX_KEYSET_NAME_LEN and SG_MAX_KID_LEN long */
    int64_t last_expiry;      /* seconds since 1970; 0: no token */
    int64_t recorded_at;      /* likewise: it counts every token signed until then */
};

/* sg_store_read_expiries calls visit for every record; the strings live as long as the call, and visit
 * must not use the store. FAILED_PRECONDITION if the database is damaged; some were visited then. */
signet_status
sg_store_read_expiries(struct sg_store *store,
                       void (*visit)(void *context, const struct sg_store_expiry *expiry),
                       void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_write_expiries replaces records, or adds them, in one transaction, durably. What was there is
 * not asked: an earlier last_expiry replaces a later one, since the keymaster knows which holds. On
 * failure nothing was changed, and later calls may work: RESOURCE_EXHAUSTED if the disk is full, INTERNAL
 * if it fails, INVALID_ARGUMENT for a name that is too long. One thread at a time. Blocks for the disk. */
signet_status sg_store_write_expiries(struct sg_store *store,
                                      const struct sg_store_expiry *expiries, size_t num,
                                      char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_stop closes and marks that everything was written, durably. If it fails, nothing that was
 * written is lost, there is no mark, and the next start counts on bounds. The store is released in either
 * case; NULL is legal. Blocks for the disk. */
signet_status sg_store_stop(struct sg_store *store, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

#endif
