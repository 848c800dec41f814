/* SPDX-License-Identifier: Apache-2.0
 *
 * Another configuration while the daemon runs: in force as a whole, or not at all, with every reason
 * told; whoever signs meanwhile is not disturbed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
#include "server/keyholder/keyholder.h"
#include "server/keymaster.h"
#include "server/options.h"
#include "server/reload.h"
#include "tests/support/files.h"

#define RELOAD_NOW INT64_C(1800000000)

#define HEAD     "keystore: {key: ephemeral}\ntrust_dir: /nowhere/trust.d\nkeysets:\n"
#define KEYSET_A "  - {name: a, alg: ES256, issuer: https://login.example}\n"
#define KEYSET_B "  - {name: b, alg: HS256, issuer: https://login.example}\n"

struct reload {
    char dir[96], path[128];
    struct sg_options options;
    struct sg_config *config;
    struct sg_keyholder *keyholder;
    struct sg_keymaster *keymaster;
    struct sg_reloader *reloader;
    struct sg_reload_report report;
};

static int64_t reload_read_wall_s(void)
{
    return RELOAD_NOW;
}

static void reload_write(const struct reload *reload, const char *text)
{
    test_write_file(reload->path, text, strlen(text));
}

/* With keyset "a" in force. */
static int reload_setup(void **state)
{
    struct reload *reload = calloc(1, sizeof(*reload));
    char error[512] = "";
    assert_non_null(reload);
    test_temp_dir(reload->dir, sizeof(reload->dir));
    (void)snprintf(reload->path, sizeof(reload->path), "%s/signet.yaml", reload->dir);
    reload_write(reload, HEAD KEYSET_A);
    reload->options = (struct sg_options){.config_file = reload->path, .passphrase_fd = -1};
    if (sg_config_load(reload->path, &reload->config, error, sizeof(error)) != SIGNET_OK) {
        fail_msg("%s", error);
    }
    assert_int_equal(sg_keyholder_new(1, &reload->keyholder), SIGNET_OK);
    const struct sg_keymaster_options options = {.config = reload->config,
                                                 .keyholder = reload->keyholder,
                                                 .passphrase_fd = -1,
                                                 .read_wall_s = reload_read_wall_s};
    assert_int_equal(sg_keymaster_new(&options, &reload->keymaster, error, sizeof(error)),
                     SIGNET_OK);
    assert_int_equal(
        sg_reloader_new(&reload->options, reload->config, reload->keymaster, &reload->reloader),
        SIGNET_OK);
    *state = reload;
    return 0;
}

static int reload_teardown(void **state)
{
    struct reload *reload = *state;
    sg_keymaster_free(reload->keymaster);
    sg_reloader_free(reload->reloader);
    sg_keyholder_free(reload->keyholder);
    sg_config_free(reload->config);
    test_remove_tree(reload->dir);
    free(reload);
    return 0;
}

/* The snapshot of now; sg_keyring_unref it. */
static struct sg_keyring *reload_keyring(const struct reload *reload)
{
    struct sg_keyring *keyring = sg_keyring_holder_get(sg_keymaster_keyrings(reload->keymaster));
    assert_non_null(keyring);
    return keyring;
}

/* The only kid of a keyset. */
static void reload_kid(const struct reload *reload, const char *name, char out[SG_MAX_KID_LEN + 1])
{
    struct sg_keyring *keyring = reload_keyring(reload);
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, name);
    assert_non_null(keyset);
    assert_int_equal(keyset->num_keys, 1);
    (void)snprintf(out, SG_MAX_KID_LEN + 1, "%s", keyset->keys[0].kid);
    sg_keyring_unref(keyring);
}

static void must_reload(struct reload *reload, const char *text, uint32_t num_keysets)
{
    reload_write(reload, text);
    memset(&reload->report, 0xee, sizeof(reload->report));
    sg_reloader_run(reload->reloader, &reload->report);
    if (!reload->report.applied) {
        fail_msg("%s", reload->report.problems);
    }
    assert_string_equal(reload->report.problems, "");
    assert_int_equal(reload->report.num_keysets, num_keysets);
    assert_int_equal(reload->report.num_issuers, 0);
}

