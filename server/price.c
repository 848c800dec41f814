/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds up the table of server/costs for a request. Looks keysets and headers up, and does nothing that a request
 * could make expensive.
 */
#include "server/price.h"

#include <string.h>

#include "common/limits.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define PRICE_BITS_PER_BYTE 8u
/* Writing down a revocation, or a token that is used up: the disk is waited for, and all who change what is in the
 * store with it. */
#define PRICE_RECORD_US 500u

/* 0 for what is not RSA. */
static unsigned price_rsa_bits(const struct sg_key *key)
{
    size_t len = 0;
    const uint8_t *modulus =
        key->public_key != NULL ? sg_public_key_member(key->public_key, "n", &len) : NULL;
    return modulus != NULL ? (unsigned)len * PRICE_BITS_PER_BYTE : 0;
}

uint64_t sg_price_check(const struct sg_costs *costs, const struct sg_key *key)
{
    return sg_costs_verify(costs, key->alg, price_rsa_bits(key));
}

bool sg_price_foresees(const struct sg_keyring *keyring, const char *header_b64, size_t len)
{
    return sg_keyring_key_of_header(keyring, header_b64, len) != NULL;
}

static uint64_t price_sign(const struct sg_costs *costs, const struct sg_keyring *keyring,
                           int64_t now, const Signet__V1__SignRequest *request)
{
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, request->keyset);
    const struct sg_key *key =
        keyset != NULL && keyset->foreign == NULL ? sg_keyset_signing_key(keyset, now) : NULL;
    uint64_t signature_us = key != NULL ? sg_costs_sign(costs, key->alg, price_rsa_bits(key)) : 0;
    return sg_costs_token() + signature_us;
}

static uint64_t price_verify(const struct sg_costs *costs, const struct sg_keyring *keyring,
                             const Signet__V1__VerifyRequest *request)
{
    size_t header_len = strcspn(request->token, ".");
    const struct sg_key *key = sg_keyring_key_of_header(keyring, request->token, header_len);
    return sg_costs_token() + (key != NULL ? sg_price_check(costs, key) : 0) +
           (request->consume ? PRICE_RECORD_US : 0);
}

static uint64_t price_sign_batch(const struct sg_costs *costs, const struct sg_keyring *keyring,
                                 int64_t now, const Signet__V1__SignBatchRequest *batch)
{
    uint64_t sum_us = 0;
    for (size_t i = 0; i < batch->n_requests && i < SG_MAX_BATCH; i++) {
        sum_us += price_sign(costs, keyring, now, batch->requests[i]);
    }
    return sum_us;
}

static uint64_t price_verify_batch(const struct sg_costs *costs, const struct sg_keyring *keyring,
                                   const Signet__V1__VerifyBatchRequest *batch)
{
    uint64_t sum_us = 0;
    for (size_t i = 0; i < batch->n_requests && i < SG_MAX_BATCH; i++) {
        sum_us += price_verify(costs, keyring, batch->requests[i]);
    }
    return sum_us;
}

static uint64_t price_jwks(const struct sg_keyring *keyring,
                           const Signet__V1__GetJwksRequest *request)
{
    if (request->keyset[0] == '\0') {
        return sg_keyring_num_keys(keyring) * sg_costs_jwk();
    }
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, request->keyset);
    return keyset != NULL ? keyset->num_keys * sg_costs_jwk() : 0;
}

uint64_t sg_price(const struct sg_costs *costs, const struct sg_keyring *keyring, int64_t now,
                  const ProtobufCMessage *request, size_t len)
{
    const ProtobufCMessageDescriptor *type = request->descriptor;
    uint64_t sum_us = sg_costs_request(len);
    if (type == &signet__v1__sign_request__descriptor) {
        sum_us += price_sign(costs, keyring, now, (const Signet__V1__SignRequest *)request);
    } else if (type == &signet__v1__verify_request__descriptor) {
        sum_us += price_verify(costs, keyring, (const Signet__V1__VerifyRequest *)request);
    } else if (type == &signet__v1__sign_batch_request__descriptor) {
        sum_us +=
            price_sign_batch(costs, keyring, now, (const Signet__V1__SignBatchRequest *)request);
    } else if (type == &signet__v1__verify_batch_request__descriptor) {
        sum_us +=
            price_verify_batch(costs, keyring, (const Signet__V1__VerifyBatchRequest *)request);
    } else if (type == &signet__v1__list_keysets_request__descriptor) {
        sum_us += sg_keyring_num_keys(keyring) * sg_costs_key();
    } else if (type == &signet__v1__revoke_request__descriptor) {
        sum_us += PRICE_RECORD_US;
    } else if (type == &signet__v1__get_jwks_request__descriptor) {
        sum_us += price_jwks(keyring, (const Signet__V1__GetJwksRequest *)request);
    }
    return sum_us;
}
