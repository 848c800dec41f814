/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that speak of the peer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "server/template.h"

static const struct sg_peer peer = {.uid = 1000, .gid = 4294967295};
static struct sg_peer_facts facts;

static int setup(void **state)
{
    (void)state;
    facts = (struct sg_peer_facts){
        .known = SG_PEER_USER | SG_PEER_UNIT, .user = "alice", .unit = "web.service"};
    return 0;
}

/* The filled text; NULL if there is none. */
static const char *fill(const char *text)
{
    static char out[1024];
    struct sg_template *template = sg_template_new(text, false);
    assert_non_null(template);
    memset(out, 'x', sizeof(out));
    bool done = sg_template_fill(template, &peer, &facts, out);
    assert_int_equal(done, sg_template_unknown(template, &facts) == NULL);
    if (done) {
        assert_true(strlen(out) <= sg_template_max_len(template));
    }
    sg_template_free(template);
    return done ? out : NULL;
}

static bool matches(const char *glob, const char *text)
{
    struct sg_template *template = sg_template_new(glob, true);
    assert_non_null(template);
    bool answer = sg_template_matches(template, &peer, &facts, text);
    sg_template_free(template);
    return answer;
}

static void test_template__is_filled_from_the_peer(void **state)
{
    (void)state;
    assert_string_equal(fill(""), "");
    assert_string_equal(fill("plain"), "plain");
    assert_string_equal(fill("${peer.user}"), "alice");
    assert_string_equal(fill("u-${peer.user}/${peer.uid}:${peer.gid}@${peer.unit}."),
                        "u-alice/1000:4294967295@web.service.");
    assert_string_equal(fill("$ $$ {} a$"), "$ $$ {} a$");
    assert_string_equal(fill("*"), "*");
}

static void test_template__what_the_peer_has_not_is_no_text(void **state)
{
    (void)state;
    assert_null(fill("${peer.nothing}"));
    assert_null(fill("${peer.user"));
    assert_null(fill("x${}"));
    assert_null(fill("${PEER.USER}"));
    facts.user[0] = '\0';
    assert_null(fill("${peer.user}"));
    (void)snprintf(facts.user, sizeof(facts.user), "\xff");
    assert_null(fill("x-${peer.user}"));
    facts.known = SG_PEER_USER;
    assert_null(fill("${peer.unit}"));
    assert_string_equal(fill("${peer.uid}"), "1000");
    assert_false(matches("*${peer.unit}*", "web.service"));
    assert_false(matches("${peer.nothing}*", ""));
    assert_false(matches("*${peer.nothing}", "${peer.nothing}"));
}

static void test_template__without_facts_there_are_only_numbers(void **state)
{
    struct sg_template *user = sg_template_new("${peer.user}", true);
    struct sg_template *uid = sg_template_new("${peer.uid}-*", true);
    (void)state;
    assert_string_equal(sg_template_unknown(user, NULL), "user");
    assert_false(sg_template_matches(user, &peer, NULL, "alice"));
    assert_false(sg_template_matches(user, &peer, NULL, ""));
    assert_true(sg_template_matches(uid, &peer, NULL, "1000-x"));
    sg_template_free(user);
    sg_template_free(uid);
}

static void test_template__a_star_is_any_run(void **state)
{
    (void)state;
    assert_true(matches("*", ""));
    assert_true(matches("*", "x"));
    assert_true(matches("a*", "a"));
    assert_true(matches("a*b*c", "a-b-b-c"));
    assert_true(matches("a**b", "ab"));
    assert_true(matches("*aab", "aaaab"));
    assert_true(matches("*.${peer.user}.*", "x.alic.alice.y"));
    assert_true(matches("${peer.user}*${peer.user}", "alicealice"));
    assert_false(matches("${peer.user}*${peer.user}", "alice"));
    assert_false(matches("a*b*c", "a-c-b"));
    assert_false(matches("", "x"));
    assert_false(matches("a", "ab"));
    assert_false(matches("ab", "a"));
    assert_false(matches("${peer.user}", "alicex"));
    assert_false(matches("${peer.user}", "alic"));
    assert_false(matches("${peer.user}", "*"));
}

static void test_template__a_star_of_the_peer_is_itself(void **state)
{
    (void)state;
    (void)snprintf(facts.user, sizeof(facts.user), "a*");
    (void)snprintf(facts.unit, sizeof(facts.unit), "${peer.uid}");
    assert_true(matches("${peer.user}", "a*"));
    assert_false(matches("${peer.user}", "ab"));
    assert_true(matches("*${peer.user}", "ba*"));
    assert_false(matches("*${peer.user}", "baa"));
    assert_string_equal(fill("${peer.unit}"), "${peer.uid}");
}

static void test_template__a_number_is_one_that_stands_alone(void **state)
{
    static const struct {
        const char *text;
        bool is_number;
        uint32_t number;
    } cases[] = {
        {"${peer.uid}", true, 1000},
        {"${peer.gid}", true, UINT32_MAX},
        {"${peer.uid} ", false, 0},
        {"${peer.uid}${peer.uid}", false, 0},
        {"${peer.user}", false, 0},
        {"1000", false, 0},
        {"", false, 0},
        {"${peer.uids}", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sg_template *template = sg_template_new(cases[i].text, false);
        uint32_t number = 0;
        assert_int_equal(sg_template_is_number(template, &peer, &number), cases[i].is_number);
        assert_int_equal(number, cases[i].number);
        sg_template_free(template);
    }
}

static void test_template__says_what_it_asks_for(void **state)
{
    struct sg_template *template = sg_template_new("${peer.user} of ${peer.unit}", true);
    (void)state;
    assert_int_equal(sg_template_facts(template), SG_PEER_USER | SG_PEER_UNIT);
    sg_template_free(template);
    template = sg_template_new("${peer.uid}*", true);
    assert_int_equal(sg_template_facts(template), 0);
    sg_template_free(template);
    sg_template_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_template__is_filled_from_the_peer, setup),
        cmocka_unit_test_setup(test_template__what_the_peer_has_not_is_no_text, setup),
        cmocka_unit_test_setup(test_template__without_facts_there_are_only_numbers, setup),
        cmocka_unit_test_setup(test_template__a_star_is_any_run, setup),
        cmocka_unit_test_setup(test_template__a_star_of_the_peer_is_itself, setup),
        cmocka_unit_test_setup(test_template__a_number_is_one_that_stands_alone, setup),
        cmocka_unit_test_setup(test_template__says_what_it_asks_for, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
