/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots of keysets and keys: what is in one and how it is found, who signs and verifies when, and
 * that the last to let go of something releases it, whatever thread that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "keyring_fixture.h"
#include "server/keyholder/keyholder.h"

#define NUM_THREADS 4

static char text_a[] = "a";
static char text_b[] = "b";

static int keyring_setup(void **state)
{
    struct sg_keyholder *keyholder = NULL;
    assert_int_equal(sg_keyholder_new(1, &keyholder), SIGNET_OK);
    *state = keyholder;
    return 0;
}

static int keyring_teardown(void **state)
{
    sg_keyholder_free(*state);
    assert_int_equal(ring_num_trust_refs(), 0);
    return 0;
}

/* A keyring of one keyset, "a"; keys keep the caller's references. */
static struct sg_keyring *keyring_of(enum sg_alg alg, const struct sg_keyring_key *keys, size_t num)
{
    const struct sg_config_keyset policy = ring_policy(text_a, alg);
    const struct sg_keyring_part part = {.policy = &policy, .keys = keys, .num_keys = num};
    return ring_build(&part, 1, NULL, 0);
}

static const struct sg_key *keyring_key(const struct sg_keyring *keyring, size_t index)
{
    const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, 0);
    assert_non_null(keyset);
    assert_true(index < keyset->num_keys);
    return &keyset->keys[index];
}

/* ---- What is in a snapshot ---- */

static void test_build__copies_what_it_is_given(void **state)
{
    char name[] = "orders";
    char issuer[] = "https://orders.example";
    char typ[] = "at+jwt";
    struct sg_config_keyset policies[] = {ring_policy(name, SG_ALG_ES256),
                                          ring_policy(text_b, SG_ALG_HS256)};
    struct sg_key_core *core = ring_core(*state, SG_ALG_ES256, NULL);
    struct sg_keyring_key key = ring_key(core, 3, RING_NOW);
    struct sg_keyring_part parts[] = {{.policy = &policies[0], .keys = &key, .num_keys = 1},
                                      {.policy = &policies[1]}};
    policies[0].issuer = issuer;
    policies[0].typ = typ;
    key.imported = true;
    struct sg_keyring *keyring = ring_build(parts, 2, NULL, 0);
    const struct sg_key_times times = key.times;
    memset(name, 'x', strlen(name));
    memset(issuer, 'x', strlen(issuer));
    memset(typ, 'x', strlen(typ));
    memset(&key, 0, sizeof(key));
    memset(policies, 0, sizeof(policies));
    memset(parts, 0, sizeof(parts));

    assert_int_equal(sg_keyring_num_keysets(keyring), 2);
    assert_int_equal(sg_keyring_num_foreign(keyring), 0);
    const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, 0);
    assert_string_equal(keyset->name, "orders");
    assert_string_equal(keyset->issuer, "https://orders.example");
    assert_string_equal(keyset->typ, "at+jwt");
    assert_int_equal(keyset->alg, SG_ALG_ES256);
    assert_int_equal(keyset->default_ttl_s, 300);
    assert_int_equal(keyset->max_ttl_s, 600);
    assert_int_equal(keyset->policy.rotate_every_s, 3600);
    assert_int_equal(keyset->policy.publish_lead_s, 60);
    assert_int_equal(keyset->policy.overlap_s, 100);
    assert_null(keyset->foreign);
    assert_int_equal(keyset->num_keys, 1);
    assert_ptr_equal(keyset->keys[0].keyset, keyset);
    assert_ptr_equal(keyset->keys[0].core, core);
    assert_int_equal(keyset->keys[0].alg, SG_ALG_ES256);
    assert_string_equal(keyset->keys[0].kid, core->kid);
    assert_ptr_equal(keyset->keys[0].public_key, core->public_key);
    assert_memory_equal(&keyset->keys[0].times, &times, sizeof(times));
    assert_true(keyset->keys[0].imported);
    assert_string_equal(sg_keyring_keyset_at(keyring, 1)->name, "b");
    assert_int_equal(sg_keyring_keyset_at(keyring, 1)->num_keys, 0);
    assert_null(sg_keyring_keyset_at(keyring, 2));
    assert_null(sg_keyring_keyset_at(keyring, SIZE_MAX));
    sg_keyring_unref(keyring);
    sg_key_core_unref(core);
}

static void test_build__nothing_makes_a_keyring_too(void **state)
{
    (void)state;
    size_t num = 1;
    struct sg_keyring *keyring = ring_build(NULL, 0, NULL, 0);
    assert_int_equal(sg_keyring_num_keysets(keyring), 0);
    assert_null(sg_keyring_keyset_at(keyring, 0));
    assert_null(sg_keyring_keyset(keyring, ""));
    assert_null(sg_keyring_keyset(keyring, "a"));
    assert_null(sg_keyring_keys(keyring, "k", 1, &num));
    assert_int_equal(num, 0);
    assert_null(sg_keyring_key_of_header(keyring, "", 0));
    sg_keyring_unref(keyring);
    sg_keyring_unref(NULL);
}

