/* SPDX-License-Identifier: Apache-2.0
 *
 * An authorised process can do what its grant says, and anyone else gets a reason and nothing more: four users
 * of this machine and root, on both sockets, with every keyset that there is and is not; while grants change;
 * by program, group and unit; and what the audit has of all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "tests/integration/grants_audit.h"
#include "tests/integration/grants_calls.h"
#include "tests/integration/grants_fixture.h"
#include "tests/integration/grants_load.h"
#include "tests/integration/grants_service.h"

#define GRANTS_MAX_WORD    96u
#define GRANTS_MAX_METHODS 40u

static void expect_word(const char *what, const char *expected,
                        const struct grants_outcome *outcome)
{
    char word[GRANTS_MAX_WORD];
    grants_word(outcome, word, sizeof(word));
    if (strcmp(word, expected) != 0) {
        fail_msg("%s: expected %s, got %s: %s", what, expected, word, outcome->message);
    }
}

/* ---- The matrix ---- */

#define OK     "OK"
#define NONE   "PERMISSION_DENIED NO_GRANT"
#define RIGHT  "PERMISSION_DENIED NO_GRANT_FOR_RIGHT"
#define KEYSET "PERMISSION_DENIED NO_GRANT_FOR_KEYSET"
#define NO_KEY "REJECTED UNKNOWN_KEY"
#define NOT_IT "NOT_FOUND KEYSET_UNKNOWN"
#define ABROAD "INVALID_ARGUMENT KEYSET_FOREIGN"

static const char matrix_grants[] = "  - name: login-signs\n"
                                    "    who: {user: $LOGIN}\n"
                                    "    may: [sign]\n"
                                    "    keysets: [login, \"team-*\"]\n"
                                    "  - name: login-checks\n"
                                    "    who: {user: $LOGIN}\n"
                                    "    may: [verify, admin]\n"
                                    "    keysets: [login, partner]\n"
                                    "  - name: issuer-signs\n"
                                    "    who: {user: $ISSUER}\n"
                                    "    may: [sign]\n"
                                    "    keysets: [\"*\"]\n"
                                    "  - name: ops\n"
                                    "    who: {user: $OPS}\n"
                                    "    may: [verify, admin]\n"
                                    "    keysets: [\"*\"]\n";

enum matrix_act {
    MATRIX_SIGN,
    MATRIX_SIGN_BATCH,
    MATRIX_VERIFY_KEYSET, /* the request names the keyset */
    MATRIX_VERIFY_KEYSET_BATCH,
    MATRIX_VERIFY, /* the token does */
    MATRIX_VERIFY_BATCH,
    MATRIX_NUM_ACTS
};

static const char *const matrix_acts[MATRIX_NUM_ACTS] = {
    "sign",   "sign in a batch",  "verify by keyset", "verify by keyset in a batch",
    "verify", "verify in a batch"};

/* By hand, from the grants above: login, orders, team-blue, nowhere, partner. */
static const char *const matrix_signing[GRANTS_NUM_PEOPLE][GRANTS_NUM_TARGETS] = {
    [GRANTS_LOGIN] = {OK, KEYSET, OK, KEYSET, KEYSET},
    [GRANTS_ISSUER] = {OK, OK, OK, NOT_IT, ABROAD},
    [GRANTS_OPS] = {RIGHT, RIGHT, RIGHT, RIGHT, RIGHT},
    [GRANTS_STRANGER] = {NONE, NONE, NONE, NONE, NONE},
    [GRANTS_ROOT] = {NONE, NONE, NONE, NONE, NONE},
};
static const char *const matrix_verifying_keyset[GRANTS_NUM_PEOPLE][GRANTS_NUM_TARGETS] = {
    [GRANTS_LOGIN] = {OK, KEYSET, KEYSET, KEYSET, OK},
    [GRANTS_ISSUER] = {RIGHT, RIGHT, RIGHT, RIGHT, RIGHT},
    [GRANTS_OPS] = {OK, OK, OK, NOT_IT, OK},
    [GRANTS_STRANGER] = {NONE, NONE, NONE, NONE, NONE},
    [GRANTS_ROOT] = {NONE, NONE, NONE, NONE, NONE},
};
static const char *const matrix_verifying[GRANTS_NUM_PEOPLE][GRANTS_NUM_TARGETS] = {
    [GRANTS_LOGIN] = {OK, KEYSET, KEYSET, NO_KEY, OK},
    [GRANTS_ISSUER] = {RIGHT, RIGHT, RIGHT, RIGHT, RIGHT},
    [GRANTS_OPS] = {OK, OK, OK, NO_KEY, OK},
    [GRANTS_STRANGER] = {NONE, NONE, NONE, NONE, NONE},
    [GRANTS_ROOT] = {NONE, NONE, NONE, NONE, NONE},
};

struct matrix {
    struct grants_outcome cells[MATRIX_NUM_ACTS][GRANTS_NUM_TARGETS];
};

static void matrix_ask_about(const struct grants_fixture *fixture, struct signet_client *client,
                             struct matrix *out, size_t target)
{
    const char *name = grants_targets[target];
    const char *token = fixture->tokens[target];
    const char *const twice[] = {token, token};
    struct grants_outcome two[2];
    grants_sign(fixture, client, name, NULL, NULL, &out->cells[MATRIX_SIGN][target]);
    grants_verify(client, token, name, &out->cells[MATRIX_VERIFY_KEYSET][target]);
    grants_verify(client, token, NULL, &out->cells[MATRIX_VERIFY][target]);
    grants_verify_many(client, twice, 2, name, two);
    out->cells[MATRIX_VERIFY_KEYSET_BATCH][target] = two[1];
}

/* A child's: does everything with everything. */
static bool matrix_ask(const struct grants_fixture *fixture, void *context)
{
    struct matrix *out = context;
    const char *tokens[GRANTS_NUM_TARGETS];
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    if (client == NULL) {
        return false;
    }
    for (size_t i = 0; i < GRANTS_NUM_TARGETS; i++) {
        tokens[i] = fixture->tokens[i];
        matrix_ask_about(fixture, client, out, i);
    }
    grants_sign_many(fixture, client, grants_targets, GRANTS_NUM_TARGETS,
                     out->cells[MATRIX_SIGN_BATCH]);
    grants_verify_many(client, tokens, GRANTS_NUM_TARGETS, NULL, out->cells[MATRIX_VERIFY_BATCH]);
    signet_client_free(client);
    return true;
}

