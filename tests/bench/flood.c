/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer that wants all of the daemon, and keeps to nothing that it is told.
 *
 *     flood SOCKET_PATH sign KEYSET CONNECTIONS DEPTH
 *     flood SOCKET_PATH garbage
 *
 * sign keeps DEPTH requests to sign under way on each connection, sends another as soon as an answer is there,
 * whatever it says, and connects again when it is closed. garbage connects, sends noise and closes, as fast as it
 * can. Both go on until SIGTERM, and then print what came of it:
 * "SENT ANSWERED ERRORS CONNECTED REFUSED_TO_CONNECT".
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define FLOOD_MAX_CONNECTIONS 1024
#define FLOOD_MAX_DEPTH       64
#define FLOOD_BUFFER_LEN      65536u

static volatile sig_atomic_t flood_stop;

static struct {
    uint64_t num_sent, num_answered, num_errors, num_connected, num_not_connected;
} flood_counts;

static struct sockaddr_un flood_address = {.sun_family = AF_UNIX};

static void flood_on_signal(int number)
{
    (void)number;
    flood_stop = 1;
}

static int flood_connect(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&flood_address, sizeof(flood_address)) == 0) {
        flood_counts.num_connected++;
        return fd;
    }
    flood_counts.num_not_connected++;
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* ---- Garbage ---- */

static void flood_garbage(void)
{
    static const char noise[] = "GET / HTTP/1.1\r\nHost: signet\r\n\r\n";
    while (!flood_stop) {
        int fd = flood_connect();
        if (fd < 0) {
            continue;
        }
        if (send(fd, noise, sizeof(noise) - 1, MSG_NOSIGNAL) > 0) {
            flood_counts.num_sent++;
        }
        (void)close(fd);
    }
}

/* ---- Signing ---- */

struct flood_connection {
    int fd; /* -1: to be connected again */
    bool greeted;
    uint32_t next_id;
    size_t len;
    uint8_t bytes[FLOOD_BUFFER_LEN];
};

struct flood_request {
    uint8_t *frame;
    size_t len;
};

/* A request to sign, in its frame. */
static struct flood_request flood_make_request(const char *keyset)
{
    char *audiences[] = {(char[]){"signet-bench"}};
    Signet__V1__SignRequest sign = SIGNET__V1__SIGN_REQUEST__INIT;
    sign.keyset = strdup(keyset);
    sign.subject = (char[]){"flood"};
    sign.audience = audiences;
    sign.n_audience = 1;
    uint8_t payload[512];
    if (sign.keyset == NULL || signet__v1__sign_request__get_packed_size(&sign) > sizeof(payload)) {
        exit(1);
    }
    Signet__Rpc__V1__Request envelope = SIGNET__RPC__V1__REQUEST__INIT;
    envelope.method = (char[]){SG_METHOD_SIGN};
    envelope.timeout_ms = SG_DEFAULT_TIMEOUT_MS;
    envelope.payload.data = payload;
    envelope.payload.len = signet__v1__sign_request__pack(&sign, payload);
    size_t body_len = signet__rpc__v1__request__get_packed_size(&envelope);
    struct flood_request request = {.len = SG_SP_HEADER_LEN + body_len};
    request.frame = malloc(request.len);
    if (request.frame == NULL) {
        exit(1);
    }
    (void)signet__rpc__v1__request__pack(&envelope, request.frame + SG_SP_HEADER_LEN);
    free(sign.keyset);
    return request;
}

static bool flood_send(struct flood_connection *connection, const struct flood_request *request)
{
    sg_sp_header(0x80000000u | (connection->next_id++ & 0x7fffffffu),
                 request->len - SG_SP_HEADER_LEN, request->frame);
    if (send(connection->fd, request->frame, request->len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)request->len) {
        return false; /* it does not read: another connection will */
    }
    flood_counts.num_sent++;
    return true;
}

static void flood_close(struct flood_connection *connection)
{
    if (connection->fd >= 0) {
        (void)close(connection->fd);
    }
    connection->fd = -1;
}

static void flood_open(struct flood_connection *connection, int epoll_fd)
{
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    connection->fd = flood_connect();
    connection->greeted = false;
    connection->len = 0;
    sg_sp_handshake(SG_SP_REQ0, greeting);
    if (connection->fd >= 0 &&
        (send(connection->fd, greeting, sizeof(greeting), MSG_NOSIGNAL) != sizeof(greeting) ||
         epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)) {
        flood_close(connection);
    }
}

