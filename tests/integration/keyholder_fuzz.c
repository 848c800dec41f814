/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets are made well and then spoiled: values at their bounds in single fields, bits anywhere, another
 * length, descriptors. What a packet is, is decided here a second time, from the text of packet.h.
 */
#include "keyholder_fuzz.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUZZ_MAX_FDS 200u

/* One run: the packet that is sent, and the answer. */
struct fuzz {
    struct holder_fuzz *run;
    uint64_t random;
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply replies[SG_PACKET_MAX_OPERATIONS];
    struct sg_keystore_request keystore_request;
    struct sg_keystore_reply keystore_reply;
    char bytes[SG_PACKET_MAX_BYTES];
    size_t bytes_len;
    size_t len;
    _Alignas(uint64_t) uint8_t packet[KEYHOLDER_PEER_MAX_PACKET];
    uint8_t answer[KEYHOLDER_PEER_MAX_PACKET];
};

static void fuzz_fault(struct fuzz *fuzz, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fuzz_fault(struct fuzz *fuzz, const char *format, ...)
{
    va_list arguments;
    if (fuzz->run->fault[0] != '\0') {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(fuzz->run->fault, sizeof(fuzz->run->fault), format, arguments);
    va_end(arguments);
}

/* ---- Chance ---- */

/* xorshift64*: small, and the same everywhere. */
static uint32_t fuzz_random(struct fuzz *fuzz, uint32_t below)
{
    fuzz->random ^= fuzz->random >> 12;
    fuzz->random ^= fuzz->random << 25;
    fuzz->random ^= fuzz->random >> 27;
    uint64_t high = (fuzz->random * 0x2545F4914F6CDD1Du) >> 32;
    return (uint32_t)(high % below);
}

static bool fuzz_chance(struct fuzz *fuzz, uint32_t one_in)
{
    return fuzz_random(fuzz, one_in) == 0;
}

/* A number that something may be wrong with. */
static uint32_t fuzz_number(struct fuzz *fuzz)
{
    static const uint32_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       31,
                                       32,
                                       33,
                                       63,
                                       64,
                                       65,
                                       255,
                                       256,
                                       257,
                                       1280,
                                       2048,
                                       2049,
                                       16383,
                                       16384,
                                       16385,
                                       SG_PACKET_MAX_BYTES - 1,
                                       SG_PACKET_MAX_BYTES,
                                       SG_PACKET_MAX_BYTES + 1,
                                       SG_PACKET_MAX,
                                       0x7fffffff,
                                       0x80000000u,
                                       0xfffffffeu,
                                       UINT32_MAX};
    uint32_t at = fuzz_random(fuzz, sizeof(numbers) / sizeof(numbers[0]) + 4);
    return at < sizeof(numbers) / sizeof(numbers[0]) ? numbers[at] : fuzz_random(fuzz, UINT32_MAX);
}

static void fuzz_fill(struct fuzz *fuzz, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)fuzz_random(fuzz, 256);
    }
}

static uint64_t fuzz_slot(struct fuzz *fuzz)
{
    uint64_t slot = fuzz->run->fixture->keys[fuzz_random(fuzz, HOLDER_NUM_KEYS)].slot;
    switch (fuzz_random(fuzz, 8)) {
    case 0:
        return fuzz->run->fixture->victim;
    case 1:
        return (uint64_t)fuzz_number(fuzz) << 32 | fuzz_number(fuzz);
    case 2:
        return slot ^ (uint64_t)1 << fuzz_random(fuzz, 64);
    default:
        return slot;
    }
}

/* ---- Operations ---- */

static void fuzz_take_bytes(struct fuzz *fuzz, struct sg_keyholder_request *request,
                            const void *bytes, size_t len)
{
    if (len > sizeof(fuzz->bytes) - fuzz->bytes_len) {
        fuzz->bytes_len = 0; /* over what others use: they overlap */
    }
    memcpy(fuzz->bytes + fuzz->bytes_len, bytes, len);
    request->data_off = (uint32_t)fuzz->bytes_len;
    request->data_len = (uint32_t)len;
    fuzz->bytes_len += len;
}

