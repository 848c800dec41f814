/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener with a dispatch of the test's own, which echoes, dawdles, inflates or fails as the first
 * byte of a request says. What peers can do to the real daemon is in integration/test_hostile_peers.c.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/sp.h"
#include "server/listener.h"
#include "server/listener_threads.h"
#include "server/log.h"
#include "server/quota.h"
#include "server/workers.h"
#include "tests/support/files.h"
#include "tests/support/sp_client.h"

#define TEST_ID(n) (0x80000000u | (uint32_t)(n))

/* ---- The dispatch and log of these tests ---- */

/* First byte of a request. */
enum stub_kind {
    STUB_ECHO = 'e',
    STUB_SLOW = 's',    /* on a worker, once the gate is open */
    STUB_BIG = 'b',     /* answers with 64 KiB */
    STUB_PEER = 'p',    /* answers with struct sg_peer */
    STUB_CROSSES = 'x', /* needs the keyholder, which waits for the gate */
    STUB_NO_CALL = 'n', /* as without memory */
    STUB_NO_ANSWER = 'f'
};
#define STUB_BIG_LEN 65536u

struct sg_call {
    struct sg_peer peer;
    size_t headroom, len;
    uint8_t bytes[];
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool gate_open;
    unsigned num_slow_begun, num_slow_done, num_logged;
    unsigned num_crossing, num_crossings;
} stub = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void sg_log(enum sg_log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
    pthread_mutex_lock(&stub.mutex);
    stub.num_logged++;
    pthread_mutex_unlock(&stub.mutex);
}

struct sg_call *sg_call_begin(const struct sg_service *service, const struct sg_peer *peer,
                              const uint8_t *request, size_t len, struct sg_now now,
                              size_t headroom)
{
    (void)service;
    (void)now;
    if (len > 0 && request[0] == STUB_NO_CALL) {
        return NULL;
    }
    struct sg_call *call = malloc(sizeof(*call) + len);
    *call = (struct sg_call){.peer = *peer, .headroom = headroom, .len = len};
    memcpy(call->bytes, request, len);
    return call;
}

uint64_t sg_call_cost_us(const struct sg_call *call)
{
    (void)call;
    return 0;
}

uint64_t sg_call_deadline_ms(const struct sg_call *call)
{
    (void)call;
    return 0;
}

size_t sg_call_memory(const struct sg_call *call)
{
    return sizeof(*call) + call->len;
}

bool sg_call_is_slow(const struct sg_call *call)
{
    return call->len > 0 && call->bytes[0] == STUB_SLOW;
}

static bool stub_answer(struct sg_call *call, const void *bytes, size_t len, bool is_error,
                        struct sg_response *out)
{
    out->len = call->headroom + len;
    out->bytes = malloc(out->len);
    out->is_error = is_error;
    memcpy(out->bytes + call->headroom, bytes, len);
    free(call);
    return true;
}

static void stub_wait_for_gate(void)
{
    pthread_mutex_lock(&stub.mutex);
    stub.num_slow_begun++;
    pthread_cond_broadcast(&stub.changed);
    while (!stub.gate_open) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    stub.num_slow_done++;
    pthread_mutex_unlock(&stub.mutex);
}

bool sg_call_finish(struct sg_call *call, struct sg_now now, struct sg_response *out)
{
    static const uint8_t big[STUB_BIG_LEN];
    assert_true(now.mono_ms != 0 && now.wall_s != 0);
    switch (call->len > 0 ? call->bytes[0] : 0) {
    case STUB_SLOW:
        stub_wait_for_gate();
        return stub_answer(call, call->bytes, call->len, false, out);
    case STUB_BIG:
        return stub_answer(call, big, sizeof(big), false, out);
    case STUB_PEER:
        return stub_answer(call, &call->peer, sizeof(call->peer), false, out);
    case STUB_NO_ANSWER:
        free(call);
        return false;
    default:
        return stub_answer(call, call->bytes, call->len, false, out);
    }
}

enum sg_call_progress sg_call_work(struct sg_call *call, struct sg_now now, struct sg_response *out)
{
    if (call->len > 0 && call->bytes[0] == STUB_CROSSES) {
        return SG_CALL_CROSSES;
    }
    return sg_call_finish(call, now, out) ? SG_CALL_DONE : SG_CALL_FAILED;
}

/* Waits for the gate, as for a keyholder that is slow to answer. */
void sg_call_cross(struct sg_call *const *calls, size_t num, struct sg_now now,
                   const struct sg_keyholder_delay *delay)
{
    assert_true(now.mono_ms != 0);
    pthread_mutex_lock(&stub.mutex);
    bool is_late = !stub.gate_open;
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(calls[i]->bytes[0], STUB_CROSSES);
    }
    stub.num_crossing += (unsigned)num;
    stub.num_crossings++;
    pthread_cond_broadcast(&stub.changed);
    pthread_mutex_unlock(&stub.mutex);
    if (is_late && delay != NULL) {
        delay->note(delay->context);
        delay->note(delay->context); /* as for two packets */
    }
    pthread_mutex_lock(&stub.mutex);
    while (!stub.gate_open) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    pthread_mutex_unlock(&stub.mutex);
}

static void stub_wait_crossing(unsigned num)
{
    pthread_mutex_lock(&stub.mutex);
    while (stub.num_crossing < num) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    pthread_mutex_unlock(&stub.mutex);
}

