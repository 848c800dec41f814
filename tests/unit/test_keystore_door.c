/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that live, through the keyholder's doors: every algorithm survives a restart, what was revoked or
 * imported to verify only signs no more, and no request can make it do otherwise.
 */
#include "keystore_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/seal/seal.h"
#include "server/keyholder/keyholder.h"
#include "server/keyholder/secret.h"
#include "tests/support/files.h"

struct door_fixture {
    struct store_fixture *base;
    struct sg_keyholder *keyholder;
    struct sg_keystore_request request;
    struct sg_keystore_reply reply;
};

/* ---- Asking ---- */

/* Does the operation with fixture->request, which is cleared after. */
static signet_status ask(struct door_fixture *fixture, uint32_t op)
{
    fixture->request.op = op;
    memset(&fixture->reply, 0xee, sizeof(fixture->reply));
    assert_int_equal(sg_keyholder_keystore(fixture->keyholder, &fixture->request, &fixture->reply),
                     SIGNET_OK);
    memset(&fixture->request, 0, sizeof(fixture->request));
    assert_non_null(memchr(fixture->reply.message, '\0', sizeof(fixture->reply.message)));
    assert_true((fixture->reply.status == SIGNET_OK) == (fixture->reply.message[0] == '\0'));
    return (signet_status)fixture->reply.status;
}

static void must(struct door_fixture *fixture, uint32_t op)
{
    if (ask(fixture, op) != SIGNET_OK) {
        fail_msg("%s", fixture->reply.message);
    }
}

static void name_place(struct door_fixture *fixture)
{
    struct sg_keystore_request *request = &fixture->request;
    (void)snprintf(request->dir, sizeof(request->dir), "%s", fixture->base->state);
    (void)snprintf(request->source, sizeof(request->source), "%s", fixture->base->source[0]);
    request->passphrase_fd = -1;
}

static void name_key(struct door_fixture *fixture, const char *keyset, const char *kid)
{
    fixture->request.record = store_record(keyset, kid);
    fixture->request.record.flags = 0;
}

/* A new process: nothing of the keyholder is left but the files. */
static void restart(struct door_fixture *fixture)
{
    sg_keyholder_free(fixture->keyholder);
    fixture->keyholder = NULL;
    assert_int_equal(sg_keyholder_new(1, &fixture->keyholder), SIGNET_OK);
    name_place(fixture);
    must(fixture, SG_KEYSTORE_OPEN);
}

static int door_setup(void **state)
{
    struct door_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    void *base = NULL;
    (void)store_setup(&base);
    fixture->base = base;
    restart(fixture);
    *state = fixture;
    return 0;
}

static int door_teardown(void **state)
{
    struct door_fixture *fixture = *state;
    void *base = fixture->base;
    sg_keyholder_free(fixture->keyholder);
    (void)store_teardown(&base);
    free(fixture);
    return 0;
}

static struct sg_keyholder_reply call(const struct door_fixture *fixture,
                                      struct sg_keyholder_request request, const void *bytes,
                                      size_t len)
{
    struct sg_keyholder_reply reply;
    request.data_len = (uint32_t)len;
    assert_int_equal(sg_keyholder_call(fixture->keyholder, &request, 1, bytes, len, &reply),
                     SIGNET_OK);
    return reply;
}

static uint64_t generate(const struct door_fixture *fixture, enum sg_alg alg)
{
    const struct sg_keyholder_reply reply = call(
        fixture,
        (struct sg_keyholder_request){.op = SG_KEYHOLDER_GENERATE, .alg = alg, .rsa_bits = 2048},
        NULL, 0);
    assert_int_equal(reply.status, SIGNET_OK);
    return reply.slot;
}

static struct sg_keyholder_reply sign(const struct door_fixture *fixture, enum sg_alg alg,
                                      uint64_t slot)
{
    char header[128];
    char input[512];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}",
                   sg_alg_info(alg)->jws_name);
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), input);
    len += (size_t)snprintf(input + len, sizeof(input) - len, ".eyJzdWIiOiJhbGljZSJ9");
    return call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_SIGN, .slot = slot},
                input, len);
}

static struct sg_keyholder_reply mac_check(const struct door_fixture *fixture, uint64_t slot)
{
    return call(fixture,
                (struct sg_keyholder_request){
                    .op = SG_KEYHOLDER_MAC_CHECK, .slot = slot, .mac_len = 32, .mac = {1}},
                "data", 4);
}

