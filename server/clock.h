/* SPDX-License-Identifier: Apache-2.0
 *
 * The clocks of the daemon. Deadlines are set and judged by one function only.
 */
#ifndef SG_CLOCK_H
#define SG_CLOCK_H

#include <stdint.h>

#include "server/dispatch.h"

/* CLOCK_MONOTONIC in milliseconds; never 0. */
uint64_t sg_clock_mono_ms(void);

/* CLOCK_MONOTONIC in microseconds: for telling how long something took. */
uint64_t sg_clock_mono_us(void);

/* CLOCK_BOOTTIME in milliseconds: time in which the machine slept counts. */
uint64_t sg_clock_boot_ms(void);

/* CLOCK_REALTIME in seconds since 1970. */
int64_t sg_clock_wall_s(void);

struct sg_now sg_clock_now(void);

#endif
