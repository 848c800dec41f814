/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring. A key that is made here lives for some milliseconds, signs a constant, and is known to nobody.
 */
#include "common/jose/alg_cost.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/limits.h"

/* A common token's signing input. */
#define COST_INPUT_LEN 256u
/* Each half of a measurement takes so long, or one run. */
#define COST_BUDGET_NS UINT64_C(4000000)
#define COST_MAX_RUNS  31u
#define COST_MAX_SIG   256u

/* What is measured. */
struct cost_bench {
    const struct sg_alg_info *info;
    EVP_PKEY *pkey;
    EVP_MD *md; /* NULL: the algorithm brings its own */
    uint8_t input[COST_INPUT_LEN];
    uint8_t signature[COST_MAX_SIG];
    size_t signature_len;
    /* RSA. */
    BIGNUM *half_modulus, *half_exponent, *half_base;
    BIGNUM *modulus, *exponent, *base, *result;
    BN_CTX *context;
};

typedef bool cost_run(struct cost_bench *bench);

static uint64_t cost_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int cost_compare(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

/* The median of as many runs as there is time for. False if one failed. */
static bool cost_measure(cost_run *run, struct cost_bench *bench, uint64_t *out_ns)
{
    uint64_t took[COST_MAX_RUNS];
    size_t num = 0;
    uint64_t begin = cost_now_ns();
    uint64_t before = begin;
    while (num == 0 || (num < COST_MAX_RUNS && before - begin < COST_BUDGET_NS)) {
        if (!run(bench)) {
            return false;
        }
        uint64_t after = cost_now_ns();
        took[num++] = after - before;
        before = after;
    }
    qsort(took, num, sizeof(took[0]), cost_compare);
    *out_ns = took[num / 2] > 0 ? took[num / 2] : 1;
    return true;
}

/* ---- HMAC ---- */

static bool cost_run_hmac(struct cost_bench *bench)
{
    static const uint8_t key[64] = {1};
    unsigned len = 0;
    return HMAC(bench->md, key, (int)sizeof(key), bench->input, sizeof(bench->input),
                bench->signature, &len) != NULL;
}

/* ---- Curves ---- */

static bool cost_run_sign(struct cost_bench *bench)
{
    size_t len = sizeof(bench->signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done =
        context != NULL && EVP_DigestSignInit(context, NULL, bench->md, NULL, bench->pkey) == 1 &&
        EVP_DigestSign(context, bench->signature, &len, bench->input, sizeof(bench->input)) == 1;
    EVP_MD_CTX_free(context);
    bench->signature_len = done ? len : 0;
    return done;
}

static bool cost_run_verify(struct cost_bench *bench)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL &&
                EVP_DigestVerifyInit(context, NULL, bench->md, NULL, bench->pkey) == 1 &&
                EVP_DigestVerify(context, bench->signature, bench->signature_len, bench->input,
                                 sizeof(bench->input)) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

static bool cost_make_key(struct cost_bench *bench)
{
    const struct sg_alg_info *info = bench->info;
    bench->pkey = info->family == SG_FAMILY_ECDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group)
                                                  : EVP_PKEY_Q_keygen(NULL, NULL, info->group);
    /* The first use sets up what later ones have. */
    return bench->pkey != NULL && cost_run_sign(bench) && cost_run_verify(bench);
}

/* ---- RSA ---- */

/* RFC 8017 section 5.1.2: a power for each of the two primes; then OpenSSL checks the result with the public
 * exponent. The primes' other properties do not matter to what that takes. */
static bool cost_run_rsa_sign(struct cost_bench *bench)
{
    for (unsigned i = 0; i < 2; i++) {
        if (BN_mod_exp_mont_consttime(bench->result, bench->half_base, bench->half_exponent,
                                      bench->half_modulus, bench->context, NULL) != 1) {
            return false;
        }
    }
    return BN_mod_exp_mont(bench->result, bench->base, bench->exponent, bench->modulus,
                           bench->context, NULL) == 1;
}

static bool cost_run_rsa_verify(struct cost_bench *bench)
{
    return BN_mod_exp_mont(bench->result, bench->base, bench->exponent, bench->modulus,
                           bench->context, NULL) == 1;
}

static bool cost_make_numbers(struct cost_bench *bench, unsigned rsa_bits)
{
    const int bits = (int)rsa_bits;
    bench->half_modulus = BN_new();
    bench->half_exponent = BN_new();
    bench->half_base = BN_new();
    bench->modulus = BN_new();
    bench->exponent = BN_new();
    bench->base = BN_new();
    bench->result = BN_new();
    bench->context = BN_CTX_new();
    return bench->half_modulus != NULL && bench->half_exponent != NULL &&
           bench->half_base != NULL && bench->modulus != NULL && bench->exponent != NULL &&
           bench->base != NULL && bench->result != NULL && bench->context != NULL &&
           BN_rand(bench->half_modulus, bits / 2, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
           BN_rand(bench->half_exponent, bits / 2 - 1, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) == 1 &&
           BN_rand(bench->half_base, bits / 2 - 1, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_rand(bench->modulus, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
           BN_rand(bench->base, bits - 1, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_set_word(bench->exponent, 65537) == 1;
}

/* ---- One algorithm ---- */

static bool cost_is_rsa(const struct sg_alg_info *info)
{
    return info->family == SG_FAMILY_RSA_PKCS1 || info->family == SG_FAMILY_RSA_PSS;
}

static bool cost_prepare(struct cost_bench *bench, unsigned rsa_bits)
{
    memset(bench->input, 'a', sizeof(bench->input));
    if (cost_is_rsa(bench->info)) {
        return cost_make_numbers(bench, rsa_bits);
    }
    if (bench->info->digest != NULL) {
        bench->md = EVP_MD_fetch(NULL, bench->info->digest, NULL);
        if (bench->md == NULL) {
            return false;
        }
    }
    return bench->info->family == SG_FAMILY_HMAC ? cost_run_hmac(bench) : cost_make_key(bench);
}

static bool cost_take(struct cost_bench *bench, struct sg_alg_cost *cost)
{
    cost_run *sign = cost_run_sign;
    cost_run *verify = cost_run_verify;
    if (cost_is_rsa(bench->info)) {
        sign = cost_run_rsa_sign;
        verify = cost_run_rsa_verify;
    } else if (bench->info->family == SG_FAMILY_HMAC) {
        sign = cost_run_hmac;
        verify = cost_run_hmac;
    }
    return cost_measure(sign, bench, &cost->sign_ns) &&
           cost_measure(verify, bench, &cost->verify_ns);
}

static void cost_release(struct cost_bench *bench)
{
    EVP_PKEY_free(bench->pkey);
    EVP_MD_free(bench->md);
    BN_clear_free(bench->half_modulus);
    BN_clear_free(bench->half_exponent);
    BN_free(bench->half_base);
    BN_free(bench->modulus);
    BN_free(bench->exponent);
    BN_free(bench->base);
    BN_free(bench->result);
    BN_CTX_free(bench->context);
    free(bench);
    ERR_clear_error();
}

signet_status sg_alg_cost_measure(enum sg_alg alg, unsigned rsa_bits, struct sg_alg_cost *out)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL ||
        (cost_is_rsa(info) && (rsa_bits < SG_MIN_RSA_BITS || rsa_bits > SG_MAX_RSA_BITS))) {
        return SIGNET_INVALID_ARGUMENT;
    }
    struct cost_bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    bench->info = info;
    struct sg_alg_cost cost = {0};
    bool measured = cost_prepare(bench, rsa_bits) && cost_take(bench, &cost);
    cost_release(bench);
    if (!measured) {
        return SIGNET_INTERNAL;
    }
    *out = cost;
    return SIGNET_OK;
}
