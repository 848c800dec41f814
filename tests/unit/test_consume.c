/* SPDX-License-Identifier: Apache-2.0
 *
 * One-time tokens, through dispatch: what is used up and what is not, how many of them a uid may have, clocks that are
 * wrong, and a disk that is full.
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

#include "audit_fixture.h"
#include "common/rpc.h"
#include "server/consumed.h"
#include "server/price.h"
#include "server/revocations.h"
#include "service_fixture.h"
#include "state_fixture.h"

#define TEST_KEYSET "demo-hs256"
#define TEST_ISSUER "https://signet.example/demo"
#define TEST_MANY   100000u
/* Records are forgotten with every such use. */
#define TEST_FORGET_EVERY 16u
#define TEST_LEEWAY_S     300

static int64_t test_wall_s = FIXTURE_NOW;
static char test_audience[] = "orders";
static char *test_audiences[] = {test_audience};
/* What else happens when records are forgotten; NULL: nothing. */
static void (*test_meanwhile)(void);

static int64_t test_read_wall_s(void)
{
    if (test_meanwhile != NULL) {
        test_meanwhile();
    }
    return test_wall_s;
}

static void set_time(struct fixture *fixture, int64_t wall_s)
{
    test_wall_s = wall_s;
    fixture->now.wall_s = wall_s;
}

/* Nothing is used up, and what is will be in the store. */
static void use_store(struct fixture *fixture, struct sg_store *store, uint32_t max_per_uid)
{
    char error[256] = "";
    sg_consumed_free(fixture->service.consumed);
    fixture->service.consumed = NULL;
    assert_int_equal(sg_consumed_new(store, max_per_uid, test_read_wall_s,
                                     &fixture->service.consumed, error, sizeof(error)),
                     SIGNET_OK);
}

static void forget_revocations(struct fixture *fixture)
{
    char error[256] = "";
    sg_revocations_free(fixture->service.revocations);
    fixture->service.revocations = NULL;
    assert_int_equal(sg_revocations_new(NULL, NULL, test_read_wall_s, &fixture->service.revocations,
                                        error, sizeof(error)),
                     SIGNET_OK);
}

/* For each test: nothing is used up or revoked, and it is now. The keys stay. */
static int setup(void **state)
{
    struct fixture *fixture = *state;
    test_meanwhile = NULL;
    set_time(fixture, FIXTURE_NOW);
    fixture->peer.uid = 1000;
    use_store(fixture, NULL, TEST_MANY);
    forget_revocations(fixture);
    return 0;
}

static Signet__V1__VerifyRequest consume_request(char *token)
{
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    request.token = token;
    request.audiences = test_audiences;
    request.n_audiences = 1;
    request.consume = true;
    return request;
}

static struct fixture_verdict consume(const struct fixture *fixture, char *token)
{
    Signet__V1__VerifyRequest request = consume_request(token);
    return fixture_verify(fixture, &request);
}

static void expect_used_up(const struct fixture *fixture, char *token)
{
    struct fixture_verdict verdict = consume(fixture, token);
    if (!verdict.good) {
        fail_msg("%u %d %s: %s", verdict.code, (int)verdict.reason, verdict.word, verdict.detail);
    }
}

static void expect_reason(const struct fixture_verdict *verdict, signet_reason reason)
{
    assert_false(verdict->good);
    assert_int_equal(verdict->code, SIGNET_OK);
    assert_int_equal(verdict->reason, reason);
}

static void expect_refused(const struct fixture *fixture, char *token, signet_reason reason)
{
    struct fixture_verdict verdict = consume(fixture, token);
    expect_reason(&verdict, reason);
}

static void expect_error(const struct fixture *fixture, char *token, signet_status status,
                         const char *word)
{
    struct fixture_verdict verdict = consume(fixture, token);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, status);
    assert_string_equal(verdict.word, word);
}

/* A token with this jti that expires then; free() it. */
static char *craft(const struct fixture *fixture, const char *keyset, const char *jti, int64_t exp)
{
    char payload[600];
    (void)snprintf(payload, sizeof(payload),
                   "{\"iss\":\"" TEST_ISSUER
                   "\",\"sub\":\"alice\",\"aud\":\"orders\",\"jti\":\"%s\",\"exp\":%lld}",
                   jti, (long long)exp);
    return fixture_craft(fixture, keyset, NULL, payload);
}

