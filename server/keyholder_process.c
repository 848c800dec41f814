/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of the keyholder's process as the daemon sees it, and calls: each takes a channel for itself. What the
 * process answers is checked, and an answer that is not one ends it.
 */
#include "server/keyholder_process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/keyholder/packet.h"
#include "server/keyholder_start.h"

/* Waits are in steps, after each of which is looked whether there still is what to wait for. Steps in which
 * the daemon itself was stopped do not count. After the first, an answer is late. */
#define PROCESS_STEP_MS 20
/* One that lived so long is started again at once; others after a while that doubles. */
#define PROCESS_LIVED_MS     250u
#define PROCESS_MIN_DELAY_MS 20u
#define PROCESS_MAX_DELAY_MS 2000u
/* A process that leaves an operation without an answer for longer is stopped, or worse, and taken for dead:
 * what serves many at once; a signature with RSA, of which others may be before it; what makes keys or
 * writes to the disk; and anything while the daemon stops. */
#define PROCESS_QUICK_MS   2000
#define PROCESS_SIGN_MS    10000
#define PROCESS_SLOW_MS    60000
#define PROCESS_HURRIED_MS 1000
#define PROCESS_NO_BOUND   0
#define PROCESS_MAX_POOL   112u

enum process_phase {
    PROCESS_DOWN = 1, /* no process; whoever needs one is told so */
    PROCESS_STARTING, /* likewise; descriptors are the starting thread's */
    PROCESS_LOADING,  /* its keys are being loaded: no signing, no checking */
    PROCESS_UP,
    PROCESS_ENDING
};

/* A channel for one call at a time. */
struct process_channel {
    int fd; /* -1: closed */
    bool is_taken;
    uint8_t *packet; /* SG_PACKET_MAX */
};

struct process {
    struct sg_keyholder base;
    struct sg_keyholder_process_options options;
    char *dir, *source, *socket; /* what options point to */

    pthread_mutex_t mutex;
    pthread_cond_t changed;  /* on CLOCK_MONOTONIC: the phase */
    pthread_cond_t returned; /* a channel */
    /* Guarded by mutex. */
    enum process_phase phase;
    int control_fd;
    struct process_channel pool[PROCESS_MAX_POOL]; /* those for what takes long come last */
    size_t num_pool, num_slow;
    unsigned num_waiting; /* for a channel */
    uint32_t epoch;
    uint64_t up_since_ms;
    bool is_hurried; /* the daemon stops */
    struct sg_keyholder_state state;

    int wake_fd; /* an eventfd: the watcher is to look */
    bool is_watched;
    pthread_t watcher;
    bool (*revive)(void *context);
    void *context;
};

static struct process *process_self(struct sg_keyholder *keyholder)
{
    return (struct process *)(void *)keyholder;
}

static void process_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* ---- The end of a process ---- */

/* Mutex held. Wakes whoever waits for an answer; the process, if there still is one, ends for it. */
static void process_drop(struct process *process)
{
    process->phase =
        process->is_hurried || process->phase == PROCESS_ENDING ? PROCESS_ENDING : PROCESS_DOWN;
    process->state.is_up = false;
    process->state.pid = 0;
    for (size_t i = 0; i < process->num_pool; i++) {
        if (process->pool[i].fd >= 0) {
            (void)shutdown(process->pool[i].fd, SHUT_RDWR);
        }
    }
    if (process->control_fd >= 0) {
        (void)shutdown(process->control_fd, SHUT_RDWR); /* wakes the watcher */
    }
    (void)pthread_cond_broadcast(&process->changed);
    (void)pthread_cond_broadcast(&process->returned);
}

/* Until a channel is given back. Mutex held. */
static void process_wait_returned(struct process *process)
{
    process->num_waiting++;
    (void)pthread_cond_wait(&process->returned, &process->mutex);
    process->num_waiting--;
}

/* Waits until nobody uses the channels of the process that has ended, and closes them. Mutex held. */
static void process_clear(struct process *process)
{
    for (size_t i = 0; i < process->num_pool; i++) {
        while (process->pool[i].is_taken) {
            process_wait_returned(process);
        }
        process_close(&process->pool[i].fd);
    }
    process_close(&process->control_fd);
}

