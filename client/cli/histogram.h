/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts of durations in buckets whose width grows with the value, so that any percentile is known
 * within 1 in 64 without keeping every value (the idea of HdrHistogram). Not shared between threads.
 */
#ifndef SG_CLI_HISTOGRAM_H
#define SG_CLI_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "common/buckets.h"

#define HISTOGRAM_STEP_BITS   6  /* 64 buckets for each power of two */
#define HISTOGRAM_MAX_BITS    38 /* nanoseconds: over four minutes; longer ones count as this */
#define HISTOGRAM_NUM_BUCKETS SG_BUCKETS_NUM(HISTOGRAM_STEP_BITS, HISTOGRAM_MAX_BITS)

struct histogram {
    uint64_t num;
    uint64_t most; /* the largest value, exactly */
    uint64_t buckets[HISTOGRAM_NUM_BUCKETS];
};

/* All of these work on a zeroed histogram. */
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* histogram_at returns the value that the share quantile (0 to 1) of all values do not exceed, at the
 * upper end of its bucket; 0 if there are none. */
uint64_t histogram_at(const struct histogram *histogram, double quantile);

#endif
