/* SPDX-License-Identifier: Apache-2.0
 *
 * A flight belongs to the process whose epoch (client/pool.c) it holds. All but `landed` is read and written under the
 * lock, in steps that leave it whole; a child finds lock and flights of another epoch, which count as free.
 */
#include "client/flights.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sg_flights_init(struct sg_flights *flights)
{
    memset(flights, 0, sizeof(*flights));
}

/* ---- Waiting ---- */

/* Until *word is not seen any more, or about left_ms have passed; may return sooner. */
static void flights_sleep(_Atomic uint32_t *word, uint32_t seen, uint32_t left_ms)
{
    const struct timespec timeout = {.tv_sec = left_ms / 1000,
                                     .tv_nsec = (long)(left_ms % 1000) * 1000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &timeout, NULL, 0);
}

static void flights_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static enum sg_flights_role flights_await(struct sg_flight *flight, uint32_t landed,
                                          const struct sg_deadline *deadline)
{
    while (atomic_load(&flight->landed) == landed) {
        uint32_t left_ms = sg_deadline_left_ms(deadline);
        if (left_ms == 0) {
            return SG_FLIGHTS_LATE;
        }
        flights_sleep(&flight->landed, landed, left_ms);
    }
    return SG_FLIGHTS_FOLLOWED;
}

/* ---- Flights ---- */

/* The one under way for this hash, else one that is free; NULL: there is neither. */
static struct sg_flight *flights_find(struct sg_flights *flights, uint64_t hash, uint32_t epoch)
{
    struct sg_flight *found = NULL;
    for (size_t i = 0; i < SG_FLIGHTS_MAX; i++) {
        struct sg_flight *flight = &flights->flights[i];
        if (flight->epoch == epoch && flight->hash == hash) {
            return flight;
        }
        found = flight->epoch != epoch ? flight : found;
    }
    return found;
}

enum sg_flights_role sg_flights_join(struct sg_flights *flights, uint64_t hash, uint32_t epoch,
                                     const struct sg_deadline *deadline, struct sg_flight **flight)
{
    sg_epoch_lock_take(&flights->lock, epoch);
    struct sg_flight *found = flights_find(flights, hash, epoch);
    bool is_led = found != NULL && found->epoch == epoch;
    uint32_t landed = 0;
    if (is_led) {
        found->is_awaited = true;
        landed = atomic_load(&found->landed);
    } else if (found != NULL) {
        found->hash = hash;
        found->is_awaited = false;
        found->epoch = epoch;
    }
    sg_epoch_lock_give(&flights->lock);
    if (is_led) {
        return flights_await(found, landed, deadline);
    }
    if (found == NULL) {
        return SG_FLIGHTS_ALONE;
    }
    *flight = found;
    return SG_FLIGHTS_LEADS;
}

void sg_flights_land(struct sg_flights *flights, struct sg_flight *flight, uint32_t epoch)
{
    sg_epoch_lock_take(&flights->lock, epoch);
    bool is_awaited = flight->is_awaited;
    flight->epoch = 0;
    (void)atomic_fetch_add(&flight->landed, 1);
    sg_epoch_lock_give(&flights->lock);
    if (is_awaited) {
        flights_wake(&flight->landed);
    }
}
