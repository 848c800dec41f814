/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding a number by a run of bytes: an open-addressing table of hashes, filled once and then only
 * read. It keeps no bytes: whoever looks up compares what the numbers stand for. The hash is seeded, so
 * that nobody outside can choose names that collide.
 */
#ifndef SG_NAME_INDEX_H
#define SG_NAME_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_name_index_place {
    uint32_t tag;   /* part of the hash */
    uint32_t value; /* and one; 0: empty */
};

struct sg_name_index {
    uint64_t seed;
    size_t mask; /* places, less one; a power of two less one */
    struct sg_name_index_place *places;
};

/* sg_name_index_init makes room for num names, at most 2^24. False without memory. */
bool sg_name_index_init(struct sg_name_index *index, size_t num)
    __attribute__((warn_unused_result));
void sg_name_index_fini(struct sg_name_index *index); /* legal on a zeroed one */

/* sg_name_index_put adds a name; at most as many as there is room for. The same name may be put several
 * times. */
void sg_name_index_put(struct sg_name_index *index, const void *name, size_t len, uint32_t value);

/* A search: values whose name may be the one looked for. */
struct sg_name_index_search {
    const struct sg_name_index *index;
    uint32_t tag;
    size_t at;
};

void sg_name_index_begin(const struct sg_name_index *index, const void *name, size_t len,
                         struct sg_name_index_search *search);
/* sg_name_index_next gives the next candidate; false at the end. */
bool sg_name_index_next(struct sg_name_index_search *search, uint32_t *value);

#endif
