/* SPDX-License-Identifier: Apache-2.0
 *
 * Foreign issuers: what their files must be, when they are read again, and what stays while they are bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/jose/jwk.h"
#include "jose_token.h"
#include "server/trust.h"
#include "tests/support/files.h"

#define IDP       "https://idp.example"
#define OTHER_IDP "https://other-idp.example"
#define THIRD_IDP "https://third-idp.example"
#define OURS      "https://login.example"

#define TRUST_MAX_SAID 8

/* Made once: RSA keys take their time. */
static struct jose_key key_rsa, key_ec, key_ec_other, key_ed;

struct said_line {
    bool is_error;
    char text[1600];
};

struct trust_fixture {
    char top[80];
    char dir[96];
    struct sg_trust *trust;
    struct sg_trust_local local;
    struct said_line said[TRUST_MAX_SAID]; /* at the last reading */
    size_t num_said;
};

static int keys_setup(void **state)
{
    (void)state;
    jose_key_new(&key_rsa, SG_ALG_RS256);
    jose_key_new(&key_ec, SG_ALG_ES256);
    jose_key_new(&key_ec_other, SG_ALG_ES256);
    jose_key_new(&key_ed, SG_ALG_ED25519);
    return 0;
}

static int keys_teardown(void **state)
{
    (void)state;
    jose_key_free(&key_rsa);
    jose_key_free(&key_ec);
    jose_key_free(&key_ec_other);
    jose_key_free(&key_ed);
    return 0;
}

static int trust_setup(void **state)
{
    static const char *const keysets[] = {"login"};
    static const char *const issuers[] = {OURS};
    struct trust_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    test_temp_dir(fixture->top, sizeof(fixture->top));
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/trust.d", fixture->top);
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    assert_int_equal(chmod(fixture->dir, 0755), 0);
    assert_int_equal(sg_trust_new(fixture->dir, &fixture->trust), SIGNET_OK);
    fixture->local = (struct sg_trust_local){.keysets = keysets, .issuers = issuers, .num = 1};
    *state = fixture;
    return 0;
}

static int trust_teardown(void **state)
{
    struct trust_fixture *fixture = *state;
    sg_trust_free(fixture->trust);
    test_remove_tree(fixture->top);
    free(fixture);
    return 0;
}

/* ---- Files ---- */

static const char *path_of(const struct trust_fixture *fixture, const char *name)
{
    static char paths[4][160]; /* some at a time */
    static size_t turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", fixture->dir, name);
    return path;
}

static void put(const struct trust_fixture *fixture, const char *name, const char *text)
{
    const char *path = path_of(fixture, name);
    test_write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, 0644), 0);
}

/* The text in a new file, put in the place of the old one. */
static void replace(const struct trust_fixture *fixture, const char *name, const char *text)
{
    put(fixture, ".new", text);
    assert_int_equal(rename(path_of(fixture, ".new"), path_of(fixture, name)), 0);
}

static void take_away(const struct trust_fixture *fixture, const char *name)
{
    assert_int_equal(unlink(path_of(fixture, name)), 0);
}

static void put_yaml(const struct trust_fixture *fixture, const char *name, const char *issuer,
                     const char *algorithms, const char *jwks)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "issuer: %s\nalgorithms: %s\njwks: %s\n", issuer, algorithms,
                   jwks);
    put(fixture, name, text);
}

/* A JWK: all that sg_jwk_write writes, without alg where alg is "" and with another where it is given. */
static json_t *jwk_of(const struct jose_key *key, const char *kid, const char *alg)
{
    json_t *jwk = sg_jwk_write(key->public, kid);
    assert_non_null(jwk);
    if (alg != NULL && alg[0] == '\0') {
        assert_int_equal(json_object_del(jwk, "alg"), 0);
    } else if (alg != NULL) {
        assert_int_equal(json_object_set_new(jwk, "alg", json_string(alg)), 0);
    }
    return jwk;
}

/* Takes the members over. */
static char *set_text(json_t *const *members, size_t num)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(json_array_append_new(keys, members[i]), 0);
    }
    json_t *set = json_pack("{s:o}", "keys", keys);
    char *text = json_dumps(set, JSON_COMPACT);
    assert_non_null(text);
    json_decref(set);
    return text;
}

static void put_set(const struct trust_fixture *fixture, const char *name, json_t *const *members,
                    size_t num)
{
    char *text = set_text(members, num);
    put(fixture, name, text);
    free(text);
}

static void put_key(const struct trust_fixture *fixture, const char *name,
                    const struct jose_key *key, const char *kid)
{
    json_t *jwk = jwk_of(key, kid, NULL);
    put_set(fixture, name, &jwk, 1);
}

static void replace_key(const struct trust_fixture *fixture, const char *name,
                        const struct jose_key *key, const char *kid)
{
    put_key(fixture, ".new", key, kid);
    assert_int_equal(rename(path_of(fixture, ".new"), path_of(fixture, name)), 0);
}

/* idp.yaml and idp.json, with one EC key "k". */
static void put_idp(const struct trust_fixture *fixture)
{
    put_key(fixture, "idp.json", &key_ec, "k");
    put_yaml(fixture, "idp.yaml", IDP, "[ES256]", "idp.json");
}

/* ---- Reading ---- */

static void on_complaint(void *context, bool is_error, const char *line)
{
    struct trust_fixture *fixture = context;
    assert_true(fixture->num_said < TRUST_MAX_SAID);
    struct said_line *said = &fixture->said[fixture->num_said++];
    said->is_error = is_error;
    (void)snprintf(said->text, sizeof(said->text), "%s", line);
}

static bool look(struct trust_fixture *fixture)
{
    fixture->num_said = 0;
    return sg_trust_read(fixture->trust, &fixture->local, on_complaint, fixture);
}

static void must_say_nothing(const struct trust_fixture *fixture)
{
    if (fixture->num_said > 0) {
        fail_msg("said: %s", fixture->said[0].text);
    }
}

/* One line was said, which begins and goes on so. */
static void must_say(const struct trust_fixture *fixture, bool is_error, const char *start,
                     const char *what)
{
    assert_int_equal(fixture->num_said, 1);
    const struct said_line *said = &fixture->said[0];
    if (said->is_error != is_error || strncmp(said->text, start, strlen(start)) != 0 ||
        strstr(said->text, what) == NULL) {
        fail_msg("said %s: %s\nexpected: %s ... %s", said->is_error ? "error" : "info", said->text,
                 start, what);
    }
}

static void must_complain(const struct trust_fixture *fixture, const char *name, const char *what)
{
    must_say(fixture, true, path_of(fixture, name), what);
}

static struct sg_trust_issuer *only_issuer(const struct trust_fixture *fixture)
{
    assert_int_equal(sg_trust_num_issuers(fixture->trust), 1);
    assert_null(sg_trust_issuer_at(fixture->trust, 1));
    return sg_trust_issuer_at(fixture->trust, 0);
}

/* Something new is there, and nothing is wrong. */
static struct sg_trust_issuer *look_good(struct trust_fixture *fixture)
{
    bool is_new = look(fixture);
    must_say_nothing(fixture);
    assert_true(is_new);
    return only_issuer(fixture);
}

static void look_unchanged(struct trust_fixture *fixture, const struct sg_trust_issuer *issuer)
{
    assert_false(look(fixture));
    must_say_nothing(fixture);
    assert_ptr_equal(only_issuer(fixture), issuer);
}

