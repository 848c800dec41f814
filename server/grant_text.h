/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants for people: what each lets whom do, in words, and what in them is not likely to be meant. Decides
 * nothing.
 */
#ifndef SG_GRANT_TEXT_H
#define SG_GRANT_TEXT_H

#include "server/config.h"

/* sg_grants_describe gives line one text for each grant, in their order, such as "grant login-signs: processes of
 * user login (uid 1001) may sign with keyset login; ...", and after it those of notes on it, which begin with
 * "  note: ". The text is NUL-terminated, without a newline, and valid during the call. Looks for the files of
 * executables. */
void sg_grants_describe(const struct sg_config *config,
                        void (*line)(void *context, const char *text), void *context);

/* sg_grants_warn gives line one text for each thing that is likely to be a mistake, such as "grant b (line 12):
 * never decides: grant a (line 3) comes first", likewise: grants that can never be used, what an earlier grant
 * takes from a later one, and what anybody may do. None if there is nothing to say. Takes less than a second for
 * any configuration, but for the file system's time. */
void sg_grants_warn(const struct sg_config *config, void (*line)(void *context, const char *text),
                    void *context);

#endif
