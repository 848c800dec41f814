/* SPDX-License-Identifier: Apache-2.0
 *
 * A verified token in one piece of memory, so that it takes one allocation and one copy. Knows only the message.
 */
#ifndef SG_CLIENT_FLAT_TOKEN_H
#define SG_CLIENT_FLAT_TOKEN_H

#include <stddef.h>

#include "signet/v1/token.pb-c.h"

/* sg_flat_token_len returns how many bytes a token takes in one piece. */
size_t sg_flat_token_len(const Signet__V1__VerifiedToken *token);

/* sg_flat_token_make writes that piece to `out`, which is aligned for any object. What no field has, the daemon's
 * unknown fields among it, is left out. */
Signet__V1__VerifiedToken *sg_flat_token_make(const Signet__V1__VerifiedToken *token, void *out);

/* sg_flat_token_copy copies a piece of len bytes to another place, which is aligned for any object. */
Signet__V1__VerifiedToken *sg_flat_token_copy(const Signet__V1__VerifiedToken *flat, size_t len,
                                              void *out);

#endif
