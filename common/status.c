/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of statuses and reasons, and the proof that the public numbers are those of the contract.
 */
#include <signet/status.h>

#include "signet/v1/token.pb-c.h"

#define STATUS_UNRECOGNIZED "UNRECOGNIZED"

/* Reasons cross the wire as they are, so that each must be the contract's number of the same name. */
#define STATUS_SAME_REASON(name)                                                                   \
    _Static_assert((int)SIGNET_REASON_##name == (int)SIGNET__V1__REJECTION_REASON__##name,         \
                   "SIGNET_REASON_" #name " is not the number in token.proto")

_Static_assert((int)SIGNET_REASON_NONE ==
                   (int)SIGNET__V1__REJECTION_REASON__REJECTION_REASON_UNSPECIFIED,
               "no reason must be the number that is never sent");
STATUS_SAME_REASON(MALFORMED);
STATUS_SAME_REASON(UNSUPPORTED_HEADER);
STATUS_SAME_REASON(WRONG_ALG);
STATUS_SAME_REASON(UNKNOWN_KEY);
STATUS_SAME_REASON(BAD_SIGNATURE);
STATUS_SAME_REASON(EXPIRED);
STATUS_SAME_REASON(NOT_YET_VALID);
STATUS_SAME_REASON(WRONG_ISSUER);
STATUS_SAME_REASON(WRONG_AUDIENCE);
STATUS_SAME_REASON(WRONG_TYPE);
STATUS_SAME_REASON(CLAIM_MISSING);
STATUS_SAME_REASON(CLAIM_INVALID);
STATUS_SAME_REASON(TOO_OLD);
STATUS_SAME_REASON(REVOKED);
STATUS_SAME_REASON(KEY_REVOKED);
STATUS_SAME_REASON(REPLAYED);
STATUS_SAME_REASON(POLICY);

/* No default, so that the compiler names a value that is added and forgotten here. */
const char *signet_status_name(signet_status status)
{
    switch (status) {
    case SIGNET_OK:
        return "OK";
    case SIGNET_CANCELLED:
        return "CANCELLED";
    case SIGNET_UNKNOWN:
        return "UNKNOWN";
    case SIGNET_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case SIGNET_DEADLINE_EXCEEDED:
        return "DEADLINE_EXCEEDED";
    case SIGNET_NOT_FOUND:
        return "NOT_FOUND";
    case SIGNET_ALREADY_EXISTS:
        return "ALREADY_EXISTS";
    case SIGNET_PERMISSION_DENIED:
        return "PERMISSION_DENIED";
    case SIGNET_RESOURCE_EXHAUSTED:
        return "RESOURCE_EXHAUSTED";
    case SIGNET_FAILED_PRECONDITION:
        return "FAILED_PRECONDITION";
    case SIGNET_ABORTED:
        return "ABORTED";
    case SIGNET_OUT_OF_RANGE:
        return "OUT_OF_RANGE";
    case SIGNET_UNIMPLEMENTED:
        return "UNIMPLEMENTED";
    case SIGNET_INTERNAL:
        return "INTERNAL";
    case SIGNET_UNAVAILABLE:
        return "UNAVAILABLE";
    case SIGNET_DATA_LOSS:
        return "DATA_LOSS";
    case SIGNET_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    case SIGNET_REJECTED:
        return "REJECTED";
    case SIGNET_PROTOCOL_ERROR:
        return "PROTOCOL_ERROR";
    case SIGNET_UNTRUSTED_SERVER:
        return "UNTRUSTED_SERVER";
    }
    return STATUS_UNRECOGNIZED;
}

const char *signet_reason_name(signet_reason reason)
{
    switch (reason) {
    case SIGNET_REASON_NONE:
        return "NONE";
    case SIGNET_REASON_MALFORMED:
        return "MALFORMED";
    case SIGNET_REASON_UNSUPPORTED_HEADER:
        return "UNSUPPORTED_HEADER";
    case SIGNET_REASON_WRONG_ALG:
        return "WRONG_ALG";
    case SIGNET_REASON_UNKNOWN_KEY:
        return "UNKNOWN_KEY";
    case SIGNET_REASON_BAD_SIGNATURE:
        return "BAD_SIGNATURE";
    case SIGNET_REASON_EXPIRED:
        return "EXPIRED";
    case SIGNET_REASON_NOT_YET_VALID:
        return "NOT_YET_VALID";
    case SIGNET_REASON_WRONG_ISSUER:
        return "WRONG_ISSUER";
    case SIGNET_REASON_WRONG_AUDIENCE:
        return "WRONG_AUDIENCE";
    case SIGNET_REASON_WRONG_TYPE:
        return "WRONG_TYPE";
    case SIGNET_REASON_CLAIM_MISSING:
        return "CLAIM_MISSING";
    case SIGNET_REASON_CLAIM_INVALID:
        return "CLAIM_INVALID";
    case SIGNET_REASON_TOO_OLD:
        return "TOO_OLD";
    case SIGNET_REASON_REVOKED:
        return "REVOKED";
    case SIGNET_REASON_KEY_REVOKED:
        return "KEY_REVOKED";
    case SIGNET_REASON_REPLAYED:
        return "REPLAYED";
    case SIGNET_REASON_POLICY:
        return "POLICY";
    }
    return STATUS_UNRECOGNIZED;
}
