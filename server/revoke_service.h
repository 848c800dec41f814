/* SPDX-License-Identifier: Apache-2.0
 *
 * Revoking tokens, and telling operators what is revoked.
 */
#ifndef SG_REVOKE_SERVICE_H
#define SG_REVOKE_SERVICE_H

#include "server/services.h"

sg_handler sg_revoke;
sg_handler sg_revoke_list;

#endif
