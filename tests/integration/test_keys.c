/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that live, through the real daemon and the command line: restarts, rotation, revocation, import,
 * reload, foreign issuers, backups, unsafe files and full disks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/keyed_daemon.h"

#define KEYS_ES "  - name: es\n    alg: ES256\n    issuer: https://login.example\n"
#define KEYS_HS "  - name: hs\n    alg: HS256\n    issuer: https://login.example\n"

#define KEYS_PATIENCE_S 20

static int keys_setup(void **state)
{
    struct test_keyed_daemon *keyed = calloc(1, sizeof(*keyed));
    assert_non_null(keyed);
    test_keyed_daemon_prepare(keyed, KEYS_ES KEYS_HS);
    *state = keyed;
    return 0;
}

static int keys_teardown(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_daemon_stop(&keyed->daemon);
    free(keyed);
    return 0;
}

/* ---- Steps ---- */

/* Runs `signet` with up to nine arguments; it must end with the status and say what (NULL: anything), on
 * either of its outputs. */
static void expect(const struct test_keyed_daemon *keyed, int exit_status, const char *what,
                   const char *const *arguments, const char *input)
{
    struct test_output output;
    test_keyed_daemon_signet(keyed, arguments, input, &output);
    if (output.exit_status != exit_status ||
        (what != NULL && strstr(output.out, what) == NULL && strstr(output.err, what) == NULL)) {
        fail_msg("signet %s %s: expected %d and \"%s\", got %d\n%s%s", arguments[0],
                 arguments[1] != NULL ? arguments[1] : "", exit_status, what != NULL ? what : "",
                 output.exit_status, output.out, output.err);
    }
    test_output_free(&output);
}

#define EXPECT(keyed, exit_status, what, input, ...)                                               \
    do {                                                                                           \
        const char *const arguments[] = {__VA_ARGS__, NULL};                                       \
        expect(keyed, exit_status, what, arguments, input);                                        \
    } while (0)

/* free() it. */
static char *sign(const struct test_keyed_daemon *keyed, const char *keyset)
{
    const char *const arguments[] = {"sign", keyset, "--sub", "alice", "--aud", "orders", NULL};
    char *token = test_keyed_daemon_run(keyed, arguments, NULL);
    token[strcspn(token, "\n")] = '\0';
    return token;
}

static void must_be_good(const struct test_keyed_daemon *keyed, const char *token)
{
    EXPECT(keyed, 0, NULL, NULL, "verify", token, "--aud", "orders");
}

/* Signs, and lets it be judged. */
static void must_sign(const struct test_keyed_daemon *keyed, const char *keyset)
{
    char *token = sign(keyed, keyset);
    must_be_good(keyed, token);
    free(token);
}

static void must_be_refused(const struct test_keyed_daemon *keyed, const char *token,
                            const char *reason)
{
    EXPECT(keyed, 1, reason, NULL, "verify", token, "--aud", "orders");
}

static void kid_of(const struct test_keyed_daemon *keyed, const char *token, char out[300])
{
    const char *const arguments[] = {"verify", token, "--aud", "orders", "--json", NULL};
    char *text = test_keyed_daemon_run(keyed, arguments, NULL);
    const char *kid = strstr(text, "\"kid\"");
    assert_non_null(kid);
    assert_int_equal(sscanf(kid, "\"kid\": \"%256[^\"]\"", out) == 1 ||
                         sscanf(kid, "\"kid\":\"%256[^\"]\"", out) == 1,
                     1);
    free(text);
}

static void path_in(const char *dir, const char *name, char *out, size_t out_cap)
{
    int len = snprintf(out, out_cap, "%s/%s", dir, name);
    assert_in_range(len, 1, (int)out_cap - 1);
}

static bool file_has(const char *path, const char *what)
{
    char *text = test_read_file(path, NULL);
    bool has = text != NULL && strstr(text, what) != NULL;
    free(text);
    return has;
}

static void run(const char *const *argv)
{
    struct test_output output;
    test_run(argv, NULL, 60000, &output);
    if (output.exit_status != 0) {
        fail_msg("%s: %d\n%s%s", argv[0], output.exit_status, output.out, output.err);
    }
    test_output_free(&output);
}

