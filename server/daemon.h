/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's life: start, serve, stop. Says in the log what goes wrong.
 */
#ifndef SG_DAEMON_H
#define SG_DAEMON_H

#include <signet/status.h>

struct sg_config;
struct sg_options;

/* sg_daemon_load makes the configuration that the options ask for; every fault of the file is a
 * line in the log. */
signet_status sg_daemon_load(const struct sg_options *options,
                             struct sg_config **out) SIGNET_MUST_CHECK;

/* sg_daemon_run serves until SIGTERM or SIGINT. Returns the exit status of the process. */
int sg_daemon_run(const struct sg_options *options);

#endif
