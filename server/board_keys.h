/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a trust board as bytes: records, the index of their kids, and their text, as they stand behind the
 * header of its file. Pure.
 */
#ifndef SG_BOARD_KEYS_H
#define SG_BOARD_KEYS_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "common/board_layout.h"

/* Owned; whole pages. The sections count from the start of the file. */
struct sg_board_keys {
    uint8_t *bytes;
    size_t len;
    struct sg_board_section keys, index, text;
};

/* sg_board_keys_build puts num keys into bytes; seed is the board's. INVALID_ARGUMENT, with text in error: something is
 * longer than common/limits.h allows, or there are more than SG_MAX_BOARD_KEYS. RESOURCE_EXHAUSTED without
 * memory. */
signet_status sg_board_keys_build(const struct sg_board_key *keys, size_t num, uint64_t seed,
                                  struct sg_board_keys *out, char *error,
                                  size_t error_cap) SIGNET_MUST_CHECK;
void sg_board_keys_fini(struct sg_board_keys *keys); /* legal on a zeroed one */

#endif
