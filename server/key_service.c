/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be known of the keys. Works from the keyring, which holds nothing secret, and never asks
 * the keyholder.
 */
#include "server/key_service.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/jose/jwk.h"
#include "server/keyring.h"
#include "server/request_rules.h"
#include "signet/v1/key.pb-c.h"

_Static_assert((int)SG_KEY_NEXT == (int)SIGNET__V1__KEY_STATE__KEY_STATE_NEXT &&
                   (int)SG_KEY_ACTIVE == (int)SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE &&
                   (int)SG_KEY_VERIFY_ONLY == (int)SIGNET__V1__KEY_STATE__KEY_STATE_VERIFY_ONLY &&
                   (int)SG_KEY_RETIRED == (int)SIGNET__V1__KEY_STATE__KEY_STATE_RETIRED &&
                   (int)SG_KEY_REVOKED == (int)SIGNET__V1__KEY_STATE__KEY_STATE_REVOKED,
               "states of keys must be the numbers of the contract");

/* ---- GetJwks ---- */

/* Adds the public keys of a keyset under which tokens may be accepted. A symmetric key has none. */
static bool keys_add_jwks(const struct sg_keyset *keyset, int64_t now, json_t *list)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        const struct sg_key *key = &keyset->keys[i];
        if (key->public_key == NULL || !sg_key_may_verify(key, now)) {
            continue;
        }
        /* Takes over the new object, and fails if that is NULL. */
        if (json_array_append_new(list, sg_jwk_write(key->public_key, key->kid)) != 0) {
            return false;
        }
    }
    return true;
}

/* The JWK Set of one keyset, or of all for NULL, in the order of the configuration; free() it. NULL
 * without memory. */
static char *keys_write_jwks(const struct sg_keyring *keyring, const struct sg_keyset *only,
                             int64_t now)
{
    json_t *list = json_array();
    bool complete = list != NULL;
    for (size_t i = 0; complete && i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (only == NULL || only == keyset) {
            complete = keys_add_jwks(keyset, now, list);
        }
    }
    json_t *set = json_object();
    char *text = NULL;
    if (json_object_set_new(set, "keys", list) == 0 && complete) { /* takes over list */
        text = json_dumps(set, JSON_COMPACT);
    }
    json_decref(set);
    return text;
}

signet_status sg_key_get_jwks(struct sg_exchange *exchange)
{
    const Signet__V1__GetJwksRequest *request =
        (const Signet__V1__GetJwksRequest *)exchange->request;
    const struct sg_keyring *keyring = exchange->service->keyring;
    const struct sg_keyset *only = NULL;
    if (request->keyset[0] != '\0') {
        signet_status status = sg_rule_keyset(keyring, request->keyset, &only, &exchange->error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    Signet__V1__GetJwksResponse response = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
    char *text = keys_write_jwks(keyring, only, exchange->now.wall_s);
    if (text == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    response.jwks_json = text;
    signet_status status = sg_exchange_append(exchange, &response.base);
    free(text);
    return status;
}

/* ---- ListKeysets ---- */

static void keys_describe_key(const struct sg_key *key, int64_t now, Signet__V1__Key *out)
{
    signet__v1__key__init(out);
    out->kid = sg_reply_text(key->kid);
    out->state = (Signet__V1__KeyState)sg_key_state(key, now);
    out->created_at = key->created_at;
}

static void keys_describe_keyset(const struct sg_keyset *keyset, Signet__V1__Keyset *out)
{
    signet__v1__keyset__init(out);
    out->name = sg_reply_text(keyset->name);
    out->alg = sg_reply_text(sg_alg_info(keyset->alg)->config_name);
    out->issuer = sg_reply_text(keyset->issuer);
    out->default_ttl_s = keyset->default_ttl_s;
    out->max_ttl_s = keyset->max_ttl_s;
    out->typ = sg_reply_text(keyset->typ);
}

static signet_status keys_append_keyset(struct sg_exchange *exchange,
                                        const struct sg_keyset *keyset)
{
    Signet__V1__ListKeysetsResponse part = SIGNET__V1__LIST_KEYSETS_RESPONSE__INIT;
    Signet__V1__Keyset description;
    Signet__V1__Keyset *descriptions[] = {&description};
    Signet__V1__Key *keys = calloc(keyset->num_keys + 1, sizeof(*keys));
    Signet__V1__Key **list = calloc(keyset->num_keys + 1, sizeof(Signet__V1__Key *));
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (keys == NULL || list == NULL) {
        status = sg_exchange_no_memory(exchange);
    } else {
        keys_describe_keyset(keyset, &description);
        for (size_t i = 0; i < keyset->num_keys; i++) {
            keys_describe_key(&keyset->keys[i], exchange->now.wall_s, &keys[i]);
            list[i] = &keys[i];
        }
        description.keys = list;
        description.n_keys = keyset->num_keys;
        part.keysets = descriptions;
        part.n_keysets = 1;
        status = sg_exchange_append(exchange, &part.base);
    }
    free(list);
    free(keys);
    return status;
}

signet_status sg_key_list_keysets(struct sg_exchange *exchange)
{
    const struct sg_keyring *keyring = exchange->service->keyring;
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < sg_keyring_num_keysets(keyring); i++) {
        status = keys_append_keyset(exchange, sg_keyring_keyset_at(keyring, i));
    }
    return status;
}