static const char *matrix_expected(enum matrix_act act, size_t who, size_t target)
{
    switch (act) {
    case MATRIX_SIGN:
    case MATRIX_SIGN_BATCH:
        return matrix_signing[who][target];
    case MATRIX_VERIFY_KEYSET:
    case MATRIX_VERIFY_KEYSET_BATCH:
        return matrix_verifying_keyset[who][target];
    case MATRIX_VERIFY:
    case MATRIX_VERIFY_BATCH:
        return matrix_verifying[who][target];
    case MATRIX_NUM_ACTS:
        break;
    }
    return "";
}

static bool matrix_is_denial(const struct grants_outcome *outcome)
{
    return outcome->status == SIGNET_PERMISSION_DENIED;
}

/* Who is denied learns nothing of whether there is such a keyset. */
static void matrix_check_secrecy(const struct grants_outcome *cells, const char *what)
{
    for (size_t i = 0; i < GRANTS_NUM_TARGETS; i++) {
        if (matrix_is_denial(&cells[i]) && matrix_is_denial(&cells[GRANTS_NOWHERE]) &&
            memcmp(&cells[i], &cells[GRANTS_NOWHERE], sizeof(cells[i])) != 0) {
            fail_msg("%s: one hears \"%s\" of %s and \"%s\" of what is not there", what,
                     cells[i].message, grants_targets[i], cells[GRANTS_NOWHERE].message);
        }
    }
}

static void matrix_check(const struct grants_fixture *fixture, const struct matrix *matrix,
                         size_t who)
{
    for (size_t act = 0; act < MATRIX_NUM_ACTS; act++) {
        char what[128];
        for (size_t target = 0; target < GRANTS_NUM_TARGETS; target++) {
            (void)snprintf(what, sizeof(what), "%s: %s, %s", fixture->people[who].role,
                           matrix_acts[act], grants_targets[target]);
            expect_word(what, matrix_expected((enum matrix_act)act, who, target),
                        &matrix->cells[act][target]);
        }
        (void)snprintf(what, sizeof(what), "%s: %s", fixture->people[who].role, matrix_acts[act]);
        matrix_check_secrecy(matrix->cells[act], what);
    }
}

static void matrix_check_everybody(const struct grants_fixture *fixture)
{
    struct matrix *matrix = grants_share(GRANTS_NUM_PEOPLE * sizeof(*matrix));
    pid_t children[GRANTS_NUM_PEOPLE];
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        children[who] = grants_fork(fixture, (enum grants_who)who, matrix_ask, &matrix[who]);
    }
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        grants_join(children[who]);
    }
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        matrix_check(fixture, &matrix[who], who);
    }
    grants_unshare(matrix, GRANTS_NUM_PEOPLE * sizeof(*matrix));
}

static void test_grants__let_each_user_do_its_own_and_no_more(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    grants_use(fixture, matrix_grants);
    matrix_check_everybody(fixture);
    /* The same after a start, from the file alone. */
    grants_restart(fixture, SIGTERM);
    matrix_check_everybody(fixture);
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "NO_GRANT_FOR_KEYSET", "orders",
                                 "grant login-signs: keyset is orders"));
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "NO_GRANT_FOR_KEYSET", "nowhere",
                                 "grant login-signs: keyset is nowhere"));
    assert_true(grants_audit_has(fixture, GRANTS_OPS, "NO_GRANT_FOR_RIGHT", "login",
                                 "grant ops: right is sign"));
    assert_true(grants_audit_has(fixture, GRANTS_STRANGER, "NO_GRANT", "login",
                                 "grant login-signs: user is uid"));
    assert_true(grants_audit_has(fixture, GRANTS_ROOT, "NO_GRANT", "partner", NULL));
}

static void test_grants__are_none_unless_given(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct matrix *matrix = grants_share(sizeof(*matrix));
    grants_use(fixture, "");
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        grants_as(fixture, (enum grants_who)who, matrix_ask, matrix);
        for (size_t act = 0; act < MATRIX_NUM_ACTS; act++) {
            for (size_t target = 0; target < GRANTS_NUM_TARGETS; target++) {
                expect_word(matrix_acts[act], NONE, &matrix->cells[act][target]);
            }
            matrix_check_secrecy(matrix->cells[act], matrix_acts[act]);
        }
    }
    grants_unshare(matrix, sizeof(*matrix));
}

/* ---- Operators ---- */

#define PASSES  "passes"
#define SERVICE "PERMISSION_DENIED ADMIN_SOCKET_ONLY"
#define NOBODY  "PERMISSION_DENIED NOT_AN_OPERATOR"

/* Calls about no keyset, or about that one. */
enum admin_scope {
    ADMIN_ALL,
    ADMIN_LOGIN,
    ADMIN_ORDERS,
    ADMIN_NOWHERE,
    ADMIN_NUM_SCOPES
};

static const char *const admin_scopes[ADMIN_NUM_SCOPES] = {"", "login", "orders", "nowhere"};

static const char *const admin_expected[GRANTS_NUM_PEOPLE][ADMIN_NUM_SCOPES] = {
    [GRANTS_LOGIN] = {KEYSET, PASSES, KEYSET, KEYSET},
    [GRANTS_ISSUER] = {NOBODY, NOBODY, NOBODY, NOBODY},
    [GRANTS_OPS] = {PASSES, PASSES, PASSES, PASSES},
    [GRANTS_STRANGER] = {NOBODY, NOBODY, NOBODY, NOBODY},
    [GRANTS_ROOT] = {PASSES, PASSES, PASSES, PASSES},
};

struct admin {
    size_t num_methods;
    struct grants_method methods[GRANTS_MAX_METHODS];
    struct grants_outcome services[GRANTS_MAX_METHODS][ADMIN_NUM_SCOPES];
    struct grants_outcome operators[GRANTS_MAX_METHODS][ADMIN_NUM_SCOPES];
};

static size_t admin_num_scopes(const struct grants_method *method)
{
    return method->has_keyset ? ADMIN_NUM_SCOPES : 1;
}

static bool admin_ask_on(const struct grants_fixture *fixture, const char *address,
                         const struct admin *admin, struct grants_outcome (*out)[ADMIN_NUM_SCOPES])
{
    struct signet_client *client = grants_connect(fixture, address);
    if (client == NULL) {
        return false;
    }
    for (size_t i = 0; i < admin->num_methods; i++) {
        for (size_t scope = 0; scope < admin_num_scopes(&admin->methods[i]); scope++) {
            grants_operate(client, &admin->methods[i], admin_scopes[scope], &out[i][scope]);
        }
    }
    signet_client_free(client);
    return true;
}

static bool admin_ask(const struct grants_fixture *fixture, void *context)
{
    struct admin *admin = context;
    return admin_ask_on(fixture, fixture->keyed.daemon.address, admin, admin->services) &&
           admin_ask_on(fixture, fixture->keyed.admin_address, admin, admin->operators);
}

