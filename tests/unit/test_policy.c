/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what: single selectors, the order of grants, what a denial says to whom, and a random matrix
 * of grants and peers against a plain model.
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
#include "server/policy.h"
#include "tests/unit/fake_peer.h"

#define NUM(list) (sizeof(list) / sizeof((list)[0]))

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static struct sg_peer peer;
static struct sg_peer_identity identity;
static char text[SG_POLICY_MAX_TEXT];

static const gid_t own_groups[] = {20, 30};

static int setup(void **state)
{
    (void)state;
    fake_peer_make(&peer, &identity, 1000, 10);
    struct sg_peer_facts *all = &identity.all;
    all->known = SG_PEER_GROUPS | SG_PEER_EXE | SG_PEER_EXE_SHA256 | SG_PEER_UNIT | SG_PEER_USER;
    all->groups = own_groups;
    all->num_groups = NUM(own_groups);
    (void)snprintf(all->user, sizeof(all->user), "alice");
    (void)snprintf(all->exe, sizeof(all->exe), "/usr/bin/app");
    (void)snprintf(all->unit, sizeof(all->unit), "web@1.service");
    memset(all->exe_sha256, 7, sizeof(all->exe_sha256));
    identity.hash_is_quick = true;
    return 0;
}

static char *all_keysets[] = {TEXT("*")};

/* A grant for alice to sign with any keyset. */
static struct sg_config_grant grant_of(const char *name)
{
    return (struct sg_config_grant){.name = TEXT(name),
                                    .who = {.user = TEXT("alice"), .uid = 1000},
                                    .may = SG_RIGHT_SIGN,
                                    .keysets = all_keysets,
                                    .num_keysets = 1};
}

static struct sg_policy *policy_of(const struct sg_config_grant *grants, size_t num)
{
    struct sg_policy *policy = NULL;
    assert_int_equal(sg_policy_new(grants, num, &policy), SIGNET_OK);
    assert_int_equal(sg_policy_num_grants(policy), num);
    return policy;
}

/* The answer to one grant for signing with "login"; on a denial, text says why. */
static bool allows(const struct sg_config_grant *grant)
{
    struct sg_policy *policy = policy_of(grant, 1);
    struct sg_decision decision;
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_int_equal(decision.grant != NULL, decision.is_allowed);
    assert_int_equal(decision.reason == NULL, decision.is_allowed);
    sg_decision_text(&decision, text, sizeof(text));
    sg_policy_unref(policy);
    return decision.is_allowed;
}

/* ---- Selectors ---- */

static void test_policy__without_grants_the_answer_is_no(void **state)
{
    struct sg_policy *policy = policy_of(NULL, 0);
    struct sg_decision decision;
    (void)state;
    memset(&decision, 0xff, sizeof(decision));
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_false(decision.is_allowed);
    assert_null(decision.grant);
    assert_null(decision.closest);
    assert_null(decision.selector);
    assert_string_equal(decision.reason, "NO_GRANT");
    sg_decision_text(&decision, text, sizeof(text));
    assert_string_equal(text, "no grant lets anyone sign with keyset login");
    assert_int_equal(sg_policy_facts(policy), 0);
    sg_policy_unref(policy);
    sg_policy_unref(NULL);
}

static void test_policy__user(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    assert_true(allows(&grant));
    assert_string_equal(text, "grant g");
    grant.who.uid = 0;
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: user is uid 1000, and has to be alice (uid 0)");
    assert_int_equal(identity.num_calls, 0);
}

static void test_policy__who_is_empty_is_nobody(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.who = (struct sg_config_who){.uid = 1000, .gid = 10};
    assert_false(allows(&grant));
    grant.who.is_anybody = true;
    assert_true(allows(&grant));
}

