/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of the keyholder's process as the daemon sees it, and calls of one packet after the other. What is
 * gathered from many threads is in keyholder_gather.c. What the process answers is checked, and an
 * answer that is not one ends it.
 */
#include "server/keyholder_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/keyholder/packet.h"
#include "server/keyholder/passing.h"
#include "server/keyholder_gather.h"
#include "server/launcher.h"

/* A process that does not say what it is within this is none. Its start locks memory and makes keys. */
#define PROCESS_WELCOME_MS 10000
/* At the end, the next daemon should find the keystore free. */
#define PROCESS_GOODBYE_MS 2000
/* One that lived so long is started again at once; others after a while that doubles. */
#define PROCESS_LIVED_MS     250u
#define PROCESS_MIN_DELAY_MS 20u
#define PROCESS_MAX_DELAY_MS 2000u
/* Quick operations that take longer than this are not quick: the process is stopped, or worse. */
#define PROCESS_HUNG_MS 5000u
#define PROCESS_LOOK_MS 1000u
/* The same for all operations while the daemon stops. */
#define PROCESS_HURRIED_HUNG_MS 1000u
#define PROCESS_HURRIED_LOOK_MS 100u
#define PROCESS_MAX_POOL        112u

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
    bool is_quick; /* what it was taken for */
    uint64_t taken_at_ms;
    uint8_t *packet; /* SG_PACKET_MAX */
};

struct process {
    struct sg_keyholder base;
    struct sg_keyholder_process_options options;
    char *dir, *source, *socket; /* copies */
    struct sg_gather *gather;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    /* Guarded by mutex. */
    enum process_phase phase;
    int control_fd;
    struct process_channel pool[PROCESS_MAX_POOL];
    size_t num_pool;
    uint32_t epoch;
    uint64_t up_since_ms;
    bool is_hurried; /* the daemon stops */
    struct sg_keyholder_state state;

    bool is_watched;
    pthread_t watcher;
    bool (*revive)(void *context);
    void *context;
};

static struct process *process_self(struct sg_keyholder *keyholder)
{
    return (struct process *)(void *)keyholder;
}

static signet_status __attribute__((format(printf, 4, 5)))
process_fail(char *error, size_t error_cap, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error, error_cap, format, arguments);
    va_end(arguments);
    return status;
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
    sg_gather_shut(process->gather);
    for (size_t i = 0; i < process->num_pool; i++) {
        if (process->pool[i].fd >= 0) {
            (void)shutdown(process->pool[i].fd, SHUT_RDWR);
        }
    }
    if (process->control_fd >= 0) {
        (void)shutdown(process->control_fd, SHUT_WR); /* its other way tells when it has ended */
    }
    (void)pthread_cond_broadcast(&process->changed);
}

static void process_on_broken(void *context)
{
    struct process *process = context;
    (void)pthread_mutex_lock(&process->mutex);
    if (process->phase == PROCESS_UP || process->phase == PROCESS_LOADING) {
        process_drop(process);
    }
    (void)pthread_mutex_unlock(&process->mutex);
}

