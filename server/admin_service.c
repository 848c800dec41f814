/* SPDX-License-Identifier: Apache-2.0
 *
 * How the daemon is doing, for operators: counts and limits, nothing of any token or peer.
 */
#include "server/admin_service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/keyring.h"
#include "server/reload.h"
#include "signet/v1/admin.pb-c.h"

/* More do not fit the text that they come in. */
#define ADMIN_MAX_PROBLEMS 64u

static void admin_count_keys(const struct sg_keyring *keyring, Signet__V1__StatusResponse *response)
{
    size_t num_keysets = sg_keyring_num_keysets(keyring);
    size_t num_keys = 0;
    size_t num_told = 0;
    for (size_t i = 0; i < num_keysets; i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (!keyset->is_internal) {
            num_keys += keyset->num_keys;
            num_told++;
        }
    }
    response->num_keysets = (uint32_t)num_told;
    response->num_keys = (uint32_t)num_keys;
}

static void admin_tell_stats(const struct sg_server_stats *stats,
                             Signet__V1__StatusResponse *response)
{
    response->num_connections = stats->num_connections;
    response->max_connections = stats->max_connections;
    response->num_in_flight = stats->num_in_flight;
    response->max_in_flight = stats->max_in_flight;
    response->num_requests = stats->num_requests;
    response->num_errors = stats->num_errors;
    response->num_refused_connections = stats->num_refused_connections;
    response->num_protocol_errors = stats->num_protocol_errors;
}

void sg_admin_tell_keyholder(const struct sg_keyholder_state *state,
                             struct sg_admin_keyholder *keyholder)
{
    Signet__V1__Keyholder *message = &keyholder->message;
    signet__v1__keyholder__init(message);
    message->is_up = state->is_up;
    message->num_restarts = state->num_restarts;
    message->protections = sg_reply_texts(keyholder->protections);
    message->missing = sg_reply_texts(keyholder->missing);
    if (state->pid == 0) { /* nothing protects what is not there, and nothing is missing */
        return;
    }
    message->pid = (uint32_t)state->pid;
    message->uid = state->uid;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS; i++) {
        if ((state->protections & 1u << i) != 0) {
            keyholder->protections[message->n_protections++] = sg_keyholder_protection_name(i);
        } else {
            keyholder->missing[message->n_missing++] = sg_keyholder_protection_name(i);
        }
    }
}

signet_status sg_admin_status(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    Signet__V1__StatusResponse response = SIGNET__V1__STATUS_RESPONSE__INIT;
    struct sg_server_stats stats = {0};
    struct sg_admin_keyholder keyholder;
    response.version = sg_reply_text(service->version);
    response.pid = (uint32_t)getpid();
    response.started_at = service->started.wall_s;
    response.uptime_ms = exchange->now.mono_ms - service->started.mono_ms;
    response.ephemeral_keys = service->ephemeral_keys;
    admin_count_keys(exchange->keyring, &response);
    if (service->read_stats != NULL) {
        service->read_stats(service->stats_context, &stats);
        sg_admin_tell_keyholder(&stats.keyholder, &keyholder);
        response.keyholder = &keyholder.message;
    }
    admin_tell_stats(&stats, &response);
    return sg_exchange_append(exchange, &response.base);
}

/* ---- Reload ---- */

/* Cuts the text into its lines, which stay where they are; *num of them, at most cap. Empty ones, such as
 * after the end of the last, are none. */
static void admin_cut_lines(char *text, char **lines, size_t cap, size_t *num)
{
    char *rest = text;
    char *line = NULL;
    while (*num < cap && (line = strsep(&rest, "\n")) != NULL) {
        if (line[0] != '\0') {
            lines[(*num)++] = line;
        }
    }
}

static signet_status admin_answer_refused(struct sg_exchange *exchange, char *problems)
{
    Signet__V1__ReloadResponse response = SIGNET__V1__RELOAD_RESPONSE__INIT;
    Signet__V1__NotReloaded refused = SIGNET__V1__NOT_RELOADED__INIT;
    char *lines[ADMIN_MAX_PROBLEMS];
    admin_cut_lines(problems, lines, ADMIN_MAX_PROBLEMS, &refused.n_problems);
    refused.problems = lines;
    response.outcome_case = SIGNET__V1__RELOAD_RESPONSE__OUTCOME_REFUSED;
    response.refused = &refused;
    return sg_exchange_append(exchange, &response.base);
}

static signet_status admin_answer_reload(struct sg_exchange *exchange,
                                         struct sg_reload_report *report)
{
    Signet__V1__ReloadResponse response = SIGNET__V1__RELOAD_RESPONSE__INIT;
    Signet__V1__Reloaded reloaded = SIGNET__V1__RELOADED__INIT;
    if (!report->applied) {
        return admin_answer_refused(exchange, report->problems);
    }
    reloaded.num_keysets = report->num_keysets;
    reloaded.num_issuers = report->num_issuers;
    char *warnings[ADMIN_MAX_PROBLEMS];
    admin_cut_lines(report->warnings, warnings, ADMIN_MAX_PROBLEMS, &reloaded.n_warnings);
    reloaded.warnings = warnings;
    response.outcome_case = SIGNET__V1__RELOAD_RESPONSE__OUTCOME_RELOADED;
    response.reloaded = &reloaded;
    return sg_exchange_append(exchange, &response.base);
}

signet_status sg_admin_reload(struct sg_exchange *exchange)
{
    const struct sg_service *service = exchange->service;
    if (service->reload == NULL) {
        return sg_rpc_fail(&exchange->error, SIGNET_UNIMPLEMENTED, "NO_RELOAD",
                           "this daemon has no configuration to read again");
    }
    struct sg_reload_report *report = calloc(1, sizeof(*report));
    if (report == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    service->reload(service->reload_context, report);
    exchange->not_done = report->applied ? NULL : "NOT_RELOADED";
    signet_status status = admin_answer_reload(exchange, report);
    free(report);
    return status;
}
