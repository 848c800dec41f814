/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit: who did what, in a chain of lines that shows every later change. A thread that serves a
 * request makes the record and puts it into a queue that outlives the process; one thread of the audit's
 * own writes what is in the queue to the files. Format and promises: signet-audit(5).
 *
 * A record is acknowledged when sg_audit_write returns: from then on it survives SIGKILL of the daemon,
 * and is in the chain after the next start at the latest. What the machine loses with its power is up to
 * the last second (SG_AUDIT_SYNC_MS).
 */
#ifndef SG_AUDIT_H
#define SG_AUDIT_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/audit_line.h"
#include "server/audit_record.h"
#include "server/config.h"

#define SG_AUDIT_MAX_ERROR 512u
#define SG_AUDIT_SYNC_MS   1000u /* what was written is on the disk after so long */
#define SG_AUDIT_RETRY_MS  250u  /* between attempts while the disk takes nothing */
/* Records that peers cause at will, each uid: so many at once, and then so many a second. */
#define SG_AUDIT_NOTE_BURST      256u
#define SG_AUDIT_NOTE_PER_SECOND 32u

struct sg_audit;

struct sg_audit_options {
    const struct sg_config_audit *config; /* dir is not NULL; copied */
    uint64_t (*read_mono_ms)(void);
    int64_t (*read_wall_ms)(void);
    /* Signs a head: makes a compact JWS, with a kid, whose payload is the JSON text given, and writes it
     * to jws, NUL-terminated. Called by the audit's thread only, which writes nothing while it takes:
     * bound it to a few seconds. Anything but OK: it is tried again later. NULL: heads are not signed. */
    signet_status (*sign_head)(void *context, const char *payload, size_t len,
                               char jws[SG_AUDIT_MAX_JWS]);
    void *context;
};

/* sg_audit_new opens or makes the directory (mode 0700; its parent must exist), recovers the end of the
 * chain, writes what the queue still holds, and starts the thread. A full disk is no failure: what could
 * not be written stays in the queue. FAILED_PRECONDITION, with what would mend it in error: what is there
 * is not this user's, is open to others, or is in use by another daemon. Damage is none either: it is logged,
 * and said in the chain. Blocks for the disk. */
signet_status sg_audit_new(const struct sg_audit_options *options, struct sg_audit **out,
                           char error[SG_AUDIT_MAX_ERROR]) SIGNET_MUST_CHECK;

/* sg_audit_free writes what is queued, and a head, waiting at most two seconds for a disk that takes
 * nothing; what is left waits in the queue for the next start. No other thread may be inside the audit.
 * NULL is legal. */
void sg_audit_free(struct sg_audit *audit);

/* ---- Records that must be: a place first, then the deed, then the record ---- */

/* Room in the queue for one record. Zeroed: none. */
struct sg_audit_place {
    unsigned char state;
    unsigned char share; /* whose it is */
};

/* sg_audit_reserve takes a place for a record of uid, so that what is done next cannot be without one. A uid gets at
 * most one more than what is left: however many there are that take all they can, there is a place for another. If
 * there is none: waits for one until deadline_ms (CLOCK_MONOTONIC as read_mono_ms reads it; 0: not at all) with
 * on_full block; fails at once with deny; succeeds with drop, and the record will be counted instead.
 * RESOURCE_EXHAUSTED: nothing may be done. Any thread. audit NULL (it is off): OK. */
signet_status sg_audit_reserve(struct sg_audit *audit, struct sg_audit_place *place, uid_t uid,
                               uint64_t deadline_ms) SIGNET_MUST_CHECK;

/* What a thread that serves others may take for one call. */
#define SG_AUDIT_QUICK_PLACES 8u
/* sg_audit_would_wait says whether sg_audit_reserve would wait now for one of SG_AUDIT_QUICK_PLACES: then it is not
 * for a thread that serves others. Any thread; takes no lock. False for NULL, and with on_full deny or drop. */
bool sg_audit_would_wait(const struct sg_audit *audit);

/* sg_audit_write puts the record into its place, which it gives up. Without one it is put where there is room
 * that is nobody's, and else counted as dropped. Cannot fail; never waits for the disk. Any thread. NULL is
 * legal. */
void sg_audit_write(struct sg_audit *audit, struct sg_audit_place *place,
                    const struct sg_audit_event *event);

/* sg_audit_release gives a place up that is not needed; one that is none is legal. Any thread. */
void sg_audit_release(struct sg_audit *audit, struct sg_audit_place *place);

/* ---- Records of what peers cause at will ---- */

/* sg_audit_note records a refusal, a denial and the like: within the budget of the peer's uid, above
 * which such events are counted by their reason and told of once a second as one record "suppressed". If
 * the queue is nearly full it is counted as dropped. Never waits, never fails. Any thread. NULL is legal. */
void sg_audit_note(struct sg_audit *audit, const struct sg_audit_event *event);

/* ---- For operators ---- */

struct sg_audit_stats {
    uint64_t num_written;    /* records put into the queue since the start */
    uint64_t num_dropped;    /* since the queue was made */
    uint64_t num_suppressed; /* since the start */
    uint64_t num_waiting;    /* in the queue now */
    uint64_t last_seq;       /* of the chain */
    uint64_t head_seq;       /* up to which the last signed head vouches; 0: none since the start */
    bool is_stuck;           /* the disk takes nothing */
};

/* sg_audit_stats_get: any thread. Zeros for NULL. */
void sg_audit_stats_get(struct sg_audit *audit, struct sg_audit_stats *out);

/* sg_audit_flush waits until what was put before is in the files and synced, or until deadline_ms.
 * False: not all is. Any thread. True for NULL. */
bool sg_audit_flush(struct sg_audit *audit, uint64_t deadline_ms);

#endif
