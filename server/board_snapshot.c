/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a snapshot, as the trust board has them.
 */
#include "server/board_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/board_writer.h"
#include "server/keyring.h"
#include "server/trust.h"

struct snapshot_list {
    struct sg_board_key *keys;
    size_t num;
};

static struct sg_board_text snapshot_text(const char *text)
{
    return (struct sg_board_text){.bytes = text, .len = strlen(text)};
}

static void snapshot_add(struct snapshot_list *list, const struct sg_key *key)
{
    const struct sg_keyset *keyset = key->keyset;
    struct sg_board_key *out = &list->keys[list->num++];
    *out = (struct sg_board_key){
        .keyset = snapshot_text(keyset->name),
        .issuer = snapshot_text(keyset->issuer),
        .typ = snapshot_text(keyset->typ),
        .kid = {.bytes = key->kid, .len = key->kid_len},
        .alg = (uint32_t)key->alg,
        .flags = keyset->foreign != NULL ? SG_BOARD_FOREIGN : 0,
        /* One that is to sign later is accepted already: another host's clock may be ahead. */
        .verify_from = INT64_MIN,
        .verify_until = sg_key_verify_until(key),
        .revoked_at = key->span.revoked ? key->times.revoked_at : 0,
    };
    if (key->public_key != NULL) {
        size_t len = 0;
        out->public_key.bytes = (const char *)sg_public_key_spki(key->public_key, &len);
        out->public_key.len = len;
    }
    if (keyset->foreign != NULL) {
        out->num_audiences = keyset->foreign->num_audiences;
        for (size_t i = 0; i < out->num_audiences; i++) {
            out->audiences[i] = snapshot_text(keyset->foreign->audiences[i]);
        }
    }
}

/* In the order in which they are tried for a token that names none (server/verify.c): imported ones, then the newest. */
static void snapshot_add_keyset(struct snapshot_list *list, const struct sg_keyset *keyset)
{
    for (int imported = 1; imported >= 0; imported--) {
        for (size_t i = keyset->num_keys; i > 0; i--) {
            if (keyset->keys[i - 1].imported == (imported != 0)) {
                snapshot_add(list, &keyset->keys[i - 1]);
            }
        }
    }
}

/* Ours first. NULL past the end. */
static const struct sg_keyset *snapshot_keyset(const struct sg_keyring *keyring, size_t index)
{
    size_t num_ours = sg_keyring_num_keysets(keyring);
    return index < num_ours ? sg_keyring_keyset_at(keyring, index)
                            : sg_keyring_foreign_at(keyring, index - num_ours);
}

static size_t snapshot_count(const struct sg_keyring *keyring)
{
    size_t num = 0;
    const struct sg_keyset *keyset = NULL;
    for (size_t i = 0; (keyset = snapshot_keyset(keyring, i)) != NULL; i++) {
        num += keyset->num_keys;
    }
    return num;
}

signet_status sg_board_snapshot_publish(struct sg_board_writer *writer,
                                        const struct sg_keyring *keyring, int64_t now, char *error,
                                        size_t error_cap)
{
    struct snapshot_list list = {0};
    list.keys = calloc(snapshot_count(keyring) + 1, sizeof(*list.keys));
    if (list.keys == NULL) {
        (void)snprintf(error, error_cap, "no memory for the keys of the trust board");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    const struct sg_keyset *keyset = NULL;
    for (size_t i = 0; (keyset = snapshot_keyset(keyring, i)) != NULL; i++) {
        if (!keyset->is_internal) {
            snapshot_add_keyset(&list, keyset);
        }
    }
    signet_status status =
        sg_board_writer_publish(writer, list.keys, list.num, now, error, error_cap);
    free(list.keys);
    return status;
}