bool sg_call_refuse(struct sg_call *call, enum sg_refusal why, uint32_t retry_after_ms,
                    struct sg_response *out)
{
    (void)retry_after_ms;
    return stub_answer(call, why == SG_REFUSE_BUSY ? "busy" : "stop", 4, true, out);
}

static void stub_set_gate(bool open)
{
    pthread_mutex_lock(&stub.mutex);
    stub.gate_open = open;
    if (!open) {
        stub.num_slow_begun = 0;
        stub.num_slow_done = 0;
        stub.num_logged = 0;
        stub.num_crossing = 0;
        stub.num_crossings = 0;
    }
    pthread_cond_broadcast(&stub.changed);
    pthread_mutex_unlock(&stub.mutex);
}

static void stub_wait_begun(unsigned num)
{
    pthread_mutex_lock(&stub.mutex);
    while (stub.num_slow_begun < num) {
        pthread_cond_wait(&stub.changed, &stub.mutex);
    }
    pthread_mutex_unlock(&stub.mutex);
}

/* ---- A listener of one's own ---- */

struct bed {
    char dir[96];
    char path[107];
    struct sg_listener_options options;
    struct sg_service service;
    struct sg_quota *quota;
    struct sg_workers *workers;
    struct sg_listener *listener;
};

static int bed_setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    test_temp_dir(bed->dir, sizeof(bed->dir));
    (void)snprintf(bed->path, sizeof(bed->path), "%.90s/s.sock", bed->dir);
    bed->options = (struct sg_listener_options){
        .path = bed->path,
        .mode = 0600,
        .limits = {.max_connections = 700,
                   .max_connections_per_uid = 700,
                   .max_in_flight = 64,
                   .max_in_flight_per_connection = 32,
                   .max_in_flight_per_uid = 64,
                   .max_buffer_mib = 16},
    };
    assert_int_equal(sg_workers_new(4, 64, 0, &bed->workers), SIGNET_OK);
    stub_set_gate(false);
    *state = bed;
    return 0;
}

/* Of the limits that the test has set. */
static void bed_make_quota(struct bed *bed)
{
    sg_quota_free(bed->quota);
    assert_int_equal(sg_quota_new(&bed->options.limits, 1, &bed->quota), SIGNET_OK);
    bed->options.quota = bed->quota;
}

static void bed_start(struct bed *bed)
{
    char error[256] = "";
    bed_make_quota(bed);
    signet_status status = sg_listener_start(&bed->options, &bed->service, bed->workers,
                                             &bed->listener, error, sizeof(error));
    if (status != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

static void bed_stop(struct bed *bed)
{
    sg_listener_stop(bed->listener, 1000);
    bed->listener = NULL;
}

static int bed_teardown(void **state)
{
    struct bed *bed = *state;
    stub_set_gate(true);
    sg_listener_stop(bed->listener, 1000);
    sg_workers_free(bed->workers);
    sg_quota_free(bed->quota);
    test_remove_tree(bed->dir);
    free(bed);
    return 0;
}

static void test_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Waits for what only the counters show. */
static void bed_wait_in_flight(struct bed *bed, uint32_t num)
{
    struct sg_server_stats stats;
    for (unsigned i = 0; i < 10000; i++) {
        sg_listener_read_stats(bed->listener, &stats);
        if (stats.num_in_flight == num) {
            return;
        }
        test_pause();
    }
    fail_msg("%u in flight, expected %u", stats.num_in_flight, num);
}

static void bed_wait_connections(struct bed *bed, uint32_t num)
{
    struct sg_server_stats stats;
    for (unsigned i = 0; i < 10000; i++) {
        sg_listener_read_stats(bed->listener, &stats);
        if (stats.num_connections == num) {
            return;
        }
        test_pause();
    }
    fail_msg("%u connections, expected %u", stats.num_connections, num);
}

static void expect_reply(int fd, uint32_t id, const void *body, size_t len)
{
    uint32_t got_id = 0;
    size_t got_len = 0;
    uint8_t *got = sp_client_receive(fd, &got_id, &got_len);
    assert_non_null(got);
    assert_int_equal(got_id, id);
    assert_int_equal(got_len, len);
    assert_memory_equal(got, body, len);
    free(got);
}

static void expect_served(struct bed *bed)
{
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "e hello", 7));
    expect_reply(fd, TEST_ID(1), "e hello", 7);
    (void)close(fd);
}

static void expect_protocol_errors(struct bed *bed, uint64_t num)
{
    struct sg_server_stats stats;
    sg_listener_read_stats(bed->listener, &stats);
    assert_int_equal(stats.num_protocol_errors, num);
}

/* ---- Serving ---- */

static void test_request__is_answered_with_its_id(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(0x123456), "e one", 5));
    expect_reply(fd, TEST_ID(0x123456), "e one", 5);
    assert_true(sp_client_send(fd, TEST_ID(0), NULL, 0));
    expect_reply(fd, TEST_ID(0), "", 0);
    (void)close(fd);
    struct sg_server_stats stats;
    sg_listener_read_stats(bed->listener, &stats);
    assert_int_equal(stats.num_requests, 2);
    assert_int_equal(stats.num_errors, 0);
    assert_int_equal(stats.max_connections, 700);
}

