/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing and reading backups. Private parts are in memory for secrets on their way from one seal to the
 * other, and nowhere else.
 */
#include "server/keyholder/backup.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/secret.h"

#define BACKUP_MAGIC_LEN     8u
#define BACKUP_VERSION       1u
#define BACKUP_START_LEN     20u /* magic, version, kind, length of what closes it */
#define BACKUP_END_LEN       (SG_KEYSTORE_NONCE_LEN + SG_KEYSTORE_TAG_LEN)
#define BACKUP_KEY_ID        1u
#define BACKUP_CLOSED_X25519 (SG_KEYSTORE_KEY_LEN + SG_SEAL_OVERHEAD)

static const uint8_t backup_magic[BACKUP_MAGIC_LEN] = {'S', 'I', 'G', 'N', 'E', 'T', 'B', 'K'};

static signet_status backup_no_memory(struct sg_kek_message message)
{
    ERR_clear_error();
    return sg_kek_fail(message, SIGNET_RESOURCE_EXHAUSTED,
                       "no memory, or none that is fit for secrets");
}

/* ---- Bytes ---- */

struct backup_writer {
    uint8_t *bytes;
    size_t len, cap;
    bool is_full;
};

static void backup_put(struct backup_writer *writer, const void *bytes, size_t len)
{
    if (writer->is_full || len > SG_BACKUP_MAX_LEN - writer->len) {
        writer->is_full = true;
        return;
    }
    if (writer->cap - writer->len < len) {
        size_t cap = 2 * writer->cap + len + 4096;
        uint8_t *more = realloc(writer->bytes, cap);
        if (more == NULL) {
            writer->is_full = true;
            return;
        }
        writer->bytes = more;
        writer->cap = cap;
    }
    memcpy(writer->bytes + writer->len, bytes, len);
    writer->len += len;
}

static void backup_put_u32(struct backup_writer *writer, uint32_t value)
{
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                             (uint8_t)(value >> 24)};
    backup_put(writer, bytes, sizeof(bytes));
}

struct backup_reader {
    const uint8_t *at, *end;
};

static bool backup_take(struct backup_reader *reader, size_t len, const uint8_t **out)
{
    if ((size_t)(reader->end - reader->at) < len) {
        return false;
    }
    *out = reader->at;
    reader->at += len;
    return true;
}

static bool backup_take_u32(struct backup_reader *reader, uint32_t *out)
{
    const uint8_t *bytes = NULL;
    if (!backup_take(reader, 4, &bytes)) {
        return false;
    }
    *out = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
    return true;
}

/* ---- The end: proof that nothing is missing ---- */

/* The tag of AES-256-GCM over everything before it, nothing being encrypted. */
static bool backup_tag(const uint8_t *key, const uint8_t *bytes, size_t len, const uint8_t *nonce,
                       uint8_t tag[SG_KEYSTORE_TAG_LEN])
{
    int unused = 0;
    uint8_t none[SG_KEYSTORE_TAG_LEN];
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool made = cipher != NULL &&
                EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
                EVP_EncryptUpdate(cipher, NULL, &unused, bytes, (int)len) == 1 &&
                EVP_EncryptFinal_ex(cipher, none, &unused) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SG_KEYSTORE_TAG_LEN, tag) == 1;
    EVP_CIPHER_CTX_free(cipher);
    ERR_clear_error();
    return made;
}

static void backup_put_end(struct backup_writer *writer, const uint8_t *key)
{
    uint8_t nonce[SG_KEYSTORE_NONCE_LEN];
    uint8_t tag[SG_KEYSTORE_TAG_LEN];
    if (RAND_bytes(nonce, sizeof(nonce)) != 1) {
        writer->is_full = true;
        return;
    }
    backup_put(writer, nonce, sizeof(nonce));
    if (!writer->is_full && backup_tag(key, writer->bytes, writer->len, nonce, tag)) {
        backup_put(writer, tag, sizeof(tag));
    } else {
        writer->is_full = true;
    }
}

/* ---- The key of the backup ---- */

static signet_status backup_close_key(const struct sg_backup_lock *lock, const uint8_t *key,
                                      struct backup_writer *writer)
{
    uint8_t closed[SG_KEYSTORE_MAX_FILE];
    size_t len = BACKUP_CLOSED_X25519;
    if (lock->x25519 != NULL) {
        signet_status status =
            sg_seal(lock->x25519, SG_SEAL_FOR_BACKUP, key, SG_KEYSTORE_KEY_LEN, closed);
        if (status != SIGNET_OK) {
            return status;
        }
    } else {
        struct sg_keystore_header header = {
            .num_keys = 1, .num_wraps = 1, .key_ids = {BACKUP_KEY_ID}};
        signet_status status = sg_kek_wrap(&header, 0, lock->passphrase, "passphrase:", key);
        if (status != SIGNET_OK) {
            return status;
        }
        len = sg_keystore_header_write(&header, closed);
    }
    backup_put_u32(writer, (uint32_t)len);
    backup_put(writer, closed, len);
    return SIGNET_OK;
}

