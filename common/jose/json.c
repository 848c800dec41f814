/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson behind a gate: size and depth are bounded before it sees a byte, since it recurses once a
 * level, as its destructor does.
 */
#include "common/jose/json.h"

#include <jansson.h>
#include <stdbool.h>

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
    case json_error_out_of_memory:
        return "no memory to read the JSON";
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

struct json_t *sg_json_load(const char *text, size_t len, size_t max_len, size_t max_depth,
                            const char **detail)
{
    if (len > max_len) {
        *detail = "the JSON is too long";
        return NULL;
    }
    const char *fault = json_gate(text, len, max_depth);
    if (fault != NULL) {
        *detail = fault;
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        *detail = json_fault(json_error_code(&error));
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        *detail = "the JSON is not an object";
        return NULL;
    }
    return root;
}
