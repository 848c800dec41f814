/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys are made here with OpenSSL and imported; the oracles use OpenSSL and jansson, and nothing of the
 * keyholder's.
 */
#include "keyholder_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"

static const enum sg_alg holder_algs[HOLDER_NUM_KEYS] = {SG_ALG_HS256,  SG_ALG_HS512, SG_ALG_ES256,
                                                         SG_ALG_ES512,  SG_ALG_RS256, SG_ALG_PS256,
                                                         SG_ALG_ED25519};

/* ---- What is right ---- */

const struct holder_key *holder_find(const struct holder_fixture *fixture, uint64_t slot)
{
    for (size_t i = 0; i < HOLDER_NUM_KEYS; i++) {
        if (fixture->keys[i].slot == slot) {
            return &fixture->keys[i];
        }
    }
    return NULL;
}

size_t holder_input_with_header(const char *header, char out[HOLDER_MAX_INPUT])
{
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), out);
    return len + (size_t)snprintf(out + len, HOLDER_MAX_INPUT - len, ".eyJzdWIiOiJhbGljZSJ9");
}

size_t holder_input(enum sg_alg alg, char out[HOLDER_MAX_INPUT])
{
    char header[128];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\",\"typ\":\"JWT\"}",
                   sg_alg_info(alg)->jws_name);
    return holder_input_with_header(header, out);
}

size_t holder_mac(const struct holder_key *key, const void *data, size_t len, uint8_t out[64])
{
    unsigned mac_len = 0;
    const EVP_MD *digest = key->alg == SG_ALG_HS256 ? EVP_sha256() : EVP_sha512();
    (void)HMAC(digest, key->secret, (int)key->secret_len, data, len, out, &mac_len);
    return mac_len;
}

/* The bytes of a text in base64url, by another way than common/base64url; false if it is none. */
static bool holder_decode(const uint8_t *text, size_t len, char *out, size_t cap, size_t *out_len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned num_bits = 0;
    *out_len = 0;
    for (size_t i = 0; i < len; i++) {
        const char *at = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;
        if (at == NULL || *out_len == cap) {
            return false;
        }
        bits = (bits << 6 | (uint32_t)(at - alphabet)) & 0xffffu;
        num_bits += 6;
        if (num_bits >= 8) {
            num_bits -= 8;
            out[(*out_len)++] = (char)(bits >> num_bits & 0xffu);
        }
    }
    return num_bits < 6 && (bits & ((1u << num_bits) - 1)) == 0;
}

static bool holder_is_header(const struct holder_key *key, const char *text, size_t len)
{
    char begin[64];
    int begin_len =
        snprintf(begin, sizeof(begin), "{\"alg\":\"%s\"", sg_alg_info(key->alg)->jws_name);
    json_t *header = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(header) && len > (size_t)begin_len &&
                memcmp(text, begin, (size_t)begin_len) == 0;
    json_decref(header);
    return good;
}

bool holder_may_sign(const struct holder_key *key, const uint8_t *data, size_t len)
{
    const uint8_t *dot = len > 0 ? memchr(data, '.', len) : NULL;
    if (dot == NULL || dot == data || dot == data + len - 1 || len > SG_MAX_TOKEN_LEN) {
        return false;
    }
    char *room = malloc(len);
    size_t header_len = 0;
    size_t payload_len = 0;
    bool good = room != NULL &&
                holder_decode(dot + 1, (size_t)(data + len - dot - 1), room, len, &payload_len) &&
                holder_decode(data, (size_t)(dot - data), room, len, &header_len) &&
                holder_is_header(key, room, header_len);
    free(room);
    return good;
}

bool holder_is_signature(const struct holder_key *key, const uint8_t *data, size_t len,
                         const uint8_t *signature, size_t signature_len)
{
    uint8_t mac[64];
    if (key->public_key != NULL) {
        return sg_public_key_check_signature(key->public_key, data, len, signature, signature_len);
    }
    return holder_mac(key, data, len, mac) == signature_len &&
           memcmp(mac, signature, signature_len) == 0;
}

bool holder_tells(const struct holder_fixture *fixture, const void *bytes, size_t len)
{
    struct secret_report report = {0};
    secret_search_bytes(fixture->search, "an answer", bytes, len, &report);
    if (report.num_hits > 0) {
        secret_report_print(&report, "the keyholder tells");
    }
    return report.num_hits > 0;
}

/* ---- Asking ---- */

struct sg_keyholder_reply holder_call(const struct holder_fixture *fixture,
                                      struct sg_keyholder_request request, const void *bytes,
                                      size_t len)
{
    struct sg_keyholder_reply reply;
    request.data_len = (uint32_t)len;
    assert_true(keyholder_peer_call(fixture->peer.channels[0], &request, 1, bytes, len, &reply));
    assert_false(holder_tells(fixture, &reply, sizeof(reply)));
    return reply;
}

struct sg_keyholder_reply holder_sign(const struct holder_fixture *fixture, uint64_t slot,
                                      const void *input, size_t len)
{
    return holder_call(
        fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_SIGN, .slot = slot}, input, len);
}

signet_status holder_keystore(const struct holder_fixture *fixture,
                              const struct sg_keystore_request *request,
                              struct sg_keystore_reply *reply)
{
    assert_true(keyholder_peer_keystore(fixture->peer.channels[0], request, reply));
    assert_false(holder_tells(fixture, reply, sizeof(*reply)));
    return (signet_status)reply->status;
}

