/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's figures as tables for people: what there is most of comes first, and what did not happen is
 * left out.
 */
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/output.h"
#include "client/cli/stats.h"

/* Of keysets and of users; a screen has no room for more. */
#define VIEW_MAX_ROWS  20u
#define VIEW_CELL      96u
#define VIEW_MAX_CELLS 10u

/* A row in the making. */
struct view_row {
    const char *cells[VIEW_MAX_CELLS];
    char texts[VIEW_MAX_CELLS][VIEW_CELL];
    size_t num;
};

static void view_text(struct view_row *row, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void view_text(struct view_row *row, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(row->texts[row->num], VIEW_CELL, format, arguments);
    va_end(arguments);
    row->cells[row->num] = row->texts[row->num];
    row->num++;
}

static void view_count(struct view_row *row, uint64_t count)
{
    view_text(row, "%" PRIu64, count);
}

static void view_rate(struct view_row *row, uint64_t count, double seconds)
{
    double rate = (double)count / seconds;
    view_text(row, rate < 100 ? "%.1f" : "%.0f", rate);
}

static void view_duration(struct view_row *row, uint64_t us)
{
    double value = (double)us;
    if (us < 1000) {
        view_text(row, "%" PRIu64 " us", us);
    } else if (us < 1000000) {
        view_text(row, us < 100000 ? "%.1f ms" : "%.0f ms", value / 1e3);
    } else {
        view_text(row, "%.1f s", value / 1e6);
    }
}

static void view_quantile(struct view_row *row, const Signet__V1__Durations *durations,
                          double quantile)
{
    if (cli_durations_num(durations) == 0) {
        view_text(row, "-");
        return;
    }
    view_duration(row, cli_durations_at(durations, quantile));
}

/* Prints the table, if it has more than its heading, and releases it. */
static void view_print_table(struct cli_table *table, size_t num_rows, size_t num_left_out)
{
    if (num_rows > 0) {
        (void)fputc('\n', stdout);
        cli_table_print(table, "", true);
    }
    if (num_left_out > 0) {
        (void)printf("and %zu more; --json has all of them\n", num_left_out);
    }
    cli_table_free(table);
}

/* ---- Order ---- */

struct view_place {
    uint64_t weight;
    size_t index;
};

static int view_compare(const void *a, const void *b)
{
    const struct view_place *left = a;
    const struct view_place *right = b;
    if (left->weight != right->weight) {
        return left->weight < right->weight ? 1 : -1;
    }
    return left->index < right->index ? -1 : left->index > right->index;
}

/* Drops those without weight and sorts the others, heaviest first. Returns how many they are. */
static size_t view_sort(struct view_place *places, size_t num)
{
    size_t num_left = 0;
    for (size_t i = 0; i < num; i++) {
        if (places[i].weight > 0) {
            places[num_left++] = places[i];
        }
    }
    qsort(places, num_left, sizeof(*places), view_compare);
    return num_left;
}

/* ---- The daemon ---- */

static void view_print_mib(const char *what, uint64_t bytes)
{
    (void)printf("%s%.1f MiB", what, (double)bytes / (1024 * 1024));
}

static void view_print_server(const Signet__V1__ServerStats *server)
{
    (void)printf("connections %" PRIu32 " of %" PRIu32 ", in flight %" PRIu32 " of %" PRIu32,
                 server->num_connections, server->max_connections, server->num_in_flight,
                 server->max_in_flight);
    view_print_mib(", memory ", server->resident_bytes);
    view_print_mib(" (buffers ", server->buffer_bytes);
    view_print_mib(" of ", server->max_buffer_bytes);
    (void)printf(")\n");
    if (server->num_refused_connections > 0 || server->num_protocol_errors > 0) {
        (void)printf("connections over a limit %" PRIu64 ", that broke the protocol %" PRIu64 "\n",
                     server->num_refused_connections, server->num_protocol_errors);
    }
}

static void view_print_daemon(const Signet__V1__StatsResponse *stats, double seconds)
{
    char up[32];
    char *version = cli_escape(stats->version, strlen(stats->version));
    cli_format_duration(stats->uptime_ms / 1000, up, sizeof(up));
    (void)printf("signetd %s, up %s; ", version, up);
    if (seconds * 1000 + 0.5 < (double)stats->uptime_ms) {
        (void)printf("counted in the last %.1f s\n", seconds);
    } else {
        (void)printf("counted since its start\n");
    }
    free(version);
    if (stats->keyholder != NULL) {
        (void)printf("keyholder %s, restarts %" PRIu64 "\n",
                     stats->keyholder->is_up ? "up" : "DOWN: nothing is signed until it is back",
                     stats->keyholder->num_restarts);
    }
    if (stats->server != NULL) {
        view_print_server(stats->server);
    }
    if (stats->audit != NULL) {
        (void)printf("audit records %" PRIu64 ", only counted %" PRIu64 ", dropped %" PRIu64
                     ", waiting %" PRIu64 "%s\n",
                     stats->audit->num_records, stats->audit->num_suppressed,
                     stats->audit->num_dropped, stats->audit->num_waiting,
                     stats->audit->is_stuck ? ": STUCK, its disk takes nothing" : "");
    }
}

/* ---- Methods and what went wrong ---- */

/* "TokenService/Sign": all are of one package. */
static const char *view_method_name(const char *method)
{
    static const char package[] = "signet.v1.";
    if (method[0] == '\0') {
        return "(no method)";
    }
    return strncmp(method, package, sizeof(package) - 1) == 0 ? method + sizeof(package) - 1
                                                              : method;
}

static void view_add_method(struct cli_table *table, const Signet__V1__MethodStats *method,
                            double seconds)
{
    struct view_row row = {.num = 0};
    uint64_t num_errors = 0;
    uint64_t num_rejected = 0;
    for (size_t i = 0; i < method->n_results; i++) {
        const Signet__V1__ResultCount *result = method->results[i];
        num_errors += result->status != SIGNET_OK ? result->count : 0;
        num_rejected += result->status == SIGNET_OK && result->rejection != 0 ? result->count : 0;
    }
    uint64_t num = cli_durations_num(method->total);
    view_text(&row, "%s", view_method_name(method->method));
    view_count(&row, num);
    view_rate(&row, num, seconds);
    view_count(&row, num_rejected);
    view_count(&row, num_errors);
    view_quantile(&row, method->total, 0.5);
    view_quantile(&row, method->total, 0.95);
    view_quantile(&row, method->total, 0.99);
    view_quantile(&row, method->queue, 0.99);
    view_quantile(&row, method->crypto, 0.99);
    cli_table_row(table, row.cells);
}

static void view_print_methods(const Signet__V1__StatsResponse *stats, double seconds)
{
    static const char *const heading[] = {"METHOD", "CALLS", "PER S", "REFUSED",   "ERRORS",
                                          "P50",    "P95",   "P99",   "QUEUE P99", "CRYPTO P99"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    struct view_place *places = cli_must(calloc(stats->n_methods + 1, sizeof(*places)));
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_methods; i++) {
        places[i] = (struct view_place){cli_durations_num(stats->methods[i]->total), i};
    }
    size_t num = view_sort(places, stats->n_methods);
    for (size_t i = 0; i < num; i++) {
        view_add_method(table, stats->methods[places[i].index], seconds);
    }
    view_print_table(table, num, 0);
    free(places);
}

static size_t view_add_reason(struct cli_table *table, const char *what, const char *reason,
                              uint64_t count, double seconds)
{
    struct view_row row = {.num = 0};
    if (count == 0) {
        return 0;
    }
    view_text(&row, "%s", what);
    view_text(&row, "%s", reason);
    view_count(&row, count);
    view_rate(&row, count, seconds);
    cli_table_row(table, row.cells);
    return 1;
}

/* Tokens that were refused, by reason, and calls that failed, by status. */
static void view_print_reasons(const Signet__V1__StatsResponse *stats, double seconds)
{
    static const char *const heading[] = {"WHAT", "REASON", "COUNT", "PER S"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    size_t num = 0;
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_rejections; i++) {
        const Signet__V1__RejectionCount *rejection = stats->rejections[i];
        num += view_add_reason(table, "token refused",
                               signet_reason_name((signet_reason)rejection->reason),
                               rejection->count, seconds);
    }
    for (size_t i = 0; i < stats->n_methods; i++) {
        const Signet__V1__MethodStats *method = stats->methods[i];
        for (size_t k = 0; k < method->n_results; k++) {
            const Signet__V1__ResultCount *result = method->results[k];
            if (result->status != SIGNET_OK) {
                num += view_add_reason(table, view_method_name(method->method),
                                       signet_status_name((signet_status)result->status),
                                       result->count, seconds);
            }
        }
    }
    view_print_table(table, num, 0);
}

/* ---- Algorithms ---- */

static void view_print_algs(const Signet__V1__StatsResponse *stats, double seconds)
{
    static const char *const heading[] = {"ALGORITHM", "SIGNED", "PER S", "P50", "P99",
                                          "VERIFIED",  "PER S",  "P50",   "P99"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    size_t num_rows = 0;
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_algs; i++) {
        const Signet__V1__AlgStats *alg = stats->algs[i];
        const Signet__V1__Durations *const both[] = {alg->signing, alg->verifying};
        struct view_row row = {.num = 0};
        view_text(&row, "%s", alg->alg);
        for (size_t k = 0; k < 2; k++) {
            view_count(&row, cli_durations_num(both[k]));
            view_rate(&row, cli_durations_num(both[k]), seconds);
            view_quantile(&row, both[k], 0.5);
            view_quantile(&row, both[k], 0.99);
        }
        if (cli_durations_num(alg->signing) + cli_durations_num(alg->verifying) > 0) {
            cli_table_row(table, row.cells);
            num_rows++;
        }
    }
    view_print_table(table, num_rows, 0);
}

/* ---- Keysets ---- */

static uint64_t view_num_rejected(const Signet__V1__KeysetStats *keyset)
{
    uint64_t num = 0;
    for (size_t i = 0; i < keyset->n_rejections; i++) {
        num += keyset->rejections[i]->count;
    }
    return num;
}

static void view_keys(struct view_row *row, const Signet__V1__StatsResponse *stats,
                      const char *keyset)
{
    for (size_t i = 0; i < stats->n_keys; i++) {
        const Signet__V1__KeysetKeys *keys = stats->keys[i];
        if (strcmp(keys->keyset, keyset) == 0) {
            view_text(row, "%" PRIu32 " next, %" PRIu32 " active, %" PRIu32 " verify only",
                      keys->num_next, keys->num_active, keys->num_verify_only);
            return;
        }
    }
    view_text(row, "-"); /* another's, or no longer configured */
}

static void view_add_keyset(struct cli_table *table, const Signet__V1__StatsResponse *stats,
                            const Signet__V1__KeysetStats *keyset, double seconds)
{
    struct view_row row = {.num = 0};
    view_text(&row, "%s", keyset->is_other ? "(others)" : keyset->keyset);
    view_count(&row, keyset->num_signed);
    view_rate(&row, keyset->num_signed, seconds);
    view_count(&row, keyset->num_good);
    view_rate(&row, keyset->num_good, seconds);
    view_count(&row, view_num_rejected(keyset));
    view_count(&row, keyset->num_not_signed + keyset->num_not_judged);
    view_keys(&row, stats, keyset->keyset);
    cli_table_row(table, row.cells);
}

static void view_print_keysets(const Signet__V1__StatsResponse *stats, double seconds)
{
    static const char *const heading[] = {"KEYSET", "SIGNED",  "PER S",  "GOOD",
                                          "PER S",  "REFUSED", "FAILED", "KEYS"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    struct view_place *places = cli_must(calloc(stats->n_keysets + 1, sizeof(*places)));
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_keysets; i++) {
        const Signet__V1__KeysetStats *keyset = stats->keysets[i];
        places[i] =
            (struct view_place){keyset->num_signed + keyset->num_not_signed + keyset->num_good +
                                    keyset->num_not_judged + view_num_rejected(keyset),
                                i};
    }
    size_t num = view_sort(places, stats->n_keysets);
    size_t num_rows = num < VIEW_MAX_ROWS ? num : VIEW_MAX_ROWS;
    for (size_t i = 0; i < num_rows; i++) {
        view_add_keyset(table, stats, stats->keysets[places[i].index], seconds);
    }
    view_print_table(table, num_rows, num - num_rows);
    free(places);
}

/* ---- Users ---- */

static void view_user(struct view_row *row, const Signet__V1__UidStats *uid)
{
    if (uid->is_other) {
        view_text(row, "(others)");
        return;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
    const struct passwd *user = getpwuid(uid->uid);
    if (user != NULL) {
        view_text(row, "%.64s (%" PRIu32 ")", user->pw_name, uid->uid);
    } else {
        view_text(row, "%" PRIu32, uid->uid);
    }
}

static void view_add_uid(struct cli_table *table, const Signet__V1__UidStats *uid, double seconds)
{
    struct view_row row = {.num = 0};
    view_user(&row, uid);
    view_count(&row, uid->num_requests);
    view_rate(&row, uid->num_requests, seconds);
    view_count(&row, uid->num_signed);
    view_count(&row, uid->num_good);
    view_count(&row, uid->num_rejected);
    view_count(&row, uid->num_denied);
    view_count(&row, uid->num_errors);
    view_count(&row, uid->num_refused);
    view_text(&row, "%.1f%%", (double)uid->cpu_us / (seconds * 1e4));
    cli_table_row(table, row.cells);
}

static void view_print_uids(const Signet__V1__StatsResponse *stats, double seconds)
{
    static const char *const heading[] = {"USER",    "CALLS",  "PER S",  "SIGNED",     "GOOD",
                                          "REFUSED", "DENIED", "ERRORS", "OVER LIMIT", "CPU"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    struct view_place *places = cli_must(calloc(stats->n_uids + 1, sizeof(*places)));
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_uids; i++) {
        places[i] = (struct view_place){stats->uids[i]->num_requests, i};
    }
    size_t num = view_sort(places, stats->n_uids);
    size_t num_rows = num < VIEW_MAX_ROWS ? num : VIEW_MAX_ROWS;
    for (size_t i = 0; i < num_rows; i++) {
        view_add_uid(table, stats->uids[places[i].index], seconds);
    }
    view_print_table(table, num_rows, num - num_rows);
    free(places);
}

/* ---- Grants ---- */

static void view_print_grants(const Signet__V1__StatsResponse *stats)
{
    static const char *const heading[] = {"GRANT", "LIVE TOKENS", "LIMIT", "STATE"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    cli_table_row(table, heading);
    for (size_t i = 0; i < stats->n_grants; i++) {
        const Signet__V1__GrantStats *grant = stats->grants[i];
        struct view_row row = {.num = 0};
        view_text(&row, "%s", grant->name);
        view_count(&row, grant->num_live_tokens);
        if (grant->max_live_tokens > 0) {
            view_count(&row, grant->max_live_tokens);
        } else {
            view_text(&row, "-");
        }
        view_text(&row, "%s", grant->is_frozen ? "FROZEN: it does not sign" : "in force");
        cli_table_row(table, row.cells);
    }
    view_print_table(table, stats->n_grants, 0);
}

void cli_stats_print(const Signet__V1__StatsResponse *stats, double seconds)
{
    view_print_daemon(stats, seconds);
    view_print_methods(stats, seconds);
    view_print_reasons(stats, seconds);
    view_print_algs(stats, seconds);
    view_print_keysets(stats, seconds);
    view_print_uids(stats, seconds);
    view_print_grants(stats);
}
