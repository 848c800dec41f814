/* SPDX-License-Identifier: Apache-2.0
 *
 * A queue of connections, taken in bites: by nng's own task thread while what is ready is cheap, and by threads.
 * While the task waits for the keyholder, so do nng's other callbacks; if that takes long, another of nng's threads
 * is lent to them, and what it finds to cross with is left to a thread. Of two threads and more, one does not wait
 * either: what it may not cross with waits for a thread that comes back, and those who need no keyholder
 * are served whatever has become of it. Only when many bites wait already does every thread, so that peers
 * wait as well and memory is bounded.
 *
 * The task is one more callback in nng's queue. Those that are in it already, and say that bytes have arrived,
 * come first, so that a bite holds all that is ready, in the order of the fair queue.
 */
#include "server/listener_serving.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/fair_queue.h"
#include "server/keyholder/keyholder.h"
#include "server/listener_connection.h"
#include "server/listener_threads.h"

/* What is ready beyond this is worth a thread even if it is cheap. */
#define SERVING_TASK_MAX SG_BITE_MAX
/* Beyond so many deferred bites every thread waits, and peers with it. */
#define SERVING_MAX_DEFERRED 16u
/* So many waiting connections are worth another thread, whatever the others are about. */
#define SERVING_MAX_WAITING 8u
/* And so long a wait for the keyholder. */
#define SERVING_PATIENCE_NS 1000000L
/* What serving a connection is taken to cost until it is known, in nanoseconds. */
#define SERVING_GUESS_NS 10000u

struct sg_serving {
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    /* Guarded by mutex. */
    struct sg_fair_queue ready_ones; /* connections */
    size_t num_costly;               /* of them */
    bool is_task_queued;             /* the task will look at what is ready */
    bool is_task_crossing;           /* it waits for the keyholder */
    unsigned num_idle;               /* threads that sleep */
    unsigned num_waiting;            /* threads that wait for the keyholder */
    bool is_guarded; /* a thread will take what is ready if those that wait do not come back */
    struct sg_bite *deferred, **deferred_last, *newest; /* to be crossed with by who may wait */
    size_t num_deferred;
    bool is_ending;
    struct sg_listener_threads *resting;
    nng_aio *task; /* has a thread of nng's run serving_run_task */
    pthread_t *threads;
    unsigned num_threads, num_started;
};

/* A wait of the task's. */
struct serving_wait {
    struct sg_serving *serving;
    bool is_late;
};

/* Mutex held. */
static void serving_take(struct sg_serving *serving, struct sg_bite *bite)
{
    struct sg_fair_flow *flow;
    bite->num = 0;
    while (serving->ready_ones.num_items > 0 && bite->num < SG_BITE_MAX) {
        struct sg_connection *connection =
            sg_connection_of_item(sg_fair_queue_take(&serving->ready_ones, 0, 0, &flow));
        serving->num_costly -= sg_connection_is_costly(connection) ? 1 : 0;
        bite->connections[bite->num++] = connection;
    }
}

/* Puts to account what the bite has cost beyond the guess. Mutex held. */
static void serving_charge(struct sg_serving *serving, const struct sg_bite *bite)
{
    for (size_t i = 0; i < bite->num_spent; i++) {
        if (bite->spent_ns[i] > SERVING_GUESS_NS) {
            sg_fair_queue_charge(&serving->ready_ones, bite->flows[i],
                                 bite->spent_ns[i] - SERVING_GUESS_NS);
        }
    }
}

static bool serving_is_empty(const struct sg_serving *serving)
{
    return serving->ready_ones.num_items == 0;
}

/* Whether what is ready is for the task. Mutex held. */
static bool serving_is_tasks(const struct sg_serving *serving)
{
    return serving->num_costly == 0 && serving->ready_ones.num_items <= SERVING_TASK_MAX &&
           serving->num_deferred < SERVING_MAX_DEFERRED && !serving->is_ending;
}

/* Has the task run. Not with the mutex held: nng's locks are its own business. */
static void serving_start_task(struct sg_serving *serving)
{
    if (nng_aio_begin(serving->task)) { /* else this is the end, and the threads serve */
        nng_aio_finish(serving->task, 0);
    }
}

/* Whether what is ready is better left to a thread that waits for the keyholder, and will be back in a moment:
 * it takes all of it, and all of it crosses together. Mutex held. */
static bool serving_is_spoken_for(const struct sg_serving *serving)
{
    return serving->num_waiting > 0 && serving->ready_ones.num_items < SERVING_MAX_WAITING;
}

