/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon of one's own with keys that live: a configuration, a keystore and a key-encryption key in its
 * temporary directory.
 */
#ifndef SG_TEST_KEYED_DAEMON_H
#define SG_TEST_KEYED_DAEMON_H

#include "tests/support/daemon.h"
#include "tests/support/files.h"

struct test_keyed_daemon {
    struct test_daemon daemon;
    char config[128];        /* dir/signet.yaml */
    char state_dir[128];     /* dir/state */
    char trust_dir[128];     /* dir/trust.d */
    char source[160];        /* file:dir/keystore.key */
    char admin_address[140]; /* ipc://runtime_dir/admin.sock */
};

/* test_keyed_daemon_prepare makes all of it, the keystore by `signet keystore init`, with the keysets as
 * YAML (what follows "keysets:"), and starts nothing. */
void test_keyed_daemon_prepare(struct test_keyed_daemon *keyed, const char *keysets);

/* test_keyed_daemon_configure writes the configuration anew. */
void test_keyed_daemon_configure(const struct test_keyed_daemon *keyed, const char *keysets);

/* test_keyed_daemon_start starts it, the first time or again, and waits until it answers. */
void test_keyed_daemon_start(struct test_keyed_daemon *keyed);

/* test_keyed_daemon_refuses runs one that must not start; the output is its whole log. */
void test_keyed_daemon_refuses(const struct test_keyed_daemon *keyed, struct test_output *output);

/* test_keyed_daemon_signet runs `signet` with the arguments (NULL ends them, at most 12) and the address
 * of the daemon: the operator's socket for `key`, `keystore` and `reload`. */
void test_keyed_daemon_signet(const struct test_keyed_daemon *keyed, const char *const *arguments,
                              const char *input, struct test_output *output);

/* test_keyed_daemon_run does the same, must succeed, and returns the standard output; free() it. */
char *test_keyed_daemon_run(const struct test_keyed_daemon *keyed, const char *const *arguments,
                            const char *input);

#endif
