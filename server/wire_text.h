/* SPDX-License-Identifier: Apache-2.0
 *
 * What protobuf-c does not do for strings. Its decoder hands out C strings: one with a NUL inside is
 * cut short without a word, and nobody looks whether it is UTF-8. So the encoded message is walked
 * before it is decoded, and every string that is not UTF-8 without U+0000 is spoiled: its first byte
 * becomes 0xff, which no UTF-8 text has. It then decodes to something that equals no name, no issuer
 * and no token, and that sg_wire_text_is_good tells from honest text, so that each field can be
 * refused by its own rule.
 */
#ifndef SG_WIRE_TEXT_H
#define SG_WIRE_TEXT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* sg_wire_text_spoil walks an encoded message of the type and spoils its bad strings in place, those
 * in messages within it too. False if the encoding itself is broken: it is not to be decoded. */
bool sg_wire_text_spoil(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

/* sg_wire_text_all_good says whether the encoding is sound and no string is bad. Changes nothing. */
bool sg_wire_text_all_good(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

/* sg_wire_text_is_good says whether a decoded string was UTF-8 without U+0000 on the wire. */
bool sg_wire_text_is_good(const char *text);

#endif
