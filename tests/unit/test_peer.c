/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a peer is: from the texts of /proc, hostile ones too, and of processes that run, end, change their
 * user, or have their program replaced. Without the resolver's process: see test_peer_resolver.c for that.
 */
#include "peer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/digest/digest.h"
#include "server/peer_unit.h"
#include "tests/support/files.h"

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)

/* ---- Texts ---- */

#define STAT_TAIL                                                                                  \
    " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 0 777 19 20 21 22 23 24 25 26 27 28 29 30 31 0 0\n"

static void test_stat__has_the_start_behind_any_name(void **state)
{
    (void)state;
    static const char *const texts[] = {
        ("1 (cat) S" STAT_TAIL),           ("1 () S" STAT_TAIL),
        ("1 (a) S 1 2) S" STAT_TAIL),      ("1 (((()))) S" STAT_TAIL),
        ("1 (x\ny) 5 5 5 5) S" STAT_TAIL),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t started = 0;
        assert_true(sg_peer_proc_parse_started(texts[i], &started));
        assert_int_equal(started, 777);
    }
}

static void test_stat__is_refused_if_it_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1",
        ")",
        "1 (cat) S",
        ("1 cat S" STAT_TAIL),
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -777 1",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 0 1",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18  777 1",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7x7 1",
        "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 18446744073709551616 1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t started = 5;
        if (sg_peer_proc_parse_started(texts[i], &started)) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_int_equal(started, 5);
    }
}

static const struct {
    const char *text, *unit; /* NULL: none */
    enum sg_peer_outcome outcome;
} unit_cases[] = {
    /* As systemd makes them. */
    {"0::/system.slice/login.service\n", "login.service", SG_PEER_FOUND},
    {"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service",
     SG_PEER_FOUND},
    {"0::/system.slice/system-dbus\\x2d1.slice/dbus-1\\x2dx.service\n", "dbus-1\\x2dx.service",
     SG_PEER_FOUND},
    {"0::/init.scope\n", "init.scope", SG_PEER_FOUND},
    {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", SG_PEER_FOUND},
    {"0::/system.slice/cups.socket\n", "cups.socket", SG_PEER_FOUND},
    {"0::/login.service\n", "login.service", SG_PEER_FOUND},
    {"0::/system.slice/_cpu.service\n", "cpu.service", SG_PEER_FOUND},
    {"0::/machine.slice/machine-x.scope/payload/system.slice/login.service\n", "machine-x.scope",
     SG_PEER_FOUND},
    {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-5.scope\n", "cri-containerd-5.scope",
     SG_PEER_FOUND},
    {"12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/login.service\n", "login.service",
     SG_PEER_FOUND},
    {"1:name=systemd:/system.slice/login.service\n0::/system.slice/login.service\n",
     "login.service", SG_PEER_FOUND},
    {"1:name=systemd:/system.slice/login.service\n0::/\n", "login.service", SG_PEER_FOUND},
    {"1:name=systemd:/\n0::/system.slice/a:b.service\n", "a:b.service", SG_PEER_FOUND},
    /* What users may name: below their manager, or a service with Delegate=. */
    {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/login.service\n",
     "user@1000.service", SG_PEER_FOUND},
    {"0::/user.slice/user-1000.slice/user@1000.service/system.slice/login.service\n",
     "user@1000.service", SG_PEER_FOUND},
    {"0::/system.slice/foo.service/login.service\n", "foo.service", SG_PEER_FOUND},
    {"0::/system.slice/foo.service/system.slice/login.service\n", "foo.service", SG_PEER_FOUND},
    {"4:pids:/system.slice/login.service\n0::/\n", NULL, SG_PEER_NO_UNIT},
    {"4:name=elogind:/system.slice/login.service\n0::/\n", NULL, SG_PEER_NO_UNIT},
    {"4::/system.slice/login.service\n", NULL, SG_PEER_NO_UNIT},
    {"1:name=systemd:/system.slice/a.service\n0::/system.slice/login.service\n", NULL,
     SG_PEER_NO_UNIT},
    {"1:name=systemd:/../x\n0::/system.slice/login.service\n", NULL, SG_PEER_OTHER_CGROUPS},
    /* No unit. */
    {"", NULL, SG_PEER_NO_UNIT},
    {"0::/\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice\n", NULL, SG_PEER_NO_UNIT},
    {"0::/docker/0123456789abcdef/login.service\n", NULL, SG_PEER_NO_UNIT},
    {"0::/.slice/login.service\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/.service\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/_\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/login.service (deleted)\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/login.service\r\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/l\xc3\xb6gin.service\n", NULL, SG_PEER_NO_UNIT},
    {"0::/system.slice/login.timer\n", NULL, SG_PEER_NO_UNIT},
    /* Of another cgroup namespace. */
    {"0::/..\n", NULL, SG_PEER_OTHER_CGROUPS},
    {"0::/../system.slice/login.service\n", NULL, SG_PEER_OTHER_CGROUPS},
    {"0::/../../login.service\n", NULL, SG_PEER_OTHER_CGROUPS},
    {"0::/system.slice/../login.service\n", NULL, SG_PEER_OTHER_CGROUPS},
    /* Not such a text. */
    {"0::/system.slice/login.service", NULL, SG_PEER_UNREADABLE},
    {"0::system.slice/login.service\n", NULL, SG_PEER_UNREADABLE},
    {"0::\n", NULL, SG_PEER_UNREADABLE},
    {"0:\n", NULL, SG_PEER_UNREADABLE},
    {"\n", NULL, SG_PEER_UNREADABLE},
    {"0::/system.slice//login.service\n", NULL, SG_PEER_UNREADABLE},
    {"0::/./login.service\n", NULL, SG_PEER_UNREADABLE},
    {"0::/system.slice/login.service\nrubbish\n", NULL, SG_PEER_UNREADABLE},
};

static void test_unit__is_the_service_managers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unit_cases) / sizeof(unit_cases[0]); i++) {
        char unit[SG_PEER_MAX_UNIT + 1] = "unset";
        enum sg_peer_outcome outcome = sg_peer_unit_parse(unit_cases[i].text, unit);
        const char *expected = unit_cases[i].unit != NULL ? unit_cases[i].unit : "unset";
        if (outcome != unit_cases[i].outcome || strcmp(unit, expected) != 0) {
            fail_msg("%s: outcome %d, unit %s", unit_cases[i].text, outcome, unit);
        }
    }
}

