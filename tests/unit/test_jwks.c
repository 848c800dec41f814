/* SPDX-License-Identifier: Apache-2.0
 *
 * The published key set: which keys are in it and in what order, and a file that is there whole or
 * as it was.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keyring_fixture.h"
#include "server/jwks.h"
#include "server/keyholder/keyholder.h"
#include "tests/support/files.h"

/* ---- Text ---- */

enum {
    KEY_OLD,     /* of keyset "a": retired at RING_NOW */
    KEY_LAST,    /* verifies only */
    KEY_SIGNS,   /* signs from RING_NOW - 50 */
    KEY_NEXT,    /* signs from RING_NOW + 50 */
    KEY_REVOKED, /* at RING_NOW - 1 */
    KEY_GUEST,   /* imported to verify until RING_NOW + 10 */
    NUM_KEYS
};

struct jwks_ring {
    struct sg_keyholder *keyholder;
    struct sg_key_core *cores[NUM_KEYS];
    struct sg_key_core *secret, *edwards;
    struct sg_keyring *keyring; /* "b" of one EdDSA key, "h" of a secret, "a", and an issuer */
};

static void jwks_make_keys(const struct jwks_ring *ring, struct sg_keyring_key keys[NUM_KEYS])
{
    static const int64_t from[NUM_KEYS] = {-300, -150, -50, 50, -100, 0};
    for (uint32_t i = 0; i < NUM_KEYS; i++) {
        keys[i] = ring_key(ring->cores[i], i + 1, RING_NOW + from[i]);
    }
    keys[KEY_REVOKED].times.revoked_at = RING_NOW - 1;
    keys[KEY_GUEST].times.never_signs = true;
    keys[KEY_GUEST].times.verify_until = RING_NOW + 10;
    keys[KEY_GUEST].imported = true;
}

static int jwks_setup(void **state)
{
    static char text_a[] = "a";
    static char text_b[] = "b";
    static char text_h[] = "h";
    static struct sg_trust_key foreign_key = {.kid = "theirs", .alg = SG_ALG_ES256};
    static struct sg_trust_issuer issuer = {.name = "idp", .keys = &foreign_key, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&issuer};
    struct jwks_ring *ring = calloc(1, sizeof(*ring));
    struct sg_keyring_key keys[NUM_KEYS];
    assert_non_null(ring);
    assert_int_equal(sg_keyholder_new(1, &ring->keyholder), SIGNET_OK);
    for (size_t i = 0; i < NUM_KEYS; i++) {
        ring->cores[i] = ring_core(ring->keyholder, SG_ALG_ES256, NULL);
    }
    ring->edwards = ring_core(ring->keyholder, SG_ALG_ED25519, "kid \xc3\xa4 of \"another\"");
    ring->secret = ring_core(ring->keyholder, SG_ALG_HS256, "secret");
    foreign_key.public_key = ring->edwards->public_key;
    jwks_make_keys(ring, keys);
    struct sg_keyring_key edwards = ring_key(ring->edwards, 1, 0);
    edwards.times.never_signs = true; /* else its kid could not stand in a header of ours */
    const struct sg_keyring_key secret = ring_key(ring->secret, 1, 0);
    const struct sg_config_keyset policies[] = {ring_policy(text_b, SG_ALG_ED25519),
                                                ring_policy(text_h, SG_ALG_HS256),
                                                ring_policy(text_a, SG_ALG_ES256)};
    const struct sg_keyring_part parts[] = {
        {.policy = &policies[0], .keys = &edwards, .num_keys = 1},
        {.policy = &policies[1], .keys = &secret, .num_keys = 1},
        {.policy = &policies[2], .keys = keys, .num_keys = NUM_KEYS}};
    ring->keyring = ring_build(parts, 3, issuers, 1);
    *state = ring;
    return 0;
}

static int jwks_teardown(void **state)
{
    struct jwks_ring *ring = *state;
    sg_keyring_unref(ring->keyring);
    for (size_t i = 0; i < NUM_KEYS; i++) {
        sg_key_core_unref(ring->cores[i]);
    }
    sg_key_core_unref(ring->edwards);
    sg_key_core_unref(ring->secret);
    sg_keyholder_free(ring->keyholder);
    free(ring);
    return 0;
}

