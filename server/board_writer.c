/* SPDX-License-Identifier: Apache-2.0
 *
 * Revocations are added in place; everything else is a new file. A file is made whole as board.new and renamed to
 * board. The one before is marked as superseded just before that and not after: a daemon that was killed in between
 * would leave readers with a board that looks fresh for a while, and that no later daemon can find to mark it.
 *
 * A reader can be anywhere at any time, so that stores follow one order: what an entry says, that it is there, the
 * generation.
 *
 * Before the first publish the board is memory without a file.
 */
#include "server/board_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/board_layout.h"
#include "server/board_keys.h"

#define WRITER_NEW SG_BOARD_FILE ".new"
/* Runs of entries stay below half of this by chance, however large the table. */
#define WRITER_MAX_STEPS 1024u
/* A table is whole pages. */
#define WRITER_SLOTS_UNIT (SG_BOARD_PAGE / sizeof(struct sg_board_entry))

/* A board that is mapped to be written. */
struct writer_map {
    struct sg_board_header *header;
    size_t len;
    struct sg_board_entry *table;
    uint64_t num_slots, num_used;
    dev_t device; /* of the file */
    ino_t inode;
};

struct sg_board_writer {
    pthread_mutex_t mutex; /* over everything below */
    pthread_rwlock_t
        swap;   /* held while map is replaced, and by those who only look for something */
    int dir_fd; /* -1: there is no directory */
    char *dir;
    bool is_published, is_suspended;
    uint8_t boot[SG_BOARD_BOOT_LEN];
    uint64_t seed, generation, beat_ms; /* as the header says them */
    struct writer_map map;
};

struct writer_error {
    const char *dir;
    char *text;
    size_t cap;
};

static signet_status __attribute__((format(printf, 3, 4)))
writer_fail(const struct writer_error *error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, error->cap, format, arguments);
    va_end(arguments);
    return status;
}

/* what: as in "cannot be made". */
static signet_status writer_fail_errno(const struct writer_error *error, const char *what,
                                       int number)
{
    bool is_full = number == ENOSPC || number == EDQUOT || number == EFBIG || number == ENOMEM ||
                   number == EMFILE || number == ENFILE;
    return writer_fail(error, is_full ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_FAILED_PRECONDITION,
                       "%s/" SG_BOARD_FILE " %s: %s; %s %s", error->dir, what,
                       strerrordesc_np(number), is_full ? "make room (df -h)" : "see ls -la",
                       error->dir);
}

/* ---- Entries ---- */

/* The entry with this digest, or the free one where it belongs; there always is a free one. */
static struct sg_board_entry *map_entry(const struct writer_map *map, const uint64_t digest[2])
{
    uint64_t at = sg_board_place(digest[0], map->num_slots);
    for (;;) {
        struct sg_board_entry *entry = &map->table[at];
        /* Acquire, for those who look without the mutex: with the state, all else is there. */
        if (atomic_load_explicit(&entry->state, memory_order_acquire) == SG_BOARD_FREE ||
            (atomic_load_explicit(&entry->digest[0], memory_order_relaxed) == digest[0] &&
             atomic_load_explicit(&entry->digest[1], memory_order_relaxed) == digest[1])) {
            return entry;
        }
        at = at + 1 < map->num_slots ? at + 1 : 0;
    }
}

/* How many entries a look-up passes before a free one. */
static uint64_t map_steps(const struct writer_map *map, const uint64_t digest[2])
{
    const struct sg_board_entry *end = map_entry(map, digest);
    uint64_t at = (uint64_t)(end - map->table);
    uint64_t home = sg_board_place(digest[0], map->num_slots);
    return at >= home ? at - home : at + map->num_slots - home;
}

static void map_add(struct writer_map *map, struct sg_board_entry *entry, const uint64_t digest[2],
                    uint32_t state, int64_t value)
{
    atomic_store_explicit(&entry->digest[0], digest[0], memory_order_relaxed);
    atomic_store_explicit(&entry->digest[1], digest[1], memory_order_relaxed);
    atomic_store_explicit(&entry->value, value, memory_order_relaxed);
    atomic_store_explicit(&entry->state, state, memory_order_release);
    map->num_used++;
}

