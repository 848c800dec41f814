/* SPDX-License-Identifier: Apache-2.0
 *
 * A keyholder in this process: requests in, replies out. Every number of a request is checked before it
 * is used. Works on the caller's thread.
 */
#include "server/keyholder/keyholder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/holder.h"
#include "server/keyholder/secret.h"
#include "server/keyholder/signing_shape.h"
#include "server/keyholder/wall_clock.h"

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

static signet_status keyholder_keep(struct sg_holder *holder, struct sg_private_key *key,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    reply->slot = sg_slots_put(&holder->slots, key);
    if (reply->slot == 0) {
        sg_private_key_unref(key);
        *why = "all slots are taken";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    return SIGNET_OK;
}

static signet_status keyholder_generate(struct sg_holder *holder,
                                        const struct keyholder_input *input,
                                        struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = sg_private_key_generate((enum sg_alg)input->request->alg,
                                                   input->request->rsa_bits, &key, why);
    return status == SIGNET_OK ? keyholder_keep(holder, key, reply, why) : status;
}

static signet_status keyholder_import(struct sg_holder *holder, const struct keyholder_input *input,
                                      struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = NULL;
    signet_status status = sg_private_key_import((enum sg_alg)input->request->alg, input->data,
                                                 input->data_len, &key, why);
    return status == SIGNET_OK ? keyholder_keep(holder, key, reply, why) : status;
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

/* A key whose time has not come does not sign while there is one whose time was before: as in the calendar,
 * the first that there is has signed since ever, so that no setting of the clock is without a signer. */
static signet_status keyholder_check_time(struct sg_holder *holder,
                                          const struct sg_private_key *key, const char **why)
{
    if (atomic_load_explicit(&key->sign_from, memory_order_acquire) <= sg_wall_clock_s() ||
        !sg_slots_has_earlier(&holder->slots, key)) {
        return SIGNET_OK;
    }
    *why = "the key is not to sign yet";
    return SIGNET_FAILED_PRECONDITION;
}

static signet_status keyholder_sign(struct sg_holder *holder, const struct keyholder_input *input,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = sg_slots_get(&holder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    size_t len = 0;
    signet_status status = keyholder_check_bar(key, false, why);
    if (status == SIGNET_OK) {
        status = keyholder_check_time(holder, key, why);
    }
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

static signet_status keyholder_mac_check(struct sg_holder *holder,
                                         const struct keyholder_input *input,
                                         struct sg_keyholder_reply *reply, const char **why)
{
    const struct sg_keyholder_request *request = input->request;
    if (request->mac_len > sizeof(request->mac)) {
        *why = "the MAC is longer than its place";
        return SIGNET_INVALID_ARGUMENT;
    }
    struct sg_private_key *key = sg_slots_get(&holder->slots, request->slot);
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

static signet_status keyholder_public(struct sg_holder *holder, const struct keyholder_input *input,
                                      struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = sg_slots_get(&holder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    size_t len = 0;
    signet_status status = sg_private_key_public(key, reply->data, sizeof(reply->data), &len, why);
    reply->data_len = (uint32_t)len;
    sg_private_key_unref(key);
    return status;
}

static signet_status keyholder_destroy(struct sg_holder *holder,
                                       const struct keyholder_input *input,
                                       struct sg_keyholder_reply *reply, const char **why)
{
    (void)reply;
    struct sg_private_key *key = sg_slots_remove(&holder->slots, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    sg_private_key_unref(key); /* wiped at once, or when the calls that use it end */
    return SIGNET_OK;
}

static signet_status keyholder_sealing_key(struct sg_holder *holder,
                                           const struct keyholder_input *input,
                                           struct sg_keyholder_reply *reply, const char **why)
{
    (void)input;
    (void)why;
    memcpy(reply->data, holder->sealing_public, sizeof(holder->sealing_public));
    reply->data_len = sizeof(holder->sealing_public);
    return SIGNET_OK;
}

static signet_status keyholder_import_sealed(struct sg_holder *holder,
                                             const struct keyholder_input *input,
                                             struct sg_keyholder_reply *reply, const char **why)
{
    *why =
        "not sealed for import to this keyholder, which may have been started anew meanwhile; try again";
    if (input->data_len <= SG_SEAL_OVERHEAD ||
        input->data_len > SG_KEYHOLDER_MAX_PKCS8 + SG_SEAL_OVERHEAD) {
        return SIGNET_INVALID_ARGUMENT;
    }
    size_t len = input->data_len - SG_SEAL_OVERHEAD;
    uint8_t *bytes = sg_secret_alloc(len);
    if (bytes == NULL) {
        *why = "no memory that is fit for secrets";
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = sg_seal_open(holder->sealing_private, SG_SEAL_FOR_IMPORT, input->data,
                                        input->data_len, bytes);
    if (status == SIGNET_OK) {
        const struct keyholder_input opened = {
            .request = input->request, .data = bytes, .data_len = len};
        status = keyholder_import(holder, &opened, reply, why);
    }
    sg_secret_release(bytes, len);
    return status;
}

/* ---- Requests ---- */

typedef signet_status keyholder_handler(struct sg_holder *holder,
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

static signet_status keyholder_serve(struct sg_holder *holder,
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
    return handler(holder, &input, reply, why);
}

/* ---- The door ---- */

static struct sg_holder *keyholder_self(struct sg_keyholder *keyholder)
{
    return (struct sg_holder *)(void *)keyholder;
}

static signet_status keyholder_call(struct sg_keyholder *keyholder,
                                    const struct sg_keyholder_request *requests, size_t num,
                                    const uint8_t *bytes, size_t bytes_len,
                                    struct sg_keyholder_reply *replies)
{
    for (size_t i = 0; i < num; i++) {
        struct sg_keyholder_reply *reply = &replies[i];
        const char *why = "";
        memset(reply, 0, sizeof(*reply));
        signet_status status =
            keyholder_serve(keyholder_self(keyholder), &requests[i], bytes, bytes_len, reply, &why);
        reply->status = (uint32_t)status;
        if (status != SIGNET_OK) {
            (void)snprintf(reply->message, sizeof(reply->message), "%s", why);
        }
    }
    return SIGNET_OK;
}

static const struct sg_keyholder_ops keyholder_ops = {
    .call = keyholder_call,
    .keystore = sg_holder_keystore,
};

/* ---- Life ---- */

signet_status sg_keyholder_new(uint32_t epoch, struct sg_keyholder **out)
{
    signet_status status = sg_secret_heap_open();
    if (status != SIGNET_OK) {
        return status;
    }
    struct sg_holder *holder = calloc(1, sizeof(*holder));
    if (holder == NULL || !sg_slots_init(&holder->slots, epoch)) {
        free(holder);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    holder->base.ops = &keyholder_ops;
    /* Cannot fail on Linux with default attributes. */
    (void)pthread_mutex_init(&holder->mutex, NULL);
    holder->sealing_private = sg_secret_alloc(SG_SEAL_KEY_LEN);
    status = SIGNET_RESOURCE_EXHAUSTED;
    if (holder->sealing_private != NULL) {
        status = sg_seal_keypair(holder->sealing_private, holder->sealing_public);
    }
    if (status != SIGNET_OK) {
        sg_keyholder_free(&holder->base);
        return status;
    }
    *out = &holder->base;
    return SIGNET_OK;
}

void sg_keyholder_free(struct sg_keyholder *keyholder)
{
    if (keyholder == NULL) {
        return;
    }
    struct sg_holder *holder = keyholder_self(keyholder);
    sg_keystore_close(holder->store);
    sg_slots_fini(&holder->slots);
    sg_secret_release(holder->sealing_private, SG_SEAL_KEY_LEN);
    (void)pthread_mutex_destroy(&holder->mutex);
    free(holder);
}