static void test_policy__right(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.may = SG_RIGHT_VERIFY | SG_RIGHT_ADMIN;
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: right is sign, and has to be verify or admin");
    grant.may = 0;
    assert_false(allows(&grant));
    grant.may = SG_RIGHT_VERIFY | SG_RIGHT_SIGN;
    assert_true(allows(&grant));
    struct sg_policy *policy = policy_of(&grant, 1);
    struct sg_decision decision;
    sg_policy_decide(policy, &peer, (enum sg_right)0, "login", &decision);
    assert_false(decision.is_allowed);
    sg_policy_decide(policy, &peer, (enum sg_right)(SG_RIGHT_SIGN | SG_RIGHT_ADMIN), "login",
                     &decision);
    assert_false(decision.is_allowed);
    sg_policy_unref(policy);
}

static void test_policy__keysets(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    char *keysets[] = {TEXT("orders"), TEXT("log*")};
    (void)state;
    grant.keysets = keysets;
    grant.num_keysets = 2;
    assert_true(allows(&grant));
    keysets[1] = TEXT("logi");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: keyset is login, and has to be orders or logi");
    grant.num_keysets = 0;
    assert_false(allows(&grant));
}

static void test_policy__what_is_of_no_one_keyset_needs_all_of_them(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    char *keysets[] = {TEXT("**"), TEXT("*")};
    struct sg_decision decision;
    (void)state;
    grant.keysets = keysets;
    for (size_t num = 1; num <= 2; num++) {
        grant.num_keysets = num;
        struct sg_policy *policy = policy_of(&grant, 1);
        sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, NULL, &decision);
        assert_int_equal(decision.is_allowed, num == 2);
        sg_decision_text(&decision, text, sizeof(text));
        assert_string_equal(text, num == 2 ? "grant g"
                                           : "grant g: keyset is all of them, and has to be **");
        sg_policy_unref(policy);
    }
}

static void test_policy__group_is_ones_own_or_a_supplementary_one(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.who = (struct sg_config_who){.group = TEXT("ops"), .gid = 10};
    assert_true(allows(&grant));
    assert_int_equal(identity.num_calls, 0);
    grant.who.gid = 30;
    assert_true(allows(&grant));
    assert_int_equal(identity.asked, SG_PEER_GROUPS);
    grant.who.gid = 40;
    assert_false(allows(&grant));
    assert_string_equal(text,
                        "grant g: group is gid 10; others: 20, 30, and has to be ops (gid 40)");
}

static void test_policy__unit_is_a_glob(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.who.unit = TEXT("web@*.service");
    assert_true(allows(&grant));
    assert_int_equal(identity.asked, SG_PEER_UNIT);
    grant.who.unit = TEXT("web@1");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: unit is web@1.service, and has to be web@1");
}

