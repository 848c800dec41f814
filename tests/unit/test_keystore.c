/* SPDX-License-Identifier: Apache-2.0
 *
 * The keystore's files: what was stored comes back as it was or is reported, whatever happens to the
 * files; what cannot be read is left alone; and a change of the key-encryption key loses nothing at any
 * step.
 */
#include "keystore_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/files.h"

#define A 0 /* the keystore's key-encryption key */
#define B 1

/* ---- Making one ---- */

static unsigned mode_of(const struct store_fixture *fixture, const char *file)
{
    char path[256];
    struct stat info;
    store_path(fixture, file, path);
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void test_init__makes_what_only_its_owner_can_read(void **state)
{
    struct store_fixture *fixture = *state;
    mode_t before = umask(0);
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_num(store), 0);
    assert_false(sg_keystore_is_rekeying(store));
    assert_string_equal(sg_keystore_source(store), fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    (void)umask(before);
    assert_int_equal(mode_of(fixture, ""), 0700);
    assert_int_equal(mode_of(fixture, "keystore"), 0600);
    assert_int_equal(mode_of(fixture, "lock"), 0600);
    assert_int_equal(mode_of(fixture, "web.1.key"), 0600);
    sg_keystore_close(store);
}

static void test_init__changes_nothing_where_something_is(void **state)
{
    struct store_fixture *fixture = *state;
    const struct sg_keystore_place place = store_place(fixture, fixture->source[B]);
    char path[256];
    size_t len = 0;
    size_t after_len = 0;
    uint8_t *before = store_read(fixture, "keystore", &len);
    assert_int_equal(sg_keystore_init(&place, store_message(fixture)), SIGNET_ALREADY_EXISTS);
    uint8_t *after = store_read(fixture, "keystore", &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(before, after, len);
    free(after);
    /* A key without its header is not to be lost either. */
    store_path(fixture, "keystore", path);
    assert_int_equal(unlink(path), 0);
    store_write(fixture, "web.1.key", before, len);
    assert_int_equal(sg_keystore_init(&place, store_message(fixture)), SIGNET_ALREADY_EXISTS);
    assert_non_null(strstr(fixture->message, "web.1.key"));
    assert_true(store_refuses(fixture, fixture->source[A], "signet keystore init"));
    free(before);
}

static void test_init__goes_on_where_one_that_failed_has_left_off(void **state)
{
    struct store_fixture *fixture = *state;
    const struct sg_keystore_place place = store_place(fixture, fixture->source[B]);
    char path[256];
    store_path(fixture, "keystore", path);
    assert_int_equal(unlink(path), 0); /* the directory and the lock are there */
    store_write(fixture, "keystore.new", (const uint8_t *)"half", 4);
    assert_int_equal(sg_keystore_init(&place, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store_open(fixture, fixture->source[B]));
}

static void test_open__without_a_keystore_says_how_to_make_one(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    store_path(fixture, "", path);
    test_remove_tree(path);
    assert_true(store_refuses(fixture, fixture->source[A], "signet keystore init"));
    assert_int_not_equal(access(path, F_OK), 0);
}

/* ---- Keys ---- */

static void must_equal(const struct sg_key_record *a, const struct sg_key_record *b)
{
    assert_string_equal(a->keyset, b->keyset);
    assert_string_equal(a->kid, b->kid);
    assert_int_equal(a->alg, b->alg);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->max_ttl_s, b->max_ttl_s);
    assert_int_equal(a->created_at, b->created_at);
    assert_int_equal(a->sign_from, b->sign_from);
    assert_int_equal(a->verify_until, b->verify_until);
    assert_int_equal(a->revoked_at, b->revoked_at);
    assert_int_equal(a->public_len, b->public_len);
    assert_memory_equal(a->public_key, b->public_key, a->public_len);
}

static struct sg_keystore_entry entry_of(const struct sg_keystore *store, size_t index)
{
    struct sg_keystore_entry entry;
    assert_true(sg_keystore_entry(store, index, &entry));
    return entry;
}

static void test_add__comes_back_as_it_was(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_key_record record = store_record("web", "one");
    uint8_t secret[48];
    record.alg = SG_ALG_ED448;
    record.flags = SG_KEY_FLAG_IMPORTED | SG_KEY_FLAG_VERIFY_ONLY;
    record.max_ttl_s = UINT32_MAX;
    record.created_at = INT64_MIN;
    record.sign_from = -1;
    record.verify_until = INT64_MAX;
    record.revoked_at = 0x0102030405060708;
    record.public_len = SG_KEYSTORE_MAX_PUBLIC;
    memset(record.public_key, 0xc3, sizeof(record.public_key));
    store_secret("one", secret);
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(
        sg_keystore_add(store, &record, secret, sizeof(secret), store_message(fixture)), SIGNET_OK);
    assert_int_equal(record.seq, 1);
    for (size_t round = 0; round < 2; round++) {
        const struct sg_keystore_entry entry = entry_of(store, 0);
        assert_int_equal(sg_keystore_num(store), 1);
        assert_int_equal(entry.fault, SG_KEYSTORE_FAULT_NONE);
        assert_string_equal(entry.file, "web.1.key");
        must_equal(&entry.record, &record);
        assert_true(store_has(store, "web", "one"));
        sg_keystore_close(store);
        store = store_open(fixture, fixture->source[A]);
    }
    sg_keystore_close(store);
}

static void test_add__numbers_the_keys_of_each_keyset(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(store_add(fixture, store, "web", "a"), 1);
    assert_int_equal(store_add(fixture, store, "web", "b"), 2);
    assert_int_equal(store_add(fixture, store, "web.2", "a"), 1); /* files web.2.1.key, web.2.key */
    assert_int_equal(store_add(fixture, store, "api", "a"), 1);
    for (size_t i = 3; i <= 12; i++) {
        char kid[8];
        (void)snprintf(kid, sizeof(kid), "k%zu", i);
        assert_int_equal(store_add(fixture, store, "web", kid), i);
    }
    for (size_t round = 0; round < 2; round++) {
        assert_int_equal(sg_keystore_num(store), 14);
        assert_string_equal(entry_of(store, 0).file, "api.1.key");
        for (size_t i = 1; i <= 12; i++) {
            const struct sg_keystore_entry entry = entry_of(store, i);
            assert_string_equal(entry.record.keyset, "web");
            assert_int_equal(entry.record.seq, i); /* by number: 10 after 9 */
        }
        assert_string_equal(entry_of(store, 13).file, "web.2.1.key");
        assert_true(store_has(store, "web", "a"));
        assert_true(store_has(store, "web.2", "a"));
        sg_keystore_close(store);
        store = store_open(fixture, fixture->source[A]);
    }
    sg_keystore_close(store);
}

static signet_status try_add(struct store_fixture *fixture, struct sg_keystore *store,
                             const struct sg_key_record *record)
{
    struct sg_key_record copy = *record;
    uint8_t secret[48] = {1};
    return sg_keystore_add(store, &copy, secret, sizeof(secret), store_message(fixture));
}

static void test_add__keeps_a_number_that_is_given(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    struct sg_key_record record = store_record("web", "seven");
    record.seq = 7;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_OK);
    assert_true(store_is_file(fixture, "web.7.key"));
    (void)snprintf(record.kid, sizeof(record.kid), "other");
    assert_int_equal(try_add(fixture, store, &record), SIGNET_ALREADY_EXISTS);
    assert_int_equal(sg_keystore_num(store), 1);
    assert_int_equal(store_add(fixture, store, "web", "next"), 8);
    record.seq = UINT32_MAX;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_OK);
    record.seq = 0;
    (void)snprintf(record.kid, sizeof(record.kid), "after the last");
    assert_int_equal(try_add(fixture, store, &record), SIGNET_RESOURCE_EXHAUSTED);
    assert_false(store_is_file(fixture, "web.0.key"));
    sg_keystore_close(store);
}

