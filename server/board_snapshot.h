/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot of keys (server/keyring.h) on the trust board: those of all keysets, ours and foreign issuers', but for the
 * daemon's own, in the order in which they are tried for a token without kid.
 */
#ifndef SG_BOARD_SNAPSHOT_H
#define SG_BOARD_SNAPSHOT_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

struct sg_board_writer;
struct sg_keyring;

/* sg_board_snapshot_publish is sg_board_writer_publish with the snapshot's keys; now and errors as of that. */
signet_status sg_board_snapshot_publish(struct sg_board_writer *writer,
                                        const struct sg_keyring *keyring, int64_t now, char *error,
                                        size_t error_cap) SIGNET_MUST_CHECK;

#endif
