/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that a test knows, one of each algorithm, and everything in which they may be recognized: scalars,
 * primes, seeds, and what signing derives from them.
 */
#ifndef SG_TEST_LEAK_KEYS_H
#define SG_TEST_LEAK_KEYS_H

#include "common/jose/alg.h"
#include "tests/support/secret_search.h"

#define LEAK_NUM_KEYS ((size_t)SG_ALG_COUNT - 1)

struct leak_key {
    const struct sg_alg_info *info;
    char keyset[16];    /* a name for it, of the algorithm */
    const char *option; /* of `signet key import` */
    char path[128];     /* the file to import */
};

/* leak_keys_make makes a key of each algorithm, writes its file to dir, and adds it to the search. */
void leak_keys_make(const char *dir, struct secret_search *search,
                    struct leak_key keys[LEAK_NUM_KEYS]);

#endif
