/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a good verdict still stands (client/standing.h), against what the daemon's own rules say of the claims as
 * they were signed, with fractions of seconds and with what the wire does not tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/standing.h"
#include "common/jose/claims.h"

static char *standing_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- Each rule, and its twin ---- */

#define STANDING_NOW INT64_C(1000000)

/* A token, what it was judged with, and when; good until a test says otherwise. */
struct standing_case {
    Signet__V1__VerifiedToken token;
    char *audiences[3];
    Signet__V1__Claim scope;
    Signet__V1__Claim *claims[1];
    struct sg_local_span span;
    struct signet_verify_options judged;
    int64_t judged_at;
    struct signet_verify_options asked;
    int64_t now;
};

static const char *const standing_me[] = {"me"};

static void standing_case_init(struct standing_case *it)
{
    memset(it, 0, sizeof(*it));
    signet__v1__verified_token__init(&it->token);
    it->token.issuer = standing_text("https://issuer");
    it->token.subject = standing_text("alice");
    it->audiences[0] = standing_text("me");
    it->audiences[1] = standing_text("you");
    it->token.audience = it->audiences;
    it->token.n_audience = 2;
    it->token.expires_at = STANDING_NOW + 100;
    it->token.has_not_before = true;
    it->token.not_before = STANDING_NOW - 100;
    it->token.has_issued_at = true;
    it->token.issued_at = STANDING_NOW - 100;
    it->token.kid = standing_text("kid");
    it->token.keyset = standing_text("keyset");
    it->token.typ = standing_text("at+jwt");
    it->token.claims_json = standing_text("{}");
    signet__v1__claim__init(&it->scope);
    it->scope.name = standing_text("scope");
    it->scope.value_case = SIGNET__V1__CLAIM__VALUE_STRING_VALUE;
    it->scope.string_value = standing_text("read write");
    it->claims[0] = &it->scope;
    it->token.claims = it->claims;
    it->token.n_claims = 1;
    it->span = (struct sg_local_span){0, STANDING_NOW * 2};
    const struct signet_verify_options init = SIGNET_VERIFY_OPTIONS_INIT;
    it->judged = init;
    it->judged.audiences = standing_me;
    it->judged.num_audiences = 1;
    it->judged_at = STANDING_NOW;
    it->asked = it->judged;
    it->now = STANDING_NOW;
}

static bool standing_case_holds(struct standing_case *it)
{
    struct sg_standing standing;
    assert_true(sg_standing_init(&standing, &it->token, &it->judged, it->judged_at, &it->span));
    return sg_standing_holds(&standing, &it->token, &it->asked, it->now);
}

static void test_holds__until_exp_and_no_longer(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.now = it.token.expires_at - 1;
    assert_true(standing_case_holds(&it));
    it.now = it.token.expires_at;
    assert_false(standing_case_holds(&it));
    it.asked.leeway_s = 1;
    assert_true(standing_case_holds(&it));
    /* The leeway of the question that was answered helps no other. */
    it.asked.leeway_s = 0;
    it.judged.leeway_s = 300;
    assert_false(standing_case_holds(&it));
}

static void test_holds__not_before_nbf_of_which_a_fraction_was_cut(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.now = it.token.not_before + 1;
    assert_true(standing_case_holds(&it)); /* a clock that was set back */
    it.now = it.token.not_before;
    assert_false(standing_case_holds(&it)); /* it may begin within this second */
    it.asked.leeway_s = 1;
    assert_true(standing_case_holds(&it));
    it.now = it.token.not_before - 1;
    assert_false(standing_case_holds(&it));

    /* Judged in the second of its nbf: there was no fraction. */
    standing_case_init(&it);
    it.token.not_before = STANDING_NOW;
    assert_true(standing_case_holds(&it));
    it.judged.leeway_s = 5; /* now it may be one of 1000000.5 */
    assert_false(standing_case_holds(&it));
    it.token.not_before = STANDING_NOW + 5; /* but not if that was the last second of the leeway */
    it.asked.leeway_s = 5;
    assert_true(standing_case_holds(&it));
    it.asked.leeway_s = 4;
    assert_false(standing_case_holds(&it));

    standing_case_init(&it);
    it.token.has_not_before = false;
    it.token.not_before = 0;
    it.now = 1;
    assert_true(standing_case_holds(&it));
}

