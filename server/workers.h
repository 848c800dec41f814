/* SPDX-License-Identifier: Apache-2.0
 *
 * A fixed number of threads for work that is too slow for the thread that read it, and a bounded queue before
 * them that is fair between uids: each has a queue of its own, and they are served in turn by what their work
 * costs. The threads have a lower priority than those that serve, so that quick work goes before slow.
 */
#ifndef SG_WORKERS_H
#define SG_WORKERS_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/fair_queue.h"

struct sg_workers;

struct sg_work {
    struct sg_fair_item item;  /* the queue's; first, and item.cost is set by sg_workers_submit */
    struct sg_fair_flow *flow; /* whose it is; in these workers only; outlives them */
    uint64_t cost_us;          /* of a processor, as far as it is known; 0: it is not */
    uint64_t deadline_ms;      /* CLOCK_MONOTONIC; 0: none */
    void (*run)(struct sg_work *work);
};

signet_status sg_workers_new(unsigned num_threads, size_t max_queued, unsigned most_of_one,
                             struct sg_workers **out) SIGNET_MUST_CHECK;

/* sg_workers_free runs what is queued, then ends the threads. */
void sg_workers_free(struct sg_workers *workers);

/* sg_workers_submit queues work, which its owner keeps alive until run is called. Refused, with
 * *retry_after_ms saying when it may do better, at least 1: LATE, it could not be done by its deadline, by what
 * is to be done before it; FULL, there is no room: of max_queued, one flow gets at most one more than what is
 * left for others. Never blocks. Any thread. */
enum sg_workers_answer {
    SG_WORKERS_QUEUED = 1,
    SG_WORKERS_LATE,
    SG_WORKERS_FULL
};
enum sg_workers_answer sg_workers_submit(struct sg_workers *workers, struct sg_work *work,
                                         uint64_t now_ms, uint32_t *retry_after_ms)
    __attribute__((warn_unused_result));

#endif
