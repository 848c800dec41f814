/* SPDX-License-Identifier: Apache-2.0
 *
 * The connections of one client: a fixed array of slots, each with at most one connection and one
 * call on it, shared by all threads without a lock. See pool.c for how it lives through fork().
 */
#ifndef SG_CLIENT_POOL_H
#define SG_CLIENT_POOL_H

#include <signet/status.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"

#define SG_POOL_SLOTS 64u

struct sg_pool_slot {
    _Alignas(64) _Atomic uint64_t word; /* epoch and state; pool.c */
    struct sg_connection connection;
};

/* A page of its own, which the kernel gives to a child zeroed. */
struct sg_pool_page {
    _Atomic uint32_t epoch;
};

struct sg_pool {
    struct sg_pool_slot slots[SG_POOL_SLOTS];
    struct sg_pool_page *page; /* NULL: the kernel does not know how */
    _Atomic uint32_t num_epochs;
};

/* sg_pool_init fails only without memory. */
bool sg_pool_init(struct sg_pool *pool) SIGNET_MUST_CHECK;
void sg_pool_fini(struct sg_pool *pool); /* legal on a zeroed one; no connection may be taken */

/* sg_pool_epoch names this process: a number that none of its ancestors had, and not 0. What is written down with
 * another one was inherited from a process that forked. */
uint32_t sg_pool_epoch(struct sg_pool *pool);

/* sg_pool_take returns a connection, open or not, that no other call uses, to be given back with
 * sg_pool_give; NULL if all are in use. Never blocks. */
struct sg_connection *sg_pool_take(struct sg_pool *pool);
void sg_pool_give(struct sg_pool *pool, struct sg_connection *connection);

#endif
