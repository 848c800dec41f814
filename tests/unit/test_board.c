/* SPDX-License-Identifier: Apache-2.0
 *
 * The trust board, both sides: what is put comes back, what is no board is refused or stays in its bounds, what fails
 * leaves the board before, and what was acknowledged is seen, through growth, threads and SIGKILL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/board_layout.h"
#include "server/board_writer.h"
#include "tests/support/files.h"

#define NOW       1000  /* seconds */
#define BOOT_MS   50000 /* what CLOCK_BOOTTIME shows */
#define MAX_AGE   2000
#define SOON      (NOW + 500)
#define FEW       50u   /* revocations that a new table holds */
#define MANY      5000u /* that it does not */
#define NUM_KILLS 200u

#if SG_SANITIZED
#define VERY_MANY      20000u
#define NUM_THREADED   4000u
#define MANY_KEYS      1000u
#define FLIPS_OF_BYTES 1u
#else
#define VERY_MANY      1000000u
#define NUM_THREADED   20000u
#define MANY_KEYS      10000u
#define FLIPS_OF_BYTES 3u
#endif
#define NUM_READERS 4u
#define CROWDED     8000u

struct fixture {
    char dir[96];
    char path[128]; /* of the board */
    char copy[128]; /* of a hostile one */
    char error[512];
    struct sg_board_writer *writer;
    struct sg_board *board;
};

