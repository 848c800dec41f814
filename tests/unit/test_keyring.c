/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyring: keysets become keys with kids and headers of their own, are found by kid and name,
 * and half-made ones leave nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "server/config.h"
#include "server/keyholder/keyholder.h"
#include "server/keyring.h"

#define TEST_NOW 1700000000

struct keyring_parts {
    struct sg_config *config;
    struct sg_keyholder *keyholder;
    struct sg_keyring *keyring;
};

static int keyring_setup(void **state)
{
    static struct keyring_parts parts;
    char error[256] = "";
    parts = (struct keyring_parts){0};
    assert_int_equal(sg_config_demo(&parts.config), SIGNET_OK);
    assert_int_equal(sg_keyholder_new(&parts.keyholder), SIGNET_OK);
    assert_int_equal(sg_keyring_new(parts.config, parts.keyholder, TEST_NOW, &parts.keyring, error,
                                    sizeof(error)),
                     SIGNET_OK);
    *state = &parts;
    return 0;
}

static int keyring_teardown(void **state)
{
    struct keyring_parts *parts = *state;
    sg_keyring_free(parts->keyring);
    sg_keyholder_free(parts->keyholder);
    sg_config_free(parts->config);
    return 0;
}

static const struct sg_key *keyring_key(const struct keyring_parts *parts, const char *keyset)
{
    const struct sg_keyset *found = sg_keyring_keyset(parts->keyring, keyset);
    assert_non_null(found);
    assert_int_equal(found->num_keys, 1);
    return &found->keys[0];
}

static void test_keyring__makes_what_the_configuration_says(void **state)
{
    const struct keyring_parts *parts = *state;
    assert_int_equal(sg_keyring_num_keysets(parts->keyring), parts->config->num_keysets);
    for (size_t i = 0; i < parts->config->num_keysets; i++) {
        const struct sg_config_keyset *wanted = &parts->config->keysets[i];
        const struct sg_keyset *keyset = sg_keyring_keyset_at(parts->keyring, i);
        assert_ptr_equal(keyset, sg_keyring_keyset(parts->keyring, wanted->name));
        assert_string_equal(keyset->name, wanted->name);
        assert_string_equal(keyset->issuer, wanted->issuer);
        assert_string_equal(keyset->typ, wanted->typ);
        assert_int_equal(keyset->alg, wanted->alg);
        assert_int_equal(keyset->default_ttl_s, wanted->default_ttl_s);
        assert_int_equal(keyset->max_ttl_s, wanted->max_ttl_s);
        const struct sg_key *key = keyring_key(parts, wanted->name);
        assert_ptr_equal(key->keyset, keyset);
        assert_int_equal(key->alg, wanted->alg);
        assert_true((key->public_key == NULL) ==
                    (sg_alg_info(wanted->alg)->family == SG_FAMILY_HMAC));
    }
    assert_null(sg_keyring_keyset_at(parts->keyring, parts->config->num_keysets));
    assert_null(sg_keyring_keyset(parts->keyring, "demo"));
    assert_null(sg_keyring_keyset(parts->keyring, ""));
}

static void test_keyring__kids_are_thumbprints_or_random(void **state)
{
    const struct keyring_parts *parts = *state;
    char thumbprint[44];
    const struct sg_key *key = keyring_key(parts, "demo-es256");
    assert_int_equal(sg_public_key_thumbprint(key->public_key, thumbprint), SIGNET_OK);
    assert_string_equal(key->kid, thumbprint);

    uint8_t random[16];
    size_t len = 0;
    key = keyring_key(parts, "demo-hs256");
    assert_true(sg_base64url_decode(key->kid, strlen(key->kid), random, sizeof(random), &len));
    assert_int_equal(len, 16);
}

