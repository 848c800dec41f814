/* SPDX-License-Identifier: Apache-2.0
 *
 * TokenService: every rule of the contract's comments from both sides, every rejection that can be
 * reached, and that nothing but a judged token is ever answered as good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/rpc.h"
#include "server/keyholder/keyholder.h"
#include "server/mac_cache.h"
#include "service_fixture.h"

static const char *const demo_keysets[] = {"demo-hs256", "demo-rs256", "demo-ps256", "demo-es256",
                                           "demo-eddsa"};
#define NUM_DEMO (sizeof(demo_keysets) / sizeof(demo_keysets[0]))

static char text_hs256[] = "demo-hs256";
static char text_alice[] = "alice";
static char text_orders[] = "orders";
static char *audiences_orders[] = {text_orders};

#define ISSUER "https://signet.example/demo"

/* ---- Requests ---- */

static Signet__V1__SignRequest sign_request(void)
{
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    request.keyset = text_hs256;
    request.subject = text_alice;
    request.audience = audiences_orders;
    request.n_audience = 1;
    return request;
}

static Signet__V1__VerifyRequest verify_request(char *token)
{
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = audiences_orders;
    request.n_audiences = 1;
    return request;
}

static char *text_of(char c, size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}

/* The token of a request that must succeed. */
static char *must_sign(const struct fixture *fixture, const Signet__V1__SignRequest *request)
{
    struct fixture_answer answer;
    fixture_call(fixture, SG_METHOD_SIGN, &request->base, &signet__v1__sign_response__descriptor,
                 &answer);
    if (answer.code != 0) {
        fail_msg("%u %s: %s", answer.code, answer.reason, answer.message);
    }
    char *token = strdup(((const Signet__V1__SignResponse *)answer.payload)->token);
    assert_non_null(token);
    fixture_answer_free(&answer);
    return token;
}

static void must_not_sign(const struct fixture *fixture, const Signet__V1__SignRequest *request,
                          uint32_t code, const char *reason)
{
    struct fixture_answer answer;
    fixture_call(fixture, SG_METHOD_SIGN, &request->base, &signet__v1__sign_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, code);
    assert_string_equal(answer.reason, reason);
    fixture_answer_free(&answer);
}

static void must_be_good(const struct fixture *fixture, const Signet__V1__VerifyRequest *request)
{
    struct fixture_verdict verdict = fixture_verify(fixture, request);
    if (!verdict.good) {
        fail_msg("code %u, reason %d: %s", verdict.code, (int)verdict.reason, verdict.detail);
    }
}

static void must_be_refused(const struct fixture *fixture, const Signet__V1__VerifyRequest *request,
                            signet_reason reason)
{
    struct fixture_verdict verdict = fixture_verify(fixture, request);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, 0);
    assert_int_equal((int)verdict.reason, (int)reason);
}

static void must_not_judge(const struct fixture *fixture, const Signet__V1__VerifyRequest *request,
                           uint32_t code, const char *word)
{
    struct fixture_verdict verdict = fixture_verify(fixture, request);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, code);
    assert_string_equal(verdict.word, word);
}

/* Verifies a crafted payload for "orders"; reason NONE: it must be good. */
static void check_payload(const struct fixture *fixture, const char *payload, signet_reason reason)
{
    char *token = fixture_craft(fixture, "demo-es256", NULL, payload);
    Signet__V1__VerifyRequest request = verify_request(token);
    if (reason == SIGNET_REASON_NONE) {
        must_be_good(fixture, &request);
    } else {
        must_be_refused(fixture, &request, reason);
    }
    free(token);
}

static json_t *token_part(const char *token, unsigned index)
{
    uint8_t bytes[16384];
    size_t len = 0;
    const char *at = token;
    for (unsigned i = 0; i < index; i++) {
        at = strchr(at, '.') + 1;
    }
    assert_true(sg_base64url_decode(at, strcspn(at, "."), bytes, sizeof(bytes), &len));
    json_t *part = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(part);
    return part;
}

/* ---- Signing ---- */

static void test_sign__what_every_keyset_signs_verifies(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < NUM_DEMO; i++) {
        char *token = fixture_mint(fixture, demo_keysets[i]);
        struct fixture_verdict verdict = fixture_judge(fixture, token);
        assert_true(verdict.good);
        free(token);
    }
}

static void test_sign__sets_header_and_claims(void **state)
{
    const struct fixture *fixture = *state;
    char claims[] = "{\"role\":\"admin\",\"n\":{\"x\":[1,2.5,null]}}";
    struct fixture_answer answer;
    Signet__V1__SignRequest request = sign_request();
    request.claims_json = claims;
    request.ttl_s = 300;
    fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__SignResponse *response = (const Signet__V1__SignResponse *)answer.payload;
    const struct sg_key *key = fixture_key(fixture, "demo-hs256");
    json_t *header = token_part(response->token, 0);
    json_t *expected = json_pack("{s:s,s:s,s:s}", "alg", "HS256", "kid", key->kid, "typ", "JWT");
    assert_true(json_equal(header, expected));
    json_decref(expected);
    json_decref(header);
    json_t *payload = token_part(response->token, 1);
    expected = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:{s:[i,f,n]}}", "iss", ISSUER, "sub",
                         "alice", "aud", "orders", "iat", (json_int_t)FIXTURE_NOW, "nbf",
                         (json_int_t)FIXTURE_NOW, "exp", (json_int_t)FIXTURE_NOW + 300, "jti",
                         response->jti, "role", "admin", "n", "x", 1, 2.5);
    assert_true(json_equal(payload, expected));
    json_decref(expected);
    json_decref(payload);
    assert_string_equal(response->kid, key->kid);
    assert_int_equal(strlen(response->jti), 22);
    assert_int_equal(response->issued_at, FIXTURE_NOW);
    assert_int_equal(response->expires_at, FIXTURE_NOW + 300);
    fixture_answer_free(&answer);
}

static void test_sign__no_two_tokens_share_a_jti(void **state)
{
    const struct fixture *fixture = *state;
    enum {
        NUM = 50
    };
    char *tokens[NUM];
    for (size_t i = 0; i < NUM; i++) {
        tokens[i] = fixture_mint(fixture, "demo-hs256");
        json_t *payload = token_part(tokens[i], 1);
        free(tokens[i]);
        tokens[i] = strdup(json_string_value(json_object_get(payload, "jti")));
        json_decref(payload);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(tokens[i], tokens[k]);
        }
    }
    for (size_t i = 0; i < NUM; i++) {
        free(tokens[i]);
    }
}

static void test_sign__keyset_must_be_named_and_known(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *name;
        uint32_t code;
        const char *reason;
    } cases[] = {
        {"", SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"Demo-hs256", SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"demo hs256", SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"../demo", SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"demo-hs256\xff", SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", SIGNET_NOT_FOUND,
         "KEYSET_UNKNOWN"},
        {"demo-hs25", SIGNET_NOT_FOUND, "KEYSET_UNKNOWN"},
        {"demo-hs2566", SIGNET_NOT_FOUND, "KEYSET_UNKNOWN"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[80];
        Signet__V1__SignRequest request = sign_request();
        (void)snprintf(name, sizeof(name), "%s", cases[i].name);
        request.keyset = name;
        must_not_sign(fixture, &request, cases[i].code, cases[i].reason);
    }
}

static void test_sign__subject_is_required_and_bounded(void **state)
{
    const struct fixture *fixture = *state;
    Signet__V1__SignRequest request = sign_request();
    char *longest = text_of('s', 255);
    char *too_long = text_of('s', 256);
    char empty[] = "";
    char bad[] = "al\xffice";
    char umlaut[] = "j\xc3\xbcrgen \"the\\ one\"";
    request.subject = longest;
    free(must_sign(fixture, &request));
    request.subject = umlaut;
    char *token = must_sign(fixture, &request);
    Signet__V1__VerifyRequest verify = verify_request(token);
    verify.subject = umlaut;
    must_be_good(fixture, &verify);
    free(token);
    request.subject = too_long;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request.subject = empty;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request.subject = bad;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    free(longest);
    free(too_long);
}

