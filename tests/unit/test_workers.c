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

#define TEST_NUM_ITEMS  200u
#define TEST_NUM_FLOWS  4u
#define TEST_MAX_QUEUED (2u * TEST_NUM_ITEMS) /* of which one flow gets half */

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
    unsigned order[TEST_NUM_ITEMS]; /* in which items were begun */
    struct sg_fair_flow flows[TEST_NUM_FLOWS];
    struct item items[TEST_NUM_ITEMS];
};

static void item_run(struct sg_work *work)
{
    struct item *item = (struct item *)(void *)work;
    struct bench *bench = item->bench;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    pthread_mutex_lock(&bench->mutex);
    bench->order[bench->num_begun++] = (unsigned)(item - bench->items);
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
        bench->items[i].work.flow = &bench->flows[0];
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

/* Submits an item as of a flow, a cost and a deadline; now is 1000 ms. */
static enum sg_workers_answer bench_submit_as(struct bench *bench, struct sg_workers *workers,
                                              unsigned index, unsigned flow, uint64_t cost_us,
                                              uint64_t deadline_ms, uint32_t *retry_after_ms)
{
    struct sg_work *work = &bench->items[index].work;
    work->flow = &bench->flows[flow];
    work->cost_us = cost_us;
    work->deadline_ms = deadline_ms;
    return sg_workers_submit(workers, work, 1000, retry_after_ms);
}

static enum sg_workers_answer bench_submit(struct bench *bench, struct sg_workers *workers,
                                           unsigned index)
{
    uint32_t retry_after_ms = 0;
    return bench_submit_as(bench, workers, index, 0, 0, 0, &retry_after_ms);
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
    assert_int_equal(sg_workers_new(3, TEST_MAX_QUEUED, 0, &workers), SIGNET_OK);
    for (unsigned i = 0; i < TEST_NUM_ITEMS; i++) {
        assert_int_equal(bench_submit(&bench, workers, i), SG_WORKERS_QUEUED);
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
    assert_int_equal(sg_workers_new(3, 6, 0, &workers), SIGNET_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bench_submit(&bench, workers, i), SG_WORKERS_QUEUED);
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
    assert_int_equal(sg_workers_new(2, 2, 0, &workers), SIGNET_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bench_submit(&bench, workers, i), SG_WORKERS_QUEUED);
    }
    bench_wait_begun(&bench, 2); /* now the queue is empty and no thread takes from it */
    assert_int_equal(bench_submit(&bench, workers, 2), SG_WORKERS_QUEUED);
    assert_int_equal(bench_submit(&bench, workers, 3), SG_WORKERS_QUEUED);
    assert_int_equal(bench_submit(&bench, workers, 4), SG_WORKERS_FULL);
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
    assert_int_equal(sg_workers_new(1, TEST_MAX_QUEUED, 0, &workers), SIGNET_OK);
    assert_int_equal(bench_submit(&bench, workers, 0), SG_WORKERS_QUEUED);
    bench_wait_begun(&bench, 1);
    for (unsigned i = 1; i < TEST_NUM_ITEMS; i++) {
        assert_int_equal(bench_submit(&bench, workers, i), SG_WORKERS_QUEUED);
    }
    assert_int_equal(bench.num_done, 0);
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench.num_done, TEST_NUM_ITEMS);
    bench_fini(&bench);
}

/* ---- Fairness ---- */

/* One worker, held by the first item, so that everything else waits. */
static struct sg_workers *bench_hold(struct bench *bench, unsigned num_threads)
{
    struct sg_workers *workers = NULL;
    bench_init(bench, num_threads);
    assert_int_equal(sg_workers_new(num_threads, TEST_MAX_QUEUED, 0, &workers), SIGNET_OK);
    for (unsigned i = 0; i < num_threads; i++) {
        uint32_t retry_after_ms = 0;
        assert_int_equal(bench_submit_as(bench, workers, i, 3, 1000, 0, &retry_after_ms),
                         SG_WORKERS_QUEUED);
    }
    bench_wait_begun(bench, num_threads);
    return workers;
}

static void bench_queue(struct bench *bench, struct sg_workers *workers, unsigned first,
                        unsigned num, unsigned flow, uint64_t cost_us)
{
    uint32_t retry_after_ms = 0;
    for (unsigned i = first; i < first + num; i++) {
        assert_int_equal(bench_submit_as(bench, workers, i, flow, cost_us, 0, &retry_after_ms),
                         SG_WORKERS_QUEUED);
    }
}

