/* SPDX-License-Identifier: Apache-2.0
 *
 * libsignet: mint and verify JSON Web Tokens through signetd, without ever holding a key.
 *
 * Conventions, for every function here:
 *   - Only SIGNET_OK means yes. signet_verify returns SIGNET_OK for a good token and for nothing
 *     else: a refused token, a dead daemon, a cut reply and a passed deadline are all other values.
 *   - Outputs are written on SIGNET_OK only. `error` may be NULL; else it is filled on every failure.
 *   - Objects that come through an `out` pointer belong to the caller, who releases them with the
 *     function named `..._free`, which accepts NULL. Strings from accessors live as long as their
 *     object. Inputs are read during the call only.
 *   - A struct signet_client may be used by any number of threads at once. Results may be read by any
 *     number of threads, but be freed by one.
 *   - An options struct is read as far as its `size` says, so that a program and a library of
 *     different versions work together. Members that the program does not know keep their defaults;
 *     members that the library does not know are INVALID_ARGUMENT unless they are zero, so that no
 *     restriction is ever ignored. struct signet_error is filled with zeros where it has room left.
 *   - What each status tells its reader to do is in signet/status.h. A function that returns no
 *     status cannot fail. Accessors need their object: it may not be NULL.
 *   - Every call ends within its timeout. The library starts no thread, installs no signal handler,
 *     raises no SIGPIPE, prints nothing, never exits, and works in the child after fork().
 */
#ifndef SIGNET_CLIENT_H
#define SIGNET_CLIENT_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version that a program is compiled with; signet_version() is the one that it runs with. */
#define SIGNET_VERSION_MAJOR 0
#define SIGNET_VERSION_MINOR 1
#define SIGNET_VERSION_PATCH 0
/* For #if: 1.2.3 is 1002003. */
#define SIGNET_VERSION_NUMBER                                                                      \
    (SIGNET_VERSION_MAJOR * 1000000 + SIGNET_VERSION_MINOR * 1000 + SIGNET_VERSION_PATCH)

#define SIGNET_DEFAULT_ADDRESS "ipc:///run/signet/signet.sock"

/* Why a call failed. Plain data; needs no release. */
struct signet_error {
    signet_status status;
    signet_reason reason;    /* with SIGNET_REJECTED; else SIGNET_REASON_NONE */
    uint32_t retry_after_ms; /* when a retry may help; 0: not known */
    char code[48];           /* the daemon's stable word, such as "KEYSET_UNKNOWN"; may be empty */
    char message[256];       /* text for people: what was wrong and what would mend it */
    char reserved[64];       /* room for members of later versions; the library zeroes it */
};

/* ---- The client ---- */

struct signet_client;

/* Start with SIGNET_CLIENT_OPTIONS_INIT, then set what differs. */
struct signet_client_options {
    size_t size; /* set by the initializer; lets later versions add members */
    /* "ipc:///path", "unix:///path" or "/path"; NULL: $SIGNET_ADDRESS, else the default */
    const char *address;
    uint32_t timeout_ms; /* of calls that name none; 1 to 60000; 0: 2000 */
    /* uid the daemon must run under; -1: root or this process's own effective uid, or
     * $SIGNET_SERVER_UID where that is set */
    int64_t server_uid;
    /* The verdict cache (see signet_verify): how many tokens are remembered, 1 to 1048576; 0: 4096;
     * SIGNET_CACHE_OFF: none */
    uint32_t cache_entries;
    uint32_t cache_kib; /* and the memory that they may take, in KiB, 1 to 1048576; 0: 16384 */
};
#define SIGNET_CLIENT_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(struct signet_client_options), NULL, 0, -1, 0, 0                                    \
    }
#define SIGNET_CACHE_OFF UINT32_MAX

/* signet_client_new makes a client. It connects at the first call, not here. options may be NULL.
 * A server_uid or $SIGNET_SERVER_UID names the one uid that is trusted: root is then not, unless it is
 * that uid. In a program that runs with more rights than its caller (setuid) the environment is not
 * read. A call waits for a daemon that is just starting, and asks again, within its timeout, after an
 * UNAVAILABLE from the daemon, and after a RESOURCE_EXHAUSTED that says when (this user has had its share
 * for now, or too much is waiting). A request that left whole and was not answered is sent again, once, if
 * it only asks (verifying, keys, health) or revokes, and the connection ended before any of the reply
 * came: so a restart of the daemon is not seen. One that mints, or uses a token up, is not: it may have been
 * carried out.
 * INVALID_ARGUMENT: an address that is none of the forms above or longer than a socket path may be
 * (107 bytes), or an option out of range. RESOURCE_EXHAUSTED: no memory. Never blocks. */