static void test_holds__at_the_age_that_is_asked_for(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.asked.max_age_s = 100;
    assert_true(standing_case_holds(&it));
    it.asked.max_age_s = 99;
    assert_false(standing_case_holds(&it));
    it.asked.leeway_s = 1;
    assert_true(standing_case_holds(&it));
    it.token.has_issued_at = false;
    assert_false(standing_case_holds(&it));

    /* Issued in the future, which only who asks for the age minds. */
    standing_case_init(&it);
    it.token.issued_at = STANDING_NOW;
    assert_true(standing_case_holds(&it));
    it.asked.max_age_s = 50;
    assert_false(standing_case_holds(&it)); /* 1000000.5, perhaps */
    it.judged.max_age_s = 50;
    assert_true(standing_case_holds(&it)); /* the daemon looked */
    it.now--;
    assert_false(standing_case_holds(&it));
}

static void test_holds__while_the_key_is_accepted(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.span = (struct sg_local_span){STANDING_NOW, STANDING_NOW + 1};
    assert_true(standing_case_holds(&it));
    it.now = STANDING_NOW + 1;
    assert_false(standing_case_holds(&it));
    it.now = STANDING_NOW - 1;
    assert_false(standing_case_holds(&it));
}

static void test_holds__for_audiences_that_it_was_found_good_for(void **state)
{
    (void)state;
    static const char *const you[] = {"you"};
    static const char *const both[] = {"them", "you", "me"};
    static const char *const others[] = {"them", "ME", "m", "mee"};
    struct standing_case it;
    standing_case_init(&it);
    assert_true(standing_case_holds(&it));
    it.asked.audiences = others;
    it.asked.num_audiences = 4;
    assert_false(standing_case_holds(&it));
    /* The token is for "you"; but its issuer may be trusted for "me" only. */
    it.asked.audiences = you;
    it.asked.num_audiences = 1;
    assert_false(standing_case_holds(&it));
    it.asked.audiences = both;
    it.asked.num_audiences = 3;
    assert_true(standing_case_holds(&it));
    it.asked.num_audiences = 2;
    assert_false(standing_case_holds(&it));
    it.asked.num_audiences = 0;
    assert_false(standing_case_holds(&it));
    it.asked.any_audience = true;
    assert_true(standing_case_holds(&it));

    /* Found good for anybody: for which of its audiences, is not known. */
    standing_case_init(&it);
    it.judged.num_audiences = 0;
    it.judged.any_audience = true;
    assert_false(standing_case_holds(&it));
    it.asked.audiences = both;
    it.asked.num_audiences = 3;
    assert_true(standing_case_holds(&it));
    it.token.n_audience = 0;
    assert_false(standing_case_holds(&it));
    it.asked = it.judged;
    assert_true(standing_case_holds(&it));
}

static void test_holds__for_names_byte_for_byte(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.asked.issuer = "https://issuer";
    it.asked.subject = "alice";
    it.asked.keyset = "keyset";
    assert_true(standing_case_holds(&it));
    const char **fields[] = {&it.asked.issuer, &it.asked.subject, &it.asked.keyset};
    static const char *const bad[][3] = {{"https://issue", "https://issuer/", "HTTPS://issuer"},
                                         {"alic", "alicee", "Alice"},
                                         {"keyse", "keyset2", "Keyset"}};
    for (size_t i = 0; i < 3; i++) {
        const char *good = *fields[i];
        for (size_t j = 0; j < 3; j++) {
            *fields[i] = bad[i][j];
            assert_false(standing_case_holds(&it));
        }
        *fields[i] = good;
    }
    assert_true(standing_case_holds(&it));
    it.token.subject = standing_text("");
    assert_false(standing_case_holds(&it));
}

static void test_holds__for_those_who_name_the_keyset_as_the_first_one_did(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.judged.keyset = "keyset";
    it.asked.keyset = "keyset";
    assert_true(standing_case_holds(&it));
    it.asked.keyset = NULL; /* without it, the daemon judges no token without a kid */
    assert_false(standing_case_holds(&it));
}

static void test_holds__for_its_type(void **state)
{
    (void)state;
    struct standing_case it;
    standing_case_init(&it);
    it.asked.typ = "application/AT+jwt";
    assert_true(standing_case_holds(&it));
    it.asked.typ = "jwt";
    assert_false(standing_case_holds(&it));
    it.token.typ = standing_text("");
    assert_false(standing_case_holds(&it));
    it.asked.typ = "application/"; /* which is equal to nothing, but not to a header without typ */
    assert_false(standing_case_holds(&it));
    it.asked.typ = NULL;
    assert_true(standing_case_holds(&it));
}

