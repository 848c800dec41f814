/* SPDX-License-Identifier: Apache-2.0
 *
 * KeyService as operators call it, on keys that live in memory: what each call does, and that one that
 * is refused says why and changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base64url.h"
#include "common/rpc.h"
#include "common/seal/seal.h"
#include "server/config.h"
#include "server/keyholder/keyholder.h"
#include "server/keymaster.h"
#include "service_fixture.h"
#include "signet/v1/key.pb-c.h"
#include "tests/support/grant_all.h"

#define ADMIN_ISSUER "https://login.example"
#define ADMIN_LEAD   600

static char text_es[] = "es";
static char text_hs[] = "hs";
static char text_hs2[] = "hs2";

static atomic_int_least64_t admin_clock;

static int64_t admin_read_wall_s(void)
{
    return atomic_load(&admin_clock);
}

/* ---- Set-up ---- */

struct admin {
    struct fixture base; /* its keyring stays NULL: there is another after every change */
    struct sg_config config;
    struct sg_config_keyset keysets[3];
};

static void admin_go(struct admin *admin, int64_t now)
{
    atomic_store(&admin_clock, now);
    admin->base.now.wall_s = now;
    sg_keymaster_tick(admin->base.keymaster);
}

static struct sg_config_keyset admin_keyset(char *name, enum sg_alg alg)
{
    static char issuer[] = ADMIN_ISSUER;
    static char typ[] = "JWT";
    return (struct sg_config_keyset){
        .name = name,
        .alg = alg,
        .issuer = issuer,
        .typ = typ,
        .default_ttl_s = 300,
        .max_ttl_s = 1800,
        .rsa_bits = 2048,
        .rotate_every_s = 3600,
        .publish_lead_s = ADMIN_LEAD,
    };
}

static int admin_setup(void **state)
{
    static char ephemeral[] = SG_CONFIG_EPHEMERAL;
    static char none[] = "";
    struct admin *admin = calloc(1, sizeof(*admin));
    char error[256] = "";
    assert_non_null(admin);
    admin->keysets[0] = admin_keyset(text_es, SG_ALG_ES256);
    admin->keysets[1] = admin_keyset(text_hs, SG_ALG_HS256);
    admin->keysets[2] = admin_keyset(text_hs2, SG_ALG_HS256);
    admin->config = (struct sg_config){.state_dir = none,
                                       .trust_dir = none,
                                       .keystore_key = ephemeral,
                                       .keysets = admin->keysets,
                                       .num_keysets = 3,
                                       .grants = grant_all(),
                                       .num_grants = 1};
    atomic_store(&admin_clock, FIXTURE_NOW);
    assert_int_equal(sg_keyholder_new(1, &admin->base.keyholder), SIGNET_OK);
    const struct sg_keymaster_options options = {
        .config = &admin->config,
        .keyholder = admin->base.keyholder,
        .passphrase_fd = -1,
        .read_wall_s = admin_read_wall_s,
    };
    assert_int_equal(sg_keymaster_new(&options, &admin->base.keymaster, error, sizeof(error)),
                     SIGNET_OK);
    admin->base.now = (struct sg_now){.wall_s = FIXTURE_NOW, .mono_ms = 5000000};
    admin->base.peer = (struct sg_peer){.uid = geteuid(), .gid = getegid(), .pid = 4242};
    admin->base.service = (struct sg_service){
        .keyrings = sg_keymaster_keyrings(admin->base.keymaster),
        .keyholder = admin->base.keyholder,
        .keymaster = admin->base.keymaster,
        .is_admin = true,
        .version = "0.0.0-test",
        .ephemeral_keys = true,
    };
    *state = admin;
    return 0;
}

static int admin_teardown(void **state)
{
    struct admin *admin = *state;
    sg_keymaster_free(admin->base.keymaster);
    sg_keyholder_free(admin->base.keyholder);
    free(admin);
    return 0;
}

/* ---- Calls ---- */

static void must_work(const struct fixture_answer *answer)
{
    if (answer->code != 0) {
        fail_msg("%u %s: %s", answer->code, answer->reason, answer->message);
    }
}

static const Signet__V1__ListKeysResponse *list_keys(const struct admin *admin, char *keyset,
                                                     struct fixture_answer *answer)
{
    Signet__V1__ListKeysRequest request = SIGNET__V1__LIST_KEYS_REQUEST__INIT;
    request.keyset = keyset;
    fixture_call(&admin->base, SG_METHOD_LIST_KEYS, &request.base,
                 &signet__v1__list_keys_response__descriptor, answer);
    must_work(answer);
    return (const Signet__V1__ListKeysResponse *)answer->payload;
}

/* All that is listed, encoded, so that two lists can be compared. free() it. */
static uint8_t *list_bytes(const struct admin *admin, size_t *len)
{
    struct fixture_answer answer;
    char all[] = "";
    const Signet__V1__ListKeysResponse *response = list_keys(admin, all, &answer);
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(&response->base) + 1);
    assert_non_null(bytes);
    *len = protobuf_c_message_pack(&response->base, bytes);
    fixture_answer_free(&answer);
    return bytes;
}

/* What is listed must still be this; frees it. */
static void must_be_listed(const struct admin *admin, uint8_t *before, size_t before_len)
{
    size_t len = 0;
    uint8_t *after = list_bytes(admin, &len);
    assert_int_equal(before_len, len);
    assert_memory_equal(before, after, len);
    free(before);
    free(after);
}

