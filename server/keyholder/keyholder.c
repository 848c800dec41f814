/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests in, replies out: the keyholder's whole parsing of what it is asked, and the table of its
 * keys. Every number of a request is checked before it is used. Works on the caller's thread; the
 * table's lock is held only to look a key up, to put one in or to take one out, never during
 * crypto.
 */
#include "server/keyholder/keyholder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/keys.h"
#include "server/keyholder/secret.h"
#include "server/keyholder/signing_shape.h"

/* A slot number is its place in the table and how often the place was filled, from 1: the number of
 * a key that was destroyed never finds the key that took its place, and 0 is never a slot. */
#define KEYHOLDER_PLACE_BITS 12u
#define KEYHOLDER_TURN_MAX   (UINT32_MAX >> KEYHOLDER_PLACE_BITS)
_Static_assert(SG_KEYHOLDER_MAX_SLOTS == 1u << KEYHOLDER_PLACE_BITS,
               "a place must fit a slot number");

struct keyholder_place {
    struct sg_private_key *key; /* NULL: empty */
    uint32_t turn;
};

struct sg_keyholder {
    pthread_rwlock_t lock;
    /* Guarded by lock. */
    struct keyholder_place places[SG_KEYHOLDER_MAX_SLOTS];
    size_t next; /* where to look for an empty place */
};

/* One request with its bytes found and bounded. */
struct keyholder_input {
    const struct sg_keyholder_request *request;
    const uint8_t *data;
    size_t data_len;
};

/* ---- The table of keys ---- */

static struct keyholder_place *keyholder_place(struct sg_keyholder *keyholder, uint32_t slot)
{
    struct keyholder_place *place = &keyholder->places[slot % SG_KEYHOLDER_MAX_SLOTS];
    return place->key != NULL && place->turn == slot >> KEYHOLDER_PLACE_BITS ? place : NULL;
}

/* The key in a slot, with a reference for the caller; NULL if there is none. */
static struct sg_private_key *keyholder_get(struct sg_keyholder *keyholder, uint32_t slot)
{
    (void)pthread_rwlock_rdlock(&keyholder->lock);
    const struct keyholder_place *place = keyholder_place(keyholder, slot);
    struct sg_private_key *key = place != NULL ? sg_private_key_ref(place->key) : NULL;
    (void)pthread_rwlock_unlock(&keyholder->lock);
    return key;
}

/* Under the lock. A number that was given out is never given out again. */
static struct keyholder_place *keyholder_empty_place(struct sg_keyholder *keyholder)
{
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        size_t index = (keyholder->next + i) % SG_KEYHOLDER_MAX_SLOTS;
        struct keyholder_place *place = &keyholder->places[index];
        if (place->key == NULL && place->turn < KEYHOLDER_TURN_MAX) {
            keyholder->next = index + 1;
            return place;
        }
    }
    return NULL;
}

/* Gives the key a slot and takes over the caller's reference; 0 if all are taken. */
static uint32_t keyholder_put(struct sg_keyholder *keyholder, struct sg_private_key *key)
{
    uint32_t slot = 0;
    (void)pthread_rwlock_wrlock(&keyholder->lock);
    struct keyholder_place *place = keyholder_empty_place(keyholder);
    if (place != NULL) {
        place->key = key;
        place->turn++;
        slot = place->turn << KEYHOLDER_PLACE_BITS | (uint32_t)(place - keyholder->places);
    }
    (void)pthread_rwlock_unlock(&keyholder->lock);
    return slot;
}

/* Empties a slot; the key goes to the caller. NULL if there is none. */
static struct sg_private_key *keyholder_remove(struct sg_keyholder *keyholder, uint32_t slot)
{
    struct sg_private_key *key = NULL;
    (void)pthread_rwlock_wrlock(&keyholder->lock);
    struct keyholder_place *place = keyholder_place(keyholder, slot);
    if (place != NULL) {
        key = place->key;
        place->key = NULL;
    }
    (void)pthread_rwlock_unlock(&keyholder->lock);
    return key;
}

/* ---- Operations ---- */

static signet_status keyholder_no_slot(const char **why)
{
    *why = "no key in this slot";
    return SIGNET_NOT_FOUND;
}

static signet_status keyholder_keep(struct sg_keyholder *keyholder, struct sg_private_key *key,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    reply->slot = keyholder_put(keyholder, key);
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

static signet_status keyholder_sign(struct sg_keyholder *keyholder,
                                    const struct keyholder_input *input,
                                    struct sg_keyholder_reply *reply, const char **why)
{
    struct sg_private_key *key = keyholder_get(keyholder, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    size_t len = 0;
    signet_status status =
        sg_signing_shape_check(key->info->alg, input->data, input->data_len, why);
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
    struct sg_private_key *key = keyholder_get(keyholder, request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    bool equal = false;
    signet_status status = sg_private_key_mac_check(key, input->data, input->data_len, request->mac,
                                                    request->mac_len, &equal, why);
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
    struct sg_private_key *key = keyholder_get(keyholder, input->request->slot);
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
    struct sg_private_key *key = keyholder_remove(keyholder, input->request->slot);
    if (key == NULL) {
        return keyholder_no_slot(why);
    }
    sg_private_key_unref(key); /* wiped at once, or when the calls that use it end */
    return SIGNET_OK;
}

/* ---- Requests ---- */

typedef signet_status keyholder_handler(struct sg_keyholder *keyholder,
                                        const struct keyholder_input *input,
                                        struct sg_keyholder_reply *reply, const char **why);

static keyholder_handler *const keyholder_handlers[] = {
    [SG_KEYHOLDER_GENERATE] = keyholder_generate, [SG_KEYHOLDER_IMPORT] = keyholder_import,
    [SG_KEYHOLDER_SIGN] = keyholder_sign,         [SG_KEYHOLDER_MAC_CHECK] = keyholder_mac_check,
    [SG_KEYHOLDER_PUBLIC] = keyholder_public,     [SG_KEYHOLDER_DESTROY] = keyholder_destroy,
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
    if (keyholder == NULL || pthread_rwlock_init(&keyholder->lock, NULL) != 0) {
        free(keyholder);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = keyholder;
    return SIGNET_OK;
}

void sg_keyholder_free(struct sg_keyholder *keyholder)
{
    if (keyholder == NULL) {
        return;
    }
    for (size_t i = 0; i < SG_KEYHOLDER_MAX_SLOTS; i++) {
        sg_private_key_unref(keyholder->places[i].key);
    }
    (void)pthread_rwlock_destroy(&keyholder->lock);
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
