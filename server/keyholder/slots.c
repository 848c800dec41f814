/* SPDX-License-Identifier: Apache-2.0
 *
 * A slot number is, from its lowest bit, a place in the table, how often the place was filled, from 1,
 * and the table's epoch: the number of a key that was destroyed, or that another process had, never finds
 * the key that took its place, and 0 is never a slot.
 */
#include "server/keyholder/slots.h"

#include <string.h>

#define SLOTS_PLACE_BITS 15u
#define SLOTS_TURN_MAX   (UINT32_MAX >> SLOTS_PLACE_BITS)
_Static_assert(SG_KEYHOLDER_MAX_SLOTS == 1u << SLOTS_PLACE_BITS, "a place must fit a slot number");

bool sg_slots_init(struct sg_slots *slots, uint32_t epoch)
{
    slots->epoch = epoch;
    return pthread_rwlock_init(&slots->lock, NULL) == 0;
}

void sg_slots_fini(struct sg_slots *slots)
{
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        sg_private_key_unref(slots->places[i].key);
    }
    (void)pthread_rwlock_destroy(&slots->lock);
}

/* Under the lock. */
static uint64_t slots_number(const struct sg_slots *slots, const struct sg_slot *place)
{
    return (uint64_t)slots->epoch << 32 | (uint64_t)place->turn << SLOTS_PLACE_BITS |
           (uint64_t)(place - slots->places);
}

/* Under the lock. */
static struct sg_slot *slots_find(struct sg_slots *slots, uint64_t slot)
{
    struct sg_slot *place = &slots->places[slot % SG_KEYHOLDER_MAX_SLOTS];
    return place->key != NULL && slots_number(slots, place) == slot ? place : NULL;
}

struct sg_private_key *sg_slots_get(struct sg_slots *slots, uint64_t slot)
{
    (void)pthread_rwlock_rdlock(&slots->lock);
    const struct sg_slot *place = slots_find(slots, slot);
    struct sg_private_key *key = place != NULL ? sg_private_key_ref(place->key) : NULL;
    (void)pthread_rwlock_unlock(&slots->lock);
    return key;
}

/* Under the lock. A number that was given out is never given out again. */
static struct sg_slot *slots_find_empty(struct sg_slots *slots)
{
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        size_t index = (slots->next + i) % SG_KEYHOLDER_MAX_SLOTS;
        struct sg_slot *place = &slots->places[index];
        if (place->key == NULL && place->turn < SLOTS_TURN_MAX) {
            slots->next = index + 1;
            return place;
        }
    }
    return NULL;
}

uint64_t sg_slots_put(struct sg_slots *slots, struct sg_private_key *key)
{
    uint64_t slot = 0;
    (void)pthread_rwlock_wrlock(&slots->lock);
    struct sg_slot *place = slots_find_empty(slots);
    if (place != NULL) {
        place->key = key;
        place->turn++;
        slot = slots_number(slots, place);
    }
    (void)pthread_rwlock_unlock(&slots->lock);
    return slot;
}

struct sg_private_key *sg_slots_remove(struct sg_slots *slots, uint64_t slot)
{
    struct sg_private_key *key = NULL;
    (void)pthread_rwlock_wrlock(&slots->lock);
    struct sg_slot *place = slots_find(slots, slot);
    if (place != NULL) {
        key = place->key;
        place->key = NULL;
    }
    (void)pthread_rwlock_unlock(&slots->lock);
    return key;
}

void sg_slots_bar(struct sg_slots *slots, const char *keyset, const char *kid, enum sg_key_bar bar)
{
    (void)pthread_rwlock_rdlock(&slots->lock);
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        struct sg_private_key *key = slots->places[i].key;
        if (key != NULL && sg_private_key_has_name(key, keyset, kid)) {
            sg_private_key_bar(key, bar);
        }
    }
    (void)pthread_rwlock_unlock(&slots->lock);
}

void sg_slots_set_sign_from(struct sg_slots *slots, const char *keyset, const char *kid,
                            int64_t sign_from)
{
    (void)pthread_rwlock_rdlock(&slots->lock);
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        struct sg_private_key *key = slots->places[i].key;
        if (key != NULL && sg_private_key_has_name(key, keyset, kid)) {
            atomic_store_explicit(&key->sign_from, sign_from, memory_order_release);
        }
    }
    (void)pthread_rwlock_unlock(&slots->lock);
}

bool sg_slots_has_earlier(struct sg_slots *slots, const struct sg_private_key *key)
{
    int64_t sign_from = atomic_load_explicit(&key->sign_from, memory_order_acquire);
    bool has_earlier = false;
    (void)pthread_rwlock_rdlock(&slots->lock);
    for (size_t i = 0; !has_earlier && i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        const struct sg_private_key *other = slots->places[i].key;
        has_earlier = other != NULL && other != key && sg_private_key_shares_keyset(other, key) &&
                      sg_private_key_barred(other, false) == NULL &&
                      atomic_load_explicit(&other->sign_from, memory_order_acquire) < sign_from;
    }
    (void)pthread_rwlock_unlock(&slots->lock);
    return has_earlier;
}