/* ---- Restarts ---- */

static void test_keys__survive_a_stop_and_a_kill(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    char *es = sign(keyed, "es");
    char *hs = sign(keyed, "hs");
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    must_be_good(keyed, hs);
    char *later = sign(keyed, "es");
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    must_be_good(keyed, hs);
    must_be_good(keyed, later);
    EXPECT(keyed, 0, "active", NULL, "key", "list", "es");
    EXPECT(keyed, 0, "file:", NULL, "keystore", "status");
    free(es);
    free(hs);
    free(later);
}

static void test_keys__of_a_second_daemon_on_the_same_state_are_refused(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    struct test_keyed_daemon other = *keyed;
    struct test_output output;
    test_keyed_daemon_start(keyed);
    path_in(keyed->daemon.dir, "run2", other.daemon.runtime_dir, sizeof(other.daemon.runtime_dir));
    assert_int_equal(mkdir(other.daemon.runtime_dir, 0700), 0);
    test_keyed_daemon_refuses(&other, &output);
    assert_non_null(strstr(output.err, keyed->state_dir));
    test_output_free(&output);
    must_sign(keyed, "es");
}

/* ---- Operators ---- */

static void test_rotate__publishes_and_then_signs(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char jwks[160];
    char old_kid[300];
    char new_kid[300];
    path_in(keyed->daemon.runtime_dir, "jwks.json", jwks, sizeof(jwks));
    test_keyed_daemon_start(keyed);
    char *old = sign(keyed, "es");
    kid_of(keyed, old, old_kid);
    assert_true(file_has(jwks, old_kid));
    EXPECT(keyed, 0, NULL, NULL, "key", "rotate", "es", "--dry-run");
    EXPECT(keyed, 0, NULL, NULL, "key", "rotate", "es");
    EXPECT(keyed, 0, "next ", NULL, "key", "list", "es");
    EXPECT(keyed, 4, "waits", NULL, "key", "rotate", "es");
    EXPECT(keyed, 0, NULL, NULL, "key", "rotate", "es", "--now");
    char *fresh = sign(keyed, "es");
    kid_of(keyed, fresh, new_kid);
    assert_string_not_equal(old_kid, new_kid);
    assert_true(file_has(jwks, old_kid));
    assert_true(file_has(jwks, new_kid));
    must_be_good(keyed, old);
    must_be_good(keyed, fresh);
    EXPECT(keyed, 2, "KEYSET_UNKNOWN", NULL, "key", "rotate", "nowhere");
    free(old);
    free(fresh);
}

static void test_revoke__refuses_from_the_answer_on_and_after_a_kill(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char kid[300];
    test_keyed_daemon_start(keyed);
    char *token = sign(keyed, "hs");
    kid_of(keyed, token, kid);
    EXPECT(keyed, 2, "--yes", NULL, "key", "revoke", kid);
    must_be_good(keyed, token);
    EXPECT(keyed, 0, kid, NULL, "key", "revoke", kid, "--yes");
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    must_be_refused(keyed, token, "KEY_REVOKED");
    char *after = sign(keyed, "hs");
    must_be_good(keyed, after);
    free(token);
    free(after);
}

static void test_admin__is_not_for_the_services_socket(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char path[160];
    struct stat info;
    test_keyed_daemon_start(keyed);
    path_in(keyed->daemon.runtime_dir, "admin.sock", path, sizeof(path));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    char saved[140];
    memcpy(saved, keyed->admin_address, sizeof(saved));
    memcpy(keyed->admin_address, keyed->daemon.address, sizeof(keyed->daemon.address));
    EXPECT(keyed, 4, "ADMIN_SOCKET_ONLY", NULL, "key", "list");
    EXPECT(keyed, 4, "ADMIN_SOCKET_ONLY", NULL, "key", "rotate", "es");
    EXPECT(keyed, 4, "ADMIN_SOCKET_ONLY", NULL, "reload");
    memcpy(keyed->admin_address, saved, sizeof(saved));
    EXPECT(keyed, 0, NULL, NULL, "key", "list");
}

/* ---- Importing ---- */

