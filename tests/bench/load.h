/* SPDX-License-Identifier: Apache-2.0
 *
 * A closed loop: threads that each send the next call when the last one is answered, and how long calls took.
 * What a call is, the program says; this measures and prints, and knows nobody's protocol. For C and C++.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOAD_MAX_THREADS 1024

enum load_verdict {
    LOAD_DONE,   /* a good call */
    LOAD_FAILED, /* the whole run is worth nothing */
    LOAD_OVER /* nothing was called, there is nothing left to do: all threads stop, and what was done counts */
};

/* What each thread does. */
struct load {
    /* Before the clock runs; returns the thread's own state, or NULL if that failed, having said why. */
    void *(*open)(void);
    enum load_verdict (*call)(void *state);
    void (*close)(void *state);
};

/* load_run runs 1 to LOAD_MAX_THREADS threads for so many seconds and prints
 * "RATE P50_US P90_US P99_US P999_US". Returns what the program is to exit with: 1 if any call failed, and then
 * nothing is printed on standard output. One run at a time. */
int load_run(const struct load *load, size_t num_threads, double seconds);

/* load_pause sleeps so many seconds. */
void load_pause(double seconds);

/* load_now returns the seconds of a clock that never goes back. */
double load_now(void);

#ifdef __cplusplus
}
#endif

#endif
