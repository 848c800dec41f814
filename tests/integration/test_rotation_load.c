/* SPDX-License-Identifier: Apache-2.0
 *
 * The real daemon at full load while its keys change: ten minutes of its wall clock with keys that rotate
 * every minute, and one configuration after the other. No good token is refused, and nothing fails to
 * be signed. The clock is a test's, and runs fast: "long" as an argument lets it run as fast as clocks do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/keyed_daemon.h"

#define LOAD_THREADS   4u
#define LOAD_SECONDS   600 /* of the daemon's clock */
#define LOAD_TTL_S     20u
#define LOAD_KEPT      64u /* tokens that each thread verifies again until they expire */
#define LOAD_PERIOD_S  60
#define LOAD_RELOADS   60u
#define LOAD_START     INT64_C(1800000000)
#define LOAD_FAST_MS   40 /* of the machine's clock, for one second of the daemon's */
#define LOAD_TIMELY_MS 1000

static bool load_is_long;

struct load_token {
    char text[1024];
    size_t len;
    int64_t expires_at;
};

struct load {
    struct test_keyed_daemon keyed;
    atomic_int_least64_t *clock; /* the daemon's */
    atomic_bool stop;
    atomic_uint_least64_t num_signed, num_verified;
    atomic_uint_least64_t num_failed;
    pthread_mutex_t mutex;
    char first_failure[512]; /* guarded by mutex */
};

struct load_thread {
    struct load *load;
    pthread_t thread;
    unsigned number;
    struct signet_client *client;
    struct load_token kept[LOAD_KEPT];
    size_t next;
};

static void load_failed(struct load *load, const char *what, const struct signet_error *error)
{
    (void)pthread_mutex_lock(&load->mutex);
    if (atomic_fetch_add(&load->num_failed, 1) == 0) {
        (void)snprintf(load->first_failure, sizeof(load->first_failure),
                       "%s at second %lld: %s %s: %s", what,
                       (long long)(atomic_load(load->clock) - LOAD_START), error->code,
                       signet_reason_name(error->reason), error->message);
    }
    (void)pthread_mutex_unlock(&load->mutex);
}

static const char *const load_audiences[] = {"orders"};

static void load_verify(struct load_thread *thread, const struct load_token *token)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *verified = NULL;
    struct signet_error error;
    options.audiences = load_audiences;
    options.num_audiences = 1;
    signet_status status =
        signet_verify(thread->client, token->text, token->len, &options, &verified, &error);
    if (status == SIGNET_OK) {
        signet_verified_free(verified);
        atomic_fetch_add(&thread->load->num_verified, 1);
        return;
    }
    /* A token that has expired meanwhile is not a good one that was refused. */
    if (status != SIGNET_REJECTED || error.reason != SIGNET_REASON_EXPIRED ||
        atomic_load(thread->load->clock) < token->expires_at) {
        load_failed(thread->load, "verify", &error);
    }
}

static void load_sign(struct load_thread *thread)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_signed *fresh = NULL;
    struct signet_error error;
    struct load_token *token = &thread->kept[thread->next++ % LOAD_KEPT];
    options.keyset = thread->next % 2 == 0 ? "es" : "hs";
    options.subject = "alice";
    options.audiences = load_audiences;
    options.num_audiences = 1;
    options.ttl_s = LOAD_TTL_S;
    if (signet_sign(thread->client, &options, &fresh, &error) != SIGNET_OK) {
        load_failed(thread->load, "sign", &error);
        return;
    }
    token->len = strlen(signet_signed_token(fresh));
    if (token->len < sizeof(token->text)) {
        memcpy(token->text, signet_signed_token(fresh), token->len + 1);
    }
    token->expires_at = signet_signed_expires_at(fresh);
    signet_signed_free(fresh);
    atomic_fetch_add(&thread->load->num_signed, 1);
    load_verify(thread, token);
}

static void *load_main(void *arg)
{
    struct load_thread *thread = arg;
    for (size_t i = 0; !atomic_load(&thread->load->stop); i++) {
        const struct load_token *old = &thread->kept[i % LOAD_KEPT];
        if (i % 4 == 0) {
            load_sign(thread);
        } else if (old->len > 0 && old->expires_at > atomic_load(thread->load->clock)) {
            load_verify(thread, old);
        }
    }
    return NULL;
}

/* ---- Set-up ---- */

static void load_map_clock(struct load *load)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/clock", load->keyed.daemon.dir);
    const int64_t start = LOAD_START;
    test_write_file(path, &start, sizeof(start));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    void *page = mmap(NULL, sizeof(*load->clock), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    (void)close(fd);
    load->clock = page;
    assert_int_equal(setenv("SIGNET_TEST_CLOCK", path, 1), 0);
}

static void load_start_thread(struct load *load, struct load_thread *thread, unsigned number)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_error error;
    options.address = load->keyed.daemon.address;
    options.timeout_ms = 30000; /* the machine may be busy with other tests */
    thread->load = load;
    thread->number = number;
    assert_int_equal(signet_client_new(&options, &thread->client, &error), SIGNET_OK);
    assert_int_equal(pthread_create(&thread->thread, NULL, load_main, thread), 0);
}

