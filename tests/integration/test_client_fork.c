/* SPDX-License-Identifier: Apache-2.0
 *
 * What a library must stand inside other people's programs: fork() at any moment, many threads, no
 * SIGPIPE, closed standard descriptors, descriptors closed behind its back. The alarm in main bounds
 * every wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <signet/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/fake_server.h"

/* The allocator of gcc 12's and clang 14's address sanitizer takes a lock that fork() does not know: a
 * child of a program with threads may hang in malloc, in whatever code. */
#if defined(__SANITIZE_ADDRESS__)
#define FORK_MALLOC_IS_UNSAFE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORK_MALLOC_IS_UNSAFE 1
#endif
#endif
#ifndef FORK_MALLOC_IS_UNSAFE
#define FORK_MALLOC_IS_UNSAFE 0
#endif

#define FORK_WATCHDOG_S  (SG_SANITIZED ? 400u : 100u)
#define FORK_TIMEOUT_MS  20000u
#define FORK_NUM_THREADS 8
#define FORK_NUM_CROWD   80 /* more than the pool has slots */
#define FORK_NUM_FORKS   40
#define FORK_NUM_CALLS   20

static struct signet_client *fork_client(const struct fake_server *server)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    options.address = server->address;
    options.timeout_ms = FORK_TIMEOUT_MS;
    struct signet_client *client = NULL;
    assert_int_equal(signet_client_new(&options, &client, NULL), SIGNET_OK);
    return client;
}

/* One call whose answer can only be its own: the fake gives the token back as jti. */
static bool fork_call(struct signet_client *client, unsigned who, unsigned number)
{
    static const char *const audiences[] = {"me"};
    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;
    char text[64];
    int len = snprintf(text, sizeof(text), "%d.%u.%u", (int)getpid(), who, number);
    struct signet_verified *token = NULL;
    struct signet_error error;
    if (signet_verify(client, text, (size_t)len, &options, &token, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "%s: %s\n", error.code, error.message);
        return false;
    }
    bool own = strcmp(signet_verified_jti(token), text) == 0;
    signet_verified_free(token);
    return own;
}

/* In a child: some calls, and its own end. */
static void fork_child(struct signet_client *client, unsigned who)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool good = true;
    for (unsigned i = 0; i < FORK_NUM_CALLS && good; i++) {
        good = fork_call(client, who, i);
    }
    signet_client_free(client);
    _exit(good ? 0 : 1);
}

static void fork_expect_good(pid_t child)
{
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static size_t fork_num_entries(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    size_t num = 0;
    while (readdir(directory) != NULL) {
        num++;
    }
    (void)closedir(directory);
    return num;
}

static void test_fork__before_the_first_call_both_processes_work(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = fork_client(&server);
    pid_t child = fork();
    if (child == 0) {
        fork_child(client, 1);
    }
    assert_true(fork_call(client, 0, 0));
    fork_expect_good(child);
    signet_client_free(client);
    fake_server_stop(&server);
}

static void test_fork__after_the_first_call_no_connection_is_shared(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct signet_client *client = fork_client(&server);
    assert_true(fork_call(client, 0, 0));
    size_t before = fork_num_entries("/proc/self/fd");
    pid_t child = fork();
    if (child == 0) {
        /* The parent's connection is closed here and one of our own opened: no descriptor more. */
        bool good = fork_call(client, 1, 0) && fork_num_entries("/proc/self/fd") == before;
        pid_t grandchild = good ? fork() : -1;
        if (grandchild == 0) {
            fork_child(client, 2);
        }
        int status = -1;
        good = grandchild > 0 && fork_call(client, 1, 1) &&
               waitpid(grandchild, &status, 0) == grandchild && status == 0;
        signet_client_free(client);
        _exit(good ? 0 : 1);
    }
    for (unsigned i = 1; i < FORK_NUM_CALLS; i++) {
        assert_true(fork_call(client, 0, i));
    }
    fork_expect_good(child);
    assert_true(fork_call(client, 0, FORK_NUM_CALLS)); /* the child's end closed nothing here */
    assert_int_equal(fork_num_entries("/proc/self/fd"), before);
    signet_client_free(client);
    fake_server_stop(&server);
}

struct fork_crowd {
    struct signet_client *client;
    atomic_bool stop;
    atomic_bool failed;
    atomic_uint num_started;
    atomic_uint num_calls;
};

static void *fork_hammer(void *argument)
{
    struct fork_crowd *crowd = argument;
    unsigned who = 100 + atomic_fetch_add(&crowd->num_started, 1);
    for (unsigned i = 0; !atomic_load(&crowd->stop); i++) {
        if (!fork_call(crowd->client, who, i)) {
            atomic_store(&crowd->failed, true);
        }
        atomic_fetch_add(&crowd->num_calls, 1);
    }
    return NULL;
}

static void fork_crowd_start(struct fork_crowd *crowd, pthread_t *threads, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fork_hammer, crowd), 0);
    }
}

