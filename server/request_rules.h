/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules for fields of requests, as the contract's comments state them, that more than one method
 * has. Each returns SIGNET_OK, or fills *error and returns its code.
 */
#ifndef SG_REQUEST_RULES_H
#define SG_REQUEST_RULES_H

#include <stddef.h>

#include "common/rpc.h"

struct sg_keyring;
struct sg_keyset;

/* 1 to max_len bytes of UTF-8 without U+0000. */
signet_status sg_rule_text(const char *field, const char *text, size_t max_len, const char *reason,
                           struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* At most max_num of such texts. */
signet_status sg_rule_texts(const char *field, const char *const *texts, size_t num, size_t max_num,
                            size_t max_len, const char *reason,
                            struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* 1 to 64 bytes of [A-Za-z0-9!#$&^_.+-/]. */
signet_status sg_rule_typ(const char *typ, struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* 1 to 64 bytes of [a-z0-9._-], whether there is such a keyset or not. */
signet_status sg_rule_keyset_name(const char *name, struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* The keyset of a name of 1 to 64 bytes of [a-z0-9._-]. NOT_FOUND if there is none. */
signet_status sg_rule_keyset(const struct sg_keyring *keyring, const char *name,
                             const struct sg_keyset **out,
                             struct sg_rpc_status *error) SIGNET_MUST_CHECK;

/* 1 to SG_MAX_BATCH. */
signet_status sg_rule_batch(size_t num, struct sg_rpc_status *error) SIGNET_MUST_CHECK;

#endif
