/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims that give away to whoever holds a token what its holder should not know: a JWT is signed, not
 * encrypted. What sounds or looks like that is in common/sensitive.h; here is where to look. Uses no OpenSSL.
 */
#ifndef SG_JOSE_SENSITIVE_CLAIMS_H
#define SG_JOSE_SENSITIVE_CLAIMS_H

#include <stdbool.h>

struct json_t;

enum sg_sensitive_kind {
    SG_SENSITIVE_NAME =
        1, /* a member whose name suggests a secret, and that is neither true, false nor null */
    SG_SENSITIVE_CARD /* a string or number that is a card's */
};

/* Of a member, or of the member that holds the array in which the value is. False ends the search. */
typedef bool sg_sensitive_visitor(void *context, enum sg_sensitive_kind kind, const char *name);

/* sg_sensitive_claims calls found for each sensitive member and value of an object, at every depth down to
 * SG_MAX_JSON_DEPTH, in the object's order. Returns whether it called it. Changes nothing. */
bool sg_sensitive_claims(struct json_t *claims, sg_sensitive_visitor *found, void *context);

#endif