/* What cannot stand in a token is refused, and then the keys are as they were. */
static void test_build__refuses_what_cannot_stand_in_a_token(void **state)
{
    static char empty[] = "";
    static char quote[] = "a\"b";
    char long_name[SG_MAX_KEYSET_NAME_LEN + 2];
    char long_issuer[SG_MAX_ISSUER_LEN + 2];
    char long_typ[SG_MAX_TYP_LEN + 2];
    memset(long_name, 'n', sizeof(long_name));
    memset(long_issuer, 'i', sizeof(long_issuer));
    memset(long_typ, 't', sizeof(long_typ));
    long_name[SG_MAX_KEYSET_NAME_LEN + 1] = '\0';
    long_issuer[SG_MAX_ISSUER_LEN + 1] = '\0';
    long_typ[SG_MAX_TYP_LEN + 1] = '\0';
    const struct {
        char *name, *issuer, *typ;
        enum sg_alg alg;
        const char *kid;
    } rows[] = {
        {empty, text_b, text_b, SG_ALG_HS256, "k"},
        {NULL, text_b, text_b, SG_ALG_HS256, "k"},
        {long_name, text_b, text_b, SG_ALG_HS256, "k"},
        {text_a, empty, text_b, SG_ALG_HS256, "k"},
        {text_a, NULL, text_b, SG_ALG_HS256, "k"},
        {text_a, long_issuer, text_b, SG_ALG_HS256, "k"},
        {text_a, text_b, empty, SG_ALG_HS256, "k"},
        {text_a, text_b, NULL, SG_ALG_HS256, "k"},
        {text_a, text_b, long_typ, SG_ALG_HS256, "k"},
        {text_a, text_b, quote, SG_ALG_HS256, "k"},
        {text_a, text_b, text_b, SG_ALG_UNSET, "k"},
        {text_a, text_b, text_b, SG_ALG_COUNT, "k"},
        {text_a, text_b, text_b, SG_ALG_HS256, "k\"k"},
        {text_a, text_b, text_b, SG_ALG_HS256, "k\\k"},
        {text_a, text_b, text_b, SG_ALG_HS256, "k\nk"},
        {text_a, text_b, text_b, SG_ALG_HS256, "k\xc3\xa4"},
    };
    struct sg_trust_issuer issuer = {.name = "idp"};
    struct sg_trust_issuer *issuers[] = {&issuer};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sg_config_keyset good = ring_policy(text_b, SG_ALG_HS256);
        struct sg_config_keyset policy = ring_policy(rows[i].name, rows[i].alg);
        struct sg_key_core *core = sg_key_core_new(*state, SG_ALG_HS256, rows[i].kid, NULL, 0);
        const struct sg_keyring_key keys[] = {ring_key(core, 1, 0), ring_key(core, 2, 0)};
        struct sg_keyring *keyring = NULL;
        policy.issuer = rows[i].issuer;
        policy.typ = rows[i].typ;
        const struct sg_keyring_part parts[] = {
            {.policy = &good}, {.policy = &policy, .keys = keys, .num_keys = 2}, {.policy = &good}};
        assert_int_equal(sg_keyring_build(parts, 3, issuers, 1, &keyring), SIGNET_INVALID_ARGUMENT);
        assert_null(keyring);
        assert_int_equal(atomic_load(&core->num_refs), 1);
        assert_int_equal(ring_num_trust_refs(), 0);
        sg_key_core_unref(core);
    }
}

/* One that never signs needs no header, so that a key can be verified whose kid we could not write. */
static void test_build__headers_name_alg_kid_and_typ(void **state)
{
    struct sg_key_core *cores[] = {ring_core(*state, SG_ALG_ES256, NULL),
                                   sg_key_core_new(*state, SG_ALG_ES256, "a\"b", NULL, 0)};
    struct sg_keyring_key keys[] = {ring_key(cores[0], 1, 0), ring_key(cores[1], 2, 0)};
    keys[1].times.never_signs = true;
    struct sg_keyring *keyring = keyring_of(SG_ALG_ES256, keys, 2);
    const struct sg_key *key = keyring_key(keyring, 0);
    char expected[512];
    char header[512];
    size_t len = 0;
    (void)snprintf(expected, sizeof(expected), "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                   key->kid);
    assert_int_equal(strlen(key->header_b64), key->header_b64_len);
    assert_true(sg_base64url_decode(key->header_b64, key->header_b64_len, (uint8_t *)header,
                                    sizeof(header) - 1, &len));
    header[len] = '\0';
    assert_string_equal(header, expected);
    assert_null(keyring_key(keyring, 1)->header_b64);
    sg_keyring_unref(keyring);
    sg_key_core_unref(cores[0]);
    sg_key_core_unref(cores[1]);
}

/* The keyholder signs under the header that is written here, and the public half verifies it. */
static void test_build__keys_sign_and_verify(void **state)
{
    static const enum sg_alg algs[] = {SG_ALG_ES256, SG_ALG_ES384, SG_ALG_ED25519, SG_ALG_HS256};
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        struct sg_key_core *core = ring_core(*state, algs[i], algs[i] == SG_ALG_HS256 ? "h" : NULL);
        const struct sg_keyring_key only = ring_key(core, 1, 0);
        struct sg_keyring *keyring = keyring_of(algs[i], &only, 1);
        const struct sg_key *key = keyring_key(keyring, 0);
        char token[2048];
        int len = snprintf(token, sizeof(token), "%s.e30", key->header_b64);
        const struct sg_keyholder_request request = {
            .op = SG_KEYHOLDER_SIGN, .slot = sg_key_slot(key), .data_len = (uint32_t)len};
        struct sg_keyholder_reply reply;
        assert_int_equal(
            sg_keyholder_call(*state, &request, 1, (const uint8_t *)token, (size_t)len, &reply),
            SIGNET_OK);
        assert_int_equal(reply.status, SIGNET_OK);
        if (key->public_key != NULL) {
            struct sg_jws jws;
            token[len] = '.';
            size_t token_len = (size_t)len + 1;
            token_len += sg_base64url_encode(reply.data, reply.data_len, token + token_len);
            assert_int_equal(sg_jws_parse(token, token_len, &jws).reason, SIGNET_REASON_NONE);
            assert_int_equal(sg_public_key_verify(key->public_key, &jws).reason,
                             SIGNET_REASON_NONE);
            jws.signature[10] ^= 1;
            assert_int_equal(sg_public_key_verify(key->public_key, &jws).reason,
                             SIGNET_REASON_BAD_SIGNATURE);
        }
        sg_keyring_unref(keyring);
        sg_key_core_unref(core);
    }
}

