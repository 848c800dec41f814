/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one harmless line an event, and no more warnings than an operator can read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/support/files.h"

struct log_capture {
    char dir[80];
    char path[112];
    int saved; /* the real standard error */
};

static int log_setup(void **state)
{
    static struct log_capture capture;
    test_temp_dir(capture.dir, sizeof(capture.dir));
    (void)snprintf(capture.path, sizeof(capture.path), "%s/log", capture.dir);
    *state = &capture;
    return 0;
}

static int log_teardown(void **state)
{
    const struct log_capture *capture = *state;
    test_remove_tree(capture->dir);
    return 0;
}

static void log_begin(struct log_capture *capture)
{
    int fd = open(capture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    capture->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(capture->saved >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
}

/* What was logged since log_begin; free() it. */
static char *log_end(struct log_capture *capture)
{
    assert_int_equal(dup2(capture->saved, STDERR_FILENO), STDERR_FILENO);
    (void)close(capture->saved);
    char *text = test_read_file(capture->path, NULL);
    assert_non_null(text);
    return text;
}

static size_t log_count(const char *text, const char *what)
{
    size_t num = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        num++;
    }
    return num;
}

static void test_log__writes_one_line_with_its_level(void **state)
{
    struct log_capture *capture = *state;
    log_begin(capture);
    sg_log(SG_LOG_INFO, "ready with %d", 5);
    sg_log(SG_LOG_ERROR, "no");
    char *text = log_end(capture);
    assert_string_equal(text, "signetd: info: ready with 5\nsignetd: error: no\n");
    free(text);
}

/* What a peer or a file name brings in can neither fake a line nor drive a terminal. */
static void test_log__makes_control_characters_harmless(void **state)
{
    struct log_capture *capture = *state;
    log_begin(capture);
    sg_log(SG_LOG_INFO, "a%sb", "\nsignetd: info: fake\x1b[2J\x7f");
    char *text = log_end(capture);
    assert_string_equal(text, "signetd: info: a?signetd: info: fake?[2J?b\n");
    free(text);
}

static void test_log__cuts_long_lines(void **state)
{
    struct log_capture *capture = *state;
    char longest[5000];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    log_begin(capture);
    sg_log(SG_LOG_INFO, "%s", longest);
    char *text = log_end(capture);
    assert_int_equal(strlen(text), 4096);
    assert_int_equal(text[4095], '\n');
    free(text);
}

static time_t log_second(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void test_log__limits_warnings_and_counts_what_it_left_out(void **state)
{
    enum {
        NUM = 2000
    };
    struct log_capture *capture = *state;
    log_begin(capture);
    time_t first = log_second();
    for (int i = 0; i < NUM; i++) {
        sg_log(SG_LOG_WARNING, "flood");
    }
    sg_log(SG_LOG_ERROR, "errors are not limited");
    time_t last = log_second();
    char *text = log_end(capture);
    size_t shown = log_count(text, "signetd: warning: flood\n");
    assert_true(shown >= 5 && shown <= 5 * (size_t)(last - first + 1));
    assert_int_equal(log_count(text, "errors are not limited\n"), 1);
    free(text);

    /* The next second, whichever line opens it says how many are missing. */
    log_begin(capture);
    while (log_second() == last) {
        (void)usleep(10000);
    }
    sg_log(SG_LOG_INFO, "later");
    text = log_end(capture);
    if (last == first) {
        char expected[100];
        (void)snprintf(expected, sizeof(expected),
                       "signetd: warning: %zu more warnings were left out\nsignetd: info: later\n",
                       (size_t)NUM - shown);
        assert_string_equal(text, expected);
    } else {
        assert_int_equal(log_count(text, "signetd: info: later\n"), 1);
    }
    free(text);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_log__writes_one_line_with_its_level),
        LOG_TEST(test_log__makes_control_characters_harmless),
        LOG_TEST(test_log__cuts_long_lines),
        LOG_TEST(test_log__limits_warnings_and_counts_what_it_left_out),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
