/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGKILL and SIGSTOP of the keyholder, the launcher and the daemon under load. Clients see UNAVAILABLE or
 * DEADLINE_EXCEEDED and nothing else, then service; what was signed verifies, and nothing else ever does.
 * The argument is the number of kills of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/integration/kills_audit.h"
#include "tests/support/keyed_daemon.h"
#include "tests/support/processes.h"

/* Each; with sanitizers everything takes several times as long. */
#define KILLS_DEFAULT      (SG_SANITIZED ? 6u : 50u)
#define KILLS_MAX_TOKENS   65536u
#define KILLS_TOKEN_MAX    800u
#define KILLS_PATIENCE_MS  (SG_SANITIZED ? 120000 : 30000)
#define KILLS_CALL_MS      (SG_SANITIZED ? 10000u : 2000u)
#define KILLS_LONG_CALL_MS 30000u
/* A keyholder that lived so long is followed by another at once, else after a while that doubles. */
#define KILLS_LIVED_MS     250u
#define KILLS_MAX_DELAY_MS 150u
/* So many that loading their keys takes a while. */
#define KILLS_MANY_KEYSETS (SG_SANITIZED ? 1u : 300u)
#define KILLS_TRIES        40u
#define KILLS_STARTS       5u
#define KILLS_BATCH        8u

static unsigned kills_num = KILLS_DEFAULT;

static const char *const kills_keysets[] = {"hs", "es", "rs"};
#define KILLS_NUM_KEYSETS 3u
static const char *const kills_audiences[] = {"orders"};

static const char kills_config[] =
    "  - name: hs\n    alg: HS256\n    issuer: https://login.example\n"
    "  - name: es\n    alg: ES256\n    issuer: https://login.example\n"
    "  - name: rs\n    alg: RS256\n    issuer: https://login.example\n";

enum kills_worker {
    KILLS_SIGN_HS,
    KILLS_SIGN_ES,
    KILLS_SIGN_RS,
    KILLS_VERIFY,
    KILLS_FORGE
};
#define KILLS_NUM_WORKERS 6u

struct kills_token {
    atomic_bool is_there;
    char text[KILLS_TOKEN_MAX];
};

static struct {
    struct test_keyed_daemon keyed;
    atomic_bool stop;
    pthread_t threads[KILLS_NUM_WORKERS];
    atomic_uint num_good[KILLS_NUM_WORKERS]; /* answers that were not failures */
    atomic_uint num_unavailable, num_late, num_forged;
    pthread_mutex_t mutex;
    char fault[512]; /* the first; guarded by mutex */
    atomic_size_t num_tokens;
    struct kills_token tokens[KILLS_MAX_TOKENS];
} kills = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- What clients may see ---- */

static void kills_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void kills_fault(const char *format, ...)
{
    va_list arguments;
    (void)pthread_mutex_lock(&kills.mutex);
    if (kills.fault[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(kills.fault, sizeof(kills.fault), format, arguments);
        va_end(arguments);
    }
    (void)pthread_mutex_unlock(&kills.mutex);
}

static void kills_check_faults(void)
{
    (void)pthread_mutex_lock(&kills.mutex);
    bool is_good = kills.fault[0] == '\0';
    (void)pthread_mutex_unlock(&kills.mutex);
    if (!is_good) {
        atomic_store(&kills.stop, true);
        fail_msg("%s", kills.fault);
    }
}

/* Counts a failure that is allowed while something is killed. */
static void kills_note_failure(const char *what, signet_status status,
                               const struct signet_error *error)
{
    if (status == SIGNET_UNAVAILABLE) {
        atomic_fetch_add(&kills.num_unavailable, 1);
    } else if (status == SIGNET_DEADLINE_EXCEEDED || (status == SIGNET_RESOURCE_EXHAUSTED &&
                                                      strcmp(error->code, "QUEUE_TOO_LONG") == 0)) {
        atomic_fetch_add(&kills.num_late,
                         1); /* or would have been, behind what a killed one has left */
    } else {
        kills_fault("%s: status %d %s: %s (%s)", what, (int)status, error->code, error->message,
                    signet_reason_name(error->reason));
    }
}

static struct signet_client *kills_connect(void)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = kills.keyed.daemon.address;
    options.timeout_ms = KILLS_CALL_MS;
    if (signet_client_new(&options, &client, NULL) != SIGNET_OK) {
        kills_fault("no client");
    }
    return client;
}

