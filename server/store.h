/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemon has to remember besides keys: state.db (SQLite, WAL, synchronous=FULL) in the state
 * directory: the latest expiry of the tokens that each key signed, the grants that are frozen, what is revoked,
 * and the tokens that are used up. Nothing secret is in it. What it lacks of expiries is made up for by bounds
 * that are never too early; a freeze, a revocation or a used token that it lacks is one that was never
 * acknowledged, or that was lost with the database or with a part of its log.
 *
 * Reading and writing records: any thread; one is served after the other, whole.
 */
#ifndef SG_STORE_H
#define SG_STORE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/* sg_store_open_in_memory makes one that ends with the process, for a daemon that keeps nothing: sg_store_close ends
 * it, sg_store_stop must not be called. RESOURCE_EXHAUSTED without memory. */
signet_status sg_store_open_in_memory(struct sg_store **out, char *error,
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

/* ---- What is revoked ---- */

/* What a revocation is of, and so what its scope and name are. */
enum sg_store_revocation_kind {
    SG_STORE_REVOKED_TOKEN = 1,   /* one token: its issuer and jti */
    SG_STORE_REVOKED_SUBJECT = 2, /* tokens of a subject: their issuer and sub */
    SG_STORE_REVOKED_KEYSET = 3,  /* tokens of a keyset: it, and "" */
    SG_STORE_REVOKED_KID = 4,     /* tokens of a key: its keyset and kid */
};

/* Texts are UTF-8. An issuer has 1 to SG_MAX_ISSUER_LEN bytes, a jti 1 to SG_MAX_JTI_LEN, a subject 1 to
 * SG_MAX_SUBJECT_LEN, a keyset 1 to SG_MAX_KEYSET_NAME_LEN, a kid 1 to SG_MAX_KID_LEN. */
struct sg_store_revocation {
    enum sg_store_revocation_kind kind;
    uid_t by;                 /* who asked for it */
    const char *scope, *name; /* of no two revocations of a kind are both the same */
    int64_t at;               /* when it was revoked: seconds since 1970, above 0 */
    int64_t until;            /* it may be forgotten after that; likewise; INT64_MAX: never */
    const char *reason;       /* 0 to SG_MAX_REASON_LEN bytes, for people */
};

/* The place of a revocation in their order: by kind, then by the bytes of scope, then of name. */
struct sg_store_revocation_key {
    enum sg_store_revocation_kind kind;
    const char *scope, *name;
};

/* sg_store_revoke adds revocations, all in one transaction, durably. Where one of the same kind, scope and name
 * is there already, or earlier in the list, at and until become the later of both, and by and reason those of
 * this call: a revocation never shrinks. num: any, 0 included. On failure nothing was changed, and later calls
 * may work: RESOURCE_EXHAUSTED if the disk is full, FAILED_PRECONDITION if it is read-only or the database
 * damaged, INTERNAL if it fails, INVALID_ARGUMENT if one is not as struct sg_store_revocation says. Blocks for
 * other threads' calls, and for the disk. */
signet_status sg_store_revoke(struct sg_store *store, const struct sg_store_revocation *revocations,
                              size_t num, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_list_revocations calls visit for at most max revocations, in their order: those after a key, which
 * need not be that of one that is there; NULL: from the first on. Fewer than max are the last. What changes
 * between two calls is in the second. All else as of sg_store_read_expiries. */
signet_status sg_store_list_revocations(
    struct sg_store *store, const struct sg_store_revocation_key *after, size_t max,
    void (*visit)(void *context, const struct sg_store_revocation *revocation), void *context,
    char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_read_revocations lists all of them, with the store locked from the first to the last. */
signet_status sg_store_read_revocations(struct sg_store *store,
                                        void (*visit)(void *context,
                                                      const struct sg_store_revocation *revocation),
                                        void *context, char *error,
                                        size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_forget_revocations looks at no more than max revocations, and removes those whose until is before
 * now (seconds since 1970), in one transaction, durably. Each call goes on where the one before it ended, and
 * after the last from the first on, so that calls whose max add up to the number of revocations remove all that
 * have expired. *num_forgotten: how many; 0 does not say that no other has. Failures and blocking as of
 * sg_store_revoke, and RESOURCE_EXHAUSTED without memory. */
signet_status sg_store_forget_revocations(struct sg_store *store, int64_t now, size_t max,
                                          size_t *num_forgotten, char *error,
                                          size_t error_cap) SIGNET_MUST_CHECK;

/* ---- What is used up ---- */

/* A token that may be used once. Texts are UTF-8. until is the last second in which it can be good, every leeway
 * included; the record may be forgotten after that. */
struct sg_store_consumed {
    const char *issuer, *jti; /* 1 to SG_MAX_ISSUER_LEN and 1 to SG_MAX_JTI_LEN bytes */
    int64_t until;            /* seconds since 1970, above 0; INT64_MAX: it is never forgotten */
    uid_t uid;                /* whose use it is */
};

enum sg_store_outcome {
    SG_STORE_CONSUMED = 1, /* it was not used up before, and is now */
    SG_STORE_REPLAYED = 2, /* it was used up before, by whomever */
    SG_STORE_FULL = 3,     /* it was not; but the uid has as many records as it may have */
};

/* sg_store_consume uses a token up, in one transaction, durably; of any number of calls for one issuer and jti,
 * one alone gets CONSUMED. A token that is recorded is REPLAYED until it is forgotten, even if its until is over:
 * the clock may have been ahead, and be set back. So is every token whose until is not later than that of one that
 * was ever forgotten: it may be among those. FULL and REPLAYED change nothing. max_per_uid: any; records
 * count until they are forgotten. *out is written on success only. On failure nothing was changed, and later
 * calls may work: RESOURCE_EXHAUSTED if the disk is full or without memory, FAILED_PRECONDITION if the disk is
 * read-only or the database damaged, INTERNAL if the disk fails, INVALID_ARGUMENT for another issuer, jti or time.
 * Blocks for other threads' calls, and for the disk. */
signet_status sg_store_consume(struct sg_store *store, const struct sg_store_consumed *consumed,
                               uint64_t max_per_uid, enum sg_store_outcome *out, char *error,
                               size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_forget_consumed removes records of tokens whose until is before now; all else as of
 * sg_store_forget_revocations. */
signet_status sg_store_forget_consumed(struct sg_store *store, int64_t now, size_t max,
                                       size_t *num_forgotten, char *error,
                                       size_t error_cap) SIGNET_MUST_CHECK;

/* sg_store_stop closes and marks that everything was written, durably. If it fails, nothing that was
 * written is lost, there is no mark, and the next start counts on bounds. The store is released in either
 * case; NULL is legal. No other thread may use the store any more. Blocks for the disk. */
signet_status sg_store_stop(struct sg_store *store, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

#endif
