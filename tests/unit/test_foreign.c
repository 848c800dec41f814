/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of foreign issuers beside our own: judged by the same rules, each key for its own issuer and
 * algorithm, for trusted audiences only, and never signed here. And keys that share a kid, or whose
 * tokens have none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "jose_token.h"
#include "keyring_fixture.h"
#include "server/key_service.h"
#include "server/keyholder/keyholder.h"
#include "server/sign.h"
#include "server/verify.h"
#include "signet/v1/key.pb-c.h"

#define IDP       "https://idp.example"
#define OTHER_IDP "https://other-idp.example"

static char text_ours[] = "ours";
static char text_idp[] = "idp";
static char text_orders[] = "orders";
static char text_alice[] = "alice";

struct foreign {
    struct sg_keyholder *keyholder;
    struct sg_key_core *core; /* of keyset "ours", ES256 */
    struct sg_trust_key keys[3];
    struct sg_trust_issuer idp, other; /* which share keys[0]'s kid, "k" */
    struct jose_key ec, ec_other, rsa, rsa_pss;
    struct sg_keyring *keyring;
};

/* One key in a second guise. */
static void foreign_share(const struct jose_key *key, enum sg_alg alg, struct jose_key *out)
{
    struct sg_key_error error;
    *out = (struct jose_key){.alg = alg, .pkey = key->pkey};
    assert_int_equal(EVP_PKEY_up_ref(key->pkey), 1);
    assert_int_equal(sg_public_key_from_pkey(alg, key->pkey, &out->public, &error), SIGNET_OK);
}

static void foreign_build(struct foreign *foreign)
{
    const struct sg_config_keyset policy = ring_policy(text_ours, SG_ALG_ES256);
    const struct sg_keyring_key key = ring_key(foreign->core, 1, 0);
    const struct sg_keyring_part part = {.policy = &policy, .keys = &key, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&foreign->idp, &foreign->other};
    sg_keyring_unref(foreign->keyring);
    foreign->keyring = ring_build(&part, 1, issuers, 2);
}

static int foreign_setup(void **state)
{
    struct foreign *foreign = calloc(1, sizeof(*foreign));
    assert_non_null(foreign);
    assert_int_equal(sg_keyholder_new(1, &foreign->keyholder), SIGNET_OK);
    foreign->core = ring_core(foreign->keyholder, SG_ALG_ES256, "k");
    jose_key_new(&foreign->ec, SG_ALG_ES256);
    jose_key_new(&foreign->ec_other, SG_ALG_ES256);
    jose_key_new(&foreign->rsa, SG_ALG_RS256);
    foreign_share(&foreign->rsa, SG_ALG_PS256, &foreign->rsa_pss);
    static struct sg_trust_key other_key;
    other_key = (struct sg_trust_key){
        .kid = "k", .alg = SG_ALG_ES256, .public_key = foreign->ec_other.public};
    /* An RSA key for two algorithms is two keys of one kid; the EC key has the kid of ours. */
    foreign->keys[0] =
        (struct sg_trust_key){.kid = "k", .alg = SG_ALG_ES256, .public_key = foreign->ec.public};
    foreign->keys[1] =
        (struct sg_trust_key){.kid = "r", .alg = SG_ALG_RS256, .public_key = foreign->rsa.public};
    foreign->keys[2] = (struct sg_trust_key){
        .kid = "r", .alg = SG_ALG_PS256, .public_key = foreign->rsa_pss.public};
    foreign->idp = (struct sg_trust_issuer){
        .name = "idp", .issuer = IDP, .keys = foreign->keys, .num_keys = 3};
    foreign->other = (struct sg_trust_issuer){
        .name = "other", .issuer = OTHER_IDP, .keys = &other_key, .num_keys = 1};
    foreign_build(foreign);
    *state = foreign;
    return 0;
}

