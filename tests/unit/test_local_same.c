/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever libsignet-local answers by itself, the daemon answers: random keys in random states, random revocations, and
 * random tokens, most of them nearly good, under random options, judged by both. Either answer is compared whole: the
 * token as it goes over the wire, or reason and detail.
 *
 *     test_local_same [CASES [SEED]]
 *
 * A failure says the seed of the world that it happened in.
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

#include "keyring_fixture.h"
#include "server/board_snapshot.h"
#include "server/keyholder/keyholder.h"
#include "server/revocations.h"
#include "server/verify.h"
#include "tests/unit/local_fixture.h"

#define NUM_OF(array)       (sizeof(array) / sizeof((array)[0]))
#define CASES_OF_WORLD      500u
#define CASES_OF_REVOCATION 80u
#define MAX_KEYS            4u /* of a keyset */
#define NUM_OURS            4u /* a, b, c, hs */
#define NUM_FOREIGN         2u
#define NUM_SETS            (NUM_OURS + NUM_FOREIGN)
#define MAX_TOKEN           4096u

#if SG_SANITIZED
#define NUM_CASES 2000u
#else
#define NUM_CASES 20000u
#endif

/* ---- Chance ---- */

static uint64_t chance_state;

static uint64_t chance(void)
{
    /* SplitMix64. */
    uint64_t z = chance_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(size_t num)
{
    return (size_t)(chance() % num);
}

/* In so many of a hundred cases. */
static bool in(unsigned percent)
{
    return below(100) < percent;
}

#define ONE_OF(array) ((array)[below(NUM_OF(array))])

/* A second near now, often right at an edge. */
static int64_t near_now(void)
{
    static const int64_t edges[] = {-4000, -361, -301, -300, -299, -101, -100, -61, -60, -59, -1,
                                    0,     1,    2,    59,   60,   61,   299,  300, 301, 4000};
    return LOCAL_NOW + ONE_OF(edges);
}

/* ---- The world ---- */

static struct jose_key pool[14];

struct world_key {
    const struct jose_key *key; /* NULL: a secret */
    char kid[8];
    const char *issuer;
};

struct world {
    struct local_fixture local;
    struct sg_keyholder *keyholder;
    struct sg_revocations *revocations;
    struct sg_keyring *keyring;
    struct world_key keys[NUM_SETS * MAX_KEYS];
    size_t num_keys;
    struct sg_trust_issuer issuers[NUM_FOREIGN];
    struct sg_trust_key trusted[NUM_FOREIGN][MAX_KEYS];
};

static char set_names[NUM_SETS][8] = {"a", "b", "c", "hs", "idp", "idq"};
static char set_issuers[NUM_SETS][32] = {"https://a.example",   "https://a.example",
                                         "https://c.example",   "https://hs.example",
                                         "https://idp.example", "https://idq.example"};
static const char *const subjects[] = {"alice", "bob", "carol"};
static const char *const audiences[] = {"orders", "billing", "x"};

static int64_t revocation_time;

static int64_t read_revocation_time(void)
{
    return revocation_time;
}

static int make_pool(void **state)
{
    static const enum sg_alg algs[NUM_OF(pool)] = {
        SG_ALG_ES256,   SG_ALG_ES256,   SG_ALG_ES256,   SG_ALG_ES256, SG_ALG_ES256,
        SG_ALG_ED25519, SG_ALG_ED25519, SG_ALG_ED25519, SG_ALG_ES384, SG_ALG_ED448,
        SG_ALG_ES256K,  SG_ALG_RS256,   SG_ALG_RS256,   SG_ALG_PS256};
    (void)state;
    for (size_t i = 0; i < NUM_OF(pool); i++) {
        jose_key_new(&pool[i], algs[i]);
    }
    return 0;
}

static int free_pool(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_OF(pool); i++) {
        jose_key_free(&pool[i]);
    }
    return 0;
}

