/* SPDX-License-Identifier: Apache-2.0
 *
 * A callback that does not return keeps a thread. After each, another callback shows that there still is a
 * thread to run it; where that cannot be shown soon, all are let go.
 */
#include "server/listener_threads.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* nng 1.5 starts two a processor, and no more than this. One is enough for four processors. */
#define THREADS_MAX             16u
#define THREADS_PROCESSORS_EACH 4u
/* A busy machine may take so long to run a callback; beyond it the saving is not had. */
#define THREADS_PATIENCE_S 1

/* One that is at rest, or lent. */
struct threads_rester {
    struct sg_listener_threads *threads;
    nng_aio *aio;
    /* Guarded by the mutex. */
    bool is_resting, is_lent;
};

struct sg_listener_threads {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    /* Guarded by mutex. */
    unsigned num_resting, num_probed;
    bool wake;
    /* The caller's. */
    struct threads_rester resting[THREADS_MAX];
    nng_aio *probe;
    unsigned num;
};

static void threads_run_rest(void *arg)
{
    struct threads_rester *rester = arg;
    struct sg_listener_threads *threads = rester->threads;
    (void)pthread_mutex_lock(&threads->mutex);
    threads->num_resting++;
    (void)pthread_cond_broadcast(&threads->changed);
    while (!threads->wake && !rester->is_lent) {
        (void)pthread_cond_wait(&threads->changed, &threads->mutex);
    }
    rester->is_resting = false;
    (void)pthread_mutex_unlock(&threads->mutex);
}

static void threads_run_probe(void *arg)
{
    struct sg_listener_threads *threads = arg;
    (void)pthread_mutex_lock(&threads->mutex);
    threads->num_probed++;
    (void)pthread_cond_broadcast(&threads->changed);
    (void)pthread_mutex_unlock(&threads->mutex);
}

/* Has a task thread run the callback of aio. */
static bool threads_start(nng_aio *aio)
{
    if (!nng_aio_begin(aio)) {
        return false;
    }
    nng_aio_finish(aio, 0);
    return true;
}

/* Whether the count comes to num in time. */
static bool threads_await(struct sg_listener_threads *threads, const unsigned *count, unsigned num)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += THREADS_PATIENCE_S;
    (void)pthread_mutex_lock(&threads->mutex);
    while (*count < num &&
           pthread_cond_timedwait(&threads->changed, &threads->mutex, &until) == 0) {
    }
    bool came = *count >= num;
    (void)pthread_mutex_unlock(&threads->mutex);
    return came;
}

/* One more; false if that was one too many. */
static bool threads_rest_one(struct sg_listener_threads *threads)
{
    struct threads_rester *rester = &threads->resting[threads->num];
    *rester = (struct threads_rester){.threads = threads, .is_resting = true};
    if (nng_aio_alloc(&rester->aio, threads_run_rest, rester) != 0) {
        return false;
    }
    threads->num++;
    return threads_start(rester->aio) &&
           threads_await(threads, &threads->num_resting, threads->num) &&
           threads_start(threads->probe) &&
           threads_await(threads, &threads->num_probed, threads->num);
}

static struct sg_listener_threads *threads_new(void)
{
    pthread_condattr_t attributes;
    struct sg_listener_threads *threads = calloc(1, sizeof(*threads));
    if (threads == NULL) {
        return NULL;
    }
    /* None of these can fail on Linux with such attributes. */
    (void)pthread_mutex_init(&threads->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&threads->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return threads;
}

static unsigned threads_count_spare(void)
{
    long num_processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned num = num_processors > 0 ? (unsigned)num_processors : 1;
    unsigned started = 2 * num < THREADS_MAX ? 2 * num : THREADS_MAX;
    unsigned needed = num > THREADS_PROCESSORS_EACH ? num / THREADS_PROCESSORS_EACH : 1;
    return started > needed ? started - needed : 0;
}

struct sg_listener_threads *sg_listener_threads_rest(void)
{
    const unsigned num = threads_count_spare();
    struct sg_listener_threads *threads = threads_new();
    if (threads == NULL) {
        return NULL;
    }
    bool is_good = nng_aio_alloc(&threads->probe, threads_run_probe, threads) == 0;
    for (unsigned i = 0; is_good && i < num; i++) {
        is_good = threads_rest_one(threads);
    }
    if (!is_good) {
        sg_listener_threads_wake(threads);
        return NULL;
    }
    return threads;
}

void sg_listener_threads_lend(struct sg_listener_threads *threads)
{
    if (threads == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&threads->mutex);
    for (unsigned i = 0; i < threads->num; i++) {
        if (!threads->resting[i].is_lent) {
            threads->resting[i].is_lent = true;
            (void)pthread_cond_broadcast(&threads->changed);
            break;
        }
    }
    (void)pthread_mutex_unlock(&threads->mutex);
}

void sg_listener_threads_take_back(struct sg_listener_threads *threads)
{
    nng_aio *aio = NULL;
    if (threads == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&threads->mutex);
    for (unsigned i = threads->num; i > 0; i--) {
        struct threads_rester *rester = &threads->resting[i - 1];
        if (rester->is_lent) {
            rester->is_lent = false;
            aio = rester->is_resting ? NULL : rester->aio; /* else it has not gone yet */
            rester->is_resting = true;
            break;
        }
    }
    (void)pthread_mutex_unlock(&threads->mutex);
    if (aio != NULL) {
        bool started = threads_start(aio);
        (void)started; /* without it, there is one thread more than is needed */
    }
}

void sg_listener_threads_wake(struct sg_listener_threads *threads)
{
    if (threads == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&threads->mutex);
    threads->wake = true;
    (void)pthread_cond_broadcast(&threads->changed);
    (void)pthread_mutex_unlock(&threads->mutex);
    for (unsigned i = 0; i < threads->num; i++) {
        nng_aio_free(threads->resting[i].aio); /* waits for its callback */
    }
    nng_aio_free(threads->probe);
    (void)pthread_cond_destroy(&threads->changed);
    (void)pthread_mutex_destroy(&threads->mutex);
    free(threads);
}