static struct sg_keyholder_reply public_of(const struct door_fixture *fixture, uint64_t slot)
{
    return call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_PUBLIC, .slot = slot},
                NULL, 0);
}

/* Fills fixture->request for ADD of the key in the slot. */
static void describe(struct door_fixture *fixture, const char *keyset, const char *kid,
                     enum sg_alg alg, uint64_t slot)
{
    struct sg_key_record *record = &fixture->request.record;
    name_key(fixture, keyset, kid);
    record->alg = alg;
    if (sg_alg_info(alg)->family != SG_FAMILY_HMAC) {
        const struct sg_keyholder_reply public = public_of(fixture, slot);
        assert_int_equal(public.status, SIGNET_OK);
        record->public_len = public.data_len;
        memcpy(record->public_key, public.data, public.data_len);
    }
    fixture->request.slot = slot;
}

static uint64_t add(struct door_fixture *fixture, const char *keyset, const char *kid,
                    enum sg_alg alg)
{
    uint64_t slot = generate(fixture, alg);
    describe(fixture, keyset, kid, alg, slot);
    must(fixture, SG_KEYSTORE_ADD);
    return slot;
}

static uint64_t load(struct door_fixture *fixture, const char *keyset, const char *kid)
{
    name_key(fixture, keyset, kid);
    must(fixture, SG_KEYSTORE_LOAD);
    assert_int_not_equal(fixture->reply.slot, 0);
    return fixture->reply.slot;
}

static void revoke_key(struct door_fixture *fixture, const char *keyset, const char *kid)
{
    name_key(fixture, keyset, kid);
    fixture->request.record.revoked_at = 1700002000;
    must(fixture, SG_KEYSTORE_UPDATE);
}

/* ---- Keys ---- */

static bool is_repeatable(enum sg_alg alg)
{
    enum sg_alg_family family = sg_alg_info(alg)->family;
    return family != SG_FAMILY_ECDSA && family != SG_FAMILY_RSA_PSS;
}

static void test_keys__of_every_algorithm_live_on(void **state)
{
    struct door_fixture *fixture = *state;
    struct sg_keyholder_reply signatures[SG_ALG_COUNT];
    struct sg_keyholder_reply publics[SG_ALG_COUNT];
    for (enum sg_alg alg = SG_ALG_HS256; alg < SG_ALG_COUNT; alg++) {
        uint64_t slot = add(fixture, "all", sg_alg_info(alg)->config_name, alg);
        assert_int_equal(fixture->reply.entry.record.seq, alg);
        signatures[alg] = sign(fixture, alg, slot);
        publics[alg] = public_of(fixture, slot);
        assert_int_equal(signatures[alg].status, SIGNET_OK);
    }
    restart(fixture);
    assert_int_equal(fixture->reply.num_entries, SG_ALG_COUNT - 1);
    for (enum sg_alg alg = SG_ALG_HS256; alg < SG_ALG_COUNT; alg++) {
        fixture->request.index = alg - 1;
        must(fixture, SG_KEYSTORE_READ);
        const struct sg_key_record *record = &fixture->reply.entry.record;
        assert_int_equal(record->alg, alg);
        assert_int_equal(record->public_len, publics[alg].data_len);
        assert_memory_equal(record->public_key, publics[alg].data, publics[alg].data_len);

        uint64_t slot = load(fixture, "all", sg_alg_info(alg)->config_name);
        const struct sg_keyholder_reply public = public_of(fixture, slot);
        const struct sg_keyholder_reply again = sign(fixture, alg, slot);
        assert_int_equal(public.status, publics[alg].status);
        assert_memory_equal(public.data, publics[alg].data, sizeof(public.data));
        assert_int_equal(again.status, SIGNET_OK);
        assert_int_equal(again.data_len, signatures[alg].data_len);
        if (is_repeatable(alg)) {
            assert_memory_equal(again.data, signatures[alg].data, again.data_len);
        }
    }
    fixture->request.index = SG_ALG_COUNT - 1;
    assert_int_equal(ask(fixture, SG_KEYSTORE_READ), SIGNET_NOT_FOUND);
}

