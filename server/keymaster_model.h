/* SPDX-License-Identifier: Apache-2.0
 *
 * What the keymaster knows of keysets and keys, and the steps that all of its changes are made of.
 * Private to server/keymaster*.c. Everything here is guarded by the keymaster's mutex,
 * but for store, see there.
 */
#ifndef SG_KEYMASTER_MODEL_H
#define SG_KEYMASTER_MODEL_H

#include <pthread.h>

#include "server/keyholder/keystore_door.h"
#include "server/keymaster.h"
#include "server/store.h"
#include "server/trust.h"

struct model_key {
    struct sg_keyring_key entry;
    bool pending; /* made, but not yet stored */
};

struct model_keyset {
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    const struct sg_config_keyset *policy; /* NULL: not in the configuration */
    struct model_key *keys;                /* in the order of seq */
    size_t num_keys, cap_keys;
    int64_t due_at; /* when the calendar asks for something; SG_TIME_NEVER */
};

/* A file of the keystore that cannot be used. */
struct model_damage {
    char file[sizeof(((struct sg_keystore_entry *)0)->file)];
    char *problem;
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    uint32_t seq;
    bool has_hint;      /* what follows is what the file says, without proof */
    bool hint_harmless; /* revoked, or never signs */
    int64_t hint_sign_from;
};

struct sg_keymaster {
    struct sg_keymaster_options options;
    const struct sg_config *config;
    pthread_mutex_t mutex;
    struct sg_keyring_holder keyrings;

    struct model_keyset *
        *keysets; /* configured ones in the order of the configuration, then others */
    size_t num_keysets, cap_keysets;
    struct model_damage *damaged;
    size_t num_damaged;
    struct sg_trust *trust;
    struct sg_policy *policy; /* of the configuration */
    /* NULL: nothing is remembered (ephemeral keys). Fixed by the start, with a mutex of its own, which comes
     * after the keymaster's. */
    struct sg_store *store;

    void (*show)(void *context, struct sg_keyring *keyring); /* NULL: nobody hears of snapshots */
    void *show_context;

    char *published;         /* what jwks.json holds; NULL: not known */
    uint64_t published_mark; /* of the states that it was written for */
    int64_t last_tick;
    int64_t retry_at; /* something failed: try again then, seconds of the wall clock; 0: nothing */
    char fault[SG_KEYSTORE_MAX_MESSAGE];       /* last logged, of the calendar */
    char store_fault[SG_KEYSTORE_MAX_MESSAGE]; /* of what is remembered */
    char absent[SG_KEYSTORE_MAX_MESSAGE];      /* and of a key that cannot be brought into memory */
    struct sg_keystore_request *request;       /* large; one at a time */
    struct sg_keystore_reply *reply;
};

/* Where a message for people goes. */
struct model_error {
    char *text;
    size_t cap;
};

