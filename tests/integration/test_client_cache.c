/* SPDX-License-Identifier: Apache-2.0
 *
 * A client with something attached: which verdicts it gives by itself, what it remembers, and when it asks the daemon.
 * The fake daemon counts what it is asked. The alarm in main bounds every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/private.h"
#include "common/rpc.h"
#include "tests/support/fake_local.h"
#include "tests/support/fake_server.h"

/* As in test_client_fork: gcc 12's and clang 14's address sanitizer has a lock that fork() does not know. */
#if defined(__SANITIZE_ADDRESS__)
#define CACHE_MALLOC_IS_UNSAFE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHE_MALLOC_IS_UNSAFE 1
#endif
#endif
#ifndef CACHE_MALLOC_IS_UNSAFE
#define CACHE_MALLOC_IS_UNSAFE 0
#endif

#define CACHE_WATCHDOG_S (SG_SANITIZED ? 400u : 100u)
#define CACHE_TIMEOUT_MS 60000u

/* ---- A daemon that counts ---- */

enum cache_mode {
    CACHE_HONEST = 0,
    CACHE_REFUSES,
    CACHE_FAILS
};

/* Shared with the fake's process. */
struct cache_daemon {
    _Atomic unsigned num_requests;
    _Atomic unsigned num_batched; /* tokens in the last request; 0: it was no batch */
    _Atomic unsigned mode;
    atomic_bool holds; /* requests are counted, and answered when this is over */
};

static struct fake_bytes cache_refusal(uint32_t id)
{
    Signet__V1__Rejection rejection;
    signet__v1__rejection__init(&rejection);
    rejection.reason = SIGNET__V1__REJECTION_REASON__EXPIRED;
    Signet__V1__VerifyResponse response;
    signet__v1__verify_response__init(&response);
    response.outcome_case = SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION;
    response.rejection = &rejection;
    return fake_payload(id, &response.base);
}

static struct fake_bytes cache_answer(struct cache_daemon *daemon,
                                      const struct fake_request *request)
{
    atomic_fetch_add(&daemon->num_requests, 1);
    while (atomic_load(&daemon->holds)) {
        (void)sched_yield();
    }
    switch ((enum cache_mode)atomic_load(&daemon->mode)) {
    case CACHE_REFUSES:
        return cache_refusal(request->id);
    case CACHE_FAILS:
        return fake_status(request->id, SIGNET_INTERNAL, "BROKEN", "it is broken");
    case CACHE_HONEST:
    default:
        return fake_honest_answer(request);
    }
}

static void cache_script(int fd, unsigned index, const void *context)
{
    (void)index;
    struct cache_daemon *daemon = (struct cache_daemon *)(uintptr_t)context;
    bool served = fake_greet(fd);
    while (served) {
        struct fake_request request;
        if (!fake_read_request(fd, &request)) {
            return;
        }
        Signet__V1__VerifyBatchRequest *batch = NULL;
        if (strcmp(request.envelope->method, SG_METHOD_VERIFY_BATCH) == 0) {
            batch = signet__v1__verify_batch_request__unpack(NULL, request.envelope->payload.len,
                                                             request.envelope->payload.data);
        }
        atomic_store(&daemon->num_batched, batch != NULL ? (unsigned)batch->n_requests : 0);
        signet__v1__verify_batch_request__free_unpacked(batch, NULL);
        struct fake_bytes answer = cache_answer(daemon, &request);
        served = fake_write(fd, answer.bytes, answer.len);
        free(answer.bytes);
        fake_request_free(&request);
    }
}

/* ---- A client of it ---- */

struct cache_test {
    struct fake_server server;
    struct cache_daemon *daemon;
    struct fake_local local;
    struct signet_client *client;
};

static struct signet_client *cache_client(const struct fake_server *server, uint32_t entries)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = server->address;
    options.timeout_ms = CACHE_TIMEOUT_MS;
    options.cache_entries = entries;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

