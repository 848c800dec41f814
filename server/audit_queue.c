/* SPDX-License-Identifier: Apache-2.0
 *
 * One page of header, then the ring. Positions in the ring only grow; what is at position p stands at p
 * modulo the size. A record counts from the one store of the tail that publishes it, so that a kill at any
 * instruction leaves a record or none. A file is made beside its place and renamed there when it is whole.
 *
 * Whoever may write the file can end the process by cutting it off (SIGBUS): it is in the daemon's own
 * directory, which nobody else can enter.
 */
#include "server/audit_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define QUEUE_NEW        SG_AUDIT_QUEUE_FILE ".new"
#define QUEUE_MAGIC      0x316575657571a75dull
#define QUEUE_VERSION    1u
#define QUEUE_HEADER_LEN 4096u
#define QUEUE_ALIGN      8u
#define QUEUE_BOOT_FILE  "/proc/sys/kernel/random/boot_id"

/* Valid if check says so. Of two, the one with the higher seq counts, and the other is written next: a
 * kill in the middle leaves one. */
struct queue_mark {
    uint64_t seq;
    uint8_t hash[SG_AUDIT_HASH_LEN];
    char boot[SG_AUDIT_BOOT_LEN];
    uint32_t unused;
    uint64_t check;
};

struct queue_header {
    uint64_t magic;
    uint32_t version, header_len;
    uint64_t size;
    _Atomic uint64_t head, tail; /* positions */
    _Atomic uint64_t number;     /* of the last record */
    _Atomic uint64_t dropped, told;
    struct queue_mark written[2], synced[2];
};
_Static_assert(sizeof(struct queue_header) <= QUEUE_HEADER_LEN, "the header has a page");

struct queue_record {
    uint64_t number;
    uint64_t len;
    uint64_t hash; /* of the bytes, seeded with where and what they are */
};

struct sg_audit_queue {
    int fd;
    size_t file_len;
    struct queue_header *header; /* mapped */
    uint8_t *ring;               /* behind it */
    uint64_t size;
    char boot[SG_AUDIT_BOOT_LEN];
};

/* What a reader needs, of a queue that is mapped or of bytes in memory. */
struct queue_view {
    const uint8_t *ring;
    uint64_t size, head, tail;
};

struct queue_error {
    const char *dir;
    char *text;
    size_t cap;
};

static signet_status __attribute__((format(printf, 3, 4)))
queue_fail(const struct queue_error *error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, error->cap, format, arguments);
    va_end(arguments);
    return status;
}

/* what: as in "cannot be opened". */
static signet_status queue_fail_errno(const struct queue_error *error, const char *what, int number)
{
    bool is_full = number == ENOSPC || number == EDQUOT || number == EFBIG || number == ENOMEM;
    return queue_fail(
        error, is_full ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_FAILED_PRECONDITION,
        "%s/" SG_AUDIT_QUEUE_FILE " %s: %s; %s %s", error->dir, what, strerrordesc_np(number),
        is_full ? "make room (df -h), or lower audit.queue:" : "see ls -la", error->dir);
}

/* ---- Reading the ring ---- */

static void ring_read(const struct queue_view *view, uint64_t position, void *out, size_t len)
{
    size_t at = (size_t)(position % view->size);
    size_t first = view->size - at < len ? (size_t)(view->size - at) : len;
    memcpy(out, view->ring + at, first);
    memcpy((uint8_t *)out + first, view->ring, len - first);
}

size_t sg_audit_queue_need(size_t len)
{
    return (sizeof(struct queue_record) + len + QUEUE_ALIGN - 1) & ~(size_t)(QUEUE_ALIGN - 1);
}

static uint64_t queue_hash(const void *bytes, size_t len, uint64_t position, uint64_t number)
{
    return XXH3_64bits_withSeed(bytes, len, position * 0x9E3779B97F4A7C15u ^ number);
}

/* Reads the record at *position, which it moves on; out may be NULL if cap is 0. */
static enum sg_audit_next view_next(const struct queue_view *view, uint64_t *position, char *out,
                                    size_t cap, size_t *len, uint64_t *number)
{
    struct queue_record record;
    uint64_t left = view->tail - *position;
    if (left == 0) {
        return SG_AUDIT_NEXT_NONE;
    }
    bool is_good = left >= sizeof(record);
    if (is_good) {
        ring_read(view, *position, &record, sizeof(record));
        is_good = record.len <= cap && sg_audit_queue_need((size_t)record.len) <= left;
    }
    if (is_good) {
        ring_read(view, *position + sizeof(record), out, (size_t)record.len);
        is_good = record.number != 0 &&
                  record.hash == queue_hash(out, (size_t)record.len, *position, record.number);
    }
    if (!is_good) {
        *position = view->tail;
        return SG_AUDIT_NEXT_DAMAGED;
    }
    *position += sg_audit_queue_need((size_t)record.len);
    *len = (size_t)record.len;
    *number = record.number;
    return SG_AUDIT_NEXT_RECORD;
}

