/* SPDX-License-Identifier: Apache-2.0
 *
 * The public keys as a JWK Set (RFC 7517 section 5): its text, and the file jwks.json beside the
 * sockets. Only public asymmetric keys of ours under which tokens may be accepted, those that do not
 * sign yet included; in the order of the configuration, and then of their making.
 */
#ifndef SG_JWKS_H
#define SG_JWKS_H

#include <signet/status.h>
#include <stddef.h>
#include <stdint.h>

#include "server/keyring.h"

/* sg_jwks_text writes the set of one keyset, or of all for NULL, as of now (seconds since 1970); free()
 * it. NULL without memory. */
char *sg_jwks_text(const struct sg_keyring *keyring, const struct sg_keyset *only, int64_t now);

/* sg_jwks_write replaces path by text, whole or not at all, with mode 0644. On failure path is as it was,
 * and error says what went wrong. Blocks for the disk. */
signet_status sg_jwks_write(const char *path, const char *text, char *error,
                            size_t error_cap) SIGNET_MUST_CHECK;

#endif
