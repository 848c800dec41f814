/* SPDX-License-Identifier: Apache-2.0
 *
 * The search for secrets finds each window in each form, wherever it lies, and nothing else. What it does
 * not find proves nothing unless this holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/files.h"
#include "tests/support/secret_search.h"

#define TEST_LEN 40u

/* Any bytes, the same ones each time. */
static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
    uint64_t value = seed;
    for (size_t i = 0; i < len; i++) {
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(value >> 56);
    }
}

struct fixture {
    struct secret_search *search;
    uint8_t secret[TEST_LEN];
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fill(fixture->secret, TEST_LEN, 7);
    fixture->search = secret_search_new();
    secret_search_add(fixture->search, "the secret", fixture->secret, TEST_LEN);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    secret_search_free(fixture->search);
    free(fixture);
    return 0;
}

/* Looks for one window in len bytes of text behind other bytes; it must be seen where it is. */
static void must_find(const struct fixture *fixture, enum secret_form form, size_t window,
                      const void *text, size_t len)
{
    enum {
        BEFORE = 37
    };
    uint8_t bytes[BEFORE + 128];
    struct secret_report report = {0};
    memset(bytes, '=', sizeof(bytes)); /* which continues no window of this secret */
    memcpy(bytes + BEFORE, text, len);
    secret_search_bytes(fixture->search, "here", bytes, BEFORE + len, &report);
    assert_int_equal(report.num_finds, 1);
    assert_int_equal(report.num_hits, 1);
    assert_int_equal(report.finds[0].form, form);
    assert_int_equal(report.finds[0].window, window);
    assert_string_equal(report.finds[0].secret, "the secret");
    assert_string_equal(report.finds[0].place, "here");
    assert_in_range(report.finds[0].at, BEFORE, BEFORE + len - SECRET_WINDOW);
    assert_int_equal(report.num_scanned, BEFORE + len);
}

static void must_not_find(const struct fixture *fixture, const void *bytes, size_t len)
{
    struct secret_report report = {0};
    secret_search_bytes(fixture->search, "here", bytes, len, &report);
    assert_int_equal(report.num_hits, 0);
    assert_int_equal(report.num_finds, 0);
    assert_int_equal(report.num_scanned, len);
}

/* ---- Forms ---- */

static void test_window__is_found_raw_and_reversed(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t window = 0; window + SECRET_WINDOW <= TEST_LEN; window++) {
        uint8_t reversed[SECRET_WINDOW];
        for (size_t i = 0; i < SECRET_WINDOW; i++) {
            reversed[i] = fixture->secret[window + SECRET_WINDOW - 1 - i];
        }
        must_find(fixture, SECRET_RAW, window, fixture->secret + window, SECRET_WINDOW);
        must_find(fixture, SECRET_REVERSED, window, reversed, SECRET_WINDOW);
        must_not_find(fixture, fixture->secret + window, SECRET_WINDOW - 1);
        reversed[8] ^= 1;
        must_not_find(fixture, reversed, SECRET_WINDOW);
    }
}

static void test_window__is_found_in_hex(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t window = 0; window + SECRET_WINDOW <= TEST_LEN; window++) {
        char text[2 * SECRET_WINDOW + 1];
        for (size_t i = 0; i < SECRET_WINDOW; i++) {
            (void)snprintf(text + 2 * i, 3, "%02x", fixture->secret[window + i]);
        }
        must_find(fixture, SECRET_HEX, window, text, 2 * SECRET_WINDOW);
        must_not_find(fixture, text, 2 * SECRET_WINDOW - 1);
        for (size_t i = 0; i < SECRET_WINDOW; i++) {
            (void)snprintf(text + 2 * i, 3, "%02X", fixture->secret[window + i]);
        }
        must_find(fixture, SECRET_HEX_UPPER, window, text, 2 * SECRET_WINDOW);
    }
}

/* OpenSSL's encoder, so that ours is not judged by itself. */
static size_t encode(const uint8_t *bytes, size_t len, bool url, char *out)
{
    int text_len = EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    for (int i = 0; url && i < text_len; i++) {
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    }
    return (size_t)text_len;
}

/* The window with other bytes on both sides, so that nothing but itself can decide. */
static void surround(const uint8_t *secret, size_t window, size_t before, uint8_t *out, size_t len)
{
    fill(out, len, (unsigned)(window + 100 * before));
    memcpy(out + before, secret + window, SECRET_WINDOW);
    if (before > 0 && window > 0) {
        out[before - 1] = (uint8_t)~secret[window - 1];
    }
    if (window + SECRET_WINDOW < TEST_LEN) {
        out[before + SECRET_WINDOW] = (uint8_t)~secret[window + SECRET_WINDOW];
    }
}