static void test_request__arriving_byte_by_byte_is_answered(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_connect(bed->path);
    uint8_t bytes[SG_SP_HANDSHAKE_LEN + SG_SP_HEADER_LEN + 3];
    sg_sp_handshake(SG_SP_REQ0, bytes);
    sg_sp_header(TEST_ID(9), 3, bytes + SG_SP_HANDSHAKE_LEN);
    memcpy(bytes + SG_SP_HANDSHAKE_LEN + SG_SP_HEADER_LEN, "e12", 3);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_true(sp_client_write(fd, bytes + i, 1));
    }
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    assert_int_equal(recv(fd, greeting, sizeof(greeting), MSG_WAITALL), sizeof(greeting));
    assert_true(sg_sp_handshake_ok(greeting, SG_SP_REP0));
    expect_reply(fd, TEST_ID(9), "e12", 3);
    (void)close(fd);
}

static void test_request__many_in_one_write_are_all_answered(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    enum {
        NUM = 500,
        FRAME = SG_SP_HEADER_LEN + 5
    };
    static uint8_t bytes[NUM * FRAME];
    for (unsigned i = 0; i < NUM; i++) {
        sg_sp_header(TEST_ID(i), 5, bytes + i * FRAME);
        memcpy(bytes + i * FRAME + SG_SP_HEADER_LEN, "e1234", 5);
    }
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_write(fd, bytes, sizeof(bytes)));
    for (unsigned i = 0; i < NUM; i++) {
        expect_reply(fd, TEST_ID(i), "e1234", 5);
    }
    (void)close(fd);
}

static void test_request__of_any_size_up_to_the_limit_is_answered(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    const size_t lens[] = {
        1, 2034, 2035, 2036, 2048, 65536, 70000, 600000, SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN};
    uint8_t *body = calloc(1, SG_MAX_REQUEST_FRAME);
    int fd = sp_client_open(bed->path);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (size_t at = 0; at < lens[i]; at++) {
            body[at] = (uint8_t)(at * 31 + i);
        }
        body[0] = STUB_ECHO;
        assert_true(sp_client_send(fd, TEST_ID(i), body, lens[i]));
        assert_true(sp_client_send(fd, TEST_ID(100), "e", 1));
        expect_reply(fd, TEST_ID(i), body, lens[i]);
        expect_reply(fd, TEST_ID(100), "e", 1);
    }
    (void)close(fd);
    free(body);
}

static void test_request__slow_does_not_hold_up_the_next(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "s", 1));
    assert_true(sp_client_send(fd, TEST_ID(2), "e", 1));
    expect_reply(fd, TEST_ID(2), "e", 1);
    stub_set_gate(true);
    expect_reply(fd, TEST_ID(1), "s", 1);
    (void)close(fd);
}

static void test_request__comes_with_who_the_kernel_says(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    uint32_t id = 0;
    size_t len = 0;
    struct sg_peer peer;
    assert_true(sp_client_send(fd, TEST_ID(1), "p", 1));
    uint8_t *reply = sp_client_receive(fd, &id, &len);
    assert_non_null(reply);
    assert_int_equal(len, sizeof(peer));
    memcpy(&peer, reply, sizeof(peer));
    free(reply);
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(sg_quota_uid(peer.account), geteuid());
    (void)close(fd);
}

static void test_request__that_cannot_be_answered_ends_its_connection_only(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    const char *const kinds[] = {"n", "f"};
    for (size_t i = 0; i < 2; i++) {
        int fd = sp_client_open(bed->path);
        assert_true(sp_client_send(fd, TEST_ID(1), kinds[i], 1));
        sp_client_wait_closed(fd);
        (void)close(fd);
        expect_served(bed);
    }
}

/* ---- Bounds ---- */

static void test_in_flight__is_bounded_for_a_connection(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_in_flight_per_connection = 3;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(sp_client_send(fd, TEST_ID(i), "s", 1));
    }
    bed_wait_in_flight(bed, 3);
    stub_wait_begun(3);
    expect_served(bed);
    pthread_mutex_lock(&stub.mutex);
    assert_int_equal(stub.num_slow_begun, 3);
    pthread_mutex_unlock(&stub.mutex);
    stub_set_gate(true);
    uint32_t sum = 0;
    for (unsigned i = 0; i < 40; i++) {
        uint32_t id = 0;
        size_t len = 0;
        uint8_t *reply = sp_client_receive(fd, &id, &len);
        assert_non_null(reply);
        sum += id & 0xffu;
        free(reply);
    }
    assert_int_equal(sum, 40 * 39 / 2);
    (void)close(fd);
    bed_wait_in_flight(bed, 0);
}

static void test_in_flight__beyond_the_daemons_limit_is_refused_as_busy(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_in_flight = 2;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "s", 1));
    assert_true(sp_client_send(fd, TEST_ID(2), "s", 1));
    assert_true(sp_client_send(fd, TEST_ID(3), "s", 1));
    expect_reply(fd, TEST_ID(3), "busy", 4);
    struct sg_server_stats stats;
    sg_listener_read_stats(bed->listener, &stats);
    assert_int_equal(stats.num_errors, 1);
    assert_int_equal(stats.num_in_flight, 2);
    (void)close(fd);
}

static void test_in_flight__with_the_queue_full_is_refused_as_busy(void **state)
{
    struct bed *bed = *state;
    sg_workers_free(bed->workers);
    bed->workers = NULL;
    assert_int_equal(sg_workers_new(1, 1, 0, &bed->workers), SIGNET_OK);
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "s", 1));
    stub_wait_begun(1);
    assert_true(sp_client_send(fd, TEST_ID(2), "s", 1));
    assert_true(sp_client_send(fd, TEST_ID(3), "s", 1));
    expect_reply(fd, TEST_ID(3), "busy", 4);
    bed_wait_in_flight(bed, 2);
    (void)close(fd);
}

