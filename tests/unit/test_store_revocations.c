/* SPDX-License-Identifier: Apache-2.0
 *
 * Revocations and used tokens in the state database: a revocation never shrinks, a token is used up once, and
 * what was acknowledged is there after any end until its time is over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/limits.h"
#include "server/store.h"
#include "state_fixture.h"

#define TEST_MANY UINT64_MAX /* of max_per_uid: no bound */

/* ---- Help ---- */

/* A text of one letter. */
struct letters {
    char text[512];
};

static struct letters letters(char letter, size_t len)
{
    struct letters letters = {{0}};
    assert_true(len < sizeof(letters.text));
    memset(letters.text, letter, len);
    return letters;
}

static void must_revoke(struct sg_store *store, const struct sg_store_revocation *revocations,
                        size_t num)
{
    char error[1024] = "";
    if (sg_store_revoke(store, revocations, num, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
}

typedef signet_status forget_function(struct sg_store *store, int64_t now, size_t max,
                                      size_t *num_forgotten, char *error, size_t error_cap);

static size_t must_forget(forget_function *forget, struct sg_store *store, int64_t now, size_t max)
{
    char error[1024] = "";
    size_t num = SIZE_MAX;
    if (forget(store, now, max, &num, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    return num;
}

/* A copy of what is on the disk has these. */
static void must_have_after_crash(const struct state_place *place, const char *revoked)
{
    state_copy_all(place->dir, place->other);
    struct sg_store *copy = state_open(place->other);
    assert_false(sg_store_was_clean(copy));
    state_must_have_revoked(copy, revoked);
    sg_store_close(copy);
}

/* ---- Revoking ---- */

static const struct sg_store_revocation every_kind[] = {
    {SG_STORE_REVOKED_KID, UINT32_MAX, "login", "k1", 40, 41, ""},
    {SG_STORE_REVOKED_KEYSET, 0, "login", "", 30, INT64_MAX, "\xc3\xa4 '\";-- "},
    {SG_STORE_REVOKED_SUBJECT, 1000, "https://a", "ann", 20, 21, "left"},
    {SG_STORE_REVOKED_TOKEN, 1, "https://a", "j", INT64_MAX, 1, "leaked"},
};
#define NUM_KINDS (sizeof(every_kind) / sizeof(every_kind[0]))
#define EVERY_KIND                                                                                 \
    "1 https://a j 9223372036854775807 1; 2 https://a ann 20 21; "                                 \
    "3 login  30 9223372036854775807; 4 login k1 40 41; "

static void must_be_of_every_kind(void *context, const struct sg_store_revocation *found)
{
    const struct sg_store_revocation *expected = &every_kind[NUM_KINDS - (size_t)found->kind];
    assert_string_equal(found->scope, expected->scope);
    assert_string_equal(found->name, expected->name);
    assert_true(found->at == expected->at && found->until == expected->until);
    assert_true(found->by == expected->by);
    assert_string_equal(found->reason, expected->reason);
    (*(size_t *)context)++;
}

static void test_revocations__come_back_in_the_order_of_their_keys(void **state)
{
    const struct state_place *place = *state;
    char error[1024] = "";
    size_t num = 0;
    struct sg_store *store = state_open(place->dir);
    state_must_have_revoked(store, "");
    must_revoke(store, every_kind, NUM_KINDS);
    must_revoke(store, every_kind, 0);
    state_must_have_revoked(store, EVERY_KIND);
    must_have_after_crash(place, EVERY_KIND);
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    state_must_have_revoked(store, EVERY_KIND);
    assert_int_equal(
        sg_store_read_revocations(store, must_be_of_every_kind, &num, error, sizeof(error)),
        SIGNET_OK);
    assert_int_equal(num, NUM_KINDS);
    sg_store_close(store);
}

static void test_revocations__are_told_apart_by_kind_scope_and_name(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a", "b c", 1, 1);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a b", "c", 2, 2);
    state_revoke(store, SG_STORE_REVOKED_SUBJECT, "a b", "c", 3, 3);
    state_revoke(store, SG_STORE_REVOKED_KID, "a b", "c", 4, 4);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a b", "C", 5, 5);
    state_must_have_revoked(store, "1 a b c 1 1; 1 a b C 5 5; 1 a b c 2 2; 2 a b c 3 3; "
                                   "4 a b c 4 4; ");
    sg_store_close(store);
    store = state_open(place->dir);
    state_must_have_revoked(store, "1 a b c 1 1; 1 a b C 5 5; 1 a b c 2 2; 2 a b c 3 3; "
                                   "4 a b c 4 4; ");
    sg_store_close(store);
}

static void keep_why(void *context, const struct sg_store_revocation *revocation)
{
    (void)snprintf(context, 64, "%u %s", (unsigned)revocation->by, revocation->reason);
}

static void must_say_why(struct sg_store *store, const char *expected)
{
    char error[1024] = "";
    char text[64] = "";
    assert_int_equal(sg_store_read_revocations(store, keep_why, text, error, sizeof(error)),
                     SIGNET_OK);
    assert_string_equal(text, expected);
}

static void test_revocations__never_shrink(void **state)
{
    const struct state_place *place = *state;
    const struct sg_store_revocation later = {
        SG_STORE_REVOKED_SUBJECT, 1, "https://a", "ann", 20, 100, "first"};
    struct sg_store_revocation earlier = later;
    struct sg_store *store = state_open(place->dir);
    must_revoke(store, &later, 1);
    earlier.at = 19;
    earlier.until = 99;
    earlier.by = 2;
    earlier.reason = "second";
    must_revoke(store, &earlier, 1);
    state_must_have_revoked(store, "2 https://a ann 20 100; ");
    must_say_why(store, "2 second");
    earlier.at = 21;
    must_revoke(store, &earlier, 1);
    state_must_have_revoked(store, "2 https://a ann 21 100; ");
    earlier.at = 1;
    earlier.until = 101;
    must_revoke(store, &earlier, 1);
    state_must_have_revoked(store, "2 https://a ann 21 101; ");
    sg_store_close(store);

    /* Nor within one call, nor across a start. */
    const struct sg_store_revocation both[] = {
        {SG_STORE_REVOKED_SUBJECT, 3, "https://a", "ann", 5, INT64_MAX, "third"},
        {SG_STORE_REVOKED_SUBJECT, 4, "https://a", "ann", 30, 6, "fourth"},
    };
    store = state_open(place->dir);
    must_revoke(store, both, 2);
    state_must_have_revoked(store, "2 https://a ann 30 9223372036854775807; ");
    must_say_why(store, "4 fourth");
    must_have_after_crash(place, "2 https://a ann 30 9223372036854775807; ");
    sg_store_close(store);
}

static void must_refuse_revocation(struct sg_store *store,
                                   const struct sg_store_revocation *revocation)
{
    char error[1024] = "";
    const struct sg_store_revocation batch[] = {
        {SG_STORE_REVOKED_KID, 1, "login", "before", 1, 1, ""}, *revocation};
    assert_int_equal(sg_store_revoke(store, batch, 2, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_non_null(strstr(error, "expected a kind, an issuer or keyset and a name"));
    state_must_have_revoked(store, "");
}

static void test_revocations__beyond_a_bound_are_refused_with_their_batch(void **state)
{
    const struct state_place *place = *state;
    const struct letters n64 = letters('n', 64);
    const struct letters n65 = letters('n', 65);
    const struct letters n255 = letters('n', 255);
    const struct letters n256 = letters('n', 256);
    const struct letters n257 = letters('n', 257);
    const struct sg_store_revocation bad[] = {
        {0, 1, "a", "b", 1, 1, ""},
        {5, 1, "a", "b", 1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, n256.text, "b", 1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", n256.text, 1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "", "b", 1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "", 1, 1, ""},
        {SG_STORE_REVOKED_SUBJECT, 1, n256.text, "b", 1, 1, ""},
        {SG_STORE_REVOKED_SUBJECT, 1, "a", n256.text, 1, 1, ""},
        {SG_STORE_REVOKED_SUBJECT, 1, "a", "", 1, 1, ""},
        {SG_STORE_REVOKED_KEYSET, 1, n65.text, "", 1, 1, ""},
        {SG_STORE_REVOKED_KEYSET, 1, "a", "b", 1, 1, ""},
        {SG_STORE_REVOKED_KID, 1, n65.text, "b", 1, 1, ""},
        {SG_STORE_REVOKED_KID, 1, "a", n257.text, 1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "b", 0, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "b", -1, 1, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "b", 1, 0, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "b", 1, INT64_MIN, ""},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "b", 1, 1, n256.text},
    };
    const struct sg_store_revocation good[] = {
        {SG_STORE_REVOKED_TOKEN, UINT32_MAX, n255.text, n255.text, INT64_MAX, INT64_MAX, n255.text},
        {SG_STORE_REVOKED_SUBJECT, 1, n255.text, n255.text, 1, 1, ""},
        {SG_STORE_REVOKED_KEYSET, 1, n64.text, "", 1, 1, ""},
        {SG_STORE_REVOKED_KID, 1, n64.text, n256.text, 1, 1, ""},
    };
    char expected[4096];
    struct sg_store *store = state_open(place->dir);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        must_refuse_revocation(store, &bad[i]);
    }
    must_revoke(store, good, 4);
    (void)snprintf(expected, sizeof(expected),
                   "1 %s %s 9223372036854775807 9223372036854775807; 2 %s %s 1 1; 3 %s  1 1; "
                   "4 %s %s 1 1; ",
                   n255.text, n255.text, n255.text, n255.text, n64.text, n64.text, n256.text);
    state_must_have_revoked(store, expected);
    sg_store_close(store);
    store = state_open(place->dir);
    state_must_have_revoked(store, expected);
    sg_store_close(store);
}

/* ---- Rows that nobody could have written here, with the digests that they would have ---- */

struct bad_row {
    const char *row; /* in SQL, up to the digest */
    const char *text;
    bool is_good; /* the digest is as the store's */
};

static void must_judge_row(const struct state_place *place, const char *table,
                           const struct bad_row *row)
{
    char sql[1024];
    (void)snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES(%s, %" PRId64 ")", table, row->row,
                   (int64_t)XXH3_64bits(row->text, strlen(row->text)));
    state_copy_file(place->dir, place->other, "state.db");
    state_run_sql(place->other, sql);
    if (row->is_good) {
        sg_store_close(state_open(place->other));
    } else {
        state_must_refuse_untouched(place->other, "damaged");
    }
}

static void test_rows__of_no_revocation_are_refused_whatever_their_digest(void **state)
{
    const struct state_place *place = *state;
    static const struct bad_row rows[] = {
        {"1, 'a', 'b', 2, 3, 4, 'r'", "revocation 1 1 a 1 b 2 3 4 r", true},
        {"0, 'a', 'b', 2, 3, 4, 'r'", "revocation 0 1 a 1 b 2 3 4 r", false},
        {"5, 'a', 'b', 2, 3, 4, 'r'", "revocation 5 1 a 1 b 2 3 4 r", false},
        {"-9223372036854775808, '', '', 2, 3, 4, 'r'", "revocation 0 0  0  2 3 4 r", false},
        {"4294967297, 'a', 'b', 2, 3, 4, 'r'", "revocation 1 1 a 1 b 2 3 4 r", false},
        {"1, '', 'b', 2, 3, 4, 'r'", "revocation 1 0  1 b 2 3 4 r", false},
        {"1, 'a', '', 2, 3, 4, 'r'", "revocation 1 1 a 0  2 3 4 r", false},
        {"3, 'a', 'b', 2, 3, 4, 'r'", "revocation 3 1 a 1 b 2 3 4 r", false},
        {"1, 'a', 'b', 0, 3, 4, 'r'", "revocation 1 1 a 1 b 0 3 4 r", false},
        {"1, 'a', 'b', 2, 0, 4, 'r'", "revocation 1 1 a 1 b 2 0 4 r", false},
        {"1, 'a', 'b', 2, 3, 4294967300, 'r'", "revocation 1 1 a 1 b 2 3 4 r", false},
        {"1, 'a', 'b' || char(0), 2, 3, 4, 'r'", "revocation 1 1 a 1 b 2 3 4 r", false},
        {"1, 'a', 'b', 2, 3, 4, 'r' || char(0) || 'x'", "revocation 1 1 a 1 b 2 3 4 r", false},
    };
    sg_store_close(state_open(place->dir));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        must_judge_row(place, "revocation", &rows[i]);
    }
}

static void test_rows__of_no_horizon_are_refused_whatever_their_digest(void **state)
{
    const struct state_place *place = *state;
    static const struct bad_row rows[] = {
        {"'consumed', 2", "forgotten consumed 2", true},
        {"'consumed', 0", "forgotten consumed 0", false},
        {"'consumed', -2", "forgotten consumed -2", false},
        {"'revocation', 2", "forgotten consumed 2", false},
        {"'consumed' || char(0), 2", "forgotten consumed 2", false},
    };
    sg_store_close(state_open(place->dir));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        must_judge_row(place, "forgotten", &rows[i]);
    }
}

static void test_rows__of_no_used_token_are_refused_whatever_their_digest(void **state)
{
    const struct state_place *place = *state;
    static const struct bad_row rows[] = {
        {"'a', 'b', 2, 3", "consumed 1 a 1 b 2 3", true},
        {"'', 'b', 2, 3", "consumed 0  1 b 2 3", false},
        {"'a', '', 2, 3", "consumed 1 a 0  2 3", false},
        {"'a', 'b', 0, 3", "consumed 1 a 1 b 0 3", false},
        {"'a', 'b', -2, 3", "consumed 1 a 1 b -2 3", false},
        {"'a', 'b', 2, 4294967299", "consumed 1 a 1 b 2 3", false},
        {"'a', 'b' || char(0), 2, 3", "consumed 1 a 1 b 2 3", false},
        {"'a' || char(0) || 'x', 'b', 2, 3", "consumed 1 a 1 b 2 3", false},
    };
    sg_store_close(state_open(place->dir));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        must_judge_row(place, "consumed", &rows[i]);
    }
}