static void open_writer(struct fixture *fixture)
{
    if (sg_board_writer_open(fixture->dir, BOOT_MS, &fixture->writer, fixture->error,
                             sizeof(fixture->error)) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/" SG_BOARD_FILE, fixture->dir);
    (void)snprintf(fixture->copy, sizeof(fixture->copy), "%s/copy", fixture->dir);
    open_writer(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    sg_board_close(fixture->board);
    sg_board_writer_close(fixture->writer);
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static signet_status try_publish(struct fixture *fixture, const struct sg_board_key *keys,
                                 size_t num)
{
    return sg_board_writer_publish(fixture->writer, keys, num, NOW, fixture->error,
                                   sizeof(fixture->error));
}

static void publish(struct fixture *fixture, const struct sg_board_key *keys, size_t num)
{
    if (try_publish(fixture, keys, num) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

static signet_status try_open(struct fixture *fixture, const char *path)
{
    sg_board_close(fixture->board);
    fixture->board = NULL;
    return sg_board_open(path, geteuid(), &fixture->board, fixture->error, sizeof(fixture->error));
}

static void open_board(struct fixture *fixture)
{
    if (try_open(fixture, fixture->path) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

static bool is_fresh(const struct fixture *fixture)
{
    return sg_board_is_fresh(fixture->board, BOOT_MS, MAX_AGE);
}

/* ---- Revocations by number ---- */

static size_t name_of(uint64_t number, char out[32])
{
    return (size_t)snprintf(out, 32, "token-%llu", (unsigned long long)number);
}

static signet_status try_add(struct fixture *fixture, enum sg_board_kind kind, uint64_t number,
                             int64_t value)
{
    char name[32];
    const struct sg_board_revocation revocation = {.kind = kind,
                                                   .scope = "issuer",
                                                   .scope_len = 6,
                                                   .name = name,
                                                   .name_len = name_of(number, name),
                                                   .value = value};
    return sg_board_writer_revoke(fixture->writer, &revocation, NOW, fixture->error,
                                  sizeof(fixture->error));
}

static void add(struct fixture *fixture, enum sg_board_kind kind, uint64_t number, int64_t value)
{
    if (try_add(fixture, kind, number, value) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

static void add_tokens(struct fixture *fixture, uint64_t first, uint64_t num)
{
    for (uint64_t i = first; i < first + num; i++) {
        add(fixture, SG_BOARD_TOKEN, i, SOON + (int64_t)i);
    }
}

/* 0: it is not there. */
static int64_t value_of(const struct sg_board *board, enum sg_board_kind kind, uint64_t number)
{
    char name[32];
    size_t len = name_of(number, name);
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    int64_t value = 0;
    sg_board_digest(board, kind, "issuer", 6, name, len, digest);
    return sg_board_find(board, digest, &value) ? value : 0;
}

static void expect_tokens(const struct sg_board *board, uint64_t first, uint64_t num)
{
    for (uint64_t i = first; i < first + num; i++) {
        assert_int_equal(value_of(board, SG_BOARD_TOKEN, i), SOON + (int64_t)i);
    }
}

/* ---- Keys ---- */

static struct sg_board_text text(const char *from)
{
    return (struct sg_board_text){from, strlen(from)};
}

static const struct sg_board_key *some_keys(void)
{
    static struct sg_board_key keys[4];
    keys[0] = (struct sg_board_key){.keyset = text("web"),
                                    .issuer = text("https://here"),
                                    .typ = text("at+jwt"),
                                    .kid = text("2026-a"),
                                    .public_key = text("public key of web"),
                                    .alg = 13,
                                    .verify_from = INT64_MIN,
                                    .verify_until = INT64_MAX};
    keys[1] = (struct sg_board_key){.keyset = text("partner"),
                                    .issuer = text("https://there"),
                                    .kid = text("2026-a"),
                                    .public_key = {"\0\1\2", 3},
                                    .audiences = {text("orders"), text("billing"), text("")},
                                    .num_audiences = 3,
                                    .alg = 3,
                                    .flags = SG_BOARD_FOREIGN,
                                    .verify_from = 7,
                                    .verify_until = 8};
    keys[2] = (struct sg_board_key){.keyset = text("signet-audit"),
                                    .kid = text("other"),
                                    .alg = 1,
                                    .flags = SG_BOARD_INTERNAL,
                                    .revoked_at = -9};
    keys[3] = (struct sg_board_key){.keyset = text("partner"), .public_key = text("no kid")};
    return keys;
}
#define NUM_SOME_KEYS 4u

static void expect_text(const struct sg_board_text *is, const struct sg_board_text *was)
{
    assert_int_equal(is->len, was->len);
    if (was->len > 0) {
        assert_memory_equal(is->bytes, was->bytes, was->len);
    }
}

static void expect_key(const struct sg_board_key *is, const struct sg_board_key *was)
{
    expect_text(&is->keyset, &was->keyset);
    expect_text(&is->issuer, &was->issuer);
    expect_text(&is->typ, &was->typ);
    expect_text(&is->kid, &was->kid);
    expect_text(&is->public_key, &was->public_key);
    assert_int_equal(is->num_audiences, was->num_audiences);
    for (size_t i = 0; i < was->num_audiences; i++) {
        expect_text(&is->audiences[i], &was->audiences[i]);
    }
    assert_int_equal(is->alg, was->alg);
    assert_int_equal(is->flags, was->flags);
    assert_int_equal(is->verify_from, was->verify_from);
    assert_int_equal(is->verify_until, was->verify_until);
    assert_int_equal(is->revoked_at, was->revoked_at);
}

static size_t num_of_kid(const struct sg_board *board, const char *kid, size_t kid_len)
{
    struct sg_board_search search;
    struct sg_board_key key;
    size_t num = 0;
    sg_board_search_begin(board, kid, kid_len, &search);
    while (sg_board_search_next(&search, &key)) {
        assert_int_equal(key.kid.len, kid_len);
        assert_memory_equal(key.kid.bytes, kid, kid_len);
        num++;
    }
    assert_false(sg_board_search_next(&search, &key));
    return num;
}

static void expect_some_keys(const struct sg_board *board)
{
    assert_int_equal(sg_board_num_keys(board), NUM_SOME_KEYS);
    for (size_t i = 0; i < NUM_SOME_KEYS; i++) {
        struct sg_board_key key;
        assert_true(sg_board_key_at(board, i, &key));
        expect_key(&key, &some_keys()[i]);
    }
}

static void test_keys__come_back_as_they_were_put(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_key key;
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    expect_some_keys(fixture->board);
    assert_false(sg_board_key_at(fixture->board, NUM_SOME_KEYS, &key));
    assert_false(sg_board_key_at(fixture->board, SIZE_MAX, &key));
}

static void test_keys__of_one_kid_are_all_found_and_no_others(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    assert_int_equal(num_of_kid(fixture->board, "2026-a", 6), 2);
    assert_int_equal(num_of_kid(fixture->board, "other", 5), 1);
    assert_int_equal(num_of_kid(fixture->board, "", 0), 1);
    assert_int_equal(num_of_kid(fixture->board, "2026-", 5), 0);
    assert_int_equal(num_of_kid(fixture->board, "2026-a\0", 7), 0);
}

static void test_keys__may_be_none(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_int_equal(sg_board_num_keys(fixture->board), 0);
    assert_int_equal(num_of_kid(fixture->board, "", 0), 0);
    assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, 1), 0);
}

static void test_keys__may_be_many(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    struct sg_board_key *keys = calloc(MANY_KEYS, sizeof(*keys));
    char(*kids)[32] = calloc(MANY_KEYS, sizeof(*kids));
    assert_true(keys != NULL && kids != NULL);
    for (size_t i = 0; i < MANY_KEYS; i++) {
        keys[i] = some_keys()[0];
        keys[i].kid = (struct sg_board_text){kids[i], name_of(i, kids[i])};
    }
    publish(fixture, keys, MANY_KEYS);
    open_board(fixture);
    for (size_t i = 0; i < 2 * (size_t)MANY_KEYS; i++) {
        assert_int_equal(num_of_kid(fixture->board, name, name_of(i, name)), i < MANY_KEYS);
    }
    free(kids);
    free(keys);
}

static void expect_too_long(struct fixture *fixture, const struct sg_board_key *key)
{
    uint64_t generation = sg_board_generation(fixture->board);
    assert_int_equal(try_publish(fixture, key, 1), SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture->error, "too long"));
    assert_int_equal(sg_board_generation(fixture->board), generation);
    assert_true(is_fresh(fixture));
}

/* The parts of a key whose length has a limit, and where their runs are in its record; of audiences the first and the
 * last. */
static const struct {
    size_t in_key, limit, in_record;
} parts[] = {
    {offsetof(struct sg_board_key, keyset), SG_MAX_KEYSET_NAME_LEN,
     offsetof(struct sg_board_record, keyset)},
    {offsetof(struct sg_board_key, issuer), SG_MAX_ISSUER_LEN,
     offsetof(struct sg_board_record, issuer)},
    {offsetof(struct sg_board_key, typ), SG_MAX_TYP_LEN, offsetof(struct sg_board_record, typ)},
    {offsetof(struct sg_board_key, kid), SG_MAX_KID_LEN, offsetof(struct sg_board_record, kid)},
    {offsetof(struct sg_board_key, public_key), SG_MAX_BOARD_PUBLIC_KEY,
     offsetof(struct sg_board_record, public_key)},
    {offsetof(struct sg_board_key, audiences[0]), SG_MAX_AUDIENCE_LEN, 0},
    {offsetof(struct sg_board_key, audiences[15]), SG_MAX_AUDIENCE_LEN, 0},
};
#define NUM_PARTS (sizeof(parts) / sizeof(parts[0]))

static struct sg_board_text *part_of(struct sg_board_key *key, size_t part)
{
    return (void *)((char *)key + parts[part].in_key);
}

static struct sg_board_key longest_key(void)
{
    static const char zeros[SG_MAX_BOARD_PUBLIC_KEY + 1];
    struct sg_board_key key = {.num_audiences = SG_MAX_AUDIENCES};
    for (size_t i = 0; i < NUM_PARTS; i++) {
        *part_of(&key, i) = (struct sg_board_text){zeros, parts[i].limit};
    }
    return key;
}

static void test_keys__too_long_leave_the_board_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_key longest = longest_key();
    struct sg_board_key key;
    publish(fixture, &longest, 1);
    open_board(fixture);
    assert_true(sg_board_key_at(fixture->board, 0, &key));
    expect_key(&key, &longest);
    for (size_t i = 0; i < NUM_PARTS; i++) {
        part_of(&longest, i)->len++;
        expect_too_long(fixture, &longest);
        part_of(&longest, i)->len--;
    }
    longest.num_audiences++;
    expect_too_long(fixture, &longest);
    assert_int_equal(try_publish(fixture, &longest, SG_MAX_BOARD_KEYS + 1u),
                     SIGNET_INVALID_ARGUMENT);
    assert_true(is_fresh(fixture));
}

/* ---- Revocations ---- */

static void test_revocation__is_found_by_all_that_it_is_of(void **state)
{
    struct fixture *fixture = *state;
    static const enum sg_board_kind kinds[] = {SG_BOARD_TOKEN, SG_BOARD_SUBJECT, SG_BOARD_KEYSET,
                                               SG_BOARD_KID};
    publish(fixture, NULL, 0);
    open_board(fixture);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(value_of(fixture->board, kinds[i], 1), 0);
        add(fixture, kinds[i], 1, SOON + (int64_t)i);
        assert_int_equal(value_of(fixture->board, kinds[i], 1), SOON + i);
        assert_int_equal(value_of(fixture->board, kinds[i], 2), 0);
    }
}

static void test_digest__tells_scope_from_name_and_kind(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum sg_board_kind kind;
        const char *scope;
        size_t scope_len;
        const char *name;
    } of[] = {{SG_BOARD_SUBJECT, "a", 1, "bc"},   {SG_BOARD_SUBJECT, "ab", 2, "c"},
              {SG_BOARD_SUBJECT, "", 0, "abc"},   {SG_BOARD_SUBJECT, "abc", 3, ""},
              {SG_BOARD_KEYSET, "a", 1, "bc"},    {SG_BOARD_TOKEN, "a", 1, "bc"},
              {SG_BOARD_SUBJECT, "a\0", 2, "bc"}, {SG_BOARD_SUBJECT, "bc", 2, "a"}};
    uint8_t digests[8][SG_BOARD_DIGEST_LEN];
    publish(fixture, NULL, 0);
    open_board(fixture);
    for (size_t i = 0; i < 8; i++) {
        sg_board_digest(fixture->board, of[i].kind, of[i].scope, of[i].scope_len, of[i].name,
                        strlen(of[i].name), digests[i]);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(digests[i], digests[j], sizeof(digests[i]));
        }
        /* So that the end of a token is never that of what lasts. */
        assert_int_equal(digests[i][8] & 1u, of[i].kind == SG_BOARD_TOKEN);
    }
}

static void test_digest__has_another_seed_with_each_writer(void **state)
{
    struct fixture *fixture = *state;
    uint8_t digests[2][SG_BOARD_DIGEST_LEN];
    for (size_t i = 0; i < 2; i++) {
        publish(fixture, NULL, 0);
        open_board(fixture);
        sg_board_digest(fixture->board, SG_BOARD_TOKEN, "a", 1, "b", 1, digests[i]);
        sg_board_writer_close(fixture->writer);
        open_writer(fixture);
    }
    assert_memory_not_equal(digests[0], digests[1], SG_BOARD_DIGEST_LEN);
}

static void test_revocation__is_raised_and_never_lowered(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    open_board(fixture);
    uint64_t generation = sg_board_generation(fixture->board) + 1;
    add(fixture, SG_BOARD_SUBJECT, 1, 500);
    assert_int_equal(sg_board_generation(fixture->board), generation);
    add(fixture, SG_BOARD_SUBJECT, 1, 501);
    assert_int_equal(value_of(fixture->board, SG_BOARD_SUBJECT, 1), 501);
    assert_int_equal(sg_board_generation(fixture->board), generation + 1);
    add(fixture, SG_BOARD_SUBJECT, 1, 501);
    add(fixture, SG_BOARD_SUBJECT, 1, 400);
    assert_int_equal(value_of(fixture->board, SG_BOARD_SUBJECT, 1), 501);
    assert_int_equal(sg_board_generation(fixture->board), generation + 1);
}

/* ---- The writer's own look ---- */

/* 0: it is not there. */
static int64_t own_value_of(const struct fixture *fixture, enum sg_board_kind kind, uint64_t number)
{
    char name[32];
    int64_t value = -1;
    (void)name_of(number, name);
    bool is_there = sg_board_writer_find(fixture->writer, kind, "issuer", name, &value);
    assert_true(is_there || value == 0);
    return value;
}

/* Before anything is published too, and through growth. */
static void test_writer__finds_what_it_revoked(void **state)
{
    struct fixture *fixture = *state;
    add_tokens(fixture, 0, FEW);
    assert_int_equal(own_value_of(fixture, SG_BOARD_TOKEN, 0), SOON);
    assert_int_equal(own_value_of(fixture, SG_BOARD_TOKEN, FEW), 0);
    assert_int_equal(own_value_of(fixture, SG_BOARD_SUBJECT, 0), 0);
    publish(fixture, NULL, 0);
    add_tokens(fixture, FEW, MANY);
    for (uint64_t i = 0; i < FEW + MANY; i++) {
        assert_int_equal(own_value_of(fixture, SG_BOARD_TOKEN, i), SOON + i);
    }
    assert_int_equal(own_value_of(fixture, SG_BOARD_TOKEN, FEW + MANY), 0);
}

static void test_writer__needs_no_directory(void **state)
{
    struct fixture *fixture = *state;
    sg_board_writer_close(fixture->writer);
    fixture->writer = NULL;
    assert_int_equal(sg_board_writer_open(NULL, BOOT_MS, &fixture->writer, fixture->error,
                                          sizeof(fixture->error)),
                     SIGNET_OK);
    add_tokens(fixture, 0, MANY);
    assert_int_equal(own_value_of(fixture, SG_BOARD_TOKEN, MANY - 1), SOON + MANY - 1);
    assert_int_equal(try_open(fixture, fixture->path), SIGNET_UNAVAILABLE);
}

static signet_status try_reserve(struct fixture *fixture, uint64_t number)
{
    char name[32];
    const struct sg_board_revocation revocation = {.kind = SG_BOARD_TOKEN,
                                                   .scope = "issuer",
                                                   .scope_len = 6,
                                                   .name = name,
                                                   .name_len = name_of(number, name)};
    return sg_board_writer_reserve(fixture->writer, &revocation, NOW, fixture->error,
                                   sizeof(fixture->error));
}

/* Who knows the seed can choose names that all want the same place. */
static void test_reserve__refuses_what_would_lie_too_close(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number = 0;
    unsigned num = 0;
    publish(fixture, NULL, 0);
    open_board(fixture); /* its seed is the writer's, whatever takes its place */
    signet_status status = SIGNET_OK;
    while (status == SIGNET_OK && num < CROWDED) {
        uint8_t digest[SG_BOARD_DIGEST_LEN];
        uint64_t words[2];
        char name[32];
        size_t len = name_of(++number, name);
        sg_board_digest(fixture->board, SG_BOARD_TOKEN, "issuer", 6, name, len, digest);
        memcpy(words, digest, sizeof(words));
        if ((words[0] & 0xff000000u) == 0) { /* of its lower half, which says where it lies */
            status = try_reserve(fixture, number);
            num += status == SIGNET_OK ? 1 : 0;
            if (status == SIGNET_OK) {
                add(fixture, SG_BOARD_TOKEN, number, SOON);
            }
        }
    }
    assert_int_equal(status, SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(fixture->error, "one place"));
    assert_in_range(num, 500, CROWDED - 1);
    /* What is there already, and what lies elsewhere, is as welcome as ever. */
    assert_int_equal(try_reserve(fixture, number), SIGNET_RESOURCE_EXHAUSTED);
    for (uint64_t i = 1; i < 100; i++) {
        if (own_value_of(fixture, SG_BOARD_TOKEN, i) != 0) {
            assert_int_equal(try_reserve(fixture, i), SIGNET_OK);
        }
    }
}

/* With room reserved, what is revoked next needs none. */
static void test_reserve__makes_room_for_one(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before;
    publish(fixture, NULL, 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    uint64_t num = 0;
    signet_status reserved = SIGNET_OK;
    signet_status without = SIGNET_OK;
    bool is_short_of_room = false;
    while (num < MANY && !is_short_of_room) {
        reserved = try_reserve(fixture, num);
        assert_int_equal(reserved, SIGNET_OK);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        signet_status status = try_add(fixture, SG_BOARD_TOKEN, num, SOON + (int64_t)num);
        without = try_reserve(fixture, num + 1);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, SIGNET_OK);
        is_short_of_room = without != SIGNET_OK;
        num++;
    }
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_true(is_short_of_room);
    assert_int_equal(without, SIGNET_RESOURCE_EXHAUSTED);
    open_board(fixture);
    expect_tokens(fixture->board, 0, num);
}

/* Neither growth nor a publish that fails makes it one to be believed. */
static void test_suspend__lasts_until_the_next_publish(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    uint64_t generation = sg_board_generation(fixture->board);
    sg_board_writer_suspend(fixture->writer);
    assert_false(is_fresh(fixture));
    assert_int_not_equal(sg_board_generation(fixture->board), generation);
    sg_board_writer_beat(fixture->writer, BOOT_MS);
    assert_false(is_fresh(fixture));
    add_tokens(fixture, 0, MANY);
    open_board(fixture);
    assert_false(is_fresh(fixture));
    const struct sg_board_key bad = {.kid = {.bytes = "", .len = SG_MAX_KID_LEN + 1}};
    assert_int_not_equal(try_publish(fixture, &bad, 1), SIGNET_OK);
    add_tokens(fixture, MANY, MANY);
    open_board(fixture);
    assert_false(is_fresh(fixture));
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    assert_true(is_fresh(fixture));
    expect_tokens(fixture->board, 0, UINT64_C(2) * MANY);
}

/* Those of the dead are left out when the table grows, and no others. */
static void test_growth__leaves_out_tokens_that_have_ended(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    add(fixture, SG_BOARD_TOKEN, 1, NOW - 1);
    add(fixture, SG_BOARD_TOKEN, 2, NOW);
    add(fixture, SG_BOARD_SUBJECT, 3, NOW - 1);
    assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, 1), NOW - 1);
    add_tokens(fixture, 1000, MANY);
    assert_true(sg_board_is_superseded(fixture->board));
    open_board(fixture);
    assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, 1), 0);
    assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, 2), NOW);
    assert_int_equal(value_of(fixture->board, SG_BOARD_SUBJECT, 3), NOW - 1);
    expect_tokens(fixture->board, 1000, MANY);
    expect_some_keys(fixture->board);
}

