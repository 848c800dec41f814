/* SPDX-License-Identifier: Apache-2.0
 *
 * The grants of the configuration: all of one is read, and whatever cannot be meant is refused with file, line, key
 * and what was expected.
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

#include "common/limits.h"
#include "config_fixture.h"
#include "server/config.h"

#define KEYSETS "keysets:\n  - {name: login, alg: ES256, issuer: a}\n"
/* A grant that is good but for what is added to it, from line 8 on. */
#define GRANT                                                                                      \
    KEYSETS "grants:\n"                                                                            \
            "  - name: g\n"                                                                        \
            "    who: {user: 1001}\n"                                                              \
            "    may: [sign]\n"                                                                    \
            "    keysets: [login]\n"
#define CLAIMS GRANT "    claims:\n" /* from line 9 on */

static const struct sg_config_grant *grants_only(const struct sg_config *config)
{
    assert_int_equal(config->num_grants, 1);
    return &config->grants[0];
}

/* ---- Good ones ---- */

static void test_grants__full_one_is_read_in_full(void **state)
{
    static const char text[] =
        KEYSETS "grants:\n"
                "  - name: login-signs\n"
                "    who:\n"
                "      user: root\n"
                "      group: root\n"
                "      exe: /usr/sbin/login\n"
                "      exe_sha256: "
                "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100\n"
                "      unit: login@*.service\n"
                "    may: [sign, verify, sign]\n"
                "    keysets: [login, \"team-*\"]\n"
                "    max_live_tokens: 100000\n"
                "    claims:\n"
                "      allowed: [role, \"x-*\"]\n"
                "      required: [role]\n"
                "      denied: [admin]\n"
                "      forced:\n"
                "        - {name: service, value: \"${peer.unit}\"}\n"
                "        - {name: who, value: \"${peer.user}/${peer.uid}:${peer.gid} $1 {}\"}\n"
                "      audiences: [orders, \"billing-${peer.user}-*\"]\n"
                "      subject: \"user-*\"\n"
                "      max_ttl: 1h\n"
                "      max_payload: 2048\n"
                "      allow_sensitive: true\n";
    struct sg_config *config = test_config_load_good(*state, text);
    const struct sg_config_grant *grant = grants_only(config);
    assert_string_equal(grant->name, "login-signs");
    assert_int_equal(grant->line, 4);
    assert_false(grant->who.is_anybody);
    assert_string_equal(grant->who.user, "root");
    assert_int_equal(grant->who.uid, 0);
    assert_string_equal(grant->who.group, "root");
    assert_int_equal(grant->who.gid, 0);
    assert_string_equal(grant->who.exe, "/usr/sbin/login");
    assert_true(grant->who.has_exe_sha256);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(grant->who.exe_sha256[i], 0x11 * (i < 16 ? i : 31 - i));
    }
    assert_string_equal(grant->who.unit, "login@*.service");
    assert_int_equal(grant->may, SG_RIGHT_SIGN | SG_RIGHT_VERIFY);
    assert_int_equal(grant->num_keysets, 2);
    assert_string_equal(grant->keysets[0], "login");
    assert_string_equal(grant->keysets[1], "team-*");
    assert_int_equal(grant->max_live_tokens, 100000);

    const struct sg_config_claim_rules *claims = &grant->claims;
    assert_true(claims->has_allowed);
    assert_int_equal(claims->num_allowed, 2);
    assert_string_equal(claims->allowed[1], "x-*");
    assert_int_equal(claims->num_required, 1);
    assert_string_equal(claims->required[0], "role");
    assert_int_equal(claims->num_denied, 1);
    assert_string_equal(claims->denied[0], "admin");
    assert_int_equal(claims->num_forced, 2);
    assert_string_equal(claims->forced[0].name, "service");
    assert_string_equal(claims->forced[0].value, "${peer.unit}");
    assert_string_equal(claims->forced[1].value, "${peer.user}/${peer.uid}:${peer.gid} $1 {}");
    assert_int_equal(claims->num_audiences, 2);
    assert_string_equal(claims->audiences[1], "billing-${peer.user}-*");
    assert_string_equal(claims->subject, "user-*");
    assert_int_equal(claims->max_ttl_s, 3600);
    assert_int_equal(claims->max_payload_len, 2048);
    assert_true(claims->allow_sensitive);
    sg_config_free(config);
}

