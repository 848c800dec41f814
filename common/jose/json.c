/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson behind a gate: size and depth are bounded before it sees a byte, since it recurses once a
 * level, as its destructor does.
 */
#include "common/jose/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

/* What the bytes themselves show without a parser. A quote inside a string is always behind a
 * backslash, so strings are skipped rightly in every text that jansson would take; in any other the
 * depth found may be wrong, yet is never less than the depth jansson reaches before it stops. */
static const char *json_gate(const char *text, size_t len, size_t max_depth)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\0') {
            return "the JSON holds a NUL byte";
        }
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth) {
                return "the JSON is nested too deeply";
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return NULL;
}

static const char *json_fault(enum json_error_code code)
{
    switch (code) {
    case json_error_duplicate_key:
        return "the JSON has a duplicate member (RFC 7519 section 4)";
    case json_error_invalid_utf8:
        return "the JSON is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "the JSON holds a NUL character";
    case json_error_numeric_overflow:
        return "the JSON has a number that does not fit 64 bits";
    case json_error_premature_end_of_input:
        return "the JSON ends too early";
    case json_error_end_of_input_expected:
        return "the JSON has something behind its end";
    case json_error_unknown:
    case json_error_out_of_memory:
    case json_error_stack_overflow:
    case json_error_invalid_argument:
    case json_error_cannot_open_file:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_value:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return "not valid JSON";
}

/* The text, as jansson takes it. Its lexer goes on without a character that it had no memory for, which
 * would make another text of this one; all that tells is errno, which reading a number resets. So errno
 * is looked at before a number can end, and the text ends where memory did. */
struct json_source {
    const char *at, *end;
    bool in_string, escaped; /* at at */
    bool no_memory;
};

/* How many of the next bytes may be handed over at once: to the next digit of a number, or most. */
static size_t json_run(struct json_source *source, size_t most)
{
    size_t left = (size_t)(source->end - source->at);
    size_t len = left < most ? left : most;
    for (size_t i = 0; i < len; i++) {
        char c = source->at[i];
        if (source->escaped) {
            source->escaped = false;
        } else if (c == '\\') {
            source->escaped = source->in_string;
        } else if (c == '"') {
            source->in_string = !source->in_string;
        } else if (!source->in_string && c >= '0' && c <= '9') {
            return i + 1;
        }
    }
    return len;
}

static size_t json_next(void *buffer, size_t buffer_len, void *data)
{
    struct json_source *source = data;
    source->no_memory = source->no_memory || errno == ENOMEM;
    if (source->no_memory) {
        return 0;
    }
    size_t len = json_run(source, buffer_len);
    memcpy(buffer, source->at, len);
    source->at += len;
    return len;
}

static signet_status json_refuse(signet_status status, const char *why, const char **detail)
{
    *detail = why;
    return status;
}

signet_status sg_json_load(const char *text, size_t len, size_t max_len, size_t max_depth,
                           struct json_t **out, const char **detail)
{
    if (len > max_len) {
        return json_refuse(SIGNET_INVALID_ARGUMENT, "the JSON is too long", detail);
    }
    const char *fault = json_gate(text, len, max_depth);
    if (fault != NULL) {
        return json_refuse(SIGNET_INVALID_ARGUMENT, fault, detail);
    }
    struct json_source source = {.at = text, .end = text + len};
    json_error_t error = {.line = 0};
    errno = 0;
    json_t *root = json_load_callback(json_next, &source, JSON_REJECT_DUPLICATES, &error);
    enum json_error_code code = root == NULL ? json_error_code(&error) : json_error_unknown;
    if (source.no_memory || errno == ENOMEM || code == json_error_out_of_memory) {
        json_decref(root);
        return json_refuse(SIGNET_RESOURCE_EXHAUSTED, "no memory to read the JSON", detail);
    }
    if (!json_is_object(root)) {
        fault = root == NULL ? json_fault(code) : "the JSON is not an object";
        json_decref(root);
        return json_refuse(SIGNET_INVALID_ARGUMENT, fault, detail);
    }
    *out = root;
    return SIGNET_OK;
}