/* Counts an answer; which of the two fields of signet.rpc.v1.Response it has is its first byte. */
static void flood_count(const struct sg_sp_message *message)
{
    flood_counts.num_answered++;
    flood_counts.num_errors += message->body_len > 0 && message->body[0] == 0x12 ? 1 : 0;
}

/* Takes what has come apart, and sends as many requests anew. */
static bool flood_take(struct flood_connection *connection, const struct flood_request *request,
                       int depth)
{
    size_t offset = 0;
    int num = 0;
    if (!connection->greeted) {
        if (connection->len < SG_SP_HANDSHAKE_LEN) {
            return true;
        }
        connection->greeted = true;
        offset = SG_SP_HANDSHAKE_LEN;
        num = depth;
    }
    struct sg_sp_message message;
    while (sg_sp_parse(connection->bytes + offset, connection->len - offset, SG_MAX_RESPONSE_FRAME,
                       &message) == SG_SP_MESSAGE) {
        flood_count(&message);
        offset += message.total_len;
        num++;
    }
    memmove(connection->bytes, connection->bytes + offset, connection->len - offset);
    connection->len -= offset;
    for (int i = 0; i < num; i++) {
        if (!flood_send(connection, request)) {
            return false;
        }
    }
    return true;
}

static void flood_serve(struct flood_connection *connection, const struct flood_request *request,
                        int depth)
{
    ssize_t got = recv(connection->fd, connection->bytes + connection->len,
                       sizeof(connection->bytes) - connection->len, MSG_DONTWAIT);
    if (got > 0) {
        connection->len += (size_t)got;
    }
    bool is_open = got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
    if (!is_open || !flood_take(connection, request, depth)) {
        flood_close(connection);
    }
}

static int flood_sign(const char *keyset, long num, int depth)
{
    struct flood_request request = flood_make_request(keyset);
    struct flood_connection *connections = calloc((size_t)num, sizeof(*connections));
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || epoll_fd < 0) {
        return 1;
    }
    for (long i = 0; i < num; i++) {
        connections[i].fd = -1;
    }
    while (!flood_stop) {
        struct epoll_event events[64];
        for (long i = 0; i < num; i++) {
            if (connections[i].fd < 0) {
                flood_open(&connections[i], epoll_fd);
            }
        }
        int num_events = epoll_wait(epoll_fd, events, 64, 100);
        for (int i = 0; i < num_events; i++) {
            flood_serve(events[i].data.ptr, &request, depth);
        }
    }
    free(connections);
    free(request.frame);
    (void)close(epoll_fd);
    return 0;
}

int main(int argc, char **argv)
{
    const bool is_sign = argc == 6 && strcmp(argv[2], "sign") == 0;
    const bool is_garbage = argc == 3 && strcmp(argv[2], "garbage") == 0;
    long num = is_sign ? strtol(argv[4], NULL, 10) : 1;
    long depth = is_sign ? strtol(argv[5], NULL, 10) : 1;
    if ((!is_sign && !is_garbage) || num < 1 || num > FLOOD_MAX_CONNECTIONS || depth < 1 ||
        depth > FLOOD_MAX_DEPTH || strlen(argv[1]) >= sizeof(flood_address.sun_path)) {
        (void)fprintf(stderr,
                      "usage: %s SOCKET_PATH sign KEYSET CONNECTIONS DEPTH\n"
                      "       %s SOCKET_PATH garbage\n",
                      argv[0], argv[0]);
        return 2;
    }
    memcpy(flood_address.sun_path, argv[1], strlen(argv[1]) + 1);
    const struct sigaction action = {.sa_handler = flood_on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    int status = 0;
    if (is_sign) {
        status = flood_sign(argv[3], num, (int)depth);
    } else {
        flood_garbage();
    }
    (void)printf("%llu %llu %llu %llu %llu\n", (unsigned long long)flood_counts.num_sent,
                 (unsigned long long)flood_counts.num_answered,
                 (unsigned long long)flood_counts.num_errors,
                 (unsigned long long)flood_counts.num_connected,
                 (unsigned long long)flood_counts.num_not_connected);
    return status;
}