/* Let, whatever became of it then. */
static bool admin_passes(const struct grants_outcome *outcome)
{
    return outcome->status == SIGNET_OK || outcome->status == SIGNET_NOT_FOUND ||
           outcome->status == SIGNET_INVALID_ARGUMENT ||
           outcome->status == SIGNET_FAILED_PRECONDITION;
}

static void admin_check_one(const struct grants_fixture *fixture, const struct admin *admin,
                            size_t who, size_t method, size_t scope)
{
    char what[256];
    const char *expected = admin_expected[who][scope];
    const struct grants_outcome *outcome = &admin->operators[method][scope];
    (void)snprintf(what, sizeof(what), "%s: %s, keyset \"%s\"", fixture->people[who].role,
                   admin->methods[method].name, admin_scopes[scope]);
    expect_word(what, SERVICE, &admin->services[method][scope]);
    if (strcmp(expected, PASSES) != 0) {
        expect_word(what, expected, outcome);
    } else if (!admin_passes(outcome)) {
        fail_msg("%s: expected to pass, got %s: %s", what, outcome->code, outcome->message);
    }
}

static void admin_open_socket(const struct grants_fixture *fixture)
{
    assert_int_equal(chmod(fixture->keyed.admin_address + strlen("ipc://"), 0666), 0);
}

static void test_admin__is_for_its_own_socket_and_for_whom_it_is_granted(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct admin *admin = grants_share(sizeof(*admin));
    grants_use(fixture, matrix_grants);
    admin->num_methods = grants_operators_methods(admin->methods, GRANTS_MAX_METHODS);
    assert_in_range(admin->num_methods, 14, GRANTS_MAX_METHODS - 1);
    /* The socket's mode is the first thing that keeps others out, grant or not. */
    grants_as(fixture, GRANTS_OPS, admin_ask, admin);
    expect_word("a closed socket", "PERMISSION_DENIED CONNECT_DENIED", &admin->operators[0][0]);
    admin_open_socket(fixture);
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        grants_as(fixture, (enum grants_who)who, admin_ask, admin);
        for (size_t i = 0; i < admin->num_methods; i++) {
            for (size_t scope = 0; scope < admin_num_scopes(&admin->methods[i]); scope++) {
                admin_check_one(fixture, admin, who, i, scope);
            }
        }
    }
    grants_unshare(admin, sizeof(*admin));
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "NO_GRANT_FOR_KEYSET", "orders",
                                 "keyset is orders, and has to be login or partner"));
    assert_true(grants_audit_has(fixture, GRANTS_STRANGER, "NOT_AN_OPERATOR", NULL, NULL));
    assert_true(grants_audit_has(fixture, GRANTS_OPS, "ADMIN_SOCKET_ONLY", NULL, NULL));
}

/* What an operator of one keyset tries. */
struct admin_keys {
    char kid[64], next_kid[64]; /* of login, before and after */
    char other_kid[64];         /* of orders; in */
    struct grants_outcome rotated, revoked_beside, revoked_other, reloaded;
};

static void admin_copy_kid(const Signet__V1__Key *key, char out[64])
{
    (void)snprintf(out, 64, "%s", key != NULL ? key->kid : "");
}

