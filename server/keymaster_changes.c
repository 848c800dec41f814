/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators ask of the keymaster: rotating, revoking, importing, and the key-encryption key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/keymaster_model.h"
#include "server/log.h"

/* ---- Failing ---- */

/* What a step said becomes the answer. */
static signet_status change_failed(signet_status status, const char *why,
                                   struct sg_rpc_status *error)
{
    const char *reason = "KEY_CHANGE_FAILED";
    if (status == SIGNET_INVALID_ARGUMENT) {
        reason = "KEY_INVALID";
    } else if (status == SIGNET_ALREADY_EXISTS) {
        reason = "KEY_EXISTS";
    } else if (status == SIGNET_RESOURCE_EXHAUSTED) {
        reason = "NO_SPACE";
    }
    return sg_rpc_fail(error, status, reason, "%s", why);
}

static struct model_keyset *change_configured(const struct sg_keymaster *keymaster,
                                              const char *name, struct sg_rpc_status *error)
{
    struct model_keyset *keyset = model_find(keymaster, name);
    if (keyset == NULL || keyset->policy == NULL) {
        (void)model_no_keyset(error);
        return NULL;
    }
    return keyset;
}

/* Commits, and plans what follows from the change. */
static signet_status change_commit(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                                   int64_t now, struct model_error error)
{
    signet_status status = model_commit(keymaster, now, false, error);
    keyset->due_at = now; /* the calendar has to look at it anew */
    return status;
}

/* ---- Rotating ---- */

/* The key that waits to sign; num_keys if none does. */
static size_t change_waiting(const struct model_keyset *keyset, int64_t now)
{
    struct sg_key_times *times = NULL;
    struct sg_key_span *spans = NULL;
    size_t found = keyset->num_keys;
    if (!model_spans(keyset, &times, &spans)) {
        return found;
    }
    for (size_t i = 0; i < keyset->num_keys; i++) {
        if (!times[i].never_signs && times[i].revoked_at == 0 && spans[i].signs_from > now) {
            found = i;
        }
    }
    free(times);
    free(spans);
    return found;
}

struct change_rotation {
    struct model_keyset *keyset;
    int64_t now;
    bool at_once;
    size_t waiting; /* the key that waits; num_keys: none */
};

static struct sg_key_times change_new_times(const struct change_rotation *rotation)
{
    const struct sg_config_keyset *policy = rotation->keyset->policy;
    uint32_t seq = 0;
    for (size_t i = 0; i < rotation->keyset->num_keys; i++) {
        uint32_t other = rotation->keyset->keys[i].entry.times.seq;
        seq = other > seq ? other : seq;
    }
    int64_t lead = rotation->at_once ? 0 : (int64_t)policy->publish_lead_s;
    return (struct sg_key_times){.seq = seq + 1,
                                 .max_ttl_s = policy->max_ttl_s,
                                 .created_at = rotation->now,
                                 .sign_from = model_after(rotation->now, lead)};
}

static signet_status change_rotate_dry(const struct sg_keymaster *keymaster,
                                       const struct change_rotation *rotation,
                                       struct sg_key_list *out, const struct sg_listed_key **key,
                                       struct sg_rpc_status *error)
{
    const struct model_keyset *keyset = rotation->keyset;
    struct model_view view = {0};
    struct sg_key_times times = {0};
    size_t index = keyset->num_keys;
    if (rotation->waiting < keyset->num_keys) {
        index = rotation->waiting;
        times = keyset->keys[index].entry.times;
        times.sign_from = rotation->now;
        view = (struct model_view){.moved = &times, .moved_index = index};
    } else {
        times = change_new_times(rotation);
        view = (struct model_view){.extra = &times, .extra_alg = keyset->policy->alg};
    }
    signet_status status = model_list(keymaster, keyset->name, &view, rotation->now, out, error);
    if (status == SIGNET_OK) {
        *key = &out->keysets[0].keys[index];
    }
    return status;
}

