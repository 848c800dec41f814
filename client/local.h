/* SPDX-License-Identifier: Apache-2.0
 *
 * What libsignet-local brings to a client (client/attach.h): the judgement of tokens against the trust board, in the
 * caller's process. Knows no connection and no cache. Starts no thread, takes no lock, prints nothing.
 */
#ifndef SG_CLIENT_LOCAL_H
#define SG_CLIENT_LOCAL_H

#include <stdint.h>
#include <sys/types.h>

#include "client/attach.h"

struct sg_local;

struct sg_local_config {
    const char *path; /* of the board, absolute; copied */
    uid_t owner;      /* whose it may be, besides root's */
    uint32_t max_age_ms;
    uint64_t (*read_boot_ms)(void); /* CLOCK_BOOTTIME in ms; any thread */
    /* Told whenever there is a board to believe no longer, or again. Any thread. May be NULL. */
    void (*notice)(void *context, const char *message);
    void *context;
};

/* sg_local_new looks for the board, which need not be there. RESOURCE_EXHAUSTED without memory. */
signet_status sg_local_new(const struct sg_local_config *config,
                           struct sg_local **out) SIGNET_MUST_CHECK;
void sg_local_free(struct sg_local *local); /* NULL is legal; no call may be under way */

/* What a sg_local can do. */
extern const struct sg_local_ops sg_local_ops;

#endif
