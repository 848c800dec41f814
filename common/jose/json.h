/* SPDX-License-Identifier: Apache-2.0
 *
 * The one strict JSON reader (RFC 8259 by jansson) for headers, payloads, keys and the claims that
 * callers add. What passes has one meaning for every reader: no duplicate members, no NUL, nothing
 * behind the object. Uses no OpenSSL.
 */
#ifndef SG_JOSE_JSON_H
#define SG_JOSE_JSON_H

#include <signet/status.h>
#include <stddef.h>

struct json_t;

/* sg_json_load reads one JSON object from the len bytes of text. INVALID_ARGUMENT, with static text in
 * *detail, if they are more than max_len; nest deeper than max_depth (the object itself is level 1); are not
 * UTF-8; hold a NUL, raw or as an escape; have two members of one name in one object, at any level
 * and by whatever escapes; have a number beyond 64 bits or a double; or are not exactly one object.
 * RESOURCE_EXHAUSTED, with text too, without memory: then nothing is said about the text. Recurses no
 * deeper than max_depth. The caller releases the object with json_decref. */
signet_status sg_json_load(const char *text, size_t len, size_t max_len, size_t max_depth,
                           struct json_t **out, const char **detail) SIGNET_MUST_CHECK;

#endif
