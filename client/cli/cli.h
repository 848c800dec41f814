/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of `signet` share: what every command is given, how one is described, and the
 * exit statuses. The command line is an application: it may print and exit, unlike the library.
 */
#ifndef SG_CLI_H
#define SG_CLI_H

#include <getopt.h>
#include <signet/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; part of the interface, documented in main.c and signet(1). */
enum cli_exit {
    CLI_GOOD = 0,
    CLI_REFUSED = 1,     /* the token was judged, or read, and is not good */
    CLI_USAGE = 2,       /* the request has to be mended */
    CLI_UNREACHABLE = 3, /* no answer from the daemon: retry, start it, or name another address */
    CLI_FAILED = 4       /* anything else */
};

struct cli;

/* A command either runs here, or has subcommands, or is run by another program. */
struct cli_command {
    const char *name;     /* of a subcommand with that of its command before it: "key list" */
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line, for the list of commands */
    const char *help;     /* whole lines, for `signet help NAME`; NULL: the program prints it */
    enum cli_exit (*run)(struct cli *cli, int argc,
                         char **argv);            /* argv[0] is the name's last word */
    const struct cli_command *const *subcommands; /* NULL ends them */
    const char *program;                          /* see program.h */
    bool is_offline; /* of one with a program: it does not call the daemon */
};

/* What every command is given. */
struct cli {
    const struct cli_command *command;
    const char *address; /* NULL: the library's default */
    int64_t server_uid;  /* the uid that the daemon must run under; 0: the library's default */
    uint32_t timeout_ms; /* 0: the library's default */
    bool json;
    enum cli_exit exit; /* with which to end when options could not be read or asked for help */
};

extern const struct cli_command cli_sign;
extern const struct cli_command cli_verify;
extern const struct cli_command cli_inspect;
extern const struct cli_command cli_jwks;
extern const struct cli_command cli_keysets;
extern const struct cli_command cli_key;
extern const struct cli_command cli_keystore;
extern const struct cli_command cli_policy;
extern const struct cli_command cli_revoke;
extern const struct cli_command cli_revocations;
extern const struct cli_command cli_audit;
extern const struct cli_command cli_reload;
extern const struct cli_command cli_status;
extern const struct cli_command cli_stats;
extern const struct cli_command cli_metrics;
extern const struct cli_command cli_bench;

/* ---- Help (help.c) ---- */

extern const char cli_help_options[];
extern const char cli_help_exits[];

/* cli_print_command_help prints the help of a command that has one. */
void cli_print_command_help(const struct cli_command *command);

/* cli_print_help prints the help of a command; NULL: of the program. (main.c of each program) */
void cli_print_help(const struct cli_command *command);

/* The words about the commands that signet-seal carries out, for both programs. */
extern const char cli_import_name[];
extern const char cli_import_synopsis[];
extern const char cli_import_summary[];
extern const char cli_import_help[];
extern const char cli_rekey_name[];
extern const char cli_rekey_synopsis[];
extern const char cli_rekey_summary[];
extern const char cli_rekey_help[];

/* ---- Options (options.c) ---- */

/* Values of options that every command takes; above those of characters. */
enum cli_option {
    CLI_OPTION_ADDRESS = 0x100,
    CLI_OPTION_TIMEOUT,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_OPTION_VERSION,
    CLI_OPTION_OWN /* the first that a command may use for itself */
};

/* Ends the table of every command. */
#define CLI_COMMON_OPTIONS                                                                         \
    {"address", required_argument, NULL, CLI_OPTION_ADDRESS},                                      \
        {"timeout", required_argument, NULL, CLI_OPTION_TIMEOUT},                                  \
        {"json", no_argument, NULL, CLI_OPTION_JSON},                                              \
        {"help", no_argument, NULL, CLI_OPTION_HELP},                                              \
    {                                                                                              \
        NULL, 0, NULL, 0                                                                           \
    }

/* What cli_next_option returns besides the value of one of the command's own options. */
#define CLI_OPTIONS_DONE  (-1)
#define CLI_OPTIONS_LEAVE (-2) /* help was printed, or a complaint: end with cli->exit */

/* cli_next_option reads options like getopt_long, handles the common ones itself, and complains of
 * unknown ones. flags: "" or getopt's "+", which stops at the first argument. */
int cli_next_option(struct cli *cli, int argc, char **argv, const char *flags,
                    const struct option *options);

/* cli_arguments checks that between least and most arguments are left after the options, and returns
 * the first (argv[argc], NULL, if there is none). False after a complaint. */
bool cli_arguments(struct cli *cli, int argc, char **argv, int least, int most, char ***out);

/* Readers of option values. False after a complaint that names the option. */
bool cli_read_seconds(struct cli *cli, const char *option, const char *text, uint32_t most,
                      uint32_t *out);
bool cli_read_milliseconds(struct cli *cli, const char *option, const char *text, uint32_t most,
                           uint32_t *out);
bool cli_read_count(struct cli *cli, const char *option, const char *text, uint32_t most,
                    uint32_t *out);
/* "2026-11-24T12:00:00Z", seconds since 1970, or "+10m" from now. */
bool cli_read_time(struct cli *cli, const char *option, const char *text, int64_t *out);
/* The number of an open descriptor. */
bool cli_read_descriptor(struct cli *cli, const char *option, const char *text, int *out);

/* An option that may be given several times. */
struct cli_strings {
    const char *items[32];
    size_t num;
};
bool cli_strings_add(struct cli *cli, const char *option, struct cli_strings *strings,
                     const char *item);

/* ---- Failing (options.c) ---- */

/* One line on standard error, "signet: ..."; control characters in it are escaped. Returns exit, and
 * sets cli->exit. */
enum cli_exit cli_fail(struct cli *cli, enum cli_exit exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* cli_warn says something on standard error that is no failure. */
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* cli_usage is cli_fail with CLI_USAGE that also says where the help is. */
enum cli_exit cli_usage(struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* cli_fail_call tells of a call that failed, and what would mend it. */
enum cli_exit cli_fail_call(struct cli *cli, const struct signet_error *error);

/* cli_exit_of says which exit status a call that failed leads to. */
enum cli_exit cli_exit_of(const struct signet_error *error);

/* ---- The client and the token (options.c, token_input.c) ---- */

/* cli_connect makes the client that the options describe. False after a complaint. */
bool cli_connect(struct cli *cli, struct signet_client **out);

/* A token as it was given. */
struct cli_token {
    const char *text;
    size_t len;
    char *read; /* what was read from standard input; owned; NULL if it was an argument */
};

/* cli_token_read takes the argument, or standard input if it is "-". One line end after the token is
 * dropped. Of a longer one than any token may be, just so much is read that it is too long. False
 * after a complaint. */
bool cli_token_read(struct cli *cli, const char *argument, struct cli_token *out);
void cli_token_free(struct cli_token *token);

#endif
