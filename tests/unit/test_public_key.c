/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures under public keys: what is good for one algorithm and one spelling of the signature, and
 * every way in which others were fooled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/jwk.h"
#include "server/keyholder/keyholder.h"
#include "tests/unit/jose_token.h"
#include "tests/unit/rfc_examples.h"

static const char payload[] = "{\"sub\":\"alice\"}";

static struct jose_key keys[SG_ALG_COUNT];
static char token[JOSE_TOKEN_CAP];
static uint8_t sig[2048];

static int setup(void **state)
{
    (void)state;
    for (int i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        if (sg_alg_info((enum sg_alg)i)->family != SG_FAMILY_HMAC) {
            jose_key_new(&keys[i], (enum sg_alg)i);
        }
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < SG_ALG_COUNT; i++) {
        jose_key_free(&keys[i]);
    }
    return 0;
}

static void header_of(const char *alg, char out[64])
{
    (void)snprintf(out, 64, "{\"alg\":\"%s\"}", alg);
}

static void good_token(enum sg_alg alg)
{
    char header[64];
    header_of(sg_alg_info(alg)->jws_name, header);
    jose_token(&keys[alg], header, payload, token);
}

/* The good signature of the payload under alg, to be spoilt. */
static size_t good_signature(enum sg_alg alg)
{
    return jose_sign(&keys[alg], payload, strlen(payload), sig);
}

static bool check(enum sg_alg alg, size_t sig_len)
{
    bool good = sg_public_key_check_signature(keys[alg].public, (const uint8_t *)payload,
                                              strlen(payload), sig, sig_len);
    assert_int_equal(ERR_peek_error(), 0);
    return good;
}

static signet_reason rfc_verdict(const char *jwk, enum sg_alg alg, const char *text)
{
    struct sg_jwk *parsed = NULL;
    struct sg_public_key *key = NULL;
    struct sg_key_error error;
    assert_int_equal(sg_jwk_parse(jwk, strlen(jwk), alg, SG_JWK_PUBLIC, &parsed, &error),
                     SIGNET_OK);
    assert_int_equal(sg_jwk_public(parsed, &key, &error), SIGNET_OK);
    signet_reason reason = jose_verdict(key, text);
    sg_public_key_free(key);
    sg_jwk_free(parsed);
    return reason;
}

static void test_public_key__rfc_examples_are_good(void **state)
{
    (void)state;
    assert_int_equal(rfc_verdict(rfc7515_a2_key, SG_ALG_RS256, rfc7515_a2_token),
                     SIGNET_REASON_NONE);
    assert_int_equal(rfc_verdict(rfc7515_a3_key, SG_ALG_ES256, rfc7515_a3_token),
                     SIGNET_REASON_NONE);
    assert_int_equal(rfc_verdict(rfc7515_a4_key, SG_ALG_ES512, rfc7515_a4_token),
                     SIGNET_REASON_NONE);
    assert_int_equal(rfc_verdict(rfc8037_a4_key, SG_ALG_ED25519, rfc8037_a4_token),
                     SIGNET_REASON_NONE);
    assert_int_equal(rfc_verdict(rfc7515_a3_key, SG_ALG_ES256, rfc7515_a2_token),
                     SIGNET_REASON_WRONG_ALG);
}

static void test_public_key__every_algorithm_takes_its_own_and_nothing_spoilt(void **state)
{
    (void)state;
    for (int i = SG_ALG_RS256; i < SG_ALG_COUNT; i++) {
        good_token((enum sg_alg)i);
        assert_int_equal(jose_verdict(keys[i].public, token), SIGNET_REASON_NONE);
        /* Any bit of the signature. */
        size_t len = good_signature((enum sg_alg)i);
        assert_true(check((enum sg_alg)i, len));
        sig[len / 2] ^= 0x01;
        assert_false(check((enum sg_alg)i, len));
        /* The payload. */
        char *dot = strchr(token, '.');
        dot[3] = dot[3] == 'A' ? 'E' : 'A';
        assert_int_equal(jose_verdict(keys[i].public, token), SIGNET_REASON_BAD_SIGNATURE);
    }
}