/* Must be refused with the word among the reasons, and change nothing. */
static void must_not_reload(struct reload *reload, const char *word)
{
    struct sg_keyring *before = reload_keyring(reload);
    memset(&reload->report, 0xee, sizeof(reload->report));
    sg_reloader_run(reload->reloader, &reload->report);
    assert_false(reload->report.applied);
    assert_int_equal(reload->report.num_keysets, 0);
    if (strstr(reload->report.problems, word) == NULL) {
        fail_msg("%s", reload->report.problems);
    }
    struct sg_keyring *after = reload_keyring(reload);
    assert_ptr_equal(before, after);
    sg_keyring_unref(before);
    sg_keyring_unref(after);
}

static void test_reload__puts_all_of_a_configuration_in_force(void **state)
{
    struct reload *reload = *state;
    char kid[SG_MAX_KID_LEN + 1];
    char later[SG_MAX_KID_LEN + 1];
    reload_kid(reload, "a", kid);
    must_reload(
        reload,
        HEAD KEYSET_B
        "  - {name: a, alg: ES256, issuer: https://login.example, max_ttl: 1h, typ: at+jwt}\n",
        2);
    struct sg_keyring *keyring = reload_keyring(reload);
    assert_string_equal(sg_keyring_keyset_at(keyring, 0)->name, "b");
    const struct sg_keyset *keyset = sg_keyring_keyset(keyring, "a");
    assert_ptr_equal(keyset, sg_keyring_keyset_at(keyring, 1));
    assert_int_equal(keyset->max_ttl_s, 3600);
    assert_string_equal(keyset->typ, "at+jwt");
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(sg_keyset_signing_key(sg_keyring_keyset_at(keyring, i), RELOAD_NOW));
    }
    sg_keyring_unref(keyring);
    reload_kid(reload, "a", later); /* a keyset that stays keeps its keys */
    assert_string_equal(kid, later);
    /* One that goes is known no more; its keys wait for it to come back. */
    must_reload(reload, HEAD KEYSET_B, 1);
    keyring = reload_keyring(reload);
    assert_null(sg_keyring_keyset(keyring, "a"));
    sg_keyring_unref(keyring);
    must_reload(reload, HEAD KEYSET_A KEYSET_B, 2);
    reload_kid(reload, "a", later);
    assert_string_equal(kid, later);
}

static void test_reload__the_same_again_changes_nothing(void **state)
{
    struct reload *reload = *state;
    char kid[SG_MAX_KID_LEN + 1];
    char later[SG_MAX_KID_LEN + 1];
    reload_kid(reload, "a", kid);
    for (int i = 0; i < 3; i++) {
        must_reload(reload, HEAD KEYSET_A, 1);
        reload_kid(reload, "a", later);
        assert_string_equal(kid, later);
    }
}

static void test_reload__a_bad_configuration_leaves_the_old_one(void **state)
{
    struct reload *reload = *state;
    char line[160];
    reload_write(reload, HEAD KEYSET_A "  - {name: b, alg: none, issuer: x}\n");
    (void)snprintf(line, sizeof(line), "%s:5: keysets[1].alg: ", reload->path);
    must_not_reload(reload, line);
    /* Every fault has a line of its own. */
    reload_write(reload, HEAD "  - {name: B, alg: none, issuer: x}\n");
    must_not_reload(reload, "keysets[0].name");
    assert_non_null(strstr(reload->report.problems, "keysets[0].alg"));
    reload_write(reload, "");
    must_not_reload(reload, reload->path);
    reload_write(reload, "{");
    must_not_reload(reload, reload->path);
    assert_int_equal(unlink(reload->path), 0);
    must_not_reload(reload, reload->path);
    must_reload(reload, HEAD KEYSET_A KEYSET_B, 2);
}

