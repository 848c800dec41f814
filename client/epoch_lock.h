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
#include <time.h>

/* The epoch (client/pool.h) of the process that a thread holds it in; 0: free. */
struct sg_epoch_lock {
    _Atomic uint32_t holder;
};

/* Between two looks at what another thread is about to end, the attempt-th from 0. That thread may have a lower priority
 * and no processor of its own: a yield does not help it then, and sleep does. */
static inline void sg_epoch_pause(unsigned attempt)
{
    const unsigned max_yields = 32;
    const struct timespec pause = {.tv_nsec = 100000};
    if (attempt < max_yields) {
        (void)sched_yield();
    } else {
        (void)nanosleep(&pause, NULL);
    }
}

static inline void sg_epoch_lock_take(struct sg_epoch_lock *lock, uint32_t epoch)
{
    for (unsigned attempt = 0;; attempt++) {
        uint32_t seen = atomic_load(&lock->holder);
        if (seen != epoch && atomic_compare_exchange_strong(&lock->holder, &seen, epoch)) {
            return;
        }
        sg_epoch_pause(attempt);
    }
}

static inline void sg_epoch_lock_give(struct sg_epoch_lock *lock)
{
    atomic_store(&lock->holder, 0);
}

#endif
