/* SPDX-License-Identifier: Apache-2.0
 *
 * System call filters (seccomp) as tables: the keyholder's list of what it needs, and the front's of what
 * it must not have.
 */
#ifndef SG_KEYHOLDER_FILTER_H
#define SG_KEYHOLDER_FILTER_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What becomes of some calls. */
struct sg_filter_rule {
    uint32_t action; /* SCMP_ACT_ALLOW and its like */
    const int *calls;
    size_t num_calls;
    const struct scmp_arg_cmp *when; /* of arguments, all of it; NULL: whatever they are */
    unsigned num_when;
};
#define SG_FILTER_CALLS(calls) (calls), sizeof(calls) / sizeof((calls)[0])

/* sg_filter_load puts a filter in force for every thread of the process, and for good; otherwise is for the
 * calls that no rule is about. Calls by the numbers of another architecture end the process. Also sets
 * no_new_privs. False: nothing is in force. */
bool sg_filter_load(uint32_t otherwise, const struct sg_filter_rule *rules, size_t num_rules);

#endif
