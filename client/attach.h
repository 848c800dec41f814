/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between libsignet and libsignet-local: what the latter brings to a client, so that it need not ask the
 * daemon for every token. libsignet knows no board, no JOSE and no OpenSSL; libsignet-local knows no connection and no
 * cache. Both are of one version, which is checked.
 */
#ifndef SG_CLIENT_ATTACH_H
#define SG_CLIENT_ATTACH_H

#include <signet/client.h>
#include <stdatomic.h>
#include <stdint.h>

#include "signet/v1/token.pb-c.h"

/* A good token, which any number of struct signet_verified share. */
struct sg_verified_body {
    atomic_uint num_refs;
    const Signet__V1__VerifiedToken *token;
    void (*release)(struct sg_verified_body *body); /* by whoever drops the last reference */
};

enum sg_local_outcome {
    SG_LOCAL_ASK = 1, /* no verdict: only the daemon can give one */
    SG_LOCAL_GOOD,    /* body is set */
    SG_LOCAL_REFUSED, /* reason and detail are set */
    SG_LOCAL_NO_MEMORY
};

struct sg_local_answer {
    enum sg_local_outcome outcome;
    struct sg_verified_body *body; /* a reference for the caller */
    signet_reason reason;
    const char *detail; /* static */
};

/* When tokens under a key are accepted: seconds since 1970, from <= now < until. */
struct sg_local_span {
    int64_t from, until;
};

/* Any thread, many at once. Nothing here blocks or connects. `local` is what was attached. */
struct sg_local_ops {
    const char *version; /* signet_version() of the library that these are in */

    /* generation: a number that belongs to the board that may be believed now (common/board.h). What is good under
     * one is so, as far as keys, revocations and grants go, as long as this gives the same. False: no board may be
     * believed; *generation is then not written. */
    bool (*generation)(void *local, uint64_t *generation);

    /* key_span: when tokens under a key of the board are accepted, secret ones included. False: it has no such key, or
     * it was revoked. To be asked between two generations that are the same. */
    bool (*key_span)(void *local, const char *keyset, const char *kid, struct sg_local_span *span);

    /* verify judges a token as the daemon would: options were taken and checked, the token has 1 to SG_MAX_TOKEN_LEN
     * printable ASCII bytes. now: seconds since 1970. */
    void (*verify)(void *local, const char *token, size_t token_len,
                   const struct signet_verify_options *options, int64_t now,
                   struct sg_local_answer *answer);

    void (*free)(void *local); /* with the client */
};

/* sg_client_attach has a client use what libsignet-local brings, from its next call on, and take `local` over.
 * FAILED_PRECONDITION, with nothing taken over: it has one already, or the versions differ. Exported for libsignet-local
 * alone. No call may be under way. */
SIGNET_API signet_status sg_client_attach(struct signet_client *client,
                                          const struct sg_local_ops *ops, void *local,
                                          struct signet_error *error) SIGNET_MUST_CHECK;

#endif
