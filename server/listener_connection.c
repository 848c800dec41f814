/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection: its receive buffer, its requests in flight, its unsent replies, its deadlines. The
 * bytes it holds are bounded whatever the peer does: a frame's announced length is compared with the
 * limit and then only sized for as bytes arrive, reading stops while too much is in flight or unsent,
 * and what cannot be had from the daemon-wide budget closes the connection. It must never wait for a
 * peer on any thread, and must never log: a peer could make it.
 */
#include "server/listener_connection.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/limits.h"
#include "common/sp.h"
#include "server/clock.h"

/* Room for a common request without another allocation; most of what an idle connection costs. */
#define CONNECTION_INLINE_LEN 2048u
/* Reading stops above this many unsent bytes. */
#define CONNECTION_UNSENT_PAUSE (256u * 1024u)
/* Replies of work that was already in flight may go beyond; this closes the connection. */
#define CONNECTION_UNSENT_MAX (2u * (size_t)SG_MAX_RESPONSE_FRAME)
#define CONNECTION_MAX_IOV    8u
/* The write deadline is renewed when a whole reply or as many bytes have left. */
#define CONNECTION_WRITE_PROGRESS (64u * 1024u)
/* Others come first after so much time with one connection, and with all that were taken together. What a thread
 * was kept from doing is not put to anybody's account beyond the last of these. */
#define CONNECTION_TURN_NS UINT64_C(250000)
#define CONNECTION_BITE_NS UINT64_C(500000)
#define CONNECTION_MOST_NS UINT64_C(5000000)
/* A connection is costly if a call of its last turn had a price above this: that of an HMAC is lower, that of any
 * other signature is not. */
#define CONNECTION_COSTLY_US 30u
/* A uid that hammers is left alone for so long at least: it is a look through all connections to begin again. */
#define CONNECTION_MIN_HOLD_MS 20u
#define CONNECTION_US_PER_MS   1000u

/* Every reply begins with this, in the room that dispatch leaves before the body. */
struct reply {
    struct reply *next;
    size_t len; /* SP header and body */
    uint8_t bytes[];
};
#define REPLY_HEADROOM (sizeof(struct reply) + SG_SP_HEADER_LEN)

struct reply_list {
    struct reply *first;
    struct reply **last_next;
    size_t num_bytes;
};

enum take_result {
    TAKE_NEEDS_BYTES = 1, /* the buffer holds no whole message any more */
    TAKE_STOPPED,         /* there may be more, but enough was done */
    TAKE_BAD,             /* not the protocol */
    TAKE_FAILED           /* no memory */
};

enum connection_reader {
    READER_WAITING = 1, /* recv_aio is under way */
    READER_RUNNING,     /* a thread serves it, or will, and owns the buffer */
    READER_PAUSED,      /* too much in flight or unsent; whoever lessens it resumes */
    READER_HELD         /* its uid sends what is refused; the housekeeper resumes it */
};

struct sg_connection {
    struct sg_listener_core *core;
    struct sg_peer peer;
    nng_stream *stream;
    nng_aio *recv_aio;
    nng_aio *send_aio; /* the rest of a write that would have blocked */
    nng_aio *try_aio;  /* writes that end at once; has no callback, so costs no other thread */
    struct sg_connection *prev, *next;   /* the housekeeper's */
    struct sg_connection *next_reapable; /* guarded by core->mutex */
    struct sg_fair_item ready_item;      /* the serving queue's */

    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    bool closed;
    bool was_good;      /* it has greeted, and kept to the protocol */
    bool sending;       /* send_aio is under way */
    unsigned num_holds; /* by workers and by who serves it: they keep the connection alive */
    enum connection_reader reader;
    uint64_t read_deadline_ms, write_deadline_ms; /* 0: none */
    uint64_t idle_since_ms;
    uint64_t held_until_ms; /* while READER_HELD */
    struct reply_list unsent;
    size_t unsent_offset;   /* of the first reply, already written */
    size_t write_progress;  /* bytes that have left since write_deadline_ms was set */
    size_t num_budget_kept; /* of the budget, for unsent replies */

    /* Changed under the mutex, by the reader upwards and by workers downwards. */
    atomic_uint num_in_flight;

    /* Of the thread that serves it. */
    struct reply_list replies; /* of what it has taken */
    enum take_result taken;
    size_t in_len_before;
    bool crosses;         /* a call of it is in the bite */
    uint64_t crossing_ns; /* what the keyholder is taken to spend on these */
    uint64_t dearest_us;  /* the highest price of a call in its last turn */
    uint64_t ready_at_ms;

    /* Owned by the reader while READER_RUNNING; by the receive under way while READER_WAITING. */
    bool greeted;
    uint8_t *in;
    size_t in_len, in_cap, in_needed; /* in_needed: length of the message begun, once known */
    uint8_t in_inline[CONNECTION_INLINE_LEN];
};

/* A request that a worker holds. */
struct request {
    struct sg_work work;
    struct sg_connection *connection;
    struct sg_call *call;
    uint32_t id;
    size_t len; /* taken from the budget */
};

