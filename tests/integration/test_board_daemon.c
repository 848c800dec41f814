/* SPDX-License-Identifier: Apache-2.0
 *
 * The trust board of the real daemon, as a process that maps it sees it: all keys, every revocation from its answer on,
 * and never a board that seems to count after the daemon stopped, died, or could not write it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/board_layout.h"
#include "common/jose/alg.h"
#include "tests/support/files.h"
#include "tests/support/keyed_daemon.h"
#include "tests/support/small_disk.h"

/* Bounds a hang; measures nothing. */
#define SHOWN_PATIENCE_MS  (SG_SANITIZED ? 240000u : 60000u)
#define SHOWN_CALL_MS      (SG_SANITIZED ? 60000u : 20000u)
#define SHOWN_FRESH_MS     10000u /* on a machine that is busy with other things */
#define SHOWN_STALE_MS     2000u  /* as readers have it by default */
#define SHOWN_REVOCATIONS  (SG_SANITIZED ? 100u : 1000u)
#define SHOWN_FOREIGN_KEYS (SG_SANITIZED ? 50u : 250u)
#define SHOWN_ISSUER       "https://es.example"
#define SHOWN_IDP          "https://idp.example"

static const char shown_keysets[] =
    "  - name: es\n    alg: ES256\n    issuer: " SHOWN_ISSUER "\n"
    "  - name: hs\n    alg: HS256\n    issuer: https://hs.example\n";

struct shown {
    struct test_keyed_daemon keyed;
    char path[160]; /* of the board */
    struct sg_board *board;
    struct signet_client *client;
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- The board ---- */

/* Opens what is there now. False: there is none. */
static bool board_reopen(struct shown *shown)
{
    char error[512] = "";
    sg_board_close(shown->board);
    shown->board = NULL;
    signet_status status =
        sg_board_open(shown->path, geteuid(), &shown->board, error, sizeof(error));
    if (status != SIGNET_OK && status != SIGNET_UNAVAILABLE) {
        fail_msg("%s", error);
    }
    return status == SIGNET_OK;
}

static bool board_is_fresh(struct sg_board *board, uint64_t max_age_ms)
{
    return sg_board_is_fresh(board, clock_ms(CLOCK_BOOTTIME), max_age_ms);
}

/* As a reader finds it: the one that is in place. */
static bool shown_is_fresh(struct shown *shown)
{
    if (shown->board == NULL || sg_board_is_superseded(shown->board)) {
        (void)board_reopen(shown);
    }
    return shown->board != NULL && board_is_fresh(shown->board, SHOWN_FRESH_MS);
}

static bool shown_is_not_fresh(struct shown *shown)
{
    return !shown_is_fresh(shown);
}

static bool shown_is_stale(struct shown *shown)
{
    return !board_is_fresh(shown->board, SHOWN_STALE_MS);
}

/* Waits, bounded. */
static void await(struct shown *shown, bool (*is_so)(struct shown *shown))
{
    const struct timespec pause = {.tv_nsec = 2000000};
    uint64_t until = clock_ms(CLOCK_MONOTONIC) + SHOWN_PATIENCE_MS;
    while (!is_so(shown)) {
        if (clock_ms(CLOCK_MONOTONIC) > until) {
            fail_msg("the board did not come to what was waited for:\n%s",
                     test_daemon_log(&shown->keyed.daemon));
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* 0: it is not there. */
static int64_t board_value(const struct sg_board *board, enum sg_board_kind kind, const char *scope,
                           const char *name)
{
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    int64_t value = 0;
    sg_board_digest(board, kind, scope, strlen(scope), name, strlen(name), digest);
    return sg_board_find(board, digest, &value) ? value : 0;
}

static bool board_has_key(const struct sg_board *board, const char *keyset, const char *kid,
                          struct sg_board_key *out)
{
    struct sg_board_search search;
    bool has = false;
    sg_board_search_begin(board, kid, strlen(kid), &search);
    while (!has && sg_board_search_next(&search, out)) {
        has = out->keyset.len == strlen(keyset) &&
              memcmp(out->keyset.bytes, keyset, out->keyset.len) == 0;
    }
    return has;
}

/* ---- The daemon ---- */

static char *run_signet(const struct shown *shown, const char *const *arguments)
{
    return test_keyed_daemon_run(&shown->keyed, arguments, NULL);
}
#define SIGNET(shown, ...) run_signet(shown, (const char *const[]){__VA_ARGS__, NULL})

static json_t *list_keys(const struct shown *shown)
{
    char *text = SIGNET(shown, "key", "list", "--json");
    json_t *list = json_loads(text, 0, NULL);
    assert_non_null(list);
    free(text);
    return list;
}

/* The kid of the keyset's key in that state. */
static void find_kid(const struct shown *shown, const char *keyset, const char *state,
                     char out[SG_MAX_KID_LEN + 1])
{
    json_t *list = list_keys(shown);
    size_t i = 0;
    size_t k = 0;
    json_t *one = NULL;
    json_t *key = NULL;
    out[0] = '\0';
    json_array_foreach(json_object_get(list, "keysets"), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), keyset) != 0) {
            continue;
        }
        json_array_foreach(json_object_get(one, "keys"), k, key)
        {
            if (strcmp(json_string_value(json_object_get(key, "state")), state) == 0) {
                (void)snprintf(out, SG_MAX_KID_LEN + 1, "%s",
                               json_string_value(json_object_get(key, "kid")));
            }
        }
    }
    json_decref(list);
    assert_true(out[0] != '\0');
}

static void start(struct shown *shown)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    test_keyed_daemon_start(&shown->keyed);
    if (shown->client == NULL) {
        options.address = shown->keyed.daemon.address;
        options.timeout_ms = SHOWN_CALL_MS;
        assert_int_equal(signet_client_new(&options, &shown->client, NULL), SIGNET_OK);
    }
}

