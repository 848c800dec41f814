/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of names: whatever was put is found, with all that was put under the same name, and
 * whoever compares never takes another name for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/name_index.h"

/* How many candidates a search for the name gives; *last is the last of them. */
static size_t index_count(const struct sg_name_index *index, const void *name, size_t len,
                          uint32_t *last)
{
    struct sg_name_index_search search;
    size_t num = 0;
    sg_name_index_begin(index, name, len, &search);
    while (sg_name_index_next(&search, last)) {
        num++;
    }
    return num;
}

static bool index_has(const struct sg_name_index *index, const void *name, size_t len,
                      uint32_t value)
{
    struct sg_name_index_search search;
    uint32_t found = 0;
    sg_name_index_begin(index, name, len, &search);
    while (sg_name_index_next(&search, &found)) {
        if (found == value) {
            return true;
        }
    }
    return false;
}

static void test_name_index__finds_every_one_of_many(void **state)
{
    (void)state;
    enum {
        NUM = 20000
    };
    struct sg_name_index index;
    char name[32];
    assert_true(sg_name_index_init(&index, NUM));
    for (uint32_t i = 0; i < NUM; i++) {
        int len = snprintf(name, sizeof(name), "key-%u", i);
        sg_name_index_put(&index, name, (size_t)len, i);
    }
    for (uint32_t i = 0; i < NUM; i++) {
        int len = snprintf(name, sizeof(name), "key-%u", i);
        assert_true(index_has(&index, name, (size_t)len, i));
    }
    sg_name_index_fini(&index);
}

/* A candidate for a name that is not there needs 32 equal bits: of so few names next to none has. */
static void test_name_index__hardly_anything_answers_to_an_absent_name(void **state)
{
    (void)state;
    struct sg_name_index index;
    size_t num = 0;
    uint32_t value = 0;
    assert_true(sg_name_index_init(&index, 1000));
    for (uint32_t i = 0; i < 1000; i++) {
        sg_name_index_put(&index, &i, sizeof(i), i);
    }
    for (uint32_t i = 1000; i < 11000; i++) {
        num += index_count(&index, &i, sizeof(i), &value);
    }
    assert_in_range(num, 0, 3);
    sg_name_index_fini(&index);
}

static void test_name_index__keeps_all_of_one_name(void **state)
{
    (void)state;
    enum {
        NUM = 100
    };
    struct sg_name_index index;
    uint32_t value = 0;
    assert_true(sg_name_index_init(&index, NUM + 1));
    for (uint32_t i = 0; i < NUM; i++) {
        sg_name_index_put(&index, "same", 4, i);
        assert_int_equal(index_count(&index, "same", 4, &value), i + 1);
    }
    sg_name_index_put(&index, "other", 5, NUM);
    for (uint32_t i = 0; i < NUM; i++) {
        assert_true(index_has(&index, "same", 4, i));
    }
    assert_false(index_has(&index, "same", 4, NUM));
    assert_true(index_has(&index, "other", 5, NUM));
    sg_name_index_fini(&index);
}

/* A name is its bytes and its length: a prefix is another, and so is one that goes on after a NUL. */
static void test_name_index__takes_a_name_for_its_bytes_and_length(void **state)
{
    (void)state;
    static const char name[] = "abc\0def";
    struct sg_name_index index;
    uint32_t value = 0;
    assert_true(sg_name_index_init(&index, sizeof(name)));
    for (uint32_t len = 0; len < sizeof(name); len++) {
        sg_name_index_put(&index, name, len, len);
    }
    for (uint32_t len = 0; len < sizeof(name); len++) {
        assert_int_equal(index_count(&index, name, len, &value), 1);
        assert_int_equal(value, len);
    }
    assert_int_equal(index_count(&index, name, sizeof(name), &value), 0);
    assert_int_equal(index_count(&index, "abC", 3, &value), 0);
    sg_name_index_fini(&index);
}

static void test_name_index__the_empty_name_is_one(void **state)
{
    (void)state;
    struct sg_name_index index;
    uint32_t value = 0;
    assert_true(sg_name_index_init(&index, 2));
    assert_int_equal(index_count(&index, "", 0, &value), 0);
    sg_name_index_put(&index, "", 0, 7);
    sg_name_index_put(&index, "x", 1, 0);
    assert_int_equal(index_count(&index, "", 0, &value), 1);
    assert_int_equal(value, 7);
    assert_int_equal(index_count(&index, "x", 1, &value), 1);
    assert_int_equal(value, 0);
    sg_name_index_fini(&index);
}

/* Filled to the last that there is room for, a search still ends. */
static void test_name_index__a_search_ends_however_full_it_is(void **state)
{
    (void)state;
    for (size_t num = 0; num <= 70; num++) {
        struct sg_name_index index;
        uint32_t value = 0;
        assert_true(sg_name_index_init(&index, num));
        for (uint32_t i = 0; i < num; i++) {
            sg_name_index_put(&index, "same", 4, i);
        }
        assert_int_equal(index_count(&index, "same", 4, &value), num);
        assert_int_equal(index_count(&index, "absent", 6, &value), 0);
        sg_name_index_fini(&index);
    }
}

static void test_name_index__an_empty_one_can_be_released(void **state)
{
    (void)state;
    struct sg_name_index index = {0};
    sg_name_index_fini(&index);
    sg_name_index_fini(&index);
    assert_null(index.places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_index__finds_every_one_of_many),
        cmocka_unit_test(test_name_index__hardly_anything_answers_to_an_absent_name),
        cmocka_unit_test(test_name_index__keeps_all_of_one_name),
        cmocka_unit_test(test_name_index__takes_a_name_for_its_bytes_and_length),
        cmocka_unit_test(test_name_index__the_empty_name_is_one),
        cmocka_unit_test(test_name_index__a_search_ends_however_full_it_is),
        cmocka_unit_test(test_name_index__an_empty_one_can_be_released),
    };
    return cmocka_run_group_tests_name("name_index", tests, NULL, NULL);
}