static void test_growth__takes_less_than_64_bytes_a_revocation(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;
    publish(fixture, NULL, 0);
    for (uint64_t num = 0; num < VERY_MANY; num += 100) {
        add_tokens(fixture, num, 100);
        assert_int_equal(stat(fixture->path, &info), 0);
        assert_true(num < 1000 || (uint64_t)info.st_size < 64 * num);
    }
    assert_true((uint64_t)info.st_blocks * 512 >= (uint64_t)info.st_size);
    open_board(fixture);
    expect_tokens(fixture->board, 0, VERY_MANY);
    for (uint64_t i = VERY_MANY; i < 2 * (uint64_t)VERY_MANY; i++) {
        assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, i), 0);
    }
}

/* ---- Publishing ---- */

static void test_publish__shows_all_at_once(void **state)
{
    struct fixture *fixture = *state;
    add_tokens(fixture, 0, MANY);
    assert_int_equal(try_open(fixture, fixture->path), SIGNET_UNAVAILABLE);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    assert_true(is_fresh(fixture));
    expect_some_keys(fixture->board);
    expect_tokens(fixture->board, 0, MANY);
}

static void test_publish__moves_readers_over(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    add_tokens(fixture, 0, FEW);
    open_board(fixture);
    assert_true(is_fresh(fixture) && !sg_board_is_superseded(fixture->board));
    uint64_t generation = sg_board_generation(fixture->board);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    uint64_t last = sg_board_generation(fixture->board);
    assert_true(!is_fresh(fixture) && sg_board_is_superseded(fixture->board));
    assert_true(last > generation);
    expect_tokens(fixture->board, 0, FEW); /* what is open stays as it was */
    open_board(fixture);
    assert_true(is_fresh(fixture) && !sg_board_is_superseded(fixture->board));
    assert_true(sg_board_generation(fixture->board) > last);
    expect_some_keys(fixture->board);
    expect_tokens(fixture->board, 0, FEW);
}