/* A signing input: for the key, for another, or with a header that is something else. */
static size_t fuzz_input(struct fuzz *fuzz, const struct holder_key *key,
                         char out[HOLDER_MAX_INPUT])
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"a\\\"b\"}",
        "{\"kid\":\"k\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"ES256\",\"\\u0061lg\":\"HS256\"}",
        "{\"alg\":\"RS256\"} ",
        " {\"alg\":\"RS256\"}",
        "{\"alg\": \"EdDSA\"}",
        "{\"alg\":\"eddsa\"}",
        "{}",
        "\"\"",
    };
    if (fuzz_chance(fuzz, 3)) {
        return holder_input_with_header(
            headers[fuzz_random(fuzz, sizeof(headers) / sizeof(headers[0]))], out);
    }
    return holder_input(
        fuzz_chance(fuzz, 4) ? (enum sg_alg)(1 + fuzz_random(fuzz, SG_ALG_COUNT - 1)) : key->alg,
        out);
}

static void fuzz_make_work(struct fuzz *fuzz, struct sg_keyholder_request *request)
{
    char input[HOLDER_MAX_INPUT];
    const struct holder_key *key = &fuzz->run->fixture->keys[fuzz_random(fuzz, HOLDER_NUM_KEYS)];
    size_t len = fuzz_input(fuzz, key, input);
    request->slot = key->slot;
    request->op = SG_KEYHOLDER_SIGN;
    if (key->secret_len > 0 && fuzz_chance(fuzz, 2)) {
        request->op = SG_KEYHOLDER_MAC_CHECK;
        request->mac_len = (uint32_t)holder_mac(key, input, len, request->mac);
        if (fuzz_chance(fuzz, 3)) {
            request->mac[fuzz_random(fuzz, request->mac_len)] ^= 1;
        }
    }
    if (fuzz_chance(fuzz, 4)) {
        input[fuzz_random(fuzz, (uint32_t)len)] = (char)fuzz_random(fuzz, 256);
    }
    fuzz_take_bytes(fuzz, request, input, len);
}

static void fuzz_make_any(struct fuzz *fuzz, struct sg_keyholder_request *request)
{
    uint8_t bytes[64];
    request->op = fuzz_random(fuzz, 10);
    request->slot = fuzz_slot(fuzz);
    request->alg = fuzz_random(fuzz, SG_ALG_COUNT + 2);
    request->rsa_bits = fuzz_number(fuzz);
    request->mac_len = fuzz_number(fuzz);
    fuzz_fill(fuzz, request->mac, sizeof(request->mac));
    fuzz_fill(fuzz, bytes, sizeof(bytes));
    fuzz_take_bytes(fuzz, request, bytes, sizeof(bytes));
}

static void fuzz_spoil_request(struct fuzz *fuzz, struct sg_keyholder_request *request)
{
    uint32_t *const fields[] = {&request->op,       &request->alg,      &request->rsa_bits,
                                &request->data_off, &request->data_len, &request->mac_len};
    *fields[fuzz_random(fuzz, sizeof(fields) / sizeof(fields[0]))] = fuzz_number(fuzz);
}

static void fuzz_make_operations(struct fuzz *fuzz)
{
    size_t num = fuzz_chance(fuzz, 8) ? 1 + fuzz_random(fuzz, SG_PACKET_MAX_OPERATIONS)
                                      : 1 + fuzz_random(fuzz, 3);
    fuzz->bytes_len = 0;
    memset(fuzz->requests, 0, sizeof(fuzz->requests));
    for (size_t i = 0; i < num; i++) {
        struct sg_keyholder_request *request = &fuzz->requests[i];
        if (fuzz_chance(fuzz, 3)) {
            fuzz_make_any(fuzz, request);
        } else {
            fuzz_make_work(fuzz, request);
        }
        if (fuzz_chance(fuzz, 3)) {
            fuzz_spoil_request(fuzz, request);
        }
    }
    fuzz->len =
        keyholder_peer_pack(fuzz->requests, num, fuzz->bytes, fuzz->bytes_len, fuzz->packet);
}

/* ---- Keystore ---- */

