/* SPDX-License-Identifier: Apache-2.0
 *
 * What a keystore is made of, for server/keyholder/keystore*.c only.
 */
#ifndef SG_KEYSTORE_PARTS_H
#define SG_KEYSTORE_PARTS_H

#include "server/keyholder/keystore.h"
#include "server/keyholder/keystore_dir.h"

/* One file of the keystore. */
struct keystore_item {
    char file[sizeof(((struct sg_keystore_entry *)0)->file)];
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1]; /* from the name of the file, like seq */
    uint32_t seq;
    uint32_t fault;  /* enum sg_keystore_fault */
    uint32_t key_id; /* of the file key */
    bool has_hint;
    struct sg_key_record
        *record;   /* only as long as its public key; NULL with a fault without hint */
    char *message; /* with a fault */
};

struct sg_keystore {
    struct sg_keystore_dir dir;
    char source[SG_KEYSTORE_MAX_PATH];
    bool is_reader;
    bool is_short; /* there was no memory for all of the items */
    struct sg_keystore_header header;
    uint32_t opened; /* the wrap that our key-encryption key opens */
    /* Of sg_secret_alloc: */
    uint8_t *keys;    /* the file keys, in the order of header.key_ids */
    uint8_t *kek;     /* of the wrap that was opened */
    uint8_t *new_kek; /* of the newest wrap, if it is another and is known; NULL */
    uint8_t *room;    /* for one private part */
    uint8_t *file;    /* SG_KEYSTORE_MAX_FILE bytes, in ordinary memory: nothing secret is in it */
    struct keystore_item *items; /* in the order of keyset and seq */
    size_t num, cap;
};

#define KEYSTORE_KEYS_LEN ((size_t)SG_KEYSTORE_MAX_KEYS * SG_KEYSTORE_KEY_LEN)

signet_status keystore_no_memory(struct sg_kek_message message);

/* A file key; NULL if there is none of this id. */
const uint8_t *keystore_key(const struct sg_keystore *store, uint32_t id);
/* The id of the one that new files are sealed under. */
uint32_t keystore_newest_id(const struct sg_keystore *store);

/* Room for one more item, zeroed, at the end; NULL without memory. Not counted yet. */
struct keystore_item *keystore_reserve(struct sg_keystore *store);
void keystore_item_fini(struct keystore_item *item);
/* The order of keyset and seq, for qsort. */
int keystore_compare(const void *a, const void *b);
/* The first item of a keyset, or where it would be. */
size_t keystore_first_of(const struct sg_keystore *store, const char *keyset);
/* Only as long as its public key; free() it. NULL without memory. */
struct sg_key_record *keystore_copy_record(const struct sg_key_record *record);

/* keystore_unseal opens what was parsed, into store->room, which is to be wiped. On failure *why is static
 * text. */
signet_status keystore_unseal(struct sg_keystore *store, const struct keystore_item *item,
                              const struct sg_keystore_file *file,
                              const char **why) SIGNET_MUST_CHECK;
/* keystore_reopen reads and opens the file of an item again, likewise. */
signet_status keystore_reopen(struct sg_keystore *store, const struct keystore_item *item,
                              struct sg_keystore_file *file,
                              struct sg_kek_message message) SIGNET_MUST_CHECK;
/* keystore_write_key writes a key's file, sealed under the newest file key. */
signet_status keystore_write_key(struct sg_keystore *store, const char *name,
                                 const struct sg_key_record *record, const uint8_t *private_part,
                                 size_t private_len, bool may_replace,
                                 struct sg_kek_message message) SIGNET_MUST_CHECK;

/* keystore_write_header writes it, with a tag over all of it under newest, the newest of its file keys. */
signet_status keystore_write_header(struct sg_keystore *store,
                                    const struct sg_keystore_header *header, const uint8_t *newest,
                                    bool may_replace,
                                    struct sg_kek_message message) SIGNET_MUST_CHECK;
/* keystore_try tries material on one wrap, and fills kek and keys. INVALID_ARGUMENT: it is not the one. */
signet_status keystore_try(struct sg_keystore *store, uint32_t index,
                           const struct sg_kek_material *material, uint8_t *kek,
                           uint8_t *keys) SIGNET_MUST_CHECK;

#endif