/* ---- Tokens ---- */

static void kills_keep(const char *token)
{
    size_t at = atomic_fetch_add(&kills.num_tokens, 1);
    if (at < KILLS_MAX_TOKENS && strlen(token) < KILLS_TOKEN_MAX) {
        (void)snprintf(kills.tokens[at].text, KILLS_TOKEN_MAX, "%s", token);
        atomic_store(&kills.tokens[at].is_there, true);
    }
}

static size_t kills_num_kept(void)
{
    size_t num = atomic_load(&kills.num_tokens);
    return num < KILLS_MAX_TOKENS ? num : KILLS_MAX_TOKENS;
}

/* One of those that were acknowledged; NULL: not yet. */
static const char *kills_any_token(unsigned *seed)
{
    size_t num = kills_num_kept();
    const struct kills_token *token = &kills.tokens[num > 0 ? (size_t)rand_r(seed) % num : 0];
    return num > 0 && atomic_load(&token->is_there) ? token->text : NULL;
}

static struct signet_sign_options kills_request(const char *keyset)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.keyset = keyset;
    options.subject = "alice";
    options.audiences = kills_audiences;
    options.num_audiences = 1;
    options.ttl_s = 3600;
    return options;
}

static struct signet_verify_options kills_question(void)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = kills_audiences;
    options.num_audiences = 1;
    return options;
}

/* ---- Load ---- */

static void kills_sign(struct signet_client *client, enum kills_worker worker, uint32_t timeout_ms)
{
    struct signet_sign_options options = kills_request(kills_keysets[worker]);
    struct signet_signed *token = NULL;
    struct signet_error error;
    options.timeout_ms = timeout_ms;
    signet_status status = signet_sign(client, &options, &token, &error);
    if (status != SIGNET_OK) {
        kills_note_failure("signing", status, &error);
        return;
    }
    kills_keep(signet_signed_token(token)); /* acknowledged */
    atomic_fetch_add(&kills.num_good[worker], 1);
    signet_signed_free(token);
}

static void kills_sign_batch(struct signet_client *client)
{
    struct signet_sign_options requests[KILLS_BATCH];
    struct signet_sign_batch *batch = NULL;
    struct signet_error error;
    for (size_t i = 0; i < KILLS_BATCH; i++) {
        requests[i] = kills_request(kills_keysets[i % KILLS_NUM_KEYSETS]);
    }
    signet_status status = signet_sign_many(client, requests, KILLS_BATCH, 0, &batch, &error);
    if (status != SIGNET_OK) {
        kills_note_failure("signing a batch", status, &error);
        return;
    }
    for (size_t i = 0; i < KILLS_BATCH; i++) {
        const struct signet_signed *token = NULL;
        status = signet_sign_batch_get(batch, i, &token, &error);
        if (status == SIGNET_OK) {
            kills_keep(signet_signed_token(token));
        } else {
            kills_note_failure("signing in a batch", status, &error);
        }
    }
    signet_sign_batch_free(batch);
}

static void kills_verify(struct signet_client *client, enum kills_worker worker, const char *token)
{
    struct signet_verify_options options = kills_question();
    struct signet_verified *verified = NULL;
    struct signet_error error;
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, &error);
    if (status == SIGNET_OK) {
        atomic_fetch_add(&kills.num_good[worker], 1);
        signet_verified_free(verified);
    } else {
        kills_note_failure("verifying what was signed", status, &error);
    }
}

static void kills_copy(char *out, size_t cap, const char *text)
{
    size_t len = strlen(text);
    assert_true(len < cap);
    memcpy(out, text, len + 1);
}

