/* SPDX-License-Identifier: Apache-2.0
 *
 * Time is counted in moments: even ones have one set of grants each, the odd ones between are reloads. A child
 * reads the moment before and after a call; what it hears must be by the grants of one even moment that the
 * call touched.
 */
#include "tests/integration/grants_load.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these, and those of the header above. */
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/integration/grants_calls.h"

#define LOAD_NUM_RELOADS (SG_SANITIZED ? 8u : 24u)
/* After each of so many comes a file that is refused. */
#define LOAD_BAD_EVERY 4u
#define LOAD_NUM_SETS  2u
/* Whole rounds of every user in each moment. */
#define LOAD_MIN_ROUNDS 2u

#define OK     "OK"
#define NONE   "PERMISSION_DENIED NO_GRANT"
#define RIGHT  "PERMISSION_DENIED NO_GRANT_FOR_RIGHT"
#define KEYSET "PERMISSION_DENIED NO_GRANT_FOR_KEYSET"

static const char *const load_grants[LOAD_NUM_SETS] = {
    "  - name: login\n    who: {user: $LOGIN}\n    may: [sign, verify]\n    keysets: [login]\n"
    "  - name: issuer\n    who: {user: $ISSUER}\n    may: [sign]\n    keysets: [\"*\"]\n"
    "  - name: ops\n    who: {user: $OPS}\n    may: [verify]\n    keysets: [\"*\"]\n",
    "  - name: login\n    who: {user: $LOGIN}\n    may: [sign, verify]\n    keysets: [orders]\n"
    "  - name: ops\n    who: {user: $OPS}\n    may: [verify]\n    keysets: [\"*\"]\n"
    "  - name: stranger\n    who: {user: $STRANGER}\n    may: [sign]\n    keysets: [login]\n"};

/* The second set, and a right that there is none of. */
static const char load_bad_grants[] =
    "  - name: stranger\n    who: {user: $STRANGER}\n    may: [sign, verify]\n    keysets: [\"*\"]\n"
    "  - name: login\n    who: {user: $LOGIN}\n    may: [fly]\n    keysets: [login]\n";

enum load_act {
    LOAD_SIGN,
    LOAD_VERIFY,
    LOAD_NUM_ACTS
};

/* By hand, from the sets above: with login, and with orders. */
static const char *const load_expected[LOAD_NUM_SETS][GRANTS_NUM_USERS][LOAD_NUM_ACTS][2] = {
    {
        [GRANTS_LOGIN] = {{OK, KEYSET}, {OK, KEYSET}},
        [GRANTS_ISSUER] = {{OK, OK}, {RIGHT, RIGHT}},
        [GRANTS_OPS] = {{RIGHT, RIGHT}, {OK, OK}},
        [GRANTS_STRANGER] = {{NONE, NONE}, {NONE, NONE}},
    },
    {
        [GRANTS_LOGIN] = {{KEYSET, OK}, {KEYSET, OK}},
        [GRANTS_ISSUER] = {{NONE, NONE}, {NONE, NONE}},
        [GRANTS_OPS] = {{RIGHT, RIGHT}, {OK, OK}},
        [GRANTS_STRANGER] = {{OK, KEYSET}, {RIGHT, RIGHT}},
    },
};

struct load_worker {
    struct load *load;
    enum grants_who who;
    atomic_uint num_rounds;
    atomic_bool has_failed;
    char failure[512]; /* to be read once that is true */
};

struct load {
    atomic_uint moment;
    atomic_bool is_over;
    struct load_worker workers[GRANTS_NUM_USERS];
};

/* ---- Children ---- */

/* Whether both answers are by one set of grants, the one that holds at an even moment. */
static bool load_fits(const struct load_worker *worker, enum load_act act, unsigned moment,
                      size_t first, const struct grants_outcome *outcomes, size_t num)
{
    bool fits = true;
    for (size_t i = 0; fits && i < num; i++) {
        char word[96];
        grants_word(&outcomes[i], word, sizeof(word));
        fits = strcmp(word,
                      load_expected[moment / 2 % LOAD_NUM_SETS][worker->who][act][first + i]) == 0;
    }
    return fits;
}

static bool load_fail(struct load_worker *worker, enum load_act act, unsigned before,
                      unsigned after, const struct grants_outcome *outcomes, size_t num)
{
    char last[96];
    char first[96];
    grants_word(&outcomes[0], first, sizeof(first));
    grants_word(&outcomes[num - 1], last, sizeof(last));
    (void)snprintf(worker->failure, sizeof(worker->failure),
                   "%s, from moment %u to %u: %s, and %s: %.128s",
                   act == LOAD_SIGN ? "sign" : "verify", before, after, first, last,
                   outcomes[num - 1].message);
    atomic_store(&worker->has_failed, true);
    return false;
}

/* Judges one call, of num answers, the first of them for keyset `first` of the table. */
static bool load_judge(struct load_worker *worker, enum load_act act, unsigned before, size_t first,
                       const struct grants_outcome *outcomes, size_t num)
{
    unsigned after = atomic_load(&worker->load->moment);
    for (unsigned moment = before & ~1u; moment <= ((after + 1) & ~1u); moment += 2) {
        if (load_fits(worker, act, moment, first, outcomes, num)) {
            return true;
        }
    }
    return load_fail(worker, act, before, after, outcomes, num);
}

