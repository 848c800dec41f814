/* SPDX-License-Identifier: Apache-2.0
 *
 * Boards that come, go and are not what they should be, under libsignet-local: what it says, that it never says yes
 * without one that counts, that it finds the next, and that none is left mapped; with threads, and in the child of fork().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/board_layout.h"
#include "tests/support/files.h"
#include "tests/unit/local_fixture.h"

#if SG_SANITIZED
#define NUM_BOARDS  300u
#define NUM_CHANGES 100u
#define NUM_FORKS   10u
#else
#define NUM_BOARDS  10000u
#define NUM_CHANGES 2000u
#define NUM_FORKS   50u
#endif
/* As in test_client_fork: gcc 12's and clang 14's address sanitizer has a lock that fork() does not know. */
#if defined(__SANITIZE_ADDRESS__)
#define MALLOC_IS_UNSAFE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MALLOC_IS_UNSAFE 1
#endif
#endif
#ifndef MALLOC_IS_UNSAFE
#define MALLOC_IS_UNSAFE 0
#endif
#define NUM_THREADS      64u
#define CHILD_PATIENCE_S 120u
#define LOOK_MS          100u /* how often a path is looked at, at the least */

static struct jose_key key;
static char token[JOSE_TOKEN_CAP];
static const struct signet_verify_options for_any = {.any_audience = true};

static int make_key(void **state)
{
    (void)state;
    jose_key_new(&key, SG_ALG_ES256);
    jose_token(&key, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
               "{\"iss\":\"" LOCAL_ISSUER
               "\",\"sub\":\"alice\",\"jti\":\"one\",\"iat\":1799999990,\"exp\":1800000100}",
               token);
    return 0;
}

static int free_key(void **state)
{
    (void)state;
    jose_key_free(&key);
    return 0;
}

static int setup(void **state)
{
    struct local_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    local_setup(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct local_fixture *fixture = *state;
    local_teardown(fixture);
    free(fixture);
    return 0;
}

static void publish(struct local_fixture *fixture)
{
    const struct sg_board_key record = local_record("main", "k", SG_ALG_ES256, key.public);
    local_publish(fixture, &record, 1);
}

static enum sg_local_outcome verify(const struct local_fixture *fixture)
{
    struct sg_local_answer answer = local_verify(fixture, token, &for_any);
    local_release(&answer);
    return answer.outcome;
}

static bool has_generation(const struct local_fixture *fixture)
{
    uint64_t generation = 0;
    return sg_local_ops.generation(fixture->local, &generation);
}

/* The writer lives on, and it is time to look again. */
static void wait_for_look(struct local_fixture *fixture)
{
    local_set_boot_ms(local_boot_ms() + LOOK_MS);
    if (fixture->writer != NULL) {
        sg_board_writer_beat(fixture->writer, local_boot_ms());
    }
}

static void must_be_lost(struct local_fixture *fixture, const char *why)
{
    const char *said = NULL;
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    assert_false(has_generation(fixture));
    assert_int_equal(local_notices(&said), 1);
    if (strstr(said, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", said, why);
    }
    for (unsigned i = 0; i < 10; i++) {
        wait_for_look(fixture);
        assert_int_equal(verify(fixture), SG_LOCAL_ASK);
        assert_false(has_generation(fixture));
    }
    assert_int_equal(local_notices(NULL), 0);
}

static void must_be_back(struct local_fixture *fixture)
{
    wait_for_look(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_true(has_generation(fixture));
    assert_int_equal(local_notices(NULL), 1);
}

/* ---- One thread ---- */

static void test_boards__the_daemon_may_start_later(void **state)
{
    struct local_fixture *fixture = *state;
    local_open(fixture);
    must_be_lost(fixture, "cannot be opened");
    publish(fixture);
    must_be_back(fixture);
}

static void test_boards__are_not_looked_for_at_every_call(void **state)
{
    struct local_fixture *fixture = *state;
    local_open(fixture);
    for (unsigned i = 0; i < 10; i++) {
        wait_for_look(fixture);
        assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    }
    publish(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    local_set_boot_ms(local_boot_ms() + LOOK_MS - 1);
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    local_set_boot_ms(local_boot_ms() + 1);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
}

static void test_boards__one_that_takes_its_place_is_found_at_once(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
        publish(fixture);
    }
    assert_int_equal(local_notices(NULL), 0);
}

static void test_boards__a_daemon_that_is_silent_is_not_believed(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    local_set_boot_ms(LOCAL_BOOT_MS + LOCAL_MAX_AGE);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    local_set_boot_ms(LOCAL_BOOT_MS + LOCAL_MAX_AGE + 1);
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    assert_int_equal(local_notices(NULL), 1);
    sg_board_writer_beat(fixture->writer, local_boot_ms());
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD); /* the same one: nothing had to be opened */
    assert_int_equal(local_notices(NULL), 1);
}

static void test_boards__a_daemon_that_stops_is_not_believed(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    sg_board_writer_close(fixture->writer);
    fixture->writer = NULL;
    must_be_lost(fixture, "out of date");
    local_open_writer(fixture);
    publish(fixture);
    must_be_back(fixture);
}

static void test_boards__superseded_with_nothing_new_is_lost_in_the_end(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    /* As a daemon leaves it that dies between the mark and the rename. */
    const uint32_t mark = 1;
    int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &mark, sizeof(mark), offsetof(struct sg_board_header, superseded)),
                     sizeof(mark));
    assert_int_equal(close(fd), 0);
    /* It may be replaced at any moment: nothing is said at first, but nothing is believed either. */
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    assert_int_equal(local_notices(NULL), 0);
    for (unsigned i = 0; i < 2 * LOOK_MS; i++) {
        local_set_boot_ms(local_boot_ms() + 1);
        assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    }
    assert_int_equal(local_notices(NULL), 1);
    publish(fixture);
    must_be_back(fixture);
}

