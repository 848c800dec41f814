/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines, batches and files. How the chain's end is found again at a start: audit_recovery.c.
 */
#include "server/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/audit_file_parts.h"

#define FILES_LINE_OVERHEAD (SG_AUDIT_MAX_LINE - SG_AUDIT_MAX_BODY)

/* ---- Failing ---- */

signet_status sg_audit_files_fail(const struct sg_audit_files *files, const char *name,
                                  const char *what, int number, char reason[SG_AUDIT_MAX_REASON])
{
    const char *mend = number == ENOSPC || number == EDQUOT || number == EFBIG
                           ? "make room there (df -h)"
                       : number == EROFS ? "mount it writable (findmnt -T)"
                                         : "see ls -la and the kernel's log";
    (void)snprintf(reason, SG_AUDIT_MAX_REASON, "%s/%s %s: %s; %s", files->options.dir, name, what,
                   strerrordesc_np(number), mend);
    return SIGNET_UNAVAILABLE;
}

/* ---- Lines ---- */

signet_status sg_audit_files_hash(struct sg_audit_files *files, const char *line, size_t len,
                                  uint8_t out[SG_AUDIT_HASH_LEN])
{
    signet_status status = sg_sha256_state_update(files->sha256, line, len);
    signet_status ended = sg_sha256_state_final(files->sha256, out);
    return status != SIGNET_OK ? status : ended;
}

/* One line more in the batch; there is room for it. */
static signet_status files_put_line(struct sg_audit_files *files, uint64_t number, const char *body,
                                    size_t len)
{
    char *line = files->batch + files->batch_len;
    struct sg_audit_mark end = {.seq = files->batch_end.seq + 1};
    struct sg_audit_prefix prefix = {.seq = end.seq, .number = number};
    memcpy(prefix.prev, files->batch_end.hash, sizeof(prefix.prev));
    size_t prefix_len = sg_audit_prefix_write(&prefix, line, SG_AUDIT_MAX_LINE);
    size_t line_len = prefix_len + len - 1;
    memcpy(line + prefix_len, body + 1, len - 1);
    if (sg_audit_files_hash(files, line, line_len, end.hash) != SIGNET_OK) {
        return SIGNET_INTERNAL;
    }
    line[line_len] = '\n';
    files->batch_len += line_len + 1;
    files->batch_end = end;
    files->batch_number = number;
    return SIGNET_OK;
}

static void files_read_line(const char *path, char *out, size_t cap)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, out, cap - 1);
        out[len > 0 ? len : 0] = '\0';
        out[strcspn(out, "\n")] = '\0';
        (void)close(fd);
    }
}

/* What each file begins with. */
static signet_status files_put_file_record(struct sg_audit_files *files)
{
    char body[1024];
    char value[256];
    char name[SG_AUDIT_MAX_NAME];
    struct sg_audit_text text =
        sg_audit_text_begin(body, sizeof(body), files->options.read_wall_ms(), SG_AUDIT_EVENT_FILE);
    sg_audit_name_write(files->end.seq + 1, name);
    sg_audit_text_number(&text, "version", SG_AUDIT_VERSION);
    sg_audit_text_string(&text, "file", name, sizeof(value));
    const char *previous = files->fd >= 0 ? files->previous : files->name;
    sg_audit_text_string(&text, "previous", previous[0] != '\0' ? previous : NULL, sizeof(value));
    sg_audit_text_string(&text, "why", files->why, sizeof(value));
    files_read_line("/proc/sys/kernel/hostname", value, sizeof(value));
    sg_audit_text_string(&text, "host", value, sizeof(value));
    files_read_line("/proc/sys/kernel/random/boot_id", value, sizeof(value));
    sg_audit_text_string(&text, "boot", value, sizeof(value));
    return files_put_line(files, files->number, body, sg_audit_text_end(&text));
}

signet_status sg_audit_files_add(struct sg_audit_files *files, uint64_t number, const char *body,
                                 size_t len)
{
    if (files->batch_len == 0) {
        files->batch_end = files->end;
        files->batch_number = files->number;
        signet_status status = files->len == 0 ? files_put_file_record(files) : SIGNET_OK;
        if (status != SIGNET_OK) {
            sg_audit_files_drop(files);
            return status;
        }
        files->batch_num = 0;
    }
    /* The writer's own are few, and a head belongs to the file whose end it is. */
    bool may_exceed = number == 0 || (files->len == 0 && files->batch_num == 0);
    bool is_full = !may_exceed && files->len + files->batch_len + len + FILES_LINE_OVERHEAD >
                                      files->options.max_len;
    files->is_full = files->is_full || is_full;
    if (is_full || files->batch_len + SG_AUDIT_MAX_LINE > SG_AUDIT_BATCH_LEN) {
        return SIGNET_OUT_OF_RANGE;
    }
    files->batch_num++;
    return files_put_line(files, number != 0 ? number : files->batch_number, body, len);
}

void sg_audit_files_drop(struct sg_audit_files *files)
{
    files->batch_len = 0;
}

/* ---- Writing ---- */

/* A file of this name that holds nothing is of a start that was cut off. */
static int files_create(struct sg_audit_files *files, char name[SG_AUDIT_MAX_NAME])
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
    struct stat info;
    sg_audit_name_write(files->end.seq + 1, name);
    int fd = openat(files->options.dir_fd, name, flags, 0600);
    if (fd < 0 && errno == EEXIST &&
        fstatat(files->options.dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode) && info.st_size == 0 &&
        unlinkat(files->options.dir_fd, name, 0) == 0) {
        fd = openat(files->options.dir_fd, name, flags, 0600);
    }
    return fd;
}

