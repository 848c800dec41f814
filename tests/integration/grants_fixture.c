/* SPDX-License-Identifier: Apache-2.0
 *
 * The users are numbers that nobody has; one of them gets a name, in a copy of /etc/passwd that only this
 * process and its children see (a mount namespace). So nothing is left of them, however this ends.
 */
#include "tests/integration/grants_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these, and those of the header above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/integration/grants_calls.h"
#include "tests/support/processes.h"

/* Where there is mostly nobody, and within what a container maps. */
#define GRANTS_FIRST_UID 58100u
#define GRANTS_LAST_UID  59900u
#define GRANTS_NAME      "signet-test-login"
/* A child that hangs ends by this. */
#define GRANTS_ALARM_S (SG_SANITIZED ? 240u : 60u)

const char *const grants_targets[GRANTS_NUM_TARGETS] = {"login", "orders", "team-blue", "nowhere",
                                                        "partner"};

static const char grants_keysets[] =
    "keysets:\n"
    "  - name: login\n    alg: ES256\n    issuer: https://login.example\n"
    "  - name: orders\n    alg: HS256\n    issuer: https://orders.example\n"
    "  - name: team-blue\n    alg: RS256\n    issuer: https://blue.example\n";

/* Of a key that nobody has; the rest is never looked at. */
static const char grants_unknown_token[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5vYm9keSJ9.e30."
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/* ---- People ---- */

static bool grants_is_free(uint32_t id)
{
    return getpwuid((uid_t)id) == NULL && getgrgid((gid_t)id) == NULL;
}

/* The next number that is nobody's. */
static uint32_t grants_find_free(uint32_t from)
{
    while (from < GRANTS_LAST_UID && !grants_is_free(from)) {
        from++;
    }
    assert_true(from < GRANTS_LAST_UID);
    return from;
}

/* A user that every host has, who is neither root nor anybody else here. */
static void grants_find_daemon(struct grants_person *out)
{
    static const char *const names[] = {"daemon", "bin", "games", "mail", "nobody"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct passwd *entry = getpwnam(names[i]);
        if (entry != NULL && entry->pw_uid != 0 && entry->pw_gid != 0) {
            out->role = "the daemon";
            (void)snprintf(out->user, sizeof(out->user), "%s", names[i]);
            out->uid = entry->pw_uid;
            out->gid = entry->pw_gid;
            return;
        }
    }
    fail_msg("none of the usual users of a host is here");
}

/* Lays a file over /etc/passwd, for this process and its children only. */
static bool grants_cover_passwd(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(path, "/etc/passwd", NULL, MS_BIND, NULL) == 0;
}

static void grants_name(struct grants_fixture *fixture, struct grants_person *person)
{
    char path[160];
    char *passwd = test_read_file("/etc/passwd", NULL);
    assert_non_null(passwd);
    size_t cap = strlen(passwd) + 256;
    char *text = malloc(cap);
    assert_non_null(text);
    (void)snprintf(text, cap, "%s\n" GRANTS_NAME ":x:%u:%u::/nonexistent:/usr/sbin/nologin\n",
                   passwd, (unsigned)person->uid, (unsigned)person->gid);
    (void)snprintf(path, sizeof(path), "%s/passwd", fixture->keyed.daemon.dir);
    test_write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, 0644), 0);
    free(text);
    free(passwd);
    bool is_covered = grants_cover_passwd(path);
    const struct passwd *entry = is_covered ? getpwnam(GRANTS_NAME) : NULL;
    fixture->has_name = entry != NULL && entry->pw_uid == person->uid;
    if (fixture->has_name) {
        (void)snprintf(person->user, sizeof(person->user), "%s", GRANTS_NAME);
    } else {
        print_message("SKIPPED: a user with a name: /etc/passwd cannot be covered (%s); a number "
                      "stands in its place\n",
                      strerror(errno));
    }
}