static void test_import__takes_keys_in_every_form(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char pem[160];
    char sealed[160];
    char traditional[160];
    char jwk[160];
    path_in(keyed->daemon.dir, "key.pem", pem, sizeof(pem));
    path_in(keyed->daemon.dir, "sealed.pem", sealed, sizeof(sealed));
    path_in(keyed->daemon.dir, "old.pem", traditional, sizeof(traditional));
    path_in(keyed->daemon.dir, "key.jwk", jwk, sizeof(jwk));
    const char *const make[] = {
        "/usr/bin/openssl",        "genpkey", "-algorithm", "EC", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-out",    pem,          NULL};
    const char *const old[] = {"/usr/bin/openssl", "ecparam", "-genkey",   "-noout", "-name",
                               "prime256v1",       "-out",    traditional, NULL};
    const char *const seal[] = {"/usr/bin/openssl", "pkcs8", "-topk8",    "-v2",
                                "aes-256-cbc",      "-in",   traditional, "-passout",
                                "pass:open sesame", "-out",  sealed,      NULL};
    const char *const jose[] = {"/usr/bin/jose",       "jwk", "gen", "-i",
                                "{\"alg\":\"ES256\"}", "-o",  jwk,   NULL};
    run(make);
    run(old);
    run(seal);
    run(jose);
    test_keyed_daemon_start(keyed);
    char *before = sign(keyed, "es");
    EXPECT(keyed, 0, NULL, NULL, "key", "import", "es", "--pem", pem, "--kid", "from-pem", "--now");
    char *token = sign(keyed, "es");
    char kid[300];
    kid_of(keyed, token, kid);
    assert_string_equal(kid, "from-pem");
    EXPECT(keyed, 0, NULL, NULL, "key", "import", "es", "--jwk", jwk, "--kid", "from-jwk", "--now");
    EXPECT(keyed, 0, NULL, "open sesame\n", "key", "import", "es", "--pem", sealed,
           "--passphrase-fd", "0", "--kid", "sealed", "--now");
    EXPECT(keyed, 2, NULL, "wrong\n", "key", "import", "es", "--pem", sealed, "--passphrase-fd",
           "0", "--kid", "wrong", "--now");
    char *text = test_read_file(traditional, NULL);
    assert_non_null(text);
    EXPECT(keyed, 4, "KEY_EXISTS", text, "key", "import", "es", "-", "--kid", "sealed", "--now");
    EXPECT(keyed, 0, NULL, text, "key", "import", "es", "-", "--kid", "stdin", "--now");
    free(text);
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, before);
    must_be_good(keyed, token);
    char *last = sign(keyed, "es");
    kid_of(keyed, last, kid);
    assert_string_equal(kid, "stdin");
    free(before);
    free(token);
    free(last);
}

static void test_import__refuses_weak_keys_with_the_section_of_the_rfc(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char path[160];
    path_in(keyed->daemon.dir, "weak", path, sizeof(path));
    test_keyed_daemon_configure(
        keyed, KEYS_ES KEYS_HS "  - name: rs\n    alg: RS256\n    issuer: https://login.example\n");
    test_keyed_daemon_start(keyed);
    test_write_file(path, "0123456789abcdef0123456789abcde", 31);
    EXPECT(keyed, 2, "RFC 7518 section 3.2", NULL, "key", "import", "hs", "--secret", path);
    const char *const small[] = {"/usr/bin/openssl", "genrsa", "-out", path, "1024", NULL};
    run(small);
    EXPECT(keyed, 2, "RFC 7518 section 3.3", NULL, "key", "import", "rs", "--pem", path);
    const char *const curve[] = {"/usr/bin/openssl", "ecparam", "-genkey", "-noout", "-name",
                                 "secp384r1",        "-out",    path,      NULL};
    run(curve);
    EXPECT(keyed, 2, NULL, NULL, "key", "import", "es", "--pem", path);
    EXPECT(keyed, 2, NULL, NULL, "key", "import", "es", "--pem", "/dev/null");
    must_sign(keyed, "es");
}

static const char keys_shared[] = "the secret that every service had";

