/* SPDX-License-Identifier: Apache-2.0
 *
 * One-time tokens of the real daemon: good once, for whoever comes first, among many who ask at one time, with a disk
 * that is full, and after SIGKILL at random instants. The argument is the number of kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/keyed_daemon.h"
#include "tests/support/small_disk.h"

#define ONCE_CALL_MS       20000u
#define ONCE_DEFAULT_KILLS (SG_SANITIZED ? 3u : 20u)
#define ONCE_TOKEN_MAX     512u
#define ONCE_MAX_DELAY_US  60000u
#define ONCE_NUM_THREADS   8u
#define ONCE_NUM_RACES     40u
#define ONCE_NUM_STORM     256u /* tokens a kill; what one batch may have */
#define ONCE_NUM_KILLERS   3u   /* threads that use them up meanwhile */

static const char once_keysets[] = "  - name: login\n"
                                   "    alg: EdDSA\n"
                                   "    issuer: https://login.example\n"
                                   "  - name: pay\n"
                                   "    alg: HS256\n"
                                   "    issuer: https://pay.example\n"
                                   "limits:\n"
                                   "  cpu_per_uid: \"off\"\n";
static const char *const once_audiences[] = {"orders"};
static unsigned once_num_kills = ONCE_DEFAULT_KILLS;

static int setup(void **state)
{
    static struct test_keyed_daemon keyed;
    test_keyed_daemon_prepare(&keyed, once_keysets);
    *state = &keyed;
    return 0;
}

static int teardown(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    (void)umount2(keyed->state_dir, MNT_DETACH); /* a case that failed has left a disk there */
    test_daemon_stop(&keyed->daemon);
    return 0;
}

/* ---- Calls ---- */

static struct signet_client *connect_client(const struct test_keyed_daemon *keyed)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = keyed->daemon.address;
    options.timeout_ms = ONCE_CALL_MS;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

static void mint(struct signet_client *client, const char *keyset, char *token)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_signed *signed_token = NULL;
    options.keyset = keyset;
    options.subject = "alice";
    options.audiences = once_audiences;
    options.num_audiences = 1;
    options.ttl_s = 3600;
    assert_int_equal(signet_sign(client, &options, &signed_token, NULL), SIGNET_OK);
    (void)snprintf(token, ONCE_TOKEN_MAX, "%s", signet_signed_token(signed_token));
    signet_signed_free(signed_token);
}

static struct signet_verify_options once_options(bool consumes)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = once_audiences;
    options.num_audiences = 1;
    options.consume = consumes;
    return options;
}

static signet_status judge(struct signet_client *client, const char *token, bool consumes,
                           struct signet_error *error)
{
    const struct signet_verify_options options = once_options(consumes);
    struct signet_verified *verified = NULL;
    *error = (struct signet_error){.status = SIGNET_OK};
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, error);
    signet_verified_free(verified);
    return status;
}

static void expect_used_up(struct signet_client *client, const char *token)
{
    struct signet_error error;
    if (judge(client, token, true, &error) != SIGNET_OK) {
        fail_msg("%s %s: %s", signet_status_name(error.status), error.code, error.message);
    }
}

static void expect_replayed(struct signet_client *client, const char *token)
{
    struct signet_error error;
    assert_int_equal(judge(client, token, true, &error), SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_REPLAYED);
}

static void expect_code(struct signet_client *client, const char *token, signet_status status,
                        const char *code)
{
    struct signet_error error;
    assert_int_equal(judge(client, token, true, &error), status);
    assert_string_equal(error.code, code);
}

/* ---- Once ---- */

static void test_consume__is_in_force_for_every_client(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    struct signet_client *client = connect_client(keyed);
    struct signet_client *other = connect_client(keyed);
    struct signet_error error;
    char token[ONCE_TOKEN_MAX];
    for (unsigned i = 0; i < 20; i++) {
        mint(client, i % 2 == 0 ? "login" : "pay", token);
        assert_int_equal(judge(other, token, false, &error), SIGNET_OK);
        expect_used_up(client, token);
        expect_replayed(other, token);
        expect_replayed(client, token);
        assert_int_equal(judge(other, token, false, &error), SIGNET_OK);
    }
    signet_client_free(client);
    signet_client_free(other);
}

static void test_batch__gives_one_of_two_the_token(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    struct signet_client *client = connect_client(keyed);
    const struct signet_verify_options options = once_options(true);
    const struct signet_verified *verified = NULL;
    struct signet_verify_batch *batch = NULL;
    struct signet_error error;
    char tokens[2][ONCE_TOKEN_MAX];
    mint(client, "pay", tokens[0]);
    mint(client, "login", tokens[1]);
    const struct signet_token_view views[] = {{tokens[0], strlen(tokens[0])},
                                              {tokens[1], strlen(tokens[1])},
                                              {tokens[0], strlen(tokens[0])}};
    assert_int_equal(signet_verify_many(client, views, 3, &options, &batch, &error), SIGNET_OK);
    assert_int_equal(signet_verify_batch_get(batch, 0, &verified, &error), SIGNET_OK);
    assert_int_equal(signet_verify_batch_get(batch, 1, &verified, &error), SIGNET_OK);
    assert_int_equal(signet_verify_batch_get(batch, 2, &verified, &error), SIGNET_REJECTED);
    assert_int_equal(error.reason, SIGNET_REASON_REPLAYED);
    signet_verify_batch_free(batch);
    signet_client_free(client);
}

