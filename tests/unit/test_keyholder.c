/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder: every algorithm signs what OpenSSL verifies, and nothing else is signed; no
 * request can make it crash, answer for another key, or say yes by accident.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "server/keyholder/keyholder.h"

#define TEST_PAYLOAD "eyJzdWIiOiJhbGljZSJ9"

static int keyholder_setup(void **state)
{
    struct sg_keyholder *keyholder = NULL;
    assert_int_equal(sg_keyholder_new(1, &keyholder), SIGNET_OK);
    *state = keyholder;
    return 0;
}

static int keyholder_teardown(void **state)
{
    sg_keyholder_free(*state);
    return 0;
}

/* ---- Asking ---- */

static struct sg_keyholder_reply keyholder_ask(struct sg_keyholder *keyholder,
                                               struct sg_keyholder_request request,
                                               const void *bytes, size_t len)
{
    static const struct sg_keyholder_reply unset = {.status = UINT32_MAX};
    struct sg_keyholder_reply reply = unset;
    request.data_len = (uint32_t)len;
    assert_int_equal(sg_keyholder_call(keyholder, &request, 1, bytes, len, &reply), SIGNET_OK);
    assert_int_not_equal(reply.status, UINT32_MAX);
    assert_true((reply.status == SIGNET_OK) == (reply.message[0] == '\0'));
    return reply;
}

static uint64_t keyholder_generate(struct sg_keyholder *keyholder, enum sg_alg alg)
{
    struct sg_keyholder_reply reply = keyholder_ask(
        keyholder,
        (struct sg_keyholder_request){.op = SG_KEYHOLDER_GENERATE, .alg = alg, .rsa_bits = 2048},
        NULL, 0);
    assert_int_equal(reply.status, SIGNET_OK);
    assert_int_not_equal(reply.slot, 0);
    return reply.slot;
}

static struct sg_keyholder_reply keyholder_import(struct sg_keyholder *keyholder, enum sg_alg alg,
                                                  const void *bytes, size_t len)
{
    return keyholder_ask(keyholder,
                         (struct sg_keyholder_request){.op = SG_KEYHOLDER_IMPORT, .alg = alg},
                         bytes, len);
}

static struct sg_keyholder_reply keyholder_sign(struct sg_keyholder *keyholder, uint64_t slot,
                                                const void *input, size_t len)
{
    return keyholder_ask(keyholder,
                         (struct sg_keyholder_request){.op = SG_KEYHOLDER_SIGN, .slot = slot},
                         input, len);
}

static struct sg_keyholder_reply keyholder_mac_check(struct sg_keyholder *keyholder, uint64_t slot,
                                                     const void *input, size_t len,
                                                     const uint8_t *mac, size_t mac_len)
{
    struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_MAC_CHECK, .slot = slot, .mac_len = (uint32_t)mac_len};
    memcpy(request.mac, mac, mac_len < sizeof(request.mac) ? mac_len : sizeof(request.mac));
    return keyholder_ask(keyholder, request, input, len);
}

/* header, as it stands, in base64url, and a payload. */
static size_t keyholder_input(const char *header, char out[512])
{
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), out);
    return len + (size_t)snprintf(out + len, 512 - len, ".%s", TEST_PAYLOAD);
}

static size_t keyholder_input_for(enum sg_alg alg, char out[512])
{
    char header[128];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\",\"typ\":\"JWT\"}",
                   sg_alg_info(alg)->jws_name);
    return keyholder_input(header, out);
}

/* ---- Verifying with OpenSSL alone ---- */

static EVP_PKEY *keyholder_public(struct sg_keyholder *keyholder, uint64_t slot)
{
    struct sg_keyholder_reply reply = keyholder_ask(
        keyholder, (struct sg_keyholder_request){.op = SG_KEYHOLDER_PUBLIC, .slot = slot}, NULL, 0);
    assert_int_equal(reply.status, SIGNET_OK);
    const uint8_t *at = reply.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)reply.data_len);
    assert_non_null(pkey);
    assert_ptr_equal(at, reply.data + reply.data_len);
    return pkey;
}

static size_t keyholder_to_der(const uint8_t *raw, size_t len, uint8_t **der)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    assert_int_equal(ECDSA_SIG_set0(signature, BN_bin2bn(raw, (int)len / 2, NULL),
                                    BN_bin2bn(raw + len / 2, (int)len / 2, NULL)),
                     1);
    int der_len = i2d_ECDSA_SIG(signature, der);
    assert_true(der_len > 0);
    ECDSA_SIG_free(signature);
    return (size_t)der_len;
}

static bool keyholder_verifies(enum sg_alg alg, EVP_PKEY *pkey, const char *input, size_t len,
                               const uint8_t *signature, size_t signature_len)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL;
    uint8_t *der = NULL;
    assert_int_equal(
        EVP_DigestVerifyInit_ex(context, &parameters, info->digest, NULL, NULL, pkey, NULL), 1);
    if (info->family == SG_FAMILY_RSA_PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, (int)info->hash_len), 1);
    }
    if (info->family == SG_FAMILY_ECDSA) {
        assert_int_equal(signature_len, info->signature_len);
        signature_len = keyholder_to_der(signature, signature_len, &der);
        signature = der;
    }
    bool good =
        EVP_DigestVerify(context, signature, signature_len, (const uint8_t *)input, len) == 1;
    OPENSSL_free(der);
    EVP_MD_CTX_free(context);
    return good;
}

