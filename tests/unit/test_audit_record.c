/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what jansson reads is what was said, whatever texts there are, and never more than the bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit_record.h"

static json_t *record_of(const struct sg_audit_event *event)
{
    char body[SG_AUDIT_MAX_BODY];
    json_error_t error;
    size_t len = sg_audit_record_write(event, body);
    assert_in_range(len, 2, SG_AUDIT_MAX_BODY);
    json_t *record = json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
    if (record == NULL) {
        fail_msg("%s: %.*s", error.text, (int)len, body);
    }
    return record;
}

static const char *text_of(const json_t *record, const char *name)
{
    return json_string_value(json_object_get(record, name));
}

static void test_record__has_every_field(void **state)
{
    (void)state;
    static struct sg_peer_facts facts = {.known = SG_PEER_USER | SG_PEER_EXE | SG_PEER_UNIT,
                                         .user = "www",
                                         .exe = "/usr/bin/login",
                                         .unit = "login.service"};
    static const char *const audiences[] = {"a", "b"};
    const struct sg_peer peer = {.uid = 1, .gid = 2, .pid = 3};
    const struct sg_audit_event event = {.event = "sign",
                                         .time_ms = 1795651200123,
                                         .peer = &peer,
                                         .facts = &facts,
                                         .rule = "web",
                                         .method = "m",
                                         .keyset = "k",
                                         .alg = "ES256",
                                         .kid = "kid",
                                         .jti = "jti",
                                         .sub = "sub",
                                         .audiences = audiences,
                                         .num_audiences = 2,
                                         .exp = 7,
                                         .verdict = SG_AUDIT_OK,
                                         .reason = "R",
                                         .detail = "d",
                                         .queue_us = 4,
                                         .crypto_us = 5,
                                         .total_us = 6,
                                         .traceparent = "00-1-2-01"};
    json_t *record = record_of(&event);
    json_t *expected = json_pack(
        "{s:s, s:s, s:{s:i, s:i, s:i, s:s, s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[s, s], "
        "s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:s}",
        "time", "2026-11-26T00:00:00.123Z", "event", "sign", "peer", "uid", 1, "gid", 2, "pid", 3,
        "user", "www", "exe", "/usr/bin/login", "unit", "login.service", "rule", "web", "method",
        "m", "keyset", "k", "alg", "ES256", "kid", "kid", "jti", "jti", "sub", "sub", "aud", "a",
        "b", "exp", 7, "verdict", "ok", "reason", "R", "detail", "d", "queue_us", 4, "crypto_us", 5,
        "total_us", 6, "traceparent", "00-1-2-01");
    assert_non_null(expected);
    assert_true(json_equal(record, expected));
    json_decref(expected);
    json_decref(record);
}

static void test_record__leaves_out_what_is_not_known(void **state)
{
    (void)state;
    static const struct sg_peer_facts facts = {.failed = SG_PEER_EXE, .exe = "not to be shown"};
    const struct sg_peer peer = {.uid = 0, .gid = 0, .pid = 1};
    const struct sg_audit_event event = {
        .event = "deny", .time_ms = -1, .peer = &peer, .facts = &facts};
    json_t *record = record_of(&event);
    json_t *expected =
        json_pack("{s:s, s:s, s:{s:i, s:i, s:i}}", "time", "1969-12-31T23:59:59.999Z", "event",
                  "deny", "peer", "uid", 0, "gid", 0, "pid", 1);
    assert_true(json_equal(record, expected));
    json_decref(expected);
    json_decref(record);
}

static void test_record__replaces_what_is_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *given, *expected;
    } cases[] = {
        {"plain", "plain"},
        {"\"quoted\\\" \x01\x1f\x7f\n", "\"quoted\\\" \x01\x1f\x7f\n"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91"},
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},                                                 /* cut off */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* a surrogate */
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* cut off */
        {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* beyond */
        {"\xc3(", "\xef\xbf\xbd("},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sg_audit_event event = {.event = "sign", .sub = cases[i].given};
        json_t *record = record_of(&event);
        assert_string_equal(text_of(record, "sub"), cases[i].expected);
        json_decref(record);
    }
}

