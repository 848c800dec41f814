/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of a few places; a hash says which set. The hash is seeded, so that nobody outside can choose tokens that
 * share a set, and it only finds a place: bytes decide.
 */
#include "server/mac_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define MAC_CACHE_WAYS    4u
#define MAC_CACHE_MAX_NUM 65536u

struct mac_cache_place {
    uint64_t hash;
    uint64_t slot;    /* 0: the place is empty */
    uint64_t used_at; /* by the cache's count of uses */
    size_t len;
    char token[SG_MAC_CACHE_MAX_TOKEN];
};

struct sg_mac_cache {
    uint64_t seed;
    size_t num_sets;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    uint64_t num_uses;
    struct mac_cache_place *places; /* MAC_CACHE_WAYS for each set */
};

struct sg_mac_cache *sg_mac_cache_new(uint32_t num)
{
    struct sg_mac_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL || num == 0 || num > MAC_CACHE_MAX_NUM) {
        free(cache);
        return NULL;
    }
    cache->num_sets = (num + MAC_CACHE_WAYS - 1) / MAC_CACHE_WAYS;
    cache->places = calloc(cache->num_sets * MAC_CACHE_WAYS, sizeof(*cache->places));
    if (cache->places == NULL || getentropy(&cache->seed, sizeof(cache->seed)) != 0) {
        free(cache->places);
        free(cache);
        return NULL;
    }
    (void)pthread_mutex_init(&cache->mutex, NULL); /* cannot fail on Linux with such attributes */
    return cache;
}

void sg_mac_cache_free(struct sg_mac_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    explicit_bzero(cache->places, cache->num_sets * MAC_CACHE_WAYS * sizeof(*cache->places));
    free(cache->places);
    (void)pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static uint64_t cache_hash(const struct sg_mac_cache *cache, const char *token, size_t len)
{
    return XXH3_64bits_withSeed(token, len, cache->seed);
}

static struct mac_cache_place *cache_set(const struct sg_mac_cache *cache, uint64_t hash)
{
    return &cache->places[hash % cache->num_sets * MAC_CACHE_WAYS];
}

static bool cache_is_kept(uint64_t slot, size_t len)
{
    return slot != 0 && len > 0 && len <= SG_MAC_CACHE_MAX_TOKEN;
}

/* The hash first: bytes are only compared with those of a token that is almost certainly the same, so that how long
 * it takes tells nobody how far a guess was right. */
static bool cache_is_at(const struct mac_cache_place *place, uint64_t hash, uint64_t slot,
                        const char *token, size_t len)
{
    return place->slot == slot && place->hash == hash && place->len == len &&
           memcmp(place->token, token, len) == 0;
}

bool sg_mac_cache_has(struct sg_mac_cache *cache, uint64_t slot, const char *token, size_t len)
{
    bool found = false;
    if (!cache_is_kept(slot, len)) {
        return false;
    }
    const uint64_t hash = cache_hash(cache, token, len);
    struct mac_cache_place *set = cache_set(cache, hash);
    (void)pthread_mutex_lock(&cache->mutex);
    for (size_t i = 0; !found && i < MAC_CACHE_WAYS; i++) {
        if (cache_is_at(&set[i], hash, slot, token, len)) {
            set[i].used_at = ++cache->num_uses;
            found = true;
        }
    }
    (void)pthread_mutex_unlock(&cache->mutex);
    return found;
}

/* The place of the set for a token that is new: an empty one, or that which was used least lately. */
static struct mac_cache_place *cache_oldest(struct mac_cache_place *set)
{
    struct mac_cache_place *oldest = set;
    for (size_t i = 1; i < MAC_CACHE_WAYS; i++) {
        if (set[i].used_at < oldest->used_at) {
            oldest = &set[i];
        }
    }
    return oldest;
}

void sg_mac_cache_add(struct sg_mac_cache *cache, uint64_t slot, const char *token, size_t len)
{
    bool is_there = false;
    if (!cache_is_kept(slot, len)) {
        return;
    }
    const uint64_t hash = cache_hash(cache, token, len);
    struct mac_cache_place *set = cache_set(cache, hash);
    (void)pthread_mutex_lock(&cache->mutex);
    for (size_t i = 0; i < MAC_CACHE_WAYS; i++) {
        is_there = is_there || cache_is_at(&set[i], hash, slot, token, len);
    }
    if (!is_there) {
        struct mac_cache_place *place = cache_oldest(set);
        place->hash = hash;
        place->slot = slot;
        place->used_at = ++cache->num_uses;
        place->len = len;
        memcpy(place->token, token, len);
        explicit_bzero(place->token + len, sizeof(place->token) - len);
    }
    (void)pthread_mutex_unlock(&cache->mutex);
}