/* ---- Signing ---- */

static void test_sign__verifies_under_the_public_key(void **state)
{
    struct sg_keyholder *keyholder = *state;
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        enum sg_alg alg = (enum sg_alg)i;
        const struct sg_alg_info *info = sg_alg_info(alg);
        if (info->family == SG_FAMILY_HMAC) {
            continue;
        }
        char input[512];
        size_t len = keyholder_input_for(alg, input);
        uint64_t slot = keyholder_generate(keyholder, alg);
        EVP_PKEY *pkey = keyholder_public(keyholder, slot);
        /* Twice: the second time with a context that was used. */
        for (int turn = 0; turn < 2; turn++) {
            struct sg_keyholder_reply reply = keyholder_sign(keyholder, slot, input, len);
            assert_int_equal(reply.status, SIGNET_OK);
            assert_int_equal(reply.data_len, info->signature_len > 0 ? info->signature_len : 256);
            assert_true(keyholder_verifies(alg, pkey, input, len, reply.data, reply.data_len));
            reply.data[reply.data_len / 3] ^= 1;
            assert_false(keyholder_verifies(alg, pkey, input, len, reply.data, reply.data_len));
        }
        EVP_PKEY_free(pkey);
    }
}

/* About one r or s in 256 begins with a zero byte, which must be kept (RFC 7518 section 3.4). */
static void test_sign__ecdsa_keeps_leading_zeros(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_ES256, input);
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_ES256);
    EVP_PKEY *pkey = keyholder_public(keyholder, slot);
    bool seen = false;
    for (int i = 0; i < 20000 && !seen; i++) {
        struct sg_keyholder_reply reply = keyholder_sign(keyholder, slot, input, len);
        assert_int_equal(reply.data_len, 64);
        seen = reply.data[0] == 0 || reply.data[32] == 0;
        if (seen) {
            assert_true(
                keyholder_verifies(SG_ALG_ES256, pkey, input, len, reply.data, reply.data_len));
        }
    }
    assert_true(seen);
    EVP_PKEY_free(pkey);
}

static void test_sign__hmac_is_what_openssl_computes(void **state)
{
    static const struct {
        enum sg_alg alg;
        const char *digest;
        size_t len;
    } rows[] = {
        {SG_ALG_HS256, "SHA256", 32}, {SG_ALG_HS384, "SHA384", 48}, {SG_ALG_HS512, "SHA512", 64}};
    struct sg_keyholder *keyholder = *state;
    uint8_t secret[100];
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char input[512];
        uint8_t expected[EVP_MAX_MD_SIZE];
        size_t expected_len = 0;
        size_t len = keyholder_input_for(rows[i].alg, input);
        assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, rows[i].digest, NULL, secret, sizeof(secret),
                                  (const uint8_t *)input, len, expected, sizeof(expected),
                                  &expected_len));
        struct sg_keyholder_reply import =
            keyholder_import(keyholder, rows[i].alg, secret, sizeof(secret));
        assert_int_equal(import.status, SIGNET_OK);
        struct sg_keyholder_reply reply = keyholder_sign(keyholder, import.slot, input, len);
        assert_int_equal(reply.status, SIGNET_OK);
        assert_int_equal(reply.data_len, rows[i].len);
        assert_int_equal(expected_len, rows[i].len);
        assert_memory_equal(reply.data, expected, rows[i].len);
        reply = keyholder_mac_check(keyholder, import.slot, input, len, expected, expected_len);
        assert_int_equal(reply.verdict, SG_KEYHOLDER_MAC_EQUAL);
    }
}

