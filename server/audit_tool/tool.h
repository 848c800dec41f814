/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of signet-audit share. An application: it may print and exit. Changes nothing that it
 * reads, and trusts none of it.
 */
#ifndef SG_AUDIT_TOOL_H
#define SG_AUDIT_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/limits.h"
#include "server/audit_line.h"
#include "server/audit_queue.h"

/* As those of `signet`, which runs this. */
enum tool_exit {
    TOOL_GOOD = 0,
    TOOL_BAD = 1, /* verify: the chain is not whole; find: there is no such record */
    TOOL_USAGE = 2,
    TOOL_FAILED = 4
};

enum tool_command {
    TOOL_VERIFY = 1,
    TOOL_FIND,
    TOOL_SHOW
};

#define TOOL_TIME_CAP 32u

struct tool_options {
    enum tool_command command;
    const char *dir;
    bool json;
    /* verify */
    const char *jwks;    /* the keys of heads; NULL: DIR/heads.jwks */
    const char *anchors; /* a file with heads that must be in the chain; NULL: none */
    uint64_t from;       /* the first record that counts; 0: all do */
    /* find: all that are given must match */
    const char *jti, *sub;
    char token_jti[SG_MAX_TOKEN_LEN];                /* jti may point here */
    char since[TOOL_TIME_CAP], until[TOOL_TIME_CAP]; /* as records have times; empty: any */
    /* show */
    uint32_t last;
};

/* tool_options_read returns false with the status to end with. (options.c) */
bool tool_options_read(int argc, char **argv, struct tool_options *out,
                       enum tool_exit *exit_status);

/* tool_fail prints one line on standard error. */
enum tool_exit tool_fail(enum tool_exit exit_status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* tool_must returns memory, or ends the program if there is none. */
void *tool_must(void *memory) __attribute__((returns_nonnull));

/* ---- The chain's lines (chain.c) ---- */

struct tool_chain;

struct tool_line {
    const char *file; /* its name, without the directory */
    size_t num;       /* in the file, from 1 */
    const char *text; /* without its end, NUL-terminated, of any bytes; valid until the next */
    size_t len;
    bool is_first; /* in its file */
    bool is_whole; /* it has an end, and is not too long */
};

/* tool_chain_open finds the files of a directory, those that somebody renamed too, and puts them into the order
 * of their first records. False after a complaint. */
bool tool_chain_open(const char *dir, struct tool_chain **out);
void tool_chain_close(struct tool_chain *chain);
/* 1: a line; 0: there is no more; -1: after a complaint. */
int tool_chain_next(struct tool_chain *chain, struct tool_line *out);
/* The name of a file that could be the audit's and has no record to begin with; NULL: there is no more. */
const char *tool_chain_stranger(const struct tool_chain *chain, size_t index);
size_t tool_chain_num_files(const struct tool_chain *chain);

/* The object of a line; NULL if it is none. */
json_t *tool_line_json(const struct tool_line *line);
/* A member that is a text; NULL if there is none. */
const char *tool_text(const json_t *object, const char *name);

/* tool_queue_read reads DIR/queue. False if there is none that can be read: *why says so. */
bool tool_queue_read(const char *dir, struct sg_audit_queue_info *out, bool *is_used,
                     const char **why);

/* tool_read_file reads a file of at most cap bytes, "-" for standard input; free() it. False after a
 * complaint. */
bool tool_read_file(const char *path, size_t cap, char **out, size_t *len);

/* ---- Signed heads (anchors.c) ---- */

struct tool_heads; /* the keys that heads are signed with */

struct tool_head {
    uint64_t seq;
    uint8_t hash[SG_AUDIT_HASH_LEN];
};

/* tool_heads_open reads a JWK Set. False after a complaint, but if it is not there and may_lack: then *out is
 * NULL. */
bool tool_heads_open(const char *path, bool may_lack, struct tool_heads **out);
void tool_heads_close(struct tool_heads *heads);
/* tool_heads_check verifies a head. False: *why says why it does not count. */
bool tool_heads_check(const struct tool_heads *heads, const char *jws, size_t len,
                      struct tool_head *out, const char **why);
/* What there is to compare with what was noted elsewhere: an array of {"kid", "thumbprint"}. */
json_t *tool_heads_thumbprints(const struct tool_heads *heads);

/* ---- Commands ---- */

enum tool_exit tool_verify(const struct tool_options *options);
enum tool_exit tool_find(const struct tool_options *options);
enum tool_exit tool_show(const struct tool_options *options);

/* tool_print_record prints a record on one line for people; harmless to a terminal. (print.c) */
void tool_print_record(const json_t *record);

#endif
