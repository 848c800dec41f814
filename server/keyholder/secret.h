/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets. What is promised of every byte of sg_secret_alloc, and so of an sg_secret:
 *
 *   - it lies in memory of memfd_secret(2), which the kernel itself cannot read (secret_pool.h); or, where
 *     there is none or that is full, in OpenSSL's secure heap: between guard pages, left out of core dumps,
 *     and kept out of swap where RLIMIT_MEMLOCK allows it (sg_secret_heap_is_locked tells);
 *   - an allocation fails when that is full too; it never falls back to ordinary memory;
 *   - it is zero when it is handed out, and wiped before it is given back;
 *   - it is never moved: there is no resizing.
 *
 * An sg_secret moreover cannot be printed, copied or compared by accident: the struct is opaque, and the
 * only way to its bytes is the one accessor here, whose result must not outlive the secret.
 *
 * The private parts of OpenSSL's own RSA, EC and Edwards keys live in the secure heap always: OpenSSL 3.0
 * has no way to put them elsewhere.
 */
#ifndef SG_KEYHOLDER_SECRET_H
#define SG_KEYHOLDER_SECRET_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_secret;

/* sg_secret_heap_open makes the heap, and the secret memory beside it where it can be had, on its first call
 * in the process; further calls find them made. It has to come before anything else of OpenSSL for
 * sg_secret_wiping_begin to work. RESOURCE_EXHAUSTED if the heap cannot be had. Both live as long as the
 * process: other objects of OpenSSL may be in the heap. Any thread. */
signet_status sg_secret_heap_open(void) SIGNET_MUST_CHECK;

/* sg_secret_heap_is_locked says whether the heap is kept out of swap and dumps and has its guard
 * pages. False before sg_secret_heap_open. */
bool sg_secret_heap_is_locked(void);

/* sg_secret_memory_is_secret says whether all that sg_secret_alloc has handed out, and was not given back,
 * lies in memory of memfd_secret(2), and what it hands out next will, as long as there is room. False before
 * sg_secret_heap_open, and in a fork's child, which does not inherit such memory. */
bool sg_secret_memory_is_secret(void);

/* sg_secret_alloc returns len bytes of zeros that are fit for secrets; sg_secret_release them. NULL if there
 * are none, or len is 0. Any thread. */
void *sg_secret_alloc(size_t len);
/* sg_secret_release wipes all len bytes of sg_secret_alloc and takes them back; NULL is legal. */
void sg_secret_release(void *bytes, size_t len);

/* Between the two, OpenSSL wipes what it gives back of ordinary memory, on this thread: around whatever reads
 * or writes private keys. They may be nested. */
void sg_secret_wiping_begin(void);
void sg_secret_wiping_end(void);

/* sg_secret_new makes a secret of 1 to SG_MAX_SECRET_LEN bytes: a copy of bytes, or, if bytes is
 * NULL, fresh ones from the private random generator. INVALID_ARGUMENT for another length,
 * RESOURCE_EXHAUSTED if there is no memory for it, INTERNAL if no random bytes can be had. */
signet_status sg_secret_new(const uint8_t *bytes, size_t len,
                            struct sg_secret **out) SIGNET_MUST_CHECK;

/* sg_secret_free wipes and releases; NULL is legal. */
void sg_secret_free(struct sg_secret *secret);

/* sg_secret_bytes lends the bytes until sg_secret_free. */
const uint8_t *sg_secret_bytes(const struct sg_secret *secret, size_t *len);

#endif