static void test_public_key__spki_brings_back_the_same_key(void **state)
{
    (void)state;
    for (int i = SG_ALG_RS256; i < SG_ALG_COUNT; i++) {
        size_t len = 0;
        size_t again_len = 0;
        struct sg_public_key *read = NULL;
        struct sg_key_error error;
        const uint8_t *der = sg_public_key_spki(keys[i].public, &len);
        assert_int_equal(sg_public_key_from_spki((enum sg_alg)i, der, len, &read, &error),
                         SIGNET_OK);
        const uint8_t *again = sg_public_key_spki(read, &again_len);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, der, len);
        sg_public_key_free(read);
        read = NULL;
        assert_int_equal(sg_public_key_from_spki((enum sg_alg)i, der, len - 1, &read, &error),
                         SIGNET_INVALID_ARGUMENT);
        assert_null(read);
    }
}

static void test_attack_a1__no_public_key_takes_an_unsigned_token(void **state)
{
    (void)state;
    for (int i = SG_ALG_RS256; i < SG_ALG_COUNT; i++) {
        char header[64];
        assert_int_equal(jose_verdict(keys[i].public, rfc7515_a5_token), SIGNET_REASON_WRONG_ALG);
        header_of(sg_alg_info((enum sg_alg)i)->jws_name, header);
        jose_token(NULL, header, payload, token);
        assert_int_equal(jose_verdict(keys[i].public, token), SIGNET_REASON_BAD_SIGNATURE);
    }
}

static void test_attack_a3__a_public_key_is_never_a_secret(void **state)
{
    unsigned char *der = NULL;
    struct sg_public_key *out = NULL;
    struct sg_key_error error;
    (void)state;
    int len = i2d_PUBKEY(keys[SG_ALG_RS256].pkey, &der);
    assert_true(len > 0);
    for (int i = SG_ALG_HS256; i <= SG_ALG_HS512; i++) {
        assert_int_equal(sg_public_key_from_spki((enum sg_alg)i, der, (size_t)len, &out, &error),
                         SIGNET_INVALID_ARGUMENT);
    }
    OPENSSL_free(der);
    good_token(SG_ALG_RS256);
    char *dot = strchr(token, '.');
    char confused[JOSE_TOKEN_CAP];
    (void)snprintf(confused, sizeof(confused), "eyJhbGciOiJIUzI1NiJ9%s", dot);
    assert_int_equal(jose_verdict(keys[SG_ALG_RS256].public, confused), SIGNET_REASON_WRONG_ALG);
    assert_null(out);
}

static void test_attack_a4__another_alg_of_the_family_is_wrong(void **state)
{
    char header[64];
    (void)state;
    /* Rightly signed under RS512 and PS256 by the very pair whose key is for RS256. */
    struct jose_key same = keys[SG_ALG_RS256];
    static const enum sg_alg others[] = {SG_ALG_RS384, SG_ALG_RS512, SG_ALG_PS256};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        same.alg = others[i];
        header_of(sg_alg_info(others[i])->jws_name, header);
        jose_token(&same, header, payload, token);
        assert_int_equal(jose_verdict(keys[SG_ALG_RS256].public, token), SIGNET_REASON_WRONG_ALG);
        header_of("RS256", header);
        jose_token(&same, header, payload, token);
        assert_int_equal(jose_verdict(keys[SG_ALG_RS256].public, token),
                         SIGNET_REASON_BAD_SIGNATURE);
    }
}

static void test_attack_a5__eddsa_is_of_the_curve_of_the_key(void **state)
{
    (void)state;
    jose_token(&keys[SG_ALG_ED25519], "{\"alg\":\"Ed25519\"}", payload, token);
    assert_int_equal(jose_verdict(keys[SG_ALG_ED25519].public, token), SIGNET_REASON_NONE);
    jose_token(&keys[SG_ALG_ED25519], "{\"alg\":\"Ed448\"}", payload, token);
    assert_int_equal(jose_verdict(keys[SG_ALG_ED25519].public, token), SIGNET_REASON_WRONG_ALG);
    jose_token(&keys[SG_ALG_ED25519], "{\"alg\":\"EdDSA\"}", payload, token);
    assert_int_equal(jose_verdict(keys[SG_ALG_ED448].public, token), SIGNET_REASON_BAD_SIGNATURE);
}