/* A call that must fail so, and change nothing. */
static void must_refuse(const struct admin *admin, const char *method,
                        const ProtobufCMessage *request, uint32_t code, const char *reason)
{
    struct fixture_answer answer;
    size_t len = 0;
    uint8_t *before = list_bytes(admin, &len);
    fixture_call(&admin->base, method, request, NULL, &answer);
    if (answer.code != code || strcmp(answer.reason, reason) != 0) {
        fail_msg("%u %s instead of %u %s: %s", answer.code, answer.reason, code, reason,
                 answer.message);
    }
    fixture_answer_free(&answer);
    must_be_listed(admin, before, len);
}

static const Signet__V1__RotateResponse *rotate(const struct admin *admin, char *keyset, bool now,
                                                bool dry_run, struct fixture_answer *answer)
{
    Signet__V1__RotateRequest request = SIGNET__V1__ROTATE_REQUEST__INIT;
    request.keyset = keyset;
    request.now = now;
    request.dry_run = dry_run;
    fixture_call(&admin->base, SG_METHOD_ROTATE, &request.base,
                 &signet__v1__rotate_response__descriptor, answer);
    must_work(answer);
    return (const Signet__V1__RotateResponse *)answer->payload;
}

static const Signet__V1__RevokeKeyResponse *revoke_key(const struct admin *admin, const char *kid,
                                                       char *keyset, struct fixture_answer *answer)
{
    char name[SG_MAX_KID_LEN + 1];
    Signet__V1__RevokeKeyRequest request = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;
    (void)snprintf(name, sizeof(name), "%s", kid);
    request.kid = name;
    request.keyset = keyset;
    fixture_call(&admin->base, SG_METHOD_REVOKE_KEY, &request.base,
                 &signet__v1__revoke_key_response__descriptor, answer);
    must_work(answer);
    return (const Signet__V1__RevokeKeyResponse *)answer->payload;
}

/* The kid that a keyset's next token is signed under. */
static void signing_kid(const struct admin *admin, const char *keyset, char out[SG_MAX_KID_LEN + 1])
{
    struct sg_keyring *keyring = sg_keyring_holder_get(admin->base.service.keyrings);
    const struct sg_key *key =
        sg_keyset_signing_key(sg_keyring_keyset(keyring, keyset), admin->base.now.wall_s);
    assert_non_null(key);
    (void)snprintf(out, SG_MAX_KID_LEN + 1, "%s", key->kid);
    sg_keyring_unref(keyring);
}

/* Whether GetJwks tells of the kid. */
static bool is_published(const struct admin *admin, const char *kid)
{
    char member[SG_MAX_KID_LEN + 16];
    struct fixture_answer answer;
    Signet__V1__GetJwksRequest request = SIGNET__V1__GET_JWKS_REQUEST__INIT;
    fixture_call(&admin->base, SG_METHOD_GET_JWKS, &request.base,
                 &signet__v1__get_jwks_response__descriptor, &answer);
    must_work(&answer);
    (void)snprintf(member, sizeof(member), "\"kid\":\"%s\"", kid);
    bool found = strstr(((const Signet__V1__GetJwksResponse *)answer.payload)->jwks_json, member);
    fixture_answer_free(&answer);
    return found;
}

static void must_be_good(const struct admin *admin, char *token)
{
    struct fixture_verdict verdict = fixture_judge(&admin->base, token);
    if (!verdict.good) {
        fail_msg("code %u, reason %d: %s", verdict.code, (int)verdict.reason, verdict.detail);
    }
}

static void must_be_refused(const struct admin *admin, char *token, signet_reason reason)
{
    struct fixture_verdict verdict = fixture_judge(&admin->base, token);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, 0);
    assert_int_equal((int)verdict.reason, (int)reason);
}

/* ---- ListKeys ---- */

