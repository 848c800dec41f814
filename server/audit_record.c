/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON by hand, and on purpose: a record must be made without memory to be had, in a time that is bounded,
 * and of texts that may be anything; what a library would add is its own copy of each. The tests read what
 * is written here with jansson.
 */
#include "server/audit_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ,"cut":true and the last brace, which always find room. */
#define RECORD_RESERVE 16u

static const char record_cut[] = ",\"cut\":true";
static const char record_more[] = "...";

/* ---- Pieces. What does not fit is not written at all. ---- */

static bool record_put(struct sg_audit_text *text, const char *bytes, size_t len)
{
    if (len > text->cap - text->len) {
        return false;
    }
    memcpy(text->out + text->len, bytes, len);
    text->len += len;
    return true;
}

/* The length of the UTF-8 character at the start of text, by RFC 3629 section 4; 0 if there is none. */
static size_t record_utf8_len(const unsigned char *text, size_t len)
{
    unsigned char first = text[0];
    size_t want = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (want == 0 || first > 0xf4 || want > len) {
        return 0;
    }
    for (size_t i = 1; i < want; i++) {
        if ((text[i] & 0xc0u) != 0x80u) {
            return 0;
        }
    }
    bool is_bad = (first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
                  (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f);
    return is_bad ? 0 : want;
}

static bool record_put_escaped(struct sg_audit_text *text, unsigned char c)
{
    char escape[8];
    int len = c == '"' || c == '\\' ? snprintf(escape, sizeof(escape), "\\%c", c)
                                    : snprintf(escape, sizeof(escape), "\\u%04x", c);
    return len > 0 && record_put(text, escape, (size_t)len);
}

/* What needs neither an escape nor a second look: most of most texts. */
static size_t record_plain_len(const char *value, size_t len)
{
    size_t i = 0;
    while (i < len && (unsigned char)value[i] >= ' ' && (unsigned char)value[i] < 0x7f &&
           value[i] != '"' && value[i] != '\\') {
        i++;
    }
    return i;
}

/* Bytes that are not UTF-8 become U+FFFD, one each. */
static bool record_put_text(struct sg_audit_text *text, const char *value, size_t len)
{
    while (len > 0) {
        size_t step = record_plain_len(value, len);
        bool is_put = true;
        if (step > 0) {
            is_put = record_put(text, value, step);
        } else if ((unsigned char)*value < 0x80) {
            step = 1;
            is_put = record_put_escaped(text, (unsigned char)*value);
        } else {
            step = record_utf8_len((const unsigned char *)value, len);
            is_put = step > 0 ? record_put(text, value, step) : record_put(text, "\xef\xbf\xbd", 3);
            step = step > 0 ? step : 1;
        }
        if (!is_put) {
            return false;
        }
        value += step;
        len -= step;
    }
    return true;
}

/* A string of at most max_len bytes and the mark of what was cut, which is never in the middle of a
 * character. */
static bool record_put_string(struct sg_audit_text *text, const char *value, size_t max_len)
{
    size_t len = strnlen(value, max_len + 1);
    bool is_long = len > max_len;
    if (is_long) {
        len = max_len;
        for (size_t i = 0; i < 3 && len > 0 && ((unsigned char)value[len] & 0xc0u) == 0x80u; i++) {
            len--;
        }
    }
    return record_put(text, "\"", 1) && record_put_text(text, value, len) &&
           (!is_long || record_put(text, record_more, sizeof(record_more) - 1)) &&
           record_put(text, "\"", 1);
}

static bool record_put_name(struct sg_audit_text *text, const char *name)
{
    bool is_first = text->len == 0 || text->out[text->len - 1] == '{';
    return (is_first || record_put(text, ",", 1)) && record_put(text, "\"", 1) &&
           record_put(text, name, strlen(name)) && record_put(text, "\":", 2);
}

/* Takes back what was written of a member that did not fit. */
static void record_keep_if(struct sg_audit_text *text, size_t before, bool is_put)
{
    if (!is_put) {
        text->len = before;
        text->cut = true;
    }
}

/* ---- Members ---- */

void sg_audit_text_string(struct sg_audit_text *text, const char *name, const char *value,
                          size_t max_len)
{
    if (value != NULL) {
        size_t before = text->len;
        record_keep_if(text, before,
                       record_put_name(text, name) && record_put_string(text, value, max_len));
    }
}

void sg_audit_text_number(struct sg_audit_text *text, const char *name, int64_t value)
{
    char number[24];
    size_t before = text->len;
    int len = snprintf(number, sizeof(number), "%" PRId64, value);
    record_keep_if(text, before,
                   len > 0 && record_put_name(text, name) && record_put(text, number, (size_t)len));
}

bool sg_audit_text_open(struct sg_audit_text *text, const char *name)
{
    size_t before = text->len;
    bool is_put = record_put_name(text, name) && record_put(text, "{", 1) && text->len < text->cap;
    record_keep_if(text, before, is_put);
    text->cap -= is_put ? 1 : 0; /* for its end */
    return is_put;
}

void sg_audit_text_shut(struct sg_audit_text *text)
{
    text->cap++;
    (void)record_put(text, "}", 1);
}

/* RFC 3339, in UTC, with milliseconds. */
static void record_time(struct sg_audit_text *text, int64_t time_ms)
{
    char when[64];
    struct tm parts = {.tm_mday = 1};
    int64_t ms = time_ms % 1000;
    time_t seconds = (time_t)(time_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    (void)gmtime_r(&seconds, &parts);
    (void)snprintf(when, sizeof(when), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                   (int)ms);
    sg_audit_text_string(text, "time", when, sizeof(when));
}

struct sg_audit_text sg_audit_text_begin(char *out, size_t cap, int64_t time_ms, const char *event)
{
    struct sg_audit_text text = {.out = out, .cap = cap - RECORD_RESERVE};
    (void)record_put(&text, "{", 1);
    record_time(&text, time_ms);
    sg_audit_text_string(&text, "event", event, SG_AUDIT_MAX_TEXT);
    return text;
}

size_t sg_audit_text_end(struct sg_audit_text *text)
{
    text->cap += RECORD_RESERVE;
    if (text->cut) {
        (void)record_put(text, record_cut, sizeof(record_cut) - 1);
    }
    (void)record_put(text, "}", 1);
    return text->len;
}

/* ---- An event ---- */

static void record_peer(struct sg_audit_text *text, const struct sg_peer *peer,
                        const struct sg_peer_facts *facts)
{
    unsigned known = facts != NULL ? facts->known : 0;
    if (peer == NULL || !sg_audit_text_open(text, "peer")) {
        return;
    }
    sg_audit_text_number(text, "uid", (int64_t)peer->uid);
    sg_audit_text_number(text, "gid", (int64_t)peer->gid);
    sg_audit_text_number(text, "pid", (int64_t)peer->pid);
    if ((known & SG_PEER_USER) != 0) {
        sg_audit_text_string(text, "user", facts->user, SG_AUDIT_MAX_TEXT);
    }
    if ((known & SG_PEER_EXE) != 0) {
        sg_audit_text_string(text, "exe", facts->exe, SG_AUDIT_MAX_LONG_TEXT);
    }
    if ((known & SG_PEER_UNIT) != 0) {
        sg_audit_text_string(text, "unit", facts->unit, SG_AUDIT_MAX_TEXT);
    }
    sg_audit_text_shut(text);
}

static bool record_put_audiences(struct sg_audit_text *text, const struct sg_audit_event *event)
{
    size_t num = event->num_audiences;
    size_t shown = num < SG_AUDIT_MAX_AUDIENCES ? num : SG_AUDIT_MAX_AUDIENCES;
    bool is_put = record_put_name(text, "aud") && record_put(text, "[", 1);
    for (size_t i = 0; is_put && i < shown; i++) {
        const char *audience = event->audiences[i] != NULL ? event->audiences[i] : "";
        is_put = (i == 0 || record_put(text, ",", 1)) &&
                 record_put_string(text, audience, SG_AUDIT_MAX_TEXT);
    }
    if (is_put && shown < num) {
        char more[40];
        int len = snprintf(more, sizeof(more), ",\"... and %zu more\"", num - shown);
        is_put = len > 0 && record_put(text, more, (size_t)len);
    }
    return is_put && record_put(text, "]", 1);
}

static void record_unless_0(struct sg_audit_text *text, const char *name, uint64_t value)
{
    if (value != 0) {
        sg_audit_text_number(text, name, value < INT64_MAX ? (int64_t)value : INT64_MAX);
    }
}

/* What is short, and asked for most, comes first: it is there even if what comes later is cut. */
size_t sg_audit_record_write(const struct sg_audit_event *event, char out[SG_AUDIT_MAX_BODY])
{
    struct sg_audit_text text =
        sg_audit_text_begin(out, SG_AUDIT_MAX_BODY, event->time_ms, event->event);
    record_peer(&text, event->peer, event->facts);
    sg_audit_text_string(&text, "rule", event->rule, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "method", event->method, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "keyset", event->keyset, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "alg", event->alg, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "kid", event->kid, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "jti", event->jti, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "sub", event->sub, SG_AUDIT_MAX_TEXT);
    if (event->exp != 0) {
        sg_audit_text_number(&text, "exp", event->exp);
    }
    sg_audit_text_string(&text, "verdict", event->verdict, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "reason", event->reason, SG_AUDIT_MAX_TEXT);
    record_unless_0(&text, "queue_us", event->queue_us);
    record_unless_0(&text, "crypto_us", event->crypto_us);
    record_unless_0(&text, "total_us", event->total_us);
    sg_audit_text_string(&text, "traceparent", event->traceparent, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "detail", event->detail, SG_AUDIT_MAX_LONG_TEXT);
    if (event->num_audiences > 0) {
        size_t before = text.len;
        record_keep_if(&text, before, record_put_audiences(&text, event));
    }
    return sg_audit_text_end(&text);
}
