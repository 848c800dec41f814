/* SPDX-License-Identifier: Apache-2.0
 *
 * Making, checking and putting in place the files of key-encryption keys. The order of writes is what
 * rekey.c relies on: a file is whole and on the disk before its name is, and its name before the
 * daemon hears of it.
 */
#include "client/seal/kek_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEK_FILE_UNSAFE_MODE 0077u

static bool kek_fail(struct cli *cli, const char *what, const char *path)
{
    (void)cli_fail(cli, CLI_FAILED, "cannot %s %s: %s", what, path, strerrordesc_np(errno));
    return false;
}

static bool kek_next_path(struct cli *cli, const char *path, char out[PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s.next", path);
    if (len < 0 || len >= PATH_MAX) {
        (void)cli_usage(cli, "the path '%s' is too long", path);
        return false;
    }
    return true;
}

bool kek_owner_of(struct cli *cli, const char *path, struct kek_owner *out)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return kek_fail(cli, "look at", path);
    }
    *out = (struct kek_owner){.uid = info.st_uid, .gid = info.st_gid};
    return true;
}

bool kek_file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 || errno != ENOENT;
}

/* ---- Reading ---- */

static bool kek_is_safe(struct cli *cli, const char *path, const struct stat *info,
                        const struct kek_owner *owner)
{
    if (!S_ISREG(info->st_mode)) {
        (void)cli_fail(cli, CLI_FAILED, "%s is not a regular file", path);
        return false;
    }
    if (info->st_uid != owner->uid) {
        (void)cli_fail(cli, CLI_FAILED,
                       "%s belongs to uid %ju, and not to the daemon's user: chown %ju:%ju %s",
                       path, (uintmax_t)info->st_uid, (uintmax_t)owner->uid, (uintmax_t)owner->gid,
                       path);
        return false;
    }
    if ((info->st_mode & KEK_FILE_UNSAFE_MODE) != 0) {
        (void)cli_fail(
            cli, CLI_FAILED,
            "%s has mode %04o, so that others can use the key; if nobody did: chmod 0600 "
            "%s",
            path, (unsigned)info->st_mode & 07777u, path);
        return false;
    }
    if (info->st_size != (off_t)KEK_FILE_LEN) {
        (void)cli_fail(cli, CLI_FAILED,
                       "%s has %jd bytes, and a key-encryption key %zu; is that the file?", path,
                       (intmax_t)info->st_size, KEK_FILE_LEN);
        return false;
    }
    return true;
}

static bool kek_read_open(struct cli *cli, int fd, const char *path, const struct kek_owner *owner,
                          struct seal_bytes *out)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return kek_fail(cli, "look at", path);
    }
    if (!kek_is_safe(cli, path, &info, owner)) {
        return false;
    }
    uint8_t *data = seal_alloc(KEK_FILE_LEN);
    if (data == NULL || pread(fd, data, KEK_FILE_LEN, 0) != (ssize_t)KEK_FILE_LEN) {
        seal_free(data);
        return kek_fail(cli, "read", path);
    }
    *out = (struct seal_bytes){.data = data, .len = KEK_FILE_LEN};
    return true;
}

bool kek_file_read(struct cli *cli, const char *path, const struct kek_owner *owner,
                   struct seal_bytes *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return kek_fail(cli, "open", path);
    }
    bool is_read = kek_read_open(cli, fd, path, owner, out);
    (void)close(fd);
    return is_read;
}

/* ---- Making ---- */

static bool kek_sync_dir_of(struct cli *cli, const char *path)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    int fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) {
        return kek_fail(cli, "open", dir);
    }
    bool is_synced = fsync(fd) == 0;
    if (!is_synced) {
        (void)kek_fail(cli, "sync", dir);
    }
    (void)close(fd);
    return is_synced;
}

static bool kek_fill(struct cli *cli, int fd, const char *path, const struct kek_owner *owner)
{
    uint8_t key[KEK_FILE_LEN];
    if ((owner->uid != geteuid() || owner->gid != getegid()) &&
        fchown(fd, owner->uid, owner->gid) != 0) {
        (void)cli_fail(cli, CLI_FAILED, "cannot give %s to uid %ju, gid %ju: %s; run this as root",
                       path, (uintmax_t)owner->uid, (uintmax_t)owner->gid, strerrordesc_np(errno));
        return false;
    }
    bool is_full = getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key) &&
                   write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
    explicit_bzero(key, sizeof(key));
    return is_full || kek_fail(cli, "write", path);
}

static bool kek_make(struct cli *cli, const char *path, const struct kek_owner *owner)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return kek_fail(cli, "make", path);
    }
    bool is_made = kek_fill(cli, fd, path, owner);
    if (close(fd) != 0 && is_made) {
        is_made = kek_fail(cli, "write", path);
    }
    if (!is_made) {
        (void)unlink(path); /* nobody has used it */
        return false;
    }
    return kek_sync_dir_of(cli, path);
}

/* A file that was cut by a crash while it was made. The daemon hears of a key only when all of it is on
 * the disk, so that nothing was ever sealed under this one. */
static bool kek_is_unfinished(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size < (off_t)KEK_FILE_LEN;
}

bool kek_file_next(struct cli *cli, const char *path, const struct kek_owner *owner,
                   struct seal_bytes *out)
{
    char next[PATH_MAX];
    if (!kek_next_path(cli, path, next)) {
        return false;
    }
    if (kek_is_unfinished(next) && unlink(next) != 0) {
        return kek_fail(cli, "remove", next);
    }
    if (!kek_file_exists(next) && !kek_make(cli, next, owner)) {
        return false;
    }
    return kek_file_read(cli, next, owner, out);
}

/* ---- Putting in place ---- */

static bool kek_move(struct cli *cli, const char *path, unsigned flags)
{
    char next[PATH_MAX];
    if (!kek_next_path(cli, path, next)) {
        return false;
    }
    if (renameat2(AT_FDCWD, next, AT_FDCWD, path, flags) != 0) {
        (void)cli_fail(cli, CLI_FAILED, "cannot rename %s to %s: %s", next, path,
                       strerrordesc_np(errno));
        return false;
    }
    return kek_sync_dir_of(cli, path);
}

bool kek_file_replace(struct cli *cli, const char *path)
{
    return kek_move(cli, path, 0);
}

bool kek_file_place(struct cli *cli, const char *path)
{
    return kek_move(cli, path, RENAME_NOREPLACE);
}
