/* SPDX-License-Identifier: Apache-2.0
 *
 * One call to the daemon: encode, cross, check, decode. For the rest of the library and for the
 * command line, which needs methods that have no public function. Not installed.
 */
#ifndef SG_CLIENT_CALL_H
#define SG_CLIENT_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <signet/client.h>

/* sg_client_call sends request to method and decodes the answer into *out, which the caller releases
 * with protobuf_c_message_free_unpacked(out, NULL). timeout_ms 0 takes the client's. Statuses as
 * signet_sign; blocks for at most the timeout. */
signet_status sg_client_call(struct signet_client *client, const char *method,
                             const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *response_type, uint32_t timeout_ms,
                             ProtobufCMessage **out, struct signet_error *error) SIGNET_MUST_CHECK;

/* sg_client_fail fills *error, if there is one, and returns status. */
signet_status sg_client_fail(struct signet_error *error, signet_status status, const char *code,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
