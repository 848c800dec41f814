/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets: zero when it comes, wiped when it goes, bounded, of every size, for every thread, for
 * no child and no debugger.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/limits.h"
#include "server/keyholder/secret.h"
#include "server/keyholder/secret_pool.h"

#define LONGEST 8192u

static bool is_all(const uint8_t *bytes, size_t len, uint8_t value)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

static bool is_fit(const void *bytes)
{
    return sg_secret_pool_has(bytes) || CRYPTO_secure_allocated(bytes) == 1;
}

/* Ends the case, loudly, where the kernel or RLIMIT_MEMLOCK leaves none. */
static void need_secret_memory(void)
{
    assert_int_equal(sg_secret_heap_open(), SIGNET_OK);
    if (!sg_secret_pool_is_there()) {
        print_message("SKIPPED: no memfd_secret(2) here, or RLIMIT_MEMLOCK is below 8 MiB\n");
        skip();
    }
}

/* ---- Buffers ---- */

static void test_alloc__of_every_size_is_zero_and_nobody_elses(void **state)
{
    (void)state;
    static uint8_t *buffers[LONGEST + 1];
    for (size_t first = 1; first <= LONGEST; first += 64) {
        for (size_t len = first; len < first + 64; len++) {
            buffers[len] = sg_secret_alloc(len);
            assert_non_null(buffers[len]);
            assert_true(is_fit(buffers[len]) && is_fit(buffers[len] + len - 1));
            assert_true(is_all(buffers[len], len, 0));
            memset(buffers[len], (int)(len & 0xff) | 1, len);
        }
        for (size_t len = first; len < first + 64; len++) {
            assert_true(is_all(buffers[len], len, (uint8_t)((len & 0xff) | 1)));
            sg_secret_release(buffers[len], len);
        }
    }
    assert_null(sg_secret_alloc(0));
    sg_secret_release(NULL, 1);
}

static void test_release__wipes(void **state)
{
    (void)state;
    need_secret_memory();
    static const size_t lengths[] = {1, 32, 33, 64, 1000, 4096, LONGEST};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t len = lengths[i];
        uint8_t *bytes = sg_secret_alloc(len);
        assert_non_null(bytes);
        memset(bytes, 0xa5, len);
        sg_secret_release(bytes, len);
        assert_true(is_all(bytes, len, 0)); /* the page is the pool's, and stays */
        /* And whatever is written there afterwards is not handed out. */
        memset(bytes, 0x5a, len);
        assert_ptr_equal(sg_secret_alloc(len), bytes);
        assert_true(is_all(bytes, len, 0));
        sg_secret_release(bytes, len);
    }
}

static void test_release__of_the_same_again_changes_nothing(void **state)
{
    (void)state;
    need_secret_memory();
    uint8_t *one = sg_secret_pool_take(32);
    uint8_t *two = sg_secret_pool_take(32);
    assert_true(one != NULL && two != NULL);
    memset(two, 0x77, 32);
    sg_secret_pool_give(one);
    sg_secret_pool_give(one);
    assert_true(is_all(two, 32, 0x77));
    uint8_t *three = sg_secret_pool_take(32);
    uint8_t *four = sg_secret_pool_take(32);
    assert_true(three != two && four != two && three != four);
    sg_secret_pool_give(two);
    sg_secret_pool_give(three);
    sg_secret_pool_give(four);
}

/* ---- Exhaustion ---- */

struct taken {
    uint8_t **buffers;
    size_t num;
};

static struct taken take_all(size_t len, size_t max)
{
    struct taken taken = {.buffers = calloc(max, sizeof(uint8_t *))};
    assert_non_null(taken.buffers);
    while (taken.num < max && (taken.buffers[taken.num] = sg_secret_alloc(len)) != NULL) {
        assert_true(is_fit(taken.buffers[taken.num]));
        memcpy(taken.buffers[taken.num], &taken.num, sizeof(taken.num));
        taken.num++;
    }
    return taken;
}

static void give_all(struct taken *taken, size_t len)
{
    for (size_t i = 0; i < taken->num; i++) {
        assert_memory_equal(taken->buffers[i], &i, sizeof(i));
        sg_secret_release(taken->buffers[i], len);
    }
    free(taken->buffers);
}

static void test_exhaustion__spills_and_then_fails(void **state)
{
    (void)state;
    static const size_t lengths[] = {LONGEST, 64, 1024};
    const bool is_secret = sg_secret_memory_is_secret();
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const size_t max = (size_t)1 << 20;
        struct taken taken = take_all(lengths[i], max);
        assert_in_range(taken.num, 1, max - 1);
        assert_false(sg_secret_memory_is_secret());
        assert_null(sg_secret_alloc(lengths[i]));
        assert_int_equal(sg_secret_pool_has(taken.buffers[0]), sg_secret_pool_is_there());
        assert_int_equal(CRYPTO_secure_allocated(taken.buffers[taken.num - 1]), 1);
        give_all(&taken, lengths[i]);
        assert_int_equal(sg_secret_memory_is_secret(), is_secret);
    }
}

