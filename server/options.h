/* SPDX-License-Identifier: Apache-2.0
 *
 * signetd's command line.
 */
#ifndef SG_OPTIONS_H
#define SG_OPTIONS_H

#include <stdbool.h>

struct sg_options {
    const char *config_file; /* default /etc/signet/signet.yaml */
    const char *runtime_dir; /* NULL: the configuration's */
    const char *user;        /* NULL: the configuration's */
    int passphrase_fd;       /* where the keystore's passphrase is read; -1: the terminal */
    bool is_check;
    bool is_dev;
};

enum sg_options_outcome {
    SG_OPTIONS_RUN = 1, /* go on with *out */
    SG_OPTIONS_DONE,    /* help or version was printed: exit 0 */
    SG_OPTIONS_BAD      /* usage was printed to standard error: exit 2 */
};

/* sg_options_parse reads the command line; *out points into argv. */
enum sg_options_outcome sg_options_parse(int argc, char **argv, struct sg_options *out);

#endif
