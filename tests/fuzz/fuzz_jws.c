/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens: whatever the bytes, the parts lie within them, and a known header says what reading it says.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

/* The three parts, and nothing but them and two dots, are the token. */
static void fuzz_parts(const struct sg_jws *jws, const char *token, size_t len)
{
    char signature[SG_BASE64URL_LEN(SG_MAX_SIGNATURE_LEN)];
    size_t signature_len = sg_base64url_encode(jws->signature, jws->signature_len, signature);
    fuzz_check(jws->token == token && jws->token_len == len);
    fuzz_check(jws->header_b64 == token && token[jws->header_b64_len] == '.');
    fuzz_check(jws->payload_b64 == token + jws->header_b64_len + 1);
    fuzz_check(jws->signing_input_len == jws->header_b64_len + 1 + jws->payload_b64_len);
    fuzz_check(jws->signing_input_len + 1 + signature_len == len);
    fuzz_check(memcmp(token + jws->signing_input_len + 1, signature, signature_len) == 0);
}

static void fuzz_known(const struct sg_jws *read, const char *token, size_t len)
{
    struct sg_jws known_to;
    struct sg_jws_known_header known = {.b64 = read->header_b64,
                                        .b64_len = read->header_b64_len,
                                        .alg = read->alg,
                                        .kid = read->has_kid ? read->kid : NULL,
                                        .typ = read->has_typ ? read->typ : NULL};
    fuzz_check(sg_jws_split(token, len, &known_to).reason == SIGNET_REASON_NONE);
    fuzz_check(sg_jws_use_header(&known_to, &known));
    fuzz_check(strcmp(known_to.alg, read->alg) == 0 && strcmp(known_to.kid, read->kid) == 0 &&
               strcmp(known_to.typ, read->typ) == 0 && known_to.has_kid == read->has_kid &&
               known_to.has_typ == read->has_typ && known_to.kid_len == read->kid_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sg_jws jws;
    const char *token = (const char *)data;
    struct sg_verdict verdict = sg_jws_parse(token, size, &jws);
    if (verdict.reason != SIGNET_REASON_NONE) {
        fuzz_check(verdict.reason == SIGNET_REASON_MALFORMED ||
                   verdict.reason == SIGNET_REASON_UNSUPPORTED_HEADER);
        fuzz_check(verdict.detail != NULL);
        return 0;
    }
    fuzz_check(strlen(jws.alg) == jws.alg_len && strlen(jws.kid) == jws.kid_len &&
               strlen(jws.typ) == jws.typ_len);
    fuzz_parts(&jws, token, size);
    fuzz_known(&jws, token, size);
    int matches = 0;
    for (int i = SG_ALG_UNSET; i <= SG_ALG_COUNT; i++) {
        matches += sg_jws_check_alg(&jws, (enum sg_alg)i).reason == SIGNET_REASON_NONE ? 1 : 0;
    }
    fuzz_check(matches <= 1 || strcmp(jws.alg, "EdDSA") == 0);
    return 0;
}