/* RFC 7515 by hand: a token of a time before Signet, HS256 and without a kid. */
static void test_migration__from_a_shared_secret_refuses_no_token(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char secret[160];
    char old[2048];
    path_in(keyed->daemon.dir, "shared.secret", secret, sizeof(secret));
    test_write_file(secret, keys_shared, sizeof(keys_shared) - 1);
    char script[1024];
    (void)snprintf(script, sizeof(script),
                   "import jwt,time;print(jwt.encode({'iss':'https://login.example','sub':'bob',"
                   "'aud':'orders','exp':int(time.time())+600},open('%s','rb').read(),'HS256'))",
                   secret);
    const char *const argv[] = {"/usr/bin/python3", "-c", script, NULL};
    struct test_output output;
    test_run(argv, NULL, 60000, &output);
    assert_int_equal(output.exit_status, 0);
    (void)snprintf(old, sizeof(old), "%s", output.out);
    old[strcspn(old, "\n")] = '\0';
    test_output_free(&output);

    test_keyed_daemon_start(keyed);
    EXPECT(keyed, 1, NULL, NULL, "verify", old, "--aud", "orders", "--keyset", "es");
    EXPECT(keyed, 0, NULL, NULL, "key", "import", "es", "--secret", secret, "--alg", "HS256",
           "--kid", "legacy", "--verify-only");
    EXPECT(keyed, 0, "bob", NULL, "verify", old, "--aud", "orders", "--keyset", "es");
    EXPECT(keyed, 1, "UNKNOWN_KEY", NULL, "verify", old, "--aud", "orders");
    char *fresh = sign(keyed, "es");
    must_be_good(keyed, fresh);
    EXPECT(keyed, 0, NULL, NULL, "key", "revoke", "legacy", "--yes");
    EXPECT(keyed, 1, NULL, NULL, "verify", old, "--aud", "orders", "--keyset", "es");
    must_be_good(keyed, fresh);
    free(fresh);
}

/* ---- Nothing secret comes out ---- */

static bool bytes_have(const char *bytes, size_t len, const char *what, size_t what_len)
{
    return memmem(bytes, len, what, what_len) != NULL;
}

static void must_not_hold(const char *dir, const char *secret, size_t secret_len)
{
    DIR *list = opendir(dir);
    assert_non_null(list);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        char path[600];
        size_t len = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        char *bytes = entry->d_type == DT_REG ? test_read_file(path, &len) : NULL;
        if (bytes != NULL && bytes_have(bytes, len, secret, secret_len)) {
            fail_msg("%s holds a secret", path);
        }
        free(bytes);
    }
    (void)closedir(list);
}

static void test_secrets__are_in_no_file_and_no_output(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char secret[160];
    char keys[160];
    path_in(keyed->daemon.dir, "shared.secret", secret, sizeof(secret));
    path_in(keyed->state_dir, "keys", keys, sizeof(keys));
    test_write_file(secret, keys_shared, sizeof(keys_shared) - 1);
    test_keyed_daemon_start(keyed);
    EXPECT(keyed, 0, NULL, NULL, "key", "import", "hs", "--secret", secret, "--kid", "given",
           "--now");
    assert_int_equal(unlink(secret), 0);
    must_sign(keyed, "hs");
    must_not_hold(keyed->state_dir, keys_shared, sizeof(keys_shared) - 1);
    must_not_hold(keys, keys_shared, sizeof(keys_shared) - 1);
    must_not_hold(keyed->daemon.dir, keys_shared, sizeof(keys_shared) - 1); /* the log */
    must_not_hold(keyed->daemon.runtime_dir, keys_shared, sizeof(keys_shared) - 1);
    const char *const list[] = {"key", "list", "--json", NULL};
    char *text = test_keyed_daemon_run(keyed, list, NULL);
    assert_null(strstr(text, "every service"));
    free(text);
    EXPECT(keyed, 2, NULL, NULL, "key", "export", "given");
    EXPECT(keyed, 2, NULL, NULL, "keystore", "export");
}

/* ---- Reloading ---- */