static int foreign_teardown(void **state)
{
    struct foreign *foreign = *state;
    sg_keyring_unref(foreign->keyring);
    sg_key_core_unref(foreign->core);
    jose_key_free(&foreign->ec);
    jose_key_free(&foreign->ec_other);
    jose_key_free(&foreign->rsa);
    jose_key_free(&foreign->rsa_pss);
    sg_keyholder_free(foreign->keyholder);
    assert_int_equal(ring_num_trust_refs(), 0);
    free(foreign);
    return 0;
}

/* ---- Asking ---- */

/* One call without dispatch around it. */
struct foreign_call {
    struct sg_service service;
    struct sg_arena arena;
    struct sg_exchange exchange;
};

static void foreign_begin(const struct foreign *foreign, struct foreign_call *call)
{
    *call = (struct foreign_call){.service = {.keyholder = foreign->keyholder}};
    sg_arena_init(&call->arena, 1u << 20);
    call->exchange = (struct sg_exchange){.service = &call->service,
                                          .method = "",
                                          .keyring = foreign->keyring,
                                          .now = {.wall_s = RING_NOW},
                                          .deadline_ms = 1000,
                                          .arena = &call->arena};
}

static void foreign_end(struct foreign_call *call)
{
    sg_reply_fini(&call->exchange.reply);
    sg_arena_fini(&call->arena);
}

/* How a judgement ended: the words of an error, a reason, or the keyset whose token it was. */
struct foreign_verdict {
    signet_status code;
    char word[32];
    Signet__V1__RejectionReason reason;
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
};

static struct foreign_verdict foreign_found; /* by the sink of the one call that there is */

static signet_status foreign_sink(struct sg_exchange *exchange,
                                  const struct sg_verify_outcome *outcome)
{
    (void)exchange;
    assert_int_equal(
        (outcome->token != NULL) + (outcome->rejection != NULL) + (outcome->error != NULL), 1);
    if (outcome->token != NULL) {
        (void)snprintf(foreign_found.keyset, sizeof(foreign_found.keyset), "%s",
                       outcome->token->keyset);
    } else if (outcome->rejection != NULL) {
        foreign_found.reason = outcome->rejection->reason;
    } else {
        foreign_found.code = outcome->error->code;
        (void)snprintf(foreign_found.word, sizeof(foreign_found.word), "%s",
                       outcome->error->reason);
    }
    return SIGNET_OK;
}

static struct foreign_verdict foreign_verify(const struct foreign *foreign,
                                             const Signet__V1__VerifyRequest *request)
{
    struct foreign_call call;
    foreign_found = (struct foreign_verdict){0};
    foreign_begin(foreign, &call);
    assert_int_equal(sg_verify(&call.exchange, &request, 1, foreign_sink), SIGNET_OK);
    foreign_end(&call);
    return foreign_found;
}

static Signet__V1__VerifyRequest foreign_request(char *token)
{
    static char *audiences[] = {text_orders};
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = audiences;
    request.n_audiences = 1;
    return request;
}

static void must_be_of(const struct foreign *foreign, const Signet__V1__VerifyRequest *request,
                       const char *keyset)
{
    struct foreign_verdict verdict = foreign_verify(foreign, request);
    if (strcmp(verdict.keyset, keyset) != 0) {
        fail_msg("code %d %s, reason %d, keyset \"%s\"", (int)verdict.code, verdict.word,
                 (int)verdict.reason, verdict.keyset);
    }
}

static void must_be_refused(const struct foreign *foreign, const Signet__V1__VerifyRequest *request,
                            signet_reason reason)
{
    struct foreign_verdict verdict = foreign_verify(foreign, request);
    assert_string_equal(verdict.keyset, "");
    assert_int_equal(verdict.code, SIGNET_OK);
    assert_int_equal((int)verdict.reason, (int)reason);
}

static void spoil_signature(char *token)
{
    char *first = strrchr(token, '.') + 1;
    *first = *first == 'A' ? 'B' : 'A';
}

#define CLAIMS(issuer, audience)                                                                   \
    "{\"iss\":\"" issuer "\",\"aud\":" audience ",\"exp\":1800000100,\"sub\":\"alice\"}"

/* ---- Verifying ---- */

