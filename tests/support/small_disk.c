/* SPDX-License-Identifier: Apache-2.0
 *
 * A tmpfs over the state directory.
 */
#include "tests/support/small_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka.h needs these and one of the header's. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

void test_small_disk_fill(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

void test_small_disk_start(struct test_keyed_daemon *keyed, const char *keysets)
{
    char text[1024];
    if (mount("none", keyed->state_dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0700") != 0) {
        print_message("no full disk without the right to mount a small one: %s\n", strerror(errno));
        skip();
    }
    assert_int_equal(unlink(keyed->source + strlen("file:")), 0);
    const char *const init[] = {"keystore", "init",        "--state-dir", keyed->state_dir,
                                "--key",    keyed->source, NULL};
    free(test_keyed_daemon_run(keyed, init, NULL));
    (void)snprintf(text, sizeof(text), "%saudit:\n  dir: \"off\"\n", keysets);
    test_keyed_daemon_configure(keyed, text);
    test_keyed_daemon_start(keyed);
}