static void test_policy__exe_is_a_path_and_its_hash(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.who.exe = TEXT("/usr/bin/app");
    assert_true(allows(&grant));
    assert_int_equal(identity.asked, SG_PEER_EXE);
    grant.who.has_exe_sha256 = true;
    assert_false(allows(&grant));
    assert_string_equal(
        text, "grant g: exe_sha256 is "
              "0707070707070707070707070707070707070707070707070707070707070707, and has to be "
              "0000000000000000000000000000000000000000000000000000000000000000");
    memset(grant.who.exe_sha256, 7, sizeof(grant.who.exe_sha256));
    assert_true(allows(&grant));
    grant.who.exe = NULL;
    assert_true(allows(&grant));
    grant.who.exe = TEXT("/usr/bin/*");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: exe is /usr/bin/app, and has to be /usr/bin/*");
}

static void test_policy__what_is_not_known_does_not_match(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    identity.all.known = 0;
    grant.who.exe = TEXT("/usr/bin/app");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: exe is not known (made up to be so), and has to be "
                              "/usr/bin/app");
    grant.who = (struct sg_config_who){.unit = TEXT("*")};
    assert_false(allows(&grant));
    grant.who = (struct sg_config_who){.group = TEXT("30"), .gid = 30};
    assert_false(allows(&grant));
    grant.who = (struct sg_config_who){.has_exe_sha256 = true, .exe_sha256 = {0}};
    memset(identity.all.exe_sha256, 0, sizeof(identity.all.exe_sha256));
    assert_false(allows(&grant));
    grant = grant_of("g");
    assert_true(allows(&grant));
    peer.identity = NULL;
    assert_true(allows(&grant));
    grant.who.exe = TEXT("/usr/bin/app");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: exe is not known, and has to be /usr/bin/app");
}

/* ---- Order ---- */

static void test_policy__the_first_that_matches_decides(void **state)
{
    struct sg_config_grant grants[] = {grant_of("others"), grant_of("first"), grant_of("second")};
    struct sg_decision decision;
    (void)state;
    grants[0].may = SG_RIGHT_VERIFY;
    grants[1].claims.max_ttl_s = 60;
    grants[1].max_live_tokens = 5;
    struct sg_policy *policy = policy_of(grants, NUM(grants));
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_true(decision.is_allowed);
    assert_string_equal(sg_grant_name(decision.grant), "first");
    assert_int_equal(sg_grant_index(decision.grant), 1);
    assert_int_equal(sg_grant_max_ttl_s(decision.grant), 60);
    assert_int_equal(sg_grant_max_live_tokens(decision.grant), 5);
    assert_non_null(sg_grant_claim_rules(decision.grant));
    assert_ptr_equal(decision.grant, sg_policy_grant(policy, 1));
    sg_policy_decide(policy, &peer, SG_RIGHT_VERIFY, "login", &decision);
    assert_int_equal(sg_grant_index(decision.grant), 0);
    sg_policy_unref(policy);
}

static void test_policy__outlives_what_it_was_made_of(void **state)
{
    char name[] = "g", user[] = "alice", exe[] = "/usr/bin/app", keyset[] = "login";
    char *keysets[] = {keyset};
    struct sg_config_grant grant = {.name = name,
                                    .who = {.user = user, .uid = 1000, .exe = exe},
                                    .may = SG_RIGHT_SIGN,
                                    .keysets = keysets,
                                    .num_keysets = 1};
    struct sg_decision decision;
    (void)state;
    struct sg_policy *policy = policy_of(&grant, 1);
    assert_ptr_equal(sg_policy_ref(policy), policy);
    sg_policy_unref(policy);
    memset(name, 0, sizeof(name));
    memset(user, 0, sizeof(user));
    memset(exe, 0, sizeof(exe));
    memset(keyset, 0, sizeof(keyset));
    memset(&grant, 0, sizeof(grant));
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_true(decision.is_allowed);
    assert_string_equal(sg_grant_name(decision.grant), "g");
    sg_policy_unref(policy);
}

/* ---- What a denial says ---- */

static void is_denied(const struct sg_config_grant *grants, size_t num, const char *reason,
                      const char *selector, const char *closest)
{
    struct sg_policy *policy = policy_of(grants, num);
    struct sg_decision decision;
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_false(decision.is_allowed);
    assert_string_equal(decision.reason, reason);
    assert_int_equal(decision.selector == NULL, selector == NULL);
    if (selector != NULL) {
        assert_string_equal(decision.selector, selector);
    }
    assert_int_equal(decision.closest == NULL, closest == NULL);
    if (closest != NULL) {
        assert_string_equal(sg_grant_name(decision.closest), closest);
    }
    sg_decision_text(&decision, text, sizeof(text));
    sg_policy_unref(policy);
}

static void test_policy__a_denial_says_how_far_the_nearest_grant_came(void **state)
{
    char *orders[] = {TEXT("orders")};
    struct sg_config_grant grants[] = {grant_of("bobs"), grant_of("verifies"), grant_of("orders"),
                                       grant_of("in-unit"), grant_of("by-exe")};
    (void)state;
    grants[0].who = (struct sg_config_who){.user = TEXT("bob"), .uid = 1001};
    grants[1].may = SG_RIGHT_VERIFY;
    grants[2].keysets = orders;
    grants[3].who.unit = TEXT("other.service");
    grants[4].who.exe = TEXT("/sbin/login");
    is_denied(grants, 1, "NO_GRANT", NULL, "bobs");
    assert_string_equal(text, "grant bobs: user is uid 1000, and has to be bob (uid 1001)");
    is_denied(grants, 2, "NO_GRANT_FOR_RIGHT", NULL, "verifies");
    is_denied(grants, 3, "NO_GRANT_FOR_KEYSET", NULL, "orders");
    is_denied(grants, 4, "SELECTOR_MISSING", "unit", "in-unit");
    is_denied(grants, 5, "SELECTOR_MISSING", "exe", "by-exe");
    assert_string_equal(text, "grant by-exe: exe is /usr/bin/app, and has to be /sbin/login");
}

static void test_policy__a_caller_learns_nothing_of_other_users_grants(void **state)
{
    struct sg_config_grant grants[] = {grant_of("bobs"), grant_of("of-ops")};
    (void)state;
    grants[0].who = (struct sg_config_who){
        .user = TEXT("bob"), .uid = 1001, .exe = TEXT("/sbin/login"), .unit = TEXT("x.service")};
    is_denied(grants, 1, "NO_GRANT", NULL, "bobs");
    /* A group that the caller is not in is as another user. */
    grants[1].who =
        (struct sg_config_who){.group = TEXT("ops"), .gid = 40, .exe = TEXT("/sbin/login")};
    is_denied(grants, 2, "NO_GRANT", NULL, "bobs");
    is_denied(grants + 1, 1, "NO_GRANT", NULL, "of-ops");
    assert_string_equal(
        text, "grant of-ops: group is gid 10; others: 20, 30, and has to be ops (gid 40)");
    /* One of its own, it may know of. */
    grants[1].who.gid = 30;
    is_denied(grants, 2, "SELECTOR_MISSING", "exe", "of-ops");
    grants[1].who =
        (struct sg_config_who){.user = TEXT("alice"), .uid = 1000, .group = TEXT("ops"), .gid = 40};
    is_denied(grants, 2, "SELECTOR_MISSING", "group", "of-ops");
    grants[1].who =
        (struct sg_config_who){.user = TEXT("alice"), .uid = 1000, .has_exe_sha256 = true};
    is_denied(grants, 2, "SELECTOR_MISSING", "exe", "of-ops");
}

static void test_policy__words_are_printable_whatever_a_program_is_called(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.who.exe = TEXT("/bin/x");
    (void)snprintf(identity.all.exe, sizeof(identity.all.exe), "/tmp/a\nb\x1b\xff\\d");
    assert_false(allows(&grant));
    assert_string_equal(text, "grant g: exe is /tmp/a\\x0ab\\x1b\\xff\\d, and has to be /bin/x");
    memset(identity.all.exe, 1, sizeof(identity.all.exe) - 1);
    assert_false(allows(&grant));
    assert_non_null(strstr(text, "\\x01, and has to be /bin/x"));
}

static void test_policy__words_are_cut_to_their_room(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    struct sg_policy *policy = policy_of(&grant, 1);
    struct sg_decision decision;
    char room[40];
    (void)state;
    sg_policy_decide(policy, &peer, SG_RIGHT_ADMIN, "\n\n\n", &decision);
    for (size_t cap = 0; cap <= sizeof(room); cap++) {
        memset(room, 'x', sizeof(room));
        sg_decision_text(&decision, room, cap);
        size_t end = cap == 0 ? 0 : strlen(room);
        assert_true(cap == 0 || end == cap - 1);
        for (size_t i = cap; i < sizeof(room); i++) {
            assert_int_equal(room[i], 'x');
        }
    }
    sg_policy_unref(policy);
}

/* ---- What deciding costs ---- */

static void test_policy__asks_for_facts_only_when_nothing_else_tells(void **state)
{
    char *orders[] = {TEXT("orders")};
    struct sg_config_grant grants[] = {grant_of("a"), grant_of("b"), grant_of("c"), grant_of("d")};
    struct sg_decision decision;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        grants[i].who.exe = TEXT("/bin/x");
        grants[i].who.has_exe_sha256 = true;
    }
    grants[0].who.uid = 1001;
    grants[1].may = SG_RIGHT_VERIFY;
    grants[2].keysets = orders;
    struct sg_policy *policy = policy_of(grants, NUM(grants));
    assert_int_equal(sg_policy_facts(policy), SG_PEER_EXE | SG_PEER_EXE_SHA256);
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, "login", &decision);
    assert_int_equal(sg_grant_index(decision.grant), 3);
    assert_int_equal(identity.num_calls, 0);
    /* With another path, the hash is not asked for. */
    sg_policy_decide(policy, &peer, SG_RIGHT_VERIFY, "login", &decision);
    assert_false(decision.is_allowed);
    assert_int_equal(identity.asked, SG_PEER_EXE);
    sg_policy_unref(policy);
}

