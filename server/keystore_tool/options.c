/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of signet-keystore, which is that of `signet keystore init`, `backup` and `restore`.
 */
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/keystore_tool/tool.h"

#define TOOL_STATE_DIR "/var/lib/signet"
#define TOOL_SOURCE    "file:/etc/signet/keystore.key"

static const char tool_usage[] =
    "Usage: signet keystore init [--state-dir DIR] [--key SOURCE] [--owner USER]\n"
    "                            [--daemon-user USER]\n"
    "       signet keystore backup FILE [--to PEM] [--force] [--state-dir DIR] [--key SOURCE]\n"
    "       signet keystore restore FILE [--identity PEM] [--state-dir DIR] [--key SOURCE]\n"
    "\n"
    "The keystore without the daemon: makes one, writes it to one sealed file, brings keys back.\n"
    "\n"
    "  init     makes DIR/keys, and the key-encryption key if it is a file that is not there.\n"
    "           As root, both are given to the owner, or else to whoever has DIR, or else to the\n"
    "           user signet; and so is DIR, if it is not there. Where signet.yaml names a\n"
    "           keyholder.user, that is the owner, and DIR is the daemon's:\n"
    "             signet keystore init --owner signet-keys --daemon-user signet\n"
    "  backup   writes every key to FILE, sealed to the X25519 public key in PEM, or else under a\n"
    "           passphrase that is asked for. The daemon may go on. Such a pair of keys is made by\n"
    "             openssl genpkey -algorithm X25519 -out backup-private.pem\n"
    "             openssl pkey -in backup-private.pem -pubout -out backup-public.pem\n"
    "  restore  brings back every key of FILE that is not there, and touches none that is. The\n"
    "           daemon has to be stopped.\n"
    "\n"
    "  --state-dir DIR           the daemon's state_dir (default " TOOL_STATE_DIR ")\n"
    "  --key SOURCE              the daemon's keystore.key: file:PATH, credential:NAME or\n"
    "                            passphrase: (default " TOOL_SOURCE ")\n"
    "  --owner USER              whose the keys are: keyholder.user of signet.yaml, or, where it\n"
    "                            names none, the daemon's user\n"
    "  --daemon-user USER        whose DIR is, if not the owner's; it gets mode 0711, so that the\n"
    "                            owner can pass\n"
    "  --to PEM                  a file with the public key to seal to\n"
    "  --identity PEM            a file with its private key, of mode 0600 or 0400\n"
    "  --force                   replace FILE if it is there\n"
    "  --passphrase-fd N         read the keystore's passphrase from descriptor N\n"
    "  --backup-passphrase-fd N  read the backup's passphrase from descriptor N\n"
    "  --help                    print this, and exit\n"
    "\n"
    "Exit status: 0 done; 2 a mistake on the command line; 4 it could not be done, and why is\n"
    "printed.\n";

enum options_code {
    OPTIONS_STATE_DIR = 1,
    OPTIONS_KEY,
    OPTIONS_OWNER,
    OPTIONS_DAEMON_USER,
    OPTIONS_TO,
    OPTIONS_IDENTITY,
    OPTIONS_FORCE,
    OPTIONS_PASSPHRASE_FD,
    OPTIONS_BACKUP_PASSPHRASE_FD,
    OPTIONS_HELP
};

static const struct option options_table[] = {
    {"state-dir", required_argument, NULL, OPTIONS_STATE_DIR},
    {"key", required_argument, NULL, OPTIONS_KEY},
    {"owner", required_argument, NULL, OPTIONS_OWNER},
    {"daemon-user", required_argument, NULL, OPTIONS_DAEMON_USER},
    {"to", required_argument, NULL, OPTIONS_TO},
    {"identity", required_argument, NULL, OPTIONS_IDENTITY},
    {"force", no_argument, NULL, OPTIONS_FORCE},
    {"passphrase-fd", required_argument, NULL, OPTIONS_PASSPHRASE_FD},
    {"backup-passphrase-fd", required_argument, NULL, OPTIONS_BACKUP_PASSPHRASE_FD},
    {"help", no_argument, NULL, OPTIONS_HELP},
    {NULL, 0, NULL, 0},
};

