/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket and its housekeeper: one thread that admits connections, watches deadlines, releases what
 * was closed, and ends it all. nng's own timeouts run on CLOCK_REALTIME, so nothing here rests on
 * them. It must never log for a packet or a connection: a peer could make it.
 */
#include "server/listener.h"

#include <errno.h>
#include <nng/nng.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "server/clock.h"
#include "server/listener_connection.h"
#include "server/log.h"
#include "server/peer.h"
#include "server/quota.h"

#define LISTENER_MAX_THREADS     16
#define LISTENER_HANDSHAKE_MS    2000u
#define LISTENER_HALF_MESSAGE_MS 2000u
#define LISTENER_WRITE_MS        500u
/* A connection must have been idle for as long before another of its uid may take its place. */
#define LISTENER_EVICT_IDLE_MS 5000u
/* How soon to accept again when that failed. */
#define LISTENER_ACCEPT_RETRY_MS 50u
/* So many connections of uids that are overdrawn are taken in so long a time; then the socket is left alone until
 * it is over. In one go, since each wakes the same threads; and others wait behind them in the backlog, which
 * takes 128: few enough to make such a uid's connecting cheap for the daemon, and not too few for them. */
#define LISTENER_OVERDRAWN_MAX       16u
#define LISTENER_OVERDRAWN_WINDOW_MS 160u
/* How often a stop looks whether connections have become idle. */
#define LISTENER_STOP_POLL_MS 5u
/* How long a connection must have been idle during a stop before it is closed: what its peer sent
 * before may still wait to be read, and is answered. */
#define LISTENER_STOP_IDLE_MS 50u
/* Descriptors left for everything but connections: nng, log, state. */
#define LISTENER_RESERVED_FDS 256u
#define LISTENER_STACK_LEN    (256u * 1024u)

/* How an accept has ended. */
struct listener_arrival {
    int result;
    nng_stream *stream; /* NULL: there is none, or it was turned away */
    uint64_t boot_ms;
    uint64_t rest_until_ms; /* when to accept again; 0: now */
};

struct sg_listener {
    struct sg_listener_core core;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    nng_stream_listener *stream_listener;
    nng_aio *accept_aio;
    struct sg_peer_resolver *resolver;
    struct listener_arrival arrival; /* guarded by core.mutex */
    pthread_t thread;
    uint32_t evict_idle_ms;
    /* The housekeeper's own. */
    struct sg_connection *connections;
    uint32_t num_connections;
    uint64_t accept_at_ms; /* when to try again; 0: an accept is under way */
    bool accept_failing;   /* logged once, until one works */
    /* Of the accept under way. */
    unsigned num_overdrawn; /* since overdrawn_since_ms */
    uint64_t overdrawn_since_ms;
};

static void listener_error(char *error, size_t error_cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void listener_error(char *error, size_t error_cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, error_cap, format, args);
    va_end(args);
}

/* ---- Connections; housekeeper only ---- */

static void listener_add(struct sg_listener *listener, struct sg_connection *connection)
{
    *sg_connection_prev(connection) = NULL;
    *sg_connection_next(connection) = listener->connections;
    if (listener->connections != NULL) {
        *sg_connection_prev(listener->connections) = connection;
    }
    listener->connections = connection;
    listener->num_connections++;
    atomic_store_explicit(&listener->core.num_connections, listener->num_connections,
                          memory_order_relaxed);
}

static void listener_remove(struct sg_listener *listener, struct sg_connection *connection)
{
    struct sg_connection *prev = *sg_connection_prev(connection);
    struct sg_connection *next = *sg_connection_next(connection);
    if (prev != NULL) {
        *sg_connection_next(prev) = next;
    } else {
        listener->connections = next;
    }
    if (next != NULL) {
        *sg_connection_prev(next) = prev;
    }
    listener->num_connections--;
    atomic_store_explicit(&listener->core.num_connections, listener->num_connections,
                          memory_order_relaxed);
}

/* Releases what was closed and is used by nobody any more. */
static void listener_reap(struct sg_listener *listener)
{
    pthread_mutex_lock(&listener->core.mutex);
    struct sg_connection *connection = listener->core.reapable;
    listener->core.reapable = NULL;
    pthread_mutex_unlock(&listener->core.mutex);
    while (connection != NULL) {
        struct sg_connection *next = sg_connection_next_reapable(connection);
        listener_remove(listener, connection);
        sg_connection_release(connection);
        connection = next;
    }
}

