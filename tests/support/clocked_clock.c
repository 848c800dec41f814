/* SPDX-License-Identifier: Apache-2.0
 *
 * The clocks of a daemon and a keyholder with a wall clock that tests set: the 8 bytes at the start of the
 * file that SIGNET_TEST_CLOCK names, seconds since 1970 as an int64_t. The monotonic clock is the real one.
 * Stands in the place of server/clock.c and server/keyholder/wall_clock.c; everything else is as it is.
 */
#include "server/clock.h"
#include "server/keyholder/wall_clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const atomic_int_least64_t *clocked_wall;

/* Without its clock it is of no use to anybody. At the start: the keyholder opens no files later. */
static void __attribute__((constructor)) clocked_open(void)
{
    const char *path = getenv("SIGNET_TEST_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page =
        fd >= 0 ? mmap(NULL, sizeof(*clocked_wall), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED) {
        abort();
    }
    (void)close(fd);
    clocked_wall = page;
}

uint64_t sg_clock_mono_ms(void)
{
    struct timespec mono;
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000;
}

uint64_t sg_clock_mono_us(void)
{
    struct timespec mono;
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000;
}

uint64_t sg_clock_boot_ms(void)
{
    struct timespec boot = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    return (uint64_t)boot.tv_sec * 1000u + (uint64_t)boot.tv_nsec / 1000000u;
}

int64_t sg_clock_wall_s(void)
{
    return atomic_load(clocked_wall);
}

struct sg_now sg_clock_now(void)
{
    return (struct sg_now){.wall_s = sg_clock_wall_s(), .mono_ms = sg_clock_mono_ms()};
}

int64_t sg_wall_clock_s(void)
{
    return atomic_load(clocked_wall);
}
