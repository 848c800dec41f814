/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that hold a key-encryption key: 32 random bytes that root and the daemon's user alone can read.
 * Nothing is ever overwritten: a new key is made beside the old one, in PATH.next, and takes its place
 * by a rename.
 */
#ifndef SG_SEAL_KEK_FILE_H
#define SG_SEAL_KEK_FILE_H

#include <sys/types.h>

#include "client/cli/cli.h"
#include "client/seal/wipe.h"

#define KEK_FILE_LEN ((size_t)32)

/* Whose a new file is to be. */
struct kek_owner {
    uid_t uid;
    gid_t gid;
};

/* kek_owner_of takes the owner of what is at path. False after a complaint. */
bool kek_owner_of(struct cli *cli, const char *path, struct kek_owner *out);

/* kek_file_exists says whether anything is at path. */
bool kek_file_exists(const char *path);

/* kek_file_read reads a file that must be one that the daemon takes: no link, of the owner, mode 0600 or less,
 * 32 bytes. False after a complaint that says what would mend it. */
bool kek_file_read(struct cli *cli, const char *path, const struct kek_owner *owner,
                   struct seal_bytes *out);

/* kek_file_next reads PATH.next, or makes it first: whole and on the disk when this returns. False after
 * a complaint. */
bool kek_file_next(struct cli *cli, const char *path, const struct kek_owner *owner,
                   struct seal_bytes *out);

/* kek_file_replace puts PATH.next in the place of PATH, durably. kek_file_place does where nothing
 * must be at PATH yet. False after a complaint. */
bool kek_file_replace(struct cli *cli, const char *path);
bool kek_file_place(struct cli *cli, const char *path);

#endif