/* ---- Listing ---- */

#define NUM_LISTED 103u

/* Revokes tokens 0, 1, ... of two issuers, which expire at 1, 2, ... */
static void revoke_many(struct sg_store *store, size_t num)
{
    struct sg_store_revocation list[NUM_LISTED];
    char names[NUM_LISTED][24];
    assert_true(num <= NUM_LISTED);
    for (size_t i = 0; i < num; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%05zu", i);
        list[i] = (struct sg_store_revocation){
            SG_STORE_REVOKED_TOKEN, 7, i < num / 2 ? "https://a" : "https://b", names[i], 1,
            1 + (int64_t)i,         ""};
    }
    must_revoke(store, list, num);
}

/* The last that was visited, and how many. */
struct listing {
    char scope[64], name[64];
    size_t num;
    size_t next; /* the name that has to come */
};

static void visit_listed(void *context, const struct sg_store_revocation *revocation)
{
    struct listing *listing = context;
    assert_int_equal(strtoul(revocation->name, NULL, 10), listing->next);
    (void)snprintf(listing->scope, sizeof(listing->scope), "%s", revocation->scope);
    (void)snprintf(listing->name, sizeof(listing->name), "%s", revocation->name);
    listing->num++;
    listing->next++;
}

static size_t list_page(struct sg_store *store, const struct sg_store_revocation_key *after,
                        size_t max, struct listing *listing)
{
    char error[1024] = "";
    listing->num = 0;
    if (sg_store_list_revocations(store, after, max, visit_listed, listing, error, sizeof(error)) !=
        SIGNET_OK) {
        fail_msg("%s", error);
    }
    return listing->num;
}

