/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's thread, and what other threads do meanwhile: places in the queue, budgets, and waiting. One
 * mutex guards what is put into the queue, the places and the budgets; it is never held while the disk is
 * waited for. The writer is the audit's thread's alone.
 */
#include "server/audit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/audit_budget.h"
#include "server/audit_queue.h"
#include "server/audit_writer.h"
#include "server/log.h"

#define AUDIT_TICK_MS   1000u
#define AUDIT_LINGER_MS 10u /* what comes meanwhile goes into one batch, and wakes nobody */
#define AUDIT_STOP_MS   2000u
#define AUDIT_SHARES    64u /* uids whose numbers fall together share one */
#define AUDIT_CHECK_MS  50u /* a clock that is passed in may go faster than ours */

enum audit_place {
    AUDIT_PLACE_NONE = 0,
    AUDIT_PLACE_HELD,
    AUDIT_PLACE_DROP /* the record will be counted only */
};

struct sg_audit {
    struct sg_audit_options options;
    struct sg_config_audit config; /* without dir, which is the writer's */
    struct sg_audit_writer *writer;
    struct sg_audit_queue *queue;
    size_t place_len; /* room that is kept for one place */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the audit's thread */
    pthread_cond_t room; /* for those who wait for a place, or for a flush */
    /* Guarded by mutex. */
    bool is_idle, is_lingering; /* what the audit's thread waits for */
    bool is_stopping, is_flushing;
    uint64_t synced_number;
    uint64_t num_written;
    size_t shares[AUDIT_SHARES]; /* places that are held */
    struct sg_audit_budget budget;
    /* Written under mutex; read by any thread. */
    atomic_size_t num_places;
    _Atomic uint64_t last_seq, head_seq;
    atomic_bool is_stuck;
};

static void audit_lock(struct sg_audit *audit)
{
    (void)pthread_mutex_lock(&audit->mutex);
}

static void audit_unlock(struct sg_audit *audit)
{
    (void)pthread_mutex_unlock(&audit->mutex);
}

/* Waits under the mutex for at most wait_ms. */
static void audit_wait(struct sg_audit *audit, pthread_cond_t *cond, uint64_t wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000u);
    until.tv_nsec += (long)(wait_ms % 1000u) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_cond_timedwait(cond, &audit->mutex, &until);
}

/* ---- Putting ---- */

/* Wakes the audit's thread if it sleeps, or gathers while the queue fills up. Under the mutex. */
static void audit_wake(struct sg_audit *audit)
{
    bool is_filling = sg_audit_queue_room(audit->queue) < sg_audit_queue_size(audit->queue) / 2;
    if (audit->is_idle || (audit->is_lingering && is_filling)) {
        audit->is_idle = false;
        audit->is_lingering = false;
        (void)pthread_cond_signal(&audit->work);
    }
}

static bool audit_put(struct sg_audit *audit, const char *body, size_t len)
{
    if (!sg_audit_queue_put(audit->queue, body, len)) {
        return false;
    }
    audit->num_written++;
    audit_wake(audit);
    return true;
}

/* Room that no place is kept of. */
static size_t audit_free_room(const struct sg_audit *audit)
{
    size_t room = sg_audit_queue_room(audit->queue);
    size_t kept = atomic_load_explicit(&audit->num_places, memory_order_relaxed) * audit->place_len;
    return room > kept ? room - kept : 0;
}

/* A quarter of the queue is for records that must be. */
static bool audit_has_room_for_note(const struct sg_audit *audit, size_t len)
{
    size_t spare = sg_audit_queue_size(audit->queue) / 4;
    return audit_free_room(audit) >= spare + sg_audit_queue_need(len);
}

static size_t audit_make(const struct sg_audit *audit, const struct sg_audit_event *event,
                         char out[SG_AUDIT_MAX_BODY])
{
    struct sg_audit_event timed = *event;
    if (timed.time_ms == 0) {
        timed.time_ms = audit->options.read_wall_ms();
    }
    return sg_audit_record_write(&timed, out);
}

/* ---- What the audit says of itself; by its thread, under the mutex ---- */

