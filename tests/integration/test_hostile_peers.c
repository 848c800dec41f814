/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise: no peer can stop the daemon, starve another peer, or make it use unbounded memory. Each test
 * does one hostile thing to the real daemon; after it an honest client is served, memory is back to
 * where it was, and the log has not grown with the packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"
#include "tests/support/daemon.h"
#include "tests/support/files.h"
#include "tests/support/sp_client.h"

#define TEST_ID(n) (0x80000000u | (uint32_t)(n))
/* What memory may differ by after an attack: the allocator keeps some of what several threads have freed. */
#define TEST_RSS_SLACK_KIB 4096u
/* Under the default limit of connections for one uid. */
#define TEST_NUM_CONNECTIONS 700u

struct field {
    struct test_daemon daemon;
    size_t rss_kib; /* after warming up */
    size_t log_len;
};

static void test_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static size_t daemon_log_len(const struct test_daemon *daemon)
{
    char *log = test_daemon_log(daemon);
    size_t len = log != NULL ? strlen(log) : 0;
    free(log);
    return len;
}

static size_t field_log_len(const struct field *field)
{
    return daemon_log_len(&field->daemon);
}

/* ---- Requests, encoded by hand: what no honest encoder would write can be written too ---- */

static size_t put_field(uint8_t *out, unsigned number, const void *bytes, size_t len)
{
    size_t at = 0;
    out[at++] = (uint8_t)(number << 3 | 2);
    size_t rest = len;
    while (rest >= 0x80) {
        out[at++] = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    out[at++] = (uint8_t)rest;
    memcpy(out + at, bytes, len);
    return at + len;
}

static void send_call(int fd, const char *method, const uint8_t *payload, size_t payload_len)
{
    uint8_t *request = malloc(payload_len + 256);
    assert_non_null(request);
    size_t len = put_field(request, 1, method, strlen(method));
    len += put_field(request + len, 3, payload, payload_len);
    assert_true(sp_client_send(fd, TEST_ID(1), request, len));
    free(request);
}

/* ---- The daemon under attack ---- */

static void field_warm_up(struct field *field)
{
    static const uint8_t zeros[512 * 1024];
    for (unsigned i = 0; i < 100; i++) {
        sp_client_check_health(field->daemon.socket);
    }
    for (unsigned i = 0; i < 8; i++) {
        int fd = sp_client_open(field->daemon.socket);
        send_call(fd, SG_METHOD_VERIFY, zeros, sizeof(zeros));
        uint32_t id = 0;
        size_t len = 0;
        free(sp_client_receive(fd, &id, &len));
        (void)close(fd);
    }
}

static int field_setup(void **state)
{
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2 * TEST_NUM_CONNECTIONS) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    }
    struct field *field = calloc(1, sizeof(*field));
    assert_non_null(field);
    test_daemon_start(&field->daemon, NULL);
    field_warm_up(field);
    field->rss_kib = test_daemon_rss_kib(&field->daemon);
    field->log_len = field_log_len(field);
    *state = field;
    return 0;
}

static int field_teardown(void **state)
{
    struct field *field = *state;
    test_daemon_stop(&field->daemon);
    free(field);
    return 0;
}

/* What must hold after every attack. The daemon frees what an attack cost within its deadlines, so
 * memory is looked at until it is back. */
static void expect_unharmed(struct field *field)
{
    sp_client_check_health(field->daemon.socket);
    assert_int_equal(field_log_len(field), field->log_len);
    if (SG_SANITIZED) {
        return; /* a sanitizer keeps freed memory on purpose */
    }
    size_t rss_kib = 0;
    for (unsigned i = 0; i < 1000; i++) {
        rss_kib = test_daemon_rss_kib(&field->daemon);
        if (rss_kib <= field->rss_kib + TEST_RSS_SLACK_KIB) {
            return;
        }
        test_pause();
    }
    fail_msg("%zu KiB resident, %zu KiB before", rss_kib, field->rss_kib);
}