static void admin_rotate(struct signet_client *client, struct admin_keys *keys)
{
    Signet__V1__RotateRequest request = SIGNET__V1__ROTATE_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    char name[] = "login";
    request.keyset = name;
    request.now = 1;
    grants_call(client, SG_METHOD_ROTATE, &request.base, &signet__v1__rotate_response__descriptor,
                &answer, &keys->rotated);
    if (answer != NULL) {
        admin_copy_kid(((Signet__V1__RotateResponse *)answer)->key, keys->next_kid);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
}

static void admin_revoke(struct signet_client *client, char *kid, char *keyset,
                         struct grants_outcome *out)
{
    Signet__V1__RevokeKeyRequest request = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;
    request.kid = kid;
    request.keyset = keyset;
    grants_call(client, SG_METHOD_REVOKE_KEY, &request.base,
                &signet__v1__revoke_key_response__descriptor, NULL, out);
}

static bool admin_change_keys(const struct grants_fixture *fixture, void *context)
{
    struct admin_keys *keys = context;
    const Signet__V1__ReloadRequest reload = SIGNET__V1__RELOAD_REQUEST__INIT;
    char login[] = "login";
    char none[] = "";
    struct signet_client *client = grants_connect(fixture, fixture->keyed.admin_address);
    if (client == NULL) {
        return false;
    }
    admin_rotate(client, keys);
    admin_revoke(client, keys->other_kid, login, &keys->revoked_beside);
    admin_revoke(client, keys->other_kid, none, &keys->revoked_other);
    grants_call(client, SG_METHOD_RELOAD, &reload.base, &signet__v1__reload_response__descriptor,
                NULL, &keys->reloaded);
    signet_client_free(client);
    return true;
}

/* The kid of a keyset's key that signs. */
static bool admin_read_kid(const struct grants_fixture *fixture, void *context)
{
    struct admin_keys *keys = context;
    char orders[] = "orders";
    Signet__V1__ListKeysRequest request = SIGNET__V1__LIST_KEYS_REQUEST__INIT;
    struct grants_outcome outcome;
    ProtobufCMessage *answer = NULL;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.admin_address);
    request.keyset = orders;
    grants_call(client, SG_METHOD_LIST_KEYS, &request.base,
                &signet__v1__list_keys_response__descriptor, &answer, &outcome);
    const Signet__V1__ListKeysResponse *list = (Signet__V1__ListKeysResponse *)answer;
    bool is_good = list != NULL && list->n_keysets == 1 && list->keysets[0]->n_keys == 1;
    if (is_good) {
        admin_copy_kid(list->keysets[0]->keys[0], keys->other_kid);
    }
    if (answer != NULL) {
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    signet_client_free(client);
    return is_good;
}

static void test_admin__of_one_keyset_changes_that_one_only(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct admin_keys *keys = grants_share(sizeof(*keys));
    grants_use(fixture, matrix_grants);
    admin_open_socket(fixture);
    grants_as(fixture, GRANTS_ROOT, admin_read_kid, keys);
    assert_string_not_equal(keys->other_kid, "");
    grants_as(fixture, GRANTS_LOGIN, admin_change_keys, keys);
    expect_word("rotate login", OK, &keys->rotated);
    assert_string_not_equal(keys->next_kid, "");
    expect_word("reload", KEYSET, &keys->reloaded);
    expect_word("revoke a key of orders", KEYSET, &keys->revoked_other);
    /* Naming a keyset that is one's own does not bring in another's key. */
    expect_word("revoke a key of orders as one of login", "NOT_FOUND KEY_UNKNOWN",
                &keys->revoked_beside);
    GRANTS_EXPECT(fixture, 0, "active", NULL, "key", "list", "orders");
    assert_true(grants_audit_has_act(fixture, GRANTS_LOGIN, SG_METHOD_ROTATE, "login", "ok"));
    grants_unshare(keys, sizeof(*keys));
}

/* ---- Claim rules ---- */

static const char rules_grants[] = "  - name: narrow\n"
                                   "    who: {user: $LOGIN}\n"
                                   "    may: [sign]\n"
                                   "    keysets: [orders]\n"
                                   "    claims:\n"
                                   "      allowed: [\"r*\", note]\n"
                                   "      required: [role]\n"
                                   "      denied: [root]\n"
                                   "      forced: [{name: service, value: \"${peer.uid}\"}]\n"
                                   "      audiences: [orders, \"billing-*\"]\n"
                                   "      subject: \"user-*\"\n"
                                   "      max_ttl: 10m\n"
                                   "      max_payload: 128\n"
                                   /* Never asked: the first decides, and would not be helped. */
                                   "  - name: wide\n"
                                   "    who: {user: $LOGIN}\n"
                                   "    may: [sign]\n"
                                   "    keysets: [\"*\"]\n";

#define RULES_MARKER "MARKER-7f3a9c55e1"
#define RULES_ROLE   "{\"role\":\"" RULES_MARKER "\"}"

static const struct rules_case {
    const char *keyset;
    struct grants_request request;
    const char *expected;
} rules_cases[] = {
    {"orders", {.subject = "user-1", .claims_json = RULES_ROLE, .ttl_s = 600}, OK},
    {"orders", {.subject = "user-1", .claims_json = RULES_ROLE, .audience = "billing-eu"}, OK},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"role\":\"" RULES_MARKER "\",\"other\":1}"},
     "PERMISSION_DENIED CLAIM_NOT_ALLOWED"},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"role\":1,\"root\":\"" RULES_MARKER "\"}"},
     "PERMISSION_DENIED CLAIM_DENIED"},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"note\":\"" RULES_MARKER "\"}"},
     "PERMISSION_DENIED CLAIM_REQUIRED"},
    {"orders", {.subject = "user-1"}, "PERMISSION_DENIED CLAIM_REQUIRED"},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"role\":1,\"service\":\"" RULES_MARKER "\"}"},
     "PERMISSION_DENIED CLAIM_FORCED"},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"role\":{\"password\":\"" RULES_MARKER "\"}}"},
     "PERMISSION_DENIED CLAIM_SENSITIVE"},
    {"orders",
     {.subject = "user-1", .claims_json = "{\"role\":\"4111 1111 1111 1111\"}"},
     "PERMISSION_DENIED CLAIM_SENSITIVE"},
    {"orders",
     {.subject = "user-1", .claims_json = RULES_ROLE, .audience = "payroll"},
     "PERMISSION_DENIED AUDIENCE_NOT_ALLOWED"},
    {"orders",
     {.subject = "admin", .claims_json = RULES_ROLE},
     "PERMISSION_DENIED SUBJECT_NOT_ALLOWED"},
    {"orders",
     {.subject = "user-1", .claims_json = RULES_ROLE, .ttl_s = 601},
     "PERMISSION_DENIED TTL_NOT_ALLOWED"},
    {"orders",
     {.subject = "user-1",
      .claims_json = "{\"role\":\"" RULES_MARKER RULES_MARKER RULES_MARKER RULES_MARKER RULES_MARKER
          RULES_MARKER RULES_MARKER RULES_MARKER "\"}"},
     "PERMISSION_DENIED PAYLOAD_TOO_LARGE"},
    /* With another keyset the second grant decides, which asks nothing of claims. */
    {"login", {.subject = "admin", .claims_json = "{\"other\":\"" RULES_MARKER "\"}"}, OK},
    /* But secrets are refused where nothing is said of them. */
    {"login",
     {.subject = "admin", .claims_json = "{\"password\":\"" RULES_MARKER "\"}"},
     "PERMISSION_DENIED CLAIM_SENSITIVE"},
};

#define RULES_NUM_CASES (sizeof(rules_cases) / sizeof(rules_cases[0]))

struct rules {
    struct grants_outcome outcomes[RULES_NUM_CASES];
    char token[GRANTS_MAX_TOKEN]; /* of the first case */
};

static bool rules_ask(const struct grants_fixture *fixture, void *context)
{
    struct rules *rules = context;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    if (client == NULL) {
        return false;
    }
    for (size_t i = 0; i < RULES_NUM_CASES; i++) {
        grants_sign(fixture, client, rules_cases[i].keyset, &rules_cases[i].request,
                    i == 0 ? rules->token : NULL, &rules->outcomes[i]);
    }
    signet_client_free(client);
    return true;
}

static void test_claims__are_held_to_the_rules_of_the_grant_that_decides(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct rules *rules = grants_share(sizeof(*rules));
    char claim[64];
    grants_use(fixture, rules_grants);
    grants_as(fixture, GRANTS_LOGIN, rules_ask, rules);
    for (size_t i = 0; i < RULES_NUM_CASES; i++) {
        char what[64];
        (void)snprintf(what, sizeof(what), "claim rules, case %zu", i);
        expect_word(what, rules_cases[i].expected, &rules->outcomes[i]);
        /* Names of claims are told, values never. */
        assert_null(strstr(rules->outcomes[i].message, RULES_MARKER));
    }
    (void)snprintf(claim, sizeof(claim), "%u", (unsigned)fixture->people[GRANTS_LOGIN].uid);
    GRANTS_EXPECT(fixture, 0, claim, NULL, "inspect", rules->token);
    grants_unshare(rules, sizeof(*rules));
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "CLAIM_DENIED", "orders", "root"));
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "SUBJECT_NOT_ALLOWED", "orders", NULL));
}

/* ---- Programs, groups, units ---- */

struct who {
    const struct grants_fixture *fixture;
    char right[160], other[160]; /* where the program is let run from, and where it is too */
};

static void who_copy(const char *from, const char *to, const char *extra)
{
    char fresh[200];
    size_t len = 0;
    char *bytes = test_read_file(from, &len);
    assert_non_null(bytes);
    size_t extra_len = strlen(extra);
    char *all = malloc(len + extra_len);
    assert_non_null(all);
    memcpy(all, bytes, len);
    memcpy(all + len, extra, extra_len);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", to);
    test_write_file(fresh, all, len + extra_len);
    assert_int_equal(chmod(fresh, 0755), 0);
    assert_int_equal(rename(fresh, to), 0);
    free(all);
    free(bytes);
}

