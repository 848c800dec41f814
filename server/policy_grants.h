/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a policy, for what decides by it (policy.c) and for what puts that into words
 * (policy_text.c); nobody else includes this.
 */
#ifndef SG_POLICY_GRANTS_H
#define SG_POLICY_GRANTS_H

#include <stdatomic.h>

#include "server/policy.h"

/* Texts are owned. */
struct sg_grant {
    char *name;
    size_t index;
    unsigned may; /* enum sg_right */
    char **keysets;
    size_t num_keysets;
    bool is_on_all_keysets;

    /* Who: what is not given is not asked. Nothing given and not is_anybody: nobody. */
    bool is_anybody;
    char *user; /* NULL: not given */
    uid_t uid;
    char *group; /* NULL: not given */
    gid_t gid;
    char *exe;  /* NULL: not given */
    char *unit; /* a glob; NULL: not given */
    bool has_exe_sha256;
    uint8_t exe_sha256[32];

    struct sg_claim_rules *claims; /* owned */
    uint32_t max_ttl_s, max_live_tokens;
};

struct sg_policy {
    atomic_uint num_refs;
    unsigned facts;
    size_t num;
    struct sg_grant grants[];
};

/* sg_grant_failing returns the first selector of the grant that does not match, in the order of enum
 * sg_selector, which is that of what it costs to find out. Updates query->facts. */
enum sg_selector sg_grant_failing(const struct sg_grant *grant, struct sg_policy_query *query);

#endif