/* ---- Budget and deadlines ---- */

static bool budget_take(struct sg_listener_core *core, size_t len)
{
    size_t before = atomic_fetch_add_explicit(&core->buffer_bytes, len, memory_order_relaxed);
    if (before > core->max_buffer_bytes || len > core->max_buffer_bytes - before) {
        atomic_fetch_sub_explicit(&core->buffer_bytes, len, memory_order_relaxed);
        return false;
    }
    return true;
}

static void budget_return(struct sg_listener_core *core, size_t len)
{
    if (len > 0) {
        atomic_fetch_sub_explicit(&core->buffer_bytes, len, memory_order_relaxed);
    }
}

/* Makes sure that the housekeeper looks at deadlines at at_ms or before. */
static void connection_arm(struct sg_listener_core *core, uint64_t at_ms)
{
    pthread_mutex_lock(&core->mutex);
    if (core->sweep_at_ms == 0 || at_ms < core->sweep_at_ms) {
        core->sweep_at_ms = at_ms;
        pthread_cond_signal(&core->changed);
    }
    pthread_mutex_unlock(&core->mutex);
}

/* ---- Ending; all with the mutex held ---- */

static void connection_give_up_if_unused(struct sg_connection *connection)
{
    struct sg_listener_core *core = connection->core;
    if (!connection->closed || connection->num_holds > 0) {
        return;
    }
    pthread_mutex_lock(&core->mutex);
    connection->next_reapable = core->reapable;
    core->reapable = connection;
    pthread_cond_signal(&core->changed);
    pthread_mutex_unlock(&core->mutex);
}

/* No operation is begun on a closed connection; those under way end. */
static void connection_shut(struct sg_connection *connection)
{
    if (!connection->closed) {
        connection->closed = true;
        if (!connection->was_good) {
            sg_quota_charge_more(connection->peer.account, SG_QUOTA_PROTOCOL_ERROR_US,
                                 sg_clock_mono_ms() * CONNECTION_US_PER_MS);
        }
        nng_stream_close(connection->stream);
        connection_give_up_if_unused(connection);
    }
}

/* It wants more memory than there is for connections. */
static void connection_shut_for_memory(struct sg_connection *connection)
{
    atomic_fetch_add_explicit(&connection->core->num_refused_connections, 1, memory_order_relaxed);
    connection_shut(connection);
}

static void connection_protocol_error(struct sg_connection *connection)
{
    atomic_fetch_add_explicit(&connection->core->num_protocol_errors, 1, memory_order_relaxed);
    connection->was_good = false;
    connection_shut(connection);
}

/* ---- Writing ---- */

static void reply_list_init(struct reply_list *list)
{
    list->first = NULL;
    list->last_next = &list->first;
    list->num_bytes = 0;
}

static void reply_list_add(struct reply_list *list, struct reply *reply)
{
    *list->last_next = reply;
    list->last_next = &reply->next;
    list->num_bytes += reply->len;
}

static void reply_list_clear(struct reply_list *list)
{
    while (list->first != NULL) {
        struct reply *reply = list->first;
        list->first = reply->next;
        free(reply);
    }
    reply_list_init(list);
}

/* Turns a response, whose first REPLY_HEADROOM bytes are ours, into a reply. NULL if it has not got
 * them. */
static struct reply *reply_make(struct sg_listener_core *core, struct sg_response *response,
                                uint32_t request_id)
{
    if (response->bytes == NULL || response->len < REPLY_HEADROOM) {
        free(response->bytes);
        return NULL;
    }
    atomic_fetch_add_explicit(&core->num_requests, 1, memory_order_relaxed);
    if (response->is_error) {
        atomic_fetch_add_explicit(&core->num_errors, 1, memory_order_relaxed);
    }
    struct reply *reply = (struct reply *)(void *)response->bytes;
    reply->next = NULL;
    reply->len = response->len - sizeof(*reply);
    sg_sp_header(request_id, response->len - REPLY_HEADROOM, reply->bytes);
    return reply;
}

/* Moves all of list to the end of what the connection has to send. Mutex held. */
static void connection_queue(struct sg_connection *connection, struct reply_list *list)
{
    if (list->first != NULL) {
        *connection->unsent.last_next = list->first;
        connection->unsent.last_next = list->last_next;
        connection->unsent.num_bytes += list->num_bytes;
        reply_list_init(list);
    }
}

/* Strikes len bytes off what is to be sent, and ends the write deadline if that is enough of them: a
 * peer that reads in trickles cannot renew it. Mutex held. */
static void connection_sent(struct sg_connection *connection, size_t len)
{
    struct reply_list *unsent = &connection->unsent;
    unsent->num_bytes -= len;
    connection->write_progress += len;
    len += connection->unsent_offset;
    bool enough = connection->write_progress >= CONNECTION_WRITE_PROGRESS;
    while (unsent->first != NULL && len >= unsent->first->len) {
        struct reply *reply = unsent->first;
        len -= reply->len;
        unsent->first = reply->next;
        free(reply);
        enough = true;
    }
    if (enough) {
        connection->write_deadline_ms = 0;
    }
    if (unsent->first == NULL) {
        unsent->last_next = &unsent->first;
    }
    connection->unsent_offset = len;
}

