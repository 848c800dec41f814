/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection of the services socket, and what all of them share. Private to server/listener*.c.
 *
 * Threads: a connection runs on nng's task threads (bytes arrived, bytes left), on the one that serves it, on a
 * worker (slow work done) and on the housekeeper (deadlines, release). Its mutex guards it against all of them. Only the
 * housekeeper adds connections, looks through them and releases them, so the table needs no lock.
 *
 * Lock order: sg_connection.mutex, then sg_listener_core.mutex or the serving threads' own. nng's own locks come after both; no
 * lock is held while a request is worked on or while nng is waited for, except for a try to write,
 * which ends at once.
 */
#ifndef SG_LISTENER_CONNECTION_H
#define SG_LISTENER_CONNECTION_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"
#include "server/dispatch.h"
#include "server/listener_serving.h"
#include "server/quota.h"
#include "server/workers.h"

enum sg_listener_phase {
    SG_LISTENER_SERVING = 1,
    SG_LISTENER_STOPPING,  /* new requests are refused; those in flight finish */
    SG_LISTENER_ABANDONING /* the grace is over: no work is done any more */
};

struct sg_connection;

struct sg_listener_core {
    /* Fixed after the start. */
    const struct sg_service *service;
    struct sg_workers *workers;
    struct sg_serving *serving;
    struct sg_quota *quota;
    struct sg_config_limits limits;
    uint32_t handshake_ms, half_message_ms, write_ms;
    size_t max_buffer_bytes;

    atomic_int phase; /* enum sg_listener_phase */
    atomic_size_t buffer_bytes;
    atomic_uint num_connections, num_in_flight;
    atomic_uint_fast64_t num_requests, num_errors, num_refused_connections, num_protocol_errors;

    /* What wakes the housekeeper. */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    /* Guarded by mutex. */
    struct sg_connection *reapable; /* closed and unused: to be released */
    uint64_t sweep_at_ms;           /* when some deadline may pass; 0: none is armed */
    bool accepted;                  /* the accept under way has ended */
    bool stop;
    uint64_t stop_by_ms;
};

/* sg_connection_open takes over the stream, the peer's account and its identity, whatever it returns, greets the
 * peer and begins to read. NULL without memory. */
struct sg_connection *sg_connection_open(struct sg_listener_core *core, nng_stream *stream,
                                         const struct sg_peer *peer);

/* Connections that are served together, for the serving threads, and what of it the keyholder is to do. */
#define SG_BITE_MAX 16u
struct sg_bite {
    struct sg_bite *next; /* the serving threads' */
    size_t num;
    struct sg_connection *connections[SG_BITE_MAX];
    struct sg_now now;
    size_t num_calls;
    struct sg_call *calls[SG_CALL_MAX_CROSSING];
    struct sg_connection *callers[SG_CALL_MAX_CROSSING];
    uint32_t ids[SG_CALL_MAX_CROSSING];
    size_t lens[SG_CALL_MAX_CROSSING]; /* taken from the budget */
    /* What was spent on whom, by sg_bite_take. Flows, since connections may be gone. */
    size_t num_spent;
    struct sg_fair_flow *flows[SG_BITE_MAX];
    uint64_t spent_ns[SG_BITE_MAX];
};

/* sg_bite_take works on what has arrived as far as it can without the keyholder, and for no longer than is fair to
 * who is not in the bite, and is done with the connections that need none: they are in the bite no more. True if there are others: then sg_bite_cross, which waits for
 * the keyholder and tells delay (may be NULL) if that takes long, and sg_bite_answer, which answers and has them go on, have
 * to follow. */
bool sg_bite_take(struct sg_bite *bite) __attribute__((warn_unused_result));
void sg_bite_cross(struct sg_bite *bite, const struct sg_keyholder_delay *delay);
void sg_bite_answer(struct sg_bite *bite);

/* sg_bite_copy has out hold what has to cross of a bite; sg_bite_join adds it to what into holds already, or does nothing
 * and returns false if there is no room. Who crosses with the one does not with the other. */
void sg_bite_copy(struct sg_bite *out, const struct sg_bite *bite);
bool sg_bite_join(struct sg_bite *into, const struct sg_bite *bite)
    __attribute__((warn_unused_result));

/* sg_connection_close ends it; it comes to core->reapable once nobody uses it. */
void sg_connection_close(struct sg_connection *connection);

/* sg_connection_release frees a connection from core->reapable. Housekeeper only: waits for
 * callbacks. */
void sg_connection_release(struct sg_connection *connection);

/* sg_connection_sweep closes it if one of its deadlines has passed. Returns its next deadline, or 0. */
uint64_t sg_connection_sweep(struct sg_connection *connection, uint64_t now_ms);

/* sg_connection_idle_since says since when it has had nothing to do; 0 if it is busy or closed. */
uint64_t sg_connection_idle_since(struct sg_connection *connection);

uid_t sg_connection_uid(const struct sg_connection *connection);

/* The housekeeper's list. */
struct sg_connection **sg_connection_prev(struct sg_connection *connection);
struct sg_connection **sg_connection_next(struct sg_connection *connection);
struct sg_connection *sg_connection_next_reapable(struct sg_connection *connection);
/* What it is in the serving queue, and whose. */
struct sg_fair_item *sg_connection_item(struct sg_connection *connection);
struct sg_connection *sg_connection_of_item(struct sg_fair_item *item);
/* Whether a call of its last turn was dear, so that its next turn is not for a thread that has other callbacks to
 * run. The same from sg_serving_add until it is taken. */
bool sg_connection_is_costly(const struct sg_connection *connection);
struct sg_fair_flow *sg_connection_flow(struct sg_connection *connection);

#endif
