/* SPDX-License-Identifier: Apache-2.0
 *
 * The service and its master are one program, and so may send each other structs.
 */
#include "tests/integration/grants_service.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these, and those of the header above. */
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct service_order {
    char keyset[80];
};

struct service_answer {
    struct grants_outcome outcome;
    unsigned num_minted;
    struct grants_minted minted;
};

/* ---- The service ---- */

static bool service_read(int fd, void *bytes, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t more = read(fd, (char *)bytes + got, len - got);
        if (more <= 0) {
            return false;
        }
        got += (size_t)more;
    }
    return true;
}

static void service_obey(struct grants_fixture *fixture, const struct service_order *order,
                         struct service_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    if (client == NULL) {
        answer->outcome.status = SIGNET_UNAVAILABLE;
        return;
    }
    atomic_store(&fixture->shared->num_minted, 0);
    grants_sign(fixture, client, order->keyset, NULL, NULL, &answer->outcome);
    answer->num_minted = atomic_load(&fixture->shared->num_minted);
    answer->minted = fixture->shared->minted[0];
    signet_client_free(client);
}

static bool service_tell(const struct service_answer *answer)
{
    return write(STDOUT_FILENO, answer, sizeof(*answer)) == (ssize_t)sizeof(*answer);
}

int grants_service_main(const char *address, const char *server_uid)
{
    struct grants_fixture *fixture = calloc(1, sizeof(*fixture));
    struct service_order order;
    struct service_answer answer;
    if (fixture == NULL || (fixture->shared = calloc(1, sizeof(*fixture->shared))) == NULL) {
        return 1;
    }
    (void)snprintf(fixture->keyed.daemon.address, sizeof(fixture->keyed.daemon.address), "%s",
                   address);
    fixture->daemon.uid = (uid_t)strtoul(server_uid, NULL, 10);
    memset(&answer, 0, sizeof(answer));
    bool is_heard = service_tell(&answer); /* that it runs */
    while (is_heard && service_read(STDIN_FILENO, &order, sizeof(order))) {
        service_obey(fixture, &order, &answer);
        is_heard = service_tell(&answer);
    }
    free(fixture->shared);
    free(fixture);
    return is_heard ? 0 : 1;
}

/* ---- Its master ---- */

/* What is to be run, and how. */
struct service_plan {
    enum grants_who who;
    gid_t group;
    const char *path,
        *other; /* other: laid over it, where only the service sees that; NULL: nothing */
};

static bool service_prepare(const struct grants_fixture *fixture, const struct service_plan *plan)
{
    return chdir("/") == 0 && grants_become(&fixture->people[plan->who], plan->group) &&
           (plan->other == NULL ||
            (grants_leave() && mount(plan->other, plan->path, NULL, MS_BIND, NULL) == 0));
}

static void service_exec(const struct grants_fixture *fixture, const struct service_plan *plan,
                         const int in[2], const int out[2])
{
    char uid[16];
    (void)snprintf(uid, sizeof(uid), "%u",
                   plan->other != NULL ? GRANTS_OVERFLOW_UID : (unsigned)fixture->daemon.uid);
    const char *path = plan->path;
    const char *const argv[] = {path, GRANTS_SERVICE_ARGUMENT, fixture->keyed.daemon.address, uid,
                                NULL};
    if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0 &&
        service_prepare(fixture, plan)) {
        (void)execv(path, (char *const *)(uintptr_t)argv);
    }
    _exit(127);
}

static void service_await(const struct grants_service *service, struct service_answer *answer)
{
    struct pollfd answered = {.fd = service->out, .events = POLLIN};
    assert_int_equal(poll(&answered, 1, (int)GRANTS_PATIENCE_MS), 1);
    assert_true(service_read(service->out, answer, sizeof(*answer)));
}

static void service_start(const struct grants_fixture *fixture, const struct service_plan *plan,
                          struct grants_service *out)
{
    struct service_answer answer;
    int to[2];
    int from[2];
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    out->pid = fork();
    if (out->pid == 0) {
        service_exec(fixture, plan, to, from);
    }
    assert_true(out->pid > 0);
    (void)close(to[0]);
    (void)close(from[1]);
    out->in = to[1];
    out->out = from[0];
    service_await(out, &answer);
}

void grants_service_start(const struct grants_fixture *fixture, enum grants_who who, gid_t group,
                          const char *path, struct grants_service *out)
{
    const struct service_plan plan = {.who = who, .group = group, .path = path};
    service_start(fixture, &plan, out);
}

void grants_service_start_elsewhere(const struct grants_fixture *fixture, enum grants_who who,
                                    const char *path, const char *other, struct grants_service *out)
{
    const struct service_plan plan = {.who = who, .path = path, .other = other};
    service_start(fixture, &plan, out);
}

void grants_service_sign(const struct grants_fixture *fixture, const struct grants_service *service,
                         const char *keyset, struct grants_outcome *out)
{
    struct service_order order = {0};
    struct service_answer answer;
    (void)snprintf(order.keyset, sizeof(order.keyset), "%s", keyset);
    assert_int_equal(write(service->in, &order, sizeof(order)), sizeof(order));
    service_await(service, &answer);
    *out = answer.outcome;
    if (answer.num_minted > 0) {
        unsigned slot = atomic_fetch_add(&fixture->shared->num_minted, 1);
        assert_true(slot < GRANTS_MAX_MINTED);
        fixture->shared->minted[slot] = answer.minted;
    }
}

void grants_service_stop(struct grants_service *service)
{
    if (service->pid <= 0) {
        return;
    }
    int status = -1;
    (void)close(service->in);
    (void)close(service->out);
    assert_int_equal(waitpid(service->pid, &status, 0), service->pid);
    service->pid = 0;
    assert_int_equal(status, 0);
}
