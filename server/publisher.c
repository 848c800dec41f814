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

#include "common/board.h"
#include "server/board_writer.h"
#include "server/clock.h"
#include "server/keyring.h"
#include "server/log.h"
#include "server/trust.h"

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

/* ---- Keys ---- */

struct publisher_list {
    struct sg_board_key *keys;
    size_t num;
};

static struct sg_board_text publisher_text(const char *text)
{
    return (struct sg_board_text){.bytes = text, .len = strlen(text)};
}

static void publisher_add(struct publisher_list *list, const struct sg_key *key)
{
    const struct sg_keyset *keyset = key->keyset;
    struct sg_board_key *out = &list->keys[list->num++];
    *out = (struct sg_board_key){
        .keyset = publisher_text(keyset->name),
        .issuer = publisher_text(keyset->issuer),
        .typ = publisher_text(keyset->typ),
        .kid = {.bytes = key->kid, .len = key->kid_len},
        .alg = (uint32_t)key->alg,
        .flags = keyset->foreign != NULL ? SG_BOARD_FOREIGN : 0,
        /* One that is to sign later is accepted already: another host's clock may be ahead. */
        .verify_from = INT64_MIN,
        .verify_until = sg_key_verify_until(key),
        .revoked_at = key->span.revoked ? key->times.revoked_at : 0,
    };
    if (key->public_key != NULL) {
        size_t len = 0;
        out->public_key.bytes = (const char *)sg_public_key_spki(key->public_key, &len);
        out->public_key.len = len;
    }
    if (keyset->foreign != NULL) {
        out->num_audiences = keyset->foreign->num_audiences;
        for (size_t i = 0; i < out->num_audiences; i++) {
            out->audiences[i] = publisher_text(keyset->foreign->audiences[i]);
        }
    }
}

/* In the order in which they are tried for a token that names none (server/verify.c): imported ones, then the newest. */
static void publisher_add_keyset(struct publisher_list *list, const struct sg_keyset *keyset)
{
    for (int imported = 1; imported >= 0; imported--) {
        for (size_t i = keyset->num_keys; i > 0; i--) {
            if (keyset->keys[i - 1].imported == (imported != 0)) {
                publisher_add(list, &keyset->keys[i - 1]);
            }
        }
    }
}

/* Ours first. NULL past the end. */
static const struct sg_keyset *publisher_keyset(const struct sg_keyring *keyring, size_t index)
{
    size_t num_ours = sg_keyring_num_keysets(keyring);
    return index < num_ours ? sg_keyring_keyset_at(keyring, index)
                            : sg_keyring_foreign_at(keyring, index - num_ours);
}

static size_t publisher_count(const struct sg_keyring *keyring)
{
    size_t num = 0;
    const struct sg_keyset *keyset = NULL;
    for (size_t i = 0; (keyset = publisher_keyset(keyring, i)) != NULL; i++) {
        num += keyset->num_keys;
    }
    return num;
}

static signet_status publisher_write(struct sg_publisher *publisher,
                                     const struct sg_keyring *keyring, char *error,
                                     size_t error_cap)
{
    struct publisher_list list = {0};
    list.keys = calloc(publisher_count(keyring) + 1, sizeof(*list.keys));
    if (list.keys == NULL) {
        (void)snprintf(error, error_cap, "no memory for the keys of the trust board");
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    const struct sg_keyset *keyset = NULL;
    for (size_t i = 0; (keyset = publisher_keyset(keyring, i)) != NULL; i++) {
        if (!keyset->is_internal) {
            publisher_add_keyset(&list, keyset);
        }
    }
    signet_status status = sg_board_writer_publish(
        publisher->writer, list.keys, list.num, publisher->read_wall_s() - SG_BOARD_CLOCK_MARGIN_S,
        error, error_cap);
    free(list.keys);
    return status;
}

/* With `showing` held. Takes over the reference. */
static void publisher_show(struct sg_publisher *publisher, struct sg_keyring *keyring)
{
    char error[PUBLISHER_MAX_ERROR] = "";
    bool was_owed = publisher->owed != NULL;
    sg_keyring_unref(publisher->owed);
    publisher->owed = NULL;
    if (publisher_write(publisher, keyring, error, sizeof(error)) == SIGNET_OK) {
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
