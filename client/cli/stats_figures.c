/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of the daemon's figures. What it sends is not taken on trust: lists that should be of one
 * length may not be, and what should only grow may not have.
 */
#include <string.h>

#include "client/cli/admin.h"
#include "client/cli/stats.h"
#include "common/buckets.h"
#include "common/rpc.h"

Signet__V1__StatsResponse *cli_stats_get(struct cli *cli, struct signet_client *client)
{
    Signet__V1__StatsRequest request = SIGNET__V1__STATS_REQUEST__INIT;
    return (Signet__V1__StatsResponse *)cli_admin_call(cli, client, SG_METHOD_STATS, &request.base,
                                                       &signet__v1__stats_response__descriptor, 0);
}

/* ---- Durations ---- */

static size_t durations_num_buckets(const Signet__V1__Durations *durations)
{
    if (durations == NULL) {
        return 0;
    }
    return durations->n_counts < durations->n_upper_us ? durations->n_counts
                                                       : durations->n_upper_us;
}

uint64_t cli_durations_num(const Signet__V1__Durations *durations)
{
    uint64_t num = 0;
    for (size_t i = 0; i < durations_num_buckets(durations); i++) {
        num += durations->counts[i];
    }
    return num;
}

uint64_t cli_durations_at(const Signet__V1__Durations *durations, double quantile)
{
    uint64_t rank = sg_buckets_rank(cli_durations_num(durations), quantile);
    uint64_t seen = 0;
    for (size_t i = 0; rank > 0 && i < durations_num_buckets(durations); i++) {
        seen += durations->counts[i];
        if (seen >= rank) {
            return durations->upper_us[i];
        }
    }
    return 0;
}

/* ---- Differences ---- */

static void figures_take(uint64_t *from, uint64_t what)
{
    *from -= what < *from ? what : *from;
}

static void figures_take_durations(Signet__V1__Durations *durations,
                                   const Signet__V1__Durations *before)
{
    size_t at = 0;
    size_t num = durations_num_buckets(durations);
    for (size_t i = 0; i < durations_num_buckets(before); i++) {
        while (at < num && durations->upper_us[at] < before->upper_us[i]) {
            at++;
        }
        if (at < num && durations->upper_us[at] == before->upper_us[i]) {
            figures_take(&durations->counts[at], before->counts[i]);
        }
    }
    if (durations != NULL && before != NULL) {
        figures_take(&durations->sum_us, before->sum_us);
    }
}

static void figures_take_results(Signet__V1__MethodStats *method,
                                 const Signet__V1__MethodStats *before)
{
    for (size_t i = 0; i < method->n_results; i++) {
        Signet__V1__ResultCount *result = method->results[i];
        for (size_t k = 0; k < before->n_results; k++) {
            if (before->results[k]->status == result->status &&
                before->results[k]->rejection == result->rejection) {
                figures_take(&result->count, before->results[k]->count);
            }
        }
    }
}

static void figures_take_rejections(Signet__V1__RejectionCount **rejections, size_t num,
                                    Signet__V1__RejectionCount *const *before, size_t num_before)
{
    for (size_t i = 0; i < num; i++) {
        for (size_t k = 0; k < num_before; k++) {
            if (before[k]->reason == rejections[i]->reason) {
                figures_take(&rejections[i]->count, before[k]->count);
            }
        }
    }
}

static void figures_take_methods(Signet__V1__StatsResponse *stats,
                                 const Signet__V1__StatsResponse *before)
{
    for (size_t i = 0; i < stats->n_methods; i++) {
        Signet__V1__MethodStats *method = stats->methods[i];
        for (size_t k = 0; k < before->n_methods; k++) {
            const Signet__V1__MethodStats *then = before->methods[k];
            if (strcmp(then->method, method->method) == 0) {
                figures_take_results(method, then);
                figures_take(&method->num_items, then->num_items);
                figures_take_durations(method->queue, then->queue);
                figures_take_durations(method->crypto, then->crypto);
                figures_take_durations(method->total, then->total);
            }
        }
    }
}