static void test_add__refuses_what_is_there_and_never_replaces_it(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    struct sg_key_record record = store_record("web", "one");
    assert_int_equal(try_add(fixture, store, &record), SIGNET_ALREADY_EXISTS);
    /* A file that came from elsewhere meanwhile. */
    store_write(fixture, "web.2.key", (const uint8_t *)"precious", 8);
    (void)snprintf(record.kid, sizeof(record.kid), "two");
    assert_int_equal(try_add(fixture, store, &record), SIGNET_ALREADY_EXISTS);
    assert_false(store_is_file(fixture, "web.2.key.new"));
    size_t len = 0;
    uint8_t *bytes = store_read(fixture, "web.2.key", &len);
    assert_int_equal(len, 8);
    assert_memory_equal(bytes, "precious", 8);
    free(bytes);
    sg_keystore_close(store);
}

static void test_add__refuses_names_that_lead_elsewhere(void **state)
{
    struct store_fixture *fixture = *state;
    static const char *const names[] = {"../web", "..", "a/b", "", "Web", "a b", "web\n", "\x80"};
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct sg_key_record record = store_record(names[i], "kid");
        signet_status status = try_add(fixture, store, &record);
        /* Two dots are a name like any other: the file is "...1.key". */
        assert_int_equal(status, strcmp(names[i], "..") == 0 ? SIGNET_OK : SIGNET_INVALID_ARGUMENT);
    }
    struct sg_key_record record = store_record("web", "");
    assert_int_equal(try_add(fixture, store, &record), SIGNET_INVALID_ARGUMENT);
    record = store_record("web", "kid");
    record.alg = SG_ALG_UNSET;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_INVALID_ARGUMENT);
    record = store_record("web", "kid");
    record.flags = 4;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keystore_num(store), 1);
    sg_keystore_close(store);
}

static void test_update__changes_the_times_and_nothing_else(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    (void)store_add(fixture, store, "api", "one");
    struct sg_key_record change = {.sign_from = 11, .verify_until = 12, .max_ttl_s = 13};
    (void)snprintf(change.keyset, sizeof(change.keyset), "web");
    (void)snprintf(change.kid, sizeof(change.kid), "one");
    struct sg_key_record expected = store_record("web", "one");
    expected.seq = 1;
    expected.sign_from = 11;
    expected.verify_until = 12;
    expected.max_ttl_s = 13;
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)), SIGNET_OK);
    for (size_t round = 0; round < 2; round++) {
        const struct sg_keystore_entry entry = entry_of(store, 1);
        must_equal(&entry.record, &expected);
        assert_int_equal(entry_of(store, 0).record.sign_from, 1700000600); /* api's */
        assert_true(store_has(store, "web", "one"));
        sg_keystore_close(store);
        store = store_open(fixture, fixture->source[A]);
    }
    (void)snprintf(change.kid, sizeof(change.kid), "two");
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)), SIGNET_NOT_FOUND);
    sg_keystore_close(store);
}

static void test_update__never_takes_a_revocation_back(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    struct sg_key_record change = store_record("web", "one");
    change.revoked_at = 1700001000;
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store);
    store = store_open(fixture, fixture->source[A]);
    assert_int_equal(entry_of(store, 0).record.revoked_at, 1700001000);
    change.revoked_at = 0;
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    change.revoked_at = 1700001001;
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_int_equal(entry_of(store, 0).record.revoked_at, 1700001000);
    sg_keystore_close(store);
}

/* An old copy of another key under the same name is good, and still not the key that was read. */
static void test_update__notices_another_key_in_the_place_of_its_own(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    size_t len = 0;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    struct sg_key_record record = store_record("web", "long");
    record.public_len = SG_KEYSTORE_MAX_PUBLIC;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_OK);
    uint8_t *old = store_read(fixture, "web.1.key", &len);
    sg_keystore_close(store);
    store_path(fixture, "web.1.key", path);
    assert_int_equal(unlink(path), 0);
    store = store_open(fixture, fixture->source[A]);
    assert_int_equal(store_add(fixture, store, "web", "short"), 1);
    store_write(fixture, "web.1.key", old, len);
    const struct sg_key_record change = store_record("web", "short");
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "another key"));
    assert_false(store_has(store, "web", "short"));
    sg_keystore_close(store);
    free(old);
}

static void test_files__hold_no_secret_that_can_be_read(void **state)
{
    struct store_fixture *fixture = *state;
    static const char *const files[] = {"web.1.key", "keystore"};
    uint8_t secret[48];
    uint8_t kek[SG_KEYSTORE_KEY_LEN];
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    sg_keystore_close(store);
    store_secret("one", secret);
    memset(kek, 0x11, sizeof(kek));
    for (size_t i = 0; i < 2; i++) {
        size_t len = 0;
        uint8_t *bytes = store_read(fixture, files[i], &len);
        assert_null(memmem(bytes, len, kek, 8));
        for (size_t at = 0; at + 8 <= sizeof(secret); at++) {
            assert_null(memmem(bytes, len, secret + at, 8));
        }
        free(bytes);
    }
}

/* ---- Damage ---- */

/* Opens the store and says whether its only file has a fault, which must be said properly. */
static bool has_fault(struct store_fixture *fixture, uint32_t *fault)
{
    char command[512];
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_num(store), 1);
    const struct sg_keystore_entry entry = entry_of(store, 0);
    *fault = entry.fault;
    assert_string_equal(entry.record.keyset, "web");
    assert_int_equal(entry.record.seq, 1);
    if (entry.fault != SG_KEYSTORE_FAULT_NONE) {
        assert_non_null(strstr(entry.message, "web.1.key"));
        (void)snprintf(command, sizeof(command), "mv %s/keys/web.1.key", fixture->state);
        assert_true(entry.fault == SG_KEYSTORE_FAULT_FUTURE ||
                    strstr(entry.message, command) != NULL);
        assert_false(store_has(store, "web", "one"));
    }
    sg_keystore_close(store);
    return entry.fault != SG_KEYSTORE_FAULT_NONE;
}

