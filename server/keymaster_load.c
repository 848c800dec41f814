/* SPDX-License-Identifier: Apache-2.0
 *
 * From the files of the keystore to the model: at the start, and when another keyholder has taken the place of
 * one that died. Files that cannot be used are kept in mind, and left where they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/keymaster_model.h"
#include "server/log.h"

/* ---- Files ---- */

static struct sg_key_times load_times(const struct sg_key_record *record)
{
    return (struct sg_key_times){.seq = record->seq,
                                 .max_ttl_s = record->max_ttl_s,
                                 .never_signs = (record->flags & SG_KEY_FLAG_VERIFY_ONLY) != 0,
                                 .created_at = record->created_at,
                                 .sign_from = record->sign_from,
                                 .revoked_at = record->revoked_at,
                                 .verify_until = record->verify_until};
}

static signet_status load_new_key(struct sg_keymaster *keymaster,
                                  const struct sg_key_record *record, struct model_error error)
{
    struct sg_public_key *public_key = NULL;
    struct sg_key_error why = {{0}};
    enum sg_alg alg = (enum sg_alg)record->alg;
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info == NULL || (record->public_len == 0) != (info->family == SG_FAMILY_HMAC)) {
        return model_fail(error, SIGNET_INVALID_ARGUMENT,
                          "its algorithm and its public key do not go together");
    }
    if (record->public_len > 0) {
        signet_status status =
            sg_public_key_from_spki(alg, record->public_key, record->public_len, &public_key, &why);
        if (status != SIGNET_OK) {
            return model_fail(error, status, "its public key is not good: %s", why.message);
        }
    }
    struct sg_key_core *core =
        sg_key_core_new(keymaster->options.keyholder, alg, record->kid, public_key, 0);
    struct model_keyset *keyset = model_keyset(keymaster, record->keyset);
    if (core == NULL || keyset == NULL || !model_reserve_key(keyset)) {
        sg_key_core_unref(core);
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keys");
    }
    keyset->keys[keyset->num_keys++] = (struct model_key){
        .entry = {.core = core,
                  .times = load_times(record),
                  .imported = (record->flags & SG_KEY_FLAG_IMPORTED) != 0},
    };
    return SIGNET_OK;
}

/* A key that is known gets the times of its file, which may be ahead: a change whose answer was lost. */
static signet_status load_key(struct sg_keymaster *keymaster, const struct sg_key_record *record,
                              struct model_error error)
{
    const struct model_keyset *keyset = model_find(keymaster, record->keyset);
    struct model_key *known = keyset != NULL ? model_key(keyset, record->kid) : NULL;
    if (known == NULL) {
        return load_new_key(keymaster, record, error);
    }
    known->entry.times = load_times(record);
    return SIGNET_OK;
}

static signet_status load_damage(struct sg_keymaster *keymaster,
                                 const struct sg_keystore_entry *entry, const char *problem,
                                 struct model_error error)
{
    size_t size = (keymaster->num_damaged + 1) * sizeof(*keymaster->damaged);
    struct model_damage *list = realloc(keymaster->damaged, size);
    char *text = strdup(problem);
    if (list != NULL) {
        keymaster->damaged = list;
    }
    if (list == NULL || text == NULL) {
        free(text);
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keys");
    }
    const struct sg_key_record *hint = &entry->record;
    struct model_damage *damage = &list[keymaster->num_damaged++];
    *damage = (struct model_damage){
        .problem = text,
        .seq = hint->seq,
        .has_hint = entry->has_hint,
        .hint_harmless = hint->revoked_at != 0 || (hint->flags & SG_KEY_FLAG_VERIFY_ONLY) != 0,
        .hint_sign_from = hint->sign_from,
    };
    memcpy(damage->file, entry->file, sizeof(damage->file));
    memcpy(damage->keyset, hint->keyset, sizeof(damage->keyset));
    sg_log(SG_LOG_ERROR, "%s", problem);
    return SIGNET_OK;
}

