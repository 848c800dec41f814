/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/PID/exe is opened without being read, so that the path, and what was looked at, are of one file
 * whatever the process executes meanwhile.
 */
#include "server/peer_exe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/digest/digest.h"

#define EXE_READ_LEN 32768u
/* The kernel gives up a walk through what it has in memory when names or mounts change meanwhile. */
#define EXE_MAX_WALKS 16u

static enum sg_peer_outcome exe_outcome(int number)
{
    if (number == EACCES || number == EPERM) {
        return SG_PEER_FORBIDDEN;
    }
    return number == ENOENT || number == ESRCH ? SG_PEER_GONE : SG_PEER_UNREADABLE;
}

static struct sg_peer_file exe_file(const struct stat *info)
{
    return (struct sg_peer_file){
        .dev = (uint64_t)info->st_dev,
        .ino = (uint64_t)info->st_ino,
        .size = (uint64_t)info->st_size,
        .mtime_s = info->st_mtim.tv_sec,
        .mtime_ns = info->st_mtim.tv_nsec,
        .ctime_s = info->st_ctim.tv_sec,
        .ctime_ns = info->st_ctim.tv_nsec,
    };
}

bool sg_peer_file_equal(const struct sg_peer_file *a, const struct sg_peer_file *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_s == b->mtime_s &&
           a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

/* ---- The path ---- */

static enum sg_peer_outcome exe_read_path(int exe, char path[SG_PEER_MAX_EXE + 1])
{
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", exe);
    ssize_t len = readlink(link, path, SG_PEER_MAX_EXE + 1);
    if (len < 0) {
        return exe_outcome(errno);
    }
    if (len == 0 || (size_t)len > SG_PEER_MAX_EXE || path[0] != '/') {
        path[0] = '\0';
        return SG_PEER_ODD_PATH;
    }
    path[len] = '\0';
    for (ssize_t i = 0; i < len; i++) {
        if ((unsigned char)path[i] < ' ' || path[i] == 0x7f) {
            path[0] = '\0';
            return SG_PEER_ODD_PATH;
        }
    }
    return SG_PEER_FOUND;
}

/* Opens what is at the path, which has no symbolic links: it is how the kernel itself names a file. */
static int exe_walk(const char *path, bool may_wait)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                   (may_wait ? 0u : (uint64_t)RESOLVE_CACHED),
    };
    int fd = -1;
    for (unsigned i = 0; i < EXE_MAX_WALKS; i++) {
        fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) {
            return fd;
        }
        (void)sched_yield();
    }
    return fd;
}

/* Whether the daemon sees the same file under the path. */
static enum sg_peer_outcome exe_compare(const struct sg_peer_exe *exe, bool may_wait)
{
    struct stat info;
    int fd = exe_walk(exe->path, may_wait);
    if (fd < 0) {
        /* A kernel before 5.12 cannot say without waiting. */
        bool would_wait = !may_wait && (errno == EAGAIN || errno == EINVAL);
        return would_wait ? SG_PEER_WOULD_WAIT : SG_PEER_NOT_HERE;
    }
    bool is_same = fstat(fd, &info) == 0 && (uint64_t)info.st_dev == exe->file.dev &&
                   (uint64_t)info.st_ino == exe->file.ino;
    (void)close(fd);
    return is_same ? SG_PEER_FOUND : SG_PEER_NOT_HERE;
}

/* ---- The file ---- */

static enum sg_peer_outcome exe_open(const struct sg_peer_proc *proc, int *out, struct stat *info)
{
    int fd = openat(proc->dir, "exe", O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return exe_outcome(errno);
    }
    if (fstat(fd, info) != 0 || !S_ISREG(info->st_mode)) {
        (void)close(fd);
        return SG_PEER_UNREADABLE;
    }
    *out = fd;
    return SG_PEER_FOUND;
}

