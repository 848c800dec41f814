/* SPDX-License-Identifier: Apache-2.0
 *
 * Minting tokens under the policy of their keysets.
 */
#ifndef SG_SIGN_H
#define SG_SIGN_H

#include "server/services.h"
#include "signet/v1/token.pb-c.h"

/* What came of one request: exactly one is set. Lives until the sink returns. */
struct sg_sign_outcome {
    Signet__V1__SignResponse *token;
    const struct sg_rpc_status *error;
};

/* Puts an outcome into the response. On failure exchange->error is filled. */
typedef signet_status sg_sign_sink(struct sg_exchange *exchange,
                                   const struct sg_sign_outcome *outcome);

/* sg_sign mints a token for each request, on its own, and hands the outcomes to sink in order. Fails
 * if sink does, without memory, and when the deadline passes on the way. */
signet_status sg_sign(struct sg_exchange *exchange, const Signet__V1__SignRequest *const *requests,
                      size_t num, sg_sign_sink *sink) SIGNET_MUST_CHECK;

/* sg_sign_is_slow says whether signing for this request takes long. */
bool sg_sign_is_slow(const struct sg_keyring *keyring, const Signet__V1__SignRequest *request);

#endif