static void test_list_keys__tells_of_all_or_one(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    static const char *const names[] = {"es", "hs", "hs2"};
    static const char *const algs[] = {"ES256", "HS256", "HS256"};
    char all[] = "";
    const Signet__V1__ListKeysResponse *response = list_keys(admin, all, &answer);
    assert_int_equal(response->n_keysets, 3);
    assert_int_equal(response->n_damaged, 0);
    for (size_t i = 0; i < 3; i++) {
        const Signet__V1__ListedKeyset *keyset = response->keysets[i];
        assert_string_equal(keyset->name, names[i]);
        assert_true(keyset->configured);
        assert_int_equal(keyset->rotate_every_s, 3600);
        assert_int_equal(keyset->publish_lead_s, ADMIN_LEAD);
        assert_int_equal(keyset->overlap_s, 0);
        assert_int_equal(keyset->next_key_at, FIXTURE_NOW + 3600 - ADMIN_LEAD);
        assert_int_equal(keyset->n_keys, 1);
        const Signet__V1__Key *key = keyset->keys[0];
        char kid[SG_MAX_KID_LEN + 1];
        signing_kid(admin, names[i], kid);
        assert_string_equal(key->kid, kid);
        assert_string_equal(key->alg, algs[i]);
        assert_int_equal(key->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
        assert_int_equal(key->created_at, FIXTURE_NOW);
        assert_int_equal(key->sign_from, FIXTURE_NOW);
        assert_int_equal(key->sign_until, 0);
        assert_int_equal(key->verify_until, 0);
        assert_int_equal(key->last_expiry, 0);
        assert_true(key->last_expiry_is_exact);
        assert_int_equal(key->revoked_at, 0);
        assert_false(key->imported);
        assert_false(key->verify_only);
        assert_true(key->why[0] != '\0');
    }
    fixture_answer_free(&answer);
    response = list_keys(admin, text_hs2, &answer);
    assert_int_equal(response->n_keysets, 1);
    assert_string_equal(response->keysets[0]->name, "hs2");
    fixture_answer_free(&answer);
}

static void test_list_keys__an_unknown_keyset_is_not_found(void **state)
{
    const struct admin *admin = *state;
    static const char *const names[] = {"h", "hs3", "HS", "es ", "../es", "\xff", "%s%n"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[16];
        Signet__V1__ListKeysRequest list = SIGNET__V1__LIST_KEYS_REQUEST__INIT;
        Signet__V1__RotateRequest request = SIGNET__V1__ROTATE_REQUEST__INIT;
        (void)snprintf(name, sizeof(name), "%s", names[i]);
        list.keyset = name;
        request.keyset = name;
        must_refuse(admin, SG_METHOD_LIST_KEYS, &list.base, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
        must_refuse(admin, SG_METHOD_ROTATE, &request.base, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
        request.now = 1;
        must_refuse(admin, SG_METHOD_ROTATE, &request.base, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
        request.dry_run = 1;
        must_refuse(admin, SG_METHOD_ROTATE, &request.base, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    }
}

static void test_list_keys__tells_of_the_last_token(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    free(fixture_mint(&admin->base, "hs"));
    const Signet__V1__ListKeysResponse *response = list_keys(admin, text_hs, &answer);
    assert_int_equal(response->keysets[0]->keys[0]->last_expiry, FIXTURE_NOW + 300);
    assert_true(response->keysets[0]->keys[0]->last_expiry_is_exact);
    fixture_answer_free(&answer);
}

/* ---- Rotate ---- */

static void test_rotate__makes_a_key_that_is_published_and_waits(void **state)
{
    struct admin *admin = *state;
    struct fixture_answer answer;
    char old[SG_MAX_KID_LEN + 1];
    char new[SG_MAX_KID_LEN + 1];
    char kid[SG_MAX_KID_LEN + 1];
    signing_kid(admin, "es", old);
    char *token = fixture_mint(&admin->base, "es");
    const Signet__V1__RotateResponse *response = rotate(admin, text_es, false, false, &answer);
    assert_int_equal(response->key->state, SIGNET__V1__KEY_STATE__KEY_STATE_NEXT);
    assert_int_equal(response->key->sign_from, FIXTURE_NOW + ADMIN_LEAD);
    assert_string_equal(response->keyset->name, "es");
    assert_int_equal(response->keyset->n_keys, 2);
    assert_string_equal(response->keyset->keys[0]->kid, old);
    assert_int_equal(response->keyset->keys[0]->sign_until, FIXTURE_NOW + ADMIN_LEAD);
    (void)snprintf(new, sizeof(new), "%s", response->key->kid);
    assert_string_not_equal(new, old);
    fixture_answer_free(&answer);
    assert_true(is_published(admin, new));
    signing_kid(admin, "es", kid);
    assert_string_equal(kid, old);
    /* A second one is not made while this one waits. */
    Signet__V1__RotateRequest again = SIGNET__V1__ROTATE_REQUEST__INIT;
    again.keyset = text_es;
    must_refuse(admin, SG_METHOD_ROTATE, &again.base, SIGNET_FAILED_PRECONDITION, "KEY_WAITS");
    again.dry_run = 1;
    must_refuse(admin, SG_METHOD_ROTATE, &again.base, SIGNET_FAILED_PRECONDITION, "KEY_WAITS");
    admin_go(admin, FIXTURE_NOW + ADMIN_LEAD - 1);
    signing_kid(admin, "es", kid);
    assert_string_equal(kid, old);
    admin_go(admin, FIXTURE_NOW + ADMIN_LEAD);
    signing_kid(admin, "es", kid);
    assert_string_equal(kid, new);
    admin_go(admin, FIXTURE_NOW + 299); /* a clock set back; the token lives */
    must_be_good(admin, token);
    free(token);
}

static void test_rotate__at_once_signs_with_the_new_key_or_the_one_that_waits(void **state)
{
    struct admin *admin = *state;
    struct fixture_answer answer;
    char kid[SG_MAX_KID_LEN + 1];
    char waits[SG_MAX_KID_LEN + 1];
    char *tokens[3];
    tokens[0] = fixture_mint(&admin->base, "hs");
    const Signet__V1__RotateResponse *response = rotate(admin, text_hs, true, false, &answer);
    assert_int_equal(response->key->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
    assert_int_equal(response->key->sign_from, FIXTURE_NOW);
    signing_kid(admin, "hs", kid);
    assert_string_equal(response->key->kid, kid);
    fixture_answer_free(&answer);
    tokens[1] = fixture_mint(&admin->base, "hs");
    admin_go(admin, FIXTURE_NOW + 1);
    response = rotate(admin, text_hs, false, false, &answer);
    (void)snprintf(waits, sizeof(waits), "%s", response->key->kid);
    assert_int_equal(response->keyset->n_keys, 3);
    fixture_answer_free(&answer);
    response = rotate(admin, text_hs, true, false, &answer);
    assert_string_equal(response->key->kid, waits);
    assert_int_equal(response->keyset->n_keys, 3); /* no other was made */
    fixture_answer_free(&answer);
    signing_kid(admin, "hs", kid);
    assert_string_equal(kid, waits);
    tokens[2] = fixture_mint(&admin->base, "hs");
    for (size_t i = 0; i < 3; i++) {
        must_be_good(admin, tokens[i]);
        free(tokens[i]);
    }
}

/* It answers with what would be. */
static void test_rotate__dry_run_changes_nothing(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    size_t len = 0;
    uint8_t *before = list_bytes(admin, &len);
    const Signet__V1__RotateResponse *response = rotate(admin, text_es, false, true, &answer);
    assert_string_equal(response->key->kid, "");
    assert_string_equal(response->key->alg, "ES256");
    assert_int_equal(response->key->state, SIGNET__V1__KEY_STATE__KEY_STATE_NEXT);
    assert_int_equal(response->key->sign_from, FIXTURE_NOW + ADMIN_LEAD);
    assert_int_equal(response->keyset->n_keys, 2);
    assert_int_equal(response->keyset->keys[0]->sign_until, FIXTURE_NOW + ADMIN_LEAD);
    fixture_answer_free(&answer);
    response = rotate(admin, text_es, true, true, &answer);
    assert_int_equal(response->key->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
    assert_int_equal(response->key->sign_from, FIXTURE_NOW);
    fixture_answer_free(&answer);
    must_be_listed(admin, before, len);
}

static void test_rotate__dry_run_shows_the_key_that_waits(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    char waits[SG_MAX_KID_LEN + 1];
    size_t len = 0;
    const Signet__V1__RotateResponse *response = rotate(admin, text_es, false, false, &answer);
    (void)snprintf(waits, sizeof(waits), "%s", response->key->kid);
    fixture_answer_free(&answer);
    uint8_t *before = list_bytes(admin, &len);
    response = rotate(admin, text_es, true, true, &answer);
    assert_string_equal(response->key->kid, waits);
    assert_int_equal(response->key->sign_from, FIXTURE_NOW);
    assert_int_equal(response->keyset->n_keys, 2);
    fixture_answer_free(&answer);
    must_be_listed(admin, before, len);
}

/* ---- RevokeKey ---- */

static void test_revoke__ends_a_key_and_another_signs(void **state)
{
    struct admin *admin = *state;
    struct fixture_answer answer;
    static char *const keysets[] = {text_es, text_hs};
    char none[] = "";
    for (size_t i = 0; i < 2; i++) {
        char old[SG_MAX_KID_LEN + 1];
        char kid[SG_MAX_KID_LEN + 1];
        char *token = fixture_mint(&admin->base, keysets[i]);
        signing_kid(admin, keysets[i], old);
        must_be_good(admin, token);
        const Signet__V1__RevokeKeyResponse *response = revoke_key(admin, old, none, &answer);
        assert_string_equal(response->key->kid, old);
        assert_int_equal(response->key->state, SIGNET__V1__KEY_STATE__KEY_STATE_REVOKED);
        assert_int_equal(response->key->revoked_at, FIXTURE_NOW);
        signing_kid(admin, keysets[i], kid);
        assert_string_equal(response->signing_kid, kid);
        assert_string_not_equal(kid, old);
        fixture_answer_free(&answer);
        must_be_refused(admin, token, SIGNET_REASON_KEY_REVOKED);
        assert_false(is_published(admin, old));
        free(token);
        token = fixture_mint(&admin->base, keysets[i]);
        must_be_good(admin, token);
        /* For ever: a second time says when the first was, and the clock brings nothing back. */
        admin_go(admin, FIXTURE_NOW + 5);
        response = revoke_key(admin, old, keysets[i], &answer);
        assert_int_equal(response->key->revoked_at, FIXTURE_NOW);
        assert_string_equal(response->signing_kid, kid);
        fixture_answer_free(&answer);
        admin_go(admin, FIXTURE_NOW - 100);
        signing_kid(admin, keysets[i], kid);
        assert_string_not_equal(kid, old);
        admin_go(admin, FIXTURE_NOW);
        must_be_good(admin, token);
        free(token);
    }
}

static void test_revoke__of_a_key_that_waits_leaves_the_signer(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    char old[SG_MAX_KID_LEN + 1];
    char waits[SG_MAX_KID_LEN + 1];
    signing_kid(admin, "es", old);
    (void)snprintf(waits, sizeof(waits), "%s",
                   rotate(admin, text_es, false, false, &answer)->key->kid);
    fixture_answer_free(&answer);
    const Signet__V1__RevokeKeyResponse *response = revoke_key(admin, waits, text_es, &answer);
    assert_string_equal(response->key->kid, waits);
    assert_string_equal(response->signing_kid, old);
    fixture_answer_free(&answer);
    assert_false(is_published(admin, waits));
}

static void test_revoke__an_unknown_kid_is_not_found(void **state)
{
    const struct admin *admin = *state;
    static const char *const kids[] = {"", "k", "es", "\"", "\xff", "%n", "../es/k"};
    char kid[SG_MAX_KID_LEN + 2];
    char long_kid[1000];
    Signet__V1__RevokeKeyRequest request = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;
    request.kid = kid;
    for (size_t i = 0; i < sizeof(kids) / sizeof(kids[0]); i++) {
        (void)snprintf(kid, sizeof(kid), "%s", kids[i]);
        must_refuse(admin, SG_METHOD_REVOKE_KEY, &request.base, SIGNET_NOT_FOUND, "KEY_UNKNOWN");
    }
    memset(long_kid, 'k', sizeof(long_kid));
    long_kid[sizeof(long_kid) - 1] = '\0';
    request.kid = long_kid;
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &request.base, SIGNET_NOT_FOUND, "KEY_UNKNOWN");
    /* A key of another keyset than the one named, part of one, and one with more after it. */
    request.kid = kid;
    request.keyset = text_hs;
    signing_kid(admin, "es", kid);
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &request.base, SIGNET_NOT_FOUND, "KEY_UNKNOWN");
    request.keyset = text_es;
    size_t len = strlen(kid);
    kid[len - 1] = '\0';
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &request.base, SIGNET_NOT_FOUND, "KEY_UNKNOWN");
    signing_kid(admin, "es", kid);
    kid[len] = 'x';
    kid[len + 1] = '\0';
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &request.base, SIGNET_NOT_FOUND, "KEY_UNKNOWN");
}

/* ---- ImportKey ---- */

/* What is imported, before it is sealed. */
struct import_bytes {
    uint8_t bytes[4096];
    size_t len;
};

static struct import_bytes import_secret(size_t len)
{
    struct import_bytes secret = {.len = len};
    memset(secret.bytes, 0x5c, len);
    return secret;
}

static struct import_bytes import_ec(void)
{
    struct import_bytes out = {.len = 0};
    uint8_t *at = out.bytes;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    assert_non_null(info);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, NULL);
    assert_in_range(len, 1, sizeof(out.bytes));
    out.len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pkey);
    return out;
}

static void get_sealing_key(const struct admin *admin, uint8_t out[SG_SEAL_KEY_LEN])
{
    struct fixture_answer answer;
    Signet__V1__GetSealingKeyRequest request = SIGNET__V1__GET_SEALING_KEY_REQUEST__INIT;
    fixture_call(&admin->base, SG_METHOD_GET_SEALING_KEY, &request.base,
                 &signet__v1__get_sealing_key_response__descriptor, &answer);
    must_work(&answer);
    const Signet__V1__GetSealingKeyResponse *response =
        (const Signet__V1__GetSealingKeyResponse *)answer.payload;
    assert_int_equal(response->public_key.len, SG_SEAL_KEY_LEN);
    memcpy(out, response->public_key.data, SG_SEAL_KEY_LEN);
    fixture_answer_free(&answer);
}

/* A request with a sealed key in it, which is in sealed. */
struct import_request {
    Signet__V1__ImportKeyRequest message;
    uint8_t sealed[4096 + SG_SEAL_OVERHEAD];
};

static void import_init(const struct admin *admin, struct import_request *request, char *keyset,
                        const struct import_bytes *key)
{
    uint8_t public_key[SG_SEAL_KEY_LEN];
    signet__v1__import_key_request__init(&request->message);
    get_sealing_key(admin, public_key);
    assert_int_equal(sg_seal(public_key, SG_SEAL_FOR_IMPORT, key->bytes, key->len, request->sealed),
                     SIGNET_OK);
    request->message.keyset = keyset;
    request->message.sealed.data = request->sealed;
    request->message.sealed.len = key->len + SG_SEAL_OVERHEAD;
}

static const Signet__V1__Key *import(const struct admin *admin,
                                     const struct import_request *request,
                                     struct fixture_answer *answer)
{
    fixture_call(&admin->base, SG_METHOD_IMPORT_KEY, &request->message.base,
                 &signet__v1__import_key_response__descriptor, answer);
    must_work(answer);
    return ((const Signet__V1__ImportKeyResponse *)answer->payload)->key;
}

static void must_not_import(const struct admin *admin, const struct import_request *request,
                            uint32_t code, const char *reason)
{
    must_refuse(admin, SG_METHOD_IMPORT_KEY, &request->message.base, code, reason);
}

/* A token as a service signed it for itself with its shared secret; free() it. */
static char *import_old_token(const struct import_bytes *secret, const char *kid)
{
    static const char payload[] =
        "{\"iss\":\"" ADMIN_ISSUER "\",\"aud\":\"orders\",\"exp\":1800000250}";
    char header[SG_MAX_KID_LEN + 64];
    uint8_t mac[32];
    unsigned mac_len = 0;
    char *token = malloc(1024);
    assert_non_null(token);
    (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%s\"}", kid);
    size_t len = sg_base64url_encode((const uint8_t *)header, strlen(header), token);
    token[len++] = '.';
    len += sg_base64url_encode((const uint8_t *)payload, strlen(payload), token + len);
    assert_non_null(HMAC(EVP_sha256(), secret->bytes, (int)secret->len, (const uint8_t *)token, len,
                         mac, &mac_len));
    token[len++] = '.';
    len += sg_base64url_encode(mac, mac_len, token + len);
    token[len] = '\0';
    return token;
}

/* The way of README: the secret that services share comes in to verify with, we sign with our own. */
static void test_import__a_shared_secret_verifies_and_never_signs(void **state)
{
    struct admin *admin = *state;
    struct import_request request;
    struct fixture_answer answer;
    char kid[] = "shared-2019";
    char signs[SG_MAX_KID_LEN + 1];
    const struct import_bytes secret = import_secret(40);
    char *token = import_old_token(&secret, kid);
    must_be_refused(admin, token, SIGNET_REASON_UNKNOWN_KEY);
    import_init(admin, &request, text_hs, &secret);
    request.message.kid = kid;
    request.message.verify_only = 1;
    request.message.verify_until = FIXTURE_NOW + 200;
    const Signet__V1__Key *key = import(admin, &request, &answer);
    assert_string_equal(key->kid, kid);
    assert_string_equal(key->alg, "HS256");
    assert_int_equal(key->state, SIGNET__V1__KEY_STATE__KEY_STATE_VERIFY_ONLY);
    assert_int_equal(key->verify_until, FIXTURE_NOW + 200);
    assert_int_equal(key->sign_from, 0);
    assert_true(key->imported);
    assert_true(key->verify_only);
    fixture_answer_free(&answer);
    must_be_good(admin, token);
    signing_kid(admin, "hs", signs);
    assert_string_not_equal(signs, kid);
    admin_go(admin, FIXTURE_NOW + 199);
    must_be_good(admin, token);
    admin_go(admin, FIXTURE_NOW + 200);
    must_be_refused(admin, token, SIGNET_REASON_UNKNOWN_KEY);
    free(token);
}

static void test_import__at_once_signs_at_once(void **state)
{
    const struct admin *admin = *state;
    struct import_request request;
    struct fixture_answer answer;
    char kid[SG_MAX_KID_LEN + 1];
    char signs[SG_MAX_KID_LEN + 1];
    const struct import_bytes secret = import_secret(32);
    char *before = fixture_mint(&admin->base, "hs");
    memset(kid, 'k', SG_MAX_KID_LEN); /* the longest that there is */
    kid[SG_MAX_KID_LEN] = '\0';
    import_init(admin, &request, text_hs, &secret);
    request.message.kid = kid;
    request.message.now = 1;
    const Signet__V1__Key *key = import(admin, &request, &answer);
    assert_int_equal(key->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
    assert_true(key->imported);
    assert_false(key->verify_only);
    fixture_answer_free(&answer);
    signing_kid(admin, "hs", signs);
    assert_string_equal(signs, kid);
    char *after = fixture_mint(&admin->base, "hs");
    char *old = import_old_token(&secret, kid);
    must_be_good(admin, before);
    must_be_good(admin, after);
    must_be_good(admin, old);
    free(before);
    free(after);
    free(old);
}

static void test_import__an_asymmetric_key_is_published_and_waits(void **state)
{
    struct admin *admin = *state;
    struct import_request request;
    struct fixture_answer answer;
    char alg[] = "ES256";
    char kid[SG_MAX_KID_LEN + 1];
    char signs[SG_MAX_KID_LEN + 1];
    const struct import_bytes ec = import_ec();
    import_init(admin, &request, text_es, &ec);
    request.message.alg = alg;
    const Signet__V1__Key *key = import(admin, &request, &answer);
    assert_int_equal(strlen(key->kid), 43); /* RFC 7638 */
    assert_int_equal(key->state, SIGNET__V1__KEY_STATE__KEY_STATE_NEXT);
    assert_int_equal(key->sign_from, FIXTURE_NOW + ADMIN_LEAD);
    (void)snprintf(kid, sizeof(kid), "%s", key->kid);
    fixture_answer_free(&answer);
    assert_true(is_published(admin, kid));
    /* The same once more, sealed anew, is there already. */
    import_init(admin, &request, text_es, &ec);
    request.message.verify_only = 1;
    must_not_import(admin, &request, SIGNET_ALREADY_EXISTS, "KEY_EXISTS");
    /* Another would wait for the same turn. */
    const struct import_bytes other = import_ec();
    import_init(admin, &request, text_es, &other);
    must_not_import(admin, &request, SIGNET_FAILED_PRECONDITION, "KEY_WAITS");
    admin_go(admin, FIXTURE_NOW + ADMIN_LEAD);
    signing_kid(admin, "es", signs);
    assert_string_equal(signs, kid);
    char *token = fixture_mint(&admin->base, "es");
    must_be_good(admin, token);
    free(token);
}

static void test_import__what_was_not_sealed_so_is_refused(void **state)
{
    const struct admin *admin = *state;
    struct import_request request;
    uint8_t public_key[SG_SEAL_KEY_LEN];
    uint8_t private_key[SG_SEAL_KEY_LEN];
    const struct import_bytes secret = import_secret(32);
    import_init(admin, &request, text_hs, &secret);
    size_t len = request.message.sealed.len;
    static const size_t lens[] = {1, 31, 32, 47, 48, 49, 79};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        request.message.sealed.len = lens[i];
        must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    }
    request.message.sealed.len = 0;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    request.message.sealed.len = len;
    for (size_t i = 0; i < len; i += 7) { /* any bit of it */
        request.sealed[i] ^= 0x10;
        must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
        request.sealed[i] ^= 0x10;
    }
    /* For another purpose, to another key, or not at all. */
    get_sealing_key(admin, public_key);
    assert_int_equal(
        sg_seal(public_key, SG_SEAL_FOR_REKEY, secret.bytes, secret.len, request.sealed),
        SIGNET_OK);
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    assert_int_equal(sg_seal_keypair(private_key, public_key), SIGNET_OK);
    assert_int_equal(
        sg_seal(public_key, SG_SEAL_FOR_IMPORT, secret.bytes, secret.len, request.sealed),
        SIGNET_OK);
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    memset(request.sealed, 0x5c, len);
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    /* More than any key. */
    uint8_t *huge = calloc(1, 100000);
    assert_non_null(huge);
    request.message.sealed.data = huge;
    request.message.sealed.len = 100000;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    free(huge);
}

static void test_import__a_weak_or_wrong_key_is_refused(void **state)
{
    const struct admin *admin = *state;
    struct import_request request;
    char hs512[] = "HS512";
    char es384[] = "ES384";
    const struct import_bytes ec = import_ec();
    const struct import_bytes secret = import_secret(32);
    const struct import_bytes weak = import_secret(31);
    import_init(admin, &request, text_hs, &weak);
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    import_init(admin, &request, text_es, &secret);
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    import_init(admin, &request, text_hs, &secret); /* too short for that one */
    request.message.alg = hs512;
    request.message.verify_only = 1;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
    import_init(admin, &request, text_es, &ec); /* of another curve */
    request.message.alg = es384;
    request.message.verify_only = 1;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
}

static void test_import__a_bad_kid_is_refused(void **state)
{
    const struct admin *admin = *state;
    static const char *const bad[] = {"a\"b", "a\\b", "a\nb", "\x7f", "j\xc3\xbcrgen", "\xff"};
    char kid[SG_MAX_KID_LEN + 2];
    struct import_request request;
    struct fixture_answer answer;
    const struct import_bytes secret = import_secret(32);
    import_init(admin, &request, text_hs, &secret);
    request.message.kid = kid;
    for (int verify_only = 0; verify_only < 2; verify_only++) {
        request.message.verify_only = verify_only;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            (void)snprintf(kid, sizeof(kid), "%s", bad[i]);
            must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
        }
        memset(kid, 'k', SG_MAX_KID_LEN + 1);
        kid[SG_MAX_KID_LEN + 1] = '\0';
        must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "KEY_INVALID");
        signing_kid(admin, "hs", kid); /* one that is there */
        must_not_import(admin, &request, SIGNET_ALREADY_EXISTS, "KEY_EXISTS");
    }
    /* In another keyset it is another key. */
    request.message.keyset = text_hs2;
    (void)import(admin, &request, &answer);
    fixture_answer_free(&answer);
}