static bool header_is_good(const struct queue_header *header, size_t file_len)
{
    uint64_t head = atomic_load_explicit(&header->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&header->tail, memory_order_acquire);
    return header->magic == QUEUE_MAGIC && header->version == QUEUE_VERSION &&
           header->header_len == QUEUE_HEADER_LEN && header->size >= SG_AUDIT_QUEUE_MIN &&
           header->size <= SG_AUDIT_QUEUE_MAX && header->size % QUEUE_HEADER_LEN == 0 &&
           file_len == QUEUE_HEADER_LEN + header->size && head <= tail &&
           tail - head <= header->size && head % QUEUE_ALIGN == 0 && tail % QUEUE_ALIGN == 0;
}

/* ---- Marks ---- */

static uint64_t mark_check(const struct queue_mark *mark)
{
    return XXH3_64bits_withSeed(mark, offsetof(struct queue_mark, check), QUEUE_MAGIC);
}

/* The one that counts; NULL if there is none. */
static const struct queue_mark *mark_newest(const struct queue_mark marks[2])
{
    const struct queue_mark *newest = NULL;
    for (size_t i = 0; i < 2; i++) {
        if (marks[i].seq != 0 && marks[i].check == mark_check(&marks[i]) &&
            (newest == NULL || marks[i].seq > newest->seq)) {
            newest = &marks[i];
        }
    }
    return newest;
}

static void mark_write(const struct sg_audit_queue *queue, struct queue_mark marks[2],
                       const struct sg_audit_mark *mark)
{
    struct queue_mark *into = mark_newest(marks) == &marks[0] ? &marks[1] : &marks[0];
    struct queue_mark fresh = {.seq = mark->seq};
    memcpy(fresh.hash, mark->hash, sizeof(fresh.hash));
    memcpy(fresh.boot, queue->boot, sizeof(fresh.boot));
    fresh.check = mark_check(&fresh);
    memcpy(into, &fresh, sizeof(fresh));
    /* Whole before the next step, which may be the last. */
    atomic_thread_fence(memory_order_seq_cst);
}

void sg_audit_queue_mark_written(struct sg_audit_queue *queue, const struct sg_audit_mark *mark)
{
    mark_write(queue, queue->header->written, mark);
}

void sg_audit_queue_mark_synced(struct sg_audit_queue *queue, const struct sg_audit_mark *mark)
{
    mark_write(queue, queue->header->synced, mark);
}

static void mark_info(const struct queue_mark marks[2], struct sg_audit_mark *out, char *boot)
{
    const struct queue_mark *mark = mark_newest(marks);
    memset(out, 0, sizeof(*out));
    if (mark != NULL) {
        out->seq = mark->seq;
        memcpy(out->hash, mark->hash, sizeof(out->hash));
        if (boot != NULL) {
            memcpy(boot, mark->boot, sizeof(mark->boot));
            boot[SG_AUDIT_BOOT_LEN] = '\0';
        }
    }
}

/* ---- What a queue says of itself ---- */

/* room is for one record of the largest size that the ring may hold. */
static void queue_describe(const struct queue_header *header, const struct queue_view *view,
                           char *room, struct sg_audit_queue_info *out)
{
    memset(out, 0, sizeof(*out));
    out->last_hint = atomic_load_explicit(&header->number, memory_order_relaxed);
    out->dropped = atomic_load_explicit(&header->dropped, memory_order_relaxed);
    out->told = atomic_load_explicit(&header->told, memory_order_relaxed);
    mark_info(header->written, &out->written, out->boot);
    mark_info(header->synced, &out->synced, NULL);
    uint64_t position = view->head;
    enum sg_audit_next next = SG_AUDIT_NEXT_NONE;
    do {
        uint64_t before = position;
        uint64_t number = 0;
        size_t len = 0;
        next = view_next(view, &position, room, (size_t)view->size, &len, &number);
        if (next == SG_AUDIT_NEXT_RECORD) {
            out->first = out->num_waiting == 0 ? number : out->first;
            out->last = number;
            out->num_waiting++;
        } else if (next == SG_AUDIT_NEXT_DAMAGED) {
            out->num_damaged_bytes = position - before;
        }
    } while (next == SG_AUDIT_NEXT_RECORD);
}

