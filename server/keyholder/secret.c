/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets, as secret.h specifies it. Owns the process's secure heap; never hands out
 * memory from anywhere else.
 */
#include "server/keyholder/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
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

/* Under the mutex. */
static void secret_heap_make(void)
{
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