static signet_status files_begin(struct sg_audit_files *files, char reason[SG_AUDIT_MAX_REASON])
{
    char name[SG_AUDIT_MAX_NAME];
    int fd = files_create(files, name);
    if (fd < 0) {
        return sg_audit_files_fail(files, name, "cannot be made", errno, reason);
    }
    /* So that it is found after the power was cut. */
    if (fchmod(fd, 0600) != 0 || fsync(files->options.dir_fd) != 0) {
        int number = errno;
        (void)close(fd);
        (void)unlinkat(files->options.dir_fd, name, 0);
        return sg_audit_files_fail(files, name, "cannot be made", number, reason);
    }
    files->fd = fd;
    files->may_prune = true;
    memcpy(files->previous, files->name, sizeof(files->previous));
    memcpy(files->name, name, sizeof(name));
    files->begun_ms = files->options.read_mono_ms();
    return SIGNET_OK;
}

/* 0, or why not all of it is there. */
static int files_write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t done = write(fd, bytes, len);
        if (done < 0 && errno != EINTR) {
            return errno;
        }
        if (done == 0) {
            return EIO;
        }
        if (done > 0) {
            bytes += done;
            len -= (size_t)done;
        }
    }
    return 0;
}

/* What is behind the last whole line goes, before anything is written behind it. */
static signet_status files_mend(struct sg_audit_files *files, char reason[SG_AUDIT_MAX_REASON])
{
    if (files->has_remains) {
        if (ftruncate(files->fd, (off_t)files->len) != 0) {
            return sg_audit_files_fail(files, files->name,
                                       "ends in half a record, which cannot be cut off", errno,
                                       reason);
        }
        files->has_remains = false;
    }
    return SIGNET_OK;
}

signet_status sg_audit_files_commit(struct sg_audit_files *files, char reason[SG_AUDIT_MAX_REASON])
{
    size_t len = files->batch_len;
    if (len == 0) {
        return SIGNET_OK;
    }
    files->batch_len = 0; /* whatever comes */
    signet_status status = files->fd < 0 ? files_begin(files, reason) : files_mend(files, reason);
    if (status != SIGNET_OK) {
        return status;
    }
    int number = files_write_all(files->fd, files->batch, len);
    if (number != 0) {
        char later[SG_AUDIT_MAX_REASON];
        files->has_remains = true;
        (void)files_mend(files, later); /* else before the next batch */
        return sg_audit_files_fail(files, files->name, "cannot be written", number, reason);
    }
    files->len += len;
    files->end = files->batch_end;
    files->number = files->batch_number;
    files->is_dirty = true;
    return SIGNET_OK;
}

signet_status sg_audit_files_sync(struct sg_audit_files *files, char reason[SG_AUDIT_MAX_REASON])
{
    if (files->is_dirty) {
        if (fdatasync(files->fd) != 0) {
            return sg_audit_files_fail(files, files->name, "cannot be synced", errno, reason);
        }
        files->is_dirty = false;
    }
    return SIGNET_OK;
}

/* ---- One file after another ---- */

bool sg_audit_files_is_full(const struct sg_audit_files *files)
{
    return files->is_full;
}

bool sg_audit_files_is_due(const struct sg_audit_files *files)
{
    uint64_t age_ms = files->options.read_mono_ms() - files->begun_ms;
    return files->len > 0 && (files->is_full || (files->options.max_age_ms != 0 &&
                                                 age_ms >= files->options.max_age_ms));
}

void sg_audit_files_next(struct sg_audit_files *files, const char *why)
{
    if (files->fd >= 0) {
        (void)fdatasync(files->fd); /* wherever it is now */
        (void)close(files->fd);
    }
    files->fd = -1;
    files->len = 0;
    files->is_full = false;
    files->is_dirty = false;
    files->has_remains = false;
    files->batch_len = 0;
    files->why = why;
}

const char *sg_audit_files_look(struct sg_audit_files *files)
{
    struct stat own;
    struct stat there;
    if (files->fd < 0 || fstat(files->fd, &own) != 0) {
        return NULL;
    }
    const char *what = NULL;
    if (fstatat(files->options.dir_fd, files->name, &there, AT_SYMLINK_NOFOLLOW) != 0) {
        what = errno != ENOENT ? NULL : own.st_nlink == 0 ? "deleted" : "renamed";
    } else if (there.st_dev != own.st_dev || there.st_ino != own.st_ino) {
        what = "replaced";
    } else if (!files->has_remains && (uint64_t)own.st_size != files->len) {
        what = (uint64_t)own.st_size < files->len ? "truncated" : "appended";
    }
    if (what != NULL) {
        sg_audit_files_next(files, what);
    }
    return what;
}

const char *sg_audit_files_name(const struct sg_audit_files *files)
{
    return files->name;
}

const struct sg_audit_mark *sg_audit_files_end(const struct sg_audit_files *files)
{
    return &files->end;
}

const struct sg_audit_mark *sg_audit_files_batch_end(const struct sg_audit_files *files)
{
    return files->batch_len > 0 ? &files->batch_end : &files->end;
}

uint64_t sg_audit_files_number(const struct sg_audit_files *files)
{
    return files->number;
}
