/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of keys, with a clock that is set and real files: making, rotating, remembering, revoking,
 * importing, reloading, and what a start makes of what it finds.
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
#include <sys/stat.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/seal/seal.h"
#include "keys_fixture.h"
#include "server/keyholder/keys.h"
#include "tests/support/files.h"

#define HOUR   3600
#define LEAD   600
#define LEEWAY ((int64_t)SG_MAX_LEEWAY_S)

/* ---- Looking ---- */

static void must_be_good(const struct keys_fixture *keys, const struct keys_token *token)
{
    struct fixture_verdict verdict = keys_judge(keys, token);
    if (!verdict.good) {
        fail_msg("at %lld a token of %s that expires at %lld is refused: %s %s",
                 (long long)keys_clock(), token->kid, (long long)token->expires_at, verdict.word,
                 verdict.detail);
    }
}

static void must_be_refused(const struct keys_fixture *keys, const struct keys_token *token,
                            Signet__V1__RejectionReason reason)
{
    struct fixture_verdict verdict = keys_judge(keys, token);
    assert_false(verdict.good);
    assert_int_equal(verdict.code, 0);
    assert_int_equal(verdict.reason, reason);
}

static size_t num_in_state(const struct sg_key_list *list, enum sg_key_state state)
{
    size_t num = 0;
    for (size_t i = 0; i < list->num_keysets; i++) {
        for (size_t k = 0; k < list->keysets[i].num_keys; k++) {
            num += list->keysets[i].keys[k].state == state ? 1 : 0;
        }
    }
    return num;
}

static enum sg_key_state state_of(const struct keys_fixture *keys, const char *keyset,
                                  const char *kid)
{
    struct sg_key_list list = keys_list(keys, keyset);
    enum sg_key_state state = 0;
    for (size_t k = 0; k < list.keysets[0].num_keys; k++) {
        if (strcmp(list.keysets[0].keys[k].kid, kid) == 0) {
            state = list.keysets[0].keys[k].state;
        }
    }
    sg_key_list_fini(&list);
    assert_int_not_equal(state, 0);
    return state;
}

/* The kid that waits to sign; "" if none does. */
static void find_next(const struct keys_fixture *keys, const char *keyset, char kid[257])
{
    struct sg_key_list list = keys_list(keys, keyset);
    kid[0] = '\0';
    for (size_t k = 0; k < list.keysets[0].num_keys; k++) {
        if (list.keysets[0].keys[k].state == SG_KEY_NEXT) {
            assert_string_equal(kid, ""); /* never more than one */
            (void)snprintf(kid, 257, "%s", list.keysets[0].keys[k].kid);
        }
    }
    sg_key_list_fini(&list);
}

static size_t num_keys(const struct keys_fixture *keys, const char *keyset)
{
    struct sg_key_list list = keys_list(keys, keyset);
    size_t num = list.keysets[0].num_keys;
    sg_key_list_fini(&list);
    return num;
}

/* ---- Starting ---- */

static void test_start__makes_one_key_for_each_keyset_and_publishes_it(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct sg_key_list list = keys_list(keys, "");
    assert_int_equal(list.num_keysets, 2);
    assert_int_equal(num_in_state(&list, SG_KEY_ACTIVE), 2);
    assert_int_equal(list.num_damaged, 0);
    assert_true(keys_published(keys, list.keysets[0].keys[0].kid));
    assert_false(keys_published(keys, list.keysets[1].keys[0].kid)); /* a secret */
    assert_int_equal(list.keysets[0].next_key_at, FIXTURE_NOW + HOUR - LEAD);
    sg_key_list_fini(&list);
}

static void test_start__finds_the_keys_of_before(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct keys_token es = keys_sign(keys, "es", 0);
    struct keys_token hs = keys_sign(keys, "hs", 0);
    keys_stop(keys);
    keys_set_clock(keys, FIXTURE_NOW + 60);
    keys_start(keys);
    must_be_good(keys, &es);
    must_be_good(keys, &hs);
    struct keys_token again = keys_sign(keys, "es", 0);
    assert_string_equal(again.kid, es.kid);
    assert_int_equal(num_keys(keys, "es"), 1);
    assert_int_equal(num_keys(keys, "hs"), 1);
    free(again.text);
    free(es.text);
    free(hs.text);
}

static void test_start__without_a_keystore_says_how_to_make_one(void **state)
{
    struct keys_fixture *keys = *state;
    char path[192];
    keys_path(keys, "", path, sizeof(path));
    test_remove_tree(path);
    char *error = keys_try_start(keys);
    assert_non_null(error);
    assert_non_null(strstr(error, "signet keystore init"));
    free(error);
    assert_int_not_equal(access(path, F_OK), 0); /* and made none */
}

/* ---- Rotating ---- */

