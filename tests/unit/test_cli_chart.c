/* SPDX-License-Identifier: Apache-2.0
 *
 * The chart of `signet key rotate --dry-run`: every phase is where its times say, nothing that ends
 * looks as if it did not, and no number can make it draw outside its lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/cli/chart.h"

#define NOW INT64_C(1795521600) /* 2026-11-24T12:00:00Z */
#define DAY INT64_C(86400)

/* Draws, and compares with the lines that are expected. */
static void assert_chart(const struct chart_key *keys, size_t num, int64_t now, size_t width,
                         const char *expected)
{
    char *text = cli_chart_draw(keys, num, now, width);
    assert_non_null(text);
    if (strcmp(text, expected) != 0) {
        fail_msg("drawn:\n%sexpected:\n%s", text, expected);
    }
    free(text);
}

/* The line of the chart with this number, from 0 on, without its end. free() it. */
static char *line_of(const char *text, size_t number)
{
    for (; number > 0; number--) {
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    return strndup(text, strcspn(text, "\n"));
}

/* ASCII, no line wider than width, and num lines besides those that every chart has. */
static void assert_well_formed(const char *text, size_t num, size_t width)
{
    size_t num_lines = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        assert_int_equal(text[len], '\n');
        assert_true(len <= width);
        for (size_t i = 0; i < len; i++) {
            assert_in_range(text[i], ' ', '~');
        }
        num_lines++;
        text += len + 1;
    }
    assert_int_equal(num_lines, num + 5);
}

static void test_chart__draws_a_rotation(void **state)
{
    static const struct chart_key keys[] = {
        {"q2Kx8sLm0aBcDe", NOW - 20 * DAY, NOW - 20 * DAY, NOW + 18000, NOW + DAY + 18000},
        {"Zt5vW1yP3xFgHi", NOW - 3600, NOW + 18000, 0, 0},
        {"legacy", NOW - 3 * DAY, 0, 0, NOW + 2 * DAY},
        {"for ever", NOW - 3600, 0, 0, 0},
    };
    (void)state;
    assert_chart(keys, 4, NOW, 78,
                 "                                 2026-11-24T12:00:00Z now\n"
                 "q2Kx8sLm0a..  <=========================================|=----\n"
                 "Zt5vW1yP3x..                                           .|.===================>\n"
                 "legacy                                   ---------------|---------\n"
                 "for ever                                               -|-------------------->\n"
                 "              +-----------------------------------------+--------------------+\n"
                 "              2026-11-15T23:08:42Z                        2026-11-28T18:25:39Z\n"
                 ". published   = signs   - only verifies   | now\n"
                 "< > goes on beyond the chart; a column is 4h 52m\n");
}

static void test_chart__a_key_without_an_end_runs_to_the_edge(void **state)
{
    static const struct chart_key key = {"a", NOW - 3000, NOW - 3000, 0, 0};
    (void)state;
    assert_chart(&key, 1, NOW, 56,
                 "              2026-11-24T12:00:00Z now\n"
                 "a             ===================|=====================>\n"
                 "              +------------------+---------------------+\n"
                 "              2026-11-24T11:07:45Z  2026-11-24T13:00:30Z\n"
                 ". published   = signs   - only verifies   | now\n"
                 "< > goes on beyond the chart; a column is 2m 45s\n");
}

static void test_chart__without_keys_is_an_axis(void **state)
{
    (void)state;
    assert_chart(NULL, 0, NOW, 56,
                 "              now 2026-11-24T12:00:00Z\n"
                 "              ++---------------------------------------+\n"
                 "              2026-11-24T12:00:00Z  2026-11-24T13:01:30Z\n"
                 ". published   = signs   - only verifies   | now\n"
                 "< > goes on beyond the chart; a column is 1m 30s\n");
}

