/* SPDX-License-Identifier: Apache-2.0
 *
 * A grant for tests of other things.
 */
#include "tests/support/grant_all.h"

struct sg_config_grant *grant_all(void)
{
    static char name[] = "all";
    static char every[] = "*";
    static char *keysets[] = {every};
    static struct sg_config_grant grant = {
        .name = name,
        .who = {.is_anybody = true},
        .may = SG_RIGHT_SIGN | SG_RIGHT_VERIFY,
        .keysets = keysets,
        .num_keysets = 1,
    };
    return &grant;
}