static void test_keyring__headers_name_alg_kid_and_typ(void **state)
{
    const struct keyring_parts *parts = *state;
    for (size_t i = 0; i < sg_keyring_num_keysets(parts->keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(parts->keyring, i);
        const struct sg_key *key = &keyset->keys[0];
        char expected[512];
        char header[512];
        size_t len = 0;
        (void)snprintf(expected, sizeof(expected),
                       "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                       sg_alg_info(keyset->alg)->jws_name, key->kid);
        assert_int_equal(strlen(key->header_b64), key->header_b64_len);
        assert_true(sg_base64url_decode(key->header_b64, key->header_b64_len, (uint8_t *)header,
                                        sizeof(header) - 1, &len));
        header[len] = '\0';
        assert_string_equal(header, expected);
    }
}

/* The keyholder signs under the header that the keyring wrote, and the public half verifies it. */
static void test_keyring__keys_sign_and_verify(void **state)
{
    const struct keyring_parts *parts = *state;
    for (size_t i = 0; i < sg_keyring_num_keysets(parts->keyring); i++) {
        const struct sg_key *key = &sg_keyring_keyset_at(parts->keyring, i)->keys[0];
        char token[2048];
        int len = snprintf(token, sizeof(token), "%s.e30", key->header_b64);
        struct sg_keyholder_request request = {
            .op = SG_KEYHOLDER_SIGN, .slot = key->slot, .data_len = (uint32_t)len};
        struct sg_keyholder_reply reply;
        assert_int_equal(sg_keyholder_call(parts->keyholder, &request, 1, (const uint8_t *)token,
                                           (size_t)len, &reply),
                         SIGNET_OK);
        assert_int_equal(reply.status, SIGNET_OK);
        if (key->public_key == NULL) {
            continue;
        }
        token[len] = '.';
        size_t token_len = (size_t)len + 1;
        token_len += sg_base64url_encode(reply.data, reply.data_len, token + token_len);
        struct sg_jws jws;
        assert_int_equal(sg_jws_parse(token, token_len, &jws).reason, SIGNET_REASON_NONE);
        assert_int_equal(sg_public_key_verify(key->public_key, &jws).reason, SIGNET_REASON_NONE);
        jws.signature[10] ^= 1;
        assert_int_equal(sg_public_key_verify(key->public_key, &jws).reason,
                         SIGNET_REASON_BAD_SIGNATURE);
    }
}

static void test_keyring__finds_keys_by_length_and_bytes(void **state)
{
    const struct keyring_parts *parts = *state;
    for (size_t i = 0; i < sg_keyring_num_keysets(parts->keyring); i++) {
        const struct sg_key *key = &sg_keyring_keyset_at(parts->keyring, i)->keys[0];
        char kid[SG_MAX_KID_LEN + 2] = "";
        size_t len = strlen(key->kid);
        memcpy(kid, key->kid, len);
        assert_ptr_equal(sg_keyring_key(parts->keyring, kid, len), key);
        assert_null(sg_keyring_key(parts->keyring, kid, len - 1));
        assert_null(sg_keyring_key(parts->keyring, kid, len + 1)); /* a NUL follows */
        kid[0] = kid[0] == 'A' ? 'B' : 'A';
        assert_null(sg_keyring_key(parts->keyring, kid, len));
    }
    assert_null(sg_keyring_key(parts->keyring, "", 0));
    assert_null(sg_keyring_key(parts->keyring, "../../etc/passwd", 16));
}

static void test_keyring__keys_are_active_whatever_the_clock_says(void **state)
{
    static const int64_t clocks[] = {INT64_MIN, -1, 0, TEST_NOW - 1, TEST_NOW, INT64_MAX};
    const struct keyring_parts *parts = *state;
    const struct sg_keyset *keyset = sg_keyring_keyset(parts->keyring, "demo-es256");
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        assert_int_equal(sg_key_state(&keyset->keys[0], clocks[i]), SG_KEY_ACTIVE);
        assert_ptr_equal(sg_keyset_signing_key(keyset, clocks[i]), &keyset->keys[0]);
        assert_true(sg_key_may_verify(&keyset->keys[0], clocks[i]));
    }
}

static void test_import__replaces_the_key(void **state)
{
    const struct keyring_parts *parts = *state;
    static const uint8_t secret[40] = {1, 2, 3};
    char error[256] = "";
    char old_kid[SG_MAX_KID_LEN + 1];
    const struct sg_key *key = keyring_key(parts, "demo-hs256");
    uint32_t old_slot = key->slot;
    memcpy(old_kid, key->kid, sizeof(old_kid));
    assert_int_equal(sg_keyring_import(parts->keyring, parts->keyholder, "demo-hs256", "mine",
                                       secret, sizeof(secret), error, sizeof(error)),
                     SIGNET_OK);
    assert_string_equal(key->kid, "mine");
    assert_int_equal(key->created_at, TEST_NOW);
    assert_ptr_equal(sg_keyring_key(parts->keyring, "mine", 4), key);
    assert_null(sg_keyring_key(parts->keyring, old_kid, strlen(old_kid)));
    /* The old one is gone from the keyholder too. */
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = old_slot};
    struct sg_keyholder_reply reply;
    assert_int_equal(sg_keyholder_call(parts->keyholder, &request, 1, NULL, 0, &reply), SIGNET_OK);
    assert_int_equal(reply.status, SIGNET_NOT_FOUND);
    /* The same once more, under a kid of its own. */
    assert_int_equal(sg_keyring_import(parts->keyring, parts->keyholder, "demo-hs256", NULL, secret,
                                       sizeof(secret), error, sizeof(error)),
                     SIGNET_OK);
    assert_int_equal(strlen(key->kid), 22);
}

