/* SPDX-License-Identifier: Apache-2.0
 *
 * No secret leaves: tokens of every algorithm are minted and verified with known keys, and then every window
 * of 16 bytes of each secret and private scalar is looked for, in every form, where none may be: the memory
 * of the daemon's front and of a service, what crossed the sockets, the log, all files, core files, and what
 * the keyholder could lose to swap. In each of those places a planted copy is found by the same search.
 *
 * 10,000 tokens in all; "long" as an argument: 10,000 with every algorithm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/sp.h"
#include "tests/integration/leak_keys.h"
#include "tests/integration/leak_proxy.h"
#include "tests/support/keyed_daemon.h"
#include "tests/support/processes.h"
#include "tests/support/secret_search.h"
#include "tests/support/sp_client.h"

#define LEAKS_TOKENS      10000u
#define LEAKS_CLIENT_MS   (30 * 60 * 1000) /* a bound for a broken run, not a measure */
#define LEAKS_PLANT_TRIES 50u
#define LEAKS_COPY_LEN    32u

static bool leaks_is_long;

struct leaks {
    char given[96]; /* a directory that only this test and its commands see */
    char cores[96]; /* the working directory of all that is started */
    char before[PATH_MAX];
    struct leak_key keys[LEAK_NUM_KEYS];
    struct secret_search *search;
    struct test_keyed_daemon keyed;
    struct leak_proxy *services, *admin;
    char services_path[107], admin_path[107];
    pid_t client;
    FILE *to_client, *from_client;
    char planted[256]; /* a part of a secret, raw, in hex and in base64url */
    size_t planted_len;
};

/* ---- Verdicts ---- */

static void must_be_clean(const struct secret_report *report, const char *where)
{
    secret_report_print(report, where);
    assert_true(report->num_scanned > 0);
    if (report->num_hits > 0 || report->num_unreadable > 0) {
        fail_msg("%s: secrets were found, or it could not be looked through whole", where);
    }
    assert_true(SG_SANITIZED || report->num_oversized == 0);
}

static bool has_form(const struct secret_report *report, enum secret_form form)
{
    for (size_t i = 0; i < report->num_finds; i++) {
        if (report->finds[i].form == form) {
            return true;
        }
    }
    return false;
}

/* Whether all three forms of the planted copy were seen. */
static bool has_planted(const struct secret_report *report)
{
    return has_form(report, SECRET_RAW) && has_form(report, SECRET_HEX) &&
           has_form(report, SECRET_BASE64URL);
}

static void must_have_planted(const struct secret_report *report, const char *where)
{
    if (!has_planted(report)) {
        secret_report_print(report, where);
        fail_msg("%s: the planted copy was not found, so the search proves nothing", where);
    }
}

/* Adds what a process holds to the report, or skips the test. */
static void look_into(const struct leaks *leaks, pid_t pid, enum secret_memory which,
                      struct secret_report *report)
{
    if (!secret_search_process(leaks->search, pid, which, report)) {
        print_message(
            "NOT PROVED HERE: the memory of process %d cannot be read: %s (run as root)\n",
            (int)pid, strerror(errno));
        skip();
    }
}

static void path_in(const char *dir, const char *name, char *out, size_t out_cap)
{
    int len = snprintf(out, out_cap, "%s/%s", dir, name);
    assert_in_range(len, 1, (int)out_cap - 1);
}

static pid_t keyholder_of(const struct leaks *leaks)
{
    return test_process_await_keyholder(leaks->keyed.daemon.pid, 0);
}

/* ---- The service ---- */

static void client_expect(const struct leaks *leaks, const char *what)
{
    char line[64] = "";
    struct pollfd wait_for = {.fd = fileno(leaks->from_client), .events = POLLIN};
    assert_int_equal(poll(&wait_for, 1, LEAKS_CLIENT_MS), 1);
    if (fgets(line, sizeof(line), leaks->from_client) == NULL || strcmp(line, what) != 0) {
        fail_msg("leak_client said \"%s\" and not \"%s\"", line, what);
    }
}

