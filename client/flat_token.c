/* SPDX-License-Identifier: Apache-2.0
 *
 * The message, its arrays, the claims, then all texts. Every pointer in it points into it; a copy moves them all by
 * as far as it moved.
 */
#include "client/flat_token.h"

#include <stdint.h>
#include <string.h>

/* ---- Making ---- */

/* The text that a claim's value is, or NULL. */
static char **flat_claim_text(Signet__V1__Claim *claim)
{
    switch ((int)claim->value_case) {
    case SIGNET__V1__CLAIM__VALUE_STRING_VALUE:
        return &claim->string_value;
    case SIGNET__V1__CLAIM__VALUE_JSON_VALUE:
        return &claim->json_value;
    default:
        return NULL;
    }
}

static size_t flat_text_len(const char *text)
{
    return strlen(text) + 1;
}

static size_t flat_structs_len(const Signet__V1__VerifiedToken *token)
{
    return sizeof(*token) + token->n_audience * sizeof(char *) +
           token->n_claims * (sizeof(Signet__V1__Claim *) + sizeof(Signet__V1__Claim));
}

size_t sg_flat_token_len(const Signet__V1__VerifiedToken *token)
{
    size_t len = flat_structs_len(token) + flat_text_len(token->issuer) +
                 flat_text_len(token->subject) + flat_text_len(token->jti) +
                 flat_text_len(token->kid) + flat_text_len(token->keyset) +
                 flat_text_len(token->typ) + flat_text_len(token->claims_json);
    for (size_t i = 0; i < token->n_audience; i++) {
        len += flat_text_len(token->audience[i]);
    }
    for (size_t i = 0; i < token->n_claims; i++) {
        char **text = flat_claim_text(token->claims[i]);
        len += flat_text_len(token->claims[i]->name) + (text != NULL ? flat_text_len(*text) : 0);
    }
    return len;
}

/* Writes a text behind those before it. */
static char *flat_put(char **end, const char *text)
{
    size_t len = flat_text_len(text);
    char *at = *end;
    memcpy(at, text, len);
    *end += len;
    return at;
}

static void flat_put_claim(char **end, const Signet__V1__Claim *claim, Signet__V1__Claim *out)
{
    *out = *claim;
    out->base.n_unknown_fields = 0;
    out->base.unknown_fields = NULL;
    out->name = flat_put(end, claim->name);
    char **text = flat_claim_text(out);
    if (text != NULL) {
        *text = flat_put(end, *text);
    }
}

Signet__V1__VerifiedToken *sg_flat_token_make(const Signet__V1__VerifiedToken *token, void *out)
{
    Signet__V1__VerifiedToken *flat = out;
    char *end = (char *)out + flat_structs_len(token);
    *flat = *token;
    flat->base.n_unknown_fields = 0;
    flat->base.unknown_fields = NULL;
    flat->issuer = flat_put(&end, token->issuer);
    flat->subject = flat_put(&end, token->subject);
    flat->jti = flat_put(&end, token->jti);
    flat->kid = flat_put(&end, token->kid);
    flat->keyset = flat_put(&end, token->keyset);
    flat->typ = flat_put(&end, token->typ);
    flat->claims_json = flat_put(&end, token->claims_json);
    flat->audience = (char **)(flat + 1);
    for (size_t i = 0; i < token->n_audience; i++) {
        flat->audience[i] = flat_put(&end, token->audience[i]);
    }
    flat->claims = (Signet__V1__Claim **)(flat->audience + token->n_audience);
    Signet__V1__Claim *claims = (Signet__V1__Claim *)(flat->claims + token->n_claims);
    for (size_t i = 0; i < token->n_claims; i++) {
        flat->claims[i] = &claims[i];
        flat_put_claim(&end, token->claims[i], &claims[i]);
    }
    return flat;
}

/* ---- Copying ---- */

/* Where a pointer into one piece points to in the other. */
static void *flat_moved(const void *pointer, const void *from, void *to)
{
    return (char *)to + ((const char *)pointer - (const char *)from);
}

Signet__V1__VerifiedToken *sg_flat_token_copy(const Signet__V1__VerifiedToken *flat, size_t len,
                                              void *out)
{
    Signet__V1__VerifiedToken *copy = out;
    memcpy(out, flat, len);
    copy->issuer = flat_moved(flat->issuer, flat, out);
    copy->subject = flat_moved(flat->subject, flat, out);
    copy->jti = flat_moved(flat->jti, flat, out);
    copy->kid = flat_moved(flat->kid, flat, out);
    copy->keyset = flat_moved(flat->keyset, flat, out);
    copy->typ = flat_moved(flat->typ, flat, out);
    copy->claims_json = flat_moved(flat->claims_json, flat, out);
    copy->audience = flat_moved(flat->audience, flat, out);
    for (size_t i = 0; i < copy->n_audience; i++) {
        copy->audience[i] = flat_moved(flat->audience[i], flat, out);
    }
    copy->claims = flat_moved(flat->claims, flat, out);
    for (size_t i = 0; i < copy->n_claims; i++) {
        copy->claims[i] = flat_moved(flat->claims[i], flat, out);
        Signet__V1__Claim *claim = copy->claims[i];
        claim->name = flat_moved(claim->name, flat, out);
        char **text = flat_claim_text(claim);
        if (text != NULL) {
            *text = flat_moved(*text, flat, out);
        }
    }
    return copy;
}
