/* SPDX-License-Identifier: Apache-2.0
 *
 * The keymaster's life: start, what is due every second, another configuration, end. Its other rooms are in
 * keymaster_*.c: what it knows (model), its start (load), snapshots, listing, operators' changes, expiries.
 */
#include "server/keymaster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/keymaster_model.h"
#include "server/log.h"
#include "server/policy.h"

/* After a failure, such as a full disk. */
#define KEYMASTER_RETRY_S 5

/* ---- Foreign issuers ---- */

static void keymaster_complain(void *context, bool is_error, const char *line)
{
    (void)context;
    sg_log(is_error ? SG_LOG_ERROR : SG_LOG_INFO, "%s", line);
}

static bool keymaster_read_trust(struct sg_trust *trust, const struct sg_config *config)
{
    const char **names = calloc(2 * config->num_keysets + 1, sizeof(*names));
    if (names == NULL) {
        return false; /* as it was, until the next look */
    }
    const char **issuers = names + config->num_keysets;
    for (size_t i = 0; i < config->num_keysets; i++) {
        names[i] = config->keysets[i].name;
        issuers[i] = config->keysets[i].issuer;
    }
    const struct sg_trust_local local = {
        .keysets = names, .issuers = issuers, .num = config->num_keysets};
    bool changed = sg_trust_read(trust, &local, keymaster_complain, NULL);
    free(names);
    return changed;
}

/* ---- What is due ---- */

/* Said once, not every second. */
static void keymaster_note(struct sg_keymaster *keymaster, signet_status status, const char *error,
                           int64_t now)
{
    if (status == SIGNET_OK) {
        if (keymaster->fault[0] != '\0') {
            sg_log(SG_LOG_INFO, "changes of keys work again");
            keymaster->fault[0] = '\0';
        }
        keymaster->retry_at = 0;
        return;
    }
    if (strcmp(keymaster->fault, error) != 0) {
        sg_log(SG_LOG_ERROR, "%s; the keys stay as they are, and it is tried again", error);
        (void)snprintf(keymaster->fault, sizeof(keymaster->fault), "%s", error);
    }
    keymaster->retry_at = now + KEYMASTER_RETRY_S;
}

enum keymaster_extent {
    KEYMASTER_DUE = 1, /* keysets that are due */
    KEYMASTER_ALL,     /* every keyset; what fails for one is no matter of the others */
    KEYMASTER_WHOLE    /* every keyset, or none */
};

/* Plans configured keysets, and commits. */
static signet_status keymaster_settle(struct sg_keymaster *keymaster, int64_t now,
                                      enum keymaster_extent extent, struct model_error error)
{
    signet_status result = SIGNET_OK;
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        struct model_keyset *keyset = keymaster->keysets[i];
        if (keyset->policy != NULL && (extent != KEYMASTER_DUE || keyset->due_at <= now)) {
            char why[SG_KEYSTORE_MAX_MESSAGE] = "";
            struct model_error inner = {.text = why, .cap = sizeof(why)};
            signet_status status = model_plan(keymaster, keyset, now, inner);
            if (status != SIGNET_OK) {
                result = model_fail(error, status, "keyset %s: %s", keyset->name, why);
            }
        }
    }
    if (result != SIGNET_OK && extent == KEYMASTER_WHOLE) {
        model_drop_pending(keymaster);
        return result;
    }
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    signet_status status = model_commit(keymaster, now, extent == KEYMASTER_WHOLE, inner);
    return status == SIGNET_OK ? result : model_fail(error, status, "%s", why);
}

static bool keymaster_is_due(const struct sg_keymaster *keymaster, int64_t now)
{
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        if (keymaster->keysets[i]->policy != NULL && keymaster->keysets[i]->due_at <= now) {
            return true;
        }
    }
    return false;
}

void sg_keymaster_on_snapshot(struct sg_keymaster *keymaster,
                              void (*show)(void *context, struct sg_keyring *keyring),
                              void *context)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    keymaster->show = show;
    keymaster->show_context = context;
    struct sg_keyring *keyring = sg_keyring_holder_get(&keymaster->keyrings);
    if (show != NULL && keyring != NULL) {
        show(context, keyring);
    }
    sg_keyring_unref(keyring);
    (void)pthread_mutex_unlock(&keymaster->mutex);
}