static void test_policy__says_when_deciding_may_read_an_executable(void **state)
{
    struct sg_config_grant grants[] = {grant_of("by-hash"), grant_of("by-user")};
    (void)state;
    identity.hash_is_quick = false;
    grants[0].who.exe = TEXT("/usr/bin/app");
    grants[0].who.has_exe_sha256 = true;
    struct sg_policy *policy = policy_of(grants, 2);
    assert_true(sg_policy_needs_slow_facts_any(policy, &peer, SG_RIGHT_SIGN));
    assert_false(sg_policy_needs_slow_facts_any(policy, &peer, SG_RIGHT_VERIFY));
    assert_int_equal(identity.asked & SG_PEER_EXE_SHA256, 0);
    identity.hash_is_quick = true;
    assert_false(sg_policy_needs_slow_facts_any(policy, &peer, SG_RIGHT_SIGN));
    identity.hash_is_quick = false;
    peer.uid++; /* for whom there is no grant */
    assert_false(sg_policy_needs_slow_facts_any(policy, &peer, SG_RIGHT_SIGN));
    peer.uid--;
    peer.identity = NULL;
    assert_false(sg_policy_needs_slow_facts_any(policy, &peer, SG_RIGHT_SIGN));
    sg_policy_unref(policy);
}

/* Some keyset is enough, whichever it is. */
static void test_policy__decides_about_any_keyset(void **state)
{
    static char *one_keyset[] = {TEXT("login")};
    struct sg_config_grant grants[] = {grant_of("signs")};
    struct sg_decision decision;
    (void)state;
    grants[0].keysets = one_keyset;
    struct sg_policy *policy = policy_of(grants, 1);
    sg_policy_decide_any(policy, &peer, SG_RIGHT_SIGN, &decision);
    assert_true(decision.is_allowed);
    sg_policy_decide(policy, &peer, SG_RIGHT_SIGN, NULL, &decision); /* all of them */
    assert_false(decision.is_allowed);
    sg_policy_decide_any(policy, &peer, SG_RIGHT_REVOKE, &decision);
    assert_false(decision.is_allowed);
    assert_string_equal(decision.reason, "NO_GRANT_FOR_RIGHT");
    sg_policy_unref(policy);
}

