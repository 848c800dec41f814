/* SPDX-License-Identifier: Apache-2.0
 *
 * Having a keyholder started, by the launcher or by a supervisor, and hearing what it is. What it says is checked,
 * and what it must be is asked for here.
 */
#include "server/keyholder_start.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/keyholder/packet.h"
#include "server/keyholder/passing.h"
#include "server/launcher.h"

/* A process that does not say what it is within this is none. Its start locks memory and makes keys. */
#define START_WELCOME_MS 10000
#define START_STEP_MS    250
/* One that listens, but does not accept. */
#define START_CONNECT_S 5
/* What the kernel takes by default, said in case it is less here: a packet has to fit. */
#define START_SOCKET_BUFFER (2 * (int)SG_PACKET_MAX)
_Static_assert(SG_MAX_TOKEN_LEN <= SG_PACKET_MAX_BYTES, "a token must fit a packet");

static signet_status __attribute__((format(printf, 4, 5)))
start_fail(char *error, size_t error_cap, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error, error_cap, format, arguments);
    va_end(arguments);
    return status;
}

static signet_status start_connect(const struct sg_keyholder_start *start, int *out, char *error,
                                   size_t error_cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(start->options->socket) >= sizeof(address.sun_path)) {
        return start_fail(error, error_cap, SIGNET_INVALID_ARGUMENT, "%s: too long for a socket",
                          start->options->socket);
    }
    memcpy(address.sun_path, start->options->socket, strlen(start->options->socket) + 1);
    const struct timeval patience = {.tv_sec = START_CONNECT_S};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)start_fail(error, error_cap, SIGNET_UNAVAILABLE,
                         "%s: %s; is what starts the keyholder running (systemctl status "
                         "signet-keyholder.socket)?",
                         start->options->socket, strerrordesc_np(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return SIGNET_UNAVAILABLE;
    }
    *out = fd;
    return SIGNET_OK;
}

static signet_status start_have_started(const struct sg_keyholder_start *start, int *out,
                                        char *error, size_t error_cap)
{
    if (start->options->socket != NULL) {
        return start_connect(start, out, error, error_cap);
    }
    signet_status status = sg_launcher_ask(start->options->launcher_fd, out);
    if (status == SIGNET_UNAVAILABLE) {
        return start_fail(error, error_cap, status,
                          "the launcher, which starts keyholders, has ended or does not answer; if "
                          "this goes on, restart signetd");
    }
    return status == SIGNET_OK
               ? SIGNET_OK
               : start_fail(error, error_cap, status,
                            "no keyholder can be started: no process or descriptor to be had");
}

/* Cannot fail for such values; less than what is asked for is had where the kernel's limit is lower. */
static void start_set_options(const struct sg_keyholder_start *start, const int pair[2])
{
    const struct timeval step = {.tv_usec = start->receive_step_ms * 1000};
    const int len = START_SOCKET_BUFFER;
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &step, sizeof(step));
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
    (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
}

/* The ends of all channels: the daemon's and the others'. */
static bool start_make_channels(const struct sg_keyholder_start *start, int *ours, int *theirs,
                                size_t *num_theirs)
{
    for (size_t i = 0; i < start->num_channels; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
            return false;
        }
        theirs[(*num_theirs)++] = pair[1];
        ours[i] = pair[0];
        start_set_options(start, pair);
    }
    return true;
}

static void start_write_hello(const struct sg_keyholder_start *start, struct sg_packet_hello *hello)
{
    *hello = (struct sg_packet_hello){
        .version = SG_PACKET_VERSION,
        .epoch = start->epoch,
        .num_channels = (uint32_t)start->num_channels,
        .num_slow_channels = (uint32_t)start->num_slow_channels,
        .has_passphrase_fd = start->options->passphrase_fd >= 0 ? 1 : 0,
        .front_uid = geteuid(),
        .has_keystore = start->options->dir != NULL ? 1 : 0,
    };
    memcpy(hello->magic, SG_PACKET_HELLO, sizeof(hello->magic));
    if (start->options->dir != NULL) {
        (void)snprintf(hello->dir, sizeof(hello->dir), "%s", start->options->dir);
        (void)snprintf(hello->source, sizeof(hello->source), "%s", start->options->source);
    }
}

static bool start_send_hello(const struct sg_keyholder_start *start, int control_fd, const int *fds,
                             size_t num_fds)
{
    struct sg_packet_hello hello;
    start_write_hello(start, &hello);
    return sg_passing_send(control_fd, &hello, sizeof(hello), fds, num_fds);
}

