/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's heap and stacks, mapped ahead.
 */
#include "server/keyholder/memory.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A key takes two to ten KiB of it, contexts included. Beyond it the heap grows as any other. */
#define MEMORY_HEAP_LEN ((size_t)64 * 1024 * 1024)
/* The largest threshold that the C library takes: only stretching a passphrase needs more at once. */
#define MEMORY_MMAP_THRESHOLD (32 * 1024 * 1024)

/* One heap for all threads, which is neither split nor given back. */
static bool memory_reserve_heap(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, MEMORY_MMAP_THRESHOLD);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    /* NOLINTEND(concurrency-mt-unsafe) */
    void *parts[MEMORY_HEAP_LEN / MEMORY_MMAP_THRESHOLD * 2];
    const size_t num = sizeof(parts) / sizeof(parts[0]);
    bool has_all = true;
    for (size_t i = 0; i < num; i++) {
        parts[i] = malloc(MEMORY_MMAP_THRESHOLD / 2);
        has_all = has_all && parts[i] != NULL;
    }
    for (size_t i = 0; i < num; i++) {
        free(parts[i]);
    }
    return has_all;
}

static size_t memory_page_len(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

uint8_t *sg_memory_stack(uint8_t *stacks, size_t index)
{
    return stacks + index * (SG_MEMORY_STACK_LEN + memory_page_len()) + memory_page_len();
}

uint8_t *sg_memory_reserve(size_t num_stacks)
{
    size_t page_len = memory_page_len();
    size_t len = num_stacks * (SG_MEMORY_STACK_LEN + page_len);
    uint8_t *stacks = mmap(NULL, len, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stacks == MAP_FAILED || !memory_reserve_heap()) {
        return NULL;
    }
    for (size_t i = 0; i < num_stacks; i++) {
        /* A stack grows downwards, into this page if it is too small. */
        if (mprotect(sg_memory_stack(stacks, i) - page_len, page_len, PROT_NONE) != 0) {
            return NULL;
        }
    }
    return stacks;
}

bool sg_memory_lock(void)
{
    /* Sanitizers turn mlockall into something that does nothing and succeeds. */
    return !SG_CONFINE_SANITIZED && mlockall(MCL_CURRENT | MCL_ONFAULT) == 0;
}