static void test_sign__refuses_what_is_no_signing_input(void **state)
{
    static const struct {
        const char *header, *why;
    } rows[] = {
        {"{\"typ\":\"JWT\",\"alg\":\"ES256\"}", "begin with alg"},
        {"{ \"alg\":\"ES256\"}", "begin with alg"},
        {"{\"alg\": \"ES256\"}", "begin with alg"},
        {"[\"alg\",\"ES256\"]", "begin with alg"},
        {"", "empty header"},
        {"{\"alg\":\"none\"}", "another algorithm"},
        {"{\"alg\":\"ES384\"}", "another algorithm"},
        {"{\"alg\":\"es256\"}", "another algorithm"},
        {"{\"alg\":\"ES25\"}", "another algorithm"},
        {"{\"alg\":\"ES256K\"}", "another algorithm"},
        {"{\"alg\":\"ES256\",\"alg\":\"none\"}", "twice"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"alg\":\"ES256\"}", "twice"},
        {"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\"}", "plain members"},
        {"{\"alg\":\"ES256\",\"crit\":[\"b64\"]}", "plain members"},
        {"{\"alg\":\"ES256\",\"b64\":false}", "plain members"},
        {"{\"alg\":\"ES256\",\"jwk\":{\"alg\":\"none\"}}", "plain members"},
        {"{\"alg\":\"ES256\",}", "plain members"},
        {"{\"alg\":\"ES256\"", "plain members"},
        {"{\"alg\":\"ES256\"}}", "plain members"},
        {"{\"alg\":\"ES256\"} ", "plain members"},
        {"{\"alg\":\"ES256\",\"kid\":\"\x01\"}", "plain members"},
        {"{\"alg\":\"ES256\",\"kid\":\"\xc3\xa9\"}", "plain members"},
    };
    struct sg_keyholder *keyholder = *state;
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_ES256);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char input[512];
        size_t len = keyholder_input(rows[i].header, input);
        struct sg_keyholder_reply reply = keyholder_sign(keyholder, slot, input, len);
        assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
        assert_int_equal(reply.data_len, 0);
        if (strstr(reply.message, rows[i].why) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].header, reply.message, rows[i].why);
        }
    }
}

static void test_sign__refuses_what_is_not_two_parts(void **state)
{
    static const char head[] = "eyJhbGciOiJFUzI1NiJ9"; /* {"alg":"ES256"} */
    static const char *const tails[] = {
        "",      ".",      "..",   ".e30.", ".e30.e30", ".e30=",  ".e3",    ".e31",
        ".e 30", ".e30\n", ".e3+", ".e3/0", "e30",      ".e30e3", ".\3770", ".e"};
    struct sg_keyholder *keyholder = *state;
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_ES256);
    char input[SG_MAX_TOKEN_LEN + 16];
    struct sg_keyholder_reply reply;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        int len = snprintf(input, sizeof(input), "%s%s", head, tails[i]);
        reply = keyholder_sign(keyholder, slot, input, (size_t)len);
        if (reply.status != SIGNET_INVALID_ARGUMENT || reply.data_len != 0) {
            fail_msg("signed \"%s\"", input);
        }
    }
    assert_int_equal(keyholder_sign(keyholder, slot, NULL, 0).status, SIGNET_INVALID_ARGUMENT);
    assert_int_equal(keyholder_sign(keyholder, slot, ".e30", 4).status, SIGNET_INVALID_ARGUMENT);
    /* As long as a token may be, and longer; the payload is checked to its end. */
    memset(input, 'A', sizeof(input));
    memcpy(input, head, sizeof(head) - 1);
    input[sizeof(head) - 1] = '.';
    size_t longest = sizeof(head) + (SG_MAX_TOKEN_LEN - sizeof(head)) / 4 * 4;
    assert_int_equal(keyholder_sign(keyholder, slot, input, longest).status, SIGNET_OK);
    input[longest - 1] = '.';
    assert_int_equal(keyholder_sign(keyholder, slot, input, longest).status,
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(keyholder_sign(keyholder, slot, input, SG_MAX_TOKEN_LEN + 1).status,
                     SIGNET_INVALID_ARGUMENT);
}

static void test_sign__names_the_edwards_curves_eddsa_only(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char input[512];
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_ED25519);
    size_t len = keyholder_input("{\"alg\":\"EdDSA\"}", input);
    assert_int_equal(keyholder_sign(keyholder, slot, input, len).status, SIGNET_OK);
    len = keyholder_input("{\"alg\":\"Ed448\"}", input);
    assert_int_equal(keyholder_sign(keyholder, slot, input, len).status, SIGNET_INVALID_ARGUMENT);
}

/* ---- Checking MACs ---- */

static void test_mac_check__tells_equal_from_different(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_HS256, input);
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_HS256);
    uint64_t other = keyholder_generate(keyholder, SG_ALG_HS256);
    struct sg_keyholder_reply made = keyholder_sign(keyholder, slot, input, len);
    assert_int_equal(made.status, SIGNET_OK);

    struct sg_keyholder_reply reply =
        keyholder_mac_check(keyholder, slot, input, len, made.data, 32);
    assert_int_equal(reply.status, SIGNET_OK);
    assert_int_equal(reply.verdict, SG_KEYHOLDER_MAC_EQUAL);
    assert_int_equal(reply.data_len, 0);
    reply = keyholder_mac_check(keyholder, other, input, len, made.data, 32);
    assert_int_equal(reply.verdict, SG_KEYHOLDER_MAC_DIFFERS);
    reply = keyholder_mac_check(keyholder, slot, input, len - 1, made.data, 32);
    assert_int_equal(reply.verdict, SG_KEYHOLDER_MAC_DIFFERS);
    for (size_t i = 0; i < 32; i++) {
        made.data[i] ^= 0x80;
        reply = keyholder_mac_check(keyholder, slot, input, len, made.data, 32);
        assert_int_equal(reply.status, SIGNET_OK);
        assert_int_equal(reply.verdict, SG_KEYHOLDER_MAC_DIFFERS);
        made.data[i] ^= 0x80;
    }
}

