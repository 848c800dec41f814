/* SPDX-License-Identifier: Apache-2.0
 *
 * What signet_verify costs when the verdict is in the cache: one client for all threads, with libsignet-local attached,
 * and one token, which all of them verify. The board is made by the daemon's writer, which beats as the daemon does; no
 * daemon runs.
 *
 *     cache_load THREADS SECONDS [REVOCATIONS]
 *
 * prints what load_run prints. So many REVOCATIONS are on the board (0). The clock that load_run reads for each call is
 * within the rate.
 */
#include <pthread.h>
#include <signet/client.h>
#include <signet/local.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/load.h"
#include "tests/unit/local_fixture.h"

#define CACHE_AUDIENCE "signet-bench"
#define CACHE_TTL_S    900
#define CACHE_BEAT_S   0.25

static struct local_fixture cache_fixture;
static struct jose_key cache_key;
static char cache_token[JOSE_TOKEN_CAP];
static size_t cache_token_len;
static struct signet_client *cache_client;
static atomic_bool cache_stop;

/* ---- The board ---- */

static uint64_t cache_boot_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void *cache_beat(void *arg)
{
    (void)arg;
    while (!atomic_load(&cache_stop)) {
        sg_board_writer_beat(cache_fixture.writer, cache_boot_ms());
        load_pause(CACHE_BEAT_S);
    }
    return NULL;
}

static void cache_make_board(size_t num_revocations)
{
    int64_t now = (int64_t)time(NULL);
    char claims[512];
    local_setup(&cache_fixture);
    jose_key_new(&cache_key, SG_ALG_ES256);
    (void)snprintf(claims, sizeof(claims),
                   "{\"iss\":\"" LOCAL_ISSUER "\",\"sub\":\"bench\",\"aud\":\"" CACHE_AUDIENCE
                   "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,"
                   "\"jti\":\"ZZRiYzH1edzx-B-VuDe3XQ\"}",
                   (long long)now - 1, (long long)now - 1, (long long)now + CACHE_TTL_S);
    jose_token(&cache_key, "{\"alg\":\"ES256\",\"kid\":\"QBX-AMDr_QfH42oSjAd9EA\",\"typ\":\"JWT\"}",
               claims, cache_token);
    cache_token_len = strlen(cache_token);
    for (size_t i = 0; i < num_revocations; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "token-%zu", i);
        local_revoke(&cache_fixture, SG_BOARD_TOKEN, LOCAL_ISSUER, jti, INT64_MAX);
    }
    const struct sg_board_key key =
        local_record("bench", "QBX-AMDr_QfH42oSjAd9EA", SG_ALG_ES256, cache_key.public);
    local_publish(&cache_fixture, &key, 1);
    sg_board_writer_beat(cache_fixture.writer, cache_boot_ms());
}

static bool cache_attach(void)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_local_options local = SIGNET_LOCAL_OPTIONS_INIT;
    struct signet_error error;
    options.address = "/nonexistent/signet.sock"; /* whoever asks fails */
    local.board = cache_fixture.path;
    if (signet_client_new(&options, &cache_client, &error) != SIGNET_OK ||
        signet_local_attach(cache_client, &local, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "cache_load: %s\n", error.message);
        return false;
    }
    return true;
}

/* ---- The load ---- */

static void *cache_open(void)
{
    return cache_client;
}

static enum load_verdict cache_call(void *state)
{
    static const char *const audiences[] = {CACHE_AUDIENCE};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;
    struct signet_verified *verified = NULL;
    signet_status status =
        signet_verify(state, cache_token, cache_token_len, &options, &verified, NULL);
    signet_verified_free(verified);
    return status == SIGNET_OK ? LOAD_DONE : LOAD_FAILED;
}

static void cache_close(void *state)
{
    (void)state;
}

int main(int argc, char **argv)
{
    unsigned long num = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
    size_t num_revocations = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    pthread_t thread;
    if (num < 1 || num > LOAD_MAX_THREADS || seconds <= 0 || argc > 4) {
        (void)fprintf(stderr, "usage: %s THREADS SECONDS [REVOCATIONS]\n", argv[0]);
        return 2;
    }
    cache_make_board(num_revocations);
    if (!cache_attach() || pthread_create(&thread, NULL, cache_beat, NULL) != 0) {
        return 1;
    }
    const struct load load = {cache_open, cache_call, cache_close};
    int code = load_run(&load, num, seconds);
    atomic_store(&cache_stop, true);
    (void)pthread_join(thread, NULL);
    signet_client_free(cache_client);
    jose_key_free(&cache_key);
    local_teardown(&cache_fixture);
    return code;
}
