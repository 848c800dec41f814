/* SPDX-License-Identifier: Apache-2.0
 *
 * What a service can do that holds the secret itself: libjwt in its own process, HS256, with the claims of a token
 * of signet bench.
 *
 *     jwt_load encode|verify THREADS SECONDS
 *
 * prints what load_run prints. verify is jwt_decode, which checks algorithm and signature, and then issuer, audience
 * and expiry as a careful caller has to by itself; libjwt 1.10 has no call for that.
 */
#include <jwt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/load.h"

#define JWT_ISSUER   "https://signet.example/demo"
#define JWT_AUDIENCE "signet-bench"
#define JWT_TTL_S    900

static const unsigned char jwt_secret[32] = {1};

/* A token, for the caller to free; NULL on failure. */
static char *jwt_mint(void)
{
    jwt_t *jwt = NULL;
    char *token = NULL;
    long now = (long)time(NULL);
    if (jwt_new(&jwt) == 0 && jwt_add_header(jwt, "kid", "QBX-AMDr_QfH42oSjAd9EA") == 0 &&
        jwt_add_grant(jwt, "iss", JWT_ISSUER) == 0 && jwt_add_grant(jwt, "sub", "bench") == 0 &&
        jwt_add_grant(jwt, "aud", JWT_AUDIENCE) == 0 && jwt_add_grant_int(jwt, "iat", now) == 0 &&
        jwt_add_grant_int(jwt, "nbf", now) == 0 &&
        jwt_add_grant_int(jwt, "exp", now + JWT_TTL_S) == 0 &&
        jwt_add_grant(jwt, "jti", "ZZRiYzH1edzx-B-VuDe3XQ") == 0 &&
        jwt_set_alg(jwt, JWT_ALG_HS256, jwt_secret, sizeof(jwt_secret)) == 0) {
        token = jwt_encode_str(jwt);
    }
    jwt_free(jwt);
    return token;
}

static bool jwt_is(jwt_t *jwt, const char *name, const char *expected)
{
    const char *value = jwt_get_grant(jwt, name);
    return value != NULL && strcmp(value, expected) == 0;
}

static void *jwt_open(void)
{
    return jwt_mint();
}

static enum load_verdict jwt_call_encode(void *state)
{
    (void)state;
    char *token = jwt_mint();
    free(token);
    return token != NULL ? LOAD_DONE : LOAD_FAILED;
}

static enum load_verdict jwt_call_verify(void *state)
{
    jwt_t *jwt = NULL;
    bool good = jwt_decode(&jwt, state, jwt_secret, sizeof(jwt_secret)) == 0 &&
                jwt_get_alg(jwt) == JWT_ALG_HS256 && jwt_is(jwt, "iss", JWT_ISSUER) &&
                jwt_is(jwt, "aud", JWT_AUDIENCE) && jwt_get_grant_int(jwt, "exp") > time(NULL);
    jwt_free(jwt);
    return good ? LOAD_DONE : LOAD_FAILED;
}

int main(int argc, char **argv)
{
    const bool is_encode = argc == 4 && strcmp(argv[1], "encode") == 0;
    const bool is_verify = argc == 4 && strcmp(argv[1], "verify") == 0;
    unsigned long num = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
    double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;
    if ((!is_encode && !is_verify) || num < 1 || num > LOAD_MAX_THREADS || seconds <= 0) {
        (void)fprintf(stderr, "usage: %s encode|verify THREADS SECONDS\n", argv[0]);
        return 2;
    }
    const struct load load = {jwt_open, is_verify ? jwt_call_verify : jwt_call_encode, free};
    return load_run(&load, num, seconds);
}