/* ---- Uids ---- */

static struct sg_quota_account *bed_account(struct bed *bed)
{
    struct sg_quota_account *account = NULL;
    assert_int_equal(sg_quota_join(bed->quota, geteuid(), 1, &account), SG_QUOTA_MAY);
    sg_quota_leave(bed->quota, account); /* a connection of the test has it too */
    return account;
}

static uint64_t bed_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void test_in_flight__beyond_the_uids_limit_is_refused_as_busy(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_in_flight_per_uid = 2;
    bed_start(bed);
    int first = sp_client_open(bed->path);
    int second = sp_client_open(bed->path);
    assert_true(sp_client_send(first, TEST_ID(1), "s", 1));
    assert_true(sp_client_send(second, TEST_ID(2), "s", 1));
    bed_wait_in_flight(bed, 2);
    assert_true(sp_client_send(first, TEST_ID(3), "s", 1));
    expect_reply(first, TEST_ID(3), "busy", 4);
    stub_set_gate(true);
    expect_reply(first, TEST_ID(1), "s", 1);
    expect_reply(second, TEST_ID(2), "s", 1);
    bed_wait_in_flight(bed, 0);
    assert_true(sp_client_send(first, TEST_ID(4), "s", 1));
    expect_reply(first, TEST_ID(4), "s", 1);
    (void)close(first);
    (void)close(second);
}

/* What it sends waits, and is answered when its time has come. */
static void test_uid__that_hammers_is_left_alone_and_then_answered(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    struct sg_quota_account *account = bed_account(bed);
    for (unsigned i = 0; i < 600; i++) {
        sg_quota_note_refusal(account, bed_now_us());
    }
    uint64_t again_at_us = sg_quota_read_again_at_us(account);
    assert_true(again_at_us > bed_now_us());
    assert_true(sp_client_send(fd, TEST_ID(1), "e", 1));
    expect_reply(fd, TEST_ID(1), "e", 1);
    assert_true(bed_now_us() + 1000 >= again_at_us);
    (void)close(fd);
}

static void test_uid__that_hammers_does_not_hold_up_a_stop(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    struct sg_quota_account *account = bed_account(bed);
    for (unsigned i = 0; i < 600; i++) {
        sg_quota_note_refusal(account, bed_now_us());
    }
    assert_true(sp_client_send(fd, TEST_ID(1), "e", 1));
    bed_stop(bed);
    (void)close(fd);
}

static void test_uid__that_sends_garbage_is_soon_refused_at_the_door(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.cpu_per_uid_percent = 1;
    bed->options.limits.cpu_burst_ms = 200;
    bed_start(bed);
    struct sg_server_stats stats = {0};
    unsigned num = 0;
    while (stats.num_refused_connections == 0 && num < 1000) {
        int fd = sp_client_connect(bed->path);
        (void)sp_client_write(fd, "GET / HT", 8);
        sp_client_wait_closed(fd);
        (void)close(fd);
        sg_listener_read_stats(bed->listener, &stats);
        num++;
    }
    assert_true(stats.num_refused_connections > 0);
    assert_in_range(num, 6, 20); /* 300 ms at 50 each */
    /* Of more, 16 are refused at once; the next only when 160 ms are over. */
    uint64_t began_us = bed_now_us();
    for (unsigned i = 0; i < 33; i++) {
        int fd = sp_client_connect(bed->path);
        sp_client_wait_closed(fd);
        (void)close(fd);
    }
    assert_true(bed_now_us() - began_us >= 160000);
}

/* ---- Crossing to the keyholder ---- */

static void test_crossing__does_not_hold_up_who_needs_none(void **state)
{
    struct bed *bed = *state;
    bed->options.num_threads = 2;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "x", 1));
    stub_wait_crossing(1);
    expect_served(bed);
    stub_set_gate(true);
    expect_reply(fd, TEST_ID(1), "x", 1);
    (void)close(fd);
}

/* As in the daemon, where all of nng's threads but one are at rest. */
static void test_crossing__that_is_late_leaves_a_thread_to_others(void **state)
{
    struct bed *bed = *state;
    struct sg_listener_threads *resting = sg_listener_threads_rest();
    bed->options.num_threads = 2;
    bed->options.threads = resting;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    for (unsigned i = 0; i < 20; i++) {
        stub_set_gate(false);
        assert_true(sp_client_send(fd, TEST_ID(i), "x", 1));
        stub_wait_crossing(1);
        expect_served(bed); /* a new connection */
        stub_set_gate(true);
        expect_reply(fd, TEST_ID(i), "x", 1);
    }
    (void)close(fd);
    bed_stop(bed);
    sg_listener_threads_wake(resting);
}

