/* SPDX-License-Identifier: Apache-2.0
 *
 * Which bucket is whose. Keeps nothing.
 */
#include "common/buckets.h"

size_t sg_buckets_index(uint64_t value, unsigned step_bits)
{
    const uint64_t step = UINT64_C(1) << step_bits;
    if (value < step) {
        return (size_t)value;
    }
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = top - step_bits;
    return ((size_t)(shift + 1) << step_bits) + (size_t)((value >> shift) - step);
}

uint64_t sg_buckets_upper(size_t index, unsigned step_bits)
{
    const uint64_t step = UINT64_C(1) << step_bits;
    if (index < step) {
        return index;
    }
    unsigned shift = (unsigned)(index >> step_bits) - 1;
    uint64_t mantissa = step + (index & (step - 1));
    return ((mantissa + 1) << shift) - 1;
}

uint64_t sg_buckets_rank(uint64_t num, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)num);
    if ((double)rank < quantile * (double)num) {
        rank++; /* rounded up: so many values are at or below */
    }
    return rank > 0 || num == 0 ? rank : 1;
}
