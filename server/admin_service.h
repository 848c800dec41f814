/* SPDX-License-Identifier: Apache-2.0
 *
 * AdminService.
 */
#ifndef SG_ADMIN_SERVICE_H
#define SG_ADMIN_SERVICE_H

#include "server/services.h"

sg_handler sg_admin_status;

#endif