static void test_rotation__publishes_then_signs_then_keeps_then_ends(void **state)
{
    struct keys_fixture *keys = *state;
    char next[257];
    keys_start(keys);
    struct keys_token first = keys_sign(keys, "es", 0);

    keys_go(keys, FIXTURE_NOW + HOUR - LEAD - 1);
    find_next(keys, "es", next);
    assert_string_equal(next, "");

    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    find_next(keys, "es", next);
    assert_string_not_equal(next, "");
    assert_true(keys_published(keys, next));
    struct keys_token before = keys_sign(keys, "es", 0);
    assert_string_equal(before.kid, first.kid);

    keys_go(keys, FIXTURE_NOW + HOUR - 1);
    struct keys_token last = keys_sign(keys, "es", 1800);
    assert_string_equal(last.kid, first.kid);

    keys_set_clock(keys, FIXTURE_NOW + HOUR); /* nobody has to act for it */
    struct keys_token after = keys_sign(keys, "es", 0);
    assert_string_equal(after.kid, next);
    must_be_good(keys, &last);
    must_be_good(keys, &after);
    assert_int_equal(state_of(keys, "es", first.kid), SG_KEY_VERIFY_ONLY);

    keys_go(keys, last.expires_at - 1);
    must_be_good(keys, &last);
    keys_go(keys, last.expires_at + LEEWAY - 1);
    assert_int_equal(state_of(keys, "es", first.kid), SG_KEY_VERIFY_ONLY);
    assert_true(keys_published(keys, first.kid));
    keys_go(keys, last.expires_at + LEEWAY);
    assert_int_equal(state_of(keys, "es", first.kid), SG_KEY_RETIRED);
    assert_false(keys_published(keys, first.kid));
    free(first.text);
    free(before.text);
    free(last.text);
    free(after.text);
}

static void test_rotation__keeps_an_old_key_for_its_overlap(void **state)
{
    struct keys_fixture *keys = *state;
    keys->keysets[0].overlap_s = 2 * HOUR;
    keys_start(keys);
    struct keys_token first = keys_sign(keys, "es", 60);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR);
    keys_go(keys, FIXTURE_NOW + 3 * HOUR - 1);
    assert_int_equal(state_of(keys, "es", first.kid), SG_KEY_VERIFY_ONLY);
    keys_go(keys, FIXTURE_NOW + 3 * HOUR);
    assert_int_equal(state_of(keys, "es", first.kid), SG_KEY_RETIRED);
    free(first.text);
}

static void test_rotation__after_a_year_away_makes_one_key_and_publishes_it_first(void **state)
{
    struct keys_fixture *keys = *state;
    char next[257];
    keys_start(keys);
    struct keys_token first = keys_sign(keys, "es", 0);
    keys_stop(keys);
    keys_set_clock(keys, FIXTURE_NOW + 365 * 24 * HOUR);
    keys_start(keys);
    assert_int_equal(num_keys(keys, "es"), 2);
    struct keys_token still = keys_sign(keys, "es", 0);
    assert_string_equal(still.kid, first.kid);
    find_next(keys, "es", next);
    assert_true(keys_published(keys, next));
    keys_go(keys, keys_clock() + LEAD);
    struct keys_token after = keys_sign(keys, "es", 0);
    assert_string_equal(after.kid, next);
    must_be_good(keys, &still);
    free(first.text);
    free(still.text);
    free(after.text);
}

/* Signs under every keyset, and demands that who signs is published. */
static void must_sign(const struct keys_fixture *keys)
{
    struct keys_token es = keys_sign(keys, "es", 60);
    struct keys_token hs = keys_sign(keys, "hs", 60);
    assert_true(keys_published(keys, es.kid));
    must_be_good(keys, &es);
    must_be_good(keys, &hs);
    free(es.text);
    free(hs.text);
}

static void test_clock__stepped_across_every_boundary_leaves_no_gap(void **state)
{
    struct keys_fixture *keys = *state;
    static const int64_t boundaries[] = {-365 * 24 * HOUR,
                                         -HOUR,
                                         -LEAD,
                                         -1,
                                         0,
                                         1,
                                         HOUR - LEAD,
                                         HOUR - 1,
                                         HOUR,
                                         HOUR + LEEWAY,
                                         2 * HOUR - LEAD,
                                         2 * HOUR,
                                         3 * HOUR,
                                         30 * 24 * HOUR,
                                         365 * 24 * HOUR};
    const size_t num = sizeof(boundaries) / sizeof(boundaries[0]);
    keys_start(keys);
    for (size_t i = 0; i < num; i++) {
        for (size_t k = 0; k < num; k++) {
            for (int64_t off = -1; off <= 1; off++) {
                keys_set_clock(keys, FIXTURE_NOW + boundaries[i] + off);
                must_sign(keys); /* before anything noticed */
                keys_go(keys, keys_clock());
                must_sign(keys);
                keys_set_clock(keys, FIXTURE_NOW + boundaries[k] + off);
                must_sign(keys);
                keys_go(keys, keys_clock());
                must_sign(keys);
            }
        }
    }
    /* However wildly it went, keys were not made without end. */
    assert_in_range(num_keys(keys, "es"), 2, 64);
    keys_stop(keys);
    keys_start(keys);
    must_sign(keys);
}

