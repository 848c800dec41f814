/* SPDX-License-Identifier: Apache-2.0
 *
 * The real signet-keyholder under a front that is hostile: it answers errors, never ends for what a packet
 * says, signs nothing but JWS signing inputs, and tells nothing private. And it ends when the front does.
 */
#include "keyholder_fuzz.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/seal/seal.h"
#include "tests/support/files.h"

#define PROCESS_PATIENCE_MS (SG_SANITIZED ? 120000u : 30000u)
/* One after the other, and of each of several threads. */
#define PROCESS_PACKETS        (SG_SANITIZED ? 4000u : 20000u)
#define PROCESS_THREAD_PACKETS (SG_SANITIZED ? 1500u : 6000u)

static unsigned process_factor = 1; /* of these numbers */

/* ---- Hostile packets ---- */

/* The same again with SIGNET_TEST_SEED. */
static uint64_t process_seed(void)
{
    const char *text = getenv("SIGNET_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    print_message("SIGNET_TEST_SEED=%" PRIu64 "\n", seed);
    return seed * 0x9E3779B97F4A7C15u | 1;
}

static void fuzz_report(const struct holder_fuzz *fuzz)
{
    if (fuzz->fault[0] != '\0') {
        char *log = keyholder_peer_log(&fuzz->fixture->peer);
        print_message("%s\n", log);
        free(log);
        fail_msg("%s", fuzz->fault);
    }
    print_message("%u packets: %u refused, %u for the keystore; %u operations: %u done, %u signed, "
                  "%u MACs checked, %u of them right\n",
                  fuzz->num_packets, fuzz->num_refused, fuzz->num_keystore, fuzz->num_operations,
                  fuzz->num_done, fuzz->num_signed, fuzz->num_checked, fuzz->num_equal);
    /* Or nothing was tested. */
    assert_true(fuzz->num_refused > 0 && fuzz->num_keystore > 0);
    assert_true(fuzz->num_signed > 0 && fuzz->num_equal > 0);
    assert_true(fuzz->num_equal < fuzz->num_checked && fuzz->num_done < fuzz->num_operations);
}

/* Nothing that was asked has spoilt a file: another keyholder reads all of them. */
static void process_check_keystore(struct holder_fixture *fixture)
{
    struct sg_keystore_entry entry;
    struct sg_keystore *store = store_open(fixture->base, fixture->base->source[0]);
    for (size_t i = 0; sg_keystore_entry(store, i, &entry); i++) {
        assert_int_equal(entry.fault, SG_KEYSTORE_FAULT_NONE);
    }
    assert_true(sg_keystore_num(store) >= 1);
    sg_keystore_close(store);
}

static void process_end(struct holder_fixture *fixture)
{
    (void)close(fixture->peer.control);
    fixture->peer.control = -1;
    int status = keyholder_peer_wait(&fixture->peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_hostile_packets__are_answered_and_give_nothing(void **state)
{
    struct holder_fixture *fixture = *state;
    struct holder_fuzz fuzz = {.fixture = fixture,
                               .channel = fixture->peer.channels[0],
                               .seed = process_seed(),
                               .num_packets = PROCESS_PACKETS * process_factor};
    size_t num_fds = keyholder_peer_num_fds(&fixture->peer);
    holder_fuzz_run(&fuzz);
    fuzz_report(&fuzz);
    assert_int_equal(keyholder_peer_num_fds(&fixture->peer), num_fds);
    assert_true(keyholder_peer_is_alive(&fixture->peer));
    holder_check_keys(fixture);
    process_end(fixture);
    process_check_keystore(fixture);
}

static void *fuzz_thread(void *arg)
{
    holder_fuzz_run(arg);
    return NULL;
}

static void test_hostile_packets__on_all_channels_at_once(void **state)
{
    struct holder_fixture *fixture = *state;
    struct holder_fuzz fuzz[HOLDER_NUM_CHANNELS];
    pthread_t threads[HOLDER_NUM_CHANNELS];
    uint64_t seed = process_seed();
    size_t num_fds = keyholder_peer_num_fds(&fixture->peer);
    for (size_t i = 0; i < HOLDER_NUM_CHANNELS; i++) {
        fuzz[i] = (struct holder_fuzz){.fixture = fixture,
                                       .channel = fixture->peer.channels[i],
                                       .seed = seed + 2 * i,
                                       .num_packets = PROCESS_THREAD_PACKETS * process_factor};
        assert_int_equal(pthread_create(&threads[i], NULL, fuzz_thread, &fuzz[i]), 0);
    }
    for (size_t i = 0; i < HOLDER_NUM_CHANNELS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < HOLDER_NUM_CHANNELS; i++) {
        fuzz_report(&fuzz[i]);
    }
    assert_int_equal(keyholder_peer_num_fds(&fixture->peer), num_fds);
    holder_check_keys(fixture);
    process_end(fixture);
    process_check_keystore(fixture);
}

static void test_descriptors__that_come_with_packets_are_closed(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_packet_head answer;
    const struct sg_packet_head nothing = {.kind = SG_PACKET_OPERATIONS};
    size_t num_fds = keyholder_peer_num_fds(&fixture->peer);
    for (int turn = 0; turn < 2; turn++) {
        int ends[2];
        int fds[100];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
            fds[i] = ends[1];
        }
        int to = turn == 0 ? fixture->peer.channels[1] : fixture->peer.control;
        assert_true(keyholder_peer_send(to, &nothing, sizeof(nothing), fds, 100));
        (void)close(ends[1]);
        if (turn == 0) {
            assert_int_equal(keyholder_peer_receive(to, &answer, sizeof(answer)), sizeof(answer));
            assert_int_equal(answer.kind, SG_PACKET_REFUSED);
        }
        /* The pipe ends when nobody has its other end any more. */
        struct pollfd end = {.fd = ends[0], .events = POLLIN};
        assert_int_equal(poll(&end, 1, (int)PROCESS_PATIENCE_MS), 1);
        assert_true((end.revents & POLLHUP) != 0);
        (void)close(ends[0]);
    }
    assert_int_equal(keyholder_peer_num_fds(&fixture->peer), num_fds);
    holder_check_keys(fixture);
}

/* A front that sends and never reads stops nobody but itself. */
static void test_unread_answers__hold_up_their_own_channel_only(void **state)
{
    struct holder_fixture *fixture = *state;
    uint8_t *packet = calloc(1, KEYHOLDER_PEER_MAX_PACKET);
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    assert_non_null(packet);
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        requests[i] =
            (struct sg_keyholder_request){.op = SG_KEYHOLDER_PUBLIC, .slot = fixture->keys[4].slot};
    }
    size_t len = keyholder_peer_pack(requests, SG_PACKET_MAX_OPERATIONS, NULL, 0, packet);
    int stuffed = fixture->peer.channels[1];
    unsigned num = 0;
    bool is_full = false;
    while (!is_full) {
        struct pollfd wait_for = {.fd = stuffed, .events = POLLOUT};
        /* Full for as long as it takes others to be served. */
        if (send(stuffed, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len) {
            num++;
        } else {
            holder_check_keys(fixture);
            is_full = poll(&wait_for, 1, 0) == 0;
        }
    }
    assert_true(num > 1);
    holder_check_keys(fixture);
    free(packet);
    /* It is stuck in the midst of an answer when the front goes. */
    process_end(fixture);
}

/* ---- What it refuses ---- */

static void reveal_with_operation(const struct holder_fixture *fixture, uint32_t op, uint64_t slot)
{
    char input[HOLDER_MAX_INPUT];
    const struct holder_key *key = holder_find(fixture, slot);
    enum sg_alg alg = key != NULL ? key->alg : SG_ALG_HS256;
    size_t len = holder_input(alg, input);
    struct sg_keyholder_request request = {.op = op, .slot = slot, .alg = alg, .rsa_bits = 2048};
    bool is_rsa = sg_alg_info(alg)->family == SG_FAMILY_RSA_PKCS1 ||
                  sg_alg_info(alg)->family == SG_FAMILY_RSA_PSS;
    if (op == SG_KEYHOLDER_DESTROY || (op == SG_KEYHOLDER_GENERATE && is_rsa)) {
        return;
    }
    struct sg_keyholder_reply reply = holder_call(fixture, request, input, len);
    if (op == SG_KEYHOLDER_MAC_CHECK) {
        assert_int_equal(reply.data_len, 0); /* nor the MAC that was expected */
    }
    (void)holder_call(fixture, request, NULL, 0);
    request.mac_len = sizeof(request.mac);
    reply = holder_call(fixture, request, input, len);
    if (op == 0 || op > SG_KEYHOLDER_IMPORT_SEALED) {
        assert_int_equal(reply.status, SIGNET_UNIMPLEMENTED);
    }
}

/* There is no operation for it: every number, on every key. holder_call looks at each answer. */
static void test_private_parts__are_in_no_answer(void **state)
{
    struct holder_fixture *fixture = *state;
    static const uint32_t more[] = {0x100,      0x10001,    0x5347004f, 0x7fffffff,
                                    0x80000001, 0xfffffffe, UINT32_MAX};
    for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
        for (uint32_t op = 0; op < 40; op++) {
            reveal_with_operation(fixture, op, fixture->keys[k].slot);
        }
        for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
            reveal_with_operation(fixture, more[i], fixture->keys[k].slot);
        }
    }
}

