/* SPDX-License-Identifier: Apache-2.0
 *
 * Crossings of many threads to the keyholder's process, gathered: while a packet is under way on a channel,
 * what arrives waits, and goes together in the next. So a crossing costs least when there is most to do,
 * and waits for nothing when there is little. Private to server/keyholder_process.c.
 */
#ifndef SG_KEYHOLDER_GATHER_H
#define SG_KEYHOLDER_GATHER_H

#include "server/keyholder/keyholder.h"

struct sg_gather;

/* sg_gather_new makes as many channels as suit the processors, all closed. on_broken is called with context
 * when a channel has ended, or had an answer that is none; on a thread that holds no lock of these. */
signet_status sg_gather_new(void (*on_broken)(void *context), void *context,
                            struct sg_gather **out) SIGNET_MUST_CHECK;
/* sg_gather_free finishes whatever waits with UNAVAILABLE. NULL is legal. */
void sg_gather_free(struct sg_gather *gather);
size_t sg_gather_num(const struct sg_gather *gather);

/* sg_gather_start starts the threads, one a channel, which finish crossings. */
signet_status sg_gather_start(struct sg_gather *gather) SIGNET_MUST_CHECK;

/* sg_gather_set takes over the socket of one channel, once the one before has been closed. */
void sg_gather_set(struct sg_gather *gather, size_t index, int fd);
/* From sg_gather_open to sg_gather_shut crossings set out; before and after they finish at the next flush,
 * and those under way at once, with UNAVAILABLE. */
void sg_gather_open(struct sg_gather *gather);
void sg_gather_shut(struct sg_gather *gather);

/* sg_gather_add and sg_gather_flush are sg_keyholder_submit and sg_keyholder_flush. */
void sg_gather_add(struct sg_gather *gather, struct sg_keyholder_crossing *crossing);
void sg_gather_flush(struct sg_gather *gather);

/* sg_gather_waits_since says since when (CLOCK_MONOTONIC, ms) the oldest packet is under way; 0: none is. */
uint64_t sg_gather_waits_since(struct sg_gather *gather);

#endif
