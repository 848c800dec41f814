/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of the verdict cache (client/verdicts.h): what is found in it and what is not, its bounds, many threads,
 * and processes that forked. The alarm in main bounds every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/private.h"
#include "client/verdicts.h"

/* As in test_client_fork: gcc 12's and clang 14's address sanitizer has a lock that fork() does not know. */
#if defined(__SANITIZE_ADDRESS__)
#define VERDICTS_MALLOC_IS_UNSAFE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERDICTS_MALLOC_IS_UNSAFE 1
#endif
#endif
#ifndef VERDICTS_MALLOC_IS_UNSAFE
#define VERDICTS_MALLOC_IS_UNSAFE 0
#endif

#define VERDICTS_WATCHDOG_S (SG_SANITIZED ? 400u : 100u)
#define VERDICTS_NOW        INT64_C(1000000)
#define VERDICTS_MEMORY     (1u << 20)

static char *verdicts_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- A token, and what it is known by ---- */

static const struct signet_verify_options verdicts_anyone = {.any_audience = true};
static const struct sg_standing verdicts_standing = {.span = {0, VERDICTS_NOW * 2}};

static void verdicts_token(Signet__V1__VerifiedToken *token, const char *jti)
{
    signet__v1__verified_token__init(token);
    token->issuer = verdicts_text("https://issuer");
    token->expires_at = VERDICTS_NOW + 100;
    token->jti = verdicts_text(jti);
    token->kid = verdicts_text("kid");
    token->keyset = verdicts_text("keyset");
    token->claims_json = verdicts_text("{}");
}

static struct sg_verdicts_key verdicts_key(const struct sg_verdicts *verdicts, const char *token)
{
    size_t len = strlen(token);
    return (struct sg_verdicts_key){token, len, sg_verdicts_hash(verdicts, token, len), 7, 1};
}

/* Puts a token, whose jti is what follows `as`. */
static void verdicts_put(struct sg_verdicts *verdicts, const struct sg_verdicts_key *key,
                         const char *as)
{
    Signet__V1__VerifiedToken token;
    verdicts_token(&token, as);
    sg_verdicts_put(verdicts, key, &token, &verdicts_standing);
}

/* Whether it is found, and is what was put. */
static bool verdicts_has(struct sg_verdicts *verdicts, const struct sg_verdicts_key *key,
                         const char *as)
{
    struct signet_verified *found = sg_verdicts_get(verdicts, key, &verdicts_anyone, VERDICTS_NOW);
    if (found == NULL) {
        return false;
    }
    assert_string_equal(signet_verified_jti(found), as);
    signet_verified_free(found);
    return true;
}

static struct sg_verdicts *verdicts_new(size_t max_entries, size_t max_bytes)
{
    struct sg_verdicts *verdicts = sg_verdicts_new(max_entries, max_bytes);
    assert_non_null(verdicts);
    return verdicts;
}

/* ---- What is found ---- */

