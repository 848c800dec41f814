/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keysets grants are for, for words about them. Private to grant_*.c.
 */
#ifndef SG_GRANT_KEYSETS_H
#define SG_GRANT_KEYSETS_H

#include <stdbool.h>
#include <stddef.h>

#include "server/config.h"

/* How many globs may be held against names, for all grants of a configuration: some tenths of a second. A
 * configuration that is made to need more gets fewer words, not a daemon that does not start. */
#define SG_GRANT_MAX_COMPARISONS 4000000u

/* sg_grant_has_keyset says whether a keyset of the configuration matches the glob; counts in *num_comparisons,
 * and says yes when these are too many. */
bool sg_grant_has_keyset(const struct sg_config *config, const char *glob, size_t *num_comparisons);

/* sg_grant_is_for says whether the grant is for the keyset of a name; no when these are too many. */
bool sg_grant_is_for(const struct sg_config_grant *grant, const char *name,
                     size_t *num_comparisons);

#endif
