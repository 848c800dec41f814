/* SPDX-License-Identifier: Apache-2.0
 *
 * The wiping allocator, and the process that cannot be looked into.
 */
#include "client/seal/wipe.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* OpenSSL's own heap for private numbers, which it locks and keeps between guard pages. */
#define WIPE_SECURE_HEAP  ((size_t)512 * 1024)
#define WIPE_SECURE_LEAST 16

/* Deeper than what reads a key ever goes. */
#define WIPE_STACK ((size_t)64 * 1024)

/* ---- The allocator ---- */

/* Stands before every piece, so that free knows how much to wipe. */
union wipe_header {
    size_t len;
    max_align_t alignment;
};

void *seal_alloc(size_t len)
{
    if (len == 0 || len > SIZE_MAX - sizeof(union wipe_header)) {
        return NULL;
    }
    union wipe_header *header = malloc(sizeof(*header) + len);
    if (header == NULL) {
        return NULL;
    }
    header->len = len;
    return header + 1;
}

void seal_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    union wipe_header *header = (union wipe_header *)memory - 1;
    explicit_bzero(memory, header->len);
    free(header);
}

void *seal_resize(void *memory, size_t len)
{
    if (memory == NULL) {
        return seal_alloc(len);
    }
    if (len == 0) {
        seal_free(memory);
        return NULL;
    }
    const union wipe_header *header = (const union wipe_header *)memory - 1;
    void *moved = seal_alloc(len);
    if (moved != NULL) {
        memcpy(moved, memory, header->len < len ? header->len : len);
        seal_free(memory);
    }
    return moved;
}

void seal_bytes_fini(struct seal_bytes *bytes)
{
    seal_free(bytes->data);
    *bytes = (struct seal_bytes){0};
}

bool seal_bytes_copy(struct seal_bytes *out, const void *data, size_t len)
{
    uint8_t *copy = seal_alloc(len);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, data, len);
    *out = (struct seal_bytes){.data = copy, .len = len};
    return true;
}

void seal_wipe_stack(void)
{
    uint8_t below[WIPE_STACK];
    explicit_bzero(below, sizeof(below));
}

/* ---- The process ---- */

static void *wipe_crypto_alloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return seal_alloc(len);
}

static void *wipe_crypto_resize(void *memory, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return seal_resize(memory, len);
}

static void wipe_crypto_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    seal_free(memory);
}

/* Best effort: without it keys can reach the swap, for the moment that this process lives. Memory to
 * come is locked only where no limit can make an allocation fail for it. */
static void wipe_lock_memory(void)
{
    const struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    struct rlimit limit;
    (void)setrlimit(RLIMIT_MEMLOCK, &all);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) {
        (void)mlockall(MCL_CURRENT | MCL_FUTURE);
    }
}

bool seal_harden(void)
{
    const struct rlimit none = {0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        CRYPTO_set_mem_functions(wipe_crypto_alloc, wipe_crypto_resize, wipe_crypto_free) != 1) {
        return false;
    }
    json_set_alloc_funcs(seal_alloc, seal_free);
    wipe_lock_memory();
    (void)CRYPTO_secure_malloc_init(WIPE_SECURE_HEAP, WIPE_SECURE_LEAST);
    return true;
}
