/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and directories, their owners and modes, and the order of write, sync, rename, sync.
 */
#include "server/keyholder/keystore_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_LOCK_NAME "lock"
/* What is not yet a file of the keystore; no name of one ends so. */
#define DIR_NEW_SUFFIX ".new"
#define DIR_MAX_NAME   160u

/* A process that was killed has its lock until the kernel is done with it. */
#define DIR_LOCK_TRIES    50u
#define DIR_LOCK_PAUSE_MS 10

static signet_status dir_fail_errno(const struct sg_keystore_dir *dir, const char *name,
                                    const char *what, int number, struct sg_kek_message message)
{
    signet_status status = SIGNET_INTERNAL;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG || number == ENOMEM) {
        status = SIGNET_RESOURCE_EXHAUSTED;
    } else if (number == EACCES || number == EPERM || number == EROFS) {
        status = SIGNET_FAILED_PRECONDITION;
    }
    return sg_kek_fail(message, status, "%s/%s: %s: %s", dir->path, name, what,
                       strerrordesc_np(number));
}

/* ---- Owners and modes ---- */

/* command: chown, with what it takes. */
static signet_status dir_fail_owner(const char *path, const struct stat *info, const char *command,
                                    struct sg_kek_message message)
{
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "%s belongs to uid %u, and not to the user that holds the keys: %s %u %s",
                       path, (unsigned)info->st_uid, command, (unsigned)geteuid(), path);
}

static signet_status dir_fail_reach(const char *path, int number, struct sg_kek_message message)
{
    if (number == EACCES) {
        return sg_kek_fail_closed(path, message);
    }
    return sg_kek_fail(message, number == ENOENT ? SIGNET_NOT_FOUND : SIGNET_FAILED_PRECONDITION,
                       "%s: %s", path, strerrordesc_np(number));
}

static signet_status dir_check_state_dir(const struct sg_keystore_state_dir *state_dir,
                                         struct sg_kek_message message)
{
    const char *path = state_dir->path;
    struct stat info;
    if (stat(path, &info) != 0) {
        return dir_fail_reach(path, errno, message);
    }
    if (!S_ISDIR(info.st_mode)) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s is not a directory", path);
    }
    if (info.st_uid != geteuid() && info.st_uid != 0 && info.st_uid != state_dir->front_uid) {
        bool has_front = state_dir->front_uid != 0 && state_dir->front_uid != (uid_t)-1;
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s belongs to uid %u, and not to the daemon's user: chown %u %s", path,
                           (unsigned)info.st_uid,
                           (unsigned)(has_front ? state_dir->front_uid : geteuid()), path);
    }
    /* Whoever may write here may put another keystore in the place of ours. */
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s can be written by others (mode %04o): chmod %s %s", path,
                           (unsigned)(info.st_mode & 07777),
                           info.st_uid == geteuid() ? "0700" : "0711", path);
    }
    return SIGNET_OK;
}

static signet_status dir_check_keys(const char *path, const struct stat *info,
                                    struct sg_kek_message message)
{
    if (!S_ISDIR(info->st_mode)) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s is not a directory", path);
    }
    if (info->st_uid != geteuid()) {
        return dir_fail_owner(path, info, "chown -R", message);
    }
    if ((info->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s is open to others (mode %04o): chmod 0700 %s", path,
                           (unsigned)(info->st_mode & 07777), path);
    }
    return SIGNET_OK;
}

static signet_status dir_check_file(const char *path, const struct stat *info,
                                    struct sg_kek_message message)
{
    if (!S_ISREG(info->st_mode)) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT, "%s is not a regular file", path);
    }
    if (info->st_uid != geteuid()) {
        return dir_fail_owner(path, info, "chown", message);
    }
    if ((info->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s is open to others (mode %04o): chmod 0600 %s", path,
                           (unsigned)(info->st_mode & 07777), path);
    }
    return SIGNET_OK;
}