static void test_import__what_contradicts_itself_is_refused(void **state)
{
    const struct admin *admin = *state;
    static const int64_t past[] = {FIXTURE_NOW, FIXTURE_NOW - 1, 1, -1, INT64_MIN};
    static const char *const unknown[] = {"none", "RS1", "es256", "HS256 ", "\xff"};
    struct import_request request;
    struct fixture_answer answer;
    char alg[16] = "ES256";
    char rs256[] = "RS256";
    char nowhere[] = "nowhere";
    char empty[] = "";
    const struct import_bytes secret = import_secret(32);
    import_init(admin, &request, nowhere, &secret);
    must_not_import(admin, &request, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    request.message.keyset = empty;
    must_not_import(admin, &request, SIGNET_NOT_FOUND, "KEYSET_UNKNOWN");
    request.message.keyset = text_hs;
    /* Another algorithm signs nothing for this keyset. */
    request.message.alg = rs256;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "ALG_CONFLICT");
    request.message.alg = alg;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "ALG_CONFLICT");
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        (void)snprintf(alg, sizeof(alg), "%s", unknown[i]);
        must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "ALG_UNKNOWN");
    }
    alg[0] = '\0';
    /* A key that signs has no end of its own; one that verifies has none that is past. */
    request.message.verify_until = FIXTURE_NOW + 100;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "VERIFY_UNTIL_INVALID");
    request.message.verify_only = 1;
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        request.message.verify_until = past[i];
        must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "VERIFY_UNTIL_INVALID");
    }
    request.message.verify_until = FIXTURE_NOW + 1;
    request.message.now = 1;
    must_not_import(admin, &request, SIGNET_INVALID_ARGUMENT, "IMPORT_CONFLICT");
    request.message.now = 0;
    assert_int_equal(import(admin, &request, &answer)->verify_until, FIXTURE_NOW + 1);
    fixture_answer_free(&answer);
}

