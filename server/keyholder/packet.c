/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets taken apart: the whole of what either process believes of the other's bytes. Every length is
 * compared with what has come before it is used, and sums are made in 64 bits of numbers of 32.
 */
#include "server/keyholder/packet.h"

#include <string.h>

/* ---- Requests ---- */

bool sg_packet_can_carry(const struct sg_keyholder_request *requests, size_t num, size_t bytes_len)
{
    for (size_t i = 0; i < num; i++) {
        const struct sg_keyholder_request *request = &requests[i];
        if (request->data_len > SG_PACKET_MAX_BYTES || request->data_off > bytes_len ||
            request->data_len > bytes_len - request->data_off) {
            return false;
        }
    }
    return true;
}

/* The bytes are gathered behind the place of all structs, and moved to those that there are. */
#define PACKET_STRUCTS_AT sizeof(struct sg_packet_head)
#define PACKET_BYTES_AT                                                                            \
    (PACKET_STRUCTS_AT + SG_PACKET_MAX_OPERATIONS * sizeof(struct sg_keyholder_request))
_Static_assert(PACKET_BYTES_AT + SG_PACKET_MAX_BYTES <= SG_PACKET_MAX, "a full packet must fit");
_Static_assert(sizeof(struct sg_packet_head) + sizeof(struct sg_keystore_request) <=
                       SG_PACKET_MAX &&
                   sizeof(struct sg_keystore_reply) <= SG_PACKET_MAX,
               "an operation of the keystore must fit");

void sg_packet_begin(struct sg_packet_writer *writer, uint8_t *packet)
{
    *writer = (struct sg_packet_writer){.packet = packet};
}

bool sg_packet_add(struct sg_packet_writer *writer, const struct sg_keyholder_request *request,
                   const uint8_t *bytes)
{
    struct sg_keyholder_request written = *request;
    const uint8_t *data = request->data_len > 0 ? bytes + request->data_off : NULL;
    bool is_shared =
        data != NULL && data == writer->last_data && request->data_len == writer->last_len;
    size_t added = is_shared ? 0 : request->data_len;
    if (writer->num == SG_PACKET_MAX_OPERATIONS ||
        added > SG_PACKET_MAX_BYTES - writer->bytes_len) {
        return false;
    }
    written.data_off = is_shared ? writer->last_off : (uint32_t)writer->bytes_len;
    if (added > 0) {
        memcpy(writer->packet + PACKET_BYTES_AT + writer->bytes_len, data, added);
        writer->bytes_len += added;
    }
    writer->last_data = data;
    writer->last_off = written.data_off;
    writer->last_len = written.data_len;
    memcpy(writer->packet + PACKET_STRUCTS_AT + writer->num * sizeof(written), &written,
           sizeof(written));
    writer->num++;
    return true;
}

size_t sg_packet_end(struct sg_packet_writer *writer)
{
    const struct sg_packet_head head = {.kind = SG_PACKET_OPERATIONS,
                                        .num = (uint32_t)writer->num,
                                        .bytes_len = (uint32_t)writer->bytes_len};
    size_t bytes_at = PACKET_STRUCTS_AT + writer->num * sizeof(struct sg_keyholder_request);
    memcpy(writer->packet, &head, sizeof(head));
    memmove(writer->packet + bytes_at, writer->packet + PACKET_BYTES_AT, writer->bytes_len);
    return bytes_at + writer->bytes_len;
}

static bool packet_is_text(const char *text, size_t cap)
{
    return memchr(text, '\0', cap) != NULL;
}

bool sg_packet_read_hello(const uint8_t *packet, size_t len, struct sg_packet_hello *out)
{
    if (len != sizeof(*out)) {
        return false;
    }
    memcpy(out, packet, sizeof(*out));
    return memcmp(out->magic, SG_PACKET_HELLO, sizeof(out->magic)) == 0 &&
           out->version == SG_PACKET_VERSION && out->num_channels >= 1 &&
           out->num_channels <= SG_PACKET_MAX_CHANNELS &&
           out->num_slow_channels < out->num_channels && out->has_passphrase_fd <= 1 &&
           out->has_keystore <= 1 && packet_is_text(out->dir, sizeof(out->dir)) &&
           packet_is_text(out->source, sizeof(out->source));
}

static bool packet_read_operations(const struct sg_packet_head *head, const uint8_t *rest,
                                   size_t rest_len, struct sg_packet_request *out)
{
    if (head->num < 1 || head->num > SG_PACKET_MAX_OPERATIONS ||
        head->bytes_len > SG_PACKET_MAX_BYTES) {
        return false;
    }
    size_t structs_len = head->num * sizeof(*out->operations);
    if (rest_len != structs_len + head->bytes_len) {
        return false;
    }
    out->operations = (const struct sg_keyholder_request *)(const void *)rest;
    out->num = head->num;
    out->bytes = rest + structs_len;
    out->bytes_len = head->bytes_len;
    return true;
}

bool sg_packet_read_request(const uint8_t *packet, size_t len, struct sg_packet_request *out)
{
    struct sg_packet_head head;
    if (len < sizeof(head) || len > SG_PACKET_MAX) {
        return false;
    }
    memcpy(&head, packet, sizeof(head));
    const uint8_t *rest = packet + sizeof(head);
    size_t rest_len = len - sizeof(head);
    memset(out, 0, sizeof(*out));
    if (head.kind == SG_PACKET_OPERATIONS) {
        out->kind = SG_PACKET_OPERATIONS;
        return head.unused == 0 && packet_read_operations(&head, rest, rest_len, out);
    }
    if (head.kind == SG_PACKET_KEYSTORE) {
        out->kind = SG_PACKET_KEYSTORE;
        out->keystore = (const struct sg_keystore_request *)(const void *)rest;
        return head.unused == 0 && head.num == 1 && head.bytes_len == 0 &&
               rest_len == sizeof(*out->keystore);
    }
    return false;
}