bool sg_audit_queue_read(const uint8_t *bytes, size_t len, struct sg_audit_queue_info *out)
{
    struct queue_header header;
    if (len < QUEUE_HEADER_LEN) {
        return false;
    }
    memcpy(&header, bytes, sizeof(header));
    if (!header_is_good(&header, len)) {
        return false;
    }
    const struct queue_view view = {
        .ring = bytes + QUEUE_HEADER_LEN,
        .size = header.size,
        .head = atomic_load_explicit(&header.head, memory_order_relaxed),
        .tail = atomic_load_explicit(&header.tail, memory_order_relaxed)};
    char *room = malloc((size_t)header.size);
    if (room == NULL) {
        return false;
    }
    queue_describe(&header, &view, room, out);
    free(room);
    return true;
}

static struct queue_view queue_view(const struct sg_audit_queue *queue)
{
    return (struct queue_view){
        .ring = queue->ring,
        .size = queue->size,
        .head = atomic_load_explicit(&queue->header->head, memory_order_acquire),
        .tail = atomic_load_explicit(&queue->header->tail, memory_order_acquire)};
}

signet_status sg_audit_queue_info(const struct sg_audit_queue *queue,
                                  struct sg_audit_queue_info *out)
{
    char *room = malloc((size_t)queue->size);
    if (room == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    const struct queue_view view = queue_view(queue);
    queue_describe(queue->header, &view, room, out);
    free(room);
    return SIGNET_OK;
}

/* ---- Locking: an open file description's, so that others can ask without taking it ---- */

static bool queue_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool sg_audit_queue_is_used(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- Opening ---- */

static void queue_read_boot(char out[SG_AUDIT_BOOT_LEN])
{
    memset(out, 0, SG_AUDIT_BOOT_LEN);
    int fd = open(QUEUE_BOOT_FILE, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, out, SG_AUDIT_BOOT_LEN) != (ssize_t)SG_AUDIT_BOOT_LEN) {
            memset(out, 0, SG_AUDIT_BOOT_LEN);
        }
        (void)close(fd);
    }
}

