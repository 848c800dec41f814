/* SPDX-License-Identifier: Apache-2.0
 *
 * signetd-imported: the daemon's real listener, dispatch and keyholder with keys from JWK files, so
 * that a test can hold the other end of a key. Reading private keys in the front is what the daemon
 * itself must never do, so this program is for tests only and is never installed.
 *
 *     signetd-imported --runtime-dir DIR --key NAME=ALG=ISSUER=JWKFILE [--key ...]
 *
 * DIR is private to the test, which is why there is no lock here. SIGTERM ends it.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/jose/jwk.h"
#include "common/seal/seal.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/keyholder/keyholder.h"
#include "server/keymaster.h"
#include "server/listener.h"
#include "server/quota.h"
#include "server/workers.h"
#include "tests/support/grant_all.h"

#define IMPORTED_MAX_KEYS    32u
#define IMPORTED_MAX_FILE    (64u * 1024u)
#define IMPORTED_WORKERS     2u
#define IMPORTED_MAX_QUEUED  1024u
#define IMPORTED_GRACE_MS    1000u
#define IMPORTED_MAX_MESSAGE 256u

struct imported_options {
    const char *runtime_dir;
    struct sg_config_keyset keysets[IMPORTED_MAX_KEYS];
    const char *files[IMPORTED_MAX_KEYS]; /* of the keyset with the same index */
    size_t num_keysets;
};

struct imported_daemon {
    struct sg_keyholder *keyholder;
    struct sg_config config;
    struct sg_keymaster *keymaster;
    struct sg_workers *workers;
    struct sg_quota *quota;
    struct sg_listener *listener;
    struct sg_service service;
    char socket_path[128], jwks_path[160];
};

static bool imported_fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "signetd-imported: %s: %s\n", what, why);
    return false;
}

/* NAME=ALG=ISSUER=JWKFILE, cut up where it stands. */
static bool imported_parse_key(char *text, struct imported_options *options)
{
    static char typ[] = "JWT";

    if (options->num_keysets == IMPORTED_MAX_KEYS) {
        return imported_fail(text, "too many keys");
    }
    char *rest = text;
    struct sg_config_keyset keyset = {
        .name = strsep(&rest, "="),
        .alg_name = strsep(&rest, "="),
        .issuer = strsep(&rest, "="),
        .typ = typ,
        .default_ttl_s = 900,
        .max_ttl_s = 86400,
        .rsa_bits = SG_MIN_RSA_BITS,
    };
    if (rest == NULL) {
        return imported_fail(text, "expected NAME=ALG=ISSUER=JWKFILE");
    }
    keyset.alg = sg_alg_from_name(keyset.alg_name, strlen(keyset.alg_name));
    if (keyset.alg == SG_ALG_UNSET) {
        return imported_fail(keyset.alg_name, "no such algorithm");
    }
    options->keysets[options->num_keysets] = keyset;
    options->files[options->num_keysets] = rest;
    options->num_keysets++;
    return true;
}

static bool imported_parse_arguments(int argc, char **argv, struct imported_options *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--runtime-dir") == 0) {
            options->runtime_dir = argv[i + 1];
        } else if (strcmp(argv[i], "--key") != 0) {
            return imported_fail(argv[i], "no such option");
        } else if (!imported_parse_key(argv[i + 1], options)) {
            return false;
        }
    }
    if (argc % 2 == 0 || options->runtime_dir == NULL || options->num_keysets == 0) {
        return imported_fail("usage", "--runtime-dir DIR --key NAME=ALG=ISSUER=JWKFILE ...");
    }
    return true;
}

