/* SPDX-License-Identifier: Apache-2.0
 *
 * The table: open addressing with linear steps, never more than half full. It keeps digests of names, not the names:
 * 128 bits under a secret seed, so that nobody can make two names share one; if two did, a good token would be
 * refused, and none accepted.
 */
#include "server/revocations.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "common/limits.h"
#include "server/rotation.h"

#define REVOCATIONS_FIRST_PLACES 64u
/* So many are enough for any host, and little enough memory for one. */
#define REVOCATIONS_MAX ((size_t)4 * 1024 * 1024)
/* Expired ones are taken out of the store so many at a time, whenever one is added: faster than they come. */
#define REVOCATIONS_FORGET_STEP 16u
/* The longest jti, sub or kid that can be revoked. */
#define REVOCATIONS_MAX_NAME  256u
#define REVOCATIONS_MAX_ERROR 256u

struct revocations_place {
    XXH128_hash_t digest;
    int64_t at;    /* 0: the place is empty */
    int64_t until; /* as in the store */
};

struct sg_revocations {
    struct sg_store *store;
    struct sg_store *own_store; /* in memory; NULL: another's is used */
    int64_t (*read_wall_s)(void);
    uint64_t seed;
    pthread_mutex_t changes; /* held from the time of a revocation until it is in the table */
    pthread_rwlock_t lock;
    /* Guarded by lock. */
    struct revocations_place *places;
    size_t num_places, num_used;
};

/* ---- The table; lock held ---- */

/* The digest of what is revoked. False for names that are too long to be so. */
static bool revocations_digest(const struct sg_revocations *revocations, int kind,
                               const char *scope, const char *name, XXH128_hash_t *out)
{
    char text[1 + SG_MAX_ISSUER_LEN + 1 + REVOCATIONS_MAX_NAME];
    size_t scope_len = strlen(scope);
    size_t name_len = strlen(name);
    if (scope_len > SG_MAX_ISSUER_LEN || name_len > REVOCATIONS_MAX_NAME) {
        return false;
    }
    /* A scope cannot hold the zero that ends it, so that no two pairs have one text. */
    text[0] = (char)kind;
    memcpy(text + 1, scope, scope_len + 1);
    memcpy(text + 1 + scope_len + 1, name, name_len);
    *out = XXH3_128bits_withSeed(text, 1 + scope_len + 1 + name_len, revocations->seed);
    return true;
}

/* The place of a digest, or the empty one where it would be. */
static struct revocations_place *revocations_place_of(struct revocations_place *places,
                                                      size_t num_places, XXH128_hash_t digest)
{
    size_t at = (size_t)digest.low64 & (num_places - 1);
    while (places[at].at != 0 && !XXH128_isEqual(places[at].digest, digest)) {
        at = (at + 1) & (num_places - 1);
    }
    return &places[at];
}

/* Makes room for one more if there may be that many, and leaves out what has expired by now. */
static bool revocations_reserve(struct sg_revocations *revocations, int64_t now)
{
    if (2 * (revocations->num_used + 1) <= revocations->num_places) {
        return true;
    }
    size_t num_live = 1;
    for (size_t i = 0; i < revocations->num_places; i++) {
        const struct revocations_place *place = &revocations->places[i];
        num_live += place->at != 0 && place->until >= now ? 1 : 0;
    }
    if (num_live > REVOCATIONS_MAX) {
        return false;
    }
    size_t num_places = REVOCATIONS_FIRST_PLACES;
    while (num_places < 4 * num_live) {
        num_places *= 2;
    }
    struct revocations_place *places = calloc(num_places, sizeof(*places));
    if (places == NULL) {
        return false;
    }
    for (size_t i = 0; i < revocations->num_places; i++) {
        const struct revocations_place *place = &revocations->places[i];
        if (place->at != 0 && place->until >= now) {
            *revocations_place_of(places, num_places, place->digest) = *place;
        }
    }
    free(revocations->places);
    revocations->places = places;
    revocations->num_places = num_places;
    revocations->num_used = num_live - 1;
    return true;
}

