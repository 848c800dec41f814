/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/files.h"

int test_config_setup(void **state)
{
    static struct test_config_file file;
    test_temp_dir(file.dir, sizeof(file.dir));
    (void)snprintf(file.path, sizeof(file.path), "%s/signet.yaml", file.dir);
    *state = &file;
    return 0;
}

int test_config_teardown(void **state)
{
    const struct test_config_file *file = *state;
    test_remove_tree(file->dir);
    return 0;
}

signet_status test_config_load(const struct test_config_file *file, const char *text,
                               struct sg_config **out, char error[TEST_MAX_ERROR])
{
    test_write_file(file->path, text, strlen(text));
    return sg_config_load(file->path, out, error, TEST_MAX_ERROR);
}

struct sg_config *test_config_load_good(const struct test_config_file *file, const char *text)
{
    char error[TEST_MAX_ERROR];
    struct sg_config *config = NULL;
    if (test_config_load(file, text, &config, error) != SIGNET_OK) {
        fail_msg("refused:\n%.10000s\nbecause\n%s", text, error);
    }
    return config;
}

void test_config_expect_fault(const struct test_config_file *file, const char *text, unsigned line,
                              const char *what)
{
    char error[TEST_MAX_ERROR];
    char place[160];
    struct sg_config *config = NULL;
    if (test_config_load(file, text, &config, error) == SIGNET_OK) {
        fail_msg("accepted:\n%.10000s", text);
    }
    assert_null(config);
    (void)snprintf(place, sizeof(place), "%s:%u: ", file->path, line);
    if (line == 0) {
        (void)snprintf(place, sizeof(place), "%s: ", file->path);
    }
    for (const char *at = error; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n' ? 1 : 0;
        const char *said = strstr(at, what);
        if (strncmp(at, place, strlen(place)) == 0 && said != NULL &&
            (size_t)(said - at) < strcspn(at, "\n")) {
            return;
        }
    }
    fail_msg("for:\n%.10000s\nexpected %s... %s\nbut got:\n%s", text, place, what, error);
}
