/* SPDX-License-Identifier: Apache-2.0
 *
 * Which MACs are known to be good: those of the same bytes under the same slot, and no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/mac_cache.h"

#define TOKEN "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"
#define SLOT  UINT64_C(0x100000401)

static void test_mac_cache__knows_what_was_added(void **state)
{
    (void)state;
    struct sg_mac_cache *cache = sg_mac_cache_new(16);
    assert_non_null(cache);
    assert_false(sg_mac_cache_has(cache, SLOT, TOKEN, strlen(TOKEN)));
    sg_mac_cache_add(cache, SLOT, TOKEN, strlen(TOKEN));
    assert_true(sg_mac_cache_has(cache, SLOT, TOKEN, strlen(TOKEN)));
    sg_mac_cache_free(cache);
}

static void test_mac_cache__takes_no_byte_for_another(void **state)
{
    (void)state;
    struct sg_mac_cache *cache = sg_mac_cache_new(4); /* one set: only bytes tell tokens apart */
    char twin[] = TOKEN;
    assert_non_null(cache);
    sg_mac_cache_add(cache, SLOT, TOKEN, strlen(TOKEN));
    for (size_t i = 0; i < strlen(TOKEN); i++) {
        twin[i] ^= 1;
        assert_false(sg_mac_cache_has(cache, SLOT, twin, strlen(twin)));
        twin[i] ^= 1;
        assert_false(sg_mac_cache_has(cache, SLOT, TOKEN, i));
    }
    assert_false(sg_mac_cache_has(cache, SLOT, TOKEN, sizeof(TOKEN))); /* its zero too */
    sg_mac_cache_free(cache);
}

static void test_mac_cache__takes_no_slot_for_another(void **state)
{
    (void)state;
    struct sg_mac_cache *cache = sg_mac_cache_new(4);
    assert_non_null(cache);
    sg_mac_cache_add(cache, SLOT, TOKEN, strlen(TOKEN));
    assert_false(sg_mac_cache_has(cache, SLOT + 1, TOKEN, strlen(TOKEN)));
    assert_false(sg_mac_cache_has(cache, SLOT + (UINT64_C(1) << 32), TOKEN, strlen(TOKEN)));
    assert_false(sg_mac_cache_has(cache, 0, TOKEN, strlen(TOKEN)));
    sg_mac_cache_free(cache);
}

/* A key that is not in memory has slot 0, and an empty place as well. */
static void test_mac_cache__slot_0_is_none(void **state)
{
    (void)state;
    struct sg_mac_cache *cache = sg_mac_cache_new(4);
    assert_non_null(cache);
    sg_mac_cache_add(cache, 0, TOKEN, strlen(TOKEN));
    assert_false(sg_mac_cache_has(cache, 0, TOKEN, strlen(TOKEN)));
    assert_false(sg_mac_cache_has(cache, 0, "", 0));
    sg_mac_cache_add(cache, SLOT, "", 0);
    assert_false(sg_mac_cache_has(cache, SLOT, "", 0));
    sg_mac_cache_free(cache);
}

static void test_mac_cache__keeps_no_token_that_is_too_long(void **state)
{
    (void)state;
    char token[SG_MAC_CACHE_MAX_TOKEN + 1];
    struct sg_mac_cache *cache = sg_mac_cache_new(4);
    assert_non_null(cache);
    memset(token, 'a', sizeof(token));
    sg_mac_cache_add(cache, SLOT, token, SG_MAC_CACHE_MAX_TOKEN + 1);
    assert_false(sg_mac_cache_has(cache, SLOT, token, SG_MAC_CACHE_MAX_TOKEN + 1));
    sg_mac_cache_add(cache, SLOT, token, SG_MAC_CACHE_MAX_TOKEN);
    assert_true(sg_mac_cache_has(cache, SLOT, token, SG_MAC_CACHE_MAX_TOKEN));
    assert_false(sg_mac_cache_has(cache, SLOT, token, SG_MAC_CACHE_MAX_TOKEN + 1));
    sg_mac_cache_free(cache);
}

static size_t mac_cache_name(char *out, size_t cap, unsigned number)
{
    return (size_t)snprintf(out, cap, "header.claims-%u.mac", number);
}

