/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities: who connected, and what was found out about them so far.
 *
 * Facts are published whole and stay until the identity ends, so readers take no lock. Two mutexes guard the
 * looking up, so that who wants what is there at once does not wait for a hash. Lock order: slow, then mutex.
 */
#include "server/peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/peer_exe.h"
#include "server/peer_proc.h"
#include "server/peer_resolver.h"

#define PEER_OF_PROC (SG_PEER_GROUPS | SG_PEER_UNIT)
#define PEER_OF_EXE  (SG_PEER_EXE | SG_PEER_EXE_SHA256)

struct peer_snapshot {
    struct sg_peer_facts facts;
    struct peer_snapshot *older;
};

struct sg_peer_identity {
    struct sg_peer_resolver *resolver;
    struct sg_peer_process process;
    bool is_another;              /* than the one that connected: it started too late */
    struct sg_peer_facts nothing; /* before anything was looked up */
    _Atomic(const struct sg_peer_facts *) facts;
    pthread_mutex_t slow; /* held while a file system is waited for */
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    struct peer_snapshot *snapshots; /* one a lookup: there are no more than facts */
    gid_t *groups;
    enum sg_peer_outcome exe_outcome; /* 0: not looked at */
    struct sg_peer_exe exe;
};

/* ---- Making it ---- */

uint64_t sg_peer_boot_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Whether a process that started then can have been there at the time. Its start is rounded down. */
static bool peer_is_older(uint64_t started, uint64_t than_ms)
{
    long per_second = sysconf(_SC_CLK_TCK);
    return per_second > 0 && started / (uint64_t)per_second <= than_ms / 1000u &&
           started * 1000u / (uint64_t)per_second <= than_ms;
}

signet_status sg_peer_identity_new(struct sg_peer_resolver *resolver, const struct sg_peer *peer,
                                   uint64_t accepted_ms, struct sg_peer_identity **out)
{
    struct sg_peer_identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    identity->resolver = resolver;
    identity->process = (struct sg_peer_process){.pid = peer->pid, .uid = peer->uid};
    /* Where it cannot be read, the lookup says why. */
    enum sg_peer_outcome outcome = sg_peer_proc_started(sg_peer_resolver_proc(resolver), peer->pid,
                                                        &identity->process.started);
    identity->is_another =
        outcome == SG_PEER_FOUND && !peer_is_older(identity->process.started, accepted_ms);
    atomic_init(&identity->facts, &identity->nothing);
    (void)pthread_mutex_init(&identity->slow, NULL);
    (void)pthread_mutex_init(&identity->mutex, NULL);
    *out = identity;
    return SIGNET_OK;
}

void sg_peer_identity_free(struct sg_peer_identity *identity)
{
    if (identity == NULL) {
        return;
    }
    while (identity->snapshots != NULL) {
        struct peer_snapshot *snapshot = identity->snapshots;
        identity->snapshots = snapshot->older;
        free(snapshot);
    }
    (void)pthread_mutex_destroy(&identity->mutex);
    (void)pthread_mutex_destroy(&identity->slow);
    free(identity->groups);
    free(identity);
}

/* ---- Snapshots ---- */

static const struct sg_peer_facts *peer_facts(const struct sg_peer_identity *identity)
{
    return atomic_load_explicit(&identity->facts, memory_order_acquire);
}

static unsigned peer_missing(const struct sg_peer_identity *identity, unsigned wanted)
{
    const struct sg_peer_facts *facts = peer_facts(identity);
    return wanted & ~(facts->known | facts->failed);
}

/* Mutex held. A copy of what is known, to be added to. NULL without memory. */
static struct peer_snapshot *peer_begin(struct sg_peer_identity *identity)
{
    struct peer_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot != NULL) {
        snapshot->facts = *peer_facts(identity);
    }
    return snapshot;
}

static void peer_publish(struct sg_peer_identity *identity, struct peer_snapshot *snapshot)
{
    snapshot->older = identity->snapshots;
    identity->snapshots = snapshot;
    atomic_store_explicit(&identity->facts, &snapshot->facts, memory_order_release);
}

static void peer_settle(struct sg_peer_facts *facts, unsigned fact, enum sg_peer_outcome outcome)
{
    if (outcome == SG_PEER_FOUND) {
        facts->known |= fact;
    } else {
        facts->failed |= fact;
        facts->problem = sg_peer_outcome_text(outcome);
    }
}

/* ---- From /proc ---- */

