/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets, as secret.h specifies it. Owns the process's secure heap; never hands out
 * memory from anywhere else.
 */
#include "server/keyholder/secret.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

/* An RSA key of 3072 bits takes about 2 KiB, all others less: room for a thousand and more. Pages
 * are locked as they are touched, so that what is not used costs nothing. */
#define SECRET_HEAP_LEN (4u << 20)
#define SECRET_HEAP_MIN 32u

struct sg_secret {
    size_t len;
    uint8_t bytes[];
};

static struct {
    pthread_mutex_t mutex;
    bool is_open;
    bool is_locked;
} secret_heap = {.mutex = PTHREAD_MUTEX_INITIALIZER};

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

signet_status sg_secret_new(const uint8_t *bytes, size_t len, struct sg_secret **out)
{
    if (len == 0 || len > SG_MAX_SECRET_LEN) {
        return SIGNET_INVALID_ARGUMENT;
    }
    /* Without the heap, OpenSSL would take ordinary memory. */
    if (sg_secret_heap_open() != SIGNET_OK) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    struct sg_secret *secret = OPENSSL_secure_zalloc(sizeof(*secret) + len);
    if (secret == NULL) {
        ERR_clear_error();
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    secret->len = len;
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
        OPENSSL_secure_clear_free(secret, sizeof(*secret) + secret->len);
    }
}

const uint8_t *sg_secret_bytes(const struct sg_secret *secret, size_t *len)
{
    *len = secret->len;
    return secret->bytes;
}
