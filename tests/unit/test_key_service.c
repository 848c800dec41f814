/* SPDX-License-Identifier: Apache-2.0
 *
 * KeyService: what is told of the keys, and that no more is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc.h"
#include "server/config.h"
#include "server/price.h"
#include "service_fixture.h"
#include "signet/v1/key.pb-c.h"

/* The keys of the set that is answered for a keyset's name; json_decref() them. */
static json_t *get_keys(const struct fixture *fixture, const char *keyset)
{
    char name[65];
    struct fixture_answer answer;
    Signet__V1__GetJwksRequest request = SIGNET__V1__GET_JWKS_REQUEST__INIT;
    (void)snprintf(name, sizeof(name), "%s", keyset);
    request.keyset = name;
    fixture_call(fixture, SG_METHOD_GET_JWKS, &request.base,
                 &signet__v1__get_jwks_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__GetJwksResponse *response =
        (const Signet__V1__GetJwksResponse *)answer.payload;
    json_t *set = json_loads(response->jwks_json, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(set);
    assert_int_equal(json_object_size(set), 1);
    assert_null(strchr(response->jwks_json, ' '));
    json_t *keys = json_incref(json_object_get(set, "keys"));
    assert_true(json_is_array(keys));
    json_decref(set);
    fixture_answer_free(&answer);
    return keys;
}

static void test_get_jwks__tells_public_keys_in_order(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const keysets[] = {"demo-rs256", "demo-ps256", "demo-es256", "demo-eddsa"};
    json_t *keys = get_keys(fixture, "");
    assert_int_equal(json_array_size(keys), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *key = json_array_get(keys, i);
        assert_string_equal(json_string_value(json_object_get(key, "kid")),
                            fixture_key(fixture, keysets[i])->kid);
        assert_string_equal(json_string_value(json_object_get(key, "use")), "sig");
        json_t *alone = get_keys(fixture, keysets[i]);
        assert_int_equal(json_array_size(alone), 1);
        assert_true(json_equal(json_array_get(alone, 0), key));
        json_decref(alone);
    }
    json_decref(keys);
}

static void test_get_jwks__holds_nothing_secret(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const secret[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    json_t *keys = get_keys(fixture, "");
    size_t num_keys = 0;
    size_t index = 0;
    const json_t *key = NULL;
    json_array_foreach(keys, index, key)
    {
        for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++) {
            assert_null(json_object_get(key, secret[i]));
        }
        assert_string_not_equal(json_string_value(json_object_get(key, "kty")), "oct");
        num_keys++;
    }
    assert_int_equal(num_keys, 4);
    json_decref(keys);
    json_t *none = get_keys(fixture, "demo-hs256");
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
}

static void test_get_jwks__an_unknown_keyset_is_not_found(void **state)
{
    const struct fixture *fixture = *state;
    struct fixture_answer answer;
    char name[] = "demo-none";
    char bad[] = "no such";
    Signet__V1__GetJwksRequest request = SIGNET__V1__GET_JWKS_REQUEST__INIT;
    request.keyset = name;
    fixture_call(fixture, SG_METHOD_GET_JWKS, &request.base,
                 &signet__v1__get_jwks_response__descriptor, &answer);
    assert_int_equal(answer.code, SIGNET_NOT_FOUND);
    assert_string_equal(answer.reason, "KEYSET_UNKNOWN");
    fixture_answer_free(&answer);
    request.keyset = bad;
    fixture_call(fixture, SG_METHOD_GET_JWKS, &request.base,
                 &signet__v1__get_jwks_response__descriptor, &answer);
    assert_int_equal(answer.code, SIGNET_INVALID_ARGUMENT);
    assert_string_equal(answer.reason, "KEYSET_INVALID");
    fixture_answer_free(&answer);
}

static void test_list_keysets__tells_policy_and_keys(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const algs[] = {"HS256", "RS256", "PS256", "ES256", "EdDSA"};
    struct fixture_answer answer;
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    fixture_call(fixture, SG_METHOD_LIST_KEYSETS, &request.base,
                 &signet__v1__list_keysets_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__ListKeysetsResponse *response =
        (const Signet__V1__ListKeysetsResponse *)answer.payload;
    assert_int_equal(response->n_keysets, 5);
    for (size_t i = 0; i < 5; i++) {
        const Signet__V1__Keyset *told = response->keysets[i];
        const struct sg_keyset *keyset = sg_keyring_keyset_at(fixture->keyring, i);
        assert_string_equal(told->name, keyset->name);
        assert_string_equal(told->alg, algs[i]);
        assert_string_equal(told->issuer, keyset->issuer);
        assert_string_equal(told->typ, "JWT");
        assert_int_equal(told->default_ttl_s, keyset->default_ttl_s);
        assert_int_equal(told->max_ttl_s, keyset->max_ttl_s);
        assert_int_equal(told->n_keys, 1);
        assert_string_equal(told->keys[0]->kid, keyset->keys[0].kid);
        assert_int_equal(told->keys[0]->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
        assert_int_equal(told->keys[0]->created_at, FIXTURE_NOW - 60);
    }
    fixture_answer_free(&answer);
}

/* A clock that was set back to before the keys were made. */
static void test_list_keysets__keys_are_active_whatever_the_clock_says(void **state)
{
    struct fixture earlier = *(const struct fixture *)*state;
    struct fixture_answer answer;
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    earlier.now.wall_s = FIXTURE_NOW - 61;
    fixture_call(&earlier, SG_METHOD_LIST_KEYSETS, &request.base,
                 &signet__v1__list_keysets_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__ListKeysetsResponse *response =
        (const Signet__V1__ListKeysetsResponse *)answer.payload;
    assert_int_equal(response->keysets[0]->keys[0]->state, SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE);
    fixture_answer_free(&answer);
}

/* "EdDSA" in a token's header is either curve; a keyset's algorithm is one of them. */
static void test_list_keysets__tells_the_edwards_curves_apart(void **state)
{
    struct fixture other = *(const struct fixture *)*state;
    struct sg_config_keyset keyset = other.config->keysets[0];
    struct fixture_answer answer;
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    keyset.alg = SG_ALG_ED448;
    struct sg_keyring_holder keyrings;
    struct sg_key_core *core = sg_key_core_new(other.keyholder, keyset.alg, "one", NULL, 0);
    const struct sg_keyring_key key = {.core = core, .times = {.seq = 1}};
    const struct sg_keyring_part part = {.policy = &keyset, .keys = &key, .num_keys = 1};
    assert_int_equal(sg_keyring_build(&part, 1, NULL, 0, &other.keyring), SIGNET_OK);
    sg_key_core_unref(core);
    sg_keyring_holder_init(&keyrings);
    sg_keyring_holder_set(&keyrings, other.keyring);
    other.service.keyrings = &keyrings;
    fixture_call(&other, SG_METHOD_LIST_KEYSETS, &request.base,
                 &signet__v1__list_keysets_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__ListKeysetsResponse *response =
        (const Signet__V1__ListKeysetsResponse *)answer.payload;
    assert_string_equal(response->keysets[0]->alg, "Ed448");
    fixture_answer_free(&answer);
    sg_keyring_holder_fini(&keyrings);
}

/* ---- Keys in every state ---- */

enum {
    KEY_RETIRED,
    KEY_LAST,
    KEY_SIGNS,
    KEY_NEXT,
    KEY_REVOKED,
    KEY_GUEST,
    NUM_KEYS
};

/* A keyring of one keyset, with a key of each kind. */
static struct sg_keyring *build_states(const struct fixture *fixture)
{
    static const int64_t from[NUM_KEYS] = {-5000, -4000, -3000, 100, -3500, 0};
    static const char *const kids[NUM_KEYS] = {"retired", "last",    "signs",
                                               "next",    "revoked", "guest"};
    struct sg_config_keyset policy = fixture->config->keysets[0];
    struct sg_keyring_key keys[NUM_KEYS];
    struct sg_keyring *keyring = NULL;
    policy.overlap_s = 0;
    for (uint32_t i = 0; i < NUM_KEYS; i++) {
        keys[i] = (struct sg_keyring_key){
            .core = sg_key_core_new(fixture->keyholder, SG_ALG_HS256, kids[i], NULL, 0),
            .times = {.seq = i + 1,
                      .created_at = FIXTURE_NOW - 9000 + i,
                      .sign_from = FIXTURE_NOW + from[i]}};
        assert_non_null(keys[i].core);
    }
    keys[KEY_REVOKED].times.revoked_at = FIXTURE_NOW - 3400;
    keys[KEY_GUEST].times.never_signs = true;
    keys[KEY_GUEST].times.verify_until = FIXTURE_NOW + 50;
    keys[KEY_GUEST].imported = true;
    sg_key_core_note_expiry(keys[KEY_LAST].core, FIXTURE_NOW - 10);
    keys[KEY_SIGNS].core->expiry_before = FIXTURE_NOW + 10;
    keys[KEY_SIGNS].core->expiry_before_is_exact = false;
    const struct sg_keyring_part part = {.policy = &policy, .keys = keys, .num_keys = NUM_KEYS};
    assert_int_equal(sg_keyring_build(&part, 1, NULL, 0, &keyring), SIGNET_OK);
    for (size_t i = 0; i < NUM_KEYS; i++) {
        sg_key_core_unref(keys[i].core);
    }
    return keyring;
}

/* Times that are not known, or have no meaning for a key, are 0 on the wire. */
static void test_list_keysets__tells_state_and_times_of_every_key(void **state)
{
    static const Signet__V1__Key expected[NUM_KEYS] = {
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_RETIRED,
         .sign_from = FIXTURE_NOW - 5000,
         .sign_until = FIXTURE_NOW - 4000,
         .verify_until = FIXTURE_NOW - 4000 + SG_ROTATION_SETTLE_S,
         .last_expiry_is_exact = 1},
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_VERIFY_ONLY,
         .sign_from = FIXTURE_NOW - 4000,
         .sign_until = FIXTURE_NOW - 3000,
         .verify_until = FIXTURE_NOW - 10 + SG_MAX_LEEWAY_S,
         .last_expiry = FIXTURE_NOW - 10,
         .last_expiry_is_exact = 1},
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_ACTIVE,
         .sign_from = FIXTURE_NOW - 3000,
         .sign_until = FIXTURE_NOW + 100,
         .verify_until = FIXTURE_NOW + 10 + SG_MAX_LEEWAY_S,
         .last_expiry = FIXTURE_NOW + 10},
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_NEXT,
         .sign_from = FIXTURE_NOW + 100,
         .last_expiry_is_exact = 1},
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_REVOKED,
         .sign_from = FIXTURE_NOW - 3500,
         .sign_until = FIXTURE_NOW - 3400,
         .verify_until = FIXTURE_NOW - 3400,
         .revoked_at = FIXTURE_NOW - 3400,
         .last_expiry_is_exact = 1},
        {.state = SIGNET__V1__KEY_STATE__KEY_STATE_VERIFY_ONLY,
         .verify_until = FIXTURE_NOW + 50,
         .imported = 1,
         .verify_only = 1,
         .last_expiry_is_exact = 1},
    };
    struct fixture other = *(const struct fixture *)*state;
    struct sg_keyring_holder keyrings;
    struct fixture_answer answer;
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    sg_keyring_holder_init(&keyrings);
    sg_keyring_holder_set(&keyrings, build_states(&other));
    other.service.keyrings = &keyrings;
    fixture_call(&other, SG_METHOD_LIST_KEYSETS, &request.base,
                 &signet__v1__list_keysets_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__ListKeysetsResponse *response =
        (const Signet__V1__ListKeysetsResponse *)answer.payload;
    assert_int_equal(response->n_keysets, 1);
    assert_int_equal(response->keysets[0]->n_keys, NUM_KEYS);
    for (size_t i = 0; i < NUM_KEYS; i++) {
        const Signet__V1__Key *key = response->keysets[0]->keys[i];
        assert_string_equal(key->alg, "HS256");
        assert_int_equal(key->state, expected[i].state);
        assert_int_equal(key->created_at, FIXTURE_NOW - 9000 + (int64_t)i);
        assert_int_equal(key->sign_from, expected[i].sign_from);
        assert_int_equal(key->sign_until, expected[i].sign_until);
        assert_int_equal(key->verify_until, expected[i].verify_until);
        assert_int_equal(key->last_expiry, expected[i].last_expiry);
        assert_int_equal(key->last_expiry_is_exact, expected[i].last_expiry_is_exact);
        assert_int_equal(key->revoked_at, expected[i].revoked_at);
        assert_int_equal(key->imported, expected[i].imported);
        assert_int_equal(key->verify_only, expected[i].verify_only);
    }
    fixture_answer_free(&answer);
    sg_keyring_holder_fini(&keyrings);
}

/* They are everybody's to ask for, and the only calls whose work the caller's bytes say nothing of. */
static void test_price__of_telling_grows_with_the_keys(void **state)
{
    const struct fixture *fixture = *state;
    static char one[] = "demo-rs256";
    struct sg_costs *costs = NULL;
    Signet__V1__GetJwksRequest all = SIGNET__V1__GET_JWKS_REQUEST__INIT;
    Signet__V1__GetJwksRequest of_one = SIGNET__V1__GET_JWKS_REQUEST__INIT;
    Signet__V1__ListKeysetsRequest list = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    const size_t num_keys = sg_keyring_num_keys(fixture->keyring);
    assert_int_equal(sg_costs_new(&costs), SIGNET_OK);
    uint64_t least_us = sg_costs_request(0);
    uint64_t all_us = sg_price(costs, fixture->keyring, FIXTURE_NOW, &all.base, 0);
    of_one.keyset = one;
    assert_true(num_keys > 1);
    assert_int_equal(all_us, least_us + num_keys * sg_costs_jwk());
    assert_int_equal(sg_price(costs, fixture->keyring, FIXTURE_NOW, &of_one.base, 0),
                     least_us + sg_costs_jwk());
    assert_int_equal(sg_price(costs, fixture->keyring, FIXTURE_NOW, &list.base, 0),
                     least_us + num_keys * sg_costs_key());
    sg_costs_free(costs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_jwks__tells_public_keys_in_order),
        cmocka_unit_test(test_get_jwks__holds_nothing_secret),
        cmocka_unit_test(test_get_jwks__an_unknown_keyset_is_not_found),
        cmocka_unit_test(test_list_keysets__tells_policy_and_keys),
        cmocka_unit_test(test_list_keysets__keys_are_active_whatever_the_clock_says),
        cmocka_unit_test(test_list_keysets__tells_the_edwards_curves_apart),
        cmocka_unit_test(test_list_keysets__tells_state_and_times_of_every_key),
        cmocka_unit_test(test_price__of_telling_grows_with_the_keys),
    };
    return cmocka_run_group_tests_name("key_service", tests, fixture_setup, fixture_teardown);
}
