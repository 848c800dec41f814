/* SPDX-License-Identifier: Apache-2.0
 *
 * Judging tokens.
 */
#ifndef SG_VERIFY_H
#define SG_VERIFY_H

#include "server/services.h"
#include "signet/v1/token.pb-c.h"

/* What came of one request: exactly one is set. Lives until the sink returns. */
struct sg_verify_outcome {
    Signet__V1__VerifiedToken *token;  /* good for what was asked */
    Signet__V1__Rejection *rejection;  /* not good */
    const struct sg_rpc_status *error; /* not judged */
};

/* Puts an outcome into the response. On failure exchange->error is filled. */
typedef signet_status sg_verify_sink(struct sg_exchange *exchange,
                                     const struct sg_verify_outcome *outcome);

/* sg_verify judges the token of each request, on its own, and hands the outcomes to sink in order.
 * Fails if sink does, without memory, and when the deadline passes on the way. */
signet_status sg_verify(struct sg_exchange *exchange,
                        const Signet__V1__VerifyRequest *const *requests, size_t num,
                        sg_verify_sink *sink) SIGNET_MUST_CHECK;

/* sg_verify_identify says which token this is, for a peer that may revoke those of its keyset: all is judged but its
 * times, audience, subject and scope, and whether it is revoked. Neither recorded nor counted. The request needs
 * any_audience. All else as of sg_verify. */
signet_status sg_verify_identify(struct sg_exchange *exchange,
                                 const Signet__V1__VerifyRequest *request,
                                 sg_verify_sink *sink) SIGNET_MUST_CHECK;

#endif
