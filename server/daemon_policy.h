/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's parts that hold peers to account: the audit, the ceilings of grants, what is revoked, the trust board
 * that says so to all, and what is used up. Made once keys are there, and taken down after the last request.
 */
#ifndef SG_DAEMON_POLICY_H
#define SG_DAEMON_POLICY_H

#include <stdbool.h>

#include "server/audit_head.h"

struct sg_config;
struct sg_consumed;
struct sg_fuse;
struct sg_keymaster;
struct sg_publisher;
struct sg_revocations;

/* Zeroed: nothing is there. */
struct sg_daemon_policy {
    struct sg_keymaster *keymaster;
    struct sg_audit_head head;
    struct sg_audit *audit; /* NULL: it is off */
    struct sg_fuse *fuse;
    struct sg_publisher *publisher; /* of the trust board */
    struct sg_revocations *revocations;
    struct sg_consumed *consumed;
};

/* sg_daemon_policy_start makes all of it; what fails is in the log. */
bool sg_daemon_policy_start(struct sg_daemon_policy *part, const struct sg_config *config,
                            struct sg_keymaster *keymaster, struct sg_keyholder *keyholder);
/* sg_daemon_policy_note records what the daemon itself did; texts as in struct sg_audit_event. */
void sg_daemon_policy_note(const struct sg_daemon_policy *part, const char *event,
                           const char *verdict, const char *detail);
void sg_daemon_policy_stop(struct sg_daemon_policy *part);

#endif