static void test_attack_a6__a_key_in_the_header_is_not_used(void **state)
{
    struct jose_key forger;
    char header[512];
    char x[64] = "";
    char y[64] = "";
    size_t len = 0;
    (void)state;
    jose_key_new(&forger, SG_ALG_ES256);
    const uint8_t *bytes = sg_public_key_member(forger.public, "x", &len);
    x[sg_base64url_encode(bytes, len, x)] = '\0';
    bytes = sg_public_key_member(forger.public, "y", &len);
    y[sg_base64url_encode(bytes, len, y)] = '\0';
    (void)snprintf(header, sizeof(header),
                   "{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\","
                   "\"y\":\"%s\"}}",
                   x, y);
    jose_token(&forger, header, payload, token);
    assert_int_equal(jose_verdict(forger.public, token), SIGNET_REASON_NONE);
    assert_int_equal(jose_verdict(keys[SG_ALG_ES256].public, token), SIGNET_REASON_BAD_SIGNATURE);
    jose_key_free(&forger);
}

static void assert_spki_refused(enum sg_alg alg, EVP_PKEY *pkey, const char *word)
{
    struct sg_public_key *out = NULL;
    struct sg_key_error error;
    assert_non_null(pkey);
    assert_int_equal(sg_public_key_from_pkey(alg, pkey, &out, &error), SIGNET_INVALID_ARGUMENT);
    assert_null(out);
    if (strstr(error.message, word) == NULL) {
        fail_msg("%s: no word of %s", error.message, word);
    }
    EVP_PKEY_free(pkey);
}

static void test_attack_a9__weak_or_foreign_keys_are_refused(void **state)
{
    struct sg_public_key *out = NULL;
    struct sg_key_error error;
    (void)state;
    assert_spki_refused(SG_ALG_RS256, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), "2048");
    assert_spki_refused(SG_ALG_ES256, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), "curve");
    assert_spki_refused(SG_ALG_ES256, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"), "curve");
    assert_spki_refused(SG_ALG_ES256K, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), "curve");
    assert_spki_refused(SG_ALG_ED25519, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "Edwards");
    assert_spki_refused(SG_ALG_ED25519, EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), "Edwards");
    assert_spki_refused(SG_ALG_RS256, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), "RSA");
    assert_int_equal(
        sg_public_key_from_spki(SG_ALG_RS256, (const uint8_t *)"\x30\x00", 2, &out, &error),
        SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_public_key_from_spki(SG_ALG_UNSET, NULL, 0, &out, &error),
                     SIGNET_INVALID_ARGUMENT);
}

static void test_attack_a9__bytes_behind_an_spki_are_refused(void **state)
{
    unsigned char *der = NULL;
    uint8_t longer[1200];
    struct sg_public_key *out = NULL;
    struct sg_key_error error;
    (void)state;
    int len = i2d_PUBKEY(keys[SG_ALG_ES256].pkey, &der);
    assert_true(len > 0 && (size_t)len < sizeof(longer));
    memcpy(longer, der, (size_t)len);
    longer[len] = 0;
    OPENSSL_free(der);
    assert_int_equal(sg_public_key_from_spki(SG_ALG_ES256, longer, (size_t)len + 1, &out, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_public_key_from_spki(SG_ALG_ES256, longer, (size_t)len, &out, &error),
                     SIGNET_OK);
    sg_public_key_free(out);
}

/* Under a point of small order, R = the identity and S = 0 is a signature of half of all messages or
 * more; the points themselves, both signs and what is congruent to them, are refused. */
static void test_attack_a9__edwards_points_of_small_order_are_refused(void **state)
{
    static const char *const points[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        long len = 0;
        unsigned char *bytes = OPENSSL_hexstr2buf(points[i], &len);
        assert_int_equal(len, 32);
        assert_spki_refused(SG_ALG_ED25519,
                            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, 32),
                            i < 10 ? "small order" : "canonical");
        OPENSSL_free(bytes);
    }
}

