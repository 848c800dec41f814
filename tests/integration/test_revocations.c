/* SPDX-License-Identifier: Apache-2.0
 *
 * Revocations of the real daemon: in force when they are acknowledged, for everybody, and after SIGKILL at random
 * instants, with the daemon as with who reads the trust board meanwhile. The argument is the number of kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/board.h"
#include "tests/support/files.h"
#include "tests/support/keyed_daemon.h"
#include "tests/support/small_disk.h"

#define REVOKED_CALL_MS       10000u
#define REVOKED_DEFAULT_KILLS (SG_SANITIZED ? 3u : 20u)
#define REVOKED_MAX_TOKENS    65536u
#define REVOKED_TOKEN_MAX     512u
#define REVOKED_MAX_DELAY_US  60000u
#define REVOKED_NUM_READERS   4u
#define REVOKED_FRESH_MS      2000u /* as readers have it by default */
#define REVOKED_REOPEN_EVERY  32u   /* rounds of a reader, as if it had just begun */

static const char revoked_keysets[] = "  - name: login\n"
                                      "    alg: EdDSA\n"
                                      "    issuer: https://login.example\n"
                                      "  - name: pay\n"
                                      "    alg: HS256\n"
                                      "    issuer: https://pay.example\n";
static const char *const revoked_audiences[] = {"orders"};
static unsigned revoked_num_kills = REVOKED_DEFAULT_KILLS;

static struct {
    struct test_keyed_daemon keyed;
    atomic_bool stop;
    /* Of the one thread that revokes. */
    char tokens[REVOKED_MAX_TOKENS][REVOKED_TOKEN_MAX];
    atomic_size_t num_acknowledged; /* of tokens */
} revoked;

static int setup(void **state)
{
    (void)state;
    test_keyed_daemon_prepare(&revoked.keyed, revoked_keysets);
    test_keyed_daemon_start(&revoked.keyed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_daemon_stop(&revoked.keyed.daemon);
    return 0;
}

static struct signet_client *connect_client(const char *address)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = address;
    options.timeout_ms = REVOKED_CALL_MS;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

static signet_status try_mint(struct signet_client *client, const char *keyset, const char *subject,
                              char *token, char *jti)
{
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_signed *signed_token = NULL;
    options.keyset = keyset;
    options.subject = subject;
    options.audiences = revoked_audiences;
    options.num_audiences = 1;
    options.ttl_s = 3600;
    signet_status status = signet_sign(client, &options, &signed_token, NULL);
    if (status == SIGNET_OK) {
        (void)snprintf(token, REVOKED_TOKEN_MAX, "%s", signet_signed_token(signed_token));
        if (jti != NULL) {
            (void)snprintf(jti, REVOKED_TOKEN_MAX, "%s", signet_signed_jti(signed_token));
        }
        signet_signed_free(signed_token);
    }
    return status;
}

static void mint(struct signet_client *client, const char *keyset, const char *subject, char *token,
                 char *jti)
{
    assert_int_equal(try_mint(client, keyset, subject, token, jti), SIGNET_OK);
}

static signet_status judge(struct signet_client *client, const char *token, signet_reason *reason)
{
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_verified *verified = NULL;
    struct signet_error error = {.status = SIGNET_OK};
    options.audiences = revoked_audiences;
    options.num_audiences = 1;
    signet_status status = signet_verify(client, token, strlen(token), &options, &verified, &error);
    signet_verified_free(verified);
    *reason = error.reason;
    return status;
}

static void expect_good(struct signet_client *client, const char *token)
{
    signet_reason reason;
    assert_int_equal(judge(client, token, &reason), SIGNET_OK);
}

static void expect_refused(struct signet_client *client, const char *token)
{
    signet_reason reason;
    assert_int_equal(judge(client, token, &reason), SIGNET_REJECTED);
    assert_int_equal(reason, SIGNET_REASON_REVOKED);
}

static signet_status try_revoke(struct signet_client *client,
                                const struct signet_revoke_options *options)
{
    struct signet_revocation *revocation = NULL;
    signet_status status = signet_revoke(client, options, &revocation, NULL);
    signet_revocation_free(revocation);
    return status;
}

/* ---- In force when it is acknowledged ---- */

static void test_revoke__is_in_force_for_every_client(void **state)
{
    (void)state;
    struct signet_client *client = connect_client(revoked.keyed.daemon.address);
    struct signet_client *other = connect_client(revoked.keyed.daemon.address);
    char token[REVOKED_TOKEN_MAX];
    char beside[REVOKED_TOKEN_MAX];
    char jti[REVOKED_TOKEN_MAX];
    for (unsigned i = 0; i < 100; i++) {
        const char *keyset = i % 2 == 0 ? "login" : "pay";
        mint(client, keyset, "alice", token, jti);
        mint(client, keyset, "alice", beside, NULL);
        expect_good(other, token);
        struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
        if (i % 4 < 2) {
            options.token = token;
        } else {
            options.jti = jti;
            options.keyset = keyset;
        }
        assert_int_equal(try_revoke(client, &options), SIGNET_OK);
        expect_refused(other, token);
        expect_good(other, beside);
    }
    signet_client_free(client);
    signet_client_free(other);
}

static void test_revoke__what_is_minted_afterwards_is_good(void **state)
{
    (void)state;
    struct signet_client *client = connect_client(revoked.keyed.daemon.address);
    char before[REVOKED_TOKEN_MAX];
    char after[REVOKED_TOKEN_MAX];
    char of_bob[REVOKED_TOKEN_MAX];
    for (unsigned i = 0; i < 4; i++) {
        struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
        options.keyset = "login";
        options.subject = i % 2 == 0 ? "alice" : NULL;
        options.all = i % 2 != 0;
        mint(client, "login", "alice", before, NULL);
        mint(client, "pay", "alice", of_bob, NULL); /* of another issuer */
        assert_int_equal(try_revoke(client, &options), SIGNET_OK);
        expect_refused(client, before);
        expect_good(client, of_bob);
        mint(client, "login", "alice", after, NULL);
        expect_good(client, after);
        expect_refused(client, before);
    }
    signet_client_free(client);
}

/* ---- Who may ---- */

static signet_status try_revoke_all(struct signet_client *client, const char *keyset)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    options.keyset = keyset;
    options.all = true;
    return try_revoke(client, &options);
}

