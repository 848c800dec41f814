/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon that lies: a process that speaks the framing on a Unix socket and does what a script says,
 * for what the real daemon never does. Each connection is served by a thread of its own.
 */
#ifndef SG_TEST_FAKE_SERVER_H
#define SG_TEST_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/token.pb-c.h"

struct fake_server {
    pid_t pid;
    char dir[96];
    char socket[107];
    char address[120];
};

/* A script: serves one connection, the index-th; the descriptor is closed after it returns. Runs in
 * the fake's process: it can tell the test nothing but over the socket. */
typedef void fake_script(int fd, unsigned index, const void *context);

/* fake_server_start listens and serves in a child process; the socket is there when it returns. */
void fake_server_start(struct fake_server *server, fake_script *script, const void *context);
/* fake_server_prepare makes the directory only; fake_server_run starts the process in it. */
void fake_server_prepare(struct fake_server *server);
void fake_server_run(struct fake_server *server, fake_script *script, const void *context);
/* fake_server_kill sends a signal, and collects the process if it is SIGKILL. */
void fake_server_kill(struct fake_server *server, int signal_number);
void fake_server_stop(struct fake_server *server);

/* For scripts. False: the client went away. */
bool fake_write(int fd, const void *bytes, size_t len);
bool fake_greet(int fd);

struct fake_request {
    uint32_t id;
    Signet__Rpc__V1__Request *envelope; /* freed by fake_request_free */
};
bool fake_read_request(int fd, struct fake_request *request);
void fake_request_free(struct fake_request *request);

/* Bytes to send. */
struct fake_bytes {
    uint8_t *bytes;
    size_t len;
};
/* fake_frame puts the framing around a body. */
struct fake_bytes fake_frame(uint32_t id, const void *body, size_t len);
/* fake_payload wraps a message into a Response and frames it. */
struct fake_bytes fake_payload(uint32_t id, const ProtobufCMessage *message);
struct fake_bytes fake_status(uint32_t id, uint32_t code, const char *reason, const char *message);
/* fake_status_after also says when to retry. */
struct fake_bytes fake_status_after(uint32_t id, uint32_t code, const char *reason,
                                    const char *message, uint32_t retry_after_ms);
/* fake_honest_answer is what a good daemon would say to any method of the library: every token is
 * good for whatever was asked. */
struct fake_bytes fake_honest_answer(const struct fake_request *request);
/* fake_revocation is what a good daemon would revoke for a request: the token comes back as jti, and the
 * keyset as issuer, so that a test sees what crossed. Its texts belong to the request. */
void fake_revocation(const Signet__V1__RevokeRequest *request, Signet__V1__Revocation *out);
#define FAKE_REVOKED_AT INT64_C(4102441200) /* 2099-12-31T23:00:00Z */
/* fake_honest serves a connection that way until it ends. A fake_script. */
void fake_honest(int fd, unsigned index, const void *context);

#endif
