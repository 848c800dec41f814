/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to the daemon: connecting, judging who is at the other end, and carrying one framed
 * message each way. Knows nothing of what the messages say. A connection that failed in any way is
 * closed: what may still come on it can never be taken for an answer to a later request.
 */
#ifndef SG_CLIENT_CONNECTION_H
#define SG_CLIENT_CONNECTION_H

#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "client/deadline.h"
#include "common/sp.h"

/* Where the daemon is, and who it must be. Read-only after sg_target_init. */
struct sg_target {
    char address[128]; /* for messages */
    struct sockaddr_un socket;
    int64_t server_uid; /* the one uid to trust; -1: root or our own effective uid */
};

/* sg_target_init reads an address of one of the forms in client.h. */
signet_status sg_target_init(struct sg_target *target, const char *address, int64_t server_uid,
                             struct signet_error *error) SIGNET_MUST_CHECK;

/* The descriptor is written last on opening and cleared before closing, and the socket's identity is
 * kept: so a copy of this struct in a child, made at any instant, can be closed without ever closing
 * a descriptor that is something else by now. */
struct sg_connection {
    _Atomic int fd; /* -1: none */
    dev_t device;
    ino_t inode;
    uint32_t next_id;
};

void sg_connection_init(struct sg_connection *connection);

/* sg_connection_close closes the descriptor if it still is the socket that was opened. */
void sg_connection_close(struct sg_connection *connection);

/* sg_connection_is_usable says whether a request may be sent: the descriptor is still our socket,
 * the other end has not hung up, and nothing unasked-for has arrived. */
bool sg_connection_is_usable(const struct sg_connection *connection);

/* sg_connection_open connects, checks the peer's uid before a byte is sent, and exchanges greetings.
 * While there is no daemon it tries again until the deadline. */
signet_status sg_connection_open(struct sg_connection *connection, const struct sg_target *target,
                                 const struct sg_deadline *deadline,
                                 struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_connection_send sends one framed request. *whole (set in any case) says whether all of it left:
 * only what did not may be sent anew. */
signet_status sg_connection_send(struct sg_connection *connection, const struct sg_target *target,
                                 const struct sg_deadline *deadline, const uint8_t *frame,
                                 size_t len, bool *whole,
                                 struct signet_error *error) SIGNET_MUST_CHECK;

/* Memory for a message; grown as needed, within the limits of the frame. */
struct sg_buffer {
    uint8_t *bytes;
    size_t cap;
};

/* sg_buffer_reserve makes room for cap bytes; the content stays. False without memory. */
bool sg_buffer_reserve(struct sg_buffer *buffer, size_t cap) SIGNET_MUST_CHECK;

/* sg_connection_receive reads the one reply to request_id into buffer; message points into it.
 * *silent (set in any case) says whether the connection ended before a single byte of it came. */
signet_status sg_connection_receive(struct sg_connection *connection,
                                    const struct sg_target *target,
                                    const struct sg_deadline *deadline, uint32_t request_id,
                                    struct sg_buffer *buffer, struct sg_sp_message *message,
                                    bool *silent, struct signet_error *error) SIGNET_MUST_CHECK;

#endif