SIGNET_API signet_status signet_client_new(const struct signet_client_options *options,
                                           struct signet_client **out,
                                           struct signet_error *error) SIGNET_MUST_CHECK;

/* signet_client_free closes the connections and releases the client. No call may be under way. */
SIGNET_API void signet_client_free(struct signet_client *client);

/* ---- Minting ---- */

/* Start with SIGNET_SIGN_OPTIONS_INIT. The keyset, not the caller, fixes the algorithm and issuer. */
struct signet_sign_options {
    size_t size;
    const char *keyset;           /* required */
    const char *subject;          /* "sub"; required; 1 to 255 bytes */
    const char *const *audiences; /* "aud"; required; 1 to 16 of 1 to 255 bytes */
    size_t num_audiences;
    uint32_t ttl_s;          /* seconds; 0: the keyset's default */
    int64_t not_before;      /* "nbf", seconds since 1970; 0: now */
    const char *claims_json; /* more claims: a JSON object of at most 8 KiB; or NULL */
    /* header "typ"; NULL: the keyset's; another than the keyset's own is refused */
    const char *typ;
    uint32_t timeout_ms; /* 0: the client's */
    uint32_t reserved;   /* must be 0 */
};
#define SIGNET_SIGN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(struct signet_sign_options), NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 0, 0            \
    }

struct signet_signed;

/* signet_sign mints one token. INVALID_ARGUMENT, NOT_FOUND (keyset), PERMISSION_DENIED (by the daemon,
 * or by the modes of its socket), FAILED_PRECONDITION, RESOURCE_EXHAUSTED, UNAVAILABLE,
 * DEADLINE_EXCEEDED, UNTRUSTED_SERVER, PROTOCOL_ERROR, UNIMPLEMENTED, INTERNAL. Blocks for at most
 * the timeout. */
SIGNET_API signet_status signet_sign(struct signet_client *client,
                                     const struct signet_sign_options *options,
                                     struct signet_signed **out,
                                     struct signet_error *error) SIGNET_MUST_CHECK;
SIGNET_API void signet_signed_free(struct signet_signed *token);

/* Accessors of a minted token; never NULL, never empty. */
SIGNET_API const char *signet_signed_token(const struct signet_signed *token); /* compact JWS */
SIGNET_API const char *signet_signed_kid(const struct signet_signed *token);
SIGNET_API const char *signet_signed_jti(const struct signet_signed *token);
SIGNET_API int64_t
signet_signed_issued_at(const struct signet_signed *token); /* seconds since 1970 */
SIGNET_API int64_t
signet_signed_expires_at(const struct signet_signed *token); /* seconds since 1970 */

/* ---- Verifying ---- */

/* Start with SIGNET_VERIFY_OPTIONS_INIT. An empty string is INVALID_ARGUMENT and never "any", so that a
 * setting that was forgotten does not widen what is accepted. Without audiences and without any_audience every call is
 * INVALID_ARGUMENT: who a token is for must be said. */
struct signet_verify_options {
    size_t size;
    const char *const *audiences; /* who the caller is: "aud" must hold one of them; up to 16 */
    size_t num_audiences;
    bool any_audience;
    const char *keyset;  /* only tokens of this keyset; NULL: any */
    const char *issuer;  /* only this "iss"; NULL: that of the key's keyset, checked in any case */
    const char *subject; /* only this "sub"; NULL: any */
    const char *typ;     /* only this header "typ", such as "at+jwt"; NULL: any */
    const char *const *scopes; /* all of these must be in "scope"; up to 16 */
    size_t num_scopes;
    uint32_t leeway_s;   /* clock difference to forgive; 0 to 300 */
    uint32_t max_age_s;  /* refuse if issued longer ago; 0: not checked */
    uint32_t timeout_ms; /* 0: the client's */
    bool consume;        /* use the token up: see signet_verify */
    uint8_t reserved[3]; /* must be 0 */
};
#define SIGNET_VERIFY_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(struct signet_verify_options), NULL, 0, false, NULL, NULL, NULL, NULL, NULL, 0, 0,  \
            0, 0, false,                                                                           \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

