/* SPDX-License-Identifier: Apache-2.0
 *
 * From requests of operators to the keymaster, and back. What is imported passes through here sealed.
 */
#include "server/key_admin_service.h"

#include <stdlib.h>
#include <string.h>

#include "server/keymaster.h"
#include "signet/v1/key.pb-c.h"

/* ---- What all of them share ---- */

static struct sg_keymaster *key_admin_keymaster(struct sg_exchange *exchange)
{
    if (exchange->service->keymaster == NULL) {
        (void)sg_rpc_fail(&exchange->error, SIGNET_UNIMPLEMENTED, "NO_KEYMASTER",
                          "keys cannot be changed here");
    }
    return exchange->service->keymaster;
}

static void key_admin_describe(const struct sg_listed_key *key, Signet__V1__Key *out)
{
    signet__v1__key__init(out);
    out->kid = sg_reply_text(key->kid);
    out->alg = sg_reply_text(sg_alg_info(key->alg)->config_name);
    out->state = (Signet__V1__KeyState)key->state;
    out->created_at = key->created_at;
    out->sign_from = key->sign_from;
    out->sign_until = key->sign_until;
    out->verify_until = key->verify_until;
    out->last_expiry = key->last_expiry;
    out->last_expiry_is_exact = key->expiry_is_exact;
    out->revoked_at = key->revoked_at;
    out->imported = key->imported;
    out->verify_only = key->verify_only;
    out->why = sg_reply_text(key->why);
}

/* A listed keyset as a message, with the memory that it points into. */
struct key_admin_keyset {
    Signet__V1__ListedKeyset message;
    Signet__V1__Key *keys;
    Signet__V1__Key **list;
};

static void key_admin_keyset_fini(struct key_admin_keyset *keyset)
{
    free(keyset->list);
    free(keyset->keys);
}

/* False without memory; to be finished in any case. */
static bool key_admin_keyset_init(const struct sg_listed_keyset *from, struct key_admin_keyset *out)
{
    Signet__V1__ListedKeyset *message = &out->message;
    signet__v1__listed_keyset__init(message);
    out->keys = calloc(from->num_keys + 1, sizeof(*out->keys));
    out->list = calloc(from->num_keys + 1, sizeof(Signet__V1__Key *));
    if (out->keys == NULL || out->list == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->num_keys; i++) {
        key_admin_describe(&from->keys[i], &out->keys[i]);
        out->list[i] = &out->keys[i];
    }
    message->name = sg_reply_text(from->name);
    message->configured = from->configured;
    message->rotate_every_s = from->policy.rotate_every_s;
    message->publish_lead_s = from->policy.publish_lead_s;
    message->overlap_s = from->policy.overlap_s;
    message->next_key_at = from->next_key_at;
    message->keys = out->list;
    message->n_keys = from->num_keys;
    return true;
}

/* ---- ListKeys ---- */

static signet_status key_admin_append_keyset(struct sg_exchange *exchange,
                                             const struct sg_listed_keyset *listed)
{
    Signet__V1__ListKeysResponse part = SIGNET__V1__LIST_KEYS_RESPONSE__INIT;
    struct key_admin_keyset keyset;
    Signet__V1__ListedKeyset *list[] = {&keyset.message};
    part.keysets = list;
    part.n_keysets = 1;
    signet_status status = key_admin_keyset_init(listed, &keyset)
                               ? sg_exchange_append(exchange, &part.base)
                               : sg_exchange_no_memory(exchange);
    key_admin_keyset_fini(&keyset);
    return status;
}

static signet_status key_admin_append_damage(struct sg_exchange *exchange,
                                             const struct sg_listed_damage *listed)
{
    Signet__V1__ListKeysResponse part = SIGNET__V1__LIST_KEYS_RESPONSE__INIT;
    Signet__V1__DamagedKey damaged = SIGNET__V1__DAMAGED_KEY__INIT;
    Signet__V1__DamagedKey *list[] = {&damaged};
    damaged.file = sg_reply_text(listed->file);
    damaged.problem = sg_reply_text(listed->problem);
    part.damaged = list;
    part.n_damaged = 1;
    return sg_exchange_append(exchange, &part.base);
}