/* So often that the files are no longer read for being new. */
static void settle(struct trust_fixture *fixture, const struct sg_trust_issuer *issuer)
{
    look_unchanged(fixture, issuer);
    look_unchanged(fixture, issuer);
}

/* The issuers are those, in this order; the list ends with NULL. */
static void must_have(const struct trust_fixture *fixture, const char *const *issuers)
{
    size_t num = 0;
    for (; issuers[num] != NULL; num++) {
        const struct sg_trust_issuer *issuer = sg_trust_issuer_at(fixture->trust, num);
        assert_non_null(issuer);
        assert_string_equal(issuer->issuer, issuers[num]);
    }
    assert_int_equal(sg_trust_num_issuers(fixture->trust), num);
}

/* ---- Good files ---- */

static void test_read__takes_what_the_files_say(void **state)
{
    struct trust_fixture *fixture = *state;
    json_t *const members[] = {jwk_of(&key_ec, "one", NULL), jwk_of(&key_rsa, "two", NULL),
                               jwk_of(&key_ed, NULL, "")};
    char token[JOSE_TOKEN_CAP];
    put_set(fixture, "keys.json", members, 3);
    put(fixture, "corp.idp-1.yaml",
        "# Ours.\nissuer: " IDP "\nalgorithms: [RS256, EdDSA, ES256]\n"
        "audiences:\n  - orders\n  - billing\njwks: keys.json\n");
    const struct sg_trust_issuer *issuer = look_good(fixture);
    assert_string_equal(issuer->name, "corp.idp-1");
    assert_string_equal(issuer->issuer, IDP);
    assert_int_equal(issuer->num_audiences, 2);
    assert_string_equal(issuer->audiences[0], "orders");
    assert_string_equal(issuer->audiences[1], "billing");
    assert_int_equal(issuer->num_keys, 3);
    assert_string_equal(issuer->keys[0].kid, "one");
    assert_int_equal(issuer->keys[0].alg, SG_ALG_ES256);
    assert_string_equal(issuer->keys[1].kid, "two");
    assert_int_equal(issuer->keys[1].alg, SG_ALG_RS256);
    assert_string_equal(issuer->keys[2].kid, "");
    assert_int_equal(issuer->keys[2].alg, SG_ALG_ED25519);
    jose_token(&key_ec, "{\"alg\":\"ES256\"}", "{}", token);
    assert_int_equal(jose_verdict(issuer->keys[0].public_key, token), SIGNET_REASON_NONE);
    jose_token(&key_ec_other, "{\"alg\":\"ES256\"}", "{}", token);
    assert_int_equal(jose_verdict(issuer->keys[0].public_key, token), SIGNET_REASON_BAD_SIGNATURE);
}

static void test_read__orders_issuers_by_name(void **state)
{
    struct trust_fixture *fixture = *state;
    put_key(fixture, "keys.json", &key_ec, "k");
    put_yaml(fixture, "b.yaml", OTHER_IDP, "[ES256]", "keys.json");
    put_yaml(fixture, "c.yaml", THIRD_IDP, "[ES256]", "keys.json");
    put_yaml(fixture, "a.yaml", IDP, "[ES256]", path_of(fixture, "keys.json"));
    assert_true(look(fixture));
    must_say_nothing(fixture);
    must_have(fixture, (const char *const[]){IDP, OTHER_IDP, THIRD_IDP, NULL});
}

static void test_read__needs_no_directory(void **state)
{
    struct trust_fixture *fixture = *state;
    struct sg_trust *none = NULL;
    assert_int_equal(rmdir(fixture->dir), 0);
    assert_false(look(fixture));
    must_say_nothing(fixture);
    /* It comes, and goes. */
    assert_int_equal(mkdir(fixture->dir, 0755), 0);
    put_idp(fixture);
    (void)look_good(fixture);
    test_remove_tree(fixture->dir);
    assert_true(look(fixture));
    must_say(fixture, false, path_of(fixture, "idp.yaml"), IDP " is no longer trusted");
    must_have(fixture, (const char *const[]){NULL});
    assert_false(look(fixture));
    must_say_nothing(fixture);
    /* And there may be none in the configuration. */
    assert_int_equal(sg_trust_new("", &none), SIGNET_OK);
    assert_false(sg_trust_read(none, &fixture->local, on_complaint, fixture));
    assert_int_equal(sg_trust_num_issuers(none), 0);
    must_say_nothing(fixture);
    sg_trust_free(none);
    sg_trust_free(NULL);
}

static void test_read__leaves_other_files_alone(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    put(fixture, "README", "not YAML: [");
    put(fixture, "idp.yaml.bak", "not YAML: [");
    put(fixture, ".yaml", "not YAML: [");
    put(fixture, ".#idp.yaml", "not YAML: [");
    settle(fixture, look_good(fixture));
}

static void test_read__names_a_file_whose_name_is_no_issuers(void **state)
{
    struct trust_fixture *fixture = *state;
    char longest[SG_MAX_KEYSET_NAME_LEN + 8] = "";
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    put(fixture, "IdP.yaml", "");
    assert_false(look(fixture));
    must_complain(fixture, "IdP.yaml", "expected a name of 1 to 64 of a-z");
    look_unchanged(fixture, issuer);
    take_away(fixture, "IdP.yaml");
    assert_false(look(fixture));
    must_say(fixture, false, fixture->dir, "is good again");
    memset(longest, 'a', SG_MAX_KEYSET_NAME_LEN + 1);
    (void)snprintf(longest + SG_MAX_KEYSET_NAME_LEN + 1, 6, ".yaml");
    put(fixture, longest, "");
    assert_false(look(fixture));
    must_complain(fixture, longest, "is left out");
}

/* ---- Bad YAML ---- */

struct bad_file {
    const char *text, *what;
};

/* As if the daemon started with the files that are there. */
static void start_anew(struct trust_fixture *fixture)
{
    sg_trust_free(fixture->trust);
    fixture->trust = NULL;
    assert_int_equal(sg_trust_new(fixture->dir, &fixture->trust), SIGNET_OK);
}

/* One that was never good gives nothing. */
static void must_be_bad(struct trust_fixture *fixture, const char *name, const char *what)
{
    assert_false(look(fixture));
    must_complain(fixture, name, what);
    must_have(fixture, (const char *const[]){NULL});
}

#define ALGS "algorithms: [ES256]\n"
#define JWKS "jwks: idp.json\n"

