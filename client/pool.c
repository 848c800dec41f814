/* SPDX-License-Identifier: Apache-2.0
 *
 * The connections of one client, and how they live through fork().
 *
 * A slot's word holds an epoch and a state. The epoch names the process that the connection belongs
 * to: it is kept in a page that the kernel gives to a child zeroed (MADV_WIPEONFORK), and a process
 * that finds zero there takes a number that none of its ancestors had. (A pid would not do: father
 * and son may both be 1, each in its own pid namespace.) Rules:
 *
 *   - A thread owns a slot from the moment it turns its word to (own epoch, BUSY) by compare-and-swap
 *     until it stores (own epoch, IDLE) or (own epoch, EMPTY). Only the owner touches the connection.
 *   - A word with another epoch was inherited from the process that forked. Nobody here is at work
 *     on it, whatever its state, so it may be taken like an EMPTY one; who takes it first closes this
 *     process's copy of the descriptor. The parent's connection is not disturbed by that.
 *   - No step waits for another thread, and nothing is locked: a fork() between any two steps of any
 *     thread leaves the child nothing to wait for.
 *   - A slot holds no heap memory, and sg_connection_close closes only what is still the socket it
 *     opened, so a copy made half-way through a change costs at most one descriptor until exec.
 */
#include "client/pool.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_STATE_BITS 2u
#define POOL_STATE_MASK UINT64_C(3)

enum pool_state {
    POOL_EMPTY = 0, /* no connection */
    POOL_IDLE = 1,  /* a connection that no call uses */
    POOL_BUSY = 2
};

static uint64_t pool_word(uint32_t epoch, enum pool_state state)
{
    return (uint64_t)epoch << POOL_STATE_BITS | (uint64_t)state;
}

static bool pool_is_inherited(uint64_t word, uint32_t epoch)
{
    return word >> POOL_STATE_BITS != epoch && (word & POOL_STATE_MASK) != POOL_EMPTY;
}

static bool pool_claim(struct sg_pool_slot *slot, uint64_t seen, uint32_t epoch)
{
    return atomic_compare_exchange_strong(&slot->word, &seen, pool_word(epoch, POOL_BUSY));
}

/* A child's first step: what the parent had open is of no use here. */
static void pool_drop_inherited(struct sg_pool *pool, uint32_t epoch)
{
    for (size_t i = 0; i < SG_POOL_SLOTS; i++) {
        struct sg_pool_slot *slot = &pool->slots[i];
        uint64_t seen = atomic_load(&slot->word);
        if (pool_is_inherited(seen, epoch) && pool_claim(slot, seen, epoch)) {
            sg_connection_close(&slot->connection);
            atomic_store(&slot->word, pool_word(epoch, POOL_EMPTY));
        }
    }
}

uint32_t sg_pool_epoch(struct sg_pool *pool)
{
    if (pool->page == NULL) {
        return (uint32_t)getpid(); /* a kernel without MADV_WIPEONFORK: the next best name */
    }
    uint32_t epoch = atomic_load(&pool->page->epoch);
    if (epoch != 0) {
        return epoch;
    }
    uint32_t mine = atomic_fetch_add(&pool->num_epochs, 1) + 1;
    if (!atomic_compare_exchange_strong(&pool->page->epoch, &epoch, mine)) {
        return epoch; /* another thread of this process was first */
    }
    pool_drop_inherited(pool, mine);
    return mine;
}

bool sg_pool_init(struct sg_pool *pool)
{
    for (size_t i = 0; i < SG_POOL_SLOTS; i++) {
        atomic_init(&pool->slots[i].word, 0);
        sg_connection_init(&pool->slots[i].connection);
    }
    atomic_init(&pool->num_epochs, 0);
    void *page =
        mmap(NULL, sizeof(*pool->page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return false;
    }
    if (madvise(page, sizeof(*pool->page), MADV_WIPEONFORK) != 0) {
        (void)munmap(page, sizeof(*pool->page));
        page = NULL;
    }
    pool->page = page;
    return true;
}

void sg_pool_fini(struct sg_pool *pool)
{
    for (size_t i = 0; i < SG_POOL_SLOTS; i++) {
        sg_connection_close(&pool->slots[i].connection);
    }
    if (pool->page != NULL) {
        (void)munmap(pool->page, sizeof(*pool->page));
    }
}

/* Threads start their search at different slots, so that they rarely meet. */
static size_t pool_home(void)
{
    uint64_t thread = (uint64_t)(uintptr_t)pthread_self();
    return (size_t)((thread >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 58) % SG_POOL_SLOTS;
}

struct sg_connection *sg_pool_take(struct sg_pool *pool)
{
    uint32_t epoch = sg_pool_epoch(pool);
    size_t home = pool_home();
    /* An open connection first, whoever opened it: the pool grows only with calls at one time. */
    for (size_t i = 0; i < SG_POOL_SLOTS; i++) {
        struct sg_pool_slot *slot = &pool->slots[(home + i) % SG_POOL_SLOTS];
        uint64_t seen = atomic_load(&slot->word);
        if (seen == pool_word(epoch, POOL_IDLE) && pool_claim(slot, seen, epoch)) {
            return &slot->connection;
        }
    }
    for (size_t i = 0; i < SG_POOL_SLOTS; i++) {
        struct sg_pool_slot *slot = &pool->slots[(home + i) % SG_POOL_SLOTS];
        uint64_t seen = atomic_load(&slot->word);
        bool inherited = pool_is_inherited(seen, epoch);
        bool empty = (seen & POOL_STATE_MASK) == POOL_EMPTY;
        if ((inherited || empty) && pool_claim(slot, seen, epoch)) {
            if (inherited) {
                sg_connection_close(&slot->connection);
            }
            return &slot->connection;
        }
    }
    return NULL;
}

void sg_pool_give(struct sg_pool *pool, struct sg_connection *connection)
{
    size_t offset = (size_t)((const char *)connection - (const char *)pool->slots);
    struct sg_pool_slot *slot = &pool->slots[offset / sizeof(pool->slots[0])];
    bool open = atomic_load(&connection->fd) >= 0;
    uint64_t epoch = atomic_load(&slot->word) >> POOL_STATE_BITS;
    atomic_store(&slot->word, pool_word((uint32_t)epoch, open ? POOL_IDLE : POOL_EMPTY));
}