/* What is there never shrinks. There must be room. Returns what is there afterwards. */
static const struct revocations_place *
revocations_put(struct sg_revocations *revocations, XXH128_hash_t digest, int64_t at, int64_t until)
{
    struct revocations_place *place =
        revocations_place_of(revocations->places, revocations->num_places, digest);
    if (place->at == 0) {
        *place = (struct revocations_place){.digest = digest};
        revocations->num_used++;
    }
    place->at = at > place->at ? at : place->at;
    place->until = until > place->until ? until : place->until;
    return place;
}

/* When what has this name was revoked; 0: it was not. */
static int64_t revocations_find(const struct sg_revocations *revocations, int kind,
                                const char *scope, const char *name)
{
    XXH128_hash_t digest;
    if (revocations->num_used == 0 || name == NULL ||
        !revocations_digest(revocations, kind, scope, name, &digest)) {
        return 0;
    }
    return revocations_place_of(revocations->places, revocations->num_places, digest)->at;
}

/* ---- Reading what there is ---- */

struct revocations_reading {
    struct sg_revocations *revocations;
    bool is_out_of_memory;
};

static void revocations_read(void *context, const struct sg_store_revocation *record)
{
    struct revocations_reading *reading = context;
    struct sg_revocations *revocations = reading->revocations;
    XXH128_hash_t digest;
    if (!revocations_reserve(revocations, SG_TIME_EVER) ||
        !revocations_digest(revocations, (int)record->kind, record->scope, record->name, &digest)) {
        reading->is_out_of_memory = true;
        return;
    }
    (void)revocations_put(revocations, digest, record->at, record->until);
}

static signet_status revocations_load(struct sg_revocations *revocations, char *error,
                                      size_t error_cap)
{
    struct revocations_reading reading = {.revocations = revocations};
    if (!revocations_reserve(revocations, SG_TIME_EVER)) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = SIGNET_OK;
    if (revocations->store == NULL) {
        status = sg_store_open_in_memory(&revocations->own_store, error, error_cap);
        revocations->store = revocations->own_store;
    }
    if (status == SIGNET_OK) {
        status = sg_store_read_revocations(revocations->store, revocations_read, &reading, error,
                                           error_cap);
    }
    return status == SIGNET_OK && reading.is_out_of_memory ? SIGNET_RESOURCE_EXHAUSTED : status;
}

/* ---- Changing and asking ---- */

static signet_status revocations_write(struct sg_revocations *revocations,
                                       const struct sg_store_revocation *revocation, char *error,
                                       size_t error_cap)
{
    size_t num_forgotten = 0;
    signet_status status = sg_store_revoke(revocations->store, revocation, 1, error, error_cap);
    if (status == SIGNET_OK) {
        char unheard[REVOCATIONS_MAX_ERROR]; /* what is kept too long does no harm */
        signet_status forgotten =
            sg_store_forget_revocations(revocations->store, revocation->at, REVOCATIONS_FORGET_STEP,
                                        &num_forgotten, unheard, sizeof(unheard));
        (void)forgotten;
    }
    return status;
}

