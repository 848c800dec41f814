/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a good verdict still stands: at another time, and for a question with other options. Knows rules only: no
 * cache, no connection, no clock. It errs to one side: where it says yes, the daemon would (server/verify.c,
 * sg_claims_check); where it says no, the daemon may know better.
 */
#ifndef SG_CLIENT_STANDING_H
#define SG_CLIENT_STANDING_H

#include <signet/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/attach.h"

/* What is to be kept of the question that was answered with yes. Times are seconds since 1970. */
struct sg_standing {
    struct sg_local_span span; /* when tokens under its key are accepted */
    int64_t latest_nbf;        /* the true nbf, which may have a fraction, is not after this */
    int64_t latest_iat;        /* nor iat after this */
    uint32_t witnesses;        /* bit i: audience[i] of the token was asked for */
    bool is_of_keyset;         /* the question named the keyset */
};

/* sg_standing_init takes down what a token was found good for. judged_at: no earlier than it was judged. False: it
 * says what no daemon would, and nothing is to be kept of it. */
bool sg_standing_init(struct sg_standing *standing, const Signet__V1__VerifiedToken *token,
                      const struct signet_verify_options *options, int64_t judged_at,
                      const struct sg_local_span *span) SIGNET_MUST_CHECK;

/* sg_standing_holds says whether the token, judged now under these options (taken and checked), would be found good
 * again, if nothing changed of keys, revocations and grants. */
bool sg_standing_holds(const struct sg_standing *standing, const Signet__V1__VerifiedToken *token,
                       const struct signet_verify_options *options, int64_t now);

#endif
