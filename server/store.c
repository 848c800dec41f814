/* SPDX-License-Identifier: Apache-2.0
 *
 * The state database, and the mark of a clean stop beside it. The mark is a file that is gone while a
 * daemon runs, since removing one takes no room on a disk that is full. It names the database by a random
 * number that is inside, and the file by its inode and the time of its last change, so that it never
 * speaks for another database, nor for a copy that was put back. Never removes or changes a file that it
 * cannot make sense of.
 *
 * SQLite finds damage of its structure; every record carries a digest of itself, for the rest. Damage of
 * the write-ahead log looks like the end of it, which loses the latest records and no others: a database
 * that has a log was not stopped in order, and the bounds of an unclean start make up for them. (A freeze
 * that was among them is lost; the grant is frozen again when it reaches its ceiling again. A revocation
 * is lost as well, and a token that was used up among them can be used once more.)
 *
 * A database of an earlier version is brought to the present one before the mark is taken, and judged by the
 * file as it was before. So a start that cannot do that leaves the mark, and a crash meanwhile leaves a log
 * beside it, with which it does not count.
 */
#include "server/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/store_parts.h"

#define STORE_WAL      "state.db-wal"
#define STORE_JOURNAL  "state.db-journal"
#define STORE_MARK     "stopped"
#define STORE_MAX_MARK 160u

/* ---- Who may touch it ---- */

static signet_status store_check_dir(const struct sg_store *store, struct store_error error)
{
    struct stat info;
    if (fstat(store->dir_fd, &info) != 0) {
        return store_fail_errno(store, error, "", "cannot be looked at", errno);
    }
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s belongs to uid %u, who could replace what is in it; chown %u %s",
                          store->dir, (unsigned)info.st_uid, (unsigned)geteuid(), store->dir);
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s has mode %04o, so that others could replace what is in it; "
                          "chmod go-w %s",
                          store->dir, (unsigned)(info.st_mode & 07777u), store->dir);
    }
    return SIGNET_OK;
}

/* *size is that of the file, 0 if there is none. */
static signet_status store_check_file(const struct sg_store *store, const char *name, bool *exists,
                                      off_t *size, struct store_error error)
{
    struct stat info;
    *exists = false;
    *size = 0;
    if (fstatat(store->dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? SIGNET_OK
                               : store_fail_errno(store, error, name, "cannot be looked at", errno);
    }
    if (!S_ISREG(info.st_mode)) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s is in the way and is no regular file; move it elsewhere",
                          store->dir, name);
    }
    if (info.st_uid != geteuid()) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s belongs to uid %u and not to the daemon's user; chown %u %s/%s",
                          store->dir, name, (unsigned)info.st_uid, (unsigned)geteuid(), store->dir,
                          name);
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/%s has mode %04o, so that others can get at it; chmod 0600 %s/%s",
                          store->dir, name, (unsigned)(info.st_mode & 07777u), store->dir, name);
    }
    *exists = true;
    *size = info.st_size;
    return SIGNET_OK;
}

/* A log or journal without its database would be played into the next one. */
static signet_status store_check_files(struct sg_store *store, bool *exists,
                                       struct store_error error)
{
    bool has_log = false;
    bool has_journal = false;
    off_t size = 0;
    off_t log_size = 0;
    off_t journal_size = 0;
    signet_status status = store_check_file(store, STORE_FILE, exists, &size, error);
    if (status == SIGNET_OK) {
        status = store_check_file(store, STORE_WAL, &has_log, &log_size, error);
    }
    if (status == SIGNET_OK) {
        status = store_check_file(store, STORE_JOURNAL, &has_journal, &journal_size, error);
    }
    if (status == SIGNET_OK && !*exists && log_size + journal_size > 0) {
        status = store_fail_unusable(store, error, "is missing, and its log is there");
    }
    store->had_log = log_size + journal_size > 0;
    return status;
}

/* ---- The mark ---- */

/* The time of the last change is the kernel's to set: a copy that was put back has another. */
static void store_mark_text(const struct sg_store *store, const struct stat *file,
                            char out[STORE_MAX_MARK])
{
    (void)snprintf(out, STORE_MAX_MARK, "stopped %016" PRIx64 " %ju %jd %jd.%09ld\n",
                   (uint64_t)store->stop_id, (uintmax_t)file->st_ino, (intmax_t)file->st_size,
                   (intmax_t)file->st_ctim.tv_sec, file->st_ctim.tv_nsec);
}

static bool store_has_mark(const struct sg_store *store)
{
    char found[STORE_MAX_MARK];
    char expected[STORE_MAX_MARK];
    int fd = openat(store->dir_fd, STORE_MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, found, sizeof(found) - 1);
    (void)close(fd);
    found[len > 0 ? len : 0] = '\0';
    store_mark_text(store, &store->found, expected);
    return !store->had_log && strcmp(found, expected) == 0;
}

/* A mark that outlives the start would say after a crash that all was written, so that nothing starts
 * with it there. */
static signet_status store_take_mark(struct sg_store *store, struct store_error error)
{
    bool has_mark = store_has_mark(store);
    if (unlinkat(store->dir_fd, STORE_MARK, 0) != 0 && errno != ENOENT) {
        int number = errno;
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" STORE_MARK " cannot be removed (%s), and with it a crash would go "
                          "unseen; rm -r %s/" STORE_MARK,
                          store->dir, strerrordesc_np(number), store->dir);
    }
    if (fsync(store->dir_fd) != 0) {
        return store_fail_errno(store, error, STORE_MARK, "cannot be removed durably", errno);
    }
    store->was_clean = has_mark;
    return SIGNET_OK;
}

