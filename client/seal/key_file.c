/* SPDX-License-Identifier: Apache-2.0
 *
 * Which form a key file has, and raw secrets, which have none.
 */
#include "client/seal/key_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/seal/key_file_parts.h"

bool key_file_refuse(struct key_file_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return false;
}

const char *key_file_alg_hint(const struct key_file_options *options)
{
    return options->alg == SG_ALG_UNSET ? " (--alg names another algorithm)" : "";
}

void key_file_fini(struct key_file *file)
{
    for (size_t i = 0; i < file->num_keys; i++) {
        seal_bytes_fini(&file->keys[i].bytes);
    }
    free(file->keys);
    free(file->skipped);
    *file = (struct key_file){0};
}

/* ---- The form ---- */

static bool key_file_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool key_file_guess(const uint8_t *bytes, size_t len, enum key_file_form *out,
                           struct key_file_error *error)
{
    static const char pem_mark[] = "-----BEGIN ";
    size_t at = 0;
    while (at < len && key_file_is_space(bytes[at])) {
        at++;
    }
    if (at < len && bytes[at] == '{') {
        *out = key_file_is_set(bytes, len) ? KEY_FILE_JWKS : KEY_FILE_JWK;
        return true;
    }
    if (memmem(bytes, len, pem_mark, sizeof(pem_mark) - 1) != NULL) {
        *out = KEY_FILE_PEM;
        return true;
    }
    return key_file_refuse(error,
                           "this is neither PEM nor JSON; if it is the raw bytes of a secret, "
                           "say --secret");
}

/* ---- Secrets ---- */

static bool key_file_read_secret(const struct key_file_options *options, const uint8_t *bytes,
                                 size_t len, struct key_file_key *key, struct key_file_error *error)
{
    enum sg_alg alg = options->alg != SG_ALG_UNSET ? options->alg : options->default_alg;
    const struct sg_alg_info *info = sg_alg_info(alg);
    if (info->family != SG_FAMILY_HMAC) {
        return key_file_refuse(error,
                               "%s takes a private key, and this is a secret; say for which of "
                               "HS256, HS384 and HS512 it is, with --alg",
                               info->config_name);
    }
    if (len < info->hash_len) {
        return key_file_refuse(error,
                               "the secret has %zu bytes; %s needs %zu at least, as many as its "
                               "hash (RFC 7518 section 3.2)",
                               len, info->config_name, info->hash_len);
    }
    if (len > SG_MAX_SECRET_LEN) {
        return key_file_refuse(error, "the secret has %zu bytes; at most %u are taken", len,
                               SG_MAX_SECRET_LEN);
    }
    key->alg = alg;
    return seal_bytes_copy(&key->bytes, bytes, len) ||
           key_file_refuse(error, "no memory for a key");
}

/* ---- All ---- */

static bool key_file_read_one(const struct key_file_options *options, const uint8_t *bytes,
                              size_t len, struct key_file *file, struct key_file_error *error)
{
    switch (file->form) {
    case KEY_FILE_PEM:
        return key_file_read_pem(options, bytes, len, &file->keys[0], &file->asked_in_vain, error);
    case KEY_FILE_JWK:
        return key_file_read_jwk(options, bytes, len, &file->keys[0], error);
    case KEY_FILE_SECRET:
        file->ends_with_newline = bytes[len - 1] == '\n';
        return key_file_read_secret(options, bytes, len, &file->keys[0], error);
    case KEY_FILE_GUESS:
    case KEY_FILE_JWKS:
        break;
    }
    return key_file_refuse(error, "no such form of a key file");
}

bool key_file_read(const struct key_file_options *options, const uint8_t *bytes, size_t len,
                   struct key_file *out, struct key_file_error *error)
{
    *out = (struct key_file){.form = options->form};
    error->message[0] = '\0';
    if (len == 0) {
        return key_file_refuse(error, "there is nothing in it");
    }
    if (out->form == KEY_FILE_GUESS && !key_file_guess(bytes, len, &out->form, error)) {
        return false;
    }
    if (out->form == KEY_FILE_JWKS) {
        return key_file_read_jwks(options, bytes, len, out, error);
    }
    out->keys = calloc(1, sizeof(*out->keys));
    if (out->keys == NULL) {
        return key_file_refuse(error, "no memory for a key");
    }
    out->num_keys = 1;
    return key_file_read_one(options, bytes, len, out, error);
}