/* A kid that a keyset has not got yet; others may have it. */
static void world_kid(const struct world *world, size_t first_of_set, char out[8])
{
    bool is_taken = true;
    while (is_taken) {
        (void)snprintf(out, 8, "k%zu", below(8));
        is_taken = false;
        for (size_t i = first_of_set; i < world->num_keys; i++) {
            is_taken = is_taken || strcmp(world->keys[i].kid, out) == 0;
        }
    }
}

/* One more key. It is of a secret in "hs", and sometimes elsewhere. */
static struct world_key *world_add_key(struct world *world, size_t set, size_t first_of_set)
{
    struct world_key *key = &world->keys[world->num_keys];
    world_kid(world, first_of_set, key->kid);
    key->key = set == NUM_OURS - 1 || (set < NUM_OURS && in(5)) ? NULL : &ONE_OF(pool);
    key->issuer = set_issuers[set];
    world->num_keys++;
    return key;
}

static struct sg_key_core *world_core(const struct world *world, const struct world_key *key)
{
    size_t len = 0;
    struct sg_public_key *copy = NULL;
    struct sg_key_error error;
    if (key->key != NULL) {
        const uint8_t *spki = sg_public_key_spki(key->key->public, &len);
        assert_int_equal(sg_public_key_from_spki(key->key->alg, spki, len, &copy, &error),
                         SIGNET_OK);
    }
    struct sg_key_core *core = sg_key_core_new(
        world->keyholder, key->key != NULL ? key->key->alg : SG_ALG_HS256, key->kid, copy, 0);
    assert_non_null(core);
    if (in(30)) {
        sg_key_core_note_expiry(core, near_now());
    }
    return core;
}

static struct sg_key_times world_times(uint32_t seq)
{
    struct sg_key_times times = {.seq = seq, .max_ttl_s = 600, .created_at = LOCAL_NOW - 5000};
    times.sign_from = in(70) ? LOCAL_NOW - 50 + (int64_t)seq : near_now();
    times.never_signs = in(25);
    times.verify_until = times.never_signs && in(40) ? near_now() : 0;
    times.revoked_at = in(6) ? near_now() : 0;
    return times;
}

static void world_make_ours(struct world *world, size_t set, struct sg_keyring_key *keys,
                            struct sg_keyring_part *part)
{
    size_t first = world->num_keys;
    size_t num = 1 + below(MAX_KEYS);
    for (size_t i = 0; i < num; i++) {
        const struct world_key *key = world_add_key(world, set, first);
        keys[i] = (struct sg_keyring_key){.core = world_core(world, key),
                                          .times = world_times((uint32_t)i + 1),
                                          .imported = in(30)};
    }
    part->keys = keys;
    part->num_keys = num;
}

static void world_make_foreign(struct world *world, size_t index)
{
    size_t first = world->num_keys;
    size_t num = 1 + below(MAX_KEYS);
    struct sg_trust_issuer *issuer = &world->issuers[index];
    *issuer = (struct sg_trust_issuer){.keys = world->trusted[index], .num_keys = num};
    (void)snprintf(issuer->name, sizeof(issuer->name), "%s", set_names[NUM_OURS + index]);
    (void)snprintf(issuer->issuer, sizeof(issuer->issuer), "%s", set_issuers[NUM_OURS + index]);
    issuer->num_audiences = in(50) ? 0 : 1 + below(2);
    for (size_t i = 0; i < issuer->num_audiences; i++) {
        (void)snprintf(issuer->audiences[i], sizeof(issuer->audiences[i]), "%s", ONE_OF(audiences));
    }
    for (size_t i = 0; i < num; i++) {
        struct world_key *key = world_add_key(world, NUM_OURS + index, first);
        if (in(15)) {
            key->kid[0] = '\0';
        }
        issuer->keys[i] =
            (struct sg_trust_key){.alg = key->key->alg, .public_key = key->key->public};
        (void)snprintf(issuer->keys[i].kid, sizeof(issuer->keys[i].kid), "%s", key->kid);
    }
}

