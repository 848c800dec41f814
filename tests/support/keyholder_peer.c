/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing outlives the test program: the kernel kills the process when the thread that started it ends,
 * and it ends by itself when the sockets do.
 */
#include "tests/support/keyholder_peer.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/files.h"

/* Sanitizers make everything several times slower, and what is asked for may take long. */
#define PEER_WAIT_MS    (SG_SANITIZED ? 120000 : 30000)
#define PEER_CONTROL_FD 3

/* ---- The process ---- */

static void peer_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void peer_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* In the child: async-signal-safe calls only. */
static void peer_exec(const char *program, int control, int log)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        _exit(127);
    }
    if (control < 0) {
        (void)close(PEER_CONTROL_FD);
    } else if (control == PEER_CONTROL_FD ? fcntl(control, F_SETFD, 0) != 0
                                          : dup2(control, PEER_CONTROL_FD) < 0) {
        _exit(127);
    }
    char name[] = "signet-keyholder";
    char *const argv[] = {name, NULL};
    (void)execv(program, argv);
    _exit(127);
}

void keyholder_peer_spawn_on(struct keyholder_peer *peer, int fd)
{
    char program[512];
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-keyholder",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    memset(peer, 0, sizeof(*peer));
    peer->control = -1;
    test_temp_dir(peer->dir, sizeof(peer->dir));
    (void)snprintf(peer->log_path, sizeof(peer->log_path), "%s/log", peer->dir);
    int log = open(peer->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    peer->pid = fork();
    if (peer->pid == 0) {
        peer_exec(program, fd, log);
    }
    (void)close(log);
    assert_true(peer->pid > 0);
}

void keyholder_peer_spawn(struct keyholder_peer *peer, uint32_t num_channels)
{
    int control[2];
    assert_true(num_channels <= KEYHOLDER_PEER_MAX_CHANNELS);
    peer_pair(control);
    keyholder_peer_spawn_on(peer, control[1]);
    (void)close(control[1]);
    peer->control = control[0];
    peer->num_channels = num_channels;
    for (uint32_t i = 0; i < num_channels; i++) {
        int ends[2];
        peer_pair(ends);
        peer->channels[i] = ends[0];
        peer->theirs[i] = ends[1];
    }
}

void keyholder_peer_hello(const struct keyholder_peer *peer, const char *dir, const char *source,
                          struct sg_packet_hello *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->magic, SG_PACKET_HELLO, sizeof(out->magic));
    out->version = SG_PACKET_VERSION;
    out->epoch = 7;
    out->num_channels = peer->num_channels;
    out->front_uid = (uint32_t)geteuid();
    if (dir != NULL) {
        out->has_keystore = 1;
        (void)snprintf(out->dir, sizeof(out->dir), "%s", dir);
        (void)snprintf(out->source, sizeof(out->source), "%s", source);
    }
}

void keyholder_peer_greet(struct keyholder_peer *peer, const char *dir, const char *source)
{
    struct sg_packet_hello hello;
    keyholder_peer_hello(peer, dir, source, &hello);
    assert_true(keyholder_peer_send(peer->control, &hello, sizeof(hello), peer->theirs,
                                    peer->num_channels));
    for (uint32_t i = 0; i < peer->num_channels; i++) {
        peer_close(&peer->theirs[i]);
    }
    ssize_t len = keyholder_peer_receive(peer->control, &peer->welcome, sizeof(peer->welcome));
    if (len != (ssize_t)sizeof(peer->welcome) || peer->welcome.status != SIGNET_OK) {
        char *log = keyholder_peer_log(peer);
        print_message("%s\n", log);
        free(log);
        fail_msg("the keyholder does not welcome: length %zd, status %u, %.*s", len,
                 peer->welcome.status, (int)sizeof(peer->welcome.message), peer->welcome.message);
    }
}

void keyholder_peer_start(struct keyholder_peer *peer, uint32_t num_channels, const char *dir,
                          const char *source)
{
    keyholder_peer_spawn(peer, num_channels);
    keyholder_peer_greet(peer, dir, source);
}

static bool peer_has_ended(const struct keyholder_peer *peer, int timeout_ms)
{
    int end = pidfd_open(peer->pid, 0);
    assert_true(end >= 0);
    struct pollfd wait_for = {.fd = end, .events = POLLIN};
    int ready = poll(&wait_for, 1, timeout_ms);
    (void)close(end);
    return ready == 1;
}

bool keyholder_peer_is_alive(const struct keyholder_peer *peer)
{
    return peer->pid > 0 && !peer_has_ended(peer, 0);
}

int keyholder_peer_wait(struct keyholder_peer *peer)
{
    int status = 0;
    bool ended = peer_has_ended(peer, PEER_WAIT_MS);
    if (!ended) {
        (void)kill(peer->pid, SIGKILL);
    }
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    peer->pid = 0;
    if (!ended) {
        fail_msg("the keyholder did not end in time");
    }
    return status;
}

void keyholder_peer_stop(struct keyholder_peer *peer)
{
    peer_close(&peer->control);
    for (uint32_t i = 0; i < peer->num_channels; i++) {
        peer_close(&peer->channels[i]);
        peer_close(&peer->theirs[i]);
    }
    if (peer->pid > 0) {
        int status = keyholder_peer_wait(peer);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            /* A sanitizer's report ends up here too. */
            char *log = keyholder_peer_log(peer);
            print_message("%s\n", log);
            free(log);
            test_remove_tree(peer->dir);
            fail_msg("the keyholder ended with wait status 0x%x", (unsigned)status);
        }
    }
    test_remove_tree(peer->dir);
}

