/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be known of the keys, from the keyring, which holds nothing secret. What operators do with
 * them is in key_admin_service.c.
 */
#include "server/key_service.h"

#include <stdlib.h>

#include "server/jwks.h"
#include "server/keyring.h"
#include "server/request_rules.h"
#include "signet/v1/key.pb-c.h"

/* As many keys are described in the time of a quick signature; more are a worker's work. */
#define KEYS_MAX_INLINE 64u

_Static_assert((int)SG_KEY_NEXT == (int)SIGNET__V1__KEY_STATE__KEY_STATE_NEXT &&
                   (int)SG_KEY_ACTIVE == (int)SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE &&
                   (int)SG_KEY_VERIFY_ONLY == (int)SIGNET__V1__KEY_STATE__KEY_STATE_VERIFY_ONLY &&
                   (int)SG_KEY_RETIRED == (int)SIGNET__V1__KEY_STATE__KEY_STATE_RETIRED &&
                   (int)SG_KEY_REVOKED == (int)SIGNET__V1__KEY_STATE__KEY_STATE_REVOKED,
               "states of keys must be the numbers of the contract");

/* ---- GetJwks ---- */

signet_status sg_key_get_jwks(struct sg_exchange *exchange)
{
    const Signet__V1__GetJwksRequest *request =
        (const Signet__V1__GetJwksRequest *)exchange->request;
    const struct sg_keyring *keyring = exchange->keyring;
    const struct sg_keyset *only = NULL;
    if (request->keyset[0] != '\0') {
        signet_status status = sg_rule_keyset(keyring, request->keyset, &only, &exchange->error);
        if (status == SIGNET_OK && only->foreign != NULL) {
            status = sg_rpc_fail(&exchange->error, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN",
                                 "keyset: %s is a foreign issuer, whose keys are not ours to give",
                                 only->name);
        }
        if (status != SIGNET_OK) {
            return status;
        }
    }
    Signet__V1__GetJwksResponse response = SIGNET__V1__GET_JWKS_RESPONSE__INIT;
    char *text = sg_jwks_text(keyring, only, exchange->now.wall_s);
    if (text == NULL) {
        return sg_exchange_no_memory(exchange);
    }
    response.jwks_json = text;
    signet_status status = sg_exchange_append(exchange, &response.base);
    free(text);
    return status;
}

/* ---- ListKeysets ---- */

/* "Not known" is 0 on the wire. */
static int64_t keys_time(int64_t when)
{
    return when == SG_TIME_NEVER || when == SG_TIME_EVER ? 0 : when;
}

static void keys_describe_key(const struct sg_key *key, int64_t now, Signet__V1__Key *out)
{
    signet__v1__key__init(out);
    out->kid = sg_reply_text(key->kid);
    out->alg = sg_reply_text(sg_alg_info(key->alg)->config_name);
    out->state = (Signet__V1__KeyState)sg_key_state(key, now);
    out->created_at = key->times.created_at;
    out->sign_from = key->times.never_signs ? 0 : key->times.sign_from;
    out->sign_until = key->times.never_signs ? 0 : keys_time(key->span.signs_until);
    out->verify_until = keys_time(sg_key_verify_until(key));
    out->last_expiry = sg_key_core_last_expiry(key->core);
    out->last_expiry_is_exact = sg_key_core_expiry_is_exact(key->core);
    out->revoked_at = key->times.revoked_at;
    out->imported = key->imported;
    out->verify_only = key->times.never_signs;
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
    const struct sg_keyring *keyring = exchange->keyring;
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (!keyset->is_internal) {
            status = keys_append_keyset(exchange, keyset);
        }
    }
    return status;
}

/* ---- Both ---- */

bool sg_key_telling_is_slow(const struct sg_keyring *keyring, const ProtobufCMessage *request)
{
    (void)request;
    return sg_keyring_num_keys(keyring) > KEYS_MAX_INLINE;
}