static void start_and_open(struct shown *shown)
{
    start(shown);
    assert_true(board_reopen(shown));
    assert_true(shown_is_fresh(shown));
}

static int setup(void **state)
{
    struct shown *shown = calloc(1, sizeof(*shown));
    assert_non_null(shown);
    test_keyed_daemon_prepare(&shown->keyed, shown_keysets);
    (void)snprintf(shown->path, sizeof(shown->path), "%s/" SG_BOARD_FILE,
                   shown->keyed.daemon.runtime_dir);
    *state = shown;
    return 0;
}

static int teardown(void **state)
{
    struct shown *shown = *state;
    signet_client_free(shown->client);
    sg_board_close(shown->board);
    /* Of a test of a full disk that failed midway; else it is not there. */
    (void)umount2(shown->keyed.daemon.runtime_dir, MNT_DETACH);
    test_daemon_stop(&shown->keyed.daemon);
    free(shown);
    return 0;
}

static void try_revoke(const struct shown *shown, const struct signet_revoke_options *options)
{
    struct signet_revocation *revocation = NULL;
    struct signet_error error;
    if (signet_revoke(shown->client, options, &revocation, &error) != SIGNET_OK) {
        fail_msg("%s: %s", error.code, error.message);
    }
    signet_revocation_free(revocation);
}

static void revoke_subject(const struct shown *shown, const char *subject)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    options.subject = subject;
    options.keyset = "es";
    try_revoke(shown, &options);
}

/* Of every reader who begins now: on the board that is in place. */
static int64_t shown_value(struct shown *shown, enum sg_board_kind kind, const char *scope,
                           const char *name)
{
    if (sg_board_is_superseded(shown->board)) {
        assert_true(board_reopen(shown));
    }
    return board_value(shown->board, kind, scope, name);
}

/* ---- What it shows ---- */