static void test_holds__for_scopes_that_it_has(void **state)
{
    (void)state;
    static const char *const scopes[] = {"write", "read", "admin", "rea"};
    struct standing_case it;
    standing_case_init(&it);
    it.asked.scopes = scopes;
    it.asked.num_scopes = 2;
    assert_true(standing_case_holds(&it));
    it.asked.num_scopes = 3;
    assert_false(standing_case_holds(&it));
    it.asked.scopes = scopes + 3;
    it.asked.num_scopes = 1;
    assert_false(standing_case_holds(&it));
    it.asked.scopes = scopes;
    it.scope.value_case = SIGNET__V1__CLAIM__VALUE_JSON_VALUE;
    assert_false(standing_case_holds(&it));
    it.token.n_claims = 0;
    assert_false(standing_case_holds(&it));
}

static void test_init__what_no_daemon_says_is_not_kept(void **state)
{
    (void)state;
    static char *many[SG_MAX_AUDIENCES + 1];
    for (size_t i = 0; i <= SG_MAX_AUDIENCES; i++) {
        many[i] = standing_text("me");
    }
    struct standing_case it;
    struct sg_standing standing;
    standing_case_init(&it);
    it.token.audience = many;
    it.token.n_audience = SG_MAX_AUDIENCES;
    assert_true(sg_standing_init(&standing, &it.token, &it.judged, STANDING_NOW, &it.span));
    it.token.n_audience = SG_MAX_AUDIENCES + 1;
    assert_false(sg_standing_init(&standing, &it.token, &it.judged, STANDING_NOW, &it.span));
    int64_t *times[] = {&it.token.expires_at, &it.token.not_before, &it.token.issued_at};
    for (size_t i = 0; i < 3; i++) {
        standing_case_init(&it);
        *times[i] = INT64_MAX;
        assert_false(sg_standing_init(&standing, &it.token, &it.judged, STANDING_NOW, &it.span));
        *times[i] = INT64_MIN;
        assert_false(sg_standing_init(&standing, &it.token, &it.judged, STANDING_NOW, &it.span));
    }
    standing_case_init(&it);
    assert_false(sg_standing_init(&standing, &it.token, &it.judged, INT64_MAX, &it.span));
    it.now = INT64_MAX;
    it.span.until = INT64_MAX;
    it.asked.leeway_s = 300;
    assert_false(standing_case_holds(&it));
    it.now = INT64_MIN;
    it.span.from = INT64_MIN;
    assert_false(standing_case_holds(&it));
}

/* ---- Against the daemon's rules ---- */

#define MODEL_NUM_TOKENS  4000u
#define MODEL_NUM_ASKED   100u
#define MODEL_NUM_JUDGING 200u /* questions after which a token that was never good is given up */

static uint64_t model_seed = 20240229;

/* 0 to num - 1. */
static uint32_t model_random(uint32_t num)
{
    model_seed = model_seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((model_seed >> 33) % num);
}

static const char *const model_audiences[] = {"a", "b", "c", "d"};
static const char *const model_scopes[] = {"r", "w", "x"};
static const char *const model_names[] = {"k", "l"};
static const char *const model_typs[] = {"jwt", "application/JWT", "at+jwt"};

/* A token as it was signed, and what the daemon knows of its key. */
struct model {
    struct sg_claims claims;
    struct sg_jws jws;
    bool has_kid;
    const char *keyset;
    const char *issuer;
    struct sg_local_span span;
    unsigned trusted; /* bit i: model_audiences[i]; 0: trusted for all */
    Signet__V1__VerifiedToken token;
    Signet__V1__Claim scope;
    Signet__V1__Claim *list[1];
    char *audiences[4];
    char scope_text[16];
};

static struct sg_numeric_date model_date(int64_t middle, bool present)
{
    return (struct sg_numeric_date){.present = present,
                                    .has_fraction = model_random(2) == 0,
                                    .seconds = middle - 4 + (int64_t)model_random(9)};
}

static void model_describe(struct model *model)
{
    Signet__V1__VerifiedToken *token = &model->token;
    signet__v1__verified_token__init(token);
    token->issuer = standing_text(model->claims.issuer);
    token->subject = standing_text(model->claims.subject != NULL ? model->claims.subject : "");
    for (size_t i = 0; i < model->claims.num_audiences; i++) {
        model->audiences[i] = standing_text(model->claims.audiences[i]);
    }
    token->audience = model->audiences;
    token->n_audience = model->claims.num_audiences;
    token->expires_at = model->claims.exp.seconds;
    token->has_not_before = model->claims.nbf.present;
    token->not_before = model->claims.nbf.seconds;
    token->has_issued_at = model->claims.iat.present;
    token->issued_at = model->claims.iat.seconds;
    token->kid = standing_text("kid");
    token->keyset = standing_text(model->keyset);
    token->typ = standing_text(model->jws.has_typ ? model->jws.typ : "");
    token->claims_json = standing_text("{}");
    if (model->scope_text[0] != '\0') {
        signet__v1__claim__init(&model->scope);
        model->scope.name = standing_text("scope");
        model->scope.value_case = SIGNET__V1__CLAIM__VALUE_STRING_VALUE;
        model->scope.string_value = model->scope_text;
        model->list[0] = &model->scope;
        token->claims = model->list;
        token->n_claims = 1;
    }
}

