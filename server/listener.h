/* SPDX-License-Identifier: Apache-2.0
 *
 * The services socket: connections, the SP framing, deadlines and bounds. The only file that
 * includes nng. Knows nothing of tokens: whole requests go to dispatch, responses come back.
 */
#ifndef SG_LISTENER_H
#define SG_LISTENER_H

#include <signet/status.h>

#include "server/config.h"
#include "server/dispatch.h"

struct sg_listener;
struct sg_listener_threads;
struct sg_peer_resolver;
struct sg_quota;
struct sg_workers;

struct sg_listener_options {
    const char *path; /* of the socket; at most 107 bytes (sun_path) */
    mode_t mode;
    struct sg_config_limits limits;
    /* Who has what. Of this socket only, and of these limits; it must outlive the listener and its workers. */
    struct sg_quota *quota;
    struct sg_peer_resolver
        *resolver;        /* of peers; outlives the listener. NULL: they have no identity */
    unsigned num_threads; /* that serve; 0 takes sg_listener_default_threads */
    struct sg_listener_threads
        *threads; /* at rest; they outlive the listener. NULL: there are none */
    /* Deadlines in milliseconds on CLOCK_MONOTONIC; 0 takes the default. Tests set smaller ones. */
    uint32_t handshake_ms;    /* 2000 */
    uint32_t half_message_ms; /* 2000 */
    uint32_t write_ms;        /* 500 */
    /* How long a connection must have been idle before a new one of its uid may take its place when
     * connections have run out; 0 takes the default. */
    uint32_t evict_idle_ms; /* 5000 */
};

/* sg_listener_start listens and serves until sg_listener_stop. The caller holds the lock of the
 * runtime directory. *out is set before the first request is served, since requests may ask for the
 * stats; on failure it is NULL, and error says what and what would mend it. */
signet_status sg_listener_start(const struct sg_listener_options *options,
                                const struct sg_service *service, struct sg_workers *workers,
                                struct sg_listener **out, char *error,
                                size_t error_cap) SIGNET_MUST_CHECK;

/* sg_listener_stop accepts no more, lets requests in flight finish and their replies be written for
 * at most grace_ms, closes everything, removes the socket, and releases the listener. */
void sg_listener_stop(struct sg_listener *listener, uint32_t grace_ms);

/* sg_listener_is_abandoning says whether the grace of a stop is over, so that work in flight is to be
 * given up. Any thread, while a request is worked on. */
bool sg_listener_is_abandoning(struct sg_listener *listener);

/* sg_listener_default_threads is one a processor, 2 to 16. */
unsigned sg_listener_default_threads(void);

void sg_listener_read_stats(struct sg_listener *listener, struct sg_server_stats *stats);

#endif