signet_status sg_key_list_keys(struct sg_exchange *exchange)
{
    const Signet__V1__ListKeysRequest *request =
        (const Signet__V1__ListKeysRequest *)exchange->request;
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    struct sg_key_list list = {0};
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_list(keymaster, request->keyset, &list, &exchange->error);
    for (size_t i = 0; status == SIGNET_OK && i < list.num_keysets; i++) {
        status = key_admin_append_keyset(exchange, &list.keysets[i]);
    }
    for (size_t i = 0; status == SIGNET_OK && i < list.num_damaged; i++) {
        status = key_admin_append_damage(exchange, &list.damaged[i]);
    }
    sg_key_list_fini(&list);
    return status;
}

/* ---- Rotate and RevokeKey ---- */

static signet_status key_admin_answer_rotate(struct sg_exchange *exchange,
                                             const struct sg_key_list *list,
                                             const struct sg_listed_key *listed)
{
    Signet__V1__RotateResponse response = SIGNET__V1__ROTATE_RESPONSE__INIT;
    Signet__V1__Key key;
    struct key_admin_keyset keyset;
    key_admin_describe(listed, &key);
    response.key = &key;
    response.keyset = &keyset.message;
    signet_status status = key_admin_keyset_init(&list->keysets[0], &keyset)
                               ? sg_exchange_append(exchange, &response.base)
                               : sg_exchange_no_memory(exchange);
    key_admin_keyset_fini(&keyset);
    return status;
}

signet_status sg_key_rotate(struct sg_exchange *exchange)
{
    const Signet__V1__RotateRequest *request = (const Signet__V1__RotateRequest *)exchange->request;
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    const struct sg_listed_key *key = NULL;
    struct sg_key_list list = {0};
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_rotate(keymaster, request->keyset, request->now,
                                               request->dry_run, &list, &key, &exchange->error);
    exchange->not_done = request->dry_run ? "DRY_RUN" : NULL;
    if (status == SIGNET_OK) {
        status = key_admin_answer_rotate(exchange, &list, key);
    }
    sg_key_list_fini(&list);
    return status;
}

signet_status sg_key_revoke(struct sg_exchange *exchange)
{
    const Signet__V1__RevokeKeyRequest *request =
        (const Signet__V1__RevokeKeyRequest *)exchange->request;
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__RevokeKeyResponse response = SIGNET__V1__REVOKE_KEY_RESPONSE__INIT;
    Signet__V1__Key key;
    const struct sg_listed_key *listed = NULL;
    struct sg_key_list list = {0};
    char signing_kid[SG_MAX_KID_LEN + 1] = "";
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_revoke(keymaster, request->kid, request->keyset, &list,
                                               &listed, signing_kid, &exchange->error);
    if (status == SIGNET_OK) {
        key_admin_describe(listed, &key);
        response.key = &key;
        response.signing_kid = signing_kid;
        status = sg_exchange_append(exchange, &response.base);
    }
    sg_key_list_fini(&list);
    return status;
}

/* ---- GetSealingKey and ImportKey ---- */

signet_status sg_key_get_sealing_key(struct sg_exchange *exchange)
{
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__GetSealingKeyResponse response = SIGNET__V1__GET_SEALING_KEY_RESPONSE__INIT;
    uint8_t public_key[32];
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_sealing_key(keymaster, public_key, &exchange->error);
    if (status != SIGNET_OK) {
        return status;
    }
    response.public_key.data = public_key;
    response.public_key.len = sizeof(public_key);
    return sg_exchange_append(exchange, &response.base);
}

