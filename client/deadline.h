/* SPDX-License-Identifier: Apache-2.0
 *
 * When a call must have ended, on CLOCK_MONOTONIC, and the waits on the way there.
 */
#ifndef SG_CLIENT_DEADLINE_H
#define SG_CLIENT_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct sg_deadline {
    int64_t at_ns;
    uint32_t timeout_ms; /* as the caller gave it, for messages */
};

struct sg_deadline sg_deadline_in(uint32_t timeout_ms);

/* sg_deadline_left_ms returns the time that is left, rounded up; 0: it has passed. */
uint32_t sg_deadline_left_ms(const struct sg_deadline *deadline);

/* sg_deadline_poll waits until fd has one of events (poll(2)) or hung up. False: time is up. */
bool sg_deadline_poll(const struct sg_deadline *deadline, int fd, short events);

/* sg_deadline_pause waits before the attempt after number attempt (from 0): longer each time, with
 * jitter, and at least at_least_ms. False, at once, if the deadline would pass before the end. */
bool sg_deadline_pause(const struct sg_deadline *deadline, unsigned attempt, uint32_t at_least_ms);

#endif