static void client_start(struct leaks *leaks)
{
    char num[32];
    char address[128];
    const char *argv[LEAK_NUM_KEYS + 4] = {SG_LEAK_CLIENT, address, num};
    size_t tokens = leaks_is_long ? LEAKS_TOKENS : LEAKS_TOKENS / LEAK_NUM_KEYS + 1;
    (void)snprintf(num, sizeof(num), "%zu", tokens);
    (void)snprintf(address, sizeof(address), "ipc://%s", leaks->services_path);
    for (size_t i = 0; i < LEAK_NUM_KEYS; i++) {
        argv[3 + i] = leaks->keys[i].keyset;
    }
    int input[2];
    int output[2];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn(&leaks->client, SG_LEAK_CLIENT, &actions, NULL,
                                 (char *const *)(uintptr_t)argv, environ),
                     0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(input[0]);
    (void)close(output[1]);
    leaks->to_client = fdopen(input[1], "w");
    leaks->from_client = fdopen(output[0], "r");
    assert_true(leaks->to_client != NULL && leaks->from_client != NULL);
    client_expect(leaks, "done\n");
    print_message("%zu tokens of each of %zu algorithms were minted and verified\n", tokens,
                  LEAK_NUM_KEYS);
}

static void client_plant(const struct leaks *leaks)
{
    for (size_t i = 0; i < leaks->planted_len; i++) {
        (void)fprintf(leaks->to_client, "%02x", (unsigned char)leaks->planted[i]);
    }
    (void)fprintf(leaks->to_client, "\n");
    assert_int_equal(fflush(leaks->to_client), 0);
    client_expect(leaks, "held\n");
}

/* Its wait status, after the end of its input or a signal (0: none). */
static int client_end(struct leaks *leaks, int signal_number)
{
    int status = 0;
    if (signal_number != 0) {
        assert_int_equal(kill(leaks->client, signal_number), 0);
    }
    (void)fclose(leaks->to_client);
    assert_int_equal(waitpid(leaks->client, &status, 0), leaks->client);
    (void)fclose(leaks->from_client);
    leaks->client = 0;
    return status;
}

/* ---- Set-up ---- */

static void leaks_make_planted(struct leaks *leaks)
{
    size_t len = 0;
    uint8_t *secret = (uint8_t *)test_read_file(leaks->keys[0].path, &len);
    char *out = leaks->planted;
    assert_non_null(secret);
    assert_int_equal(len, LEAKS_COPY_LEN);
    memcpy(out, secret, LEAKS_COPY_LEN);
    out += LEAKS_COPY_LEN;
    *out++ = '\n';
    for (size_t i = 0; i < LEAKS_COPY_LEN; i++) {
        out += snprintf(out, 3, "%02x", secret[i]);
    }
    *out++ = '\n';
    out += sg_base64url_encode(secret, LEAKS_COPY_LEN, out);
    leaks->planted_len = (size_t)(out - leaks->planted);
    assert_true(leaks->planted_len < sizeof(leaks->planted));
    free(secret);
}

static void leaks_add_kek(const struct leaks *leaks)
{
    size_t len = 0;
    char *kek = test_read_file(leaks->keyed.source + strlen("file:"), &len);
    assert_non_null(kek);
    secret_search_add(leaks->search, "key-encryption key", (const uint8_t *)kek, len);
    free(kek);
}

static void leaks_import(const struct leaks *leaks)
{
    for (size_t i = 0; i < LEAK_NUM_KEYS; i++) {
        const struct leak_key *key = &leaks->keys[i];
        const char *const arguments[] = {"key",     "import", key->keyset, key->option,
                                         key->path, "--now",  NULL};
        free(test_keyed_daemon_run(&leaks->keyed, arguments, NULL));
    }
}

/* Whatever is started from here on may write core files, and where that can be seen. */
static void leaks_allow_cores(struct leaks *leaks)
{
    struct rlimit limit;
    test_temp_dir(leaks->cores, sizeof(leaks->cores));
    assert_non_null(getcwd(leaks->before, sizeof(leaks->before)));
    assert_int_equal(chdir(leaks->cores), 0);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
    (void)setrlimit(RLIMIT_CORE, &limit); /* for those who may */
}