static void test_get__finds_the_whole_token_only(void **state)
{
    (void)state;
    static const char token[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbb.cccc";
    struct sg_verdicts *verdicts = verdicts_new(64, VERDICTS_MEMORY);
    struct sg_verdicts_key key = verdicts_key(verdicts, token);
    assert_false(verdicts_has(verdicts, &key, "j"));
    verdicts_put(verdicts, &key, "j");
    assert_true(verdicts_has(verdicts, &key, "j"));
    for (size_t i = 0; i < sizeof(token) - 1; i++) {
        char other[sizeof(token)];
        memcpy(other, token, sizeof(token));
        other[i] ^= 1;
        struct sg_verdicts_key other_key = verdicts_key(verdicts, other);
        assert_false(verdicts_has(verdicts, &other_key, "j"));
        other_key.hash = key.hash; /* even if they collided */
        assert_false(verdicts_has(verdicts, &other_key, "j"));
    }
    struct sg_verdicts_key shorter = key;
    shorter.token_len--;
    assert_false(verdicts_has(verdicts, &shorter, "j"));
    sg_verdicts_free(verdicts);
}

static void test_get__tokens_that_collide_are_kept_apart(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(64, VERDICTS_MEMORY);
    struct sg_verdicts_key one = verdicts_key(verdicts, "a.b.c");
    struct sg_verdicts_key two = verdicts_key(verdicts, "a.b.d");
    two.hash = one.hash;
    verdicts_put(verdicts, &one, "one");
    verdicts_put(verdicts, &two, "two");
    assert_true(verdicts_has(verdicts, &one, "one"));
    assert_true(verdicts_has(verdicts, &two, "two"));
    /* The same part of the hash that finds the place, but another hash. */
    struct sg_verdicts_key near = one;
    near.hash ^= UINT64_C(1) << 40;
    assert_false(verdicts_has(verdicts, &near, "one"));
    sg_verdicts_free(verdicts);
}

static void test_get__only_under_the_generation_and_in_the_process(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(64, VERDICTS_MEMORY);
    struct sg_verdicts_key key = verdicts_key(verdicts, "a.b.c");
    verdicts_put(verdicts, &key, "j");
    struct sg_verdicts_key other = key;
    other.generation++;
    assert_false(verdicts_has(verdicts, &other, "j"));
    other.generation = key.generation - 1;
    assert_false(verdicts_has(verdicts, &other, "j"));
    other = key;
    other.epoch++;
    assert_false(verdicts_has(verdicts, &other, "j"));
    assert_true(verdicts_has(verdicts, &key, "j"));
    sg_verdicts_free(verdicts);
}

static void test_get__asks_whether_it_stands(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(64, VERDICTS_MEMORY);
    struct sg_verdicts_key key = verdicts_key(verdicts, "a.b.c");
    verdicts_put(verdicts, &key, "j");
    struct signet_verified *found =
        sg_verdicts_get(verdicts, &key, &verdicts_anyone, VERDICTS_NOW + 99);
    assert_non_null(found);
    signet_verified_free(found);
    assert_null(sg_verdicts_get(verdicts, &key, &verdicts_anyone, VERDICTS_NOW + 100));
    sg_verdicts_free(verdicts);
}

static void test_put__the_last_verdict_on_a_token_counts(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(64, VERDICTS_MEMORY);
    struct sg_verdicts_key key = verdicts_key(verdicts, "a.b.c");
    size_t num = 0;
    size_t bytes = 0;
    for (unsigned i = 0; i < 20; i++) {
        char jti[8];
        (void)snprintf(jti, sizeof(jti), "%u", i);
        key.generation = 100 + i;
        verdicts_put(verdicts, &key, jti);
        assert_true(verdicts_has(verdicts, &key, jti));
        sg_verdicts_measure(verdicts, &num, &bytes);
        assert_int_equal(num, 1);
    }
    sg_verdicts_free(verdicts);
}

/* ---- Copies ---- */

static void verdicts_check_claims(const struct signet_verified *found)
{
    const char *text = NULL;
    int64_t integer = 0;
    double real = 0;
    bool boolean = false;
    assert_int_equal(signet_verified_num_claims(found), 5);
    assert_int_equal(signet_verified_claim_string(found, "s", &text), SIGNET_OK);
    assert_string_equal(text, "string");
    assert_int_equal(signet_verified_claim_int(found, "i", &integer), SIGNET_OK);
    assert_int_equal(integer, -42);
    assert_int_equal(signet_verified_claim_double(found, "d", &real), SIGNET_OK);
    assert_true(real > 1.4 && real < 1.6);
    assert_int_equal(signet_verified_claim_bool(found, "b", &boolean), SIGNET_OK);
    assert_true(boolean);
    assert_int_equal(signet_verified_claim_json(found, "j", &text), SIGNET_OK);
    assert_string_equal(text, "[1,{}]");
}

static void verdicts_check_copy(const struct signet_verified *found)
{
    int64_t time = 0;
    assert_string_equal(signet_verified_issuer(found), "https://issuer");
    assert_string_equal(signet_verified_subject(found), "alice");
    assert_int_equal(signet_verified_num_audiences(found), 2);
    assert_string_equal(signet_verified_audience(found, 0), "me");
    assert_string_equal(signet_verified_audience(found, 1), "");
    assert_null(signet_verified_audience(found, 2));
    assert_int_equal(signet_verified_expires_at(found), VERDICTS_NOW + 100);
    assert_int_equal(signet_verified_not_before(found, &time), SIGNET_OK);
    assert_int_equal(time, -5);
    assert_int_equal(signet_verified_issued_at(found, &time), SIGNET_NOT_FOUND);
    assert_string_equal(signet_verified_jti(found), "");
    assert_string_equal(signet_verified_kid(found), "kid");
    assert_string_equal(signet_verified_keyset(found), "keyset");
    assert_string_equal(signet_verified_typ(found), "JWT");
    assert_string_equal(signet_verified_claims_json(found), "{\"x\":1}");
    verdicts_check_claims(found);
}

/* A copy is whole, and outlives what it was made of. */
static void test_get__copies_all_of_a_token(void **state)
{
    (void)state;
    Signet__V1__Claim claims[5];
    Signet__V1__Claim *list[5];
    static const char *const names[] = {"s", "i", "d", "b", "j"};
    for (size_t i = 0; i < 5; i++) {
        signet__v1__claim__init(&claims[i]);
        claims[i].name = verdicts_text(names[i]);
        list[i] = &claims[i];
    }
    claims[0].value_case = SIGNET__V1__CLAIM__VALUE_STRING_VALUE;
    claims[0].string_value = verdicts_text("string");
    claims[1].value_case = SIGNET__V1__CLAIM__VALUE_INT_VALUE;
    claims[1].int_value = -42;
    claims[2].value_case = SIGNET__V1__CLAIM__VALUE_DOUBLE_VALUE;
    claims[2].double_value = 1.5;
    claims[3].value_case = SIGNET__V1__CLAIM__VALUE_BOOL_VALUE;
    claims[3].bool_value = 1;
    claims[4].value_case = SIGNET__V1__CLAIM__VALUE_JSON_VALUE;
    claims[4].json_value = verdicts_text("[1,{}]");
    char *audiences[] = {verdicts_text("me"), verdicts_text("")};
    Signet__V1__VerifiedToken token;
    verdicts_token(&token, "");
    token.subject = verdicts_text("alice");
    token.typ = verdicts_text("JWT");
    token.audience = audiences;
    token.n_audience = 2;
    token.has_not_before = true;
    token.not_before = -5;
    token.claims_json = verdicts_text("{\"x\":1}");
    token.claims = list;
    token.n_claims = 5;

    struct sg_verdicts *verdicts = verdicts_new(1, VERDICTS_MEMORY);
    struct sg_verdicts_key key = verdicts_key(verdicts, "a.b.c");
    sg_verdicts_put(verdicts, &key, &token, &verdicts_standing);
    memset(claims, 0, sizeof(claims)); /* nothing of it is borrowed */
    memset(&token, 0, sizeof(token));
    struct signet_verified *found = sg_verdicts_get(verdicts, &key, &verdicts_anyone, VERDICTS_NOW);
    assert_non_null(found);
    verdicts_check_copy(found);
    struct sg_verdicts_key other = verdicts_key(verdicts, "d.e.f");
    verdicts_put(verdicts, &other, "j"); /* evicts the first */
    assert_false(verdicts_has(verdicts, &key, ""));
    verdicts_check_copy(found);
    sg_verdicts_free(verdicts);
    verdicts_check_copy(found);
    signet_verified_free(found);
}

/* ---- Bounds ---- */

static void verdicts_put_number(struct sg_verdicts *verdicts, unsigned number, size_t pad)
{
    char token[4200];
    assert_true(pad < sizeof(token) - 20);
    int len = snprintf(token, sizeof(token), "%u.", number);
    memset(token + len, 'x', pad);
    token[(size_t)len + pad] = '\0';
    struct sg_verdicts_key key = verdicts_key(verdicts, token);
    verdicts_put(verdicts, &key, "j");
}

static void test_put__never_keeps_more_than_it_may(void **state)
{
    (void)state;
    static const size_t max[] = {1, 2, 7, 8, 9, 100, 1000};
    for (size_t i = 0; i < sizeof(max) / sizeof(max[0]); i++) {
        struct sg_verdicts *verdicts = verdicts_new(max[i], VERDICTS_MEMORY * 16);
        size_t num = 0;
        size_t bytes = 0;
        for (unsigned j = 0; j < 5 * max[i] + 20; j++) {
            verdicts_put_number(verdicts, j, 0);
            sg_verdicts_measure(verdicts, &num, &bytes);
            assert_true(num <= max[i]);
        }
        assert_true(num >= (max[i] < 8 ? max[i] : max[i] / 8 * 8 * 9 / 10));
        sg_verdicts_free(verdicts);
    }
}

static void test_put__never_takes_more_memory_than_it_may(void **state)
{
    (void)state;
    const size_t max =
        16u << 10; /* two to four tokens of those below a set, which has room for eight */
    struct sg_verdicts *verdicts = verdicts_new(16, max);
    size_t num = 0;
    size_t bytes = 0;
    size_t most = 0;
    for (unsigned i = 0; i < 2000; i++) {
        verdicts_put_number(verdicts, i, i * 37 % 4000);
        sg_verdicts_measure(verdicts, &num, &bytes);
        assert_true(bytes <= max);
        most = bytes > most ? bytes : most;
    }
    assert_true(most > max / 2);
    sg_verdicts_free(verdicts);

    /* One alone that is too large is not kept, and drives out nothing. */
    verdicts = verdicts_new(1, 2000);
    struct sg_verdicts_key key = verdicts_key(verdicts, "a.b.c");
    verdicts_put(verdicts, &key, "j");
    verdicts_put_number(verdicts, 1, 4000);
    assert_true(verdicts_has(verdicts, &key, "j"));
    sg_verdicts_free(verdicts);
}

static struct sg_verdicts_key verdicts_numbered(const struct sg_verdicts *verdicts, char *token,
                                                size_t cap, const char *name, unsigned number)
{
    (void)snprintf(token, cap, "%s.%u", name, number);
    return verdicts_key(verdicts, token);
}

static void test_put__what_is_used_stays(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(8, VERDICTS_MEMORY);
    struct sg_verdicts_key used = verdicts_key(verdicts, "used");
    verdicts_put(verdicts, &used, "j");
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(verdicts_has(verdicts, &used, "j"));
        verdicts_put_number(verdicts, i, 0);
    }
    sg_verdicts_free(verdicts);
}