static void cache_begin_with(struct cache_test *test, uint32_t entries)
{
    test->daemon = mmap(NULL, sizeof(*test->daemon), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(test->daemon != MAP_FAILED);
    fake_server_start(&test->server, cache_script, test->daemon);
    fake_local_init(&test->local);
    test->client = cache_client(&test->server, entries);
    fake_local_attach(&test->local, test->client);
}

static void cache_begin(struct cache_test *test)
{
    cache_begin_with(test, 0);
}

static void cache_end(struct cache_test *test)
{
    signet_client_free(test->client);
    assert_int_equal(atomic_load(&test->local.num_freed), 1);
    assert_int_equal(atomic_load(&test->local.num_bodies), 0);
    fake_server_stop(&test->server);
    (void)munmap(test->daemon, sizeof(*test->daemon));
}

static const char *const cache_me[] = {"me"};

static struct signet_verify_options cache_options(void)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = cache_me;
    options.num_audiences = 1;
    return options;
}

static signet_status cache_verify_as(struct signet_client *client, const char *token,
                                     const struct signet_verify_options *options)
{
    struct signet_verified *verified = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    signet_status status = signet_verify(client, token, strlen(token), options, &verified, &error);
    if (status != SIGNET_OK) {
        return verified == NULL && error.status == status ? status : SIGNET_INTERNAL;
    }
    bool is_own = strcmp(signet_verified_jti(verified), token) == 0;
    signet_verified_free(verified);
    return is_own ? SIGNET_OK : SIGNET_INTERNAL;
}

static signet_status cache_verify(const struct cache_test *test, const char *token)
{
    const struct signet_verify_options options = cache_options();
    return cache_verify_as(test->client, token, &options);
}

static void cache_expect(const struct cache_test *test, unsigned num_requests, unsigned num_judged)
{
    assert_int_equal(atomic_load(&test->daemon->num_requests), num_requests);
    assert_int_equal(atomic_load(&test->local.num_judged), num_judged);
}

/* ---- Attaching ---- */

static void test_attach__only_the_same_version_and_once(void **state)
{
    (void)state;
    struct fake_local local;
    fake_local_init(&local);
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(NULL, &client, NULL), SIGNET_OK);
    struct signet_error error;
    struct sg_local_ops other = local.ops;
    other.version = "0.0.0";
    assert_int_equal(sg_client_attach(client, &other, &local, &error), SIGNET_FAILED_PRECONDITION);
    assert_string_equal(error.code, "VERSIONS_DIFFER");
    assert_int_equal(sg_client_attach(NULL, &local.ops, &local, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_client_attach(client, NULL, &local, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_client_attach(client, &local.ops, &local, &error), SIGNET_OK);
    assert_int_equal(sg_client_attach(client, &local.ops, &local, &error),
                     SIGNET_FAILED_PRECONDITION);
    assert_string_equal(error.code, "ATTACHED_ALREADY");
    assert_int_equal(atomic_load(&local.num_freed), 0);
    signet_client_free(client);
    assert_int_equal(atomic_load(&local.num_freed), 1);
}

static void test_verify__nothing_is_remembered_before_something_is_attached(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    const struct signet_verify_options options = cache_options();
    struct signet_client *plain = cache_client(&test.server, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(cache_verify_as(plain, "a.b.c", &options), SIGNET_OK);
        cache_expect(&test, i, 0);
    }
    signet_client_free(plain);
    cache_end(&test);
}

/* ---- Verdicts ---- */

static void test_verify__what_the_daemon_found_good_is_asked_once(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
        cache_expect(&test, 1, 1);
    }
    assert_int_equal(cache_verify(&test, "a.b.d"), SIGNET_OK);
    cache_expect(&test, 2, 2);
    const struct signet_verify_options options = cache_options();
    struct signet_verified *verified = NULL;
    assert_int_equal(signet_verify_bearer(test.client, "Bearer a.b.c", &options, &verified, NULL),
                     SIGNET_OK);
    assert_string_equal(signet_verified_jti(verified), "a.b.c");
    signet_verified_free(verified);
    cache_expect(&test, 2, 2);
    cache_end(&test);
}

