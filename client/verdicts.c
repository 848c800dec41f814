/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of sets with eight places each. A place is one atomic pointer to an entry that nobody changes any more.
 *
 *   - A reader marks a slot as busy, looks into one set, copies what it finds, and marks the slot as free. Each thread
 *     has a slot to start with, on a cache line of its own, and takes the next one if that is busy: so a thread that
 *     loses the processor in here holds up no other reader.
 *   - Who puts holds the lock over the pointers. What was taken out is freed after the lock was given back, once each
 *     slot that was busy has been free for a moment: nobody can have it in sight any more.
 *
 * After fork(): each word says, by its epoch, which process it was written in (client/pool.c). Slots and lock of
 * another epoch are free. Since the table is whole after each single store, a child finds it so, at whatever moment
 * another thread of its parent was; the entries it finds are of another epoch, count for nothing, and go first when
 * there is no room. What such a thread had in hand, outside the table, is lost to the child: an entry at most for each.
 *
 * Tokens are credentials, and live here for longer than a call: entries are wiped. Copies hold claims, not the token.
 */
#include "client/verdicts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL /* libsignet needs no libxxhash */
#include <xxhash.h>

#include "client/epoch_lock.h"
#include "client/flat_token.h"
#include "client/private.h"

#define VERDICTS_WAYS       8u
#define VERDICTS_SLOTS      64u /* the more, the fewer threads share one */
#define VERDICTS_LINE       64u
#define VERDICTS_SECRET_LEN 192u /* XXH3's own size; at least XXH3_SECRET_SIZE_MIN */

_Static_assert(VERDICTS_SECRET_LEN >= XXH3_SECRET_SIZE_MIN, "a secret that XXH3 takes");

struct verdicts_entry {
    uint64_t hash;
    uint64_t generation;
    struct sg_standing standing;
    uint32_t epoch;
    uint32_t token_len;
    uint32_t flat_len;
    uint32_t len; /* of all of this */
    const Signet__V1__VerifiedToken *flat;
    _Alignas(max_align_t) char bytes[]; /* the flat token, then the token as it came */
};

struct verdicts_set {
    /* Parts of the hashes, to find a place by; only what is in the entry counts. */
    _Alignas(VERDICTS_LINE) _Atomic uint32_t tags[VERDICTS_WAYS];
    _Atomic(struct verdicts_entry *) entries[VERDICTS_WAYS];
    _Atomic uint8_t is_used[VERDICTS_WAYS]; /* since the hand came by */
    uint8_t hand;                           /* the place to be looked at next, under the lock */
};

/* epoch << 32 | turn << 1 | busy: who comes back sees whether a busy slot has been free meanwhile. */
struct verdicts_slot {
    _Alignas(VERDICTS_LINE) _Atomic uint64_t word;
};

struct sg_verdicts {
    struct verdicts_slot slots[VERDICTS_SLOTS];
    struct sg_epoch_lock lock; /* over changes */
    uint8_t secret[VERDICTS_SECRET_LEN];
    size_t num_sets;
    size_t num_ways;  /* of each set, VERDICTS_WAYS unless there is one set */
    size_t set_bytes; /* that the entries of one set may take */
    struct verdicts_set sets[];
};

/* ---- Life ---- */

struct sg_verdicts *sg_verdicts_new(size_t max_entries, size_t max_bytes)
{
    size_t num_sets = max_entries < VERDICTS_WAYS ? 1 : max_entries / VERDICTS_WAYS;
    size_t len = sizeof(struct sg_verdicts) + num_sets * sizeof(struct verdicts_set);
    struct sg_verdicts *verdicts = aligned_alloc(VERDICTS_LINE, len);
    if (verdicts == NULL) {
        return NULL;
    }
    memset(verdicts, 0, len);
    verdicts->num_sets = num_sets;
    verdicts->num_ways = max_entries < VERDICTS_WAYS ? max_entries : VERDICTS_WAYS;
    verdicts->set_bytes = max_bytes / num_sets;
    /* Never blocks. What little the kernel knows early at boot is enough for a hash. */
    if (getrandom(verdicts->secret, sizeof(verdicts->secret), GRND_INSECURE) !=
        (ssize_t)sizeof(verdicts->secret)) {
        free(verdicts);
        return NULL;
    }
    return verdicts;
}

static void verdicts_entry_free(struct verdicts_entry *entry)
{
    if (entry != NULL) {
        explicit_bzero(entry, entry->len);
        free(entry);
    }
}

void sg_verdicts_free(struct sg_verdicts *verdicts)
{
    if (verdicts == NULL) {
        return;
    }
    for (size_t i = 0; i < verdicts->num_sets; i++) {
        for (size_t way = 0; way < VERDICTS_WAYS; way++) {
            verdicts_entry_free(atomic_load(&verdicts->sets[i].entries[way]));
        }
    }
    free(verdicts);
}

/* ---- Finding ---- */

uint64_t sg_verdicts_hash(const struct sg_verdicts *verdicts, const char *token, size_t token_len)
{
    return XXH3_64bits_withSecret(token, token_len, verdicts->secret, sizeof(verdicts->secret));
}