static void test_yaml__is_refused_with_what_was_expected(void **state)
{
    struct trust_fixture *fixture = *state;
    static const struct bad_file rows[] = {
        {"issuer: [" ALGS JWKS, "not YAML"},
        {"", ":1: empty"},
        {"- issuer: a\n", ":1: the file: expected keys with values"},
        {ALGS JWKS, ":1: issuer: expected the iss"},
        {"issuer: ''\n" ALGS JWKS, ":1: issuer: expected the iss"},
        {"issuer: " IDP "\n" JWKS, ":1: algorithms: expected one or more"},
        {"issuer: " IDP "\n" JWKS "algorithms: []\n", ":3: algorithms: expected one or more"},
        {"issuer: " IDP "\n" JWKS "algorithms: ES256\n", ":3: algorithms: expected a list"},
        {"issuer: " IDP "\n" JWKS "algorithms:\n- ES256\n- HS256\n",
         ":5: algorithms[1]: an HMAC needs the issuer's secret here"},
        {"issuer: " IDP "\n" JWKS "algorithms: [none]\n", "[0]: there is no such algorithm"},
        {"issuer: " IDP "\n" JWKS "algorithms: [es256]\n", "[0]: there is no such algorithm"},
        {"issuer: " IDP "\n" JWKS "algorithms: [ES256, ES256]\n", "[1]: given twice"},
        /* Two names of one. */
        {"issuer: " IDP "\n" JWKS "algorithms: [EdDSA, Ed25519]\n", "[1]: given twice"},
        {"issuer: " IDP "\n" ALGS, ":1: jwks: expected the path"},
        {"issuer: " IDP "\n" ALGS "jwks: ''\n", ":3: jwks: expected the path"},
        {"issuer: " IDP "\n" ALGS JWKS "audience: orders\n",
         ":4: audience: there is no such key; expected one of issuer, algorithms, audiences, jwks"},
        {"issuer: " IDP "\n" ALGS JWKS "audiences: orders\n", ":4: audiences: expected a list"},
        {"issuer: " IDP "\n" ALGS JWKS "audiences: ['']\n", ":4: audiences[0]: expected 1 to 255"},
        /* Would be as good as none at all, which means any. */
        {"issuer: " IDP "\n" ALGS JWKS "audiences: []\n", ":4: audiences"},
        {"issuer: " IDP "\n" ALGS JWKS "audiences:\n", ":4: audiences"},
        {"issuer: " IDP "\n" ALGS JWKS "audiences: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n",
         ":4: audiences"},
        {"issuer: " IDP "\n" ALGS JWKS "issuer: " OTHER_IDP "\n", ":4: issuer: given twice"},
        {"issuer: " IDP "\n" ALGS JWKS "---\nissuer: " OTHER_IDP "\n", "a second document"},
    };
    put_key(fixture, "idp.json", &key_ec, "k");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start_anew(fixture);
        replace(fixture, "idp.yaml", rows[i].text);
        must_be_bad(fixture, "idp.yaml", rows[i].what);
    }
    put_idp(fixture);
    assert_true(look(fixture));
    must_say(fixture, false, "idp", "is good again");
}

static void test_yaml__bounds_lengths(void **state)
{
    struct trust_fixture *fixture = *state;
    char text[2048];
    char name[SG_MAX_ISSUER_LEN + 2];
    put_key(fixture, "idp.json", &key_ec, "k");
    memset(name, 'a', sizeof(name));
    name[SG_MAX_ISSUER_LEN + 1] = '\0';
    (void)snprintf(text, sizeof(text), "issuer: %s\n" ALGS JWKS, name);
    put(fixture, "idp.yaml", text);
    must_be_bad(fixture, "idp.yaml", ":1: issuer: expected");
    (void)snprintf(text, sizeof(text), "issuer: a\n" ALGS JWKS "audiences: [b, %s]\n", name);
    put(fixture, "idp.yaml", text);
    must_be_bad(fixture, "idp.yaml", ":4: audiences[1]: expected 1 to 255 bytes");
    (void)snprintf(text, sizeof(text), "issuer: a\n" ALGS "jwks: %s%s%s%s%s\n", name, name, name,
                   name, name);
    put(fixture, "idp.yaml", text);
    must_be_bad(fixture, "idp.yaml", ":3: jwks: the path is too long");
    /* The longest that are good. */
    name[SG_MAX_ISSUER_LEN] = '\0';
    (void)snprintf(text, sizeof(text), "issuer: %s\n" ALGS JWKS "audiences: [b, %s]\n", name, name);
    put(fixture, "idp.yaml", text);
    assert_true(look(fixture));
    assert_string_equal(only_issuer(fixture)->issuer, name);
    assert_string_equal(only_issuer(fixture)->audiences[1], name);
}

/* ---- Bad JWK Sets ---- */

static void test_jwks__is_refused_with_what_was_expected(void **state)
{
    struct trust_fixture *fixture = *state;
    static const struct bad_file rows[] = {
        {"", "the JSON ends too early"},
        {"{\"keys\":[", "the JSON ends too early"},
        {"[]", "JSON"},
        {"{}", "expected a JWK Set, {\"keys\": [...]} (RFC 7517 section 5)"},
        {"{\"keys\":{}}", "expected a JWK Set"},
        {"{\"keys\":[],\"keys\":[]}", "duplicate member"},
        {"{\"keys\":[]}", "no key can be used with the algorithms allowed: there is none"},
        {"{\"keys\":[1,null,[],{}]}", "no key can be used"},
        {"{\"keys\":[[[[[[[[[]]]]]]]]]}", "nested too deeply"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"alg\":\"HS256\","
         "\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
         "there is none of their kind"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}]}",
         "there is none of their kind"},
        /* Why the one of their kind cannot be used. */
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
         "no key can be used with the algorithms allowed: x, y and d must be as long"},
        {"{\"keys\":[{\"kid\":\"k\"},{\"kid\":\"k\"}]}",
         "keys[1]: a key before it has the same kid"},
    };
    put_yaml(fixture, "idp.yaml", IDP, "[RS256, ES256, EdDSA]", "idp.json");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start_anew(fixture);
        replace(fixture, "idp.json", rows[i].text);
        must_be_bad(fixture, "idp.json", rows[i].what);
    }
    put_key(fixture, "idp.json", &key_ec, "k");
    assert_true(look(fixture));
    must_say(fixture, false, "idp", "is good again");
}

/* A key that names no algorithm is one for each that is allowed, and none of these takes another's
 * tokens. */
static void test_jwks__binds_each_key_to_one_algorithm(void **state)
{
    struct trust_fixture *fixture = *state;
    static const enum sg_alg algs[] = {SG_ALG_RS256, SG_ALG_PS256};
    struct sg_key_error error;
    struct jose_key pss = {.alg = SG_ALG_PS256, .pkey = key_rsa.pkey};
    char tokens[2][JOSE_TOKEN_CAP];
    json_t *jwk = jwk_of(&key_rsa, "r", "");
    put_set(fixture, "idp.json", &jwk, 1);
    put_yaml(fixture, "idp.yaml", IDP, "[RS256, PS256]", "idp.json");
    const struct sg_trust_issuer *issuer = look_good(fixture);
    assert_int_equal(sg_public_key_from_pkey(SG_ALG_PS256, pss.pkey, &pss.public, &error),
                     SIGNET_OK);
    jose_token(&key_rsa, "{\"alg\":\"RS256\"}", "{}", tokens[0]);
    jose_token(&pss, "{\"alg\":\"PS256\"}", "{}", tokens[1]);
    assert_int_equal(issuer->num_keys, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct sg_trust_key *key = &issuer->keys[i];
        assert_int_equal(key->alg, algs[i]);
        assert_string_equal(key->kid, "r");
        assert_int_equal(jose_verdict(key->public_key, tokens[i]), SIGNET_REASON_NONE);
        assert_int_equal(jose_verdict(key->public_key, tokens[1 - i]), SIGNET_REASON_WRONG_ALG);
    }
    sg_public_key_free(pss.public);
    /* With an algorithm of its own, it has no other. */
    put_key(fixture, "idp.json", &key_rsa, "r");
    issuer = look_good(fixture);
    assert_int_equal(issuer->num_keys, 1);
    assert_int_equal(issuer->keys[0].alg, SG_ALG_RS256);
}

