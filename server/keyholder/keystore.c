/* SPDX-License-Identifier: Apache-2.0
 *
 * Which file holds which key, and changing keys.
 */
#include "server/keyholder/keystore.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/keystore_parts.h"
#include "server/keyholder/secret.h"

signet_status keystore_no_memory(struct sg_kek_message message)
{
    ERR_clear_error();
    return sg_kek_fail(message, SIGNET_RESOURCE_EXHAUSTED,
                       "no memory, or none that is fit for secrets");
}

/* ---- File keys ---- */

const uint8_t *keystore_key(const struct sg_keystore *store, uint32_t id)
{
    for (uint32_t i = 0; i < store->header.num_keys; i++) {
        if (store->header.key_ids[i] == id) {
            return store->keys + (size_t)i * SG_KEYSTORE_KEY_LEN;
        }
    }
    return NULL;
}

uint32_t keystore_newest_id(const struct sg_keystore *store)
{
    return store->header.key_ids[store->header.num_keys - 1];
}

/* ---- Items ---- */

static size_t keystore_record_size(const struct sg_key_record *record)
{
    return offsetof(struct sg_key_record, public_key) + record->public_len;
}

struct sg_key_record *keystore_copy_record(const struct sg_key_record *record)
{
    struct sg_key_record *copy = malloc(keystore_record_size(record));
    if (copy != NULL) {
        memcpy(copy, record, keystore_record_size(record));
    }
    return copy;
}

void keystore_item_fini(struct keystore_item *item)
{
    free(item->record);
    free(item->message);
    *item = (struct keystore_item){0};
}

int keystore_compare(const void *a, const void *b)
{
    const struct keystore_item *left = a;
    const struct keystore_item *right = b;
    int order = strcmp(left->keyset, right->keyset);
    if (order != 0) {
        return order;
    }
    return left->seq < right->seq ? -1 : left->seq > right->seq;
}

/* Room for one more; its place is the end. */
struct keystore_item *keystore_reserve(struct sg_keystore *store)
{
    if (store->num == store->cap) {
        size_t cap = 2 * store->cap + 16;
        struct keystore_item *items = realloc(store->items, cap * sizeof(*items));
        if (items == NULL) {
            return NULL;
        }
        store->items = items;
        store->cap = cap;
    }
    struct keystore_item *item = &store->items[store->num];
    *item = (struct keystore_item){0};
    return item;
}

