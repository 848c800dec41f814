/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime directory. Removes nothing but a stale socket, and that only under the lock; the
 * lock's file is never removed, since two processes could then each lock one of their own.
 */
#include "server/runtime_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static signet_status __attribute__((format(printf, 3, 4)))
runtime_dir_fail(char *error, size_t error_cap, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error, error_cap, format, arguments);
    va_end(arguments);
    return SIGNET_FAILED_PRECONDITION;
}

signet_status sg_runtime_dir_make(const char *path, uid_t uid, gid_t gid, char *error,
                                  size_t error_cap)
{
    if (mkdir(path, 0755) != 0) {
        if (errno == EEXIST) {
            return SIGNET_OK; /* whether it will do is for the lock to say */
        }
        return runtime_dir_fail(error, error_cap, "%s cannot be made: %s; its parent must exist",
                                path, strerrordesc_np(errno));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* The mode once more, whatever the umask was. */
    int failed = fd < 0 || fchmod(fd, 0755) != 0 || fchown(fd, uid, gid) != 0;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (failed != 0) {
        (void)rmdir(path);
        return runtime_dir_fail(error, error_cap, "%s cannot be given to uid %u: %s", path,
                                (unsigned)uid, strerrordesc_np(why));
    }
    return SIGNET_OK;
}

static signet_status runtime_dir_check(int fd, const char *path, char *error, size_t error_cap)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return runtime_dir_fail(error, error_cap, "%s cannot be looked at: %s", path,
                                strerrordesc_np(errno));
    }
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return runtime_dir_fail(error, error_cap,
                                "%s belongs to uid %u, who could replace the socket; "
                                "chown %u %s",
                                path, (unsigned)info.st_uid, (unsigned)geteuid(), path);
    }
    if ((info.st_mode & 0022u) != 0) {
        return runtime_dir_fail(error, error_cap,
                                "%s has mode %04o, so that others could replace the socket; "
                                "chmod go-w %s",
                                path, (unsigned)(info.st_mode & 07777u), path);
    }
    return SIGNET_OK;
}

static signet_status runtime_dir_taken(int fd, const char *path, char *error, size_t error_cap)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    long pid = len > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0) {
        return runtime_dir_fail(error, error_cap,
                                "another signetd, pid %ld, runs in %s; stop it, or use another "
                                "--runtime-dir",
                                pid, path);
    }
    return runtime_dir_fail(error, error_cap,
                            "another signetd runs in %s; stop it, or use another --runtime-dir",
                            path);
}

/* Takes the lock and says in its file who has it. */
static signet_status runtime_dir_take(int fd, const char *path, char *error, size_t error_cap)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return runtime_dir_fail(error, error_cap, "%s/signet.lock is not a regular file; remove it",
                                path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? runtime_dir_taken(fd, path, error, error_cap)
                   : runtime_dir_fail(error, error_cap, "%s/signet.lock cannot be locked: %s", path,
                                      strerrordesc_np(errno));
    }
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (len < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        return runtime_dir_fail(error, error_cap, "%s/signet.lock cannot be written: %s", path,
                                strerrordesc_np(errno));
    }
    return SIGNET_OK;
}

signet_status sg_runtime_dir_lock(const char *path, int *lock_fd, char *error, size_t error_cap)
{
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0) {
        return runtime_dir_fail(error, error_cap, "%s cannot be used: %s; expected a directory",
                                path, strerrordesc_np(errno));
    }
    signet_status status = runtime_dir_check(dir_fd, path, error, error_cap);
    int fd = -1;
    if (status == SIGNET_OK) {
        fd = openat(dir_fd, "signet.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                    0600);
        status = fd >= 0 ? runtime_dir_take(fd, path, error, error_cap)
                         : runtime_dir_fail(error, error_cap,
                                            "%s/signet.lock cannot be opened: %s; uid %u must be "
                                            "able to write there",
                                            path, strerrordesc_np(errno), (unsigned)geteuid());
    }
    (void)close(dir_fd);
    if (status != SIGNET_OK) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    *lock_fd = fd;
    return SIGNET_OK;
}

signet_status sg_runtime_dir_clear(const char *socket_path, char *error, size_t error_cap)
{
    struct stat info;
    if (lstat(socket_path, &info) != 0) {
        return errno == ENOENT ? SIGNET_OK
                               : runtime_dir_fail(error, error_cap, "%s cannot be looked at: %s",
                                                  socket_path, strerrordesc_np(errno));
    }
    if (!S_ISSOCK(info.st_mode)) {
        return runtime_dir_fail(
            error, error_cap, "%s is in the way and is no socket; move it elsewhere", socket_path);
    }
    if (unlink(socket_path) != 0) {
        return runtime_dir_fail(error, error_cap, "%s is left over and cannot be removed: %s",
                                socket_path, strerrordesc_np(errno));
    }
    return SIGNET_OK;
}
