/* SPDX-License-Identifier: Apache-2.0
 *
 * The header is copied out with pread when the board is opened, checked, and never looked at again but for the four
 * words that change. Of keys and revocations each word is loaded once, and what was checked is what is used.
 */
#include "common/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/board_layout.h"

#define BOARD_BOOT_FILE "/proc/sys/kernel/random/boot_id"
#define BOARD_UUID_LEN  36u /* 32 digits and four hyphens */

struct sg_board {
    int fd;
    dev_t device;
    ino_t inode;
    size_t len; /* of the file */
    void *room; /* the addresses that are taken: a page more, which cannot be read */
    size_t room_len;
    bool is_of_this_boot;
    _Atomic uint64_t whole_at_ms; /* when the file was last seen to be whole; UINT64_MAX: never */
    atomic_bool
        has_lost_fd; /* somebody else in this process closed it: it may be anything by now */
    uint64_t seed;
    const struct sg_board_header *header; /* mapped, as all below */
    const struct sg_board_record *records;
    const uint64_t *index;
    const char *text;
    const struct sg_board_entry *table;
    size_t num_keys, num_places, text_len, num_slots;
};

struct board_error {
    const char *path;
    char *text;
    size_t cap;
};

static signet_status __attribute__((format(printf, 3, 4)))
board_fail(const struct board_error *error, signet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, error->cap, format, arguments);
    va_end(arguments);
    return status;
}

static signet_status board_fail_errno(const struct board_error *error, const char *what, int number)
{
    bool is_ours = number == ENOMEM || number == EMFILE || number == ENFILE;
    return board_fail(error, is_ours ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_UNAVAILABLE, "%s %s: %s",
                      error->path, what, strerrordesc_np(number));
}

/* ---- Hashes ---- */

uint64_t sg_board_kid_hash(uint64_t seed, const char *kid, size_t kid_len)
{
    return XXH3_64bits_withSeed(kid, kid_len, seed);
}

/* Of scope and name only hashes are put side by side, so that they cannot be confused, however long they are. */
void sg_board_digest_seeded(uint64_t seed, enum sg_board_kind kind, const char *scope,
                            size_t scope_len, const char *name, size_t name_len,
                            uint8_t out[SG_BOARD_DIGEST_LEN])
{
    const XXH128_hash_t of_scope = XXH3_128bits_withSeed(scope, scope_len, seed);
    const XXH128_hash_t of_name = XXH3_128bits_withSeed(name, name_len, seed);
    const uint64_t parts[] = {(uint64_t)kind, of_scope.low64, of_scope.high64, of_name.low64,
                              of_name.high64};
    const XXH128_hash_t hash = XXH3_128bits_withSeed(parts, sizeof(parts), seed);
    /* A token never collides with what lasts, or its end would be that of the other. */
    const uint64_t words[] = {hash.low64, kind == SG_BOARD_TOKEN ? hash.high64 | 1u
                                                                 : hash.high64 & ~UINT64_C(1)};
    _Static_assert(sizeof(words) == SG_BOARD_DIGEST_LEN, "all of it");
    memcpy(out, words, sizeof(words));
}

void sg_board_digest(const struct sg_board *board, enum sg_board_kind kind, const char *scope,
                     size_t scope_len, const char *name, size_t name_len,
                     uint8_t out[SG_BOARD_DIGEST_LEN])
{
    sg_board_digest_seeded(board->seed, kind, scope, scope_len, name, name_len, out);
}

/* ---- Opening ---- */

static int board_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool board_read_uuid(const char text[BOARD_UUID_LEN], uint8_t out[SG_BOARD_BOOT_LEN])
{
    size_t num_digits = 0;
    memset(out, 0, SG_BOARD_BOOT_LEN);
    for (size_t i = 0; i < BOARD_UUID_LEN; i++) {
        int digit = board_digit(text[i]);
        if (digit >= 0 && num_digits < 2 * (size_t)SG_BOARD_BOOT_LEN) {
            out[num_digits / 2] = (uint8_t)(out[num_digits / 2] << 4 | digit);
            num_digits++;
        } else if (text[i] != '-') {
            return false;
        }
    }
    return num_digits == 2 * (size_t)SG_BOARD_BOOT_LEN;
}

bool sg_board_boot(uint8_t out[SG_BOARD_BOOT_LEN])
{
    char text[BOARD_UUID_LEN];
    int fd = open(BOARD_BOOT_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, text, sizeof(text));
    (void)close(fd);
    return len == (ssize_t)sizeof(text) && board_read_uuid(text, out);
}

