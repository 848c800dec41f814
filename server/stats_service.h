/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.v1.AdminService/Stats: what the daemon did, in numbers.
 */
#ifndef SG_STATS_SERVICE_H
#define SG_STATS_SERVICE_H

#include "server/services.h"

sg_handler sg_stats_get; /* on the admin socket only */

#endif
