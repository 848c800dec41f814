/* SPDX-License-Identifier: Apache-2.0
 *
 * The resolver's filter: a list of what it needs. There is no ptrace on it, no look into another's memory by
 * number, no writing and no program.
 */
#include "server/confine_resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "server/keyholder/filter.h"

static const int resolver_talking_calls[] = {
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
};

static const int resolver_looking_calls[] = {
    SCMP_SYS(pidfd_open), SCMP_SYS(openat2), SCMP_SYS(newfstatat),  SCMP_SYS(fstat),
    SCMP_SYS(statx),      SCMP_SYS(fstatfs), SCMP_SYS(readlink),    SCMP_SYS(readlinkat),
    SCMP_SYS(read),       SCMP_SYS(close),   SCMP_SYS(sched_yield),
};
/* To read. What openat2 is asked for is in memory, where no filter sees it; nothing here writes. */
static const int resolver_open_call[] = {SCMP_SYS(openat)};
static const struct scmp_arg_cmp resolver_to_read = {
    2, SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, O_RDONLY};

static const int resolver_memory_calls[] = {
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
};
static const int resolver_mapping_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
static const struct scmp_arg_cmp resolver_no_code = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};

/* fork, as the C library does it, with no flag that makes it something else. */
static const int resolver_fork_call[] = {SCMP_SYS(clone)};
static const struct scmp_arg_cmp resolver_plain_fork = {
    0, SCMP_CMP_EQ, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0};
static const int resolver_clone3_call[] = {SCMP_SYS(clone3)};
/* Only to end: its child. Whom else the daemon's user could end, the daemon could end itself. */
static const int resolver_kill_call[] = {SCMP_SYS(kill)};
static const struct scmp_arg_cmp resolver_to_end = {1, SCMP_CMP_EQ, SIGKILL, 0};

static const int resolver_process_calls[] = {
    SCMP_SYS(wait4),          SCMP_SYS(alarm),           SCMP_SYS(setitimer),
    SCMP_SYS(futex),          SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(exit),           SCMP_SYS(exit_group),      SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),         SCMP_SYS(gettid),          SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
};

/* The child ends with the resolver. */
static const int resolver_prctl_call[] = {SCMP_SYS(prctl)};
static const struct scmp_arg_cmp resolver_to_end_with = {0, SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0};

bool sg_confine_resolver(void)
{
    const struct sg_filter_rule rules[] = {
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_talking_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_looking_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_open_call), &resolver_to_read, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_memory_calls), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_mapping_calls), &resolver_no_code, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_fork_call), &resolver_plain_fork, 1},
        {SCMP_ACT_ERRNO(ENOSYS), SG_FILTER_CALLS(resolver_clone3_call), NULL, 0},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_kill_call), &resolver_to_end, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_prctl_call), &resolver_to_end_with, 1},
        {SCMP_ACT_ALLOW, SG_FILTER_CALLS(resolver_process_calls), NULL, 0},
    };
    return !SG_CONFINE_SANITIZED &&
           sg_filter_load(SCMP_ACT_KILL_PROCESS, rules, sizeof(rules) / sizeof(rules[0]));
}