/* The first item of a keyset, or where it would be. */
size_t keystore_first_of(const struct sg_keystore *store, const char *keyset)
{
    size_t low = 0;
    size_t high = store->num;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->items[middle].keyset, keyset) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool sg_keystore_find(const struct sg_keystore *store, const char *keyset, const char *kid,
                      size_t *index)
{
    for (size_t i = keystore_first_of(store, keyset);
         i < store->num && strcmp(store->items[i].keyset, keyset) == 0; i++) {
        const struct keystore_item *item = &store->items[i];
        if (item->fault == SG_KEYSTORE_FAULT_NONE && strcmp(item->record->kid, kid) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* ---- Looking ---- */

size_t sg_keystore_num(const struct sg_keystore *store)
{
    return store->num;
}

bool sg_keystore_entry(const struct sg_keystore *store, size_t index, struct sg_keystore_entry *out)
{
    if (index >= store->num) {
        return false;
    }
    const struct keystore_item *item = &store->items[index];
    memset(out, 0, sizeof(*out));
    out->fault = item->fault;
    out->has_hint = item->has_hint;
    memcpy(out->file, item->file, sizeof(out->file));
    if (item->fault == SG_KEYSTORE_FAULT_NONE || item->has_hint) {
        memcpy(&out->record, item->record, keystore_record_size(item->record));
    }
    if (item->fault != SG_KEYSTORE_FAULT_NONE) {
        memcpy(out->record.keyset, item->keyset, sizeof(out->record.keyset));
        out->record.seq = item->seq;
        (void)snprintf(out->message, sizeof(out->message), "%s", item->message);
    }
    return true;
}

bool sg_keystore_is_rekeying(const struct sg_keystore *store)
{
    return store->header.num_wraps > 1;
}

const char *sg_keystore_dir(const struct sg_keystore *store)
{
    return store->dir.path;
}

const char *sg_keystore_source(const struct sg_keystore *store)
{
    return store->source;
}

/* All that never changes; keyset and seq are in the file's name. */
static bool keystore_is_same_key(const struct sg_key_record *a, const struct sg_key_record *b)
{
    return strcmp(a->kid, b->kid) == 0 && a->alg == b->alg && a->flags == b->flags &&
           a->created_at == b->created_at && a->public_len == b->public_len &&
           memcmp(a->public_key, b->public_key, a->public_len) == 0;
}

/* Reads and opens a file again; the private part is in store->room, to be wiped. */
signet_status keystore_reopen(struct sg_keystore *store, const struct keystore_item *item,
                              struct sg_keystore_file *file, struct sg_kek_message message)
{
    size_t len = 0;
    const char *why = "it is cut, or no key file";
    signet_status status = sg_keystore_dir_read(&store->dir, item->file, store->file,
                                                SG_KEYSTORE_MAX_FILE, &len, message);
    if (status != SIGNET_OK) {
        return status;
    }
    status = sg_keystore_file_parse(store->file, len, file);
    if (status == SIGNET_OK) {
        status = keystore_unseal(store, item, file, &why);
    }
    /* A file of this name may be good, and yet be another than the one that was read at the start. */
    if (status == SIGNET_OK && !keystore_is_same_key(item->record, &file->record)) {
        OPENSSL_cleanse(store->room, file->private_len);
        why = "it holds another key";
        status = SIGNET_INVALID_ARGUMENT;
    }
    return status == SIGNET_OK ? SIGNET_OK
                               : sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                                             "%s/%s was good before, and is not any more: %s",
                                             store->dir.path, item->file, why);
}

signet_status sg_keystore_private(struct sg_keystore *store, size_t index, uint8_t **out,
                                  size_t *len, struct sg_kek_message message)
{
    struct sg_keystore_file file;
    if (index >= store->num || store->items[index].fault != SG_KEYSTORE_FAULT_NONE) {
        return sg_kek_fail(message, SIGNET_NOT_FOUND, "there is no such key in the keystore");
    }
    signet_status status = keystore_reopen(store, &store->items[index], &file, message);
    if (status != SIGNET_OK) {
        return status;
    }
    uint8_t *bytes = sg_secret_alloc(file.private_len);
    if (bytes == NULL) {
        status = keystore_no_memory(message);
    } else {
        memcpy(bytes, store->room, file.private_len);
        *out = bytes;
        *len = file.private_len;
    }
    OPENSSL_cleanse(store->room, file.private_len);
    return status;
}

/* ---- Changing keys ---- */

signet_status keystore_write_key(struct sg_keystore *store, const char *name,
                                 const struct sg_key_record *record, const uint8_t *private_part,
                                 size_t private_len, bool may_replace,
                                 struct sg_kek_message message)
{
    size_t len = 0;
    uint32_t id = keystore_newest_id(store);
    signet_status status = sg_keystore_file_write(record, name, id, keystore_key(store, id),
                                                  private_part, private_len, store->file, &len);
    if (status != SIGNET_OK) {
        return sg_kek_fail(message, status, "%s/%s: the key does not fit a file of the keystore",
                           store->dir.path, name);
    }
    return sg_keystore_dir_write(&store->dir, name, store->file, len, may_replace, message);
}

static uint32_t keystore_next_seq(const struct sg_keystore *store, const char *keyset)
{
    uint32_t seq = 0;
    /* Names of files that cannot be read count too. */
    for (size_t i = keystore_first_of(store, keyset);
         i < store->num && strcmp(store->items[i].keyset, keyset) == 0; i++) {
        seq = store->items[i].seq;
    }
    return seq == UINT32_MAX ? 0 : seq + 1;
}

/* Keeps the order of keyset and seq, in which all but the last item are. */
static void keystore_settle_last(struct sg_keystore *store)
{
    const struct keystore_item last = store->items[store->num - 1];
    size_t at = store->num - 1;
    while (at > 0 && keystore_compare(&store->items[at - 1], &last) > 0) {
        at--;
    }
    memmove(&store->items[at + 1], &store->items[at],
            (store->num - 1 - at) * sizeof(*store->items));
    store->items[at] = last;
}

/* Whether a key may be added, and under which number. */
static signet_status keystore_check_new(const struct sg_keystore *store,
                                        const struct sg_key_record *record, uint32_t *seq,
                                        struct sg_kek_message message)
{
    size_t unused = 0;
    const char *dir = store->dir.path;
    const uint32_t known = SG_KEY_FLAG_IMPORTED | SG_KEY_FLAG_VERIFY_ONLY;
    /* The name of a file is made of it: it must not lead elsewhere. */
    if (!sg_keystore_name_is_keyset(record->keyset) || (record->flags & ~known) != 0) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                           "the record does not fit a file of the keystore");
    }
    if (sg_keystore_find(store, record->keyset, record->kid, &unused)) {
        return sg_kek_fail(message, SIGNET_ALREADY_EXISTS, "keyset %s has a key %s already",
                           record->keyset, record->kid);
    }
    *seq = record->seq != 0 ? record->seq : keystore_next_seq(store, record->keyset);
    if (*seq == 0) {
        return sg_kek_fail(message, SIGNET_RESOURCE_EXHAUSTED,
                           "keyset %s: the numbers of its keys are used up; move the file with the "
                           "last one away: mv %.200s/%s.%u.key %.200s/..",
                           record->keyset, dir, record->keyset, UINT32_MAX, dir);
    }
    return SIGNET_OK;
}

