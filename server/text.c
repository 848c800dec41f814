/* SPDX-License-Identifier: Apache-2.0
 *
 * A buffer that doubles.
 */
#include "server/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MIN_CAP 256u

/* Room for len characters more, and a NUL. */
static bool text_reserve(struct sg_text *text, size_t len)
{
    size_t cap = text->cap > 0 ? text->cap : TEXT_MIN_CAP;
    while (cap - text->len <= len) {
        cap *= 2;
    }
    if (cap == text->cap) {
        return true;
    }
    char *bytes = realloc(text->bytes, cap);
    if (bytes == NULL) {
        return false;
    }
    text->bytes = bytes;
    text->cap = cap;
    return true;
}

void sg_text_add(struct sg_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    text->failed = text->failed || len < 0 || !text_reserve(text, (size_t)len);
    if (!text->failed) {
        (void)vsnprintf(text->bytes + text->len, text->cap - text->len, format, again);
        text->len += (size_t)len;
    }
    va_end(again);
    va_end(arguments);
}

const char *sg_text_get(const struct sg_text *text)
{
    if (text->failed) {
        return "no memory to say it";
    }
    return text->bytes != NULL ? text->bytes : "";
}

void sg_text_clear(struct sg_text *text)
{
    text->len = 0;
    text->failed = false;
    if (text->bytes != NULL) {
        text->bytes[0] = '\0';
    }
}

void sg_text_fini(struct sg_text *text)
{
    free(text->bytes);
    *text = (struct sg_text){0};
}