static void test_unit__has_a_bound(void **state)
{
    (void)state;
    char text[1024];
    char unit[SG_PEER_MAX_UNIT + 1];
    for (int len = 230; len < 300; len++) {
        (void)snprintf(text, sizeof(text), "0::/system.slice/%0*d.service\n", len, 0);
        bool fits = (size_t)len + strlen(".service") <= SG_PEER_MAX_UNIT;
        assert_int_equal(sg_peer_unit_parse(text, unit), fits ? SG_PEER_FOUND : SG_PEER_NO_UNIT);
    }
}

static void test_outcomes__have_texts(void **state)
{
    (void)state;
    assert_null(sg_peer_outcome_text(SG_PEER_FOUND));
    for (int i = 0; i <= SG_PEER_NUM_OUTCOMES; i++) {
        if (i != SG_PEER_FOUND) {
            assert_non_null(sg_peer_outcome_text((enum sg_peer_outcome)i));
        }
    }
}

/* ---- A /proc of one's own, with one process: this one ---- */

struct false_proc {
    char root[128], dir[160];
    struct sg_peer_resolver *resolver;
};

static void false_proc_write(const struct false_proc *proc, const char *name, const char *text,
                             size_t len)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", proc->dir, name);
    test_write_file(path, text, len);
}

static void false_proc_say(const struct false_proc *proc, const char *name, const char *text)
{
    false_proc_write(proc, name, text, strlen(text));
}

