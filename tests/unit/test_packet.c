/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets between the daemon and the keyholder's process: what one side writes the other reads, and a
 * packet whose numbers do not agree with each other is refused as a whole, by either side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/packet.h"

struct packet_fixture {
    struct sg_packet_head *head; /* the packet's begin */
    uint8_t *packet;             /* of exactly len bytes, so that a sanitizer sees one too many */
    size_t len;
};

/* ---- Requests ---- */

static void packet_make(struct packet_fixture *fixture, uint32_t kind, uint32_t num,
                        uint32_t bytes_len, size_t len)
{
    free(fixture->packet);
    fixture->packet = calloc(1, len > 0 ? len : 1);
    assert_non_null(fixture->packet);
    fixture->len = len;
    fixture->head = (void *)fixture->packet;
    if (len >= sizeof(*fixture->head)) {
        *fixture->head = (struct sg_packet_head){.kind = kind, .num = num, .bytes_len = bytes_len};
    }
}

static size_t packet_len_of(size_t num, size_t bytes_len)
{
    return sizeof(struct sg_packet_head) + num * sizeof(struct sg_keyholder_request) + bytes_len;
}

static void packet_make_operations(struct packet_fixture *fixture, size_t num, size_t bytes_len)
{
    packet_make(fixture, SG_PACKET_OPERATIONS, (uint32_t)num, (uint32_t)bytes_len,
                packet_len_of(num, bytes_len));
}

static void packet_make_keystore(struct packet_fixture *fixture)
{
    packet_make(fixture, SG_PACKET_KEYSTORE, 1, 0,
                sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request));
}

static bool packet_reads(const struct packet_fixture *fixture, struct sg_packet_request *out)
{
    memset(out, 0, sizeof(*out));
    return sg_packet_read_request(fixture->packet, fixture->len, out);
}

static bool packet_is_refused(const struct packet_fixture *fixture)
{
    struct sg_packet_request request;
    return !packet_reads(fixture, &request);
}

static int packet_setup(void **state)
{
    *state = calloc(1, sizeof(struct packet_fixture));
    assert_non_null(*state);
    return 0;
}

static int packet_teardown(void **state)
{
    struct packet_fixture *fixture = *state;
    free(fixture->packet);
    free(fixture);
    return 0;
}

static void test_request__of_any_size_is_taken_apart(void **state)
{
    struct packet_fixture *fixture = *state;
    static const size_t nums[] = {1, 2, 64, SG_PACKET_MAX_OPERATIONS};
    static const size_t lens[] = {0, 1, SG_MAX_TOKEN_LEN, SG_PACKET_MAX_BYTES};
    struct sg_packet_request request;
    for (size_t n = 0; n < sizeof(nums) / sizeof(nums[0]); n++) {
        for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
            packet_make_operations(fixture, nums[n], lens[l]);
            assert_true(fixture->len <= SG_PACKET_MAX);
            assert_true(packet_reads(fixture, &request));
            assert_int_equal(request.kind, SG_PACKET_OPERATIONS);
            assert_int_equal(request.num, nums[n]);
            assert_int_equal(request.bytes_len, lens[l]);
            assert_ptr_equal(request.operations, fixture->packet + sizeof(struct sg_packet_head));
            if (lens[l] > 0) {
                assert_ptr_equal(request.bytes, fixture->packet + fixture->len - lens[l]);
            }
        }
    }
    packet_make_keystore(fixture);
    assert_true(fixture->len <= SG_PACKET_MAX);
    assert_true(packet_reads(fixture, &request));
    assert_int_equal(request.kind, SG_PACKET_KEYSTORE);
    assert_ptr_equal(request.keystore, fixture->packet + sizeof(struct sg_packet_head));
}

