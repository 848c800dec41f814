/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread, which waits for whatever comes next. Bytes are passed on before more are read; what both sides
 * have under way fits the buffers of their sockets, and a side that takes nothing for long is given up.
 */
#include "tests/integration/leak_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PROXY_MAX_PAIRS 32u
#define PROXY_CHUNK     65536u
#define PROXY_WAIT_S    60

/* Two sockets: what comes from one goes to the other. */
struct proxy_pair {
    int fds[2];                      /* the client's, the daemon's; -1: free */
    struct secret_stream streams[2]; /* what came from each */
};

struct leak_proxy {
    struct sockaddr_un upstream;
    int listener, stop;
    const struct secret_search *search;
    pthread_t thread;
    pthread_mutex_t mutex;
    struct secret_report report; /* guarded by mutex */
    struct proxy_pair pairs[PROXY_MAX_PAIRS];
    uint8_t chunk[PROXY_CHUNK];
};

static struct sockaddr_un proxy_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static void proxy_close(struct proxy_pair *pair)
{
    for (size_t side = 0; side < 2; side++) {
        if (pair->fds[side] >= 0) {
            (void)close(pair->fds[side]);
        }
        pair->fds[side] = -1;
    }
}

static int proxy_connect(const struct leak_proxy *proxy)
{
    const struct timeval wait = {.tv_sec = PROXY_WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
         connect(fd, (const struct sockaddr *)&proxy->upstream, sizeof(proxy->upstream)) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void proxy_accept(struct leak_proxy *proxy)
{
    const struct timeval wait = {.tv_sec = PROXY_WAIT_S};
    int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < PROXY_MAX_PAIRS; i++) {
        struct proxy_pair *pair = &proxy->pairs[i];
        if (pair->fds[0] >= 0) {
            continue;
        }
        pair->fds[0] = fd;
        pair->fds[1] = proxy_connect(proxy);
        pair->streams[0] = (struct secret_stream){
            .search = proxy->search, .report = &proxy->report, .place = "to the daemon"};
        pair->streams[1] = (struct secret_stream){
            .search = proxy->search, .report = &proxy->report, .place = "from the daemon"};
        if (pair->fds[1] < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0) {
            proxy_close(pair);
        }
        return;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void proxy_pass_on(struct leak_proxy *proxy, struct proxy_pair *pair, size_t side)
{
    ssize_t got = recv(pair->fds[side], proxy->chunk, sizeof(proxy->chunk), 0);
    size_t done = 0;
    if (got > 0) {
        (void)pthread_mutex_lock(&proxy->mutex);
        secret_stream_feed(&pair->streams[side], proxy->chunk, (size_t)got);
        (void)pthread_mutex_unlock(&proxy->mutex);
    }
    while (got > 0 && done < (size_t)got) {
        ssize_t put =
            send(pair->fds[1 - side], proxy->chunk + done, (size_t)got - done, MSG_NOSIGNAL);
        if (put <= 0) {
            got = -1;
        } else {
            done += (size_t)put;
        }
    }
    if (got <= 0) {
        proxy_close(pair);
    }
}

static void *proxy_main(void *arg)
{
    struct leak_proxy *proxy = arg;
    struct pollfd fds[2 + 2 * PROXY_MAX_PAIRS];
    for (;;) {
        fds[0] = (struct pollfd){.fd = proxy->stop, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        for (size_t i = 0; i < 2 * PROXY_MAX_PAIRS; i++) {
            fds[2 + i] = (struct pollfd){.fd = proxy->pairs[i / 2].fds[i % 2], .events = POLLIN};
        }
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 || fds[0].revents != 0) {
            return NULL;
        }
        for (size_t i = 0; i < 2 * PROXY_MAX_PAIRS; i++) {
            if (fds[2 + i].revents != 0 && proxy->pairs[i / 2].fds[i % 2] >= 0) {
                proxy_pass_on(proxy, &proxy->pairs[i / 2], i % 2);
            }
        }
        if (fds[1].revents != 0) {
            proxy_accept(proxy);
        }
    }
}

struct leak_proxy *leak_proxy_start(const char *path, const char *upstream,
                                    const struct secret_search *search)
{
    struct leak_proxy *proxy = calloc(1, sizeof(*proxy));
    assert_non_null(proxy);
    const struct sockaddr_un address = proxy_address(path);
    proxy->upstream = proxy_address(upstream);
    proxy->search = search;
    for (size_t i = 0; i < PROXY_MAX_PAIRS; i++) {
        proxy->pairs[i].fds[0] = proxy->pairs[i].fds[1] = -1;
    }
    proxy->stop = eventfd(0, EFD_CLOEXEC);
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(proxy->stop >= 0 && proxy->listener >= 0);
    assert_int_equal(bind(proxy->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(proxy->listener, (int)PROXY_MAX_PAIRS), 0);
    assert_int_equal(pthread_mutex_init(&proxy->mutex, NULL), 0);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_main, proxy), 0);
    return proxy;
}

void leak_proxy_read(struct leak_proxy *proxy, struct secret_report *report)
{
    (void)pthread_mutex_lock(&proxy->mutex);
    *report = proxy->report;
    (void)pthread_mutex_unlock(&proxy->mutex);
}

void leak_proxy_stop(struct leak_proxy *proxy)
{
    const uint64_t one = 1;
    if (proxy == NULL) {
        return;
    }
    assert_int_equal(write(proxy->stop, &one, sizeof(one)), sizeof(one));
    assert_int_equal(pthread_join(proxy->thread, NULL), 0);
    for (size_t i = 0; i < PROXY_MAX_PAIRS; i++) {
        proxy_close(&proxy->pairs[i]);
    }
    (void)close(proxy->listener);
    (void)close(proxy->stop);
    (void)pthread_mutex_destroy(&proxy->mutex);
    free(proxy);
}
