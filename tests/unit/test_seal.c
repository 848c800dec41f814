/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing: what was sealed opens for its recipient and its purpose, and for nobody and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/seal/seal.h"

#define TEST_TEXT     "a secret that travels"
#define TEST_TEXT_LEN (sizeof(TEST_TEXT) - 1)

struct seal_pair {
    uint8_t private_key[SG_SEAL_KEY_LEN], public_key[SG_SEAL_KEY_LEN];
};

static struct seal_pair seal_pair(void)
{
    struct seal_pair pair;
    assert_int_equal(sg_seal_keypair(pair.private_key, pair.public_key), SIGNET_OK);
    return pair;
}

static void seal_text(const struct seal_pair *pair, uint8_t out[TEST_TEXT_LEN + SG_SEAL_OVERHEAD])
{
    assert_int_equal(sg_seal(pair->public_key, SG_SEAL_FOR_IMPORT, (const uint8_t *)TEST_TEXT,
                             TEST_TEXT_LEN, out),
                     SIGNET_OK);
}

/* Whether it opens; if not, what was to hold it must be wiped. */
static bool seal_opens(const struct seal_pair *pair, const char *context, const uint8_t *sealed,
                       size_t len)
{
    static const uint8_t zeros[256];
    uint8_t out[256];
    memset(out, 0xee, sizeof(out));
    signet_status status = sg_seal_open(pair->private_key, context, sealed, len, out);
    assert_int_equal(ERR_peek_error(), 0);
    if (status != SIGNET_OK) {
        assert_int_equal(status, SIGNET_INVALID_ARGUMENT);
        if (len >= SG_SEAL_OVERHEAD) {
            assert_memory_equal(out, zeros, len - SG_SEAL_OVERHEAD);
        }
        return false;
    }
    return memcmp(out, TEST_TEXT, len - SG_SEAL_OVERHEAD) == 0;
}

static void test_seal__opens_for_its_recipient(void **state)
{
    (void)state;
    const struct seal_pair pair = seal_pair();
    uint8_t sealed[TEST_TEXT_LEN + SG_SEAL_OVERHEAD];
    uint8_t again[sizeof(sealed)];
    seal_text(&pair, sealed);
    seal_text(&pair, again);
    assert_true(seal_opens(&pair, SG_SEAL_FOR_IMPORT, sealed, sizeof(sealed)));
    /* A key of its own for each message. */
    assert_memory_not_equal(sealed, again, SG_SEAL_KEY_LEN);
    for (size_t i = 0; i + 8 <= sizeof(sealed); i++) {
        assert_memory_not_equal(sealed + i, TEST_TEXT, 8);
    }
    uint8_t empty[SG_SEAL_OVERHEAD];
    assert_int_equal(sg_seal(pair.public_key, SG_SEAL_FOR_IMPORT, NULL, 0, empty), SIGNET_OK);
    assert_true(seal_opens(&pair, SG_SEAL_FOR_IMPORT, empty, sizeof(empty)));
}