static void who_begin(const struct grants_fixture *fixture, struct who *who)
{
    who->fixture = fixture;
    if (!fixture->has_ptrace) {
        print_message("SKIPPED: what another user runs takes CAP_SYS_PTRACE to see, which root has "
                      "not here\n");
        skip();
    }
    (void)snprintf(who->right, sizeof(who->right), "%s/right", fixture->keyed.daemon.dir);
    (void)snprintf(who->other, sizeof(who->other), "%s/other", fixture->keyed.daemon.dir);
    who_copy(fixture->program, who->right, "");
    who_copy(fixture->program, who->other, "");
}

#define MISSING "PERMISSION_DENIED SELECTOR_MISSING"

/* A new connection of a running service. */
static void who_expect(const struct grants_fixture *fixture, const struct grants_service *service,
                       const char *expected, const char *selector)
{
    struct grants_outcome outcome;
    grants_service_sign(fixture, service, "login", &outcome);
    expect_word("a service", expected, &outcome);
    if (selector != NULL) {
        /* The caller learns which selector, and not what it has to be. */
        assert_non_null(strstr(outcome.message, selector));
        assert_null(strstr(outcome.message, fixture->keyed.daemon.dir));
    }
}

/* A service from its start to its end. */
static void who_expect_of(const struct grants_fixture *fixture, const char *path, gid_t group,
                          const char *expected, const char *selector)
{
    struct grants_service service;
    grants_service_start(fixture, GRANTS_LOGIN, group, path, &service);
    who_expect(fixture, &service, expected, selector);
    grants_service_stop(&service);
}

static const char who_exe_grant[] = "  - name: by-program\n"
                                    "    who: {user: $LOGIN, exe: $DIR/right}\n"
                                    "    may: [sign]\n"
                                    "    keysets: [login]\n";

static void test_exe__lets_the_program_at_its_path_and_no_other(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    char link[160];
    struct who who;
    who_begin(fixture, &who);
    grants_use(fixture, who_exe_grant);
    who_expect_of(fixture, who.right, 0, OK, NULL);
    who_expect_of(fixture, who.other, 0, MISSING, "exe");
    /* A link is a name for it; what runs is what counts. */
    (void)snprintf(link, sizeof(link), "%s/link", fixture->keyed.daemon.dir);
    assert_int_equal(symlink(who.right, link), 0);
    who_expect_of(fixture, link, 0, OK, NULL);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(who.other, link), 0);
    who_expect_of(fixture, link, 0, MISSING, "exe");
    /* The right program in the hands of another user. */
    struct grants_service service;
    grants_service_start(fixture, GRANTS_STRANGER, 0, who.right, &service);
    who_expect(fixture, &service, NONE, NULL);
    grants_service_stop(&service);
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "SELECTOR_MISSING", "login", who.other));
    assert_true(grants_audit_has(fixture, GRANTS_LOGIN, "SELECTOR_MISSING", "login", who.right));
}

static void test_exe__that_was_replaced_while_it_runs_is_another(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct grants_service old;
    struct who who;
    who_begin(fixture, &who);
    grants_use(fixture, who_exe_grant);
    grants_service_start(fixture, GRANTS_LOGIN, 0, who.right, &old);
    who_expect(fixture, &old, OK, NULL);
    who_copy(fixture->program, who.right, "newer");
    who_expect(fixture, &old, MISSING, "exe");
    who_expect_of(fixture, who.right, 0, OK, NULL);
    who_expect(fixture, &old, MISSING, "exe");
    grants_service_stop(&old);
}

/* Whether the system lets users have namespaces of their own. */
static bool who_try_to_leave(const struct grants_fixture *fixture, void *context)
{
    (void)fixture;
    bool *can_leave = context;
    *can_leave = grants_leave();
    return true;
}

static void who_need_namespaces(const struct grants_fixture *fixture)
{
    bool *shared = grants_share(sizeof(*shared));
    grants_as(fixture, GRANTS_STRANGER, who_try_to_leave, shared);
    bool can_leave = *shared;
    grants_unshare(shared, sizeof(*shared));
    if (!can_leave) {
        print_message("SKIPPED: users cannot have user namespaces here\n");
        skip();
    }
}

/* In a namespace of one's own any file can be had under any path. */
static void test_exe__is_the_file_that_the_daemon_sees_at_the_path(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct grants_service service;
    struct who who;
    who_begin(fixture, &who);
    who_need_namespaces(fixture);
    grants_use(fixture, who_exe_grant);
    grants_service_start_elsewhere(fixture, GRANTS_LOGIN, who.right, who.other, &service);
    who_expect(fixture, &service, MISSING, "exe");
    grants_service_stop(&service);
    who_expect_of(fixture, who.right, 0, OK, NULL);
}

struct who_root {
    struct grants_outcome sign, status;
};

static bool who_ask_as_root_inside(const struct grants_fixture *fixture, void *context)
{
    struct who_root *outcomes = context;
    const Signet__V1__StatusRequest request = SIGNET__V1__STATUS_REQUEST__INIT;
    struct grants_fixture inside = *fixture;
    inside.daemon.uid = GRANTS_OVERFLOW_UID;
    if (!grants_leave()) {
        return false;
    }
    struct signet_client *services = grants_connect(&inside, fixture->keyed.daemon.address);
    struct signet_client *operators = grants_connect(&inside, fixture->keyed.admin_address);
    bool is_good = services != NULL && operators != NULL;
    if (is_good) {
        grants_sign(&inside, services, "login", NULL, NULL, &outcomes->sign);
        grants_call(operators, SG_METHOD_STATUS, &request.base,
                    &signet__v1__status_response__descriptor, NULL, &outcomes->status);
    }
    signet_client_free(services);
    signet_client_free(operators);
    return is_good;
}

static void test_user__that_is_root_in_a_namespace_is_who_it_was(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct who_root *outcomes = grants_share(sizeof(*outcomes));
    who_need_namespaces(fixture);
    grants_use(fixture, "  - name: login\n    who: {user: $LOGIN}\n    may: [sign]\n"
                        "    keysets: [login]\n"
                        "  - name: root\n    who: {user: root}\n    may: [sign, admin]\n"
                        "    keysets: [\"*\"]\n");
    admin_open_socket(fixture);
    grants_as(fixture, GRANTS_STRANGER, who_ask_as_root_inside, outcomes);
    expect_word("root inside signs", NONE, &outcomes->sign);
    expect_word("root inside asks", NOBODY, &outcomes->status);
    grants_as(fixture, GRANTS_LOGIN, who_ask_as_root_inside, outcomes);
    expect_word("a user signs from inside", OK, &outcomes->sign);
    grants_unshare(outcomes, sizeof(*outcomes));
}

