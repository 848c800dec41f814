/* SPDX-License-Identifier: Apache-2.0
 *
 * A hostile front: packets that no daemon would send, and what may come back for them.
 */
#ifndef SG_TEST_KEYHOLDER_FUZZ_H
#define SG_TEST_KEYHOLDER_FUZZ_H

#include "keyholder_fixture.h"

struct holder_fuzz {
    const struct holder_fixture *fixture;
    int channel;
    uint64_t seed; /* not 0; the same one sends the same packets */
    unsigned num_packets;
    /* What came of it. */
    char fault[512]; /* the first thing that may not be; empty: there was none */
    unsigned num_refused, num_operations, num_done, num_signed, num_checked, num_equal,
        num_keystore;
};

/* holder_fuzz_run sends the packets, one at a time, and judges each answer; it ends at the first fault. Any
 * thread, several at once on channels of their own. Keys that it makes are destroyed again. */
void holder_fuzz_run(struct holder_fuzz *run);

#endif