/* False if it is as high already. */
static bool entry_raise(struct sg_board_entry *entry, int64_t value)
{
    if (value <= atomic_load_explicit(&entry->value, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&entry->value, value, memory_order_release);
    return true;
}

static bool entry_matters(const struct sg_board_entry *entry, int64_t now)
{
    uint32_t state = atomic_load_explicit(&entry->state, memory_order_relaxed);
    return state == SG_BOARD_LASTS ||
           (state == SG_BOARD_ENDS &&
            atomic_load_explicit(&entry->value, memory_order_relaxed) >= now);
}

static uint64_t map_num_matter(const struct writer_map *map, int64_t now)
{
    uint64_t num = 0;
    for (uint64_t i = 0; i < map->num_slots; i++) {
        num += entry_matters(&map->table[i], now) ? 1 : 0;
    }
    return num;
}

/* Both tables are in the order of the digests, so that memory is passed through once. */
static void map_take_over(struct writer_map *fresh, const struct writer_map *old, int64_t now)
{
    for (uint64_t i = 0; i < old->num_slots; i++) {
        const struct sg_board_entry *entry = &old->table[i];
        if (entry_matters(entry, now)) {
            const uint64_t digest[2] = {
                atomic_load_explicit(&entry->digest[0], memory_order_relaxed),
                atomic_load_explicit(&entry->digest[1], memory_order_relaxed)};
            map_add(fresh, map_entry(fresh, digest), digest,
                    atomic_load_explicit(&entry->state, memory_order_relaxed),
                    atomic_load_explicit(&entry->value, memory_order_relaxed));
        }
    }
}

/* ---- Files ---- */

/* Room on the disk for good: a page that could not be written later would end the process. */
static int file_allocate(int fd, size_t len)
{
    int number = EINTR;
    while (number == EINTR) {
        number = posix_fallocate(fd, 0, (off_t)len);
    }
    return number;
}

/* Makes board.new, which stays if this succeeds. */
static signet_status file_make(const struct sg_board_writer *writer, size_t len, int *out,
                               const struct writer_error *error)
{
    (void)unlinkat(writer->dir_fd, WRITER_NEW, 0); /* of a daemon that was cut off */
    int fd = openat(writer->dir_fd, WRITER_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0644);
    if (fd < 0) {
        return writer_fail_errno(error, "cannot be made", errno);
    }
    /* The mode is for every reader, whatever the umask. */
    int number = fchmod(fd, 0644) == 0 ? file_allocate(fd, len) : errno;
    if (number != 0) {
        (void)close(fd);
        (void)unlinkat(writer->dir_fd, WRITER_NEW, 0);
        return writer_fail_errno(error, "cannot be made", number);
    }
    *out = fd;
    return SIGNET_OK;
}

/* Zeros, of a new file or of none. */
static signet_status map_bytes(const struct sg_board_writer *writer, size_t len, bool is_file,
                               struct writer_map *out, const struct writer_error *error)
{
    struct stat info = {0};
    int fd = -1;
    signet_status status = is_file ? file_make(writer, len, &fd, error) : SIGNET_OK;
    if (status != SIGNET_OK) {
        return status;
    }
    /* All pages at once cost half of what they cost one by one. */
    int kind = is_file ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS;
    void *bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, kind, fd, 0);
    int number = errno;
    if (fd >= 0) {
        (void)fstat(fd, &info); /* cannot fail; if it did, the file would be made once more */
        (void)close(fd);
    }
    if (bytes == MAP_FAILED) {
        (void)unlinkat(writer->dir_fd, WRITER_NEW, 0);
        return writer_fail_errno(error, "cannot be mapped", number);
    }
    *out = (struct writer_map){
        .header = bytes, .len = len, .device = info.st_dev, .inode = info.st_ino};
    return SIGNET_OK;
}