static void test_listing__gives_every_revocation_once_page_by_page(void **state)
{
    const struct state_place *place = *state;
    static const size_t sizes[] = {1, 10, NUM_LISTED - 1, NUM_LISTED, NUM_LISTED + 1, SIZE_MAX};
    struct sg_store *store = state_open(place->dir);
    revoke_many(store, NUM_LISTED);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct listing listing = {.next = 0};
        size_t num = list_page(store, NULL, sizes[i], &listing);
        while (num == sizes[i]) {
            struct listing last = listing;
            const struct sg_store_revocation_key after = {SG_STORE_REVOKED_TOKEN, last.scope,
                                                          last.name};
            num = list_page(store, &after, sizes[i], &listing);
        }
        assert_int_equal(listing.next, NUM_LISTED);
    }
    sg_store_close(store);
}

static void test_listing__goes_on_after_keys_that_are_not_there(void **state)
{
    const struct state_place *place = *state;
    struct listing listing = {.next = 0};
    struct sg_store *store = state_open(place->dir);
    const struct sg_store_revocation_key first = {SG_STORE_REVOKED_TOKEN, "", ""};
    const struct sg_store_revocation_key between = {SG_STORE_REVOKED_TOKEN, "https://a", "00003x"};
    const struct sg_store_revocation_key second = {SG_STORE_REVOKED_TOKEN, "https://aa", "zzz"};
    const struct sg_store_revocation_key last = {SG_STORE_REVOKED_SUBJECT, "", ""};
    assert_int_equal(list_page(store, NULL, 5, &listing), 0);
    revoke_many(store, 10);
    assert_int_equal(list_page(store, NULL, 0, &listing), 0);
    assert_int_equal(list_page(store, &first, 2, &listing), 2);
    listing.next = 4;
    assert_int_equal(list_page(store, &between, 2, &listing), 2);
    listing.next = 5;
    assert_int_equal(list_page(store, &second, 50, &listing), 5);
    assert_int_equal(list_page(store, &last, 50, &listing), 0);
    sg_store_close(store);
}