static void test_jwks__passes_over_what_is_of_no_use(void **state)
{
    struct trust_fixture *fixture = *state;
    char kid[SG_MAX_KID_LEN + 2];
    memset(kid, 'k', sizeof(kid));
    kid[SG_MAX_KID_LEN + 1] = '\0';
    json_t *encrypts = jwk_of(&key_ec, "enc", NULL);
    assert_int_equal(json_object_set_new(encrypts, "use", json_string("enc")), 0);
    json_t *private = jwk_of(&key_ec_other, "private", NULL);
    assert_int_equal(json_object_set_new(private, "d", json_string("AAAA")), 0);
    json_t *const members[] = {
        json_pack("{s:s,s:s,s:s}", "kty", "oct", "kid", "secret", "k",
                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        json_pack("{s:s}", "kty", "unheard-of"),
        json_pack("{s:i}", "kty", 1),
        json_null(),
        encrypts,
        jwk_of(&key_ec, kid, NULL),
        jwk_of(&key_rsa, "not-allowed", "RS512"),
        jwk_of(&key_rsa, "not-an-algorithm", "RSA-OAEP"),
        jwk_of(&key_ed, "not-allowed-either", ""),
        jwk_of(&key_ec, kid + 1, NULL),
        private, /* its public part is as good as any */
    };
    put_set(fixture, "idp.json", members, sizeof(members) / sizeof(members[0]));
    put_yaml(fixture, "idp.yaml", IDP, "[ES256, RS256]", "idp.json");
    const struct sg_trust_issuer *issuer = look_good(fixture);
    assert_int_equal(issuer->num_keys, 2);
    assert_string_equal(issuer->keys[0].kid, kid + 1);
    assert_string_equal(issuer->keys[1].kid, "private");
}

/* A set of Ed25519 keys, which are checked fast, and behind them RSA keys without alg. */
static void put_many(const struct trust_fixture *fixture, size_t num_ed, size_t num_rsa)
{
    json_t **members = calloc(num_ed + num_rsa, sizeof(json_t *));
    assert_non_null(members);
    for (size_t i = 0; i < num_ed + num_rsa; i++) {
        char kid[24];
        (void)snprintf(kid, sizeof(kid), "k%zu", i);
        members[i] = jwk_of(i < num_ed ? &key_ed : &key_rsa, kid, "");
    }
    put_set(fixture, "idp.json", members, num_ed + num_rsa);
    free(members);
}

static void test_jwks__bounds_the_number_of_keys(void **state)
{
    struct trust_fixture *fixture = *state;
    put_yaml(fixture, "idp.yaml", IDP, "[EdDSA, RS256, PS256]", "idp.json");
    put_many(fixture, SG_TRUST_MAX_KEYS, 0);
    assert_int_equal(look_good(fixture)->num_keys, SG_TRUST_MAX_KEYS);
    put_many(fixture, SG_TRUST_MAX_KEYS - 4, 2);
    assert_int_equal(look_good(fixture)->num_keys, SG_TRUST_MAX_KEYS);
    put_many(fixture, SG_TRUST_MAX_KEYS - 4, 3);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json",
                  "more than 256 keys; an RSA key without alg is one for each");
    /* Nor may there be more that are of no use. */
    put_yaml(fixture, "idp.yaml", IDP, "[RS256]", "idp.json");
    put_many(fixture, SG_TRUST_MAX_KEYS - 1, 1);
    assert_true(look(fixture));
    assert_int_equal(only_issuer(fixture)->num_keys, 1);
    put_many(fixture, SG_TRUST_MAX_KEYS, 1);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "more than 256 keys");
}

/* ---- What may be read ---- */

static void test_modes__that_are_unsafe_name_the_command_that_mends_them(void **state)
{
    struct trust_fixture *fixture = *state;
    static const struct {
        const char *name;
        mode_t unsafe, safe;
    } rows[] = {{"idp.yaml", 0664, 0644}, {"idp.yaml", 0646, 0640}, {"idp.json", 0662, 0444},
                {"idp.json", 0620, 0600}, {".", 0777, 0755},        {".", 0775, 0700}};
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char command[200];
        bool is_dir = rows[i].name[0] == '.';
        const char *path = is_dir ? fixture->dir : path_of(fixture, rows[i].name);
        (void)snprintf(command, sizeof(command), "(mode %04o): chmod go-w %s",
                       (unsigned)rows[i].unsafe, path);
        assert_int_equal(chmod(path, rows[i].unsafe), 0);
        assert_false(look(fixture));
        must_say(fixture, true, path, command);
        look_unchanged(fixture, issuer);
        look_unchanged(fixture, issuer);
        assert_int_equal(chmod(path, rows[i].safe), 0);
        assert_false(look(fixture));
        must_say(fixture, false, is_dir ? fixture->dir : "idp", "is good again");
        settle(fixture, issuer);
    }
}

/* What comes into an unsafe directory is not read. */
static void test_modes__of_the_directory_count_for_new_files(void **state)
{
    struct trust_fixture *fixture = *state;
    assert_int_equal(chmod(fixture->dir, 0777), 0);
    put_idp(fixture);
    assert_false(look(fixture));
    must_say(fixture, true, fixture->dir, "chmod go-w");
    must_have(fixture, (const char *const[]){NULL});
    assert_int_equal(chmod(fixture->dir, 0755), 0);
    assert_true(look(fixture));
    must_say(fixture, false, fixture->dir, "is good again");
    assert_string_equal(only_issuer(fixture)->issuer, IDP);
}

/* A JWK Set can be elsewhere. */
static void test_modes__of_the_directory_of_keys_count_too(void **state)
{
    struct trust_fixture *fixture = *state;
    const char *dir = path_of(fixture, "keys");
    put_yaml(fixture, "idp.yaml", IDP, "[ES256]", "keys/idp.json");
    must_be_bad(fixture, "keys/idp.json", "cannot be opened");
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(chmod(dir, 01777), 0);
    put_key(fixture, "keys/idp.json", &key_ec, "k");
    for (int i = 0; i < 3; i++) {
        assert_false(look(fixture));
        must_have(fixture, (const char *const[]){NULL});
        if (i == 0) {
            must_complain(fixture, "keys",
                          "/keys: can be written by others (mode 1777): chmod go-w ");
        }
    }
    must_say_nothing(fixture);
    assert_int_equal(chmod(path_of(fixture, "keys"), 0755), 0);
    assert_true(look(fixture));
    must_say(fixture, false, "idp", "is good again");
    settle(fixture, only_issuer(fixture));
}

static void test_owners__that_are_strangers_name_the_command_that_mends_them(void **state)
{
    struct trust_fixture *fixture = *state;
    const char *const names[] = {"idp.yaml", "idp.json", "."};
    if (geteuid() != 0) {
        print_message("only root can give files away\n");
        skip();
    }
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char command[200];
        const char *path = names[i][0] == '.' ? fixture->dir : path_of(fixture, names[i]);
        (void)snprintf(command, sizeof(command),
                       "belongs to uid 65534; expected root or the "
                       "daemon's user: chown 0 %s",
                       path);
        assert_int_equal(chown(path, 65534, 0), 0);
        assert_false(look(fixture));
        must_say(fixture, true, path, command);
        look_unchanged(fixture, issuer);
        assert_int_equal(chown(path, 0, 0), 0);
        assert_false(look(fixture));
        assert_int_equal(fixture->num_said, 1);
        assert_false(fixture->said[0].is_error);
    }
}

