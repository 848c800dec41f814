/* SPDX-License-Identifier: Apache-2.0
 *
 * The only door to private keys and secrets. Plain data in, plain data out: arrays of fixed-size
 * structs and one run of bytes, so that the code behind it can move into a process of its own
 * without a caller changing. It knows no protobuf and no JSON, and never gives out a private key, a
 * secret, or the MAC of a check.
 */
#ifndef SG_KEYHOLDER_H
#define SG_KEYHOLDER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jose/alg.h"
#include "common/limits.h"

enum sg_keyholder_op {
    SG_KEYHOLDER_GENERATE = 1, /* alg, rsa_bits -> slot */
    SG_KEYHOLDER_IMPORT, /* alg, data (secret, or PKCS#8 DER, or PEM of one private key, unencrypted) -> slot */
    SG_KEYHOLDER_SIGN,      /* slot, data (JWS signing input) -> data (JWS signature) */
    SG_KEYHOLDER_MAC_CHECK, /* slot, data, mac -> verdict; another length than the hash's differs */
    SG_KEYHOLDER_PUBLIC,    /* slot -> data (SPKI DER) */
    SG_KEYHOLDER_DESTROY,   /* slot */
    /* -> data (X25519 public key, 32 bytes): seal to it what is imported (common/seal). Another in every
     * process. */
    SG_KEYHOLDER_SEALING_KEY,
    SG_KEYHOLDER_IMPORT_SEALED /* as IMPORT, but data was sealed for SG_SEAL_FOR_IMPORT */
};

#define SG_KEYHOLDER_MAX_SLOTS 32768u
#define SG_KEYHOLDER_MAX_DATA  1280u /* largest reply: SPKI of RSA 8192 */
#define SG_KEYHOLDER_MAX_MAC   64u

/* The verdict of MAC_CHECK. Zero is not among its values, so that nothing left unset is a yes. */
enum sg_keyholder_verdict {
    SG_KEYHOLDER_MAC_DIFFERS = 0x4e4f,
    SG_KEYHOLDER_MAC_EQUAL = 0x594553
};

struct sg_keyholder_request {
    uint32_t op;
    uint32_t alg;
    uint32_t slot;
    uint32_t rsa_bits;
    uint32_t data_off; /* into bytes */
    uint32_t data_len;
    uint32_t mac_len;
    uint8_t mac[SG_KEYHOLDER_MAX_MAC];
};

struct sg_keyholder_reply {
    uint32_t status; /* signet_status; SIGNET_OK on success */
    uint32_t verdict;
    uint32_t slot;
    uint32_t data_len;
    uint8_t data[SG_KEYHOLDER_MAX_DATA];
    char message[96]; /* why not; empty on success */
};

struct sg_keyholder;

/* sg_keyholder_new starts a keyholder without keys. */
signet_status sg_keyholder_new(struct sg_keyholder **out) SIGNET_MUST_CHECK;
void sg_keyholder_free(
    struct sg_keyholder *keyholder); /* wipes every key; no call may be under way */

/* sg_keyholder_is_locked says whether the memory of private keys and secrets is kept out of swap.
 * Where it is not, RLIMIT_MEMLOCK is too low. */
bool sg_keyholder_is_locked(const struct sg_keyholder *keyholder);

/* sg_keyholder_call does num operations, each on its own, in order, and fills replies[0..num-1].
 * num is 1 to SG_MAX_BATCH. Returns other than SIGNET_OK only if the crossing itself failed; then
 * no reply is to be read. Any thread. Blocks for the time of the operations. */
signet_status sg_keyholder_call(struct sg_keyholder *keyholder,
                                const struct sg_keyholder_request *requests, size_t num,
                                const uint8_t *bytes, size_t bytes_len,
                                struct sg_keyholder_reply *replies) SIGNET_MUST_CHECK;

#endif
