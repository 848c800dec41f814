/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of an echo server, each with one request under way at a time.
 *
 *     echo_load SOCKET_PATH CLIENTS SECONDS [--plain]
 *
 * prints what load_run prints. --plain leaves out the greeting, for a server that knows no framing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/sp.h"
#include "tests/bench/load.h"

#define ECHO_BODY_LEN 320 /* about what a request to verify an HS256 token is */

/* Read-only while clients run. */
static struct {
    struct sockaddr_un address;
    bool plain;
} echo_options;

struct echo_client {
    int fd;
    uint8_t request[SG_SP_HEADER_LEN + ECHO_BODY_LEN];
    uint8_t reply[SG_SP_HEADER_LEN + ECHO_BODY_LEN];
};

static bool echo_exchange(struct echo_client *client, size_t len)
{
    size_t got = 0;
    if (send(client->fd, client->request, len, MSG_NOSIGNAL) != (ssize_t)len) {
        return false;
    }
    while (got < len) {
        ssize_t count = recv(client->fd, client->reply + got, len - got, 0);
        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
    }
    return true;
}

static void echo_close(void *state)
{
    struct echo_client *client = state;
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    free(client);
}

static bool echo_connect(struct echo_client *client)
{
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&echo_options.address,
                                  sizeof(echo_options.address)) != 0) {
        return false;
    }
    if (echo_options.plain) {
        return true;
    }
    sg_sp_handshake(SG_SP_REQ0, client->request);
    return echo_exchange(client, SG_SP_HANDSHAKE_LEN) &&
           sg_sp_handshake_ok(client->reply, SG_SP_REP0);
}

static void *echo_open(void)
{
    struct echo_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    if (!echo_connect(client)) {
        perror(echo_options.address.sun_path);
        echo_close(client);
        return NULL;
    }
    sg_sp_header(0x80000001u, ECHO_BODY_LEN, client->request);
    return client;
}

static enum load_verdict echo_call(void *state)
{
    struct echo_client *client = state;
    bool good = echo_exchange(client, sizeof(client->request)) &&
                memcmp(client->request, client->reply, sizeof(client->request)) == 0;
    return good ? LOAD_DONE : LOAD_FAILED;
}

int main(int argc, char **argv)
{
    static const struct load load = {echo_open, echo_call, echo_close};
    unsigned long num = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    double seconds = argc >= 4 ? strtod(argv[3], NULL) : 0;
    echo_options.plain = argc == 5 && strcmp(argv[4], "--plain") == 0;
    if (num < 1 || num > LOAD_MAX_THREADS || seconds <= 0 || argc != (echo_options.plain ? 5 : 4) ||
        strlen(argv[1]) >= sizeof(echo_options.address.sun_path)) {
        (void)fprintf(stderr, "usage: %s SOCKET_PATH CLIENTS SECONDS [--plain]\n", argv[0]);
        return 2;
    }
    echo_options.address.sun_family = AF_UNIX;
    memcpy(echo_options.address.sun_path, argv[1], strlen(argv[1]) + 1);
    return load_run(&load, num, seconds);
}
