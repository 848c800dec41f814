/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants in words, and what is said of ones that are not likely to be meant; and that nothing is said of ones that
 * are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_fixture.h"
#include "server/config.h"
#include "server/grant_text.h"
#include "server/text.h"
#include "tests/support/files.h"

#define KEYSETS                                                                                    \
    "trust_dir: /nowhere/trust.d\n"                                                                \
    "keysets:\n"                                                                                   \
    "  - {name: login, alg: ES256, issuer: a}\n"                                                   \
    "  - {name: orders, alg: ES256, issuer: a, max_ttl: 30m}\n"                                    \
    "grants:\n" /* from line 6 on */

/* ---- Collecting ---- */

static void text_collect(void *context, const char *line)
{
    sg_text_add(context, "%s\n", line);
}

/* What is said of a configuration's grants must be expected, each line ended by a newline. */
static void text_expect(const struct test_config_file *file, const char *grants,
                        void (*say)(const struct sg_config *config,
                                    void (*line)(void *context, const char *text), void *context),
                        const char *expected)
{
    struct sg_text text = {0}, said = {0};
    sg_text_add(&text, KEYSETS "%s", grants);
    struct sg_config *config = test_config_load_good(file, sg_text_get(&text));
    say(config, text_collect, &said);
    if (strcmp(sg_text_get(&said), expected) != 0) {
        fail_msg("of:\n%s\nexpected:\n%s\nbut got:\n%s", grants, expected, sg_text_get(&said));
    }
    sg_config_free(config);
    sg_text_fini(&said);
    sg_text_fini(&text);
}

struct text_row {
    const char *grants, *expected;
};

static void text_expect_warnings(void **state, const struct text_row *rows, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        text_expect(*state, rows[i].grants, sg_grants_warn, rows[i].expected);
    }
}
#define EXPECT_WARNINGS(state, rows)                                                               \
    text_expect_warnings(state, rows, sizeof(rows) / sizeof((rows)[0]))

/* ---- Words ---- */

