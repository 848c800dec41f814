/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling a struct signet_error. Its texts end up in logs and on terminals, and some of their words
 * come from the other end: control characters never get through.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/private.h"

static void error_clean(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        }
    }
}

signet_status sg_client_fail(struct signet_error *error, signet_status status, const char *code,
                             const char *format, ...)
{
    if (error == NULL) {
        return status;
    }
    memset(error, 0, sizeof(*error));
    error->status = status;
    (void)snprintf(error->code, sizeof(error->code), "%s", code != NULL ? code : "");
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    error_clean(error->code);
    error_clean(error->message);
    return status;
}

signet_status sg_client_fail_status(struct signet_error *error,
                                    const Signet__Rpc__V1__Status *status)
{
    if (status->code < SIGNET_CANCELLED || status->code > SIGNET_UNAUTHENTICATED) {
        return sg_client_bad_answer(error, "a status with a code that is none");
    }
    (void)sg_client_fail(error, (signet_status)status->code, status->reason, "%s",
                         status->message[0] != '\0' ? status->message : "signetd gave no reason");
    if (error != NULL) {
        error->retry_after_ms = status->retry_after_ms;
    }
    return (signet_status)status->code;
}

signet_status sg_client_reject(struct signet_error *error, signet_reason reason, const char *detail)
{
    (void)sg_client_fail(error, SIGNET_REJECTED, signet_reason_name(reason), "%s", detail);
    if (error != NULL) {
        error->reason = reason;
    }
    return SIGNET_REJECTED;
}

signet_status sg_client_bad_answer(struct signet_error *error, const char *what)
{
    return sg_client_fail(error, SIGNET_PROTOCOL_ERROR, "BAD_ANSWER",
                          "signetd answered with %s; is it of another version, or not signetd?",
                          what);
}

signet_status sg_client_no_memory(struct signet_error *error)
{
    return sg_client_fail(error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                          "this process has no memory left for the call");
}