/* ---- Connections ---- */

static void test_peers__connecting_and_closing_a_thousand_times(void **state)
{
    struct field *field = *state;
    for (unsigned i = 0; i < 1000; i++) {
        (void)close(sp_client_connect(field->daemon.socket));
    }
    expect_unharmed(field);
}

static void test_peers__sending_garbage(void **state)
{
    struct field *field = *state;
    const char *const garbage[] = {"\xde\xad\xbe\xef\x00\xff\x13\x37", "GET / HT",
                                   "\0\0\0\0\0\0\0\0"};
    for (unsigned i = 0; i < 300; i++) {
        int fd = sp_client_connect(field->daemon.socket);
        assert_true(sp_client_write(fd, garbage[i % 3], 8));
        sp_client_wait_closed(fd);
        (void)close(fd);
    }
    expect_unharmed(field);
}

static void test_peers__sending_garbage_after_the_greeting(void **state)
{
    struct field *field = *state;
    for (unsigned i = 0; i < 256; i++) {
        if (i == 1) {
            continue; /* how a message begins */
        }
        int fd = sp_client_open(field->daemon.socket);
        uint8_t bytes[64];
        memset(bytes, (int)i, sizeof(bytes));
        (void)sp_client_write(fd, bytes, sizeof(bytes));
        sp_client_wait_closed(fd);
        (void)close(fd);
    }
    expect_unharmed(field);
}

static void test_peers__sending_half_a_frame_and_falling_silent(void **state)
{
    struct field *field = *state;
    static uint8_t half[SG_MAX_REQUEST_FRAME / 2];
    sg_sp_header(TEST_ID(1), SG_MAX_REQUEST_FRAME - SG_SP_ID_LEN, half);
    int fds[30];
    for (unsigned i = 0; i < 30; i++) {
        fds[i] = sp_client_open(field->daemon.socket);
        assert_true(sp_client_write(fds[i], half, i % 2 == 0 ? sizeof(half) : 10));
    }
    sp_client_check_health(field->daemon.socket);
    for (unsigned i = 0; i < 30; i++) {
        sp_client_wait_closed(fds[i]);
        (void)close(fds[i]);
    }
    expect_unharmed(field);
}

static void test_peers__never_greeting(void **state)
{
    struct field *field = *state;
    int fds[100];
    for (unsigned i = 0; i < 100; i++) {
        fds[i] = sp_client_connect(field->daemon.socket);
    }
    sp_client_check_health(field->daemon.socket);
    for (unsigned i = 0; i < 100; i++) {
        sp_client_wait_closed(fds[i]);
        (void)close(fds[i]);
    }
    expect_unharmed(field);
}

static void test_peers__sending_one_byte_at_a_time(void **state)
{
    struct field *field = *state;
    int fds[40];
    uint8_t header[SG_SP_HEADER_LEN];
    sg_sp_header(TEST_ID(1), 100000, header);
    for (unsigned i = 0; i < 40; i++) {
        fds[i] = sp_client_open(field->daemon.socket);
        assert_true(sp_client_write(fds[i], header, sizeof(header)));
    }
    unsigned num_open = 40;
    while (num_open > 0) {
        num_open = 0;
        for (unsigned i = 0; i < 40; i++) {
            num_open += sp_client_write(fds[i], "x", 1) ? 1u : 0u;
        }
        test_pause();
    }
    for (unsigned i = 0; i < 40; i++) {
        (void)close(fds[i]);
    }
    expect_unharmed(field);
}

/* ---- Lengths ---- */

static void announce(struct field *field, const char *header, size_t more)
{
    static const uint8_t bytes[65536];
    for (unsigned i = 0; i < 100; i++) {
        int fd = sp_client_open(field->daemon.socket);
        assert_true(sp_client_write(fd, header, 9));
        (void)sp_client_write(fd, bytes, more);
        sp_client_wait_closed(fd);
        (void)close(fd);
    }
    expect_unharmed(field);
}