/* ---- Forgetting revocations ---- */

static void test_forgetting__leaves_what_has_not_expired(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 100), 0);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a", "before", 1, 99);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a", "now", 1, 100);
    state_revoke(store, SG_STORE_REVOKED_KEYSET, "a", "", 1, INT64_MAX);
    state_revoke(store, SG_STORE_REVOKED_KID, "a", "before", 1, 99);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 99, 100), 0);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 100, 0), 0);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 100, 100), 2);
    state_must_have_revoked(store, "1 a now 1 100; 3 a  1 9223372036854775807; ");
    must_have_after_crash(place, "1 a now 1 100; 3 a  1 9223372036854775807; ");
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 100, 100), 0);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 100), 1);
    sg_store_close(store);
    store = state_open(place->dir);
    state_must_have_revoked(store, "3 a  1 9223372036854775807; ");
    sg_store_close(store);
}

/* Records 0 to 9 expire one after the other. Steps of three see 0 1 2, 3 4 5, 6 7 8, 9 and from the first on. */
static void test_forgetting__goes_by_steps_and_around(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    revoke_many(store, 10);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 1, 3), 0);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 6, 3), 2);
    state_must_have_revoked(store, "1 https://a 00000 1 1; 1 https://a 00001 1 2; "
                                   "1 https://a 00002 1 3; 1 https://b 00005 1 6; "
                                   "1 https://b 00006 1 7; 1 https://b 00007 1 8; "
                                   "1 https://b 00008 1 9; 1 https://b 00009 1 10; ");
    assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 3), 3);
    /* 9, then 0 and 1, which came again. */
    assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 3), 3);
    state_must_have_revoked(store, "1 https://a 00002 1 3; 1 https://b 00005 1 6; ");
    revoke_many(store, 10);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 10), 10);
    state_must_have_revoked(store, "");
    sg_store_close(store);
}

/* However long ago the last step was: max is as many as there are. */
static void test_forgetting__of_all_forgets_all_from_any_place(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    for (size_t first = 0; first <= 10; first++) {
        revoke_many(store, 10);
        assert_int_equal(must_forget(sg_store_forget_revocations, store, 1, first), 0);
        assert_int_equal(must_forget(sg_store_forget_revocations, store, INT64_MAX, 10), 10);
        state_must_have_revoked(store, "");
    }
    sg_store_close(store);
}