static signet_status change_rotate_for_good(struct sg_keymaster *keymaster,
                                            const struct change_rotation *rotation, char *kid,
                                            size_t kid_cap, struct model_error error)
{
    struct model_keyset *keyset = rotation->keyset;
    signet_status status;
    if (rotation->waiting < keyset->num_keys) {
        struct model_key *key = &keyset->keys[rotation->waiting];
        struct sg_key_times times = key->entry.times;
        times.sign_from = rotation->now;
        status = model_update(keymaster, keyset, key, &times, error);
        (void)snprintf(kid, kid_cap, "%s", key->entry.core->kid);
    } else {
        const struct model_new_key new_key = {.alg = keyset->policy->alg,
                                              .sign_from = change_new_times(rotation).sign_from};
        status = model_make(keymaster, keyset, &new_key, rotation->now, error);
        if (status == SIGNET_OK) {
            (void)snprintf(kid, kid_cap, "%s", keyset->keys[keyset->num_keys - 1].entry.core->kid);
        }
    }
    return status == SIGNET_OK ? change_commit(keymaster, keyset, rotation->now, error) : status;
}

static signet_status change_rotate(struct sg_keymaster *keymaster, const char *name, bool at_once,
                                   bool dry_run, struct sg_key_list *out,
                                   const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    char kid[SG_MAX_KID_LEN + 1] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    struct change_rotation rotation = {.keyset = change_configured(keymaster, name, error),
                                       .now = model_now(keymaster),
                                       .at_once = at_once};
    if (rotation.keyset == NULL) {
        return error->code;
    }
    rotation.waiting = change_waiting(rotation.keyset, rotation.now);
    if (rotation.waiting < rotation.keyset->num_keys && !at_once) {
        const struct sg_keyring_key *entry = &rotation.keyset->keys[rotation.waiting].entry;
        return sg_rpc_fail(error, SIGNET_FAILED_PRECONDITION, "KEY_WAITS",
                           "keyset: key %.64s waits already, and signs in %lld s; --now lets it "
                           "sign at once",
                           entry->core->kid,
                           (long long)model_after(entry->times.sign_from, -rotation.now));
    }
    if (dry_run) {
        return change_rotate_dry(keymaster, &rotation, out, key, error);
    }
    signet_status status = change_rotate_for_good(keymaster, &rotation, kid, sizeof(kid), inner);
    if (status != SIGNET_OK) {
        return change_failed(status, why, error);
    }
    if (at_once) {
        sg_log(SG_LOG_INFO, "keyset %s: key %s signs from now on, as asked", name, kid);
    }
    return model_show(keymaster, rotation.keyset, kid, rotation.now, out, key, error);
}

signet_status sg_keymaster_rotate(struct sg_keymaster *keymaster, const char *keyset, bool at_once,
                                  bool dry_run, struct sg_key_list *out,
                                  const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = change_rotate(keymaster, keyset, at_once, dry_run, out, key, error);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

/* ---- Revoking ---- */

/* The key of this kid, and its keyset. */
static struct model_key *change_find_key(const struct sg_keymaster *keymaster, const char *kid,
                                         const char *name, struct model_keyset **keyset,
                                         struct sg_rpc_status *error)
{
    struct model_key *found = NULL;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        struct model_keyset *other = keymaster->keysets[i];
        struct model_key *key =
            name[0] == '\0' || strcmp(name, other->name) == 0 ? model_key(other, kid) : NULL;
        if (key != NULL && found != NULL) {
            (void)sg_rpc_fail(error, SIGNET_FAILED_PRECONDITION, "KID_AMBIGUOUS",
                              "kid: keysets %s and %s both have such a key; name the keyset",
                              (*keyset)->name, other->name);
            return NULL;
        }
        if (key != NULL) {
            found = key;
            *keyset = other;
        }
    }
    if (found == NULL) {
        (void)sg_rpc_fail(error, SIGNET_NOT_FOUND, "KEY_UNKNOWN",
                          "kid: there is no such key; signet key list shows those there are");
    }
    return found;
}

