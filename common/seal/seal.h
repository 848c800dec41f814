/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing bytes to a public key, so that only the holder of its private key can open them: how a key
 * that is imported gets from the command line into the keyholder past everything between, and how
 * a backup is closed for whoever shall restore it. X25519 (RFC 7748) with a key pair of its own for
 * every message, HKDF-SHA256 (RFC 5869), AES-256-GCM.
 *
 *     32 bytes  the message's own public key
 *      n bytes  what is sealed, encrypted
 *     16 bytes  tag
 *
 * The AES key is HKDF(secret = X25519, salt = own public key || recipient's, info = "signet seal v1");
 * it serves one message, so the nonce is zero. context is authenticated, and says what the bytes are
 * for: sealed for one purpose, they do not open for another.
 */
#ifndef SG_SEAL_H
#define SG_SEAL_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#define SG_SEAL_KEY_LEN  32u
#define SG_SEAL_OVERHEAD 48u /* longer than what is sealed */

/* The purposes that there are. */
#define SG_SEAL_FOR_IMPORT "signet import v1"
#define SG_SEAL_FOR_REKEY  "signet rekey v1"
#define SG_SEAL_FOR_BACKUP "signet backup v1"

/* sg_seal writes len + SG_SEAL_OVERHEAD bytes to out. INVALID_ARGUMENT for a public key with which no
 * secret can be shared (small order); INTERNAL if OpenSSL fails. Wipes what it held. Any thread. */
signet_status sg_seal(const uint8_t public_key[SG_SEAL_KEY_LEN], const char *context,
                      const uint8_t *bytes, size_t len, uint8_t *out) SIGNET_MUST_CHECK;

/* sg_seal_open writes len - SG_SEAL_OVERHEAD bytes to out. INVALID_ARGUMENT if the bytes were sealed
 * to another key or for another purpose, or were changed; out is then wiped. */
signet_status sg_seal_open(const uint8_t private_key[SG_SEAL_KEY_LEN], const char *context,
                           const uint8_t *sealed, size_t len, uint8_t *out) SIGNET_MUST_CHECK;

/* sg_seal_keypair makes one. The private key's place is the caller's to choose and to wipe. */
signet_status sg_seal_keypair(uint8_t private_key[SG_SEAL_KEY_LEN],
                              uint8_t public_key[SG_SEAL_KEY_LEN]) SIGNET_MUST_CHECK;

#endif
