/* SPDX-License-Identifier: Apache-2.0
 *
 * Ten thousand keys in a thousand keysets: all of them are found, and what a start and a check cost is
 * printed beside what ten keys cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keys_fixture.h"
#include "server/keyholder/keys.h"
#include "server/keyholder/keystore.h"

/* Sanitizers look at what is done, not at how much of it. */
#define MANY_KEYSETS (SG_SANITIZED ? 200u : 1000u)
#define MANY_EACH    10u
#define MANY_CHECKS  4000u
#define MANY_PERIOD  3600

static double many_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Making them: straight into the keystore, since a thousand periods would take a while ---- */

static void many_add(struct sg_keystore *store, const struct sg_config_keyset *keyset,
                     unsigned number)
{
    struct sg_private_key *key = NULL;
    const char *why = "";
    uint8_t *bytes = NULL;
    size_t len = 0;
    char message[SG_KEYSTORE_MAX_MESSAGE] = "";
    const int64_t sign_from = FIXTURE_NOW - (int64_t)(MANY_EACH - 1 - number) * MANY_PERIOD;
    struct sg_key_record record = {.alg = keyset->alg,
                                   .max_ttl_s = keyset->max_ttl_s,
                                   .created_at = sign_from - 600,
                                   .sign_from = sign_from};
    size_t public_len = 0;
    (void)snprintf(record.keyset, sizeof(record.keyset), "%s", keyset->name);
    (void)snprintf(record.kid, sizeof(record.kid), "kid-%s-%u", keyset->name, number);
    assert_int_equal(sg_private_key_generate(keyset->alg, 0, &key, &why), SIGNET_OK);
    if (key->pkey != NULL) {
        assert_int_equal(sg_private_key_public(key, record.public_key, sizeof(record.public_key),
                                               &public_len, &why),
                         SIGNET_OK);
    }
    record.public_len = (uint32_t)public_len;
    assert_int_equal(sg_private_key_export(key, &bytes, &len, &why), SIGNET_OK);
    assert_int_equal(
        sg_keystore_add(store, &record, bytes, len, (struct sg_kek_message){.text = message}),
        SIGNET_OK);
    sg_secret_release(bytes, len);
    sg_private_key_unref(key);
}

static void many_fill(const struct keys_fixture *keys)
{
    struct sg_keystore *store = NULL;
    char message[SG_KEYSTORE_MAX_MESSAGE] = "";
    const struct sg_keystore_place place = {
        .dir = keys->state_dir, .source = keys->source, .passphrase_fd = -1};
    assert_int_equal(
        sg_keystore_open(&place, false, &store, (struct sg_kek_message){.text = message}),
        SIGNET_OK);
    for (size_t i = 0; i < keys->config.num_keysets; i++) {
        for (unsigned k = 0; k < MANY_EACH; k++) {
            many_add(store, &keys->config.keysets[i], k);
        }
    }
    sg_keystore_close(store);
}

static struct sg_config_keyset *many_configure(struct keys_fixture *keys, size_t num)
{
    struct sg_config_keyset *keysets = calloc(num, sizeof(*keysets));
    char(*names)[32] = calloc(num, sizeof(*names));
    assert_non_null(keysets);
    assert_non_null(names);
    for (size_t i = 0; i < num; i++) {
        keysets[i] = keys->keysets[i % 2]; /* ES256 and HS256 */
        (void)snprintf(names[i], sizeof(names[i]), "set-%zu", i);
        keysets[i].name = names[i];
    }
    keys->config.keysets = keysets;
    keys->config.num_keysets = num;
    return keysets;
}

static void many_release(struct keys_fixture *keys, struct sg_config_keyset *keysets)
{
    keys_stop(keys);
    free(keysets[0].name); /* the names are one block */
    free(keysets);
    keys->config.keysets = keys->keysets;
}

/* ---- Measuring ---- */

/* Microseconds for a check by kid of a token of the keyset. */
static double many_check(const struct keys_fixture *keys, const char *keyset)
{
    struct keys_token token = keys_sign(keys, keyset, 60);
    double start = many_seconds();
    for (unsigned i = 0; i < MANY_CHECKS; i++) {
        struct fixture_verdict verdict = keys_judge(keys, &token);
        assert_true(verdict.good);
    }
    double each = (many_seconds() - start) * 1e6 / MANY_CHECKS;
    free(token.text);
    return each;
}

static void test_many__are_found_whatever_their_number(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_config_keyset *keysets = many_configure(keys, 1);
    many_fill(keys);
    keys_start(keys);
    double few_es = many_check(keys, "set-0");
    many_release(keys, keysets);

    struct keys_fixture *fresh = NULL;
    assert_int_equal(keys_setup((void **)&fresh), 0);
    keysets = many_configure(fresh, MANY_KEYSETS);
    many_fill(fresh);
    double start = many_seconds();
    keys_start(fresh);
    double started = many_seconds() - start;
    struct sg_key_list list = keys_list(fresh, "");
    assert_int_equal(list.num_keysets, MANY_KEYSETS);
    for (size_t i = 0; i < list.num_keysets; i++) {
        assert_int_equal(list.keysets[i].num_keys, MANY_EACH);
        assert_int_equal(list.keysets[i].keys[MANY_EACH - 1].state, SG_KEY_ACTIVE);
    }
    sg_key_list_fini(&list);
    for (size_t i = 0; i < MANY_KEYSETS; i += 97) {
        struct keys_token token = keys_sign(fresh, keysets[i].name, 60);
        assert_true(keys_judge(fresh, &token).good);
        free(token.text);
    }
    double many_es = many_check(fresh, keysets[MANY_KEYSETS / 2].name);
    start = many_seconds();
    keys_go(fresh, FIXTURE_NOW + 1);
    double tick = many_seconds() - start;
    print_message(
        "%u keys: start %.2f s, a second's look %.1f ms, a check by kid %.1f us (%.1f us with "
        "%u keys)\n",
        MANY_KEYSETS * MANY_EACH, started, tick * 1e3, many_es, few_es, MANY_EACH);
    many_release(fresh, keysets);
    (void)keys_teardown((void **)&fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many__are_found_whatever_their_number, keys_setup,
                                        keys_teardown),
    };
    return cmocka_run_group_tests_name("many_keys", tests, NULL, NULL);
}
