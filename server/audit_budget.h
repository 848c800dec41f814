/* SPDX-License-Identifier: Apache-2.0
 *
 * How many records a uid may cause at will, and what became of those above that. A table of a fixed size,
 * whatever number of uids there are. Not for several threads at once.
 */
#ifndef SG_AUDIT_BUDGET_H
#define SG_AUDIT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SG_AUDIT_BUDGET_UIDS 256u /* of whom each has a budget of its own; all others share one */
/* So many uids may use up their budgets together; what more there are share that. */
#define SG_AUDIT_BUDGET_TOGETHER 16u
#define SG_AUDIT_BUDGET_REASONS  8u /* that are counted by name; all others as "other" */
#define SG_AUDIT_BUDGET_REASON   40u

struct sg_audit_reason_count {
    char reason[SG_AUDIT_BUDGET_REASON];
    uint64_t num;
};

struct sg_audit_budget_entry {
    bool is_used;
    uid_t uid;
    uint64_t tokens_milli; /* thousandths of a record */
    uint64_t at_ms;        /* when that was so */
    uint64_t num;          /* suppressed, and not told of yet */
    struct sg_audit_reason_count reasons[SG_AUDIT_BUDGET_REASONS];
    size_t num_reasons;
};

struct sg_audit_budget {
    uint32_t burst, per_second;
    struct sg_audit_budget_entry entries[SG_AUDIT_BUDGET_UIDS];
    struct sg_audit_budget_entry others;
    struct sg_audit_budget_entry
        all;                 /* of everybody together: SG_AUDIT_BUDGET_TOGETHER times that of one */
    uint64_t num_suppressed; /* ever */
};

/* sg_audit_budget_init: of a zeroed table. */
void sg_audit_budget_init(struct sg_audit_budget *budget, uint32_t burst, uint32_t per_second);

/* sg_audit_budget_take says whether a record of this uid may be written now, which is then taken from its
 * budget. Else it is counted under its reason (NULL: "other"). */
bool sg_audit_budget_take(struct sg_audit_budget *budget, uid_t uid, const char *reason,
                          uint64_t now_ms) __attribute__((warn_unused_result));

/* sg_audit_budget_next finds an entry at or behind *index with something to tell of; NULL: there is no
 * more. Its uid is only one of several if it is &budget->others. */
struct sg_audit_budget_entry *sg_audit_budget_next(struct sg_audit_budget *budget, size_t *index);
/* sg_audit_budget_told: it is told of. */
void sg_audit_budget_told(struct sg_audit_budget_entry *entry);

#endif
