/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker pool: everything submitted runs once, the queue is bounded, the end runs what is queued.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "server/workers.h"

#define TEST_NUM_ITEMS 200u

struct item {
    struct sg_work work;
    struct bench *bench;
    bool waits; /* until the gate opens */
    unsigned num_runs;
    bool signals_blocked;
    char thread_name[16];
};

struct bench {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool gate_open;
    unsigned num_begun, num_done;
    struct item items[TEST_NUM_ITEMS];
};

static void item_run(struct sg_work *work)
{
    struct item *item = (struct item *)(void *)work;
    struct bench *bench = item->bench;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    pthread_mutex_lock(&bench->mutex);
    bench->num_begun++;
    pthread_cond_broadcast(&bench->changed);
    while (item->waits && !bench->gate_open) {
        pthread_cond_wait(&bench->changed, &bench->mutex);
    }
    item->num_runs++;
    item->signals_blocked =
        sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGHUP) == 1;
    pthread_getname_np(pthread_self(), item->thread_name, sizeof(item->thread_name));
    bench->num_done++;
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->mutex);
}

static void bench_init(struct bench *bench, unsigned num_waiting)
{
    memset(bench, 0, sizeof(*bench));
    pthread_mutex_init(&bench->mutex, NULL);
    pthread_cond_init(&bench->changed, NULL);
    for (unsigned i = 0; i < TEST_NUM_ITEMS; i++) {
        bench->items[i].work.run = item_run;
        bench->items[i].bench = bench;
        bench->items[i].waits = i < num_waiting;
    }
}

static void bench_wait_begun(struct bench *bench, unsigned num)
{
    pthread_mutex_lock(&bench->mutex);
    while (bench->num_begun < num) {
        pthread_cond_wait(&bench->changed, &bench->mutex);
    }
    pthread_mutex_unlock(&bench->mutex);
}

static void bench_open(struct bench *bench)
{
    pthread_mutex_lock(&bench->mutex);
    bench->gate_open = true;
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->mutex);
}

static void bench_fini(struct bench *bench)
{
    pthread_cond_destroy(&bench->changed);
    pthread_mutex_destroy(&bench->mutex);
}

static void test_workers__run_everything_once(void **state)
{
    (void)state;
    static struct bench bench;
    bench_init(&bench, 0);
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(3, TEST_NUM_ITEMS, &workers), SIGNET_OK);
    for (unsigned i = 0; i < TEST_NUM_ITEMS; i++) {
        assert_true(sg_workers_submit(workers, &bench.items[i].work));
    }
    sg_workers_free(workers);
    for (unsigned i = 0; i < TEST_NUM_ITEMS; i++) {
        assert_int_equal(bench.items[i].num_runs, 1);
        assert_true(bench.items[i].signals_blocked);
        assert_string_equal(bench.items[i].thread_name, "signetd-worker");
    }
    bench_fini(&bench);
}

static void test_workers__work_at_the_same_time(void **state)
{
    (void)state;
    static struct bench bench;
    bench_init(&bench, 3);
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(3, 3, &workers), SIGNET_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(sg_workers_submit(workers, &bench.items[i].work));
    }
    bench_wait_begun(&bench, 3);
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench.num_done, 3);
    bench_fini(&bench);
}

static void test_workers__refuse_when_the_queue_is_full(void **state)
{
    (void)state;
    static struct bench bench;
    bench_init(&bench, 2);
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(2, 2, &workers), SIGNET_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(sg_workers_submit(workers, &bench.items[i].work));
    }
    bench_wait_begun(&bench, 2); /* now the queue is empty and no thread takes from it */
    assert_true(sg_workers_submit(workers, &bench.items[2].work));
    assert_true(sg_workers_submit(workers, &bench.items[3].work));
    assert_false(sg_workers_submit(workers, &bench.items[4].work));
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench.num_done, 4);
    assert_int_equal(bench.items[4].num_runs, 0);
    bench_fini(&bench);
}

static void test_workers__free_runs_what_is_queued(void **state)
{
    (void)state;
    static struct bench bench;
    bench_init(&bench, 1);
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(1, TEST_NUM_ITEMS, &workers), SIGNET_OK);
    assert_true(sg_workers_submit(workers, &bench.items[0].work));
    bench_wait_begun(&bench, 1);
    for (unsigned i = 1; i < TEST_NUM_ITEMS; i++) {
        assert_true(sg_workers_submit(workers, &bench.items[i].work));
    }
    assert_int_equal(bench.num_done, 0);
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench.num_done, TEST_NUM_ITEMS);
    bench_fini(&bench);
}

static void test_workers__senseless_sizes_are_refused(void **state)
{
    (void)state;
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(0, 1, &workers), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_workers_new(65, 1, &workers), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_workers_new(1, 0, &workers), SIGNET_INVALID_ARGUMENT);
    assert_null(workers);
    sg_workers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers__run_everything_once),
        cmocka_unit_test(test_workers__work_at_the_same_time),
        cmocka_unit_test(test_workers__refuse_when_the_queue_is_full),
        cmocka_unit_test(test_workers__free_runs_what_is_queued),
        cmocka_unit_test(test_workers__senseless_sizes_are_refused),
    };
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