static void test_window__is_found_in_base64_at_every_alignment(void **state)
{
    const struct fixture *fixture = *state;
    bool seen[SECRET_NUM_FORMS] = {false};
    for (size_t window = 0; window + SECRET_WINDOW <= TEST_LEN; window++) {
        for (size_t before = 0; before < 6; before++) {
            uint8_t bytes[6 + SECRET_WINDOW + 6];
            char text[64];
            surround(fixture->secret, window, before, bytes, sizeof(bytes));
            for (size_t url = 0; url < 2; url++) {
                struct secret_report report = {0};
                size_t len = encode(bytes, sizeof(bytes), url == 1, text);
                secret_search_bytes(fixture->search, "here", (const uint8_t *)text, len, &report);
                assert_int_equal(report.num_hits, 1);
                assert_int_equal(report.finds[0].window, window);
                seen[report.finds[0].form] = true;
            }
        }
    }
    assert_true(seen[SECRET_BASE64] && seen[SECRET_BASE64URL]);
}

static void test_window__of_few_different_bytes_is_left_out(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    uint8_t half[32] = {0};
    struct secret_search *search = secret_search_new();
    secret_search_add(search, "zeros", zeros, sizeof(zeros));
    assert_int_equal(secret_search_num_windows(search), 49);
    assert_int_equal(secret_search_num_left_out(search), 49);
    fill(half, 16, 3);
    secret_search_add(search, "half", half, sizeof(half));
    assert_int_equal(secret_search_num_windows(search), 49 + 17);
    assert_in_range(secret_search_num_left_out(search), 49 + 5, 49 + 11);
    struct secret_report report = {0};
    secret_search_bytes(search, "here", zeros, sizeof(zeros), &report);
    assert_int_equal(report.num_hits, 0);
    secret_search_free(search);
}

static void test_other_bytes__are_not_taken_for_secrets(void **state)
{
    const struct fixture *fixture = *state;
    const size_t len = 8u << 20;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    fill(bytes, len, 12345);
    must_not_find(fixture, bytes, len);
    memset(bytes, 0, len);
    must_not_find(fixture, bytes, len);
    free(bytes);
}

/* ---- Streams ---- */

static void test_stream__finds_what_straddles_its_pieces_once(void **state)
{
    const struct fixture *fixture = *state;
    uint8_t bytes[200];
    fill(bytes, sizeof(bytes), 5);
    memcpy(bytes + 100, fixture->secret + 3, SECRET_WINDOW);
    for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
        struct secret_report report = {0};
        struct secret_stream stream = {
            .search = fixture->search, .report = &report, .place = "there"};
        for (size_t done = 0; done < sizeof(bytes); done += piece) {
            size_t left = sizeof(bytes) - done;
            secret_stream_feed(&stream, bytes + done, left < piece ? left : piece);
        }
        assert_int_equal(report.num_hits, 1);
        assert_int_equal(report.finds[0].at, 100);
        assert_int_equal(report.finds[0].window, 3);
        assert_int_equal(report.num_scanned, sizeof(bytes));
    }
}

/* ---- Files ---- */

static void test_tree__names_the_file(void **state)
{
    const struct fixture *fixture = *state;
    char dir[64];
    char sub[80];
    char path[96];
    char other[96];
    struct secret_report report = {0};
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(sub, sizeof(sub), "%s/sub", dir);
    (void)snprintf(path, sizeof(path), "%s/file", sub);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    test_write_file(other, "nothing", 7);
    assert_true(secret_search_tree(fixture->search, dir, NULL, &report));
    assert_int_equal(report.num_scanned, 7);
    assert_int_equal(report.num_hits, 0);
    test_write_file(path, fixture->secret, TEST_LEN);
    assert_true(secret_search_tree(fixture->search, dir, path, &report));
    assert_int_equal(report.num_hits, 0);
    assert_true(secret_search_tree(fixture->search, dir, NULL, &report));
    assert_int_equal(report.num_hits, TEST_LEN - SECRET_WINDOW + 1);
    assert_int_equal(report.num_finds, 1);
    assert_string_equal(report.finds[0].place, path);
    assert_false(secret_search_file(fixture->search, "/nowhere", &report));
    test_remove_tree(dir);
}

/* ---- Processes ---- */

#define CHILD_LEN (3u << 20)
/* Across the end of a chunk, of a page and of a mapping. */
#define CHILD_AT ((1u << 20) - 8)

/* A process with one copy, which it makes itself from the complement: it is a copy of this process, which
 * holds none before it has started. */
struct child {
    pid_t pid;
    uint8_t complement[SECRET_WINDOW];
    uint8_t *copy; /* where it is in the child */
};