static bool connection_set_iov(struct sg_connection *connection, nng_aio *aio)
{
    nng_iov iov[CONNECTION_MAX_IOV];
    unsigned num = 0;
    size_t offset = connection->unsent_offset;
    for (struct reply *reply = connection->unsent.first; reply != NULL && num < CONNECTION_MAX_IOV;
         reply = reply->next) {
        iov[num].iov_buf = reply->bytes + offset;
        iov[num].iov_len = reply->len - offset;
        offset = 0;
        num++;
    }
    return nng_aio_set_iov(aio, num, iov) == 0;
}

/* Writes what the socket takes now. nng tries to write at once; what it could not write is cancelled,
 * which is lost only if nng has just completed it, so the wait ends at once in both cases. Returns
 * false when the socket is full; a broken connection is shut. Mutex held. */
static bool connection_try_write(struct sg_connection *connection)
{
    if (!connection_set_iov(connection, connection->try_aio)) {
        connection_shut(connection);
        return true;
    }
    nng_stream_send(connection->stream, connection->try_aio);
    nng_aio_abort(connection->try_aio, NNG_EAGAIN);
    nng_aio_wait(connection->try_aio);
    int result = nng_aio_result(connection->try_aio);
    if (result == NNG_EAGAIN) {
        return false;
    }
    if (result != 0) {
        connection_shut(connection);
        return true;
    }
    connection_sent(connection, nng_aio_count(connection->try_aio));
    return true;
}

/* The budget covers what waits for the peer, not what left at once. */
static void connection_settle_budget(struct sg_connection *connection)
{
    size_t kept = connection->num_budget_kept;
    size_t unsent = connection->unsent.num_bytes;
    if (unsent < kept) {
        budget_return(connection->core, kept - unsent);
    } else if (unsent > kept) {
        if (unsent > CONNECTION_UNSENT_MAX || !budget_take(connection->core, unsent - kept)) {
            connection_shut_for_memory(connection);
            return;
        }
    }
    connection->num_budget_kept = unsent;
}

/* Writes until nothing is left or the socket is full; then the rest goes when it has room again, or
 * the write deadline passes. Mutex held. */
static void connection_flush(struct sg_connection *connection)
{
    while (!connection->closed && !connection->sending && connection->unsent.first != NULL) {
        if (!connection_try_write(connection)) {
            if (!connection_set_iov(connection, connection->send_aio)) {
                connection_shut(connection);
                return;
            }
            connection->sending = true;
            if (connection->write_deadline_ms == 0) {
                connection->write_progress = 0;
                connection->write_deadline_ms = sg_clock_mono_ms() + connection->core->write_ms;
                connection_arm(connection->core, connection->write_deadline_ms);
            }
            nng_stream_send(connection->stream, connection->send_aio);
        }
    }
    if (!connection->closed) {
        connection_settle_budget(connection);
    }
}

/* Whether another request may be taken. */
static bool connection_may_read(const struct sg_connection *connection)
{
    return atomic_load_explicit(&connection->num_in_flight, memory_order_relaxed) <
               connection->core->limits.max_in_flight_per_connection &&
           connection->unsent.num_bytes <= CONNECTION_UNSENT_PAUSE;
}

/* Leaves what has arrived alone for a while if the uid goes on sending what is refused. Mutex held. */
static bool connection_hold_back(struct sg_connection *connection, uint64_t now_ms)
{
    uint64_t until_us = sg_quota_read_again_at_us(connection->peer.account);
    uint64_t until_ms = until_us / CONNECTION_US_PER_MS;
    if (until_ms <= now_ms) {
        return false;
    }
    if (until_ms < now_ms + CONNECTION_MIN_HOLD_MS) {
        until_ms = now_ms + CONNECTION_MIN_HOLD_MS;
    }
    connection->reader = READER_HELD;
    connection->held_until_ms = until_ms;
    connection_arm(connection->core, until_ms);
    return true;
}

/* Mutex held. */
static void connection_make_ready(struct sg_connection *connection)
{
    uint64_t now_ms = sg_clock_mono_ms();
    if (connection->reader != READER_HELD) {
        connection->ready_at_ms = now_ms;
    }
    if (connection_hold_back(connection, now_ms)) {
        return;
    }
    connection->reader = READER_RUNNING;
    connection->num_holds++;
    sg_serving_add(connection->core->serving, connection);
}

/* Reads on if reading had stopped and may go on. Mutex held. */
static void connection_resume(struct sg_connection *connection)
{
    if (!connection->closed && connection->reader == READER_PAUSED &&
        connection_may_read(connection)) {
        connection_make_ready(connection);
    }
}