/* When it starts, and not when it publishes: that may fail, and revocations go on. */
static void test_open__supersedes_what_an_earlier_daemon_left(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_writer *dead = fixture->writer;
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_true(is_fresh(fixture));
    uint64_t generation = sg_board_generation(fixture->board);
    open_writer(fixture);
    assert_true(!is_fresh(fixture) && sg_board_is_superseded(fixture->board));
    assert_int_not_equal(sg_board_generation(fixture->board), generation);
    add_tokens(fixture, 0, FEW);
    publish(fixture, NULL, 0);
    sg_board_writer_close(dead);
    open_board(fixture);
    assert_true(is_fresh(fixture));
    expect_tokens(fixture->board, 0, FEW);
}

static void test_publish__takes_the_place_of_anything_but_a_directory(void **state)
{
    struct fixture *fixture = *state;
    char new_path[160];
    char other[160];
    (void)snprintf(new_path, sizeof(new_path), "%s.new", fixture->path);
    (void)snprintf(other, sizeof(other), "%s/other", fixture->dir);
    test_write_file(other, "other", 5);
    test_write_file(fixture->path, "short", 5);
    assert_int_equal(symlink(other, new_path),
                     0); /* what is half made is made anew, and no link is followed */
    publish(fixture, NULL, 0);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(symlink(other, fixture->path), 0);
    publish(fixture, NULL, 0);
    size_t len = 0;
    char *bytes = test_read_file(other, &len);
    assert_string_equal(bytes, "other");
    free(bytes);
    sg_board_writer_close(fixture->writer);
    open_writer(fixture);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_int_equal(access(new_path, F_OK), -1);
}

static bool restore(struct fixture *fixture)
{
    bool was_gone = false;
    if (sg_board_writer_restore(fixture->writer, NOW, &was_gone, fixture->error,
                                sizeof(fixture->error)) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
    return was_gone;
}

static void test_restore__puts_back_what_was_taken_away(void **state)
{
    struct fixture *fixture = *state;
    assert_false(restore(fixture)); /* nothing is published yet */
    assert_int_equal(access(fixture->path, F_OK), -1);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    assert_false(restore(fixture));
    for (unsigned i = 0; i < 3; i++) {
        open_board(fixture);
        struct sg_board *before = fixture->board;
        fixture->board = NULL;
        uint64_t generation = sg_board_generation(before);
        assert_int_equal(unlink(fixture->path), 0);
        if (i == 1) {
            test_write_file(fixture->path, "another", 7);
        } else if (i == 2) {
            assert_int_equal(symlink(fixture->copy, fixture->path), 0);
        }
        add_tokens(fixture, i, 1);
        assert_true(restore(fixture));
        assert_true(sg_board_is_superseded(before));
        assert_true(sg_board_generation(before) != generation);
        sg_board_close(before);
        open_board(fixture);
        assert_true(is_fresh(fixture));
        assert_int_equal(sg_board_num_keys(fixture->board), NUM_SOME_KEYS);
        expect_tokens(fixture->board, 0, i + 1);
        assert_false(restore(fixture));
    }
}

static void test_restore__leaves_a_suspended_board_suspended(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    sg_board_writer_suspend(fixture->writer);
    assert_int_equal(unlink(fixture->path), 0);
    assert_true(restore(fixture));
    open_board(fixture);
    assert_false(is_fresh(fixture));
}

/* The board keeps a name, without which its readers do not believe it. */
static void put_directory_in_the_way(const struct fixture *fixture)
{
    assert_int_equal(rename(fixture->path, fixture->copy), 0);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
}

static void test_fresh__is_nothing_without_a_name(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_true(is_fresh(fixture));
    assert_int_equal(unlink(fixture->path), 0);
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS + 1, MAX_AGE));
}

static void test_restore__that_fails_leaves_the_board_in_force(void **state)
{
    struct fixture *fixture = *state;
    bool was_gone = false;
    publish(fixture, NULL, 0);
    open_board(fixture);
    put_directory_in_the_way(fixture);
    assert_int_not_equal(sg_board_writer_restore(fixture->writer, NOW, &was_gone, fixture->error,
                                                 sizeof(fixture->error)),
                         SIGNET_OK);
    assert_true(was_gone);
    assert_true(is_fresh(fixture));
    add_tokens(fixture, 0, 1);
    expect_tokens(fixture->board, 0, 1);
    assert_int_equal(rmdir(fixture->path), 0);
    assert_true(restore(fixture));
}