/* The structs are for who serves them. */
static void test_request__is_not_judged_by_what_it_asks(void **state)
{
    struct packet_fixture *fixture = *state;
    struct sg_packet_request request;
    packet_make_operations(fixture, 3, 5);
    memset(fixture->packet + sizeof(struct sg_packet_head), 0xff,
           fixture->len - sizeof(struct sg_packet_head));
    assert_true(packet_reads(fixture, &request));
    assert_int_equal(request.operations[2].data_off, UINT32_MAX);
    packet_make_keystore(fixture);
    memset(fixture->packet + sizeof(struct sg_packet_head), 0xff,
           fixture->len - sizeof(struct sg_packet_head));
    assert_true(packet_reads(fixture, &request));
}

static void test_request__of_another_length_is_refused(void **state)
{
    struct packet_fixture *fixture = *state;
    size_t whole = packet_len_of(2, 7);
    for (size_t len = 0; len <= whole + 300; len++) {
        packet_make(fixture, SG_PACKET_OPERATIONS, 2, 7, len);
        assert_true(packet_is_refused(fixture) == (len != whole));
    }
    whole = sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request);
    for (size_t len = 0; len <= whole + 300; len++) {
        packet_make(fixture, SG_PACKET_KEYSTORE, 1, 0, len);
        assert_true(packet_is_refused(fixture) == (len != whole));
    }
}

/* Each number of the head alone is enough, whatever the length is. */
static void test_request__with_a_number_out_of_bounds_is_refused(void **state)
{
    struct packet_fixture *fixture = *state;
    const struct {
        uint32_t kind, num, bytes_len, unused;
        size_t len;
    } cases[] = {
        {SG_PACKET_OPERATIONS, 0, 0, 0, packet_len_of(0, 0)},
        {SG_PACKET_OPERATIONS, 0, 8, 0, packet_len_of(0, 8)},
        {SG_PACKET_OPERATIONS, SG_PACKET_MAX_OPERATIONS + 1, 0, 0,
         packet_len_of(SG_PACKET_MAX_OPERATIONS + 1, 0)},
        {SG_PACKET_OPERATIONS, UINT32_MAX, 0, 0, packet_len_of(1, 0)},
        /* What a product of 32 bits makes a small one. */
        {SG_PACKET_OPERATIONS, 0x80000001u, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS, 0x20000001u, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS, 0x10000001u, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS, 1, SG_PACKET_MAX_BYTES + 1, 0,
         packet_len_of(1, SG_PACKET_MAX_BYTES + 1)},
        {SG_PACKET_OPERATIONS, 1, UINT32_MAX, 0, packet_len_of(1, 0)},
        /* A sum that is right only if it wraps. */
        {SG_PACKET_OPERATIONS, 2, 0u - (uint32_t)sizeof(struct sg_keyholder_request), 0,
         packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS, 1, 0, 1, packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS, 1, 0, UINT32_MAX, packet_len_of(1, 0)},
        {0, 1, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_OPERATIONS + 1, 1, 0, 0, packet_len_of(1, 0)},
        {0x4f004753u /* the other byte order */, 1, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_KEYSTORE, 1, 0, 0, packet_len_of(1, 0)},
        {SG_PACKET_KEYSTORE, 0, 0, 0,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request)},
        {SG_PACKET_KEYSTORE, 2, 0, 0,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request)},
        {SG_PACKET_KEYSTORE, 2, 0, 0,
         sizeof(struct sg_packet_head) + 2 * sizeof(struct sg_keystore_request)},
        {SG_PACKET_KEYSTORE, 1, 1, 0,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request)},
        {SG_PACKET_KEYSTORE, 1, 1, 0,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request) + 1},
        {SG_PACKET_KEYSTORE, 1, 0, 1,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request)},
        {SG_PACKET_OPERATIONS, 1, 0, 0,
         sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        packet_make(fixture, cases[i].kind, cases[i].num, cases[i].bytes_len, cases[i].len);
        fixture->head->unused = cases[i].unused;
        if (!packet_is_refused(fixture)) {
            fail_msg("case %zu is taken", i);
        }
    }
}

/* ---- Replies ---- */