static void test_attack_a9__ed448_points_of_small_order_are_refused(void **state)
{
    uint8_t point[57] = {1};
    (void)state;
    for (int sign = 0; sign < 2; sign++) {
        memset(point, 0, sizeof(point));
        point[56] = sign != 0 ? 0x80 : 0;
        assert_spki_refused(SG_ALG_ED448,
                            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, NULL, point, 57),
                            "small order"); /* y = 0 */
        point[0] = 1;
        assert_spki_refused(SG_ALG_ED448,
                            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, NULL, point, 57),
                            "small order"); /* y = 1 */
        memset(point, 0xff, 56);
        point[28] = 0xfe;
        assert_spki_refused(SG_ALG_ED448,
                            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, NULL, point, 57),
                            "canonical"); /* y = p */
        point[0] = 0xfe;
        assert_spki_refused(SG_ALG_ED448,
                            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, NULL, point, 57),
                            "small order"); /* y = p - 1 */
    }
}

static void test_attack_a11__a_public_key_says_nothing_private(void **state)
{
    size_t len = 0;
    (void)state;
    assert_null(sg_public_key_member(keys[SG_ALG_RS256].public, "d", &len));
    assert_null(sg_public_key_member(keys[SG_ALG_ES256].public, "d", &len));
    assert_null(sg_public_key_member(keys[SG_ALG_ES256].public, "n", &len));
}

/* Whatever it was made from, and however it was copied. */
static void test_attack_a11__a_public_key_holds_nothing_private(void **state)
{
    (void)state;
    for (int alg = SG_ALG_UNSET + 1; alg < SG_ALG_COUNT; alg++) {
        const struct sg_alg_info *info = sg_alg_info((enum sg_alg)alg);
        if (info->family == SG_FAMILY_HMAC) {
            continue;
        }
        struct sg_key_error why;
        struct sg_public_key *public = NULL;
        EVP_PKEY *pair =
            strcmp(info->kty, "RSA") == 0  ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
            : strcmp(info->kty, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group)
                                           : EVP_PKEY_Q_keygen(NULL, NULL, info->group);
        assert_non_null(pair);
        assert_int_equal(sg_public_key_from_pkey((enum sg_alg)alg, pair, &public, &why), SIGNET_OK);
        EVP_PKEY *kept = sg_public_key_pkey(public);
        BIGNUM *d = NULL;
        uint8_t raw[64];
        size_t raw_len = sizeof(raw);
        assert_int_equal(EVP_PKEY_eq(kept, pair), 1);
        assert_int_not_equal(EVP_PKEY_get_bn_param(kept, OSSL_PKEY_PARAM_RSA_D, &d), 1);
        assert_int_not_equal(EVP_PKEY_get_bn_param(kept, OSSL_PKEY_PARAM_PRIV_KEY, &d), 1);
        assert_int_not_equal(EVP_PKEY_get_raw_private_key(kept, raw, &raw_len), 1);
        ERR_clear_error();
        sg_public_key_free(public);
        EVP_PKEY_free(pair);
    }
}

static void test_attack_b1__r_and_s_are_within_the_order(void **state)
{
    (void)state;
    for (int i = SG_ALG_ES256; i <= SG_ALG_ES256K; i++) {
        const struct sg_alg_info *info = sg_alg_info((enum sg_alg)i);
        size_t width = info->coordinate_len;
        BIGNUM *order = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(keys[i].pkey, OSSL_PKEY_PARAM_EC_ORDER, &order), 1);
        memset(sig, 0, sizeof(sig));
        assert_false(check((enum sg_alg)i, 2 * width)); /* r = s = 0 */
        assert_int_equal(BN_bn2binpad(order, sig, (int)width), width);
        assert_int_equal(BN_bn2binpad(order, sig + width, (int)width), width);
        assert_false(check((enum sg_alg)i, 2 * width)); /* r = s = n */
        (void)good_signature((enum sg_alg)i);
        memset(sig, 0, width);
        assert_false(check((enum sg_alg)i, 2 * width)); /* r = 0 */
        (void)good_signature((enum sg_alg)i);
        memset(sig + width, 0, width);
        assert_false(check((enum sg_alg)i, 2 * width)); /* s = 0 */
        memset(sig, 0xff, 2 * width);
        assert_false(check((enum sg_alg)i, 2 * width));
        BN_free(order);
    }
}

