/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenMetrics 1.0 (github.com/OpenObservability/OpenMetrics): families one after the other, all samples of a
 * family together, each set of labels once.
 */
#include "client/cli/openmetrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/output.h"
#include "client/cli/stats.h"

/* Thresholds are powers of two microseconds up to 67 s, which the daemon's buckets are told apart at. */
#define METRICS_NUM_THRESHOLDS 27u

/* Stands for what the daemon does not tell apart. No keyset has this name. */
static const char metrics_others[] = "(others)";

/* ---- Lines ---- */

/* unit: "" if there is none; else name ends in it. */
static void metrics_family(FILE *file, const char *name, const char *type, const char *unit,
                           const char *help)
{
    (void)fprintf(file, "# TYPE signet_%s %s\n", name, type);
    if (unit[0] != '\0') {
        (void)fprintf(file, "# UNIT signet_%s %s\n", name, unit);
    }
    (void)fprintf(file, "# HELP signet_%s %s\n", name, help);
}

/* The value of a label: line feeds, quotes and backslashes are escaped as the format asks for, and what could
 * drive a terminal as everywhere. */
static void metrics_value(FILE *file, const char *text)
{
    for (;;) {
        size_t len = strcspn(text, "\n");
        char *line = cli_escape(text, len);
        for (const char *at = line; *at != '\0'; at++) {
            if (*at == '"' || *at == '\\') {
                (void)fputc('\\', file);
            }
            (void)fputc(*at, file);
        }
        free(line);
        if (text[len] == '\0') {
            return;
        }
        (void)fputs("\\n", file);
        text += len + 1;
    }
}

struct metrics_label {
    const char *name; /* NULL: there are no more */
    const char *value;
};
#define METRICS_MAX_LABELS 3u

static void metrics_labels(FILE *file, const struct metrics_label *labels, const char *threshold)
{
    const char *before = "{";
    for (size_t i = 0; i < METRICS_MAX_LABELS && labels != NULL && labels[i].name != NULL; i++) {
        (void)fprintf(file, "%s%s=\"", before, labels[i].name);
        metrics_value(file, labels[i].value);
        (void)fputc('"', file);
        before = ",";
    }
    if (threshold != NULL) {
        (void)fprintf(file, "%sle=\"%s\"", before, threshold);
        before = ",";
    }
    (void)fputs(before[0] == ',' ? "} " : " ", file);
}

/* suffix: "_total" for a counter, "" for a gauge. */
static void metrics_count(FILE *file, const char *name, const char *suffix,
                          const struct metrics_label *labels, uint64_t count)
{
    (void)fprintf(file, "signet_%s%s", name, suffix);
    metrics_labels(file, labels, NULL);
    (void)fprintf(file, "%" PRIu64 "\n", count);
}