/* ---- Finding ---- */

static void test_keyset__is_found_by_its_whole_name(void **state)
{
    (void)state;
    char names[3][8] = {"a", "ab", "abc"};
    struct sg_config_keyset policies[3];
    struct sg_keyring_part parts[3];
    struct sg_trust_issuer issuer = {.name = "abcd", .issuer = "https://idp.example"};
    struct sg_trust_issuer *issuers[] = {&issuer};
    for (size_t i = 0; i < 3; i++) {
        policies[i] = ring_policy(names[i], SG_ALG_HS256);
        parts[i] = (struct sg_keyring_part){.policy = &policies[i]};
    }
    struct sg_keyring *keyring = ring_build(parts, 3, issuers, 1);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(sg_keyring_keyset(keyring, names[i]), sg_keyring_keyset_at(keyring, i));
    }
    /* A foreign issuer has a name, and no place in the configuration. */
    const struct sg_keyset *foreign = sg_keyring_keyset(keyring, "abcd");
    assert_non_null(foreign);
    assert_ptr_equal(foreign->foreign, &issuer);
    assert_string_equal(foreign->issuer, "https://idp.example");
    assert_int_equal(sg_keyring_num_keysets(keyring), 3);
    assert_int_equal(sg_keyring_num_foreign(keyring), 1);
    assert_null(sg_keyring_keyset_at(keyring, 3));
    static const char *const absent[] = {"", "A", "b", "abcde", "a ", "ab\xff"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        assert_null(sg_keyring_keyset(keyring, absent[i]));
    }
    sg_keyring_unref(keyring);
}

static void test_keys__are_found_by_length_and_bytes(void **state)
{
    static const char *const kids[] = {"k", "kk", "kkk", "K", "../../etc/passwd"};
    enum {
        NUM = sizeof(kids) / sizeof(kids[0])
    };
    struct sg_key_core *cores[NUM];
    struct sg_keyring_key keys[NUM];
    size_t num = 0;
    for (uint32_t i = 0; i < NUM; i++) {
        cores[i] = sg_key_core_new(*state, SG_ALG_HS256, kids[i], NULL, 0);
        keys[i] = ring_key(cores[i], i + 1, 0);
    }
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, NUM);
    for (size_t i = 0; i < NUM; i++) {
        const struct sg_key *const *found =
            sg_keyring_keys(keyring, kids[i], strlen(kids[i]), &num);
        assert_int_equal(num, 1);
        assert_ptr_equal(found[0], keyring_key(keyring, i));
    }
    num = 1;
    assert_null(sg_keyring_keys(keyring, "k\0", 2, &num)); /* a NUL, which no kid has */
    assert_int_equal(num, 0);
    assert_null(sg_keyring_keys(keyring, "kkkk", 4, &num));
    assert_null(sg_keyring_keys(keyring, "", 0, &num));
    assert_null(sg_keyring_keys(keyring, "../../etc/passwd", 15, &num));
    sg_keyring_unref(keyring);
    for (size_t i = 0; i < NUM; i++) {
        sg_key_core_unref(cores[i]);
    }
}

/* Ours in the order of the configuration, then foreign ones, and none of another kid between. */
static void test_keys__of_one_kid_are_all_found_ours_first(void **state)
{
    struct sg_key_core *mine = ring_core(*state, SG_ALG_ES256, "one");
    struct sg_key_core *other = ring_core(*state, SG_ALG_ED25519, "one");
    struct sg_key_core *apart = ring_core(*state, SG_ALG_ES256, "onf");
    struct sg_config_keyset policies[] = {ring_policy(text_b, SG_ALG_ES256),
                                          ring_policy(text_a, SG_ALG_ED25519)};
    const struct sg_keyring_key keys[] = {ring_key(apart, 1, 0), ring_key(mine, 2, 0)};
    const struct sg_keyring_key other_key = ring_key(other, 1, 0);
    const struct sg_keyring_part parts[] = {
        {.policy = &policies[0], .keys = keys, .num_keys = 2},
        {.policy = &policies[1], .keys = &other_key, .num_keys = 1}};
    struct sg_trust_key foreign_keys[] = {{.kid = "one", .alg = SG_ALG_RS256},
                                          {.kid = "on", .alg = SG_ALG_RS256},
                                          {.alg = SG_ALG_ES256}};
    struct sg_trust_issuer first = {.name = "idp-1", .keys = foreign_keys, .num_keys = 3};
    struct sg_trust_issuer second = {.name = "idp-2", .keys = foreign_keys, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&first, &second};
    struct sg_keyring *keyring = ring_build(parts, 2, issuers, 2);
    size_t num = 0;
    const struct sg_key *const *found = sg_keyring_keys(keyring, "one", 3, &num);
    assert_int_equal(num, 4);
    assert_ptr_equal(found[0]->core, mine);
    assert_ptr_equal(found[1]->core, other);
    assert_ptr_equal(found[2]->keyset->foreign, &first);
    assert_ptr_equal(found[3]->keyset->foreign, &second);
    (void)sg_keyring_keys(keyring, "on", 2, &num);
    assert_int_equal(num, 1);
    (void)sg_keyring_keys(keyring, "onf", 3, &num);
    assert_int_equal(num, 1);
    /* The one without a kid is in its keyset, and answers to no kid. */
    assert_int_equal(sg_keyring_keyset(keyring, "idp-1")->num_keys, 3);
    assert_null(sg_keyring_keys(keyring, "", 0, &num));
    assert_int_equal(num, 0);
    sg_keyring_unref(keyring);
    sg_key_core_unref(mine);
    sg_key_core_unref(other);
    sg_key_core_unref(apart);
}