/* Whether any key would be left to sign for the keyset. */
static bool change_leaves_signer(const struct model_keyset *keyset, const struct model_key *leaving)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        const struct model_key *key = &keyset->keys[i];
        if (key != leaving && !key->entry.times.never_signs && key->entry.times.revoked_at == 0) {
            return true;
        }
    }
    return false;
}

/* A keyset does not go without: the key that takes over is there, published and durable, before the
 * old one ends. If it cannot be, the old one ends all the same, since whoever revokes has a reason, and
 * the calendar makes the new one as soon as it can. */
static void change_replace(struct sg_keymaster *keymaster, struct model_keyset *keyset, int64_t now)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error error = {.text = why, .cap = sizeof(why)};
    const struct model_new_key new_key = {.alg = keyset->policy->alg, .sign_from = now};
    signet_status status = model_make(keymaster, keyset, &new_key, now, error);
    if (status == SIGNET_OK) {
        status = model_commit(keymaster, now, false, error);
    }
    if (status != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "keyset %s: no key takes over: %s; it is tried again", keyset->name,
               why);
        keymaster->retry_at = now;
    }
}

static signet_status change_revoke_key(struct sg_keymaster *keymaster, struct model_keyset *keyset,
                                       const char *kid, int64_t now, struct model_error error)
{
    struct model_key *key = model_key(keyset, kid);
    if (keyset->policy != NULL && !key->entry.times.never_signs &&
        !change_leaves_signer(keyset, key)) {
        change_replace(keymaster, keyset, now);
        key = model_key(keyset, kid); /* the keys may have moved */
    }
    struct sg_key_times times = key->entry.times;
    times.revoked_at = now != 0 ? now : 1;
    signet_status status = model_update(keymaster, keyset, key, &times, error);
    return status == SIGNET_OK ? change_commit(keymaster, keyset, now, error) : status;
}

static void change_signing_kid(const struct sg_key_list *list, char out[SG_MAX_KID_LEN + 1])
{
    out[0] = '\0';
    for (size_t i = 0; i < list->keysets[0].num_keys; i++) {
        if (list->keysets[0].keys[i].state == SG_KEY_ACTIVE) {
            (void)snprintf(out, SG_MAX_KID_LEN + 1, "%s", list->keysets[0].keys[i].kid);
        }
    }
}

static signet_status change_revoke(struct sg_keymaster *keymaster, const char *kid,
                                   const char *name, struct sg_key_list *out,
                                   const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    struct model_keyset *keyset = NULL;
    int64_t now = model_now(keymaster);
    const struct model_key *found = change_find_key(keymaster, kid, name, &keyset, error);
    if (found == NULL) {
        return error->code;
    }
    if (found->entry.times.revoked_at == 0) {
        signet_status status = change_revoke_key(keymaster, keyset, kid, now, inner);
        const struct model_key *after = model_key(keyset, kid);
        if (after->entry.times.revoked_at == 0) {
            return change_failed(status, why, error);
        }
        /* It is revoked, whatever else did not work. */
        sg_log(SG_LOG_INFO, "keyset %s: key %s was revoked, as asked", keyset->name, kid);
        if (status != SIGNET_OK) {
            sg_log(SG_LOG_ERROR, "%s", why);
            keymaster->retry_at = now;
        }
    }
    return model_show(keymaster, keyset, kid, now, out, key, error);
}

signet_status sg_keymaster_revoke(struct sg_keymaster *keymaster, const char *kid,
                                  const char *keyset, struct sg_key_list *out,
                                  const struct sg_listed_key **key,
                                  char signing_kid[SG_MAX_KID_LEN + 1], struct sg_rpc_status *error)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = change_revoke(keymaster, kid, keyset, out, key, error);
    if (status == SIGNET_OK) {
        change_signing_kid(out, signing_kid);
    }
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