static void fuzz_spoil_keystore(struct fuzz *fuzz, struct sg_keystore_request *request)
{
    uint32_t *const fields[] = {&request->op,
                                &request->index,
                                &request->new_key_kind,
                                &request->sealed_len,
                                &request->record.alg,
                                &request->record.flags,
                                &request->record.seq,
                                &request->record.max_ttl_s,
                                &request->record.public_len};
    char *const texts[] = {request->dir, request->source, request->new_source,
                           request->record.keyset, request->record.kid};
    if (fuzz_chance(fuzz, 4)) {
        /* Also over its end: what follows is then part of it. */
        memset(texts[fuzz_random(fuzz, 5)], '/', 1 + fuzz_random(fuzz, 1100));
    } else {
        *fields[fuzz_random(fuzz, sizeof(fields) / sizeof(fields[0]))] = fuzz_number(fuzz);
    }
}

static void fuzz_make_keystore(struct fuzz *fuzz)
{
    static const char *const keysets[] = {"fuzz", "fuzz", "other", "..", "", "a/b"};
    static const char *const kids[] = {"victim", "victim", "k2", "", "\xff"};
    struct sg_keystore_request *request = &fuzz->keystore_request;
    const struct store_fixture *base = fuzz->run->fixture->base;
    memset(request, 0, sizeof(*request));
    request->op = 1 + fuzz_random(fuzz, SG_KEYSTORE_INFO);
    request->slot = fuzz_slot(fuzz);
    request->index = fuzz_random(fuzz, 3);
    request->passphrase_fd = (int32_t)fuzz_number(fuzz);
    request->record = store_record(keysets[fuzz_random(fuzz, 6)], kids[fuzz_random(fuzz, 5)]);
    request->record.flags = fuzz_random(fuzz, 4);
    (void)snprintf(request->dir, sizeof(request->dir), "%s",
                   fuzz_chance(fuzz, 2) ? base->state : base->dir);
    (void)snprintf(request->source, sizeof(request->source), "%s", base->source[0]);
    (void)snprintf(request->new_source, sizeof(request->new_source), "%s", base->source[1]);
    request->new_key_kind = SG_KEYSTORE_KEY_RAW;
    request->sealed_len = 32 + 48;
    if (fuzz_chance(fuzz, 2)) {
        fuzz_spoil_keystore(fuzz, request);
    }
    fuzz->len = keyholder_peer_pack_keystore(request, fuzz->packet);
}

/* ---- Packets ---- */

/* Only its begin looks like one. */
static void fuzz_make_noise(struct fuzz *fuzz)
{
    struct sg_packet_head head = {.kind = fuzz_chance(fuzz, 2) ? SG_PACKET_OPERATIONS
                                                               : SG_PACKET_KEYSTORE,
                                  .num = fuzz_number(fuzz),
                                  .bytes_len = fuzz_number(fuzz)};
    fuzz->len =
        fuzz_chance(fuzz, 20) ? fuzz_random(fuzz, 2 * SG_PACKET_MAX) : fuzz_random(fuzz, 400);
    fuzz_fill(fuzz, fuzz->packet, fuzz->len);
    if (fuzz->len >= sizeof(head) && fuzz_chance(fuzz, 2)) {
        memcpy(fuzz->packet, &head, sizeof(head));
    }
}

static void fuzz_flip_bits(struct fuzz *fuzz)
{
    /* Half of the time where the head and the first struct are. */
    size_t reach = fuzz_chance(fuzz, 2) && fuzz->len > 120 ? 120 : fuzz->len;
    for (uint32_t num = 1 + fuzz_random(fuzz, 4); num > 0; num--) {
        fuzz->packet[fuzz_random(fuzz, (uint32_t)reach)] ^= (uint8_t)(1u << fuzz_random(fuzz, 8));
    }
}

static void fuzz_change_length(struct fuzz *fuzz)
{
    static const uint32_t lens[] = {0,
                                    1,
                                    sizeof(struct sg_packet_head) - 1,
                                    sizeof(struct sg_packet_head),
                                    SG_PACKET_MAX - 1,
                                    SG_PACKET_MAX,
                                    SG_PACKET_MAX + 1,
                                    SG_PACKET_MAX + 50000};
    if (fuzz_chance(fuzz, 4)) {
        fuzz->len = lens[fuzz_random(fuzz, sizeof(lens) / sizeof(lens[0]))];
    } else if (fuzz_chance(fuzz, 2)) {
        fuzz->len = fuzz_random(fuzz, (uint32_t)fuzz->len + 1);
    } else {
        fuzz->len += 1 + fuzz_random(fuzz, 64);
    }
}