static void metrics_seconds(FILE *file, const char *name, const char *suffix,
                            const struct metrics_label *labels, uint64_t us)
{
    (void)fprintf(file, "signet_%s%s", name, suffix);
    metrics_labels(file, labels, NULL);
    (void)fprintf(file, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

/* A family of one sample. */
static void metrics_gauge(FILE *file, const char *name, const char *unit, const char *help,
                          uint64_t value)
{
    metrics_family(file, name, "gauge", unit, help);
    metrics_count(file, name, "", NULL, value);
}

static void metrics_counter(FILE *file, const char *name, const char *help, uint64_t value)
{
    metrics_family(file, name, "counter", "", help);
    metrics_count(file, name, "_total", NULL, value);
}

/* ---- Histograms ---- */

/* How many durations are below a power of two microseconds. */
static uint64_t metrics_num_below(const Signet__V1__Durations *durations, uint64_t threshold_us)
{
    uint64_t num = 0;
    for (size_t i = 0; i < durations->n_counts && i < durations->n_upper_us; i++) {
        num += durations->upper_us[i] < threshold_us ? durations->counts[i] : 0;
    }
    return num;
}

static void metrics_histogram(FILE *file, const char *name, const struct metrics_label *labels,
                              const Signet__V1__Durations *durations)
{
    char threshold[32];
    if (durations == NULL) {
        return;
    }
    for (unsigned i = 0; i < METRICS_NUM_THRESHOLDS; i++) {
        uint64_t us = UINT64_C(1) << i;
        /* As Go writes numbers, which is what the format calls canonical. */
        (void)snprintf(threshold, sizeof(threshold), "%.9g", (double)us / 1e6);
        (void)fprintf(file, "signet_%s_bucket", name);
        metrics_labels(file, labels, threshold);
        (void)fprintf(file, "%" PRIu64 "\n", metrics_num_below(durations, us));
    }
    (void)fprintf(file, "signet_%s_bucket", name);
    metrics_labels(file, labels, "+Inf");
    (void)fprintf(file, "%" PRIu64 "\n", cli_durations_num(durations));
    metrics_count(file, name, "_count", labels, cli_durations_num(durations));
    metrics_seconds(file, name, "_sum", labels, durations->sum_us);
}

/* ---- The daemon ---- */

static void metrics_write_server(FILE *file, const Signet__V1__ServerStats *server)
{
    metrics_gauge(file, "connections", "", "Open connections.", server->num_connections);
    metrics_gauge(file, "connections_limit", "", "Connections that may be open.",
                  server->max_connections);
    metrics_gauge(file, "requests_in_flight", "", "Requests being worked on.",
                  server->num_in_flight);
    metrics_gauge(file, "requests_in_flight_limit", "", "Requests that may be worked on.",
                  server->max_in_flight);
    metrics_counter(file, "connections_refused", "Connections closed because of a limit.",
                    server->num_refused_connections);
    metrics_counter(file, "connections_broken", "Connections closed for breaking the protocol.",
                    server->num_protocol_errors);
    metrics_gauge(file, "resident_memory_bytes", "bytes", "Memory of the daemon.",
                  server->resident_bytes);
    metrics_gauge(file, "buffer_memory_bytes", "bytes",
                  "Memory for partly read requests and unsent replies.", server->buffer_bytes);
    metrics_gauge(file, "buffer_memory_limit_bytes", "bytes", "What that memory may be.",
                  server->max_buffer_bytes);
}

static void metrics_write_daemon(FILE *file, const Signet__V1__StatsResponse *stats)
{
    const struct metrics_label version[METRICS_MAX_LABELS] = {{"version", stats->version}};
    metrics_family(file, "build", "info", "", "The daemon.");
    metrics_count(file, "build", "_info", version, 1);
    metrics_family(file, "start_time_seconds", "gauge", "seconds",
                   "When it was started, since 1970.");
    (void)fprintf(file, "signet_start_time_seconds %" PRId64 "\n", stats->started_at);
    metrics_family(file, "uptime_seconds", "gauge", "seconds", "Since when it runs.");
    metrics_seconds(file, "uptime_seconds", "", NULL, stats->uptime_ms * 1000);
    if (stats->keyholder != NULL) {
        metrics_gauge(file, "keyholder_up", "", "Whether the process with the keys answers.",
                      stats->keyholder->is_up ? 1 : 0);
        metrics_counter(file, "keyholder_restarts", "How often it was started again.",
                        stats->keyholder->num_restarts);
    }
    if (stats->server != NULL) {
        metrics_write_server(file, stats->server);
    }
}

/* ---- Calls ---- */

static void metrics_write_results(FILE *file, const Signet__V1__MethodStats *method)
{
    for (size_t i = 0; i < method->n_results; i++) {
        const Signet__V1__ResultCount *result = method->results[i];
        bool is_rejection = result->status == SIGNET_OK && result->rejection != 0;
        signet_status status = is_rejection ? SIGNET_REJECTED : (signet_status)result->status;
        const struct metrics_label labels[METRICS_MAX_LABELS] = {
            {"method", method->method},
            {"result", signet_status_name(status)},
            {"reason", is_rejection ? signet_reason_name((signet_reason)result->rejection) : ""},
        };
        metrics_count(file, "calls", "_total", labels, result->count);
    }
}

enum metrics_time {
    METRICS_QUEUE,
    METRICS_CRYPTO,
    METRICS_TOTAL
};

static void metrics_write_times(FILE *file, const Signet__V1__StatsResponse *stats,
                                enum metrics_time time, const char *name, const char *help)
{
    metrics_family(file, name, "histogram", "seconds", help);
    for (size_t i = 0; i < stats->n_methods; i++) {
        const Signet__V1__MethodStats *method = stats->methods[i];
        const struct metrics_label labels[METRICS_MAX_LABELS] = {{"method", method->method}};
        metrics_histogram(file, name, labels,
                          time == METRICS_QUEUE    ? method->queue
                          : time == METRICS_CRYPTO ? method->crypto
                                                   : method->total);
    }
}

static void metrics_write_methods(FILE *file, const Signet__V1__StatsResponse *stats)
{
    metrics_family(file, "calls", "counter", "", "Calls that were answered, and how.");
    for (size_t i = 0; i < stats->n_methods; i++) {
        metrics_write_results(file, stats->methods[i]);
    }
    metrics_family(file, "call_items", "counter", "", "Requests in calls, those of batches each.");
    for (size_t i = 0; i < stats->n_methods; i++) {
        const struct metrics_label labels[METRICS_MAX_LABELS] = {
            {"method", stats->methods[i]->method}};
        metrics_count(file, "call_items", "_total", labels, stats->methods[i]->num_items);
    }
    metrics_write_times(file, stats, METRICS_TOTAL, "call_duration_seconds",
                        "From reading a request until its answer was ready.");
    metrics_write_times(file, stats, METRICS_QUEUE, "call_queue_seconds",
                        "From reading a request until work on it was begun.");
    metrics_write_times(file, stats, METRICS_CRYPTO, "call_crypto_seconds",
                        "In the keyholder and in checking signatures.");
}

/* ---- Tokens ---- */

static void metrics_write_algs(FILE *file, const Signet__V1__StatsResponse *stats)
{
    static const char name[] = "token_crypto_seconds";
    metrics_family(file, name, "histogram", "seconds", "What the signature of a token took.");
    for (size_t i = 0; i < stats->n_algs; i++) {
        const Signet__V1__AlgStats *alg = stats->algs[i];
        const struct metrics_label sign[METRICS_MAX_LABELS] = {{"alg", alg->alg}, {"act", "sign"}};
        const struct metrics_label verify[METRICS_MAX_LABELS] = {{"alg", alg->alg},
                                                                 {"act", "verify"}};
        metrics_histogram(file, name, sign, alg->signing);
        metrics_histogram(file, name, verify, alg->verifying);
    }
}

static void metrics_write_token(FILE *file, const char *keyset, const char *outcome,
                                const char *reason, uint64_t count)
{
    const struct metrics_label labels[METRICS_MAX_LABELS] = {
        {"keyset", keyset}, {"outcome", outcome}, {"reason", reason}};
    if (count > 0) {
        metrics_count(file, "tokens", "_total", labels, count);
    }
}

static void metrics_write_keysets(FILE *file, const Signet__V1__StatsResponse *stats)
{
    metrics_family(file, "tokens", "counter", "", "Tokens by keyset and what became of them.");
    for (size_t i = 0; i < stats->n_keysets; i++) {
        const Signet__V1__KeysetStats *keyset = stats->keysets[i];
        const char *name = keyset->is_other ? metrics_others : keyset->keyset;
        metrics_write_token(file, name, "signed", "", keyset->num_signed);
        metrics_write_token(file, name, "not_signed", "", keyset->num_not_signed);
        metrics_write_token(file, name, "good", "", keyset->num_good);
        metrics_write_token(file, name, "not_judged", "", keyset->num_not_judged);
        for (size_t k = 0; k < keyset->n_rejections; k++) {
            metrics_write_token(file, name, "rejected",
                                signet_reason_name((signet_reason)keyset->rejections[k]->reason),
                                keyset->rejections[k]->count);
        }
    }
    metrics_family(file, "token_rejections", "counter", "", "Tokens that were refused.");
    for (size_t i = 0; i < stats->n_rejections; i++) {
        const Signet__V1__RejectionCount *rejection = stats->rejections[i];
        const struct metrics_label labels[METRICS_MAX_LABELS] = {
            {"reason", signet_reason_name((signet_reason)rejection->reason)}};
        metrics_count(file, "token_rejections", "_total", labels, rejection->count);
    }
}

static void metrics_write_keys(FILE *file, const Signet__V1__StatsResponse *stats)
{
    metrics_family(file, "keys", "gauge", "", "Keys by keyset and state.");
    for (size_t i = 0; i < stats->n_keys; i++) {
        const Signet__V1__KeysetKeys *keys = stats->keys[i];
        const struct {
            const char *state;
            uint32_t num;
        } states[] = {
            {"next", keys->num_next},
            {"active", keys->num_active},
            {"verify_only", keys->num_verify_only},
            {"retired", keys->num_retired},
            {"revoked", keys->num_revoked},
        };
        for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
            const struct metrics_label labels[METRICS_MAX_LABELS] = {{"keyset", keys->keyset},
                                                                     {"state", states[k].state}};
            metrics_count(file, "keys", "", labels, states[k].num);
        }
    }
}

/* ---- Users ---- */

/* "1000"; the text is valid until the next. */
static const char *metrics_uid(const Signet__V1__UidStats *uid)
{
    static char text[16];
    (void)snprintf(text, sizeof(text), "%" PRIu32, uid->uid);
    return uid->is_other ? metrics_others : text;
}

static void metrics_write_uid_calls(FILE *file, const Signet__V1__UidStats *uid)
{
    uint64_t num_bad = uid->num_denied + uid->num_errors;
    uint64_t num_good = uid->num_requests > num_bad ? uid->num_requests - num_bad : 0;
    const char *name = metrics_uid(uid);
    const struct metrics_label good[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "answered"}};
    const struct metrics_label denied[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "denied"}};
    const struct metrics_label failed[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "failed"}};
    metrics_count(file, "uid_calls", "_total", good, num_good);
    metrics_count(file, "uid_calls", "_total", denied, uid->num_denied);
    metrics_count(file, "uid_calls", "_total", failed, uid->num_errors);
}