/* Of every sort. What lies behind data_len and behind the message's end must not cross. */
static void packet_fill_replies(struct sg_keyholder_reply *replies, size_t num)
{
    memset(replies, 0xa5, num * sizeof(*replies));
    for (size_t i = 0; i < num; i++) {
        struct sg_keyholder_reply *reply = &replies[i];
        reply->slot = 0x1234567800000000u + i;
        reply->status = i % 3 == 0 ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
        reply->verdict = i % 2 == 0 ? SG_KEYHOLDER_MAC_EQUAL : SG_KEYHOLDER_MAC_DIFFERS;
        reply->data_len = i % 5 == 0 ? SG_KEYHOLDER_MAX_DATA : (uint32_t)(i % 70);
        memset(reply->data, (int)(i % 0x60), reply->data_len);
        reply->message[0] = '\0';
        if (reply->status != SIGNET_OK) {
            (void)snprintf(reply->message, sizeof(reply->message), "why not, number %zu", i);
        }
    }
}

/* The longest of everything. */
static void packet_fill_long_reply(struct sg_keyholder_reply *reply)
{
    memset(reply, 'm', sizeof(*reply));
    reply->data_len = SG_KEYHOLDER_MAX_DATA;
    reply->message[sizeof(reply->message) - 1] = '\0';
}

static bool packet_is_reply(const struct sg_keyholder_reply *reply,
                            const struct sg_keyholder_reply *expected)
{
    return reply->slot == expected->slot && reply->status == expected->status &&
           reply->verdict == expected->verdict && reply->data_len == expected->data_len &&
           memcmp(reply->data, expected->data, expected->data_len) == 0 &&
           strcmp(reply->message, expected->message) == 0;
}

/* An answer, and room for what is read of it. */
struct answer_fixture {
    struct sg_keyholder_reply replies[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply back[SG_PACKET_MAX_OPERATIONS + 1];
    uint8_t packet[SG_PACKET_MAX + 64];
    size_t len;
};

static int answer_setup(void **state)
{
    struct answer_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    packet_fill_replies(fixture->replies, 3);
    fixture->len = sg_packet_write_replies(fixture->replies, 3, fixture->packet);
    *state = fixture;
    return 0;
}

static int answer_teardown(void **state)
{
    free(*state);
    return 0;
}

/* A copy that ends where its block does. */
static uint8_t *packet_copy(const uint8_t *packet, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, packet, len);
    return copy;
}

static bool answer_reads(struct answer_fixture *fixture, const uint8_t *packet, size_t len,
                         size_t num)
{
    struct sg_keyholder_reply *places[SG_PACKET_MAX_OPERATIONS + 1];
    uint8_t *exact = packet_copy(packet, len);
    memset(fixture->back, 0xee, sizeof(fixture->back));
    for (size_t i = 0; i < num; i++) {
        places[i] = &fixture->back[i];
    }
    bool good = sg_packet_read_replies(exact, len, num, places);
    free(exact);
    return good;
}

static void test_replies__come_back_as_they_were(void **state)
{
    struct answer_fixture *fixture = *state;
    for (size_t num = 1; num <= SG_PACKET_MAX_OPERATIONS; num++) {
        packet_fill_replies(fixture->replies, num);
        size_t len = sg_packet_write_replies(fixture->replies, num, fixture->packet);
        assert_true(len > 0 && len <= SG_PACKET_MAX);
        assert_null(memmem(fixture->packet, len, "\xa5\xa5", 2));
        assert_true(answer_reads(fixture, fixture->packet, len, num));
        for (size_t i = 0; i < num; i++) {
            assert_true(packet_is_reply(&fixture->back[i], &fixture->replies[i]));
        }
    }
}

static void test_replies__of_the_most_and_longest_fit(void **state)
{
    struct answer_fixture *fixture = *state;
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        packet_fill_long_reply(&fixture->replies[i]);
    }
    memset(fixture->packet + SG_PACKET_MAX, 0x77, 64);
    size_t len =
        sg_packet_write_replies(fixture->replies, SG_PACKET_MAX_OPERATIONS, fixture->packet);
    assert_true(len <= SG_PACKET_MAX);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(fixture->packet[SG_PACKET_MAX + i], 0x77);
    }
    assert_true(answer_reads(fixture, fixture->packet, len, SG_PACKET_MAX_OPERATIONS));
    assert_int_equal(strlen(fixture->back[SG_PACKET_MAX_OPERATIONS - 1].message), 95);
}