static void test_verify__what_is_good_here_crosses_not_at_all(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
        cache_expect(&test, 0, 1);
    }
    cache_end(&test);
}

/* Neither the cache nor this process can use a token up. */
static void test_verify__what_is_to_be_used_up_is_asked_each_time(void **state)
{
    (void)state;
    struct cache_test test;
    struct signet_verify_options options = cache_options();
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 1, 1);
    options.consume = true;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_OK);
    cache_expect(&test, 2, 1);
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    assert_int_equal(cache_verify_as(test.client, "d.e.f", &options), SIGNET_OK);
    cache_expect(&test, 3, 1);
    cache_end(&test);
}

static void test_verify__results_outlive_cache_and_client(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin_with(&test, 1);
    const struct signet_verify_options options = cache_options();
    struct signet_verified *results[4] = {NULL};
    for (size_t i = 0; i < 4; i++) { /* asked, out of the cache; judged here, out of the cache */
        atomic_store(&test.local.outcome, i < 2 ? SG_LOCAL_ASK : SG_LOCAL_GOOD);
        const char *token = i < 2 ? "a.b.c" : "a.b.d";
        assert_int_equal(signet_verify(test.client, token, 5, &options, &results[i], NULL),
                         SIGNET_OK);
    }
    cache_expect(&test, 1, 2);
    atomic_store(&test.local.generation, 2);
    signet_client_free(test.client);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(signet_verified_jti(results[i]), i < 2 ? "a.b.c" : "a.b.d");
        assert_string_equal(signet_verified_audience(results[i], 0), "me");
        signet_verified_free(results[i]);
    }
    test.client = NULL;
    cache_end(&test);
}

static void test_verify__refusals_are_not_remembered(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.local.outcome, SG_LOCAL_REFUSED);
    const struct signet_verify_options options = cache_options();
    for (unsigned i = 1; i <= 3; i++) {
        struct signet_verified *verified = NULL;
        struct signet_error error;
        assert_int_equal(signet_verify(test.client, "a.b.c", 5, &options, &verified, &error),
                         SIGNET_REJECTED);
        assert_int_equal(error.reason, SIGNET_REASON_REVOKED);
        assert_string_equal(error.message, "refused here");
        cache_expect(&test, 0, i);
    }
    atomic_store(&test.local.outcome, SG_LOCAL_ASK);
    atomic_store(&test.daemon->mode, CACHE_REFUSES);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_REJECTED);
        cache_expect(&test, i, 3 + i);
    }
    atomic_store(&test.daemon->mode, CACHE_FAILS);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_INTERNAL);
    atomic_store(&test.daemon->mode, CACHE_HONEST);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 5, 8);
    cache_end(&test);
}

static void test_verify__without_memory_there_is_no_verdict(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.local.outcome, SG_LOCAL_NO_MEMORY);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_RESOURCE_EXHAUSTED);
    atomic_store(&test.local.outcome, 0); /* no outcome is no verdict */
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 1, 2);
    cache_end(&test);
}

static void test_verify__what_cannot_be_a_token_is_malformed_as_before(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    static char large[SG_MAX_TOKEN_LEN + 1];
    memset(large, 'a', sizeof(large));
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    static const struct signet_token_view bad[] = {
        {"a.b.c\0", 6}, {"", 0}, {"a.b.c ", 6}, {large, sizeof(large)}};
    const struct signet_verify_options options = cache_options();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct signet_verified *verified = NULL;
        struct signet_error error;
        assert_int_equal(
            signet_verify(test.client, bad[i].token, bad[i].token_len, &options, &verified, &error),
            SIGNET_REJECTED);
        assert_int_equal(error.reason, SIGNET_REASON_MALFORMED);
    }
    cache_expect(&test, 1, 1);
    cache_end(&test);
}

