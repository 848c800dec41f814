/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs: what they are for, what they are not for, and that no glob takes long.
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

#include "server/glob.h"

struct glob_row {
    const char *glob, *text;
    bool expected;
};

static void test_glob__star_is_any_run_and_all_else_is_itself(void **state)
{
    (void)state;
    static const struct glob_row rows[] = {
        {"login", "login", true},
        {"login", "logins", false},
        {"login", "logi", false},
        {"login", "Login", false},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything at all", true},
        {"**", "", true},
        {"**", "a", true},
        {"team-*", "team-a", true},
        {"team-*", "team-", true},
        {"team-*", "team", false},
        {"team-*", "my-team-a", false},
        {"*-team", "a-team", true},
        {"*-team", "a-teams", false},
        {"a*b", "ab", true},
        {"a*b", "axxb", true},
        {"a*b", "axxbx", false},
        {"a*a", "a", false}, /* one character is not both ends */
        {"a*a", "aa", true},
        {"ab*ba", "aba", false},
        {"a*b*c", "abbc", true},
        {"a*b*c", "acb", false},
        {"*b*", "abc", true},
        {"*b*", "ac", false},
        {"*ab*ab*", "abab", true},
        {"*ab*ab*", "ab", false},
        {"*ab*ba*", "aba", false},
        {"*aab", "aaaab", true}, /* the last place, not the first */
        {"a*ab*b", "aabb", true},
        {"a*ab*b", "abab", false},
        {"a*ab*b", "abb", false},
        /* No other character means anything. */
        {"a?", "ab", false},
        {"a?", "a?", true},
        {"[ab]", "a", false},
        {"[ab]", "[ab]", true},
        {"a\\*", "a*", false},
        {"a\\*", "a\\x", true},
        {"a.c", "abc", false},
        {"a*", "a*", true},
        /* A text's star is a character as any. */
        {"a", "*", false},
        {"a*c", "a*c", true},
        {"\xc3*", "\xc3\xb6", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (sg_glob_match(rows[i].glob, rows[i].text) != rows[i].expected) {
            fail_msg("\"%s\" for \"%s\" is not %d", rows[i].glob, rows[i].text, rows[i].expected);
        }
    }
}

static void test_glob__covers_is_for_all_that_the_other_is_for(void **state)
{
    (void)state;
    static const struct glob_row rows[] = {
        {"*", "*", true},
        {"*", "a", true},
        {"*", "", true},
        {"a", "*", false},
        {"a", "a", true},
        {"a", "b", false},
        {"team-*", "team-a", true},
        {"team-*", "team-a*", true},
        {"team-a*", "team-*", false},
        {"team-*", "*", false},
        {"*a*", "*a", true},
        {"*a*", "a*", true},
        {"*a", "*a*", false},
        {"a*c", "a*b*c", true},
        {"a*b*c", "a*c", false},
        {"a*", "a", true},
        {"a", "a*", false},
        {"**", "*", true},
        {"*", "**", true},
        {"*a*b*", "*ab*", true},
        {"*ab*", "*a*b*", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (sg_glob_covers(rows[i].glob, rows[i].text) != rows[i].expected) {
            fail_msg("\"%s\" covering \"%s\" is not %d", rows[i].glob, rows[i].text,
                     rows[i].expected);
        }
    }
}

/* ---- Against the definition ---- */

/* The plainest there is: by all prefixes of the text, one character of the glob at a time. */
static bool glob_model(const char *glob, const char *text)
{
    bool reached[16] = {true}; /* by the glob so far, how much of the text can be taken */
    size_t len = strlen(text);
    for (; *glob != '\0'; glob++) {
        bool next[16] = {false};
        bool any_before = false;
        for (size_t i = 0; i <= len; i++) {
            any_before = any_before || reached[i];
            next[i] = *glob == '*' ? any_before : i > 0 && reached[i - 1] && text[i - 1] == *glob;
        }
        memcpy(reached, next, sizeof(reached));
    }
    return reached[len];
}

/* The number-th word over an alphabet; false if it is longer than max_len. */
static bool glob_word(const char *alphabet, size_t number, size_t max_len, char *out)
{
    size_t base = strlen(alphabet);
    size_t len = 0;
    for (; number > 0; number = (number - 1) / base) {
        if (len == max_len) {
            return false;
        }
        out[len++] = alphabet[(number - 1) % base];
    }
    out[len] = '\0';
    return true;
}

static void test_glob__every_short_one_agrees_with_the_definition(void **state)
{
    (void)state;
    char glob[8], text[8];
    for (size_t i = 0; glob_word("ab*", i, 6, glob); i++) {
        for (size_t k = 0; glob_word("ab", k, 6, text); k++) {
            if (sg_glob_match(glob, text) != glob_model(glob, text)) {
                fail_msg("\"%s\" for \"%s\" is not %d", glob, text, glob_model(glob, text));
            }
        }
    }
}

/* A glob covers another if and only if no text is left out: of texts over its letters and one that it has not. */
static void test_glob__every_short_covering_agrees_with_the_texts(void **state)
{
    (void)state;
    char wide[8], narrow[8], text[8];
    for (size_t i = 0; glob_word("a*", i, 4, wide); i++) {
        for (size_t k = 0; glob_word("a*", k, 4, narrow); k++) {
            bool covers = true;
            for (size_t m = 0; covers && glob_word("ac", m, 6, text); m++) {
                covers = !glob_model(narrow, text) || glob_model(wide, text);
            }
            if (sg_glob_covers(wide, narrow) != covers) {
                fail_msg("\"%s\" covering \"%s\" is not %d", wide, narrow, covers);
            }
        }
    }
}

/* ---- Long ones ---- */

/* unit, repeated; with last at the end. To be freed. */
static char *glob_repeat(const char *unit, size_t num, const char *last)
{
    size_t unit_len = strlen(unit);
    size_t last_len = strlen(last);
    char *text = malloc(unit_len * num + last_len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < num; i++) {
        memcpy(text + i * unit_len, unit, unit_len);
    }
    memcpy(text + unit_len * num, last, last_len + 1);
    return text;
}

/* ThreadSanitizer looks at all of a text for each character that is looked for in it. */
#define NUM_UNITS (SG_SANITIZED ? 1000u : 500000u)

/* With one step back for each star these would not end within the test's time. */
static void test_glob__takes_no_longer_than_it_is_long(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *last;
        bool expected;
    } rows[] = {
        {"*", "", true},    {"*", "b", false},    {"*a", "*", true},
        {"a*", "b", false}, {"*aa", "b*", false},
    };
    char *text = glob_repeat("a", 4 * NUM_UNITS, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *glob = glob_repeat(rows[i].unit, NUM_UNITS, rows[i].last);
        assert_int_equal(sg_glob_match(glob, text), rows[i].expected);
        free(glob);
    }
    char *half = glob_repeat("a", 2 * NUM_UNITS, "b");
    char *glob = glob_repeat("*", 1, half);
    char *inner = glob_repeat(glob, 1, "*");
    assert_false(sg_glob_match(inner, text));
    free(inner);
    free(glob);
    free(half);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glob__star_is_any_run_and_all_else_is_itself),
        cmocka_unit_test(test_glob__covers_is_for_all_that_the_other_is_for),
        cmocka_unit_test(test_glob__every_short_one_agrees_with_the_definition),
        cmocka_unit_test(test_glob__every_short_covering_agrees_with_the_texts),
        cmocka_unit_test(test_glob__takes_no_longer_than_it_is_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