static void test_peers__announcing_the_greatest_length(void **state)
{
    announce(*state, "\x01\xff\xff\xff\xff\xff\xff\xff\xff", 65536);
}

static void test_peers__announcing_one_byte_more_than_the_limit(void **state)
{
    announce(*state, "\x01\0\0\0\0\0\x10\0\x01", 65536);
}

static void test_peers__announcing_less_than_a_request_id(void **state)
{
    announce(*state, "\x01\0\0\0\0\0\0\0\x03", 3);
}

/* ---- Not reading ---- */

static void test_peers__pipelining_and_never_reading(void **state)
{
    struct field *field = *state;
    uint8_t request[128];
    size_t len = put_field(request, 1, SG_METHOD_GET_JWKS, sizeof(SG_METHOD_GET_JWKS) - 1);
    int fds[10];
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = sp_client_open(field->daemon.socket);
    }
    /* Each write ends when the daemon closes: it stops reading once enough is unsent, and closes when
     * nothing was read in time. */
    for (unsigned i = 0; i < 10; i++) {
        uint32_t id = 0;
        while (sp_client_send(fds[i], TEST_ID(id), request, len)) {
            id = (id + 1) & 0xffffu;
        }
    }
    sp_client_check_health(field->daemon.socket);
    for (unsigned i = 0; i < 10; i++) {
        (void)close(fds[i]);
    }
    expect_unharmed(field);
}

/* ---- Too many ---- */

static void test_peers__keeping_many_idle_connections(void **state)
{
    struct field *field = *state;
    static int fds[TEST_NUM_CONNECTIONS];
    size_t before_kib = test_daemon_rss_kib(&field->daemon);
    for (unsigned i = 0; i < TEST_NUM_CONNECTIONS; i++) {
        fds[i] = sp_client_open(field->daemon.socket);
    }
    sp_client_check_health(field->daemon.socket);
    size_t after_kib = test_daemon_rss_kib(&field->daemon);
    if (!SG_SANITIZED) {
        assert_true(after_kib < before_kib + 32 * TEST_NUM_CONNECTIONS);
    }
    for (unsigned i = 0; i < TEST_NUM_CONNECTIONS; i++) {
        (void)close(fds[i]);
    }
    sp_client_check_health(field->daemon.socket);
}

/* A daemon of its own, with a limit that is soon reached. */
static void test_peers__of_one_uid_beyond_its_limit(void **state)
{
    (void)state;
    enum {
        LIMIT = 60,
        NUM = 100
    };
    static const char config[] = "keystore:\n"
                                 "  key: ephemeral\n"
                                 "grants:\n"
                                 "  - name: all\n"
                                 "    who: {anybody: true}\n"
                                 "    may: [sign, verify]\n"
                                 "    keysets: [\"*\"]\n"
                                 "keysets:\n"
                                 "  - name: login\n"
                                 "    alg: HS256\n"
                                 "    issuer: https://login.example\n"
                                 "limits:\n"
                                 "  max_connections_per_uid: 60\n";
    char dir[96];
    char path[128];
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(path, sizeof(path), "%s/signet.yaml", dir);
    test_write_file(path, config, sizeof(config) - 1);
    const char *const as_root[] = {"--config", path, "--user", "root", NULL};
    const char *const as_other[] = {"--config", path, NULL};
    struct test_daemon daemon;
    test_daemon_start(&daemon, geteuid() == 0 ? as_root : as_other);
    size_t log_len = daemon_log_len(&daemon);

    int fds[NUM];
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    sg_sp_handshake(SG_SP_REQ0, greeting);
    for (unsigned i = 0; i < NUM; i++) {
        fds[i] = sp_client_connect(daemon.socket);
        /* Who goes without one pays for it. Those that were refused at once do not take it. */
        (void)sp_client_write(fds[i], greeting, sizeof(greeting));
    }
    unsigned num_refused = 0;
    while (num_refused < NUM - LIMIT) {
        num_refused = 0;
        for (unsigned i = 0; i < NUM; i++) {
            char bytes[16];
            num_refused +=
                recv(fds[i], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) == 0 ? 1u : 0u;
        }
        test_pause();
    }
    assert_int_equal(num_refused, NUM - LIMIT);
    /* One that ends makes room for another. */
    for (unsigned i = 0; i < NUM; i++) {
        (void)close(fds[i]);
    }
    while (test_daemon_num_fds(&daemon) > LIMIT) { /* until it has seen that they are gone */
        test_pause();
    }
    sp_client_check_health(daemon.socket);
    assert_int_equal(daemon_log_len(&daemon), log_len);
    test_daemon_stop(&daemon);
    test_remove_tree(dir);
}