/* What is right of the mark is what holds at now. */
static void test_chart__right_of_the_mark_begins_with_now(void **state)
{
    static const struct {
        struct chart_key key;
        char now;
    } cases[] = {
        {{"", NOW - 100, NOW + 50, 0, 0}, '.'},
        {{"", NOW - 100, NOW, 0, 0}, '='},
        {{"", NOW - 100, NOW - 50, NOW, NOW + 100}, '-'},
        {{"", NOW - 100, NOW - 50, NOW + 50, NOW + 100}, '='},
        {{"", NOW - 100, NOW - 50, NOW - 10, NOW}, ' '},
        {{"", NOW - 100, 0, 0, NOW + 100}, '-'},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = cli_chart_draw(&cases[i].key, 1, NOW, 120);
        char *row = line_of(text, 1);
        const char *mark = strchr(row, '|');
        assert_non_null(mark);
        char drawn = (char)(mark[1] != '\0' ? mark[1] : ' ');
        if (drawn != cases[i].now) {
            fail_msg("case %zu: '%c' instead of '%c':\n%s", i, drawn, cases[i].now, text);
        }
        free(row);
        free(text);
    }
}

static void test_chart__a_moment_of_signing_is_still_seen(void **state)
{
    static const struct chart_key key = {"a", NOW - DAY, NOW + 60, NOW + 61, NOW + 30 * DAY};
    (void)state;
    char *text = cli_chart_draw(&key, 1, NOW, 78);
    char *row = line_of(text, 1);
    assert_non_null(strchr(row, '='));
    assert_non_null(strchr(row, '-'));
    assert_null(strchr(row, '>'));
    free(row);
    free(text);
}

static void test_chart__what_ends_is_seen_to_end(void **state)
{
    static const struct chart_key key = {"a", NOW - DAY, NOW - DAY, NOW + DAY, NOW + 2 * DAY};
    (void)state;
    char *text = cli_chart_draw(&key, 1, NOW, 78);
    char *row = line_of(text, 1);
    assert_true(strlen(row) < 78);
    assert_null(strchr(row, '>'));
    assert_null(strchr(row, '<'));
    free(row);
    free(text);
}

static void test_chart__labels_cannot_drive_a_terminal(void **state)
{
    static const struct chart_key key = {"\033[2J\n\xc3\xa4", NOW, NOW, 0, 0};
    (void)state;
    char *text = cli_chart_draw(&key, 1, NOW, 78);
    assert_well_formed(text, 1, 78);
    assert_non_null(strstr(text, "?[2J???"));
    free(text);
}

static void test_chart__any_numbers_keep_within_the_lines(void **state)
{
    static const int64_t numbers[] = {INT64_MIN, -1, 0, 1, NOW, INT64_MAX};
    static const size_t widths[] = {0, 56, 78, 200, SIZE_MAX};
    const size_t num = sizeof(numbers) / sizeof(numbers[0]);
    (void)state;
    for (size_t i = 0; i < num * num * num * num * num; i++) {
        size_t rest = i / num;
        const struct chart_key key = {
            .label = "a label that is longer than its column",
            .published_at = numbers[rest % num],
            .sign_from = numbers[rest / num % num],
            .sign_until = numbers[rest / num / num % num],
            .verify_until = numbers[rest / num / num / num % num],
        };
        size_t width = widths[i % 5];
        size_t most = width < 56 ? 56 : width > 200 ? 200 : width;
        char *text = cli_chart_draw(&key, 1, numbers[i % num], width);
        assert_non_null(text);
        assert_well_formed(text, 1, most);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chart__draws_a_rotation),
        cmocka_unit_test(test_chart__a_key_without_an_end_runs_to_the_edge),
        cmocka_unit_test(test_chart__without_keys_is_an_axis),
        cmocka_unit_test(test_chart__right_of_the_mark_begins_with_now),
        cmocka_unit_test(test_chart__a_moment_of_signing_is_still_seen),
        cmocka_unit_test(test_chart__what_ends_is_seen_to_end),
        cmocka_unit_test(test_chart__labels_cannot_drive_a_terminal),
        cmocka_unit_test(test_chart__any_numbers_keep_within_the_lines),
    };
    return cmocka_run_group_tests_name("cli_chart", tests, NULL, NULL);
}