enum sg_peer_outcome sg_peer_exe_find(const char *root, const struct sg_peer_process *process,
                                      bool may_wait, struct sg_peer_exe *out)
{
    struct sg_peer_proc proc;
    struct sg_peer_exe exe = {0};
    struct stat info;
    int fd = -1;
    enum sg_peer_outcome outcome = sg_peer_proc_open(root, process, &proc);
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    outcome = exe_open(&proc, &fd, &info);
    if (outcome == SG_PEER_FOUND) {
        exe.file = exe_file(&info);
        enum sg_peer_outcome path_outcome = exe_read_path(fd, exe.path);
        if (path_outcome == SG_PEER_FOUND) {
            path_outcome = exe_compare(&exe, may_wait);
        }
        exe.path_outcome = (uint32_t)path_outcome;
        (void)close(fd);
        outcome = sg_peer_proc_check(&proc);
    }
    sg_peer_proc_close(&proc);
    if (outcome == SG_PEER_FOUND) {
        *out = exe;
    }
    return outcome;
}

/* ---- The hash ---- */

static enum sg_peer_outcome exe_read(int fd, struct sg_sha256_state *digest)
{
    uint8_t bytes[EXE_READ_LEN];
    uint64_t total = 0;
    ssize_t got;
    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        total += (uint64_t)got;
        if (total > SG_PEER_MAX_HASHED) {
            return SG_PEER_TOO_LARGE; /* whatever its size was said to be */
        }
        if (sg_sha256_state_update(digest, bytes, (size_t)got) != SIGNET_OK) {
            return SG_PEER_UNREADABLE;
        }
    }
    return got == 0 ? SG_PEER_FOUND : exe_outcome(errno);
}

/* Reads the file that was opened without reading; expected is how it was then. */
static enum sg_peer_outcome exe_digest(int fd, const struct sg_peer_file *expected,
                                       struct sg_sha256_state *digest,
                                       uint8_t out[SG_PEER_SHA256_LEN])
{
    struct stat info;
    struct statfs system;
    if (expected->size > SG_PEER_MAX_HASHED) {
        return SG_PEER_TOO_LARGE;
    }
    /* What serves it may show one file to us and another to whoever executes it. */
    if (fstatfs(fd, &system) != 0) {
        return exe_outcome(errno);
    }
    if (system.f_type == FUSE_SUPER_MAGIC) {
        return SG_PEER_FOREIGN_FILE;
    }
    enum sg_peer_outcome outcome = exe_read(fd, digest);
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    if (fstat(fd, &info) != 0) {
        return exe_outcome(errno);
    }
    const struct sg_peer_file after = exe_file(&info);
    if (!sg_peer_file_equal(expected, &after)) {
        return SG_PEER_CHANGED;
    }
    return sg_sha256_state_final(digest, out) == SIGNET_OK ? SG_PEER_FOUND : SG_PEER_UNREADABLE;
}

static enum sg_peer_outcome exe_hash_open(int exe, const struct sg_peer_file *expected,
                                          uint8_t out[SG_PEER_SHA256_LEN])
{
    char link[64];
    struct sg_sha256_state *digest = NULL;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", exe);
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return exe_outcome(errno);
    }
    enum sg_peer_outcome outcome = SG_PEER_UNREADABLE;
    if (sg_sha256_state_new(&digest) == SIGNET_OK) {
        outcome = exe_digest(fd, expected, digest, out);
    }
    sg_sha256_state_free(digest);
    (void)close(fd);
    return outcome;
}

enum sg_peer_outcome sg_peer_exe_hash(const char *root, const struct sg_peer_process *process,
                                      struct sg_peer_file *out_file,
                                      uint8_t out[SG_PEER_SHA256_LEN])
{
    struct sg_peer_proc proc;
    struct stat info;
    uint8_t hash[SG_PEER_SHA256_LEN];
    int fd = -1;
    enum sg_peer_outcome outcome = sg_peer_proc_open(root, process, &proc);
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    outcome = exe_open(&proc, &fd, &info);
    if (outcome == SG_PEER_FOUND) {
        const struct sg_peer_file file = exe_file(&info);
        outcome = exe_hash_open(fd, &file, hash);
        (void)close(fd);
        if (outcome == SG_PEER_FOUND) {
            outcome = sg_peer_proc_check(&proc);
        }
        if (outcome == SG_PEER_FOUND) {
            *out_file = file;
            memcpy(out, hash, sizeof(hash));
        }
    }
    sg_peer_proc_close(&proc);
    return outcome;
}