static void test_private_parts__are_in_no_answer_of_the_keystore(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_keystore_request request;
    struct sg_keystore_reply reply;
    /* The keys are stored first, so that there is something to be told. */
    for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
        const struct holder_key *key = &fixture->keys[k];
        const struct sg_keyholder_reply public_key = holder_call(
            fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_PUBLIC, .slot = key->slot},
            NULL, 0);
        request = (struct sg_keystore_request){
            .op = SG_KEYSTORE_ADD,
            .slot = key->slot,
            .record = store_record("stored", sg_alg_info(key->alg)->config_name)};
        request.record.alg = key->alg;
        request.record.public_len = public_key.data_len;
        memcpy(request.record.public_key, public_key.data, public_key.data_len);
        assert_int_equal(holder_keystore(fixture, &request, &reply), SIGNET_OK);
    }
    for (uint32_t op = 0; op < 40; op++) {
        for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
            request = (struct sg_keystore_request){
                .op = op,
                .slot = fixture->keys[k].slot,
                .index = (uint32_t)k,
                .record = store_record("stored", sg_alg_info(fixture->keys[k].alg)->config_name)};
            signet_status status = holder_keystore(fixture, &request, &reply);
            assert_true(status == SIGNET_UNIMPLEMENTED || (op >= 1 && op <= SG_KEYSTORE_INFO));
        }
    }
}