static void leaks_start_daemon(struct leaks *leaks)
{
    char keysets[LEAK_NUM_KEYS * 96];
    char upstream[160];
    size_t len = 0;
    for (size_t i = 0; i < LEAK_NUM_KEYS; i++) {
        len += (size_t)snprintf(keysets + len, sizeof(keysets) - len,
                                "  - name: %s\n    alg: %s\n    issuer: https://login.example\n",
                                leaks->keys[i].keyset, leaks->keys[i].info->config_name);
        assert_true(len < sizeof(keysets));
    }
    test_keyed_daemon_prepare(&leaks->keyed, keysets);
    leaks_add_kek(leaks);
    test_keyed_daemon_start(&leaks->keyed);
    path_in(leaks->given, "signet.sock", leaks->services_path, sizeof(leaks->services_path));
    path_in(leaks->given, "admin.sock", leaks->admin_path, sizeof(leaks->admin_path));
    path_in(leaks->keyed.daemon.runtime_dir, "admin.sock", upstream, sizeof(upstream));
    leaks->services =
        leak_proxy_start(leaks->services_path, leaks->keyed.daemon.socket, leaks->search);
    leaks->admin = leak_proxy_start(leaks->admin_path, upstream, leaks->search);
    (void)snprintf(leaks->keyed.admin_address, sizeof(leaks->keyed.admin_address), "ipc://%s",
                   leaks->admin_path);
}

static int leaks_setup(void **state)
{
    struct leaks *leaks = calloc(1, sizeof(*leaks));
    assert_non_null(leaks);
    *state = leaks;
    test_temp_dir(leaks->given, sizeof(leaks->given));
    leaks->search = secret_search_new();
    leak_keys_make(leaks->given, leaks->search, leaks->keys);
    leaks_make_planted(leaks);
    leaks_allow_cores(leaks);
    leaks_start_daemon(leaks);
    leaks_import(leaks);
    client_start(leaks);
    return 0;
}

static int leaks_teardown(void **state)
{
    struct leaks *leaks = *state;
    if (leaks->client > 0) {
        (void)client_end(leaks, 0);
    }
    leak_proxy_stop(leaks->services);
    leak_proxy_stop(leaks->admin);
    test_daemon_stop(&leaks->keyed.daemon);
    assert_int_equal(chdir(leaks->before), 0);
    test_remove_tree(leaks->given);
    test_remove_tree(leaks->cores);
    secret_search_free(leaks->search);
    free(leaks);
    return 0;
}

/* ---- What is looked for ---- */

static void test_search__knows_every_secret(void **state)
{
    const struct leaks *leaks = *state;
    size_t num = secret_search_num_windows(leaks->search);
    size_t left_out = secret_search_num_left_out(leaks->search);
    print_message("%zu windows, %zu of them left out\n", num, left_out);
    /* An RSA key has d and five numbers of half its length. */
    assert_in_range(num, 6 * (256 + 5 * 128 - 6 * SECRET_WINDOW), SIZE_MAX);
    assert_in_range(left_out, 0, num / 1000);
}

/* ---- Memory ---- */

static void test_service__holds_none(void **state)
{
    const struct leaks *leaks = *state;
    struct secret_report report = {0};
    struct secret_report again = {0};
    look_into(leaks, leaks->client, SECRET_ALL_MEMORY, &report);
    must_be_clean(&report, "the service's memory");
    client_plant(leaks);
    look_into(leaks, leaks->client, SECRET_ALL_MEMORY, &again);
    must_have_planted(&again, "the service's memory");
}

/* Sends the copy in a message that does not end; the caller closes the connection. */
static int plant_half_message(const struct leaks *leaks, const char *path)
{
    uint8_t frame[SG_SP_HEADER_LEN + sizeof(leaks->planted)];
    int fd = sp_client_open(path);
    sg_sp_header(0x80000001u, leaks->planted_len + 1000, frame);
    memcpy(frame + SG_SP_HEADER_LEN, leaks->planted, leaks->planted_len);
    assert_true(sp_client_write(fd, frame, SG_SP_HEADER_LEN + leaks->planted_len));
    return fd;
}

