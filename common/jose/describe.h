/* SPDX-License-Identifier: Apache-2.0
 *
 * A good token as the wire has it, so that whoever reads it needs no JSON.
 */
#ifndef SG_JOSE_DESCRIBE_H
#define SG_JOSE_DESCRIBE_H

#include "common/arena.h"
#include "common/jose/claims.h"
#include "common/jose/jws.h"
#include "signet/v1/token.pb-c.h"

/* sg_describe fills *out with what was verified: the claims, and the key and keyset that signed them. *out borrows from
 * claims, jws, kid and keyset, and the arena. The claims must have been found good. False, with *out not to be used:
 * without memory, or at the arena's cap. */
bool sg_describe(const struct sg_claims *claims, const struct sg_jws *jws, const char *kid,
                 const char *keyset, struct sg_arena *arena,
                 Signet__V1__VerifiedToken *out) SIGNET_MUST_CHECK;

#endif
