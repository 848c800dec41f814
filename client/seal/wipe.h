/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that held a key leaves no trace: an allocator that wipes what it frees, put under OpenSSL and
 * jansson, and a process that cannot be dumped, swapped out or traced.
 */
#ifndef SG_SEAL_WIPE_H
#define SG_SEAL_WIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* seal_alloc is malloc of memory that seal_free wipes, and seal_resize when it moves it. NULL without
 * memory, and for 0 bytes. */
void *seal_alloc(size_t len) __attribute__((malloc));
void *seal_resize(void *memory, size_t len);
void seal_free(void *memory); /* NULL is legal */

/* seal_wipe_stack wipes what functions that have returned left on the stack, such as the buffer through
 * which jansson takes its text. */
void seal_wipe_stack(void) __attribute__((noinline));

/* Bytes that may be secret, in memory of seal_alloc. {0} is legal everywhere. */
struct seal_bytes {
    uint8_t *data;
    size_t len;
};

void seal_bytes_fini(struct seal_bytes *bytes);
/* False without memory. */
bool seal_bytes_copy(struct seal_bytes *out, const void *data, size_t len);

/* seal_harden is to be the first thing that the process does, before OpenSSL or jansson take any
 * memory: it puts seal_alloc under both, forbids core dumps and tracing, and locks memory as far as
 * the limits allow. False if one of the first three cannot be had. */
bool seal_harden(void) __attribute__((warn_unused_result));

#endif
