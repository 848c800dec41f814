/* SPDX-License-Identifier: Apache-2.0
 *
 * The board of now, for all threads of a client: opened, opened again when another takes its place, and unmapped when
 * nobody reads it any more. A reader writes to one word, on a cache line that it shares with nobody as long as there are
 * no more threads than LOCAL_BOARDS_SLOTS; it waits for nothing. One thread opens at a time, and the others go without
 * meanwhile.
 */
#ifndef SG_CLIENT_LOCAL_BOARDS_H
#define SG_CLIENT_LOCAL_BOARDS_H

#include <signet/status.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/local.h"
#include "client/local_keys.h"

struct sg_local_boards;

/* sg_local_boards_new looks for the board. NULL without memory. */
struct sg_local_boards *sg_local_boards_new(const struct sg_local_config *config);
void sg_local_boards_free(struct sg_local_boards *boards); /* NULL is legal; nobody holds one */

/* A board that is in use by one thread. */
struct sg_local_hold {
    struct sg_board *board;
    struct sg_local_keys *keys; /* of that board */
    uint64_t generation;        /* read before the board was found to be fresh */
    void *slot;
};

/* sg_local_boards_hold gives a board that counts now, as sg_board_is_fresh has it, to be released soon. False: there is
 * none. Opens the path if that is due. */
bool sg_local_boards_hold(struct sg_local_boards *boards,
                          struct sg_local_hold *hold) SIGNET_MUST_CHECK;
void sg_local_boards_release(struct sg_local_hold *hold);

/* sg_local_boards_renew says whether the board that is held counts still, and reads its generation before that. */
bool sg_local_boards_renew(const struct sg_local_boards *boards,
                           struct sg_local_hold *hold) SIGNET_MUST_CHECK;

#endif