static void refuse_to_sign(const struct holder_fixture *fixture, const struct holder_key *key,
                           const void *input, size_t len)
{
    const struct sg_keyholder_reply reply = holder_sign(fixture, key->slot, input, len);
    if (reply.status == SIGNET_OK || reply.data_len != 0) {
        fail_msg("%s signs %.*s", sg_alg_info(key->alg)->jws_name, (int)len, (const char *)input);
    }
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
}

static void test_signing__of_other_headers_is_refused(void **state)
{
    struct holder_fixture *fixture = *state;
    static const char *const forms[] = {
        "{\"alg\":\"%s\",\"alg\":\"%s\"}",
        "{\"alg\":\"%s\",\"al\\u0067\":\"none\"}",
        "{\"kid\":\"k\",\"alg\":\"%s\"}",
        "{\"alg\":\"%s\"",
        "{\"alg\":\"%s\"}}",
        "{\"alg\":\"%s\"}\n",
        "{ \"alg\":\"%s\"}",
        "{\"alg\":\"%s\",\"crit\":[\"b64\"]}",
        "{\"alg\":\"%s\",\"b64\":false}",
        "{\"alg\":\"%s\",\"jwk\":{}}",
        "{\"alg\":\"%s \"}",
        "[{\"alg\":\"%s\"}]",
    };
    char input[HOLDER_MAX_INPUT];
    char header[256];
    for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
        const struct holder_key *key = &fixture->keys[k];
        const char *own = sg_alg_info(key->alg)->jws_name;
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
            /* Their only specifier is %s. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(header, sizeof(header), forms[i], own, own);
#pragma GCC diagnostic pop
            refuse_to_sign(fixture, key, input, holder_input_with_header(header, input));
        }
        for (enum sg_alg alg = SG_ALG_HS256; alg < SG_ALG_COUNT; alg++) {
            if (strcmp(sg_alg_info(alg)->jws_name, own) != 0) {
                refuse_to_sign(fixture, key, input, holder_input(alg, input));
            }
        }
        refuse_to_sign(fixture, key, input, holder_input_with_header("{\"alg\":\"none\"}", input));
    }
    holder_check_keys(fixture);
}

static void test_signing__of_other_bytes_is_refused(void **state)
{
    struct holder_fixture *fixture = *state;
    static const char *const inputs[] = {
        "a",
        ".",
        "..",
        "hash of something, thirty-two by",
        "-----BEGIN CERTIFICATE REQUEST-----",
        "{\"alg\":\"HS256\"}.{}",
        "eyJhbGciOiJIUzI1NiJ9",      /* no payload */
        "eyJhbGciOiJIUzI1NiJ9.",     /* an empty one */
        "eyJhbGciOiJIUzI1NiJ9.e30.", /* a second dot */
        "eyJhbGciOiJIUzI1NiJ9.e30=", /* padding */
        "eyJhbGciOiJIUzI1NiJ9.e3 0", /* white space */
        "eyJhbGciOiJIUzI1NiJ9.e31",  /* bits that no byte has */
        "eyJhbGciOiJIUzI1NiJ9=.e30",
    };
    uint8_t random[64] = {0x30, 0x3e, 0x31}; /* as DER begins */
    for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
        const struct holder_key *key = &fixture->keys[k];
        for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
            refuse_to_sign(fixture, key, inputs[i], strlen(inputs[i]));
        }
        refuse_to_sign(fixture, key, random, sizeof(random));
        refuse_to_sign(fixture, key, NULL, 0);
    }
}