/* A token that nobody signed, made of those that somebody did. */
static void kills_forge_token(unsigned *seed, const char *one, const char *other, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t signature = (size_t)(strrchr(one, '.') + 1 - one);
    size_t len = strlen(one);
    size_t at = 0;
    kills_copy(out, KILLS_TOKEN_MAX, one);
    switch (rand_r(seed) % 4) {
    case 0: /* the signature of another */
        kills_copy(out + signature, KILLS_TOKEN_MAX - signature, strrchr(other, '.') + 1);
        break;
    case 1: /* no signature */
        out[signature] = '\0';
        break;
    case 2: /* one character of the payload */
        at = (size_t)(strchr(one, '.') + 1 - one);
        at += (size_t)rand_r(seed) % (signature - 1 - at);
        break;
    default: /* one character of the signature */
        at = signature + (size_t)rand_r(seed) % (len - signature);
        break;
    }
    if (at > 0) {
        const char *present = strchr(alphabet, one[at]);
        out[at] = alphabet[(size_t)(present - alphabet + 1 + rand_r(seed) % 63) % 64];
    }
}

static void kills_forge(struct signet_client *client, unsigned *seed)
{
    struct signet_verify_options options = kills_question();
    struct signet_verified *verified = NULL;
    struct signet_error error;
    char forged[KILLS_TOKEN_MAX];
    const char *one = kills_any_token(seed);
    const char *other = kills_any_token(seed);
    if (one == NULL || other == NULL || one == other) {
        return;
    }
    kills_forge_token(seed, one, other, forged);
    signet_status status =
        signet_verify(client, forged, strlen(forged), &options, &verified, &error);
    if (status == SIGNET_REJECTED) {
        atomic_fetch_add(&kills.num_forged, 1);
        atomic_fetch_add(&kills.num_good[KILLS_FORGE], 1);
    } else if (status == SIGNET_OK) {
        kills_fault("a token that nobody signed verifies: %s", forged);
        signet_verified_free(verified);
    } else {
        kills_note_failure("verifying what was forged", status, &error);
    }
}

/* KILLS_FORGE and what follows it are several of a kind: the last ones verify. */
static void *kills_work(void *arg)
{
    enum kills_worker worker = (enum kills_worker)(uintptr_t)arg;
    unsigned seed = (unsigned)worker + 1;
    struct signet_client *client = kills_connect();
    for (unsigned turn = 0; client != NULL && !atomic_load(&kills.stop); turn++) {
        const char *token = kills_any_token(&seed);
        if (worker <= KILLS_SIGN_RS) {
            /* Some give up early, and some ask for many at once. */
            kills_sign(client, worker, turn % 4 == 0 ? KILLS_CALL_MS / 20 : 0);
            if (turn % 16 == 0) {
                kills_sign_batch(client);
            }
        } else if (worker == KILLS_FORGE) {
            kills_forge(client, &seed);
        } else if (token != NULL) {
            kills_verify(client, worker, token);
        }
    }
    signet_client_free(client);
    return NULL;
}

static void kills_begin_load(void)
{
    atomic_store(&kills.stop, false);
    for (unsigned i = 0; i < KILLS_NUM_WORKERS; i++) {
        assert_int_equal(pthread_create(&kills.threads[i], NULL, kills_work, (void *)(uintptr_t)i),
                         0);
    }
}

static void kills_end_load(void)
{
    atomic_store(&kills.stop, true);
    for (unsigned i = 0; i < KILLS_NUM_WORKERS; i++) {
        (void)pthread_join(kills.threads[i], NULL);
    }
    kills_check_faults();
}

static int64_t kills_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until every worker has had an answer that is none of the failures. */
static void kills_await_service(void)
{
    int64_t deadline = kills_now_ms() + KILLS_PATIENCE_MS;
    unsigned before[KILLS_NUM_WORKERS];
    for (unsigned i = 0; i < KILLS_NUM_WORKERS; i++) {
        before[i] = atomic_load(&kills.num_good[i]);
    }
    for (unsigned i = 0; i < KILLS_NUM_WORKERS; i++) {
        while (atomic_load(&kills.num_good[i]) == before[i]) {
            kills_check_faults();
            if (kills_now_ms() > deadline) {
                char *log = test_daemon_log(&kills.keyed.daemon);
                (void)fprintf(stderr, "%s\n", log);
                free(log);
                fail_msg("worker %u has no service again", i);
            }
            (void)poll(NULL, 0, 1);
        }
    }
    kills_check_faults();
}

