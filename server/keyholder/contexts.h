/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts that were set up for one key and wait to be used again, since setting one up costs more
 * than using it. They belong to the key and end with it: nothing keyed outlives its key, and no
 * context can meet another key. No locks; any number of threads.
 */
#ifndef SG_KEYHOLDER_CONTEXTS_H
#define SG_KEYHOLDER_CONTEXTS_H

#include <openssl/evp.h>
#include <stdatomic.h>

/* How many idle contexts a key keeps; more are made when more threads work at once. */
#define SG_KEY_CONTEXTS_MAX 16u

struct sg_key_context {
    EVP_MAC_CTX *mac;   /* HMAC, keyed */
    EVP_PKEY_CTX *sign; /* RSA and ECDSA, ready to sign a digest */
};

/* A cache line each, so that threads do not slow each other down. */
struct sg_key_contexts {
    struct {
        _Alignas(64) _Atomic(struct sg_key_context *) context;
    } idle[SG_KEY_CONTEXTS_MAX];
};

/* sg_key_contexts_take hands out an idle context, preferably the one that this thread used last;
 * NULL if there is none. It is the caller's until it is put back or freed. */
struct sg_key_context *sg_key_contexts_take(struct sg_key_contexts *contexts);

/* sg_key_contexts_put keeps a context that is fit for use, or frees it if enough are kept. */
void sg_key_contexts_put(struct sg_key_contexts *contexts, struct sg_key_context *context);

/* sg_key_context_free wipes what the context was keyed with; NULL is legal. */
void sg_key_context_free(struct sg_key_context *context);

/* sg_key_contexts_fini frees all that are idle. Nobody may be using the key any more. */
void sg_key_contexts_fini(struct sg_key_contexts *contexts);

#endif