/* Whose it is, and that nobody else can change it. */
static signet_status board_check_owner(struct sg_board *board, uid_t owner,
                                       const struct board_error *error)
{
    struct stat info;
    if (fstat(board->fd, &info) != 0) {
        return board_fail_errno(error, "cannot be looked at", errno);
    }
    board->device = info.st_dev;
    board->inode = info.st_ino;
    if (!S_ISREG(info.st_mode)) {
        return board_fail(error, SIGNET_UNTRUSTED_SERVER, "%s is no regular file", error->path);
    }
    if (info.st_uid != 0 && info.st_uid != owner) {
        return board_fail(error, SIGNET_UNTRUSTED_SERVER,
                          "%s belongs to uid %u, and not to root or uid %u", error->path,
                          (unsigned)info.st_uid, (unsigned)owner);
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return board_fail(error, SIGNET_UNTRUSTED_SERVER,
                          "%s has mode %04o, so that others can change it", error->path,
                          (unsigned)(info.st_mode & 07777u));
    }
    board->len = (size_t)info.st_size;
    return SIGNET_OK;
}

/* record: the length of what the section is of; max: how many there may be. */
static bool section_is_good(const struct sg_board_section *section, uint64_t file_len,
                            uint64_t record, uint64_t max)
{
    return section->offset >= SG_BOARD_HEADER_LEN && section->offset <= file_len &&
           section->len <= file_len - section->offset && section->offset % SG_BOARD_ALIGN == 0 &&
           section->len % record == 0 && section->len / record <= max;
}

static bool header_is_good(const struct sg_board_header *header, uint64_t file_len)
{
    return header->header_len == SG_BOARD_HEADER_LEN && header->file_len == file_len &&
           file_len % SG_BOARD_PAGE == 0 &&
           section_is_good(&header->keys, file_len, sizeof(struct sg_board_record),
                           SG_MAX_BOARD_KEYS) &&
           section_is_good(&header->index, file_len, sizeof(uint64_t),
                           UINT64_C(4) * SG_MAX_BOARD_KEYS) &&
           section_is_good(&header->text, file_len, 1, UINT32_MAX) &&
           section_is_good(&header->table, file_len, sizeof(struct sg_board_entry),
                           SG_MAX_BOARD_SLOTS) &&
           header->table.len != 0;
}

static signet_status board_read_header(const struct sg_board *board, struct sg_board_header *header,
                                       const struct board_error *error)
{
    if (pread(board->fd, header, sizeof(*header), 0) != (ssize_t)sizeof(*header) ||
        memcmp(header->magic, SG_BOARD_MAGIC, sizeof(header->magic)) != 0) {
        return board_fail(error, SIGNET_PROTOCOL_ERROR, "%s is no trust board", error->path);
    }
    if (header->byte_order != SG_BOARD_BYTE_ORDER || header->version != SG_BOARD_VERSION) {
        return board_fail(error, SIGNET_PROTOCOL_ERROR,
                          "%s is a trust board of another version than %u; the daemon and this "
                          "library must be of the same release",
                          error->path, SG_BOARD_VERSION);
    }
    if (!header_is_good(header, board->len)) {
        return board_fail(error, SIGNET_PROTOCOL_ERROR, "%s is a damaged trust board", error->path);
    }
    return SIGNET_OK;
}

/* The page behind it ends whoever reads past the end, instead of giving him what happens to be there. */
static signet_status board_map(struct sg_board *board, const struct board_error *error)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    board->room_len = (board->len + page - 1) / page * page + page;
    void *room = mmap(NULL, board->room_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return board_fail_errno(error, "cannot be mapped", errno);
    }
    board->room = room;
    if (mmap(room, board->len, PROT_READ, MAP_SHARED | MAP_FIXED, board->fd, 0) == MAP_FAILED) {
        return board_fail_errno(error, "cannot be mapped", errno);
    }
    return SIGNET_OK;
}

static void board_set_sections(struct sg_board *board, const struct sg_board_header *header)
{
    const char *bytes = board->room;
    board->header = board->room;
    board->records = (const void *)(bytes + header->keys.offset);
    board->num_keys = header->keys.len / sizeof(*board->records);
    board->index = (const void *)(bytes + header->index.offset);
    board->num_places = header->index.len / sizeof(*board->index);
    board->text = bytes + header->text.offset;
    board->text_len = header->text.len;
    board->table = (const void *)(bytes + header->table.offset);
    board->num_slots = header->table.len / sizeof(*board->table);
}

