/* SPDX-License-Identifier: Apache-2.0
 *
 * The fuse: ceilings, freezes and thaws, never too few counted, and a bound on memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/fuse.h"

#define TEST_NOW INT64_C(1800000000)

struct seen {
    unsigned num_frozen, num_thawed;
    char name[SG_FUSE_MAX_NAME + 1];
    int64_t since;
    signet_status thaw_status;
};

static void seen_freeze(void *context, const char *grant, int64_t since)
{
    struct seen *seen = context;
    seen->num_frozen++;
    (void)snprintf(seen->name, sizeof(seen->name), "%s", grant);
    seen->since = since;
}

static signet_status seen_thaw(void *context, const char *grant)
{
    struct seen *seen = context;
    seen->num_thawed++;
    (void)snprintf(seen->name, sizeof(seen->name), "%s", grant);
    return seen->thaw_status;
}

static struct sg_fuse *make_fuse(struct seen *seen)
{
    const struct sg_fuse_events events = {
        .context = seen, .on_freeze = seen_freeze, .on_thaw = seen_thaw};
    struct sg_fuse *fuse = NULL;
    assert_int_equal(sg_fuse_new(seen != NULL ? &events : NULL, &fuse), SIGNET_OK);
    return fuse;
}

static unsigned admit_all(struct sg_fuse *fuse, const char *grant, uint64_t max_live, int64_t ttl_s,
                          int64_t now)
{
    unsigned num = 0;
    while (sg_fuse_admit(fuse, grant, max_live, now + ttl_s, now) == SG_FUSE_MAY) {
        num++;
    }
    return num;
}

static struct sg_fuse_grant read_grant(struct sg_fuse *fuse, const char *name, int64_t now)
{
    struct sg_fuse_grant found;
    sg_fuse_read(fuse, name, now, &found);
    return found;
}

static void test_fuse__freezes_above_the_ceiling(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sg_fuse *fuse = make_fuse(&seen);
    assert_int_equal(admit_all(fuse, "login", 10, 60, TEST_NOW), 10);
    assert_int_equal(seen.num_frozen, 1);
    assert_string_equal(seen.name, "login");
    assert_int_equal(seen.since, TEST_NOW);
    assert_true(sg_fuse_is_frozen(fuse, "login"));
    assert_false(sg_fuse_is_frozen(fuse, "orders"));
    assert_int_equal(sg_fuse_admit(fuse, "orders", 10, TEST_NOW + 60, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW).num_live, 10);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW).frozen_since, TEST_NOW);
    sg_fuse_free(fuse);
    sg_fuse_free(NULL);
}

/* Whatever expires meanwhile, and whatever a reload says of the ceiling. */
static void test_fuse__stays_frozen_until_it_is_thawed(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sg_fuse *fuse = make_fuse(&seen);
    assert_int_equal(admit_all(fuse, "login", 3, 60, TEST_NOW), 3);
    const int64_t later = TEST_NOW + 1000000;
    assert_int_equal(read_grant(fuse, "login", later).num_live, 0);
    assert_int_equal(sg_fuse_admit(fuse, "login", 3, later + 60, later), SG_FUSE_FROZEN);
    assert_int_equal(sg_fuse_admit(fuse, "login", 1000, later + 60, later), SG_FUSE_FROZEN);
    assert_int_equal(sg_fuse_admit(fuse, "login", 0, later + 60, later), SG_FUSE_FROZEN);
    assert_int_equal(seen.num_frozen, 1);
    assert_int_equal(sg_fuse_thaw(fuse, "login"), SIGNET_OK);
    assert_int_equal(seen.num_thawed, 1);
    assert_int_equal(sg_fuse_admit(fuse, "login", 3, later + 60, later), SG_FUSE_MAY);
    assert_int_equal(sg_fuse_thaw(fuse, "login"), SIGNET_NOT_FOUND);
    assert_int_equal(sg_fuse_thaw(fuse, "nobody"), SIGNET_NOT_FOUND);
    assert_int_equal(seen.num_thawed, 1);
    sg_fuse_free(fuse);
}