static void false_proc_status(const struct false_proc *proc, const char *uids, const char *groups)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "Name:\tcat\nUid:\t%s\nGid:\t1\t1\t1\t1\nGroups:\t%s\n",
                   uids, groups);
    false_proc_say(proc, "status", text);
}

static void false_proc_make(const struct peer_fixture *fixture, struct false_proc *proc)
{
    (void)snprintf(proc->root, sizeof(proc->root), "%s/proc", fixture->dir);
    (void)snprintf(proc->dir, sizeof(proc->dir), "%s/%ld", proc->root, (long)getpid());
    const struct sg_peer_resolver_options options = {.process = SG_PEER_RESOLVER_NONE,
                                                     .proc = proc->root};
    assert_int_equal(mkdir(proc->root, 0755), 0);
    assert_int_equal(mkdir(proc->dir, 0755), 0);
    assert_int_equal(sg_peer_resolver_new(&options, &proc->resolver), SIGNET_OK);
    false_proc_say(proc, "stat", "1 (cat) S" STAT_TAIL);
    false_proc_say(proc, "cgroup", "0::/system.slice/login.service\n");
    false_proc_status(proc, "5\t7\t5\t5", "3 20 ");
}

static struct sg_peer_identity *false_proc_peer(const struct false_proc *proc, pid_t pid,
                                                uint64_t accepted_ms)
{
    const struct sg_peer peer = {.pid = pid, .uid = 7, .gid = 7};
    struct sg_peer_identity *identity = NULL;
    assert_int_equal(sg_peer_identity_new(proc->resolver, &peer, accepted_ms, &identity),
                     SIGNET_OK);
    return identity;
}

/* Accepted long after it started. */
#define LATER_MS 1000000u

static void false_proc_expect(const struct false_proc *proc, unsigned fact, const char *problem)
{
    struct sg_peer_identity *identity = false_proc_peer(proc, getpid(), LATER_MS);
    (void)peer_expect(identity, fact, problem);
    sg_peer_identity_free(identity);
}

static void test_facts__are_what_proc_says(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    struct sg_peer_identity *identity = false_proc_peer(&proc, getpid(), LATER_MS);
    const struct sg_peer_facts *facts = peer_expect(identity, SG_PEER_GROUPS | SG_PEER_UNIT, NULL);
    assert_int_equal(facts->num_groups, 2);
    assert_int_equal(facts->groups[0], 3);
    assert_int_equal(facts->groups[1], 20);
    assert_string_equal(facts->unit, "login.service");
    assert_null(facts->problem);
    sg_peer_identity_free(identity);

    false_proc_status(&proc, "5\t7\t5\t5", "");
    identity = false_proc_peer(&proc, getpid(), LATER_MS);
    facts = peer_expect(identity, SG_PEER_GROUPS, NULL);
    assert_int_equal(facts->num_groups, 0);
    sg_peer_identity_free(identity);
    sg_peer_resolver_free(proc.resolver);
}

static void test_facts__are_looked_up_once(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    struct sg_peer_identity *identity = false_proc_peer(&proc, getpid(), LATER_MS);
    const struct sg_peer_facts *none = sg_peer_facts_get(identity, 0);
    assert_int_equal(none->known | none->failed, 0);
    const struct sg_peer_facts *first = peer_expect(identity, SG_PEER_UNIT, NULL);
    false_proc_say(&proc, "cgroup", "0::/system.slice/other.service\n");
    false_proc_status(&proc, "5\t7\t5\t5", "9 ");
    const struct sg_peer_facts *both = peer_expect(identity, SG_PEER_UNIT | SG_PEER_GROUPS, NULL);
    assert_string_equal(both->unit, "login.service");
    assert_int_equal(both->groups[0], 9);
    /* What was given out before stays as it was. */
    assert_int_equal(first->known, SG_PEER_UNIT);
    assert_int_equal(none->known, 0);
    sg_peer_identity_free(identity);
    sg_peer_resolver_free(proc.resolver);
}