/* ---- Using up ---- */

static void test_consume__works_once(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a", "j", 100, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "j", 100, 1, TEST_MANY), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "a", "j", INT64_MAX, 2, TEST_MANY), SG_STORE_REPLAYED);
    state_copy_all(place->dir, place->other);
    struct sg_store *copy = state_open(place->other);
    assert_int_equal(state_consume(copy, "a", "j", 100, 1, TEST_MANY), SG_STORE_REPLAYED);
    sg_store_close(copy);
    sg_store_close(store);
    store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a", "j", 100, 1, TEST_MANY), SG_STORE_REPLAYED);
    state_must_stop(store);
    store = state_open(place->dir);
    assert_true(sg_store_was_clean(store));
    assert_int_equal(state_consume(store, "a", "j", 100, 1, TEST_MANY), SG_STORE_REPLAYED);
    sg_store_close(store);
}

static void test_consume__tells_tokens_apart_by_issuer_and_jti(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a b", "c", 1, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "b c", 1, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "A b", "c", 1, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a b", "C", 1, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a b", "c ", 1, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a b", "c", 1, 1, TEST_MANY), SG_STORE_REPLAYED);
    sg_store_close(store);
}

static void must_refuse_token(struct sg_store *store, const char *issuer, const char *jti,
                              int64_t until)
{
    const struct sg_store_consumed consumed = {issuer, jti, until, 1};
    enum sg_store_outcome outcome = 0;
    char error[1024] = "";
    assert_int_equal(sg_store_consume(store, &consumed, TEST_MANY, &outcome, error, sizeof(error)),
                     SIGNET_INVALID_ARGUMENT);
    assert_int_equal(outcome, 0);
    assert_non_null(strstr(error, "expected an issuer of 1 to 255 bytes, a jti of 1 to 255 bytes"));
}

static void test_consume__of_no_token_is_refused(void **state)
{
    const struct state_place *place = *state;
    const struct letters n255 = letters('n', 255);
    const struct letters n256 = letters('n', 256);
    struct sg_store *store = state_open(place->dir);
    must_refuse_token(store, "", "j", 1);
    must_refuse_token(store, "a", "", 1);
    must_refuse_token(store, n256.text, "j", 1);
    must_refuse_token(store, "a", n256.text, 1);
    must_refuse_token(store, "a", "j", 0);
    must_refuse_token(store, "a", "j", INT64_MIN);
    /* None of them took a place. */
    assert_int_equal(state_consume(store, n255.text, n255.text, INT64_MAX, 1, 1),
                     SG_STORE_CONSUMED);
    sg_store_close(store);
    store = state_open(place->dir);
    assert_int_equal(state_consume(store, n255.text, n255.text, 1, 1, 1), SG_STORE_REPLAYED);
    sg_store_close(store);
}

/* Whatever its time: only forgetting it, by a clock that has passed it, makes it new. */
static void test_consume__of_an_expired_token_is_a_replay_until_it_is_forgotten(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a", "j", 100, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, 100, 10), 0);
    assert_int_equal(state_consume(store, "a", "j", 300, 1, TEST_MANY), SG_STORE_REPLAYED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, 101, 10), 1);
    assert_int_equal(state_consume(store, "a", "j", INT64_MAX, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, INT64_MAX, 10), 0);
    assert_int_equal(state_consume(store, "a", "j", 300, 1, TEST_MANY), SG_STORE_REPLAYED);
    sg_store_close(store);
}

/* The clock was ahead, had records forgotten, and is set back. */
static void test_consume__of_what_may_have_been_forgotten_is_a_replay(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a", "early", 100, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "late", 200, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "later", 5000, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, 4000, 10), 2);
    for (size_t round = 0; round < 3; round++) { /* across a crash, and a stop in order */
        assert_int_equal(state_consume(store, "a", "early", 100, 1, TEST_MANY), SG_STORE_REPLAYED);
        assert_int_equal(state_consume(store, "a", "late", 200, 1, TEST_MANY), SG_STORE_REPLAYED);
        /* Nobody can tell it from one that was. */
        assert_int_equal(state_consume(store, "b", "new", 200, 1, TEST_MANY), SG_STORE_REPLAYED);
        if (round == 0) {
            sg_store_close(store);
        } else {
            state_must_stop(store);
        }
        store = state_open(place->dir);
    }
    /* What is good for longer than all that was forgotten cannot be among them. */
    assert_int_equal(state_consume(store, "b", "new", 201, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, 150, 10), 0);
    assert_int_equal(state_consume(store, "b", "other", 201, 1, TEST_MANY), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, INT64_MAX, 10), 3);
    assert_int_equal(state_consume(store, "b", "other", 5000, 1, TEST_MANY), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "b", "other", 5001, 1, TEST_MANY), SG_STORE_CONSUMED);
    sg_store_close(store);
}