static void test_sign__audience_is_required_and_bounded(void **state)
{
    const struct fixture *fixture = *state;
    Signet__V1__SignRequest request = sign_request();
    char names[17][8];
    char *list[17];
    for (size_t i = 0; i < 17; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "aud-%zu", i);
        list[i] = names[i];
    }
    request.audience = list;
    request.n_audience = 16;
    char *token = must_sign(fixture, &request);
    json_t *payload = token_part(token, 1);
    assert_int_equal(json_array_size(json_object_get(payload, "aud")), 16);
    json_decref(payload);
    free(token);
    request.n_audience = 17;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID");
    request.n_audience = 0;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_REQUIRED");
    request.n_audience = 3;
    list[2] = names[0];
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID");
    char empty[] = "";
    char bad[] = "\xc3(";
    char *too_long = text_of('a', 256);
    char *const hostile[] = {empty, bad, too_long};
    for (size_t i = 0; i < 3; i++) {
        list[2] = hostile[i];
        must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID");
    }
    free(too_long);
}

static void test_sign__ttl_is_the_keysets_or_less(void **state)
{
    const struct fixture *fixture = *state;
    const struct sg_keyset *keyset = sg_keyring_keyset(fixture->keyring, "demo-hs256");
    const uint32_t asked[] = {0, 1, keyset->max_ttl_s};
    const uint32_t expected[] = {keyset->default_ttl_s, 1, keyset->max_ttl_s};
    for (size_t i = 0; i < 3; i++) {
        Signet__V1__SignRequest request = sign_request();
        request.ttl_s = asked[i];
        char *token = must_sign(fixture, &request);
        json_t *payload = token_part(token, 1);
        assert_int_equal(json_integer_value(json_object_get(payload, "exp")),
                         FIXTURE_NOW + (int64_t)expected[i]);
        json_decref(payload);
        free(token);
    }
    Signet__V1__SignRequest request = sign_request();
    request.ttl_s = keyset->max_ttl_s + 1;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "TTL_TOO_LONG");
    request.ttl_s = UINT32_MAX;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "TTL_TOO_LONG");
}

static void test_sign__not_before_is_before_exp(void **state)
{
    const struct fixture *fixture = *state;
    static const int64_t good[] = {1, FIXTURE_NOW - 1000, FIXTURE_NOW + 100, FIXTURE_NOW + 299};
    static const int64_t bad[] = {FIXTURE_NOW + 300, INT64_MAX, -1, INT64_MIN};
    Signet__V1__SignRequest request = sign_request();
    request.ttl_s = 300;
    for (size_t i = 0; i < 4; i++) {
        request.not_before = good[i];
        char *token = must_sign(fixture, &request);
        json_t *payload = token_part(token, 1);
        assert_int_equal(json_integer_value(json_object_get(payload, "nbf")), good[i]);
        json_decref(payload);
        free(token);
        request.not_before = bad[i];
        must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "NOT_BEFORE_INVALID");
    }
}

static void test_sign__claims_are_one_strict_object_without_our_names(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const bad[] = {
        "[]",
        "1",
        "null",
        "{",
        "{} {}",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":NaN}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"iss\":\"x\"}",
        "{\"sub\":\"x\"}",
        "{\"aud\":\"x\"}",
        "{\"exp\":9999999999}",
        "{\"nbf\":1}",
        "{\"iat\":1}",
        "{\"jti\":\"x\"}",
        "{\"\\u0065xp\":9999999999}",
        "{\"a\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}",
    };
    Signet__V1__SignRequest request = sign_request();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char claims[80];
        (void)snprintf(claims, sizeof(claims), "%s", bad[i]);
        request.claims_json = claims;
        must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "CLAIMS_INVALID");
    }
    char good[] = " { \"Exp\" : 1 , \"a\" : [[[[]]]] , \"\" : \"\" } ";
    request.claims_json = good;
    char *token = must_sign(fixture, &request);
    Signet__V1__VerifyRequest verify = verify_request(token);
    must_be_good(fixture, &verify);
    free(token);
}

/* The largest claims that are taken make a token that verifies; one byte more is not taken. */
static void test_sign__never_makes_a_token_too_large_to_verify(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t len = 8170; len <= 8194; len++) {
        char *claims = text_of('x', len);
        struct fixture_answer answer;
        Signet__V1__SignRequest request = sign_request();
        claims[0] = '{';
        claims[1] = claims[3] = claims[5] = '"';
        claims[4] = ':';
        claims[len - 2] = '"';
        claims[len - 1] = '}';
        request.claims_json = claims;
        fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                     &answer);
        assert_int_equal(answer.code, len <= 8192 ? 0 : SIGNET_INVALID_ARGUMENT);
        if (answer.code == 0) {
            struct fixture_verdict verdict =
                fixture_judge(fixture, ((const Signet__V1__SignResponse *)answer.payload)->token);
            assert_true(verdict.good);
        }
        fixture_answer_free(&answer);
        free(claims);
    }
    /* Short on the wire, long once written: 16 long audiences besides. */
    char names[16][256];
    char *list[16];
    for (size_t i = 0; i < 16; i++) {
        memset(names[i], 1, 255); /* six characters of JSON each */
        names[i][0] = (char)('a' + i);
        names[i][255] = '\0';
        list[i] = names[i];
    }
    Signet__V1__SignRequest request = sign_request();
    request.audience = list;
    request.n_audience = 16;
    struct fixture_answer answer;
    fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, SIGNET_INVALID_ARGUMENT);
    fixture_answer_free(&answer);
}

static void test_sign__typ_is_the_keysets(void **state)
{
    const struct fixture *fixture = *state;
    char own[] = "JWT";
    char *too_long = text_of('t', 65);
    Signet__V1__SignRequest request = sign_request();
    request.typ = own;
    free(must_sign(fixture, &request));
    static const char *const bad[] = {"at+jwt", "jwt", "JWT ", "a b", "\"", "\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char typ[16];
        (void)snprintf(typ, sizeof(typ), "%s", bad[i]);
        request.typ = typ;
        must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "TYP_INVALID");
    }
    request.typ = too_long;
    must_not_sign(fixture, &request, SIGNET_INVALID_ARGUMENT, "TYP_INVALID");
    free(too_long);
}

static void test_sign__without_a_key_that_may_sign_there_is_no_token(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_keyset *keyset =
        (struct sg_keyset *)(uintptr_t)sg_keyring_keyset(fixture->keyring, "demo-hs256");
    Signet__V1__SignRequest request = sign_request();
    size_t num_keys = keyset->num_keys;
    keyset->num_keys = 0;
    must_not_sign(fixture, &request, SIGNET_FAILED_PRECONDITION, "NO_SIGNING_KEY");
    keyset->num_keys = num_keys;
    free(must_sign(fixture, &request));
}

/* A clock that was set back to before the keys were made stops nothing. */
static void test_sign__goes_on_when_the_clock_is_set_back(void **state)
{
    struct fixture earlier = *(const struct fixture *)*state;
    Signet__V1__SignRequest request = sign_request();
    earlier.now.wall_s = FIXTURE_NOW - 3600;
    char *token = must_sign(&earlier, &request);
    Signet__V1__VerifyRequest verify = verify_request(token);
    must_be_good(&earlier, &verify);
    free(token);
}

/* ---- Memory that runs out ---- */

/* Of jansson's allocations, the one with this number fails, and with lasting those after it. */
static struct {
    size_t num, failing;
    bool lasting;
} memory;

static void *memory_malloc(size_t size)
{
    memory.num++;
    if (memory.num == memory.failing || (memory.lasting && memory.num > memory.failing)) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(size);
}

/* Calls with each of jansson's allocations failing in turn, until none is left to fail. */
static void memory_fail_each(void (*call)(const struct fixture *, Signet__V1__VerifyRequest *),
                             const struct fixture *fixture, Signet__V1__VerifyRequest *request)
{
    for (int lasting = 0; lasting <= 1; lasting++) {
        size_t failing = 0;
        do {
            memory.num = 0;
            memory.failing = ++failing;
            memory.lasting = lasting != 0;
            json_set_alloc_funcs(memory_malloc, free);
            call(fixture, request);
            json_set_alloc_funcs(malloc, free);
            assert_in_range(failing, 1, 1000);
        } while (memory.num >= failing);
        assert_true(failing > 5); /* there was something to fail */
    }
}

static void memory_verify(const struct fixture *fixture, Signet__V1__VerifyRequest *request)
{
    struct fixture_verdict verdict = fixture_verify(fixture, request);
    if (memory.num < memory.failing) {
        assert_true(verdict.good);
        return;
    }
    if (verdict.good || verdict.code != SIGNET_RESOURCE_EXHAUSTED) {
        fail_msg("allocation %zu: good %d, code %u, reason %d: %s", memory.failing, verdict.good,
                 verdict.code, (int)verdict.reason, verdict.detail);
    }
    assert_string_equal(verdict.word, "NO_MEMORY");
}

