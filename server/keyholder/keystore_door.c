/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's second door: requests in, replies out, each field checked before it is used.
 */
#include "server/keyholder/keystore_door.h"

#include <string.h>

#include "server/keyholder/holder.h"
#include "server/keyholder/secret.h"

/* What an operation works with. */
struct door {
    struct sg_holder *keyholder;
    const struct sg_keystore_request *request;
    struct sg_keystore_reply *reply;
    struct sg_kek_message message;
};

/* ---- Requests ---- */

static bool door_is_text(const char *text, size_t cap)
{
    return memchr(text, '\0', cap) != NULL;
}

static signet_status door_check_request(const struct door *door)
{
    const struct sg_keystore_request *request = door->request;
    const struct sg_key_record *record = &request->record;
    if (!door_is_text(request->dir, sizeof(request->dir)) ||
        !door_is_text(request->source, sizeof(request->source)) ||
        !door_is_text(request->new_source, sizeof(request->new_source)) ||
        !door_is_text(record->keyset, sizeof(record->keyset)) ||
        !door_is_text(record->kid, sizeof(record->kid)) ||
        request->sealed_len > sizeof(request->sealed) ||
        record->public_len > sizeof(record->public_key)) {
        return sg_kek_fail(door->message, SIGNET_INVALID_ARGUMENT,
                           "a text or a length of the request is out of bounds");
    }
    if (request->op != SG_KEYSTORE_OPEN && door->keyholder->store == NULL) {
        return sg_kek_fail(door->message, SIGNET_FAILED_PRECONDITION, "no keystore is open");
    }
    return SIGNET_OK;
}

static signet_status door_answer_entry(const struct door *door, size_t index)
{
    return sg_keystore_entry(door->keyholder->store, index, &door->reply->entry)
               ? SIGNET_OK
               : sg_kek_fail(door->message, SIGNET_NOT_FOUND, "there is no such entry");
}

/* ---- Opening and looking ---- */

static signet_status door_info(const struct door *door)
{
    const struct sg_keystore *store = door->keyholder->store;
    const char *dir = sg_keystore_dir(store);
    const char *source = sg_keystore_source(store);
    door->reply->num_entries = (uint32_t)sg_keystore_num(store);
    door->reply->is_rekeying = sg_keystore_is_rekeying(store) ? 1 : 0;
    memcpy(door->reply->dir, dir, strnlen(dir, sizeof(door->reply->dir) - 1));
    memcpy(door->reply->source, source, strnlen(source, sizeof(door->reply->source) - 1));
    return SIGNET_OK;
}

static signet_status door_open(const struct door *door)
{
    const struct sg_keystore_place place = {
        .dir = door->request->dir,
        .source = door->request->source,
        .passphrase_fd = door->request->passphrase_fd,
        .front_uid = door->request->front_uid,
    };
    if (door->keyholder->store != NULL) {
        return sg_kek_fail(door->message, SIGNET_FAILED_PRECONDITION, "a keystore is open already");
    }
    signet_status status = sg_keystore_open(&place, false, &door->keyholder->store, door->message);
    return status == SIGNET_OK ? door_info(door) : status;
}

static signet_status door_read(const struct door *door)
{
    return door_answer_entry(door, door->request->index);
}

/* ---- Keys ---- */

/* A key in a slot is one key of the keystore, so that revoking that one finds it. */
static signet_status door_name(const struct door *door, struct sg_private_key *key,
                               const struct sg_key_record *record)
{
    if (sg_private_key_has_name(key, record->keyset, record->kid)) {
        return SIGNET_OK;
    }
    if (key->name != NULL) {
        return sg_kek_fail(door->message, SIGNET_FAILED_PRECONDITION,
                           "the key in this slot was stored under another name");
    }
    return sg_private_key_set_name(key, record->keyset, record->kid)
               ? SIGNET_OK
               : sg_kek_fail(door->message, SIGNET_RESOURCE_EXHAUSTED, "no memory for a key");
}

static void door_bar(struct sg_private_key *key, const struct sg_key_record *record)
{
    if ((record->flags & SG_KEY_FLAG_VERIFY_ONLY) != 0) {
        sg_private_key_bar(key, SG_KEY_BAR_VERIFY_ONLY);
    }
    if (record->revoked_at != 0) {
        sg_private_key_bar(key, SG_KEY_BAR_REVOKED);
    }
}

