/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that uses libsignet and libsignet-local in every way, from several threads and in a child, and releases all
 * that it got: to be run under valgrind (test_local_memory.c).
 *
 *     local_client ADDRESS THREADS ROUNDS
 *
 * Prints how many tokens were good and how many were refused; exits with 1 if a verdict was another than it had to be.
 */
#include <pthread.h>
#include <signet/client.h>
#include <signet/local.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCAL_CALL_MS     60000u
#define LOCAL_MAX_THREADS 64u

static const char *const local_keysets[] = {"es256", "eddsa", "rs256", "ps256", "hs256"};
#define LOCAL_NUM_KEYSETS (sizeof(local_keysets) / sizeof(local_keysets[0]))
static const char *const local_audiences[] = {"orders"};
static const char *const other_audiences[] = {"billing"};

static struct {
    struct signet_client *client;
    unsigned num_rounds;
    atomic_uint num_good, num_refused, num_wrong;
} local;

static struct signet_signed *local_mint(const char *keyset)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_signed *token = NULL;
    struct signet_error error;
    options.keyset = keyset;
    options.subject = "alice";
    options.audiences = local_audiences;
    options.num_audiences = 1;
    options.claims_json = "{\"roles\":[\"clerk\"],\"level\":3,\"scope\":\"read write\"}";
    if (signet_sign(local.client, &options, &token, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "%s: %s\n", keyset, error.message);
        (void)atomic_fetch_add(&local.num_wrong, 1);
        return NULL;
    }
    return token;
}

/* reason: SIGNET_REASON_NONE if it must be good. */
static void local_judge(const char *token, const char *const *audiences, signet_reason reason)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *verified = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    options.audiences = audiences;
    options.num_audiences = 1;
    signet_status status =
        signet_verify(local.client, token, strlen(token), &options, &verified, &error);
    bool is_right = reason == SIGNET_REASON_NONE
                        ? status == SIGNET_OK
                        : status == SIGNET_REJECTED && error.reason == reason;
    if (status == SIGNET_OK) {
        is_right = is_right && strcmp(signet_verified_subject(verified), "alice") == 0;
        signet_verified_free(verified);
    }
    if (!is_right) {
        (void)fprintf(stderr, "status %d, reason %d, not reason %d: %s\n", (int)status,
                      (int)error.reason, (int)reason, error.message);
        (void)atomic_fetch_add(&local.num_wrong, 1);
    }
    (void)atomic_fetch_add(status == SIGNET_OK ? &local.num_good : &local.num_refused, 1);
}

static void local_revoke(const char *token)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    struct signet_revocation *revocation = NULL;
    options.token = token;
    if (signet_revoke(local.client, &options, &revocation, NULL) != SIGNET_OK) {
        (void)atomic_fetch_add(&local.num_wrong, 1);
    }
    signet_revocation_free(revocation);
}

static void local_round(const char *keyset)
{
    struct signet_signed *minted = local_mint(keyset);
    if (minted == NULL) {
        return;
    }
    const char *token = signet_signed_token(minted);
    char *broken = strdup(token);
    if (broken != NULL) {
        char *last = broken + strlen(broken) - 3;
        *last = *last == 'A' ? 'B' : 'A';
        local_judge(broken, local_audiences, SIGNET_REASON_BAD_SIGNATURE);
    }
    local_judge(token, local_audiences, SIGNET_REASON_NONE);
    local_judge(token, local_audiences, SIGNET_REASON_NONE);
    local_judge(token, other_audiences, SIGNET_REASON_WRONG_AUDIENCE);
    local_revoke(token);
    local_judge(token, local_audiences, SIGNET_REASON_REVOKED);
    local_judge("no.token", local_audiences, SIGNET_REASON_MALFORMED);
    free(broken);
    signet_signed_free(minted);
}

static void *local_run(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < local.num_rounds; i++) {
        local_round(local_keysets[i % LOCAL_NUM_KEYSETS]);
    }
    return NULL;
}

static void local_run_threads(unsigned num)
{
    pthread_t threads[LOCAL_MAX_THREADS];
    unsigned started = 0;
    while (started < num && pthread_create(&threads[started], NULL, local_run, NULL) == 0) {
        started++;
    }
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)atomic_fetch_add(&local.num_wrong, num - started);
}

/* With what it has of its parent, and then without. */
static int local_run_child(void)
{
    local_round("es256");
    local_round("hs256");
    signet_client_free(local.client);
    return atomic_load(&local.num_wrong) == 0 ? 0 : 1;
}

static bool local_connect(const char *address)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_error error;
    options.address = address;
    options.timeout_ms = LOCAL_CALL_MS;
    if (signet_client_new(&options, &local.client, &error) != SIGNET_OK ||
        signet_local_attach(local.client, NULL, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    unsigned long threads = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    local.num_rounds = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    if (threads < 1 || threads > LOCAL_MAX_THREADS || local.num_rounds < 1) {
        (void)fprintf(stderr, "usage: local_client ADDRESS THREADS ROUNDS\n");
        return 2;
    }
    if (!local_connect(argv[1])) {
        signet_client_free(local.client);
        return 1;
    }
    local_run_threads((unsigned)threads);
    pid_t pid = fork();
    if (pid == 0) {
        return local_run_child();
    }
    int status = -1;
    bool is_good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 &&
                   atomic_load(&local.num_wrong) == 0;
    signet_client_free(local.client);
    (void)printf("%u good, %u refused\n", atomic_load(&local.num_good),
                 atomic_load(&local.num_refused));
    return is_good ? 0 : 1;
}