static void test_publish__has_its_mode_whatever_the_umask(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;
    mode_t before = umask(0077);
    publish(fixture, NULL, 0);
    (void)umask(before);
    assert_int_equal(stat(fixture->path, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0644);
}

/* ---- What fails ---- */

static void test_failure__of_a_rename_leaves_the_board_in_force(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    add_tokens(fixture, 0, FEW);
    open_board(fixture);
    put_directory_in_the_way(fixture);
    assert_int_equal(try_publish(fixture, some_keys(), NUM_SOME_KEYS), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->error, "cannot be replaced"));
    assert_true(is_fresh(fixture) && !sg_board_is_superseded(fixture->board));
    add(fixture, SG_BOARD_TOKEN, FEW, SOON + FEW);
    expect_tokens(fixture->board, 0, FEW + 1);
    assert_int_equal(rmdir(fixture->path), 0);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    expect_tokens(fixture->board, 0, FEW + 1);
    expect_some_keys(fixture->board);
}

static void test_failure__at_the_start_says_what_is_in_the_way(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_writer *writer = NULL;
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_int_equal(sg_board_writer_open(fixture->dir, BOOT_MS, &writer, fixture->error,
                                          sizeof(fixture->error)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->error, "in the way"));
    assert_null(writer);
    assert_int_equal(sg_board_writer_open(fixture->copy, BOOT_MS, &writer, fixture->error,
                                          sizeof(fixture->error)),
                     SIGNET_FAILED_PRECONDITION);
    assert_null(writer);
}

/* Of a disk that is full; here, a limit on the length of files. */
static void test_failure__for_want_of_room_leaves_the_board_in_force(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before;
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    open_board(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {.rlim_cur = 12000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t num = 0;
    signet_status status = SIGNET_OK;
    while (status == SIGNET_OK && num < MANY) {
        status = try_add(fixture, SG_BOARD_TOKEN, num, SOON + (int64_t)num);
        num += status == SIGNET_OK ? 1 : 0;
    }
    signet_status again = try_publish(fixture, some_keys(), NUM_SOME_KEYS);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(again, SIGNET_RESOURCE_EXHAUSTED);
    assert_true(num > FEW && num < MANY);
    assert_true(is_fresh(fixture) && !sg_board_is_superseded(fixture->board));
    expect_tokens(fixture->board, 0, num);
    assert_int_equal(value_of(fixture->board, SG_BOARD_TOKEN, num), 0);
    add_tokens(fixture, num, MANY);
    open_board(fixture);
    expect_tokens(fixture->board, 0, num + MANY);
}

/* ---- Fresh or not ---- */

static void test_fresh__is_what_beat_lately(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_true(sg_board_is_fresh(fixture->board, BOOT_MS + MAX_AGE, MAX_AGE));
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS + MAX_AGE + 1, MAX_AGE));
    assert_true(sg_board_is_fresh(fixture->board, BOOT_MS - MAX_AGE, MAX_AGE));
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS - MAX_AGE - 1, MAX_AGE));
    assert_false(sg_board_is_fresh(fixture->board, UINT64_MAX, MAX_AGE));
    sg_board_writer_beat(fixture->writer, BOOT_MS + 10000);
    assert_false(is_fresh(fixture));
    assert_true(sg_board_is_fresh(fixture->board, BOOT_MS + 10000, 0));
    /* The next file takes it over. */
    publish(fixture, NULL, 0);
    open_board(fixture);
    assert_true(sg_board_is_fresh(fixture->board, BOOT_MS + 10000, 0));
}

static void test_fresh__is_nothing_that_was_closed(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    open_board(fixture);
    uint64_t generation = sg_board_generation(fixture->board);
    sg_board_writer_close(fixture->writer);
    fixture->writer = NULL;
    assert_false(is_fresh(fixture));
    assert_int_not_equal(sg_board_generation(fixture->board), generation);
    open_board(fixture);
    assert_false(is_fresh(fixture));
    assert_false(sg_board_is_superseded(fixture->board));
}

/* ---- Whose it is ---- */

static void test_open__refuses_what_others_could_change(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    assert_int_equal(chmod(fixture->path, 0664), 0);
    assert_int_equal(try_open(fixture, fixture->path), SIGNET_UNTRUSTED_SERVER);
    assert_non_null(strstr(fixture->error, "0664"));
    assert_int_equal(chmod(fixture->path, 0646), 0);
    assert_int_equal(try_open(fixture, fixture->path), SIGNET_UNTRUSTED_SERVER);
    assert_int_equal(chmod(fixture->path, 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(fixture->path, 1, 0), 0);
        assert_int_equal(try_open(fixture, fixture->path), SIGNET_UNTRUSTED_SERVER);
        assert_non_null(strstr(fixture->error, "uid 1,"));
        assert_int_equal(sg_board_open(fixture->path, 1, &fixture->board, fixture->error,
                                       sizeof(fixture->error)),
                         SIGNET_OK);
        assert_int_equal(chown(fixture->path, 0, 0), 0);
        sg_board_close(fixture->board);
        assert_int_equal(sg_board_open(fixture->path, 1, &fixture->board, fixture->error,
                                       sizeof(fixture->error)),
                         SIGNET_OK);
    }
    open_board(fixture);
}

static void test_open__refuses_what_is_no_file(void **state)
{
    struct fixture *fixture = *state;
    publish(fixture, NULL, 0);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_UNAVAILABLE);
    assert_int_equal(symlink(fixture->path, fixture->copy), 0);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_UNTRUSTED_SERVER);
    assert_int_equal(unlink(fixture->copy), 0);
    assert_int_equal(mkfifo(fixture->copy, 0644), 0);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_UNTRUSTED_SERVER);
    assert_int_equal(try_open(fixture, fixture->dir), SIGNET_UNTRUSTED_SERVER);
    assert_null(fixture->board);
}

/* ---- Hostile files ---- */

static volatile unsigned touched; /* so that no read is left out */

static void touch(const struct sg_board_text *from)
{
    for (size_t i = 0; i < from->len; i++) {
        touched += (unsigned char)from->bytes[i];
    }
}

static void read_key(const struct sg_board_key *key)
{
    touch(&key->keyset);
    touch(&key->issuer);
    touch(&key->typ);
    touch(&key->kid);
    touch(&key->public_key);
    for (size_t i = 0; i < key->num_audiences; i++) {
        touch(&key->audiences[i]);
    }
}