/* Waits until nobody uses the channels of the process that has ended, and closes them. Mutex held. */
static void process_clear(struct process *process)
{
    for (size_t i = 0; i < process->num_pool; i++) {
        while (process->pool[i].is_taken) {
            (void)pthread_cond_wait(&process->changed, &process->mutex);
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

/* An idle channel, or NULL if there is no process to talk to. Waits for another call to end if all are
 * taken. */
static struct process_channel *process_take(struct process *process, bool needs_keys)
{
    struct process_channel *taken = NULL;
    (void)pthread_mutex_lock(&process->mutex);
    while (taken == NULL &&
           (process->phase == PROCESS_UP || (process->phase == PROCESS_LOADING && !needs_keys))) {
        for (size_t i = 0; taken == NULL && i < process->num_pool; i++) {
            if (!process->pool[i].is_taken) {
                taken = &process->pool[i];
                taken->is_taken = true;
                taken->is_quick = needs_keys;
                taken->taken_at_ms = sg_clock_mono_ms();
            }
        }
        if (taken == NULL) {
            (void)pthread_cond_wait(&process->changed, &process->mutex);
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
    (void)pthread_cond_broadcast(&process->changed);
    (void)pthread_mutex_unlock(&process->mutex);
}

/* The packet in the channel's memory goes out and the answer comes in. Returns its length, or 0. */
static size_t process_exchange(const struct process_channel *channel, size_t len)
{
    ssize_t done;
    do {
        done = send(channel->fd, channel->packet, len, MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    if (done < 0 || (size_t)done != len) {
        return 0;
    }
    do {
        done = recv(channel->fd, channel->packet, SG_PACKET_MAX, MSG_TRUNC);
    } while (done < 0 && errno == EINTR);
    return done > 0 ? (size_t)done : 0;
}

/* One packet of a call; *num_done operations have gone before it, and more afterwards. */
static bool process_call_part(const struct process_channel *channel,
                              const struct sg_keyholder_request *requests, size_t num,
                              const uint8_t *bytes, struct sg_keyholder_reply *replies,
                              size_t *num_done)
{
    struct sg_keyholder_reply *parts[SG_PACKET_MAX_OPERATIONS];
    struct sg_packet_writer writer;
    size_t first = *num_done;
    size_t at = first;
    sg_packet_begin(&writer, channel->packet);
    while (at < num && sg_packet_add(&writer, &requests[at], bytes)) {
        parts[at - first] = &replies[at];
        at++;
    }
    size_t len = process_exchange(channel, sg_packet_end(&writer));
    *num_done = at;
    return len > 0 && sg_packet_read_replies(channel->packet, len, at - first, parts);
}

static signet_status process_call(struct sg_keyholder *keyholder,
                                  const struct sg_keyholder_request *requests, size_t num,
                                  const uint8_t *bytes, size_t bytes_len,
                                  struct sg_keyholder_reply *replies)
{
    struct process *process = process_self(keyholder);
    if (!sg_packet_can_carry(requests, num, bytes_len)) {
        return SIGNET_INVALID_ARGUMENT;
    }
    struct process_channel *channel =
        process_take(process, process_is_for_loaded_keys(requests, num));
    if (channel == NULL) {
        return SIGNET_UNAVAILABLE;
    }
    bool is_good = true;
    for (size_t done = 0; is_good && done < num;) {
        is_good = process_call_part(channel, requests, num, bytes, replies, &done);
    }
    process_give_back(process, channel, is_good);
    return is_good ? SIGNET_OK : SIGNET_UNAVAILABLE;
}

static signet_status process_keystore(struct sg_keyholder *keyholder,
                                      const struct sg_keystore_request *request,
                                      struct sg_keystore_reply *reply)
{
    struct process *process = process_self(keyholder);
    struct process_channel *channel = process_take(process, false);
    if (channel == NULL) {
        return SIGNET_UNAVAILABLE;
    }
    const struct sg_packet_head head = {.kind = SG_PACKET_KEYSTORE, .num = 1};
    memcpy(channel->packet, &head, sizeof(head));
    memcpy(channel->packet + sizeof(head), request, sizeof(*request));
    size_t len = process_exchange(channel, sizeof(head) + sizeof(*request));
    bool is_good = len > 0 && sg_packet_read_keystore_reply(channel->packet, len, reply);
    process_give_back(process, channel, is_good);
    return is_good ? SIGNET_OK : SIGNET_UNAVAILABLE;
}

static void process_submit(struct sg_keyholder *keyholder, struct sg_keyholder_crossing *crossing)
{
    sg_gather_add(process_self(keyholder)->gather, crossing);
}

static void process_flush(struct sg_keyholder *keyholder)
{
    sg_gather_flush(process_self(keyholder)->gather);
}

static const struct sg_keyholder_ops process_ops = {
    .call = process_call,
    .keystore = process_keystore,
    .submit = process_submit,
    .flush = process_flush,
};

/* ---- The beginning of a process ---- */

static signet_status process_connect(const struct process *process, int *out, char *error,
                                     size_t error_cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(process->socket) >= sizeof(address.sun_path)) {
        return process_fail(error, error_cap, SIGNET_INVALID_ARGUMENT, "%s: too long for a socket",
                            process->socket);
    }
    memcpy(address.sun_path, process->socket, strlen(process->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)process_fail(error, error_cap, SIGNET_UNAVAILABLE,
                           "%s: %s; is what starts the keyholder running (systemctl status "
                           "signet-keyholder.socket)?",
                           process->socket, strerrordesc_np(errno));
        process_close(&fd);
        return SIGNET_UNAVAILABLE;
    }
    *out = fd;
    return SIGNET_OK;
}

static signet_status process_have_started(const struct process *process, int *out, char *error,
                                          size_t error_cap)
{
    if (process->socket != NULL) {
        return process_connect(process, out, error, error_cap);
    }
    signet_status status = sg_launcher_ask(process->options.launcher_fd, out);
    if (status == SIGNET_UNAVAILABLE) {
        return process_fail(error, error_cap, status,
                            "the launcher has ended, so that no keyholder can be started: restart "
                            "signetd");
    }
    return status == SIGNET_OK
               ? SIGNET_OK
               : process_fail(error, error_cap, status,
                              "no keyholder can be started: no process or descriptor to be had");
}

/* The ends of all channels: the daemon's into their places, the others into theirs. */
static bool process_make_channels(struct process *process, int *theirs, size_t *num_theirs)
{
    size_t num_shared = sg_gather_num(process->gather);
    for (size_t i = 0; i < num_shared + process->num_pool; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
            return false;
        }
        theirs[(*num_theirs)++] = pair[1];
        if (i < num_shared) {
            sg_gather_set(process->gather, i, pair[0]);
        } else {
            process->pool[i - num_shared].fd = pair[0];
        }
    }
    return true;
}

static void process_write_hello(const struct process *process, size_t num_channels,
                                struct sg_packet_hello *hello)
{
    *hello = (struct sg_packet_hello){
        .version = SG_PACKET_VERSION,
        .epoch = process->epoch,
        .num_channels = (uint32_t)num_channels,
        .has_passphrase_fd = process->options.passphrase_fd >= 0 ? 1 : 0,
        .front_uid = geteuid(),
        .has_keystore = process->dir != NULL ? 1 : 0,
    };
    memcpy(hello->magic, SG_PACKET_HELLO, sizeof(hello->magic));
    if (process->dir != NULL) {
        (void)snprintf(hello->dir, sizeof(hello->dir), "%s", process->dir);
        (void)snprintf(hello->source, sizeof(hello->source), "%s", process->source);
    }
}

static bool process_send_hello(const struct process *process, const int *fds, size_t num_fds,
                               size_t num_channels)
{
    struct sg_packet_hello hello;
    process_write_hello(process, num_channels, &hello);
    return sg_passing_send(process->control_fd, &hello, sizeof(hello), fds, num_fds);
}

/* Whether something can be read, or the end, within the time. */
static bool process_wait_readable(int fd, int timeout_ms)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    int num;
    do {
        num = poll(&ask, 1, timeout_ms);
    } while (num < 0 && errno == EINTR);
    return num == 1;
}

static signet_status process_check_protections(const struct process *process, uint32_t protections,
                                               char *error, size_t error_cap)
{
    uint32_t missing = process->options.required & ~protections;
    if (missing == 0) {
        return SIGNET_OK;
    }
    char names[256] = "";
    size_t len = 0;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS; i++) {
        if ((missing & 1u << i) != 0 && len < sizeof(names)) {
            int written = snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
                                   sg_keyholder_protection_name(i));
            len += written > 0 ? (size_t)written : 0;
        }
    }
    return process_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                        "keyholder.require: the keyholder cannot have %s here; "
                        "signet-keyholder(8) says what each of them takes",
                        names);
}

static signet_status process_read_welcome(const struct process *process,
                                          struct sg_keyholder_state *state, char *error,
                                          size_t error_cap)
{
    /* One byte more, so that a longer answer is not taken for one. */
    uint8_t packet[sizeof(struct sg_packet_welcome) + 1];
    struct sg_packet_welcome welcome;
    ssize_t len = -1;
    if (process_wait_readable(process->control_fd, PROCESS_WELCOME_MS)) {
        len = recv(process->control_fd, packet, sizeof(packet), 0);
    }
    if (len <= 0) {
        return process_fail(error, error_cap, SIGNET_UNAVAILABLE,
                            "the keyholder's process %s before it said that it is ready",
                            len == 0 ? "ended" : "did not answer");
    }
    if (!sg_packet_read_welcome(packet, (size_t)len, &welcome)) {
        return process_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                            "the keyholder is of another version than signetd; install both from "
                            "one build");
    }
    if (welcome.status != SIGNET_OK) {
        return process_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                            "the keyholder does not start: %s", welcome.message);
    }
    uint32_t protections = welcome.protections & ~(uint32_t)SG_PROTECT_OWN_USER;
    if (welcome.uid != geteuid()) {
        protections |= SG_PROTECT_OWN_USER;
    }
    state->pid = welcome.pid;
    state->uid = welcome.uid;
    state->protections = protections;
    return process_check_protections(process, protections, error, error_cap);
}