signet_status model_fail(struct model_error error, signet_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool model_is_ephemeral(const struct sg_keymaster *keymaster);
int64_t model_now(const struct sg_keymaster *keymaster);

/* NULL if there is none. */
struct model_keyset *model_find(const struct sg_keymaster *keymaster, const char *name);
/* Finds or adds; NULL without memory. */
struct model_keyset *model_keyset(struct sg_keymaster *keymaster, const char *name);
/* The key of a keyset with the kid; NULL if there is none. */
struct model_key *model_key(const struct model_keyset *keyset, const char *kid);

/* model_reserve_key makes room for one more; false without memory. Moves the keys. */
bool model_reserve_key(struct model_keyset *keyset) __attribute__((warn_unused_result));

/* model_spans computes what follows from the times of a keyset's keys; free() both. False without
 * memory. */
bool model_spans(const struct model_keyset *keyset, struct sg_key_times **times,
                 struct sg_key_span **spans);

/* model_store does one operation of the keystore with keymaster->request, which is cleared after;
 * keymaster->reply holds the answer. */
signet_status model_store(struct sg_keymaster *keymaster, uint32_t op, struct model_error error);

/* How a new key comes to be. */
struct model_new_key {
    enum sg_alg alg;
    const char *kid;       /* NULL or "": computed */
    const uint8_t *sealed; /* NULL: it is generated */
    size_t sealed_len;
    bool verify_only;
    int64_t sign_from, verify_until;
};

/* model_make adds a pending key. On failure nothing was added. */
signet_status model_make(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                         const struct model_new_key *new_key, int64_t now,
                         struct model_error error);

/* model_update stores other times of a key, durably, and takes them over. */
signet_status model_update(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                           struct model_key *key, const struct sg_key_times *times,
                           struct model_error error);

/* model_plan does what the calendar asks of one keyset now, leaving new keys pending, and sets due_at. */
signet_status model_plan(struct sg_keymaster *keymaster, struct model_keyset *keyset, int64_t now,
                         struct model_error error);

/* model_commit publishes the pending keys, stores them, and hands out a snapshot of everything. A pending
 * key that cannot be published or stored is dropped, and that is the failure; all else takes effect in
 * any case, or, if it is to be a whole, nothing does but what was stored. */
signet_status model_commit(struct sg_keymaster *keymaster, int64_t now, bool whole,
                           struct model_error error);

/* Pending keys: whether there are any; storing them, where what cannot be stored is dropped and the last of
 * the reasons returned; and forgetting them. */
bool model_has_pending(const struct sg_keymaster *keymaster);
signet_status model_store_pending(struct sg_keymaster *keymaster, struct model_error error);
void model_drop_pending(struct sg_keymaster *keymaster);

/* model_refresh publishes what a key's end changes, brings into memory what is needed and is not there,
 * and takes out of it what will sign no more, when nothing else has changed. */
signet_status model_refresh(struct sg_keymaster *keymaster, int64_t now, struct model_error error);

/* model_remember writes the expiries that the store does not hold yet. False if the store lacks any
 * after it. */
bool model_remember(struct sg_keymaster *keymaster, int64_t now);

/* model_recall reads what the store knows of the expiries under num_keys keys, and puts bounds where it may
 * lack something. */
signet_status model_recall(struct sg_keymaster *keymaster, size_t num_keys, int64_t now,
                           struct model_error error);

/* When nothing that was begun while the key signed can still be at it; SG_TIME_NEVER. */
int64_t model_settled_at(const struct sg_key_span *span);

/* when and seconds, saturated: times come from files and clocks that may be wrong. */
int64_t model_after(int64_t when, int64_t seconds);

/* model_load reads the keystore and the store. */
signet_status model_load(struct sg_keymaster *keymaster, int64_t now, struct model_error error);

/* model_revive reads the keystore again, through a keyholder that has none of the keys in memory. Without a
 * keystore the keys are lost. */
signet_status model_revive(struct sg_keymaster *keymaster, struct model_error error);

/* model_configure ties keysets to a configuration: its own become configured, in its order, all others
 * not. False without memory, and then nothing has changed. */
bool model_configure(struct sg_keymaster *keymaster, const struct sg_config *config);

/* ---- Listing (keymaster_list.c) ---- */

/* One keyset, with one more key if extra is not NULL. moved, if not NULL, are other times of the key at
 * moved_index. */
struct model_view {
    const struct sg_key_times *extra;
    enum sg_alg extra_alg;
    const struct sg_key_times *moved;
    size_t moved_index;
};

/* model_list lists one keyset, or all for "". view belongs to the only keyset; it is empty for what is. */
signet_status model_list(const struct sg_keymaster *keymaster, const char *only,
                         const struct model_view *view, int64_t now, struct sg_key_list *out,
                         struct sg_rpc_status *error);
/* model_show lists a keyset as it is, and finds one of its keys. */
signet_status model_show(const struct sg_keymaster *keymaster, const struct model_keyset *keyset,
                         const char *kid, int64_t now, struct sg_key_list *out,
                         const struct sg_listed_key **key, struct sg_rpc_status *error);
signet_status model_no_keyset(struct sg_rpc_status *error);

#endif