static void test_attack_b2__der_and_stripped_zeros_are_refused(void **state)
{
    (void)state;
    uint8_t der[256];
    size_t der_len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, keys[SG_ALG_ES256].pkey, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &der_len, (const uint8_t *)payload, strlen(payload)),
                     1);
    EVP_MD_CTX_free(ctx);
    memcpy(sig, der, der_len);
    assert_false(check(SG_ALG_ES256, der_len));
    size_t len = good_signature(SG_ALG_ES256);
    memmove(sig + 1, sig, len);
    sig[0] = 0;
    assert_false(check(SG_ALG_ES256, len + 1));
    (void)good_signature(SG_ALG_ES256);
    assert_false(check(SG_ALG_ES256, len - 1));
}

/* r and s of P-521 have 521 bits, so that a quarter of all signatures begin both with a zero byte. */
static void test_attack_b2__r_and_s_without_their_zeros_are_refused(void **state)
{
    size_t len = 0;
    (void)state;
    do {
        len = good_signature(SG_ALG_ES512);
    } while (sig[0] != 0 || sig[len / 2] != 0);
    assert_true(check(SG_ALG_ES512, len));
    memmove(sig, sig + 1, len / 2 - 1);
    memmove(sig + len / 2 - 1, sig + len / 2 + 1, len / 2 - 1);
    assert_false(check(SG_ALG_ES512, len - 2));
}

static void test_attack_b3__no_length_overflows_anything(void **state)
{
    (void)state;
    for (int i = SG_ALG_RS256; i < SG_ALG_COUNT; i++) {
        memset(sig, 0xff, sizeof(sig));
        size_t right = good_signature((enum sg_alg)i);
        for (size_t len = 0; len <= sizeof(sig); len += len < 150 ? 1 : 37) {
            assert_true(len == right || !check((enum sg_alg)i, len));
        }
    }
}

static void test_attack_b4__the_other_s_is_good_too(void **state)
{
    BIGNUM *order = NULL;
    BIGNUM *s = NULL;
    (void)state;
    size_t len = good_signature(SG_ALG_ES256);
    assert_int_equal(
        EVP_PKEY_get_bn_param(keys[SG_ALG_ES256].pkey, OSSL_PKEY_PARAM_EC_ORDER, &order), 1);
    s = BN_bin2bn(sig + len / 2, (int)(len / 2), NULL);
    assert_non_null(s);
    assert_int_equal(BN_sub(s, order, s), 1);
    assert_int_equal(BN_bn2binpad(s, sig + len / 2, (int)(len / 2)), len / 2);
    assert_true(check(SG_ALG_ES256, len));
    BN_free(s);
    BN_free(order);
}

/* S + L, little-endian, for the group order L of each curve (RFC 8032 sections 5.1 and 5.2). */
static void test_attack_b5__edwards_s_plus_order_is_refused(void **state)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    (void)state;
    size_t len = good_signature(SG_ALG_ED25519);
    unsigned carry = 0;
    for (size_t i = 0; i < sizeof(order); i++) {
        carry += (unsigned)sig[32 + i] + order[i];
        sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(len, 64);
    assert_false(check(SG_ALG_ED25519, len));
    memset(sig, 0, sizeof(sig));
    assert_false(check(SG_ALG_ED25519, 64));
    assert_false(check(SG_ALG_ED448, 114));
    (void)good_signature(SG_ALG_ED448);
    assert_false(check(SG_ALG_ED448, 64));
}