static signet_status process_greet(struct process *process, struct sg_keyholder_state *state,
                                   char *error, size_t error_cap)
{
    int theirs[SG_PASSING_MAX];
    size_t num = 0;
    bool made = process_make_channels(process, theirs, &num);
    size_t num_channels = num;
    size_t num_sent = num;
    if (process->options.passphrase_fd >= 0) {
        theirs[num_sent++] = process->options.passphrase_fd;
    }
    bool sent = made && process_send_hello(process, theirs, num_sent, num_channels);
    for (size_t i = 0; i < num; i++) {
        (void)close(theirs[i]);
    }
    if (!made) {
        return process_fail(error, error_cap, SIGNET_RESOURCE_EXHAUSTED,
                            "no descriptors for the keyholder; raise RLIMIT_NOFILE (LimitNOFILE)");
    }
    return sent ? process_read_welcome(process, state, error, error_cap)
                : process_fail(error, error_cap, SIGNET_UNAVAILABLE,
                               "the keyholder's process ended at once");
}

static signet_status process_bring_up(struct process *process, struct sg_keyholder_state *state,
                                      char *error, size_t error_cap)
{
    signet_status status = process_have_started(process, &process->control_fd, error, error_cap);
    return status == SIGNET_OK ? process_greet(process, state, error, error_cap) : status;
}

