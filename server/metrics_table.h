/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters under names that come up while the daemon runs: a bounded number of them, and one more for all
 * that come after. For metrics only. Finding takes no lock; adding does, once a name.
 */
#ifndef SG_METRICS_TABLE_H
#define SG_METRICS_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_METRICS_MAX_NAME 64u
#define SG_METRICS_LINE     64u /* bytes of a cache line */

/* One name and its counters. Never changes but for these, and lives as long as the table. */
struct sg_metrics_entry {
    uint8_t name[SG_METRICS_MAX_NAME];
    size_t name_len;
    size_t stride; /* counters of one shard, whole cache lines of them */
    _Alignas(SG_METRICS_LINE) atomic_uint_least64_t counters[];
};

struct sg_metrics_table {
    size_t max, num_counters, num_shards;
    uint64_t seed; /* so that nobody can choose names that share a place */
    size_t mask;
    atomic_size_t *places;             /* mask + 1: a number of entries; 0: free */
    struct sg_metrics_entry **entries; /* max + 1; [0] is for all that have none */
    atomic_size_t num;                 /* of entries; what is below it never changes */
    pthread_mutex_t mutex;             /* who adds */
};

/* sg_metrics_table_init makes a table for max names with num_counters each in each of num_shards. False
 * without memory; sg_metrics_table_fini is legal then, and on a zeroed one. */
bool sg_metrics_table_init(struct sg_metrics_table *table, size_t max, size_t num_counters,
                           size_t num_shards) __attribute__((warn_unused_result));
void sg_metrics_table_fini(struct sg_metrics_table *table);

/* sg_metrics_table_get returns the entry of a name of 1 to SG_METRICS_MAX_NAME bytes, which is added if there
 * is room; else, and for any other length, the one for the rest. Any thread; never NULL. */
struct sg_metrics_entry *sg_metrics_table_get(struct sg_metrics_table *table, const void *name,
                                              size_t len);

/* The counters of one shard. */
static inline atomic_uint_least64_t *sg_metrics_entry_shard(struct sg_metrics_entry *entry,
                                                            size_t shard)
{
    return entry->counters + shard * entry->stride;
}

/* sg_metrics_table_num returns how many entries there are, with that for the rest. */
size_t sg_metrics_table_num(const struct sg_metrics_table *table);

/* sg_metrics_table_read returns an entry below sg_metrics_table_num, and adds its shards up into
 * sums[num_counters]. */
const struct sg_metrics_entry *sg_metrics_table_read(const struct sg_metrics_table *table,
                                                     size_t index, uint64_t *sums);

#endif