static void header_fill(struct sg_board_header *header, const struct sg_board_writer *writer,
                        const struct sg_board_keys *keys, size_t len, uint64_t num_slots)
{
    memcpy(header->magic, SG_BOARD_MAGIC, sizeof(header->magic));
    header->byte_order = SG_BOARD_BYTE_ORDER;
    header->version = SG_BOARD_VERSION;
    header->header_len = SG_BOARD_HEADER_LEN;
    memcpy(header->boot, writer->boot, sizeof(header->boot));
    header->file_len = len;
    header->seed = writer->seed;
    header->keys = keys->keys;
    header->index = keys->index;
    header->text = keys->text;
    header->table = (struct sg_board_section){SG_BOARD_HEADER_LEN + keys->len,
                                              num_slots * sizeof(struct sg_board_entry)};
    atomic_store_explicit(&header->heartbeat, writer->beat_ms, memory_order_relaxed);
    atomic_store_explicit(&header->closed, writer->is_suspended ? 1 : 0, memory_order_relaxed);
}

/* A board with these keys and no revocations; is_file: as board.new. */
static signet_status map_make(const struct sg_board_writer *writer,
                              const struct sg_board_keys *keys, uint64_t num_slots, bool is_file,
                              struct writer_map *out, const struct writer_error *error)
{
    size_t table_at = SG_BOARD_HEADER_LEN + keys->len;
    size_t len = table_at + (size_t)num_slots * sizeof(struct sg_board_entry);
    signet_status status = map_bytes(writer, len, is_file, out, error);
    if (status != SIGNET_OK) {
        return status;
    }
    uint8_t *bytes = (uint8_t *)out->header;
    out->table = (void *)(bytes + table_at);
    out->num_slots = num_slots;
    header_fill(out->header, writer, keys, len, num_slots);
    memcpy(bytes + SG_BOARD_HEADER_LEN, keys->bytes, keys->len);
    return SIGNET_OK;
}

static void map_fini(struct writer_map *map)
{
    if (map->header != NULL) {
        (void)munmap(map->header, map->len);
    }
    *map = (struct writer_map){0};
}

/* ---- One in the place of another ---- */

static void writer_raise_generation(struct sg_board_writer *writer, struct sg_board_header *header)
{
    atomic_store_explicit(&header->generation, ++writer->generation, memory_order_release);
}