static void test_front__holds_none(void **state)
{
    const struct leaks *leaks = *state;
    pid_t front = leaks->keyed.daemon.pid;
    struct secret_report report = {0};
    struct secret_report again = {0};
    look_into(leaks, front, SECRET_ALL_MEMORY, &report);
    must_be_clean(&report, "the front's memory");
    /* Nobody says when it has read so far, and it does not wait long for the rest. */
    for (unsigned i = 0; i < LEAKS_PLANT_TRIES && !has_planted(&again); i++) {
        int fd = plant_half_message(leaks, leaks->keyed.daemon.socket);
        memset(&again, 0, sizeof(again));
        look_into(leaks, front, SECRET_ALL_MEMORY, &again);
        (void)close(fd);
    }
    must_have_planted(&again, "the front's memory");
}

/* The launcher, which was a copy of the daemon, and whatever else there may be below it. */
static size_t others_of(const struct leaks *leaks, pid_t *out, size_t max)
{
    pid_t front = leaks->keyed.daemon.pid;
    pid_t keyholder = keyholder_of(leaks);
    size_t num = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        pid_t parent = pid > 1 && pid != keyholder ? test_process_parent(pid) : 0;
        if (parent == front || (parent > 1 && test_process_parent(parent) == front)) {
            assert_true(num < max);
            out[num++] = pid;
        }
    }
    (void)closedir(proc);
    return num;
}

static void test_other_processes__hold_none(void **state)
{
    const struct leaks *leaks = *state;
    struct secret_report report = {0};
    pid_t others[16];
    size_t num = others_of(leaks, others, sizeof(others) / sizeof(others[0]));
    assert_true(num > 0);
    for (size_t i = 0; i < num; i++) {
        look_into(leaks, others[i], SECRET_ALL_MEMORY, &report);
    }
    must_be_clean(&report, "the memory of the daemon's other processes");
}

/* Whether the kernel lets a process of this user, such as the keyholder, lock all of its memory. */
static bool may_lock_all(void)
{
    struct rlimit limit;
    char text[64];
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    assert_true(test_process_field(getpid(), "CapEff", text, sizeof(text)));
    return limit.rlim_max == RLIM_INFINITY || (strtoull(text, NULL, 16) >> CAP_IPC_LOCK & 1) != 0;
}

/* Where only a part may be locked, what keys are kept as has to be in that part. What OpenSSL works with, such
 * as the state of an HMAC, is not. */
static void must_be_working_copies(const struct secret_report *report)
{
    static const char *const kept[] = {" d", " dp", " scalar", " seed", "key-encryption key"};
    for (size_t i = 0; i < report->num_finds; i++) {
        const char *name = report->finds[i].secret;
        for (size_t j = 0; j < sizeof(kept) / sizeof(kept[0]); j++) {
            size_t len = strlen(kept[j]);
            if (strlen(name) >= len && strcmp(name + strlen(name) - len, kept[j]) == 0) {
                fail_msg("%s can be swapped", name);
            }
        }
    }
}

static void must_not_be_swappable(const struct leaks *leaks, pid_t keyholder)
{
    struct secret_report report = {0};
    look_into(leaks, keyholder, SECRET_SWAPPABLE_MEMORY, &report);
    secret_report_print(&report, "what the keyholder could lose to swap");
    if (SG_SANITIZED) {
        print_message("NOT PROVED HERE: with sanitizers, no memory is locked\n");
        skip();
    }
    assert_int_equal(report.num_unreadable, 0);
    if (report.num_hits > 0 && !may_lock_all()) {
        must_be_working_copies(&report);
        print_message("NOT PROVED HERE: RLIMIT_MEMLOCK lets only a part of the memory be locked\n");
        skip();
    }
    assert_int_equal(report.num_hits, 0);
}