static void test_import__that_fails_changes_nothing(void **state)
{
    const struct keyring_parts *parts = *state;
    static const uint8_t secret[40] = {1};
    static char long_kid[SG_MAX_KID_LEN + 2];
    memset(long_kid, 'k', sizeof(long_kid) - 1);
    const char *taken = keyring_key(parts, "demo-es256")->kid;
    const struct {
        const char *keyset, *kid;
        size_t len;
        signet_status status;
    } rows[] = {
        {"nowhere", "k", sizeof(secret), SIGNET_NOT_FOUND},
        {"demo-hs256", "k", 31, SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", "k", 0, SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", "", sizeof(secret), SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", "a\"b", sizeof(secret), SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", "a\nb", sizeof(secret), SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", long_kid, sizeof(secret), SIGNET_INVALID_ARGUMENT},
        {"demo-hs256", taken, sizeof(secret), SIGNET_ALREADY_EXISTS},
        {"demo-es256", "k", sizeof(secret), SIGNET_INVALID_ARGUMENT},
    };
    const struct sg_key before = *keyring_key(parts, "demo-hs256");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char error[256] = "";
        assert_int_equal(sg_keyring_import(parts->keyring, parts->keyholder, rows[i].keyset,
                                           rows[i].kid, secret, rows[i].len, error, sizeof(error)),
                         rows[i].status);
        assert_int_not_equal(strlen(error), 0);
    }
    assert_memory_equal(keyring_key(parts, "demo-hs256"), &before, sizeof(before));
    assert_non_null(sg_keyring_key(parts->keyring, before.kid, strlen(before.kid)));
}

static void test_new__names_the_keyset_that_failed(void **state)
{
    const struct keyring_parts *parts = *state;
    char error[256] = "";
    struct sg_keyring *keyring = NULL;
    parts->config->keysets[1].rsa_bits = 1024;
    assert_int_equal(
        sg_keyring_new(parts->config, parts->keyholder, TEST_NOW, &keyring, error, sizeof(error)),
        SIGNET_INVALID_ARGUMENT);
    assert_null(keyring);
    assert_non_null(strstr(error, "keyset demo-rs256: RSA keys have 2048 to 8192 bits"));

    (void)snprintf(parts->config->keysets[1].name, sizeof("demo-hs256"), "demo-hs256");
    assert_int_equal(
        sg_keyring_new(parts->config, parts->keyholder, TEST_NOW, &keyring, error, sizeof(error)),
        SIGNET_ALREADY_EXISTS);
    assert_null(keyring);
}

#define KEYRING_TEST(name) cmocka_unit_test_setup_teardown(name, keyring_setup, keyring_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYRING_TEST(test_keyring__makes_what_the_configuration_says),
        KEYRING_TEST(test_keyring__kids_are_thumbprints_or_random),
        KEYRING_TEST(test_keyring__headers_name_alg_kid_and_typ),
        KEYRING_TEST(test_keyring__keys_sign_and_verify),
        KEYRING_TEST(test_keyring__finds_keys_by_length_and_bytes),
        KEYRING_TEST(test_keyring__keys_are_active_whatever_the_clock_says),
        KEYRING_TEST(test_import__replaces_the_key),
        KEYRING_TEST(test_import__that_fails_changes_nothing),
        KEYRING_TEST(test_new__names_the_keyset_that_failed),
    };
    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
