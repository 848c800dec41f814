/* SPDX-License-Identifier: Apache-2.0
 *
 * What a grant lets into tokens: each rule, what it lets pass and what it refuses, and that a refusal
 * gives no value away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/claim_rules.h"
#include "server/config.h"
#include "tests/unit/fake_peer.h"

#define NUM(list) (sizeof(list) / sizeof((list)[0]))

static struct sg_peer peer;
static struct sg_peer_identity identity;
static struct sg_rpc_status error;

static int setup(void **state)
{
    (void)state;
    fake_peer_make(&peer, &identity, 1000, 100);
    identity.all.known = SG_PEER_USER | SG_PEER_UNIT;
    (void)snprintf(identity.all.user, sizeof(identity.all.user), "alice");
    (void)snprintf(identity.all.unit, sizeof(identity.all.unit), "web.service");
    return 0;
}

static Signet__V1__SignRequest request_of(const char *claims_json)
{
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    request.subject = (char *)(uintptr_t) "somebody";
    request.claims_json = (char *)(uintptr_t)claims_json;
    return request;
}

/* What the rules make of a request: the payload, for free(), or NULL with error filled. rules NULL: there
 * are none. */
static char *apply(const struct sg_config_claim_rules *from, const Signet__V1__SignRequest *request)
{
    struct sg_claim_rules *rules = from != NULL ? sg_claim_rules_new(from) : NULL;
    struct sg_claim_ruling ruling;
    char *out = NULL;
    memset(&error, 0, sizeof(error));
    signet_status status = sg_claim_ruling_init(&ruling, rules, &peer, request, &error);
    if (status == SIGNET_OK) {
        size_t len = 0;
        const char *detail = NULL;
        bool has_extra = request->claims_json[0] != '\0';
        struct sg_new_claims claims = {
            .extra_json = has_extra ? request->claims_json : NULL,
            .extra_json_len = has_extra ? strlen(request->claims_json) : 0,
            .check = ruling.check,
            .forced = ruling.forced,
            .num_forced = ruling.num_forced,
        };
        status = sg_claims_write(&claims, &out, &len, &detail);
    }
    sg_claim_ruling_fini(&ruling);
    sg_claim_rules_free(rules);
    assert_int_equal(out != NULL, status == SIGNET_OK);
    assert_int_equal(error.code, status == SIGNET_INVALID_ARGUMENT ? SIGNET_OK : status);
    return out;
}

static void passes(const struct sg_config_claim_rules *rules, const char *claims_json)
{
    Signet__V1__SignRequest request = request_of(claims_json);
    char *out = apply(rules, &request);
    if (out == NULL) {
        fail_msg("%s was refused: %s", claims_json, error.message);
    }
    free(out);
}

static void is_refused(const struct sg_config_claim_rules *rules, const char *claims_json,
                       const char *reason)
{
    Signet__V1__SignRequest request = request_of(claims_json);
    assert_null(apply(rules, &request));
    assert_int_equal(error.code, SIGNET_PERMISSION_DENIED);
    assert_string_equal(error.reason, reason);
}

/* ---- Names of claims ---- */

static void test_claim_rules__without_rules_all_but_secrets_pass(void **state)
{
    static const struct sg_config_claim_rules none = {.max_ttl_s = 0};
    const struct sg_config_claim_rules *both[] = {NULL, &none};
    (void)state;
    for (size_t i = 0; i < NUM(both); i++) {
        passes(both[i], "");
        passes(both[i], "{}");
        passes(both[i], "{\"role\":\"admin\",\"n\":[1,2,{\"a\":null}]}");
        is_refused(both[i], "{\"a\":[{\"client_secret\":\"hunter2\"}]}", "CLAIM_SENSITIVE");
    }
    assert_int_equal(identity.num_calls, 0);
}

