/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to the daemon, over a plain Unix socket: nng's own sockets would start threads in
 * every process that uses the library and abort after fork(). Nothing that the other end sends is
 * trusted: not its uid, not its greeting, not a length, not an id.
 */
#include "client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "client/call.h"
#include "common/limits.h"

#define CONNECTION_IDS 0x7fffffffu /* ids count modulo this and one; the top bit is always set */

/* strerror() may share its text between threads. */
static const char *connection_errno_text(int code)
{
    const char *text = strerrordesc_np(code);
    return text != NULL ? text : "unknown error";
}

/* ---- The address ---- */

static const char *target_path(const char *address)
{
    static const char *const schemes[] = {"ipc://", "unix://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);
        if (strncmp(address, schemes[i], len) == 0) {
            address += len;
            break;
        }
    }
    return address[0] == '/' ? address : NULL;
}

signet_status sg_target_init(struct sg_target *target, const char *address, int64_t server_uid,
                             struct signet_error *error)
{
    const char *path = target_path(address);
    if (path == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ADDRESS_INVALID",
                              "the address \"%.100s\" is none of ipc:///PATH, unix:///PATH and "
                              "/PATH (abstract sockets have no owner and are not used)",
                              address);
    }
    size_t len = strlen(path);
    if (len >= sizeof(target->socket.sun_path)) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ADDRESS_TOO_LONG",
                              "the socket path \"%.60s...\" has %zu bytes; the system's limit is "
                              "%zu",
                              path, len, sizeof(target->socket.sun_path) - 1);
    }
    memset(target, 0, sizeof(*target));
    memcpy(target->address, address, strlen(address)); /* a scheme of at most 7 bytes and path */
    target->socket.sun_family = AF_UNIX;
    memcpy(target->socket.sun_path, path, len);
    target->server_uid = server_uid;
    return SIGNET_OK;
}

/* ---- The descriptor ---- */

void sg_connection_init(struct sg_connection *connection)
{
    atomic_store(&connection->fd, -1);
    connection->device = 0;
    connection->inode = 0;
    connection->next_id = 0;
}

/* Programs close descriptors that are not theirs ("for fd in 3..1024"), and after fork() a copy may
 * be older than the table of descriptors: without this a token could be written to a stranger. */
static bool connection_owns(const struct sg_connection *connection, int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_dev == connection->device &&
           info.st_ino == connection->inode;
}

void sg_connection_close(struct sg_connection *connection)
{
    int fd = atomic_exchange(&connection->fd, -1);
    if (fd >= 0 && connection_owns(connection, fd)) {
        (void)close(fd);
    }
}

bool sg_connection_is_usable(const struct sg_connection *connection)
{
    int fd = atomic_load(&connection->fd);
    if (fd < 0 || !connection_owns(connection, fd)) {
        return false;
    }
    uint8_t unasked;
    ssize_t got;
    do {
        got = recv(fd, &unasked, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* A socket that is none of 0, 1 and 2: a program that runs with those closed may still print. It blocks, so that
 * connecting waits in line where many connect, and does not come back to find others there; all else is told
 * not to (MSG_DONTWAIT). */
static int connection_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int failure = errno;
    (void)close(fd);
    errno = failure;
    return higher;
}

/* ---- Opening ---- */

/* connect, which waits for a place in the daemon's queue until the deadline: EAGAIN then. */
static bool connection_connect(int fd, const struct sg_target *target,
                               const struct sg_deadline *deadline)
{
    uint32_t left_ms = sg_deadline_left_ms(deadline);
    const struct timeval left = {.tv_sec = (time_t)(left_ms / 1000u),
                                 .tv_usec = (suseconds_t)(left_ms % 1000u) * 1000};
    if (left_ms == 0) { /* which would mean to wait for ever */
        errno = EAGAIN;
        return false;
    }
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) == 0 &&
           connect(fd, (const struct sockaddr *)&target->socket, sizeof(target->socket)) == 0;
}

static uint32_t connection_first_id(void)
{
    uint32_t id;
    if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id)) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        id = (uint32_t)now.tv_nsec;
    }
    return id & CONNECTION_IDS;
}

static signet_status connection_connect_failed(const struct sg_target *target, int code,
                                               bool *again, struct signet_error *error)
{
    const char *text = connection_errno_text(code);
    switch (code) {
    case ENOENT:
    case ECONNREFUSED:
        *again = true;
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "CONNECT_FAILED",
                              "cannot reach signetd at %s: %s; is signetd running?",
                              target->address, text);
    case EAGAIN:
        *again = true;
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "CONNECT_FAILED",
                              "signetd at %s accepts no connections: its queue is full; is it "
                              "stopped or overloaded?",
                              target->address);
    case EINTR:
        *again = true;
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "CONNECT_FAILED",
                              "connecting to signetd at %s was interrupted", target->address);
    case EACCES:
    case EPERM:
        return sg_client_fail(error, SIGNET_PERMISSION_DENIED, "CONNECT_DENIED",
                              "may not connect to %s as uid %ju: %s; the socket must be writable "
                              "and its directories searchable for this user",
                              target->address, (uintmax_t)geteuid(), text);
    default:
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "CONNECT_FAILED",
                              "cannot connect to %s: %s; is that the socket of signetd?",
                              target->address, text);
    }
}

