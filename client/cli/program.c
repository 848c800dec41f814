/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the program that carries a command out, and becoming it.
 */
#include "client/cli/program.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/output.h"

/* What this process adds to the arguments: the path, the word, --address and --timeout with their
 * values, --json, and the NULL at the end. */
#define PROGRAM_MAX_OWN 8

struct program_arguments {
    const char **list; /* the first is the path of the program */
    size_t num;
    char timeout[32];
};

static void program_add(struct program_arguments *arguments, const char *argument)
{
    arguments->list[arguments->num++] = argument;
}

/* Whether text is this option of one value; *takes_next: the value is the argument behind it. */
static bool program_is_option(const char *text, const char *option, bool *takes_next)
{
    size_t len = strlen(option);
    if (strncmp(text, option, len) != 0 || (text[len] != '\0' && text[len] != '=')) {
        return false;
    }
    *takes_next = text[len] == '\0';
    return true;
}

/* Every command takes --address and --timeout; a program that calls nobody does not know them. */
static void program_add_given(struct program_arguments *arguments, bool is_offline, int argc,
                              char **argv)
{
    bool options = is_offline;
    for (int i = 1; i < argc; i++) {
        bool takes_next = false;
        options = options && strcmp(argv[i], "--") != 0;
        if (options && (program_is_option(argv[i], "--address", &takes_next) ||
                        program_is_option(argv[i], "--timeout", &takes_next))) {
            i += takes_next ? 1 : 0;
            continue;
        }
        program_add(arguments, argv[i]);
    }
}

static void program_add_options(const struct cli *cli, struct program_arguments *arguments)
{
    if (!cli->command->is_offline && cli->address != NULL) {
        program_add(arguments, "--address");
        program_add(arguments, cli->address);
    }
    if (!cli->command->is_offline && cli->timeout_ms != 0) {
        (void)snprintf(arguments->timeout, sizeof(arguments->timeout), "%" PRIu32 "ms",
                       cli->timeout_ms);
        program_add(arguments, "--timeout");
        program_add(arguments, arguments->timeout);
    }
    if (cli->json) {
        program_add(arguments, "--json");
    }
}

/* The directory of this program; empty if the kernel does not say. */
static void program_own_dir(char *out, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", out, cap - 1);
    out[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
}

static enum cli_exit program_become(struct cli *cli, struct program_arguments *arguments)
{
    static const char *const places[] = {"/" SG_LIBEXEC "/", "/"};
    char dir[PATH_MAX];
    char paths[2][PATH_MAX + 64];
    const char *name = cli->command->program;
    program_own_dir(dir, sizeof(dir));
    (void)fflush(stdout);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "%s%s%s", dir, places[i], name);
        arguments->list[0] = paths[i];
        /* execv changes none of them; its type is older than const. */
        (void)execv(paths[i], (char *const *)(uintptr_t)arguments->list);
        if (errno != ENOENT && errno != ENOTDIR) {
            return cli_fail(cli, CLI_FAILED, "cannot run %s: %s", paths[i], strerrordesc_np(errno));
        }
    }
    return cli_fail(cli, CLI_FAILED,
                    "%s, which carries out 'signet %s', is at neither %s nor %s; it is installed "
                    "together with signet: install it again",
                    name, cli->command->name, paths[0], paths[1]);
}

enum cli_exit cli_run_program(struct cli *cli, int argc, char **argv)
{
    struct program_arguments arguments = {.num = 1};
    arguments.list = cli_must(calloc((size_t)argc + PROGRAM_MAX_OWN, sizeof(arguments.list[0])));
    program_add(&arguments, argv[0]);
    program_add_options(cli, &arguments);
    program_add_given(&arguments, cli->command->is_offline, argc, argv);
    enum cli_exit exit = program_become(cli, &arguments);
    free(arguments.list);
    return exit;
}

enum cli_exit cli_program_help(struct cli *cli)
{
    char help[] = "--help";
    const char *space = strrchr(cli->command->name, ' ');
    char *word = cli_must(strdup(space != NULL ? space + 1 : cli->command->name));
    char *argv[] = {word, help, NULL};
    enum cli_exit exit = cli_run_program(cli, 2, argv);
    free(word);
    return exit;
}
