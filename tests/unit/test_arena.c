/* SPDX-License-Identifier: Apache-2.0
 *
 * The arena: what it gives out does not overlap, is aligned and zero, and is never more than the cap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "signet/v1/token.pb-c.h"

static void test_arena__gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    struct sg_arena arena;
    sg_arena_init(&arena, 1u << 20);
    for (size_t len = 0; len < 600; len++) {
        uint8_t *bytes = sg_arena_alloc(&arena, len);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, 0xa5, len); /* would show in a later one */
    }
    assert_false(arena.exhausted);
    sg_arena_fini(&arena);
}

static void test_arena__keeps_what_it_gave(void **state)
{
    (void)state;
    struct sg_arena arena;
    char *texts[500];
    sg_arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < 500; i++) {
        texts[i] = sg_arena_alloc(&arena, 2);
        assert_non_null(texts[i]);
        texts[i][0] = (char)('a' + i % 26);
    }
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(texts[i][0], 'a' + i % 26);
        assert_int_equal(texts[i][1], '\0');
    }
    sg_arena_fini(&arena);
}

static void test_arena__never_gives_more_than_the_cap(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 16, 100, 4096, 5000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct sg_arena arena;
        size_t total = 0;
        sg_arena_init(&arena, 20000);
        while (sg_arena_alloc(&arena, lens[i]) != NULL) {
            total += lens[i];
            assert_true(total <= 20000);
            assert_true(arena.used <= arena.cap);
        }
        assert_true(arena.exhausted);
        assert_true(total > 0);
        sg_arena_fini(&arena);
    }
}

static void test_arena__what_does_not_fit_leaves_room_for_what_does(void **state)
{
    (void)state;
    struct sg_arena arena;
    sg_arena_init(&arena, 8192);
    assert_null(sg_arena_alloc(&arena, 8193));
    assert_null(sg_arena_alloc(&arena, SIZE_MAX));
    assert_null(sg_arena_alloc(&arena, SIZE_MAX - 8));
    assert_true(arena.exhausted);
    assert_non_null(sg_arena_alloc(&arena, 8192));
    assert_null(sg_arena_alloc(&arena, 1));
    sg_arena_fini(&arena);
}

static void test_arena__uses_the_callers_memory_first(void **state)
{
    (void)state;
    struct sg_arena arena;
    _Alignas(max_align_t) uint8_t memory[256];
    memset(memory, 0xff, sizeof(memory));
    sg_arena_init_with(&arena, 1024, memory, sizeof(memory));
    uint8_t *first = sg_arena_alloc(&arena, 250);
    assert_ptr_equal(first, memory);
    assert_int_equal(first[249], 0);
    uint8_t *second = sg_arena_alloc(&arena, 16);
    assert_non_null(second);
    assert_true(second < memory || second >= memory + sizeof(memory));
    assert_null(sg_arena_alloc(&arena, 1024 - 256)); /* the caller's counts under the cap */
    sg_arena_fini(&arena);
}

static void test_arena__a_cap_below_the_callers_memory_holds(void **state)
{
    (void)state;
    struct sg_arena arena;
    _Alignas(max_align_t) uint8_t memory[256];
    sg_arena_init_with(&arena, 64, memory, sizeof(memory));
    assert_non_null(sg_arena_alloc(&arena, 64));
    assert_null(sg_arena_alloc(&arena, 1));
    sg_arena_fini(&arena);
}

/* One byte of input for each empty request: decoding must stop at the cap. */
static void test_arena__bounds_what_protobuf_c_takes(void **state)
{
    (void)state;
    enum {
        BOMB = 60000
    };
    uint8_t *bomb = malloc(BOMB);
    assert_non_null(bomb);
    for (size_t i = 0; i < BOMB; i += 2) {
        bomb[i] = 0x0a; /* requests, of no bytes */
        bomb[i + 1] = 0;
    }
    struct sg_arena arena;
    sg_arena_init(&arena, 1u << 20);
    assert_null(signet__v1__verify_batch_request__unpack(&arena.allocator, BOMB, bomb));
    assert_true(arena.exhausted);
    assert_true(arena.used <= 1u << 20);
    sg_arena_fini(&arena);
    sg_arena_init(&arena, 1u << 20);
    const Signet__V1__VerifyBatchRequest *few =
        signet__v1__verify_batch_request__unpack(&arena.allocator, 512, bomb);
    assert_non_null(few);
    assert_int_equal(few->n_requests, 256);
    sg_arena_fini(&arena);
    free(bomb);
}

static void test_arena__a_zeroed_one_can_be_released(void **state)
{
    (void)state;
    struct sg_arena arena = {0};
    sg_arena_fini(&arena);
    sg_arena_fini(&arena);
    assert_null(arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__gives_zeroed_aligned_memory),
        cmocka_unit_test(test_arena__keeps_what_it_gave),
        cmocka_unit_test(test_arena__never_gives_more_than_the_cap),
        cmocka_unit_test(test_arena__what_does_not_fit_leaves_room_for_what_does),
        cmocka_unit_test(test_arena__uses_the_callers_memory_first),
        cmocka_unit_test(test_arena__a_cap_below_the_callers_memory_holds),
        cmocka_unit_test(test_arena__bounds_what_protobuf_c_takes),
        cmocka_unit_test(test_arena__a_zeroed_one_can_be_released),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