/* ---- The board ---- */

static void test_board__one_that_may_not_be_believed_counts_for_nothing(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    atomic_store(&test.local.generation, 0);
    for (unsigned i = 2; i <= 4; i++) {
        assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
        cache_expect(&test, i, 1);
    }
    /* When that cannot be asked either, there is no verdict. */
    fake_server_kill(&test.server, SIGKILL);
    struct signet_verify_options options = cache_options();
    options.timeout_ms = 50;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_UNAVAILABLE);
    atomic_store(&test.local.generation, 1);
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_OK);
    cache_end(&test);
}

static void test_board__another_generation_ends_all_verdicts(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    atomic_store(&test.local.generation, 2);
    atomic_store(&test.daemon->mode, CACHE_REFUSES);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_REJECTED);
    cache_expect(&test, 2, 2);
    atomic_store(&test.daemon->mode, CACHE_HONEST);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 3, 3);
    cache_end(&test);
}

static void test_board__a_change_while_a_token_is_judged_leaves_it_to_the_daemon(void **state)
{
    (void)state;
    static const unsigned outcomes[] = {SG_LOCAL_GOOD, SG_LOCAL_REFUSED};
    struct cache_test test;
    cache_begin(&test);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&test.local.outcome, outcomes[i]);
        atomic_store(&test.local.generation, 10 + i);
        atomic_store(&test.local.next, 20 + i);
        atomic_store(&test.daemon->mode, i == 0 ? CACHE_REFUSES : CACHE_HONEST);
        assert_int_equal(cache_verify(&test, "a.b.c"), i == 0 ? SIGNET_REJECTED : SIGNET_OK);
        cache_expect(&test, i + 1, i + 1);
    }
    /* Likewise if it may not be believed any more. */
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    assert_int_equal(cache_verify(&test, "other"), SIGNET_OK);
    cache_expect(&test, 2, 3);
    cache_end(&test);
}

static void test_board__without_the_key_nothing_is_kept(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.local.from, 1);
    atomic_store(&test.local.until, 0); /* there is none */
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 2, 2);
    atomic_store(&test.local.until, 1000); /* its time is over */
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 4, 4);
    atomic_store(&test.local.from, INT64_C(4000000000)); /* or to come */
    atomic_store(&test.local.until, INT64_C(5000000000));
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 6, 6);
    cache_end(&test);
}

/* ---- Options ---- */

static void test_options__a_hit_is_for_what_is_asked_now(void **state)
{
    (void)state;
    static const char *const you[] = {"you"};
    static const char *const both[] = {"you", "me"};
    struct cache_test test;
    cache_begin(&test);
    const struct signet_verify_options good = cache_options();
    struct signet_verify_options options = good;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_OK);
    options.audiences = both;
    options.num_audiences = 2;
    options.issuer = "https://issuer";
    options.keyset = "keyset";
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_OK);
    cache_expect(&test, 1, 1);
    struct signet_verify_options others[] = {good, good, good, good, good};
    others[0].audiences = you;
    others[1].issuer = "https://other";
    others[2].keyset = "other";
    others[3].subject = "alice";
    others[4].typ = "at+jwt";
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(cache_verify_as(test.client, "a.b.c", &others[i]), SIGNET_OK);
        cache_expect(&test, 2 + i, 2 + i);
    }
    cache_end(&test);
}

static void test_options__that_are_invalid_are_so_for_a_hit_as_well(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    struct signet_verify_options options = cache_options();
    options.timeout_ms = 60001;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_INVALID_ARGUMENT);
    options = cache_options();
    options.any_audience = true;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_INVALID_ARGUMENT);
    options = cache_options();
    options.leeway_s = 301;
    assert_int_equal(cache_verify_as(test.client, "a.b.c", &options), SIGNET_INVALID_ARGUMENT);
    cache_expect(&test, 1, 1);
    cache_end(&test);
}