/* Closes every connection whose deadline has passed and sets the next time to look. */
static void listener_sweep(struct sg_listener *listener, uint64_t now_ms)
{
    struct sg_listener_core *core = &listener->core;
    pthread_mutex_lock(&core->mutex);
    bool due = core->sweep_at_ms != 0 && core->sweep_at_ms <= now_ms;
    if (due) {
        core->sweep_at_ms = 0;
    }
    pthread_mutex_unlock(&core->mutex);
    if (!due) {
        return;
    }
    uint64_t next_ms = 0;
    for (struct sg_connection *connection = listener->connections; connection != NULL;
         connection = *sg_connection_next(connection)) {
        uint64_t at_ms = sg_connection_sweep(connection, now_ms);
        if (at_ms != 0 && (next_ms == 0 || at_ms < next_ms)) {
            next_ms = at_ms;
        }
    }
    pthread_mutex_lock(&core->mutex);
    if (next_ms != 0 && (core->sweep_at_ms == 0 || next_ms < core->sweep_at_ms)) {
        core->sweep_at_ms = next_ms;
    }
    pthread_mutex_unlock(&core->mutex);
}

/* Makes room for one more of this uid by closing the one of the same uid that has been idle longest,
 * if any has been for long. A uid can so never push out another's. */
static bool listener_evict(struct sg_listener *listener, uid_t uid)
{
    struct sg_connection *oldest = NULL;
    uint64_t oldest_ms = 0;
    for (struct sg_connection *connection = listener->connections; connection != NULL;
         connection = *sg_connection_next(connection)) {
        if (sg_connection_uid(connection) == uid) {
            uint64_t since_ms = sg_connection_idle_since(connection);
            if (since_ms != 0 && (oldest == NULL || since_ms < oldest_ms)) {
                oldest = connection;
                oldest_ms = since_ms;
            }
        }
    }
    if (oldest == NULL || sg_clock_mono_ms() - oldest_ms < listener->evict_idle_ms) {
        return false;
    }
    sg_connection_close(oldest);
    listener_reap(listener);
    return true;
}

/* What the kernel said of the peer when it connected. */
static bool listener_read_peer(nng_stream *stream, struct sg_peer *peer)
{
    uint64_t uid;
    uint64_t gid;
    uint64_t pid;
    if (nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
        nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_GID, &gid) != 0 ||
        nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_PID, &pid) != 0) {
        return false;
    }
    *peer = (struct sg_peer){.uid = (uid_t)uid, .gid = (gid_t)gid, .pid = (pid_t)pid};
    return true;
}

/* Opens or finds the account of the peer's uid, which the connection is to hold. */
static bool listener_join(struct sg_listener *listener, struct sg_peer *peer)
{
    struct sg_quota *quota = listener->core.quota;
    const uint64_t now_us = sg_clock_mono_ms() * 1000u;
    enum sg_quota_entry entry = sg_quota_join(quota, peer->uid, now_us, &peer->account);
    if (entry == SG_QUOTA_TOO_MANY && listener_evict(listener, peer->uid)) {
        entry = sg_quota_join(quota, peer->uid, now_us, &peer->account);
    }
    return entry == SG_QUOTA_MAY;
}

static void listener_refuse(struct sg_listener *listener, nng_stream *stream)
{
    /* Counted first: who sees that it is closed may ask for the count. */
    atomic_fetch_add_explicit(&listener->core.num_refused_connections, 1, memory_order_relaxed);
    nng_stream_free(stream);
}

static void listener_admit(struct sg_listener *listener, nng_stream *stream, uint64_t boot_ms)
{
    struct sg_peer peer;
    if (!listener_read_peer(stream, &peer) || !listener_join(listener, &peer)) {
        listener_refuse(listener, stream);
        return;
    }
    if (listener->resolver != NULL &&
        sg_peer_identity_new(listener->resolver, &peer, boot_ms, &peer.identity) != SIGNET_OK) {
        peer.identity = NULL; /* no memory: nothing more than the uid is known of it */
    }
    struct sg_connection *connection = sg_connection_open(&listener->core, stream, &peer);
    if (connection == NULL) {
        atomic_fetch_add_explicit(&listener->core.num_refused_connections, 1, memory_order_relaxed);
        return;
    }
    listener_add(listener, connection);
}

