/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of a munged, through its own library: each thread encodes or decodes one credential after another.
 *
 *     munge_load SOCKET_PATH encode|decode THREADS SECONDS
 *
 * prints what load_run prints. munged takes each credential once, and logs one that comes again. So decoding has each
 * thread encode its own first, for longer than the run will be and before the clock runs; should they be used up
 * nevertheless, the run is over earlier.
 */
#include <munge.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"

#define MUNGE_LOAD_LONGER 1.5

/* As long as the claims of a token of signet bench; who it is from, munged adds. */
static const char munge_payload[] =
    "{\"iss\":\"https://signet.example/demo\",\"sub\":\"bench\",\"aud\":\"signet-bench\","
    "\"iat\":1795841184,\"nbf\":1795841184,\"exp\":1795842084,\"jti\":\"ZZRiYzH1edzx-B-VuDe3XQ\"}";

/* Read-only while threads run. */
static struct {
    const char *socket;
    double prepare_s;
} munge_options;

struct munge_client {
    munge_ctx_t context;
    char **credentials; /* to be decoded */
    size_t num, num_used, capacity;
};

static char *munge_mint(struct munge_client *client)
{
    char *credential = NULL;
    munge_err_t failure =
        munge_encode(&credential, client->context, munge_payload, sizeof(munge_payload) - 1);
    if (failure != EMUNGE_SUCCESS) {
        (void)fprintf(stderr, "munge_encode: %s\n", munge_strerror(failure));
        return NULL;
    }
    return credential;
}

static bool munge_keep(struct munge_client *client, char *credential)
{
    if (credential != NULL && client->num == client->capacity) {
        size_t capacity = client->capacity == 0 ? 1024 : 2 * client->capacity;
        char **grown = reallocarray(client->credentials, capacity, sizeof(*grown));
        if (grown == NULL) {
            free(credential);
            return false;
        }
        client->credentials = grown;
        client->capacity = capacity;
    }
    if (credential != NULL) {
        client->credentials[client->num++] = credential;
    }
    return credential != NULL;
}

static void munge_close(void *state)
{
    struct munge_client *client = state;
    for (size_t i = 0; i < client->num; i++) {
        free(client->credentials[i]);
    }
    free(client->credentials);
    munge_ctx_destroy(client->context);
    free(client);
}

static void *munge_open(void)
{
    struct munge_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    client->context = munge_ctx_create();
    bool good = client->context != NULL && munge_ctx_set(client->context, MUNGE_OPT_SOCKET,
                                                         munge_options.socket) == EMUNGE_SUCCESS;
    double end = load_now() + munge_options.prepare_s;
    while (good && load_now() < end) {
        good = munge_keep(client, munge_mint(client));
    }
    if (!good) {
        munge_close(client);
        return NULL;
    }
    return client;
}

static enum load_verdict munge_call_encode(void *state)
{
    char *credential = munge_mint(state);
    free(credential);
    return credential != NULL ? LOAD_DONE : LOAD_FAILED;
}

static enum load_verdict munge_call_decode(void *state)
{
    struct munge_client *client = state;
    if (client->num_used == client->num) {
        return LOAD_OVER;
    }
    void *payload = NULL;
    int len = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    munge_err_t failure = munge_decode(client->credentials[client->num_used++], client->context,
                                       &payload, &len, &uid, &gid);
    bool good = failure == EMUNGE_SUCCESS && len == (int)sizeof(munge_payload) - 1 &&
                memcmp(payload, munge_payload, sizeof(munge_payload) - 1) == 0;
    free(payload);
    if (failure != EMUNGE_SUCCESS) {
        (void)fprintf(stderr, "munge_decode: %s\n", munge_strerror(failure));
    }
    return good ? LOAD_DONE : LOAD_FAILED;
}

int main(int argc, char **argv)
{
    const bool is_encode = argc == 5 && strcmp(argv[2], "encode") == 0;
    const bool is_decode = argc == 5 && strcmp(argv[2], "decode") == 0;
    unsigned long num = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    double seconds = argc == 5 ? strtod(argv[4], NULL) : 0;
    if ((!is_encode && !is_decode) || num < 1 || num > LOAD_MAX_THREADS || seconds <= 0) {
        (void)fprintf(stderr, "usage: %s SOCKET_PATH encode|decode THREADS SECONDS\n", argv[0]);
        return 2;
    }
    munge_options.socket = argv[1];
    munge_options.prepare_s = is_decode ? MUNGE_LOAD_LONGER * seconds : 0;
    const struct load load = {munge_open, is_decode ? munge_call_decode : munge_call_encode,
                              munge_close};
    return load_run(&load, num, seconds);
}
