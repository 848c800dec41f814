/* SPDX-License-Identifier: Apache-2.0
 *
 * Both ends of the line between the daemon and the keyholder: whatever a packet says, what is read of it
 * stays in it, the keyholder answers each operation with something that the daemon can read, and what it
 * signs has the shape of a JWS signing input. The first byte says which side reads:
 *
 *     'q'  the keyholder, a packet; slots in it with a small number stand for its keys
 *     'a'  the daemon, an answer to as many operations as the second byte says
 *     'k'  the daemon, an answer of the keystore
 *     'h'  both, the first packet and its answer
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/keyholder/packet.h"
#include "server/keyholder/signing_shape.h"

#define FUZZ_NUM_KEYS 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum sg_alg fuzz_algs[FUZZ_NUM_KEYS] = {SG_ALG_HS256, SG_ALG_ES256};

static struct {
    struct sg_keyholder *keyholder;
    uint64_t slots[FUZZ_NUM_KEYS];
    struct sg_keyholder_reply replies[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply back[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply *places[SG_PACKET_MAX_OPERATIONS];
    struct sg_keystore_request keystore_request;
    struct sg_keystore_reply keystore_reply;
    uint8_t answer[SG_PACKET_MAX];
} fuzz;

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_prepare(void)
{
    if (fuzz.keyholder != NULL) {
        return;
    }
    fuzz_check(sg_keyholder_new(1, &fuzz.keyholder) == SIGNET_OK);
    for (size_t i = 0; i < FUZZ_NUM_KEYS; i++) {
        const struct sg_keyholder_request generate = {.op = SG_KEYHOLDER_GENERATE,
                                                      .alg = fuzz_algs[i]};
        fuzz_check(sg_keyholder_call(fuzz.keyholder, &generate, 1, NULL, 0, fuzz.replies) ==
                   SIGNET_OK);
        fuzz_check(fuzz.replies[0].status == SIGNET_OK);
        fuzz.slots[i] = fuzz.replies[0].slot;
    }
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        fuzz.places[i] = &fuzz.back[i];
    }
}

/* ---- The keyholder's side ---- */

static bool fuzz_has_key(uint64_t slot)
{
    return slot == fuzz.slots[0] || slot == fuzz.slots[1];
}

/* So that what came out of the corpus finds keys, that they stay, and that nobody waits for RSA. */
static struct sg_keyholder_request fuzz_tame(const struct sg_keyholder_request *request)
{
    struct sg_keyholder_request tamed = *request;
    if (tamed.slot < FUZZ_NUM_KEYS) {
        tamed.slot = fuzz.slots[tamed.slot];
    }
    if (tamed.op == SG_KEYHOLDER_DESTROY && fuzz_has_key(tamed.slot)) {
        tamed.slot = UINT64_MAX;
    }
    if (tamed.op == SG_KEYHOLDER_GENERATE && tamed.rsa_bits >= SG_MIN_RSA_BITS) {
        tamed.rsa_bits = SG_MIN_RSA_BITS - 1;
    }
    return tamed;
}

static void fuzz_check_signed(const struct sg_packet_request *packet,
                              const struct sg_keyholder_request *request)
{
    const char *why = NULL;
    enum sg_alg alg = fuzz_algs[request->slot == fuzz.slots[0] ? 0 : 1];
    fuzz_check(fuzz_has_key(request->slot));
    fuzz_check((size_t)request->data_off + request->data_len <= packet->bytes_len);
    fuzz_check(sg_signing_shape_check(alg, packet->bytes + request->data_off, request->data_len,
                                      &why) == SIGNET_OK);
}

static void fuzz_destroy(uint64_t slot)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = slot};
    struct sg_keyholder_reply reply;
    fuzz_check(sg_keyholder_call(fuzz.keyholder, &request, 1, NULL, 0, &reply) == SIGNET_OK);
    fuzz_check(reply.status == SIGNET_OK);
}

static void fuzz_check_reply(const struct sg_packet_request *packet,
                             const struct sg_keyholder_request *request,
                             const struct sg_keyholder_reply *reply)
{
    bool done = reply->status == SIGNET_OK;
    fuzz_check(done == (reply->message[0] == '\0'));
    fuzz_check(done || (reply->data_len == 0 && reply->slot == 0));
    fuzz_check((reply->verdict != 0) == (done && request->op == SG_KEYHOLDER_MAC_CHECK));
    /* The keys are made anew in every run: nobody knows a MAC of theirs. */
    fuzz_check(reply->verdict != SG_KEYHOLDER_MAC_EQUAL);
    if (done && request->op == SG_KEYHOLDER_SIGN) {
        fuzz_check_signed(packet, request);
    }
    if (reply->slot != 0) {
        fuzz_destroy(reply->slot);
    }
}