static void model_init(struct model *model)
{
    memset(model, 0, sizeof(*model));
    struct sg_claims *claims = &model->claims;
    claims->exp = model_date(1004, true);
    claims->nbf = model_date(998, model_random(4) != 0);
    claims->iat = model_date(998, model_random(4) != 0);
    if (!claims->nbf.present) {
        claims->nbf = (struct sg_numeric_date){.present = false};
    }
    if (!claims->iat.present) {
        claims->iat = (struct sg_numeric_date){.present = false};
    }
    claims->issuer = model_names[model_random(2)];
    claims->subject = model_random(4) != 0 ? model_names[model_random(2)] : NULL;
    for (size_t i = 0; i < 4; i++) {
        if (model_random(2) == 0) {
            claims->audiences[claims->num_audiences++] = model_audiences[i];
        }
    }
    claims->has_audience = claims->num_audiences > 0;
    claims->root = json_object();
    assert_non_null(claims->root);
    for (size_t i = 0; i < 3; i++) {
        if (model_random(3) != 0) {
            (void)snprintf(model->scope_text + strlen(model->scope_text), 4, "%s%s",
                           model->scope_text[0] != '\0' ? " " : "", model_scopes[i]);
        }
    }
    if (model->scope_text[0] != '\0') {
        assert_int_equal(json_object_set_new(claims->root, "scope", json_string(model->scope_text)),
                         0);
    }
    model->jws.has_typ = model_random(4) != 0;
    (void)snprintf(model->jws.typ, sizeof(model->jws.typ), "%s",
                   model->jws.has_typ ? model_typs[model_random(3)] : "");
    model->has_kid = model_random(4) != 0;
    model->keyset = model_names[model_random(2)];
    model->issuer = claims->issuer;
    model->span.from = 994 + (int64_t)model_random(6);
    model->span.until = 1000 + (int64_t)model_random(10);
    model->trusted = model_random(3) == 0 ? model_random(16) : 0;
    model_describe(model);
}

static void model_fini(struct model *model)
{
    json_decref(model->claims.root);
}

/* A question, with memory for its lists. */
struct model_question {
    struct signet_verify_options options;
    const char *audiences[4];
    const char *scopes[3];
    int64_t now;
};

static void model_ask(struct model_question *question)
{
    const struct signet_verify_options init = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verify_options *options = &question->options;
    *options = init;
    options->audiences = question->audiences;
    for (size_t i = 0; i < 4; i++) {
        if (model_random(2) == 0) {
            question->audiences[options->num_audiences++] = model_audiences[i];
        }
    }
    if (options->num_audiences == 0 || model_random(6) == 0) {
        options->num_audiences = 0;
        options->any_audience = true;
    }
    options->scopes = question->scopes;
    for (size_t i = 0; i < 3; i++) {
        if (model_random(8) == 0) {
            question->scopes[options->num_scopes++] = model_scopes[i];
        }
    }
    options->keyset = model_random(2) == 0 ? model_names[model_random(2)] : NULL;
    options->issuer = model_random(4) == 0 ? model_names[model_random(2)] : NULL;
    options->subject = model_random(4) == 0 ? model_names[model_random(2)] : NULL;
    options->typ = model_random(4) == 0 ? model_typs[model_random(3)] : NULL;
    options->leeway_s = model_random(2) == 0 ? 0 : model_random(4);
    options->max_age_s = model_random(2) == 0 ? 0 : 1 + model_random(8);
    question->now = 995 + (int64_t)model_random(13);
}

static bool model_is_asked(const struct model_question *question, const char *audience)
{
    for (size_t i = 0; i < question->options.num_audiences; i++) {
        if (strcmp(question->audiences[i], audience) == 0) {
            return true;
        }
    }
    return question->options.any_audience;
}

