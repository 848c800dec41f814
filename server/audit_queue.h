/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring of records in a file that is mapped: what was put there is still there after SIGKILL of the
 * process. Many threads put, one at a time, as its user sees to; one takes. Knows nothing of what records
 * are. What stands in the file is never trusted: every length is checked and every record has a hash.
 *
 * Each record has a number, one above that of the record before. The header also holds two marks, the last
 * records of the chain that are in a file, and that are on the disk, with their hashes, so that an end of
 * the chain that is cut off later is missed.
 */
#ifndef SG_AUDIT_QUEUE_H
#define SG_AUDIT_QUEUE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/audit_line.h"

#define SG_AUDIT_QUEUE_FILE    "queue"
#define SG_AUDIT_QUEUE_DAMAGED "queue.damaged" /* where one is kept that cannot be used */
#define SG_AUDIT_BOOT_LEN      36u             /* of /proc/sys/kernel/random/boot_id */
/* A ring takes at least so many bytes, and at most so many. */
#define SG_AUDIT_QUEUE_MIN (256u << 10)
#define SG_AUDIT_QUEUE_MAX (1u << 30)

struct sg_audit_queue;

/* The end of the chain: its last record's number and hash. seq 0: nothing is known. */
struct sg_audit_mark {
    uint64_t seq;
    uint8_t hash[SG_AUDIT_HASH_LEN];
};

/* What a queue says of itself, without what is in it. */
struct sg_audit_queue_info {
    uint64_t num_waiting;       /* good records that were not taken */
    uint64_t first, last;       /* their numbers; 0: there are none */
    uint64_t last_hint;         /* the number that was given last; may be wrong after a fault */
    uint64_t num_damaged_bytes; /* between the last good record and the end */
    uint64_t dropped, told; /* records dropped ever, and those of them that the chain tells of */
    struct sg_audit_mark written;     /* in a file */
    struct sg_audit_mark synced;      /* on the disk */
    char boot[SG_AUDIT_BOOT_LEN + 1]; /* when written was; empty: not known */
};

/* sg_audit_queue_open opens DIR/queue, or makes it, with room for size bytes of records (taken to a multiple
 * of 4096 within the bounds above), and locks it. One that is there keeps its size. A file that
 * is no queue is kept as DIR/queue.damaged, and *was_damaged says so. FAILED_PRECONDITION, with text in
 * error: it is not this user's, is open to others, or is locked by another process. RESOURCE_EXHAUSTED: there is no room on the disk. dir_fd
 * is kept by the caller; dir is for messages. */
signet_status sg_audit_queue_open(int dir_fd, const char *dir, size_t size,
                                  struct sg_audit_queue **out, bool *was_damaged, char *error,
                                  size_t error_cap) SIGNET_MUST_CHECK;

/* sg_audit_queue_close unlocks; what is in the queue stays. NULL is legal. */
void sg_audit_queue_close(struct sg_audit_queue *queue);

size_t sg_audit_queue_size(const struct sg_audit_queue *queue);
/* Of a queue that no other thread uses. RESOURCE_EXHAUSTED without memory. */
signet_status sg_audit_queue_info(const struct sg_audit_queue *queue,
                                  struct sg_audit_queue_info *out) SIGNET_MUST_CHECK;

/* ---- Putting. One thread at a time. ---- */

/* What a record of len bytes takes of the room. */
size_t sg_audit_queue_need(size_t len);
/* Any thread. */
size_t sg_audit_queue_room(const struct sg_audit_queue *queue);
/* sg_audit_queue_number sets the number of the next record; before the first is put. */
void sg_audit_queue_number(struct sg_audit_queue *queue, uint64_t next);
/* sg_audit_queue_last is the number of the last record; any thread. */
uint64_t sg_audit_queue_last(const struct sg_audit_queue *queue);
/* sg_audit_queue_put copies a record. False if there is no room. */
bool sg_audit_queue_put(struct sg_audit_queue *queue, const void *bytes,
                        size_t len) SIGNET_MUST_CHECK;
/* sg_audit_queue_drop counts records that found no room. Any thread. */
void sg_audit_queue_drop(struct sg_audit_queue *queue, uint64_t num);
uint64_t sg_audit_queue_dropped(const struct sg_audit_queue *queue);

/* ---- Taking. One thread. ---- */

/* Where the taker is; zeroed: nowhere. */
struct sg_audit_cursor {
    uint64_t at;
};
struct sg_audit_cursor sg_audit_queue_begin(const struct sg_audit_queue *queue);

enum sg_audit_next {
    SG_AUDIT_NEXT_NONE = 0, /* there is no more */
    SG_AUDIT_NEXT_RECORD,
    SG_AUDIT_NEXT_DAMAGED /* what follows up to the end cannot be read; the cursor is at the end */
};
/* sg_audit_queue_next copies the record at the cursor, which it moves on. A record that is longer than cap
 * is damage. */
enum sg_audit_next sg_audit_queue_next(const struct sg_audit_queue *queue,
                                       struct sg_audit_cursor *cursor, char *out, size_t cap,
                                       size_t *len, uint64_t *number) SIGNET_MUST_CHECK;
/* sg_audit_queue_take gives the room up to the cursor free. */
void sg_audit_queue_take(struct sg_audit_queue *queue, struct sg_audit_cursor cursor);

/* sg_audit_queue_mark says which record of the chain is in a file now, or on the disk. */
void sg_audit_queue_mark_written(struct sg_audit_queue *queue, const struct sg_audit_mark *mark);
void sg_audit_queue_mark_synced(struct sg_audit_queue *queue, const struct sg_audit_mark *mark);
/* sg_audit_queue_tell says that the chain tells of so many dropped records, and sg_audit_queue_told how
 * many these are. */
void sg_audit_queue_tell(struct sg_audit_queue *queue, uint64_t num);
uint64_t sg_audit_queue_told(const struct sg_audit_queue *queue);

/* ---- From outside ---- */

/* sg_audit_queue_read reads the bytes of a queue's file, without any lock: of one in use, what it says is
 * of some moment in between. False if they are none. */
bool sg_audit_queue_read(const uint8_t *bytes, size_t len,
                         struct sg_audit_queue_info *out) SIGNET_MUST_CHECK;

/* sg_audit_queue_is_used says whether some process has the open file locked. */
bool sg_audit_queue_is_used(int fd);

#endif