static size_t expect_keys_of(const struct shown *shown, const json_t *keyset)
{
    const char *name = json_string_value(json_object_get(keyset, "name"));
    bool is_shown =
        strcmp(name, "signet-audit") != 0 && json_is_true(json_object_get(keyset, "configured"));
    size_t num = 0;
    size_t i = 0;
    json_t *key = NULL;
    json_array_foreach(json_object_get(keyset, "keys"), i, key)
    {
        struct sg_board_key found;
        const char *alg = json_string_value(json_object_get(key, "alg"));
        const char *kid = json_string_value(json_object_get(key, "kid"));
        assert_int_equal(board_has_key(shown->board, name, kid, &found), is_shown);
        if (is_shown) {
            assert_int_equal(found.alg, sg_alg_from_name(alg, strlen(alg)));
            assert_int_equal(found.public_key.len == 0, strcmp(alg, "HS256") == 0);
            num++;
        }
    }
    return num;
}

/* Exactly the keys that `signet key list` has of configured keysets, but for the daemon's own. */
static void expect_keys(struct shown *shown)
{
    json_t *list = list_keys(shown);
    size_t num = 0;
    size_t i = 0;
    json_t *keyset = NULL;
    if (sg_board_is_superseded(shown->board)) {
        assert_true(board_reopen(shown));
    }
    json_array_foreach(json_object_get(list, "keysets"), i, keyset)
    {
        num += expect_keys_of(shown, keyset);
    }
    assert_int_equal(sg_board_num_keys(shown->board), num);
    assert_true(num >= 2);
    json_decref(list);
}

static uint64_t heartbeat(const struct shown *shown)
{
    uint64_t beat = 0;
    int fd = open(shown->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &beat, sizeof(beat), offsetof(struct sg_board_header, heartbeat)),
                     sizeof(beat));
    (void)close(fd);
    return beat;
}

static uint64_t shown_beat; /* one that was seen */

static bool shown_beat_again(struct shown *shown)
{
    return heartbeat(shown) > shown_beat;
}

