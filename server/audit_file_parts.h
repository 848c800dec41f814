/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the audit's files share: audit_file.c, audit_recovery.c and audit_prune.c. Nobody else
 * includes this.
 */
#ifndef SG_AUDIT_FILE_PARTS_H
#define SG_AUDIT_FILE_PARTS_H

#include "common/digest/digest.h"
#include "server/audit_file.h"

_Static_assert(SG_AUDIT_HASH_LEN == SG_SHA256_LEN, "the chain is made of SHA-256");

struct sg_audit_files {
    struct sg_audit_files_options options;
    struct sg_sha256_state *sha256;
    int fd;                       /* of the current file; -1: the next batch begins one */
    char name[SG_AUDIT_MAX_NAME]; /* of the current file, or of the last; empty: there was none */
    char previous[SG_AUDIT_MAX_NAME]; /* the one before, while fd is open */
    const char *why;                  /* the next file is begun; static */
    uint64_t len;                     /* of the whole lines in the file */
    uint64_t begun_ms;                /* monotonic */
    bool is_full, is_dirty;
    bool has_remains; /* of half a line, behind len */
    bool may_prune;   /* a file was begun since files were counted */
    struct sg_audit_mark end;
    uint64_t number;
    /* The batch: what follows end once it is written. */
    size_t batch_len, batch_num;
    struct sg_audit_mark batch_end;
    uint64_t batch_number;
    char batch[SG_AUDIT_BATCH_LEN];
};

signet_status sg_audit_files_fail(const struct sg_audit_files *files, const char *name,
                                  const char *what, int number,
                                  char reason[SG_AUDIT_MAX_REASON]) SIGNET_MUST_CHECK;
signet_status sg_audit_files_hash(struct sg_audit_files *files, const char *line, size_t len,
                                  uint8_t out[SG_AUDIT_HASH_LEN]) SIGNET_MUST_CHECK;

/* The names of the files that are there, the oldest first. */
struct sg_audit_names {
    char (*items)[SG_AUDIT_MAX_NAME];
    size_t num;
};

/* sg_audit_names_list: 0, or why not. Release it with free(items). (audit_recovery.c) */
int sg_audit_names_list(int dir_fd, struct sg_audit_names *out);
#endif
