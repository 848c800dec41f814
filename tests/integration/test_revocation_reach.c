/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a revocation reaches: from the return of signet_revoke on no process of the host accepts the token, whether it
 * judges by the trust board, from its cache, or by asking the daemon. Four processes check while one revokes, one token
 * after the other. The argument is the number of tokens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <signal.h>
#include <signet/client.h>
#include <signet/local.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/keyed_daemon.h"

#define REACH_CALL_MS     30000u
#define REACH_DEFAULT_NUM (SG_SANITIZED ? 200u : 2000u)
#define REACH_CHECKERS    4u
#define REACH_TOKEN_MAX   512u
#define REACH_BATCH       200u
/* So many that are not revoked yet are looked at as well, so that they are in the caches. */
#define REACH_AHEAD 64u

static const char reach_keysets[] = "  - name: login\n"
                                    "    alg: EdDSA\n"
                                    "    issuer: https://login.example\n"
                                    "  - name: pay\n"
                                    "    alg: HS256\n"
                                    "    issuer: https://pay.example\n";
static const char *const reach_keyset_names[] = {"login", "pay"};
static const char *const reach_audiences[] = {"orders"};
static unsigned reach_num = REACH_DEFAULT_NUM;

/* What one checking process did, on a cache line of its own. */
struct reach_checker {
    _Alignas(64) atomic_ullong num_refused; /* of revoked tokens */
    atomic_ullong num_accepted;             /* likewise: none may be */
    atomic_ullong num_good;                 /* of tokens that were not */
    atomic_ullong num_failed;               /* no verdict */
};

/* In memory that all processes share. */
struct reach_shared {
    atomic_uint num_acknowledged; /* the first so many tokens are revoked */
    atomic_bool stop;
    struct reach_checker checkers[REACH_CHECKERS];
    char tokens[][REACH_TOKEN_MAX];
};

static struct {
    struct test_keyed_daemon keyed;
    struct reach_shared *shared;
    size_t shared_len;
} reach;

static int setup(void **state)
{
    (void)state;
    test_keyed_daemon_prepare(&reach.keyed, reach_keysets);
    test_keyed_daemon_start(&reach.keyed);
    reach.shared_len = sizeof(*reach.shared) + (size_t)reach_num * REACH_TOKEN_MAX;
    reach.shared =
        mmap(NULL, reach.shared_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(reach.shared, MAP_FAILED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)munmap(reach.shared, reach.shared_len);
    test_daemon_stop(&reach.keyed.daemon);
    return 0;
}

/* NULL if that failed. */
static struct signet_client *reach_connect(bool is_local)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = reach.keyed.daemon.address;
    options.timeout_ms = REACH_CALL_MS;
    if (signet_client_new(&options, &client, NULL) != SIGNET_OK) {
        return NULL;
    }
    if (is_local && signet_local_attach(client, NULL, NULL) != SIGNET_OK) {
        signet_client_free(client);
        return NULL;
    }
    return client;
}

/* ---- Those who check ---- */

static signet_status reach_judge(struct signet_client *client, const char *token,
                                 signet_reason *reason)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *verified = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    options.audiences = reach_audiences;
    options.num_audiences = 1;
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, &error);
    if (status == SIGNET_OK) {
        signet_verified_free(verified);
    }
    *reason = error.reason;
    return status;
}

/* What was acknowledged before the check began must be refused. */
static void reach_check(struct signet_client *client, struct reach_checker *checker, unsigned index)
{
    bool is_revoked = index < atomic_load(&reach.shared->num_acknowledged);
    signet_reason reason = SIGNET_REASON_NONE;
    signet_status status = reach_judge(client, reach.shared->tokens[index], &reason);
    if (status == SIGNET_OK) {
        (void)atomic_fetch_add(is_revoked ? &checker->num_accepted : &checker->num_good, 1);
    } else if (status == SIGNET_REJECTED && reason == SIGNET_REASON_REVOKED) {
        (void)atomic_fetch_add(&checker->num_refused, is_revoked ? 1 : 0);
    } else {
        (void)atomic_fetch_add(&checker->num_failed, 1);
    }
}

