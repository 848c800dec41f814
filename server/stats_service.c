/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts the metrics, and what else the daemon knows of itself, into an answer: one part a method, algorithm,
 * keyset and uid, so that little of it is in memory twice. Names of keysets and numbers of uids are all that
 * it tells of anybody.
 */
#include "server/stats_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/admin_service.h"
#include "server/audit.h"
#include "server/fuse.h"
#include "server/keyring.h"
#include "server/policy.h"
#include "server/quota.h"
#include "signet/v1/admin.pb-c.h"

/* ---- The daemon ---- */

/* Of this process, in bytes; 0 if the kernel does not say. */
static uint64_t stats_resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    /* proc(5): "size resident shared ...", in pages */
    int num = fscanf(file, "%*u %lu", &pages); // NOLINT(cert-err34-c): the kernel's own number
    (void)fclose(file);
    return num == 1 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void stats_tell_server(const struct sg_server_stats *stats, Signet__V1__ServerStats *server)
{
    server->num_connections = stats->num_connections;
    server->max_connections = stats->max_connections;
    server->num_in_flight = stats->num_in_flight;
    server->max_in_flight = stats->max_in_flight;
    server->num_refused_connections = stats->num_refused_connections;
    server->num_protocol_errors = stats->num_protocol_errors;
    server->buffer_bytes = stats->buffer_bytes;
    server->max_buffer_bytes = stats->max_buffer_bytes;
    server->resident_bytes = stats_resident_bytes();
}

static signet_status stats_answer_daemon(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__ServerStats server = SIGNET__V1__SERVER_STATS__INIT;
    struct sg_server_stats stats = {0};
    struct sg_admin_keyholder keyholder;
    part.version = sg_reply_text(service->version);
    part.started_at = service->started.wall_s;
    part.uptime_ms = exchange->now.mono_ms - service->started.mono_ms;
    if (service->read_stats != NULL) {
        service->read_stats(service->stats_context, &stats);
        sg_admin_tell_keyholder(&stats.keyholder, &keyholder);
        part.keyholder = &keyholder.message;
    }
    stats_tell_server(&stats, &server);
    part.server = &server;
    return sg_exchange_append(exchange, &part.base);
}

/* ---- Keys ---- */

static void stats_count_key(const struct sg_key *key, int64_t now, Signet__V1__KeysetKeys *keys)
{
    switch (sg_key_state(key, now)) {
    case SG_KEY_NEXT:
        keys->num_next++;
        break;
    case SG_KEY_ACTIVE:
        keys->num_active++;
        break;
    case SG_KEY_VERIFY_ONLY:
        keys->num_verify_only++;
        break;
    case SG_KEY_RETIRED:
        keys->num_retired++;
        break;
    case SG_KEY_REVOKED:
        keys->num_revoked++;
        break;
    }
}

static signet_status stats_answer_keys(struct sg_exchange *exchange)
{
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < sg_keyring_num_keysets(exchange->keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(exchange->keyring, i);
        Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
        Signet__V1__KeysetKeys keys = SIGNET__V1__KEYSET_KEYS__INIT;
        Signet__V1__KeysetKeys *list[] = {&keys};
        if (keyset->is_internal) {
            continue;
        }
        keys.keyset = sg_reply_text(keyset->name);
        for (size_t k = 0; k < keyset->num_keys; k++) {
            stats_count_key(&keyset->keys[k], exchange->now.wall_s, &keys);
        }
        part.keys = list;
        part.n_keys = 1;
        status = sg_exchange_append(exchange, &part.base);
    }
    return status;
}

/* ---- Methods ---- */

/* A message and what it points to. */
struct stats_durations {
    Signet__V1__Durations message;
    uint64_t upper_us[SG_METRICS_NUM_BUCKETS], counts[SG_METRICS_NUM_BUCKETS];
};

