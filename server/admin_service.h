/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.v1.AdminService.
 */
#ifndef SG_ADMIN_SERVICE_H
#define SG_ADMIN_SERVICE_H

#include "server/services.h"

sg_handler sg_admin_status;
sg_handler sg_admin_reload; /* on the admin socket only */

#endif