enum tool_exit tool_fail(enum tool_exit exit_status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "signet: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    return exit_status;
}

static bool options_take_fd(const char *name, const char *text, int *out)
{
    char *end = NULL;
    long fd = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || fd > INT_MAX) {
        (void)tool_fail(TOOL_USAGE, "%s takes the number of an open descriptor", name);
        return false;
    }
    *out = (int)fd;
    return true;
}

/* False for what ends the program. */
static bool options_take(int code, struct tool_options *options, enum tool_exit *exit_status)
{
    *exit_status = TOOL_USAGE;
    switch (code) {
    case OPTIONS_STATE_DIR:
        options->state_dir = optarg;
        return true;
    case OPTIONS_KEY:
        options->source = optarg;
        return true;
    case OPTIONS_OWNER:
        options->owner = optarg;
        return true;
    case OPTIONS_DAEMON_USER:
        options->daemon_user = optarg;
        return true;
    case OPTIONS_TO:
        options->recipient = optarg;
        return true;
    case OPTIONS_IDENTITY:
        options->identity = optarg;
        return true;
    case OPTIONS_FORCE:
        options->may_replace = true;
        return true;
    case OPTIONS_PASSPHRASE_FD:
        return options_take_fd("--passphrase-fd", optarg, &options->passphrase_fd);
    case OPTIONS_BACKUP_PASSPHRASE_FD:
        return options_take_fd("--backup-passphrase-fd", optarg, &options->backup_passphrase_fd);
    case OPTIONS_HELP:
        (void)fputs(tool_usage, stdout);
        *exit_status = TOOL_GOOD;
        return false;
    default:
        (void)fputs("Try 'signet keystore init --help'.\n", stderr);
        return false; /* getopt has complained */
    }
}

static bool options_read_command(const char *name, enum tool_command *out)
{
    static const char *const names[] = {
        [TOOL_INIT] = "init", [TOOL_BACKUP] = "backup", [TOOL_RESTORE] = "restore"};
    for (size_t i = TOOL_INIT; i <= TOOL_RESTORE; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum tool_command)i;
            return true;
        }
    }
    return false;
}

static bool options_check(const struct tool_options *options, int num_left)
{
    const char *fault = NULL;
    int wanted = options->command == TOOL_INIT ? 0 : 1;
    if (num_left != wanted) {
        fault = wanted == 0 ? "init takes no argument" : "expected one argument: the FILE";
    } else if ((options->owner != NULL || options->daemon_user != NULL) &&
               options->command != TOOL_INIT) {
        fault = "--owner and --daemon-user go with init";
    } else if ((options->recipient != NULL || options->may_replace) &&
               options->command != TOOL_BACKUP) {
        fault = "--to and --force go with backup";
    } else if (options->identity != NULL && options->command != TOOL_RESTORE) {
        fault = "--identity goes with restore";
    } else if (options->state_dir[0] != '/') {
        fault = "--state-dir: expected an absolute path";
    }
    if (fault != NULL) {
        (void)tool_fail(TOOL_USAGE, "%s; try 'signet keystore init --help'", fault);
    }
    return fault == NULL;
}

bool tool_options_read(int argc, char **argv, struct tool_options *out, enum tool_exit *exit_status)
{
    struct tool_options options = {.state_dir = TOOL_STATE_DIR,
                                   .source = TOOL_SOURCE,
                                   .passphrase_fd = -1,
                                   .backup_passphrase_fd = -1};
    int code = 0;
    *exit_status = TOOL_USAGE;
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        return options_take(OPTIONS_HELP, &options, exit_status);
    }
    if (argc < 2 || !options_read_command(argv[1], &options.command)) {
        (void)tool_fail(TOOL_USAGE, "expected init, backup or restore; try --help");
        return false;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread. */
    while ((code = getopt_long(argc - 1, argv + 1, "", options_table, NULL)) != -1) {
        if (!options_take(code, &options, exit_status)) {
            return false;
        }
    }
    *exit_status = TOOL_USAGE;
    if (!options_check(&options, argc - 1 - optind)) {
        return false;
    }
    options.file = options.command == TOOL_INIT ? NULL : argv[1 + optind];
    *out = options;
    return true;
}
