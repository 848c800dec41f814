/* SPDX-License-Identifier: Apache-2.0
 *
 * What `signet key import` makes of key files: every form that people keep keys in is read, and each
 * that is wrong is refused with a word on what is wrong. OpenSSL writes the files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/seal/key_file.h"
#include "tests/unit/rfc_examples.h"

#define PASSPHRASE "correct horse"

static struct {
    EVP_PKEY *rsa, *p256, *p384, *ed25519, *secp224;
    struct key_file file;
    struct key_file_error error;
    const char *passphrase; /* NULL: there is none to be had */
    unsigned num_asked;
} fixture;

/* ---- Making files ---- */

typedef int write_pem(BIO *bio, EVP_PKEY *pkey);

static int write_pkcs8(BIO *bio, EVP_PKEY *pkey)
{
    return PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
}

static int write_traditional(BIO *bio, EVP_PKEY *pkey)
{
    return PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL);
}

static int write_pkcs8_encrypted(BIO *bio, EVP_PKEY *pkey)
{
    return PEM_write_bio_PKCS8PrivateKey(bio, pkey, EVP_aes_256_cbc(), PASSPHRASE,
                                         (int)strlen(PASSPHRASE), NULL, NULL);
}

static int write_traditional_encrypted(BIO *bio, EVP_PKEY *pkey)
{
    return PEM_write_bio_PrivateKey_traditional(bio, pkey, EVP_aes_128_cbc(),
                                                (const unsigned char *)PASSPHRASE,
                                                (int)strlen(PASSPHRASE), NULL, NULL);
}

static int write_public(BIO *bio, EVP_PKEY *pkey)
{
    return PEM_write_bio_PUBKEY(bio, pkey);
}

/* What comes of it, NUL-terminated; free() it. */
static char *pem_of(write_pem *write, EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    assert_non_null(bio);
    assert_int_equal(write(bio, pkey), 1);
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    assert_non_null(text);
    BIO_free(bio);
    return text;
}

static char *joined(const char *a, const char *b)
{
    char *text = NULL;
    assert_true(asprintf(&text, "%s%s", a, b) > 0);
    return text;
}

static EVP_PKEY *ec_key(const char *group)
{
    EVP_PKEY *pkey = EVP_EC_gen(group);
    assert_non_null(pkey);
    return pkey;
}

/* ---- Reading them ---- */

static bool give_passphrase(void *context, struct seal_bytes *out)
{
    (void)context;
    fixture.num_asked++;
    return fixture.passphrase != NULL &&
           seal_bytes_copy(out, fixture.passphrase, strlen(fixture.passphrase));
}

static bool read_bytes(enum key_file_form form, const void *bytes, size_t len, enum sg_alg alg,
                       enum sg_alg default_alg)
{
    const struct key_file_options options = {
        .form = form,
        .alg = alg,
        .default_alg = default_alg,
        .ask = give_passphrase,
    };
    /* A copy of its own length, so that a sanitizer sees what is read behind it. */
    uint8_t *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    key_file_fini(&fixture.file);
    fixture.num_asked = 0;
    bool is_read = key_file_read(&options, copy, len, &fixture.file, &fixture.error);
    free(copy);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(is_read || fixture.file.asked_in_vain, fixture.error.message[0] == '\0');
    return is_read;
}

static void assert_read(enum key_file_form form, const char *text, enum sg_alg default_alg)
{
    if (!read_bytes(form, text, strlen(text), SG_ALG_UNSET, default_alg)) {
        fail_msg("refused: %s\n%s", fixture.error.message, text);
    }
}

static void assert_refused(enum key_file_form form, const char *text, enum sg_alg default_alg,
                           const char *word)
{
    if (read_bytes(form, text, strlen(text), SG_ALG_UNSET, default_alg)) {
        fail_msg("taken, and should be refused for \"%s\":\n%s", word, text);
    }
    if (strstr(fixture.error.message, word) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", fixture.error.message, word);
    }
}

