/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet keystore rekey`: changes the key-encryption key. The daemon's two calls make it so that between
 * them both the old and the new open the keystore, and after the second only the new. Here is seen to it
 * that at every moment, whatever crashes (this program, the daemon, the machine), what the
 * configuration names is one that opens it. For file:PATH with the present PATH:
 *
 *     1. PATH.next is written, and is on the disk.      PATH opens; PATH.next is of no use yet
 *     2. RekeyKeystore(PATH.next)                       both open, whether the reply comes or not
 *     3. PATH.next is renamed to PATH, on the disk too. before and after the rename, PATH opens
 *     4. FinishRekey                                    PATH opens, as before; the old key no more
 *
 * A crash at 1 leaves a part of PATH.next, which is made anew, or all of it, which is used again; so
 * does a crash at 2, and what is begun again replaces what was. After a crash at 3 or 4 the change only
 * has to be ended, which the next attempt does first: the daemon ends a change only where what its source
 * holds is the new key already, and otherwise says so and keeps both. For any other source, the
 * configuration names the old one until the operator changes it, and the end waits for the operator's
 * word.
 */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "client/seal/commands.h"
#include "client/seal/daemon.h"
#include "client/seal/input.h"
#include "client/seal/kek_file.h"
#include "common/rpc.h"
#include "common/seal/seal.h"
#include "signet/v1/key.pb-c.h"

#define REKEY_FILE           "file:"
#define REKEY_CREDENTIAL     "credential:"
#define REKEY_PASSPHRASE     "passphrase:"
#define REKEY_MIN_PASSPHRASE ((size_t)8)

enum rekey_option {
    REKEY_TO = CLI_OPTION_OWN,
    REKEY_KEY_FILE,
    REKEY_PASSPHRASE_FD,
    REKEY_FINISH
};

struct rekey {
    struct cli *cli;
    struct signet_client *client;
    const char *to, *key_file;
    int passphrase_fd; /* -1: the terminal */
    bool finish;
    Signet__V1__GetKeystoreResponse *keystore;
    uint32_t num_keys; /* sealed anew */
};

/* What follows a source's kind; NULL if it is of another. */
static const char *rekey_rest(const char *source, const char *kind)
{
    size_t len = strlen(kind);
    return strncmp(source, kind, len) == 0 ? source + len : NULL;
}

/* ---- Options ---- */

static bool rekey_check_source(const struct rekey *rekey)
{
    const char *path = rekey_rest(rekey->to, REKEY_FILE);
    const char *credential = rekey_rest(rekey->to, REKEY_CREDENTIAL);
    bool is_passphrase = strcmp(rekey->to, REKEY_PASSPHRASE) == 0;
    if (path == NULL && credential == NULL && !is_passphrase) {
        (void)cli_usage(rekey->cli,
                        "--to takes file:PATH, credential:NAME or passphrase:, not '%s'",
                        rekey->to);
    } else if (path != NULL && (path[0] != '/' || strlen(path) >= PATH_MAX - sizeof(".next"))) {
        (void)cli_usage(rekey->cli, "--to file: takes a path from the root on, not '%s'", path);
    } else if (credential != NULL && (credential[0] == '\0' || strchr(credential, '/') != NULL)) {
        (void)cli_usage(rekey->cli, "--to credential: takes a name, not '%s'", credential);
    } else if ((credential != NULL) != (rekey->key_file != NULL)) {
        (void)cli_usage(rekey->cli, "--key-file FILE and --to credential:NAME belong together");
    } else if (!is_passphrase && rekey->passphrase_fd >= 0) {
        (void)cli_usage(rekey->cli, "--passphrase-fd is for --to passphrase:");
    } else {
        return true;
    }
    return false;
}

static bool rekey_read_option(struct rekey *rekey, int option)
{
    switch (option) {
    case REKEY_TO:
        rekey->to = optarg;
        return true;
    case REKEY_KEY_FILE:
        rekey->key_file = optarg;
        return true;
    case REKEY_PASSPHRASE_FD:
        return cli_read_descriptor(rekey->cli, "--passphrase-fd", optarg, &rekey->passphrase_fd);
    case REKEY_FINISH:
        rekey->finish = true;
        return true;
    default:
        return false; /* help, or a complaint */
    }
}

static bool rekey_read_options(struct rekey *rekey, int argc, char **argv)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, REKEY_TO},
        {"key-file", required_argument, NULL, REKEY_KEY_FILE},
        {"passphrase-fd", required_argument, NULL, REKEY_PASSPHRASE_FD},
        {"finish", no_argument, NULL, REKEY_FINISH},
        CLI_COMMON_OPTIONS,
    };
    struct cli *cli = rekey->cli;
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!rekey_read_option(rekey, option)) {
            return false;
        }
    }
    if (!cli_arguments(cli, argc, argv, 0, 0, &arguments)) {
        return false;
    }
    if (rekey->finish == (rekey->to != NULL)) {
        (void)cli_usage(cli, "one of --to SOURCE and --finish is needed");
        return false;
    }
    return rekey->finish || rekey_check_source(rekey);
}

/* ---- Calls ---- */

static bool rekey_ask_keystore(struct rekey *rekey)
{
    Signet__V1__GetKeystoreRequest request = SIGNET__V1__GET_KEYSTORE_REQUEST__INIT;
    rekey->keystore = (Signet__V1__GetKeystoreResponse *)cli_admin_call(
        rekey->cli, rekey->client, SG_METHOD_GET_KEYSTORE, &request.base,
        &signet__v1__get_keystore_response__descriptor, 0);
    if (rekey->keystore == NULL) {
        return false;
    }
    if (!rekey->keystore->persistent) {
        (void)cli_fail(rekey->cli, CLI_FAILED,
                       "this daemon has no keystore: its keys end with the process");
        return false;
    }
    return true;
}

/* From the answer on, the key opens the keystore, besides the one that did before. Without an answer it
 * may or may not. */
static bool rekey_begin(struct rekey *rekey, const struct seal_bytes *key, const char *source)
{
    Signet__V1__RekeyKeystoreRequest request = SIGNET__V1__REKEY_KEYSTORE_REQUEST__INIT;
    if (!seal_for_keyholder(rekey->cli, rekey->client, SG_SEAL_FOR_REKEY, key, &request.sealed)) {
        return false;
    }
    request.is_passphrase = strcmp(source, REKEY_PASSPHRASE) == 0;
    request.source = seal_wire_text(source);
    Signet__V1__RekeyKeystoreResponse *response =
        (Signet__V1__RekeyKeystoreResponse *)cli_admin_call(
            rekey->cli, rekey->client, SG_METHOD_REKEY_KEYSTORE, &request.base,
            &signet__v1__rekey_keystore_response__descriptor, CLI_ADMIN_ALL_MS);
    free(request.sealed.data);
    if (response == NULL) {
        return false;
    }
    rekey->num_keys = response->num_keys;
    signet__v1__rekey_keystore_response__free_unpacked(response, NULL);
    return true;
}

/* From the answer on, only the key of the last rekey_begin opens the keystore. Refused, and nothing
 * changed, unless that key is where the daemon's source says. */
static bool rekey_end(struct rekey *rekey)
{
    Signet__V1__FinishRekeyRequest request = SIGNET__V1__FINISH_REKEY_REQUEST__INIT;
    ProtobufCMessage *response =
        cli_admin_call(rekey->cli, rekey->client, SG_METHOD_FINISH_REKEY, &request.base,
                       &signet__v1__finish_rekey_response__descriptor, CLI_ADMIN_ALL_MS);
    if (response == NULL) {
        return false;
    }
    protobuf_c_message_free_unpacked(response, NULL);
    return true;
}

/* ---- Files ---- */

/* Whose a new key file is to be: that of the present one, else of the keystore. */
static bool rekey_owner(const struct rekey *rekey, struct kek_owner *out)
{
    const char *present = rekey_rest(rekey->keystore->source, REKEY_FILE);
    return kek_owner_of(rekey->cli, present != NULL ? present : rekey->keystore->directory, out);
}

/* Ends a change that was begun and left. One that cannot be ended, since the new key is not where the next
 * start looks for it, goes on to harm nobody: the change that follows takes its place. */
static bool rekey_settle(struct rekey *rekey)
{
    Signet__V1__FinishRekeyRequest request = SIGNET__V1__FINISH_REKEY_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    struct signet_error error;
    signet_status status = cli_admin_try(
        rekey->cli, rekey->client, SG_METHOD_FINISH_REKEY, &request.base,
        &signet__v1__finish_rekey_response__descriptor, CLI_ADMIN_ALL_MS, &response, &error);
    if (status == SIGNET_OK) {
        protobuf_c_message_free_unpacked(response, NULL);
        return true;
    }
    if (status == SIGNET_FAILED_PRECONDITION) {
        return true;
    }
    (void)cli_admin_fail(rekey->cli, &error);
    return false;
}

/* The present PATH; steps 1 to 4 at the top of this file. */
static bool rekey_same_file(struct rekey *rekey, const char *path)
{
    struct cli *cli = rekey->cli;
    struct seal_bytes key = {0};
    struct kek_owner owner;
    bool is_done = rekey_owner(rekey, &owner) && kek_file_next(cli, path, &owner, &key) &&
                   rekey_begin(rekey, &key, rekey->to) && kek_file_replace(cli, path) &&
                   rekey_end(rekey);
    seal_bytes_fini(&key);
    return is_done;
}

/* Another PATH: the configuration still names the old source, which goes on to open the keystore. The
 * file has its name before the daemon hears of it, so that no key is ever needed that is lost. */
static bool rekey_other_file(struct rekey *rekey, const char *path)
{
    struct cli *cli = rekey->cli;
    struct seal_bytes key = {0};
    struct kek_owner owner;
    bool is_begun = rekey_owner(rekey, &owner) &&
                    (kek_file_exists(path) ||
                     (kek_file_next(cli, path, &owner, &key) && kek_file_place(cli, path)));
    seal_bytes_fini(&key);
    is_begun =
        is_begun && kek_file_read(cli, path, &owner, &key) && rekey_begin(rekey, &key, rekey->to);
    seal_bytes_fini(&key);
    return is_begun;
}

/* ---- Passphrases and credentials ---- */

static bool rekey_read_passphrase(struct rekey *rekey, struct seal_bytes *out)
{
    struct cli *cli = rekey->cli;
    if (!seal_read_passphrase(cli, rekey->passphrase_fd, "New passphrase of the keystore: ", out)) {
        return false;
    }
    if (out->len < REKEY_MIN_PASSPHRASE) {
        (void)cli_fail(cli, CLI_USAGE, "the passphrase is shorter than %zu bytes",
                       REKEY_MIN_PASSPHRASE);
        return false;
    }
    if (rekey->passphrase_fd >= 0) {
        return true;
    }
    struct seal_bytes again = {0};
    if (!seal_read_passphrase(cli, -1, "Once more: ", &again)) {
        return false;
    }
    bool is_same = again.len == out->len && memcmp(again.data, out->data, again.len) == 0;
    seal_bytes_fini(&again);
    if (!is_same) {
        (void)cli_fail(cli, CLI_USAGE, "the two passphrases differ; nothing was changed");
    }
    return is_same;
}

static bool rekey_passphrase(struct rekey *rekey)
{
    struct seal_bytes passphrase = {0};
    bool is_begun =
        rekey_read_passphrase(rekey, &passphrase) && rekey_begin(rekey, &passphrase, rekey->to);
    seal_bytes_fini(&passphrase);
    return is_begun;
}

static bool rekey_credential(struct rekey *rekey)
{
    struct seal_bytes key = {0};
    if (!seal_read_file(rekey->cli, rekey->key_file, &key)) {
        return false;
    }
    bool is_begun = key.len == KEK_FILE_LEN;
    if (is_begun) {
        is_begun = rekey_begin(rekey, &key, rekey->to);
    } else {
        (void)cli_fail(rekey->cli, CLI_USAGE, "%s has %zu bytes, and a key-encryption key %zu",
                       rekey->key_file, key.len, KEK_FILE_LEN);
    }
    seal_bytes_fini(&key);
    return is_begun;
}

/* ---- All ---- */

static void rekey_print(const struct rekey *rekey, const char *source, bool is_finished)
{
    bool is_same = strcmp(source, rekey->keystore->source) == 0;
    if (rekey->cli->json) {
        cli_print_json(json_pack("{s:s, s:I, s:b}", "source", source, "num_keys",
                                 (json_int_t)rekey->num_keys, "finished", is_finished));
        return;
    }
    char *safe = cli_escape(source, strlen(source));
    if (is_finished && strcmp(source, REKEY_PASSPHRASE) == 0) {
        (void)printf("Only the new passphrase opens the keystore now.\n");
    } else if (is_finished) {
        (void)printf("Only what %s holds now opens the keystore.\n", safe);
    } else {
        (void)printf("Both the old and the new key-encryption key open the keystore now. To end "
                     "this:\n");
        if (is_same) {
            (void)printf("  1. put the new one where %s finds it\n", safe);
        } else {
            /* YAML takes a text that ends in a colon for a key. */
            (void)printf("  1. in signet.yaml, set keystore.key to \"%s\"\n", safe);
        }
        (void)printf("  2. restart signetd\n"
                     "  3. signet keystore rekey --finish\n");
    }
    free(safe);
}

/* *is_finished: nothing is left to do. */
static bool rekey_to(struct rekey *rekey, bool *is_finished)
{
    const char *path = rekey_rest(rekey->to, REKEY_FILE);
    bool is_same = strcmp(rekey->to, rekey->keystore->source) == 0;
    *is_finished = false;
    if (path != NULL && is_same) {
        *is_finished = rekey_same_file(rekey, path);
        return *is_finished;
    }
    if (path != NULL) {
        return rekey_other_file(rekey, path);
    }
    if (rekey_rest(rekey->to, REKEY_CREDENTIAL) != NULL) {
        return rekey_credential(rekey);
    }
    /* A passphrase is nowhere but in the operator's head: the next start asks for the new one. */
    *is_finished = is_same;
    return rekey_passphrase(rekey) && (!is_same || rekey_end(rekey));
}

static enum cli_exit rekey_do(struct rekey *rekey)
{
    struct cli *cli = rekey->cli;
    if (!cli_admin_connect(cli, &rekey->client) || !rekey_ask_keystore(rekey)) {
        return cli->exit;
    }
    const char *present = rekey->keystore->source;
    if (rekey->finish && !rekey->keystore->rekeying) {
        return cli_fail(cli, CLI_USAGE,
                        "there is nothing to finish: only what %s holds opens the keystore",
                        present);
    }
    bool is_finished = true;
    bool is_done = rekey->finish ? rekey_end(rekey)
                                 : (!rekey->keystore->rekeying || rekey_settle(rekey)) &&
                                       rekey_to(rekey, &is_finished);
    if (!is_done) {
        if (!rekey->finish && cli->exit == CLI_UNREACHABLE) {
            cli_warn(
                "what %s holds opens the keystore, as before; the same command takes the change "
                "up again",
                present);
        }
        return cli->exit;
    }
    rekey_print(rekey, rekey->finish ? present : rekey->to, is_finished);
    return CLI_GOOD;
}

static enum cli_exit rekey_run(struct cli *cli, int argc, char **argv)
{
    struct rekey rekey = {.cli = cli, .passphrase_fd = -1};
    if (!rekey_read_options(&rekey, argc, argv)) {
        return cli->exit;
    }
    enum cli_exit exit = rekey_do(&rekey);
    if (rekey.keystore != NULL) {
        signet__v1__get_keystore_response__free_unpacked(rekey.keystore, NULL);
    }
    signet_client_free(rekey.client);
    return exit;
}

const struct cli_command seal_rekey = {
    .name = cli_rekey_name,
    .synopsis = cli_rekey_synopsis,
    .summary = cli_rekey_summary,
    .help = cli_rekey_help,
    .run = rekey_run,
};
