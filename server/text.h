/* SPDX-License-Identifier: Apache-2.0
 *
 * A text that grows, for words that people read.
 */
#ifndef SG_TEXT_H
#define SG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty one. */
struct sg_text {
    char *bytes;
    size_t len, cap;
    bool failed; /* there was no memory: nothing of it is to be read */
};

/* sg_text_add appends, as printf does. */
void sg_text_add(struct sg_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* sg_text_get returns the text, which belongs to it until the next change; words for a lack of memory if it
 * failed. */
const char *sg_text_get(const struct sg_text *text);

/* sg_text_clear makes it empty, for another. */
void sg_text_clear(struct sg_text *text);
void sg_text_fini(struct sg_text *text);

#endif
