/* SPDX-License-Identifier: Apache-2.0
 *
 * What signet-resolver takes from itself before its first question: every system call but those that it takes to
 * look into /proc, to read files, and to fork a child that does so.
 */
#ifndef SG_CONFINE_RESOLVER_H
#define SG_CONFINE_RESOLVER_H

#include <stdbool.h>

/* sg_confine_resolver: afterwards any other call ends the process. False where the kernel has no seccomp, or the
 * build was made with sanitizers: nothing is in force then. */
bool sg_confine_resolver(void);

#endif
