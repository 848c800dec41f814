/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet metrics`: the daemon's figures for monitoring systems.
 */
#include <stdio.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/openmetrics.h"
#include "client/cli/stats.h"

static enum cli_exit metrics_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments)) {
        return cli->exit;
    }
    if (cli->json) {
        return cli_usage(cli, "OpenMetrics is a text; 'signet stats --json' prints JSON");
    }
    if (!cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    Signet__V1__StatsResponse *stats = cli_stats_get(cli, client);
    signet_client_free(client);
    if (stats == NULL) {
        return cli->exit;
    }
    cli_openmetrics_write(stdout, stats);
    signet__v1__stats_response__free_unpacked(stats, NULL);
    return CLI_GOOD;
}

const struct cli_command cli_metrics = {
    .name = "metrics",
    .synopsis = "",
    .summary = "print what the daemon counted, for monitoring",
    .help =
        "Prints what the daemon counted since its start as OpenMetrics 1.0 text, which Prometheus and\n"
        "others read: from a file that a timer writes (the textfile collector of node_exporter), or\n"
        "through anything that serves a program's output. The names begin with signet_; users are told\n"
        "by uid. Calls the operators' socket (see 'signet help key').\n",
    .run = metrics_run,
};
