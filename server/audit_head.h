/* SPDX-License-Identifier: Apache-2.0
 *
 * Signing the heads of the audit, with a keyset of its own (SG_CONFIG_AUDIT_KEYSET): its private key is in
 * the keyholder, its public keys, those of before too, in heads.jwks beside the audit.
 */
#ifndef SG_AUDIT_HEAD_H
#define SG_AUDIT_HEAD_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "server/audit.h"

struct sg_keyholder;
struct sg_keyring_holder;

/* Fill the first four, zero the rest. */
struct sg_audit_head {
    struct sg_keyring_holder *keyrings;
    struct sg_keyholder *keyholder;
    int64_t (*read_wall_s)(void);
    char path[1088];                    /* of heads.jwks */
    char published[SG_MAX_KID_LEN + 1]; /* a key that is known to be in it */
};

/* sg_audit_head_sign is struct sg_audit_options.sign_head; context is a struct sg_audit_head. One thread at a
 * time. UNAVAILABLE while the keyholder does not answer, FAILED_PRECONDITION without a key, RESOURCE_EXHAUSTED
 * without memory or room on the disk, INTERNAL otherwise. Blocks for the keyholder, and for the disk if the key
 * is another than before. */
signet_status sg_audit_head_sign(void *context, const char *payload, size_t len,
                                 char jws[SG_AUDIT_MAX_JWS]);

#endif