/* ---- Calls ---- */

static bool process_is_for_loaded_keys(const struct sg_keyholder_request *requests, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (requests[i].op == SG_KEYHOLDER_SIGN || requests[i].op == SG_KEYHOLDER_MAC_CHECK) {
            return true;
        }
    }
    return false;
}

static bool process_makes_keys(const struct sg_keyholder_request *requests, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (requests[i].op == SG_KEYHOLDER_GENERATE || requests[i].op == SG_KEYHOLDER_IMPORT ||
            requests[i].op == SG_KEYHOLDER_IMPORT_SEALED) {
            return true;
        }
    }
    return false;
}

/* Whether calls are worth a channel whose thread leaves the processor to others: what uses loaded keys outside a
 * common crossing, which is a worker's, and what makes keys. */
static bool process_takes_long(const struct sg_keyholder_request *requests, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (requests[i].op == SG_KEYHOLDER_GENERATE) {
            return true;
        }
    }
    return process_is_for_loaded_keys(requests, num);
}

/* An idle channel, or NULL if there is no process to talk to. Waits for another call to end if all are
 * taken. */
static struct process_channel *process_take(struct process *process, bool needs_keys, bool is_slow)
{
    struct process_channel *taken = NULL;
    const size_t num_quick = process->num_pool - process->num_slow;
    (void)pthread_mutex_lock(&process->mutex);
    /* While keys are loaded there is nothing quick that would wait. */
    is_slow = is_slow && process->num_slow > 0 && process->phase == PROCESS_UP;
    const size_t first = is_slow ? num_quick : 0;
    const size_t end = is_slow ? process->num_pool : num_quick;
    while (taken == NULL &&
           (process->phase == PROCESS_UP || (process->phase == PROCESS_LOADING && !needs_keys))) {
        for (size_t i = first; taken == NULL && i < end; i++) {
            if (!process->pool[i].is_taken) {
                taken = &process->pool[i];
                taken->is_taken = true;
            }
        }
        if (taken == NULL) {
            process_wait_returned(process);
        }
    }
    (void)pthread_mutex_unlock(&process->mutex);
    return taken;
}

static void process_give_back(struct process *process, struct process_channel *channel, bool is_fit)
{
    (void)pthread_mutex_lock(&process->mutex);
    channel->is_taken = false;
    if (!is_fit && (process->phase == PROCESS_UP || process->phase == PROCESS_LOADING)) {
        process_drop(process);
    }
    if (process->num_waiting > 0) {
        (void)pthread_cond_broadcast(&process->returned);
    }
    (void)pthread_mutex_unlock(&process->mutex);
}

/* Whether an answer that has not come in waited_ms is still to be waited for. */
static bool process_may_wait(struct process *process, int waited_ms, int bound_ms)
{
    (void)pthread_mutex_lock(&process->mutex);
    bool lives = process->phase == PROCESS_UP || process->phase == PROCESS_LOADING;
    bool is_hurried = process->is_hurried;
    (void)pthread_mutex_unlock(&process->mutex);
    if (is_hurried && waited_ms >= PROCESS_HURRIED_MS) {
        return false;
    }
    return lives && (bound_ms == PROCESS_NO_BOUND || waited_ms < bound_ms);
}

