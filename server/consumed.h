/* SPDX-License-Identifier: Apache-2.0
 *
 * One-time tokens: which are used up. What is used up is in the store before it is acknowledged; there is no copy in
 * memory. Each uid may have so many records, so that none fills the disk for all.
 *
 * A record goes once no check can accept its token any more, whatever its leeway. A clock that is ahead has it go too
 * early; if it is set back then, tokens that could be among those that went count as used up (see
 * sg_store_consume), so that none is good twice.
 */
#ifndef SG_CONSUMED_H
#define SG_CONSUMED_H

#include "server/store.h"

struct sg_consumed;

/* sg_consumed_new keeps what is used up in the store, which must outlive it; with NULL, nothing outlives the process.
 * max_per_uid: 1 or more. read_wall_s is CLOCK_REALTIME in seconds. RESOURCE_EXHAUSTED without memory; error says
 * so. */
signet_status sg_consumed_new(struct sg_store *store, uint32_t max_per_uid,
                              int64_t (*read_wall_s)(void), struct sg_consumed **out, char *error,
                              size_t error_cap) SIGNET_MUST_CHECK;
void sg_consumed_free(struct sg_consumed *consumed); /* NULL is legal */

/* sg_consumed_max_per_uid is how many records a uid may have. */
uint32_t sg_consumed_max_per_uid(const struct sg_consumed *consumed);

/* sg_consumed_use uses a token up for a uid, durably: of any number of calls for one issuer and jti, one alone gets
 * CONSUMED, across crashes. FULL: the uid has as many records as it may have, and none of those that were looked at
 * has expired; the token is as it was. *out, failures and blocking as of sg_store_consume: after a failure nobody may
 * take the token for good. Any thread that may wait for the disk. */
signet_status sg_consumed_use(struct sg_consumed *consumed, const struct sg_store_consumed *token,
                              enum sg_store_outcome *out, char *error,
                              size_t error_cap) SIGNET_MUST_CHECK;

#endif