/* All that a reader can ask. Whoever reads past the end of the file dies: a page that cannot be read lies there. */
static void read_everything(struct sg_board *board)
{
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    int64_t value = 0;
    (void)sg_board_is_fresh(board, BOOT_MS, MAX_AGE);
    touched += (unsigned)sg_board_generation(board);
    for (size_t i = 0; i < sg_board_num_keys(board); i++) {
        struct sg_board_key key;
        if (sg_board_key_at(board, i, &key)) {
            read_key(&key);
        }
    }
    for (size_t i = 0; i < NUM_SOME_KEYS; i++) {
        struct sg_board_search search;
        struct sg_board_key key;
        sg_board_search_begin(board, some_keys()[i].kid.len > 0 ? some_keys()[i].kid.bytes : "",
                              some_keys()[i].kid.len, &search);
        while (sg_board_search_next(&search, &key)) {
            read_key(&key);
        }
    }
    for (unsigned i = 0; i < 256; i += 5) {
        memset(digest, (int)i, sizeof(digest)); /* once around the table */
        touched += sg_board_find(board, digest, &value) ? 1 : 0;
    }
    touched += (unsigned)value_of(board, SG_BOARD_TOKEN, 1);
}

/* Writes into a file. */
static void patch(const char *path, size_t at, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)at), (ssize_t)len);
    (void)close(fd);
}

/* The bytes of a small board, which free() gives back, and a copy of its file. */
static char *hostile_begin(struct fixture *fixture, size_t *len)
{
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    add_tokens(fixture, 0, FEW);
    char *bytes = test_read_file(fixture->path, len);
    assert_non_null(bytes);
    test_write_file(fixture->copy, bytes, *len);
    assert_int_equal(chmod(fixture->copy, 0644), 0);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
    expect_tokens(fixture->board, 0, FEW);
    return bytes;
}

static void test_fresh__is_nothing_of_another_boot(void **state)
{
    struct fixture *fixture = *state;
    size_t len = 0;
    char *bytes = hostile_begin(fixture, &len);
    assert_true(is_fresh(fixture));
    for (size_t i = 0; i < SG_BOARD_BOOT_LEN; i++) {
        size_t at = offsetof(struct sg_board_header, boot) + i;
        char other = (char)(bytes[at] ^ 1);
        patch(fixture->copy, at, &other, 1);
        assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
        assert_false(is_fresh(fixture));
        patch(fixture->copy, at, &bytes[at], 1);
    }
    free(bytes);
}

static void test_fresh__is_nothing_that_was_cut_off(void **state)
{
    struct fixture *fixture = *state;
    size_t len = 0;
    free(hostile_begin(fixture, &len));
    assert_true(is_fresh(fixture));
    assert_int_equal(truncate(fixture->copy, (off_t)len - 1), 0);
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS + 1, MAX_AGE));
    assert_int_equal(truncate(fixture->copy, 0), 0);
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS + 2, MAX_AGE));
    assert_false(sg_board_is_fresh(fixture->board, BOOT_MS + 2, MAX_AGE));
}

static void expect_damaged(struct fixture *fixture)
{
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_PROTOCOL_ERROR);
    assert_null(fixture->board);
}

static void test_hostile__noise_and_zeros_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const size_t lens[] = {0, 1, 4095, 4096, 8192, 12288};
    size_t good_len = 0;
    char *good = hostile_begin(fixture, &good_len);
    char bytes[12288];
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        memset(bytes, 0, sizeof(bytes));
        test_write_file(fixture->copy, bytes, lens[i]);
        expect_damaged(fixture);
        for (size_t at = 0; at < sizeof(bytes); at += 256) {
            assert_int_equal(getentropy(bytes + at, 256), 0);
        }
        test_write_file(fixture->copy, bytes, lens[i]);
        expect_damaged(fixture);
        memcpy(bytes, good, offsetof(struct sg_board_header, header_len));
        test_write_file(fixture->copy, bytes, lens[i]);
        expect_damaged(fixture);
    }
    free(good);
}

static void test_hostile__another_version_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t len = 0;
    char *bytes = hostile_begin(fixture, &len);
    static const uint32_t versions[] = {0, SG_BOARD_VERSION + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        patch(fixture->copy, offsetof(struct sg_board_header, version), &versions[i], 4);
        expect_damaged(fixture);
        assert_non_null(strstr(fixture->error, "version"));
    }
    test_write_file(fixture->copy, bytes, len);
    const uint32_t swapped = 0x04030201;
    patch(fixture->copy, offsetof(struct sg_board_header, byte_order), &swapped, 4);
    expect_damaged(fixture);
    free(bytes);
}

/* Each value in a field for which it is out of bounds. */
static void test_hostile__sections_out_of_bounds_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sections[] = {
        offsetof(struct sg_board_header, keys), offsetof(struct sg_board_header, index),
        offsetof(struct sg_board_header, text), offsetof(struct sg_board_header, table)};
    size_t len = 0;
    char *bytes = hostile_begin(fixture, &len);
    const uint64_t offsets[] = {0, 4032, 4097, 4104, len, len + 64, UINT64_MAX - 63, UINT64_MAX};
    const uint64_t lens[] = {len, len - 4032, UINT64_MAX, UINT64_MAX - 4095, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        for (size_t j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++) {
            patch(fixture->copy, sections[i], &offsets[j], 8);
            expect_damaged(fixture);
        }
        patch(fixture->copy, sections[i], bytes + sections[i], 8);
        for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            patch(fixture->copy, sections[i] + 8, &lens[j], 8);
            expect_damaged(fixture);
        }
        const uint64_t uneven = 1;
        if (sections[i] != offsetof(struct sg_board_header, text)) {
            patch(fixture->copy, sections[i] + 8, &uneven, 8);
            expect_damaged(fixture);
        }
        patch(fixture->copy, sections[i], bytes + sections[i], 16);
        assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
    }
    const uint64_t none = 0;
    patch(fixture->copy, offsetof(struct sg_board_header, table) + 8, &none, 8);
    expect_damaged(fixture);
    free(bytes);
}

static void test_hostile__any_byte_may_be_flipped(void **state)
{
    struct fixture *fixture = *state;
    static const char flips[] = {'\xff', '\x01', '\x40'};
    size_t len = 0;
    size_t num_refused = 0;
    char *bytes = hostile_begin(fixture, &len);
    for (size_t at = 0; at < len; at++) {
        /* Where it matters most with more than one pattern. */
        size_t num = at < sizeof(struct sg_board_header) ? sizeof(flips) : FLIPS_OF_BYTES;
        for (size_t i = 0; i < num; i++) {
            char flipped = (char)(bytes[at] ^ flips[i]);
            patch(fixture->copy, at, &flipped, 1);
            if (try_open(fixture, fixture->copy) == SIGNET_OK) {
                read_everything(fixture->board);
            } else {
                num_refused++;
            }
        }
        patch(fixture->copy, at, &bytes[at], 1);
    }
    /* Magic, byte order, version, lengths and sections are 20, 8 and 64 bytes, of which few values will do. */
    assert_true(num_refused > 200);
    free(bytes);
}

static void test_hostile__a_cut_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t len = 0;
    free(hostile_begin(fixture, &len));
    for (size_t cut = 1; cut <= len; cut += cut % 4096 == 0 ? 1 : 255) {
        assert_int_equal(truncate(fixture->copy, (off_t)(len - cut)), 0);
        expect_damaged(fixture);
    }
}

