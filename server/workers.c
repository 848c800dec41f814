/* SPDX-License-Identifier: Apache-2.0
 *
 * A fixed number of threads and one bounded, fair queue. Owns the threads, never the work: what is queued
 * belongs to its submitter until run is called, and to nobody here after that.
 *
 * When work will be done is estimated from the costs of what is to be done before it, and from how long work has
 * taken lately for what it costs: others use the processors too, and may be preferred.
 */
#include "server/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/keyholder/turns.h"

/* Enough for an RSA operation of 8192 bits with room to spare; only touched pages cost memory. */
#define WORKERS_STACK_LEN   (512u * 1024u)
#define WORKERS_MAX_THREADS 64u
/* What work of unknown cost is taken for: an operator's, mostly. */
#define WORKERS_UNKNOWN_US 1000u
#define WORKERS_US_PER_MS  1000u
/* Without room, when to come again: about when a few will have been served. */
#define WORKERS_FULL_RETRY_MS 100u
/* How long work takes for what it costs, in 256ths: at first, at least and at most; and the weight of the last. */
#define WORKERS_PACE_ONE    256u
#define WORKERS_PACE_MAX    (8u * WORKERS_PACE_ONE)
#define WORKERS_PACE_WEIGHT 8u

struct sg_workers {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    /* Guarded by mutex. */
    struct sg_fair_queue queue;
    uint64_t running_us; /* the costs of what runs */
    uint64_t pace;
    bool ending;
    /* Fixed after sg_workers_new. */
    size_t max_queued;
    unsigned num_threads;
    unsigned max_running;  /* of one flow, while others wait */
    unsigned most_running; /* of one flow in any case */
    pthread_t threads[WORKERS_MAX_THREADS];
};

static struct sg_work *workers_work(struct sg_fair_item *item)
{
    return (struct sg_work *)(void *)item;
}

/* Waits for work; NULL when the queue is empty and the threads are to end. Mutex held. */
static struct sg_work *workers_take(struct sg_workers *workers)
{
    struct sg_fair_flow *flow = NULL;
    struct sg_fair_item *item = NULL;
    while ((item = sg_fair_queue_take(&workers->queue, workers->max_running, workers->most_running,
                                      &flow)) == NULL &&
           (!workers->ending || workers->queue.num_items > 0)) {
        /* For what only who has enough running asked for, a thread is free once one of these ends. */
        pthread_cond_wait(&workers->filled, &workers->mutex);
    }
    if (item == NULL) {
        return NULL;
    }
    flow->num_running++;
    workers->running_us += item->cost;
    return workers_work(item);
}

static uint64_t workers_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Learns from work of known cost how long work takes. Mutex held. */
static void workers_learn(struct sg_workers *workers, uint64_t cost_us, uint64_t took_us)
{
    uint64_t pace = took_us * WORKERS_PACE_ONE / cost_us;
    pace = pace < WORKERS_PACE_ONE ? WORKERS_PACE_ONE : pace;
    pace = pace > WORKERS_PACE_MAX ? WORKERS_PACE_MAX : pace;
    workers->pace = (workers->pace * (WORKERS_PACE_WEIGHT - 1) + pace) / WORKERS_PACE_WEIGHT;
}