/* No later daemon could find it to mark it, and its readers would not hear of what that one revokes. */
static void test_boards__a_deleted_one_does_not_count(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_int_equal(unlink(fixture->path), 0);
    local_set_boot_ms(local_boot_ms() + 1); /* the file is looked at once in a millisecond */
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    assert_int_equal(local_notices(NULL), 1);
    publish(fixture);
    local_set_boot_ms(local_boot_ms() + LOCAL_MAX_AGE / 2);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_int_equal(local_notices(NULL), 1);
}

/* As a program does that becomes a daemon: what it opens afterwards is its own. */
static void test_boards__leave_a_descriptor_alone_that_is_another_file_by_now(void **state)
{
    struct local_fixture *fixture = *state;
    struct stat before;
    struct stat after;
    publish(fixture);
    local_open(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_int_equal(stat(fixture->path, &before), 0);
    int fd = 3;
    while (fstat(fd, &after) != 0 || after.st_ino != before.st_ino ||
           after.st_dev != before.st_dev) {
        assert_true(++fd < 1024);
    }
    int other = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(dup2(other, fd), fd);
    local_set_boot_ms(local_boot_ms() + 1);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD); /* by a new look at the path */
    sg_local_free(fixture->local);
    fixture->local = NULL;
    assert_int_equal(fstat(fd, &after), 0);
    assert_true(S_ISCHR(after.st_mode));
    (void)close(fd);
    (void)close(other);
}

