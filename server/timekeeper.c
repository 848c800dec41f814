/* SPDX-License-Identifier: Apache-2.0
 *
 * Once a second on CLOCK_MONOTONIC, so that a wall clock that was set is noticed within one: what
 * states depend on is computed when it is asked for, and nothing here has to be on time.
 */
#include "server/timekeeper.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "server/keymaster.h"

struct sg_timekeeper {
    struct sg_keymaster *keymaster;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    bool stop;              /* guarded by mutex */
};

static bool timekeeper_wait(struct sg_timekeeper *timekeeper)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    (void)pthread_mutex_lock(&timekeeper->mutex);
    int result = 0;
    while (!timekeeper->stop && result == 0) {
        result = pthread_cond_timedwait(&timekeeper->changed, &timekeeper->mutex, &until);
    }
    bool stop = timekeeper->stop;
    (void)pthread_mutex_unlock(&timekeeper->mutex);
    return !stop;
}

static void *timekeeper_main(void *arg)
{
    struct sg_timekeeper *timekeeper = arg;
    (void)pthread_setname_np(pthread_self(), "signetd-time");
    while (timekeeper_wait(timekeeper)) {
        sg_keymaster_tick(timekeeper->keymaster);
    }
    return NULL;
}

signet_status sg_timekeeper_new(struct sg_keymaster *keymaster, struct sg_timekeeper **out)
{
    struct sg_timekeeper *timekeeper = calloc(1, sizeof(*timekeeper));
    if (timekeeper == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    timekeeper->keymaster = keymaster;
    pthread_condattr_t attr;
    /* None of these can fail on Linux with these arguments. */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&timekeeper->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&timekeeper->mutex, NULL);
    if (pthread_create(&timekeeper->thread, NULL, timekeeper_main, timekeeper) != 0) {
        (void)pthread_cond_destroy(&timekeeper->changed);
        (void)pthread_mutex_destroy(&timekeeper->mutex);
        free(timekeeper);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = timekeeper;
    return SIGNET_OK;
}

void sg_timekeeper_free(struct sg_timekeeper *timekeeper)
{
    if (timekeeper == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&timekeeper->mutex);
    timekeeper->stop = true;
    (void)pthread_cond_signal(&timekeeper->changed);
    (void)pthread_mutex_unlock(&timekeeper->mutex);
    (void)pthread_join(timekeeper->thread, NULL);
    (void)pthread_cond_destroy(&timekeeper->changed);
    (void)pthread_mutex_destroy(&timekeeper->mutex);
    free(timekeeper);
}
