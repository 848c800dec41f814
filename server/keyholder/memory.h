/* SPDX-License-Identifier: Apache-2.0
 *
 * Locking all of the keyholder's memory where RLIMIT_MEMLOCK stays finite. What is mapped later could then not
 * be locked, so everything is mapped beforehand: the heap as far as it is likely to grow, and the threads'
 * stacks. Pages are locked as they are touched, so that what is not used costs nothing.
 */
#ifndef SG_KEYHOLDER_MEMORY_H
#define SG_KEYHOLDER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_MEMORY_STACK_LEN ((size_t)1024 * 1024)

/* sg_memory_reserve maps the heap, and num_stacks stacks with a guard page each. Returns the stacks, to be
 * had from sg_memory_stack, or NULL. For the life of the process; before the first other thread. */
uint8_t *sg_memory_reserve(size_t num_stacks);
uint8_t *sg_memory_stack(uint8_t *stacks, size_t index);

/* sg_memory_lock locks what is mapped now. False if the limit is too low and there is no CAP_IPC_LOCK, which
 * may be dropped afterwards. */
bool sg_memory_lock(void);

#endif
