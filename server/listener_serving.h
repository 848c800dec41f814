/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads that serve connections from which bytes have arrived. nng's own threads only say so: they are
 * few, and must not wait, and requests may have to wait for the keyholder. One of these takes all that is
 * ready at once, so that what many peers ask of the keyholder crosses together. Where there is more than that,
 * uids are served in turn, by the time that was spent on each: how many connections one has does not matter.
 * Private to server/listener*.c.
 */
#ifndef SG_LISTENER_SERVING_H
#define SG_LISTENER_SERVING_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>

struct sg_connection;
struct sg_listener_threads;
struct sg_serving;

/* sg_serving_new starts num_threads threads. Those at rest are asked for one if nng's own has to wait; NULL: there are
 * none. */
signet_status sg_serving_new(unsigned num_threads, struct sg_listener_threads *resting,
                             struct sg_serving **out) SIGNET_MUST_CHECK;
/* sg_serving_free ends them, once everything that was added is served. NULL is legal. */
void sg_serving_free(struct sg_serving *serving);

/* sg_serving_add has a thread serve the connection. Never blocks. */
void sg_serving_add(struct sg_serving *serving, struct sg_connection *connection);

#endif
