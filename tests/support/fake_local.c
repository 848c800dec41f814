/* SPDX-License-Identifier: Apache-2.0
 *
 * In the place of libsignet-local. A good token is as fake_server's are: for whatever was asked, and with itself as jti.
 */
#include "tests/support/fake_local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define FAKE_EXPIRES INT64_C(4102444800) /* 2100-01-01 */

struct fake_body {
    struct sg_verified_body body;
    struct fake_local *local;
    Signet__V1__VerifiedToken token;
    char *audiences[1];
    char jti[];
};

/* In threads that are none of cmocka's. */
static void fake_demand(bool holds)
{
    if (!holds) {
        abort();
    }
}

static char *fake_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

static bool fake_generation(void *argument, uint64_t *generation)
{
    struct fake_local *local = argument;
    uint64_t now = atomic_load(&local->generation);
    if (now != 0) {
        *generation = now;
    }
    return now != 0;
}

/* The board changes while something is looked up in it. */
static void fake_change(struct fake_local *local)
{
    uint64_t next = atomic_exchange(&local->next, 0);
    if (next != 0) {
        atomic_store(&local->generation, next);
    }
}

static bool fake_key_span(void *argument, const char *keyset, const char *kid,
                          struct sg_local_span *span)
{
    struct fake_local *local = argument;
    fake_demand(keyset[0] != '\0' && kid[0] != '\0');
    fake_change(local);
    *span = (struct sg_local_span){atomic_load(&local->from), atomic_load(&local->until)};
    return span->from <= span->until;
}

static void fake_release(struct sg_verified_body *body)
{
    struct fake_body *fake = (struct fake_body *)(void *)body;
    atomic_fetch_sub(&fake->local->num_bodies, 1);
    free(fake);
}

static struct sg_verified_body *fake_good(struct fake_local *local, const char *text, size_t len,
                                          const struct signet_verify_options *options)
{
    struct fake_body *fake = calloc(1, sizeof(*fake) + len + 1);
    fake_demand(fake != NULL);
    atomic_fetch_add(&local->num_bodies, 1);
    fake->local = local;
    memcpy(fake->jti, text, len);
    Signet__V1__VerifiedToken *token = &fake->token;
    signet__v1__verified_token__init(token);
    token->issuer = fake_text("https://issuer");
    token->audience = fake->audiences;
    if (options->num_audiences > 0) {
        static char me[] = "me";
        fake->audiences[0] = me;
        token->n_audience = 1;
    }
    token->expires_at = FAKE_EXPIRES;
    token->jti = fake->jti;
    token->kid = fake_text("kid");
    token->keyset = fake_text("keyset");
    token->claims_json = fake_text("{}");
    atomic_init(&fake->body.num_refs, 1);
    fake->body.token = token;
    fake->body.release = fake_release;
    return &fake->body;
}

static void fake_verify(void *argument, const char *token, size_t token_len,
                        const struct signet_verify_options *options, int64_t now,
                        struct sg_local_answer *answer)
{
    struct fake_local *local = argument;
    fake_demand(now > 0 && token_len > 0);
    atomic_fetch_add(&local->num_judged, 1);
    answer->outcome = (enum sg_local_outcome)atomic_load(&local->outcome);
    if (answer->outcome == SG_LOCAL_GOOD) {
        answer->body = fake_good(local, token, token_len, options);
    } else if (answer->outcome == SG_LOCAL_REFUSED) {
        answer->reason = SIGNET_REASON_REVOKED;
        answer->detail = "refused here";
    }
    fake_change(local);
}

static void fake_free(void *argument)
{
    struct fake_local *local = argument;
    atomic_fetch_add(&local->num_freed, 1);
}

void fake_local_init(struct fake_local *local)
{
    memset(local, 0, sizeof(*local));
    local->ops = (struct sg_local_ops){
        .version = signet_version(),
        .generation = fake_generation,
        .key_span = fake_key_span,
        .verify = fake_verify,
        .free = fake_free,
    };
    atomic_store(&local->generation, 1);
    atomic_store(&local->until, FAKE_EXPIRES);
    atomic_store(&local->outcome, SG_LOCAL_ASK);
}

void fake_local_attach(struct fake_local *local, struct signet_client *client)
{
    struct signet_error error;
    if (sg_client_attach(client, &local->ops, local, &error) != SIGNET_OK) {
        fail_msg("%s", error.message);
    }
}
