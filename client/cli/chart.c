/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing keys along an axis of time. A column is a stretch of time; the chart holds every known time to
 * come, and so much of the past that what is to come keeps a third of the width.
 */
#include "client/cli/chart.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/key_text.h"
#include "client/cli/output.h"

#define CHART_LABEL_WIDTH 12u
#define CHART_BARS_AT     (CHART_LABEL_WIDTH + 2)
#define CHART_OTHER_LINES 5u                    /* besides those of keys */
#define CHART_LAST_TIME   INT64_C(253402300799) /* the end of the year 9999 */
#define CHART_LEAST_S     3600 /* what is shown of a future of which nothing is known */

struct chart {
    int64_t left, right, now; /* right is behind the last column */
    int64_t step_s;           /* what a column is */
    size_t num_columns;       /* of time; the mark for now stands between two of them */
    char *text;
    size_t len;
};

/* Within what people mean by a date, so that sums of them do not overflow. */
static int64_t chart_clamp(int64_t when)
{
    return when < 0 ? 0 : when > CHART_LAST_TIME ? CHART_LAST_TIME : when;
}

static int64_t chart_start(const struct chart_key *key)
{
    return chart_clamp(key->published_at != 0 ? key->published_at : key->sign_from);
}

/* ---- The axis ---- */

static void chart_widen(const struct chart_key *key, int64_t *first, int64_t *last)
{
    const int64_t times[] = {key->sign_from, key->sign_until, key->verify_until};
    int64_t start = chart_start(key);
    *first = start != 0 && start < *first ? start : *first;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int64_t when = chart_clamp(times[i]);
        *last = when > *last ? when : *last;
    }
}

static int64_t chart_divide_up(int64_t number, int64_t by)
{
    return (number + by - 1) / by;
}

static void chart_set_axis(struct chart *chart, const struct chart_key *keys, size_t num)
{
    int64_t first = chart->now;
    int64_t last = chart->now;
    for (size_t i = 0; i < num; i++) {
        chart_widen(&keys[i], &first, &last);
    }
    int64_t past = chart->now - first;
    int64_t future = last - chart->now;
    if (future == 0) {
        future = past / 3 > CHART_LEAST_S ? past / 3 : CHART_LEAST_S;
    } else {
        future += (past + future) / 10 + 1; /* that the end of what ends is seen */
    }
    past = past < 2 * future ? past : 2 * future;
    /* Whole seconds a column, and columns that begin with now. */
    int64_t num_columns = (int64_t)chart->num_columns;
    chart->step_s = chart_divide_up(past + future, num_columns - 1);
    int64_t num_past = chart_divide_up(past, chart->step_s);
    chart->left = chart->now - num_past * chart->step_s;
    chart->right = chart->left + num_columns * chart->step_s;
}

static size_t chart_column(const struct chart *chart, int64_t when)
{
    if (when <= chart->left) {
        return 0;
    }
    return when >= chart->right ? chart->num_columns
                                : (size_t)((when - chart->left) / chart->step_s);
}

/* ---- Lines ---- */

static void chart_append(struct chart *chart, const char *line, size_t len)
{
    while (len > 0 && line[len - 1] == ' ') {
        len--;
    }
    memcpy(chart->text + chart->len, line, len);
    chart->len += len;
    chart->text[chart->len++] = '\n';
    chart->text[chart->len] = '\0';
}

/* Writes text without its end over what is there. */
static void chart_put(char *at, const char *text)
{
    while (*text != '\0') {
        *at++ = *text++;
    }
}

/* text: as wide as the columns and the mark. */
static void chart_append_text(struct chart *chart, const char *label, const char *text)
{
    char line[CHART_MAX_WIDTH];
    memset(line, ' ', sizeof(line));
    chart_put(line, label);
    memcpy(line + CHART_BARS_AT, text, chart->num_columns + 1);
    chart_append(chart, line, CHART_BARS_AT + chart->num_columns + 1);
}

/* bars: as wide as the columns. What is right of the mark begins with now. */
static void chart_append_bars(struct chart *chart, const char *label, const char *bars, char mark)
{
    char text[CHART_MAX_WIDTH];
    size_t now = chart_column(chart, chart->now);
    memcpy(text, bars, now);
    text[now] = mark;
    memcpy(text + now + 1, bars + now, chart->num_columns - now);
    chart_append_text(chart, label, text);
}

static void chart_label(const char *label, char out[CHART_LABEL_WIDTH + 1])
{
    size_t len = strnlen(label, CHART_LABEL_WIDTH + 1);
    bool is_cut = len > CHART_LABEL_WIDTH;
    len = is_cut ? CHART_LABEL_WIDTH : len;
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)(label[i] >= ' ' && label[i] <= '~' ? label[i] : '?');
    }
    if (is_cut) {
        memset(out + CHART_LABEL_WIDTH - 2, '.', 2);
    }
    out[len] = '\0';
}

