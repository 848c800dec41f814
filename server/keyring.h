/* SPDX-License-Identifier: Apache-2.0
 *
 * Keysets and their keys as the front knows them: names, policy, kids, times, public keys and
 * keyholder slots. Never a private key or a secret. Built at start, then read-only and shared by
 * all threads.
 */
#ifndef SG_KEYRING_H
#define SG_KEYRING_H

#include <signet/status.h>
#include <stdbool.h>

#include "common/jose/public_key.h"

struct sg_keyholder;
struct sg_config;

enum sg_key_state {
    SG_KEY_NEXT = 1,
    SG_KEY_ACTIVE,
    SG_KEY_VERIFY_ONLY,
    SG_KEY_RETIRED,
    SG_KEY_REVOKED
};

struct sg_key {
    const struct sg_keyset *keyset;
    enum sg_alg alg;
    char kid[SG_MAX_KID_LEN + 1];
    uint32_t slot;
    struct sg_public_key *public_key; /* NULL for HMAC */
    int64_t created_at;               /* seconds since 1970 */
    /* The protected header of our own tokens with the keyset's typ, base64url. */
    char *header_b64;
    size_t header_b64_len;
};

struct sg_keyset {
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    enum sg_alg alg;
    char issuer[SG_MAX_ISSUER_LEN + 1];
    char typ[SG_MAX_TYP_LEN + 1];
    uint32_t default_ttl_s, max_ttl_s;
    struct sg_key *keys;
    size_t num_keys;
};

struct sg_keyring;

/* sg_keyring_new makes the keysets of the configuration, each with one fresh key from the
 * keyholder. On failure *error says which keyset and why. */
signet_status sg_keyring_new(const struct sg_config *config, struct sg_keyholder *keyholder,
                             int64_t now, struct sg_keyring **out, char *error,
                             size_t error_cap) SIGNET_MUST_CHECK;
void sg_keyring_free(struct sg_keyring *keyring);

/* sg_keyring_import replaces the key of a keyset by one of the caller's (secret bytes; or PKCS#8
 * DER, or PEM of one block, PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY, not encrypted), under the kid given, or its computed one if NULL. Before the keyring is shared. */
signet_status sg_keyring_import(struct sg_keyring *keyring, struct sg_keyholder *keyholder,
                                const char *keyset, const char *kid, const uint8_t *material,
                                size_t len, char *error, size_t error_cap) SIGNET_MUST_CHECK;

size_t sg_keyring_num_keysets(const struct sg_keyring *keyring);
const struct sg_keyset *sg_keyring_keyset_at(const struct sg_keyring *keyring, size_t index);
/* NULL if there is none. */
const struct sg_keyset *sg_keyring_keyset(const struct sg_keyring *keyring, const char *name);
const struct sg_key *sg_keyring_key(const struct sg_keyring *keyring, const char *kid,
                                    size_t kid_len);

/* A key's state follows from its times. */
enum sg_key_state sg_key_state(const struct sg_key *key, int64_t now);
/* The key of the keyset that signs now, or NULL. */
const struct sg_key *sg_keyset_signing_key(const struct sg_keyset *keyset, int64_t now);
/* Whether tokens under this key may be accepted now. */
bool sg_key_may_verify(const struct sg_key *key, int64_t now);

#endif
