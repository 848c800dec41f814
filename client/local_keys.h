/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of one board, ready for use. Which keysets there are is found out when the board is opened; a key is read when
 * it is first needed, since there may be many thousands, and then kept. Any thread. The board must be fresh whenever
 * something here is called (common/board.h).
 */
#ifndef SG_CLIENT_LOCAL_KEYS_H
#define SG_CLIENT_LOCAL_KEYS_H

#include "common/board.h"
#include "common/jose/judge.h"
#include "common/jose/public_key.h"

struct sg_local_keys;

/* sg_local_keys_new goes through all keys once, and reads none. NULL without memory. board must outlive it. */
struct sg_local_keys *sg_local_keys_new(const struct sg_board *board);
void sg_local_keys_free(struct sg_local_keys *keys); /* NULL is legal */

/* A key that can check signatures. Belongs to struct sg_local_keys, as all that it points to. */
struct sg_local_key {
    struct sg_public_key *public_key;
    const char *keyset, *kid; /* kid: empty if it has none */
    struct sg_judge_signer signer;
    const char *audiences[SG_MAX_AUDIENCES];
};

/* sg_local_keys_get gives the key of this number, which record is. NULL: it is no public key, or there is no memory. */
const struct sg_local_key *sg_local_keys_get(struct sg_local_keys *keys, size_t number,
                                             const struct sg_board_key *record);

/* The keys of a keyset, in the order of the board. */
struct sg_local_walk {
    const struct sg_local_keys *keys;
    size_t run, last_run; /* which are left */
    size_t at;            /* the next number; only within a run */
};

/* sg_local_keys_walk starts at the first key of a keyset. False: it has none on the board. */
bool sg_local_keys_walk(const struct sg_local_keys *keys, const char *keyset,
                        struct sg_local_walk *walk) SIGNET_MUST_CHECK;
/* sg_local_keys_next gives the number of one after the other, and false at the end. */
bool sg_local_keys_next(struct sg_local_walk *walk, size_t *number) SIGNET_MUST_CHECK;

#endif