static void test_attack_b6__only_a_full_pkcs1_signature_is_good(void **state)
{
    size_t n_len = 0;
    (void)state;
    const uint8_t *n = sg_public_key_member(keys[SG_ALG_RS256].public, "n", &n_len);
    memset(sig, 0, sizeof(sig));
    assert_false(check(SG_ALG_RS256, n_len)); /* 0 */
    sig[n_len - 1] = 1;
    assert_false(check(SG_ALG_RS256, n_len)); /* 1 */
    memcpy(sig, n, n_len);
    assert_false(check(SG_ALG_RS256, n_len)); /* n */
    size_t len = good_signature(SG_ALG_RS256);
    memmove(sig + 1, sig, len);
    sig[0] = 0;
    assert_false(check(SG_ALG_RS256, len + 1));
    /* A digest of another kind under the right padding. */
    struct jose_key same = keys[SG_ALG_RS256];
    same.alg = SG_ALG_RS384;
    len = jose_sign(&same, payload, strlen(payload), sig);
    assert_false(check(SG_ALG_RS256, len));
}

static size_t pss_signature(const char *mgf, int salt_len)
{
    size_t len = sizeof(sig);
    EVP_PKEY_CTX *options = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &options, "SHA256", NULL, NULL, keys[SG_ALG_PS256].pkey, NULL),
        1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt_len) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md_name(options, mgf, NULL) > 0);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const uint8_t *)payload, strlen(payload)), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

static void test_attack_b7__pss_has_one_salt_length_and_one_mask(void **state)
{
    (void)state;
    assert_true(check(SG_ALG_PS256, pss_signature("SHA256", 32)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA256", 0)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA256", 20)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA256", 33)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA256", RSA_PSS_SALTLEN_MAX)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA1", 32)));
    assert_false(check(SG_ALG_PS256, pss_signature("SHA512", 32)));
}

static bool mac_is_equal(struct sg_keyholder *keyholder, uint64_t slot, const uint8_t *mac,
                         size_t mac_len, const char *text, size_t len)
{
    struct sg_keyholder_request request = {.op = SG_KEYHOLDER_MAC_CHECK,
                                           .slot = slot,
                                           .data_len = (uint32_t)len,
                                           .mac_len = (uint32_t)mac_len};
    struct sg_keyholder_reply reply;
    memcpy(request.mac, mac, mac_len);
    assert_int_equal(sg_keyholder_call(keyholder, &request, 1, (const uint8_t *)text, len, &reply),
                     SIGNET_OK);
    return reply.status == SIGNET_OK && reply.verdict == SG_KEYHOLDER_MAC_EQUAL;
}

/* The comparison itself is the keyholder's; here RFC 7515 A.1 goes through it, whole and spoilt. */
static void test_attack_b8_b9__a_mac_is_compared_whole_and_its_length_first(void **state)
{
    struct sg_keyholder *keyholder = NULL;
    struct sg_jwk *jwk = NULL;
    struct sg_key_error error;
    struct sg_jws jws;
    const uint8_t *secret = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(sg_keyholder_new(1, &keyholder), SIGNET_OK);
    assert_int_equal(sg_jwk_parse(rfc7515_a1_key, strlen(rfc7515_a1_key), SG_ALG_HS256,
                                  SG_JWK_SECRET, &jwk, &error),
                     SIGNET_OK);
    assert_int_equal(sg_jwk_secret(jwk, &secret, &len), SIGNET_OK);
    struct sg_keyholder_request request = {
        .op = SG_KEYHOLDER_IMPORT, .alg = SG_ALG_HS256, .data_len = (uint32_t)len};
    struct sg_keyholder_reply reply;
    assert_int_equal(sg_keyholder_call(keyholder, &request, 1, secret, len, &reply), SIGNET_OK);
    assert_int_equal(reply.status, SIGNET_OK);
    assert_int_equal(sg_jws_parse(rfc7515_a1_token, strlen(rfc7515_a1_token), &jws).reason,
                     SIGNET_REASON_NONE);
    const char *input = jws.signing_input;
    size_t input_len = jws.signing_input_len;
    assert_true(mac_is_equal(keyholder, reply.slot, jws.signature, 32, input, input_len));
    for (size_t i = 0; i < 32; i++) {
        assert_false(mac_is_equal(keyholder, reply.slot, jws.signature, i, input, input_len));
        jws.signature[i] ^= 0x80;
        assert_false(mac_is_equal(keyholder, reply.slot, jws.signature, 32, input, input_len));
        jws.signature[i] ^= 0x80;
    }
    jws.signature[32] = 0;
    assert_false(mac_is_equal(keyholder, reply.slot, jws.signature, 33, input, input_len));
    sg_jwk_free(jwk);
    sg_keyholder_free(keyholder);
}

