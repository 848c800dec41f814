/* SPDX-License-Identifier: Apache-2.0
 *
 * The keymaster over real files, and a clock of its own.
 */
#include "keys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/rpc.h"
#include "server/keyholder/keyholder.h"
#include "server/keyholder/keystore.h"
#include "server/keyholder/wall_clock.h"

#include "tests/support/files.h"
#include "tests/support/grant_all.h"

static atomic_int_least64_t keys_now;

int64_t keys_clock(void)
{
    return atomic_load(&keys_now);
}

/* The keyholder's look at the time; stands in the place of server/keyholder/wall_clock.c. */
int64_t sg_wall_clock_s(void)
{
    return keys_clock();
}

void keys_set_clock(struct keys_fixture *keys, int64_t now)
{
    atomic_store(&keys_now, now);
    keys->base.now.wall_s = now;
}

void keys_go(struct keys_fixture *keys, int64_t now)
{
    keys_set_clock(keys, now);
    sg_keymaster_tick(keys->base.keymaster);
}

/* ---- Set-up ---- */

static struct sg_config_keyset keys_keyset(const char *name, enum sg_alg alg)
{
    static char issuer[] = "https://login.example";
    static char typ[] = "JWT";
    return (struct sg_config_keyset){
        .name = strdup(name),
        .alg = alg,
        .issuer = issuer,
        .typ = typ,
        .default_ttl_s = 900,
        .max_ttl_s = 1800,
        .rsa_bits = 2048,
        .rotate_every_s = 3600,
        .publish_lead_s = 600,
    };
}

static void keys_make_keystore(const struct keys_fixture *keys)
{
    char path[128];
    uint8_t secret[32];
    (void)snprintf(path, sizeof(path), "%s", keys->source + strlen("file:"));
    memset(secret, 0x5a, sizeof(secret));
    test_write_file(path, secret, sizeof(secret));
    assert_int_equal(chmod(path, 0600), 0);
    char message[SG_KEYSTORE_MAX_MESSAGE] = "";
    const struct sg_keystore_place place = {
        .dir = keys->state_dir, .source = keys->source, .passphrase_fd = -1};
    if (sg_keystore_init(&place, (struct sg_kek_message){.text = message}) != SIGNET_OK) {
        fail_msg("%s", message);
    }
}

int keys_setup(void **state)
{
    struct keys_fixture *keys = calloc(1, sizeof(*keys));
    assert_non_null(keys);
    test_temp_dir(keys->dir, sizeof(keys->dir));
    (void)snprintf(keys->state_dir, sizeof(keys->state_dir), "%s/state", keys->dir);
    (void)snprintf(keys->trust_dir, sizeof(keys->trust_dir), "%s/trust.d", keys->dir);
    (void)snprintf(keys->jwks_path, sizeof(keys->jwks_path), "%s/jwks.json", keys->dir);
    (void)snprintf(keys->source, sizeof(keys->source), "file:%s/keystore.key", keys->dir);
    assert_int_equal(mkdir(keys->state_dir, 0700), 0);
    assert_int_equal(mkdir(keys->trust_dir, 0700), 0);
    keys->keysets[0] = keys_keyset("es", SG_ALG_ES256);
    keys->keysets[1] = keys_keyset("hs", SG_ALG_HS256);
    keys->keysets[2] = keys_keyset("more", SG_ALG_ED25519);
    keys->config = (struct sg_config){
        .state_dir = keys->state_dir,
        .trust_dir = keys->trust_dir,
        .keystore_key = keys->source,
        .keysets = keys->keysets,
        .num_keysets = 2,
        .grants = grant_all(),
        .num_grants = 1,
    };
    keys->base.config = &keys->config;
    keys->base.peer = (struct sg_peer){.uid = getuid(), .gid = getgid(), .pid = 4242};
    keys->base.now.mono_ms = 5000000;
    keys_set_clock(keys, FIXTURE_NOW);
    keys_make_keystore(keys);
    *state = keys;
    return 0;
}

int keys_teardown(void **state)
{
    struct keys_fixture *keys = *state;
    keys_stop(keys);
    for (size_t i = 0; i < KEYS_MAX_KEYSETS; i++) {
        free(keys->keysets[i].name);
    }
    test_remove_tree(keys->dir);
    free(keys);
    return 0;
}

/* ---- Life ---- */

