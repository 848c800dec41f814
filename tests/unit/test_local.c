/* SPDX-License-Identifier: Apache-2.0
 *
 * libsignet-local's judgement: every answer it gives by itself, everything that it leaves to the daemon, and every kind
 * of revocation. That these are the daemon's answers is tested in test_local_same; boards that come and go in
 * test_local_boards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/local_fixture.h"

#define NUM_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct jose_key keys[SG_ALG_COUNT];
static struct jose_key other; /* another of ES256 */
static const char *const audience[] = {"orders"};
static const struct signet_verify_options for_orders = {.audiences = audience, .num_audiences = 1};
static const struct signet_verify_options for_any = {.any_audience = true};

static const char good_claims[] =
    "{\"iss\":\"" LOCAL_ISSUER "\",\"sub\":\"alice\",\"aud\":\"orders\",\"iat\":1799999990,"
    "\"nbf\":1799999990,\"exp\":1800000100,\"jti\":\"one\",\"n\":7,\"scope\":\"read write\"}";

static int make_keys(void **state)
{
    (void)state;
    for (int alg = SG_ALG_RS256; alg < SG_ALG_COUNT; alg++) {
        jose_key_new(&keys[alg], (enum sg_alg)alg);
    }
    jose_key_new(&other, SG_ALG_ES256);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (int alg = SG_ALG_RS256; alg < SG_ALG_COUNT; alg++) {
        jose_key_free(&keys[alg]);
    }
    jose_key_free(&other);
    return 0;
}

/* Keyset "main" has a key of each algorithm, whose kid is the algorithm's number; "hs" a secret, "h". */
static size_t usual_records(struct sg_board_key out[SG_ALG_COUNT + 1])
{
    static char kids[SG_ALG_COUNT][8];
    size_t num = 0;
    for (int alg = SG_ALG_RS256; alg < SG_ALG_COUNT; alg++) {
        (void)snprintf(kids[alg], sizeof(kids[alg]), "%d", alg);
        out[num++] = local_record("main", kids[alg], (enum sg_alg)alg, keys[alg].public);
    }
    out[num++] = local_record("hs", "h", SG_ALG_HS256, NULL);
    return num;
}

static int setup(void **state)
{
    struct sg_board_key records[SG_ALG_COUNT + 1];
    struct local_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    local_setup(fixture);
    local_publish(fixture, records, usual_records(records));
    local_open(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct local_fixture *fixture = *state;
    local_teardown(fixture);
    free(fixture);
    return 0;
}

static char token[JOSE_TOKEN_CAP];

static const char *mint(enum sg_alg alg, const char *claims)
{
    char header[96];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%d\",\"typ\":\"JWT\"}",
                   sg_alg_info(alg)->jws_name, (int)alg);
    jose_token(&keys[alg], header, claims, token);
    return token;
}

static const char *mint_with(const struct jose_key *key, const char *header)
{
    jose_token(key, header, good_claims, token);
    return token;
}

static void must_be_good(const struct local_fixture *fixture, const char *text,
                         const struct signet_verify_options *options, const char *keyset)
{
    struct sg_local_answer answer = local_verify(fixture, text, options);
    if (answer.outcome != SG_LOCAL_GOOD) {
        fail_msg("outcome %d, reason %d: %s", answer.outcome, answer.reason,
                 answer.detail != NULL ? answer.detail : "");
    }
    assert_string_equal(answer.body->token->keyset, keyset);
    local_release(&answer);
}

static void must_be_refused(const struct local_fixture *fixture, const char *text,
                            const struct signet_verify_options *options, signet_reason reason)
{
    struct sg_local_answer answer = local_verify(fixture, text, options);
    local_release(&answer);
    assert_int_equal(answer.outcome, SG_LOCAL_REFUSED);
    assert_int_equal(answer.reason, reason);
}

static void must_ask(const struct local_fixture *fixture, const char *text,
                     const struct signet_verify_options *options)
{
    struct sg_local_answer answer = local_verify(fixture, text, options);
    local_release(&answer);
    assert_int_equal(answer.outcome, SG_LOCAL_ASK);
}

/* ---- Answers ---- */

