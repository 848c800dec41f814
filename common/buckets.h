/* SPDX-License-Identifier: Apache-2.0
 *
 * Log-linear buckets for durations: values below 2^step_bits have a bucket each; above, each power of two is
 * cut into 2^step_bits equal ones, so that a value is known within one part in 2^step_bits (the idea of
 * HdrHistogram). Here is only which bucket is whose; who counts keeps the counts.
 */
#ifndef SG_BUCKETS_H
#define SG_BUCKETS_H

#include <stddef.h>
#include <stdint.h>

/* How many buckets it takes for values below 2^max_bits; step_bits is less than max_bits. */
#define SG_BUCKETS_NUM(step_bits, max_bits) ((size_t)((max_bits) - (step_bits) + 1) << (step_bits))

/* sg_buckets_index returns the bucket of value, which is less than 2^63. */
size_t sg_buckets_index(uint64_t value, unsigned step_bits);

/* sg_buckets_upper returns the largest value of a bucket. */
uint64_t sg_buckets_upper(size_t index, unsigned step_bits);

/* sg_buckets_rank returns which of num values, in their order and counted from 1, the share quantile (0 to 1)
 * of all do not exceed; 0 if num is 0. */
uint64_t sg_buckets_rank(uint64_t num, double quantile);

#endif