/* What the packet says, by the text of packet.h: how many operations; 0: it is for the keystore; -1: it is
 * none. */
static int fuzz_classify(const struct fuzz *fuzz)
{
    struct sg_packet_head head;
    if (fuzz->len < sizeof(head)) {
        return -1;
    }
    memcpy(&head, fuzz->packet, sizeof(head));
    uint64_t rest = fuzz->len - sizeof(head);
    if (head.kind == SG_PACKET_KEYSTORE && head.num == 1 && head.bytes_len == 0 &&
        head.unused == 0 && rest == sizeof(struct sg_keystore_request)) {
        return 0;
    }
    if (head.kind == SG_PACKET_OPERATIONS && head.num >= 1 &&
        head.num <= SG_PACKET_MAX_OPERATIONS && head.bytes_len <= SG_PACKET_MAX_BYTES &&
        head.unused == 0 &&
        rest == (uint64_t)head.num * sizeof(struct sg_keyholder_request) + head.bytes_len) {
        return (int)head.num;
    }
    return -1;
}

/* The keys are needed later, and nobody wants to wait for an RSA key. */
static void fuzz_tame_operations(struct fuzz *fuzz, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        uint8_t *at = fuzz->packet + sizeof(struct sg_packet_head) + i * sizeof(fuzz->requests[0]);
        struct sg_keyholder_request *request = &fuzz->requests[i];
        memcpy(request, at, sizeof(*request));
        if (request->op == SG_KEYHOLDER_DESTROY &&
            (holder_find(fuzz->run->fixture, request->slot) != NULL ||
             request->slot == fuzz->run->fixture->victim)) {
            request->slot = 0;
        }
        if (request->op == SG_KEYHOLDER_GENERATE && request->rsa_bits >= 1024) {
            request->rsa_bits = 1023;
        }
        memcpy(at, request, sizeof(*request));
    }
    fuzz->bytes_len = fuzz->len - sizeof(struct sg_packet_head) - num * sizeof(fuzz->requests[0]);
    memcpy(fuzz->bytes, fuzz->packet + fuzz->len - fuzz->bytes_len, fuzz->bytes_len);
}

static void fuzz_tame_keystore(struct fuzz *fuzz)
{
    struct sg_keystore_request *request = &fuzz->keystore_request;
    memcpy(request, fuzz->packet + sizeof(struct sg_packet_head), sizeof(*request));
    if (holder_find(fuzz->run->fixture, request->slot) != NULL) {
        request->slot = fuzz->run->fixture->victim; /* or they could be revoked */
    }
    memcpy(fuzz->packet + sizeof(struct sg_packet_head), request, sizeof(*request));
}

static void fuzz_make(struct fuzz *fuzz)
{
    uint32_t kind = fuzz_random(fuzz, 16);
    if (kind < 2) {
        fuzz_make_noise(fuzz);
    } else if (kind < 5) {
        fuzz_make_keystore(fuzz);
    } else {
        fuzz_make_operations(fuzz);
    }
    if (fuzz->len > 0 && fuzz_chance(fuzz, 3)) {
        fuzz_flip_bits(fuzz);
    }
    if (fuzz_chance(fuzz, 8)) {
        fuzz_change_length(fuzz);
    }
}

/* Some with descriptors, which are nothing to it. */
static bool fuzz_send(struct fuzz *fuzz)
{
    int fds[FUZZ_MAX_FDS];
    size_t num_fds = 0;
    int fd = -1;
    if (fuzz_chance(fuzz, 16)) {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        num_fds = fd >= 0 ? 1 + fuzz_random(fuzz, FUZZ_MAX_FDS) : 0;
        for (size_t i = 0; i < num_fds; i++) {
            fds[i] = fd;
        }
    }
    bool sent = keyholder_peer_send(fuzz->run->channel, fuzz->packet, fuzz->len, fds, num_fds);
    if (fd >= 0) {
        (void)close(fd);
    }
    return sent;
}

