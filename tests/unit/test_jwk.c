/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys: the ones of the RFCs are read, and each member that is wrong is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/jwk.h"
#include "tests/unit/jose_token.h"
#include "tests/unit/rfc_examples.h"

static struct sg_key_error error;

static signet_status parse(const char *json, enum sg_alg alg, enum sg_jwk_want want)
{
    struct sg_jwk *jwk = NULL;
    error.message[0] = '\0';
    signet_status status = sg_jwk_parse(json, strlen(json), alg, want, &jwk, &error);
    assert_int_equal(status == SIGNET_OK, jwk != NULL);
    assert_int_equal(status != SIGNET_OK, error.message[0] != '\0');
    assert_int_equal(ERR_peek_error(), 0);
    sg_jwk_free(jwk);
    return status;
}

/* The JWK with one member set to other JSON text, or taken out (NULL). free() it. */
static char *with(const char *json, const char *name, const char *value)
{
    json_t *root = json_loads(json, 0, NULL);
    assert_non_null(root);
    if (value == NULL) {
        assert_int_equal(json_object_del(root, name), 0);
    } else {
        assert_int_equal(json_object_set_new(root, name, json_loads(value, JSON_DECODE_ANY, NULL)),
                         0);
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    assert_non_null(text);
    return text;
}

static void assert_refused_with(const char *json, enum sg_alg alg, enum sg_jwk_want want,
                                const char *name, const char *value, const char *word)
{
    char *text = with(json, name, value);
    assert_int_equal(parse(text, alg, want), SIGNET_INVALID_ARGUMENT);
    if (strstr(error.message, word) == NULL) {
        fail_msg("%s=%s: \"%s\" has no \"%s\"", name, value != NULL ? value : "(none)",
                 error.message, word);
    }
    free(text);
}

static void assert_thumbprint(const char *json, enum sg_alg alg, const char *wanted)
{
    struct sg_jwk *jwk = NULL;
    struct sg_public_key *key = NULL;
    char print[44];
    assert_int_equal(sg_jwk_parse(json, strlen(json), alg, SG_JWK_PUBLIC, &jwk, &error), SIGNET_OK);
    assert_int_equal(sg_jwk_public(jwk, &key, &error), SIGNET_OK);
    assert_int_equal(sg_public_key_thumbprint(key, print), SIGNET_OK);
    assert_string_equal(print, wanted);
    sg_public_key_free(key);
    sg_jwk_free(jwk);
}

static void test_jwk__rfc7638_and_rfc8037_thumbprints(void **state)
{
    (void)state;
    assert_thumbprint(rfc7638_key, SG_ALG_RS256, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_thumbprint(rfc8037_a4_key, SG_ALG_UNSET, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

static void test_jwk__private_keys_of_the_rfcs_load(void **state)
{
    (void)state;
    assert_int_equal(parse(rfc7515_a2_key, SG_ALG_PS384, SG_JWK_PRIVATE), SIGNET_OK);
    assert_int_equal(parse(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PRIVATE), SIGNET_OK);
    assert_int_equal(parse(rfc7515_a4_key, SG_ALG_UNSET, SG_JWK_PRIVATE), SIGNET_OK);
    assert_int_equal(parse(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PRIVATE), SIGNET_OK);
    assert_int_equal(parse(rfc7515_a1_key, SG_ALG_HS512, SG_JWK_SECRET), SIGNET_OK);
}

static void test_jwk__what_is_written_reads_back(void **state)
{
    (void)state;
    for (int i = SG_ALG_RS256; i < SG_ALG_COUNT; i++) {
        struct jose_key key;
        struct sg_jwk *jwk = NULL;
        struct sg_public_key *back = NULL;
        char one[44];
        char two[44];
        jose_key_new(&key, (enum sg_alg)i);
        json_t *object = sg_jwk_write(key.public, "kid-1");
        char *text = json_dumps(object, 0);
        assert_int_equal(
            sg_jwk_parse(text, strlen(text), SG_ALG_UNSET, SG_JWK_PUBLIC, &jwk, &error), SIGNET_OK);
        assert_int_equal(sg_jwk_alg(jwk), i);
        assert_string_equal(sg_jwk_kid(jwk), "kid-1");
        assert_int_equal(sg_jwk_public(jwk, &back, &error), SIGNET_OK);
        assert_int_equal(sg_public_key_thumbprint(back, one), SIGNET_OK);
        assert_int_equal(sg_public_key_thumbprint(key.public, two), SIGNET_OK);
        assert_string_equal(one, two);
        assert_null(json_object_get(object, "d"));
        sg_public_key_free(back);
        sg_jwk_free(jwk);
        free(text);
        json_decref(object);
        jose_key_free(&key);
    }
}

static void test_jwk__the_algorithm_must_be_settled(void **state)
{
    (void)state;
    assert_int_equal(parse(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC), SIGNET_OK);
    assert_int_equal(parse(rfc7638_key, SG_ALG_UNSET, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(parse(rfc7515_a1_key, SG_ALG_UNSET, SG_JWK_SECRET), SIGNET_INVALID_ARGUMENT);
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "alg", "\"RS512\"", "alg");
    assert_refused_with(rfc7638_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "alg", "\"FOO\"", "alg");
    assert_refused_with(rfc7638_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "alg", "\"none\"", "alg");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "alg", "256", "alg");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "alg", "\"Ed448\"", "alg");
    assert_refused_with(rfc8037_a4_key, SG_ALG_ED448, SG_JWK_PUBLIC, "kid", "\"a\"", "crv");
}

static void test_attack_a3__a_key_is_read_only_as_its_own_type(void **state)
{
    (void)state;
    assert_int_equal(parse(rfc7638_key, SG_ALG_HS256, SG_JWK_SECRET), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(parse(rfc7515_a1_key, SG_ALG_HS256, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(parse(rfc7515_a1_key, SG_ALG_HS256, SG_JWK_PRIVATE), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(parse(rfc7515_a1_key, SG_ALG_RS256, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "kty", "\"rsa\"", "kty");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "kty", "\"oct\"", "kty");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "kty", NULL, "kty");
}

static void test_attack_a8__a_secret_is_at_least_as_long_as_the_hash(void **state)
{
    static const struct {
        enum sg_alg alg;
        size_t least;
    } rules[] = {{SG_ALG_HS256, 32}, {SG_ALG_HS384, 48}, {SG_ALG_HS512, 64}};
    uint8_t bytes[SG_MAX_SECRET_LEN + 1];
    char json[2048];
    (void)state;
    memset(bytes, 0x5a, sizeof(bytes));
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const size_t lens[] = {0, rules[i].least - 1, rules[i].least, SG_MAX_SECRET_LEN,
                               SG_MAX_SECRET_LEN + 1};
        for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            char k[SG_BASE64URL_LEN(sizeof(bytes)) + 1];
            k[sg_base64url_encode(bytes, lens[j], k)] = '\0';
            (void)snprintf(json, sizeof(json), "{\"kty\":\"oct\",\"k\":\"%s\"}", k);
            bool good = lens[j] >= rules[i].least && lens[j] <= SG_MAX_SECRET_LEN;
            assert_int_equal(parse(json, rules[i].alg, SG_JWK_SECRET),
                             good ? SIGNET_OK : SIGNET_INVALID_ARGUMENT);
            assert_true(lens[j] >= rules[i].least ||
                        strstr(error.message, "RFC 7518 section 3.2") != NULL);
        }
    }
    assert_refused_with(rfc7515_a1_key, SG_ALG_HS256, SG_JWK_SECRET, "k", "null", "k");
    assert_refused_with(rfc7515_a1_key, SG_ALG_HS256, SG_JWK_SECRET, "k",
                        "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgU"
                        "uTwjAzZr1Z9CAow==\"",
                        "base64url");
}

static void test_attack_a9__rsa_members_are_checked(void **state)
{
    (void)state;
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"AQ\"", "exponent");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"AQAA\"", "exponent");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"AQAAAAAAAAAB\"",
                        "exponent");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"\"", "e must");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "65537", "e must");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"AAABAAE\"", "e must");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "e", "\"AQAB=\"", "e must");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "n", "\"AQAB\"", "2048");
    assert_refused_with(rfc7638_key, SG_ALG_RS256, SG_JWK_PUBLIC, "n", NULL, "n and e");
    assert_refused_with(rfc7515_a2_key, SG_ALG_RS256, SG_JWK_PRIVATE, "qi", NULL, "qi");
    assert_refused_with(rfc7515_a2_key, SG_ALG_RS256, SG_JWK_PRIVATE, "oth", "[]", "oth");
}