static void test_load__finds_the_key_of_its_keyset(void **state)
{
    struct door_fixture *fixture = *state;
    uint64_t web = add(fixture, "web", "same", SG_ALG_HS256);
    uint64_t api = add(fixture, "api", "same", SG_ALG_HS256);
    const struct sg_keyholder_reply by_web = sign(fixture, SG_ALG_HS256, web);
    const struct sg_keyholder_reply by_api = sign(fixture, SG_ALG_HS256, api);
    assert_memory_not_equal(by_web.data, by_api.data, 32);
    restart(fixture);
    uint64_t slot = load(fixture, "web", "same");
    uint64_t other = load(fixture, "web", "same");
    assert_int_not_equal(slot, other);
    assert_memory_equal(sign(fixture, SG_ALG_HS256, slot).data, by_web.data, 32);
    slot = load(fixture, "api", "same");
    assert_memory_equal(sign(fixture, SG_ALG_HS256, slot).data, by_api.data, 32);
    name_key(fixture, "web", "other");
    assert_int_equal(ask(fixture, SG_KEYSTORE_LOAD), SIGNET_NOT_FOUND);
    name_key(fixture, "none", "same");
    assert_int_equal(ask(fixture, SG_KEYSTORE_LOAD), SIGNET_NOT_FOUND);
}

static void test_load__notices_a_file_that_has_changed_since_the_start(void **state)
{
    struct door_fixture *fixture = *state;
    size_t len = 0;
    (void)add(fixture, "web", "one", SG_ALG_ED25519);
    uint8_t *bytes = store_read(fixture->base, "web.1.key", &len);
    bytes[len - 1] ^= 1;
    store_write(fixture->base, "web.1.key", bytes, len);
    name_key(fixture, "web", "one");
    assert_int_equal(ask(fixture, SG_KEYSTORE_LOAD), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->reply.message, "web.1.key"));
    free(bytes);
}

static void test_add__takes_only_the_record_of_its_slot(void **state)
{
    struct door_fixture *fixture = *state;
    uint64_t slot = generate(fixture, SG_ALG_ES256);
    uint64_t other = generate(fixture, SG_ALG_ES256);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    fixture->request.slot = other;
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_INVALID_ARGUMENT);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    fixture->request.record.alg = SG_ALG_ES384;
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_INVALID_ARGUMENT);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    fixture->request.record.public_len = 0;
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_INVALID_ARGUMENT);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    fixture->request.slot = 12345;
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_NOT_FOUND);
    assert_false(store_is_file(fixture->base, "web.1.key"));
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    must(fixture, SG_KEYSTORE_ADD);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_ALREADY_EXISTS);
    /* Under two names, revoking one would leave the other. */
    describe(fixture, "api", "one", SG_ALG_ES256, slot);
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_FAILED_PRECONDITION);
    assert_false(store_is_file(fixture->base, "api.1.key"));
}

/* ---- What may no longer sign ---- */

static void test_revoked__signs_no_more_in_any_slot(void **state)
{
    struct door_fixture *fixture = *state;
    uint64_t slots[3];
    slots[0] = add(fixture, "web", "one", SG_ALG_HS256);
    slots[1] = load(fixture, "web", "one");
    slots[2] = load(fixture, "web", "one");
    uint64_t other_kid = add(fixture, "web", "one2", SG_ALG_HS256);
    uint64_t other_keyset = add(fixture, "api", "one", SG_ALG_HS256);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sign(fixture, SG_ALG_HS256, slots[i]).status, SIGNET_OK);
        assert_int_equal(mac_check(fixture, slots[i]).status, SIGNET_OK);
    }
    revoke_key(fixture, "web", "one");
    for (size_t i = 0; i < 3; i++) {
        const struct sg_keyholder_reply signature = sign(fixture, SG_ALG_HS256, slots[i]);
        const struct sg_keyholder_reply verdict = mac_check(fixture, slots[i]);
        assert_int_equal(signature.status, SIGNET_FAILED_PRECONDITION);
        assert_int_equal(signature.data_len, 0);
        assert_string_equal(signature.message, "the key was revoked");
        assert_int_equal(verdict.status, SIGNET_FAILED_PRECONDITION);
        assert_int_equal(verdict.verdict, 0);
    }
    /* Names that are alike are others. */
    uint64_t alike = add(fixture, "web2", "x", SG_ALG_HS256);
    (void)add(fixture, "web", "/x", SG_ALG_HS256);
    revoke_key(fixture, "web", "/x");
    assert_int_equal(sign(fixture, SG_ALG_HS256, alike).status, SIGNET_OK);
    assert_int_equal(sign(fixture, SG_ALG_HS256, other_kid).status, SIGNET_OK);
    assert_int_equal(sign(fixture, SG_ALG_HS256, other_keyset).status, SIGNET_OK);
    for (size_t round = 0; round < 2; round++) {
        name_key(fixture, "web", "one");
        assert_int_equal(ask(fixture, SG_KEYSTORE_LOAD), SIGNET_FAILED_PRECONDITION);
        assert_int_equal(fixture->reply.slot, 0);
        restart(fixture);
    }
}

