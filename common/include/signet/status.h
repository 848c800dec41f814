/* SPDX-License-Identifier: Apache-2.0
 *
 * How a call ended, and why a token was refused. Both numberings are part of the ABI and of the
 * wire contract (proto/signet/rpc/v1/rpc.proto, proto/signet/v1/token.proto); common/status.c
 * asserts that they agree.
 */
#ifndef SIGNET_STATUS_H
#define SIGNET_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SIGNET_API        __attribute__((visibility("default")))
#define SIGNET_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SIGNET_API
#define SIGNET_MUST_CHECK
#endif

/* signet_status says what the caller should do next. 1 to 16 are gRPC's code numbers and come from
 * the daemon or mean the same here; 100 and above arise in this process and are never sent. */
typedef enum signet_status {
    SIGNET_OK = 0,
    SIGNET_CANCELLED = 1,
    SIGNET_UNKNOWN = 2,
    /* Fix the request. */
    SIGNET_INVALID_ARGUMENT = 3,
    /* The time ran out. Whether the daemon did the work is not known. */
    SIGNET_DEADLINE_EXCEEDED = 4,
    /* No such keyset or claim. */
    SIGNET_NOT_FOUND = 5,
    SIGNET_ALREADY_EXISTS = 6,
    /* Ask an operator for a grant. */
    SIGNET_PERMISSION_DENIED = 7,
    /* A limit was reached; retry after the time in signet_error. Also: no memory. */
    SIGNET_RESOURCE_EXHAUSTED = 8,
    /* The daemon is not in a state for this; ask an operator. */
    SIGNET_FAILED_PRECONDITION = 9,
    SIGNET_ABORTED = 10,
    SIGNET_OUT_OF_RANGE = 11,
    /* The daemon does not know this method; it is older than this library. */
    SIGNET_UNIMPLEMENTED = 12,
    /* A bug in the daemon or the library; report it. */
    SIGNET_INTERNAL = 13,
    /* The daemon cannot be reached, or went away before it answered; retry. */
    SIGNET_UNAVAILABLE = 14,
    SIGNET_DATA_LOSS = 15,
    SIGNET_UNAUTHENTICATED = 16,
    /* The token was judged and is not good; signet_error says why. */
    SIGNET_REJECTED = 100,
    /* What answered does not speak the protocol, or answered another request. Never a good token. */
    SIGNET_PROTOCOL_ERROR = 101,
    /* The process behind the socket runs under a uid that is not trusted; nothing was sent. */
    SIGNET_UNTRUSTED_SERVER = 102
} signet_status;

/* signet_reason says why a token was refused. Numbers equal RejectionReason on the wire. */
typedef enum signet_reason {
    SIGNET_REASON_NONE = 0,
    SIGNET_REASON_MALFORMED = 1,
    SIGNET_REASON_UNSUPPORTED_HEADER = 2,
    SIGNET_REASON_WRONG_ALG = 3,
    SIGNET_REASON_UNKNOWN_KEY = 4,
    SIGNET_REASON_BAD_SIGNATURE = 5,
    SIGNET_REASON_EXPIRED = 6,
    SIGNET_REASON_NOT_YET_VALID = 7,
    SIGNET_REASON_WRONG_ISSUER = 8,
    SIGNET_REASON_WRONG_AUDIENCE = 9,
    SIGNET_REASON_WRONG_TYPE = 10,
    SIGNET_REASON_CLAIM_MISSING = 11,
    SIGNET_REASON_CLAIM_INVALID = 12,
    SIGNET_REASON_TOO_OLD = 13,
    SIGNET_REASON_REVOKED = 14,
    SIGNET_REASON_KEY_REVOKED = 15,
    SIGNET_REASON_REPLAYED = 16,
    SIGNET_REASON_POLICY = 17
} signet_reason;

/* signet_status_name returns the name without its prefix, such as "INVALID_ARGUMENT", and
 * "UNRECOGNIZED" for a number that is none. The text is static; never NULL. Any thread. */
SIGNET_API const char *signet_status_name(signet_status status);

/* signet_reason_name returns the name without its prefix, such as "WRONG_AUDIENCE", and
 * "UNRECOGNIZED" for a number that is none. The text is static; never NULL. Any thread. */
SIGNET_API const char *signet_reason_name(signet_reason reason);

#ifdef __cplusplus
}
#endif

#endif
