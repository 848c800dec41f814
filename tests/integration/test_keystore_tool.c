/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet keystore init`, `backup` and `restore` with a user of its own for the keys: what root makes is what
 * that user opens, in a directory that is the daemon's; and backups that were cut off stop no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/files.h"

#define TOOL_PATIENCE_MS (SG_SANITIZED ? 120000u : 30000u)
#define TOOL_PHRASE      "correct horse battery\n"
/* Users that every Debian has. */
#define DAEMON_USER "daemon"
#define KEYS_USER   "nobody"

struct tool_fixture {
    char dir[96];
    char state[112];
    char key[112];
    char source[128];
    char backup[112];
};

static int tool_setup(void **state)
{
    struct tool_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    assert_int_equal(chmod(fixture->dir, 0711), 0);
    (void)snprintf(fixture->state, sizeof(fixture->state), "%s/state", fixture->dir);
    (void)snprintf(fixture->key, sizeof(fixture->key), "%s/etc/key", fixture->dir);
    (void)snprintf(fixture->source, sizeof(fixture->source), "file:%s", fixture->key);
    (void)snprintf(fixture->backup, sizeof(fixture->backup), "%s/backup", fixture->dir);
    *state = fixture;
    return 0;
}

static int tool_teardown(void **state)
{
    struct tool_fixture *fixture = *state;
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can give files to other users\n");
        skip();
    }
}

/* ---- Running it ---- */

#define MAX_ARGUMENTS 16

/* Runs the tool, as user unless that is NULL, and expects a status and a text in what it prints. */
static void expect(const struct tool_fixture *fixture, const char *user, int exit_status,
                   const char *text, const char *const *arguments)
{
    const char *argv[MAX_ARGUMENTS + 8];
    char program[512];
    char as_user[64];
    size_t num = 0;
    struct test_output output;
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-keystore",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    if (user != NULL) {
        const struct passwd *entry = getpwnam(user);
        assert_non_null(entry);
        (void)snprintf(as_user, sizeof(as_user), "--reuid=%u", (unsigned)entry->pw_uid);
        argv[num++] = "setpriv";
        argv[num++] = as_user;
        argv[num++] = "--regid=65534";
        argv[num++] = "--clear-groups";
    }
    argv[num++] = program;
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < MAX_ARGUMENTS);
        argv[num++] = arguments[i];
    }
    argv[num] = NULL;
    test_run(argv, TOOL_PHRASE, TOOL_PATIENCE_MS, &output);
    if (output.exit_status != exit_status ||
        (text != NULL && strstr(output.out, text) == NULL && strstr(output.err, text) == NULL)) {
        fail_msg("%s: %d, expected %d and \"%s\"\n%s%s", arguments[0], output.exit_status,
                 exit_status, text != NULL ? text : "", output.out, output.err);
    }
    test_output_free(&output);
    (void)fixture;
}

#define EXPECT(fixture, user, status, text, ...)                                                   \
    expect(fixture, user, status, text, (const char *const[]){__VA_ARGS__, NULL})
/* What all commands take. */
#define PLACE(fixture) "--state-dir", (fixture)->state, "--key", (fixture)->source

static void expect_owner(const char *dir, const char *name, const char *user, unsigned mode)
{
    char path[256];
    struct stat info;
    const struct passwd *entry = getpwnam(user);
    (void)snprintf(path, sizeof(path), "%s%s", dir, name);
    assert_non_null(entry);
    assert_int_equal(stat(path, &info), 0);
    if (info.st_uid != entry->pw_uid || (info.st_mode & 07777) != mode) {
        fail_msg("%s: uid %u, mode %04o", path, (unsigned)info.st_uid,
                 (unsigned)(info.st_mode & 07777));
    }
}

/* ---- Owners ---- */

static void expect_shared(const struct tool_fixture *fixture)
{
    expect_owner(fixture->state, "", DAEMON_USER, 0711);
    expect_owner(fixture->state, "/keys", KEYS_USER, 0700);
    expect_owner(fixture->state, "/keys/keystore", KEYS_USER, 0600);
    expect_owner(fixture->state, "/keys/lock", KEYS_USER, 0600);
    expect_owner(fixture->key, "", KEYS_USER, 0600);
}

static void test_init__shares_a_directory_that_it_makes(void **state)
{
    const struct tool_fixture *fixture = *state;
    need_root();
    mode_t before = umask(0077);
    EXPECT(fixture, NULL, 0, "itself is for uid", "init", PLACE(fixture), "--owner", KEYS_USER,
           "--daemon-user", DAEMON_USER);
    (void)umask(before);
    /* What is above is for everybody to pass, whatever the mask. */
    expect_shared(fixture);
    EXPECT(fixture, NULL, 4, "already; nothing was changed", "init", PLACE(fixture), "--owner",
           KEYS_USER, "--daemon-user", DAEMON_USER);
}

static void test_init__leaves_a_directory_with_the_daemon(void **state)
{
    const struct tool_fixture *fixture = *state;
    need_root();
    const struct passwd *entry = getpwnam(DAEMON_USER);
    assert_non_null(entry);
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    assert_int_equal(chmod(fixture->state, 0700), 0);
    assert_int_equal(chown(fixture->state, entry->pw_uid, entry->pw_gid), 0);
    EXPECT(fixture, NULL, 4, "chown " KEYS_USER " ", "init", PLACE(fixture), "--owner", DAEMON_USER,
           "--daemon-user", KEYS_USER);
    expect_owner(fixture->state, "", DAEMON_USER, 0700);
    EXPECT(fixture, NULL, 0, NULL, "init", PLACE(fixture), "--owner", KEYS_USER);
    expect_shared(fixture);
}

static void test_init__for_one_user_is_as_it_was(void **state)
{
    const struct tool_fixture *fixture = *state;
    need_root();
    EXPECT(fixture, NULL, 0, NULL, "init", PLACE(fixture), "--owner", DAEMON_USER);
    expect_owner(fixture->state, "", DAEMON_USER, 0700);
    expect_owner(fixture->state, "/keys", DAEMON_USER, 0700);
    expect_owner(fixture->key, "", DAEMON_USER, 0600);
}

static void test_init__takes_numbers_and_refuses_what_is_nobody(void **state)
{
    const struct tool_fixture *fixture = *state;
    char keys[24];
    char daemon[24];
    need_root();
    const struct passwd *entry = getpwnam(KEYS_USER);
    assert_non_null(entry);
    (void)snprintf(keys, sizeof(keys), "%u", (unsigned)entry->pw_uid);
    entry = getpwnam(DAEMON_USER);
    assert_non_null(entry);
    (void)snprintf(daemon, sizeof(daemon), "%u", (unsigned)entry->pw_uid);
    EXPECT(fixture, NULL, 4, "there is no user 54321", "init", PLACE(fixture), "--owner", "54321");
    EXPECT(fixture, NULL, 4, "useradd --system no-such", "init", PLACE(fixture), "--owner", keys,
           "--daemon-user", "no-such");
    EXPECT(fixture, NULL, 2, "--daemon-user go with init", "restore", fixture->backup,
           "--daemon-user", daemon);
    assert_int_not_equal(access(fixture->state, F_OK), 0);
    EXPECT(fixture, NULL, 0, NULL, "init", PLACE(fixture), "--owner", keys, "--daemon-user",
           daemon);
    expect_shared(fixture);
}

static void test_init__by_the_owner_says_what_root_has_to_do(void **state)
{
    const struct tool_fixture *fixture = *state;
    char command[256];
    need_root();
    const struct passwd *entry = getpwnam(DAEMON_USER);
    assert_non_null(entry);
    assert_int_equal(mkdir(fixture->state, 0711), 0);
    assert_int_equal(chmod(fixture->state, 0711), 0);
    assert_int_equal(chown(fixture->state, entry->pw_uid, entry->pw_gid), 0);
    entry = getpwnam(KEYS_USER);
    assert_non_null(entry);
    (void)snprintf(command, sizeof(command), "install -d -m 0700 -o %u %s/keys",
                   (unsigned)entry->pw_uid, fixture->state);
    char source[160];
    (void)snprintf(source, sizeof(source), "passphrase:");
    EXPECT(fixture, KEYS_USER, 4, command, "init", "--state-dir", fixture->state, "--key", source,
           "--passphrase-fd", "0", "--owner", KEYS_USER);
    const char *const argv[] = {"sh", "-c", command, NULL};
    struct test_output output;
    test_run(argv, NULL, TOOL_PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    EXPECT(fixture, KEYS_USER, 0, NULL, "init", "--state-dir", fixture->state, "--key", source,
           "--passphrase-fd", "0");
    expect_owner(fixture->state, "/keys/keystore", KEYS_USER, 0600);
}

/* ---- Backups ---- */

static void test_backup__and_restore_work_for_root_and_for_the_owner(void **state)
{
    struct tool_fixture *fixture = *state;
    char own[160];
    need_root();
    EXPECT(fixture, NULL, 0, NULL, "init", PLACE(fixture), "--owner", KEYS_USER, "--daemon-user",
           DAEMON_USER);
    EXPECT(fixture, NULL, 0, "0 keys are in", "backup", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    expect_owner(fixture->backup, "", "root", 0600);
    EXPECT(fixture, NULL, 0, "0 keys were brought back", "restore", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    expect_shared(fixture);

    (void)snprintf(own, sizeof(own), "%s/own", fixture->dir);
    const struct passwd *entry = getpwnam(KEYS_USER);
    assert_non_null(entry);
    assert_int_equal(mkdir(own, 0700), 0);
    assert_int_equal(chown(own, entry->pw_uid, entry->pw_gid), 0);
    (void)snprintf(own, sizeof(own), "%s/own/backup", fixture->dir);
    EXPECT(fixture, KEYS_USER, 0, NULL, "backup", own, PLACE(fixture), "--backup-passphrase-fd",
           "0");
    EXPECT(fixture, KEYS_USER, 0, NULL, "restore", own, PLACE(fixture), "--backup-passphrase-fd",
           "0");
    /* For nobody else, and who that is, is said. */
    EXPECT(fixture, DAEMON_USER, 4, "as that user, or as root", "restore", own, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    assert_int_equal(chmod(fixture->state, 0700), 0);
    char command[160];
    (void)snprintf(command, sizeof(command), "chmod 0711 %s", fixture->state);
    EXPECT(fixture, NULL, 4, command, "restore", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    EXPECT(fixture, KEYS_USER, 4, command, "restore", own, PLACE(fixture), "--backup-passphrase-fd",
           "0");
}

static void test_backup__goes_on_where_one_was_cut_off(void **state)
{
    const struct tool_fixture *fixture = *state;
    char left[160];
    char other[160];
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    EXPECT(fixture, NULL, 0, NULL, "init", PLACE(fixture));
    (void)snprintf(left, sizeof(left), "%s/.backup.partial", fixture->dir);
    (void)snprintf(other, sizeof(other), "%s/backup.new", fixture->dir);
    test_write_file(left, "half", 4);
    test_write_file(other, "of somebody", 11);
    /* One that is still being written is left to whoever writes it. */
    int fd = open(left, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    EXPECT(fixture, NULL, 4, "another backup is being written", "backup", fixture->backup,
           PLACE(fixture), "--backup-passphrase-fd", "0");
    assert_int_equal(access(left, F_OK), 0);
    (void)close(fd);
    EXPECT(fixture, NULL, 0, NULL, "backup", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    assert_int_not_equal(access(left, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    EXPECT(fixture, NULL, 4, "--force", "backup", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
    EXPECT(fixture, NULL, 0, NULL, "backup", fixture->backup, "--force", PLACE(fixture),
           "--backup-passphrase-fd", "0");
    EXPECT(fixture, NULL, 0, NULL, "restore", fixture->backup, PLACE(fixture),
           "--backup-passphrase-fd", "0");
}

#define TOOL_TEST(name) cmocka_unit_test_setup_teardown(name, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOOL_TEST(test_init__shares_a_directory_that_it_makes),
        TOOL_TEST(test_init__leaves_a_directory_with_the_daemon),
        TOOL_TEST(test_init__for_one_user_is_as_it_was),
        TOOL_TEST(test_init__takes_numbers_and_refuses_what_is_nobody),
        TOOL_TEST(test_init__by_the_owner_says_what_root_has_to_do),
        TOOL_TEST(test_backup__and_restore_work_for_root_and_for_the_owner),
        TOOL_TEST(test_backup__goes_on_where_one_was_cut_off),
    };
    return cmocka_run_group_tests_name("keystore_tool", tests, NULL, NULL);
}
