/* SPDX-License-Identifier: Apache-2.0
 *
 * Revoking a key by its kid: of a foreign issuer, and of our own once it signs no more; and for how long revocations are
 * kept where others than the daemon may have signed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_fixture.h"
#include "jose_token.h"
#include "keyring_fixture.h"
#include "server/config_values.h"
#include "server/keyholder/keyholder.h"
#include "server/policy.h"
#include "server/revocations.h"
#include "server/revoke_service.h"
#include "server/right.h"
#include "server/sign.h"
#include "server/store.h"
#include "server/verify.h"
#include "signet/v1/admin.pb-c.h"
#include "tests/support/files.h"

#define IDP       "https://idp.example"
#define OTHER_IDP "https://other-idp.example"

/* When the keys of "ours" sign from; overlap is 100 s. */
#define GONE_FROM (RING_NOW - 10000)
#define OLD_FROM  (RING_NOW - 200)
#define NOW_FROM  (RING_NOW - 50)
#define NEXT_FROM (RING_NOW + 1000)
#define NUM_CORES 5u

static char text_ours[] = "ours";
static char text_more[] = "more";
static char text_idp[] = "idp";
static char text_other[] = "other";

struct kids {
    struct sg_keyholder *keyholder;
    struct sg_key_core
        *cores[NUM_CORES]; /* "gone", "old", "now", "next" of ours, and "old" of more */
    struct jose_key ec, ec_other;
    struct sg_trust_key keys[2]; /* of idp and other: both "k" */
    struct sg_trust_issuer idp, other;
    struct sg_keyring *keyring;
    char dir[96];
    struct sg_store *store;
    struct sg_service service;
    int64_t now;
};

static int64_t kids_read_wall_s(void)
{
    return RING_NOW;
}

/* more has the issuer of ours. */
static void kids_build(struct kids *kids, unsigned rights, bool imported)
{
    static char name[] = "all";
    static char every[] = "*";
    static char *keysets[] = {every};
    const struct sg_config_grant grant = {.name = name,
                                          .who = {.is_anybody = true},
                                          .may = rights,
                                          .keysets = keysets,
                                          .num_keysets = 1};
    const struct sg_config_keyset ours = ring_policy(text_ours, SG_ALG_ES256);
    const struct sg_config_keyset more = ring_policy(text_more, SG_ALG_ES256);
    struct sg_keyring_key of_ours[] = {
        ring_key(kids->cores[0], 1, GONE_FROM), ring_key(kids->cores[1], 2, OLD_FROM),
        ring_key(kids->cores[2], 3, NOW_FROM), ring_key(kids->cores[3], 4, NEXT_FROM)};
    struct sg_keyring_key of_more = ring_key(kids->cores[4], 1, GONE_FROM);
    of_more.imported = imported;
    const struct sg_keyring_part parts[] = {{.policy = &ours, .keys = of_ours, .num_keys = 4},
                                            {.policy = &more, .keys = &of_more, .num_keys = 1}};
    struct sg_trust_issuer *issuers[] = {&kids->idp, &kids->other};
    struct sg_policy *policy = NULL;
    sg_keyring_unref(kids->keyring);
    kids->keyring = ring_build(parts, 2, issuers, 2);
    assert_int_equal(sg_policy_new(&grant, 1, &policy), SIGNET_OK);
    sg_keyring_set_policy(kids->keyring, policy);
    sg_policy_unref(policy);
}