static void memory_sign(const struct fixture *fixture, Signet__V1__VerifyRequest *unused)
{
    static char claims[] = "{\"a long name of a claim\":\"and a long value of it\",\"n\":[1,2.5]}";
    Signet__V1__SignRequest request = sign_request();
    (void)unused;
    request.claims_json = claims;
    struct fixture_answer answer;
    fixture_call(fixture, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    if (memory.num < memory.failing) {
        assert_int_equal(answer.code, 0);
    } else {
        assert_int_equal(answer.code, SIGNET_RESOURCE_EXHAUSTED);
        assert_string_equal(answer.reason, "NO_MEMORY");
    }
    fixture_answer_free(&answer);
}

static void test_verify__without_memory_nothing_is_judged(void **state)
{
    const struct fixture *fixture = *state;
    char header[512];
    const char *payload = "{\"iss\":\"" ISSUER "\",\"exp\":1800000100,\"aud\":\"orders\","
                          "\"a long name of a claim\":[\"and a long value of it\",{\"n\":1.5}]}";
    (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
                   fixture_key(fixture, "demo-es256")->kid);
    /* Its header has the members in another order than ours, and so is read as JSON. */
    char *token = fixture_craft(fixture, "demo-es256", header, payload);
    Signet__V1__VerifyRequest request = verify_request(token);
    memory_fail_each(memory_verify, fixture, &request);
    free(token);
}

static void test_sign__without_memory_is_no_fault_of_the_claims(void **state)
{
    memory_fail_each(memory_sign, *state, NULL);
}

/* What the keyholder does not do is an error, never a token and never a verdict. */
static void test_token__a_keyholder_that_fails_is_an_error(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_key *key = &sg_keyring_keyset(fixture->keyring, "demo-hs256")->keys[0];
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__SignRequest sign = sign_request();
    Signet__V1__VerifyRequest verify = verify_request(token);
    uint64_t slot = sg_key_slot(key);
    atomic_store(&key->core->slot, 1); /* never a slot */
    must_not_sign(fixture, &sign, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    must_not_judge(fixture, &verify, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    atomic_store(&key->core->slot, 0); /* not in memory: revoked just now, or not there yet */
    must_not_sign(fixture, &sign, SIGNET_UNAVAILABLE, "NO_SIGNING_KEY");
    must_not_judge(fixture, &verify, SIGNET_UNAVAILABLE, "KEY_ABSENT");
    atomic_store(&key->core->slot, slot);
    must_be_good(fixture, &verify);
    struct fixture without = *fixture;
    without.service.keyholder = NULL;
    without.service.macs = NULL;
    must_not_sign(&without, &sign, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    must_not_judge(&without, &verify, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    free(token);
}

/* A key is kept for as long as any token lives that it may have signed: what came of the signing, and
 * whether anybody was told, does not count. */
static void test_sign__the_key_knows_the_latest_expiry_beforehand(void **state)
{
    struct fixture later = *(const struct fixture *)*state;
    struct sg_key_core *core = fixture_key(&later, "demo-hs256")->core;
    static char bad_claims[] = "{\"exp\":1}";
    Signet__V1__SignRequest request = sign_request();
    later.now.wall_s = FIXTURE_NOW + 1000000; /* beyond what other cases have signed */
    request.ttl_s = 100;
    free(must_sign(&later, &request));
    assert_int_equal(sg_key_core_last_expiry(core), later.now.wall_s + 100);
    request.ttl_s = 50;
    free(must_sign(&later, &request));
    assert_int_equal(sg_key_core_last_expiry(core), later.now.wall_s + 100);
    /* What breaks a rule is never signed. */
    request.ttl_s = 200;
    request.claims_json = bad_claims;
    must_not_sign(&later, &request, SIGNET_INVALID_ARGUMENT, "CLAIMS_INVALID");
    request = sign_request();
    request.ttl_s = UINT32_MAX;
    must_not_sign(&later, &request, SIGNET_INVALID_ARGUMENT, "TTL_TOO_LONG");
    assert_int_equal(sg_key_core_last_expiry(core), later.now.wall_s + 100);
    /* What the keyholder did not answer may have been signed. */
    request.ttl_s = 300;
    later.service.keyholder = NULL;
    must_not_sign(&later, &request, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    assert_int_equal(sg_key_core_last_expiry(core), later.now.wall_s + 300);
    assert_true(sg_key_core_expiry_is_exact(core));
}

/* A request that was begun with the snapshot from before finds the private part gone: it may come again,
 * and is never answered with a verdict on a token that nobody checked. */
static void test_token__a_key_that_was_taken_away_is_a_reason_to_retry(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_key_core *core = fixture_key(fixture, "demo-hs256")->core;
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__SignRequest sign = sign_request();
    Signet__V1__VerifyRequest verify = verify_request(token);
    struct fixture_answer answer;
    uint64_t slot = atomic_exchange(&core->slot, 0);
    fixture_call(fixture, SG_METHOD_SIGN, &sign.base, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_UNAVAILABLE);
    assert_true(answer.retry_after_ms > 0);
    fixture_answer_free(&answer);
    fixture_call(fixture, SG_METHOD_VERIFY, &verify.base, NULL, &answer);
    assert_int_equal(answer.code, SIGNET_UNAVAILABLE);
    assert_true(answer.retry_after_ms > 0);
    fixture_answer_free(&answer);
    atomic_store(&core->slot, slot);
    must_be_good(fixture, &verify);
    free(token);
}

/* ---- Verifying: the rules of the request ---- */

static void test_verify__audience_must_be_said(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_good(fixture, &request);
    request.any_audience = 1;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_CONFLICT");
    request.n_audiences = 0;
    must_be_good(fixture, &request);
    request.any_audience = 0;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_REQUIRED");
    char *many[17];
    for (size_t i = 0; i < 17; i++) {
        many[i] = text_orders;
    }
    request.audiences = many;
    request.n_audiences = 16;
    must_be_good(fixture, &request);
    request.n_audiences = 17;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID");
    request.n_audiences = 2;
    char empty[] = "";
    char bad[] = "\xff";
    char *too_long = text_of('a', 256);
    char *const hostile[] = {empty, bad, too_long};
    for (size_t i = 0; i < 3; i++) {
        many[1] = hostile[i];
        must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "AUDIENCE_INVALID");
    }
    free(too_long);
    free(token);
}

static void test_verify__options_have_rules(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, "demo-hs256");
    char *too_long = text_of('a', 256);
    char bad[] = "a\xff";
    char spaced[] = "a b";
    char scope[] = "a";
    char unknown[] = "demo-none";
    char capital[] = "DEMO";
    Signet__V1__VerifyRequest request = verify_request(token);
    char *scopes[17];
    request.issuer = too_long;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "ISSUER_INVALID");
    request.issuer = bad;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "ISSUER_INVALID");
    request = verify_request(token);
    request.subject = too_long;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request.subject = bad;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SUBJECT_INVALID");
    request = verify_request(token);
    request.typ = spaced;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "TYP_INVALID");
    request.typ = too_long;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "TYP_INVALID");
    request = verify_request(token);
    request.keyset = unknown;
    must_not_judge(fixture, &request, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    request.keyset = capital;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID");
    request = verify_request(token);
    request.required_scope = scopes;
    for (size_t i = 0; i < 17; i++) {
        scopes[i] = scope;
    }
    request.n_required_scope = 17;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SCOPE_INVALID");
    request.n_required_scope = 16;
    must_be_refused(fixture, &request, SIGNET_REASON_CLAIM_MISSING);
    scopes[3] = spaced;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SCOPE_INVALID");
    scopes[3] = bad;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SCOPE_INVALID");
    scopes[3] = too_long;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "SCOPE_INVALID");
    request = verify_request(token);
    request.leeway_s = 300;
    must_be_good(fixture, &request);
    request.leeway_s = 301;
    must_not_judge(fixture, &request, SIGNET_INVALID_ARGUMENT, "LEEWAY_TOO_LONG");
    free(too_long);
    free(token);
}

/* ---- Verifying: what a good token tells ---- */

static const Signet__V1__Claim *find_claim(const Signet__V1__VerifiedToken *token, const char *name)
{
    for (size_t i = 0; i < token->n_claims; i++) {
        if (strcmp(token->claims[i]->name, name) == 0) {
            return token->claims[i];
        }
    }
    static const Signet__V1__Claim none = {.value_case = SIGNET__V1__CLAIM__VALUE__NOT_SET};
    fail_msg("no claim %s", name);
    return &none; /* not reached, which the compiler cannot know */
}

