/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemon has to remember besides keys: state.db (SQLite, WAL, synchronous=FULL) in the state
 * directory: the latest expiry of the tokens that each key signed, and the grants that are frozen. Nothing
 * secret is in it. What it lacks of expiries is made up for by bounds that are never too early; a freeze that
 * it lacks is one that was never acknowledged, or that was lost with the database or with a part of its log.
 *
 * Reading and writing records: any thread; one is served after the other, whole.
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
 * which must be held. A database of an earlier version is brought to this one, wholly or not at all. Takes
 * the mark of a clean stop (DIR/stopped) away, durably, before it returns, so that a crash from then on is
 * seen; that takes no room on a disk that is full. FAILED_PRECONDITION: error says what would mend it; a
 * database that is damaged, of the future or another program's is left as it is. RESOURCE_EXHAUSTED: no
 * room to make one or to bring it to this version, or no memory. INTERNAL: the disk failed. Blocks for the
 * disk. */
signet_status sg_store_open(const char *dir, struct sg_store **out, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_close closes without the mark, as after a crash; NULL is legal. No other thread may use the
 * store any more. */
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
 * must not use the store, which is locked. FAILED_PRECONDITION if the database is damaged; some were
 * visited then. Blocks for other threads' writes, and for the disk. */
signet_status
sg_store_read_expiries(struct sg_store *store,
                       void (*visit)(void *context, const struct sg_store_expiry *expiry),
                       void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_write_expiries replaces records, or adds them, in one transaction, durably. What was there is
 * not asked: an earlier last_expiry replaces a later one, since the keymaster knows which holds. On
 * failure nothing was changed, and later calls may work: RESOURCE_EXHAUSTED if the disk is full, INTERNAL
 * if it fails, INVALID_ARGUMENT for a name that is too long. Blocks for the disk. */
signet_status sg_store_write_expiries(struct sg_store *store,
                                      const struct sg_store_expiry *expiries, size_t num,
                                      char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_freeze remembers that a grant is frozen, durably; since replaces what was there. grant: 1 to
 * SG_MAX_GRANT_NAME_LEN bytes; since: seconds since 1970, above 0. On failure nothing was changed, and
 * later calls may work: RESOURCE_EXHAUSTED if the disk is full, FAILED_PRECONDITION if it is read-only,
 * INTERNAL if it fails, INVALID_ARGUMENT for another name or time. Blocks for other threads' writes, and for
 * the disk. */
signet_status sg_store_freeze(struct sg_store *store, const char *grant, int64_t since, char *error,
                              size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_thaw remembers that a grant is not frozen, durably; OK as well if it was not. Failures and
 * blocking as of sg_store_freeze. */
signet_status sg_store_thaw(struct sg_store *store, const char *grant, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_read_frozen calls visit for every frozen grant; all else as of sg_store_read_expiries. */
signet_status sg_store_read_frozen(struct sg_store *store,
                                   void (*visit)(void *context, const char *grant, int64_t since),
                                   void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_stop closes and marks that everything was written, durably. If it fails, nothing that was
 * written is lost, there is no mark, and the next start counts on bounds. The store is released in either
 * case; NULL is legal. No other thread may use the store any more. Blocks for the disk. */
signet_status sg_store_stop(struct sg_store *store, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

#endif
