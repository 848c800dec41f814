/* SPDX-License-Identifier: Apache-2.0
 *
 * Accounts by uid. A bucket is one number: the time at which it will be full again. Work moves it on by what it
 * costs, as long as that is not further away than a whole bucket takes to fill (GCRA); so it needs no lock and
 * no clock of its own.
 *
 * Lock order: nothing is called with the mutex held but sg_quota_visit's visit.
 */
#include "server/quota.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define QUOTA_NUM_BUCKETS 1024u
/* Accounts without connections that are remembered, besides one for every connection there may be. */
#define QUOTA_NUM_REMEMBERED 256u
#define QUOTA_PERCENT        100u
#define QUOTA_NS_PER_US      1000u
#define QUOTA_US_PER_MS      1000u
/* Refusals have a bucket of their own, beyond which nothing is read: a fiftieth of a processor, and ten
 * milliseconds of one at once. */
#define QUOTA_NAG_STRETCH_NS (50u * QUOTA_NS_PER_US)
#define QUOTA_NAG_BURST_US   10000u

struct sg_quota_account {
    struct sg_quota *quota;
    uid_t uid;
    /* Guarded by the quota's mutex. */
    struct sg_quota_account *next;                  /* of its bucket */
    struct sg_quota_account *idle_prev, *idle_next; /* among those without connections */
    uint32_t num_connections;

    atomic_uint num_in_flight;
    atomic_uint_fast64_t full_at_ns; /* when its processor time is whole again */
    atomic_uint_fast64_t calm_at_ns; /* likewise, of refusals */
    atomic_uint_fast64_t cpu_used_us, num_refused, num_refused_connections;
    struct sg_fair_flow reading, working; /* their queues' */
};

struct sg_quota {
    /* Fixed after sg_quota_new. */
    uint32_t max_per_uid;
    uint32_t max_in_flight, max_in_flight_per_uid;
    uint64_t
        stretch_ns;   /* in which one microsecond is filled in; 0: processor time is not counted */
    uint64_t fill_ns; /* in which all of it is */
    size_t max_accounts;

    atomic_uint num_in_flight;

    pthread_mutex_t mutex;
    /* Guarded by mutex. Accounts end with the quota only; one that is given to another uid keeps its place in
     * the queues, so that nobody who still has it finds it gone. */
    struct sg_quota_account *buckets[QUOTA_NUM_BUCKETS];
    struct sg_quota_account *idle_first, *idle_last; /* the first has been left for longest */
    size_t num_accounts;
    uint32_t num_connections, max_connections;
};

/* ---- Buckets of time ---- */