void sg_keymaster_tick(struct sg_keymaster *keymaster)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error error = {.text = why, .cap = sizeof(why)};
    (void)pthread_mutex_lock(&keymaster->mutex);
    int64_t now = model_now(keymaster);
    bool went_back = now < keymaster->last_tick;
    bool again = keymaster->retry_at != 0 && now >= keymaster->retry_at;
    bool trust = keymaster_read_trust(keymaster->trust, keymaster->config);
    if (went_back) {
        (void)model_remember(keymaster, now); /* before anything is planned anew */
    }
    if (trust || went_back || again ||
        (keymaster->retry_at == 0 && keymaster_is_due(keymaster, now))) {
        enum keymaster_extent extent = went_back || again ? KEYMASTER_ALL : KEYMASTER_DUE;
        keymaster_note(keymaster, keymaster_settle(keymaster, now, extent, error), why, now);
    } else if (keymaster->retry_at == 0) {
        signet_status status = model_refresh(keymaster, now, error);
        if (status != SIGNET_OK) {
            keymaster_note(keymaster, status, why, now);
        }
    }
    (void)model_remember(keymaster, now); /* what was not written is tried again */
    keymaster->last_tick = now;
    (void)pthread_mutex_unlock(&keymaster->mutex);
}

/* ---- Another keyholder ---- */

static signet_status keymaster_may_revive(const struct sg_keymaster *keymaster,
                                          struct model_error error)
{
    /* It was read once, by a process that is no more; nobody else has seen it. */
    if (!model_is_ephemeral(keymaster) &&
        strncmp(keymaster->config->keystore_key, "passphrase:", strlen("passphrase:")) == 0) {
        return model_fail(
            error, SIGNET_FAILED_PRECONDITION,
            "the keystore's passphrase is asked for at a start only: restart signetd; "
            "until then nothing is signed, and no token with an HMAC is checked");
    }
    return SIGNET_OK;
}

signet_status sg_keymaster_revive(struct sg_keymaster *keymaster,
                                  signet_status (*restart)(void *context, char *error,
                                                           size_t error_cap),
                                  void *context, char *error, size_t error_cap)
{
    char why[SG_KEYSTORE_MAX_MESSAGE] = "";
    struct model_error inner = {.text = why, .cap = sizeof(why)};
    struct model_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&keymaster->mutex);
    signet_status status = keymaster_may_revive(keymaster, message);
    if (status == SIGNET_OK) {
        status = restart(context, error, error_cap);
    }
    if (status == SIGNET_OK) {
        status = model_revive(keymaster, message);
    }
    if (status == SIGNET_OK) {
        int64_t now = model_now(keymaster);
        keymaster_note(keymaster, keymaster_settle(keymaster, now, KEYMASTER_ALL, inner), why, now);
    }
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

/* ---- Another configuration ---- */

static bool keymaster_same_trust(const struct sg_config *a, const struct sg_config *b)
{
    return strcmp(a->trust_dir, b->trust_dir) == 0;
}

static void keymaster_release_keyset(struct model_keyset *keyset)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        sg_key_core_unref(keyset->keys[i].entry.core);
    }
    free(keyset->keys);
    free(keyset);
}