static void test_modes__that_keep_the_daemon_out_are_named(void **state)
{
    struct trust_fixture *fixture = *state;
    if (geteuid() == 0) {
        print_message("root may read everything\n");
        skip();
    }
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_int_equal(chmod(path_of(fixture, "idp.json"), 0), 0);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "chmod a+r ");
    look_unchanged(fixture, issuer);
    assert_int_equal(chmod(path_of(fixture, "idp.json"), 0644), 0);
    assert_false(look(fixture));
    must_say(fixture, false, "idp", "is good again");
    assert_int_equal(chmod(fixture->dir, 0), 0);
    assert_false(look(fixture));
    must_say(fixture, true, fixture->dir, ": chmod a+rx ");
    look_unchanged(fixture, issuer);
    assert_int_equal(chmod(fixture->dir, 0755), 0);
}

static void test_files__that_are_none_are_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    static const char *const names[] = {"idp.yaml", "idp.json"};
    for (size_t i = 0; i < 2; i++) {
        const char *path = path_of(fixture, names[i]);
        put_idp(fixture);
        (void)look(fixture);
        struct sg_trust_issuer *issuer = only_issuer(fixture);
        take_away(fixture, names[i]);
        assert_int_equal(mkfifo(path, 0644), 0);
        assert_false(look(fixture)); /* and does not wait for a writer */
        must_complain(fixture, names[i], "is not a regular file");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        look_unchanged(fixture, issuer); /* the same complaint */
        assert_int_equal(rmdir(path), 0);
    }
    take_away(fixture, "idp.yaml");
    (void)look(fixture);
    assert_int_equal(rmdir(fixture->dir), 0);
    test_write_file(fixture->dir, "", 0);
    assert_false(look(fixture));
    must_say(fixture, true, fixture->dir, "cannot be listed: Not a directory");
    assert_int_equal(unlink(fixture->dir), 0);
}

/* As Kubernetes and others put files in place: links, of which one is switched. */
static void test_links__are_followed(void **state)
{
    struct trust_fixture *fixture = *state;
    const char *const versions[] = {"v1", "v2"};
    const struct jose_key *const keys[] = {&key_ec, &key_ec_other};
    for (size_t i = 0; i < 2; i++) {
        char name[32];
        assert_int_equal(mkdir(path_of(fixture, versions[i]), 0755), 0);
        (void)snprintf(name, sizeof(name), "%s/idp.yaml", versions[i]);
        put_yaml(fixture, name, i == 0 ? IDP : OTHER_IDP, "[ES256]", "idp.json");
        (void)snprintf(name, sizeof(name), "%s/idp.json", versions[i]);
        put_key(fixture, name, keys[i], "k");
    }
    assert_int_equal(symlink("v1", path_of(fixture, "..data")), 0);
    assert_int_equal(symlink("..data/idp.yaml", path_of(fixture, "idp.yaml")), 0);
    assert_int_equal(symlink("..data/idp.json", path_of(fixture, "idp.json")), 0);
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_string_equal(issuer->issuer, IDP);
    settle(fixture, issuer);
    assert_int_equal(symlink("v2", path_of(fixture, "..new")), 0);
    assert_int_equal(rename(path_of(fixture, "..new"), path_of(fixture, "..data")), 0);
    issuer = look_good(fixture);
    assert_string_equal(issuer->issuer, OTHER_IDP);
    settle(fixture, issuer);
    /* What a link leads to is looked at. */
    assert_int_equal(chmod(path_of(fixture, "v2/idp.json"), 0666), 0);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "chmod go-w");
    take_away(fixture, "..data");
    assert_false(look(fixture));
    must_complain(fixture, "idp.yaml", "cannot be opened: No such file or directory");
    assert_ptr_equal(only_issuer(fixture), issuer);
}

/* Text behind which spaces make a file of size bytes. */
static void put_padded(const struct trust_fixture *fixture, const char *name, const char *text,
                       size_t size)
{
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, '\n', size);
    memcpy(bytes, text, strlen(text));
    test_write_file(path_of(fixture, name), bytes, size);
    free(bytes);
}

static void test_files__have_a_bound(void **state)
{
    struct trust_fixture *fixture = *state;
    json_t *jwk = jwk_of(&key_ec, "k", NULL);
    char *set = set_text(&jwk, 1);
    static const char yaml[] = "issuer: " IDP "\n" ALGS JWKS;
    put_idp(fixture);
    put_padded(fixture, "idp.yaml", yaml, 65536);
    put_padded(fixture, "idp.json", set, 1048576);
    struct sg_trust_issuer *issuer = look_good(fixture);
    put_padded(fixture, "idp.yaml", yaml, 65537);
    assert_false(look(fixture));
    must_complain(fixture, "idp.yaml", "is too large; expected at most 64 KiB");
    put_padded(fixture, "idp.yaml", yaml, 65536);
    put_padded(fixture, "idp.json", set, 1048577);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "is too large; expected at most 1024 KiB");
    assert_int_equal(truncate(path_of(fixture, "idp.json"), (off_t)1 << 40), 0);
    look_unchanged(fixture, issuer);
    free(set);
}

/* ---- What changes ---- */

/* How often the two files are opened by a reading. */
static size_t opens_of_a_look(struct trust_fixture *fixture)
{
    static const char *const names[] = {"idp.yaml", "idp.json"};
    char events[4096];
    size_t num = 0;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 2; i++) {
        assert_true(inotify_add_watch(fd, path_of(fixture, names[i]), IN_OPEN) >= 0);
    }
    assert_false(look(fixture));
    ssize_t len = read(fd, events, sizeof(events));
    for (ssize_t at = 0; at < len; num++) {
        struct inotify_event event;
        memcpy(&event, events + at, sizeof(event));
        at += (ssize_t)(sizeof(event) + event.len);
    }
    (void)close(fd);
    return num;
}

static void test_read__reads_nothing_when_nothing_changed(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_int_equal(opens_of_a_look(fixture),
                     2); /* once more: see the change right after a reading */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(opens_of_a_look(fixture), 0);
        must_say_nothing(fixture);
        assert_ptr_equal(only_issuer(fixture), issuer);
    }
    /* Nor when they are bad, which is said once. */
    put(fixture, "idp.json", "{\"keys\":[]}");
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "no key can be used");
    look_unchanged(fixture, issuer);
    assert_int_equal(opens_of_a_look(fixture), 0);
}

/* What is fetched again and is the same makes no work for others. */
static void test_read__keeps_the_object_when_the_files_say_the_same(void **state)
{
    struct trust_fixture *fixture = *state;
    json_t *jwk = jwk_of(&key_ec, "k", NULL);
    char *set = set_text(&jwk, 1);
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    settle(fixture, issuer);
    replace(fixture, "idp.json", set);
    look_unchanged(fixture, issuer);
    put_idp(fixture);
    look_unchanged(fixture, issuer);
    /* And what is not the same is another object. */
    static const char *const others[] = {
        "issuer: " OTHER_IDP "\n" ALGS JWKS,
        "issuer: " OTHER_IDP "\n" ALGS JWKS "audiences: [a]\n",
        "issuer: " OTHER_IDP "\n" ALGS JWKS "audiences: [b]\n",
    };
    for (size_t i = 0; i < 3; i++) {
        replace(fixture, "idp.yaml", others[i]);
        (void)look_good(fixture);
    }
    replace_key(fixture, "idp.json", &key_ec, "l");
    assert_string_equal(look_good(fixture)->keys[0].kid, "l");
    replace_key(fixture, "idp.json", &key_ec_other, "l");
    (void)look_good(fixture);
    free(set);
}

