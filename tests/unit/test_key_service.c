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
    struct sg_config config = *other.config;
    struct sg_config_keyset keyset = config.keysets[0];
    char error[256] = "";
    struct fixture_answer answer;
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    keyset.alg = SG_ALG_ED448;
    config.keysets = &keyset;
    config.num_keysets = 1;
    assert_int_equal(
        sg_keyring_new(&config, other.keyholder, FIXTURE_NOW, &other.keyring, error, sizeof(error)),
        SIGNET_OK);
    other.service.keyring = other.keyring;
    fixture_call(&other, SG_METHOD_LIST_KEYSETS, &request.base,
                 &signet__v1__list_keysets_response__descriptor, &answer);
    assert_int_equal(answer.code, 0);
    const Signet__V1__ListKeysetsResponse *response =
        (const Signet__V1__ListKeysetsResponse *)answer.payload;
    assert_string_equal(response->keysets[0]->alg, "Ed448");
    fixture_answer_free(&answer);
    sg_keyring_free(other.keyring);
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
    };
    return cmocka_run_group_tests_name("key_service", tests, fixture_setup, fixture_teardown);
}
