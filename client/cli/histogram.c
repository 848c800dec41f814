/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts in log-linear buckets.
 */
#include "client/cli/histogram.h"

static size_t histogram_index(uint64_t value)
{
    const uint64_t last = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
    return sg_buckets_index(value < last ? value : last, HISTOGRAM_STEP_BITS);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->num++;
    histogram->most = value > histogram->most ? value : histogram->most;
    histogram->buckets[histogram_index(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->num += from->num;
    into->most = from->most > into->most ? from->most : into->most;
    for (size_t i = 0; i < HISTOGRAM_NUM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_at(const struct histogram *histogram, double quantile)
{
    uint64_t rank = sg_buckets_rank(histogram->num, quantile);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_NUM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t upper = sg_buckets_upper(i, HISTOGRAM_STEP_BITS);
            return upper < histogram->most ? upper : histogram->most;
        }
    }
    return histogram->most;
}
