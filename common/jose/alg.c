/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of algorithms. What is not a row here does not exist for the rest of the program.
 */
#include "common/jose/alg.h"

#include <string.h>

#define ALG_HMAC(bits, len)                                                                        \
    [SG_ALG_HS##bits] = {.alg = SG_ALG_HS##bits,                                                   \
                         .family = SG_FAMILY_HMAC,                                                 \
                         .jws_name = "HS" #bits,                                                   \
                         .config_name = "HS" #bits,                                                \
                         .kty = "oct",                                                             \
                         .digest = "SHA" #bits,                                                    \
                         .hash_len = (len),                                                        \
                         .signature_len = (len)}
#define ALG_RSA(prefix, bits, len, kind)                                                           \
    [SG_ALG_##prefix##bits] = {.alg = SG_ALG_##prefix##bits,                                       \
                               .family = (kind),                                                   \
                               .jws_name = #prefix #bits,                                          \
                               .config_name = #prefix #bits,                                       \
                               .kty = "RSA",                                                       \
                               .digest = "SHA" #bits,                                              \
                               .hash_len = (len)}
#define ALG_EC(name, curve, bits, len, coordinate)                                                 \
    [SG_ALG_##name] = {.alg = SG_ALG_##name,                                                       \
                       .family = SG_FAMILY_ECDSA,                                                  \
                       .jws_name = #name,                                                          \
                       .config_name = #name,                                                       \
                       .kty = "EC",                                                                \
                       .crv = (curve),                                                             \
                       .digest = "SHA" #bits,                                                      \
                       .group = (curve),                                                           \
                       .hash_len = (len),                                                          \
                       .signature_len = 2 * (coordinate),                                          \
                       .coordinate_len = (coordinate)}
#define ALG_OKP(value, curve, config, type, signature, coordinate)                                 \
    [value] = {.alg = (value),                                                                     \
               .family = SG_FAMILY_EDDSA,                                                          \
               .jws_name = "EdDSA",                                                                \
               .alt_name = (curve),                                                                \
               .config_name = (config),                                                            \
               .kty = "OKP",                                                                       \
               .crv = (curve),                                                                     \
               .group = (type),                                                                    \
               .signature_len = (signature),                                                       \
               .coordinate_len = (coordinate)}

static const struct sg_alg_info alg_table[SG_ALG_COUNT] = {
    ALG_HMAC(256, 32),
    ALG_HMAC(384, 48),
    ALG_HMAC(512, 64),
    ALG_RSA(RS, 256, 32, SG_FAMILY_RSA_PKCS1),
    ALG_RSA(RS, 384, 48, SG_FAMILY_RSA_PKCS1),
    ALG_RSA(RS, 512, 64, SG_FAMILY_RSA_PKCS1),
    ALG_RSA(PS, 256, 32, SG_FAMILY_RSA_PSS),
    ALG_RSA(PS, 384, 48, SG_FAMILY_RSA_PSS),
    ALG_RSA(PS, 512, 64, SG_FAMILY_RSA_PSS),
    ALG_EC(ES256, "P-256", 256, 32, 32),
    ALG_EC(ES384, "P-384", 384, 48, 48),
    ALG_EC(ES512, "P-521", 512, 64, 66),
    ALG_EC(ES256K, "secp256k1", 256, 32, 32),
    ALG_OKP(SG_ALG_ED25519, "Ed25519", "EdDSA", "ED25519", 64, 32),
    ALG_OKP(SG_ALG_ED448, "Ed448", "Ed448", "ED448", 114, 57),
};

static bool alg_name_is(const char *row_name, const char *name, size_t len)
{
    return row_name != NULL && strlen(row_name) == len && memcmp(row_name, name, len) == 0;
}

const struct sg_alg_info *sg_alg_info(enum sg_alg alg)
{
    /* Through size_t, so that a negative number is out of range too. */
    size_t index = (size_t)alg;
    return index > SG_ALG_UNSET && index < SG_ALG_COUNT ? &alg_table[index] : NULL;
}

enum sg_alg sg_alg_from_name(const char *name, size_t len)
{
    for (size_t i = SG_ALG_UNSET + 1; i < SG_ALG_COUNT; i++) {
        if (alg_name_is(alg_table[i].config_name, name, len) ||
            alg_name_is(alg_table[i].alt_name, name, len)) {
            return alg_table[i].alg;
        }
    }
    return SG_ALG_UNSET;
}

bool sg_alg_matches(enum sg_alg alg, const char *name, size_t len)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    return info != NULL &&
           (alg_name_is(info->jws_name, name, len) || alg_name_is(info->alt_name, name, len));
}