static void test_crossing__of_many_connections_is_answered(void **state)
{
    struct bed *bed = *state;
    bed->options.num_threads = 1;
    bed_start(bed);
    enum {
        NUM = 10
    };
    int fds[NUM];
    for (unsigned i = 0; i < NUM; i++) {
        fds[i] = sp_client_open(bed->path);
    }
    assert_true(sp_client_send(fds[0], TEST_ID(0), "x", 1));
    stub_wait_crossing(1);
    for (unsigned i = 1; i < NUM; i++) {
        assert_true(sp_client_send(fds[i], TEST_ID(i), "x", 1));
    }
    stub_set_gate(true);
    for (unsigned i = 0; i < NUM; i++) {
        expect_reply(fds[i], TEST_ID(i), "x", 1);
        (void)close(fds[i]);
    }
    assert_int_equal(stub.num_crossing, NUM);
    assert_in_range(stub.num_crossings, 2, NUM);
    bed_wait_connections(bed, 0);
}

static void test_crossing__of_one_buffer_is_one_as_far_as_it_goes(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    enum {
        NUM = 100, /* more than cross at once */
        FRAME = SG_SP_HEADER_LEN + 1
    };
    static uint8_t bytes[NUM * FRAME];
    for (unsigned i = 0; i < NUM; i++) {
        sg_sp_header(TEST_ID(i), 1, bytes + i * FRAME);
        bytes[i * FRAME + SG_SP_HEADER_LEN] = STUB_CROSSES;
    }
    int fd = sp_client_open(bed->path);
    stub_set_gate(true);
    assert_true(sp_client_write(fd, bytes, sizeof(bytes)));
    for (unsigned i = 0; i < NUM; i++) {
        expect_reply(fd, TEST_ID(i), "x", 1);
    }
    (void)close(fd);
    assert_int_equal(stub.num_crossing, NUM);
    assert_true(stub.num_crossings < NUM);
}

static void test_crossing__of_a_peer_that_has_gone_is_forgotten(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "x", 1));
    stub_wait_crossing(1);
    (void)close(fd);
    stub_set_gate(true);
    bed_wait_connections(bed, 0);
    expect_served(bed);
}

static void test_connections__beyond_the_limit_are_closed_at_once(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_connections = 2;
    bed_start(bed);
    int first = sp_client_open(bed->path);
    int second = sp_client_open(bed->path);
    int third = sp_client_connect(bed->path);
    sp_client_wait_closed(third);
    (void)close(third);
    struct sg_server_stats stats;
    sg_listener_read_stats(bed->listener, &stats);
    assert_int_equal(stats.num_refused_connections, 1);
    assert_int_equal(stats.num_connections, 2);
    (void)close(first);
    bed_wait_connections(bed, 1);
    expect_served(bed);
    (void)close(second);
}

static void test_connections__of_one_uid_beyond_its_limit_are_closed_at_once(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_connections_per_uid = 1;
    bed_start(bed);
    int first = sp_client_open(bed->path);
    int second = sp_client_connect(bed->path);
    sp_client_wait_closed(second);
    (void)close(second);
    assert_true(sp_client_send(first, TEST_ID(1), "e", 1));
    expect_reply(first, TEST_ID(1), "e", 1);
    (void)close(first);
    bed_wait_connections(bed, 0);
    expect_served(bed);
}

static void test_connections__long_idle_make_room_for_a_new_one(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_connections = 2;
    bed->options.evict_idle_ms = 1;
    bed_start(bed);
    int oldest = sp_client_open(bed->path);
    assert_true(sp_client_send(oldest, TEST_ID(1), "e", 1));
    expect_reply(oldest, TEST_ID(1), "e", 1);
    int busy = sp_client_open(bed->path);
    assert_true(sp_client_send(busy, TEST_ID(1), "s", 1));
    stub_wait_begun(1);
    test_pause();
    expect_served(bed);
    sp_client_wait_closed(oldest);
    (void)close(oldest);
    stub_set_gate(true);
    expect_reply(busy, TEST_ID(1), "s", 1);
    (void)close(busy);
}

static void test_connections__out_of_descriptors_are_served_when_there_are_some(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    expect_served(bed);
    bed_wait_connections(bed, 0);
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    /* The connecting side has its descriptor already; the accepting side gets none. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest_free = dup(fd);
    (void)close(lowest_free);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest_free, .rlim_max = files.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    unsigned num_logged = 0;
    while (num_logged == 0) {
        pthread_mutex_lock(&stub.mutex);
        num_logged = stub.num_logged;
        pthread_mutex_unlock(&stub.mutex);
        test_pause();
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    expect_served(bed);
    (void)close(fd);
    assert_int_equal(stub.num_logged, 1);
}

static void test_buffers__beyond_the_daemons_budget_close_the_connection(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.max_buffer_mib = 2;
    bed->options.half_message_ms = 30000;
    bed_start(bed);
    /* Each has most of a message of 1 MiB, and needs half as much again to grow its buffer. */
    size_t part = SG_MAX_REQUEST_FRAME - 1000;
    uint8_t *frame = calloc(1, part);
    sg_sp_header(TEST_ID(1), SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN, frame);
    int first = sp_client_open(bed->path);
    int second = sp_client_open(bed->path);
    (void)sp_client_write(first, frame, part);
    (void)sp_client_write(second, frame, part);
    struct sg_server_stats stats = {0};
    while (stats.num_refused_connections == 0) {
        sg_listener_read_stats(bed->listener, &stats);
        test_pause();
    }
    expect_served(bed);
    (void)close(first);
    (void)close(second);
    bed_wait_connections(bed, 0);
    /* All of it came back. */
    int third = sp_client_open(bed->path);
    assert_true(sp_client_write(third, frame, part));
    assert_true(sp_client_write(third, frame, 1000 + 9));
    uint32_t id = 0;
    size_t len = 0;
    uint8_t *reply = sp_client_receive(third, &id, &len);
    assert_non_null(reply);
    assert_int_equal(len, SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN);
    free(reply);
    (void)close(third);
    free(frame);
}