static void load_run_clock(const struct load *load)
{
    /* Paces the clock; nothing waits for it. */
    const int pace_ms = load_is_long ? LOAD_TIMELY_MS : LOAD_FAST_MS;
    struct timespec next;
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    for (int second = 0; second < LOAD_SECONDS; second++) {
        next.tv_nsec += (long)pace_ms * 1000000L;
        next.tv_sec += next.tv_nsec / 1000000000L;
        next.tv_nsec %= 1000000000L;
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        atomic_fetch_add(load->clock, 1);
    }
}

static size_t load_count(const char *text, const char *what)
{
    size_t num = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        num++;
    }
    return num;
}

#define LOAD_KEYSET(name, alg)                                                                     \
    "  - name: " name "\n    alg: " alg "\n    issuer: https://login.example\n"                    \
    "    max_ttl: 30s\n    default_ttl: 20s\n    rotate_every: 60s\n    publish_lead: 15s\n"

static struct load load_state;
static struct load_thread load_threads[LOAD_THREADS];

static int load_setup(void **state)
{
    (void)state;
    memset(&load_state, 0, sizeof(load_state));
    memset(load_threads, 0, sizeof(load_threads));
    assert_int_equal(pthread_mutex_init(&load_state.mutex, NULL), 0);
    test_keyed_daemon_prepare(&load_state.keyed,
                              LOAD_KEYSET("es", "ES256") LOAD_KEYSET("hs", "HS256"));
    load_map_clock(&load_state);
    load_state.keyed.daemon.program = "clocked/signetd";
    test_keyed_daemon_start(&load_state.keyed);
    for (unsigned i = 0; i < LOAD_THREADS; i++) {
        load_start_thread(&load_state, &load_threads[i], i);
    }
    return 0;
}

static int load_teardown(void **state)
{
    (void)state;
    test_daemon_stop(&load_state.keyed.daemon);
    (void)munmap(load_state.clock, sizeof(*load_state.clock));
    (void)pthread_mutex_destroy(&load_state.mutex);
    return 0;
}

/* Ends the load; nothing may have failed. */
static void load_finish(const char *what)
{
    atomic_store(&load_state.stop, true);
    for (unsigned i = 0; i < LOAD_THREADS; i++) {
        (void)pthread_join(load_threads[i].thread, NULL);
        signet_client_free(load_threads[i].client);
    }
    print_message("%s: %llu signed, %llu verified, %llu failed\n", what,
                  (unsigned long long)atomic_load(&load_state.num_signed),
                  (unsigned long long)atomic_load(&load_state.num_verified),
                  (unsigned long long)atomic_load(&load_state.num_failed));
    if (atomic_load(&load_state.num_failed) != 0) {
        fail_msg("%s", load_state.first_failure);
    }
    assert_true(atomic_load(&load_state.num_verified) > 0);
}

static void test_rotation__under_full_load_refuses_no_good_token(void **state)
{
    (void)state;
    load_run_clock(&load_state);
    const char *const list[] = {"key", "list", "--json", NULL};
    char *keys = test_keyed_daemon_run(&load_state.keyed, list, NULL);
    size_t num_keys = load_count(keys, "\"kid\"");
    size_t num_retired = load_count(keys, "\"retired\"");
    free(keys);
    load_finish("600 s of the daemon's clock");
    print_message("%zu keys of 2 keysets, %zu of them retired\n", num_keys, num_retired);
    /* Fewer than one a minute each: the daemon looks at the calendar once a second of the machine's. */
    assert_in_range(num_keys, LOAD_SECONDS / LOAD_PERIOD_S, 2 * (LOAD_SECONDS / LOAD_PERIOD_S + 2));
    assert_true(num_retired > 0);
}

static void test_reload__under_full_load_fails_no_request(void **state)
{
    (void)state;
    static const char *const keysets[] = {
        LOAD_KEYSET("hs", "HS256") LOAD_KEYSET("more", "EdDSA") LOAD_KEYSET("es", "ES256"),
        LOAD_KEYSET("es", "ES256") LOAD_KEYSET("hs", "HS256"),
        LOAD_KEYSET("es", "ES256") LOAD_KEYSET("hs", "HS257"), /* refused: the old one stays */
    };
    const char *const reload[] = {"reload", NULL};
    for (unsigned i = 0; i < LOAD_RELOADS; i++) {
        struct test_output output;
        test_keyed_daemon_configure(&load_state.keyed, keysets[i % 3]);
        test_keyed_daemon_signet(&load_state.keyed, reload, NULL, &output);
        assert_int_equal(output.exit_status, i % 3 == 2 ? 4 : 0);
        test_output_free(&output);
    }
    load_finish("60 reloads");
}

int main(int argc, char **argv)
{
    load_is_long = argc > 1 && strcmp(argv[1], "long") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rotation__under_full_load_refuses_no_good_token,
                                        load_setup, load_teardown),
        cmocka_unit_test_setup_teardown(test_reload__under_full_load_fails_no_request, load_setup,
                                        load_teardown),
    };
    return cmocka_run_group_tests_name("rotation_load", tests, NULL, NULL);
}