static void test_revoked__stays_so_whatever_is_asked(void **state)
{
    struct door_fixture *fixture = *state;
    uint64_t slot = add(fixture, "web", "one", SG_ALG_ES256);
    revoke_key(fixture, "web", "one");
    name_key(fixture, "web", "one"); /* with revoked_at 0 */
    assert_int_equal(ask(fixture, SG_KEYSTORE_UPDATE), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(sign(fixture, SG_ALG_ES256, slot).status, SIGNET_FAILED_PRECONDITION);
    describe(fixture, "web", "one", SG_ALG_ES256, slot);
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_ALREADY_EXISTS);
    describe(fixture, "web", "two", SG_ALG_ES256, slot);
    assert_int_equal(ask(fixture, SG_KEYSTORE_ADD), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(sign(fixture, SG_ALG_ES256, slot).status, SIGNET_FAILED_PRECONDITION);
}

static void test_update__that_fails_leaves_the_key_signing(void **state)
{
    struct door_fixture *fixture = *state;
    char path[256];
    uint64_t slot = add(fixture, "web", "one", SG_ALG_HS256);
    store_path(fixture->base, "web.1.key", path);
    assert_int_equal(unlink(path), 0);
    name_key(fixture, "web", "one");
    fixture->request.record.revoked_at = 5;
    assert_int_not_equal(ask(fixture, SG_KEYSTORE_UPDATE), SIGNET_OK);
    assert_int_equal(sign(fixture, SG_ALG_HS256, slot).status, SIGNET_OK);
}

static void test_verify_only__checks_and_never_signs(void **state)
{
    struct door_fixture *fixture = *state;
    uint64_t slot = generate(fixture, SG_ALG_HS256);
    describe(fixture, "web", "old", SG_ALG_HS256, slot);
    fixture->request.record.flags = SG_KEY_FLAG_IMPORTED | SG_KEY_FLAG_VERIFY_ONLY;
    must(fixture, SG_KEYSTORE_ADD);
    for (size_t round = 0; round < 2; round++) {
        const struct sg_keyholder_reply signature = sign(fixture, SG_ALG_HS256, slot);
        assert_int_equal(signature.status, SIGNET_FAILED_PRECONDITION);
        assert_non_null(strstr(signature.message, "imported to verify only"));
        const struct sg_keyholder_reply verdict = mac_check(fixture, slot);
        assert_int_equal(verdict.status, SIGNET_OK);
        assert_int_equal(verdict.verdict, SG_KEYHOLDER_MAC_DIFFERS);
        restart(fixture);
        slot = load(fixture, "web", "old");
    }
    revoke_key(fixture, "web", "old");
    assert_int_equal(mac_check(fixture, slot).status, SIGNET_FAILED_PRECONDITION);
}

/* ---- Requests ---- */

static void test_open__is_once_and_needed(void **state)
{
    struct door_fixture *fixture = *state;
    name_place(fixture);
    assert_int_equal(ask(fixture, SG_KEYSTORE_OPEN), SIGNET_FAILED_PRECONDITION);
    struct door_fixture other = {.base = fixture->base};
    assert_int_equal(sg_keyholder_new(1, &other.keyholder), SIGNET_OK);
    for (uint32_t op = SG_KEYSTORE_READ; op <= SG_KEYSTORE_INFO; op++) {
        assert_int_equal(ask(&other, op), SIGNET_FAILED_PRECONDITION);
    }
    /* The first has the lock; two processes would be kept apart alike. */
    name_place(&other);
    assert_int_equal(ask(&other, SG_KEYSTORE_OPEN), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(other.reply.message, "another process"));
    sg_keyholder_free(fixture->keyholder);
    fixture->keyholder = NULL;
    name_place(&other);
    must(&other, SG_KEYSTORE_OPEN);
    sg_keyholder_free(other.keyholder);
}

static void test_info__names_the_place_and_the_source(void **state)
{
    struct door_fixture *fixture = *state;
    char path[256];
    (void)add(fixture, "web", "one", SG_ALG_HS256);
    must(fixture, SG_KEYSTORE_INFO);
    (void)snprintf(path, sizeof(path), "%s/keys", fixture->base->state);
    assert_string_equal(fixture->reply.dir, path);
    assert_string_equal(fixture->reply.source, fixture->base->source[0]);
    assert_int_equal(fixture->reply.num_entries, 1);
    assert_int_equal(fixture->reply.is_rekeying, 0);
}

static void test_request__out_of_bounds_is_refused(void **state)
{
    struct door_fixture *fixture = *state;
    struct sg_keystore_request *request = &fixture->request;
    const struct {
        char *text;
        size_t len;
    } texts[] = {
        {request->dir, sizeof(request->dir)},
        {request->source, sizeof(request->source)},
        {request->new_source, sizeof(request->new_source)},
        {request->record.keyset, sizeof(request->record.keyset)},
        {request->record.kid, sizeof(request->record.kid)},
    };
    for (uint32_t op = SG_KEYSTORE_OPEN; op <= SG_KEYSTORE_INFO; op++) {
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            memset(texts[i].text, 'a', texts[i].len); /* no end */
            assert_int_equal(ask(fixture, op), SIGNET_INVALID_ARGUMENT);
        }
        request->sealed_len = SG_KEYSTORE_MAX_SEALED + 1;
        assert_int_equal(ask(fixture, op), SIGNET_INVALID_ARGUMENT);
        request->record.public_len = SG_KEYSTORE_MAX_PUBLIC + 1;
        assert_int_equal(ask(fixture, op), SIGNET_INVALID_ARGUMENT);
    }
    static const uint32_t ops[] = {0, SG_KEYSTORE_INFO + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        assert_int_equal(ask(fixture, ops[i]), SIGNET_UNIMPLEMENTED);
    }
    assert_int_equal(sg_keyholder_keystore(NULL, request, &fixture->reply),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_keystore(fixture->keyholder, NULL, &fixture->reply),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_keyholder_keystore(fixture->keyholder, request, NULL),
                     SIGNET_INVALID_ARGUMENT);
}