/* ---- Importing ---- */

static signet_status change_check_import(const struct model_keyset *keyset,
                                         const struct sg_key_import *import, int64_t now,
                                         struct sg_rpc_status *error)
{
    if (!import->verify_only && import->verify_until != 0) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "VERIFY_UNTIL_INVALID",
                           "verify_until: only a key that is imported to verify only has one");
    }
    if (import->verify_only &&
        (import->verify_until < 0 || (import->verify_until != 0 && import->verify_until <= now))) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "VERIFY_UNTIL_INVALID",
                           "verify_until: expected a time that is still to come");
    }
    if (import->verify_only && import->at_once) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "IMPORT_CONFLICT",
                           "now: a key that is imported to verify only never signs");
    }
    if (!import->verify_only && import->alg != SG_ALG_UNSET && import->alg != keyset->policy->alg) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "ALG_CONFLICT",
                           "alg: keyset %s signs with %s; a key of another algorithm can be "
                           "imported to verify only",
                           keyset->name, sg_alg_info(keyset->policy->alg)->config_name);
    }
    if (!import->verify_only && !import->at_once &&
        change_waiting(keyset, now) < keyset->num_keys) {
        return sg_rpc_fail(error, SIGNET_FAILED_PRECONDITION, "KEY_WAITS",
                           "keyset: another key waits to sign already; with --now the imported one "
                           "signs at once, until that one's time comes");
    }
    return SIGNET_OK;
}

static signet_status change_import(struct sg_keymaster *keymaster,
                                   const struct sg_key_import *import, struct sg_key_list *out,
                                   const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    char kid[SG_MAX_KID_LEN + 1];
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    int64_t now = model_now(keymaster);
    struct model_keyset *keyset = change_configured(keymaster, import->keyset, error);
    if (keyset == NULL) {
        return error->code;
    }
    signet_status status = change_check_import(keyset, import, now, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct change_rotation rotation = {
        .keyset = keyset, .now = now, .at_once = import->at_once};
    const struct model_new_key new_key = {
        .alg = import->alg != SG_ALG_UNSET ? import->alg : keyset->policy->alg,
        .kid = import->kid,
        .sealed = import->sealed,
        .sealed_len = import->sealed_len,
        .verify_only = import->verify_only,
        .sign_from = change_new_times(&rotation).sign_from,
        .verify_until = import->verify_until,
    };
    status = model_make(keymaster, keyset, &new_key, now, inner);
    if (status == SIGNET_OK) {
        (void)snprintf(kid, sizeof(kid), "%s", keyset->keys[keyset->num_keys - 1].entry.core->kid);
        status = change_commit(keymaster, keyset, now, inner);
    }
    if (status != SIGNET_OK) {
        return change_failed(status, why, error);
    }
    sg_log(SG_LOG_INFO, "keyset %s: key %s was imported", keyset->name, kid);
    return model_show(keymaster, keyset, kid, now, out, key, error);
}

signet_status sg_keymaster_import(struct sg_keymaster *keymaster,
                                  const struct sg_key_import *import, struct sg_key_list *out,
                                  const struct sg_listed_key **key, struct sg_rpc_status *error)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = change_import(keymaster, import, out, key, error);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

signet_status sg_keymaster_sealing_key(struct sg_keymaster *keymaster, uint8_t out[32],
                                       struct sg_rpc_status *error)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_SEALING_KEY};
    struct sg_keyholder_reply reply;
    signet_status status =
        sg_keyholder_call(keymaster->options.keyholder, &request, 1, NULL, 0, &reply);
    if (status == SIGNET_UNAVAILABLE) {
        return sg_rpc_fail(error, status, "KEYHOLDER_DOWN",
                           "the keyholder is starting again; retry");
    }
    if (status != SIGNET_OK || reply.status != SIGNET_OK || reply.data_len != 32) {
        return sg_rpc_fail(error, SIGNET_INTERNAL, "KEYHOLDER_FAILED",
                           "the keyholder gives no key to seal to");
    }
    memcpy(out, reply.data, 32);
    return SIGNET_OK;
}