static void test_mac_cache__what_is_used_stays_and_the_rest_gives_way(void **state)
{
    (void)state;
    char token[64];
    struct sg_mac_cache *cache = sg_mac_cache_new(4);
    assert_non_null(cache);
    sg_mac_cache_add(cache, SLOT, TOKEN, strlen(TOKEN));
    for (unsigned i = 0; i < 100; i++) {
        sg_mac_cache_add(cache, SLOT, token, mac_cache_name(token, sizeof(token), i));
        assert_true(sg_mac_cache_has(cache, SLOT, TOKEN, strlen(TOKEN)));
    }
    unsigned num_kept = 0;
    for (unsigned i = 0; i < 100; i++) {
        size_t len = mac_cache_name(token, sizeof(token), i);
        num_kept += sg_mac_cache_has(cache, SLOT, token, len) ? 1 : 0;
    }
    assert_int_equal(num_kept, 3);
    sg_mac_cache_free(cache);
}

static void test_mac_cache__adding_again_takes_no_other_place(void **state)
{
    (void)state;
    char token[64];
    struct sg_mac_cache *cache = sg_mac_cache_new(4);
    assert_non_null(cache);
    for (unsigned i = 0; i < 3; i++) {
        sg_mac_cache_add(cache, SLOT, token, mac_cache_name(token, sizeof(token), i));
    }
    for (unsigned i = 0; i < 10; i++) {
        sg_mac_cache_add(cache, SLOT, TOKEN, strlen(TOKEN));
    }
    for (unsigned i = 0; i < 3; i++) {
        size_t len = mac_cache_name(token, sizeof(token), i);
        assert_true(sg_mac_cache_has(cache, SLOT, token, len));
    }
    sg_mac_cache_free(cache);
}

static void test_mac_cache__has_bounds(void **state)
{
    (void)state;
    assert_null(sg_mac_cache_new(0));
    assert_null(sg_mac_cache_new(65537));
    sg_mac_cache_free(NULL);
}

#define MAC_CACHE_ROUNDS 2000u

struct mac_cache_user {
    struct sg_mac_cache *cache;
    uint64_t slot;
    bool was_wrong;
};

/* Each thread has a slot of its own, and adds only its even tokens: it must never hear of an odd one. */
static void *mac_cache_use(void *arg)
{
    struct mac_cache_user *user = arg;
    char token[64];
    for (unsigned i = 0; i < MAC_CACHE_ROUNDS; i++) {
        size_t len = mac_cache_name(token, sizeof(token), i % 32);
        if (i % 2 == 0) {
            sg_mac_cache_add(user->cache, user->slot, token, len);
        } else if (sg_mac_cache_has(user->cache, user->slot, token, len)) {
            user->was_wrong = true;
        }
    }
    return NULL;
}

static void test_mac_cache__threads_see_only_what_was_added(void **state)
{
    (void)state;
    struct mac_cache_user users[4];
    pthread_t threads[4];
    struct sg_mac_cache *cache = sg_mac_cache_new(8);
    assert_non_null(cache);
    for (unsigned i = 0; i < 4; i++) {
        users[i] = (struct mac_cache_user){.cache = cache, .slot = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, mac_cache_use, &users[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(users[i].was_wrong);
    }
    sg_mac_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mac_cache__knows_what_was_added),
        cmocka_unit_test(test_mac_cache__takes_no_byte_for_another),
        cmocka_unit_test(test_mac_cache__takes_no_slot_for_another),
        cmocka_unit_test(test_mac_cache__slot_0_is_none),
        cmocka_unit_test(test_mac_cache__keeps_no_token_that_is_too_long),
        cmocka_unit_test(test_mac_cache__what_is_used_stays_and_the_rest_gives_way),
        cmocka_unit_test(test_mac_cache__adding_again_takes_no_other_place),
        cmocka_unit_test(test_mac_cache__has_bounds),
        cmocka_unit_test(test_mac_cache__threads_see_only_what_was_added),
    };
    return cmocka_run_group_tests_name("mac_cache", tests, NULL, NULL);
}
