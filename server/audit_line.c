/* SPDX-License-Identifier: Apache-2.0
 *
 * One spelling only: what is read here is exactly what is written here.
 */
#include "server/audit_line.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char line_digits[] = "0123456789abcdef";

/* ---- Names ---- */

uint64_t sg_audit_name_seq(const char *name)
{
    const size_t prefix = sizeof(SG_AUDIT_FILE_PREFIX) - 1;
    uint64_t seq = 0;
    if (strncmp(name, SG_AUDIT_FILE_PREFIX, prefix) != 0 ||
        strlen(name) != prefix + SG_AUDIT_FILE_DIGITS + sizeof(SG_AUDIT_FILE_SUFFIX) - 1 ||
        strcmp(name + prefix + SG_AUDIT_FILE_DIGITS, SG_AUDIT_FILE_SUFFIX) != 0) {
        return 0;
    }
    for (size_t i = prefix; i < prefix + SG_AUDIT_FILE_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || seq > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        seq = seq * 10 + (uint64_t)(name[i] - '0');
    }
    return seq;
}

void sg_audit_name_write(uint64_t seq, char out[SG_AUDIT_MAX_NAME])
{
    (void)snprintf(out, SG_AUDIT_MAX_NAME, SG_AUDIT_FILE_PREFIX "%020" PRIu64 SG_AUDIT_FILE_SUFFIX,
                   seq);
}

/* ---- Lines ---- */

void sg_audit_hex(const uint8_t hash[SG_AUDIT_HASH_LEN], char out[SG_AUDIT_HEX_LEN + 1])
{
    for (size_t i = 0; i < SG_AUDIT_HASH_LEN; i++) {
        out[2 * i] = line_digits[hash[i] >> 4];
        out[2 * i + 1] = line_digits[hash[i] & 15u];
    }
    out[SG_AUDIT_HEX_LEN] = '\0';
}

static bool prefix_number(const char **at, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    char *end = NULL;
    if (strncmp(*at, name, len) != 0 || isdigit((unsigned char)(*at)[len]) == 0) {
        return false;
    }
    bool has_zero = (*at)[len] == '0' && isdigit((unsigned char)(*at)[len + 1]) != 0;
    errno = 0;
    *out = strtoull(*at + len, &end, 10);
    *at = end;
    return errno == 0 && !has_zero;
}

static bool prefix_hash(const char **at, uint8_t out[SG_AUDIT_HASH_LEN])
{
    static const char name[] = ",\"prev\":\"";
    if (strncmp(*at, name, sizeof(name) - 1) != 0) {
        return false;
    }
    *at += sizeof(name) - 1;
    memset(out, 0, SG_AUDIT_HASH_LEN);
    for (size_t i = 0; i < SG_AUDIT_HEX_LEN; i++) {
        const char *digit = (*at)[i] != '\0' ? strchr(line_digits, (*at)[i]) : NULL;
        if (digit == NULL) {
            return false;
        }
        out[i / 2] = (uint8_t)((size_t)out[i / 2] << 4 | (size_t)(digit - line_digits));
    }
    *at += SG_AUDIT_HEX_LEN;
    return *(*at)++ == '"';
}

bool sg_audit_prefix_read(const char *line, struct sg_audit_prefix *out)
{
    const char *at = line;
    return prefix_number(&at, "{\"seq\":", &out->seq) && prefix_hash(&at, out->prev) &&
           prefix_number(&at, ",\"q\":", &out->number) && *at == ',';
}

size_t sg_audit_prefix_write(const struct sg_audit_prefix *prefix, char *out, size_t cap)
{
    char prev[SG_AUDIT_HEX_LEN + 1];
    sg_audit_hex(prefix->prev, prev);
    int len = snprintf(out, cap, "{\"seq\":%" PRIu64 ",\"prev\":\"%s\",\"q\":%" PRIu64 ",",
                       prefix->seq, prev, prefix->number);
    return len > 0 ? (size_t)len : 0;
}
