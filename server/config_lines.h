/* SPDX-License-Identifier: Apache-2.0
 *
 * Where things stand in a YAML file: a second reading beside libcyaml's, which keeps no lines of
 * what it accepted. Also refuses what no configuration needs: a key given twice, a second document,
 * NUL.
 */
#ifndef SG_CONFIG_LINES_H
#define SG_CONFIG_LINES_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_config_lines;

struct sg_config_fault {
    size_t line; /* from 1 */
    char message[400];
};

/* sg_config_lines_read reads a whole file. On INVALID_ARGUMENT *fault says what is wrong with it,
 * and where. */
signet_status sg_config_lines_read(const uint8_t *text, size_t len, struct sg_config_lines **out,
                                   struct sg_config_fault *fault) SIGNET_MUST_CHECK;
void sg_config_lines_free(struct sg_config_lines *lines);

/* sg_config_lines_find returns the line of a path such as "keysets[1].alg", or of the nearest thing
 * around it that is there. */
size_t sg_config_lines_find(const struct sg_config_lines *lines, const char *path);

/* sg_config_lines_stranger returns the first key of the mapping at path that is_known does not know, and its line;
 * NULL if there is none. It belongs to the lines. */
const char *sg_config_lines_stranger(const struct sg_config_lines *lines, const char *path,
                                     bool (*is_known)(const void *context, const char *key),
                                     const void *context, size_t *line);

/* sg_config_lines_has says whether there is something at the path, even if it is an empty list. */
bool sg_config_lines_has(const struct sg_config_lines *lines, const char *path);

#endif
