/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.v1.AdminService.
 */
#ifndef SG_ADMIN_SERVICE_H
#define SG_ADMIN_SERVICE_H

#include "server/services.h"
#include "signet/v1/admin.pb-c.h"

sg_handler sg_admin_status;
sg_handler sg_admin_reload; /* on the admin socket only */

/* The keyholder's message and what it points to. */
struct sg_admin_keyholder {
    Signet__V1__Keyholder message;
    const char *protections[SG_NUM_PROTECTIONS], *missing[SG_NUM_PROTECTIONS];
};

/* sg_admin_tell_keyholder fills the message; its texts are static. */
void sg_admin_tell_keyholder(const struct sg_keyholder_state *state,
                             struct sg_admin_keyholder *keyholder);

#endif