char *keyholder_peer_log(const struct keyholder_peer *peer)
{
    char *log = test_read_file(peer->log_path, NULL);
    assert_non_null(log);
    return log;
}

size_t keyholder_peer_num_fds(const struct keyholder_peer *peer)
{
    char path[64];
    size_t num = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)peer->pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return 0; /* it is undumpable, and we are not root */
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        num += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(dir);
    return num;
}

/* ---- Packets ---- */

bool keyholder_peer_send(int fd, const void *packet, size_t len, const int *fds, size_t num_fds)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int) * 256)];
    } control;
    /* sendmsg does not write to it. */
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)packet, .iov_len = len};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    assert_true(num_fds <= 256);
    if (num_fds > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * num_fds);
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * num_fds),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * num_fds);
    }
    struct pollfd wait_for = {.fd = fd, .events = POLLOUT};
    if (poll(&wait_for, 1, PEER_WAIT_MS) != 1) {
        return false;
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)len;
}

ssize_t keyholder_peer_receive(int fd, void *packet, size_t cap)
{
    struct pollfd wait_for = {.fd = fd, .events = POLLIN};
    if (poll(&wait_for, 1, PEER_WAIT_MS) != 1) {
        return -1;
    }
    ssize_t len = recv(fd, packet, cap, MSG_TRUNC);
    return len < 0 && errno == ECONNRESET ? 0 : len;
}

size_t keyholder_peer_pack(const struct sg_keyholder_request *requests, size_t num,
                           const void *bytes, size_t bytes_len, uint8_t *packet)
{
    const struct sg_packet_head head = {
        .kind = SG_PACKET_OPERATIONS, .num = (uint32_t)num, .bytes_len = (uint32_t)bytes_len};
    size_t at = sizeof(head);
    assert_true(sizeof(head) + num * sizeof(*requests) + bytes_len <= KEYHOLDER_PEER_MAX_PACKET);
    memcpy(packet, &head, sizeof(head));
    memcpy(packet + at, requests, num * sizeof(*requests));
    at += num * sizeof(*requests);
    if (bytes_len > 0) {
        memcpy(packet + at, bytes, bytes_len);
    }
    return at + bytes_len;
}

size_t keyholder_peer_pack_keystore(const struct sg_keystore_request *request, uint8_t *packet)
{
    const struct sg_packet_head head = {.kind = SG_PACKET_KEYSTORE, .num = 1};
    memcpy(packet, &head, sizeof(head));
    memcpy(packet + sizeof(head), request, sizeof(*request));
    return sizeof(head) + sizeof(*request);
}

bool keyholder_peer_is_refusal(const uint8_t *packet, size_t len)
{
    const struct sg_packet_head refused = {.kind = SG_PACKET_REFUSED};
    return len == sizeof(refused) && memcmp(packet, &refused, sizeof(refused)) == 0;
}

/* What both doors promise of a status and its message. */
static bool peer_is_outcome(uint32_t status, const char *message)
{
    return (status == SIGNET_OK) == (message[0] == '\0');
}

bool keyholder_peer_read(const uint8_t *packet, size_t len, size_t num,
                         struct sg_keyholder_reply *replies)
{
    struct sg_keyholder_reply *places[SG_PACKET_MAX_OPERATIONS];
    assert_true(num <= SG_PACKET_MAX_OPERATIONS);
    for (size_t i = 0; i < num; i++) {
        memset(&replies[i], 0, sizeof(replies[i]));
        places[i] = &replies[i];
    }
    bool good = sg_packet_read_replies(packet, len, num, places);
    for (size_t i = 0; i < num; i++) {
        good = good && peer_is_outcome(replies[i].status, replies[i].message);
    }
    return good;
}

bool keyholder_peer_read_keystore(const uint8_t *packet, size_t len,
                                  struct sg_keystore_reply *reply)
{
    return sg_packet_read_keystore_reply(packet, len, reply) &&
           peer_is_outcome(reply->status, reply->message);
}

/* Aligned for the structs in it; free() it. */
static uint8_t *peer_room(void)
{
    uint8_t *packet = malloc(KEYHOLDER_PEER_MAX_PACKET);
    assert_non_null(packet);
    return packet;
}

bool keyholder_peer_call(int channel, const struct sg_keyholder_request *requests, size_t num,
                         const void *bytes, size_t bytes_len, struct sg_keyholder_reply *replies)
{
    uint8_t *packet = peer_room();
    size_t len = keyholder_peer_pack(requests, num, bytes, bytes_len, packet);
    bool good = keyholder_peer_send(channel, packet, len, NULL, 0);
    ssize_t got = good ? keyholder_peer_receive(channel, packet, KEYHOLDER_PEER_MAX_PACKET) : -1;
    good = got > 0 && got <= (ssize_t)KEYHOLDER_PEER_MAX_PACKET &&
           keyholder_peer_read(packet, (size_t)got, num, replies);
    free(packet);
    return good;
}

bool keyholder_peer_keystore(int channel, const struct sg_keystore_request *request,
                             struct sg_keystore_reply *reply)
{
    uint8_t *packet = peer_room();
    size_t len = keyholder_peer_pack_keystore(request, packet);
    bool good = keyholder_peer_send(channel, packet, len, NULL, 0);
    ssize_t got = good ? keyholder_peer_receive(channel, packet, KEYHOLDER_PEER_MAX_PACKET) : -1;
    good = got > 0 && got <= (ssize_t)KEYHOLDER_PEER_MAX_PACKET &&
           keyholder_peer_read_keystore(packet, (size_t)got, reply);
    free(packet);
    return good;
}
