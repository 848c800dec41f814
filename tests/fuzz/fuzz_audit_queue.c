/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's queue: whatever bytes its file holds, it is opened or put aside, what is read of it stays in its
 * bounds, and what is put into it afterwards comes out again. Behind the bytes given comes what a file of the least size
 * lacks, in zeros, unless they are marked (the first bit) to be read as they are. The lines of the chain, likewise.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/audit_line.h"
#include "server/audit_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_FILE_LEN (4096u + SG_AUDIT_QUEUE_MIN)
#define FUZZ_RECORD   16384u

static int fuzz_dir = -1;
static char fuzz_dir_name[64];

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_remove_dir(void)
{
    (void)unlinkat(fuzz_dir, SG_AUDIT_QUEUE_FILE, 0);
    (void)unlinkat(fuzz_dir, SG_AUDIT_QUEUE_DAMAGED, 0);
    (void)rmdir(fuzz_dir_name);
}

/* In memory where there is such a directory: thousands of files of a quarter of a megabyte are made. */
static void fuzz_make_dir(void)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(fuzz_dir_name, sizeof(fuzz_dir_name), "%s/signet-fuzz.XXXXXX", base);
    fuzz_check(mkdtemp(fuzz_dir_name) != NULL);
    fuzz_dir = open(fuzz_dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fuzz_check(fuzz_dir >= 0 && atexit(fuzz_remove_dir) == 0);
}

static void fuzz_take_all(struct sg_audit_queue *queue)
{
    static char record[FUZZ_RECORD];
    struct sg_audit_cursor cursor = sg_audit_queue_begin(queue);
    enum sg_audit_next next = SG_AUDIT_NEXT_NONE;
    size_t len = 0;
    uint64_t number = 0;
    do {
        next = sg_audit_queue_next(queue, &cursor, record, sizeof(record), &len, &number);
        fuzz_check(next != SG_AUDIT_NEXT_RECORD || (len <= sizeof(record) && number != 0));
    } while (next == SG_AUDIT_NEXT_RECORD);
    sg_audit_queue_take(queue, cursor);
    fuzz_check(sg_audit_queue_room(queue) == sg_audit_queue_size(queue));
    sg_audit_queue_number(queue, 1000);
    fuzz_check(sg_audit_queue_put(queue, "record", 6));
    fuzz_check(sg_audit_queue_next(queue, &cursor, record, sizeof(record), &len, &number) ==
               SG_AUDIT_NEXT_RECORD);
    fuzz_check(len == 6 && memcmp(record, "record", 6) == 0 && number == 1000);
}

static void fuzz_open(const uint8_t *bytes, size_t len)
{
    struct sg_audit_queue_info info;
    struct sg_audit_queue_info again;
    struct sg_audit_queue *queue = NULL;
    char error[512];
    bool was_damaged = false;
    int fd = openat(fuzz_dir, SG_AUDIT_QUEUE_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
    bool is_queue = sg_audit_queue_read(bytes, len, &info);
    fuzz_check(sg_audit_queue_open(fuzz_dir, fuzz_dir_name, SG_AUDIT_QUEUE_MIN, &queue,
                                   &was_damaged, error, sizeof(error)) == SIGNET_OK);
    fuzz_check(was_damaged == !is_queue);
    fuzz_check(sg_audit_queue_info(queue, &again) == SIGNET_OK);
    fuzz_check(!is_queue || memcmp(&info, &again, sizeof(info)) == 0);
    fuzz_take_all(queue);
    sg_audit_queue_close(queue);
}

static void fuzz_line(const uint8_t *data, size_t size)
{
    char text[512];
    char name[SG_AUDIT_MAX_NAME];
    char written[256];
    struct sg_audit_prefix prefix;
    if (size >= sizeof(text)) {
        return;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (sg_audit_prefix_read(text, &prefix)) {
        size_t len = sg_audit_prefix_write(&prefix, written, sizeof(written));
        fuzz_check(len <= size && memcmp(written, text, len) == 0);
    }
    uint64_t seq = sg_audit_name_seq(text);
    if (seq != 0) {
        sg_audit_name_write(seq, name);
        fuzz_check(strcmp(name, text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FUZZ_FILE_LEN];
    if (fuzz_dir < 0) {
        fuzz_make_dir();
    }
    fuzz_line(data, size);
    if (size == 0) {
        return 0;
    }
    if ((data[0] & 1u) != 0) {
        fuzz_open(data + 1, size - 1);
    } else {
        size_t len = size - 1 < sizeof(file) ? size - 1 : sizeof(file);
        memset(file, 0, sizeof(file));
        memcpy(file, data + 1, len);
        fuzz_open(file, sizeof(file));
    }
    return 0;
}
