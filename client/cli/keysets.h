/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of keysets, for the commands that need it.
 */
#ifndef SG_CLI_KEYSETS_H
#define SG_CLI_KEYSETS_H

#include "client/cli/cli.h"
#include "signet/v1/key.pb-c.h"

/* cli_keysets_list asks the daemon. NULL after a complaint. Release it with
 * signet__v1__list_keysets_response__free_unpacked(list, NULL). */
Signet__V1__ListKeysetsResponse *cli_keysets_list(struct cli *cli, struct signet_client *client);

#endif