/* Neither a shortened MAC nor the computed one ever helps a caller. */
static void test_mac_check__gives_nothing_away(void **state)
{
    static const uint8_t nothing[SG_KEYHOLDER_MAX_DATA];
    struct sg_keyholder *keyholder = *state;
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_HS256, input);
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_HS256);
    struct sg_keyholder_reply made = keyholder_sign(keyholder, slot, input, len);
    for (size_t mac_len = 0; mac_len <= SG_KEYHOLDER_MAX_MAC; mac_len++) {
        struct sg_keyholder_reply reply =
            keyholder_mac_check(keyholder, slot, input, len, made.data, mac_len);
        assert_int_equal(reply.status, SIGNET_OK);
        assert_int_equal(reply.verdict,
                         mac_len == 32 ? SG_KEYHOLDER_MAC_EQUAL : SG_KEYHOLDER_MAC_DIFFERS);
        assert_memory_equal(reply.data, nothing, sizeof(nothing));
    }
    struct sg_keyholder_reply reply =
        keyholder_mac_check(keyholder, slot, input, len, made.data, SG_KEYHOLDER_MAX_MAC + 1);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    assert_int_equal(reply.verdict, 0);
}

/* A verifier's classic mistake: a public key's bytes as an HMAC key (attacks A3). */
static void test_mac_check__needs_a_secret(void **state)
{
    static const uint8_t mac[32];
    static const enum sg_alg algs[] = {SG_ALG_RS256, SG_ALG_PS256, SG_ALG_ES256, SG_ALG_ED25519};
    struct sg_keyholder *keyholder = *state;
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        uint64_t slot = keyholder_generate(keyholder, algs[i]);
        struct sg_keyholder_reply reply =
            keyholder_mac_check(keyholder, slot, "x", 1, mac, sizeof(mac));
        assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
        assert_int_equal(reply.verdict, 0);
    }
}

/* ---- Importing ---- */

static size_t keyholder_pkcs8(EVP_PKEY *pkey, uint8_t **der)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    assert_non_null(info);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, der);
    assert_true(len > 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    return (size_t)len;
}

static EVP_PKEY *keyholder_fresh(enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    EVP_PKEY *pkey = NULL;
    if (strcmp(info->kty, "RSA") == 0) {
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    } else if (strcmp(info->kty, "EC") == 0) {
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    } else {
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, info->group);
    }
    assert_non_null(pkey);
    return pkey;
}

static void test_import__takes_a_key_that_fits_and_no_other(void **state)
{
    static const enum sg_alg algs[] = {SG_ALG_RS256,  SG_ALG_ES256,   SG_ALG_ES384, SG_ALG_ES512,
                                       SG_ALG_ES256K, SG_ALG_ED25519, SG_ALG_ED448};
    const size_t num = sizeof(algs) / sizeof(algs[0]);
    struct sg_keyholder *keyholder = *state;
    for (size_t i = 0; i < num; i++) {
        EVP_PKEY *pkey = keyholder_fresh(algs[i]);
        uint8_t *der = NULL;
        size_t der_len = keyholder_pkcs8(pkey, &der);
        for (size_t k = 0; k < num; k++) {
            struct sg_keyholder_reply reply = keyholder_import(keyholder, algs[k], der, der_len);
            assert_int_equal(reply.status, i == k ? SIGNET_OK : SIGNET_INVALID_ARGUMENT);
            if (i == k) {
                EVP_PKEY *public_key = keyholder_public(keyholder, reply.slot);
                assert_int_equal(EVP_PKEY_eq(pkey, public_key), 1);
                EVP_PKEY_free(public_key);
            }
        }
        /* Every byte counts: nothing may be cut off or follow. */
        assert_int_equal(keyholder_import(keyholder, algs[i], der, der_len - 1).status,
                         SIGNET_INVALID_ARGUMENT);
        uint8_t *longer = calloc(1, der_len + 1);
        memcpy(longer, der, der_len);
        assert_int_equal(keyholder_import(keyholder, algs[i], longer, der_len + 1).status,
                         SIGNET_INVALID_ARGUMENT);
        free(longer);
        OPENSSL_free(der);
        EVP_PKEY_free(pkey);
    }
}

/* Writes the key in one of the forms of PEM; with a passphrase where there is one. */
enum keyholder_pem {
    PEM_IS_PKCS8,
    PEM_IS_TRADITIONAL,
    PEM_IS_PUBLIC
};

static size_t keyholder_to_pem(const EVP_PKEY *pkey, enum keyholder_pem form,
                               const char *passphrase, char out[8192])
{
    BIO *bio = BIO_new(BIO_s_mem());
    const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    int written = 0;
    switch (form) {
    case PEM_IS_PKCS8:
        written = PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, NULL, 0, NULL,
                                                (void *)(uintptr_t)passphrase);
        break;
    case PEM_IS_TRADITIONAL:
        written = PEM_write_bio_PrivateKey_traditional(bio, pkey, cipher, NULL, 0, NULL,
                                                       (void *)(uintptr_t)passphrase);
        break;
    case PEM_IS_PUBLIC:
        written = PEM_write_bio_PUBKEY(bio, pkey);
        break;
    }
    assert_int_equal(written, 1);
    int len = BIO_read(bio, out, 8191);
    assert_in_range(len, 1, 8190);
    out[len] = '\0';
    BIO_free(bio);
    return (size_t)len;
}