static void test_grants__small_one_has_no_rules(void **state)
{
    struct sg_config *config = test_config_load_good(*state, GRANT);
    const struct sg_config_grant *grant = grants_only(config);
    assert_string_equal(grant->who.user, "1001");
    assert_int_equal(grant->who.uid, 1001);
    assert_null(grant->who.group);
    assert_null(grant->who.exe);
    assert_false(grant->who.has_exe_sha256);
    assert_null(grant->who.unit);
    assert_int_equal(grant->may, SG_RIGHT_SIGN);
    assert_int_equal(grant->max_live_tokens, 0);
    assert_false(grant->claims.has_allowed);
    assert_int_equal(grant->claims.num_required + grant->claims.num_denied, 0);
    assert_int_equal(grant->claims.num_forced + grant->claims.num_audiences, 0);
    assert_null(grant->claims.subject);
    assert_int_equal(grant->claims.max_ttl_s, 0);
    assert_int_equal(grant->claims.max_payload_len, 0);
    assert_false(grant->claims.allow_sensitive);
    sg_config_free(config);
}

static void test_grants__stay_in_their_order(void **state)
{
    struct sg_config *config = test_config_load_good(
        *state, KEYSETS "grants:\n"
                        "  - {name: z, who: {anybody: true}, may: [verify], keysets: [\"*\"]}\n"
                        "  - {name: a, who: {anybody: false, unit: a.service}, may: [admin],\n"
                        "     keysets: [login]}\n"
                        "  - {name: m, who: {group: 4294967294}, may: [revoke], keysets: [x]}\n");
    assert_int_equal(config->num_grants, 3);
    assert_string_equal(config->grants[0].name, "z");
    assert_true(config->grants[0].who.is_anybody);
    assert_int_equal(config->grants[0].may, SG_RIGHT_VERIFY);
    assert_string_equal(config->grants[1].name, "a");
    assert_false(config->grants[1].who.is_anybody);
    assert_int_equal(config->grants[1].may, SG_RIGHT_ADMIN);
    assert_int_equal(config->grants[1].line, 5);
    assert_string_equal(config->grants[2].name, "m");
    assert_int_equal(config->grants[2].may, SG_RIGHT_REVOKE);
    assert_int_equal(config->grants[2].who.gid, UINT32_C(4294967294));
    assert_int_equal(config->grants[2].line, 7);
    sg_config_free(config);
}

/* Not the same as none: nothing is allowed. */
static void test_grants__empty_list_of_allowed_claims_is_one(void **state)
{
    struct sg_config *config = test_config_load_good(*state, CLAIMS "      allowed: []\n");
    assert_true(grants_only(config)->claims.has_allowed);
    assert_int_equal(grants_only(config)->claims.num_allowed, 0);
    sg_config_free(config);
    config = test_config_load_good(*state, CLAIMS "      denied: []\n      required: []\n");
    assert_false(grants_only(config)->claims.has_allowed);
    sg_config_free(config);
}

static void test_grants__limits_are_within_reach(void **state)
{
    char text[20000];
    size_t used = (size_t)snprintf(text, sizeof(text), CLAIMS "      subject: \"");
    memset(text + used, '*', 255);
    used += 255;
    used += (size_t)snprintf(text + used, sizeof(text) - used,
                             "\"\n      max_ttl: 366d\n      max_payload: %u\n      allowed:\n",
                             SG_MAX_CLAIMS_JSON_LEN);
    for (unsigned i = 0; i < SG_CONFIG_MAX_LIST; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "        - c%0254u\n", i);
    }
    (void)snprintf(text + used, sizeof(text) - used, "    max_live_tokens: 4294967295\n");
    struct sg_config *config = test_config_load_good(*state, text);
    const struct sg_config_grant *grant = grants_only(config);
    assert_int_equal(strlen(grant->claims.subject), 255);
    assert_int_equal(grant->claims.max_ttl_s, 366 * 86400);
    assert_int_equal(grant->claims.max_payload_len, SG_MAX_CLAIMS_JSON_LEN);
    assert_int_equal(grant->claims.num_allowed, SG_CONFIG_MAX_LIST);
    assert_int_equal(grant->max_live_tokens, UINT32_MAX);
    sg_config_free(config);
}

