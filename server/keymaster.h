/* SPDX-License-Identifier: Apache-2.0
 *
 * Where keys change: the only writer. Loads them at start, makes, publishes, imports and revokes them,
 * keeps what must be remembered, and hands out a new snapshot (keyring) after every change. Everything
 * here goes one after the other under one lock, which no request that signs or verifies ever takes.
 *
 * The order of a new key: made in memory, published (jwks.json), stored durably, and only then in
 * the snapshot that signs. So a key that is stored has been published, a token is never signed by a
 * key that was not, and a failure anywhere leaves everything as it was.
 */
#ifndef SG_KEYMASTER_H
#define SG_KEYMASTER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rpc.h"
#include "server/keyring.h"

struct sg_config;
struct sg_keyholder;
struct sg_keymaster;
struct sg_store;

struct sg_keymaster_options {
    const struct sg_config *config; /* must outlive the keymaster, or until a reload replaces it */
    struct sg_keyholder *keyholder;
    const char *jwks_path;        /* NULL: no file is published */
    int passphrase_fd;            /* for a passphrase: source; -1: ask on the terminal */
    int64_t (*read_wall_s)(void); /* seconds since 1970 */
};

/* sg_keymaster_new opens the keystore (unless the configuration says ephemeral), makes the first key of
 * every keyset that has none, reads the foreign issuers and publishes. On failure error says what would
 * mend it. Warnings go to the log. */
signet_status sg_keymaster_new(const struct sg_keymaster_options *options,
                               struct sg_keymaster **out, char *error,
                               size_t error_cap) SIGNET_MUST_CHECK;
/* sg_keymaster_free writes down what is to be remembered, and that this was an end in order; NULL is
 * legal. */
void sg_keymaster_free(struct sg_keymaster *keymaster);

/* The snapshot of now, for requests. Owned by the keymaster. */
struct sg_keyring_holder *sg_keymaster_keyrings(struct sg_keymaster *keymaster);

/* sg_keymaster_on_snapshot has show called with every snapshot, after it was handed out to requests: with that of now
 * before this returns, and on the threads that change keys. What a change refuses is refused by all that heard of it once
 * the change is acknowledged. NULL: nobody is called any more, nor being called. */
void sg_keymaster_on_snapshot(struct sg_keymaster *keymaster,
                              void (*show)(void *context, struct sg_keyring *keyring),
                              void *context);

/* sg_keymaster_tick does what is due: rotates, publishes, remembers, reads changed files of foreign
 * issuers. To be called every second or so, on one thread; what fails is logged once and tried again. */
void sg_keymaster_tick(struct sg_keymaster *keymaster);

/* sg_keymaster_revive calls restart, which is to bring another keyholder in the place of one that died, and
 * then brings the keys into its memory. Changes that the dead one made and could not tell of are taken over.
 * Without a keystore the keys are lost, and others are made. On failure error says why, and it may be called
 * again. A key that cannot be loaded is logged, and no failure. */
