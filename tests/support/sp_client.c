/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer that speaks the framing byte by byte. Blocking sockets with a timeout; never raises SIGPIPE.
 */
#include "tests/support/sp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "common/sp.h"

/* A bound for a broken run, not a measure: far above every deadline of the daemon. */
#define SP_CLIENT_WAIT_S 60

int sp_client_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval wait = {.tv_sec = SP_CLIENT_WAIT_S};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

bool sp_client_write(int fd, const void *bytes, size_t len)
{
    const uint8_t *next = bytes;
    while (len > 0) {
        ssize_t sent = send(fd, next, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            assert_true(errno != EAGAIN);
            return false;
        }
        next += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* False if the connection ends first. */
static bool sp_client_read(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t got = recv(fd, out, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            assert_true(got == 0 || errno == ECONNRESET);
            return false;
        }
        out += got;
        len -= (size_t)got;
    }
    return true;
}

int sp_client_open(const char *path)
{
    int fd = sp_client_connect(path);
    uint8_t greeting[SG_SP_HANDSHAKE_LEN];
    sg_sp_handshake(SG_SP_REQ0, greeting);
    assert_true(sp_client_write(fd, greeting, sizeof(greeting)));
    assert_true(sp_client_read(fd, greeting, sizeof(greeting)));
    assert_true(sg_sp_handshake_ok(greeting, SG_SP_REP0));
    return fd;
}

bool sp_client_send(int fd, uint32_t request_id, const void *body, size_t len)
{
    uint8_t *frame = malloc(SG_SP_HEADER_LEN + len);
    assert_non_null(frame);
    sg_sp_header(request_id, len, frame);
    if (len > 0) {
        memcpy(frame + SG_SP_HEADER_LEN, body, len);
    }
    bool sent = sp_client_write(fd, frame, SG_SP_HEADER_LEN + len);
    free(frame);
    return sent;
}

uint8_t *sp_client_receive(int fd, uint32_t *request_id, size_t *len)
{
    uint8_t header[SG_SP_HEADER_LEN];
    if (!sp_client_read(fd, header, sizeof(header))) {
        return NULL;
    }
    struct sg_sp_message message;
    enum sg_sp_parse parsed = sg_sp_parse(header, sizeof(header), SG_MAX_RESPONSE_FRAME, &message);
    assert_true(parsed == SG_SP_MORE || parsed == SG_SP_MESSAGE);
    *len = message.total_len - sizeof(header);
    uint8_t *body = malloc(*len + 1);
    assert_non_null(body);
    *request_id = (uint32_t)header[9] << 24 | (uint32_t)header[10] << 16 |
                  (uint32_t)header[11] << 8 | header[12];
    if (!sp_client_read(fd, body, *len)) {
        free(body);
        return NULL;
    }
    return body;
}

void sp_client_wait_closed(int fd)
{
    uint8_t bytes[4096];
    while (sp_client_read(fd, bytes, 1)) {
        ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        assert_true(got >= 0 || errno == EAGAIN || errno == ECONNRESET);
    }
}

size_t sp_client_health(uint8_t *out, size_t cap)
{
    /* signet.rpc.v1.Request with only field 1, the method. */
    size_t len = sizeof(SG_METHOD_HEALTH_CHECK) - 1;
    assert_true(cap >= len + 2 && len < 128);
    out[0] = 1 << 3 | 2;
    out[1] = (uint8_t)len;
    memcpy(out + 2, SG_METHOD_HEALTH_CHECK, len);
    return len + 2;
}

void sp_client_check_health(const char *path)
{
    uint8_t request[64];
    size_t len = sp_client_health(request, sizeof(request));
    int fd = sp_client_open(path);
    assert_true(sp_client_send(fd, 0x80000007u, request, len));
    uint32_t id = 0;
    uint8_t *reply = sp_client_receive(fd, &id, &len);
    assert_non_null(reply);
    assert_int_equal(id, 0x80000007u);
    /* signet.rpc.v1.Response with field 1: a payload, here { status: SERVING }. */
    const uint8_t serving[] = {1 << 3 | 2, 2, 1 << 3, 1};
    assert_int_equal(len, sizeof(serving));
    assert_memory_equal(reply, serving, sizeof(serving));
    free(reply);
    assert_int_equal(close(fd), 0);
}
