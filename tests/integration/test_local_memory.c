/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that verifies by the trust board, under valgrind: it reads and writes nothing that it must not, and leaks
 * nothing; in a child after fork() neither. With 64 threads it runs as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/keyed_daemon.h"

#define MEMORY_PATIENCE_MS 200000u
#define MEMORY_VALGRIND    "/usr/bin/valgrind"

static const char memory_keysets[] =
    "  - {name: es256, alg: ES256, issuer: \"https://login.example\"}\n"
    "  - {name: eddsa, alg: EdDSA, issuer: \"https://login.example\"}\n"
    "  - {name: rs256, alg: RS256, issuer: \"https://login.example\"}\n"
    "  - {name: ps256, alg: PS256, issuer: \"https://login.example\"}\n"
    "  - {name: hs256, alg: HS256, issuer: \"https://pay.example\"}\n";

static struct test_keyed_daemon memory_daemon;

static int setup(void **state)
{
    (void)state;
    test_keyed_daemon_prepare(&memory_daemon, memory_keysets);
    test_keyed_daemon_start(&memory_daemon);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_daemon_stop(&memory_daemon.daemon);
    return 0;
}

/* What it says it did has to be what those rounds are: each has two good verdicts and four refused. */
static void memory_check(const struct test_output *output, unsigned num_rounds)
{
    unsigned good = 0;
    unsigned refused = 0;
    if (output->exit_status != 0) {
        fail_msg("exit %d\n%s", output->exit_status, output->err);
    }
    assert_int_equal(sscanf(output->out, "%u good, %u refused", &good, &refused), 2);
    assert_int_equal(good, 2 * num_rounds);
    assert_int_equal(refused, 4 * num_rounds);
}

static void test_local__leaks_nothing_and_touches_nothing_else(void **state)
{
    (void)state;
    if (SG_SANITIZED || access(MEMORY_VALGRIND, X_OK) != 0) {
        print_message("SKIPPED: %s\n", SG_SANITIZED ? "a sanitizer looks after memory here"
                                                    : "there is no " MEMORY_VALGRIND);
        skip();
    }
    const char *const argv[] = {MEMORY_VALGRIND,
                                "--quiet",
                                "--leak-check=full",
                                "--show-leak-kinds=definite,indirect,possible",
                                "--errors-for-leak-kinds=definite,indirect,possible",
                                "--error-exitcode=99",
                                "--trace-children=yes",
                                SG_LOCAL_CLIENT,
                                memory_daemon.daemon.address,
                                "3",
                                "10",
                                NULL};
    struct test_output output;
    test_run(argv, NULL, MEMORY_PATIENCE_MS, &output);
    memory_check(&output, 30);
    test_output_free(&output);
}

static void test_local__serves_64_threads(void **state)
{
    (void)state;
    const char *const argv[] = {SG_LOCAL_CLIENT, memory_daemon.daemon.address, "64",
                                SG_SANITIZED ? "5" : "15", NULL};
    struct test_output output;
    test_run(argv, NULL, MEMORY_PATIENCE_MS, &output);
    memory_check(&output, 64 * (SG_SANITIZED ? 5 : 15));
    test_output_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local__leaks_nothing_and_touches_nothing_else),
        cmocka_unit_test(test_local__serves_64_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