static void test_reload__applies_all_or_keeps_the_old(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    char *old = sign(keyed, "es");
    test_keyed_daemon_configure(keyed, KEYS_ES KEYS_HS
                                "  - name: new\n    alg: EdDSA\n    issuer: https://new.example\n");
    EXPECT(keyed, 0, "3", NULL, "reload");
    char *token = sign(keyed, "new");
    must_be_good(keyed, token);
    test_keyed_daemon_configure(keyed, KEYS_ES "  - name: hs\n    alg: HS257\n    issuer: x\n");
    EXPECT(keyed, 4, "signet.yaml:", NULL, "reload");
    must_be_good(keyed, token);
    must_sign(keyed, "hs");
    test_keyed_daemon_configure(keyed, KEYS_ES);
    EXPECT(keyed, 0, "1", NULL, "reload");
    must_be_refused(keyed, token, "UNKNOWN_KEY");
    must_be_good(keyed, old);
    EXPECT(keyed, 0, "not in the configuration", NULL, "key", "list", "new");
    free(old);
    free(token);
}

static bool log_has(const struct test_keyed_daemon *keyed, const char *what)
{
    char *log = test_daemon_log(&keyed->daemon);
    bool has = strstr(log, what) != NULL;
    free(log);
    return has;
}

/* Waits, with a bound, for something that another process does. */
static void wait_for_log(const struct test_keyed_daemon *keyed, const char *what)
{
    time_t deadline = time(NULL) + KEYS_PATIENCE_S * (SG_SANITIZED ? 4 : 1);
    while (!log_has(keyed, what)) {
        if (time(NULL) > deadline) {
            char *log = test_daemon_log(&keyed->daemon);
            fail_msg("the log never said \"%s\":\n%s", what, log);
        }
        (void)usleep(20000);
    }
}

static void test_reload__on_sighup_says_what_is_wrong_and_goes_on(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    test_keyed_daemon_start(keyed);
    test_keyed_daemon_configure(keyed, "  - name: es\n    alg: ES256\n    isuer: x\n");
    (void)test_daemon_kill(&keyed->daemon, SIGHUP);
    wait_for_log(keyed, "not reloaded");
    assert_true(log_has(keyed, "isuer"));
    must_sign(keyed, "hs");
    test_keyed_daemon_configure(keyed, KEYS_ES);
    (void)test_daemon_kill(&keyed->daemon, SIGHUP);
    wait_for_log(keyed, "reloaded");
    must_sign(keyed, "es");
}

/* ---- Foreign issuers ---- */

static void test_trust__accepts_the_tokens_of_another_issuer_until_its_file_goes(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    struct test_keyed_daemon other;
    char jwks[192];
    char target[192];
    char yaml[192];
    test_keyed_daemon_prepare(&other,
                              "  - name: idp\n    alg: ES256\n    issuer: https://idp.example\n");
    test_keyed_daemon_start(&other);
    char *token = sign(&other, "idp");
    path_in(other.daemon.runtime_dir, "jwks.json", jwks, sizeof(jwks));
    path_in(keyed->trust_dir, "idp.json", target, sizeof(target));
    path_in(keyed->trust_dir, "idp.yaml", yaml, sizeof(yaml));
    const char *const copy[] = {"/bin/cp", jwks, target, NULL};
    run(copy);
    static const char text[] = "issuer: https://idp.example\nalgorithms: [ES256]\njwks: idp.json\n";
    test_write_file(yaml, text, sizeof(text) - 1);
    assert_int_equal(chmod(yaml, 0644), 0);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, token);
    EXPECT(keyed, 2, "KEYSET_FOREIGN", NULL, "sign", "idp", "--sub", "a", "--aud", "orders");
    /* A bad file keeps the last good one. */
    test_write_file(target, "{\"keys\":[", 9);
    wait_for_log(keyed, "idp.json");
    must_be_good(keyed, token);
    EXPECT(keyed, 0, "idp.json", NULL, "reload"); /* which tells of it as well */
    /* And one that is gone takes its issuer along. */
    assert_int_equal(unlink(yaml), 0);
    wait_for_log(keyed, "no longer trusted");
    must_be_refused(keyed, token, "UNKNOWN_KEY");
    free(token);
    test_daemon_stop(&other.daemon);
}

/* ---- Unsafe files ---- */