static void test_options__the_cache_can_be_off(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin_with(&test, SIGNET_CACHE_OFF);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
        cache_expect(&test, i, i);
    }
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    cache_expect(&test, 3, 4);
    cache_end(&test);
}

/* ---- Batches ---- */

static const struct signet_token_view cache_views[] = {
    {"a.b.0", 5}, {"", 0}, {"a.b.1", 5}, {"a.b.2", 5}};
#define CACHE_NUM_VIEWS (sizeof(cache_views) / sizeof(cache_views[0]))

/* All are as `expected`, but for the second, which is no token. */
static void cache_many(const struct cache_test *test, signet_status expected)
{
    const struct signet_verify_options options = cache_options();
    struct signet_verify_batch *batch = NULL;
    struct signet_error error;
    assert_int_equal(
        signet_verify_many(test->client, cache_views, CACHE_NUM_VIEWS, &options, &batch, &error),
        SIGNET_OK);
    for (size_t i = 0; i < CACHE_NUM_VIEWS; i++) {
        const struct signet_verified *verified = NULL;
        signet_status status = signet_verify_batch_get(batch, i, &verified, &error);
        assert_int_equal(status, i == 1 ? SIGNET_REJECTED : expected);
        if (status == SIGNET_OK) {
            assert_string_equal(signet_verified_jti(verified), cache_views[i].token);
        } else {
            assert_int_equal(error.reason,
                             i == 1 ? SIGNET_REASON_MALFORMED : SIGNET_REASON_REVOKED);
        }
    }
    signet_verify_batch_free(batch);
}

static void test_many__only_what_is_not_known_crosses(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.1"), SIGNET_OK);
    cache_many(&test, SIGNET_OK);
    assert_int_equal(atomic_load(&test.daemon->num_batched), 2);
    cache_expect(&test, 2, 3);
    cache_many(&test, SIGNET_OK);
    assert_int_equal(cache_verify(&test, "a.b.2"), SIGNET_OK);
    cache_expect(&test, 2, 3);
    atomic_store(&test.local.generation, 2);
    cache_many(&test, SIGNET_OK);
    assert_int_equal(atomic_load(&test.daemon->num_batched), 3);
    cache_end(&test);
}

static void test_many__what_can_be_judged_here_does_not_cross(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.local.outcome, SG_LOCAL_REFUSED);
    cache_many(&test, SIGNET_REJECTED);
    cache_many(&test, SIGNET_REJECTED);
    cache_expect(&test, 0, 6);
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    cache_many(&test, SIGNET_OK);
    cache_many(&test, SIGNET_OK);
    cache_expect(&test, 0, 9);
    atomic_store(&test.local.outcome, SG_LOCAL_NO_MEMORY);
    atomic_store(&test.local.generation, 2);
    const struct signet_verify_options options = cache_options();
    struct signet_verify_batch *batch = NULL;
    assert_int_equal(
        signet_verify_many(test.client, cache_views, CACHE_NUM_VIEWS, &options, &batch, NULL),
        SIGNET_RESOURCE_EXHAUSTED);
    assert_null(batch);
    cache_end(&test);
}

/* ---- At the same time ---- */

#define CACHE_NUM_CALLERS 16u

struct caller {
    const struct cache_test *test;
    uint32_t timeout_ms;
    signet_status status;
    pthread_t thread;
};

static void *caller_main(void *argument)
{
    struct caller *self = argument;
    struct signet_verify_options options = cache_options();
    options.timeout_ms = self->timeout_ms;
    self->status = cache_verify_as(self->test->client, "a.b.c", &options);
    return NULL;
}

static void callers_start(const struct cache_test *test, struct caller *callers, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        callers[i] = (struct caller){.test = test};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
    }
}

