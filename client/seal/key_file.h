/* SPDX-License-Identifier: Apache-2.0
 *
 * What people keep keys in, made into what the keyholder imports: a secret's bytes, or PKCS#8 DER. Reads
 * no file and asks nobody by itself. Memory that held a key is wiped if seal_harden was called.
 */
#ifndef SG_SEAL_KEY_FILE_H
#define SG_SEAL_KEY_FILE_H

#include "client/seal/wipe.h"
#include "common/jose/alg.h"
#include "common/limits.h"

enum key_file_form {
    KEY_FILE_GUESS = 0, /* PEM, JWK or JWKS, by what is in it */
    KEY_FILE_PEM,       /* PKCS#8 or traditional, encrypted or not; one private key */
    KEY_FILE_JWK,
    KEY_FILE_JWKS,
    KEY_FILE_SECRET /* every byte of it */
};

/* Why a key was not taken: what is wrong, with the RFC section, and what would mend it. */
struct key_file_error {
    char message[320];
};

/* Gives the passphrase of an encrypted key; false, with no more to be said, if there is none to be had. */
typedef bool key_file_ask(void *context, struct seal_bytes *out);

struct key_file_options {
    enum key_file_form form;
    enum sg_alg alg;         /* what the key must be for; SG_ALG_UNSET: not fixed */
    enum sg_alg default_alg; /* of a key that does not say; never SG_ALG_UNSET */
    key_file_ask *ask;
    void *ask_context;
};

struct key_file_key {
    struct seal_bytes bytes;
    enum sg_alg alg;
    char kid[SG_MAX_KID_LEN + 1]; /* what the JWK says; or empty */
};

/* A member of a JWK Set that was not taken. */
struct key_file_skipped {
    size_t index;
    struct key_file_error error;
};

struct key_file {
    enum key_file_form form; /* never GUESS */
    struct key_file_key *keys;
    size_t num_keys; /* exactly 1 but for JWKS, where it is 1 at least */
    struct key_file_skipped *skipped;
    size_t num_skipped;
    bool ends_with_newline; /* of a SECRET */
    bool asked_in_vain;     /* the read failed since ask did; the error is empty */
};

/* key_file_read takes the keys out. False with *error filled, or with out->asked_in_vain; *out is to be
 * released by key_file_fini in any case. Blocks only as far as ask does. */
bool key_file_read(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                   struct key_file *out, struct key_file_error *error)
    __attribute__((warn_unused_result));
void key_file_fini(struct key_file *file); /* wipes; legal on {0} */

#endif