/* The one key is PKCS#8 of this very key. */
static void assert_is(const EVP_PKEY *pkey)
{
    const struct seal_bytes *bytes = &fixture.file.keys[0].bytes;
    const uint8_t *at = bytes->data;
    assert_int_equal(fixture.file.num_keys, 1);
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)bytes->len);
    assert_non_null(info);
    assert_ptr_equal(at, bytes->data + bytes->len);
    EVP_PKEY *read = EVP_PKCS82PKEY(info);
    assert_non_null(read);
    assert_int_equal(EVP_PKEY_eq(read, pkey), 1);
    EVP_PKEY_free(read);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void assert_pem_round_trip(write_pem *write, EVP_PKEY *pkey, enum sg_alg alg)
{
    char *pem = pem_of(write, pkey);
    assert_read(KEY_FILE_PEM, pem, alg);
    assert_is(pkey);
    assert_int_equal(fixture.file.keys[0].alg, alg);
    assert_string_equal(fixture.file.keys[0].kid, "");
    assert_read(KEY_FILE_GUESS, pem, alg);
    assert_int_equal(fixture.file.form, KEY_FILE_PEM);
    free(pem);
}

/* ---- PEM ---- */

static void test_pem__every_kind_of_private_key_is_read(void **state)
{
    (void)state;
    fixture.passphrase = NULL;
    assert_pem_round_trip(write_pkcs8, fixture.rsa, SG_ALG_RS256);
    assert_pem_round_trip(write_pkcs8, fixture.rsa, SG_ALG_PS512);
    assert_pem_round_trip(write_pkcs8, fixture.p256, SG_ALG_ES256);
    assert_pem_round_trip(write_pkcs8, fixture.p384, SG_ALG_ES384);
    assert_pem_round_trip(write_pkcs8, fixture.ed25519, SG_ALG_ED25519);
    assert_pem_round_trip(write_traditional, fixture.rsa, SG_ALG_RS384);
    assert_pem_round_trip(write_traditional, fixture.p256, SG_ALG_ES256);
    assert_int_equal(fixture.num_asked, 0);
}

static void test_pem__encrypted_ones_are_read_with_the_passphrase(void **state)
{
    (void)state;
    fixture.passphrase = PASSPHRASE;
    assert_pem_round_trip(write_pkcs8_encrypted, fixture.rsa, SG_ALG_RS256);
    assert_int_equal(fixture.num_asked, 1);
    assert_pem_round_trip(write_pkcs8_encrypted, fixture.ed25519, SG_ALG_ED25519);
    assert_pem_round_trip(write_traditional_encrypted, fixture.rsa, SG_ALG_RS256);
    assert_int_equal(fixture.num_asked, 1);
    assert_pem_round_trip(write_traditional_encrypted, fixture.p256, SG_ALG_ES256);
}

static void test_pem__with_another_passphrase_is_refused(void **state)
{
    write_pem *const writers[] = {write_pkcs8_encrypted, write_traditional_encrypted};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *pem = pem_of(writers[i], fixture.p256);
        fixture.passphrase = "wrong";
        assert_refused(KEY_FILE_PEM, pem, SG_ALG_ES256, "passphrase is wrong");
        free(pem);
    }
}

/* There is no check but the padding, by which one wrong passphrase in 256 gets, as "wrong 14" does
 * here. */
static void test_pem__with_another_passphrase_that_fits_by_chance_is_refused(void **state)
{
    static const char pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "Proc-Type: 4,ENCRYPTED\n"
                              "DEK-Info: AES-128-CBC,0BB36AC47EACB14125B3D1CC5B9FCE44\n\n"
                              "gfgaxLc9//FNqnOzeOw1tLyycmpwLAqfOa793+vHwQ9r0f6ngvuA4V1WGo2cMRF0\n"
                              "4QwwJP2EHpDddJG48ZyLJWv5IzCE4WpB2ef31yhUXN5Xj67ClcebG1SAaeGeBXl5\n"
                              "TLPu+Zp6Jtn57poI6RYXO1ob+IEYae8XBHzfdFiTiOQ=\n"
                              "-----END EC PRIVATE KEY-----\n";
    (void)state;
    fixture.passphrase = PASSPHRASE;
    assert_read(KEY_FILE_PEM, pem, SG_ALG_ES256);
    fixture.passphrase = "wrong 14";
    assert_refused(KEY_FILE_PEM, pem, SG_ALG_ES256, "passphrase is wrong");
}

static void test_pem__without_a_passphrase_nothing_more_is_said(void **state)
{
    char *pem = pem_of(write_pkcs8_encrypted, fixture.p256);
    (void)state;
    fixture.passphrase = NULL;
    assert_false(read_bytes(KEY_FILE_PEM, pem, strlen(pem), SG_ALG_UNSET, SG_ALG_ES256));
    assert_true(fixture.file.asked_in_vain);
    free(pem);
}