static signet_status try_revoke_token(struct signet_client *client, const char *token)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    options.token = token;
    return try_revoke(client, &options);
}

/* Two keysets have one issuer, so that a token or subject of it is about both. */
static void test_revoke__takes_the_right_on_every_keyset_of_the_issuer(void **state)
{
    (void)state;
    static const char config[] = "keystore: {key: ephemeral}\n"
                                 "grants:\n"
                                 "  - name: all\n"
                                 "    who: {anybody: true}\n"
                                 "    may: [sign, verify]\n"
                                 "    keysets: [\"*\"]\n"
                                 "  - name: some\n"
                                 "    who: {anybody: true}\n"
                                 "    may: [revoke]\n"
                                 "    keysets: [login, pay]\n"
                                 "keysets:\n"
                                 "  - {name: login, alg: HS256, issuer: \"https://one.example\"}\n"
                                 "  - {name: other, alg: HS256, issuer: \"https://one.example\"}\n"
                                 "  - {name: pay, alg: HS256, issuer: \"https://two.example\"}\n";
    char dir[96];
    char path[128];
    test_temp_dir(dir, sizeof(dir));
    (void)snprintf(path, sizeof(path), "%s/signet.yaml", dir);
    test_write_file(path, config, sizeof(config) - 1);
    const char *const as_root[] = {"--config", path, "--user", "root", NULL};
    const char *const as_other[] = {"--config", path, NULL};
    struct test_daemon daemon;
    test_daemon_start(&daemon, geteuid() == 0 ? as_root : as_other);
    struct signet_client *client = connect_client(daemon.address);
    char of_login[REVOKED_TOKEN_MAX];
    char of_other[REVOKED_TOKEN_MAX];
    char of_pay[REVOKED_TOKEN_MAX];
    mint(client, "login", "alice", of_login, NULL);
    mint(client, "other", "alice", of_other, NULL);
    mint(client, "pay", "alice", of_pay, NULL);
    assert_int_equal(try_revoke_token(client, of_login), SIGNET_PERMISSION_DENIED);
    assert_int_equal(try_revoke_token(client, of_other), SIGNET_PERMISSION_DENIED);
    assert_int_equal(try_revoke_all(client, "other"), SIGNET_PERMISSION_DENIED);
    assert_int_equal(try_revoke_all(client, "absent"), SIGNET_PERMISSION_DENIED);
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    options.keyset = "login";
    options.subject = "alice";
    assert_int_equal(try_revoke(client, &options), SIGNET_PERMISSION_DENIED);
    expect_good(client, of_login);
    expect_good(client, of_other);
    assert_int_equal(try_revoke_token(client, of_pay), SIGNET_OK);
    expect_refused(client, of_pay);
    assert_int_equal(try_revoke_all(client, "login"), SIGNET_OK);
    expect_refused(client, of_login);
    expect_good(client, of_other);
    signet_client_free(client);
    test_daemon_stop(&daemon);
    test_remove_tree(dir);
}