/* ---- What is sealed ---- */

/* Fills fixture->request for REKEY. */
static void seal_kek(struct door_fixture *fixture, uint32_t kind, const char *source,
                     const void *bytes, size_t len)
{
    struct sg_keystore_request *request = &fixture->request;
    const struct sg_keyholder_reply key =
        call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_SEALING_KEY}, NULL, 0);
    assert_int_equal(key.status, SIGNET_OK);
    assert_int_equal(key.data_len, SG_SEAL_KEY_LEN);
    request->new_key_kind = kind;
    request->sealed_len = (uint32_t)(len + SG_SEAL_OVERHEAD);
    (void)snprintf(request->new_source, sizeof(request->new_source), "%s", source);
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_REKEY, bytes, len, request->sealed), SIGNET_OK);
}

static void test_rekey__to_another_file_in_the_same_place(void **state)
{
    struct door_fixture *fixture = *state;
    const struct store_fixture *base = fixture->base;
    uint8_t bytes[SG_KEYSTORE_KEY_LEN];
    memset(bytes, 0x12, sizeof(bytes)); /* those of the second source */
    uint64_t slot = add(fixture, "web", "one", SG_ALG_HS256);
    const struct sg_keyholder_reply before = sign(fixture, SG_ALG_HS256, slot);
    seal_kek(fixture, SG_KEYSTORE_KEY_RAW, base->source[0], bytes, sizeof(bytes));
    must(fixture, SG_KEYSTORE_REKEY);
    assert_int_equal(fixture->reply.num_entries, 1);
    assert_int_equal(fixture->reply.is_rekeying, 1);
    (void)add(fixture, "web", "between", SG_ALG_HS256);
    assert_int_equal(ask(fixture, SG_KEYSTORE_REKEY_FINISH), SIGNET_FAILED_PRECONDITION);
    assert_int_equal(rename(base->kek[1], base->kek[0]), 0);
    must(fixture, SG_KEYSTORE_REKEY_FINISH);
    restart(fixture);
    assert_int_equal(fixture->reply.is_rekeying, 0);
    slot = load(fixture, "web", "one");
    (void)load(fixture, "web", "between");
    assert_memory_equal(sign(fixture, SG_ALG_HS256, slot).data, before.data, 32);
}