/* The kernel's word on who listens there. */
static signet_status connection_check_peer(int fd, const struct sg_target *target,
                                           struct signet_error *error)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof(peer)) {
        return sg_client_fail(error, SIGNET_UNTRUSTED_SERVER, "SERVER_UID_UNKNOWN",
                              "cannot learn who listens at %s; nothing was sent", target->address);
    }
    if (target->server_uid >= 0) {
        if ((int64_t)peer.uid == target->server_uid) {
            return SIGNET_OK;
        }
        return sg_client_fail(error, SIGNET_UNTRUSTED_SERVER, "SERVER_UID",
                              "the process at %s runs as uid %ju, not as uid %" PRId64
                              " as server_uid or SIGNET_SERVER_UID says; nothing was sent",
                              target->address, (uintmax_t)peer.uid, target->server_uid);
    }
    if (peer.uid == 0 || peer.uid == geteuid()) {
        return SIGNET_OK;
    }
    return sg_client_fail(error, SIGNET_UNTRUSTED_SERVER, "SERVER_UID",
                          "the process at %s runs as uid %ju, neither root nor this user; nothing "
                          "was sent; if signetd has a user of its own, name its uid in "
                          "SIGNET_SERVER_UID",
                          target->address, (uintmax_t)peer.uid);
}

static signet_status connection_timed_out(const struct sg_target *target,
                                          const struct sg_deadline *deadline, const char *what,
                                          struct signet_error *error)
{
    return sg_client_fail(error, SIGNET_DEADLINE_EXCEEDED, "TIMEOUT",
                          "signetd at %s %s within %" PRIu32 " ms; is it stopped or overloaded?",
                          target->address, what, deadline->timeout_ms);
}

/* recv, after waiting for something to be there. 0: the other end closed or broke the connection;
 * -1: the deadline passed. */
static ssize_t connection_recv(int fd, const struct sg_deadline *deadline, uint8_t *bytes,
                               size_t cap)
{
    while (sg_deadline_poll(deadline, fd, POLLIN)) {
        ssize_t got = recv(fd, bytes, cap, MSG_DONTWAIT);
        if (got >= 0) {
            return got;
        }
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            return 0;
        }
    }
    return -1;
}

static signet_status connection_greet(int fd, const struct sg_target *target,
                                      const struct sg_deadline *deadline, bool *again,
                                      struct signet_error *error)
{
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    sg_sp_handshake(SG_SP_REQ0, greeting);
    /* Eight bytes fit the empty buffer of a new socket. If they do not leave, no greeting comes. */
    bool sent = send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                (ssize_t)sizeof(greeting);
    size_t len = 0;
    while (len < sizeof(greeting)) {
        ssize_t got =
            sent ? connection_recv(fd, deadline, greeting + len, sizeof(greeting) - len) : 0;
        if (got < 0) {
            return connection_timed_out(target, deadline, "did not greet", error);
        }
        if (got == 0) {
            *again = true;
            return sg_client_fail(error, SIGNET_UNAVAILABLE, "CLOSED_BEFORE_GREETING",
                                  "signetd at %s closed the connection before it greeted; is it "
                                  "stopping, or at its limit of connections?",
                                  target->address);
        }
        len += (size_t)got;
    }
    if (!sg_sp_handshake_ok(greeting, SG_SP_REP0)) {
        return sg_client_fail(error, SIGNET_PROTOCOL_ERROR, "WRONG_GREETING",
                              "what answers at %s does not speak signetd's protocol (SP, REP); is "
                              "another program on that socket?",
                              target->address);
    }
    return SIGNET_OK;
}

/* One attempt. *again: there was no daemon; a later attempt may find one. */
static signet_status connection_try(struct sg_connection *connection,
                                    const struct sg_target *target,
                                    const struct sg_deadline *deadline, bool *again,
                                    struct signet_error *error)
{
    int fd = connection_socket();
    if (fd < 0) {
        return sg_client_fail(error, SIGNET_RESOURCE_EXHAUSTED, "NO_DESCRIPTOR",
                              "cannot make a socket to reach %s: %s; see the limit on open files",
                              target->address, connection_errno_text(errno));
    }
    signet_status status;
    struct stat info;
    if (!connection_connect(fd, target, deadline)) {
        status = connection_connect_failed(target, errno, again, error);
    } else if (fstat(fd, &info) != 0) {
        status = sg_client_fail(error, SIGNET_INTERNAL, "FSTAT", "cannot fstat a socket: %s",
                                connection_errno_text(errno));
    } else {
        status = connection_check_peer(fd, target, error);
    }
    if (status == SIGNET_OK) {
        status = connection_greet(fd, target, deadline, again, error);
    }
    if (status != SIGNET_OK) {
        (void)close(fd);
        return status;
    }
    connection->device = info.st_dev;
    connection->inode = info.st_ino;
    connection->next_id = connection_first_id();
    atomic_store(&connection->fd, fd);
    return SIGNET_OK;
}

