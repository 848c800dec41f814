/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands that another program carries out: signet-seal, which sees keys and needs libcrypto, and
 * signet-keystore, which works without the daemon. It takes the place of this process, so that `signet`
 * itself never holds a key and never pays for loading libcrypto.
 */
#ifndef SG_CLI_PROGRAM_H
#define SG_CLI_PROGRAM_H

#include "client/cli/cli.h"

/* cli_run_program becomes cli->command->program, with the command's last word, the options that were
 * given before it, and its arguments. The program is looked for in the libexec directory that belongs
 * to the directory of this program, and then beside this program, as in a build tree. Returns only
 * after a complaint. */
enum cli_exit cli_run_program(struct cli *cli, int argc, char **argv);

/* cli_program_help becomes it to have it print the command's help. */
enum cli_exit cli_program_help(struct cli *cli);

#endif
