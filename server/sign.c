/* SPDX-License-Identifier: Apache-2.0
 *
 * From a request to a finished token: rules, claims, signing input (RFC 7515 section 5.1), signature
 * from the keyholder. Whatever is signed here is within the limits that verifying has.
 */
#include "server/sign.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base64url.h"
#include "common/jose/claims.h"
#include "server/access.h"
#include "server/audit_note.h"
#include "server/claim_rules.h"
#include "server/fuse.h"
#include "server/keyholder/keyholder.h"
#include "server/keyring.h"
#include "server/request_rules.h"
#include "server/revocations.h"

/* Signed in one crossing to the keyholder; the deadline is looked at in between. */
#define SIGN_CHUNK 8u

/* For a request that met the end of a key. */
#define SIGN_RETRY_MS 10u
/* Until the second of a revocation is over, in steps. */
#define SIGN_REVOKED_RETRY_MS 100u

#define SIGN_JTI_BYTES 16u /* 128 bits: no two tokens share one */
#define SIGN_JTI_LEN   SG_BASE64URL_LEN(SIGN_JTI_BYTES)

struct sign_item {
    const Signet__V1__SignRequest *request;
    const struct sg_keyset *keyset;
    const struct sg_key *key;
    const struct sg_grant *grant; /* that lets the peer ask for it */
    struct sg_rpc_status error;   /* code other than SIGNET_OK: no token */
    struct sg_audit_place place;  /* taken before it is signed */
    int64_t issued_at, not_before, expires_at;
    char jti[SIGN_JTI_LEN + 1];
};

/* What is signed together. Made for as many as there are: one that waits for the keyholder costs little. */
struct sign_chunk {
    sg_sign_sink *sink;
    struct sg_audit *audit; /* where its items have places */
    size_t num;
    struct sign_item *items;
    size_t num_places; /* that its items have in the audit */
    bool is_cut;       /* the item that is prepared found no place, and is for the next chunk */
    /* Of the items without an error, in their order. */
    size_t num_inputs;
    struct sg_keyholder_request *inputs;
    struct sg_keyholder_reply *replies;
    /* The signing inputs, one after the other. */
    uint8_t *bytes;
    size_t bytes_len, bytes_cap;
    uint64_t crypto_us; /* how long the keyholder took for all of them */
};

/* ---- Rules (the comments of SignRequest) ---- */

static signet_status sign_check_audience(const Signet__V1__SignRequest *request,
                                         struct sg_rpc_status *error)
{
    const char *const *audience = (const char *const *)request->audience;
    if (request->n_audience == 0) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_REQUIRED",
                           "audience: say who the token is for");
    }
    signet_status status =
        sg_rule_texts("audience", audience, request->n_audience, SG_MAX_AUDIENCES,
                      SG_MAX_AUDIENCE_LEN, "AUDIENCE_INVALID", error);
    for (size_t i = 1; status == SIGNET_OK && i < request->n_audience; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(audience[i], audience[k]) == 0) {
                return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID",
                                   "audience: expected no two equal values");
            }
        }
    }
    return status;
}

/* The keyset's own typ, or nothing. */
static signet_status sign_check_typ(const struct sign_item *item, struct sg_rpc_status *error)
{
    const char *typ = item->request->typ;
    if (typ[0] == '\0') {
        return SIGNET_OK;
    }
    signet_status status = sg_rule_typ(typ, error);
    if (status == SIGNET_OK && strcmp(typ, item->keyset->typ) != 0) {
        status = sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "TYP_INVALID",
                             "typ: tokens of this keyset have typ %s", item->keyset->typ);
    }
    return status;
}

