/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of the keyholder's process as the daemon sees it, and calls: each takes a channel for itself. What the
 * process answers is checked, and an answer that is not one ends it.
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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/keyholder/packet.h"
#include "server/keyholder/passing.h"
#include "server/launcher.h"

/* Waits are in steps, after each of which is looked whether there still is what to wait for. Steps in which
 * the daemon itself was stopped do not count. */
#define PROCESS_STEP_MS 250
/* A process that does not say what it is within this is none. Its start locks memory and makes keys. */
#define PROCESS_WELCOME_MS 10000
/* One that listens, but does not accept. */
#define PROCESS_CONNECT_S 5
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
/* What the kernel takes by default, said in case it is less here: a packet has to fit. */
#define PROCESS_SOCKET_BUFFER (2 * (int)SG_PACKET_MAX)
_Static_assert(SG_MAX_TOKEN_LEN <= SG_PACKET_MAX_BYTES, "a token must fit a packet");

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
    char *dir, *source, *socket; /* copies */

    pthread_mutex_t mutex;
    pthread_cond_t changed;  /* on CLOCK_MONOTONIC: the phase */
    pthread_cond_t returned; /* a channel */
    /* Guarded by mutex. */
    enum process_phase phase;
    int control_fd;
    struct process_channel pool[PROCESS_MAX_POOL];
    size_t num_pool;
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
                               size_t len, int bound_ms)
{
    ssize_t done;
    do {
        done = send(channel->fd, channel->packet, len, MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    if (done < 0 || (size_t)done != len) {
        return 0;
    }
    int waited_ms = 0;
    do {
        done = recv(channel->fd, channel->packet, SG_PACKET_MAX, MSG_TRUNC);
        waited_ms += done < 0 && errno == EAGAIN ? PROCESS_STEP_MS : 0;
    } while (done < 0 && (errno == EINTR ||
                          (errno == EAGAIN && process_may_wait(process, waited_ms, bound_ms))));
    return done > 0 ? (size_t)done : 0;
}

/* How far a run through several crossings has come. */
struct process_run {
    struct sg_keyholder_crossing *const *crossings;
    size_t num;
    size_t at;        /* the crossing */
    size_t operation; /* of it */
    int bound_ms;
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
    size_t len = process_exchange(process, channel, sg_packet_end(&writer), run->bound_ms);
    if (len == 0 || !sg_packet_read_replies(channel->packet, len, num, parts)) {
        return false;
    }
    for (size_t i = first; i < run->at; i++) {
        run->crossings[i]->status = SIGNET_OK;
    }
    return true;
}

static void process_do(struct process *process, struct sg_keyholder_crossing *const *crossings,
                       size_t num, bool needs_keys, int bound_ms)
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
    struct process_channel *channel = can_all ? process_take(process, needs_keys) : NULL;
    if (channel == NULL) {
        return;
    }
    struct process_run run = {.crossings = crossings, .num = num, .bound_ms = bound_ms};
    bool is_good = true;
    while (is_good && run.at < num) {
        is_good = process_run_packet(process, channel, &run);
    }
    process_give_back(process, channel, is_good);
}

static void process_cross(struct sg_keyholder *keyholder,
                          struct sg_keyholder_crossing *const *crossings, size_t num)
{
    process_do(process_self(keyholder), crossings, num, true, PROCESS_QUICK_MS);
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
               process_makes_keys(requests, num) ? PROCESS_SLOW_MS : PROCESS_SIGN_MS);
    return crossing.status;
}