static void callers_end(struct caller *callers, size_t num, signet_status expected)
{
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_int_equal(callers[i].status, expected);
    }
}

static void cache_await_requests(const struct cache_test *test, unsigned num)
{
    while (atomic_load(&test->daemon->num_requests) < num) {
        (void)sched_yield();
    }
}

/* Until somebody waits for who leads. */
static void cache_await_followers(const struct cache_test *test)
{
    struct sg_flights *flights = &test->client->attached.flights;
    for (bool is_awaited = false; !is_awaited;) {
        uint32_t epoch = sg_pool_epoch(&test->client->pool);
        sg_epoch_lock_take(&flights->lock, epoch);
        for (size_t i = 0; i < SG_FLIGHTS_MAX; i++) {
            is_awaited = is_awaited ||
                         (flights->flights[i].epoch == epoch && flights->flights[i].is_awaited);
        }
        sg_epoch_lock_give(&flights->lock);
        (void)sched_yield();
    }
}

static void test_flights__concurrent_misses_make_one_request(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    struct caller callers[CACHE_NUM_CALLERS];
    for (unsigned i = 1; i <= 20; i++) {
        atomic_store(&test.local.generation, i);
        atomic_store(&test.daemon->holds, true);
        callers_start(&test, callers, CACHE_NUM_CALLERS);
        cache_await_requests(&test, i);
        cache_await_followers(&test);
        atomic_store(&test.daemon->holds, false);
        callers_end(callers, CACHE_NUM_CALLERS, SIGNET_OK);
        assert_int_equal(atomic_load(&test.daemon->num_requests), i);
    }
    /* Without a wait for the others: whoever is late finds it in the cache. */
    for (unsigned i = 21; i <= 60; i++) {
        atomic_store(&test.local.generation, i);
        callers_start(&test, callers, CACHE_NUM_CALLERS);
        callers_end(callers, CACHE_NUM_CALLERS, SIGNET_OK);
        assert_int_equal(atomic_load(&test.daemon->num_requests), i);
    }
    cache_end(&test);
}

static void test_flights__when_the_leader_fails_each_asks(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.daemon->mode, CACHE_FAILS);
    atomic_store(&test.daemon->holds, true);
    struct caller callers[CACHE_NUM_CALLERS];
    callers_start(&test, callers, CACHE_NUM_CALLERS);
    cache_await_requests(&test, 1);
    cache_await_followers(&test);
    atomic_store(&test.daemon->holds, false);
    callers_end(callers, CACHE_NUM_CALLERS, SIGNET_INTERNAL);
    assert_int_equal(atomic_load(&test.daemon->num_requests), CACHE_NUM_CALLERS);
    cache_end(&test);
}

static void test_flights__who_waits_keeps_to_its_own_timeout(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.daemon->holds, true);
    struct caller leader;
    callers_start(&test, &leader, 1);
    cache_await_requests(&test, 1);
    struct signet_verify_options options = cache_options();
    options.timeout_ms = 30;
    struct signet_verified *verified = NULL;
    struct signet_error error;
    assert_int_equal(signet_verify(test.client, "a.b.c", 5, &options, &verified, &error),
                     SIGNET_DEADLINE_EXCEEDED);
    assert_string_equal(error.code, "TIMEOUT");
    assert_int_equal(atomic_load(&test.daemon->num_requests), 1);
    atomic_store(&test.daemon->holds, false);
    callers_end(&leader, 1, SIGNET_OK);
    cache_end(&test);
}

