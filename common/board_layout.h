/* SPDX-License-Identifier: Apache-2.0
 *
 * What is where in the trust board's file. For its reader, its writer, and tests; ARCHITECTURE.md says the same in
 * words. Whatever changes here changes SG_BOARD_VERSION; magic, byte order and the four words that change stay where
 * they are in every version.
 */
#ifndef SG_BOARD_LAYOUT_H
#define SG_BOARD_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/board.h"

#define SG_BOARD_MAGIC      "SIGNETBD"
#define SG_BOARD_BYTE_ORDER 0x01020304u
#define SG_BOARD_VERSION    1u
#define SG_BOARD_HEADER_LEN 4096u
#define SG_BOARD_PAGE       4096u /* files are whole ones of these */
#define SG_BOARD_ALIGN      64u   /* of every section */
#define SG_BOARD_BOOT_LEN   16u

struct sg_board_section {
    uint64_t offset, len; /* from the start of the file; bytes */
};

struct sg_board_header {
    uint8_t magic[8];
    uint32_t byte_order;
    uint32_t version;
    uint32_t header_len;
    uint32_t unused;
    uint8_t boot[SG_BOARD_BOOT_LEN];
    uint64_t file_len;
    uint64_t seed;
    struct sg_board_section keys, index, text, table;
    uint8_t unused_before_words[8];
    /* What changes after the file is in its place; each on a cache line of its own. */
    _Atomic uint64_t generation;
    uint8_t unused_after_generation[56];
    _Atomic uint64_t heartbeat;
    uint8_t unused_after_heartbeat[56];
    _Atomic uint32_t superseded;
    uint8_t unused_after_superseded[60];
    _Atomic uint32_t closed;
    uint8_t unused_after_closed[60];
};
_Static_assert(offsetof(struct sg_board_header, boot) == 24 &&
                   offsetof(struct sg_board_header, file_len) == 40 &&
                   offsetof(struct sg_board_header, keys) == 56 &&
                   offsetof(struct sg_board_header, generation) == 128 &&
                   offsetof(struct sg_board_header, heartbeat) == 192 &&
                   offsetof(struct sg_board_header, superseded) == 256 &&
                   offsetof(struct sg_board_header, closed) == 320,
               "as documented");

/* Bytes of the text section. */
struct sg_board_run {
    uint32_t offset, len;
};

struct sg_board_record {
    int64_t verify_from, verify_until, revoked_at;
    uint32_t alg, flags;
    struct sg_board_run keyset, issuer, typ, kid, public_key;
    struct sg_board_run audiences; /* each a byte with its length, and itself */
};
_Static_assert(sizeof(struct sg_board_record) == 80, "as documented");

/* The index is of numbers: the upper half of sg_board_kid_hash, and one more than the key's number; 0: empty. The place
 * of a kid follows from the lower half. */
#define SG_BOARD_INDEX_TAG UINT64_C(0xffffffff00000000)

enum sg_board_state {
    SG_BOARD_FREE = 0,
    SG_BOARD_ENDS = 1, /* its value is when it ceases to matter */
    SG_BOARD_LASTS = 2
};

struct sg_board_entry {
    _Alignas(32) _Atomic uint32_t state;
    uint32_t unused;
    _Atomic uint64_t digest[2];
    _Atomic int64_t value;
};
_Static_assert(sizeof(struct sg_board_entry) == 32, "two to a cache line");

/* sg_board_place spreads a hash over num places, by its lower 32 bits. */
static inline uint64_t sg_board_place(uint64_t hash, uint64_t num)
{
    return ((hash & UINT32_MAX) * num) >> 32;
}

uint64_t sg_board_kid_hash(uint64_t seed, const char *kid, size_t kid_len);
void sg_board_digest_seeded(uint64_t seed, enum sg_board_kind kind, const char *scope,
                            size_t scope_len, const char *name, size_t name_len,
                            uint8_t out[SG_BOARD_DIGEST_LEN]);

/* sg_board_boot reads which boot of the kernel this is. False if /proc does not say. */
bool sg_board_boot(uint8_t out[SG_BOARD_BOOT_LEN]) SIGNET_MUST_CHECK;

#endif
