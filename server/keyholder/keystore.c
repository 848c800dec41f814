/* SPDX-License-Identifier: Apache-2.0
 *
 * Which file holds which key, under which file key, and how both change without a moment at which
 * something is lost.
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

#include "server/keyholder/keystore_dir.h"
#include "server/keyholder/secret.h"

/* One file of the keystore. */
struct keystore_item {
    char file[sizeof(((struct sg_keystore_entry *)0)->file)];
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1]; /* from the name of the file, like seq */
    uint32_t seq;
    uint32_t fault;  /* enum sg_keystore_fault */
    uint32_t key_id; /* of the file key */
    bool has_hint;
    struct sg_key_record
        *record;   /* only as long as its public key; NULL with a fault without hint */
    char *message; /* with a fault */
};

struct sg_keystore {
    struct sg_keystore_dir dir;
    char source[SG_KEYSTORE_MAX_PATH];
    bool is_reader;
    bool is_short; /* there was no memory for all of the items */
    struct sg_keystore_header header;
    uint32_t opened; /* the wrap that our key-encryption key opens */
    /* In the secure heap: */
    uint8_t *keys;    /* the file keys, in the order of header.key_ids */
    uint8_t *kek;     /* of the wrap that was opened */
    uint8_t *new_kek; /* of the newest wrap, if it is another and is known; NULL */
    uint8_t *room;    /* for one private part */
    uint8_t *file;    /* SG_KEYSTORE_MAX_FILE bytes, in ordinary memory: nothing secret is in it */
    struct keystore_item *items; /* in the order of keyset and seq */
    size_t num, cap;
};

#define KEYSTORE_KEYS_LEN ((size_t)SG_KEYSTORE_MAX_KEYS * SG_KEYSTORE_KEY_LEN)

static signet_status keystore_no_memory(struct sg_kek_message message)
{
    ERR_clear_error();
    return sg_kek_fail(message, SIGNET_RESOURCE_EXHAUSTED,
                       "no memory, or none that is fit for secrets");
}

/* ---- File keys ---- */

static const uint8_t *keystore_key(const struct sg_keystore *store, uint32_t id)
{
    for (uint32_t i = 0; i < store->header.num_keys; i++) {
        if (store->header.key_ids[i] == id) {
            return store->keys + (size_t)i * SG_KEYSTORE_KEY_LEN;
        }
    }
    return NULL;
}

static uint32_t keystore_newest_id(const struct sg_keystore *store)
{
    return store->header.key_ids[store->header.num_keys - 1];
}

/* ---- Items ---- */

static size_t keystore_record_size(const struct sg_key_record *record)
{
    return offsetof(struct sg_key_record, public_key) + record->public_len;
}

static struct sg_key_record *keystore_copy_record(const struct sg_key_record *record)
{
    struct sg_key_record *copy = malloc(keystore_record_size(record));
    if (copy != NULL) {
        memcpy(copy, record, keystore_record_size(record));
    }
    return copy;
}

static void keystore_item_fini(struct keystore_item *item)
{
    free(item->record);
    free(item->message);
    *item = (struct keystore_item){0};
}

static int keystore_compare(const void *a, const void *b)
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
static struct keystore_item *keystore_reserve(struct sg_keystore *store)
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
static size_t keystore_first_of(const struct sg_keystore *store, const char *keyset)
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

/* ---- Reading files ---- */

