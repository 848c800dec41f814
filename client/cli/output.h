/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands print: text that cannot drive a terminal, aligned tables, times, JSON.
 * Everything that came from a token or from the daemon goes through cli_escape.
 */
#ifndef SG_CLI_OUTPUT_H
#define SG_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* cli_must returns memory, or ends the program if there is none. */
void *cli_must(void *memory) __attribute__((returns_nonnull));

/* cli_now is the time, in seconds since 1970. */
int64_t cli_now(void);

/* cli_escape returns text with everything escaped that could drive a terminal or reorder what is
 * read: control characters, bidirectional and invisible ones, bytes that are not UTF-8. free() it. */
char *cli_escape(const char *text, size_t len);

enum cli_style {
    CLI_PLAIN = 0,
    CLI_STRONG,
    CLI_FAINT,
    CLI_GREEN,
    CLI_RED,
    CLI_YELLOW
};

/* cli_styled prints text; styled only if file is a terminal and NO_COLOR is not set. */
void cli_styled(FILE *file, enum cli_style style, const char *text);

/* A table whose columns are aligned when it is printed. Cells are escaped and copied. */
struct cli_table;
struct cli_table *cli_table_new(size_t num_columns);
void cli_table_row(struct cli_table *table, const char *const *cells);
/* cli_table_print prints to standard output; the first row, or else the first column, in style. */
void cli_table_print(const struct cli_table *table, const char *indent, bool has_heading);
void cli_table_free(struct cli_table *table);

/* "2026-11-24 12:00:00 UTC (in 14m 58s)". */
void cli_format_time(int64_t when, int64_t now, char *out, size_t cap);
/* "1d 2h", "14m 58s": the two largest units. */
void cli_format_duration(uint64_t seconds, char *out, size_t cap);

/* cli_print_claims prints the members of a JSON object as an aligned table, times readable. */
void cli_print_claims(json_t *object, int64_t now, const char *indent);

/* cli_print_json prints value on one line, or indented on a terminal, and releases it. */
void cli_print_json(json_t *value);

/* cli_load_claim reads the value of a claim as people write it: JSON if it is a number, true, false or
 * null, or begins with { [ or "; else it is a string as it stands. NULL, with *error filled, if it
 * begins like JSON and is not, or is not UTF-8. */
json_t *cli_load_claim(const char *text, size_t len, json_error_t *error);

#endif