/* One kid in two keysets: whoever revokes it has to say which, and the other stays. */
static void test_revoke__a_kid_of_two_keysets_needs_the_keyset(void **state)
{
    const struct admin *admin = *state;
    struct import_request request;
    struct fixture_answer answer;
    char kid[] = "shared";
    const struct import_bytes first = import_secret(32);
    struct import_bytes second = import_secret(32);
    second.bytes[0] = 1;
    char *tokens[] = {import_old_token(&first, kid), import_old_token(&second, kid)};
    import_init(admin, &request, text_hs, &first);
    request.message.kid = kid;
    (void)import(admin, &request, &answer);
    fixture_answer_free(&answer);
    import_init(admin, &request, text_hs2, &second);
    request.message.kid = kid;
    (void)import(admin, &request, &answer);
    fixture_answer_free(&answer);
    must_be_good(admin, tokens[0]);
    must_be_good(admin, tokens[1]);
    Signet__V1__RevokeKeyRequest ambiguous = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;
    ambiguous.kid = kid;
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &ambiguous.base, SIGNET_FAILED_PRECONDITION,
                "KID_AMBIGUOUS");
    (void)revoke_key(admin, kid, text_hs2, &answer);
    fixture_answer_free(&answer);
    must_be_good(admin, tokens[0]);
    struct fixture_verdict verdict = fixture_judge(&admin->base, tokens[1]);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, 0);
    /* A revoked one is there still, and so the kid is ambiguous still. */
    must_refuse(admin, SG_METHOD_REVOKE_KEY, &ambiguous.base, SIGNET_FAILED_PRECONDITION,
                "KID_AMBIGUOUS");
    (void)revoke_key(admin, kid, text_hs, &answer);
    fixture_answer_free(&answer);
    must_be_refused(admin, tokens[0], SIGNET_REASON_KEY_REVOKED);
    must_be_refused(admin, tokens[1], SIGNET_REASON_KEY_REVOKED);
    free(tokens[0]);
    free(tokens[1]);
}