static signet_status sign_set_times(struct sign_item *item, int64_t now)
{
    const Signet__V1__SignRequest *request = item->request;
    uint32_t most_s =
        sg_claim_rules_max_ttl_s(sg_grant_claim_rules(item->grant), item->keyset->max_ttl_s);
    uint32_t default_s =
        item->keyset->default_ttl_s < most_s ? item->keyset->default_ttl_s : most_s;
    uint32_t ttl_s = request->ttl_s != 0 ? request->ttl_s : default_s;
    if (ttl_s > item->keyset->max_ttl_s) {
        return sg_rpc_fail(&item->error, SIGNET_INVALID_ARGUMENT, "TTL_TOO_LONG",
                           "ttl_s: tokens of this keyset live at most %u seconds",
                           item->keyset->max_ttl_s);
    }
    item->issued_at = now;
    item->not_before = request->not_before != 0 ? request->not_before : now;
    item->expires_at = now + (int64_t)ttl_s;
    if (item->not_before < 0 || item->not_before >= item->expires_at) {
        return sg_rpc_fail(&item->error, SIGNET_INVALID_ARGUMENT, "NOT_BEFORE_INVALID",
                           "not_before: expected seconds since 1970, before the token expires");
    }
    return SIGNET_OK;
}

static signet_status sign_check_foreign(struct sign_item *item)
{
    if (item->keyset->foreign != NULL) {
        return sg_rpc_fail(&item->error, SIGNET_INVALID_ARGUMENT, "KEYSET_FOREIGN",
                           "keyset: %s is a foreign issuer, whose tokens are only verified here",
                           item->keyset->name);
    }
    return SIGNET_OK;
}

/* What a request meets that was begun before a key was revoked, or before another was brought in. */
static signet_status sign_come_again(struct sign_item *item, const char *reason,
                                     const char *message)
{
    signet_status status = sg_rpc_fail(&item->error, SIGNET_UNAVAILABLE, reason, "%s", message);
    item->error.retry_after_ms = SIGN_RETRY_MS;
    return status;
}

static signet_status sign_without_key(struct sign_item *item, int64_t now)
{
    for (size_t i = 0; i < item->keyset->num_keys; i++) {
        if (sg_key_state(&item->keyset->keys[i], now) == SG_KEY_ACTIVE) {
            return sign_come_again(item, "NO_SIGNING_KEY",
                                   "keyset: the key that signs now is not in memory; try again");
        }
    }
    return sg_rpc_fail(&item->error, SIGNET_FAILED_PRECONDITION, "NO_SIGNING_KEY",
                       "keyset: it has no key that may sign now");
}

/* Who may not sign with a keyset is not told whether there is one. */
static signet_status sign_check_right(const struct sg_exchange *exchange, struct sign_item *item)
{
    const char *name = item->request->keyset;
    signet_status status = sg_rule_keyset_name(name, &item->error);
    return status == SIGNET_OK
               ? sg_access_check(exchange, SG_RIGHT_SIGN, name, &item->grant, &item->error)
               : status;
}

/* What would be refused from the start is not signed: see server/revocations.h. */
static signet_status sign_pass_revocations(const struct sg_exchange *exchange,
                                           struct sign_item *item)
{
    struct sg_revocations *revocations = exchange->service->revocations;
    int64_t from = revocations == NULL
                       ? 0
                       : sg_revocations_sign_from(revocations, item->keyset->issuer,
                                                  item->request->subject, item->keyset->name);
    if (item->issued_at >= from) {
        return SIGNET_OK;
    }
    signet_status status =
        sg_rpc_fail(&item->error, SIGNET_UNAVAILABLE, "JUST_REVOKED",
                    "tokens of this subject or keyset were revoked in this very second, and one "
                    "that is issued in it would be refused; try again in the next");
    item->error.retry_after_ms = SIGN_REVOKED_RETRY_MS;
    return status;
}

/* Revoke takes no key that signs, but a clock that is set back can make one of those before sign again. */
static signet_status sign_pass_kid(const struct sg_exchange *exchange, struct sign_item *item)
{
    struct sg_revocations *revocations = exchange->service->revocations;
    if (revocations == NULL ||
        !sg_revocations_has_kid(revocations, item->keyset->name, item->key->kid)) {
        return SIGNET_OK;
    }
    return sg_rpc_fail(&item->error, SIGNET_FAILED_PRECONDITION, "SIGNING_KEY_REVOKED",
                       "keyset: tokens under the key that signs now are refused, since its kid was "
                       "revoked; was the clock set back? Otherwise: signet key rotate %s --now",
                       item->keyset->name);
}