static char *rsa_with_modulus(const BIGNUM *n)
{
    uint8_t bytes[SG_MAX_RSA_BITS / 8 + 8];
    char text[SG_BASE64URL_LEN(sizeof(bytes)) + 3] = "\"";
    int len = BN_bn2bin(n, bytes);
    assert_true(len > 0);
    size_t at = 1 + sg_base64url_encode(bytes, (size_t)len, text + 1);
    text[at] = '"';
    text[at + 1] = '\0';
    return with(rfc7638_key, "n", text);
}

/* A modulus with the mark of CVE-2017-15361: a power of 65537 modulo the product of small primes. */
static void test_attack_a9__roca_and_even_moduli_are_refused(void **state)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *product = BN_new();
    BIGNUM *n = BN_new();
    static const unsigned primes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,
                                      43,  47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,
                                      101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157};
    (void)state;
    assert_int_equal(BN_set_word(product, 2), 1);
    for (size_t i = 0; i < sizeof(primes) / sizeof(primes[0]); i++) {
        assert_int_equal(BN_mul_word(product, primes[i]), 1);
    }
    assert_int_equal(BN_lshift(n, product, 2047 - (BN_num_bits(product) - 1)), 1);
    assert_int_equal(BN_add_word(n, 65537), 1);
    char *text = rsa_with_modulus(n);
    assert_int_equal(parse(text, SG_ALG_RS256, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "CVE-2017-15361"));
    free(text);
    assert_int_equal(BN_add_word(n, 1), 1);
    text = rsa_with_modulus(n);
    assert_int_equal(parse(text, SG_ALG_RS256, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "even"));
    free(text);
    assert_int_equal(BN_set_bit(n, SG_MAX_RSA_BITS), 1);
    text = rsa_with_modulus(n);
    assert_int_equal(parse(text, SG_ALG_RS256, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    free(text);
    BN_free(n);
    BN_free(product);
    BN_CTX_free(ctx);
}

static void test_attack_a9__points_are_of_full_width_and_on_their_curve(void **state)
{
    (void)state;
    /* (1, 1) is on no curve used here; 31 and 33 bytes are no coordinate of P-256. */
    char *text = with(rfc7515_a3_key, "x", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"");
    assert_int_equal(parse(text, SG_ALG_UNSET, SG_JWK_PUBLIC), SIGNET_INVALID_ARGUMENT);
    free(text);
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "x",
                        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "field");
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "y",
                        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "field");
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "crv", "\"P-384\"", "field");
    assert_refused_with(rfc7515_a3_key, SG_ALG_ES256, SG_JWK_PUBLIC, "crv", "\"secp256k1\"", "crv");
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "y", NULL, "field");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "x", "\"AAAA\"", "long");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "x",
                        "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "small order");
}

