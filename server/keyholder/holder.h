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

struct sg_keyholder {
    struct sg_slots slots;
    /* What is imported is sealed to this pair. Made once; the private key lies in the secure heap. */
    uint8_t sealing_public[SG_SEAL_KEY_LEN];
    uint8_t *sealing_private;
    pthread_mutex_t mutex;     /* one operation of the keystore at a time */
    struct sg_keystore *store; /* guarded by mutex; NULL: not open */
};

#endif
