/* SPDX-License-Identifier: Apache-2.0
 *
 * (peer, request bytes, now) -> response bytes. No socket, no clock, no global: the same code serves
 * the listener, unit tests and fuzzers. What happens to a request, in order: decode the envelope,
 * find the method in the table, decode the message into an arena, judge its deadline, run the
 * handler, encode the answer.
 */
#ifndef SG_DISPATCH_H
#define SG_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/keyholder/keyholder.h"
#include "server/peer.h"

struct sg_audit;
struct sg_consumed;
struct sg_costs;
struct sg_fuse;
struct sg_keyring_holder;
struct sg_keymaster;
struct sg_mac_cache;
struct sg_metrics;
struct sg_peer_resolver;
struct sg_quota;
struct sg_reload_report;
struct sg_revocations;

/* The time, read once by the caller. */
struct sg_now {
    int64_t wall_s;   /* CLOCK_REALTIME, seconds since 1970: for claims */
    uint64_t mono_ms; /* CLOCK_MONOTONIC: for deadlines */
};

/* What the daemon tells of itself; filled by the owner of the sockets. */
struct sg_server_stats {
    uint32_t num_connections, max_connections;
    uint32_t num_in_flight, max_in_flight;
    uint64_t num_requests, num_errors, num_refused_connections, num_protocol_errors;
    uint64_t buffer_bytes, max_buffer_bytes; /* for partly read requests and unsent replies */
    struct sg_keyholder_state keyholder;
};

/* What handlers work with. Set up once before the first call, then read-only. */
struct sg_service {
    struct sg_keyring_holder *keyrings; /* every call takes the snapshot of its moment */
    struct sg_keyholder *keyholder;
    struct sg_keymaster *keymaster; /* NULL where keys cannot be changed */
    const struct sg_costs *costs;   /* NULL: requests are not priced, nor charged for */
    /* Whether this is the admin socket's: only there are an operator's calls answered, and only for root
     * and the daemon's own user. */
    bool is_admin;
    struct sg_quota *quota;     /* whose accounts operators are told of; NULL: there are none */
    struct sg_metrics *metrics; /* where every call is counted; NULL: nowhere */
    struct sg_audit *audit;     /* where what is done is recorded; NULL: nowhere */
    bool audits_verifications;  /* of good tokens too */
    struct sg_fuse *fuse;       /* the ceilings of grants; NULL: there are none */
    struct sg_revocations *revocations; /* NULL: nothing is revoked, nor can be */
    struct sg_consumed
        *consumed;             /* NULL: no token can be used up, and none is good that is to be */
    struct sg_mac_cache *macs; /* what the keyholder has found good; NULL: it is asked each time */
    struct sg_peer_resolver *resolver; /* for processes that operators ask about; NULL: none */
    const char *version;
    struct sg_now started;
    bool ephemeral_keys;
    /* Fills *stats; NULL where there is no server (tests): Status then reports zeros. */
    void (*read_stats)(void *context, struct sg_server_stats *stats);
    void *stats_context;
    /* CLOCK_MONOTONIC in milliseconds, so that a long batch stops at its deadline; any thread. NULL: a
     * batch that was begun is finished. */
    uint64_t (*read_mono_ms)(void);
    /* CLOCK_MONOTONIC in microseconds, for what is counted; any thread. NULL: everything took 0. */
    uint64_t (*read_mono_us)(void);
    /* Reads the configuration again and fills *report; NULL where there is none to read. Any thread. */
    void (*reload)(void *context, struct sg_reload_report *report);
    /* Calls line with each grant in force, in words, and with notes on it; NULL: nobody knows. Any thread. */
    void (*describe_grants)(void *context, void (*line)(void *context, const char *text),
                            void *line_context);
    void *reload_context;
    /* Whether work that was begun is to be given up since the daemon stops; called with stats_context,
     * on any thread. NULL: never. */
    bool (*is_stopping)(void *context);
};

