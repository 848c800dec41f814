/* SPDX-License-Identifier: Apache-2.0
 *
 * Time for the calls of the library. Only CLOCK_MONOTONIC counts: a step of the wall clock must
 * neither end a call nor make it last.
 */
#include "client/deadline.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define DEADLINE_NS_PER_MS INT64_C(1000000)
#define DEADLINE_NS_PER_S  INT64_C(1000000000)
#define DEADLINE_PAUSE_MS  2  /* before the second attempt */
#define DEADLINE_DOUBLINGS 5u /* up to 64 ms */
#define DEADLINE_SPREAD    4  /* those who were told the same time come within a quarter of it */

static int64_t deadline_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * DEADLINE_NS_PER_S + now.tv_nsec;
}

static struct timespec deadline_timespec(int64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / DEADLINE_NS_PER_S),
                            .tv_nsec = (long)(ns % DEADLINE_NS_PER_S)};
    return time;
}

struct sg_deadline sg_deadline_in(uint32_t timeout_ms)
{
    struct sg_deadline deadline = {
        .at_ns = deadline_now_ns() + (int64_t)timeout_ms * DEADLINE_NS_PER_MS,
        .timeout_ms = timeout_ms,
    };
    return deadline;
}

uint32_t sg_deadline_left_ms(const struct sg_deadline *deadline)
{
    int64_t left = deadline->at_ns - deadline_now_ns();
    return left <= 0 ? 0 : (uint32_t)((left + DEADLINE_NS_PER_MS - 1) / DEADLINE_NS_PER_MS);
}

bool sg_deadline_poll(const struct sg_deadline *deadline, int fd, short events)
{
    struct pollfd wait_for = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = deadline->at_ns - deadline_now_ns();
        if (left <= 0) {
            return false;
        }
        struct timespec timeout = deadline_timespec(left);
        int ready = ppoll(&wait_for, 1, &timeout, NULL);
        /* After any other error the caller's recv or send finds the same fault and names it. */
        if (ready > 0 || (ready < 0 && errno != EINTR)) {
            return true;
        }
    }
}

bool sg_deadline_pause(const struct sg_deadline *deadline, unsigned attempt, uint32_t at_least_ms)
{
    int64_t now = deadline_now_ns();
    unsigned doublings = attempt < DEADLINE_DOUBLINGS ? attempt : DEADLINE_DOUBLINGS;
    int64_t at_least = (int64_t)at_least_ms * DEADLINE_NS_PER_MS;
    int64_t span = (INT64_C(1) << doublings) * DEADLINE_PAUSE_MS * DEADLINE_NS_PER_MS +
                   at_least / DEADLINE_SPREAD;
    /* Jitter keeps many waiting callers apart; the clock's low digits are different enough. */
    int64_t jitter = (int64_t)(((uint64_t)now * UINT64_C(2654435761)) % (uint64_t)(span / 2 + 1));
    int64_t wait = at_least + span / 2 + jitter;
    if (wait >= deadline->at_ns - now) {
        return false;
    }
    struct timespec timeout = deadline_timespec(wait);
    (void)ppoll(NULL, 0, &timeout, NULL); /* a signal may cut it short: one attempt sooner */
    return true;
}
