/* SPDX-License-Identifier: Apache-2.0
 *
 * When two claims of text mean the same: for the daemon, which judges, and for the library, which
 * checks that it was answered what it asked. Knows no JSON.
 */
#ifndef SG_CLAIM_TEXT_H
#define SG_CLAIM_TEXT_H

#include <stdbool.h>

/* sg_typ_equal compares media types without case and without "application/" (RFC 7515 4.1.9). */
bool sg_typ_equal(const char *a, const char *b);

/* sg_scope_has says whether scope, words with single spaces between them (RFC 6749 section 3.3), has
 * the word. An empty word, and one with a space in it, is in none. */
bool sg_scope_has(const char *scope, const char *word);

#endif