/* A random instant, not a wait for anything. */
static void kills_pause(unsigned *seed, unsigned least_ms)
{
    const struct timespec delay = {
        .tv_nsec =
            (long)(least_ms * 1000 + (unsigned)rand_r(seed) % (KILLS_MAX_DELAY_MS * 1000)) * 1000L};
    (void)nanosleep(&delay, NULL);
}

/* ---- What was signed ---- */

static void kills_check_tokens(void)
{
    struct signet_client *client = kills_connect();
    struct signet_verify_options options = kills_question();
    size_t num = kills_num_kept();
    options.timeout_ms = KILLS_LONG_CALL_MS;
    for (size_t done = 0; done < num;) {
        struct signet_token_view views[256];
        struct signet_verify_batch *batch = NULL;
        struct signet_error error;
        size_t part = num - done < 256 ? num - done : 256;
        for (size_t i = 0; i < part; i++) {
            const char *text = kills.tokens[done + i].text;
            views[i] = (struct signet_token_view){text, strlen(text)};
        }
        if (signet_verify_many(client, views, part, &options, &batch, &error) != SIGNET_OK) {
            fail_msg("%s %s", error.code, error.message);
        }
        for (size_t i = 0; i < part; i++) {
            const struct signet_verified *verified = NULL;
            if (signet_verify_batch_get(batch, i, &verified, &error) != SIGNET_OK) {
                fail_msg("an acknowledged token is refused: %s %s\n%s",
                         signet_reason_name(error.reason), error.message,
                         kills.tokens[done + i].text);
            }
        }
        signet_verify_batch_free(batch);
        done += part;
    }
    signet_client_free(client);
}

/* What a daemon owes that is told to end. */
static void kills_check_ended(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *log = test_daemon_log(&kills.keyed.daemon);
        (void)fprintf(stderr, "%s\n", log);
        free(log);
        fail_msg("signetd ended with wait status 0x%x", (unsigned)status);
    }
}

static const char *kills_token_at(size_t index)
{
    return kills.tokens[index].text;
}

/* Of every token that was acknowledged; the daemon ends for that, and goes on. */
static void kills_check_records(void)
{
    kills_check_ended(test_daemon_kill(&kills.keyed.daemon, SIGTERM));
    kills_audit_check(&kills.keyed, kills_num_kept(), kills_token_at);
    test_keyed_daemon_start(&kills.keyed);
}

static void kills_report(unsigned num)
{
    print_message(
        "%u kills: %zu tokens signed, %u calls unavailable, %u too late; %u forged tokens "
        "refused\n",
        num, atomic_load(&kills.num_tokens), atomic_load(&kills.num_unavailable),
        atomic_load(&kills.num_late), atomic_load(&kills.num_forged));
}

/* ---- Cases ---- */

static void kills_clear(void)
{
    atomic_store(&kills.num_tokens, 0);
    for (size_t i = 0; i < KILLS_MAX_TOKENS; i++) {
        atomic_store(&kills.tokens[i].is_there, false);
    }
    atomic_store(&kills.num_unavailable, 0);
    atomic_store(&kills.num_late, 0);
    atomic_store(&kills.num_forged, 0);
    kills.fault[0] = '\0';
}

static int kills_setup(void **state)
{
    (void)state;
    kills_clear();
    test_keyed_daemon_prepare(&kills.keyed, kills_config);
    test_keyed_daemon_start(&kills.keyed);
    return 0;
}

static int kills_teardown(void **state)
{
    (void)state;
    test_daemon_stop(&kills.keyed.daemon);
    return 0;
}

/* Kills the keyholder that there is now. Returns its number. */
static pid_t kills_kill_keyholder(pid_t last)
{
    pid_t pid = test_process_await_keyholder(kills.keyed.daemon.pid, last);
    int process = test_process_open(pid);
    assert_int_equal(kill(pid, SIGKILL), 0);
    test_process_await_end(process);
    return pid;
}