static void test_peers__using_up_the_descriptors(void **state)
{
    struct field *field = *state;
    size_t num_fds = test_daemon_num_fds(&field->daemon);
    struct rlimit before;
    assert_int_equal(prlimit(field->daemon.pid, RLIMIT_NOFILE, NULL, &before), 0);
    struct rlimit tight = {.rlim_cur = num_fds + 20, .rlim_max = before.rlim_max};
    assert_int_equal(prlimit(field->daemon.pid, RLIMIT_NOFILE, &tight, NULL), 0);
    int fds[100];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 100; i++) {
            fds[i] = sp_client_connect(field->daemon.socket);
        }
        while (test_daemon_num_fds(&field->daemon) < num_fds + 20) {
            test_pause();
        }
        for (unsigned i = 0; i < 100; i++) {
            (void)close(fds[i]);
        }
        sp_client_check_health(field->daemon.socket);
    }
    assert_int_equal(prlimit(field->daemon.pid, RLIMIT_NOFILE, &before, NULL), 0);
    sp_client_check_health(field->daemon.socket); /* what it has to say of it, it has said then */
    /* A fault is logged once while it lasts, and not for each connection or try. */
    char *log = test_daemon_log(&field->daemon);
    unsigned num_lines = 0;
    for (const char *at = log + field->log_len; (at = strchr(at, '\n')) != NULL; at++) {
        num_lines++;
    }
    free(log);
    assert_in_range(num_lines, 1, 10);
    field->log_len = field_log_len(field);
    expect_unharmed(field);
}

/* ---- What is in a frame ---- */

/* Sends a request and takes any answer, or none. */
static void throw_bomb(struct field *field, const char *method, const uint8_t *payload, size_t len)
{
    int fd = sp_client_open(field->daemon.socket);
    send_call(fd, method, payload, len);
    uint32_t id = TEST_ID(1);
    size_t reply_len = 0;
    uint8_t *reply = sp_client_receive(fd, &id, &reply_len);
    assert_int_equal(id, TEST_ID(1));
    free(reply);
    (void)close(fd);
}

static void test_peers__sending_unknown_fields_without_end(void **state)
{
    struct field *field = *state;
    size_t len = SG_MAX_REQUEST_FRAME - 256;
    uint8_t *payload = malloc(len);
    assert_non_null(payload);
    for (size_t i = 0; i < len; i += 2) {
        payload[i] = 15 << 3; /* field 15, a number */
        payload[i + 1] = 1;
    }
    for (unsigned i = 0; i < 4; i++) {
        throw_bomb(field, SG_METHOD_VERIFY, payload, len);
        throw_bomb(field, SG_METHOD_SIGN_BATCH, payload, len);
        throw_bomb(field, SG_METHOD_HEALTH_CHECK, payload, len);
    }
    /* And in the envelope itself. */
    int fd = sp_client_open(field->daemon.socket);
    assert_true(sp_client_send(fd, TEST_ID(1), payload, len));
    uint32_t id = 0;
    free(sp_client_receive(fd, &id, &len));
    (void)close(fd);
    free(payload);
    expect_unharmed(field);
}

