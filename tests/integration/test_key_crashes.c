/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGKILL at random instants while keys are rotated, imported, sealed anew and backed up, under signing
 * load. After every restart each token that was ever acknowledged verifies, and no key is lost or
 * doubled. The argument is the number of kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <signet/client.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/keyed_daemon.h"

#define CRASH_SIGNERS        2u
#define CRASH_TOKENS_A_ROUND 150u /* of each signer */
#define CRASH_MAX_DELAY_US   400000u
#define CRASH_MAX_KIDS       16384u
#define CRASH_MAX_TOKENS     131072u
#define CRASH_TOKEN_MAX      700u
#define CRASH_DEFAULT_KILLS  8u

static unsigned crash_num_kills = CRASH_DEFAULT_KILLS;

enum crash_operation {
    CRASH_ROTATE = 0,
    CRASH_IMPORT,
    CRASH_REKEY,
    CRASH_BACKUP,
    CRASH_NUM_OPERATIONS
};

struct crash {
    struct test_keyed_daemon keyed;
    char secret[160], recipient[160], identity[160], backup[160];
    char tokens[CRASH_MAX_TOKENS][CRASH_TOKEN_MAX];
    atomic_size_t num_tokens;
    size_t num_checked;
    json_t *kids; /* "keyset/kid" of every key that was ever seen or acknowledged */
    atomic_bool stop;
    unsigned round;
    unsigned num_done[CRASH_NUM_OPERATIONS]; /* acknowledged */
    unsigned num_begun[CRASH_NUM_OPERATIONS];
    size_t num_imports;
};

static struct crash crash;

/* ---- Signers ---- */

static const char *const crash_audiences[] = {"orders"};

static void crash_keep(const char *token)
{
    size_t at = atomic_fetch_add(&crash.num_tokens, 1);
    if (at < CRASH_MAX_TOKENS && strlen(token) < CRASH_TOKEN_MAX) {
        (void)snprintf(crash.tokens[at], CRASH_TOKEN_MAX, "%s", token);
    }
}

static struct signet_client *crash_connect(void)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_client *client = NULL;
    options.address = crash.keyed.daemon.address;
    options.timeout_ms = 30000;
    return signet_client_new(&options, &client, NULL) == SIGNET_OK ? client : NULL;
}

static void *crash_sign(void *arg)
{
    (void)arg;
    struct signet_client *client = crash_connect();
    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.subject = "alice";
    options.audiences = crash_audiences;
    options.num_audiences = 1;
    options.ttl_s = 3600;
    for (unsigned i = 0; client != NULL && i < CRASH_TOKENS_A_ROUND && !atomic_load(&crash.stop);
         i++) {
        struct signet_signed *token = NULL;
        options.keyset = i % 2 == 0 ? "es" : "hs";
        if (signet_sign(client, &options, &token, NULL) == SIGNET_OK) {
            crash_keep(signet_signed_token(token)); /* acknowledged */
            signet_signed_free(token);
        }
    }
    signet_client_free(client);
    return NULL;
}

/* ---- Operators ---- */

static void crash_note_kid(const char *keyset, const char *kid)
{
    char name[400];
    (void)snprintf(name, sizeof(name), "%s/%s", keyset, kid);
    assert_int_equal(json_object_set_new(crash.kids, name, json_true()), 0);
}

/* What `signet ... --json` printed: the kid of its key. */
static void crash_note_output(const char *keyset, const char *output)
{
    json_t *root = json_loads(output, 0, NULL);
    const json_t *key = json_object_get(root, "key");
    const char *kid = json_string_value(json_object_get(key, "kid"));
    if (kid != NULL) {
        crash_note_kid(keyset, kid);
    }
    json_decref(root);
}

static void crash_operate(enum crash_operation operation)
{
    char kid[32];
    struct test_output output;
    (void)snprintf(kid, sizeof(kid), "import-%zu", crash.num_imports++);
    const char *const rotate[] = {"key",    "rotate",    "es", "--now",
                                  "--json", "--timeout", "5s", NULL};
    const char *const import[] = {"key",        "import",    "hs", "--secret",
                                  crash.secret, "--kid",     kid,  "--verify-only",
                                  "--json",     "--timeout", "5s", NULL};
    const char *const rekey[] = {"keystore",  "rekey", "--to", crash.keyed.source,
                                 "--timeout", "5s",    NULL};
    const char *const backup[] = {"keystore",
                                  "backup",
                                  crash.backup,
                                  "--to",
                                  crash.recipient,
                                  "--state-dir",
                                  crash.keyed.state_dir,
                                  "--key",
                                  crash.keyed.source,
                                  "--force",
                                  NULL};
    const char *const *const commands[] = {[CRASH_ROTATE] = rotate,
                                           [CRASH_IMPORT] = import,
                                           [CRASH_REKEY] = rekey,
                                           [CRASH_BACKUP] = backup};
    crash.num_begun[operation]++;
    test_keyed_daemon_signet(&crash.keyed, commands[operation], NULL, &output);
    if (output.exit_status == 0) {
        crash.num_done[operation]++;
        if (operation == CRASH_ROTATE) {
            crash_note_output("es", output.out);
        } else if (operation == CRASH_IMPORT) {
            crash_note_kid("hs", kid);
        }
    }
    test_output_free(&output);
}