/* Uses up num tokens that expire then, first and the following by their jti. */
static void use_up_many(const struct fixture *fixture, unsigned first, unsigned num, int64_t exp)
{
    for (unsigned i = first; i < first + num; i++) {
        char jti[32];
        (void)snprintf(jti, sizeof(jti), "many-%u", i);
        char *token = craft(fixture, TEST_KEYSET, jti, exp);
        expect_used_up(fixture, token);
        free(token);
    }
}

/* ---- Once ---- */

static void test_consume__accepts_a_token_once_and_no_other_less(void **state)
{
    struct fixture *fixture = *state;
    static const char *const keysets[] = {"demo-hs256", "demo-es256", "demo-eddsa", "demo-rs256"};
    for (size_t i = 0; i < sizeof(keysets) / sizeof(keysets[0]); i++) {
        char *token = fixture_mint(fixture, keysets[i]);
        char *other = fixture_mint(fixture, keysets[i]);
        assert_true(fixture_judge(fixture, token).good); /* which does not use it up */
        expect_used_up(fixture, token);
        expect_refused(fixture, token, SIGNET_REASON_REPLAYED);
        fixture->peer.uid = 1001; /* for nobody else either */
        expect_refused(fixture, token, SIGNET_REASON_REPLAYED);
        assert_true(fixture_judge(fixture, token).good); /* which does not ask */
        expect_used_up(fixture, other);
        expect_refused(fixture, other, SIGNET_REASON_REPLAYED);
        fixture->peer.uid = 1000;
        free(token);
        free(other);
    }
}

static void test_consume__says_so_in_the_answer(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, TEST_KEYSET);
    Signet__V1__VerifyRequest request = consume_request(token);
    for (int consumes = 0; consumes < 2; consumes++) {
        struct fixture_answer answer;
        request.consume = consumes;
        fixture_call(fixture, SG_METHOD_VERIFY, &request.base,
                     &signet__v1__verify_response__descriptor, &answer);
        assert_int_equal(answer.code, 0);
        const Signet__V1__VerifyResponse *response = (Signet__V1__VerifyResponse *)answer.payload;
        assert_int_equal(response->outcome_case, SIGNET__V1__VERIFY_RESPONSE__OUTCOME_TOKEN);
        assert_int_equal(response->token->consumed, consumes);
        fixture_answer_free(&answer);
    }
    free(token);
}

static void test_consume__knows_a_token_by_issuer_and_jti(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, "demo-hs256", "same", FIXTURE_NOW + 100);
    char *of_other_key = craft(fixture, "demo-es256", "same", FIXTURE_NOW + 200);
    char *other = craft(fixture, "demo-hs256", "Same", FIXTURE_NOW + 100);
    expect_used_up(fixture, token);
    expect_refused(fixture, of_other_key, SIGNET_REASON_REPLAYED);
    expect_used_up(fixture, other);
    free(token);
    free(of_other_key);
    free(other);
}

static void test_consume__takes_a_jti_and_an_exp(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *claims;
        signet_reason reason;
    } rows[] = {
        {"\"exp\":1900000000", SIGNET_REASON_CLAIM_MISSING},
        {"\"exp\":1900000000,\"jti\":\"\"", SIGNET_REASON_CLAIM_MISSING},
        {"\"jti\":\"no-exp\"", SIGNET_REASON_CLAIM_MISSING},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char payload[256];
        (void)snprintf(payload, sizeof(payload),
                       "{\"iss\":\"" TEST_ISSUER "\",\"sub\":\"a\",\"aud\":\"orders\",%s}",
                       rows[i].claims);
        char *token = fixture_craft(fixture, TEST_KEYSET, NULL, payload);
        expect_refused(fixture, token, rows[i].reason);
        free(token);
    }
}

static void test_consume__takes_a_jti_of_at_most_255_bytes(void **state)
{
    struct fixture *fixture = *state;
    char jti[257];
    memset(jti, 'j', sizeof(jti) - 1);
    jti[256] = '\0';
    char *too_long = craft(fixture, TEST_KEYSET, jti, FIXTURE_NOW + 100);
    jti[255] = '\0';
    char *longest = craft(fixture, TEST_KEYSET, jti, FIXTURE_NOW + 100);
    expect_refused(fixture, too_long, SIGNET_REASON_CLAIM_INVALID);
    assert_true(fixture_judge(fixture, too_long).good);
    expect_used_up(fixture, longest);
    expect_refused(fixture, longest, SIGNET_REASON_REPLAYED);
    free(too_long);
    free(longest);
}