/* The time of token number i. Between two there is room for what only counts. */
#define AT(i) ((int64_t)(i)*1000)

/* Tokens first, first + 1, ... of a uid, each of which expires at its time. */
static void consume_many(struct sg_store *store, uid_t uid, int first, int num)
{
    char jti[32];
    for (int i = first; i < first + num; i++) {
        (void)snprintf(jti, sizeof(jti), "%u-%05d", (unsigned)uid, i);
        assert_int_equal(state_consume(store, "a", jti, AT(i), uid, TEST_MANY), SG_STORE_CONSUMED);
    }
}

/* The uid has exactly num records. The next time after *until is that of one more, which is forgotten with all that is
 * as early; no later one was before. */
static void must_count(struct sg_store *store, int64_t *until, uid_t uid, uint64_t num)
{
    ++*until;
    assert_int_equal(state_consume(store, "a", "never", INT64_MAX, uid, num), SG_STORE_FULL);
    if (num > 0) {
        assert_int_equal(state_consume(store, "a", "never", INT64_MAX, uid, num - 1),
                         SG_STORE_FULL);
    }
    assert_int_equal(state_consume(store, "a", "counted", *until, uid, num + 1), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, *until + 1, SIZE_MAX), 1);
}

static void test_quota__is_exact_across_forgetting_and_starts(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    int64_t until = 0;
    must_count(store, &until, 1, 0);
    consume_many(store, 1, 10, 5);
    consume_many(store, 0, 10, 3);
    consume_many(store, UINT32_MAX, 10, 2);
    must_count(store, &until, 1, 5);
    must_count(store, &until, 0, 3);
    must_count(store, &until, UINT32_MAX, 2);
    must_count(store, &until, 2, 0);
    sg_store_close(store);

    store = state_open(place->dir);
    must_count(store, &until, 1, 5);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(12), SIZE_MAX), 6);
    until = AT(11);
    must_count(store, &until, 1, 3);
    must_count(store, &until, 0, 1);
    must_count(store, &until, UINT32_MAX, 0);
    consume_many(store, UINT32_MAX, 20, 1);
    state_must_stop(store);
    store = state_open(place->dir);
    must_count(store, &until, 1, 3);
    must_count(store, &until, 0, 1);
    must_count(store, &until, UINT32_MAX, 1);
    sg_store_close(store);
}

static void test_quota__of_one_uid_is_not_anothers(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    assert_int_equal(state_consume(store, "a", "1", 9, 1, 0), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "a", "1", 9, 1, 1), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "2", 9, 1, 1), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "a", "2", 9, 2, 1), SG_STORE_CONSUMED);
    /* Who is full is told of a replay all the same, and pays nothing for it. */
    assert_int_equal(state_consume(store, "a", "2", 9, 1, 1), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "a", "3", 9, 1, 2), SG_STORE_CONSUMED);
    sg_store_close(store);
}

#define NUM_UIDS 200u

static void test_quota__counts_many_uids(void **state)
{
    const struct state_place *place = *state;
    char jti[32];
    struct sg_store *store = state_open(place->dir);
    for (unsigned i = 0; i < NUM_UIDS; i++) {
        uid_t uid = (uid_t)(i * 7919u % NUM_UIDS); /* in no order */
        (void)snprintf(jti, sizeof(jti), "%u", (unsigned)uid);
        assert_int_equal(state_consume(store, "a", jti, AT(1 + uid % 2), uid, 1),
                         SG_STORE_CONSUMED);
    }
    for (size_t round = 0; round < 2; round++) {
        for (uid_t uid = 0; uid < NUM_UIDS; uid++) {
            assert_int_equal(state_consume(store, "a", "never", AT(9), uid, 1), SG_STORE_FULL);
        }
        sg_store_close(store);
        store = state_open(place->dir);
    }
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(2), SIZE_MAX), NUM_UIDS / 2);
    for (uid_t uid = 1; uid < NUM_UIDS; uid += 2) {
        assert_int_equal(state_consume(store, "a", "never", AT(9), uid, 1), SG_STORE_FULL);
    }
    assert_int_equal(state_consume(store, "a", "again", AT(9), 0, 0), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "a", "again", AT(9), 0, 1), SG_STORE_CONSUMED);
    sg_store_close(store);
}

static void test_forgetting__of_used_tokens_is_bounded(void **state)
{
    const struct state_place *place = *state;
    struct sg_store *store = state_open(place->dir);
    consume_many(store, 1, 1, 10);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(100), 0), 0);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(100), 4), 4);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(100), 4), 4);
    assert_int_equal(state_consume(store, "a", "1-00008", AT(50), 1, 3), SG_STORE_CONSUMED);
    assert_int_equal(state_consume(store, "a", "1-00009", AT(50), 1, 3), SG_STORE_REPLAYED);
    assert_int_equal(state_consume(store, "a", "1-00011", AT(50), 1, 3), SG_STORE_FULL);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(100), 4), 3);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(100), 4), 0);
    assert_int_equal(state_consume(store, "a", "1-00012", AT(60), 1, 0), SG_STORE_FULL);
    assert_int_equal(state_consume(store, "a", "1-00012", AT(60), 1, 1), SG_STORE_CONSUMED);
    sg_store_close(store);
}