/* The text's kids must be these, in this order; NULL ends them. */
static void jwks_expect(const struct jwks_ring *ring, const char *keyset, int64_t now,
                        const char *const *kids)
{
    const struct sg_keyset *only = keyset != NULL ? sg_keyring_keyset(ring->keyring, keyset) : NULL;
    char *text = sg_jwks_text(ring->keyring, only, now);
    char *again = sg_jwks_text(ring->keyring, only, now);
    assert_non_null(text);
    assert_non_null(again);
    assert_string_equal(text, again);
    json_t *set = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(set, "keys");
    assert_int_equal(json_object_size(set), 1);
    assert_true(json_is_array(keys));
    for (size_t i = 0; kids[i] != NULL || i < json_array_size(keys); i++) {
        const char *kid = json_string_value(json_object_get(json_array_get(keys, i), "kid"));
        assert_non_null(kid);
        assert_non_null(kids[i]);
        assert_string_equal(kid, kids[i]);
    }
    json_decref(set);
    free(again);
    free(text);
}

static void test_text__has_public_keys_that_count_in_order(void **state)
{
    const struct jwks_ring *ring = *state;
    const char *const kids[] = {ring->edwards->kid,          ring->cores[KEY_LAST]->kid,
                                ring->cores[KEY_SIGNS]->kid, ring->cores[KEY_NEXT]->kid,
                                ring->cores[KEY_GUEST]->kid, NULL};
    jwks_expect(ring, NULL, RING_NOW, kids);
    jwks_expect(ring, "a", RING_NOW, kids + 1);
    const char *const one[] = {ring->edwards->kid, NULL};
    jwks_expect(ring, "b", RING_NOW, one);
    /* A secret has no public part, and a foreign issuer's keys are not ours to give. */
    const char *const none[] = {NULL};
    jwks_expect(ring, "h", RING_NOW, none);
    jwks_expect(ring, "idp", RING_NOW, none);
}

static void test_text__changes_at_the_very_second(void **state)
{
    const struct jwks_ring *ring = *state;
    const char *kids[NUM_KEYS];
    for (size_t i = 0; i < NUM_KEYS; i++) {
        kids[i] = ring->cores[i]->kid;
    }
    /* The oldest is kept until 100 seconds after the second took over, which was at -150. */
    const char *const early[] = {kids[KEY_OLD],  kids[KEY_LAST],  kids[KEY_SIGNS],
                                 kids[KEY_NEXT], kids[KEY_GUEST], NULL};
    jwks_expect(ring, "a", RING_NOW - 51, early);
    jwks_expect(ring, "a", RING_NOW - 50, early + 1);
    jwks_expect(ring, "a", RING_NOW + 9, early + 1);
    const char *const late[] = {kids[KEY_LAST], kids[KEY_SIGNS], kids[KEY_NEXT], NULL};
    jwks_expect(ring, "a", RING_NOW + 10, late);
    jwks_expect(ring, "a", RING_NOW + 49, late);
    jwks_expect(ring, "a", RING_NOW + 50, late + 1);
    jwks_expect(ring, "a", RING_NOW + 150, late + 2);
    /* A token that lives keeps its key. */
    sg_key_core_note_expiry(ring->cores[KEY_SIGNS], RING_NOW + 500);
    jwks_expect(ring, "a", RING_NOW + 500 + SG_MAX_LEEWAY_S - 1, late + 1);
    jwks_expect(ring, "a", RING_NOW + 500 + SG_MAX_LEEWAY_S, late + 2);
}

