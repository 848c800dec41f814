/* SPDX-License-Identifier: Apache-2.0
 *
 * The real time.
 */
#include "server/keyholder/wall_clock.h"

#include <time.h>

int64_t sg_wall_clock_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}