struct signet_verified;

/* signet_verify judges a token of token_len bytes (no terminator needed). SIGNET_OK: it is good for
 * what the options ask. SIGNET_REJECTED: it is not; error->reason says why. Everything else: there is
 * no verdict, and the token must be treated as not good: INVALID_ARGUMENT, NOT_FOUND (keyset),
 * PERMISSION_DENIED (by the daemon, or by the modes of its socket), FAILED_PRECONDITION,
 * RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED, UNTRUSTED_SERVER, PROTOCOL_ERROR,
 * UNIMPLEMENTED, INTERNAL. Blocks for at most the timeout.
 *
 * A client that libsignet-local was attached to judges tokens in this process where it can, and remembers which were
 * found good, and for what. Such a token is good again, without a request, as long as no key, revocation or grant changed
 * to its disadvantage, and if it is good for these options at this time; the statuses above are then those of whatever
 * could not be decided here. Threads that ask about one token at the same time make one request, and each waits for it
 * within its own timeout. What is remembered belongs to the client, as its connections do: who changes the user that
 * this process runs under makes a new client. A child after fork() remembers nothing of its parent's.
 *
 * With consume, a token that is good is used up: of all calls with consume on this host that judge it, at
 * one time or one after the other, across restarts and crashes of the daemon, one alone gets SIGNET_OK, and
 * the others SIGNET_REJECTED with SIGNET_REASON_REPLAYED. It takes a "jti" of 1 to 255 bytes (else
 * CLAIM_MISSING or CLAIM_INVALID). Calls without consume neither use it up nor see that it is. A token that
 * is refused is as it was. The daemon is always asked, and waits for its disk. RESOURCE_EXHAUSTED with code
 * CONSUMED_FULL: this user has used up as many tokens as are remembered for one; NOT_CONSUMED, with
 * RESOURCE_EXHAUSTED, FAILED_PRECONDITION or INTERNAL: the disk did not take it, and the token was not used up. After
 * UNAVAILABLE, DEADLINE_EXCEEDED or PROTOCOL_ERROR it may be used up: if asked again, REPLAYED may mean that call. */
SIGNET_API signet_status signet_verify(struct signet_client *client, const char *token,
                                       size_t token_len,
                                       const struct signet_verify_options *options,
                                       struct signet_verified **out,
                                       struct signet_error *error) SIGNET_MUST_CHECK;

/* signet_verify_bearer takes the value of an HTTP Authorization header, "Bearer TOKEN" (RFC 6750
 * section 2.1; the scheme in any case), and judges its token. Another scheme, more or less than one
 * token, or NULL (no such header) is SIGNET_REJECTED with SIGNET_REASON_MALFORMED. Else, and in its
 * statuses, as signet_verify. */
SIGNET_API signet_status signet_verify_bearer(struct signet_client *client,
                                              const char *authorization,
                                              const struct signet_verify_options *options,
                                              struct signet_verified **out,
                                              struct signet_error *error) SIGNET_MUST_CHECK;
SIGNET_API void signet_verified_free(struct signet_verified *token);

/* Accessors of a verified token. Strings are never NULL, but where it is said, and not empty, but
 * where it is said. Functions that return a status write *out, which must be given, on SIGNET_OK. */
SIGNET_API const char *signet_verified_issuer(const struct signet_verified *token);
SIGNET_API const char *
signet_verified_subject(const struct signet_verified *token); /* "" if absent */
SIGNET_API size_t signet_verified_num_audiences(const struct signet_verified *token);
SIGNET_API const char *signet_verified_audience(const struct signet_verified *token,
                                                size_t index); /* NULL past the end */
SIGNET_API int64_t
signet_verified_expires_at(const struct signet_verified *token); /* seconds since 1970 */
/* signet_verified_not_before and _issued_at: SIGNET_OK, or NOT_FOUND if the token has none. */
SIGNET_API signet_status signet_verified_not_before(const struct signet_verified *token,
                                                    int64_t *out) SIGNET_MUST_CHECK;