static void test_text__has_members_of_public_keys_only(void **state)
{
    static const char *const known[] = {"kty", "crv", "x", "y", "kid", "alg", "use"};
    const struct jwks_ring *ring = *state;
    char *text = sg_jwks_text(ring->keyring, NULL, RING_NOW);
    json_t *set = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t index = 0;
    json_t *key = NULL;
    json_array_foreach(json_object_get(set, "keys"), index, key)
    {
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach(key, name, value)
        {
            size_t i = 0;
            while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], name) != 0) {
                i++;
            }
            if (i == sizeof(known) / sizeof(known[0])) {
                fail_msg("%s is published", name);
            }
        }
        assert_string_equal(json_string_value(json_object_get(key, "use")), "sig");
    }
    assert_int_equal(index, 5);
    json_decref(set);
    free(text);
}

static void test_text__of_nothing_is_an_empty_set(void **state)
{
    (void)state;
    struct sg_keyring *keyring = ring_build(NULL, 0, NULL, 0);
    char *text = sg_jwks_text(keyring, NULL, RING_NOW);
    assert_string_equal(text, "{\"keys\":[]}");
    free(text);
    sg_keyring_unref(keyring);
}

/* Of jansson's allocations, the one with this number fails. */
static struct {
    size_t num, failing;
} memory;

static void *memory_malloc(size_t size)
{
    return ++memory.num == memory.failing ? NULL : malloc(size);
}

/* A set that lacks a key would be worse than none. */
static void test_text__is_whole_or_not_at_all_without_memory(void **state)
{
    const struct jwks_ring *ring = *state;
    char *whole = sg_jwks_text(ring->keyring, NULL, RING_NOW);
    do {
        memory.num = 0;
        memory.failing++;
        json_set_alloc_funcs(memory_malloc, free);
        char *text = sg_jwks_text(ring->keyring, NULL, RING_NOW);
        json_set_alloc_funcs(malloc, free);
        if (text != NULL) {
            assert_string_equal(text, whole);
        } else {
            assert_true(memory.num >= memory.failing);
        }
        free(text);
        assert_in_range(memory.failing, 1, 1000);
    } while (memory.num >= memory.failing);
    assert_true(memory.failing > 20);
    free(whole);
}

/* ---- File ---- */

struct jwks_file {
    char dir[96], path[128], temporary[160];
    mode_t mask;
};

static int file_setup(void **state)
{
    struct jwks_file *file = calloc(1, sizeof(*file));
    assert_non_null(file);
    test_temp_dir(file->dir, sizeof(file->dir));
    (void)snprintf(file->path, sizeof(file->path), "%s/jwks.json", file->dir);
    (void)snprintf(file->temporary, sizeof(file->temporary), "%s.new", file->path);
    file->mask = umask(077);
    *state = file;
    return 0;
}

static int file_teardown(void **state)
{
    struct jwks_file *file = *state;
    (void)umask(file->mask);
    (void)chmod(file->dir, 0700);
    test_remove_tree(file->dir);
    free(file);
    return 0;
}