/* ---- Only what is good is used up ---- */

static void ask_other_audience(Signet__V1__VerifyRequest *request)
{
    static char other[] = "billing";
    static char *others[] = {other};
    request->audiences = others;
}

static void ask_other_subject(Signet__V1__VerifyRequest *request)
{
    static char text[] = "bob";
    request->subject = text;
}

static void ask_other_issuer(Signet__V1__VerifyRequest *request)
{
    static char text[] = "https://other.example";
    request->issuer = text;
}

static void ask_other_type(Signet__V1__VerifyRequest *request)
{
    static char text[] = "at+jwt";
    request->typ = text;
}

static void ask_scope(Signet__V1__VerifyRequest *request)
{
    static char scope[] = "admin";
    static char *scopes[] = {scope};
    request->required_scope = scopes;
    request->n_required_scope = 1;
}

static void ask_too_much_leeway(Signet__V1__VerifyRequest *request)
{
    request->leeway_s = TEST_LEEWAY_S + 1;
}

static void ask_other_keyset(Signet__V1__VerifyRequest *request)
{
    static char text[] = "demo-es256";
    request->keyset = text;
}

static void test_consume__leaves_what_is_refused_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    static void (*const asks[])(Signet__V1__VerifyRequest * request) = {
        ask_other_audience, ask_other_subject,   ask_other_issuer, ask_other_type,
        ask_scope,          ask_too_much_leeway, ask_other_keyset,
    };
    char *token = fixture_mint(fixture, TEST_KEYSET);
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        Signet__V1__VerifyRequest request = consume_request(token);
        asks[i](&request);
        struct fixture_verdict verdict = fixture_verify(fixture, &request);
        assert_false(verdict.good);
        assert_int_not_equal(verdict.reason, SIGNET_REASON_REPLAYED);
    }
    set_time(fixture, FIXTURE_NOW + 100000);
    expect_refused(fixture, token, SIGNET_REASON_EXPIRED);
    set_time(fixture, FIXTURE_NOW);
    expect_used_up(fixture, token);
    free(token);
}

static void test_consume__leaves_a_token_whose_signature_is_forged(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, TEST_KEYSET, "forged", FIXTURE_NOW + 100);
    char *forged = strdup(token);
    assert_non_null(forged);
    size_t at = strlen(forged) - 5;
    forged[at] = forged[at] == 'A' ? 'B' : 'A';
    expect_refused(fixture, forged, SIGNET_REASON_BAD_SIGNATURE);
    expect_used_up(fixture, token);
    expect_refused(fixture, forged, SIGNET_REASON_BAD_SIGNATURE);
    free(token);
    free(forged);
}

static void revoke(const struct fixture *fixture, const char *jti)
{
    char error[256] = "";
    struct sg_store_revocation revocation = {
        .kind = SG_STORE_REVOKED_TOKEN,
        .scope = TEST_ISSUER,
        .name = jti,
        .until = INT64_MAX,
        .reason = "",
    };
    assert_int_equal(
        sg_revocations_add(fixture->service.revocations, &revocation, error, sizeof(error)),
        SIGNET_OK);
}

static void test_consume__leaves_a_token_that_is_revoked(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, TEST_KEYSET, "revoked", FIXTURE_NOW + 100);
    revoke(fixture, "revoked");
    expect_refused(fixture, token, SIGNET_REASON_REVOKED);
    forget_revocations(fixture);
    expect_used_up(fixture, token);
    free(token);
}

static const struct fixture *meanwhile_fixture;

static void meanwhile_revoke(void)
{
    test_meanwhile = NULL;
    revoke(meanwhile_fixture, "meanwhile");
}

/* A revocation that is answered while the disk is waited for holds for who still waits. */
static void test_consume__sees_a_revocation_that_came_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, TEST_KEYSET, "meanwhile", FIXTURE_NOW + 100);
    use_up_many(fixture, 0, TEST_FORGET_EVERY - 1, FIXTURE_NOW + 100);
    meanwhile_fixture = fixture;
    test_meanwhile = meanwhile_revoke;
    expect_refused(fixture, token, SIGNET_REASON_REVOKED);
    assert_null(test_meanwhile);
    free(token);
}