/* until 0: no end. */
static void chart_paint(const struct chart *chart, char *bars, int64_t from, int64_t until,
                        char symbol)
{
    int64_t end = until == 0 ? chart->right : chart_clamp(until);
    int64_t start = chart_clamp(from);
    if (start >= end || end <= chart->left || start >= chart->right) {
        return;
    }
    size_t first = chart_column(chart, start);
    size_t last = chart_column(chart, end);
    memset(bars + first, symbol, last > first ? last - first : 1);
}

static void chart_paint_key(const struct chart *chart, const struct chart_key *key, char *bars)
{
    bool signs = key->sign_from != 0;
    int64_t end = signs && key->sign_until == 0 ? 0 : key->verify_until;
    if (!signs) {
        chart_paint(chart, bars, chart_start(key), end, '-');
    } else {
        chart_paint(chart, bars, chart_start(key), key->sign_from, '.');
        if (key->sign_until != 0) {
            chart_paint(chart, bars, key->sign_until, key->verify_until, '-');
        }
        chart_paint(chart, bars, key->sign_from, key->sign_until, '=');
    }
    if (chart_start(key) < chart->left && (end == 0 || chart_clamp(end) > chart->left)) {
        bars[0] = '<';
    }
    if (end == 0) {
        bars[chart->num_columns - 1] = '>';
    }
}

static void chart_draw_key(struct chart *chart, const struct chart_key *key)
{
    char label[CHART_LABEL_WIDTH + 1];
    char bars[CHART_MAX_WIDTH];
    memset(bars, ' ', sizeof(bars));
    chart_label(key->label, label);
    chart_paint_key(chart, key, bars);
    chart_append_bars(chart, label, bars, '|');
}

/* The time of now: from the mark on, or up to it where there is no room. */
static void chart_draw_now(struct chart *chart)
{
    char line[CHART_MAX_WIDTH];
    char time[CLI_TIME_CAP];
    char text[CLI_TIME_CAP + 8];
    size_t at = chart_column(chart, chart->now);
    cli_key_time(chart->now, time);
    int len = snprintf(text, sizeof(text), "now %s", time);
    if (at + (size_t)len > chart->num_columns + 1) {
        (void)snprintf(text, sizeof(text), "%s now", time);
        at = at + 1 > (size_t)len ? at + 1 - (size_t)len : 0;
    }
    memset(line, ' ', sizeof(line));
    chart_put(line + at, text);
    chart_append_text(chart, "", line);
}

static void chart_draw_axis(struct chart *chart)
{
    char line[CHART_MAX_WIDTH];
    char left[CLI_TIME_CAP];
    char right[CLI_TIME_CAP];
    size_t num = chart->num_columns;
    memset(line, '-', num);
    line[0] = '+';
    line[num - 1] = '+';
    chart_append_bars(chart, "", line, '+');

    cli_key_time(chart->left, left);
    cli_key_time(chart->right, right);
    memset(line, ' ', num + 1);
    chart_put(line, left);
    chart_put(line + num + 1 - strlen(right), right);
    chart_append_text(chart, "", line);
}

static void chart_draw_legend(struct chart *chart)
{
    static const char symbols[] = ". published   = signs   - only verifies   | now";
    char line[CHART_MAX_WIDTH];
    char duration[32];
    chart_append(chart, symbols, sizeof(symbols) - 1);
    cli_format_duration((uint64_t)chart->step_s, duration, sizeof(duration));
    int len =
        snprintf(line, sizeof(line), "< > goes on beyond the chart; a column is %s", duration);
    chart_append(chart, line, (size_t)len);
}

char *cli_chart_draw(const struct chart_key *keys, size_t num, int64_t now, size_t width)
{
    struct chart chart = {.now = chart_clamp(now)};
    width = width < CHART_MIN_WIDTH ? CHART_MIN_WIDTH : width;
    width = width > CHART_MAX_WIDTH ? CHART_MAX_WIDTH : width;
    chart.num_columns = width - CHART_BARS_AT - 1;
    chart.text = calloc(num + CHART_OTHER_LINES, CHART_MAX_WIDTH + 2);
    if (chart.text == NULL) {
        return NULL;
    }
    chart_set_axis(&chart, keys, num);
    chart_draw_now(&chart);
    for (size_t i = 0; i < num; i++) {
        chart_draw_key(&chart, &keys[i]);
    }
    chart_draw_axis(&chart);
    chart_draw_legend(&chart);
    return chart.text;
}