static void test_modes__that_are_unsafe_stop_the_start_and_say_what_mends_it(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char keys[192];
    const char *const paths[] = {keyed->state_dir, keys, keyed->source + strlen("file:")};
    path_in(keyed->state_dir, "keys", keys, sizeof(keys));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct stat info;
        struct test_output output;
        assert_int_equal(stat(paths[i], &info), 0);
        assert_int_equal(chmod(paths[i], S_ISDIR(info.st_mode) ? 0777 : 0644), 0);
        test_keyed_daemon_refuses(keyed, &output);
        const char *command = strstr(output.err, "chmod ");
        if (command == NULL || strstr(command, paths[i]) == NULL) {
            fail_msg("no chmod of %s in:\n%s", paths[i], output.err);
        }
        /* What it says works. */
        char line[600];
        (void)snprintf(line, sizeof(line), "%s", command);
        line[strcspn(line, "\n;,")] = '\0';
        const char *const shell[] = {"/bin/sh", "-c", line, NULL};
        run(shell);
        test_output_free(&output);
    }
    test_keyed_daemon_start(keyed);
    must_sign(keyed, "es");
}

static void test_start__without_its_key_encryption_key_changes_nothing(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    struct test_output output;
    const char *path = keyed->source + strlen("file:");
    test_keyed_daemon_start(keyed);
    char *token = sign(keyed, "es");
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    size_t len = 0;
    char *right = test_read_file(path, &len);
    assert_non_null(right);
    test_write_file(path, "another key of thirty-two bytes!", 32);
    test_keyed_daemon_refuses(keyed, &output);
    assert_non_null(strstr(output.err, keyed->source));
    test_output_free(&output);
    test_write_file(path, right, len);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, token);
    free(right);
    free(token);
}

/* Makes another keystore in the place of the one there is, under source. */
static void init_anew(struct test_keyed_daemon *keyed, const char *source, const char *passphrase)
{
    test_remove_tree(keyed->state_dir);
    assert_int_equal(mkdir(keyed->state_dir, 0700), 0);
    (void)snprintf(keyed->source, sizeof(keyed->source), "%s", source);
    EXPECT(keyed, 0, NULL, passphrase, "keystore", "init", "--state-dir", keyed->state_dir, "--key",
           source, "--passphrase-fd", "0");
}

static void test_start__with_a_credential_of_the_service_manager(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char path[160];
    struct test_output output;
    path_in(keyed->daemon.dir, "signet-kek", path, sizeof(path));
    test_write_file(path, "a credential of thirty-two bytes", 32);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", keyed->daemon.dir, 1), 0);
    init_anew(keyed, "credential:signet-kek", NULL);
    test_keyed_daemon_configure(keyed, KEYS_ES KEYS_HS);
    test_keyed_daemon_start(keyed);
    must_sign(keyed, "es");
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    test_keyed_daemon_refuses(keyed, &output);
    assert_non_null(strstr(output.err, "LoadCredential"));
    test_output_free(&output);
}

static void test_start__with_a_passphrase_from_a_descriptor(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char path[160];
    char number[16];
    path_in(keyed->daemon.dir, "passphrase", path, sizeof(path));
    init_anew(keyed, "passphrase:", "correct horse battery\n");
    (void)snprintf(keyed->source, sizeof(keyed->source), "\"passphrase:\""); /* as YAML wants it */
    test_keyed_daemon_configure(keyed, KEYS_ES KEYS_HS);
    test_write_file(path, "correct horse battery\n", 22);
    int fd = open(path, O_RDONLY); /* NOLINT(android-cloexec-open): the daemon is to have it */
    assert_true(fd >= 0);
    (void)snprintf(number, sizeof(number), "%d", fd);
    const char *const as_root[] = {"--config", keyed->config, "--passphrase-fd", number, "--user",
                                   "root",     NULL};
    const char *const as_user[] = {"--config", keyed->config, "--passphrase-fd", number, NULL};
    test_daemon_restart(&keyed->daemon, getuid() == 0 ? as_root : as_user);
    must_sign(keyed, "es");
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    /* Without a terminal and a descriptor there is nobody to ask. */
    struct test_output output;
    test_keyed_daemon_refuses(keyed, &output);
    assert_non_null(strstr(output.err, "--passphrase-fd"));
    test_output_free(&output);
    (void)close(fd);
}

