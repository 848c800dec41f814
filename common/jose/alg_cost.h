/* SPDX-License-Identifier: Apache-2.0
 *
 * What an algorithm's signatures cost on this machine. Works with keys that it makes, uses for nothing else and
 * throws away; of RSA it makes none, but does the arithmetic that a signature consists of.
 */
#ifndef SG_JOSE_ALG_COST_H
#define SG_JOSE_ALG_COST_H

#include <signet/status.h>
#include <stdint.h>

#include "common/jose/alg.h"

struct sg_alg_cost {
    uint64_t sign_ns, verify_ns; /* of the calling thread's processor time; at least 1 */
};

/* sg_alg_cost_measure takes the median of some signatures and checks, within about 10 ms (RSA of 8192 bits: 20).
 * rsa_bits: 2048 to 8192 for RSA, else not looked at. INVALID_ARGUMENT: no such algorithm or size.
 * RESOURCE_EXHAUSTED: no memory. INTERNAL: OpenSSL does not do it. Any thread. */
signet_status sg_alg_cost_measure(enum sg_alg alg, unsigned rsa_bits,
                                  struct sg_alg_cost *out) SIGNET_MUST_CHECK;

#endif