static signet_status board_begin(struct sg_board *board, uid_t owner,
                                 const struct board_error *error)
{
    struct sg_board_header header;
    uint8_t boot[SG_BOARD_BOOT_LEN];
    signet_status status = board_check_owner(board, owner, error);
    if (status == SIGNET_OK) {
        status = board_read_header(board, &header, error);
    }
    if (status == SIGNET_OK) {
        status = board_map(board, error);
    }
    if (status == SIGNET_OK) {
        board->seed = header.seed;
        board->is_of_this_boot =
            sg_board_boot(boot) && memcmp(boot, header.boot, sizeof(boot)) == 0;
        board_set_sections(board, &header);
    }
    return status;
}

signet_status sg_board_open(const char *path, uid_t owner, struct sg_board **out, char *error,
                            size_t error_cap)
{
    const struct board_error failure = {.path = path, .text = error, .cap = error_cap};
    /* Not waiting, should it be a pipe. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ELOOP ? board_fail(&failure, SIGNET_UNTRUSTED_SERVER, "%s is a link", path)
                              : board_fail_errno(&failure, "cannot be opened", errno);
    }
    struct sg_board *board = calloc(1, sizeof(*board));
    if (board == NULL) {
        (void)close(fd);
        return board_fail_errno(&failure, "cannot be opened", ENOMEM);
    }
    board->fd = fd;
    atomic_store_explicit(&board->whole_at_ms, UINT64_MAX, memory_order_relaxed);
    signet_status status = board_begin(board, owner, &failure);
    if (status != SIGNET_OK) {
        sg_board_close(board);
        return status;
    }
    *out = board;
    return SIGNET_OK;
}

/* Whether the descriptor is still the board's: a program may close those that it does not know, and open others. Once
 * it was not, it never is again, whatever file has its number then. */
static bool board_has_fd(struct sg_board *board, struct stat *info)
{
    if (atomic_load_explicit(&board->has_lost_fd, memory_order_relaxed)) {
        return false;
    }
    bool is_its = fstat(board->fd, info) == 0 && info->st_dev == board->device &&
                  info->st_ino == board->inode;
    if (!is_its) {
        atomic_store_explicit(&board->has_lost_fd, true, memory_order_relaxed);
    }
    return is_its;
}

void sg_board_close(struct sg_board *board)
{
    if (board == NULL) {
        return;
    }
    if (board->room != NULL) {
        (void)munmap(board->room, board->room_len);
    }
    if (board_has_fd(board, &(struct stat){0})) {
        (void)close(board->fd);
    }
    free(board);
}

/* ---- The words that change ---- */

/* A file without a name is one that no later daemon can find, to mark it as superseded. */
static bool board_is_whole(struct sg_board *board)
{
    struct stat info;
    return board_has_fd(board, &info) && info.st_nlink != 0 && (size_t)info.st_size == board->len;
}

/* Asks the kernel once in a millisecond. */
static bool board_stays_whole(struct sg_board *board, uint64_t now_boot_ms)
{
    if (atomic_load_explicit(&board->whole_at_ms, memory_order_relaxed) == now_boot_ms) {
        return true;
    }
    if (!board_is_whole(board)) {
        return false;
    }
    atomic_store_explicit(&board->whole_at_ms, now_boot_ms, memory_order_relaxed);
    return true;
}

bool sg_board_is_fresh(struct sg_board *board, uint64_t now_boot_ms, uint64_t max_age_ms)
{
    if (!board->is_of_this_boot || !board_stays_whole(board, now_boot_ms)) {
        return false;
    }
    uint64_t beat = atomic_load_explicit(&board->header->heartbeat, memory_order_acquire);
    uint64_t age_ms = now_boot_ms > beat ? now_boot_ms - beat : beat - now_boot_ms;
    return age_ms <= max_age_ms && !sg_board_is_superseded(board) &&
           atomic_load_explicit(&board->header->closed, memory_order_acquire) == 0;
}

uint64_t sg_board_generation(const struct sg_board *board)
{
    return atomic_load_explicit(&board->header->generation, memory_order_acquire);
}

bool sg_board_is_superseded(const struct sg_board *board)
{
    return atomic_load_explicit(&board->header->superseded, memory_order_acquire) != 0;
}

/* ---- Keys ---- */

/* Each word is loaded once: a compiler may otherwise read again what was checked, and find something else. */
static void board_copy_record(const struct sg_board_record *from, struct sg_board_record *to)
{
    uint64_t words[sizeof(*to) / sizeof(uint64_t)];
    const uint64_t *shared = (const void *)from;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        words[i] = __atomic_load_n(&shared[i], __ATOMIC_RELAXED);
    }
    memcpy(to, words, sizeof(*to));
}