static void test_verify__a_foreign_token_is_good_like_ours(void **state)
{
    const struct foreign *foreign = *state;
    static const struct {
        const char *header;
        bool is_pss;
    } rows[] = {{"{\"alg\":\"RS256\",\"kid\":\"r\"}", false},
                {"{\"alg\":\"PS256\",\"kid\":\"r\",\"typ\":\"at+jwt\"}", true}};
    char token[JOSE_TOKEN_CAP];
    char issuer[] = IDP;
    Signet__V1__VerifyRequest request = foreign_request(token);
    for (size_t i = 0; i < 2; i++) {
        jose_token(rows[i].is_pss ? &foreign->rsa_pss : &foreign->rsa, rows[i].header,
                   CLAIMS(IDP, "\"orders\""), token);
        must_be_of(foreign, &request, "idp");
        request.keyset = text_idp;
        request.issuer = issuer;
        must_be_of(foreign, &request, "idp");
        request.keyset = text_ours;
        must_be_refused(foreign, &request, SIGNET_REASON_UNKNOWN_KEY);
        request = foreign_request(token);
        spoil_signature(token);
        must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    }
}

/* Three keys have kid "k": whose token it is, the signature alone says. */
static void test_verify__a_shared_kid_is_told_apart_by_the_signature(void **state)
{
    const struct foreign *foreign = *state;
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    char token[JOSE_TOKEN_CAP];
    char other[] = "other";
    struct jose_key stranger;
    Signet__V1__VerifyRequest request = foreign_request(token);
    jose_token(&foreign->ec, header, CLAIMS(IDP, "\"orders\""), token);
    must_be_of(foreign, &request, "idp");
    request.keyset = other;
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    request.keyset = text_ours;
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    request = foreign_request(token);
    jose_token(&foreign->ec_other, header, CLAIMS(OTHER_IDP, "\"orders\""), token);
    must_be_of(foreign, &request, "other");
    jose_key_new(&stranger, SG_ALG_ES256);
    jose_token(&stranger, header, CLAIMS(IDP, "\"orders\""), token);
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    jose_key_free(&stranger);
}

/* A key speaks for its own issuer, whatever the token or the caller says: neither for ours, nor for
 * another foreign one (attacks A11). */
static void test_verify__a_foreign_key_speaks_for_its_issuer_only(void **state)
{
    const struct foreign *foreign = *state;
    static const char header[] = "{\"alg\":\"RS256\",\"kid\":\"r\"}";
    static const char *const payloads[] = {
        CLAIMS(RING_ISSUER, "\"orders\""),
        CLAIMS(OTHER_IDP, "\"orders\""),
        CLAIMS(IDP "/", "\"orders\""),
        CLAIMS("", "\"orders\""),
        "{\"aud\":\"orders\",\"exp\":1800000100}",
    };
    static const char *const issuers[] = {"", RING_ISSUER, OTHER_IDP, IDP};
    char token[JOSE_TOKEN_CAP];
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        jose_token(&foreign->rsa, header, payloads[i], token);
        for (size_t k = 0; k < sizeof(issuers) / sizeof(issuers[0]); k++) {
            char issuer[64];
            Signet__V1__VerifyRequest request = foreign_request(token);
            (void)snprintf(issuer, sizeof(issuer), "%s", issuers[k]);
            request.issuer = issuer;
            must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ISSUER);
        }
    }
    /* And the caller may ask for another than the one it is. */
    char issuer[] = OTHER_IDP;
    Signet__V1__VerifyRequest request = foreign_request(token);
    request.issuer = issuer;
    jose_token(&foreign->rsa, header, CLAIMS(IDP, "\"orders\""), token);
    must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ISSUER);
}