char *keys_try_start(struct keys_fixture *keys)
{
    char error[1024] = "";
    assert_null(keys->base.keymaster);
    assert_int_equal(sg_keyholder_new(1, &keys->base.keyholder), SIGNET_OK);
    const struct sg_keymaster_options options = {
        .config = &keys->config,
        .keyholder = keys->base.keyholder,
        .jwks_path = keys->jwks_path,
        .passphrase_fd = -1,
        .read_wall_s = keys_clock,
    };
    signet_status status = sg_keymaster_new(&options, &keys->base.keymaster, error, sizeof(error));
    if (status != SIGNET_OK) {
        assert_true(error[0] != '\0');
        sg_keyholder_free(keys->base.keyholder);
        keys->base.keyholder = NULL;
        char *message = strdup(error);
        assert_non_null(message);
        return message;
    }
    keys->base.service = (struct sg_service){
        .keyrings = sg_keymaster_keyrings(keys->base.keymaster),
        .keyholder = keys->base.keyholder,
        .keymaster = keys->base.keymaster,
        .is_admin = true,
        .version = "0.0.0-test",
        .started = keys->base.now,
    };
    return NULL;
}

void keys_start(struct keys_fixture *keys)
{
    char *error = keys_try_start(keys);
    if (error != NULL) {
        fail_msg("does not start: %s", error);
    }
}

void keys_stop(struct keys_fixture *keys)
{
    sg_keymaster_free(keys->base.keymaster);
    sg_keyholder_free(keys->base.keyholder);
    keys->base.keymaster = NULL;
    keys->base.keyholder = NULL;
}

static void keys_run(const char *const *argv)
{
    struct test_output output;
    test_run(argv, NULL, 20000, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
}

void keys_crash(struct keys_fixture *keys)
{
    /* What is on the disk at this moment is what a crash would leave. */
    char left[160];
    (void)snprintf(left, sizeof(left), "%s.left", keys->state_dir);
    const char *const copy[] = {"/bin/cp", "-a", keys->state_dir, left, NULL};
    keys_run(copy);
    keys_stop(keys);
    test_remove_tree(keys->state_dir);
    assert_int_equal(rename(left, keys->state_dir), 0);
}

/* ---- Tokens ---- */

struct keys_token keys_sign(const struct keys_fixture *keys, const char *keyset, uint32_t ttl_s)
{
    char name[65];
    char subject[] = "alice";
    char audience[] = "orders";
    char *audiences[] = {audience};
    struct keys_token token = {0};
    struct fixture_answer answer;
    Signet__V1__SignRequest request = SIGNET__V1__SIGN_REQUEST__INIT;
    (void)snprintf(name, sizeof(name), "%s", keyset);
    request.keyset = name;
    request.subject = subject;
    request.audience = audiences;
    request.n_audience = 1;
    request.ttl_s = ttl_s;
    fixture_call(&keys->base, SG_METHOD_SIGN, &request.base, &signet__v1__sign_response__descriptor,
                 &answer);
    if (answer.code != 0) {
        fail_msg("%s: %s %s", keyset, answer.reason, answer.message);
    }
    const Signet__V1__SignResponse *response = (const Signet__V1__SignResponse *)answer.payload;
    token.text = strdup(response->token);
    assert_non_null(token.text);
    (void)snprintf(token.kid, sizeof(token.kid), "%s", response->kid);
    token.expires_at = response->expires_at;
    fixture_answer_free(&answer);
    return token;
}

struct fixture_verdict keys_judge(const struct keys_fixture *keys, const struct keys_token *token)
{
    return fixture_judge(&keys->base, token->text);
}

/* ---- What there is ---- */

struct sg_key_list keys_list(const struct keys_fixture *keys, const char *keyset)
{
    struct sg_key_list list = {0};
    struct sg_rpc_status error = {0};
    assert_int_equal(sg_keymaster_list(keys->base.keymaster, keyset, &list, &error), SIGNET_OK);
    return list;
}

bool keys_published(const struct keys_fixture *keys, const char *kid)
{
    char *text = test_read_file(keys->jwks_path, NULL);
    assert_non_null(text);
    bool found = strstr(text, kid) != NULL;
    free(text);
    return found;
}

void keys_path(const struct keys_fixture *keys, const char *file, char *out, size_t out_cap)
{
    int len = snprintf(out, out_cap, "%s/keys/%s", keys->state_dir, file);
    assert_in_range(len, 1, (int)out_cap - 1);
}
