/* SPDX-License-Identifier: Apache-2.0
 *
 * PEM files (RFC 7468) with one private key: PKCS#8 (RFC 5208), encrypted or not, and the traditional
 * forms of OpenSSL. What else is in the file, such as a certificate, is left alone.
 */
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "client/seal/key_file_parts.h"
#include "common/jose/key_checks.h"

struct pem_block {
    char *name, *header;
    uint8_t *der;
    long len;
};

static void pem_block_fini(struct pem_block *block)
{
    OPENSSL_secure_clear_free(block->der, block->len > 0 ? (size_t)block->len : 0);
    OPENSSL_secure_free(block->header);
    OPENSSL_secure_free(block->name);
    *block = (struct pem_block){0};
}

/* ---- Finding the key ---- */

static bool pem_is_private(const char *name)
{
    static const char end[] = "PRIVATE KEY";
    size_t len = strlen(name);
    return len >= sizeof(end) - 1 && strcmp(name + len - (sizeof(end) - 1), end) == 0;
}

static bool pem_is_public(const char *name)
{
    return strcmp(name, PEM_STRING_PUBLIC) == 0 || strcmp(name, PEM_STRING_RSA_PUBLIC) == 0 ||
           strcmp(name, PEM_STRING_X509) == 0;
}

static bool pem_refuse_none(bool has_public, unsigned num_blocks, struct key_file_error *error)
{
    if (has_public) {
        return key_file_refuse(error,
                               "there is a public key in it, and no private one; importing takes "
                               "the private one (to verify tokens of others, see signet-trust(5))");
    }
    if (num_blocks > 0) {
        return key_file_refuse(error, "there is no private key among its PEM blocks");
    }
    return key_file_refuse(error, "not PEM: there is no -----BEGIN line");
}

/* Goes through all blocks and keeps the one private key. */
static bool pem_find(BIO *bio, struct pem_block *out, struct key_file_error *error)
{
    struct pem_block block = {0};
    bool has_public = false;
    unsigned num_blocks = 0;
    for (; PEM_read_bio_ex(bio, &block.name, &block.header, &block.der, &block.len,
                           PEM_FLAG_SECURE) == 1;
         num_blocks++) {
        has_public = has_public || pem_is_public(block.name);
        if (!pem_is_private(block.name)) {
            pem_block_fini(&block);
        } else if (out->name == NULL) {
            *out = block;
            block = (struct pem_block){0};
        } else {
            pem_block_fini(&block);
            return key_file_refuse(error, "there are several private keys in it; put the one that "
                                          "is meant into a file of its own");
        }
    }
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE) {
        return key_file_refuse(error, "a PEM block in it is damaged, or cut");
    }
    return out->name != NULL || pem_refuse_none(has_public, num_blocks, error);
}

/* ---- Decrypting ---- */

static bool pem_is_unsupported(unsigned long code)
{
    static const struct {
        int lib, reason;
    } unsupported[] = {
        {ERR_LIB_EVP, EVP_R_UNSUPPORTED_ALGORITHM}, {ERR_LIB_EVP, EVP_R_UNSUPPORTED_CIPHER},
        {ERR_LIB_EVP, EVP_R_UNKNOWN_PBE_ALGORITHM}, {ERR_LIB_EVP, EVP_R_UNKNOWN_CIPHER},
        {ERR_LIB_PEM, PEM_R_UNSUPPORTED_CIPHER},    {ERR_LIB_PEM, PEM_R_UNSUPPORTED_ENCRYPTION},
        {ERR_LIB_EVP, ERR_R_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        if (ERR_GET_LIB(code) == unsupported[i].lib &&
            ERR_GET_REASON(code) == unsupported[i].reason) {
            return true;
        }
    }
    return false;
}

/* What a failure to decrypt means, which OpenSSL's queue tells. */
static bool pem_refuse_encrypted(struct key_file_error *error)
{
    unsigned long code;
    while ((code = ERR_get_error()) != 0) {
        if (pem_is_unsupported(code)) {
            return key_file_refuse(error, "the key is encrypted in a way that OpenSSL no longer "
                                          "offers; encrypt it anew: openssl pkcs8 -topk8 -in FILE "
                                          "-out NEW -provider legacy -provider default");
        }
    }
    return key_file_refuse(error, "the passphrase is wrong, or the encrypted key is damaged");
}

/* PEM_do_header's way to ask. */
static int pem_give_passphrase(char *out, int cap, int is_writing, void *context)
{
    const struct seal_bytes *passphrase = context;
    (void)is_writing;
    if (cap < 0 || passphrase->len > (size_t)cap) {
        return -1;
    }
    memcpy(out, passphrase->data, passphrase->len);
    return (int)passphrase->len;
}

/* ---- Decoding ---- */

static EVP_PKEY *pem_from_info(PKCS8_PRIV_KEY_INFO *info)
{
    EVP_PKEY *pkey = info != NULL ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    return pkey;
}

/* PKCS#8, every byte of it. */
static EVP_PKEY *pem_decode_pkcs8(const struct pem_block *block)
{
    const uint8_t *at = block->der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, block->len);
    if (info != NULL && at != block->der + block->len) {
        PKCS8_PRIV_KEY_INFO_free(info);
        info = NULL;
    }
    return pem_from_info(info);
}

