/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts of tokens by when they expire. Each power of two seconds that tokens may have left to live has a ring of
 * steps of its own, an eighth to a sixteenth of it each, made when the first such token comes: so a grant whose
 * tokens live about as long as each other takes a kilobyte or two, and none more than thirty.
 *
 * Lock order: changing, then mutex. changing is held while the events are called, so that they come in order.
 */
#include "server/fuse.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Steps of 2^level seconds. */
#define FUSE_NUM_LEVELS 30u
/* A token has at most 16 steps of its level to live; one more is begun. Slots are told apart by the number of
 * their step modulo this. */
#define FUSE_STEPS_LIFE 16u
#define FUSE_NUM_SLOTS  32u
/* What expires later is counted as if it expired then: in 272 years. */
#define FUSE_MAX_LIFE_S (INT64_C(1) << 33)
#define FUSE_NUM_LISTS  256u

struct fuse_slot {
    int64_t end; /* when the step ends; 0: unused */
    uint64_t num, num_forgiven;
};

struct fuse_level {
    struct fuse_slot slots[FUSE_NUM_SLOTS];
};

struct fuse_grant {
    struct fuse_grant *next;
    char name[SG_FUSE_MAX_NAME + 1];
    int64_t frozen_since; /* 0: it is not frozen */
    struct fuse_level *levels[FUSE_NUM_LEVELS];
};

struct sg_fuse {
    struct sg_fuse_events events;
    pthread_mutex_t changing;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    struct fuse_grant *lists[FUSE_NUM_LISTS];
    size_t num_grants;
};

/* ---- Counting ---- */

struct fuse_count {
    uint64_t num, num_forgiven;
};

static struct fuse_count grant_count(const struct fuse_grant *grant, int64_t now)
{
    struct fuse_count count = {0};
    for (size_t i = 0; i < FUSE_NUM_LEVELS; i++) {
        for (size_t j = 0; grant->levels[i] != NULL && j < FUSE_NUM_SLOTS; j++) {
            const struct fuse_slot *slot = &grant->levels[i]->slots[j];
            if (slot->end > now) {
                count.num += slot->num;
                count.num_forgiven += slot->num_forgiven;
            }
        }
    }
    return count;
}

/* The slot of a token that has left_s to live; NULL without memory. The slot may be of a step that is over. */
static struct fuse_slot *grant_slot(struct fuse_grant *grant, int64_t exp, int64_t left_s,
                                    int64_t *end)
{
    unsigned level = 0;
    while (level + 1 < FUSE_NUM_LEVELS && left_s > (int64_t)FUSE_STEPS_LIFE << level) {
        level++;
    }
    if (grant->levels[level] == NULL) {
        grant->levels[level] = calloc(1, sizeof(*grant->levels[level]));
        if (grant->levels[level] == NULL) {
            return NULL;
        }
    }
    uint64_t step = ((uint64_t)exp + (UINT64_C(1) << level) - 1) >> level;
    *end = (int64_t)(step << level);
    return &grant->levels[level]->slots[step % FUSE_NUM_SLOTS];
}

/* False without memory. */
static bool grant_add(struct fuse_grant *grant, int64_t exp, int64_t now)
{
    int64_t end = 0;
    int64_t left_s = exp > now ? exp - now : 1;
    left_s = left_s < FUSE_MAX_LIFE_S ? left_s : FUSE_MAX_LIFE_S;
    struct fuse_slot *slot = grant_slot(grant, now + left_s, left_s, &end);
    if (slot == NULL) {
        return false;
    }
    if (slot->end <= now) {
        *slot = (struct fuse_slot){0};
    }
    /* Another step's tokens are still alive there only if the clock was set: they count for longer then. */
    slot->end = slot->end > end ? slot->end : end;
    slot->num++;
    return true;
}

static void grant_forgive(struct fuse_grant *grant)
{
    for (size_t i = 0; i < FUSE_NUM_LEVELS; i++) {
        for (size_t j = 0; grant->levels[i] != NULL && j < FUSE_NUM_SLOTS; j++) {
            grant->levels[i]->slots[j].num_forgiven = grant->levels[i]->slots[j].num;
        }
    }
}

