/* SPDX-License-Identifier: Apache-2.0
 *
 * The trust board's reader: whatever bytes the file holds, it is refused, or all that is read of it lies in its
 * bounds and every look-up ends. A page that cannot be read lies behind the file, and files are whole pages.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/board.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MAX_FOUND 64u

static volatile unsigned fuzz_kept; /* so that no read is left out */
static char fuzz_dir[64];
static char fuzz_path[96];

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_remove_dir(void)
{
    (void)unlink(fuzz_path);
    (void)rmdir(fuzz_dir);
}

static void fuzz_make_dir(void)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(fuzz_dir, sizeof(fuzz_dir), "%s/signet-fuzz.XXXXXX", base);
    fuzz_check(mkdtemp(fuzz_dir) != NULL);
    (void)snprintf(fuzz_path, sizeof(fuzz_path), "%s/" SG_BOARD_FILE, fuzz_dir);
    fuzz_check(atexit(fuzz_remove_dir) == 0);
}

/* Every byte, which a reader may then compare or copy. */
static unsigned fuzz_touch(const struct sg_board_text *text, size_t max_len)
{
    unsigned sum = 0;
    fuzz_check(text->len <= max_len);
    for (size_t i = 0; i < text->len; i++) {
        sum += (unsigned char)text->bytes[i];
    }
    return sum;
}

static unsigned fuzz_key(const struct sg_board_key *key)
{
    unsigned sum = fuzz_touch(&key->keyset, SG_MAX_KEYSET_NAME_LEN) +
                   fuzz_touch(&key->issuer, SG_MAX_ISSUER_LEN) +
                   fuzz_touch(&key->typ, SG_MAX_TYP_LEN) + fuzz_touch(&key->kid, SG_MAX_KID_LEN) +
                   fuzz_touch(&key->public_key, SG_MAX_BOARD_PUBLIC_KEY);
    fuzz_check(key->num_audiences <= SG_MAX_AUDIENCES);
    for (size_t i = 0; i < key->num_audiences; i++) {
        sum += fuzz_touch(&key->audiences[i], SG_MAX_AUDIENCE_LEN);
    }
    return sum;
}

static unsigned fuzz_search(const struct sg_board *board, const char *kid, size_t kid_len)
{
    unsigned sum = 0;
    struct sg_board_search search;
    struct sg_board_key key;
    sg_board_search_begin(board, kid, kid_len, &search);
    for (size_t i = 0; i < FUZZ_MAX_FOUND && sg_board_search_next(&search, &key); i++) {
        fuzz_check(key.kid.len == kid_len && memcmp(key.kid.bytes, kid, kid_len) == 0);
        sum += fuzz_key(&key);
    }
    return sum;
}

static unsigned fuzz_find(const struct sg_board *board, const uint8_t digest[SG_BOARD_DIGEST_LEN])
{
    int64_t value = 0;
    return sg_board_find(board, digest, &value) ? (unsigned)value : 0;
}

static unsigned fuzz_read(struct sg_board *board)
{
    unsigned sum = (unsigned)sg_board_generation(board) + sg_board_is_superseded(board) +
                   sg_board_is_fresh(board, 1000, 100);
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    for (size_t i = 0; i < sg_board_num_keys(board); i++) {
        struct sg_board_key key;
        if (sg_board_key_at(board, i, &key)) {
            sum += fuzz_key(&key) + fuzz_search(board, key.kid.bytes, key.kid.len);
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        memset(digest, (int)i, sizeof(digest)); /* once around the table */
        sum += fuzz_find(board, digest);
    }
    sg_board_digest(board, SG_BOARD_SUBJECT, "issuer", 6, "subject", 7, digest);
    return sum + fuzz_find(board, digest) + fuzz_search(board, "kid", 3) +
           fuzz_search(board, "", 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[256];
    struct sg_board *board = NULL;
    if (fuzz_path[0] == '\0') {
        fuzz_make_dir();
    }
    int fd = open(fuzz_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fuzz_check(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    signet_status status = sg_board_open(fuzz_path, geteuid(), &board, error, sizeof(error));
    fuzz_check(status == SIGNET_OK || status == SIGNET_PROTOCOL_ERROR);
    if (status == SIGNET_OK) {
        fuzz_kept += fuzz_read(board);
    }
    sg_board_close(board);
    return 0;
}
