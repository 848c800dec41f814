/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets, as secret.h specifies it. Owns the process's secure heap; never hands out
 * memory from anywhere but there and the pool.
 */
#include "server/keyholder/secret.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/keyholder/secret_pool.h"

/* An RSA key of 3072 bits takes about 2 KiB, all others less: room for a thousand and more. Pages
 * are locked as they are touched, so that what is not used costs nothing. */
#define SECRET_HEAP_LEN ((size_t)4 << 20)
#define SECRET_HEAP_MIN 32u

/* Both are locked without any privilege, with something to spare, under the limit that the kernel and
 * systemd set: 8 MiB. */
#define SECRET_USUAL_MEMLOCK ((size_t)8 << 20)
_Static_assert(SECRET_HEAP_LEN + SG_SECRET_POOL_LEN <= SECRET_USUAL_MEMLOCK, "RLIMIT_MEMLOCK");

struct sg_secret {
    size_t len;
    uint8_t *bytes;
};

static struct {
    pthread_mutex_t mutex;
    bool is_open;
    bool is_locked;
} secret_heap = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* What sg_secret_alloc has handed out of the heap. */
static atomic_size_t secret_num_spilled;

/* ---- OpenSSL's ordinary memory ---- */

/* Reading and writing DER, OpenSSL 3.0 leaves copies of private keys in ordinary memory that it gives back
 * without wiping it (measured). So what it gives back meanwhile is wiped here; always would cost a fifth of
 * a signature. */
static _Thread_local unsigned secret_num_wipers;

void sg_secret_wiping_begin(void)
{
    secret_num_wipers++;
}

void sg_secret_wiping_end(void)
{
    secret_num_wipers--;
}

static void *secret_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return len > 0 ? malloc(len) : NULL; /* as OpenSSL's own does */
}

static void secret_release(void *bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    if (bytes != NULL && secret_num_wipers > 0) {
        OPENSSL_cleanse(bytes, malloc_usable_size(bytes));
    }
    free(bytes);
}

static void *secret_realloc(void *bytes, size_t len, const char *file, int line)
{
    if (len == 0) {
        secret_release(bytes, file, line);
        return NULL;
    }
    if (secret_num_wipers == 0) {
        return realloc(bytes, len);
    }
    size_t present = bytes != NULL ? malloc_usable_size(bytes) : 0;
    if (bytes != NULL && len <= present) {
        return bytes;
    }
    void *moved = malloc(len);
    if (moved != NULL && bytes != NULL) {
        memcpy(moved, bytes, present);
        secret_release(bytes, file, line);
    }
    return moved;
}

/* ---- The heap ---- */

/* Under the mutex. */
static void secret_heap_make(void)
{
    /* Refused if OpenSSL has memory already; what is lost then is the second line of defence. */
    (void)CRYPTO_set_mem_functions(secret_malloc, secret_realloc, secret_release);
    /* 1: as asked for. 2: made, but a page could not be protected or locked. 0: not made. */
    int made = CRYPTO_secure_malloc_init(SECRET_HEAP_LEN, SECRET_HEAP_MIN);
    secret_heap.is_open = made != 0 && CRYPTO_secure_malloc_initialized() == 1;
    secret_heap.is_locked = secret_heap.is_open && made == 1;
    /* After the heap: if only one of them can be locked, it is the one that OpenSSL's own keys need. */
    (void)sg_secret_pool_open();
}

signet_status sg_secret_heap_open(void)
{
    (void)pthread_mutex_lock(&secret_heap.mutex);
    if (!secret_heap.is_open) {
        secret_heap_make();
    }
    bool is_open = secret_heap.is_open;
    (void)pthread_mutex_unlock(&secret_heap.mutex);
    return is_open ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

bool sg_secret_heap_is_locked(void)
{
    (void)pthread_mutex_lock(&secret_heap.mutex);
    bool is_locked = secret_heap.is_locked;
    (void)pthread_mutex_unlock(&secret_heap.mutex);
    return is_locked;
}

/* ---- Buffers ---- */

bool sg_secret_memory_is_secret(void)
{
    return sg_secret_pool_is_there() && atomic_load(&secret_num_spilled) == 0;
}

void *sg_secret_alloc(size_t len)
{
    /* Without the heap, OpenSSL would take ordinary memory. */
    if (len == 0 || sg_secret_heap_open() != SIGNET_OK) {
        return NULL;
    }
    void *bytes = sg_secret_pool_take(len);
    if (bytes != NULL) {
        return bytes;
    }
    bytes = OPENSSL_secure_zalloc(len);
    if (bytes == NULL) {
        ERR_clear_error();
        return NULL;
    }
    (void)atomic_fetch_add(&secret_num_spilled, 1);
    return bytes;
}

void sg_secret_release(void *bytes, size_t len)
{
    if (bytes == NULL) {
        return;
    }
    if (sg_secret_pool_has(bytes)) {
        sg_secret_pool_give(bytes);
        return;
    }
    OPENSSL_secure_clear_free(bytes, len);
    (void)atomic_fetch_sub(&secret_num_spilled, 1);
}

/* ---- Secrets ---- */

signet_status sg_secret_new(const uint8_t *bytes, size_t len, struct sg_secret **out)
{
    if (len == 0 || len > SG_MAX_SECRET_LEN) {
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_secret *secret = calloc(1, sizeof(*secret));
    if (secret == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    secret->len = len;
    secret->bytes = sg_secret_alloc(len);
    if (secret->bytes == NULL) {
        sg_secret_free(secret);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    if (bytes != NULL) {
        memcpy(secret->bytes, bytes, len);
    } else if (RAND_priv_bytes(secret->bytes, (int)len) != 1) {
        ERR_clear_error();
        sg_secret_free(secret);
        return SIGNET_INTERNAL;
    }
    *out = secret;
    return SIGNET_OK;
}

void sg_secret_free(struct sg_secret *secret)
{
    if (secret != NULL) {
        sg_secret_release(secret->bytes, secret->len);
        free(secret);
    }
}

const uint8_t *sg_secret_bytes(const struct sg_secret *secret, size_t *len)
{
    *len = secret->len;
    return secret->bytes;
}
