/* SPDX-License-Identifier: Apache-2.0
 *
 * Where key-encryption keys come from: files, credentials and passphrases, typed ones too.
 */
#include "keystore_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/support/files.h"

static const char test_phrase[] = "correct horse battery";

/* A descriptor from which the text can be read. */
static int descriptor_of(const char *text, size_t len)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, len), len);
    (void)close(ends[1]);
    return ends[0];
}

static signet_status read_phrase(struct store_fixture *fixture, const char *text, size_t len,
                                 bool is_new, struct sg_kek_material *out)
{
    int fd = descriptor_of(text, len);
    signet_status status = is_new ? sg_kek_read_new("passphrase:", fd, out, store_message(fixture))
                                  : sg_kek_read("passphrase:", fd, out, store_message(fixture));
    (void)close(fd);
    return status;
}

static void test_passphrase__ends_with_the_line_or_the_input(void **state)
{
    struct store_fixture *fixture = *state;
    static const char *const texts[] = {"correct horse battery", "correct horse battery\n",
                                        "correct horse battery\nand more\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sg_kek_material material = {0};
        assert_int_equal(read_phrase(fixture, texts[i], strlen(texts[i]), true, &material),
                         SIGNET_OK);
        assert_int_equal(material.kind, SG_KEYSTORE_KEY_PASSPHRASE);
        assert_int_equal(material.len, strlen(test_phrase));
        assert_memory_equal(material.bytes, test_phrase, material.len);
        assert_true(store_is_secret(material.bytes));
        sg_kek_material_fini(&material);
    }
    /* What stands in the second line is for whoever reads on. */
    struct sg_kek_material material = {0};
    char rest[8] = "";
    int fd = descriptor_of("one line\ntwo", 12);
    assert_int_equal(sg_kek_read("passphrase:", fd, &material, store_message(fixture)), SIGNET_OK);
    assert_int_equal(read(fd, rest, sizeof(rest)), 3);
    assert_memory_equal(rest, "two", 3);
    (void)close(fd);
    sg_kek_material_fini(&material);
}

