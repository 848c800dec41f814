/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads: what is read is within its limits, is judged the same twice, and never is good after its
 * exp.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64url.h"
#include "common/jose/claims.h"
#include "common/jose/sensitive_claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_judge(const struct sg_claims *claims, const struct sg_jws *jws)
{
    static const char *const audiences[] = {"svc-a"};
    static const char *const scopes[] = {"read"};
    static const int64_t clocks[] = {0, 1760000000, INT64_C(1) << 53};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct sg_expectation expected = {.now = clocks[i],
                                          .leeway_s = (uint32_t)(i * 200),
                                          .max_age_s = (uint32_t)(i * 60),
                                          .audiences = audiences,
                                          .num_audiences = 1,
                                          .any_audience = i == 1,
                                          .scopes = scopes,
                                          .num_scopes = i,
                                          .exp_optional = false};
        signet_reason reason = sg_claims_check(claims, jws, &expected).reason;
        fuzz_check(reason == sg_claims_check(claims, jws, &expected).reason);
        if (reason == SIGNET_REASON_NONE) {
            fuzz_check(claims->exp.present);
            fuzz_check(clocks[i] <= claims->exp.seconds + (int64_t)SG_MAX_LEEWAY_S);
        }
    }
}

static bool fuzz_found(void *context, enum sg_sensitive_kind kind, const char *name)
{
    size_t *num = context;
    fuzz_check(kind == SG_SENSITIVE_NAME || kind == SG_SENSITIVE_CARD);
    fuzz_check(name != NULL && strlen(name) <= SG_MAX_CLAIMS_JSON_LEN);
    (*num)++;
    return true;
}

/* As the daemon's: it looks for secrets, and refuses them. */
static signet_status fuzz_check_extra(void *context, struct json_t *extra)
{
    size_t *num = context;
    bool any = sg_sensitive_claims(extra, fuzz_found, num);
    fuzz_check(any == (*num != 0));
    return any ? SIGNET_PERMISSION_DENIED : SIGNET_OK;
}

static void fuzz_write(const uint8_t *data, size_t size)
{
    static const struct sg_forced_claim forced = {.name = "uid", .number = 1000};
    size_t num_sensitive = 0;
    struct sg_new_claims claims = {.issuer = "i",
                                   .subject = "s",
                                   .iat = 1,
                                   .nbf = 1,
                                   .exp = 2,
                                   .extra_json = (const char *)data,
                                   .extra_json_len = size,
                                   .check = {fuzz_check_extra, &num_sensitive},
                                   .forced = &forced,
                                   .num_forced = 1};
    char *out = NULL;
    size_t len = 0;
    const char *detail = NULL;
    if (sg_claims_write(&claims, &out, &len, &detail) == SIGNET_OK) {
        fuzz_check(len == strlen(out) && len <= SG_MAX_PAYLOAD_LEN);
        fuzz_check(num_sensitive == 0 && strstr(out, "\"uid\":1000") != NULL);
    } else {
        fuzz_check(out == NULL && detail != NULL);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char b64[SG_BASE64URL_LEN(2 * SG_MAX_PAYLOAD_LEN)];
    if (size > 2 * SG_MAX_PAYLOAD_LEN) {
        return 0;
    }
    fuzz_write(data, size);
    struct sg_jws jws = {.payload_b64 = b64};
    struct sg_claims claims = {0};
    jws.payload_b64_len = sg_base64url_encode(data, size, b64);
    struct sg_verdict verdict = sg_claims_parse(&jws, &claims);
    if (verdict.reason == SIGNET_REASON_NONE) {
        fuzz_check(claims.num_audiences <= SG_MAX_AUDIENCES);
        fuzz_check(claims.json_len == size && memcmp(claims.json, data, size) == 0);
        fuzz_judge(&claims, &jws);
    } else {
        fuzz_check(claims.root == NULL && claims.json == NULL);
        fuzz_check(verdict.detail != NULL);
    }
    sg_claims_fini(&claims);
    return 0;
}
