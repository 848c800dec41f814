/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of an echo server, each with one request under way at a time.
 *
 *     echo_load SOCKET_PATH CLIENTS SECONDS [--plain]
 *
 * prints "RATE P50_US P99_US". --plain leaves out the greeting, for a server that knows no framing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/sp.h"

#define LOAD_MAX_CLIENTS 1024
#define LOAD_BODY_LEN    320     /* about what a request to verify an HS256 token is */
#define LOAD_MAX_US      1000000 /* longer ones are counted in the last bucket */

/* Read-only while clients run. */
static struct {
    struct sockaddr_un address;
    bool plain;
} load_options;

static atomic_bool load_stop;

struct load_client {
    pthread_t thread;
    uint32_t *latencies; /* counts by whole microseconds */
    uint64_t num_done;
    bool failed;
};

static uint64_t load_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool load_exchange(int fd, const uint8_t *request, size_t len, uint8_t *reply)
{
    size_t got = 0;
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) {
        return false;
    }
    while (got < len) {
        ssize_t count = recv(fd, reply + got, len - got, 0);
        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
    }
    return true;
}

static bool load_client_run(struct load_client *client, int fd)
{
    uint8_t request[SG_SP_HEADER_LEN + LOAD_BODY_LEN] = {0};
    uint8_t reply[sizeof(request)];
    if (connect(fd, (const struct sockaddr *)&load_options.address, sizeof(load_options.address)) !=
        0) {
        return false;
    }
    if (!load_options.plain) {
        sg_sp_handshake(SG_SP_REQ0, request);
        if (!load_exchange(fd, request, SG_SP_HANDSHAKE_LEN, reply) ||
            !sg_sp_handshake_ok(reply, SG_SP_REP0)) {
            return false;
        }
    }
    sg_sp_header(0x80000001u, LOAD_BODY_LEN, request);

    uint64_t before = load_now_ns();
    while (!atomic_load_explicit(&load_stop, memory_order_relaxed)) {
        if (!load_exchange(fd, request, sizeof(request), reply)) {
            return false;
        }
        uint64_t after = load_now_ns();
        uint64_t took_us = (after - before) / 1000;
        client->latencies[took_us < LOAD_MAX_US ? took_us : LOAD_MAX_US - 1]++;
        client->num_done++;
        before = after;
    }
    return memcmp(request, reply, sizeof(request)) == 0;
}

static void *load_client_main(void *argument)
{
    struct load_client *client = argument;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->failed = fd < 0 || !load_client_run(client, fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return NULL;
}

/* The number of microseconds that a share of the requests did not exceed. */
static uint32_t load_percentile(const struct load_client *clients, size_t num, uint64_t total,
                                double share)
{
    uint64_t seen = 0;
    for (uint32_t us = 0; us < LOAD_MAX_US; us++) {
        for (size_t i = 0; i < num; i++) {
            seen += clients[i].latencies[us];
        }
        if ((double)seen >= share * (double)total) {
            return us;
        }
    }
    return LOAD_MAX_US;
}

static int load_run(struct load_client *clients, size_t num, double seconds)
{
    uint64_t begin = load_now_ns();
    for (size_t i = 0; i < num; i++) {
        clients[i].latencies = calloc(LOAD_MAX_US, sizeof(uint32_t));
        if (clients[i].latencies == NULL ||
            pthread_create(&clients[i].thread, NULL, load_client_main, &clients[i]) != 0) {
            (void)fprintf(stderr, "cannot start %zu clients\n", num);
            return 1;
        }
    }
    const struct timespec pause = {(time_t)seconds,
                                   (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&pause, NULL);
    atomic_store(&load_stop, true);

    uint64_t total = 0;
    bool failed = false;
    for (size_t i = 0; i < num; i++) {
        (void)pthread_join(clients[i].thread, NULL);
        total += clients[i].num_done;
        failed = failed || clients[i].failed;
    }
    double took = (double)(load_now_ns() - begin) / 1e9;
    if (failed || total == 0) {
        (void)fprintf(stderr, "a client failed\n");
        return 1;
    }
    (void)printf("%.0f %u %u\n", (double)total / took, load_percentile(clients, num, total, 0.50),
                 load_percentile(clients, num, total, 0.99));
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long num = argc >= 4 ? strtoul(argv[2], NULL, 10) : 0;
    double seconds = argc >= 4 ? strtod(argv[3], NULL) : 0;
    load_options.plain = argc == 5 && strcmp(argv[4], "--plain") == 0;
    if (num < 1 || num > LOAD_MAX_CLIENTS || seconds <= 0 || argc != (load_options.plain ? 5 : 4) ||
        strlen(argv[1]) >= sizeof(load_options.address.sun_path)) {
        (void)fprintf(stderr, "usage: %s SOCKET_PATH CLIENTS SECONDS [--plain]\n", argv[0]);
        return 2;
    }
    load_options.address.sun_family = AF_UNIX;
    memcpy(load_options.address.sun_path, argv[1], strlen(argv[1]) + 1);

    struct load_client *clients = calloc(num, sizeof(*clients));
    if (clients == NULL) {
        return 1;
    }
    int status = load_run(clients, num, seconds);
    for (size_t i = 0; i < num; i++) {
        free(clients[i].latencies);
    }
    free(clients);
    return status;
}