/* ---- Replies ---- */

/* The most that one operation's answer takes. */
#define PACKET_MAX_REPLY                                                                           \
    (sizeof(struct sg_packet_reply) + SG_KEYHOLDER_MAX_DATA +                                      \
     sizeof(((struct sg_keyholder_reply *)0)->message))
_Static_assert(sizeof(struct sg_packet_head) + SG_PACKET_MAX_OPERATIONS * PACKET_MAX_REPLY <=
                   SG_PACKET_MAX,
               "the answers of a packet must fit one");

static size_t packet_write_reply(const struct sg_keyholder_reply *reply, uint8_t *structs,
                                 uint8_t *bytes)
{
    struct sg_packet_reply written = {
        .slot = reply->slot,
        .status = reply->status,
        .verdict = reply->verdict,
        .data_len = reply->data_len,
        .message_len = (uint32_t)strnlen(reply->message, sizeof(reply->message) - 1),
    };
    if (written.data_len > sizeof(reply->data)) {
        written.data_len = 0; /* an operation that lies about its own length gives nothing away */
        written.status = SIGNET_INTERNAL;
    }
    memcpy(structs, &written, sizeof(written));
    memcpy(bytes, reply->data, written.data_len);
    memcpy(bytes + written.data_len, reply->message, written.message_len);
    return (size_t)written.data_len + written.message_len;
}

size_t sg_packet_write_replies(const struct sg_keyholder_reply *replies, size_t num,
                               uint8_t *packet)
{
    uint8_t *structs = packet + sizeof(struct sg_packet_head);
    uint8_t *bytes = structs + num * sizeof(struct sg_packet_reply);
    size_t bytes_len = 0;
    for (size_t i = 0; i < num; i++) {
        bytes_len += packet_write_reply(&replies[i], structs + i * sizeof(struct sg_packet_reply),
                                        bytes + bytes_len);
    }
    const struct sg_packet_head head = {
        .kind = SG_PACKET_OPERATIONS, .num = (uint32_t)num, .bytes_len = (uint32_t)bytes_len};
    memcpy(packet, &head, sizeof(head));
    return (size_t)(bytes - packet) + bytes_len;
}

static bool packet_read_reply(const struct sg_packet_reply *written, const uint8_t **bytes,
                              size_t *bytes_len, struct sg_keyholder_reply *out)
{
    if (written->data_len > sizeof(out->data) || written->message_len >= sizeof(out->message) ||
        *bytes_len < (size_t)written->data_len + written->message_len) {
        return false;
    }
    out->slot = written->slot;
    out->status = written->status;
    out->verdict = written->verdict;
    out->data_len = written->data_len;
    memcpy(out->data, *bytes, written->data_len);
    memcpy(out->message, *bytes + written->data_len, written->message_len);
    out->message[written->message_len] = '\0';
    *bytes += (size_t)written->data_len + written->message_len;
    *bytes_len -= (size_t)written->data_len + written->message_len;
    return true;
}

bool sg_packet_read_replies(const uint8_t *packet, size_t len, size_t num,
                            struct sg_keyholder_reply *const *replies)
{
    struct sg_packet_head head;
    size_t structs_len = num * sizeof(struct sg_packet_reply);
    if (len > SG_PACKET_MAX || len < sizeof(head) + structs_len) {
        return false;
    }
    memcpy(&head, packet, sizeof(head));
    const uint8_t *structs = packet + sizeof(head);
    const uint8_t *bytes = structs + structs_len;
    size_t bytes_len = len - sizeof(head) - structs_len;
    if (head.kind != SG_PACKET_OPERATIONS || head.unused != 0 || head.num != num ||
        head.bytes_len != bytes_len) {
        return false;
    }
    for (size_t i = 0; i < num; i++) {
        struct sg_packet_reply written;
        memcpy(&written, structs + i * sizeof(written), sizeof(written));
        if (!packet_read_reply(&written, &bytes, &bytes_len, replies[i])) {
            return false;
        }
    }
    return bytes_len == 0;
}

static bool packet_is_record(const struct sg_key_record *record)
{
    return packet_is_text(record->keyset, sizeof(record->keyset)) &&
           packet_is_text(record->kid, sizeof(record->kid)) &&
           record->public_len <= sizeof(record->public_key);
}

bool sg_packet_read_keystore_reply(const uint8_t *packet, size_t len, struct sg_keystore_reply *out)
{
    if (len != sizeof(*out)) {
        return false;
    }
    memcpy(out, packet, sizeof(*out));
    /* A truth value that is neither is nobody's. */
    uint8_t has_hint = 0;
    memcpy(&has_hint, &out->entry.has_hint, sizeof(has_hint));
    return has_hint <= 1 && packet_is_text(out->dir, sizeof(out->dir)) &&
           packet_is_text(out->source, sizeof(out->source)) &&
           packet_is_text(out->message, sizeof(out->message)) &&
           packet_is_text(out->entry.file, sizeof(out->entry.file)) &&
           packet_is_text(out->entry.message, sizeof(out->entry.message)) &&
           packet_is_record(&out->entry.record);
}

bool sg_packet_read_welcome(const uint8_t *packet, size_t len, struct sg_packet_welcome *out)
{
    if (len != sizeof(*out)) {
        return false;
    }
    memcpy(out, packet, sizeof(*out));
    return memcmp(out->magic, SG_PACKET_HELLO, sizeof(out->magic)) == 0 &&
           out->version == SG_PACKET_VERSION && packet_is_text(out->message, sizeof(out->message));
}
