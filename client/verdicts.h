/* SPDX-License-Identifier: Apache-2.0
 *
 * The verdict cache of one client: tokens that were found good, and for what. Knows no connection, no board and no
 * clock. Only a yes is kept, and all that it ever says is yes: whatever is not found, or does not stand any more
 * (client/standing.h), is for others to judge.
 *
 * Any number of threads at once. A hit writes to no memory that another thread writes to. See verdicts.c for how it
 * lives through fork(): a child starts with none of its parent's verdicts, so that one that becomes another user is
 * not taken for its parent.
 */
#ifndef SG_CLIENT_VERDICTS_H
#define SG_CLIENT_VERDICTS_H

#include <signet/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/standing.h"

struct sg_verdicts;

/* What a verdict is found by. The whole token is compared. */
struct sg_verdicts_key {
    const char *token;
    size_t token_len;
    uint64_t hash;       /* sg_verdicts_hash of the token */
    uint64_t generation; /* of the board that may be believed */
    uint32_t epoch;      /* of this process (client/pool.h) */
};

/* sg_verdicts_new makes one for at most max_entries tokens (1 or more) that take max_bytes together, themselves and
 * what is known of them. NULL without memory, or without random bytes. */
struct sg_verdicts *sg_verdicts_new(size_t max_entries, size_t max_bytes);
void sg_verdicts_free(struct sg_verdicts *verdicts); /* NULL is legal; no call may be under way */

/* sg_verdicts_hash is XXH3 with a secret of its own, so that nobody can make up tokens that meet. */
uint64_t sg_verdicts_hash(const struct sg_verdicts *verdicts, const char *token, size_t token_len);

/* sg_verdicts_get returns a copy of the token if its verdict stands for these options (taken and checked) at now, for
 * the caller to free. NULL: not known. */
struct signet_verified *sg_verdicts_get(struct sg_verdicts *verdicts,
                                        const struct sg_verdicts_key *key,
                                        const struct signet_verify_options *options, int64_t now);

/* sg_verdicts_put remembers a good token, in the place of what was known of it and, if there is no room, of another.
 * One that takes more than its share of the memory is not remembered. */
void sg_verdicts_put(struct sg_verdicts *verdicts, const struct sg_verdicts_key *key,
                     const Signet__V1__VerifiedToken *token, const struct sg_standing *standing);

/* sg_verdicts_measure counts what is kept, for tests; no call may be under way. */
void sg_verdicts_measure(struct sg_verdicts *verdicts, size_t *num_entries, size_t *num_bytes);

#endif