signet_status sg_keymaster_revive(struct sg_keymaster *keymaster,
                                  signet_status (*restart)(void *context, char *error,
                                                           size_t error_cap),
                                  void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_keymaster_reload puts another configuration in force, as a whole or not at all: then error says
 * why. The settings that only a start can change must agree. On success the old one is no longer used,
 * and the new must outlive the keymaster. */
signet_status sg_keymaster_reload(struct sg_keymaster *keymaster, const struct sg_config *config,
                                  char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_keymaster_visit_faults calls visit for all that is wrong with the files of foreign issuers now. */
void sg_keymaster_visit_faults(struct sg_keymaster *keymaster,
                               void (*visit)(void *context, const char *line), void *context);

/* sg_keymaster_store is where the daemon's state is kept, until sg_keymaster_free; NULL: keys are ephemeral, and
 * nothing is. */
struct sg_store *sg_keymaster_store(struct sg_keymaster *keymaster);

/* ---- Frozen grants: what is remembered of them. ----
 *
 * Any thread. They wait for the disk and for each other, and never for a change of keys. With ephemeral keys
 * nothing is remembered: they are OK, and there is none. On failure error says what would mend it, and nothing
 * was changed; statuses, names and times are those of sg_store_freeze and its like. */

signet_status sg_keymaster_freeze(struct sg_keymaster *keymaster, const char *grant, int64_t since,
                                  char *error, size_t error_cap) SIGNET_MUST_CHECK;
signet_status sg_keymaster_thaw(struct sg_keymaster *keymaster, const char *grant, char *error,
                                size_t error_cap) SIGNET_MUST_CHECK;
/* visit must not freeze or thaw. grant lives as long as the call. */
signet_status
sg_keymaster_visit_frozen(struct sg_keymaster *keymaster,
                          void (*visit)(void *context, const char *grant, int64_t since),
                          void *context, char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* ---- For operators. Each fills *error when it fails, and then nothing was changed. ---- */

/* One key as it is listed. Times are seconds since 1970, 0: none or not known. */
struct sg_listed_key {
    const char *kid;
    enum sg_alg alg;
    enum sg_key_state state;
    int64_t created_at, sign_from, sign_until, verify_until, last_expiry, revoked_at;
    bool expiry_is_exact, imported, verify_only;
    char why[160];
};

struct sg_listed_keyset {
    const char *name;
    bool configured;
    struct sg_rotation_policy policy;
    int64_t next_key_at; /* when the next key is made; 0: never */
    struct sg_listed_key *keys;
    size_t num_keys;
};

struct sg_listed_damage {
    const char *file, *problem;
};

struct sg_key_list {
    struct sg_listed_keyset *keysets;
    size_t num_keysets;
    struct sg_listed_damage *damaged;
    size_t num_damaged;
};

/* Releases what any of the calls below filled; legal on a zeroed one. */
void sg_key_list_fini(struct sg_key_list *list);

/* sg_keymaster_list lists one keyset, or all for "". NOT_FOUND if there is none of the name. */
signet_status sg_keymaster_list(struct sg_keymaster *keymaster, const char *keyset,
                                struct sg_key_list *out,
                                struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* sg_keymaster_rotate makes the next key, or with at_once lets the one that waits, or a new one, sign now.
 * FAILED_PRECONDITION if one waits already and at_once is not given. out is the keyset afterwards, or, in
 * a dry run, as it would be; *key is the key in question, whose kid is empty if it would be made. */
signet_status sg_keymaster_rotate(struct sg_keymaster *keymaster, const char *keyset, bool at_once,
                                  bool dry_run, struct sg_key_list *out,
                                  const struct sg_listed_key **key,
                                  struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* sg_keymaster_revoke ends a key for ever. keyset may be "" if only one has the kid. It is durable, and
 * no new request accepts its tokens, when this returns. signing_kid gets the kid of the key that signs
 * for the keyset now, or "". */
signet_status sg_keymaster_revoke(struct sg_keymaster *keymaster, const char *kid,
                                  const char *keyset, struct sg_key_list *out,
                                  const struct sg_listed_key **key,
                                  char signing_kid[SG_MAX_KID_LEN + 1],
                                  struct sg_rpc_status *error) SIGNET_MUST_CHECK;

struct sg_key_import {
    const char *keyset;
    enum sg_alg alg; /* SG_ALG_UNSET: the keyset's */
    const char *kid; /* "": computed */
    const uint8_t *sealed;
    size_t sealed_len;
    bool verify_only, at_once;
    int64_t verify_until; /* 0: no end */
};

/* sg_keymaster_import brings in a key that was sealed to the keyholder. ALREADY_EXISTS if the keyset has a
 * key of this kid. */
signet_status sg_keymaster_import(struct sg_keymaster *keymaster,
                                  const struct sg_key_import *import, struct sg_key_list *out,
                                  const struct sg_listed_key **key,
                                  struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* sg_keymaster_sealing_key gives the key to seal to. */
signet_status sg_keymaster_sealing_key(struct sg_keymaster *keymaster, uint8_t out[32],
                                       struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* The two steps of changing the key-encryption key; see keystore_door.h. */
struct sg_keymaster_rekey {
    const uint8_t *sealed;
    size_t sealed_len;
    bool is_passphrase;
    const char *source;
};
signet_status sg_keymaster_rekey(struct sg_keymaster *keymaster,
                                 const struct sg_keymaster_rekey *rekey, uint32_t *num_keys,
                                 struct sg_rpc_status *error) SIGNET_MUST_CHECK;
signet_status sg_keymaster_finish_rekey(struct sg_keymaster *keymaster,
                                        struct sg_rpc_status *error) SIGNET_MUST_CHECK;

struct sg_keystore_info {
    bool persistent, rekeying;
    char dir[1024], source[1024];
    uint32_t num_keys, num_damaged;
};
signet_status sg_keymaster_keystore_info(struct sg_keymaster *keymaster,
                                         struct sg_keystore_info *out,
                                         struct sg_rpc_status *error) SIGNET_MUST_CHECK;

#endif