static uint8_t *one_key(struct store_fixture *fixture, size_t *len)
{
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    struct sg_key_record record = store_record("web", "one");
    record.public_len = 32;
    assert_int_equal(try_add(fixture, store, &record), SIGNET_OK);
    sg_keystore_close(store);
    return store_read(fixture, "web.1.key", len);
}

static void test_damage__of_any_byte_of_a_key_is_reported(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint32_t fault = 0;
    uint8_t *bytes = one_key(fixture, &len);
    for (size_t i = 0; i < len; i++) {
        static const uint8_t flips[] = {0x01, 0x80};
        for (size_t k = 0; k < sizeof(flips); k++) {
            bytes[i] ^= flips[k];
            store_write(fixture, "web.1.key", bytes, len);
            assert_true(has_fault(fixture, &fault));
            bytes[i] ^= flips[k];
        }
    }
    store_write(fixture, "web.1.key", bytes, len);
    assert_false(has_fault(fixture, &fault));
    free(bytes);
}

static void test_damage__of_any_length_is_reported(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint32_t fault = 0;
    uint8_t *bytes = one_key(fixture, &len);
    for (size_t i = 0; i < len; i++) {
        store_write(fixture, "web.1.key", bytes, i);
        assert_true(has_fault(fixture, &fault));
        assert_int_equal(fault, SG_KEYSTORE_FAULT_DAMAGED);
    }
    uint8_t *longer = calloc(1, 1u << 20);
    assert_non_null(longer);
    memcpy(longer, bytes, len);
    const size_t lengths[] = {len + 1, SG_KEYSTORE_MAX_FILE - 1, SG_KEYSTORE_MAX_FILE,
                              SG_KEYSTORE_MAX_FILE + 1, 1u << 20};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        store_write(fixture, "web.1.key", longer, lengths[i]);
        assert_true(has_fault(fixture, &fault));
    }
    free(longer);
    free(bytes);
}

static void test_damage__of_a_date_is_noticed_and_what_it_says_is_a_hint(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint8_t *bytes = one_key(fixture, &len);
    const uint64_t sign_from = 1700000600;
    uint8_t number[8];
    for (size_t i = 0; i < sizeof(number); i++) {
        number[i] = (uint8_t)(sign_from >> (8 * i));
    }
    uint8_t *date = memmem(bytes, len, number, sizeof(number));
    assert_non_null(date);
    date[0]--;
    store_write(fixture, "web.1.key", bytes, len);
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    const struct sg_keystore_entry entry = entry_of(store, 0);
    assert_int_equal(entry.fault, SG_KEYSTORE_FAULT_DAMAGED);
    assert_true(entry.has_hint);
    assert_int_equal(entry.record.sign_from, sign_from - 1);
    assert_string_equal(entry.record.kid, "one");
    /* No proof, no use. */
    size_t index = 0;
    assert_false(sg_keystore_find(store, "web", "one", &index));
    sg_keystore_close(store);
    free(bytes);
}

static void test_damage__of_the_version_is_a_file_of_the_future(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint32_t fault = 0;
    uint8_t *bytes = one_key(fixture, &len);
    bytes[8] = 2;
    store_write(fixture, "web.1.key", bytes, len);
    assert_true(has_fault(fixture, &fault));
    assert_int_equal(fault, SG_KEYSTORE_FAULT_FUTURE);
    size_t header_len = 0;
    uint8_t *header = store_read(fixture, "keystore", &header_len);
    header[8] = 2;
    store_write(fixture, "keystore", header, header_len);
    assert_true(store_refuses(fixture, fixture->source[A], "later version"));
    free(header);
    free(bytes);
}

static void test_damage__leaves_the_other_keys_and_the_file_alone(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    (void)store_add(fixture, store, "web", "two");
    (void)store_add(fixture, store, "web", "three");
    sg_keystore_close(store);
    uint8_t *bytes = store_read(fixture, "web.3.key", &len);
    bytes[len - 1] ^= 1;
    store_write(fixture, "web.3.key", bytes, len);
    store = store_open(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_num(store), 3);
    assert_true(store_has(store, "web", "one"));
    assert_true(store_has(store, "web", "two"));
    assert_false(store_has(store, "web", "three"));
    /* Its number is not given to another, not even that of its kid. */
    assert_int_equal(store_add(fixture, store, "web", "three"), 4);
    sg_keystore_close(store);
    size_t after_len = 0;
    uint8_t *after = store_read(fixture, "web.3.key", &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(bytes, after, len);
    free(after);
    free(bytes);
}

static void test_damage__is_a_file_under_another_name(void **state)
{
    struct store_fixture *fixture = *state;
    size_t one_len = 0;
    size_t two_len = 0;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    (void)store_add(fixture, store, "web", "two");
    sg_keystore_close(store);
    uint8_t *one = store_read(fixture, "web.1.key", &one_len);
    uint8_t *two = store_read(fixture, "web.2.key", &two_len);
    store_write(fixture, "web.1.key", two, two_len);
    store_write(fixture, "web.2.key", one, one_len);
    store_write(fixture, "web.3.key", one, one_len);
    store_write(fixture, "api.1.key", one, one_len);
    store = store_open(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_num(store), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(entry_of(store, i).fault, SG_KEYSTORE_FAULT_DAMAGED);
        assert_false(entry_of(store, i).has_hint);
    }
    sg_keystore_close(store);
    free(one);
    free(two);
}

static void test_damage__is_a_file_of_another_keystore(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint32_t fault = 0;
    char path[256];
    uint8_t *bytes = one_key(fixture, &len);
    store_path(fixture, "", path);
    test_remove_tree(path);
    const struct sg_keystore_place place = store_place(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_init(&place, store_message(fixture)), SIGNET_OK);
    store_write(fixture, "web.1.key", bytes, len);
    assert_true(has_fault(fixture, &fault));
    assert_int_equal(fault, SG_KEYSTORE_FAULT_DAMAGED);
    free(bytes);
}

static void test_damage__of_any_byte_of_the_header_stops_the_start(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    struct sg_kek_material material = {0};
    assert_int_equal(sg_kek_read(fixture->source[B], -1, &material, store_message(fixture)),
                     SIGNET_OK);
    for (size_t round = 0; round < 2; round++) {
        sg_keystore_close(store);
        uint8_t *bytes = store_read(fixture, "keystore", &len);
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= 1;
            store_write(fixture, "keystore", bytes, len);
            assert_int_equal(store_try_open(fixture, fixture->source[A], &store),
                             SIGNET_FAILED_PRECONDITION);
            assert_non_null(strstr(fixture->message, fixture->state));
            bytes[i] ^= 1;
            store_write(fixture, "keystore", bytes, i);
            assert_int_equal(store_try_open(fixture, fixture->source[A], &store),
                             SIGNET_FAILED_PRECONDITION);
        }
        store_write(fixture, "keystore", bytes, len);
        free(bytes);
        store = store_open(fixture, fixture->source[A]);
        assert_true(store_has(store, "web", "one"));
        /* Once more with two key-encryption keys: also in what belongs to the other one. */
        if (round == 0) {
            assert_int_equal(sg_keystore_rekey_begin(store, &material, fixture->source[B],
                                                     store_message(fixture)),
                             SIGNET_OK);
        }
    }
    sg_kek_material_fini(&material);
    sg_keystore_close(store);
}