signet_status sg_connection_open(struct sg_connection *connection, const struct sg_target *target,
                                 const struct sg_deadline *deadline, struct signet_error *error)
{
    for (unsigned attempt = 0;; attempt++) {
        bool again = false;
        signet_status status = connection_try(connection, target, deadline, &again, error);
        if (!again || !sg_deadline_pause(deadline, attempt, 0)) {
            return status;
        }
    }
}

/* ---- Messages ---- */

bool sg_buffer_reserve(struct sg_buffer *buffer, size_t cap)
{
    if (cap <= buffer->cap) {
        return true;
    }
    uint8_t *bytes = realloc(buffer->bytes, cap);
    if (bytes == NULL) {
        return false;
    }
    buffer->bytes = bytes;
    buffer->cap = cap;
    return true;
}

signet_status sg_connection_send(struct sg_connection *connection, const struct sg_target *target,
                                 const struct sg_deadline *deadline, const uint8_t *frame,
                                 size_t len, bool *whole, struct signet_error *error)
{
    int fd = atomic_load(&connection->fd);
    size_t sent = 0;
    *whole = false;
    while (sent < len) {
        ssize_t put = send(fd, frame + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put >= 0) {
            sent += (size_t)put;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!sg_deadline_poll(deadline, fd, POLLOUT)) {
                return connection_timed_out(target, deadline, "did not read the request", error);
            }
        } else if (errno != EINTR) {
            return sg_client_fail(error, SIGNET_UNAVAILABLE, "SEND_FAILED",
                                  "signetd at %s closed the connection while the request was sent: "
                                  "%s",
                                  target->address, connection_errno_text(errno));
        }
    }
    *whole = true;
    return SIGNET_OK;
}

/* The connection gave no more bytes: got is 0 or -1 as connection_recv returned it. */
static signet_status connection_no_reply(const struct sg_target *target,
                                         const struct sg_deadline *deadline, ssize_t got,
                                         size_t len, struct signet_error *error)
{
    if (got < 0) {
        return connection_timed_out(
            target, deadline, len == 0 ? "did not answer" : "did not finish its answer", error);
    }
    if (len == 0) {
        return sg_client_fail(error, SIGNET_UNAVAILABLE, "NO_REPLY",
                              "signetd at %s went away before it answered; whether it did the work "
                              "is not known",
                              target->address);
    }
    return sg_client_fail(error, SIGNET_UNAVAILABLE, "REPLY_CUT",
                          "the reply of signetd at %s was cut after %zu bytes; did it die?",
                          target->address, len);
}

/* A whole message is there: is it the answer to this request, and nothing else? */
static signet_status connection_check_reply(const struct sg_target *target,
                                            const struct sg_sp_message *message, size_t len,
                                            uint32_t request_id, struct signet_error *error)
{
    if (message->request_id != request_id) {
        return sg_client_fail(error, SIGNET_PROTOCOL_ERROR, "REPLY_ID",
                              "signetd at %s answered another request (id %08" PRIx32
                              ", expected %08" PRIx32 ")",
                              target->address, message->request_id, request_id);
    }
    if (message->total_len != len) {
        return sg_client_fail(error, SIGNET_PROTOCOL_ERROR, "REPLY_TRAILING",
                              "signetd at %s sent %zu bytes more than its answer", target->address,
                              len - message->total_len);
    }
    return SIGNET_OK;
}

signet_status sg_connection_receive(struct sg_connection *connection,
                                    const struct sg_target *target,
                                    const struct sg_deadline *deadline, uint32_t request_id,
                                    struct sg_buffer *buffer, struct sg_sp_message *message,
                                    bool *silent, struct signet_error *error)
{
    int fd = atomic_load(&connection->fd);
    size_t len = 0;
    *silent = false;
    for (;;) {
        ssize_t got = connection_recv(fd, deadline, buffer->bytes + len, buffer->cap - len);
        if (got <= 0) {
            *silent = got == 0 && len == 0;
            return connection_no_reply(target, deadline, got, len, error);
        }
        len += (size_t)got;
        switch (sg_sp_parse(buffer->bytes, len, SG_MAX_RESPONSE_FRAME, message)) {
        case SG_SP_MESSAGE:
            return connection_check_reply(target, message, len, request_id, error);
        case SG_SP_MORE:
            /* total_len is within SG_MAX_RESPONSE_FRAME, or 0 while it is not known. One byte
             * more lets what follows the message be seen. */
            if (!sg_buffer_reserve(buffer, message->total_len + 1)) {
                return sg_client_fail(error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                                      "no memory for a reply of %zu bytes", message->total_len);
            }
            break;
        case SG_SP_BAD:
        default:
            return sg_client_fail(error, SIGNET_PROTOCOL_ERROR, "REPLY_FRAME",
                                  "signetd at %s sent what is no message of its protocol, or one "
                                  "larger than %u bytes",
                                  target->address, SG_MAX_RESPONSE_FRAME);
        }
    }
}