static void test_verify__every_public_algorithm_is_judged_here(void **state)
{
    for (int alg = SG_ALG_RS256; alg < SG_ALG_COUNT; alg++) {
        must_be_good(*state, mint((enum sg_alg)alg, good_claims), &for_orders, "main");
        char *dot = strrchr(token, '.');
        dot[4] = dot[4] == 'A' ? 'B' : 'A';
        must_be_refused(*state, token, &for_orders, SIGNET_REASON_BAD_SIGNATURE);
    }
}

static void test_verify__a_good_token_is_described_whole(void **state)
{
    const char *text = mint(SG_ALG_ES256, good_claims);
    struct sg_local_answer answer = local_verify(*state, text, &for_orders);
    assert_int_equal(answer.outcome, SG_LOCAL_GOOD);
    /* Nothing of it is borrowed from the caller, or from what is gone when the next token is judged. */
    memset(token, 'x', sizeof(token));
    must_be_refused(*state,
                    mint_with(&other, "{\"alg\":\"ES256\",\"kid\":\"10\",\"typ\":\"other\"}"),
                    &for_orders, SIGNET_REASON_BAD_SIGNATURE);
    const Signet__V1__VerifiedToken *good = answer.body->token;
    assert_string_equal(good->issuer, LOCAL_ISSUER);
    assert_string_equal(good->subject, "alice");
    assert_int_equal(good->n_audience, 1);
    assert_string_equal(good->audience[0], "orders");
    assert_int_equal(good->expires_at, 1800000100);
    assert_true(good->has_not_before && good->has_issued_at);
    assert_int_equal(good->not_before, 1799999990);
    assert_int_equal(good->issued_at, 1799999990);
    assert_string_equal(good->jti, "one");
    assert_string_equal(good->kid, "10");
    assert_string_equal(good->keyset, "main");
    assert_string_equal(good->typ, "JWT");
    assert_string_equal(good->claims_json, good_claims);
    assert_int_equal(good->n_claims, 2);
    assert_string_equal(good->claims[0]->name, "n");
    assert_int_equal(good->claims[0]->int_value, 7);
    assert_string_equal(good->claims[1]->string_value, "read write");
    local_release(&answer);
}

static void test_verify__what_a_token_lacks_is_empty_text(void **state)
{
    jose_token(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\",\"kid\":\"10\"}",
               "{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1800000100}", token);
    struct sg_local_answer answer = local_verify(*state, token, &for_any);
    assert_int_equal(answer.outcome, SG_LOCAL_GOOD);
    const Signet__V1__VerifiedToken *good = answer.body->token;
    assert_string_equal(good->subject, "");
    assert_string_equal(good->jti, "");
    assert_string_equal(good->typ, "");
    assert_int_equal(good->n_audience, 0);
    assert_int_equal(good->n_claims, 0);
    assert_false(good->has_not_before || good->has_issued_at);
    local_release(&answer);
}

static void test_verify__many_claims_are_described(void **state)
{
    static char claims[SG_MAX_PAYLOAD_LEN];
    size_t len = (size_t)snprintf(claims, sizeof(claims),
                                  "{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1800000100");
    size_t num = 0;
    for (; len < 12000; num++) {
        len += (size_t)snprintf(claims + len, sizeof(claims) - len, ",\"%zu\":[]", num);
    }
    (void)snprintf(claims + len, sizeof(claims) - len, "}");
    struct sg_local_answer answer = local_verify(*state, mint(SG_ALG_ES256, claims), &for_any);
    assert_int_equal(answer.outcome, SG_LOCAL_GOOD);
    assert_int_equal(answer.body->token->n_claims, num);
    assert_string_equal(answer.body->token->claims[num - 1]->json_value, "[]");
    local_release(&answer);
}

