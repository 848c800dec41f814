/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs of grants against names of keysets.
 */
#include "server/grant_keysets.h"

#include "server/glob.h"

bool sg_grant_has_keyset(const struct sg_config *config, const char *glob, size_t *num_comparisons)
{
    for (size_t i = 0; i < config->num_keysets; i++) {
        (*num_comparisons)++;
        if (*num_comparisons > SG_GRANT_MAX_COMPARISONS ||
            sg_glob_match(glob, config->keysets[i].name)) {
            return true;
        }
    }
    return false;
}

bool sg_grant_is_for(const struct sg_config_grant *grant, const char *name, size_t *num_comparisons)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        (*num_comparisons)++;
        if (*num_comparisons > SG_GRANT_MAX_COMPARISONS) {
            return false;
        }
        if (sg_glob_match(grant->keysets[i], name)) {
            return true;
        }
    }
    return false;
}
