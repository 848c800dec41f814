/* SPDX-License-Identifier: Apache-2.0
 *
 * Another key-encryption key, without a moment at which neither the old nor the new opens everything.
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

#include "server/keyholder/secret.h"

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

static signet_status keystore_check_rekey(const struct sg_keystore *store, const char *source,
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
    /* The configuration may name it already: what it opens now it has to go on opening. */
    if (store->header.num_wraps > 1 && strcmp(store->header.wraps[1].source, source) != 0) {
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "a change to %.600s is under way; end that one first: set keystore.key to "
            "it, restart signetd, and signet keystore rekey --finish",
            store->header.wraps[1].source);
    }
    return SIGNET_OK;
}

/* The present one under another name would change nothing, and look as if it had. */
static signet_status keystore_check_other(struct sg_keystore *store,
                                          const struct sg_kek_material *material,
                                          struct sg_kek_message message)
{
    uint8_t *keys = sg_secret_alloc(KEYSTORE_KEYS_LEN);
    uint8_t *kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    signet_status status = keystore_no_memory(message);
    if (keys != NULL && kek != NULL) {
        status = keystore_try(store, store->opened, material, kek, keys) == SIGNET_OK
                     ? sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                                   "that is the key-encryption key that the keystore has already; "
                                   "nothing was changed")
                     : SIGNET_OK;
    }
    sg_secret_release(keys, KEYSTORE_KEYS_LEN);
    sg_secret_release(kek, SG_KEYSTORE_KEY_LEN);
    return status;
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
    signet_status status = keystore_check_rekey(store, source, message);
    if (status == SIGNET_OK) {
        status = keystore_check_other(store, material, message);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    uint8_t *keys = sg_secret_alloc(KEYSTORE_KEYS_LEN);
    uint8_t *kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
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
        sg_secret_release(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = kek;
        kek = NULL;
    }
    sg_secret_release(keys, KEYSTORE_KEYS_LEN);
    sg_secret_release(kek, SG_KEYSTORE_KEY_LEN);
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
    uint8_t *keys = sg_secret_alloc(KEYSTORE_KEYS_LEN);
    uint8_t *kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
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
    sg_secret_release(keys, KEYSTORE_KEYS_LEN);
    if (status == SIGNET_OK) {
        sg_secret_release(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = kek;
        kek = NULL;
    }
    sg_secret_release(kek, SG_KEYSTORE_KEY_LEN);
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
        sg_secret_release(store->new_kek, SG_KEYSTORE_KEY_LEN);
        store->new_kek = NULL;
        store->header = header;
        store->opened = 0;
    }
    return status;
}
