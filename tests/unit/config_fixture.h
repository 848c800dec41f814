/* SPDX-License-Identifier: Apache-2.0
 *
 * A configuration file for tests of its reading.
 */
#ifndef SG_TEST_CONFIG_FIXTURE_H
#define SG_TEST_CONFIG_FIXTURE_H

#include "server/config.h"

#define TEST_MAX_ERROR 4096

struct test_config_file {
    char dir[80];
    char path[120];
};

/* For cmocka: *state is a struct test_config_file. */
int test_config_setup(void **state);
int test_config_teardown(void **state);

/* test_config_load writes the text to the file and reads it. */
signet_status test_config_load(const struct test_config_file *file, const char *text,
                               struct sg_config **out, char error[TEST_MAX_ERROR]);
/* test_config_load_good must be accepted; sg_config_free it. */
struct sg_config *test_config_load_good(const struct test_config_file *file, const char *text);
/* test_config_expect_fault must be refused, with a line of the error that begins with FILE:LINE: (FILE: for line
 * 0) and says what. */
void test_config_expect_fault(const struct test_config_file *file, const char *text, unsigned line,
                              const char *what);

#endif
