/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of memfd_secret(2): pages that the kernel has taken out of its own map of memory, so that no
 * /proc/PID/mem, no tracer, no core file and no swap ever has them, whoever asks, root included. One pool
 * a process, of a fixed size, between guard pages; what is known of its places is kept elsewhere. A fork's
 * child does not get it. For server/keyholder/secret.c only, which says where secrets go when this is full
 * or the kernel has none.
 */
#ifndef SG_KEYHOLDER_SECRET_POOL_H
#define SG_KEYHOLDER_SECRET_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* All of it counts towards RLIMIT_MEMLOCK. 32768 secrets of 64 bytes, or 2048 of a KiB. */
#define SG_SECRET_POOL_LEN ((size_t)2 << 20)
/* The longest that is handed out. */
#define SG_SECRET_POOL_MAX 8192u

/* sg_secret_pool_open makes it on its first call in the process. False if the kernel has no such memory, or
 * RLIMIT_MEMLOCK leaves no room for it. Any thread, and likewise the others. */
bool sg_secret_pool_open(void);

/* sg_secret_pool_is_there is false before sg_secret_pool_open, and in a fork's child. */
bool sg_secret_pool_is_there(void);

/* sg_secret_pool_take returns len bytes of zeros; NULL if there is no room, or no pool. */
void *sg_secret_pool_take(size_t len);

/* sg_secret_pool_has says whether an address is of the pool; of the parent's, in a fork's child. */
bool sg_secret_pool_has(const void *bytes);

/* sg_secret_pool_give wipes what was taken and takes it back. In a fork's child, nothing is there to wipe. */
void sg_secret_pool_give(void *bytes);

#endif
