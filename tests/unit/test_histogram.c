/* SPDX-License-Identifier: Apache-2.0
 *
 * The histogram behind `signet bench`: no percentile is ever told better than it was, and none is off
 * by more than its bucket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <string.h>

#include "client/cli/histogram.h"

static struct histogram histogram;

static int histogram_setup(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof(histogram));
    return 0;
}

static void test_histogram__empty_has_no_percentile(void **state)
{
    (void)state;
    assert_int_equal(histogram_at(&histogram, 0.5), 0);
    assert_int_equal(histogram_at(&histogram, 1.0), 0);
}

static void test_histogram__small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++) {
        histogram_add(&histogram, value);
    }
    assert_int_equal(histogram_at(&histogram, 0.01), 1);
    assert_int_equal(histogram_at(&histogram, 0.5), 50);
    assert_int_equal(histogram_at(&histogram, 1.0), 100);
}

static void test_histogram__every_value_is_told_within_one_in_64_and_never_smaller(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < HISTOGRAM_MAX_BITS; bit++) {
        for (uint64_t step = 0; step < 3; step++) {
            uint64_t value = (UINT64_C(1) << bit) + step * ((UINT64_C(1) << bit) / 3);
            (void)histogram_setup(NULL);
            histogram_add(&histogram, value);
            histogram_add(&histogram, UINT64_MAX); /* so that the largest does not cap the bucket */
            uint64_t told = histogram_at(&histogram, 0.5);
            assert_true(told >= value);
            assert_true(told - value <= value / 64);
        }
    }
}

static void test_histogram__too_large_values_count(void **state)
{
    (void)state;
    histogram_add(&histogram, 5);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.num, 2);
    assert_int_equal(histogram_at(&histogram, 0.5), 5);
    assert_true(histogram_at(&histogram, 1.0) >= (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1);
    assert_true(histogram.most == UINT64_MAX);
}

static void test_histogram__merged_is_as_if_added_to_one(void **state)
{
    static struct histogram other;
    static struct histogram both;
    (void)state;
    for (uint64_t value = 1; value < 5000; value += 7) {
        histogram_add(value % 2 == 0 ? &histogram : &other, value);
        histogram_add(&both, value);
    }
    histogram_merge(&histogram, &other);
    assert_memory_equal(&histogram, &both, sizeof(both));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_histogram__empty_has_no_percentile, histogram_setup),
        cmocka_unit_test_setup(test_histogram__small_values_are_exact, histogram_setup),
        cmocka_unit_test_setup(
            test_histogram__every_value_is_told_within_one_in_64_and_never_smaller,
            histogram_setup),
        cmocka_unit_test_setup(test_histogram__too_large_values_count, histogram_setup),
        cmocka_unit_test_setup(test_histogram__merged_is_as_if_added_to_one, histogram_setup),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
