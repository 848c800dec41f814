/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that is small enough to be filled, for a daemon's state. Takes the right to mount.
 */
#ifndef SG_TEST_SMALL_DISK_H
#define SG_TEST_SMALL_DISK_H

#include "tests/support/keyed_daemon.h"

/* test_small_disk_start has the state of a daemon that was prepared on a disk of its own, with a new keystore and without
 * an audit, and starts it. Skips the test, with a reason, if nothing may be mounted. */
void test_small_disk_start(struct test_keyed_daemon *keyed, const char *keysets);

/* test_small_disk_fill writes a file until the disk is full; whoever removes it makes room again. */
void test_small_disk_fill(const char *path);

#endif