void holder_check_keys(const struct holder_fixture *fixture)
{
    for (size_t i = 0; i < HOLDER_NUM_KEYS; i++) {
        char input[HOLDER_MAX_INPUT];
        const struct holder_key *key = &fixture->keys[i];
        size_t len = holder_input(key->alg, input);
        const struct sg_keyholder_reply reply = holder_sign(fixture, key->slot, input, len);
        if (reply.status != SIGNET_OK) {
            fail_msg("%s: %s", sg_alg_info(key->alg)->jws_name, reply.message);
        }
        assert_true(holder_is_signature(key, (uint8_t *)input, len, reply.data, reply.data_len));
    }
}

/* ---- Keys ---- */

static EVP_PKEY *holder_make(enum sg_alg alg)
{
    EVP_PKEY *pkey = NULL;
    switch (sg_alg_info(alg)->family) {
    case SG_FAMILY_ECDSA:
        pkey = EVP_EC_gen(sg_alg_info(alg)->group);
        break;
    case SG_FAMILY_EDDSA:
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case SG_FAMILY_RSA_PKCS1:
    case SG_FAMILY_RSA_PSS:
        pkey = EVP_RSA_gen(2048);
        break;
    case SG_FAMILY_HMAC:
        break;
    }
    assert_non_null(pkey);
    return pkey;
}

/* A private number, if keys of this kind have one of this name. */
static void holder_search_number(struct secret_search *search, EVP_PKEY *pkey, const char *name)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1) {
        int len = BN_bn2bin(number, bytes);
        secret_search_add(search, name, bytes, (size_t)len);
        BN_clear_free(number);
    }
}

static void holder_search_private(struct secret_search *search, EVP_PKEY *pkey)
{
    uint8_t raw[64];
    size_t len = sizeof(raw);
    if (EVP_PKEY_get_raw_private_key(pkey, raw, &len) == 1) {
        secret_search_add(search, "Ed25519", raw, len);
    }
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_PRIV_KEY);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_D);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_FACTOR1);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_FACTOR2);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2);
    holder_search_number(search, pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
}

/* Imports bytes, which are private and may thus stand in no reply. */
static void holder_import(struct holder_fixture *fixture, struct holder_key *key,
                          const uint8_t *bytes, size_t len)
{
    const struct sg_keyholder_reply reply = holder_call(
        fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_IMPORT, .alg = key->alg}, bytes,
        len);
    assert_int_equal(reply.status, SIGNET_OK);
    assert_int_not_equal(reply.slot, 0);
    key->slot = reply.slot;
}

static void holder_import_pair(struct holder_fixture *fixture, struct holder_key *key)
{
    struct sg_key_error error;
    uint8_t *der = NULL;
    EVP_PKEY *pkey = holder_make(key->alg);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    assert_non_null(info);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(len > 0);
    holder_search_private(fixture->search, pkey);
    assert_int_equal(sg_public_key_from_pkey(key->alg, pkey, &key->public_key, &error), SIGNET_OK);
    holder_import(fixture, key, der, (size_t)len);
    OPENSSL_clear_free(der, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pkey);
}

static void holder_import_secret(struct holder_fixture *fixture, struct holder_key *key)
{
    /* As long as the hash: a longer one would be hashed down first. */
    key->secret_len = sg_alg_info(key->alg)->hash_len;
    for (size_t i = 0; i < key->secret_len; i++) {
        key->secret[i] = (uint8_t)(0x5bu + 37u * i + (unsigned)key->alg);
    }
    secret_search_add(fixture->search, "secret", key->secret, key->secret_len);
    holder_import(fixture, key, key->secret, key->secret_len);
}

static void holder_store_victim(struct holder_fixture *fixture)
{
    struct sg_keystore_request request = {.op = SG_KEYSTORE_ADD,
                                          .record = store_record("fuzz", "victim")};
    struct sg_keystore_reply reply;
    const struct sg_keyholder_reply made = holder_call(
        fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_HS256},
        NULL, 0);
    assert_int_equal(made.status, SIGNET_OK);
    request.slot = made.slot;
    request.record.flags = 0;
    assert_int_equal(holder_keystore(fixture, &request, &reply), SIGNET_OK);
    fixture->victim = made.slot;
}

static void holder_open_keystore(struct holder_fixture *fixture)
{
    struct sg_keystore_request request = {.op = SG_KEYSTORE_OPEN, .passphrase_fd = -1};
    struct sg_keystore_reply reply;
    (void)snprintf(request.dir, sizeof(request.dir), "%s", fixture->base->state);
    (void)snprintf(request.source, sizeof(request.source), "%s", fixture->base->source[0]);
    if (holder_keystore(fixture, &request, &reply) != SIGNET_OK) {
        fail_msg("%s", reply.message);
    }
}

int holder_setup(void **state)
{
    struct holder_fixture *fixture = calloc(1, sizeof(*fixture));
    void *base = NULL;
    assert_non_null(fixture);
    (void)store_setup(&base);
    fixture->base = base;
    fixture->search = secret_search_new();
    keyholder_peer_start(&fixture->peer, HOLDER_NUM_CHANNELS, fixture->base->state,
                         fixture->base->source[0]);
    holder_open_keystore(fixture);
    for (size_t i = 0; i < HOLDER_NUM_KEYS; i++) {
        struct holder_key *key = &fixture->keys[i];
        key->alg = holder_algs[i];
        if (sg_alg_info(key->alg)->family == SG_FAMILY_HMAC) {
            holder_import_secret(fixture, key);
        } else {
            holder_import_pair(fixture, key);
        }
    }
    holder_store_victim(fixture);
    *state = fixture;
    return 0;
}

int holder_teardown(void **state)
{
    struct holder_fixture *fixture = *state;
    void *base = fixture->base;
    keyholder_peer_stop(&fixture->peer);
    (void)store_teardown(&base);
    for (size_t i = 0; i < HOLDER_NUM_KEYS; i++) {
        sg_public_key_free(fixture->keys[i].public_key);
    }
    secret_search_free(fixture->search);
    free(fixture);
    return 0;
}