static void test_start__guards_against_another_with_the_pid(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    /* Another one comes between accept and lookup. */
    struct sg_peer_identity *identity = false_proc_peer(&proc, getpid(), LATER_MS);
    false_proc_say(&proc, "stat",
                   "1 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 0 778 19 20\n");
    (void)peer_expect(identity, SG_PEER_GROUPS | SG_PEER_UNIT | SG_PEER_EXE, "another process");
    sg_peer_identity_free(identity);

    /* The one at accept started after it: 777 ticks of 10 ms are 7770 ms. */
    false_proc_say(&proc, "stat", "1 (cat) S" STAT_TAIL);
    uint64_t started_ms = 777u * 1000u / (uint64_t)sysconf(_SC_CLK_TCK);
    identity = false_proc_peer(&proc, getpid(), started_ms - 1);
    (void)peer_expect(identity, SG_PEER_GROUPS | SG_PEER_UNIT | SG_PEER_EXE, "another process");
    sg_peer_identity_free(identity);
    identity = false_proc_peer(&proc, getpid(), started_ms);
    (void)peer_expect(identity, SG_PEER_GROUPS, NULL);
    sg_peer_identity_free(identity);
    sg_peer_resolver_free(proc.resolver);
}

static void test_user__that_changed_is_not_the_peer(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    false_proc_status(&proc, "7\t8\t7\t7", "3 ");
    false_proc_expect(&proc, SG_PEER_GROUPS | SG_PEER_UNIT, "changed its user");
    /* Its name is not of the user. */
    false_proc_say(&proc, "status",
                   "Name:\tx\\nUid:\\t7\\t7\\t7\\t7\nUid:\t7\t8\t7\t7\nGroups:\t3 \n");
    false_proc_expect(&proc, SG_PEER_GROUPS, "changed its user");
    sg_peer_resolver_free(proc.resolver);
}

static void test_status__is_refused_if_it_is_none(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    false_proc_status(&proc, "5\t7\t5\t5", " ");
    false_proc_expect(&proc, SG_PEER_GROUPS, NULL);
    static const char *const groups[] = {"3", "3 x ", "-3 ", "4294967296 ", " 3 ", "3  4 "};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        false_proc_status(&proc, "5\t7\t5\t5", groups[i]);
        false_proc_expect(&proc, SG_PEER_GROUPS, "did not say");
    }
    static const char *const texts[] = {"", "Name:\tx\n", "Uid:\t7\t7\t7\t7\nGroups:\t3 \n",
                                        "Name:\tx\nUid:\t7\nGroups:\t3 \n",
                                        "Name:\tx\nUid:\t7\t7\t7\t7\nGroups:\t3 "};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        false_proc_say(&proc, "status", texts[i]);
        false_proc_expect(&proc, SG_PEER_GROUPS, "did not say");
    }
    false_proc_write(&proc, "cgroup", "0::/a.service\n\0x", 16);
    false_proc_status(&proc, "5\t7\t5\t5", "");
    false_proc_expect(&proc, SG_PEER_UNIT, "did not say");
    sg_peer_resolver_free(proc.resolver);
}

static void test_texts__have_bounds(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    size_t cap = 1u << 20;
    char *text = malloc(cap);
    assert_non_null(text);
    /* One group more than there may be. */
    for (unsigned num = SG_PEER_MAX_GROUPS; num <= SG_PEER_MAX_GROUPS + 1; num++) {
        int len = snprintf(text, cap, "Name:\tx\nUid:\t7\t7\t7\t7\nGroups:\t");
        for (unsigned i = 0; i < num; i++) {
            len += snprintf(text + len, cap - (size_t)len, "%u ", 4294967295u - i);
        }
        text[len] = '\n';
        false_proc_write(&proc, "status", text, (size_t)len + 1);
        false_proc_expect(&proc, SG_PEER_GROUPS,
                          num > SG_PEER_MAX_GROUPS ? "more than 1024 groups" : NULL);
    }
    /* And texts that do not end. */
    memset(text, '\n', cap);
    static const char *const names[] = {"status", "cgroup", "stat"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        false_proc_write(&proc, names[i], text, cap);
        false_proc_expect(&proc, SG_PEER_UNIT, "did not say");
    }
    free(text);
    sg_peer_resolver_free(proc.resolver);
}

