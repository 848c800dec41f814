/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory with the sockets: its making, its owner and mode, the lock that makes this daemon
 * the only one in it, and what may be in the socket's way.
 */
#ifndef SG_RUNTIME_DIR_H
#define SG_RUNTIME_DIR_H

#include <signet/status.h>
#include <stddef.h>
#include <sys/types.h>

/* sg_runtime_dir_make makes the directory with mode 0755 if it is not there, and gives it to the
 * user. One that is there is left as it is. Its parent must exist. On failure error says what would
 * mend it; so below. */
signet_status sg_runtime_dir_make(const char *path, uid_t uid, gid_t gid, char *error,
                                  size_t error_cap) SIGNET_MUST_CHECK;

/* sg_runtime_dir_lock checks that the directory belongs to this process's user or to root, that
 * nobody else may write to it, and takes its lock, DIR/signet.lock. FAILED_PRECONDITION with the
 * holder's pid in error if another process has it. The lock lasts until *lock_fd is closed. */
signet_status sg_runtime_dir_lock(const char *path, int *lock_fd, char *error,
                                  size_t error_cap) SIGNET_MUST_CHECK;

/* sg_runtime_dir_clear removes a socket that a daemon before this one left at path. The caller
 * holds the lock, so that nobody serves it. Anything else that is there is left alone and is a
 * failure. */
signet_status sg_runtime_dir_clear(const char *socket_path, char *error,
                                   size_t error_cap) SIGNET_MUST_CHECK;

#endif