/* ---- Accepting ---- */

/* Counts a connection of a uid that is overdrawn. Returns when to accept again; 0: now. */
static uint64_t listener_count_overdrawn(struct sg_listener *listener)
{
    const uint64_t now_ms = sg_clock_mono_ms();
    if (now_ms >= listener->overdrawn_since_ms + LISTENER_OVERDRAWN_WINDOW_MS) {
        listener->overdrawn_since_ms = now_ms;
        listener->num_overdrawn = 0;
    }
    listener->num_overdrawn++;
    return listener->num_overdrawn < LISTENER_OVERDRAWN_MAX
               ? 0
               : listener->overdrawn_since_ms + LISTENER_OVERDRAWN_WINDOW_MS;
}

/* Refuses a connection of a uid that is overdrawn. Any thread. */
static bool listener_turn_away(struct sg_listener *listener, nng_stream *stream)
{
    struct sg_peer peer;
    if (!listener_read_peer(stream, &peer) ||
        !sg_quota_turns_away(listener->core.quota, peer.uid, sg_clock_mono_ms() * 1000u)) {
        return false;
    }
    listener_refuse(listener, stream);
    return true;
}

/* nng's callback. Turns away who is overdrawn, which wakes nobody, and accepts the next; tells the housekeeper of
 * everything else. */
static void listener_on_accepted(void *arg)
{
    struct sg_listener *listener = arg;
    struct listener_arrival arrival = {.result = nng_aio_result(listener->accept_aio),
                                       .boot_ms = sg_peer_boot_ms()};
    if (arrival.result == 0) {
        arrival.stream = nng_aio_get_output(listener->accept_aio, 0);
        if (listener_turn_away(listener, arrival.stream)) {
            arrival.stream = NULL;
            arrival.rest_until_ms = listener_count_overdrawn(listener);
            if (arrival.rest_until_ms == 0) {
                nng_stream_listener_accept(listener->stream_listener, listener->accept_aio);
                return;
            }
        }
    }
    pthread_mutex_lock(&listener->core.mutex);
    listener->arrival = arrival;
    listener->core.accepted = true;
    pthread_cond_signal(&listener->core.changed);
    pthread_mutex_unlock(&listener->core.mutex);
}

static void listener_accept(struct sg_listener *listener)
{
    listener->accept_at_ms = 0;
    nng_stream_listener_accept(listener->stream_listener, listener->accept_aio);
}

/* An accept ended. When descriptors have run out, connections wait in the backlog until the next try:
 * their peers have deadlines of their own. */
static void listener_accepted(struct sg_listener *listener, const struct listener_arrival *arrival,
                              uint64_t now_ms)
{
    if (arrival->result == 0) {
        listener->accept_failing = false;
        if (arrival->stream != NULL) {
            listener_admit(listener, arrival->stream, arrival->boot_ms);
        }
        if (arrival->rest_until_ms > now_ms) {
            listener->accept_at_ms = arrival->rest_until_ms;
        } else {
            listener_accept(listener);
        }
        return;
    }
    if (!listener->accept_failing) {
        listener->accept_failing = true;
        sg_log(
            SG_LOG_ERROR,
            "cannot accept connections on %s: %s; trying again until it works (if descriptors have "
            "run out, raise LimitNOFILE or lower limits.max_connections)",
            listener->path, nng_strerror(arrival->result));
    }
    listener->accept_at_ms = now_ms + LISTENER_ACCEPT_RETRY_MS;
}

/* ---- The housekeeper ---- */

static struct timespec listener_timespec(uint64_t at_ms)
{
    return (struct timespec){.tv_sec = (time_t)(at_ms / 1000u),
                             .tv_nsec = (long)(at_ms % 1000u) * 1000000L};
}

