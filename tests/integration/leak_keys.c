/* SPDX-License-Identifier: Apache-2.0
 *
 * Known keys. The states of a hash after the padded secret of an HMAC are read with OpenSSL's old calls,
 * which are the only ones that show them.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/integration/leak_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/files.h"

#define LEAK_MAX_BLOCK 128u
#define LEAK_RSA_BITS  2048u

static void leak_add(struct secret_search *search, const struct leak_key *key, const char *what,
                     const uint8_t *bytes, size_t len)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s %s", key->info->config_name, what);
    secret_search_add(search, name, bytes, len);
}

/* ---- HMAC (RFC 2104) ---- */

/* What the hash holds after one block: as good as the secret, for those who forge. */
static size_t leak_hash_state(size_t hash_len, const uint8_t block[LEAK_MAX_BLOCK],
                              uint8_t out[LEAK_MAX_BLOCK])
{
    SHA256_CTX small;
    SHA512_CTX large;
    if (hash_len == 32) {
        assert_int_equal(SHA256_Init(&small), 1);
        assert_int_equal(SHA256_Update(&small, block, SHA256_CBLOCK), 1);
        memcpy(out, small.h, sizeof(small.h));
        return sizeof(small.h);
    }
    assert_int_equal(hash_len == 48 ? SHA384_Init(&large) : SHA512_Init(&large), 1);
    assert_int_equal(SHA512_Update(&large, block, SHA512_CBLOCK), 1);
    memcpy(out, large.h, sizeof(large.h));
    return sizeof(large.h);
}

static void leak_add_padded(struct secret_search *search, const struct leak_key *key,
                            const uint8_t *secret, uint8_t pad, const char *what)
{
    size_t len = key->info->hash_len;
    uint8_t block[LEAK_MAX_BLOCK];
    uint8_t state[LEAK_MAX_BLOCK];
    char name[32];
    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < len; i++) {
        block[i] ^= secret[i];
    }
    (void)snprintf(name, sizeof(name), "%s block", what);
    leak_add(search, key, name, block, len);
    (void)snprintf(name, sizeof(name), "%s state", what);
    leak_add(search, key, name, state, leak_hash_state(len, block, state));
}

static void leak_make_secret(struct secret_search *search, struct leak_key *key)
{
    uint8_t secret[LEAK_MAX_BLOCK];
    size_t len = key->info->hash_len;
    assert_int_equal(RAND_bytes(secret, (int)len), 1);
    secret[len - 1] |= 0x80; /* no line end, of which the command would warn */
    key->option = "--secret";
    test_write_file(key->path, secret, len);
    leak_add(search, key, "secret", secret, len);
    leak_add_padded(search, key, secret, 0x36, "inner");
    leak_add_padded(search, key, secret, 0x5c, "outer");
}

/* ---- Pairs ---- */

static void leak_add_number(struct secret_search *search, const struct leak_key *key,
                            const EVP_PKEY *pkey, const char *parameter, const char *what)
{
    BIGNUM *number = NULL;
    uint8_t bytes[SECRET_MAX_SECRET];
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, parameter, &number), 1);
    assert_in_range(BN_num_bytes(number), SECRET_WINDOW, sizeof(bytes));
    leak_add(search, key, what, bytes, (size_t)BN_bn2bin(number, bytes));
    BN_clear_free(number);
}

static void leak_add_rsa(struct secret_search *search, const struct leak_key *key,
                         const EVP_PKEY *pkey)
{
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_D, "d");
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, "p");
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, "q");
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, "dp");
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, "dq");
    leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "qinv");
}

/* The seed, and the hash of it (RFC 8032, sections 5.1.5 and 5.2.5), as it is and with its scalar's bits
 * set. */
static void leak_add_edwards(struct secret_search *search, const struct leak_key *key,
                             const EVP_PKEY *pkey)
{
    bool is_448 = key->info->alg == SG_ALG_ED448;
    uint8_t seed[64];
    uint8_t hash[114];
    size_t seed_len = sizeof(seed);
    size_t hash_len = is_448 ? 114 : 64;
    assert_int_equal(EVP_PKEY_get_raw_private_key(pkey, seed, &seed_len), 1);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_non_null(context);
    assert_int_equal(EVP_DigestInit_ex(context, is_448 ? EVP_shake256() : EVP_sha512(), NULL), 1);
    assert_int_equal(EVP_DigestUpdate(context, seed, seed_len), 1);
    assert_int_equal(is_448 ? EVP_DigestFinalXOF(context, hash, hash_len)
                            : EVP_DigestFinal_ex(context, hash, NULL),
                     1);
    EVP_MD_CTX_free(context);
    leak_add(search, key, "seed", seed, seed_len);
    leak_add(search, key, "hash of the seed", hash, hash_len);
    hash[0] &= is_448 ? 0xfc : 0xf8;
    if (is_448) {
        hash[56] = 0;
        hash[55] |= 0x80;
    } else {
        hash[31] = (hash[31] & 0x7f) | 0x40;
    }
    leak_add(search, key, "scalar", hash, hash_len / 2);
}

static EVP_PKEY *leak_generate(const struct sg_alg_info *info)
{
    switch (info->family) {
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)LEAK_RSA_BITS);
    case SG_FAMILY_ECDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    case SG_FAMILY_EDDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, info->group);
    case SG_FAMILY_HMAC:
    default:
        return NULL;
    }
}

static void leak_make_pair(struct secret_search *search, struct leak_key *key)
{
    EVP_PKEY *pkey = leak_generate(key->info);
    FILE *file = fopen(key->path, "we");
    assert_true(pkey != NULL && file != NULL);
    assert_int_equal(PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    key->option = "--pem";
    if (key->info->family == SG_FAMILY_ECDSA) {
        leak_add_number(search, key, pkey, OSSL_PKEY_PARAM_PRIV_KEY, "scalar");
    } else if (key->info->family == SG_FAMILY_EDDSA) {
        leak_add_edwards(search, key, pkey);
    } else {
        leak_add_rsa(search, key, pkey);
    }
    EVP_PKEY_free(pkey);
}

void leak_keys_make(const char *dir, struct secret_search *search,
                    struct leak_key keys[LEAK_NUM_KEYS])
{
    for (size_t i = 0; i < LEAK_NUM_KEYS; i++) {
        struct leak_key *key = &keys[i];
        key->info = sg_alg_info((enum sg_alg)(i + 1));
        assert_non_null(key->info);
        (void)snprintf(key->keyset, sizeof(key->keyset), "k%zu", i + 1);
        (void)snprintf(key->path, sizeof(key->path), "%s/%s", dir, key->keyset);
        if (key->info->family == SG_FAMILY_HMAC) {
            leak_make_secret(search, key);
        } else {
            leak_make_pair(search, key);
        }
    }
}