static void test_sealing_key__is_one_for_the_process(void **state)
{
    const struct admin *admin = *state;
    uint8_t first[SG_SEAL_KEY_LEN];
    uint8_t second[SG_SEAL_KEY_LEN];
    get_sealing_key(admin, first);
    get_sealing_key(admin, second);
    assert_memory_equal(first, second, SG_SEAL_KEY_LEN);
    memset(second, 0, sizeof(second));
    assert_memory_not_equal(first, second, SG_SEAL_KEY_LEN);
}

/* ---- The keystore, which is not there ---- */

static void test_keystore__of_keys_in_memory_is_none(void **state)
{
    const struct admin *admin = *state;
    struct fixture_answer answer;
    uint8_t sealed[80] = {1};
    char source[2048];
    Signet__V1__GetKeystoreRequest get = SIGNET__V1__GET_KEYSTORE_REQUEST__INIT;
    Signet__V1__RekeyKeystoreRequest rekey = SIGNET__V1__REKEY_KEYSTORE_REQUEST__INIT;
    Signet__V1__FinishRekeyRequest finish = SIGNET__V1__FINISH_REKEY_REQUEST__INIT;
    fixture_call(&admin->base, SG_METHOD_GET_KEYSTORE, &get.base,
                 &signet__v1__get_keystore_response__descriptor, &answer);
    must_work(&answer);
    const Signet__V1__GetKeystoreResponse *response =
        (const Signet__V1__GetKeystoreResponse *)answer.payload;
    assert_false(response->persistent);
    assert_string_equal(response->directory, "");
    assert_string_equal(response->source, "");
    assert_int_equal(response->num_keys, 3);
    assert_int_equal(response->num_damaged, 0);
    assert_false(response->rekeying);
    fixture_answer_free(&answer);
    must_refuse(admin, SG_METHOD_REKEY_KEYSTORE, &rekey.base, SIGNET_INVALID_ARGUMENT,
                "REKEY_INVALID");
    memset(source, 's', sizeof(source));
    source[sizeof(source) - 1] = '\0';
    rekey.source = source;
    rekey.sealed.data = sealed;
    rekey.sealed.len = sizeof(sealed);
    must_refuse(admin, SG_METHOD_REKEY_KEYSTORE, &rekey.base, SIGNET_FAILED_PRECONDITION,
                "EPHEMERAL");
    must_refuse(admin, SG_METHOD_FINISH_REKEY, &finish.base, SIGNET_FAILED_PRECONDITION,
                "EPHEMERAL");
}

