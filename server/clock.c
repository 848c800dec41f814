/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the clocks. Keeps nothing.
 */
#include "server/clock.h"

#include <time.h>

uint64_t sg_clock_mono_ms(void)
{
    struct timespec mono = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (uint64_t)mono.tv_sec * 1000u + (uint64_t)mono.tv_nsec / 1000000u + 1u;
}

uint64_t sg_clock_mono_us(void)
{
    struct timespec mono = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (uint64_t)mono.tv_sec * 1000000u + (uint64_t)mono.tv_nsec / 1000u;
}

uint64_t sg_clock_boot_ms(void)
{
    struct timespec boot = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    return (uint64_t)boot.tv_sec * 1000u + (uint64_t)boot.tv_nsec / 1000000u;
}

int64_t sg_clock_wall_s(void)
{
    struct timespec wall = {0};
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return wall.tv_sec;
}

struct sg_now sg_clock_now(void)
{
    return (struct sg_now){.wall_s = sg_clock_wall_s(), .mono_ms = sg_clock_mono_ms()};
}