static void test_key_of_header__is_the_key_that_writes_it(void **state)
{
    struct sg_key_core *cores[] = {sg_key_core_new(*state, SG_ALG_HS256, "k", NULL, 0),
                                   sg_key_core_new(*state, SG_ALG_HS256, "kk", NULL, 0),
                                   sg_key_core_new(*state, SG_ALG_HS256, "never", NULL, 0)};
    struct sg_keyring_key keys[3];
    char header[512];
    struct sg_trust_key foreign_key = {.kid = "theirs", .alg = SG_ALG_ES256};
    struct sg_trust_issuer issuer = {.name = "idp", .keys = &foreign_key, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&issuer};
    const struct sg_config_keyset policy = ring_policy(text_a, SG_ALG_HS256);
    const struct sg_keyring_part part = {.policy = &policy, .keys = keys, .num_keys = 3};
    for (uint32_t i = 0; i < 3; i++) {
        keys[i] = ring_key(cores[i], i + 1, 0);
    }
    keys[2].times.never_signs = true;
    struct sg_keyring *keyring = ring_build(&part, 1, issuers, 1);
    for (size_t i = 0; i < 2; i++) {
        const struct sg_key *key = keyring_key(keyring, i);
        memcpy(header, key->header_b64, key->header_b64_len);
        assert_ptr_equal(sg_keyring_key_of_header(keyring, header, key->header_b64_len), key);
        assert_null(sg_keyring_key_of_header(keyring, header, key->header_b64_len - 1));
        header[4] ^= 1;
        assert_null(sg_keyring_key_of_header(keyring, header, key->header_b64_len));
    }
    size_t len = sg_jws_header(SG_ALG_HS256, "never", "JWT", header, sizeof(header));
    assert_null(sg_keyring_key_of_header(keyring, header, len));
    len = sg_jws_header(SG_ALG_ES256, "theirs", "JWT", header, sizeof(header));
    assert_null(sg_keyring_key_of_header(keyring, header, len));
    sg_keyring_unref(keyring);
    for (size_t i = 0; i < 3; i++) {
        sg_key_core_unref(cores[i]);
    }
}

/* ---- States ---- */

/* The first signs since ever, and is kept for the overlap of 100 seconds after the second took over. */
static void test_state__changes_at_the_very_second(void **state)
{
    static const struct {
        int64_t after; /* RING_NOW */
        enum sg_key_state first, second;
    } rows[] = {
        {-1000000, SG_KEY_ACTIVE, SG_KEY_NEXT}, {-1, SG_KEY_ACTIVE, SG_KEY_NEXT},
        {0, SG_KEY_VERIFY_ONLY, SG_KEY_ACTIVE}, {99, SG_KEY_VERIFY_ONLY, SG_KEY_ACTIVE},
        {100, SG_KEY_RETIRED, SG_KEY_ACTIVE},   {1000000, SG_KEY_RETIRED, SG_KEY_ACTIVE},
    };
    struct sg_key_core *cores[] = {sg_key_core_new(*state, SG_ALG_HS256, "k1", NULL, 0),
                                   sg_key_core_new(*state, SG_ALG_HS256, "k2", NULL, 0)};
    const struct sg_keyring_key keys[] = {ring_key(cores[0], 1, RING_NOW - 500),
                                          ring_key(cores[1], 2, RING_NOW)};
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, 2);
    const struct sg_key *first = keyring_key(keyring, 0);
    const struct sg_key *second = keyring_key(keyring, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t now = RING_NOW + rows[i].after;
        assert_int_equal(sg_key_state(first, now), rows[i].first);
        assert_int_equal(sg_key_state(second, now), rows[i].second);
        assert_int_equal(sg_key_may_verify(first, now), rows[i].first != SG_KEY_RETIRED);
        assert_true(sg_key_may_verify(second, now));
    }
    assert_int_equal(sg_key_verify_until(first), RING_NOW + 100);
    assert_true(sg_key_verify_until(second) == SG_TIME_NEVER);
    /* A token that it signed keeps it until no verifier may accept that any more, in every snapshot. */
    sg_key_core_note_expiry(cores[0], RING_NOW + 500);
    assert_int_equal(sg_key_verify_until(first), RING_NOW + 500 + SG_MAX_LEEWAY_S);
    assert_true(sg_key_may_verify(first, RING_NOW + 500 + SG_MAX_LEEWAY_S - 1));
    assert_false(sg_key_may_verify(first, RING_NOW + 500 + SG_MAX_LEEWAY_S));
    sg_keyring_unref(keyring);
    sg_key_core_unref(cores[0]);
    sg_key_core_unref(cores[1]);
}