static void test_claim_rules__allowed_names_and_globs(void **state)
{
    char *allowed[] = {(char *)(uintptr_t) "role", (char *)(uintptr_t) "app_*"};
    const struct sg_config_claim_rules rules = {
        .has_allowed = true, .allowed = allowed, .num_allowed = NUM(allowed)};
    const struct sg_config_claim_rules nothing = {.has_allowed = true};
    (void)state;
    passes(&rules, "{\"role\":1,\"app_x\":2,\"app_\":3}");
    passes(&rules, "");
    is_refused(&rules, "{\"role\":1,\"Role\":2}", "CLAIM_NOT_ALLOWED");
    is_refused(&rules, "{\"roles\":1}", "CLAIM_NOT_ALLOWED");
    is_refused(&rules, "{\"app\":1}", "CLAIM_NOT_ALLOWED");
    is_refused(&rules, "{\"\":1}", "CLAIM_NOT_ALLOWED");
    is_refused(&rules, "{\"*\":1}", "CLAIM_NOT_ALLOWED");
    passes(&rules, "{\"\\u0072ole\":1}");
    /* What is within a claim is not a claim. */
    passes(&rules, "{\"role\":{\"other\":1}}");
    passes(&nothing, "{}");
    is_refused(&nothing, "{\"role\":1}", "CLAIM_NOT_ALLOWED");
}

static void test_claim_rules__denied_goes_before_allowed(void **state)
{
    char *allowed[] = {(char *)(uintptr_t) "*"};
    char *denied[] = {(char *)(uintptr_t) "is_*", (char *)(uintptr_t) "admin"};
    const struct sg_config_claim_rules rules = {.has_allowed = true,
                                                .allowed = allowed,
                                                .num_allowed = NUM(allowed),
                                                .denied = denied,
                                                .num_denied = NUM(denied)};
    (void)state;
    passes(&rules, "{\"role\":1,\"this_is_fine\":1,\"Admin\":2}");
    is_refused(&rules, "{\"role\":1,\"admin\":false}", "CLAIM_DENIED");
    is_refused(&rules, "{\"is_root\":1}", "CLAIM_DENIED");
    is_refused(&rules, "{\"\\u0061dmin\":1}", "CLAIM_DENIED");
}

static void test_claim_rules__required_names_have_a_value(void **state)
{
    char *required[] = {(char *)(uintptr_t) "tenant"};
    char *allowed[] = {(char *)(uintptr_t) "role"};
    const struct sg_config_claim_rules rules = {.has_allowed = true,
                                                .allowed = allowed,
                                                .num_allowed = 1,
                                                .required = required,
                                                .num_required = 1};
    (void)state;
    passes(&rules, "{\"tenant\":\"t\"}"); /* so it may be set */
    passes(&rules, "{\"role\":1,\"tenant\":0}");
    is_refused(&rules, "{\"role\":1}", "CLAIM_REQUIRED");
    is_refused(&rules, "{\"tenant\":null}", "CLAIM_REQUIRED");
    is_refused(&rules, "{\"role\":{\"tenant\":1}}", "CLAIM_REQUIRED");
    is_refused(&rules, "{}", "CLAIM_REQUIRED");
    is_refused(&rules, "", "CLAIM_REQUIRED");
}

/* ---- Forced claims ---- */

static struct sg_config_forced_claim forced_of(const char *name, const char *value)
{
    return (struct sg_config_forced_claim){.name = (char *)(uintptr_t)name,
                                           .value = (char *)(uintptr_t)value};
}

static void test_claim_rules__forced_claims_are_filled_from_the_peer(void **state)
{
    struct sg_config_forced_claim forced[] = {
        forced_of("env", "prod"), forced_of("uid", "${peer.uid}"), forced_of("gid", "${peer.gid}"),
        forced_of("who", "${peer.user}@${peer.unit}#${peer.uid}"), forced_of("empty", "")};
    const struct sg_config_claim_rules rules = {.forced = forced, .num_forced = NUM(forced)};
    Signet__V1__SignRequest request = request_of("{\"a\":1}");
    (void)state;
    char *out = apply(&rules, &request);
    assert_string_equal(out, "{\"iat\":0,\"nbf\":0,\"exp\":0,\"a\":1,\"env\":\"prod\",\"uid\":1000,"
                             "\"gid\":100,\"who\":\"alice@web.service#1000\",\"empty\":\"\"}");
    free(out);
    request = request_of("");
    out = apply(&rules, &request);
    assert_non_null(strstr(out, "\"env\":\"prod\""));
    free(out);
}

static void test_claim_rules__a_forced_claim_is_not_the_callers_to_set(void **state)
{
    struct sg_config_forced_claim forced[] = {forced_of("env", "prod")};
    char *allowed[] = {(char *)(uintptr_t) "*"};
    const struct sg_config_claim_rules rules = {.has_allowed = true,
                                                .allowed = allowed,
                                                .num_allowed = 1,
                                                .forced = forced,
                                                .num_forced = 1};
    (void)state;
    is_refused(&rules, "{\"env\":\"test\"}", "CLAIM_FORCED");
    is_refused(&rules, "{\"env\":\"prod\"}", "CLAIM_FORCED");
    is_refused(&rules, "{\"\\u0065nv\":null}", "CLAIM_FORCED");
    passes(&rules, "{\"Env\":\"test\"}");
}