/* As server/verify.c: a foreign issuer may be trusted for some audiences only. */
static bool model_is_trusted(const struct model *model, const struct model_question *question)
{
    if (model->trusted == 0) {
        return true;
    }
    for (size_t i = 0; i < 4; i++) {
        if ((model->trusted >> i & 1) == 0 || !model_is_asked(question, model_audiences[i])) {
            continue;
        }
        for (size_t j = 0; j < model->claims.num_audiences; j++) {
            if (strcmp(model->claims.audiences[j], model_audiences[i]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* What the daemon says. */
static bool model_is_good(const struct model *model, const struct model_question *question)
{
    const struct signet_verify_options *options = &question->options;
    if (options->keyset != NULL ? strcmp(options->keyset, model->keyset) != 0 : !model->has_kid) {
        return false;
    }
    if (question->now < model->span.from || question->now >= model->span.until) {
        return false;
    }
    const struct sg_expectation expected = {
        .now = question->now,
        .leeway_s = options->leeway_s,
        .max_age_s = options->max_age_s,
        .audiences = options->audiences,
        .num_audiences = options->num_audiences,
        .any_audience = options->any_audience,
        .issuer = model->issuer,
        .subject = options->subject,
        .typ = options->typ,
        .scopes = options->scopes,
        .num_scopes = options->num_scopes,
    };
    return sg_claims_check(&model->claims, &model->jws, &expected).reason == SIGNET_REASON_NONE &&
           model_is_trusted(model, question) &&
           (options->issuer == NULL || strcmp(options->issuer, model->claims.issuer) == 0);
}

static bool model_has_fraction(const struct model *model)
{
    return model->claims.exp.has_fraction || model->claims.nbf.has_fraction ||
           model->claims.iat.has_fraction;
}

struct model_counts {
    unsigned num_asked, num_good, num_hits;
};

static void model_try(const struct model *model, const struct model_question *judged,
                      struct model_counts *counts)
{
    /* The answer takes a while to come, or none. */
    int64_t judged_at = judged->now + (int64_t)model_random(3);
    struct sg_standing standing;
    assert_true(
        sg_standing_init(&standing, &model->token, &judged->options, judged_at, &model->span));
    for (unsigned i = 0; i < MODEL_NUM_ASKED; i++) {
        struct model_question asked;
        model_ask(&asked);
        bool is_good = model_is_good(model, &asked);
        bool is_hit = sg_standing_holds(&standing, &model->token, &asked.options, asked.now);
        if (is_hit && !is_good) {
            fail_msg("yes, after %u others, where the daemon says no", counts->num_asked);
        }
        counts->num_asked++;
        counts->num_good += is_good;
        counts->num_hits += is_hit;
    }
    /* It is no use if it never says yes: the same question at the same time is answered, but for a fraction. */
    if (judged_at == judged->now && !model_has_fraction(model)) {
        assert_true(sg_standing_holds(&standing, &model->token, &judged->options, judged->now));
    }
}

static void test_model__never_yes_where_the_daemon_says_no(void **state)
{
    (void)state;
    struct model_counts counts = {0, 0, 0};
    for (unsigned i = 0; i < MODEL_NUM_TOKENS; i++) {
        struct model model;
        struct model_question judged;
        model_init(&model);
        bool is_good = false;
        for (unsigned j = 0; j < MODEL_NUM_JUDGING && !is_good; j++) {
            model_ask(&judged);
            is_good = model_is_good(&model, &judged);
        }
        if (is_good) {
            model_try(&model, &judged, &counts);
        }
        model_fini(&model);
    }
    print_message("%u questions, the daemon says yes to %u, the cache to %u\n", counts.num_asked,
                  counts.num_good, counts.num_hits);
    assert_true(counts.num_asked >= 200000);
    assert_true(counts.num_hits >= counts.num_good / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds__until_exp_and_no_longer),
        cmocka_unit_test(test_holds__not_before_nbf_of_which_a_fraction_was_cut),
        cmocka_unit_test(test_holds__at_the_age_that_is_asked_for),
        cmocka_unit_test(test_holds__while_the_key_is_accepted),
        cmocka_unit_test(test_holds__for_audiences_that_it_was_found_good_for),
        cmocka_unit_test(test_holds__for_names_byte_for_byte),
        cmocka_unit_test(test_holds__for_those_who_name_the_keyset_as_the_first_one_did),
        cmocka_unit_test(test_holds__for_its_type),
        cmocka_unit_test(test_holds__for_scopes_that_it_has),
        cmocka_unit_test(test_init__what_no_daemon_says_is_not_kept),
        cmocka_unit_test(test_model__never_yes_where_the_daemon_says_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