static void test_open__with_another_key_names_both(void **state)
{
    struct store_fixture *fixture = *state;
    assert_true(store_refuses(fixture, fixture->source[B], fixture->source[A]));
    assert_non_null(strstr(fixture->message, fixture->source[B]));
    struct sg_keystore *store = NULL;
    assert_int_equal(store_try_open(fixture, "kek", &store), SIGNET_INVALID_ARGUMENT);
}

/* ---- Owners, modes and kinds ---- */

static void test_open__refuses_loose_modes_and_says_what_mends_them(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    free(one_key(fixture, &len));
    const struct {
        const char *name; /* below the case's directory */
        mode_t loose, usual;
    } cases[] = {
        {"state", 0770, 0700},
        {"state", 0777, 0700},
        {"state/keys", 0750, 0700},
        {"state/keys", 0701, 0700},
        {"state/keys/keystore", 0640, 0600},
        {"state/keys/web.1.key", 0604, 0600},
        {"state/keys/web.1.key", 0620, 0600},
        {"kek0", 0640, 0600},
        {"kek0", 0606, 0600},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[256];
        char command[300];
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, cases[i].name);
        (void)snprintf(command, sizeof(command), "chmod 0%o %s", (unsigned)cases[i].usual, path);
        assert_int_equal(chmod(path, cases[i].loose), 0);
        assert_true(store_refuses(fixture, fixture->source[A], command));
        assert_int_equal(chmod(path, cases[i].usual), 0);
        sg_keystore_close(store_open(fixture, fixture->source[A]));
    }
    /* Less than usual is not loose. */
    assert_int_equal(chmod(fixture->kek[A], 0400), 0);
    assert_int_equal(chmod(fixture->state, 0755), 0);
    sg_keystore_close(store_open(fixture, fixture->source[A]));
}

static void test_open__refuses_other_owners_and_says_what_mends_them(void **state)
{
    struct store_fixture *fixture = *state;
    static const struct {
        const char *name, *command;
    } cases[] = {
        {"state", "chown"},
        {"state/keys", "chown -R"},
        {"state/keys/keystore", "chown"},
        {"state/keys/web.1.key", "chown"},
        {"kek0", "chown"},
    };
    size_t len = 0;
    free(one_key(fixture, &len));
    if (geteuid() != 0) {
        print_message("only root can give files away\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[256];
        char command[300];
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, cases[i].name);
        (void)snprintf(command, sizeof(command), "%s 0 %s", cases[i].command, path);
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_true(store_refuses(fixture, fixture->source[A], command));
        assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    }
    sg_keystore_close(store_open(fixture, fixture->source[A]));
}

/* What a copy made by root leaves behind: the daemon's user cannot even open it. */
static void test_open__of_a_file_that_cannot_be_opened_names_its_owner(void **state)
{
    struct store_fixture *fixture = *state;
    static const struct {
        const char *name, *command;
    } cases[] = {
        {"state/keys/web.1.key", "chown"},
        {"state/keys/keystore", "chown"},
        {"state/keys/lock", "chown"},
        {"state/keys", "chown -R"},
        {"kek0", "chown"},
    };
    size_t len = 0;
    free(one_key(fixture, &len));
    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    const char *const own[] = {"chown", "-R", "12345", fixture->dir, NULL};
    struct test_output output;
    test_run(own, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[256];
        char command[300];
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, cases[i].name);
        (void)snprintf(command, sizeof(command), "%s 12345 %s", cases[i].command, path);
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(seteuid(12345), 0);
        bool refused = store_refuses(fixture, fixture->source[A], command);
        assert_int_equal(seteuid(0), 0);
        assert_true(refused);
        assert_int_equal(chown(path, 12345, 0), 0);
    }
    assert_int_equal(seteuid(12345), 0);
    struct sg_keystore *store = NULL;
    signet_status status = store_try_open(fixture, fixture->source[A], &store);
    sg_keystore_close(store);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, SIGNET_OK);
}

/* ---- A user of its own ---- */

#define FRONT_UID 12345
#define KEYS_UID  23456

/* As the keyholder's user; whether opening works, or else the text is in the message. */
static bool opens_as_keyholder(struct store_fixture *fixture, const char *text)
{
    struct sg_keystore *store = NULL;
    assert_int_equal(seteuid(KEYS_UID), 0);
    bool is_right = text != NULL ? store_refuses(fixture, fixture->source[A], text)
                                 : store_try_open(fixture, fixture->source[A], &store) == SIGNET_OK;
    sg_keystore_close(store);
    assert_int_equal(seteuid(0), 0);
    return is_right;
}