static void test_passphrase__has_bounds(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_kek_material material = {0};
    char text[SG_KEK_MAX_PASSPHRASE + 1];
    memset(text, 'x', sizeof(text));
    assert_int_equal(read_phrase(fixture, "", 0, false, &material), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(read_phrase(fixture, "\n", 1, false, &material), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(read_phrase(fixture, text, 7, true, &material), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(read_phrase(fixture, text, sizeof(text), true, &material),
                     SIGNET_FAILED_PRECONDITION);
    assert_null(material.bytes);
    /* One from before the bound, and the longest. */
    assert_int_equal(read_phrase(fixture, text, 7, false, &material), SIGNET_OK);
    sg_kek_material_fini(&material);
    assert_int_equal(read_phrase(fixture, text, SG_KEK_MAX_PASSPHRASE, true, &material), SIGNET_OK);
    assert_int_equal(material.len, SG_KEK_MAX_PASSPHRASE);
    sg_kek_material_fini(&material);
    assert_int_equal(sg_kek_read("passphrase:", 1000, &material, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
}

static signet_status open_with_phrase(struct store_fixture *fixture, const char *text)
{
    struct sg_keystore *store = NULL;
    struct sg_keystore_place place = store_place(fixture, "passphrase:");
    place.passphrase_fd = descriptor_of(text, strlen(text));
    signet_status status = sg_keystore_open(&place, false, &store, store_message(fixture));
    (void)close(place.passphrase_fd);
    sg_keystore_close(store);
    return status;
}

static void test_passphrase__opens_what_it_closed(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    size_t len = 0;
    store_path(fixture, "", path);
    test_remove_tree(path);
    struct sg_keystore_place place = store_place(fixture, "passphrase:");
    place.passphrase_fd = descriptor_of(test_phrase, strlen(test_phrase));
    assert_int_equal(sg_keystore_init(&place, store_message(fixture)), SIGNET_OK);
    (void)close(place.passphrase_fd);
    assert_int_equal(open_with_phrase(fixture, test_phrase), SIGNET_OK);
    assert_int_equal(open_with_phrase(fixture, "correct horse batterx"),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "passphrase:"));
    assert_true(store_refuses(fixture, fixture->source[0], "passphrase:"));
    uint8_t *header = store_read(fixture, "keystore", &len);
    assert_null(memmem(header, len, test_phrase, 8));
    free(header);
}

/* A file may ask for any amount of work and memory; it gets a bounded one. */
static void test_scrypt__takes_no_more_than_its_bound(void **state)
{
    (void)state;
    const struct {
        uint32_t log2_n, r, p;
        bool is_taken;
    } cases[] = {
        {17, 8, 1, true},           {18, 8, 1, true},   {19, 8, 1, false},
        {18, 9, 1, false},          {0, 8, 1, false},   {17, 0, 1, false},
        {17, 8, 0, false},          {17, 8, 17, false}, {63, 8, 1, false},
        {64, 8, 1, false},          {200, 8, 1, false}, {17, UINT32_MAX, 1, false},
        {17, 8, UINT32_MAX, false},
    };
    static uint8_t bytes[SG_KEYSTORE_MAX_FILE];
    struct sg_keystore_header header = {.num_keys = 1, .num_wraps = 1, .key_ids = {1}};
    struct sg_keystore_header back;
    header.wraps[0].kind = SG_KEYSTORE_KEY_PASSPHRASE;
    (void)snprintf(header.wraps[0].source, sizeof(header.wraps[0].source), "passphrase:");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        header.wraps[0].scrypt.log2_n = cases[i].log2_n;
        header.wraps[0].scrypt.r = cases[i].r;
        header.wraps[0].scrypt.p = cases[i].p;
        size_t len = sg_keystore_header_write(&header, bytes);
        assert_int_equal(sg_keystore_header_read(bytes, len, &back),
                         cases[i].is_taken ? SIGNET_OK : SIGNET_INVALID_ARGUMENT);
    }
}

static void test_scrypt__depends_on_every_term(void **state)
{
    (void)state;
    static const struct sg_keystore_scrypt terms[] = {
        {.log2_n = 4, .r = 8, .p = 1},
        {.log2_n = 5, .r = 8, .p = 1},
        {.log2_n = 4, .r = 4, .p = 1},
        {.log2_n = 4, .r = 8, .p = 2},
        {.log2_n = 4, .r = 8, .p = 1, .salt = {[SG_KEYSTORE_SALT_LEN - 1] = 1}},
    };
    enum {
        NUM_TERMS = sizeof(terms) / sizeof(terms[0])
    };
    uint8_t keys[NUM_TERMS][SG_KEYSTORE_KEY_LEN];
    uint8_t phrase[] = "pleaseletmein";
    const struct sg_kek_material material = {
        .kind = SG_KEYSTORE_KEY_PASSPHRASE, .bytes = phrase, .len = sizeof(phrase) - 1};
    for (size_t i = 0; i < NUM_TERMS; i++) {
        assert_int_equal(sg_kek_derive(&material, &terms[i], keys[i]), SIGNET_OK);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(keys[i], keys[k], SG_KEYSTORE_KEY_LEN);
        }
    }
}

/* ---- Files and credentials ---- */

static void test_file__has_exactly_32_bytes(void **state)
{
    struct store_fixture *fixture = *state;
    uint8_t bytes[64] = {7};
    struct sg_kek_material material = {0};
    static const size_t lengths[] = {0, 16, 31, 33, 64};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        test_write_file(fixture->kek[0], bytes, lengths[i]);
        assert_int_equal(sg_kek_read(fixture->source[0], -1, &material, store_message(fixture)),
                         SIGNET_FAILED_PRECONDITION);
        assert_non_null(strstr(fixture->message, fixture->kek[0]));
        assert_non_null(strstr(fixture->message, "32 bytes"));
    }
    test_write_file(fixture->kek[0], bytes, 32);
    assert_int_equal(sg_kek_read(fixture->source[0], -1, &material, store_message(fixture)),
                     SIGNET_OK);
    assert_int_equal(material.kind, SG_KEYSTORE_KEY_RAW);
    assert_memory_equal(material.bytes, bytes, 32);
    assert_true(store_is_secret(material.bytes));
    sg_kek_material_fini(&material);
    assert_int_equal(unlink(fixture->kek[0]), 0);
    assert_int_equal(sg_kek_read(fixture->source[0], -1, &material, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "bring it back from its copy"));
}

static void test_make_file__makes_one_that_is_taken(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128];
    char source[160];
    struct sg_kek_material one = {0};
    struct sg_kek_material two = {0};
    (void)snprintf(path, sizeof(path), "%s/fresh", fixture->dir);
    (void)snprintf(source, sizeof(source), "file:%s", path);
    assert_int_equal(sg_kek_make_file(path, geteuid(), getegid(), store_message(fixture)),
                     SIGNET_OK);
    assert_int_equal(sg_kek_read(source, -1, &one, store_message(fixture)), SIGNET_OK);
    assert_int_equal(sg_kek_make_file(path, geteuid(), getegid(), store_message(fixture)),
                     SIGNET_ALREADY_EXISTS);
    assert_int_equal(sg_kek_read(source, -1, &two, store_message(fixture)), SIGNET_OK);
    assert_memory_equal(one.bytes, two.bytes, 32);
    sg_kek_material_fini(&one);
    sg_kek_material_fini(&two);
}

