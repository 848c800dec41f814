/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread a channel, each with one packet at a time: receive, take apart (packet.c), do, answer. The
 * process knows no other input. It never ends for what a packet says, and ends at once when the daemon
 * closes any of its sockets, as the kernel does for a daemon that died.
 */
#include "server/keyholder/channels.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/keyholder/confine.h"
#include "server/keyholder/kek.h"
#include "server/keyholder/keystore_dir.h"
#include "server/keyholder/memory.h"
#include "server/keyholder/packet.h"
#include "server/keyholder/passing.h"
#include "server/keyholder/secret.h"
#include "server/keyholder/turns.h"

struct channel {
    int fd;
    bool is_slow;
    uint8_t *stack; /* SG_MEMORY_STACK_LEN */
    const struct sg_packet_hello *hello;
    int passphrase_fd;
    struct sg_keyholder *keyholder;
    struct sg_keyholder_reply *replies; /* SG_PACKET_MAX_OPERATIONS */
    struct sg_keystore_request *keystore_request;
    struct sg_keystore_reply *keystore_reply;
    uint8_t *in, *out; /* SG_PACKET_MAX each */
};

/* ---- Sockets ---- */

static ssize_t channel_receive(int fd, uint8_t *packet)
{
    for (;;) {
        /* A longer packet than there is room for says so, and is refused; descriptors that come with it
         * are closed by the kernel. */
        ssize_t len = recv(fd, packet, SG_PACKET_MAX, MSG_TRUNC);
        if (len >= 0 || errno != EINTR) {
            return len;
        }
    }
}

static bool channel_send(int fd, const void *packet, size_t len)
{
    for (;;) {
        ssize_t sent = send(fd, packet, len, MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR) {
            return sent >= 0 && (size_t)sent == len;
        }
    }
}

/* Nothing received is the end, or an empty packet. */
static bool channel_has_ended(int fd)
{
    struct pollfd ask = {.fd = fd, .events = POLLRDHUP};
    int num = poll(&ask, 1, 0);
    return num != 0;
}

/* ---- Packets ---- */

/* What OPEN is asked for was said in the hello, before Landlock shut everything else away. */
static bool channel_may_open(const struct channel *channel,
                             const struct sg_keystore_request *request)
{
    const struct sg_packet_hello *hello = channel->hello;
    return hello->has_keystore == 1 &&
           strncmp(request->dir, hello->dir, sizeof(request->dir)) == 0 &&
           strncmp(request->source, hello->source, sizeof(request->source)) == 0;
}

static void channel_refuse_open(struct sg_keystore_reply *reply)
{
    memset(reply, 0, sizeof(*reply));
    reply->status = SIGNET_PERMISSION_DENIED;
    (void)snprintf(reply->message, sizeof(reply->message),
                   "the keyholder was started for another keystore");
}

static size_t channel_keystore(struct channel *channel, const struct sg_keystore_request *request)
{
    struct sg_keystore_reply *reply = channel->keystore_reply;
    struct sg_keystore_request *own = channel->keystore_request;
    *own = *request;
    own->passphrase_fd = channel->passphrase_fd;
    own->front_uid = channel->hello->front_uid;
    if (own->op == SG_KEYSTORE_OPEN && !channel_may_open(channel, own)) {
        channel_refuse_open(reply);
    } else if (sg_keyholder_keystore(channel->keyholder, own, reply) != SIGNET_OK) {
        return 0;
    }
    memcpy(channel->out, reply, sizeof(*reply));
    return sizeof(*reply);
}

/* Returns the length of the answer in channel->out. */
static size_t channel_serve(struct channel *channel, size_t len)
{
    struct sg_packet_request request;
    size_t answer_len = 0;
    if (sg_packet_read_request(channel->in, len, &request)) {
        if (request.kind == SG_PACKET_KEYSTORE) {
            answer_len = channel_keystore(channel, request.keystore);
        } else if (sg_keyholder_call(channel->keyholder, request.operations, request.num,
                                     request.bytes, request.bytes_len,
                                     channel->replies) == SIGNET_OK) {
            answer_len = sg_packet_write_replies(channel->replies, request.num, channel->out);
        }
    }
    if (answer_len == 0) {
        const struct sg_packet_head refused = {.kind = SG_PACKET_REFUSED};
        memcpy(channel->out, &refused, sizeof(refused));
        answer_len = sizeof(refused);
    }
    return answer_len;
}