static void world_make(struct world *world)
{
    struct sg_config_keyset policies[NUM_OURS];
    struct sg_keyring_key keys[NUM_OURS][MAX_KEYS];
    struct sg_keyring_part parts[NUM_OURS];
    struct sg_trust_issuer *issuers[NUM_FOREIGN];
    world->num_keys = 0;
    for (size_t s = 0; s < NUM_OURS; s++) {
        policies[s] = ring_policy(set_names[s], SG_ALG_ES256);
        policies[s].issuer = set_issuers[s];
        policies[s].is_internal = s == 1 && in(10);
        parts[s] = (struct sg_keyring_part){.policy = &policies[s]};
        world_make_ours(world, s, keys[s], &parts[s]);
    }
    for (size_t i = 0; i < NUM_FOREIGN; i++) {
        world_make_foreign(world, i);
        issuers[i] = &world->issuers[i];
    }
    world->keyring = ring_build(parts, NUM_OURS, issuers, NUM_FOREIGN);
    for (size_t s = 0; s < NUM_OURS; s++) {
        for (size_t i = 0; i < parts[s].num_keys; i++) {
            sg_key_core_unref(keys[s][i].core);
        }
    }
    if (world->local.writer == NULL) {
        local_open_writer(&world->local);
    }
    assert_int_equal(sg_revocations_new(NULL, world->local.writer, read_revocation_time,
                                        &world->revocations, world->local.error,
                                        sizeof(world->local.error)),
                     SIGNET_OK);
    assert_int_equal(sg_board_snapshot_publish(world->local.writer, world->keyring, LOCAL_NOW,
                                               world->local.error, sizeof(world->local.error)),
                     SIGNET_OK);
}

static void world_end(struct world *world)
{
    sg_revocations_free(world->revocations);
    sg_keyring_unref(world->keyring);
    sg_board_writer_close(world->local.writer);
    world->local.writer = NULL;
}

/* ---- Revocations ---- */

static void world_revoke(struct world *world)
{
    struct sg_store_revocation revocation = {.until = INT64_MAX, .reason = "", .name = ""};
    char name[8];
    switch (below(5)) {
    case 0:
        revocation.kind = SG_STORE_REVOKED_SUBJECT;
        revocation.scope = ONE_OF(set_issuers);
        revocation.name = ONE_OF(subjects);
        break;
    case 1:
        revocation.kind = SG_STORE_REVOKED_KEYSET;
        revocation.scope = ONE_OF(set_names);
        break;
    case 2:
        revocation.kind = SG_STORE_REVOKED_KID;
        revocation.scope = ONE_OF(set_names);
        (void)snprintf(name, sizeof(name), "k%zu", below(9));
        revocation.name = name;
        break;
    default:
        revocation.kind = SG_STORE_REVOKED_TOKEN;
        revocation.scope = ONE_OF(set_issuers);
        (void)snprintf(name, sizeof(name), "j%zu", below(20));
        revocation.name = name;
        break;
    }
    revocation_time = near_now();
    assert_int_equal(sg_revocations_add(world->revocations, &revocation, world->local.error,
                                        sizeof(world->local.error)),
                     SIGNET_OK);
}

/* ---- Tokens ---- */

struct text {
    char bytes[1024];
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) put(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len =
        vsnprintf(text->bytes + text->len, sizeof(text->bytes) - text->len, format, arguments);
    va_end(arguments);
    assert_in_range(len, 0, sizeof(text->bytes) - text->len - 1);
    text->len += (size_t)len;
}

static void make_header(const struct world_key *key, struct text *out)
{
    static const char *const algs[] = {"none",  "HS256",  "RS256", "PS256",
                                       "ES256", "ES384",  "EdDSA", "Ed25519",
                                       "Ed448", "ES256K", "",      "an alg that is too long"};
    static const char *const types[] = {"JWT", "jwt", "at+jwt", "application/JWT", "x"};
    const struct sg_alg_info *info = sg_alg_info(key->key != NULL ? key->key->alg : SG_ALG_HS256);
    put(out, "{\"alg\":\"%s\"", in(96) ? info->jws_name : ONE_OF(algs));
    if (in(90)) {
        put(out, ",\"kid\":\"%s\"", key->kid);
    } else if (in(60)) {
        put(out, ",\"kid\":\"k%zu\"", below(9));
    }
    if (in(80)) {
        put(out, ",\"typ\":\"%s\"", in(70) ? "JWT" : ONE_OF(types));
    }
    put(out, "%s}", in(1) ? ",\"crit\":[\"x\"]" : in(1) ? ",\"x\":" : "");
}

