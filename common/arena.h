/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for the life of one call, with a hard cap, behind a ProtobufCAllocator. Decoding can
 * inflate its input many times over; the cap is what bounds it. Not thread-safe; one owner; must not
 * be moved once it was initialized, since the allocator points back to it.
 */
#ifndef SG_ARENA_H
#define SG_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_arena_block;

struct sg_arena {
    ProtobufCAllocator allocator; /* give this to protobuf-c; its free does nothing */
    struct sg_arena_block *blocks;
    uint8_t *next; /* the piece that is being given out */
    size_t left;   /* of it */
    size_t used;   /* bytes taken so far, given out or not; never above cap */
    size_t cap;
    bool exhausted; /* something did not fit under the cap */
};

void sg_arena_init(struct sg_arena *arena, size_t cap);
/* The same, giving out len bytes of the caller's memory first, which must be aligned for any type and
 * outlive the arena. They count under the cap. */
void sg_arena_init_with(struct sg_arena *arena, size_t cap, void *memory, size_t len);
void sg_arena_fini(struct sg_arena *arena); /* legal on a zeroed one */

/* sg_arena_alloc returns len zeroed bytes aligned for any type, or NULL at the cap or without
 * memory. They live until sg_arena_fini. */
void *sg_arena_alloc(struct sg_arena *arena, size_t len);

#endif