/* Says what is wrong with a file, and what mends it. */
static signet_status keystore_set_fault(struct sg_keystore *store, struct keystore_item *item,
                                        uint32_t fault, const char *why)
{
    char text[SG_KEYSTORE_MAX_MESSAGE];
    const char *dir = store->dir.path;
    if (fault == SG_KEYSTORE_FAULT_FUTURE) {
        (void)snprintf(text, sizeof(text),
                       "%.512s/%s was written by a later version, which this one cannot read; "
                       "install that version",
                       dir, item->file);
    } else {
        (void)snprintf(text, sizeof(text),
                       "%.512s/%s cannot be used: %.100s; bring it back from a backup: "
                       "mv %.512s/%s %.512s/.. && signet keystore restore BACKUP",
                       dir, item->file, why, dir, item->file, dir);
    }
    item->fault = fault;
    item->message = strdup(text);
    return item->message != NULL ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

static bool keystore_fits_name(const struct keystore_item *item, const struct sg_key_record *record)
{
    return strcmp(record->keyset, item->keyset) == 0 && record->seq == item->seq;
}

/* Opens what was parsed, into store->room. */
static signet_status keystore_unseal(struct sg_keystore *store, const struct keystore_item *item,
                                     const struct sg_keystore_file *file, const char **why)
{
    const uint8_t *key = keystore_key(store, file->key_id);
    *why = "it is sealed under another key";
    if (key == NULL) {
        return SIGNET_INVALID_ARGUMENT;
    }
    *why = "it was changed, or is sealed under another key";
    signet_status status = sg_keystore_file_open(file, item->file, key, store->room);
    if (status == SIGNET_OK && !keystore_fits_name(item, &file->record)) {
        OPENSSL_cleanse(store->room, file->private_len);
        status = SIGNET_INVALID_ARGUMENT;
    }
    return status;
}

static signet_status keystore_judge(struct sg_keystore *store, struct keystore_item *item,
                                    size_t len)
{
    struct sg_keystore_file file;
    const char *why = "it is cut, or no key file";
    signet_status status = sg_keystore_file_parse(store->file, len, &file);
    if (status == SIGNET_UNIMPLEMENTED) {
        return keystore_set_fault(store, item, SG_KEYSTORE_FAULT_FUTURE, "");
    }
    bool is_parsed = status == SIGNET_OK;
    if (is_parsed) {
        item->record = keystore_copy_record(&file.record);
        if (item->record == NULL) {
            return SIGNET_RESOURCE_EXHAUSTED;
        }
        item->key_id = file.key_id;
        status = keystore_unseal(store, item, &file, &why);
        OPENSSL_cleanse(store->room, file.private_len);
    }
    if (status == SIGNET_OK) {
        item->fault = SG_KEYSTORE_FAULT_NONE;
        return SIGNET_OK;
    }
    item->has_hint = is_parsed && keystore_fits_name(item, &file.record);
    return keystore_set_fault(store, item, SG_KEYSTORE_FAULT_DAMAGED, why);
}

/* Only an unsafe owner or mode, or the lack of memory, is a failure; all else is a fault of the file. */
static signet_status keystore_read_item(struct sg_keystore *store, struct keystore_item *item,
                                        struct sg_kek_message message)
{
    size_t len = 0;
    char why[SG_KEYSTORE_MAX_MESSAGE];
    const struct sg_kek_message inner = {.text = why};
    signet_status status = sg_keystore_dir_read(&store->dir, item->file, store->file,
                                                SG_KEYSTORE_MAX_FILE, &len, inner);
    if (status == SIGNET_FAILED_PRECONDITION) {
        return sg_kek_fail(message, status, "%s", why);
    }
    status = status == SIGNET_OK ? keystore_judge(store, item, len)
                                 : keystore_set_fault(store, item, SG_KEYSTORE_FAULT_DAMAGED, why);
    return status == SIGNET_OK ? SIGNET_OK : keystore_no_memory(message);
}

static bool keystore_visit(void *context, const char *name)
{
    struct sg_keystore *store = context;
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    uint32_t seq = 0;
    if (!sg_keystore_name_read(name, keyset, &seq)) {
        return true; /* not ours to judge */
    }
    struct keystore_item *item = keystore_reserve(store);
    if (item == NULL) {
        store->is_short = true;
        return false;
    }
    (void)snprintf(item->file, sizeof(item->file), "%s", name);
    memcpy(item->keyset, keyset, sizeof(keyset));
    item->seq = seq;
    store->num++;
    return true;
}

static signet_status keystore_read_items(struct sg_keystore *store, struct sg_kek_message message)
{
    signet_status status =
        sg_keystore_dir_list(&store->dir, !store->is_reader, keystore_visit, store, message);
    if (status == SIGNET_OK && store->is_short) {
        status = keystore_no_memory(message);
    }
    if (status == SIGNET_OK && store->num > 0) {
        qsort(store->items, store->num, sizeof(*store->items), keystore_compare);
    }
    for (size_t i = 0; status == SIGNET_OK && i < store->num; i++) {
        status = keystore_read_item(store, &store->items[i], message);
    }
    return status;
}

/* ---- The header ---- */

/* newest is the newest file key of the header. */
static signet_status keystore_write_header(struct sg_keystore *store,
                                           const struct sg_keystore_header *header,
                                           const uint8_t *newest, bool may_replace,
                                           struct sg_kek_message message)
{
    size_t len = sg_keystore_header_write(header, store->file);
    if (sg_keystore_header_close(store->file, len, newest) != SIGNET_OK) {
        return sg_kek_fail(message, SIGNET_INTERNAL, "no random bytes for %s/%s", store->dir.path,
                           SG_KEYSTORE_HEADER_NAME);
    }
    return sg_keystore_dir_write(&store->dir, SG_KEYSTORE_HEADER_NAME, store->file,
                                 len + SG_KEYSTORE_CLOSE_LEN, may_replace, message);
}

static signet_status keystore_fail_damaged(const struct sg_keystore *store,
                                           struct sg_kek_message message)
{
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "%s/%s is damaged, and without it no key can be read; bring it back from "
                       "a copy of the directory, or make a new keystore and bring the keys back: "
                       "mv %s %s.bad && signet keystore init && signet keystore restore BACKUP",
                       store->dir.path, SG_KEYSTORE_HEADER_NAME, store->dir.path, store->dir.path);
}