static void figures_take_algs(Signet__V1__StatsResponse *stats,
                              const Signet__V1__StatsResponse *before)
{
    for (size_t i = 0; i < stats->n_algs; i++) {
        for (size_t k = 0; k < before->n_algs; k++) {
            if (strcmp(before->algs[k]->alg, stats->algs[i]->alg) == 0) {
                figures_take_durations(stats->algs[i]->signing, before->algs[k]->signing);
                figures_take_durations(stats->algs[i]->verifying, before->algs[k]->verifying);
            }
        }
    }
}

/* They come in one order, and at most one more before them than the last time: the search begins near. */
static const Signet__V1__KeysetStats *figures_find_keyset(const Signet__V1__StatsResponse *before,
                                                          const Signet__V1__KeysetStats *keyset,
                                                          size_t near)
{
    for (size_t i = 0; i < before->n_keysets; i++) {
        size_t at = (near + before->n_keysets - i % before->n_keysets) % before->n_keysets;
        if (before->keysets[at]->is_other == keyset->is_other &&
            strcmp(before->keysets[at]->keyset, keyset->keyset) == 0) {
            return before->keysets[at];
        }
    }
    return NULL;
}

static void figures_take_keysets(Signet__V1__StatsResponse *stats,
                                 const Signet__V1__StatsResponse *before)
{
    for (size_t i = 0; i < stats->n_keysets; i++) {
        Signet__V1__KeysetStats *keyset = stats->keysets[i];
        const Signet__V1__KeysetStats *then = figures_find_keyset(before, keyset, i);
        if (then != NULL) {
            figures_take(&keyset->num_signed, then->num_signed);
            figures_take(&keyset->num_not_signed, then->num_not_signed);
            figures_take(&keyset->num_good, then->num_good);
            figures_take(&keyset->num_not_judged, then->num_not_judged);
            figures_take_rejections(keyset->rejections, keyset->n_rejections, then->rejections,
                                    then->n_rejections);
        }
    }
}

static void figures_take_uid(Signet__V1__UidStats *uid, const Signet__V1__UidStats *before)
{
    figures_take(&uid->num_requests, before->num_requests);
    figures_take(&uid->num_denied, before->num_denied);
    figures_take(&uid->num_errors, before->num_errors);
    figures_take(&uid->num_signed, before->num_signed);
    figures_take(&uid->num_good, before->num_good);
    figures_take(&uid->num_rejected, before->num_rejected);
    figures_take(&uid->cpu_us, before->cpu_us);
    figures_take(&uid->num_refused, before->num_refused);
}

static void figures_take_uids(Signet__V1__StatsResponse *stats,
                              const Signet__V1__StatsResponse *before)
{
    for (size_t i = 0; i < stats->n_uids; i++) {
        for (size_t k = 0; k < before->n_uids; k++) {
            if (before->uids[k]->uid == stats->uids[i]->uid &&
                before->uids[k]->is_other == stats->uids[i]->is_other) {
                figures_take_uid(stats->uids[i], before->uids[k]);
            }
        }
    }
}

static void figures_take_server(Signet__V1__ServerStats *server,
                                const Signet__V1__ServerStats *before)
{
    if (server != NULL && before != NULL) {
        figures_take(&server->num_refused_connections, before->num_refused_connections);
        figures_take(&server->num_protocol_errors, before->num_protocol_errors);
    }
}

static void figures_take_audit(Signet__V1__AuditStats *audit, const Signet__V1__AuditStats *before)
{
    if (audit != NULL && before != NULL) {
        figures_take(&audit->num_records, before->num_records);
        figures_take(&audit->num_dropped, before->num_dropped);
        figures_take(&audit->num_suppressed, before->num_suppressed);
    }
}

void cli_stats_subtract(Signet__V1__StatsResponse *stats, const Signet__V1__StatsResponse *before)
{
    figures_take_server(stats->server, before->server);
    figures_take_methods(stats, before);
    figures_take_algs(stats, before);
    figures_take_rejections(stats->rejections, stats->n_rejections, before->rejections,
                            before->n_rejections);
    figures_take_keysets(stats, before);
    figures_take_uids(stats, before);
    figures_take_audit(stats->audit, before->audit);
}