static void give(const char *what, const char *user)
{
    const char *const argv[] = {"chown", "-R", user, what, NULL};
    struct test_output output;
    test_run(argv, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
}

/* DIR is the daemon's, DIR/keys and the key-encryption key are the keyholder's. Each message mends one
 * thing, until it opens. */
static void test_own_user__has_the_keys_in_the_directory_of_the_daemon(void **state)
{
    struct store_fixture *fixture = *state;
    char text[300];
    size_t len = 0;
    free(one_key(fixture, &len));
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can be two other users\n");
        skip();
    }
    fixture->front_uid = FRONT_UID;
    give(fixture->dir, "12345");
    (void)snprintf(text, sizeof(text), "chmod 0711 %s", fixture->dir);
    assert_true(opens_as_keyholder(fixture, text));
    assert_int_equal(chmod(fixture->dir, 0711), 0);
    (void)snprintf(text, sizeof(text), "chmod 0711 %s", fixture->state);
    assert_true(opens_as_keyholder(fixture, text));
    assert_int_equal(chmod(fixture->state, 0711), 0);
    (void)snprintf(text, sizeof(text), "chown -R 23456 %s/keys", fixture->state);
    assert_true(opens_as_keyholder(fixture, text));
    give(text + strlen("chown -R 23456 "), "23456");
    (void)snprintf(text, sizeof(text), "chown 23456 %s", fixture->kek[A]);
    assert_true(opens_as_keyholder(fixture, text));
    give(fixture->kek[A], "23456");
    assert_true(opens_as_keyholder(fixture, NULL));
    assert_int_equal(chmod(fixture->state, 0755), 0);
    assert_true(opens_as_keyholder(fixture, NULL));
    /* A key-encryption key behind a closed door. */
    (void)snprintf(text, sizeof(text), "%s/etc", fixture->dir);
    assert_int_equal(mkdir(text, 0700), 0);
    (void)snprintf(fixture->source[A], sizeof(fixture->source[A]), "file:%s/etc/kek", fixture->dir);
    assert_int_equal(rename(fixture->kek[A], sg_kek_path(fixture->source[A])), 0);
    (void)snprintf(text, sizeof(text), "chmod 0711 %s/etc", fixture->dir);
    assert_true(opens_as_keyholder(fixture, text));
    assert_int_equal(chmod(text + strlen("chmod 0711 "), 0711), 0);
    assert_true(opens_as_keyholder(fixture, NULL));
}

static void test_own_user__takes_the_directory_of_nobody_else(void **state)
{
    struct store_fixture *fixture = *state;
    char text[300];
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can be two other users\n");
        skip();
    }
    give(fixture->dir, "23456");
    assert_int_equal(chmod(fixture->state, 0711), 0);
    assert_int_equal(chown(fixture->state, FRONT_UID, 0), 0);
    fixture->front_uid = FRONT_UID;
    assert_true(opens_as_keyholder(fixture, NULL));
    fixture->front_uid = 34567;
    (void)snprintf(text, sizeof(text), "chown 34567 %s", fixture->state);
    assert_true(opens_as_keyholder(fixture, text));
    (void)snprintf(text, sizeof(text), "chown 23456 %s", fixture->state);
    fixture->front_uid = UINT32_MAX;
    assert_true(opens_as_keyholder(fixture, text));
    fixture->front_uid = 0;
    assert_true(opens_as_keyholder(fixture, text));
    /* The daemon may own it, and still let nobody else write there. */
    fixture->front_uid = FRONT_UID;
    assert_int_equal(chmod(fixture->state, 0731), 0);
    (void)snprintf(text, sizeof(text), "chmod 0711 %s", fixture->state);
    assert_true(opens_as_keyholder(fixture, text));
    assert_int_equal(chmod(fixture->state, 0711), 0);
    /* The keys themselves are not the daemon's. */
    (void)snprintf(text, sizeof(text), "%s/keys", fixture->state);
    assert_int_equal(chown(text, FRONT_UID, 0), 0);
    assert_true(opens_as_keyholder(fixture, "chown -R 23456"));
    assert_int_equal(chown(text, KEYS_UID, 0), 0);
    assert_int_equal(chown(fixture->kek[A], FRONT_UID, 0), 0);
    assert_true(opens_as_keyholder(fixture, "chown 23456"));
}

static void test_own_user__is_told_how_to_make_a_keystore(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    char text[400];
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can be two other users\n");
        skip();
    }
    store_path(fixture, "", path);
    test_remove_tree(path);
    assert_int_equal(chmod(fixture->dir, 0711), 0);
    assert_int_equal(chmod(fixture->state, 0711), 0);
    assert_int_equal(chown(fixture->state, FRONT_UID, 0), 0);
    fixture->front_uid = FRONT_UID;
    (void)snprintf(text, sizeof(text),
                   "signet keystore init --state-dir %s --key %s --owner 23456 --daemon-user 12345",
                   fixture->state, fixture->source[A]);
    assert_true(opens_as_keyholder(fixture, text));
}

/* ---- Links and other kinds ---- */

static void replace_by_link(const struct store_fixture *fixture, const char *name)
{
    char path[256];
    char target[300];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    (void)snprintf(target, sizeof(target), "%s.target", path);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
}

static void test_open__follows_no_link(void **state)
{
    struct store_fixture *fixture = *state;
    size_t len = 0;
    uint32_t fault = 0;
    free(one_key(fixture, &len));
    replace_by_link(fixture, "state/keys/web.1.key");
    assert_true(has_fault(fixture, &fault));
    assert_int_equal(fault, SG_KEYSTORE_FAULT_DAMAGED);
    replace_by_link(fixture, "kek0");
    assert_true(store_refuses(fixture, fixture->source[A], "regular file"));
    replace_by_link(fixture, "state/keys/keystore");
    assert_true(store_refuses(fixture, fixture->source[A], "regular file"));
    replace_by_link(fixture, "state/keys");
    assert_true(store_refuses(fixture, fixture->source[A], "not a directory"));
}