static void test_policy__facts_are_those_of_the_claim_rules_too(void **state)
{
    struct sg_config_grant grant = grant_of("g");
    (void)state;
    grant.claims.subject = TEXT("${peer.user}");
    grant.who.group = TEXT("ops");
    struct sg_policy *policy = policy_of(&grant, 1);
    assert_int_equal(sg_policy_facts(policy), SG_PEER_USER | SG_PEER_GROUPS);
    sg_policy_unref(policy);
}

/* ---- Explaining ---- */

static void note_step(void *context, const struct sg_explained *step)
{
    size_t *num = context;
    size_t len = strlen(text);
    (*num)++;
    assert_int_equal(step->matches, step->failed == SG_SELECTOR_NONE);
    (void)snprintf(text + len, sizeof(text) - len, "%s %s [%s] [%s]\n", sg_grant_name(step->grant),
                   step->matches ? "decides" : sg_selector_name(step->failed), step->expected,
                   step->actual);
}

static void test_policy__explains_up_to_the_grant_that_decides(void **state)
{
    char *orders[] = {TEXT("orders"), TEXT("o*")};
    struct sg_config_grant grants[] = {grant_of("a"), grant_of("b"), grant_of("c"),
                                       grant_of("d"), grant_of("e"), grant_of("f")};
    size_t num = 0;
    (void)state;
    grants[0].who = (struct sg_config_who){.user = TEXT("1001"), .uid = 1001};
    grants[1].may = SG_RIGHT_ADMIN;
    grants[2].keysets = orders;
    grants[2].num_keysets = 2;
    grants[3].who.unit = TEXT("x.service");
    struct sg_policy *policy = policy_of(grants, NUM(grants));
    text[0] = '\0';
    sg_policy_explain(policy, &peer, SG_RIGHT_SIGN, "login", note_step, &num);
    assert_string_equal(text, "a user [uid 1001] [uid 1000]\n"
                              "b right [admin] [sign]\n"
                              "c keyset [orders or o*] [login]\n"
                              "d unit [x.service] [web@1.service]\n"
                              "e decides [] []\n");
    assert_int_equal(num, 5);
    sg_policy_unref(policy);
}

