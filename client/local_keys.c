/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of a board. Those of one keyset stand side by side there, in runs; where they do not, there are only more runs.
 */
#include "client/local_keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Consecutive keys of one keyset. */
struct local_run {
    struct sg_board_text keyset; /* on the board */
    uint32_t first, num;
};

struct sg_local_keys {
    const struct sg_board *board;
    struct local_run *runs; /* by keyset, and then by number */
    size_t num_runs;
    size_t num_keys;
    _Atomic(struct sg_local_key *) read[]; /* by number; NULL: not yet */
};

/* ---- Keysets ---- */

static bool text_is_same(const struct sg_board_text *a, const struct sg_board_text *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static int text_compare(const struct sg_board_text *a, const struct sg_board_text *b)
{
    if (a->len != b->len) {
        return a->len < b->len ? -1 : 1;
    }
    return memcmp(a->bytes, b->bytes, a->len);
}

static int run_compare(const void *left, const void *right)
{
    const struct local_run *a = left;
    const struct local_run *b = right;
    int order = text_compare(&a->keyset, &b->keyset);
    return order != 0 ? order : (a->first > b->first) - (a->first < b->first);
}

/* Room for one more. */
static bool runs_grow(struct sg_local_keys *keys, size_t *cap)
{
    if (keys->num_runs < *cap) {
        return true;
    }
    size_t more = *cap > 0 ? 2 * *cap : 16;
    struct local_run *runs = realloc(keys->runs, more * sizeof(*runs));
    if (runs == NULL) {
        return false;
    }
    keys->runs = runs;
    *cap = more;
    return true;
}

/* What is damaged, and what is the daemon's own, belongs to no run. */
static bool keys_find_runs(struct sg_local_keys *keys)
{
    size_t cap = 0;
    struct local_run *last = NULL;
    for (size_t i = 0; i < keys->num_keys; i++) {
        struct sg_board_key record;
        if (!sg_board_key_at(keys->board, i, &record) || (record.flags & SG_BOARD_INTERNAL) != 0) {
            last = NULL;
            continue;
        }
        if (last != NULL && text_is_same(&last->keyset, &record.keyset)) {
            last->num++;
            continue;
        }
        if (!runs_grow(keys, &cap)) {
            return false;
        }
        last = &keys->runs[keys->num_runs++];
        *last = (struct local_run){.keyset = record.keyset, .first = (uint32_t)i, .num = 1};
    }
    if (keys->num_runs > 0) {
        qsort(keys->runs, keys->num_runs, sizeof(*keys->runs), run_compare);
    }
    return true;
}

/* The first run that does not come before the keyset. */
static size_t keys_first_run(const struct sg_local_keys *keys, const struct sg_board_text *keyset)
{
    size_t low = 0;
    size_t high = keys->num_runs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (text_compare(&keys->runs[middle].keyset, keyset) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool sg_local_keys_walk(const struct sg_local_keys *keys, const char *keyset,
                        struct sg_local_walk *walk)
{
    const struct sg_board_text name = {keyset, strlen(keyset)};
    size_t first = keys_first_run(keys, &name);
    size_t end = first;
    while (end < keys->num_runs && text_is_same(&keys->runs[end].keyset, &name)) {
        end++;
    }
    *walk = (struct sg_local_walk){.keys = keys, .run = first, .last_run = end};
    return end > first;
}

bool sg_local_keys_next(struct sg_local_walk *walk, size_t *number)
{
    if (walk->run == walk->last_run) {
        return false;
    }
    const struct local_run *run = &walk->keys->runs[walk->run];
    *number = run->first + walk->at++;
    if (walk->at == run->num) {
        walk->at = 0;
        walk->run++;
    }
    return true;
}

/* ---- Keys ---- */

static size_t key_text_len(const struct sg_board_key *record)
{
    size_t len = record->keyset.len + record->kid.len + record->issuer.len + 3;
    for (size_t i = 0; i < record->num_audiences; i++) {
        len += record->audiences[i].len + 1;
    }
    return len;
}

/* Copies text, with a NUL at its end and none inside. NULL if it has one. */
static const char *key_take(char **at, const struct sg_board_text *text)
{
    char *copy = *at;
    memcpy(copy, text->bytes, text->len);
    copy[text->len] = '\0';
    *at += text->len + 1;
    return strlen(copy) == text->len ? copy : NULL;
}

static bool key_take_texts(struct sg_local_key *key, char *at, const struct sg_board_key *record)
{
    key->keyset = key_take(&at, &record->keyset);
    key->kid = key_take(&at, &record->kid);
    key->signer.issuer = key_take(&at, &record->issuer);
    bool is_good = key->keyset != NULL && key->kid != NULL && key->signer.issuer != NULL;
    for (size_t i = 0; i < record->num_audiences; i++) {
        key->audiences[i] = key_take(&at, &record->audiences[i]);
        is_good = is_good && key->audiences[i] != NULL;
    }
    key->signer.audiences = key->audiences;
    key->signer.num_audiences = record->num_audiences;
    return is_good;
}

static void key_free(struct sg_local_key *key)
{
    if (key != NULL) {
        sg_public_key_free(key->public_key);
        free(key);
    }
}

/* OpenSSL has locks of its own, which a child inherits as they are: one that was forked while another thread read a key
 * would wait for that thread for ever. So it reads none, and asks the daemon. Upper half: the process; lower half: how many
 * of its threads read keys now. */
static _Atomic uint64_t keys_reading;

static bool keys_begin_reading(void)
{
    const uint64_t process = (uint64_t)(uint32_t)getpid() << 32;
    uint64_t seen = atomic_load(&keys_reading);
    uint64_t next = 0;
    do {
        bool is_another = (seen & ~(uint64_t)UINT32_MAX) != process;
        if (is_another && (uint32_t)seen != 0) {
            return false;
        }
        next = is_another ? process + 1 : seen + 1;
    } while (!atomic_compare_exchange_weak(&keys_reading, &seen, next));
    return true;
}

static void keys_end_reading(void)
{
    (void)atomic_fetch_sub(&keys_reading, 1);
}

/* Out of the board, which might change under OpenSSL's parser if its owner means ill. */
static bool key_parse(struct sg_local_key *key, const struct sg_board_key *record)
{
    uint8_t spki[SG_MAX_BOARD_PUBLIC_KEY];
    struct sg_key_error error;
    size_t len = record->public_key.len;
    if (len == 0 || len > sizeof(spki) || !keys_begin_reading()) {
        return false;
    }
    memcpy(spki, record->public_key.bytes, len);
    bool is_good = sg_public_key_from_spki((enum sg_alg)record->alg, spki, len, &key->public_key,
                                           &error) == SIGNET_OK;
    keys_end_reading();
    return is_good;
}

static struct sg_local_key *key_read(const struct sg_board_key *record)
{
    struct sg_local_key *key = calloc(1, sizeof(*key) + key_text_len(record));
    if (key == NULL) {
        return NULL;
    }
    if (!key_take_texts(key, (char *)(key + 1), record) || !key_parse(key, record)) {
        key_free(key);
        return NULL;
    }
    return key;
}

const struct sg_local_key *sg_local_keys_get(struct sg_local_keys *keys, size_t number,
                                             const struct sg_board_key *record)
{
    struct sg_local_key *key = atomic_load_explicit(&keys->read[number], memory_order_acquire);
    if (key != NULL) {
        return key;
    }
    struct sg_local_key *made = key_read(record);
    if (made != NULL &&
        !atomic_compare_exchange_strong_explicit(&keys->read[number], &key, made,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        key_free(made); /* another thread was first */
        return key;
    }
    return made;
}

struct sg_local_keys *sg_local_keys_new(const struct sg_board *board)
{
    size_t num = sg_board_num_keys(board);
    struct sg_local_keys *keys = calloc(1, sizeof(*keys) + num * sizeof(keys->read[0]));
    if (keys == NULL) {
        return NULL;
    }
    keys->board = board;
    keys->num_keys = num;
    if (!keys_find_runs(keys)) {
        sg_local_keys_free(keys);
        return NULL;
    }
    return keys;
}

void sg_local_keys_free(struct sg_local_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i < keys->num_keys; i++) {
        key_free(atomic_load_explicit(&keys->read[i], memory_order_relaxed));
    }
    free(keys->runs);
    free(keys);
}
