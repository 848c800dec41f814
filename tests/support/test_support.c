/* SPDX-License-Identifier: Apache-2.0
 *
 * The helpers themselves: what they say must be so, or the tests that stand on them prove nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/files.h"

static void support_temp_dir(char out[80])
{
    test_temp_dir(out, 80);
    struct stat info;
    assert_int_equal(stat(out, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

static void test_files__are_read_back_as_written(void **state)
{
    (void)state;
    char dir[80];
    char path[128];
    support_temp_dir(dir);
    (void)snprintf(path, sizeof(path), "%s/bytes", dir);

    static const char bytes[10000] = "a\0b";
    test_write_file(path, bytes, sizeof(bytes));
    size_t len = 0;
    char *got = test_read_file(path, &len);
    assert_int_equal(len, sizeof(bytes));
    assert_memory_equal(got, bytes, sizeof(bytes));
    assert_int_equal(got[len], '\0');
    free(got);

    test_remove_tree(dir);
    assert_null(test_read_file(path, &len));
    assert_int_equal(access(dir, F_OK), -1);
}

static void test_remove_tree__does_not_follow_links(void **state)
{
    (void)state;
    char kept[80];
    char removed[80];
    char path[128];
    char link_path[128];
    support_temp_dir(kept);
    support_temp_dir(removed);
    (void)snprintf(path, sizeof(path), "%s/file", kept);
    test_write_file(path, "x", 1);
    (void)snprintf(link_path, sizeof(link_path), "%s/link", removed);
    assert_int_equal(symlink(kept, link_path), 0);

    test_remove_tree(removed);
    assert_int_equal(access(removed, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
    test_remove_tree(kept);
}

static void test_run__keeps_output_error_and_status_apart(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "cat; echo oops >&2; exit 3", NULL};
    struct test_output output;
    test_run(argv, "hello\n", 10000, &output);
    assert_int_equal(output.exit_status, 3);
    assert_string_equal(output.out, "hello\n");
    assert_string_equal(output.err, "oops\n");
    test_output_free(&output);
}

static void test_run__takes_more_than_a_pipe_holds(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x", NULL};
    struct test_output output;
    test_run(argv, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 0);
    assert_int_equal(strlen(output.out), 300000);
    assert_string_equal(output.err, "");
    test_output_free(&output);
}

static void test_run__tells_a_signal_and_a_missing_program(void **state)
{
    (void)state;
    const char *const killed[] = {"sh", "-c", "kill -TERM $$", NULL};
    struct test_output output;
    test_run(killed, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 128 + SIGTERM);
    test_output_free(&output);

    const char *const missing[] = {"/nonexistent/program", NULL};
    test_run(missing, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 127);
    test_output_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files__are_read_back_as_written),
        cmocka_unit_test(test_remove_tree__does_not_follow_links),
        cmocka_unit_test(test_run__keeps_output_error_and_status_apart),
        cmocka_unit_test(test_run__takes_more_than_a_pipe_holds),
        cmocka_unit_test(test_run__tells_a_signal_and_a_missing_program),
    };
    return cmocka_run_group_tests_name("support", tests, NULL, NULL);
}