/* Its bytes stay in store->file, for keystore_unwrap. */
static signet_status keystore_read_header(struct sg_keystore *store, size_t *len,
                                          struct sg_kek_message message)
{
    signet_status status = sg_keystore_dir_read(&store->dir, SG_KEYSTORE_HEADER_NAME, store->file,
                                                SG_KEYSTORE_MAX_FILE, len, message);
    if (status == SIGNET_NOT_FOUND) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "there is no keystore in %s: its file %s is not there; bring it back "
                           "from a copy of the directory, or, if there never was one, make it: "
                           "signet keystore init",
                           store->dir.path, SG_KEYSTORE_HEADER_NAME);
    }
    if (status != SIGNET_OK) {
        return status == SIGNET_INVALID_ARGUMENT ? SIGNET_FAILED_PRECONDITION : status;
    }
    size_t header_len = *len > SG_KEYSTORE_CLOSE_LEN ? *len - SG_KEYSTORE_CLOSE_LEN : 0;
    status = sg_keystore_header_read(store->file, header_len, &store->header);
    if (status == SIGNET_UNIMPLEMENTED) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s/%s was written by a later version; install that version",
                           store->dir.path, SG_KEYSTORE_HEADER_NAME);
    }
    return status == SIGNET_OK ? SIGNET_OK : keystore_fail_damaged(store, message);
}

/* Tries material on one wrap. INVALID_ARGUMENT: it is not the one. */
static signet_status keystore_try(struct sg_keystore *store, uint32_t index,
                                  const struct sg_kek_material *material, uint8_t *kek,
                                  uint8_t *keys)
{
    const struct sg_keystore_wrap *wrap = &store->header.wraps[index];
    if (wrap->kind != material->kind) {
        return SIGNET_INVALID_ARGUMENT;
    }
    signet_status status = sg_kek_derive(material, &wrap->scrypt, kek);
    return status == SIGNET_OK ? sg_keystore_header_unwrap(&store->header, index, kek, keys)
                               : status;
}

static signet_status keystore_unwrap(struct sg_keystore *store, size_t len,
                                     const struct sg_kek_material *material,
                                     struct sg_kek_message message)
{
    /* The newest first: after a change that is usually the one. */
    for (uint32_t i = store->header.num_wraps; i > 0; i--) {
        signet_status status = keystore_try(store, i - 1, material, store->kek, store->keys);
        if (status == SIGNET_OK) {
            store->opened = i - 1;
            const uint8_t *newest = keystore_key(store, keystore_newest_id(store));
            return sg_keystore_header_is_whole(store->file, len, newest)
                       ? SIGNET_OK
                       : keystore_fail_damaged(store, message);
        }
        if (status != SIGNET_INVALID_ARGUMENT) {
            return keystore_no_memory(message);
        }
    }
    const struct sg_keystore_header *header = &store->header;
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "the key-encryption key of %.200s does not open %.200s, which is sealed "
                       "under that of %.100s%s%.100s; set keystore.key to the right one, or bring "
                       "the right one back",
                       store->source, store->dir.path, header->wraps[0].source,
                       header->num_wraps > 1 ? " and " : "",
                       header->num_wraps > 1 ? header->wraps[1].source : "");
}