static void *channel_main(void *arg)
{
    struct channel *channel = arg;
    if (channel->is_slow) {
        sg_turns_yield();
    }
    for (;;) {
        ssize_t len = channel_receive(channel->fd, channel->in);
        if (len < 0 || (len == 0 && channel_has_ended(channel->fd)) ||
            !channel_send(channel->fd, channel->out, channel_serve(channel, (size_t)len))) {
            _exit(EXIT_SUCCESS); /* other threads may be at work; the kernel wipes */
        }
    }
    return NULL;
}

static bool channel_start(struct channel *channel)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    bool started = pthread_attr_setstack(&attributes, channel->stack, SG_MEMORY_STACK_LEN) == 0 &&
                   pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                   pthread_create(&thread, &attributes, channel_main, channel) == 0;
    (void)pthread_attr_destroy(&attributes);
    return started;
}

/* ---- The beginning ---- */

_Static_assert(SG_PACKET_MAX_CHANNELS + 1 <= SG_PASSING_MAX, "a hello brings all of them");

struct beginning {
    struct sg_packet_hello hello;
    int fds[SG_PASSING_MAX];
    size_t num_fds;
    struct sg_packet_welcome welcome;
};

static void beginning_fail(struct beginning *beginning, signet_status status, const char *why)
{
    beginning->welcome.status = (uint32_t)status;
    (void)snprintf(beginning->welcome.message, sizeof(beginning->welcome.message), "%s", why);
}