static void test_board__shows_the_keys_and_that_the_daemon_lives(void **state)
{
    struct shown *shown = *state;
    struct stat info;
    mode_t before = umask(077);
    start_and_open(shown);
    (void)umask(before);
    assert_int_equal(stat(shown->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
    expect_keys(shown);
    char *jwks = NULL;
    assert_int_equal(signet_jwks(shown->client, NULL, 0, &jwks, NULL), SIGNET_OK);
    json_t *set = json_loads(jwks, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(set, "keys")), 1);
    struct sg_board_key found;
    assert_true(board_has_key(
        shown->board, "es",
        json_string_value(json_object_get(json_array_get(json_object_get(set, "keys"), 0), "kid")),
        &found));
    json_decref(set);
    signet_string_free(jwks);
    for (unsigned i = 0; i < 3; i++) {
        shown_beat = heartbeat(shown);
        await(shown, shown_beat_again);
    }
}

static void test_stop__and_go_on(void **state)
{
    struct shown *shown = *state;
    start_and_open(shown);
    (void)test_daemon_kill(&shown->keyed.daemon, SIGSTOP);
    await(shown, shown_is_stale);
    (void)test_daemon_kill(&shown->keyed.daemon, SIGCONT);
    await(shown, shown_is_fresh);
    assert_false(sg_board_is_superseded(shown->board));
}

/* ---- Revocations ---- */

/* Many keys of a foreign issuer, which are one key under many kids. */
static void trust_idp(const struct shown *shown)
{
    static const char yaml[] = "issuer: " SHOWN_IDP "\nalgorithms: [ES256]\njwks: idp.json\n";
    char path[192];
    char *jwks = NULL;
    assert_int_equal(signet_jwks(shown->client, "es", 0, &jwks, NULL), SIGNET_OK);
    json_t *set = json_loads(jwks, 0, NULL);
    json_t *keys = json_array();
    for (unsigned i = 0; i < SHOWN_FOREIGN_KEYS; i++) {
        char kid[32];
        json_t *key = json_deep_copy(json_array_get(json_object_get(set, "keys"), 0));
        (void)snprintf(kid, sizeof(kid), "--k-%u", i);
        assert_int_equal(json_object_set_new(key, "kid", json_string(kid)), 0);
        assert_int_equal(json_array_append_new(keys, key), 0);
    }
    json_t *out = json_pack("{s:o}", "keys", keys);
    char *text = json_dumps(out, JSON_COMPACT);
    (void)snprintf(path, sizeof(path), "%s/idp.json", shown->keyed.trust_dir);
    test_write_file(path, text, strlen(text));
    (void)snprintf(path, sizeof(path), "%s/idp.yaml", shown->keyed.trust_dir);
    test_write_file(path, yaml, sizeof(yaml) - 1);
    free(text);
    json_decref(out);
    json_decref(set);
    signet_string_free(jwks);
    free(SIGNET(shown, "reload"));
}

/* The number-th thing that is revoked, and where it then is on the board. */
struct revoked {
    enum sg_board_kind kind;
    const char *scope;
    char name[32];
};

static struct revoked revoke_number(const struct shown *shown, unsigned number)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    struct revoked out = {.kind = SG_BOARD_TOKEN + number % 4, .scope = SHOWN_ISSUER};
    options.keyset = "es";
    switch (out.kind) {
    case SG_BOARD_TOKEN:
        (void)snprintf(out.name, sizeof(out.name), "jti-%u", number);
        options.jti = out.name;
        break;
    case SG_BOARD_SUBJECT:
        (void)snprintf(out.name, sizeof(out.name), "sub-%u", number);
        options.subject = out.name;
        break;
    case SG_BOARD_KEYSET:
        out.scope = "";
        (void)snprintf(out.name, sizeof(out.name), "%s", number % 8 < 4 ? "es" : "hs");
        options.keyset = out.name;
        options.all = true;
        break;
    case SG_BOARD_KID:
        out.scope = "idp";
        (void)snprintf(out.name, sizeof(out.name), "--k-%u", number / 4);
        options.keyset = "idp";
        options.kid = out.name;
        break;
    }
    try_revoke(shown, &options);
    return out;
}

static uint64_t shown_generation(struct shown *shown)
{
    if (sg_board_is_superseded(shown->board)) {
        assert_true(board_reopen(shown));
    }
    return sg_board_generation(shown->board);
}

static void test_revoke__is_on_the_board_when_it_is_answered(void **state)
{
    struct shown *shown = *state;
    static struct revoked all[SHOWN_REVOCATIONS];
    start_and_open(shown);
    trust_idp(shown);
    for (unsigned i = 0; i < SHOWN_REVOCATIONS; i++) {
        int64_t now = (int64_t)time(NULL);
        uint64_t generation = shown_generation(shown);
        all[i] = revoke_number(shown, i);
        /* A keyset that was revoked in this very second is on the board already. */
        assert_true(all[i].kind == SG_BOARD_KEYSET ||
                    sg_board_generation(shown->board) != generation);
        assert_true(shown_value(shown, all[i].kind, all[i].scope, all[i].name) > now);
    }
    assert_true(shown_is_fresh(shown));
    for (unsigned i = 0; i < SHOWN_REVOCATIONS; i++) {
        assert_true(shown_value(shown, all[i].kind, all[i].scope, all[i].name) != 0);
    }
    assert_int_equal(shown_value(shown, SG_BOARD_KID, "es", "--k-0"), 0);
    assert_int_equal(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "sub-0"), 0);
}

/* ---- Keys change ---- */

static void expect_other_board(struct shown *shown, uint64_t generation)
{
    assert_true(sg_board_generation(shown->board) != generation);
    assert_true(sg_board_is_superseded(shown->board));
    assert_true(board_reopen(shown));
    assert_true(shown_is_fresh(shown));
    assert_true(sg_board_generation(shown->board) != generation);
    expect_keys(shown);
}