static void test_state__of_keys_that_never_sign_or_were_revoked(void **state)
{
    struct sg_key_core *core = sg_key_core_new(*state, SG_ALG_HS256, "k", NULL, 0);
    struct sg_keyring_key keys[] = {ring_key(core, 1, RING_NOW), ring_key(core, 2, RING_NOW),
                                    ring_key(core, 3, RING_NOW)};
    keys[0].times.never_signs = true;
    keys[1].times.never_signs = true;
    keys[1].times.verify_until = RING_NOW + 10;
    keys[2].times.revoked_at = RING_NOW + 10;
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, 3);
    assert_int_equal(sg_key_state(keyring_key(keyring, 0), INT64_MAX), SG_KEY_VERIFY_ONLY);
    assert_int_equal(sg_key_state(keyring_key(keyring, 0), INT64_MIN), SG_KEY_VERIFY_ONLY);
    assert_int_equal(sg_key_state(keyring_key(keyring, 1), RING_NOW + 9), SG_KEY_VERIFY_ONLY);
    assert_int_equal(sg_key_state(keyring_key(keyring, 1), RING_NOW + 10), SG_KEY_RETIRED);
    /* Whatever the clock says. */
    assert_int_equal(sg_key_state(keyring_key(keyring, 2), INT64_MIN), SG_KEY_REVOKED);
    assert_int_equal(sg_key_state(keyring_key(keyring, 2), INT64_MAX), SG_KEY_REVOKED);
    assert_false(sg_key_may_verify(keyring_key(keyring, 2), INT64_MIN));
    sg_keyring_unref(keyring);
    sg_key_core_unref(core);
}

/* ---- Signing ---- */

static void test_signing_key__is_the_active_one_whatever_the_clock_says(void **state)
{
    static const int64_t clocks[] = {INT64_MIN, -1, 0, RING_NOW - 1, RING_NOW, INT64_MAX};
    struct sg_key_core *cores[] = {ring_core(*state, SG_ALG_HS256, "k1"),
                                   ring_core(*state, SG_ALG_HS256, "k2")};
    const struct sg_keyring_key keys[] = {ring_key(cores[0], 1, RING_NOW - 500),
                                          ring_key(cores[1], 2, RING_NOW)};
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, 2);
    const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, 0);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        const struct sg_key *key = sg_keyset_signing_key(keyset, clocks[i]);
        assert_ptr_equal(key, &keyset->keys[clocks[i] < RING_NOW ? 0 : 1]);
        assert_true(sg_key_may_verify(key, clocks[i]));
    }
    sg_keyring_unref(keyring);
    sg_key_core_unref(cores[0]);
    sg_key_core_unref(cores[1]);
}

/* Without the one whose time it is, the nearest after it signs; never one whose time is over. */
static void test_signing_key__has_its_private_part_in_memory(void **state)
{
    struct sg_key_core *cores[4];
    struct sg_keyring_key keys[4];
    static const char *const kids[] = {"k0", "k1", "k2", "k3"};
    static const int64_t from[] = {-500, 0, 900, 500};
    for (uint32_t i = 0; i < 4; i++) {
        cores[i] = ring_core(*state, SG_ALG_HS256, kids[i]);
        keys[i] = ring_key(cores[i], i + 1, RING_NOW + from[i]);
    }
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, 4);
    const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, 0);
    static const size_t turns[] = {1, 3, 2};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(sg_keyset_signing_key(keyset, RING_NOW), &keyset->keys[turns[i]]);
        sg_key_core_give_slot_back(cores[turns[i]]);
        assert_int_equal(sg_key_slot(&keyset->keys[turns[i]]), 0);
    }
    assert_null(sg_keyset_signing_key(keyset, RING_NOW));
    assert_ptr_equal(sg_keyset_signing_key(keyset, RING_NOW - 1), &keyset->keys[0]);
    sg_keyring_unref(keyring);
    for (size_t i = 0; i < 4; i++) {
        sg_key_core_unref(cores[i]);
    }
}

static void test_signing_key__is_never_one_that_may_not(void **state)
{
    struct sg_key_core *core = ring_core(*state, SG_ALG_HS256, "k");
    struct sg_keyring_key keys[] = {ring_key(core, 1, RING_NOW - 9),
                                    ring_key(core, 2, RING_NOW + 9)};
    static const int64_t clocks[] = {INT64_MIN, RING_NOW - 10, RING_NOW, RING_NOW + 10, INT64_MAX};
    keys[0].times.never_signs = true;
    keys[1].times.revoked_at = RING_NOW;
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, keys, 2);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        assert_null(sg_keyset_signing_key(sg_keyring_keyset_at(keyring, 0), clocks[i]));
    }
    sg_keyring_unref(keyring);
    sg_key_core_unref(core);
}