SIGNET_API signet_status signet_verified_issued_at(const struct signet_verified *token,
                                                   int64_t *out) SIGNET_MUST_CHECK;
SIGNET_API const char *signet_verified_jti(const struct signet_verified *token); /* "" if absent */
SIGNET_API const char *
signet_verified_kid(const struct signet_verified *token); /* "": a foreign issuer's key without */
SIGNET_API const char *signet_verified_keyset(const struct signet_verified *token);
SIGNET_API const char *signet_verified_typ(const struct signet_verified *token); /* "" if absent */
/* The whole payload as signed: a JSON object. */
SIGNET_API const char *signet_verified_claims_json(const struct signet_verified *token);
/* Whether the space-separated "scope" claim holds scope. False without such a claim, and for NULL,
 * "" and more than one scope. */
SIGNET_API bool signet_verified_has_scope(const struct signet_verified *token, const char *scope);

/* The other top-level claims: all but iss, sub, aud, exp, nbf, iat and jti. */
typedef enum signet_claim_type {
    SIGNET_CLAIM_NONE = 0, /* no such claim */
    SIGNET_CLAIM_STRING = 1,
    SIGNET_CLAIM_INT = 2,
    SIGNET_CLAIM_DOUBLE = 3,
    SIGNET_CLAIM_BOOL = 4,
    SIGNET_CLAIM_JSON = 5 /* an object, an array or null, as JSON text */
} signet_claim_type;

SIGNET_API size_t signet_verified_num_claims(const struct signet_verified *token);
SIGNET_API const char *signet_verified_claim_name(const struct signet_verified *token,
                                                  size_t index); /* NULL past the end */
SIGNET_API signet_claim_type signet_verified_claim_type(const struct signet_verified *token,
                                                        const char *name); /* NONE also for NULL */
/* SIGNET_OK. NOT_FOUND: no such claim, or name is NULL. FAILED_PRECONDITION: it is of another type; but an INT is also given as a
 * double, since JSON writers turn 1.0 into 1. */
SIGNET_API signet_status signet_verified_claim_string(const struct signet_verified *token,
                                                      const char *name,
                                                      const char **out) SIGNET_MUST_CHECK;
SIGNET_API signet_status signet_verified_claim_int(const struct signet_verified *token,
                                                   const char *name,
                                                   int64_t *out) SIGNET_MUST_CHECK;
SIGNET_API signet_status signet_verified_claim_double(const struct signet_verified *token,
                                                      const char *name,
                                                      double *out) SIGNET_MUST_CHECK;
SIGNET_API signet_status signet_verified_claim_bool(const struct signet_verified *token,
                                                    const char *name, bool *out) SIGNET_MUST_CHECK;
SIGNET_API signet_status signet_verified_claim_json(const struct signet_verified *token,
                                                    const char *name,
                                                    const char **out) SIGNET_MUST_CHECK;

/* ---- Batches: up to 256 in one crossing, each on its own ---- */

struct signet_sign_batch;
struct signet_verify_batch;

/* signet_sign_many mints num_requests tokens. SIGNET_OK: every request has a result, good or not; all
 * else, with the statuses of signet_sign: none has. The requests are an array of structs of one and
 * the same `size`. timeout_ms: 0 takes the client's; those in the single options are not used. */
SIGNET_API signet_status signet_sign_many(struct signet_client *client,
                                          const struct signet_sign_options *requests,
                                          size_t num_requests, uint32_t timeout_ms,
                                          struct signet_sign_batch **out,
                                          struct signet_error *error) SIGNET_MUST_CHECK;
/* signet_sign_batch_get: as signet_sign for the request at index, with the statuses that the daemon
 * gave it; *out belongs to the batch. INVALID_ARGUMENT also: no such index, or no batch. Does not
 * block. */
SIGNET_API signet_status signet_sign_batch_get(const struct signet_sign_batch *batch, size_t index,
                                               const struct signet_signed **out,
                                               struct signet_error *error) SIGNET_MUST_CHECK;
SIGNET_API void signet_sign_batch_free(struct signet_sign_batch *batch);

struct signet_token_view {
    const char *token;
    size_t token_len;
};
/* signet_verify_many judges num_tokens tokens, all under the same options. SIGNET_OK: every token has a
 * verdict, good or not, and nothing is said yet about any of them; all else, with the statuses of
 * signet_verify but REJECTED: none has. */