static void test_change__of_the_keys_alone_is_seen(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    settle(fixture, look_good(fixture));
    replace_key(fixture, "idp.json", &key_ec_other, "l");
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_string_equal(issuer->keys[0].kid, "l");
    settle(fixture, issuer);
}

static void test_change__by_another_file_in_its_place_is_seen(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    put_key(fixture, "other.json", &key_ec_other, "other");
    settle(fixture, look_good(fixture));
    replace(fixture, "idp.yaml", "issuer: " OTHER_IDP "\n" ALGS "jwks: other.json\n");
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_string_equal(issuer->issuer, OTHER_IDP);
    assert_string_equal(issuer->keys[0].kid, "other");
    settle(fixture, issuer);
    /* The file that is named now is the one that is watched. */
    put_key(fixture, "other.json", &key_ec_other, "next");
    assert_string_equal(look_good(fixture)->keys[0].kid, "next");
}

/* Writes other bytes of the same number into the file itself and gives it the time of change it had. */
static void edit_in_place(const struct trust_fixture *fixture, const char *name,
                          const struct timespec *mtime, const char *text, struct stat *after)
{
    const struct timespec times[] = {*mtime, *mtime};
    const char *path = path_of(fixture, name);
    put(fixture, name, text);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(stat(path, after), 0);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void test_change__in_place_of_the_same_size_is_seen(void **state)
{
    struct trust_fixture *fixture = *state;
    static const struct timespec past = {.tv_sec = 1600000000, .tv_nsec = 1};
    static const struct timespec later = {.tv_sec = 1600000000, .tv_nsec = 2};
    struct stat before;
    struct stat after;
    put_key(fixture, "idp.json", &key_ec, "k");
    edit_in_place(fixture, "idp.yaml", &past, "issuer: a\n" ALGS JWKS, &before);
    settle(fixture, look_good(fixture));
    edit_in_place(fixture, "idp.yaml", &later, "issuer: b\n" ALGS JWKS, &after);
    struct sg_trust_issuer *issuer = look_good(fixture);
    assert_string_equal(issuer->issuer, "b");
    settle(fixture, issuer);
    /* By whoever sets the time back: this shows in the time of the inode's change. */
    assert_int_equal(stat(path_of(fixture, "idp.yaml"), &before), 0);
    do {
        edit_in_place(fixture, "idp.yaml", &later, "issuer: c\n" ALGS JWKS, &after);
    } while (same_time(&before.st_ctim, &after.st_ctim));
    assert_int_equal(after.st_size, before.st_size);
    assert_true(same_time(&before.st_mtim, &after.st_mtim));
    assert_string_equal(look_good(fixture)->issuer, "c");
}

/* Read, and changed within the step in which the times of files go: nothing shows it. */
static void test_change__right_after_a_reading_is_seen(void **state)
{
    struct trust_fixture *fixture = *state;
    static const struct timespec past = {.tv_sec = 1600000000};
    struct stat before;
    struct stat after;
    put_key(fixture, "idp.json", &key_ec, "k");
    for (int i = 0; i < 20; i++) {
        start_anew(fixture);
        edit_in_place(fixture, "idp.yaml", &past, "issuer: a\n" ALGS JWKS, &before);
        (void)look_good(fixture);
        edit_in_place(fixture, "idp.yaml", &past, "issuer: b\n" ALGS JWKS, &after);
        assert_string_equal(look_good(fixture)->issuer, "b");
        if (same_time(&before.st_ctim, &after.st_ctim)) {
            return;
        }
    }
    print_message("every change has a time of its own on this file system\n");
    skip();
}

/* ---- While files are bad ---- */

static void test_bad_file__keeps_the_last_good_one_and_is_said_once(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    put(fixture, "idp.json", "{\"keys\":[");
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "ends too early");
    settle(fixture, issuer);
    /* Another fault is said too, and so is the first one if it comes back. */
    put(fixture, "idp.yaml", "issuer: " IDP "\n" ALGS);
    assert_false(look(fixture));
    must_complain(fixture, "idp.yaml", "jwks: expected the path");
    settle(fixture, issuer);
    put(fixture, "idp.yaml", "issuer: " IDP "\n" ALGS JWKS);
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "ends too early");
    settle(fixture, issuer);
    put_key(fixture, "idp.json", &key_ec_other, "l");
    assert_true(look(fixture));
    must_say(fixture, false, "idp", "is good again");
    assert_string_equal(only_issuer(fixture)->keys[0].kid, "l");
    settle(fixture, only_issuer(fixture));
}

static void test_bad_file__that_is_missing_is_looked_for(void **state)
{
    struct trust_fixture *fixture = *state;
    put_yaml(fixture, "idp.yaml", IDP, "[ES256]", "idp.json");
    must_be_bad(fixture, "idp.json", "cannot be opened: No such file or directory");
    for (int i = 0; i < 3; i++) {
        assert_false(look(fixture));
        must_say_nothing(fixture);
    }
    put_key(fixture, "idp.json", &key_ec, "k");
    assert_true(look(fixture));
    must_say(fixture, false, "idp", "is good again");
    struct sg_trust_issuer *issuer = only_issuer(fixture);
    take_away(fixture, "idp.json");
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "cannot be opened");
    assert_ptr_equal(only_issuer(fixture), issuer);
}

