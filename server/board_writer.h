/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the trust board (common/board.h): one writer for a directory, whose lock the caller holds. Every step leaves a
 * board that readers can use, whatever ends the process; every failure leaves the one that there is in force, with
 * text in error that says what would mend it. All functions but sg_board_writer_find: any thread, one at a time under a
 * mutex of its own.
 *
 * The order at a start: open; sg_board_writer_revoke for all that is remembered, which nobody sees yet; publish.
 * The board of a daemon that died is superseded when the writer is opened, so that its readers ask the daemon, whatever
 * fails afterwards.
 *
 * A revocation that could not be put onto the board must not be acknowledged as one. A publish that fails, of keys
 * that end the trust in something, must be followed by sg_board_writer_suspend: then all readers ask the daemon.
 */
#ifndef SG_BOARD_WRITER_H
#define SG_BOARD_WRITER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/board.h"

struct sg_board_writer;

/* A clock may be ahead, and be set back: what ended less than so many seconds ago should be kept, so that the time that
 * is given to publish and revoke is so much earlier. */
#define SG_BOARD_CLOCK_MARGIN_S 86400

/* sg_board_writer_open makes a writer for DIR/board, and no file yet. With NULL there never is one, and nothing may be
 * published: the revocations are the process's own. Keeps a descriptor of dir. Marks what an earlier daemon left as
 * superseded. FAILED_PRECONDITION: it is no directory, or what is there cannot be marked. RESOURCE_EXHAUSTED: without
 * memory or descriptors. INTERNAL: the kernel gives no randomness, or does not say which boot this is. */
signet_status sg_board_writer_open(const char *dir, uint64_t now_boot_ms,
                                   struct sg_board_writer **out, char *error,
                                   size_t error_cap) SIGNET_MUST_CHECK;

/* sg_board_writer_publish puts a board with these keys and all revocations that matter at now (seconds since 1970) in
 * the place of the one before, as a new file. Nothing of keys is kept. RESOURCE_EXHAUSTED: no room on the disk, or no
 * memory. INVALID_ARGUMENT: as sg_board_keys_build. FAILED_PRECONDITION: the file cannot be made. */
signet_status sg_board_writer_publish(struct sg_board_writer *writer,
                                      const struct sg_board_key *keys, size_t num_keys, int64_t now,
                                      char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* What is revoked; enum sg_board_kind says what scope, name and value are. */
struct sg_board_revocation {
    enum sg_board_kind kind;
    const char *scope, *name;
    size_t scope_len, name_len;
    int64_t value;
};

/* sg_board_writer_revoke adds a revocation, or raises the value of one that is there; a lower value changes nothing.
 * When it returns every reader sees it. A table that is three quarters full is replaced by a larger one, in a
 * new file, without tokens whose value is before now: the value should leave room for a clock that is set back.
 * RESOURCE_EXHAUSTED: no room on the disk, or more than SG_MAX_BOARD_SLOTS; otherwise as publish. */
signet_status sg_board_writer_revoke(struct sg_board_writer *writer,
                                     const struct sg_board_revocation *revocation, int64_t now,
                                     char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_board_writer_reserve makes room for a revocation, so that sg_board_writer_revoke of it cannot fail if it is the next.
 * Errors as of that; RESOURCE_EXHAUSTED also if so many lie around its place that all look-ups there would take long:
 * the seed of the board is no secret, so that names can be chosen for that. */
signet_status sg_board_writer_reserve(struct sg_board_writer *writer,
                                      const struct sg_board_revocation *revocation, int64_t now,
                                      char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_board_writer_find is sg_board_find for the process of the writer: what was revoked before is found. Any thread, many
 * at once; waits only while one table takes the place of another, and not for that to be filled. */
bool sg_board_writer_find(struct sg_board_writer *writer, enum sg_board_kind kind,
                          const char *scope, const char *name, int64_t *value) SIGNET_MUST_CHECK;

/* sg_board_writer_restore looks whether DIR/board still is the file that was published; if somebody removed it, or put
 * another in its place, *was_gone is true, and the board is put there once more, as a new file with the same keys.
 * Suspended it stays suspended. Errors as of publish, with which the board before stays in force for who has it open. */
signet_status sg_board_writer_restore(struct sg_board_writer *writer, int64_t now, bool *was_gone,
                                      char *error, size_t error_cap) SIGNET_MUST_CHECK;

/* sg_board_writer_suspend marks the board as closed until the next publish: all readers ask the daemon. */
void sg_board_writer_suspend(struct sg_board_writer *writer);

/* sg_board_writer_beat says that the writer lives at now (CLOCK_BOOTTIME in ms). */
void sg_board_writer_beat(struct sg_board_writer *writer, uint64_t now_boot_ms);

/* sg_board_writer_close marks the board as closed, so that readers ask the daemon, and leaves its file. No other
 * thread uses the writer any more. NULL is legal. */
void sg_board_writer_close(struct sg_board_writer *writer);

#endif
