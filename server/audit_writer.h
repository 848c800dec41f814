/* SPDX-License-Identifier: Apache-2.0
 *
 * From the queue to the files: what is due now. Has no thread and waits for nothing but the disk and the
 * signing of heads; the caller says when. One thread.
 */
#ifndef SG_AUDIT_WRITER_H
#define SG_AUDIT_WRITER_H

#include "server/audit.h"
#include "server/audit_file.h"
#include "server/audit_queue.h"

struct sg_audit_writer;

/* sg_audit_writer_new opens the directory with what is in it, and recovers; see sg_audit_new. *queue
 * belongs to the writer. */
signet_status sg_audit_writer_new(const struct sg_audit_options *options,
                                  struct sg_audit_writer **out, struct sg_audit_queue **queue,
                                  char error[SG_AUDIT_MAX_ERROR]) SIGNET_MUST_CHECK;
void sg_audit_writer_free(struct sg_audit_writer *writer); /* NULL is legal; writes nothing */

struct sg_audit_done {
    bool has_taken; /* there is more room in the queue */
    bool has_more;  /* records wait that could be written at once */
    bool is_stuck;  /* the disk takes nothing: try again in SG_AUDIT_RETRY_MS */
};

/* sg_audit_writer_step writes at most one batch, and does what is due of syncing, heads and new files.
 * is_urgent: syncs and signs now whatever the time, as for a stop or a flush. */
void sg_audit_writer_step(struct sg_audit_writer *writer, bool is_urgent,
                          struct sg_audit_done *done);

uint64_t sg_audit_writer_synced(const struct sg_audit_writer *writer); /* number of the queue */
uint64_t sg_audit_writer_seq(const struct sg_audit_writer *writer);
uint64_t sg_audit_writer_head(const struct sg_audit_writer *writer);

#endif
