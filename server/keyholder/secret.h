/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for secrets. What is promised of every byte that an sg_secret owns:
 *
 *   - it lies in OpenSSL's secure heap: between guard pages, left out of core dumps, and kept out of
 *     swap where RLIMIT_MEMLOCK allows it (sg_secret_heap_is_locked tells);
 *   - it is zero when it is handed out, and wiped before it is given back;
 *   - it cannot be printed, copied or compared by accident: the struct is opaque, and the only way
 *     to its bytes is the one accessor here, whose result must not outlive the secret;
 *   - it is never moved: there is no resizing.
 *
 * The private parts of OpenSSL's own RSA, EC and Edwards keys live in the same heap. An allocation
 * fails when the heap is full; it never falls back to ordinary memory.
 */
#ifndef SG_KEYHOLDER_SECRET_H
#define SG_KEYHOLDER_SECRET_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_secret;

/* sg_secret_heap_open makes the heap on its first call in the process; further calls find it made. It has
 * to come before anything else of OpenSSL for sg_secret_wiping_begin to work. RESOURCE_EXHAUSTED if it
 * cannot be had. The heap lives as long as the process: other objects of OpenSSL may be in it. Any
 * thread. */
signet_status sg_secret_heap_open(void) SIGNET_MUST_CHECK;

/* sg_secret_heap_is_locked says whether the heap is kept out of swap and dumps and has its guard
 * pages. False before sg_secret_heap_open. */
bool sg_secret_heap_is_locked(void);

/* Between the two, OpenSSL wipes what it gives back of ordinary memory, on this thread: around whatever reads
 * or writes private keys. They may be nested. */
void sg_secret_wiping_begin(void);
void sg_secret_wiping_end(void);

/* sg_secret_new makes a secret of 1 to SG_MAX_SECRET_LEN bytes: a copy of bytes, or, if bytes is
 * NULL, fresh ones from the private random generator. INVALID_ARGUMENT for another length,
 * RESOURCE_EXHAUSTED if the heap is full, INTERNAL if no random bytes can be had. */
signet_status sg_secret_new(const uint8_t *bytes, size_t len,
                            struct sg_secret **out) SIGNET_MUST_CHECK;

/* sg_secret_free wipes and releases; NULL is legal. */
void sg_secret_free(struct sg_secret *secret);

/* sg_secret_bytes lends the bytes until sg_secret_free. */
const uint8_t *sg_secret_bytes(const struct sg_secret *secret, size_t *len);

#endif
