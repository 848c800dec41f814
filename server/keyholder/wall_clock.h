/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's only look at the time: whether a key is to sign yet. A file of its own, so that tests put
 * another in its place when they link.
 */
#ifndef SG_KEYHOLDER_WALL_CLOCK_H
#define SG_KEYHOLDER_WALL_CLOCK_H

#include <stdint.h>

int64_t sg_wall_clock_s(void); /* CLOCK_REALTIME, seconds since 1970 */

#endif