/* Longer than it says, shorter than it says although whole pages, and no whole pages although it says so. */
static void test_hostile__a_file_of_another_length_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t len = 0;
    free(hostile_begin(fixture, &len));
    const off_t lens[] = {(off_t)len + 1, (off_t)len + 4096, (off_t)len - 4096};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        assert_int_equal(truncate(fixture->copy, lens[i]), 0);
        expect_damaged(fixture);
    }
    const uint64_t uneven = len + 64;
    assert_int_equal(truncate(fixture->copy, (off_t)uneven), 0);
    patch(fixture->copy, offsetof(struct sg_board_header, file_len), &uneven, 8);
    expect_damaged(fixture);
}

/* Runs of text up to the end of the section and past it. */
static void test_hostile__text_out_of_bounds_is_no_key(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_header header;
    size_t len = 0;
    struct sg_board_key key;
    char *bytes = hostile_begin(fixture, &len);
    memcpy(&header, bytes, sizeof(header));
    size_t at = (size_t)header.keys.offset + offsetof(struct sg_board_record, public_key);
    const uint32_t end = (uint32_t)header.text.len;
    const struct {
        struct sg_board_run run;
        bool is_good;
    } cases[] = {{{end - 4, 4}, true},         {{end, 0}, true},
                 {{end - 4, 5}, false},        {{end, 1}, false},
                 {{end + 1, 0}, false},        {{UINT32_MAX, 1}, false},
                 {{UINT32_MAX - 3, 8}, false}, {{0, SG_MAX_BOARD_PUBLIC_KEY + 1}, false},
                 {{0, UINT32_MAX}, false},     {{4, UINT32_MAX - 3}, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        patch(fixture->copy, at, &cases[i].run, sizeof(cases[i].run));
        assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
        assert_int_equal(sg_board_key_at(fixture->board, 0, &key), cases[i].is_good);
        assert_int_equal(num_of_kid(fixture->board, "2026-a", 6), cases[i].is_good ? 2 : 1);
    }
    free(bytes);
}

/* Of an index that leads to a key of another kid. */
static void test_hostile__a_key_of_another_kid_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_header header;
    struct sg_board_record record;
    size_t len = 0;
    char *bytes = hostile_begin(fixture, &len);
    memcpy(&header, bytes, sizeof(header));
    memcpy(&record, bytes + header.keys.offset, sizeof(record));
    patch(fixture->copy, (size_t)header.text.offset + record.kid.offset, "3", 1);
    assert_int_equal(num_of_kid(fixture->board, "2026-a", 6), 1);
    record.kid.len--;
    patch(fixture->copy, (size_t)header.text.offset + record.kid.offset, "2", 1);
    assert_int_equal(num_of_kid(fixture->board, "2026-a", 6), 2);
    patch(fixture->copy, (size_t)header.keys.offset, &record, sizeof(record));
    assert_int_equal(num_of_kid(fixture->board, "2026-a", 6), 1);
    free(bytes);
}

/* What the writer refuses to put there, the reader refuses to read. */
static void test_hostile__text_above_its_limit_is_no_key(void **state)
{
    struct fixture *fixture = *state;
    const struct sg_board_key keys[2] = {longest_key(), longest_key()};
    struct sg_board_key key;
    size_t len = 0;
    publish(fixture, keys, 2);
    char *bytes = test_read_file(fixture->path, &len);
    test_write_file(fixture->copy, bytes, len);
    assert_int_equal(chmod(fixture->copy, 0644), 0);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
    for (size_t i = 0; i < NUM_PARTS && parts[i].in_record != 0; i++) {
        size_t at = SG_BOARD_HEADER_LEN + parts[i].in_record;
        const struct sg_board_run run = {0, (uint32_t)parts[i].limit + 1};
        assert_true(sg_board_key_at(fixture->board, 0, &key));
        patch(fixture->copy, at, &run, sizeof(run));
        assert_false(sg_board_key_at(fixture->board, 0, &key));
        patch(fixture->copy, at, bytes + at, sizeof(run));
    }
    free(bytes);
}

static void test_hostile__audiences_that_do_not_end_are_no_key(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_header header;
    struct sg_board_record record;
    size_t len = 0;
    struct sg_board_key key;
    char *bytes = hostile_begin(fixture, &len);
    memcpy(&header, bytes, sizeof(header));
    memcpy(&record, bytes + header.keys.offset + sizeof(record), sizeof(record));
    size_t at = (size_t)header.text.offset + record.audiences.offset;
    assert_memory_equal(bytes + at, "\6orders\7billing", 16);
    patch(fixture->copy, at + 15, "\x01", 1); /* the last, which is empty, would end behind */
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
    assert_false(sg_board_key_at(fixture->board, 1, &key));
    patch(fixture->copy, at, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
          16); /* sixteen, as many as may be */
    assert_true(sg_board_key_at(fixture->board, 1, &key));
    assert_int_equal(key.num_audiences, 16);
    record.audiences = (struct sg_board_run){record.audiences.offset - 1, 17};
    patch(fixture->copy, at - 1, "", 1);
    patch(fixture->copy, (size_t)header.keys.offset + sizeof(record), &record, sizeof(record));
    assert_false(sg_board_key_at(fixture->board, 1, &key));
    free(bytes);
}

/* No free place at which a search would end. */
static void test_hostile__a_full_table_and_index_end(void **state)
{
    struct fixture *fixture = *state;
    struct sg_board_header header;
    size_t len = 0;
    char *bytes = hostile_begin(fixture, &len);
    memcpy(&header, bytes, sizeof(header));
    memset(bytes + header.table.offset, 0xff, (size_t)header.table.len);
    memset(bytes + header.index.offset, 0xff, (size_t)header.index.len);
    test_write_file(fixture->copy, bytes, len);
    assert_int_equal(try_open(fixture, fixture->copy), SIGNET_OK);
    read_everything(fixture->board);
    assert_int_equal(value_of(fixture->board, SG_BOARD_SUBJECT, 1), INT64_MAX);
    assert_int_equal(num_of_kid(fixture->board, "other", 5), 0);
    free(bytes);
}

/* ---- Threads ---- */

struct threaded {
    const char *path;
    _Atomic uint64_t num_acknowledged;
    _Atomic bool is_over;
    _Atomic uint64_t num_seen, num_opened, num_wrong;
};

/* Whether the token is refused, as board.h says that it is judged; a board that is superseded right after the path was
 * opened is one whose successor is about to be there. */
static bool threaded_judge(struct threaded *threaded, struct sg_board **board, uint64_t number)
{
    char error[256];
    for (;;) {
        if (*board != NULL) {
            uint64_t generation = sg_board_generation(*board);
            bool counts = sg_board_is_fresh(*board, BOOT_MS, MAX_AGE);
            bool is_refused = value_of(*board, SG_BOARD_TOKEN, number) == SOON + (int64_t)number;
            if (counts && sg_board_generation(*board) == generation) {
                return is_refused;
            }
            if (counts) {
                continue;
            }
        }
        sg_board_close(*board);
        *board = NULL;
        if (sg_board_open(threaded->path, geteuid(), board, error, sizeof(error)) != SIGNET_OK) {
            return false;
        }
        atomic_fetch_add(&threaded->num_opened, 1);
        (void)sched_yield();
    }
}