/* NULL if nothing was counted. */
static Signet__V1__Durations *stats_tell_durations(const struct sg_metrics_durations *durations,
                                                   struct stats_durations *out)
{
    size_t num = 0;
    for (size_t i = 0; i < SG_METRICS_NUM_BUCKETS; i++) {
        if (durations->counts[i] > 0) {
            out->upper_us[num] = sg_buckets_upper(i, SG_METRICS_STEP_BITS);
            out->counts[num++] = durations->counts[i];
        }
    }
    signet__v1__durations__init(&out->message);
    out->message.upper_us = out->upper_us;
    out->message.n_upper_us = num;
    out->message.counts = out->counts;
    out->message.n_counts = num;
    out->message.sum_us = durations->sum_us;
    return num > 0 ? &out->message : NULL;
}

/* All that one method's part takes; too much for a stack. */
struct stats_method {
    struct sg_metrics_method read;
    Signet__V1__MethodStats message;
    Signet__V1__ResultCount results[SG_METRICS_NUM_STATUSES + SG_METRICS_NUM_REASONS];
    Signet__V1__ResultCount *result_list[SG_METRICS_NUM_STATUSES + SG_METRICS_NUM_REASONS];
    struct stats_durations queue, crypto, total;
};

static void stats_add_result(struct stats_method *method, uint32_t status, size_t reason,
                             uint64_t count)
{
    if (count == 0) {
        return;
    }
    Signet__V1__ResultCount *result = &method->results[method->message.n_results];
    signet__v1__result_count__init(result);
    result->status = status;
    result->rejection = (Signet__V1__RejectionReason)reason;
    result->count = count;
    method->result_list[method->message.n_results++] = result;
}

/* NULL: nobody called it. */
static Signet__V1__MethodStats *stats_tell_method(const struct sg_metrics *metrics, size_t number,
                                                  struct stats_method *method)
{
    const char *name = sg_dispatch_method_name(number);
    sg_metrics_read_method(metrics, number, &method->read);
    signet__v1__method_stats__init(&method->message);
    method->message.method = sg_reply_text(name);
    method->message.results = method->result_list;
    method->message.num_items = method->read.num_items;
    for (uint32_t i = 0; i < SG_METRICS_NUM_STATUSES; i++) {
        stats_add_result(method, i, SIGNET_REASON_NONE, method->read.statuses[i]);
    }
    for (size_t i = 0; i < SG_METRICS_NUM_REASONS; i++) {
        stats_add_result(method, SIGNET_OK, i, method->read.rejections[i]);
    }
    method->message.queue = stats_tell_durations(&method->read.queue, &method->queue);
    method->message.crypto = stats_tell_durations(&method->read.crypto, &method->crypto);
    method->message.total = stats_tell_durations(&method->read.total, &method->total);
    return method->message.n_results > 0 ? &method->message : NULL;
}

static signet_status stats_answer_methods(struct sg_exchange *exchange)
{
    const struct sg_metrics *metrics = exchange->service->metrics;
    struct stats_method *method = malloc(sizeof(*method));
    if (method == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i <= sg_metrics_num_methods(metrics); i++) {
        Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
        Signet__V1__MethodStats *list[] = {stats_tell_method(metrics, i, method)};
        part.methods = list;
        part.n_methods = list[0] != NULL ? 1 : 0;
        status = sg_exchange_append(exchange, &part.base);
    }
    free(method);
    return status;
}

/* ---- Algorithms ---- */

