/* SPDX-License-Identifier: Apache-2.0
 *
 * Records for people. Values come from whoever called the daemon: all but plain ASCII is escaped.
 */
#include <stdlib.h>
#include <string.h>

#include "server/audit_tool/tool.h"

/* Shown before the others, or not at all. */
static const char *const print_known[] = {"seq",     "prev",   "q",    "time", "event",
                                          "verdict", "reason", "peer", "jws",  NULL};

static bool print_is_known(const char *name)
{
    for (const char *const *known = print_known; *known != NULL; known++) {
        if (strcmp(*known, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A text that could be taken for more than one word is quoted. */
static void print_value(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_COMPACT);
    size_t len = text != NULL ? strlen(text) : 0;
    bool is_plain = json_is_string(value) && len > 2 && strpbrk(text, " =\\") == NULL;
    if (text != NULL) {
        (void)printf("%.*s", (int)(is_plain ? len - 2 : len), is_plain ? text + 1 : text);
    }
    free(text);
}

static void print_word(const json_t *record, const char *name)
{
    const json_t *value = json_object_get(record, name);
    if (value != NULL) {
        (void)putchar(' ');
        print_value(value);
    }
}

static void print_members(const json_t *object)
{
    const char *name = NULL;
    json_t *value = NULL;
    /* It is only read; the macro is older than const. */
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!print_is_known(name)) {
            (void)printf(" %s=", name);
            print_value(value);
        }
    }
}

void tool_print_record(const json_t *record)
{
    print_value(json_object_get(record, "time"));
    (void)printf(" #%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(record, "seq")));
    print_word(record, "event");
    print_word(record, "verdict");
    print_word(record, "reason");
    print_members(json_object_get(record, "peer"));
    print_members(record);
    (void)putchar('\n');
}
