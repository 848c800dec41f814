/* SPDX-License-Identifier: Apache-2.0
 *
 * The length of turns: see sched_setattr(2), sched_runtime. The C library has no function for it.
 */
#include "server/keyholder/turns.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The shortest and the longest that the kernel takes. */
#define TURNS_SHORT_NS 100000u
#define TURNS_LONG_NS  100000000u
#define TURNS_NICE     10

static void turns_set(uint64_t ns)
{
    struct sched_attr attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
        attributes.sched_policy != SCHED_NORMAL) {
        return; /* somebody chose otherwise */
    }
    attributes.size = sizeof(attributes);
    attributes.sched_flags = 0;
    attributes.sched_runtime = ns;
    long result = syscall(SYS_sched_setattr, 0, &attributes, 0);
    (void)result; /* without it, things are as on other kernels */
}

void sg_turns_shorten(void)
{
    turns_set(TURNS_SHORT_NS);
}

void sg_turns_yield(void)
{
    int now = nice(TURNS_NICE); /* of this thread only, on Linux */
    (void)now;
    turns_set(TURNS_LONG_NS);
}
