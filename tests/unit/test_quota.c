/* SPDX-License-Identifier: Apache-2.0
 *
 * Accounts: who may connect, what is in flight, and processor time, by a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "server/quota.h"

#define TEST_NOW_US UINT64_C(5000000000)

static const struct sg_config_limits test_limits = {
    .max_connections = 100,
    .max_connections_per_uid = 40,
    .max_in_flight = 20,
    .max_in_flight_per_uid = 8,
    .cpu_per_uid_percent = 50, /* of two processors: one */
    .cpu_burst_ms = 100,
};

static struct sg_quota *make_quota(const struct sg_config_limits *limits)
{
    struct sg_quota *quota = NULL;
    assert_int_equal(sg_quota_new(limits, 2, &quota), SIGNET_OK);
    return quota;
}

static struct sg_quota_account *join(struct sg_quota *quota, uid_t uid)
{
    struct sg_quota_account *account = NULL;
    assert_int_equal(sg_quota_join(quota, uid, TEST_NOW_US, &account), SG_QUOTA_MAY);
    assert_non_null(account);
    assert_int_equal(sg_quota_uid(account), uid);
    return account;
}

static bool charge(struct sg_quota_account *account, uint64_t cost_us, uint64_t after_us)
{
    uint32_t retry_after_ms = 0;
    bool may = sg_quota_charge(account, cost_us, TEST_NOW_US + after_us, &retry_after_ms);
    assert_true(may == (retry_after_ms == 0));
    return may;
}

/* ---- Connections ---- */

static void test_join__gives_one_account_to_all_of_a_uid(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *first = join(quota, 1000);
    struct sg_quota_account *other = join(quota, 1001);
    assert_ptr_not_equal(first, other);
    assert_ptr_equal(join(quota, 1000), first);
    sg_quota_leave(quota, first);
    sg_quota_leave(quota, first);
    sg_quota_leave(quota, other);
    assert_ptr_equal(join(quota, 1000), first);
    sg_quota_leave(quota, first);
    sg_quota_free(quota);
    sg_quota_free(NULL);
}

static unsigned join_all(struct sg_quota *quota, uid_t uid, struct sg_quota_account **account)
{
    unsigned num = 0;
    while (sg_quota_join(quota, uid, TEST_NOW_US, account) == SG_QUOTA_MAY) {
        num++;
    }
    return num;
}

static void leave_all(struct sg_quota *quota, struct sg_quota_account *account, unsigned num)
{
    for (unsigned i = 0; i < num; i++) {
        sg_quota_leave(quota, account);
    }
}

static void test_join__bounds_a_uid_and_leaves_room_for_others(void **state)
{
    (void)state;
    struct sg_config_limits limits = test_limits;
    limits.cpu_per_uid_percent = 0;
    struct sg_quota *quota = make_quota(&limits);
    struct sg_quota_account *accounts[5] = {0};
    unsigned nums[5] = {0};
    unsigned sum = 0;
    for (unsigned i = 0; i < 5; i++) {
        nums[i] = join_all(quota, 1000 + i, &accounts[i]);
        assert_true(nums[i] >= 1); /* each took all that it could */
        sum += nums[i];
    }
    assert_int_equal(nums[0], 40);
    assert_int_equal(nums[1], 31); /* one more than the 29 that are left */
    assert_true(sum <= 100);
    for (unsigned i = 0; i < 5; i++) {
        leave_all(quota, accounts[i], nums[i]);
    }
    assert_int_equal(join_all(quota, 2000, &accounts[0]), 40);
    leave_all(quota, accounts[0], 40);
    sg_quota_set_max_connections(quota, 2);
    assert_int_equal(join_all(quota, 2000, &accounts[0]), 2);
    leave_all(quota, accounts[0], 2);
    sg_quota_free(quota);
}

