/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the library share with each other and with nobody else.
 */
#ifndef SG_CLIENT_PRIVATE_H
#define SG_CLIENT_PRIVATE_H

#include <protobuf-c/protobuf-c.h>
#include <signet/client.h>

#include "client/attach.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/pool.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/token.pb-c.h"

struct signet_client {
    struct sg_pool pool;
    struct sg_target target;
    uint32_t timeout_ms;
    const struct sg_local_ops *local_ops; /* NULL: nothing is attached */
    void *local;
};

/* Judges a decoded answer by the request in context, before its connection is used again. Returns
 * SIGNET_OK or fills *error. */
typedef signet_status sg_client_check(const ProtobufCMessage *answer, const void *context,
                                      struct signet_error *error);

/* sg_client_call_checked is sg_client_call with a check (may be NULL). A check that says
 * PROTOCOL_ERROR closes the connection. */
signet_status sg_client_call_checked(struct signet_client *client, const char *method,
                                     const ProtobufCMessage *request,
                                     const ProtobufCMessageDescriptor *response_type,
                                     uint32_t timeout_ms, sg_client_check *check,
                                     const void *context, ProtobufCMessage **out,
                                     struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_client_fail_status hands on what the daemon said: its status, or PROTOCOL_ERROR for a number
 * that is none of 1 to 16. */
signet_status sg_client_fail_status(struct signet_error *error,
                                    const Signet__Rpc__V1__Status *status);

/* sg_client_reject fills *error with a verdict and returns SIGNET_REJECTED. */
signet_status sg_client_reject(struct signet_error *error, signet_reason reason,
                               const char *detail);

/* sg_client_bad_answer is PROTOCOL_ERROR: the daemon said what the contract does not allow. */
signet_status sg_client_bad_answer(struct signet_error *error, const char *what);

/* sg_client_no_memory is RESOURCE_EXHAUSTED of this process. */
signet_status sg_client_no_memory(struct signet_error *error);

/* ---- Options ---- */

/* A struct of options is as long as its caller was compiled with, and `size`, its first member, says
 * so. A member that is added stands after all others (in the place of `reserved`, or behind it) and
 * leaves no padding after it: what the compiler puts into padding is not known, and would be read as
 * a member by a library that has one there. */
struct sg_options_layout {
    const char *initializer; /* for the message */
    size_t first_len;        /* of the first version: never to be changed */
    size_t known_len;        /* up to the last member that is read */
};
#define SG_OPTIONS_END(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/* sg_client_take_options copies what is known of the caller's options into *out, a zeroed struct of
 * the type that layout describes; nothing else is read afterwards. Members that the caller's version
 * does not have are zero. One that only the caller's version has must be zero: to ignore it could
 * mean to ignore a restriction. given may be unaligned. */
signet_status sg_client_take_options(const struct sg_options_layout *layout, const void *given,
                                     void *out, struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_client_check_text: a string of 1 to max_len bytes; NULL passes unless required. `name` stands
 * in the message. An empty string never passes: on the wire it would mean "any". */
signet_status sg_client_check_text(const char *text, bool required, size_t max_len,
                                   const char *name, struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_client_check_texts: at most max_num such strings, none of them NULL. */
signet_status sg_client_check_texts(const char *const *texts, size_t num, size_t max_num,
                                    size_t max_len, const char *name,
                                    struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_client_wire_text casts constness away for a protobuf-c message that is only packed. */
char *sg_client_wire_text(const char *text);
char **sg_client_wire_texts(const char *const *texts);

/* ---- Verified tokens (verified.c) ---- */

struct signet_verified {
    const Signet__V1__VerifiedToken *token;
    Signet__V1__VerifyResponse *owner; /* NULL: a batch owns it */
};

#endif
