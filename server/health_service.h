/* SPDX-License-Identifier: Apache-2.0
 *
 * HealthService.
 */
#ifndef SG_HEALTH_SERVICE_H
#define SG_HEALTH_SERVICE_H

#include "server/services.h"

sg_handler sg_health_check;

#endif