static void connection_on_sent(void *arg)
{
    struct sg_connection *connection = arg;
    pthread_mutex_lock(&connection->mutex);
    connection->sending = false;
    if (!connection->closed) {
        if (nng_aio_result(connection->send_aio) != 0) {
            connection_shut(connection);
        } else {
            connection_sent(connection, nng_aio_count(connection->send_aio));
            connection_flush(connection);
            connection_resume(connection);
        }
    }
    pthread_mutex_unlock(&connection->mutex);
}

/* ---- Requests ---- */

static enum sg_call_progress request_work(struct sg_listener_core *core, struct sg_call *call,
                                          struct sg_now now, struct sg_response *response)
{
    if (atomic_load_explicit(&core->phase, memory_order_relaxed) != SG_LISTENER_SERVING) {
        return sg_call_refuse(call, SG_REFUSE_STOPPING, 0, response) ? SG_CALL_DONE
                                                                     : SG_CALL_FAILED;
    }
    return sg_call_work(call, now, response);
}

/* Puts a response to the others of its connection; without one, the connection is of no more use. */
static void request_add_reply(struct sg_connection *connection, bool answered,
                              struct sg_response *response, uint32_t id)
{
    struct reply *reply = answered ? reply_make(connection->core, response, id) : NULL;
    if (reply == NULL) {
        connection->taken = TAKE_FAILED;
    } else {
        reply_list_add(&connection->replies, reply);
    }
}

/* The bounds on what is in flight: of the uid, of the daemon, and of memory. */
static bool request_take_place(struct sg_connection *connection, size_t len)
{
    if (!sg_quota_enter(connection->peer.account)) {
        return false;
    }
    if (!budget_take(connection->core, len)) {
        sg_quota_exit(connection->peer.account);
        return false;
    }
    atomic_fetch_add_explicit(&connection->core->num_in_flight, 1, memory_order_relaxed);
    return true;
}

static void request_leave_place(struct sg_connection *connection, size_t len)
{
    budget_return(connection->core, len);
    atomic_fetch_sub_explicit(&connection->core->num_in_flight, 1, memory_order_relaxed);
    sg_quota_exit(connection->peer.account);
}

/* Whether a request that waited is still to be worked on: not after the grace, and not when its peer
 * has gone, or what a peer left behind would keep the workers from others. */
static bool request_is_wanted(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    bool open = !connection->closed;
    pthread_mutex_unlock(&connection->mutex);
    return open && atomic_load_explicit(&connection->core->phase, memory_order_relaxed) !=
                       SG_LISTENER_ABANDONING;
}

/* On a worker. Requests that were in flight when the stop began are finished; after the grace they are
 * not even begun. */
static void request_run(struct sg_work *work)
{
    struct request *request = (struct request *)(void *)work;
    struct sg_connection *connection = request->connection;
    struct sg_listener_core *core = connection->core;
    struct sg_response response = {0};
    struct reply *reply = NULL;
    if (request_is_wanted(connection)
            ? sg_call_finish(request->call, sg_clock_now(), &response)
            : sg_call_refuse(request->call, SG_REFUSE_STOPPING, 0, &response)) {
        reply = reply_make(core, &response, request->id);
    }
    request_leave_place(connection, request->len);
    free(request);

    pthread_mutex_lock(&connection->mutex);
    atomic_fetch_sub_explicit(&connection->num_in_flight, 1, memory_order_relaxed);
    connection->idle_since_ms = sg_clock_mono_ms();
    if (reply == NULL) {
        connection_shut(connection);
    } else {
        reply_list_add(&connection->unsent, reply);
        connection_flush(connection);
        connection_resume(connection);
    }
    connection->num_holds--;
    connection_give_up_if_unused(connection);
    pthread_mutex_unlock(&connection->mutex);
}

