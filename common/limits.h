/* SPDX-License-Identifier: Apache-2.0
 *
 * Every size and count that bounds what a peer can make either side do. One place, so that client,
 * daemon and tests agree.
 */
#ifndef SG_LIMITS_H
#define SG_LIMITS_H

/* Wire. */
#define SG_MAX_REQUEST_FRAME   (1u << 20) /* payload of one REQ message, request id included */
#define SG_MAX_RESPONSE_FRAME  (4u << 20) /* payload of one REP message, request id included */
#define SG_MAX_METHOD_LEN      128u
#define SG_MAX_BATCH           256u
#define SG_MAX_STATUS_MESSAGE  256u
#define SG_MAX_DECODED_REQUEST (8u << 20) /* memory that decoding one request may take */

/* Tokens and JSON. */
#define SG_MAX_TOKEN_LEN         16384u
#define SG_MAX_HEADER_LEN        4096u  /* decoded */
#define SG_MAX_PAYLOAD_LEN       12288u /* decoded */
#define SG_MAX_SIGNATURE_LEN     1024u  /* decoded: RSA of 8192 bits */
#define SG_MAX_JSON_DEPTH        32u    /* of a header or a payload */
#define SG_MAX_CLAIMS_JSON_LEN   8192u  /* of the claims a caller adds */
#define SG_MAX_CLAIMS_JSON_DEPTH 16u
#define SG_MAX_KID_LEN           256u
#define SG_MAX_TYP_LEN           64u
#define SG_MAX_SUBJECT_LEN       255u
#define SG_MAX_JTI_LEN           255u /* of a token that is revoked or used up */
#define SG_MAX_AUDIENCE_LEN      255u
#define SG_MAX_AUDIENCES         16u
#define SG_MAX_ISSUER_LEN        255u
#define SG_MAX_SCOPE_LEN         255u
#define SG_MAX_SCOPES            16u
#define SG_MAX_KEYSET_NAME_LEN   64u
#define SG_MAX_GRANT_NAME_LEN    64u
#define SG_MAX_LEEWAY_S          300u
#define SG_MAX_REASON_LEN        255u /* why something is revoked */

/* Keys (RFC 7518 sections 3.2 and 3.3). */
#define SG_MIN_RSA_BITS   2048u
#define SG_MAX_RSA_BITS   8192u
#define SG_MAX_SECRET_LEN 1024u

/* The trust board. */
#define SG_MAX_BOARD_KEYS       (1u << 20)
#define SG_MAX_BOARD_SLOTS      (1u << 23) /* for revocations, 32 bytes each */
#define SG_MAX_BOARD_PUBLIC_KEY 4096u      /* bytes; RSA of 8192 bits takes 1500 as a JWK */

/* Calls. */
#define SG_DEFAULT_TIMEOUT_MS 2000u
#define SG_MAX_TIMEOUT_MS     60000u

#endif