/* RFC 8017 A.1.2, RFC 5915. */
static EVP_PKEY *pem_decode_traditional(const struct pem_block *block)
{
    const uint8_t *at = block->der;
    int type = strcmp(block->name, PEM_STRING_RSA) == 0 ? EVP_PKEY_RSA : EVP_PKEY_EC;
    EVP_PKEY *pkey = d2i_PrivateKey(type, NULL, &at, block->len);
    if (pkey != NULL && at != block->der + block->len) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

static bool pem_is_traditional(const struct pem_block *block)
{
    return strcmp(block->name, PEM_STRING_RSA) == 0 ||
           strcmp(block->name, PEM_STRING_ECPRIVATEKEY) == 0;
}

static bool pem_is_encrypted(const struct pem_block *block)
{
    return strcmp(block->name, PEM_STRING_PKCS8) == 0 || strstr(block->header, "ENCRYPTED") != NULL;
}

/* Decrypts a traditional block where it is. */
static bool pem_open_traditional(struct pem_block *block, struct seal_bytes *passphrase)
{
    EVP_CIPHER_INFO cipher;
    return PEM_get_EVP_CIPHER_INFO(block->header, &cipher) == 1 &&
           PEM_do_header(&cipher, block->der, &block->len, pem_give_passphrase, passphrase) == 1;
}

static PKCS8_PRIV_KEY_INFO *pem_open_pkcs8(const struct pem_block *block,
                                           const struct seal_bytes *passphrase)
{
    const uint8_t *at = block->der;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &at, block->len);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    if (sealed != NULL) {
        info = PKCS8_decrypt(sealed, (const char *)passphrase->data, (int)passphrase->len);
    }
    X509_SIG_free(sealed);
    return info;
}

static bool pem_open_encrypted(struct pem_block *block, struct seal_bytes *passphrase,
                               EVP_PKEY **out, struct key_file_error *error)
{
    PKCS8_PRIV_KEY_INFO *info = NULL;
    bool is_traditional = pem_is_traditional(block);
    ERR_clear_error();
    bool is_open = false;
    if (is_traditional) {
        is_open = pem_open_traditional(block, passphrase);
    } else {
        info = pem_open_pkcs8(block, passphrase);
        is_open = info != NULL;
    }
    if (!is_open) {
        return pem_refuse_encrypted(error);
    }
    /* One wrong passphrase in 256 gets so far: there is no check but the padding. */
    *out = is_traditional ? pem_decode_traditional(block) : pem_from_info(info);
    ERR_clear_error();
    return *out != NULL || pem_refuse_encrypted(error);
}

static bool pem_refuse_kind(const struct pem_block *block, struct key_file_error *error)
{
    if (strcmp(block->name, "OPENSSH PRIVATE KEY") == 0) {
        return key_file_refuse(error, "the key is in the form of OpenSSH; make it PKCS#8 first: "
                                      "ssh-keygen -p -m PKCS8 -f FILE");
    }
    return key_file_refuse(error, "a %.40s is of no use for tokens: RSA, EC, Ed25519 and Ed448 are",
                           block->name);
}

/* *asked_in_vain as in key_file_read_pem. */
static bool pem_decode(const struct key_file_options *options, struct pem_block *block,
                       EVP_PKEY **out, bool *asked_in_vain, struct key_file_error *error)
{
    bool is_pkcs8 = strcmp(block->name, PEM_STRING_PKCS8INF) == 0;
    if (pem_is_encrypted(block)) {
        struct seal_bytes passphrase = {0};
        *asked_in_vain = !options->ask(options->ask_context, &passphrase);
        bool is_open = !*asked_in_vain && pem_open_encrypted(block, &passphrase, out, error);
        seal_bytes_fini(&passphrase);
        return is_open;
    }
    if (!is_pkcs8 && !pem_is_traditional(block)) {
        return pem_refuse_kind(block, error);
    }
    *out = is_pkcs8 ? pem_decode_pkcs8(block) : pem_decode_traditional(block);
    return *out != NULL ||
           key_file_refuse(error, "the PEM block holds no private key that can be decoded");
}

/* ---- Taking it ---- */

static bool pem_is_pair(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool is_pair = ctx != NULL && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_pair;
}

static bool pem_check(const struct key_file_options *options, enum sg_alg alg, EVP_PKEY *pkey,
                      struct key_file_error *error)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info->family == SG_FAMILY_HMAC) {
        return key_file_refuse(error,
                               "%s takes a secret, and this is a private key; say for which "
                               "algorithm it is, with --alg",
                               info->config_name);
    }
    const char *fault = sg_key_check_public(info, pkey);
    if (fault == NULL && !pem_is_pair(pkey)) {
        fault = "the private part is bad, or does not belong to the public one";
    }
    return fault == NULL || key_file_refuse(error, "not good for %s: %s%s", info->config_name,
                                            fault, key_file_alg_hint(options));
}

static bool pem_keep(EVP_PKEY *pkey, struct key_file_key *key, struct key_file_error *error)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int len = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    uint8_t *der = len > 0 ? seal_alloc((size_t)len) : NULL;
    uint8_t *at = der;
    bool is_kept = der != NULL && i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    if (!is_kept) {
        seal_free(der);
        return key_file_refuse(error, "the key cannot be written as PKCS#8; is there no memory?");
    }
    key->bytes = (struct seal_bytes){.data = der, .len = (size_t)len};
    return true;
}

bool key_file_read_pem(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                       struct key_file_key *key, bool *asked_in_vain, struct key_file_error *error)
{
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    struct pem_block block = {0};
    EVP_PKEY *pkey = NULL;
    if (bio == NULL) {
        return key_file_refuse(error, "no memory for a key");
    }
    key->alg = options->alg != SG_ALG_UNSET ? options->alg : options->default_alg;
    bool is_read = pem_find(bio, &block, error) &&
                   pem_decode(options, &block, &pkey, asked_in_vain, error) &&
                   pem_check(options, key->alg, pkey, error) && pem_keep(pkey, key, error);
    EVP_PKEY_free(pkey);
    pem_block_fini(&block);
    BIO_free(bio);
    ERR_clear_error();
    return is_read;
}