/* Gives the key to the table under its name. */
static signet_status door_keep(const struct door *door, struct sg_private_key *key,
                               const struct sg_key_record *record)
{
    signet_status status = door_name(door, key, record);
    if (status != SIGNET_OK) {
        sg_private_key_unref(key);
        return status;
    }
    door_bar(key, record);
    atomic_store(&key->sign_from, record->sign_from);
    door->reply->slot = sg_slots_put(&door->keyholder->slots, key);
    if (door->reply->slot == 0) {
        sg_private_key_unref(key);
        return sg_kek_fail(door->message, SIGNET_RESOURCE_EXHAUSTED, "all slots are taken");
    }
    return SIGNET_OK;
}

/* Whether the public half of the private part is the one that stands beside it. */
static bool door_belongs(const struct sg_private_key *key, const struct sg_key_record *record)
{
    uint8_t public_key[SG_KEYSTORE_MAX_PUBLIC];
    size_t len = 0;
    const char *unused = "";
    if (key->pkey == NULL) {
        return record->public_len == 0;
    }
    return sg_private_key_public(key, public_key, sizeof(public_key), &len, &unused) == SIGNET_OK &&
           len == record->public_len && memcmp(public_key, record->public_key, len) == 0;
}

static signet_status door_restore(const struct door *door, size_t index,
                                  const struct sg_key_record *record)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    const char *why = "";
    struct sg_private_key *key = NULL;
    signet_status status =
        sg_keystore_private(door->keyholder->store, index, &bytes, &len, door->message);
    if (status != SIGNET_OK) {
        return status;
    }
    status = sg_private_key_restore((enum sg_alg)record->alg, bytes, len, &key, &why);
    sg_secret_release(bytes, len);
    if (status == SIGNET_OK && !door_belongs(key, record)) {
        sg_private_key_unref(key);
        why = "its private part does not belong to its public one";
        status = SIGNET_FAILED_PRECONDITION;
    }
    if (status != SIGNET_OK) {
        return sg_kek_fail(door->message, status, "key %.256s of keyset %s cannot be loaded: %s",
                           record->kid, record->keyset, why);
    }
    return door_keep(door, key, record);
}

static signet_status door_load(const struct door *door)
{
    size_t index = 0;
    const struct sg_key_record *wanted = &door->request->record;
    if (!sg_keystore_find(door->keyholder->store, wanted->keyset, wanted->kid, &index)) {
        return sg_kek_fail(door->message, SIGNET_NOT_FOUND, "there is no such key in the keystore");
    }
    signet_status status = door_answer_entry(door, index);
    const struct sg_key_record *record = &door->reply->entry.record;
    if (status == SIGNET_OK && record->revoked_at != 0) {
        return sg_kek_fail(door->message, SIGNET_FAILED_PRECONDITION, "the key was revoked");
    }
    return status == SIGNET_OK ? door_restore(door, index, record) : status;
}

static signet_status door_store(const struct door *door, struct sg_private_key *key,
                                struct sg_key_record *record)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    const char *why = "";
    if (!door_belongs(key, record) || key->info->alg != (enum sg_alg)record->alg) {
        return sg_kek_fail(door->message, SIGNET_INVALID_ARGUMENT,
                           "the record is not of the key in the slot");
    }
    signet_status status = sg_private_key_export(key, &bytes, &len, &why);
    if (status != SIGNET_OK) {
        return sg_kek_fail(door->message, status, "%s", why);
    }
    status = sg_keystore_add(door->keyholder->store, record, bytes, len, door->message);
    sg_secret_release(bytes, len);
    return status;
}

static signet_status door_add(const struct door *door)
{
    struct sg_private_key *key = sg_slots_get(&door->keyholder->slots, door->request->slot);
    if (key == NULL) {
        return sg_kek_fail(door->message, SIGNET_NOT_FOUND, "no key in this slot");
    }
    struct sg_key_record *record = &door->reply->entry.record;
    *record = door->request->record;
    record->seq = 0;
    signet_status status = door_name(door, key, record);
    if (status == SIGNET_OK) {
        status = door_store(door, key, record);
    }
    if (status == SIGNET_OK) {
        door_bar(key, record);
        atomic_store(&key->sign_from, record->sign_from);
    }
    sg_private_key_unref(key);
    door->reply->entry.fault = SG_KEYSTORE_FAULT_NONE;
    return status;
}

static signet_status door_update(const struct door *door)
{
    const struct sg_key_record *record = &door->request->record;
    signet_status status = sg_keystore_update(door->keyholder->store, record, door->message);
    if (status != SIGNET_OK) {
        return status;
    }
    if (record->revoked_at != 0) {
        sg_slots_bar(&door->keyholder->slots, record->keyset, record->kid, SG_KEY_BAR_REVOKED);
    }
    sg_slots_set_sign_from(&door->keyholder->slots, record->keyset, record->kid, record->sign_from);
    return SIGNET_OK;
}