static void test_process__that_is_hidden_or_of_no_pid_is_not_found(void **state)
{
    struct false_proc proc;
    false_proc_make(*state, &proc);
    struct sg_peer_identity *identity = false_proc_peer(&proc, 0, LATER_MS);
    (void)peer_expect(identity, SG_PEER_GROUPS | SG_PEER_EXE_SHA256, "pid namespace");
    sg_peer_identity_free(identity);
    identity = false_proc_peer(&proc, -1, LATER_MS);
    (void)peer_expect(identity, SG_PEER_UNIT, "pid namespace");
    sg_peer_identity_free(identity);
    identity = false_proc_peer(&proc, getppid(), LATER_MS); /* lives, and is not shown */
    (void)peer_expect(identity, SG_PEER_UNIT, "hidepid");
    sg_peer_identity_free(identity);
    sg_peer_resolver_free(proc.resolver);
    assert_null(sg_peer_facts_get(NULL, SG_PEER_UNIT));
    sg_peer_identity_free(NULL);
    sg_peer_resolver_free(NULL);
}

/* ---- Users ---- */

static uint64_t user_now_ms;
static unsigned user_num_asked;
static const char *user_name;

static uint64_t user_read_ms(void)
{
    return user_now_ms;
}

static bool user_find(uid_t uid, char *out, size_t cap)
{
    (void)uid;
    user_num_asked++;
    if (user_name == NULL || strlen(user_name) >= cap) {
        return false;
    }
    memcpy(out, user_name, strlen(user_name) + 1);
    return true;
}

static struct sg_peer_resolver *user_resolver(void)
{
    const struct sg_peer_resolver_options options = {
        .process = SG_PEER_RESOLVER_NONE, .read_mono_ms = user_read_ms, .find_user = user_find};
    struct sg_peer_resolver *resolver = NULL;
    user_now_ms = 1000;
    user_name = NULL;
    assert_int_equal(sg_peer_resolver_new(&options, &resolver), SIGNET_OK);
    user_num_asked = 0;
    return resolver;
}

static void test_user__is_remembered_for_a_minute(void **state)
{
    (void)state;
    struct sg_peer_resolver *resolver = user_resolver();
    char name[SG_PEER_MAX_USER + 1] = "";
    user_name = "alice";
    assert_int_equal(sg_peer_resolver_user(resolver, 7, name), SG_PEER_FOUND);
    user_name = "bob";
    user_now_ms += 59999;
    assert_int_equal(sg_peer_resolver_user(resolver, 7, name), SG_PEER_FOUND);
    assert_string_equal(name, "alice");
    assert_int_equal(user_num_asked, 1);
    user_now_ms += 1;
    assert_int_equal(sg_peer_resolver_user(resolver, 7, name), SG_PEER_FOUND);
    assert_string_equal(name, "bob");
    /* More of them than are remembered: none gets another's name. */
    for (uid_t uid = 100; uid < 1000; uid++) {
        assert_int_equal(sg_peer_resolver_user(resolver, uid, name), SG_PEER_FOUND);
    }
    user_name = "carol";
    assert_int_equal(sg_peer_resolver_user(resolver, 7, name), SG_PEER_FOUND);
    assert_string_equal(name, "carol");
    assert_int_equal(sg_peer_resolver_user(resolver, 999, name), SG_PEER_FOUND);
    assert_string_equal(name, "bob");
    sg_peer_resolver_free(resolver);
}