/* Keeps the connection alive for a worker. False if it is closed: it may be on its way out already. */
static bool request_hold(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    bool open = !connection->closed;
    if (open) {
        connection->num_holds++;
        atomic_fetch_add_explicit(&connection->num_in_flight, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&connection->mutex);
    return open;
}

static void request_let_go(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    connection->num_holds--;
    atomic_fetch_sub_explicit(&connection->num_in_flight, 1, memory_order_relaxed);
    connection_give_up_if_unused(connection);
    pthread_mutex_unlock(&connection->mutex);
}

/* Gives the call to a worker. Otherwise *why it is to be refused, and when it may be retried. */
static bool request_submit(struct sg_connection *connection, struct sg_call *call, uint32_t id,
                           enum sg_refusal *why, uint32_t *retry_after_ms)
{
    struct sg_listener_core *core = connection->core;
    size_t len = sg_call_memory(call);
    *why = SG_REFUSE_BUSY;
    if (!request_take_place(connection, len)) {
        return false;
    }
    struct request *request = malloc(sizeof(*request));
    if (request != NULL) {
        *request = (struct request){.work = {.flow = sg_quota_working(connection->peer.account),
                                             .cost_us = sg_call_cost_us(call),
                                             .deadline_ms = sg_call_deadline_ms(call),
                                             .run = request_run},
                                    .connection = connection,
                                    .call = call,
                                    .id = id,
                                    .len = len};
        if (request_hold(connection)) {
            enum sg_workers_answer answer = sg_workers_submit(core->workers, &request->work,
                                                              sg_clock_mono_ms(), retry_after_ms);
            if (answer == SG_WORKERS_QUEUED) {
                return true;
            }
            *why = answer == SG_WORKERS_LATE ? SG_REFUSE_LATE : SG_REFUSE_BUSY;
            request_let_go(connection);
        }
        free(request);
    }
    request_leave_place(connection, len);
    return false;
}

/* A request that is refused for what waits already costs what refusing it takes. */
static bool request_refuse(struct sg_connection *connection, struct sg_call *call,
                           enum sg_refusal why, uint32_t retry_after_ms,
                           struct sg_response *response, struct sg_now now)
{
    sg_quota_note_refusal(connection->peer.account, now.mono_ms * CONNECTION_US_PER_MS);
    return sg_call_refuse(call, why, retry_after_ms, response);
}

/* Handles one request as far as this thread may. */
static void request_handle(struct sg_connection *connection, const struct sg_sp_message *message,
                           struct sg_bite *bite)
{
    struct sg_listener_core *core = connection->core;
    struct sg_response response = {0};
    struct sg_call *call = sg_call_begin(core->service, &connection->peer, message->body,
                                         message->body_len, bite->now, REPLY_HEADROOM);
    enum sg_refusal why = SG_REFUSE_BUSY;
    uint32_t retry_after_ms = 0;
    bool answered = false;
    if (call == NULL) {
        connection->taken = TAKE_FAILED;
        return;
    }
    if (!sg_call_is_slow(call)) {
        const uint64_t cost_us = sg_call_cost_us(call); /* it may be gone once it was worked on */
        if (cost_us > connection->dearest_us) {
            connection->dearest_us = cost_us;
        }
        enum sg_call_progress progress = request_work(core, call, bite->now, &response);
        if (progress == SG_CALL_CROSSES) {
            size_t len = sg_call_memory(call);
            if (budget_take(core, len)) {
                bite->calls[bite->num_calls] = call;
                bite->callers[bite->num_calls] = connection;
                bite->lens[bite->num_calls] = len;
                bite->ids[bite->num_calls++] = message->request_id;
                connection->crosses = true;
                connection->crossing_ns += cost_us * 1000u;
                return;
            }
            answered = request_refuse(connection, call, why, 0, &response, bite->now);
        } else {
            answered = progress == SG_CALL_DONE;
        }
    } else if (request_submit(connection, call, message->request_id, &why, &retry_after_ms)) {
        return;
    } else {
        answered = request_refuse(connection, call, why, retry_after_ms, &response, bite->now);
    }
    request_add_reply(connection, answered, &response, message->request_id);
}

/* ---- Reading ---- */

/* Gives the buffer back if what remains fits without it. Reader only. */
static void buffer_shrink(struct sg_connection *connection, const uint8_t *rest, size_t rest_len)
{
    if (connection->in != connection->in_inline && rest_len < CONNECTION_INLINE_LEN &&
        connection->in_needed <= CONNECTION_INLINE_LEN) {
        memcpy(connection->in_inline, rest, rest_len);
        free(connection->in);
        budget_return(connection->core, connection->in_cap);
        connection->in = connection->in_inline;
        connection->in_cap = CONNECTION_INLINE_LEN;
    } else if (rest != connection->in) {
        memmove(connection->in, rest, rest_len);
    }
    connection->in_len = rest_len;
}

/* Makes room for more bytes of a message that was begun: for as many as have come, and never more than
 * was announced. An announcement costs its sender half of what it costs the daemon. Reader only. */
static bool buffer_grow(struct sg_connection *connection)
{
    size_t cap = connection->in_cap * 2;
    /* A rest that is shorter than the first buffer is not worth another copy. */
    if (connection->in_needed < cap + CONNECTION_INLINE_LEN) {
        cap = connection->in_needed;
    }
    /* Only a message that was begun fills the buffer, and it is longer than the buffer. */
    if (cap <= connection->in_len || !budget_take(connection->core, cap)) {
        return false;
    }
    uint8_t *bytes = malloc(cap);
    if (bytes == NULL) {
        budget_return(connection->core, cap);
        return false;
    }
    memcpy(bytes, connection->in, connection->in_len);
    if (connection->in != connection->in_inline) {
        free(connection->in);
        budget_return(connection->core, connection->in_cap);
    }
    connection->in = bytes;
    connection->in_cap = cap;
    return true;
}

/* Takes the greeting. */
static enum take_result take_greeting(struct sg_connection *connection, size_t *offset)
{
    if (connection->in_len < SG_SP_HANDSHAKE_LEN) {
        return TAKE_NEEDS_BYTES;
    }
    if (!sg_sp_handshake_ok(connection->in, SG_SP_REQ0)) {
        return TAKE_BAD;
    }
    connection->greeted = true;
    *offset = SG_SP_HANDSHAKE_LEN;
    return TAKE_STOPPED;
}

static uint64_t connection_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whether another request may be taken in this turn. */
static bool connection_may_take(const struct sg_connection *connection, const struct sg_bite *bite,
                                uint64_t began_ns)
{
    return connection->taken == TAKE_STOPPED && bite->num_calls < SG_CALL_MAX_CROSSING &&
           connection->replies.num_bytes <= CONNECTION_UNSENT_PAUSE &&
           atomic_load_explicit(&connection->num_in_flight, memory_order_relaxed) <
               connection->core->limits.max_in_flight_per_connection &&
           connection_now_ns() - began_ns < CONNECTION_TURN_NS;
}

/* Takes messages out of the buffer while they are whole and the peer keeps to its bounds. Reader only, mutex
 * not held. */
static void connection_take(struct sg_connection *connection, struct sg_bite *bite,
                            uint64_t began_ns)
{
    size_t offset = 0;
    reply_list_init(&connection->replies);
    connection->in_len_before = connection->in_len;
    connection->crosses = false;
    connection->crossing_ns = 0;
    connection->dearest_us = 0;
    connection->taken = TAKE_STOPPED;
    if (!connection->greeted) {
        connection->taken = take_greeting(connection, &offset);
    }
    connection->in_needed = 0;
    while (connection_may_take(connection, bite, began_ns)) {
        struct sg_sp_message message;
        enum sg_sp_parse parsed = sg_sp_parse(connection->in + offset, connection->in_len - offset,
                                              SG_MAX_REQUEST_FRAME, &message);
        if (parsed == SG_SP_MORE) {
            connection->in_needed = message.total_len;
            connection->taken = TAKE_NEEDS_BYTES;
        } else if (parsed != SG_SP_MESSAGE) {
            connection->taken = TAKE_BAD;
        } else {
            request_handle(connection, &message, bite);
            offset += message.total_len;
        }
    }
    if (offset > 0) {
        buffer_shrink(connection, connection->in + offset, connection->in_len - offset);
    }
}

/* Sets the deadline for what is begun and not whole. A new one only for a new message, so that a peer
 * which trickles bytes cannot renew it. Mutex held. */
static void connection_set_read_deadline(struct sg_connection *connection, bool advanced)
{
    if (advanced || connection->in_len == 0) {
        connection->read_deadline_ms = 0;
    }
    if (connection->in_len > 0 && connection->read_deadline_ms == 0) {
        connection->read_deadline_ms =
            connection->idle_since_ms + connection->core->half_message_ms;
        connection_arm(connection->core, connection->read_deadline_ms);
    }
}

/* Begins to receive. Mutex held. */
static void connection_receive(struct sg_connection *connection)
{
    if (connection->in_len == connection->in_cap && !buffer_grow(connection)) {
        connection_shut_for_memory(connection);
        return;
    }
    nng_iov iov = {.iov_buf = connection->in + connection->in_len,
                   .iov_len = connection->in_cap - connection->in_len};
    if (nng_aio_set_iov(connection->recv_aio, 1, &iov) != 0) {
        connection_shut(connection);
        return;
    }
    connection->reader = READER_WAITING;
    nng_stream_recv(connection->stream, connection->recv_aio);
}

/* What comes after the messages that were taken: more bytes, more of those that there are, a pause, or the
 * end. Mutex held. */
static void connection_go_on(struct sg_connection *connection)
{
    switch (connection->taken) {
    case TAKE_NEEDS_BYTES:
        connection_receive(connection);
        break;
    case TAKE_STOPPED:
        if (connection_may_read(connection)) {
            connection_make_ready(connection);
        } else {
            connection->read_deadline_ms = 0;
            connection->reader = READER_PAUSED;
        }
        break;
    case TAKE_BAD:
        connection_protocol_error(connection);
        break;
    case TAKE_FAILED:
        connection_shut(connection);
        break;
    }
}

static void connection_answer(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    connection->idle_since_ms = sg_clock_mono_ms();
    connection_queue(connection, &connection->replies);
    connection_flush(connection);
    if (connection->read_deadline_ms != 0) {
        /* Time in which nothing was read from it is not its own. */
        connection->read_deadline_ms += connection->idle_since_ms - connection->ready_at_ms;
        connection_arm(connection->core, connection->read_deadline_ms);
    }
    if (connection->greeted) {
        connection->was_good = true;
        connection_set_read_deadline(connection, connection->in_len < connection->in_len_before);
    }
    if (!connection->closed) {
        connection_go_on(connection);
    }
    connection->num_holds--;
    connection_give_up_if_unused(connection);
    pthread_mutex_unlock(&connection->mutex);
}

/* Takes from one connection after the other while there is time, and puts to account what each has cost. The
 * others wait for their next turn. */
static void bite_take_all(struct sg_bite *bite)
{
    const uint64_t began_ns = connection_now_ns();
    uint64_t before_ns = began_ns;
    size_t num = 0;
    while (num < bite->num && before_ns - began_ns < CONNECTION_BITE_NS) {
        struct sg_connection *connection = bite->connections[num];
        connection_take(connection, bite, before_ns);
        uint64_t after_ns = connection_now_ns();
        uint64_t spent_ns = after_ns - before_ns + connection->crossing_ns;
        bite->flows[num] = sg_connection_flow(connection);
        bite->spent_ns[num] = spent_ns < CONNECTION_MOST_NS ? spent_ns : CONNECTION_MOST_NS;
        before_ns = after_ns;
        num++;
    }
    for (size_t i = num; i < bite->num; i++) {
        sg_serving_add(bite->connections[i]->core->serving, bite->connections[i]);
    }
    bite->num = num;
    bite->num_spent = num;
}

bool sg_bite_take(struct sg_bite *bite)
{
    bite->now = sg_clock_now();
    bite->num_calls = 0;
    bite_take_all(bite);
    size_t num_kept = 0;
    for (size_t i = 0; i < bite->num; i++) {
        struct sg_connection *connection = bite->connections[i];
        if (connection->crosses) {
            bite->connections[num_kept++] = connection;
        } else {
            connection_answer(connection);
        }
    }
    bite->num = num_kept;
    return num_kept > 0;
}

void sg_bite_cross(struct sg_bite *bite, const struct sg_keyholder_delay *delay)
{
    bite->now = sg_clock_now(); /* it may have waited */
    sg_call_cross(bite->calls, bite->num_calls, bite->now, delay);
}

void sg_bite_answer(struct sg_bite *bite)
{
    for (size_t i = 0; i < bite->num_calls; i++) {
        struct sg_response response = {0};
        bool answered = sg_call_finish(bite->calls[i], bite->now, &response);
        budget_return(bite->callers[i]->core, bite->lens[i]);
        request_add_reply(bite->callers[i], answered, &response, bite->ids[i]);
    }
    for (size_t i = 0; i < bite->num; i++) {
        connection_answer(bite->connections[i]);
    }
}

void sg_bite_copy(struct sg_bite *out, const struct sg_bite *bite)
{
    out->next = NULL;
    out->num = 0;
    out->num_calls = 0;
    out->num_spent = 0;
    bool fits = sg_bite_join(out, bite);
    (void)fits; /* into nothing, always */
}

bool sg_bite_join(struct sg_bite *into, const struct sg_bite *bite)
{
    if (bite->num > SG_BITE_MAX - into->num ||
        bite->num_calls > SG_CALL_MAX_CROSSING - into->num_calls) {
        return false;
    }
    memcpy(into->connections + into->num, bite->connections,
           bite->num * sizeof(bite->connections[0]));
    into->num += bite->num;
    const size_t at = into->num_calls;
    memcpy(into->calls + at, bite->calls, bite->num_calls * sizeof(bite->calls[0]));
    memcpy(into->callers + at, bite->callers, bite->num_calls * sizeof(bite->callers[0]));
    memcpy(into->ids + at, bite->ids, bite->num_calls * sizeof(bite->ids[0]));
    memcpy(into->lens + at, bite->lens, bite->num_calls * sizeof(bite->lens[0]));
    into->num_calls += bite->num_calls;
    return true;
}

static void connection_on_received(void *arg)
{
    struct sg_connection *connection = arg;
    pthread_mutex_lock(&connection->mutex);
    if (!connection->closed) {
        if (nng_aio_result(connection->recv_aio) != 0) {
            connection_shut(connection);
        } else {
            connection->in_len += nng_aio_count(connection->recv_aio);
            connection_make_ready(connection);
        }
    }
    pthread_mutex_unlock(&connection->mutex);
}

/* ---- Life ---- */

static bool connection_init(struct sg_connection *connection, struct sg_listener_core *core,
                            nng_stream *stream, const struct sg_peer *peer)
{
    connection->core = core;
    connection->peer = *peer;
    connection->stream = stream;
    connection->in = connection->in_inline;
    connection->in_cap = CONNECTION_INLINE_LEN;
    connection->reader = READER_RUNNING;
    connection->idle_since_ms = sg_clock_mono_ms();
    reply_list_init(&connection->unsent);
    /* With default attributes it cannot fail on Linux. */
    (void)pthread_mutex_init(&connection->mutex, NULL);
    return nng_aio_alloc(&connection->recv_aio, connection_on_received, connection) == 0 &&
           nng_aio_alloc(&connection->send_aio, connection_on_sent, connection) == 0 &&
           nng_aio_alloc(&connection->try_aio, NULL, NULL) == 0;
}

struct sg_connection *sg_connection_open(struct sg_listener_core *core, nng_stream *stream,
                                         const struct sg_peer *peer)
{
    struct sg_connection *connection = calloc(1, sizeof(*connection));
    struct reply *greeting = malloc(sizeof(*greeting) + SG_SP_HANDSHAKE_LEN);
    if (connection == NULL || greeting == NULL) {
        free(connection);
        free(greeting);
        sg_peer_identity_free(peer->identity);
        nng_stream_free(stream);
        sg_quota_leave(core->quota, peer->account);
        return NULL;
    }
    if (!connection_init(connection, core, stream, peer)) {
        free(greeting);
        sg_connection_release(connection);
        return NULL;
    }
    greeting->next = NULL;
    greeting->len = SG_SP_HANDSHAKE_LEN;
    sg_sp_handshake(SG_SP_REP0, greeting->bytes);

    pthread_mutex_lock(&connection->mutex);
    reply_list_add(&connection->unsent, greeting);
    connection->read_deadline_ms = connection->idle_since_ms + core->handshake_ms;
    connection_arm(core, connection->read_deadline_ms);
    connection_flush(connection);
    if (!connection->closed) {
        connection_receive(connection);
    }
    pthread_mutex_unlock(&connection->mutex);
    return connection;
}

void sg_connection_close(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    connection_shut(connection);
    pthread_mutex_unlock(&connection->mutex);
}

void sg_connection_release(struct sg_connection *connection)
{
    /* Whoever gave it up may still be about to unlock the mutex. */
    pthread_mutex_lock(&connection->mutex);
    pthread_mutex_unlock(&connection->mutex);
    nng_aio_free(connection->recv_aio); /* each waits for its callback */
    nng_aio_free(connection->send_aio);
    nng_aio_free(connection->try_aio);
    nng_stream_free(connection->stream);
    sg_quota_leave(connection->core->quota, connection->peer.account);
    reply_list_clear(&connection->unsent);
    budget_return(connection->core, connection->num_budget_kept);
    if (connection->in != connection->in_inline) {
        free(connection->in);
        budget_return(connection->core, connection->in_cap);
    }
    sg_peer_identity_free(connection->peer.identity);
    (void)pthread_mutex_destroy(&connection->mutex);
    free(connection);
}

/* Mutex held. */
static bool connection_is_idle(const struct sg_connection *connection)
{
    return !connection->closed && connection->reader == READER_WAITING &&
           connection->num_holds == 0 && connection->unsent.first == NULL;
}

static uint64_t deadline_earlier(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a + b;
    }
    return a < b ? a : b;
}