signet_status sg_keystore_add(struct sg_keystore *store, struct sg_key_record *record,
                              const uint8_t *private_part, size_t private_len,
                              struct sg_kek_message message)
{
    uint32_t seq = 0;
    signet_status status = keystore_check_new(store, record, &seq, message);
    if (status != SIGNET_OK) {
        return status;
    }
    struct keystore_item *item = keystore_reserve(store);
    struct sg_key_record *copy = item != NULL ? keystore_copy_record(record) : NULL;
    if (copy == NULL) {
        return keystore_no_memory(message);
    }
    copy->seq = seq;
    memcpy(item->keyset, record->keyset, sizeof(item->keyset));
    item->seq = seq;
    item->fault = SG_KEYSTORE_FAULT_NONE;
    item->key_id = keystore_newest_id(store);
    item->record = copy;
    sg_keystore_name_write(item->keyset, item->seq, item->file, sizeof(item->file));
    status = keystore_write_key(store, item->file, copy, private_part, private_len, false, message);
    if (status != SIGNET_OK) {
        keystore_item_fini(item);
        return status;
    }
    record->seq = seq;
    store->num++;
    keystore_settle_last(store);
    return SIGNET_OK;
}

signet_status sg_keystore_update(struct sg_keystore *store, const struct sg_key_record *record,
                                 struct sg_kek_message message)
{
    size_t index = 0;
    struct sg_keystore_file file;
    if (!sg_keystore_find(store, record->keyset, record->kid, &index)) {
        return sg_kek_fail(message, SIGNET_NOT_FOUND, "there is no such key in the keystore");
    }
    struct keystore_item *item = &store->items[index];
    if (item->record->revoked_at != 0 && record->revoked_at != item->record->revoked_at) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "a revoked key stays revoked");
    }
    signet_status status = keystore_reopen(store, item, &file, message);
    if (status != SIGNET_OK) {
        return status;
    }
    file.record.sign_from = record->sign_from;
    file.record.verify_until = record->verify_until;
    file.record.revoked_at = record->revoked_at;
    file.record.max_ttl_s = record->max_ttl_s;
    status = keystore_write_key(store, item->file, &file.record, store->room, file.private_len,
                                true, message);
    OPENSSL_cleanse(store->room, file.private_len);
    if (status == SIGNET_OK) {
        /* The public key is as it was, and so is its length. */
        memcpy(item->record, &file.record, keystore_record_size(&file.record));
        item->key_id = keystore_newest_id(store);
    }
    return status;
}
