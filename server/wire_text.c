/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over encoded messages. It must find every string that protobuf-c will find, so it reads tags
 * and lengths as protobuf-c does, and where it is in doubt it refuses.
 */
#include "server/wire_text.h"

#include <limits.h>
#include <string.h>

#define WIRE_SPOILED 0xffu
/* Requests hold messages one level deep; no message can hold itself. */
#define WIRE_MAX_DEPTH   4u
#define WIRE_MAX_TAG     5u /* bytes of a tag, and of a length */
#define WIRE_MAX_VARINT  10u
#define WIRE_TYPE_BITS   3u
#define WIRE_TYPE_MASK   7u
#define WIRE_HIGH_BITS   UINT64_C(0x8080808080808080)
#define WIRE_FIXED64_LEN 8u
#define WIRE_FIXED32_LEN 4u

/* ---- UTF-8 (RFC 3629 section 4) ---- */

/* Bytes of the character at the start of at, or 0 if there is none. */
static size_t wire_utf8_len(const uint8_t *at, size_t left)
{
    uint8_t low = 0x80; /* of the second byte */
    uint8_t high = 0xbf;
    size_t len = 0;
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        len = 2;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        len = 3;
        low = at[0] == 0xe0 ? 0xa0 : low;   /* else a shorter form would do */
        high = at[0] == 0xed ? 0x9f : high; /* above are the surrogates */
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        len = 4;
        low = at[0] == 0xf0 ? 0x90 : low;
        high = at[0] == 0xf4 ? 0x8f : high; /* U+10FFFF is the last */
    }
    if (len == 0 || left < len || at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

static bool wire_is_utf8(const uint8_t *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        uint64_t eight = WIRE_HIGH_BITS;
        if (len - at >= sizeof(eight)) {
            memcpy(&eight, text + at, sizeof(eight));
        }
        size_t step =
            (eight & WIRE_HIGH_BITS) == 0 ? sizeof(eight) : wire_utf8_len(text + at, len - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

static bool wire_is_good(const uint8_t *text, size_t len)
{
    return len == 0 || (memchr(text, '\0', len) == NULL && wire_is_utf8(text, len));
}

bool sg_wire_text_is_good(const char *text)
{
    return (uint8_t)text[0] != WIRE_SPOILED;
}

/* ---- The walk ---- */

/* Where a walk stands. A message within a message ends before its outer one. */
struct wire_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool wire_varint(struct wire_cursor *cursor, size_t max_len, uint64_t *value)
{
    uint64_t result = 0;
    for (size_t i = 0; i < max_len && cursor->at < cursor->end; i++) {
        uint8_t byte = *cursor->at++;
        result |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *value = result;
            return true;
        }
    }
    return false;
}

/* The length of the value of a field, which follows; for a run of bytes the length is read first. */
static bool wire_value_len(struct wire_cursor *cursor, unsigned wire_type, size_t *len)
{
    uint64_t value = 0;
    struct wire_cursor ahead = *cursor;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        if (!wire_varint(&ahead, WIRE_MAX_VARINT, &value)) {
            return false;
        }
        value = (uint64_t)(ahead.at - cursor->at);
        break;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        value = WIRE_FIXED64_LEN;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!wire_varint(cursor, WIRE_MAX_TAG, &value)) {
            return false;
        }
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        value = WIRE_FIXED32_LEN;
        break;
    default:
        return false;
    }
    *len = (size_t)value;
    return value <= INT_MAX && value <= (uint64_t)(cursor->end - cursor->at);
}

struct wire_level {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *end;
};

struct wire_walk {
    struct wire_cursor cursor;
    struct wire_level levels[WIRE_MAX_DEPTH];
    size_t depth;
    const uint8_t *start; /* of the whole message */
    uint8_t *writable;    /* the same, to spoil strings in; NULL: they are only looked at */
    bool found_bad;
};

static void wire_look_at_text(struct wire_walk *walk, const uint8_t *text, size_t len)
{
    if (wire_is_good(text, len)) {
        return;
    }
    walk->found_bad = true;
    if (walk->writable != NULL) {
        walk->writable[text - walk->start] = WIRE_SPOILED;
    }
}

/* Reads one field; steps over its value, or goes into it if it is a message. */
static bool wire_field(struct wire_walk *walk)
{
    struct wire_cursor *cursor = &walk->cursor;
    uint64_t tag = 0;
    size_t len = 0;
    if (!wire_varint(cursor, WIRE_MAX_TAG, &tag)) {
        return false;
    }
    uint32_t number = (uint32_t)(tag >> WIRE_TYPE_BITS);
    unsigned wire_type = (unsigned)(tag & WIRE_TYPE_MASK);
    if (number == 0 || !wire_value_len(cursor, wire_type, &len)) {
        return false;
    }
    const uint8_t *value = cursor->at;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(walk->levels[walk->depth].type, number);
    bool is_run = field != NULL && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    if (is_run && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (walk->depth + 1 == WIRE_MAX_DEPTH) {
            return false;
        }
        walk->levels[++walk->depth] =
            (struct wire_level){.type = field->descriptor, .end = value + len};
        return true;
    }
    if (is_run && field->type == PROTOBUF_C_TYPE_STRING) {
        wire_look_at_text(walk, value, len);
    }
    cursor->at += len;
    return true;
}

static bool wire_walk(struct wire_walk *walk, const ProtobufCMessageDescriptor *type,
                      const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return true;
    }
    walk->start = bytes;
    walk->levels[0] = (struct wire_level){.type = type, .end = bytes + len};
    walk->cursor = (struct wire_cursor){.at = bytes, .end = bytes + len};
    while (walk->cursor.at < walk->levels[0].end) {
        if (!wire_field(walk)) {
            return false;
        }
        while (walk->depth > 0 && walk->cursor.at == walk->levels[walk->depth].end) {
            walk->depth--;
        }
        walk->cursor.end = walk->levels[walk->depth].end;
    }
    return true;
}

bool sg_wire_text_spoil(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t len)
{
    struct wire_walk walk = {.writable = bytes};
    return wire_walk(&walk, type, bytes, len);
}

bool sg_wire_text_all_good(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len)
{
    struct wire_walk walk = {.writable = NULL};
    return wire_walk(&walk, type, bytes, len) && !walk.found_bad;
}