/* The packet in the channel's memory goes out and the answer comes in. Returns its length, or 0. */
static size_t process_exchange(struct process *process, const struct process_channel *channel,
                               size_t len, int bound_ms, const struct sg_keyholder_delay *delay)
{
    ssize_t done;
    do {
        done = send(channel->fd, channel->packet, len, MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    if (done < 0 || (size_t)done != len) {
        return 0;
    }
    int waited_ms = 0;
    bool is_late = false;
    bool is_interrupted = false;
    do {
        done = recv(channel->fd, channel->packet, SG_PACKET_MAX, MSG_TRUNC);
        is_late = done < 0 && errno == EAGAIN;
        if (is_late && waited_ms == 0 && delay != NULL) {
            delay->note(delay->context);
        }
        waited_ms += is_late ? PROCESS_STEP_MS : 0;
        is_interrupted = done < 0 && !is_late && errno == EINTR;
    } while (is_interrupted || (is_late && process_may_wait(process, waited_ms, bound_ms)));
    return done > 0 ? (size_t)done : 0;
}

/* How far a run through several crossings has come. */
struct process_run {
    struct sg_keyholder_crossing *const *crossings;
    size_t num;
    size_t at;        /* the crossing */
    size_t operation; /* of it */
    int bound_ms;
    const struct sg_keyholder_delay *delay; /* may be NULL */
};

/* As many operations as one packet holds, there and back. False if the channel is of no more use. */
static bool process_run_packet(struct process *process, const struct process_channel *channel,
                               struct process_run *run)
{
    struct sg_keyholder_reply *parts[SG_PACKET_MAX_OPERATIONS];
    struct sg_packet_writer writer;
    size_t first = run->at;
    size_t num = 0;
    sg_packet_begin(&writer, channel->packet);
    while (run->at < run->num) {
        const struct sg_keyholder_crossing *crossing = run->crossings[run->at];
        if (!sg_packet_add(&writer, &crossing->requests[run->operation], crossing->bytes)) {
            break;
        }
        parts[num++] = &crossing->replies[run->operation++];
        if (run->operation == crossing->num) {
            run->operation = 0;
            run->at++;
        }
    }
    size_t len =
        process_exchange(process, channel, sg_packet_end(&writer), run->bound_ms, run->delay);
    if (len == 0 || !sg_packet_read_replies(channel->packet, len, num, parts)) {
        return false;
    }
    for (size_t i = first; i < run->at; i++) {
        run->crossings[i]->status = SIGNET_OK;
    }
    return true;
}

static void process_do(struct process *process, struct sg_keyholder_crossing *const *crossings,
                       size_t num, bool needs_keys, bool is_slow, int bound_ms,
                       const struct sg_keyholder_delay *delay)
{
    bool can_all = true;
    for (size_t i = 0; i < num; i++) {
        const struct sg_keyholder_crossing *crossing = crossings[i];
        can_all =
            can_all && sg_packet_can_carry(crossing->requests, crossing->num, crossing->bytes_len);
    }
    for (size_t i = 0; i < num; i++) {
        crossings[i]->status = can_all ? SIGNET_UNAVAILABLE : SIGNET_INVALID_ARGUMENT;
    }
    struct process_channel *channel = can_all ? process_take(process, needs_keys, is_slow) : NULL;
    if (channel == NULL) {
        return;
    }
    struct process_run run = {
        .crossings = crossings, .num = num, .bound_ms = bound_ms, .delay = delay};
    bool is_good = true;
    while (is_good && run.at < num) {
        is_good = process_run_packet(process, channel, &run);
    }
    process_give_back(process, channel, is_good);
}

static void process_cross(struct sg_keyholder *keyholder,
                          struct sg_keyholder_crossing *const *crossings, size_t num,
                          const struct sg_keyholder_delay *delay)
{
    process_do(process_self(keyholder), crossings, num, true, false, PROCESS_QUICK_MS, delay);
}

static signet_status process_call(struct sg_keyholder *keyholder,
                                  const struct sg_keyholder_request *requests, size_t num,
                                  const uint8_t *bytes, size_t bytes_len,
                                  struct sg_keyholder_reply *replies)
{
    struct sg_keyholder_crossing crossing = {.requests = requests,
                                             .num = num,
                                             .bytes = bytes,
                                             .bytes_len = bytes_len,
                                             .replies = replies};
    struct sg_keyholder_crossing *const crossings[] = {&crossing};
    process_do(process_self(keyholder), crossings, 1, process_is_for_loaded_keys(requests, num),
               process_takes_long(requests, num),
               process_makes_keys(requests, num) ? PROCESS_SLOW_MS : PROCESS_SIGN_MS, NULL);
    return crossing.status;
}

/* A rekey takes as long as there are keys; and at the start, somebody may have to type a passphrase. */
static int process_keystore_bound(struct process *process, uint32_t op)
{
    (void)pthread_mutex_lock(&process->mutex);
    bool is_first = process->epoch == 1;
    (void)pthread_mutex_unlock(&process->mutex);
    if (op == SG_KEYSTORE_REKEY || (op == SG_KEYSTORE_OPEN && is_first)) {
        return PROCESS_NO_BOUND;
    }
    bool reads_one = op == SG_KEYSTORE_READ || op == SG_KEYSTORE_LOAD || op == SG_KEYSTORE_INFO;
    return reads_one ? PROCESS_SIGN_MS : PROCESS_SLOW_MS;
}

static signet_status process_keystore(struct sg_keyholder *keyholder,
                                      const struct sg_keystore_request *request,
                                      struct sg_keystore_reply *reply)
{
    struct process *process = process_self(keyholder);
    struct process_channel *channel = process_take(process, false, false);
    if (channel == NULL) {
        return SIGNET_UNAVAILABLE;
    }
    const struct sg_packet_head head = {.kind = SG_PACKET_KEYSTORE, .num = 1};
    memcpy(channel->packet, &head, sizeof(head));
    memcpy(channel->packet + sizeof(head), request, sizeof(*request));
    size_t len = process_exchange(process, channel, sizeof(head) + sizeof(*request),
                                  process_keystore_bound(process, request->op), NULL);
    bool is_good = len > 0 && sg_packet_read_keystore_reply(channel->packet, len, reply);
    process_give_back(process, channel, is_good);
    return is_good ? SIGNET_OK : SIGNET_UNAVAILABLE;
}

static const struct sg_keyholder_ops process_ops = {
    .call = process_call,
    .keystore = process_keystore,
    .cross = process_cross,
};

/* ---- The beginning of a process ---- */

static bool process_is_wanted(void *context)
{
    struct process *process = context;
    (void)pthread_mutex_lock(&process->mutex);
    bool is_wanted = !process->is_hurried;
    (void)pthread_mutex_unlock(&process->mutex);
    return is_wanted;
}

/* Phase STARTING, mutex not held. */
static signet_status process_bring_up(struct process *process, struct sg_keyholder_state *state,
                                      char *error, size_t error_cap)
{
    int fds[PROCESS_MAX_POOL];
    const struct sg_keyholder_start start = {
        .options = &process->options,
        .epoch = process->epoch,
        .num_channels = process->num_pool,
        .num_slow_channels = process->num_slow,
        .receive_step_ms = PROCESS_STEP_MS,
        .is_wanted = process_is_wanted,
        .context = process,
    };
    for (size_t i = 0; i < process->num_pool; i++) {
        fds[i] = -1;
    }
    signet_status status =
        sg_keyholder_start_one(&start, &process->control_fd, fds, state, error, error_cap);
    for (size_t i = 0; i < process->num_pool; i++) {
        process->pool[i].fd = fds[i];
    }
    return status;
}

/* From DOWN to LOADING, or back. */
static signet_status process_begin(struct process *process, char *error, size_t error_cap)
{
    (void)pthread_mutex_lock(&process->mutex);
    if (process->phase != PROCESS_DOWN) {
        (void)pthread_mutex_unlock(&process->mutex);
        (void)snprintf(error, error_cap, "the daemon stops");
        return SIGNET_UNAVAILABLE;
    }
    process_clear(process);
    process->phase = PROCESS_STARTING;
    struct sg_keyholder_state state = process->state;
    process->epoch++;
    (void)pthread_mutex_unlock(&process->mutex);
    /* The mutex is not held for as long as this takes: others are to be told that there is none. */
    signet_status status = process_bring_up(process, &state, error, error_cap);
    (void)pthread_mutex_lock(&process->mutex);
    if (status == SIGNET_OK && !process->is_hurried) {
        process->state = state;
        process->phase = PROCESS_LOADING;
    } else {
        if (status == SIGNET_OK) {
            (void)snprintf(error, error_cap, "the daemon stops");
            status = SIGNET_UNAVAILABLE;
        }
        process_drop(process);
    }
    (void)pthread_cond_broadcast(&process->changed);
    (void)pthread_mutex_unlock(&process->mutex);
    return status;
}

signet_status sg_keyholder_process_again(struct sg_keyholder *keyholder, char *error,
                                         size_t error_cap)
{
    struct process *process = process_self(keyholder);
    signet_status status = process_begin(process, error, error_cap);
    if (status == SIGNET_OK) {
        (void)pthread_mutex_lock(&process->mutex);
        process->state.num_restarts++;
        (void)pthread_mutex_unlock(&process->mutex);
    }
    return status;
}

bool sg_keyholder_process_ready(struct sg_keyholder *keyholder)
{
    struct process *process = process_self(keyholder);
    (void)pthread_mutex_lock(&process->mutex);
    if (process->phase == PROCESS_LOADING) {
        process->phase = PROCESS_UP;
        process->up_since_ms = sg_clock_mono_ms();
        process->state.is_up = true;
    }
    bool is_up = process->phase == PROCESS_UP;
    (void)pthread_mutex_unlock(&process->mutex);
    return is_up;
}

void sg_keyholder_process_read(struct sg_keyholder *keyholder, struct sg_keyholder_state *state)
{
    struct process *process = process_self(keyholder);
    (void)pthread_mutex_lock(&process->mutex);
    *state = process->state;
    (void)pthread_mutex_unlock(&process->mutex);
}

/* ---- The watcher ---- */

/* Waits until the phase is no longer what it was, or the time is over. Mutex held. */
static void process_wait(struct process *process, enum process_phase phase, uint64_t timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000u);
    until.tv_nsec += (long)(timeout_ms % 1000u) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (process->phase == phase &&
           pthread_cond_timedwait(&process->changed, &process->mutex, &until) == 0) {
    }
}

/* Waits for the end of the process, or for something else to look at. Mutex held before and after. */
static void process_watch_over(struct process *process)
{
    struct pollfd asks[] = {{.fd = process->control_fd, .events = POLLIN | POLLRDHUP},
                            {.fd = process->wake_fd, .events = POLLIN}};
    (void)pthread_mutex_unlock(&process->mutex);
    int num = poll(asks, 2, -1);
    (void)pthread_mutex_lock(&process->mutex);
    bool has_ended = num > 0 && asks[0].revents != 0; /* it has nothing to say there */
    if (has_ended && (process->phase == PROCESS_UP || process->phase == PROCESS_LOADING)) {
        process_drop(process);
    }
}

static uint64_t process_next_delay(const struct process *process, uint64_t delay_ms)
{
    bool lived =
        process->up_since_ms != 0 && sg_clock_mono_ms() - process->up_since_ms >= PROCESS_LIVED_MS;
    if (lived) {
        return 0;
    }
    delay_ms = delay_ms == 0 ? PROCESS_MIN_DELAY_MS : 2 * delay_ms;
    return delay_ms < PROCESS_MAX_DELAY_MS ? delay_ms : PROCESS_MAX_DELAY_MS;
}

static void *process_watch(void *arg)
{
    struct process *process = arg;
    uint64_t delay_ms = 0;
    (void)pthread_mutex_lock(&process->mutex);
    while (process->phase != PROCESS_ENDING && !process->is_hurried) {
        if (process->phase != PROCESS_DOWN) {
            process_watch_over(process);
            continue;
        }
        delay_ms = process_next_delay(process, delay_ms);
        process->up_since_ms = 0;
        if (delay_ms > 0) {
            process_wait(process, PROCESS_DOWN, delay_ms);
        }
        if (process->phase == PROCESS_DOWN) {
            (void)pthread_mutex_unlock(&process->mutex);
            bool is_ready = process->revive(process->context);
            (void)pthread_mutex_lock(&process->mutex);
            if (!is_ready && process->phase == PROCESS_LOADING) {
                process_drop(process); /* keys that cannot be loaded: from the beginning */
            }
        }
    }
    (void)pthread_mutex_unlock(&process->mutex);
    return NULL;
}

signet_status sg_keyholder_process_watch(struct sg_keyholder *keyholder,
                                         bool (*revive)(void *context), void *context)
{
    struct process *process = process_self(keyholder);
    process->revive = revive;
    process->context = context;
    process->is_watched = pthread_create(&process->watcher, NULL, process_watch, process) == 0;
    return process->is_watched ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

void sg_keyholder_process_hurry(struct sg_keyholder *keyholder)
{
    const uint64_t one = 1;
    struct process *process = process_self(keyholder);
    if (process == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&process->mutex);
    process->is_hurried = true;
    if (process->phase == PROCESS_DOWN || process->phase == PROCESS_LOADING) {
        process_drop(process); /* it serves nobody yet */
    }
    (void)pthread_cond_broadcast(&process->changed);
    (void)pthread_mutex_unlock(&process->mutex);
    if (process->is_watched && write(process->wake_fd, &one, sizeof(one)) == sizeof(one)) {
        (void)pthread_join(process->watcher, NULL);
        process->is_watched = false;
    }
}

/* ---- Life ---- */

static bool process_copy(const char *text, char **out)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

static bool process_init(struct process *process,
                         const struct sg_keyholder_process_options *options)
{
    pthread_condattr_t attributes;
    process->base.ops = &process_ops;
    process->options = *options;
    process->phase = PROCESS_DOWN;
    process->control_fd = -1;
    process->wake_fd = eventfd(0, EFD_CLOEXEC);
    /* None of these can fail on Linux with such attributes. */
    (void)pthread_mutex_init(&process->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&process->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_cond_init(&process->returned, NULL);
    bool is_good = process->wake_fd >= 0 && options->num_callers >= 1 &&
                   options->num_callers <= PROCESS_MAX_POOL &&
                   options->num_slow_callers <= PROCESS_MAX_POOL - options->num_callers;
    process->num_pool = is_good ? options->num_callers + options->num_slow_callers : 0;
    process->num_slow = is_good ? options->num_slow_callers : 0;
    for (size_t i = 0; i < PROCESS_MAX_POOL; i++) {
        process->pool[i].fd = -1;
    }
    for (size_t i = 0; is_good && i < process->num_pool; i++) {
        process->pool[i].packet = malloc(SG_PACKET_MAX);
        is_good = process->pool[i].packet != NULL;
    }
    is_good = is_good && process_copy(options->dir, &process->dir) &&
              process_copy(options->source, &process->source) &&
              process_copy(options->socket, &process->socket);
    process->options.dir = process->dir;
    process->options.source = process->source;
    process->options.socket = process->socket;
    return is_good;
}

signet_status sg_keyholder_process_start(const struct sg_keyholder_process_options *options,
                                         struct sg_keyholder **out, char *error, size_t error_cap)
{
    struct process *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        (void)snprintf(error, error_cap, "no memory");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (process_init(process, options)) {
        status = process_begin(process, error, error_cap);
    } else {
        (void)snprintf(error, error_cap, "no memory for the keyholder's channels");
    }
    if (status != SIGNET_OK) {
        sg_keyholder_process_free(&process->base);
        return status;
    }
    *out = &process->base;
    return SIGNET_OK;
}

void sg_keyholder_process_free(struct sg_keyholder *keyholder)
{
    if (keyholder == NULL) {
        return;
    }
    struct process *process = process_self(keyholder);
    sg_keyholder_process_hurry(keyholder);
    (void)pthread_mutex_lock(&process->mutex);
    process_drop(process);
    process_clear(process);
    (void)pthread_mutex_unlock(&process->mutex);
    for (size_t i = 0; i < process->num_pool; i++) {
        free(process->pool[i].packet);
    }
    (void)pthread_cond_destroy(&process->changed);
    (void)pthread_cond_destroy(&process->returned);
    (void)pthread_mutex_destroy(&process->mutex);
    process_close(&process->wake_fd);
    free(process->dir);
    free(process->source);
    free(process->socket);
    free(process);
}