static struct sg_keyholder_reply keyholder_import_text(struct sg_keyholder *keyholder,
                                                       enum sg_alg alg, const char *text)
{
    return keyholder_import(keyholder, alg, (const uint8_t *)text, strlen(text));
}

static void test_import__takes_every_form_of_pem(void **state)
{
    static const struct {
        enum sg_alg alg;
        enum keyholder_pem form;
        const char *begins;
    } rows[] = {
        {SG_ALG_RS256, PEM_IS_PKCS8, "-----BEGIN PRIVATE KEY-----\n"},
        {SG_ALG_RS256, PEM_IS_TRADITIONAL, "-----BEGIN RSA PRIVATE KEY-----\n"},
        {SG_ALG_ES256, PEM_IS_PKCS8, "-----BEGIN PRIVATE KEY-----\n"},
        {SG_ALG_ES256, PEM_IS_TRADITIONAL, "-----BEGIN EC PRIVATE KEY-----\n"},
        {SG_ALG_ED25519, PEM_IS_PKCS8, "-----BEGIN PRIVATE KEY-----\n"},
        {SG_ALG_ED448, PEM_IS_PKCS8, "-----BEGIN PRIVATE KEY-----\n"},
    };
    struct sg_keyholder *keyholder = *state;
    char pem[8192];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *pkey = keyholder_fresh(rows[i].alg);
        size_t len = keyholder_to_pem(pkey, rows[i].form, NULL, pem);
        assert_memory_equal(pem, rows[i].begins, strlen(rows[i].begins));
        struct sg_keyholder_reply reply = keyholder_import_text(keyholder, rows[i].alg, pem);
        assert_int_equal(reply.status, SIGNET_OK);
        EVP_PKEY *public_key = keyholder_public(keyholder, reply.slot);
        assert_int_equal(EVP_PKEY_eq(pkey, public_key), 1);
        EVP_PKEY_free(public_key);
        /* White space may follow, nothing else; another algorithm may not have it. */
        (void)snprintf(pem + len, sizeof(pem) - len, " \r\n\n");
        assert_int_equal(keyholder_import_text(keyholder, rows[i].alg, pem).status, SIGNET_OK);
        (void)snprintf(pem + len, sizeof(pem) - len, "x");
        assert_int_equal(keyholder_import_text(keyholder, rows[i].alg, pem).status,
                         SIGNET_INVALID_ARGUMENT);
        assert_int_equal(
            keyholder_import(keyholder, rows[i].alg, (const uint8_t *)pem, len - 10).status,
            SIGNET_INVALID_ARGUMENT);
        pem[len] = '\0';
        assert_int_equal(keyholder_import_text(keyholder, SG_ALG_ES384, pem).status,
                         SIGNET_INVALID_ARGUMENT);
        EVP_PKEY_free(pkey);
    }
}

static void test_import__refuses_pem_that_is_no_plain_private_key(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char pem[8192];
    EVP_PKEY *pkey = keyholder_fresh(SG_ALG_ES256);
    struct sg_keyholder_reply reply;
    for (int form = PEM_IS_PKCS8; form <= PEM_IS_TRADITIONAL; form++) {
        (void)keyholder_to_pem(pkey, (enum keyholder_pem)form, "secret", pem);
        reply = keyholder_import_text(keyholder, SG_ALG_ES256, pem);
        assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
        assert_non_null(strstr(reply.message, "is encrypted"));
    }
    (void)keyholder_to_pem(pkey, PEM_IS_PUBLIC, NULL, pem);
    assert_int_equal(keyholder_import_text(keyholder, SG_ALG_ES256, pem).status,
                     SIGNET_INVALID_ARGUMENT);

    X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(X509_set_pubkey(certificate, pkey), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 60));
    assert_true(X509_sign(certificate, pkey, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    int len = BIO_read(bio, pem, sizeof(pem) - 1);
    assert_true(len > 0);
    pem[len] = '\0';
    assert_memory_equal(pem, "-----BEGIN CERTIFICATE-----", 27);
    reply = keyholder_import_text(keyholder, SG_ALG_ES256, pem);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(reply.message, "not a PEM file of one PRIVATE KEY"));

    assert_int_equal(keyholder_import_text(keyholder, SG_ALG_ES256, "-----BEGIN ").status,
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(
        keyholder_import_text(keyholder, SG_ALG_ES256,
                              "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
            .status,
        SIGNET_INVALID_ARGUMENT);
    BIO_free(bio);
    X509_free(certificate);
    EVP_PKEY_free(pkey);
}

static void test_import__refuses_short_and_long_secrets(void **state)
{
    static const struct {
        enum sg_alg alg;
        size_t least;
    } rows[] = {{SG_ALG_HS256, 32}, {SG_ALG_HS384, 48}, {SG_ALG_HS512, 64}};
    static const uint8_t secret[SG_MAX_SECRET_LEN + 1] = {1};
    struct sg_keyholder *keyholder = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum sg_alg alg = rows[i].alg;
        struct sg_keyholder_reply reply =
            keyholder_import(keyholder, alg, secret, rows[i].least - 1);
        assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
        assert_non_null(strstr(reply.message, "RFC 7518 section 3.2"));
        assert_int_equal(keyholder_import(keyholder, alg, secret, 0).status,
                         SIGNET_INVALID_ARGUMENT);
        assert_int_equal(keyholder_import(keyholder, alg, secret, rows[i].least).status, SIGNET_OK);
        assert_int_equal(keyholder_import(keyholder, alg, secret, SG_MAX_SECRET_LEN).status,
                         SIGNET_OK);
        assert_int_equal(keyholder_import(keyholder, alg, secret, sizeof(secret)).status,
                         SIGNET_INVALID_ARGUMENT);
    }
}

static void test_import__refuses_weak_rsa_keys(void **state)
{
    struct sg_keyholder *keyholder = *state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    uint8_t *der = NULL;
    size_t len = keyholder_pkcs8(pkey, &der);
    struct sg_keyholder_reply reply = keyholder_import(keyholder, SG_ALG_RS256, der, len);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(reply.message, "RFC 7518 section 3.3"));
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);

    struct sg_keyholder_request request = {.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_RS256};
    static const uint32_t bits[] = {0, 1024, 2047, 2049, 8200, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        request.rsa_bits = bits[i];
        assert_int_equal(keyholder_ask(keyholder, request, NULL, 0).status,
                         SIGNET_INVALID_ARGUMENT);
    }
}