/* The key fixes the algorithm: one that the issuer may not use is none of its keys' (attacks A1 to A4). */
static void test_verify__an_algorithm_that_is_not_allowed_is_wrong(void **state)
{
    struct foreign *foreign = *state;
    static const char *const algs[] = {"RS384", "RS512", "PS384", "ES256",
                                       "HS256", "none",  "EdDSA"};
    char token[JOSE_TOKEN_CAP];
    Signet__V1__VerifyRequest request = foreign_request(token);
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        char header[64];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"r\"}", algs[i]);
        jose_token(&foreign->rsa, header, CLAIMS(IDP, "\"orders\""), token);
        must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ALG);
    }
    /* One algorithm's signature under the other's name. */
    jose_token(&foreign->rsa, "{\"alg\":\"PS256\",\"kid\":\"r\"}", CLAIMS(IDP, "\"orders\""),
               token);
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    /* And once the issuer may no longer use it. */
    foreign->idp.num_keys = 2;
    foreign_build(foreign);
    must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ALG);
    jose_token(&foreign->rsa_pss, "{\"alg\":\"PS256\",\"kid\":\"r\"}", CLAIMS(IDP, "\"orders\""),
               token);
    must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ALG);
    jose_token(&foreign->rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", CLAIMS(IDP, "\"orders\""),
               token);
    must_be_of(foreign, &request, "idp");
}

/* Trusted for "orders" and "billing": the token must be for one of them that the caller is too. */
static void test_verify__an_issuer_is_trusted_for_its_audiences(void **state)
{
    struct foreign *foreign = *state;
    static const struct {
        const char *token_audience;
        const char *asked[2];
        bool is_good;
    } rows[] = {
        {"\"orders\"", {"orders"}, true},
        {"\"orders\"", {"mail", "orders"}, true},
        {"\"orders\"", {NULL}, true}, /* any audience */
        {"[\"mail\",\"billing\"]", {"billing"}, true},
        {"[\"mail\",\"billing\"]", {NULL}, true},
        /* For one that it is not trusted for, though the caller is that one. */
        {"\"mail\"", {"mail"}, false},
        {"\"mail\"", {NULL}, false},
        {"[\"mail\",\"orders\"]", {"mail"}, false},
        {"[\"mail\",\"orders\"]", {"mail", "billing"}, false},
        {"[\"orders\"]", {"billing"}, false},
        {"\"orders \"", {NULL}, false},
        {"\"Orders\"", {NULL}, false},
    };
    (void)snprintf(foreign->idp.audiences[0], sizeof(foreign->idp.audiences[0]), "orders");
    (void)snprintf(foreign->idp.audiences[1], sizeof(foreign->idp.audiences[1]), "billing");
    foreign->idp.num_audiences = 2;
    foreign_build(foreign);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char token[JOSE_TOKEN_CAP];
        char payload[256];
        char names[2][16];
        char *asked[] = {names[0], names[1]};
        Signet__V1__VerifyRequest request = foreign_request(token);
        (void)snprintf(payload, sizeof(payload), CLAIMS(IDP, "%s"), rows[i].token_audience);
        jose_token(&foreign->rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", payload, token);
        request.audiences = asked;
        request.n_audiences = 0;
        while (request.n_audiences < 2 && rows[i].asked[request.n_audiences] != NULL) {
            (void)snprintf(names[request.n_audiences], sizeof(names[0]), "%s",
                           rows[i].asked[request.n_audiences]);
            request.n_audiences++;
        }
        request.any_audience = request.n_audiences == 0;
        if (rows[i].is_good) {
            must_be_of(foreign, &request, "idp");
        } else {
            must_be_refused(foreign, &request, SIGNET_REASON_WRONG_AUDIENCE);
        }
    }
}

