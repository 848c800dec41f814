/* SPDX-License-Identifier: Apache-2.0
 *
 * Matching globs. A glob's parts between its stars are looked for from left to right, each where it comes
 * first: a later place would leave less for the rest, so nothing is ever tried twice.
 */
#include "server/glob.h"

#include <string.h>

#define GLOB_STAR '*'

bool sg_glob_match(const char *glob, const char *text)
{
    const char *star = strchr(glob, GLOB_STAR);
    if (star == NULL) {
        return strcmp(glob, text) == 0;
    }
    size_t head_len = (size_t)(star - glob);
    const char *tail = strrchr(glob, GLOB_STAR) + 1;
    size_t tail_len = strlen(tail);
    size_t len = strlen(text);
    if (head_len + tail_len > len || memcmp(glob, text, head_len) != 0 ||
        memcmp(tail, text + len - tail_len, tail_len) != 0) {
        return false;
    }
    const char *at = text + head_len;
    const char *end = text + len - tail_len;
    for (const char *part = star + 1; part < tail;) {
        size_t part_len = (size_t)((const char *)strchr(part, GLOB_STAR) - part);
        const char *found = memmem(at, (size_t)(end - at), part, part_len);
        if (found == NULL) {
            return false;
        }
        at = found + part_len;
        part += part_len + 1;
    }
    return true;
}

/* Only a star of wide takes a star of narrow, as wide has no other character that is one; and what takes a star
 * takes whatever may stand in its place. The other way round, a text with some character for each star that is
 * not in wide shows what wide leaves out. */
bool sg_glob_covers(const char *wide, const char *narrow)
{
    return sg_glob_match(wide, narrow);
}