static bool imported_read_jwk(const struct sg_config_keyset *keyset, const char *path,
                              struct sg_jwk **out)
{
    static char text[IMPORTED_MAX_FILE];

    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return imported_fail(path, "cannot be opened");
    }
    size_t len = fread(text, 1, sizeof text, file);
    bool complete = feof(file) && !ferror(file);
    (void)fclose(file);
    if (!complete) {
        return imported_fail(path, "cannot be read, or is too large");
    }
    bool is_secret = sg_alg_info(keyset->alg)->family == SG_FAMILY_HMAC;
    struct sg_key_error error = {{0}};
    if (sg_jwk_parse(text, len, keyset->alg, is_secret ? SG_JWK_SECRET : SG_JWK_PRIVATE, out,
                     &error) != SIGNET_OK) {
        return imported_fail(path, error.message);
    }
    return true;
}

/* As the command line does. */
static signet_status imported_seal(struct imported_daemon *daemon, const struct sg_jwk *jwk,
                                   uint8_t *sealed, size_t *sealed_len)
{
    uint8_t public_key[SG_SEAL_KEY_LEN];
    struct sg_rpc_status error;
    const uint8_t *material = NULL;
    size_t len = 0;
    signet_status status = sg_jwk_secret(jwk, &material, &len);
    if (status == SIGNET_OK) {
        status = sg_keymaster_sealing_key(daemon->keymaster, public_key, &error);
    }
    if (status == SIGNET_OK) {
        status = sg_seal(public_key, SG_SEAL_FOR_IMPORT, material, len, sealed);
    }
    *sealed_len = len + SG_SEAL_OVERHEAD;
    return status;
}

/* The fresh key that was in the place of the one that was imported goes. */
static signet_status imported_revoke_others(struct imported_daemon *daemon,
                                            const struct sg_listed_keyset *keyset, const char *kid,
                                            struct sg_rpc_status *error)
{
    signet_status status = SIGNET_OK;
    for (size_t i = 0; status == SIGNET_OK && i < keyset->num_keys; i++) {
        char signing[SG_MAX_KID_LEN + 1];
        struct sg_key_list list = {0};
        const struct sg_listed_key *key = NULL;
        if (strcmp(keyset->keys[i].kid, kid) != 0) {
            status = sg_keymaster_revoke(daemon->keymaster, keyset->keys[i].kid, keyset->name,
                                         &list, &key, signing, error);
        }
        sg_key_list_fini(&list);
    }
    return status;
}

/* Lets the key of the file sign at once, instead of the fresh one. */
static bool imported_import(struct imported_daemon *daemon, const struct sg_config_keyset *keyset,
                            const char *path)
{
    struct sg_jwk *jwk = NULL;
    if (!imported_read_jwk(keyset, path, &jwk)) {
        return false;
    }
    static uint8_t sealed[IMPORTED_MAX_FILE];
    struct sg_rpc_status error = {.message = "its material is not there"};
    struct sg_key_list list = {0};
    const struct sg_listed_key *key = NULL;
    const char *kid = sg_jwk_kid(jwk);
    size_t len = 0;
    signet_status status = imported_seal(daemon, jwk, sealed, &len);
    if (status == SIGNET_OK) {
        const struct sg_key_import import = {.keyset = keyset->name,
                                             .kid = kid != NULL ? kid : "",
                                             .sealed = sealed,
                                             .sealed_len = len,
                                             .at_once = true};
        status = sg_keymaster_import(daemon->keymaster, &import, &list, &key, &error);
    }
    if (status == SIGNET_OK) {
        status = imported_revoke_others(daemon, &list.keysets[0], key->kid, &error);
    }
    sg_key_list_fini(&list);
    sg_jwk_free(jwk);
    return status == SIGNET_OK || imported_fail(path, error.message);
}

static int64_t imported_read_wall_s(void)
{
    return (int64_t)time(NULL);
}

