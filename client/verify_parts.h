/* SPDX-License-Identifier: Apache-2.0
 *
 * What verifying one token and verifying many have in common: the question, and whether an answer is one to it.
 */
#ifndef SG_CLIENT_VERIFY_PARTS_H
#define SG_CLIENT_VERIFY_PARTS_H

#include "client/private.h"

/* sg_verify_take_options takes the caller's options into *options, a zeroed one, and checks that they ask for
 * something. */
signet_status sg_verify_take_options(const struct signet_verify_options *given,
                                     struct signet_verify_options *options,
                                     struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_verify_flaw says why no token can look like this, or NULL. A string on the wire ends at its first NUL: a token
 * with one must not reach the daemon as the shorter token that it begins with. */
const char *sg_verify_flaw(const char *token, size_t len);

/* sg_verify_request fills all of a request but the token. It borrows from the options. */
void sg_verify_request(const struct signet_verify_options *options,
                       Signet__V1__VerifyRequest *request);

/* sg_verify_check_token: somebody said yes; SIGNET_OK if it is one to this question, else PROTOCOL_ERROR. */
signet_status sg_verify_check_token(const struct signet_verify_options *options,
                                    const Signet__V1__VerifiedToken *token,
                                    struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_verify_rejected hands on the daemon's no: SIGNET_REJECTED, or PROTOCOL_ERROR for one without a reason. */
signet_status sg_verify_rejected(const Signet__V1__Rejection *rejection,
                                 struct signet_error *error) SIGNET_MUST_CHECK;

#endif
