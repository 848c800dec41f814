/* SPDX-License-Identifier: Apache-2.0
 *
 * Keyrings made by hand: keys in a keyholder, policies of their keysets, and foreign issuers whose
 * references are counted here. A program with this has no server/trust.c in it.
 */
#ifndef SG_TEST_KEYRING_FIXTURE_H
#define SG_TEST_KEYRING_FIXTURE_H

#include "server/config.h"
#include "server/keyring.h"
#include "server/trust.h"

#define RING_NOW    INT64_C(1800000000)
#define RING_ISSUER "https://login.example"

/* ring_policy is a keyset of the name: typ "JWT", default_ttl 300, max_ttl 600, overlap 100 seconds.
 * Points to name. */
struct sg_config_keyset ring_policy(char *name, enum sg_alg alg);

/* ring_core generates a key. kid NULL: its thumbprint. */
struct sg_key_core *ring_core(struct sg_keyholder *keyholder, enum sg_alg alg, const char *kid);
/* ring_core_import takes a secret. */
struct sg_key_core *ring_core_import(struct sg_keyholder *keyholder, enum sg_alg alg,
                                     const char *kid, const uint8_t *secret, size_t len);

/* ring_key is a key with the times of one that signs from then on; it keeps the caller's reference. */
struct sg_keyring_key ring_key(struct sg_key_core *core, uint32_t seq, int64_t sign_from);

/* ring_build must work. */
struct sg_keyring *ring_build(const struct sg_keyring_part *parts, size_t num_parts,
                              struct sg_trust_issuer *const *issuers, size_t num_issuers);

/* ring_slot_is_taken asks the keyholder. Empties the slot if it was. */
bool ring_slot_is_taken(struct sg_keyholder *keyholder, uint64_t slot);

/* ring_num_trust_refs counts the references to foreign issuers that were taken and not given back. */
long ring_num_trust_refs(void);

#endif