static void test_user__without_a_plain_name_has_none(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sg_peer_outcome outcome;
    } cases[] = {
        {"login-svc", SG_PEER_FOUND},
        {"_apt", SG_PEER_FOUND},
        {"a.b@example.com", SG_PEER_FOUND},
        {"abcdefghijklmnopqrstuvwxyzabcdef", SG_PEER_FOUND},
        {"abcdefghijklmnopqrstuvwxyzabcdefg", SG_PEER_NO_USER},
        {NULL, SG_PEER_NO_USER},
        {"", SG_PEER_ODD_USER},
        {"0", SG_PEER_ODD_USER},
        {"1000", SG_PEER_ODD_USER},
        {"-rf", SG_PEER_ODD_USER},
        {"..", SG_PEER_ODD_USER},
        {"@a", SG_PEER_ODD_USER},
        {"a b", SG_PEER_ODD_USER},
        {"a/b", SG_PEER_ODD_USER},
        {"a\"b", SG_PEER_ODD_USER},
        {"a\nb", SG_PEER_ODD_USER},
        {"a*", SG_PEER_ODD_USER},
        {"${peer.uid}", SG_PEER_ODD_USER},
        {"DOM\\a", SG_PEER_ODD_USER},
        {"\xc3\xa4", SG_PEER_ODD_USER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sg_peer_resolver *resolver = user_resolver();
        char name[SG_PEER_MAX_USER + 1] = "unset";
        user_name = cases[i].name;
        assert_int_equal(sg_peer_resolver_user(resolver, 7, name), cases[i].outcome);
        assert_string_equal(name, cases[i].outcome == SG_PEER_FOUND ? cases[i].name : "unset");
        sg_peer_resolver_free(resolver);
    }
}

static void test_user__is_known_of_who_has_ended(void **state)
{
    const struct peer_fixture *fixture = *state;
    const struct sg_peer peer = {.pid = 0, .uid = 0};
    struct sg_peer_identity *identity = NULL;
    assert_int_equal(sg_peer_identity_new(fixture->resolver, &peer, 0, &identity), SIGNET_OK);
    assert_string_equal(peer_expect(identity, SG_PEER_USER, NULL)->user, "root");
    sg_peer_identity_free(identity);
}

/* ---- Processes that run ---- */

static const struct peer_program_options program_as_it_is = {0};

static void test_program__is_found_with_its_hash(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    size_t len = 0;
    uint8_t hash[SG_SHA256_LEN];
    char *bytes = test_read_file(fixture->program, &len);
    assert_non_null(bytes);
    assert_int_equal(sg_sha256(bytes, len, hash), SIGNET_OK);
    free(bytes);
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    assert_true(sg_peer_facts_are_quick(identity, SG_PEER_EXE | SG_PEER_GROUPS));
    assert_false(sg_peer_facts_are_quick(identity, SG_PEER_EXE_SHA256));
    const struct sg_peer_facts *facts =
        peer_expect(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256, NULL);
    assert_string_equal(facts->exe, fixture->program);
    assert_memory_equal(facts->exe_sha256, hash, sizeof(hash));
    assert_true(sg_peer_facts_are_quick(identity, SG_PEER_EXE | SG_PEER_EXE_SHA256));
    (void)peer_expect(identity, SG_PEER_GROUPS, NULL);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* A file whose times are not of just now is hashed once, for all connections. */
static void test_hash__is_remembered_of_a_settled_file(void **state)
{
    const struct peer_fixture *fixture = *state;
    const struct peer_program_options options = {.path = "/bin/cat"};
    struct peer_program program;
    peer_program_start(fixture, &options, &program);
    struct sg_peer_identity *first = peer_identity(fixture, &program);
    struct sg_peer_identity *second = peer_identity(fixture, &program);
    assert_false(sg_peer_facts_are_quick(first, SG_PEER_EXE_SHA256));
    const struct sg_peer_facts *facts = peer_expect(first, SG_PEER_EXE_SHA256, NULL);
    assert_true(sg_peer_facts_are_quick(second, SG_PEER_EXE_SHA256));
    assert_memory_equal(peer_expect(second, SG_PEER_EXE_SHA256, NULL)->exe_sha256,
                        facts->exe_sha256, SG_PEER_SHA256_LEN);
    sg_peer_identity_free(first);
    sg_peer_identity_free(second);
    peer_program_stop(&program);
}

/* A process that executes another program between two looks. */
static void test_hash__is_of_the_file_that_was_seen(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    struct sg_peer_exe exe;
    uint8_t hash[SG_PEER_SHA256_LEN];
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_process process = {.pid = program.pid, .uid = program.uid};
    assert_int_equal(sg_peer_proc_started("/proc", program.pid, &process.started), SG_PEER_FOUND);
    assert_int_equal(sg_peer_resolver_exe(fixture->resolver, &process, true, &exe), SG_PEER_FOUND);
    assert_int_equal(sg_peer_resolver_hash(fixture->resolver, &process, &exe.file, hash),
                     SG_PEER_FOUND);
    exe.file.ino++;
    assert_int_equal(sg_peer_resolver_hash(fixture->resolver, &process, &exe.file, hash),
                     SG_PEER_CHANGED);
    peer_program_stop(&program);
}

static void test_hash__has_a_bound(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    assert_int_equal(truncate(fixture->program, (off_t)SG_PEER_MAX_HASHED + 1), 0);
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE_SHA256, "larger than 256 MiB");
    (void)peer_expect(identity, SG_PEER_EXE, NULL);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

static void test_program__that_was_replaced_or_deleted_has_no_path(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    char deleted[160];
    peer_program_start(fixture, &program_as_it_is, &program);
    assert_int_equal(rename(fixture->other, fixture->program), 0);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, "replaced or deleted");
    /* The hash is still of what runs. */
    (void)peer_expect(identity, SG_PEER_EXE_SHA256, NULL);
    sg_peer_identity_free(identity);

    /* What the kernel appends to the name of a deleted file may be the name of another. */
    (void)snprintf(deleted, sizeof(deleted), "%s (deleted)", fixture->program);
    assert_int_equal(rename(fixture->program, deleted), 0);
    identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, "replaced or deleted");
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