static void *crash_kill(void *arg)
{
    const unsigned *delay_us = arg;
    const struct timespec delay = {.tv_nsec = (long)*delay_us * 1000L};
    (void)nanosleep(&delay, NULL); /* a random instant, not a wait for anything */
    (void)kill(crash.keyed.daemon.pid, SIGKILL);
    atomic_store(&crash.stop, true);
    return NULL;
}

/* ---- What must be true after a restart ---- */

static void crash_check_tokens(size_t from)
{
    struct signet_client *client = crash_connect();
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    size_t num = atomic_load(&crash.num_tokens);
    assert_non_null(client);
    assert_true(num <= CRASH_MAX_TOKENS);
    options.audiences = crash_audiences;
    options.num_audiences = 1;
    for (size_t done = from; done < num;) {
        struct signet_token_view views[256];
        struct signet_verify_batch *batch = NULL;
        struct signet_error error;
        size_t part = num - done < 256 ? num - done : 256;
        for (size_t i = 0; i < part; i++) {
            views[i] =
                (struct signet_token_view){crash.tokens[done + i], strlen(crash.tokens[done + i])};
        }
        if (signet_verify_many(client, views, part, &options, &batch, &error) != SIGNET_OK) {
            fail_msg("round %u: %s %s", crash.round, error.code, error.message);
        }
        for (size_t i = 0; i < part; i++) {
            const struct signet_verified *verified = NULL;
            if (signet_verify_batch_get(batch, i, &verified, &error) != SIGNET_OK) {
                fail_msg("round %u: an acknowledged token is refused: %s %s\n%s", crash.round,
                         signet_reason_name(error.reason), error.message, crash.tokens[done + i]);
            }
        }
        signet_verify_batch_free(batch);
        done += part;
    }
    signet_client_free(client);
}

static size_t crash_num_files(void)
{
    char path[192];
    size_t num = 0;
    (void)snprintf(path, sizeof(path), "%s/keys", crash.keyed.state_dir);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        size_t len = strlen(entry->d_name);
        num += len > 4 && strcmp(entry->d_name + len - 4, ".key") == 0 ? 1 : 0;
    }
    (void)closedir(dir);
    return num;
}

static void crash_check_keys(void)
{
    const char *const list[] = {"key", "list", "--json", NULL};
    char *text = test_keyed_daemon_run(&crash.keyed, list, NULL);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *present = json_object();
    size_t num = 0;
    size_t i = 0;
    size_t k = 0;
    const json_t *keyset = NULL;
    const json_t *key = NULL;
    const char *name = NULL;
    json_t *unused = NULL;
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "damaged")), 0);
    json_array_foreach(json_object_get(root, "keysets"), i, keyset)
    {
        json_array_foreach(json_object_get(keyset, "keys"), k, key)
        {
            char id[400];
            (void)snprintf(id, sizeof(id), "%s/%s",
                           json_string_value(json_object_get(keyset, "name")),
                           json_string_value(json_object_get(key, "kid")));
            assert_null(json_object_get(present, id)); /* none is doubled */
            assert_int_equal(json_object_set_new(present, id, json_true()), 0);
            num++;
        }
    }
    json_object_foreach(crash.kids, name, unused)
    {
        if (json_object_get(present, name) == NULL) {
            fail_msg("round %u: key %s is lost", crash.round, name);
        }
    }
    assert_int_equal(json_object_update(crash.kids, present), 0);
    assert_int_equal(crash_num_files(), num);
    json_decref(present);
    json_decref(root);
    free(text);
}

/* ---- Rounds ---- */

