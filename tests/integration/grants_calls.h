/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls by users, for children: what came of each, and no judgement.
 */
#ifndef SG_TEST_GRANTS_CALLS_H
#define SG_TEST_GRANTS_CALLS_H

#include <protobuf-c/protobuf-c.h>

#include "tests/integration/grants_fixture.h"

#define GRANTS_MAX_BATCH 8u

/* Whom every token here is for, and for whom it is, unless a request says otherwise. */
#define GRANTS_AUDIENCE "orders"
#define GRANTS_SUBJECT  "alice"

struct grants_outcome {
    signet_status status;
    signet_reason reason; /* with REJECTED */
    uint32_t retry_after_ms;
    char code[48];
    char message[256];
};

/* grants_word says it in words, such as "OK", "PERMISSION_DENIED NO_GRANT" or "REJECTED UNKNOWN_KEY". */
void grants_word(const struct grants_outcome *outcome, char *out, size_t out_cap);

/* grants_connect makes a client that trusts the daemon's user only; NULL if it cannot. */
struct signet_client *grants_connect(const struct grants_fixture *fixture, const char *address);

/* What is to be signed; NULL and 0 take the defaults. */
struct grants_request {
    const char *subject, *claims_json;
    const char *audience;
    uint32_t ttl_s;
};

/* grants_sign signs with a keyset; request and token (of GRANTS_MAX_TOKEN) may be NULL. */
void grants_sign(const struct grants_fixture *fixture, struct signet_client *client,
                 const char *keyset, const struct grants_request *request, char *token,
                 struct grants_outcome *out);
/* grants_sign_many signs one token with each of num keysets, at most GRANTS_MAX_BATCH. */
void grants_sign_many(const struct grants_fixture *fixture, struct signet_client *client,
                      const char *const *keysets, size_t num, struct grants_outcome *out);

/* grants_verify asks about a token, of a keyset if one is named. */
void grants_verify(struct signet_client *client, const char *token, const char *keyset,
                   struct grants_outcome *out);
void grants_verify_many(struct signet_client *client, const char *const *tokens, size_t num,
                        const char *keyset, struct grants_outcome *out);

/* A method for operators. */
struct grants_method {
    char name[96];
    const ProtobufCMessageDescriptor *input, *output;
    bool has_keyset;
};

/* grants_operators_methods lists all that the contract has, and returns how many. */
size_t grants_operators_methods(struct grants_method *out, size_t cap);

/* grants_operate calls one in a way that changes nothing where it is let, about a keyset ("": none). */
void grants_operate(struct signet_client *client, const struct grants_method *method,
                    const char *keyset, struct grants_outcome *out);

/* grants_call is any call. *answer, unless answer is NULL, is the caller's to free. */
void grants_call(struct signet_client *client, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *output, ProtobufCMessage **answer,
                 struct grants_outcome *out);

#endif