/* The description in the header, put together from OpenSSL's parts by another hand. */
static void test_seal__is_what_its_header_says(void **state)
{
    (void)state;
    const struct seal_pair pair = seal_pair();
    static const uint8_t nonce[12];
    uint8_t sealed[TEST_TEXT_LEN + SG_SEAL_OVERHEAD];
    uint8_t shared[32];
    uint8_t salt[64];
    uint8_t key[32];
    uint8_t text[TEST_TEXT_LEN];
    size_t len = sizeof(shared);
    int part = 0;
    seal_text(&pair, sealed);

    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, pair.private_key, 32);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, sealed, 32);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    assert_int_equal(EVP_PKEY_derive_init(context), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(context, peer), 1);
    assert_int_equal(EVP_PKEY_derive(context, shared, &len), 1);
    EVP_PKEY_CTX_free(context);

    memcpy(salt, sealed, 32);
    memcpy(salt + 32, pair.public_key, 32);
    len = sizeof(key);
    context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    assert_int_equal(EVP_PKEY_derive_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_hkdf_salt(context, salt, sizeof(salt)), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_hkdf_key(context, shared, sizeof(shared)), 1);
    assert_int_equal(
        EVP_PKEY_CTX_add1_hkdf_info(context, (const unsigned char *)"signet seal v1", 14), 1);
    assert_int_equal(EVP_PKEY_derive(context, key, &len), 1);

    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    assert_int_equal(EVP_DecryptUpdate(cipher, NULL, &part,
                                       (const unsigned char *)SG_SEAL_FOR_IMPORT,
                                       (int)strlen(SG_SEAL_FOR_IMPORT)),
                     1);
    assert_int_equal(EVP_DecryptUpdate(cipher, text, &part, sealed + 32, (int)TEST_TEXT_LEN), 1);
    assert_int_equal(
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, 16, sealed + 32 + TEST_TEXT_LEN), 1);
    assert_int_equal(EVP_DecryptFinal_ex(cipher, text + TEST_TEXT_LEN, &part), 1);
    assert_memory_equal(text, TEST_TEXT, TEST_TEXT_LEN);
    EVP_CIPHER_CTX_free(cipher);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
}

static void test_seal__opens_for_nobody_else_and_nothing_else(void **state)
{
    (void)state;
    const struct seal_pair pair = seal_pair();
    const struct seal_pair other = seal_pair();
    uint8_t sealed[TEST_TEXT_LEN + SG_SEAL_OVERHEAD];
    seal_text(&pair, sealed);
    assert_false(seal_opens(&other, SG_SEAL_FOR_IMPORT, sealed, sizeof(sealed)));
    assert_false(seal_opens(&pair, SG_SEAL_FOR_REKEY, sealed, sizeof(sealed)));
    assert_false(seal_opens(&pair, SG_SEAL_FOR_BACKUP, sealed, sizeof(sealed)));
    assert_false(seal_opens(&pair, "", sealed, sizeof(sealed)));
}

static void test_seal__notices_every_change_and_every_cut(void **state)
{
    (void)state;
    const struct seal_pair pair = seal_pair();
    uint8_t sealed[TEST_TEXT_LEN + SG_SEAL_OVERHEAD];
    seal_text(&pair, sealed);
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 1;
        assert_false(seal_opens(&pair, SG_SEAL_FOR_IMPORT, sealed, sizeof(sealed)));
        sealed[i] ^= 1;
        assert_false(seal_opens(&pair, SG_SEAL_FOR_IMPORT, sealed, i));
    }
    assert_true(seal_opens(&pair, SG_SEAL_FOR_IMPORT, sealed, sizeof(sealed)));
}

/* RFC 7748 section 6.1: with these, the shared secret is zero whatever the private key. */
static void test_seal__refuses_points_of_small_order(void **state)
{
    (void)state;
    static const uint8_t points[][SG_SEAL_KEY_LEN] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };
    const struct seal_pair pair = seal_pair();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        uint8_t sealed[TEST_TEXT_LEN + SG_SEAL_OVERHEAD];
        assert_int_equal(sg_seal(points[i], SG_SEAL_FOR_IMPORT, (const uint8_t *)TEST_TEXT,
                                 TEST_TEXT_LEN, sealed),
                         SIGNET_INVALID_ARGUMENT);
        seal_text(&pair, sealed);
        memcpy(sealed, points[i], SG_SEAL_KEY_LEN);
        assert_false(seal_opens(&pair, SG_SEAL_FOR_IMPORT, sealed, sizeof(sealed)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal__opens_for_its_recipient),
        cmocka_unit_test(test_seal__is_what_its_header_says),
        cmocka_unit_test(test_seal__opens_for_nobody_else_and_nothing_else),
        cmocka_unit_test(test_seal__notices_every_change_and_every_cut),
        cmocka_unit_test(test_seal__refuses_points_of_small_order),
    };
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