static void test_foreign__keys_verify_and_never_sign(void **state)
{
    (void)state;
    static const int64_t clocks[] = {INT64_MIN, 0, RING_NOW, INT64_MAX};
    struct sg_trust_key key = {.kid = "theirs", .alg = SG_ALG_ES256};
    struct sg_trust_issuer issuer = {.name = "idp", .keys = &key, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&issuer};
    struct sg_keyring *keyring = ring_build(NULL, 0, issuers, 1);
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, "idp");
    assert_int_equal(ring_num_trust_refs(), 1);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        assert_null(sg_keyset_signing_key(keyset, clocks[i]));
        assert_int_equal(sg_key_state(&keyset->keys[0], clocks[i]), SG_KEY_VERIFY_ONLY);
        assert_true(sg_key_may_verify(&keyset->keys[0], clocks[i]));
    }
    assert_int_equal(sg_key_slot(&keyset->keys[0]), 0);
    assert_null(keyset->keys[0].core);
    assert_null(keyset->keys[0].header_b64);
    assert_true(sg_key_verify_until(&keyset->keys[0]) == SG_TIME_NEVER);
    sg_keyring_unref(sg_keyring_ref(keyring));
    assert_int_equal(ring_num_trust_refs(), 1);
    sg_keyring_unref(keyring);
    assert_int_equal(ring_num_trust_refs(), 0);
}

/* ---- Cores ---- */

static void test_core__gives_its_slot_back_with_the_last_reference(void **state)
{
    struct sg_keyholder *keyholder = *state;
    struct sg_key_core *core = ring_core(keyholder, SG_ALG_HS256, "k");
    const struct sg_keyring_key key = ring_key(core, 1, 0);
    uint64_t slot = atomic_load(&core->slot);
    struct sg_keyring *first = keyring_of(SG_ALG_HS256, &key, 1);
    struct sg_keyring *second = keyring_of(SG_ALG_HS256, &key, 1);
    const struct sg_keyholder_request request = {.op = SG_KEYHOLDER_MAC_CHECK, .slot = slot};
    struct sg_keyholder_reply reply;
    assert_int_equal(atomic_load(&core->num_refs), 3);
    sg_key_core_unref(core);
    sg_keyring_unref(first);
    assert_int_equal(sg_keyholder_call(keyholder, &request, 1, NULL, 0, &reply), SIGNET_OK);
    assert_int_equal(reply.status, SIGNET_OK);
    sg_keyring_unref(second);
    assert_false(ring_slot_is_taken(keyholder, slot));
    sg_key_core_unref(NULL);
}

static void test_core__gives_its_slot_back_once(void **state)
{
    struct sg_keyholder *keyholder = *state;
    struct sg_key_core *core = ring_core(keyholder, SG_ALG_HS256, "k");
    const struct sg_keyring_key key = ring_key(core, 1, 0);
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, &key, 1);
    uint64_t slot = sg_key_slot(keyring_key(keyring, 0));
    assert_int_not_equal(slot, 0);
    sg_key_core_give_slot_back(core);
    assert_int_equal(sg_key_slot(keyring_key(keyring, 0)), 0);
    assert_false(ring_slot_is_taken(keyholder, slot));
    sg_key_core_give_slot_back(core); /* there is none any more */
    sg_keyring_unref(keyring);
    sg_key_core_unref(core);
}

static void test_core__takes_a_kid_up_to_its_longest(void **state)
{
    char kid[SG_MAX_KID_LEN + 1];
    memset(kid, 'k', SG_MAX_KID_LEN);
    kid[SG_MAX_KID_LEN] = '\0';
    struct sg_key_core *core = sg_key_core_new(*state, SG_ALG_HS256, kid, NULL, 0);
    const struct sg_keyring_key key = ring_key(core, 1, 0);
    struct sg_keyring *keyring = keyring_of(SG_ALG_HS256, &key, 1);
    size_t num = 0;
    assert_int_equal(core->kid_len, SG_MAX_KID_LEN);
    assert_string_equal(core->kid, kid);
    assert_non_null(sg_keyring_keys(keyring, kid, SG_MAX_KID_LEN, &num));
    assert_null(sg_keyring_keys(keyring, kid, SG_MAX_KID_LEN - 1, &num));
    sg_keyring_unref(keyring);
    sg_key_core_unref(core);
}

static void test_last_expiry__is_the_latest_and_known_or_bounded(void **state)
{
    struct sg_key_core *core = sg_key_core_new(*state, SG_ALG_HS256, "k", NULL, 0);
    assert_int_equal(sg_key_core_last_expiry(core), 0);
    assert_true(sg_key_core_expiry_is_exact(core));
    sg_key_core_note_expiry(core, 100);
    sg_key_core_note_expiry(core, 50);
    sg_key_core_note_expiry(core, -1);
    sg_key_core_note_expiry(core, INT64_MIN);
    assert_int_equal(sg_key_core_last_expiry(core), 100);
    assert_true(sg_key_core_expiry_is_exact(core));
    /* What an earlier process may have signed. */
    core->expiry_before = 200;
    core->expiry_before_is_exact = false;
    assert_int_equal(sg_key_core_last_expiry(core), 200);
    assert_false(sg_key_core_expiry_is_exact(core));
    sg_key_core_note_expiry(core, 199);
    assert_int_equal(sg_key_core_last_expiry(core), 200);
    assert_false(sg_key_core_expiry_is_exact(core));
    sg_key_core_note_expiry(core, 200);
    assert_true(sg_key_core_expiry_is_exact(core));
    sg_key_core_note_expiry(core, 201);
    assert_int_equal(sg_key_core_last_expiry(core), 201);
    core->expiry_before = 300;
    core->expiry_before_is_exact = true;
    assert_int_equal(sg_key_core_last_expiry(core), 300);
    assert_true(sg_key_core_expiry_is_exact(core));
    sg_key_core_unref(core);
}

