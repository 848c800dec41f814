/* SPDX-License-Identifier: Apache-2.0
 *
 * What `signet stats` and `signet metrics` share: asking the daemon, and the arithmetic of its figures; and
 * what `signet stats` prints.
 */
#ifndef SG_CLI_STATS_H
#define SG_CLI_STATS_H

#include <jansson.h>
#include <stdint.h>

#include "client/cli/cli.h"
#include "signet/v1/admin.pb-c.h"

/* cli_stats_get asks; signet__v1__stats_response__free_unpacked releases the answer. NULL after a complaint. */
Signet__V1__StatsResponse *cli_stats_get(struct cli *cli, struct signet_client *client);

/* cli_stats_subtract takes from what was counted since the start what was counted by then, so that what
 * happened between remains. Figures of a moment stay. before is of the same run of the daemon. */
void cli_stats_subtract(Signet__V1__StatsResponse *stats, const Signet__V1__StatsResponse *before);

/* Of durations, which may be NULL: how many there are, and the value that the share quantile (0 to 1) of all do
 * not exceed, at the upper end of its bucket; 0 if there are none. */
uint64_t cli_durations_num(const Signet__V1__Durations *durations);
uint64_t cli_durations_at(const Signet__V1__Durations *durations, double quantile);

/* cli_stats_print prints tables. seconds is the time in which all this was counted, above 0. */
void cli_stats_print(const Signet__V1__StatsResponse *stats, double seconds);

/* cli_stats_json makes an object with every field of the answer. */
json_t *cli_stats_json(const Signet__V1__StatsResponse *stats, double seconds);

#endif