static void grants_find_people(struct grants_fixture *fixture)
{
    static const char *const roles[] = {"login", "issuer", "ops", "stranger", "root"};
    uint32_t id = GRANTS_FIRST_UID;
    for (size_t i = 0; i < GRANTS_NUM_PEOPLE; i++) {
        struct grants_person *person = &fixture->people[i];
        person->role = roles[i];
        if (i != GRANTS_ROOT) {
            id = grants_find_free(id);
            person->uid = (uid_t)id;
            person->gid = (gid_t)id++;
        }
        (void)snprintf(person->user, sizeof(person->user), "%u", (unsigned)person->uid);
    }
    fixture->group = (gid_t)grants_find_free(id);
    grants_find_daemon(&fixture->daemon);
    grants_name(fixture, &fixture->people[GRANTS_LOGIN]);
}

/* ---- Configuration ---- */

static void grants_put(char **at, const char *end, const char *text, size_t len)
{
    assert_true((size_t)(end - *at) > len);
    memcpy(*at, text, len);
    *at += len;
}

/* The value of a name after '$'; NULL if there is none. number: room for one. */
static const char *grants_value(const struct grants_fixture *fixture, const char *name, size_t *len,
                                char number[16])
{
    const struct {
        const char *name, *value;
    } values[] = {{"LOGIN", fixture->people[GRANTS_LOGIN].user},
                  {"ISSUER", fixture->people[GRANTS_ISSUER].user},
                  {"OPS", fixture->people[GRANTS_OPS].user},
                  {"STRANGER", fixture->people[GRANTS_STRANGER].user},
                  {"GROUP", number},
                  {"DIR", fixture->keyed.daemon.dir}};
    (void)snprintf(number, 16, "%u", (unsigned)fixture->group);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        *len = strlen(values[i].name);
        if (strncmp(name, values[i].name, *len) == 0) {
            return values[i].value;
        }
    }
    return NULL;
}

/* grants with its names filled in; free() it. */
static char *grants_fill(const struct grants_fixture *fixture, const char *grants)
{
    size_t cap = strlen(grants) * 4 + 4096;
    char *text = malloc(cap);
    char *at = text;
    assert_non_null(text);
    while (*grants != '\0') {
        char number[16];
        size_t len = 0;
        const char *value = *grants == '$' ? grants_value(fixture, grants + 1, &len, number) : NULL;
        if (value != NULL) {
            grants_put(&at, text + cap, value, strlen(value));
            grants += len + 1;
        } else {
            grants_put(&at, text + cap, grants++, 1);
        }
    }
    *at = '\0';
    return text;
}

void grants_configure(const struct grants_fixture *fixture, const char *grants)
{
    const struct test_keyed_daemon *keyed = &fixture->keyed;
    char *filled = grants_fill(fixture, grants);
    size_t cap = strlen(filled) + sizeof(grants_keysets) + 2048;
    char *text = malloc(cap);
    assert_non_null(text);
    int len =
        snprintf(text, cap,
                 "user: %s\nsocket_mode: \"0666\"\nstate_dir: %s\ntrust_dir: %s\n"
                 "keystore:\n  key: %s\nlimits:\n  cpu_per_uid: off\n"
                 "audit:\n  dir: %s\n  verifications: true\n  head_every: 1s\n%s%s%s",
                 fixture->daemon.user, keyed->state_dir, keyed->trust_dir, keyed->source,
                 fixture->audit_dir, grants[0] != '\0' ? "grants:\n" : "", filled, grants_keysets);
    assert_in_range(len, 1, (int)cap - 1);
    test_write_file(keyed->config, text, (size_t)len);
    free(text);
    free(filled);
}

void grants_expect(const struct grants_fixture *fixture, int exit_status, const char *what,
                   const char *const *arguments, const char *input)
{
    struct test_output output;
    test_keyed_daemon_signet(&fixture->keyed, arguments, input, &output);
    if (output.exit_status != exit_status ||
        (what != NULL && strstr(output.out, what) == NULL && strstr(output.err, what) == NULL)) {
        fail_msg("signet %s %s: expected %d and \"%s\", got %d\n%s%s", arguments[0],
                 arguments[1] != NULL ? arguments[1] : "", exit_status, what != NULL ? what : "",
                 output.exit_status, output.out, output.err);
    }
    test_output_free(&output);
}