static void test_signing__of_more_than_a_token_is_refused(void **state)
{
    struct holder_fixture *fixture = *state;
    char *input = malloc(SG_PACKET_MAX_BYTES);
    assert_non_null(input);
    for (size_t k = 0; k < HOLDER_NUM_KEYS; k++) {
        const struct holder_key *key = &fixture->keys[k];
        size_t len = holder_input(key->alg, input);
        memset(input + len, 'A', SG_PACKET_MAX_BYTES - len);
        const char *dot = memchr(input, '.', len);
        /* A payload of a whole number of bytes. */
        size_t most = SG_MAX_TOKEN_LEN - (SG_MAX_TOKEN_LEN - (size_t)(dot + 1 - input)) % 4;
        const struct sg_keyholder_reply reply = holder_sign(fixture, key->slot, input, most);
        assert_int_equal(reply.status, SIGNET_OK);
        refuse_to_sign(fixture, key, input, most + 4);
        refuse_to_sign(fixture, key, input, SG_PACKET_MAX_BYTES);
    }
    free(input);
}

/* An answer as large as there can be: a packet full of the longest signatures. */
static void test_signing__as_much_as_a_packet_holds(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply *replies = calloc(SG_PACKET_MAX_OPERATIONS, sizeof(*replies));
    char input[HOLDER_MAX_INPUT];
    size_t len = holder_input(SG_ALG_RS512, input);
    assert_non_null(replies);
    const struct sg_keyholder_reply made =
        holder_call(fixture,
                    (struct sg_keyholder_request){
                        .op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_RS512, .rsa_bits = 4096},
                    NULL, 0);
    assert_int_equal(made.status, SIGNET_OK);
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        requests[i] = (struct sg_keyholder_request){.op = i % 2 == 0 ? SG_KEYHOLDER_SIGN
                                                                     : SG_KEYHOLDER_PUBLIC,
                                                    .slot = made.slot,
                                                    .data_len = (uint32_t)len};
    }
    assert_true(keyholder_peer_call(fixture->peer.channels[0], requests, SG_PACKET_MAX_OPERATIONS,
                                    input, len, replies));
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        assert_int_equal(replies[i].status, SIGNET_OK);
        assert_true(replies[i].data_len >= 512);
    }
    free(replies);
}

static struct sg_keyholder_reply process_check_mac(const struct holder_fixture *fixture,
                                                   uint64_t slot)
{
    return holder_call(
        fixture,
        (struct sg_keyholder_request){.op = SG_KEYHOLDER_MAC_CHECK, .slot = slot, .mac_len = 32},
        "data", 4);
}

