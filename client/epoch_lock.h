/* SPDX-License-Identifier: Apache-2.0
 *
 * A lock that a child does not inherit: whoever forks while another thread holds it leaves the child a lock that
 * counts as free. So what it guards must be whole after every single step of its holder. For a few instructions at a
 * time, and never while something is waited for.
 */
#ifndef SG_CLIENT_EPOCH_LOCK_H
#define SG_CLIENT_EPOCH_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

/* The epoch (client/pool.h) of the process that a thread holds it in; 0: free. */
struct sg_epoch_lock {
    _Atomic uint32_t holder;
};

static inline void sg_epoch_lock_take(struct sg_epoch_lock *lock, uint32_t epoch)
{
    for (;;) {
        uint32_t seen = atomic_load(&lock->holder);
        if (seen != epoch && atomic_compare_exchange_strong(&lock->holder, &seen, epoch)) {
            return;
        }
        (void)sched_yield();
    }
}

static inline void sg_epoch_lock_give(struct sg_epoch_lock *lock)
{
    atomic_store(&lock->holder, 0);
}

#endif
