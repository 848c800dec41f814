/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader puts the board that it uses into a slot (a hazard pointer); whoever replaces a board unmaps only those that
 * stand in no slot. So there are never more of them than slots, and readers never wait.
 *
 * A child of fork() has all of this as it was at that instant. Slots of threads that it does not have keep a board each,
 * which is bounded. That a thread of its parent was opening the path it does not know: this is in a page that the kernel
 * gives to a child zeroed (MADV_WIPEONFORK). What that thread was about to unmap or had just opened, it keeps.
 */
#include "client/local_boards.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LOCAL_BOARDS_SLOTS 128u
/* After a look that found no board to believe the next one waits, each time twice as long. */
#define BOARDS_FIRST_WAIT_MS 1u
#define BOARDS_LAST_WAIT_MS  100u
#define BOARDS_LINE          64u /* of the processor's cache */

struct boards_board {
    struct sg_board *board;
    struct sg_local_keys *keys;
    _Atomic(struct boards_board *) next; /* among those that were replaced */
};

struct boards_slot {
    _Alignas(BOARDS_LINE) _Atomic(struct boards_board *) board;
};

/* What was said to whoever wants to know. */
enum boards_said {
    BOARDS_SAID_NOTHING,
    BOARDS_SAID_GOOD,
    BOARDS_SAID_LOST
};

struct sg_local_boards {
    struct boards_slot slots[LOCAL_BOARDS_SLOTS];
    /* Read by all, and hardly ever written. */
    _Atomic(struct boards_board *) current;
    char *path;
    struct sg_local_config config;
    atomic_int said;
    _Alignas(BOARDS_LINE) _Atomic uint64_t look_at_ms; /* not before, CLOCK_BOOTTIME */

    atomic_bool *is_opened; /* by a thread of this process, to which all that follows belongs */
    _Atomic(struct boards_board *) replaced;
    uint32_t wait_ms;
};

/* ---- Saying so ---- */

static void boards_say(struct sg_local_boards *boards, enum boards_said what, const char *message)
{
    int before = atomic_exchange(&boards->said, (int)what);
    bool is_news =
        what == BOARDS_SAID_LOST ? before != BOARDS_SAID_LOST : before == BOARDS_SAID_LOST;
    if (is_news && boards->config.notice != NULL) {
        boards->config.notice(boards->config.context, message);
    }
}

static void boards_say_good(struct sg_local_boards *boards)
{
    if (atomic_load_explicit(&boards->said, memory_order_relaxed) == BOARDS_SAID_GOOD) {
        return;
    }
    char message[256];
    (void)snprintf(message, sizeof(message), "tokens are checked with %.150s now", boards->path);
    boards_say(boards, BOARDS_SAID_GOOD, message);
}

static void boards_say_lost(struct sg_local_boards *boards, const char *why)
{
    char message[384];
    (void)snprintf(message, sizeof(message), "%s; signetd is asked to check each token", why);
    boards_say(boards, BOARDS_SAID_LOST, message);
}

/* ---- Slots ---- */

/* A place of its own for each of the first threads; later ones share. */
static unsigned slot_hint(void)
{
    static atomic_uint num_threads;
    static _Thread_local unsigned number; /* 0: not numbered yet */
    if (number == 0) {
        number = atomic_fetch_add_explicit(&num_threads, 1, memory_order_relaxed) + 1;
    }
    return number;
}

/* The current board in a slot; NULL: there is none, or no slot. Sequentially consistent, like boards_publish: either
 * that finds the slot, or this finds the board that it published. */
static struct boards_slot *slot_take(struct sg_local_boards *boards)
{
    struct boards_board *board = atomic_load(&boards->current);
    unsigned hint = slot_hint();
    for (unsigned i = 0; board != NULL && i < LOCAL_BOARDS_SLOTS; i++) {
        struct boards_slot *slot = &boards->slots[(hint + i) % LOCAL_BOARDS_SLOTS];
        struct boards_board *none = NULL;
        if (!atomic_compare_exchange_strong(&slot->board, &none, board)) {
            continue;
        }
        struct boards_board *now = NULL;
        while ((now = atomic_load(&boards->current)) != board) {
            board = now;
            atomic_store(&slot->board, board);
        }
        return slot;
    }
    return NULL;
}