static void test_hostile__what_is_no_board_of_the_daemon_is_not_believed(void **state)
{
    struct local_fixture *fixture = *state;
    char aside[160];
    (void)snprintf(aside, sizeof(aside), "%s/aside", fixture->dir);
    publish(fixture);
    size_t len = 0;
    char *good = test_read_file(fixture->path, &len);
    char *bad = malloc(len);
    assert_non_null(good);
    assert_non_null(bad);
    assert_int_equal(rename(fixture->path, aside), 0);
    enum {
        ZERO,
        NOISE,
        CUT,
        EMPTY,
        FUTURE,
        WRITABLE,
        LINK,
        DIRECTORY,
        STRANGER,
        NUM
    };
    static const char *const why[NUM] = {"no trust board", "no trust board",  "damaged",
                                         "no trust board", "another version", "others can change",
                                         "is a link",      "no regular file", "belongs to uid"};
    for (int i = 0; i < NUM; i++) {
        memcpy(bad, good, len);
        if (i == ZERO) {
            memset(bad, 0, len);
        } else if (i == NOISE) {
            for (size_t at = 0; at < len; at += 256) {
                assert_int_equal(getrandom(bad + at, len - at < 256 ? len - at : 256, 0),
                                 len - at < 256 ? len - at : 256);
            }
        } else if (i == FUTURE) {
            ((struct sg_board_header *)(void *)bad)->version++;
        }
        test_write_file(fixture->path, bad, i == CUT ? len - SG_BOARD_PAGE : i == EMPTY ? 0 : len);
        assert_int_equal(chmod(fixture->path, i == WRITABLE ? 0666 : 0644), 0);
        if (i == LINK || i == DIRECTORY) {
            assert_int_equal(unlink(fixture->path), 0);
            assert_int_equal(i == LINK ? symlink(aside, fixture->path) : mkdir(fixture->path, 0755),
                             0);
        }
        if (i == STRANGER && chown(fixture->path, geteuid() + 1, (gid_t)-1) != 0) {
            continue; /* only root can show this one */
        }
        local_open(fixture);
        must_be_lost(fixture, why[i]);
        assert_int_equal(remove(fixture->path), 0);
        assert_int_equal(rename(aside, fixture->path), 0);
        must_be_back(fixture);
        sg_local_free(fixture->local);
        fixture->local = NULL;
        assert_int_equal(rename(fixture->path, aside), 0);
    }
    free(bad);
    free(good);
}

static void test_hostile__one_that_is_cut_while_in_use_is_not_touched(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_int_equal(truncate(fixture->path, SG_BOARD_PAGE), 0);
    local_set_boot_ms(local_boot_ms() + 1); /* it is looked at once in a millisecond */
    assert_int_equal(verify(fixture), SG_LOCAL_ASK);
    assert_false(has_generation(fixture));
    assert_int_equal(local_notices(NULL), 1);
}

static unsigned num_mapped(const struct local_fixture *fixture)
{
    char line[512];
    unsigned num = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        num += strstr(line, fixture->dir) != NULL ? 1 : 0;
    }
    (void)fclose(maps);
    return num;
}

static void test_boards__none_stays_mapped(void **state)
{
    struct local_fixture *fixture = *state;
    publish(fixture);
    local_open(fixture);
    unsigned before = num_mapped(fixture);
    for (unsigned i = 0; i < NUM_BOARDS; i++) {
        publish(fixture);
        assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    }
    assert_in_range(num_mapped(fixture), 1, before + 1);
    sg_local_free(fixture->local);
    fixture->local = NULL;
    assert_in_range(num_mapped(fixture), 0, before - 1);
}

/* ---- Threads ---- */

struct crowd {
    struct local_fixture *fixture;
    atomic_bool stop;
    atomic_uint num_revoked; /* tokens whose revocation was acknowledged */
    atomic_uint num_good;
    char *tokens[NUM_CHANGES]; /* number i has jti i */
};

/* Nothing that was revoked before the call began is ever good. */
static void *crowd_verify(void *argument)
{
    struct crowd *crowd = argument;
    unsigned at = 0;
    while (!atomic_load(&crowd->stop)) {
        unsigned num_revoked = atomic_load(&crowd->num_revoked);
        unsigned number = at++ % NUM_CHANGES;
        struct sg_local_answer answer =
            local_verify(crowd->fixture, crowd->tokens[number], &for_any);
        local_release(&answer);
        if (answer.outcome == SG_LOCAL_GOOD) {
            assert_true(number >= num_revoked);
            (void)atomic_fetch_add(&crowd->num_good, 1);
        } else if (answer.outcome == SG_LOCAL_REFUSED) {
            assert_int_equal(answer.reason, SIGNET_REASON_REVOKED);
            assert_true(number <= atomic_load(&crowd->num_revoked));
        }
        (void)sched_yield(); /* there are more of these than processors */
    }
    return NULL;
}

static void *crowd_ask_generation(void *argument)
{
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->stop)) {
        (void)has_generation(crowd->fixture);
        (void)sched_yield();
    }
    return NULL;
}

static void crowd_mint(struct crowd *crowd)
{
    for (unsigned i = 0; i < NUM_CHANGES; i++) {
        char claims[128];
        (void)snprintf(claims, sizeof(claims),
                       "{\"iss\":\"" LOCAL_ISSUER "\",\"jti\":\"%u\",\"exp\":1800000100}", i);
        char made[JOSE_TOKEN_CAP];
        jose_token(&key, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims, made);
        crowd->tokens[i] = strdup(made);
        assert_non_null(crowd->tokens[i]);
    }
}