/* ---- The command ---- */

static void test_signet__revokes_and_lists(void **state)
{
    (void)state;
    struct signet_client *client = connect_client(revoked.keyed.daemon.address);
    char token[REVOKED_TOKEN_MAX];
    char jti[REVOKED_TOKEN_MAX];
    mint(client, "login", "carol", token, jti);
    const char *const revoke[] = {"revoke", "--token", "-", "--reason", "seen in a log", NULL};
    free(test_keyed_daemon_run(&revoked.keyed, revoke, token));
    expect_refused(client, token);
    const char *const list[] = {"revocations", "--json", NULL};
    char *listed = test_keyed_daemon_run(&revoked.keyed, list, NULL);
    assert_non_null(strstr(listed, jti));
    assert_non_null(strstr(listed, "seen in a log"));
    free(listed);
    signet_client_free(client);
}

/* ---- Readers of the board ---- */

/* As the board has it. */
struct revoked_record {
    enum sg_board_kind kind;
    char scope[64], name[64];
};

/* Of the test and its readers, which are processes. */
static struct {
    atomic_bool stop;
    atomic_size_t num;                           /* of records, all of which were acknowledged */
    atomic_ulong num_fresh[REVOKED_NUM_READERS]; /* look-ups on a board that counted */
    struct revoked_record records[REVOKED_MAX_TOKENS];
} * shared;

struct reader {
    char path[160];
    struct sg_board *board; /* NULL: there is none */
};

static void reader_open(struct reader *reader)
{
    char error[512];
    sg_board_close(reader->board);
    reader->board = NULL;
    if (sg_board_open(reader->path, geteuid(), &reader->board, error, sizeof(error)) != SIGNET_OK) {
        reader->board = NULL;
    }
}

static bool reader_finds(const struct reader *reader, const struct revoked_record *record)
{
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    int64_t value = 0;
    sg_board_digest(reader->board, record->kind, record->scope, strlen(record->scope), record->name,
                    strlen(record->name), digest);
    return sg_board_find(reader->board, digest, &value);
}

static bool reader_is_fresh(const struct reader *reader)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return sg_board_is_fresh(reader->board,
                             (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                             REVOKED_FRESH_MS);
}

/* As common/board.h says how to judge. 1: refused; 0: ask the daemon; -1: it would be accepted. */
static int reader_judge(const struct reader *reader, const struct revoked_record *record)
{
    uint64_t generation = sg_board_generation(reader->board);
    if (!reader_is_fresh(reader)) {
        return 0;
    }
    bool is_there = reader_finds(reader, record);
    if (sg_board_generation(reader->board) != generation) {
        return 0;
    }
    return is_there ? 1 : -1;
}