/* Marks what an earlier daemon left in place. What is no board no reader has open. */
static signet_status writer_supersede_left(const struct sg_board_writer *writer,
                                           const struct writer_error *error)
{
    struct stat info;
    int fd = openat(writer->dir_fd, SG_BOARD_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT || errno == ELOOP
                   ? SIGNET_OK
                   : writer_fail_errno(error, "is in the way and cannot be opened", errno);
    }
    bool may_be_one = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                      info.st_size >= (off_t)SG_BOARD_HEADER_LEN;
    struct sg_board_header *header = MAP_FAILED;
    int number = 0;
    if (may_be_one) {
        header = mmap(NULL, SG_BOARD_HEADER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        number = errno;
    }
    (void)close(fd);
    if (header == MAP_FAILED) {
        return may_be_one ? writer_fail_errno(error, "cannot be mapped", number) : SIGNET_OK;
    }
    if (memcmp(header->magic, SG_BOARD_MAGIC, sizeof(header->magic)) == 0) {
        atomic_store_explicit(&header->superseded, 1, memory_order_release);
        (void)atomic_fetch_add_explicit(&header->generation, 1, memory_order_release);
    }
    (void)munmap(header, SG_BOARD_HEADER_LEN);
    return SIGNET_OK;
}

/* What an earlier daemon left was marked at the start. */
static void writer_supersede(struct sg_board_writer *writer)
{
    if (writer->is_published) {
        atomic_store_explicit(&writer->map.header->superseded, 1, memory_order_release);
        writer_raise_generation(writer, writer->map.header);
    }
}

/* Renames board.new, which fresh is. */
static signet_status writer_put_in_place(struct sg_board_writer *writer, struct writer_map *fresh,
                                         const struct writer_error *error)
{
    writer_supersede(writer);
    writer_raise_generation(writer, fresh->header);
    if (renameat(writer->dir_fd, WRITER_NEW, writer->dir_fd, SG_BOARD_FILE) == 0) {
        writer->is_published = true;
        return SIGNET_OK;
    }
    signet_status status = writer_fail_errno(error, "cannot be replaced", errno);
    if (writer->is_published) {
        atomic_store_explicit(&writer->map.header->superseded, 0, memory_order_release);
    }
    (void)unlinkat(writer->dir_fd, WRITER_NEW, 0);
    return status;
}

/* Two thirds full, so that a revocation takes at most 48 bytes, and at most 43 before the next growth. */
static signet_status writer_choose_slots(const struct sg_board_writer *writer, int64_t now,
                                         uint64_t *out, const struct writer_error *error)
{
    uint64_t num = map_num_matter(&writer->map, now) + 1;
    uint64_t slots = (num * 3 / 2 + WRITER_SLOTS_UNIT - 1) / WRITER_SLOTS_UNIT * WRITER_SLOTS_UNIT;
    /* The largest may be as full as any before it grows. */
    if (slots > SG_MAX_BOARD_SLOTS && num * 4 <= UINT64_C(3) * SG_MAX_BOARD_SLOTS) {
        slots = SG_MAX_BOARD_SLOTS;
    }
    if (slots > SG_MAX_BOARD_SLOTS) {
        return writer_fail(error, SIGNET_RESOURCE_EXHAUSTED,
                           "%s/" SG_BOARD_FILE " cannot hold more than %u revocations; revoke "
                           "subjects or keys instead of tokens",
                           error->dir, SG_MAX_BOARD_SLOTS / 4 * 3);
    }
    *out = slots;
    return SIGNET_OK;
}

static signet_status writer_replace(struct sg_board_writer *writer,
                                    const struct sg_board_keys *keys, bool is_file, int64_t now,
                                    const struct writer_error *error)
{
    struct writer_map fresh = {0};
    uint64_t num_slots = 0;
    signet_status status = writer_choose_slots(writer, now, &num_slots, error);
    if (status == SIGNET_OK) {
        status = map_make(writer, keys, num_slots, is_file, &fresh, error);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    map_take_over(&fresh, &writer->map, now);
    if (is_file) {
        status = writer_put_in_place(writer, &fresh, error);
    }
    if (status != SIGNET_OK) {
        map_fini(&fresh);
        return status;
    }
    struct writer_map old = writer->map;
    (void)pthread_rwlock_wrlock(&writer->swap);
    writer->map = fresh;
    (void)pthread_rwlock_unlock(&writer->swap);
    map_fini(&old);
    return SIGNET_OK;
}

/* With the keys that there are. */
static signet_status writer_grow(struct sg_board_writer *writer, int64_t now,
                                 const struct writer_error *error)
{
    const struct sg_board_header *header = writer->map.header;
    const struct sg_board_keys keys = {.bytes = (uint8_t *)writer->map.header + SG_BOARD_HEADER_LEN,
                                       .len = header->table.offset - SG_BOARD_HEADER_LEN,
                                       .keys = header->keys,
                                       .index = header->index,
                                       .text = header->text};
    return writer_replace(writer, &keys, writer->is_published, now, error);
}

/* ---- The writer ---- */

/* Who changes the map must not wait for ever for those who look. */
static void writer_make_locks(struct sg_board_writer *writer)
{
    pthread_rwlockattr_t attributes;
    /* None of these can fail on Linux with these arguments. */
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_rwlockattr_init(&attributes);
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&writer->swap, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
}

static signet_status writer_begin(struct sg_board_writer *writer, bool has_dir,
                                  const struct writer_error *error)
{
    uint64_t random[2] = {0};
    struct sg_board_keys keys = {0};
    if (has_dir) {
        writer->dir_fd = open(error->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (writer->dir_fd < 0) {
            return writer_fail_errno(error, "cannot be made", errno);
        }
        signet_status left = writer_supersede_left(writer, error);
        if (left != SIGNET_OK) {
            return left;
        }
    }
    if (!sg_board_boot(writer->boot) || getentropy(random, sizeof(random)) != 0) {
        return writer_fail(error, SIGNET_INTERNAL,
                           "%s/" SG_BOARD_FILE ": the kernel gives no randomness, or no boot_id; "
                           "is /proc mounted?",
                           error->dir);
    }
    writer->seed = random[0];
    /* Anywhere, since a verdict may be kept for a generation: none may come back. */
    writer->generation = random[1] >> 1;
    signet_status status = sg_board_keys_build(NULL, 0, 0, &keys, error->text, error->cap);
    if (status == SIGNET_OK) {
        status = map_make(writer, &keys, WRITER_SLOTS_UNIT, false, &writer->map, error);
    }
    sg_board_keys_fini(&keys);
    return status;
}

signet_status sg_board_writer_open(const char *dir, uint64_t now_boot_ms,
                                   struct sg_board_writer **out, char *error, size_t error_cap)
{
    const struct writer_error failure = {
        .dir = dir != NULL ? dir : "memory", .text = error, .cap = error_cap};
    struct sg_board_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return writer_fail_errno(&failure, "cannot be made", ENOMEM);
    }
    writer_make_locks(writer);
    writer->dir_fd = -1;
    writer->beat_ms = now_boot_ms;
    writer->dir = strdup(failure.dir);
    signet_status status = writer->dir != NULL
                               ? writer_begin(writer, dir != NULL, &failure)
                               : writer_fail_errno(&failure, "cannot be made", ENOMEM);
    if (status != SIGNET_OK) {
        sg_board_writer_close(writer);
        return status;
    }
    *out = writer;
    return SIGNET_OK;
}

signet_status sg_board_writer_publish(struct sg_board_writer *writer,
                                      const struct sg_board_key *keys, size_t num_keys, int64_t now,
                                      char *error, size_t error_cap)
{
    const struct writer_error failure = {.dir = writer->dir, .text = error, .cap = error_cap};
    struct sg_board_keys built = {0};
    signet_status status =
        sg_board_keys_build(keys, num_keys, writer->seed, &built, error, error_cap);
    if (status != SIGNET_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&writer->mutex);
    bool was_suspended = writer->is_suspended;
    writer->is_suspended = false;
    status = writer_replace(writer, &built, true, now, &failure);
    if (status != SIGNET_OK) {
        writer->is_suspended = was_suspended;
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    sg_board_keys_fini(&built);
    return status;
}

/* Room for one more. */
static signet_status writer_reserve(struct sg_board_writer *writer, int64_t now,
                                    const struct writer_error *error)
{
    return (writer->map.num_used + 1) * 4 > writer->map.num_slots * 3
               ? writer_grow(writer, now, error)
               : SIGNET_OK;
}

static void writer_digest(const struct sg_board_writer *writer,
                          const struct sg_board_revocation *revocation, uint64_t digest[2])
{
    uint8_t bytes[SG_BOARD_DIGEST_LEN];
    sg_board_digest_seeded(writer->seed, revocation->kind, revocation->scope, revocation->scope_len,
                           revocation->name, revocation->name_len, bytes);
    memcpy(digest, bytes, sizeof(bytes));
}

static signet_status writer_reserve_for(struct sg_board_writer *writer, const uint64_t digest[2],
                                        int64_t now, const struct writer_error *error)
{
    if (atomic_load_explicit(&map_entry(&writer->map, digest)->state, memory_order_relaxed) !=
        SG_BOARD_FREE) {
        return SIGNET_OK;
    }
    signet_status status = writer_reserve(writer, now, error);
    if (status == SIGNET_OK && map_steps(&writer->map, digest) > WRITER_MAX_STEPS) {
        status = writer_fail(error, SIGNET_RESOURCE_EXHAUSTED,
                             "%s/" SG_BOARD_FILE " has too many revocations in one place, which "
                             "does not happen by chance: see who revokes (signet revocations), and "
                             "restart signetd",
                             error->dir);
    }
    return status;
}

signet_status sg_board_writer_reserve(struct sg_board_writer *writer,
                                      const struct sg_board_revocation *revocation, int64_t now,
                                      char *error, size_t error_cap)
{
    const struct writer_error failure = {.dir = writer->dir, .text = error, .cap = error_cap};
    uint64_t digest[2];
    writer_digest(writer, revocation, digest);
    (void)pthread_mutex_lock(&writer->mutex);
    signet_status status = writer_reserve_for(writer, digest, now, &failure);
    (void)pthread_mutex_unlock(&writer->mutex);
    return status;
}

static signet_status writer_revoke(struct sg_board_writer *writer, const uint64_t digest[2],
                                   uint32_t state, int64_t value, int64_t now,
                                   const struct writer_error *error)
{
    struct sg_board_entry *entry = map_entry(&writer->map, digest);
    if (atomic_load_explicit(&entry->state, memory_order_relaxed) != SG_BOARD_FREE) {
        if (entry_raise(entry, value)) {
            writer_raise_generation(writer, writer->map.header);
        }
        return SIGNET_OK;
    }
    signet_status status = writer_reserve(writer, now, error);
    if (status != SIGNET_OK) {
        return status;
    }
    entry = map_entry(&writer->map, digest);
    map_add(&writer->map, entry, digest, state, value);
    writer_raise_generation(writer, writer->map.header);
    return SIGNET_OK;
}

signet_status sg_board_writer_revoke(struct sg_board_writer *writer,
                                     const struct sg_board_revocation *revocation, int64_t now,
                                     char *error, size_t error_cap)
{
    const struct writer_error failure = {.dir = writer->dir, .text = error, .cap = error_cap};
    uint64_t digest[2];
    uint32_t state = revocation->kind == SG_BOARD_TOKEN ? SG_BOARD_ENDS : SG_BOARD_LASTS;
    writer_digest(writer, revocation, digest);
    (void)pthread_mutex_lock(&writer->mutex);
    signet_status status = writer_revoke(writer, digest, state, revocation->value, now, &failure);
    (void)pthread_mutex_unlock(&writer->mutex);
    return status;
}

bool sg_board_writer_find(struct sg_board_writer *writer, enum sg_board_kind kind,
                          const char *scope, const char *name, int64_t *value)
{
    uint64_t digest[2];
    uint8_t bytes[SG_BOARD_DIGEST_LEN];
    sg_board_digest_seeded(writer->seed, kind, scope, strlen(scope), name, strlen(name), bytes);
    memcpy(digest, bytes, sizeof(digest));
    (void)pthread_rwlock_rdlock(&writer->swap);
    const struct sg_board_entry *entry = map_entry(&writer->map, digest);
    bool is_there = atomic_load_explicit(&entry->state, memory_order_relaxed) != SG_BOARD_FREE;
    *value = is_there ? atomic_load_explicit(&entry->value, memory_order_acquire) : 0;
    (void)pthread_rwlock_unlock(&writer->swap);
    return is_there;
}

static bool writer_is_in_place(const struct sg_board_writer *writer)
{
    struct stat info;
    return !writer->is_published ||
           (fstatat(writer->dir_fd, SG_BOARD_FILE, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            info.st_dev == writer->map.device && info.st_ino == writer->map.inode);
}

signet_status sg_board_writer_restore(struct sg_board_writer *writer, int64_t now, bool *was_gone,
                                      char *error, size_t error_cap)
{
    const struct writer_error failure = {.dir = writer->dir, .text = error, .cap = error_cap};
    (void)pthread_mutex_lock(&writer->mutex);
    *was_gone = !writer_is_in_place(writer);
    signet_status status = *was_gone ? writer_grow(writer, now, &failure) : SIGNET_OK;
    (void)pthread_mutex_unlock(&writer->mutex);
    return status;
}

void sg_board_writer_suspend(struct sg_board_writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->is_suspended = true;
    atomic_store_explicit(&writer->map.header->closed, 1, memory_order_release);
    writer_raise_generation(writer, writer->map.header);
    (void)pthread_mutex_unlock(&writer->mutex);
}

void sg_board_writer_beat(struct sg_board_writer *writer, uint64_t now_boot_ms)
{
    (void)pthread_mutex_lock(&writer->mutex);
    writer->beat_ms = now_boot_ms;
    atomic_store_explicit(&writer->map.header->heartbeat, now_boot_ms, memory_order_release);
    (void)pthread_mutex_unlock(&writer->mutex);
}

void sg_board_writer_close(struct sg_board_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->map.header != NULL) {
        atomic_store_explicit(&writer->map.header->closed, 1, memory_order_release);
        writer_raise_generation(writer, writer->map.header);
    }
    map_fini(&writer->map);
    if (writer->dir_fd >= 0) {
        (void)close(writer->dir_fd);
    }
    free(writer->dir);
    (void)pthread_rwlock_destroy(&writer->swap);
    (void)pthread_mutex_destroy(&writer->mutex);
    free(writer);
}
