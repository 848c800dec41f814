/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring: a model of it beside it, what is damaged, whose it is, and SIGKILL of whoever puts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/audit_queue.h"
#include "tests/support/files.h"

#define RING        SG_AUDIT_QUEUE_MIN
#define MAX_RECORD  20000u
#define NUM_KILLS   60u
#define HEADER_LEN  4096u
#define MODEL_STEPS 20000u

struct fixture {
    char dir[96];
    int dir_fd;
    char error[512];
    bool was_damaged;
    struct sg_audit_queue *queue;
    char record[MAX_RECORD];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    fixture->dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->dir_fd >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    sg_audit_queue_close(fixture->queue);
    (void)close(fixture->dir_fd);
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static signet_status try_open(struct fixture *fixture, size_t size)
{
    return sg_audit_queue_open(fixture->dir_fd, fixture->dir, size, &fixture->queue,
                               &fixture->was_damaged, fixture->error, sizeof(fixture->error));
}

static void open_queue(struct fixture *fixture, size_t size)
{
    if (try_open(fixture, size) != SIGNET_OK) {
        fail_msg("%s", fixture->error);
    }
}

static void reopen(struct fixture *fixture, size_t size)
{
    sg_audit_queue_close(fixture->queue);
    fixture->queue = NULL;
    open_queue(fixture, size);
}

static void queue_path(const struct fixture *fixture, char out[160])
{
    (void)snprintf(out, 160, "%s/" SG_AUDIT_QUEUE_FILE, fixture->dir);
}

static void put(struct fixture *fixture, const char *text)
{
    assert_true(sg_audit_queue_put(fixture->queue, text, strlen(text)));
}

/* Takes the next record, and expects it to be this; NULL: that there is none. */
static void expect(struct fixture *fixture, const char *text)
{
    struct sg_audit_cursor cursor = sg_audit_queue_begin(fixture->queue);
    size_t len = 0;
    uint64_t number = 0;
    enum sg_audit_next next = sg_audit_queue_next(fixture->queue, &cursor, fixture->record,
                                                  sizeof(fixture->record), &len, &number);
    assert_int_equal(next, text != NULL ? SG_AUDIT_NEXT_RECORD : SG_AUDIT_NEXT_NONE);
    if (text != NULL) {
        assert_int_equal(len, strlen(text));
        assert_memory_equal(fixture->record, text, len);
        sg_audit_queue_take(fixture->queue, cursor);
    }
}

/* ---- A model ---- */

static uint32_t pick(uint64_t *random, uint32_t below)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return (uint32_t)((*random * 0x2545F4914F6CDD1Du >> 32) % below);
}

/* A record that says its number and length all along. */
static size_t make_record(uint64_t number, uint32_t len, char out[MAX_RECORD])
{
    memset(out, (int)(number & 0xffu), len);
    return len;
}

static void test_queue__is_what_a_model_of_it_is(void **state)
{
    struct fixture *fixture = *state;
    static uint32_t lens[MODEL_STEPS + 1]; /* by number */
    uint64_t random = 42;
    uint64_t put_num = 0;
    uint64_t taken_num = 0;
    size_t used = 0;
    char made[MAX_RECORD];
    open_queue(fixture, RING);
    for (size_t step = 0; step < MODEL_STEPS; step++) {
        uint32_t what = pick(&random, 100);
        if (what < 52) {
            uint32_t len = pick(&random, pick(&random, 8) == 0 ? MAX_RECORD : 300);
            size_t need = sg_audit_queue_need(make_record(put_num + 1, len, made));
            bool has_room = need <= RING - used;
            assert_int_equal(sg_audit_queue_put(fixture->queue, made, len), has_room);
            put_num += has_room ? 1 : 0;
            used += has_room ? need : 0;
            lens[put_num] = has_room ? len : lens[put_num];
        } else if (what < 99) {
            struct sg_audit_cursor cursor = sg_audit_queue_begin(fixture->queue);
            size_t len = 0;
            uint64_t number = 0;
            enum sg_audit_next next = sg_audit_queue_next(fixture->queue, &cursor, fixture->record,
                                                          sizeof(fixture->record), &len, &number);
            assert_int_equal(next, put_num > taken_num ? SG_AUDIT_NEXT_RECORD : SG_AUDIT_NEXT_NONE);
            if (next == SG_AUDIT_NEXT_RECORD) {
                assert_int_equal(number, ++taken_num);
                assert_int_equal(len, lens[number]);
                assert_memory_equal(fixture->record, made, make_record(number, lens[number], made));
                sg_audit_queue_take(fixture->queue, cursor);
                used -= sg_audit_queue_need(len);
            }
        } else {
            reopen(fixture, RING);
            assert_false(fixture->was_damaged);
        }
        assert_int_equal(sg_audit_queue_room(fixture->queue), RING - used);
    }
    assert_true(put_num > MODEL_STEPS / 4 && taken_num > MODEL_STEPS / 8);
}