static void test_consume__is_nothing_to_who_revokes(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, TEST_KEYSET);
    expect_used_up(fixture, token);
    Signet__V1__RevokeRequest request = SIGNET__V1__REVOKE_REQUEST__INIT;
    struct fixture_answer answer;
    request.what_case = SIGNET__V1__REVOKE_REQUEST__WHAT_TOKEN;
    request.token = token;
    fixture_call(fixture, SG_METHOD_REVOKE, &request.base, &signet__v1__revoke_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, 0);
    fixture_answer_free(&answer);
    expect_refused(fixture, token, SIGNET_REASON_REVOKED);
    free(token);
}

/* ---- Batches ---- */

#define BATCH_NUM 20u /* more than one chunk */

struct batch {
    char *tokens[BATCH_NUM];
    Signet__V1__VerifyRequest requests[BATCH_NUM];
    Signet__V1__VerifyRequest *list[BATCH_NUM];
    Signet__V1__VerifyBatchRequest request;
    struct fixture_answer answer;
    const Signet__V1__VerifyBatchResponse *response;
};

static void batch_make(const struct fixture *fixture, struct batch *batch)
{
    signet__v1__verify_batch_request__init(&batch->request);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        batch->tokens[i] = fixture_mint(fixture, i % 2 == 0 ? "demo-hs256" : "demo-es256");
        batch->requests[i] = consume_request(batch->tokens[i]);
        batch->list[i] = &batch->requests[i];
    }
    batch->request.requests = batch->list;
    batch->request.n_requests = BATCH_NUM;
}

static void batch_call(const struct fixture *fixture, struct batch *batch)
{
    fixture_call(fixture, SG_METHOD_VERIFY_BATCH, &batch->request.base,
                 &signet__v1__verify_batch_response__descriptor, &batch->answer);
    batch->response = (const Signet__V1__VerifyBatchResponse *)batch->answer.payload;
}

static void batch_free(struct batch *batch)
{
    fixture_answer_free(&batch->answer);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        free(batch->tokens[i]);
    }
}

static void test_batch__uses_up_each_on_its_own(void **state)
{
    struct fixture *fixture = *state;
    static struct batch batch;
    batch_make(fixture, &batch);
    batch.requests[3].token = batch.tokens[0];  /* in one chunk */
    batch.requests[18].token = batch.tokens[1]; /* in another */
    batch.requests[5].consume = false;
    batch.requests[6].audiences = (char *[]){(char[]){"billing"}};
    batch.requests[7].token = batch.tokens[5];
    batch_call(fixture, &batch);
    assert_int_equal(batch.answer.code, 0);
    assert_int_equal(batch.response->n_results, BATCH_NUM);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        const Signet__V1__VerifyResult *result = batch.response->results[i];
        if (i == 3 || i == 18 || i == 6) {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_REJECTION);
            assert_int_equal(result->rejection->reason,
                             i == 6 ? SIGNET_REASON_WRONG_AUDIENCE : SIGNET_REASON_REPLAYED);
        } else {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN);
            assert_int_equal(result->token->consumed, i != 5);
        }
    }
    expect_refused(fixture, batch.tokens[5], SIGNET_REASON_REPLAYED); /* by number 7 */
    expect_used_up(fixture, batch.tokens[6]);
    expect_used_up(fixture, batch.tokens[7]);
    batch_free(&batch);
}

static bool test_stops(void *context)
{
    (void)context;
    return true;
}

/* The daemon stops after the first chunk. What is used up is told; nobody is told to come again with it. */
static void test_batch__that_is_cut_short_tells_of_what_it_used_up(void **state)
{
    struct fixture *fixture = *state;
    static struct batch batch;
    fixture->service.is_stopping = test_stops;
    batch_make(fixture, &batch);
    batch_call(fixture, &batch);
    fixture->service.is_stopping = NULL;
    assert_int_equal(batch.answer.code, 0);
    assert_int_equal(batch.response->n_results, BATCH_NUM);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        const Signet__V1__VerifyResult *result = batch.response->results[i];
        if (i < 16) {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_TOKEN);
            expect_refused(fixture, batch.tokens[i], SIGNET_REASON_REPLAYED);
        } else {
            assert_int_equal(result->outcome_case, SIGNET__V1__VERIFY_RESULT__OUTCOME_ERROR);
            assert_int_equal(result->error->code, SIGNET_UNAVAILABLE);
            expect_used_up(fixture, batch.tokens[i]);
        }
    }
    batch_free(&batch);
}