/* ---- Opening and closing ---- */

static bool keystore_make_room(struct sg_keystore *store)
{
    if (sg_secret_heap_open() != SIGNET_OK) {
        return false;
    }
    store->keys = OPENSSL_secure_zalloc(KEYSTORE_KEYS_LEN);
    store->kek = OPENSSL_secure_zalloc(SG_KEYSTORE_KEY_LEN);
    store->room = OPENSSL_secure_zalloc(SG_KEYSTORE_MAX_PRIVATE);
    store->file = malloc(SG_KEYSTORE_MAX_FILE);
    return store->keys != NULL && store->kek != NULL && store->room != NULL && store->file != NULL;
}

static signet_status keystore_new(const struct sg_keystore_place *place, struct sg_keystore **out,
                                  struct sg_kek_message message)
{
    if (strlen(place->source) >= SG_KEYSTORE_MAX_PATH) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                           "the source of the key-encryption key is too long");
    }
    struct sg_keystore *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return keystore_no_memory(message);
    }
    store->dir.fd = -1;
    store->dir.lock_fd = -1;
    (void)snprintf(store->source, sizeof(store->source), "%s", place->source);
    if (!keystore_make_room(store)) {
        sg_keystore_close(store);
        return keystore_no_memory(message);
    }
    *out = store;
    return SIGNET_OK;
}

void sg_keystore_close(struct sg_keystore *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < store->num; i++) {
        keystore_item_fini(&store->items[i]);
    }
    free(store->items);
    free(store->file);
    OPENSSL_secure_clear_free(store->keys, KEYSTORE_KEYS_LEN);
    OPENSSL_secure_clear_free(store->kek, SG_KEYSTORE_KEY_LEN);
    OPENSSL_secure_clear_free(store->new_kek, SG_KEYSTORE_KEY_LEN);
    OPENSSL_secure_clear_free(store->room, SG_KEYSTORE_MAX_PRIVATE);
    sg_keystore_dir_close(&store->dir);
    free(store);
}

static signet_status keystore_open_files(struct sg_keystore *store,
                                         const struct sg_keystore_place *place,
                                         struct sg_kek_message message)
{
    struct sg_kek_material material = {0};
    size_t len = 0;
    signet_status status = sg_keystore_dir_open(&store->dir, place->dir, message);
    if (status == SIGNET_NOT_FOUND) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "there is no keystore in %s; make one: signet keystore init --state-dir "
                           "%s --key %s",
                           place->dir, place->dir, place->source);
    }
    if (status == SIGNET_OK && !store->is_reader) {
        status = sg_keystore_dir_lock(&store->dir, message);
    }
    if (status == SIGNET_OK) {
        status = keystore_read_header(store, &len, message);
    }
    if (status == SIGNET_OK) {
        status = sg_kek_read(place->source, place->passphrase_fd, &material, message);
    }
    if (status == SIGNET_OK) {
        status = keystore_unwrap(store, len, &material, message);
    }
    sg_kek_material_fini(&material);
    return status == SIGNET_OK ? keystore_read_items(store, message) : status;
}

signet_status sg_keystore_open(const struct sg_keystore_place *place, bool is_reader,
                               struct sg_keystore **out, struct sg_kek_message message)
{
    struct sg_keystore *store = NULL;
    signet_status status = keystore_new(place, &store, message);
    if (status != SIGNET_OK) {
        return status;
    }
    store->is_reader = is_reader;
    status = keystore_open_files(store, place, message);
    if (status != SIGNET_OK) {
        sg_keystore_close(store);
        return status;
    }
    *out = store;
    return SIGNET_OK;
}

