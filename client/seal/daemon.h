/* SPDX-License-Identifier: Apache-2.0
 *
 * What signet-seal asks of the daemon. Nothing leaves this process that is not sealed.
 */
#ifndef SG_SEAL_DAEMON_H
#define SG_SEAL_DAEMON_H

#include <protobuf-c/protobuf-c.h>

#include "client/cli/cli.h"
#include "client/seal/wipe.h"

/* seal_for_keyholder asks for the keyholder's public key and seals bytes to it, for one purpose of
 * common/seal/seal.h. out->data: to be released with free(). False after a complaint. */
bool seal_for_keyholder(struct cli *cli, struct signet_client *client, const char *purpose,
                        const struct seal_bytes *bytes, ProtobufCBinaryData *out);

/* seal_wire_text is for a message that is only packed: protobuf-c's strings are not const. */
char *seal_wire_text(const char *text);

#endif
