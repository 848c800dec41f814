/* SPDX-License-Identifier: Apache-2.0
 *
 * The quota, and when records are forgotten: a number of steps together, since a step that finds something waits for
 * the disk as a use does.
 */
#include "server/consumed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* After so many uses, so many records are looked at: sixteen a use, so that what has expired goes much faster than it
 * comes, and no use waits for long. */
#define CONSUMED_FORGET_EVERY 16u
#define CONSUMED_FORGET_STEP  256u
#define CONSUMED_MAX_ERROR    256u

struct sg_consumed {
    struct sg_store *store;
    struct sg_store *own_store; /* in memory; NULL: another's is used */
    uint32_t max_per_uid;
    int64_t (*read_wall_s)(void);
    atomic_uint num_uses;
};

/* Returns how many went. What is kept too long does no harm, but to who has no room. */
static size_t consumed_forget(const struct sg_consumed *consumed)
{
    char unheard[CONSUMED_MAX_ERROR];
    size_t num = 0;
    signet_status status =
        sg_store_forget_consumed(consumed->store, consumed->read_wall_s(), CONSUMED_FORGET_STEP,
                                 &num, unheard, sizeof(unheard));
    return status == SIGNET_OK ? num : 0;
}

signet_status sg_consumed_use(struct sg_consumed *consumed, const struct sg_store_consumed *token,
                              enum sg_store_outcome *out, char *error, size_t error_cap)
{
    enum sg_store_outcome outcome = SG_STORE_REPLAYED;
    signet_status status =
        sg_store_consume(consumed->store, token, consumed->max_per_uid, &outcome, error, error_cap);
    if (status == SIGNET_OK && outcome == SG_STORE_FULL && consumed_forget(consumed) > 0) {
        status = sg_store_consume(consumed->store, token, consumed->max_per_uid, &outcome, error,
                                  error_cap);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    if (outcome == SG_STORE_CONSUMED &&
        (atomic_fetch_add_explicit(&consumed->num_uses, 1, memory_order_relaxed) + 1) %
                CONSUMED_FORGET_EVERY ==
            0) {
        (void)consumed_forget(consumed);
    }
    *out = outcome;
    return SIGNET_OK;
}

uint32_t sg_consumed_max_per_uid(const struct sg_consumed *consumed)
{
    return consumed->max_per_uid;
}

signet_status sg_consumed_new(struct sg_store *store, uint32_t max_per_uid,
                              int64_t (*read_wall_s)(void), struct sg_consumed **out, char *error,
                              size_t error_cap)
{
    struct sg_consumed *consumed = calloc(1, sizeof(*consumed));
    if (consumed == NULL) {
        (void)snprintf(error, error_cap, "the daemon is out of memory");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    consumed->store = store;
    consumed->max_per_uid = max_per_uid;
    consumed->read_wall_s = read_wall_s;
    if (store == NULL) {
        signet_status status = sg_store_open_in_memory(&consumed->own_store, error, error_cap);
        if (status != SIGNET_OK) {
            sg_consumed_free(consumed);
            return status;
        }
        consumed->store = consumed->own_store;
    }
    *out = consumed;
    return SIGNET_OK;
}

void sg_consumed_free(struct sg_consumed *consumed)
{
    if (consumed != NULL) {
        sg_store_close(consumed->own_store);
        free(consumed);
    }
}