/* The private part of one key with the public part of another (attacks A9). */
static void test_import__refuses_parts_that_do_not_belong_together(void **state)
{
    struct sg_keyholder *keyholder = *state;
    EVP_PKEY *a = keyholder_fresh(SG_ALG_ES256);
    EVP_PKEY *b = keyholder_fresh(SG_ALG_ES256);
    uint8_t *a_der = NULL;
    uint8_t *b_der = NULL;
    size_t a_len = keyholder_pkcs8(a, &a_der);
    size_t b_len = keyholder_pkcs8(b, &b_der);
    assert_int_equal(a_len, b_len);
    /* The public point, 64 bytes, stands at the end. */
    memcpy(a_der + a_len - 64, b_der + b_len - 64, 64);
    struct sg_keyholder_reply reply = keyholder_import(keyholder, SG_ALG_ES256, a_der, a_len);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    OPENSSL_free(a_der);
    OPENSSL_free(b_der);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

static void test_public__is_not_there_for_a_secret(void **state)
{
    struct sg_keyholder *keyholder = *state;
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_HS256);
    struct sg_keyholder_reply reply = keyholder_ask(
        keyholder, (struct sg_keyholder_request){.op = SG_KEYHOLDER_PUBLIC, .slot = slot}, NULL, 0);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    assert_int_equal(reply.data_len, 0);
}

/* ---- Slots ---- */

static void test_slots__of_destroyed_keys_find_nothing(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_HS256, input);
    uint64_t stale = keyholder_generate(keyholder, SG_ALG_HS256);
    struct sg_keyholder_reply made = keyholder_sign(keyholder, stale, input, len);
    const struct sg_keyholder_request destroy = {.op = SG_KEYHOLDER_DESTROY, .slot = stale};
    assert_int_equal(keyholder_ask(keyholder, destroy, NULL, 0).status, SIGNET_OK);
    assert_int_equal(keyholder_ask(keyholder, destroy, NULL, 0).status, SIGNET_NOT_FOUND);

    /* Fill the table, so that the place is taken again. */
    uint64_t last = 0;
    for (uint32_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        last = keyholder_generate(keyholder, SG_ALG_HS256);
        assert_int_not_equal(last, stale);
    }
    const struct sg_keyholder_request more = {.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_HS256};
    assert_int_equal(keyholder_ask(keyholder, more, NULL, 0).status, SIGNET_RESOURCE_EXHAUSTED);
    assert_int_equal(keyholder_sign(keyholder, stale, input, len).status, SIGNET_NOT_FOUND);
    struct sg_keyholder_reply reply =
        keyholder_mac_check(keyholder, stale, input, len, made.data, 32);
    assert_int_equal(reply.status, SIGNET_NOT_FOUND);
    assert_int_equal(reply.verdict, 0);
    assert_int_equal(keyholder_sign(keyholder, last, input, len).status, SIGNET_OK);
}