static void test_keyholder__holds_none_that_can_be_swapped(void **state)
{
    const struct leaks *leaks = *state;
    pid_t keyholder = keyholder_of(leaks);
    struct secret_report all = {0};
    struct secret_report planted = {0};
    look_into(leaks, leaks->client, SECRET_SWAPPABLE_MEMORY, &planted);
    must_have_planted(&planted, "what the service could lose to swap");
    /* It has them, or memory that nobody can read; else another process is looked at than is meant. */
    look_into(leaks, keyholder, SECRET_ALL_MEMORY, &all);
    print_message("the keyholder: %llu bytes can be read, %llu cannot; %llu windows of secrets\n",
                  (unsigned long long)all.num_scanned, (unsigned long long)all.num_unreadable,
                  (unsigned long long)all.num_hits);
    assert_true(all.num_hits > 0 || all.num_unreadable > 0);
    must_not_be_swappable(leaks, keyholder);
}

/* ---- Traffic ---- */

static void must_see_planted(const struct leaks *leaks, struct leak_proxy *proxy, const char *path,
                             const char *where)
{
    struct secret_report report = {0};
    int fd = plant_half_message(leaks, path);
    /* It closes a connection that does not go on, and then everything has passed. */
    sp_client_wait_closed(fd);
    (void)close(fd);
    leak_proxy_read(proxy, &report);
    must_have_planted(&report, where);
}

static void test_sockets__carry_none(void **state)
{
    const struct leaks *leaks = *state;
    struct secret_report services;
    struct secret_report admin;
    leak_proxy_read(leaks->services, &services);
    leak_proxy_read(leaks->admin, &admin);
    must_be_clean(&services, "what crossed the services' socket");
    must_be_clean(&admin, "what crossed the operators' socket");
    must_see_planted(leaks, leaks->services, leaks->services_path,
                     "what crossed the services' socket");
    must_see_planted(leaks, leaks->admin, leaks->admin_path, "what crossed the operators' socket");
}

/* ---- Files ---- */

static void plant_in_file(const struct leaks *leaks, const char *path)
{
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    assert_int_equal(fwrite(leaks->planted, 1, leaks->planted_len, file), leaks->planted_len);
    assert_int_equal(fclose(file), 0);
}

static void test_log__says_none(void **state)
{
    const struct leaks *leaks = *state;
    struct secret_report report = {0};
    struct secret_report again = {0};
    const char *path = leaks->keyed.daemon.log_path;
    assert_true(secret_search_file(leaks->search, path, &report));
    must_be_clean(&report, "the log");
    plant_in_file(leaks, path);
    assert_true(secret_search_file(leaks->search, path, &again));
    must_have_planted(&again, "the log");
    assert_int_equal(truncate(path, (off_t)report.num_scanned), 0);
}

/* The keystore, the state, the runtime directory, the configuration: all but the key-encryption key's own
 * file. */
static void test_files__hold_none(void **state)
{
    const struct leaks *leaks = *state;
    const char *dir = leaks->keyed.daemon.dir;
    const char *kek = leaks->keyed.source + strlen("file:");
    char path[192];
    struct secret_report report = {0};
    struct secret_report with_kek = {0};
    struct secret_report again = {0};
    assert_true(secret_search_tree(leaks->search, dir, kek, &report));
    must_be_clean(&report, "all files of the daemon");
    assert_true(secret_search_tree(leaks->search, dir, NULL, &with_kek));
    assert_true(has_form(&with_kek, SECRET_RAW));
    path_in(leaks->keyed.state_dir, "planted", path, sizeof(path));
    plant_in_file(leaks, path);
    assert_true(secret_search_tree(leaks->search, dir, kek, &again));
    must_have_planted(&again, "all files of the daemon");
    assert_int_equal(unlink(path), 0);
}

/* ---- Core files ---- */

/* Whether they are plain files in the working directory, and not given to a program or put elsewhere. */
static bool cores_are_files_here(void)
{
    char *pattern = test_read_file("/proc/sys/kernel/core_pattern", NULL);
    assert_non_null(pattern);
    bool is_plain = pattern[0] != '|' && strchr(pattern, '/') == NULL;
    if (!is_plain) {
        print_message(
            "core files go to \"%.*s\"; here the kernel's word is taken for those that there "
            "are not\n",
            (int)strcspn(pattern, "\n"), pattern);
    }
    free(pattern);
    return is_plain;
}

static bool cores_are_allowed(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    return limit.rlim_cur == RLIM_INFINITY;
}

