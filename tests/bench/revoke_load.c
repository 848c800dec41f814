/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a revocation takes, and how soon another process knows it:
 *
 *     revoke_load ADDRESS KEYSET NUM
 *
 * mints NUM tokens of the keyset at the signetd of that address and revokes one after the other, while another
 * process checks, by the trust board, the token whose turn it is. Prints
 *
 *     REVOCATIONS_PER_SECOND CALL_P50_US CALL_P99_US SEEN_P50_US SEEN_P99_US NUM_LATE
 *
 * CALL: until signet_revoke returns. SEEN: from when it was called until the first check begins that refuses the token.
 * NUM_LATE: tokens that a check accepted which began after the return: 0.
 */
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
#include <unistd.h>

#include "tests/bench/load.h"

#define REVOKE_MAX_TOKENS 100000u
#define REVOKE_TOKEN_CAP  640u
#define REVOKE_BATCH      200u
#define REVOKE_TIMEOUT_MS 60000u

static const char *const revoke_audiences[] = {"signet-bench"};

struct revoke_token {
    char text[REVOKE_TOKEN_CAP];
    double called_at, returned_at;
    _Atomic double seen_at;
    atomic_bool is_acknowledged, is_late;
};

/* Shared with the process that checks. */
struct revoke_shared {
    atomic_uint turn; /* which token is looked at */
    atomic_bool stop, has_failed;
    struct revoke_token tokens[];
};

static struct signet_client *revoke_connect(const char *address)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    struct signet_error error;
    options.address = address;
    options.timeout_ms = REVOKE_TIMEOUT_MS;
    if (signet_client_new(&options, &client, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "revoke_load: %s\n", error.message);
    }
    return client;
}

/* ---- The process that checks ---- */

/* False if there is no verdict. */
static bool revoke_judge(struct signet_client *client, const char *token, bool *is_good)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *verified = NULL;
    options.audiences = revoke_audiences;
    options.num_audiences = 1;
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, NULL);
    *is_good = status == SIGNET_OK;
    if (*is_good) {
        signet_verified_free(verified);
    }
    return *is_good || status == SIGNET_REJECTED;
}

static bool revoke_watch(struct signet_client *client, struct revoke_shared *shared)
{
    unsigned turn = atomic_load(&shared->turn);
    struct revoke_token *token = &shared->tokens[turn];
    bool is_acknowledged = atomic_load(&token->is_acknowledged);
    double begun_at = load_now();
    bool is_good = false;
    if (!revoke_judge(client, token->text, &is_good)) {
        return false;
    }
    if (is_good && is_acknowledged) {
        atomic_store(&token->is_late, true);
    } else if (!is_good && atomic_load(&token->seen_at) <= 0) {
        atomic_store(&token->seen_at, begun_at);
    }
    return true;
}

static void revoke_run_watcher(const char *address, struct revoke_shared *shared)
{
    struct signet_client *client = revoke_connect(address);
    struct signet_error error = {.message = ""};
    bool goes_on = client != NULL && signet_local_attach(client, NULL, &error) == SIGNET_OK;
    while (goes_on && !atomic_load(&shared->stop)) {
        goes_on = revoke_watch(client, shared);
    }
    if (!goes_on) {
        (void)fprintf(stderr, "revoke_load: a check came to no verdict %s\n", error.message);
        atomic_store(&shared->has_failed, true);
    }
    signet_client_free(client);
}

/* ---- The process that revokes ---- */

static bool revoke_mint(struct signet_client *client, const char *keyset,
                        struct revoke_token *tokens, unsigned num)
{
    struct signet_sign_options options[REVOKE_BATCH] = {0};
    struct signet_sign_batch *batch = NULL;
    for (unsigned i = 0; i < num; i++) {
        options[i] = (struct signet_sign_options)SIGNET_SIGN_OPTIONS_INIT;
        options[i].keyset = keyset;
        options[i].subject = "bench";
        options[i].audiences = revoke_audiences;
        options[i].num_audiences = 1;
    }
    bool is_good = signet_sign_many(client, options, num, 0, &batch, NULL) == SIGNET_OK;
    for (unsigned i = 0; is_good && i < num; i++) {
        const struct signet_signed *token = NULL;
        is_good = signet_sign_batch_get(batch, i, &token, NULL) == SIGNET_OK;
        int len = is_good
                      ? snprintf(tokens[i].text, REVOKE_TOKEN_CAP, "%s", signet_signed_token(token))
                      : 0;
        is_good = is_good && len > 0 && len < (int)REVOKE_TOKEN_CAP;
    }
    signet_sign_batch_free(batch);
    return is_good;
}

