/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet`: the table of commands, the options before the command, and help.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"

static const struct cli_command *const main_commands[] = {
    &cli_sign, &cli_verify, &cli_inspect, &cli_jwks, &cli_keysets, &cli_status, &cli_bench,
};
#define MAIN_NUM_COMMANDS (sizeof(main_commands) / sizeof(main_commands[0]))

static const char main_about[] =
    "Mints and checks JSON Web Tokens through signetd, which alone holds the keys.\n";

static const char main_options[] =
    "Options, before or after the command:\n"
    "  --address ADDRESS  the daemon's socket, as ipc:///path or /path\n"
    "                     (default $SIGNET_ADDRESS, else " SIGNET_DEFAULT_ADDRESS ")\n"
    "  --timeout TIME     how long to wait for an answer, such as 500ms or 2s (default 2s)\n"
    "  --json             print JSON, for scripts\n"
    "  --help             what a command does and takes\n"
    "  --version\n";

static const char main_exits[] =
    "Exit status:\n"
    "  0  good\n"
    "  1  the token is refused, or cannot be decoded\n"
    "  2  usage, or a request that has to be mended\n"
    "  3  the daemon cannot be reached (it does not run, does not answer in\n"
    "     time, or its socket is not for this user), or is not to be trusted\n"
    "  4  anything else\n";

static void main_print_help(void)
{
    (void)printf("Usage: signet COMMAND ...\n\n%s\n", main_about);
    for (size_t i = 0; i < MAIN_NUM_COMMANDS; i++) {
        (void)printf("  %-9s %s\n", main_commands[i]->name, main_commands[i]->summary);
    }
    (void)printf("  %-9s what a command does and takes\n", "help");
    (void)printf("\n%s\n%s", main_options, main_exits);
}

void cli_print_help(const struct cli_command *command)
{
    if (command == NULL || command->help == NULL) {
        main_print_help();
        return;
    }
    (void)printf("Usage: signet %s%s%s\n\n%s\n%s\n%s", command->name,
                 command->synopsis[0] != '\0' ? " " : "", command->synopsis, command->help,
                 main_options, main_exits);
}

static const struct cli_command *main_find(const char *name)
{
    for (size_t i = 0; i < MAIN_NUM_COMMANDS; i++) {
        if (strcmp(main_commands[i]->name, name) == 0) {
            return main_commands[i];
        }
    }
    return NULL;
}

static enum cli_exit main_unknown(struct cli *cli, const char *name)
{
    return cli_fail(cli, CLI_USAGE, "unknown command '%s'; 'signet help' lists them", name);
}

static enum cli_exit help_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE) {
        return cli->exit;
    }
    if (!cli_arguments(cli, argc, argv, 0, 1, &arguments)) {
        return cli->exit;
    }
    const struct cli_command *command = NULL;
    if (arguments[0] != NULL && strcmp(arguments[0], "help") != 0) {
        command = main_find(arguments[0]);
        if (command == NULL) {
            return main_unknown(cli, arguments[0]);
        }
    }
    cli_print_help(command);
    return CLI_GOOD;
}

static const struct cli_command cli_help = {
    .name = "help", .synopsis = "[COMMAND]", .run = help_run};

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
    cli->command = strcmp(name, "help") == 0 ? &cli_help : main_find(name);
    if (cli->command == NULL) {
        return main_unknown(cli, name);
    }
    argc -= optind;
    argv += optind;
    optind = 0; /* getopt starts anew, on another argv */

    return cli->command->run(cli, argc, argv);
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