static void test_pem__a_cipher_of_old_is_named_as_such(void **state)
{
    static const char old[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "Proc-Type: 4,ENCRYPTED\n"
                              "DEK-Info: ROT13-CBC,00112233445566778899AABBCCDDEEFF\n\n"
                              "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                              "-----END EC PRIVATE KEY-----\n";
    (void)state;
    fixture.passphrase = PASSPHRASE;
    assert_refused(KEY_FILE_PEM, old, SG_ALG_ES256, "no longer");
}

static void test_pem__what_else_is_in_the_file_is_left_alone(void **state)
{
    char *key = pem_of(write_pkcs8, fixture.p256);
    char *public = pem_of(write_public, fixture.p384);
    char *before = joined(public, key);
    char *after = joined(key, public);
    char *text = joined("Bag Attributes\n    friendlyName: login\n", key);
    (void)state;
    assert_read(KEY_FILE_PEM, before, SG_ALG_ES256);
    assert_is(fixture.p256);
    assert_read(KEY_FILE_PEM, after, SG_ALG_ES256);
    assert_is(fixture.p256);
    assert_read(KEY_FILE_GUESS, text, SG_ALG_ES256);
    assert_is(fixture.p256);
    free(text);
    free(after);
    free(before);
    free(public);
    free(key);
}

static void test_pem__public_only_is_refused(void **state)
{
    char *public = pem_of(write_public, fixture.rsa);
    (void)state;
    assert_refused(KEY_FILE_PEM, public, SG_ALG_RS256, "public key in it, and no private one");
    assert_refused(KEY_FILE_GUESS, public, SG_ALG_RS256, "public key in it, and no private one");
    free(public);
}

static void test_pem__two_keys_in_a_file_are_refused(void **state)
{
    char *one = pem_of(write_pkcs8, fixture.p256);
    char *two = pem_of(write_traditional, fixture.rsa);
    char *both = joined(one, two);
    (void)state;
    assert_refused(KEY_FILE_PEM, both, SG_ALG_ES256, "several private keys");
    free(both);
    free(two);
    free(one);
}

static void test_pem__a_key_that_does_not_fit_the_algorithm_is_refused(void **state)
{
    char *p384 = pem_of(write_pkcs8, fixture.p384);
    char *secp224 = pem_of(write_pkcs8, fixture.secp224);
    char *rsa = pem_of(write_pkcs8, fixture.rsa);
    (void)state;
    assert_refused(KEY_FILE_PEM, p384, SG_ALG_ES256, "another curve (RFC 7518 section 3.4)");
    assert_refused(KEY_FILE_PEM, secp224, SG_ALG_ES256, "another curve (RFC 7518 section 3.4)");
    assert_refused(KEY_FILE_PEM, rsa, SG_ALG_ED25519, "not a key of this Edwards curve");
    assert_refused(KEY_FILE_PEM, p384, SG_ALG_HS256, "takes a secret");
    /* What is asked for goes before the default. */
    assert_true(read_bytes(KEY_FILE_PEM, p384, strlen(p384), SG_ALG_ES384, SG_ALG_ES256));
    assert_false(read_bytes(KEY_FILE_PEM, p384, strlen(p384), SG_ALG_ES512, SG_ALG_ES384));
    free(rsa);
    free(secp224);
    free(p384);
}

static void test_pem__weak_rsa_keys_are_refused(void **state)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    assert_non_null(small);
    char *pem = pem_of(write_pkcs8, small);
    (void)state;
    assert_refused(KEY_FILE_PEM, pem, SG_ALG_RS256, "less than 2048 bits (RFC 7518 section 3.3)");
    free(pem);
    EVP_PKEY_free(small);
}

/* A PEM block of any bytes. free() it. */
static char *pem_block(const char *name, const uint8_t *der, size_t len)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    assert_non_null(bio);
    assert_true(PEM_write_bio(bio, name, "", der, (long)len) > 0);
    long pem_len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)pem_len);
    assert_non_null(text);
    BIO_free(bio);
    return text;
}