/* ---- Many at one time ---- */

static struct {
    char tokens[ONCE_NUM_RACES][ONCE_TOKEN_MAX];
    pthread_barrier_t start;
    atomic_uint num_good[ONCE_NUM_RACES], num_replayed[ONCE_NUM_RACES];
} races;

static void *race_run(void *arg)
{
    struct signet_client *client = arg;
    for (size_t i = 0; i < ONCE_NUM_RACES; i++) {
        struct signet_error error;
        (void)pthread_barrier_wait(&races.start);
        signet_status status = judge(client, races.tokens[i], true, &error);
        if (status == SIGNET_OK) {
            atomic_fetch_add(&races.num_good[i], 1);
        } else if (status == SIGNET_REJECTED && error.reason == SIGNET_REASON_REPLAYED) {
            atomic_fetch_add(&races.num_replayed[i], 1);
        }
    }
    return NULL;
}

static void test_consume__gives_one_of_many_the_token(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    struct signet_client *clients[ONCE_NUM_THREADS];
    pthread_t threads[ONCE_NUM_THREADS];
    assert_int_equal(pthread_barrier_init(&races.start, NULL, ONCE_NUM_THREADS), 0);
    for (size_t i = 0; i < ONCE_NUM_THREADS; i++) {
        clients[i] = connect_client(keyed);
    }
    for (size_t i = 0; i < ONCE_NUM_RACES; i++) {
        mint(clients[0], i % 2 == 0 ? "login" : "pay", races.tokens[i]);
    }
    for (size_t i = 0; i < ONCE_NUM_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race_run, clients[i]), 0);
    }
    for (size_t i = 0; i < ONCE_NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        signet_client_free(clients[i]);
    }
    for (size_t i = 0; i < ONCE_NUM_RACES; i++) {
        assert_int_equal(atomic_load(&races.num_good[i]), 1);
        assert_int_equal(atomic_load(&races.num_replayed[i]), ONCE_NUM_THREADS - 1);
    }
    (void)pthread_barrier_destroy(&races.start);
}

/* ---- How many ---- */

static void test_quota__is_the_configurations(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char keysets[1024];
    char token[ONCE_TOKEN_MAX];
    char used[ONCE_TOKEN_MAX];
    (void)snprintf(keysets, sizeof(keysets), "%s  consumed_per_uid: 3\n", once_keysets);
    test_keyed_daemon_configure(keyed, keysets);
    test_keyed_daemon_start(keyed);
    struct signet_client *client = connect_client(keyed);
    for (unsigned i = 0; i < 3; i++) {
        mint(client, "pay", used);
        expect_used_up(client, used);
    }
    mint(client, "pay", token);
    expect_code(client, token, SIGNET_RESOURCE_EXHAUSTED, "CONSUMED_FULL");
    expect_replayed(client, used);
    /* They count across a start; the token was not used up. */
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    expect_code(client, token, SIGNET_RESOURCE_EXHAUSTED, "CONSUMED_FULL");
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    test_keyed_daemon_configure(keyed, once_keysets);
    test_keyed_daemon_start(keyed);
    expect_used_up(client, token);
    expect_replayed(client, used);
    signet_client_free(client);
}

/* ---- A disk that takes nothing ---- */

static void test_full_disk__is_an_error_and_uses_nothing_up(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char filler[192];
    char used[ONCE_TOKEN_MAX];
    char token[ONCE_TOKEN_MAX];
    struct signet_error error;
    test_small_disk_start(keyed, once_keysets);
    struct signet_client *client = connect_client(keyed);
    (void)snprintf(filler, sizeof(filler), "%s/filler", keyed->state_dir);
    mint(client, "login", used);
    mint(client, "login", token);
    expect_used_up(client, used);
    test_small_disk_fill(filler);
    for (unsigned i = 0; i < 3; i++) {
        expect_code(client, token, SIGNET_RESOURCE_EXHAUSTED, "NOT_CONSUMED");
        expect_replayed(client, used);
        assert_int_equal(judge(client, token, false, &error), SIGNET_OK);
    }
    /* A start goes on as well, and is as full. */
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    expect_code(client, token, SIGNET_RESOURCE_EXHAUSTED, "NOT_CONSUMED");
    expect_replayed(client, used);
    assert_int_equal(unlink(filler), 0);
    expect_used_up(client, token);
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    expect_replayed(client, token);
    expect_replayed(client, used);
    signet_client_free(client);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    assert_int_equal(umount(keyed->state_dir), 0);
}

