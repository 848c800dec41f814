/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs are started with clone3, which can choose namespaces and the pid.
 */
#include "peer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/files.h"

void peer_skip_unless_root(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can start processes of other users and in namespaces\n");
        skip();
    }
}

void peer_copy_file(const char *from, const char *to)
{
    size_t len = 0;
    char *bytes = test_read_file(from, &len);
    assert_non_null(bytes);
    test_write_file(to, bytes, len);
    assert_int_equal(chmod(to, 0755), 0);
    free(bytes);
}

int peer_setup(void **state)
{
    const struct sg_peer_resolver_options options = {.process = SG_PEER_RESOLVER_NONE};
    struct peer_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->dir, sizeof(fixture->dir));
    assert_int_equal(chmod(fixture->dir, 0755), 0);
    (void)snprintf(fixture->program, sizeof(fixture->program), "%s/program", fixture->dir);
    (void)snprintf(fixture->other, sizeof(fixture->other), "%s/other", fixture->dir);
    peer_copy_file("/bin/cat", fixture->program);
    peer_copy_file("/bin/sleep", fixture->other);
    fixture->process = SG_PEER_RESOLVER_NONE;
    assert_int_equal(sg_peer_resolver_new(&options, &fixture->resolver), SIGNET_OK);
    *state = fixture;
    return 0;
}

int peer_teardown(void **state)
{
    struct peer_fixture *fixture = *state;
    sg_peer_resolver_free(fixture->resolver);
    sg_peer_resolver_stop(&fixture->process);
    test_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

void peer_launch(struct peer_fixture *fixture, const struct sg_peer_resolver_options *options)
{
    struct sg_peer_resolver_options with = *options;
    uid_t uid = geteuid() == 0 ? PEER_NOBODY : geteuid();
    assert_int_equal(sg_peer_resolver_launch(uid, (gid_t)uid, &fixture->process), SIGNET_OK);
    if (fixture->process.quick_fd < 0) {
        print_message("SKIPPED: there is no CAP_SYS_PTRACE here to give to a resolver\n");
        skip();
    }
    with.process = fixture->process;
    sg_peer_resolver_free(fixture->resolver);
    assert_int_equal(sg_peer_resolver_new(&with, &fixture->resolver), SIGNET_OK);
}

/* ---- Programs ---- */

static void __attribute__((noreturn))
program_run(const struct peer_fixture *fixture, const struct peer_program_options *options,
            int input, int report)
{
    const char *path = options->path != NULL ? options->path : fixture->program;
    char name[] = "program";
    char minute[] = "60"; /* what is not cat is sleep */
    char *const arguments[] = {name, strcmp(path, fixture->other) == 0 ? minute : NULL, NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    bool prepared = dup2(input, STDIN_FILENO) == STDIN_FILENO &&
                    (options->prepare == NULL || options->prepare(fixture));
    if (prepared && options->uid != 0) {
        gid_t gid = (gid_t)options->uid;
        prepared = setgroups(1, &gid) == 0 && setgid(gid) == 0 && setuid(options->uid) == 0;
    }
    if (prepared) {
        (void)execv(path, arguments);
    }
    int number = errno;
    ssize_t written = write(report, &number, sizeof(number));
    _exit(written == (ssize_t)sizeof(number) ? 1 : 2);
}

/* Returns the pid; 0 in the child. */
static pid_t program_clone(const struct peer_program_options *options)
{
    pid_t wanted = options->want_pid;
    struct clone_args arguments = {
        .flags = (uint64_t)(unsigned)options->namespaces,
        .exit_signal = SIGCHLD,
        .set_tid = wanted != 0 ? (uint64_t)(uintptr_t)&wanted : 0,
        .set_tid_size = wanted != 0 ? 1 : 0,
    };
    if (options->namespaces == 0 && wanted == 0) {
        return fork();
    }
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

bool peer_program_try(const struct peer_fixture *fixture,
                      const struct peer_program_options *options, struct peer_program *out)
{
    int input[2];
    int report[2]; /* closed when the program is executed; before that, errno */
    int number = 0;
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t pid = program_clone(options);
    number = pid < 0 ? errno : 0;
    if (pid == 0) {
        program_run(fixture, options, input[0], report[1]);
    }
    (void)close(input[0]);
    (void)close(report[1]);
    if (pid > 0 && read(report[0], &number, sizeof(number)) > 0) {
        (void)waitpid(pid, NULL, 0);
        pid = -1;
    }
    (void)close(report[0]);
    if (pid < 0) {
        (void)close(input[1]);
        errno = number;
        return false;
    }
    *out = (struct peer_program){
        .pid = pid, .uid = options->uid != 0 ? options->uid : geteuid(), .input = input[1]};
    return true;
}

void peer_program_start(const struct peer_fixture *fixture,
                        const struct peer_program_options *options, struct peer_program *out)
{
    if (!peer_program_try(fixture, options, out)) {
        fail_msg("the program does not start: %s", strerror(errno));
    }
}

void peer_program_stop(struct peer_program *program)
{
    (void)close(program->input);
    (void)kill(program->pid, SIGKILL);
    assert_int_equal(waitpid(program->pid, NULL, 0), program->pid);
}

/* ---- Identities ---- */

struct sg_peer_identity *peer_identity(const struct peer_fixture *fixture,
                                       const struct peer_program *program)
{
    const struct sg_peer peer = {.pid = program->pid, .uid = program->uid, .gid = 0};
    struct sg_peer_identity *identity = NULL;
    assert_int_equal(sg_peer_identity_new(fixture->resolver, &peer, sg_peer_boot_ms(), &identity),
                     SIGNET_OK);
    return identity;
}

const struct sg_peer_facts *peer_expect(struct sg_peer_identity *identity, unsigned fact,
                                        const char *problem)
{
    const struct sg_peer_facts *facts = sg_peer_facts_get(identity, fact);
    assert_non_null(facts);
    if (problem == NULL && (facts->known & fact) != fact) {
        fail_msg("fact %u is not known: %s", fact, facts->problem);
    }
    if (problem != NULL) {
        assert_int_equal(facts->known & fact, 0);
        assert_int_equal(facts->failed & fact, fact);
        assert_non_null(facts->problem);
        if (strstr(facts->problem, problem) == NULL) {
            fail_msg("\"%s\" has no \"%s\"", facts->problem, problem);
        }
    }
    assert_int_equal(facts->known & facts->failed, 0);
    return facts;
}
