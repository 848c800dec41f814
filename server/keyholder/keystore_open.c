/* SPDX-License-Identifier: Apache-2.0
 *
 * Making and opening a keystore: the header, the key-encryption key, and every file once.
 */
#include "server/keyholder/keystore_parts.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/keyholder/secret.h"

/* ---- Reading files ---- */

/* Says what is wrong with a file, and what mends it. */
static signet_status keystore_set_fault(struct sg_keystore *store, struct keystore_item *item,
                                        uint32_t fault, const char *why)
{
    char text[SG_KEYSTORE_MAX_MESSAGE];
    const char *dir = store->dir.path;
    const int state_len = (int)(strlen(dir) - strlen("/" SG_KEYSTORE_DIR_NAME));
    if (fault == SG_KEYSTORE_FAULT_FUTURE) {
        (void)snprintf(text, sizeof(text),
                       "%.512s/%s was written by a later version, which this one cannot read; "
                       "install that version",
                       dir, item->file);
    } else {
        (void)snprintf(text, sizeof(text),
                       "%.512s/%s cannot be used: %.100s; to bring it back from a backup, stop "
                       "signetd, then: mv %.512s/%s %.*s/ && signet keystore restore BACKUP "
                       "--state-dir %.*s --key %.512s",
                       dir, item->file, why, dir, item->file, state_len, dir, state_len, dir,
                       store->source);
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
signet_status keystore_unseal(struct sg_keystore *store, const struct keystore_item *item,
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
signet_status keystore_write_header(struct sg_keystore *store,
                                    const struct sg_keystore_header *header, const uint8_t *newest,
                                    bool may_replace, struct sg_kek_message message)
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
signet_status keystore_try(struct sg_keystore *store, uint32_t index,
                           const struct sg_kek_material *material, uint8_t *kek, uint8_t *keys)
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
    store->keys = sg_secret_alloc(KEYSTORE_KEYS_LEN);
    store->kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    store->room = sg_secret_alloc(SG_KEYSTORE_MAX_PRIVATE);
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
    sg_secret_release(store->keys, KEYSTORE_KEYS_LEN);
    sg_secret_release(store->kek, SG_KEYSTORE_KEY_LEN);
    sg_secret_release(store->new_kek, SG_KEYSTORE_KEY_LEN);
    sg_secret_release(store->room, SG_KEYSTORE_MAX_PRIVATE);
    sg_keystore_dir_close(&store->dir);
    free(store);
}

static signet_status keystore_fail_none(const struct sg_keystore_place *place,
                                        struct sg_kek_message message)
{
    uid_t uid = geteuid();
    bool has_front = place->front_uid != 0 && place->front_uid != UINT32_MAX;
    if (has_front && place->front_uid != uid) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "there is no keystore in %s; make one, as root: signet keystore init "
                           "--state-dir %s --key %s --owner %u --daemon-user %u",
                           place->dir, place->dir, place->source, (unsigned)uid, place->front_uid);
    }
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "there is no keystore in %s; make one, as this user or as root with "
                       "--owner: signet keystore init --state-dir %s --key %s",
                       place->dir, place->dir, place->source);
}

static signet_status keystore_open_files(struct sg_keystore *store,
                                         const struct sg_keystore_place *place,
                                         struct sg_kek_message message)
{
    struct sg_kek_material material = {0};
    size_t len = 0;
    const struct sg_keystore_state_dir state_dir = {place->dir, place->front_uid};
    signet_status status = sg_keystore_dir_open(&store->dir, &state_dir, message);
    if (status == SIGNET_NOT_FOUND) {
        return keystore_fail_none(place, message);
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
    const struct sg_keystore_state_dir state_dir = {place->dir, place->front_uid};
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
        status = sg_keystore_dir_make(&state_dir, message);
    }
    if (status == SIGNET_OK) {
        status = sg_keystore_dir_open(&store->dir, &state_dir, message);
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