static void test_rotation__lets_private_parts_go_when_they_sign_no_more(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct sg_keyring *keyring = sg_keyring_holder_get(keys->base.service.keyrings);
    struct sg_key_core *core = sg_key_core_ref(sg_keyring_keyset(keyring, "es")->keys[0].core);
    sg_keyring_unref(keyring);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR);
    assert_int_not_equal(atomic_load(&core->slot), 0); /* a request may still be at it */
    keys_go(keys, FIXTURE_NOW + HOUR + 61);
    assert_int_equal(atomic_load(&core->slot), 0);
    /* A clock that goes back wants it again, and gets it. */
    keys_go(keys, FIXTURE_NOW + 10);
    assert_int_not_equal(atomic_load(&core->slot), 0);
    struct keys_token token = keys_sign(keys, "es", 60);
    assert_string_equal(token.kid, core->kid);
    free(token.text);
    sg_key_core_unref(core);
}

static void test_rotation__of_another_algorithm_keeps_old_tokens_good(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct keys_token old = keys_sign(keys, "es", 0);
    keys_stop(keys);
    keys->keysets[0].alg = SG_ALG_ED448;
    keys_start(keys);
    struct keys_token still = keys_sign(keys, "es", 0);
    assert_string_equal(still.kid, old.kid); /* until the new one has been published long enough */
    keys_go(keys, FIXTURE_NOW + LEAD);
    struct keys_token fresh = keys_sign(keys, "es", 0);
    assert_string_not_equal(fresh.kid, old.kid);
    must_be_good(keys, &old);
    must_be_good(keys, &still);
    must_be_good(keys, &fresh);
    free(old.text);
    free(still.text);
    free(fresh.text);
}

/* ---- Remembering ---- */

static int64_t last_expiry(const struct keys_fixture *keys, const char *kid, bool *is_exact)
{
    struct sg_key_list list = keys_list(keys, "es");
    int64_t expiry = -1;
    for (size_t k = 0; k < list.keysets[0].num_keys; k++) {
        const struct sg_listed_key *key = &list.keysets[0].keys[k];
        if (strcmp(key->kid, kid) == 0) {
            expiry = key->last_expiry;
            *is_exact = key->expiry_is_exact;
        }
    }
    sg_key_list_fini(&list);
    return expiry;
}

static void test_expiry__survives_a_stop_exactly(void **state)
{
    struct keys_fixture *keys = *state;
    bool is_exact = false;
    keys_start(keys);
    struct keys_token token = keys_sign(keys, "es", 1234);
    assert_int_equal(last_expiry(keys, token.kid, &is_exact), token.expires_at);
    keys_stop(keys);
    keys_start(keys);
    assert_int_equal(last_expiry(keys, token.kid, &is_exact), token.expires_at);
    assert_true(is_exact);
    free(token.text);
}

static void test_expiry__after_a_crash_is_a_bound_that_is_never_too_early(void **state)
{
    struct keys_fixture *keys = *state;
    bool is_exact = true;
    keys_start(keys);
    keys_go(keys, FIXTURE_NOW + 10);
    /* After the tick, so that nothing on the disk knows of it. */
    struct keys_token token = keys_sign(keys, "es", 1800);
    keys_crash(keys);
    keys_start(keys);
    int64_t bound = last_expiry(keys, token.kid, &is_exact);
    assert_true(bound >= token.expires_at);
    assert_false(is_exact);
    /* And a bound it stays, after a stop in order too. */
    keys_stop(keys);
    keys_start(keys);
    assert_int_equal(last_expiry(keys, token.kid, &is_exact), bound);
    assert_false(is_exact);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR);
    keys_go(keys, token.expires_at - 1);
    must_be_good(keys, &token);
    free(token.text);
}

static void test_expiry__of_a_token_signed_at_the_last_moment_outlives_a_crash(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR - 1);
    struct keys_token token = keys_sign(keys, "es", 1800);
    keys_crash(keys);
    keys_set_clock(keys, token.expires_at - 1);
    keys_start(keys);
    must_be_good(keys, &token);
    /* It might have signed one more, a second later, in a request that took its time. */
    keys_go(keys, token.expires_at + 1 + SG_ROTATION_SETTLE_S + LEEWAY);
    assert_int_equal(state_of(keys, "es", token.kid), SG_KEY_RETIRED);
    free(token.text);
}

static void test_clock__set_back_behind_a_final_record_survives_a_crash(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct keys_token first = keys_sign(keys, "es", 60);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR + 120); /* the record is final */
    keys_go(keys, FIXTURE_NOW + HOUR - 10);  /* and the old key signs again */
    struct keys_token token = keys_sign(keys, "es", 1790);
    assert_string_equal(token.kid, first.kid);
    keys_crash(keys);
    keys_start(keys);
    keys_go(keys, token.expires_at - 1);
    must_be_good(keys, &token);
    free(first.text);
    free(token.text);
}

