/* SPDX-License-Identifier: Apache-2.0
 *
 * Daemons with keystores.
 */
#include "tests/support/keyed_daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYED_PATIENCE_MS   (SG_SANITIZED ? 120000u : 30000u)
#define KEYED_MAX_ARGUMENTS 12u

static void keyed_program(const char *name, char *out, size_t out_cap)
{
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(out, out_cap, "%s/%s", bin_dir != NULL ? bin_dir : SG_BIN_DIR, name);
}

/* Whoever runs the tests, root included. */
static const char *keyed_user(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    assert_non_null(entry);
    return entry->pw_name;
}

static void keyed_init_keystore(const struct test_keyed_daemon *keyed)
{
    char signet[512];
    struct test_output output;
    keyed_program("signet", signet, sizeof(signet));
    const char *const argv[] = {signet,           "keystore", "init",        "--state-dir",
                                keyed->state_dir, "--key",    keyed->source, NULL};
    test_run(argv, NULL, KEYED_PATIENCE_MS, &output);
    if (output.exit_status != 0) {
        fail_msg("signet keystore init: %d\n%s%s", output.exit_status, output.out, output.err);
    }
    test_output_free(&output);
}

void test_keyed_daemon_configure(const struct test_keyed_daemon *keyed, const char *keysets)
{
    size_t cap = strlen(keysets) + 1024;
    char *text = malloc(cap);
    assert_non_null(text);
    int len = snprintf(
        text, cap,
        "state_dir: %s\ntrust_dir: %s\nkeystore:\n  key: %s\n"
        "grants:\n  - name: all\n    who: {anybody: true}\n    may: [sign, verify, revoke]\n"
        "    keysets: [\"*\"]\nkeysets:\n%s",
        keyed->state_dir, keyed->trust_dir, keyed->source, keysets);
    assert_in_range(len, 1, (int)cap - 1);
    test_write_file(keyed->config, text, (size_t)len);
    free(text);
}

void test_keyed_daemon_prepare(struct test_keyed_daemon *keyed, const char *keysets)
{
    test_daemon_prepare(&keyed->daemon);
    const char *dir = keyed->daemon.dir;
    (void)snprintf(keyed->config, sizeof(keyed->config), "%s/signet.yaml", dir);
    (void)snprintf(keyed->state_dir, sizeof(keyed->state_dir), "%s/state", dir);
    (void)snprintf(keyed->trust_dir, sizeof(keyed->trust_dir), "%s/trust.d", dir);
    (void)snprintf(keyed->source, sizeof(keyed->source), "file:%s/keystore.key", dir);
    (void)snprintf(keyed->admin_address, sizeof(keyed->admin_address), "ipc://%s/admin.sock",
                   keyed->daemon.runtime_dir);
    assert_int_equal(mkdir(keyed->state_dir, 0700), 0);
    assert_int_equal(mkdir(keyed->trust_dir, 0700), 0);
    keyed_init_keystore(keyed);
    test_keyed_daemon_configure(keyed, keysets);
}

void test_keyed_daemon_start(struct test_keyed_daemon *keyed)
{
    const char *const arguments[] = {"--config", keyed->config, "--user", keyed_user(), NULL};
    test_daemon_restart(&keyed->daemon, arguments);
}

void test_keyed_daemon_refuses(const struct test_keyed_daemon *keyed, struct test_output *output)
{
    char signetd[512];
    keyed_program("signetd", signetd, sizeof(signetd));
    const char *const argv[] = {
        signetd,  "--config",   keyed->config, "--runtime-dir", keyed->daemon.runtime_dir,
        "--user", keyed_user(), NULL};
    test_run(argv, NULL, KEYED_PATIENCE_MS, output);
    if (output->exit_status != 1) {
        fail_msg("signetd ended with %d and not with 1\n%s", output->exit_status, output->err);
    }
}

/* Which socket answers a command; NULL: none is asked. */
static const char *keyed_address(const struct test_keyed_daemon *keyed,
                                 const char *const *arguments)
{
    bool is_keystore = strcmp(arguments[0], "keystore") == 0;
    if (strcmp(arguments[0], "audit") == 0) {
        return NULL;
    }
    if (is_keystore && arguments[1] != NULL && strcmp(arguments[1], "status") != 0 &&
        strcmp(arguments[1], "rekey") != 0) {
        return NULL;
    }
    static const char *const admins[] = {"key",   "reload",  "status",     "policy",
                                         "stats", "metrics", "revocations"};
    bool is_admin = is_keystore;
    for (size_t i = 0; i < sizeof(admins) / sizeof(admins[0]); i++) {
        is_admin = is_admin || strcmp(arguments[0], admins[i]) == 0;
    }
    return is_admin ? keyed->admin_address : keyed->daemon.address;
}

void test_keyed_daemon_signet(const struct test_keyed_daemon *keyed, const char *const *arguments,
                              const char *input, struct test_output *output)
{
    char signet[512];
    const char *argv[KEYED_MAX_ARGUMENTS + 4] = {signet};
    size_t num = 1;
    keyed_program("signet", signet, sizeof(signet));
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < KEYED_MAX_ARGUMENTS);
        argv[num++] = arguments[i];
    }
    if (keyed_address(keyed, arguments) != NULL) {
        argv[num++] = "--address";
        argv[num++] = keyed_address(keyed, arguments);
    }
    test_run(argv, input, KEYED_PATIENCE_MS, output);
}

char *test_keyed_daemon_run(const struct test_keyed_daemon *keyed, const char *const *arguments,
                            const char *input)
{
    struct test_output output;
    test_keyed_daemon_signet(keyed, arguments, input, &output);
    if (output.exit_status != 0) {
        fail_msg("signet %s %s: %d\n%s%s", arguments[0], arguments[1] != NULL ? arguments[1] : "",
                 output.exit_status, output.out, output.err);
    }
    free(output.err);
    return output.out;
}