static signet_status load_entry(struct sg_keymaster *keymaster, uint32_t index,
                                struct model_error error)
{
    keymaster->request->index = index;
    signet_status status = model_store(keymaster, SG_KEYSTORE_READ, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct sg_keystore_entry *entry = &keymaster->reply->entry;
    if (entry->fault != SG_KEYSTORE_FAULT_NONE) {
        return load_damage(keymaster, entry, entry->message, error);
    }
    status = load_key(keymaster, &entry->record, error);
    if (status == SIGNET_INVALID_ARGUMENT) {
        char problem[SG_KEYSTORE_MAX_MESSAGE];
        (void)snprintf(problem, sizeof(problem), "%s: %.400s", entry->file, error.text);
        return load_damage(keymaster, entry, problem, error);
    }
    return status;
}

/* ---- What a damaged file means ---- */

/* Whether the key in a file that cannot be read may be the one that is to sign now, when signer is the
 * one that would sign without it. What the file says without proof can only make this stricter, or say
 * that it does not sign at all. */
static bool load_may_sign(const struct model_damage *damage, const struct sg_key_times *signer,
                          int64_t now)
{
    if (damage->has_hint && (damage->hint_harmless || damage->hint_sign_from > now)) {
        return false;
    }
    if (damage->has_hint && damage->hint_sign_from > signer->sign_from) {
        return true;
    }
    return damage->seq > signer->seq;
}

static signet_status load_judge_damage(const struct sg_keymaster *keymaster,
                                       const struct model_damage *damage, int64_t now,
                                       struct model_error error)
{
    const struct model_keyset *keyset = model_find(keymaster, damage->keyset);
    struct sg_key_times *times = NULL;
    struct sg_key_span *spans = NULL;
    if (keyset == NULL || keyset->policy == NULL) {
        return SIGNET_OK;
    }
    if (!model_spans(keyset, &times, &spans)) {
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keys");
    }
    size_t signer = sg_rotation_signer(spans, keyset->num_keys, now);
    bool harmless = damage->has_hint && damage->hint_harmless;
    bool is_fatal =
        signer == keyset->num_keys ? !harmless : load_may_sign(damage, &times[signer], now);
    free(times);
    free(spans);
    if (!is_fatal) {
        return SIGNET_OK;
    }
    const char *dir = keymaster->config->state_dir;
    return model_fail(error, SIGNET_FAILED_PRECONDITION,
                      "keyset %s: %s/keys/%s cannot be used, and it may be the key that signs now; "
                      "bring it back (signet keystore restore), or, to go on without it for ever "
                      "(its tokens will be refused): mv %s/keys/%s %s/",
                      damage->keyset, dir, damage->file, dir, damage->file, dir);
}

/* ---- All of it ---- */

static void load_forget_damage(struct sg_keymaster *keymaster)
{
    for (size_t i = 0; i < keymaster->num_damaged; i++) {
        free(keymaster->damaged[i].problem);
    }
    keymaster->num_damaged = 0;
}

static signet_status load_files(struct sg_keymaster *keymaster, size_t *num_keys,
                                struct model_error error)
{
    load_forget_damage(keymaster);
    struct sg_keystore_request *request = keymaster->request;
    const struct sg_config *config = keymaster->config;
    (void)snprintf(request->dir, sizeof(request->dir), "%s", config->state_dir);
    (void)snprintf(request->source, sizeof(request->source), "%s", config->keystore_key);
    request->passphrase_fd = keymaster->options.passphrase_fd;
    signet_status status = model_store(keymaster, SG_KEYSTORE_OPEN, error);
    if (status != SIGNET_OK) {
        return status;
    }
    uint32_t num = keymaster->reply->num_entries;
    if (keymaster->reply->is_rekeying) {
        sg_log(SG_LOG_WARNING,
               "a change of the key-encryption key was begun and not ended; both the "
               "old and the new open the keystore: signet keystore rekey --finish");
    }
    for (uint32_t i = 0; status == SIGNET_OK && i < num; i++) {
        status = load_entry(keymaster, i, error);
    }
    *num_keys = num;
    return status;
}

signet_status model_load(struct sg_keymaster *keymaster, int64_t now, struct model_error error)
{
    size_t num_keys = 0;
    signet_status status = load_files(keymaster, &num_keys, error);
    if (status == SIGNET_OK && !model_configure(keymaster, keymaster->config)) {
        status = model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keysets");
    }
    for (size_t i = 0; status == SIGNET_OK && i < keymaster->num_damaged; i++) {
        status = load_judge_damage(keymaster, &keymaster->damaged[i], now, error);
    }
    if (status == SIGNET_OK) {
        /* After the keystore's lock: from here on there is no other daemon with this state. */
        status =
            sg_store_open(keymaster->config->state_dir, &keymaster->store, error.text, error.cap);
    }
    if (status == SIGNET_OK) {
        status = model_recall(keymaster, num_keys, now, error);
    }
    return status;
}

/* ---- Another keyholder ---- */

/* Keys that ended with their process: public ones still verify, as long as their last token lives; secrets
 * are gone, and their tokens with them. */
static void load_lose_keys(struct model_keyset *keyset)
{
    size_t num_kept = 0;
    for (size_t i = 0; i < keyset->num_keys; i++) {
        struct model_key *key = &keyset->keys[i];
        struct sg_key_core *core = key->entry.core;
        if (core->public_key == NULL || sg_key_core_last_expiry(core) == 0) {
            sg_key_core_unref(core); /* no token that could still be verified */
            continue;
        }
        if (!key->entry.times.never_signs) {
            key->entry.times.never_signs = true;
            key->entry.times.verify_until =
                model_after(sg_key_core_last_expiry(core), SG_MAX_LEEWAY_S + 1);
        }
        keyset->keys[num_kept++] = *key;
    }
    keyset->num_keys = num_kept;
    keyset->due_at = 0;
}

signet_status model_revive(struct sg_keymaster *keymaster, struct model_error error)
{
    size_t num_keys = 0;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        struct model_keyset *keyset = keymaster->keysets[i];
        for (size_t k = 0; k < keyset->num_keys; k++) {
            sg_key_core_forget_slot(keyset->keys[k].entry.core);
        }
        if (model_is_ephemeral(keymaster)) {
            load_lose_keys(keyset);
        }
    }
    return model_is_ephemeral(keymaster) ? SIGNET_OK : load_files(keymaster, &num_keys, error);
}