/* Takes fd. */
static struct sg_audit_queue *queue_map(int fd, size_t file_len)
{
    struct sg_audit_queue *queue = calloc(1, sizeof(*queue));
    void *bytes = mmap(NULL, file_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (queue == NULL || bytes == MAP_FAILED) {
        if (bytes != MAP_FAILED) {
            (void)munmap(bytes, file_len);
        }
        free(queue);
        (void)close(fd);
        return NULL;
    }
    queue->fd = fd;
    queue->file_len = file_len;
    queue->header = bytes;
    queue->ring = (uint8_t *)bytes + QUEUE_HEADER_LEN;
    queue->size = file_len - QUEUE_HEADER_LEN;
    queue_read_boot(queue->boot);
    return queue;
}

void sg_audit_queue_close(struct sg_audit_queue *queue)
{
    if (queue != NULL) {
        (void)munmap(queue->header, queue->file_len);
        (void)close(queue->fd);
        free(queue);
    }
}

/* Room on the disk for good: a page that could not be written later would end the process. */
static int queue_allocate(int fd, size_t file_len)
{
    int flags = 0;
    /* Where every write takes new room, ask for one that does not. */
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    return posix_fallocate(fd, 0, (off_t)file_len);
}

static void queue_begin_header(struct queue_header *header, size_t size,
                               const struct queue_header *old)
{
    if (old != NULL) {
        memcpy(header, old, sizeof(*header));
    }
    atomic_store(&header->head, 0);
    atomic_store(&header->tail, 0);
    header->magic = QUEUE_MAGIC;
    header->version = QUEUE_VERSION;
    header->header_len = QUEUE_HEADER_LEN;
    header->size = size;
}

/* Makes a queue in the place of one that is not there, or is empty: then what its header says is kept. */
static signet_status queue_make(int dir_fd, size_t size, const struct queue_header *old,
                                struct sg_audit_queue **out, const struct queue_error *error)
{
    size_t file_len = QUEUE_HEADER_LEN + size;
    (void)unlinkat(dir_fd, QUEUE_NEW, 0); /* of a start that was cut off */
    int fd = openat(dir_fd, QUEUE_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return queue_fail_errno(error, "cannot be made", errno);
    }
    int number = fchmod(fd, 0600) == 0 ? queue_allocate(fd, file_len) : errno;
    if (number == 0 && !queue_lock(fd)) {
        number = errno;
    }
    if (number != 0) {
        (void)close(fd);
        (void)unlinkat(dir_fd, QUEUE_NEW, 0);
        return queue_fail_errno(error, "cannot be made", number);
    }
    struct sg_audit_queue *queue = queue_map(fd, file_len);
    if (queue == NULL) {
        return queue_fail_errno(error, "cannot be mapped", ENOMEM);
    }
    queue_begin_header(queue->header, size, old);
    if (fsync(fd) != 0 || renameat(dir_fd, QUEUE_NEW, dir_fd, SG_AUDIT_QUEUE_FILE) != 0) {
        number = errno;
        sg_audit_queue_close(queue);
        return queue_fail_errno(error, "cannot be made", number);
    }
    *out = queue;
    return SIGNET_OK;
}

/* Whose it is, and that nobody else has it. */
static signet_status queue_check(int fd, size_t *file_len, const struct queue_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return queue_fail_errno(error, "cannot be looked at", errno);
    }
    if (!S_ISREG(info.st_mode)) {
        return queue_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" SG_AUDIT_QUEUE_FILE " is no regular file; move it elsewhere",
                          error->dir);
    }
    if (info.st_uid != geteuid()) {
        return queue_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" SG_AUDIT_QUEUE_FILE " belongs to uid %u and not to the daemon's "
                          "user; chown %u it",
                          error->dir, (unsigned)info.st_uid, (unsigned)geteuid());
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return queue_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" SG_AUDIT_QUEUE_FILE " has mode %04o, so that others could change "
                          "records; chmod 0600 it",
                          error->dir, (unsigned)(info.st_mode & 07777u));
    }
    if (!queue_lock(fd)) {
        return queue_fail(error, SIGNET_FAILED_PRECONDITION,
                          "%s/" SG_AUDIT_QUEUE_FILE " is in use by another signetd; stop that, or "
                          "give this one another audit.dir",
                          error->dir);
    }
    *file_len = (size_t)info.st_size;
    return SIGNET_OK;
}

/* *out stays NULL if there is none that can be used; is_damaged: since what is there is none. */
static signet_status queue_open_old(int dir_fd, struct sg_audit_queue **out, bool *is_damaged,
                                    const struct queue_error *error)
{
    size_t file_len = 0;
    int fd = openat(dir_fd, SG_AUDIT_QUEUE_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? SIGNET_OK : queue_fail_errno(error, "cannot be opened", errno);
    }
    signet_status status = queue_check(fd, &file_len, error);
    if (status != SIGNET_OK) {
        (void)close(fd);
        return status;
    }
    *is_damaged = true;
    if (file_len < QUEUE_HEADER_LEN + SG_AUDIT_QUEUE_MIN) {
        (void)close(fd);
        return SIGNET_OK;
    }
    struct sg_audit_queue *queue = queue_map(fd, file_len);
    if (queue == NULL) {
        return queue_fail_errno(error, "cannot be mapped", ENOMEM);
    }
    *is_damaged = !header_is_good(queue->header, file_len);
    if (*is_damaged) {
        sg_audit_queue_close(queue);
    } else {
        *out = queue;
    }
    return SIGNET_OK;
}

/* One that is empty can have another size. That it cannot have it now is no reason not to go on. */
static void queue_fit(int dir_fd, size_t size, struct sg_audit_queue **queue,
                      const struct queue_error *error)
{
    struct sg_audit_queue *fresh = NULL;
    const struct queue_view view = queue_view(*queue);
    if (view.head == view.tail && view.size != size &&
        queue_make(dir_fd, size, (*queue)->header, &fresh, error) == SIGNET_OK) {
        sg_audit_queue_close(*queue);
        *queue = fresh;
    }
}