static void test_verify__a_good_token_is_described_in_full(void **state)
{
    const struct fixture *fixture = *state;
    static const char payload[] =
        "{\"iss\":\"" ISSUER "\",\"sub\":\"alice\",\"aud\":[\"billing\",\"orders\"],"
        "\"exp\":1800000100.75,\"nbf\":1799999999,\"iat\":1799999998,\"jti\":\"id-1\","
        "\"s\":\"te\\u00e4xt\",\"i\":-9223372036854775808,\"d\":2.5,\"t\":true,\"f\":false,"
        "\"n\":null,\"a\":[1, 2],\"o\":{\"k\" : \"v\"},\"\":0}";
    struct fixture_answer answer;
    for (size_t i = 0; i < NUM_DEMO; i++) {
        char *token = fixture_craft(fixture, demo_keysets[i], NULL, payload);
        Signet__V1__VerifyRequest request = verify_request(token);
        fixture_call(fixture, SG_METHOD_VERIFY, &request.base,
                     &signet__v1__verify_response__descriptor, &answer);
        assert_int_equal(answer.code, 0);
        const Signet__V1__VerifyResponse *response =
            (const Signet__V1__VerifyResponse *)answer.payload;
        assert_int_equal(response->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
        const Signet__V1__VerifiedToken *good = response->token;
        assert_string_equal(good->issuer, ISSUER);
        assert_string_equal(good->subject, "alice");
        assert_int_equal(good->n_audience, 2);
        assert_string_equal(good->audience[0], "billing");
        assert_string_equal(good->audience[1], "orders");
        assert_int_equal(good->expires_at, 1800000100);
        assert_int_equal(good->not_before, 1799999999);
        assert_int_equal(good->issued_at, 1799999998);
        assert_true(good->has_not_before && good->has_issued_at);
        assert_string_equal(good->jti, "id-1");
        assert_string_equal(good->kid, fixture_key(fixture, demo_keysets[i])->kid);
        assert_string_equal(good->keyset, demo_keysets[i]);
        assert_string_equal(good->typ, "JWT");
        assert_string_equal(good->claims_json, payload);
        assert_int_equal(good->n_claims, 9);
        assert_string_equal(good->claims[0]->name, "s"); /* the token's order */
        assert_string_equal(find_claim(good, "s")->string_value, "te\xc3\xa4xt");
        assert_int_equal(find_claim(good, "i")->value_case, SIGNET__V1__CLAIM__VALUE_INT_VALUE);
        assert_true(find_claim(good, "i")->int_value == INT64_MIN);
        assert_int_equal(find_claim(good, "d")->value_case, SIGNET__V1__CLAIM__VALUE_DOUBLE_VALUE);
        assert_true(find_claim(good, "d")->double_value == 2.5);
        assert_int_equal(find_claim(good, "t")->value_case, SIGNET__V1__CLAIM__VALUE_BOOL_VALUE);
        assert_true(find_claim(good, "t")->bool_value);
        assert_int_equal(find_claim(good, "f")->value_case, SIGNET__V1__CLAIM__VALUE_BOOL_VALUE);
        assert_false(find_claim(good, "f")->bool_value);
        assert_int_equal(find_claim(good, "n")->value_case, SIGNET__V1__CLAIM__VALUE_JSON_VALUE);
        assert_string_equal(find_claim(good, "n")->json_value, "null");
        assert_string_equal(find_claim(good, "a")->json_value, "[1,2]");
        assert_string_equal(find_claim(good, "o")->json_value, "{\"k\":\"v\"}");
        assert_int_equal(find_claim(good, "")->value_case, SIGNET__V1__CLAIM__VALUE_INT_VALUE);
        fixture_answer_free(&answer);
        free(token);
    }
}

static void test_verify__what_is_absent_is_told_as_absent(void **state)
{
    const struct fixture *fixture = *state;
    const struct sg_key *key = fixture_key(fixture, "demo-es256");
    char header[512];
    struct fixture_answer answer;
    (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", key->kid);
    char *token =
        fixture_craft(fixture, "demo-es256", header, "{\"exp\":1800000001,\"iss\":\"" ISSUER "\"}");
    Signet__V1__VerifyRequest request = verify_request(token);
    request.n_audiences = 0;
    request.any_audience = 1;
    fixture_call(fixture, SG_METHOD_VERIFY, &request.base, &signet__v1__verify_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__VerifyResponse *response = (const Signet__V1__VerifyResponse *)answer.payload;
    assert_int_equal(response->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
    const Signet__V1__VerifiedToken *good = response->token;
    assert_string_equal(good->subject, "");
    assert_string_equal(good->jti, "");
    assert_string_equal(good->typ, "");
    assert_int_equal(good->n_audience, 0);
    assert_int_equal(good->n_claims, 0);
    assert_false(good->has_not_before || good->has_issued_at);
    assert_int_equal(good->not_before, 0);
    fixture_answer_free(&answer);
    free(token);
}

/* ---- Verifying: one refusal for each reason ---- */

static void test_verify__malformed(void **state)
{
    const struct fixture *fixture = *state;
    char *good = fixture_mint(fixture, "demo-hs256");
    char *huge = text_of('A', 16385);
    huge[10] = '.';
    huge[20] = '.';
    static const char *const texts[] = {"",        ".", "..", "a.b.c", "{\"payload\":\"e30\"}",
                                        "\xff\xfe"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%s", texts[i]);
        Signet__V1__VerifyRequest request = verify_request(text);
        must_be_refused(fixture, &request, SIGNET_REASON_MALFORMED);
    }
    Signet__V1__VerifyRequest request = verify_request(huge);
    must_be_refused(fixture, &request, SIGNET_REASON_MALFORMED);
    static const char *const suffixes[] = {"=", " ", "\n", ".", ".x", "\xff"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *longer = malloc(strlen(good) + 8);
        assert_non_null(longer);
        (void)snprintf(longer, strlen(good) + 8, "%s%s", good, suffixes[i]);
        request = verify_request(longer);
        must_be_refused(fixture, &request, SIGNET_REASON_MALFORMED);
        free(longer);
    }
    check_payload(fixture, "[]", SIGNET_REASON_MALFORMED);
    check_payload(fixture, "{\"exp\":1800000100,\"exp\":1}", SIGNET_REASON_MALFORMED);
    free(huge);
    free(good);
}

/* A NUL cuts a C string: behind it, anything could follow a good token (attacks C9). */
static void test_verify__a_token_with_a_nul_is_malformed(void **state)
{
    const struct fixture *fixture = *state;
    char *good = fixture_mint(fixture, "demo-hs256");
    size_t good_len = strlen(good);
    for (int behind = 0; behind < 2; behind++) {
        /* VerifyRequest by hand: token = good NUL [x], any_audience. */
        struct fixture_answer answer;
        size_t token_len = good_len + (behind ? 2 : 1);
        uint8_t *wire = malloc(good_len + 16);
        assert_non_null(wire);
        size_t len = 0;
        wire[len++] = 0x0a;
        wire[len++] = (uint8_t)(token_len | 0x80);
        wire[len++] = (uint8_t)(token_len >> 7);
        memcpy(wire + len, good, good_len);
        len += good_len;
        wire[len++] = 0;
        if (behind) {
            wire[len++] = 'x';
        }
        wire[len++] = 0x18;
        wire[len++] = 1;
        assert_true(token_len >= 128 && token_len < 16384);
        char method[] = SG_METHOD_VERIFY;
        Signet__Rpc__V1__Request envelope = SIGNET__RPC__V1__REQUEST__INIT;
        envelope.method = method;
        envelope.payload.data = wire;
        envelope.payload.len = len;
        uint8_t *bytes = malloc(signet__rpc__v1__request__get_packed_size(&envelope));
        assert_non_null(bytes);
        size_t bytes_len = signet__rpc__v1__request__pack(&envelope, bytes);
        fixture_dispatch(fixture, bytes, bytes_len, &signet__v1__verify_response__descriptor,
                         &answer);
        assert_int_equal(answer.code, 0);
        const Signet__V1__VerifyResponse *response =
            (const Signet__V1__VerifyResponse *)answer.payload;
        assert_int_equal(response->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION);
        assert_int_equal(response->rejection->reason, SIGNET_REASON_MALFORMED);
        fixture_answer_free(&answer);
        free(bytes);
        free(wire);
    }
    free(good);
}

/* Puts a header of the caller's before a good token's payload and signature. */
static char *with_header(const char *token, const char *header)
{
    const char *rest = strchr(token, '.');
    char *changed = malloc(2 * strlen(header) + strlen(rest) + 8);
    assert_non_null(changed);
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), changed);
    memcpy(changed + len, rest, strlen(rest) + 1);
    return changed;
}

static void check_header(const struct fixture *fixture, const char *format, const char *kid,
                         signet_reason reason)
{
    char header[512];
    char *good = fixture_mint(fixture, "demo-rs256");
    const char *at = strstr(format, "KID");
    if (at != NULL) {
        (void)snprintf(header, sizeof(header), "%.*s%s%s", (int)(at - format), format, kid, at + 3);
    } else {
        (void)snprintf(header, sizeof(header), "%s", format);
    }
    char *changed = with_header(good, header);
    Signet__V1__VerifyRequest request = verify_request(changed);
    must_be_refused(fixture, &request, reason);
    free(changed);
    free(good);
}

static void test_verify__unsupported_header(void **state)
{
    const struct fixture *fixture = *state;
    const char *kid = fixture_key(fixture, "demo-rs256")->kid;
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"KID\",\"crit\":[\"x\"],\"x\":1}", kid,
                 SIGNET_REASON_UNSUPPORTED_HEADER);
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"KID\",\"b64\":false}", kid,
                 SIGNET_REASON_UNSUPPORTED_HEADER);
}