/* ---- Answers ---- */

static const uint8_t *fuzz_data(const struct fuzz *fuzz, const struct sg_keyholder_request *request)
{
    return (const uint8_t *)fuzz->bytes + request->data_off;
}

static bool fuzz_is_within(const struct fuzz *fuzz, const struct sg_keyholder_request *request)
{
    return (uint64_t)request->data_off + request->data_len <= fuzz->bytes_len;
}

static void fuzz_judge_sign(struct fuzz *fuzz, const struct sg_keyholder_request *request,
                            const struct sg_keyholder_reply *reply)
{
    const struct holder_key *key = holder_find(fuzz->run->fixture, request->slot);
    fuzz->run->num_signed++;
    if (key == NULL) {
        /* A key that is told nowhere: its MAC is not known, but its header is. */
        const struct holder_key victim = {.alg = SG_ALG_HS256};
        if (request->slot != fuzz->run->fixture->victim ||
            !holder_may_sign(&victim, fuzz_data(fuzz, request), request->data_len)) {
            fuzz_fault(fuzz, "it signs with slot %llx", (unsigned long long)request->slot);
        }
    } else if (!holder_may_sign(key, fuzz_data(fuzz, request), request->data_len)) {
        fuzz_fault(fuzz, "%s signs what is no signing input: %.*s", sg_alg_info(key->alg)->jws_name,
                   (int)request->data_len, fuzz_data(fuzz, request));
    } else if (!holder_is_signature(key, fuzz_data(fuzz, request), request->data_len, reply->data,
                                    reply->data_len)) {
        fuzz_fault(fuzz, "%s signs something else than it was given",
                   sg_alg_info(key->alg)->jws_name);
    }
}

static void fuzz_judge_check(struct fuzz *fuzz, const struct sg_keyholder_request *request,
                             const struct sg_keyholder_reply *reply)
{
    uint8_t mac[64];
    const struct holder_key *key = holder_find(fuzz->run->fixture, request->slot);
    bool equal =
        key != NULL &&
        holder_mac(key, fuzz_data(fuzz, request), request->data_len, mac) == request->mac_len &&
        memcmp(mac, request->mac, request->mac_len) == 0;
    fuzz->run->num_checked++;
    fuzz->run->num_equal += equal ? 1 : 0;
    if (reply->verdict != (equal ? (uint32_t)SG_KEYHOLDER_MAC_EQUAL : SG_KEYHOLDER_MAC_DIFFERS)) {
        fuzz_fault(fuzz, "a MAC that is %s is said to be %x", equal ? "right" : "wrong",
                   reply->verdict);
    }
}

static bool fuzz_makes_key(uint32_t op)
{
    return op == SG_KEYHOLDER_GENERATE || op == SG_KEYHOLDER_IMPORT ||
           op == SG_KEYHOLDER_IMPORT_SEALED;
}

static bool fuzz_gives_data(uint32_t op)
{
    return op == SG_KEYHOLDER_SIGN || op == SG_KEYHOLDER_PUBLIC || op == SG_KEYHOLDER_SEALING_KEY;
}

/* What every reply owes, whatever was asked. */
static void fuzz_judge_reply(struct fuzz *fuzz, const struct sg_keyholder_request *request,
                             const struct sg_keyholder_reply *reply)
{
    bool done = reply->status == SIGNET_OK;
    fuzz->run->num_done += done ? 1 : 0;
    if (done && !fuzz_is_within(fuzz, request)) {
        fuzz_fault(fuzz, "operation %u takes data from outside of the bytes", request->op);
    } else if (done && (request->op == 0 || request->op > SG_KEYHOLDER_IMPORT_SEALED)) {
        fuzz_fault(fuzz, "there is an operation %u", request->op);
    } else if ((reply->verdict != 0) != (done && request->op == SG_KEYHOLDER_MAC_CHECK) ||
               (reply->slot != 0) != (done && fuzz_makes_key(request->op)) ||
               (reply->data_len != 0) != (done && fuzz_gives_data(request->op))) {
        fuzz_fault(fuzz, "operation %u, status %u: verdict %x, slot %llx, %u bytes", request->op,
                   reply->status, reply->verdict, (unsigned long long)reply->slot, reply->data_len);
    } else if (done && request->op == SG_KEYHOLDER_SIGN) {
        fuzz_judge_sign(fuzz, request, reply);
    } else if (done && request->op == SG_KEYHOLDER_MAC_CHECK) {
        fuzz_judge_check(fuzz, request, reply);
    }
}

