/* SPDX-License-Identifier: Apache-2.0
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996) over a pairing heap of flows.
 */
#include "server/fair_queue.h"

/* Of more flows than this none has more than one running: there are not so many threads. */
#define QUEUE_MAX_ASIDE 64u

/* ---- The heap of flows that have items, by whose turn it is ---- */

static bool flow_is_before(const struct sg_fair_flow *a, const struct sg_fair_flow *b)
{
    return a->begin != b->begin ? a->begin < b->begin : a->turn < b->turn;
}

/* Two heaps become one; either may be NULL. */
static struct sg_fair_flow *heap_meld(struct sg_fair_flow *a, struct sg_fair_flow *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    struct sg_fair_flow *top = flow_is_before(b, a) ? b : a;
    struct sg_fair_flow *under = top == a ? b : a;
    under->before = top;
    under->sibling = top->child;
    if (top->child != NULL) {
        top->child->before = under;
    }
    top->child = under;
    return top;
}

/* The children of a flow that left become one heap: in pairs from the left, then all from the right. */
static struct sg_fair_flow *heap_meld_children(struct sg_fair_flow *flow)
{
    struct sg_fair_flow *pairs = NULL; /* linked by sibling, the last first */
    struct sg_fair_flow *next = flow->child;
    while (next != NULL) {
        struct sg_fair_flow *a = next;
        struct sg_fair_flow *b = a->sibling;
        next = b != NULL ? b->sibling : NULL;
        a->before = a->sibling = NULL;
        if (b != NULL) {
            b->before = b->sibling = NULL;
        }
        a = heap_meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    struct sg_fair_flow *all = NULL;
    while (pairs != NULL) {
        struct sg_fair_flow *pair = pairs;
        pairs = pair->sibling;
        pair->sibling = NULL;
        all = heap_meld(all, pair);
    }
    flow->child = NULL;
    return all;
}

static void queue_insert(struct sg_fair_queue *queue, struct sg_fair_flow *flow, uint64_t turn)
{
    flow->turn = turn;
    queue->root = heap_meld(queue->root, flow);
    queue->num_flows++;
}

static void queue_remove(struct sg_fair_queue *queue, struct sg_fair_flow *flow)
{
    struct sg_fair_flow *children = heap_meld_children(flow);
    if (flow == queue->root) {
        queue->root = children;
    } else {
        if (flow->before->child == flow) {
            flow->before->child = flow->sibling;
        } else {
            flow->before->sibling = flow->sibling;
        }
        if (flow->sibling != NULL) {
            flow->sibling->before = flow->before;
        }
        queue->root = heap_meld(queue->root, children);
    }
    flow->before = flow->sibling = NULL;
    queue->num_flows--;
}

/* ---- Items ---- */

void sg_fair_queue_add(struct sg_fair_queue *queue, struct sg_fair_flow *flow,
                       struct sg_fair_item *item)
{
    item->next = NULL;
    if (flow->first == NULL) {
        flow->first = item;
        if (flow->begin < queue->now) {
            flow->begin = queue->now;
        }
        queue_insert(queue, flow, queue->num_turns++);
    } else {
        flow->last->next = item;
    }
    flow->last = item;
    flow->num_items++;
    flow->queued += item->cost;
    queue->num_items++;
    queue->queued += item->cost;
}

/* The first flow of those that have less than so many running; NULL: there is none. */
static struct sg_fair_flow *queue_choose(struct sg_fair_queue *queue, unsigned max_running)
{
    struct sg_fair_flow *aside[QUEUE_MAX_ASIDE];
    size_t num = 0;
    while (queue->root != NULL && queue->root->num_running >= max_running &&
           num < QUEUE_MAX_ASIDE) {
        aside[num++] = queue->root;
        queue_remove(queue, queue->root);
    }
    struct sg_fair_flow *chosen = queue->root;
    for (size_t i = 0; i < num; i++) {
        queue_insert(queue, aside[i], aside[i]->turn); /* as far in front as it was */
    }
    return chosen != NULL && chosen->num_running < max_running ? chosen : NULL;
}

struct sg_fair_item *sg_fair_queue_take(struct sg_fair_queue *queue, unsigned max_running,
                                        unsigned most_running, struct sg_fair_flow **flow)
{
    struct sg_fair_flow *chosen = max_running > 0 ? queue_choose(queue, max_running) : queue->root;
    if (chosen == NULL && queue->root != NULL) {
        chosen = most_running > 0 ? queue_choose(queue, most_running) : queue->root;
    }
    if (chosen == NULL) {
        return NULL;
    }
    struct sg_fair_item *item = chosen->first;
    queue_remove(queue, chosen);
    if (queue->now < chosen->begin) {
        queue->now = chosen->begin;
    }
    chosen->begin += item->cost;
    chosen->first = item->next;
    item->next = NULL;
    chosen->num_items--;
    chosen->queued -= item->cost;
    queue->num_items--;
    queue->queued -= item->cost;
    if (chosen->first != NULL) {
        queue_insert(queue, chosen, queue->num_turns++);
    }
    *flow = chosen;
    return item;
}

void sg_fair_queue_charge(struct sg_fair_queue *queue, struct sg_fair_flow *flow, uint64_t cost)
{
    if (cost == 0) {
        return;
    }
    if (flow->first == NULL) {
        flow->begin += cost;
        return;
    }
    queue_remove(queue, flow);
    flow->begin += cost;
    queue_insert(queue, flow, queue->num_turns++);
}