static void test_expiry__of_a_keyset_that_left_the_configuration_is_kept(void **state)
{
    struct keys_fixture *keys = *state;
    char error[512] = "";
    static struct sg_config without; /* outlives the case, as the keymaster wants it */
    without = keys->config;
    keys_start(keys);
    struct keys_token token = keys_sign(keys, "es", 1800);
    without.keysets = &keys->keysets[1];
    without.num_keysets = 1;
    assert_int_equal(sg_keymaster_reload(keys->base.keymaster, &without, error, sizeof(error)),
                     SIGNET_OK);
    keys_stop(keys);
    keys_start(keys);
    bool is_exact = false;
    assert_int_equal(last_expiry(keys, token.kid, &is_exact), token.expires_at);
    assert_true(is_exact);
    free(token.text);
}

/* ---- Revoking ---- */

static void revoke_key(const struct keys_fixture *keys, const char *kid, char signing[257])
{
    struct sg_key_list list = {0};
    const struct sg_listed_key *key = NULL;
    struct sg_rpc_status error = {0};
    assert_int_equal(
        sg_keymaster_revoke(keys->base.keymaster, kid, "", &list, &key, signing, &error),
        SIGNET_OK);
    assert_string_equal(key->kid, kid);
    assert_int_equal(key->state, SG_KEY_REVOKED);
    sg_key_list_fini(&list);
}

static void test_revoke__ends_a_key_at_once_and_for_ever(void **state)
{
    struct keys_fixture *keys = *state;
    static const char *const names[] = {"es", "hs"};
    keys_start(keys);
    for (size_t i = 0; i < 2; i++) {
        char signing[257] = "";
        struct keys_token token = keys_sign(keys, names[i], 0);
        must_be_good(keys, &token);
        revoke_key(keys, token.kid, signing);
        must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__KEY_REVOKED);
        struct keys_token after = keys_sign(keys, names[i], 0);
        assert_string_equal(after.kid, signing);
        assert_string_not_equal(after.kid, token.kid);
        assert_false(keys_published(keys, token.kid));
        keys_crash(keys);
        keys_start(keys);
        must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__KEY_REVOKED);
        must_be_good(keys, &after);
        keys_go(keys, keys_clock() - HOUR); /* no clock brings it back */
        must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__KEY_REVOKED);
        keys_go(keys, keys_clock() + HOUR);
        free(token.text);
        free(after.text);
    }
}

static void test_revoke__of_an_unknown_kid_changes_nothing(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_key_list list = {0};
    const struct sg_listed_key *key = NULL;
    struct sg_rpc_status error = {0};
    char signing[257] = "";
    keys_start(keys);
    assert_int_equal(
        sg_keymaster_revoke(keys->base.keymaster, "nobody", "", &list, &key, signing, &error),
        SIGNET_NOT_FOUND);
    assert_string_equal(error.reason, "KEY_UNKNOWN");
    must_sign(keys);
}

static void test_revoke__of_the_next_key_lets_the_present_one_go_on(void **state)
{
    struct keys_fixture *keys = *state;
    char next[257];
    char signing[257] = "";
    keys_start(keys);
    struct keys_token token = keys_sign(keys, "es", 0);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    find_next(keys, "es", next);
    revoke_key(keys, next, signing);
    assert_string_equal(signing, token.kid);
    keys_go(keys, FIXTURE_NOW + HOUR);
    must_sign(keys);
    assert_false(keys_published(keys, next));
    free(token.text);
}

static void test_revoke__wins_even_if_nothing_can_take_over(void **state)
{
    struct keys_fixture *keys = *state;
    char blocked[192];
    char signing[257] = "";
    keys_start(keys);
    struct keys_token token = keys_sign(keys, "es", 0);
    (void)snprintf(blocked, sizeof(blocked), "%s.new", keys->jwks_path);
    assert_int_equal(mkdir(blocked, 0700), 0); /* so that nothing can be published */
    revoke_key(keys, token.kid, signing);
    assert_string_equal(signing, "");
    must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__KEY_REVOKED);
    assert_int_equal(rmdir(blocked), 0);
    keys_go(keys, FIXTURE_NOW + 10);
    must_sign(keys);
    must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__KEY_REVOKED);
    free(token.text);
}

static void test_publish__that_fails_lets_no_new_key_sign(void **state)
{
    struct keys_fixture *keys = *state;
    char blocked[192];
    keys_start(keys);
    struct keys_token token = keys_sign(keys, "es", 0);
    (void)snprintf(blocked, sizeof(blocked), "%s.new", keys->jwks_path);
    assert_int_equal(mkdir(blocked, 0700), 0);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR + 10);
    struct keys_token still = keys_sign(keys, "es", 0);
    assert_string_equal(still.kid, token.kid);
    assert_int_equal(num_keys(keys, "es"), 1);
    assert_int_equal(rmdir(blocked), 0);
    keys_go(keys, FIXTURE_NOW + HOUR + 20);
    assert_int_equal(num_keys(keys, "es"), 2);
    keys_go(keys, FIXTURE_NOW + HOUR + 20 + LEAD);
    struct keys_token fresh = keys_sign(keys, "es", 0);
    assert_string_not_equal(fresh.kid, token.kid);
    assert_true(keys_published(keys, fresh.kid));
    free(token.text);
    free(still.text);
    free(fresh.text);
}