static void test_policy__selectors_have_names(void **state)
{
    (void)state;
    assert_null(sg_selector_name(SG_SELECTOR_NONE));
    assert_string_equal(sg_selector_name(SG_SELECTOR_EXE_SHA256), "exe_sha256");
    assert_null(sg_selector_name((enum sg_selector)99));
}

/* ---- A matrix against a model ---- */

#define MAX_GRANTS 6u
#define ROUNDS     20000u

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

static char *some_keysets[] = {TEXT("login"), TEXT("orders"), TEXT("lo*"), TEXT("*")};
static const char *const asked_keysets[] = {"login", "orders", "logs", NULL};
static const enum sg_right rights[] = {SG_RIGHT_SIGN, SG_RIGHT_VERIFY, SG_RIGHT_REVOKE,
                                       SG_RIGHT_ADMIN};

static struct sg_config_grant random_grant(void)
{
    static const char *const exes[] = {"/bin/a", "/bin/b"};
    static const char *const units[] = {"a.service", "*.service"};
    struct sg_config_grant grant = {.name = TEXT("g"), .may = 1 + random_below(15)};
    if (random_below(3) != 0) {
        grant.who.user = TEXT("u");
        grant.who.uid = 1 + random_below(2);
    }
    if (random_below(3) == 0) {
        grant.who.group = TEXT("g");
        grant.who.gid = 10 + random_below(3);
    }
    grant.who.exe = random_below(4) == 0 ? TEXT(exes[random_below(2)]) : NULL;
    grant.who.unit = random_below(4) == 0 ? TEXT(units[random_below(2)]) : NULL;
    grant.who.has_exe_sha256 = random_below(6) == 0;
    grant.who.exe_sha256[0] = (uint8_t)random_below(2);
    grant.who.is_anybody = random_below(8) == 0 && grant.who.user == NULL;
    grant.keysets = some_keysets + random_below(NUM(some_keysets));
    grant.num_keysets =
        1 + random_below((uint32_t)(some_keysets + NUM(some_keysets) - grant.keysets));
    return grant;
}

static void random_peer(gid_t *groups)
{
    fake_peer_make(&peer, &identity, 1 + random_below(2), 10 + random_below(3));
    identity.all.known = random_below(32);
    groups[0] = 10 + random_below(3);
    identity.all.groups = groups;
    identity.all.num_groups = random_below(2);
    (void)snprintf(identity.all.exe, sizeof(identity.all.exe), "/bin/%c",
                   'a' + (int)random_below(2));
    (void)snprintf(identity.all.unit, sizeof(identity.all.unit), "%c.service",
                   'a' + (int)random_below(2));
    identity.all.exe_sha256[0] = (uint8_t)random_below(2);
    peer.identity = random_below(8) != 0 ? &identity : NULL;
}

static bool model_knows(unsigned fact)
{
    return peer.identity != NULL && (identity.all.known & fact) != 0;
}