static struct verdicts_set *verdicts_set_of(struct sg_verdicts *verdicts, uint64_t hash)
{
    return &verdicts->sets[(hash >> 32) * verdicts->num_sets >> 32];
}

static uint32_t verdicts_tag(uint64_t hash)
{
    return (uint32_t)hash;
}

static bool verdicts_is_of(const struct verdicts_entry *entry, const struct sg_verdicts_key *key)
{
    return entry->hash == key->hash && entry->token_len == key->token_len &&
           memcmp(entry->bytes + entry->flat_len, key->token, key->token_len) == 0;
}

/* Whether it can count, now or later, for this process. */
static bool verdicts_is_alive(const struct verdicts_entry *entry, const struct sg_verdicts_key *key)
{
    return entry->generation == key->generation && entry->epoch == key->epoch;
}

/* ---- Reading ---- */

/* Threads are numbered as they come, so that the first ones do not meet. The memory is there when a thread starts: to
 * find it takes no call that could fail. */
static _Atomic uint32_t verdicts_num_threads;
static _Thread_local uint32_t verdicts_thread __attribute__((tls_model("initial-exec")));

static uint32_t verdicts_home(void)
{
    if (verdicts_thread == 0) {
        verdicts_thread = atomic_fetch_add(&verdicts_num_threads, 1) + 1;
    }
    return verdicts_thread;
}

static bool verdicts_is_busy(uint64_t word, uint32_t epoch)
{
    return (word & 1) != 0 && word >> 32 == epoch;
}

static struct verdicts_slot *verdicts_enter(struct sg_verdicts *verdicts, uint32_t epoch)
{
    for (uint32_t i = 0, home = verdicts_home();; i++) {
        struct verdicts_slot *slot = &verdicts->slots[(home + i) % VERDICTS_SLOTS];
        uint64_t seen = atomic_load_explicit(&slot->word, memory_order_relaxed);
        uint64_t turn = (uint32_t)((uint32_t)seen + 2u) | 1u;
        if (!verdicts_is_busy(seen, epoch) &&
            atomic_compare_exchange_strong(&slot->word, &seen, (uint64_t)epoch << 32 | turn)) {
            return slot;
        }
        if (i % VERDICTS_SLOTS == VERDICTS_SLOTS - 1) {
            sg_epoch_pause(i / VERDICTS_SLOTS);
        }
    }
}

static void verdicts_leave(struct verdicts_slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    atomic_store_explicit(&slot->word, word & ~UINT64_C(1), memory_order_release);
}

/* Until no reader can have in sight what is out of the table by now. */
static void verdicts_await_readers(struct sg_verdicts *verdicts, uint32_t epoch)
{
    for (size_t i = 0; i < VERDICTS_SLOTS; i++) {
        uint64_t seen = atomic_load(&verdicts->slots[i].word);
        unsigned attempt = 0;
        while (verdicts_is_busy(seen, epoch) && atomic_load(&verdicts->slots[i].word) == seen) {
            sg_epoch_pause(attempt++);
        }
    }
}

/* The token stands behind the object that programs see, in the same memory. */
static struct signet_verified *verdicts_copy(const struct verdicts_entry *entry)
{
    struct verdicts_copy {
        struct signet_verified verified;
        _Alignas(max_align_t) char bytes[];
    } *copy = malloc(sizeof(*copy) + entry->flat_len);
    if (copy == NULL) {
        return NULL;
    }
    copy->verified.token = sg_flat_token_copy(entry->flat, entry->flat_len, copy->bytes);
    copy->verified.body = NULL;
    return &copy->verified;
}

struct signet_verified *sg_verdicts_get(struct sg_verdicts *verdicts,
                                        const struct sg_verdicts_key *key,
                                        const struct signet_verify_options *options, int64_t now)
{
    struct verdicts_set *set = verdicts_set_of(verdicts, key->hash);
    struct signet_verified *found = NULL;
    struct verdicts_slot *slot = verdicts_enter(verdicts, key->epoch);
    for (size_t way = 0; way < verdicts->num_ways && found == NULL; way++) {
        if (atomic_load_explicit(&set->tags[way], memory_order_relaxed) !=
            verdicts_tag(key->hash)) {
            continue;
        }
        const struct verdicts_entry *entry = atomic_load(&set->entries[way]);
        if (entry != NULL && verdicts_is_alive(entry, key) && verdicts_is_of(entry, key) &&
            sg_standing_holds(&entry->standing, entry->flat, options, now)) {
            found = verdicts_copy(entry);
            if (atomic_load_explicit(&set->is_used[way], memory_order_relaxed) == 0) {
                atomic_store_explicit(&set->is_used[way], 1, memory_order_relaxed);
            }
        }
    }
    verdicts_leave(slot);
    return found;
}

/* ---- Putting ---- */

