/* SPDX-License-Identifier: Apache-2.0
 *
 * The trust board, for those who read it: a file with the public keys and all revocations, which the daemon
 * writes (server/board_writer) and any number of processes map, to judge tokens without asking it, and to see a
 * revocation as soon as it is acknowledged. ARCHITECTURE.md has its layout.
 *
 * A reader takes no lock, makes no memory after it has opened, never waits, and ends however the writer died. It
 * trusts the file's owner for what the board says, and nobody for a number in it: every offset and length is
 * checked against the length of the file when it is read, and is read once.
 *
 * To judge a token:
 *   1. sg_board_generation, and then sg_board_is_fresh; if it is not, ask the daemon. If it is superseded, open
 *      the path again; what is found there may be superseded as well for a moment, or for good if the daemon
 *      died then.
 *   2. The keys of its kid, its signature, and all that may have been revoked of it.
 *   3. sg_board_generation once more. Only if it is the same does the verdict count, and only as long as it is:
 *      everything that can turn a good token into a refused one raises it.
 */
#ifndef SG_BOARD_H
#define SG_BOARD_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/limits.h"

#define SG_BOARD_FILE       "board" /* in the runtime directory */
#define SG_BOARD_DIGEST_LEN 16u

struct sg_board;

/* sg_board_open maps the board at path. It must be a regular file, and no link, of root's or of owner's that nobody
 * else may write. UNAVAILABLE: there is none. UNTRUSTED_SERVER: it is not theirs alone. PROTOCOL_ERROR: it is no
 * board, or one of another version. RESOURCE_EXHAUSTED: without memory or descriptors. On failure error says what
 * was wrong. Keeps a descriptor until sg_board_close. What is opened may be stale or superseded. */
signet_status sg_board_open(const char *path, uid_t owner, struct sg_board **out, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;
void sg_board_close(struct sg_board *board); /* NULL is legal */

/* All below: any thread, one board for many, until it is closed. */

/* sg_board_is_fresh says whether the board counts at now (CLOCK_BOOTTIME in ms): its writer has shown that it
 * lives within max_age_ms, in this boot of the kernel, has not closed or superseded it, and the file is as long
 * as it was, which costs one system call in each millisecond. It must come before the look-ups for each token,
 * since touching a page that was cut off the file ends the process (SIGBUS). */
bool sg_board_is_fresh(struct sg_board *board, uint64_t now_boot_ms, uint64_t max_age_ms);

/* sg_board_generation is a number that is raised after every change that refuses more, and when the board is
 * closed or superseded. No two boards of one path show the same; compare for equality. */
uint64_t sg_board_generation(const struct sg_board *board);

/* sg_board_is_superseded says that another board takes its place: open it. */
bool sg_board_is_superseded(const struct sg_board *board);

/* ---- Keys ---- */

enum sg_board_key_flag {
    SG_BOARD_FOREIGN = 1, /* of a foreign issuer */
    SG_BOARD_INTERNAL = 2 /* the daemon's own: no token is under it */
};

/* Bytes, without a NUL at the end; they belong to the board, and may be anything if its owner means ill. */
struct sg_board_text {
    const char *bytes;
    size_t len;
};

/* Lengths are within common/limits.h. Times are seconds since 1970, as server/rotation.h computes them. */
struct sg_board_key {
    struct sg_board_text keyset, issuer, typ;
    struct sg_board_text kid;        /* empty: it has none */
    struct sg_board_text public_key; /* empty: of a secret. Opaque here */
    struct sg_board_text audiences[SG_MAX_AUDIENCES];
    size_t num_audiences; /* of a foreign issuer: whom its tokens may be for; 0: anybody */
    uint32_t alg;         /* enum sg_alg, as the writer gave it */
    uint32_t flags;       /* enum sg_board_key_flag */
    int64_t verify_from, verify_until;
    int64_t revoked_at; /* 0: it is not revoked */
};

size_t sg_board_num_keys(const struct sg_board *board);
/* sg_board_key_at reads a key by its number, below sg_board_num_keys. False if the board is damaged there. */
bool sg_board_key_at(const struct sg_board *board, size_t index,
                     struct sg_board_key *out) SIGNET_MUST_CHECK;

/* A search for the keys of a kid, which stays the caller's. */
struct sg_board_search {
    const struct sg_board *board;
    const char *kid;
    size_t kid_len;
    uint64_t hash;
    uint64_t at, left; /* the next place of the index, and how many have not been looked at */
    size_t found;      /* the number of the key that was given last */
};

/* sg_board_search_begin starts at the first key whose kid is this; sg_board_search_next gives one after the other, and
 * false at the end. Which of several keys it was, only a signature says; how many to try is for the caller to bound. */
void sg_board_search_begin(const struct sg_board *board, const char *kid, size_t kid_len,
                           struct sg_board_search *search);
bool sg_board_search_next(struct sg_board_search *search,
                          struct sg_board_key *out) SIGNET_MUST_CHECK;

/* ---- Revocations ---- */

/* A token's value is until when it matters. All others last, and their value is min_iat: tokens that were issued before
 * that second are refused. */
enum sg_board_kind {
    SG_BOARD_TOKEN = 1,   /* scope: issuer, name: jti */
    SG_BOARD_SUBJECT = 2, /* scope: issuer, name: subject */
    SG_BOARD_KEYSET = 3,  /* scope: empty, name: keyset */
    SG_BOARD_KID = 4      /* scope: keyset, name: kid */
};

/* sg_board_digest gives what a revocation is found by: XXH3 of 128 bits, with a seed that each daemon makes. It is no
 * cryptographic hash, and who may read the board knows the seed: somebody who may revoke could make up a name that
 * collides with another. What collides is refused for either name, and never accepted. */
void sg_board_digest(const struct sg_board *board, enum sg_board_kind kind, const char *scope,
                     size_t scope_len, const char *name, size_t name_len,
                     uint8_t out[SG_BOARD_DIGEST_LEN]);

/* sg_board_find says whether there is such a revocation, and its value. A table that has no end, which no writer makes,
 * holds everything, with INT64_MAX: refused. */
bool sg_board_find(const struct sg_board *board, const uint8_t digest[SG_BOARD_DIGEST_LEN],
                   int64_t *value) SIGNET_MUST_CHECK;

#endif