/* num grants, one a line; to be freed. */
static char *grants_text_of(size_t num)
{
    size_t cap = num * 80 + 100;
    char *text = malloc(cap);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, cap, KEYSETS "grants:\n");
    for (size_t i = 0; i < num; i++) {
        used +=
            (size_t)snprintf(text + used, cap - used,
                             "  - {name: g%zu, who: {user: 1}, may: [sign], keysets: [a]}\n", i);
    }
    return text;
}

static void test_grants__are_1024_at_most(void **state)
{
    char *text = grants_text_of(1024);
    struct sg_config *config = test_config_load_good(*state, text);
    assert_int_equal(config->num_grants, 1024);
    assert_int_equal(config->grants[1023].line, 4 + 1023);
    sg_config_free(config);
    free(text);
    text = grants_text_of(1025);
    test_config_expect_fault(*state, text, 3, "grants: 1025 grants; expected at most 1024");
    free(text);
}

/* ---- Bad ones ---- */

struct grants_row {
    const char *text;
    unsigned line;
    const char *what;
};

static void grants_expect_faults(void **state, const struct grants_row *rows, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        test_config_expect_fault(*state, rows[i].text, rows[i].line, rows[i].what);
    }
}
#define EXPECT_FAULTS(state, rows)                                                                 \
    grants_expect_faults(state, rows, sizeof(rows) / sizeof((rows)[0]))

#define WHO(who)                                                                                   \
    KEYSETS "grants:\n  - name: g\n    may: [sign]\n    keysets: [a]\n    who: " who "\n"

static void test_grants__who_is_refused_with_its_line(void **state)
{
    static const struct grants_row rows[] = {
        {KEYSETS "grants:\n  - {name: g, may: [sign], keysets: [a]}\n", 4,
         "grants[0].who.user: who is for nobody; expected at least one of user, group, exe, exe_sha256 "
         "and unit, or \"anybody: true\""},
        {WHO("{}"), 7, "who is for nobody"},
        {WHO("{anybody: false}"), 7, "who is for nobody"},
        {WHO("{anybody: yes}"), 7,
         "grants[0].who.anybody: \"yes\" is not good; expected true or false"},
        {WHO("{anybody: true, user: root}"), 7,
         "grants[0].who.anybody: anybody is not only who the other keys name"},
        {WHO("{user: no-such-user}"), 7,
         "grants[0].who.user: there is no user \"no-such-user\" here; expected one that \"getent "
         "passwd\" knows, or a number"},
        {WHO("{group: no-such-group}"), 7,
         "grants[0].who.group: there is no group \"no-such-group\" here; expected one that \"getent "
         "group\" knows"},
        {WHO("{user: \"\"}"), 7,
         "grants[0].who.user: \"\" is not good; expected the name of a user"},
        {WHO("{user: \"root:x\"}"), 7, "grants[0].who.user: \"root:x\" is not good"},
        {WHO("{user: \"root\\n\"}"), 7, "grants[0].who.user: \"root?\" is not good"},
        {WHO("{user: -1}"), 7, "grants[0].who.user: there is no user \"-1\""},
        {WHO("{user: 4294967295}"), 7,
         "grants[0].who.user: \"4294967295\" is not good; expected a number up to 4294967294"},
        {WHO("{user: 4294967296}"), 7, "grants[0].who.user: \"4294967296\" is not good"},
        {WHO("{user: 18446744073709551616}"), 7, "grants[0].who.user:"},
        {WHO("{group: 4294967295}"), 7, "grants[0].who.group:"},
        {WHO("{exe: login}"), 7,
         "grants[0].who.exe: \"login\" is not good; expected an absolute path "
         "of at most 1023 bytes"},
        {WHO("{exe: /usr/../bin/login}"), 7, "grants[0].who.exe:"},
        {WHO("{exe: /usr/*}\n    x: y"), 8, "grants[0].x: there is no such key"},
        {WHO("{exe_sha256: 0011}"), 7,
         "grants[0].who.exe_sha256: \"0011\" is not good; expected 64 hexadecimal digits"},
        {WHO("{exe_sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeefg}"), 7,
         "grants[0].who.exe_sha256:"},
        {WHO("{exe_sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0}"), 7,
         "grants[0].who.exe_sha256:"},
        {WHO("{unit: login}"), 7,
         "grants[0].who.unit: \"login\" is not good; expected a unit of systemd with its type, such "
         "as login.service"},
        {WHO("{unit: \"a b.service\"}"), 7, "grants[0].who.unit:"},
        {WHO("{unit: /a.service}"), 7, "grants[0].who.unit:"},
        {WHO("root"), 7, "grants[0].who: expected keys with values"},
        {WHO("[root]"), 7, "grants[0].who: expected keys with values"},
        {WHO("{uid: 3}"), 7,
         "grants[0].who.uid: there is no such key; expected one of user, group"},
    };
    EXPECT_FAULTS(state, rows);
}

