/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool: chunks of 8 KiB, each cut into places of one size. A chunk whose places are all free may serve
 * another size. Pages come as they are touched, so that what is not used costs nothing.
 */
#include "server/keyholder/secret_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POOL_CHUNK_LEN  SG_SECRET_POOL_MAX
#define POOL_NUM_CHUNKS (SG_SECRET_POOL_LEN / POOL_CHUNK_LEN)
#define POOL_MIN_PLACE  32u
#define POOL_NUM_WORDS  (POOL_CHUNK_LEN / POOL_MIN_PLACE / 64u)

struct pool_chunk {
    uint32_t place_len; /* 0: it is free */
    uint32_t num_used;
    uint64_t used[POOL_NUM_WORDS]; /* one bit a place */
};

static struct {
    pthread_mutex_t mutex; /* the innermost; guards all but bytes, which is set once */
    bool was_tried;
    bool is_there;
    uint8_t *bytes;
    struct pool_chunk chunks[POOL_NUM_CHUNKS];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- The memory ---- */

static int pool_new_fd(void)
{
#ifdef SYS_memfd_secret /* no wrapper in the C library */
    return (int)syscall(SYS_memfd_secret, O_CLOEXEC);
#else
    errno = ENOSYS;
    return -1;
#endif
}

/* The kernel leaves such pages out of core files by itself. It would share them with a child. */
static uint8_t *pool_map(int fd)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room_len = SG_SECRET_POOL_LEN + 2 * guard;
    uint8_t *room = mmap(NULL, room_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return NULL;
    }
    uint8_t *bytes = room + guard;
    if (mmap(bytes, SG_SECRET_POOL_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED ||
        madvise(bytes, SG_SECRET_POOL_LEN, MADV_DONTFORK) != 0) {
        (void)munmap(room, room_len);
        return NULL;
    }
    return bytes;
}

static uint8_t *pool_make(void)
{
    int fd = pool_new_fd();
    if (fd < 0) {
        return NULL;
    }
    uint8_t *bytes = ftruncate(fd, (off_t)SG_SECRET_POOL_LEN) == 0 ? pool_map(fd) : NULL;
    (void)close(fd);
    return bytes;
}

/* ---- Forks ---- */

static void pool_before_fork(void)
{
    (void)pthread_mutex_lock(&pool.mutex);
}

static void pool_after_fork(void)
{
    (void)pthread_mutex_unlock(&pool.mutex);
}

/* The child's hole is closed, so that nothing else comes to lie where its old pointers lead. */
static void pool_in_child(void)
{
    if (pool.is_there) {
        (void)mmap(pool.bytes, SG_SECRET_POOL_LEN, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        pool.is_there = false;
    }
    (void)pthread_mutex_unlock(&pool.mutex);
}

bool sg_secret_pool_open(void)
{
    (void)pthread_mutex_lock(&pool.mutex);
    if (!pool.was_tried) {
        pool.was_tried = true;
        if (pthread_atfork(pool_before_fork, pool_after_fork, pool_in_child) == 0) {
            pool.bytes = pool_make();
            pool.is_there = pool.bytes != NULL;
        }
    }
    bool is_there = pool.is_there;
    (void)pthread_mutex_unlock(&pool.mutex);
    return is_there;
}

bool sg_secret_pool_is_there(void)
{
    (void)pthread_mutex_lock(&pool.mutex);
    bool is_there = pool.is_there;
    (void)pthread_mutex_unlock(&pool.mutex);
    return is_there;
}

/* ---- Places ---- */

static uint32_t pool_place_len(size_t len)
{
    uint32_t place_len = POOL_MIN_PLACE;
    while (place_len < len) {
        place_len *= 2;
    }
    return place_len;
}

static bool pool_has_place(const struct pool_chunk *chunk, uint32_t place_len)
{
    return chunk->place_len == place_len && chunk->num_used < POOL_CHUNK_LEN / place_len;
}

/* A chunk with a free place of this size; NULL. */
static struct pool_chunk *pool_find_chunk(uint32_t place_len)
{
    struct pool_chunk *empty = NULL;
    for (size_t i = 0; i < POOL_NUM_CHUNKS; i++) {
        struct pool_chunk *chunk = &pool.chunks[i];
        if (pool_has_place(chunk, place_len)) {
            return chunk;
        }
        if (empty == NULL && chunk->place_len == 0) {
            empty = chunk;
        }
    }
    if (empty != NULL) {
        empty->place_len = place_len;
    }
    return empty;
}

/* The number of a free place, which the chunk has. */
static size_t pool_mark_place(struct pool_chunk *chunk)
{
    size_t word = 0;
    while (chunk->used[word] == UINT64_MAX) {
        word++;
    }
    unsigned bit = (unsigned)__builtin_ctzll(~chunk->used[word]);
    chunk->used[word] |= (uint64_t)1 << bit;
    chunk->num_used++;
    return word * 64 + bit;
}

static uint8_t *pool_take(uint32_t place_len)
{
    struct pool_chunk *chunk = pool_find_chunk(place_len);
    if (chunk == NULL) {
        return NULL;
    }
    size_t place = pool_mark_place(chunk);
    return pool.bytes + (size_t)(chunk - pool.chunks) * POOL_CHUNK_LEN + place * place_len;
}

void *sg_secret_pool_take(size_t len)
{
    if (len == 0 || len > SG_SECRET_POOL_MAX) {
        return NULL;
    }
    (void)pthread_mutex_lock(&pool.mutex);
    uint8_t *bytes = pool.is_there ? pool_take(pool_place_len(len)) : NULL;
    (void)pthread_mutex_unlock(&pool.mutex);
    if (bytes != NULL) {
        memset(bytes, 0, len); /* whoever wrote after giving it back spoils nobody's zeros */
    }
    return bytes;
}

bool sg_secret_pool_has(const void *bytes)
{
    uintptr_t start = (uintptr_t)pool.bytes;
    return start != 0 && (uintptr_t)bytes - start < SG_SECRET_POOL_LEN;
}

/* Under the mutex. */
static void pool_give(uint8_t *bytes)
{
    size_t at = (size_t)(bytes - pool.bytes);
    struct pool_chunk *chunk = &pool.chunks[at / POOL_CHUNK_LEN];
    if (chunk->place_len == 0) {
        return;
    }
    size_t place = at % POOL_CHUNK_LEN / chunk->place_len;
    uint64_t bit = (uint64_t)1 << place % 64;
    if ((chunk->used[place / 64] & bit) == 0) {
        return;
    }
    OPENSSL_cleanse(bytes, chunk->place_len);
    chunk->used[place / 64] &= ~bit;
    chunk->num_used--;
    if (chunk->num_used == 0) {
        chunk->place_len = 0;
    }
}

void sg_secret_pool_give(void *bytes)
{
    (void)pthread_mutex_lock(&pool.mutex);
    if (pool.is_there) {
        pool_give(bytes);
    }
    (void)pthread_mutex_unlock(&pool.mutex);
}