/* ---- Deadlines and broken peers ---- */

static void test_handshake__not_sent_in_time_closes(void **state)
{
    struct bed *bed = *state;
    bed->options.handshake_ms = 30;
    bed_start(bed);
    int silent = sp_client_connect(bed->path);
    int partial = sp_client_connect(bed->path);
    assert_true(sp_client_write(partial, "\0SP", 3));
    sp_client_wait_closed(silent);
    sp_client_wait_closed(partial);
    expect_protocol_errors(bed, 2);
    expect_served(bed);
    (void)close(silent);
    (void)close(partial);
}

static void test_handshake__wrong_closes_at_once(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    const char *const greetings[] = {"GET / HT", "\0SP\0\0\x31\0\0", "\0SP\0\0\x30\0\x01"};
    for (size_t i = 0; i < 3; i++) {
        int fd = sp_client_connect(bed->path);
        assert_true(sp_client_write(fd, greetings[i], 8));
        sp_client_wait_closed(fd);
        expect_protocol_errors(bed, i + 1);
        (void)close(fd);
    }
    expect_served(bed);
}

static void test_message__not_whole_in_time_closes(void **state)
{
    struct bed *bed = *state;
    bed->options.half_message_ms = 30;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    uint8_t header[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID(1), 10, header);
    assert_true(sp_client_write(fd, header, sizeof(header)));
    sp_client_wait_closed(fd);
    expect_protocol_errors(bed, 1);
    (void)close(fd);
    expect_served(bed);
}

static void test_message__trickling_does_not_renew_its_time(void **state)
{
    struct bed *bed = *state;
    bed->options.half_message_ms = 100;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    uint8_t header[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID(1), SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN, header);
    assert_true(sp_client_write(fd, header, sizeof(header)));
    while (sp_client_write(fd, "x", 1)) {
        test_pause();
    }
    expect_protocol_errors(bed, 1);
    (void)close(fd);
    expect_served(bed);
}

static void test_message__between_messages_there_is_no_deadline(void **state)
{
    struct bed *bed = *state;
    bed->options.handshake_ms = 40;
    bed->options.half_message_ms = 40;
    bed_start(bed);
    int idle = sp_client_open(bed->path);
    /* The deadlines of one that came later have passed when this one is closed. */
    int silent = sp_client_connect(bed->path);
    sp_client_wait_closed(silent);
    assert_true(sp_client_send(idle, TEST_ID(1), "e", 1));
    expect_reply(idle, TEST_ID(1), "e", 1);
    (void)close(idle);
    (void)close(silent);
}

static void test_message__with_an_impossible_length_closes_at_once(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    const char *const headers[] = {"\x01\xff\xff\xff\xff\xff\xff\xff\xff",
                                   "\x01\0\0\0\0\0\x10\0\x01", "\x01\0\0\0\0\0\0\0\x03",
                                   "\x02\0\0\0\0\0\0\0\x04"};
    for (size_t i = 0; i < 4; i++) {
        int fd = sp_client_open(bed->path);
        assert_true(sp_client_write(fd, headers[i], 9));
        sp_client_wait_closed(fd);
        expect_protocol_errors(bed, i + 1);
        (void)close(fd);
    }
    expect_served(bed);
}

static void test_replies__never_read_close_the_connection(void **state)
{
    struct bed *bed = *state;
    bed->options.write_ms = 100;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    /* The daemon stops reading once enough is unsent; what this sends then waits in the socket until
     * the connection is closed. */
    unsigned num_sent = 0;
    while (sp_client_send(fd, TEST_ID(num_sent), "b", 1)) {
        num_sent++;
    }
    bed_wait_connections(bed, 0);
    struct sg_server_stats stats;
    sg_listener_read_stats(bed->listener, &stats);
    assert_true(stats.num_requests < 64);
    assert_int_equal(stats.num_protocol_errors, 1);
    (void)close(fd);
    expect_served(bed);
}

static void test_replies__read_late_arrive_whole(void **state)
{
    struct bed *bed = *state;
    bed->options.write_ms = 30000;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(sp_client_send(fd, TEST_ID(i), "b", 1));
    }
    expect_served(bed);
    static const uint8_t big[STUB_BIG_LEN];
    for (unsigned i = 0; i < 50; i++) {
        expect_reply(fd, TEST_ID(i), big, sizeof(big));
    }
    (void)close(fd);
}

static void test_replies__read_in_trickles_do_not_renew_the_deadline(void **state)
{
    struct bed *bed = *state;
    bed->options.write_ms = 100;
    bed_start(bed);
    enum {
        NUM = 50
    };
    int fd = sp_client_open(bed->path);
    for (unsigned i = 0; i < NUM; i++) {
        assert_true(sp_client_send(fd, TEST_ID(i), "b", 1));
    }
    size_t num_read = 0;
    ssize_t len;
    uint8_t bytes[512];
    while ((len = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        num_read += (size_t)len;
        test_pause();
    }
    assert_true(num_read < (size_t)NUM * STUB_BIG_LEN);
    expect_protocol_errors(bed, 1);
    (void)close(fd);
    expect_served(bed);
}

static void test_peer__gone_with_work_in_flight_is_forgotten(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "s", 1));
    stub_wait_begun(1);
    (void)close(fd);
    expect_served(bed);
    stub_set_gate(true);
    bed_wait_connections(bed, 0);
    bed_wait_in_flight(bed, 0);
}