/* ---- The key-encryption key ---- */

static signet_status change_no_keystore(struct sg_rpc_status *error)
{
    return sg_rpc_fail(error, SIGNET_FAILED_PRECONDITION, "EPHEMERAL",
                       "this daemon has no keystore: its keys end with the process");
}

static signet_status change_rekey(struct sg_keymaster *keymaster,
                                  const struct sg_keymaster_rekey *rekey, uint32_t *num_keys,
                                  struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    struct sg_keystore_request *request = keymaster->request;
    if (model_is_ephemeral(keymaster)) {
        return change_no_keystore(error);
    }
    if (rekey->sealed_len > sizeof(request->sealed) ||
        strlen(rekey->source) >= sizeof(request->new_source)) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "REKEY_INVALID",
                           "sealed, source: longer than they can be");
    }
    memcpy(request->sealed, rekey->sealed, rekey->sealed_len);
    request->sealed_len = (uint32_t)rekey->sealed_len;
    request->new_key_kind = rekey->is_passphrase ? SG_KEYSTORE_KEY_PASSPHRASE : SG_KEYSTORE_KEY_RAW;
    (void)snprintf(request->new_source, sizeof(request->new_source), "%s", rekey->source);
    signet_status status = model_store(keymaster, SG_KEYSTORE_REKEY, inner);
    if (status != SIGNET_OK) {
        return change_failed(status, why, error);
    }
    *num_keys = keymaster->reply->num_entries;
    sg_log(SG_LOG_INFO,
           "the keystore was sealed anew; the old and the new key-encryption key open it");
    return SIGNET_OK;
}

signet_status sg_keymaster_rekey(struct sg_keymaster *keymaster,
                                 const struct sg_keymaster_rekey *rekey, uint32_t *num_keys,
                                 struct sg_rpc_status *error)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = change_rekey(keymaster, rekey, num_keys, error);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

signet_status sg_keymaster_finish_rekey(struct sg_keymaster *keymaster, struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = SIGNET_OK;
    if (model_is_ephemeral(keymaster)) {
        status = change_no_keystore(error);
    } else if ((status = model_store(keymaster, SG_KEYSTORE_REKEY_FINISH, inner)) != SIGNET_OK) {
        status = change_failed(status, why, error);
    } else {
        sg_log(SG_LOG_INFO, "only the new key-encryption key opens the keystore from now on");
    }
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

static signet_status change_read_info(struct sg_keymaster *keymaster, struct sg_keystore_info *out,
                                      struct sg_rpc_status *error)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        out->num_keys += (uint32_t)keymaster->keysets[i]->num_keys;
    }
    out->num_damaged = (uint32_t)keymaster->num_damaged;
    if (model_is_ephemeral(keymaster)) {
        return SIGNET_OK;
    }
    signet_status status = model_store(keymaster, SG_KEYSTORE_INFO, inner);
    if (status != SIGNET_OK) {
        return change_failed(status, why, error);
    }
    out->persistent = true;
    out->rekeying = keymaster->reply->is_rekeying != 0;
    memcpy(out->dir, keymaster->reply->dir, sizeof(out->dir));
    memcpy(out->source, keymaster->reply->source, sizeof(out->source));
    return SIGNET_OK;
}

signet_status sg_keymaster_keystore_info(struct sg_keymaster *keymaster,
                                         struct sg_keystore_info *out, struct sg_rpc_status *error)
{
    struct sg_keystore_info info = {0};
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = change_read_info(keymaster, &info, error);
    (void)pthread_mutex_unlock(&keymaster->mutex);
    if (status == SIGNET_OK) {
        *out = info;
    }
    return status;
}
