/* SPDX-License-Identifier: Apache-2.0
 *
 * From tables to filters, by libseccomp.
 */
#include "server/keyholder/filter.h"

static bool filter_add_rule(scmp_filter_ctx filter, const struct sg_filter_rule *rule)
{
    for (size_t i = 0; i < rule->num_calls; i++) {
        if (seccomp_rule_add_array(filter, rule->action, rule->calls[i], rule->num_when,
                                   rule->when) != 0) {
            return false;
        }
    }
    return true;
}

static bool filter_fill(scmp_filter_ctx filter, const struct sg_filter_rule *rules,
                        size_t num_rules)
{
    if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0) {
        return false;
    }
    for (size_t i = 0; i < num_rules; i++) {
        if (!filter_add_rule(filter, &rules[i])) {
            return false;
        }
    }
    return true;
}

bool sg_filter_load(uint32_t otherwise, const struct sg_filter_rule *rules, size_t num_rules)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    bool loaded =
        filter != NULL && filter_fill(filter, rules, num_rules) && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return loaded;
}
