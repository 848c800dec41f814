/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet jwks`: the public keys.
 */
#include <jansson.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"

static enum cli_exit jwks_print(struct cli *cli, const char *text)
{
    json_error_t error;
    json_t *set = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (set == NULL) {
        return cli_fail(cli, CLI_FAILED, "the daemon's key set is not JSON: %s", error.text);
    }
    cli_print_json(set);
    return CLI_GOOD;
}

static enum cli_exit jwks_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct signet_client *client = NULL;
    struct signet_error error;
    char **arguments = NULL;
    char *text = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 1, &arguments) || !cli_connect(cli, &client)) {
        return cli->exit;
    }
    enum cli_exit exit = signet_jwks(client, arguments[0], 0, &text, &error) == SIGNET_OK
                             ? jwks_print(cli, text)
                             : cli_fail_call(cli, &error);
    signet_string_free(text);
    signet_client_free(client);
    return exit;
}

const struct cli_command cli_jwks = {
    .name = "jwks",
    .synopsis = "[KEYSET]",
    .summary = "print the public keys as a JWK Set",
    .help =
        "Prints the public keys of all keysets, or of one, as a JWK Set (RFC 7517) for verifiers\n"
        "on other hosts. Always JSON: indented on a terminal, else on one line. Keys of symmetric\n"
        "keysets are never in it.\n",
    .run = jwks_run,
};