static void test_verify__claims_are_refused_for_their_reasons(void **state)
{
    static const char *const billing[] = {"billing"};
    static const char *const admin[] = {"read", "admin"};
    const struct {
        const char *claims;
        struct signet_verify_options options;
        signet_reason reason;
    } cases[] = {
        {"{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1800000000}", for_any, SIGNET_REASON_EXPIRED},
        {"{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1800000100,\"nbf\":1800000001}", for_any,
         SIGNET_REASON_NOT_YET_VALID},
        {"{\"iss\":\"https://other.example\",\"exp\":1800000100}", for_any,
         SIGNET_REASON_WRONG_ISSUER},
        {"{\"iss\":\"" LOCAL_ISSUER "\"}", for_any, SIGNET_REASON_CLAIM_MISSING},
        {"{\"iss\":7,\"exp\":1800000100}", for_any, SIGNET_REASON_CLAIM_INVALID},
        {"{\"exp\":1,\"exp\":2}", for_any, SIGNET_REASON_MALFORMED},
        {"[]", for_any, SIGNET_REASON_MALFORMED},
        {good_claims, {.audiences = billing, .num_audiences = 1}, SIGNET_REASON_WRONG_AUDIENCE},
        {good_claims, {.num_audiences = 0}, SIGNET_REASON_WRONG_AUDIENCE},
        {good_claims, {.any_audience = true, .issuer = "x"}, SIGNET_REASON_WRONG_ISSUER},
        {good_claims, {.any_audience = true, .subject = "bob"}, SIGNET_REASON_CLAIM_INVALID},
        {good_claims, {.any_audience = true, .typ = "at+jwt"}, SIGNET_REASON_WRONG_TYPE},
        {good_claims, {.any_audience = true, .max_age_s = 9}, SIGNET_REASON_TOO_OLD},
        {good_claims,
         {.any_audience = true, .scopes = admin, .num_scopes = 2},
         SIGNET_REASON_CLAIM_INVALID},
    };
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        must_be_refused(*state, mint(SG_ALG_ED25519, cases[i].claims), &cases[i].options,
                        cases[i].reason);
    }
    const struct signet_verify_options all = {.audiences = audience,
                                              .num_audiences = 1,
                                              .keyset = "main",
                                              .issuer = LOCAL_ISSUER,
                                              .subject = "alice",
                                              .typ = "jwt",
                                              .scopes = admin,
                                              .num_scopes = 1,
                                              .leeway_s = 300,
                                              .max_age_s = 10};
    must_be_good(*state, mint(SG_ALG_ED25519, good_claims), &all, "main");
}

static void test_verify__headers_are_refused_for_their_reasons(void **state)
{
    static const struct {
        const char *header;
        signet_reason reason;
    } cases[] = {
        {"{\"alg\":\"ES256\",\"kid\":\"10\",\"crit\":[\"b64\"]}", SIGNET_REASON_UNSUPPORTED_HEADER},
        {"{\"kid\":\"10\"}", SIGNET_REASON_MALFORMED},
        {"{\"alg\":\"none\",\"kid\":\"10\"}", SIGNET_REASON_WRONG_ALG},
        {"{\"alg\":\"HS256\",\"kid\":\"10\"}", SIGNET_REASON_WRONG_ALG},
        {"{\"alg\":\"ES384\",\"kid\":\"10\"}", SIGNET_REASON_WRONG_ALG},
        {"{\"alg\":\"ES256\",\"kid\":\"h\"}", SIGNET_REASON_WRONG_ALG},
        {"{\"alg\":\"ES256\"}", SIGNET_REASON_UNKNOWN_KEY},
    };
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        must_be_refused(*state, mint_with(&keys[SG_ALG_ES256], cases[i].header), &for_orders,
                        cases[i].reason);
    }
    must_be_refused(*state, "x", &for_orders, SIGNET_REASON_MALFORMED);
    must_be_refused(*state, "..", &for_orders, SIGNET_REASON_MALFORMED);
    must_be_refused(*state, mint_with(&other, "{\"alg\":\"ES256\",\"kid\":\"10\"}"), &for_orders,
                    SIGNET_REASON_BAD_SIGNATURE);
}

/* ---- What only the daemon knows ---- */

