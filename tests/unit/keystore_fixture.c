/* SPDX-License-Identifier: Apache-2.0
 *
 * Real files, in a directory that goes with the case.
 */
#include "keystore_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/keyholder/secret.h"
#include "server/keyholder/secret_pool.h"
#include "tests/support/files.h"

struct sg_kek_message store_message(struct store_fixture *fixture)
{
    return (struct sg_kek_message){.text = fixture->message};
}

struct sg_keystore_place store_place(const struct store_fixture *fixture, const char *source)
{
    return (struct sg_keystore_place){.dir = fixture->state,
                                      .source = source,
                                      .passphrase_fd = -1,
                                      .front_uid = fixture->front_uid};
}

int store_setup(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    (void)snprintf(fixture->state, sizeof(fixture->state), "%s/state", fixture->dir);
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    for (size_t i = 0; i < 2; i++) {
        uint8_t bytes[SG_KEYSTORE_KEY_LEN];
        memset(bytes, 0x11 + (int)i, sizeof(bytes));
        (void)snprintf(fixture->kek[i], sizeof(fixture->kek[i]), "%s/kek%zu", fixture->dir, i);
        (void)snprintf(fixture->source[i], sizeof(fixture->source[i]), "file:%s", fixture->kek[i]);
        test_write_file(fixture->kek[i], bytes, sizeof(bytes));
        assert_int_equal(chmod(fixture->kek[i], 0600), 0);
    }
    const struct sg_keystore_place place = store_place(fixture, fixture->source[0]);
    if (sg_keystore_init(&place, store_message(fixture)) != SIGNET_OK) {
        fail_msg("%s", fixture->message);
    }
    *state = fixture;
    return 0;
}

int store_teardown(void **state)
{
    struct store_fixture *fixture = *state;
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

signet_status store_try_open(struct store_fixture *fixture, const char *source,
                             struct sg_keystore **out)
{
    const struct sg_keystore_place place = store_place(fixture, source);
    fixture->message[0] = '\0';
    return sg_keystore_open(&place, false, out, store_message(fixture));
}

struct sg_keystore *store_open(struct store_fixture *fixture, const char *source)
{
    struct sg_keystore *store = NULL;
    if (store_try_open(fixture, source, &store) != SIGNET_OK) {
        fail_msg("%s", fixture->message);
    }
    return store;
}

bool store_refuses(struct store_fixture *fixture, const char *source, const char *text)
{
    struct sg_keystore *store = NULL;
    signet_status status = store_try_open(fixture, source, &store);
    sg_keystore_close(store);
    if (status != SIGNET_FAILED_PRECONDITION || strstr(fixture->message, text) == NULL) {
        print_message("status %d: %s\n", (int)status, fixture->message);
        return false;
    }
    return true;
}

struct sg_key_record store_record(const char *keyset, const char *kid)
{
    struct sg_key_record record = {
        .alg = SG_ALG_HS256,
        .flags = SG_KEY_FLAG_IMPORTED,
        .max_ttl_s = 1800,
        .created_at = 1700000000,
        .sign_from = 1700000600,
    };
    (void)snprintf(record.keyset, sizeof(record.keyset), "%s", keyset);
    (void)snprintf(record.kid, sizeof(record.kid), "%s", kid);
    return record;
}

void store_secret(const char *kid, uint8_t out[48])
{
    for (size_t i = 0; i < 48; i++) {
        out[i] = (uint8_t)((uint8_t)kid[i % strlen(kid)] ^ (0xa5u + i));
    }
}

uint32_t store_add(struct store_fixture *fixture, struct sg_keystore *store, const char *keyset,
                   const char *kid)
{
    struct sg_key_record record = store_record(keyset, kid);
    uint8_t secret[48];
    store_secret(kid, secret);
    if (sg_keystore_add(store, &record, secret, sizeof(secret), store_message(fixture)) !=
        SIGNET_OK) {
        fail_msg("%s", fixture->message);
    }
    return record.seq;
}

bool store_has(struct sg_keystore *store, const char *keyset, const char *kid)
{
    uint8_t expected[48];
    uint8_t *bytes = NULL;
    size_t len = 0;
    size_t index = 0;
    char text[SG_KEYSTORE_MAX_MESSAGE];
    store_secret(kid, expected);
    if (!sg_keystore_find(store, keyset, kid, &index) ||
        sg_keystore_private(store, index, &bytes, &len, (struct sg_kek_message){.text = text}) !=
            SIGNET_OK) {
        return false;
    }
    assert_true(store_is_secret(bytes));
    bool is_equal = len == sizeof(expected) && memcmp(bytes, expected, len) == 0;
    sg_secret_release(bytes, len);
    return is_equal;
}

bool store_is_secret(const void *bytes)
{
    return sg_secret_pool_has(bytes) || CRYPTO_secure_allocated(bytes) == 1;
}

void store_path(const struct store_fixture *fixture, const char *file, char out[256])
{
    (void)snprintf(out, 256, "%s/keys/%s", fixture->state, file);
}

bool store_is_file(const struct store_fixture *fixture, const char *file)
{
    char path[256];
    store_path(fixture, file, path);
    return access(path, F_OK) == 0;
}

uint8_t *store_read(const struct store_fixture *fixture, const char *file, size_t *len)
{
    char path[256];
    store_path(fixture, file, path);
    char *bytes = test_read_file(path, len);
    assert_non_null(bytes);
    return (uint8_t *)bytes;
}

void store_write(const struct store_fixture *fixture, const char *file, const uint8_t *bytes,
                 size_t len)
{
    char path[256];
    store_path(fixture, file, path);
    test_write_file(path, bytes, len);
    assert_int_equal(chmod(path, 0600), 0);
}