static void *workers_main(void *arg)
{
    struct sg_workers *workers = arg;
    struct sg_work *work;
    (void)pthread_setname_np(pthread_self(), "signetd-worker");
    sg_turns_yield();
    (void)pthread_mutex_lock(&workers->mutex);
    while ((work = workers_take(workers)) != NULL) {
        /* Work may be gone once it has run. */
        struct sg_fair_flow *flow = work->flow;
        const uint64_t cost_us = work->cost_us;
        const uint64_t counted_us = work->item.cost;
        (void)pthread_mutex_unlock(&workers->mutex);
        uint64_t began_us = workers_now_us();
        work->run(work);
        uint64_t took_us = workers_now_us() - began_us;
        (void)pthread_mutex_lock(&workers->mutex);
        flow->num_running--;
        workers->running_us -= counted_us;
        if (workers->ending) {
            pthread_cond_broadcast(&workers->filled); /* others may wait for just this to end */
        }
        if (cost_us > 0) {
            workers_learn(workers, cost_us, took_us);
        }
    }
    (void)pthread_mutex_unlock(&workers->mutex);
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

signet_status sg_workers_new(unsigned num_threads, size_t max_queued, unsigned most_of_one,
                             struct sg_workers **out)
{
    if (num_threads == 0 || num_threads > WORKERS_MAX_THREADS || max_queued == 0) {
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_workers *workers = calloc(1, sizeof(*workers));
    if (workers == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    workers->pace = WORKERS_PACE_ONE;
    workers->max_queued = max_queued;
    workers->max_running = num_threads - 1;
    workers->most_running = most_of_one;
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

/* How long work would wait: for what runs, for what its flow has queued, and for what others get meanwhile, which
 * is no more than they have queued, and no more each than its own flow gets. 0: for nothing. Mutex held. */
static uint64_t workers_wait_us(const struct sg_workers *workers, const struct sg_work *work)
{
    const struct sg_fair_queue *queue = &workers->queue;
    const struct sg_fair_flow *flow = work->flow;
    uint64_t num_others = queue->num_flows - (flow->num_items > 0 ? 1 : 0);
    uint64_t others_us = queue->queued - flow->queued;
    uint64_t fair_us = num_others * (flow->queued + work->item.cost);
    uint64_t ahead_us =
        workers->running_us + flow->queued + (others_us < fair_us ? others_us : fair_us);
    bool is_bound = workers->most_running > 0 && num_others == 0;
    unsigned num_threads = is_bound ? workers->most_running : workers->num_threads;
    return ahead_us / num_threads * workers->pace / WORKERS_PACE_ONE;
}

/* By how many milliseconds work would miss its deadline; 0: it does not. Work that is alone never does: it is
 * for its own deadline to say so. Mutex held. */
static uint64_t workers_lateness_ms(const struct sg_workers *workers, const struct sg_work *work,
                                    uint64_t now_ms)
{
    uint64_t wait_us = workers_wait_us(workers, work);
    uint64_t takes_us = work->item.cost * workers->pace / WORKERS_PACE_ONE;
    uint64_t done_ms = now_ms + (wait_us + takes_us) / WORKERS_US_PER_MS;
    if (work->deadline_ms == 0 || wait_us == 0 || done_ms <= work->deadline_ms) {
        return 0;
    }
    return done_ms - work->deadline_ms;
}

/* Mutex held. */
static bool workers_has_room(const struct sg_workers *workers, const struct sg_work *work)
{
    size_t num = workers->queue.num_items;
    return num < workers->max_queued && work->flow->num_items <= workers->max_queued - num;
}

enum sg_workers_answer sg_workers_submit(struct sg_workers *workers, struct sg_work *work,
                                         uint64_t now_ms, uint32_t *retry_after_ms)
{
    enum sg_workers_answer answer = SG_WORKERS_QUEUED;
    work->item.cost = work->cost_us > 0 ? work->cost_us : WORKERS_UNKNOWN_US;
    pthread_mutex_lock(&workers->mutex);
    uint64_t late_ms = workers_lateness_ms(workers, work, now_ms);
    if (!workers_has_room(workers, work)) {
        answer = SG_WORKERS_FULL;
        *retry_after_ms = WORKERS_FULL_RETRY_MS;
    } else if (late_ms > 0) {
        answer = SG_WORKERS_LATE;
        *retry_after_ms = late_ms < UINT32_MAX ? (uint32_t)late_ms : UINT32_MAX;
    } else {
        sg_fair_queue_add(&workers->queue, work->flow, &work->item);
        pthread_cond_signal(&workers->filled);
    }
    pthread_mutex_unlock(&workers->mutex);
    return answer;
}
