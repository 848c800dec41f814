/* SPDX-License-Identifier: Apache-2.0
 *
 * The only door to private keys and secrets. Plain data in, plain data out: arrays of fixed-size
 * structs and one run of bytes. Behind it is a process of its own (server/keyholder_process), or, in
 * that process and in tests, the code itself (sg_keyholder_new). It knows no protobuf and no JSON, and
 * never gives out a private key, a secret, or the MAC of a check.
 */
#ifndef SG_KEYHOLDER_H
#define SG_KEYHOLDER_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/* A slot is the number of a key in memory. It is never given out twice, not by another keyholder process
 * of the same daemon either, and is never 0. */
struct sg_keyholder_request {
    uint64_t slot;
    uint32_t op;
    uint32_t alg;
    uint32_t rsa_bits;
    uint32_t data_off; /* into bytes */
    uint32_t data_len;
    uint32_t mac_len;
    uint8_t mac[SG_KEYHOLDER_MAX_MAC];
};

struct sg_keyholder_reply {
    uint64_t slot;
    uint32_t status; /* signet_status; SIGNET_OK on success */
    uint32_t verdict;
    uint32_t data_len;
    uint8_t data[SG_KEYHOLDER_MAX_DATA];
    char message[96]; /* why not; empty on success */
};

/* ---- Calls ---- */

struct sg_keystore_request;
struct sg_keystore_reply;

/* One of several calls that cross together. */
struct sg_keyholder_crossing {
    const struct sg_keyholder_request *requests;
    size_t num; /* 1 to SG_MAX_BATCH */
    const uint8_t *bytes;
    size_t bytes_len;
    struct sg_keyholder_reply *replies;
    signet_status status; /* what sg_keyholder_call would have returned */
};

/* Whom to tell that an answer is late. */
struct sg_keyholder_delay {
    void (*note)(
        void *context); /* on the thread that waits, which goes on to wait; at most once a packet */
    void *context;
};

struct sg_keyholder;

struct sg_keyholder_ops {
    signet_status (*call)(struct sg_keyholder *keyholder,
                          const struct sg_keyholder_request *requests, size_t num,
                          const uint8_t *bytes, size_t bytes_len,
                          struct sg_keyholder_reply *replies);
    signet_status (*keystore)(struct sg_keyholder *keyholder,
                              const struct sg_keystore_request *request,
                              struct sg_keystore_reply *reply);
    /* NULL: one call after the other. */
    void (*cross)(struct sg_keyholder *keyholder, struct sg_keyholder_crossing *const *crossings,
                  size_t num, const struct sg_keyholder_delay *delay);
};

struct sg_keyholder {
    const struct sg_keyholder_ops *ops;
};

/* sg_keyholder_call does num operations, each on its own, in order, and fills replies[0..num-1].
 * num is 1 to SG_MAX_BATCH. Returns other than SIGNET_OK only if the crossing itself failed; then
 * no reply is to be read: UNAVAILABLE if the keyholder's process died or is starting again, and the
 * operations may have been done or not. Any thread. Blocks for the time of the operations. */
signet_status sg_keyholder_call(struct sg_keyholder *keyholder,
                                const struct sg_keyholder_request *requests, size_t num,
                                const uint8_t *bytes, size_t bytes_len,
                                struct sg_keyholder_reply *replies) SIGNET_MUST_CHECK;

/* sg_keyholder_cross does several calls of quick operations in as few crossings as they fit, and sets the
 * status of each. Any thread. Blocks until all are done. delay is told if that takes longer than some 20 ms; NULL:
 * nobody is. */
void sg_keyholder_cross(struct sg_keyholder *keyholder,
                        struct sg_keyholder_crossing *const *crossings, size_t num,
                        const struct sg_keyholder_delay *delay);

/* ---- A keyholder in this very process ---- */

/* sg_keyholder_new starts a keyholder without keys. epoch makes its slots differ from those of another. */
signet_status sg_keyholder_new(uint32_t epoch, struct sg_keyholder **out) SIGNET_MUST_CHECK;
/* sg_keyholder_free is for what sg_keyholder_new made; it wipes every key. No call may be under way. */
void sg_keyholder_free(struct sg_keyholder *keyholder);

/* ---- What protects it ---- */

/* Bits of struct sg_keyholder_state.protections, in the order in which they are shown; their names are
 * those of `keyholder.require` in the configuration (sg_keyholder_protection_name). */
enum sg_protection {
    SG_PROTECT_OWN_USER = 1u << 0,        /* own_user: another uid than the front's */
    SG_PROTECT_LOCKED_KEYS = 1u << 1,     /* locked_keys: secrets are kept out of swap */
    SG_PROTECT_LOCKED_MEMORY = 1u << 2,   /* locked_memory: so is everything else of the process */
    SG_PROTECT_SECRET_MEMORY = 1u << 3,   /* secret_memory: own buffers in memfd_secret(2) */
    SG_PROTECT_UNDUMPABLE = 1u << 4,      /* undumpable: no core, no ptrace, no /proc/PID/mem */
    SG_PROTECT_NO_CAPABILITIES = 1u << 5, /* no_capabilities: none, and no new privileges */
    SG_PROTECT_SECCOMP = 1u << 6,         /* seccomp: the short list of system calls is in force */
    SG_PROTECT_LANDLOCK = 1u << 7         /* landlock: no file but the keystore's and its key's */
};
#define SG_NUM_PROTECTIONS 8u

/* sg_keyholder_protection_name names the bit 1 << index; NULL beyond the last. */
const char *sg_keyholder_protection_name(unsigned index);

struct sg_keyholder_state {
    bool is_up; /* it answers, and its keys are loaded */
    pid_t pid;  /* 0: there is no process of its own (tests), or none now */
    uid_t uid;
    uint32_t protections;
    uint64_t num_restarts;
};

#endif