/* ---- Threads ---- */

#define THREAD_TOKENS 150

struct thread_work {
    struct sg_store *store;
    uid_t uid;
    bool failed;
    enum sg_store_outcome outcomes[THREAD_TOKENS];
};

static void *consume_all(void *context)
{
    struct thread_work *work = context;
    char error[1024] = "";
    char jti[32];
    for (int i = 0; i < THREAD_TOKENS; i++) {
        (void)snprintf(jti, sizeof(jti), "%d", i);
        const struct sg_store_consumed consumed = {"a", jti, AT(10), work->uid};
        work->failed =
            work->failed || sg_store_consume(work->store, &consumed, TEST_MANY, &work->outcomes[i],
                                             error, sizeof(error)) != SIGNET_OK;
    }
    return NULL;
}

static void test_threads__one_alone_gets_each_token(void **state)
{
    const struct state_place *place = *state;
    static struct thread_work first;
    static struct thread_work second;
    uint64_t num_first = 0;
    pthread_t thread;
    int64_t until = 0;
    first = (struct thread_work){.store = state_open(place->dir), .uid = 1};
    second = (struct thread_work){.store = first.store, .uid = 2};
    assert_int_equal(pthread_create(&thread, NULL, consume_all, &first), 0);
    (void)consume_all(&second);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(first.failed);
    assert_false(second.failed);
    for (size_t i = 0; i < THREAD_TOKENS; i++) {
        assert_int_equal(first.outcomes[i] + second.outcomes[i],
                         SG_STORE_CONSUMED + SG_STORE_REPLAYED);
        num_first += first.outcomes[i] == SG_STORE_CONSUMED ? 1 : 0;
    }
    must_count(first.store, &until, 1, num_first);
    must_count(first.store, &until, 2, THREAD_TOKENS - num_first);
    sg_store_close(first.store);
}

/* ---- Crashes ---- */

#define KILL_ROUNDS 10

/* Never returns: uses up one token and revokes another, and says which. */
static void write_until_killed(const char *dir, int first, int out)
{
    struct sg_store *store = NULL;
    char error[1024] = "";
    char jti[32];
    if (sg_store_open(dir, &store, error, sizeof(error)) != SIGNET_OK) {
        _exit(1);
    }
    for (int i = first;; i++) {
        (void)snprintf(jti, sizeof(jti), "%d", i);
        enum sg_store_outcome outcome = 0;
        const struct sg_store_consumed consumed = {"a", jti, AT(10), 1};
        const struct sg_store_revocation revocation = {
            SG_STORE_REVOKED_KEYSET, 1, "login", "", i, i, "storm"};
        if (sg_store_consume(store, &consumed, TEST_MANY, &outcome, error, sizeof(error)) !=
                SIGNET_OK ||
            outcome != SG_STORE_CONSUMED ||
            sg_store_revoke(store, &revocation, 1, error, sizeof(error)) != SIGNET_OK ||
            write(out, &i, sizeof(i)) != sizeof(i)) {
            _exit(1);
        }
    }
}

/* Kills a writer that has said num of them; the last that it said. */
static int kill_writer(const char *dir, int first, int num)
{
    int pipes[2];
    int status = 0;
    int said = first - 1;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        write_until_killed(dir, first, pipes[1]);
    }
    assert_true(child > 0);
    (void)close(pipes[1]);
    for (int i = 0; i < num; i++) {
        assert_int_equal(read(pipes[0], &said, sizeof(said)), sizeof(said));
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(pipes[0], &said, sizeof(said)) == sizeof(said)) {
    }
    (void)close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return said;
}

static void keep_at(void *context, const struct sg_store_revocation *revocation)
{
    *(int64_t *)context = revocation->at;
}

static void test_crash__by_sigkill_makes_no_token_new(void **state)
{
    const struct state_place *place = *state;
    char error[1024] = "";
    char jti[32];
    int64_t until = 0;
    int next = 1;
    for (int round = 0; round < KILL_ROUNDS; round++) {
        int64_t at = 0;
        int said = kill_writer(place->dir, next, round * 3 % 10 + 1);
        struct sg_store *store = state_open(place->dir);
        assert_false(sg_store_was_clean(store));
        for (int i = 1; i <= said; i++) {
            (void)snprintf(jti, sizeof(jti), "%d", i);
            assert_int_equal(state_consume(store, "a", jti, AT(10), 1, TEST_MANY),
                             SG_STORE_REPLAYED);
        }
        assert_int_equal(sg_store_read_revocations(store, keep_at, &at, error, sizeof(error)),
                         SIGNET_OK);
        assert_in_range(at, said, said + 1);
        next = said + 2; /* the one between may be used up */
        (void)snprintf(jti, sizeof(jti), "%d", said + 1);
        (void)state_consume(store, "a", jti, AT(10), 1, TEST_MANY);
        must_count(store, &until, 1, (uint64_t)said + 1);
        sg_store_close(store);
    }
}