static signet_status store_write_mark(const struct sg_store *store, const char *text,
                                      struct store_error error)
{
    size_t len = strlen(text);
    int fd = openat(store->dir_fd, STORE_MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_MARK, "cannot be made", errno);
    }
    errno = EIO; /* for a write that is short without saying why */
    bool written = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int number = errno;
    (void)close(fd);
    if (written && fsync(store->dir_fd) == 0) {
        return SIGNET_OK;
    }
    number = written ? errno : number;
    (void)unlinkat(store->dir_fd, STORE_MARK, 0);
    return store_fail_errno(store, error, STORE_MARK, "cannot be written", number);
}

/* The database is closed, and its log was moved into it. */
static signet_status store_set_mark(const struct sg_store *store, struct store_error error)
{
    char text[STORE_MAX_MARK];
    struct stat info;
    int fd = openat(store->dir_fd, STORE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be opened", errno);
    }
    bool failed = fsync(fd) != 0 || fstat(fd, &info) != 0;
    int number = errno;
    (void)close(fd);
    if (failed) {
        return store_fail_errno(store, error, STORE_FILE, "cannot be written", number);
    }
    store_mark_text(store, &info, text);
    return store_write_mark(store, text, error);
}

/* ---- Life ---- */

static signet_status store_open_dir(struct sg_store *store, const char *dir,
                                    struct store_error error)
{
    store->dir = realpath(dir, NULL);
    store->dir_fd =
        store->dir == NULL ? -1 : open(store->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->dir_fd < 0) {
        return store_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s cannot be used: %s; expected a directory", dir,
                          strerrordesc_np(errno));
    }
    return store_check_dir(store, error);
}

static signet_status store_open_all(struct sg_store *store, const char *dir,
                                    struct store_error error)
{
    bool exists = false;
    signet_status status = store_open_dir(store, dir, error);
    if (status == SIGNET_OK) {
        status = store_check_files(store, &exists, error);
    }
    if (status == SIGNET_OK && !exists) {
        status = store_make(store, error);
    }
    if (status == SIGNET_OK) {
        status = store_check_head(store, error);
    }
    if (status == SIGNET_OK) {
        status = store_load(store, error);
    }
    /* Last: a start that was refused leaves it to the next. */
    return status == SIGNET_OK ? store_take_mark(store, error) : status;
}

static void store_release(struct sg_store *store)
{
    (void)pthread_mutex_destroy(&store->mutex);
    if (store->dir_fd >= 0) {
        (void)close(store->dir_fd);
    }
    store_free_counts(&store->consumed);
    free(store->dir);
    free(store);
}

/* NULL without memory. */
static struct sg_store *store_new(void)
{
    struct sg_store *store = calloc(1, sizeof(*store));
    if (store != NULL) {
        store->dir_fd = -1;
        /* Cannot fail on Linux with default attributes. */
        (void)pthread_mutex_init(&store->mutex, NULL);
    }
    return store;
}

signet_status sg_store_open(const char *dir, struct sg_store **out, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    struct sg_store *store = store_new();
    if (store == NULL) {
        return store_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory for the state in %s", dir);
    }
    signet_status status = store_open_all(store, dir, message);
    if (status != SIGNET_OK) {
        sg_store_close(store);
        return status;
    }
    *out = store;
    return SIGNET_OK;
}

static signet_status store_open_nowhere(struct sg_store *store, struct store_error error)
{
    store->dir = strdup("the memory");
    signet_status status = store->dir != NULL ? store_open_memory(store, error)
                                              : store_fail(error, SIGNET_RESOURCE_EXHAUSTED,
                                                           "no memory for the state");
    if (status == SIGNET_OK) {
        status = store_fill(store, error);
    }
    return status == SIGNET_OK ? store_prepare(store, error) : status;
}

signet_status sg_store_open_in_memory(struct sg_store **out, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    struct sg_store *store = store_new();
    signet_status status =
        store != NULL ? store_open_nowhere(store, message)
                      : store_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory for the state");
    if (status != SIGNET_OK) {
        sg_store_close(store);
        return status;
    }
    *out = store;
    return SIGNET_OK;
}

void sg_store_close(struct sg_store *store)
{
    if (store != NULL) {
        (void)store_close_db(store);
        store_release(store);
    }
}

bool sg_store_was_clean(const struct sg_store *store)
{
    return store->was_clean;
}

signet_status sg_store_stop(struct sg_store *store, char *error, size_t error_cap)
{
    struct store_error message = {.cap = error_cap};
    message.text = error;
    signet_status status = SIGNET_OK;
    if (store == NULL) {
        return SIGNET_OK;
    }
    /* Closing would do it too, and not say that it failed. */
    if (sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
        SQLITE_OK) {
        status = store_fail_sqlite(store, message, "cannot be written");
    }
    if (!store_close_db(store) && status == SIGNET_OK) {
        status = store_fail_errno(store, message, STORE_FILE, "cannot be closed", EIO);
    }
    if (status == SIGNET_OK) {
        status = store_set_mark(store, message);
    }
    store_release(store);
    return status;
}
