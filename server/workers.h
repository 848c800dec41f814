/* SPDX-License-Identifier: Apache-2.0
 *
 * A fixed number of threads for work that is too slow for the thread that read it, behind one
 * bounded queue.
 */
#ifndef SG_WORKERS_H
#define SG_WORKERS_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>

struct sg_workers;

struct sg_work {
    struct sg_work *next;
    void (*run)(struct sg_work *work);
};

signet_status sg_workers_new(unsigned num_threads, size_t max_queued,
                             struct sg_workers **out) SIGNET_MUST_CHECK;

/* sg_workers_free runs what is queued, then ends the threads. */
void sg_workers_free(struct sg_workers *workers);

/* sg_workers_submit queues work, which its owner keeps alive until run is called. False if the queue is full. */
bool sg_workers_submit(struct sg_workers *workers, struct sg_work *work)
    __attribute__((warn_unused_result));

#endif
