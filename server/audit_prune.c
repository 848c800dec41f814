/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing old files. The chain first says, on the disk, what is removed, and with which hash it ended: so
 * that a beginning that is missing can be told from one that somebody took away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/audit_file_parts.h"

/* What the first line of a file begins with: the hash of the last of the file before. */
static bool prune_read_first(const struct sg_audit_files *files, const char *name,
                             struct sg_audit_prefix *out)
{
    char room[256];
    int fd = openat(files->options.dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, room, sizeof(room) - 1);
    (void)close(fd);
    room[len > 0 ? len : 0] = '\0';
    return sg_audit_prefix_read(room, out);
}

static signet_status prune_record(struct sg_audit_files *files, const char *name, const char *next,
                                  char reason[SG_AUDIT_MAX_REASON])
{
    char body[512];
    char hex[SG_AUDIT_HEX_LEN + 1];
    struct sg_audit_prefix prefix;
    if (!prune_read_first(files, next, &prefix)) {
        return sg_audit_files_fail(files, next, "is none of the audit's", EINVAL, reason);
    }
    sg_audit_hex(prefix.prev, hex);
    struct sg_audit_text text = sg_audit_text_begin(
        body, sizeof(body), files->options.read_wall_ms(), SG_AUDIT_EVENT_PRUNED);
    sg_audit_text_string(&text, "file", name, SG_AUDIT_MAX_NAME);
    sg_audit_text_number(&text, "first", (int64_t)sg_audit_name_seq(name));
    sg_audit_text_number(&text, "last", (int64_t)prefix.seq - 1);
    sg_audit_text_string(&text, "hash", hex, sizeof(hex));
    signet_status status = sg_audit_files_add(files, 0, body, sg_audit_text_end(&text));
    if (status == SIGNET_OK) {
        status = sg_audit_files_commit(files, reason);
    }
    return status == SIGNET_OK ? sg_audit_files_sync(files, reason) : status;
}

signet_status sg_audit_files_prune(struct sg_audit_files *files, char reason[SG_AUDIT_MAX_REASON])
{
    struct sg_audit_names names = {.num = 0};
    if (!files->may_prune || files->options.max_files == 0) {
        return SIGNET_OK;
    }
    int number = sg_audit_names_list(files->options.dir_fd, &names);
    if (number != 0) {
        return sg_audit_files_fail(files, ".", "cannot be listed", number, reason);
    }
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i + files->options.max_files < names.num; i++) {
        status = prune_record(files, names.items[i], names.items[i + 1], reason);
        if (status == SIGNET_OK && unlinkat(files->options.dir_fd, names.items[i], 0) != 0) {
            status = sg_audit_files_fail(files, names.items[i], "cannot be removed", errno, reason);
        }
    }
    free(names.items);
    files->may_prune = false; /* what could not be removed is tried again with the next file */
    return status;
}