/* The first reply finds the peer gone; what waits behind it is not worth doing. */
static void test_peer__gone_has_its_waiting_work_dropped(void **state)
{
    struct bed *bed = *state;
    sg_workers_free(bed->workers);
    bed->workers = NULL;
    assert_int_equal(sg_workers_new(1, 8, 0, &bed->workers), SIGNET_OK);
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    for (unsigned i = 1; i <= 5; i++) {
        assert_true(sp_client_send(fd, TEST_ID(i), "s", 1));
    }
    stub_wait_begun(1);
    bed_wait_in_flight(bed, 5);
    (void)close(fd);
    stub_set_gate(true);
    bed_wait_connections(bed, 0);
    bed_wait_in_flight(bed, 0);
    pthread_mutex_lock(&stub.mutex);
    unsigned num_begun = stub.num_slow_begun;
    pthread_mutex_unlock(&stub.mutex);
    assert_int_equal(num_begun, 1);
}

static void test_idle_timeout__closes_the_idle_only(void **state)
{
    struct bed *bed = *state;
    bed->options.limits.idle_timeout_s = 1;
    bed_start(bed);
    int busy = sp_client_open(bed->path);
    assert_true(sp_client_send(busy, TEST_ID(1), "s", 1));
    stub_wait_begun(1);
    int idle = sp_client_open(bed->path);
    sp_client_wait_closed(idle);
    expect_protocol_errors(bed, 0);
    stub_set_gate(true);
    expect_reply(busy, TEST_ID(1), "s", 1);
    (void)close(busy);
    (void)close(idle);
}

/* ---- Start and stop ---- */

static void expect_start_refused(struct bed *bed, signet_status expected, const char *part)
{
    char error[256] = "";
    struct sg_listener *listener = NULL;
    if (bed->quota == NULL) {
        bed_make_quota(bed);
    }
    assert_int_equal(sg_listener_start(&bed->options, &bed->service, bed->workers, &listener, error,
                                       sizeof(error)),
                     expected);
    assert_null(listener);
    if (strstr(error, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, error);
    }
}

static void test_start__gives_the_socket_its_mode(void **state)
{
    struct bed *bed = *state;
    bed->options.mode = 0660;
    mode_t before = umask(0177);
    bed_start(bed);
    (void)umask(before);
    struct stat status;
    assert_int_equal(stat(bed->path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0660);
}

static void test_start__never_removes_what_is_not_a_socket(void **state)
{
    struct bed *bed = *state;
    test_write_file(bed->path, "precious", 8);
    expect_start_refused(bed, SIGNET_FAILED_PRECONDITION, "not a socket");
    char *content = test_read_file(bed->path, NULL);
    assert_string_equal(content, "precious");
    free(content);
}

static void test_start__beside_a_live_one_is_refused_and_leaves_it_alone(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    expect_start_refused(bed, SIGNET_FAILED_PRECONDITION, "another process listens there");
    expect_served(bed);
}

static void test_start__replaces_a_stale_socket(void **state)
{
    struct bed *bed = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    bed_start(bed);
    expect_served(bed);
}

static void test_start__with_an_impossible_path_is_refused(void **state)
{
    struct bed *bed = *state;
    char path[109];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[108] = '\0';
    bed->options.path = path;
    expect_start_refused(bed, SIGNET_INVALID_ARGUMENT, "at most 107 bytes");
    bed->options.path = "relative.sock";
    expect_start_refused(bed, SIGNET_INVALID_ARGUMENT, "absolute");
    bed->options.path = "/nonexistent/directory/s.sock";
    expect_start_refused(bed, SIGNET_FAILED_PRECONDITION, "/nonexistent/directory/s.sock");
}

static void *open_gate_main(void *arg)
{
    (void)arg;
    test_pause();
    stub_set_gate(true);
    return NULL;
}

static void test_stop__finishes_what_is_in_flight(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    int idle = sp_client_open(bed->path);
    assert_true(sp_client_send(fd, TEST_ID(1), "s", 1));
    stub_wait_begun(1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_gate_main, NULL), 0);
    sg_listener_stop(bed->listener, 30000);
    bed->listener = NULL;
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_reply(fd, TEST_ID(1), "s", 1);
    sp_client_wait_closed(fd);
    sp_client_wait_closed(idle);
    assert_int_equal(access(bed->path, F_OK), -1);
    (void)close(fd);
    (void)close(idle);
}

/* What was sent whole before the stop is answered, though the daemon may not have read it yet. */
static void test_stop__answers_what_was_sent_before_it(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    enum {
        NUM = 100
    };
    static int fds[NUM];
    for (unsigned i = 0; i < NUM; i++) {
        fds[i] = sp_client_open(bed->path);
    }
    bed_wait_connections(bed, NUM);
    for (unsigned i = 0; i < NUM; i++) {
        assert_true(sp_client_send(fds[i], TEST_ID(i), "e", 1));
    }
    bed_stop(bed);
    for (unsigned i = 0; i < NUM; i++) {
        uint32_t id = 0;
        size_t len = 0;
        uint8_t *reply = sp_client_receive(fds[i], &id, &len);
        assert_non_null(reply);
        assert_int_equal(id, TEST_ID(i));
        free(reply);
        (void)close(fds[i]);
    }
}