/* What was asked before a change is no verdict after it. */
static void test_flights__an_answer_is_tied_to_the_board_at_the_question(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.daemon->holds, true);
    struct caller caller;
    callers_start(&test, &caller, 1);
    cache_await_requests(&test, 1);
    atomic_store(&test.local.generation, 2);
    atomic_store(&test.daemon->holds, false);
    callers_end(&caller, 1, SIGNET_OK);
    atomic_store(&test.daemon->mode, CACHE_REFUSES);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_REJECTED);
    /* Nor if it changes when the answer is there, and its key is looked up. */
    atomic_store(&test.daemon->mode, CACHE_HONEST);
    atomic_store(&test.daemon->holds, true);
    callers_start(&test, &caller, 1);
    cache_await_requests(&test, 3);
    atomic_store(&test.local.next, 3);
    atomic_store(&test.daemon->holds, false);
    callers_end(&caller, 1, SIGNET_OK);
    assert_int_equal(atomic_load(&test.local.generation), 3);
    atomic_store(&test.daemon->mode, CACHE_REFUSES);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_REJECTED);
    atomic_store(&test.local.generation, 2); /* what was looked up may have been of the other */
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_REJECTED);
    cache_end(&test);
}

/* ---- Crowds, and processes that fork ---- */

#define CROWD_NUM_THREADS 64u
#define CROWD_NUM_STEPS   (SG_SANITIZED ? 150u : 1500u)
#define CROWD_NUM_FORKS   40u

struct crowd {
    const struct cache_test *test;
    _Atomic unsigned num_started;
    atomic_bool failed;
    atomic_bool stop;
};

static bool crowd_step(const struct cache_test *test, unsigned number)
{
    char token[24];
    (void)snprintf(token, sizeof(token), "token.%u", number % 20);
    return cache_verify(test, token) == SIGNET_OK;
}

static void *crowd_main(void *argument)
{
    struct crowd *crowd = argument;
    unsigned random = atomic_fetch_add(&crowd->num_started, 1) + 1;
    for (unsigned i = 0; i < CROWD_NUM_STEPS && !atomic_load(&crowd->stop); i++) {
        random = random * 1103515245u + 12345u;
        if (!crowd_step(crowd->test, random >> 16)) {
            atomic_store(&crowd->failed, true);
        }
    }
    return NULL;
}