static void kids_open(struct kids *kids)
{
    char error[256] = "";
    if (sg_store_open(kids->dir, &kids->store, error, sizeof(error)) != SIGNET_OK ||
        sg_revocations_new(kids->store, NULL, kids_read_wall_s, &kids->service.revocations, error,
                           sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

static void kids_close(struct kids *kids)
{
    sg_revocations_free(kids->service.revocations);
    sg_store_close(kids->store);
    kids->service.revocations = NULL;
    kids->store = NULL;
}

static struct sg_trust_issuer kids_issuer(const char *name, const char *issuer,
                                          struct sg_trust_key *key)
{
    struct sg_trust_issuer out = {.keys = key, .num_keys = 1};
    (void)snprintf(out.name, sizeof(out.name), "%s", name);
    (void)snprintf(out.issuer, sizeof(out.issuer), "%s", issuer);
    return out;
}

static int setup(void **state)
{
    static const char *const names[NUM_CORES] = {"gone", "old", "now", "next", "old"};
    struct kids *kids = calloc(1, sizeof(*kids));
    assert_non_null(kids);
    kids->now = RING_NOW;
    assert_int_equal(sg_keyholder_new(1, &kids->keyholder), SIGNET_OK);
    for (size_t i = 0; i < NUM_CORES; i++) {
        kids->cores[i] = ring_core(kids->keyholder, SG_ALG_ES256, names[i]);
    }
    jose_key_new(&kids->ec, SG_ALG_ES256);
    jose_key_new(&kids->ec_other, SG_ALG_ES256);
    kids->keys[0] =
        (struct sg_trust_key){.kid = "k", .alg = SG_ALG_ES256, .public_key = kids->ec.public};
    kids->keys[1] =
        (struct sg_trust_key){.kid = "k", .alg = SG_ALG_ES256, .public_key = kids->ec_other.public};
    kids->idp = kids_issuer("idp", IDP, &kids->keys[0]);
    kids->other = kids_issuer("other", OTHER_IDP, &kids->keys[1]);
    kids_build(kids, SG_RIGHT_SIGN | SG_RIGHT_VERIFY | SG_RIGHT_REVOKE, false);
    kids->service.keyholder = kids->keyholder;
    test_temp_dir(kids->dir, sizeof(kids->dir));
    kids_open(kids);
    *state = kids;
    return 0;
}

static int teardown(void **state)
{
    struct kids *kids = *state;
    kids_close(kids);
    test_remove_tree(kids->dir);
    sg_keyring_unref(kids->keyring);
    for (size_t i = 0; i < NUM_CORES; i++) {
        sg_key_core_unref(kids->cores[i]);
    }
    jose_key_free(&kids->ec);
    jose_key_free(&kids->ec_other);
    sg_keyholder_free(kids->keyholder);
    assert_int_equal(ring_num_trust_refs(), 0);
    free(kids);
    return 0;
}

/* ---- Calls, without dispatch around them ---- */

struct kids_call {
    struct sg_arena arena;
    struct sg_exchange exchange;
};

static void call_begin(const struct kids *kids, struct kids_call *call)
{
    sg_arena_init(&call->arena, 1u << 20);
    call->exchange = (struct sg_exchange){.service = &kids->service,
                                          .method = "",
                                          .keyring = kids->keyring,
                                          .peer = {.uid = 1000, .gid = 1000, .pid = 4711},
                                          .now = {.wall_s = kids->now},
                                          .deadline_ms = 1000,
                                          .arena = &call->arena};
}

static void call_end(struct kids_call *call)
{
    sg_reply_fini(&call->exchange.reply);
    sg_arena_fini(&call->arena);
}

/* The payload of the answer; NULL if it is not one of the type. Release it with protobuf_c_message_free_unpacked. */
static ProtobufCMessage *call_payload(struct kids_call *call)
{
    struct sg_reply *reply = &call->exchange.reply;
    assert_int_equal(sg_reply_finish(reply), SIGNET_OK);
    Signet__Rpc__V1__Response *response =
        signet__rpc__v1__response__unpack(NULL, reply->len, reply->bytes);
    assert_non_null(response);
    ProtobufCMessage *payload = protobuf_c_message_unpack(
        call->exchange.reply_type, NULL, response->payload.len, response->payload.data);
    signet__rpc__v1__response__free_unpacked(response, NULL);
    assert_non_null(payload);
    return payload;
}

static Signet__V1__RevokeRequest by_kid(char *keyset, char *kid)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_KID;
    request.kid = kid;
    request.keyset = keyset;
    return request;
}

/* reason NULL: it must be done. Gives the `until` that is answered. */
static int64_t revoke(const struct kids *kids, const Signet__V1__RevokeRequest *request,
                      signet_status expected, const char *reason)
{
    struct kids_call call;
    int64_t until = -1;
    call_begin(kids, &call);
    call.exchange.request = &request->base;
    call.exchange.reply_type = &signet__v1__revoke_response__descriptor;
    signet_status status = sg_revoke(&call.exchange);
    if (status != expected || (reason != NULL && strcmp(call.exchange.error.reason, reason) != 0)) {
        fail_msg("%d %s: %s", (int)status, call.exchange.error.reason, call.exchange.error.message);
    }
    if (status == SIGNET_OK) {
        ProtobufCMessage *payload = call_payload(&call);
        const Signet__V1__Revocation *revocation =
            ((const Signet__V1__RevokeResponse *)payload)->revocation;
        assert_non_null(revocation);
        assert_int_equal(revocation->revoked_at, RING_NOW);
        assert_int_equal(revocation->uid, 1000);
        until = revocation->until;
        if (request->what_case == SIGNET__V1__REVOKE_REQUEST__WHAT_KID) {
            assert_int_equal(revocation->kind, SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID);
            assert_string_equal(revocation->keyset, request->keyset);
            assert_string_equal(revocation->name, request->kid);
            assert_string_equal(revocation->issuer, "");
            assert_int_equal(until, 0);
        }
        protobuf_c_message_free_unpacked(payload, NULL);
    }
    call_end(&call);
    return until;
}

static void expect_revoked(const struct kids *kids, char *keyset, char *kid)
{
    const Signet__V1__RevokeRequest request = by_kid(keyset, kid);
    (void)revoke(kids, &request, SIGNET_OK, NULL);
}

static void expect_error(const struct kids *kids, char *keyset, char *kid, signet_status status,
                         const char *reason)
{
    const Signet__V1__RevokeRequest request = by_kid(keyset, kid);
    (void)revoke(kids, &request, status, reason);
}

/* ---- Tokens ---- */

static struct {
    char text[JOSE_TOKEN_CAP];
    char kid[SG_MAX_KID_LEN + 1];
    char reason[64];      /* of an error */
    int rejection;        /* 0: it is good */
    signet_status status; /* of signing */
} kids_found;

static signet_status sign_sink(struct sg_exchange *exchange, const struct sg_sign_outcome *outcome)
{
    (void)exchange;
    kids_found.status = outcome->error != NULL ? outcome->error->code : SIGNET_OK;
    (void)snprintf(kids_found.reason, sizeof(kids_found.reason), "%s",
                   outcome->error != NULL ? outcome->error->reason : "");
    if (outcome->token != NULL) {
        (void)snprintf(kids_found.text, sizeof(kids_found.text), "%s", outcome->token->token);
        (void)snprintf(kids_found.kid, sizeof(kids_found.kid), "%s", outcome->token->kid);
    }
    return SIGNET_OK;
}

/* As if it were then. */
static signet_status sign_at(struct kids *kids, char *keyset, int64_t when)
{
    char *audience[] = {(char[]){"orders"}};
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    const Signet__V1__SignRequest *requests[] = {&request};
    struct kids_call call;
    int64_t now = kids->now;
    request.keyset = keyset;
    request.subject = (char[]){"alice"};
    request.audience = audience;
    request.n_audience = 1;
    kids->now = when;
    call_begin(kids, &call);
    assert_int_equal(sg_sign(&call.exchange, requests, 1, sign_sink), SIGNET_OK);
    call_end(&call);
    kids->now = now;
    return kids_found.status;
}

static void mint_at(struct kids *kids, char *keyset, const char *kid, int64_t when, char *token)
{
    assert_int_equal(sign_at(kids, keyset, when), SIGNET_OK);
    assert_string_equal(kids_found.kid, kid);
    (void)snprintf(token, JOSE_TOKEN_CAP, "%s", kids_found.text);
}

static signet_status verify_sink(struct sg_exchange *exchange,
                                 const struct sg_verify_outcome *outcome)
{
    (void)exchange;
    assert_null(outcome->error);
    kids_found.rejection = outcome->rejection != NULL ? (int)outcome->rejection->reason : 0;
    return SIGNET_OK;
}

static int judge(const struct kids *kids, char *token)
{
    char *audience[] = {(char[]){"orders"}};
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    const Signet__V1__VerifyRequest *requests[] = {&request};
    struct kids_call call;
    request.token = token;
    request.audiences = audience;
    request.n_audiences = 1;
    call_begin(kids, &call);
    kids_found.rejection = -1;
    assert_int_equal(sg_verify(&call.exchange, requests, 1, verify_sink), SIGNET_OK);
    call_end(&call);
    return kids_found.rejection;
}

static void expect_good(const struct kids *kids, char *token)
{
    assert_int_equal(judge(kids, token), 0);
}

static void expect_refused(const struct kids *kids, char *token)
{
    assert_int_equal(judge(kids, token), SIGNET__V1__REJECTION_REASON__REVOKED);
}

#define FOREIGN_CLAIMS(issuer, iat)                                                                \
    "{\"iss\":\"" issuer "\",\"aud\":\"orders\",\"sub\":\"a\",\"exp\":1800000100" iat "}"

static void foreign_token(const struct jose_key *key, const char *claims, char *token)
{
    jose_token(key, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims, token);
}

/* ---- What is revoked, and what is not ---- */

static void test_kid__of_a_foreign_key_whatever_its_iat(void **state)
{
    struct kids *kids = *state;
    char without[JOSE_TOKEN_CAP];
    char old[JOSE_TOKEN_CAP];
    char late[JOSE_TOKEN_CAP];
    char of_other[JOSE_TOKEN_CAP];
    foreign_token(&kids->ec, FOREIGN_CLAIMS(IDP, ""), without);
    foreign_token(&kids->ec, FOREIGN_CLAIMS(IDP, ",\"iat\":1"), old);
    foreign_token(&kids->ec, FOREIGN_CLAIMS(IDP, ",\"iat\":1800000050"), late);
    foreign_token(&kids->ec_other, FOREIGN_CLAIMS(OTHER_IDP, ""), of_other);
    expect_good(kids, without);
    expect_good(kids, old);
    expect_revoked(kids, text_idp, (char[]){"k"});
    expect_refused(kids, without);
    expect_refused(kids, old);
    kids->now = RING_NOW + 60;
    expect_refused(kids, late);
    /* Another issuer's key of this kid is another key. */
    expect_good(kids, of_other);
    expect_revoked(kids, text_idp, (char[]){"k"}); /* again is no error */
    expect_good(kids, of_other);
    expect_revoked(kids, text_other, (char[]){"k"});
    expect_refused(kids, of_other);
}

static void test_kid__of_our_own_key_that_signs_no_more(void **state)
{
    struct kids *kids = *state;
    char old[JOSE_TOKEN_CAP];
    char fresh[JOSE_TOKEN_CAP];
    char of_more[JOSE_TOKEN_CAP];
    mint_at(kids, text_ours, "old", OLD_FROM + 1, old);
    mint_at(kids, text_ours, "now", RING_NOW, fresh);
    mint_at(kids, text_more, "old", RING_NOW, of_more);
    expect_good(kids, old);
    expect_revoked(kids, text_ours, (char[]){"old"});
    expect_refused(kids, old);
    expect_good(kids, fresh);
    expect_good(kids, of_more); /* of the same kid and issuer, and of another keyset */
    assert_int_equal(sign_at(kids, text_ours, RING_NOW), SIGNET_OK);
    expect_revoked(kids, text_ours, (char[]){"gone"}); /* nobody's any more: no harm */
}

static void test_kid__of_a_key_that_signs_is_refused(void **state)
{
    struct kids *kids = *state;
    char fresh[JOSE_TOKEN_CAP];
    mint_at(kids, text_ours, "now", RING_NOW, fresh);
    expect_error(kids, text_ours, (char[]){"now"}, SIGNET_FAILED_PRECONDITION, "KEY_SIGNS");
    expect_error(kids, text_ours, (char[]){"next"}, SIGNET_FAILED_PRECONDITION, "KEY_SIGNS");
    expect_error(kids, text_more, (char[]){"old"}, SIGNET_FAILED_PRECONDITION, "KEY_SIGNS");
    expect_good(kids, fresh);
    assert_int_equal(sign_at(kids, text_ours, NEXT_FROM), SIGNET_OK);
    assert_int_equal(sign_at(kids, text_more, RING_NOW), SIGNET_OK);
}

static void test_kid__that_is_not_the_keysets_is_not_found(void **state)
{
    struct kids *kids = *state;
    char long_kid[SG_MAX_KID_LEN + 2];
    memset(long_kid, 'k', sizeof(long_kid) - 1);
    long_kid[sizeof(long_kid) - 1] = '\0';
    expect_error(kids, text_ours, (char[]){"k"}, SIGNET_NOT_FOUND, "KID_UNKNOWN");
    expect_error(kids, text_idp, (char[]){"old"}, SIGNET_NOT_FOUND, "KID_UNKNOWN");
    expect_error(kids, text_idp, (char[]){"K"}, SIGNET_NOT_FOUND, "KID_UNKNOWN");
    expect_error(kids, text_idp, (char[]){""}, SIGNET_INVALID_ARGUMENT, "KID_INVALID");
    expect_error(kids, text_idp, (char[]){"\xff"}, SIGNET_INVALID_ARGUMENT, "KID_INVALID");
    expect_error(kids, text_idp, long_kid, SIGNET_INVALID_ARGUMENT, "KID_INVALID");
    expect_error(kids, text_idp, long_kid + 1, SIGNET_NOT_FOUND, "KID_UNKNOWN");
    expect_error(kids, (char[]){"absent"}, (char[]){"k"}, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    expect_error(kids, (char[]){""}, (char[]){"k"}, SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID");
    Signet__V1__RevokeRequest request = by_kid(text_idp, (char[]){"k"});
    request.expires_at = RING_NOW + 10;
    (void)revoke(kids, &request, SIGNET_INVALID_ARGUMENT, "EXPIRES_AT_INVALID");
}

/* Neither is told whether there is such a keyset or key. */
static void test_kid__takes_the_right_to_revoke(void **state)
{
    struct kids *kids = *state;
    char token[JOSE_TOKEN_CAP];
    static const char *const pairs[][2] = {
        {"idp", "k"}, {"idp", "absent"}, {"ours", "now"}, {"ours", "old"}, {"absent", "k"}};
    foreign_token(&kids->ec, FOREIGN_CLAIMS(IDP, ""), token);
    kids_build(kids, SG_RIGHT_SIGN | SG_RIGHT_VERIFY | SG_RIGHT_ADMIN, false);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char keyset[16];
        char kid[16];
        (void)snprintf(keyset, sizeof(keyset), "%s", pairs[i][0]);
        (void)snprintf(kid, sizeof(kid), "%s", pairs[i][1]);
        expect_error(kids, keyset, kid, SIGNET_PERMISSION_DENIED, NULL);
    }
    expect_good(kids, token);
}

/* ---- A clock that is set back ---- */

static void test_sign__refuses_what_would_be_refused_for_its_kid(void **state)
{
    struct kids *kids = *state;
    expect_revoked(kids, text_ours, (char[]){"old"});
    assert_int_equal(sign_at(kids, text_ours, OLD_FROM + 1), SIGNET_FAILED_PRECONDITION);
    assert_string_equal(kids_found.reason, "SIGNING_KEY_REVOKED");
    assert_int_equal(sign_at(kids, text_ours, OLD_FROM - 1), SIGNET_OK); /* "gone" signs then */
    assert_int_equal(sign_at(kids, text_more, OLD_FROM + 1), SIGNET_OK); /* another "old" */
    assert_int_equal(sign_at(kids, text_ours, RING_NOW), SIGNET_OK);
}

/* ---- What is kept ---- */

static void test_kid__is_revoked_after_a_start(void **state)
{
    struct kids *kids = *state;
    char token[JOSE_TOKEN_CAP];
    char of_other[JOSE_TOKEN_CAP];
    foreign_token(&kids->ec, FOREIGN_CLAIMS(IDP, ""), token);
    foreign_token(&kids->ec_other, FOREIGN_CLAIMS(OTHER_IDP, ""), of_other);
    expect_revoked(kids, text_idp, (char[]){"k"});
    kids_close(kids);
    kids_open(kids);
    expect_refused(kids, token);
    expect_good(kids, of_other);
}

static void test_kid__is_listed(void **state)
{
    struct kids *kids = *state;
    struct kids_call call;
    Signet__V1__ListRevocationsRequest request = SIGNET__V1__LIST_REVOCATIONS_REQUEST__INIT;
    Signet__V1__Revocation after = SIGNET__V1__REVOCATION__INIT;
    static const char *const keysets[] = {"idp", "other"};
    char kid[] = "k";
    expect_revoked(kids, text_other, (char[]){"k"});
    expect_revoked(kids, text_idp, (char[]){"k"});
    request.max = 1;
    for (size_t i = 0; i < 2; i++) {
        call_begin(kids, &call);
        call.exchange.request = &request.base;
        call.exchange.reply_type = &signet__v1__list_revocations_response__descriptor;
        assert_int_equal(sg_revoke_list(&call.exchange), SIGNET_OK);
        ProtobufCMessage *payload = call_payload(&call);
        const Signet__V1__ListRevocationsResponse *list =
            (const Signet__V1__ListRevocationsResponse *)payload;
        assert_int_equal(list->n_revocations, 1);
        assert_int_equal(list->more, i == 0);
        assert_int_equal(list->revocations[0]->kind,
                         SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID);
        assert_string_equal(list->revocations[0]->keyset, keysets[i]);
        assert_string_equal(list->revocations[0]->name, "k");
        assert_string_equal(list->revocations[0]->issuer, "");
        assert_int_equal(list->revocations[0]->until, 0);
        protobuf_c_message_free_unpacked(payload, NULL);
        call_end(&call);
        after.kind = SIGNET__V1__REVOCATION_KIND__REVOCATION_KIND_KID;
        after.keyset = text_idp;
        after.name = kid;
        request.after = &after;
    }
}

/* ---- For how long ---- */

enum what {
    WHAT_JTI,
    WHAT_SUBJECT,
    WHAT_ALL,
    WHAT_END
};

static int64_t until_of(const struct kids *kids, enum what what, char *keyset)
{
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    static unsigned number;
    char name[32];
    /* Another each time: what is in force of two would be answered. */
    (void)snprintf(name, sizeof(name), "n-%u", number++);
    request.keyset = keyset;
    switch (what) {
    case WHAT_JTI:
        request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_JTI;
        request.jti = name;
        break;
    case WHAT_SUBJECT:
        request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_SUBJECT;
        request.subject = name;
        break;
    case WHAT_ALL:
    case WHAT_END:
        request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_ALL;
        request.all = true;
        break;
    }
    return revoke(kids, &request, SIGNET_OK, NULL);
}

static void test_until__is_when_the_last_of_our_own_tokens_ends(void **state)
{
    struct kids *kids = *state;
    for (enum what what = WHAT_JTI; what < WHAT_END; what++) {
        assert_int_equal(until_of(kids, what, text_ours),
                         RING_NOW + SG_CONFIG_MAX_TTL_S + SG_MAX_LEEWAY_S);
        assert_int_equal(until_of(kids, what, text_idp), 0);
    }
}

/* Who has an imported key outside may have signed for ever; of one keyset of the issuer it is enough. */
static void test_until__is_never_where_a_key_of_the_issuer_was_imported(void **state)
{
    struct kids *kids = *state;
    kids_build(kids, SG_RIGHT_SIGN | SG_RIGHT_VERIFY | SG_RIGHT_REVOKE, true);
    for (enum what what = WHAT_JTI; what < WHAT_END; what++) {
        assert_int_equal(until_of(kids, what, text_ours), 0);
        assert_int_equal(until_of(kids, what, text_more), 0);
    }
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_JTI;
    request.jti = (char[]){"ends"};
    request.keyset = text_ours;
    request.expires_at = RING_NOW + 10;
    assert_int_equal(revoke(kids, &request, SIGNET_OK, NULL), RING_NOW + 10 + SG_MAX_LEEWAY_S);
}

/* ---- The audit ---- */

static void test_kid__is_recorded(void **state)
{
    struct kids *kids = *state;
    void *audit_state = NULL;
    assert_int_equal(audit_setup(&audit_state), 0);
    struct audit_fixture *fixture = audit_state;
    kids->service.audit = audit_start(fixture);
    expect_revoked(kids, text_idp, (char[]){"k"});
    audit_flush(kids->service.audit);
    sg_audit_free(kids->service.audit);
    kids->service.audit = NULL;
    json_t *lines = audit_lines(fixture);
    size_t num = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        const char *event = json_string_value(json_object_get(line, "event"));
        if (event != NULL && strcmp(event, "revoke") == 0) {
            num++;
            assert_string_equal(json_string_value(json_object_get(line, "keyset")), "idp");
            assert_string_equal(json_string_value(json_object_get(line, "kid")), "k");
            assert_string_equal(json_string_value(json_object_get(line, "verdict")), SG_AUDIT_OK);
            assert_string_equal(json_string_value(json_object_get(line, "rule")), "all");
            assert_null(json_object_get(line, "jti"));
        }
    }
    assert_int_equal(num, 1);
    json_decref(lines);
    audit_teardown(&audit_state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kid__of_a_foreign_key_whatever_its_iat, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kid__of_our_own_key_that_signs_no_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kid__of_a_key_that_signs_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kid__that_is_not_the_keysets_is_not_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kid__takes_the_right_to_revoke, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sign__refuses_what_would_be_refused_for_its_kid, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kid__is_revoked_after_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kid__is_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_until__is_when_the_last_of_our_own_tokens_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_until__is_never_where_a_key_of_the_issuer_was_imported,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_kid__is_recorded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
