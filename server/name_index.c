/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear steps, never more than half full.
 */
#include "server/name_index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

static uint64_t index_hash(const struct sg_name_index *index, const void *name, size_t len)
{
    return XXH3_64bits_withSeed(name, len, index->seed);
}

static uint32_t index_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

bool sg_name_index_init(struct sg_name_index *index, size_t num)
{
    size_t places = 8;
    while (places < 2 * num) {
        places *= 2;
    }
    uint64_t seed = 0;
    struct sg_name_index_place *list = calloc(places, sizeof(*list));
    if (list == NULL || getentropy(&seed, sizeof(seed)) != 0) {
        free(list);
        return false;
    }
    *index = (struct sg_name_index){.seed = seed, .mask = places - 1, .places = list};
    return true;
}

void sg_name_index_fini(struct sg_name_index *index)
{
    free(index->places);
    *index = (struct sg_name_index){0};
}

void sg_name_index_put(struct sg_name_index *index, const void *name, size_t len, uint32_t value)
{
    uint64_t hash = index_hash(index, name, len);
    size_t at = (size_t)hash & index->mask;
    while (index->places[at].value != 0) {
        at = (at + 1) & index->mask;
    }
    index->places[at] = (struct sg_name_index_place){.tag = index_tag(hash), .value = value + 1};
}

void sg_name_index_begin(const struct sg_name_index *index, const void *name, size_t len,
                         struct sg_name_index_search *search)
{
    uint64_t hash = index_hash(index, name, len);
    *search = (struct sg_name_index_search){
        .index = index, .tag = index_tag(hash), .at = (size_t)hash & index->mask};
}

bool sg_name_index_next(struct sg_name_index_search *search, uint32_t *value)
{
    const struct sg_name_index *index = search->index;
    for (;;) {
        const struct sg_name_index_place *place = &index->places[search->at];
        if (place->value == 0) {
            return false;
        }
        search->at = (search->at + 1) & index->mask;
        if (place->tag == search->tag) {
            *value = place->value - 1;
            return true;
        }
    }
}