static void test_slots__that_never_were_find_nothing(void **state)
{
    static const uint64_t slots[] = {0,
                                     1,
                                     SG_KEYHOLDER_MAX_SLOTS - 1,
                                     SG_KEYHOLDER_MAX_SLOTS,
                                     SG_KEYHOLDER_MAX_SLOTS * 2u,
                                     UINT32_MAX};
    static const uint32_t ops[] = {SG_KEYHOLDER_SIGN, SG_KEYHOLDER_MAC_CHECK, SG_KEYHOLDER_PUBLIC,
                                   SG_KEYHOLDER_DESTROY};
    struct sg_keyholder *keyholder = *state;
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
            struct sg_keyholder_reply reply = keyholder_ask(
                keyholder, (struct sg_keyholder_request){.op = ops[k], .slot = slots[i]}, "x", 1);
            assert_int_equal(reply.status, SIGNET_NOT_FOUND);
            assert_int_equal(reply.verdict, 0);
        }
    }
}

/* ---- Malformed requests ---- */

static void test_call__refuses_malformed_requests(void **state)
{
    struct sg_keyholder *keyholder = *state;
    static const uint8_t bytes[8];
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_HS256);
    static const struct {
        uint32_t off, len;
    } ranges[] = {
        {0, 9}, {9, 0}, {8, 1}, {4, 5}, {UINT32_MAX, 1}, {1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
    struct sg_keyholder_reply reply;
    for (uint32_t op = SG_KEYHOLDER_GENERATE; op <= SG_KEYHOLDER_DESTROY; op++) {
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
            const struct sg_keyholder_request request = {.op = op,
                                                         .alg = SG_ALG_HS256,
                                                         .slot = slot,
                                                         .data_off = ranges[i].off,
                                                         .data_len = ranges[i].len};
            assert_int_equal(sg_keyholder_call(keyholder, &request, 1, bytes, 8, &reply),
                             SIGNET_OK);
            assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
        }
    }
    static const uint32_t ops[] = {0, SG_KEYHOLDER_IMPORT_SEALED + 1, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        const struct sg_keyholder_request request = {.op = ops[i], .slot = slot};
        assert_int_equal(keyholder_ask(keyholder, request, NULL, 0).status, SIGNET_UNIMPLEMENTED);
    }
    static const uint32_t algs[] = {SG_ALG_UNSET, SG_ALG_COUNT, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_GENERATE, .alg = algs[i]};
        assert_int_equal(keyholder_ask(keyholder, request, NULL, 0).status,
                         SIGNET_INVALID_ARGUMENT);
        reply = keyholder_import(keyholder, (enum sg_alg)algs[i], bytes, sizeof(bytes));
        assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    }
    /* None of it did any harm. */
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_HS256, input);
    assert_int_equal(keyholder_sign(keyholder, slot, input, len).status, SIGNET_OK);
}

static void test_call__bounds_the_number_of_requests(void **state)
{
    struct sg_keyholder *keyholder = *state;
    static struct sg_keyholder_request requests[SG_MAX_BATCH + 1];
    static struct sg_keyholder_reply replies[SG_MAX_BATCH + 1];
    assert_int_equal(sg_keyholder_call(keyholder, requests, 0, NULL, 0, replies),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_call(keyholder, requests, SG_MAX_BATCH + 1, NULL, 0, replies),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_call(keyholder, requests, SIZE_MAX, NULL, 0, replies),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_call(keyholder, NULL, 1, NULL, 0, replies),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_call(keyholder, requests, 1, NULL, 1, replies),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_call(keyholder, requests, SG_MAX_BATCH, NULL, 0, replies),
                     SIGNET_OK);
}

/* A bad request in a batch fails alone, and each reply is to its own request. */
static void test_call__judges_each_request_on_its_own(void **state)
{
    struct sg_keyholder *keyholder = *state;
    char input[512];
    size_t len = keyholder_input_for(SG_ALG_HS256, input);
    uint64_t slot = keyholder_generate(keyholder, SG_ALG_HS256);
    const struct sg_keyholder_request good = {
        .op = SG_KEYHOLDER_SIGN, .slot = slot, .data_len = (uint32_t)len};
    const struct sg_keyholder_request requests[3] = {good, {.op = 99}, good};
    struct sg_keyholder_reply replies[3];
    assert_int_equal(
        sg_keyholder_call(keyholder, requests, 3, (const uint8_t *)input, len, replies), SIGNET_OK);
    assert_int_equal(replies[0].status, SIGNET_OK);
    assert_int_equal(replies[1].status, SIGNET_UNIMPLEMENTED);
    assert_int_equal(replies[1].data_len, 0);
    assert_int_equal(replies[2].status, SIGNET_OK);
    assert_memory_equal(replies[0].data, replies[2].data, 32);
}

/* ---- Threads ---- */

#define TEST_THREADS 4
#define TEST_ROUNDS  (SG_SANITIZED ? 100 : 400)

struct keyholder_thread {
    struct sg_keyholder *keyholder;
    uint64_t hmac_slot, ec_slot;
    EVP_PKEY *ec_public;
    size_t num_faults;
};