static void file_write(const struct jwks_file *file, const char *text)
{
    char error[256] = "";
    if (sg_jwks_write(file->path, text, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(error, "");
}

/* The file must hold the text, with nothing beside it. */
static void file_expect(const struct jwks_file *file, const char *text)
{
    char *content = test_read_file(file->path, NULL);
    struct stat status;
    assert_non_null(content);
    assert_string_equal(content, text);
    free(content);
    assert_int_equal(stat(file->path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0644);
    assert_int_not_equal(lstat(file->temporary, &status), 0);
}

/* Fails with a message that names the file and has the word in it. */
static void file_fail(const struct jwks_file *file, const char *path, const char *word)
{
    char error[512] = "";
    assert_int_not_equal(sg_jwks_write(path, "new", error, sizeof(error)), SIGNET_OK);
    if (strncmp(error, path, strlen(file->dir)) != 0 || strstr(error, word) == NULL) {
        fail_msg("%s", error);
    }
}

static void test_write__replaces_the_file_for_every_reader(void **state)
{
    const struct jwks_file *file = *state;
    char old[16] = "";
    file_write(file, "{\"keys\":[]}");
    file_expect(file, "{\"keys\":[]}");
    /* Who has it open reads on in the old one. */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    file_write(file, "");
    file_expect(file, "");
    assert_int_equal(read(fd, old, sizeof(old) - 1), 11);
    assert_string_equal(old, "{\"keys\":[]}");
    assert_int_equal(close(fd), 0);
}

static void test_write__takes_away_what_was_left_half_made(void **state)
{
    const struct jwks_file *file = *state;
    char victim[128];
    test_write_file(file->temporary, "half", 4);
    assert_int_equal(chmod(file->temporary, 0600), 0);
    file_write(file, "one");
    file_expect(file, "one");
    /* A link that leads elsewhere is not followed, in either place. */
    (void)snprintf(victim, sizeof(victim), "%s/victim", file->dir);
    test_write_file(victim, "mine", 4);
    assert_int_equal(symlink(victim, file->temporary), 0);
    file_write(file, "two");
    file_expect(file, "two");
    assert_int_equal(unlink(file->path), 0);
    assert_int_equal(symlink(victim, file->path), 0);
    file_write(file, "three");
    file_expect(file, "three");
    char *content = test_read_file(victim, NULL);
    assert_string_equal(content, "mine");
    free(content);
}

static void test_write__that_cannot_begin_leaves_the_old_one(void **state)
{
    const struct jwks_file *file = *state;
    file_write(file, "old");
    assert_int_equal(mkdir(file->temporary, 0700), 0); /* nothing that can be unlinked */
    file_fail(file, file->path, strerrordesc_np(EEXIST));
    assert_int_equal(rmdir(file->temporary), 0);
    file_expect(file, "old");
    if (geteuid() == 0) {
        print_message("root may write in every directory: not looked at\n");
        return;
    }
    assert_int_equal(chmod(file->dir, 0500), 0);
    file_fail(file, file->path, strerrordesc_np(EACCES));
    assert_int_equal(chmod(file->dir, 0700), 0);
    file_expect(file, "old");
}

/* A disk that fills up half-way, as the limit on the size of files is. */
static void test_write__that_cannot_end_leaves_the_old_one(void **state)
{
    const struct jwks_file *file = *state;
    struct rlimit before;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction old_action;
    file_write(file, "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &old_action), 0);
    const struct rlimit small = {.rlim_cur = 2, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    char error[256] = "";
    signet_status status = sg_jwks_write(file->path, "new", error, sizeof(error));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(sigaction(SIGXFSZ, &old_action, NULL), 0);
    assert_int_equal(status, SIGNET_INTERNAL);
    assert_non_null(strstr(error, strerrordesc_np(EFBIG)));
    file_expect(file, "old");
}

static void test_write__says_what_stands_in_the_way(void **state)
{
    const struct jwks_file *file = *state;
    char path[600];
    struct stat status;
    (void)snprintf(path, sizeof(path), "%s/absent/jwks.json", file->dir);
    file_fail(file, path, strerrordesc_np(ENOENT));
    /* A directory in the file's place. */
    assert_int_equal(mkdir(file->path, 0700), 0);
    file_fail(file, file->path, strerrordesc_np(EISDIR));
    assert_int_not_equal(lstat(file->temporary, &status), 0);
    (void)snprintf(path, sizeof(path), "%s/%0300d", file->dir, 0);
    file_fail(file, path, strerrordesc_np(ENAMETOOLONG));
}

#define TEXT_TEST(name) cmocka_unit_test_setup_teardown(name, jwks_setup, jwks_teardown)
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, file_setup, file_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(test_text__has_public_keys_that_count_in_order),
        TEXT_TEST(test_text__changes_at_the_very_second),
        TEXT_TEST(test_text__has_members_of_public_keys_only),
        cmocka_unit_test(test_text__of_nothing_is_an_empty_set),
        TEXT_TEST(test_text__is_whole_or_not_at_all_without_memory),
        FILE_TEST(test_write__replaces_the_file_for_every_reader),
        FILE_TEST(test_write__takes_away_what_was_left_half_made),
        FILE_TEST(test_write__that_cannot_begin_leaves_the_old_one),
        FILE_TEST(test_write__that_cannot_end_leaves_the_old_one),
        FILE_TEST(test_write__says_what_stands_in_the_way),
    };
    return cmocka_run_group_tests_name("jwks", tests, NULL, NULL);
}