/* All that was acknowledged before the round. False: one would be accepted. */
static bool reader_round(struct reader *reader, unsigned index)
{
    size_t num = atomic_load(&shared->num);
    if (reader->board == NULL || sg_board_is_superseded(reader->board)) {
        reader_open(reader);
    }
    for (size_t i = 0; reader->board != NULL && i < num; i++) {
        int verdict = reader_judge(reader, &shared->records[i]);
        if (verdict < 0) {
            (void)fprintf(stderr, "reader %u: revocation %zu of %zu, %s, is not on a fresh board\n",
                          index, i, num, shared->records[i].name);
            return false;
        }
        (void)atomic_fetch_add(&shared->num_fresh[index], (unsigned long)verdict);
    }
    return true;
}

/* The whole life of a reader's process. */
static int reader_run(unsigned index)
{
    struct reader reader = {.board = NULL};
    const struct timespec moment = {.tv_nsec = 200000};
    bool is_good = true;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(reader.path, sizeof(reader.path), "%s/" SG_BOARD_FILE,
                   revoked.keyed.daemon.runtime_dir);
    for (unsigned round = 0; is_good && !atomic_load(&shared->stop); round++) {
        if (round % REVOKED_REOPEN_EVERY == 0) {
            reader_open(&reader);
        }
        is_good = reader_round(&reader, index);
        (void)nanosleep(&moment, NULL);
    }
    sg_board_close(reader.board);
    return is_good ? 0 : 1;
}

static void readers_start(pid_t readers[REVOKED_NUM_READERS])
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (unsigned i = 0; i < REVOKED_NUM_READERS; i++) {
        readers[i] = fork();
        assert_true(readers[i] >= 0);
        if (readers[i] == 0) {
            _exit(reader_run(i));
        }
    }
}

static void readers_end(const pid_t readers[REVOKED_NUM_READERS])
{
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < REVOKED_NUM_READERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(readers[i], &status, 0), readers[i]);
        assert_int_equal(status, 0);
        assert_true(atomic_load(&shared->num_fresh[i]) > 0);
        print_message("reader %u: %lu look-ups on a fresh board\n", i,
                      atomic_load(&shared->num_fresh[i]));
    }
    (void)munmap(shared, sizeof(*shared));
}

/* Readers count on it from here on. */
static void readers_tell(const struct signet_revocation *revocation)
{
    size_t num = atomic_load(&shared->num);
    struct revoked_record *record = &shared->records[num];
    record->kind = signet_revocation_kind(revocation) == SIGNET_REVOKED_SUBJECT ? SG_BOARD_SUBJECT
                                                                                : SG_BOARD_TOKEN;
    (void)snprintf(record->scope, sizeof(record->scope), "%s",
                   signet_revocation_issuer(revocation));
    (void)snprintf(record->name, sizeof(record->name), "%s", signet_revocation_name(revocation));
    atomic_store(&shared->num, num + 1);
}

/* ---- A disk that takes nothing ---- */