/* ---- What outlives a process ---- */

static void test_queue__keeps_what_it_knows(void **state)
{
    struct fixture *fixture = *state;
    struct sg_audit_queue_info info;
    struct sg_audit_mark mark = {.seq = 7, .hash = {1, 2, 3}};
    open_queue(fixture, RING);
    sg_audit_queue_number(fixture->queue, 100);
    put(fixture, "one");
    put(fixture, "two");
    sg_audit_queue_drop(fixture->queue, 5);
    sg_audit_queue_tell(fixture->queue, 3);
    for (mark.seq = 1; mark.seq <= 7; mark.seq++) {
        sg_audit_queue_mark_written(fixture->queue, &mark);
    }
    mark.seq = 3;
    sg_audit_queue_mark_synced(fixture->queue, &mark);
    reopen(fixture, RING);
    assert_int_equal(sg_audit_queue_info(fixture->queue, &info), SIGNET_OK);
    assert_int_equal(info.num_waiting, 2);
    assert_int_equal(info.first, 100);
    assert_int_equal(info.last, 101);
    assert_int_equal(info.dropped, 5);
    assert_int_equal(info.told, 3);
    assert_int_equal(info.written.seq, 7);
    assert_memory_equal(info.written.hash, mark.hash, sizeof(mark.hash));
    assert_int_equal(info.synced.seq, 3);
    assert_int_equal(strlen(info.boot), SG_AUDIT_BOOT_LEN);
    expect(fixture, "one");
    expect(fixture, "two");
    expect(fixture, NULL);
    /* Empty, it takes another size, and forgets nothing. */
    reopen(fixture, 2 * RING);
    assert_int_equal(sg_audit_queue_size(fixture->queue), 2 * RING);
    put(fixture, "three");
    reopen(fixture, RING); /* which it does not with something in it */
    assert_int_equal(sg_audit_queue_size(fixture->queue), 2 * RING);
    assert_int_equal(sg_audit_queue_info(fixture->queue, &info), SIGNET_OK);
    assert_int_equal(info.first, 102);
    assert_int_equal(info.written.seq, 7);
    assert_int_equal(info.dropped, 5);
}

static void test_queue__has_bounds_for_its_size(void **state)
{
    struct fixture *fixture = *state;
    open_queue(fixture, 1);
    assert_int_equal(sg_audit_queue_size(fixture->queue), SG_AUDIT_QUEUE_MIN);
    reopen(fixture, SG_AUDIT_QUEUE_MIN + 1);
    assert_int_equal(sg_audit_queue_size(fixture->queue), SG_AUDIT_QUEUE_MIN + 4096);
}

/* ---- Whose it is ---- */

static void test_queue__refuses_what_others_could_change(void **state)
{
    struct fixture *fixture = *state;
    char path[160];
    queue_path(fixture, path);
    open_queue(fixture, RING);
    struct sg_audit_queue *first = fixture->queue;
    assert_int_equal(try_open(fixture, RING), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->error, "another signetd"));
    sg_audit_queue_close(first);
    fixture->queue = NULL;

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(try_open(fixture, RING), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->error, "chmod 0600"));
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1, 1), 0);
        assert_int_equal(try_open(fixture, RING), SIGNET_FAILED_PRECONDITION);
        assert_non_null(strstr(fixture->error, "chown"));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(try_open(fixture, RING), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(try_open(fixture, RING), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->error, "no regular file"));
}