static void reach_run_checker(unsigned number)
{
    struct reach_checker *checker = &reach.shared->checkers[number];
    struct signet_client *client = reach_connect(true);
    unsigned random = number + 1;
    if (client == NULL) {
        (void)atomic_fetch_add(&checker->num_failed, 1);
        return;
    }
    while (!atomic_load(&reach.shared->stop)) {
        unsigned num = atomic_load(&reach.shared->num_acknowledged);
        random = random * 1103515245u + 12345u;
        unsigned ahead = num + (random >> 8) % REACH_AHEAD;
        if (num > 0) {
            reach_check(client, checker, num - 1);
            reach_check(client, checker, (random >> 8) % num);
        }
        if (ahead < reach_num) {
            reach_check(client, checker, ahead);
        }
    }
    signet_client_free(client);
}

static pid_t reach_start_checker(unsigned number)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        reach_run_checker(number);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

/* ---- The one that revokes ---- */

static void reach_mint(struct signet_client *client, unsigned first, unsigned num)
{
    struct signet_sign_options options[REACH_BATCH] = {0};
    struct signet_sign_batch *batch = NULL;
    for (unsigned i = 0; i < num; i++) {
        options[i] = (struct signet_sign_options)SIGNET_SIGN_OPTIONS_INIT;
        options[i].keyset = reach_keyset_names[(first + i) % 2];
        options[i].subject = "alice";
        options[i].audiences = reach_audiences;
        options[i].num_audiences = 1;
        options[i].ttl_s = 3600;
    }
    assert_int_equal(signet_sign_many(client, options, num, 0, &batch, NULL), SIGNET_OK);
    for (unsigned i = 0; i < num; i++) {
        const struct signet_signed *token = NULL;
        assert_int_equal(signet_sign_batch_get(batch, i, &token, NULL), SIGNET_OK);
        int len = snprintf(reach.shared->tokens[first + i], REACH_TOKEN_MAX, "%s",
                           signet_signed_token(token));
        assert_in_range(len, 1, REACH_TOKEN_MAX - 1);
    }
    signet_sign_batch_free(batch);
}

static void reach_revoke(struct signet_client *client, unsigned index)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    struct signet_revocation *revocation = NULL;
    struct signet_error error;
    options.token = reach.shared->tokens[index];
    if (signet_revoke(client, &options, &revocation, &error) != SIGNET_OK) {
        fail_msg("%s", error.message);
    }
    atomic_store(&reach.shared->num_acknowledged, index + 1);
    signet_revocation_free(revocation);
}

/* So that each has looked at what is revoked, and has accepted something that was not. */
static void reach_await_checkers(void)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    for (unsigned i = 0; i < REACH_CHECKERS; i++) {
        const struct reach_checker *checker = &reach.shared->checkers[i];
        unsigned long waited = 0;
        while (atomic_load(&checker->num_good) == 0 && atomic_load(&checker->num_failed) == 0) {
            assert_true(waited++ < 20000);
            (void)nanosleep(&moment, NULL);
        }
    }
}

static void test_revoked__is_accepted_by_no_process(void **state)
{
    (void)state;
    pid_t pids[REACH_CHECKERS];
    struct signet_client *client = reach_connect(false);
    assert_non_null(client);
    for (unsigned i = 0; i < reach_num; i += REACH_BATCH) {
        reach_mint(client, i, reach_num - i < REACH_BATCH ? reach_num - i : REACH_BATCH);
    }
    for (unsigned i = 0; i < REACH_CHECKERS; i++) {
        pids[i] = reach_start_checker(i);
    }
    reach_await_checkers();
    for (unsigned i = 0; i < reach_num; i++) {
        reach_revoke(client, i);
    }
    atomic_store(&reach.shared->stop, true);
    unsigned long long refused = 0;
    unsigned long long accepted = 0;
    unsigned long long good = 0;
    unsigned long long failed = 0;
    for (unsigned i = 0; i < REACH_CHECKERS; i++) {
        const struct reach_checker *checker = &reach.shared->checkers[i];
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        refused += atomic_load(&checker->num_refused);
        accepted += atomic_load(&checker->num_accepted);
        good += atomic_load(&checker->num_good);
        failed += atomic_load(&checker->num_failed);
    }
    print_message(
        "%u revocations, %u processes: %llu checks of revoked tokens, %llu accepted; %llu "
        "of others, good; %llu without a verdict\n",
        reach_num, REACH_CHECKERS, refused + accepted, accepted, good, failed);
    assert_int_equal(accepted, 0);
    assert_int_equal(failed, 0);
    assert_true(refused > 0 && good > 0);
    signet_client_free(client);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        reach_num = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoked__is_accepted_by_no_process),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