/* Coming back does not settle a debt, and neither does a crowd of other uids, up to a bound. */
static void test_join__again_finds_the_old_debt(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    assert_true(charge(account, 110000, 0));
    assert_false(charge(account, 1, 0));
    sg_quota_leave(quota, account);
    for (uid_t uid = 5000; uid < 5200; uid++) {
        sg_quota_leave(quota, join(quota, uid));
    }
    account = join(quota, 1000);
    assert_false(charge(account, 1, 0));
    sg_quota_leave(quota, account);
    /* Beyond it memory counts more. */
    for (uid_t uid = 6000; uid < 16000; uid++) {
        sg_quota_leave(quota, join(quota, uid));
    }
    account = join(quota, 1000);
    assert_true(charge(account, 1, 0));
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void test_join__of_an_overdrawn_uid_is_refused_until_it_has_paid(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    for (unsigned i = 0; i < 100; i++) {
        sg_quota_charge_more(account, SG_QUOTA_PROTOCOL_ERROR_US, TEST_NOW_US);
    }
    struct sg_quota_account *again = NULL;
    assert_int_equal(sg_quota_join(quota, 1000, TEST_NOW_US, &again), SG_QUOTA_OVERDRAWN);
    assert_null(again);
    assert_true(sg_quota_turns_away(quota, 1000, TEST_NOW_US));
    assert_false(sg_quota_turns_away(quota, 1001, TEST_NOW_US)); /* has no account yet */
    struct sg_quota_account *other = join(quota, 1001);          /* is nobody else's */
    assert_false(sg_quota_turns_away(quota, 1001, TEST_NOW_US));
    /* A debt is never more than a whole bucket, here of 100 ms. */
    assert_int_equal(sg_quota_join(quota, 1000, TEST_NOW_US + 40000, &again), SG_QUOTA_OVERDRAWN);
    assert_int_equal(sg_quota_join(quota, 1000, TEST_NOW_US + 51000, &again), SG_QUOTA_MAY);
    leave_all(quota, account, 2);
    sg_quota_leave(quota, other);
    sg_quota_free(quota);
}

/* ---- In flight ---- */

static void test_enter__bounds_a_uid_and_leaves_room_for_others(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *accounts[4];
    unsigned nums[4] = {0};
    for (unsigned i = 0; i < 4; i++) {
        accounts[i] = join(quota, 1000 + i);
        while (sg_quota_enter(accounts[i])) {
            nums[i]++;
        }
    }
    assert_int_equal(nums[0], 8);
    assert_int_equal(nums[1], 7); /* one more than the 12 - 6 that were left then */
    assert_in_range(nums[2], 2, 4);
    assert_true(nums[3] >= 1);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < nums[i]; j++) {
            sg_quota_exit(accounts[i]);
        }
        sg_quota_leave(quota, accounts[i]);
    }
    sg_quota_free(quota);
}

/* ---- Processor time ---- */

