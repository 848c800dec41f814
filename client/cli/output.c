/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that cannot drive a terminal, aligned tables, times, JSON.
 */
#include "client/cli/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/cli.h"

void *cli_must(void *memory)
{
    if (memory == NULL) {
        (void)fputs("signet: out of memory\n", stderr);
        exit(CLI_FAILED); // NOLINT(concurrency-mt-unsafe): there is nothing to do at exit
    }
    return memory;
}

int64_t cli_now(void)
{
    return (int64_t)time(NULL);
}

/* ---- Text ---- */

/* Decodes one character of UTF-8 (RFC 3629 section 4). Returns its length, or 0 if there is none. */
static size_t output_decode(const unsigned char *text, size_t len, uint32_t *out)
{
    if (text[0] < 0x80) {
        *out = text[0];
        return 1;
    }
    size_t size = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (text[0] < 0xc2 || text[0] > 0xf4 || size > len) {
        return 0;
    }
    uint32_t code = text[0] & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (text[i] & 0x3fU);
    }
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 0;
    }
    *out = code;
    return size;
}

/* Whether a character does something other than to stand where it is. */
static bool output_is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || /* C0, DEL, C1 */
           code == 0xad || code == 0x61c ||                /* soft hyphen, Arabic letter mark */
           (code >= 0x200b && code <= 0x200f) ||           /* zero width, left-to-right marks */
           (code >= 0x2028 && code <= 0x202e) ||           /* separators, embeddings, overrides */
           (code >= 0x2060 && code <= 0x206f) ||           /* invisible operators, isolates */
           code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
           (code >= 0xe0000 && code <= 0xe007f); /* tags */
}

char *cli_escape(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    const size_t longest = sizeof("\\u{e007f}"); /* of what one byte or character becomes */
    char *out = cli_must(malloc(len * longest + 1));
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t size = output_decode(bytes + i, len - i, &code);
        if (size == 0) {
            used += (size_t)snprintf(out + used, longest, "\\x%02x", (unsigned)bytes[i]);
            size = 1;
        } else if (output_is_unsafe(code)) {
            used += (size_t)snprintf(out + used, longest, code > 0xffff ? "\\u{%x}" : "\\u%04x",
                                     (unsigned)code);
        } else {
            memcpy(out + used, bytes + i, size);
            used += size;
        }
        i += size;
    }
    out[used] = '\0';
    return out;
}

/* Characters of escaped text, which is what it takes on a terminal, wide ones aside. */
static size_t output_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

/* ---- Style ---- */