static void test_open__waits_for_no_fifo(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    uint32_t fault = 0;
    store_path(fixture, "web.1.key", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(has_fault(fixture, &fault));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(has_fault(fixture, &fault));
    assert_int_equal(unlink(fixture->kek[A]), 0);
    assert_int_equal(mkfifo(fixture->kek[A], 0600), 0);
    assert_true(store_refuses(fixture, fixture->source[A], "regular file"));
}

static void test_open__is_for_one_at_a_time(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    struct sg_keystore *reader = NULL;
    assert_true(store_refuses(fixture, fixture->source[A], "another process"));
    /* Who only reads may look on. */
    (void)store_add(fixture, store, "web", "one");
    const struct sg_keystore_place place = store_place(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_open(&place, true, &reader, store_message(fixture)), SIGNET_OK);
    assert_true(store_has(reader, "web", "one"));
    sg_keystore_close(reader);
    sg_keystore_close(store);
    sg_keystore_close(store_open(fixture, fixture->source[A]));
}

static void test_open__removes_its_own_leftovers_and_nothing_else(void **state)
{
    struct store_fixture *fixture = *state;
    static const char *const leftovers[] = {"web.1.key.new", "keystore.new"};
    static const char *const others[] = {"notes.new",     "web.1.key.bak", "web.01.key",
                                         "Web.1.key",     "web.key",       ".key",
                                         "web.1.key.NEW", "1.key.new",     "web.4294967296.key"};
    const size_t num_leftovers = sizeof(leftovers) / sizeof(leftovers[0]);
    const size_t num_others = sizeof(others) / sizeof(others[0]);
    for (size_t i = 0; i < num_leftovers; i++) {
        store_write(fixture, leftovers[i], (const uint8_t *)"x", 1);
    }
    for (size_t i = 0; i < num_others; i++) {
        store_write(fixture, others[i], (const uint8_t *)"x", 1);
    }
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(sg_keystore_num(store), 0);
    for (size_t i = 0; i < num_leftovers; i++) {
        assert_false(store_is_file(fixture, leftovers[i]));
    }
    for (size_t i = 0; i < num_others; i++) {
        assert_true(store_is_file(fixture, others[i]));
    }
    /* Nor does one that appears later stop a write. */
    store_write(fixture, "web.1.key.new", (const uint8_t *)"x", 1);
    assert_int_equal(store_add(fixture, store, "web", "one"), 1);
    assert_false(store_is_file(fixture, "web.1.key.new"));
    sg_keystore_close(store);
}

/* Adds keys until it is killed, and says so of each. */
static void add_for_ever(struct store_fixture *fixture, int progress)
{
    struct sg_keystore *store = NULL;
    if (store_try_open(fixture, fixture->source[A], &store) != SIGNET_OK) {
        _exit(1);
    }
    for (uint8_t i = 0;; i++) {
        char kid[8];
        (void)snprintf(kid, sizeof(kid), "k%u", i);
        (void)store_add(fixture, store, "web", kid);
        if (i == UINT8_MAX || write(progress, &i, 1) != 1) {
            _exit(2);
        }
    }
}

/* The lock goes with the process, and so does what it had half written. */
static void test_open__works_at_once_after_its_owner_was_killed(void **state)
{
    struct store_fixture *fixture = *state;
    int progress[2];
    int ended = 0;
    uint8_t last = 0;
    assert_int_equal(pipe2(progress, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(progress[0]);
        add_for_ever(fixture, progress[1]);
    }
    (void)close(progress[1]);
    do {
        assert_int_equal(read(progress[0], &last, 1), 1);
    } while (last < 20);
    assert_int_equal(kill(child, SIGKILL), 0);
    store_write(fixture, "web.250.key.new", (const uint8_t *)"half", 4);
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
    while (read(progress[0], &last, 1) == 1) {
    }
    (void)close(progress[0]);
    for (unsigned i = 0; i <= last; i++) {
        char kid[8];
        (void)snprintf(kid, sizeof(kid), "k%u", i);
        assert_true(store_has(store, "web", kid));
    }
    assert_false(store_is_file(fixture, "web.250.key.new"));
    (void)store_add(fixture, store, "web", "next");
    sg_keystore_close(store);
}

/* ---- A full disk ---- */

static size_t count_files(const struct store_fixture *fixture)
{
    char path[256];
    size_t num = 0;
    store_path(fixture, "", path);
    DIR *list = opendir(path);
    assert_non_null(list);
    while (readdir(list) != NULL) {
        num++;
    }
    (void)closedir(list);
    return num;
}

/* Whether the file holds these bytes. */
static bool still_holds(const struct store_fixture *fixture, const char *file, const uint8_t *bytes,
                        size_t len)
{
    size_t now_len = 0;
    uint8_t *now = store_read(fixture, file, &now_len);
    bool is_equal = now_len == len && memcmp(now, bytes, len) == 0;
    free(now);
    return is_equal;
}

/* Every change fails, says so, and changes nothing. */
static void must_fail_whole(struct store_fixture *fixture, struct sg_keystore *store)
{
    struct sg_kek_material material = {0};
    size_t key_len = 0;
    size_t header_len = 0;
    size_t num = count_files(fixture);
    uint8_t *key = store_read(fixture, "web.1.key", &key_len);
    uint8_t *header = store_read(fixture, "keystore", &header_len);
    const struct sg_key_record two = store_record("web", "two");
    assert_int_equal(try_add(fixture, store, &two), SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(fixture->message, "web.2.key"));
    struct sg_key_record change = store_record("web", "one");
    change.revoked_at = 5;
    assert_int_equal(sg_keystore_update(store, &change, store_message(fixture)),
                     SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(fixture->message, "web.1.key"));
    assert_int_equal(entry_of(store, 0).record.revoked_at, 0);
    assert_int_equal(sg_kek_read(fixture->source[B], -1, &material, store_message(fixture)),
                     SIGNET_OK);
    assert_int_equal(
        sg_keystore_rekey_begin(store, &material, fixture->source[B], store_message(fixture)),
        SIGNET_RESOURCE_EXHAUSTED);
    sg_kek_material_fini(&material);
    assert_false(sg_keystore_is_rekeying(store));
    assert_true(still_holds(fixture, "web.1.key", key, key_len));
    assert_true(still_holds(fixture, "keystore", header, header_len));
    assert_int_equal(count_files(fixture), num);
    free(key);
    free(header);
}

static void test_write__beyond_a_limit_changes_nothing(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    (void)store_add(fixture, store, "web", "one");
    struct rlimit usual;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    limit = usual;
    limit.rlim_cur = 100;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    must_fail_whole(fixture, store);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    (void)signal(SIGXFSZ, before);
    assert_int_equal(store_add(fixture, store, "web", "two"), 2);
    sg_keystore_close(store);
    store = store_open(fixture, fixture->source[A]);
    assert_true(store_has(store, "web", "one"));
    assert_true(store_has(store, "web", "two"));
    sg_keystore_close(store);
}

/* In a mount namespace of its own, so that nothing stays mounted whatever happens. 0: as it should be. */
static int full_disk_child(struct store_fixture *fixture)
{
    char path[256];
    char filler[256];
    struct sg_keystore *store = NULL;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return 77;
    }
    store_path(fixture, "", path);
    test_remove_tree(path);
    if (mount("signet", fixture->state, "tmpfs", 0, "size=64k,mode=0700") != 0) {
        return 77;
    }
    const struct sg_keystore_place place = store_place(fixture, fixture->source[A]);
    if (sg_keystore_init(&place, store_message(fixture)) != SIGNET_OK ||
        store_try_open(fixture, fixture->source[A], &store) != SIGNET_OK) {
        return 1;
    }
    (void)store_add(fixture, store, "web", "one");
    (void)snprintf(filler, sizeof(filler), "%s/filler", fixture->state);
    FILE *file = fopen(filler, "we");
    while (file != NULL && fputc('x', file) != EOF && fflush(file) == 0) {
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    must_fail_whole(fixture, store);
    sg_keystore_close(store);
    /* It opens, full as it is, and recovers when there is room. */
    if (store_try_open(fixture, fixture->source[A], &store) != SIGNET_OK ||
        !store_has(store, "web", "one") || unlink(filler) != 0) {
        return 2;
    }
    int result = store_add(fixture, store, "web", "two") == 2 ? 0 : 3;
    sg_keystore_close(store);
    return result;
}

static void test_write__to_a_full_disk_changes_nothing(void **state)
{
    struct store_fixture *fixture = *state;
    int ended = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(full_disk_child(fixture));
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    if (WEXITSTATUS(ended) == 77) {
        print_message("a small disk cannot be mounted here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(ended), 0);
}

/* ---- Another key-encryption key ---- */

static const char *const rekey_kids[] = {"one", "two", "three"};
#define REKEY_KIDS (sizeof(rekey_kids) / sizeof(rekey_kids[0]))

static struct sg_keystore *rekey_setup(struct store_fixture *fixture)
{
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    for (size_t i = 0; i < REKEY_KIDS; i++) {
        (void)store_add(fixture, store, "web", rekey_kids[i]);
    }
    return store;
}

static signet_status rekey_begin(struct store_fixture *fixture, struct sg_keystore *store,
                                 const char *from, const char *source)
{
    struct sg_kek_material material = {0};
    assert_int_equal(sg_kek_read(from, -1, &material, store_message(fixture)), SIGNET_OK);
    signet_status status =
        sg_keystore_rekey_begin(store, &material, source, store_message(fixture));
    sg_kek_material_fini(&material);
    return status;
}

/* Opens a copy of the directory as it is now, which is what a crash would leave, and looks for every key. */
static bool copy_opens(struct store_fixture *fixture, const char *source)
{
    struct store_fixture copy = *fixture;
    struct sg_keystore *store = NULL;
    struct test_output output;
    (void)snprintf(copy.state, sizeof(copy.state), "%s/copy", fixture->dir);
    const char *const argv[] = {"cp", "-a", fixture->state, copy.state, NULL};
    test_run(argv, NULL, 10000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
    bool opens = store_try_open(&copy, source, &store) == SIGNET_OK;
    for (size_t i = 0; opens && i < REKEY_KIDS; i++) {
        assert_true(store_has(store, "web", rekey_kids[i]));
    }
    assert_true(!opens || sg_keystore_num(store) == REKEY_KIDS);
    sg_keystore_close(store);
    test_remove_tree(copy.state);
    return opens;
}

static void put_b_in_the_place_of_a(const struct store_fixture *fixture)
{
    assert_int_equal(rename(fixture->kek[B], fixture->kek[A]), 0);
}

static void test_rekey__opens_with_both_at_every_step(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = rekey_setup(fixture);
    bool more = true;
    size_t num_steps = 0;
    assert_true(copy_opens(fixture, fixture->source[A]));
    assert_false(copy_opens(fixture, fixture->source[B]));
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[A]),
                     SIGNET_OK);
    assert_true(sg_keystore_is_rekeying(store));
    while (more) {
        assert_true(copy_opens(fixture, fixture->source[A]));
        assert_true(copy_opens(fixture, fixture->source[B]));
        assert_int_equal(sg_keystore_reseal(store, &more, store_message(fixture)), SIGNET_OK);
        num_steps++;
    }
    assert_int_equal(num_steps, REKEY_KIDS + 1);
    put_b_in_the_place_of_a(fixture);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
    assert_false(sg_keystore_is_rekeying(store));
    for (size_t i = 0; i < REKEY_KIDS; i++) {
        assert_true(store_has(store, "web", rekey_kids[i]));
    }
    assert_int_equal(store_add(fixture, store, "api", "after"), 1);
    sg_keystore_close(store);
    store = store_open(fixture, fixture->source[A]); /* with B's bytes */
    assert_true(store_has(store, "api", "after"));
    assert_true(store_has(store, "web", "one"));
    sg_keystore_close(store);
}

static void test_rekey__ends_what_the_old_key_could_do(void **state)
{
    struct store_fixture *fixture = *state;
    uint8_t old[SG_KEYSTORE_KEY_LEN];
    size_t header_len = 0;
    struct sg_keystore *store = rekey_setup(fixture);
    uint8_t *old_header = store_read(fixture, "keystore", &header_len);
    bool more = true;
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[A]),
                     SIGNET_OK);
    while (more) {
        assert_int_equal(sg_keystore_reseal(store, &more, store_message(fixture)), SIGNET_OK);
    }
    put_b_in_the_place_of_a(fixture);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store);
    memset(old, 0x11, sizeof(old));
    test_write_file(fixture->kek[B], old, sizeof(old));
    assert_int_equal(chmod(fixture->kek[B], 0600), 0);
    assert_true(store_refuses(fixture, fixture->source[B], "does not open"));
    /* Not even with the header of before: the files are under another file key. */
    store_write(fixture, "keystore", old_header, header_len);
    store = store_open(fixture, fixture->source[B]);
    for (size_t i = 0; i < REKEY_KIDS; i++) {
        assert_int_equal(entry_of(store, i).fault, SG_KEYSTORE_FAULT_DAMAGED);
    }
    sg_keystore_close(store);
    free(old_header);
}