/* How many of items first to first + num - 1 are among those begun up to the end-th. */
static unsigned bench_count(const struct bench *bench, unsigned end, unsigned first, unsigned num)
{
    unsigned found = 0;
    for (unsigned i = 0; i < end; i++) {
        found += bench->order[i] >= first && bench->order[i] < first + num ? 1u : 0u;
    }
    return found;
}

static void test_workers__serve_flows_in_turn_whatever_they_queued(void **state)
{
    (void)state;
    static struct bench bench;
    struct sg_workers *workers = bench_hold(&bench, 1);
    bench_queue(&bench, workers, 1, 100, 0, 1000);
    bench_queue(&bench, workers, 101, 4, 1, 1000);
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench_count(&bench, 9, 101, 4), 4); /* the holder, and 4 of each */
    assert_int_equal(bench_count(&bench, 3, 101, 4), 1);
    assert_int_equal(bench.num_done, 105);
    bench_fini(&bench);
}

static void test_workers__share_by_cost_and_not_by_number(void **state)
{
    (void)state;
    static struct bench bench;
    struct sg_workers *workers = bench_hold(&bench, 1);
    bench_queue(&bench, workers, 1, 10, 0, 10000);
    bench_queue(&bench, workers, 11, 100, 1, 1000);
    bench_open(&bench);
    sg_workers_free(workers);
    /* 10 ms of one against 10 of 1 ms of the other. */
    assert_in_range(bench_count(&bench, 1 + 33, 1, 10), 3, 4);
    assert_in_range(bench_count(&bench, 1 + 66, 1, 10), 6, 7);
    bench_fini(&bench);
}

/* What a flow did not use while it was away is not owed to it. */
static void test_fair_queue__a_flow_that_comes_late_gets_no_more_than_its_share(void **state)
{
    (void)state;
    struct sg_fair_queue queue = {0};
    struct sg_fair_flow old = {0};
    struct sg_fair_flow late = {0};
    struct sg_fair_flow *flow = NULL;
    struct sg_fair_item items[40];
    for (unsigned i = 0; i < 20; i++) {
        items[i].cost = 1000;
        sg_fair_queue_add(&queue, &old, &items[i]);
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_ptr_equal(sg_fair_queue_take(&queue, 0, 0, &flow), &items[i]);
    }
    for (unsigned i = 20; i < 40; i++) {
        items[i].cost = 1000;
        sg_fair_queue_add(&queue, &late, &items[i]);
    }
    unsigned num_late = 0;
    for (unsigned i = 0; i < 10; i++) {
        assert_non_null(sg_fair_queue_take(&queue, 0, 0, &flow));
        num_late += flow == &late ? 1u : 0u;
    }
    assert_in_range(num_late, 5, 6);
}

static void test_fair_queue__charges_afterwards_for_what_was_spent(void **state)
{
    (void)state;
    struct sg_fair_queue queue = {0};
    struct sg_fair_flow flows[3] = {{0}};
    struct sg_fair_flow *flow = NULL;
    struct sg_fair_item items[3][30];
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 30; j++) {
            items[i][j].cost = 1;
            sg_fair_queue_add(&queue, &flows[i], &items[i][j]);
        }
    }
    unsigned nums[3] = {0};
    for (unsigned i = 0; i < 33; i++) {
        assert_non_null(sg_fair_queue_take(&queue, 0, 0, &flow));
        unsigned index = (unsigned)(flow - flows);
        nums[index]++;
        sg_fair_queue_charge(&queue, flow, index == 0 ? 9 : 0); /* ten times the others */
    }
    assert_in_range(nums[0], 1, 3);
    assert_in_range(nums[1], 14, 17);
    assert_in_range(nums[2], 14, 17);
    assert_int_equal(queue.num_items, 90 - 33);
    for (unsigned i = 0; i < 57; i++) {
        assert_non_null(sg_fair_queue_take(&queue, 0, 0, &flow));
    }
    assert_null(sg_fair_queue_take(&queue, 0, 0, &flow));
    assert_int_equal(queue.queued, 0);
    assert_int_equal(queue.num_flows, 0);
}

/* Two workers that both have work of one flow: the first that is free is another's, and stays so. */
static void test_workers__are_not_all_one_flows_while_others_wait(void **state)
{
    (void)state;
    static struct bench bench;
    struct sg_workers *workers = bench_hold(&bench, 2); /* both have flow 3 */
    for (unsigned i = 2; i < 12; i++) {
        bench.items[i].waits = true;
    }
    bench_queue(&bench, workers, 2, 8, 3, 1);         /* cheap: its turn by cost would come often */
    bench_queue(&bench, workers, 10, 1, 1, 10000000); /* dear */
    bench_queue(&bench, workers, 11, 1, 2, 10000000);
    bench_open(&bench);
    sg_workers_free(workers);
    /* The two that were held, then at least one of each of the others before flow 3 has both again. */
    assert_true(bench_count(&bench, 5, 10, 2) >= 1);
    assert_int_equal(bench.num_done, 12);
    bench_fini(&bench);
}