static void test_many__hmac_keys_fit(void **state)
{
    (void)state;
    need_secret_memory();
    enum {
        NUM_KEYS = 10000
    };
    struct sg_secret **secrets = calloc(NUM_KEYS, sizeof(*secrets));
    assert_non_null(secrets);
    for (size_t i = 0; i < NUM_KEYS; i++) {
        assert_int_equal(sg_secret_new(NULL, 32 + i % 33, &secrets[i]), SIGNET_OK);
    }
    assert_true(sg_secret_memory_is_secret());
    for (size_t i = 0; i < NUM_KEYS; i++) {
        sg_secret_free(secrets[i]);
    }
    free(secrets);
}

/* ---- Secrets ---- */

static void test_secret__is_a_copy_within_bounds(void **state)
{
    (void)state;
    static const uint8_t text[SG_MAX_SECRET_LEN + 1] = "a secret of some length";
    struct sg_secret *secret = NULL;
    size_t len = 0;
    assert_int_equal(sg_secret_new(text, 0, &secret), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_secret_new(text, sizeof(text), &secret), SIGNET_INVALID_ARGUMENT);
    assert_null(secret);
    assert_int_equal(sg_secret_new(text, SG_MAX_SECRET_LEN, &secret), SIGNET_OK);
    const uint8_t *bytes = sg_secret_bytes(secret, &len);
    assert_int_equal(len, SG_MAX_SECRET_LEN);
    assert_memory_equal(bytes, text, len);
    assert_true(is_fit(bytes));
    sg_secret_free(secret);
    sg_secret_free(NULL);

    assert_int_equal(sg_secret_new(NULL, 64, &secret), SIGNET_OK);
    bytes = sg_secret_bytes(secret, &len);
    assert_int_equal(len, 64);
    assert_false(is_all(bytes, 64, 0));
    sg_secret_free(secret);
}

static void test_secret__without_memory_for_it_fails(void **state)
{
    (void)state;
    static const uint8_t text[1024] = "x";
    struct sg_secret *secret = NULL;
    struct taken taken = take_all(sizeof(text), (size_t)1 << 20);
    assert_int_equal(sg_secret_new(text, sizeof(text), &secret), SIGNET_RESOURCE_EXHAUSTED);
    assert_null(secret);
    give_all(&taken, sizeof(text));
}

/* ---- Threads ---- */

#define NUM_THREADS 8
#define NUM_ROUNDS  20000u

static void *churn(void *arg)
{
    uint8_t mark = *(const uint8_t *)arg;
    uint8_t *held[16] = {NULL};
    size_t lens[16] = {0};
    unsigned seed = mark;
    for (size_t i = 0; i < NUM_ROUNDS; i++) {
        size_t at = i % 16;
        if (held[at] != NULL && !is_all(held[at], lens[at], mark)) {
            return NULL;
        }
        sg_secret_release(held[at], lens[at]);
        lens[at] = 1 + (size_t)rand_r(&seed) % 40;
        held[at] = sg_secret_alloc(lens[at]);
        if (held[at] == NULL || !is_all(held[at], lens[at], 0)) {
            return NULL;
        }
        memset(held[at], mark, lens[at]);
    }
    for (size_t i = 0; i < 16; i++) {
        sg_secret_release(held[i], lens[i]);
    }
    return arg;
}

static void test_threads__never_share_a_place(void **state)
{
    (void)state;
    pthread_t threads[NUM_THREADS];
    uint8_t marks[NUM_THREADS];
    for (size_t i = 0; i < NUM_THREADS; i++) {
        marks[i] = (uint8_t)(i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &marks[i]), 0);
    }
    for (size_t i = 0; i < NUM_THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &marks[i]);
    }
}

/* ---- Who cannot read it ---- */

static void die_by_signal(int number)
{
    _exit(128 + number);
}

/* How a child ends that looks at a byte. */
static int look_in_child(const volatile uint8_t *byte)
{
    int ended = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGSEGV, die_by_signal);
        (void)signal(SIGBUS, die_by_signal);
        _exit(*byte == 0x42 ? 1 : 2);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    return WEXITSTATUS(ended);
}

static void test_fork__does_not_hand_it_on(void **state)
{
    (void)state;
    need_secret_memory();
    uint8_t ordinary = 0x42;
    uint8_t *secret = sg_secret_alloc(1);
    assert_non_null(secret);
    *secret = 0x42;
    assert_int_equal(look_in_child(&ordinary), 1);
    assert_int_equal(look_in_child(secret), 128 + SIGSEGV);
    assert_int_equal(*secret, 0x42);
    sg_secret_release(secret, 1);
}

/* 0: as it should be. */
static int use_in_child(uint8_t *inherited)
{
    sg_secret_release(inherited, 32);
    uint8_t *bytes = sg_secret_alloc(32);
    if (bytes == NULL || sg_secret_pool_has(bytes) || CRYPTO_secure_allocated(bytes) != 1) {
        return 1;
    }
    memset(bytes, 1, 32);
    sg_secret_release(bytes, 32);
    return sg_secret_memory_is_secret() ? 2 : 0;
}