static bool keystore_note_name(void *context, const char *name)
{
    (void)snprintf(context, SG_KEYSTORE_MAX_PATH, "%s", name);
    return false;
}

static signet_status keystore_check_empty(const struct sg_keystore *store,
                                          struct sg_kek_message message)
{
    char name[SG_KEYSTORE_MAX_PATH] = "";
    signet_status status =
        sg_keystore_dir_list(&store->dir, true, keystore_note_name, name, message);
    if (status == SIGNET_OK && name[0] != '\0') {
        status = sg_kek_fail(message, SIGNET_ALREADY_EXISTS,
                             "a keystore is made in an empty directory, and %.400s has %.100s in "
                             "it; nothing was changed",
                             store->dir.path, name);
    }
    return status;
}

static signet_status keystore_init_files(struct sg_keystore *store,
                                         const struct sg_keystore_place *place,
                                         struct sg_kek_message message)
{
    struct sg_kek_material material = {0};
    struct sg_keystore_header *header = &store->header;
    /* First what may ask a person or fail, then what leaves traces. */
    signet_status status = sg_kek_read_new(place->source, place->passphrase_fd, &material, message);
    if (status == SIGNET_OK) {
        header->num_keys = 1;
        header->num_wraps = 1;
        header->key_ids[0] = 1;
        if (RAND_priv_bytes(store->keys, SG_KEYSTORE_KEY_LEN) != 1 ||
            sg_kek_wrap_kept(header, 0, &material, place->source, store->kek, store->keys) !=
                SIGNET_OK) {
            status = keystore_no_memory(message);
        }
    }
    sg_kek_material_fini(&material);
    if (status == SIGNET_OK) {
        status = sg_keystore_dir_make(place->dir, message);
    }
    if (status == SIGNET_OK) {
        status = sg_keystore_dir_open(&store->dir, place->dir, message);
    }
    if (status == SIGNET_OK) {
        status = sg_keystore_dir_lock(&store->dir, message);
    }
    if (status == SIGNET_OK) {
        status = keystore_check_empty(store, message);
    }
    return status == SIGNET_OK ? keystore_write_header(store, header, store->keys, false, message)
                               : status;
}

signet_status sg_keystore_init(const struct sg_keystore_place *place, struct sg_kek_message message)
{
    struct sg_keystore *store = NULL;
    signet_status status = keystore_new(place, &store, message);
    if (status != SIGNET_OK) {
        return status;
    }
    status = keystore_init_files(store, place, message);
    sg_keystore_close(store);
    return status;
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
static signet_status keystore_reopen(struct sg_keystore *store, const struct keystore_item *item,
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
    uint8_t *bytes = OPENSSL_secure_malloc(file.private_len);
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

static signet_status keystore_write_key(struct sg_keystore *store, const char *name,
                                        const struct sg_key_record *record,
                                        const uint8_t *private_part, size_t private_len,
                                        bool may_replace, struct sg_kek_message message)
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

/* ---- Another key-encryption key ---- */

/* A file that keeps others from being sealed anew: what would be left under the old key is lost with it. */
struct keystore_obstacle {
    const struct sg_keystore *store;
    char file[sizeof(((struct keystore_item *)0)->file)];
    bool is_unknown; /* it came after the start */
};

/* Goes by what is in the directory now: a file that was moved away is in nobody's way. */
static bool keystore_find_obstacle(void *context, const char *name)
{
    struct keystore_obstacle *obstacle = context;
    const struct sg_keystore *store = obstacle->store;
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    uint32_t seq = 0;
    if (!sg_keystore_name_read(name, keyset, &seq)) {
        return true;
    }
    size_t at = keystore_first_of(store, keyset);
    while (at < store->num && strcmp(store->items[at].file, name) != 0 &&
           strcmp(store->items[at].keyset, keyset) == 0) {
        at++;
    }
    bool is_known = at < store->num && strcmp(store->items[at].file, name) == 0;
    if (is_known && store->items[at].fault == SG_KEYSTORE_FAULT_NONE) {
        return true;
    }
    obstacle->is_unknown = !is_known;
    (void)snprintf(obstacle->file, sizeof(obstacle->file), "%s", name);
    return false;
}

static signet_status keystore_check_files(const struct sg_keystore *store,
                                          struct sg_kek_message message)
{
    struct keystore_obstacle obstacle = {.store = store};
    const char *dir = store->dir.path;
    signet_status status =
        sg_keystore_dir_list(&store->dir, false, keystore_find_obstacle, &obstacle, message);
    if (status != SIGNET_OK || obstacle.file[0] == '\0') {
        return status;
    }
    if (obstacle.is_unknown) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%.512s/%s was put there after signetd was started; restart it first",
                           dir, obstacle.file);
    }
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "%.200s/%s cannot be read, and so not be sealed anew; move it away first: "
                       "mv %.200s/%s %.200s/..",
                       dir, obstacle.file, dir, obstacle.file, dir);
}