static void test_grants__names_rights_and_keysets_are_refused_with_their_line(void **state)
{
    static const struct grants_row rows[] = {
        {KEYSETS "grants:\n  - {who: {user: 1}, may: [sign], keysets: [a]}\n", 4,
         "grants[0].name: is missing; expected 1 to 64 of a-z 0-9 . _ -"},
        {KEYSETS "grants:\n  - {name: A, who: {user: 1}, may: [sign], keysets: [a]}\n", 4,
         "grants[0].name: \"A\" is not a name"},
        {GRANT "  - {name: g, who: {user: 1}, may: [sign], keysets: [a]}\n", 8,
         "grants[1].name: \"g\" is the name of grants[0] too; expected another"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, keysets: [a]}\n", 4,
         "grants[0].may: is missing or empty; expected a list of sign, verify, revoke and admin"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [], keysets: [a]}\n", 4,
         "grants[0].may: is missing or empty"},
        {KEYSETS "grants:\n  - name: g\n    who: {user: 1}\n    keysets: [a]\n    may:\n"
                 "      - sign\n      - Verify\n",
         9, "grants[0].may[1]: \"Verify\" is not a right; expected sign, verify, revoke or admin"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: sign, keysets: [a]}\n", 4,
         "grants[0].may: expected a list"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign]}\n", 4,
         "grants[0].keysets: is missing or empty; expected a list of keysets, or [\"*\"] for all"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign], keysets: []}\n", 4,
         "grants[0].keysets: is missing or empty"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign],\n     keysets: [a, B]}\n", 5,
         "grants[0].keysets[1]: \"B\" is neither a keyset's name nor a glob for some; expected 1 to 64"},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign], keysets: [\"a?\"]}\n", 4,
         "grants[0].keysets[0]: \"a?\""},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign], keysets: [\"\"]}\n", 4,
         "grants[0].keysets[0]: \"\""},
        {KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign], keysets: "
                 "[\"*****************************************************************\"]}\n",
         4, "grants[0].keysets[0]:"},
        {GRANT "    max_live_tokens: 0\n", 8,
         "grants[0].max_live_tokens: \"0\" is not good; expected a whole number from 1 to 4294967295"},
        {GRANT "    max_live_tokens: 4294967296\n", 8, "grants[0].max_live_tokens:"},
        {GRANT "    may_not: [sign]\n", 8,
         "grants[0].may_not: there is no such key; expected one of name"},
        {KEYSETS "grants: {}\n", 3, "grants: expected a list"},
        {KEYSETS "grants: all\n", 3, "grants: expected a list"},
        {KEYSETS "grants: [all]\n", 3, "grants[0]: expected keys with values"},
    };
    EXPECT_FAULTS(state, rows);
}