static void test_ask__what_the_board_does_not_tell(void **state)
{
    const struct local_fixture *fixture = *state;
    static const char *const not_ascii[] = {"caf\xc3\xa9"};
    static const char *const two[] = {"read write"};
    const struct signet_verify_options options[] = {
        {.any_audience = true, .keyset = "unknown"},
        {.any_audience = true, .keyset = "MAIN"},
        {.any_audience = true, .issuer = "\xff"},
        {.any_audience = true, .subject = "\xc3\xa9"},
        {.any_audience = true, .typ = "a b"},
        {.audiences = not_ascii, .num_audiences = 1},
        {.any_audience = true, .scopes = two, .num_scopes = 1},
        {.any_audience = true, .scopes = not_ascii, .num_scopes = 1},
    };
    must_ask(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"HS256\",\"kid\":\"h\"}"),
             &for_any);
    must_ask(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\",\"kid\":\"zz\"}"),
             &for_any);
    must_ask(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\",\"kid\":\"\"}"), &for_any);
    (void)mint(SG_ALG_ES256, good_claims);
    for (size_t i = 0; i < NUM_OF(options); i++) {
        must_ask(fixture, token, &options[i]);
    }
    must_ask(fixture, "x", &options[0]); /* whether the keyset is known comes first */
    must_be_refused(fixture, "x", &(struct signet_verify_options){.keyset = "hs"},
                    SIGNET_REASON_MALFORMED);
    /* A key of another keyset than the one that was asked for. */
    must_ask(fixture, token, &(struct signet_verify_options){.any_audience = true, .keyset = "hs"});
}

/* Publishes one key of ES256, kid "k", with these times and flags. */
static void publish_one(struct local_fixture *fixture, int64_t from, int64_t until,
                        int64_t revoked_at, uint32_t flags)
{
    struct sg_board_key record = local_record("main", "k", SG_ALG_ES256, keys[SG_ALG_ES256].public);
    record.verify_from = from;
    record.verify_until = until;
    record.revoked_at = revoked_at;
    record.flags = flags;
    local_publish(fixture, &record, 1);
}

static void test_ask__a_key_whose_time_may_have_changed(void **state)
{
    struct local_fixture *fixture = *state;
    const struct signet_verify_options of_main = {.any_audience = true, .keyset = "main"};
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    static const char no_kid[] = "{\"alg\":\"ES256\"}";
    publish_one(fixture, LOCAL_NOW, LOCAL_NOW + 1, 0, 0);
    must_be_good(fixture, mint_with(&keys[SG_ALG_ES256], header), &for_any, "main");
    must_be_good(fixture, mint_with(&keys[SG_ALG_ES256], no_kid), &of_main, "main");
    static const int64_t spans[][2] = {{INT64_MIN, LOCAL_NOW}, {LOCAL_NOW + 1, INT64_MAX}};
    for (size_t i = 0; i < NUM_OF(spans); i++) {
        publish_one(fixture, spans[i][0], spans[i][1], 0, 0);
        must_ask(fixture, mint_with(&keys[SG_ALG_ES256], header), &for_any);
        must_ask(fixture, mint_with(&other, header), &for_any);
        must_ask(fixture, mint_with(&keys[SG_ALG_ES256], no_kid), &of_main);
    }
}

static void test_ask__no_token_is_under_an_internal_key(void **state)
{
    struct local_fixture *fixture = *state;
    const struct signet_verify_options of_main = {.any_audience = true, .keyset = "main"};
    publish_one(fixture, INT64_MIN, INT64_MAX, 0, SG_BOARD_INTERNAL);
    must_ask(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\",\"kid\":\"k\"}"),
             &for_any);
    must_ask(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\"}"), &of_main);
}

static void test_ask__a_key_that_cannot_be_read(void **state)
{
    struct local_fixture *fixture = *state;
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    struct sg_board_key good = local_record("main", "k", SG_ALG_ES256, keys[SG_ALG_ES256].public);
    struct sg_board_key bad[6];
    for (size_t i = 0; i < NUM_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].public_key.len--;
    bad[1].public_key.len = 0;
    bad[2].alg = SG_ALG_COUNT;
    bad[3].alg = UINT32_MAX;
    bad[4].alg = SG_ALG_UNSET;
    bad[5].issuer = (struct sg_board_text){"a\0b", 3};
    for (size_t i = 0; i < NUM_OF(bad); i++) {
        local_publish(fixture, &bad[i], 1);
        must_ask(fixture, mint_with(&keys[SG_ALG_ES256], header), &for_any);
    }
    local_publish(fixture, &good, 1);
    must_be_good(fixture, token, &for_any, "main");
}

