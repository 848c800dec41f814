/* SPDX-License-Identifier: Apache-2.0
 *
 * The clocks of signetd-clocked, the daemon with a wall clock that tests set: the 8 bytes at the start
 * of the file that SIGNET_TEST_CLOCK names, seconds since 1970 as an int64_t. The monotonic clock is the
 * real one. Stands in the place of server/clock.c; everything else is the daemon as it is.
 */
#include "server/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t clocked_once = PTHREAD_ONCE_INIT;
static const atomic_int_least64_t *clocked_wall;

/* Without its clock it is of no use to anybody. */
static void clocked_open(void)
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

struct sg_now sg_clock_now(void)
{
    (void)pthread_once(&clocked_once, clocked_open);
    return (struct sg_now){.wall_s = atomic_load(clocked_wall), .mono_ms = sg_clock_mono_ms()};
}