static signet_status sign_check(const struct sg_exchange *exchange, struct sign_item *item)
{
    const Signet__V1__SignRequest *request = item->request;
    struct sg_rpc_status *error = &item->error;
    signet_status status = sg_rule_keyset(exchange->keyring, request->keyset, &item->keyset, error);
    if (status == SIGNET_OK) {
        status = sign_check_foreign(item);
    }
    if (status == SIGNET_OK) {
        status =
            sg_rule_text("subject", request->subject, SG_MAX_SUBJECT_LEN, "SUBJECT_INVALID", error);
    }
    if (status == SIGNET_OK) {
        status = sign_check_audience(request, error);
    }
    if (status == SIGNET_OK) {
        status = sign_check_typ(item, error);
    }
    if (status == SIGNET_OK) {
        status = sign_set_times(item, exchange->now.wall_s);
    }
    if (status == SIGNET_OK) {
        status = sign_pass_revocations(exchange, item);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    item->key = sg_keyset_signing_key(item->keyset, exchange->now.wall_s);
    return item->key != NULL ? sign_pass_kid(exchange, item)
                             : sign_without_key(item, exchange->now.wall_s);
}

/* ---- Writing what is signed ---- */

static signet_status sign_no_memory(struct sign_item *item)
{
    return sg_rpc_fail(&item->error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "the daemon is out of memory");
}

static signet_status sign_too_long(struct sign_item *item)
{
    return sg_rpc_fail(&item->error, SIGNET_INVALID_ARGUMENT, "TOKEN_TOO_LONG",
                       "claims_json: the token would be longer than %u characters",
                       SG_MAX_TOKEN_LEN);
}

static signet_status sign_make_jti(struct sign_item *item)
{
    uint8_t random[SIGN_JTI_BYTES];
    if (getentropy(random, sizeof(random)) != 0) {
        return sg_rpc_fail(&item->error, SIGNET_INTERNAL, "NO_RANDOM",
                           "the system gives no random bytes");
    }
    item->jti[sg_base64url_encode(random, sizeof(random), item->jti)] = '\0';
    return SIGNET_OK;
}

static signet_status sign_write_claims(struct sign_item *item, const struct sg_claim_ruling *ruling,
                                       char **out, size_t *out_len)
{
    const Signet__V1__SignRequest *request = item->request;
    bool has_extra = request->claims_json[0] != '\0';
    const struct sg_new_claims claims = {
        .issuer = item->keyset->issuer,
        .subject = request->subject,
        .jti = item->jti,
        .audiences = (const char *const *)request->audience,
        .num_audiences = request->n_audience,
        .iat = item->issued_at,
        .nbf = item->not_before,
        .exp = item->expires_at,
        .extra_json = has_extra ? request->claims_json : NULL,
        .extra_json_len = has_extra ? strlen(request->claims_json) : 0,
        .check = ruling->check,
        .forced = ruling->forced,
        .num_forced = ruling->num_forced,
    };
    const char *detail = NULL;
    signet_status status = sg_claims_write(&claims, out, out_len, &detail);
    if (status == SIGNET_INVALID_ARGUMENT) {
        return sg_rpc_fail(&item->error, status, "CLAIMS_INVALID", "claims_json: %s", detail);
    }
    if (status == SIGNET_PERMISSION_DENIED) {
        return status; /* the ruling filled the error */
    }
    return status == SIGNET_OK ? SIGNET_OK : sign_no_memory(item);
}

/* The payload as JSON, under the rules of the grant; free() it. */
static signet_status sign_write_payload(const struct sg_exchange *exchange, struct sign_item *item,
                                        char **out, size_t *out_len)
{
    struct sg_claim_ruling ruling = {0};
    signet_status status = sg_claim_ruling_init(&ruling, sg_grant_claim_rules(item->grant),
                                                &exchange->peer, item->request, &item->error);
    if (status == SIGNET_OK) {
        status = sign_write_claims(item, &ruling, out, out_len);
    }
    sg_claim_ruling_fini(&ruling);
    return status;
}

static bool sign_reserve(struct sign_chunk *chunk, size_t extra)
{
    size_t needed = chunk->bytes_len + extra;
    if (needed <= chunk->bytes_cap) {
        return true;
    }
    size_t cap = needed > 2 * chunk->bytes_cap ? needed : 2 * chunk->bytes_cap;
    uint8_t *bytes = realloc(chunk->bytes, cap);
    if (bytes == NULL) {
        return false;
    }
    chunk->bytes = bytes;
    chunk->bytes_cap = cap;
    return true;
}

/* Adds header '.' payload in base64url (RFC 7515 section 5.1) to what the keyholder is to sign. */
static signet_status sign_add_input(struct sign_chunk *chunk, struct sign_item *item,
                                    const char *payload, size_t payload_len)
{
    const struct sg_key *key = item->key;
    size_t len = key->header_b64_len + 1 + SG_BASE64URL_LEN(payload_len);
    if (payload_len > SG_MAX_PAYLOAD_LEN || len > SG_MAX_TOKEN_LEN) {
        return sign_too_long(item);
    }
    if (!sign_reserve(chunk, len)) {
        return sign_no_memory(item);
    }
    char *at = (char *)chunk->bytes + chunk->bytes_len;
    memcpy(at, key->header_b64, key->header_b64_len);
    at[key->header_b64_len] = '.';
    (void)sg_base64url_encode((const uint8_t *)payload, payload_len, at + key->header_b64_len + 1);
    /* Before there is a signature: whatever happens next, the key outlives the token. */
    sg_key_core_note_expiry(key->core, item->expires_at);
    chunk->inputs[chunk->num_inputs++] = (struct sg_keyholder_request){
        .op = SG_KEYHOLDER_SIGN,
        .slot = sg_key_slot(key),
        .data_off = (uint32_t)chunk->bytes_len,
        .data_len = (uint32_t)len,
    };
    chunk->bytes_len += len;
    return SIGNET_OK;
}

/* The grant's ceiling of tokens that are alive. */
static signet_status sign_pass_fuse(const struct sg_exchange *exchange, struct sign_item *item)
{
    if (exchange->service->fuse == NULL) {
        return SIGNET_OK;
    }
    switch (sg_fuse_admit(exchange->service->fuse, sg_grant_name(item->grant),
                          sg_grant_max_live_tokens(item->grant), item->expires_at,
                          exchange->now.wall_s)) {
    case SG_FUSE_MAY:
        return SIGNET_OK;
    case SG_FUSE_FROZEN:
        return sg_rpc_fail(&item->error, SIGNET_FAILED_PRECONDITION, "GRANT_FROZEN",
                           "more tokens of this grant are alive than its max_live_tokens; it signs "
                           "again when an operator thaws it (signet policy thaw)");
    case SG_FUSE_NO_MEMORY:
        break;
    }
    return sign_no_memory(item);
}

/* Takes the place of the item's record. Who has places does not wait for another: those who wait for each other's
 * would wait until their deadlines. Nor does a thread that serves others. */
static signet_status sign_take_place(const struct sg_exchange *exchange, struct sign_chunk *chunk,
                                     struct sign_item *item)
{
    const bool may_wait = !exchange->wait.is_allowed && chunk->num_places == 0;
    signet_status status = may_wait ? sg_audit_admit(exchange, &item->place, &item->error)
                                    : sg_audit_admit_at_once(exchange, &item->place, &item->error);
    if (status == SIGNET_OK) {
        chunk->num_places++;
    } else {
        chunk->is_cut = !exchange->wait.is_allowed && chunk->num_places > 0;
    }
    return status;
}

/* What may be signed: all that comes before has said yes, and there is room for its record. */
static signet_status sign_admit(const struct sg_exchange *exchange, struct sign_chunk *chunk,
                                struct sign_item *item)
{
    signet_status status = sign_take_place(exchange, chunk, item);
    return status == SIGNET_OK ? sign_pass_fuse(exchange, item) : status;
}

static signet_status sign_prepare_allowed(const struct sg_exchange *exchange,
                                          struct sign_chunk *chunk, struct sign_item *item)
{
    char *payload = NULL;
    size_t payload_len = 0;
    signet_status status = sign_check(exchange, item);
    if (status == SIGNET_OK) {
        status = sign_make_jti(item);
    }
    if (status == SIGNET_OK) {
        status = sign_write_payload(exchange, item, &payload, &payload_len);
    }
    if (status == SIGNET_OK) {
        status = sign_admit(exchange, chunk, item);
    }
    if (status == SIGNET_OK) {
        status = sign_add_input(chunk, item, payload, payload_len);
    }
    free(payload);
    return status;
}

static void sign_note_refusal(const struct sg_exchange *exchange, const struct sign_item *item)
{
    sg_audit_note_refusal(exchange, item->keyset != NULL ? item->keyset->name : NULL, item->grant,
                          &item->error);
}

static void sign_give_place(struct sign_chunk *chunk, struct sign_item *item)
{
    chunk->num_places -= item->place.state != 0 ? 1 : 0;
    sg_audit_release(chunk->audit, &item->place);
}

static signet_status sign_prepare(const struct sg_exchange *exchange, struct sign_chunk *chunk,
                                  struct sign_item *item)
{
    signet_status status = sign_check_right(exchange, item);
    if (status == SIGNET_PERMISSION_DENIED) {
        return status; /* it is in the audit */
    }
    if (status == SIGNET_OK) {
        status = sign_prepare_allowed(exchange, chunk, item);
    }
    if (status != SIGNET_OK && !chunk->is_cut) {
        sign_give_place(chunk, item);
        sign_note_refusal(exchange, item);
    }
    return status;
}

/* ---- Answering ---- */

/* Whether the key was barred, or its private part taken out of memory, after it was chosen. */
static bool sign_has_lost_key(const struct sign_item *item,
                              const struct sg_keyholder_request *input,
                              const struct sg_keyholder_reply *reply)
{
    return reply->status == SIGNET_FAILED_PRECONDITION ||
           (reply->status == SIGNET_NOT_FOUND &&
            (input->slot == 0 || input->slot != sg_key_slot(item->key)));
}

/* Puts the signing input and its signature together (RFC 7515 section 7.1). */
static signet_status sign_finish(const struct sign_chunk *chunk, struct sign_item *item,
                                 const struct sg_keyholder_request *input,
                                 const struct sg_keyholder_reply *reply, char *token)
{
    if (sign_has_lost_key(item, input, reply)) {
        return reply->status == SIGNET_NOT_FOUND
                   ? sign_come_again(
                         item, "NO_SIGNING_KEY",
                         "the key left the memory just now; the one that signs is loaded")
                   : sign_come_again(item, "KEY_REVOKED",
                                     "the key was revoked just now; the next one signs");
    }
    if (reply->status != SIGNET_OK || reply->data_len == 0 ||
        reply->data_len > sizeof(reply->data)) {
        return sg_rpc_fail(&item->error, SIGNET_INTERNAL, "KEYHOLDER_FAILED",
                           "the keyholder did not sign");
    }
    size_t len = input->data_len;
    if (len + 1 + SG_BASE64URL_LEN(reply->data_len) > SG_MAX_TOKEN_LEN) {
        return sign_too_long(item);
    }
    memcpy(token, chunk->bytes + input->data_off, len);
    token[len++] = '.';
    len += sg_base64url_encode(reply->data, reply->data_len, token + len);
    token[len] = '\0';
    return SIGNET_OK;
}

static void sign_record(const struct sg_exchange *exchange, struct sign_item *item)
{
    const Signet__V1__SignRequest *request = item->request;
    const struct sg_audit_minted minted = {
        .key = item->key,
        .grant = item->grant,
        .jti = item->jti,
        .subject = request->subject,
        .audiences = (const char *const *)request->audience,
        .num_audiences = request->n_audience,
        .expires_at = item->expires_at,
    };
    sg_audit_write_minted(exchange, &item->place, &minted);
}

static void sign_count(struct sg_exchange *exchange, const struct sign_chunk *chunk,
                       const struct sign_item *item)
{
    bool is_signed = item->error.code == SIGNET_OK;
    const struct sg_metrics_token token = {
        .act = SG_METRICS_SIGN,
        .status = item->error.code,
        .alg = is_signed ? item->key->alg : SG_ALG_UNSET,
        .keyset = item->keyset != NULL ? item->keyset->name : NULL,
        .crypto_us = is_signed ? chunk->crypto_us / chunk->num_inputs : 0,
    };
    sg_exchange_count(exchange, &token);
}

static signet_status sign_answer(struct sg_exchange *exchange, const struct sign_chunk *chunk,
                                 const struct sign_item *item, char *token)
{
    Signet__V1__SignResponse response = SIGNET__V1__SIGN_RESPONSE__INIT;
    struct sg_sign_outcome outcome = {0};
    if (item->error.code != SIGNET_OK) {
        outcome.error = &item->error;
    } else {
        response.token = token;
        response.kid = sg_reply_text(item->key->kid);
        response.jti = sg_reply_text(item->jti);
        response.expires_at = item->expires_at;
        response.issued_at = item->issued_at;
        outcome.token = &response;
    }
    sign_count(exchange, chunk, item);
    return chunk->sink(exchange, &outcome);
}

static void sign_prepare_chunk(struct sg_exchange *exchange, struct sign_chunk *chunk,
                               const Signet__V1__SignRequest *const *requests, size_t num)
{
    chunk->num = 0;
    chunk->num_places = 0;
    chunk->is_cut = false;
    chunk->num_inputs = 0;
    chunk->bytes_len = 0;
    while (chunk->num < num) {
        struct sign_item *item = &chunk->items[chunk->num];
        *item = (struct sign_item){.request = requests[chunk->num]};
        item->error.code = sign_prepare(exchange, chunk, item);
        if (chunk->is_cut) {
            return;
        }
        chunk->num++;
    }
}

/* The keyholder has answered. */
static signet_status sign_answer_chunk(struct sg_exchange *exchange, struct sign_chunk *chunk)
{
    char token[SG_MAX_TOKEN_LEN + 1];
    signet_status status = SIGNET_OK;
    size_t input = 0;
    for (size_t i = 0; status == SIGNET_OK && i < chunk->num; i++) {
        struct sign_item *item = &chunk->items[i];
        if (item->error.code == SIGNET_OK) {
            item->error.code =
                sign_finish(chunk, item, &chunk->inputs[input], &chunk->replies[input], token);
            input++;
            if (item->error.code == SIGNET_OK) {
                sign_record(exchange, item);
            } else {
                sign_give_place(chunk, item);
                sign_note_refusal(exchange, item);
            }
        }
        status = sign_answer(exchange, chunk, item, token);
    }
    return status;
}

static signet_status sign_work(struct sg_exchange *exchange, struct sign_chunk *chunk)
{
    if (chunk->num_inputs > 0) {
        uint64_t begun_us = sg_exchange_read_us(exchange);
        signet_status status =
            sg_keyholder_call(exchange->service->keyholder, chunk->inputs, chunk->num_inputs,
                              chunk->bytes, chunk->bytes_len, chunk->replies);
        chunk->crypto_us = sg_exchange_read_us(exchange) - begun_us;
        exchange->sample.crypto_us += chunk->crypto_us;
        if (status != SIGNET_OK) {
            return sg_exchange_no_keyholder(exchange, status);
        }
    }
    return sign_answer_chunk(exchange, chunk);
}

/* ---- Waiting for the keyholder ---- */

/* NULL without memory. Free its bytes, and then it. */
static struct sign_chunk *sign_new_chunk(size_t max, struct sg_audit *audit, sg_sign_sink *sink)
{
    struct sign_chunk *chunk =
        malloc(sizeof(*chunk) +
               max * (sizeof(*chunk->items) + sizeof(*chunk->inputs) + sizeof(*chunk->replies)));
    if (chunk != NULL) {
        *chunk = (struct sign_chunk){.sink = sink, .audit = audit};
        /* In the order of their alignment. */
        chunk->replies = (struct sg_keyholder_reply *)(void *)(chunk + 1);
        chunk->inputs = (struct sg_keyholder_request *)(void *)(chunk->replies + max);
        chunk->items = (struct sign_item *)(void *)(chunk->inputs + max);
    }
    return chunk;
}

static void sign_free_chunk(void *job)
{
    struct sign_chunk *chunk = job;
    for (size_t i = 0; i < chunk->num; i++) {
        sg_audit_release(chunk->audit, &chunk->items[i].place);
    }
    free(chunk->bytes);
    free(chunk);
}

static signet_status sign_resume(struct sg_exchange *exchange)
{
    struct sign_chunk *chunk = exchange->wait.job;
    chunk->crypto_us = exchange->sample.crypto_us; /* nothing else was waited for */
    return sign_answer_chunk(exchange, chunk);
}

/* Leaves the rest to when the keyholder has answered. */
static void sign_wait(struct sg_exchange *exchange, struct sign_chunk *chunk)
{
    struct sg_exchange_wait *wait = &exchange->wait;
    wait->crossing.status = SIGNET_UNAVAILABLE; /* until it is known */
    wait->crossing.requests = chunk->inputs;
    wait->crossing.num = chunk->num_inputs;
    wait->crossing.bytes = chunk->bytes;
    wait->crossing.bytes_len = chunk->bytes_len;
    wait->crossing.replies = chunk->replies;
    wait->job = chunk;
    wait->free_job = sign_free_chunk;
    wait->resume = sign_resume;
}

/* ---- Many at once ---- */

/* How many of the requests to sign in one crossing. One that is slow goes alone: neither a deadline nor
 * a stop waits for more than one. */
static size_t sign_chunk_len(const struct sg_keyring *keyring,
                             const Signet__V1__SignRequest *const *requests, size_t num)
{
    size_t len = 0;
    while (len < num && len < SIGN_CHUNK && !sg_sign_is_slow(keyring, requests[len])) {
        len++;
    }
    return len > 0 ? len : 1;
}

static signet_status sign_at_once(struct sg_exchange *exchange, struct sign_chunk *chunk,
                                  const Signet__V1__SignRequest *const *requests, size_t num)
{
    signet_status status = SIGNET_OK;
    for (size_t done = 0; status == SIGNET_OK && done < num; done += chunk->num) {
        if (done > 0) {
            status = sg_exchange_check_deadline(exchange);
        }
        if (status == SIGNET_OK) {
            size_t len = sign_chunk_len(exchange->keyring, requests + done, num - done);
            sign_prepare_chunk(exchange, chunk, requests + done, len);
            status = sign_work(exchange, chunk);
        }
    }
    return status;
}

signet_status sg_sign(struct sg_exchange *exchange, const Signet__V1__SignRequest *const *requests,
                      size_t num, sg_sign_sink *sink)
{
    struct sign_chunk *chunk =
        sign_new_chunk(num < SIGN_CHUNK ? num : SIGN_CHUNK, exchange->service->audit, sink);
    if (chunk == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    exchange->sample.num_items = (uint32_t)num;
    signet_status status;
    if (!exchange->wait.is_allowed || sign_chunk_len(exchange->keyring, requests, num) < num) {
        status = sign_at_once(exchange, chunk, requests, num);
    } else {
        sign_prepare_chunk(exchange, chunk, requests, num);
        if (chunk->num_inputs > 0) {
            sign_wait(exchange, chunk);
            return SIGNET_OK;
        }
        status = sign_answer_chunk(exchange, chunk);
    }
    sign_free_chunk(chunk);
    return status;
}

/* HMAC, ES256 and Ed25519 are quick enough for the thread that read the request. */
static bool sign_alg_is_slow(enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    return info == NULL ||
           (info->family != SG_FAMILY_HMAC && alg != SG_ALG_ES256 && alg != SG_ALG_ED25519);
}

bool sg_sign_is_slow(const struct sg_keyring *keyring, const Signet__V1__SignRequest *request)
{
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, request->keyset);
    return keyset != NULL && keyset->foreign == NULL && sign_alg_is_slow(keyset->alg);
}