/* Compared with what is in force, not with what was read last. */
static void test_reload__what_takes_a_start_is_named(void **state)
{
    struct reload *reload = *state;
    reload_write(reload, HEAD KEYSET_A "socket_mode: \"0600\"\n");
    must_not_reload(reload, "socket_mode was changed, which takes a restart");
    reload_write(reload, "trust_dir: /nowhere/trust.d\nkeysets:\n" KEYSET_A);
    must_not_reload(reload, "keystore.key was changed");
    reload_write(reload, HEAD KEYSET_A KEYSET_B "limits: {workers: 63}\n");
    must_not_reload(reload, "limits.workers was changed");
    must_reload(reload, HEAD KEYSET_A KEYSET_B, 2);
    reload_write(reload, HEAD KEYSET_A "user: nobody\n");
    must_not_reload(reload, "user was changed");
}

/* The command line counts at every reload as it did at the start. */
static void test_reload__the_command_line_still_wins(void **state)
{
    struct reload *reload = *state;
    char error[256] = "";
    reload->options.runtime_dir = reload->dir;
    must_not_reload(reload, "runtime_dir was changed");
    assert_int_equal(sg_config_override(reload->config, reload->dir, NULL, error, sizeof(error)),
                     SIGNET_OK);
    must_reload(reload, HEAD KEYSET_A, 1);
    must_reload(reload, "runtime_dir: /somewhere/else\n" HEAD KEYSET_A, 1);
    /* A bad one that was never looked at before is told of, not passed on. */
    reload->options.runtime_dir = "relative";
    must_not_reload(reload, "relative");
}

static void test_reload__dev_has_nothing_to_read(void **state)
{
    struct reload *reload = *state;
    reload->options.is_dev = true;
    must_not_reload(reload, "--dev");
}

#define NUM_RELOADS 30

struct reload_load {
    const struct reload *reload;
    atomic_bool done;
};

/* Looks for a signing key of "a" for as long as there are reloads. */
static void *reload_load_main(void *arg)
{
    struct reload_load *load = arg;
    bool good = true;
    while (good && !atomic_load(&load->done)) {
        struct sg_keyring *keyring =
            sg_keyring_holder_get(sg_keymaster_keyrings(load->reload->keymaster));
        const struct sg_keyset *keyset = sg_keyring_keyset(keyring, "a");
        good = keyset != NULL && sg_keyset_signing_key(keyset, RELOAD_NOW) != NULL;
        sg_keyring_unref(keyring);
    }
    return good ? NULL : arg;
}

static void *reload_run_main(void *arg)
{
    const struct reload *reload = arg;
    struct sg_reload_report report;
    for (int i = 0; i < NUM_RELOADS; i++) {
        sg_reloader_run(reload->reloader, &report);
        if (!report.applied) {
            return arg;
        }
    }
    return NULL;
}

/* From two threads at once, as a signal and a call come. */
static void test_reload__disturbs_nobody(void **state)
{
    struct reload *reload = *state;
    struct reload_load load = {.reload = reload};
    pthread_t user;
    pthread_t reloaders[2];
    void *bad = NULL;
    assert_int_equal(pthread_create(&user, NULL, reload_load_main, &load), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&reloaders[i], NULL, reload_run_main, reload), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(reloaders[i], &bad), 0);
        assert_null(bad);
    }
    atomic_store(&load.done, true);
    assert_int_equal(pthread_join(user, &bad), 0);
    assert_null(bad);
}

static void test_reloader__null_can_be_freed(void **state)
{
    (void)state;
    sg_reloader_free(NULL);
}

#define RELOAD_TEST(name) cmocka_unit_test_setup_teardown(name, reload_setup, reload_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELOAD_TEST(test_reload__puts_all_of_a_configuration_in_force),
        RELOAD_TEST(test_reload__the_same_again_changes_nothing),
        RELOAD_TEST(test_reload__a_bad_configuration_leaves_the_old_one),
        RELOAD_TEST(test_reload__what_takes_a_start_is_named),
        RELOAD_TEST(test_reload__the_command_line_still_wins),
        RELOAD_TEST(test_reload__dev_has_nothing_to_read),
        RELOAD_TEST(test_reload__disturbs_nobody),
        cmocka_unit_test(test_reloader__null_can_be_freed),
    };
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
