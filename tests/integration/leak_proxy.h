/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands between clients and a daemon's socket, passes every byte on, and looks through all of them, in both
 * directions, for secrets.
 */
#ifndef SG_TEST_LEAK_PROXY_H
#define SG_TEST_LEAK_PROXY_H

#include "tests/support/secret_search.h"

struct leak_proxy;

/* leak_proxy_start listens at path for what is at upstream. The search stays the caller's. */
struct leak_proxy *leak_proxy_start(const char *path, const char *upstream,
                                    const struct secret_search *search);

/* leak_proxy_read copies what was seen so far. */
void leak_proxy_read(struct leak_proxy *proxy, struct secret_report *report);

/* leak_proxy_stop closes all connections. NULL is legal. */
void leak_proxy_stop(struct leak_proxy *proxy);

#endif