/* ---- Rotating on demand ---- */

static signet_status rotate(const struct keys_fixture *keys, bool at_once, bool dry_run,
                            char kid[257], struct sg_rpc_status *error)
{
    struct sg_key_list list = {0};
    const struct sg_listed_key *key = NULL;
    signet_status status =
        sg_keymaster_rotate(keys->base.keymaster, "es", at_once, dry_run, &list, &key, error);
    if (status == SIGNET_OK) {
        (void)snprintf(kid, 257, "%s", key->kid);
    }
    sg_key_list_fini(&list);
    return status;
}

static void test_rotate__on_demand_publishes_first_and_now_signs_now(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_rpc_status error = {0};
    char kid[257] = "";
    keys_start(keys);
    struct keys_token old = keys_sign(keys, "es", 0);
    assert_int_equal(rotate(keys, false, true, kid, &error), SIGNET_OK);
    assert_string_equal(kid, "");
    assert_int_equal(num_keys(keys, "es"), 1); /* a dry run */
    assert_int_equal(rotate(keys, false, false, kid, &error), SIGNET_OK);
    assert_true(keys_published(keys, kid));
    struct keys_token still = keys_sign(keys, "es", 0);
    assert_string_equal(still.kid, old.kid);
    char other[257] = "";
    assert_int_equal(rotate(keys, false, false, other, &error), SIGNET_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "KEY_WAITS");
    assert_int_equal(rotate(keys, true, false, other, &error), SIGNET_OK);
    assert_string_equal(other, kid); /* the one that waited */
    struct keys_token fresh = keys_sign(keys, "es", 0);
    assert_string_equal(fresh.kid, kid);
    assert_int_equal(rotate(keys, true, false, other, &error), SIGNET_OK);
    assert_string_not_equal(other, kid);
    keys_crash(keys);
    keys_start(keys);
    must_be_good(keys, &old);
    must_be_good(keys, &still);
    must_be_good(keys, &fresh);
    assert_int_equal(num_keys(keys, "es"), 3);
    struct keys_token last = keys_sign(keys, "es", 0);
    assert_string_equal(last.kid, other);
    free(old.text);
    free(still.text);
    free(fresh.text);
    free(last.text);
}

/* ---- Importing ---- */

struct import {
    const char *keyset;
    enum sg_alg alg;
    const char *kid;
    const void *material;
    size_t len;
    bool verify_only, at_once;
    int64_t verify_until;
};

static signet_status import_key(const struct keys_fixture *keys, const struct import *from,
                                struct sg_rpc_status *error)
{
    uint8_t public_key[SG_SEAL_KEY_LEN];
    uint8_t sealed[4096];
    struct sg_key_list list = {0};
    const struct sg_listed_key *key = NULL;
    assert_true(from->len + SG_SEAL_OVERHEAD <= sizeof(sealed));
    assert_int_equal(sg_keymaster_sealing_key(keys->base.keymaster, public_key, error), SIGNET_OK);
    assert_int_equal(sg_seal(public_key, SG_SEAL_FOR_IMPORT, from->material, from->len, sealed),
                     SIGNET_OK);
    const struct sg_key_import import = {
        .keyset = from->keyset,
        .alg = from->alg,
        .kid = from->kid,
        .sealed = sealed,
        .sealed_len = from->len + SG_SEAL_OVERHEAD,
        .verify_only = from->verify_only,
        .at_once = from->at_once,
        .verify_until = from->verify_until,
    };
    signet_status status = sg_keymaster_import(keys->base.keymaster, &import, &list, &key, error);
    sg_key_list_fini(&list);
    return status;
}

static const char shared_secret[] = "a secret that every service has had so far";

static void test_import__of_a_secret_to_verify_only_never_signs(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_rpc_status error = {0};
    const struct import from = {.keyset = "hs",
                                .kid = "legacy",
                                .material = shared_secret,
                                .len = sizeof(shared_secret) - 1,
                                .verify_only = true,
                                .verify_until = FIXTURE_NOW + 24 * HOUR};
    keys_start(keys);
    assert_int_equal(import_key(keys, &from, &error), SIGNET_OK);
    assert_int_equal(state_of(keys, "hs", "legacy"), SG_KEY_VERIFY_ONLY);
    struct keys_token token = keys_sign(keys, "hs", 0);
    assert_string_not_equal(token.kid, "legacy");
    assert_int_equal(import_key(keys, &from, &error), SIGNET_ALREADY_EXISTS);
    keys_crash(keys);
    keys_start(keys);
    assert_int_equal(state_of(keys, "hs", "legacy"), SG_KEY_VERIFY_ONLY);
    keys_go(keys, FIXTURE_NOW + 24 * HOUR);
    assert_int_equal(state_of(keys, "hs", "legacy"), SG_KEY_RETIRED);
    free(token.text);
}