static void fuzz_destroy(struct fuzz *fuzz, uint64_t slot)
{
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_DESTROY, .slot = slot};
    struct sg_keyholder_reply reply;
    /* A packet on another channel may have hit upon its number, and destroyed it already. */
    if (!keyholder_peer_call(fuzz->run->channel, &request, 1, NULL, 0, &reply) ||
        (reply.status != SIGNET_OK && reply.status != SIGNET_NOT_FOUND)) {
        fuzz_fault(fuzz, "a key that was made cannot be destroyed: %llx", (unsigned long long)slot);
    }
}

static void fuzz_judge_operations(struct fuzz *fuzz, size_t len, size_t num)
{
    if (!keyholder_peer_read(fuzz->answer, len, num, fuzz->replies)) {
        fuzz_fault(fuzz, "%zu bytes are no answer to %zu operations", len, num);
        return;
    }
    fuzz->run->num_operations += (unsigned)num;
    for (size_t i = 0; i < num; i++) {
        fuzz_judge_reply(fuzz, &fuzz->requests[i], &fuzz->replies[i]);
        if (fuzz->replies[i].slot != 0) {
            fuzz_destroy(fuzz, fuzz->replies[i].slot);
        }
    }
}

static void fuzz_judge_keystore(struct fuzz *fuzz, size_t len)
{
    if (!keyholder_peer_read_keystore(fuzz->answer, len, &fuzz->keystore_reply)) {
        fuzz_fault(fuzz, "%zu bytes are no answer to operation %u of the keystore", len,
                   fuzz->keystore_request.op);
        return;
    }
    fuzz->run->num_keystore++;
    if (fuzz->keystore_reply.slot != 0) {
        fuzz_destroy(fuzz, fuzz->keystore_reply.slot);
    }
}

static void fuzz_judge(struct fuzz *fuzz, int what)
{
    ssize_t len = keyholder_peer_receive(fuzz->run->channel, fuzz->answer, sizeof(fuzz->answer));
    if (len <= 0 || len > (ssize_t)sizeof(fuzz->answer)) {
        fuzz_fault(fuzz, "%s, after a packet of %zu bytes",
                   len == 0 ? "it hangs up" : "there is no answer", fuzz->len);
        return;
    }
    if (holder_tells(fuzz->run->fixture, fuzz->answer, (size_t)len)) {
        fuzz_fault(fuzz, "an answer holds something private");
    }
    if (what > 0) {
        fuzz_judge_operations(fuzz, (size_t)len, (size_t)what);
    } else if (what == 0) {
        fuzz_judge_keystore(fuzz, (size_t)len);
    } else if (keyholder_peer_is_refusal(fuzz->answer, (size_t)len)) {
        fuzz->run->num_refused++;
    } else {
        fuzz_fault(fuzz, "what is no packet is not refused: %zu bytes, kind %08x", fuzz->len,
                   ((const struct sg_packet_head *)(const void *)fuzz->packet)->kind);
    }
}

void holder_fuzz_run(struct holder_fuzz *run)
{
    struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
    if (fuzz == NULL) {
        (void)snprintf(run->fault, sizeof(run->fault), "no memory");
        return;
    }
    fuzz->run = run;
    fuzz->random = run->seed;
    for (unsigned i = 0; i < run->num_packets && run->fault[0] == '\0'; i++) {
        fuzz_make(fuzz);
        int what = fuzz_classify(fuzz);
        if (what > 0) {
            fuzz_tame_operations(fuzz, (size_t)what);
        } else if (what == 0) {
            fuzz_tame_keystore(fuzz);
        }
        if (!fuzz_send(fuzz)) {
            fuzz_fault(fuzz, "packet %u is not taken", i);
        } else {
            fuzz_judge(fuzz, what);
        }
    }
    free(fuzz);
}