static void restart_with_passphrase(struct door_fixture *fixture, const char *text,
                                    signet_status expected)
{
    int ends[2];
    sg_keyholder_free(fixture->keyholder);
    fixture->keyholder = NULL;
    assert_int_equal(sg_keyholder_new(1, &fixture->keyholder), SIGNET_OK);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    (void)close(ends[1]);
    name_place(fixture);
    (void)snprintf(fixture->request.source, sizeof(fixture->request.source), "passphrase:");
    fixture->request.passphrase_fd = ends[0];
    assert_int_equal(ask(fixture, SG_KEYSTORE_OPEN), expected);
    (void)close(ends[0]);
}

static void test_rekey__to_a_passphrase_and_to_another(void **state)
{
    struct door_fixture *fixture = *state;
    static const char one[] = "first passphrase";
    static const char two[] = "second passphrase";
    (void)add(fixture, "web", "one", SG_ALG_HS256);
    seal_kek(fixture, SG_KEYSTORE_KEY_PASSPHRASE, "passphrase:", one, sizeof(one) - 1);
    must(fixture, SG_KEYSTORE_REKEY);
    assert_int_equal(ask(fixture, SG_KEYSTORE_REKEY_FINISH), SIGNET_FAILED_PRECONDITION);
    assert_non_null(strstr(fixture->reply.message, "passphrase:"));
    restart_with_passphrase(fixture, one, SIGNET_OK);
    must(fixture, SG_KEYSTORE_REKEY_FINISH);
    seal_kek(fixture, SG_KEYSTORE_KEY_PASSPHRASE, "passphrase:", two, sizeof(two) - 1);
    must(fixture, SG_KEYSTORE_REKEY);
    /* A crash: started with the old one, nobody has shown to know the new one. */
    restart_with_passphrase(fixture, one, SIGNET_OK);
    assert_int_equal(ask(fixture, SG_KEYSTORE_REKEY_FINISH), SIGNET_FAILED_PRECONDITION);
    restart_with_passphrase(fixture, two, SIGNET_OK);
    must(fixture, SG_KEYSTORE_REKEY_FINISH);
    (void)load(fixture, "web", "one");
    restart_with_passphrase(fixture, one, SIGNET_FAILED_PRECONDITION);
    restart_with_passphrase(fixture, two, SIGNET_OK);
    (void)load(fixture, "web", "one");
}

static void test_rekey__refuses_what_is_no_key(void **state)
{
    struct door_fixture *fixture = *state;
    const char *source = fixture->base->source[1];
    uint8_t bytes[SG_KEK_MAX_PASSPHRASE + 1] = {0};
    const struct {
        uint32_t kind;
        const char *source;
        size_t len;
    } cases[] = {
        {SG_KEYSTORE_KEY_RAW, source, 31},
        {SG_KEYSTORE_KEY_RAW, source, 33},
        {SG_KEYSTORE_KEY_RAW, source, 0},
        {SG_KEYSTORE_KEY_RAW, "passphrase:", 32},
        {SG_KEYSTORE_KEY_RAW, "", 32},
        {SG_KEYSTORE_KEY_PASSPHRASE, source, 32},
        {SG_KEYSTORE_KEY_PASSPHRASE, "passphrase:", 7},
        {SG_KEYSTORE_KEY_PASSPHRASE, "passphrase:", SG_KEK_MAX_PASSPHRASE + 1},
        {0, source, 32},
        {3, source, 32},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        seal_kek(fixture, cases[i].kind, cases[i].source, bytes, cases[i].len);
        assert_int_equal(ask(fixture, SG_KEYSTORE_REKEY), SIGNET_INVALID_ARGUMENT);
    }
    for (size_t at = 0; at < 32 + SG_SEAL_OVERHEAD; at += 8) {
        seal_kek(fixture, SG_KEYSTORE_KEY_RAW, source, bytes, 32);
        fixture->request.sealed[at] ^= 1;
        assert_int_equal(ask(fixture, SG_KEYSTORE_REKEY), SIGNET_INVALID_ARGUMENT);
    }
    must(fixture, SG_KEYSTORE_INFO);
    assert_int_equal(fixture->reply.is_rekeying, 0);
}

