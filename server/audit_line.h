/* SPDX-License-Identifier: Apache-2.0
 *
 * What names of files and lines of the audit look like, for the daemon, which writes them, and for
 * signet-audit, which reads them. See signet-audit(5).
 */
#ifndef SG_AUDIT_LINE_H
#define SG_AUDIT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_AUDIT_VERSION 1 /* of the format */

/* In the audit's directory, written by the daemon: the public keys of heads, a JWK Set. */
#define SG_AUDIT_HEADS_FILE "heads.jwks"

/* Names: audit-, the number of the first record in 20 digits, .jsonl. */
#define SG_AUDIT_FILE_PREFIX "audit-"
#define SG_AUDIT_FILE_SUFFIX ".jsonl"
#define SG_AUDIT_FILE_DIGITS 20u
#define SG_AUDIT_MAX_NAME    48u

#define SG_AUDIT_HASH_LEN 32u
#define SG_AUDIT_HEX_LEN  64u

/* A record is an object that is at most so long; what the chain adds, and the end of the line, come on
 * top. */
#define SG_AUDIT_MAX_BODY 16384u
#define SG_AUDIT_MAX_LINE (SG_AUDIT_MAX_BODY + 160u)
#define SG_AUDIT_MAX_JWS  4096u /* of a signed head */

/* Events of the writer itself, which are not from the queue. */
#define SG_AUDIT_EVENT_FILE      "file"
#define SG_AUDIT_EVENT_HEAD      "head"
#define SG_AUDIT_EVENT_PRUNED    "pruned"
#define SG_AUDIT_EVENT_RECOVERED "recovered"

/* sg_audit_name_seq reads the number of the first record from the name of a file; 0: it is no such name. */
uint64_t sg_audit_name_seq(const char *name);
/* sg_audit_name_write writes the name of the file that begins with a record. */
void sg_audit_name_write(uint64_t seq, char out[SG_AUDIT_MAX_NAME]);

/* What each line begins with. */
struct sg_audit_prefix {
    uint64_t seq;                    /* the record's number in the chain, from 1 */
    uint8_t prev[SG_AUDIT_HASH_LEN]; /* SHA-256 of the line before, without its end */
    uint64_t number;                 /* of the last record of the queue so far */
};

/* sg_audit_prefix_read reads it from a NUL-terminated line. False if it is not there. */
bool sg_audit_prefix_read(const char *line, struct sg_audit_prefix *out)
    __attribute__((warn_unused_result));
/* sg_audit_prefix_write writes it and returns its length, at most 140; the rest of the object follows. */
size_t sg_audit_prefix_write(const struct sg_audit_prefix *prefix, char *out, size_t cap);

/* sg_audit_hex writes 64 digits and a NUL. */
void sg_audit_hex(const uint8_t hash[SG_AUDIT_HASH_LEN], char out[SG_AUDIT_HEX_LEN + 1]);

#endif
