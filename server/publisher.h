/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's side of the trust board (common/board.h): puts the keys of every snapshot onto it, and shows that the
 * daemon lives. What cannot be put there is tried again every second; until then the board is suspended, so that all its
 * readers ask the daemon. A file that somebody removed or replaced is put back within a second.
 */
#ifndef SG_PUBLISHER_H
#define SG_PUBLISHER_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

struct sg_board_writer;
struct sg_keyring;
struct sg_publisher;

/* sg_publisher_new makes a publisher for DIR/board, and no file yet. read_wall_s is CLOCK_REALTIME in seconds. Errors as
 * of sg_board_writer_open. */
signet_status sg_publisher_new(const char *dir, int64_t (*read_wall_s)(void),
                               struct sg_publisher **out, char *error,
                               size_t error_cap) SIGNET_MUST_CHECK;

/* sg_publisher_start begins to show that the daemon lives, on a thread of its own. Nothing is published before, and all
 * that is remembered is revoked by then. RESOURCE_EXHAUSTED: the thread does not start. */
signet_status sg_publisher_start(struct sg_publisher *publisher) SIGNET_MUST_CHECK;

/* sg_publisher_show puts the keys of a snapshot onto the board, after it was handed out to requests: a verdict that is
 * tied to the new board is one of the new snapshot. When it returns, no reader trusts what the one before said. Any
 * thread, one at a time. A failure is logged, once. */
void sg_publisher_show(struct sg_publisher *publisher, struct sg_keyring *keyring);

/* Owned by the publisher. */
struct sg_board_writer *sg_publisher_writer(struct sg_publisher *publisher);

/* sg_publisher_free ends the thread, and marks the board as closed: its readers ask the daemon. NULL is legal. */
void sg_publisher_free(struct sg_publisher *publisher);

#endif