/* With the mutex of changes held. */
static signet_status revocations_add(struct sg_revocations *revocations,
                                     struct sg_store_revocation *revocation, char *error,
                                     size_t error_cap)
{
    XXH128_hash_t digest;
    if (!revocations_digest(revocations, (int)revocation->kind, revocation->scope, revocation->name,
                            &digest)) {
        (void)snprintf(error, error_cap, "the name is too long to be revoked");
        return SIGNET_INVALID_ARGUMENT;
    }
    revocation->at = revocations->read_wall_s();
    /* Room first: what is in the store must be in the table. Nobody else takes it. */
    (void)pthread_rwlock_wrlock(&revocations->lock);
    bool has_room = revocations_reserve(revocations, revocation->at);
    (void)pthread_rwlock_unlock(&revocations->lock);
    if (!has_room) {
        (void)snprintf(error, error_cap, "there is no memory, or no room among %zu, for one more",
                       REVOCATIONS_MAX);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = revocations_write(revocations, revocation, error, error_cap);
    if (status == SIGNET_OK) {
        (void)pthread_rwlock_wrlock(&revocations->lock);
        const struct revocations_place *place =
            revocations_put(revocations, digest, revocation->at, revocation->until);
        revocation->at = place->at;
        revocation->until = place->until;
        (void)pthread_rwlock_unlock(&revocations->lock);
    }
    return status;
}

signet_status sg_revocations_add(struct sg_revocations *revocations,
                                 struct sg_store_revocation *revocation, char *error,
                                 size_t error_cap)
{
    (void)pthread_mutex_lock(&revocations->changes);
    signet_status status = revocations_add(revocations, revocation, error, error_cap);
    (void)pthread_mutex_unlock(&revocations->changes);
    return status;
}

/* The later of when a subject and when a keyset was revoked; 0: neither was. */
static int64_t revocations_issued_until(const struct sg_revocations *revocations,
                                        const char *issuer, const char *subject, const char *keyset)
{
    int64_t of_subject = revocations_find(revocations, SG_STORE_REVOKED_SUBJECT, issuer, subject);
    int64_t of_keyset = revocations_find(revocations, SG_STORE_REVOKED_KEYSET, keyset, "");
    return of_subject > of_keyset ? of_subject : of_keyset;
}

bool sg_revocations_refuse(struct sg_revocations *revocations,
                           const struct sg_revocations_token *token)
{
    (void)pthread_rwlock_rdlock(&revocations->lock);
    int64_t until =
        revocations_issued_until(revocations, token->issuer, token->subject, token->keyset);
    bool is_revoked =
        revocations_find(revocations, SG_STORE_REVOKED_TOKEN, token->issuer, token->jti) != 0;
    (void)pthread_rwlock_unlock(&revocations->lock);
    return is_revoked || (until != 0 && (!token->has_iat || token->iat <= until));
}

int64_t sg_revocations_sign_from(struct sg_revocations *revocations, const char *issuer,
                                 const char *subject, const char *keyset)
{
    (void)pthread_rwlock_rdlock(&revocations->lock);
    int64_t until = revocations_issued_until(revocations, issuer, subject, keyset);
    (void)pthread_rwlock_unlock(&revocations->lock);
    return until != 0 ? until + 1 : 0;
}

/* ---- Making ---- */

signet_status sg_revocations_new(struct sg_store *store, int64_t (*read_wall_s)(void),
                                 struct sg_revocations **out, char *error, size_t error_cap)
{
    struct sg_revocations *revocations = calloc(1, sizeof(*revocations));
    if (revocations == NULL) {
        (void)snprintf(error, error_cap, "the daemon is out of memory");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    revocations->store = store;
    revocations->read_wall_s = read_wall_s;
    /* With default attributes these cannot fail on Linux. */
    (void)pthread_mutex_init(&revocations->changes, NULL);
    (void)pthread_rwlock_init(&revocations->lock, NULL);
    signet_status status = SIGNET_INTERNAL;
    (void)snprintf(error, error_cap, "the system gives no random bytes");
    if (getentropy(&revocations->seed, sizeof(revocations->seed)) == 0) {
        (void)snprintf(error, error_cap, "the daemon is out of memory");
        status = revocations_load(revocations, error, error_cap);
    }
    if (status != SIGNET_OK) {
        sg_revocations_free(revocations);
        return status;
    }
    *out = revocations;
    return SIGNET_OK;
}

void sg_revocations_free(struct sg_revocations *revocations)
{
    if (revocations == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&revocations->changes);
    (void)pthread_rwlock_destroy(&revocations->lock);
    sg_store_close(revocations->own_store);
    free(revocations->places);
    free(revocations);
}

signet_status sg_revocations_list(struct sg_revocations *revocations,
                                  const struct sg_store_revocation_key *after, size_t max,
                                  void (*visit)(void *context,
                                                const struct sg_store_revocation *revocation),
                                  void *context, char *error, size_t error_cap)
{
    return sg_store_list_revocations(revocations->store, after, max, visit, context, error,
                                     error_cap);
}