static void test_rekey__goes_on_after_a_crash_with_either_key(void **state)
{
    struct store_fixture *fixture = *state;
    for (size_t with = A; with <= B; with++) {
        struct sg_keystore *store =
            with == A ? rekey_setup(fixture) : store_open(fixture, fixture->source[A]);
        bool more = false;
        if (with == A) {
            assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[B]),
                             SIGNET_OK);
            assert_int_equal(sg_keystore_reseal(store, &more, store_message(fixture)), SIGNET_OK);
        }
        sg_keystore_close(store);
        store = store_open(fixture, fixture->source[with]);
        assert_true(sg_keystore_is_rekeying(store));
        if (with == A) {
            /* Both new keys that were made in between are as good as the files need. */
            (void)store_add(fixture, store, "api", "between");
            assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                             SIGNET_FAILED_PRECONDITION);
            assert_non_null(strstr(fixture->message, fixture->source[B]));
            sg_keystore_close(store);
            continue;
        }
        /* The new one is in use: it cannot be replaced, but the change can be ended. */
        assert_int_equal(rekey_begin(fixture, store, fixture->source[A], fixture->source[A]),
                         SIGNET_FAILED_PRECONDITION);
        assert_non_null(strstr(fixture->message, "--finish"));
        assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
        sg_keystore_close(store);
    }
    assert_true(store_refuses(fixture, fixture->source[A], "does not open"));
    struct sg_keystore *store = store_open(fixture, fixture->source[B]);
    assert_true(store_has(store, "api", "between"));
    for (size_t i = 0; i < REKEY_KIDS; i++) {
        assert_true(store_has(store, "web", rekey_kids[i]));
    }
    sg_keystore_close(store);
}