static void *keyholder_thread_main(void *arg)
{
    struct keyholder_thread *thread = arg;
    char hmac_input[512];
    char ec_input[512];
    size_t hmac_len = keyholder_input_for(SG_ALG_HS256, hmac_input);
    size_t ec_len = keyholder_input_for(SG_ALG_ES256, ec_input);
    for (int i = 0; i < TEST_ROUNDS; i++) {
        struct sg_keyholder_request request = {
            .op = SG_KEYHOLDER_SIGN, .slot = thread->hmac_slot, .data_len = (uint32_t)hmac_len};
        struct sg_keyholder_reply made;
        struct sg_keyholder_reply checked;
        bool good = sg_keyholder_call(thread->keyholder, &request, 1, (const uint8_t *)hmac_input,
                                      hmac_len, &made) == SIGNET_OK;
        request.op = SG_KEYHOLDER_MAC_CHECK;
        request.mac_len = 32;
        memcpy(request.mac, made.data, 32);
        good = good &&
               sg_keyholder_call(thread->keyholder, &request, 1, (const uint8_t *)hmac_input,
                                 hmac_len, &checked) == SIGNET_OK &&
               checked.verdict == SG_KEYHOLDER_MAC_EQUAL;
        request = (struct sg_keyholder_request){
            .op = SG_KEYHOLDER_SIGN, .slot = thread->ec_slot, .data_len = (uint32_t)ec_len};
        good = good &&
               sg_keyholder_call(thread->keyholder, &request, 1, (const uint8_t *)ec_input, ec_len,
                                 &made) == SIGNET_OK &&
               keyholder_verifies(SG_ALG_ES256, thread->ec_public, ec_input, ec_len, made.data,
                                  made.data_len);
        /* A key of one's own, made and destroyed while the others work. */
        request = (struct sg_keyholder_request){.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_HS256};
        good =
            good && sg_keyholder_call(thread->keyholder, &request, 1, NULL, 0, &made) == SIGNET_OK;
        request = (struct sg_keyholder_request){.op = SG_KEYHOLDER_DESTROY, .slot = made.slot};
        good = good &&
               sg_keyholder_call(thread->keyholder, &request, 1, NULL, 0, &made) == SIGNET_OK &&
               made.status == SIGNET_OK;
        thread->num_faults += good ? 0 : 1;
    }
    return NULL;
}

static void test_call__serves_threads_at_once(void **state)
{
    struct sg_keyholder *keyholder = *state;
    struct keyholder_thread shared = {
        .keyholder = keyholder,
        .hmac_slot = keyholder_generate(keyholder, SG_ALG_HS256),
        .ec_slot = keyholder_generate(keyholder, SG_ALG_ES256),
    };
    shared.ec_public = keyholder_public(keyholder, shared.ec_slot);
    struct keyholder_thread threads[TEST_THREADS];
    pthread_t ids[TEST_THREADS];
    for (size_t i = 0; i < TEST_THREADS; i++) {
        threads[i] = shared;
        assert_int_equal(pthread_create(&ids[i], NULL, keyholder_thread_main, &threads[i]), 0);
    }
    for (size_t i = 0; i < TEST_THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(threads[i].num_faults, 0);
    }
    EVP_PKEY_free(shared.ec_public);
}

#define KEYHOLDER_TEST(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, keyholder_setup, keyholder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYHOLDER_TEST(test_sign__verifies_under_the_public_key),
        KEYHOLDER_TEST(test_sign__ecdsa_keeps_leading_zeros),
        KEYHOLDER_TEST(test_sign__hmac_is_what_openssl_computes),
        KEYHOLDER_TEST(test_sign__refuses_what_is_no_signing_input),
        KEYHOLDER_TEST(test_sign__refuses_what_is_not_two_parts),
        KEYHOLDER_TEST(test_sign__names_the_edwards_curves_eddsa_only),
        KEYHOLDER_TEST(test_mac_check__tells_equal_from_different),
        KEYHOLDER_TEST(test_mac_check__gives_nothing_away),
        KEYHOLDER_TEST(test_mac_check__needs_a_secret),
        KEYHOLDER_TEST(test_import__takes_a_key_that_fits_and_no_other),
        KEYHOLDER_TEST(test_import__takes_every_form_of_pem),
        KEYHOLDER_TEST(test_import__refuses_pem_that_is_no_plain_private_key),
        KEYHOLDER_TEST(test_import__refuses_short_and_long_secrets),
        KEYHOLDER_TEST(test_import__refuses_weak_rsa_keys),
        KEYHOLDER_TEST(test_import__refuses_parts_that_do_not_belong_together),
        KEYHOLDER_TEST(test_public__is_not_there_for_a_secret),
        KEYHOLDER_TEST(test_slots__of_destroyed_keys_find_nothing),
        KEYHOLDER_TEST(test_slots__that_never_were_find_nothing),
        KEYHOLDER_TEST(test_call__refuses_malformed_requests),
        KEYHOLDER_TEST(test_call__bounds_the_number_of_requests),
        KEYHOLDER_TEST(test_call__judges_each_request_on_its_own),
        KEYHOLDER_TEST(test_call__serves_threads_at_once),
    };
    return cmocka_run_group_tests_name("keyholder", tests, NULL, NULL);
}
