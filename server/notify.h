/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling a service manager how things stand (sd_notify(3)), without its library.
 */
#ifndef SG_NOTIFY_H
#define SG_NOTIFY_H

/* sg_notify sends state, such as "READY=1", to the socket that $NOTIFY_SOCKET names. Nothing
 * happens without one, or if it cannot be reached. Never blocks. */
void sg_notify(const char *state);

#endif
