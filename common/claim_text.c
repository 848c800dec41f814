/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing claims of text. Allocates nothing.
 */
#include "common/claim_text.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *claim_text_without_application(const char *typ)
{
    static const char prefix[] = "application/";
    return strncasecmp(typ, prefix, sizeof(prefix) - 1) == 0 ? typ + sizeof(prefix) - 1 : typ;
}

bool sg_typ_equal(const char *a, const char *b)
{
    return strcasecmp(claim_text_without_application(a), claim_text_without_application(b)) == 0;
}

bool sg_scope_has(const char *scope, const char *word)
{
    size_t word_len = strlen(word);
    for (const char *at = scope; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (len != 0 && len == word_len && memcmp(at, word, len) == 0) {
            return true;
        }
        at += len + (at[len] == ' ' ? 1 : 0);
    }
    return false;
}
