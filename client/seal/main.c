/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-seal: `signet key import` and `signet keystore rekey`. It alone of the operators' programs sees
 * keys: it reads them, seals them to the keyholder, and wipes them. Run by `signet`, never by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/seal/commands.h"
#include "client/seal/wipe.h"

static const struct cli_command *const main_commands[] = {&seal_import, &seal_rekey, NULL};

void cli_print_help(const struct cli_command *command)
{
    if (command == NULL) {
        (void)puts("signet-seal carries out 'signet key import' and 'signet keystore rekey'.");
        return;
    }
    cli_print_command_help(command);
}

/* The command whose name's last word this is; NULL if there is none. */
static const struct cli_command *main_find(const char *word)
{
    for (size_t i = 0; main_commands[i] != NULL; i++) {
        const char *space = strrchr(main_commands[i]->name, ' ');
        if (space != NULL && strcmp(space + 1, word) == 0) {
            return main_commands[i];
        }
    }
    return NULL;
}

static enum cli_exit main_run(struct cli *cli, int argc, char **argv)
{
    if (!seal_harden()) {
        return cli_fail(cli, CLI_FAILED, "cannot protect this process's memory: %s",
                        strerrordesc_np(errno));
    }
    cli->command = argc > 1 ? main_find(argv[1]) : NULL;
    if (cli->command == NULL) {
        return cli_fail(cli, CLI_USAGE,
                        "signet-seal is run by 'signet key import' and 'signet keystore rekey'");
    }
    return cli->command->run(cli, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    struct cli cli = {.exit = CLI_GOOD};
    enum cli_exit exit = main_run(&cli, argc, argv);
    /* What could not be written was not said. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit == CLI_GOOD) {
        return (int)cli_fail(&cli, CLI_FAILED, "cannot write to standard output: %s",
                             strerrordesc_np(errno));
    }
    return (int)exit;
}