static signet_status backup_open_key(const struct sg_backup_lock *lock, const uint8_t *closed,
                                     size_t len, uint8_t *key)
{
    struct sg_keystore_header header;
    uint8_t *kek = NULL;
    if (lock->x25519 != NULL) {
        return len == BACKUP_CLOSED_X25519
                   ? sg_seal_open(lock->x25519, SG_SEAL_FOR_BACKUP, closed, len, key)
                   : SIGNET_INVALID_ARGUMENT;
    }
    signet_status status = sg_keystore_header_read(closed, len, &header);
    if (status != SIGNET_OK || header.num_keys != 1 ||
        header.wraps[0].kind != SG_KEYSTORE_KEY_PASSPHRASE) {
        return SIGNET_INVALID_ARGUMENT;
    }
    kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    status = kek != NULL ? sg_kek_derive(lock->passphrase, &header.wraps[0].scrypt, kek)
                         : SIGNET_RESOURCE_EXHAUSTED;
    if (status == SIGNET_OK) {
        status = sg_keystore_header_unwrap(&header, 0, kek, key);
    }
    sg_secret_release(kek, SG_KEYSTORE_KEY_LEN);
    return status;
}

/* ---- Writing ---- */

static signet_status backup_put_key(struct sg_keystore *store, size_t index,
                                    const struct sg_keystore_entry *entry, const uint8_t *key,
                                    struct backup_writer *writer, struct sg_kek_message message)
{
    uint8_t file[SG_KEYSTORE_MAX_FILE];
    uint8_t *private_part = NULL;
    size_t private_len = 0;
    size_t len = 0;
    signet_status status = sg_keystore_private(store, index, &private_part, &private_len, message);
    if (status != SIGNET_OK) {
        return status;
    }
    status = sg_keystore_file_write(&entry->record, entry->file, BACKUP_KEY_ID, key, private_part,
                                    private_len, file, &len);
    sg_secret_release(private_part, private_len);
    if (status != SIGNET_OK) {
        return backup_no_memory(message);
    }
    backup_put_u32(writer, (uint32_t)strlen(entry->file));
    backup_put(writer, entry->file, strlen(entry->file));
    backup_put_u32(writer, (uint32_t)len);
    backup_put(writer, file, len);
    return SIGNET_OK;
}

static signet_status backup_put_all(struct sg_keystore *store, const uint8_t *key,
                                    struct backup_writer *writer, size_t *num_keys,
                                    struct sg_kek_message message)
{
    struct sg_keystore_entry entry;
    signet_status status = SIGNET_OK;
    *num_keys = 0;
    for (size_t i = 0; sg_keystore_entry(store, i, &entry); i++) {
        *num_keys += entry.fault == SG_KEYSTORE_FAULT_NONE ? 1 : 0;
    }
    backup_put_u32(writer, (uint32_t)*num_keys);
    for (size_t i = 0; status == SIGNET_OK && sg_keystore_entry(store, i, &entry); i++) {
        if (entry.fault == SG_KEYSTORE_FAULT_NONE) {
            status = backup_put_key(store, i, &entry, key, writer, message);
        }
    }
    return status;
}

signet_status sg_backup_write(struct sg_keystore *store, const struct sg_backup_lock *lock,
                              uint8_t **out, size_t *len, size_t *num_keys,
                              struct sg_kek_message message)
{
    struct backup_writer writer = {0};
    uint8_t *key = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    if (key == NULL || RAND_priv_bytes(key, SG_KEYSTORE_KEY_LEN) != 1) {
        sg_secret_release(key, SG_KEYSTORE_KEY_LEN);
        return backup_no_memory(message);
    }
    backup_put(&writer, backup_magic, sizeof(backup_magic));
    backup_put_u32(&writer, BACKUP_VERSION);
    backup_put_u32(&writer, lock->x25519 != NULL ? SG_BACKUP_X25519 : SG_BACKUP_PASSPHRASE);
    signet_status status = backup_close_key(lock, key, &writer);
    if (status != SIGNET_OK) {
        status = sg_kek_fail(message, status, "the backup cannot be closed with this key");
    } else {
        status = backup_put_all(store, key, &writer, num_keys, message);
    }
    if (status == SIGNET_OK) {
        backup_put_end(&writer, key);
        status = writer.is_full ? backup_no_memory(message) : SIGNET_OK;
    }
    sg_secret_release(key, SG_KEYSTORE_KEY_LEN);
    if (status != SIGNET_OK) {
        free(writer.bytes);
        return status;
    }
    *out = writer.bytes;
    *len = writer.len;
    return SIGNET_OK;
}

/* ---- Reading ---- */

static signet_status backup_fail_format(struct sg_kek_message message)
{
    return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                       "it is no backup of signet keystore backup, or it is cut");
}