static void crash_run_round(unsigned seed)
{
    pthread_t signers[CRASH_SIGNERS];
    pthread_t killer;
    unsigned delay_us = 2000u + seed % CRASH_MAX_DELAY_US;
    enum crash_operation operation = crash.round % CRASH_NUM_OPERATIONS;
    atomic_store(&crash.stop, false);
    for (unsigned i = 0; i < CRASH_SIGNERS; i++) {
        assert_int_equal(pthread_create(&signers[i], NULL, crash_sign, NULL), 0);
    }
    assert_int_equal(pthread_create(&killer, NULL, crash_kill, &delay_us), 0);
    while (!atomic_load(&crash.stop)) {
        crash_operate(operation);
    }
    (void)pthread_join(killer, NULL);
    for (unsigned i = 0; i < CRASH_SIGNERS; i++) {
        (void)pthread_join(signers[i], NULL);
    }
    (void)test_daemon_kill(&crash.keyed.daemon, SIGKILL); /* collects it */
    test_keyed_daemon_start(&crash.keyed);
    /* What is new; all of it again at the end. */
    crash_check_tokens(crash.num_checked);
    crash.num_checked = atomic_load(&crash.num_tokens);
    crash_check_keys();
}

/* A backup that was acknowledged brings every key that it had into a new keystore. */
static void crash_check_backup(void)
{
    char dir[160];
    char source[192];
    (void)snprintf(dir, sizeof(dir), "%s/other", crash.keyed.daemon.dir);
    (void)snprintf(source, sizeof(source), "file:%s/other.key", crash.keyed.daemon.dir);
    const char *const init[] = {"keystore", "init", "--state-dir", dir, "--key", source, NULL};
    const char *const restore[] = {"keystore",     "restore",     crash.backup, "--identity",
                                   crash.identity, "--state-dir", dir,          "--key",
                                   source,         NULL};
    assert_int_equal(mkdir(dir, 0700), 0);
    free(test_keyed_daemon_run(&crash.keyed, init, NULL));
    free(test_keyed_daemon_run(&crash.keyed, restore, NULL));
}

static void crash_prepare(void)
{
    const char *dir = crash.keyed.daemon.dir;
    struct test_output output;
    (void)snprintf(crash.secret, sizeof(crash.secret), "%s/secret", dir);
    (void)snprintf(crash.recipient, sizeof(crash.recipient), "%s/backup.pub", dir);
    (void)snprintf(crash.identity, sizeof(crash.identity), "%s/backup.key", dir);
    (void)snprintf(crash.backup, sizeof(crash.backup), "%s/backup", dir);
    test_write_file(crash.secret, "0123456789abcdef0123456789abcdef", 32);
    const char *const make[] = {"/usr/bin/openssl", "genpkey", "-algorithm", "X25519", "-out",
                                crash.identity,     NULL};
    const char *const publish[] = {"/usr/bin/openssl", "pkey", "-in",           crash.identity,
                                   "-pubout",          "-out", crash.recipient, NULL};
    test_run(make, NULL, 20000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    test_run(publish, NULL, 20000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    crash.kids = json_object();
    assert_non_null(crash.kids);
}

static void test_keys__survive_sigkill_at_any_instant(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("%u kills, seed %u\n", crash_num_kills, seed);
    test_keyed_daemon_prepare(&crash.keyed,
                              "  - name: es\n    alg: ES256\n    issuer: https://login.example\n"
                              "    rotate_every: 10s\n    publish_lead: 1s\n"
                              "  - name: hs\n    alg: HS256\n    issuer: https://login.example\n"
                              "    rotate_every: 10s\n    publish_lead: 1s\n");
    crash_prepare();
    test_keyed_daemon_start(&crash.keyed);
    crash_check_keys();
    for (crash.round = 0; crash.round < crash_num_kills; crash.round++) {
        crash_run_round((unsigned)rand_r(&seed));
    }
    crash_check_tokens(0);
    print_message(
        "%zu tokens, %zu keys; acknowledged of begun: %u of %u rotations, %u of %u imports, "
        "%u of %u rekeys, %u of %u backups\n",
        atomic_load(&crash.num_tokens), json_object_size(crash.kids), crash.num_done[CRASH_ROTATE],
        crash.num_begun[CRASH_ROTATE], crash.num_done[CRASH_IMPORT], crash.num_begun[CRASH_IMPORT],
        crash.num_done[CRASH_REKEY], crash.num_begun[CRASH_REKEY], crash.num_done[CRASH_BACKUP],
        crash.num_begun[CRASH_BACKUP]);
    if (crash.num_done[CRASH_BACKUP] > 0) {
        crash_check_backup();
    }
    json_decref(crash.kids);
    test_daemon_stop(&crash.keyed.daemon);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        crash_num_kills = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys__survive_sigkill_at_any_instant),
    };
    return cmocka_run_group_tests_name("key_crashes", tests, NULL, NULL);
}
