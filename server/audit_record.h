/* SPDX-License-Identifier: Apache-2.0
 *
 * What the audit says of one event, as one object of JSON in a buffer of a fixed size. Takes no memory
 * and cannot fail: what does not fit is cut, and says so. Only the fields that are named here are ever
 * written; no token, secret or other claim has a place in them.
 */
#ifndef SG_AUDIT_RECORD_H
#define SG_AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/audit_line.h"
#include "server/peer.h"

/* What is taken of a text, in bytes before escapes; a longer one ends in "...". */
#define SG_AUDIT_MAX_TEXT      512u
#define SG_AUDIT_MAX_LONG_TEXT 1024u /* exe and detail */
#define SG_AUDIT_MAX_AUDIENCES 16u   /* one more says how many were left out */

/* Verdicts. */
#define SG_AUDIT_OK       "ok"
#define SG_AUDIT_REJECTED "rejected" /* a token was judged not good */
#define SG_AUDIT_DENIED   "denied"   /* the peer may not */
#define SG_AUDIT_ERROR    "error"    /* the call did not work */

/* An event. Every text is borrowed, need not be UTF-8 (what is not is replaced), and is left out if it
 * is NULL; so is every number that is 0. */
struct sg_audit_event {
    const char *event;                 /* "sign", "deny", "revoke", ...; required */
    int64_t time_ms;                   /* since 1970; 0: when it is written */
    const struct sg_peer *peer;        /* uid, gid and pid; NULL: the daemon itself */
    const struct sg_peer_facts *facts; /* of the peer: those that are known; may be NULL */
    const char *rule;                  /* name of the grant that decided */
    const char *method;                /* such as "signet.v1.TokenService/Sign" */
    const char *keyset;
    const char *alg;
    const char *kid;
    const char *jti;
    const char *sub;
    const char *const *audiences;
    size_t num_audiences;
    int64_t exp; /* seconds since 1970 */
    const char *verdict;
    const char *reason; /* stable, such as "BAD_SIGNATURE" */
    const char *detail; /* for people */
    uint64_t queue_us, crypto_us, total_us;
    const char *traceparent;
};

/* An object that is being written. To be had from sg_audit_text_begin; len is kept such that the object
 * can always be closed. */
struct sg_audit_text {
    char *out;
    size_t cap; /* room for what is written, without that for the end */
    size_t len;
    bool cut; /* something did not fit */
};

/* sg_audit_text_begin opens an object in out, of at least 64 bytes, with the members "time" and
 * "event". */
struct sg_audit_text sg_audit_text_begin(char *out, size_t cap, int64_t time_ms, const char *event);
/* Each adds one member, or nothing where there is no room. A value of NULL adds nothing. names are plain
 * ASCII. */
void sg_audit_text_string(struct sg_audit_text *text, const char *name, const char *value,
                          size_t max_len);
void sg_audit_text_number(struct sg_audit_text *text, const char *name, int64_t value);
/* sg_audit_text_open begins a member that is itself an object, and sg_audit_text_shut ends it. */
bool sg_audit_text_open(struct sg_audit_text *text, const char *name);
void sg_audit_text_shut(struct sg_audit_text *text);
/* sg_audit_text_end closes the object and returns its length; no NUL behind it. */
size_t sg_audit_text_end(struct sg_audit_text *text);

/* sg_audit_record_write writes the event and returns the length, at most SG_AUDIT_MAX_BODY. Any
 * thread; neither blocks nor allocates. */
size_t sg_audit_record_write(const struct sg_audit_event *event, char out[SG_AUDIT_MAX_BODY]);

#endif