static void fork_crowd_end(struct fork_crowd *crowd, pthread_t *threads, size_t num)
{
    atomic_store(&crowd->stop, true);
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(atomic_load(&crowd->failed));
}

static void test_fork__while_other_threads_are_in_calls(void **state)
{
    (void)state;
    if (FORK_MALLOC_IS_UNSAFE) {
        skip();
    }
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct fork_crowd crowd = {.client = fork_client(&server)};
    pthread_t threads[FORK_NUM_THREADS];
    fork_crowd_start(&crowd, threads, FORK_NUM_THREADS);
    for (unsigned i = 0; i < FORK_NUM_FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            fork_child(crowd.client, i);
        }
        fork_expect_good(child);
    }
    fork_crowd_end(&crowd, threads, FORK_NUM_THREADS);
    signet_client_free(crowd.client);
    fake_server_stop(&server);
}

static void test_threads__more_than_slots_each_get_their_own_answer(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    struct fork_crowd crowd = {.client = fork_client(&server)};
    size_t fds = fork_num_entries("/proc/self/fd");
    pthread_t threads[FORK_NUM_CROWD];
    fork_crowd_start(&crowd, threads, FORK_NUM_CROWD);
    while (atomic_load(&crowd.num_calls) < 20 * FORK_NUM_CROWD) {
        (void)sched_yield();
    }
    fork_crowd_end(&crowd, threads, FORK_NUM_CROWD);
    signet_client_free(crowd.client);
    assert_int_equal(fork_num_entries("/proc/self/fd"), fds);
    fake_server_stop(&server);
}

static void test_threads__the_library_starts_none(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    size_t before = fork_num_entries("/proc/self/task");
    struct signet_client *client = fork_client(&server);
    assert_true(fork_call(client, 0, 0));
    assert_int_equal(fork_num_entries("/proc/self/task"), before);
    signet_client_free(client);
    fake_server_stop(&server);
}

/* Greets, and is gone before the request comes; later connections are served. */
static void fork_gone_script(int fd, unsigned index, const void *context)
{
    if (index > 0) {
        fake_honest(fd, index, context);
        return;
    }
    (void)fake_greet(fd);
    (void)shutdown(fd, SHUT_RDWR);
}

static void test_signals__a_peer_that_closes_raises_no_sigpipe(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fork_gone_script, NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        struct signet_client *client = fork_client(&server);
        struct signet_error error;
        signet_status first = signet_health(client, 0, &error);
        /* Either it was not sent and went to the next connection, or nobody knows. */
        bool good = (first == SIGNET_OK || first == SIGNET_UNAVAILABLE) &&
                    signet_health(client, 0, NULL) == SIGNET_OK;
        signet_client_free(client);
        _exit(good ? 0 : 1);
    }
    fork_expect_good(child);
    fake_server_stop(&server);
}

static void test_descriptors__closed_standard_ones_are_not_taken(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)close(STDIN_FILENO);
        (void)close(STDOUT_FILENO);
        struct signet_client *client = fork_client(&server);
        bool good = fork_call(client, 1, 0) && fcntl(STDIN_FILENO, F_GETFD) == -1 &&
                    fcntl(STDOUT_FILENO, F_GETFD) == -1 && fork_call(client, 1, 1);
        signet_client_free(client);
        _exit(good ? 0 : 1);
    }
    fork_expect_good(child);
    fake_server_stop(&server);
}

/* A program that closes all descriptors, as daemons do, and opens others. */
static void test_descriptors__one_that_became_another_file_is_left_alone(void **state)
{
    (void)state;
    struct fake_server server;
    fake_server_start(&server, fake_honest, NULL);
    pid_t child = fork();
    if (child == 0) {
        struct signet_client *client = fork_client(&server);
        bool good = fork_call(client, 1, 0);
        (void)close_range(3, ~0u, 0);
        int pair[2];
        good = good && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pair[0] == 3 &&
               fork_call(client, 1, 1) && fcntl(pair[0], F_GETFD) != -1;
        signet_client_free(client);
        char byte;
        good = good && fcntl(pair[0], F_GETFD) != -1 && fcntl(pair[1], F_GETFD) != -1 &&
               recv(pair[1], &byte, 1, MSG_DONTWAIT) == -1;
        _exit(good ? 0 : 1);
    }
    fork_expect_good(child);
    fake_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork__before_the_first_call_both_processes_work),
        cmocka_unit_test(test_fork__after_the_first_call_no_connection_is_shared),
        cmocka_unit_test(test_fork__while_other_threads_are_in_calls),
        cmocka_unit_test(test_threads__more_than_slots_each_get_their_own_answer),
        cmocka_unit_test(test_threads__the_library_starts_none),
        cmocka_unit_test(test_signals__a_peer_that_closes_raises_no_sigpipe),
        cmocka_unit_test(test_descriptors__closed_standard_ones_are_not_taken),
        cmocka_unit_test(test_descriptors__one_that_became_another_file_is_left_alone),
    };
    (void)alarm(FORK_WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