static void test_fuse__thaw_forgives_what_is_alive_and_no_more(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sg_fuse *fuse = make_fuse(&seen);
    assert_int_equal(admit_all(fuse, "login", 5, 600, TEST_NOW), 5);
    assert_int_equal(sg_fuse_thaw(fuse, "login"), SIGNET_OK);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW).num_live, 5);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW).num_forgiven, 5);
    assert_int_equal(admit_all(fuse, "login", 5, 600, TEST_NOW + 1), 5);
    assert_int_equal(seen.num_frozen, 2);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW + 1).num_live, 10);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW + 1).num_forgiven, 5);
    sg_fuse_free(fuse);
}

static void test_fuse__a_thaw_that_is_not_kept_does_not_happen(void **state)
{
    (void)state;
    struct seen seen = {.thaw_status = SIGNET_UNAVAILABLE};
    struct sg_fuse *fuse = make_fuse(&seen);
    assert_int_equal(admit_all(fuse, "login", 1, 60, TEST_NOW), 1);
    assert_int_equal(sg_fuse_thaw(fuse, "login"), SIGNET_UNAVAILABLE);
    assert_true(sg_fuse_is_frozen(fuse, "login"));
    assert_int_equal(sg_fuse_admit(fuse, "login", 1, TEST_NOW + 60, TEST_NOW), SG_FUSE_FROZEN);
    sg_fuse_free(fuse);
}

static void test_fuse__a_freeze_is_restored(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sg_fuse *fuse = make_fuse(&seen);
    assert_int_equal(sg_fuse_restore(fuse, "login", TEST_NOW - 5), SIGNET_OK);
    assert_int_equal(seen.num_frozen, 0);
    assert_int_equal(sg_fuse_admit(fuse, "login", 100, TEST_NOW + 60, TEST_NOW), SG_FUSE_FROZEN);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW).frozen_since, TEST_NOW - 5);
    assert_int_equal(sg_fuse_thaw(fuse, "login"), SIGNET_OK);
    assert_int_equal(sg_fuse_admit(fuse, "login", 100, TEST_NOW + 60, TEST_NOW), SG_FUSE_MAY);
    sg_fuse_free(fuse);
}

/* ---- Counts ---- */

/* Against a list of every token: never fewer, and not many more. */
static void test_count__is_never_too_low_and_soon_right(void **state)
{
    (void)state;
    enum {
        NUM = 20000
    };
    static int64_t expiries[NUM];
    struct sg_fuse *fuse = make_fuse(NULL);
    unsigned seed = 42;
    int64_t now = TEST_NOW;
    for (unsigned i = 0; i < NUM; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned ttl = 1 + (seed >> 8) % ((seed >> 5) % 3 == 0 ? 86400u : 900u);
        expiries[i] = now + ttl;
        assert_int_equal(sg_fuse_admit(fuse, "login", NUM + 1, expiries[i], now), SG_FUSE_MAY);
        now += (seed >> 20) % 4 == 0 ? 1 : 0;
        if (i % 500 == 499) {
            unsigned num = 0;
            unsigned num_lately = 0;
            for (unsigned j = 0; j <= i; j++) {
                num += expiries[j] > now ? 1u : 0u;
                num_lately += expiries[j] > now - 86400 / 8 ? 1u : 0u;
            }
            assert_in_range(read_grant(fuse, "login", now).num_live, num, num_lately);
        }
    }
    assert_int_equal(read_grant(fuse, "login", now + 86400 + 86400 / 8 + 1).num_live, 0);
    sg_fuse_free(fuse);
}

