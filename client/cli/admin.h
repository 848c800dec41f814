/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that only the operators' socket answers.
 */
#ifndef SG_CLI_ADMIN_H
#define SG_CLI_ADMIN_H

#include <protobuf-c/protobuf-c.h>

#include "client/cli/cli.h"

#define CLI_DEFAULT_ADMIN_ADDRESS "ipc:///run/signet/admin.sock"

/* How long a call may take for which no --timeout is given. */
#define CLI_ADMIN_SLOW_MS 30000u /* keys are made, files are synced */
#define CLI_ADMIN_ALL_MS  60000u /* the same for every key there is */

/* cli_admin_connect makes a client of the operators' socket: that of --address, else of
 * $SIGNET_ADMIN_ADDRESS, else admin.sock beside the signet.sock of $SIGNET_ADDRESS, else the default.
 * False after a complaint. */
bool cli_admin_connect(struct cli *cli, struct signet_client **out);

/* cli_admin_is_there asks whether a daemon answers, which is known soon; so that a call that may take
 * long need not wait that long for a daemon that is not there. False after a complaint. */
bool cli_admin_is_there(struct cli *cli, struct signet_client *client);

/* cli_admin_try is sg_client_call; timeout_ms is for want of a --timeout, 0: the client's. */
signet_status cli_admin_try(const struct cli *cli, struct signet_client *client, const char *method,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *response_type, uint32_t timeout_ms,
                            ProtobufCMessage **out, struct signet_error *error) SIGNET_MUST_CHECK;

/* cli_admin_call is cli_admin_try that complains. NULL after that; else to be released with
 * protobuf_c_message_free_unpacked(answer, NULL). */
ProtobufCMessage *cli_admin_call(struct cli *cli, struct signet_client *client, const char *method,
                                 const ProtobufCMessage *request,
                                 const ProtobufCMessageDescriptor *response_type,
                                 uint32_t timeout_ms);

/* cli_admin_fail is cli_fail_call for such calls: where the socket is not for this user it says for
 * whom it is. */
enum cli_exit cli_admin_fail(struct cli *cli, const struct signet_error *error);

#endif