static void metrics_write_uid_tokens(FILE *file, const Signet__V1__UidStats *uid)
{
    const char *name = metrics_uid(uid);
    const struct metrics_label made[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "signed"}};
    const struct metrics_label good[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "good"}};
    const struct metrics_label bad[METRICS_MAX_LABELS] = {{"uid", name}, {"outcome", "rejected"}};
    metrics_count(file, "uid_tokens", "_total", made, uid->num_signed);
    metrics_count(file, "uid_tokens", "_total", good, uid->num_good);
    metrics_count(file, "uid_tokens", "_total", bad, uid->num_rejected);
}

static void metrics_write_uid_connections(FILE *file, const Signet__V1__UidStats *uid)
{
    const struct metrics_label labels[METRICS_MAX_LABELS] = {{"uid", metrics_uid(uid)}};
    metrics_count(file, "uid_connections", "", labels, uid->num_connections);
}

static void metrics_write_uid_in_flight(FILE *file, const Signet__V1__UidStats *uid)
{
    const struct metrics_label labels[METRICS_MAX_LABELS] = {{"uid", metrics_uid(uid)}};
    metrics_count(file, "uid_requests_in_flight", "", labels, uid->num_in_flight);
}

static void metrics_write_uid_cpu(FILE *file, const Signet__V1__UidStats *uid)
{
    const struct metrics_label labels[METRICS_MAX_LABELS] = {{"uid", metrics_uid(uid)}};
    metrics_seconds(file, "uid_cpu_seconds", "_total", labels, uid->cpu_us);
}