uint64_t sg_connection_sweep(struct sg_connection *connection, uint64_t now_ms)
{
    uint64_t next_ms = 0;
    pthread_mutex_lock(&connection->mutex);
    if (!connection->closed) {
        uint64_t idle_ms = (uint64_t)connection->core->limits.idle_timeout_s * 1000u;
        uint64_t idle_deadline_ms = 0;
        if (idle_ms > 0) {
            idle_deadline_ms = connection_is_idle(connection) ? connection->idle_since_ms + idle_ms
                                                              : now_ms + idle_ms;
        }
        /* While it is served, or held, nothing is read from it, whatever it sends. */
        bool is_left_alone =
            connection->reader == READER_RUNNING || connection->reader == READER_HELD;
        uint64_t read_ms = is_left_alone ? 0 : connection->read_deadline_ms;
        next_ms = deadline_earlier(read_ms, connection->write_deadline_ms);
        if (next_ms != 0 && next_ms <= now_ms) {
            connection_protocol_error(connection);
        } else if (idle_deadline_ms != 0 && idle_deadline_ms <= now_ms) {
            connection_shut(connection);
        }
        if (!connection->closed && connection->reader == READER_HELD) {
            if (connection->held_until_ms <= now_ms) {
                connection_make_ready(connection); /* or arms another look */
            } else {
                next_ms = deadline_earlier(next_ms, connection->held_until_ms);
            }
        }
        next_ms = connection->closed ? 0 : deadline_earlier(next_ms, idle_deadline_ms);
    }
    pthread_mutex_unlock(&connection->mutex);
    return next_ms;
}

