/* SPDX-License-Identifier: Apache-2.0
 *
 * A grant for tests of other things.
 */
#ifndef SG_TEST_GRANT_ALL_H
#define SG_TEST_GRANT_ALL_H

#include "server/config.h"

/* grant_all lets anybody sign and verify with any keyset; static, for any number of configurations. */
struct sg_config_grant *grant_all(void);

#endif
