/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of signet-seal.
 */
#ifndef SG_SEAL_COMMANDS_H
#define SG_SEAL_COMMANDS_H

#include "client/cli/cli.h"

extern const struct cli_command seal_import;
extern const struct cli_command seal_rekey;

#endif