static void put_time(struct text *out, const char *name, bool is_rarely_missing)
{
    if (in(is_rarely_missing ? 4 : 40)) {
        return;
    }
    put(out, ",\"%s\":%s%lld%s", name, in(1) ? "\"" : "",
        (long long)(in(85) ? LOCAL_NOW + (is_rarely_missing ? 600 : -70) : near_now()),
        in(5) ? ".5" : "");
}

static void make_claims(const struct world_key *key, struct text *out)
{
    static const char *const extras[] = {",\"n\":7",           ",\"t\":true",        ",\"d\":1.5",
                                         ",\"o\":{\"a\":[1]}", ",\"s\":\"\\u00e9\"", ",\"z\":null",
                                         ",\"n\":8",           ",\"scope\":[]"};
    static const char *const scopes[] = {"read", "read write", "", "admin"};
    put(out, "{\"c\":%zu", below(100));
    if (in(97)) {
        put(out, ",\"iss\":\"%s\"", in(92) ? key->issuer : ONE_OF(set_issuers));
    }
    put_time(out, "exp", true);
    put_time(out, "nbf", false);
    put_time(out, "iat", false);
    if (in(70)) {
        put(out, ",\"sub\":%s\"%s\"", in(1) ? "1," : "", ONE_OF(subjects));
    }
    if (in(50)) {
        put(out, ",\"aud\":\"%s\"", ONE_OF(audiences));
    } else if (in(80)) {
        put(out, ",\"aud\":[\"%s\",\"%s\"]", ONE_OF(audiences), ONE_OF(audiences));
    }
    if (in(70)) {
        put(out, ",\"jti\":\"j%zu\"", below(20));
    }
    if (in(30)) {
        put(out, ",\"scope\":\"%s\"", ONE_OF(scopes));
    }
    for (size_t i = below(3); i > 0; i--) {
        put(out, "%s", ONE_OF(extras));
    }
    put(out, "}");
}

static void spoil(char *token)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=!";
    size_t len = strlen(token);
    if (in(80)) {
        token[below(len)] = letters[below(sizeof(letters) - 1)];
    } else if (in(50)) {
        token[1 + below(len - 1)] = '\0';
    } else {
        (void)snprintf(token + len, 2, "%c", letters[below(sizeof(letters) - 1)]);
    }
}

static void make_token(const struct world *world, char out[MAX_TOKEN])
{
    static char whole[JOSE_TOKEN_CAP];
    const struct world_key *key = &world->keys[below(world->num_keys)];
    struct text header = {.len = 0};
    struct text claims = {.len = 0};
    make_header(key, &header);
    make_claims(key, &claims);
    const struct jose_key *signer = in(94) && key->key != NULL ? key->key : &ONE_OF(pool);
    jose_token(signer, header.bytes, claims.bytes, whole);
    assert_in_range(snprintf(out, MAX_TOKEN, "%s", whole), 1, MAX_TOKEN - 2);
    if (in(8)) {
        spoil(out);
    }
}

/* ---- Questions ---- */

struct question {
    char token[MAX_TOKEN];
    const char *audiences[2], *scopes[2];
    struct signet_verify_options options;
    int64_t now;
};