static void test_program__behind_a_symbolic_link_is_named_itself(void **state)
{
    const struct peer_fixture *fixture = *state;
    char link[160];
    (void)snprintf(link, sizeof(link), "%s/link", fixture->dir);
    assert_int_equal(symlink(fixture->program, link), 0);
    const struct peer_program_options options = {.path = link};
    struct peer_program program;
    peer_program_start(fixture, &options, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    assert_string_equal(peer_expect(identity, SG_PEER_EXE, NULL)->exe, fixture->program);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

static void test_program__with_an_odd_path_is_refused(void **state)
{
    const struct peer_fixture *fixture = *state;
    char odd[160];
    (void)snprintf(odd, sizeof(odd), "%s/pro\ngram", fixture->dir);
    peer_copy_file("/bin/cat", odd);
    const struct peer_program_options options = {.path = odd};
    struct peer_program program;
    peer_program_start(fixture, &options, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    (void)peer_expect(identity, SG_PEER_EXE, "control characters");
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

static void test_process__that_has_ended_is_not_found(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_identity *before = peer_identity(fixture, &program);
    struct sg_peer_identity *known = peer_identity(fixture, &program);
    (void)peer_expect(known, SG_PEER_EXE, NULL);
    peer_program_stop(&program);
    struct sg_peer_identity *after = peer_identity(fixture, &program);
    (void)peer_expect(before, SG_PEER_EXE | SG_PEER_GROUPS | SG_PEER_UNIT, "had ended");
    (void)peer_expect(after, SG_PEER_EXE_SHA256 | SG_PEER_GROUPS | SG_PEER_UNIT, "had ended");
    (void)peer_expect(known, SG_PEER_EXE, NULL); /* was found out in time */
    sg_peer_identity_free(before);
    sg_peer_identity_free(known);
    sg_peer_identity_free(after);
}

/* One that has ended and was not waited for has its pid still. */
static void test_process__that_is_a_zombie_is_not_found(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    siginfo_t info;
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    assert_int_equal(kill(program.pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)program.pid, &info, WEXITED | WNOWAIT), 0);
    const struct sg_peer_facts *facts =
        sg_peer_facts_get(identity, SG_PEER_GROUPS | SG_PEER_UNIT | SG_PEER_EXE);
    assert_int_equal(facts->known, 0);
    assert_non_null(facts->problem);
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* ---- Threads ---- */

#define NUM_THREADS 8

struct looking {
    pthread_t thread;
    struct sg_peer_identity *identity;
    unsigned order;
    bool good;
};

static void *look(void *argument)
{
    struct looking *looking = argument;
    static const unsigned facts[] = {SG_PEER_USER, SG_PEER_GROUPS, SG_PEER_EXE, SG_PEER_EXE_SHA256};
    looking->good = true;
    for (unsigned i = 0; i < 4; i++) {
        unsigned fact = facts[(i + looking->order) % 4];
        (void)sg_peer_facts_are_quick(looking->identity, fact);
        const struct sg_peer_facts *found = sg_peer_facts_get(looking->identity, fact);
        looking->good = looking->good && (found->known & fact) == fact;
    }
    return NULL;
}

static void test_facts__are_the_same_for_all_threads(void **state)
{
    const struct peer_fixture *fixture = *state;
    struct peer_program program;
    struct looking looking[NUM_THREADS];
    peer_program_start(fixture, &program_as_it_is, &program);
    struct sg_peer_identity *identity = peer_identity(fixture, &program);
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        looking[i] = (struct looking){.identity = identity, .order = i};
        assert_int_equal(pthread_create(&looking[i].thread, NULL, look, &looking[i]), 0);
    }
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(looking[i].thread, NULL), 0);
        assert_true(looking[i].good);
    }
    sg_peer_identity_free(identity);
    peer_program_stop(&program);
}

/* ---- What it costs ---- */

/* Said, not judged: the thread that accepts pays this for every connection. */
static void test_identity__costs_little(void **state)
{
    const struct peer_fixture *fixture = *state;
    const unsigned rounds = 2000;
    struct peer_program program;
    struct timespec from;
    struct timespec to;
    peer_program_start(fixture, &program_as_it_is, &program);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < rounds; i++) {
        sg_peer_identity_free(peer_identity(fixture, &program));
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    double us = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
    print_message("an identity takes %.1f us to make and to free\n", us / rounds);
    peer_program_stop(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat__has_the_start_behind_any_name),
        cmocka_unit_test(test_stat__is_refused_if_it_is_none),
        cmocka_unit_test(test_unit__is_the_service_managers),
        cmocka_unit_test(test_unit__has_a_bound),
        cmocka_unit_test(test_outcomes__have_texts),
        PEER_TEST(test_facts__are_what_proc_says),
        PEER_TEST(test_facts__are_looked_up_once),
        PEER_TEST(test_start__guards_against_another_with_the_pid),
        PEER_TEST(test_user__that_changed_is_not_the_peer),
        PEER_TEST(test_status__is_refused_if_it_is_none),
        PEER_TEST(test_texts__have_bounds),
        PEER_TEST(test_process__that_is_hidden_or_of_no_pid_is_not_found),
        cmocka_unit_test(test_user__is_remembered_for_a_minute),
        cmocka_unit_test(test_user__without_a_plain_name_has_none),
        PEER_TEST(test_user__is_known_of_who_has_ended),
        PEER_TEST(test_program__is_found_with_its_hash),
        PEER_TEST(test_hash__is_remembered_of_a_settled_file),
        PEER_TEST(test_hash__is_of_the_file_that_was_seen),
        PEER_TEST(test_hash__has_a_bound),
        PEER_TEST(test_program__that_was_replaced_or_deleted_has_no_path),
        PEER_TEST(test_program__behind_a_symbolic_link_is_named_itself),
        PEER_TEST(test_program__with_an_odd_path_is_refused),
        PEER_TEST(test_process__that_has_ended_is_not_found),
        PEER_TEST(test_process__that_is_a_zombie_is_not_found),
        PEER_TEST(test_facts__are_the_same_for_all_threads),
        PEER_TEST(test_identity__costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