/* Without a kid the issuer has to be named, and then its keys of the algorithm are tried. */
static void test_verify__without_kid_the_issuer_must_be_named(void **state)
{
    struct foreign *foreign = *state;
    char token[JOSE_TOKEN_CAP];
    char other[] = "other";
    Signet__V1__VerifyRequest request = foreign_request(token);
    foreign->keys[2].kid[0] = '\0'; /* one that has none to begin with */
    foreign_build(foreign);
    jose_token(&foreign->rsa_pss, "{\"alg\":\"PS256\"}", CLAIMS(IDP, "\"orders\""), token);
    must_be_refused(foreign, &request, SIGNET_REASON_UNKNOWN_KEY);
    request.keyset = text_idp;
    must_be_of(foreign, &request, "idp");
    request.keyset = other;
    must_be_refused(foreign, &request, SIGNET_REASON_WRONG_ALG);
    request.keyset = text_idp;
    jose_token(&foreign->ec, "{\"alg\":\"ES256\"}", CLAIMS(IDP, "\"orders\""), token);
    must_be_of(foreign, &request, "idp");
    request.keyset = text_ours;
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    /* An empty kid is a kid, which no key has. */
    request.keyset = text_idp;
    jose_token(&foreign->rsa_pss, "{\"alg\":\"PS256\",\"kid\":\"\"}", CLAIMS(IDP, "\"orders\""),
               token);
    must_be_refused(foreign, &request, SIGNET_REASON_UNKNOWN_KEY);
}

/* A snapshot without the issuer any more, as after its file was taken away. */
static void test_verify__an_issuer_that_is_gone_is_unknown(void **state)
{
    struct foreign *foreign = *state;
    char token[JOSE_TOKEN_CAP];
    Signet__V1__VerifyRequest request = foreign_request(token);
    jose_token(&foreign->rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", CLAIMS(IDP, "\"orders\""),
               token);
    must_be_of(foreign, &request, "idp");
    sg_keyring_unref(foreign->keyring);
    foreign->keyring = ring_build(NULL, 0, NULL, 0);
    must_be_refused(foreign, &request, SIGNET_REASON_UNKNOWN_KEY);
    request.keyset = text_idp;
    struct foreign_verdict verdict = foreign_verify(foreign, &request);
    assert_int_equal(verdict.code, SIGNET_NOT_FOUND);
    assert_string_equal(verdict.word, "KEYSET_UNKNOWN");
}

/* ---- Signing and publishing ---- */

static signet_status foreign_sign_sink(struct sg_exchange *exchange,
                                       const struct sg_sign_outcome *outcome)
{
    (void)exchange;
    foreign_found.code = outcome->error != NULL ? outcome->error->code : SIGNET_OK;
    (void)snprintf(foreign_found.word, sizeof(foreign_found.word), "%s",
                   outcome->error != NULL ? outcome->error->reason : "");
    return SIGNET_OK;
}

static struct foreign_verdict foreign_sign(const struct foreign *foreign, char *keyset)
{
    static char *audiences[] = {text_orders};
    struct foreign_call call;
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    const Signet__V1__SignRequest *requests[] = {&request};
    request.keyset = keyset;
    request.subject = text_alice;
    request.audience = audiences;
    request.n_audience = 1;
    foreign_found = (struct foreign_verdict){0};
    foreign_begin(foreign, &call);
    assert_false(sg_sign_is_slow(foreign->keyring, &request));
    assert_int_equal(sg_sign(&call.exchange, requests, 1, foreign_sign_sink), SIGNET_OK);
    foreign_end(&call);
    return foreign_found;
}

static void test_sign__never_for_a_foreign_issuer(void **state)
{
    const struct foreign *foreign = *state;
    struct foreign_verdict verdict = foreign_sign(foreign, text_ours);
    assert_int_equal(verdict.code, SIGNET_OK);
    verdict = foreign_sign(foreign, text_idp);
    assert_int_equal(verdict.code, SIGNET_INVALID_ARGUMENT);
    assert_string_equal(verdict.word, "KEYSET_FOREIGN");
}

static void test_get_jwks__never_gives_foreign_keys(void **state)
{
    const struct foreign *foreign = *state;
    char unknown[] = "unknown";
    char *const names[] = {text_ours, text_idp, unknown};
    for (size_t i = 0; i < 3; i++) {
        struct foreign_call call;
        Signet__V1__GetJwksRequest request = SIGNET__V1__GET_JWKS_REQUEST__INIT;
        request.keyset = names[i];
        foreign_begin(foreign, &call);
        call.exchange.request = &request.base;
        call.exchange.reply_type = &signet__v1__get_jwks_response__descriptor;
        assert_int_equal(sg_key_get_jwks(&call.exchange), i == 0 ? SIGNET_OK : SIGNET_NOT_FOUND);
        if (i > 0) {
            assert_string_equal(call.exchange.error.reason, "KEYSET_UNKNOWN");
        }
        foreign_end(&call);
    }
}