static void test_attack_a9__private_members_belong_to_the_public_ones(void **state)
{
    (void)state;
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PRIVATE, "d",
                        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"", "belong");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PRIVATE, "d",
                        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"", "belong");
    assert_refused_with(rfc7515_a2_key, SG_ALG_RS256, SG_JWK_PRIVATE, "d", "\"AQAB\"", "belong");
    assert_refused_with(rfc7515_a3_key, SG_ALG_UNSET, SG_JWK_PRIVATE, "d", NULL, "d must");
    /* To verify with, they are not looked at. */
    char *text = with(rfc8037_a4_key, "d", "1");
    assert_int_equal(parse(text, SG_ALG_UNSET, SG_JWK_PUBLIC), SIGNET_OK);
    free(text);
}

static void test_attack_a10__use_and_key_ops_are_honoured(void **state)
{
    (void)state;
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "use", "\"enc\"", "use");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "use", "1", "use");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "key_ops", "[\"sign\"]",
                        "key_ops");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "key_ops", "[]", "key_ops");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "key_ops", "\"verify\"",
                        "key_ops");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "key_ops",
                        "[\"verify\",\"verify\"]", "key_ops");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PUBLIC, "key_ops", "[\"verify\",1]",
                        "key_ops");
    assert_refused_with(rfc8037_a4_key, SG_ALG_UNSET, SG_JWK_PRIVATE, "key_ops", "[\"verify\"]",
                        "key_ops");
    assert_refused_with(rfc7515_a1_key, SG_ALG_HS256, SG_JWK_SECRET, "key_ops", "[\"encrypt\"]",
                        "key_ops");
    char *text = with(rfc8037_a4_key, "key_ops", "[\"sign\",\"verify\"]");
    assert_int_equal(parse(text, SG_ALG_UNSET, SG_JWK_PUBLIC), SIGNET_OK);
    assert_int_equal(parse(text, SG_ALG_UNSET, SG_JWK_PRIVATE), SIGNET_OK);
    free(text);
}

