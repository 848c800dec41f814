/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64url without padding (RFC 7515 section 2, RFC 4648 section 5), strict both ways. The same
 * bytes have exactly one text; every other spelling is refused.
 */
#ifndef SG_BASE64URL_H
#define SG_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the text for len bytes, without a terminator. */
#define SG_BASE64URL_LEN(len) (((len) / 3) * 4 + (((len) % 3) ? (len) % 3 + 1 : 0))

/* sg_base64url_encode writes exactly SG_BASE64URL_LEN(len) characters to out, no terminator, and
 * returns that count. out must have room. */
size_t sg_base64url_encode(const uint8_t *bytes, size_t len, char *out);

/* sg_base64url_decode writes the decoded bytes to out and their count to out_len. False, with
 * *out_len untouched, if the text has a character outside the alphabet (padding, white space, '+'
 * and '/' included), a length of 4n+1, non-zero trailing bits (RFC 4648 section 3.5), or does not
 * fit out_cap. out may hold anything then. */
bool sg_base64url_decode(const char *text, size_t len, uint8_t *out, size_t out_cap,
                         size_t *out_len) __attribute__((warn_unused_result));

/* sg_base64url_is_valid says whether sg_base64url_decode would take the text, given the room. */
bool sg_base64url_is_valid(const char *text, size_t len) __attribute__((warn_unused_result));

#endif