/* An RFC 5915 key whose public point is that of another. */
static void test_pem__a_pair_that_is_none_is_refused(void **state)
{
    uint8_t *der = NULL;
    uint8_t point[2][65];
    size_t point_len = 0;
    EVP_PKEY *stranger = ec_key("P-256");
    (void)state;
    int len = i2d_PrivateKey(fixture.p256, &der);
    assert_true(len > 65);
    assert_int_equal(EVP_PKEY_get_octet_string_param(fixture.p256, "pub", point[0], 65, &point_len),
                     1);
    assert_int_equal(EVP_PKEY_get_octet_string_param(stranger, "pub", point[1], 65, &point_len), 1);
    uint8_t *other = memmem(der, (size_t)len, point[0], 65);
    assert_non_null(other);
    memcpy(other, point[1], 65);
    char *pem = pem_block(PEM_STRING_ECPRIVATEKEY, der, (size_t)len);
    assert_refused(KEY_FILE_PEM, pem, SG_ALG_ES256, "does not belong to the public one");
    free(pem);
    OPENSSL_free(der);
    EVP_PKEY_free(stranger);
}

static void test_pem__bytes_behind_the_key_are_refused(void **state)
{
    uint8_t der[2][512];
    uint8_t *at[2] = {der[0], der[1]};
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(fixture.p256);
    (void)state;
    int len[2] = {i2d_PrivateKey(fixture.p256, &at[0]), i2d_PKCS8_PRIV_KEY_INFO(info, &at[1])};
    const char *const names[2] = {PEM_STRING_ECPRIVATEKEY, PEM_STRING_PKCS8INF};
    PKCS8_PRIV_KEY_INFO_free(info);
    for (size_t i = 0; i < 2; i++) {
        assert_in_range(len[i], 1, 511);
        der[i][len[i]] = 0;
        char *whole = pem_block(names[i], der[i], (size_t)len[i]);
        char *longer = pem_block(names[i], der[i], (size_t)len[i] + 1);
        assert_read(KEY_FILE_PEM, whole, SG_ALG_ES256);
        assert_refused(KEY_FILE_PEM, longer, SG_ALG_ES256, "can be decoded");
        free(longer);
        free(whole);
    }
}

static void test_pem__damaged_and_foreign_blocks_are_refused(void **state)
{
    char *key = pem_of(write_pkcs8, fixture.p256);
    (void)state;
    char *cut = strndup(key, strlen(key) / 2);
    assert_refused(KEY_FILE_PEM, cut, SG_ALG_ES256, "damaged, or cut");
    key[strlen("-----BEGIN PRIVATE KEY-----\n") + 20] = '!';
    assert_refused(KEY_FILE_PEM, key, SG_ALG_ES256, "damaged, or cut");
    assert_refused(KEY_FILE_PEM, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                   SG_ALG_ES256, "can be decoded");
    assert_refused(KEY_FILE_PEM,
                   "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
                   SG_ALG_ES256, "ssh-keygen -p -m PKCS8");
    assert_refused(KEY_FILE_PEM,
                   "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
                   SG_ALG_ES256, "no use for tokens");
    assert_refused(KEY_FILE_PEM,
                   "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n",
                   SG_ALG_ES256, "no private key among");
    free(cut);
    free(key);
}

/* ---- JWK ---- */