/* An operation that lies about its own length gives nothing away: neither its bytes nor a yes. */
static void test_replies__that_say_more_than_they_hold_are_faults(void **state)
{
    struct answer_fixture *fixture = *state;
    static const uint32_t lens[] = {SG_KEYHOLDER_MAX_DATA + 1, 65536, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        packet_fill_replies(fixture->replies, 1);
        fixture->replies[0].data_len = lens[i];
        size_t len = sg_packet_write_replies(fixture->replies, 1, fixture->packet);
        assert_true(answer_reads(fixture, fixture->packet, len, 1));
        assert_int_equal(fixture->back[0].status, SIGNET_INTERNAL);
        assert_int_equal(fixture->back[0].data_len, 0);
    }
}

static void test_replies__of_another_length_are_refused(void **state)
{
    struct answer_fixture *fixture = *state;
    for (size_t len = 0; len <= fixture->len + 64; len++) {
        assert_true(answer_reads(fixture, fixture->packet, len, 3) == (len == fixture->len));
    }
    /* An answer to more or to fewer than were asked. */
    assert_false(answer_reads(fixture, fixture->packet, fixture->len, 2));
    assert_false(answer_reads(fixture, fixture->packet, fixture->len, 4));
}

/* A refusal is no answer to anything. */
static void test_replies__are_not_a_refusal(void **state)
{
    struct answer_fixture *fixture = *state;
    struct sg_keystore_reply keystore;
    const struct sg_packet_head refused = {.kind = SG_PACKET_REFUSED};
    assert_false(answer_reads(fixture, (const uint8_t *)&refused, sizeof(refused), 1));
    assert_false(
        sg_packet_read_keystore_reply((const uint8_t *)&refused, sizeof(refused), &keystore));
}

static void answer_check_spoiled(struct answer_fixture *fixture, size_t at, uint32_t value)
{
    uint32_t present = 0;
    memcpy(&present, fixture->packet + at, sizeof(present));
    memcpy(fixture->packet + at, &value, sizeof(value));
    if (value != present && answer_reads(fixture, fixture->packet, fixture->len, 3)) {
        fail_msg("a packet with %u at %zu is taken", value, at);
    }
    memcpy(fixture->packet + at, &present, sizeof(present));
}

static void test_replies__with_a_number_out_of_bounds_are_refused(void **state)
{
    struct answer_fixture *fixture = *state;
    static const uint32_t values[] = {0,
                                      1,
                                      2,
                                      4,
                                      95,
                                      96,
                                      97,
                                      SG_PACKET_MAX_OPERATIONS + 1,
                                      SG_KEYHOLDER_MAX_DATA + 1,
                                      65536,
                                      0x7fffffff,
                                      0x80000000u,
                                      0xfffffffeu,
                                      UINT32_MAX,
                                      SG_PACKET_KEYSTORE};
    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
        for (size_t at = 0; at < sizeof(struct sg_packet_head); at += sizeof(uint32_t)) {
            answer_check_spoiled(fixture, at, values[v]);
        }
        for (size_t i = 0; i < 3; i++) {
            size_t at = sizeof(struct sg_packet_head) + i * sizeof(struct sg_packet_reply);
            answer_check_spoiled(fixture, at + offsetof(struct sg_packet_reply, data_len),
                                 values[v]);
            answer_check_spoiled(fixture, at + offsetof(struct sg_packet_reply, message_len),
                                 values[v]);
        }
    }
}