static void test_keys__change_the_board_before_the_answer(void **state)
{
    struct shown *shown = *state;
    char kid[SG_MAX_KID_LEN + 1];
    struct sg_board_key key;
    start_and_open(shown);
    find_kid(shown, "es", "active", kid);
    uint64_t generation = sg_board_generation(shown->board);
    free(SIGNET(shown, "key", "rotate", "es", "--now"));
    expect_other_board(shown, generation);
    assert_true(board_has_key(shown->board, "es", kid, &key));
    assert_int_equal(key.revoked_at, 0);

    generation = sg_board_generation(shown->board);
    free(SIGNET(shown, "key", "revoke", kid, "--yes"));
    expect_other_board(shown, generation);
    assert_true(board_has_key(shown->board, "es", kid, &key));
    assert_true(key.revoked_at > 0);

    generation = sg_board_generation(shown->board);
    test_keyed_daemon_configure(&shown->keyed,
                                "  - name: es\n    alg: ES256\n    issuer: " SHOWN_ISSUER "\n"
                                "  - name: ed\n    alg: EdDSA\n    issuer: https://ed.example\n");
    free(SIGNET(shown, "reload"));
    expect_other_board(shown, generation);
    find_kid(shown, "ed", "active", kid);
    assert_true(board_has_key(shown->board, "ed", kid, &key));
}

/* ---- The daemon ends ---- */

static void test_end__in_order_closes_the_board(void **state)
{
    struct shown *shown = *state;
    start_and_open(shown);
    uint64_t generation = sg_board_generation(shown->board);
    (void)test_daemon_kill(&shown->keyed.daemon, SIGTERM);
    assert_false(board_is_fresh(shown->board, SHOWN_PATIENCE_MS));
    assert_true(sg_board_generation(shown->board) != generation);
    if (board_reopen(shown)) {
        assert_false(board_is_fresh(shown->board, SHOWN_PATIENCE_MS));
    }
    start(shown);
    await(shown, shown_is_fresh);
}

static void test_end__by_a_kill_moves_readers_to_the_next_daemons(void **state)
{
    struct shown *shown = *state;
    start_and_open(shown);
    for (unsigned i = 0; i < 10; i++) {
        char subject[32];
        (void)snprintf(subject, sizeof(subject), "sub-%u", i);
        revoke_subject(shown, subject);
        (void)test_daemon_kill(&shown->keyed.daemon, SIGKILL);
        assert_false(sg_board_is_superseded(shown->board)); /* nobody was left to do it */
        start(shown);
        assert_true(sg_board_is_superseded(shown->board));
        assert_false(board_is_fresh(shown->board, SHOWN_PATIENCE_MS));
        assert_true(shown_is_fresh(shown));
        for (unsigned k = 0; k <= i; k++) {
            (void)snprintf(subject, sizeof(subject), "sub-%u", k);
            assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, subject) != 0);
        }
    }
}

/* ---- What goes wrong with the file ---- */

static size_t log_count(const struct shown *shown, const char *what)
{
    char *log = test_daemon_log(&shown->keyed.daemon);
    size_t num = 0;
    for (const char *at = log; (at = strstr(at, what)) != NULL; at++) {
        num++;
    }
    free(log);
    return num;
}

static bool shown_is_put_back(struct shown *shown)
{
    return log_count(shown, "removed or replaced; it is there again") > 0 && shown_is_fresh(shown);
}