static void fuzz_operations(const struct sg_packet_request *packet)
{
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    fuzz_check(packet->num >= 1 && packet->num <= SG_PACKET_MAX_OPERATIONS);
    for (size_t i = 0; i < packet->num; i++) {
        requests[i] = fuzz_tame(&packet->operations[i]);
    }
    fuzz_check(sg_keyholder_call(fuzz.keyholder, requests, packet->num, packet->bytes,
                                 packet->bytes_len, fuzz.replies) == SIGNET_OK);
    size_t len = sg_packet_write_replies(fuzz.replies, packet->num, fuzz.answer);
    fuzz_check(len > 0 && len <= sizeof(fuzz.answer));
    fuzz_check(sg_packet_read_replies(fuzz.answer, len, packet->num, fuzz.places));
    for (size_t i = 0; i < packet->num; i++) {
        fuzz_check(fuzz.back[i].data_len == fuzz.replies[i].data_len);
        fuzz_check(memcmp(fuzz.back[i].data, fuzz.replies[i].data, fuzz.back[i].data_len) == 0);
        fuzz_check_reply(packet, &requests[i], &fuzz.back[i]);
    }
}

/* No keystore is open, and none is opened: files have a target of their own. */
static void fuzz_keystore(const struct sg_packet_request *packet)
{
    struct sg_keystore_reply *reply = &fuzz.keystore_reply;
    fuzz.keystore_request = *packet->keystore;
    if (fuzz.keystore_request.op == SG_KEYSTORE_OPEN) {
        fuzz.keystore_request.op = SG_KEYSTORE_INFO;
    }
    fuzz_check(sg_keyholder_keystore(fuzz.keyholder, &fuzz.keystore_request, reply) == SIGNET_OK);
    fuzz_check(reply->status != SIGNET_OK);
    memcpy(fuzz.answer, reply, sizeof(*reply));
    fuzz_check(sg_packet_read_keystore_reply(fuzz.answer, sizeof(*reply), reply));
}

static void fuzz_request(const uint8_t *bytes, size_t len)
{
    struct sg_packet_request packet;
    if (!sg_packet_read_request(bytes, len, &packet)) {
        return;
    }
    if (packet.kind == SG_PACKET_KEYSTORE) {
        fuzz_keystore(&packet);
    } else {
        fuzz_check(packet.kind == SG_PACKET_OPERATIONS);
        fuzz_operations(&packet);
    }
}

/* ---- The daemon's side ---- */

static void fuzz_answer(const uint8_t *bytes, size_t len, size_t num)
{
    memset(fuzz.back, 0, sizeof(fuzz.back));
    if (!sg_packet_read_replies(bytes, len, num, fuzz.places)) {
        return;
    }
    for (size_t i = 0; i < num; i++) {
        fuzz_check(fuzz.back[i].data_len <= sizeof(fuzz.back[i].data));
        fuzz_check(memchr(fuzz.back[i].message, '\0', sizeof(fuzz.back[i].message)) != NULL);
    }
}

static void fuzz_keystore_answer(const uint8_t *bytes, size_t len)
{
    struct sg_keystore_reply *reply = &fuzz.keystore_reply;
    if (!sg_packet_read_keystore_reply(bytes, len, reply)) {
        return;
    }
    fuzz_check(memchr(reply->message, '\0', sizeof(reply->message)) != NULL);
    fuzz_check(memchr(reply->entry.file, '\0', sizeof(reply->entry.file)) != NULL);
    fuzz_check(reply->entry.record.public_len <= sizeof(reply->entry.record.public_key));
}

static void fuzz_beginning(const uint8_t *bytes, size_t len)
{
    static struct sg_packet_hello hello;
    static struct sg_packet_welcome welcome;
    if (sg_packet_read_hello(bytes, len, &hello)) {
        fuzz_check(hello.num_channels >= 1 && hello.num_channels <= SG_PACKET_MAX_CHANNELS);
        fuzz_check(memchr(hello.dir, '\0', sizeof(hello.dir)) != NULL);
        fuzz_check(memchr(hello.source, '\0', sizeof(hello.source)) != NULL);
    }
    if (sg_packet_read_welcome(bytes, len, &welcome)) {
        fuzz_check(memchr(welcome.message, '\0', sizeof(welcome.message)) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_prepare();
    if (size < 2) {
        return 0;
    }
    /* Of exactly its length, and aligned, which two bytes further on it would not be. */
    size_t len = size - 2;
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    fuzz_check(bytes != NULL);
    memcpy(bytes, data + 2, len);
    switch (data[0]) {
    case 'q':
        fuzz_request(bytes, len);
        break;
    case 'a':
        fuzz_answer(bytes, len, 1 + data[1] % SG_PACKET_MAX_OPERATIONS);
        break;
    case 'k':
        fuzz_keystore_answer(bytes, len);
        break;
    default:
        fuzz_beginning(bytes, len);
        break;
    }
    free(bytes);
    return 0;
}
