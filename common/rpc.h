/* SPDX-License-Identifier: Apache-2.0
 *
 * The envelope of signet.rpc.v1 as both sides use it: names of methods, and a status as a plain
 * struct.
 */
#ifndef SG_RPC_H
#define SG_RPC_H

#include <signet/status.h>
#include <stdint.h>

#include "common/limits.h"

#define SG_METHOD_SIGN         "signet.v1.TokenService/Sign"
#define SG_METHOD_VERIFY       "signet.v1.TokenService/Verify"
#define SG_METHOD_SIGN_BATCH   "signet.v1.TokenService/SignBatch"
#define SG_METHOD_VERIFY_BATCH "signet.v1.TokenService/VerifyBatch"
#define SG_METHOD_REVOKE       "signet.v1.TokenService/Revoke"
#define SG_METHOD_GET_JWKS     "signet.v1.KeyService/GetJwks"
#define SG_METHOD_LIST_KEYSETS "signet.v1.KeyService/ListKeysets"
#define SG_METHOD_HEALTH_CHECK "signet.v1.HealthService/Check"
#define SG_METHOD_STATUS       "signet.v1.AdminService/Status"

/* On the admin socket only. */
#define SG_METHOD_LIST_KEYS        "signet.v1.KeyService/ListKeys"
#define SG_METHOD_ROTATE           "signet.v1.KeyService/Rotate"
#define SG_METHOD_REVOKE_KEY       "signet.v1.KeyService/RevokeKey"
#define SG_METHOD_GET_SEALING_KEY  "signet.v1.KeyService/GetSealingKey"
#define SG_METHOD_IMPORT_KEY       "signet.v1.KeyService/ImportKey"
#define SG_METHOD_REKEY_KEYSTORE   "signet.v1.KeyService/RekeyKeystore"
#define SG_METHOD_FINISH_REKEY     "signet.v1.KeyService/FinishRekey"
#define SG_METHOD_GET_KEYSTORE     "signet.v1.KeyService/GetKeystore"
#define SG_METHOD_RELOAD           "signet.v1.AdminService/Reload"
#define SG_METHOD_EXPLAIN_POLICY   "signet.v1.AdminService/ExplainPolicy"
#define SG_METHOD_LIST_GRANTS      "signet.v1.AdminService/ListGrants"
#define SG_METHOD_THAW_GRANT       "signet.v1.AdminService/ThawGrant"
#define SG_METHOD_LIST_REVOCATIONS "signet.v1.AdminService/ListRevocations"
#define SG_METHOD_STATS            "signet.v1.AdminService/Stats"

/* Why a call did not work. code SIGNET_OK: it did. */
struct sg_rpc_status {
    signet_status code;
    uint32_t retry_after_ms;
    const char *reason; /* stable word, static; NULL with SIGNET_OK */
    char message[SG_MAX_STATUS_MESSAGE];
};

/* sg_rpc_fail fills *status, without a time to retry after; the message is formatted and cut to fit,
 * and holds nothing that a peer chose but, where that helps it, a name that it gave. Returns code. */
signet_status sg_rpc_fail(struct sg_rpc_status *status, signet_status code, const char *reason,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
