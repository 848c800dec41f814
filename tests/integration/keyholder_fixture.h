/* SPDX-License-Identifier: Apache-2.0
 *
 * A real signet-keyholder with keys of which everything is known, the private parts included, so that
 * whatever it says can be judged; and what it may say, written down a second time.
 */
#ifndef SG_TEST_KEYHOLDER_FIXTURE_H
#define SG_TEST_KEYHOLDER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/public_key.h"
#include "tests/support/keyholder_peer.h"
#include "tests/support/secret_search.h"
#include "tests/unit/keystore_fixture.h"

#define HOLDER_NUM_KEYS     7u
#define HOLDER_NUM_CHANNELS 4u
#define HOLDER_MAX_INPUT    512u

struct holder_key {
    enum sg_alg alg;
    uint64_t slot;
    uint8_t secret[64]; /* HMAC */
    size_t secret_len;
    struct sg_public_key *public_key; /* all others */
};

struct holder_fixture {
    struct store_fixture *base; /* its keystore */
    struct keyholder_peer peer;
    struct secret_search *search; /* for every private byte of the keys */
    struct holder_key keys[HOLDER_NUM_KEYS];
    uint64_t victim; /* the slot of a key of nobody's, stored as "victim" of keyset "fuzz" */
};

/* Set-up and tear-down of a case. The keystore is open and the keys are imported. */
int holder_setup(void **state);
int holder_teardown(void **state);

/* ---- Asking, on the first channel ---- */

struct sg_keyholder_reply holder_call(const struct holder_fixture *fixture,
                                      struct sg_keyholder_request request, const void *bytes,
                                      size_t len);
struct sg_keyholder_reply holder_sign(const struct holder_fixture *fixture, uint64_t slot,
                                      const void *input, size_t len);
/* holder_keystore fills *reply and returns its status. */
signet_status holder_keystore(const struct holder_fixture *fixture,
                              const struct sg_keystore_request *request,
                              struct sg_keystore_reply *reply);
/* holder_check_keys fails the test unless every key still signs as it should. */
void holder_check_keys(const struct holder_fixture *fixture);

/* ---- What is right; any thread ---- */

const struct holder_key *holder_find(const struct holder_fixture *fixture, uint64_t slot);
/* holder_input writes a signing input for the algorithm, and returns its length. */
size_t holder_input(enum sg_alg alg, char out[HOLDER_MAX_INPUT]);
/* holder_input_with_header writes one with this text as its header. */
size_t holder_input_with_header(const char *header, char out[HOLDER_MAX_INPUT]);
/* holder_mac writes the MAC of data and returns its length. */
size_t holder_mac(const struct holder_key *key, const void *data, size_t len, uint8_t out[64]);
/* holder_may_sign says whether data is a JWS signing input whose header begins with alg, says it once, and
 * names the key's. */
bool holder_may_sign(const struct holder_key *key, const uint8_t *data, size_t len);
bool holder_is_signature(const struct holder_key *key, const uint8_t *data, size_t len,
                         const uint8_t *signature, size_t signature_len);
/* holder_tells says whether the bytes show anything private. */
bool holder_tells(const struct holder_fixture *fixture, const void *bytes, size_t len);

#endif
