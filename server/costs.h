/* SPDX-License-Identifier: Apache-2.0
 *
 * What requests cost, in microseconds of a processor: measured on this machine for each algorithm that is in
 * use, and estimated until then. Prices, not bills: they have to be right between algorithms, and about right
 * in all.
 */
#ifndef SG_COSTS_H
#define SG_COSTS_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/alg.h"

struct sg_costs;
struct sg_config;

/* sg_costs_new begins with estimates for all algorithms. RESOURCE_EXHAUSTED without memory. */
signet_status sg_costs_new(struct sg_costs **out) SIGNET_MUST_CHECK;
void sg_costs_free(struct sg_costs *costs); /* NULL is legal */

/* sg_costs_measure measures an algorithm, with keys of rsa_bits (RSA only), unless it was measured before: some
 * milliseconds of the calling thread, which may be any. What cannot be measured stays estimated. */
void sg_costs_measure(struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits);

/* sg_costs_measure_config measures what the keysets of a configuration sign with. To be called at the start, and
 * after a reload for what that has brought. */
void sg_costs_measure_config(struct sg_costs *costs, const struct sg_config *config);

/* sg_costs_sign and sg_costs_verify: one signature, at least 1. rsa_bits is for RSA only; between two sizes
 * that are told apart (2048, 3072, 4096, 6144, 8192) the larger counts. 0 for a number that is no algorithm.
 * Any thread, lock-free. */
uint64_t sg_costs_sign(const struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits);
uint64_t sg_costs_verify(const struct sg_costs *costs, enum sg_alg alg, unsigned rsa_bits);

/* sg_costs_request is what a request of len bytes costs whatever it asks for: reading, decoding, JSON, and the
 * answer. */
uint64_t sg_costs_request(size_t len);
/* sg_costs_token is what each token of a request costs besides its signature. */
uint64_t sg_costs_token(void);
/* sg_costs_key is what each key costs that a reply tells of, and sg_costs_jwk each that it gives as a JWK. */
uint64_t sg_costs_key(void);
uint64_t sg_costs_jwk(void);

#endif
