/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests in, replies out: the keyholder's whole parsing of what it is asked. Every number of a request
 * is checked before it is used. Works on the caller's thread.
 */
#include "server/keyholder/keyholder.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/holder.h"
#include "server/keyholder/secret.h"
#include "server/keyholder/signing_shape.h"

/* One request with its bytes found and bounded. */
struct keyholder_input {
    const struct sg_keyholder_request *request;
    const uint8_t *data;
    size_t data_len;
};

/* ---- Operations ---- */

static signet_status keyholder_no_slot(const char **why)
{
    *why = "no key in this slot";
    return SIGNET_NOT_FOUND;
}

static signet_status keyholder_keep(struct sg_keyholder *keyholder, struct sg_private_key *key,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    reply->slot = sg_slots_put(&keyholder->slots, key);
    if (reply->slot == 0) {
        sg_private_key_unref(key);
        *why = "all slots are taken";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    return SIGNET_OK;
}

static signet_status keyholder_generate(struct sg_keyholder *keyholder,
                                        const struct keyholder_input *input,
                                        struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = sg_private_key_generate((enum sg_alg)input->request->alg,
                                                   input->request->rsa_bits, &key, why);
    return status == SIGNET_OK ? keyholder_keep(keyholder, key, reply, why) : status;
}

static signet_status keyholder_import(struct sg_keyholder *keyholder,
                                      const struct keyholder_input *input,
                                      struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = sg_private_key_import((enum sg_alg)input->request->alg, input->data,
                                                 input->data_len, &key, why);
    return status == SIGNET_OK ? keyholder_keep(keyholder, key, reply, why) : status;
}

static signet_status keyholder_check_bar(const struct sg_private_key *key, bool is_check,
                                         const char **why)
{
    const char *barred = sg_private_key_barred(key, is_check);
    if (barred != NULL) {
        *why = barred;
        return SIGNET_FAILED_PRECONDITION;
    }
    return SIGNET_OK;
}

static signet_status keyholder_sign(struct sg_keyholder *keyholder,
                                    const struct keyholder_input *input,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = sg_slots_get(&keyholder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    size_t len = 0;
    signet_status status = keyholder_check_bar(key, false, why);
    if (status == SIGNET_OK) {
        status = sg_signing_shape_check(key->info->alg, input->data, input->data_len, why);
    }
    if (status == SIGNET_OK) {
        status = sg_private_key_sign(key, input->data, input->data_len, reply->data,
                                     sizeof(reply->data), &len, why);
    }
    reply->data_len = (uint32_t)len;
    sg_private_key_unref(key);
    return status;
}

static signet_status keyholder_mac_check(struct sg_keyholder *keyholder,
                                         const struct keyholder_input *input,
                                         struct sg_keyholder_reply *reply, const char **why)
{
    const struct sg_keyholder_request *request = input->request;
    if (request->mac_len > sizeof(request->mac)) {
        *why = "the MAC is longer than its place";
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_private_key *key = sg_slots_get(&keyholder->slots, request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    bool equal = false;
    signet_status status = keyholder_check_bar(key, true, why);
    if (status == SIGNET_OK) {
        status = sg_private_key_mac_check(key, input->data, input->data_len, request->mac,
                                          request->mac_len, &equal, why);
    }
    if (status == SIGNET_OK) {
        reply->verdict = equal ? SG_KEYHOLDER_MAC_EQUAL : SG_KEYHOLDER_MAC_DIFFERS;
    }
    sg_private_key_unref(key);
    return status;
}

static signet_status keyholder_public(struct sg_keyholder *keyholder,
                                      const struct keyholder_input *input,
                                      struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = sg_slots_get(&keyholder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    size_t len = 0;
    signet_status status = sg_private_key_public(key, reply->data, sizeof(reply->data), &len, why);
    reply->data_len = (uint32_t)len;
    sg_private_key_unref(key);
    return status;
}

static signet_status keyholder_destroy(struct sg_keyholder *keyholder,
                                       const struct keyholder_input *input,
                                       struct sg_keyholder_reply *reply, const char **why)
{
    (void)reply;
    struct sg_private_key *key = sg_slots_remove(&keyholder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    sg_private_key_unref(key); /* wiped at once, or when the calls that use it end */
    return SIGNET_OK;
}

static signet_status keyholder_sealing_key(struct sg_keyholder *keyholder,
                                           const struct keyholder_input *input,
                                           struct sg_keyholder_reply *reply, const char **why)
{
    (void)input;
    (void)why;
    memcpy(reply->data, keyholder->sealing_public, sizeof(keyholder->sealing_public));
    reply->data_len = sizeof(keyholder->sealing_public);
    return SIGNET_OK;
}

static signet_status keyholder_import_sealed(struct sg_keyholder *keyholder,
                                             const struct keyholder_input *input,
                                             struct sg_keyholder_reply *reply, const char **why)
{
    *why = "not sealed for import to this keyholder; ask for its sealing key again";
    if (input->data_len <= SG_SEAL_OVERHEAD ||
        input->data_len > SG_KEYHOLDER_MAX_PKCS8 + SG_SEAL_OVERHEAD) {
        return SIGNET_INVALID_ARGUMENT;
    }
    size_t len = input->data_len - SG_SEAL_OVERHEAD;
    uint8_t *bytes = OPENSSL_secure_zalloc(len);
    if (bytes == NULL) {
        *why = "no memory that is fit for secrets";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = sg_seal_open(keyholder->sealing_private, SG_SEAL_FOR_IMPORT, input->data,
                                        input->data_len, bytes);
    if (status == SIGNET_OK) {
        const struct keyholder_input opened = {
            .request = input->request, .data = bytes, .data_len = len};
        status = keyholder_import(keyholder, &opened, reply, why);
    }
    OPENSSL_secure_clear_free(bytes, len);
    return status;
}

/* ---- Requests ---- */

typedef signet_status keyholder_handler(struct sg_keyholder *keyholder,
                                        const struct keyholder_input *input,
                                        struct sg_keyholder_reply *reply, const char **why);

static keyholder_handler *const keyholder_handlers[] = {
    [SG_KEYHOLDER_GENERATE] = keyholder_generate,
    [SG_KEYHOLDER_IMPORT] = keyholder_import,
    [SG_KEYHOLDER_SIGN] = keyholder_sign,
    [SG_KEYHOLDER_MAC_CHECK] = keyholder_mac_check,
    [SG_KEYHOLDER_PUBLIC] = keyholder_public,
    [SG_KEYHOLDER_DESTROY] = keyholder_destroy,
    [SG_KEYHOLDER_SEALING_KEY] = keyholder_sealing_key,
    [SG_KEYHOLDER_IMPORT_SEALED] = keyholder_import_sealed,
};

static keyholder_handler *keyholder_handler_of(uint32_t op)
{
    return op < sizeof(keyholder_handlers) / sizeof(keyholder_handlers[0]) ? keyholder_handlers[op]
                                                                           : NULL;
}

static signet_status keyholder_serve(struct sg_keyholder *keyholder,
                                     const struct sg_keyholder_request *request,
                                     const uint8_t *bytes, size_t bytes_len,
                                     struct sg_keyholder_reply *reply, const char **why)
{
    keyholder_handler *handler = keyholder_handler_of(request->op);
    if (handler == NULL) {
        *why = "no such operation";
        return SIGNET_UNIMPLEMENTED;
    }
    if (request->data_off > bytes_len || request->data_len > bytes_len - request->data_off) {
        *why = "the data lies outside of the bytes";
        return SIGNET_INVALID_ARGUMENT;
    }
    const struct keyholder_input input = {
        .request = request,
        .data = bytes_len > 0 ? bytes + request->data_off : NULL,
        .data_len = request->data_len,
    };
    return handler(keyholder, &input, reply, why);
}

/* ---- The door ---- */

signet_status sg_keyholder_new(struct sg_keyholder **out)
{
    signet_status status = sg_secret_heap_open();
    if (status != SIGNET_OK) {
        return status;
    }
    struct sg_keyholder *keyholder = calloc(1, sizeof(*keyholder));
    if (keyholder == NULL || !sg_slots_init(&keyholder->slots)) {
        free(keyholder);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    /* Cannot fail on Linux with default attributes. */
    (void)pthread_mutex_init(&keyholder->mutex, NULL);
    keyholder->sealing_private = OPENSSL_secure_zalloc(SG_SEAL_KEY_LEN);
    status = SIGNET_RESOURCE_EXHAUSTED;
    if (keyholder->sealing_private != NULL) {
        status = sg_seal_keypair(keyholder->sealing_private, keyholder->sealing_public);
    }
    if (status != SIGNET_OK) {
        sg_keyholder_free(keyholder);
        return status;
    }
    *out = keyholder;
    return SIGNET_OK;
}

void sg_keyholder_free(struct sg_keyholder *keyholder)
{
    if (keyholder == NULL) {
        return;
    }
    sg_keystore_close(keyholder->store);
    sg_slots_fini(&keyholder->slots);
    OPENSSL_secure_clear_free(keyholder->sealing_private, SG_SEAL_KEY_LEN);
    (void)pthread_mutex_destroy(&keyholder->mutex);
    free(keyholder);
}

bool sg_keyholder_is_locked(const struct sg_keyholder *keyholder)
{
    return keyholder != NULL && sg_secret_heap_is_locked();
}

signet_status sg_keyholder_call(struct sg_keyholder *keyholder,
                                const struct sg_keyholder_request *requests, size_t num,
                                const uint8_t *bytes, size_t bytes_len,
                                struct sg_keyholder_reply *replies)
{
    if (keyholder == NULL || requests == NULL || replies == NULL || num == 0 ||
        num > SG_MAX_BATCH || (bytes == NULL && bytes_len > 0)) {
        return SIGNET_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < num; i++) {
        struct sg_keyholder_reply *reply = &replies[i];
        const char *why = "";
        memset(reply, 0, sizeof(*reply));
        signet_status status =
            keyholder_serve(keyholder, &requests[i], bytes, bytes_len, reply, &why);
        reply->status = (uint32_t)status;
        if (status != SIGNET_OK) {
            (void)snprintf(reply->message, sizeof(reply->message), "%s", why);
        }
    }
    return SIGNET_OK;
}
