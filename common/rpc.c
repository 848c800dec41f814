/* SPDX-License-Identifier: Apache-2.0
 *
 * Statuses of the envelope as a plain struct.
 */
#include "common/rpc.h"

#include <stdarg.h>
#include <stdio.h>

signet_status sg_rpc_fail(struct sg_rpc_status *status, signet_status code, const char *reason,
                          const char *format, ...)
{
    va_list arguments;
    status->code = code;
    status->reason = reason;
    status->retry_after_ms = 0;
    va_start(arguments, format);
    (void)vsnprintf(status->message, sizeof(status->message), format, arguments);
    va_end(arguments);
    return code;
}