/* Where keys cannot be changed, as in a daemon of an interop test. */
static void test_key_admin__needs_a_keymaster(void **state)
{
    static const char *const methods[] = {
        SG_METHOD_LIST_KEYS,       SG_METHOD_ROTATE,       SG_METHOD_REVOKE_KEY,
        SG_METHOD_GET_SEALING_KEY, SG_METHOD_IMPORT_KEY,   SG_METHOD_REKEY_KEYSTORE,
        SG_METHOD_FINISH_REKEY,    SG_METHOD_GET_KEYSTORE,
    };
    struct admin admin = *(const struct admin *)*state;
    admin.base.service.keymaster = NULL;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct fixture_answer answer;
        Signet__V1__ListKeysRequest nothing = SIGNET__V1__LIST_KEYS_REQUEST__INIT;
        fixture_call(&admin.base, methods[i], &nothing.base, NULL, &answer);
        assert_int_equal(answer.code, SIGNET_UNIMPLEMENTED);
        assert_string_equal(answer.reason, "NO_KEYMASTER");
        fixture_answer_free(&answer);
    }
}

#define ADMIN_TEST(name) cmocka_unit_test_setup_teardown(name, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN_TEST(test_list_keys__tells_of_all_or_one),
        ADMIN_TEST(test_list_keys__an_unknown_keyset_is_not_found),
        ADMIN_TEST(test_list_keys__tells_of_the_last_token),
        ADMIN_TEST(test_rotate__makes_a_key_that_is_published_and_waits),
        ADMIN_TEST(test_rotate__at_once_signs_with_the_new_key_or_the_one_that_waits),
        ADMIN_TEST(test_rotate__dry_run_changes_nothing),
        ADMIN_TEST(test_rotate__dry_run_shows_the_key_that_waits),
        ADMIN_TEST(test_revoke__ends_a_key_and_another_signs),
        ADMIN_TEST(test_revoke__of_a_key_that_waits_leaves_the_signer),
        ADMIN_TEST(test_revoke__an_unknown_kid_is_not_found),
        ADMIN_TEST(test_revoke__a_kid_of_two_keysets_needs_the_keyset),
        ADMIN_TEST(test_import__a_shared_secret_verifies_and_never_signs),
        ADMIN_TEST(test_import__at_once_signs_at_once),
        ADMIN_TEST(test_import__an_asymmetric_key_is_published_and_waits),
        ADMIN_TEST(test_import__what_was_not_sealed_so_is_refused),
        ADMIN_TEST(test_import__a_weak_or_wrong_key_is_refused),
        ADMIN_TEST(test_import__a_bad_kid_is_refused),
        ADMIN_TEST(test_import__what_contradicts_itself_is_refused),
        ADMIN_TEST(test_sealing_key__is_one_for_the_process),
        ADMIN_TEST(test_keystore__of_keys_in_memory_is_none),
        ADMIN_TEST(test_key_admin__needs_a_keymaster),
    };
    return cmocka_run_group_tests_name("key_admin_service", tests, NULL, NULL);
}
