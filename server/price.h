/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request costs before it is worked on, by what it asks for.
 */
#ifndef SG_PRICE_H
#define SG_PRICE_H

#include <protobuf-c/protobuf-c.h>

#include "server/costs.h"
#include "server/keyring.h"

/* sg_price adds up, in microseconds, what a decoded request of len bytes will cost. Of a token to be verified,
 * its signature counts if its header is one that our keys write; what else it is checked with is known only
 * then (sg_price_check, sg_quota_charge_more). now: seconds since 1970. */
uint64_t sg_price(const struct sg_costs *costs, const struct sg_keyring *keyring, int64_t now,
                  const ProtobufCMessage *request, size_t len);

/* sg_price_foresees says whether sg_price counts the signature of a token with this header. */
bool sg_price_foresees(const struct sg_keyring *keyring, const char *header_b64, size_t len);

/* sg_price_check is one signature that is checked under a key. */
uint64_t sg_price_check(const struct sg_costs *costs, const struct sg_key *key);

#endif
