/* SPDX-License-Identifier: Apache-2.0
 *
 * Users of this machine and a daemon whose grants tell them apart: started by root, with a user of its own, on
 * sockets that all can reach. What is done as one of them is done by a child, which must not fail a test: it
 * says in shared memory what came of it, and its parent judges.
 */
#ifndef SG_TEST_GRANTS_FIXTURE_H
#define SG_TEST_GRANTS_FIXTURE_H

#include <signet/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/keyed_daemon.h"

#define GRANTS_PATIENCE_MS (SG_SANITIZED ? 120000u : 30000u)
#define GRANTS_MAX_MINTED  65536u
#define GRANTS_MAX_TOKEN   2048u

/* Whom grants are for. */
enum grants_who {
    GRANTS_LOGIN, /* has a name, where one can be made up; the others are numbers */
    GRANTS_ISSUER,
    GRANTS_OPS,
    GRANTS_STRANGER,
    GRANTS_NUM_USERS,
    GRANTS_ROOT = GRANTS_NUM_USERS,
    GRANTS_NUM_PEOPLE
};

struct grants_person {
    const char *role;
    char user[32]; /* as in the configuration */
    uid_t uid;
    gid_t gid;
};

/* What is signed with or asked about: three keysets, none, and an issuer elsewhere. */
enum grants_target {
    GRANTS_KEYSET_LOGIN,
    GRANTS_KEYSET_ORDERS,
    GRANTS_KEYSET_TEAM,
    GRANTS_NOWHERE,
    GRANTS_PARTNER,
    GRANTS_NUM_TARGETS
};
extern const char *const grants_targets[GRANTS_NUM_TARGETS];

/* Every token that was minted, by whomever. */
struct grants_minted {
    char jti[40];
    char signature[64]; /* how its last part begins, as text */
};

struct grants_fixture {
    struct test_keyed_daemon keyed;
    struct grants_person daemon; /* whom it runs as */
    struct grants_person people[GRANTS_NUM_PEOPLE];
    gid_t group; /* nobody's but as a supplementary one */
    bool has_name, has_ptrace;
    char audit_dir[160];
    char program[128]; /* a copy of this one, which all can run */
    /* One good token of each keyset and of the issuer elsewhere, and one of a key that nobody has. */
    char tokens[GRANTS_NUM_TARGETS][GRANTS_MAX_TOKEN];
    struct {
        atomic_uint num_minted;
        struct grants_minted minted[GRANTS_MAX_MINTED];
    } * shared;
};

/* grants_setup makes all of it, with a daemon that runs; as anybody but root nothing. A cmocka group's. */
int grants_setup(void **state);
int grants_teardown(void **state);

/* grants_need_root skips the running test, saying so, where there are no users to be had. */
struct grants_fixture *grants_need_root(void **state);

/* grants_configure writes the configuration with grants as YAML, "" for none; $LOGIN, $ISSUER, $OPS,
 * $STRANGER, $GROUP and $DIR in it are the users, the group and the daemon's directory. grants_use has it
 * reloaded, and tests that it was. */
void grants_configure(const struct grants_fixture *fixture, const char *grants);
void grants_use(const struct grants_fixture *fixture, const char *grants);

/* grants_restart ends the daemon with a signal and starts it again. */
void grants_restart(struct grants_fixture *fixture, int signal_number);

/* grants_expect runs `signet` as root; it must end with the status and say what (NULL: anything), on either
 * of its outputs. */
void grants_expect(const struct grants_fixture *fixture, int exit_status, const char *what,
                   const char *const *arguments, const char *input);
#define GRANTS_EXPECT(fixture, exit_status, what, input, ...)                                      \
    do {                                                                                           \
        const char *const arguments[] = {__VA_ARGS__, NULL};                                       \
        grants_expect(fixture, exit_status, what, arguments, input);                               \
    } while (0)

/* ---- Being somebody ---- */

/* What a child does. False: it could not be done at all, which fails the test. */
typedef bool grants_act(const struct grants_fixture *fixture, void *context);

/* grants_share gives memory that children share, all zeros; grants_unshare takes it back. */
void *grants_share(size_t size);
void grants_unshare(void *memory, size_t size);

/* grants_become makes the process that person for good, with one more group (0: none). False if it cannot. */
bool grants_become(const struct grants_person *person, gid_t group);

/* Who is not mapped into a user namespace is seen from inside as this uid. */
#define GRANTS_OVERFLOW_UID 65534u

/* grants_leave moves the process, which is nobody special, into a user and a mount namespace of its own, where
 * it is root. False if the system lets nobody do so. */
bool grants_leave(void);

/* grants_fork has a child do it as a person; grants_join waits for its end, which must be good. */
pid_t grants_fork(const struct grants_fixture *fixture, enum grants_who who, grants_act *act,
                  void *context);
void grants_join(pid_t child);
/* grants_as does both. */
void grants_as(const struct grants_fixture *fixture, enum grants_who who, grants_act *act,
               void *context);

#endif