static signet_status key_admin_read_import(const Signet__V1__ImportKeyRequest *request,
                                           struct sg_key_import *out, struct sg_rpc_status *error)
{
    *out = (struct sg_key_import){
        .keyset = request->keyset,
        .kid = request->kid,
        .sealed = request->sealed.data,
        .sealed_len = request->sealed.len,
        .verify_only = request->verify_only,
        .at_once = request->now,
        .verify_until = request->verify_until,
    };
    if (request->alg[0] != '\0') {
        out->alg = sg_alg_from_name(request->alg, strlen(request->alg));
        if (out->alg == SG_ALG_UNSET) {
            return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "ALG_UNKNOWN",
                               "alg: there is no such algorithm");
        }
    }
    if (request->sealed.len == 0) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "KEY_INVALID",
                           "sealed: expected a key, sealed to the sealing key");
    }
    return SIGNET_OK;
}

signet_status sg_key_import(struct sg_exchange *exchange)
{
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__ImportKeyResponse response = SIGNET__V1__IMPORT_KEY_RESPONSE__INIT;
    struct sg_key_import import;
    const struct sg_listed_key *listed = NULL;
    struct sg_key_list list = {0};
    Signet__V1__Key key;
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = key_admin_read_import(
        (const Signet__V1__ImportKeyRequest *)exchange->request, &import, &exchange->error);
    if (status == SIGNET_OK) {
        status = sg_keymaster_import(keymaster, &import, &list, &listed, &exchange->error);
    }
    if (status == SIGNET_OK) {
        key_admin_describe(listed, &key);
        response.key = &key;
        status = sg_exchange_append(exchange, &response.base);
    }
    sg_key_list_fini(&list);
    return status;
}

/* ---- The key-encryption key ---- */

signet_status sg_key_rekey(struct sg_exchange *exchange)
{
    const Signet__V1__RekeyKeystoreRequest *request =
        (const Signet__V1__RekeyKeystoreRequest *)exchange->request;
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__RekeyKeystoreResponse response = SIGNET__V1__REKEY_KEYSTORE_RESPONSE__INIT;
    const struct sg_keymaster_rekey rekey = {
        .sealed = request->sealed.data,
        .sealed_len = request->sealed.len,
        .is_passphrase = request->is_passphrase,
        .source = request->source,
    };
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    if (rekey.sealed_len == 0) {
        return sg_rpc_fail(&exchange->error, SIGNET_INVALID_ARGUMENT, "REKEY_INVALID",
                           "sealed: expected a key-encryption key, sealed to the sealing key");
    }
    signet_status status =
        sg_keymaster_rekey(keymaster, &rekey, &response.num_keys, &exchange->error);
    return status == SIGNET_OK ? sg_exchange_append(exchange, &response.base) : status;
}

signet_status sg_key_finish_rekey(struct sg_exchange *exchange)
{
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__FinishRekeyResponse response = SIGNET__V1__FINISH_REKEY_RESPONSE__INIT;
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_finish_rekey(keymaster, &exchange->error);
    return status == SIGNET_OK ? sg_exchange_append(exchange, &response.base) : status;
}

signet_status sg_key_get_keystore(struct sg_exchange *exchange)
{
    struct sg_keymaster *keymaster = key_admin_keymaster(exchange);
    Signet__V1__GetKeystoreResponse response = SIGNET__V1__GET_KEYSTORE_RESPONSE__INIT;
    struct sg_keystore_info info;
    if (keymaster == NULL) {
        return exchange->error.code;
    }
    signet_status status = sg_keymaster_keystore_info(keymaster, &info, &exchange->error);
    if (status != SIGNET_OK) {
        return status;
    }
    response.persistent = info.persistent;
    response.directory = info.dir;
    response.source = info.source;
    response.num_keys = info.num_keys;
    response.num_damaged = info.num_damaged;
    response.rekeying = info.rekeying;
    return sg_exchange_append(exchange, &response.base);
}