/* Why a file cannot be opened: its owner and its mode say more than the number. */
static signet_status dir_fail_open(const struct sg_keystore_dir *dir, const char *name, int number,
                                   struct sg_kek_message message)
{
    char path[sizeof(dir->path) + DIR_MAX_NAME];
    struct stat info;
    (void)snprintf(path, sizeof(path), "%s/%s", dir->path, name);
    if (number != ENOENT && fstatat(dir->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        signet_status status = dir_check_file(path, &info, message);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    return sg_kek_fail(message, number == ENOENT ? SIGNET_NOT_FOUND : SIGNET_INVALID_ARGUMENT,
                       "%s: %s", path, strerrordesc_np(number));
}

/* ---- The directory ---- */

static signet_status dir_name(const char *state_dir, char *out, size_t cap,
                              struct sg_kek_message message)
{
    int len = snprintf(out, cap, "%s/" SG_KEYSTORE_DIR_NAME, state_dir);
    return len > 0 && (size_t)len < cap ? SIGNET_OK
                                        : sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                                                      "the state directory's path is too "
                                                      "long");
}

signet_status sg_keystore_dir_open(struct sg_keystore_dir *dir,
                                   const struct sg_keystore_state_dir *state_dir,
                                   struct sg_kek_message message)
{
    dir->fd = -1;
    dir->lock_fd = -1;
    signet_status status = dir_name(state_dir->path, dir->path, sizeof(dir->path), message);
    if (status == SIGNET_OK) {
        status = dir_check_state_dir(state_dir, message);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    /* By name first: what cannot be opened has an owner or a mode that says why. */
    struct stat info;
    if (lstat(dir->path, &info) != 0) {
        return dir_fail_reach(dir->path, errno, message);
    }
    status = dir_check_keys(dir->path, &info, message);
    if (status != SIGNET_OK) {
        return status;
    }
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0 || fstat(dir->fd, &info) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s: %s", dir->path,
                           strerrordesc_np(errno));
    }
    return dir_check_keys(dir->path, &info, message);
}

static bool dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return synced;
}

static signet_status dir_fail_make(const char *path, int number, struct sg_kek_message message)
{
    if (number == EEXIST) {
        return SIGNET_OK; /* whether it will do is for those who open it to say */
    }
    if (number == EACCES) {
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "%s cannot be made by uid %u; first, as root: install -d -m 0700 -o %u %s", path,
            (unsigned)geteuid(), (unsigned)geteuid(), path);
    }
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s cannot be made: %s", path,
                       strerrordesc_np(number));
}

signet_status sg_keystore_dir_make(const struct sg_keystore_state_dir *state_dir,
                                   struct sg_kek_message message)
{
    char path[SG_KEYSTORE_MAX_PATH + 8];
    signet_status status = dir_name(state_dir->path, path, sizeof(path), message);
    if (status == SIGNET_OK) {
        status = dir_check_state_dir(state_dir, message);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    if (mkdir(path, 0700) != 0) {
        return dir_fail_make(path, errno, message);
    }
    /* Whatever the umask. */
    if (chmod(path, 0700) != 0 || !dir_sync(state_dir->path)) {
        return sg_kek_fail(message, SIGNET_INTERNAL, "%s: %s", path, strerrordesc_np(errno));
    }
    return SIGNET_OK;
}

/* Returns 0 or the error. */
static int dir_flock(int fd)
{
    unsigned num_tries = 1;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || num_tries == DIR_LOCK_TRIES) {
            return errno;
        }
        num_tries++;
        (void)poll(NULL, 0, DIR_LOCK_PAUSE_MS);
    }
    return 0;
}

signet_status sg_keystore_dir_lock(struct sg_keystore_dir *dir, struct sg_kek_message message)
{
    dir->lock_fd = openat(dir->fd, DIR_LOCK_NAME,
                          O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (dir->lock_fd < 0) {
        return dir_fail_open(dir, DIR_LOCK_NAME, errno, message);
    }
    int number = dir_flock(dir->lock_fd);
    if (number == EWOULDBLOCK) {
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "%s is in use by another process; stop signetd, or whatever has it, first", dir->path);
    }
    return number == 0 ? SIGNET_OK
                       : dir_fail_errno(dir, DIR_LOCK_NAME, "cannot be locked", number, message);
}

void sg_keystore_dir_close(struct sg_keystore_dir *dir)
{
    if (dir->fd >= 0) {
        (void)close(dir->fd);
    }
    if (dir->lock_fd >= 0) {
        (void)close(dir->lock_fd);
    }
    dir->fd = -1;
    dir->lock_fd = -1;
}

/* ---- Reading ---- */

static signet_status dir_read_all(const struct sg_keystore_dir *dir, const char *name, int fd,
                                  uint8_t *out, size_t cap, size_t *len,
                                  struct sg_kek_message message)
{
    size_t done = 0;
    while (done < cap) {
        ssize_t got = read(fd, out + done, cap - done);
        if (got < 0 && errno != EINTR) {
            return dir_fail_errno(dir, name, "cannot be read", errno, message);
        }
        if (got == 0) {
            *len = done;
            return SIGNET_OK;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT, "%s/%s is too long", dir->path, name);
}

signet_status sg_keystore_dir_read(const struct sg_keystore_dir *dir, const char *name,
                                   uint8_t *out, size_t cap, size_t *len,
                                   struct sg_kek_message message)
{
    char path[sizeof(dir->path) + DIR_MAX_NAME];
    struct stat info;
    (void)snprintf(path, sizeof(path), "%s/%s", dir->path, name);
    int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return dir_fail_open(dir, name, errno, message);
    }
    signet_status status = fstat(fd, &info) == 0
                               ? dir_check_file(path, &info, message)
                               : dir_fail_errno(dir, name, "cannot be read", errno, message);
    if (status == SIGNET_OK) {
        status = dir_read_all(dir, name, fd, out, cap, len, message);
    }
    (void)close(fd);
    return status;
}