static void metrics_write_uid_refused(FILE *file, const Signet__V1__UidStats *uid)
{
    const struct metrics_label labels[METRICS_MAX_LABELS] = {{"uid", metrics_uid(uid)}};
    metrics_count(file, "uid_refused", "_total", labels, uid->num_refused);
}

static void metrics_write_uids(FILE *file, const Signet__V1__StatsResponse *stats)
{
    static const struct {
        const char *name, *type, *unit, *help;
        void (*write)(FILE *file, const Signet__V1__UidStats *uid);
    } families[] = {
        {"uid_calls", "counter", "", "Calls by user and outcome.", metrics_write_uid_calls},
        {"uid_tokens", "counter", "", "Tokens by user and outcome.", metrics_write_uid_tokens},
        {"uid_connections", "gauge", "", "Open connections of a user.",
         metrics_write_uid_connections},
        {"uid_requests_in_flight", "gauge", "", "Requests of a user being worked on.",
         metrics_write_uid_in_flight},
        {"uid_cpu_seconds", "counter", "seconds", "Processor time that a user was charged with.",
         metrics_write_uid_cpu},
        {"uid_refused", "counter", "", "Requests refused because of a user's limits.",
         metrics_write_uid_refused},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        metrics_family(file, families[i].name, families[i].type, families[i].unit,
                       families[i].help);
        for (size_t k = 0; k < stats->n_uids; k++) {
            families[i].write(file, stats->uids[k]);
        }
    }
}

