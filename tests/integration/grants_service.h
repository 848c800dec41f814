/* SPDX-License-Identifier: Apache-2.0
 *
 * A service that runs: this program once more, at whatever path and as whomever, which signs when it is told
 * to, each time on a connection of its own.
 */
#ifndef SG_TEST_GRANTS_SERVICE_H
#define SG_TEST_GRANTS_SERVICE_H

#include "tests/integration/grants_calls.h"

#define GRANTS_SERVICE_ARGUMENT "--service"

struct grants_service {
    pid_t pid; /* 0: none runs */
    int in, out;
};

/* grants_service_start runs the program at path as a person, with one more group (0: none), and waits
 * until it runs. */
void grants_service_start(const struct grants_fixture *fixture, enum grants_who who, gid_t group,
                          const char *path, struct grants_service *out);

/* grants_service_start_elsewhere does it in a namespace of the person's own, in which another file is laid over
 * path. */
void grants_service_start_elsewhere(const struct grants_fixture *fixture, enum grants_who who,
                                    const char *path, const char *other,
                                    struct grants_service *out);

/* grants_service_sign has it sign with a keyset, and says what came of it in words. */
void grants_service_sign(const struct grants_fixture *fixture, const struct grants_service *service,
                         const char *keyset, struct grants_outcome *out);
void grants_service_stop(struct grants_service *service);

/* grants_service_main is its main(), with the arguments that grants_service_start gives. */
int grants_service_main(const char *address, const char *server_uid);

#endif