/* ---- Grants; all with the mutex held ---- */

static void grant_free(struct fuse_grant *grant)
{
    for (size_t i = 0; i < FUSE_NUM_LEVELS; i++) {
        free(grant->levels[i]);
    }
    free(grant);
}

static struct fuse_grant **fuse_list(struct sg_fuse *fuse, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a: names come from the operator */
    for (const char *at = name; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    }
    return &fuse->lists[hash % FUSE_NUM_LISTS];
}

static struct fuse_grant *fuse_find(struct sg_fuse *fuse, const char *name)
{
    struct fuse_grant *grant = *fuse_list(fuse, name);
    while (grant != NULL && strcmp(grant->name, name) != 0) {
        grant = grant->next;
    }
    return grant;
}

/* Forgets grants that are not frozen and have no tokens: reloads bring new names for ever. */
static void fuse_tidy(struct sg_fuse *fuse, int64_t now)
{
    for (size_t i = 0; i < FUSE_NUM_LISTS; i++) {
        struct fuse_grant **link = &fuse->lists[i];
        while (*link != NULL) {
            struct fuse_grant *grant = *link;
            if (grant->frozen_since == 0 && grant_count(grant, now).num == 0) {
                *link = grant->next;
                grant_free(grant);
                fuse->num_grants--;
            } else {
                link = &grant->next;
            }
        }
    }
}

/* The grant, made if it is new; NULL without memory, or if there are too many, or if the name is none. */
static struct fuse_grant *fuse_have(struct sg_fuse *fuse, const char *name, int64_t now)
{
    size_t len = strlen(name);
    struct fuse_grant *grant = fuse_find(fuse, name);
    if (grant != NULL || len == 0 || len > SG_FUSE_MAX_NAME) {
        return grant;
    }
    if (fuse->num_grants >= SG_FUSE_MAX_GRANTS) {
        fuse_tidy(fuse, now);
    }
    grant = fuse->num_grants < SG_FUSE_MAX_GRANTS ? calloc(1, sizeof(*grant)) : NULL;
    if (grant != NULL) {
        struct fuse_grant **list = fuse_list(fuse, name);
        memcpy(grant->name, name, len + 1);
        grant->next = *list;
        *list = grant;
        fuse->num_grants++;
    }
    return grant;
}

/* ---- Admitting ---- */

static bool fuse_is_over(const struct fuse_grant *grant, uint64_t max_live, int64_t now)
{
    struct fuse_count count = grant_count(grant, now);
    return count.num - count.num_forgiven >= max_live;
}

/* Mutex held. *trips: the grant is to be frozen. */
static enum sg_fuse_verdict fuse_judge(struct sg_fuse *fuse, const char *name, uint64_t max_live,
                                       int64_t exp, int64_t now, bool *trips)
{
    struct fuse_grant *grant = max_live > 0 ? fuse_have(fuse, name, now) : fuse_find(fuse, name);
    if (grant != NULL && grant->frozen_since != 0) {
        return SG_FUSE_FROZEN;
    }
    if (max_live == 0) {
        return SG_FUSE_MAY;
    }
    if (grant == NULL) {
        return SG_FUSE_NO_MEMORY;
    }
    if (fuse_is_over(grant, max_live, now)) {
        *trips = true;
        return SG_FUSE_FROZEN;
    }
    return grant_add(grant, exp, now) ? SG_FUSE_MAY : SG_FUSE_NO_MEMORY;
}

/* Unless somebody has frozen it meanwhile, or thawed it. */
static void fuse_trip(struct sg_fuse *fuse, const char *name, uint64_t max_live, int64_t now)
{
    (void)pthread_mutex_lock(&fuse->changing);
    (void)pthread_mutex_lock(&fuse->mutex);
    struct fuse_grant *grant = fuse_find(fuse, name);
    bool trips = grant != NULL && grant->frozen_since == 0 && fuse_is_over(grant, max_live, now);
    if (trips) {
        grant->frozen_since = now > 0 ? now : 1;
    }
    (void)pthread_mutex_unlock(&fuse->mutex);
    if (trips && fuse->events.on_freeze != NULL) {
        fuse->events.on_freeze(fuse->events.context, name, now > 0 ? now : 1);
    }
    (void)pthread_mutex_unlock(&fuse->changing);
}