/* The keyholder ends a moment after its daemon, and has files open until then. */
static void remount(const struct test_keyed_daemon *keyed, unsigned long more_flags)
{
    const unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NODEV | more_flags;
    const struct timespec moment = {.tv_nsec = 10000000};
    for (unsigned i = 0; i < ONCE_CALL_MS / 10; i++) {
        if (mount("none", keyed->state_dir, "tmpfs", flags, NULL) == 0) {
            return;
        }
        assert_int_equal(errno, EBUSY);
        (void)nanosleep(&moment, NULL);
    }
    fail_msg("the disk stays busy");
}

static void test_read_only_disk__stops_the_start_and_forgets_nothing(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char used[ONCE_TOKEN_MAX];
    struct test_output output;
    test_small_disk_start(keyed, once_keysets);
    struct signet_client *client = connect_client(keyed);
    mint(client, "login", used);
    expect_used_up(client, used);
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    remount(keyed, MS_RDONLY);
    test_keyed_daemon_refuses(keyed, &output);
    assert_non_null(strstr(output.err, "ead-only"));
    test_output_free(&output);
    remount(keyed, 0);
    test_keyed_daemon_start(keyed);
    expect_replayed(client, used);
    signet_client_free(client);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    assert_int_equal(umount(keyed->state_dir), 0);
}

/* ---- SIGKILL ---- */

static struct {
    char tokens[ONCE_NUM_STORM][ONCE_TOKEN_MAX];
    atomic_uint num_good[ONCE_NUM_STORM]; /* how often it was said to be good */
    atomic_uint num_tried; /* tokens that somebody has asked about, and all before them */
    atomic_uint num_acknowledged;
    atomic_bool stop;
    size_t num_used; /* over all kills */
} storm;

static void *storm_run(void *arg)
{
    struct signet_client *client = arg;
    for (unsigned i = 0; i < ONCE_NUM_STORM && !atomic_load(&storm.stop); i++) {
        unsigned tried = atomic_load(&storm.num_tried);
        struct signet_error error;
        while (tried < i + 1 && !atomic_compare_exchange_weak(&storm.num_tried, &tried, i + 1)) {
        }
        if (judge(client, storm.tokens[i], true, &error) == SIGNET_OK) {
            atomic_fetch_add(&storm.num_good[i], 1);
            atomic_fetch_add(&storm.num_acknowledged, 1);
        }
    }
    return NULL;
}

static void storm_mint(struct signet_client *client)
{
    for (size_t i = 0; i < ONCE_NUM_STORM; i++) {
        mint(client, i % 2 == 0 ? "login" : "pay", storm.tokens[i]);
        atomic_store(&storm.num_good[i], 0);
    }
    atomic_store(&storm.num_tried, 0);
    atomic_store(&storm.num_acknowledged, 0);
    atomic_store(&storm.stop, false);
}

/* What was said to be good is used up; what nobody knows of is good once at most. */
static void storm_judge(struct signet_client *client)
{
    for (size_t i = 0; i < atomic_load(&storm.num_tried); i++) {
        struct signet_error error;
        unsigned num_good = atomic_load(&storm.num_good[i]);
        assert_in_range(num_good, 0, 1);
        signet_status status = judge(client, storm.tokens[i], true, &error);
        if (status == SIGNET_REJECTED) {
            assert_int_equal(error.reason, SIGNET_REASON_REPLAYED);
        } else {
            assert_int_equal(status, SIGNET_OK);
            assert_int_equal(num_good, 0);
        }
        expect_replayed(client, storm.tokens[i]);
        storm.num_used += num_good;
    }
}

static void storm_kill_once(struct test_keyed_daemon *keyed, struct signet_client *client)
{
    pthread_t threads[ONCE_NUM_KILLERS];
    uint32_t random = 0;
    storm_mint(client);
    assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
    for (size_t i = 0; i < ONCE_NUM_KILLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm_run, client), 0);
    }
    while (atomic_load(&storm.num_acknowledged) == 0) {
        const struct timespec moment = {.tv_nsec = 1000000};
        (void)nanosleep(&moment, NULL);
    }
    const struct timespec pause = {.tv_nsec = (long)(random % ONCE_MAX_DELAY_US) * 1000L};
    (void)nanosleep(&pause, NULL); /* a random instant */
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    atomic_store(&storm.stop, true);
    test_keyed_daemon_start(keyed);
    for (size_t i = 0; i < ONCE_NUM_KILLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    storm_judge(client);
}

static void test_kills__make_no_token_good_twice(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    struct signet_client *client = connect_client(keyed);
    storm.num_used = 0;
    for (unsigned i = 0; i < once_num_kills; i++) {
        storm_kill_once(keyed, client);
    }
    print_message("%u kills, %zu tokens used up before one\n", once_num_kills, storm.num_used);
    signet_client_free(client);
}

#define ONCE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1) {
        once_num_kills = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        ONCE_TEST(test_consume__is_in_force_for_every_client),
        ONCE_TEST(test_batch__gives_one_of_two_the_token),
        ONCE_TEST(test_consume__gives_one_of_many_the_token),
        ONCE_TEST(test_quota__is_the_configurations),
        ONCE_TEST(test_full_disk__is_an_error_and_uses_nothing_up),
        ONCE_TEST(test_read_only_disk__stops_the_start_and_forgets_nothing),
        ONCE_TEST(test_kills__make_no_token_good_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