static void test_peers__sending_a_million_empty_requests_in_a_batch(void **state)
{
    struct field *field = *state;
    size_t len = SG_MAX_REQUEST_FRAME - 256;
    uint8_t *payload = malloc(len);
    assert_non_null(payload);
    for (size_t i = 0; i < len; i += 2) {
        payload[i] = 1 << 3 | 2; /* field 1, empty */
        payload[i + 1] = 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        throw_bomb(field, SG_METHOD_VERIFY_BATCH, payload, len);
        throw_bomb(field, SG_METHOD_SIGN_BATCH, payload, len);
    }
    free(payload);
    expect_unharmed(field);
}

static void test_peers__sending_deeply_nested_fields(void **state)
{
    struct field *field = *state;
    size_t len = 64 * 1024;
    uint8_t *groups = malloc(len);
    uint8_t *nested = malloc(len);
    assert_non_null(groups);
    assert_non_null(nested);
    memset(groups, 1 << 3 | 3, len); /* the start of a group in the start of a group ... */
    /* Field 1 in field 1, from the inside out. */
    size_t at = len;
    while (at > 8) {
        uint8_t head[8];
        size_t inner = len - at;
        size_t head_len = put_field(head, 1, "", 0) - 1;
        do {
            head[head_len++] = (uint8_t)((inner & 0x7f) | (inner >= 0x80 ? 0x80 : 0));
            inner >>= 7;
        } while (inner > 0);
        at -= head_len;
        memcpy(nested + at, head, head_len);
    }
    const char *const methods[] = {SG_METHOD_VERIFY, SG_METHOD_VERIFY_BATCH, SG_METHOD_SIGN_BATCH,
                                   SG_METHOD_HEALTH_CHECK, SG_METHOD_STATUS};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        throw_bomb(field, methods[i], groups, len);
        throw_bomb(field, methods[i], nested + at, len - at);
    }
    free(groups);
    free(nested);
    expect_unharmed(field);
}

/* ---- A second daemon ---- */

static void test_peers__starting_a_second_daemon_in_the_same_directory(void **state)
{
    struct field *field = *state;
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    char binary[512];
    (void)snprintf(binary, sizeof(binary), "%s/signetd", bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *const argv[] = {binary, "--dev", "--runtime-dir", field->daemon.runtime_dir, NULL};
    for (unsigned i = 0; i < 3; i++) {
        struct test_output output;
        test_run(argv, NULL, 30000, &output);
        assert_int_not_equal(output.exit_status, 0);
        assert_true(output.exit_status < 128);
        test_output_free(&output);
        sp_client_check_health(field->daemon.socket);
    }
    expect_unharmed(field);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers__connecting_and_closing_a_thousand_times),
        cmocka_unit_test(test_peers__sending_garbage),
        cmocka_unit_test(test_peers__sending_garbage_after_the_greeting),
        cmocka_unit_test(test_peers__sending_half_a_frame_and_falling_silent),
        cmocka_unit_test(test_peers__never_greeting),
        cmocka_unit_test(test_peers__sending_one_byte_at_a_time),
        cmocka_unit_test(test_peers__announcing_the_greatest_length),
        cmocka_unit_test(test_peers__announcing_one_byte_more_than_the_limit),
        cmocka_unit_test(test_peers__announcing_less_than_a_request_id),
        cmocka_unit_test(test_peers__pipelining_and_never_reading),
        cmocka_unit_test(test_peers__sending_unknown_fields_without_end),
        cmocka_unit_test(test_peers__sending_a_million_empty_requests_in_a_batch),
        cmocka_unit_test(test_peers__sending_deeply_nested_fields),
        cmocka_unit_test(test_peers__starting_a_second_daemon_in_the_same_directory),
        cmocka_unit_test(test_peers__using_up_the_descriptors),
        cmocka_unit_test(test_peers__keeping_many_idle_connections),
        cmocka_unit_test(test_peers__of_one_uid_beyond_its_limit),
    };
    return cmocka_run_group_tests_name("hostile_peers", tests, field_setup, field_teardown);
}