/* One that used nothing up may be asked for again, as ever. */
static void test_batch__that_is_cut_short_and_used_nothing_up_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    static struct batch batch;
    fixture->service.is_stopping = test_stops;
    batch_make(fixture, &batch);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        batch.requests[i].consume = i >= 16;
    }
    batch_call(fixture, &batch);
    fixture->service.is_stopping = NULL;
    assert_int_equal(batch.answer.code, SIGNET_UNAVAILABLE);
    for (size_t i = 0; i < BATCH_NUM; i++) {
        expect_used_up(fixture, batch.tokens[i]);
    }
    batch_free(&batch);
}

/* ---- How many ---- */

static void test_quota__of_a_uid_is_an_error_until_some_have_expired(void **state)
{
    struct fixture *fixture = *state;
    use_store(fixture, NULL, 3);
    char *first = craft(fixture, TEST_KEYSET, "first", FIXTURE_NOW + 10);
    char *fourth = craft(fixture, TEST_KEYSET, "fourth", FIXTURE_NOW + 5000);
    expect_used_up(fixture, first);
    use_up_many(fixture, 0, 2, FIXTURE_NOW + 10);
    struct fixture_verdict verdict = consume(fixture, fourth);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, SIGNET_RESOURCE_EXHAUSTED);
    assert_string_equal(verdict.word, "CONSUMED_FULL");
    assert_non_null(strstr(verdict.detail, "uid 1000 has used up 3 tokens"));
    assert_non_null(strstr(verdict.detail, "limits.consumed_per_uid"));
    expect_refused(fixture, first, SIGNET_REASON_REPLAYED); /* it needs no room */
    fixture->peer.uid = 1001;
    use_up_many(fixture, 10, 3, FIXTURE_NOW + 5000);
    expect_error(fixture, fourth, SIGNET_RESOURCE_EXHAUSTED, "CONSUMED_FULL");
    fixture->peer.uid = 1000;
    set_time(fixture, FIXTURE_NOW + 10 + TEST_LEEWAY_S); /* the last second of the first */
    expect_error(fixture, fourth, SIGNET_RESOURCE_EXHAUSTED, "CONSUMED_FULL");
    set_time(fixture, FIXTURE_NOW + 10 + TEST_LEEWAY_S + 1);
    expect_used_up(fixture, fourth);
    expect_refused(fixture, fourth, SIGNET_REASON_REPLAYED);
    free(first);
    free(fourth);
}

static void test_quota__has_the_caller_not_come_again_by_itself(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_answer answer;
    use_store(fixture, NULL, 1);
    use_up_many(fixture, 0, 1, FIXTURE_NOW + 10);
    char *token = fixture_mint(fixture, TEST_KEYSET);
    Signet__V1__VerifyRequest request = consume_request(token);
    fixture_call(fixture, SG_METHOD_VERIFY, &request.base, &signet__v1__verify_response__descriptor,
                 &answer);
    assert_int_equal(answer.code, SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(answer.retry_after_ms, 0);
    fixture_answer_free(&answer);
    free(token);
}

/* Whether uid 1000 has no more than num records. */
static bool has_at_most(struct sg_store *store, uint64_t num)
{
    char error[256] = "";
    enum sg_store_outcome outcome = 0;
    const struct sg_store_consumed probe = {"probe", "probe", INT64_MAX, 1000};
    assert_int_equal(sg_store_consume(store, &probe, num + 1, &outcome, error, sizeof(error)),
                     SIGNET_OK);
    return outcome == SG_STORE_CONSUMED;
}

static void test_forgetting__keeps_step_with_what_is_used_up(void **state)
{
    struct fixture *fixture = *state;
    struct sg_store *store = NULL;
    char error[256] = "";
    assert_int_equal(sg_store_open_in_memory(&store, error, sizeof(error)), SIGNET_OK);
    use_store(fixture, store, TEST_MANY);
    use_up_many(fixture, 0, TEST_FORGET_EVERY, FIXTURE_NOW + 10);
    set_time(fixture, FIXTURE_NOW + 1000);
    use_up_many(fixture, 100, TEST_FORGET_EVERY, FIXTURE_NOW + 5000);
    assert_true(has_at_most(store, TEST_FORGET_EVERY));
    use_store(fixture, NULL, TEST_MANY);
    sg_store_close(store);
}

/* ---- Time ---- */

static void test_consume__holds_as_long_as_any_leeway_accepts_the_token(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, TEST_KEYSET, "short", FIXTURE_NOW + 10);
    expect_used_up(fixture, token);
    set_time(fixture,
             FIXTURE_NOW + 10 + TEST_LEEWAY_S - 1); /* the last second that it is good in */
    use_up_many(fixture, 0, 3 * TEST_FORGET_EVERY, FIXTURE_NOW + 5000);
    Signet__V1__VerifyRequest request = consume_request(token);
    request.leeway_s = TEST_LEEWAY_S;
    struct fixture_verdict verdict = fixture_verify(fixture, &request);
    expect_reason(&verdict, SIGNET_REASON_REPLAYED);
    request.consume = false;
    assert_true(fixture_verify(fixture, &request).good);
    free(token);
}