/* Waits for something to do. Returns whether an accept has ended, and how. */
static bool listener_wait(struct sg_listener *listener, struct listener_arrival *arrival)
{
    struct sg_listener_core *core = &listener->core;
    pthread_mutex_lock(&core->mutex);
    while (core->reapable == NULL && !core->accepted && !core->stop) {
        uint64_t at_ms = core->sweep_at_ms;
        if (listener->accept_at_ms != 0 && (at_ms == 0 || listener->accept_at_ms < at_ms)) {
            at_ms = listener->accept_at_ms;
        }
        if (at_ms == 0) {
            pthread_cond_wait(&core->changed, &core->mutex);
            continue;
        }
        if (at_ms <= sg_clock_mono_ms()) {
            break;
        }
        struct timespec until = listener_timespec(at_ms);
        pthread_cond_timedwait(&core->changed, &core->mutex, &until);
    }
    bool accepted = core->accepted;
    core->accepted = false;
    *arrival = listener->arrival;
    listener->arrival = (struct listener_arrival){0};
    pthread_mutex_unlock(&core->mutex);
    return accepted;
}

/* Closes connections: those that have been idle since idle_before_ms or longer, or all. */
static void listener_close(struct sg_listener *listener, uint64_t idle_before_ms, bool all)
{
    for (struct sg_connection *connection = listener->connections; connection != NULL;
         connection = *sg_connection_next(connection)) {
        uint64_t since_ms = sg_connection_idle_since(connection);
        if (all || (since_ms != 0 && since_ms <= idle_before_ms)) {
            sg_connection_close(connection);
        }
    }
}

/* Ends every connection: each once it has been idle for a moment, and all when the grace is over. After
 * that only the workers' current requests are waited for. */
static void listener_drain(struct sg_listener *listener, uint64_t stop_by_ms)
{
    struct sg_listener_core *core = &listener->core;
    atomic_store(&core->phase, SG_LISTENER_STOPPING);
    uint64_t close_idle_at_ms = sg_clock_mono_ms() + LISTENER_STOP_IDLE_MS;
    while (listener->connections != NULL) {
        uint64_t now_ms = sg_clock_mono_ms();
        bool over = now_ms >= stop_by_ms;
        if (over) {
            atomic_store(&core->phase, SG_LISTENER_ABANDONING);
        }
        if (over || now_ms >= close_idle_at_ms) {
            listener_close(listener, now_ms - LISTENER_STOP_IDLE_MS, over);
        }
        listener_sweep(listener, now_ms);
        pthread_mutex_lock(&core->mutex);
        if (core->reapable == NULL) {
            struct timespec until = listener_timespec(sg_clock_mono_ms() + LISTENER_STOP_POLL_MS);
            pthread_cond_timedwait(&core->changed, &core->mutex, &until);
        }
        pthread_mutex_unlock(&core->mutex);
        listener_reap(listener);
    }
}

static void *listener_main(void *arg)
{
    struct sg_listener *listener = arg;
    struct sg_listener_core *core = &listener->core;
    (void)pthread_setname_np(pthread_self(), "signetd-house");
    listener_accept(listener);
    for (;;) {
        struct listener_arrival arrival;
        bool accepted = listener_wait(listener, &arrival);
        listener_reap(listener);
        uint64_t now_ms = sg_clock_mono_ms();
        pthread_mutex_lock(&core->mutex);
        bool stop = core->stop;
        uint64_t stop_by_ms = core->stop_by_ms;
        pthread_mutex_unlock(&core->mutex);
        if (accepted) {
            listener_accepted(listener, &arrival, now_ms);
        } else if (listener->accept_at_ms != 0 && listener->accept_at_ms <= now_ms) {
            listener_accept(listener);
        }
        if (stop) {
            nng_stream_listener_close(listener->stream_listener);
            nng_aio_stop(listener->accept_aio);
            nng_stream_free(
                listener->arrival.stream); /* its callback has ended, if there was one */
            listener_drain(listener, stop_by_ms);
            return NULL;
        }
        listener_sweep(listener, now_ms);
    }
}

/* ---- Start and stop ---- */

/* Limits the connections to the descriptors that there are, after raising their soft limit as far as
 * needed and allowed. A refusal at accept is better than a peer that waits in the backlog. */
static void listener_fit_descriptors(struct sg_config_limits *limits)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return;
    }
    rlim_t needed = (rlim_t)limits->max_connections + LISTENER_RESERVED_FDS;
    if (files.rlim_cur < needed) {
        files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
        (void)setrlimit(RLIMIT_NOFILE, &files);
        (void)getrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur < needed) {
        rlim_t room = files.rlim_cur > 2 * LISTENER_RESERVED_FDS
                          ? files.rlim_cur - LISTENER_RESERVED_FDS
                          : (files.rlim_cur + 1) / 2;
        sg_log(
            SG_LOG_WARNING,
            "limits.max_connections is %u, but the limit of open files (%llu) allows %llu; raise "
            "LimitNOFILE or lower max_connections",
            limits->max_connections, (unsigned long long)files.rlim_cur, (unsigned long long)room);
        limits->max_connections = (uint32_t)room;
    }
}

