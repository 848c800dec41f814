/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes a public key unfit to be loaded, whatever it was read from (RFC 8725 section 3.4).
 */
#ifndef SG_JOSE_KEY_CHECKS_H
#define SG_JOSE_KEY_CHECKS_H

#include <openssl/evp.h>

#include "common/jose/alg.h"

/* sg_key_check_public returns NULL if the public part of the key fits the algorithm and is sound, else
 * static text that says what is wrong. May leave entries in OpenSSL's error queue. */
const char *sg_key_check_public(const struct sg_alg_info *info, EVP_PKEY *pkey);

#endif