/* What is read while the process is held, believed only if it was still the same at the end. */
struct peer_reading {
    enum sg_peer_outcome groups_outcome, unit_outcome;
    gid_t *groups;
    size_t num_groups;
    char unit[SG_PEER_MAX_UNIT + 1];
};

static enum sg_peer_outcome peer_read(const struct sg_peer_identity *identity, unsigned wanted,
                                      struct peer_reading *reading)
{
    struct sg_peer_proc proc;
    enum sg_peer_outcome outcome =
        sg_peer_proc_open(sg_peer_resolver_proc(identity->resolver), &identity->process, &proc);
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    if ((wanted & SG_PEER_GROUPS) != 0) {
        reading->groups_outcome =
            sg_peer_proc_groups(&proc, &reading->groups, &reading->num_groups);
    }
    if ((wanted & SG_PEER_UNIT) != 0) {
        reading->unit_outcome = sg_peer_proc_unit(&proc, reading->unit);
    }
    outcome = sg_peer_proc_check(&proc);
    sg_peer_proc_close(&proc);
    return outcome;
}

/* Mutex held. */
static void peer_look_up_proc(struct sg_peer_identity *identity, unsigned wanted,
                              struct sg_peer_facts *facts)
{
    struct peer_reading reading = {0};
    enum sg_peer_outcome outcome = peer_read(identity, wanted, &reading);
    bool is_good = outcome == SG_PEER_FOUND;
    if ((wanted & SG_PEER_GROUPS) != 0) {
        peer_settle(facts, SG_PEER_GROUPS, is_good ? reading.groups_outcome : outcome);
    }
    if ((wanted & SG_PEER_UNIT) != 0) {
        peer_settle(facts, SG_PEER_UNIT, is_good ? reading.unit_outcome : outcome);
    }
    if ((facts->known & wanted & SG_PEER_GROUPS) != 0) {
        identity->groups = reading.groups;
        facts->groups = reading.groups;
        facts->num_groups = reading.num_groups;
    } else {
        free(reading.groups);
    }
    if ((facts->known & wanted & SG_PEER_UNIT) != 0) {
        memcpy(facts->unit, reading.unit, sizeof(facts->unit));
    }
}

/* ---- The program ---- */

static void peer_settle_path(struct sg_peer_facts *facts, const struct sg_peer_exe *exe)
{
    peer_settle(facts, SG_PEER_EXE, (enum sg_peer_outcome)exe->path_outcome);
    if ((facts->known & SG_PEER_EXE) != 0) {
        memcpy(facts->exe, exe->path, sizeof(facts->exe));
    }
}

/* Mutex held. Settles what can be said without waiting for a file system. */
static void peer_look_up_exe(struct sg_peer_identity *identity, unsigned wanted,
                             struct sg_peer_facts *facts)
{
    if (identity->exe_outcome == 0) {
        identity->exe_outcome =
            sg_peer_resolver_exe(identity->resolver, &identity->process, false, &identity->exe);
    }
    if (identity->exe_outcome != SG_PEER_FOUND) {
        peer_settle(facts, wanted & PEER_OF_EXE, identity->exe_outcome);
        return;
    }
    if ((wanted & SG_PEER_EXE) != 0 && identity->exe.path_outcome != SG_PEER_WOULD_WAIT) {
        peer_settle_path(facts, &identity->exe);
    }
    if ((wanted & SG_PEER_EXE_SHA256) != 0 &&
        sg_peer_resolver_recall(identity->resolver, &identity->exe.file, facts->exe_sha256)) {
        peer_settle(facts, SG_PEER_EXE_SHA256, SG_PEER_FOUND);
    }
}

/* ---- Looking up ---- */

/* Mutex held. */
static void peer_look_up(struct sg_peer_identity *identity, unsigned wanted,
                         struct sg_peer_facts *facts)
{
    if ((wanted & SG_PEER_USER) != 0) {
        peer_settle(facts, SG_PEER_USER,
                    sg_peer_resolver_user(identity->resolver, identity->process.uid, facts->user));
        wanted &= ~(unsigned)SG_PEER_USER;
    }
    if (wanted != 0 && identity->is_another) {
        peer_settle(facts, wanted, SG_PEER_ANOTHER);
        return;
    }
    if ((wanted & PEER_OF_PROC) != 0) {
        peer_look_up_proc(identity, wanted, facts);
    }
    if ((wanted & PEER_OF_EXE) != 0) {
        peer_look_up_exe(identity, wanted, facts);
    }
}