/* A rekey takes as long as there are keys; and at the start, somebody may have to type a passphrase. */
static int process_keystore_bound(const struct process *process, uint32_t op)
{
    if (op == SG_KEYSTORE_REKEY || (op == SG_KEYSTORE_OPEN && !process->is_watched)) {
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
    struct process_channel *channel = process_take(process, false);
    if (channel == NULL) {
        return SIGNET_UNAVAILABLE;
    }
    const struct sg_packet_head head = {.kind = SG_PACKET_KEYSTORE, .num = 1};
    memcpy(channel->packet, &head, sizeof(head));
    memcpy(channel->packet + sizeof(head), request, sizeof(*request));
    size_t len = process_exchange(process, channel, sizeof(head) + sizeof(*request),
                                  process_keystore_bound(process, request->op));
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

static signet_status process_connect(const struct process *process, int *out, char *error,
                                     size_t error_cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(process->socket) >= sizeof(address.sun_path)) {
        return process_fail(error, error_cap, SIGNET_INVALID_ARGUMENT, "%s: too long for a socket",
                            process->socket);
    }
    memcpy(address.sun_path, process->socket, strlen(process->socket) + 1);
    const struct timeval patience = {.tv_sec = PROCESS_CONNECT_S};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
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

/* Cannot fail for such values; less than what is asked for is had where the kernel's limit is lower. */
static void process_set_options(const int pair[2])
{
    const struct timeval step = {.tv_usec = PROCESS_STEP_MS * 1000};
    const int len = PROCESS_SOCKET_BUFFER;
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &step, sizeof(step));
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
    (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
}

/* The ends of all channels: the daemon's into their places, the others into theirs. */
static bool process_make_channels(struct process *process, int *theirs, size_t *num_theirs)
{
    for (size_t i = 0; i < process->num_pool; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
            return false;
        }
        theirs[(*num_theirs)++] = pair[1];
        process->pool[i].fd = pair[0];
        process_set_options(pair);
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

/* Whether the welcome, or the end, has come in time. */
static bool process_await_welcome(struct process *process)
{
    struct pollfd ask = {.fd = process->control_fd, .events = POLLIN};
    for (int waited_ms = 0; waited_ms < PROCESS_WELCOME_MS; waited_ms += PROCESS_STEP_MS) {
        int num = poll(&ask, 1, PROCESS_STEP_MS);
        if (num == 1) {
            return true;
        }
        (void)pthread_mutex_lock(&process->mutex);
        bool is_hurried = process->is_hurried;
        (void)pthread_mutex_unlock(&process->mutex);
        if (is_hurried || (num < 0 && errno != EINTR)) {
            return false;
        }
    }
    return false;
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

/* What the process said; 0 if it ended without a word, -1 if it said nothing. */
static ssize_t process_receive_welcome(struct process *process, uint8_t *packet, size_t cap)
{
    ssize_t len = -1;
    if (process_await_welcome(process)) {
        len = recv(process->control_fd, packet, cap, 0);
        if (len < 0 && errno == ECONNRESET) {
            len = recv(process->control_fd, packet, cap, 0); /* it ended with our hello unread */
        }
    }
    return len;
}

static signet_status process_read_welcome(struct process *process, struct sg_keyholder_state *state,
                                          char *error, size_t error_cap)
{
    /* One byte more, so that a longer answer is not taken for one. */
    uint8_t packet[sizeof(struct sg_packet_welcome) + 1];
    struct sg_packet_welcome welcome;
    ssize_t len = process_receive_welcome(process, packet, sizeof(packet));
    if (len <= 0) {
        return process_fail(error, error_cap, SIGNET_UNAVAILABLE,
                            "the keyholder's process %s before it said that it is ready; "
                            "run signet-keyholder --version as its user to see whether it runs",
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
    (void)sent; /* one that ended may have said why */
    return process_read_welcome(process, state, error, error_cap);
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
    if (status == SIGNET_OK && !process->is_hurried) {
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
                   options->num_callers <= PROCESS_MAX_POOL;
    process->num_pool = is_good ? options->num_callers : 0;
    for (size_t i = 0; i < PROCESS_MAX_POOL; i++) {
        process->pool[i].fd = -1;
    }
    for (size_t i = 0; is_good && i < process->num_pool; i++) {
        process->pool[i].packet = malloc(SG_PACKET_MAX);
        is_good = process->pool[i].packet != NULL;
    }
    return is_good && process_copy(options->dir, &process->dir) &&
           process_copy(options->source, &process->source) &&
           process_copy(options->socket, &process->socket);
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