static void who_hash(const char *path, char out[65])
{
    const char *const argv[] = {"sha256sum", path, NULL};
    struct test_output output;
    test_run(argv, NULL, GRANTS_PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    assert_int_equal(strspn(output.out, "0123456789abcdef"), 64);
    (void)snprintf(out, 65, "%.64s", output.out);
    test_output_free(&output);
}

static void who_use_hash(const struct grants_fixture *fixture, const char *hash)
{
    char grants[512];
    (void)snprintf(grants, sizeof(grants),
                   "  - name: by-contents\n    who: {user: $LOGIN, exe_sha256: %s}\n"
                   "    may: [sign]\n    keysets: [login]\n",
                   hash);
    grants_use(fixture, grants);
}

static void test_exe_sha256__lets_what_has_these_contents(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    char hash[65];
    struct grants_service old;
    struct who who;
    who_begin(fixture, &who);
    who_hash(who.right, hash);
    who_use_hash(fixture, hash);
    who_expect_of(fixture, who.right, 0, OK, NULL);
    who_expect_of(fixture, who.other, 0, OK, NULL);
    grants_service_start(fixture, GRANTS_LOGIN, 0, who.right, &old);
    who_copy(fixture->program, who.right, "?");
    who_expect_of(fixture, who.right, 0, MISSING, "exe");
    /* Of a process the very file that it runs is looked at, whatever is at its path now. */
    who_expect(fixture, &old, OK, NULL);
    grants_service_stop(&old);
    hash[0] = hash[0] == '0' ? '1' : '0';
    who_use_hash(fixture, hash);
    who_expect_of(fixture, who.other, 0, MISSING, "exe");
}

static void test_group__is_the_own_or_a_supplementary_one(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    const struct grants_person *login = &fixture->people[GRANTS_LOGIN];
    char grants[256];
    grants_use(fixture, "  - name: by-group\n    who: {user: $LOGIN, group: $GROUP}\n"
                        "    may: [sign]\n    keysets: [login]\n");
    who_expect_of(fixture, fixture->program, fixture->group, OK, NULL);
    who_expect_of(fixture, fixture->program, 0, MISSING, "group");
    /* Without a user, who is not in the group does not even hear that there is a grant. */
    grants_use(fixture, "  - name: by-group\n    who: {group: $GROUP}\n"
                        "    may: [sign]\n    keysets: [login]\n");
    who_expect_of(fixture, fixture->program, fixture->group, OK, NULL);
    who_expect_of(fixture, fixture->program, 0, NONE, NULL);
    (void)snprintf(grants, sizeof(grants),
                   "  - name: by-group\n    who: {group: %u}\n"
                   "    may: [sign]\n    keysets: [login]\n",
                   (unsigned)login->gid);
    grants_use(fixture, grants);
    who_expect_of(fixture, fixture->program, 0, OK, NULL);
}

/* ---- Explanations ---- */

struct explained {
    struct grants_outcome call;
    bool allowed, exists;
    size_t num_grants;
    char reason[48], message[256], grant[72], unit[256], why[1024]; /* why: of the last grant */
};

static void explain_read(const Signet__V1__ExplainPolicyResponse *answer, struct explained *out)
{
    out->allowed = answer->allowed;
    out->exists = answer->keyset_exists;
    out->num_grants = answer->n_grants;
    (void)snprintf(out->reason, sizeof(out->reason), "%s", answer->reason);
    (void)snprintf(out->message, sizeof(out->message), "%s", answer->message);
    (void)snprintf(out->grant, sizeof(out->grant), "%s", answer->grant);
    if (answer->peer != NULL) {
        (void)snprintf(out->unit, sizeof(out->unit), "%s", answer->peer->unit);
    }
    if (answer->n_grants > 0) {
        (void)snprintf(out->why, sizeof(out->why), "%s", answer->grants[answer->n_grants - 1]->why);
    }
}

/* As root, who need not become anybody for it. */
static void explain(const struct grants_fixture *fixture, pid_t pid, const char *right,
                    const char *keyset, struct explained *out)
{
    Signet__V1__ExplainPolicyRequest request = SIGNET__V1__EXPLAIN_POLICY_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.admin_address);
    assert_non_null(client);
    memset(out, 0, sizeof(*out));
    request.pid = (uint32_t)pid;
    request.right = (char *)(uintptr_t)right;
    request.keyset = (char *)(uintptr_t)keyset;
    grants_call(client, SG_METHOD_EXPLAIN_POLICY, &request.base,
                &signet__v1__explain_policy_response__descriptor, &answer, &out->call);
    if (answer != NULL) {
        explain_read((const Signet__V1__ExplainPolicyResponse *)answer, out);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    signet_client_free(client);
}

/* What is explained is what happened. */
static void explain_check(const struct grants_fixture *fixture, pid_t pid, const char *right,
                          size_t target, const char *grant, const struct grants_outcome *happened)
{
    struct explained told;
    char what[128];
    (void)snprintf(what, sizeof(what), "explain %s, %s", right, grants_targets[target]);
    explain(fixture, pid, right, grants_targets[target], &told);
    expect_word(what, OK, &told.call);
    assert_int_equal(told.exists, target != GRANTS_NOWHERE);
    if (told.allowed == matrix_is_denial(happened)) {
        fail_msg("%s: %s, but in fact %s", what, told.allowed ? "allowed" : told.message,
                 happened->message);
    }
    if (told.allowed) {
        assert_string_equal(told.grant, grant);
    } else {
        assert_string_equal(told.grant, "");
        assert_string_equal(told.reason, happened->code);
        assert_string_equal(told.message, happened->message);
    }
}

static void explain_check_all(const struct grants_fixture *fixture, size_t who, pid_t pid,
                              const struct matrix *matrix)
{
    static const char *const signers[GRANTS_NUM_PEOPLE] = {"login-signs", "issuer-signs", "", "",
                                                           ""};
    static const char *const checkers[GRANTS_NUM_PEOPLE] = {"login-checks", "", "ops", "", ""};
    for (size_t target = 0; target < GRANTS_NUM_TARGETS; target++) {
        explain_check(fixture, pid, "sign", target, signers[who],
                      &matrix->cells[MATRIX_SIGN][target]);
        explain_check(fixture, pid, "verify", target, checkers[who],
                      &matrix->cells[MATRIX_VERIFY_KEYSET][target]);
    }
}

static void test_explain__agrees_with_what_happens(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct matrix *matrix = grants_share(sizeof(*matrix));
    grants_use(fixture, matrix_grants);
    for (size_t who = 0; who < GRANTS_NUM_PEOPLE; who++) {
        struct grants_service service;
        grants_service_start(fixture, (enum grants_who)who, 0, fixture->program, &service);
        grants_as(fixture, (enum grants_who)who, matrix_ask, matrix);
        explain_check_all(fixture, who, service.pid, matrix);
        grants_service_stop(&service);
    }
    grants_unshare(matrix, sizeof(*matrix));
}

static void explain_expect(const struct grants_fixture *fixture, pid_t pid, int exit_status,
                           const char *what, const char *keyset)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    GRANTS_EXPECT(fixture, exit_status, what, NULL, "policy", "explain", "--pid", text, "--do",
                  "sign", "--keyset", keyset);
}

