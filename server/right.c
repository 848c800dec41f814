/* SPDX-License-Identifier: Apache-2.0 */
#include "server/right.h"

#include <string.h>

static const char *const right_names[SG_NUM_RIGHTS] = {"sign", "verify", "revoke", "admin"};

enum sg_right sg_right_at(unsigned index)
{
    return (enum sg_right)(1u << index);
}

const char *sg_right_name(enum sg_right right)
{
    for (unsigned i = 0; i < SG_NUM_RIGHTS; i++) {
        if (sg_right_at(i) == right) {
            return right_names[i];
        }
    }
    return "?";
}

unsigned sg_right_of(const char *name)
{
    for (unsigned i = 0; i < SG_NUM_RIGHTS; i++) {
        if (strcmp(right_names[i], name) == 0) {
            return sg_right_at(i);
        }
    }
    return 0;
}
