/* SPDX-License-Identifier: Apache-2.0
 *
 * The front's filter. It says what must not be, not what is needed: the front's libraries are many, and
 * what they need changes with them.
 */
#include "server/confine_front.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "server/keyholder/filter.h"

/* Starting programs, and other processes than this one. */
static const int front_program_calls[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(uselib),
};
static const int front_clone_call[] = {SCMP_SYS(clone)};
static const struct scmp_arg_cmp front_no_thread = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0};
/* Its flags are in memory, where no filter sees them; the C library then takes clone. */
static const int front_clone3_call[] = {SCMP_SYS(clone3)};

/* Code that was not there at the start. */
static const int front_mapping_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect),
                                          SCMP_SYS(pkey_mprotect)};
static const struct scmp_arg_cmp front_code = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC};
static const int front_shmat_call[] = {SCMP_SYS(shmat)};
static const struct scmp_arg_cmp front_shm_code = {2, SCMP_CMP_MASKED_EQ, SHM_EXEC, SHM_EXEC};

/* Other processes' memory, descriptors and state: the keyholder's above all. */
static const int front_process_calls[] = {
    SCMP_SYS(ptrace),          SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise), SCMP_SYS(pidfd_getfd),      SCMP_SYS(kcmp),
    SCMP_SYS(perf_event_open), SCMP_SYS(move_pages),       SCMP_SYS(migrate_pages),
};

/* Becoming another user, or more. */
static const int front_user_calls[] = {
    SCMP_SYS(setuid),    SCMP_SYS(setgid),    SCMP_SYS(setreuid),    SCMP_SYS(setregid),
    SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups),   SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),  SCMP_SYS(capset),    SCMP_SYS(personality),
};

/* Kernel interfaces that a daemon has no use for, and that exploits have. */
static const int front_kernel_calls[] = {
    SCMP_SYS(bpf),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(syslog),
};

/* Another view of the file system, or files by other means than their names. */
static const int front_mount_calls[] = {
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(chroot),
    SCMP_SYS(pivot_root),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(quotactl),
    SCMP_SYS(fanotify_init),
};

/* The machine itself. */
static const int front_machine_calls[] = {
    SCMP_SYS(reboot),       SCMP_SYS(swapon),        SCMP_SYS(swapoff),
    SCMP_SYS(acct),         SCMP_SYS(sethostname),   SCMP_SYS(setdomainname),
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),     SCMP_SYS(vhangup),
};

bool sg_confine_front(void)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    const struct sg_filter_rule rules[] = {
        {refuse, SG_FILTER_CALLS(front_program_calls), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_clone_call), &front_no_thread, 1},
        {SCMP_ACT_ERRNO(ENOSYS), SG_FILTER_CALLS(front_clone3_call), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_mapping_calls), &front_code, 1},
        {refuse, SG_FILTER_CALLS(front_shmat_call), &front_shm_code, 1},
        {refuse, SG_FILTER_CALLS(front_process_calls), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_user_calls), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_kernel_calls), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_mount_calls), NULL, 0},
        {refuse, SG_FILTER_CALLS(front_machine_calls), NULL, 0},
    };
    return !SG_CONFINE_SANITIZED &&
           sg_filter_load(SCMP_ACT_ALLOW, rules, sizeof(rules) / sizeof(rules[0]));
}
