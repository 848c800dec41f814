/* SPDX-License-Identifier: Apache-2.0
 *
 * The one gate before every signature: what is to be signed must be a JWS signing input of our own
 * making (RFC 7515 section 5.1), so that the keyholder is of no use as a general signing oracle.
 */
#ifndef SG_KEYHOLDER_SIGNING_SHAPE_H
#define SG_KEYHOLDER_SIGNING_SHAPE_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/alg.h"

/* sg_signing_shape_check says SIGNET_OK only if data is BASE64URL(header) '.' BASE64URL(payload),
 * both strict and not empty, at most SG_MAX_TOKEN_LEN long, and the header's text is
 *
 *     {"alg":"NAME","member":"text",...}
 *
 * with NAME exactly what alg writes, no other member called alg, and nothing but printable ASCII
 * without quotes and backslashes in names and texts: no white space between, no escapes, no
 * numbers, no nesting. Else INVALID_ARGUMENT, with static text in *why. The payload's content is
 * not looked at. Pure; any thread. */
signet_status sg_signing_shape_check(enum sg_alg alg, const uint8_t *data, size_t len,
                                     const char **why) SIGNET_MUST_CHECK;

#endif
