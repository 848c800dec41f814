/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading YAML by a schema, and what libcyaml says of a file that does not fit it, put into our words.
 */
#include "server/yaml_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_PATH 256u

/* ---- What libcyaml says ---- */

/* Its complaint, and the path that its backtrace gives, innermost first. */
struct text_cyaml_fault {
    char message[200];
    char path[TEXT_MAX_PATH];
};

static void text_path_prepend(struct text_cyaml_fault *fault, const char *part, size_t part_len)
{
    char path[TEXT_MAX_PATH];
    const char *separator = fault->path[0] == '\0' || fault->path[0] == '[' ? "" : ".";
    (void)snprintf(path, sizeof(path), "%.*s%s%.150s", (int)(part_len < 100 ? part_len : 100), part,
                   separator, fault->path);
    memcpy(fault->path, path, sizeof(path));
}

/* The text between the quotes of a backtrace line that begins with prefix; NULL if it does not. */
static const char *text_quoted(const char *line, const char *prefix, size_t *len)
{
    size_t prefix_len = strlen(prefix);
    if (strncmp(line, prefix, prefix_len) != 0) {
        return NULL;
    }
    const char *start = line + prefix_len;
    *len = strcspn(start, "'");
    return start;
}

static void __attribute__((format(printf, 3, 0)))
text_on_cyaml_log(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct text_cyaml_fault *fault = context;
    char line[256];
    size_t len = 0;
    if (level < CYAML_LOG_ERROR) {
        return;
    }
    (void)vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    const char *quoted = text_quoted(line, "  in mapping field '", &len);
    if (quoted != NULL) {
        text_path_prepend(fault, quoted, len);
        return;
    }
    quoted = text_quoted(line, "  in sequence entry '", &len);
    if (quoted != NULL) { /* it counts from 1 */
        char item[32];
        unsigned long entry = strtoul(quoted, NULL, 10);
        int item_len = snprintf(item, sizeof(item), "[%lu]", entry > 0 ? entry - 1 : 0);
        text_path_prepend(fault, item, item_len > 0 ? (size_t)item_len : 0);
        return;
    }
    if (strncmp(line, "  in ", 5) != 0 && strcmp(line, "Load: Backtrace:") != 0 &&
        fault->message[0] == '\0') {
        size_t skip = strncmp(line, "Load: ", 6) == 0 ? 6 : 0;
        (void)snprintf(fault->message, sizeof(fault->message), "%.190s", line + skip);
    }
}

/* The value behind one key of a mapping; NULL if there is none. */
static const cyaml_schema_value_t *text_value_of(const cyaml_schema_value_t *value, const char *key,
                                                 size_t len)
{
    if (value->type != CYAML_MAPPING) {
        return NULL;
    }
    for (const cyaml_schema_field_t *field = value->mapping.fields; field->key != NULL; field++) {
        if (strlen(field->key) == len && memcmp(field->key, key, len) == 0) {
            return &field->value;
        }
    }
    return NULL;
}

/* The keys that there may be at a path such as "keysets[1]"; those of the file for one that leads
 * nowhere. */
static const cyaml_schema_field_t *text_fields_of(const cyaml_schema_value_t *schema,
                                                  const char *path)
{
    const cyaml_schema_value_t *value = schema;
    while (value != NULL && path[0] != '\0') {
        if (path[0] == '[') {
            value = value->type == CYAML_SEQUENCE ? value->sequence.entry : NULL;
            path += strcspn(path, "]") + 1;
        } else {
            size_t len = strcspn(path, ".[");
            value = text_value_of(value, path, len);
            path += len;
        }
        path += path[0] == '.' ? 1 : 0;
    }
    return value != NULL && value->type == CYAML_MAPPING ? value->mapping.fields
                                                         : schema->mapping.fields;
}