/* Two lengths that make up for each other, beyond their places. */
static void test_replies__whose_parts_are_too_long_are_refused(void **state)
{
    struct answer_fixture *fixture = *state;
    struct sg_packet_reply told;
    uint8_t *at = fixture->packet + sizeof(struct sg_packet_head);
    packet_fill_long_reply(&fixture->replies[0]);
    (void)snprintf(fixture->replies[0].message, sizeof(fixture->replies[0].message), "%090d", 0);
    size_t len = sg_packet_write_replies(fixture->replies, 1, fixture->packet);
    memcpy(&told, at, sizeof(told));
    assert_int_equal(told.data_len, SG_KEYHOLDER_MAX_DATA);
    assert_true(answer_reads(fixture, fixture->packet, len, 1));
    told.data_len++;
    told.message_len--;
    memcpy(at, &told, sizeof(told));
    assert_false(answer_reads(fixture, fixture->packet, len, 1));
    told.data_len -= 1 + 10;
    told.message_len += 1 + 10; /* 100 of 96 */
    memcpy(at, &told, sizeof(told));
    assert_false(answer_reads(fixture, fixture->packet, len, 1));
    told.data_len += 4; /* 96: no room for its end */
    told.message_len -= 4;
    memcpy(at, &told, sizeof(told));
    assert_false(answer_reads(fixture, fixture->packet, len, 1));
    told.data_len++;
    told.message_len--;
    memcpy(at, &told, sizeof(told));
    assert_true(answer_reads(fixture, fixture->packet, len, 1));
}

/* ---- Replies of the keystore ---- */

static struct sg_keystore_reply *keystore_good(void)
{
    struct sg_keystore_reply *reply = calloc(1, sizeof(*reply));
    assert_non_null(reply);
    reply->slot = 0x700000001u;
    reply->num_entries = 3;
    reply->entry.fault = SG_KEYSTORE_FAULT_NONE;
    reply->entry.has_hint = true;
    reply->entry.record.public_len = SG_KEYSTORE_MAX_PUBLIC;
    (void)snprintf(reply->dir, sizeof(reply->dir), "/var/lib/signet/keys");
    (void)snprintf(reply->entry.record.kid, sizeof(reply->entry.record.kid), "one");
    return reply;
}

static void test_keystore_reply__that_is_good_is_read(void **state)
{
    (void)state;
    struct sg_keystore_reply *reply = keystore_good();
    struct sg_keystore_reply *out = calloc(1, sizeof(*out));
    assert_non_null(out);
    assert_true(sg_packet_read_keystore_reply((const uint8_t *)reply, sizeof(*reply), out));
    assert_memory_equal(out, reply, sizeof(*reply));
    uint8_t *room = calloc(1, sizeof(*reply) + 64);
    assert_non_null(room);
    memcpy(room, reply, sizeof(*reply));
    for (size_t len = 0; len <= sizeof(*reply) + 64; len++) {
        uint8_t *exact = packet_copy(room, len);
        assert_true(sg_packet_read_keystore_reply(exact, len, out) == (len == sizeof(*reply)));
        free(exact);
    }
    free(room);
    free(out);
    free(reply);
}

