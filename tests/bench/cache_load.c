/* SPDX-License-Identifier: Apache-2.0
 *
 * What signet_verify costs when the verdict is in the cache: one client for all threads, and one HS256 token with the
 * claims of a token of signet bench, which all of them verify. In the place of libsignet-local is something that always
 * has the same board, and reads two clocks to say so, as the real one does. No daemon runs.
 *
 *     cache_load THREADS SECONDS
 *
 * prints what load_run prints. The clock that it reads for each call is within the rate.
 */
#include <signet/client.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/attach.h"
#include "tests/bench/load.h"

#define CACHE_AUDIENCE "signet-bench"
#define CACHE_TTL_S    900

static char cache_token[] =
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IlFCWC1BTURyX1FmSDQyb1NqQWQ5RUEiLCJ0eXAiOiJKV1QifQ."
    "eyJpc3MiOiJodHRwczovL3NpZ25ldC5leGFtcGxlL2RlbW8iLCJzdWIiOiJiZW5jaCIsImF1ZCI6InNpZ25ldC1iZW5j"
    "aCIsImlhdCI6MTc2NDMxNjgwMCwibmJmIjoxNzY0MzE2ODAwLCJleHAiOjE3NjQzMTc3MDAsImp0aSI6IlpaUmlZekgx"
    "ZWR6eC1CLVZ1RGUzWFEifQ.c2lnbmF0dXJlLXRoYXQtbm9ib2R5LWxvb2tzLWF0LWhlcmU";

static struct signet_client *cache_client;
static atomic_uint cache_num_judged;

/* ---- In the place of libsignet-local ---- */

static Signet__V1__VerifiedToken cache_verified;

static void cache_release(struct sg_verified_body *body)
{
    free(body);
}

static bool cache_generation(void *local, uint64_t *generation)
{
    (void)local;
    struct timespec boot;
    struct timespec wall;
    if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0) {
        return false;
    }
    *generation = 1;
    return true;
}

static bool cache_key_span(void *local, const char *keyset, const char *kid,
                           struct sg_local_span *span)
{
    (void)local;
    (void)keyset;
    (void)kid;
    *span = (struct sg_local_span){0, INT64_MAX};
    return true;
}

static void cache_verify(void *local, const char *token, size_t token_len,
                         const struct signet_verify_options *options, int64_t now,
                         struct sg_local_answer *answer)
{
    (void)local;
    (void)token;
    (void)token_len;
    (void)options;
    (void)now;
    atomic_fetch_add(&cache_num_judged, 1);
    struct sg_verified_body *body = malloc(sizeof(*body));
    if (body == NULL) {
        answer->outcome = SG_LOCAL_NO_MEMORY;
        return;
    }
    atomic_init(&body->num_refs, 1);
    body->token = &cache_verified;
    body->release = cache_release;
    answer->outcome = SG_LOCAL_GOOD;
    answer->body = body;
}

static void cache_free(void *local)
{
    (void)local;
}

static void cache_describe(void)
{
    static char issuer[] = "https://signet.example/demo";
    static char subject[] = "bench";
    static char audience[] = CACHE_AUDIENCE;
    static char *audiences[] = {audience};
    static char jti[] = "ZZRiYzH1edzx-B-VuDe3XQ";
    static char kid[] = "QBX-AMDr_QfH42oSjAd9EA";
    static char keyset[] = "demo-hs256";
    static char typ[] = "JWT";
    static char json[] =
        "{\"iss\":\"https://signet.example/demo\",\"sub\":\"bench\",\"aud\":\"signet-bench\","
        "\"iat\":1764316800,\"nbf\":1764316800,\"exp\":1764317700,"
        "\"jti\":\"ZZRiYzH1edzx-B-VuDe3XQ\"}";
    signet__v1__verified_token__init(&cache_verified);
    cache_verified.issuer = issuer;
    cache_verified.subject = subject;
    cache_verified.n_audience = 1;
    cache_verified.audience = audiences;
    cache_verified.not_before = (int64_t)time(NULL) - 1;
    cache_verified.issued_at = cache_verified.not_before;
    cache_verified.has_not_before = true;
    cache_verified.has_issued_at = true;
    cache_verified.expires_at = cache_verified.issued_at + CACHE_TTL_S;
    cache_verified.jti = jti;
    cache_verified.kid = kid;
    cache_verified.keyset = keyset;
    cache_verified.typ = typ;
    cache_verified.claims_json = json;
}

static bool cache_attach(void)
{
    static struct sg_local_ops ops = {NULL, cache_generation, cache_key_span, cache_verify,
                                      cache_free};
    ops.version = signet_version();
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = "/nonexistent/signet.sock";
    struct signet_error error;
    if (signet_client_new(&options, &cache_client, &error) != SIGNET_OK ||
        sg_client_attach(cache_client, &ops, NULL, &error) != SIGNET_OK) {
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
        signet_verify(state, cache_token, sizeof(cache_token) - 1, &options, &verified, NULL);
    signet_verified_free(verified);
    return status == SIGNET_OK ? LOAD_DONE : LOAD_FAILED;
}

static void cache_close(void *state)
{
    (void)state;
}

int main(int argc, char **argv)
{
    unsigned long num = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (num < 1 || num > LOAD_MAX_THREADS || seconds <= 0) {
        (void)fprintf(stderr, "usage: %s THREADS SECONDS\n", argv[0]);
        return 2;
    }
    cache_describe();
    if (!cache_attach()) {
        return 1;
    }
    const struct load load = {cache_open, cache_call, cache_close};
    int code = load_run(&load, num, seconds);
    signet_client_free(cache_client);
    /* Threads that begin together may each find nothing there yet. */
    if (code == 0 && atomic_load(&cache_num_judged) > num) {
        (void)fputs("cache_load: there were misses\n", stderr);
        return 1;
    }
    return code;
}
