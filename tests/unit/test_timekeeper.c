/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that ticks, with a keymaster that only counts: it ticks again and again, one at a time,
 * and has ended, with whatever it was at, when the timekeeper is freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "server/timekeeper.h"

/* In the place of the real one. */
struct sg_keymaster {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned num_begun, num_ended; /* guarded by mutex */
    bool hold;                     /* a tick that has begun waits until this is false */
};

void sg_keymaster_tick(struct sg_keymaster *keymaster);

void sg_keymaster_tick(struct sg_keymaster *keymaster)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    keymaster->num_begun++;
    (void)pthread_cond_broadcast(&keymaster->changed);
    while (keymaster->hold) {
        (void)pthread_cond_wait(&keymaster->changed, &keymaster->mutex);
    }
    keymaster->num_ended++;
    (void)pthread_mutex_unlock(&keymaster->mutex);
}

static void keymaster_init(struct sg_keymaster *keymaster, bool hold)
{
    *keymaster = (struct sg_keymaster){.hold = hold};
    assert_int_equal(pthread_mutex_init(&keymaster->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&keymaster->changed, NULL), 0);
}

static void keymaster_fini(struct sg_keymaster *keymaster)
{
    (void)pthread_cond_destroy(&keymaster->changed);
    (void)pthread_mutex_destroy(&keymaster->mutex);
}

/* Waits until so many ticks have begun. */
static void keymaster_wait(struct sg_keymaster *keymaster, unsigned num)
{
    struct timespec until;
    int result = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    (void)pthread_mutex_lock(&keymaster->mutex);
    while (keymaster->num_begun < num && result == 0) {
        result = pthread_cond_timedwait(&keymaster->changed, &keymaster->mutex, &until);
    }
    (void)pthread_mutex_unlock(&keymaster->mutex);
    assert_int_equal(result, 0);
}

static void *keymaster_release(void *arg)
{
    struct sg_keymaster *keymaster = arg;
    (void)pthread_mutex_lock(&keymaster->mutex);
    keymaster->hold = false;
    (void)pthread_cond_broadcast(&keymaster->changed);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return NULL;
}

static void test_timekeeper__ticks_until_it_is_freed(void **state)
{
    (void)state;
    struct sg_keymaster keymaster;
    struct sg_timekeeper *timekeeper = NULL;
    keymaster_init(&keymaster, false);
    assert_int_equal(sg_timekeeper_new(&keymaster, &timekeeper), SIGNET_OK);
    keymaster_wait(&keymaster, 2);
    sg_timekeeper_free(timekeeper);
    assert_int_equal(keymaster.num_ended, keymaster.num_begun);
    keymaster_fini(&keymaster);
}

static void test_timekeeper__waits_for_the_tick_that_it_is_at(void **state)
{
    (void)state;
    struct sg_keymaster keymaster;
    struct sg_timekeeper *timekeeper = NULL;
    pthread_t thread;
    keymaster_init(&keymaster, true);
    assert_int_equal(sg_timekeeper_new(&keymaster, &timekeeper), SIGNET_OK);
    keymaster_wait(&keymaster, 1);
    assert_int_equal(pthread_create(&thread, NULL, keymaster_release, &keymaster), 0);
    sg_timekeeper_free(timekeeper);
    assert_int_equal(keymaster.num_ended, keymaster.num_begun);
    assert_int_equal(pthread_join(thread, NULL), 0);
    keymaster_fini(&keymaster);
}

/* Freed as soon as it was made, it does not wait for a tick to come due: that would take minutes. */
static void test_timekeeper__ends_before_it_has_ticked(void **state)
{
    (void)state;
    struct sg_keymaster keymaster;
    keymaster_init(&keymaster, false);
    for (int i = 0; i < 300; i++) {
        struct sg_timekeeper *timekeeper = NULL;
        assert_int_equal(sg_timekeeper_new(&keymaster, &timekeeper), SIGNET_OK);
        sg_timekeeper_free(timekeeper);
    }
    assert_int_equal(keymaster.num_ended, keymaster.num_begun);
    keymaster_fini(&keymaster);
    sg_timekeeper_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timekeeper__ticks_until_it_is_freed),
        cmocka_unit_test(test_timekeeper__waits_for_the_tick_that_it_is_at),
        cmocka_unit_test(test_timekeeper__ends_before_it_has_ticked),
    };
    return cmocka_run_group_tests_name("timekeeper", tests, NULL, NULL);
}
