/* SPDX-License-Identifier: Apache-2.0
 *
 * In the place of libsignet-local: a board and verdicts as a test says. All members may be changed while threads use it.
 */
#ifndef SG_TEST_FAKE_LOCAL_H
#define SG_TEST_FAKE_LOCAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/attach.h"

struct fake_local {
    struct sg_local_ops ops;
    _Atomic uint64_t generation; /* 0: no board may be believed */
    _Atomic uint64_t next;       /* not 0: the generation from the next verdict or key on */
    _Atomic int64_t from, until; /* of every key; from > until: there is no key */
    _Atomic unsigned outcome;    /* enum sg_local_outcome of every token */
    _Atomic unsigned num_judged; /* tokens */
    _Atomic unsigned num_bodies; /* that were not released yet */
    _Atomic unsigned num_freed;
};

/* fake_local_init has a board, of generation 1, with all keys, and asks the daemon about every token. */
void fake_local_init(struct fake_local *local);

/* fake_local_attach gives a client this; both must live until the client was freed. */
void fake_local_attach(struct fake_local *local, struct signet_client *client);

#endif
