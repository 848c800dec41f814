/* SPDX-License-Identifier: Apache-2.0
 *
 * What a keyholder is made of; for its two doors (keyholder.c and keystore_door.c) only.
 */
#ifndef SG_KEYHOLDER_HOLDER_H
#define SG_KEYHOLDER_HOLDER_H

#include <pthread.h>

#include "common/seal/seal.h"
#include "server/keyholder/keystore.h"
#include "server/keyholder/slots.h"

struct sg_holder {
    struct sg_keyholder base;
    struct sg_slots slots;
    /* What is imported is sealed to this pair. Made once; the private key is of sg_secret_alloc. */
    uint8_t sealing_public[SG_SEAL_KEY_LEN];
    uint8_t *sealing_private;
    pthread_mutex_t mutex;     /* one operation of the keystore at a time */
    struct sg_keystore *store; /* guarded by mutex; NULL: not open */
};

/* sg_holder_keystore is the second door of a keyholder in this process. */
signet_status sg_holder_keystore(struct sg_keyholder *keyholder,
                                 const struct sg_keystore_request *request,
                                 struct sg_keystore_reply *reply) SIGNET_MUST_CHECK;

#endif
