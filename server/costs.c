/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of prices. Numbers are written by who measures and read by everybody, one by one: it does no harm to
 * see a signature's new price with a check's old one.
 */
#include "server/costs.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/jose/alg_cost.h"
#include "server/config.h"

/* Reading, the envelope, the arena, and a reply; and what comes with each token: JSON, base64url, checks.
 * Measured with signet bench: a request to verify an HS256 token takes the daemon about 12. */
#define COSTS_REQUEST_US 8u
#define COSTS_TOKEN_US   6u
/* Telling of a key, and writing it as a JWK. */
#define COSTS_KEY_US 1u
#define COSTS_JWK_US 5u
/* Bytes that are decoded, checked and copied in a microsecond. */
#define COSTS_BYTES_PER_US 128u
#define COSTS_NS_PER_US    1000u
#define COSTS_NUM_SIZES    5u

static const unsigned costs_rsa_bits[COSTS_NUM_SIZES] = {2048, 3072, 4096, 6144, 8192};

/* Before they are measured: rather too much than too little, as of a slow machine. */
static const struct sg_alg_cost costs_rsa_estimates[COSTS_NUM_SIZES] = {
    {1500000, 40000}, {4500000, 90000}, {10000000, 150000}, {30000000, 350000}, {70000000, 600000},
};
static const struct sg_alg_cost costs_estimates[SG_ALG_COUNT] = {
    [SG_ALG_HS256] = {3000, 3000},       [SG_ALG_HS384] = {3000, 3000},
    [SG_ALG_HS512] = {3000, 3000},       [SG_ALG_ES256] = {40000, 120000},
    [SG_ALG_ES384] = {1500000, 1200000}, [SG_ALG_ES512] = {3000000, 2500000},
    [SG_ALG_ES256K] = {800000, 800000},  [SG_ALG_ED25519] = {60000, 180000},
    [SG_ALG_ED448] = {400000, 500000},
};

struct costs_price {
    atomic_uint_fast64_t sign_us, verify_us;
    atomic_bool is_measured; /* or was tried in vain */
};

struct sg_costs {
    struct costs_price prices[SG_ALG_COUNT];        /* but RSA */
    struct costs_price rsa_prices[COSTS_NUM_SIZES]; /* whatever the hash and the padding */
};

static bool costs_is_rsa(const struct sg_alg_info *info)
{
    return info->family == SG_FAMILY_RSA_PKCS1 || info->family == SG_FAMILY_RSA_PSS;
}

static size_t costs_size(unsigned rsa_bits)
{
    size_t i = 0;
    while (i + 1 < COSTS_NUM_SIZES && rsa_bits > costs_rsa_bits[i]) {
        i++;
    }
    return i;
}

/* NULL: no algorithm. */
static const struct costs_price *costs_find(const struct sg_costs *costs, enum sg_alg alg,
                                            unsigned rsa_bits)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL) {
        return NULL;
    }
    return costs_is_rsa(info) ? &costs->rsa_prices[costs_size(rsa_bits)] : &costs->prices[alg];
}

static uint64_t costs_to_us(uint64_t ns)
{
    return (ns + COSTS_NS_PER_US - 1) / COSTS_NS_PER_US;
}

static void costs_set(struct costs_price *price, const struct sg_alg_cost *cost)
{
    atomic_store_explicit(&price->sign_us, costs_to_us(cost->sign_ns), memory_order_relaxed);
    atomic_store_explicit(&price->verify_us, costs_to_us(cost->verify_ns), memory_order_relaxed);
}

signet_status sg_costs_new(struct sg_costs **out)
{
    struct sg_costs *costs = calloc(1, sizeof(*costs));
    if (costs == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    for (size_t i = 0; i < SG_ALG_COUNT; i++) {
        costs_set(&costs->prices[i], &costs_estimates[i]);
    }
    for (size_t i = 0; i < COSTS_NUM_SIZES; i++) {
        costs_set(&costs->rsa_prices[i], &costs_rsa_estimates[i]);
    }
    *out = costs;
    return SIGNET_OK;
}

void sg_costs_free(struct sg_costs *costs)
{
    free(costs);
}

void sg_costs_measure(struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL) {
        return;
    }
    bool is_rsa = costs_is_rsa(info);
    size_t size = costs_size(rsa_bits);
    struct costs_price *price = is_rsa ? &costs->rsa_prices[size] : &costs->prices[alg];
    struct sg_alg_cost cost;
    if (!atomic_exchange_explicit(&price->is_measured, true, memory_order_relaxed) &&
        sg_alg_cost_measure(alg, is_rsa ? costs_rsa_bits[size] : 0, &cost) == SIGNET_OK) {
        costs_set(price, &cost);
    }
}

void sg_costs_measure_config(struct sg_costs *costs, const struct sg_config *config)
{
    for (size_t i = 0; i < config->num_keysets; i++) {
        sg_costs_measure(costs, config->keysets[i].alg, config->keysets[i].rsa_bits);
    }
}

uint64_t sg_costs_sign(const struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits)
{
    const struct costs_price *price = costs_find(costs, alg, rsa_bits);
    return price != NULL ? atomic_load_explicit(&price->sign_us, memory_order_relaxed) : 0;
}

uint64_t sg_costs_verify(const struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits)
{
    const struct costs_price *price = costs_find(costs, alg, rsa_bits);
    return price != NULL ? atomic_load_explicit(&price->verify_us, memory_order_relaxed) : 0;
}

uint64_t sg_costs_request(size_t len)
{
    return COSTS_REQUEST_US + len / COSTS_BYTES_PER_US;
}

uint64_t sg_costs_token(void)
{
    return COSTS_TOKEN_US;
}

uint64_t sg_costs_key(void)
{
    return COSTS_KEY_US;
}

uint64_t sg_costs_jwk(void)
{
    return COSTS_JWK_US;
}