/* ---- Revocations ---- */

static void test_revoked__each_kind_is_refused(void **state)
{
    struct local_fixture *fixture = *state;
    static const struct {
        enum sg_board_kind kind;
        const char *scope, *name;
        int64_t value;
        signet_reason reason; /* NONE: it does not matter to this token */
    } cases[] = {
        {SG_BOARD_TOKEN, LOCAL_ISSUER, "one", 1, SIGNET_REASON_REVOKED},
        {SG_BOARD_TOKEN, "https://other.example", "one", 1, SIGNET_REASON_NONE},
        {SG_BOARD_TOKEN, LOCAL_ISSUER, "two", 1, SIGNET_REASON_NONE},
        {SG_BOARD_SUBJECT, LOCAL_ISSUER, "alice", 1799999991, SIGNET_REASON_REVOKED},
        {SG_BOARD_SUBJECT, LOCAL_ISSUER, "alice", 1799999990, SIGNET_REASON_NONE},
        {SG_BOARD_SUBJECT, LOCAL_ISSUER, "one", 1799999991, SIGNET_REASON_NONE},
        {SG_BOARD_SUBJECT, "https://other.example", "alice", 1799999991, SIGNET_REASON_NONE},
        {SG_BOARD_KEYSET, "", "main", 1799999991, SIGNET_REASON_REVOKED},
        {SG_BOARD_KEYSET, "", "main", 1799999990, SIGNET_REASON_NONE},
        {SG_BOARD_KEYSET, "", "hs", 1799999991, SIGNET_REASON_NONE},
        {SG_BOARD_KID, "main", "10", 1, SIGNET_REASON_REVOKED},
        {SG_BOARD_KID, "main", "11", 1, SIGNET_REASON_NONE},
        {SG_BOARD_KID, "hs", "10", 1, SIGNET_REASON_NONE},
    };
    for (size_t i = 0; i < NUM_OF(cases); i++) {
        teardown(state);
        setup(state);
        fixture = *state;
        must_be_good(fixture, mint(SG_ALG_ES256, good_claims), &for_orders, "main");
        local_revoke(fixture, cases[i].kind, cases[i].scope, cases[i].name, cases[i].value);
        if (cases[i].reason == SIGNET_REASON_NONE) {
            must_be_good(fixture, token, &for_orders, "main");
        } else {
            must_be_refused(fixture, token, &for_orders, cases[i].reason);
        }
    }
}

static void test_revoked__a_token_without_iat_may_be_of_any_time(void **state)
{
    static const char claims[] =
        "{\"iss\":\"" LOCAL_ISSUER "\",\"sub\":\"alice\",\"exp\":1800000100}";
    must_be_good(*state, mint(SG_ALG_ES256, claims), &for_any, "main");
    local_revoke(*state, SG_BOARD_SUBJECT, LOCAL_ISSUER, "alice", 1);
    must_be_refused(*state, token, &for_any, SIGNET_REASON_REVOKED);
    must_be_good(*state, mint(SG_ALG_ES256, good_claims), &for_any, "main");
    local_revoke(*state, SG_BOARD_KEYSET, "", "main", 1);
    must_be_refused(*state, mint(SG_ALG_ES256, "{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1800000100}"),
                    &for_any, SIGNET_REASON_REVOKED);
}

static void test_revoked__is_the_last_answer_and_a_revoked_key_the_first(void **state)
{
    struct local_fixture *fixture = *state;
    static const char expired[] = "{\"iss\":\"" LOCAL_ISSUER "\",\"exp\":1,\"jti\":\"one\"}";
    local_revoke(fixture, SG_BOARD_TOKEN, LOCAL_ISSUER, "one", 1);
    must_be_refused(fixture, mint(SG_ALG_ES256, expired), &for_any, SIGNET_REASON_EXPIRED);
    local_revoke(fixture, SG_BOARD_KID, "main", "10", 1);
    must_be_refused(fixture, mint_with(&other, "{\"alg\":\"ES256\",\"kid\":\"10\"}"), &for_any,
                    SIGNET_REASON_BAD_SIGNATURE);
    must_be_refused(fixture, mint(SG_ALG_ES256, expired), &for_any, SIGNET_REASON_EXPIRED);
    publish_one(fixture, INT64_MIN, INT64_MAX, LOCAL_NOW, 0);
    must_be_refused(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\",\"kid\":\"k\"}"),
                    &for_any, SIGNET_REASON_KEY_REVOKED);
    must_be_refused(fixture, mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\"}"),
                    &(struct signet_verify_options){.any_audience = true, .keyset = "main"},
                    SIGNET_REASON_KEY_REVOKED);
}

