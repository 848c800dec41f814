/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the end of the chain at a start. Half a line at the end is of a daemon that was killed, and is cut
 * off: the queue still holds that record. Else nothing that is there is changed. Where the queue knows of more
 * than the files have, the chain goes on behind that, so that what is missing stays missed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/audit_file_parts.h"

/* ---- Names ---- */

static int names_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int names_add(struct sg_audit_names *names, uint64_t seq)
{
    /* Room is doubled at each power of two. */
    if ((names->num & (names->num - 1)) == 0) {
        size_t cap = names->num == 0 ? 1 : names->num * 2;
        void *items = reallocarray(names->items, cap, sizeof(names->items[0]));
        if (items == NULL) {
            return ENOMEM;
        }
        names->items = items;
    }
    sg_audit_name_write(seq, names->items[names->num++]);
    return 0;
}

int sg_audit_names_list(int dir_fd, struct sg_audit_names *out)
{
    struct sg_audit_names names = {.num = 0};
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int number = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return number;
    }
    int number = 0;
    const struct dirent *entry = NULL;
    errno = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this stream. */
    while (number == 0 && (entry = readdir(dir)) != NULL) {
        uint64_t seq = sg_audit_name_seq(entry->d_name);
        number = seq != 0 ? names_add(&names, seq) : 0;
        errno = 0;
    }
    number = number != 0 ? number : errno;
    (void)closedir(dir);
    if (number != 0) {
        free(names.items);
        return number;
    }
    if (names.num > 0) {
        qsort(names.items, names.num, sizeof(names.items[0]), names_compare);
    }
    *out = names;
    return 0;
}

/* ---- The last file ---- */

/* Reads at most cap - 1 bytes that end at end, and a NUL behind. */
static bool recovery_read(int fd, uint64_t end, char *out, size_t cap, size_t *len)
{
    size_t want = end < cap - 1 ? (size_t)end : cap - 1;
    size_t have = 0;
    while (have < want) {
        ssize_t done = pread(fd, out + have, want - have, (off_t)(end - want + have));
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        have += (size_t)done;
    }
    out[have] = '\0';
    *len = have;
    return true;
}

/* Where in the file the last whole line ends, its end included; 0: there is none. */
static bool recovery_find_end(int fd, uint64_t size, char *room, size_t cap, uint64_t *out)
{
    uint64_t end = size;
    while (end > 0) {
        size_t len = 0;
        if (!recovery_read(fd, end, room, cap, &len)) {
            return false;
        }
        const char *newline = memrchr(room, '\n', len);
        if (newline != NULL) {
            *out = end - len + (uint64_t)(newline - room) + 1;
            return true;
        }
        end -= len;
    }
    *out = 0;
    return true;
}

/* Takes the chain's end from the last line of a file whose lines end at end. False: it is none of a chain. */
static bool recovery_take_line(struct sg_audit_files *files, int fd, uint64_t end)
{
    char room[SG_AUDIT_MAX_LINE + 2];
    struct sg_audit_prefix prefix;
    size_t len = 0;
    if (!recovery_read(fd, end - 1, room, sizeof(room), &len)) {
        return false;
    }
    const char *newline = memrchr(room, '\n', len);
    const char *line = newline != NULL ? newline + 1 : room;
    size_t line_len = len - (size_t)(line - room);
    if ((newline == NULL && len != end - 1) || !sg_audit_prefix_read(line, &prefix) ||
        sg_audit_files_hash(files, line, line_len, files->end.hash) != SIGNET_OK) {
        return false;
    }
    files->end.seq = prefix.seq;
    files->number = prefix.number;
    return true;
}

/* How long ago the file was begun, by what its first line says. */
static uint64_t recovery_age_ms(const struct sg_audit_files *files, int fd)
{
    char room[512];
    struct tm parts = {.tm_isdst = 0};
    ssize_t len = pread(fd, room, sizeof(room) - 1, 0);
    room[len > 0 ? len : 0] = '\0';
    const char *when = strstr(room, "\"time\":\"");
    if (when == NULL || strptime(when + 8, "%Y-%m-%dT%H:%M:%S", &parts) == NULL) {
        return 0;
    }
    int64_t age_ms = files->options.read_wall_ms() - (int64_t)timegm(&parts) * 1000;
    return age_ms > 0 ? (uint64_t)age_ms : 0;
}

static signet_status recovery_check(const struct sg_audit_files *files, int fd, const char *name,
                                    uint64_t *size, char reason[SG_AUDIT_MAX_REASON])
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return sg_audit_files_fail(files, name, "cannot be looked at", errno, reason);
    }
    const char *fault = !S_ISREG(info.st_mode)        ? "is no regular file; move it elsewhere"
                        : info.st_uid != geteuid()    ? "is not the daemon's user's; chown it"
                        : (info.st_mode & 0077u) != 0 ? "is open to others; chmod 0600 it"
                                                      : NULL;
    if (fault != NULL) {
        (void)snprintf(reason, SG_AUDIT_MAX_REASON, "%s/%s %s", files->options.dir, name, fault);
        return SIGNET_FAILED_PRECONDITION;
    }
    *size = (uint64_t)info.st_size;
    return SIGNET_OK;
}