static bool beginning_are_channels(const struct beginning *beginning)
{
    for (uint32_t i = 0; i < beginning->hello.num_channels; i++) {
        int type = 0;
        socklen_t len = sizeof(type);
        if (getsockopt(beginning->fds[i], SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
            type != SOCK_SEQPACKET) {
            return false;
        }
    }
    return true;
}

static bool beginning_receive(struct beginning *beginning)
{
    uint8_t packet[sizeof(struct sg_packet_hello)];
    ssize_t len = sg_passing_receive(SG_CHANNELS_CONTROL_FD, packet, sizeof(packet), beginning->fds,
                                     &beginning->num_fds);
    return len >= 0 && sg_packet_read_hello(packet, (size_t)len, &beginning->hello) &&
           beginning->num_fds ==
               (size_t)beginning->hello.num_channels + beginning->hello.has_passphrase_fd &&
           beginning_are_channels(beginning);
}

/* The directory of the key-encryption key, into out. False if it comes from no file. */
static bool beginning_find_key_dir(const char *source, char *out, size_t cap)
{
    const char *path = sg_kek_path(source);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
    const char *dir = sg_kek_is_credential(source) ? getenv("CREDENTIALS_DIRECTORY") : NULL;
    if (path != NULL) {
        const char *slash = strrchr(path, '/');
        size_t len = slash != NULL ? (size_t)(slash - path) : 0;
        (void)snprintf(out, cap, "%.*s", (int)len, path);
        if (len == 0) {
            (void)snprintf(out, cap, "%s", slash != NULL ? "/" : ".");
        }
    } else if (dir != NULL) {
        (void)snprintf(out, cap, "%s", dir);
    }
    return path != NULL || dir != NULL;
}

static uint32_t beginning_confine(const struct beginning *beginning)
{
    char keys_dir[SG_KEYSTORE_MAX_PATH + sizeof("/" SG_KEYSTORE_DIR_NAME)];
    char key_dir[SG_KEYSTORE_MAX_PATH];
    const struct sg_packet_hello *hello = &beginning->hello;
    struct sg_confine_place place = {0};
    if (hello->has_keystore == 1) {
        (void)snprintf(keys_dir, sizeof(keys_dir), "%s/" SG_KEYSTORE_DIR_NAME, hello->dir);
        place.keys_dir = keys_dir;
        place.key_dir =
            beginning_find_key_dir(hello->source, key_dir, sizeof(key_dir)) ? key_dir : NULL;
        place.has_terminal = hello->has_passphrase_fd == 0 &&
                             sg_kek_kind(hello->source) == SG_KEYSTORE_KEY_PASSPHRASE;
    }
    return sg_confine_process(&place);
}

static bool channel_init(struct channel *channel)
{
    channel->replies = calloc(SG_PACKET_MAX_OPERATIONS, sizeof(*channel->replies));
    channel->keystore_request = calloc(1, sizeof(*channel->keystore_request));
    channel->keystore_reply = calloc(1, sizeof(*channel->keystore_reply));
    channel->in = calloc(1, SG_PACKET_MAX);
    channel->out = calloc(1, SG_PACKET_MAX);
    return channel->replies != NULL && channel->keystore_request != NULL &&
           channel->keystore_reply != NULL && channel->in != NULL && channel->out != NULL;
}

/* For the life of the process. NULL without memory. */
static struct channel *beginning_make_channels(const struct beginning *beginning,
                                               struct sg_keyholder *keyholder)
{
    const struct sg_packet_hello *hello = &beginning->hello;
    struct channel *channels = calloc(hello->num_channels, sizeof(*channels));
    uint8_t *stacks = sg_memory_reserve(hello->num_channels);
    bool has_all = channels != NULL && stacks != NULL;
    for (uint32_t i = 0; has_all && i < hello->num_channels; i++) {
        channels[i] = (struct channel){
            .fd = beginning->fds[i],
            .is_slow = i >= hello->num_channels - hello->num_slow_channels,
            .stack = sg_memory_stack(stacks, i),
            .hello = hello,
            .passphrase_fd =
                hello->has_passphrase_fd == 1 ? beginning->fds[hello->num_channels] : -1,
            .keyholder = keyholder,
        };
        has_all = channel_init(&channels[i]);
    }
    return has_all ? channels : NULL;
}

/* Everything before the first packet of a channel. What fails is in the welcome. */
static struct channel *beginning_prepare(struct beginning *beginning)
{
    struct sg_packet_welcome *welcome = &beginning->welcome;
    struct sg_keyholder *keyholder = NULL;
    /* Before anything secret, and before OpenSSL has memory. */
    uint32_t protections = sg_confine_memory();
    if (!beginning_receive(beginning)) {
        beginning_fail(beginning, SIGNET_INVALID_ARGUMENT,
                       "this is not the hello of a signetd of this version");
        return NULL;
    }
    if (sg_keyholder_new(beginning->hello.epoch, &keyholder) != SIGNET_OK) {
        beginning_fail(beginning, SIGNET_RESOURCE_EXHAUSTED, "no memory that is fit for secrets");
        return NULL;
    }
    struct channel *channels = beginning_make_channels(beginning, keyholder);
    if (channels == NULL) {
        beginning_fail(beginning, SIGNET_RESOURCE_EXHAUSTED, "no memory");
        return NULL;
    }
    if ((protections & SG_PROTECT_LOCKED_MEMORY) == 0 && sg_memory_lock()) {
        protections |= SG_PROTECT_LOCKED_MEMORY;
    }
    if (sg_secret_heap_is_locked()) {
        protections |= SG_PROTECT_LOCKED_KEYS;
    }
    if (sg_secret_memory_is_secret()) {
        protections |= SG_PROTECT_SECRET_MEMORY;
    }
    welcome->protections = protections | beginning_confine(beginning);
    return channels;
}

static bool beginning_start(struct beginning *beginning, struct channel *channels)
{
    for (uint32_t i = 0; i < beginning->hello.num_channels; i++) {
        if (!channel_start(&channels[i])) {
            beginning_fail(beginning, SIGNET_RESOURCE_EXHAUSTED,
                           "no memory or threads for the channels");
            return false;
        }
    }
    return true;
}

/* Nothing is expected on the control socket but its end. */
static void channels_wait_for_end(void)
{
    uint8_t unused[16];
    ssize_t len;
    do {
        len = recv(SG_CHANNELS_CONTROL_FD, unused, sizeof(unused), 0);
    } while (len > 0 || (len < 0 && errno == EINTR) ||
             (len == 0 && !channel_has_ended(SG_CHANNELS_CONTROL_FD)));
}

int sg_channels_run(void)
{
    struct beginning *beginning = calloc(1, sizeof(*beginning));
    if (beginning == NULL) {
        return EXIT_FAILURE;
    }
    struct sg_packet_welcome *welcome = &beginning->welcome;
    memcpy(welcome->magic, SG_PACKET_HELLO, sizeof(welcome->magic));
    welcome->version = SG_PACKET_VERSION;
    welcome->uid = geteuid();
    welcome->pid = getpid();
    struct channel *channels = beginning_prepare(beginning);
    bool started = channels != NULL && beginning_start(beginning, channels);
    if (!channel_send(SG_CHANNELS_CONTROL_FD, welcome, sizeof(*welcome)) || !started) {
        _exit(EXIT_FAILURE); /* threads may have begun */
    }
    channels_wait_for_end();
    _exit(EXIT_SUCCESS);
}
