/* SPDX-License-Identifier: Apache-2.0
 *
 * The chain of lines in its files. Each line holds the hash of the line before it, across files too; each
 * file begins with a record about itself. Lines are gathered in a batch, which is written whole or not at
 * all. Never changes a line that was written. One thread; format: signet-audit(5).
 */
#ifndef SG_AUDIT_FILE_H
#define SG_AUDIT_FILE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/audit_line.h"
#include "server/audit_queue.h"
#include "server/audit_record.h"

#define SG_AUDIT_BATCH_LEN  (256u << 10)
#define SG_AUDIT_MAX_REASON 512u

struct sg_audit_files;

struct sg_audit_files_options {
    int dir_fd;          /* kept by the caller */
    const char *dir;     /* for messages; likewise */
    uint64_t max_len;    /* of a file; one record is always written */
    uint64_t max_age_ms; /* 0: any */
    uint32_t max_files;  /* 0: none is removed */
    uint64_t (*read_mono_ms)(void);
    int64_t (*read_wall_ms)(void);
};

/* What was found at the start. */
struct sg_audit_recovered {
    uint64_t torn_bytes;            /* of a line that was not finished; cut off */
    uint64_t lost_first, lost_last; /* records that should be there; 0: none are missed */
    uint64_t changed;               /* a last record that is not as it was written; 0: it is */
    bool is_damaged; /* the end of the last file is none of a chain: another was begun */
};

/* sg_audit_files_open finds the end of the chain. expected is what the queue knows of it (seq 0:
 * nothing); the chain goes on from there, even if the files have less. FAILED_PRECONDITION, with text in
 * reason: the last file is not this user's or is open to others. RESOURCE_EXHAUSTED, UNAVAILABLE. */
signet_status sg_audit_files_open(const struct sg_audit_files_options *options,
                                  const struct sg_audit_mark *expected, struct sg_audit_files **out,
                                  struct sg_audit_recovered *recovered,
                                  char reason[SG_AUDIT_MAX_REASON]) SIGNET_MUST_CHECK;
void sg_audit_files_close(struct sg_audit_files *files); /* NULL is legal; does not sync */

/* The end of what is written, and the number of the last record of the queue in it. */
const struct sg_audit_mark *sg_audit_files_end(const struct sg_audit_files *files);
uint64_t sg_audit_files_number(const struct sg_audit_files *files);
/* The end with what is in the batch: what the next line will follow. */
const struct sg_audit_mark *sg_audit_files_batch_end(const struct sg_audit_files *files);

/* sg_audit_files_add adds a record to the batch: body is an object, number that of the queue, or 0 for a
 * record of the writer itself. OUT_OF_RANGE: the batch or the file is full; commit it first (and, if
 * sg_audit_files_is_due says so, begin another file). INTERNAL: there is no hash to be had. */
signet_status sg_audit_files_add(struct sg_audit_files *files, uint64_t number, const char *body,
                                 size_t len) SIGNET_MUST_CHECK;

/* sg_audit_files_commit writes the batch. On failure nothing of it is there, the batch is empty, and
 * reason says what would mend it. */
signet_status sg_audit_files_commit(struct sg_audit_files *files,
                                    char reason[SG_AUDIT_MAX_REASON]) SIGNET_MUST_CHECK;
/* sg_audit_files_drop empties the batch. */
void sg_audit_files_drop(struct sg_audit_files *files);

/* sg_audit_files_sync brings what was written to the disk. */
signet_status sg_audit_files_sync(struct sg_audit_files *files,
                                  char reason[SG_AUDIT_MAX_REASON]) SIGNET_MUST_CHECK;

/* sg_audit_files_is_due says whether another file is to be begun, for the size or the age of this one. */
bool sg_audit_files_is_due(const struct sg_audit_files *files);
bool sg_audit_files_is_full(const struct sg_audit_files *files);
/* sg_audit_files_next has the next batch begin another file. why goes into its first record; static. */
void sg_audit_files_next(struct sg_audit_files *files, const char *why);

/* sg_audit_files_look compares the file with what stands at its path. If that is not the same file, or not as
 * long as it should be, another is begun: returns a static word for what has happened to it ("deleted", "renamed",
 * "replaced", "truncated", "appended"); NULL: nothing. With an empty batch only. */
const char *sg_audit_files_look(struct sg_audit_files *files);
/* The name of the current file, or of the last; "" before the first. */
const char *sg_audit_files_name(const struct sg_audit_files *files);

/* sg_audit_files_prune removes files above max_files, the oldest first, each after a record about it is
 * written and synced. With an empty batch only. */
signet_status sg_audit_files_prune(struct sg_audit_files *files,
                                   char reason[SG_AUDIT_MAX_REASON]) SIGNET_MUST_CHECK;

#endif