static void test_revoked_and_verify_only__keys_do_not_sign(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_keystore_reply reply;
    struct sg_keystore_request request = {.op = SG_KEYSTORE_ADD,
                                          .slot = fixture->keys[0].slot,
                                          .record = store_record("old", "verify-only")};
    char input[HOLDER_MAX_INPUT];
    size_t len = holder_input(SG_ALG_HS256, input);
    request.record.flags = SG_KEY_FLAG_IMPORTED | SG_KEY_FLAG_VERIFY_ONLY;
    request.record.verify_until = 1900000000;
    assert_int_equal(holder_keystore(fixture, &request, &reply), SIGNET_OK);
    struct sg_keyholder_reply signature = holder_sign(fixture, fixture->keys[0].slot, input, len);
    assert_int_equal(signature.status, SIGNET_FAILED_PRECONDITION);
    assert_int_equal(signature.data_len, 0);
    assert_int_equal(process_check_mac(fixture, fixture->keys[0].slot).status, SIGNET_OK);

    assert_int_equal(holder_sign(fixture, fixture->victim, input, len).status, SIGNET_OK);
    request = (struct sg_keystore_request){.op = SG_KEYSTORE_UPDATE,
                                           .record = store_record("fuzz", "victim")};
    request.record.revoked_at = 1800000000;
    assert_int_equal(holder_keystore(fixture, &request, &reply), SIGNET_OK);
    signature = holder_sign(fixture, fixture->victim, input, len);
    assert_int_equal(signature.status, SIGNET_FAILED_PRECONDITION);
    assert_int_equal(signature.data_len, 0);
    assert_int_equal(process_check_mac(fixture, fixture->victim).status,
                     SIGNET_FAILED_PRECONDITION);
    /* And there is no way back. */
    request.record.revoked_at = 0;
    (void)holder_keystore(fixture, &request, &reply);
    request.op = SG_KEYSTORE_LOAD;
    assert_int_equal(holder_keystore(fixture, &request, &reply), SIGNET_FAILED_PRECONDITION);
    signature = holder_sign(fixture, fixture->victim, input, len);
    assert_int_equal(signature.status, SIGNET_FAILED_PRECONDITION);
}

/* ---- The keystore that it was started for, and no other ---- */

static void test_open__of_another_place_is_refused(void **state)
{
    (void)state;
    void *base_state = NULL;
    (void)store_setup(&base_state);
    struct store_fixture *base = base_state;
    struct keyholder_peer peer;
    struct sg_keystore_reply reply;
    const struct {
        const char *dir, *source;
    } places[] = {
        {"/", base->source[0]},         {base->dir, base->source[0]},
        {base->state, base->source[1]}, {base->state, "file:/etc/shadow"},
        {base->state, "passphrase:"},   {"", ""},
    };
    keyholder_peer_start(&peer, 1, base->state, base->source[0]);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct sg_keystore_request request = {.op = SG_KEYSTORE_OPEN, .passphrase_fd = 0};
        (void)snprintf(request.dir, sizeof(request.dir), "%s", places[i].dir);
        (void)snprintf(request.source, sizeof(request.source), "%s", places[i].source);
        assert_true(keyholder_peer_keystore(peer.channels[0], &request, &reply));
        assert_int_equal(reply.status, SIGNET_PERMISSION_DENIED);
    }
    struct sg_keystore_request request = {.op = SG_KEYSTORE_OPEN, .passphrase_fd = -1};
    (void)snprintf(request.dir, sizeof(request.dir), "%s", base->state);
    (void)snprintf(request.source, sizeof(request.source), "%s", base->source[0]);
    assert_true(keyholder_peer_keystore(peer.channels[0], &request, &reply));
    assert_int_equal(reply.status, SIGNET_OK);
    keyholder_peer_stop(&peer);
    (void)store_teardown(&base_state);
}

static void test_open__without_a_keystore_is_refused(void **state)
{
    (void)state;
    struct keyholder_peer peer;
    struct sg_keystore_reply reply;
    struct sg_keystore_request request = {.op = SG_KEYSTORE_OPEN, .passphrase_fd = -1};
    keyholder_peer_start(&peer, 1, NULL, NULL);
    assert_true(keyholder_peer_keystore(peer.channels[0], &request, &reply));
    assert_int_equal(reply.status, SIGNET_PERMISSION_DENIED);
    request.op = SG_KEYSTORE_INFO;
    assert_true(keyholder_peer_keystore(peer.channels[0], &request, &reply));
    assert_int_equal(reply.status, SIGNET_FAILED_PRECONDITION);
    keyholder_peer_stop(&peer);
}

/* ---- The beginning ---- */

static void test_welcome__says_who_it_is(void **state)
{
    struct holder_fixture *fixture = *state;
    const struct sg_packet_welcome *welcome = &fixture->peer.welcome;
    assert_memory_equal(welcome->magic, SG_PACKET_HELLO, sizeof(welcome->magic));
    assert_int_equal(welcome->version, SG_PACKET_VERSION);
    assert_int_equal(welcome->pid, fixture->peer.pid);
    assert_int_equal(welcome->uid, geteuid());
    assert_int_equal(welcome->message[0], '\0');
    /* Wherever it runs; whether it is another user is not its to say. */
    uint32_t always = SG_PROTECT_UNDUMPABLE | SG_PROTECT_NO_CAPABILITIES;
    assert_int_equal(welcome->protections & (always | SG_PROTECT_OWN_USER), always);
}