/* Sleeps until there is something to serve, or, as a guard, for a moment. Mutex held. */
static void serving_sleep(struct sg_serving *serving, bool as_guard)
{
    struct timespec until;
    serving->num_idle++;
    if (as_guard) {
        serving->is_guarded = true;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SERVING_PATIENCE_NS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        (void)pthread_cond_timedwait(&serving->ready, &serving->mutex, &until);
        serving->is_guarded = false;
    } else {
        (void)pthread_cond_wait(&serving->ready, &serving->mutex);
    }
    serving->num_idle--;
}

/* Whether a thread may wait for the keyholder now. Mutex held. */
static bool serving_may_wait(const struct sg_serving *serving)
{
    return serving->num_threads == 1 || serving->num_waiting + 1 < serving->num_threads;
}

/* Mutex held before and after. */
static void serving_cross(struct sg_serving *serving, struct sg_bite *bite)
{
    serving->num_waiting++;
    (void)pthread_mutex_unlock(&serving->mutex);
    sg_bite_cross(bite, NULL);
    (void)pthread_mutex_lock(&serving->mutex);
    serving->num_waiting--;
}

/* The keyholder is slow to answer, or ill: nng's other callbacks are not to wait for it. */
static void serving_note_delay(void *context)
{
    struct serving_wait *wait = context;
    if (!wait->is_late) {
        wait->is_late = true;
        sg_listener_threads_lend(wait->serving->resting);
    }
}

/* As serving_cross, on a thread of nng's. Mutex held before and after. */
static void serving_cross_as_task(struct sg_serving *serving, struct sg_bite *bite)
{
    struct serving_wait wait = {.serving = serving};
    const struct sg_keyholder_delay delay = {.note = serving_note_delay, .context = &wait};
    serving->is_task_crossing = true;
    (void)pthread_mutex_unlock(&serving->mutex);
    sg_bite_cross(bite, &delay);
    if (wait.is_late) {
        sg_listener_threads_take_back(serving->resting);
    }
    (void)pthread_mutex_lock(&serving->mutex);
    serving->is_task_crossing = false;
}

/* Mutex held before and after. */
static void serving_answer(struct sg_serving *serving, struct sg_bite *bite)
{
    (void)pthread_mutex_unlock(&serving->mutex);
    sg_bite_answer(bite);
    (void)pthread_mutex_lock(&serving->mutex);
}

/* Leaves the bite to a thread that may wait: in one that was left before, or as a copy. False without memory. Mutex
 * held. */
static bool serving_defer(struct sg_serving *serving, const struct sg_bite *bite)
{
    if (serving->newest != NULL && sg_bite_join(serving->newest, bite)) {
        return true;
    }
    struct sg_bite *copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        return false;
    }
    sg_bite_copy(copy, bite);
    *serving->deferred_last = copy;
    serving->deferred_last = &copy->next;
    serving->newest = copy;
    serving->num_deferred++;
    return true;
}

/* Crosses with the bite if the thread may wait, and else leaves it to one that may. Mutex held. */
static void serving_cross_or_defer(struct sg_serving *serving, struct sg_bite *bite, bool is_task)
{
    bool waits = is_task
                     ? !serving->is_task_crossing
                     : serving_may_wait(serving) || serving->num_deferred >= SERVING_MAX_DEFERRED;
    if (!waits && serving_defer(serving, bite)) {
        return;
    }
    if (is_task && waits) {
        serving_cross_as_task(serving, bite);
    } else {
        serving_cross(serving, bite);
    }
    serving_answer(serving, bite);
}

/* Mutex held before and after. */
static void serving_serve(struct sg_serving *serving, struct sg_bite *bite, bool is_task)
{
    serving_take(serving, bite);
    (void)pthread_mutex_unlock(&serving->mutex);
    bool crosses = sg_bite_take(bite);
    (void)pthread_mutex_lock(&serving->mutex);
    serving_charge(serving, bite);
    if (crosses) {
        serving_cross_or_defer(serving, bite, is_task);
    }
}

static void serving_serve_deferred(struct sg_serving *serving)
{
    struct sg_bite *bite = serving->deferred;
    serving->deferred = bite->next;
    if (serving->deferred == NULL) {
        serving->deferred_last = &serving->deferred;
        serving->newest = NULL;
    }
    serving->num_deferred--;
    serving_cross(serving, bite);
    serving_answer(serving, bite);
    free(bite);
    if (serving->is_ending) {
        (void)pthread_cond_broadcast(&serving->ready); /* for who saw it and could not take it */
    }
}