/* Whether the welcome, or the end, has come in time. */
static bool start_await_welcome(const struct sg_keyholder_start *start, int control_fd)
{
    struct pollfd ask = {.fd = control_fd, .events = POLLIN};
    for (int waited_ms = 0; waited_ms < START_WELCOME_MS; waited_ms += START_STEP_MS) {
        int num = poll(&ask, 1, START_STEP_MS);
        if (num == 1) {
            return true;
        }
        if ((num < 0 && errno != EINTR) || !start->is_wanted(start->context)) {
            return false;
        }
    }
    return false;
}

static signet_status start_check_protections(const struct sg_keyholder_start *start,
                                             uint32_t protections, char *error, size_t error_cap)
{
    uint32_t missing = start->options->required & ~protections;
    if (missing == 0) {
        return SIGNET_OK;
    }
    char names[256] = "";
    size_t len = 0;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS; i++) {
        if ((missing & 1u << i) != 0 && len < sizeof(names)) {
            int written = snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
                                   sg_keyholder_protection_name(i));
            len += written > 0 ? (size_t)written : 0;
        }
    }
    return start_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                      "keyholder.require: the keyholder cannot have %s here; "
                      "signet-keyholder(8) says what each of them takes",
                      names);
}

/* What the process said; 0 if it ended without a word, -1 if it said nothing. */
static ssize_t start_receive_welcome(const struct sg_keyholder_start *start, int control_fd,
                                     uint8_t *packet, size_t cap)
{
    ssize_t len = -1;
    if (start_await_welcome(start, control_fd)) {
        len = recv(control_fd, packet, cap, 0);
        if (len < 0 && errno == ECONNRESET) {
            len = recv(control_fd, packet, cap, 0); /* it ended with our hello unread */
        }
    }
    return len;
}

static signet_status start_read_welcome(const struct sg_keyholder_start *start, int control_fd,
                                        struct sg_keyholder_state *state, char *error,
                                        size_t error_cap)
{
    /* One byte more, so that a longer answer is not taken for one. */
    uint8_t packet[sizeof(struct sg_packet_welcome) + 1];
    struct sg_packet_welcome welcome;
    ssize_t len = start_receive_welcome(start, control_fd, packet, sizeof(packet));
    if (len <= 0) {
        return start_fail(error, error_cap, SIGNET_UNAVAILABLE,
                          "the keyholder's process %s before it said that it is ready; "
                          "run signet-keyholder --version as its user to see whether it runs",
                          len == 0 ? "ended" : "did not answer");
    }
    if (!sg_packet_read_welcome(packet, (size_t)len, &welcome)) {
        return start_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                          "the keyholder is of another version than signetd; install both from "
                          "one build");
    }
    if (welcome.status != SIGNET_OK) {
        return start_fail(error, error_cap, SIGNET_FAILED_PRECONDITION,
                          "the keyholder does not start: %s", welcome.message);
    }
    uint32_t protections = welcome.protections & ~(uint32_t)SG_PROTECT_OWN_USER;
    if (welcome.uid != geteuid()) {
        protections |= SG_PROTECT_OWN_USER;
    }
    state->pid = welcome.pid;
    state->uid = welcome.uid;
    state->protections = protections;
    return start_check_protections(start, protections, error, error_cap);
}

signet_status sg_keyholder_start_one(const struct sg_keyholder_start *start, int *control_fd,
                                     int *channel_fds, struct sg_keyholder_state *state,
                                     char *error, size_t error_cap)
{
    int theirs[SG_PASSING_MAX];
    size_t num = 0;
    signet_status status = start_have_started(start, control_fd, error, error_cap);
    if (status != SIGNET_OK) {
        return status;
    }
    bool made = start_make_channels(start, channel_fds, theirs, &num);
    size_t num_sent = num;
    if (start->options->passphrase_fd >= 0) {
        theirs[num_sent++] = start->options->passphrase_fd;
    }
    bool sent = made && start_send_hello(start, *control_fd, theirs, num_sent);
    for (size_t i = 0; i < num; i++) {
        (void)close(theirs[i]);
    }
    if (!made) {
        return start_fail(error, error_cap, SIGNET_RESOURCE_EXHAUSTED,
                          "no descriptors for the keyholder; raise RLIMIT_NOFILE (LimitNOFILE)");
    }
    (void)sent; /* one that ended may have said why */
    return start_read_welcome(start, *control_fd, state, error, error_cap);
}