signet_status sg_audit_queue_open(int dir_fd, const char *dir, size_t size,
                                  struct sg_audit_queue **out, bool *was_damaged, char *error,
                                  size_t error_cap)
{
    const struct queue_error failure = {.dir = dir, .text = error, .cap = error_cap};
    struct sg_audit_queue *queue = NULL;
    bool is_damaged = false;
    size = size < SG_AUDIT_QUEUE_MIN   ? SG_AUDIT_QUEUE_MIN
           : size > SG_AUDIT_QUEUE_MAX ? SG_AUDIT_QUEUE_MAX
                                       : (size + QUEUE_HEADER_LEN - 1) & ~(QUEUE_HEADER_LEN - 1ul);
    signet_status status = queue_open_old(dir_fd, &queue, &is_damaged, &failure);
    if (status != SIGNET_OK) {
        return status;
    }
    if (queue != NULL) {
        queue_fit(dir_fd, size, &queue, &failure);
    } else if (is_damaged &&
               renameat(dir_fd, SG_AUDIT_QUEUE_FILE, dir_fd, SG_AUDIT_QUEUE_DAMAGED) != 0) {
        return queue_fail_errno(&failure, "is damaged and cannot be moved away", errno);
    } else {
        status = queue_make(dir_fd, size, NULL, &queue, &failure);
    }
    if (status == SIGNET_OK) {
        *was_damaged = is_damaged;
        *out = queue;
    }
    return status;
}

size_t sg_audit_queue_size(const struct sg_audit_queue *queue)
{
    return (size_t)queue->size;
}

/* ---- Putting ---- */

static void ring_write(const struct sg_audit_queue *queue, uint64_t position, const void *bytes,
                       size_t len)
{
    size_t at = (size_t)(position % queue->size);
    size_t first = queue->size - at < len ? (size_t)(queue->size - at) : len;
    memcpy(queue->ring + at, bytes, first);
    memcpy(queue->ring, (const uint8_t *)bytes + first, len - first);
}

size_t sg_audit_queue_room(const struct sg_audit_queue *queue)
{
    /* The head first: the tail is then not behind it. */
    uint64_t head = atomic_load_explicit(&queue->header->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&queue->header->tail, memory_order_acquire);
    return tail - head <= queue->size ? (size_t)(queue->size - (tail - head)) : 0;
}

void sg_audit_queue_number(struct sg_audit_queue *queue, uint64_t next)
{
    atomic_store_explicit(&queue->header->number, next - 1, memory_order_relaxed);
}

uint64_t sg_audit_queue_last(const struct sg_audit_queue *queue)
{
    return atomic_load_explicit(&queue->header->number, memory_order_relaxed);
}

bool sg_audit_queue_put(struct sg_audit_queue *queue, const void *bytes, size_t len)
{
    struct queue_header *header = queue->header;
    size_t need = sg_audit_queue_need(len);
    if (need > sg_audit_queue_room(queue)) {
        return false;
    }
    uint64_t tail = atomic_load_explicit(&header->tail, memory_order_relaxed);
    uint64_t number = atomic_load_explicit(&header->number, memory_order_relaxed) + 1;
    const struct queue_record record = {
        .number = number, .len = len, .hash = queue_hash(bytes, len, tail, number)};
    ring_write(queue, tail, &record, sizeof(record));
    ring_write(queue, tail + sizeof(record), bytes, len);
    atomic_store_explicit(&header->tail, tail + need, memory_order_release);
    atomic_store_explicit(&header->number, number, memory_order_release);
    return true;
}

void sg_audit_queue_drop(struct sg_audit_queue *queue, uint64_t num)
{
    (void)atomic_fetch_add_explicit(&queue->header->dropped, num, memory_order_relaxed);
}

uint64_t sg_audit_queue_dropped(const struct sg_audit_queue *queue)
{
    return atomic_load_explicit(&queue->header->dropped, memory_order_relaxed);
}

/* ---- Taking ---- */

struct sg_audit_cursor sg_audit_queue_begin(const struct sg_audit_queue *queue)
{
    return (struct sg_audit_cursor){queue_view(queue).head};
}

enum sg_audit_next sg_audit_queue_next(const struct sg_audit_queue *queue,
                                       struct sg_audit_cursor *cursor, char *out, size_t cap,
                                       size_t *len, uint64_t *number)
{
    const struct queue_view view = queue_view(queue);
    return view_next(&view, &cursor->at, out, cap, len, number);
}

void sg_audit_queue_take(struct sg_audit_queue *queue, struct sg_audit_cursor cursor)
{
    atomic_store_explicit(&queue->header->head, cursor.at, memory_order_release);
}

uint64_t sg_audit_queue_told(const struct sg_audit_queue *queue)
{
    return atomic_load_explicit(&queue->header->told, memory_order_relaxed);
}

void sg_audit_queue_tell(struct sg_audit_queue *queue, uint64_t num)
{
    atomic_store_explicit(&queue->header->told, num, memory_order_relaxed);
}