static void test_credential__is_a_file_of_the_service_manager(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_kek_material material = {0};
    static const char *const names[] = {
        "credential:",   "credential:..", "credential:../kek0", "credential:a/b",
        "credential:.x", "credential",    "Credential:kek0",    ""};
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(sg_kek_read("credential:kek0", -1, &material, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "LoadCredential=kek0:"));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", fixture->dir, 1), 0);
    assert_int_equal(sg_kek_read("credential:kek0", -1, &material, store_message(fixture)),
                     SIGNET_OK);
    assert_int_equal(material.bytes[0], 0x11);
    sg_kek_material_fini(&material);
    /* With an access list for the service's user, its mode shows the group. */
    assert_int_equal(chmod(fixture->kek[0], 0440), 0);
    assert_int_equal(sg_kek_read("credential:kek0", -1, &material, store_message(fixture)),
                     SIGNET_OK);
    sg_kek_material_fini(&material);
    assert_int_equal(chmod(fixture->kek[0], 0444), 0);
    assert_int_equal(sg_kek_read("credential:kek0", -1, &material, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_int_equal(sg_kek_read("credential:kek9", -1, &material, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(sg_kek_read(names[i], -1, &material, store_message(fixture)),
                         SIGNET_INVALID_ARGUMENT);
    }
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_kind__follows_from_the_source(void **state)
{
    (void)state;
    assert_int_equal(sg_kek_kind("file:/x"), SG_KEYSTORE_KEY_RAW);
    assert_int_equal(sg_kek_kind("credential:x"), SG_KEYSTORE_KEY_RAW);
    assert_int_equal(sg_kek_kind("passphrase:"), SG_KEYSTORE_KEY_PASSPHRASE);
    assert_int_equal(sg_kek_kind("passphrase:x"), 0);
    assert_int_equal(sg_kek_kind(""), 0);
}

/* ---- The terminal ---- */

struct terminal {
    int fd;
    pid_t child;
    char seen[1024]; /* all that was shown */
    size_t seen_len;
};

/* A process of its own with a terminal of its own, which asks for a new passphrase. It exits with 0 if it
 * was given test_phrase, and else with the status. */
static struct terminal terminal_start(struct store_fixture *fixture)
{
    struct terminal terminal = {0};
    terminal.child = forkpty(&terminal.fd, NULL, NULL, NULL);
    assert_true(terminal.child >= 0);
    if (terminal.child == 0) {
        struct sg_kek_material material = {0};
        signet_status status =
            sg_kek_read_new("passphrase:", -1, &material, store_message(fixture));
        if (status == SIGNET_OK && (material.len != strlen(test_phrase) ||
                                    memcmp(material.bytes, test_phrase, material.len) != 0)) {
            status = SIGNET_UNKNOWN;
        }
        sg_kek_material_fini(&material);
        _exit((int)status);
    }
    return terminal;
}

/* Reads what is shown until it has the text; NULL: until the end. */
static void terminal_await(struct terminal *terminal, const char *text)
{
    while (text == NULL || strstr(terminal->seen, text) == NULL) {
        struct pollfd ready = {.fd = terminal->fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 10000), 1);
        assert_true(terminal->seen_len + 1 < sizeof(terminal->seen));
        ssize_t got = read(terminal->fd, terminal->seen + terminal->seen_len,
                           sizeof(terminal->seen) - terminal->seen_len - 1);
        if (got <= 0) {
            assert_null(text);
            return;
        }
        terminal->seen_len += (size_t)got;
        terminal->seen[terminal->seen_len] = '\0';
    }
}

static void terminal_type(const struct terminal *terminal, const char *text)
{
    assert_int_equal(write(terminal->fd, text, strlen(text)), strlen(text));
}

static int terminal_end(struct terminal *terminal)
{
    int ended = 0;
    terminal_await(terminal, NULL);
    assert_int_equal(waitpid(terminal->child, &ended, 0), terminal->child);
    assert_true(WIFEXITED(ended));
    (void)close(terminal->fd);
    return WEXITSTATUS(ended);
}

static void test_terminal__asks_twice_and_shows_nothing(void **state)
{
    struct terminal terminal = terminal_start(*state);
    terminal_await(&terminal, "Passphrase of the keystore: ");
    /* A line that is taken back, and a character of two bytes. */
    terminal_type(&terminal, "wrong\x15"
                             "correct horse batt\xc3\xa9\x7f"
                             "erx\by\r");
    terminal_await(&terminal, "once more: ");
    terminal_type(&terminal, "correct horse battery\r");
    assert_int_equal(terminal_end(&terminal), 0);
    assert_null(strstr(terminal.seen, "horse"));
    assert_null(strstr(terminal.seen, "wrong"));
}

static void test_terminal__refuses_two_that_differ(void **state)
{
    struct terminal terminal = terminal_start(*state);
    terminal_await(&terminal, "Passphrase of the keystore: ");
    terminal_type(&terminal, "correct horse battery\r");
    terminal_await(&terminal, "once more: ");
    terminal_type(&terminal, "correct horse batterx\r");
    assert_int_equal(terminal_end(&terminal), SIGNET_INVALID_ARGUMENT);
}

static void test_terminal__is_as_it_was_after_an_interrupt(void **state)
{
    struct terminal terminal = terminal_start(*state);
    terminal_await(&terminal, "Passphrase of the keystore: ");
    struct termios modes;
    assert_int_equal(tcgetattr(terminal.fd, &modes), 0);
    assert_int_equal(modes.c_lflag & ECHO, 0);
    terminal_type(&terminal, "half\x03");
    terminal_await(&terminal, ": \r\n");
    assert_int_equal(tcgetattr(terminal.fd, &modes), 0);
    assert_int_not_equal(modes.c_lflag & ECHO, 0);
    assert_int_not_equal(modes.c_lflag & ISIG, 0);
    assert_int_equal(terminal_end(&terminal), SIGNET_FAILED_PRECONDITION);
}

static void test_terminal__that_is_not_there_is_an_error(void **state)
{
    struct store_fixture *fixture = *state;
    int ended = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sg_kek_material material = {0};
        (void)setsid(); /* no terminal of its own any more */
        signet_status status = sg_kek_read("passphrase:", -1, &material, store_message(fixture));
        _exit(strstr(fixture->message, "--passphrase-fd") != NULL ? (int)status : 1);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), SIGNET_FAILED_PRECONDITION);
}

#define KEK_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEK_TEST(test_passphrase__ends_with_the_line_or_the_input),
        KEK_TEST(test_passphrase__has_bounds),
        KEK_TEST(test_passphrase__opens_what_it_closed),
        KEK_TEST(test_scrypt__takes_no_more_than_its_bound),
        KEK_TEST(test_scrypt__depends_on_every_term),
        KEK_TEST(test_file__has_exactly_32_bytes),
        KEK_TEST(test_make_file__makes_one_that_is_taken),
        KEK_TEST(test_credential__is_a_file_of_the_service_manager),
        KEK_TEST(test_kind__follows_from_the_source),
        KEK_TEST(test_terminal__asks_twice_and_shows_nothing),
        KEK_TEST(test_terminal__refuses_two_that_differ),
        KEK_TEST(test_terminal__is_as_it_was_after_an_interrupt),
        KEK_TEST(test_terminal__that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests_name("kek", tests, NULL, NULL);
}