static signet_status keymaster_put_in_force(struct sg_keymaster *keymaster,
                                            const struct sg_config *config, struct sg_trust *trust,
                                            int64_t now, struct model_error error)
{
    const struct sg_config *old = keymaster->config;
    struct sg_trust *old_trust = keymaster->trust;
    struct sg_policy *old_policy = keymaster->policy;
    struct sg_policy *policy = NULL;
    if (sg_policy_new(config->grants, config->num_grants, &policy) != SIGNET_OK) {
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the grants");
    }
    if (!model_configure(keymaster, config)) {
        sg_policy_unref(policy);
        return model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keysets");
    }
    keymaster->trust = trust;
    keymaster->policy = policy;
    (void)keymaster_read_trust(trust, config);
    signet_status status = keymaster_settle(keymaster, now, KEYMASTER_WHOLE, error);
    if (status == SIGNET_OK) {
        sg_policy_unref(old_policy);
        return SIGNET_OK;
    }
    sg_policy_unref(policy);
    keymaster->policy = old_policy;
    /* Cannot fail: every keyset of the old configuration is there. What was made for the new one stays
     * in the keystore, of a keyset that is not configured. */
    bool restored = model_configure(keymaster, old);
    keymaster->trust = old_trust;
    (void)keymaster_read_trust(old_trust, old);
    char unused[SG_KEYSTORE_MAX_MESSAGE];
    struct model_error other = {.text = unused, .cap = sizeof(unused)};
    if (!restored || keymaster_settle(keymaster, now, KEYMASTER_ALL, other) != SIGNET_OK) {
        keymaster->retry_at = now; /* the last snapshot that there was is in force */
    }
    return status;
}

signet_status sg_keymaster_reload(struct sg_keymaster *keymaster, const struct sg_config *config,
                                  char *error, size_t error_cap)
{
    struct model_error message = {.cap = error_cap};
    message.text = error;
    (void)pthread_mutex_lock(&keymaster->mutex);
    int64_t now = model_now(keymaster);
    struct sg_trust *trust = keymaster->trust;
    signet_status status = SIGNET_OK;
    if (!keymaster_same_trust(keymaster->config, config)) {
        status = sg_trust_new(config->trust_dir, &trust);
        if (status != SIGNET_OK) {
            (void)model_fail(message, status, "no memory for %s", config->trust_dir);
        }
    }
    if (status == SIGNET_OK) {
        struct sg_trust *old = keymaster->trust;
        status = keymaster_put_in_force(keymaster, config, trust, now, message);
        if (trust != old) {
            sg_trust_free(status == SIGNET_OK ? old : trust);
        }
    }
    (void)pthread_mutex_unlock(&keymaster->mutex);
    return status;
}

void sg_keymaster_visit_faults(struct sg_keymaster *keymaster,
                               void (*visit)(void *context, const char *line), void *context)
{
    (void)pthread_mutex_lock(&keymaster->mutex);
    sg_trust_visit_faults(keymaster->trust, visit, context);
    (void)pthread_mutex_unlock(&keymaster->mutex);
}

struct sg_store *sg_keymaster_store(struct sg_keymaster *keymaster)
{
    return keymaster->store;
}

/* ---- Frozen grants ---- */

/* Requests come here: without the mutex, which a change of keys may hold for long. */
signet_status sg_keymaster_freeze(struct sg_keymaster *keymaster, const char *grant, int64_t since,
                                  char *error, size_t error_cap)
{
    return keymaster->store == NULL
               ? SIGNET_OK
               : sg_store_freeze(keymaster->store, grant, since, error, error_cap);
}

signet_status sg_keymaster_thaw(struct sg_keymaster *keymaster, const char *grant, char *error,
                                size_t error_cap)
{
    return keymaster->store == NULL ? SIGNET_OK
                                    : sg_store_thaw(keymaster->store, grant, error, error_cap);
}

signet_status sg_keymaster_visit_frozen(struct sg_keymaster *keymaster,
                                        void (*visit)(void *context, const char *grant,
                                                      int64_t since),
                                        void *context, char *error, size_t error_cap)
{
    return keymaster->store == NULL
               ? SIGNET_OK
               : sg_store_read_frozen(keymaster->store, visit, context, error, error_cap);
}

/* ---- Life ---- */

struct sg_keyring_holder *sg_keymaster_keyrings(struct sg_keymaster *keymaster)
{
    return &keymaster->keyrings;
}

static signet_status keymaster_read_keys(struct sg_keymaster *keymaster, int64_t now,
                                         struct model_error error)
{
    signet_status status = SIGNET_OK;
    if (model_is_ephemeral(keymaster)) {
        if (!model_configure(keymaster, keymaster->config)) {
            status = model_fail(error, SIGNET_RESOURCE_EXHAUSTED, "no memory for the keysets");
        }
    } else {
        status = model_load(keymaster, now, error);
    }
    return status;
}