static bool output_has_style(FILE *file)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody here changes the environment. */
    const char *no_color = getenv("NO_COLOR"); /* no-color.org */
    const char *term = getenv("TERM");
    /* NOLINTEND(concurrency-mt-unsafe) */
    return isatty(fileno(file)) && (no_color == NULL || no_color[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

void cli_styled(FILE *file, enum cli_style style, const char *text)
{
    static const char *const codes[] = {
        [CLI_PLAIN] = "",   [CLI_STRONG] = "1", [CLI_FAINT] = "2",
        [CLI_GREEN] = "32", [CLI_RED] = "31",   [CLI_YELLOW] = "33",
    };
    if (style == CLI_PLAIN || !output_has_style(file)) {
        (void)fputs(text, file);
        return;
    }
    (void)fprintf(file, "\033[%sm%s\033[0m", codes[style], text);
}

/* ---- Tables ---- */

struct cli_table {
    size_t num_columns;
    size_t num_rows;
    char **cells; /* num_rows * num_columns, escaped */
};

struct cli_table *cli_table_new(size_t num_columns)
{
    struct cli_table *table = cli_must(calloc(1, sizeof(*table)));
    table->num_columns = num_columns;
    return table;
}

void cli_table_row(struct cli_table *table, const char *const *cells)
{
    size_t num = table->num_rows * table->num_columns;
    table->cells =
        cli_must(reallocarray(table->cells, num + table->num_columns, sizeof(table->cells[0])));
    for (size_t i = 0; i < table->num_columns; i++) {
        table->cells[num + i] = cli_escape(cells[i], strlen(cells[i]));
    }
    table->num_rows++;
}

static size_t table_column_width(const struct cli_table *table, size_t column)
{
    size_t widest = 0;
    for (size_t row = 0; row < table->num_rows; row++) {
        size_t width = output_width(table->cells[row * table->num_columns + column]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

void cli_table_print(const struct cli_table *table, const char *indent, bool has_heading)
{
    size_t *widths = cli_must(calloc(table->num_columns + 1, sizeof(*widths)));
    for (size_t column = 0; column < table->num_columns; column++) {
        widths[column] = table_column_width(table, column);
    }
    for (size_t row = 0; row < table->num_rows; row++) {
        (void)fputs(indent, stdout);
        for (size_t column = 0; column < table->num_columns; column++) {
            const char *cell = table->cells[row * table->num_columns + column];
            bool strong = has_heading ? row == 0 : column == 0;
            cli_styled(stdout, strong ? CLI_STRONG : CLI_PLAIN, cell);
            if (column + 1 < table->num_columns) {
                size_t pad = widths[column] - output_width(cell) + 2;
                (void)printf("%*s", (int)pad, "");
            }
        }
        (void)fputc('\n', stdout);
    }
    free(widths);
}

void cli_table_free(struct cli_table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->num_rows * table->num_columns; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

/* ---- Times ---- */

void cli_format_duration(uint64_t seconds, char *out, size_t cap)
{
    static const struct {
        uint64_t seconds;
        char name;
    } units[] = {{31536000, 'y'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t largest = 0;
    while (largest < 4 && seconds < units[largest].seconds) {
        largest++;
    }
    uint64_t rest = seconds % units[largest].seconds;
    uint64_t next = largest < 4 ? rest / units[largest + 1].seconds : 0;
    if (next == 0) {
        (void)snprintf(out, cap, "%" PRIu64 "%c", seconds / units[largest].seconds,
                       units[largest].name);
        return;
    }
    (void)snprintf(out, cap, "%" PRIu64 "%c %" PRIu64 "%c", seconds / units[largest].seconds,
                   units[largest].name, next, units[largest + 1].name);
}

void cli_format_time(int64_t when, int64_t now, char *out, size_t cap)
{
    const int64_t last = INT64_C(253402300799); /* the end of the year 9999 */
    char date[40];
    char duration[32];
    struct tm parts;
    time_t seconds = (time_t)when;
    if (when < 0 || when > last || gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &parts) == 0) {
        (void)snprintf(out, cap, "%" PRId64 " (not a date between 1970 and 9999)", when);
        return;
    }
    cli_format_duration((uint64_t)(when > now ? when - now : now - when), duration,
                        sizeof(duration));
    if (when == now) {
        (void)snprintf(out, cap, "%s (now)", date);
    } else if (when > now) {
        (void)snprintf(out, cap, "%s (in %s)", date, duration);
    } else {
        (void)snprintf(out, cap, "%s (%s ago)", date, duration);
    }
}

/* ---- Claims ---- */

/* Claims that are a NumericDate (RFC 7519 section 4.1; auth_time and updated_at: OpenID Connect). */
static bool claims_is_time(const char *name)
{
    static const char *const names[] = {"exp", "nbf", "iat", "auth_time", "updated_at"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether cli_load_claim would take text for JSON, so that such a string has to be quoted. */
static bool claims_looks_like_json(const char *text, size_t len)
{
    json_error_t error;
    json_t *value = cli_load_claim(text, len, &error);
    bool is_string = value != NULL && json_is_string(value) && (len == 0 || text[0] != '"');
    json_decref(value);
    return !is_string;
}

/* The value as one line of text; free() it. */
static char *claims_format(const char *name, const json_t *value, int64_t now)
{
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value) &&
        !claims_looks_like_json(json_string_value(value), json_string_length(value))) {
        return cli_must(strdup(json_string_value(value)));
    }
    double number = json_number_value(value);
    if (claims_is_time(name) && json_is_number(value) && number > -9e15 && number < 9e15) {
        char *text = cli_must(malloc(96));
        cli_format_time((int64_t)number, now, text, 96);
        return text;
    }
    return cli_must(json_dumps(value, JSON_ENCODE_ANY));
}

void cli_print_claims(json_t *object, int64_t now, const char *indent)
{
    struct cli_table *table = cli_table_new(2);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(object, name, value)
    {
        char *text = claims_format(name, value, now);
        const char *cells[] = {name, text};
        cli_table_row(table, cells);
        free(text);
    }
    cli_table_print(table, indent, false);
    cli_table_free(table);
}

json_t *cli_load_claim(const char *text, size_t len, json_error_t *error)
{
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, error);
    if (value != NULL) {
        return value;
    }
    /* A number too large to carry is not to become a string in silence. */
    if ((len > 0 && (text[0] == '{' || text[0] == '[' || text[0] == '"')) ||
        json_error_code(error) == json_error_numeric_overflow) {
        return NULL;
    }
    value = json_stringn(text, len);
    if (value == NULL) {
        (void)snprintf(error->text, sizeof(error->text), "not UTF-8");
    }
    return value;
}

void cli_print_json(json_t *value)
{
    (void)cli_must(value);
    /* ASCII only: nothing in it can drive a terminal. */
    size_t layout = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;
    (void)json_dumpf(value, stdout, layout | JSON_ENSURE_ASCII);
    (void)fputc('\n', stdout);
    json_decref(value);
}