static void listener_init(struct sg_listener *listener, const struct sg_listener_options *options,
                          const struct sg_service *service, struct sg_workers *workers)
{
    struct sg_listener_core *core = &listener->core;
    core->service = service;
    core->workers = workers;
    core->quota = options->quota;
    core->limits = options->limits;
    listener->resolver = options->resolver;
    listener_fit_descriptors(&core->limits);
    sg_quota_set_max_connections(core->quota, core->limits.max_connections);
    core->handshake_ms = options->handshake_ms != 0 ? options->handshake_ms : LISTENER_HANDSHAKE_MS;
    core->half_message_ms =
        options->half_message_ms != 0 ? options->half_message_ms : LISTENER_HALF_MESSAGE_MS;
    core->write_ms = options->write_ms != 0 ? options->write_ms : LISTENER_WRITE_MS;
    listener->evict_idle_ms =
        options->evict_idle_ms != 0 ? options->evict_idle_ms : LISTENER_EVICT_IDLE_MS;
    core->max_buffer_bytes = (size_t)options->limits.max_buffer_mib << 20;
    atomic_init(&core->phase, SG_LISTENER_SERVING);

    pthread_condattr_t attr;
    /* None of these can fail on Linux with these arguments. */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&core->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&core->mutex, NULL);
}

static signet_status listener_start_serving(struct sg_listener *listener,
                                            const struct sg_listener_options *options, char *error,
                                            size_t error_cap)
{
    unsigned num = options->num_threads != 0 ? options->num_threads : sg_listener_default_threads();
    signet_status status = sg_serving_new(num, options->threads, &listener->core.serving);
    if (status != SIGNET_OK) {
        listener_error(error, error_cap, "cannot start %u threads for %s", num, listener->path);
    }
    return status;
}

static void listener_free(struct sg_listener *listener)
{
    sg_serving_free(listener->core.serving);
    nng_aio_free(listener->accept_aio);
    if (listener->stream_listener != NULL) {
        nng_stream_listener_free(listener->stream_listener);
    }
    (void)pthread_cond_destroy(&listener->core.changed);
    (void)pthread_mutex_destroy(&listener->core.mutex);
    free(listener);
}

/* nng removes whatever sits at the path and refuses connections, even a regular file. Only a socket
 * may be there; whether it is a live one shows when nng binds. */
static signet_status listener_check_path(const char *path, char *error, size_t error_cap)
{
    struct stat status;
    size_t max_len = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (path == NULL || path[0] != '/' || strlen(path) > max_len) {
        listener_error(
            error, error_cap,
            "socket path %s: must be absolute and at most %zu bytes long; choose another "
            "runtime directory",
            path != NULL ? path : "(none)", max_len);
        return SIGNET_INVALID_ARGUMENT;
    }
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) {
            listener_error(error, error_cap, "%s: exists and is not a socket; remove it", path);
            return SIGNET_FAILED_PRECONDITION;
        }
    } else if (errno != ENOENT) {
        listener_error(error, error_cap, "%s: %s", path, strerror(errno));
        return SIGNET_FAILED_PRECONDITION;
    }
    return SIGNET_OK;
}

/* Binds and listens, and makes sure that the socket's mode is the one asked for. */
static signet_status listener_listen(struct sg_listener *listener, mode_t mode, char *error,
                                     size_t error_cap)
{
    char url[sizeof("ipc://") + sizeof(listener->path)];
    (void)snprintf(url, sizeof(url), "ipc://%s", listener->path);
    int result = nng_stream_listener_alloc(&listener->stream_listener, url);
    if (result == 0) {
        result = nng_aio_alloc(&listener->accept_aio, listener_on_accepted, listener);
    }
    if (result == 0) {
        result = nng_stream_listener_set_int(listener->stream_listener, NNG_OPT_IPC_PERMISSIONS,
                                             (int)mode);
    }
    if (result == 0) {
        result = nng_stream_listener_listen(listener->stream_listener);
    }
    if (result != 0) {
        listener_error(error, error_cap, "cannot listen on %s: %s", listener->path,
                       result == NNG_EADDRINUSE ? "another process listens there; stop it first"
                                                : nng_strerror(result));
        return SIGNET_FAILED_PRECONDITION;
    }
    struct stat status;
    if (lstat(listener->path, &status) != 0 || !S_ISSOCK(status.st_mode) ||
        (status.st_mode & 07777) != mode) {
        listener_error(
            error, error_cap,
            "%s: is not a socket of mode %04o after listening; does another process change "
            "the runtime directory?",
            listener->path, (unsigned)mode);
        return SIGNET_FAILED_PRECONDITION;
    }
    return SIGNET_OK;
}

