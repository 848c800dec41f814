/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 by OpenSSL.
 */
#include "common/digest/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sg_sha256_state {
    EVP_MD
    *algorithm; /* fetched once: to look it up for every message costs more than a short one */
    EVP_MD_CTX *context;
    bool failed; /* since the message began */
};

/* OpenSSL's queue of errors is per thread and grows. */
static signet_status digest_done(bool worked)
{
    ERR_clear_error();
    return worked ? SIGNET_OK : SIGNET_INTERNAL;
}

signet_status sg_sha256(const void *bytes, size_t len, uint8_t out[SG_SHA256_LEN])
{
    uint8_t hash[SG_SHA256_LEN];
    bool worked = EVP_Q_digest(NULL, "SHA256", NULL, len > 0 ? bytes : "", len, hash, NULL) == 1;
    if (worked) {
        memcpy(out, hash, sizeof(hash));
    }
    return digest_done(worked);
}

static bool digest_begin(struct sg_sha256_state *state)
{
    state->failed = EVP_DigestInit_ex2(state->context, state->algorithm, NULL) != 1;
    return !state->failed;
}

signet_status sg_sha256_state_new(struct sg_sha256_state **out)
{
    struct sg_sha256_state *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    state->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    state->context = EVP_MD_CTX_new();
    if (state->algorithm == NULL || state->context == NULL || !digest_begin(state)) {
        sg_sha256_state_free(state);
        return digest_done(false);
    }
    *out = state;
    return SIGNET_OK;
}

void sg_sha256_state_free(struct sg_sha256_state *state)
{
    if (state != NULL) {
        EVP_MD_CTX_free(state->context);
        EVP_MD_free(state->algorithm);
        free(state);
    }
}

signet_status sg_sha256_state_update(struct sg_sha256_state *state, const void *bytes, size_t len)
{
    if (len > 0 && EVP_DigestUpdate(state->context, bytes, len) != 1) {
        state->failed = true;
    }
    return digest_done(!state->failed);
}

signet_status sg_sha256_state_final(struct sg_sha256_state *state, uint8_t out[SG_SHA256_LEN])
{
    uint8_t hash[SG_SHA256_LEN];
    unsigned len = 0;
    bool worked = !state->failed && EVP_DigestFinal_ex(state->context, hash, &len) == 1 &&
                  len == sizeof(hash);
    if (worked) {
        memcpy(out, hash, sizeof(hash));
    }
    /* A message that cannot be begun fails when it is asked for. */
    (void)digest_begin(state);
    return digest_done(worked);
}