static void test_keyholder__is_killed_under_load(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    pid_t last = 0;
    print_message("seed %u\n", seed);
    kills_begin_load();
    kills_await_service();
    for (unsigned i = 0; i < kills_num; i++) {
        bool is_short = i % 5 == 4; /* the next one before it serves, or just then */
        kills_pause(&seed, is_short ? 0 : KILLS_LIVED_MS);
        last = kills_kill_keyholder(last);
        if (is_short) {
            last = kills_kill_keyholder(last);
        }
        kills_await_service();
    }
    kills_end_load();
    kills_check_tokens();
    kills_check_records();
    kills_report(kills_num);
}

/* And a supervisor starts it again at once. */
static void test_daemon__is_killed_under_load(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    kills_begin_load();
    kills_await_service();
    for (unsigned i = 0; i < kills_num; i++) {
        pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
        int keyholder_end = test_process_open(keyholder);
        int launcher_end = test_process_open(test_process_parent(keyholder));
        kills_pause(&seed, 0);
        (void)test_daemon_kill(&kills.keyed.daemon, SIGKILL);
        test_keyed_daemon_start(&kills.keyed);
        test_process_await_end(keyholder_end);
        test_process_await_end(launcher_end);
        kills_await_service();
    }
    kills_end_load();
    kills_check_tokens();
    kills_check_records();
    kills_report(kills_num);
}

static void kills_stop_process(pid_t pid)
{
    char state[32] = "";
    int64_t deadline = kills_now_ms() + KILLS_PATIENCE_MS;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (test_process_field(pid, "State", state, sizeof(state)) && state[0] != 'T') {
        assert_true(kills_now_ms() < deadline);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(state[0], 'T');
}

/* One call on each keyset, which must fail in the one way or the other. */
static void kills_check_no_service(struct signet_client *client)
{
    for (size_t i = 0; i < KILLS_NUM_KEYSETS; i++) {
        struct signet_sign_options options = kills_request(kills_keysets[i]);
        struct signet_signed *token = NULL;
        options.timeout_ms = 100;
        signet_status status = signet_sign(client, &options, &token, NULL);
        if (status != SIGNET_UNAVAILABLE && status != SIGNET_DEADLINE_EXCEEDED) {
            fail_msg("%s: status %d", kills_keysets[i], (int)status);
        }
    }
}

static void test_keyholder__that_is_stopped_keeps_nobody_beyond_the_deadline(void **state)
{
    (void)state;
    struct signet_client *client = kills_connect();
    struct signet_error error;
    pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
    kills_stop_process(keyholder);
    kills_check_no_service(client);
    /* The daemon itself is well, and answers what needs no key. */
    char *jwks = NULL;
    if (signet_health(client, KILLS_LONG_CALL_MS, &error) != SIGNET_OK ||
        signet_jwks(client, NULL, KILLS_LONG_CALL_MS, &jwks, &error) != SIGNET_OK) {
        fail_msg("%s: %s", error.code, error.message);
    }
    signet_string_free(jwks);
    /* It may have been taken for dead by now. */
    assert_true(kill(keyholder, SIGCONT) == 0 || errno == ESRCH);
    kills_begin_load();
    kills_await_service();
    kills_end_load();
    kills_check_tokens();
    signet_client_free(client);
}

/* One that goes on being stopped is taken for dead, and replaced. */
static void test_keyholder__that_is_stopped_for_long_is_replaced(void **state)
{
    (void)state;
    pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
    int end = test_process_open(keyholder);
    kills_begin_load();
    kills_await_service();
    kills_stop_process(keyholder);
    pid_t other = test_process_await_keyholder(kills.keyed.daemon.pid, keyholder);
    assert_int_not_equal(other, keyholder);
    test_process_await_end(end);
    kills_await_service();
    kills_end_load();
    kills_check_tokens();
}

static void *kills_ask_once(void *arg)
{
    struct signet_sign_options options = kills_request(arg);
    struct signet_client *client = kills_connect();
    struct signet_signed *token = NULL;
    options.timeout_ms = 2 * KILLS_CALL_MS;
    signet_status status = signet_sign(client, &options, &token, NULL);
    if (status == SIGNET_OK) {
        kills_fault("a keyholder that is stopped signs");
        signet_signed_free(token);
    }
    signet_client_free(client);
    return NULL;
}

/* Calls on num keysets, from the one at first, wait for a keyholder that is stopped when the
 * daemon is told to end. */
static void kills_end_while_stopped(unsigned *seed, size_t first, size_t num)
{
    pthread_t threads[KILLS_NUM_KEYSETS];
    pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
    int keyholder_end = test_process_open(keyholder);
    int launcher_end = test_process_open(test_process_parent(keyholder));
    kills_stop_process(keyholder);
    for (size_t i = 0; i < num; i++) {
        /* Read only. */
        void *keyset = (void *)(uintptr_t)kills_keysets[first + i];
        assert_int_equal(pthread_create(&threads[i], NULL, kills_ask_once, keyset), 0);
    }
    kills_pause(seed, 20);
    kills_check_ended(test_daemon_kill(&kills.keyed.daemon, SIGTERM));
    test_process_await_end(keyholder_end);
    test_process_await_end(launcher_end);
    for (size_t i = 0; i < num; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    kills_check_faults();
    test_keyed_daemon_start(&kills.keyed);
}

/* The daemon ends within its time whatever waits for it, and does not leave it behind. */
static void test_keyholder__that_is_stopped_does_not_keep_the_daemon(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    kills_end_while_stopped(&seed, 0, KILLS_NUM_KEYSETS);
    kills_end_while_stopped(&seed, 0, 0);
    kills_end_while_stopped(&seed, 2, 1); /* RSA's: of workers */
}

/* Nor does one that is stopped before it has said what it is, or while its keys are loaded. */
static void test_keyholder__that_is_stopped_at_its_start_does_not_keep_the_daemon(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KILLS_STARTS; i++) {
        pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
        int launcher_end = test_process_open(test_process_parent(keyholder));
        (void)kills_kill_keyholder(0);
        keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, keyholder);
        int keyholder_end = test_process_open(keyholder);
        kills_stop_process(keyholder);
        kills_check_ended(test_daemon_kill(&kills.keyed.daemon, SIGTERM));
        test_process_await_end(keyholder_end);
        test_process_await_end(launcher_end);
        test_keyed_daemon_start(&kills.keyed);
    }
}

