/* SPDX-License-Identifier: Apache-2.0
 *
 * TokenService.
 */
#ifndef SG_TOKEN_SERVICE_H
#define SG_TOKEN_SERVICE_H

#include "server/services.h"

sg_handler sg_token_sign;
sg_handler sg_token_sign_batch;
sg_handler sg_token_verify;
sg_handler sg_token_verify_batch;

sg_slowness sg_token_sign_is_slow;
sg_slowness sg_token_sign_batch_is_slow;
sg_slowness sg_token_verify_is_slow;
sg_slowness sg_token_verify_batch_is_slow;

#endif
