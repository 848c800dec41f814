/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's figures as OpenMetrics 1.0 text, for monitoring systems to read.
 */
#ifndef SG_CLI_OPENMETRICS_H
#define SG_CLI_OPENMETRICS_H

#include <stdio.h>

#include "signet/v1/admin.pb-c.h"

/* cli_openmetrics_write writes all of it, up to its "# EOF". Errors stay in file. */
void cli_openmetrics_write(FILE *file, const Signet__V1__StatsResponse *stats);

#endif