enum sg_fuse_verdict sg_fuse_admit(struct sg_fuse *fuse, const char *grant, uint64_t max_live,
                                   int64_t exp, int64_t now)
{
    bool trips = false;
    (void)pthread_mutex_lock(&fuse->mutex);
    enum sg_fuse_verdict verdict = fuse_judge(fuse, grant, max_live, exp, now, &trips);
    (void)pthread_mutex_unlock(&fuse->mutex);
    if (trips) {
        fuse_trip(fuse, grant, max_live, now);
    }
    return verdict;
}

bool sg_fuse_is_frozen(struct sg_fuse *fuse, const char *grant)
{
    (void)pthread_mutex_lock(&fuse->mutex);
    const struct fuse_grant *found = fuse_find(fuse, grant);
    bool is_frozen = found != NULL && found->frozen_since != 0;
    (void)pthread_mutex_unlock(&fuse->mutex);
    return is_frozen;
}

/* ---- Operators ---- */

signet_status sg_fuse_thaw(struct sg_fuse *fuse, const char *grant)
{
    signet_status status = SIGNET_NOT_FOUND;
    /* While changing is held no other thread thaws it. */
    (void)pthread_mutex_lock(&fuse->changing);
    if (sg_fuse_is_frozen(fuse, grant)) {
        status = fuse->events.on_thaw != NULL ? fuse->events.on_thaw(fuse->events.context, grant)
                                              : SIGNET_OK;
    }
    if (status == SIGNET_OK) {
        (void)pthread_mutex_lock(&fuse->mutex);
        struct fuse_grant *found = fuse_find(fuse, grant); /* what is frozen is not forgotten */
        if (found != NULL) {
            found->frozen_since = 0;
            grant_forgive(found);
        }
        (void)pthread_mutex_unlock(&fuse->mutex);
    }
    (void)pthread_mutex_unlock(&fuse->changing);
    return status;
}

void sg_fuse_read(struct sg_fuse *fuse, const char *grant, int64_t now, struct sg_fuse_grant *out)
{
    *out = (struct sg_fuse_grant){.name = grant};
    (void)pthread_mutex_lock(&fuse->mutex);
    const struct fuse_grant *found = fuse_find(fuse, grant);
    if (found != NULL) {
        struct fuse_count count = grant_count(found, now);
        out->num_live = count.num;
        out->num_forgiven = count.num_forgiven;
        out->frozen_since = found->frozen_since;
    }
    (void)pthread_mutex_unlock(&fuse->mutex);
}

/* ---- Life ---- */

signet_status sg_fuse_new(const struct sg_fuse_events *events, struct sg_fuse **out)
{
    struct sg_fuse *fuse = calloc(1, sizeof(*fuse));
    if (fuse == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    if (events != NULL) {
        fuse->events = *events;
    }
    /* With default attributes neither can fail on Linux. */
    (void)pthread_mutex_init(&fuse->changing, NULL);
    (void)pthread_mutex_init(&fuse->mutex, NULL);
    *out = fuse;
    return SIGNET_OK;
}

void sg_fuse_free(struct sg_fuse *fuse)
{
    if (fuse == NULL) {
        return;
    }
    for (size_t i = 0; i < FUSE_NUM_LISTS; i++) {
        while (fuse->lists[i] != NULL) {
            struct fuse_grant *grant = fuse->lists[i];
            fuse->lists[i] = grant->next;
            grant_free(grant);
        }
    }
    (void)pthread_mutex_destroy(&fuse->changing);
    (void)pthread_mutex_destroy(&fuse->mutex);
    free(fuse);
}

signet_status sg_fuse_restore(struct sg_fuse *fuse, const char *grant, int64_t since)
{
    (void)pthread_mutex_lock(&fuse->mutex);
    struct fuse_grant *found = fuse_have(fuse, grant, since);
    if (found != NULL) {
        found->frozen_since = since > 0 ? since : 1;
    }
    (void)pthread_mutex_unlock(&fuse->mutex);
    return found != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}