static bool board_text(const struct sg_board *board, struct sg_board_run run, size_t max_len,
                       struct sg_board_text *out)
{
    if (run.len > max_len || run.offset > board->text_len ||
        run.len > board->text_len - run.offset) {
        return false;
    }
    *out = (struct sg_board_text){board->text + run.offset, run.len};
    return true;
}

static bool board_audiences(const struct sg_board *board, struct sg_board_run run,
                            struct sg_board_key *out)
{
    struct sg_board_text all;
    if (!board_text(board, run, (size_t)SG_MAX_AUDIENCES * (1u + SG_MAX_AUDIENCE_LEN), &all)) {
        return false;
    }
    size_t at = 0;
    size_t num = 0;
    while (at < all.len) {
        size_t len = (uint8_t)__atomic_load_n(&all.bytes[at], __ATOMIC_RELAXED);
        if (num == SG_MAX_AUDIENCES || len > all.len - at - 1) {
            return false;
        }
        out->audiences[num++] = (struct sg_board_text){all.bytes + at + 1, len};
        at += 1 + len;
    }
    out->num_audiences = num;
    return true;
}

size_t sg_board_num_keys(const struct sg_board *board)
{
    return board->num_keys;
}

bool sg_board_key_at(const struct sg_board *board, size_t index, struct sg_board_key *out)
{
    struct sg_board_record record;
    struct sg_board_key key;
    if (index >= board->num_keys) {
        return false;
    }
    board_copy_record(&board->records[index], &record);
    if (!board_text(board, record.keyset, SG_MAX_KEYSET_NAME_LEN, &key.keyset) ||
        !board_text(board, record.issuer, SG_MAX_ISSUER_LEN, &key.issuer) ||
        !board_text(board, record.typ, SG_MAX_TYP_LEN, &key.typ) ||
        !board_text(board, record.kid, SG_MAX_KID_LEN, &key.kid) ||
        !board_text(board, record.public_key, SG_MAX_BOARD_PUBLIC_KEY, &key.public_key) ||
        !board_audiences(board, record.audiences, &key)) {
        return false;
    }
    key.alg = record.alg;
    key.flags = record.flags;
    key.verify_from = record.verify_from;
    key.verify_until = record.verify_until;
    key.revoked_at = record.revoked_at;
    *out = key;
    return true;
}

void sg_board_search_begin(const struct sg_board *board, const char *kid, size_t kid_len,
                           struct sg_board_search *search)
{
    uint64_t hash = sg_board_kid_hash(board->seed, kid, kid_len);
    *search = (struct sg_board_search){.board = board,
                                       .kid = kid,
                                       .kid_len = kid_len,
                                       .hash = hash,
                                       .at = sg_board_place(hash, board->num_places),
                                       .left = board->num_places};
}

bool sg_board_search_next(struct sg_board_search *search, struct sg_board_key *out)
{
    const struct sg_board *board = search->board;
    struct sg_board_key key;
    while (search->left > 0) {
        uint64_t place = __atomic_load_n(&board->index[search->at], __ATOMIC_RELAXED);
        if (place == 0) {
            search->left = 0;
            return false;
        }
        search->left--;
        search->at = search->at + 1 < board->num_places ? search->at + 1 : 0;
        size_t number = (size_t)(place & ~SG_BOARD_INDEX_TAG) - 1;
        if (((place ^ search->hash) & SG_BOARD_INDEX_TAG) == 0 &&
            sg_board_key_at(board, number, &key) && key.kid.len == search->kid_len &&
            memcmp(key.kid.bytes, search->kid, search->kid_len) == 0) {
            search->found = number;
            *out = key;
            return true;
        }
    }
    return false;
}

/* ---- Revocations ---- */

bool sg_board_find(const struct sg_board *board, const uint8_t digest[SG_BOARD_DIGEST_LEN],
                   int64_t *value)
{
    uint64_t words[2];
    memcpy(words, digest, sizeof(words));
    uint64_t at = sg_board_place(words[0], board->num_slots);
    for (size_t left = board->num_slots; left > 0; left--) {
        const struct sg_board_entry *entry = &board->table[at];
        /* The state is what the writer stores last: with it, all else is there. */
        if (atomic_load_explicit(&entry->state, memory_order_acquire) == SG_BOARD_FREE) {
            return false;
        }
        if (atomic_load_explicit(&entry->digest[0], memory_order_relaxed) == words[0] &&
            atomic_load_explicit(&entry->digest[1], memory_order_relaxed) == words[1]) {
            *value = atomic_load_explicit(&entry->value, memory_order_acquire);
            return true;
        }
        at = at + 1 < board->num_slots ? at + 1 : 0;
    }
    *value = INT64_MAX;
    return true;
}