/* none, another algorithm of the family, and the key confusion of attacks A1 to A4. */
static void test_verify__wrong_alg(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const algs[] = {"none",  "None",  "NONE",  "HS256", "RS384",
                                       "PS256", "ES256", "EdDSA", "RS1",   "rs256"};
    const char *kid = fixture_key(fixture, "demo-rs256")->kid;
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"KID\"}", algs[i]);
        check_header(fixture, header, kid, SIGNET_REASON_WRONG_ALG);
    }
}

static void test_verify__unknown_key(void **state)
{
    const struct fixture *fixture = *state;
    const char *kid = fixture_key(fixture, "demo-rs256")->kid;
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"other\"}", kid, SIGNET_REASON_UNKNOWN_KEY);
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"\"}", kid, SIGNET_REASON_UNKNOWN_KEY);
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"KIDx\"}", kid, SIGNET_REASON_UNKNOWN_KEY);
    check_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"../../etc/passwd\"}", kid,
                 SIGNET_REASON_UNKNOWN_KEY);
    check_header(fixture, "{\"alg\":\"RS256\"}", kid, SIGNET_REASON_UNKNOWN_KEY);
}

/* A named keyset is the only one whose keys count (attacks A11). */
static void test_verify__another_keysets_token_is_unknown(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < NUM_DEMO; i++) {
        char *token = fixture_mint(fixture, demo_keysets[i]);
        for (size_t k = 0; k < NUM_DEMO; k++) {
            char keyset[32];
            Signet__V1__VerifyRequest request = verify_request(token);
            (void)snprintf(keyset, sizeof(keyset), "%s", demo_keysets[k]);
            request.keyset = keyset;
            if (i == k) {
                must_be_good(fixture, &request);
            } else {
                must_be_refused(fixture, &request, SIGNET_REASON_UNKNOWN_KEY);
            }
        }
        free(token);
    }
}

/* Without a kid the keyset must be named, and then its keys alone are tried. */
static void test_verify__a_token_without_kid_needs_a_keyset(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *keyset, *header;
    } cases[] = {
        {"demo-hs256", "{\"alg\":\"HS256\"}"},
        {"demo-es256", "{\"alg\":\"ES256\"}"},
        {"demo-rs256", "{\"alg\":\"RS256\"}"},
    };
    static const char payload[] = "{\"iss\":\"" ISSUER "\",\"aud\":\"orders\",\"exp\":1800000001}";
    for (size_t i = 0; i < 3; i++) {
        char *token = fixture_craft(fixture, cases[i].keyset, cases[i].header, payload);
        Signet__V1__VerifyRequest request = verify_request(token);
        must_be_refused(fixture, &request, SIGNET_REASON_UNKNOWN_KEY);
        char keyset[32];
        (void)snprintf(keyset, sizeof(keyset), "%s", cases[i].keyset);
        request.keyset = keyset;
        must_be_good(fixture, &request);
        (void)snprintf(keyset, sizeof(keyset), "demo-ps256");
        must_be_refused(fixture, &request, SIGNET_REASON_WRONG_ALG);
        token[strlen(token) - 3] ^= 1;
        (void)snprintf(keyset, sizeof(keyset), "%s", cases[i].keyset);
        struct fixture_verdict verdict = fixture_verify(fixture, &request);
        assert_false(verdict.good);
        free(token);
    }
}

/* Whatever is wrong with a signature, the answer is the same (attacks D11). */
static void test_verify__bad_signature_has_one_answer(void **state)
{
    const struct fixture *fixture = *state;
    char first[257] = "";
    for (size_t i = 0; i < NUM_DEMO; i++) {
        char *token = fixture_mint(fixture, demo_keysets[i]);
        char *other = fixture_mint(fixture, demo_keysets[i]);
        char *dot = strrchr(token, '.');
        const char *other_dot = strrchr(other, '.');
        size_t signature_len = strlen(dot + 1);
        char *variants[5];
        variants[0] = strdup(token); /* another token's signature */
        memcpy(strrchr(variants[0], '.'), other_dot, strlen(other_dot));
        variants[1] = strdup(token); /* its first byte */
        char *changed = strrchr(variants[1], '.') + 1;
        *changed = *changed == 'A' ? 'B' : 'A';
        variants[2] = strdup(token); /* cut by whole quads */
        variants[2][strlen(token) - signature_len % 4 - 4] = '\0';
        variants[3] = strdup(token); /* none */
        strrchr(variants[3], '.')[1] = '\0';
        variants[4] = malloc(strlen(token) + 1000); /* far too long */
        assert_non_null(variants[4]);
        (void)snprintf(variants[4], strlen(token) + 1000, "%.*s.%0400d", (int)(dot - token), token,
                       0);
        for (size_t v = 0; v < 5; v++) {
            struct fixture_verdict verdict = fixture_judge(fixture, variants[v]);
            assert_false(verdict.good);
            assert_int_equal(verdict.code, 0);
            assert_int_equal((int)verdict.reason, (int)SIGNET_REASON_BAD_SIGNATURE);
            if (first[0] == '\0') {
                (void)snprintf(first, sizeof(first), "%s", verdict.detail);
            }
            assert_string_equal(verdict.detail, first);
            free(variants[v]);
        }
        assert_true(fixture_judge(fixture, token).good);
        free(token);
        free(other);
    }
}

/* The claims of a forged token decide nothing: even expired, the signature is what is told. */
static void test_verify__nothing_is_said_of_forged_claims(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, "demo-hs256", NULL, "{\"exp\":1}");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_refused(fixture, &request, SIGNET_REASON_EXPIRED);
    char *last = strrchr(token, '.') + 1;
    *last = *last == 'A' ? 'B' : 'A';
    must_be_refused(fixture, &request, SIGNET_REASON_BAD_SIGNATURE);
    free(token);
}

#define GOOD_CLAIMS "\"iss\":\"" ISSUER "\",\"aud\":\"orders\",\"sub\":\"alice\""

static void test_verify__times(void **state)
{
    const struct fixture *fixture = *state;
    check_payload(fixture, "{" GOOD_CLAIMS ",\"exp\":1800000001}", SIGNET_REASON_NONE);
    check_payload(fixture, "{" GOOD_CLAIMS ",\"exp\":1800000000}", SIGNET_REASON_EXPIRED);
    check_payload(fixture, "{" GOOD_CLAIMS "}", SIGNET_REASON_CLAIM_MISSING);
    check_payload(fixture, "{" GOOD_CLAIMS ",\"exp\":\"1900000000\"}", SIGNET_REASON_CLAIM_INVALID);
    check_payload(fixture, "{" GOOD_CLAIMS ",\"exp\":1800000001,\"nbf\":1800000000}",
                  SIGNET_REASON_NONE);
    check_payload(fixture, "{" GOOD_CLAIMS ",\"exp\":1800000009,\"nbf\":1800000001}",
                  SIGNET_REASON_NOT_YET_VALID);
    char *token =
        fixture_craft(fixture, "demo-es256", NULL, "{" GOOD_CLAIMS ",\"exp\":1799999990}");
    Signet__V1__VerifyRequest request = verify_request(token);
    request.leeway_s = 10;
    must_be_refused(fixture, &request, SIGNET_REASON_EXPIRED);
    request.leeway_s = 11;
    must_be_good(fixture, &request);
    free(token);
}

