/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of a YAML file, by path. Keeps libyaml's document, whose nodes know where they began. Never
 * interprets a value.
 */
#include "server/config_lines.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* More keys in one mapping than any configuration has: finding doubles takes the square of it. */
#define LINES_MAX_KEYS 64

struct sg_config_lines {
    yaml_document_t document;
};

static signet_status lines_fail(struct sg_config_fault *fault, size_t line, const char *message)
{
    fault->line = line;
    (void)snprintf(fault->message, sizeof(fault->message), "%s", message);
    return SIGNET_INVALID_ARGUMENT;
}

/* ---- Reading ---- */

/* What mends the one fault of syntax that a good value leads to: "key: passphrase:" */
static const char *lines_syntax_hint(const char *problem)
{
    return strcmp(problem, "mapping values are not allowed in this context") == 0
               ? "; a value that ends with a colon, or holds one before a space, needs quotes"
               : "";
}

static signet_status lines_syntax_fault(const yaml_parser_t *parser, struct sg_config_fault *fault)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    size_t line =
        parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    (void)snprintf(fault->message, sizeof(fault->message), "not YAML: %s%s", problem,
                   lines_syntax_hint(problem));
    fault->line = line + 1;
    return SIGNET_INVALID_ARGUMENT;
}

/* After the first document: there must be no other. */
static signet_status lines_check_end(yaml_parser_t *parser, struct sg_config_fault *fault)
{
    yaml_document_t next;
    if (yaml_parser_load(parser, &next) != 1) {
        return lines_syntax_fault(parser, fault);
    }
    bool is_end = yaml_document_get_root_node(&next) == NULL;
    size_t line = next.start_mark.line + 1;
    yaml_document_delete(&next);
    return is_end ? SIGNET_OK : lines_fail(fault, line, "a second document; expected one only");
}

static signet_status lines_load(const uint8_t *text, size_t len, yaml_document_t *document,
                                struct sg_config_fault *fault)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) != 1) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    yaml_parser_set_input_string(&parser, text, len);
    signet_status status = SIGNET_OK;
    if (yaml_parser_load(&parser, document) != 1) {
        status = lines_syntax_fault(&parser, fault);
    } else {
        if (yaml_document_get_root_node(document) == NULL) {
            status = lines_fail(fault, 1, "empty; expected at least keysets");
        } else {
            status = lines_check_end(&parser, fault);
        }
        if (status != SIGNET_OK) {
            yaml_document_delete(document);
        }
    }
    yaml_parser_delete(&parser);
    return status;
}

/* ---- Checking ---- */

static bool lines_same_scalar(const yaml_node_t *a, const yaml_node_t *b)
{
    return a->type == YAML_SCALAR_NODE && b->type == YAML_SCALAR_NODE &&
           a->data.scalar.length == b->data.scalar.length &&
           memcmp(a->data.scalar.value, b->data.scalar.value, a->data.scalar.length) == 0;
}

static signet_status lines_check_mapping(yaml_document_t *document, const yaml_node_t *mapping,
                                         struct sg_config_fault *fault)
{
    const yaml_node_pair_t *start = mapping->data.mapping.pairs.start;
    const yaml_node_pair_t *top = mapping->data.mapping.pairs.top;
    if (top - start > LINES_MAX_KEYS) {
        return lines_fail(fault, mapping->start_mark.line + 1, "too many keys in one place");
    }
    for (const yaml_node_pair_t *pair = start; pair < top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        for (const yaml_node_pair_t *before = start; before < pair; before++) {
            const yaml_node_t *other = yaml_document_get_node(document, before->key);
            if (lines_same_scalar(key, other)) {
                (void)snprintf(fault->message, sizeof(fault->message),
                               "%.64s: given twice, first in line %zu; expected once",
                               (const char *)key->data.scalar.value, other->start_mark.line + 1);
                fault->line = key->start_mark.line + 1;
                return SIGNET_INVALID_ARGUMENT;
            }
        }
    }
    return SIGNET_OK;
}

static signet_status lines_check_node(yaml_document_t *document, const yaml_node_t *node,
                                      struct sg_config_fault *fault)
{
    if (node->type == YAML_MAPPING_NODE) {
        return lines_check_mapping(document, node, fault);
    }
    if (node->type == YAML_SCALAR_NODE &&
        memchr(node->data.scalar.value, '\0', node->data.scalar.length) != NULL) {
        return lines_fail(fault, node->start_mark.line + 1, "a value holds a NUL character");
    }
    return SIGNET_OK;
}

signet_status sg_config_lines_read(const uint8_t *text, size_t len, struct sg_config_lines **out,
                                   struct sg_config_fault *fault)
{
    struct sg_config_lines *lines = calloc(1, sizeof(*lines));
    if (lines == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = lines_load(text, len, &lines->document, fault);
    if (status != SIGNET_OK) {
        free(lines);
        return status;
    }
    for (const yaml_node_t *node = lines->document.nodes.start;
         status == SIGNET_OK && node < lines->document.nodes.top; node++) {
        status = lines_check_node(&lines->document, node, fault);
    }
    if (status != SIGNET_OK) {
        sg_config_lines_free(lines);
        return status;
    }
    *out = lines;
    return SIGNET_OK;
}

void sg_config_lines_free(struct sg_config_lines *lines)
{
    if (lines != NULL) {
        yaml_document_delete(&lines->document);
        free(lines);
    }
}

/* ---- Finding ---- */

/* The value of a key, and the key's own line; NULL if it is not there. */
static yaml_node_t *lines_member(yaml_document_t *document, const yaml_node_t *node,
                                 const char *name, size_t name_len, size_t *line)
{
    if (node->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == name_len &&
            memcmp(key->data.scalar.value, name, name_len) == 0) {
            *line = key->start_mark.line + 1;
            return yaml_document_get_node(document, pair->value);
        }
    }
    return NULL;
}

static yaml_node_t *lines_item(yaml_document_t *document, const yaml_node_t *node, size_t index,
                               size_t *line)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        return NULL;
    }
    const yaml_node_item_t *start = node->data.sequence.items.start;
    if (index >= (size_t)(node->data.sequence.items.top - start)) {
        return NULL;
    }
    yaml_node_t *item = yaml_document_get_node(document, start[index]);
    *line = item->start_mark.line + 1;
    return item;
}

size_t sg_config_lines_find(const struct sg_config_lines *lines, const char *path)
{
    /* libyaml's readers of a document want it without const; they change nothing. */
    yaml_document_t document = lines->document;
    const yaml_node_t *node = yaml_document_get_root_node(&document);
    size_t line = node->start_mark.line + 1;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end = NULL;
            node = lines_item(&document, node, strtoul(path + 1, &end, 10), &line);
            path = *end == ']' ? end + 1 : end;
        } else {
            path += *path == '.' ? 1 : 0;
            size_t len = strcspn(path, ".[");
            node = lines_member(&document, node, path, len, &line);
            path += len;
        }
    }
    return line;
}
