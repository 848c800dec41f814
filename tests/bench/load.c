/* SPDX-License-Identifier: Apache-2.0
 *
 * See load.h. Threads wait for each other before the clock runs, so that connecting is not measured.
 */
#include "tests/bench/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/cli/histogram.h"

struct load_thread {
    pthread_t thread;
    const struct load *load;
    struct histogram latency; /* nanoseconds */
    bool failed;
};

static pthread_barrier_t load_start;
static atomic_bool load_stop;

static uint64_t load_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double load_now(void)
{
    return (double)load_now_ns() / 1e9;
}

void load_pause(double seconds)
{
    const struct timespec pause = {(time_t)seconds,
                                   (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&pause, NULL);
}

static void load_loop(struct load_thread *self, void *state)
{
    enum load_verdict verdict = LOAD_DONE;
    uint64_t before = load_now_ns();
    while (verdict == LOAD_DONE && !atomic_load_explicit(&load_stop, memory_order_relaxed)) {
        verdict = self->load->call(state);
        uint64_t after = load_now_ns();
        if (verdict == LOAD_DONE) {
            histogram_add(&self->latency, after - before);
        }
        before = after;
    }
    self->failed = verdict == LOAD_FAILED;
    if (verdict != LOAD_DONE) {
        atomic_store(&load_stop, true);
    }
}

static void *load_main(void *argument)
{
    struct load_thread *self = argument;
    void *state = self->load->open();
    self->failed = state == NULL;
    (void)pthread_barrier_wait(&load_start);
    if (state != NULL) {
        load_loop(self, state);
        self->load->close(state);
    }
    return NULL;
}

/* Until time is up, or some thread stopped all of them. */
static void load_wait(double seconds)
{
    const double step = 0.01;
    double end = load_now() + seconds;
    double left = seconds;
    while (left > 0 && !atomic_load(&load_stop)) {
        load_pause(left < step ? left : step);
        left = end - load_now();
    }
    atomic_store(&load_stop, true);
}

static int load_print(const struct histogram *latency, double took)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    (void)printf("%.0f", (double)latency->num / took);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        (void)printf(" %.1f", (double)histogram_at(latency, quantiles[i]) / 1e3);
    }
    (void)putchar('\n');
    return 0;
}

int load_run(const struct load *load, size_t num_threads, double seconds)
{
    struct load_thread *threads = calloc(num_threads, sizeof(*threads));
    if (threads == NULL ||
        pthread_barrier_init(&load_start, NULL, (unsigned)num_threads + 1) != 0) {
        free(threads);
        return 1;
    }
    atomic_store(&load_stop, false);
    for (size_t i = 0; i < num_threads; i++) {
        threads[i].load = load;
        if (pthread_create(&threads[i].thread, NULL, load_main, &threads[i]) != 0) {
            (void)fprintf(stderr, "cannot start %zu threads\n", num_threads);
            exit(1); /* those that started only wait for the others */
        }
    }
    (void)pthread_barrier_wait(&load_start);
    double begin = load_now();
    load_wait(seconds);

    struct histogram latency = {0};
    bool failed = false;
    for (size_t i = 0; i < num_threads; i++) {
        (void)pthread_join(threads[i].thread, NULL);
        histogram_merge(&latency, &threads[i].latency);
        failed = failed || threads[i].failed;
    }
    double took = load_now() - begin;
    (void)pthread_barrier_destroy(&load_start);
    free(threads);
    if (failed || latency.num == 0) {
        (void)fputs("a call failed, or none was made\n", stderr);
        return 1;
    }
    return load_print(&latency, took);
}