static void audit_tell_suppressed(struct sg_audit *audit, struct sg_audit_budget_entry *entry)
{
    char body[1024];
    struct sg_audit_text text =
        sg_audit_text_begin(body, sizeof(body), audit->options.read_wall_ms(), "suppressed");
    if (entry != &audit->budget.others && sg_audit_text_open(&text, "peer")) {
        sg_audit_text_number(&text, "uid", (int64_t)entry->uid);
        sg_audit_text_shut(&text);
    }
    sg_audit_text_number(&text, "count", (int64_t)entry->num);
    if (sg_audit_text_open(&text, "reasons")) {
        for (size_t i = 0; i < entry->num_reasons; i++) {
            sg_audit_text_number(&text, entry->reasons[i].reason, (int64_t)entry->reasons[i].num);
        }
        sg_audit_text_shut(&text);
    }
    size_t len = sg_audit_text_end(&text);
    if (audit_has_room_for_note(audit, len) && audit_put(audit, body, len)) {
        sg_audit_budget_told(entry);
    }
}

static void audit_tell_dropped(struct sg_audit *audit)
{
    char body[256];
    uint64_t dropped = sg_audit_queue_dropped(audit->queue);
    uint64_t told = sg_audit_queue_told(audit->queue);
    if (dropped == told) {
        return;
    }
    struct sg_audit_text text =
        sg_audit_text_begin(body, sizeof(body), audit->options.read_wall_ms(), "dropped");
    sg_audit_text_number(&text, "count", (int64_t)(dropped - told));
    sg_audit_text_number(&text, "total", (int64_t)dropped);
    size_t len = sg_audit_text_end(&text);
    if (sg_audit_queue_need(len) <= audit_free_room(audit) && audit_put(audit, body, len)) {
        sg_audit_queue_tell(audit->queue, dropped);
    }
}

static void audit_tell(struct sg_audit *audit)
{
    size_t index = 0;
    struct sg_audit_budget_entry *entry = NULL;
    audit_tell_dropped(audit);
    while ((entry = sg_audit_budget_next(&audit->budget, &index)) != NULL) {
        audit_tell_suppressed(audit, entry);
    }
}

/* ---- The thread ---- */

/* One step, and what others wait for of it. */
static struct sg_audit_done audit_step(struct sg_audit *audit, bool is_urgent)
{
    struct sg_audit_done done;
    sg_audit_writer_step(audit->writer, is_urgent, &done);
    atomic_store_explicit(&audit->last_seq, sg_audit_writer_seq(audit->writer),
                          memory_order_relaxed);
    atomic_store_explicit(&audit->head_seq, sg_audit_writer_head(audit->writer),
                          memory_order_relaxed);
    atomic_store_explicit(&audit->is_stuck, done.is_stuck, memory_order_relaxed);
    audit_lock(audit);
    audit->synced_number = sg_audit_writer_synced(audit->writer);
    if (done.has_taken || is_urgent) {
        (void)pthread_cond_broadcast(&audit->room);
    }
    audit_unlock(audit);
    return done;
}

/* Waits until something is to be done. True: the audit goes on; *is_urgent: somebody waits for the disk. */
static bool audit_rest(struct sg_audit *audit, const struct sg_audit_done *done,
                       uint64_t *ticked_ms, bool *is_urgent)
{
    uint64_t now = audit->options.read_mono_ms();
    audit_lock(audit);
    if (now - *ticked_ms >= AUDIT_TICK_MS) {
        *ticked_ms = now;
        audit_tell(audit);
    }
    if (done->is_stuck && !audit->is_stopping) {
        audit_wait(audit, &audit->work, SG_AUDIT_RETRY_MS);
    } else if (!done->has_more && !audit->is_stopping && !audit->is_flushing) {
        audit->is_lingering = true;
        audit_wait(audit, &audit->work, AUDIT_LINGER_MS);
        audit->is_lingering = false;
        if (sg_audit_queue_room(audit->queue) == sg_audit_queue_size(audit->queue) &&
            !audit->is_stopping && !audit->is_flushing) {
            audit->is_idle = true;
            audit_wait(audit, &audit->work, AUDIT_TICK_MS);
            audit->is_idle = false;
        }
    }
    *is_urgent = audit->is_flushing && !done->has_more;
    audit->is_flushing = audit->is_flushing && done->has_more && !done->is_stuck;
    bool goes_on = !audit->is_stopping;
    audit_unlock(audit);
    return goes_on;
}

static void *audit_main(void *arg)
{
    struct sg_audit *audit = arg;
    struct sg_audit_done done = {.has_more = true};
    bool is_urgent = false;
    uint64_t ticked_ms = audit->options.read_mono_ms();
    (void)pthread_setname_np(pthread_self(), "signetd-audit");
    while (audit_rest(audit, &done, &ticked_ms, &is_urgent)) {
        done = audit_step(audit, is_urgent);
    }
    return NULL;
}

/* ---- Start and end ---- */