/* ---- Several keys ---- */

static void test_keys__a_shared_kid_is_told_apart_by_the_signature(void **state)
{
    struct local_fixture *fixture = *state;
    struct sg_board_key both[2] = {
        local_record("main", "k", SG_ALG_ES256, keys[SG_ALG_ES256].public),
        local_record("idp", "k", SG_ALG_ES256, other.public)};
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    both[1].flags = SG_BOARD_FOREIGN;
    local_publish(fixture, both, 2);
    must_be_good(fixture, mint_with(&keys[SG_ALG_ES256], header), &for_any, "main");
    must_be_good(fixture, mint_with(&other, header), &for_any, "idp");
    must_be_refused(fixture, token,
                    &(struct signet_verify_options){.any_audience = true, .keyset = "main"},
                    SIGNET_REASON_BAD_SIGNATURE);
    /* A key speaks for the issuer of its own keyset. */
    both[1].issuer = local_text("https://idp.example");
    local_publish(fixture, both, 2);
    must_be_refused(fixture, token, &for_any, SIGNET_REASON_WRONG_ISSUER);
}

static void test_keys__without_kid_the_first_eight_of_the_keyset_are_tried(void **state)
{
    struct local_fixture *fixture = *state;
    const struct signet_verify_options of_main = {.any_audience = true, .keyset = "main"};
    struct sg_board_key records[12];
    size_t num = 0;
    /* The ninth is the one; between them stand others of other keysets and another algorithm. */
    records[num++] = local_record("zz", "", SG_ALG_ES256, keys[SG_ALG_ES256].public);
    for (; num < 9; num++) {
        records[num] = local_record("main", "", SG_ALG_ES256, other.public);
    }
    records[num++] = local_record("main", "", SG_ALG_ES384, keys[SG_ALG_ES384].public);
    records[num++] = local_record("aa", "", SG_ALG_ES256, other.public);
    records[num++] = local_record("main", "", SG_ALG_ES256, keys[SG_ALG_ES256].public);
    local_publish(fixture, records, num);
    (void)mint_with(&keys[SG_ALG_ES256], "{\"alg\":\"ES256\"}");
    must_be_refused(fixture, token, &of_main, SIGNET_REASON_BAD_SIGNATURE);
    local_publish(fixture, records + 2, num - 2); /* now it is the eighth */
    must_be_good(fixture, token, &of_main, "main");
    must_be_good(fixture, mint_with(&keys[SG_ALG_ES384], "{\"alg\":\"ES384\"}"), &of_main, "main");
    must_ask(fixture, token, &(struct signet_verify_options){.any_audience = true, .keyset = "zz"});
}

static void test_keys__a_foreign_issuer_is_trusted_for_its_audiences(void **state)
{
    struct local_fixture *fixture = *state;
    struct sg_board_key record = local_record("idp", "k", SG_ALG_ES256, other.public);
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    record.flags = SG_BOARD_FOREIGN;
    record.audiences[0] = local_text("billing");
    record.num_audiences = 1;
    local_publish(fixture, &record, 1);
    must_be_refused(fixture, mint_with(&other, header), &for_orders, SIGNET_REASON_WRONG_AUDIENCE);
    must_be_refused(fixture, token, &for_any, SIGNET_REASON_WRONG_AUDIENCE);
    record.audiences[1] = local_text("orders");
    record.num_audiences = 2;
    local_publish(fixture, &record, 1);
    must_be_good(fixture, token, &for_orders, "idp");
    must_be_good(fixture, token, &for_any, "idp");
}