/* The clock was years ahead while others were used up, and is set back. */
static void test_consume__is_not_undone_by_a_clock_that_was_ahead(void **state)
{
    struct fixture *fixture = *state;
    char *token = craft(fixture, TEST_KEYSET, "before", FIXTURE_NOW + 100);
    char *later = craft(fixture, TEST_KEYSET, "later", FIXTURE_NOW + 101);
    expect_used_up(fixture, token);
    set_time(fixture, FIXTURE_NOW + 100000000);
    use_up_many(fixture, 0, 2 * TEST_FORGET_EVERY, FIXTURE_NOW + 200000000);
    set_time(fixture, FIXTURE_NOW);
    expect_refused(fixture, token, SIGNET_REASON_REPLAYED);
    expect_used_up(fixture, later); /* and what cannot be meant goes on */
    expect_refused(fixture, later, SIGNET_REASON_REPLAYED);
    free(token);
    free(later);
}

/* ---- What cannot be written down ---- */

static void test_consume__without_a_place_for_it_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *token = fixture_mint(fixture, TEST_KEYSET);
    sg_consumed_free(fixture->service.consumed);
    fixture->service.consumed = NULL;
    expect_error(fixture, token, SIGNET_UNIMPLEMENTED, "NO_CONSUMED");
    assert_true(fixture_judge(fixture, token).good);
    free(token);
}

static void *test_disk; /* the state of state_disk_setup */
static struct sg_store *test_disk_store;

static int setup_disk(void **state)
{
    test_disk_store = NULL;
    return setup(state) != 0 || state_disk_setup(&test_disk) != 0 ? -1 : 0;
}

static int teardown_disk(void **state)
{
    use_store(*state, NULL, TEST_MANY);
    sg_store_close(test_disk_store);
    return state_disk_teardown(&test_disk);
}

static void test_full_disk__uses_nothing_up(void **state)
{
    struct fixture *fixture = *state;
    const struct state_place *place = state_disk_of(&test_disk);
    test_disk_store = state_open(place->dir);
    use_store(fixture, test_disk_store, TEST_MANY);
    char *used = fixture_mint(fixture, TEST_KEYSET);
    char *token = fixture_mint(fixture, TEST_KEYSET);
    expect_used_up(fixture, used);
    state_fill_disk(place->dir);
    for (unsigned i = 0; i < 2; i++) {
        expect_error(fixture, token, SIGNET_RESOURCE_EXHAUSTED, "NOT_CONSUMED");
        expect_refused(fixture, used, SIGNET_REASON_REPLAYED);
        assert_true(fixture_judge(fixture, token).good);
    }
    state_free_disk(place->dir);
    expect_used_up(fixture, token);
    expect_refused(fixture, token, SIGNET_REASON_REPLAYED);
    free(used);
    free(token);
}

/* ---- What is told and charged ---- */

