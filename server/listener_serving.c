/* SPDX-License-Identifier: Apache-2.0
 *
 * A queue of connections, and threads that take it in bites. Of two threads and more, one does not wait for the
 * keyholder: what it may not cross with waits for a thread that comes back, and those who need no keyholder
 * are served whatever has become of it. Only when many bites wait already does every thread, so that peers
 * wait as well and memory is bounded.
 */
#include "server/listener_serving.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/fair_queue.h"
#include "server/listener_connection.h"

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
    unsigned num_idle;               /* threads that sleep */
    unsigned num_waiting;            /* threads that wait for the keyholder */
    bool is_guarded; /* a thread will take what is ready if those that wait do not come back */
    struct sg_bite *deferred, **deferred_last; /* to be crossed with by who may wait */
    size_t num_deferred;
    bool is_ending;
    pthread_t *threads;
    unsigned num_threads, num_started;
};

/* Mutex held. */
static void serving_take(struct sg_serving *serving, struct sg_bite *bite)
{
    struct sg_fair_flow *flow;
    bite->num = 0;
    while (serving->ready_ones.num_items > 0 && bite->num < SG_BITE_MAX) {
        bite->connections[bite->num++] =
            sg_connection_of_item(sg_fair_queue_take(&serving->ready_ones, 0, 0, &flow));
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
    sg_bite_cross(bite);
    (void)pthread_mutex_lock(&serving->mutex);
    serving->num_waiting--;
}

/* Mutex held before and after. */
static void serving_answer(struct sg_serving *serving, struct sg_bite *bite)
{
    (void)pthread_mutex_unlock(&serving->mutex);
    sg_bite_answer(bite);
    (void)pthread_mutex_lock(&serving->mutex);
}

/* Crosses with the bite if the thread may wait, and else leaves it, as a copy, to one that may. Mutex held. */
static void serving_cross_or_defer(struct sg_serving *serving, struct sg_bite *bite)
{
    bool waits = serving_may_wait(serving) || serving->num_deferred == SERVING_MAX_DEFERRED;
    struct sg_bite *copy = waits ? NULL : malloc(sizeof(*copy));
    if (copy != NULL) {
        *copy = *bite;
        copy->next = NULL;
        *serving->deferred_last = copy;
        serving->deferred_last = &copy->next;
        serving->num_deferred++;
        return;
    }
    serving_cross(serving, bite);
    serving_answer(serving, bite);
}

static void serving_serve(struct sg_serving *serving, struct sg_bite *bite)
{
    serving_take(serving, bite);
    (void)pthread_mutex_unlock(&serving->mutex);
    bool crosses = sg_bite_take(bite);
    (void)pthread_mutex_lock(&serving->mutex);
    serving_charge(serving, bite);
    if (crosses) {
        serving_cross_or_defer(serving, bite);
    }
}

static void serving_serve_deferred(struct sg_serving *serving)
{
    struct sg_bite *bite = serving->deferred;
    serving->deferred = bite->next;
    if (serving->deferred == NULL) {
        serving->deferred_last = &serving->deferred;
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
        } else if (serving_is_empty(serving)) {
            serving_sleep(serving, false);
        } else if (serving_is_spoken_for(serving) && !serving->is_guarded) {
            serving_sleep(serving, true);
            if (!serving_is_empty(serving)) {
                serving_serve(serving, &bite);
            }
        } else {
            serving_serve(serving, &bite);
        }
    }
    (void)pthread_mutex_unlock(&serving->mutex);
    return NULL;
}

void sg_serving_add(struct sg_serving *serving, struct sg_connection *connection)
{
    struct sg_fair_item *item = sg_connection_item(connection);
    item->cost = SERVING_GUESS_NS;
    (void)pthread_mutex_lock(&serving->mutex);
    sg_fair_queue_add(&serving->ready_ones, sg_connection_flow(connection), item);
    bool wakes = serving->num_idle > 0 && !(serving_is_spoken_for(serving) && serving->is_guarded);
    (void)pthread_mutex_unlock(&serving->mutex);
    if (wakes) {
        (void)pthread_cond_signal(&serving->ready);
    }
}

void sg_serving_free(struct sg_serving *serving)
{
    if (serving == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&serving->mutex);
    serving->is_ending = true;
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

signet_status sg_serving_new(unsigned num_threads, struct sg_serving **out)
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
    serving->threads = calloc(num_threads, sizeof(*serving->threads));
    serving->num_threads = num_threads;
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
