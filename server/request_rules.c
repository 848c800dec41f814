/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules for fields of requests. Messages name the field and what was expected, never the value.
 */
#include "server/request_rules.h"

#include <string.h>

#include "server/config.h"
#include "server/keyring.h"
#include "server/wire_text.h"

signet_status sg_rule_text(const char *field, const char *text, size_t max_len, const char *reason,
                           struct sg_rpc_status *error)
{
    size_t len = strlen(text);
    if (len < 1 || len > max_len || !sg_wire_text_is_good(text)) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, reason,
                           "%s: expected 1 to %zu bytes of UTF-8 without U+0000", field, max_len);
    }
    return SIGNET_OK;
}

signet_status sg_rule_texts(const char *field, const char *const *texts, size_t num, size_t max_num,
                            size_t max_len, const char *reason, struct sg_rpc_status *error)
{
    if (num > max_num) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, reason,
                           "%s: expected at most %zu values", field, max_num);
    }
    for (size_t i = 0; i < num; i++) {
        signet_status status = sg_rule_text(field, texts[i], max_len, reason, error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    return SIGNET_OK;
}

signet_status sg_rule_typ(const char *typ, struct sg_rpc_status *error)
{
    if (!sg_config_is_typ(typ)) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "TYP_INVALID",
                           "typ: expected 1 to %u bytes of [A-Za-z0-9!#$&^_.+-/]", SG_MAX_TYP_LEN);
    }
    return SIGNET_OK;
}

signet_status sg_rule_keyset_name(const char *name, struct sg_rpc_status *error)
{
    if (!sg_config_is_name(name)) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "KEYSET_INVALID",
                           "keyset: expected 1 to %u bytes of [a-z0-9._-]", SG_MAX_KEYSET_NAME_LEN);
    }
    return SIGNET_OK;
}

signet_status sg_rule_keyset(const struct sg_keyring *keyring, const char *name,
                             const struct sg_keyset **out, struct sg_rpc_status *error)
{
    signet_status status = sg_rule_keyset_name(name, error);
    if (status != SIGNET_OK) {
        return status;
    }
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, name);
    if (keyset == NULL) {
        return sg_rpc_fail(error, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN",
                           "keyset: there is none of this name");
    }
    *out = keyset;
    return SIGNET_OK;
}

signet_status sg_rule_batch(size_t num, struct sg_rpc_status *error)
{
    if (num < 1 || num > SG_MAX_BATCH) {
        return sg_rpc_fail(error, SIGNET_INVALID_ARGUMENT, "BATCH_SIZE",
                           "requests: expected 1 to %u of them", SG_MAX_BATCH);
    }
    return SIGNET_OK;
}
