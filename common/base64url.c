/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64url by table. Text that is not the one spelling of its bytes is never decoded.
 */
#include "common/base64url.h"

static const char base64url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* One more than the value of each character, so that those not listed are 0: outside the alphabet. */
static const uint8_t base64url_value_plus_1[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

/* The value of a character, or all ones: its upper bits are set if and only if it is no character
 * of the alphabet, so that one test serves a whole group. */
static uint32_t base64url_value(char c)
{
    return (uint32_t)base64url_value_plus_1[(uint8_t)c] - 1;
}

#define BASE64URL_NOT_A_VALUE 0xffffffc0u

size_t sg_base64url_encode(const uint8_t *bytes, size_t len, char *out)
{
    char *at = out;
    size_t i = 0;
    for (; i + 3 <= len; i += 3) {
        uint32_t group =
            (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | (uint32_t)bytes[i + 2];
        *at++ = base64url_alphabet[group >> 18];
        *at++ = base64url_alphabet[group >> 12 & 63];
        *at++ = base64url_alphabet[group >> 6 & 63];
        *at++ = base64url_alphabet[group & 63];
    }
    if (i < len) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0);
        *at++ = base64url_alphabet[group >> 18];
        *at++ = base64url_alphabet[group >> 12 & 63];
        if (i + 1 < len) {
            *at++ = base64url_alphabet[group >> 6 & 63];
        }
    }
    return (size_t)(at - out);
}

/* The last 2 or 3 characters: 1 or 2 bytes, and bits below them that must be zero. */
static bool base64url_decode_tail(const char *text, size_t len, uint8_t *out)
{
    uint32_t a = base64url_value(text[0]);
    uint32_t b = base64url_value(text[1]);
    uint32_t c = len == 3 ? base64url_value(text[2]) : 0;
    if (((a | b | c) & BASE64URL_NOT_A_VALUE) != 0) {
        return false;
    }
    uint32_t group = a << 18 | b << 12 | c << 6;
    if ((group & (len == 3 ? 0xffu : 0xffffu)) != 0) {
        return false;
    }
    out[0] = (uint8_t)(group >> 16);
    if (len == 3) {
        out[1] = (uint8_t)(group >> 8);
    }
    return true;
}

bool sg_base64url_decode(const char *text, size_t len, uint8_t *out, size_t out_cap,
                         size_t *out_len)
{
    size_t tail_len = len % 4;
    size_t whole_len = len / 4 * 3;
    size_t decoded_len = whole_len + (tail_len != 0 ? tail_len - 1 : 0);
    if (tail_len == 1 || decoded_len > out_cap) {
        return false;
    }
    for (size_t i = 0, o = 0; o < whole_len; i += 4, o += 3) {
        uint32_t a = base64url_value(text[i]);
        uint32_t b = base64url_value(text[i + 1]);
        uint32_t c = base64url_value(text[i + 2]);
        uint32_t d = base64url_value(text[i + 3]);
        if (((a | b | c | d) & BASE64URL_NOT_A_VALUE) != 0) {
            return false;
        }
        uint32_t group = a << 18 | b << 12 | c << 6 | d;
        out[o] = (uint8_t)(group >> 16);
        out[o + 1] = (uint8_t)(group >> 8);
        out[o + 2] = (uint8_t)group;
    }
    if (tail_len != 0 &&
        !base64url_decode_tail(text + (len - tail_len), tail_len, out + whole_len)) {
        return false;
    }
    *out_len = decoded_len;
    return true;
}

bool sg_base64url_is_valid(const char *text, size_t len)
{
    size_t tail_len = len % 4;
    uint32_t seen = 0;
    for (size_t i = 0; i < len - tail_len; i++) {
        seen |= base64url_value(text[i]);
    }
    uint8_t tail[2];
    return tail_len != 1 && (seen & BASE64URL_NOT_A_VALUE) == 0 &&
           (tail_len == 0 || base64url_decode_tail(text + (len - tail_len), tail_len, tail));
}