static void test_threads__see_every_revocation_through_every_board(void **state)
{
    struct local_fixture *fixture = *state;
    static struct crowd crowd;
    crowd = (struct crowd){.fixture = fixture};
    pthread_t threads[NUM_THREADS];
    crowd_mint(&crowd);
    publish(fixture);
    local_open(fixture);
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i % 8 == 7 ? crowd_ask_generation : crowd_verify, &crowd),
                         0);
    }
    while (atomic_load(&crowd.num_good) == 0) {
        (void)sched_yield();
    }
    for (unsigned i = 0; i < NUM_CHANGES; i++) {
        char jti[16];
        (void)snprintf(jti, sizeof(jti), "%u", i);
        local_revoke(fixture, SG_BOARD_TOKEN, LOCAL_ISSUER, jti, LOCAL_NOW + 1000);
        atomic_store(&crowd.num_revoked, i + 1);
        local_set_boot_ms(local_boot_ms() + 1);
        sg_board_writer_beat(fixture->writer, local_boot_ms());
        publish(fixture);
    }
    atomic_store(&crowd.stop, true);
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    wait_for_look(fixture);
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    publish(fixture); /* and nobody keeps what was replaced */
    assert_int_equal(verify(fixture), SG_LOCAL_GOOD);
    assert_in_range(num_mapped(fixture), 1, 3);
    for (unsigned i = 0; i < NUM_CHANGES; i++) {
        free(crowd.tokens[i]);
    }
}

static void *republish(void *argument)
{
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->stop)) {
        publish(crowd->fixture);
        (void)verify(crowd->fixture);
    }
    return NULL;
}

/* In a child: the board that there is, and the next. 0: all is well; 1: the daemon is to be asked. */
static int child_run(struct local_fixture *fixture)
{
    (void)alarm(CHILD_PATIENCE_S); /* it must not wait for a thread that it does not have */
    for (unsigned i = 0; verify(fixture) != SG_LOCAL_GOOD; i++) {
        if (i > LOCAL_MAX_AGE / 2) {
            return 1;
        }
        local_set_boot_ms(local_boot_ms() + 1);
        (void)sched_yield();
    }
    return 0;
}

static void test_fork__a_child_goes_on_whatever_the_parent_was_at(void **state)
{
    struct local_fixture *fixture = *state;
    static struct crowd crowd;
    if (MALLOC_IS_UNSAFE) {
        print_message("SKIPPED: the sanitizer's own lock would be met in the child\n");
        skip();
    }
    crowd = (struct crowd){.fixture = fixture};
    pthread_t threads[2];
    publish(fixture);
    local_open(fixture);
    assert_int_equal(pthread_create(&threads[0], NULL, republish, &crowd), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, crowd_ask_generation, &crowd), 0);
    unsigned num_asking = 0; /* forked while a key was read: OpenSSL's locks may be taken there */
    for (unsigned i = 0; i < NUM_FORKS; i++) {
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            _exit(child_run(fixture));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        num_asking += status != 0 ? 1 : 0;
    }
    atomic_store(&crowd.stop, true);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_true(num_asking < NUM_FORKS / 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_boards__the_daemon_may_start_later),
        CASE(test_boards__are_not_looked_for_at_every_call),
        CASE(test_boards__one_that_takes_its_place_is_found_at_once),
        CASE(test_boards__a_daemon_that_is_silent_is_not_believed),
        CASE(test_boards__a_daemon_that_stops_is_not_believed),
        CASE(test_boards__superseded_with_nothing_new_is_lost_in_the_end),
        CASE(test_boards__a_deleted_one_does_not_count),
        CASE(test_boards__leave_a_descriptor_alone_that_is_another_file_by_now),
        CASE(test_hostile__what_is_no_board_of_the_daemon_is_not_believed),
        CASE(test_hostile__one_that_is_cut_while_in_use_is_not_touched),
        CASE(test_boards__none_stays_mapped),
        CASE(test_threads__see_every_revocation_through_every_board),
        CASE(test_fork__a_child_goes_on_whatever_the_parent_was_at),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
