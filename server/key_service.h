/* SPDX-License-Identifier: Apache-2.0
 *
 * KeyService.
 */
#ifndef SG_KEY_SERVICE_H
#define SG_KEY_SERVICE_H

#include "server/services.h"

sg_handler sg_key_get_jwks;
sg_handler sg_key_list_keysets;
sg_slowness sg_key_telling_is_slow; /* of both */

#endif
