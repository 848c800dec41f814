/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and processes for tests.
 */
#ifndef SG_TEST_FILES_H
#define SG_TEST_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* test_read_file returns the whole file, NUL-terminated; NULL if it is not there. free() it. */
char *test_read_file(const char *path, size_t *len);
void test_write_file(const char *path, const void *bytes, size_t len);

/* test_temp_dir makes a directory under $TMPDIR or /tmp with a short path, and writes it to out. */
void test_temp_dir(char *out, size_t out_cap);
void test_remove_tree(const char *path);

struct test_output {
    int exit_status; /* of the process; 128 + signal if it was killed */
    char *out;       /* its standard output and error, NUL-terminated */
    char *err;
};

/* test_run runs a program (argv ends with NULL) with input on its standard input (NULL: empty), for at
 * most timeout_ms, after which it is killed and the test fails. */
void test_run(const char *const *argv, const char *input, unsigned timeout_ms,
              struct test_output *output);
void test_output_free(struct test_output *output);

#endif
