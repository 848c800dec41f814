/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client has of libsignet-local (client/attach.h), and the verdicts that it lets the client give without a
 * request: out of the cache, or judged in this process. All of it is tied to the board: when that may not be believed,
 * or changed while a token was judged, there is no verdict here.
 */
#ifndef SG_CLIENT_ATTACHED_H
#define SG_CLIENT_ATTACHED_H

#include <signet/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/attach.h"
#include "client/flights.h"
#include "client/verdicts.h"

struct sg_attached {
    const struct sg_local_ops *ops; /* NULL: nothing is attached */
    void *local;
    struct sg_verdicts *verdicts; /* NULL: off */
    struct sg_flights flights;
};

void sg_attached_init(struct sg_attached *attached);
void sg_attached_fini(struct sg_attached *attached);

/* One question about one token. It borrows all that it is made of. */
struct sg_question {
    struct signet_client *client;
    const char *token;
    size_t token_len;
    const struct signet_verify_options *options; /* taken and checked */

    /* Set by sg_question_init. */
    bool
        is_tied; /* to the generation below; false: only the daemon is asked, and nothing is remembered */
    bool is_cacheable; /* also, the cache is on */
    int64_t asked_at;  /* seconds since 1970 */
    struct sg_verdicts_key key;
};

/* sg_question_init begins a question, which counts as asked now. */
void sg_question_init(struct sg_question *question, struct signet_client *client, const char *token,
                      size_t token_len, const struct signet_verify_options *options);

/* sg_question_recall returns the token, for the caller to free, if the cache knows it for good. */
struct signet_verified *sg_question_recall(const struct sg_question *question);

/* sg_question_judge judges a token in which sg_verify_flaw found none. Does not block. GOOD: a token that is good for
 * this question, with a reference for the caller, and it is remembered. ASK: only the daemon can say. */
void sg_question_judge(const struct sg_question *question, struct sg_local_answer *answer);

/* sg_question_remember keeps what the daemon answered to this question, if that can be tied to the board. */
void sg_question_remember(const struct sg_question *question,
                          const Signet__V1__VerifiedToken *token);

#endif