/* ---- Tokens from before ---- */

static const uint8_t legacy_secret[32] = {1, 2, 3, 4};

/* As a service signed for itself: a shared secret, and no kid. */
static void legacy_token(char out[JOSE_TOKEN_CAP])
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    static const char payload[] = CLAIMS(RING_ISSUER, "\"orders\"");
    uint8_t mac[32];
    char input[512];
    unsigned mac_len = 0;
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), input);
    input[len++] = '.';
    len += sg_base64url_encode((const uint8_t *)payload, strlen(payload), input + len);
    assert_non_null(HMAC(EVP_sha256(), legacy_secret, sizeof(legacy_secret), (uint8_t *)input, len,
                         mac, &mac_len));
    jose_join(header, strlen(header), payload, strlen(payload), mac, mac_len, out);
}

/* The secret that services shared is imported to verify with, and then the keyset rotates for as long
 * as their tokens live: these stay good, however many keys were made since. */
static void test_verify__an_imported_key_is_tried_however_old(void **state)
{
    struct foreign *foreign = *state;
    enum {
        NUM = 30
    };
    struct sg_key_core *cores[NUM];
    struct sg_keyring_key keys[NUM];
    char token[JOSE_TOKEN_CAP];
    const struct sg_config_keyset policy = ring_policy(text_ours, SG_ALG_HS256);
    const struct sg_keyring_part part = {.policy = &policy, .keys = keys, .num_keys = NUM};
    for (uint32_t i = 0; i < NUM; i++) {
        char kid[16];
        (void)snprintf(kid, sizeof(kid), "h%u", i);
        cores[i] = i == 0 ? ring_core_import(foreign->keyholder, SG_ALG_HS256, kid, legacy_secret,
                                             sizeof(legacy_secret))
                          : ring_core(foreign->keyholder, SG_ALG_HS256, kid);
        keys[i] = ring_key(cores[i], i + 1, RING_NOW + i);
    }
    keys[0].times.never_signs = true;
    keys[0].imported = true;
    sg_keyring_unref(foreign->keyring);
    foreign->keyring = ring_build(&part, 1, NULL, 0);
    legacy_token(token);
    Signet__V1__VerifyRequest request = foreign_request(token);
    must_be_refused(foreign, &request, SIGNET_REASON_UNKNOWN_KEY);
    request.keyset = text_ours;
    must_be_of(foreign, &request, "ours");
    spoil_signature(token);
    must_be_refused(foreign, &request, SIGNET_REASON_BAD_SIGNATURE);
    for (size_t i = 0; i < NUM; i++) {
        sg_key_core_unref(cores[i]);
    }
}

#define FOREIGN_TEST(name) cmocka_unit_test_setup_teardown(name, foreign_setup, foreign_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOREIGN_TEST(test_verify__a_foreign_token_is_good_like_ours),
        FOREIGN_TEST(test_verify__a_shared_kid_is_told_apart_by_the_signature),
        FOREIGN_TEST(test_verify__a_foreign_key_speaks_for_its_issuer_only),
        FOREIGN_TEST(test_verify__an_algorithm_that_is_not_allowed_is_wrong),
        FOREIGN_TEST(test_verify__an_issuer_is_trusted_for_its_audiences),
        FOREIGN_TEST(test_verify__without_kid_the_issuer_must_be_named),
        FOREIGN_TEST(test_verify__an_issuer_that_is_gone_is_unknown),
        FOREIGN_TEST(test_sign__never_for_a_foreign_issuer),
        FOREIGN_TEST(test_get_jwks__never_gives_foreign_keys),
        FOREIGN_TEST(test_verify__an_imported_key_is_tried_however_old),
    };
    return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