static void test_grants__claim_rules_are_refused_with_their_line(void **state)
{
    static const struct grants_row rows[] = {
        {CLAIMS "      allowed: [iss]\n", 9,
         "grants[0].claims.allowed[0]: \"iss\" is a claim that has fields and rules of its own; expected "
         "none of iss, sub, aud, exp, nbf, iat and jti"},
        {CLAIMS "      required: [a, sub]\n", 9, "grants[0].claims.required[1]: \"sub\""},
        {CLAIMS "      denied: [aud]\n", 9, "grants[0].claims.denied[0]: \"aud\""},
        {CLAIMS "      denied: [exp]\n", 9, "grants[0].claims.denied[0]: \"exp\""},
        {CLAIMS "      denied: [nbf]\n", 9, "grants[0].claims.denied[0]: \"nbf\""},
        {CLAIMS "      denied: [iat]\n", 9, "grants[0].claims.denied[0]: \"iat\""},
        {CLAIMS "      forced:\n        - {name: jti, value: x}\n", 10,
         "grants[0].claims.forced[0].name: \"jti\" is a claim that has"},
        {CLAIMS "      allowed: [\"\"]\n", 9,
         "grants[0].claims.allowed[0]: \"\" is not good; expected 1 to 255 bytes without control"},
        {CLAIMS "      allowed: [\"a\\tb\"]\n", 9,
         "grants[0].claims.allowed[0]: \"a?b\" is not good"},
        {CLAIMS "      required: [\"x-*\"]\n", 9,
         "grants[0].claims.required[0]: \"x-*\" is not the name of one claim; expected one without *"},
        {CLAIMS "      forced: [{name: \"x-*\", value: x}]\n", 9,
         "grants[0].claims.forced[0].name: \"x-*\" is not the name of one claim"},
        {CLAIMS "      forced: [{value: x}]\n", 9,
         "grants[0].claims.forced[0].name: is missing; expected the name of a claim"},
        {CLAIMS "      forced: [{name: x}]\n", 9,
         "grants[0].claims.forced[0].value: is missing; expected a text, such as \"${peer.user}\""},
        {CLAIMS "      forced: [{name: x, value: \"\"}]\n", 9,
         "grants[0].claims.forced[0].value: \"\" is not good"},
        {CLAIMS "      forced:\n        - {name: x, value: a}\n        - {name: x, value: b}\n", 11,
         "grants[0].claims.forced[1].name: \"x\" is forced twice; expected one value"},
        {CLAIMS "      forced: [{name: x, value: a}]\n      allowed: [y, x]\n", 9,
         "grants[0].claims.forced[0].name: \"x\" is allowed too, and callers may not set what is forced"},
        {CLAIMS "      required: [x]\n      forced: [{name: x, value: a}]\n", 10,
         "grants[0].claims.forced[0].name: \"x\" is required too"},
        {CLAIMS "      forced: {x: a}\n", 9, "grants[0].claims.forced: expected a list"},
        {CLAIMS "      forced: [x]\n", 9, "grants[0].claims.forced[0]: expected keys with values"},
        {CLAIMS "      audiences: []\n", 9,
         "grants[0].claims.audiences: is empty; expected at least one, or no audiences here for any"},
        {CLAIMS "      audiences: [a, \"\"]\n", 9,
         "grants[0].claims.audiences[1]: \"\" is not good"},
        {CLAIMS "      subject: \"\"\n", 9, "grants[0].claims.subject: \"\" is not good"},
        {CLAIMS "      max_ttl: 0\n", 9, "grants[0].claims.max_ttl: \"0\" is out of range"},
        {CLAIMS "      max_ttl: 367d\n", 9, "grants[0].claims.max_ttl:"},
        {CLAIMS "      max_payload: 1\n", 9,
         "grants[0].claims.max_payload: \"1\" is not good; expected a whole number from 2 to 8192"},
        {CLAIMS "      max_payload: 8193\n", 9, "grants[0].claims.max_payload:"},
        {CLAIMS "      allow_sensitive: 1\n", 9,
         "grants[0].claims.allow_sensitive: \"1\" is not good"},
        {CLAIMS "      allow: [x]\n", 9,
         "grants[0].claims.allow: there is no such key; expected one of allowed, required"},
        {GRANT "    claims: []\n", 8, "grants[0].claims: expected keys with values"},
        {CLAIMS "      allowed:\n", 9, "grants[0].claims.allowed: expected a list"},
    };
    EXPECT_FAULTS(state, rows);
}

static void test_grants__templates_are_four(void **state)
{
    static const char *const bad[] = {
        "${",
        "${}",
        "${peer}",
        "${peer.pid}",
        "${peer.user",
        "${peer.users}",
        "${ peer.user}",
        "${PEER.USER}",
        "$${peer.nobody}",
        "${peer.uid}${",
        "${${peer.uid}}",
        "a${peer.exe}b",
        "${peer.user }",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[400];
        (void)snprintf(text, sizeof(text), CLAIMS "      subject: \"%s\"\n", bad[i]);
        test_config_expect_fault(*state, text, 9,
                                 "has a ${...} that there is none of; expected ${peer.user}, "
                                 "${peer.uid}, ${peer.gid} or ${peer.unit}");
        (void)snprintf(text, sizeof(text), CLAIMS "      audiences: [\"%s\"]\n", bad[i]);
        test_config_expect_fault(*state, text, 9, "grants[0].claims.audiences[0]:");
        (void)snprintf(text, sizeof(text), CLAIMS "      forced: [{name: x, value: \"%s\"}]\n",
                       bad[i]);
        test_config_expect_fault(*state, text, 9, "grants[0].claims.forced[0].value:");
    }
    struct sg_config *config = test_config_load_good(
        *state, CLAIMS "      subject: \"$ $$ $peer {peer.user} $ {x} }${peer.gid}\"\n");
    sg_config_free(config);
}

