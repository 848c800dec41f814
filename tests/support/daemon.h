/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon of one's own: the real signetd in a temporary runtime directory. Every wait has a bound;
 * only processes started here are ended here.
 */
#ifndef SG_TEST_DAEMON_H
#define SG_TEST_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct test_daemon {
    pid_t pid;             /* 0 when it does not run */
    char dir[96];          /* temporary directory, removed by test_daemon_stop */
    char runtime_dir[100]; /* dir/run */
    char socket[107];      /* runtime_dir/signet.sock */
    char address[120];     /* ipc://socket */
    char log_path[120];    /* its standard error */
    const char *program;   /* beside signetd; NULL: signetd itself */
};

/* test_daemon_prepare makes dir, and names what is to be in it; test_daemon_restart then starts it. */
void test_daemon_prepare(struct test_daemon *daemon);

/* test_daemon_start makes dir and starts SG_BIN_DIR/signetd with --runtime-dir and the arguments (NULL
 * ends them; none means --dev), and waits until it answers. Fails the test if it does not. The path is
 * taken from $SIGNET_BIN_DIR, else the build's. */
void test_daemon_start(struct test_daemon *daemon, const char *const *arguments);

/* test_daemon_restart starts it again in the same directory, after it ended. */
void test_daemon_restart(struct test_daemon *daemon, const char *const *arguments);

/* test_daemon_kill sends a signal and, if it should end by that, waits for the end (bounded). Returns
 * its wait status. */
int test_daemon_kill(struct test_daemon *daemon, int signal_number);

/* test_daemon_stop ends it with SIGTERM (SIGKILL after a bound, which fails the test), and removes dir. */
void test_daemon_stop(struct test_daemon *daemon);

/* The log so far; free() it. */
char *test_daemon_log(const struct test_daemon *daemon);
size_t test_daemon_rss_kib(const struct test_daemon *daemon);
/* Skips the running test if the kernel does not say: the daemon is undumpable, and we are not root. */
size_t test_daemon_num_fds(const struct test_daemon *daemon);

#endif
