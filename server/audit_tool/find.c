/* SPDX-License-Identifier: Apache-2.0
 *
 * `find` and `show`: records as they stand there. Whether they are as they were written is for `verify`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit_tool/tool.h"

static bool find_is_text(const json_t *record, const char *name, const char *wanted)
{
    const char *value = tool_text(record, name);
    return wanted == NULL || (value != NULL && strcmp(value, wanted) == 0);
}

/* Times of records have one form, in which their order is that of their letters. */
static bool find_matches(const struct tool_options *options, const json_t *record)
{
    const char *when = tool_text(record, "time");
    return find_is_text(record, "jti", options->jti) && find_is_text(record, "sub", options->sub) &&
           (options->since[0] == '\0' || (when != NULL && strcmp(when, options->since) >= 0)) &&
           (options->until[0] == '\0' || (when != NULL && strcmp(when, options->until) <= 0));
}

static void find_print(const struct tool_options *options, const json_t *record, const char *line)
{
    if (options->json) {
        (void)puts(line);
    } else {
        tool_print_record(record);
    }
}

static void find_warn_of_queue(const char *dir)
{
    struct sg_audit_queue_info info;
    bool is_used = false;
    const char *why = NULL;
    if (tool_queue_read(dir, &info, &is_used, &why) && info.num_waiting > 0) {
        (void)tool_fail(TOOL_GOOD,
                        "up to %" PRIu64 " records wait in the queue and were not looked at%s",
                        info.num_waiting, is_used ? "; try again in a second" : "");
    }
}

enum tool_exit tool_find(const struct tool_options *options)
{
    struct tool_chain *chain = NULL;
    struct tool_line line;
    size_t num_found = 0;
    int next = 0;
    if (!tool_chain_open(options->dir, &chain)) {
        return TOOL_FAILED;
    }
    while ((next = tool_chain_next(chain, &line)) == 1) {
        json_t *record = tool_line_json(&line);
        if (record != NULL && find_matches(options, record)) {
            find_print(options, record, line.text);
            num_found++;
        }
        json_decref(record);
    }
    tool_chain_close(chain);
    if (next < 0) {
        return TOOL_FAILED;
    }
    find_warn_of_queue(options->dir);
    return num_found > 0 ? TOOL_GOOD : tool_fail(TOOL_BAD, "no record of that");
}

/* Keeps the last lines, and prints them at the end. */
enum tool_exit tool_show(const struct tool_options *options)
{
    struct tool_chain *chain = NULL;
    struct tool_line line;
    size_t num = 0;
    int next = 0;
    if (!tool_chain_open(options->dir, &chain)) {
        return TOOL_FAILED;
    }
    char **kept = tool_must(calloc(options->last, sizeof(kept[0])));
    while ((next = tool_chain_next(chain, &line)) == 1) {
        char **place = &kept[num++ % options->last];
        free(*place);
        *place = tool_must(strdup(line.text));
    }
    tool_chain_close(chain);
    for (size_t i = 0; i < options->last; i++) {
        char *text = kept[(num + i) % options->last];
        const struct tool_line again = {
            .text = text, .len = text != NULL ? strlen(text) : 0, .is_whole = text != NULL};
        json_t *record = tool_line_json(&again);
        if (record != NULL) {
            find_print(options, record, text);
        }
        json_decref(record);
        free(text);
    }
    free(kept);
    return next < 0 ? TOOL_FAILED : TOOL_GOOD;
}
