/* SPDX-License-Identifier: Apache-2.0
 *
 * From the text of /proc/PID/cgroup to the unit of the system's service manager (systemd) that a process
 * belongs to. Users may make control groups below those that were given to them (user@UID.service, a service
 * with Delegate=) and name them as they like: so the outermost unit counts, as it does for systemd itself.
 */
#ifndef SG_PEER_UNIT_H
#define SG_PEER_UNIT_H

#include "server/peer_proc.h"

/* sg_peer_unit_parse writes the unit as systemd names it, "\x2d" left as it is; out has room for
 * SG_PEER_MAX_UNIT and a NUL, and is written only if it was found. Else NO_UNIT, OTHER_CGROUPS, or UNREADABLE for
 * what is no such text. */
enum sg_peer_outcome sg_peer_unit_parse(const char *text, char *out);

#endif
