/* SPDX-License-Identifier: Apache-2.0
 *
 * A keystore of one's own in a temporary directory, and ways to look at it and to spoil it.
 */
#ifndef SG_TEST_KEYSTORE_FIXTURE_H
#define SG_TEST_KEYSTORE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/keyholder/keystore.h"

struct store_fixture {
    char dir[96];
    char state[128]; /* the state directory; the keystore is in state/keys */
    char kek[2][128];
    uint32_t front_uid;  /* of store_place */
    char source[2][160]; /* file: sources of two key-encryption keys; the first is the keystore's */
    char message[SG_KEYSTORE_MAX_MESSAGE];
};

/* Set-up and tear-down of one case; *state is a struct store_fixture with an empty keystore, closed. */
int store_setup(void **state);
int store_teardown(void **state);

/* Fills fixture->message. */
struct sg_kek_message store_message(struct store_fixture *fixture);
struct sg_keystore_place store_place(const struct store_fixture *fixture, const char *source);

/* store_open must work; the others say what came of it. */
struct sg_keystore *store_open(struct store_fixture *fixture, const char *source);
signet_status store_try_open(struct store_fixture *fixture, const char *source,
                             struct sg_keystore **out);
/* store_refuses says whether opening fails with FAILED_PRECONDITION and a message that has the text. */
bool store_refuses(struct store_fixture *fixture, const char *source, const char *text);

/* A record of an HMAC key that the store takes; fill in what matters. */
struct sg_key_record store_record(const char *keyset, const char *kid);
/* store_add adds it with a private part of 48 bytes that is made of the kid, and must work. */
uint32_t store_add(struct store_fixture *fixture, struct sg_keystore *store, const char *keyset,
                   const char *kid);
void store_secret(const char *kid, uint8_t out[48]);
/* store_has says whether the key is there and its private part is what store_add gave it. */
bool store_has(struct sg_keystore *store, const char *keyset, const char *kid);

/* store_is_secret says whether the bytes lie where secrets may. */
bool store_is_secret(const void *bytes);

/* store_path names a file in state/keys. */
void store_path(const struct store_fixture *fixture, const char *file, char out[256]);
bool store_is_file(const struct store_fixture *fixture, const char *file);
/* The bytes of a file in state/keys; free() them. */
uint8_t *store_read(const struct store_fixture *fixture, const char *file, size_t *len);
/* store_write replaces one, with mode 0600. */
void store_write(const struct store_fixture *fixture, const char *file, const uint8_t *bytes,
                 size_t len);

#endif