static void *threaded_reader(void *argument)
{
    struct threaded *threaded = argument;
    struct sg_board *board = NULL;
    uint64_t random = (uint64_t)(uintptr_t)&board | 1u;
    while (!atomic_load(&threaded->is_over)) {
        uint64_t num = atomic_load(&threaded->num_acknowledged);
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        /* Mostly the last ones, which a board that is behind would not have. */
        uint64_t back = (random >> 33) % ((random >> 60) == 0 ? num : num < 8 ? num : 8);
        if (!threaded_judge(threaded, &board, num - 1 - back)) {
            atomic_fetch_add(&threaded->num_wrong, 1);
        }
        atomic_fetch_add(&threaded->num_seen, 1);
    }
    sg_board_close(board);
    return NULL;
}

static void test_threads__see_what_was_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    struct threaded threaded = {.path = fixture->path, .num_acknowledged = 1};
    pthread_t readers[NUM_READERS];
    add_tokens(fixture, 0, 1);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    for (size_t i = 0; i < NUM_READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, threaded_reader, &threaded), 0);
    }
    for (uint64_t i = 1; i < NUM_THREADED; i++) {
        add_tokens(fixture, i, 1);
        atomic_store(&threaded.num_acknowledged, i + 1);
        if (i % 500 == 0) {
            publish(fixture, some_keys(), NUM_SOME_KEYS);
            sg_board_writer_beat(fixture->writer, BOOT_MS + i % 1000);
            (void)sched_yield();
        }
    }
    while (atomic_load(&threaded.num_seen) < (uint64_t)NUM_READERS * 100u) {
        (void)sched_yield();
    }
    atomic_store(&threaded.is_over, true);
    for (size_t i = 0; i < NUM_READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&threaded.num_wrong), 0);
    assert_true(atomic_load(&threaded.num_opened) > NUM_READERS);
}

/* ---- SIGKILL ---- */

/* Revokes tokens and says which, until it is killed. */
static void kills_child(struct fixture *fixture, uint64_t first, int acknowledge)
{
    open_writer(fixture);
    publish(fixture, some_keys(), NUM_SOME_KEYS);
    for (uint64_t i = first;; i++) {
        add_tokens(fixture, i, 1);
        if (i % 64 == 0) {
            publish(fixture, some_keys(), NUM_SOME_KEYS);
        }
        if (write(acknowledge, &i, sizeof(i)) != (ssize_t)sizeof(i)) {
            _exit(1);
        }
    }
}

/* Returns how many the child acknowledged. Opens a board that is in force, or nearly, when the child dies: it does not
 * count any more as soon as there is another child, which before is checked for. */
static uint64_t kills_round(struct fixture *fixture, uint64_t first)
{
    struct sg_board *before = fixture->board;
    int acknowledged[2];
    int wait_status = 0;
    uint32_t random = 0;
    uint64_t number = 0;
    uint64_t num = 0;
    assert_int_equal(pipe2(acknowledged, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kills_child(fixture, first, acknowledged[1]);
    }
    (void)close(acknowledged[1]);
    assert_int_equal(read(acknowledged[0], &number, sizeof(number)), sizeof(number));
    num = 1;
    assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
    const struct timespec pause = {.tv_nsec = (long)(random % 3000u) * 1000L};
    (void)nanosleep(&pause, NULL);
    bool before_counts = before != NULL && sg_board_is_fresh(before, BOOT_MS, MAX_AGE);
    open_board(fixture);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFSIGNALED(wait_status));
    assert_false(before_counts);
    while (read(acknowledged[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        assert_int_equal(number, first + num);
        num++;
    }
    (void)close(acknowledged[0]);
    return num;
}

static void test_kills__lose_nothing_that_was_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    uint64_t num = 0;
    sg_board_writer_close(fixture->writer);
    fixture->writer = NULL;
    for (unsigned round = 0; round < NUM_KILLS; round++) {
        uint64_t first = (uint64_t)round << 32;
        uint64_t num_round = kills_round(fixture, first);
        struct sg_board *at_its_end = fixture->board;
        fixture->board = NULL;
        open_board(fixture);
        expect_tokens(fixture->board, first, num_round);
        expect_some_keys(fixture->board);
        read_everything(fixture->board);
        sg_board_close(fixture->board);
        fixture->board = at_its_end;
        num += num_round;
    }
    assert_true(num > NUM_KILLS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_keys__come_back_as_they_were_put),
        CASE(test_keys__of_one_kid_are_all_found_and_no_others),
        CASE(test_keys__may_be_none),
        CASE(test_keys__may_be_many),
        CASE(test_keys__too_long_leave_the_board_as_it_is),
        CASE(test_revocation__is_found_by_all_that_it_is_of),
        CASE(test_digest__tells_scope_from_name_and_kind),
        CASE(test_digest__has_another_seed_with_each_writer),
        CASE(test_writer__finds_what_it_revoked),
        CASE(test_writer__needs_no_directory),
        CASE(test_reserve__refuses_what_would_lie_too_close),
        CASE(test_reserve__makes_room_for_one),
        CASE(test_suspend__lasts_until_the_next_publish),
        CASE(test_revocation__is_raised_and_never_lowered),
        CASE(test_growth__leaves_out_tokens_that_have_ended),
        CASE(test_growth__takes_less_than_64_bytes_a_revocation),
        CASE(test_publish__shows_all_at_once),
        CASE(test_publish__moves_readers_over),
        CASE(test_open__supersedes_what_an_earlier_daemon_left),
        CASE(test_publish__takes_the_place_of_anything_but_a_directory),
        CASE(test_publish__has_its_mode_whatever_the_umask),
        CASE(test_restore__puts_back_what_was_taken_away),
        CASE(test_restore__leaves_a_suspended_board_suspended),
        CASE(test_fresh__is_nothing_without_a_name),
        CASE(test_restore__that_fails_leaves_the_board_in_force),
        CASE(test_failure__of_a_rename_leaves_the_board_in_force),
        CASE(test_failure__at_the_start_says_what_is_in_the_way),
        CASE(test_failure__for_want_of_room_leaves_the_board_in_force),
        CASE(test_fresh__is_what_beat_lately),
        CASE(test_fresh__is_nothing_that_was_closed),
        CASE(test_fresh__is_nothing_of_another_boot),
        CASE(test_fresh__is_nothing_that_was_cut_off),
        CASE(test_open__refuses_what_others_could_change),
        CASE(test_open__refuses_what_is_no_file),
        CASE(test_hostile__noise_and_zeros_are_refused),
        CASE(test_hostile__another_version_is_refused),
        CASE(test_hostile__sections_out_of_bounds_are_refused),
        CASE(test_hostile__any_byte_may_be_flipped),
        CASE(test_hostile__a_cut_file_is_refused),
        CASE(test_hostile__a_file_of_another_length_is_refused),
        CASE(test_hostile__text_out_of_bounds_is_no_key),
        CASE(test_hostile__a_key_of_another_kid_is_not_found),
        CASE(test_hostile__text_above_its_limit_is_no_key),
        CASE(test_hostile__audiences_that_do_not_end_are_no_key),
        CASE(test_hostile__a_full_table_and_index_end),
        CASE(test_threads__see_what_was_acknowledged),
        CASE(test_kills__lose_nothing_that_was_acknowledged),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
