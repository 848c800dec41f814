/* SPDX-License-Identifier: Apache-2.0
 *
 * Log-linear buckets. Values below 2^STEP_BITS have a bucket each; above, each power of two is cut
 * into 2^STEP_BITS equal ones.
 */
#include "client/cli/histogram.h"

static const unsigned histogram_step = 1U << HISTOGRAM_STEP_BITS;

static size_t histogram_index(uint64_t value)
{
    const uint64_t last = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
    if (value > last) {
        value = last;
    }
    if (value < histogram_step) {
        return (size_t)value;
    }
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = top - HISTOGRAM_STEP_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_STEP_BITS) + (size_t)(value >> shift) - histogram_step;
}

/* The largest value of a bucket. */
static uint64_t histogram_upper(size_t index)
{
    if (index < histogram_step) {
        return index;
    }
    unsigned shift = (unsigned)(index >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t mantissa = histogram_step + (index & (histogram_step - 1));
    return ((mantissa + 1) << shift) - 1;
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
    uint64_t rank = (uint64_t)(quantile * (double)histogram->num);
    uint64_t seen = 0;
    if ((double)rank < quantile * (double)histogram->num) {
        rank++; /* rounded up: so many values are at or below */
    }
    for (size_t i = 0; i < HISTOGRAM_NUM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t upper = histogram_upper(i);
            return upper < histogram->most ? upper : histogram->most;
        }
    }
    return histogram->most;
}