static signet_status keystore_check_rekey(const struct sg_keystore *store,
                                          struct sg_kek_message message)
{
    signet_status status = keystore_check_files(store, message);
    if (status != SIGNET_OK) {
        return status;
    }
    if (store->header.num_wraps > 1 && store->opened != 0) {
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "a change of the key-encryption key was begun before, and the new one is "
            "in use; end it first: signet keystore rekey --finish");
    }
    return SIGNET_OK;
}

/* The header with both key-encryption keys, and with a new file key unless there is one. */
static signet_status keystore_plan_rekey(struct sg_keystore *store,
                                         const struct sg_kek_material *material, const char *source,
                                         struct sg_keystore_header *header, uint8_t *keys,
                                         uint8_t *kek)
{
    *header = store->header;
    memcpy(keys, store->keys, KEYSTORE_KEYS_LEN);
    if (header->num_keys == 1) {
        header->num_keys = 2;
        header->key_ids[1] = header->key_ids[0] + 1;
        if (header->key_ids[1] == 0 ||
            RAND_priv_bytes(keys + SG_KEYSTORE_KEY_LEN, SG_KEYSTORE_KEY_LEN) != 1) {
            return SIGNET_INTERNAL;
        }
    }
    header->num_wraps = 2;
    signet_status status = sg_keystore_header_wrap(header, 0, store->kek, keys);
    return status == SIGNET_OK ? sg_kek_wrap_kept(header, 1, material, source, kek, keys) : status;
}