/* ---- Rekey, backup, restore ---- */

static void test_rekey__in_place_leaves_every_key(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    const char *path = keyed->source + strlen("file:");
    test_keyed_daemon_start(keyed);
    char *token = sign(keyed, "es");
    char *before = test_read_file(path, NULL);
    /* A copy of the present one is not another. */
    char copy[160];
    char copy_source[192];
    path_in(keyed->daemon.dir, "copy.key", copy, sizeof(copy));
    (void)snprintf(copy_source, sizeof(copy_source), "file:%s", copy);
    test_write_file(copy, before, 32);
    assert_int_equal(chmod(copy, 0600), 0);
    EXPECT(keyed, 2, "has already", NULL, "keystore", "rekey", "--to", copy_source);
    EXPECT(keyed, 0, NULL, NULL, "keystore", "rekey", "--to", keyed->source);
    size_t len = 0;
    char *after = test_read_file(path, &len);
    assert_int_equal(len, 32);
    assert_memory_not_equal(before, after, 32);
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    struct test_output output;
    test_write_file(path, before, 32);
    test_keyed_daemon_refuses(keyed, &output); /* the old one opens nothing any more */
    test_output_free(&output);
    test_write_file(path, after, 32);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, token);
    free(before);
    free(after);
    free(token);
}

static void test_backup__brings_the_keys_back_and_touches_none_that_is_there(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char backup[160];
    char identity[160];
    char recipient[160];
    char keys[192];
    path_in(keyed->daemon.dir, "backup", backup, sizeof(backup));
    path_in(keyed->daemon.dir, "backup.key", identity, sizeof(identity));
    path_in(keyed->daemon.dir, "backup.pub", recipient, sizeof(recipient));
    path_in(keyed->state_dir, "keys", keys, sizeof(keys));
    const char *const make[] = {"/usr/bin/openssl", "genpkey", "-algorithm", "X25519", "-out",
                                identity,           NULL};
    const char *const publish[] = {"/usr/bin/openssl", "pkey", "-in",     identity,
                                   "-pubout",          "-out", recipient, NULL};
    run(make);
    run(publish);
    assert_int_equal(chmod(identity, 0600), 0);
    test_keyed_daemon_start(keyed);
    char *es = sign(keyed, "es");
    char *hs = sign(keyed, "hs");
    EXPECT(keyed, 0, NULL, NULL, "keystore", "backup", backup, "--to", recipient, "--state-dir",
           keyed->state_dir, "--key", keyed->source);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    /* Nothing is lost: nothing is restored. */
    EXPECT(keyed, 0, NULL, NULL, "keystore", "restore", backup, "--identity", identity,
           "--state-dir", keyed->state_dir, "--key", keyed->source);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    /* All is lost. */
    test_remove_tree(keyed->state_dir);
    assert_int_equal(mkdir(keyed->state_dir, 0700), 0);
    assert_int_equal(unlink(keyed->source + strlen("file:")), 0);
    EXPECT(keyed, 0, NULL, NULL, "keystore", "init", "--state-dir", keyed->state_dir, "--key",
           keyed->source);
    EXPECT(keyed, 0, NULL, NULL, "keystore", "restore", backup, "--identity", identity,
           "--state-dir", keyed->state_dir, "--key", keyed->source);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    must_be_good(keyed, hs);
    /* Restored keys may have signed what nobody remembers. */
    EXPECT(keyed, 0, "<=", NULL, "key", "list", "es");
    free(es);
    free(hs);
}

/* ---- A full disk ---- */

