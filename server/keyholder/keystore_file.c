/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding, decoding, and AES-256-GCM over both.
 */
#include "server/keyholder/keystore_file.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAGIC_LEN    8u
#define FILE_VERSION      1u
#define FILE_MAX_ALG_LEN  16u
#define FILE_PREFIX_LEN   36u /* magic, version, key id, two lengths, nonce */
#define FILE_NONCE_AT     24u
#define HEADER_PREFIX_LEN 28u /* magic, version, two counts, two ids */

static const uint8_t file_magic[FILE_MAGIC_LEN] = {'S', 'I', 'G', 'N', 'E', 'T', 'K', 'Y'};
static const uint8_t header_magic[FILE_MAGIC_LEN] = {'S', 'I', 'G', 'N', 'E', 'T', 'K', 'S'};

/* ---- AES-256-GCM ---- */

/* One run of bytes, with up to two of what is authenticated beside them. */
struct file_gcm {
    const uint8_t *key, *nonce;
    const void *first, *second;
    size_t first_len, second_len;
};

static bool file_gcm_begin(EVP_CIPHER_CTX *cipher, const struct file_gcm *gcm, bool is_sealing)
{
    int unused = 0;
    return cipher != NULL &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, gcm->key, gcm->nonce,
                             is_sealing ? 1 : 0) == 1 &&
           EVP_CipherUpdate(cipher, NULL, &unused, gcm->first, (int)gcm->first_len) == 1 &&
           (gcm->second_len == 0 ||
            EVP_CipherUpdate(cipher, NULL, &unused, gcm->second, (int)gcm->second_len) == 1);
}

static signet_status file_gcm_seal(const struct file_gcm *gcm, const uint8_t *bytes, size_t len,
                                   uint8_t *out, uint8_t *tag)
{
    int part = 0;
    int rest = 0;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool sealed = file_gcm_begin(cipher, gcm, true) &&
                  EVP_EncryptUpdate(cipher, out, &part, bytes, (int)len) == 1 &&
                  (size_t)part == len && EVP_EncryptFinal_ex(cipher, out + len, &rest) == 1 &&
                  rest == 0 &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SG_KEYSTORE_TAG_LEN, tag) == 1;
    EVP_CIPHER_CTX_free(cipher);
    ERR_clear_error();
    return sealed ? SIGNET_OK : SIGNET_INTERNAL;
}

static signet_status file_gcm_open(const struct file_gcm *gcm, const uint8_t *bytes, size_t len,
                                   const uint8_t *tag, uint8_t *out)
{
    uint8_t copy[SG_KEYSTORE_TAG_LEN];
    uint8_t none[SG_KEYSTORE_TAG_LEN];
    int part = 0;
    int rest = 0;
    memcpy(copy, tag, sizeof(copy));
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool opened = file_gcm_begin(cipher, gcm, false) &&
                  EVP_DecryptUpdate(cipher, out, &part, bytes, (int)len) == 1 &&
                  (size_t)part == len &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, sizeof(copy), copy) == 1 &&
                  EVP_DecryptFinal_ex(cipher, none, &rest) == 1 && rest == 0;
    EVP_CIPHER_CTX_free(cipher);
    ERR_clear_error();
    if (!opened) {
        OPENSSL_cleanse(out, len);
    }
    return opened ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
}

/* ---- Numbers and texts, little-endian ---- */

struct file_writer {
    uint8_t *at;
};

static void file_put(struct file_writer *writer, const void *bytes, size_t len)
{
    if (len > 0) {
        memcpy(writer->at, bytes, len);
    }
    writer->at += len;
}

static void file_put_u64(struct file_writer *writer, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        *writer->at++ = (uint8_t)(value >> (8 * i));
    }
}

static void file_put_u32(struct file_writer *writer, uint32_t value)
{
    file_put_u64(writer, value, 4);
}

static void file_put_bytes(struct file_writer *writer, const void *bytes, size_t len)
{
    file_put_u32(writer, (uint32_t)len);
    file_put(writer, bytes, len);
}

/* Once something does not fit, all that follows is zero, and is_good false. */
struct file_reader {
    const uint8_t *at, *end;
    bool is_good;
};

