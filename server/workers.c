/* SPDX-License-Identifier: Apache-2.0
 *
 * A fixed number of threads and one bounded queue. Owns the threads, never the work: what is queued
 * belongs to its submitter until run is called, and to nobody here after that.
 */
#include "server/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Enough for an RSA operation of 8192 bits with room to spare; only touched pages cost memory. */
#define WORKERS_STACK_LEN   (512u * 1024u)
#define WORKERS_MAX_THREADS 64u

struct sg_workers {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    /* Guarded by mutex. */
    struct sg_work *first;
    struct sg_work **last_next; /* where the next one is linked */
    size_t num_queued;
    bool ending;
    /* Fixed after sg_workers_new. */
    size_t max_queued;
    unsigned num_threads;
    pthread_t threads[WORKERS_MAX_THREADS];
};

/* Waits for work; NULL when the queue is empty and the threads are to end. */
static struct sg_work *workers_take(struct sg_workers *workers)
{
    pthread_mutex_lock(&workers->mutex);
    while (workers->first == NULL && !workers->ending) {
        pthread_cond_wait(&workers->filled, &workers->mutex);
    }
    struct sg_work *work = workers->first;
    if (work != NULL) {
        workers->first = work->next;
        workers->num_queued--;
        if (workers->first == NULL) {
            workers->last_next = &workers->first;
        }
        work->next = NULL;
    }
    pthread_mutex_unlock(&workers->mutex);
    return work;
}

static void *workers_main(void *arg)
{
    struct sg_workers *workers = arg;
    (void)pthread_setname_np(pthread_self(), "signetd-worker");
    struct sg_work *work;
    while ((work = workers_take(workers)) != NULL) {
        work->run(work);
    }
    return NULL;
}

/* Starts up to num_threads threads and counts them, with every signal blocked in them: the host
 * program's handlers run on its own threads only. */
static void workers_start(struct sg_workers *workers, unsigned num_threads)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) {
        return;
    }
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    if (pthread_attr_setstacksize(&attr, WORKERS_STACK_LEN) == 0 &&
        pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
        while (workers->num_threads < num_threads &&
               pthread_create(&workers->threads[workers->num_threads], &attr, workers_main,
                              workers) == 0) {
            workers->num_threads++;
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
}

signet_status sg_workers_new(unsigned num_threads, size_t max_queued, struct sg_workers **out)
{
    if (num_threads == 0 || num_threads > WORKERS_MAX_THREADS || max_queued == 0) {
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_workers *workers = calloc(1, sizeof(*workers));
    if (workers == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    workers->last_next = &workers->first;
    workers->max_queued = max_queued;
    /* With default attributes neither can fail on Linux. */
    (void)pthread_mutex_init(&workers->mutex, NULL);
    (void)pthread_cond_init(&workers->filled, NULL);
    workers_start(workers, num_threads);
    if (workers->num_threads < num_threads) {
        sg_workers_free(workers);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = workers;
    return SIGNET_OK;
}

void sg_workers_free(struct sg_workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->mutex);
    workers->ending = true;
    pthread_cond_broadcast(&workers->filled);
    pthread_mutex_unlock(&workers->mutex);
    for (unsigned i = 0; i < workers->num_threads; i++) {
        (void)pthread_join(workers->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&workers->filled);
    (void)pthread_mutex_destroy(&workers->mutex);
    free(workers);
}

bool sg_workers_submit(struct sg_workers *workers, struct sg_work *work)
{
    pthread_mutex_lock(&workers->mutex);
    bool room = workers->num_queued < workers->max_queued;
    if (room) {
        work->next = NULL;
        *workers->last_next = work;
        workers->last_next = &work->next;
        workers->num_queued++;
        pthread_cond_signal(&workers->filled);
    }
    pthread_mutex_unlock(&workers->mutex);
    return room;
}