static void slot_give_back(struct boards_slot *slot)
{
    atomic_store_explicit(&slot->board, NULL, memory_order_release);
}

static bool board_is_in_use(struct sg_local_boards *boards, const struct boards_board *board)
{
    for (unsigned i = 0; i < LOCAL_BOARDS_SLOTS; i++) {
        if (atomic_load(&boards->slots[i].board) == board) {
            return true;
        }
    }
    return false;
}

/* ---- Opening ---- */

static void board_free(struct boards_board *board)
{
    if (board != NULL) {
        sg_local_keys_free(board->keys);
        sg_board_close(board->board);
        free(board);
    }
}

static void boards_free_replaced(struct sg_local_boards *boards)
{
    _Atomic(struct boards_board *) *link = &boards->replaced;
    struct boards_board *board = NULL;
    while ((board = atomic_load_explicit(link, memory_order_relaxed)) != NULL) {
        if (board_is_in_use(boards, board)) {
            link = &board->next;
            continue;
        }
        atomic_store_explicit(link, atomic_load_explicit(&board->next, memory_order_relaxed),
                              memory_order_release);
        board_free(board);
    }
}

static void boards_publish(struct sg_local_boards *boards, struct boards_board *board)
{
    struct boards_board *before = atomic_exchange(&boards->current, board);
    if (before != NULL) {
        atomic_store_explicit(&before->next,
                              atomic_load_explicit(&boards->replaced, memory_order_relaxed),
                              memory_order_release);
        atomic_store_explicit(&boards->replaced, before, memory_order_release);
    }
    boards_free_replaced(boards);
}

/* What is wrong with a path. */
struct boards_fault {
    bool is_brief; /* another board is about to take its place */
    char text[256];
};

/* The board at the path if it counts; NULL: fault says why not. */
static struct boards_board *boards_open(const struct sg_local_boards *boards, uint64_t now_ms,
                                        struct boards_fault *fault)
{
    struct boards_board *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        (void)snprintf(fault->text, sizeof(fault->text), "no memory for the trust board");
        return NULL;
    }
    if (sg_board_open(boards->path, boards->config.owner, &made->board, fault->text,
                      sizeof(fault->text)) == SIGNET_OK) {
        if (!sg_board_is_fresh(made->board, now_ms, boards->config.max_age_ms)) {
            fault->is_brief = sg_board_is_superseded(made->board);
            (void)snprintf(fault->text, sizeof(fault->text),
                           "%.150s is out of date, and no signetd keeps it", boards->path);
        } else if ((made->keys = sg_local_keys_new(made->board)) != NULL) {
            return made;
        } else {
            (void)snprintf(fault->text, sizeof(fault->text), "no memory for the trust board");
        }
    }
    board_free(made);
    return NULL;
}

/* When to look again: soon, if a board is about to come. */
static void boards_wait(struct sg_local_boards *boards, uint64_t now_ms)
{
    uint32_t wait_ms = boards->wait_ms != 0 ? 2 * boards->wait_ms : BOARDS_FIRST_WAIT_MS;
    boards->wait_ms = wait_ms < BOARDS_LAST_WAIT_MS ? wait_ms : BOARDS_LAST_WAIT_MS;
    atomic_store_explicit(&boards->look_at_ms, now_ms + boards->wait_ms, memory_order_relaxed);
}

/* Whether another thread has found one meanwhile. Nobody but the caller unmaps. */
static bool boards_have_one(const struct sg_local_boards *boards, uint64_t now_ms)
{
    const struct boards_board *board = atomic_load(&boards->current);
    return board != NULL && sg_board_is_fresh(board->board, now_ms, boards->config.max_age_ms);
}

/* False: there is no board to believe, and fault says why; but for a moment, maybe. */
static bool boards_find(struct sg_local_boards *boards, uint64_t now_ms, struct boards_fault *fault)
{
    if (boards_have_one(boards, now_ms)) {
        return true;
    }
    struct boards_board *found = boards_open(boards, now_ms, fault);
    if (found == NULL) {
        boards_wait(boards, now_ms);
        fault->is_brief = fault->is_brief && boards->wait_ms < BOARDS_LAST_WAIT_MS;
        return false;
    }
    boards_publish(boards, found);
    boards->wait_ms = 0;
    return true;
}

