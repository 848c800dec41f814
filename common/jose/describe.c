/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims as typed values: what has a field of its own in a VerifiedToken, and a list of the others.
 */
#include "common/jose/describe.h"

#include <jansson.h>

/* protobuf-c's structs know no const. What is absent is the empty text, as it is when it was decoded. */
static char *describe_text(const char *text)
{
    const union {
        const char *constant;
        char *plain;
    } same = {.constant = text != NULL ? text : protobuf_c_empty_string};
    return same.plain;
}

static char **describe_texts(const char *const *texts)
{
    const union {
        const char *const *constant;
        char **plain;
    } same = {.constant = texts};
    return same.plain;
}

/* JSON text of an object, an array or null, in the arena. NULL without memory. */
static char *describe_write_json(struct sg_arena *arena, const json_t *value)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t len = json_dumpb(value, NULL, 0, flags);
    char *text = len > 0 ? sg_arena_alloc(arena, len + 1) : NULL;
    if (text != NULL && json_dumpb(value, text, len, flags) != len) {
        return NULL;
    }
    return text;
}

static bool describe_set_claim(struct sg_arena *arena, const char *name, const json_t *value,
                               Signet__V1__Claim *out)
{
    signet__v1__claim__init(out);
    out->name = describe_text(name);
    switch (json_typeof(value)) {
    case JSON_STRING:
        out->value_case = SIGNET__V1__CLAIM__VALUE_STRING_VALUE;
        out->string_value = describe_text(json_string_value(value));
        return true;
    case JSON_INTEGER:
        out->value_case = SIGNET__V1__CLAIM__VALUE_INT_VALUE;
        out->int_value = json_integer_value(value);
        return true;
    case JSON_REAL:
        out->value_case = SIGNET__V1__CLAIM__VALUE_DOUBLE_VALUE;
        out->double_value = json_real_value(value);
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        out->value_case = SIGNET__V1__CLAIM__VALUE_BOOL_VALUE;
        out->bool_value = json_is_true(value);
        return true;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_NULL:
        out->value_case = SIGNET__V1__CLAIM__VALUE_JSON_VALUE;
        out->json_value = describe_write_json(arena, value);
        return out->json_value != NULL;
    }
    return false;
}

/* The claims that VerifiedToken has no field for. False without memory. */
static bool describe_list_claims(struct sg_arena *arena, const struct sg_claims *claims,
                                 Signet__V1__VerifiedToken *out)
{
    size_t max = json_object_size(claims->root);
    Signet__V1__Claim *entries = sg_arena_alloc(arena, max * sizeof(*entries));
    Signet__V1__Claim **list = sg_arena_alloc(arena, max * sizeof(Signet__V1__Claim *));
    if (entries == NULL || list == NULL) {
        return false;
    }
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(claims->root, name, value)
    {
        if (sg_claims_is_registered(name)) {
            continue;
        }
        Signet__V1__Claim *entry = &entries[out->n_claims];
        if (!describe_set_claim(arena, name, value, entry)) {
            return false;
        }
        list[out->n_claims++] = entry;
    }
    out->claims = list;
    return true;
}

bool sg_describe(const struct sg_claims *claims, const struct sg_jws *jws, const char *kid,
                 const char *keyset, struct sg_arena *arena, Signet__V1__VerifiedToken *out)
{
    signet__v1__verified_token__init(out);
    out->issuer = describe_text(claims->issuer);
    out->subject = describe_text(claims->subject);
    out->audience = describe_texts(claims->audiences);
    out->n_audience = claims->num_audiences;
    out->expires_at = claims->exp.seconds;
    out->not_before = claims->nbf.seconds;
    out->issued_at = claims->iat.seconds;
    out->has_not_before = claims->nbf.present;
    out->has_issued_at = claims->iat.present;
    out->jti = describe_text(claims->jti);
    out->kid = describe_text(kid);
    out->keyset = describe_text(keyset);
    out->typ = describe_text(jws->has_typ ? jws->typ : NULL);
    out->claims_json = claims->json;
    return describe_list_claims(arena, claims, out);
}
