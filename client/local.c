/* SPDX-License-Identifier: Apache-2.0
 *
 * What is attached to a client: boards, and what may be asked of them.
 */
#include "client/local.h"

#include <stdlib.h>

#include "client/local_boards.h"
#include "client/local_headers.h"
#include "client/local_verify.h"

struct sg_local {
    struct sg_local_boards *boards;
    struct sg_local_headers *headers;
};

signet_status sg_local_new(const struct sg_local_config *config, struct sg_local **out)
{
    struct sg_local *local = calloc(1, sizeof(*local));
    if (local == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    local->headers = sg_local_headers_new();
    local->boards = sg_local_boards_new(config);
    if (local->headers == NULL || local->boards == NULL) {
        sg_local_free(local);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = local;
    return SIGNET_OK;
}

void sg_local_free(struct sg_local *local)
{
    if (local != NULL) {
        sg_local_boards_free(local->boards);
        sg_local_headers_free(local->headers);
        free(local);
    }
}

/* ---- For the client ---- */

static bool local_generation(void *local, uint64_t *generation)
{
    const struct sg_local *self = local;
    struct sg_local_hold hold;
    if (!sg_local_boards_hold(self->boards, &hold)) {
        return false;
    }
    *generation = hold.generation;
    sg_local_boards_release(&hold);
    return true;
}

static bool local_key_span(void *local, const char *keyset, const char *kid,
                           struct sg_local_span *span)
{
    const struct sg_local *self = local;
    struct sg_local_hold hold;
    if (!sg_local_boards_hold(self->boards, &hold)) {
        return false;
    }
    bool is_known = sg_local_key_span(&hold, keyset, kid, span);
    sg_local_boards_release(&hold);
    return is_known;
}

static void local_verify(void *local, const char *token, size_t token_len,
                         const struct signet_verify_options *options, int64_t now,
                         struct sg_local_answer *answer)
{
    const struct sg_local *self = local;
    sg_local_judge(self->boards, self->headers, token, token_len, options, now, answer);
}

static void local_free(void *local)
{
    sg_local_free(local);
}

const struct sg_local_ops sg_local_ops = {
    .version = SIGNET_VERSION,
    .generation = local_generation,
    .key_span = local_key_span,
    .verify = local_verify,
    .free = local_free,
};
