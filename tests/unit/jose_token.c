/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens for tests.
 */
#include "tests/unit/jose_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/base64url.h"

void jose_key_new(struct jose_key *key, enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    struct sg_key_error error;
    unsigned char *der = NULL;
    assert_non_null(info);
    if (info->family == SG_FAMILY_ECDSA) {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", info->group);
    } else if (info->family == SG_FAMILY_EDDSA) {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, info->group);
    } else {
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    }
    assert_non_null(key->pkey);
    key->alg = alg;
    int len = i2d_PUBKEY(key->pkey, &der);
    assert_true(len > 0);
    assert_int_equal(sg_public_key_from_spki(alg, der, (size_t)len, &key->public, &error),
                     SIGNET_OK);
    OPENSSL_free(der);
}

void jose_key_free(struct jose_key *key)
{
    sg_public_key_free(key->public);
    EVP_PKEY_free(key->pkey);
    *key = (struct jose_key){0};
}

/* DER to r||s. */
static size_t jose_raw_ecdsa(const uint8_t *der, size_t der_len, size_t width, uint8_t *out)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)der_len);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)width), width);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + width, (int)width), width);
    ECDSA_SIG_free(sig);
    return 2 * width;
}

size_t jose_sign(const struct jose_key *key, const char *input, size_t len,
                 uint8_t out[SG_MAX_SIGNATURE_LEN])
{
    const struct sg_alg_info *info = sg_alg_info(key->alg);
    uint8_t sig[SG_MAX_SIGNATURE_LEN];
    size_t sig_len = sizeof(sig);
    EVP_PKEY_CTX *options = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &options, info->digest, NULL, NULL, key->pkey, NULL), 1);
    if (info->family == SG_FAMILY_RSA_PSS) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, (const uint8_t *)input, len), 1);
    EVP_MD_CTX_free(ctx);
    if (info->family == SG_FAMILY_ECDSA) {
        return jose_raw_ecdsa(sig, sig_len, info->coordinate_len, out);
    }
    memcpy(out, sig, sig_len);
    return sig_len;
}

void jose_join(const void *header, size_t header_len, const void *payload, size_t payload_len,
               const uint8_t *sig, size_t sig_len, char out[JOSE_TOKEN_CAP])
{
    size_t at = 0;
    assert_true(SG_BASE64URL_LEN(header_len) + SG_BASE64URL_LEN(payload_len) +
                    SG_BASE64URL_LEN(sig_len) + 3 <=
                JOSE_TOKEN_CAP);
    at += sg_base64url_encode(header, header_len, out + at);
    out[at++] = '.';
    at += sg_base64url_encode(payload, payload_len, out + at);
    out[at++] = '.';
    at += sg_base64url_encode(sig, sig_len, out + at);
    out[at] = '\0';
}

void jose_token(const struct jose_key *key, const char *header, const char *payload,
                char out[JOSE_TOKEN_CAP])
{
    uint8_t sig[SG_MAX_SIGNATURE_LEN];
    size_t sig_len = 0;
    jose_join(header, strlen(header), payload, strlen(payload), NULL, 0, out);
    if (key != NULL) {
        sig_len = jose_sign(key, out, strlen(out) - 1, sig);
    }
    jose_join(header, strlen(header), payload, strlen(payload), sig, sig_len, out);
}

signet_reason jose_verdict(const struct sg_public_key *key, const char *token)
{
    struct sg_jws jws;
    struct sg_verdict verdict = sg_jws_parse(token, strlen(token), &jws);
    return verdict.reason == SIGNET_REASON_NONE ? sg_public_key_verify(key, &jws).reason
                                                : verdict.reason;
}