/* The JWK with one member set to other JSON text, or taken out (NULL). free() it. */
static char *with(const char *json, const char *name, const char *value)
{
    json_t *root = json_loads(json, 0, NULL);
    assert_non_null(root);
    if (value == NULL) {
        (void)json_object_del(root, name);
    } else {
        assert_int_equal(json_object_set_new(root, name, json_loads(value, JSON_DECODE_ANY, NULL)),
                         0);
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    assert_non_null(text);
    return text;
}

static void assert_jwk_refused_with(const char *json, enum sg_alg default_alg, const char *name,
                                    const char *value, const char *word)
{
    char *text = with(json, name, value);
    assert_refused(KEY_FILE_JWK, text, default_alg, word);
    free(text);
}

static void test_jwk__every_kind_is_read(void **state)
{
    static const struct {
        const char *json;
        enum sg_alg default_alg, alg;
    } cases[] = {
        {rfc7515_a1_key, SG_ALG_HS256, SG_ALG_HS256},   /* no alg: the default's */
        {rfc7515_a2_key, SG_ALG_RS256, SG_ALG_RS256},   /* likewise */
        {rfc7515_a3_key, SG_ALG_RS256, SG_ALG_ES256},   /* its curve's */
        {rfc7515_a4_key, SG_ALG_ES256, SG_ALG_ES512},   /* likewise */
        {rfc8037_a4_key, SG_ALG_ES256, SG_ALG_ED25519}, /* likewise */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_read(KEY_FILE_JWK, cases[i].json, cases[i].default_alg);
        assert_int_equal(fixture.file.num_keys, 1);
        assert_int_equal(fixture.file.keys[0].alg, cases[i].alg);
        assert_true(fixture.file.keys[0].bytes.len > 0);
        assert_read(KEY_FILE_GUESS, cases[i].json, cases[i].default_alg);
        assert_int_equal(fixture.file.form, KEY_FILE_JWK);
    }
}

static void test_jwk__kid_and_alg_are_what_it_says(void **state)
{
    char *kid = with(rfc7515_a1_key, "kid", "\"legacy-1\"");
    char *both = with(kid, "alg", "\"HS512\"");
    (void)state;
    assert_read(KEY_FILE_JWK, both, SG_ALG_ES256);
    assert_string_equal(fixture.file.keys[0].kid, "legacy-1");
    assert_int_equal(fixture.file.keys[0].alg, SG_ALG_HS512);
    assert_false(read_bytes(KEY_FILE_JWK, both, strlen(both), SG_ALG_HS256, SG_ALG_HS256));
    assert_non_null(strstr(fixture.error.message, "not good for HS256"));
    free(both);
    free(kid);
}

static void test_jwk__flawed_ones_are_refused(void **state)
{
    (void)state;
    assert_jwk_refused_with(rfc7515_a3_key, SG_ALG_ES256, "d", NULL, "is a public key");
    assert_jwk_refused_with(rfc7515_a2_key, SG_ALG_RS256, "d", NULL, "is a public key");
    assert_jwk_refused_with(rfc7515_a2_key, SG_ALG_ES256, "alg", NULL, "not good for ES256");
    assert_jwk_refused_with(rfc7515_a3_key, SG_ALG_ES256, "crv", "\"P-384\"", "RFC 7518");
    assert_jwk_refused_with(rfc7515_a3_key, SG_ALG_ES256, "crv", "\"P-224\"", "RFC");
    assert_jwk_refused_with(rfc7515_a3_key, SG_ALG_ES256, "use", "\"enc\"", "use is not");
    assert_jwk_refused_with(rfc7515_a1_key, SG_ALG_HS256, "k", "\"AAAA\"", "shorter than the hash");
    assert_jwk_refused_with(rfc7515_a1_key, SG_ALG_HS256, "kid", "7", "kid is not a string");
    assert_jwk_refused_with(rfc7515_a1_key, SG_ALG_HS256, "kty", NULL, "kty");
    assert_refused(KEY_FILE_JWK, "{\"kty\":\"oct\"", SG_ALG_HS256, "not a JWK");
    assert_refused(KEY_FILE_JWK, "[]", SG_ALG_HS256, "not a JWK");
    assert_refused(KEY_FILE_JWK, "{\"keys\":[]}", SG_ALG_HS256, "--jwks");
    assert_refused(KEY_FILE_GUESS, "{\"kty\":", SG_ALG_HS256, "not a JWK");
}

/* ---- JWK Sets ---- */

static char *set_of(const char *a, const char *b, const char *c)
{
    char *text = NULL;
    assert_true(asprintf(&text, "{\"keys\":[%s,%s,%s]}", a, b, c) > 0);
    return text;
}

static void test_jwks__usable_keys_are_read_and_others_told(void **state)
{
    char *public = with(rfc7515_a3_key, "d", NULL);
    char *set = set_of(rfc7515_a3_key, public, rfc8037_a4_key);
    (void)state;
    assert_read(KEY_FILE_JWKS, set, SG_ALG_ES256);
    assert_int_equal(fixture.file.num_keys, 2);
    assert_int_equal(fixture.file.keys[0].alg, SG_ALG_ES256);
    assert_int_equal(fixture.file.keys[1].alg, SG_ALG_ED25519);
    assert_int_equal(fixture.file.num_skipped, 1);
    assert_int_equal(fixture.file.skipped[0].index, 1);
    assert_non_null(strstr(fixture.file.skipped[0].error.message, "is a public key"));
    assert_read(KEY_FILE_GUESS, set, SG_ALG_ES256);
    assert_int_equal(fixture.file.form, KEY_FILE_JWKS);
    free(set);
    free(public);
}

static void test_jwks__without_a_usable_key_are_refused(void **state)
{
    char *public = with(rfc7515_a3_key, "d", NULL);
    char *set = set_of(public, "7", "{}");
    (void)state;
    assert_refused(KEY_FILE_JWKS, set, SG_ALG_ES256, "none of the 3 keys");
    assert_refused(KEY_FILE_JWKS, "{\"keys\":[]}", SG_ALG_ES256, "is empty");
    assert_refused(KEY_FILE_JWKS, "{\"keys\":{}}", SG_ALG_ES256, "not a JWK Set");
    assert_refused(KEY_FILE_JWKS, rfc7515_a3_key, SG_ALG_ES256, "not a JWK Set");
    assert_refused(KEY_FILE_JWKS, "{\"keys\":[", SG_ALG_ES256, "not a JWK Set");
    free(set);
    free(public);
}

static void test_jwks__of_too_many_keys_are_refused(void **state)
{
    char text[16 + 257 * 3];
    size_t len = (size_t)snprintf(text, sizeof(text), "{\"keys\":[{}");
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, ",{}");
    }
    (void)snprintf(text + len, sizeof(text) - len, "]}");
    assert_refused(KEY_FILE_JWKS, text, SG_ALG_ES256, "at most 256");
}