static void test_queue__says_whether_it_is_used(void **state)
{
    struct fixture *fixture = *state;
    char path[160];
    queue_path(fixture, path);
    open_queue(fixture, RING);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && sg_audit_queue_is_used(fd));
    sg_audit_queue_close(fixture->queue);
    fixture->queue = NULL;
    assert_false(sg_audit_queue_is_used(fd));
    (void)close(fd);
}

/* ---- Damage ---- */

/* Writes bytes into the file of a queue that is closed. */
static void damage(struct fixture *fixture, off_t at, const void *bytes, size_t len)
{
    char path[160];
    queue_path(fixture, path);
    sg_audit_queue_close(fixture->queue);
    fixture->queue = NULL;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    (void)close(fd);
}

static void test_damage__of_the_header_begins_anew_and_keeps_the_file(void **state)
{
    struct fixture *fixture = *state;
    /* magic, version, length, size, head, tail */
    static const off_t places[] = {0, 8, 12, 16, 24, 32};
    char kept[160];
    (void)snprintf(kept, sizeof(kept), "%s/" SG_AUDIT_QUEUE_DAMAGED, fixture->dir);
    open_queue(fixture, RING);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        put(fixture, "lost");
        damage(fixture, places[i], "\x7f\x7f\x7f\x7f", 4);
        open_queue(fixture, RING);
        assert_true(fixture->was_damaged);
        assert_int_equal(access(kept, F_OK), 0);
        assert_int_equal(unlink(kept), 0);
        expect(fixture, NULL);
    }
}

static void test_damage__of_the_length_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    static const off_t lens[] = {0, 1, 4096, RING, RING + 4095, RING + 4097, RING * 3};
    char path[160];
    queue_path(fixture, path);
    open_queue(fixture, RING);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        put(fixture, "lost");
        sg_audit_queue_close(fixture->queue);
        fixture->queue = NULL;
        assert_int_equal(truncate(path, lens[i]), 0);
        open_queue(fixture, RING);
        assert_true(fixture->was_damaged);
        expect(fixture, NULL);
    }
}