static void test_import__signs_after_its_lead_or_at_once(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_rpc_status error = {0};
    struct import from = {
        .keyset = "hs", .kid = "mine", .material = shared_secret, .len = sizeof(shared_secret) - 1};
    keys_start(keys);
    assert_int_equal(import_key(keys, &from, &error), SIGNET_OK);
    struct keys_token before = keys_sign(keys, "hs", 0);
    assert_string_not_equal(before.kid, "mine");
    keys_go(keys, FIXTURE_NOW + LEAD);
    struct keys_token token = keys_sign(keys, "hs", 0);
    assert_string_equal(token.kid, "mine");
    from.kid = "mine too";
    from.at_once = true;
    assert_int_equal(import_key(keys, &from, &error), SIGNET_OK);
    struct keys_token now = keys_sign(keys, "hs", 0);
    assert_string_equal(now.kid, "mine too");
    must_be_good(keys, &before);
    must_be_good(keys, &token);
    free(before.text);
    free(token.text);
    free(now.text);
}

static void test_import__refuses_what_is_weak_or_not_what_it_is_said_to_be(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_rpc_status error = {0};
    struct import from = {.keyset = "hs", .kid = "weak", .material = shared_secret, .len = 31};
    keys_start(keys);
    assert_int_equal(import_key(keys, &from, &error), SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "RFC 7518 section 3.2"));
    from.keyset = "es"; /* no private key */
    from.len = sizeof(shared_secret) - 1;
    assert_int_equal(import_key(keys, &from, &error), SIGNET_INVALID_ARGUMENT);
    from.keyset = "nowhere";
    assert_int_equal(import_key(keys, &from, &error), SIGNET_NOT_FOUND);
    from.keyset = "hs";
    from.kid = "a \"kid\"";
    assert_int_equal(import_key(keys, &from, &error), SIGNET_INVALID_ARGUMENT);
    from.kid = "";
    from.verify_until = FIXTURE_NOW + 1; /* of a key that signs */
    assert_int_equal(import_key(keys, &from, &error), SIGNET_INVALID_ARGUMENT);
    assert_int_equal(num_keys(keys, "hs"), 1);
    assert_int_equal(num_keys(keys, "es"), 1);
}

static void test_import__of_one_public_key_into_two_keysets_needs_two_kids(void **state)
{
    struct keys_fixture *keys = *state;
    struct sg_rpc_status error = {0};
    struct sg_private_key *key = NULL;
    const char *why = "";
    uint8_t *pkcs8 = NULL;
    size_t len = 0;
    keys->keysets[2].alg = SG_ALG_ES256;
    keys->config.num_keysets = 3;
    keys_start(keys);
    assert_int_equal(sg_private_key_generate(SG_ALG_ES256, 0, &key, &why), SIGNET_OK);
    assert_int_equal(sg_private_key_export(key, &pkcs8, &len, &why), SIGNET_OK);
    struct import from = {.keyset = "es", .kid = "", .material = pkcs8, .len = len};
    assert_int_equal(import_key(keys, &from, &error), SIGNET_OK);
    from.keyset = "more";
    assert_int_equal(import_key(keys, &from, &error), SIGNET_ALREADY_EXISTS);
    assert_non_null(strstr(error.message, "--kid"));
    from.kid = "another";
    assert_int_equal(import_key(keys, &from, &error), SIGNET_OK);
    sg_secret_release(pkcs8, len);
    sg_private_key_unref(key);
}

/* ---- Frozen grants ---- */

static void collect_frozen(void *context, const char *grant, int64_t since)
{
    char *text = context;
    size_t len = strlen(text);
    (void)snprintf(text + len, 128 - len, "%s@%lld ", grant, (long long)since);
}

