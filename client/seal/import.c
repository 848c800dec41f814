/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet key import`: from a key file to the keyholder.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/admin.h"
#include "client/cli/key_text.h"
#include "client/cli/output.h"
#include "client/seal/commands.h"
#include "client/seal/daemon.h"
#include "client/seal/input.h"
#include "client/seal/key_file.h"
#include "common/rpc.h"
#include "common/seal/seal.h"

enum import_option {
    IMPORT_PEM = CLI_OPTION_OWN,
    IMPORT_JWK,
    IMPORT_JWKS,
    IMPORT_SECRET,
    IMPORT_ALG,
    IMPORT_KID,
    IMPORT_VERIFY_ONLY,
    IMPORT_UNTIL,
    IMPORT_NOW,
    IMPORT_PASSPHRASE_FD
};

struct import {
    struct cli *cli;
    struct signet_client *client;
    /* What was asked for. */
    const char *keyset, *path, *kid;
    enum key_file_form form;
    enum sg_alg alg; /* UNSET: the JWK's, else the keyset's */
    bool verify_only, now;
    int64_t until;
    int passphrase_fd; /* -1: the terminal */
    /* What came of it. */
    enum sg_alg keyset_alg;
    struct key_file file;
    json_t *imported; /* an array */
};

/* ---- Options ---- */

static bool import_take_file(struct import *import, enum key_file_form form, const char *path)
{
    if (import->path != NULL) {
        (void)cli_usage(import->cli, "one file at a time: '%s' and '%s'", import->path, path);
        return false;
    }
    import->form = form;
    import->path = path;
    return true;
}

static bool import_take_alg(struct import *import, const char *name)
{
    import->alg = sg_alg_from_name(name, strlen(name));
    if (import->alg == SG_ALG_UNSET) {
        (void)cli_usage(import->cli, "there is no algorithm '%s'", name);
        return false;
    }
    return true;
}

static bool import_take_kid(struct import *import, const char *kid)
{
    if (kid[0] == '\0' || strlen(kid) > SG_MAX_KID_LEN) {
        (void)cli_usage(import->cli, "--kid takes 1 to %u bytes", SG_MAX_KID_LEN);
        return false;
    }
    import->kid = kid;
    return true;
}

static bool import_read_option(struct import *import, int option)
{
    switch (option) {
    case IMPORT_PEM:
        return import_take_file(import, KEY_FILE_PEM, optarg);
    case IMPORT_JWK:
        return import_take_file(import, KEY_FILE_JWK, optarg);
    case IMPORT_JWKS:
        return import_take_file(import, KEY_FILE_JWKS, optarg);
    case IMPORT_SECRET:
        return import_take_file(import, KEY_FILE_SECRET, optarg);
    case IMPORT_ALG:
        return import_take_alg(import, optarg);
    case IMPORT_KID:
        return import_take_kid(import, optarg);
    case IMPORT_VERIFY_ONLY:
        import->verify_only = true;
        return true;
    case IMPORT_UNTIL:
        return cli_read_time(import->cli, "--until", optarg, &import->until);
    case IMPORT_NOW:
        import->now = true;
        return true;
    case IMPORT_PASSPHRASE_FD:
        return cli_read_descriptor(import->cli, "--passphrase-fd", optarg, &import->passphrase_fd);
    default:
        return false; /* help, or a complaint */
    }
}

static bool import_check_options(const struct import *import)
{
    if (import->path == NULL) {
        (void)cli_usage(import->cli, "which key? --pem, --jwk, --jwks or --secret FILE, or - for "
                                     "standard input");
    } else if (import->until != 0 && !import->verify_only) {
        (void)cli_usage(import->cli, "--until is for --verify-only; another key ends by rotation");
    } else if (import->now && import->verify_only) {
        (void)cli_usage(import->cli, "--now and --verify-only exclude each other");
    } else if (strcmp(import->path, "-") == 0 && import->passphrase_fd == 0) {
        (void)cli_usage(import->cli, "standard input cannot be both the key and its passphrase");
    } else {
        return true;
    }
    return false;
}

static bool import_read_options(struct import *import, int argc, char **argv)
{
    static const struct option options[] = {
        {"pem", required_argument, NULL, IMPORT_PEM},
        {"jwk", required_argument, NULL, IMPORT_JWK},
        {"jwks", required_argument, NULL, IMPORT_JWKS},
        {"secret", required_argument, NULL, IMPORT_SECRET},
        {"alg", required_argument, NULL, IMPORT_ALG},
        {"kid", required_argument, NULL, IMPORT_KID},
        {"verify-only", no_argument, NULL, IMPORT_VERIFY_ONLY},
        {"until", required_argument, NULL, IMPORT_UNTIL},
        {"now", no_argument, NULL, IMPORT_NOW},
        {"passphrase-fd", required_argument, NULL, IMPORT_PASSPHRASE_FD},
        CLI_COMMON_OPTIONS,
    };
    struct cli *cli = import->cli;
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!import_read_option(import, option)) {
            return false;
        }
    }
    if (!cli_arguments(cli, argc, argv, 1, 2, &arguments)) {
        return false;
    }
    import->keyset = arguments[0];
    if (arguments[1] != NULL && !import_take_file(import, KEY_FILE_GUESS, arguments[1])) {
        return false;
    }
    return import_check_options(import);
}

/* ---- What the keyset allows ---- */

static bool import_find_keyset(struct import *import, const Signet__V1__ListKeysetsResponse *list)
{
    for (size_t i = 0; i < list->n_keysets; i++) {
        if (strcmp(list->keysets[i]->name, import->keyset) == 0) {
            const char *alg = list->keysets[i]->alg;
            import->keyset_alg = sg_alg_from_name(alg, strlen(alg));
            if (import->keyset_alg == SG_ALG_UNSET) {
                (void)cli_fail(import->cli, CLI_FAILED,
                               "signetd's keyset '%s' is of %s, which this signet does not know; "
                               "is it older?",
                               import->keyset, alg);
            }
            return import->keyset_alg != SG_ALG_UNSET;
        }
    }
    (void)cli_fail(import->cli, CLI_USAGE, "there is no keyset '%s'; 'signet keysets' lists them",
                   import->keyset);
    return false;
}

/* The first call, so that nobody is asked for a passphrase while there is no daemon. */
static bool import_ask_keyset(struct import *import)
{
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    Signet__V1__ListKeysetsResponse *list = (Signet__V1__ListKeysetsResponse *)cli_admin_call(
        import->cli, import->client, SG_METHOD_LIST_KEYSETS, &request.base,
        &signet__v1__list_keysets_response__descriptor, 0);
    if (list == NULL) {
        return false;
    }
    bool is_found = import_find_keyset(import, list);
    signet__v1__list_keysets_response__free_unpacked(list, NULL);
    return is_found;
}

/* A keyset signs with its own algorithm only. */
static bool import_check_alg(const struct import *import, enum sg_alg alg)
{
    if (alg == import->keyset_alg || import->verify_only) {
        return true;
    }
    (void)cli_fail(import->cli, CLI_USAGE,
                   "keyset '%s' signs with %s, and this key is for %s: it can be imported with "
                   "--verify-only, to accept its tokens",
                   import->keyset, sg_alg_info(import->keyset_alg)->config_name,
                   sg_alg_info(alg)->config_name);
    return false;
}

static bool import_check_keys(const struct import *import)
{
    const struct key_file *file = &import->file;
    if (file->num_keys > 1 && !import->verify_only) {
        (void)cli_fail(
            import->cli, CLI_USAGE,
            "there are %zu keys in %s, and one signs: import them with --verify-only, or "
            "the one that is to sign by itself",
            file->num_keys, import->path);
        return false;
    }
    if (file->num_keys > 1 && import->kid != NULL) {
        (void)cli_fail(import->cli, CLI_USAGE, "there are %zu keys in %s, and --kid names one",
                       file->num_keys, import->path);
        return false;
    }
    for (size_t i = 0; i < file->num_keys; i++) {
        if (!import_check_alg(import, file->keys[i].alg)) {
            return false;
        }
    }
    return true;
}

/* ---- Reading the file ---- */

static bool import_ask_passphrase(void *context, struct seal_bytes *out)
{
    const struct import *import = context;
    char *prompt = NULL;
    char *path = cli_escape(import->path, strlen(import->path));
    int len = asprintf(&prompt, "Passphrase of %s: ", path);
    (void)cli_must(len < 0 ? NULL : prompt);
    bool is_read = seal_read_passphrase(import->cli, import->passphrase_fd, prompt, out);
    free(prompt);
    free(path);
    return is_read;
}

static bool import_read_file(struct import *import)
{
    const struct key_file_options options = {
        .form = import->form,
        .alg = import->alg,
        .default_alg = import->keyset_alg,
        .ask = import_ask_passphrase,
        .ask_context = import,
    };
    struct seal_bytes bytes = {0};
    struct key_file_error error;
    if (!seal_read_file(import->cli, import->path, &bytes)) {
        return false;
    }
    bool is_read = key_file_read(&options, bytes.data, bytes.len, &import->file, &error);
    seal_bytes_fini(&bytes);
    seal_wipe_stack();
    if (!is_read && !import->file.asked_in_vain) {
        (void)cli_fail(import->cli, CLI_USAGE, "%s: %s",
                       strcmp(import->path, "-") == 0 ? "standard input" : import->path,
                       error.message);
    }
    if (is_read && import->file.ends_with_newline) {
        cli_warn("the last byte of %s is a line end, and is taken as a part of the secret, like "
                 "every other; if it is not, revoke this key, and write the file without it",
                 import->path);
    }
    return is_read;
}

/* ---- Sending ---- */

static void import_print(const struct import *import, const Signet__V1__Key *key)
{
    char text[128];
    char until[CLI_TIME_CAP];
    char *kid = cli_escape(key->kid, strlen(key->kid));
    cli_key_time(key->verify_until, until);
    if (!key->verify_only) {
        cli_key_signs(key, cli_now(), text, sizeof(text));
    } else if (key->verify_until != 0) {
        (void)snprintf(text, sizeof(text), "verifies until %s", until);
    } else {
        (void)snprintf(text, sizeof(text), "verifies until it is revoked");
    }
    (void)printf("%s: key %s was imported for %s, and %s\n", import->keyset, kid, key->alg, text);
    free(kid);
}

static enum cli_exit import_answered(struct import *import, Signet__V1__ImportKeyResponse *response)
{
    if (response->key == NULL) {
        return cli_fail(import->cli, CLI_UNREACHABLE,
                        "signetd's answer names no key; is it signetd?");
    }
    if (import->cli->json) {
        (void)json_array_append_new(import->imported, cli_key_json(response->key));
    } else {
        import_print(import, response->key);
    }
    return CLI_GOOD;
}

static enum cli_exit import_send(struct import *import, const struct key_file_key *key)
{
    Signet__V1__ImportKeyRequest request = SIGNET__V1__IMPORT_KEY_REQUEST__INIT;
    if (!seal_for_keyholder(import->cli, import->client, SG_SEAL_FOR_IMPORT, &key->bytes,
                            &request.sealed)) {
        return import->cli->exit;
    }
    request.keyset = seal_wire_text(import->keyset);
    request.alg = seal_wire_text(sg_alg_info(key->alg)->config_name);
    request.kid = seal_wire_text(import->kid != NULL ? import->kid : key->kid);
    request.verify_only = import->verify_only;
    request.verify_until = import->until;
    request.now = import->now;
    Signet__V1__ImportKeyResponse *response = (Signet__V1__ImportKeyResponse *)cli_admin_call(
        import->cli, import->client, SG_METHOD_IMPORT_KEY, &request.base,
        &signet__v1__import_key_response__descriptor, CLI_ADMIN_SLOW_MS);
    free(request.sealed.data);
    if (response == NULL) {
        return import->cli->exit;
    }
    enum cli_exit exit = import_answered(import, response);
    signet__v1__import_key_response__free_unpacked(response, NULL);
    return exit;
}

/* Every key of the file, also behind one that is refused; the last failure is the exit status. */
static enum cli_exit import_send_all(struct import *import)
{
    enum cli_exit exit = CLI_GOOD;
    for (size_t i = 0; i < import->file.num_keys; i++) {
        enum cli_exit one = import_send(import, &import->file.keys[i]);
        exit = one != CLI_GOOD ? one : exit;
    }
    return exit;
}

static void import_tell_skipped(const struct import *import)
{
    for (size_t i = 0; !import->cli->json && i < import->file.num_skipped; i++) {
        const struct key_file_skipped *skipped = &import->file.skipped[i];
        cli_warn("key %zu of the set was left out: %s", skipped->index + 1, skipped->error.message);
    }
}

static void import_print_json(const struct import *import)
{
    json_t *skipped = cli_must(json_array());
    for (size_t i = 0; i < import->file.num_skipped; i++) {
        json_t *one = json_pack("{s:I, s:s}", "index", (json_int_t)import->file.skipped[i].index,
                                "reason", import->file.skipped[i].error.message);
        (void)json_array_append_new(skipped, cli_must(one));
    }
    if (import->file.form == KEY_FILE_JWKS) {
        cli_print_json(json_pack("{s:O, s:o}", "keys", import->imported, "skipped", skipped));
        return;
    }
    json_decref(skipped);
    cli_print_json(json_pack("{s:O}", "key", json_array_get(import->imported, 0)));
}

/* ---- All ---- */

static enum cli_exit import_do(struct import *import)
{
    if (!cli_admin_connect(import->cli, &import->client) || !import_ask_keyset(import) ||
        (import->alg != SG_ALG_UNSET && !import_check_alg(import, import->alg)) ||
        !import_read_file(import) || !import_check_keys(import)) {
        return import->cli->exit;
    }
    import_tell_skipped(import);
    enum cli_exit exit = import_send_all(import);
    if (import->cli->json && json_array_size(import->imported) > 0) {
        import_print_json(import);
    }
    return exit;
}

static enum cli_exit import_run(struct cli *cli, int argc, char **argv)
{
    struct import import = {.cli = cli, .passphrase_fd = -1};
    if (!import_read_options(&import, argc, argv)) {
        return cli->exit;
    }
    import.imported = cli_must(json_array());
    enum cli_exit exit = import_do(&import);
    json_decref(import.imported);
    key_file_fini(&import.file);
    signet_client_free(import.client);
    return exit;
}

const struct cli_command seal_import = {
    .name = cli_import_name,
    .synopsis = cli_import_synopsis,
    .summary = cli_import_summary,
    .help = cli_import_help,
    .run = import_run,
};
