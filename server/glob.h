/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of names: '*' is any run of characters, the empty one too, and everything else is itself. There is
 * no '?', no '[...]' and no way to mean a '*'.
 */
#ifndef SG_GLOB_H
#define SG_GLOB_H

#include <stdbool.h>

/* sg_glob_match says whether the glob is one for the whole of text. Takes time in proportion to the lengths of
 * both, whatever they hold. */
bool sg_glob_match(const char *glob, const char *text);

/* sg_glob_covers says whether wide is one for every text that narrow is one for. A name without '*' is a glob
 * for itself. */
bool sg_glob_covers(const char *wide, const char *narrow);

#endif