static bool audit_start(struct sg_audit *audit)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    /* Signals are for the daemon's own threads; a file that may not grow is an error here, not a signal. */
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    audit->has_thread = pthread_create(&audit->thread, NULL, audit_main, audit) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return audit->has_thread;
}

static void audit_init_waiting(struct sg_audit *audit)
{
    pthread_condattr_t attr;
    /* None of these can fail on Linux with these arguments. */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&audit->work, &attr);
    (void)pthread_cond_init(&audit->room, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&audit->mutex, NULL);
}

/* Writes what can be written. until_ms: by which the disk must have taken it; 0: at the first refusal. */
static void audit_drain(struct sg_audit *audit, uint64_t until_ms)
{
    struct sg_audit_done done;
    do {
        done = audit_step(audit, true);
        if (done.is_stuck && until_ms != 0) {
            audit_lock(audit);
            audit_wait(audit, &audit->work, AUDIT_CHECK_MS);
            audit_unlock(audit);
        }
    } while (done.has_more || (done.is_stuck && audit->options.read_mono_ms() < until_ms));
}

signet_status sg_audit_new(const struct sg_audit_options *options, struct sg_audit **out,
                           char error[SG_AUDIT_MAX_ERROR])
{
    struct sg_audit *audit = calloc(1, sizeof(*audit));
    if (audit == NULL) {
        (void)snprintf(error, SG_AUDIT_MAX_ERROR, "no memory for the audit");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    audit->options = *options;
    audit->config = *options->config;
    audit->options.config = &audit->config;
    audit->place_len = sg_audit_queue_need(SG_AUDIT_MAX_BODY);
    sg_audit_budget_init(&audit->budget, SG_AUDIT_NOTE_BURST, SG_AUDIT_NOTE_PER_SECOND);
    audit_init_waiting(audit);
    signet_status status =
        sg_audit_writer_new(&audit->options, &audit->writer, &audit->queue, error);
    if (status == SIGNET_OK) {
        audit->config.dir = NULL;
        audit_drain(audit, 0);
        if (!audit_start(audit)) {
            (void)snprintf(error, SG_AUDIT_MAX_ERROR, "the audit's thread cannot be started");
            status = SIGNET_RESOURCE_EXHAUSTED;
        }
    }
    if (status != SIGNET_OK) {
        sg_audit_free(audit);
        return status;
    }
    *out = audit;
    return SIGNET_OK;
}

void sg_audit_free(struct sg_audit *audit)
{
    if (audit == NULL) {
        return;
    }
    if (audit->has_thread) {
        audit_lock(audit);
        audit->is_stopping = true;
        (void)pthread_cond_signal(&audit->work);
        audit_unlock(audit);
        (void)pthread_join(audit->thread, NULL);
        audit_lock(audit);
        audit_tell(audit);
        audit_unlock(audit);
        audit_drain(audit, audit->options.read_mono_ms() + AUDIT_STOP_MS);
    }
    sg_audit_writer_free(audit->writer);
    (void)pthread_cond_destroy(&audit->work);
    (void)pthread_cond_destroy(&audit->room);
    (void)pthread_mutex_destroy(&audit->mutex);
    free(audit);
}

/* ---- Places ---- */

/* Under the mutex. */
static bool audit_take_place(struct sg_audit *audit, struct sg_audit_place *place)
{
    if (audit_free_room(audit) / audit->place_len <= audit->shares[place->share]) {
        return false;
    }
    audit->shares[place->share]++;
    (void)atomic_fetch_add_explicit(&audit->num_places, 1, memory_order_relaxed);
    place->state = AUDIT_PLACE_HELD;
    return true;
}

static bool audit_wait_for_place(struct sg_audit *audit, struct sg_audit_place *place,
                                 uint64_t deadline_ms)
{
    bool is_taken = audit_take_place(audit, place);
    while (!is_taken) {
        uint64_t now = audit->options.read_mono_ms();
        if (now >= deadline_ms) {
            return false;
        }
        uint64_t left = deadline_ms - now;
        audit_wait(audit, &audit->room, left < AUDIT_CHECK_MS ? left : AUDIT_CHECK_MS);
        is_taken = audit_take_place(audit, place);
    }
    return true;
}

signet_status sg_audit_reserve(struct sg_audit *audit, struct sg_audit_place *place, uid_t uid,
                               uint64_t deadline_ms)
{
    place->state = AUDIT_PLACE_NONE;
    place->share = (unsigned char)(uid % AUDIT_SHARES);
    if (audit == NULL) {
        return SIGNET_OK;
    }
    bool may_wait = audit->config.on_full == SG_AUDIT_BLOCK;
    audit_lock(audit);
    bool is_taken = audit_wait_for_place(audit, place, may_wait ? deadline_ms : 0);
    audit_unlock(audit);
    if (!is_taken && audit->config.on_full == SG_AUDIT_DROP) {
        place->state = AUDIT_PLACE_DROP;
        return SIGNET_OK;
    }
    return is_taken ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

bool sg_audit_would_wait(const struct sg_audit *audit)
{
    return audit != NULL && audit->config.on_full == SG_AUDIT_BLOCK &&
           audit_free_room(audit) < SG_AUDIT_QUICK_PLACES * audit->place_len;
}

/* Gives a place up. Under the mutex. */
static void audit_give_place(struct sg_audit *audit, struct sg_audit_place *place)
{
    if (place->state == AUDIT_PLACE_HELD) {
        (void)atomic_fetch_sub_explicit(&audit->num_places, 1, memory_order_relaxed);
        audit->shares[place->share]--;
    }
    place->state = AUDIT_PLACE_NONE;
}

void sg_audit_write(struct sg_audit *audit, struct sg_audit_place *place,
                    const struct sg_audit_event *event)
{
    char body[SG_AUDIT_MAX_BODY];
    if (audit == NULL) {
        return;
    }
    bool is_counted_only = place->state == AUDIT_PLACE_DROP;
    size_t len = is_counted_only ? 0 : audit_make(audit, event, body);
    audit_lock(audit);
    audit_give_place(audit, place);
    /* A place has room by its definition. Without one, what is left is often enough: most records are short. */
    if (is_counted_only || sg_audit_queue_need(len) > audit_free_room(audit) ||
        !audit_put(audit, body, len)) {
        sg_audit_queue_drop(audit->queue, 1);
    }
    /* A record is mostly less than its place; not everybody who waits may take it. */
    (void)pthread_cond_broadcast(&audit->room);
    audit_unlock(audit);
}

void sg_audit_release(struct sg_audit *audit, struct sg_audit_place *place)
{
    if (audit != NULL && place->state != AUDIT_PLACE_NONE) {
        audit_lock(audit);
        audit_give_place(audit, place);
        (void)pthread_cond_broadcast(&audit->room);
        audit_unlock(audit);
    }
}

/* ---- Notes ---- */

void sg_audit_note(struct sg_audit *audit, const struct sg_audit_event *event)
{
    char body[SG_AUDIT_MAX_BODY];
    if (audit == NULL) {
        return;
    }
    uint64_t now = audit->options.read_mono_ms();
    audit_lock(audit);
    bool is_taken = event->peer == NULL ||
                    sg_audit_budget_take(&audit->budget, event->peer->uid, event->reason, now);
    audit_unlock(audit);
    if (!is_taken) {
        return; /* counted */
    }
    size_t len = audit_make(audit, event, body);
    audit_lock(audit);
    if (!audit_has_room_for_note(audit, len) || !audit_put(audit, body, len)) {
        sg_audit_queue_drop(audit->queue, 1);
    }
    audit_unlock(audit);
}

/* ---- For operators ---- */

void sg_audit_stats_get(struct sg_audit *audit, struct sg_audit_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (audit == NULL) {
        return;
    }
    audit_lock(audit);
    out->num_written = audit->num_written;
    out->num_suppressed = audit->budget.num_suppressed;
    out->num_waiting = sg_audit_queue_last(audit->queue) - audit->synced_number;
    audit_unlock(audit);
    out->num_dropped = sg_audit_queue_dropped(audit->queue);
    out->last_seq = atomic_load_explicit(&audit->last_seq, memory_order_relaxed);
    out->head_seq = atomic_load_explicit(&audit->head_seq, memory_order_relaxed);
    out->is_stuck = atomic_load_explicit(&audit->is_stuck, memory_order_relaxed);
}

bool sg_audit_flush(struct sg_audit *audit, uint64_t deadline_ms)
{
    if (audit == NULL) {
        return true;
    }
    audit_lock(audit);
    uint64_t number = sg_audit_queue_last(audit->queue);
    while (audit->synced_number < number && audit->options.read_mono_ms() < deadline_ms) {
        audit->is_flushing = true;
        (void)pthread_cond_signal(&audit->work);
        audit_wait(audit, &audit->room, AUDIT_CHECK_MS);
    }
    bool is_synced = audit->synced_number >= number;
    audit_unlock(audit);
    return is_synced;
}