/* Texts without an end, a length beyond its place, and a truth value that is neither. */
static void test_keystore_reply__that_would_be_read_past_its_end_is_refused(void **state)
{
    (void)state;
    struct sg_keystore_reply *out = calloc(1, sizeof(*out));
    static const struct {
        size_t at, len;
    } texts[] = {
        {offsetof(struct sg_keystore_reply, dir), SG_KEYSTORE_MAX_PATH},
        {offsetof(struct sg_keystore_reply, source), SG_KEYSTORE_MAX_PATH},
        {offsetof(struct sg_keystore_reply, message), SG_KEYSTORE_MAX_MESSAGE},
        {offsetof(struct sg_keystore_reply, entry.message), SG_KEYSTORE_MAX_MESSAGE},
        {offsetof(struct sg_keystore_reply, entry.file),
         sizeof(((struct sg_keystore_entry *)0)->file)},
        {offsetof(struct sg_keystore_reply, entry.record.keyset), SG_MAX_KEYSET_NAME_LEN + 1},
        {offsetof(struct sg_keystore_reply, entry.record.kid), SG_MAX_KID_LEN + 1},
    };
    assert_non_null(out);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sg_keystore_reply *reply = keystore_good();
        memset((uint8_t *)reply + texts[i].at, 'x', texts[i].len);
        assert_false(sg_packet_read_keystore_reply((const uint8_t *)reply, sizeof(*reply), out));
        ((uint8_t *)reply)[texts[i].at + texts[i].len - 1] = '\0';
        assert_true(sg_packet_read_keystore_reply((const uint8_t *)reply, sizeof(*reply), out));
        free(reply);
    }
    struct sg_keystore_reply *reply = keystore_good();
    reply->entry.record.public_len = SG_KEYSTORE_MAX_PUBLIC + 1;
    assert_false(sg_packet_read_keystore_reply((const uint8_t *)reply, sizeof(*reply), out));
    free(reply);
    reply = keystore_good();
    ((uint8_t *)reply)[offsetof(struct sg_keystore_reply, entry.has_hint)] = 2;
    assert_false(sg_packet_read_keystore_reply((const uint8_t *)reply, sizeof(*reply), out));
    free(reply);
    free(out);
}

/* ---- The first packet ---- */

static struct sg_packet_hello hello_good(void)
{
    struct sg_packet_hello hello = {.version = SG_PACKET_VERSION,
                                    .epoch = 3,
                                    .num_channels = 4,
                                    .front_uid = 1000,
                                    .has_keystore = 1};
    memcpy(hello.magic, SG_PACKET_HELLO, sizeof(hello.magic));
    (void)snprintf(hello.dir, sizeof(hello.dir), "/var/lib/signet");
    (void)snprintf(hello.source, sizeof(hello.source), "file:/etc/signet/keystore.key");
    return hello;
}

static bool hello_is_read(const struct sg_packet_hello *hello)
{
    struct sg_packet_hello out;
    memset(&out, 0, sizeof(out));
    return sg_packet_read_hello((const uint8_t *)hello, sizeof(*hello), &out);
}

static void test_hello__that_is_good_is_read(void **state)
{
    (void)state;
    struct sg_packet_hello out;
    struct sg_packet_hello hello = hello_good();
    assert_true(sg_packet_read_hello((const uint8_t *)&hello, sizeof(hello), &out));
    assert_memory_equal(&out, &hello, sizeof(hello));
    hello.num_channels = 1;
    assert_true(hello_is_read(&hello));
    hello.num_channels = SG_PACKET_MAX_CHANNELS;
    hello.has_passphrase_fd = 1;
    assert_true(hello_is_read(&hello));
    hello = hello_good();
    hello.has_keystore = 0;
    memset(hello.dir, 0, sizeof(hello.dir));
    memset(hello.source, 0, sizeof(hello.source));
    assert_true(hello_is_read(&hello));
}

static void test_hello__of_another_length_is_refused(void **state)
{
    (void)state;
    struct sg_packet_hello out;
    const struct sg_packet_hello hello = hello_good();
    uint8_t *room = calloc(1, sizeof(hello) + 64);
    assert_non_null(room);
    memcpy(room, &hello, sizeof(hello));
    for (size_t len = 0; len <= sizeof(hello) + 64; len++) {
        uint8_t *exact = packet_copy(room, len);
        assert_true(sg_packet_read_hello(exact, len, &out) == (len == sizeof(hello)));
        free(exact);
    }
    free(room);
}

