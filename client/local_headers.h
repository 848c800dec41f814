/* SPDX-License-Identifier: Apache-2.0
 *
 * Headers of good tokens, so that those that come again need no JSON read: all tokens of one key have the same. Any thread.
 */
#ifndef SG_CLIENT_LOCAL_HEADERS_H
#define SG_CLIENT_LOCAL_HEADERS_H

#include "common/jose/jws.h"

struct sg_local_headers;

struct sg_local_headers *sg_local_headers_new(void);          /* NULL without memory */
void sg_local_headers_free(struct sg_local_headers *headers); /* NULL is legal */

/* sg_local_headers_use takes alg, kid and typ of a token that was split from a header that is known. False: it is not. */
bool sg_local_headers_use(const struct sg_local_headers *headers,
                          struct sg_jws *jws) SIGNET_MUST_CHECK;

/* sg_local_headers_keep remembers the header of a token, which must be good: so nobody but who holds a key can fill what
 * room there is. Forgets none. */
void sg_local_headers_keep(struct sg_local_headers *headers, const struct sg_jws *jws);

#endif
