/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels with at most one packet under way each. Whoever finds none under way sends at once, on its own
 * thread, which cannot block since the socket is empty then; the channel's thread receives, sends what has
 * gathered meanwhile, and then finishes what was answered, so that the keyholder works on one packet while
 * the answers of another are worked on here.
 */
#include "server/keyholder_gather.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/keyholder/packet.h"

#define GATHER_MAX_CHANNELS 8u

struct crossing_list {
    struct sg_keyholder_crossing *first, **last_next;
};

struct gather_channel {
    struct sg_gather *gather;
    pthread_t thread;
    bool has_thread;
    uint8_t *out, *in; /* SG_PACKET_MAX each; in is the thread's alone */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Guarded by mutex. */
    int fd; /* -1: closed */
    bool is_open, is_stopping;
    struct crossing_list queue; /* not, or not wholly, sent */
    /* Of each operation of the packet under way. */
    size_t num_under_way;
    struct sg_keyholder_crossing *owners[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply *replies[SG_PACKET_MAX_OPERATIONS];
    uint64_t sent_at_ms;
};

struct sg_gather {
    void (*on_broken)(void *context);
    void *context;
    struct gather_channel channels[GATHER_MAX_CHANNELS];
    size_t num_channels;
};

/* ---- Lists ---- */

static void crossing_list_init(struct crossing_list *list)
{
    list->first = NULL;
    list->last_next = &list->first;
}

static void crossing_list_add(struct crossing_list *list, struct sg_keyholder_crossing *crossing)
{
    crossing->next = NULL;
    *list->last_next = crossing;
    list->last_next = &crossing->next;
}

static void crossing_list_take_first(struct crossing_list *list)
{
    list->first = list->first->next;
    if (list->first == NULL) {
        list->last_next = &list->first;
    }
}

/* No lock held. A crossing is its owner's again once done was called. */
static void crossing_list_finish(struct crossing_list *list)
{
    struct sg_keyholder_crossing *crossing = list->first;
    while (crossing != NULL) {
        struct sg_keyholder_crossing *next = crossing->next;
        crossing->done(crossing, next == NULL);
        crossing = next;
    }
}

/* ---- Packets; all with the mutex held ---- */

/* Moves everything that waits or is under way to the list of what has failed. */
static void channel_fail_all(struct gather_channel *channel, struct crossing_list *failed)
{
    struct sg_keyholder_crossing *last = NULL;
    for (size_t i = 0; i < channel->num_under_way; i++) {
        struct sg_keyholder_crossing *owner = channel->owners[i];
        if (owner != last && owner->num_sent == owner->num) {
            owner->status = SIGNET_UNAVAILABLE;
            crossing_list_add(failed, owner);
        }
        last = owner; /* one that was not wholly sent is the queue's first */
    }
    channel->num_under_way = 0;
    channel->sent_at_ms = 0;
    while (channel->queue.first != NULL) {
        struct sg_keyholder_crossing *crossing = channel->queue.first;
        crossing_list_take_first(&channel->queue);
        crossing->status = SIGNET_UNAVAILABLE;
        crossing_list_add(failed, crossing);
    }
}

/* Puts as much of the queue into a packet as it holds. Returns the packet's length. */
static size_t channel_fill(struct gather_channel *channel)
{
    struct sg_packet_writer writer;
    size_t num = 0;
    sg_packet_begin(&writer, channel->out);
    while (channel->queue.first != NULL) {
        struct sg_keyholder_crossing *crossing = channel->queue.first;
        while (crossing->num_sent < crossing->num &&
               sg_packet_add(&writer, &crossing->requests[crossing->num_sent], crossing->bytes)) {
            channel->owners[num] = crossing;
            channel->replies[num++] = &crossing->replies[crossing->num_sent++];
        }
        if (crossing->num_sent < crossing->num) {
            break;
        }
        crossing_list_take_first(&channel->queue);
    }
    channel->num_under_way = num;
    return sg_packet_end(&writer);
}

/* Sends what waits if nothing is under way. False if the channel has ended. */
static bool channel_send(struct gather_channel *channel)
{
    if (channel->num_under_way > 0 || channel->queue.first == NULL) {
        return true;
    }
    size_t len = channel_fill(channel);
    channel->sent_at_ms = sg_clock_mono_ms();
    ssize_t sent;
    do {
        sent = send(channel->fd, channel->out, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 && (size_t)sent == len;
}

/* Reads an answer into the replies of those who wait for it. False if it is not one. */
static bool channel_take_answer(struct gather_channel *channel, size_t len,
                                struct crossing_list *answered)
{
    if (!sg_packet_read_replies(channel->in, len, channel->num_under_way, channel->replies)) {
        return false;
    }
    for (size_t i = 0; i < channel->num_under_way; i++) {
        struct sg_keyholder_crossing *owner = channel->owners[i];
        if (++owner->num_answered == owner->num) {
            owner->status = SIGNET_OK;
            crossing_list_add(answered, owner);
        }
    }
    channel->num_under_way = 0;
    channel->sent_at_ms = 0;
    return true;
}

/* ---- The channel's thread ---- */

/* Waits for a socket. -1 at the end. */
static int channel_wait(struct gather_channel *channel)
{
    (void)pthread_mutex_lock(&channel->mutex);
    while (channel->fd < 0 && !channel->is_stopping) {
        (void)pthread_cond_wait(&channel->changed, &channel->mutex);
    }
    int fd = channel->fd;
    (void)pthread_mutex_unlock(&channel->mutex);
    return fd;
}

static void channel_end(struct gather_channel *channel)
{
    struct crossing_list failed;
    crossing_list_init(&failed);
    (void)pthread_mutex_lock(&channel->mutex);
    channel->is_open = false;
    channel_fail_all(channel, &failed);
    (void)close(channel->fd);
    channel->fd = -1;
    (void)pthread_cond_broadcast(&channel->changed);
    (void)pthread_mutex_unlock(&channel->mutex);
    crossing_list_finish(&failed);
    channel->gather->on_broken(channel->gather->context);
}

static void *channel_run(void *arg)
{
    struct gather_channel *channel = arg;
    int fd;
    while ((fd = channel_wait(channel)) >= 0) {
        struct crossing_list answered;
        crossing_list_init(&answered);
        ssize_t len = recv(fd, channel->in, SG_PACKET_MAX, MSG_TRUNC);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        (void)pthread_mutex_lock(&channel->mutex);
        bool is_good = len > 0 && channel->num_under_way > 0 &&
                       channel_take_answer(channel, (size_t)len, &answered) &&
                       channel_send(channel);
        (void)pthread_mutex_unlock(&channel->mutex);
        crossing_list_finish(&answered);
        if (!is_good) {
            channel_end(channel);
        }
    }
    return NULL;
}

/* ---- Callers ---- */

/* Each thread keeps to one channel. */
static struct gather_channel *gather_channel(struct sg_gather *gather)
{
    static atomic_uint num_threads;
    static _Thread_local unsigned thread; /* from 1 */
    if (thread == 0) {
        thread = 1 + atomic_fetch_add_explicit(&num_threads, 1, memory_order_relaxed);
    }
    return &gather->channels[thread % gather->num_channels];
}

void sg_gather_add(struct sg_gather *gather, struct sg_keyholder_crossing *crossing)
{
    struct gather_channel *channel = gather_channel(gather);
    crossing->num_sent = 0;
    crossing->num_answered = 0;
    (void)pthread_mutex_lock(&channel->mutex);
    crossing_list_add(&channel->queue, crossing);
    (void)pthread_mutex_unlock(&channel->mutex);
}

void sg_gather_flush(struct sg_gather *gather)
{
    struct gather_channel *channel = gather_channel(gather);
    struct crossing_list failed;
    crossing_list_init(&failed);
    (void)pthread_mutex_lock(&channel->mutex);
    if (!channel->is_open) {
        channel_fail_all(channel, &failed);
    } else if (!channel_send(channel)) {
        (void)shutdown(channel->fd, SHUT_RDWR); /* its thread does what is to be done */
        channel->is_open = false;
    }
    (void)pthread_mutex_unlock(&channel->mutex);
    crossing_list_finish(&failed);
}

/* ---- Opening and closing ---- */

void sg_gather_set(struct sg_gather *gather, size_t index, int fd)
{
    struct gather_channel *channel = &gather->channels[index];
    (void)pthread_mutex_lock(&channel->mutex);
    while (channel->fd >= 0) {
        (void)pthread_cond_wait(&channel->changed, &channel->mutex);
    }
    channel->fd = fd;
    (void)pthread_cond_broadcast(&channel->changed);
    (void)pthread_mutex_unlock(&channel->mutex);
}

void sg_gather_open(struct sg_gather *gather)
{
    for (size_t i = 0; i < gather->num_channels; i++) {
        struct gather_channel *channel = &gather->channels[i];
        (void)pthread_mutex_lock(&channel->mutex);
        channel->is_open = channel->fd >= 0;
        (void)pthread_mutex_unlock(&channel->mutex);
    }
}

void sg_gather_shut(struct sg_gather *gather)
{
    for (size_t i = 0; i < gather->num_channels; i++) {
        struct gather_channel *channel = &gather->channels[i];
        (void)pthread_mutex_lock(&channel->mutex);
        channel->is_open = false;
        if (channel->fd >= 0 && channel->has_thread) {
            (void)shutdown(channel->fd, SHUT_RDWR); /* its thread wakes, and closes it */
        } else if (channel->fd >= 0) {
            (void)close(channel->fd);
            channel->fd = -1;
        }
        (void)pthread_mutex_unlock(&channel->mutex);
    }
}

uint64_t sg_gather_waits_since(struct sg_gather *gather)
{
    uint64_t oldest_ms = 0;
    for (size_t i = 0; i < gather->num_channels; i++) {
        struct gather_channel *channel = &gather->channels[i];
        (void)pthread_mutex_lock(&channel->mutex);
        uint64_t sent_at_ms = channel->sent_at_ms;
        (void)pthread_mutex_unlock(&channel->mutex);
        if (sent_at_ms != 0 && (oldest_ms == 0 || sent_at_ms < oldest_ms)) {
            oldest_ms = sent_at_ms;
        }
    }
    return oldest_ms;
}

/* ---- Life ---- */

static size_t gather_count_channels(void)
{
    long num = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    if (num < 1) {
        return 1;
    }
    return num < (long)GATHER_MAX_CHANNELS ? (size_t)num : GATHER_MAX_CHANNELS;
}

signet_status sg_gather_new(void (*on_broken)(void *context), void *context, struct sg_gather **out)
{
    struct sg_gather *gather = calloc(1, sizeof(*gather));
    if (gather == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    gather->on_broken = on_broken;
    gather->context = context;
    gather->num_channels = gather_count_channels();
    bool has_memory = true;
    for (size_t i = 0; i < gather->num_channels; i++) {
        struct gather_channel *channel = &gather->channels[i];
        channel->gather = gather;
        channel->fd = -1;
        crossing_list_init(&channel->queue);
        /* With default attributes these cannot fail on Linux. */
        (void)pthread_mutex_init(&channel->mutex, NULL);
        (void)pthread_cond_init(&channel->changed, NULL);
        channel->in = malloc(SG_PACKET_MAX);
        channel->out = malloc(SG_PACKET_MAX);
        has_memory = has_memory && channel->in != NULL && channel->out != NULL;
    }
    if (!has_memory) {
        sg_gather_free(gather);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = gather;
    return SIGNET_OK;
}

signet_status sg_gather_start(struct sg_gather *gather)
{
    for (size_t i = 0; i < gather->num_channels; i++) {
        struct gather_channel *channel = &gather->channels[i];
        (void)pthread_mutex_lock(&channel->mutex);
        channel->has_thread = pthread_create(&channel->thread, NULL, channel_run, channel) == 0;
        bool has_thread = channel->has_thread;
        (void)pthread_mutex_unlock(&channel->mutex);
        if (!has_thread) {
            return SIGNET_RESOURCE_EXHAUSTED;
        }
    }
    return SIGNET_OK;
}

size_t sg_gather_num(const struct sg_gather *gather)
{
    return gather->num_channels;
}

static void channel_free(struct gather_channel *channel)
{
    struct crossing_list failed;
    crossing_list_init(&failed);
    (void)pthread_mutex_lock(&channel->mutex);
    channel->is_stopping = true;
    (void)pthread_cond_broadcast(&channel->changed);
    (void)pthread_mutex_unlock(&channel->mutex);
    if (channel->has_thread) {
        (void)pthread_join(channel->thread, NULL);
    }
    channel_fail_all(channel, &failed);
    crossing_list_finish(&failed);
    free(channel->in);
    free(channel->out);
    (void)pthread_cond_destroy(&channel->changed);
    (void)pthread_mutex_destroy(&channel->mutex);
}

void sg_gather_free(struct sg_gather *gather)
{
    if (gather == NULL) {
        return;
    }
    sg_gather_shut(gather);
    for (size_t i = 0; i < gather->num_channels; i++) {
        channel_free(&gather->channels[i]);
    }
    free(gather);
}
