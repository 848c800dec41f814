/* SPDX-License-Identifier: Apache-2.0
 *
 * A YAML file as texts: its structure checked by libcyaml against a schema in which every value is text,
 * so that what is wrong with a value can be said later, with a line and all at once.
 */
#ifndef SG_YAML_TEXT_H
#define SG_YAML_TEXT_H

#include <cyaml/cyaml.h>
#include <signet/status.h>

#include "server/config_lines.h"

/* One key of a schema, of a const char * that is NULL where the key is not there. */
#define SG_YAML_TEXT_FIELD(structure, member)                                                      \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member,   \
                           0, CYAML_UNLIMITED)

/* sg_yaml_text_read reads a file that sg_config_lines_read has found to be one YAML document, into what
 * the schema, a mapping by pointer, says. On INVALID_ARGUMENT *fault says what is wrong: a key that
 * there is none of, or a value of another kind. */
signet_status sg_yaml_text_read(const uint8_t *bytes, size_t len,
                                const struct sg_config_lines *lines,
                                const cyaml_schema_value_t *schema, void **out,
                                struct sg_config_fault *fault) SIGNET_MUST_CHECK;
void sg_yaml_text_free(const cyaml_schema_value_t *schema, void *text);

#endif