/* ---- Secrets ---- */

static void test_secret__is_every_byte_of_the_file(void **state)
{
    static const char secret[] = "{-----BEGIN 0123456789 0123456789\n";
    (void)state;
    assert_read(KEY_FILE_SECRET, secret, SG_ALG_HS256);
    assert_int_equal(fixture.file.keys[0].bytes.len, strlen(secret));
    assert_memory_equal(fixture.file.keys[0].bytes.data, secret, strlen(secret));
    assert_true(fixture.file.ends_with_newline);
    assert_true(read_bytes(KEY_FILE_SECRET, secret, 32, SG_ALG_HS256, SG_ALG_ES256));
    assert_false(fixture.file.ends_with_newline);
}

static void test_secret__of_another_length_or_algorithm_is_refused(void **state)
{
    char secret[1026];
    (void)state;
    memset(secret, 'x', sizeof(secret));
    assert_false(read_bytes(KEY_FILE_SECRET, secret, 31, SG_ALG_UNSET, SG_ALG_HS256));
    assert_non_null(strstr(fixture.error.message, "RFC 7518 section 3.2"));
    assert_false(read_bytes(KEY_FILE_SECRET, secret, 63, SG_ALG_HS512, SG_ALG_HS256));
    assert_true(read_bytes(KEY_FILE_SECRET, secret, 1024, SG_ALG_HS512, SG_ALG_HS256));
    assert_false(read_bytes(KEY_FILE_SECRET, secret, 1025, SG_ALG_HS512, SG_ALG_HS256));
    assert_non_null(strstr(fixture.error.message, "at most 1024"));
    assert_false(read_bytes(KEY_FILE_SECRET, secret, 64, SG_ALG_UNSET, SG_ALG_ES256));
    assert_non_null(strstr(fixture.error.message, "--alg"));
}

/* ---- Neither ---- */

static void test_garbage__is_refused_in_every_form(void **state)
{
    static const char garbage[] = "\x30\x82\x01\x00 this is no key \xff\xfe";
    (void)state;
    assert_refused(KEY_FILE_PEM, garbage, SG_ALG_ES256, "not PEM");
    assert_refused(KEY_FILE_JWK, garbage, SG_ALG_ES256, "not a JWK");
    assert_refused(KEY_FILE_JWKS, garbage, SG_ALG_ES256, "not a JWK Set");
    assert_refused(KEY_FILE_GUESS, garbage, SG_ALG_ES256, "neither PEM nor JSON");
    assert_refused(KEY_FILE_GUESS, " \r\n\t", SG_ALG_ES256, "neither PEM nor JSON");
}

static void test_empty__is_refused_in_every_form(void **state)
{
    (void)state;
    for (int form = KEY_FILE_GUESS; form <= KEY_FILE_SECRET; form++) {
        assert_refused((enum key_file_form)form, "", SG_ALG_HS256, "nothing in it");
    }
}

static void test_huge__is_refused_in_every_form(void **state)
{
    const size_t len = (size_t)1024 * 1024;
    char *huge = malloc(len + 1);
    assert_non_null(huge);
    (void)state;
    memset(huge, '{', len);
    huge[len] = '\0';
    assert_refused(KEY_FILE_PEM, huge, SG_ALG_HS256, "not PEM");
    assert_refused(KEY_FILE_JWK, huge, SG_ALG_HS256, "too long");
    assert_refused(KEY_FILE_JWKS, huge, SG_ALG_HS256, "too long");
    assert_refused(KEY_FILE_GUESS, huge, SG_ALG_HS256, "too long");
    assert_refused(KEY_FILE_SECRET, huge, SG_ALG_HS256, "at most 1024");
    free(huge);
}