/* Sends a hello that must not be followed. */
static void hello_is_refused(const struct sg_packet_hello *hello, size_t len, const int *fds,
                             size_t num_fds)
{
    struct keyholder_peer peer;
    struct sg_packet_welcome welcome;
    keyholder_peer_spawn(&peer, 0);
    assert_true(keyholder_peer_send(peer.control, hello, len, fds, num_fds));
    ssize_t got = keyholder_peer_receive(peer.control, &welcome, sizeof(welcome));
    assert_int_equal(got, sizeof(welcome));
    assert_int_equal(welcome.status, SIGNET_INVALID_ARGUMENT);
    assert_true(welcome.message[0] != '\0');
    assert_int_equal(keyholder_peer_receive(peer.control, &welcome, sizeof(welcome)), 0);
    int status = keyholder_peer_wait(&peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    keyholder_peer_stop(&peer);
}

static void test_hello__that_is_malformed_is_refused(void **state)
{
    (void)state;
    struct keyholder_peer like = {.num_channels = 1};
    struct sg_packet_hello good;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    const int fds[] = {ends[1], ends[1], ends[1]};
    keyholder_peer_hello(&like, NULL, NULL, &good);
    const struct {
        size_t at;
        uint32_t value;
    } cases[] = {
        {0, 0},
        {offsetof(struct sg_packet_hello, version), SG_PACKET_VERSION + 1},
        {offsetof(struct sg_packet_hello, version), 0},
        {offsetof(struct sg_packet_hello, num_channels), 0},
        {offsetof(struct sg_packet_hello, num_channels), 2}, /* more than came */
        {offsetof(struct sg_packet_hello, num_channels), SG_PACKET_MAX_CHANNELS + 1},
        {offsetof(struct sg_packet_hello, num_channels), UINT32_MAX},
        {offsetof(struct sg_packet_hello, has_passphrase_fd), 1}, /* which did not come */
        {offsetof(struct sg_packet_hello, has_passphrase_fd), UINT32_MAX},
        {offsetof(struct sg_packet_hello, has_keystore), 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sg_packet_hello hello = good;
        memcpy((uint8_t *)&hello + cases[i].at, &cases[i].value, sizeof(cases[i].value));
        hello_is_refused(&hello, sizeof(hello), fds, 1);
    }
    struct sg_packet_hello hello = good;
    memset(hello.dir, 'a', sizeof(hello.dir)); /* no end */
    hello_is_refused(&hello, sizeof(hello), fds, 1);
    hello_is_refused(&good, sizeof(good) - 1, fds, 1);
    hello_is_refused(&good, sizeof(good.magic), fds, 1);
    hello_is_refused(&good, 0, fds, 1);
    hello_is_refused(&good, sizeof(good), fds, 0);
    hello_is_refused(&good, sizeof(good), fds, 2);
    hello_is_refused(&good, sizeof(good), fds, 3);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_hello__with_more_descriptors_than_there_may_be_is_refused(void **state)
{
    (void)state;
    struct keyholder_peer like = {.num_channels = SG_PACKET_MAX_CHANNELS};
    struct sg_packet_hello hello;
    int fds[250];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = ends[1];
    }
    keyholder_peer_hello(&like, NULL, NULL, &hello);
    hello_is_refused(&hello, sizeof(hello), fds, SG_PACKET_MAX_CHANNELS - 1);
    hello_is_refused(&hello, sizeof(hello), fds, SG_PACKET_MAX_CHANNELS + 1);
    hello_is_refused(&hello, sizeof(hello), fds, SG_PACKET_MAX_CHANNELS + 2);
    hello_is_refused(&hello, sizeof(hello), fds, 250);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_hello__with_channels_that_are_none_is_refused(void **state)
{
    (void)state;
    struct keyholder_peer like = {.num_channels = 1};
    struct sg_packet_hello hello;
    int stream[2];
    int datagram[2];
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram), 0);
    keyholder_peer_hello(&like, NULL, NULL, &hello);
    hello_is_refused(&hello, sizeof(hello), &file, 1);
    hello_is_refused(&hello, sizeof(hello), &stream[1], 1);
    hello_is_refused(&hello, sizeof(hello), &datagram[1], 1);
    (void)close(file);
    for (size_t i = 0; i < 2; i++) {
        (void)close(stream[i]);
        (void)close(datagram[i]);
    }
}

/* The first hello is the only one: a later one gives no other keystore and no other channels. */
static void test_hello__is_followed_once(void **state)
{
    struct holder_fixture *fixture = *state;
    struct keyholder_peer like = {.num_channels = 1};
    struct sg_packet_hello hello;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    keyholder_peer_hello(&like, "/", "file:/etc/shadow", &hello);
    assert_true(keyholder_peer_send(fixture->peer.control, &hello, sizeof(hello), &ends[1], 1));
    (void)close(ends[1]);
    uint8_t byte = 0;
    /* It has closed what came with it. */
    assert_int_equal(keyholder_peer_receive(ends[0], &byte, sizeof(byte)), 0);
    (void)close(ends[0]);
    /* Other things on the control socket are nothing to it either, an empty packet included. */
    assert_true(keyholder_peer_send(fixture->peer.control, "x", 1, NULL, 0));
    assert_true(keyholder_peer_send(fixture->peer.control, "", 0, NULL, 0));
    assert_true(keyholder_peer_send(fixture->peer.control, &hello, sizeof(hello), NULL, 0));
    holder_check_keys(fixture);
    struct pollfd quiet = {.fd = fixture->peer.control, .events = POLLIN};
    assert_int_equal(poll(&quiet, 1, 0), 0);
}

/* ---- The end ---- */

static void front_dies(struct holder_fixture *fixture, int *fd)
{
    (void)close(*fd);
    *fd = -1;
    int status = keyholder_peer_wait(&fixture->peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_end__of_the_control_socket_ends_it(void **state)
{
    struct holder_fixture *fixture = *state;
    front_dies(fixture, &fixture->peer.control);
}

static void test_end__of_any_channel_ends_it(void **state)
{
    struct holder_fixture *fixture = *state;
    front_dies(fixture, &fixture->peer.channels[HOLDER_NUM_CHANNELS - 1]);
}

/* What is under way would take minutes. */
static void test_end__does_not_wait_for_work(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    uint8_t *packet = calloc(1, KEYHOLDER_PEER_MAX_PACKET);
    assert_non_null(packet);
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        requests[i] = (struct sg_keyholder_request){
            .op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_RS256, .rsa_bits = 8192};
    }
    size_t len = keyholder_peer_pack(requests, SG_PACKET_MAX_OPERATIONS, NULL, 0, packet);
    for (size_t i = 1; i < HOLDER_NUM_CHANNELS; i++) {
        assert_true(keyholder_peer_send(fixture->peer.channels[i], packet, len, NULL, 0));
    }
    free(packet);
    holder_check_keys(fixture); /* quick work goes on meanwhile */
    front_dies(fixture, &fixture->peer.control);
}

static void test_end__before_the_hello_ends_it(void **state)
{
    (void)state;
    struct keyholder_peer peer;
    keyholder_peer_spawn(&peer, 0);
    (void)close(peer.control);
    peer.control = -1;
    int status = keyholder_peer_wait(&peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    keyholder_peer_stop(&peer);
}

/* ---- Bounds ---- */

/* More keys than there is room for: an error, and what was there goes on. */
static void test_slots__run_out_with_an_error(void **state)
{
    struct holder_fixture *fixture = *state;
    struct sg_keyholder_request requests[SG_PACKET_MAX_OPERATIONS];
    struct sg_keyholder_reply *replies = calloc(SG_PACKET_MAX_OPERATIONS, sizeof(*replies));
    uint64_t *slots = calloc(SG_KEYHOLDER_MAX_SLOTS + SG_PACKET_MAX_OPERATIONS, sizeof(*slots));
    size_t num = 0;
    bool is_full = false;
    assert_non_null(replies);
    assert_non_null(slots);
    for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
        requests[i] =
            (struct sg_keyholder_request){.op = SG_KEYHOLDER_GENERATE, .alg = SG_ALG_HS256};
    }
    while (!is_full) {
        assert_true(num <= SG_KEYHOLDER_MAX_SLOTS);
        assert_true(keyholder_peer_call(fixture->peer.channels[0], requests,
                                        SG_PACKET_MAX_OPERATIONS, NULL, 0, replies));
        for (size_t i = 0; i < SG_PACKET_MAX_OPERATIONS; i++) {
            if (replies[i].status == SIGNET_OK) {
                slots[num++] = replies[i].slot;
            } else {
                assert_int_equal(replies[i].status, SIGNET_RESOURCE_EXHAUSTED);
                is_full = true;
            }
        }
    }
    print_message("full after %zu secrets\n", num);
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(
            holder_call(fixture,
                        (struct sg_keyholder_request){.op = SG_KEYHOLDER_DESTROY, .slot = slots[i]},
                        NULL, 0)
                .status,
            SIGNET_OK);
    }
    holder_check_keys(fixture);
    free(slots);
    free(replies);
}

/* ---- By hand ---- */

static void process_run(const char *script, struct test_output *output)
{
    char program[512];
    const char *bin_dir = getenv("SIGNET_BIN_DIR");
    (void)snprintf(program, sizeof(program), "%s/signet-keyholder",
                   bin_dir != NULL ? bin_dir : SG_BIN_DIR);
    const char *const argv[] = {"/bin/sh", "-c", script, "sh", program, NULL};
    test_run(argv, NULL, PROCESS_PATIENCE_MS, output);
}

static void test_by_hand__it_says_what_it_is(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "exec \"$1\" 3<&-",
        "exec \"$1\" 3</dev/null",
        "exec \"$1\" 3<&- unexpected",
        "exec \"$1\" 3<&- --unexpected",
    };
    struct test_output output;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        process_run(scripts[i], &output);
        assert_int_equal(output.exit_status, 2);
        assert_non_null(strstr(output.err, "signet-keyholder: "));
        assert_non_null(strstr(output.err, "signetd"));
        assert_int_equal(output.out[0], '\0');
        test_output_free(&output);
    }
    process_run("exec \"$1\" --help 3<&-", &output);
    assert_int_equal(output.exit_status, 0);
    assert_non_null(strstr(output.out, "Usage: signet-keyholder"));
    assert_int_equal(output.err[0], '\0');
    test_output_free(&output);
    process_run("exec \"$1\" --version 3<&-", &output);
    assert_int_equal(output.exit_status, 0);
    assert_ptr_equal(strstr(output.out, "signet-keyholder "), output.out);
    test_output_free(&output);
}

