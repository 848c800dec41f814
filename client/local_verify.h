/* SPDX-License-Identifier: Apache-2.0
 *
 * Judging a token against a board as the daemon would, and telling what only the daemon can say.
 */
#ifndef SG_CLIENT_LOCAL_VERIFY_H
#define SG_CLIENT_LOCAL_VERIFY_H

#include "client/attach.h"
#include "client/local_boards.h"
#include "client/local_headers.h"

/* sg_local_judge judges as struct sg_local_ops has it. */
void sg_local_judge(struct sg_local_boards *boards, struct sg_local_headers *headers,
                    const char *token, size_t token_len,
                    const struct signet_verify_options *options, int64_t now,
                    struct sg_local_answer *answer);

/* sg_local_key_span as struct sg_local_ops has it, with a board that is held. */
bool sg_local_key_span(const struct sg_local_hold *hold, const char *keyset, const char *kid,
                       struct sg_local_span *span);

#endif