/* ---- The allocator that wipes ---- */

static void test_alloc__keeps_what_was_written_when_it_moves(void **state)
{
    (void)state;
    static const uint8_t written[] = {1, 2, 3, 4, 5};
    uint8_t *memory = seal_alloc(sizeof(written));
    assert_non_null(memory);
    memcpy(memory, written, sizeof(written));
    memory = seal_resize(memory, 100000);
    assert_non_null(memory);
    assert_memory_equal(memory, written, sizeof(written));
    memset(memory + sizeof(written), 'x', 100000 - sizeof(written));
    memory = seal_resize(memory, 2);
    assert_non_null(memory);
    assert_memory_equal(memory, written, 2);
    assert_null(seal_resize(memory, 0)); /* which releases it */
    seal_free(NULL);
}

static void test_alloc__of_what_nobody_has_fails(void **state)
{
    volatile size_t most = SIZE_MAX; /* so that the compiler does not see it coming */
    (void)state;
    assert_null(seal_alloc(0));
    assert_null(seal_alloc(most));
    assert_null(seal_alloc(most - 8));
}

/* ---- All ---- */

static int group_setup(void **state)
{
    (void)state;
    fixture.rsa = EVP_RSA_gen(2048);
    fixture.p256 = ec_key("P-256");
    fixture.p384 = ec_key("P-384");
    fixture.secp224 = ec_key("P-224");
    fixture.ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return fixture.rsa != NULL && fixture.ed25519 != NULL ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    key_file_fini(&fixture.file);
    EVP_PKEY_free(fixture.rsa);
    EVP_PKEY_free(fixture.p256);
    EVP_PKEY_free(fixture.p384);
    EVP_PKEY_free(fixture.secp224);
    EVP_PKEY_free(fixture.ed25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pem__every_kind_of_private_key_is_read),
        cmocka_unit_test(test_pem__encrypted_ones_are_read_with_the_passphrase),
        cmocka_unit_test(test_pem__with_another_passphrase_is_refused),
        cmocka_unit_test(test_pem__with_another_passphrase_that_fits_by_chance_is_refused),
        cmocka_unit_test(test_pem__without_a_passphrase_nothing_more_is_said),
        cmocka_unit_test(test_pem__a_cipher_of_old_is_named_as_such),
        cmocka_unit_test(test_pem__what_else_is_in_the_file_is_left_alone),
        cmocka_unit_test(test_pem__public_only_is_refused),
        cmocka_unit_test(test_pem__two_keys_in_a_file_are_refused),
        cmocka_unit_test(test_pem__a_key_that_does_not_fit_the_algorithm_is_refused),
        cmocka_unit_test(test_pem__weak_rsa_keys_are_refused),
        cmocka_unit_test(test_pem__a_pair_that_is_none_is_refused),
        cmocka_unit_test(test_pem__bytes_behind_the_key_are_refused),
        cmocka_unit_test(test_pem__damaged_and_foreign_blocks_are_refused),
        cmocka_unit_test(test_jwk__every_kind_is_read),
        cmocka_unit_test(test_jwk__kid_and_alg_are_what_it_says),
        cmocka_unit_test(test_jwk__flawed_ones_are_refused),
        cmocka_unit_test(test_jwks__usable_keys_are_read_and_others_told),
        cmocka_unit_test(test_jwks__without_a_usable_key_are_refused),
        cmocka_unit_test(test_jwks__of_too_many_keys_are_refused),
        cmocka_unit_test(test_secret__is_every_byte_of_the_file),
        cmocka_unit_test(test_secret__of_another_length_or_algorithm_is_refused),
        cmocka_unit_test(test_garbage__is_refused_in_every_form),
        cmocka_unit_test(test_empty__is_refused_in_every_form),
        cmocka_unit_test(test_huge__is_refused_in_every_form),
        cmocka_unit_test(test_alloc__keeps_what_was_written_when_it_moves),
        cmocka_unit_test(test_alloc__of_what_nobody_has_fails),
    };
    return cmocka_run_group_tests_name("key_file", tests, group_setup, group_teardown);
}