static void test_by_hand__another_socket_is_refused(void **state)
{
    (void)state;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct keyholder_peer peer;
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, ends), 0);
        keyholder_peer_spawn_on(&peer, ends[1]);
        int status = keyholder_peer_wait(&peer);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 2);
        char *log = keyholder_peer_log(&peer);
        assert_non_null(strstr(log, "signet-keyholder: descriptor 3"));
        free(log);
        keyholder_peer_stop(&peer);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

#define HOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, holder_setup, holder_teardown)

/* The argument multiplies the number of hostile packets. */
int main(int argc, char **argv)
{
    if (argc > 1) {
        process_factor = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        HOLDER_TEST(test_hostile_packets__are_answered_and_give_nothing),
        HOLDER_TEST(test_hostile_packets__on_all_channels_at_once),
        HOLDER_TEST(test_descriptors__that_come_with_packets_are_closed),
        HOLDER_TEST(test_unread_answers__hold_up_their_own_channel_only),
        HOLDER_TEST(test_private_parts__are_in_no_answer),
        HOLDER_TEST(test_private_parts__are_in_no_answer_of_the_keystore),
        HOLDER_TEST(test_signing__of_other_headers_is_refused),
        HOLDER_TEST(test_signing__of_other_bytes_is_refused),
        HOLDER_TEST(test_signing__of_more_than_a_token_is_refused),
        HOLDER_TEST(test_signing__as_much_as_a_packet_holds),
        HOLDER_TEST(test_revoked_and_verify_only__keys_do_not_sign),
        cmocka_unit_test(test_open__of_another_place_is_refused),
        cmocka_unit_test(test_open__without_a_keystore_is_refused),
        HOLDER_TEST(test_welcome__says_who_it_is),
        cmocka_unit_test(test_hello__that_is_malformed_is_refused),
        cmocka_unit_test(test_hello__with_more_descriptors_than_there_may_be_is_refused),
        cmocka_unit_test(test_hello__with_channels_that_are_none_is_refused),
        HOLDER_TEST(test_hello__is_followed_once),
        HOLDER_TEST(test_end__of_the_control_socket_ends_it),
        HOLDER_TEST(test_end__of_any_channel_ends_it),
        HOLDER_TEST(test_end__does_not_wait_for_work),
        cmocka_unit_test(test_end__before_the_hello_ends_it),
        HOLDER_TEST(test_slots__run_out_with_an_error),
        cmocka_unit_test(test_by_hand__it_says_what_it_is),
        cmocka_unit_test(test_by_hand__another_socket_is_refused),
    };
    return cmocka_run_group_tests_name("keyholder_process", tests, NULL, NULL);
}
