/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's process at work: its beginning, and its channels to the daemon.
 */
#ifndef SG_KEYHOLDER_CHANNELS_H
#define SG_KEYHOLDER_CHANNELS_H

/* The control socket, as supervisors pass sockets. */
#define SG_CHANNELS_CONTROL_FD 3

/* sg_channels_run reads the hello, confines the process, answers, and serves the channels until the daemon
 * closes one of them. Returns the process's exit status: 0 if the daemon ended or closed it, 1 if it could
 * not begin, which the daemon was told. There is one thread when it is called. */
int sg_channels_run(void);

#endif