static bool model_in_group(const struct sg_config_who *who)
{
    bool in = who->group == NULL || peer.gid == who->gid;
    for (size_t i = 0; i < identity.all.num_groups; i++) {
        in = in || (model_knows(SG_PEER_GROUPS) && identity.all.groups[i] == who->gid);
    }
    return in;
}

static bool model_is_for_user(const struct sg_config_who *who)
{
    bool asks = who->is_anybody || who->exe != NULL || who->unit != NULL || who->has_exe_sha256;
    return who->user != NULL    ? who->uid == peer.uid
           : who->group != NULL ? model_in_group(who)
                                : asks;
}

static bool model_is_on(const struct sg_config_grant *grant, const char *keyset)
{
    bool on = false;
    for (size_t i = 0; i < grant->num_keysets; i++) {
        const char *glob = grant->keysets[i];
        on = on || strcmp(glob, "*") == 0 ||
             (keyset != NULL && (strcmp(glob, keyset) == 0 ||
                                 (strcmp(glob, "lo*") == 0 && strncmp(keyset, "lo", 2) == 0)));
    }
    return on;
}

static bool model_rest_matches(const struct sg_config_who *who)
{
    const struct sg_peer_facts *all = &identity.all;
    bool exe = who->exe == NULL || (model_knows(SG_PEER_EXE) && strcmp(who->exe, all->exe) == 0);
    bool unit = who->unit == NULL || (model_knows(SG_PEER_UNIT) &&
                                      (who->unit[0] == '*' || strcmp(who->unit, all->unit) == 0));
    bool hash = !who->has_exe_sha256 ||
                (model_knows(SG_PEER_EXE_SHA256) && who->exe_sha256[0] == all->exe_sha256[0]);
    return exe && unit && hash && model_in_group(who);
}

/* The index of the grant that decides, or num. */
static size_t model_decide(const struct sg_config_grant *grants, size_t num, enum sg_right right,
                           const char *keyset)
{
    for (size_t i = 0; i < num; i++) {
        if (model_is_for_user(&grants[i].who) && model_rest_matches(&grants[i].who) &&
            (grants[i].may & (unsigned)right) != 0 && model_is_on(&grants[i], keyset)) {
            return i;
        }
    }
    return num;
}

static const char *model_reason(const struct sg_config_grant *grants, size_t num,
                                enum sg_right right, const char *keyset)
{
    static const char *const reasons[] = {"NO_GRANT", "NO_GRANT_FOR_RIGHT", "NO_GRANT_FOR_KEYSET",
                                          "SELECTOR_MISSING"};
    size_t best = 0;
    for (size_t i = 0; i < num; i++) {
        bool right_matches = (grants[i].may & (unsigned)right) != 0;
        size_t level = !model_is_for_user(&grants[i].who) ? 0
                       : !right_matches                   ? 1
                       : !model_is_on(&grants[i], keyset) ? 2
                                                          : 3;
        best = level > best ? level : best;
    }
    return reasons[best];
}

/* Decides anew, as if for the first time. */
static size_t decide(const struct sg_config_grant *grants, size_t num, enum sg_right right,
                     const char *keyset, struct sg_decision *decision)
{
    struct sg_policy *policy = policy_of(grants, num);
    identity.asked = 0;
    bool slow = sg_policy_needs_slow_facts_any(policy, &peer, right);
    assert_int_equal(identity.asked & SG_PEER_EXE_SHA256, 0);
    sg_policy_decide(policy, &peer, right, keyset, decision);
    assert_true(slow || (identity.asked & SG_PEER_EXE_SHA256) == 0);
    size_t index = decision->is_allowed ? sg_grant_index(decision->grant) : num;
    sg_decision_text(decision, text, sizeof(text));
    sg_policy_unref(policy);
    return index;
}