static void test_claim_rules__what_is_not_known_of_the_peer_is_a_denial(void **state)
{
    static const char *const values[] = {"${peer.unit}", "unit-${peer.unit}", "${peer.other}",
                                         "${peer.unit"};
    (void)state;
    identity.all.known = SG_PEER_USER;
    for (size_t i = 0; i < NUM(values); i++) {
        struct sg_config_forced_claim forced[] = {forced_of("uid", "${peer.uid}"),
                                                  forced_of("from", values[i])};
        const struct sg_config_claim_rules rules = {.forced = forced, .num_forced = 2};
        is_refused(&rules, "", "CLAIM_FORCED");
        assert_non_null(strstr(error.message, "\"from\""));
    }
    /* Nor is anything known without an identity, but what the kernel said. */
    struct sg_config_forced_claim user = forced_of("user", "${peer.user}");
    struct sg_config_forced_claim uid = forced_of("uid", "${peer.uid}");
    const struct sg_config_claim_rules by_user = {.forced = &user, .num_forced = 1};
    const struct sg_config_claim_rules by_uid = {.forced = &uid, .num_forced = 1};
    passes(&by_user, "");
    peer.identity = NULL;
    is_refused(&by_user, "", "CLAIM_FORCED");
    passes(&by_uid, "");
}

/* ---- Audience, subject, sizes ---- */