static void test_charge__takes_what_was_saved_up_and_one_request_more(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000); /* 50 us */
    for (unsigned i = 0; i < 10; i++) {
        assert_true(charge(account, 10000, 0)); /* 100 ms, and the connection */
    }
    assert_false(charge(account, 1, 0));
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void test_charge__is_possible_again_when_it_said(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    uint32_t retry_after_ms = 0;
    assert_true(charge(account, 150000, 0)); /* one processor's: 50.05 ms until something is left */
    assert_false(sg_quota_charge(account, 1, TEST_NOW_US, &retry_after_ms));
    assert_int_equal(retry_after_ms, 51);
    /* Asking too early costs a little. */
    assert_false(charge(account, 1, 50000));
    assert_true(charge(account, 1, 51000));
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void test_charge__fills_at_its_rate_and_no_further_than_the_burst(void **state)
{
    (void)state;
    struct sg_config_limits limits = test_limits;
    limits.cpu_per_uid_percent = 25; /* half a processor */
    struct sg_quota *quota = make_quota(&limits);
    struct sg_quota_account *account = join(quota, 1000);
    uint64_t spent_us = 0;
    for (uint64_t after_us = 0; after_us < 10000000; after_us += 1000) {
        spent_us += charge(account, 5000, after_us) ? 5000 : 0;
    }
    /* 10 s of half a processor, the burst, one request more, and less what refusals cost. */
    assert_in_range(spent_us, 4900000, 5000000 + 100000 + 5000);
    /* An hour saves up no more than the burst. */
    spent_us = 0;
    while (charge(account, 1000, UINT64_C(3600000000))) {
        spent_us += 1000;
    }
    assert_in_range(spent_us, 100000, 101000);
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void test_charge__hammering_fills_nothing_for_free(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *patient = join(quota, 1000);
    struct sg_quota_account *hammering = join(quota, 1001);
    assert_true(charge(patient, 200000, 0));
    assert_true(charge(hammering, 200000, 0));
    for (unsigned i = 0; i < 2000; i++) {
        (void)charge(hammering, 1, i * 10);
    }
    assert_true(charge(patient, 1, 110000));
    assert_false(charge(hammering, 1, 110000));
    sg_quota_leave(quota, patient);
    sg_quota_leave(quota, hammering);
    sg_quota_free(quota);
}

static void test_charge__who_hammers_is_not_read_from_and_who_waits_is(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    assert_true(charge(account, 200000, 0));
    for (unsigned i = 0; i < 100; i++) {
        assert_false(charge(account, 1, 0));
    }
    assert_true(sg_quota_read_again_at_us(account) <= TEST_NOW_US);
    for (unsigned i = 0; i < 10000; i++) {
        (void)charge(account, 1, 0);
    }
    uint64_t at_us = sg_quota_read_again_at_us(account);
    /* However long it went on: by half a second. */
    assert_in_range(at_us, TEST_NOW_US + 1, TEST_NOW_US + 500000);
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void test_charge__switched_off_takes_everything(void **state)
{
    (void)state;
    struct sg_config_limits limits = test_limits;
    limits.cpu_per_uid_percent = 0;
    struct sg_quota *quota = make_quota(&limits);
    struct sg_quota_account *account = join(quota, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(charge(account, 1000000, 0));
        sg_quota_charge_more(account, 1000000, TEST_NOW_US);
    }
    struct sg_quota_account *again = join(quota, 1000);
    assert_ptr_equal(again, account);
    leave_all(quota, account, 2);
    sg_quota_free(quota);
}

/* ---- Stats and threads ---- */

static void note_stats(void *context, const struct sg_quota_stats *stats)
{
    if (stats->uid == 1000) {
        *(struct sg_quota_stats *)context = *stats;
    }
}

static void test_visit__shows_what_was_had_and_refused(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    struct sg_quota_stats stats = {0};
    assert_true(charge(account, 200000, 0));
    assert_false(charge(account, 1, 0));
    assert_true(sg_quota_enter(account));
    sg_quota_visit(quota, note_stats, &stats);
    assert_int_equal(stats.num_connections, 1);
    assert_int_equal(stats.num_in_flight, 1);
    assert_int_equal(stats.num_refused, 1);
    assert_int_equal(stats.cpu_used_us, 200000 + SG_QUOTA_ACCEPT_US + SG_QUOTA_REFUSAL_US);
    sg_quota_exit(account);
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

static void *charge_much(void *arg)
{
    struct sg_quota_account *account = arg;
    uint64_t spent_us = 0;
    for (unsigned i = 0; i < 20000; i++) {
        spent_us += charge(account, 100, 0) ? 100 : 0;
        if (sg_quota_enter(account)) {
            sg_quota_exit(account);
        }
    }
    return (void *)(uintptr_t)spent_us;
}

static void test_charge__of_many_threads_takes_no_more(void **state)
{
    (void)state;
    struct sg_quota *quota = make_quota(&test_limits);
    struct sg_quota_account *account = join(quota, 1000);
    pthread_t threads[4];
    uint64_t sum_us = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, charge_much, account), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *spent = NULL;
        assert_int_equal(pthread_join(threads[i], &spent), 0);
        sum_us += (uintptr_t)spent;
    }
    assert_in_range(sum_us, 99900, 100100);
    sg_quota_leave(quota, account);
    sg_quota_free(quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__gives_one_account_to_all_of_a_uid),
        cmocka_unit_test(test_join__bounds_a_uid_and_leaves_room_for_others),
        cmocka_unit_test(test_join__again_finds_the_old_debt),
        cmocka_unit_test(test_join__of_an_overdrawn_uid_is_refused_until_it_has_paid),
        cmocka_unit_test(test_enter__bounds_a_uid_and_leaves_room_for_others),
        cmocka_unit_test(test_charge__takes_what_was_saved_up_and_one_request_more),
        cmocka_unit_test(test_charge__is_possible_again_when_it_said),
        cmocka_unit_test(test_charge__fills_at_its_rate_and_no_further_than_the_burst),
        cmocka_unit_test(test_charge__hammering_fills_nothing_for_free),
        cmocka_unit_test(test_charge__who_hammers_is_not_read_from_and_who_waits_is),
        cmocka_unit_test(test_charge__switched_off_takes_everything),
        cmocka_unit_test(test_charge__of_many_threads_takes_no_more),
        cmocka_unit_test(test_visit__shows_what_was_had_and_refused),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