static void explain_expect_claims(const struct grants_fixture *fixture, pid_t pid, int exit_status,
                                  const char *what, const char *claims)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    const char *const arguments[] = {
        "policy", "explain",      "--pid",        text,       "--do", "sign", "--keyset",
        "orders", "--sub=user-1", "--aud=orders", "--claims", claims, NULL};
    grants_expect(fixture, exit_status, what, arguments, NULL);
}

static void test_explain__says_which_grant_and_what_is_missing(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct grants_service service;
    struct who who;
    who_begin(fixture, &who);
    grants_use(fixture, who_exe_grant);
    grants_service_start(fixture, GRANTS_LOGIN, 0, who.other, &service);
    /* To an operator it says in full what the process is not told. */
    explain_expect(fixture, service.pid, 1, "SELECTOR_MISSING", "login");
    explain_expect(fixture, service.pid, 1, who.other, "login");
    explain_expect(fixture, service.pid, 1, who.right, "login");
    explain_expect(fixture, service.pid, 1, "by-program", "login");
    explain_expect(fixture, service.pid, 1, "there is no keyset", "nowhere");
    pid_t ended = service.pid;
    grants_service_stop(&service);
    explain_expect(fixture, ended, 2, "PROCESS_UNKNOWN", "login");
    grants_service_start(fixture, GRANTS_LOGIN, 0, who.right, &service);
    explain_expect(fixture, service.pid, 0, "by grant by-program", "login");
    grants_use(fixture, rules_grants);
    explain_expect(fixture, service.pid, 0, "by grant narrow", "orders");
    explain_expect(fixture, service.pid, 0, "by grant wide", "login");
    explain_expect_claims(fixture, service.pid, 0, "by grant narrow", RULES_ROLE);
    explain_expect_claims(fixture, service.pid, 1, "CLAIM_REQUIRED", "{}");
    explain_expect_claims(fixture, service.pid, 1, "CLAIM_SENSITIVE",
                          "{\"role\":{\"password\":\"" RULES_MARKER "\"}}");
    grants_service_stop(&service);
    GRANTS_EXPECT(fixture, 0, "grant narrow", NULL, "policy", "list");
    GRANTS_EXPECT(fixture, 0, "grant wide", NULL, "policy", "list");
}

static void who_use_unit(const struct grants_fixture *fixture, const char *unit)
{
    char grants[512];
    (void)snprintf(grants, sizeof(grants),
                   "  - name: by-unit\n    who: {user: $LOGIN, unit: \"%s\"}\n"
                   "    may: [sign]\n    keysets: [login]\n",
                   unit);
    grants_use(fixture, grants);
}

static void test_unit__is_that_of_the_process(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct grants_service service;
    struct explained told;
    who_use_unit(fixture, "no-such-unit.service");
    grants_service_start(fixture, GRANTS_LOGIN, 0, fixture->program, &service);
    who_expect(fixture, &service, MISSING, "unit");
    explain(fixture, service.pid, "sign", "login", &told);
    who_use_unit(fixture, "*");
    if (told.unit[0] == '\0') {
        print_message("the tests do not run in a unit of systemd's, so that no glob is for them\n");
        who_expect(fixture, &service, MISSING, "unit");
    } else {
        who_expect(fixture, &service, OK, NULL);
        who_use_unit(fixture, told.unit);
        who_expect(fixture, &service, OK, NULL);
    }
    grants_service_stop(&service);
}

/* ---- The fuse ---- */

#define FUSE_MAX 5u
#define FROZEN   "FAILED_PRECONDITION GRANT_FROZEN"

static const char fuse_grants[] = "  - name: fused\n"
                                  "    who: {user: $ISSUER}\n"
                                  "    may: [sign, verify]\n"
                                  "    keysets: [orders]\n"
                                  "    max_live_tokens: 5\n"
                                  "  - name: beside\n"
                                  "    who: {user: $ISSUER}\n"
                                  "    may: [sign]\n"
                                  "    keysets: [login]\n";

struct fuse {
    unsigned num; /* how many to sign; in */
    struct grants_outcome signs[FUSE_MAX + 1], verify, beside;
};

static bool fuse_ask(const struct grants_fixture *fixture, void *context)
{
    struct fuse *fuse = context;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    if (client == NULL) {
        return false;
    }
    for (unsigned i = 0; i < fuse->num; i++) {
        grants_sign(fixture, client, "orders", NULL, NULL, &fuse->signs[i]);
    }
    grants_verify(client, fixture->tokens[GRANTS_KEYSET_ORDERS], NULL, &fuse->verify);
    grants_sign(fixture, client, "login", NULL, NULL, &fuse->beside);
    signet_client_free(client);
    return true;
}

static void fuse_expect(const struct grants_fixture *fixture, struct fuse *fuse, const char *sign)
{
    fuse->num = 1;
    grants_as(fixture, GRANTS_ISSUER, fuse_ask, fuse);
    expect_word("sign", sign, &fuse->signs[0]);
    expect_word("verify", OK, &fuse->verify);
    expect_word("sign by another grant", OK, &fuse->beside);
}

static void fuse_expect_explained(const struct grants_fixture *fixture)
{
    struct grants_service service;
    grants_service_start(fixture, GRANTS_ISSUER, 0, fixture->program, &service);
    explain_expect(fixture, service.pid, 1, "GRANT_FROZEN", "orders");
    explain_expect(fixture, service.pid, 0, "by grant beside", "login");
    grants_service_stop(&service);
}

