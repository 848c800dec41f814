/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers for tests: programs of one's own that run until they are stopped, as another user or in other
 * namespaces, and identities of them.
 */
#ifndef SG_TEST_PEER_FIXTURE_H
#define SG_TEST_PEER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/peer.h"
#include "server/peer_resolver.h"

#define PEER_NOBODY 65534u

struct peer_fixture {
    char dir[96];      /* temporary, removed at the end; everybody may look into it */
    char program[128]; /* dir/program: a copy of cat */
    char other[128];   /* dir/other: another program, not started yet */
    struct sg_peer_resolver_process process;
    struct sg_peer_resolver *resolver;
};

/* peer_setup makes the files and a resolver without a process; peer_setup_process makes one with it, and
 * skips the test, loudly, where there is no right to. */
int peer_setup(void **state);
int peer_teardown(void **state);
void peer_launch(struct peer_fixture *fixture, const struct sg_peer_resolver_options *options);

/* A program that runs. */
struct peer_program {
    pid_t pid;
    uid_t uid;
    int input; /* closed, it ends */
};

struct peer_program_options {
    const char *path; /* NULL: the fixture's program */
    uid_t uid;        /* other than 0: to become, where this is root */
    int namespaces;   /* CLONE_NEW... */
    pid_t want_pid;   /* 0: any */
    /* In the child, before it becomes uid and executes. */
    bool (*prepare)(const struct peer_fixture *fixture);
};

/* peer_program_try returns false, with errno, if the kernel does not permit it. When it returns true the
 * program has been executed. */
bool peer_program_try(const struct peer_fixture *fixture,
                      const struct peer_program_options *options, struct peer_program *out);
void peer_program_start(const struct peer_fixture *fixture,
                        const struct peer_program_options *options, struct peer_program *out);
void peer_program_stop(struct peer_program *program);

/* peer_identity is of a program that has connected just now. */
struct sg_peer_identity *peer_identity(const struct peer_fixture *fixture,
                                       const struct peer_program *program);

/* peer_expect looks up one fact that must be known (problem NULL), or must have failed with a problem that
 * has the words in it. */
const struct sg_peer_facts *peer_expect(struct sg_peer_identity *identity, unsigned fact,
                                        const char *problem);

/* peer_copy_file copies a file, with the mode 0755. */
void peer_copy_file(const char *from, const char *to);

/* peer_skip_unless_root says why. */
void peer_skip_unless_root(void);

#endif
