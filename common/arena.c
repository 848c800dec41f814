/* SPDX-License-Identifier: Apache-2.0
 *
 * A bump allocator: pieces are given out front to back and released together.
 */
#include "common/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGNMENT _Alignof(max_align_t)
/* A new block is at least this long and at least as long as all before it, so that their number
 * stays small; the cap goes before both. */
#define ARENA_MIN_BLOCK 4096u

struct sg_arena_block {
    struct sg_arena_block *next;
    _Alignas(max_align_t) uint8_t bytes[];
};

static bool arena_add_block(struct sg_arena *arena, size_t needed)
{
    size_t available = arena->cap - arena->used;
    if (needed > available) {
        arena->exhausted = true;
        return false;
    }
    size_t len = arena->used > ARENA_MIN_BLOCK ? arena->used : ARENA_MIN_BLOCK;
    len = len < available ? len : available;
    len = len > needed ? len : needed;
    struct sg_arena_block *block = malloc(sizeof(*block) + len);
    if (block == NULL) {
        return false;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    arena->next = block->bytes;
    arena->left = len;
    arena->used += len;
    return true;
}

/* As sg_arena_alloc, but the bytes are what they were. */
static void *arena_take(struct sg_arena *arena, size_t len)
{
    if (len > arena->cap) {
        arena->exhausted = true;
        return NULL;
    }
    /* Also for no bytes there is an address, as malloc may give one. */
    size_t rounded = len == 0 ? ARENA_ALIGNMENT
                              : (len + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (rounded > arena->left && !arena_add_block(arena, rounded)) {
        return NULL;
    }
    void *taken = arena->next;
    arena->next += rounded;
    arena->left -= rounded;
    return taken;
}

/* protobuf-c initializes what it takes. */
static void *arena_protobuf_alloc(void *data, size_t len)
{
    return arena_take(data, len);
}

static void arena_protobuf_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

void sg_arena_init(struct sg_arena *arena, size_t cap)
{
    sg_arena_init_with(arena, cap, NULL, 0);
}

void sg_arena_init_with(struct sg_arena *arena, size_t cap, void *memory, size_t len)
{
    /* Only whole units are given out, so that what is left never splits one. */
    size_t usable = (len < cap ? len : cap) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    *arena = (struct sg_arena){.next = memory, .left = usable, .used = usable, .cap = cap};
    arena->allocator = (ProtobufCAllocator){
        .alloc = arena_protobuf_alloc, .free = arena_protobuf_free, .allocator_data = arena};
}

void sg_arena_fini(struct sg_arena *arena)
{
    struct sg_arena_block *block = arena->blocks;
    while (block != NULL) {
        struct sg_arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct sg_arena){0};
}

void *sg_arena_alloc(struct sg_arena *arena, size_t len)
{
    void *taken = arena_take(arena, len);
    return taken != NULL ? memset(taken, 0, len) : NULL;
}