/* ---- Threads ---- */

#define NOTES_PER_THREAD 100000

struct notes {
    struct sg_key_core *core;
    int64_t first;
    pthread_barrier_t *start;
};

/* Rising, so that each note is the latest of its thread and meets those of the others. */
static void *notes_main(void *arg)
{
    const struct notes *notes = arg;
    (void)pthread_barrier_wait(notes->start);
    for (int64_t i = 0; i < NOTES_PER_THREAD; i++) {
        int64_t expiry = notes->first + NUM_THREADS * i;
        sg_key_core_note_expiry(notes->core, expiry);
        if (sg_key_core_last_expiry(notes->core) < expiry) {
            return arg;
        }
    }
    return NULL;
}

static void test_note_expiry__loses_none_of_several_threads(void **state)
{
    struct sg_key_core *core = sg_key_core_new(*state, SG_ALG_HS256, "k", NULL, 0);
    pthread_t threads[NUM_THREADS];
    struct notes notes[NUM_THREADS];
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, NUM_THREADS), 0);
    for (int i = 0; i < NUM_THREADS; i++) {
        notes[i] = (struct notes){.core = core, .first = RING_NOW + i, .start = &start};
        assert_int_equal(pthread_create(&threads[i], NULL, notes_main, &notes[i]), 0);
    }
    for (int i = 0; i < NUM_THREADS; i++) {
        void *lost = NULL;
        assert_int_equal(pthread_join(threads[i], &lost), 0);
        assert_null(lost);
    }
    (void)pthread_barrier_destroy(&start);
    assert_int_equal(sg_key_core_last_expiry(core),
                     RING_NOW + NUM_THREADS - 1 + NUM_THREADS * (int64_t)(NOTES_PER_THREAD - 1));
    sg_key_core_unref(core);
}

static void test_holder__has_what_was_set_last(void **state)
{
    (void)state;
    struct sg_keyring_holder holder;
    sg_keyring_holder_init(&holder);
    assert_null(sg_keyring_holder_get(&holder));
    struct sg_keyring *first = ring_build(NULL, 0, NULL, 0);
    sg_keyring_holder_set(&holder, first);
    struct sg_keyring *got = sg_keyring_holder_get(&holder);
    assert_ptr_equal(got, first);
    struct sg_keyring *second = ring_build(NULL, 0, NULL, 0);
    sg_keyring_holder_set(&holder, second);
    assert_int_equal(sg_keyring_num_keysets(got), 0); /* still there for whoever began with it */
    sg_keyring_unref(got);
    got = sg_keyring_holder_get(&holder);
    assert_ptr_equal(got, second);
    sg_keyring_unref(got);
    sg_keyring_holder_fini(&holder);
    sg_keyring_holder_init(&holder);
    sg_keyring_holder_fini(&holder); /* with nothing in it */
}

#define NUM_SWAPS 500

struct swaps {
    struct sg_keyring_holder holder;
    struct sg_key_core *core;
    atomic_bool done;
};

/* Uses snapshots as requests do, for as long as there are new ones. */
static void *swaps_main(void *arg)
{
    struct swaps *swaps = arg;
    bool good = true;
    while (good && !atomic_load(&swaps->done)) {
        size_t num = 0;
        struct sg_keyring *keyring = sg_keyring_holder_get(&swaps->holder);
        const struct sg_key *const *keys = sg_keyring_keys(keyring, "k", 1, &num);
        good = num == 2 && keys[0]->core == swaps->core && keys[1]->keyset->foreign != NULL &&
               sg_keyset_signing_key(keys[0]->keyset, RING_NOW) == keys[0];
        if (good) {
            sg_key_core_note_expiry(keys[0]->core, RING_NOW);
        }
        sg_keyring_unref(keyring);
    }
    return good ? NULL : arg;
}

static struct sg_keyring *swaps_snapshot(struct sg_key_core *core)
{
    static struct sg_trust_key foreign_key = {.kid = "k", .alg = SG_ALG_ES256};
    static struct sg_trust_issuer issuer = {.name = "idp", .keys = &foreign_key, .num_keys = 1};
    struct sg_trust_issuer *issuers[] = {&issuer};
    const struct sg_config_keyset policy = ring_policy(text_a, SG_ALG_HS256);
    const struct sg_keyring_key key = ring_key(core, 1, 0);
    const struct sg_keyring_part part = {.policy = &policy, .keys = &key, .num_keys = 1};
    return ring_build(&part, 1, issuers, 1);
}

static void test_holder__is_read_and_set_by_many_threads(void **state)
{
    struct sg_keyholder *keyholder = *state;
    struct swaps swaps = {.core = ring_core(keyholder, SG_ALG_HS256, "k")};
    pthread_t threads[NUM_THREADS];
    uint64_t slot = atomic_load(&swaps.core->slot);
    sg_keyring_holder_init(&swaps.holder);
    sg_keyring_holder_set(&swaps.holder, swaps_snapshot(swaps.core));
    for (int i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, swaps_main, &swaps), 0);
    }
    for (int i = 0; i < NUM_SWAPS; i++) {
        sg_keyring_holder_set(&swaps.holder, swaps_snapshot(swaps.core));
    }
    atomic_store(&swaps.done, true);
    for (int i = 0; i < NUM_THREADS; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    /* Each of the old ones is gone: what is left is the one in the holder, and our own reference. */
    assert_int_equal(atomic_load(&swaps.core->num_refs), 2);
    assert_int_equal(ring_num_trust_refs(), 1);
    sg_key_core_unref(swaps.core);
    sg_keyring_holder_fini(&swaps.holder);
    assert_int_equal(ring_num_trust_refs(), 0);
    assert_false(ring_slot_is_taken(keyholder, slot));
}