static const uint8_t *file_take(struct file_reader *reader, size_t len)
{
    if (!reader->is_good || (size_t)(reader->end - reader->at) < len) {
        reader->is_good = false;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += len;
    return bytes;
}

static uint64_t file_take_u64(struct file_reader *reader, size_t len)
{
    const uint8_t *bytes = file_take(reader, len);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < len; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static uint32_t file_take_u32(struct file_reader *reader)
{
    return (uint32_t)file_take_u64(reader, 4);
}

static void file_take_into(struct file_reader *reader, void *out, size_t len)
{
    const uint8_t *bytes = file_take(reader, len);
    if (bytes != NULL) {
        memcpy(out, bytes, len);
    }
}

/* A text of 1 to cap - 1 bytes without a NUL, with one at its end. */
static void file_take_text(struct file_reader *reader, char *out, size_t cap)
{
    size_t len = file_take_u32(reader);
    const uint8_t *bytes = len > 0 && len < cap ? file_take(reader, len) : NULL;
    if (bytes == NULL || memchr(bytes, '\0', len) != NULL) {
        reader->is_good = false;
        return;
    }
    memcpy(out, bytes, len);
    out[len] = '\0';
}

/* ---- The header ---- */

static size_t header_keys_len(const struct sg_keystore_header *header)
{
    return (size_t)header->num_keys * SG_KEYSTORE_KEY_LEN;
}

static void header_write_prefix(const struct sg_keystore_header *header, struct file_writer *writer)
{
    file_put(writer, header_magic, sizeof(header_magic));
    file_put_u32(writer, FILE_VERSION);
    file_put_u32(writer, header->num_keys);
    file_put_u32(writer, header->num_wraps);
    for (size_t i = 0; i < SG_KEYSTORE_MAX_KEYS; i++) {
        file_put_u32(writer, i < header->num_keys ? header->key_ids[i] : 0);
    }
}

/* What is said of a wrap in the open, and authenticated with it. */
static void header_write_terms(const struct sg_keystore_wrap *wrap, struct file_writer *writer)
{
    file_put_u32(writer, wrap->kind);
    file_put_u32(writer, wrap->scrypt.log2_n);
    file_put_u32(writer, wrap->scrypt.r);
    file_put_u32(writer, wrap->scrypt.p);
    file_put(writer, wrap->scrypt.salt, sizeof(wrap->scrypt.salt));
    file_put_bytes(writer, wrap->source, strnlen(wrap->source, sizeof(wrap->source) - 1));
}

/* The ids of the file keys and the terms of the wrap; the other wrap may come and go. */
static size_t header_write_authenticated(const struct sg_keystore_header *header, uint32_t index,
                                         uint8_t *out)
{
    struct file_writer writer = {.at = out};
    file_put(&writer, header_magic, sizeof(header_magic));
    file_put_u32(&writer, FILE_VERSION);
    file_put_u32(&writer, header->num_keys);
    for (size_t i = 0; i < header->num_keys; i++) {
        file_put_u32(&writer, header->key_ids[i]);
    }
    header_write_terms(&header->wraps[index], &writer);
    return (size_t)(writer.at - out);
}

signet_status sg_keystore_header_wrap(struct sg_keystore_header *header, uint32_t index,
                                      const uint8_t kek[SG_KEYSTORE_KEY_LEN], const uint8_t *keys)
{
    uint8_t terms[SG_KEYSTORE_MAX_PATH + 128];
    struct sg_keystore_wrap *wrap = &header->wraps[index];
    if (RAND_bytes(wrap->nonce, sizeof(wrap->nonce)) != 1) {
        ERR_clear_error();
        return SIGNET_INTERNAL;
    }
    const struct file_gcm gcm = {
        .key = kek,
        .nonce = wrap->nonce,
        .first = terms,
        .first_len = header_write_authenticated(header, index, terms),
    };
    return file_gcm_seal(&gcm, keys, header_keys_len(header), wrap->wrapped, wrap->tag);
}

signet_status sg_keystore_header_unwrap(const struct sg_keystore_header *header, uint32_t index,
                                        const uint8_t kek[SG_KEYSTORE_KEY_LEN], uint8_t *keys)
{
    uint8_t terms[SG_KEYSTORE_MAX_PATH + 128];
    const struct sg_keystore_wrap *wrap = &header->wraps[index];
    const struct file_gcm gcm = {
        .key = kek,
        .nonce = wrap->nonce,
        .first = terms,
        .first_len = header_write_authenticated(header, index, terms),
    };
    return file_gcm_open(&gcm, wrap->wrapped, header_keys_len(header), wrap->tag, keys);
}

size_t sg_keystore_header_write(const struct sg_keystore_header *header, uint8_t *out)
{
    struct file_writer writer = {.at = out};
    header_write_prefix(header, &writer);
    for (size_t i = 0; i < header->num_wraps; i++) {
        const struct sg_keystore_wrap *wrap = &header->wraps[i];
        header_write_terms(wrap, &writer);
        file_put(&writer, wrap->nonce, sizeof(wrap->nonce));
        file_put(&writer, wrap->wrapped, header_keys_len(header));
        file_put(&writer, wrap->tag, sizeof(wrap->tag));
    }
    return (size_t)(writer.at - out);
}

/* GCM over nothing: a MAC (NIST SP 800-38D). No key file begins as a header does, so that neither can stand
 * in for the other. */
signet_status sg_keystore_header_close(uint8_t *bytes, size_t len,
                                       const uint8_t key[SG_KEYSTORE_KEY_LEN])
{
    uint8_t none[1] = {0};
    uint8_t *nonce = bytes + len;
    if (RAND_bytes(nonce, SG_KEYSTORE_NONCE_LEN) != 1) {
        ERR_clear_error();
        return SIGNET_INTERNAL;
    }
    const struct file_gcm gcm = {.key = key, .nonce = nonce, .first = bytes, .first_len = len};
    return file_gcm_seal(&gcm, none, 0, none, nonce + SG_KEYSTORE_NONCE_LEN);
}

bool sg_keystore_header_is_whole(const uint8_t *bytes, size_t len,
                                 const uint8_t key[SG_KEYSTORE_KEY_LEN])
{
    uint8_t none[1] = {0};
    if (len < SG_KEYSTORE_CLOSE_LEN) {
        return false;
    }
    const uint8_t *nonce = bytes + len - SG_KEYSTORE_CLOSE_LEN;
    const struct file_gcm gcm = {
        .key = key, .nonce = nonce, .first = bytes, .first_len = len - SG_KEYSTORE_CLOSE_LEN};
    return file_gcm_open(&gcm, none, 0, nonce + SG_KEYSTORE_NONCE_LEN, none) == SIGNET_OK;
}

static bool header_scrypt_is_sane(const struct sg_keystore_scrypt *scrypt)
{
    return scrypt->log2_n >= 1 && scrypt->log2_n <= 24 && scrypt->r >= 1 && scrypt->r <= 64 &&
           scrypt->p >= 1 && scrypt->p <= 16 &&
           ((uint64_t)128 * scrypt->r << scrypt->log2_n) <= SG_KEYSTORE_SCRYPT_MEMORY;
}

static void header_read_wrap(struct file_reader *reader, const struct sg_keystore_header *header,
                             struct sg_keystore_wrap *wrap)
{
    wrap->kind = file_take_u32(reader);
    wrap->scrypt.log2_n = file_take_u32(reader);
    wrap->scrypt.r = file_take_u32(reader);
    wrap->scrypt.p = file_take_u32(reader);
    file_take_into(reader, wrap->scrypt.salt, sizeof(wrap->scrypt.salt));
    file_take_text(reader, wrap->source, sizeof(wrap->source));
    file_take_into(reader, wrap->nonce, sizeof(wrap->nonce));
    file_take_into(reader, wrap->wrapped, header_keys_len(header));
    file_take_into(reader, wrap->tag, sizeof(wrap->tag));
    if (wrap->kind != SG_KEYSTORE_KEY_RAW &&
        (wrap->kind != SG_KEYSTORE_KEY_PASSPHRASE || !header_scrypt_is_sane(&wrap->scrypt))) {
        reader->is_good = false;
    }
}

/* Magic and version, as both kinds of files begin. */
static signet_status file_read_start(struct file_reader *reader, const uint8_t *magic)
{
    const uint8_t *found = file_take(reader, FILE_MAGIC_LEN);
    uint32_t version = file_take_u32(reader);
    if (found == NULL || memcmp(found, magic, FILE_MAGIC_LEN) != 0 || version == 0 ||
        !reader->is_good) {
        return SIGNET_INVALID_ARGUMENT;
    }
    return version > FILE_VERSION ? SIGNET_UNIMPLEMENTED : SIGNET_OK;
}

signet_status sg_keystore_header_read(const uint8_t *bytes, size_t len,
                                      struct sg_keystore_header *out)
{
    struct file_reader reader = {.at = bytes, .end = bytes + len, .is_good = true};
    struct sg_keystore_header header = {0};
    signet_status status = file_read_start(&reader, header_magic);
    if (status != SIGNET_OK) {
        return status;
    }
    header.num_keys = file_take_u32(&reader);
    header.num_wraps = file_take_u32(&reader);
    for (size_t i = 0; i < SG_KEYSTORE_MAX_KEYS; i++) {
        header.key_ids[i] = file_take_u32(&reader);
    }
    if (header.num_keys == 0 || header.num_keys > SG_KEYSTORE_MAX_KEYS || header.num_wraps == 0 ||
        header.num_wraps > SG_KEYSTORE_MAX_WRAPS || header.key_ids[0] == 0 ||
        (header.num_keys == 1 && header.key_ids[1] != 0) ||
        (header.num_keys == 2 && header.key_ids[1] <= header.key_ids[0])) {
        return SIGNET_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < header.num_wraps; i++) {
        header_read_wrap(&reader, &header, &header.wraps[i]);
    }
    if (!reader.is_good || reader.at != reader.end) {
        return SIGNET_INVALID_ARGUMENT;
    }
    *out = header;
    return SIGNET_OK;
}

/* ---- Key files ---- */

static void file_write_metadata(const struct sg_key_record *record, struct file_writer *writer)
{
    const char *alg = sg_alg_info((enum sg_alg)record->alg)->config_name;
    file_put_bytes(writer, record->keyset, strlen(record->keyset));
    file_put_bytes(writer, record->kid, strlen(record->kid));
    file_put_bytes(writer, alg, strlen(alg));
    file_put_u32(writer, record->flags);
    file_put_u32(writer, record->seq);
    file_put_u32(writer, record->max_ttl_s);
    file_put_u64(writer, (uint64_t)record->created_at, 8);
    file_put_u64(writer, (uint64_t)record->sign_from, 8);
    file_put_u64(writer, (uint64_t)record->verify_until, 8);
    file_put_u64(writer, (uint64_t)record->revoked_at, 8);
    file_put_bytes(writer, record->public_key, record->public_len);
}

static void file_read_metadata(struct file_reader *reader, struct sg_key_record *record)
{
    char alg[FILE_MAX_ALG_LEN + 1] = "";
    file_take_text(reader, record->keyset, sizeof(record->keyset));
    file_take_text(reader, record->kid, sizeof(record->kid));
    file_take_text(reader, alg, sizeof(alg));
    record->alg = sg_alg_from_name(alg, strlen(alg));
    record->flags = file_take_u32(reader);
    record->seq = file_take_u32(reader);
    record->max_ttl_s = file_take_u32(reader);
    record->created_at = (int64_t)file_take_u64(reader, 8);
    record->sign_from = (int64_t)file_take_u64(reader, 8);
    record->verify_until = (int64_t)file_take_u64(reader, 8);
    record->revoked_at = (int64_t)file_take_u64(reader, 8);
    record->public_len = file_take_u32(reader);
    if (record->public_len > sizeof(record->public_key) || record->alg == SG_ALG_UNSET) {
        reader->is_good = false;
        return;
    }
    file_take_into(reader, record->public_key, record->public_len);
}

signet_status sg_keystore_file_parse(const uint8_t *bytes, size_t len, struct sg_keystore_file *out)
{
    struct file_reader reader = {.at = bytes, .end = bytes + len, .is_good = true};
    signet_status status = file_read_start(&reader, file_magic);
    memset(out, 0, sizeof(*out));
    if (status != SIGNET_OK) {
        return status;
    }
    out->bytes = bytes;
    out->key_id = file_take_u32(&reader);
    size_t metadata_len = file_take_u32(&reader);
    out->private_len = file_take_u32(&reader);
    (void)file_take(&reader, SG_KEYSTORE_NONCE_LEN);
    if (!reader.is_good || len > SG_KEYSTORE_MAX_FILE || metadata_len > len ||
        out->private_len == 0 || out->private_len > SG_KEYSTORE_MAX_PRIVATE ||
        len != FILE_PREFIX_LEN + metadata_len + out->private_len + SG_KEYSTORE_TAG_LEN) {
        return SIGNET_INVALID_ARGUMENT;
    }
    out->metadata_end = FILE_PREFIX_LEN + metadata_len;
    reader.end = bytes + out->metadata_end;
    file_read_metadata(&reader, &out->record);
    return reader.is_good && reader.at == reader.end ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
}

/* The name is authenticated too, so that one file cannot stand in for another. */
static struct file_gcm file_gcm_of(const uint8_t *bytes, size_t metadata_end, const char *name,
                                   const uint8_t *key)
{
    return (struct file_gcm){.key = key,
                             .nonce = bytes + FILE_NONCE_AT,
                             .first = bytes,
                             .first_len = metadata_end,
                             .second = name,
                             .second_len = strlen(name)};
}

signet_status sg_keystore_file_open(const struct sg_keystore_file *file, const char *name,
                                    const uint8_t key[SG_KEYSTORE_KEY_LEN], uint8_t *out)
{
    const struct file_gcm gcm = file_gcm_of(file->bytes, file->metadata_end, name, key);
    const uint8_t *sealed = file->bytes + file->metadata_end;
    return file_gcm_open(&gcm, sealed, file->private_len, sealed + file->private_len, out);
}

signet_status sg_keystore_file_write(const struct sg_key_record *record, const char *name,
                                     uint32_t key_id, const uint8_t key[SG_KEYSTORE_KEY_LEN],
                                     const uint8_t *private_part, size_t private_len, uint8_t *out,
                                     size_t *out_len)
{
    struct file_writer writer = {.at = out + FILE_PREFIX_LEN};
    if (private_len == 0 || private_len > SG_KEYSTORE_MAX_PRIVATE ||
        record->public_len > sizeof(record->public_key) || record->keyset[0] == '\0' ||
        record->kid[0] == '\0' || sg_alg_info((enum sg_alg)record->alg) == NULL) {
        return SIGNET_INVALID_ARGUMENT;
    }
    file_write_metadata(record, &writer);
    size_t metadata_end = (size_t)(writer.at - out);
    writer.at = out;
    file_put(&writer, file_magic, sizeof(file_magic));
    file_put_u32(&writer, FILE_VERSION);
    file_put_u32(&writer, key_id);
    file_put_u32(&writer, (uint32_t)(metadata_end - FILE_PREFIX_LEN));
    file_put_u32(&writer, (uint32_t)private_len);
    if (RAND_bytes(writer.at, SG_KEYSTORE_NONCE_LEN) != 1) {
        ERR_clear_error();
        return SIGNET_INTERNAL;
    }
    const struct file_gcm gcm = file_gcm_of(out, metadata_end, name, key);
    signet_status status = file_gcm_seal(&gcm, private_part, private_len, out + metadata_end,
                                         out + metadata_end + private_len);
    if (status == SIGNET_OK) {
        *out_len = metadata_end + private_len + SG_KEYSTORE_TAG_LEN;
    }
    return status;
}

/* ---- Names ---- */

static bool name_is_keyset(const char *text, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    return len > 0 && len <= SG_MAX_KEYSET_NAME_LEN && strspn(text, allowed) >= len;
}

bool sg_keystore_name_is_keyset(const char *keyset)
{
    return name_is_keyset(keyset, strlen(keyset));
}

bool sg_keystore_name_read(const char *name, char keyset[SG_MAX_KEYSET_NAME_LEN + 1], uint32_t *seq)
{
    size_t len = strlen(name);
    if (len <= 4 || strcmp(name + len - 4, ".key") != 0) {
        return false;
    }
    const char *end = name + len - 4;
    const char *at = end;
    uint64_t number = 0;
    uint64_t weight = 1;
    /* From the right: a keyset's name may hold dots and digits too. */
    while (at > name && at[-1] >= '0' && at[-1] <= '9' && end - at < 10) {
        at--;
        number += weight * (uint64_t)(*at - '0');
        weight *= 10;
    }
    if (at == end || *at == '0' || number > UINT32_MAX || at == name || at[-1] != '.' ||
        !name_is_keyset(name, (size_t)(at - 1 - name))) {
        return false;
    }
    memcpy(keyset, name, (size_t)(at - 1 - name));
    keyset[at - 1 - name] = '\0';
    *seq = (uint32_t)number;
    return true;
}

void sg_keystore_name_write(const char *keyset, uint32_t seq, char *out, size_t out_cap)
{
    (void)snprintf(out, out_cap, "%s.%u.key", keyset, seq);
}