static void test_verify__too_old(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, "demo-es256", NULL,
                                "{" GOOD_CLAIMS ",\"exp\":1800000100,\"iat\":1799999900}");
    Signet__V1__VerifyRequest request = verify_request(token);
    request.max_age_s = 100;
    must_be_good(fixture, &request);
    request.max_age_s = 99;
    must_be_refused(fixture, &request, SIGNET_REASON_TOO_OLD);
    free(token);
    token = fixture_craft(fixture, "demo-es256", NULL, "{" GOOD_CLAIMS ",\"exp\":1800000100}");
    request.token = token;
    must_be_refused(fixture, &request, SIGNET_REASON_CLAIM_MISSING);
    free(token);
}

/* The issuer is that of the key's keyset, whatever the caller says. */
static void test_verify__wrong_issuer(void **state)
{
    const struct fixture *fixture = *state;
    char other[] = "https://other.invalid";
    char own[] = ISSUER;
    char *token = fixture_craft(fixture, "demo-es256", NULL,
                                "{\"iss\":\"https://other.invalid\",\"aud\":\"orders\","
                                "\"exp\":1800000001}");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_refused(fixture, &request, SIGNET_REASON_WRONG_ISSUER);
    request.issuer = other;
    must_be_refused(fixture, &request, SIGNET_REASON_WRONG_ISSUER);
    free(token);
    check_payload(fixture, "{\"aud\":\"orders\",\"exp\":1800000001}", SIGNET_REASON_WRONG_ISSUER);
    token = fixture_mint(fixture, "demo-es256");
    request = verify_request(token);
    request.issuer = own;
    must_be_good(fixture, &request);
    request.issuer = other;
    must_be_refused(fixture, &request, SIGNET_REASON_WRONG_ISSUER);
    free(token);
}

static void test_verify__wrong_audience(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, "demo-hs256");
    static const char *const others[] = {"order", "orderss", "Orders", "billing"};
    for (size_t i = 0; i < 4; i++) {
        char name[16];
        char *list[] = {name};
        Signet__V1__VerifyRequest request = verify_request(token);
        (void)snprintf(name, sizeof(name), "%s", others[i]);
        request.audiences = list;
        must_be_refused(fixture, &request, SIGNET_REASON_WRONG_AUDIENCE);
    }
    free(token);
    check_payload(fixture, "{\"iss\":\"" ISSUER "\",\"exp\":1800000001}",
                  SIGNET_REASON_WRONG_AUDIENCE);
}

static void test_verify__wrong_type(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    char same[] = "application/jwt";
    char other[] = "at+jwt";
    request.typ = same;
    must_be_good(fixture, &request);
    request.typ = other;
    must_be_refused(fixture, &request, SIGNET_REASON_WRONG_TYPE);
    free(token);
}

static void test_verify__subject_and_scope(void **state)
{
    const struct fixture *fixture = *state;
    char *token = fixture_craft(fixture, "demo-es256", NULL,
                                "{" GOOD_CLAIMS ",\"exp\":1800000001,\"scope\":\"read write\"}");
    Signet__V1__VerifyRequest request = verify_request(token);
    char bob[] = "bob";
    char read_scope[] = "read";
    char write_scope[] = "write";
    char admin[] = "admin";
    char *scopes[] = {write_scope, read_scope};
    request.subject = text_alice;
    request.required_scope = scopes;
    request.n_required_scope = 2;
    must_be_good(fixture, &request);
    scopes[1] = admin;
    must_be_refused(fixture, &request, SIGNET_REASON_CLAIM_INVALID);
    scopes[1] = read_scope;
    request.subject = bob;
    must_be_refused(fixture, &request, SIGNET_REASON_CLAIM_INVALID);
    free(token);
}

/* ---- Batches ---- */

static void test_sign_batch__each_request_is_on_its_own(void **state)
{
    const struct fixture *fixture = *state;
    enum {
        NUM = 25
    };
    Signet__V1__SignRequest requests[NUM];
    Signet__V1__SignRequest *list[NUM];
    char names[NUM][32];
    char empty[] = "";
    for (size_t i = 0; i < NUM; i++) {
        requests[i] = sign_request();
        (void)snprintf(names[i], sizeof(names[i]), "%s", demo_keysets[i % NUM_DEMO]);
        requests[i].keyset = names[i];
        requests[i].ttl_s = (uint32_t)(100 + i);
        if (i % 7 == 3) {
            requests[i].subject = empty;
        }
        list[i] = &requests[i];
    }
    Signet__V1__SignBatchRequest batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
    struct fixture_answer answer;
    batch.requests = list;
    batch.n_requests = NUM;
    fixture_call(fixture, SG_METHOD_SIGN_BATCH, &batch.base,
                 &signet__v1__sign_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__SignBatchResponse *response =
        (const Signet__V1__SignBatchResponse *)answer.payload;
    assert_int_equal(response->n_results, NUM);
    for (size_t i = 0; i < NUM; i++) {
        const Signet__V1__SignResult *result = response->results[i];
        if (i % 7 == 3) {
            assert_int_equal(result->outcome_case, SIGNET__V1__SIGN_RESULT__OUTCOME_ERROR);
            assert_int_equal(result->error->code, SIGNET_INVALID_ARGUMENT);
            assert_string_equal(result->error->reason, "SUBJECT_INVALID");
            continue;
        }
        assert_int_equal(result->outcome_case, SIGNET__V1__SIGN_RESULT__OUTCOME_TOKEN);
        assert_int_equal(result->token->expires_at, FIXTURE_NOW + 100 + (int64_t)i);
        assert_string_equal(result->token->kid, fixture_key(fixture, names[i])->kid);
        Signet__V1__VerifyRequest verify = verify_request(result->token->token);
        verify.keyset = names[i];
        must_be_good(fixture, &verify);
        json_t *payload = token_part(result->token->token, 1);
        assert_string_equal(json_string_value(json_object_get(payload, "jti")), result->token->jti);
        json_decref(payload);
    }
    fixture_answer_free(&answer);
}

/* Good, refused and wrong requests of every algorithm side by side, more than one chunk of them. */
static void test_verify_batch__each_token_is_judged_on_its_own(void **state)
{
    const struct fixture *fixture = *state;
    enum {
        NUM = 100
    };
    Signet__V1__VerifyRequest requests[NUM];
    Signet__V1__VerifyRequest *list[NUM];
    char *tokens[NUM];
    for (size_t i = 0; i < NUM; i++) {
        tokens[i] = fixture_mint(fixture, demo_keysets[i % NUM_DEMO]);
        if (i % 3 == 1) { /* forged: another payload under the signature */
            char *at = strchr(tokens[i], '.') + 20;
            at[0] = at[0] == 'X' ? 'Y' : 'X';
            at[1] = at[1] == 'X' ? 'Y' : 'X';
        }
        requests[i] = verify_request(tokens[i]);
        if (i % 10 == 9) {
            requests[i].leeway_s = 301;
        }
        list[i] = &requests[i];
    }
    Signet__V1__VerifyBatchRequest batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
    struct fixture_answer answer;
    batch.requests = list;
    batch.n_requests = NUM;
    fixture_call(fixture, SG_METHOD_VERIFY_BATCH, &batch.base,
                 &signet__v1__verify_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__VerifyBatchResponse *response =
        (const Signet__V1__VerifyBatchResponse *)answer.payload;
    assert_int_equal(response->n_results, NUM);
    for (size_t i = 0; i < NUM; i++) {
        const Signet__V1__VerifyResult *result = response->results[i];
        if (i % 10 == 9) {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_ERROR);
            assert_string_equal(result->error->reason, "LEEWAY_TOO_LONG");
        } else if (i % 3 == 1) {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION);
            assert_int_equal(result->rejection->reason, SIGNET_REASON_BAD_SIGNATURE);
        } else {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN);
            assert_string_equal(result->token->keyset, demo_keysets[i % NUM_DEMO]);
            json_t *payload = token_part(tokens[i], 1);
            assert_string_equal(result->token->jti,
                                json_string_value(json_object_get(payload, "jti")));
            json_decref(payload);
        }
        free(tokens[i]);
    }
    fixture_answer_free(&answer);
}