static void test_put__what_is_dead_goes_first_however_much_it_was_used(void **state)
{
    (void)state;
    struct sg_verdicts *verdicts = verdicts_new(8, VERDICTS_MEMORY);
    char token[24];
    for (unsigned i = 0; i < 8; i++) {
        struct sg_verdicts_key old = verdicts_numbered(verdicts, token, sizeof(token), "old", i);
        verdicts_put(verdicts, &old, "j");
    }
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned j = 0; j < 8; j++) {
            struct sg_verdicts_key old =
                verdicts_numbered(verdicts, token, sizeof(token), "old", j);
            (void)verdicts_has(verdicts, &old, "j");
        }
        struct sg_verdicts_key young =
            verdicts_numbered(verdicts, token, sizeof(token), "young", i);
        young.generation++;
        verdicts_put(verdicts, &young, "j");
    }
    for (unsigned i = 0; i < 8; i++) {
        struct sg_verdicts_key young =
            verdicts_numbered(verdicts, token, sizeof(token), "young", i);
        young.generation++;
        assert_true(verdicts_has(verdicts, &young, "j"));
    }
    sg_verdicts_free(verdicts);
}

/* ---- Threads ---- */

#define CROWD_NUM_THREADS 64u
#define CROWD_NUM_TOKENS  24u
#define CROWD_NUM_STEPS   (SG_SANITIZED ? 1500u : 20000u)