void grants_use(const struct grants_fixture *fixture, const char *grants)
{
    grants_configure(fixture, grants);
    GRANTS_EXPECT(fixture, 0, NULL, NULL, "reload");
}

/* ---- Children ---- */

void *grants_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

void grants_unshare(void *memory, size_t size)
{
    if (memory != NULL) {
        (void)munmap(memory, size);
    }
}

bool grants_become(const struct grants_person *person, gid_t group)
{
    const gid_t groups[] = {person->gid, group};
    return setgroups(group != 0 ? 2 : 1, groups) == 0 &&
           setresgid(person->gid, person->gid, person->gid) == 0 &&
           setresuid(person->uid, person->uid, person->uid) == 0 &&
           /* Not before: another user's process starts without it. */
           prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
}

static bool grants_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_written;
}

bool grants_leave(void)
{
    char map[32];
    (void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
    /* Else /proc/self is root's. */
    return prctl(PR_SET_DUMPABLE, 1) == 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           grants_write("/proc/self/uid_map", map) && geteuid() == 0;
}

pid_t grants_fork(const struct grants_fixture *fixture, enum grants_who who, grants_act *act,
                  void *context)
{
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(GRANTS_ALARM_S);
        bool is_done = grants_become(&fixture->people[who], 0) && act(fixture, context);
        _exit(is_done ? 0 : 1);
    }
    assert_true(child > 0);
    return child;
}

void grants_join(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("a child ended with wait status 0x%x", (unsigned)status);
    }
}

void grants_as(const struct grants_fixture *fixture, enum grants_who who, grants_act *act,
               void *context)
{
    grants_join(grants_fork(fixture, who, act, context));
}

/* ---- The daemon ---- */

/* What root's tool made is the daemon's. */
static void grants_give(const struct grants_fixture *fixture, const char *path)
{
    char owner[32];
    struct test_output output;
    (void)snprintf(owner, sizeof(owner), "%u:%u", (unsigned)fixture->daemon.uid,
                   (unsigned)fixture->daemon.gid);
    const char *const argv[] = {"chown", "-R", owner, path, NULL};
    test_run(argv, NULL, GRANTS_PATIENCE_MS, &output);
    assert_int_equal(output.exit_status, 0);
    test_output_free(&output);
}

static void grants_start(struct grants_fixture *fixture)
{
    const char *const arguments[] = {"--config", fixture->keyed.config, NULL};
    test_daemon_restart(&fixture->keyed.daemon, arguments);
}

void grants_restart(struct grants_fixture *fixture, int signal_number)
{
    (void)test_daemon_kill(&fixture->keyed.daemon, signal_number);
    grants_start(fixture);
}

/* An issuer elsewhere: another daemon, with keys that end with it. */
static void grants_make_partner(struct grants_fixture *fixture)
{
    static const char *const arguments[] = {"--dev", "--user", "root", NULL};
    static const char trust[] = "issuer: https://signet.example/demo\n"
                                "algorithms: [ES256]\n"
                                "jwks: partner.jwks\n";
    const char *const jwks[] = {"jwks", NULL};
    const char *const sign[] = {"sign",   "demo-es256", "--sub", "alice", "--aud",
                                "orders", "--ttl",      "1h",    NULL};
    struct test_keyed_daemon elsewhere = {0};
    char path[192];
    test_daemon_start(&elsewhere.daemon, arguments);
    char *keys = test_keyed_daemon_run(&elsewhere, jwks, NULL);
    char *token = test_keyed_daemon_run(&elsewhere, sign, NULL);
    token[strcspn(token, "\n")] = '\0';
    assert_true(strlen(token) < GRANTS_MAX_TOKEN);
    memcpy(fixture->tokens[GRANTS_PARTNER], token, strlen(token) + 1);
    (void)snprintf(path, sizeof(path), "%s/partner.jwks", fixture->keyed.trust_dir);
    test_write_file(path, keys, strlen(keys));
    (void)snprintf(path, sizeof(path), "%s/partner.yaml", fixture->keyed.trust_dir);
    test_write_file(path, trust, sizeof(trust) - 1);
    free(keys);
    free(token);
    test_daemon_stop(&elsewhere.daemon);
}

