/* SPDX-License-Identifier: Apache-2.0
 *
 * Refusals of public keys. OpenSSL checks that a point is on its curve; lengths, sizes, weak moduli and
 * Edwards points of small order, under which anybody can sign, are checked here.
 */
#include "common/jose/key_checks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <stdbool.h>
#include <string.h>

#include "common/limits.h"

/* ---- RSA ---- */

/* CVE-2017-15361 (ROCA): a modulus whose primes are k*M + 65537^a mod M is, modulo each small prime
 * that divides M, a power of 65537. A sound modulus passes for all of these by chance once in 2^27. */
static bool key_checks_is_roca(const BIGNUM *modulus)
{
    static const unsigned primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                      79, 97, 103, 107, 109, 127, 151, 157};
    for (size_t i = 0; i < sizeof(primes) / sizeof(primes[0]); i++) {
        unsigned rest = (unsigned)BN_mod_word(modulus, primes[i]);
        unsigned power = 1;
        bool is_power = false;
        do {
            is_power = is_power || power == rest;
            power = power * (65537 % primes[i]) % primes[i];
        } while (power != 1);
        if (!is_power) {
            return false;
        }
    }
    return true;
}

static const char *key_checks_rsa_numbers(const EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    const char *fault = NULL;
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1) {
        fault = "the RSA key has no modulus or no exponent";
    } else if (!BN_is_odd(n)) {
        fault = "the RSA modulus is even";
    } else if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 64) {
        fault =
            "the RSA exponent must be odd, at least 3 and within 64 bits (RFC 8017 section 3.1)";
    } else if (key_checks_is_roca(n)) {
        fault = "the RSA key comes from a weak generator, ROCA (CVE-2017-15361)";
    }
    BN_free(n);
    BN_free(e);
    return fault;
}

static const char *key_checks_rsa(const EVP_PKEY *pkey)
{
    if (!EVP_PKEY_is_a(pkey, "RSA")) {
        return "not an RSA key (RFC 7518 section 3.3)";
    }
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits < (int)SG_MIN_RSA_BITS) {
        return "the RSA modulus has less than 2048 bits (RFC 7518 section 3.3)";
    }
    if (bits > (int)SG_MAX_RSA_BITS) {
        return "the RSA modulus has more than 8192 bits";
    }
    return key_checks_rsa_numbers(pkey);
}

/* ---- EC ---- */

static int key_checks_curve_id(const char *name)
{
    int id = EC_curve_nist2nid(name);
    return id != NID_undef ? id : OBJ_sn2nid(name);
}

static const char *key_checks_ec(const struct sg_alg_info *info, const EVP_PKEY *pkey)
{
    char group[64];
    int is_explicit = 1;
    if (!EVP_PKEY_is_a(pkey, "EC")) {
        return "not an EC key (RFC 7518 section 3.4)";
    }
    if (EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &is_explicit) != 1 ||
        is_explicit != 0) {
        return "the EC key must name its curve, not spell it out (RFC 5480 section 2.1.1)";
    }
    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
        key_checks_curve_id(group) == NID_undef ||
        key_checks_curve_id(group) != key_checks_curve_id(info->group)) {
        return "the EC key is on another curve (RFC 7518 section 3.4)";
    }
    return NULL;
}

/* ---- Edwards curves ---- */

/* Little-endian y coordinates without the sign bit, all of one curve's small-order points; x is 0 or
 * one of two opposite numbers. For Ed25519: the identity, order 2, order 4, and the two of order 8. */
static const uint8_t key_checks_small_25519[][32] = {
    {1},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
};

/* Ed448: the identity, order 2, order 4. */
static const uint8_t key_checks_small_448[][57] = {
    {1},
    {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0},
    {0},
};

/* The field's prime, little-endian. y must be less (RFC 8032 sections 5.1.3 and 5.2.3). */
static const uint8_t key_checks_prime_25519[32] = {
    0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
static const uint8_t key_checks_prime_448[57] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};

static bool key_checks_is_less(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = len; i-- > 0;) {
        if (a[i] != b[i]) {
            return a[i] < b[i];
        }
    }
    return false;
}

static const char *key_checks_edwards(const struct sg_alg_info *info, const EVP_PKEY *pkey)
{
    uint8_t y[57];
    size_t len = sizeof(y);
    if (!EVP_PKEY_is_a(pkey, info->group)) {
        return "not a key of this Edwards curve (RFC 8037 section 2)";
    }
    if (EVP_PKEY_get_raw_public_key(pkey, y, &len) != 1 || len != info->coordinate_len) {
        return "the Edwards key is of the wrong length (RFC 8037 section 2)";
    }
    bool is_448 = info->alg == SG_ALG_ED448;
    y[len - 1] &= 0x7f; /* the sign of x */
    if (!key_checks_is_less(y, is_448 ? key_checks_prime_448 : key_checks_prime_25519, len)) {
        return "the Edwards key is not canonical (RFC 8032 section 5)";
    }
    const uint8_t *small = is_448 ? key_checks_small_448[0] : key_checks_small_25519[0];
    size_t size = is_448 ? sizeof(key_checks_small_448) : sizeof(key_checks_small_25519);
    for (size_t at = 0; at < size; at += len) {
        if (memcmp(small + at, y, len) == 0) {
            return "the Edwards key is a point of small order, under which anybody can sign";
        }
    }
    return NULL;
}

/* ---- All ---- */

static bool key_checks_openssl_agrees(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

const char *sg_key_check_public(const struct sg_alg_info *info, EVP_PKEY *pkey)
{
    const char *fault = NULL;
    switch (info->family) {
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        fault = key_checks_rsa(pkey);
        break;
    case SG_FAMILY_ECDSA:
        fault = key_checks_ec(info, pkey);
        break;
    case SG_FAMILY_EDDSA:
        fault = key_checks_edwards(info, pkey);
        break;
    case SG_FAMILY_HMAC:
        fault = "a secret has no public part";
        break;
    }
    if (fault == NULL && !key_checks_openssl_agrees(pkey)) {
        fault = "the public key is not valid: a point off its curve, or a modulus that is none";
    }
    return fault;
}