static void test_attack_c5__duplicate_members_of_a_key_are_refused(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":\"AAAA\"}", SG_ALG_HS256, SG_JWK_SECRET),
        SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "duplicate"));
    assert_int_equal(parse("", SG_ALG_HS256, SG_JWK_SECRET), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(parse("[]", SG_ALG_HS256, SG_JWK_SECRET), SIGNET_INVALID_ARGUMENT);
}

static void test_jwks__unusable_keys_are_skipped_and_duplicate_kids_refused(void **state)
{
    struct sg_jwks *set = NULL;
    char json[4096];
    (void)state;
    char *one = with(rfc8037_a4_key, "kid", "\"1\"");
    char *two = with(rfc7515_a3_key, "kid", "\"2\"");
    char *enc = with(rfc7515_a3_key, "use", "\"enc\"");
    (void)snprintf(json, sizeof(json), "{\"keys\":[%s,%s,%s,{\"kty\":\"new\"},7,%s]}", one, enc,
                   two, rfc7515_a1_key);
    assert_int_equal(sg_jwks_parse(json, strlen(json), SG_JWK_PUBLIC, &set, &error), SIGNET_OK);
    assert_int_equal(sg_jwks_num(set), 2);
    assert_int_equal(sg_jwks_num_skipped(set), 4);
    assert_string_equal(sg_jwk_kid(sg_jwks_get(set, 1)), "2");
    assert_null(sg_jwks_get(set, 2));
    sg_jwks_free(set);
    set = NULL;
    (void)snprintf(json, sizeof(json), "{\"keys\":[%s,%s]}", one, one);
    assert_int_equal(sg_jwks_parse(json, strlen(json), SG_JWK_PUBLIC, &set, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_jwks_parse("{}", 2, SG_JWK_PUBLIC, &set, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_jwks_parse("{\"keys\":{}}", 11, SG_JWK_PUBLIC, &set, &error),
                     SIGNET_INVALID_ARGUMENT);
    assert_null(set);
    free(enc);
    free(two);
    free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jwk__rfc7638_and_rfc8037_thumbprints),
        cmocka_unit_test(test_jwk__private_keys_of_the_rfcs_load),
        cmocka_unit_test(test_jwk__what_is_written_reads_back),
        cmocka_unit_test(test_jwk__the_algorithm_must_be_settled),
        cmocka_unit_test(test_attack_a3__a_key_is_read_only_as_its_own_type),
        cmocka_unit_test(test_attack_a8__a_secret_is_at_least_as_long_as_the_hash),
        cmocka_unit_test(test_attack_a9__rsa_members_are_checked),
        cmocka_unit_test(test_attack_a9__roca_and_even_moduli_are_refused),
        cmocka_unit_test(test_attack_a9__points_are_of_full_width_and_on_their_curve),
        cmocka_unit_test(test_attack_a9__private_members_belong_to_the_public_ones),
        cmocka_unit_test(test_attack_a10__use_and_key_ops_are_honoured),
        cmocka_unit_test(test_attack_c5__duplicate_members_of_a_key_are_refused),
        cmocka_unit_test(test_jwks__unusable_keys_are_skipped_and_duplicate_kids_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