static bool span_of(const struct local_fixture *fixture, const char *keyset, const char *kid,
                    struct sg_local_span *span)
{
    return sg_local_ops.key_span(fixture->local, keyset, kid, span);
}

static void test_span__is_that_of_all_keys_of_the_name(void **state)
{
    struct local_fixture *fixture = *state;
    struct sg_local_span span = {0, 0};
    struct sg_board_key records[] = {
        local_record("main", "k", SG_ALG_ES256, keys[SG_ALG_ES256].public),
        local_record("main", "k", SG_ALG_ES256, other.public),
        local_record("other", "k", SG_ALG_ES256, other.public),
        local_record("hs", "h", SG_ALG_HS256, NULL),
        local_record("main", "r", SG_ALG_ES256, other.public),
        local_record("own", "i", SG_ALG_ES256, other.public),
        local_record("idp", "", SG_ALG_ES256, other.public)};
    records[0].verify_from = 10;
    records[1].verify_from = 20;
    records[0].verify_until = 30;
    records[1].verify_until = 40;
    records[4].revoked_at = 1;
    records[5].flags = SG_BOARD_INTERNAL;
    local_publish(fixture, records, NUM_OF(records));
    assert_true(span_of(fixture, "main", "k", &span));
    assert_int_equal(span.from, 20);
    assert_int_equal(span.until, 30);
    assert_true(span_of(fixture, "other", "k", &span));
    assert_true(span.from == INT64_MIN && span.until == INT64_MAX);
    assert_true(span_of(fixture, "hs", "h", &span));
    assert_false(span_of(fixture, "main", "r", &span));
    assert_false(span_of(fixture, "main", "h", &span));
    assert_false(span_of(fixture, "own", "i", &span));
    assert_false(span_of(fixture, "idp", "", &span));
    assert_false(span_of(fixture, "none", "k", &span));
    local_revoke(fixture, SG_BOARD_KID, "hs", "h", 1);
    assert_false(span_of(fixture, "hs", "h", &span));
    assert_true(span_of(fixture, "other", "k", &span));
}

static void test_generation__changes_with_every_revocation(void **state)
{
    struct local_fixture *fixture = *state;
    uint64_t before = 0;
    uint64_t after = 0;
    assert_true(sg_local_ops.generation(fixture->local, &before));
    assert_true(sg_local_ops.generation(fixture->local, &after));
    assert_int_equal(before, after);
    local_revoke(fixture, SG_BOARD_TOKEN, LOCAL_ISSUER, "two", LOCAL_NOW + 1);
    assert_true(sg_local_ops.generation(fixture->local, &after));
    assert_int_not_equal(before, after);
    before = after;
    publish_one(fixture, INT64_MIN, INT64_MAX, 0, 0);
    assert_true(sg_local_ops.generation(fixture->local, &after));
    assert_int_not_equal(before, after);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_verify__every_public_algorithm_is_judged_here),
        CASE(test_verify__a_good_token_is_described_whole),
        CASE(test_verify__what_a_token_lacks_is_empty_text),
        CASE(test_verify__many_claims_are_described),
        CASE(test_verify__claims_are_refused_for_their_reasons),
        CASE(test_verify__headers_are_refused_for_their_reasons),
        CASE(test_ask__what_the_board_does_not_tell),
        CASE(test_ask__a_key_whose_time_may_have_changed),
        CASE(test_ask__no_token_is_under_an_internal_key),
        CASE(test_ask__a_key_that_cannot_be_read),
        CASE(test_revoked__each_kind_is_refused),
        CASE(test_revoked__a_token_without_iat_may_be_of_any_time),
        CASE(test_revoked__is_the_last_answer_and_a_revoked_key_the_first),
        CASE(test_keys__a_shared_kid_is_told_apart_by_the_signature),
        CASE(test_keys__without_kid_the_first_eight_of_the_keyset_are_tried),
        CASE(test_keys__a_foreign_issuer_is_trusted_for_its_audiences),
        CASE(test_span__is_that_of_all_keys_of_the_name),
        CASE(test_generation__changes_with_every_revocation),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