static void test_audit__tells_who_used_a_token_up(void **state)
{
    struct fixture *fixture = *state;
    void *audited = NULL;
    assert_int_equal(audit_setup(&audited), 0);
    struct sg_audit *audit = audit_start(audited);
    char *token = fixture_mint(fixture, TEST_KEYSET);
    fixture->service.audit = audit;
    fixture->service.audits_verifications = false;
    assert_true(fixture_judge(fixture, token).good); /* is not told */
    expect_used_up(fixture, token);
    expect_refused(fixture, token, SIGNET_REASON_REPLAYED);
    fixture->service.audit = NULL;
    sg_audit_free(audit);
    json_t *lines = audit_lines(audited);
    assert_int_equal(audit_count(lines, "event", "verify"), 2);
    assert_int_equal(audit_count(lines, "reason", "CONSUMED"), 1);
    assert_int_equal(audit_count(lines, "reason", "REPLAYED"), 1);
    json_decref(lines);
    free(token);
    assert_int_equal(audit_teardown(&audited), 0);
}

static void test_price__is_that_of_what_waits_for_the_disk(void **state)
{
    const struct fixture *fixture = *state;
    struct sg_costs *costs = NULL;
    assert_int_equal(sg_costs_new(&costs), SIGNET_OK);
    Signet__V1__RevokeRequest revocation = SIGNET__V1__REVOKE_REQUEST__INIT;
    uint64_t record_us =
        sg_price(costs, fixture->keyring, FIXTURE_NOW, &revocation.base, 0) - sg_costs_request(0);
    assert_true(record_us > 0);
    char *token = fixture_mint(fixture, TEST_KEYSET);
    Signet__V1__VerifyRequest plain = consume_request(token);
    Signet__V1__VerifyRequest consuming = consume_request(token);
    plain.consume = false;
    uint64_t plain_us = sg_price(costs, fixture->keyring, FIXTURE_NOW, &plain.base, 0);
    assert_int_equal(sg_price(costs, fixture->keyring, FIXTURE_NOW, &consuming.base, 0),
                     plain_us + record_us);
    Signet__V1__VerifyRequest *list[] = {&consuming, &plain, &consuming};
    Signet__V1__VerifyBatchRequest batch = SIGNET__V1__VERIFY_BATCH_REQUEST__INIT;
    batch.requests = list;
    batch.n_requests = 3;
    assert_int_equal(sg_price(costs, fixture->keyring, FIXTURE_NOW, &batch.base, 0) -
                         sg_costs_request(0),
                     3 * (plain_us - sg_costs_request(0)) + 2 * record_us);
    free(token);
    sg_costs_free(costs);
}

#define CONSUME_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSUME_TEST(test_consume__accepts_a_token_once_and_no_other_less),
        CONSUME_TEST(test_consume__says_so_in_the_answer),
        CONSUME_TEST(test_consume__knows_a_token_by_issuer_and_jti),
        CONSUME_TEST(test_consume__takes_a_jti_and_an_exp),
        CONSUME_TEST(test_consume__takes_a_jti_of_at_most_255_bytes),
        CONSUME_TEST(test_consume__leaves_what_is_refused_as_it_was),
        CONSUME_TEST(test_consume__leaves_a_token_whose_signature_is_forged),
        CONSUME_TEST(test_consume__leaves_a_token_that_is_revoked),
        CONSUME_TEST(test_consume__sees_a_revocation_that_came_meanwhile),
        CONSUME_TEST(test_consume__is_nothing_to_who_revokes),
        CONSUME_TEST(test_batch__uses_up_each_on_its_own),
        CONSUME_TEST(test_batch__that_is_cut_short_tells_of_what_it_used_up),
        CONSUME_TEST(test_batch__that_is_cut_short_and_used_nothing_up_is_an_error),
        CONSUME_TEST(test_quota__of_a_uid_is_an_error_until_some_have_expired),
        CONSUME_TEST(test_quota__has_the_caller_not_come_again_by_itself),
        CONSUME_TEST(test_forgetting__keeps_step_with_what_is_used_up),
        CONSUME_TEST(test_consume__holds_as_long_as_any_leeway_accepts_the_token),
        CONSUME_TEST(test_consume__is_not_undone_by_a_clock_that_was_ahead),
        CONSUME_TEST(test_consume__without_a_place_for_it_is_an_error),
        cmocka_unit_test_setup_teardown(test_full_disk__uses_nothing_up, setup_disk, teardown_disk),
        CONSUME_TEST(test_audit__tells_who_used_a_token_up),
        CONSUME_TEST(test_price__is_that_of_what_waits_for_the_disk),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