/* From DOWN to LOADING, or back. */
static signet_status process_begin(struct process *process, char *error, size_t error_cap)
{
    (void)pthread_mutex_lock(&process->mutex);
    if (process->phase != PROCESS_DOWN) {
        (void)pthread_mutex_unlock(&process->mutex);
        return process_fail(error, error_cap, SIGNET_UNAVAILABLE, "the daemon stops");
    }
    process_clear(process);
    process->phase = PROCESS_STARTING;
    struct sg_keyholder_state state = process->state;
    process->epoch++;
    (void)pthread_mutex_unlock(&process->mutex);
    /* The mutex is not held for as long as this takes: others are to be told that there is none. */
    signet_status status = process_bring_up(process, &state, error, error_cap);
    (void)pthread_mutex_lock(&process->mutex);
    if (status == SIGNET_OK) {
        process->state = state;
        process->phase = PROCESS_LOADING;
    } else {
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

void sg_keyholder_process_ready(struct sg_keyholder *keyholder)
{
    struct process *process = process_self(keyholder);
    (void)pthread_mutex_lock(&process->mutex);
    if (process->phase == PROCESS_LOADING) {
        process->phase = PROCESS_UP;
        process->up_since_ms = sg_clock_mono_ms();
        process->state.is_up = true;
        sg_gather_open(process->gather);
    }
    (void)pthread_mutex_unlock(&process->mutex);
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

/* Since when the oldest call waits that should have been answered; 0: none does. Mutex held. */
static uint64_t process_waits_since(const struct process *process)
{
    uint64_t oldest_ms = sg_gather_waits_since(process->gather);
    for (size_t i = 0; i < process->num_pool; i++) {
        const struct process_channel *channel = &process->pool[i];
        if (channel->is_taken && (channel->is_quick || process->is_hurried) &&
            (oldest_ms == 0 || channel->taken_at_ms < oldest_ms)) {
            oldest_ms = channel->taken_at_ms;
        }
    }
    return oldest_ms;
}

/* Mutex held. A process that was stopped, or worse, answers nobody, and is taken for dead. */
static void process_look_for_hang(struct process *process)
{
    uint64_t since_ms = process_waits_since(process);
    uint64_t bound_ms = process->is_hurried ? PROCESS_HURRIED_HUNG_MS : PROCESS_HUNG_MS;
    if (since_ms != 0 && sg_clock_mono_ms() - since_ms >= bound_ms) {
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
    while (process->phase != PROCESS_ENDING) {
        if (process->phase != PROCESS_DOWN) {
            process_wait(process, process->phase,
                         process->is_hurried ? PROCESS_HURRIED_LOOK_MS : PROCESS_LOOK_MS);
            if (process->phase == PROCESS_UP || process->phase == PROCESS_LOADING) {
                process_look_for_hang(process);
            }
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
    signet_status status = sg_gather_start(process->gather);
    if (status == SIGNET_OK &&
        pthread_create(&process->watcher, NULL, process_watch, process) == 0) {
        process->is_watched = true;
        return SIGNET_OK;
    }
    return SIGNET_RESOURCE_EXHAUSTED;
}

void sg_keyholder_process_hurry(struct sg_keyholder *keyholder)
{
    struct process *process = process_self(keyholder);
    if (process != NULL) {
        (void)pthread_mutex_lock(&process->mutex);
        process->is_hurried = true;
        if (process->phase == PROCESS_DOWN) {
            process->phase = PROCESS_ENDING; /* none is started any more */
        }
        (void)pthread_cond_broadcast(&process->changed);
        (void)pthread_mutex_unlock(&process->mutex);
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
    process->num_pool = options->num_callers;
    /* None of these can fail on Linux with such attributes. */
    (void)pthread_mutex_init(&process->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&process->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    bool is_good = options->num_callers >= 1 && options->num_callers <= PROCESS_MAX_POOL;
    for (size_t i = 0; i < PROCESS_MAX_POOL; i++) {
        process->pool[i].fd = -1;
    }
    for (size_t i = 0; is_good && i < process->num_pool; i++) {
        process->pool[i].packet = malloc(SG_PACKET_MAX);
        is_good = process->pool[i].packet != NULL;
    }
    return is_good && process_copy(options->dir, &process->dir) &&
           process_copy(options->source, &process->source) &&
           process_copy(options->socket, &process->socket) &&
           sg_gather_new(process_on_broken, process, &process->gather) == SIGNET_OK;
}

signet_status sg_keyholder_process_start(const struct sg_keyholder_process_options *options,
                                         struct sg_keyholder **out, char *error, size_t error_cap)
{
    struct process *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return process_fail(error, error_cap, SIGNET_RESOURCE_EXHAUSTED, "no memory");
    }
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (process_init(process, options)) {
        status = process_begin(process, error, error_cap);
    } else {
        (void)process_fail(error, error_cap, status, "no memory for the keyholder's channels");
    }
    if (status != SIGNET_OK) {
        sg_keyholder_process_free(&process->base);
        return status;
    }
    *out = &process->base;
    return SIGNET_OK;
}

/* Until the process has ended, so that the next finds its keystore free. */
static void process_say_goodbye(struct process *process)
{
    uint8_t unused[sizeof(struct sg_packet_welcome)];
    if (process->control_fd >= 0 &&
        process_wait_readable(process->control_fd, PROCESS_GOODBYE_MS)) {
        ssize_t len = recv(process->control_fd, unused, sizeof(unused), MSG_DONTWAIT);
        (void)len; /* its end is what was waited for */
    }
}

void sg_keyholder_process_free(struct sg_keyholder *keyholder)
{
    if (keyholder == NULL) {
        return;
    }
    struct process *process = process_self(keyholder);
    (void)pthread_mutex_lock(&process->mutex);
    while (process->phase == PROCESS_STARTING) {
        (void)pthread_cond_wait(&process->changed, &process->mutex);
    }
    process->phase = PROCESS_ENDING;
    if (process->gather != NULL) {
        process_drop(process);
    }
    (void)pthread_mutex_unlock(&process->mutex);
    if (process->is_watched) {
        (void)pthread_join(process->watcher, NULL);
    }
    process_say_goodbye(process);
    sg_gather_free(process->gather);
    (void)pthread_mutex_lock(&process->mutex);
    process_clear(process);
    (void)pthread_mutex_unlock(&process->mutex);
    for (size_t i = 0; i < process->num_pool && i < PROCESS_MAX_POOL; i++) {
        free(process->pool[i].packet);
    }
    (void)pthread_cond_destroy(&process->changed);
    (void)pthread_mutex_destroy(&process->mutex);
    free(process->dir);
    free(process->source);
    free(process->socket);
    free(process);
}