/* Finds out what can be said at once. Returns what is missing of wanted afterwards. */
static unsigned peer_look_up_quick(struct sg_peer_identity *identity, unsigned wanted)
{
    pthread_mutex_lock(&identity->mutex);
    unsigned missing = peer_missing(identity, wanted);
    struct peer_snapshot *snapshot = missing != 0 ? peer_begin(identity) : NULL;
    if (snapshot != NULL) {
        unsigned settled = snapshot->facts.known | snapshot->facts.failed;
        peer_look_up(identity, missing, &snapshot->facts);
        if ((snapshot->facts.known | snapshot->facts.failed) != settled) {
            peer_publish(identity, snapshot);
        } else {
            free(snapshot);
        }
        missing = peer_missing(identity, wanted);
    }
    pthread_mutex_unlock(&identity->mutex);
    return missing;
}

/* What was found out while a file system was waited for. */
struct peer_findings {
    struct sg_peer_exe exe;
    enum sg_peer_outcome hash_outcome;
    uint8_t sha256[SG_PEER_SHA256_LEN];
};

/* Both facts have to be of the file that was seen first. */
static void peer_wait_for(struct sg_peer_identity *identity, unsigned wanted,
                          const struct sg_peer_file *expected, struct peer_findings *out)
{
    if ((wanted & SG_PEER_EXE) != 0) {
        enum sg_peer_outcome outcome =
            sg_peer_resolver_exe(identity->resolver, &identity->process, true, &out->exe);
        if (outcome == SG_PEER_FOUND && !sg_peer_file_equal(&out->exe.file, expected)) {
            outcome = SG_PEER_CHANGED;
        }
        out->exe.path_outcome =
            outcome == SG_PEER_FOUND ? out->exe.path_outcome : (uint32_t)outcome;
    }
    if ((wanted & SG_PEER_EXE_SHA256) != 0) {
        out->hash_outcome =
            sg_peer_resolver_hash(identity->resolver, &identity->process, expected, out->sha256);
    }
}

/* Mutex held. */
static void peer_settle_findings(struct sg_peer_identity *identity, unsigned wanted,
                                 const struct peer_findings *findings)
{
    struct peer_snapshot *snapshot = peer_begin(identity);
    if (snapshot == NULL) {
        return;
    }
    struct sg_peer_facts *facts = &snapshot->facts;
    if ((wanted & SG_PEER_EXE) != 0) {
        peer_settle_path(facts, &findings->exe);
    }
    if ((wanted & SG_PEER_EXE_SHA256) != 0) {
        peer_settle(facts, SG_PEER_EXE_SHA256, findings->hash_outcome);
        memcpy(facts->exe_sha256, findings->sha256, sizeof(facts->exe_sha256));
    }
    peer_publish(identity, snapshot);
}

/* Looks up what peer_look_up_quick left, unless another thread has meanwhile. */
static void peer_look_up_slow(struct sg_peer_identity *identity, unsigned wanted)
{
    struct peer_findings findings = {0};
    pthread_mutex_lock(&identity->slow);
    wanted = peer_missing(identity, wanted);
    if (wanted != 0) {
        pthread_mutex_lock(&identity->mutex);
        const struct sg_peer_file expected = identity->exe.file;
        pthread_mutex_unlock(&identity->mutex);
        peer_wait_for(identity, wanted, &expected, &findings);
        pthread_mutex_lock(&identity->mutex);
        peer_settle_findings(identity, wanted, &findings);
        pthread_mutex_unlock(&identity->mutex);
    }
    pthread_mutex_unlock(&identity->slow);
}

const struct sg_peer_facts *sg_peer_facts_get(struct sg_peer_identity *identity, unsigned wanted)
{
    if (identity == NULL) {
        return NULL;
    }
    if (peer_missing(identity, wanted) != 0) {
        unsigned slow = peer_look_up_quick(identity, wanted) & PEER_OF_EXE;
        if (slow != 0) {
            peer_look_up_slow(identity, slow);
        }
    }
    return peer_facts(identity);
}

bool sg_peer_facts_are_quick(struct sg_peer_identity *identity, unsigned wanted)
{
    if (identity == NULL) {
        return true;
    }
    unsigned missing = peer_missing(identity, wanted);
    return (missing & SG_PEER_USER) == 0 && /* whoever names users may be elsewhere */
           ((missing & PEER_OF_EXE) == 0 ||
            (peer_look_up_quick(identity, wanted & PEER_OF_EXE) & PEER_OF_EXE) == 0);
}