/* ---- A disk that is full ---- */

static void must_fail_full(signet_status status, const char *error)
{
    assert_int_equal(status, SIGNET_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error, "state.db cannot be written: the disk is full"));
}

static void fail_to_change(struct sg_store *store)
{
    const struct sg_store_revocation revocations[] = {
        {SG_STORE_REVOKED_TOKEN, 2, "a", "old", 90, 90, "more"},
        {SG_STORE_REVOKED_TOKEN, 1, "a", "new", 1, 1, ""},
    };
    const struct sg_store_consumed consumed = {"a", "new", AT(20), 1};
    enum sg_store_outcome outcome = 0;
    size_t num = 77;
    char error[1024] = "";
    must_fail_full(sg_store_revoke(store, revocations, 2, error, sizeof(error)), error);
    must_fail_full(sg_store_consume(store, &consumed, TEST_MANY, &outcome, error, sizeof(error)),
                   error);
    must_fail_full(sg_store_forget_revocations(store, 50, 10, &num, error, sizeof(error)), error);
    must_fail_full(sg_store_forget_consumed(store, AT(50), 10, &num, error, sizeof(error)), error);
    assert_int_equal(outcome, 0);
    assert_int_equal(num, 77);
}

static void test_full_disk__changes_nothing(void **state)
{
    int64_t until = 0;
    const struct state_place *place = state_disk_of(state);
    struct sg_store *store = state_open(place->dir);
    state_revoke(store, SG_STORE_REVOKED_TOKEN, "a", "old", 10, 20);
    consume_many(store, 1, 10, 3);
    state_fill_disk(place->dir);
    for (size_t i = 0; i < 2; i++) {
        fail_to_change(store);
        state_must_have_revoked(store, "1 a old 10 20; ");
        /* What changes nothing works. */
        assert_int_equal(state_consume(store, "a", "1-00010", 5, 1, 3), SG_STORE_REPLAYED);
        assert_int_equal(state_consume(store, "a", "new", AT(20), 1, 3), SG_STORE_FULL);
        assert_int_equal(must_forget(sg_store_forget_consumed, store, 1, 10), 0);
    }
    must_have_after_crash(place, "1 a old 10 20; ");

    state_free_disk(place->dir);
    must_count(store, &until, 1, 3);
    assert_int_equal(state_consume(store, "a", "new", AT(20), 1, 4), SG_STORE_CONSUMED);
    assert_int_equal(must_forget(sg_store_forget_consumed, store, AT(13), 10), 3);
    until = AT(12);
    assert_int_equal(must_forget(sg_store_forget_revocations, store, 21, 10), 1);
    must_count(store, &until, 1, 1);
    state_must_stop(store);
    store = state_open(place->dir);
    must_count(store, &until, 1, 1);
    state_must_have_revoked(store, "");
    sg_store_close(store);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, state_setup, state_teardown)
#define DISK_TEST(name)  cmocka_unit_test_setup_teardown(name, state_disk_setup, state_disk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_revocations__come_back_in_the_order_of_their_keys),
        STORE_TEST(test_revocations__are_told_apart_by_kind_scope_and_name),
        STORE_TEST(test_revocations__never_shrink),
        STORE_TEST(test_revocations__beyond_a_bound_are_refused_with_their_batch),
        STORE_TEST(test_rows__of_no_revocation_are_refused_whatever_their_digest),
        STORE_TEST(test_rows__of_no_used_token_are_refused_whatever_their_digest),
        STORE_TEST(test_rows__of_no_horizon_are_refused_whatever_their_digest),
        STORE_TEST(test_listing__gives_every_revocation_once_page_by_page),
        STORE_TEST(test_listing__goes_on_after_keys_that_are_not_there),
        STORE_TEST(test_forgetting__leaves_what_has_not_expired),
        STORE_TEST(test_forgetting__goes_by_steps_and_around),
        STORE_TEST(test_forgetting__of_all_forgets_all_from_any_place),
        STORE_TEST(test_consume__works_once),
        STORE_TEST(test_consume__tells_tokens_apart_by_issuer_and_jti),
        STORE_TEST(test_consume__of_no_token_is_refused),
        STORE_TEST(test_consume__of_an_expired_token_is_a_replay_until_it_is_forgotten),
        STORE_TEST(test_consume__of_what_may_have_been_forgotten_is_a_replay),
        STORE_TEST(test_quota__is_exact_across_forgetting_and_starts),
        STORE_TEST(test_quota__of_one_uid_is_not_anothers),
        STORE_TEST(test_quota__counts_many_uids),
        STORE_TEST(test_forgetting__of_used_tokens_is_bounded),
        STORE_TEST(test_threads__one_alone_gets_each_token),
        STORE_TEST(test_crash__by_sigkill_makes_no_token_new),
        DISK_TEST(test_full_disk__changes_nothing),
    };
    return cmocka_run_group_tests_name("store_revocations", tests, NULL, NULL);
}
