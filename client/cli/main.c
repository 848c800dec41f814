/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet`: the table of commands, the options before the command, and help.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/program.h"

static const struct cli_command *const main_commands[] = {
    &cli_sign,        &cli_verify, &cli_revoke,   &cli_inspect, &cli_jwks,  &cli_keysets,
    &cli_revocations, &cli_key,    &cli_keystore, &cli_policy,  &cli_audit, &cli_reload,
    &cli_status,      &cli_stats,  &cli_metrics,  &cli_bench,   NULL,
};

static const char main_about[] =
    "Mints and checks JSON Web Tokens through signetd; no service ever sees a key.\n";

static void main_print_help(void)
{
    (void)printf("Usage: signet COMMAND ...\n\n%s\n", main_about);
    for (size_t i = 0; main_commands[i] != NULL; i++) {
        (void)printf("  %-11s %s\n", main_commands[i]->name, main_commands[i]->summary);
    }
    (void)printf("  %-11s what a command does and takes\n", "help");
    (void)printf("\n%s\n%s", cli_help_options, cli_help_exits);
}

void cli_print_help(const struct cli_command *command)
{
    if (command == NULL || command->help == NULL) {
        main_print_help();
        return;
    }
    cli_print_command_help(command);
}

/* The command, or that of its subcommands, whose name's last word this is; NULL if there is none. */
static const struct cli_command *main_find(const struct cli_command *const *commands,
                                           const char *word)
{
    for (; commands != NULL && *commands != NULL; commands++) {
        const char *space = strrchr((*commands)->name, ' ');
        if (strcmp(space != NULL ? space + 1 : (*commands)->name, word) == 0) {
            return *commands;
        }
    }
    return NULL;
}

static enum cli_exit main_unknown(struct cli *cli, const char *name)
{
    if (cli->command != NULL && cli->command->subcommands != NULL) {
        return cli_usage(cli, "unknown command '%s %s'", cli->command->name, name);
    }
    return cli_fail(cli, CLI_USAGE, "unknown command '%s'; 'signet help' lists them", name);
}

/* argv[0] is the last word of the command's name. */
static enum cli_exit main_run_command(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    while (cli->command->subcommands != NULL) {
        optind = 0; /* getopt starts anew, on another argv */
        /* Stops at the subcommand, whose options are its own. */
        if (cli_next_option(cli, argc, argv, "+", options) != CLI_OPTIONS_DONE) {
            return cli->exit;
        }
        if (optind >= argc) {
            return cli_usage(cli, "%s what?", cli->command->name);
        }
        const struct cli_command *found = main_find(cli->command->subcommands, argv[optind]);
        if (found == NULL) {
            return main_unknown(cli, argv[optind]);
        }
        cli->command = found;
        argc -= optind;
        argv += optind;
    }
    optind = 0;
    return cli->command->program != NULL ? cli_run_program(cli, argc, argv)
                                         : cli->command->run(cli, argc, argv);
}

static enum cli_exit help_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE) {
        return cli->exit;
    }
    if (!cli_arguments(cli, argc, argv, 0, 2, &arguments)) {
        return cli->exit;
    }
    const struct cli_command *const *among = main_commands;
    cli->command = NULL;
    for (; *arguments != NULL && strcmp(*arguments, "help") != 0; arguments++) {
        const struct cli_command *found = main_find(among, *arguments);
        if (found == NULL) {
            return main_unknown(cli, *arguments);
        }
        cli->command = found;
        among = found->subcommands;
    }
    if (cli->command != NULL && cli->command->help == NULL) {
        return cli_program_help(cli);
    }
    cli_print_help(cli->command);
    return CLI_GOOD;
}

static const struct cli_command cli_help = {
    .name = "help", .synopsis = "[COMMAND [SUBCOMMAND]]", .run = help_run};

static enum cli_exit main_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"version", no_argument, NULL, CLI_OPTION_VERSION},
        CLI_COMMON_OPTIONS,
    };
    /* Stops at the command, whose options are its own. */
    switch (cli_next_option(cli, argc, argv, "+", options)) {
    case CLI_OPTION_VERSION:
        (void)printf("signet %s\n", signet_version());
        return CLI_GOOD;
    case CLI_OPTIONS_DONE:
        break;
    default:
        return cli->exit;
    }

    if (optind >= argc) {
        return cli_fail(cli, CLI_USAGE, "no command; 'signet help' lists them");
    }
    const char *name = argv[optind];
    cli->command = strcmp(name, "help") == 0 ? &cli_help : main_find(main_commands, name);
    if (cli->command == NULL) {
        return main_unknown(cli, name);
    }
    return main_run_command(cli, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
    struct cli cli = {.exit = CLI_GOOD};
    enum cli_exit exit = argc < 1 ? CLI_USAGE : main_run(&cli, argc, argv);
    /* What could not be written was not said. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit == CLI_GOOD) {
        return (int)cli_fail(&cli, CLI_FAILED, "cannot write to standard output: %s",
                             strerrordesc_np(errno));
    }
    return (int)exit;
}