static struct verdicts_entry *verdicts_entry_new(const struct sg_verdicts *verdicts,
                                                 const struct sg_verdicts_key *key,
                                                 const Signet__V1__VerifiedToken *token,
                                                 const struct sg_standing *standing)
{
    size_t flat_len = sg_flat_token_len(token);
    size_t len = sizeof(struct verdicts_entry) + flat_len + key->token_len;
    if (len > verdicts->set_bytes || len > UINT32_MAX) {
        return NULL;
    }
    struct verdicts_entry *entry = malloc(len);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct verdicts_entry){
        .hash = key->hash,
        .generation = key->generation,
        .standing = *standing,
        .epoch = key->epoch,
        .token_len = (uint32_t)key->token_len,
        .flat_len = (uint32_t)flat_len,
        .len = (uint32_t)len,
    };
    entry->flat = sg_flat_token_make(token, entry->bytes);
    memcpy(entry->bytes + flat_len, key->token, key->token_len);
    return entry;
}

/* What is taken out, for as long as a reader may see it. */
struct verdicts_outgoing {
    struct verdicts_entry *entries[VERDICTS_WAYS];
    size_t num;
};

static void verdicts_take_out(struct verdicts_set *set, size_t way,
                              struct verdicts_outgoing *outgoing)
{
    outgoing->entries[outgoing->num++] = atomic_load(&set->entries[way]);
    atomic_store(&set->entries[way], NULL);
}

/* The place of what can best be done without: a dead entry, else one that was not used since the hand came by.
 * There is one entry at least. */
static size_t verdicts_victim(const struct sg_verdicts *verdicts, struct verdicts_set *set,
                              const struct sg_verdicts_key *key)
{
    for (size_t way = 0; way < verdicts->num_ways; way++) {
        const struct verdicts_entry *entry = atomic_load(&set->entries[way]);
        if (entry != NULL && !verdicts_is_alive(entry, key)) {
            return way;
        }
    }
    for (size_t steps = 0;;
         steps++) { /* at most three times around, whatever readers use meanwhile */
        size_t way = set->hand;
        set->hand = (uint8_t)((way + 1) % verdicts->num_ways);
        bool is_used = atomic_exchange_explicit(&set->is_used[way], 0, memory_order_relaxed) != 0;
        if (atomic_load(&set->entries[way]) != NULL && (!is_used || steps >= 2 * VERDICTS_WAYS)) {
            return way;
        }
    }
}

/* A place for len bytes under this key: that of the same token, an empty one, or one that was made empty. */
static size_t verdicts_make_room(const struct sg_verdicts *verdicts, struct verdicts_set *set,
                                 const struct sg_verdicts_key *key, size_t len,
                                 struct verdicts_outgoing *outgoing)
{
    size_t place = VERDICTS_WAYS;
    size_t used = 0;
    for (size_t way = 0; way < verdicts->num_ways; way++) {
        const struct verdicts_entry *entry = atomic_load(&set->entries[way]);
        if (entry != NULL && verdicts_is_of(entry, key)) {
            verdicts_take_out(set, way, outgoing);
            entry = NULL;
        }
        used += entry != NULL ? entry->len : 0;
        place = entry == NULL ? way : place;
    }
    while (place == VERDICTS_WAYS || used + len > verdicts->set_bytes) {
        place = verdicts_victim(verdicts, set, key);
        used -= atomic_load(&set->entries[place])->len;
        verdicts_take_out(set, place, outgoing);
    }
    return place;
}

void sg_verdicts_put(struct sg_verdicts *verdicts, const struct sg_verdicts_key *key,
                     const Signet__V1__VerifiedToken *token, const struct sg_standing *standing)
{
    struct verdicts_entry *entry = verdicts_entry_new(verdicts, key, token, standing);
    if (entry == NULL) {
        return;
    }
    struct verdicts_set *set = verdicts_set_of(verdicts, key->hash);
    struct verdicts_outgoing outgoing = {.num = 0};
    sg_epoch_lock_take(&verdicts->lock, key->epoch);
    size_t way = verdicts_make_room(verdicts, set, key, entry->len, &outgoing);
    atomic_store(&set->tags[way], verdicts_tag(key->hash));
    atomic_store_explicit(&set->is_used[way], 0, memory_order_relaxed);
    atomic_store(&set->entries[way], entry);
    sg_epoch_lock_give(&verdicts->lock);
    if (outgoing.num > 0) {
        verdicts_await_readers(verdicts, key->epoch);
    }
    for (size_t i = 0; i < outgoing.num; i++) {
        verdicts_entry_free(outgoing.entries[i]);
    }
}

void sg_verdicts_measure(struct sg_verdicts *verdicts, size_t *num_entries, size_t *num_bytes)
{
    *num_entries = 0;
    *num_bytes = 0;
    for (size_t i = 0; i < verdicts->num_sets; i++) {
        for (size_t way = 0; way < VERDICTS_WAYS; way++) {
            const struct verdicts_entry *entry = atomic_load(&verdicts->sets[i].entries[way]);
            *num_entries += entry != NULL ? 1 : 0;
            *num_bytes += entry != NULL ? entry->len : 0;
        }
    }
}