static void test_batch__has_1_to_256_requests(void **state)
{
    const struct fixture *fixture = *state;
    static const size_t nums[] = {0, 1, 256, 257, 2000};
    Signet__V1__SignRequest sign = sign_request();
    char junk[] = "a.b.c";
    Signet__V1__VerifyRequest verify = verify_request(junk);
    Signet__V1__SignRequest *signs[2000];
    Signet__V1__VerifyRequest *verifies[2000];
    for (size_t i = 0; i < 2000; i++) {
        signs[i] = &sign;
        verifies[i] = &verify;
    }
    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
        bool fits = nums[i] >= 1 && nums[i] <= 256;
        Signet__V1__SignBatchRequest sign_batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
        Signet__V1__VerifyBatchRequest verify_batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
        struct fixture_answer answer;
        sign_batch.requests = signs;
        sign_batch.n_requests = nums[i];
        fixture_call(fixture, SG_METHOD_SIGN_BATCH, &sign_batch.base,
                     &signet__v1__sign_batch_response__descriptor, &answer);
        assert_int_equal(answer.code, fits ? 0 : SIGNET_INVALID_ARGUMENT);
        if (fits) {
            assert_int_equal(((const Signet__V1__SignBatchResponse *)answer.payload)->n_results,
                             nums[i]);
        }
        fixture_answer_free(&answer);
        verify_batch.requests = verifies;
        verify_batch.n_requests = nums[i];
        fixture_call(fixture, SG_METHOD_VERIFY_BATCH, &verify_batch.base,
                     &signet__v1__verify_batch_response__descriptor, &answer);
        assert_int_equal(answer.code, fits ? 0 : SIGNET_INVALID_ARGUMENT);
        if (fits) {
            assert_int_equal(((const Signet__V1__VerifyBatchResponse *)answer.payload)->n_results,
                             nums[i]);
        } else {
            assert_string_equal(answer.reason, "BATCH_SIZE");
        }
        fixture_answer_free(&answer);
    }
}

/* 64 tokens of the largest size, made of many small claims, fit the decoding and the response. */
static void test_verify_batch__large_tokens_fit(void **state)
{
    const struct fixture *fixture = *state;
    enum {
        NUM = 60
    };
    char *payload = malloc(12289);
    assert_non_null(payload);
    int len =
        snprintf(payload, 12288, "{\"iss\":\"" ISSUER "\",\"aud\":\"orders\",\"exp\":1800000001");
    for (unsigned i = 0; len < 12000; i++) {
        len += snprintf(payload + len, 12288 - (size_t)len, ",\"%x\":[1e9]", i);
    }
    (void)snprintf(payload + len, 12288 - (size_t)len, "}");
    char *token = fixture_craft(fixture, "demo-hs256", NULL, payload);
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_good(fixture, &request);
    Signet__V1__VerifyRequest *list[NUM];
    for (size_t i = 0; i < NUM; i++) {
        list[i] = &request;
    }
    Signet__V1__VerifyBatchRequest batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
    struct fixture_answer answer;
    batch.requests = list;
    batch.n_requests = NUM;
    fixture_call(fixture, SG_METHOD_VERIFY_BATCH, &batch.base,
                 &signet__v1__verify_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__VerifyBatchResponse *response =
        (const Signet__V1__VerifyBatchResponse *)answer.payload;
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(response->results[i]->outcome_case,
                         SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN);
    }
    fixture_answer_free(&answer);
    free(token);
    free(payload);
}

/* ---- Deadlines on the way ---- */

static uint64_t late_ms; /* what the clock of the next test says */

static uint64_t read_late_ms(void)
{
    late_ms += 400;
    return late_ms;
}