static void test_fuse__freezes_a_grant_until_it_is_thawed(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct fuse *fuse = grants_share(sizeof(*fuse));
    grants_use(fixture, fuse_grants);
    GRANTS_EXPECT(fixture, 4, "GRANT_NOT_FROZEN", NULL, "policy", "thaw", "fused");
    fuse->num = FUSE_MAX + 1;
    grants_as(fixture, GRANTS_ISSUER, fuse_ask, fuse);
    for (size_t i = 0; i < FUSE_MAX; i++) {
        expect_word("below the ceiling", OK, &fuse->signs[i]);
    }
    expect_word("above it", FROZEN, &fuse->signs[FUSE_MAX]);
    fuse_expect(fixture, fuse, FROZEN);
    GRANTS_EXPECT(fixture, 0, "FROZEN since", NULL, "policy", "list");
    fuse_expect_explained(fixture);
    grants_use(fixture, fuse_grants);
    fuse_expect(fixture, fuse, FROZEN);
    grants_restart(fixture, SIGKILL);
    fuse_expect(fixture, fuse, FROZEN);
    grants_restart(fixture, SIGTERM);
    fuse_expect(fixture, fuse, FROZEN);
    GRANTS_EXPECT(fixture, 2, "GRANT_UNKNOWN", NULL, "policy", "thaw", "no-such-grant");
    GRANTS_EXPECT(fixture, 0, "signs again", NULL, "policy", "thaw", "fused");
    fuse_expect(fixture, fuse, OK);
    grants_restart(fixture, SIGKILL);
    fuse_expect(fixture, fuse, OK);
    grants_unshare(fuse, sizeof(*fuse));
    assert_true(grants_audit_has(fixture, GRANTS_ISSUER, "GRANT_FROZEN", "orders", NULL));
}

/* ---- Reloads under load; see grants_load.h ---- */

static void test_reload__changes_grants_at_once_and_as_a_whole(void **state)
{
    grants_load_check(grants_need_root(state));
}

/* ---- Secrets, for what comes last to look for ---- */

static const char secret_shared[] = "x8Qm2!the shared secret of orders, 48 bytes long";
static const char secret_passphrase[] = "correct horse battery staple";

static void secret_run(const char *const *argv)
{
    struct test_output output;
    test_run(argv, NULL, GRANTS_PATIENCE_MS, &output);
    if (output.exit_status != 0) {
        fail_msg("%s: %d\n%s%s", argv[0], output.exit_status, output.out, output.err);
    }
    test_output_free(&output);
}

static void secret_import(const struct grants_fixture *fixture)
{
    char shared[160], plain[160], sealed[160], passphrase[64], given[64];
    const char *dir = fixture->keyed.daemon.dir;
    (void)snprintf(shared, sizeof(shared), "%s/shared.secret", dir);
    (void)snprintf(plain, sizeof(plain), "%s/plain.pem", dir);
    (void)snprintf(sealed, sizeof(sealed), "%s/sealed.pem", dir);
    (void)snprintf(passphrase, sizeof(passphrase), "pass:%s", secret_passphrase);
    (void)snprintf(given, sizeof(given), "%s\n", secret_passphrase);
    const char *const make[] = {"/usr/bin/openssl", "ecparam", "-genkey", "-noout", "-name",
                                "prime256v1",       "-out",    plain,     NULL};
    const char *const seal[] = {"/usr/bin/openssl", "pkcs8", "-topk8", "-v2",
                                "aes-256-cbc",      "-in",   plain,    "-passout",
                                passphrase,         "-out",  sealed,   NULL};
    test_write_file(shared, secret_shared, sizeof(secret_shared) - 1);
    secret_run(make);
    secret_run(seal);
    GRANTS_EXPECT(fixture, 0, NULL, NULL, "key", "import", "orders", "--secret", shared, "--kid",
                  "given", "--now");
    GRANTS_EXPECT(fixture, 0, NULL, given, "key", "import", "login", "--pem", sealed,
                  "--passphrase-fd", "0", "--kid", "sealed", "--now");
}

static void test_audit__has_every_token_and_denial_and_no_secret(void **state)
{
    struct grants_fixture *fixture = grants_need_root(state);
    struct matrix *matrix = grants_share(sizeof(*matrix));
    grants_use(fixture, matrix_grants);
    secret_import(fixture);
    /* With the keys that were brought in. */
    grants_as(fixture, GRANTS_ISSUER, matrix_ask, matrix);
    expect_word("sign", OK, &matrix->cells[MATRIX_SIGN][GRANTS_KEYSET_ORDERS]);
    expect_word("sign", OK, &matrix->cells[MATRIX_SIGN][GRANTS_KEYSET_LOGIN]);
    grants_unshare(matrix, sizeof(*matrix));
    (void)test_daemon_kill(&fixture->keyed.daemon, SIGTERM);
    grants_audit_check_chain(fixture);
    grants_audit_check_tokens(fixture);
    const struct grants_secret secrets[] = {
        {"a marker", RULES_MARKER, sizeof(RULES_MARKER) - 1},
        {"an HMAC secret", secret_shared, sizeof(secret_shared) - 1},
        {"a passphrase", secret_passphrase, sizeof(secret_passphrase) - 1},
    };
    grants_audit_check_secrets(fixture, secrets, sizeof(secrets) / sizeof(secrets[0]));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grants__let_each_user_do_its_own_and_no_more),
        cmocka_unit_test(test_grants__are_none_unless_given),
        cmocka_unit_test(test_admin__is_for_its_own_socket_and_for_whom_it_is_granted),
        cmocka_unit_test(test_admin__of_one_keyset_changes_that_one_only),
        cmocka_unit_test(test_claims__are_held_to_the_rules_of_the_grant_that_decides),
        cmocka_unit_test(test_exe__lets_the_program_at_its_path_and_no_other),
        cmocka_unit_test(test_exe__that_was_replaced_while_it_runs_is_another),
        cmocka_unit_test(test_exe__is_the_file_that_the_daemon_sees_at_the_path),
        cmocka_unit_test(test_user__that_is_root_in_a_namespace_is_who_it_was),
        cmocka_unit_test(test_exe_sha256__lets_what_has_these_contents),
        cmocka_unit_test(test_group__is_the_own_or_a_supplementary_one),
        cmocka_unit_test(test_unit__is_that_of_the_process),
        cmocka_unit_test(test_explain__agrees_with_what_happens),
        cmocka_unit_test(test_explain__says_which_grant_and_what_is_missing),
        cmocka_unit_test(test_fuse__freezes_a_grant_until_it_is_thawed),
        cmocka_unit_test(test_reload__changes_grants_at_once_and_as_a_whole),
        /* Looks at what all of them left. */
        cmocka_unit_test(test_audit__has_every_token_and_denial_and_no_secret),
    };
    if (argc == 4 && strcmp(argv[1], GRANTS_SERVICE_ARGUMENT) == 0) {
        return grants_service_main(argv[2], argv[3]);
    }
    return cmocka_run_group_tests_name("grants", tests, grants_setup, grants_teardown);
}