/* Until the other process has refused it too. */
static bool revoke_await(const struct revoke_shared *shared, const struct revoke_token *token)
{
    double until = load_now() + REVOKE_TIMEOUT_MS / 1000.0;
    while (atomic_load(&token->seen_at) <= 0) {
        if (atomic_load(&shared->has_failed) || load_now() > until) {
            return false;
        }
        (void)usleep(20);
    }
    return true;
}

static bool revoke_one(struct signet_client *client, struct revoke_shared *shared, unsigned index)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    struct signet_revocation *revocation = NULL;
    struct signet_error error;
    struct revoke_token *token = &shared->tokens[index];
    options.token = token->text;
    atomic_store(&shared->turn, index);
    (void)usleep(200); /* so that it was seen to be good */
    token->called_at = load_now();
    if (signet_revoke(client, &options, &revocation, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "revoke_load: %s\n", error.message);
        return false;
    }
    token->returned_at = load_now();
    atomic_store(&token->is_acknowledged, true);
    signet_revocation_free(revocation);
    return revoke_await(shared, token);
}

static bool revoke_all(struct signet_client *client, const char *keyset,
                       struct revoke_shared *shared, unsigned num)
{
    for (unsigned i = 0; i < num; i++) {
        if (!revoke_one(client, shared, i)) {
            (void)fprintf(stderr, "revoke_load: token %u of keyset %s was not refused\n", i,
                          keyset);
            return false;
        }
    }
    return true;
}

/* ---- Figures ---- */

static int revoke_compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void revoke_print(const struct revoke_shared *shared, unsigned num)
{
    double *calls = calloc(num, sizeof(*calls));
    double *seen = calloc(num, sizeof(*seen));
    double all = 0;
    unsigned late = 0;
    if (calls == NULL || seen == NULL) {
        free(calls);
        free(seen);
        return;
    }
    for (unsigned i = 0; i < num; i++) {
        const struct revoke_token *token = &shared->tokens[i];
        calls[i] = (token->returned_at - token->called_at) * 1e6;
        seen[i] = (atomic_load(&token->seen_at) - token->called_at) * 1e6;
        all += calls[i] / 1e6;
        late += atomic_load(&token->is_late) ? 1 : 0;
    }
    qsort(calls, num, sizeof(*calls), revoke_compare);
    qsort(seen, num, sizeof(*seen), revoke_compare);
    (void)printf("%.0f %.1f %.1f %.1f %.1f %u\n", num / all, calls[num / 2], calls[num * 99 / 100],
                 seen[num / 2], seen[num * 99 / 100], late);
    free(calls);
    free(seen);
}

static int revoke_run(const char *address, const char *keyset, unsigned num,
                      struct revoke_shared *shared)
{
    struct signet_client *client = revoke_connect(address);
    bool is_good = client != NULL;
    for (unsigned i = 0; is_good && i < num; i += REVOKE_BATCH) {
        is_good = revoke_mint(client, keyset, &shared->tokens[i],
                              num - i < REVOKE_BATCH ? num - i : REVOKE_BATCH);
    }
    if (!is_good) {
        (void)fprintf(stderr, "revoke_load: no tokens of keyset %s\n", keyset);
        signet_client_free(client);
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        revoke_run_watcher(address, shared);
        _exit(0);
    }
    is_good = pid > 0 && revoke_all(client, keyset, shared, num);
    atomic_store(&shared->stop, true);
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0);
    }
    if (is_good) {
        revoke_print(shared, num);
    }
    signet_client_free(client);
    return is_good ? 0 : 1;
}

int main(int argc, char **argv)
{
    unsigned long num = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (num < 1 || num > REVOKE_MAX_TOKENS) {
        (void)fprintf(stderr, "usage: %s ADDRESS KEYSET NUM\n", argv[0]);
        return 2;
    }
    struct revoke_shared *shared = mmap(NULL, sizeof(*shared) + num * sizeof(shared->tokens[0]),
                                        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? revoke_run(argv[1], argv[2], (unsigned)num, shared) : 1;
}