static void make_question(const struct world *world, struct question *out)
{
    static const char *const types[] = {"JWT", "jwt", "at+jwt", "application/jwt", "no type"};
    static const char *const scopes[] = {"read", "write", "read", "write", "two words"};
    static const uint32_t leeways[] = {0, 0, 1, 60, 300};
    static const uint32_t ages[] = {1, 100, 300, UINT32_MAX};
    struct signet_verify_options *options = &out->options;
    make_token(world, out->token);
    *options = (struct signet_verify_options){
        .any_audience = in(65), .audiences = out->audiences, .scopes = out->scopes};
    for (size_t i = 0; i < NUM_OF(out->audiences); i++) {
        out->audiences[i] = ONE_OF(audiences);
        out->scopes[i] = ONE_OF(scopes);
    }
    options->num_audiences = options->any_audience ? 0 : 1 + below(2);
    options->num_scopes = in(93) ? 0 : 1 + below(2);
    options->keyset = in(75) ? NULL : in(96) ? ONE_OF(set_names) : in(50) ? "unknown" : "Upper";
    options->issuer = in(92) ? NULL : in(98) ? ONE_OF(set_issuers) : "caf\xc3\xa9";
    options->subject = in(92) ? NULL : in(98) ? ONE_OF(subjects) : "\xff";
    options->typ = in(92) ? NULL : ONE_OF(types);
    options->leeway_s = ONE_OF(leeways);
    options->max_age_s = in(85) ? 0 : ONE_OF(ages);
    out->now = LOCAL_NOW + (int64_t)below(3) - 1;
}

/* ---- What the daemon says ---- */

struct said {
    signet_status error;
    signet_reason reason; /* NONE: good */
    char detail[256];
    uint8_t token[2 * MAX_TOKEN]; /* packed */
    size_t token_len;
};

static struct said daemon_said;

static signet_status daemon_sink(struct sg_exchange *exchange,
                                 const struct sg_verify_outcome *outcome)
{
    (void)exchange;
    daemon_said = (struct said){.error = SIGNET_OK};
    if (outcome->error != NULL) {
        daemon_said.error = outcome->error->code;
    } else if (outcome->rejection != NULL) {
        daemon_said.reason = (signet_reason)outcome->rejection->reason;
        (void)snprintf(daemon_said.detail, sizeof(daemon_said.detail), "%s",
                       outcome->rejection->detail);
    } else {
        assert_in_range(signet__v1__verified_token__get_packed_size(outcome->token), 1,
                        sizeof(daemon_said.token));
        daemon_said.token_len = signet__v1__verified_token__pack(outcome->token, daemon_said.token);
    }
    return SIGNET_OK;
}