/* Whether the keyholder has said what it is, and its keys are not yet loaded. */
static bool kills_is_loading(void)
{
    const char *const command[] = {"status", "--json", "--timeout", "30s", NULL};
    char *text = test_keyed_daemon_run(&kills.keyed, command, NULL);
    const char *at = strstr(text, "\"keyholder\":");
    assert_non_null(at);
    bool is_loading = strstr(at, "\"is_up\":false") != NULL && strstr(at, "\"pid\":0,") == NULL;
    free(text);
    return is_loading;
}

/* Kills the keyholder and stops the next one while its keys are loaded: the instant takes some tries.
 * Returns its number; 0 if it was never met. */
static pid_t kills_stop_while_loading(unsigned *seed)
{
    pid_t keyholder = 0;
    for (unsigned i = 0; i < KILLS_TRIES; i++) {
        pid_t last = kills_kill_keyholder(0);
        keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, last);
        const struct timespec delay = {.tv_nsec = rand_r(seed) % 100000000}; /* 100 ms */
        (void)nanosleep(&delay, NULL);
        kills_stop_process(keyholder);
        if (kills_is_loading()) {
            return keyholder;
        }
        assert_int_equal(kill(keyholder, SIGCONT), 0);
    }
    return 0;
}

static int kills_setup_many(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    (void)state;
    assert_non_null(file);
    for (unsigned i = 0; i < KILLS_MANY_KEYSETS; i++) {
        (void)fprintf(file, "  - name: k%u\n    alg: ES256\n    issuer: https://login.example\n",
                      i);
    }
    (void)fprintf(file, "%s", kills_config);
    assert_int_equal(fclose(file), 0);
    kills_clear();
    test_keyed_daemon_prepare(&kills.keyed, text);
    test_keyed_daemon_start(&kills.keyed);
    free(text);
    return 0;
}