static void test_batch__stops_at_its_deadline(void **state)
{
    struct fixture fixture = *(const struct fixture *)*state;
    Signet__V1__SignRequest sign = sign_request();
    Signet__V1__SignRequest *list[100];
    for (size_t i = 0; i < 100; i++) {
        list[i] = &sign;
    }
    Signet__V1__SignBatchRequest batch = SIGNET__V1__SIGN_BATCH_REQUEST__INIT;
    struct fixture_answer answer;
    batch.requests = list;
    batch.n_requests = 100;
    fixture.service.read_mono_ms = read_late_ms;
    late_ms = fixture.now.mono_ms;
    fixture_call(&fixture, SG_METHOD_SIGN_BATCH, &batch.base,
                 &signet__v1__sign_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, SIGNET_DEADLINE_EXCEEDED);
    assert_string_equal(answer.reason, "DEADLINE_PASSED");
    assert_int_equal(late_ms, fixture.now.mono_ms + 2000); /* it stopped there */
    fixture_answer_free(&answer);
    batch.n_requests = 16;
    late_ms = fixture.now.mono_ms;
    fixture_call(&fixture, SG_METHOD_SIGN_BATCH, &batch.base,
                 &signet__v1__sign_batch_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
}

/* ---- In two parts, with the keyholder between ---- */

static struct sg_call *crossing_begin(const struct fixture *fixture, char *token)
{
    char audience[] = "orders";
    char *audiences[] = {audience};
    size_t len = 0;
    struct sg_response response = {0};
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = audiences;
    request.n_audiences = 1;
    uint8_t *bytes = fixture_envelope(SG_METHOD_VERIFY, &request.base, &len);
    struct sg_call *call =
        sg_call_begin(&fixture->service, &fixture->peer, bytes, len, fixture->now, 0);
    free(bytes);
    assert_non_null(call);
    assert_int_equal(sg_call_work(call, fixture->now, &response), SG_CALL_CROSSES);
    return call;
}

/* 0, or the code of an error; a rejection fails the test unless it is wanted. */
static uint32_t crossing_end(struct sg_call *call, struct sg_now now, bool wants_rejection)
{
    struct sg_response response = {0};
    struct fixture_answer answer;
    assert_true(sg_call_finish(call, now, &response));
    fixture_answer_read(&response, 0, &signet__v1__verify_response__descriptor, &answer);
    uint32_t code = answer.code;
    if (code == 0) {
        const Signet__V1__VerifyResponse *verified =
            (const Signet__V1__VerifyResponse *)answer.payload;
        assert_int_equal(verified->outcome_case,
                         wants_rejection ? SIGNET__V1__VERIFY_RESPONSE__OUTCOME_REJECTION
                                         : SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
    }
    fixture_answer_free(&answer);
    return code;
}

/* ---- MACs that are known to be good ---- */

/* What the keyholder was asked, on the way to the real one. */
struct counting_keyholder {
    struct sg_keyholder base;
    struct sg_keyholder *real;
    unsigned num_calls;
};

static signet_status counting_call(struct sg_keyholder *keyholder,
                                   const struct sg_keyholder_request *requests, size_t num,
                                   const uint8_t *bytes, size_t bytes_len,
                                   struct sg_keyholder_reply *replies)
{
    struct counting_keyholder *counting = (struct counting_keyholder *)(void *)keyholder;
    counting->num_calls++;
    return sg_keyholder_call(counting->real, requests, num, bytes, bytes_len, replies);
}

static const struct sg_keyholder_ops counting_ops = {.call = counting_call};

/* The fixture with a cache, and with a keyholder that counts. */
struct cached {
    struct fixture fixture;
    struct counting_keyholder counting;
};

static void cached_init(struct cached *cached, const struct fixture *fixture)
{
    *cached = (struct cached){.fixture = *fixture};
    cached->counting.base.ops = &counting_ops;
    cached->counting.real = fixture->keyholder;
    cached->fixture.service.keyholder = &cached->counting.base;
    cached->fixture.service.macs = sg_mac_cache_new(64);
    assert_non_null(cached->fixture.service.macs);
}

static void cached_fini(struct cached *cached)
{
    sg_mac_cache_free(cached->fixture.service.macs);
}

static void test_cache__a_good_mac_is_asked_about_once(void **state)
{
    struct cached cached;
    cached_init(&cached, *state);
    char *token = fixture_mint(&cached.fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    cached.counting.num_calls = 0;
    for (unsigned i = 0; i < 3; i++) {
        must_be_good(&cached.fixture, &request);
        assert_int_equal(cached.counting.num_calls, 1);
    }
    free(token);
    cached_fini(&cached);
}

static void test_cache__no_other_byte_is_good_for_it(void **state)
{
    struct cached cached;
    cached_init(&cached, *state);
    char *token = fixture_mint(&cached.fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_good(&cached.fixture, &request);
    for (size_t i = 0; i < strlen(token); i++) {
        const char before = token[i];
        token[i] = before == 'A' ? 'B' : 'A';
        struct fixture_verdict verdict = fixture_verify(&cached.fixture, &request);
        assert_false(verdict.good);
        token[i] = before;
    }
    must_be_good(&cached.fixture, &request);
    free(token);
    cached_fini(&cached);
}

static void test_cache__a_bad_mac_is_asked_about_each_time(void **state)
{
    struct cached cached;
    cached_init(&cached, *state);
    char *token = fixture_mint(&cached.fixture, "demo-hs256");
    char *first = strrchr(token, '.') + 1;
    *first = *first == 'A' ? 'B' : 'A';
    Signet__V1__VerifyRequest request = verify_request(token);
    cached.counting.num_calls = 0;
    for (unsigned i = 1; i <= 3; i++) {
        struct fixture_verdict verdict = fixture_verify(&cached.fixture, &request);
        assert_int_equal(verdict.reason, SIGNET__V1__REJECTION_REASON__BAD_SIGNATURE);
        assert_int_equal(cached.counting.num_calls, i);
    }
    free(token);
    cached_fini(&cached);
}

/* Another key of the algorithm. */
static uint64_t cached_make_key(const struct fixture *fixture)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_HS256};
    struct sg_keyholder_reply reply;
    assert_int_equal(sg_keyholder_call(fixture->keyholder, &request, 1, NULL, 0, &reply),
                     SIGNET_OK);
    assert_int_equal(reply.status, SIGNET_OK);
    return reply.slot;
}

/* The key went from memory, or came back to another slot: what was known of the old one is not asked. */
static void test_cache__is_of_the_slot_of_the_key(void **state)
{
    struct cached cached;
    cached_init(&cached, *state);
    struct sg_key_core *core = fixture_key(&cached.fixture, "demo-hs256")->core;
    char *token = fixture_mint(&cached.fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_good(&cached.fixture, &request);
    uint64_t slot = atomic_exchange(&core->slot, 0);
    must_not_judge(&cached.fixture, &request, SIGNET_UNAVAILABLE, "KEY_ABSENT");
    atomic_store(&core->slot, 1); /* never a slot */
    must_not_judge(&cached.fixture, &request, SIGNET_INTERNAL, "KEYHOLDER_FAILED");
    atomic_store(&core->slot, cached_make_key(&cached.fixture));
    struct fixture_verdict verdict = fixture_verify(&cached.fixture, &request);
    assert_int_equal(verdict.reason, SIGNET__V1__REJECTION_REASON__BAD_SIGNATURE);
    atomic_store(&core->slot, slot);
    must_be_good(&cached.fixture, &request);
    free(token);
    cached_fini(&cached);
}

/* A good MAC is all that is known. */
static void test_cache__all_else_is_judged_each_time(void **state)
{
    struct cached cached;
    cached_init(&cached, *state);
    struct fixture *fixture = &cached.fixture;
    char *token = fixture_mint(fixture, "demo-hs256");
    Signet__V1__VerifyRequest request = verify_request(token);
    must_be_good(fixture, &request);
    char other[] = "billing";
    char *audiences[] = {other};
    request.audiences = audiences;
    assert_int_equal(fixture_verify(fixture, &request).reason,
                     SIGNET__V1__REJECTION_REASON__WRONG_AUDIENCE);
    request = verify_request(token);
    fixture->now.wall_s += 100 * 365 * INT64_C(86400);
    assert_int_equal(fixture_verify(fixture, &request).reason,
                     SIGNET__V1__REJECTION_REASON__EXPIRED);
    fixture->now.wall_s = FIXTURE_NOW;
    must_be_good(fixture, &request);
    free(token);
    cached_fini(&cached);
}

static void test_crossing__judges_each_call_on_its_own(void **state)
{
    const struct fixture *fixture = *state;
    char *good = fixture_mint(fixture, "demo-hs256");
    char *forged = fixture_mint(fixture, "demo-hs256");
    char *first = strrchr(forged, '.') + 1;
    *first = *first == 'A' ? 'B' : 'A';
    struct sg_call *const calls[] = {crossing_begin(fixture, good), crossing_begin(fixture, forged),
                                     crossing_begin(fixture, good)};
    sg_call_cross(calls, 3, fixture->now, NULL);
    assert_int_equal(crossing_end(calls[0], fixture->now, false), 0);
    assert_int_equal(crossing_end(calls[1], fixture->now, true), 0);
    assert_int_equal(crossing_end(calls[2], fixture->now, false), 0);
    free(good);
    free(forged);
}

static void test_crossing__is_not_for_calls_whose_deadline_has_passed(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_now late = fixture->now;
    late.mono_ms += SG_DEFAULT_TIMEOUT_MS;
    char *token = fixture_mint(fixture, "demo-hs256");
    struct sg_call *const calls[] = {crossing_begin(fixture, token)};
    sg_call_cross(calls, 1, late, NULL);
    assert_int_equal(crossing_end(calls[0], late, false), SIGNET_DEADLINE_EXCEEDED);
    free(token);
}

/* A token that expires while its check waits is not good any more. */
static void test_crossing__judges_by_the_time_of_the_answer(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_now later = fixture->now;
    later.wall_s += 100 * 365 * 86400LL;
    char *token = fixture_mint(fixture, "demo-hs256");
    struct sg_call *const calls[] = {crossing_begin(fixture, token)};
    sg_call_cross(calls, 1, later, NULL);
    assert_int_equal(crossing_end(calls[0], later, true), 0);
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign__what_every_keyset_signs_verifies),
        cmocka_unit_test(test_sign__sets_header_and_claims),
        cmocka_unit_test(test_sign__no_two_tokens_share_a_jti),
        cmocka_unit_test(test_sign__keyset_must_be_named_and_known),
        cmocka_unit_test(test_sign__subject_is_required_and_bounded),
        cmocka_unit_test(test_sign__audience_is_required_and_bounded),
        cmocka_unit_test(test_sign__ttl_is_the_keysets_or_less),
        cmocka_unit_test(test_sign__not_before_is_before_exp),
        cmocka_unit_test(test_sign__claims_are_one_strict_object_without_our_names),
        cmocka_unit_test(test_sign__never_makes_a_token_too_large_to_verify),
        cmocka_unit_test(test_sign__typ_is_the_keysets),
        cmocka_unit_test(test_sign__without_a_key_that_may_sign_there_is_no_token),
        cmocka_unit_test(test_sign__goes_on_when_the_clock_is_set_back),
        cmocka_unit_test(test_sign__without_memory_is_no_fault_of_the_claims),
        cmocka_unit_test(test_verify__without_memory_nothing_is_judged),
        cmocka_unit_test(test_token__a_keyholder_that_fails_is_an_error),
        cmocka_unit_test(test_sign__the_key_knows_the_latest_expiry_beforehand),
        cmocka_unit_test(test_token__a_key_that_was_taken_away_is_a_reason_to_retry),
        cmocka_unit_test(test_verify__audience_must_be_said),
        cmocka_unit_test(test_verify__options_have_rules),
        cmocka_unit_test(test_verify__a_good_token_is_described_in_full),
        cmocka_unit_test(test_verify__what_is_absent_is_told_as_absent),
        cmocka_unit_test(test_verify__malformed),
        cmocka_unit_test(test_verify__a_token_with_a_nul_is_malformed),
        cmocka_unit_test(test_verify__unsupported_header),
        cmocka_unit_test(test_verify__wrong_alg),
        cmocka_unit_test(test_verify__unknown_key),
        cmocka_unit_test(test_verify__another_keysets_token_is_unknown),
        cmocka_unit_test(test_verify__a_token_without_kid_needs_a_keyset),
        cmocka_unit_test(test_verify__bad_signature_has_one_answer),
        cmocka_unit_test(test_verify__nothing_is_said_of_forged_claims),
        cmocka_unit_test(test_verify__times),
        cmocka_unit_test(test_verify__too_old),
        cmocka_unit_test(test_verify__wrong_issuer),
        cmocka_unit_test(test_verify__wrong_audience),
        cmocka_unit_test(test_verify__wrong_type),
        cmocka_unit_test(test_verify__subject_and_scope),
        cmocka_unit_test(test_sign_batch__each_request_is_on_its_own),
        cmocka_unit_test(test_verify_batch__each_token_is_judged_on_its_own),
        cmocka_unit_test(test_batch__has_1_to_256_requests),
        cmocka_unit_test(test_verify_batch__large_tokens_fit),
        cmocka_unit_test(test_batch__stops_at_its_deadline),
        cmocka_unit_test(test_cache__a_good_mac_is_asked_about_once),
        cmocka_unit_test(test_cache__no_other_byte_is_good_for_it),
        cmocka_unit_test(test_cache__a_bad_mac_is_asked_about_each_time),
        cmocka_unit_test(test_cache__is_of_the_slot_of_the_key),
        cmocka_unit_test(test_cache__all_else_is_judged_each_time),
        cmocka_unit_test(test_crossing__judges_each_call_on_its_own),
        cmocka_unit_test(test_crossing__is_not_for_calls_whose_deadline_has_passed),
        cmocka_unit_test(test_crossing__judges_by_the_time_of_the_answer),
    };
    return cmocka_run_group_tests_name("token_service", tests, fixture_setup, fixture_teardown);
}
