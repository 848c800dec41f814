/* SPDX-License-Identifier: Apache-2.0
 *
 * Attaching, and verdicts without a request. A verdict counts if the board's generation was the same before the token
 * was judged and after: then nothing was revoked, no key and no grant was taken away meanwhile.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/private.h"
#include "client/verify_parts.h"
#include "common/limits.h"

/* ---- Attaching ---- */

void sg_attached_init(struct sg_attached *attached)
{
    memset(attached, 0, sizeof(*attached));
    sg_flights_init(&attached->flights);
}

void sg_attached_fini(struct sg_attached *attached)
{
    sg_verdicts_free(attached->verdicts);
    if (attached->ops != NULL) {
        attached->ops->free(attached->local);
    }
}

signet_status sg_client_attach(struct signet_client *client, const struct sg_local_ops *ops,
                               void *local, struct signet_error *error)
{
    if (client == NULL || ops == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client and what is to be attached must be given");
    }
    if (client->attached.ops != NULL) {
        return sg_client_fail(error, SIGNET_FAILED_PRECONDITION, "ATTACHED_ALREADY",
                              "this client verifies in its own process already");
    }
    if (strcmp(ops->version, signet_version()) != 0) {
        return sg_client_fail(error, SIGNET_FAILED_PRECONDITION, "VERSIONS_DIFFER",
                              "libsignet is %s and libsignet-local %s; install the same of both",
                              signet_version(), ops->version);
    }
    if (client->cache_entries > 0) {
        client->attached.verdicts =
            sg_verdicts_new(client->cache_entries, (size_t)client->cache_kib * 1024);
        if (client->attached.verdicts == NULL) {
            return sg_client_no_memory(error);
        }
    }
    client->attached.ops = ops;
    client->attached.local = local;
    return SIGNET_OK;
}

/* ---- Questions ---- */

/* The exact clock: a coarse one would be late, and a token good for longer than it is. */
static int64_t attached_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static bool attached_generation(const struct sg_attached *attached, uint64_t *generation)
{
    return attached->ops->generation(attached->local, generation);
}

/* Whether the board is still the one that the question is tied to. */
static bool question_is_current(const struct sg_question *question)
{
    uint64_t generation = 0;
    return attached_generation(&question->client->attached, &generation) &&
           generation == question->key.generation;
}

/* Requests that must reach the daemon, whatever is known of their token, belong here. */
static bool question_is_open(const struct sg_question *question)
{
    return question->client->attached.ops != NULL && question->token_len > 0 &&
           question->token_len <= SG_MAX_TOKEN_LEN && !question->options->consume;
}

void sg_question_init(struct sg_question *question, struct signet_client *client, const char *token,
                      size_t token_len, const struct signet_verify_options *options)
{
    *question = (struct sg_question){
        .client = client, .token = token, .token_len = token_len, .options = options};
    const struct sg_attached *attached = &client->attached;
    if (!question_is_open(question) || !attached_generation(attached, &question->key.generation)) {
        return;
    }
    question->is_tied = true;
    question->asked_at = attached_now();
    question->is_cacheable = attached->verdicts != NULL;
    if (question->is_cacheable) {
        question->key.token = token;
        question->key.token_len = token_len;
        question->key.hash = sg_verdicts_hash(attached->verdicts, token, token_len);
        question->key.epoch = sg_pool_epoch(&client->pool);
    }
}

/* ---- The cache ---- */

struct signet_verified *sg_question_recall(const struct sg_question *question)
{
    return question->is_cacheable
               ? sg_verdicts_get(question->client->attached.verdicts, &question->key,
                                 question->options, question->asked_at)
               : NULL;
}

/* judged_at: no earlier than it was judged. */
static void question_keep(const struct sg_question *question,
                          const Signet__V1__VerifiedToken *token, int64_t judged_at)
{
    const struct sg_attached *attached = &question->client->attached;
    struct sg_local_span span = {0, 0};
    struct sg_standing standing;
    if (question->is_cacheable &&
        attached->ops->key_span(attached->local, token->keyset, token->kid, &span) &&
        sg_standing_init(&standing, token, question->options, judged_at, &span) &&
        question_is_current(question)) {
        sg_verdicts_put(attached->verdicts, &question->key, token, &standing);
    }
}

void sg_question_remember(const struct sg_question *question,
                          const Signet__V1__VerifiedToken *token)
{
    /* With a clock that was set back meanwhile, nobody can say when the daemon judged it. */
    int64_t now = question->is_cacheable ? attached_now() : 0;
    if (question->is_cacheable && now >= question->asked_at) {
        question_keep(question, token, now);
    }
}

/* ---- Judging here ---- */

/* Whether an answer is a verdict, and is one on this question. */
static bool question_is_answered(const struct sg_question *question,
                                 const struct sg_local_answer *answer)
{
    switch (answer->outcome) {
    case SG_LOCAL_GOOD:
        return answer->body != NULL && question_is_current(question) &&
               sg_verify_check_token(question->options, answer->body->token, NULL) == SIGNET_OK;
    case SG_LOCAL_REFUSED:
        return answer->reason != SIGNET_REASON_NONE && question_is_current(question);
    case SG_LOCAL_NO_MEMORY:
        return true;
    case SG_LOCAL_ASK:
    default:
        return false;
    }
}

void sg_question_judge(const struct sg_question *question, struct sg_local_answer *answer)
{
    *answer = (struct sg_local_answer){.outcome = SG_LOCAL_ASK};
    if (!question->is_tied) {
        return;
    }
    const struct sg_attached *attached = &question->client->attached;
    attached->ops->verify(attached->local, question->token, question->token_len, question->options,
                          question->asked_at, answer);
    if (!question_is_answered(question, answer)) {
        sg_verified_body_unref(answer->body);
        *answer = (struct sg_local_answer){.outcome = SG_LOCAL_ASK};
    } else if (answer->outcome == SG_LOCAL_GOOD) {
        question_keep(question, answer->body->token, question->asked_at);
    }
}