static void *serving_run(void *arg)
{
    struct sg_serving *serving = arg;
    struct sg_bite bite;
    (void)pthread_mutex_lock(&serving->mutex);
    while (!serving_is_empty(serving) || serving->deferred != NULL || !serving->is_ending) {
        if (serving->deferred != NULL && serving_may_wait(serving)) {
            serving_serve_deferred(serving);
        } else if (serving_is_empty(serving) ||
                   (serving_is_tasks(serving) && serving->is_task_queued)) {
            serving_sleep(serving, false);
        } else if (serving_is_spoken_for(serving) && !serving->is_guarded) {
            serving_sleep(serving, true);
            if (!serving_is_empty(serving)) {
                serving_serve(serving, &bite, false);
            }
        } else {
            serving_serve(serving, &bite, false);
        }
    }
    (void)pthread_mutex_unlock(&serving->mutex);
    return NULL;
}

/* Who is to serve what is ready: the task, or a thread, if one sleeps. Mutex held; it is released. */
static void serving_wake_and_unlock(struct sg_serving *serving)
{
    bool is_tasks = serving_is_tasks(serving) && !serving_is_empty(serving);
    bool starts = is_tasks && !serving->is_task_queued;
    bool has_crossing = serving->deferred != NULL && serving_may_wait(serving);
    bool has_ready = !is_tasks && !serving_is_empty(serving) &&
                     !(serving_is_spoken_for(serving) && serving->is_guarded);
    bool wakes = serving->num_idle > 0 && (has_crossing || has_ready);
    serving->is_task_queued = serving->is_task_queued || starts;
    (void)pthread_mutex_unlock(&serving->mutex);
    if (starts) {
        serving_start_task(serving);
    }
    if (wakes) {
        (void)pthread_cond_signal(&serving->ready);
    }
}

/* On a task thread of nng's, which has other callbacks to run: one bite. */
static void serving_run_task(void *arg)
{
    struct sg_serving *serving = arg;
    struct sg_bite bite;
    (void)pthread_mutex_lock(&serving->mutex);
    serving->is_task_queued = false;
    if (serving_is_tasks(serving) && !serving_is_empty(serving)) {
        serving_serve(serving, &bite, true);
    }
    serving_wake_and_unlock(serving);
}

void sg_serving_add(struct sg_serving *serving, struct sg_connection *connection)
{
    struct sg_fair_item *item = sg_connection_item(connection);
    item->cost = SERVING_GUESS_NS;
    (void)pthread_mutex_lock(&serving->mutex);
    sg_fair_queue_add(&serving->ready_ones, sg_connection_flow(connection), item);
    serving->num_costly += sg_connection_is_costly(connection) ? 1 : 0;
    serving_wake_and_unlock(serving);
}

void sg_serving_free(struct sg_serving *serving)
{
    if (serving == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&serving->mutex);
    serving->is_ending = true;
    (void)pthread_mutex_unlock(&serving->mutex);
    nng_aio_free(serving->task); /* waits for it; what it leaves is for the threads */
    (void)pthread_mutex_lock(&serving->mutex);
    (void)pthread_cond_broadcast(&serving->ready);
    (void)pthread_mutex_unlock(&serving->mutex);
    for (unsigned i = 0; i < serving->num_started; i++) {
        (void)pthread_join(serving->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&serving->ready);
    (void)pthread_mutex_destroy(&serving->mutex);
    free(serving->threads);
    free(serving);
}

signet_status sg_serving_new(unsigned num_threads, struct sg_listener_threads *resting,
                             struct sg_serving **out)
{
    struct sg_serving *serving = calloc(1, sizeof(*serving));
    if (serving == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    serving->deferred_last = &serving->deferred;
    pthread_condattr_t attributes;
    /* None of these can fail on Linux with such attributes. */
    (void)pthread_mutex_init(&serving->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&serving->ready, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    serving->num_threads = num_threads;
    serving->resting = resting;
    if (nng_aio_alloc(&serving->task, serving_run_task, serving) == 0) {
        serving->threads = calloc(num_threads, sizeof(*serving->threads));
    }
    while (serving->threads != NULL && serving->num_started < num_threads &&
           pthread_create(&serving->threads[serving->num_started], NULL, serving_run, serving) ==
               0) {
        serving->num_started++;
    }
    if (serving->num_started < num_threads || num_threads == 0) {
        sg_serving_free(serving);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = serving;
    return SIGNET_OK;
}
