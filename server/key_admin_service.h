/* SPDX-License-Identifier: Apache-2.0
 *
 * signet.v1.KeyService: what operators do with keys, on the admin socket only.
 */
#ifndef SG_KEY_ADMIN_SERVICE_H
#define SG_KEY_ADMIN_SERVICE_H

#include "server/services.h"

sg_handler sg_key_list_keys;
sg_handler sg_key_rotate;
sg_handler sg_key_revoke;
sg_handler sg_key_get_sealing_key;
sg_handler sg_key_import;
sg_handler sg_key_rekey;
sg_handler sg_key_finish_rekey;
sg_handler sg_key_get_keystore;

#endif
