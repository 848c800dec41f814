/* SPDX-License-Identifier: Apache-2.0
 *
 * The keystore's directory: who may touch it, and files that are replaced whole or not at all. Knows
 * nothing of what is in the files. Nothing outside this directory includes this.
 */
#ifndef SG_KEYSTORE_DIR_H
#define SG_KEYSTORE_DIR_H

#include "server/keyholder/kek.h"

#define SG_KEYSTORE_DIR_NAME    "keys"
#define SG_KEYSTORE_HEADER_NAME "keystore"

struct sg_keystore_dir {
    int fd, lock_fd; /* -1: not open */
    char path[SG_KEYSTORE_MAX_PATH + 8];
};

/* DIR, and whose it may be besides root's and this process's user's: the daemon's. */
struct sg_keystore_state_dir {
    const char *path;
    uid_t front_uid;
};

/* sg_keystore_dir_open checks the owners and modes of DIR and DIR/keys, and opens the latter. NOT_FOUND
 * if it is not there. */
signet_status sg_keystore_dir_open(struct sg_keystore_dir *dir,
                                   const struct sg_keystore_state_dir *state_dir,
                                   struct sg_kek_message message) SIGNET_MUST_CHECK;
/* sg_keystore_dir_make makes DIR/keys, unless it is there. */
signet_status sg_keystore_dir_make(const struct sg_keystore_state_dir *state_dir,
                                   struct sg_kek_message message) SIGNET_MUST_CHECK;
/* sg_keystore_dir_lock keeps every other process out, until the directory is closed. Waits half a second for
 * one that is about to end. */
signet_status sg_keystore_dir_lock(struct sg_keystore_dir *dir,
                                   struct sg_kek_message message) SIGNET_MUST_CHECK;
void sg_keystore_dir_close(struct sg_keystore_dir *dir);

/* sg_keystore_dir_read reads a file of at most cap bytes. NOT_FOUND; FAILED_PRECONDITION for an unsafe
 * owner or mode; INVALID_ARGUMENT if it is no regular file, or longer. */
signet_status sg_keystore_dir_read(const struct sg_keystore_dir *dir, const char *name,
                                   uint8_t *out, size_t cap, size_t *len,
                                   struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_keystore_dir_write makes a file, or with may_replace puts it in the place of one, durably; or nothing
 * has changed. RESOURCE_EXHAUSTED for a full disk, ALREADY_EXISTS. */
signet_status sg_keystore_dir_write(const struct sg_keystore_dir *dir, const char *name,
                                    const uint8_t *bytes, size_t len, bool may_replace,
                                    struct sg_kek_message message) SIGNET_MUST_CHECK;

/* sg_keystore_dir_list calls visit for every name but the lock's and those of writes that were cut off;
 * false from it ends the list. With is_owner it removes what such writes have left. */
signet_status sg_keystore_dir_list(const struct sg_keystore_dir *dir, bool is_owner,
                                   bool (*visit)(void *context, const char *name), void *context,
                                   struct sg_kek_message message) SIGNET_MUST_CHECK;

#endif