/* mlock as the kernel knows it: sanitizers have one of their own, which does nothing. */
static void child_hold(const struct child *child, bool is_locked, int ready)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    uint8_t *bytes =
        mmap(NULL, CHILD_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED || (is_locked && syscall(SYS_mlock, bytes, (size_t)CHILD_LEN) != 0)) {
        _exit(1);
    }
    uint8_t *copy = bytes + CHILD_AT;
    for (size_t i = 0; i < SECRET_WINDOW; i++) {
        copy[i] = (uint8_t)~child->complement[i];
    }
    if (mprotect(bytes, 1u << 20, PROT_READ) != 0 ||
        write(ready, &copy, sizeof(copy)) != sizeof(copy)) {
        _exit(1);
    }
    (void)pause();
    _exit(0);
}

/* Each with a seed of its own: this process may still hold what was looked for before. */
static void child_start(struct child *child, unsigned seed, bool is_locked)
{
    int ready[2];
    fill(child->complement, sizeof(child->complement), seed);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child->pid = fork();
    if (child->pid == 0) {
        child_hold(child, is_locked, ready[1]);
    }
    assert_true(child->pid > 0);
    (void)close(ready[1]);
    ssize_t got = read(ready[0], &child->copy, sizeof(child->copy));
    (void)close(ready[0]);
    if (got != sizeof(child->copy)) {
        print_message("this user may not lock %u bytes\n", CHILD_LEN);
        assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
        skip();
    }
}

static void child_end(const struct child *child)
{
    assert_int_equal(kill(child->pid, SIGKILL), 0);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

static struct secret_report child_look(const struct child *child, enum secret_memory which)
{
    struct secret_report report = {0};
    uint8_t secret[SECRET_WINDOW];
    for (size_t i = 0; i < SECRET_WINDOW; i++) {
        secret[i] = (uint8_t)~child->complement[i];
    }
    struct secret_search *search = secret_search_new();
    secret_search_add(search, "held", secret, sizeof(secret));
    bool may_read = secret_search_process(search, child->pid, which, &report);
    secret_search_free(search);
    if (!may_read) {
        child_end(child);
        print_message("this user may not read the memory of its own processes\n");
        skip();
    }
    assert_int_equal(report.num_unreadable, 0);
    return report;
}

static void test_process__is_looked_through_whole(void **state)
{
    (void)state;
    struct child child;
    child_start(&child, 21u, false);
    struct secret_report all = child_look(&child, SECRET_ALL_MEMORY);
    struct secret_report swappable = child_look(&child, SECRET_SWAPPABLE_MEMORY);
    child_end(&child);
    assert_in_range(all.num_scanned, CHILD_LEN, UINT64_MAX);
    assert_in_range(swappable.num_scanned, CHILD_LEN, all.num_scanned);
    assert_int_equal(all.num_hits, 1);
    assert_int_equal(all.finds[0].at, (uintptr_t)child.copy);
    assert_int_equal(swappable.num_hits, 1);
    assert_int_equal(swappable.finds[0].at, (uintptr_t)child.copy);
}

static void test_process__has_locked_memory_that_is_not_swapped(void **state)
{
    (void)state;
    struct child child;
    child_start(&child, 22u, true);
    struct secret_report all = child_look(&child, SECRET_ALL_MEMORY);
    struct secret_report swappable = child_look(&child, SECRET_SWAPPABLE_MEMORY);
    child_end(&child);
    assert_int_equal(all.num_hits, 1);
    assert_int_equal(swappable.num_hits, 0);
    assert_in_range(swappable.num_scanned, 1, all.num_scanned - CHILD_LEN);
}

static void test_process__that_is_gone_cannot_be_read(void **state)
{
    const struct fixture *fixture = *state;
    struct secret_report report = {0};
    struct child child;
    child_start(&child, 23u, false);
    child_end(&child);
    assert_false(secret_search_process(fixture->search, child.pid, SECRET_ALL_MEMORY, &report));
    assert_int_equal(report.num_scanned, 0);
}

int main(void)
{
#define SEARCH_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(test_window__is_found_raw_and_reversed),
        SEARCH_TEST(test_window__is_found_in_hex),
        SEARCH_TEST(test_window__is_found_in_base64_at_every_alignment),
        SEARCH_TEST(test_window__of_few_different_bytes_is_left_out),
        SEARCH_TEST(test_other_bytes__are_not_taken_for_secrets),
        SEARCH_TEST(test_stream__finds_what_straddles_its_pieces_once),
        SEARCH_TEST(test_tree__names_the_file),
        SEARCH_TEST(test_process__is_looked_through_whole),
        SEARCH_TEST(test_process__has_locked_memory_that_is_not_swapped),
        SEARCH_TEST(test_process__that_is_gone_cannot_be_read),
    };
    return cmocka_run_group_tests_name("secret_search", tests, NULL, NULL);
}