static size_t num_files(const char *dir, const char *prefix)
{
    size_t num = 0;
    DIR *entries = opendir(dir);
    assert_non_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        num += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    (void)closedir(entries);
    return num;
}

/* Where a process would leave its core file, and what is there before. */
struct core_place {
    char dir[PATH_MAX];
    size_t num_before;
};

static void core_place_of(const struct leaks *leaks, pid_t pid, struct core_place *place)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    ssize_t len = readlink(path, place->dir, sizeof(place->dir) - 1);
    if (len < 0) {
        print_message(
            "the working directory of process %d cannot be read (%s); it was started here\n",
            (int)pid, strerror(errno));
        (void)snprintf(place->dir, sizeof(place->dir), "%s", leaks->cores);
    } else {
        place->dir[len] = '\0';
    }
    place->num_before = num_files(place->dir, "core");
}

static void must_be_no_core(const struct leaks *leaks, const struct core_place *place,
                            const char *of)
{
    struct secret_report report = {0};
    if (num_files(place->dir, "core") == place->num_before && num_files(leaks->cores, "") == 0) {
        return;
    }
    (void)secret_search_tree(leaks->search, leaks->cores, NULL, &report);
    secret_report_print(&report, of);
    fail_msg("%s left a core file in %s", of, place->dir);
}

static void abort_keyholder(const struct leaks *leaks)
{
    struct core_place place;
    pid_t keyholder = keyholder_of(leaks);
    int pidfd = test_process_open(keyholder);
    core_place_of(leaks, keyholder, &place);
    assert_int_equal(kill(keyholder, SIGABRT), 0);
    test_process_await_end(pidfd);
    must_be_no_core(leaks, &place, "the keyholder");
}

static void abort_front(struct leaks *leaks)
{
    struct core_place place;
    core_place_of(leaks, leaks->keyed.daemon.pid, &place);
    int status = test_daemon_kill(&leaks->keyed.daemon, SIGABRT);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    must_be_no_core(leaks, &place, "the front");
    assert_false(WCOREDUMP(status));
}

/* The twin: a process that holds the copy, and may leave a core file. */
static void must_find_in_core(struct leaks *leaks, bool is_real)
{
    struct secret_report report = {0};
    int status = client_end(leaks, SIGABRT);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (is_real) {
        assert_true(WCOREDUMP(status));
        assert_int_equal(num_files(leaks->cores, "core"), 1);
    } else {
        char path[128];
        print_message("there are no core files here: the planted copy is in one made by hand\n");
        path_in(leaks->cores, "core", path, sizeof(path));
        plant_in_file(leaks, path);
    }
    assert_true(secret_search_tree(leaks->search, leaks->cores, NULL, &report));
    must_have_planted(&report, "a core file");
}

static void test_core_files__are_not_written(void **state)
{
    struct leaks *leaks = *state;
    bool is_allowed = cores_are_allowed();
    if (!is_allowed) {
        print_message("NOT PROVED HERE: core files are not allowed at all (ulimit -Hc)\n");
    }
    /* The runtime of a sanitizer forbids them by itself. */
    bool is_real = cores_are_files_here() && is_allowed && !SG_SANITIZED;
    abort_keyholder(leaks);
    abort_front(leaks);
    must_find_in_core(leaks, is_real);
}

int main(int argc, char **argv)
{
    leaks_is_long = argc > 1 && strcmp(argv[1], "long") == 0;
    /* In this order: what is planted stays, and the last ends the processes. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search__knows_every_secret),
        cmocka_unit_test(test_service__holds_none),
        cmocka_unit_test(test_front__holds_none),
        cmocka_unit_test(test_other_processes__hold_none),
        cmocka_unit_test(test_keyholder__holds_none_that_can_be_swapped),
        cmocka_unit_test(test_sockets__carry_none),
        cmocka_unit_test(test_log__says_none),
        cmocka_unit_test(test_files__hold_none),
        cmocka_unit_test(test_core_files__are_not_written),
    };
    return cmocka_run_group_tests_name("no_secret_leaves", tests, leaks_setup, leaks_teardown);
}