SIGNET_API signet_status signet_verify_many(struct signet_client *client,
                                            const struct signet_token_view *tokens,
                                            size_t num_tokens,
                                            const struct signet_verify_options *options,
                                            struct signet_verify_batch **out,
                                            struct signet_error *error) SIGNET_MUST_CHECK;
/* signet_verify_batch_get: as signet_verify for the token at index: SIGNET_OK, REJECTED, or a status
 * that the daemon gave instead of a verdict; *out belongs to the batch. INVALID_ARGUMENT also: no such
 * index, or no batch. Does not block. */
SIGNET_API signet_status signet_verify_batch_get(const struct signet_verify_batch *batch,
                                                 size_t index, const struct signet_verified **out,
                                                 struct signet_error *error) SIGNET_MUST_CHECK;
SIGNET_API void signet_verify_batch_free(struct signet_verify_batch *batch);

/* ---- Revoking ---- */

/* Start with SIGNET_REVOKE_OPTIONS_INIT. Exactly one of token, jti, subject, all and kid says what is
 * revoked. An empty string is INVALID_ARGUMENT. */
struct signet_revoke_options {
    size_t size;
    const char *token;   /* this token: compact JWS, 1 to 16384 bytes; it must have a "jti" */
    const char *jti;     /* the token of the keyset's issuer with this "jti"; 1 to 255 bytes */
    const char *subject; /* every token of the keyset's issuer with this "sub" that was issued until
                          * now; 1 to 255 bytes */
    /* every token under the keyset's key with this kid, whenever it was issued; 1 to 256 bytes. Not of a
     * key that signs, or is to sign */
    const char *kid;
    bool all; /* every token under the keyset's keys that was issued until now */
    /* its keyset, or a foreign issuer's name; required but with token, which says it itself: there it
     * is refused if it is another */
    const char *keyset;
    /* with jti only: the token's "exp", seconds since 1970, after which the revocation may be
     * forgotten; 0: as late as a token of the keyset can expire, or never, of a foreign issuer or of
     * one with an imported key */
    int64_t expires_at;
    const char *reason;  /* why, for people; 1 to 255 bytes; NULL: none */
    uint32_t timeout_ms; /* 0: the client's */
    uint32_t reserved;   /* must be 0 */
};
#define SIGNET_REVOKE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(struct signet_revoke_options), NULL, NULL, NULL, NULL, false, NULL, 0, NULL, 0, 0   \
    }

/* What was revoked. Numbers equal RevocationKind on the wire. */
typedef enum signet_revoked_kind {
    SIGNET_REVOKED_TOKEN = 1,   /* one token */
    SIGNET_REVOKED_SUBJECT = 2, /* a subject's tokens */
    SIGNET_REVOKED_KEYSET = 3,  /* a keyset's tokens */
    SIGNET_REVOKED_KID = 4      /* the tokens under one key */
} signet_revoked_kind;

struct signet_revocation;

/* signet_revoke has tokens refused that were minted before now. SIGNET_OK: it is written down where
 * no crash takes it back, and every check that begins from now on refuses them (SIGNET_REASON_REVOKED);
 * *out says what is in force. With subject and all, these are the tokens with an "iat" up to
 * signet_revocation_revoked_at, that second included, and those without "iat"; what signet_sign mints
 * after this call returned is good. With kid, these are all tokens under the key, later ones too. Until that second is over the daemon mints nothing for them, for
 * which signet_sign waits within its timeout. token, jti and subject are about every keyset of the issuer.
 *
 * Revoking twice is no error: of two revocations of the same, what is in force of both is answered.
 * So a request that left and was not answered is sent again, as those that only ask are (see
 * signet_client_new), and callers may do the same after a failure.
 *
 * After any failure treat the tokens as not revoked; after UNAVAILABLE, DEADLINE_EXCEEDED and
 * PROTOCOL_ERROR they may be revoked all the same. INVALID_ARGUMENT: not exactly one of the five, a
 * text that is empty or too long, no keyset, expires_at negative or without jti, an option out of
 * range; and, from the daemon, a token that has no jti, is past its exp and every leeway, is not
 * signed by a key in use or is of another keyset, and an expires_at that is past. NOT_FOUND: no such
 * keyset, or it has no key with this kid.
 * PERMISSION_DENIED: no grant to revoke with every keyset of the issuer in question, or the modes of
 * the daemon's socket keep this process out. FAILED_PRECONDITION: the key of the kid signs, or is to
 * (code KEY_SIGNS; rotate first), or the daemon can keep no revocations.
 * RESOURCE_EXHAUSTED: no room for more of them, a limit of this user, or no memory here. INTERNAL: it
 * cannot be written down. UNAVAILABLE, DEADLINE_EXCEEDED, UNTRUSTED_SERVER. PROTOCOL_ERROR: also if
 * the answer is not a whole revocation of what was asked for. UNIMPLEMENTED: the daemon is older than
 * this call. Blocks for at most the timeout. */