/* ---- The key-encryption key ---- */

static signet_status door_unseal(const struct door *door, struct sg_kek_material *material)
{
    const struct sg_keystore_request *request = door->request;
    bool is_passphrase = request->new_key_kind == SG_KEYSTORE_KEY_PASSPHRASE;
    if (request->sealed_len <= SG_SEAL_OVERHEAD || request->new_key_kind == 0 ||
        request->new_key_kind != sg_kek_kind(request->new_source)) {
        return sg_kek_fail(door->message, SIGNET_INVALID_ARGUMENT,
                           "a key-encryption key, sealed, and its source were expected");
    }
    size_t len = request->sealed_len - SG_SEAL_OVERHEAD;
    if (is_passphrase ? len < SG_KEK_MIN_PASSPHRASE || len > SG_KEK_MAX_PASSPHRASE
                      : len != SG_KEYSTORE_KEY_LEN) {
        return sg_kek_fail(door->message, SIGNET_INVALID_ARGUMENT,
                           "expected 32 bytes, or a passphrase of %u to %u bytes",
                           SG_KEK_MIN_PASSPHRASE, SG_KEK_MAX_PASSPHRASE);
    }
    *material = (struct sg_kek_material){
        .kind = request->new_key_kind, .bytes = sg_secret_alloc(len), .len = len};
    if (material->bytes == NULL) {
        return sg_kek_fail(door->message, SIGNET_RESOURCE_EXHAUSTED,
                           "no memory that is fit for secrets");
    }
    if (sg_seal_open(door->keyholder->sealing_private, SG_SEAL_FOR_REKEY, request->sealed,
                     request->sealed_len, material->bytes) != SIGNET_OK) {
        return sg_kek_fail(
            door->message, SIGNET_INVALID_ARGUMENT,
            "it was not sealed to this keyholder, which may have been started anew meanwhile; try again");
    }
    return SIGNET_OK;
}

static signet_status door_rekey(const struct door *door)
{
    struct sg_kek_material material = {0};
    struct sg_keystore *store = door->keyholder->store;
    bool more = true;
    signet_status status = door_unseal(door, &material);
    if (status == SIGNET_OK) {
        status =
            sg_keystore_rekey_begin(store, &material, door->request->new_source, door->message);
    }
    sg_kek_material_fini(&material);
    while (status == SIGNET_OK && more) {
        status = sg_keystore_reseal(store, &more, door->message);
    }
    return status == SIGNET_OK ? door_info(door) : status;
}

static signet_status door_rekey_finish(const struct door *door)
{
    return sg_keystore_rekey_finish(door->keyholder->store, door->message);
}

/* ---- The door ---- */

typedef signet_status door_handler(const struct door *door);

static door_handler *const door_handlers[] = {
    [SG_KEYSTORE_OPEN] = door_open,
    [SG_KEYSTORE_READ] = door_read,
    [SG_KEYSTORE_LOAD] = door_load,
    [SG_KEYSTORE_ADD] = door_add,
    [SG_KEYSTORE_UPDATE] = door_update,
    [SG_KEYSTORE_REKEY] = door_rekey,
    [SG_KEYSTORE_REKEY_FINISH] = door_rekey_finish,
    [SG_KEYSTORE_INFO] = door_info,
};

static signet_status door_serve(const struct door *door)
{
    uint32_t op = door->request->op;
    door_handler *handler =
        op < sizeof(door_handlers) / sizeof(door_handlers[0]) ? door_handlers[op] : NULL;
    if (handler == NULL) {
        return sg_kek_fail(door->message, SIGNET_UNIMPLEMENTED, "no such operation");
    }
    signet_status status = door_check_request(door);
    return status == SIGNET_OK ? handler(door) : status;
}

signet_status sg_holder_keystore(struct sg_keyholder *keyholder,
                                 const struct sg_keystore_request *request,
                                 struct sg_keystore_reply *reply)
{
    struct sg_holder *holder = (struct sg_holder *)(void *)keyholder;
    const struct door door = {.keyholder = holder,
                              .request = request,
                              .reply = reply,
                              .message = {.text = reply->message}};
    memset(reply, 0, sizeof(*reply));
    (void)pthread_mutex_lock(&holder->mutex);
    signet_status status = door_serve(&door);
    (void)pthread_mutex_unlock(&holder->mutex);
    reply->status = (uint32_t)status;
    if (status == SIGNET_OK) {
        reply->message[0] = '\0';
    }
    return SIGNET_OK;
}
