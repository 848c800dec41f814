/* SPDX-License-Identifier: Apache-2.0
 *
 * The shape of a JWS signing input, checked without a JSON parser: the header is one that
 * sg_jws_header wrote, and everything else is refused. Never changes or keeps what it reads.
 */
#include "server/keyholder/signing_shape.h"

#include <stdbool.h>
#include <string.h>

#include "common/base64url.h"
#include "common/limits.h"

/* What is left of the header's text. */
struct shape_text {
    const char *at;
    size_t len;
};

static bool shape_skip(struct shape_text *text, const char *expected)
{
    size_t len = strlen(expected);
    if (text->len < len || memcmp(text->at, expected, len) != 0) {
        return false;
    }
    text->at += len;
    text->len -= len;
    return true;
}

/* Skips a quoted run of printable ASCII and shows what stood between the quotes. */
static bool shape_skip_quoted(struct shape_text *text, struct shape_text *inner)
{
    if (!shape_skip(text, "\"")) {
        return false;
    }
    size_t len = 0;
    while (len < text->len && text->at[len] >= ' ' && text->at[len] <= '~' &&
           text->at[len] != '"' && text->at[len] != '\\') {
        len++;
    }
    *inner = (struct shape_text){.at = text->at, .len = len};
    text->at += len;
    text->len -= len;
    return shape_skip(text, "\"");
}

static bool shape_equals(struct shape_text text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.at, expected, text.len) == 0;
}

static const char *shape_header_fault(enum sg_alg alg, const char *header, size_t len)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    struct shape_text text = {.at = header, .len = len};
    struct shape_text name;
    struct shape_text value;
    if (info == NULL) {
        return "the key has no algorithm";
    }
    if (!shape_skip(&text, "{\"alg\":") || !shape_skip_quoted(&text, &value)) {
        return "the header does not begin with alg";
    }
    if (!shape_equals(value, info->jws_name)) {
        return "the header names another algorithm than the key's";
    }
    while (shape_skip(&text, ",")) {
        if (!shape_skip_quoted(&text, &name) || !shape_skip(&text, ":") ||
            !shape_skip_quoted(&text, &value)) {
            return "the header holds something other than plain members";
        }
        if (shape_equals(name, "alg")) {
            return "the header names an algorithm twice";
        }
    }
    if (!shape_skip(&text, "}") || text.len != 0) {
        return "the header holds something other than plain members";
    }
    return NULL;
}

static const char *shape_fault(enum sg_alg alg, const char *text, size_t len)
{
    uint8_t header[SG_MAX_HEADER_LEN];
    size_t header_len = 0;
    if (text == NULL || len == 0 || len > SG_MAX_TOKEN_LEN) {
        return "empty, or longer than a token";
    }
    const char *dot = memchr(text, '.', len);
    if (dot == NULL) {
        return "not header.payload";
    }
    size_t header_b64_len = (size_t)(dot - text);
    size_t payload_b64_len = len - header_b64_len - 1;
    if (header_b64_len == 0 || payload_b64_len == 0) {
        return "empty header or payload";
    }
    if (!sg_base64url_decode(text, header_b64_len, header, sizeof(header), &header_len)) {
        return "the header is not base64url, or too long";
    }
    /* A second dot is no base64url either. */
    if (!sg_base64url_is_valid(dot + 1, payload_b64_len)) {
        return "the payload is not base64url";
    }
    return shape_header_fault(alg, (const char *)header, header_len);
}

signet_status sg_signing_shape_check(enum sg_alg alg, const uint8_t *data, size_t len,
                                     const char **why)
{
    const char *fault = shape_fault(alg, (const char *)data, len);
    if (fault != NULL) {
        *why = fault;
        return SIGNET_INVALID_ARGUMENT;
    }
    return SIGNET_OK;
}