SIGNET_API signet_status signet_revoke(struct signet_client *client,
                                       const struct signet_revoke_options *options,
                                       struct signet_revocation **out,
                                       struct signet_error *error) SIGNET_MUST_CHECK;
SIGNET_API void signet_revocation_free(struct signet_revocation *revocation);

/* Accessors of a revocation. Strings are never NULL, and not empty, but where it is said. */
SIGNET_API signet_revoked_kind
signet_revocation_kind(const struct signet_revocation *revocation); /* one of the four */
/* "iss" of the token or subject; "" for a keyset or a kid. */
SIGNET_API const char *signet_revocation_issuer(const struct signet_revocation *revocation);
/* Name of the keyset, or of that of the kid; "" for a token or subject. */
SIGNET_API const char *signet_revocation_keyset(const struct signet_revocation *revocation);
/* "jti" of the token, the subject, or the kid; "" for a keyset. */
SIGNET_API const char *signet_revocation_name(const struct signet_revocation *revocation);
/* When it was revoked, seconds since 1970. Of two revocations of the same token, that in force. */
SIGNET_API int64_t signet_revocation_revoked_at(const struct signet_revocation *revocation);
/* When it may be forgotten, since none of these tokens can be accepted any more, seconds since 1970;
 * 0: never. */
SIGNET_API int64_t signet_revocation_until(const struct signet_revocation *revocation);
/* Uid of who asked for it. */
SIGNET_API uint32_t signet_revocation_uid(const struct signet_revocation *revocation);
SIGNET_API const char *
signet_revocation_reason(const struct signet_revocation *revocation); /* "" if none was given */

/* ---- Keys and health ---- */

/* signet_jwks fetches the public keys as a JWK Set (RFC 7517), of one keyset, or of all if NULL.
 * timeout_ms: 0 takes the client's. INVALID_ARGUMENT, NOT_FOUND (keyset), PERMISSION_DENIED (by the
 * daemon, or by the modes of its socket), RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED,
 * UNTRUSTED_SERVER, PROTOCOL_ERROR, UNIMPLEMENTED, INTERNAL. Blocks for at most the timeout. */
SIGNET_API signet_status signet_jwks(struct signet_client *client, const char *keyset,
                                     uint32_t timeout_ms, char **out,
                                     struct signet_error *error) SIGNET_MUST_CHECK;
/* signet_string_free releases what signet_jwks returned. */
SIGNET_API void signet_string_free(char *text);

/* signet_health: SIGNET_OK if the daemon answers and serves. UNAVAILABLE: there is none, or it answers
 * that it does not serve. DEADLINE_EXCEEDED: it did not answer in time, as one that is stopped (by
 * SIGSTOP, or a debugger) does. PERMISSION_DENIED: the modes of its socket keep this process out.
 * UNTRUSTED_SERVER, PROTOCOL_ERROR: something else may be listening there. INVALID_ARGUMENT: the
 * client is NULL, or timeout_ms out of range (0 takes the client's). RESOURCE_EXHAUSTED: no memory, no
 * descriptor, or a limit of the daemon. INTERNAL. Blocks for at most the timeout. */
SIGNET_API signet_status signet_health(struct signet_client *client, uint32_t timeout_ms,
                                       struct signet_error *error) SIGNET_MUST_CHECK;

/* signet_version returns the library's version, such as "0.1.0". */
SIGNET_API const char *signet_version(void);

#ifdef __cplusplus
}
#endif

#endif
