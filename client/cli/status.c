/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet status`: how the daemon is doing.
 */
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"

static Signet__V1__StatusResponse *status_call(struct cli *cli, struct signet_client *client)
{
    Signet__V1__StatusRequest request = SIGNET__V1__STATUS_REQUEST__INIT;
    return (Signet__V1__StatusResponse *)cli_admin_call(
        cli, client, SG_METHOD_STATUS, &request.base, &signet__v1__status_response__descriptor, 0);
}

static void status_row(struct cli_table *table, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void status_row(struct cli_table *table, const char *name, const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *cells[] = {name, text};
    cli_table_row(table, cells);
}

/* Names with a space between them, as many as have room. */
static void status_join(char *const *names, size_t num, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < num && used < cap; i++) {
        int len = snprintf(out + used, cap - used, "%s%s", i > 0 ? " " : "", names[i]);
        used += len > 0 ? (size_t)len : 0;
    }
}

static void status_print_protections(struct cli_table *table,
                                     const Signet__V1__Keyholder *keyholder)
{
    char protections[120];
    char missing[120];
    status_join(keyholder->protections, keyholder->n_protections, protections, sizeof(protections));
    status_join(keyholder->missing, keyholder->n_missing, missing, sizeof(missing));
    status_row(table, "protections", "%s%s%s", keyholder->n_protections > 0 ? protections : "none",
               keyholder->n_missing > 0 ? "; missing: " : "", missing);
}

static void status_print_keyholder(struct cli_table *table, const Signet__V1__Keyholder *keyholder)
{
    const char *restarts = keyholder->num_restarts == 1 ? "restart" : "restarts";
    if (keyholder->pid == 0) {
        status_row(table, "keyholder", "down: nothing is signed until it is back, %" PRIu64 " %s",
                   keyholder->num_restarts, restarts);
        return;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
    const struct passwd *user = getpwuid(keyholder->uid);
    status_row(table, "keyholder", "%s, pid %" PRIu32 ", uid %" PRIu32 " (%.64s), %" PRIu64 " %s",
               keyholder->is_up ? "up" : "starting", keyholder->pid, keyholder->uid,
               user != NULL ? user->pw_name : "no user here", keyholder->num_restarts, restarts);
    status_print_protections(table, keyholder);
}

static void status_print(const Signet__V1__StatusResponse *status)
{
    char started[96];
    cli_format_time(status->started_at, cli_now(), started, sizeof(started));
    struct cli_table *table = cli_table_new(2);
    status_row(table, "version", "%s", status->version);
    status_row(table, "pid", "%" PRIu32, status->pid);
    status_row(table, "started", "%s", started);
    status_row(table, "keys", "%" PRIu32 " in %" PRIu32 " keysets%s", status->num_keys,
               status->num_keysets,
               status->ephemeral_keys ? "; in memory only, lost when the keyholder ends" : "");
    if (status->keyholder != NULL) {
        status_print_keyholder(table, status->keyholder);
    }
    status_row(table, "connections", "%" PRIu32 " of %" PRIu32, status->num_connections,
               status->max_connections);
    status_row(table, "in flight", "%" PRIu32 " of %" PRIu32, status->num_in_flight,
               status->max_in_flight);
    status_row(table, "requests", "%" PRIu64 ", of which %" PRIu64 " ended in an error",
               status->num_requests, status->num_errors);
    status_row(table, "refused", "%" PRIu64 " connections over a limit",
               status->num_refused_connections);
    status_row(table, "closed", "%" PRIu64 " connections that broke the protocol",
               status->num_protocol_errors);
    cli_table_print(table, "", false);
    cli_table_free(table);
}

static json_t *status_names_json(char *const *names, size_t num)
{
    json_t *array = cli_must(json_array());
    for (size_t i = 0; i < num; i++) {
        (void)json_array_append_new(array, cli_must(json_string(names[i])));
    }
    return array;
}

static json_t *status_keyholder_json(const Signet__V1__Keyholder *keyholder)
{
    if (keyholder == NULL) {
        return json_null();
    }
    return cli_must(
        json_pack("{s:b, s:I, s:I, s:o, s:o, s:I}", "is_up", keyholder->is_up, "pid",
                  (json_int_t)keyholder->pid, "uid", (json_int_t)keyholder->uid, "protections",
                  status_names_json(keyholder->protections, keyholder->n_protections), "missing",
                  status_names_json(keyholder->missing, keyholder->n_missing), "num_restarts",
                  (json_int_t)keyholder->num_restarts));
}

static void status_print_json(const Signet__V1__StatusResponse *status)
{
    cli_print_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
        "version", status->version, "pid", (json_int_t)status->pid, "started_at",
        (json_int_t)status->started_at, "uptime_ms", (json_int_t)status->uptime_ms,
        "ephemeral_keys", status->ephemeral_keys, "num_keysets", (json_int_t)status->num_keysets,
        "num_keys", (json_int_t)status->num_keys, "num_connections",
        (json_int_t)status->num_connections, "max_connections", (json_int_t)status->max_connections,
        "num_in_flight", (json_int_t)status->num_in_flight, "max_in_flight",
        (json_int_t)status->max_in_flight, "num_requests", (json_int_t)status->num_requests,
        "num_errors", (json_int_t)status->num_errors, "num_refused_connections",
        (json_int_t)status->num_refused_connections, "num_protocol_errors",
        (json_int_t)status->num_protocol_errors, "keyholder",
        status_keyholder_json(status->keyholder)));
}

static enum cli_exit status_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments) || !cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    Signet__V1__StatusResponse *status = status_call(cli, client);
    signet_client_free(client);
    if (status == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        status_print_json(status);
    } else {
        status_print(status);
    }
    signet__v1__status_response__free_unpacked(status, NULL);
    return CLI_GOOD;
}

const struct cli_command cli_status = {
    .name = "status",
    .synopsis = "",
    .summary = "say how the daemon is doing",
    .help =
        "Says how the daemon is doing: version, start, keys, the process that holds them and what\n"
        "protects it, connections, and counts since start.\n"
        "Exits with 3 if no daemon answers, or its socket is not for this user.\n",
    .run = status_run,
};