static void test_file__that_is_removed_or_replaced_is_put_back(void **state)
{
    struct shown *shown = *state;
    static const char saying[] = "removed or replaced; it is there again";
    start_and_open(shown);
    revoke_subject(shown, "alice");
    assert_int_equal(unlink(shown->path), 0);
    await(shown, shown_is_put_back);
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "alice") != 0);
    expect_keys(shown);
    revoke_subject(shown, "bob");
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "bob") != 0);
    assert_int_equal(log_count(shown, saying), 1);

    /* Nobody opens it meanwhile. */
    char other[200];
    (void)snprintf(other, sizeof(other), "%s.other", shown->path);
    test_write_file(other, "none", 4);
    assert_int_equal(rename(other, shown->path), 0);
    uint64_t until = clock_ms(CLOCK_MONOTONIC) + SHOWN_PATIENCE_MS;
    while (log_count(shown, saying) < 2) {
        const struct timespec pause = {.tv_nsec = 2000000};
        assert_true(clock_ms(CLOCK_MONOTONIC) < until);
        (void)nanosleep(&pause, NULL);
    }
    assert_true(shown_is_fresh(shown));
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "bob") != 0);
}

static bool shown_tried_again(struct shown *shown)
{
    return shown_beat_again(shown) && heartbeat(shown) >= shown_beat + 3000; /* three retries */
}

#define SHOWN_UP_TO_DATE "the trust board is up to date again"

static bool shown_said_that_all_is_well(struct shown *shown)
{
    return log_count(shown, SHOWN_UP_TO_DATE) > 0;
}

static void test_full_disk__has_readers_ask_the_daemon(void **state)
{
    struct shown *shown = *state;
    const char *dir = shown->keyed.daemon.runtime_dir;
    char path[192];
    char kid[SG_MAX_KID_LEN + 1];
    struct sg_board_key key;
    if (mount("none", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=128k,mode=0700") != 0) {
        print_message("no full disk without the right to mount a small one: %s\n", strerror(errno));
        skip();
    }
    start_and_open(shown);
    find_kid(shown, "hs", "active", kid);
    uint64_t generation = sg_board_generation(shown->board);
    (void)snprintf(path, sizeof(path), "%s/fill", dir);
    test_small_disk_fill(path);
    revoke_subject(shown, "alice"); /* there is room on the board that there is */
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "alice") != 0);
    assert_true(shown_is_fresh(shown));
    struct test_output output;
    const char *const revoke[] = {"key", "revoke", kid, "--yes", NULL};
    test_keyed_daemon_signet(&shown->keyed, revoke, NULL, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    /* From the answer on nobody trusts what it says of the key. */
    assert_true(shown_is_not_fresh(shown));
    assert_true(sg_board_generation(shown->board) != generation);
    revoke_subject(shown, "bob"); /* the daemon goes on */
    shown_beat = heartbeat(shown);
    await(shown, shown_tried_again);
    assert_true(shown_is_not_fresh(shown));
    assert_int_equal(log_count(shown, "clients ask the daemon for every token"), 1);
    assert_int_equal(unlink(path), 0);
    await(shown, shown_is_fresh);
    assert_true(board_has_key(shown->board, "hs", kid, &key));
    assert_true(key.revoked_at > 0);
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "alice") != 0);
    assert_true(shown_value(shown, SG_BOARD_SUBJECT, SHOWN_ISSUER, "bob") != 0);
    await(shown, shown_said_that_all_is_well); /* after it was seen */
    assert_int_equal(log_count(shown, SHOWN_UP_TO_DATE), 1);
    expect_keys(shown);
    (void)test_daemon_kill(&shown->keyed.daemon, SIGTERM);
    sg_board_close(shown->board);
    shown->board = NULL;
    assert_int_equal(umount(dir), 0);
}

int main(void)
{
#define SHOWN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        SHOWN_TEST(test_board__shows_the_keys_and_that_the_daemon_lives),
        SHOWN_TEST(test_stop__and_go_on),
        SHOWN_TEST(test_revoke__is_on_the_board_when_it_is_answered),
        SHOWN_TEST(test_keys__change_the_board_before_the_answer),
        SHOWN_TEST(test_end__in_order_closes_the_board),
        SHOWN_TEST(test_end__by_a_kill_moves_readers_to_the_next_daemons),
        SHOWN_TEST(test_file__that_is_removed_or_replaced_is_put_back),
        SHOWN_TEST(test_full_disk__has_readers_ask_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
