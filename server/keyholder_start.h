/* SPDX-License-Identifier: Apache-2.0
 *
 * How a keyholder's process begins, as the daemon sees it: a control socket, channels, hello, welcome. Private
 * to server/keyholder_process.c.
 */
#ifndef SG_KEYHOLDER_START_H
#define SG_KEYHOLDER_START_H

#include "server/keyholder_process.h"

struct sg_keyholder_start {
    const struct sg_keyholder_process_options *options;
    uint32_t epoch;                         /* another for every start */
    size_t num_channels, num_slow_channels; /* the latter are the last of the former */
    int receive_step_ms; /* after so long without an answer, a receive on a channel fails with EAGAIN */
    /* Asked now and then while the process is waited for; false gives it up. */
    bool (*is_wanted)(void *context);
    void *context;
};

/* sg_keyholder_start_one has one started, and waits until it says what it is. Fills num_channels descriptors,
 * the control socket's, and what the process said of itself; descriptors that are not -1 are the caller's to
 * close, on failure as well. On failure error says what, and what would mend it. Blocks for the time of a
 * start, at most 20 s. */
signet_status sg_keyholder_start_one(const struct sg_keyholder_start *start, int *control_fd,
                                     int *channel_fds, struct sg_keyholder_state *state,
                                     char *error, size_t error_cap) SIGNET_MUST_CHECK;

#endif
