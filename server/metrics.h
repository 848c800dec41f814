/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemon did, counted: calls by method, uid and outcome; tokens by algorithm, keyset and outcome;
 * durations in buckets. Counting is for the way of every request: it takes no lock and makes no memory, but
 * when a uid or a keyset is met for the first time. Memory is bounded: of uids and keysets beyond a fixed
 * number only the sum is kept. Nothing of a token is counted but its keyset and what became of it.
 *
 * Counts are kept in shards, one a thread up to SG_METRICS_SHARDS, and added up when they are read; what is
 * read while others count may have counted half of a call.
 */
#ifndef SG_METRICS_H
#define SG_METRICS_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buckets.h"
#include "common/jose/alg.h"
#include "common/limits.h"

#define SG_METRICS_MAX_METHODS 64u
#define SG_METRICS_MAX_UIDS    256u
#define SG_METRICS_MAX_KEYSETS 4096u
#define SG_METRICS_SHARDS      8u

/* Durations are in microseconds, known within 1 in 16, up to two minutes; longer ones count as this. */
#define SG_METRICS_STEP_BITS   4
#define SG_METRICS_MAX_BITS    27
#define SG_METRICS_NUM_BUCKETS SG_BUCKETS_NUM(SG_METRICS_STEP_BITS, SG_METRICS_MAX_BITS)

/* How a call can end, and why a token was refused: their numbers, and one more for what is none of them. */
#define SG_METRICS_NUM_STATUSES 18u
#define SG_METRICS_NUM_REASONS  19u

struct sg_metrics;

/* What was done with a token. */
enum sg_metrics_act {
    SG_METRICS_NO_TOKEN = 0,
    SG_METRICS_SIGN,
    SG_METRICS_VERIFY
};

/* What became of one token. */
struct sg_metrics_token {
    enum sg_metrics_act act;
    signet_status status;    /* other than OK: it was neither made nor judged */
    signet_reason rejection; /* of a token that was judged: why it is not good; NONE: it is */
    enum sg_alg alg;         /* UNSET: it did not come to that, and crypto_us is not counted */
    const char *keyset;      /* the name of one that there is, at most SG_MAX_KEYSET_NAME_LEN bytes;
                                NULL: none is known. Never a name that only a caller says. */
    uint64_t crypto_us;      /* how long its signature took */
};

/* One call that was answered. All zeros but the uid is legal. */
struct sg_metrics_sample {
    size_t method;        /* from 1; 0, or above what sg_metrics_new was told: none that is known */
    signet_status status; /* what was answered */
    uid_t uid;            /* whose call it was */
    uint64_t queue_us;    /* from when it was read until work on it was begun */
    /* In the keyholder and in checking signatures, waiting for it included: what the tokens of a batch took
     * together. Of a call with a token this is 0, and what the token took is taken. */
    uint64_t crypto_us;
    uint64_t total_us;  /* from when it was read until its answer was ready */
    uint32_t num_items; /* requests in it: those of a batch, else 1; 0 counts as 1 */
    /* The token of a call that has one. Those of a batch are counted with sg_metrics_record_token. */
    struct sg_metrics_token token;
};

/* sg_metrics_new makes counts for methods 1 to num_methods, at most SG_METRICS_MAX_METHODS. NULL without
 * memory. */
struct sg_metrics *sg_metrics_new(size_t num_methods);
void sg_metrics_free(struct sg_metrics *metrics); /* NULL is legal */

/* sg_metrics_record counts a call, and its token. Any thread; never blocks for longer than it takes to add a
 * name. NULL metrics count nothing. */
void sg_metrics_record(struct sg_metrics *metrics, const struct sg_metrics_sample *sample);

/* sg_metrics_record_token counts one token of a batch of uid. As sg_metrics_record. */
void sg_metrics_record_token(struct sg_metrics *metrics, uid_t uid,
                             const struct sg_metrics_token *token);

/* ---- Reading; any thread ---- */

struct sg_metrics_durations {
    uint64_t num, sum_us;
    uint64_t
        counts[SG_METRICS_NUM_BUCKETS]; /* of sg_buckets_upper(i, SG_METRICS_STEP_BITS) and less */
};

struct sg_metrics_method {
    /* Calls that were answered. One that was answered with a rejection is counted in rejections alone, so
     * that statuses[SIGNET_OK] is what went well. */
    uint64_t statuses[SG_METRICS_NUM_STATUSES], rejections[SG_METRICS_NUM_REASONS];
    uint64_t num_items;
    struct sg_metrics_durations queue, crypto, total; /* crypto: of calls that came to it */
};

struct sg_metrics_keyset {
    bool is_other; /* the sum of all that have no place of their own */
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    uint64_t num_signed, num_not_signed; /* tokens made, and refused or failed */
    uint64_t num_good, num_not_judged;   /* tokens found good, and not judged for an error */
    uint64_t rejections[SG_METRICS_NUM_REASONS];
};

struct sg_metrics_uid {
    bool is_other;
    uid_t uid;
    uint64_t num_requests;
    uint64_t num_denied;                         /* of these, PERMISSION_DENIED */
    uint64_t num_errors;                         /* of these, any other status but OK */
    uint64_t num_signed, num_good, num_rejected; /* tokens */
};

size_t sg_metrics_num_methods(const struct sg_metrics *metrics);

/* sg_metrics_read_method fills *out; method 0 to sg_metrics_num_methods, 0 being calls of no method that is
 * known. Zeros beyond. */
void sg_metrics_read_method(const struct sg_metrics *metrics, size_t method,
                            struct sg_metrics_method *out);

/* sg_metrics_read_alg fills *out with what signatures took. */
void sg_metrics_read_alg(const struct sg_metrics *metrics, enum sg_metrics_act act, enum sg_alg alg,
                         struct sg_metrics_durations *out);

/* sg_metrics_read_rejections fills counts of tokens that were judged and are not good, by reason. */
void sg_metrics_read_rejections(const struct sg_metrics *metrics,
                                uint64_t counts[SG_METRICS_NUM_REASONS]);

/* The keysets and uids that were met, in the order of their coming. The first of each, 0, is the sum of all
 * that found no place. Numbers grow and never change their meaning. */
size_t sg_metrics_num_keysets(const struct sg_metrics *metrics);
void sg_metrics_read_keyset(const struct sg_metrics *metrics, size_t index,
                            struct sg_metrics_keyset *out);
size_t sg_metrics_num_uids(const struct sg_metrics *metrics);
void sg_metrics_read_uid(const struct sg_metrics *metrics, size_t index,
                         struct sg_metrics_uid *out);

#endif
