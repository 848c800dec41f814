/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet keystore`: where keys live.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "signet/v1/key.pb-c.h"

static void keystore_row(struct cli_table *table, const char *name, const char *value)
{
    const char *cells[] = {name, value};
    cli_table_row(table, cells);
}

static void keystore_print(const Signet__V1__GetKeystoreResponse *keystore)
{
    char keys[64];
    struct cli_table *table = cli_table_new(2);
    (void)snprintf(keys, sizeof(keys), "%" PRIu32, keystore->num_keys);
    if (!keystore->persistent) {
        keystore_row(table, "keystore", "none: keys are in memory only, and end with the daemon");
        keystore_row(table, "keys", keys);
    } else {
        (void)snprintf(keys, sizeof(keys), "%" PRIu32 ", and %" PRIu32 " damaged%s",
                       keystore->num_keys, keystore->num_damaged,
                       keystore->num_damaged > 0 ? ": see 'signet key list'" : "");
        keystore_row(table, "directory", keystore->directory);
        keystore_row(table, "key from", keystore->source);
        keystore_row(table, "keys", keys);
        keystore_row(table, "rekeying",
                     keystore->rekeying
                         ? "yes: the old and the new key-encryption key open it; see "
                           "'signet help keystore rekey'"
                         : "no");
    }
    cli_table_print(table, "", false);
    cli_table_free(table);
}

static void keystore_print_json(const Signet__V1__GetKeystoreResponse *keystore)
{
    cli_print_json(json_pack("{s:b, s:s, s:s, s:I, s:I, s:b}", "persistent", keystore->persistent,
                             "directory", keystore->directory, "source", keystore->source,
                             "num_keys", (json_int_t)keystore->num_keys, "num_damaged",
                             (json_int_t)keystore->num_damaged, "rekeying", keystore->rekeying));
}

static enum cli_exit keystore_status_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    Signet__V1__GetKeystoreRequest request = SIGNET__V1__GET_KEYSTORE_REQUEST__INIT;
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments) || !cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    Signet__V1__GetKeystoreResponse *keystore = (Signet__V1__GetKeystoreResponse *)cli_admin_call(
        cli, client, SG_METHOD_GET_KEYSTORE, &request.base,
        &signet__v1__get_keystore_response__descriptor, 0);
    signet_client_free(client);
    if (keystore == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        keystore_print_json(keystore);
    } else {
        keystore_print(keystore);
    }
    signet__v1__get_keystore_response__free_unpacked(keystore, NULL);
    return CLI_GOOD;
}

static const struct cli_command keystore_status = {
    .name = "keystore status",
    .synopsis = "",
    .summary = "where keys live, and what opens it",
    .help =
        "Says where the keystore is, where its key-encryption key comes from, how many keys are in it,\n"
        "and whether a change of the key-encryption key was begun and not ended.\n"
        "With --json: {\"persistent\", \"directory\", \"source\", \"num_keys\", \"num_damaged\", \"rekeying\"}.\n",
    .run = keystore_status_run,
};

static const struct cli_command keystore_rekey = {
    .name = cli_rekey_name,
    .synopsis = cli_rekey_synopsis,
    .summary = cli_rekey_summary,
    .help = cli_rekey_help,
    .program = "signet-seal",
};

static const struct cli_command keystore_init = {
    .name = "keystore init",
    .summary = "make a keystore",
    .program = "signet-keystore",
    .is_offline = true,
};

static const struct cli_command keystore_backup = {
    .name = "keystore backup",
    .summary = "write the keystore to one sealed file",
    .program = "signet-keystore",
    .is_offline = true,
};

static const struct cli_command keystore_restore = {
    .name = "keystore restore",
    .summary = "bring back what a backup holds",
    .program = "signet-keystore",
    .is_offline = true,
};

static const struct cli_command *const keystore_commands[] = {
    &keystore_status, &keystore_rekey, &keystore_init, &keystore_backup, &keystore_restore, NULL};

const struct cli_command cli_keystore = {
    .name = "keystore",
    .synopsis = "COMMAND ...",
    .summary = "look after the encrypted store of keys",
    .help =
        "For operators: the encrypted keystore. 'status' and 'rekey' call the daemon, on the operators'\n"
        "socket (see 'signet help key'); the others work on the files, without it.\n",
    .subcommands = keystore_commands,
};