signet_status sg_keystore_rekey_begin(struct sg_keystore *store,
                                      const struct sg_kek_material *material, const char *source,
                                      struct sg_kek_message message)
{
    struct sg_keystore_header header;
    signet_status status = keystore_check_rekey(store, message);
    if (status != SIGNET_OK) {
        return status;
    }
    uint8_t *keys = OPENSSL_secure_zalloc(KEYSTORE_KEYS_LEN);
    uint8_t *kek = OPENSSL_secure_zalloc(SG_KEYSTORE_KEY_LEN);
    if (keys == NULL || kek == NULL ||
        keystore_plan_rekey(store, material, source, &header, keys, kek) != SIGNET_OK) {
        status = keystore_no_memory(message);
    } else {
        const uint8_t *newest = keys + (size_t)(header.num_keys - 1) * SG_KEYSTORE_KEY_LEN;
        status = keystore_write_header(store, &header, newest, true, message);
    }
    if (status == SIGNET_OK) {
        store->header = header;
        memcpy(store->keys, keys, KEYSTORE_KEYS_LEN);
        OPENSSL_secure_clear_free(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = kek;
        kek = NULL;
    }
    OPENSSL_secure_clear_free(keys, KEYSTORE_KEYS_LEN);
    OPENSSL_secure_clear_free(kek, SG_KEYSTORE_KEY_LEN);
    return status;
}

signet_status sg_keystore_reseal(struct sg_keystore *store, bool *more,
                                 struct sg_kek_message message)
{
    *more = false;
    for (size_t i = 0; i < store->num; i++) {
        struct keystore_item *item = &store->items[i];
        struct sg_keystore_file file;
        if (item->fault != SG_KEYSTORE_FAULT_NONE || item->key_id == keystore_newest_id(store)) {
            continue;
        }
        signet_status status = keystore_reopen(store, item, &file, message);
        if (status == SIGNET_OK) {
            status = keystore_write_key(store, item->file, &file.record, store->room,
                                        file.private_len, true, message);
            OPENSSL_cleanse(store->room, file.private_len);
        }
        if (status == SIGNET_OK) {
            item->key_id = keystore_newest_id(store);
            *more = true;
        }
        return status;
    }
    return SIGNET_OK;
}

/* Whether the newest key-encryption key would be found where the next start looks for it: ending the
 * change must lock nobody out. On success store->new_kek or store->kek is that key. */
static signet_status keystore_check_finish(struct sg_keystore *store, struct sg_kek_message message)
{
    const struct sg_keystore_wrap *newest = &store->header.wraps[store->header.num_wraps - 1];
    struct sg_kek_material material = {0};
    if (strcmp(newest->source, store->source) != 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "signetd was started with the old key-encryption key; set keystore.key "
                           "to %.300s and restart it first. Until then both open the keystore",
                           newest->source);
    }
    if (newest->kind == SG_KEYSTORE_KEY_PASSPHRASE) {
        bool is_known = store->new_kek != NULL || store->opened == store->header.num_wraps - 1;
        return is_known
                   ? SIGNET_OK
                   : sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                                 "signetd was started with the old passphrase; restart it with "
                                 "the new one first. Until then both open the keystore");
    }
    uint8_t *keys = OPENSSL_secure_zalloc(KEYSTORE_KEYS_LEN);
    uint8_t *kek = OPENSSL_secure_zalloc(SG_KEYSTORE_KEY_LEN);
    signet_status status = keys != NULL && kek != NULL
                               ? sg_kek_read(store->source, -1, &material, message)
                               : keystore_no_memory(message);
    if (status == SIGNET_OK &&
        keystore_try(store, store->header.num_wraps - 1, &material, kek, keys) != SIGNET_OK) {
        status = sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                             "%.300s is not the new key-encryption key yet; put it there first. "
                             "Until then both open the keystore",
                             store->source);
    }
    sg_kek_material_fini(&material);
    OPENSSL_secure_clear_free(keys, KEYSTORE_KEYS_LEN);
    if (status == SIGNET_OK) {
        OPENSSL_secure_clear_free(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = kek;
        kek = NULL;
    }
    OPENSSL_secure_clear_free(kek, SG_KEYSTORE_KEY_LEN);
    return status;
}

static signet_status keystore_reseal_all(struct sg_keystore *store, struct sg_kek_message message)
{
    bool more = true;
    signet_status status = SIGNET_OK;
    while (status == SIGNET_OK && more) {
        status = sg_keystore_reseal(store, &more, message);
    }
    return status;
}

signet_status sg_keystore_rekey_finish(struct sg_keystore *store, struct sg_kek_message message)
{
    if (store->header.num_wraps == 1) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "no change of the key-encryption key is under way");
    }
    signet_status status = keystore_check_finish(store, message);
    if (status == SIGNET_OK) {
        status = keystore_reseal_all(store, message);
    }
    if (status == SIGNET_OK) {
        status = keystore_check_files(store, message);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    struct sg_keystore_header header = store->header;
    uint8_t *kek = store->new_kek != NULL ? store->new_kek : store->kek;
    const uint8_t *key = keystore_key(store, keystore_newest_id(store));
    header.num_wraps = 1;
    header.num_keys = 1;
    header.wraps[0] = header.wraps[1];
    header.key_ids[0] = keystore_newest_id(store);
    header.key_ids[1] = 0;
    if (sg_keystore_header_wrap(&header, 0, kek, key) != SIGNET_OK) {
        return keystore_no_memory(message);
    }
    status = keystore_write_header(store, &header, key, true, message);
    if (status == SIGNET_OK) {
        memmove(store->keys, key, SG_KEYSTORE_KEY_LEN);
        OPENSSL_cleanse(store->keys + SG_KEYSTORE_KEY_LEN, SG_KEYSTORE_KEY_LEN);
        memmove(store->kek, kek, SG_KEYSTORE_KEY_LEN);
        OPENSSL_secure_clear_free(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = NULL;
        store->header = header;
        store->opened = 0;
    }
    return status;
}
