/* SPDX-License-Identifier: Apache-2.0
 *
 * signetd: from the command line to an exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/config.h"
#include "server/daemon.h"
#include "server/grant_text.h"
#include "server/options.h"

/* Whoever closed descriptors 0 to 2 must not make the daemon log into its own socket. */
static bool main_open_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The lowest free number is this one. Children would inherit it, as is usual for these.
         * NOLINTNEXTLINE(android-cloexec-open) */
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDWR) != fd) {
            return false;
        }
    }
    return true;
}

static void main_print(void *context, const char *text)
{
    (void)context;
    (void)printf("%s\n", text);
}

/* Not to the log, which leaves out what would be too much of it. */
static void main_warn(void *context, const char *text)
{
    const struct sg_options *options = context;
    (void)fprintf(stderr, "signetd: warning: %s: %s\n", options->config_file, text);
}

static int main_check(struct sg_options *options)
{
    struct sg_config *config = NULL;
    if (sg_daemon_load(options, &config) != SIGNET_OK) {
        return EXIT_FAILURE;
    }
    (void)printf("%s: ok, %zu keyset%s, %zu grant%s\n", options->config_file, config->num_keysets,
                 config->num_keysets == 1 ? "" : "s", config->num_grants,
                 config->num_grants == 1 ? "" : "s");
    sg_grants_describe(config, main_print, NULL);
    bool is_told = fflush(stdout) == 0 && ferror(stdout) == 0;
    sg_grants_warn(config, main_warn, options);
    sg_config_free(config);
    return is_told ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct sg_options options;
    if (!main_open_standard_fds()) {
        return EXIT_FAILURE;
    }
    switch (sg_options_parse(argc, argv, &options)) {
    case SG_OPTIONS_RUN:
        return options.is_check ? main_check(&options) : sg_daemon_run(&options);
    case SG_OPTIONS_DONE:
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    case SG_OPTIONS_BAD:
        return 2;
    }
    return EXIT_FAILURE;
}
