/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's table of keys: numbers for those outside, objects for those inside. Its lock is held
 * only to look a key up, to put one in or to take one out, never during crypto. Nothing outside this
 * directory includes this.
 */
#ifndef SG_KEYHOLDER_SLOTS_H
#define SG_KEYHOLDER_SLOTS_H

#include <pthread.h>

#include "server/keyholder/keyholder.h"
#include "server/keyholder/keys.h"

struct sg_slot {
    struct sg_private_key *key; /* NULL: empty */
    uint32_t turn;
};

struct sg_slots {
    pthread_rwlock_t lock;
    uint32_t epoch; /* fixed */
    /* Guarded by lock. */
    struct sg_slot places[SG_KEYHOLDER_MAX_SLOTS];
    size_t next; /* where to look for an empty place */
};

/* sg_slots_init makes an empty table of zeroed memory. Tables of different epochs share no number. */
bool sg_slots_init(struct sg_slots *slots, uint32_t epoch) __attribute__((warn_unused_result));
void sg_slots_fini(struct sg_slots *slots); /* wipes every key; nobody may be using it */

/* sg_slots_get gives the key in a slot, with a reference for the caller; NULL if there is none. */
struct sg_private_key *sg_slots_get(struct sg_slots *slots, uint64_t slot);
/* sg_slots_put takes over the caller's reference; 0 if all are taken. */
uint64_t sg_slots_put(struct sg_slots *slots, struct sg_private_key *key);
/* sg_slots_remove empties a slot; the key goes to the caller. NULL if there is none. */
struct sg_private_key *sg_slots_remove(struct sg_slots *slots, uint64_t slot);

/* sg_slots_bar bars every key of the name: what is asked of it from here on is refused. */
void sg_slots_bar(struct sg_slots *slots, const char *keyset, const char *kid, enum sg_key_bar bar);
/* sg_slots_set_sign_from says, of every key of the name, when it is to sign. */
void sg_slots_set_sign_from(struct sg_slots *slots, const char *keyset, const char *kid,
                            int64_t sign_from);
/* sg_slots_has_earlier says whether another key of the key's keyset that may sign is to sign before it. */
bool sg_slots_has_earlier(struct sg_slots *slots, const struct sg_private_key *key);

#endif