static void test_import_sealed__is_an_import(void **state)
{
    struct door_fixture *fixture = *state;
    uint8_t secret[32];
    uint8_t sealed[sizeof(secret) + SG_SEAL_OVERHEAD];
    memset(secret, 0x77, sizeof(secret));
    const struct sg_keyholder_reply key =
        call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_SEALING_KEY}, NULL, 0);
    const struct sg_keyholder_request import = {.op = SG_KEYHOLDER_IMPORT_SEALED,
                                                .alg = SG_ALG_HS256};
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_IMPORT, secret, sizeof(secret), sealed),
                     SIGNET_OK);
    struct sg_keyholder_reply reply = call(fixture, import, sealed, sizeof(sealed));
    assert_int_equal(reply.status, SIGNET_OK);
    const struct sg_keyholder_reply plain =
        call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_IMPORT, .alg = SG_ALG_HS256},
             secret, sizeof(secret));
    assert_memory_equal(sign(fixture, SG_ALG_HS256, reply.slot).data,
                        sign(fixture, SG_ALG_HS256, plain.slot).data, 32);
    /* Judged as any other: this one is too short. */
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_IMPORT, secret, 31, sealed), SIGNET_OK);
    reply = call(fixture, import, sealed, sizeof(sealed) - 1);
    assert_int_equal(reply.status, SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(reply.message, "RFC 7518 section 3.2"));
    /* Sealed for another purpose, cut, changed, or too long. */
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_REKEY, secret, sizeof(secret), sealed),
                     SIGNET_OK);
    assert_int_equal(call(fixture, import, sealed, sizeof(sealed)).status, SIGNET_INVALID_ARGUMENT);
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_IMPORT, secret, sizeof(secret), sealed),
                     SIGNET_OK);
    for (size_t len = 0; len < sizeof(sealed); len++) {
        assert_int_equal(call(fixture, import, sealed, len).status, SIGNET_INVALID_ARGUMENT);
    }
    uint8_t *large = calloc(1, 16384);
    assert_non_null(large);
    assert_int_equal(call(fixture, import, large, 16384).status, SIGNET_INVALID_ARGUMENT);
    free(large);
    /* Each keyholder has a key of its own. */
    restart(fixture);
    assert_int_equal(call(fixture, import, sealed, sizeof(sealed)).status, SIGNET_INVALID_ARGUMENT);
}

/* ---- Memory ---- */

static bool is_in(const void *bytes, unsigned long from, unsigned long to)
{
    return (uintptr_t)bytes >= from && (uintptr_t)bytes < to;
}

/* Where the bytes are in memory that can be written, apart from where secrets may lie. */
static size_t count_copies(const uint8_t *needle, size_t len)
{
    static uint8_t chunk[1u << 20];
    char line[512];
    size_t num = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    void *heap = OPENSSL_secure_malloc(1); /* of OpenSSL's keys */
    assert_non_null(maps);
    assert_non_null(heap);
    assert_true(memory >= 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        char may_write = '-';
        assert_int_equal(sscanf(line, "%lx-%lx r%c", &from, &to, &may_write) >= 2, 1);
        if (may_write != 'w' || is_in(needle, from, to) || is_in(heap, from, to)) {
            continue;
        }
        for (unsigned long at = from; at < to; at += sizeof(chunk) - 64) {
            size_t want = to - at < sizeof(chunk) ? to - at : sizeof(chunk);
            ssize_t got = pread(memory, chunk, want, (off_t)at);
            if (got <= 0) {
                break;
            }
            num += memmem(chunk, (size_t)got, needle, len) != NULL;
            OPENSSL_cleanse(chunk, sizeof(chunk)); /* or it is found here */
        }
    }
    OPENSSL_secure_free(heap);
    (void)fclose(maps);
    (void)close(memory);
    return num;
}

