/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of a YAML file, by path. Keeps libyaml's document, whose nodes know where they began. Never
 * interprets a value.
 */
#include "server/config_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* More than any configuration has. libyaml's time, or ours, grows with the square of each but the entries, which
 * libcyaml makes much of. */
#define LINES_MAX_KEYS       64u   /* in one mapping */
#define LINES_MAX_ENTRIES    8192u /* in one list */
#define LINES_MAX_DEPTH      32u
#define LINES_MAX_ANCHORS    64u
#define LINES_MAX_DIRECTIVES 64u

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

/* ---- Bounds ---- */

/* Where a first look at a file is. */
struct lines_look {
    size_t num_anchors;
    size_t depth;
    struct {
        bool is_mapping;
        size_t line, num; /* num: of its nodes, keys and values alike */
    } open[LINES_MAX_DEPTH];
};

/* What begins with '%' at the start of a line, wherever it is. */
static signet_status lines_bound_directives(const uint8_t *text, size_t len,
                                            struct sg_config_fault *fault)
{
    size_t num = 0;
    size_t line = 1;
    for (size_t i = 0; i < len; i++) {
        bool is_start = i == 0 || text[i - 1] == '\n' || text[i - 1] == '\r';
        line += i > 0 && text[i - 1] == '\n' ? 1 : 0;
        num += is_start && text[i] == '%' ? 1 : 0;
        if (text[i] == '\0') {
            return lines_fail(fault, line, "not YAML: it holds a NUL; expected UTF-8");
        }
        if (num > LINES_MAX_DIRECTIVES) {
            return lines_fail(fault, line,
                              "too many directives, which begin with %; expected none");
        }
    }
    return SIGNET_OK;
}

/* One node more in what is open. */
static signet_status lines_bound_node(struct lines_look *look, struct sg_config_fault *fault)
{
    if (look->depth == 0) {
        return SIGNET_OK;
    }
    size_t num = ++look->open[look->depth - 1].num;
    size_t line = look->open[look->depth - 1].line;
    if (look->open[look->depth - 1].is_mapping) {
        return num <= 2 * LINES_MAX_KEYS ? SIGNET_OK
                                         : lines_fail(fault, line, "too many keys in one place");
    }
    return num <= LINES_MAX_ENTRIES ? SIGNET_OK
                                    : lines_fail(fault, line, "too many entries in one list");
}

static signet_status lines_bound_open(struct lines_look *look, const yaml_event_t *event,
                                      struct sg_config_fault *fault)
{
    size_t line = event->start_mark.line + 1;
    if (look->depth == LINES_MAX_DEPTH) {
        return lines_fail(fault, line, "too deep: a list or keys in too many others");
    }
    look->open[look->depth].is_mapping = event->type == YAML_MAPPING_START_EVENT;
    look->open[look->depth].line = line;
    look->open[look->depth].num = 0;
    look->depth++;
    return SIGNET_OK;
}

static signet_status lines_bound_event(struct lines_look *look, const yaml_event_t *event,
                                       struct sg_config_fault *fault)
{
    const yaml_char_t *anchor = NULL;
    bool is_opening = false;
    if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT) {
        look->depth--;
        return SIGNET_OK;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        is_opening = true;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        is_opening = true;
    } else if (event->type != YAML_ALIAS_EVENT) {
        return SIGNET_OK;
    }
    look->num_anchors += anchor != NULL ? 1 : 0;
    if (look->num_anchors > LINES_MAX_ANCHORS) {
        return lines_fail(fault, event->start_mark.line + 1,
                          "too many anchors (&name); expected none");
    }
    signet_status status = lines_bound_node(look, fault);
    return status == SIGNET_OK && is_opening ? lines_bound_open(look, event, fault) : status;
}

/* Before libyaml builds a document of it, which takes the square of what is bounded here. */
static signet_status lines_bound(const uint8_t *text, size_t len, struct sg_config_fault *fault)
{
    struct lines_look look = {0};
    yaml_parser_t parser;
    yaml_event_t event;
    bool is_end = false;
    signet_status status = lines_bound_directives(text, len, fault);
    if (status != SIGNET_OK) {
        return status;
    }
    if (yaml_parser_initialize(&parser) != 1) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    yaml_parser_set_input_string(&parser, text, len);
    while (status == SIGNET_OK && !is_end) {
        if (yaml_parser_parse(&parser, &event) != 1) {
            status = lines_syntax_fault(&parser, fault);
            break;
        }
        status = lines_bound_event(&look, &event, fault);
        is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

/* ---- Loading ---- */

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
    for (const yaml_node_pair_t *pair = start; pair < top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            return lines_fail(fault, key->start_mark.line + 1,
                              "a list or keys in the place of a key; expected \"key: value\"");
        }
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
    signet_status status = lines_bound(text, len, fault);
    if (status == SIGNET_OK) {
        status = lines_load(text, len, &lines->document, fault);
    }
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

/* The node at a path, NULL if there is none; *line is that of the nearest thing around it. */
static const yaml_node_t *lines_walk(const struct sg_config_lines *lines, const char *path,
                                     size_t *line)
{
    /* libyaml's readers of a document want it without const; they change nothing. */
    yaml_document_t document = lines->document;
    const yaml_node_t *node = yaml_document_get_root_node(&document);
    *line = node->start_mark.line + 1;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end = NULL;
            node = lines_item(&document, node, strtoul(path + 1, &end, 10), line);
            path = *end == ']' ? end + 1 : end;
        } else {
            path += *path == '.' ? 1 : 0;
            size_t len = strcspn(path, ".[");
            node = lines_member(&document, node, path, len, line);
            path += len;
        }
    }
    return node;
}

size_t sg_config_lines_find(const struct sg_config_lines *lines, const char *path)
{
    size_t line = 0;
    (void)lines_walk(lines, path, &line);
    return line;
}

bool sg_config_lines_has(const struct sg_config_lines *lines, const char *path)
{
    size_t line = 0;
    return lines_walk(lines, path, &line) != NULL;
}

const char *sg_config_lines_stranger(const struct sg_config_lines *lines, const char *path,
                                     bool (*is_known)(const void *context, const char *key),
                                     const void *context, size_t *line)
{
    yaml_document_t document = lines->document;
    const yaml_node_t *node = lines_walk(lines, path, line);
    if (node == NULL || node->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&document, pair->key);
        if (key->type == YAML_SCALAR_NODE &&
            !is_known(context, (const char *)key->data.scalar.value)) {
            *line = key->start_mark.line + 1;
            return (const char *)key->data.scalar.value;
        }
    }
    return NULL;
}