static void *crowd_change(void *argument)
{
    struct crowd *crowd = argument;
    struct fake_local *local = (struct fake_local *)(uintptr_t)&crowd->test->local;
    for (unsigned i = 2; !atomic_load(&crowd->stop); i++) {
        atomic_store(&local->generation, i % 16); /* now and then there is none */
        atomic_store(&local->outcome, i % 3 == 0 ? SG_LOCAL_GOOD : SG_LOCAL_ASK);
        for (unsigned j = 0; j < 100; j++) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void test_crowd__each_gets_its_own_verdict(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin_with(&test, 16); /* fewer than there are tokens */
    struct crowd crowd = {.test = &test};
    pthread_t threads[CROWD_NUM_THREADS];
    pthread_t changer;
    assert_int_equal(pthread_create(&changer, NULL, crowd_change, &crowd), 0);
    for (size_t i = 0; i < CROWD_NUM_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    }
    for (size_t i = 0; i < CROWD_NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    atomic_store(&crowd.stop, true);
    assert_int_equal(pthread_join(changer, NULL), 0);
    assert_false(atomic_load(&crowd.failed));
    cache_end(&test);
}

static void cache_expect_good(pid_t child)
{
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_fork__a_child_starts_with_no_verdicts(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK);
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool good = cache_verify(&test, "a.b.c") == SIGNET_OK &&
                    atomic_load(&test.daemon->num_requests) == 2 &&
                    cache_verify(&test, "a.b.c") == SIGNET_OK &&
                    atomic_load(&test.daemon->num_requests) == 2;
        signet_client_free(test.client);
        _exit(good ? 0 : 1);
    }
    cache_expect_good(child);
    assert_int_equal(cache_verify(&test, "a.b.c"), SIGNET_OK); /* the parent's is still there */
    cache_expect(&test, 2, 1);
    cache_end(&test);
}

static void test_fork__a_child_waits_for_nobody_of_its_parent(void **state)
{
    (void)state;
    struct cache_test test;
    cache_begin(&test);
    atomic_store(&test.daemon->holds, true);
    struct caller leader;
    callers_start(&test, &leader, 1);
    cache_await_requests(&test, 1);
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(cache_verify(&test, "a.b.c") == SIGNET_OK ? 0 : 1);
    }
    cache_await_requests(&test, 2); /* the child's own, while the leader is still waiting */
    atomic_store(&test.daemon->holds, false);
    cache_expect_good(child);
    callers_end(&leader, 1, SIGNET_OK);
    cache_end(&test);
}

static void test_fork__while_other_threads_are_in_calls(void **state)
{
    (void)state;
    if (CACHE_MALLOC_IS_UNSAFE) {
        skip();
    }
    struct cache_test test;
    cache_begin_with(&test, 8); /* so that something is always being put */
    atomic_store(&test.local.outcome, SG_LOCAL_GOOD);
    pthread_t threads[8];
    for (unsigned i = 0; i < CROWD_NUM_FORKS; i++) {
        struct crowd crowd = {.test = &test};
        for (size_t j = 0; j < 8; j++) {
            assert_int_equal(pthread_create(&threads[j], NULL, crowd_main, &crowd), 0);
        }
        pid_t child = fork();
        if (child == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            bool good = true;
            for (unsigned j = 0; j < 200 && good; j++) {
                good = crowd_step(&test, j);
            }
            signet_client_free(test.client);
            _exit(good ? 0 : 1);
        }
        cache_expect_good(child);
        atomic_store(&crowd.stop, true);
        for (size_t j = 0; j < 8; j++) {
            assert_int_equal(pthread_join(threads[j], NULL), 0);
        }
        assert_false(atomic_load(&crowd.failed));
    }
    cache_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach__only_the_same_version_and_once),
        cmocka_unit_test(test_verify__nothing_is_remembered_before_something_is_attached),
        cmocka_unit_test(test_verify__what_the_daemon_found_good_is_asked_once),
        cmocka_unit_test(test_verify__what_is_good_here_crosses_not_at_all),
        cmocka_unit_test(test_verify__what_is_to_be_used_up_is_asked_each_time),
        cmocka_unit_test(test_verify__results_outlive_cache_and_client),
        cmocka_unit_test(test_verify__refusals_are_not_remembered),
        cmocka_unit_test(test_verify__without_memory_there_is_no_verdict),
        cmocka_unit_test(test_verify__what_cannot_be_a_token_is_malformed_as_before),
        cmocka_unit_test(test_board__one_that_may_not_be_believed_counts_for_nothing),
        cmocka_unit_test(test_board__another_generation_ends_all_verdicts),
        cmocka_unit_test(test_board__a_change_while_a_token_is_judged_leaves_it_to_the_daemon),
        cmocka_unit_test(test_board__without_the_key_nothing_is_kept),
        cmocka_unit_test(test_options__a_hit_is_for_what_is_asked_now),
        cmocka_unit_test(test_options__that_are_invalid_are_so_for_a_hit_as_well),
        cmocka_unit_test(test_options__the_cache_can_be_off),
        cmocka_unit_test(test_many__only_what_is_not_known_crosses),
        cmocka_unit_test(test_many__what_can_be_judged_here_does_not_cross),
        cmocka_unit_test(test_flights__concurrent_misses_make_one_request),
        cmocka_unit_test(test_flights__when_the_leader_fails_each_asks),
        cmocka_unit_test(test_flights__who_waits_keeps_to_its_own_timeout),
        cmocka_unit_test(test_flights__an_answer_is_tied_to_the_board_at_the_question),
        cmocka_unit_test(test_crowd__each_gets_its_own_verdict),
        cmocka_unit_test(test_fork__a_child_starts_with_no_verdicts),
        cmocka_unit_test(test_fork__a_child_waits_for_nobody_of_its_parent),
        cmocka_unit_test(test_fork__while_other_threads_are_in_calls),
    };
    (void)alarm(CACHE_WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