static void test_count__of_odd_expiries_is_kept(void **state)
{
    (void)state;
    struct sg_fuse *fuse = make_fuse(NULL);
    assert_int_equal(sg_fuse_admit(fuse, "odd", 10, TEST_NOW + 1, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(sg_fuse_admit(fuse, "odd", 10, TEST_NOW - 100, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(sg_fuse_admit(fuse, "odd", 10, INT64_MAX, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(sg_fuse_admit(fuse, "odd", 10, INT64_C(1) << 53, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(read_grant(fuse, "odd", TEST_NOW).num_live, 4);
    assert_int_equal(read_grant(fuse, "odd", TEST_NOW + 1000000000).num_live, 2);
    sg_fuse_free(fuse);
}

/* A clock that is set back finds the tokens alive again that it had seen expire. */
static void test_count__survives_a_clock_that_is_set_back(void **state)
{
    (void)state;
    struct sg_fuse *fuse = make_fuse(NULL);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(sg_fuse_admit(fuse, "login", 100, TEST_NOW + 100, TEST_NOW), SG_FUSE_MAY);
    }
    assert_int_equal(read_grant(fuse, "login", TEST_NOW + 1000).num_live, 0);
    assert_int_equal(read_grant(fuse, "login", TEST_NOW - 1000).num_live, 5);
    for (int64_t now = TEST_NOW - 1000; now < TEST_NOW; now++) {
        assert_int_equal(sg_fuse_admit(fuse, "login", 10000, now + 100, now), SG_FUSE_MAY);
        assert_true(read_grant(fuse, "login", now).num_live >= 5);
    }
    sg_fuse_free(fuse);
}

/* ---- Bounds and threads ---- */

static void test_grants__are_bounded_and_forgotten_when_they_have_nothing(void **state)
{
    (void)state;
    struct sg_fuse *fuse = make_fuse(NULL);
    char name[32];
    for (unsigned i = 0; i < SG_FUSE_MAX_GRANTS; i++) {
        (void)snprintf(name, sizeof(name), "grant-%u", i);
        assert_int_equal(sg_fuse_admit(fuse, name, 1, TEST_NOW + 60, TEST_NOW), SG_FUSE_MAY);
    }
    /* Never minted without being counted. */
    assert_int_equal(sg_fuse_admit(fuse, "more", 1, TEST_NOW + 60, TEST_NOW), SG_FUSE_NO_MEMORY);
    assert_int_equal(sg_fuse_admit(fuse, "grant-7", 1, TEST_NOW + 60, TEST_NOW), SG_FUSE_FROZEN);
    assert_int_equal(sg_fuse_admit(fuse, "more", 1, TEST_NOW + 300, TEST_NOW + 200), SG_FUSE_MAY);
    assert_true(sg_fuse_is_frozen(fuse, "grant-7"));
    sg_fuse_free(fuse);
}

static void test_grants__with_impossible_names_are_refused(void **state)
{
    (void)state;
    struct sg_fuse *fuse = make_fuse(NULL);
    char name[SG_FUSE_MAX_NAME + 2];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(sg_fuse_admit(fuse, name, 1, TEST_NOW + 1, TEST_NOW), SG_FUSE_NO_MEMORY);
    assert_int_equal(sg_fuse_admit(fuse, "", 1, TEST_NOW + 1, TEST_NOW), SG_FUSE_NO_MEMORY);
    assert_int_equal(sg_fuse_admit(fuse, name + 1, 1, TEST_NOW + 9, TEST_NOW), SG_FUSE_MAY);
    assert_int_equal(sg_fuse_restore(fuse, name, 1), SIGNET_RESOURCE_EXHAUSTED);
    sg_fuse_free(fuse);
}

static void *admit_much(void *arg)
{
    uintptr_t num = 0;
    for (unsigned i = 0; i < 5000; i++) {
        num += sg_fuse_admit(arg, "login", 7000, TEST_NOW + 60, TEST_NOW) == SG_FUSE_MAY ? 1u : 0u;
    }
    return (void *)num;
}

static void test_fuse__of_many_threads_admits_no_more_and_trips_once(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sg_fuse *fuse = make_fuse(&seen);
    pthread_t threads[4];
    uintptr_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, admit_much, fuse), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *num = NULL;
        assert_int_equal(pthread_join(threads[i], &num), 0);
        sum += (uintptr_t)num;
    }
    assert_int_equal(sum, 7000);
    assert_int_equal(seen.num_frozen, 1);
    sg_fuse_free(fuse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fuse__freezes_above_the_ceiling),
        cmocka_unit_test(test_fuse__stays_frozen_until_it_is_thawed),
        cmocka_unit_test(test_fuse__thaw_forgives_what_is_alive_and_no_more),
        cmocka_unit_test(test_fuse__a_thaw_that_is_not_kept_does_not_happen),
        cmocka_unit_test(test_fuse__a_freeze_is_restored),
        cmocka_unit_test(test_count__is_never_too_low_and_soon_right),
        cmocka_unit_test(test_count__of_odd_expiries_is_kept),
        cmocka_unit_test(test_count__survives_a_clock_that_is_set_back),
        cmocka_unit_test(test_grants__are_bounded_and_forgotten_when_they_have_nothing),
        cmocka_unit_test(test_grants__with_impossible_names_are_refused),
        cmocka_unit_test(test_fuse__of_many_threads_admits_no_more_and_trips_once),
    };
    return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