/* Lets the process open num more files. */
static void limit_files(struct rlimit limit, rlim_t num)
{
    int next = dup(STDOUT_FILENO);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    limit.rlim_cur = (rlim_t)next + num;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* What is wrong with the process does not show in the files either when it is over. */
static void test_bad_file__that_could_not_be_opened_is_tried_again(void **state)
{
    struct trust_fixture *fixture = *state;
    struct rlimit limit;
    put_idp(fixture);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit_files(limit, 1); /* the directory */
    bool is_new = look(fixture);
    size_t num_said = fixture->num_said;
    (void)look(fixture);
    (void)look(fixture);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    limit_files(limit, 0);
    (void)look(fixture);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(is_new);
    assert_int_equal(num_said, 1);
    must_say(fixture, true, fixture->dir, ": cannot be listed: Too many open files");
    assert_true(look(fixture));
    assert_int_equal(fixture->num_said, 2);
    assert_false(fixture->said[0].is_error || fixture->said[1].is_error);
    assert_string_equal(only_issuer(fixture)->issuer, IDP);
}

static void test_bad_file__does_no_harm_to_others(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    put(fixture, "bad.yaml", "issuer: [");
    assert_true(look(fixture));
    must_complain(fixture, "bad.yaml", "not YAML");
    settle(fixture, only_issuer(fixture));
    take_away(fixture, "bad.yaml"); /* it never was trusted: nothing to say */
    settle(fixture, only_issuer(fixture));
}

static void test_file__that_is_gone_takes_its_issuer_along(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    put_yaml(fixture, "other.yaml", OTHER_IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    struct sg_trust_issuer *kept = sg_trust_issuer_at(fixture->trust, 1);
    take_away(fixture, "idp.yaml");
    assert_true(look(fixture));
    must_say(fixture, false, path_of(fixture, "idp.yaml"),
             " is gone: " IDP " is no longer trusted");
    assert_ptr_equal(only_issuer(fixture), kept);
    settle(fixture, kept);
    /* And it may come back. */
    put_yaml(fixture, "idp.yaml", IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_say_nothing(fixture);
    must_have(fixture, (const char *const[]){IDP, OTHER_IDP, NULL});
}

/* The new object may well be where the old one was. */
static void test_file__that_takes_the_place_of_another_is_news(void **state)
{
    struct trust_fixture *fixture = *state;
    put_idp(fixture);
    (void)look_good(fixture);
    assert_int_equal(rename(path_of(fixture, "idp.yaml"), path_of(fixture, "two.yaml")), 0);
    assert_true(look(fixture));
    must_say(fixture, false, path_of(fixture, "idp.yaml"), "is no longer trusted");
    assert_string_equal(only_issuer(fixture)->name, "two");
}

/* ---- Names that others have ---- */

static void test_local__names_and_issuers_cannot_be_claimed(void **state)
{
    struct trust_fixture *fixture = *state;
    put_key(fixture, "idp.json", &key_ec, "k");
    put_yaml(fixture, "idp.yaml", OURS, "[ES256]", "idp.json");
    must_be_bad(fixture, "idp.yaml", "issuer: " OURS " is a keyset's here");
    assert_false(look(fixture));
    must_say_nothing(fixture);
    take_away(fixture, "idp.yaml");
    put_yaml(fixture, "login.yaml", IDP, "[ES256]", "idp.json");
    must_be_bad(fixture, "login.yaml", "a keyset here is called so too; rename the file");
    assert_int_equal(rename(path_of(fixture, "login.yaml"), path_of(fixture, "idp.yaml")), 0);
    (void)look_good(fixture);
    /* One that was good stays as it was. */
    put_yaml(fixture, "idp.yaml", OURS, "[ES256]", "idp.json");
    assert_false(look(fixture));
    must_complain(fixture, "idp.yaml", "issuer: " OURS " is a keyset's here");
    must_have(fixture, (const char *const[]){IDP, NULL});
}

/* After a reload of the configuration. */
static void test_local__takes_names_and_issuers_back(void **state)
{
    struct trust_fixture *fixture = *state;
    const struct sg_trust_local before = fixture->local;
    static const char *const keysets[][2] = {{"login", "more"}, {"login", "idp"}};
    static const char *const issuers[][2] = {{OURS, IDP}, {OURS, "https://more.example"}};
    static const char *const said[] = {IDP " is a keyset's here", "a keyset here is called so"};
    put_idp(fixture);
    struct sg_trust_issuer *issuer = look_good(fixture);
    for (size_t i = 0; i < 2; i++) {
        fixture->local =
            (struct sg_trust_local){.keysets = keysets[i], .issuers = issuers[i], .num = 2};
        assert_true(look(fixture));
        must_complain(fixture, "idp.yaml", said[i]);
        must_have(fixture, (const char *const[]){NULL});
        assert_false(look(fixture));
        must_say_nothing(fixture);
        fixture->local = before;
        assert_true(look(fixture));
        must_say(fixture, false, "idp", "is good again");
        settle(fixture, issuer);
    }
}

/* One whose file is bad just then is dropped likewise, and both are said. */
static void test_local__takes_back_what_a_bad_file_had(void **state)
{
    struct trust_fixture *fixture = *state;
    const struct sg_trust_local before = fixture->local;
    static const char *const keysets[] = {"more"};
    static const char *const issuers[] = {IDP};
    put_idp(fixture);
    (void)look_good(fixture);
    put(fixture, "idp.json", "{");
    assert_false(look(fixture));
    must_complain(fixture, "idp.json", "ends too early");
    fixture->local = (struct sg_trust_local){.keysets = keysets, .issuers = issuers, .num = 1};
    assert_true(look(fixture));
    must_complain(fixture, "idp.yaml", IDP " is a keyset's here");
    must_have(fixture, (const char *const[]){NULL});
    fixture->local = before;
    assert_true(look(fixture));
    must_say_nothing(fixture); /* it still is bad */
    must_have(fixture, (const char *const[]){IDP, NULL});
}

static void test_two_files__with_one_issuer_are_not_both_used(void **state)
{
    struct trust_fixture *fixture = *state;
    put_key(fixture, "idp.json", &key_ec, "k");
    put_yaml(fixture, "b.yaml", IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "c.yaml", IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_complain(fixture, "c.yaml", "issuer: b.yaml has " IDP " already");
    assert_string_equal(only_issuer(fixture)->name, "b");
    /* Nor does a file take one away for being first by name. */
    put_yaml(fixture, "a.yaml", IDP, "[ES256]", "idp.json");
    assert_false(look(fixture));
    must_complain(fixture, "a.yaml", "issuer: b.yaml has " IDP " already");
    assert_string_equal(only_issuer(fixture)->name, "b");
    take_away(fixture, "b.yaml");
    assert_true(look(fixture));
    assert_int_equal(fixture->num_said, 3);
    assert_non_null(strstr(fixture->said[0].text, "b.yaml is gone"));
    assert_string_equal(fixture->said[1].text, "a: is good again");
    assert_non_null(strstr(fixture->said[2].text, "issuer: a.yaml has " IDP " already"));
    assert_string_equal(only_issuer(fixture)->name, "a");
}

/* A file that is changed to say what another has stays as it was. */
static void test_two_files__keep_what_they_had(void **state)
{
    struct trust_fixture *fixture = *state;
    put_key(fixture, "idp.json", &key_ec, "k");
    put_yaml(fixture, "a.yaml", IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "b.yaml", OTHER_IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    put_yaml(fixture, "a.yaml", OTHER_IDP, "[ES256]", "idp.json");
    assert_false(look(fixture));
    must_complain(fixture, "a.yaml", "issuer: b.yaml has " OTHER_IDP " already");
    must_have(fixture, (const char *const[]){IDP, OTHER_IDP, NULL});
    assert_false(look(fixture));
    must_say_nothing(fixture);
    /* Changing both ends it: they have changed places. */
    put_yaml(fixture, "b.yaml", IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_say(fixture, false, "a", "is good again");
    must_have(fixture, (const char *const[]){OTHER_IDP, IDP, NULL});
    /* And what nobody claims any more is free. */
    put_yaml(fixture, "a.yaml", IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "b.yaml", THIRD_IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_say_nothing(fixture);
    must_have(fixture, (const char *const[]){IDP, THIRD_IDP, NULL});
}

/* Not even one whose file says something else by now, but nothing that may be used. */
static void test_two_files__leave_one_that_fell_back_what_it_has(void **state)
{
    struct trust_fixture *fixture = *state;
    static const char *const claims[] = {OURS, THIRD_IDP};
    put_key(fixture, "idp.json", &key_ec, "k");
    put_yaml(fixture, "c.yaml", THIRD_IDP, "[ES256]", "idp.json");
    for (size_t i = 0; i < 2; i++) {
        put_yaml(fixture, "b.yaml", IDP, "[ES256]", "idp.json");
        (void)look(fixture);
        put_yaml(fixture, "b.yaml", claims[i], "[ES256]", "idp.json");
        assert_false(look(fixture));
        must_complain(fixture, "b.yaml", claims[i]);
        put_yaml(fixture, "a.yaml", IDP, "[ES256]", "idp.json");
        assert_false(look(fixture));
        must_complain(fixture, "a.yaml", "issuer: b.yaml has " IDP " already");
        must_have(fixture, (const char *const[]){IDP, THIRD_IDP, NULL});
        assert_string_equal(sg_trust_issuer_at(fixture->trust, 0)->name, "b");
        assert_false(look(fixture));
        must_say_nothing(fixture);
        take_away(fixture, "a.yaml");
    }
    /* Nor does one that moves, in the same look. */
    put_yaml(fixture, "b.yaml", IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "a.yaml", OTHER_IDP, "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_have(fixture, (const char *const[]){OTHER_IDP, IDP, THIRD_IDP, NULL});
    put_yaml(fixture, "a.yaml", IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "b.yaml", THIRD_IDP, "[ES256]", "idp.json");
    assert_false(look(fixture));
    assert_int_equal(fixture->num_said, 2);
    assert_non_null(strstr(fixture->said[0].text, "a.yaml: issuer: b.yaml has " IDP));
    assert_non_null(strstr(fixture->said[1].text, "b.yaml: issuer: c.yaml has " THIRD_IDP));
    must_have(fixture, (const char *const[]){OTHER_IDP, IDP, THIRD_IDP, NULL});
    /* Nor where the one that could not move is behind the one that would come, and somebody was faster. */
    put_yaml(fixture, "a.yaml", THIRD_IDP, "[ES256]", "idp.json");
    put_yaml(fixture, "b.yaml", "https://free.example", "[ES256]", "idp.json");
    put_yaml(fixture, "c.yaml", "https://free.example", "[ES256]", "idp.json");
    assert_true(look(fixture));
    must_have(fixture, (const char *const[]){OTHER_IDP, "https://free.example", THIRD_IDP, NULL});
}

/* ---- Bounds and lives ---- */

static void put_numbered(const struct trust_fixture *fixture, unsigned number)
{
    char name[32];
    char issuer[32];
    (void)snprintf(name, sizeof(name), "i%03u.yaml", number);
    (void)snprintf(issuer, sizeof(issuer), "https://%u.example", number);
    put_yaml(fixture, name, issuer, "[EdDSA]", "idp.json");
}

static void test_issuers__have_a_bound(void **state)
{
    struct trust_fixture *fixture = *state;
    put_key(fixture, "idp.json", &key_ed, "k");
    for (unsigned i = 1; i <= SG_TRUST_MAX_ISSUERS; i++) {
        put_numbered(fixture, i);
    }
    assert_true(look(fixture));
    must_say_nothing(fixture);
    assert_int_equal(sg_trust_num_issuers(fixture->trust), SG_TRUST_MAX_ISSUERS);
    /* One more takes nobody's place. */
    put_numbered(fixture, 0);
    assert_false(look(fixture));
    must_say(fixture, true, fixture->dir, "more than 256 issuers; i000 is left out");
    assert_string_equal(sg_trust_issuer_at(fixture->trust, 0)->name, "i001");
    /* One that is gone makes room at once. */
    take_away(fixture, "i007.yaml");
    assert_true(look(fixture));
    assert_int_equal(fixture->num_said, 2);
    assert_non_null(strstr(fixture->said[0].text, "i007.yaml is gone"));
    assert_non_null(strstr(fixture->said[1].text, "is good again"));
    assert_int_equal(sg_trust_num_issuers(fixture->trust), SG_TRUST_MAX_ISSUERS);
    assert_string_equal(sg_trust_issuer_at(fixture->trust, 0)->name, "i000");
}

static void test_issuer__lives_as_long_as_somebody_holds_it(void **state)
{
    struct trust_fixture *fixture = *state;
    char token[JOSE_TOKEN_CAP];
    put_idp(fixture);
    struct sg_trust_issuer *held = sg_trust_issuer_ref(look_good(fixture));
    put_key(fixture, "idp.json", &key_ec_other, "l");
    assert_ptr_not_equal(look_good(fixture), held);
    take_away(fixture, "idp.yaml");
    (void)look(fixture);
    sg_trust_free(fixture->trust);
    fixture->trust = NULL;
    assert_string_equal(held->keys[0].kid, "k");
    jose_token(&key_ec, "{\"alg\":\"ES256\"}", "{}", token);
    assert_int_equal(jose_verdict(held->keys[0].public_key, token), SIGNET_REASON_NONE);
    sg_trust_issuer_unref(held);
    sg_trust_issuer_unref(NULL);
}

#define TRUST_TEST(name) cmocka_unit_test_setup_teardown(name, trust_setup, trust_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRUST_TEST(test_read__takes_what_the_files_say),
        TRUST_TEST(test_read__orders_issuers_by_name),
        TRUST_TEST(test_read__needs_no_directory),
        TRUST_TEST(test_read__leaves_other_files_alone),
        TRUST_TEST(test_read__names_a_file_whose_name_is_no_issuers),
        TRUST_TEST(test_yaml__is_refused_with_what_was_expected),
        TRUST_TEST(test_yaml__bounds_lengths),
        TRUST_TEST(test_jwks__is_refused_with_what_was_expected),
        TRUST_TEST(test_jwks__binds_each_key_to_one_algorithm),
        TRUST_TEST(test_jwks__passes_over_what_is_of_no_use),
        TRUST_TEST(test_jwks__bounds_the_number_of_keys),
        TRUST_TEST(test_modes__that_are_unsafe_name_the_command_that_mends_them),
        TRUST_TEST(test_modes__of_the_directory_count_for_new_files),
        TRUST_TEST(test_modes__of_the_directory_of_keys_count_too),
        TRUST_TEST(test_owners__that_are_strangers_name_the_command_that_mends_them),
        TRUST_TEST(test_modes__that_keep_the_daemon_out_are_named),
        TRUST_TEST(test_files__that_are_none_are_refused),
        TRUST_TEST(test_links__are_followed),
        TRUST_TEST(test_files__have_a_bound),
        TRUST_TEST(test_read__reads_nothing_when_nothing_changed),
        TRUST_TEST(test_read__keeps_the_object_when_the_files_say_the_same),
        TRUST_TEST(test_change__of_the_keys_alone_is_seen),
        TRUST_TEST(test_change__by_another_file_in_its_place_is_seen),
        TRUST_TEST(test_change__in_place_of_the_same_size_is_seen),
        TRUST_TEST(test_change__right_after_a_reading_is_seen),
        TRUST_TEST(test_bad_file__keeps_the_last_good_one_and_is_said_once),
        TRUST_TEST(test_bad_file__that_is_missing_is_looked_for),
        TRUST_TEST(test_bad_file__that_could_not_be_opened_is_tried_again),
        TRUST_TEST(test_bad_file__does_no_harm_to_others),
        TRUST_TEST(test_file__that_is_gone_takes_its_issuer_along),
        TRUST_TEST(test_file__that_takes_the_place_of_another_is_news),
        TRUST_TEST(test_local__names_and_issuers_cannot_be_claimed),
        TRUST_TEST(test_local__takes_names_and_issuers_back),
        TRUST_TEST(test_local__takes_back_what_a_bad_file_had),
        TRUST_TEST(test_two_files__with_one_issuer_are_not_both_used),
        TRUST_TEST(test_two_files__keep_what_they_had),
        TRUST_TEST(test_two_files__leave_one_that_fell_back_what_it_has),
        TRUST_TEST(test_issuers__have_a_bound),
        TRUST_TEST(test_issuer__lives_as_long_as_somebody_holds_it),
    };
    return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