static void test_claim_rules__each_audience_matches_one(void **state)
{
    char *audiences[] = {(char *)(uintptr_t) "orders", (char *)(uintptr_t) "${peer.user}-*"};
    const struct sg_config_claim_rules rules = {.audiences = audiences, .num_audiences = 2};
    static const struct {
        const char *audience[2];
        size_t num, refused; /* which is, from 1 on; 0: none */
    } cases[] = {
        {{"orders"}, 1, 0},         {{"alice-x", "orders"}, 2, 0},
        {{"alice-"}, 1, 0},         {{"orders", "bob-x"}, 2, 2},
        {{"order"}, 1, 1},          {{"orders2"}, 1, 1},
        {{"${peer.user}-x"}, 1, 1}, {{"*"}, 1, 1},
        {{"Alice-x"}, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < NUM(cases); i++) {
        Signet__V1__SignRequest request = request_of("");
        request.n_audience = cases[i].num;
        request.audience = (char **)(uintptr_t)cases[i].audience;
        char *out = apply(&rules, &request);
        assert_int_equal(out == NULL, cases[i].refused != 0);
        if (out == NULL) {
            char number[16];
            (void)snprintf(number, sizeof(number), "number %zu ", cases[i].refused);
            assert_string_equal(error.reason, "AUDIENCE_NOT_ALLOWED");
            assert_non_null(strstr(error.message, number));
        }
        free(out);
    }
}

static void test_claim_rules__a_star_in_a_users_name_is_no_wildcard(void **state)
{
    char *audiences[] = {(char *)(uintptr_t) "${peer.user}"};
    const struct sg_config_claim_rules rules = {
        .audiences = audiences, .num_audiences = 1, .subject = (char *)(uintptr_t) "${peer.unit}"};
    char *audience = (char *)(uintptr_t) "anything";
    Signet__V1__SignRequest request = request_of("");
    (void)state;
    (void)snprintf(identity.all.user, sizeof(identity.all.user), "*");
    (void)snprintf(identity.all.unit, sizeof(identity.all.unit), "*");
    request.n_audience = 1;
    request.audience = &audience;
    assert_null(apply(&rules, &request));
    assert_string_equal(error.reason, "AUDIENCE_NOT_ALLOWED");
    audience = (char *)(uintptr_t) "*";
    assert_null(apply(&rules, &request));
    assert_string_equal(error.reason, "SUBJECT_NOT_ALLOWED");
    request.subject = (char *)(uintptr_t) "*";
    char *out = apply(&rules, &request);
    assert_non_null(out);
    free(out);
}

static void test_claim_rules__subject(void **state)
{
    const struct sg_config_claim_rules rules = {.subject =
                                                    (char *)(uintptr_t) "user:${peer.user}:*"};
    static const struct {
        const char *subject;
        bool passes;
    } cases[] = {{"user:alice:1", true}, {"user:alice:", true},    {"user:bob:1", false},
                 {"user:alice", false},  {"xuser:alice:1", false}, {"", false},
                 {"user::1", false},     {"user:*:1", false}};
    (void)state;
    for (int has_user = 1; has_user >= 0; has_user--) {
        for (size_t i = 0; i < NUM(cases); i++) {
            Signet__V1__SignRequest request = request_of("");
            request.subject = (char *)(uintptr_t)cases[i].subject;
            char *out = apply(&rules, &request);
            assert_int_equal(out != NULL, has_user && cases[i].passes);
            if (out == NULL) {
                assert_string_equal(error.reason, "SUBJECT_NOT_ALLOWED");
            }
            free(out);
        }
        identity.all.known = 0;
    }
}

static void test_claim_rules__ttl(void **state)
{
    const struct sg_config_claim_rules from = {.max_ttl_s = 60};
    const struct sg_config_claim_rules none = {.max_ttl_s = 0};
    static const uint32_t good[] = {0, 1, 60};
    static const uint32_t bad[] = {61, UINT32_MAX};
    Signet__V1__SignRequest request = request_of("");
    (void)state;
    for (size_t i = 0; i < NUM(good); i++) {
        request.ttl_s = good[i];
        free(apply(&from, &request));
        assert_int_equal(error.code, SIGNET_OK);
    }
    for (size_t i = 0; i < NUM(bad); i++) {
        request.ttl_s = bad[i];
        assert_null(apply(&from, &request));
        assert_string_equal(error.reason, "TTL_NOT_ALLOWED");
        free(apply(&none, &request));
        assert_int_equal(error.code, SIGNET_OK);
    }
    struct sg_claim_rules *rules = sg_claim_rules_new(&from);
    assert_int_equal(sg_claim_rules_max_ttl_s(rules, 900), 60);
    assert_int_equal(sg_claim_rules_max_ttl_s(rules, 30), 30);
    assert_int_equal(sg_claim_rules_max_ttl_s(NULL, 900), 900);
    sg_claim_rules_free(rules);
}

static void test_claim_rules__payload_length(void **state)
{
    const struct sg_config_claim_rules rules = {.max_payload_len = 9};
    (void)state;
    passes(&rules, "");
    passes(&rules, "{\"a\":123}");
    is_refused(&rules, "{\"a\":1234}", "PAYLOAD_TOO_LARGE");
    is_refused(&rules, "{\"a\":1}   ", "PAYLOAD_TOO_LARGE");
}

/* ---- Secrets ---- */

static void test_claim_rules__secrets_pass_only_where_they_may(void **state)
{
    const struct sg_config_claim_rules lenient = {.allow_sensitive = true};
    static const char *const secrets[] = {
        "{\"password\":\"hunter2\"}", "{\"a\":{\"b\":[{\"API_Key\":\"hunter2\"}]}}",
        "{\"card\":\"4111 1111 1111 1111\"}", "{\"a\":[5555555555554444]}"};
    (void)state;
    for (size_t i = 0; i < NUM(secrets); i++) {
        is_refused(NULL, secrets[i], "CLAIM_SENSITIVE");
        assert_non_null(strstr(error.message, "anyone who holds a token can read its claims"));
        passes(&lenient, secrets[i]);
    }
    passes(NULL, "{\"secretary\":\"hunter2\",\"pinned\":true,\"order\":1760000000000}");
    is_refused(NULL, "{\"password\":1,\"a\":2}", "CLAIM_SENSITIVE");
    assert_non_null(strstr(error.message, "\"password\""));
}

/* ---- Messages ---- */

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static void test_claim_rules__a_message_names_the_claim_and_no_value(void **state)
{
    const struct sg_config_claim_rules rules = {.has_allowed = true};
    (void)state;
    is_refused(&rules, "{\"role\":\"hunter2\"}", "CLAIM_NOT_ALLOWED");
    assert_non_null(strstr(error.message, "claim \"role\": "));
    assert_null(strstr(error.message, "hunter2"));
    is_refused(NULL, "{\"password\":\"hunter2\"}", "CLAIM_SENSITIVE");
    assert_null(strstr(error.message, "hunter2"));
    is_refused(NULL, "{\"x\":4111111111111111}", "CLAIM_SENSITIVE");
    assert_null(strstr(error.message, "4111"));
}

static void test_claim_rules__a_claims_name_is_shown_bounded_and_plain(void **state)
{
    const struct sg_config_claim_rules rules = {.has_allowed = true};
    char json[2048];
    (void)state;
    is_refused(&rules, "{\"a\\n\\u001b[31m\\\"\\u007f\\u0085b\":1}", "CLAIM_NOT_ALLOWED");
    assert_non_null(strstr(error.message, "claim \"a??[31m????b\": "));
    /* U+00E9, two bytes, so that the cut falls within one at one of two lengths. */
    for (size_t odd = 0; odd < 2; odd++) {
        size_t len = (size_t)snprintf(json, sizeof(json), "{\"%s", odd ? "x" : "");
        for (size_t i = 0; i < 500; i++) {
            len += (size_t)snprintf(json + len, sizeof(json) - len, "\xc3\xa9");
        }
        (void)snprintf(json + len, sizeof(json) - len, "\":1}");
        is_refused(&rules, json, "CLAIM_NOT_ALLOWED");
        assert_non_null(strstr(error.message, "\xc3\xa9...\": it is not"));
        assert_true(is_plain(error.message));
    }
    /* The longest message is whole. */
    char name[128];
    memset(name, 'x', sizeof(name));
    (void)snprintf(json, sizeof(json), "{\"%.100s_password\":1}", name);
    is_refused(NULL, json, "CLAIM_SENSITIVE");
    assert_non_null(strstr(error.message, "allow_sensitive"));
    assert_true(strlen(error.message) < SG_MAX_STATUS_MESSAGE - 1);
}

/* ---- What they ask of the peer ---- */

static void test_claim_rules__ask_only_for_what_they_need(void **state)
{
    struct sg_config_forced_claim user = forced_of("user", "${peer.user}");
    char *audiences[] = {(char *)(uintptr_t) "${peer.unit}*"};
    const struct sg_config_claim_rules both = {
        .forced = &user, .num_forced = 1, .audiences = audiences, .num_audiences = 1};
    const struct sg_config_claim_rules none = {.subject = (char *)(uintptr_t) "${peer.uid}*"};
    (void)state;
    struct sg_claim_rules *rules = sg_claim_rules_new(&both);
    assert_int_equal(sg_claim_rules_facts(rules), SG_PEER_USER | SG_PEER_UNIT);
    sg_claim_rules_free(rules);
    rules = sg_claim_rules_new(&none);
    assert_int_equal(sg_claim_rules_facts(rules), 0);
    sg_claim_rules_free(rules);
    is_refused(&none, "", "SUBJECT_NOT_ALLOWED");
    assert_int_equal(identity.num_calls, 0);
    passes(&both, "");
    assert_int_equal(identity.asked, SG_PEER_USER | SG_PEER_UNIT);
    sg_claim_rules_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_claim_rules__without_rules_all_but_secrets_pass, setup),
        cmocka_unit_test_setup(test_claim_rules__allowed_names_and_globs, setup),
        cmocka_unit_test_setup(test_claim_rules__denied_goes_before_allowed, setup),
        cmocka_unit_test_setup(test_claim_rules__required_names_have_a_value, setup),
        cmocka_unit_test_setup(test_claim_rules__forced_claims_are_filled_from_the_peer, setup),
        cmocka_unit_test_setup(test_claim_rules__a_forced_claim_is_not_the_callers_to_set, setup),
        cmocka_unit_test_setup(test_claim_rules__what_is_not_known_of_the_peer_is_a_denial, setup),
        cmocka_unit_test_setup(test_claim_rules__each_audience_matches_one, setup),
        cmocka_unit_test_setup(test_claim_rules__a_star_in_a_users_name_is_no_wildcard, setup),
        cmocka_unit_test_setup(test_claim_rules__subject, setup),
        cmocka_unit_test_setup(test_claim_rules__ttl, setup),
        cmocka_unit_test_setup(test_claim_rules__payload_length, setup),
        cmocka_unit_test_setup(test_claim_rules__secrets_pass_only_where_they_may, setup),
        cmocka_unit_test_setup(test_claim_rules__a_message_names_the_claim_and_no_value, setup),
        cmocka_unit_test_setup(test_claim_rules__a_claims_name_is_shown_bounded_and_plain, setup),
        cmocka_unit_test_setup(test_claim_rules__ask_only_for_what_they_need, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
