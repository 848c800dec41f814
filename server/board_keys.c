/* SPDX-License-Identifier: Apache-2.0
 *
 * First how long all of it is, then all of it into memory of that length.
 */
#include "server/board_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_PLACES_PER_KEY 2u /* of the index, which is half full */

static uint64_t keys_round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* ---- Lengths ---- */

/* The name of what is too long; NULL: nothing is. */
static const char *key_what_is_too_long(const struct sg_board_key *key)
{
    const struct {
        const char *name;
        size_t len, max;
    } parts[] = {{"keyset", key->keyset.len, SG_MAX_KEYSET_NAME_LEN},
                 {"issuer", key->issuer.len, SG_MAX_ISSUER_LEN},
                 {"typ", key->typ.len, SG_MAX_TYP_LEN},
                 {"kid", key->kid.len, SG_MAX_KID_LEN},
                 {"public key", key->public_key.len, SG_MAX_BOARD_PUBLIC_KEY},
                 {"list of audiences", key->num_audiences, SG_MAX_AUDIENCES}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].len > parts[i].max) {
            return parts[i].name;
        }
    }
    for (size_t i = 0; i < key->num_audiences; i++) {
        if (key->audiences[i].len > SG_MAX_AUDIENCE_LEN) {
            return "audience";
        }
    }
    return NULL;
}

static size_t key_text_len(const struct sg_board_key *key)
{
    size_t len =
        key->keyset.len + key->issuer.len + key->typ.len + key->kid.len + key->public_key.len;
    for (size_t i = 0; i < key->num_audiences; i++) {
        len += 1 + key->audiences[i].len;
    }
    return len;
}

static signet_status keys_measure(const struct sg_board_key *keys, size_t num,
                                  struct sg_board_keys *out, char *error, size_t error_cap)
{
    uint64_t text_len = 0;
    if (num > SG_MAX_BOARD_KEYS) {
        (void)snprintf(error, error_cap, "%zu keys are more than the trust board holds, %u", num,
                       SG_MAX_BOARD_KEYS);
        return SIGNET_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < num; i++) {
        const char *what = key_what_is_too_long(&keys[i]);
        if (what != NULL) {
            (void)snprintf(error, error_cap, "key %zu: its %s is too long for the trust board", i,
                           what);
            return SIGNET_INVALID_ARGUMENT;
        }
        text_len += key_text_len(&keys[i]);
    }
    if (text_len > UINT32_MAX) {
        (void)snprintf(error, error_cap, "%zu keys are longer than the trust board holds", num);
        return SIGNET_INVALID_ARGUMENT;
    }
    out->keys =
        (struct sg_board_section){SG_BOARD_HEADER_LEN, num * sizeof(struct sg_board_record)};
    out->index =
        (struct sg_board_section){keys_round_up(out->keys.offset + out->keys.len, SG_BOARD_ALIGN),
                                  KEYS_PLACES_PER_KEY * num * sizeof(uint64_t)};
    out->text = (struct sg_board_section){
        keys_round_up(out->index.offset + out->index.len, SG_BOARD_ALIGN), text_len};
    out->len = keys_round_up(out->text.offset + out->text.len - SG_BOARD_HEADER_LEN, SG_BOARD_PAGE);
    return SIGNET_OK;
}

/* ---- Bytes ---- */

static struct sg_board_run text_put(uint8_t *text, uint32_t *at, const struct sg_board_text *from)
{
    const struct sg_board_run run = {*at, (uint32_t)from->len};
    if (from->len > 0) {
        memcpy(text + *at, from->bytes, from->len);
    }
    *at += run.len;
    return run;
}

static struct sg_board_run text_put_audiences(uint8_t *text, uint32_t *at,
                                              const struct sg_board_key *key)
{
    _Static_assert(SG_MAX_AUDIENCE_LEN <= UINT8_MAX, "its length is one byte");
    struct sg_board_run run = {*at, 0};
    for (size_t i = 0; i < key->num_audiences; i++) {
        text[(*at)++] = (uint8_t)key->audiences[i].len;
        (void)text_put(text, at, &key->audiences[i]);
    }
    run.len = *at - run.offset;
    return run;
}

static struct sg_board_record record_make(uint8_t *text, uint32_t *at,
                                          const struct sg_board_key *key)
{
    return (struct sg_board_record){.verify_from = key->verify_from,
                                    .verify_until = key->verify_until,
                                    .revoked_at = key->revoked_at,
                                    .alg = key->alg,
                                    .flags = key->flags,
                                    .keyset = text_put(text, at, &key->keyset),
                                    .issuer = text_put(text, at, &key->issuer),
                                    .typ = text_put(text, at, &key->typ),
                                    .kid = text_put(text, at, &key->kid),
                                    .public_key = text_put(text, at, &key->public_key),
                                    .audiences = text_put_audiences(text, at, key)};
}

static void index_put(uint64_t *index, uint64_t num_places, uint64_t hash, uint64_t number)
{
    uint64_t at = sg_board_place(hash, num_places);
    while (index[at] != 0) {
        at = at + 1 < num_places ? at + 1 : 0;
    }
    index[at] = (hash & SG_BOARD_INDEX_TAG) | (number + 1);
}

static void keys_write(const struct sg_board_key *keys, size_t num, uint64_t seed,
                       const struct sg_board_keys *out)
{
    uint8_t *start = out->bytes - SG_BOARD_HEADER_LEN;
    struct sg_board_record *records = (void *)(start + out->keys.offset);
    uint64_t *index = (void *)(start + out->index.offset);
    uint8_t *text = start + out->text.offset;
    uint32_t at = 0;
    for (size_t i = 0; i < num; i++) {
        records[i] = record_make(text, &at, &keys[i]);
        index_put(index, KEYS_PLACES_PER_KEY * num,
                  sg_board_kid_hash(seed, keys[i].kid.bytes, keys[i].kid.len), i);
    }
}

signet_status sg_board_keys_build(const struct sg_board_key *keys, size_t num, uint64_t seed,
                                  struct sg_board_keys *out, char *error, size_t error_cap)
{
    struct sg_board_keys made = {0};
    signet_status status = keys_measure(keys, num, &made, error, error_cap);
    if (status != SIGNET_OK) {
        return status;
    }
    made.bytes = calloc(1, made.len > 0 ? made.len : 1);
    if (made.bytes == NULL) {
        (void)snprintf(error, error_cap, "no memory for the keys of the trust board");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    keys_write(keys, num, seed, &made);
    *out = made;
    return SIGNET_OK;
}

void sg_board_keys_fini(struct sg_board_keys *keys)
{
    free(keys->bytes);
    *keys = (struct sg_board_keys){0};
}