uint64_t sg_connection_idle_since(struct sg_connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    uint64_t since_ms = connection_is_idle(connection) ? connection->idle_since_ms : 0;
    pthread_mutex_unlock(&connection->mutex);
    return since_ms;
}

uid_t sg_connection_uid(const struct sg_connection *connection)
{
    return connection->peer.uid;
}

struct sg_connection **sg_connection_prev(struct sg_connection *connection)
{
    return &connection->prev;
}

struct sg_connection **sg_connection_next(struct sg_connection *connection)
{
    return &connection->next;
}

struct sg_fair_item *sg_connection_item(struct sg_connection *connection)
{
    return &connection->ready_item;
}

struct sg_connection *sg_connection_of_item(struct sg_fair_item *item)
{
    return (struct sg_connection *)(void *)((uint8_t *)item -
                                            offsetof(struct sg_connection, ready_item));
}

bool sg_connection_is_costly(const struct sg_connection *connection)
{
    return connection->dearest_us > CONNECTION_COSTLY_US;
}

struct sg_fair_flow *sg_connection_flow(struct sg_connection *connection)
{
    return sg_quota_reading(connection->peer.account);
}

struct sg_connection *sg_connection_next_reapable(struct sg_connection *connection)
{
    return connection->next_reapable;
}
