/* SPDX-License-Identifier: Apache-2.0
 *
 * signetd's command line. Prints help, version and complaints; does nothing else.
 */
#include "server/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config.h"

static const char options_usage[] =
    "Usage: signetd [--config FILE] [--runtime-dir DIR] [--user NAME] [--passphrase-fd N]\n"
    "       signetd --check [--config FILE]\n"
    "       signetd --dev [--runtime-dir DIR]\n"
    "\n"
    "Signs and verifies JSON Web Tokens for the services of this host.\n"
    "\n"
    "  --config FILE       read this configuration (default " SG_CONFIG_FILE ")\n"
    "  --check             say whether the configuration is good, and exit\n"
    "  --dev               run with throw-away keys and demo keysets, without configuration\n"
    "  --runtime-dir DIR   where the socket signet.sock is (default " SG_CONFIG_RUNTIME_DIR ")\n"
    "  --user NAME         the user to change to when started as root; root stays root\n"
    "  --passphrase-fd N   read the keystore's passphrase from descriptor N, not the terminal\n"
    "  --version           print the version, and exit\n"
    "  --help              print this, and exit\n"
    "\n"
    "Keys are kept in an encrypted keystore, which \"signet keystore init\" makes once.\n"
    "\n"
    "SIGHUP reads the configuration again: all of it takes effect, or none and the log says why.\n"
    "SIGTERM and SIGINT finish what is in flight and end the daemon. It stays in the foreground\n"
    "and logs to standard error.\n"
    "\n"
    "Exit status: 0 stopped as asked, or the configuration is good; 1 it is not, or the daemon\n"
    "could not start; 2 usage.\n";

enum options_code {
    OPTIONS_CONFIG = 1,
    OPTIONS_CHECK,
    OPTIONS_DEV,
    OPTIONS_RUNTIME_DIR,
    OPTIONS_USER,
    OPTIONS_PASSPHRASE_FD,
    OPTIONS_VERSION,
    OPTIONS_HELP
};

static const struct option options_table[] = {
    {"config", required_argument, NULL, OPTIONS_CONFIG},
    {"check", no_argument, NULL, OPTIONS_CHECK},
    {"dev", no_argument, NULL, OPTIONS_DEV},
    {"runtime-dir", required_argument, NULL, OPTIONS_RUNTIME_DIR},
    {"user", required_argument, NULL, OPTIONS_USER},
    {"passphrase-fd", required_argument, NULL, OPTIONS_PASSPHRASE_FD},
    {"version", no_argument, NULL, OPTIONS_VERSION},
    {"help", no_argument, NULL, OPTIONS_HELP},
    {NULL, 0, NULL, 0},
};

static enum sg_options_outcome options_bad(const char *why)
{
    (void)fprintf(stderr, "signetd: %s\n%s", why, options_usage);
    return SG_OPTIONS_BAD;
}

static enum sg_options_outcome options_take_fd(const char *text, int *out)
{
    char *end = NULL;
    long fd = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || fd > INT_MAX) {
        return options_bad("--passphrase-fd takes the number of an open descriptor");
    }
    *out = (int)fd;
    return SG_OPTIONS_RUN;
}

/* Takes one option over; RUN means that there may be more. */
static enum sg_options_outcome options_take(int code, struct sg_options *options)
{
    switch (code) {
    case OPTIONS_CONFIG:
        options->config_file = optarg;
        return SG_OPTIONS_RUN;
    case OPTIONS_CHECK:
        options->is_check = true;
        return SG_OPTIONS_RUN;
    case OPTIONS_DEV:
        options->is_dev = true;
        return SG_OPTIONS_RUN;
    case OPTIONS_RUNTIME_DIR:
        options->runtime_dir = optarg;
        return SG_OPTIONS_RUN;
    case OPTIONS_USER:
        options->user = optarg;
        return SG_OPTIONS_RUN;
    case OPTIONS_PASSPHRASE_FD:
        return options_take_fd(optarg, &options->passphrase_fd);
    case OPTIONS_VERSION:
        (void)printf("signetd %s\n", SG_VERSION);
        return SG_OPTIONS_DONE;
    case OPTIONS_HELP:
        (void)fputs(options_usage, stdout);
        return SG_OPTIONS_DONE;
    default: /* getopt_long has said why */
        (void)fputs(options_usage, stderr);
        return SG_OPTIONS_BAD;
    }
}

enum sg_options_outcome sg_options_parse(int argc, char **argv, struct sg_options *out)
{
    struct sg_options options = {.passphrase_fd = -1};
    int code;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet. */
    while ((code = getopt_long(argc, argv, "", options_table, NULL)) != -1) {
        enum sg_options_outcome outcome = options_take(code, &options);
        if (outcome != SG_OPTIONS_RUN) {
            return outcome;
        }
    }
    if (optind < argc) {
        return options_bad("takes no arguments besides its options");
    }
    if (options.is_dev && (options.config_file != NULL || options.is_check)) {
        return options_bad("--dev runs without a configuration; leave out --config and --check");
    }
    if (options.config_file == NULL) {
        options.config_file = SG_CONFIG_FILE;
    }
    *out = options;
    return SG_OPTIONS_RUN;
}
