/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector test: one module a kind of file. Each takes a file that it knows the schema of, puts every
 * case of it through the code that judges tokens, and counts. Nothing here knows a file by its name.
 */
#ifndef SG_TEST_VECTORS_H
#define SG_TEST_VECTORS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/jose/jwk.h"

struct sg_keyholder;

/* What became of the cases of one file, or of all. */
struct vectors_count {
    size_t cases;
    size_t passed;
    size_t failed;         /* each was printed */
    size_t choice_agree;   /* either outcome is defensible; ours is the one advised */
    size_t choice_differ;  /* ours is the other one */
    size_t not_applicable; /* not about JWS as RFC 7518 has it */
};

struct vectors_file {
    const char *path; /* within the folder */
    const json_t *root;
    const json_t *errata; /* of its own folder; NULL if it has none */
    struct sg_keyholder *keyholder;
    struct vectors_count count;
};

/* What a case says should happen. */
enum vectors_expected {
    VECTORS_REJECT = 1,
    VECTORS_ACCEPT
};

/* vectors_judge counts a case, and prints it if the verdict is not the one expected. */
void vectors_judge(struct vectors_file *file, const char *id, enum vectors_expected expected,
                   struct sg_verdict got);
/* The same where either outcome is right. */
void vectors_choice(struct vectors_file *file, enum vectors_expected advised,
                    struct sg_verdict got);

/* vectors_text returns a string member, or NULL. */
const char *vectors_text(const json_t *object, const char *name);

/* A key to verify with: public, or a secret that lies with the keyholder. */
struct vectors_key {
    enum sg_alg alg;
    char kid[SG_MAX_KID_LEN + 1];
    bool has_kid;
    struct sg_public_key *public; /* NULL: HMAC */
    uint64_t slot;
    struct sg_keyholder *keyholder;
};

/* Loads a JWK; a pin of SG_ALG_UNSET leaves the algorithm to the key. Other than NONE if it is
 * refused. */
struct sg_verdict vectors_key_load(struct vectors_key *key, struct sg_keyholder *keyholder,
                                   const json_t *jwk, enum sg_alg pin);
struct sg_verdict vectors_key_from_jwk(struct vectors_key *key, struct sg_keyholder *keyholder,
                                       const struct sg_jwk *jwk);
struct sg_verdict vectors_key_import(struct vectors_key *key, struct sg_keyholder *keyholder,
                                     enum sg_alg alg, const uint8_t *secret, size_t len);
void vectors_key_free(struct vectors_key *key);

/* Whether sig is the signature of input. */
bool vectors_key_check(const struct vectors_key *key, const uint8_t *input, size_t input_len,
                       const uint8_t *sig, size_t sig_len);
/* Parses the token and checks that kid, alg and signature are those of the key. */
struct sg_verdict vectors_key_verify(const struct vectors_key *key, const char *token, size_t len,
                                     struct sg_jws *jws);

/* The modules. Each returns false if the file is not of a schema that it knows. */
bool vectors_run_jwt(struct vectors_file *file);        /* crafted, interop */
bool vectors_run_rfc(struct vectors_file *file);        /* JWS examples and thumbprints of RFCs */
bool vectors_run_jwk(struct vectors_file *file);        /* keys and key sets */
bool vectors_run_wycheproof(struct vectors_file *file); /* all with testGroups */

#endif
