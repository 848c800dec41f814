/* SPDX-License-Identifier: Apache-2.0
 *
 * The launcher: a process beside the daemon that starts keyholders for it, since the daemon itself gives
 * up the rights that this takes (other users, new programs) before it reads a byte from outside. It is
 * forked from the daemon first of all, holds nothing secret, and understands one message of two bytes.
 * It ends with the daemon.
 */
#ifndef SG_LAUNCHER_H
#define SG_LAUNCHER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sg_launcher_options {
    const char *program; /* of the keyholder */
    /* To run it as, if change_user; else as whoever this is. */
    bool change_user;
    uid_t uid;
    gid_t gid;
};

/* sg_launcher_start forks it. Before the first other thread. INTERNAL if it cannot be started. */
signet_status sg_launcher_start(const struct sg_launcher_options *options, int *out_fd,
                                pid_t *out_pid) SIGNET_MUST_CHECK;

/* sg_launcher_stop ends the launcher, and the keyholder that it started last, and waits for both. Nothing
 * happens for -1. */
void sg_launcher_stop(int launcher_fd, pid_t pid);

/* sg_launcher_ask has a keyholder started, and gives the daemon's end of its control socket. UNAVAILABLE if
 * the launcher has ended or does not answer within 2 s, RESOURCE_EXHAUSTED if there is no process to be had.
 * One thread at a time. Blocks for the time of a fork. */
signet_status sg_launcher_ask(int launcher_fd, int *out_fd) SIGNET_MUST_CHECK;

#endif
