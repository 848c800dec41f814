/* SPDX-License-Identifier: Apache-2.0
 *
 * One foreign issuer, read from its YAML file and the JWKS file that this names. Private to server/trust*.c.
 */
#ifndef SG_TRUST_FILE_H
#define SG_TRUST_FILE_H

#include <sys/stat.h>

#include "server/trust.h"

#define SG_TRUST_MAX_PATH 1024u
#define SG_TRUST_MAX_LINE 1400u

/* What tells that a file is another than before. */
struct sg_trust_stamp {
    bool is_there;
    dev_t dev;
    ino_t ino;
    mode_t mode; /* this and the owner are in the times too, but these go in steps */
    uid_t uid;
    off_t size;
    struct timespec mtime, ctime;
};

struct sg_trust_stamp sg_trust_stamp_of(const char *path);
bool sg_trust_stamp_same(const struct sg_trust_stamp *a, const struct sg_trust_stamp *b);

/* What was found on the way, whether it ended well or not. */
struct sg_trust_files {
    char jwks_path[SG_TRUST_MAX_PATH]; /* empty: not known */
    struct sg_trust_stamp yaml, jwks;  /* as of before they were read */
    char line[SG_TRUST_MAX_LINE];      /* what is wrong: "FILE:LINE: ..." or "FILE: ..." */
};

/* sg_trust_issuer_new makes one with room for SG_TRUST_MAX_KEYS keys, and one reference; NULL without memory.
 * (trust.c) */
struct sg_trust_issuer *sg_trust_issuer_new(const char *name);

/* sg_trust_file_read reads DIR/NAME.yaml and its JWKS file; *out has one reference, or is NULL if they are
 * what known (NULL: nobody) was read from. INVALID_ARGUMENT with files->line, or UNAVAILABLE with it if a
 * file cannot be opened or read, which can change without it; RESOURCE_EXHAUSTED. */
signet_status sg_trust_file_read(const char *dir, const char *name,
                                 const struct sg_trust_issuer *known, struct sg_trust_files *files,
                                 struct sg_trust_issuer **out) SIGNET_MUST_CHECK;

/* sg_trust_file_check_dir looks at the owner and mode of the directory that fd is. */
signet_status sg_trust_file_check_dir(const char *dir, int fd,
                                      char line[SG_TRUST_MAX_LINE]) SIGNET_MUST_CHECK;

#endif
