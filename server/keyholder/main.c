/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-keyholder: the process that holds the keys. signetd has it started; so may a supervisor, which
 * passes the daemon's connection as descriptor 3.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/keyholder/channels.h"

static const char main_usage[] =
    "Usage: signet-keyholder\n"
    "\n"
    "Holds the keys of signetd, which starts it, or whose connection a supervisor passes to it as\n"
    "descriptor 3 (systemd: Accept=yes). There is nothing to run it by hand for.\n"
    "\n"
    "  --version   print the version\n"
    "  --help      print this text\n";

static bool main_has_socket(void)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return getsockopt(SG_CHANNELS_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("signet-keyholder %s\n", SG_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(main_usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "signet-keyholder: takes no arguments\n%s", main_usage);
        return 2;
    }
    if (!main_has_socket()) {
        (void)fprintf(stderr, "signet-keyholder: descriptor 3 is not a SOCK_SEQPACKET socket\n%s",
                      main_usage);
        return 2;
    }
    return sg_channels_run();
}
