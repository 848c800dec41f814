/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens whose MAC the keyholder has found good, so that it is not asked again while one token passes several
 * services. What is remembered is this and nothing more: under the key in this slot, these very bytes have a good
 * MAC. Whether the key may still verify, the claims, the grant and revocations are for the caller to look at each
 * time.
 *
 * A slot number is never given out twice, so that what is known of a key that is gone is never asked for. What was
 * not found good is not kept. Memory is bounded, and all taken at the start; what was used least lately gives way.
 * All functions: any thread.
 */
#ifndef SG_MAC_CACHE_H
#define SG_MAC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer tokens are not kept. */
#define SG_MAC_CACHE_MAX_TOKEN 1000u

struct sg_mac_cache;

/* sg_mac_cache_new makes room for num tokens, 1 to 65536, of about 1 KiB each. NULL without memory or randomness. */
struct sg_mac_cache *sg_mac_cache_new(uint32_t num);
/* sg_mac_cache_free wipes the tokens. NULL is legal. */
void sg_mac_cache_free(struct sg_mac_cache *cache);

/* sg_mac_cache_add keeps that the MAC of the token is good under the key in slot. Slot 0, which is none, and tokens
 * that are too long are not kept. */
void sg_mac_cache_add(struct sg_mac_cache *cache, uint64_t slot, const char *token, size_t len);

/* sg_mac_cache_has says whether that was added, of all the bytes of the token. False says nothing. */
bool sg_mac_cache_has(struct sg_mac_cache *cache, uint64_t slot, const char *token, size_t len)
    __attribute__((warn_unused_result));

#endif
