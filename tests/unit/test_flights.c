/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks and who waits (client/flights.h). The alarm in main bounds every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "client/flights.h"

#define FLIGHTS_WATCHDOG_S (SG_SANITIZED ? 200u : 60u)
#define FLIGHTS_LONG_MS    60000u
#define FLIGHTS_FOLLOWERS  8u

static enum sg_flights_role flights_join(struct sg_flights *flights, uint64_t hash, uint32_t epoch,
                                         uint32_t timeout_ms, struct sg_flight **flight)
{
    const struct sg_deadline deadline = sg_deadline_in(timeout_ms);
    return sg_flights_join(flights, hash, epoch, &deadline, flight);
}

static void test_join__the_first_leads_and_others_are_late(void **state)
{
    (void)state;
    struct sg_flights flights;
    sg_flights_init(&flights);
    struct sg_flight *flight = NULL;
    struct sg_flight *other = NULL;
    assert_int_equal(flights_join(&flights, 5, 1, 10, &flight), SG_FLIGHTS_LEADS);
    assert_int_equal(flights_join(&flights, 5, 1, 10, &other), SG_FLIGHTS_LATE);
    assert_null(other);
    /* Another token has a leader of its own, hash 0 among them. */
    assert_int_equal(flights_join(&flights, 0, 1, 10, &other), SG_FLIGHTS_LEADS);
    sg_flights_land(&flights, other, 1);
    sg_flights_land(&flights, flight, 1);
    assert_int_equal(flights_join(&flights, 5, 1, 10, &flight), SG_FLIGHTS_LEADS);
    sg_flights_land(&flights, flight, 1);
}

static void test_join__without_room_one_is_alone(void **state)
{
    (void)state;
    struct sg_flights flights;
    sg_flights_init(&flights);
    struct sg_flight *all[SG_FLIGHTS_MAX];
    struct sg_flight *more = NULL;
    for (uint64_t i = 0; i < SG_FLIGHTS_MAX; i++) {
        assert_int_equal(flights_join(&flights, i, 1, 10, &all[i]), SG_FLIGHTS_LEADS);
    }
    assert_int_equal(flights_join(&flights, 1000, 1, 10, &more), SG_FLIGHTS_ALONE);
    assert_int_equal(flights_join(&flights, 3, 1, 10, &more), SG_FLIGHTS_LATE);
    sg_flights_land(&flights, all[17], 1);
    assert_int_equal(flights_join(&flights, 1000, 1, 10, &more), SG_FLIGHTS_LEADS);
    assert_ptr_equal(more, all[17]);
}

/* What a child finds: leaders and a lock of its parent, for which nobody is at work here. */
static void test_join__what_another_process_left_is_free(void **state)
{
    (void)state;
    struct sg_flights flights;
    sg_flights_init(&flights);
    struct sg_flight *flight = NULL;
    for (uint64_t i = 0; i < SG_FLIGHTS_MAX; i++) {
        assert_int_equal(flights_join(&flights, i, 1, 10, &flight), SG_FLIGHTS_LEADS);
    }
    atomic_store(&flights.lock.holder, 1);
    assert_int_equal(flights_join(&flights, 5, 2, FLIGHTS_LONG_MS, &flight), SG_FLIGHTS_LEADS);
    sg_flights_land(&flights, flight, 2);
    for (uint64_t i = 0; i < SG_FLIGHTS_MAX; i++) {
        assert_int_equal(flights_join(&flights, i, 2, 10, &flight), SG_FLIGHTS_LEADS);
    }
}

struct follower {
    struct sg_flights *flights;
    pthread_t thread;
    enum sg_flights_role role;
};

static void *follower_main(void *argument)
{
    struct follower *self = argument;
    struct sg_flight *flight = NULL;
    self->role = flights_join(self->flights, 5, 1, FLIGHTS_LONG_MS, &flight);
    if (self->role == SG_FLIGHTS_LEADS) {
        sg_flights_land(self->flights, flight, 1);
    }
    return NULL;
}

static bool flights_is_awaited(struct sg_flights *flights, const struct sg_flight *flight)
{
    sg_epoch_lock_take(&flights->lock, 1);
    bool is_awaited = flight->is_awaited;
    sg_epoch_lock_give(&flights->lock);
    return is_awaited;
}

static void test_land__wakes_all_who_wait(void **state)
{
    (void)state;
    struct sg_flights flights;
    sg_flights_init(&flights);
    struct sg_flight *flight = NULL;
    assert_int_equal(flights_join(&flights, 5, 1, 10, &flight), SG_FLIGHTS_LEADS);
    struct follower followers[FLIGHTS_FOLLOWERS];
    for (size_t i = 0; i < FLIGHTS_FOLLOWERS; i++) {
        followers[i] = (struct follower){.flights = &flights};
        assert_int_equal(pthread_create(&followers[i].thread, NULL, follower_main, &followers[i]),
                         0);
    }
    while (!flights_is_awaited(&flights, flight)) {
        (void)sched_yield();
    }
    sg_flights_land(&flights, flight, 1);
    unsigned num_followed = 0;
    for (size_t i = 0; i < FLIGHTS_FOLLOWERS; i++) {
        assert_int_equal(pthread_join(followers[i].thread, NULL), 0);
        assert_true(followers[i].role == SG_FLIGHTS_FOLLOWED ||
                    followers[i].role == SG_FLIGHTS_LEADS); /* who came after it had landed */
        num_followed += followers[i].role == SG_FLIGHTS_FOLLOWED ? 1 : 0;
    }
    assert_true(num_followed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__the_first_leads_and_others_are_late),
        cmocka_unit_test(test_join__without_room_one_is_alone),
        cmocka_unit_test(test_join__what_another_process_left_is_free),
        cmocka_unit_test(test_land__wakes_all_who_wait),
    };
    (void)alarm(FLIGHTS_WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