/* Verification goes on, of what is revoked and of what is not. */
static void test_full_disk__is_an_error_and_revokes_nothing(void **state)
{
    (void)state;
    struct test_keyed_daemon keyed;
    char filler[192];
    char gone[REVOKED_TOKEN_MAX];
    char token[REVOKED_TOKEN_MAX];
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    test_keyed_daemon_prepare(&keyed, revoked_keysets);
    test_small_disk_start(&keyed, revoked_keysets);
    struct signet_client *client = connect_client(keyed.daemon.address);
    (void)snprintf(filler, sizeof(filler), "%s/filler", keyed.state_dir);
    mint(client, "login", "alice", gone, NULL);
    mint(client, "login", "bob", token, NULL);
    assert_int_equal(try_revoke_token(client, gone), SIGNET_OK);
    test_small_disk_fill(filler);
    options.keyset = "login";
    options.subject = "bob";
    /* The log of the database may have room for a few. */
    signet_status status = SIGNET_OK;
    char other[REVOKED_TOKEN_MAX];
    for (unsigned i = 0; status == SIGNET_OK && i < 2000; i++) {
        mint(client, "login", "carol", other, NULL);
        status = try_revoke_token(client, other);
    }
    assert_int_equal(status, SIGNET_RESOURCE_EXHAUSTED);
    expect_good(client, other);
    assert_int_equal(try_revoke_token(client, token), SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(try_revoke(client, &options), SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(try_revoke_all(client, "login"), SIGNET_RESOURCE_EXHAUSTED);
    expect_good(client, token);
    expect_refused(client, gone);
    mint(client, "login", "bob", other, NULL);
    expect_good(client, other);
    /* Nor is any of it found after a crash. */
    (void)test_daemon_kill(&keyed.daemon, SIGKILL);
    test_keyed_daemon_start(&keyed);
    expect_good(client, token);
    expect_refused(client, gone);
    assert_int_equal(unlink(filler), 0);
    assert_int_equal(try_revoke_token(client, token), SIGNET_OK);
    expect_refused(client, token);
    signet_client_free(client);
    (void)test_daemon_kill(&keyed.daemon, SIGTERM);
    assert_int_equal(umount(keyed.state_dir), 0);
    test_daemon_stop(&keyed.daemon);
}

/* ---- SIGKILL ---- */

static void *revoked_run(void *arg)
{
    struct signet_client *client = arg;
    while (!atomic_load(&revoked.stop)) {
        size_t num = atomic_load(&revoked.num_acknowledged);
        char subject[32];
        struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
        if (num == REVOKED_MAX_TOKENS) {
            break;
        }
        /* One in eight by its subject, which nobody else has. */
        (void)snprintf(subject, sizeof(subject), "user-%zu", num);
        if (try_mint(client, num % 2 == 0 ? "login" : "pay", subject, revoked.tokens[num], NULL) !=
            SIGNET_OK) {
            continue;
        }
        if (num % 8 == 0) {
            options.subject = subject;
            options.keyset = "login";
        } else {
            options.token = revoked.tokens[num];
        }
        struct signet_revocation *revocation = NULL;
        if (signet_revoke(client, &options, &revocation, NULL) == SIGNET_OK) {
            readers_tell(revocation);
            atomic_store(&revoked.num_acknowledged, num + 1);
        }
        signet_revocation_free(revocation);
    }
    return NULL;
}

static void revoked_kill_once(struct signet_client *client)
{
    pthread_t thread;
    uint32_t random = 0;
    size_t before = atomic_load(&revoked.num_acknowledged);
    assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
    atomic_store(&revoked.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, revoked_run, client), 0);
    while (atomic_load(&revoked.num_acknowledged) == before) {
        const struct timespec moment = {.tv_nsec = 1000000};
        (void)nanosleep(&moment, NULL);
    }
    const struct timespec pause = {.tv_nsec = (long)(random % REVOKED_MAX_DELAY_US) * 1000L};
    (void)nanosleep(&pause, NULL); /* a random instant */
    (void)test_daemon_kill(&revoked.keyed.daemon, SIGKILL);
    atomic_store(&revoked.stop, true);
    test_keyed_daemon_start(&revoked.keyed);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (size_t i = before; i < atomic_load(&revoked.num_acknowledged); i++) {
        expect_refused(client, revoked.tokens[i]);
    }
}

static void test_kills__forget_no_acknowledged_revocation(void **state)
{
    (void)state;
    struct signet_client *client = connect_client(revoked.keyed.daemon.address);
    pid_t readers[REVOKED_NUM_READERS];
    readers_start(readers);
    for (unsigned i = 0; i < revoked_num_kills; i++) {
        revoked_kill_once(client);
    }
    for (size_t i = 0; i < atomic_load(&revoked.num_acknowledged); i++) {
        expect_refused(client, revoked.tokens[i]);
    }
    readers_end(readers);
    print_message("%u kills, %zu acknowledged revocations\n", revoked_num_kills,
                  atomic_load(&revoked.num_acknowledged));
    signet_client_free(client);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        revoked_num_kills = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revoke__is_in_force_for_every_client),
        cmocka_unit_test(test_revoke__what_is_minted_afterwards_is_good),
        cmocka_unit_test(test_revoke__takes_the_right_on_every_keyset_of_the_issuer),
        cmocka_unit_test(test_signet__revokes_and_lists),
        cmocka_unit_test(test_full_disk__is_an_error_and_revokes_nothing),
        cmocka_unit_test(test_kills__forget_no_acknowledged_revocation),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