static void test_hello__that_cannot_be_followed_is_refused(void **state)
{
    (void)state;
    struct sg_packet_hello hello;
    for (size_t i = 0; i < sizeof(hello.magic); i++) {
        hello = hello_good();
        hello.magic[i] ^= 1;
        assert_false(hello_is_read(&hello));
    }
    const struct {
        size_t at;
        uint32_t value;
    } cases[] = {
        {offsetof(struct sg_packet_hello, version), 0},
        {offsetof(struct sg_packet_hello, version), SG_PACKET_VERSION + 1},
        {offsetof(struct sg_packet_hello, version), UINT32_MAX},
        {offsetof(struct sg_packet_hello, num_channels), 0},
        {offsetof(struct sg_packet_hello, num_channels), SG_PACKET_MAX_CHANNELS + 1},
        {offsetof(struct sg_packet_hello, num_channels), UINT32_MAX},
        {offsetof(struct sg_packet_hello, has_passphrase_fd), 2},
        {offsetof(struct sg_packet_hello, has_passphrase_fd), UINT32_MAX},
        {offsetof(struct sg_packet_hello, has_keystore), 2},
        {offsetof(struct sg_packet_hello, has_keystore), UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hello = hello_good();
        memcpy((uint8_t *)&hello + cases[i].at, &cases[i].value, sizeof(cases[i].value));
        if (hello_is_read(&hello)) {
            fail_msg("case %zu is taken", i);
        }
    }
    hello = hello_good();
    memset(hello.dir, 'd', sizeof(hello.dir)); /* no end */
    assert_false(hello_is_read(&hello));
    hello = hello_good();
    memset(hello.source, 's', sizeof(hello.source));
    assert_false(hello_is_read(&hello));
}

/* ---- The first answer ---- */

static void test_welcome__is_read_or_refused_as_a_whole(void **state)
{
    (void)state;
    struct sg_packet_welcome welcome = {.version = SG_PACKET_VERSION, .status = SIGNET_OK};
    struct sg_packet_welcome out;
    uint8_t room[sizeof(welcome) + 16] = {0};
    memcpy(welcome.magic, SG_PACKET_HELLO, sizeof(welcome.magic));
    memcpy(room, &welcome, sizeof(welcome));
    for (size_t len = 0; len <= sizeof(room); len++) {
        assert_true(sg_packet_read_welcome(room, len, &out) == (len == sizeof(welcome)));
    }
    welcome.version++;
    assert_false(sg_packet_read_welcome((const uint8_t *)&welcome, sizeof(welcome), &out));
    welcome.version--;
    welcome.magic[7] ^= 1;
    assert_false(sg_packet_read_welcome((const uint8_t *)&welcome, sizeof(welcome), &out));
    welcome.magic[7] ^= 1;
    memset(welcome.message, 'm', sizeof(welcome.message)); /* no end */
    assert_false(sg_packet_read_welcome((const uint8_t *)&welcome, sizeof(welcome), &out));
}

#define PACKET_TEST(name) cmocka_unit_test_setup_teardown(name, packet_setup, packet_teardown)
#define ANSWER_TEST(name) cmocka_unit_test_setup_teardown(name, answer_setup, answer_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKET_TEST(test_request__of_any_size_is_taken_apart),
        PACKET_TEST(test_request__is_not_judged_by_what_it_asks),
        PACKET_TEST(test_request__of_another_length_is_refused),
        PACKET_TEST(test_request__with_a_number_out_of_bounds_is_refused),
        ANSWER_TEST(test_replies__come_back_as_they_were),
        ANSWER_TEST(test_replies__of_the_most_and_longest_fit),
        ANSWER_TEST(test_replies__that_say_more_than_they_hold_are_faults),
        ANSWER_TEST(test_replies__of_another_length_are_refused),
        ANSWER_TEST(test_replies__are_not_a_refusal),
        ANSWER_TEST(test_replies__with_a_number_out_of_bounds_are_refused),
        ANSWER_TEST(test_replies__whose_parts_are_too_long_are_refused),
        cmocka_unit_test(test_keystore_reply__that_is_good_is_read),
        cmocka_unit_test(test_keystore_reply__that_would_be_read_past_its_end_is_refused),
        cmocka_unit_test(test_hello__that_is_good_is_read),
        cmocka_unit_test(test_hello__of_another_length_is_refused),
        cmocka_unit_test(test_hello__that_cannot_be_followed_is_refused),
        cmocka_unit_test(test_welcome__is_read_or_refused_as_a_whole),
    };
    return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