/* ---- The audit and grants ---- */

static void metrics_write_audit(FILE *file, const Signet__V1__AuditStats *audit)
{
    metrics_counter(file, "audit_records", "Records of the audit.", audit->num_records);
    metrics_counter(file, "audit_dropped", "Records for which there was no room.",
                    audit->num_dropped);
    metrics_counter(file, "audit_suppressed", "Refusals that were only counted.",
                    audit->num_suppressed);
    metrics_gauge(file, "audit_waiting_records", "", "Records that wait to be written.",
                  audit->num_waiting);
    metrics_gauge(file, "audit_stuck", "", "1 if the disk takes nothing.", audit->is_stuck ? 1 : 0);
}

static void metrics_write_grants(FILE *file, const Signet__V1__StatsResponse *stats)
{
    static const char *const names[] = {"grant_live_tokens", "grant_live_tokens_limit",
                                        "grant_frozen"};
    static const char *const helps[] = {"Tokens signed under a grant that have not expired.",
                                        "How many there may be; 0: any number.",
                                        "Whether it does not sign until it is thawed."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        metrics_family(file, names[i], "gauge", "", helps[i]);
        for (size_t k = 0; k < stats->n_grants; k++) {
            const Signet__V1__GrantStats *grant = stats->grants[k];
            const struct metrics_label labels[METRICS_MAX_LABELS] = {{"grant", grant->name}};
            const uint64_t values[] = {grant->num_live_tokens, grant->max_live_tokens,
                                       grant->is_frozen ? 1 : 0};
            metrics_count(file, names[i], "", labels, values[i]);
        }
    }
}

void cli_openmetrics_write(FILE *file, const Signet__V1__StatsResponse *stats)
{
    metrics_write_daemon(file, stats);
    metrics_write_methods(file, stats);
    metrics_write_algs(file, stats);
    metrics_write_keysets(file, stats);
    metrics_write_keys(file, stats);
    metrics_write_uids(file, stats);
    if (stats->audit != NULL) {
        metrics_write_audit(file, stats->audit);
    }
    metrics_write_grants(file, stats);
    (void)fputs("# EOF\n", file);
}