static void test_describe__says_all_of_a_grant(void **state)
{
    static const struct text_row rows[] = {
        {"  - name: g\n    who: {user: root}\n    may: [verify]\n    keysets: [login]\n",
         "grant g: processes of user root (uid 0) may verify with keyset login\n"},
        {"  - name: g\n    who: {user: 1001, group: 7}\n    may: [revoke, verify]\n"
         "    keysets: [login, orders]\n",
         "grant g: processes of user 1001 in group 7 may verify and revoke with keysets login and "
         "orders\n"},
        {"  - name: g\n    who: {anybody: true}\n    may: [admin, revoke, verify]\n"
         "    keysets: [\"*\"]\n",
         "grant g: all processes may verify, revoke and administer with any keyset\n"},
        {"  - name: g\n    who: {unit: \"worker@*.service\"}\n    may: [sign]\n    keysets: [login]\n",
         "grant g: processes of unit worker@*.service may sign with keyset login; tokens are for any "
         "audience and any subject; callers may set any claim\n"},
        {"  - name: g\n    who:\n      exe_sha256: "
         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
         "    may: [verify]\n    keysets: [\"*log*\"]\n",
         "grant g: processes that run a file with SHA-256 "
         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff may verify with keysets "
         "*log*\n"},
        {"  - name: login-signs\n"
         "    who:\n"
         "      user: root\n"
         "      group: root\n"
         "      unit: login.service\n"
         "      exe: /\xc3\xb6/a b\n"
         "      exe_sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
         "    may: [sign, verify]\n"
         "    keysets: [login]\n"
         "    max_live_tokens: 100000\n"
         "    claims:\n"
         "      allowed: [role, \"x-*\", a b]\n"
         "      required: [role]\n"
         "      denied: [admin, root]\n"
         "      forced:\n"
         "        - {name: service, value: \"${peer.unit}\"}\n"
         "        - {name: by, value: \"${peer.user}\"}\n"
         "      audiences: [orders, \"billing-*\"]\n"
         "      subject: \"user-*\"\n"
         "      max_ttl: 1h\n"
         "      max_payload: 2048\n"
         "      allow_sensitive: true\n",
         "grant login-signs: processes of user root (uid 0) in group root (gid 0) of unit login.service "
         "that run \"/\xc3\xb6/a b\" with SHA-256 "
         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff may sign and verify with "
         "keyset login; tokens are for audiences orders and billing-* and subject user-*, for at most "
         "1 h; callers may set claims role, x-* and \"a b\" only, not admin and root, and have to set "
         "role; service is set to \"${peer.unit}\" and by is set to \"${peer.user}\"; claims take at most "
         "2048 bytes; claims that look like secrets are let through; it is frozen at more than 100000 "
         "live tokens\n"
         "  note: /\xc3\xb6/a b is not there now\n"},
        {"  - name: g\n    who: {user: 1}\n    may: [sign]\n    keysets: [login]\n"
         "    claims: {allowed: [], audiences: [x], max_ttl: 90s}\n",
         "grant g: processes of user 1 may sign with keyset login; tokens are for audience x and any "
         "subject, for at most 90 s; callers may set no claim\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        text_expect(*state, rows[i].grants, sg_grants_describe, rows[i].expected);
    }
    text_expect(*state, "  []\n", sg_grants_describe, "");
}

static void test_describe__notes_what_may_be_right(void **state)
{
    static const struct text_row rows[] = {
        {"  - {name: g, who: {user: 1}, may: [verify], keysets: [login, logni, \"b*\"]}\n",
         "grant g: processes of user 1 may verify with keysets login, logni and b*\n"
         "  note: logni matches no keyset here; right if /nowhere/trust.d has an issuer of that name\n"
         "  note: b* matches no keyset here; right if /nowhere/trust.d has an issuer of that name\n"},
        {"  - {name: g, who: {user: 1}, may: [revoke], keysets: [login, logni]}\n",
         "grant g: processes of user 1 may revoke with keysets login and logni\n"
         "  note: logni matches no keyset here\n"},
        {"  - {name: g, who: {user: 1}, may: [verify], keysets: [login], max_live_tokens: 3}\n"
         "  - {name: h, who: {user: 1}, may: [verify], keysets: [login], claims: {subject: a}}\n",
         "grant g: processes of user 1 may verify with keyset login\n"
         "  note: claims and max_live_tokens are for signing, which it does not allow\n"
         "grant h: processes of user 1 may verify with keyset login\n"
         "  note: claims and max_live_tokens are for signing, which it does not allow\n"},
        {"  - {name: g, who: {user: 1}, may: [sign], keysets: [\"*\"], claims: {max_ttl: 2d}}\n",
         "grant g: processes of user 1 may sign with any keyset; tokens are for any audience and any "
         "subject, for at most 2 d; callers may set any claim\n"
         "  note: keyset login has a max_ttl of 1 d, which is less and counts\n"},
        {"  - {name: g, who: {user: 1}, may: [sign], keysets: [\"*\"], claims: {max_ttl: 1h}}\n",
         "grant g: processes of user 1 may sign with any keyset; tokens are for any audience and any "
         "subject, for at most 1 h; callers may set any claim\n"
         "  note: keyset orders has a max_ttl of 30 min, which is less and counts\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        text_expect(*state, rows[i].grants, sg_grants_describe, rows[i].expected);
    }
}

/* ---- Warnings ---- */

static void test_warn__says_nothing_of_good_ones(void **state)
{
    static const struct text_row rows[] = {
        {"  - {name: a, who: {user: 1}, may: [sign, verify], keysets: [login]}\n"
         "  - {name: b, who: {user: 2}, may: [sign, verify], keysets: [login]}\n"
         "  - {name: c, who: {user: 1}, may: [sign, verify], keysets: [orders]}\n"
         "  - {name: d, who: {user: 1}, may: [revoke], keysets: [login]}\n"
         "  - {name: e, who: {group: 1}, may: [sign, verify], keysets: [login]}\n"
         "  - {name: f, who: {anybody: true}, may: [verify], keysets: [\"*\"]}\n",
         ""},
        /* The narrower one first. */
        {"  - {name: a, who: {user: 1, unit: a.service}, may: [sign], keysets: [login]}\n"
         "  - {name: b, who: {user: 1}, may: [sign], keysets: [\"log*\"]}\n"
         "  - {name: c, who: {user: 1}, may: [sign], keysets: [\"*\"]}\n",
         ""},
        {"  - name: a\n    who: {user: 1}\n    may: [sign]\n    keysets: [login]\n"
         "    claims: {allowed: [\"r*\"], required: [role], denied: [admin]}\n",
         ""},
    };
    EXPECT_WARNINGS(state, rows);
}

static void test_warn__says_that_there_are_none(void **state)
{
    static const struct text_row rows[] = {
        {"  []\n",
         "there are no grants: only root and the daemon's own user, on admin.sock, may do "
         "anything; see \"grants\" in signet.yaml(5)\n"},
    };
    EXPECT_WARNINGS(state, rows);
}

static void test_warn__says_what_anybody_may(void **state)
{
    static const struct text_row rows[] = {
        {"  - {name: a, who: {anybody: true}, may: [sign, verify, revoke, admin], keysets: [login]}\n",
         "grant a (line 6): anybody may sign: every process that can open the socket gets tokens of "
         "it\n"
         "grant a (line 6): anybody may revoke: every process that can open the socket can end others' "
         "tokens\n"
         "grant a (line 6): anybody may administer: every process that can open admin.sock\n"},
    };
    EXPECT_WARNINGS(state, rows);
}

static void test_warn__says_what_can_never_be(void **state)
{
    static const struct text_row rows[] = {
        {"  - {name: a, who: {user: 1}, may: [sign], keysets: [logni, \"b*\"]}\n",
         "grant a (line 6): can never match: it is for none of the keysets here\n"},
        {"  - {name: a, who: {user: 1}, may: [verify], keysets: [logni]}\n",
         "grant a (line 6): can never match: it is for none of the keysets here, unless "
         "/nowhere/trust.d has an issuer of such a name\n"},
        {"  - name: a\n    who: {user: 1}\n    may: [sign]\n    keysets: [login]\n"
         "    claims: {required: [role, admin], denied: [\"a*\"]}\n",
         "grant a (line 6): can never sign: claim \"admin\" is required, and denied\n"},
        /* Callers may set what they have to. */
        {"  - name: a\n    who: {user: 1}\n    may: [sign]\n    keysets: [login]\n"
         "    claims: {allowed: [\"r*\"], required: [role, admin]}\n",
         ""},
        {"  - name: a\n    who: {user: 1}\n    may: [sign]\n    keysets: [login]\n"
         "    claims: {allowed: [], required: [role]}\n",
         ""},
        /* It does not sign at all. */
        {"  - name: a\n    who: {user: 1}\n    may: [verify]\n    keysets: [login]\n"
         "    claims: {allowed: [], required: [role]}\n",
         ""},
    };
    EXPECT_WARNINGS(state, rows);
}

static void test_warn__says_that_a_path_is_another(void **state)
{
    const struct test_config_file *file = *state;
    char link[120], target[120], grants[400], expected[500];
    (void)snprintf(link, sizeof(link), "%s/link", file->dir);
    (void)snprintf(target, sizeof(target), "%s/target", file->dir);
    char *real_dir = realpath(file->dir, NULL);
    assert_non_null(real_dir);
    test_write_file(target, "", 0);
    assert_int_equal(symlink("target", link), 0);
    (void)snprintf(grants, sizeof(grants),
                   "  - {name: a, who: {exe: %s}, may: [verify], keysets: [login]}\n", link);
    (void)snprintf(expected, sizeof(expected),
                   "grant a (line 6): can never match: %s leads to %s/target, which is how its "
                   "processes are known; write that\n",
                   link, real_dir);
    text_expect(*state, grants, sg_grants_warn, expected);
    (void)snprintf(grants, sizeof(grants),
                   "  - {name: a, who: {exe: %s/target}, may: [verify], keysets: [login]}\n",
                   real_dir);
    text_expect(*state, grants, sg_grants_warn, "");
    text_expect(*state, "  - {name: a, who: {exe: /nowhere}, may: [verify], keysets: [login]}\n",
                sg_grants_warn, "");
    free(real_dir);
}

#define WHO_A     "user: 1, unit: \"a*\", exe: /nowhere, group: 7"
#define SHA       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER_SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0"
#define ALL_TAKEN "grant b (line 7): never decides: grant a (line 6) comes first\n"

static void test_warn__says_that_an_earlier_one_takes_all(void **state)
{
    static const struct {
        const char *first, *second;
        bool covers;
    } whos[] = {
        {"user: 1", "user: 1", true},
        {"user: 1", "user: 1, group: 1", true},
        {"user: 1, group: 1", "user: 1", false},
        {"user: 1", "user: 2", false},
        {"user: 0", "user: root", true},
        {"user: 0", "group: 0", false},
        {"group: 0", "user: 0", false},
        {"group: 3", "group: 3, unit: a.service", true},
        {"group: 3", "group: 4", false},
        {"unit: \"*\"", "unit: a.service", true},
        {"unit: \"a*\"", "unit: \"ab*\"", true},
        {"unit: \"ab*\"", "unit: \"a*\"", false},
        {"unit: \"*\"", "user: 1", false},
        {"exe: /nowhere/a", "exe: /nowhere/a, user: 1", true},
        {"exe: /nowhere/a", "exe: /nowhere/b", false},
        {"exe_sha256: " SHA, "exe_sha256: " SHA ", exe: /nowhere/a", true},
        {"exe_sha256: " SHA, "exe: /nowhere/a", false},
        {"exe: /nowhere/a", "exe_sha256: " SHA, false},
        {"exe_sha256: " SHA, "exe_sha256: " OTHER_SHA, false},
        {WHO_A, WHO_A, true},
        {"anybody: true", WHO_A, true},
        {"anybody: true", "anybody: true", true},
        {WHO_A, "anybody: true", false},
    };
    for (size_t i = 0; i < sizeof(whos) / sizeof(whos[0]); i++) {
        char grants[600];
        (void)snprintf(grants, sizeof(grants),
                       "  - {name: a, who: {%s}, may: [verify], keysets: [login]}\n"
                       "  - {name: b, who: {%s}, may: [verify], keysets: [login]}\n",
                       whos[i].first, whos[i].second);
        text_expect(*state, grants, sg_grants_warn, whos[i].covers ? ALL_TAKEN : "");
    }
}

static void test_warn__says_what_earlier_ones_take(void **state)
{
    static const struct text_row rows[] = {
        {"  - {name: a, who: {user: 1}, may: [sign, verify, admin], keysets: [\"*\"]}\n"
         "  - {name: b, who: {user: 1}, may: [sign, verify], keysets: [login, \"or*\"]}\n",
         ALL_TAKEN},
        /* By two together. */
        {"  - {name: a, who: {user: 1}, may: [sign], keysets: [login]}\n"
         "  - {name: c, who: {user: 1}, may: [sign], keysets: [\"o*\"]}\n"
         "  - {name: b, who: {user: 1}, may: [sign], keysets: [orders, login]}\n",
         "grant b (line 8): never decides: grant c (line 7) comes first\n"},
        /* A right. */
        {"  - {name: a, who: {user: 1}, may: [verify], keysets: [\"*\"]}\n"
         "  - {name: b, who: {user: 1}, may: [sign, verify], keysets: [login, orders]}\n",
         "grant b (line 7): its verify never decides: grant a (line 6) comes first\n"},
        /* A right, for some. */
        {"  - {name: a, who: {user: 1}, may: [verify, revoke], keysets: [login, \"t*\"]}\n"
         "  - {name: b, who: {user: 1}, may: [sign, verify], keysets: [login, orders, \"t*\"]}\n",
         "grant b (line 7): its verify never decides for login, t*: grant a (line 6) comes first\n"},
        /* All rights, for some. */
        {"  - {name: a, who: {user: 1}, may: [sign, verify], keysets: [login]}\n"
         "  - {name: b, who: {user: 1}, may: [sign, verify], keysets: [login, orders]}\n",
         "grant b (line 7): its sign never decides for login: grant a (line 6) comes first\n"
         "grant b (line 7): its verify never decides for login: grant a (line 6) comes first\n"},
        {"  - {name: a, who: {user: 1}, may: [sign], keysets: [login]}\n"
         "  - {name: b, who: {user: 1}, may: [sign], keysets: [\"log*\"]}\n",
         ""},
    };
    EXPECT_WARNINGS(state, rows);
}

/* ---- The largest ---- */

static void text_count(void *context, const char *line)
{
    size_t *num = context;
    *num += line[0] != '\0' ? 1 : 0;
}

/* As many grants as there can be, each with as many globs as it can have, none of which is for what another is
 * for: beyond what is compared, it is said that it was not. */
static void test_warn__ends_for_the_largest(void **state)
{
    struct sg_text text = {0}, said = {0};
    sg_text_add(&text, KEYSETS);
    for (unsigned i = 0; i < 1024; i++) {
        sg_text_add(&text, "  - {name: g%u, who: {user: 1}, may: [verify], keysets: [", i);
        for (unsigned k = 0; k < SG_CONFIG_MAX_LIST; k++) {
            sg_text_add(&text, "%s\"*%u-%u*\"", k > 0 ? "," : "", i, k);
        }
        sg_text_add(&text, "]}\n");
    }
    struct sg_config *config = test_config_load_good(*state, sg_text_get(&text));
    sg_grants_warn(config, text_collect, &said);
    assert_non_null(strstr(sg_text_get(&said), "were not compared with the ones before them"));
    size_t num = 0;
    sg_grants_describe(config, text_count, &num);
    assert_in_range(num, 1024, 1024 * (1 + SG_CONFIG_MAX_LIST));
    sg_config_free(config);
    sg_text_fini(&said);
    sg_text_fini(&text);
}

#define TEXT_TEST(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, test_config_setup, test_config_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(test_describe__says_all_of_a_grant),
        TEXT_TEST(test_describe__notes_what_may_be_right),
        TEXT_TEST(test_warn__says_nothing_of_good_ones),
        TEXT_TEST(test_warn__says_that_there_are_none),
        TEXT_TEST(test_warn__says_what_anybody_may),
        TEXT_TEST(test_warn__says_what_can_never_be),
        TEXT_TEST(test_warn__says_that_a_path_is_another),
        TEXT_TEST(test_warn__says_that_an_earlier_one_takes_all),
        TEXT_TEST(test_warn__says_what_earlier_ones_take),
        TEXT_TEST(test_warn__ends_for_the_largest),
    };
    return cmocka_run_group_tests_name("grant_text", tests, NULL, NULL);
}
