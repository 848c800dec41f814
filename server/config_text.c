/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema of signet.yaml, and what libcyaml says of a file that does not fit it, put into our
 * words.
 */
#include "server/config_text.h"

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_PATH 256u

/* ---- Schema ---- */

#define TEXT_FIELD(structure, member)                                                              \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member,   \
                           0, CYAML_UNLIMITED)

/* Whether something is there is judged later, with a line. */
static const cyaml_schema_field_t text_keyset_fields[] = {
    TEXT_FIELD(struct sg_config_text_keyset, name),
    TEXT_FIELD(struct sg_config_text_keyset, alg),
    TEXT_FIELD(struct sg_config_text_keyset, issuer),
    TEXT_FIELD(struct sg_config_text_keyset, typ),
    TEXT_FIELD(struct sg_config_text_keyset, default_ttl),
    TEXT_FIELD(struct sg_config_text_keyset, max_ttl),
    TEXT_FIELD(struct sg_config_text_keyset, rsa_bits),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_keyset_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sg_config_text_keyset, text_keyset_fields),
};

static const cyaml_schema_field_t text_limits_fields[] = {
    TEXT_FIELD(struct sg_config_text_limits, max_connections),
    TEXT_FIELD(struct sg_config_text_limits, max_connections_per_uid),
    TEXT_FIELD(struct sg_config_text_limits, max_in_flight),
    TEXT_FIELD(struct sg_config_text_limits, max_in_flight_per_connection),
    TEXT_FIELD(struct sg_config_text_limits, max_buffer_mib),
    TEXT_FIELD(struct sg_config_text_limits, idle_timeout),
    TEXT_FIELD(struct sg_config_text_limits, workers),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_fields[] = {
    TEXT_FIELD(struct sg_config_text, runtime_dir),
    TEXT_FIELD(struct sg_config_text, state_dir),
    TEXT_FIELD(struct sg_config_text, user),
    TEXT_FIELD(struct sg_config_text, socket_mode),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct sg_config_text, limits,
                        text_limits_fields),
    CYAML_FIELD_SEQUENCE("keysets", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sg_config_text,
                         keysets, &text_keyset_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sg_config_text, text_fields),
};

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

static const cyaml_schema_field_t *text_fields_of(const char *path)
{
    if (path[0] == '\0') {
        return text_fields;
    }
    return strcmp(path, "limits") == 0 ? text_limits_fields : text_keyset_fields;
}

static void text_unknown_key(const char *path, const char *key, char *out, size_t out_cap)
{
    int len = snprintf(out, out_cap, "%s%s%s: there is no such key; expected one of", path,
                       path[0] != '\0' ? "." : "", key);
    size_t used = len > 0 ? (size_t)len : 0;
    for (const cyaml_schema_field_t *field = text_fields_of(path);
         field->key != NULL && used < out_cap; field++) {
        len = snprintf(out + used, out_cap - used, "%s %s",
                       field == text_fields_of(path) ? "" : ",", field->key);
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

static void text_translate(const struct text_cyaml_fault *said, cyaml_err_t error,
                           const struct sg_config_lines *lines, struct sg_config_fault *fault)
{
    static const char unexpected[] = "Unexpected key: ";
    char path[TEXT_MAX_PATH];
    const char *key = said->message + sizeof(unexpected) - 1;
    if (strncmp(said->message, unexpected, sizeof(unexpected) - 1) == 0) {
        (void)snprintf(path, sizeof(path), "%.120s%s%.120s", said->path,
                       said->path[0] != '\0' ? "." : "", key);
        text_unknown_key(said->path, key, fault->message, sizeof(fault->message));
    } else {
        (void)snprintf(path, sizeof(path), "%s", said->path);
        (void)snprintf(fault->message, sizeof(fault->message), "%.190s: %s",
                       path[0] != '\0' ? path : "the file", text_explain(said->message, error));
    }
    fault->line = sg_config_lines_find(lines, path);
}

/* ---- Reading ---- */

static const cyaml_config_t text_cyaml = {
    .log_fn = text_on_cyaml_log,
    .log_level = CYAML_LOG_ERROR,
    .mem_fn = cyaml_mem,
    .flags = CYAML_CFG_NO_ALIAS, /* no configuration needs them, and they can multiply */
};

signet_status sg_config_text_read(const uint8_t *bytes, size_t len,
                                  const struct sg_config_lines *lines, struct sg_config_text **out,
                                  struct sg_config_fault *fault)
{
    struct text_cyaml_fault said = {{0}, {0}};
    cyaml_data_t *text = NULL;
    cyaml_config_t cyaml = text_cyaml;
    cyaml.log_ctx = &said;
    cyaml_err_t error = cyaml_load_data(bytes, len, &cyaml, &text_schema, &text, NULL);
    if (error == CYAML_ERR_OOM) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    if (error != CYAML_OK || text == NULL) {
        text_translate(&said, error, lines, fault);
        return SIGNET_INVALID_ARGUMENT;
    }
    *out = text;
    return SIGNET_OK;
}

void sg_config_text_free(struct sg_config_text *text)
{
    if (text != NULL) {
        (void)cyaml_free(&text_cyaml, &text_schema, text, 0);
    }
}