static void test_grants__lists_have_64_entries_at_most(void **state)
{
    static const char *const names[] = {"allowed", "required", "denied", "audiences"};
    char list[600] = "[";
    for (unsigned i = 0; i < SG_CONFIG_MAX_LIST + 1; i++) {
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof(list) - used, "%sa%u", i > 0 ? ", " : "", i);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[1000], what[100];
        (void)snprintf(text, sizeof(text), CLAIMS "      %s: %s]\n", names[i], list);
        (void)snprintf(what, sizeof(what), "grants[0].claims.%s: 65 entries; expected at most 64",
                       names[i]);
        test_config_expect_fault(*state, text, 9, what);
    }
    char text[1000];
    (void)snprintf(text, sizeof(text),
                   KEYSETS "grants:\n  - {name: g, who: {user: 1}, may: [sign], keysets: %s]}\n",
                   list);
    test_config_expect_fault(*state, text, 4, "grants[0].keysets: 65 entries");
    (void)snprintf(text, sizeof(text),
                   KEYSETS "grants:\n  - {name: g, who: {user: 1}, keysets: [a], may: %s]}\n",
                   list);
    test_config_expect_fault(*state, text, 4, "grants[0].may: 65 entries");
}

static void test_grants__tell_all_faults_at_once(void **state)
{
    static const char text[] = KEYSETS "grants:\n"
                                       "  - name: G\n"
                                       "    who:\n"
                                       "      user: no-such-user\n"
                                       "      exe: x\n"
                                       "      exe_sha256: x\n"
                                       "      unit: x\n"
                                       "    may: [x]\n"
                                       "    keysets: [X]\n"
                                       "    claims:\n"
                                       "      allowed: [iss]\n"
                                       "      forced: [{name: a, value: \"${\"}]\n"
                                       "      max_ttl: x\n"
                                       "  - name: g\n"
                                       "audit: {on_full: x}\n";
    test_config_expect_fault(*state, text, 4, "grants[0].name");
    test_config_expect_fault(*state, text, 6, "grants[0].who.user");
    test_config_expect_fault(*state, text, 7, "grants[0].who.exe");
    test_config_expect_fault(*state, text, 8, "grants[0].who.exe_sha256");
    test_config_expect_fault(*state, text, 9, "grants[0].who.unit");
    test_config_expect_fault(*state, text, 10, "grants[0].may[0]");
    test_config_expect_fault(*state, text, 11, "grants[0].keysets[0]");
    test_config_expect_fault(*state, text, 13, "grants[0].claims.allowed[0]");
    test_config_expect_fault(*state, text, 14, "grants[0].claims.forced[0].value");
    test_config_expect_fault(*state, text, 15, "grants[0].claims.max_ttl");
    test_config_expect_fault(*state, text, 16, "grants[1].may");
    test_config_expect_fault(*state, text, 16, "grants[1].who");
    test_config_expect_fault(*state, text, 17, "audit.on_full");
}

#define GRANTS_TEST(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, test_config_setup, test_config_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRANTS_TEST(test_grants__full_one_is_read_in_full),
        GRANTS_TEST(test_grants__small_one_has_no_rules),
        GRANTS_TEST(test_grants__stay_in_their_order),
        GRANTS_TEST(test_grants__empty_list_of_allowed_claims_is_one),
        GRANTS_TEST(test_grants__limits_are_within_reach),
        GRANTS_TEST(test_grants__are_1024_at_most),
        GRANTS_TEST(test_grants__who_is_refused_with_its_line),
        GRANTS_TEST(test_grants__names_rights_and_keysets_are_refused_with_their_line),
        GRANTS_TEST(test_grants__claim_rules_are_refused_with_their_line),
        GRANTS_TEST(test_grants__templates_are_four),
        GRANTS_TEST(test_grants__lists_have_64_entries_at_most),
        GRANTS_TEST(test_grants__tell_all_faults_at_once),
    };
    return cmocka_run_group_tests_name("config_grants", tests, NULL, NULL);
}