static void test_public_key__pem_is_a_public_key_and_nothing_else(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    BIO *private = BIO_new(BIO_s_mem());
    char *text = NULL;
    struct sg_public_key *out = NULL;
    struct sg_key_error error;
    (void)state;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, keys[SG_ALG_ES256].pkey), 1);
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(private, keys[SG_ALG_ES256].pkey, NULL, NULL, 0, NULL, NULL),
        1);
    long len = BIO_get_mem_data(bio, &text);
    assert_int_equal(sg_public_key_from_pem(SG_ALG_ES256, text, (size_t)len, &out, &error),
                     SIGNET_OK);
    good_token(SG_ALG_ES256);
    assert_int_equal(jose_verdict(out, token), SIGNET_REASON_NONE);
    sg_public_key_free(out);
    out = NULL;
    assert_int_equal(sg_public_key_from_pem(SG_ALG_ES384, text, (size_t)len, &out, &error),
                     SIGNET_INVALID_ARGUMENT);
    len = BIO_get_mem_data(private, &text);
    assert_int_equal(sg_public_key_from_pem(SG_ALG_ES256, text, (size_t)len, &out, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_public_key_from_pem(SG_ALG_ES256, "x", 1, &out, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_null(out);
    BIO_free(private);
    BIO_free(bio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_key__rfc_examples_are_good),
        cmocka_unit_test(test_public_key__every_algorithm_takes_its_own_and_nothing_spoilt),
        cmocka_unit_test(test_public_key__spki_brings_back_the_same_key),
        cmocka_unit_test(test_public_key__pem_is_a_public_key_and_nothing_else),
        cmocka_unit_test(test_attack_a1__no_public_key_takes_an_unsigned_token),
        cmocka_unit_test(test_attack_a3__a_public_key_is_never_a_secret),
        cmocka_unit_test(test_attack_a4__another_alg_of_the_family_is_wrong),
        cmocka_unit_test(test_attack_a5__eddsa_is_of_the_curve_of_the_key),
        cmocka_unit_test(test_attack_a6__a_key_in_the_header_is_not_used),
        cmocka_unit_test(test_attack_a9__weak_or_foreign_keys_are_refused),
        cmocka_unit_test(test_attack_a9__bytes_behind_an_spki_are_refused),
        cmocka_unit_test(test_attack_a9__edwards_points_of_small_order_are_refused),
        cmocka_unit_test(test_attack_a9__ed448_points_of_small_order_are_refused),
        cmocka_unit_test(test_attack_a11__a_public_key_says_nothing_private),
        cmocka_unit_test(test_attack_a11__a_public_key_holds_nothing_private),
        cmocka_unit_test(test_attack_b1__r_and_s_are_within_the_order),
        cmocka_unit_test(test_attack_b2__der_and_stripped_zeros_are_refused),
        cmocka_unit_test(test_attack_b2__r_and_s_without_their_zeros_are_refused),
        cmocka_unit_test(test_attack_b3__no_length_overflows_anything),
        cmocka_unit_test(test_attack_b4__the_other_s_is_good_too),
        cmocka_unit_test(test_attack_b5__edwards_s_plus_order_is_refused),
        cmocka_unit_test(test_attack_b6__only_a_full_pkcs1_signature_is_good),
        cmocka_unit_test(test_attack_b7__pss_has_one_salt_length_and_one_mask),
        cmocka_unit_test(test_attack_b8_b9__a_mac_is_compared_whole_and_its_length_first),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