/* Bytes of a response; released with free(). */
struct sg_response {
    uint8_t *bytes;
    size_t len;
    bool is_error; /* carries a Status rather than a payload */
};

struct sg_call; /* a request that was decoded and not yet worked on */

/* sg_call_begin decodes a request. Cheap and never blocks; copies what it needs, so that request
 * may be reused at once. What is wrong with a request is answered by sg_call_finish. headroom bytes are left free at the start of the response for the
 * caller's own framing (counted in len). NULL only without memory. */
struct sg_call *sg_call_begin(const struct sg_service *service, const struct sg_peer *peer,
                              const uint8_t *request, size_t len, struct sg_now now,
                              size_t headroom);

/* sg_dispatch_method_name returns the name of a method that there is by its number in the metrics, from 1;
 * NULL past the last. Static. */
const char *sg_dispatch_method_name(size_t number);

/* sg_call_cost_us is what the work is expected to cost, in microseconds of a processor, which its uid was charged
 * for when it was begun. 0: it is not known. */
uint64_t sg_call_cost_us(const struct sg_call *call);

/* sg_call_deadline_ms is when its caller waits no longer, on CLOCK_MONOTONIC; 0: it will only be refused. */
uint64_t sg_call_deadline_ms(const struct sg_call *call);

/* sg_call_is_slow says whether the work is worth a worker thread, rather than being done at once on
 * the thread that read it: batches of more than 8, signing with anything but HMAC, ES256 and Ed25519, what
 * waits for the disk, and what costs as much. */
bool sg_call_is_slow(const struct sg_call *call);

/* sg_call_memory returns the bytes that a call holds while it waits: what its request was decoded to. */
size_t sg_call_memory(const struct sg_call *call);

/* sg_call_work does as much of the work (none if its deadline has passed at now) as needs no keyholder. DONE:
 * *out is the response, and the call is released. CROSSES: sg_call_cross, or sg_call_finish alone, must follow.
 * FAILED, only without memory: the call is released, and there is no response. */
enum sg_call_progress {
    SG_CALL_DONE = 1,
    SG_CALL_CROSSES,
    SG_CALL_FAILED
};
enum sg_call_progress sg_call_work(struct sg_call *call, struct sg_now now, struct sg_response *out)
    __attribute__((warn_unused_result));

/* sg_call_cross does the keyholder's part of num calls, 1 to SG_CALL_MAX_CROSSING, together, but of those whose
 * deadline has passed at now. sg_call_finish must follow for each. Blocks for the time of a few quick
 * operations; delay, which may be NULL, is told if it takes longer. */
#define SG_CALL_MAX_CROSSING 64u
void sg_call_cross(struct sg_call *const *calls, size_t num, struct sg_now now,
                   const struct sg_keyholder_delay *delay);

/* sg_call_finish does the work, or what is left of it (none if it was not begun and its deadline has passed at
 * now), and releases the call. May wait for the keyholder. False only without memory: there is no response
 * then. */
bool sg_call_finish(struct sg_call *call, struct sg_now now, struct sg_response *out)
    __attribute__((warn_unused_result));

/* sg_call_refuse answers RESOURCE_EXHAUSTED (too much waits, or too much for the request's deadline) or
 * UNAVAILABLE (stopping) without doing the work. retry_after_ms: when it may be asked for again; 0 takes what is
 * usual. */
enum sg_refusal {
    SG_REFUSE_BUSY = 1,
    SG_REFUSE_LATE,
    SG_REFUSE_STOPPING
};
bool sg_call_refuse(struct sg_call *call, enum sg_refusal why, uint32_t retry_after_ms,
                    struct sg_response *out) __attribute__((warn_unused_result));

/* sg_dispatch is begin and finish in one. */
bool sg_dispatch(const struct sg_service *service, const struct sg_peer *peer,
                 const uint8_t *request, size_t len, struct sg_now now, struct sg_response *out)
    __attribute__((warn_unused_result));

#endif
