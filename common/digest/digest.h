/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 (FIPS 180-4) of bytes that are no secret: programs, and the chain of the audit.
 */
#ifndef SG_DIGEST_H
#define SG_DIGEST_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#define SG_SHA256_LEN 32u

/* sg_sha256 writes the hash of len bytes (NULL: none) to out. INTERNAL if OpenSSL fails. Any thread. */
signet_status sg_sha256(const void *bytes, size_t len,
                        uint8_t out[SG_SHA256_LEN]) SIGNET_MUST_CHECK;

/* The hash of what comes in pieces. One thread at a time. */
struct sg_sha256_state;

/* sg_sha256_state_new makes one for the first message. RESOURCE_EXHAUSTED without memory, INTERNAL if
 * OpenSSL fails. Release it with
 * sg_sha256_state_free. */
signet_status sg_sha256_state_new(struct sg_sha256_state **out) SIGNET_MUST_CHECK;

/* sg_sha256_state_free takes NULL. */
void sg_sha256_state_free(struct sg_sha256_state *state);

/* sg_sha256_state_update takes the next len bytes (NULL: none) in. INTERNAL if OpenSSL fails; what is
 * written afterwards is INTERNAL too. */
signet_status sg_sha256_state_update(struct sg_sha256_state *state, const void *bytes,
                                     size_t len) SIGNET_MUST_CHECK;

/* sg_sha256_state_final writes the hash of all that was taken in, and begins the next message. INTERNAL if
 * OpenSSL fails, or failed since the message began. */
signet_status sg_sha256_state_final(struct sg_sha256_state *state,
                                    uint8_t out[SG_SHA256_LEN]) SIGNET_MUST_CHECK;

#endif
