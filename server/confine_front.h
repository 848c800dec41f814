/* SPDX-License-Identifier: Apache-2.0
 *
 * What the daemon's front, which parses what others send, takes from itself: the system calls that start
 * programs, look into other processes, or change the system. Before its first other thread.
 */
#ifndef SG_CONFINE_FRONT_H
#define SG_CONFINE_FRONT_H

#include <stdbool.h>

/* sg_confine_front: afterwards such a call fails with EPERM, in this process and whatever it becomes. False
 * where the kernel has no seccomp, or the build was made with sanitizers, which need some of these calls:
 * nothing is in force then. */
bool sg_confine_front(void);

#endif