/* ---- Many ---- */

#define MANY_KEYSETS 1000u
#define MANY_KEYS    10u /* of each */

struct many {
    char names[MANY_KEYSETS][16];
    struct sg_config_keyset policies[MANY_KEYSETS];
    struct sg_keyring_part parts[MANY_KEYSETS];
    struct sg_keyring_key keys[MANY_KEYSETS][MANY_KEYS];
};

static struct many *many_new(struct sg_keyholder *keyholder)
{
    struct many *many = calloc(1, sizeof(*many));
    assert_non_null(many);
    for (uint32_t i = 0; i < MANY_KEYSETS; i++) {
        (void)snprintf(many->names[i], sizeof(many->names[i]), "keyset-%u", i);
        many->policies[i] = ring_policy(many->names[i], SG_ALG_HS256);
        for (uint32_t k = 0; k < MANY_KEYS; k++) {
            char kid[32];
            (void)snprintf(kid, sizeof(kid), "kid-%u-%u", i, k);
            struct sg_key_core *core = sg_key_core_new(keyholder, SG_ALG_HS256, kid, NULL, 0);
            assert_non_null(core);
            many->keys[i][k] = ring_key(core, k + 1, RING_NOW + k);
        }
        many->parts[i] = (struct sg_keyring_part){
            .policy = &many->policies[i], .keys = many->keys[i], .num_keys = MANY_KEYS};
    }
    return many;
}

static void many_free(struct many *many)
{
    for (size_t i = 0; i < MANY_KEYSETS; i++) {
        for (size_t k = 0; k < MANY_KEYS; k++) {
            sg_key_core_unref(many->keys[i][k].core);
        }
    }
    free(many);
}

static void test_build__finds_each_of_ten_thousand_keys(void **state)
{
    struct many *many = many_new(*state);
    struct sg_keyring *keyring = ring_build(many->parts, MANY_KEYSETS, NULL, 0);
    size_t num = 0;
    assert_int_equal(sg_keyring_num_keys(keyring), MANY_KEYSETS * MANY_KEYS);
    for (size_t i = 0; i < MANY_KEYSETS; i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset(keyring, many->names[i]);
        assert_ptr_equal(keyset, sg_keyring_keyset_at(keyring, i));
        for (size_t k = 0; k < MANY_KEYS; k++) {
            const struct sg_key *key = &keyset->keys[k];
            const struct sg_key *const *found =
                sg_keyring_keys(keyring, key->kid, key->kid_len, &num);
            assert_int_equal(num, 1);
            assert_ptr_equal(found[0], key);
            assert_ptr_equal(key->core, many->keys[i][k].core);
            assert_ptr_equal(
                sg_keyring_key_of_header(keyring, key->header_b64, key->header_b64_len), key);
        }
    }
    assert_null(sg_keyring_keyset(keyring, "keyset-1000"));
    assert_null(sg_keyring_keys(keyring, "kid-0-10", 8, &num));
    assert_null(sg_keyring_keys(keyring, "kid-1000-0", 10, &num));
    sg_keyring_unref(keyring);
    many_free(many);
}

#define KEYRING_TEST(name) cmocka_unit_test_setup_teardown(name, keyring_setup, keyring_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYRING_TEST(test_build__copies_what_it_is_given),
        KEYRING_TEST(test_build__nothing_makes_a_keyring_too),
        KEYRING_TEST(test_build__refuses_what_cannot_stand_in_a_token),
        KEYRING_TEST(test_build__headers_name_alg_kid_and_typ),
        KEYRING_TEST(test_build__keys_sign_and_verify),
        KEYRING_TEST(test_keyset__is_found_by_its_whole_name),
        KEYRING_TEST(test_keys__are_found_by_length_and_bytes),
        KEYRING_TEST(test_keys__of_one_kid_are_all_found_ours_first),
        KEYRING_TEST(test_key_of_header__is_the_key_that_writes_it),
        KEYRING_TEST(test_state__changes_at_the_very_second),
        KEYRING_TEST(test_state__of_keys_that_never_sign_or_were_revoked),
        KEYRING_TEST(test_signing_key__is_the_active_one_whatever_the_clock_says),
        KEYRING_TEST(test_signing_key__has_its_private_part_in_memory),
        KEYRING_TEST(test_signing_key__is_never_one_that_may_not),
        KEYRING_TEST(test_foreign__keys_verify_and_never_sign),
        KEYRING_TEST(test_core__gives_its_slot_back_with_the_last_reference),
        KEYRING_TEST(test_core__gives_its_slot_back_once),
        KEYRING_TEST(test_core__takes_a_kid_up_to_its_longest),
        KEYRING_TEST(test_last_expiry__is_the_latest_and_known_or_bounded),
        KEYRING_TEST(test_note_expiry__loses_none_of_several_threads),
        KEYRING_TEST(test_holder__has_what_was_set_last),
        KEYRING_TEST(test_holder__is_read_and_set_by_many_threads),
        KEYRING_TEST(test_build__finds_each_of_ten_thousand_keys),
    };
    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
