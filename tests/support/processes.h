/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel says of the processes of a daemon.
 */
#ifndef SG_TEST_PROCESSES_H
#define SG_TEST_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* test_process_parent gives the parent of a process; 0 if there is no such process. */
pid_t test_process_parent(pid_t pid);

/* test_process_keyholder finds the keyholder's process among what descends from a daemon; 0 if there is
 * none now. */
pid_t test_process_keyholder(pid_t daemon);

/* test_process_await_keyholder waits for one other than `other` (0: any); fails the test if none comes. */
pid_t test_process_await_keyholder(pid_t daemon, pid_t other);

/* test_process_open gives a descriptor for a process (pidfd), so that its number can be given to another
 * meanwhile; test_process_await_end waits for its end and closes it. Fails the test if that does not come. */
int test_process_open(pid_t pid);
void test_process_await_end(int pidfd);

/* test_process_field copies a line of /proc/PID/status, such as "Uid", without its name. False if there is no
 * such process. */
bool test_process_field(pid_t pid, const char *name, char *out, size_t out_cap);

/* test_process_has_ids says whether all four uids are uid and all four gids gid. */
bool test_process_has_ids(pid_t pid, uid_t uid, gid_t gid);

#endif