/* Whether every keyset has a key that signs. */
static bool keymaster_can_sign(struct sg_keymaster *keymaster, int64_t now)
{
    struct sg_keyring *keyring = sg_keyring_holder_get(&keymaster->keyrings);
    bool can = keyring != NULL;
    for (size_t i = 0; can && i < sg_keyring_num_keysets(keyring); i++) {
        can = sg_keyset_signing_key(sg_keyring_keyset_at(keyring, i), now) != NULL;
    }
    sg_keyring_unref(keyring);
    return can;
}

/* A change that is due and cannot be made, such as a rotation on a full disk, is no reason to stand
 * still: while every keyset can sign, the start goes on, and the change is tried again. */
static signet_status keymaster_start(struct sg_keymaster *keymaster, struct model_error error)
{
    int64_t now = model_now(keymaster);
    signet_status status = keymaster_read_keys(keymaster, now, error);
    if (status != SIGNET_OK) {
        return status;
    }
    (void)keymaster_read_trust(keymaster->trust, keymaster->config);
    keymaster->last_tick = now;
    status = keymaster_settle(keymaster, now, KEYMASTER_ALL, error);
    if (!keymaster_can_sign(keymaster, now)) {
        return status != SIGNET_OK
                   ? status
                   : model_fail(error, SIGNET_FAILED_PRECONDITION, "%s", keymaster->absent);
    }
    if (status != SIGNET_OK) {
        keymaster_note(keymaster, status, error.text, now);
    }
    return SIGNET_OK;
}

signet_status sg_keymaster_new(const struct sg_keymaster_options *options,
                               struct sg_keymaster **out, char *error, size_t error_cap)
{
    struct model_error message = {.cap = error_cap};
    message.text = error;
    struct sg_keymaster *keymaster = calloc(1, sizeof(*keymaster));
    if (keymaster == NULL) {
        return model_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory");
    }
    keymaster->options = *options;
    keymaster->config = options->config;
    /* Cannot fail on Linux with default attributes. */
    (void)pthread_mutex_init(&keymaster->mutex, NULL);
    sg_keyring_holder_init(&keymaster->keyrings);
    keymaster->request = calloc(1, sizeof(*keymaster->request));
    keymaster->reply = calloc(1, sizeof(*keymaster->reply));
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (keymaster->request != NULL && keymaster->reply != NULL) {
        status = sg_trust_new(options->config->trust_dir, &keymaster->trust);
    }
    if (status == SIGNET_OK) {
        status =
            sg_policy_new(options->config->grants, options->config->num_grants, &keymaster->policy);
    }
    if (status == SIGNET_OK) {
        status = keymaster_start(keymaster, message);
    } else {
        (void)model_fail(message, status, "no memory");
    }
    if (status != SIGNET_OK) {
        sg_store_close(keymaster->store);
        keymaster->store = NULL;
        sg_keymaster_free(keymaster);
        return status;
    }
    *out = keymaster;
    return SIGNET_OK;
}

/* What was not written is not said to have been. */
static void keymaster_end(struct sg_keymaster *keymaster)
{
    char error[SG_KEYSTORE_MAX_MESSAGE] = "";
    if (!model_remember(keymaster, model_now(keymaster))) {
        sg_store_close(keymaster->store);
    } else if (sg_store_stop(keymaster->store, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_WARNING, "%s; old keys will be kept longer than needed", error);
    }
}

void sg_keymaster_free(struct sg_keymaster *keymaster)
{
    if (keymaster == NULL) {
        return;
    }
    keymaster_end(keymaster);
    sg_keyring_holder_fini(&keymaster->keyrings);
    for (size_t i = 0; i < keymaster->num_keysets; i++) {
        keymaster_release_keyset(keymaster->keysets[i]);
    }
    for (size_t i = 0; i < keymaster->num_damaged; i++) {
        free(keymaster->damaged[i].problem);
    }
    free(keymaster->keysets);
    free(keymaster->damaged);
    free(keymaster->published);
    free(keymaster->request);
    free(keymaster->reply);
    sg_trust_free(keymaster->trust);
    sg_policy_unref(keymaster->policy);
    (void)pthread_mutex_destroy(&keymaster->mutex);
    free(keymaster);
}
