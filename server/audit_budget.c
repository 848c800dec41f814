/* SPDX-License-Identifier: Apache-2.0
 *
 * A uid's place is found by its number and a few steps on; the place of one whose budget is full again, and
 * of whom there is nothing to tell, can be taken by another, since a new one begins with a full budget too.
 */
#include "server/audit_budget.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define BUDGET_STEPS 8u
#define BUDGET_OTHER "other"

void sg_audit_budget_init(struct sg_audit_budget *budget, uint32_t burst, uint32_t per_second)
{
    budget->burst = burst;
    budget->per_second = per_second;
    budget->others.tokens_milli = (uint64_t)burst * 1000u;
    budget->all.tokens_milli = (uint64_t)burst * 1000u;
}

static void budget_refill(const struct sg_audit_budget *budget, struct sg_audit_budget_entry *entry,
                          uint64_t now_ms)
{
    uint64_t most = (uint64_t)budget->burst * 1000u;
    uint64_t past_ms = now_ms > entry->at_ms ? now_ms - entry->at_ms : 0;
    /* A thousandth of a record each millisecond for each record a second. */
    uint64_t more = past_ms < most ? past_ms * budget->per_second : most;
    entry->tokens_milli = more < most - entry->tokens_milli ? entry->tokens_milli + more : most;
    entry->at_ms = now_ms > entry->at_ms ? now_ms : entry->at_ms;
}

static bool budget_is_idle(const struct sg_audit_budget *budget,
                           const struct sg_audit_budget_entry *entry)
{
    return entry->num == 0 && entry->tokens_milli == (uint64_t)budget->burst * 1000u;
}

static struct sg_audit_budget_entry *budget_find(struct sg_audit_budget *budget, uid_t uid,
                                                 uint64_t now_ms)
{
    struct sg_audit_budget_entry *place = NULL;
    size_t home = ((uint64_t)uid * 0x9E3779B97F4A7C15u >> 32) % SG_AUDIT_BUDGET_UIDS;
    for (size_t i = 0; i < BUDGET_STEPS; i++) {
        struct sg_audit_budget_entry *entry = &budget->entries[(home + i) % SG_AUDIT_BUDGET_UIDS];
        if (entry->is_used) {
            budget_refill(budget, entry, now_ms);
        }
        if (entry->is_used && entry->uid == uid) {
            return entry;
        }
        if (place == NULL && (!entry->is_used || budget_is_idle(budget, entry))) {
            place = entry;
        }
    }
    if (place == NULL) {
        budget_refill(budget, &budget->others, now_ms);
        return &budget->others;
    }
    *place = (struct sg_audit_budget_entry){.is_used = true,
                                            .uid = uid,
                                            .tokens_milli = (uint64_t)budget->burst * 1000u,
                                            .at_ms = now_ms};
    return place;
}

/* It becomes the name of a member. */
static void budget_make_name(char *name)
{
    for (; *name != '\0'; name++) {
        if (isalnum((unsigned char)*name) == 0 && strchr("._-", *name) == NULL) {
            *name = '_';
        }
    }
}

/* Texts that are cut are the same from then on. */
static void budget_count(struct sg_audit_budget_entry *entry, const char *reason)
{
    char name[SG_AUDIT_BUDGET_REASON];
    (void)snprintf(name, sizeof(name), "%s", reason != NULL ? reason : BUDGET_OTHER);
    budget_make_name(name);
    entry->num++;
    for (size_t i = 0; i < entry->num_reasons; i++) {
        if (strcmp(entry->reasons[i].reason, name) == 0) {
            entry->reasons[i].num++;
            return;
        }
    }
    /* The last place is for all that found none. */
    if (entry->num_reasons == SG_AUDIT_BUDGET_REASONS) {
        entry->reasons[SG_AUDIT_BUDGET_REASONS - 1].num++;
        return;
    }
    bool is_last = entry->num_reasons == SG_AUDIT_BUDGET_REASONS - 1;
    struct sg_audit_reason_count *count = &entry->reasons[entry->num_reasons++];
    (void)snprintf(count->reason, sizeof(count->reason), "%s", is_last ? BUDGET_OTHER : name);
    count->num = 1;
}

bool sg_audit_budget_take(struct sg_audit_budget *budget, uid_t uid, const char *reason,
                          uint64_t now_ms)
{
    /* A record costs the budget of all less than that of one. */
    const uint64_t part_milli = 1000u / SG_AUDIT_BUDGET_TOGETHER;
    struct sg_audit_budget_entry *entry = budget_find(budget, uid, now_ms);
    budget_refill(budget, &budget->all, now_ms);
    if (entry->tokens_milli >= 1000u && budget->all.tokens_milli >= part_milli) {
        entry->tokens_milli -= 1000u;
        budget->all.tokens_milli -= part_milli;
        return true;
    }
    budget_count(entry, reason);
    budget->num_suppressed++;
    return false;
}

struct sg_audit_budget_entry *sg_audit_budget_next(struct sg_audit_budget *budget, size_t *index)
{
    for (; *index < SG_AUDIT_BUDGET_UIDS; (*index)++) {
        if (budget->entries[*index].num != 0) {
            return &budget->entries[(*index)++];
        }
    }
    if (*index == SG_AUDIT_BUDGET_UIDS && budget->others.num != 0) {
        (*index)++;
        return &budget->others;
    }
    return NULL;
}

void sg_audit_budget_told(struct sg_audit_budget_entry *entry)
{
    entry->num = 0;
    entry->num_reasons = 0;
}