static bool listener_start_thread(struct sg_listener *listener)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) {
        return false;
    }
    bool started = pthread_attr_setstacksize(&attr, LISTENER_STACK_LEN) == 0 &&
                   pthread_create(&listener->thread, &attr, listener_main, listener) == 0;
    (void)pthread_attr_destroy(&attr);
    return started;
}

signet_status sg_listener_start(const struct sg_listener_options *options,
                                const struct sg_service *service, struct sg_workers *workers,
                                struct sg_listener **out, char *error, size_t error_cap)
{
    signet_status status = listener_check_path(options->path, error, error_cap);
    if (status != SIGNET_OK) {
        return status;
    }
    struct sg_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        listener_error(error, error_cap, "no memory for the listener");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    memcpy(listener->path, options->path, strlen(options->path) + 1);
    listener_init(listener, options, service, workers);

    /* The first call into nng starts its threads; the host program's signals are not for them. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = listener_start_serving(listener, options, error, error_cap);
    if (status == SIGNET_OK) {
        status = listener_listen(listener, options->mode, error, error_cap);
    }
    /* Before the housekeeper accepts: the first request may ask for the listener's counts. */
    *out = listener;
    if (status == SIGNET_OK && !listener_start_thread(listener)) {
        listener_error(error, error_cap, "cannot start a thread for %s", listener->path);
        status = SIGNET_RESOURCE_EXHAUSTED;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != SIGNET_OK) {
        *out = NULL;
        listener_free(listener);
    }
    return status;
}

void sg_listener_stop(struct sg_listener *listener, uint32_t grace_ms)
{
    if (listener == NULL) {
        return;
    }
    pthread_mutex_lock(&listener->core.mutex);
    listener->core.stop = true;
    listener->core.stop_by_ms = sg_clock_mono_ms() + grace_ms;
    pthread_cond_signal(&listener->core.changed);
    pthread_mutex_unlock(&listener->core.mutex);
    (void)pthread_join(listener->thread, NULL);
    listener_free(listener);
}

bool sg_listener_is_abandoning(struct sg_listener *listener)
{
    return atomic_load_explicit(&listener->core.phase, memory_order_relaxed) ==
           SG_LISTENER_ABANDONING;
}

unsigned sg_listener_default_threads(void)
{
    long num = sysconf(_SC_NPROCESSORS_ONLN);
    if (num < 2) {
        return 2; /* one of them never waits */
    }
    return num < LISTENER_MAX_THREADS ? (unsigned)num : LISTENER_MAX_THREADS;
}

void sg_listener_read_stats(struct sg_listener *listener, struct sg_server_stats *stats)
{
    struct sg_listener_core *core = &listener->core;
    *stats = (struct sg_server_stats){
        .num_connections = atomic_load_explicit(&core->num_connections, memory_order_relaxed),
        .max_connections = core->limits.max_connections,
        .num_in_flight = atomic_load_explicit(&core->num_in_flight, memory_order_relaxed),
        .max_in_flight = core->limits.max_in_flight,
        .num_requests = atomic_load_explicit(&core->num_requests, memory_order_relaxed),
        .num_errors = atomic_load_explicit(&core->num_errors, memory_order_relaxed),
        .num_refused_connections =
            atomic_load_explicit(&core->num_refused_connections, memory_order_relaxed),
        .num_protocol_errors =
            atomic_load_explicit(&core->num_protocol_errors, memory_order_relaxed),
        .buffer_bytes = atomic_load_explicit(&core->buffer_bytes, memory_order_relaxed),
        .max_buffer_bytes = core->max_buffer_bytes,
    };
}