/* It keeps nobody either: the daemon ends, and goes on where it goes on. */
static void test_keyholder__that_is_stopped_while_it_loads_does_not_keep_the_daemon(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    if (SG_SANITIZED) {
        print_message("SKIPPED: with a sanitizer the instant is hardly ever met\n");
        skip();
    }
    pid_t keyholder = kills_stop_while_loading(&seed);
    if (keyholder == 0) {
        print_message("SKIPPED: keys are loaded too quickly here\n");
        skip();
    }
    int end = test_process_open(keyholder);
    kills_check_ended(test_daemon_kill(&kills.keyed.daemon, SIGTERM));
    test_process_await_end(end);
    test_keyed_daemon_start(&kills.keyed);
    keyholder = kills_stop_while_loading(&seed);
    if (keyholder != 0) {
        assert_int_equal(kill(keyholder, SIGCONT), 0);
    }
    kills_begin_load();
    kills_await_service();
    kills_end_load();
}

/* Told to end while another keyholder is started and its keys are loaded, the daemon ends as ever. */
static void test_daemon__is_told_to_end_just_then(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    for (unsigned i = 0; i < kills_num; i++) {
        pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
        int launcher_end = test_process_open(test_process_parent(keyholder));
        (void)kills_kill_keyholder(0);
        const struct timespec delay = {.tv_nsec = rand_r(&seed) % 30000000}; /* 30 ms */
        (void)nanosleep(&delay, NULL);
        kills_check_ended(test_daemon_kill(&kills.keyed.daemon, SIGTERM));
        test_process_await_end(launcher_end);
        test_keyed_daemon_start(&kills.keyed);
    }
}

/* Without its launcher the daemon goes on; without a keyholder as well it says what to do, and ends well. */
static void test_launcher__is_killed(void **state)
{
    (void)state;
    struct signet_client *client = kills_connect();
    pid_t keyholder = test_process_await_keyholder(kills.keyed.daemon.pid, 0);
    pid_t launcher = test_process_parent(keyholder);
    int keyholder_end = test_process_open(keyholder);
    int launcher_end = test_process_open(launcher);
    assert_int_not_equal(launcher, kills.keyed.daemon.pid);
    assert_int_equal(kill(launcher, SIGKILL), 0);
    test_process_await_end(launcher_end);
    kills_begin_load();
    kills_await_service();
    kills_end_load();
    kills_check_tokens();

    assert_int_equal(kill(keyholder, SIGKILL), 0);
    test_process_await_end(keyholder_end);
    kills_check_no_service(client);
    int64_t deadline = kills_now_ms() + KILLS_PATIENCE_MS;
    bool is_told = false;
    while (!is_told) {
        char *log = test_daemon_log(&kills.keyed.daemon);
        is_told = strstr(log, "the launcher, which starts keyholders, has ended") != NULL;
        free(log);
        assert_true(kills_now_ms() < deadline);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(signet_health(client, KILLS_LONG_CALL_MS, NULL), SIGNET_OK);
    signet_client_free(client);
}

#define KILLS_TEST(name) cmocka_unit_test_setup_teardown(name, kills_setup, kills_teardown)

int main(int argc, char **argv)
{
    if (argc > 1) {
        kills_num = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        KILLS_TEST(test_keyholder__is_killed_under_load),
        KILLS_TEST(test_daemon__is_killed_under_load),
        KILLS_TEST(test_keyholder__that_is_stopped_keeps_nobody_beyond_the_deadline),
        KILLS_TEST(test_keyholder__that_is_stopped_for_long_is_replaced),
        KILLS_TEST(test_keyholder__that_is_stopped_does_not_keep_the_daemon),
        KILLS_TEST(test_keyholder__that_is_stopped_at_its_start_does_not_keep_the_daemon),
        cmocka_unit_test_setup_teardown(
            test_keyholder__that_is_stopped_while_it_loads_does_not_keep_the_daemon,
            kills_setup_many, kills_teardown),
        KILLS_TEST(test_daemon__is_told_to_end_just_then),
        KILLS_TEST(test_launcher__is_killed),
    };
    return cmocka_run_group_tests_name("keyholder_kills", tests, NULL, NULL);
}