static void test_record__cuts_long_texts_and_lists(void **state)
{
    (void)state;
    char sub[4096];
    const char *audiences[40];
    memset(sub, 'a', sizeof(sub) - 1);
    sub[sizeof(sub) - 1] = '\0';
    /* A character across the bound is left out whole. */
    memcpy(sub + SG_AUDIT_MAX_TEXT - 1, "\xe2\x82\xac", 3);
    for (size_t i = 0; i < 40; i++) {
        audiences[i] = "x";
    }
    const struct sg_audit_event event = {
        .event = "sign", .sub = sub, .audiences = audiences, .num_audiences = 40};
    json_t *record = record_of(&event);
    const json_t *list = json_object_get(record, "aud");
    assert_int_equal(strlen(text_of(record, "sub")), SG_AUDIT_MAX_TEXT - 1 + 3);
    assert_string_equal(text_of(record, "sub") + SG_AUDIT_MAX_TEXT - 1, "...");
    assert_int_equal(json_array_size(list), SG_AUDIT_MAX_AUDIENCES + 1);
    assert_string_equal(json_string_value(json_array_get(list, SG_AUDIT_MAX_AUDIENCES)),
                        "... and 24 more");
    assert_null(json_object_get(record, "cut"));
    json_decref(record);
}

/* The worst that texts can be: each byte takes six. */
static void test_record__never_exceeds_its_bound(void **state)
{
    (void)state;
    char worst[8192];
    const char *audiences[64];
    static struct sg_peer_facts facts;
    memset(worst, 1, sizeof(worst) - 1);
    worst[sizeof(worst) - 1] = '\0';
    facts.known = SG_PEER_USER | SG_PEER_EXE | SG_PEER_UNIT;
    memset(facts.user, 1, sizeof(facts.user) - 1);
    memset(facts.exe, 1, sizeof(facts.exe) - 1);
    memset(facts.unit, 1, sizeof(facts.unit) - 1);
    for (size_t i = 0; i < 64; i++) {
        audiences[i] = worst;
    }
    const struct sg_peer peer = {.uid = UINT32_MAX, .gid = UINT32_MAX, .pid = INT32_MAX};
    const struct sg_audit_event event = {.event = worst,
                                         .time_ms = INT64_MAX / 1000000,
                                         .peer = &peer,
                                         .facts = &facts,
                                         .rule = worst,
                                         .method = worst,
                                         .keyset = worst,
                                         .alg = worst,
                                         .kid = worst,
                                         .jti = worst,
                                         .sub = worst,
                                         .audiences = audiences,
                                         .num_audiences = 64,
                                         .exp = INT64_MIN,
                                         .verdict = worst,
                                         .reason = worst,
                                         .detail = worst,
                                         .queue_us = UINT64_MAX,
                                         .crypto_us = UINT64_MAX,
                                         .total_us = UINT64_MAX,
                                         .traceparent = worst};
    json_t *record = record_of(&event);
    assert_true(json_is_true(json_object_get(record, "cut")));
    json_decref(record);
}

/* Wherever the room ends, an object comes out. */
static void test_text__is_an_object_in_any_room(void **state)
{
    (void)state;
    for (size_t cap = 64; cap < 400; cap++) {
        char *room = malloc(cap); /* a sanitizer sees one byte too many */
        assert_non_null(room);
        struct sg_audit_text text = sg_audit_text_begin(room, cap, 0, "e\"vent");
        if (sg_audit_text_open(&text, "peer")) {
            sg_audit_text_number(&text, "uid", INT64_MIN);
            sg_audit_text_string(&text, "exe", "\xff/\"\\", 10);
            sg_audit_text_shut(&text);
        }
        sg_audit_text_string(&text, "detail", "\x01\x02\xe2\x82\xac ...................", 100);
        sg_audit_text_number(&text, "count", 7);
        size_t len = sg_audit_text_end(&text);
        assert_in_range(len, 2, cap);
        json_t *record = json_loadb(room, len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(record);
        json_decref(record);
        free(room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__has_every_field),
        cmocka_unit_test(test_record__leaves_out_what_is_not_known),
        cmocka_unit_test(test_record__replaces_what_is_not_utf8),
        cmocka_unit_test(test_record__cuts_long_texts_and_lists),
        cmocka_unit_test(test_record__never_exceeds_its_bound),
        cmocka_unit_test(test_text__is_an_object_in_any_room),
    };
    return cmocka_run_group_tests_name("audit_record", tests, NULL, NULL);
}
