/* SPDX-License-Identifier: Apache-2.0
 *
 * One queue of many: a flow for each uid, first in first out, and the flows in turn by what was spent on them.
 * Start-time fair queueing: whoever has had least goes next, and what a flow did not use while it was empty
 * is not saved up. Intrusive: allocates nothing, and costs the same whether there are two flows or thousands.
 *
 * Not locked: the owner of the queue guards it, and every flow in it.
 */
#ifndef SG_FAIR_QUEUE_H
#define SG_FAIR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_fair_item {
    struct sg_fair_item *next; /* the queue's */
    uint64_t cost; /* as far as it is known before; in the owner's unit, the same for all */
};

/* What one uid has in a queue; all zeros before its first use. In one queue only, ever. */
struct sg_fair_flow {
    size_t num_items;
    uint64_t queued;      /* the costs of these together */
    unsigned num_running; /* the owner's: of those that were taken */
    /* The queue's. */
    struct sg_fair_item *first, *last;
    uint64_t begin;                                /* virtual time at which its next item begins */
    uint64_t turn;                                 /* among those that begin at the same time */
    struct sg_fair_flow *child, *sibling, *before; /* a heap; before: left sibling, or parent */
};

/* All zeros is an empty queue. */
struct sg_fair_queue {
    size_t num_items, num_flows; /* flows that have items */
    uint64_t queued;             /* the costs of all items */
    /* The queue's. */
    struct sg_fair_flow *root;
    uint64_t now; /* virtual time: what a flow that was always there has been given */
    uint64_t num_turns;
};

/* sg_fair_queue_add puts an item to the end of its flow. Its owner keeps both alive until it is taken. */
void sg_fair_queue_add(struct sg_fair_queue *queue, struct sg_fair_flow *flow,
                       struct sg_fair_item *item);

/* sg_fair_queue_take takes the item whose turn it is, and says whose it was. Of flows with max_running or more
 * running, only if there is no other; of those with most_running, never; 0: it does not matter. NULL: there is none. */
struct sg_fair_item *sg_fair_queue_take(struct sg_fair_queue *queue, unsigned max_running,
                                        unsigned most_running, struct sg_fair_flow **flow);

/* sg_fair_queue_charge adds what was spent on a flow beyond the costs that were known before. */
void sg_fair_queue_charge(struct sg_fair_queue *queue, struct sg_fair_flow *flow, uint64_t cost);

#endif
