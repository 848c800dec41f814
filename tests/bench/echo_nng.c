/* SPDX-License-Identifier: Apache-2.0
 *
 * What libnng's streams do with the daemon's framing and no daemon behind: every message comes back.
 *
 *     echo_nng SOCKET_PATH      until it is killed
 */
#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/sp.h"

#define ECHO_MAX_PAYLOAD 65536u

/* One connection; freed when either direction fails. One operation at a time. */
struct echo_connection {
    nng_stream *stream;
    nng_aio *aio;
    uint8_t bytes[SG_SP_HEADER_LEN + ECHO_MAX_PAYLOAD];
    size_t len;     /* received */
    size_t to_send; /* of them, to be sent back */
    size_t sent;
    bool greeted;
    bool sending;
};

struct echo_listener {
    nng_stream_listener *listener;
    nng_aio *aio;
};

static void echo_transfer(struct echo_connection *connection, size_t at, size_t len)
{
    nng_iov iov = {.iov_buf = connection->bytes + at, .iov_len = len};
    (void)nng_aio_set_iov(connection->aio, 1, &iov);
    if (connection->sending) {
        nng_stream_send(connection->stream, connection->aio);
    } else {
        nng_stream_recv(connection->stream, connection->aio);
    }
}

static void echo_receive(struct echo_connection *connection)
{
    connection->sending = false;
    echo_transfer(connection, connection->len, sizeof(connection->bytes) - connection->len);
}

static void echo_send(struct echo_connection *connection)
{
    connection->sending = true;
    echo_transfer(connection, connection->sent, connection->to_send - connection->sent);
}

static void echo_close(struct echo_connection *connection)
{
    nng_stream_close(connection->stream);
    nng_stream_free(connection->stream);
    nng_aio_reap(connection->aio); /* from its own callback, nothing else is allowed */
    free(connection);
}

/* Looks at what arrived, and starts the next operation; false on nonsense. */
static bool echo_step(struct echo_connection *connection)
{
    if (!connection->greeted) {
        if (connection->len < SG_SP_HANDSHAKE_LEN) {
            echo_receive(connection);
            return true;
        }
        if (!sg_sp_handshake_ok(connection->bytes, SG_SP_REQ0)) {
            return false;
        }
        sg_sp_handshake(SG_SP_REP0, connection->bytes);
        connection->greeted = true;
        connection->to_send = SG_SP_HANDSHAKE_LEN;
        echo_send(connection);
        return true;
    }
    struct sg_sp_message message;
    switch (sg_sp_parse(connection->bytes, connection->len, ECHO_MAX_PAYLOAD, &message)) {
    case SG_SP_MESSAGE:
        connection->to_send = message.total_len;
        echo_send(connection);
        return true;
    case SG_SP_MORE:
        echo_receive(connection);
        return true;
    case SG_SP_BAD:
        break;
    }
    return false;
}

static void echo_on_transfer(void *argument)
{
    struct echo_connection *connection = argument;
    size_t count = nng_aio_count(connection->aio);
    if (nng_aio_result(connection->aio) != 0 || count == 0) {
        echo_close(connection);
        return;
    }
    if (connection->sending) {
        connection->sent += count;
        if (connection->sent < connection->to_send) {
            echo_send(connection);
            return;
        }
        connection->len -= connection->to_send;
        memmove(connection->bytes, connection->bytes + connection->to_send, connection->len);
        connection->to_send = 0;
        connection->sent = 0;
    } else {
        connection->len += count;
    }
    if (!echo_step(connection)) {
        echo_close(connection);
    }
}

static void echo_on_accept(void *argument)
{
    struct echo_listener *listener = argument;
    if (nng_aio_result(listener->aio) != 0) {
        return;
    }
    nng_stream *stream = nng_aio_get_output(listener->aio, 0);
    struct echo_connection *connection = calloc(1, sizeof(*connection));
    if (connection != NULL && nng_aio_alloc(&connection->aio, echo_on_transfer, connection) == 0) {
        connection->stream = stream;
        echo_receive(connection);
    } else {
        free(connection);
        nng_stream_free(stream);
    }
    nng_stream_listener_accept(listener->listener, listener->aio);
}

int main(int argc, char **argv)
{
    char url[160];
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s SOCKET_PATH\n", argv[0]);
        return 2;
    }
    (void)snprintf(url, sizeof(url), "ipc://%s", argv[1]);

    struct echo_listener listener;
    int failure = nng_stream_listener_alloc(&listener.listener, url);
    if (failure == 0) {
        failure = nng_aio_alloc(&listener.aio, echo_on_accept, &listener);
    }
    if (failure == 0) {
        failure = nng_stream_listener_listen(listener.listener);
    }
    if (failure != 0) {
        (void)fprintf(stderr, "%s: %s\n", url, nng_strerror(failure));
        return 1;
    }
    nng_stream_listener_accept(listener.listener, listener.aio);
    for (;;) {
        (void)pause();
    }
}