static uint64_t bucket_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Moves the time on by len_ns, but not beyond limit_ns. */
static void bucket_take(atomic_uint_fast64_t *at_ns, uint64_t now_ns, uint64_t len_ns,
                        uint64_t limit_ns)
{
    uint64_t before = atomic_load_explicit(at_ns, memory_order_relaxed);
    uint64_t after;
    do {
        uint64_t begin = bucket_later(before, now_ns);
        after = bucket_later(begin, begin + len_ns < limit_ns ? begin + len_ns : limit_ns);
    } while (!atomic_compare_exchange_weak_explicit(at_ns, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Likewise if anything is left; else 0 is what was not had, and the rest of the wait in nanoseconds. */
static uint64_t bucket_try(atomic_uint_fast64_t *at_ns, uint64_t now_ns, uint64_t len_ns,
                           uint64_t fill_ns)
{
    uint64_t before = atomic_load_explicit(at_ns, memory_order_relaxed);
    uint64_t begin;
    do {
        begin = bucket_later(before, now_ns);
        if (begin - now_ns >= fill_ns) {
            return begin - now_ns - fill_ns + 1;
        }
    } while (!atomic_compare_exchange_weak_explicit(at_ns, &before, begin + len_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

/* ---- Processor time ---- */

void sg_quota_charge_more(struct sg_quota_account *account, uint64_t cost_us, uint64_t now_us)
{
    const struct sg_quota *quota = account->quota;
    uint64_t now_ns = now_us * QUOTA_NS_PER_US;
    atomic_fetch_add_explicit(&account->cpu_used_us, cost_us, memory_order_relaxed);
    if (quota->stretch_ns != 0) {
        /* A debt ends: never is more owed than is saved up at most. */
        bucket_take(&account->full_at_ns, now_ns, cost_us * quota->stretch_ns,
                    now_ns + 2 * quota->fill_ns);
    }
}

void sg_quota_note_refusal(struct sg_quota_account *account, uint64_t now_us)
{
    uint64_t now_ns = now_us * QUOTA_NS_PER_US;
    sg_quota_charge_more(account, SG_QUOTA_REFUSAL_US, now_us);
    bucket_take(&account->calm_at_ns, now_ns, (uint64_t)SG_QUOTA_REFUSAL_US * QUOTA_NAG_STRETCH_NS,
                now_ns + 2ull * QUOTA_NAG_BURST_US * QUOTA_NAG_STRETCH_NS);
}

bool sg_quota_charge(struct sg_quota_account *account, uint64_t cost_us, uint64_t now_us,
                     uint32_t *retry_after_ms)
{
    const struct sg_quota *quota = account->quota;
    uint64_t wait_ns = quota->stretch_ns == 0
                           ? 0
                           : bucket_try(&account->full_at_ns, now_us * QUOTA_NS_PER_US,
                                        cost_us * quota->stretch_ns, quota->fill_ns);
    if (wait_ns == 0) {
        atomic_fetch_add_explicit(&account->cpu_used_us, cost_us, memory_order_relaxed);
        return true;
    }
    atomic_fetch_add_explicit(&account->num_refused, 1, memory_order_relaxed);
    sg_quota_note_refusal(account, now_us);
    const uint64_t ns_per_ms = (uint64_t)QUOTA_US_PER_MS * QUOTA_NS_PER_US;
    *retry_after_ms = (uint32_t)((wait_ns + ns_per_ms - 1) / ns_per_ms);
    return false;
}

uint64_t sg_quota_read_again_at_us(const struct sg_quota_account *account)
{
    const uint64_t burst_ns = (uint64_t)QUOTA_NAG_BURST_US * QUOTA_NAG_STRETCH_NS;
    uint64_t calm_at_ns = atomic_load_explicit(&account->calm_at_ns, memory_order_relaxed);
    return calm_at_ns > burst_ns ? (calm_at_ns - burst_ns) / QUOTA_NS_PER_US : 0;
}

/* Half a bucket behind. */
static bool account_is_overdrawn(const struct sg_quota_account *account, uint64_t now_us)
{
    const struct sg_quota *quota = account->quota;
    uint64_t full_at_ns = atomic_load_explicit(&account->full_at_ns, memory_order_relaxed);
    return quota->stretch_ns != 0 &&
           full_at_ns > now_us * QUOTA_NS_PER_US + quota->fill_ns + quota->fill_ns / 2;
}

/* ---- Accounts; all with the mutex held ---- */

static struct sg_quota_account **quota_bucket(struct sg_quota *quota, uid_t uid)
{
    return &quota->buckets[uid % QUOTA_NUM_BUCKETS];
}

static void quota_add_idle(struct sg_quota *quota, struct sg_quota_account *account)
{
    account->idle_prev = quota->idle_last;
    account->idle_next = NULL;
    if (quota->idle_last != NULL) {
        quota->idle_last->idle_next = account;
    } else {
        quota->idle_first = account;
    }
    quota->idle_last = account;
}

static void quota_remove_idle(struct sg_quota *quota, struct sg_quota_account *account)
{
    if (account->idle_prev != NULL) {
        account->idle_prev->idle_next = account->idle_next;
    } else {
        quota->idle_first = account->idle_next;
    }
    if (account->idle_next != NULL) {
        account->idle_next->idle_prev = account->idle_prev;
    } else {
        quota->idle_last = account->idle_prev;
    }
}

/* Takes the account that was left longest ago from its uid. */
static struct sg_quota_account *quota_reuse(struct sg_quota *quota)
{
    struct sg_quota_account *account = quota->idle_first;
    if (account == NULL) {
        return NULL;
    }
    struct sg_quota_account **link = quota_bucket(quota, account->uid);
    while (*link != account) {
        link = &(*link)->next;
    }
    *link = account->next;
    quota_remove_idle(quota, account);
    atomic_store_explicit(&account->full_at_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&account->calm_at_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&account->cpu_used_us, 0, memory_order_relaxed);
    atomic_store_explicit(&account->num_refused, 0, memory_order_relaxed);
    atomic_store_explicit(&account->num_refused_connections, 0, memory_order_relaxed);
    return account;
}

/* NULL: it has none. */
static struct sg_quota_account *quota_find(struct sg_quota *quota, uid_t uid)
{
    struct sg_quota_account *account = *quota_bucket(quota, uid);
    while (account != NULL && account->uid != uid) {
        account = account->next;
    }
    return account;
}

/* The account of a uid, a new one if it has none; among the idle unless it has connections. */
static struct sg_quota_account *quota_open(struct sg_quota *quota, uid_t uid)
{
    struct sg_quota_account **bucket = quota_bucket(quota, uid);
    struct sg_quota_account *account = quota_find(quota, uid);
    if (account != NULL) {
        return account;
    }
    if (quota->num_accounts < quota->max_accounts) {
        account = calloc(1, sizeof(*account));
        quota->num_accounts += account != NULL ? 1 : 0;
    }
    account = account != NULL ? account : quota_reuse(quota);
    if (account != NULL) {
        account->quota = quota;
        account->uid = uid;
        account->next = *bucket;
        *bucket = account;
        quota_add_idle(quota, account);
    }
    return account;
}

/* Whether one more is within the bound of one and that of all, and leaves room for others. */
static bool quota_has_room(uint32_t mine, uint32_t max_mine, uint32_t all, uint32_t max_all)
{
    return mine < max_mine && all < max_all && mine <= max_all - all;
}

/* ---- Connections ---- */

static enum sg_quota_entry quota_admit(struct sg_quota *quota, struct sg_quota_account *account,
                                       uint64_t now_us)
{
    if (account_is_overdrawn(account, now_us)) {
        return SG_QUOTA_OVERDRAWN;
    }
    if (!quota_has_room(account->num_connections, quota->max_per_uid, quota->num_connections,
                        quota->max_connections)) {
        return SG_QUOTA_TOO_MANY;
    }
    if (account->num_connections++ == 0) {
        quota_remove_idle(quota, account);
    }
    quota->num_connections++;
    return SG_QUOTA_MAY;
}

enum sg_quota_entry sg_quota_join(struct sg_quota *quota, uid_t uid, uint64_t now_us,
                                  struct sg_quota_account **out)
{
    enum sg_quota_entry entry = SG_QUOTA_TOO_MANY;
    (void)pthread_mutex_lock(&quota->mutex);
    struct sg_quota_account *account = quota_open(quota, uid);
    if (account != NULL) {
        sg_quota_charge_more(account, SG_QUOTA_ACCEPT_US, now_us);
        entry = quota_admit(quota, account, now_us);
        if (entry == SG_QUOTA_MAY) {
            *out = account;
        } else {
            atomic_fetch_add_explicit(&account->num_refused_connections, 1, memory_order_relaxed);
        }
    }
    (void)pthread_mutex_unlock(&quota->mutex);
    return entry;
}

bool sg_quota_turns_away(struct sg_quota *quota, uid_t uid, uint64_t now_us)
{
    (void)pthread_mutex_lock(&quota->mutex);
    struct sg_quota_account *account = quota_find(quota, uid);
    bool is_overdrawn = account != NULL && account_is_overdrawn(account, now_us);
    if (is_overdrawn) {
        sg_quota_charge_more(account, SG_QUOTA_ACCEPT_US, now_us);
        atomic_fetch_add_explicit(&account->num_refused_connections, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&quota->mutex);
    return is_overdrawn;
}

void sg_quota_leave(struct sg_quota *quota, struct sg_quota_account *account)
{
    (void)pthread_mutex_lock(&quota->mutex);
    quota->num_connections--;
    if (--account->num_connections == 0) {
        quota_add_idle(quota, account);
    }
    (void)pthread_mutex_unlock(&quota->mutex);
}

uid_t sg_quota_uid(const struct sg_quota_account *account)
{
    return account->uid;
}

/* ---- Requests in flight ---- */

bool sg_quota_enter(struct sg_quota_account *account)
{
    struct sg_quota *quota = account->quota;
    uint32_t all = atomic_fetch_add_explicit(&quota->num_in_flight, 1, memory_order_relaxed);
    uint32_t mine = atomic_fetch_add_explicit(&account->num_in_flight, 1, memory_order_relaxed);
    if (quota_has_room(mine, quota->max_in_flight_per_uid, all, quota->max_in_flight)) {
        return true;
    }
    sg_quota_exit(account);
    return false;
}

void sg_quota_exit(struct sg_quota_account *account)
{
    atomic_fetch_sub_explicit(&account->num_in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&account->quota->num_in_flight, 1, memory_order_relaxed);
}

/* ---- Queues and stats ---- */

struct sg_fair_flow *sg_quota_reading(struct sg_quota_account *account)
{
    return &account->reading;
}

struct sg_fair_flow *sg_quota_working(struct sg_quota_account *account)
{
    return &account->working;
}

static void account_read(const struct sg_quota_account *account, struct sg_quota_stats *stats)
{
    *stats = (struct sg_quota_stats){
        .uid = account->uid,
        .num_connections = account->num_connections,
        .num_in_flight = atomic_load_explicit(&account->num_in_flight, memory_order_relaxed),
        .cpu_used_us = atomic_load_explicit(&account->cpu_used_us, memory_order_relaxed),
        .num_refused = atomic_load_explicit(&account->num_refused, memory_order_relaxed),
        .num_refused_connections =
            atomic_load_explicit(&account->num_refused_connections, memory_order_relaxed),
    };
}

void sg_quota_visit(struct sg_quota *quota,
                    void (*visit)(void *context, const struct sg_quota_stats *stats), void *context)
{
    (void)pthread_mutex_lock(&quota->mutex);
    for (size_t i = 0; i < QUOTA_NUM_BUCKETS; i++) {
        for (const struct sg_quota_account *account = quota->buckets[i]; account != NULL;
             account = account->next) {
            struct sg_quota_stats stats;
            account_read(account, &stats);
            visit(context, &stats);
        }
    }
    (void)pthread_mutex_unlock(&quota->mutex);
}

/* ---- Life ---- */

unsigned sg_quota_default_cpus(void)
{
    cpu_set_t set;
    int num = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
    return num > 0 ? (unsigned)num : 1; /* more than a set holds: an estimate that is too low */
}

signet_status sg_quota_new(const struct sg_config_limits *limits, unsigned num_cpus,
                           struct sg_quota **out)
{
    struct sg_quota *quota = calloc(1, sizeof(*quota));
    if (quota == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    uint32_t burst_ms = limits->cpu_burst_ms > 0 ? limits->cpu_burst_ms : 1;
    quota->max_connections = limits->max_connections;
    quota->max_per_uid = limits->max_connections_per_uid;
    quota->max_in_flight = limits->max_in_flight;
    quota->max_in_flight_per_uid =
        limits->max_in_flight_per_uid > 0 ? limits->max_in_flight_per_uid : limits->max_in_flight;
    if (limits->cpu_per_uid_percent > 0) {
        quota->stretch_ns = QUOTA_NS_PER_US * QUOTA_PERCENT /
                            ((uint64_t)limits->cpu_per_uid_percent * (num_cpus > 0 ? num_cpus : 1));
        quota->stretch_ns += quota->stretch_ns == 0 ? 1 : 0;
        quota->fill_ns = (uint64_t)burst_ms * QUOTA_US_PER_MS * quota->stretch_ns;
    }
    quota->max_accounts = (size_t)limits->max_connections + QUOTA_NUM_REMEMBERED;
    /* With default attributes it cannot fail on Linux. */
    (void)pthread_mutex_init(&quota->mutex, NULL);
    *out = quota;
    return SIGNET_OK;
}

void sg_quota_set_max_connections(struct sg_quota *quota, uint32_t max_connections)
{
    (void)pthread_mutex_lock(&quota->mutex);
    quota->max_connections = max_connections;
    (void)pthread_mutex_unlock(&quota->mutex);
}

void sg_quota_free(struct sg_quota *quota)
{
    if (quota == NULL) {
        return;
    }
    for (size_t i = 0; i < QUOTA_NUM_BUCKETS; i++) {
        while (quota->buckets[i] != NULL) {
            struct sg_quota_account *account = quota->buckets[i];
            quota->buckets[i] = account->next;
            free(account);
        }
    }
    (void)pthread_mutex_destroy(&quota->mutex);
    free(quota);
}