/* A child that goes on as its parent did, as a program's own test does, has the heap. */
static void test_fork__leaves_the_child_the_heap(void **state)
{
    (void)state;
    need_secret_memory();
    int ended = 0;
    uint8_t *secret = sg_secret_alloc(32);
    assert_non_null(secret);
    memset(secret, 0x42, 32);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(use_in_child(secret));
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
    assert_true(is_all(secret, 32, 0x42));
    assert_true(sg_secret_memory_is_secret());
    sg_secret_release(secret, 32);
}

static bool kernel_reads(const uint8_t *bytes, size_t len)
{
    uint8_t copy[64] = {0};
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(memory >= 0);
    ssize_t got = pread(memory, copy, len, (off_t)(uintptr_t)bytes);
    (void)close(memory);
    return got == (ssize_t)len && memcmp(copy, bytes, len) == 0;
}

static void test_proc_mem__does_not_show_it(void **state)
{
    (void)state;
    need_secret_memory();
    static const uint8_t text[32] = "thirty-two bytes, a NUL included";
    uint8_t *ordinary = malloc(sizeof(text));
    uint8_t *secret = sg_secret_alloc(sizeof(text));
    assert_true(ordinary != NULL && secret != NULL);
    memcpy(ordinary, text, sizeof(text));
    memcpy(secret, text, sizeof(text));
    assert_true(kernel_reads(ordinary, sizeof(text)));
    assert_false(kernel_reads(secret, sizeof(text)));
    assert_true(sg_secret_memory_is_secret());
    sg_secret_release(secret, sizeof(text));
    free(ordinary);
}

static void test_guards__end_whoever_runs_over(void **state)
{
    (void)state;
    need_secret_memory();
    uint8_t *first = NULL;
    struct taken taken = take_all(LONGEST, SG_SECRET_POOL_LEN / LONGEST);
    assert_int_equal(taken.num, SG_SECRET_POOL_LEN / LONGEST);
    for (size_t i = 0; i < taken.num; i++) {
        first = first == NULL || taken.buffers[i] < first ? taken.buffers[i] : first;
    }
    give_all(&taken, LONGEST);
    assert_true(sg_secret_pool_has(first));
    assert_false(sg_secret_pool_has(first - 1));
    assert_false(sg_secret_pool_has(first + SG_SECRET_POOL_LEN));
    assert_int_equal(look_in_child(first - 1), 128 + SIGSEGV);
    assert_int_equal(look_in_child(first + SG_SECRET_POOL_LEN), 128 + SIGSEGV);
}

/* ---- Limits ---- */

/* What a process of an ordinary user gets under a limit on locked memory. */
struct under_limit {
    bool is_open, is_locked, is_secret, has_fit;
};

static void try_under_limit(rlim_t limit, struct under_limit *out)
{
    const struct rlimit locked = {.rlim_cur = limit, .rlim_max = limit};
    if (setrlimit(RLIMIT_MEMLOCK, &locked) != 0 || (geteuid() == 0 && setuid(12345) != 0)) {
        _exit(1);
    }
    out->is_open = sg_secret_heap_open() == SIGNET_OK;
    uint8_t *bytes = sg_secret_alloc(64);
    out->has_fit = bytes != NULL && is_fit(bytes) && is_all(bytes, 64, 0);
    out->is_locked = sg_secret_heap_is_locked();
    out->is_secret = sg_secret_memory_is_secret();
    sg_secret_release(bytes, 64);
}

/* The first case: the heap is made once in a process, here in children only. */
static void test_limit__decides_what_is_locked_and_never_what_works(void **state)
{
    (void)state;
    static const rlim_t limits[] = {0, (rlim_t)64 << 10, (rlim_t)4 << 20, (rlim_t)8 << 20};
    struct under_limit *result =
        mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(result != MAP_FAILED);
    struct rlimit own;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &own), 0);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]) && limits[i] <= own.rlim_max; i++) {
        int ended = 0;
        memset(result, 0, sizeof(*result));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            try_under_limit(limits[i], result);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_int_equal(ended, 0);
        assert_true(result->is_open && result->has_fit);
        assert_int_equal(result->is_locked, limits[i] >= (rlim_t)4 << 20);
        assert_true(!result->is_secret || limits[i] >= (rlim_t)6 << 20);
    }
    (void)munmap(result, sizeof(*result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit__decides_what_is_locked_and_never_what_works),
        cmocka_unit_test(test_alloc__of_every_size_is_zero_and_nobody_elses),
        cmocka_unit_test(test_release__wipes),
        cmocka_unit_test(test_release__of_the_same_again_changes_nothing),
        cmocka_unit_test(test_exhaustion__spills_and_then_fails),
        cmocka_unit_test(test_many__hmac_keys_fit),
        cmocka_unit_test(test_secret__is_a_copy_within_bounds),
        cmocka_unit_test(test_secret__without_memory_for_it_fails),
        cmocka_unit_test(test_threads__never_share_a_place),
        cmocka_unit_test(test_fork__does_not_hand_it_on),
        cmocka_unit_test(test_fork__leaves_the_child_the_heap),
        cmocka_unit_test(test_proc_mem__does_not_show_it),
        cmocka_unit_test(test_guards__end_whoever_runs_over),
    };
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