signet_status sg_backup_kind(const uint8_t *bytes, size_t len, enum sg_backup_kind *out,
                             struct sg_kek_message message)
{
    struct backup_reader reader = {.at = bytes, .end = bytes + len};
    const uint8_t *magic = NULL;
    uint32_t version = 0;
    uint32_t kind = 0;
    if (!backup_take(&reader, BACKUP_MAGIC_LEN, &magic) ||
        memcmp(magic, backup_magic, BACKUP_MAGIC_LEN) != 0 || !backup_take_u32(&reader, &version) ||
        !backup_take_u32(&reader, &kind) || len > SG_BACKUP_MAX_LEN) {
        return backup_fail_format(message);
    }
    if (version != BACKUP_VERSION || (kind != SG_BACKUP_X25519 && kind != SG_BACKUP_PASSPHRASE)) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                           "it was written by a later version; install that version");
    }
    *out = (enum sg_backup_kind)kind;
    return SIGNET_OK;
}

/* Opens the backup's key and proves the whole; what is between goes to inside. */
static signet_status backup_open(const uint8_t *bytes, size_t len,
                                 const struct sg_backup_lock *lock, uint8_t *key,
                                 struct backup_reader *inside, struct sg_kek_message message)
{
    enum sg_backup_kind kind = SG_BACKUP_X25519;
    const uint8_t *closed = NULL;
    uint32_t closed_len = 0;
    uint8_t tag[SG_KEYSTORE_TAG_LEN];
    signet_status status = sg_backup_kind(bytes, len, &kind, message);
    if (status != SIGNET_OK) {
        return status;
    }
    if (len < BACKUP_START_LEN + BACKUP_END_LEN) {
        return backup_fail_format(message);
    }
    *inside = (struct backup_reader){.at = bytes + BACKUP_MAGIC_LEN + 8,
                                     .end = bytes + len - BACKUP_END_LEN};
    if (!backup_take_u32(inside, &closed_len) || !backup_take(inside, closed_len, &closed)) {
        return backup_fail_format(message);
    }
    if ((kind == SG_BACKUP_X25519) != (lock->x25519 != NULL) ||
        backup_open_key(lock, closed, closed_len, key) != SIGNET_OK) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "it is closed with another key or passphrase, or was changed");
    }
    const uint8_t *end = inside->end;
    if (!backup_tag(key, bytes, len - SG_KEYSTORE_TAG_LEN, end, tag) ||
        CRYPTO_memcmp(tag, end + SG_KEYSTORE_NONCE_LEN, sizeof(tag)) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "it was changed, or is cut");
    }
    return SIGNET_OK;
}

static signet_status backup_add(struct sg_keystore *store, struct sg_key_record *record,
                                const uint8_t *private_part, size_t private_len,
                                struct sg_backup_report *report, struct sg_kek_message message)
{
    size_t unused = 0;
    if (sg_keystore_find(store, record->keyset, record->kid, &unused)) {
        report->num_present++;
        return SIGNET_OK;
    }
    signet_status status = sg_keystore_add(store, record, private_part, private_len, message);
    if (status == SIGNET_ALREADY_EXISTS) {
        record->seq = 0; /* its number is another key's by now */
        status = sg_keystore_add(store, record, private_part, private_len, message);
    }
    report->num_restored += status == SIGNET_OK ? 1 : 0;
    return status;
}

static signet_status backup_restore_file(struct sg_keystore *store, struct backup_reader *inside,
                                         const uint8_t *key, struct sg_backup_report *report,
                                         struct sg_kek_message message)
{
    char name[sizeof(((struct sg_keystore_entry *)0)->file)] = "";
    const uint8_t *bytes = NULL;
    uint32_t len = 0;
    struct sg_keystore_file file;
    if (!backup_take_u32(inside, &len) || len == 0 || len >= sizeof(name) ||
        !backup_take(inside, len, &bytes)) {
        return backup_fail_format(message);
    }
    memcpy(name, bytes, len);
    if (!backup_take_u32(inside, &len) || !backup_take(inside, len, &bytes) ||
        sg_keystore_file_parse(bytes, len, &file) != SIGNET_OK) {
        return backup_fail_format(message);
    }
    uint8_t *private_part = sg_secret_alloc(file.private_len);
    if (private_part == NULL) {
        return backup_no_memory(message);
    }
    signet_status status = sg_keystore_file_open(&file, name, key, private_part);
    status = status == SIGNET_OK
                 ? backup_add(store, &file.record, private_part, file.private_len, report, message)
                 : backup_fail_format(message);
    sg_secret_release(private_part, file.private_len);
    return status;
}

signet_status sg_backup_restore(struct sg_keystore *store, const uint8_t *bytes, size_t len,
                                const struct sg_backup_lock *lock, struct sg_backup_report *report,
                                struct sg_kek_message message)
{
    struct backup_reader inside;
    uint32_t num_keys = 0;
    *report = (struct sg_backup_report){0};
    uint8_t *key = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    if (key == NULL) {
        return backup_no_memory(message);
    }
    signet_status status = backup_open(bytes, len, lock, key, &inside, message);
    if (status == SIGNET_OK && !backup_take_u32(&inside, &num_keys)) {
        status = backup_fail_format(message);
    }
    for (uint32_t i = 0; status == SIGNET_OK && i < num_keys; i++) {
        status = backup_restore_file(store, &inside, key, report, message);
    }
    sg_secret_release(key, SG_KEYSTORE_KEY_LEN);
    return status;
}
