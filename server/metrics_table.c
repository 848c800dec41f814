/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear steps, never more than half full. A place is filled once, after its entry is
 * whole, so that whoever finds it filled may read the entry.
 */
#include "server/metrics_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define TABLE_LINE_COUNTERS (SG_METRICS_LINE / sizeof(atomic_uint_least64_t))

static struct sg_metrics_entry *table_make_entry(const struct sg_metrics_table *table,
                                                 const void *name, size_t len)
{
    size_t lines = (table->num_counters + TABLE_LINE_COUNTERS - 1) / TABLE_LINE_COUNTERS;
    size_t size = sizeof(struct sg_metrics_entry) + table->num_shards * lines * SG_METRICS_LINE;
    struct sg_metrics_entry *entry = aligned_alloc(SG_METRICS_LINE, size);
    if (entry == NULL) {
        return NULL;
    }
    memset(entry, 0, size);
    if (len > 0) {
        memcpy(entry->name, name, len);
    }
    entry->name_len = len;
    entry->stride = lines * TABLE_LINE_COUNTERS;
    return entry;
}

bool sg_metrics_table_init(struct sg_metrics_table *table, size_t max, size_t num_counters,
                           size_t num_shards)
{
    size_t num_places = 8;
    while (num_places < 2 * max) {
        num_places *= 2;
    }
    memset(table, 0, sizeof(*table));
    table->max = max;
    table->num_counters = num_counters;
    table->num_shards = num_shards;
    table->mask = num_places - 1;
    table->places = calloc(num_places, sizeof(table->places[0]));
    table->entries = calloc(max + 1, sizeof(table->entries[0]));
    if (table->places == NULL || table->entries == NULL ||
        getentropy(&table->seed, sizeof(table->seed)) != 0) {
        return false;
    }
    table->entries[0] = table_make_entry(table, NULL, 0);
    atomic_init(&table->num, table->entries[0] != NULL ? 1 : 0);
    return table->entries[0] != NULL && pthread_mutex_init(&table->mutex, NULL) == 0;
}

void sg_metrics_table_fini(struct sg_metrics_table *table)
{
    size_t num = atomic_load(&table->num);
    for (size_t i = 0; i < num; i++) {
        free(table->entries[i]);
    }
    if (num > 0) {
        (void)pthread_mutex_destroy(&table->mutex);
    }
    free(table->entries);
    free(table->places);
    memset(table, 0, sizeof(*table));
}

/* The entry of the name, or NULL and the place where it would be. */
static struct sg_metrics_entry *table_find(const struct sg_metrics_table *table, const void *name,
                                           size_t len, size_t *place)
{
    *place = XXH3_64bits_withSeed(name, len, table->seed) & table->mask;
    for (;;) {
        size_t index = atomic_load_explicit(&table->places[*place], memory_order_acquire);
        if (index == 0) {
            return NULL;
        }
        struct sg_metrics_entry *entry = table->entries[index];
        if (entry->name_len == len && memcmp(entry->name, name, len) == 0) {
            return entry;
        }
        *place = (*place + 1) & table->mask;
    }
}

/* With the mutex held: nobody else adds. */
static struct sg_metrics_entry *table_add(struct sg_metrics_table *table, const void *name,
                                          size_t len)
{
    size_t place = 0;
    size_t num = atomic_load_explicit(&table->num, memory_order_relaxed);
    struct sg_metrics_entry *entry = table_find(table, name, len, &place);
    if (entry != NULL || num > table->max) {
        return entry;
    }
    entry = table_make_entry(table, name, len);
    if (entry != NULL) {
        table->entries[num] = entry;
        atomic_store_explicit(&table->places[place], num, memory_order_release);
        atomic_store_explicit(&table->num, num + 1, memory_order_release);
    }
    return entry;
}

struct sg_metrics_entry *sg_metrics_table_get(struct sg_metrics_table *table, const void *name,
                                              size_t len)
{
    size_t place = 0;
    if (len == 0 || len > SG_METRICS_MAX_NAME) {
        return table->entries[0];
    }
    struct sg_metrics_entry *entry = table_find(table, name, len, &place);
    if (entry == NULL && sg_metrics_table_num(table) <= table->max) {
        (void)pthread_mutex_lock(&table->mutex);
        entry = table_add(table, name, len);
        (void)pthread_mutex_unlock(&table->mutex);
    }
    return entry != NULL ? entry : table->entries[0];
}

size_t sg_metrics_table_num(const struct sg_metrics_table *table)
{
    return atomic_load_explicit(&table->num, memory_order_acquire);
}

const struct sg_metrics_entry *sg_metrics_table_read(const struct sg_metrics_table *table,
                                                     size_t index, uint64_t *sums)
{
    const struct sg_metrics_entry *entry = table->entries[index];
    memset(sums, 0, table->num_counters * sizeof(sums[0]));
    for (size_t shard = 0; shard < table->num_shards; shard++) {
        const atomic_uint_least64_t *counters = entry->counters + shard * entry->stride;
        for (size_t i = 0; i < table->num_counters; i++) {
            sums[i] += atomic_load_explicit(&counters[i], memory_order_relaxed);
        }
    }
    return entry;
}