static signet_status stats_answer_alg(struct sg_exchange *exchange, enum sg_alg alg)
{
    const struct sg_metrics *metrics = exchange->service->metrics;
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__AlgStats message = SIGNET__V1__ALG_STATS__INIT;
    Signet__V1__AlgStats *list[] = {&message};
    struct sg_metrics_durations read;
    struct stats_durations signing;
    struct stats_durations verifying;
    message.alg = sg_reply_text(sg_alg_info(alg)->config_name);
    sg_metrics_read_alg(metrics, SG_METRICS_SIGN, alg, &read);
    message.signing = stats_tell_durations(&read, &signing);
    sg_metrics_read_alg(metrics, SG_METRICS_VERIFY, alg, &read);
    message.verifying = stats_tell_durations(&read, &verifying);
    if (message.signing == NULL && message.verifying == NULL) {
        return SIGNET_OK;
    }
    part.algs = list;
    part.n_algs = 1;
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_algs(struct sg_exchange *exchange)
{
    signet_status status = SIGNET_OK;
    for (unsigned i = SG_ALG_UNSET + 1; status == SIGNET_OK && i < SG_ALG_COUNT; i++) {
        status = stats_answer_alg(exchange, (enum sg_alg)i);
    }
    return status;
}

/* ---- Rejections, keysets and uids ---- */

/* Returns how many there are. */
static size_t stats_tell_rejections(const uint64_t *counts, Signet__V1__RejectionCount *rejections,
                                    Signet__V1__RejectionCount **list)
{
    size_t num = 0;
    for (size_t i = 0; i < SG_METRICS_NUM_REASONS; i++) {
        if (counts[i] > 0) {
            signet__v1__rejection_count__init(&rejections[num]);
            rejections[num].reason = (Signet__V1__RejectionReason)i;
            rejections[num].count = counts[i];
            list[num] = &rejections[num];
            num++;
        }
    }
    return num;
}

static signet_status stats_answer_rejections(struct sg_exchange *exchange)
{
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__RejectionCount rejections[SG_METRICS_NUM_REASONS];
    Signet__V1__RejectionCount *list[SG_METRICS_NUM_REASONS];
    uint64_t counts[SG_METRICS_NUM_REASONS];
    sg_metrics_read_rejections(exchange->service->metrics, counts);
    part.rejections = list;
    part.n_rejections = stats_tell_rejections(counts, rejections, list);
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_keyset(struct sg_exchange *exchange, size_t index)
{
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__KeysetStats message = SIGNET__V1__KEYSET_STATS__INIT;
    Signet__V1__KeysetStats *list[] = {&message};
    Signet__V1__RejectionCount rejections[SG_METRICS_NUM_REASONS];
    Signet__V1__RejectionCount *rejection_list[SG_METRICS_NUM_REASONS];
    struct sg_metrics_keyset read;
    sg_metrics_read_keyset(exchange->service->metrics, index, &read);
    message.is_other = read.is_other;
    message.keyset = sg_reply_text(read.name);
    message.num_signed = read.num_signed;
    message.num_not_signed = read.num_not_signed;
    message.num_good = read.num_good;
    message.num_not_judged = read.num_not_judged;
    message.rejections = rejection_list;
    message.n_rejections = stats_tell_rejections(read.rejections, rejections, rejection_list);
    if (read.is_other && read.num_signed + read.num_not_signed + read.num_good +
                                 read.num_not_judged + message.n_rejections ==
                             0) {
        return SIGNET_OK;
    }
    part.keysets = list;
    part.n_keysets = 1;
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_keysets(struct sg_exchange *exchange)
{
    signet_status status = SIGNET_OK;
    size_t num = sg_metrics_num_keysets(exchange->service->metrics);
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = stats_answer_keyset(exchange, i);
    }
    return status;
}

/* What a uid has of the services socket. */
struct stats_account {
    uid_t uid;
    struct sg_quota_stats found;
};

static void stats_find_account(void *context, const struct sg_quota_stats *stats)
{
    struct stats_account *account = context;
    if (stats->uid == account->uid) {
        account->found = *stats;
    }
}

static void stats_tell_account(const struct sg_exchange *exchange, Signet__V1__UidStats *message)
{
    struct stats_account account = {.uid = message->uid};
    if (exchange->service->quota == NULL || message->is_other) {
        return;
    }
    sg_quota_visit(exchange->service->quota, stats_find_account, &account);
    message->num_connections = account.found.num_connections;
    message->num_in_flight = account.found.num_in_flight;
    message->cpu_us = account.found.cpu_used_us;
    message->num_refused = account.found.num_refused;
}

static signet_status stats_answer_uid(struct sg_exchange *exchange, size_t index)
{
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__UidStats message = SIGNET__V1__UID_STATS__INIT;
    Signet__V1__UidStats *list[] = {&message};
    struct sg_metrics_uid read;
    sg_metrics_read_uid(exchange->service->metrics, index, &read);
    message.is_other = read.is_other;
    message.uid = read.uid;
    message.num_requests = read.num_requests;
    message.num_denied = read.num_denied;
    message.num_errors = read.num_errors;
    message.num_signed = read.num_signed;
    message.num_good = read.num_good;
    message.num_rejected = read.num_rejected;
    if (read.is_other && read.num_requests == 0) {
        return SIGNET_OK;
    }
    stats_tell_account(exchange, &message);
    part.uids = list;
    part.n_uids = 1;
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_uids(struct sg_exchange *exchange)
{
    signet_status status = SIGNET_OK;
    size_t num = sg_metrics_num_uids(exchange->service->metrics);
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = stats_answer_uid(exchange, i);
    }
    return status;
}

/* ---- The audit and grants ---- */

static signet_status stats_answer_audit(struct sg_exchange *exchange)
{
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__AuditStats message = SIGNET__V1__AUDIT_STATS__INIT;
    struct sg_audit_stats stats;
    if (exchange->service->audit == NULL) {
        return SIGNET_OK;
    }
    sg_audit_stats_get(exchange->service->audit, &stats);
    message.num_records = stats.num_written;
    message.num_dropped = stats.num_dropped;
    message.num_suppressed = stats.num_suppressed;
    message.num_waiting = stats.num_waiting;
    message.is_stuck = stats.is_stuck;
    message.last_seq = stats.last_seq;
    message.head_seq = stats.head_seq;
    part.audit = &message;
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_grant(struct sg_exchange *exchange, const struct sg_grant *grant)
{
    Signet__V1__StatsResponse part = SIGNET__V1__STATS_RESPONSE__INIT;
    Signet__V1__GrantStats message = SIGNET__V1__GRANT_STATS__INIT;
    Signet__V1__GrantStats *list[] = {&message};
    struct sg_fuse_grant found = {0};
    if (exchange->service->fuse != NULL) {
        sg_fuse_read(exchange->service->fuse, sg_grant_name(grant), exchange->now.wall_s, &found);
    }
    message.name = sg_reply_text(sg_grant_name(grant));
    message.num_live_tokens = found.num_live;
    message.max_live_tokens = sg_grant_max_live_tokens(grant);
    message.is_frozen = found.frozen_since != 0;
    part.grants = list;
    part.n_grants = 1;
    return sg_exchange_append(exchange, &part.base);
}

static signet_status stats_answer_grants(struct sg_exchange *exchange)
{
    const struct sg_policy *policy = sg_keyring_policy(exchange->keyring);
    signet_status status = SIGNET_OK;
    size_t num = policy != NULL ? sg_policy_num_grants(policy) : 0;
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = stats_answer_grant(exchange, sg_policy_grant(policy, i));
    }
    return status;
}

signet_status sg_stats_get(struct sg_exchange *exchange)
{
    static sg_handler *const counted[] = {stats_answer_methods, stats_answer_algs,
                                          stats_answer_rejections, stats_answer_keysets,
                                          stats_answer_uids};
    signet_status status = stats_answer_daemon(exchange);
    if (status == SIGNET_OK) {
        status = stats_answer_keys(exchange);
    }
    if (status == SIGNET_OK) {
        status = stats_answer_audit(exchange);
    }
    if (status == SIGNET_OK) {
        status = stats_answer_grants(exchange);
    }
    bool is_counting = exchange->service->metrics != NULL;
    for (size_t i = 0;
         is_counting && status == SIGNET_OK && i < sizeof(counted) / sizeof(counted[0]); i++) {
        status = counted[i](exchange);
    }
    return status;
}
