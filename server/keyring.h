/* SPDX-License-Identifier: Apache-2.0
 *
 * Keysets and their keys as the front knows them: names, policy, kids, times, public keys and
 * keyholder slots. Never a private key or a secret. A keyring is a snapshot: built whole by the
 * keymaster, then only read, by any number of threads, and released when the last request that began
 * with it has ended. What must be one for all snapshots, because it changes with every token, is the
 * key's core.
 */
#ifndef SG_KEYRING_H
#define SG_KEYRING_H

#include <pthread.h>
#include <signet/status.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/jose/public_key.h"
#include "server/rotation.h"

struct sg_keyholder;
struct sg_config_keyset;
struct sg_policy;
struct sg_trust_issuer;

/* ---- What is one for all snapshots ---- */

/* One key of ours. Shared; the last sg_key_core_unref gives its slot back. */
struct sg_key_core {
    atomic_uint num_refs;
    struct sg_keyholder *keyholder; /* must outlive it */
    enum sg_alg alg;
    char kid[SG_MAX_KID_LEN + 1];
    size_t kid_len;
    struct sg_public_key *public_key; /* NULL for HMAC */
    atomic_uint_least64_t slot;       /* 0: its private part is not in memory */
    /* Before this process it signed no token that expires later than this; 0: none. */
    int64_t expiry_before;
    bool expiry_before_is_exact;
    atomic_int_least64_t expiry; /* the latest expiry of a token that this process had it sign */
    /* What the store holds, and since when; the keymaster's alone. */
    int64_t recorded_expiry, recorded_at;
    bool is_recorded;
};

/* sg_key_core_new describes a key; takes over public_key and slot, whatever it returns. kid holds 1 to
 * SG_MAX_KID_LEN bytes. NULL without memory. */
struct sg_key_core *sg_key_core_new(struct sg_keyholder *keyholder, enum sg_alg alg,
                                    const char *kid, struct sg_public_key *public_key,
                                    uint64_t slot);
struct sg_key_core *sg_key_core_ref(struct sg_key_core *core);
void sg_key_core_unref(struct sg_key_core *core); /* NULL is legal */

/* sg_key_core_give_slot_back takes its private part out of memory. Who signs with a snapshot that was
 * taken before finds the slot empty. */
void sg_key_core_give_slot_back(struct sg_key_core *core);

/* sg_key_core_forget_slot is for a slot that ended with its keyholder. */
void sg_key_core_forget_slot(struct sg_key_core *core);

/* sg_key_core_note_expiry must come before a token is signed. Any thread. */
void sg_key_core_note_expiry(struct sg_key_core *core, int64_t expiry);
/* sg_key_core_last_expiry says when the last token expires that was signed under the key; 0: none. */
int64_t sg_key_core_last_expiry(const struct sg_key_core *core);
/* sg_key_core_expiry_is_exact says whether that is a token's expiry, and not a bound. */
bool sg_key_core_expiry_is_exact(const struct sg_key_core *core);

/* ---- The snapshot ---- */

struct sg_keyset;

struct sg_key {
    const struct sg_keyset *keyset;
    struct sg_key_core *core; /* NULL for a foreign issuer's */
    enum sg_alg alg;
    const char *kid; /* empty: a foreign key without one */
    size_t kid_len;
    struct sg_public_key *public_key; /* NULL for HMAC */
    unsigned rsa_bits;                /* 0 for others */
    struct sg_key_times times;        /* seconds since 1970 */
    struct sg_key_span span;
    bool imported;
    /* The protected header of our own tokens with the keyset's typ, base64url; NULL if it never
     * signs. */
    char *header_b64;
    size_t header_b64_len;
};

struct sg_keyset {
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    enum sg_alg alg; /* of keys that are made; older ones may have another. Foreign: unset */
    char issuer[SG_MAX_ISSUER_LEN + 1];
    char typ[SG_MAX_TYP_LEN + 1];
    uint32_t default_ttl_s, max_ttl_s;
    struct sg_rotation_policy policy;
    struct sg_trust_issuer *foreign; /* whose keys these are; NULL: ours */
    bool is_internal; /* the daemon's own: nobody's to name, and no token is under its keys */
    struct sg_key *keys;
    size_t num_keys;
};