static void test_rekey__begun_again_replaces_the_new_key(void **state)
{
    struct store_fixture *fixture = *state;
    uint8_t bytes[SG_KEYSTORE_KEY_LEN];
    char path[128];
    char third[160];
    bool more = false;
    (void)snprintf(path, sizeof(path), "%s/kek2", fixture->dir);
    (void)snprintf(third, sizeof(third), "file:%s", path);
    memset(bytes, 0x33, sizeof(bytes));
    test_write_file(path, bytes, sizeof(bytes));
    assert_int_equal(chmod(path, 0600), 0);
    struct sg_keystore *store = rekey_setup(fixture);
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[B]),
                     SIGNET_OK);
    assert_int_equal(sg_keystore_reseal(store, &more, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store); /* crash */
    store = store_open(fixture, fixture->source[A]);
    /* Not from another place: the configuration may name the new one already. */
    assert_int_equal(rekey_begin(fixture, store, third, third), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "--finish"));
    assert_non_null(strstr(fixture->message, fixture->source[B]));
    assert_true(copy_opens(fixture, fixture->source[A]));
    assert_true(copy_opens(fixture, fixture->source[B]));
    /* From the same place, whatever lies there now. */
    assert_int_equal(rekey_begin(fixture, store, third, fixture->source[B]), SIGNET_OK);
    assert_true(copy_opens(fixture, fixture->source[A]));
    assert_true(copy_opens(fixture, third));
    assert_false(copy_opens(fixture, fixture->source[B]));
    sg_keystore_close(store);
    test_write_file(fixture->kek[B], bytes, sizeof(bytes));
    store = store_open(fixture, fixture->source[B]);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store);
    assert_true(copy_opens(fixture, third));
    assert_false(copy_opens(fixture, fixture->source[A]));
}

static void test_rekey_finish__locks_nobody_out(void **state)
{
    struct store_fixture *fixture = *state;
    struct sg_keystore *store = rekey_setup(fixture);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[A]),
                     SIGNET_OK);
    /* The file still holds the old key. */
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, fixture->source[A]));
    /* Nor is it there at all. */
    assert_int_equal(unlink(fixture->kek[A]), 0);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_true(sg_keystore_is_rekeying(store));
    assert_true(copy_opens(fixture, fixture->source[B]));
    put_b_in_the_place_of_a(fixture);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
    sg_keystore_close(store);
    assert_true(copy_opens(fixture, fixture->source[A]));
}

static void test_rekey__leaves_no_damaged_file_behind(void **state)
{
    struct store_fixture *fixture = *state;
    char path[256];
    char away[256];
    char command[600];
    size_t len = 0;
    sg_keystore_close(rekey_setup(fixture));
    uint8_t *bytes = store_read(fixture, "web.2.key", &len);
    bytes[len - 1] ^= 1;
    store_write(fixture, "web.2.key", bytes, len);
    bytes[len - 1] ^= 1;
    struct sg_keystore *store = store_open(fixture, fixture->source[A]);
    store_path(fixture, "web.2.key", path);
    (void)snprintf(command, sizeof(command), "mv %s %s/keys/..", path, fixture->state);
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[A]),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, command));
    assert_false(sg_keystore_is_rekeying(store));
    /* What the message says works, without another start. */
    (void)snprintf(away, sizeof(away), "%s/web.2.key", fixture->state);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(rekey_begin(fixture, store, fixture->source[B], fixture->source[A]),
                     SIGNET_OK);
    put_b_in_the_place_of_a(fixture);
    /* Brought back while the process runs, it is not known, and would be lost with the old file key. */
    store_write(fixture, "web.2.key", bytes, len);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    store_write(fixture, "new.1.key", bytes, len);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)),
                     SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->message, "new.1.key"));
    assert_true(sg_keystore_is_rekeying(store));
    store_path(fixture, "new.1.key", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sg_keystore_rekey_finish(store, store_message(fixture)), SIGNET_OK);
    assert_true(store_has(store, "web", "one"));
    assert_true(store_has(store, "web", "three"));
    sg_keystore_close(store);
    free(bytes);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_init__makes_what_only_its_owner_can_read),
        STORE_TEST(test_init__changes_nothing_where_something_is),
        STORE_TEST(test_init__goes_on_where_one_that_failed_has_left_off),
        STORE_TEST(test_open__without_a_keystore_says_how_to_make_one),
        STORE_TEST(test_add__comes_back_as_it_was),
        STORE_TEST(test_add__numbers_the_keys_of_each_keyset),
        STORE_TEST(test_add__keeps_a_number_that_is_given),
        STORE_TEST(test_add__refuses_what_is_there_and_never_replaces_it),
        STORE_TEST(test_add__refuses_names_that_lead_elsewhere),
        STORE_TEST(test_update__changes_the_times_and_nothing_else),
        STORE_TEST(test_update__never_takes_a_revocation_back),
        STORE_TEST(test_update__notices_another_key_in_the_place_of_its_own),
        STORE_TEST(test_files__hold_no_secret_that_can_be_read),
        STORE_TEST(test_damage__of_any_byte_of_a_key_is_reported),
        STORE_TEST(test_damage__of_any_length_is_reported),
        STORE_TEST(test_damage__of_a_date_is_noticed_and_what_it_says_is_a_hint),
        STORE_TEST(test_damage__of_the_version_is_a_file_of_the_future),
        STORE_TEST(test_damage__leaves_the_other_keys_and_the_file_alone),
        STORE_TEST(test_damage__is_a_file_under_another_name),
        STORE_TEST(test_damage__is_a_file_of_another_keystore),
        STORE_TEST(test_damage__of_any_byte_of_the_header_stops_the_start),
        STORE_TEST(test_open__with_another_key_names_both),
        STORE_TEST(test_open__refuses_loose_modes_and_says_what_mends_them),
        STORE_TEST(test_open__refuses_other_owners_and_says_what_mends_them),
        STORE_TEST(test_open__of_a_file_that_cannot_be_opened_names_its_owner),
        STORE_TEST(test_own_user__has_the_keys_in_the_directory_of_the_daemon),
        STORE_TEST(test_own_user__takes_the_directory_of_nobody_else),
        STORE_TEST(test_own_user__is_told_how_to_make_a_keystore),
        STORE_TEST(test_open__follows_no_link),
        STORE_TEST(test_open__waits_for_no_fifo),
        STORE_TEST(test_open__is_for_one_at_a_time),
        STORE_TEST(test_open__removes_its_own_leftovers_and_nothing_else),
        STORE_TEST(test_open__works_at_once_after_its_owner_was_killed),
        STORE_TEST(test_write__beyond_a_limit_changes_nothing),
        STORE_TEST(test_write__to_a_full_disk_changes_nothing),
        STORE_TEST(test_rekey__opens_with_both_at_every_step),
        STORE_TEST(test_rekey__ends_what_the_old_key_could_do),
        STORE_TEST(test_rekey__goes_on_after_a_crash_with_either_key),
        STORE_TEST(test_rekey__begun_again_replaces_the_new_key),
        STORE_TEST(test_rekey_finish__locks_nobody_out),
        STORE_TEST(test_rekey__leaves_no_damaged_file_behind),
    };
    return cmocka_run_group_tests_name("keystore", tests, NULL, NULL);
}