/* Not before the stop has given up what has not begun. The listener lives until the gate is open. */
static void *open_gate_at_the_end(void *arg)
{
    while (!sg_listener_is_abandoning(arg)) {
        test_pause();
    }
    stub_set_gate(true);
    return NULL;
}

static void test_stop__without_grace_begins_no_more_work(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    int fd = sp_client_open(bed->path);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(sp_client_send(fd, TEST_ID(i), "s", 1));
    }
    bed_wait_in_flight(bed, 20);
    stub_wait_begun(4); /* one a worker; 16 are queued */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_gate_at_the_end, bed->listener), 0);
    sg_listener_stop(bed->listener, 0);
    bed->listener = NULL;
    assert_int_equal(pthread_join(thread, NULL), 0);
    sp_client_wait_closed(fd);
    (void)close(fd);
    assert_true(stub.num_slow_done < 20);
}

static void test_stop__with_many_connections_closes_them_all(void **state)
{
    struct bed *bed = *state;
    bed_start(bed);
    enum {
        NUM = 300
    };
    static int fds[NUM];
    for (unsigned i = 0; i < NUM; i++) {
        fds[i] = sp_client_open(bed->path);
    }
    bed_wait_connections(bed, NUM);
    bed_stop(bed);
    for (unsigned i = 0; i < NUM; i++) {
        sp_client_wait_closed(fds[i]);
        (void)close(fds[i]);
    }
}

static void test_stop__then_start_again_in_the_same_place(void **state)
{
    struct bed *bed = *state;
    for (unsigned i = 0; i < 3; i++) {
        bed_start(bed);
        expect_served(bed);
        bed_stop(bed);
    }
    sg_listener_stop(NULL, 0);
}

#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BED_TEST(test_request__is_answered_with_its_id),
        BED_TEST(test_request__arriving_byte_by_byte_is_answered),
        BED_TEST(test_request__many_in_one_write_are_all_answered),
        BED_TEST(test_request__of_any_size_up_to_the_limit_is_answered),
        BED_TEST(test_request__slow_does_not_hold_up_the_next),
        BED_TEST(test_request__comes_with_who_the_kernel_says),
        BED_TEST(test_request__that_cannot_be_answered_ends_its_connection_only),
        BED_TEST(test_in_flight__is_bounded_for_a_connection),
        BED_TEST(test_in_flight__beyond_the_daemons_limit_is_refused_as_busy),
        BED_TEST(test_in_flight__with_the_queue_full_is_refused_as_busy),
        BED_TEST(test_in_flight__beyond_the_uids_limit_is_refused_as_busy),
        BED_TEST(test_uid__that_hammers_is_left_alone_and_then_answered),
        BED_TEST(test_uid__that_hammers_does_not_hold_up_a_stop),
        BED_TEST(test_uid__that_sends_garbage_is_soon_refused_at_the_door),
        BED_TEST(test_crossing__does_not_hold_up_who_needs_none),
        BED_TEST(test_crossing__that_is_late_leaves_a_thread_to_others),
        BED_TEST(test_crossing__of_many_connections_is_answered),
        BED_TEST(test_crossing__of_one_buffer_is_one_as_far_as_it_goes),
        BED_TEST(test_crossing__of_a_peer_that_has_gone_is_forgotten),
        BED_TEST(test_connections__beyond_the_limit_are_closed_at_once),
        BED_TEST(test_connections__of_one_uid_beyond_its_limit_are_closed_at_once),
        BED_TEST(test_connections__long_idle_make_room_for_a_new_one),
        BED_TEST(test_connections__out_of_descriptors_are_served_when_there_are_some),
        BED_TEST(test_buffers__beyond_the_daemons_budget_close_the_connection),
        BED_TEST(test_handshake__not_sent_in_time_closes),
        BED_TEST(test_handshake__wrong_closes_at_once),
        BED_TEST(test_message__not_whole_in_time_closes),
        BED_TEST(test_message__trickling_does_not_renew_its_time),
        BED_TEST(test_message__between_messages_there_is_no_deadline),
        BED_TEST(test_message__with_an_impossible_length_closes_at_once),
        BED_TEST(test_replies__never_read_close_the_connection),
        BED_TEST(test_replies__read_late_arrive_whole),
        BED_TEST(test_replies__read_in_trickles_do_not_renew_the_deadline),
        BED_TEST(test_peer__gone_with_work_in_flight_is_forgotten),
        BED_TEST(test_peer__gone_has_its_waiting_work_dropped),
        BED_TEST(test_idle_timeout__closes_the_idle_only),
        BED_TEST(test_start__gives_the_socket_its_mode),
        BED_TEST(test_start__never_removes_what_is_not_a_socket),
        BED_TEST(test_start__beside_a_live_one_is_refused_and_leaves_it_alone),
        BED_TEST(test_start__replaces_a_stale_socket),
        BED_TEST(test_start__with_an_impossible_path_is_refused),
        BED_TEST(test_stop__finishes_what_is_in_flight),
        BED_TEST(test_stop__answers_what_was_sent_before_it),
        BED_TEST(test_stop__without_grace_begins_no_more_work),
        BED_TEST(test_stop__with_many_connections_closes_them_all),
        BED_TEST(test_stop__then_start_again_in_the_same_place),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
