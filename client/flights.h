/* SPDX-License-Identifier: Apache-2.0
 *
 * Who of one client is asking the daemon about which token just now, so that calls that want to know the same at the
 * same time make one request: one leads, and the others wait for it. Knows no token, only hashes of them: two that
 * collide wait for each other in vain, and then ask for themselves, as everybody does whom the answer does not help.
 *
 * See flights.c for how it lives through fork(): a child waits for nobody of its parent.
 */
#ifndef SG_CLIENT_FLIGHTS_H
#define SG_CLIENT_FLIGHTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/deadline.h"
#include "client/epoch_lock.h"

#define SG_FLIGHTS_MAX                                                                             \
    64u /* as many as connections are kept: more tokens at a time are asked about without this */

struct sg_flight {
    uint64_t hash;
    uint32_t epoch;          /* of the process that it is under way in; 0: none is */
    bool is_awaited;         /* by somebody, who sleeps or is about to */
    _Atomic uint32_t landed; /* how many ended here: what is slept on */
};

struct sg_flights {
    struct sg_epoch_lock lock;
    struct sg_flight flights[SG_FLIGHTS_MAX];
};

void sg_flights_init(struct sg_flights *flights);

enum sg_flights_role {
    SG_FLIGHTS_LEADS =
        1, /* *flight is one's own, to be ended with sg_flights_land, however it went */
    SG_FLIGHTS_FOLLOWED, /* another one led, and has ended */
    SG_FLIGHTS_ALONE,    /* there is no room */
    SG_FLIGHTS_LATE      /* the deadline passed first */
};

/* sg_flights_join takes the lead for a token, or waits until the one who has it ends, at most until the deadline. */
enum sg_flights_role sg_flights_join(struct sg_flights *flights, uint64_t hash, uint32_t epoch,
                                     const struct sg_deadline *deadline, struct sg_flight **flight);
void sg_flights_land(struct sg_flights *flights, struct sg_flight *flight, uint32_t epoch);

#endif
