/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread beats four times in a second, does again what failed, and puts back what somebody took away; snapshots come
 * from the keymaster's threads.
 */
#include "server/publisher.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/board_snapshot.h"
#include "server/board_writer.h"
#include "server/clock.h"
#include "server/keyring.h"
#include "server/log.h"

/* Readers believe a board for two seconds by default. */
#define PUBLISHER_BEAT_MS   250u
#define PUBLISHER_LOOK_MS   1000u
#define PUBLISHER_MAX_ERROR 512u

struct sg_publisher {
    struct sg_board_writer *writer;
    int64_t (*read_wall_s)(void);
    pthread_mutex_t showing; /* held while a snapshot is put onto the board */
    struct sg_keyring *owed; /* the snapshot that could not be; guarded by showing; NULL: none */
    pthread_t thread;
    bool is_started;
    bool cannot_restore; /* it was said; the thread's own */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    bool stop;              /* guarded by mutex */
};

/* ---- Snapshots ---- */

/* With `showing` held. Takes over the reference. */
static void publisher_show(struct sg_publisher *publisher, struct sg_keyring *keyring)
{
    char error[PUBLISHER_MAX_ERROR] = "";
    bool was_owed = publisher->owed != NULL;
    sg_keyring_unref(publisher->owed);
    publisher->owed = NULL;
    if (sg_board_snapshot_publish(publisher->writer, keyring,
                                  publisher->read_wall_s() - SG_BOARD_CLOCK_MARGIN_S, error,
                                  sizeof(error)) == SIGNET_OK) {
        if (was_owed) {
            sg_log(SG_LOG_INFO, "the trust board is up to date again");
        }
        sg_keyring_unref(keyring);
        return;
    }
    sg_board_writer_suspend(publisher->writer);
    publisher->owed = keyring;
    if (!was_owed) {
        sg_log(SG_LOG_ERROR,
               "%s; until that is mended clients ask the daemon for every token, and it is tried "
               "again every second",
               error);
    }
}

void sg_publisher_show(struct sg_publisher *publisher, struct sg_keyring *keyring)
{
    (void)pthread_mutex_lock(&publisher->showing);
    publisher_show(publisher, sg_keyring_ref(keyring));
    (void)pthread_mutex_unlock(&publisher->showing);
}

static void publisher_show_owed(struct sg_publisher *publisher)
{
    (void)pthread_mutex_lock(&publisher->showing);
    if (publisher->owed != NULL) {
        publisher_show(publisher, sg_keyring_ref(publisher->owed));
    }
    (void)pthread_mutex_unlock(&publisher->showing);
}

/* Without its file, who comes later finds no board, or another's. */
static void publisher_restore(struct sg_publisher *publisher)
{
    char error[PUBLISHER_MAX_ERROR] = "";
    bool was_gone = false;
    bool has_failed = sg_board_writer_restore(publisher->writer,
                                              publisher->read_wall_s() - SG_BOARD_CLOCK_MARGIN_S,
                                              &was_gone, error, sizeof(error)) != SIGNET_OK;
    if (has_failed && !publisher->cannot_restore) {
        sg_log(SG_LOG_ERROR,
               "the trust board's file was removed or replaced, and cannot be put back: %s; it is "
               "tried again every second",
               error);
    } else if (was_gone && !has_failed) {
        sg_log(SG_LOG_WARNING, "the trust board's file was removed or replaced; it is there again");
    }
    publisher->cannot_restore = has_failed;
}

/* ---- Showing that the daemon lives ---- */

/* False once it is to end. */
static bool publisher_wait(struct sg_publisher *publisher)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)PUBLISHER_BEAT_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&publisher->mutex);
    int result = 0;
    while (!publisher->stop && result == 0) {
        result = pthread_cond_timedwait(&publisher->changed, &publisher->mutex, &until);
    }
    bool stop = publisher->stop;
    (void)pthread_mutex_unlock(&publisher->mutex);
    return !stop;
}

static void *publisher_main(void *arg)
{
    struct sg_publisher *publisher = arg;
    (void)pthread_setname_np(pthread_self(), "signetd-board");
    unsigned since_look_ms = 0;
    do {
        sg_board_writer_beat(publisher->writer, sg_clock_boot_ms());
        since_look_ms += PUBLISHER_BEAT_MS;
        if (since_look_ms >= PUBLISHER_LOOK_MS) {
            since_look_ms = 0;
            publisher_show_owed(publisher);
            publisher_restore(publisher);
        }
    } while (publisher_wait(publisher));
    return NULL;
}

/* ---- Life ---- */

signet_status sg_publisher_new(const char *dir, int64_t (*read_wall_s)(void),
                               struct sg_publisher **out, char *error, size_t error_cap)
{
    struct sg_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) {
        (void)snprintf(error, error_cap, "no memory for the trust board");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    publisher->read_wall_s = read_wall_s;
    pthread_condattr_t attr;
    /* None of these can fail on Linux with these arguments. */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&publisher->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&publisher->mutex, NULL);
    (void)pthread_mutex_init(&publisher->showing, NULL);
    signet_status status =
        sg_board_writer_open(dir, sg_clock_boot_ms(), &publisher->writer, error, error_cap);
    if (status != SIGNET_OK) {
        sg_publisher_free(publisher);
        return status;
    }
    *out = publisher;
    return SIGNET_OK;
}

signet_status sg_publisher_start(struct sg_publisher *publisher)
{
    publisher->is_started =
        pthread_create(&publisher->thread, NULL, publisher_main, publisher) == 0;
    return publisher->is_started ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

struct sg_board_writer *sg_publisher_writer(struct sg_publisher *publisher)
{
    return publisher->writer;
}

void sg_publisher_free(struct sg_publisher *publisher)
{
    if (publisher == NULL) {
        return;
    }
    if (publisher->is_started) {
        (void)pthread_mutex_lock(&publisher->mutex);
        publisher->stop = true;
        (void)pthread_cond_signal(&publisher->changed);
        (void)pthread_mutex_unlock(&publisher->mutex);
        (void)pthread_join(publisher->thread, NULL);
    }
    sg_board_writer_close(publisher->writer);
    sg_keyring_unref(publisher->owed);
    (void)pthread_cond_destroy(&publisher->changed);
    (void)pthread_mutex_destroy(&publisher->mutex);
    (void)pthread_mutex_destroy(&publisher->showing);
    free(publisher);
}
