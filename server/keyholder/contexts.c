/* SPDX-License-Identifier: Apache-2.0
 *
 * The idle contexts of a key: a few atomic places, each empty or full. Whoever takes a context
 * empties its place, so that a context has one user at a time.
 */
#include "server/keyholder/contexts.h"

#include <stdlib.h>

/* Where this thread looks first. Threads are numbered as they come. */
static unsigned contexts_home(void)
{
    static atomic_uint num_threads;
    static _Thread_local unsigned number; /* 0: not yet numbered */

    if (number == 0) {
        number =
            atomic_fetch_add_explicit(&num_threads, 1, memory_order_relaxed) % SG_KEY_CONTEXTS_MAX +
            1;
    }
    return number - 1;
}

struct sg_key_context *sg_key_contexts_take(struct sg_key_contexts *contexts)
{
    unsigned home = contexts_home();
    for (unsigned i = 0; i < SG_KEY_CONTEXTS_MAX; i++) {
        _Atomic(struct sg_key_context *) *place =
            &contexts->idle[(home + i) % SG_KEY_CONTEXTS_MAX].context;
        /* A look first: it does not take the cache line from other threads. */
        if (atomic_load_explicit(place, memory_order_relaxed) != NULL) {
            struct sg_key_context *context =
                atomic_exchange_explicit(place, NULL, memory_order_acquire);
            if (context != NULL) {
                return context;
            }
        }
    }
    return NULL;
}

void sg_key_contexts_put(struct sg_key_contexts *contexts, struct sg_key_context *context)
{
    unsigned home = contexts_home();
    for (unsigned i = 0; i < SG_KEY_CONTEXTS_MAX; i++) {
        struct sg_key_context *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(
                &contexts->idle[(home + i) % SG_KEY_CONTEXTS_MAX].context, &empty, context,
                memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    sg_key_context_free(context);
}

void sg_key_context_free(struct sg_key_context *context)
{
    if (context != NULL) {
        EVP_MAC_CTX_free(context->mac);
        EVP_PKEY_CTX_free(context->sign);
        free(context);
    }
}

void sg_key_contexts_fini(struct sg_key_contexts *contexts)
{
    for (unsigned i = 0; i < SG_KEY_CONTEXTS_MAX; i++) {
        sg_key_context_free(
            atomic_exchange_explicit(&contexts->idle[i].context, NULL, memory_order_acquire));
    }
}