static void test_workers__leave_room_for_another_flow(void **state)
{
    (void)state;
    static struct bench bench;
    struct sg_workers *workers = NULL;
    uint32_t retry_after_ms = 0;
    bench_init(&bench, 1);
    assert_int_equal(sg_workers_new(1, 10, 0, &workers), SIGNET_OK);
    assert_int_equal(bench_submit_as(&bench, workers, 0, 3, 0, 0, &retry_after_ms),
                     SG_WORKERS_QUEUED);
    bench_wait_begun(&bench, 1);
    unsigned num = 0;
    while (bench_submit_as(&bench, workers, 1 + num, 0, 0, 0, &retry_after_ms) ==
           SG_WORKERS_QUEUED) {
        num++;
    }
    assert_int_equal(num, 6); /* one more than what is left */
    assert_true(retry_after_ms > 0);
    assert_int_equal(bench_submit_as(&bench, workers, 20, 1, 0, 0, &retry_after_ms),
                     SG_WORKERS_QUEUED);
    bench_open(&bench);
    sg_workers_free(workers);
    bench_fini(&bench);
}

/* ---- Deadlines ---- */

static void test_workers__refuse_what_would_be_late(void **state)
{
    (void)state;
    static struct bench bench;
    uint32_t retry_after_ms = 0;
    struct sg_workers *workers = bench_hold(&bench, 1); /* 1 ms runs */
    bench_queue(&bench, workers, 1, 10, 0, 10000);      /* 100 ms */
    /* 1 + 100 + 10, at 1000. */
    assert_int_equal(bench_submit_as(&bench, workers, 20, 0, 10000, 1111, &retry_after_ms),
                     SG_WORKERS_QUEUED);
    assert_int_equal(bench_submit_as(&bench, workers, 21, 0, 10000, 1111, &retry_after_ms),
                     SG_WORKERS_LATE);
    assert_int_equal(retry_after_ms, 10);
    /* Another flow's is served after as much of the first as of its own. */
    assert_int_equal(bench_submit_as(&bench, workers, 22, 1, 10000, 1021, &retry_after_ms),
                     SG_WORKERS_QUEUED);
    assert_int_equal(bench_submit_as(&bench, workers, 23, 1, 10000, 1040, &retry_after_ms),
                     SG_WORKERS_LATE);
    assert_int_equal(retry_after_ms, 1);
    bench_open(&bench);
    sg_workers_free(workers);
    assert_int_equal(bench.items[21].num_runs + bench.items[23].num_runs, 0);
    bench_fini(&bench);
}

/* Its own deadline will say so, if it does not come true. */
static void test_workers__begin_what_is_alone_whatever_it_costs(void **state)
{
    (void)state;
    static struct bench bench;
    struct sg_workers *workers = NULL;
    uint32_t retry_after_ms = 0;
    bench_init(&bench, 0);
    assert_int_equal(sg_workers_new(1, 10, 0, &workers), SIGNET_OK);
    assert_int_equal(bench_submit_as(&bench, workers, 0, 0, 1000000, 1001, &retry_after_ms),
                     SG_WORKERS_QUEUED);
    sg_workers_free(workers);
    assert_int_equal(bench.num_done, 1);
    bench_fini(&bench);
}

static void test_workers__senseless_sizes_are_refused(void **state)
{
    (void)state;
    struct sg_workers *workers = NULL;
    assert_int_equal(sg_workers_new(0, 1, 0, &workers), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_workers_new(65, 1, 0, &workers), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_workers_new(1, 0, 0, &workers), SIGNET_INVALID_ARGUMENT);
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
        cmocka_unit_test(test_workers__serve_flows_in_turn_whatever_they_queued),
        cmocka_unit_test(test_workers__share_by_cost_and_not_by_number),
        cmocka_unit_test(test_fair_queue__a_flow_that_comes_late_gets_no_more_than_its_share),
        cmocka_unit_test(test_fair_queue__charges_afterwards_for_what_was_spent),
        cmocka_unit_test(test_workers__are_not_all_one_flows_while_others_wait),
        cmocka_unit_test(test_workers__leave_room_for_another_flow),
        cmocka_unit_test(test_workers__refuse_what_would_be_late),
        cmocka_unit_test(test_workers__begin_what_is_alone_whatever_it_costs),
        cmocka_unit_test(test_workers__senseless_sizes_are_refused),
    };
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
