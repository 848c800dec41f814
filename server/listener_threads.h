/* SPDX-License-Identifier: Apache-2.0
 *
 * nng starts two task threads a processor, for callbacks that do work. Ours only say that bytes have arrived,
 * so that most of these threads would do nothing but be woken in turn, which costs more than their work
 * (measured: a fifth of the daemon's throughput). All but a few are put to rest.
 */
#ifndef SG_LISTENER_THREADS_H
#define SG_LISTENER_THREADS_H

struct sg_listener_threads;

/* sg_listener_threads_rest puts them to rest, and never the last. To be called after the first listener was
 * started. NULL if it cannot be done, which is no failure. */
struct sg_listener_threads *sg_listener_threads_rest(void);

/* sg_listener_threads_wake lets them go on. NULL is legal. */
void sg_listener_threads_wake(struct sg_listener_threads *threads);

#endif