/* Looks at the path, if that is due. */
static void boards_look(struct sg_local_boards *boards, uint64_t now_ms)
{
    struct boards_fault fault = {.is_brief = false};
    if (now_ms < atomic_load_explicit(&boards->look_at_ms, memory_order_relaxed) ||
        atomic_exchange(boards->is_opened, true)) {
        return; /* later, or another thread does it */
    }
    bool is_found = boards_find(boards, now_ms, &fault);
    atomic_store(boards->is_opened, false);
    if (!is_found && !fault.is_brief) {
        boards_say_lost(boards, fault.text);
    }
}

/* ---- Holding ---- */

static bool hold_count(const struct sg_local_boards *boards, struct sg_local_hold *hold,
                       uint64_t now_ms)
{
    hold->generation = sg_board_generation(hold->board);
    return sg_board_is_fresh(hold->board, now_ms, boards->config.max_age_ms);
}

static bool boards_take(struct sg_local_boards *boards, uint64_t now_ms, struct sg_local_hold *hold)
{
    struct boards_slot *slot = slot_take(boards);
    if (slot == NULL) {
        return false;
    }
    const struct boards_board *board = atomic_load_explicit(&slot->board, memory_order_relaxed);
    *hold = (struct sg_local_hold){.board = board->board, .keys = board->keys, .slot = slot};
    if (!hold_count(boards, hold, now_ms)) {
        slot_give_back(slot);
        return false;
    }
    return true;
}

bool sg_local_boards_hold(struct sg_local_boards *boards, struct sg_local_hold *hold)
{
    uint64_t now_ms = boards->config.read_boot_ms();
    bool is_held = boards_take(boards, now_ms, hold);
    if (!is_held) {
        boards_look(boards, now_ms);
        is_held = boards_take(boards, now_ms, hold);
    }
    if (is_held) {
        boards_say_good(boards);
    }
    return is_held;
}

void sg_local_boards_release(struct sg_local_hold *hold)
{
    slot_give_back(hold->slot);
}

bool sg_local_boards_renew(const struct sg_local_boards *boards, struct sg_local_hold *hold)
{
    return hold_count(boards, hold, boards->config.read_boot_ms());
}

/* ---- Lifecycle ---- */

/* false, and again in each child. */
static atomic_bool *boards_new_flag(void)
{
    void *page =
        mmap(NULL, sizeof(atomic_bool), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    /* Where the kernel does not know this, a child may have to ask the daemon for good. */
    (void)madvise(page, sizeof(atomic_bool), MADV_WIPEONFORK);
    return page;
}

static void boards_free_memory(struct sg_local_boards *boards)
{
    if (boards->is_opened != NULL) {
        (void)munmap(boards->is_opened, sizeof(atomic_bool));
    }
    free(boards->path);
    free(boards);
}

struct sg_local_boards *sg_local_boards_new(const struct sg_local_config *config)
{
    struct sg_local_boards *boards = aligned_alloc(BOARDS_LINE, sizeof(*boards));
    if (boards == NULL) {
        return NULL;
    }
    memset(boards, 0, sizeof(*boards));
    boards->config = *config;
    boards->path = strdup(config->path);
    boards->is_opened = boards_new_flag();
    if (boards->path == NULL || boards->is_opened == NULL) {
        boards_free_memory(boards);
        return NULL;
    }
    boards_look(boards, config->read_boot_ms());
    return boards;
}

void sg_local_boards_free(struct sg_local_boards *boards)
{
    if (boards == NULL) {
        return;
    }
    struct boards_board *board = atomic_load(&boards->replaced);
    while (board != NULL) {
        struct boards_board *next = atomic_load_explicit(&board->next, memory_order_relaxed);
        board_free(board);
        board = next;
    }
    board_free(atomic_load(&boards->current));
    boards_free_memory(boards);
}