static void fill(const char *dir, char path[192])
{
    static const char block[4096];
    path_in(dir, "fill", path, 192);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

static void test_full_disk__lets_sign_what_can_and_recovers(void **state)
{
    struct test_keyed_daemon *keyed = *state;
    char path[192];
    char backup[192];
    path_in(keyed->state_dir, "backup", backup, sizeof(backup));
    if (mount("none", keyed->state_dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0700") != 0) {
        print_message("no full disk without the right to mount a small one: %s\n", strerror(errno));
        skip();
    }
    const char *key = keyed->source + strlen("file:");
    assert_int_equal(unlink(key), 0);
    EXPECT(keyed, 0, NULL, NULL, "keystore", "init", "--state-dir", keyed->state_dir, "--key",
           keyed->source);
    test_keyed_daemon_configure(keyed, "  - name: es\n    alg: ES256\n"
                                       "    issuer: https://login.example\n"
                                       "    rotate_every: 10s\n    publish_lead: 2s\n" KEYS_HS
                                       "audit:\n  dir: \"off\"\n"); /* it has a test of its own */
    test_keyed_daemon_start(keyed);
    char *es = sign(keyed, "es");
    char *hs = sign(keyed, "hs");
    fill(keyed->state_dir, path);
    EXPECT(keyed, 4, "No space", NULL, "key", "rotate", "hs", "--now");
    EXPECT(keyed, 4, "No space", NULL, "keystore", "rekey", "--to", keyed->source);
    EXPECT(keyed, 4, "No space", keys_shared, "key", "import", "hs", "--secret", "-", "--now");
    EXPECT(keyed, 4, "No space", "pass phrase\n", "keystore", "backup", backup,
           "--backup-passphrase-fd", "0", "--state-dir", keyed->state_dir, "--key", keyed->source);
    assert_int_not_equal(access(backup, F_OK), 0);
    wait_for_log(keyed, "it is tried again"); /* its own rotation */
    must_be_good(keyed, es);
    must_be_good(keyed, hs);
    char *more = sign(keyed, "es");
    must_be_good(keyed, more);
    /* A start goes on as well. */
    (void)test_daemon_kill(&keyed->daemon, SIGKILL);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    char *again = sign(keyed, "hs");
    must_be_good(keyed, again);
    assert_int_equal(unlink(path), 0);
    wait_for_log(keyed, "changes of keys work again");
    EXPECT(keyed, 0, NULL, NULL, "key", "rotate", "hs", "--now");
    EXPECT(keyed, 0, NULL, NULL, "keystore", "rekey", "--to", keyed->source);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    test_keyed_daemon_start(keyed);
    must_be_good(keyed, es);
    must_be_good(keyed, hs);
    must_be_good(keyed, more);
    must_be_good(keyed, again);
    (void)test_daemon_kill(&keyed->daemon, SIGTERM);
    assert_int_equal(umount(keyed->state_dir), 0);
    free(es);
    free(hs);
    free(more);
    free(again);
}

int main(void)
{
#define KEYS_TEST(f) cmocka_unit_test_setup_teardown(f, keys_setup, keys_teardown)
    const struct CMUnitTest tests[] = {
        KEYS_TEST(test_keys__survive_a_stop_and_a_kill),
        KEYS_TEST(test_keys__of_a_second_daemon_on_the_same_state_are_refused),
        KEYS_TEST(test_rotate__publishes_and_then_signs),
        KEYS_TEST(test_revoke__refuses_from_the_answer_on_and_after_a_kill),
        KEYS_TEST(test_admin__is_not_for_the_services_socket),
        KEYS_TEST(test_import__takes_keys_in_every_form),
        KEYS_TEST(test_import__refuses_weak_keys_with_the_section_of_the_rfc),
        KEYS_TEST(test_migration__from_a_shared_secret_refuses_no_token),
        KEYS_TEST(test_secrets__are_in_no_file_and_no_output),
        KEYS_TEST(test_reload__applies_all_or_keeps_the_old),
        KEYS_TEST(test_reload__on_sighup_says_what_is_wrong_and_goes_on),
        KEYS_TEST(test_trust__accepts_the_tokens_of_another_issuer_until_its_file_goes),
        KEYS_TEST(test_modes__that_are_unsafe_stop_the_start_and_say_what_mends_it),
        KEYS_TEST(test_start__without_its_key_encryption_key_changes_nothing),
        KEYS_TEST(test_start__with_a_credential_of_the_service_manager),
        KEYS_TEST(test_start__with_a_passphrase_from_a_descriptor),
        KEYS_TEST(test_rekey__in_place_leaves_every_key),
        KEYS_TEST(test_backup__brings_the_keys_back_and_touches_none_that_is_there),
        KEYS_TEST(test_full_disk__lets_sign_what_can_and_recovers),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
