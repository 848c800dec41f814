/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing to the keyholder.
 */
#include "client/seal/daemon.h"

#include <stdlib.h>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "common/seal/seal.h"
#include "signet/v1/key.pb-c.h"

char *seal_wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

static bool seal_to(struct cli *cli, const ProtobufCBinaryData *public_key, const char *purpose,
                    const struct seal_bytes *bytes, ProtobufCBinaryData *out)
{
    if (public_key->len != SG_SEAL_KEY_LEN) {
        (void)cli_fail(cli, CLI_UNREACHABLE,
                       "signetd's sealing key has %zu bytes, not %u; is it signetd?",
                       public_key->len, SG_SEAL_KEY_LEN);
        return false;
    }
    uint8_t *sealed = cli_must(malloc(bytes->len + SG_SEAL_OVERHEAD));
    if (sg_seal(public_key->data, purpose, bytes->data, bytes->len, sealed) != SIGNET_OK) {
        free(sealed);
        (void)cli_fail(cli, CLI_FAILED, "cannot seal to signetd's key; is it signetd?");
        return false;
    }
    *out = (ProtobufCBinaryData){.len = bytes->len + SG_SEAL_OVERHEAD, .data = sealed};
    return true;
}

bool seal_for_keyholder(struct cli *cli, struct signet_client *client, const char *purpose,
                        const struct seal_bytes *bytes, ProtobufCBinaryData *out)
{
    Signet__V1__GetSealingKeyRequest request = SIGNET__V1__GET_SEALING_KEY_REQUEST__INIT;
    Signet__V1__GetSealingKeyResponse *response =
        (Signet__V1__GetSealingKeyResponse *)cli_admin_call(
            cli, client, SG_METHOD_GET_SEALING_KEY, &request.base,
            &signet__v1__get_sealing_key_response__descriptor, 0);
    if (response == NULL) {
        return false;
    }
    bool is_sealed = seal_to(cli, &response->public_key, purpose, bytes, out);
    signet__v1__get_sealing_key_response__free_unpacked(response, NULL);
    return is_sealed;
}