static void test_damage__of_a_record_loses_it_and_what_follows(void **state)
{
    struct fixture *fixture = *state;
    struct sg_audit_queue_info info;
    /* number, length (twice), hash, text: of the second record, which begins behind the first one's 32 */
    static const off_t places[] = {0, 8, 14, 16, 24};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        open_queue(fixture, RING);
        put(fixture, "first---");
        put(fixture, "second--");
        put(fixture, "third---");
        damage(fixture, HEADER_LEN + 32 + places[i], "\xff", 1);
        open_queue(fixture, RING);
        assert_false(fixture->was_damaged);
        assert_int_equal(sg_audit_queue_info(fixture->queue, &info), SIGNET_OK);
        assert_int_equal(info.num_waiting, 1);
        assert_int_equal(info.num_damaged_bytes, 64);
        expect(fixture, "first---");
        struct sg_audit_cursor cursor = sg_audit_queue_begin(fixture->queue);
        size_t len = 0;
        uint64_t number = 0;
        assert_int_equal(sg_audit_queue_next(fixture->queue, &cursor, fixture->record, MAX_RECORD,
                                             &len, &number),
                         SG_AUDIT_NEXT_DAMAGED);
        sg_audit_queue_take(fixture->queue, cursor);
        put(fixture, "fourth");
        expect(fixture, "fourth");
        sg_audit_queue_close(fixture->queue);
        fixture->queue = NULL;
        char path[160];
        queue_path(fixture, path);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_damage__of_a_mark_leaves_the_one_before(void **state)
{
    struct fixture *fixture = *state;
    struct sg_audit_queue_info info;
    struct sg_audit_mark mark = {.seq = 8};
    open_queue(fixture, RING);
    sg_audit_queue_mark_written(fixture->queue, &mark);
    mark.seq = 9;
    sg_audit_queue_mark_written(fixture->queue, &mark);
    char path[160];
    size_t len = 0;
    queue_path(fixture, path);
    char *bytes = test_read_file(path, &len);
    const uint64_t nine = 9;
    const char *at = memmem(bytes, HEADER_LEN, &nine, sizeof(nine));
    assert_non_null(at);
    damage(fixture, at - bytes + 8, "\xff", 1);
    free(bytes);
    open_queue(fixture, RING);
    assert_int_equal(sg_audit_queue_info(fixture->queue, &info), SIGNET_OK);
    assert_int_equal(info.written.seq, 8);
}

/* ---- SIGKILL ---- */

/* Puts and takes until it is killed. */
static void kills_child(struct fixture *fixture, int ready)
{
    uint64_t random = (uint64_t)getpid();
    open_queue(fixture, RING);
    (void)!write(ready, "", 1);
    for (;;) {
        struct sg_audit_cursor cursor = sg_audit_queue_begin(fixture->queue);
        size_t len = 0;
        uint64_t number = sg_audit_queue_last(fixture->queue) + 1;
        uint32_t want = pick(&random, 2000);
        struct sg_audit_mark mark = {.seq = number};
        len = make_record(number, want, fixture->record);
        if (!sg_audit_queue_put(fixture->queue, fixture->record, len) || pick(&random, 2) == 0) {
            if (sg_audit_queue_next(fixture->queue, &cursor, fixture->record, MAX_RECORD, &len,
                                    &number) == SG_AUDIT_NEXT_DAMAGED) {
                _exit(1);
            }
            sg_audit_queue_mark_written(fixture->queue, &mark);
            sg_audit_queue_take(fixture->queue, cursor);
        }
    }
}

static void check_records(struct fixture *fixture)
{
    struct sg_audit_cursor cursor = sg_audit_queue_begin(fixture->queue);
    enum sg_audit_next next = SG_AUDIT_NEXT_NONE;
    uint64_t before = 0;
    uint64_t number = 0;
    size_t len = 0;
    while ((next = sg_audit_queue_next(fixture->queue, &cursor, fixture->record, MAX_RECORD, &len,
                                       &number)) == SG_AUDIT_NEXT_RECORD) {
        assert_true(before == 0 || number == before + 1);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal((unsigned char)fixture->record[i], number & 0xffu);
        }
        before = number;
    }
    assert_int_equal(next, SG_AUDIT_NEXT_NONE);
    if (before != 0) {
        sg_audit_queue_number(fixture->queue, before + 1);
    }
}

static void test_kills__leave_a_record_or_none(void **state)
{
    struct fixture *fixture = *state;
    struct sg_audit_queue_info info;
    uint64_t last = 0;
    for (unsigned round = 0; round < NUM_KILLS; round++) {
        int ready[2];
        int wait_status = 0;
        uint32_t random = 0;
        char c = 0;
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            kills_child(fixture, ready[1]);
        }
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &c, 1), 1);
        (void)close(ready[0]);
        assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
        const struct timespec pause = {.tv_nsec = (long)(random % 3000u) * 1000L};
        (void)nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &wait_status, 0), child);
        assert_true(WIFSIGNALED(wait_status));
        open_queue(fixture, RING);
        assert_false(fixture->was_damaged);
        assert_int_equal(sg_audit_queue_info(fixture->queue, &info), SIGNET_OK);
        assert_int_equal(info.num_damaged_bytes, 0);
        assert_true(info.written.seq >= last);
        last = info.written.seq;
        check_records(fixture);
        sg_audit_queue_close(fixture->queue);
        fixture->queue = NULL;
    }
    assert_true(last > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queue__is_what_a_model_of_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__keeps_what_it_knows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__has_bounds_for_its_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__refuses_what_others_could_change, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue__says_whether_it_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage__of_the_header_begins_anew_and_keeps_the_file,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage__of_the_length_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage__of_a_record_loses_it_and_what_follows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_damage__of_a_mark_leaves_the_one_before, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kills__leave_a_record_or_none, setup, teardown),
    };
    return cmocka_run_group_tests_name("audit_queue", tests, NULL, NULL);
}