/* Without the grants of others, a caller is told the same. */
static void hides_others(const struct sg_config_grant *grants, size_t num, enum sg_right right,
                         const char *keyset, const struct sg_decision *told)
{
    struct sg_config_grant own[MAX_GRANTS];
    struct sg_decision decision;
    size_t num_own = 0;
    for (size_t i = 0; i < num; i++) {
        if (model_is_for_user(&grants[i].who)) {
            own[num_own++] = grants[i];
        }
    }
    (void)decide(own, num_own, right, keyset, &decision);
    assert_string_equal(decision.reason, told->reason);
    assert_ptr_equal(decision.selector, told->selector);
}

static void test_policy__agrees_with_a_plain_model(void **state)
{
    struct sg_config_grant grants[MAX_GRANTS];
    struct sg_decision decision;
    gid_t groups[1];
    size_t num_allowed = 0;
    (void)state;
    random_state = 0x5e1ec7ed;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t num = random_below(MAX_GRANTS + 1);
        for (size_t i = 0; i < num; i++) {
            grants[i] = random_grant();
        }
        random_peer(groups);
        enum sg_right right = rights[random_below(NUM(rights))];
        const char *keyset = asked_keysets[random_below(NUM(asked_keysets))];
        size_t expected = model_decide(grants, num, right, keyset);
        assert_int_equal(decide(grants, num, right, keyset, &decision), expected);
        if (expected == num) {
            assert_string_equal(decision.reason, model_reason(grants, num, right, keyset));
            hides_others(grants, num, right, keyset, &decision);
            continue;
        }
        num_allowed++;
        /* What comes after the grant that decides is of no matter. */
        for (size_t i = expected + 1; i < MAX_GRANTS; i++) {
            grants[i] = random_grant();
        }
        num = expected + 1 + random_below((uint32_t)(MAX_GRANTS - expected));
        assert_int_equal(decide(grants, num, right, keyset, &decision), expected);
    }
    assert_in_range(num_allowed, ROUNDS / 10, ROUNDS * 9 / 10); /* both were seen, often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_policy__without_grants_the_answer_is_no, setup),
        cmocka_unit_test_setup(test_policy__user, setup),
        cmocka_unit_test_setup(test_policy__who_is_empty_is_nobody, setup),
        cmocka_unit_test_setup(test_policy__right, setup),
        cmocka_unit_test_setup(test_policy__keysets, setup),
        cmocka_unit_test_setup(test_policy__what_is_of_no_one_keyset_needs_all_of_them, setup),
        cmocka_unit_test_setup(test_policy__group_is_ones_own_or_a_supplementary_one, setup),
        cmocka_unit_test_setup(test_policy__unit_is_a_glob, setup),
        cmocka_unit_test_setup(test_policy__exe_is_a_path_and_its_hash, setup),
        cmocka_unit_test_setup(test_policy__what_is_not_known_does_not_match, setup),
        cmocka_unit_test_setup(test_policy__the_first_that_matches_decides, setup),
        cmocka_unit_test_setup(test_policy__outlives_what_it_was_made_of, setup),
        cmocka_unit_test_setup(test_policy__a_denial_says_how_far_the_nearest_grant_came, setup),
        cmocka_unit_test_setup(test_policy__a_caller_learns_nothing_of_other_users_grants, setup),
        cmocka_unit_test_setup(test_policy__words_are_printable_whatever_a_program_is_called,
                               setup),
        cmocka_unit_test_setup(test_policy__words_are_cut_to_their_room, setup),
        cmocka_unit_test_setup(test_policy__asks_for_facts_only_when_nothing_else_tells, setup),
        cmocka_unit_test_setup(test_policy__says_when_deciding_may_read_an_executable, setup),
        cmocka_unit_test_setup(test_policy__decides_about_any_keyset, setup),
        cmocka_unit_test_setup(test_policy__facts_are_those_of_the_claim_rules_too, setup),
        cmocka_unit_test_setup(test_policy__explains_up_to_the_grant_that_decides, setup),
        cmocka_unit_test_setup(test_policy__selectors_have_names, setup),
        cmocka_unit_test_setup(test_policy__agrees_with_a_plain_model, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