static bool text_is_field(const void *context, const char *key)
{
    for (const cyaml_schema_field_t *field = context; field->key != NULL; field++) {
        if (strcmp(field->key, key) == 0) {
            return true;
        }
    }
    return false;
}

/* libcyaml says which key it is, but a long or an odd one as no path can lead to it: the key is looked for. */
static void text_unknown_key(const cyaml_schema_value_t *schema, const char *path,
                             const struct sg_config_lines *lines, struct sg_config_fault *fault)
{
    const cyaml_schema_field_t *fields = text_fields_of(schema, path);
    const size_t cap = sizeof(fault->message);
    const char *key = sg_config_lines_stranger(lines, path, text_is_field, fields, &fault->line);
    size_t key_len = key != NULL ? strcspn(key, "\n") : 0;
    int len = snprintf(fault->message, cap, "%.120s%s%.*s: there is no such key; expected one of",
                       path, path[0] != '\0' ? "." : "", (int)(key_len < 64 ? key_len : 64),
                       key != NULL ? key : "");
    size_t used = len > 0 ? (size_t)len : 0;
    for (const cyaml_schema_field_t *field = fields; field->key != NULL && used < cap; field++) {
        len = snprintf(fault->message + used, cap - used, "%s %s", field == fields ? "" : ",",
                       field->key);
        used += len > 0 ? (size_t)len : 0;
    }
}

static const char *text_explain(const char *message, cyaml_err_t error)
{
    static const struct {
        const char *prefix, *message;
    } kinds[] = {
        {"Expecting SEQUENCE", "expected a list, each entry beginning with \"- \""},
        {"Expecting MAPPING", "expected keys with values, \"key: value\""},
        {"Expecting STRING", "expected a single value"},
    };
    if (error == CYAML_ERR_ALIAS) {
        return "aliases (*name) are not read; expected the value itself";
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(message, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return kinds[i].message;
        }
    }
    return message[0] != '\0' ? message : cyaml_strerror(error);
}

static void text_translate(const cyaml_schema_value_t *schema, const struct text_cyaml_fault *said,
                           cyaml_err_t error, const struct sg_config_lines *lines,
                           struct sg_config_fault *fault)
{
    static const char unexpected[] = "Unexpected key: ";
    if (strncmp(said->message, unexpected, sizeof(unexpected) - 1) == 0) {
        text_unknown_key(schema, said->path, lines, fault);
        return;
    }
    (void)snprintf(fault->message, sizeof(fault->message), "%.190s: %s",
                   said->path[0] != '\0' ? said->path : "the file",
                   text_explain(said->message, error));
    fault->line = sg_config_lines_find(lines, said->path);
}

/* ---- Reading ---- */

static const cyaml_config_t text_cyaml = {
    .log_fn = text_on_cyaml_log,
    .log_level = CYAML_LOG_ERROR,
    .mem_fn = cyaml_mem,
    .flags = CYAML_CFG_NO_ALIAS, /* no configuration needs them, and they can multiply */
};

signet_status sg_yaml_text_read(const uint8_t *bytes, size_t len,
                                const struct sg_config_lines *lines,
                                const cyaml_schema_value_t *schema, void **out,
                                struct sg_config_fault *fault)
{
    struct text_cyaml_fault said = {{0}, {0}};
    cyaml_data_t *text = NULL;
    cyaml_config_t cyaml = text_cyaml;
    cyaml.log_ctx = &said;
    cyaml_err_t error = cyaml_load_data(bytes, len, &cyaml, schema, &text, NULL);
    if (error == CYAML_ERR_OOM) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    if (error != CYAML_OK || text == NULL) {
        text_translate(schema, &said, error, lines, fault);
        return SIGNET_INVALID_ARGUMENT;
    }
    *out = text;
    return SIGNET_OK;
}

void sg_yaml_text_free(const cyaml_schema_value_t *schema, void *text)
{
    if (text != NULL) {
        (void)cyaml_free(&text_cyaml, schema, text, 0);
    }
}