struct sg_keyring;

/* What a key of ours is to be in a snapshot. */
struct sg_keyring_key {
    struct sg_key_core *core; /* the snapshot takes a reference of its own */
    struct sg_key_times times;
    bool imported;
};

struct sg_keyring_part {
    const struct sg_config_keyset *policy; /* copied */
    const struct sg_keyring_key *keys;
    size_t num_keys;
};

/* sg_keyring_build makes a snapshot of keysets of ours and of foreign issuers. No two of them have one
 * name. RESOURCE_EXHAUSTED without memory, INVALID_ARGUMENT if a kid or typ cannot stand in a header. */
signet_status sg_keyring_build(const struct sg_keyring_part *parts, size_t num_parts,
                               struct sg_trust_issuer *const *issuers, size_t num_issuers,
                               struct sg_keyring **out) SIGNET_MUST_CHECK;
struct sg_keyring *sg_keyring_ref(struct sg_keyring *keyring);
void sg_keyring_unref(struct sg_keyring *keyring); /* NULL is legal */

/* sg_keyring_set_policy says who may do what in this snapshot, before it is handed out; it takes a reference
 * of its own. Without one nobody may do anything. */
void sg_keyring_set_policy(struct sg_keyring *keyring, struct sg_policy *policy);
/* NULL: there is none. Belongs to the snapshot. */
struct sg_policy *sg_keyring_policy(const struct sg_keyring *keyring);

/* Keysets of ours, in the order of the configuration; internal ones too. */
size_t sg_keyring_num_keysets(const struct sg_keyring *keyring);
/* Foreign issuers. */
size_t sg_keyring_num_foreign(const struct sg_keyring *keyring);
const struct sg_keyset *sg_keyring_foreign_at(const struct sg_keyring *keyring, size_t index);
/* Keys of all keysets, foreign ones too, that have a kid. */
size_t sg_keyring_num_keys(const struct sg_keyring *keyring);
const struct sg_keyset *sg_keyring_keyset_at(const struct sg_keyring *keyring, size_t index);
/* Foreign issuers among them, internal ones not. NULL if there is none. */
const struct sg_keyset *sg_keyring_keyset(const struct sg_keyring *keyring, const char *name);
/* The keys of all keysets with this kid, ours first; *num of them. A kid is a name that anybody may
 * give to a key: only a signature says which of them it was. */
const struct sg_key *const *sg_keyring_keys(const struct sg_keyring *keyring, const char *kid,
                                            size_t kid_len, size_t *num);
/* The key of ours that writes this very header; NULL if none does. */
const struct sg_key *sg_keyring_key_of_header(const struct sg_keyring *keyring,
                                              const char *header_b64, size_t len);

enum sg_key_state sg_key_state(const struct sg_key *key, int64_t now);
/* Until when tokens under the key are accepted; SG_TIME_NEVER: no end is known. */
int64_t sg_key_verify_until(const struct sg_key *key);
/* The key of the keyset that signs now, or NULL. */
const struct sg_key *sg_keyset_signing_key(const struct sg_keyset *keyset, int64_t now);
/* Whether tokens under this key may be accepted now. */
bool sg_key_may_verify(const struct sg_key *key, int64_t now);
/* Where its private part is; 0: it is not in memory. */
uint64_t sg_key_slot(const struct sg_key *key);

/* ---- The snapshot of now ---- */

struct sg_keyring_holder {
    pthread_mutex_t mutex;
    struct sg_keyring *current; /* guarded by mutex */
};

void sg_keyring_holder_init(struct sg_keyring_holder *holder);
void sg_keyring_holder_fini(struct sg_keyring_holder *holder);
/* sg_keyring_holder_get gives a reference to the snapshot of now; NULL before the first. Any thread. */
struct sg_keyring *sg_keyring_holder_get(struct sg_keyring_holder *holder);
/* sg_keyring_holder_set takes over the caller's reference. Requests that begin from here on see it. */
void sg_keyring_holder_set(struct sg_keyring_holder *holder, struct sg_keyring *keyring);

#endif