static void must_have_frozen(const struct keys_fixture *keys, const char *expected)
{
    char text[128] = "";
    char error[512] = "";
    if (sg_keymaster_visit_frozen(keys->base.keymaster, collect_frozen, text, error,
                                  sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(text, expected);
}

static void must_freeze(const struct keys_fixture *keys, const char *grant, int64_t since)
{
    char error[512] = "";
    if (sg_keymaster_freeze(keys->base.keymaster, grant, since, error, sizeof(error)) !=
        SIGNET_OK) {
        fail_msg("%s", error);
    }
}

static void test_frozen__is_remembered_across_stops_and_crashes(void **state)
{
    struct keys_fixture *keys = *state;
    char error[512] = "";
    keys_start(keys);
    must_have_frozen(keys, "");
    must_freeze(keys, "login", 17);
    must_freeze(keys, "orders", 18);
    keys_crash(keys);
    keys_start(keys);
    must_have_frozen(keys, "login@17 orders@18 ");
    assert_int_equal(sg_keymaster_thaw(keys->base.keymaster, "login", error, sizeof(error)),
                     SIGNET_OK);
    keys_stop(keys);
    keys_start(keys);
    must_have_frozen(keys, "orders@18 ");
    assert_int_equal(sg_keymaster_freeze(keys->base.keymaster, "", 19, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "expected a name"));
    assert_int_equal(sg_keymaster_thaw(keys->base.keymaster, "", error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    must_have_frozen(keys, "orders@18 ");
}

static void test_frozen__is_not_remembered_with_ephemeral_keys(void **state)
{
    struct keys_fixture *keys = *state;
    char error[512] = "";
    char ephemeral[] = "ephemeral";
    keys->config.keystore_key = ephemeral;
    keys_start(keys);
    must_freeze(keys, "login", 17);
    must_have_frozen(keys, "");
    assert_int_equal(sg_keymaster_thaw(keys->base.keymaster, "login", error, sizeof(error)),
                     SIGNET_OK);
}

static void freeze_in_a_change(void *context, const char *line)
{
    const struct keys_fixture *keys = context;
    char error[512] = "";
    (void)line;
    must_freeze(keys, "login", 17);
    must_freeze(keys, "orders", 18);
    assert_int_equal(sg_keymaster_thaw(keys->base.keymaster, "login", error, sizeof(error)),
                     SIGNET_OK);
    must_have_frozen(keys, "orders@18 ");
}

/* With the keymaster's mutex held, as while keys change. */
static void test_frozen__waits_for_no_change_of_keys(void **state)
{
    struct keys_fixture *keys = *state;
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/broken.yaml", keys->trust_dir);
    test_write_file(path, "?", 1);
    keys_start(keys);
    must_have_frozen(keys, "");
    sg_keymaster_visit_faults(keys->base.keymaster, freeze_in_a_change, keys);
    must_have_frozen(keys, "orders@18 ");
}

/* ---- Reloading ---- */

static void test_reload__adds_a_keyset_with_its_first_key(void **state)
{
    struct keys_fixture *keys = *state;
    char error[512] = "";
    static struct sg_config with;
    with = keys->config;
    keys_start(keys);
    with.num_keysets = 3;
    assert_int_equal(sg_keymaster_reload(keys->base.keymaster, &with, error, sizeof(error)),
                     SIGNET_OK);
    struct keys_token token = keys_sign(keys, "more", 0);
    must_be_good(keys, &token);
    assert_true(keys_published(keys, token.kid));
    assert_int_equal(sg_keymaster_reload(keys->base.keymaster, &keys->config, error, sizeof(error)),
                     SIGNET_OK);
    must_be_refused(keys, &token, SIGNET__V1__REJECTION_REASON__UNKNOWN_KEY);
    assert_int_equal(state_of(keys, "more", token.kid), SG_KEY_RETIRED);
    assert_false(keys_published(keys, token.kid));
    /* Nothing was deleted: it comes back with its keys. */
    assert_int_equal(sg_keymaster_reload(keys->base.keymaster, &with, error, sizeof(error)),
                     SIGNET_OK);
    must_be_good(keys, &token);
    struct keys_token again = keys_sign(keys, "more", 0);
    assert_string_equal(again.kid, token.kid);
    free(token.text);
    free(again.text);
}

static void test_reload__keeps_every_token_of_what_stays(void **state)
{
    struct keys_fixture *keys = *state;
    char error[512] = "";
    static struct sg_config_keyset changed[3];
    static struct sg_config other;
    other = keys->config;
    keys_start(keys);
    struct keys_token es = keys_sign(keys, "es", 1800);
    struct keys_token hs = keys_sign(keys, "hs", 0);
    /* Another order, other policies. */
    changed[0] = keys->keysets[1];
    changed[1] = keys->keysets[0];
    changed[1].max_ttl_s = 60;
    changed[1].default_ttl_s = 30;
    changed[1].rotate_every_s = 7200;
    other.keysets = changed;
    assert_int_equal(sg_keymaster_reload(keys->base.keymaster, &other, error, sizeof(error)),
                     SIGNET_OK);
    must_be_good(keys, &es);
    must_be_good(keys, &hs);
    struct sg_key_list list = keys_list(keys, "");
    assert_string_equal(list.keysets[0].name, "hs");
    assert_int_equal(list.keysets[1].next_key_at, FIXTURE_NOW + 7200 - LEAD);
    sg_key_list_fini(&list);
    /* After a crash the bound is by the longest life that the key ever had, not the present one. */
    keys_crash(keys);
    keys->config = other;
    keys_start(keys);
    keys_go(keys, es.expires_at - 1);
    must_be_good(keys, &es);
    free(es.text);
    free(hs.text);
}

/* ---- What a start makes of damage ---- */

static void damage(const struct keys_fixture *keys, const char *file)
{
    char path[192];
    size_t len = 0;
    keys_path(keys, file, path, sizeof(path));
    char *bytes = test_read_file(path, &len);
    assert_non_null(bytes);
    assert_true(len > 40);
    bytes[len - 20] = (char)(bytes[len - 20] ^ 1);
    test_write_file(path, bytes, len);
    free(bytes);
}

static void test_damage__of_the_key_that_signs_stops_the_start(void **state)
{
    struct keys_fixture *keys = *state;
    char path[192];
    keys_start(keys);
    keys_stop(keys);
    damage(keys, "es.1.key");
    keys_path(keys, "es.1.key", path, sizeof(path));
    size_t len = 0;
    char *before = test_read_file(path, &len);
    char *error = keys_try_start(keys);
    assert_non_null(error);
    assert_non_null(strstr(error, "es.1.key"));
    assert_non_null(strstr(error, "signet keystore restore"));
    assert_non_null(strstr(error, "mv "));
    free(error);
    size_t after_len = 0;
    char *after = test_read_file(path, &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(before, after, len); /* nothing was touched */
    free(before);
    free(after);
    /* What the message says works. */
    char away[192];
    (void)snprintf(away, sizeof(away), "%s/es.1.key", keys->state_dir);
    assert_int_equal(rename(path, away), 0);
    keys_start(keys);
    must_sign(keys);
}

static void test_damage__of_another_key_is_reported_and_the_rest_goes_on(void **state)
{
    struct keys_fixture *keys = *state;
    keys_start(keys);
    struct keys_token first = keys_sign(keys, "es", 1800);
    keys_go(keys, FIXTURE_NOW + HOUR - LEAD);
    keys_go(keys, FIXTURE_NOW + HOUR);
    struct keys_token second = keys_sign(keys, "es", 0);
    keys_stop(keys);
    damage(keys, "es.1.key");
    keys_start(keys);
    struct sg_key_list list = keys_list(keys, "es");
    assert_int_equal(list.num_damaged, 1);
    assert_string_equal(list.damaged[0].file, "es.1.key");
    assert_non_null(strstr(list.damaged[0].problem, "es.1.key"));
    sg_key_list_fini(&list);
    must_sign(keys);
    must_be_good(keys, &second);
    assert_false(keys_judge(keys, &first).good);
    free(first.text);
    free(second.text);
}

int main(void)
{
#define KEYS_TEST(f) cmocka_unit_test_setup_teardown(f, keys_setup, keys_teardown)
    const struct CMUnitTest tests[] = {
        KEYS_TEST(test_start__makes_one_key_for_each_keyset_and_publishes_it),
        KEYS_TEST(test_start__finds_the_keys_of_before),
        KEYS_TEST(test_start__without_a_keystore_says_how_to_make_one),
        KEYS_TEST(test_rotation__publishes_then_signs_then_keeps_then_ends),
        KEYS_TEST(test_rotation__keeps_an_old_key_for_its_overlap),
        KEYS_TEST(test_rotation__after_a_year_away_makes_one_key_and_publishes_it_first),
        KEYS_TEST(test_clock__stepped_across_every_boundary_leaves_no_gap),
        KEYS_TEST(test_rotation__lets_private_parts_go_when_they_sign_no_more),
        KEYS_TEST(test_rotation__of_another_algorithm_keeps_old_tokens_good),
        KEYS_TEST(test_expiry__survives_a_stop_exactly),
        KEYS_TEST(test_expiry__after_a_crash_is_a_bound_that_is_never_too_early),
        KEYS_TEST(test_expiry__of_a_token_signed_at_the_last_moment_outlives_a_crash),
        KEYS_TEST(test_clock__set_back_behind_a_final_record_survives_a_crash),
        KEYS_TEST(test_expiry__of_a_keyset_that_left_the_configuration_is_kept),
        KEYS_TEST(test_revoke__ends_a_key_at_once_and_for_ever),
        KEYS_TEST(test_revoke__of_an_unknown_kid_changes_nothing),
        KEYS_TEST(test_revoke__of_the_next_key_lets_the_present_one_go_on),
        KEYS_TEST(test_revoke__wins_even_if_nothing_can_take_over),
        KEYS_TEST(test_publish__that_fails_lets_no_new_key_sign),
        KEYS_TEST(test_rotate__on_demand_publishes_first_and_now_signs_now),
        KEYS_TEST(test_import__of_a_secret_to_verify_only_never_signs),
        KEYS_TEST(test_import__signs_after_its_lead_or_at_once),
        KEYS_TEST(test_import__refuses_what_is_weak_or_not_what_it_is_said_to_be),
        KEYS_TEST(test_import__of_one_public_key_into_two_keysets_needs_two_kids),
        KEYS_TEST(test_frozen__is_remembered_across_stops_and_crashes),
        KEYS_TEST(test_frozen__is_not_remembered_with_ephemeral_keys),
        KEYS_TEST(test_frozen__waits_for_no_change_of_keys),
        KEYS_TEST(test_reload__adds_a_keyset_with_its_first_key),
        KEYS_TEST(test_reload__keeps_every_token_of_what_stays),
        KEYS_TEST(test_damage__of_the_key_that_signs_stops_the_start),
        KEYS_TEST(test_damage__of_another_key_is_reported_and_the_rest_goes_on),
    };
    return cmocka_run_group_tests_name("keymaster", tests, NULL, NULL);
}