static bool imported_make_keys(struct imported_daemon *daemon, struct imported_options *options)
{
    static char trust_dir[] = "/nonexistent";
    static char ephemeral[] = SG_CONFIG_EPHEMERAL;
    daemon->config = (struct sg_config){
        .keysets = options->keysets,
        .num_keysets = options->num_keysets,
        .grants = grant_all(),
        .num_grants = 1,
        .keystore_key = ephemeral,
        .trust_dir = trust_dir,
    };
    char error[IMPORTED_MAX_MESSAGE] = "";

    if (sg_keyholder_new(1, &daemon->keyholder) != SIGNET_OK) {
        return imported_fail("keyholder", "does not start");
    }
    (void)snprintf(daemon->jwks_path, sizeof daemon->jwks_path, "%s/jwks.json",
                   options->runtime_dir);
    const struct sg_keymaster_options master = {
        .config = &daemon->config,
        .keyholder = daemon->keyholder,
        .jwks_path = daemon->jwks_path,
        .passphrase_fd = -1,
        .read_wall_s = imported_read_wall_s,
    };
    if (sg_keymaster_new(&master, &daemon->keymaster, error, sizeof error) != SIGNET_OK) {
        return imported_fail("keys", error);
    }
    for (size_t i = 0; i < options->num_keysets; i++) {
        if (!imported_import(daemon, &options->keysets[i], options->files[i])) {
            return false;
        }
    }
    return true;
}

static struct sg_now imported_now(void)
{
    struct timespec mono = {0};
    clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct sg_now){
        .wall_s = (int64_t)time(NULL),
        .mono_ms = (uint64_t)mono.tv_sec * 1000u + (uint64_t)mono.tv_nsec / 1000000u,
    };
}

static bool imported_listen(struct imported_daemon *daemon, const char *runtime_dir)
{
    struct sg_listener_options options = {.path = daemon->socket_path, .mode = 0600};
    char error[IMPORTED_MAX_MESSAGE] = "";

    /* The limits that every daemon without a configuration has. */
    struct sg_config *demo = NULL;
    if (sg_config_demo(&demo) != SIGNET_OK) {
        return imported_fail("limits", "no memory");
    }
    options.limits = demo->limits;
    sg_config_free(demo);
    if (sg_quota_new(&options.limits, sg_quota_default_cpus(), &daemon->quota) != SIGNET_OK) {
        return imported_fail("limits", "no memory");
    }
    options.quota = daemon->quota;

    int len =
        snprintf(daemon->socket_path, sizeof daemon->socket_path, "%s/signet.sock", runtime_dir);
    if (len < 0 || (size_t)len >= sizeof daemon->socket_path) {
        return imported_fail(runtime_dir, "too long for a socket");
    }
    if (sg_workers_new(IMPORTED_WORKERS, IMPORTED_MAX_QUEUED, 0, &daemon->workers) != SIGNET_OK) {
        return imported_fail("workers", "do not start");
    }
    daemon->service = (struct sg_service){
        .keyrings = sg_keymaster_keyrings(daemon->keymaster),
        .keyholder = daemon->keyholder,
        .version = "imported",
        .started = imported_now(),
        .ephemeral_keys = true,
    };
    if (sg_listener_start(&options, &daemon->service, daemon->workers, &daemon->listener, error,
                          sizeof error) != SIGNET_OK) {
        return imported_fail(daemon->socket_path, error);
    }
    return true;
}

static void imported_stop(struct imported_daemon *daemon)
{
    if (daemon->listener != NULL) {
        sg_listener_stop(daemon->listener, IMPORTED_GRACE_MS);
    }
    sg_workers_free(daemon->workers);
    sg_quota_free(daemon->quota);
    sg_keymaster_free(daemon->keymaster);
    sg_keyholder_free(daemon->keyholder);
}

int main(int argc, char **argv)
{
    static struct imported_options options;
    static struct imported_daemon daemon;

    /* Before the first thread, so that every thread inherits it and only sigwait sees them. */
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);

    bool running = imported_parse_arguments(argc, argv, &options) &&
                   imported_make_keys(&daemon, &options) &&
                   imported_listen(&daemon, options.runtime_dir);
    if (running) {
        int signal_number = 0;
        running = sigwait(&stop, &signal_number) == 0;
    }
    imported_stop(&daemon);
    return running ? 0 : 1;
}