/* ---- Writing ---- */

static int dir_write_new(const struct sg_keystore_dir *dir, const char *name, const uint8_t *bytes,
                         size_t len)
{
    int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    int number = fchmod(fd, 0600) == 0 ? 0 : errno;
    while (number == 0 && len > 0) {
        ssize_t done = write(fd, bytes, len);
        if (done < 0 && errno != EINTR) {
            number = errno;
        }
        bytes += done > 0 ? done : 0;
        len -= done > 0 ? (size_t)done : 0;
    }
    if (number == 0 && fsync(fd) != 0) {
        number = errno;
    }
    if (close(fd) != 0 && number == 0) {
        number = errno;
    }
    return number;
}

static int dir_put_in_place(const struct sg_keystore_dir *dir, const char *fresh, const char *name,
                            bool may_replace)
{
    if (renameat2(dir->fd, fresh, dir->fd, name, may_replace ? 0 : RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (may_replace || (errno != EINVAL && errno != ENOSYS)) {
        return errno;
    }
    /* A file system that cannot refuse to replace can refuse to link. */
    if (linkat(dir->fd, fresh, dir->fd, name, 0) != 0) {
        return errno;
    }
    (void)unlinkat(dir->fd, fresh, 0);
    return 0;
}

signet_status sg_keystore_dir_write(const struct sg_keystore_dir *dir, const char *name,
                                    const uint8_t *bytes, size_t len, bool may_replace,
                                    struct sg_kek_message message)
{
    char fresh[DIR_MAX_NAME];
    int name_len = snprintf(fresh, sizeof(fresh), "%s" DIR_NEW_SUFFIX, name);
    if (name_len < 0 || (size_t)name_len >= sizeof(fresh)) {
        return sg_kek_fail(message, SIGNET_INTERNAL, "%s: the name is too long", name);
    }
    (void)unlinkat(dir->fd, fresh, 0); /* of a write that failed to clear up */
    int number = dir_write_new(dir, fresh, bytes, len);
    if (number == 0) {
        number = dir_put_in_place(dir, fresh, name, may_replace);
    }
    if (number != 0) {
        (void)unlinkat(dir->fd, fresh, 0);
        return number == EEXIST ? sg_kek_fail(message, SIGNET_ALREADY_EXISTS,
                                              "%s/%s is there already", dir->path, name)
                                : dir_fail_errno(dir, name, "cannot be written", number, message);
    }
    if (fsync(dir->fd) != 0) {
        number = errno;
        if (!may_replace) {
            (void)unlinkat(dir->fd, name, 0);
        }
        return dir_fail_errno(dir, name, "cannot be synced", number, message);
    }
    return SIGNET_OK;
}

/* ---- Listing ---- */

/* What a write of ours left when it was cut off; it was never acknowledged. Others may end so too. */
static bool dir_is_leftover(const char *name)
{
    char stem[DIR_MAX_NAME];
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    uint32_t seq = 0;
    size_t len = strlen(name);
    const size_t suffix = strlen(DIR_NEW_SUFFIX);
    if (len <= suffix || len >= sizeof(stem) || strcmp(name + len - suffix, DIR_NEW_SUFFIX) != 0) {
        return false;
    }
    memcpy(stem, name, len - suffix);
    stem[len - suffix] = '\0';
    return strcmp(stem, SG_KEYSTORE_HEADER_NAME) == 0 || sg_keystore_name_read(stem, keyset, &seq);
}

static bool dir_visit_one(const struct sg_keystore_dir *dir, const char *name, bool is_owner,
                          bool (*visit)(void *context, const char *name), void *context)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, DIR_LOCK_NAME) == 0) {
        return true;
    }
    if (dir_is_leftover(name)) {
        if (is_owner) {
            (void)unlinkat(dir->fd, name, 0);
        }
        return true;
    }
    return visit(context, name);
}

signet_status sg_keystore_dir_list(const struct sg_keystore_dir *dir, bool is_owner,
                                   bool (*visit)(void *context, const char *name), void *context,
                                   struct sg_kek_message message)
{
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (list == NULL) {
        int number = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return dir_fail_errno(dir, ".", "cannot be listed", number, message);
    }
    bool more = true;
    const struct dirent *entry = NULL;
    errno = 0;
    while (more && (entry = readdir(list)) != NULL) {
        more = dir_visit_one(dir, entry->d_name, is_owner, visit, context);
        errno = 0;
    }
    int number = errno;
    (void)closedir(list);
    return number == 0 || !more ? SIGNET_OK
                                : dir_fail_errno(dir, ".", "cannot be listed", number, message);
}
