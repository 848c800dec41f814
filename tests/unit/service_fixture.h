/* SPDX-License-Identifier: Apache-2.0
 *
 * The services as the daemon sets them up with demo keys, called through dispatch: no socket, and a
 * clock that stands still. Whatever is called, the answer must be exactly one outcome.
 */
#ifndef SG_TEST_SERVICE_FIXTURE_H
#define SG_TEST_SERVICE_FIXTURE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/dispatch.h"
#include "server/keyring.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define FIXTURE_NOW INT64_C(1800000000)

struct fixture {
    struct sg_config *config;
    struct sg_keyholder *keyholder;
    struct sg_keymaster *keymaster;
    struct sg_keyring *keyring; /* its snapshot */
    struct sg_service service;
    struct sg_peer peer;
    struct sg_now now;
};

/* Group set-up and tear-down of cmocka; *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* What came back: a payload, or a status. */
struct fixture_answer {
    uint32_t code; /* 0: payload */
    char reason[64];
    char message[257];
    uint32_t retry_after_ms;
    ProtobufCMessage *payload; /* of the type asked for; NULL with a status */
};

/* fixture_answer_read reads a response, whose bytes it releases. type NULL: the payload is not
 * looked at. Fails the test unless it is one well-formed outcome. */
void fixture_answer_read(struct sg_response *response, size_t headroom,
                         const ProtobufCMessageDescriptor *type, struct fixture_answer *answer);
void fixture_answer_free(struct fixture_answer *answer);

/* fixture_dispatch sends bytes. */
void fixture_dispatch(const struct fixture *fixture, const uint8_t *bytes, size_t len,
                      const ProtobufCMessageDescriptor *type, struct fixture_answer *answer);

/* fixture_envelope writes the request of a method; free() it. */
uint8_t *fixture_envelope(const char *method, const ProtobufCMessage *message, size_t *len);

/* fixture_call does both. */
void fixture_call(const struct fixture *fixture, const char *method,
                  const ProtobufCMessage *message, const ProtobufCMessageDescriptor *type,
                  struct fixture_answer *answer);

const struct sg_key *fixture_key(const struct fixture *fixture, const char *keyset);

/* fixture_craft signs any payload with a keyset's key. header NULL: the key's own; else its JSON.
 * free() the token. */
char *fixture_craft(const struct fixture *fixture, const char *keyset, const char *header,
                    const char *payload);

/* fixture_mint has the service sign an ordinary token: subject "alice", audience "orders". */
char *fixture_mint(const struct fixture *fixture, const char *keyset);

/* How a Verify ended: a status code, or a rejection's reason, or neither, which means good. */
struct fixture_verdict {
    uint32_t code;
    Signet__V1__RejectionReason reason;
    bool good;
    char word[64];    /* reason of the status */
    char detail[257]; /* of rejection or status */
};
struct fixture_verdict fixture_verify(const struct fixture *fixture,
                                      const Signet__V1__VerifyRequest *request);

/* fixture_judge verifies a token for audience "orders", with nothing else asked. */
struct fixture_verdict fixture_judge(const struct fixture *fixture, char *token);

#endif
