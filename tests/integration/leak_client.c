/* SPDX-License-Identifier: Apache-2.0
 *
 * A service as others write it, for test_no_secret_leaves to look through: leak_client ADDRESS NUM KEYSET ...
 * mints and verifies NUM tokens of each keyset, says so, and keeps what it received. Then each line of hex
 * on its standard input is one more thing to hold, and is answered with a line; it ends with the input.
 */
#include <pthread.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_THREADS    4u
#define CLIENT_TIMEOUT_MS 60000u
/* Tokens and verdicts that each thread keeps: the last ones, of every keyset in a short run. */
#define CLIENT_KEPT 4096u
#define CLIENT_HELD 8192u

struct client_thread {
    pthread_t thread;
    struct signet_client *client;
    const char *const *keysets;
    size_t num_keysets;
    size_t num_tokens; /* of each keyset */
    struct signet_signed *tokens[CLIENT_KEPT];
    struct signet_verified *verdicts[CLIENT_KEPT];
    struct signet_error error;
    int has_failed;
};

static int client_one(struct client_thread *thread, const char *keyset, size_t slot)
{
    static const char *const audiences[] = {"orders"};
    struct signet_sign_options sign = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_verify_options verify = SIGNET_VERIFY_OPTIONS_INIT;
    signet_signed_free(thread->tokens[slot]);
    signet_verified_free(thread->verdicts[slot]);
    thread->tokens[slot] = NULL;
    thread->verdicts[slot] = NULL;
    sign.keyset = keyset;
    sign.subject = "alice";
    sign.audiences = audiences;
    sign.num_audiences = 1;
    verify.audiences = audiences;
    verify.num_audiences = 1;
    verify.keyset = keyset;
    if (signet_sign(thread->client, &sign, &thread->tokens[slot], &thread->error) != SIGNET_OK) {
        return 0;
    }
    const char *token = signet_signed_token(thread->tokens[slot]);
    return signet_verify(thread->client, token, strlen(token), &verify, &thread->verdicts[slot],
                         &thread->error) == SIGNET_OK;
}

static void *client_main(void *arg)
{
    struct client_thread *thread = arg;
    for (size_t i = 0; i < thread->num_tokens * thread->num_keysets; i++) {
        if (!client_one(thread, thread->keysets[i % thread->num_keysets], i % CLIENT_KEPT)) {
            thread->has_failed = 1;
            return NULL;
        }
    }
    return NULL;
}

/* Each thread does its share; false if one failed. */
static int client_work(struct client_thread *threads, size_t num_tokens)
{
    int all_good = 1;
    for (size_t i = 0; i < CLIENT_THREADS; i++) {
        threads[i].num_tokens = (num_tokens + CLIENT_THREADS - 1 - i) / CLIENT_THREADS;
        if (pthread_create(&threads[i].thread, NULL, client_main, &threads[i]) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < CLIENT_THREADS; i++) {
        if (pthread_join(threads[i].thread, NULL) != 0 || threads[i].has_failed) {
            (void)fprintf(stderr, "leak_client: %s: %s\n", threads[i].error.code,
                          threads[i].error.message);
            all_good = 0;
        }
    }
    return all_good;
}

/* Until the end of the input. */
static void client_hold(void)
{
    static volatile unsigned char
        held[CLIENT_HELD]; /* or it would be nowhere, being read by nobody */
    static char line[2 * CLIENT_HELD];
    size_t num_held = 0;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        for (const char *at = line; num_held < sizeof(held) && at[0] >= '0'; at += 2) {
            const char digits[] = {at[0], at[1], '\0'};
            held[num_held++] = (unsigned char)strtoul(digits, NULL, 16);
        }
        (void)printf("held\n");
        (void)fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    struct client_thread *threads = calloc(CLIENT_THREADS, sizeof(*threads));
    if (argc < 4 || threads == NULL) {
        return 2;
    }
    options.address = argv[1];
    options.timeout_ms = CLIENT_TIMEOUT_MS;
    if (signet_client_new(&options, &client, NULL) != SIGNET_OK) {
        return 1;
    }
    for (size_t i = 0; i < CLIENT_THREADS; i++) {
        threads[i].client = client;
        threads[i].keysets = (const char *const *)argv + 3;
        threads[i].num_keysets = (size_t)argc - 3;
    }
    if (!client_work(threads, strtoul(argv[2], NULL, 10))) {
        return 1;
    }
    (void)printf("done\n");
    (void)fflush(stdout);
    client_hold();
    for (size_t i = 0; i < CLIENT_THREADS; i++) {
        for (size_t slot = 0; slot < CLIENT_KEPT; slot++) {
            signet_signed_free(threads[i].tokens[slot]);
            signet_verified_free(threads[i].verdicts[slot]);
        }
    }
    free(threads);
    signet_client_free(client);
    return 0;
}
