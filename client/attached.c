/* SPDX-License-Identifier: Apache-2.0
 *
 * Attaching libsignet-local (client/attach.h).
 */
#include <string.h>

#include "client/private.h"

signet_status sg_client_attach(struct signet_client *client, const struct sg_local_ops *ops,
                               void *local, struct signet_error *error)
{
    if (client == NULL || ops == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client and what is to be attached must be given");
    }
    if (client->local_ops != NULL) {
        return sg_client_fail(error, SIGNET_FAILED_PRECONDITION, "ATTACHED_ALREADY",
                              "this client verifies in its own process already");
    }
    if (strcmp(ops->version, signet_version()) != 0) {
        return sg_client_fail(error, SIGNET_FAILED_PRECONDITION, "VERSIONS_DIFFER",
                              "libsignet is %s and libsignet-local %s; install the same of both",
                              signet_version(), ops->version);
    }
    client->local_ops = ops;
    client->local = local;
    return SIGNET_OK;
}