/* protobuf-c's structs know no const. */
static char *wire(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

static void ask_daemon(const struct world *world, struct question *question)
{
    const struct signet_verify_options *options = &question->options;
    struct sg_service service = {.keyholder = world->keyholder, .revocations = world->revocations};
    struct sg_arena arena;
    Signet__V1__VerifyRequest request = SIGNET__V1__VERIFY_REQUEST__INIT;
    const Signet__V1__VerifyRequest *requests[] = {&request};
    request.token = question->token;
    request.audiences = (char **)(uintptr_t)question->audiences;
    request.n_audiences = options->num_audiences;
    request.any_audience = options->any_audience;
    request.keyset = wire(options->keyset);
    request.issuer = wire(options->issuer);
    request.subject = wire(options->subject);
    request.typ = wire(options->typ);
    request.required_scope = (char **)(uintptr_t)question->scopes;
    request.n_required_scope = options->num_scopes;
    request.leeway_s = options->leeway_s;
    request.max_age_s = options->max_age_s;
    sg_arena_init(&arena, 1u << 20);
    struct sg_exchange exchange = {.service = &service,
                                   .method = "",
                                   .keyring = world->keyring,
                                   .now = {.wall_s = question->now},
                                   .deadline_ms = 1000,
                                   .arena = &arena};
    assert_int_equal(sg_verify(&exchange, requests, 1, daemon_sink), SIGNET_OK);
    sg_reply_fini(&exchange.reply);
    sg_arena_fini(&arena);
}

/* ---- Both ---- */

struct tally {
    size_t num_good, num_refused, num_asked, num_asked_of_good;
    size_t reasons[SIGNET_REASON_POLICY + 1];
};

static void compare(const struct sg_local_answer *answer, const struct question *question,
                    uint64_t seed, struct tally *tally)
{
    uint8_t token[2 * MAX_TOKEN];
    bool is_same = true;
    if (answer->outcome == SG_LOCAL_GOOD) {
        size_t len = signet__v1__verified_token__get_packed_size(answer->body->token);
        is_same = daemon_said.error == SIGNET_OK && daemon_said.reason == SIGNET_REASON_NONE &&
                  len == daemon_said.token_len &&
                  signet__v1__verified_token__pack(answer->body->token, token) == len &&
                  memcmp(token, daemon_said.token, len) == 0;
        tally->num_good++;
    } else if (answer->outcome == SG_LOCAL_REFUSED) {
        is_same = daemon_said.error == SIGNET_OK && daemon_said.reason == answer->reason &&
                  strcmp(daemon_said.detail, answer->detail) == 0;
        tally->num_refused++;
        tally->reasons[answer->reason]++;
    } else {
        assert_int_equal(answer->outcome, SG_LOCAL_ASK);
        tally->num_asked++;
        tally->num_asked_of_good += daemon_said.token_len > 0 ? 1 : 0;
    }
    if (!is_same) {
        fail_msg("world %llu: local outcome %d, reason %d \"%s\"; daemon error %d, reason %d "
                 "\"%s\"; keyset %s, token %s",
                 (unsigned long long)seed, answer->outcome, answer->reason,
                 answer->detail != NULL ? answer->detail : "", daemon_said.error,
                 daemon_said.reason, daemon_said.detail,
                 question->options.keyset != NULL ? question->options.keyset : "any",
                 question->token);
    }
}

static void run_world(struct world *world, uint64_t seed, size_t num_cases, struct tally *tally)
{
    chance_state = seed;
    world_make(world);
    if (world->local.local == NULL) {
        local_open(&world->local);
    }
    for (size_t i = 0; i < num_cases; i++) {
        struct question question;
        struct sg_local_answer answer = {.outcome = (enum sg_local_outcome)0};
        if (below(CASES_OF_REVOCATION) == 0) {
            world_revoke(world);
        }
        make_question(world, &question);
        ask_daemon(world, &question);
        sg_local_ops.verify(world->local.local, question.token, strlen(question.token),
                            &question.options, question.now, &answer);
        compare(&answer, &question, seed, tally);
        local_release(&answer);
    }
    world_end(world);
}

static size_t num_cases = NUM_CASES;
static uint64_t first_seed = 1;

static void test_same__answers_as_the_daemon(void **state)
{
    (void)state;
    static struct world world;
    struct tally tally = {.num_good = 0};
    world = (struct world){.num_keys = 0};
    local_setup(&world.local);
    assert_int_equal(sg_keyholder_new(1, &world.keyholder), SIGNET_OK);
    uint64_t seed = first_seed;
    for (size_t done = 0; done < num_cases; done += CASES_OF_WORLD) {
        run_world(&world, seed++, CASES_OF_WORLD, &tally);
    }
    print_message("%zu good, %zu refused, %zu left to the daemon (%zu of them good)\n",
                  tally.num_good, tally.num_refused, tally.num_asked, tally.num_asked_of_good);
    for (int reason = 1; reason <= SIGNET_REASON_POLICY; reason++) {
        print_message("%8zu %s\n", tally.reasons[reason],
                      signet_reason_name((signet_reason)reason));
        bool is_expected = reason != SIGNET_REASON_REPLAYED && reason != SIGNET_REASON_POLICY;
        assert_true((tally.reasons[reason] > 0) == is_expected);
    }
    /* What is compared is not next to nothing. */
    assert_true(tally.num_good > num_cases / 10);
    assert_true(tally.num_refused > num_cases / 4);
    assert_true(tally.num_asked_of_good < tally.num_good / 4);
    sg_keyholder_free(world.keyholder);
    local_teardown(&world.local);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same__answers_as_the_daemon)};
    if (argc > 1) {
        num_cases = strtoul(argv[1], NULL, 10);
    }
    if (argc > 2) {
        first_seed = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