/* How many lines there are up to end. */
static uint64_t recovery_count_lines(int fd, uint64_t end)
{
    char room[16384];
    uint64_t num = 0;
    for (uint64_t at = 0; at < end;) {
        uint64_t step = end - at < sizeof(room) - 1 ? end - at : sizeof(room) - 1;
        size_t len = 0;
        at += step;
        if (!recovery_read(fd, at, room, (size_t)step + 1, &len)) {
            break;
        }
        for (size_t i = 0; i < len; i++) {
            num += room[i] == '\n' ? 1 : 0;
        }
    }
    return num;
}

/* Takes fd, to write on where the lines of this file end. */
static void recovery_go_on(struct sg_audit_files *files, int fd, const char *name, uint64_t end,
                           struct sg_audit_recovered *recovered)
{
    (void)snprintf(files->name, sizeof(files->name), "%s", name);
    if (!recovery_take_line(files, fd, end)) {
        /* Its records cannot be counted on; the queue may know better. */
        recovered->is_damaged = true;
        files->why = "damaged";
        files->end.seq = sg_audit_name_seq(name) + recovery_count_lines(fd, end) - 1;
        (void)close(fd);
        return;
    }
    uint64_t now = files->options.read_mono_ms();
    uint64_t age_ms = recovery_age_ms(files, fd);
    files->begun_ms = now > age_ms ? now - age_ms : 0;
    files->fd = fd;
    files->len = end;
}

/* *is_end: the chain's end is in this file. */
static signet_status recovery_try(struct sg_audit_files *files, const char *name, bool *is_end,
                                  struct sg_audit_recovered *recovered,
                                  char reason[SG_AUDIT_MAX_REASON])
{
    char room[65536];
    uint64_t size = 0;
    uint64_t end = 0;
    int fd = openat(files->options.dir_fd, name,
                    O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return sg_audit_files_fail(files, name, "cannot be opened", errno, reason);
    }
    signet_status status = recovery_check(files, fd, name, &size, reason);
    if (status == SIGNET_OK && (!recovery_find_end(fd, size, room, sizeof(room), &end) ||
                                (end < size && ftruncate(fd, (off_t)end) != 0))) {
        status = sg_audit_files_fail(files, name, "cannot be read", errno, reason);
    }
    if (status != SIGNET_OK) {
        (void)close(fd);
        return status;
    }
    recovered->torn_bytes += size - end;
    *is_end = end > 0;
    if (end == 0) {
        (void)close(fd);
        (void)unlinkat(files->options.dir_fd, name, 0); /* it held no record */
    } else {
        recovery_go_on(files, fd, name, end, recovered);
    }
    return SIGNET_OK;
}

/* What the queue knows of the end of the chain counts, wherever it is more than the files say. */
static void recovery_compare(struct sg_audit_files *files, const struct sg_audit_mark *expected,
                             struct sg_audit_recovered *recovered)
{
    if (expected->seq > files->end.seq) {
        recovered->lost_first = files->end.seq + 1;
        recovered->lost_last = expected->seq;
        files->end = *expected;
    } else if (expected->seq != 0 && expected->seq == files->end.seq &&
               memcmp(expected->hash, files->end.hash, sizeof(expected->hash)) != 0) {
        recovered->changed = expected->seq;
        files->end = *expected;
    }
}

signet_status sg_audit_files_open(const struct sg_audit_files_options *options,
                                  const struct sg_audit_mark *expected, struct sg_audit_files **out,
                                  struct sg_audit_recovered *recovered,
                                  char reason[SG_AUDIT_MAX_REASON])
{
    struct sg_audit_names names = {.num = 0};
    struct sg_audit_files *files = calloc(1, sizeof(*files));
    memset(recovered, 0, sizeof(*recovered));
    if (files == NULL || sg_sha256_state_new(&files->sha256) != SIGNET_OK) {
        free(files);
        (void)snprintf(reason, SG_AUDIT_MAX_REASON, "no memory for the audit");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    files->options = *options;
    files->fd = -1;
    files->why = "start";
    int number = sg_audit_names_list(options->dir_fd, &names);
    signet_status status =
        number == 0 ? SIGNET_OK
                    : sg_audit_files_fail(files, ".", "cannot be listed", number, reason);
    bool is_end = false;
    for (size_t i = names.num; status == SIGNET_OK && i > 0 && !is_end; i--) {
        status = recovery_try(files, names.items[i - 1], &is_end, recovered, reason);
    }
    free(names.items);
    if (status != SIGNET_OK) {
        sg_audit_files_close(files);
        return status;
    }
    recovery_compare(files, expected, recovered);
    *out = files;
    return SIGNET_OK;
}

void sg_audit_files_close(struct sg_audit_files *files)
{
    if (files != NULL) {
        if (files->fd >= 0) {
            (void)close(files->fd);
        }
        sg_sha256_state_free(files->sha256);
        free(files);
    }
}