static void grants_copy_program(struct grants_fixture *fixture)
{
    size_t len = 0;
    char *bytes = test_read_file("/proc/self/exe", &len);
    assert_non_null(bytes);
    (void)snprintf(fixture->program, sizeof(fixture->program), "%s/service",
                   fixture->keyed.daemon.dir);
    test_write_file(fixture->program, bytes, len);
    assert_int_equal(chmod(fixture->program, 0755), 0);
    free(bytes);
}

/* Looking at what another user runs takes this right, which a container may have taken from root. */
static bool grants_may_look(void)
{
    char text[64];
    return test_process_field(getpid(), "CapEff", text, sizeof(text)) &&
           (strtoull(text, NULL, 16) >> CAP_SYS_PTRACE & 1) != 0;
}

static void grants_prepare(struct grants_fixture *fixture)
{
    struct test_keyed_daemon *keyed = &fixture->keyed;
    char number[16];
    test_keyed_daemon_prepare(keyed, "");
    grants_find_people(fixture);
    (void)snprintf(fixture->audit_dir, sizeof(fixture->audit_dir), "%s/audit", keyed->state_dir);
    memcpy(fixture->tokens[GRANTS_NOWHERE], grants_unknown_token, sizeof(grants_unknown_token));
    grants_make_partner(fixture);
    assert_int_equal(chmod(keyed->daemon.dir, 0755), 0);
    assert_int_equal(chmod(keyed->trust_dir, 0755), 0);
    /* The daemon makes its own. */
    test_remove_tree(keyed->daemon.runtime_dir);
    grants_give(fixture, keyed->state_dir);
    grants_give(fixture, keyed->source + strlen("file:"));
    grants_copy_program(fixture);
    (void)snprintf(number, sizeof(number), "%u", (unsigned)fixture->daemon.uid);
    assert_int_equal(setenv("SIGNET_SERVER_UID", number, 1), 0);
}

/* One token of each keyset. */
static bool grants_mint(const struct grants_fixture *fixture, void *context)
{
    char(*tokens)[GRANTS_MAX_TOKEN] = context;
    struct signet_client *client = grants_connect(fixture, fixture->keyed.daemon.address);
    bool is_good = client != NULL;
    for (size_t i = 0; is_good && i < GRANTS_NOWHERE; i++) {
        struct grants_outcome outcome = {0};
        grants_sign(fixture, client, grants_targets[i], NULL, tokens[i], &outcome);
        is_good = outcome.status == SIGNET_OK;
    }
    signet_client_free(client);
    return is_good;
}

static void grants_fill_tokens(struct grants_fixture *fixture)
{
    size_t size = (size_t)GRANTS_NUM_TARGETS * GRANTS_MAX_TOKEN;
    char *tokens = grants_share(size);
    grants_as(fixture, GRANTS_ISSUER, grants_mint, tokens);
    memcpy(fixture->tokens, tokens, (size_t)GRANTS_NOWHERE * GRANTS_MAX_TOKEN);
    grants_unshare(tokens, size);
}

int grants_setup(void **state)
{
    struct grants_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    *state = fixture;
    if (geteuid() != 0) {
        return 0;
    }
    fixture->shared = grants_share(sizeof(*fixture->shared));
    fixture->has_ptrace = grants_may_look();
    grants_prepare(fixture);
    grants_configure(fixture, "  - name: first\n    who: {user: $ISSUER}\n    may: [sign]\n"
                              "    keysets: [\"*\"]\n");
    grants_start(fixture);
    grants_fill_tokens(fixture);
    return 0;
}

int grants_teardown(void **state)
{
    struct grants_fixture *fixture = *state;
    if (fixture->keyed.daemon.dir[0] != '\0') {
        test_daemon_stop(&fixture->keyed.daemon);
    }
    grants_unshare(fixture->shared, sizeof(*fixture->shared));
    (void)unsetenv("SIGNET_SERVER_UID");
    free(fixture);
    return 0;
}

struct grants_fixture *grants_need_root(void **state)
{
    struct grants_fixture *fixture = *state;
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can be several users of this machine\n");
        skip();
    }
    return fixture;
}
