/* SPDX-License-Identifier: Apache-2.0
 *
 * nng starts two task threads a processor, for callbacks that do work. Ours only say that bytes have arrived,
 * so that most of these threads would do nothing but be woken in turn, which costs more than their work
 * (measured: a fifth of the daemon's throughput). All but a few are put to rest.
 */
#ifndef SG_LISTENER_THREADS_H
#define SG_LISTENER_THREADS_H

struct sg_listener_threads;

/* sg_listener_threads_rest puts them to rest, and never the last. The first call into nng starts its threads: to
 * be called with signals blocked. NULL if it cannot be done, which is no failure. */
struct sg_listener_threads *sg_listener_threads_rest(void);

/* sg_listener_threads_lend has one of them go on, for the time that another is kept from its callbacks, until
 * sg_listener_threads_take_back puts one to rest again. Any thread; NULL is legal. */
void sg_listener_threads_lend(struct sg_listener_threads *threads);
void sg_listener_threads_take_back(struct sg_listener_threads *threads);

/* sg_listener_threads_wake lets them go on. NULL is legal. */
void sg_listener_threads_wake(struct sg_listener_threads *threads);

#endif
