/* SPDX-License-Identifier: Apache-2.0
 *
 * The checks on options that every call shares, of libsignet and of libsignet-local.
 */
#include <string.h>

#include "client/private.h"

#define OPTIONS_MAX_LEN 4096u /* larger is a `size` that was never set */

signet_status sg_client_take_options(const struct sg_options_layout *layout, const void *given,
                                     void *out, struct signet_error *error)
{
    size_t size = 0;
    if (given != NULL) {
        memcpy(&size, given, sizeof(size));
    }
    if (size < layout->first_len || size > OPTIONS_MAX_LEN) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "OPTIONS_SIZE",
                              "start the options with %s", layout->initializer);
    }
    const uint8_t *bytes = given;
    for (size_t i = layout->known_len; i < size; i++) {
        if (bytes[i] != 0) {
            return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "OPTIONS_UNKNOWN",
                                  "the options ask for what libsignet %s does not know; the "
                                  "program was made for a newer libsignet, or did not start them "
                                  "with %s",
                                  SIGNET_VERSION, layout->initializer);
        }
    }
    memcpy(out, given, size < layout->known_len ? size : layout->known_len);
    return SIGNET_OK;
}

signet_status sg_client_check_text(const char *text, bool required, size_t max_len,
                                   const char *name, struct signet_error *error)
{
    if (text == NULL && !required) {
        return SIGNET_OK;
    }
    size_t len = text == NULL ? 0 : strnlen(text, max_len + 1);
    if (len == 0) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "OPTION_EMPTY", "%s is %s", name,
                              required ? "required" : "empty; give a value, or NULL for none");
    }
    if (len > max_len) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "OPTION_TOO_LONG",
                              "%s is longer than %zu bytes", name, max_len);
    }
    return SIGNET_OK;
}

signet_status sg_client_check_texts(const char *const *texts, size_t num, size_t max_num,
                                    size_t max_len, const char *name, struct signet_error *error)
{
    if (num > max_num || (num > 0 && texts == NULL)) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "OPTION_COUNT",
                              "%zu values of %s are announced; at most %zu are allowed, and the "
                              "array must be there",
                              num, name, max_num);
    }
    for (size_t i = 0; i < num; i++) {
        signet_status status = sg_client_check_text(texts[i], true, max_len, name, error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    return SIGNET_OK;
}

char *sg_client_wire_text(const char *text)
{
    /* protobuf-c takes NULL for the default, the empty string. */
    return (char *)(uintptr_t)text;
}

char **sg_client_wire_texts(const char *const *texts)
{
    return (char **)(uintptr_t)texts;
}