/* The private part of a key of the keystore, by another way than the doors. */
static uint8_t *private_of(struct door_fixture *fixture, const char *kid, size_t *len)
{
    struct sg_keystore *store = store_open(fixture->base, fixture->base->source[0]);
    uint8_t *bytes = NULL;
    size_t index = 0;
    assert_true(sg_keystore_find(store, "web", kid, &index));
    assert_int_equal(sg_keystore_private(store, index, &bytes, len, store_message(fixture->base)),
                     SIGNET_OK);
    sg_keystore_close(store);
    return bytes;
}

static void import_pkcs8(struct door_fixture *fixture, enum sg_alg alg, const uint8_t *der,
                         size_t len)
{
    uint8_t sealed[4096];
    const struct sg_keyholder_reply key =
        call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_SEALING_KEY}, NULL, 0);
    assert_int_equal(sg_seal(key.data, SG_SEAL_FOR_IMPORT, der, len, sealed), SIGNET_OK);
    const struct sg_keyholder_reply reply =
        call(fixture, (struct sg_keyholder_request){.op = SG_KEYHOLDER_IMPORT_SEALED, .alg = alg},
             sealed, len + SG_SEAL_OVERHEAD);
    assert_int_equal(reply.status, SIGNET_OK);
    assert_int_equal(sign(fixture, alg, reply.slot).status, SIGNET_OK);
}

static void test_memory__keeps_no_copy_of_a_private_key(void **state)
{
    struct door_fixture *fixture = *state;
    const struct {
        enum sg_alg alg;
        size_t at; /* where in the private part something stands that is private */
    } cases[] = {
        {SG_ALG_HS256, 0},
        {SG_ALG_ED25519, 16}, /* RFC 8410 section 7 */
        {SG_ALG_ES256, 36},   /* RFC 5915 */
        {SG_ALG_RS256, 300},  /* in the private exponent: after 256 bytes of modulus */
    };
    if (SG_SANITIZED) {
        print_message("a sanitizer's own memory is too large to be searched\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *kid = sg_alg_info(cases[i].alg)->config_name;
        size_t len = 0;
        uint64_t slot = add(fixture, "web", kid, cases[i].alg);
        assert_int_equal(sign(fixture, cases[i].alg, slot).status, SIGNET_OK);
        restart(fixture);
        slot = load(fixture, "web", kid);
        assert_int_equal(sign(fixture, cases[i].alg, slot).status, SIGNET_OK);
        sg_keyholder_free(fixture->keyholder);
        fixture->keyholder = NULL;
        uint8_t *bytes = private_of(fixture, kid, &len);
        assert_true(len >= cases[i].at + 24);
        restart(fixture);
        if (cases[i].alg !=
            SG_ALG_HS256) { /* OpenSSL keeps HMAC keys in ordinary memory while in use */
            import_pkcs8(fixture, cases[i].alg, bytes, len);
        }
        assert_int_equal(count_copies(bytes + cases[i].at, 24), 0);
        /* And it would be found. */
        uint8_t *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, bytes, len);
        assert_int_equal(count_copies(bytes + cases[i].at, 24), 1);
        OPENSSL_cleanse(copy, len);
        free(copy);
        sg_secret_release(bytes, len);
    }
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, door_setup, door_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOOR_TEST(test_keys__of_every_algorithm_live_on),
        DOOR_TEST(test_load__finds_the_key_of_its_keyset),
        DOOR_TEST(test_load__notices_a_file_that_has_changed_since_the_start),
        DOOR_TEST(test_add__takes_only_the_record_of_its_slot),
        DOOR_TEST(test_revoked__signs_no_more_in_any_slot),
        DOOR_TEST(test_revoked__stays_so_whatever_is_asked),
        DOOR_TEST(test_update__that_fails_leaves_the_key_signing),
        DOOR_TEST(test_verify_only__checks_and_never_signs),
        DOOR_TEST(test_open__is_once_and_needed),
        DOOR_TEST(test_info__names_the_place_and_the_source),
        DOOR_TEST(test_request__out_of_bounds_is_refused),
        DOOR_TEST(test_rekey__to_another_file_in_the_same_place),
        DOOR_TEST(test_rekey__to_a_passphrase_and_to_another),
        DOOR_TEST(test_rekey__refuses_what_is_no_key),
        DOOR_TEST(test_import_sealed__is_an_import),
        DOOR_TEST(test_memory__keeps_no_copy_of_a_private_key),
    };
    return cmocka_run_group_tests_name("keystore_door", tests, NULL, NULL);
}