struct crowd {
    struct sg_verdicts *verdicts;
    _Atomic unsigned num_started;
    _Atomic unsigned num_hits;
    atomic_bool failed;
};

static void *crowd_main(void *argument)
{
    struct crowd *crowd = argument;
    unsigned random = atomic_fetch_add(&crowd->num_started, 1) + 1;
    for (unsigned i = 0; i < CROWD_NUM_STEPS; i++) {
        random = random * 1103515245u + 12345u;
        char token[16];
        (void)snprintf(token, sizeof(token), "token.%u", (random >> 16) % CROWD_NUM_TOKENS);
        struct sg_verdicts_key key = verdicts_key(crowd->verdicts, token);
        struct signet_verified *found =
            sg_verdicts_get(crowd->verdicts, &key, &verdicts_anyone, VERDICTS_NOW);
        if (found == NULL) {
            verdicts_put(crowd->verdicts, &key, token);
            continue;
        }
        if (strcmp(signet_verified_jti(found), token) != 0 ||
            strcmp(signet_verified_kid(found), "kid") != 0) {
            atomic_store(&crowd->failed, true);
        }
        signet_verified_free(found);
        atomic_fetch_add(&crowd->num_hits, 1);
    }
    return NULL;
}

/* More threads than slots, and more tokens than places: entries go while others look at them. */
static void test_threads__each_finds_what_was_put(void **state)
{
    (void)state;
    struct crowd crowd = {.verdicts = verdicts_new(16, VERDICTS_MEMORY)};
    pthread_t threads[CROWD_NUM_THREADS];
    for (size_t i = 0; i < CROWD_NUM_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    }
    for (size_t i = 0; i < CROWD_NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(atomic_load(&crowd.failed));
    assert_true(atomic_load(&crowd.num_hits) > 0);
    sg_verdicts_free(crowd.verdicts);
}

/* ---- Processes that fork ---- */

#define FORK_NUM_FORKS (SG_SANITIZED ? 20u : 60u)

struct fork_crowd {
    struct sg_verdicts *verdicts;
    atomic_bool stop;
    _Atomic unsigned num_steps;
};

/* Always within the table: looking at a token that is there, or putting one. */
static void *fork_reader(void *argument)
{
    struct fork_crowd *crowd = argument;
    struct sg_verdicts_key key = verdicts_key(crowd->verdicts, "read");
    while (!atomic_load(&crowd->stop)) {
        (void)verdicts_has(crowd->verdicts, &key, "j");
        atomic_fetch_add(&crowd->num_steps, 1);
    }
    return NULL;
}

static void *fork_putter(void *argument)
{
    struct fork_crowd *crowd = argument;
    struct sg_verdicts_key key = verdicts_key(crowd->verdicts, "put");
    while (!atomic_load(&crowd->stop)) {
        verdicts_put(crowd->verdicts, &key, "j");
        atomic_fetch_add(&crowd->num_steps, 1);
    }
    return NULL;
}

/* In a child, which is of another epoch: it fills the table, and evicts what it inherited. */
static void fork_child(struct sg_verdicts *verdicts)
{
    (void)alarm(VERDICTS_WATCHDOG_S / 5);
    bool good = true;
    for (unsigned i = 0; i < 100; i++) {
        char token[24];
        struct sg_verdicts_key key = verdicts_numbered(verdicts, token, sizeof(token), "child", i);
        key.epoch = 2;
        verdicts_put(verdicts, &key, "j");
        struct signet_verified *found =
            sg_verdicts_get(verdicts, &key, &verdicts_anyone, VERDICTS_NOW);
        good = good && found != NULL;
        signet_verified_free(found);
    }
    struct sg_verdicts_key inherited = verdicts_key(verdicts, "read");
    inherited.epoch = 2;
    good = good && !verdicts_has(verdicts, &inherited, "j");
    sg_verdicts_free(verdicts);
    _exit(good ? 0 : 1);
}

static void test_fork__readers_and_locks_of_the_parent_hold_up_no_child(void **state)
{
    (void)state;
    if (VERDICTS_MALLOC_IS_UNSAFE) {
        skip();
    }
    struct fork_crowd crowd = {.verdicts = verdicts_new(8, VERDICTS_MEMORY)};
    struct sg_verdicts_key key = verdicts_key(crowd.verdicts, "read");
    verdicts_put(crowd.verdicts, &key, "j");
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 3 ? fork_reader : fork_putter, &crowd), 0);
    }
    for (unsigned i = 0; i < FORK_NUM_FORKS; i++) {
        unsigned num_steps = atomic_load(&crowd.num_steps);
        while (atomic_load(&crowd.num_steps) < num_steps + 100) {
            (void)sched_yield();
        }
        pid_t child = fork();
        if (child == 0) {
            fork_child(crowd.verdicts);
        }
        int status = -1;
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    sg_verdicts_free(crowd.verdicts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get__finds_the_whole_token_only),
        cmocka_unit_test(test_get__tokens_that_collide_are_kept_apart),
        cmocka_unit_test(test_get__only_under_the_generation_and_in_the_process),
        cmocka_unit_test(test_get__asks_whether_it_stands),
        cmocka_unit_test(test_put__the_last_verdict_on_a_token_counts),
        cmocka_unit_test(test_get__copies_all_of_a_token),
        cmocka_unit_test(test_put__never_keeps_more_than_it_may),
        cmocka_unit_test(test_put__never_takes_more_memory_than_it_may),
        cmocka_unit_test(test_put__what_is_used_stays),
        cmocka_unit_test(test_put__what_is_dead_goes_first_however_much_it_was_used),
        cmocka_unit_test(test_threads__each_finds_what_was_put),
        cmocka_unit_test(test_fork__readers_and_locks_of_the_parent_hold_up_no_child),
    };
    (void)alarm(VERDICTS_WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