static bool load_sign(const struct grants_fixture *fixture, struct load_worker *worker,
                      struct signet_client *client)
{
    struct grants_outcome outcomes[2];
    bool is_good = true;
    for (size_t i = 0; is_good && i < 2; i++) {
        unsigned before = atomic_load(&worker->load->moment);
        grants_sign(fixture, client, grants_targets[i], NULL, NULL, outcomes);
        is_good = load_judge(worker, LOAD_SIGN, before, i, outcomes, 1);
    }
    unsigned before = atomic_load(&worker->load->moment);
    grants_sign_many(fixture, client, grants_targets, 2, outcomes);
    return is_good && load_judge(worker, LOAD_SIGN, before, 0, outcomes, 2);
}

static bool load_verify(const struct grants_fixture *fixture, struct load_worker *worker,
                        struct signet_client *client)
{
    const char *const tokens[] = {fixture->tokens[GRANTS_KEYSET_LOGIN],
                                  fixture->tokens[GRANTS_KEYSET_ORDERS]};
    struct grants_outcome outcomes[2];
    bool is_good = true;
    for (size_t i = 0; is_good && i < 2; i++) {
        unsigned before = atomic_load(&worker->load->moment);
        grants_verify(client, tokens[i], NULL, outcomes);
        is_good = load_judge(worker, LOAD_VERIFY, before, i, outcomes, 1);
    }
    unsigned before = atomic_load(&worker->load->moment);
    grants_verify_many(client, tokens, 2, NULL, outcomes);
    return is_good && load_judge(worker, LOAD_VERIFY, before, 0, outcomes, 2);
}

static bool load_work(const struct grants_fixture *fixture, void *context)
{
    struct load_worker *worker = context;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    bool is_good = client != NULL;
    while (is_good && !atomic_load(&worker->load->is_over)) {
        is_good = load_sign(fixture, worker, client) && load_verify(fixture, worker, client);
        atomic_fetch_add(&worker->num_rounds, 1);
        (void)poll(NULL, 0, 1); /* leaves the audit a readable length */
    }
    signet_client_free(client);
    return is_good;
}

/* ---- Their parent ---- */

static int64_t load_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void load_check_failures(struct load *load, const struct grants_fixture *fixture)
{
    for (size_t i = 0; i < GRANTS_NUM_USERS; i++) {
        struct load_worker *worker = &load->workers[i];
        if (atomic_load(&worker->has_failed)) {
            atomic_store(&load->is_over, true);
            fail_msg("%s: %s", fixture->people[i].role, worker->failure);
        }
    }
}

/* Until everybody has done some rounds of this moment. */
static void load_await_rounds(struct load *load, const struct grants_fixture *fixture)
{
    unsigned begun[GRANTS_NUM_USERS];
    int64_t deadline = load_now_ms() + (int64_t)GRANTS_PATIENCE_MS;
    for (size_t i = 0; i < GRANTS_NUM_USERS; i++) {
        begun[i] = atomic_load(&load->workers[i].num_rounds);
    }
    for (size_t i = 0; i < GRANTS_NUM_USERS; i++) {
        /* One more: the first may have begun before. */
        while (atomic_load(&load->workers[i].num_rounds) - begun[i] < LOAD_MIN_ROUNDS + 1) {
            load_check_failures(load, fixture);
            assert_true(load_now_ms() < deadline);
            (void)poll(NULL, 0, 1);
        }
    }
}

static void load_reload(struct load *load, const struct grants_fixture *fixture, unsigned number)
{
    grants_configure(fixture, load_grants[number % LOAD_NUM_SETS]);
    atomic_fetch_add(&load->moment, 1);
    GRANTS_EXPECT(fixture, 0, NULL, NULL, "reload");
    atomic_fetch_add(&load->moment, 1);
}

static void load_reload_badly(const struct grants_fixture *fixture)
{
    grants_configure(fixture, load_bad_grants);
    GRANTS_EXPECT(fixture, 4, "grants[1].may[0]", NULL, "reload");
}

void grants_load_check(const struct grants_fixture *fixture)
{
    struct load *load = grants_share(sizeof(*load));
    pid_t children[GRANTS_NUM_USERS];
    grants_use(fixture, load_grants[0]);
    for (size_t i = 0; i < GRANTS_NUM_USERS; i++) {
        load->workers[i].load = load;
        load->workers[i].who = (enum grants_who)i;
        children[i] = grants_fork(fixture, (enum grants_who)i, load_work, &load->workers[i]);
    }
    load_await_rounds(load, fixture);
    for (unsigned number = 1; number <= LOAD_NUM_RELOADS; number++) {
        load_reload(load, fixture, number);
        load_await_rounds(load, fixture);
        if (number % LOAD_BAD_EVERY == 0) {
            load_reload_badly(fixture);
            load_await_rounds(load, fixture);
        }
    }
    atomic_store(&load->is_over, true);
    for (size_t i = 0; i < GRANTS_NUM_USERS; i++) {
        grants_join(children[i]);
    }
    load_check_failures(load, fixture);
    grants_unshare(load, sizeof(*load));
}
